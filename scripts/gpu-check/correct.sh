# Stage `correct` of gpu-check.sh: operators, gradients, fixtures, whole runs, changes of device.
# shellcheck shell=bash disable=SC2154

# A short run of the quickstart.
sizes=(dataset.train=2048 dataset.test=256 train.epochs=3)
[ "$device" = cpu ] && sizes=(dataset.train=256 dataset.test=64 train.epochs=3)
short=(experiments/quickstart.yaml "${sizes[@]}" train.log_every=1 'probes=[]' -q)

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

check "operators against the CPU" tests cuda operators:: --nocapture
check "operators of components against the CPU" tests cuda compose:: --nocapture
check "patches made on the device, with the bits of the host" tests cuda images:: --nocapture
check "gradients against finite differences" tests cuda gradients:: --nocapture
check "numbers of PyTorch" tests parity
check "numbers of the two references" tests with_data
check "components of the middle against the CPU" tests cuda middle:: --nocapture
check "a batch in parts" tests cuda parts:: --nocapture
check "fifty steps against the CPU, change of device, resume" tests cuda training:: --nocapture
check "rows of a run that reads late, a loss that is not finite" tests cuda reading:: --nocapture
check "bench on the device" tests cuda bench:: --nocapture
check "quickstart on the GPU" run "$device" gpu
check "quickstart on the CPU" run cpu cpu
check "their losses within 1 %" same_losses gpu cpu 0.01
check "the GPU repeats itself to the bit" repeats
check "GPU, stopped, then CPU" moved "$device" cpu moved1
check "CPU, stopped, then GPU" moved cpu "$device" moved2
