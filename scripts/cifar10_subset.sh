#!/usr/bin/env bash
# A tenth, a fifth, any part of CIFAR-10's training images, for ablations of hours instead of weeks:
#
#   scripts/cifar10_subset.sh FROM TO IMAGES     # of the binary version in the folder FROM; all test images stay
#
# Takes the first IMAGES / 5 records of each of the five training files: the official files are in random order.
set -euo pipefail
if [ $# != 3 ] || ! [[ $3 =~ ^[1-9][0-9]*$ ]] || [ $(($3 % 5)) != 0 ] || [ "$3" -gt 50000 ]; then
    echo "usage: scripts/cifar10_subset.sh FROM TO IMAGES, with IMAGES a multiple of 5 up to 50000" >&2
    exit 2
fi
mkdir -p "$2"
for i in 1 2 3 4 5; do
    # A record is a label and 3 x 32 x 32 bytes.
    head -c $(($3 / 5 * 3073)) "$1/data_batch_$i.bin" >"$2/data_batch_$i.bin"
done
cp "$1/test_batch.bin" "$2/test_batch.bin"
