# Stage `doctor` of gpu-check.sh: start-up, and images per second of the baseline with each rounding.
# shellcheck shell=bash disable=SC2154

start_up() {
    "$program" doctor && row "$("$program" doctor | grep -m1 CUDA | cut -c5-)" && row "$(machine)"
}

# speed ROUNDING: phases of a step of the baseline on drawn images.
speed() {
    local steps=30 output=$work/speed-$1.txt small=()
    [ "$device" = cpu ] && steps=1 && small=(train.batch_size=4)
    "$program" bench "dataset={kind: shapes, train: 2048, test: 256}" "train.matmul=$1" "device=$device" \
        --steps "$steps" "${small[@]}" | tee "$output" || return 1
    row "$(grep -m1 'training step' "$output" | tr -s ' ')"
}

check "start-up: driver, cuBLAS, kernels, addresses" start_up
for rounding in f32 tf32 bf16; do
    check "baseline, matmul $rounding" speed "$rounding"
done
