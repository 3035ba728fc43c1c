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

check "speedrun, screening" sweep speedrun-muon batch-256
