#!/usr/bin/env bash
# `gpu-check.sh pack [DATA]`: everything that its stages need on a machine without Rust and network, in one file.
set -euo pipefail
data=${1:-}
bundle=target/gpu-check-bundle/ijepa-gpu-check
if [ -n "$data" ] && [ ! -x "$data/prepare.sh" ]; then
    echo "$data has no program prepare.sh, which writes the binary version of CIFAR-10 to the folder it is given" >&2
    exit 2
fi
rm -rf "$bundle"
mkdir -p "$bundle"/{target/release,target/bundle,tests/parity,benches}

# Cargo names what it built, one line of JSON for each: a program's own name is the part before the hash.
cargo test --release --features cuda --locked --no-run --message-format=json \
    --test cuda --test parity --test with_data --bench step |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' >"$bundle/built"
while read -r executable; do
    name=$(basename "$executable")
    case $name in
    ijepa-run) strip -o "$bundle/target/release/$name" "$executable" ;;
    cuda-* | parity-* | with_data-* | step-*) strip -o "$bundle/target/bundle/${name%-*}" "$executable" ;;
    esac
done <"$bundle/built"
rm "$bundle/built"

scripts/gpu-check/code.sh >"$bundle/bundle"
cp -r scripts experiments "$bundle"
cp benches/vs_pytorch* "$bundle/benches"
cp -r tests/parity/fixtures "$bundle/tests/parity"
fixtures=${IJEPA_FIXTURES:-../shared/fixtures}
[ ! -d "$fixtures" ] || cp -r "$fixtures" "$bundle/fixtures"
[ -z "$data" ] || cp -r "$data" "$bundle/data"
chmod -R u+w "$bundle"
tar -C "$(dirname "$bundle")" -cJf target/gpu-check.tar.xz "$(basename "$bundle")"
ls -lh target/gpu-check.tar.xz
