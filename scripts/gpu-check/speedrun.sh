# Stage `speedrun` of gpu-check.sh: the ladder of docs/speedrun.md on this GPU: the recipe with three seeds, over its own
# epochs and over 100, then the screening around it.
# shellcheck shell=bash disable=SC2154
# shellcheck source=/dev/null
source scripts/gpu-check/runs.sh

for seed in "${seeds[@]}"; do
    check "speedrun, seed $seed" number speedrun "$seed" train.matmul=bf16
done
check "speedrun over 100 epochs, seed 0" number speedrun 0 train.matmul=bf16 train.epochs=100 \
    learning_rate.warmup_epochs=5

# Two runs at a time keep this model's GPU busy. Interrupted, the same command continues.
screening() {
    local file=$work/speedrun-muon.yaml parallel=(train.matmul=bf16)
    sed "s|^base: |base: $PWD/experiments/sweeps/|" experiments/sweeps/speedrun-muon.yaml >"$file"
    if [ "$device" = cpu ]; then
        sed -i 's/^seeds: 3/seeds: 1/; /^budget:/d; /batch-256/d; s|linear/target/class/top1@validation|linear_reference/target/class/top1|' "$file"
        parallel=(-j 2 device=cpu)
    else
        echo 'gpus: { devices: [0], slots: 2 }' >>"$file"
    fi
    "$program" "$file" "${settings[@]}" "${parallel[@]}" --output "$output" || return 1
    row "$("$program" compare "$output"/sweeps/speedrun-muon-*/ | head -n 1)"
}
check "speedrun, screening" screening
