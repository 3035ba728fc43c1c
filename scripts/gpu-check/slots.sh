# Stage `slots` of gpu-check.sh: runs per hour of a small sweep with k runs at a time on one GPU.
# shellcheck shell=bash disable=SC2154

# Sixteen runs, so that eight at a time are not over when the first one is.
seeds=16
counts=(1 2 4 8)
set='{ train.matmul: tf32 }'
if [ "$device" = cpu ]; then
    seeds=4
    counts=(1 2)
    set='{ dataset.train: 128, dataset.test: 32, train.epochs: 2 }'
fi

# sweep_of SLOTS: the file. Slots of a dry run are processes, which `-j` counts.
sweep_of() {
    printf 'version: 1\nname: slots\nbase: %s\n' "$PWD/experiments/quickstart.yaml"
    printf 'arms: [{ name: quickstart, set: %s }]\nseeds: %s\n' "$set" "$seeds"
    printf 'metric: { name: knn/target/colour/top1, goal: maximize }\n'
    [ "$device" = cpu ] || printf 'gpus: { devices: [0], slots: %s }\n' "$1"
}

# Interrupted halfway it starts over: what is wanted is the time of all runs together.
slots() {
    local file=$work/slots-$1.yaml folder=$work/slots-$1 start parallel=() seconds
    [ "$device" = cpu ] && parallel=(-j "$1" device=cpu)
    sweep_of "$1" >"$file"
    rm -rf "$folder"
    start=$(date +%s%N)
    "$program" "$file" "${parallel[@]}" --output "$folder" || return 1
    seconds=$(awk -v from="$start" -v to="$(date +%s%N)" 'BEGIN { printf "%.1f", (to - from) / 1e9 }')
    row "$(awk -v runs="$seeds" -v s="$seconds" 'BEGIN { printf "%.0f", 3600 * runs / s }') runs per hour ($seeds in $seconds s)"
}

# The same with NVIDIA's Multi-Process Service, a daemon of our own: kernels of several processes at once.
slots_with_mps() {
    if ! command -v nvidia-cuda-mps-control >/dev/null; then
        row "nvidia-cuda-mps-control is not on the PATH: not measured"
        return
    fi
    # A short absolute path: the daemon and its clients have other working directories, and the name of a socket
    # ends at 107 bytes. A client that finds no daemon runs without it and says nothing.
    local pipes status=0
    pipes=$(mktemp -d /tmp/mps.XXXX) || return 1
    export CUDA_MPS_PIPE_DIRECTORY=$pipes CUDA_MPS_LOG_DIRECTORY=$pipes
    nvidia-cuda-mps-control -d || return 1
    slots "$1" || status=1
    # The server lives as long as it has had a client.
    if [ -z "$(echo get_server_list | nvidia-cuda-mps-control)" ]; then
        echo "no run found the daemon"
        status=1
    fi
    echo quit | nvidia-cuda-mps-control
    rm -rf "$pipes"
    unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
    return $status
}

for count in "${counts[@]}"; do
    check "quickstart, $count at a time" slots "$count"
done
most=${counts[-1]}
check "quickstart, $most at a time, Multi-Process Service" slots_with_mps "$most"
