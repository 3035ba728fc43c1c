# Stage `correct` of gpu-check.sh: start-up, operators, gradients, fixtures, whole runs, changes of device,
# and images per second of the baseline.
# shellcheck shell=bash disable=SC2154

# A short run of the quickstart, and images of the runs that are timed.
sizes=(dataset.train=2048 dataset.test=256 train.epochs=3)
timed_images=20480
if [ "$device" = cpu ]; then
    sizes=(dataset.train=256 dataset.test=64 train.epochs=3)
    timed_images=256
fi
short=(experiments/quickstart.yaml "${sizes[@]}" train.log_every=1 'probes=[]' -q)

tests() { cargo test --release --features cuda --locked --test cuda -- --nocapture "$@"; }

start_up() {
    "$program" doctor && row "$("$program" doctor | grep -m1 CUDA | cut -c5-)" && row "$(machine)"
}

# run DEVICE FOLDER [OPTION...]
run() { "$program" "${short[@]}" "device=$1" --output "$work/$2" "${@:3}"; }

# Losses of two runs of one experiment, line by line, within a relative tolerance.
same_losses() {
    awk -F, -v tolerance="$3" '
        FNR == 1 { for (i = 1; i <= NF; i++) if ($i == "loss") column = i; next }
        NR == FNR { loss[FNR] = $column; next }
        { d = $column - loss[FNR]; if (d < 0) d = -d; if (d > tolerance * loss[FNR]) bad = 1; n++ }
        END { exit bad || n == 0 }' "$work/$1"/*/metrics.csv "$work/$2"/*/metrics.csv
}

repeats() { run "$device" again && cmp "$work"/gpu/*/metrics.csv "$work"/again/*/metrics.csv; }

# moved FROM TO FOLDER: stops after an epoch with a checkpoint (exit code 75), then ends on the other device.
moved() {
    rm -rf "${work:?}/$3"
    run "$1" "$3" --until-epoch 1
    [ $? -eq 75 ] && run "$2" "$3" && same_losses "$3" cpu 0.01
}

# Images per second of the baseline's second epoch on drawn images: speed ROUNDING.
speed() {
    "$program" experiments/baseline.yaml "dataset={kind: shapes, train: $timed_images, test: 64}" train.epochs=2 \
        learning_rate.warmup_epochs=1 'probes=[]' 'collapse=[]' "train.matmul=$1" "device=$device" -q --output "$work/speed-$1" &&
        row "$(column images_per_second "$work/speed-$1"/*/timing.csv | tail -n 1) images/s"
}

check "start-up: driver, cuBLAS, kernels, addresses" start_up
check "operators against the CPU" tests operators
check "patches made on the device, with the bits of the host" tests images
check "gradients against finite differences" tests gradients
check "numbers of PyTorch and of the two references" cargo test --release --features cuda --locked --test parity --test with_data
check "a batch in parts" tests parts
check "fifty steps against the CPU, change of device, resume" tests training
check "rows of a run that reads late, a loss that is not finite" tests reading
check "bench on the device" tests bench
check "quickstart on the GPU" run "$device" gpu
check "quickstart on the CPU" run cpu cpu
check "their losses within 1 %" same_losses gpu cpu 0.01
check "the GPU repeats itself to the bit" repeats
check "GPU, stopped, then CPU" moved "$device" cpu moved1
check "CPU, stopped, then GPU" moved cpu "$device" moved2
for rounding in f32 tf32 bf16; do
    check "baseline, matmul $rounding" speed "$rounding"
done
