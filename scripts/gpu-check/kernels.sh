# Stage `kernels` of gpu-check.sh: what ncu measures of every kernel of one step of the baseline.
# shellcheck shell=bash disable=SC2154

# A step has about 400 kernels; three steps go before, for what is done once. Those between two updates count.
launches=400
step=("$program" experiments/baseline.yaml 'dataset={kind: shapes, train: 2048, test: 64}' train.epochs=1
    learning_rate.warmup_epochs=0 'probes=[]' 'collapse=[]' "device=$device" -q --output "$work/kernels")

# kernels ROUNDING: one line of CSV a kernel, and a table of the most expensive names.
kernels() {
    local rows=$work/kernels-$1.csv
    if [ "$device" = cpu ]; then
        row "ncu needs a GPU: not run"
        return
    fi
    rm -rf "$work/kernels"
    ncu --clock-control none --metrics gpu__time_duration.sum --csv --launch-skip $((3 * launches)) \
        --launch-count $((2 * launches)) "${step[@]}" "train.matmul=$1" >"$rows.raw" || return 1
    grep '^"' "$rows.raw" >"$rows" && rm "$rows.raw"
    python3 - "$rows" <<'P' | while read -r line; do row "$line"; done
import collections, csv, sys

time, count = collections.Counter(), collections.Counter()
rows = list(csv.DictReader(open(sys.argv[1])))
updates = [i for i, row in enumerate(rows) if row["Kernel Name"].startswith("adamw")]
for row in rows[updates[0] + 1 : updates[1] + 1]:
    name = row["Kernel Name"].split("(")[0][-60:]
    scale = {"n": 1e-3, "u": 1.0, "m": 1e3}[row["Metric Unit"][0]]
    time[name] += scale * float(row["Metric Value"].replace(",", ""))
    count[name] += 1
print(f"{sum(time.values()):.0f} us in {sum(count.values())} kernels")
for name, spent in time.most_common(12):
    print(f"{spent:.0f} us in {count[name]}: {name}")
P
}

for rounding in f32 tf32 bf16; do
    check "kernels of a step, matmul $rounding" kernels "$rounding"
done
