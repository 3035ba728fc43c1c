# Stage `answers` of gpu-check.sh: the sweeps on a fifth of CIFAR-10, whose tables docs/findings.md is to hold.
# shellcheck shell=bash disable=SC2154,SC2034
# shellcheck source=/dev/null
source scripts/gpu-check/runs.sh

questions=(mask-count ema-range masking-strategy collator-bugs loss target-scale context-scale weight-decay)
if [ "$device" = cuda ]; then
    # A dry run changes the predictor's depth, which this one is about.
    questions+=(predictor)
    settings=("dataset.path=$work/cifar-10-subset")
fi

answer() {
    if [ "$device" = cuda ] && [ ! -d "$work/cifar-10-subset" ]; then
        [ -n "$folder" ] || { echo "IJEPA_CIFAR10 names no folder with CIFAR-10" && return 1; }
        scripts/cifar10_subset.sh "$folder" "$work/cifar-10-subset" 10000 || return 1
    fi
    sweep "$1-cifar10"
}
for question in "${questions[@]}"; do
    check "$question" answer "$question"
done
