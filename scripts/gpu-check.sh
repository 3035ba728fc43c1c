#!/usr/bin/env bash
# Everything that only a GPU can show, in one command that ends with a table:
#
#   scripts/gpu-check.sh            # doctor, sanitize, correct: minutes
#   scripts/gpu-check.sh doctor     # does it start, and images per second
#   scripts/gpu-check.sh sanitize   # kernels under the checkers of memory and races
#   scripts/gpu-check.sh correct    # operators, gradients, fixtures, whole runs
#   scripts/gpu-check.sh kernels    # time of every kernel of a step
#   scripts/gpu-check.sh bars       # side by side with PyTorch on this GPU: the bars of speed
#   scripts/gpu-check.sh number     # CIFAR-10, 100 epochs, three seeds: accuracy and time
#   scripts/gpu-check.sh speedrun   # the ladder of docs/speedrun.md: three seeds, 100 epochs, the screening
#   scripts/gpu-check.sh answers    # the sweeps on a fifth of CIFAR-10
#   scripts/gpu-check.sh slots      # runs per hour of a sweep with 1, 2, 4, 8 runs at a time on the GPU
#   scripts/gpu-check.sh all        # all of them, in this order
#
# Several stages may be named. `--seconds N` first: whatever is under way after N seconds is interrupted, the rest
# is not begun, and the exit code is 75; the same command continues.
#
# A machine with a GPU and a driver, but without Rust and network:
#
#   scripts/gpu-check.sh pack [DATA]      # here: writes target/gpu-check.tar.xz (about 27 MiB without data)
#   tar -xf gpu-check.tar.xz && ijepa-gpu-check/scripts/gpu-check.sh          # there: as above
#
# DATA is a folder with a program `prepare.sh FOLDER`, which writes the binary version of CIFAR-10 to
# FOLDER/cifar-10-batches-bin there; it travels whole.
#
# CUDA_VISIBLE_DEVICES=1 takes another GPU. IJEPA_CIFAR10 names a folder with the binary version of CIFAR-10,
# which is fetched otherwise; IJEPA_BENCH_VENV a Python environment with PyTorch; that of `python3` is taken
# otherwise, or set up. Needs a driver of CUDA 11.8 or later (520), cuBLAS 11, 12 or 13 on the loader's path, in
# /usr/local/cuda or among Python's packages; compute-sanitizer and ncu for the stages that are about them.
#
# What was done before, with the same code on the same GPU, is not done again. Rows, runs and logs are in
# target/gpu-check (GPU_CHECK_FOLDER names another folder; remove it to start over). Where OUT names a folder,
# the table, the logs and the tables of the runs are copied there.
# Exits with 1 if a row of the table says FAILED.
#
# GPU_CHECK_DEVICE=cpu is a dry run: every stage on the processor, with tiny sizes, to test these scripts.
#
# The files of the stages call what is defined here:
# shellcheck disable=SC2329
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

device=${GPU_CHECK_DEVICE:-cuda}
program=target/release/ijepa-run
order=(doctor sanitize correct kernels bars number speedrun answers slots)
stages=()
limit=
usage() {
    echo "usage: scripts/gpu-check.sh [--seconds N] [${order[*]} | all]... | pack [DATA]" >&2
    exit 2
}

[ "${1:-}" = pack ] && exec scripts/gpu-check/pack.sh "${@:2}"
if [ "${1:-}" = --seconds ]; then
    limit=${2:-}
    [[ $limit =~ ^[1-9][0-9]*$ ]] || usage
    shift 2
fi
for stage in "$@"; do
    case " ${order[*]} " in
    *" $stage "*) stages+=("$stage") ;;
    *) [ "$stage" = all ] && stages+=("${order[@]}") || usage ;;
    esac
done
[ ${#stages[@]} -gt 0 ] || stages=(doctor sanitize correct)
case $device in
cuda) export IJEPA_TEST_GPU=1 ;;
cpu) unset IJEPA_TEST_GPU ;;
*)
    echo "GPU_CHECK_DEVICE: $device is neither cuda nor cpu" >&2
    exit 2
    ;;
esac

# cuBLAS of a toolkit, or of the packages that PyTorch came with.
for folder in /usr/local/cuda/lib64 /usr/local/cuda/targets/x86_64-linux/lib \
    $(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))' 2>/dev/null)/nvidia/{cu13,cublas}/lib; do
    [ -d "$folder" ] && export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
