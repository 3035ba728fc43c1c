#!/usr/bin/env bash
# Times this program against PyTorch, side by side: the training step of experiments/baseline.yaml, parts of
# it, memory, and the probes.
#
#   benches/vs_pytorch.sh [--repeats N] [--only NAME]...      (--help lists the names)
#   benches/vs_pytorch.sh --device cuda [--batch N] [--matmul M]    the training step on a GPU, against eager
#                                                                   and compiled PyTorch there
#
# Takes PyTorch from the environment that IJEPA_BENCH_VENV names, from .bench-venv or from python3, or sets it up
# in .bench-venv; then prints one line per measurement:
#
#   ratio step_b256_t2 1.07     median PyTorch time / median our time: above 1 we are faster
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${IJEPA_BENCH_VENV:-.bench-venv}
python=$venv/bin/python
has_pytorch() { "$1" -c 'import torch, numpy' 2>/dev/null; }
if ! has_pytorch "$python" && [ -z "${IJEPA_BENCH_VENV:-}" ] && has_pytorch python3; then
    python=python3
elif ! has_pytorch "$python"; then
    echo "setting up PyTorch in $venv" >&2
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet torch numpy scikit-learn
fi
if [ "${1:-}" = --device ]; then
    if [ -z "${IJEPA_BENCHES:-}" ]; then
        cargo build -q --release --features cuda --locked
        cargo bench -q --no-run --features cuda --locked --bench step
    fi
    exec "$python" benches/vs_pytorch_device.py "$@"
fi
cargo bench -q --no-run --bench step --bench probes
exec "$python" benches/vs_pytorch.py "$@"
