#!/usr/bin/env bash
# Builds a Python wheel that carries the program, so that `pip install` gives `ijepa-run` where there is no Rust.
#
#   scripts/wheel.sh [OUT]        into OUT, dist/ by default; then: pip install OUT/ijepa_run-*.whl
#
# Needs Rust, a C compiler and python3; maturin comes from PyPI into an environment that is removed again. The profile is
# `dist` (stripped); IJEPA_WHEEL_PROFILE=dev packs what `cargo build` makes, to try the packing itself. IJEPA_WHEEL_ZIG=1
# links against the C library of manylinux2014 with zig, so that the wheel installs on Linux older than this one.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist}
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools/venv"
"$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'maturin==1.*' ${IJEPA_WHEEL_ZIG:+ziglang}
options=(--bindings bin --profile "${IJEPA_WHEEL_PROFILE:-dist}" --locked --out "$out")
if [ -n "${IJEPA_WHEEL_ZIG:-}" ]; then
    options+=(--zig --compatibility manylinux2014)
else
    # Of the machine that builds it.
    options+=(--compatibility linux)
fi
PATH=$tools/venv/bin:$PATH maturin build "${options[@]}"
# What was built is what installs and starts.
"$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --force-reinstall "$out"/ijepa_run-*.whl
"$tools/venv/bin/ijepa-run" --version
ls -l "$out"/ijepa_run-*.whl
