# Stage `sanitize` of gpu-check.sh: the kernels of a block, of the losses and of updates under compute-sanitizer.
# shellcheck shell=bash disable=SC2154

# sanitized TOOL TEST...
sanitized() {
    local tool=$1
    shift
    if [ "$device" = cpu ]; then
        row "compute-sanitizer needs a GPU: not run"
        return
    fi
    compute-sanitizer --tool "$tool" --error-exitcode 9 target/bundle/cuda --exact --test-threads 1 "$@"
}

if [ "$device" = cuda ] && [ ! -x target/bundle/cuda ]; then
    # Built here: where a bundle has it.
    scripts/gpu-check/pack.sh >"$work/pack.log" && mkdir -p target/bundle &&
        cp target/gpu-check-bundle/ijepa-gpu-check/target/bundle/* target/bundle
fi
for tool in memcheck racecheck; do
    check "$tool: blocks" sanitized "$tool" operators::blocks_are_those_of_the_cpu
    check "$tool: blocks with rounded products" sanitized "$tool" operators::rounded_blocks_are_near_those_of_the_cpu
    check "$tool: gathers, losses, updates" sanitized "$tool" operators::gather_is_that_of_the_cpu \
        operators::losses_are_those_of_the_cpu operators::updates_are_those_of_the_cpu \
        operators::orthogonalised_steps_are_those_of_the_cpu
done
