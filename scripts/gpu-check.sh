#!/usr/bin/env bash
# Everything that only a GPU can show, in one command that ends with a table:
#
#   scripts/gpu-check.sh            # is it correct, and images per second: minutes
#   scripts/gpu-check.sh bars       # side by side with PyTorch on this GPU: the bars of speed
#   scripts/gpu-check.sh slots      # runs per hour of a sweep with 1, 2, 4, 8 runs at a time on the GPU
#   scripts/gpu-check.sh number     # CIFAR-10, 100 epochs, three seeds: accuracy and time
#   scripts/gpu-check.sh all        # all of them, in this order
#
# CUDA_VISIBLE_DEVICES=1 takes another GPU. IJEPA_CIFAR10 names a folder with the binary version of CIFAR-10,
# which is fetched otherwise; IJEPA_BENCH_VENV a Python environment with PyTorch, which is set up otherwise.
# Needs a driver of CUDA 11.8 or later (520), cuBLAS 11, 12 or 13 on the loader's path, Rust.
#
# What was done before, with the same code on the same GPU, is not done again: after an interruption the same
# command continues. Rows, runs and logs are in target/gpu-check (GPU_CHECK_FOLDER names another folder);
# remove it to start over. The runs of `number` are in results/. Exits with 1 if a row of the table says FAILED.
#
# GPU_CHECK_DEVICE=cpu is a dry run: every stage on the processor, with tiny sizes, to test these scripts.
#
# The files of the stages call what is defined here:
# shellcheck disable=SC2329
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

device=${GPU_CHECK_DEVICE:-cuda}
program=target/release/ijepa-run
for folder in /usr/local/cuda/lib64 /usr/local/cuda/targets/x86_64-linux/lib; do
    [ -d "$folder" ] && export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
done
if [ -d ../shared/fixtures ]; then
    export IJEPA_FIXTURES=${IJEPA_FIXTURES:-$PWD/../shared/fixtures}
fi

case ${1:-correct} in
correct | bars | slots | number) stages=("${1:-correct}") ;;
all) stages=(correct bars slots number) ;;
*)
    echo "usage: scripts/gpu-check.sh [bars | slots | number | all]" >&2
    exit 2
    ;;
esac
case $device in
cuda) export IJEPA_TEST_GPU=1 ;;
cpu) unset IJEPA_TEST_GPU ;;
*)
    echo "GPU_CHECK_DEVICE: $device is neither cuda nor cpu" >&2
    exit 2
    ;;
esac

echo "== build"
cargo build --release --features cuda --locked || exit 1

# The first line of `doctor` about the GPU, or the processor in a dry run.
machine() {
    local what=cuda:0
    [ "$device" = cpu ] && what=processor
    "$program" doctor | sed -n "s/^.. *$what *//p"
}
if [ -z "$(machine)" ]; then
    "$program" doctor
    echo "there is no GPU that can be used: see above" >&2
    exit 1
fi
# The code: its commit, and a hash of what was changed since.
code() {
    local changes
    changes=$(git diff HEAD | sha256sum | cut -c1-8)
    git diff --quiet HEAD 2>/dev/null && changes=clean
    echo "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)-$changes"
}
work=${GPU_CHECK_FOLDER:-target/gpu-check}/$(code)-$device-$(machine | cut -d, -f1 | tr -cs 'A-Za-z0-9\n' '-')
mkdir -p "$work" || exit 1
table=()
failed=0

# check NAME COMMAND...: runs it and notes how it ended, how long it took, and what it told with `row`; if it
# went well before, notes that.
check() {
    local name=$1 start=$SECONDS file
    file=$work/$(tr -cs 'A-Za-z0-9\n' '-' <<<"$stage-$1")
    shift
    if [ ! -f "$file.rows" ]; then
        echo "== $name"
        found=$file.found
        : >"$found"
        if ! "$@" >"$file.log" 2>&1; then
            table+=("FAILED  $name ($((SECONDS - start)) s): $file.log")
            failed=1
            tail -n 15 "$file.log"
            return
        fi
        { echo "ok      $name ($((SECONDS - start)) s)" && cat "$found"; } >"$file.new"
        mv "$file.new" "$file.rows"
        rm "$found"
    fi
    mapfile -t -O "${#table[@]}" table <"$file.rows"
}

# row TEXT: a line of the table below that of the check under way.
row() { printf '        %s\n' "$1" >>"$found"; }

# verdict VALUE RELATION BAR: whether a bar is met, such as `verdict 1.7 '>=' 1.5`; a dry run does not judge.
verdict() {
    [ "$device" = cpu ] && echo "(not judged)" && return
    awk -v value="$1" "BEGIN { print (value $2 $3 ? \"met\" : \"MISSED\") }"
}

# column NAME FILE: the values of a column of a CSV file without quotes.
column() {
    awk -F, -v name="$1" 'FNR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i; next } { print $c }' "$2"
}

for stage in "${stages[@]}"; do
    # shellcheck source=/dev/null
    source "scripts/gpu-check/$stage.sh"
done

printf '\n%s\n' "$(machine)"
[ "$device" = cpu ] && echo "DRY RUN on the processor with tiny sizes: no figure says anything about a GPU"
printf '%s\n' "${table[@]}"
echo "logs: $work"
exit $failed