done

# In a bundle, the file `bundle` holds the code that it was built from, and the programs are ready.
if [ -f bundle ]; then
    export IJEPA_BENCHES=$PWD/target/bundle
    [ -d fixtures ] && export IJEPA_FIXTURES=${IJEPA_FIXTURES:-$PWD/fixtures}
    tests() { "target/bundle/$1" "${@:2}"; }
else
    [ -d ../shared/fixtures ] && export IJEPA_FIXTURES=${IJEPA_FIXTURES:-$PWD/../shared/fixtures}
    tests() { cargo test --release --features cuda --locked --test "$1" -- "${@:2}"; }
    echo "== build"
    cargo build --release --features cuda --locked || exit 1
fi

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
work=${GPU_CHECK_FOLDER:-target/gpu-check}/$(scripts/gpu-check/code.sh)-$device-$(machine | cut -d, -f1 | tr -cs 'A-Za-z0-9\n' '-')
mkdir -p "$work" || exit 1
table=()
failed=0
stopped=0

# within COMMAND...: interrupts it when the time of all stages is over, and kills it 20 s later. Its exit code,
# or 75 if it was interrupted.
within() {
    local pid watch status left
    if [ -z "$limit" ]; then
        "$@"
        return
    fi
    left=$((limit - SECONDS))
    [ "$left" -gt 0 ] || return 75
    # Process groups of their own, so that children end as well.
    set -m
    "$@" &
    pid=$!
    { sleep "$left" && kill -INT -- "-$pid" && sleep 20 && kill -KILL -- "-$pid"; } &
    watch=$!
    set +m
    wait "$pid"
    status=$?
    kill -- "-$watch" 2>/dev/null
    [ $((limit - SECONDS)) -gt 0 ] || status=75
    return $status
}

# check NAME COMMAND...: runs it and notes how it ended, how long it took, and what it told with `row`; if it
# went well before, notes that. A test that did not run for want of something is a failure.
check() {
    local name=$1 start=$SECONDS file status
    file=$work/$(tr -cs 'A-Za-z0-9\n' '-' <<<"$stage-$1")
    shift
    if [ ! -f "$file.rows" ]; then
        echo "== $name"
        found=$file.found
        : >"$found"
        within "$@" >"$file.log" 2>&1
        status=$?
        if [ $status = 75 ]; then
            table+=("stopped $name: the time is over, the same command continues")
            stopped=1
            return
        fi
        if [ $status = 0 ] && skipped "$file.log"; then
            status=1
        fi
        if [ $status != 0 ]; then
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

# Tests that a log calls ignored: real images and other people's packages are none of this script's business, and
# one test runs in a process of its own.
skipped() {
    grep '\.\.\. ignored' "$1" | grep -v 'needs IJEPA_\(SHARED\|EXPORT_VENV\)\|^test bench::on_an_idle_device\|launches::host_time'
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

# The folder with the binary version of CIFAR-10, if it is here.
images() {
    local folder=${IJEPA_CIFAR10:-}
    if [ -z "$folder" ] && [ -f data/prepare.sh ]; then
        folder=${GPU_CHECK_FOLDER:-target/gpu-check}/data/cifar-10-batches-bin
        [ -d "$folder" ] || data/prepare.sh "$(dirname "$folder")" >&2 || return 1
    fi
    echo "$folder"
}

# What is to be seen elsewhere: the table, every log and the tables of runs; their weights stay.
deliver() {
    printf '%s\n' "$(machine)" "${table[@]}" >"$OUT/table.txt"
    tar --exclude='*.safetensors' -cJf "$OUT/logs.tar.xz" "$work" results 2>/dev/null
}

for stage in "${stages[@]}"; do
    # shellcheck source=/dev/null
    source "scripts/gpu-check/$stage.sh"
done

printf '\n%s\n' "$(machine)"
[ "$device" = cpu ] && echo "DRY RUN on the processor with tiny sizes: no figure says anything about a GPU"
printf '%s\n' "${table[@]}"
echo "logs: $work"
[ -z "${OUT:-}" ] || deliver
[ $failed = 0 ] || exit 1
[ $stopped = 0 ] || exit 75
