#!/usr/bin/env bash
# Everything that only a GPU can show, in one command and a short table:
#
#   scripts/gpu-check.sh            # GPU 0
#   CUDA_VISIBLE_DEVICES=1 scripts/gpu-check.sh
#
# Needs a driver of CUDA 11.8 or later (520), cuBLAS 11, 12 or 13 on the loader's path, Rust. Writes its
# runs to a temporary folder. Exits with 1 if a line of the table says FAILED.
set -uo pipefail
cd "$(dirname "$0")/.."

for folder in /usr/local/cuda/lib64 /usr/local/cuda/targets/x86_64-linux/lib; do
    [ -d "$folder" ] && export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
done
if [ -d ../shared/fixtures ]; then
    export IJEPA_FIXTURES=${IJEPA_FIXTURES:-$PWD/../shared/fixtures}
fi
export IJEPA_TEST_GPU=1
work=$(mktemp -d)
log=$work/log.txt
program=target/release/ijepa-run
table=()
failed=0

# check NAME COMMAND...: runs it, notes how it ended and how long it took.
check() {
    local name=$1 start=$SECONDS
    shift
    printf '== %s\n' "$name" | tee -a "$log"
    if "$@" >>"$log" 2>&1; then
        table+=("ok      $name ($((SECONDS - start)) s)")
    else
        table+=("FAILED  $name ($((SECONDS - start)) s)")
        failed=1
        tail -n 15 "$log"
    fi
}

tests() { cargo test --release --features cuda --locked --test cuda -- --nocapture "$@"; }

# Losses of two runs of one experiment, line by line, within a relative tolerance.
same_losses() {
    awk -F, -v tolerance="$3" '
        FNR == 1 { for (i = 1; i <= NF; i++) if ($i == "loss") column = i; next }
        NR == FNR { loss[FNR] = $column; next }
        { d = $column - loss[FNR]; if (d < 0) d = -d; if (d > tolerance * loss[FNR]) bad = 1; n++ }
        END { exit bad || n == 0 }' "$1"/*/metrics.csv "$2"/*/metrics.csv
}

# A short run of the quickstart: run DEVICE FOLDER [more settings].
short=(experiments/quickstart.yaml dataset.train=2048 dataset.test=256 train.epochs=3 train.log_every=1 'probes=[]' -q)
run() { "$program" "${short[@]}" "device=$1" --output "$work/$2"; }

# Stops after a moment with a checkpoint (exit code 75), then ends on the other device.
moved() {
    timeout -s INT "$4" "$program" "${short[@]}" "device=$1" --output "$work/$3"
    [ $? -eq 75 ] || echo "not interrupted in time: the rest only shows that a finished run is found"
    run "$2" "$3" && same_losses "$work/$3" "$work/cpu" 0.01
}

# Images per second of the baseline's second epoch on drawn images: speed ROUNDING.
speed() {
    "$program" experiments/baseline.yaml 'dataset={kind: shapes, train: 20480, test: 64}' train.epochs=2 \
        learning_rate.warmup_epochs=1 'probes=[]' "train.matmul=$1" device=cuda -q --output "$work/speed-$1"
}
images_per_second() {
    awk -F, 'FNR == 1 { for (i = 1; i <= NF; i++) if ($i == "images_per_second") c = i; next } { v = $c }
        END { print v }' "$work/speed-$1"/*/timing.csv 2>/dev/null
}

check "build" cargo build --release --features cuda --locked
check "start-up: driver, cuBLAS, kernels, addresses" "$program" doctor
"$program" doctor | grep -E 'CUDA|cuda:'
check "operators against the CPU" tests operators
check "patches made on the GPU, with the bits of the host" tests images
check "gradients against finite differences" tests gradients
check "fixtures of the two references" cargo test --release --features cuda --locked --test parity
check "fifty steps against the CPU, change of device, resume" tests training
check "rows of a run that reads late, a loss that is not finite" tests reading
check "quickstart on the GPU" run cuda gpu
check "quickstart on the CPU" run cpu cpu
check "their losses within 1 %" same_losses "$work/gpu" "$work/cpu" 0.01
check "the GPU repeats itself to the bit" bash -c "
    $program ${short[*]} device=cuda --output $work/again && cmp $work/gpu/*/metrics.csv $work/again/*/metrics.csv"
check "GPU, stopped, then CPU" moved cuda cpu moved1 2
check "CPU, stopped, then GPU" moved cpu cuda moved2 5
for rounding in f32 tf32 bf16; do
    check "baseline, matmul $rounding" speed "$rounding"
    table+=("        $(images_per_second "$rounding") images/s")
done

printf '\n%s\n' "$("$program" doctor | grep 'cuda:')"
printf '%s\n' "${table[@]}"
echo "log: $log"
exit $failed
