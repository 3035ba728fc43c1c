# Stage `bars` of gpu-check.sh: the training step of the baseline beside PyTorch's on the same GPU.
# shellcheck shell=bash disable=SC2154

batches=(256 1024)
sizes=(--repeats 3)
if [ "$device" = cpu ]; then
    batches=(4)
    sizes=(--small --steps 2 --repeats 1)
fi

# bar OUTPUT NAME AGAINST BAR GOAL: one ratio of the file OUTPUT, with its bar if there is one.
bar() {
    local value
    value=$(sed -n "s/^ratio $2_$3 //p" "$1")
    [ -n "$value" ] || return 1
    if [ -n "$4" ]; then
        row "$value times as fast as $3 PyTorch: bar $4 $(verdict "$value" '>=' "$4")${5:+, goal $5}"
    else
        row "$value times as fast as $3 PyTorch"
    fi
}

# side_by_side BATCH ROUNDING LENGTHS: f32 has its bar against eager PyTorch, rounded products against compiled.
side_by_side() {
    local name=step_b$1_$2 output=$work/bars-$1-$2-$3.txt
    [ "$3" = fixed ] && name+=_fixed
    benches/vs_pytorch.sh --device "$device" --batch "$1" --matmul "$2" --lengths "$3" "${sizes[@]}" >"$output" || return 1
    row "$(sed -n "s/^milliseconds $name //p" "$output") (ms)"
    case $2 in
    f32) bar "$output" "$name" eager 1.5 2 ;;
    *) bar "$output" "$name" eager "" "" && bar "$output" "$name" compiled 1.0 "" ;;
    esac || return 1
    bar "$output" "$name" graphs "" "" || true
}

# What the bars are most likely to be missed by comes first. Masks of fixed lengths are the case that PyTorch
# compiles best.
for batch in "${batches[@]}"; do
    for rounding in bf16 tf32; do
        check "step, batch $batch, $rounding, fixed lengths" side_by_side "$batch" "$rounding" fixed
    done
    for rounding in bf16 tf32 f32; do
        check "step, batch $batch, $rounding" side_by_side "$batch" "$rounding" drawn
    done
done
