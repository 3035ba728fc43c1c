# Whole runs on CIFAR-10 for the stages `number`, `speedrun` and `answers` of gpu-check.sh. They stay in results/, as
# results/README.md says; one that was interrupted continues.
# shellcheck shell=bash disable=SC2154,SC2034

output=results
settings=(dataset.download=true)
folder=$(images) || failed=1
[ -n "$folder" ] && settings=("dataset.path=$folder")
seeds=(0 1 2)
if [ "$device" = cpu ]; then
    output=$work/number
    # The reference protocol is the only probe here: the others add minutes and no test of the script.
    settings=('dataset={kind: shapes, train: 64, test: 32}' train.epochs=1 train.batch_size=16
        learning_rate.warmup_epochs=0 encoder.depth=1 predictor.depth=1 'collapse=[]'
        'probes=[{kind: linear, name: linear_reference, protocol: reference, epochs: 2, encoders: [target, context]}]')
    seeds=(0)
fi

# The accuracy of the reference probe after the last epoch: accuracy FOLDER ENCODER.
accuracy() {
    awk -F, -v encoder="$2" '
        FNR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        $at["probe"] == "linear_reference" && $at["encoder"] == encoder && $at["metric"] == "top1" { v = $at["value"] }
        END { if (v == "") exit 1; printf "%.2f", v }' "$1/probes.csv"
}

# number RECIPE SEED [SETTING...]: the published recipe has an accuracy to compare with.
number() {
    local run=("experiments/$1.yaml" "${@:3}" "${settings[@]}" "seed=$2" "device=$device" --output "$output")
    local folder target context seconds published=""
    [ "$1" = baseline ] && published=" (published: 70.10 and 70.33)"
    folder=$("$program" "${run[@]}" --dry-run | awk '$1 == "run" { print $2 }')
    "$program" "${run[@]}" -q && target=$(accuracy "$folder" target) && context=$(accuracy "$folder" context) || return 1
    row "linear probe $target % on the target encoder, $context % on the context encoder$published"
    seconds=$(column seconds "$folder/timing.csv" | awk '{ s += $1 } END { printf "%.0f", s }')
    row "$seconds s of training$(bar_of_baseline "$1" "$seconds")"
    row "$folder"
}

# The bar on the time of 100 epochs is about the baseline.
bar_of_baseline() {
    [[ $1 != baseline* ]] || echo ": bar 300 on a card like the H200 $(verdict "$2" '<' 300)"
}

# sweep NAME [ARM]: a shipped sweep in bf16, two runs at a time, which keep these models' GPU busy.
# Interrupted, the same command continues. A dry run leaves out ARM, which its few images do not allow.
sweep() {
    local file=$work/$1.yaml how=(train.matmul=bf16)
    sed "s|^base: |base: $PWD/experiments/sweeps/|" "experiments/sweeps/$1.yaml" >"$file"
    if [ "$device" = cpu ]; then
        sed -i "s/^seeds: .*/seeds: 1/; /^budget:/d; /name: ${2:-none},/d
            s|name: linear/target/class/top1[@a-z]*|name: linear_reference/target/class/top1|" "$file"
        how=(-j 2 device=cpu)
    else
        echo 'gpus: { devices: [0], slots: 2 }' >>"$file"
    fi
    "$program" "$file" "${settings[@]}" "${how[@]}" --output "$output" || return 1
    row "$("$program" compare "$output/sweeps/$1"-*/ | head -n 1)"
}
