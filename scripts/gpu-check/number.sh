# Stage `number` of gpu-check.sh: all of CIFAR-10, 100 epochs, three seeds, the published recipe and that of
# the paper.
# shellcheck shell=bash disable=SC2154
# shellcheck source=/dev/null
source scripts/gpu-check/runs.sh

for recipe in baseline baseline-meta; do
    for seed in "${seeds[@]}"; do
        check "$recipe, seed $seed" number "$recipe" "$seed"
    done
done
