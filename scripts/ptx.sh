#!/usr/bin/env bash
# Compiles the CUDA kernels to src/kernels/cuda/kernels.ptx, and that to machine code in src/kernels/cuda/machine; both
# are committed, so that building the program needs no toolkit. Run it after every change below src/kernels/cuda/device/.
#
# nvcc is taken from the PATH, or fetched as wheels (104 MB, nothing installed) with pip. The PTX names
# ISA 7.8, the version of CUDA 11.8, whatever nvcc compiled it: the kernels use nothing newer, which
# ptxas 11.8 confirms where NVCC_CHECK names one. It therefore loads on every driver from 520 on.
set -euo pipefail
cd "$(dirname "$0")/../src/kernels/cuda"
target=$PWD/../../../target/nvcc

if ! command -v nvcc >/dev/null; then
    if [ ! -x "$target/nvidia/cu13/bin/nvcc" ]; then
        python3 -m pip install --quiet --no-deps --only-binary=:all: --target "$target" \
            nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
            nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
    fi
    export PATH=$target/nvidia/cu13/bin:$PATH
fi

raw=$(mktemp)
trap 'rm -f "$raw"' EXIT
nvcc --ptx -arch=compute_80 -O3 device/all.cu -o "$raw"
hash=$(LC_ALL=C; cat device/* | sha256sum | cut -d' ' -f1)
{
    echo "// sha256 of device/: $hash"
    grep -v '^//' "$raw" | sed 's/^\.version .*/.version 7.8/'
} > kernels.ptx
if [ -n "${NVCC_CHECK:-}" ]; then
    "$NVCC_CHECK" -arch=sm_80 kernels.ptx -o /dev/null
fi
mkdir -p machine
# Machine code for the common architectures (8.6 and 8.9 take that of 8.0), so that the driver need not compile for
# ten seconds when the program first starts on a machine. What a driver cannot read it compiles from the PTX.
for architecture in 80 90 100 120; do
    ptxas -O3 -arch="sm_$architecture" kernels.ptx -o "$raw"
    gzip -9n <"$raw" >"machine/sm_$architecture.cubin.gz"
done
echo "$hash" >machine/sources
echo "kernels.ptx: $(grep -c '\.entry' kernels.ptx) kernels, $(wc -c < kernels.ptx) bytes"
