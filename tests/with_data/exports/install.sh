#!/usr/bin/env bash
# Makes the environment that opens exports in tests: install.sh FOLDER. Takes some minutes and 6 GB, most of them PyTorch.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=$1
python3 -m venv "$venv"
pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir "$@"; }
pip -r "$here/requirements.txt"
pip --no-deps --target "$venv/transformers-4" -r "$here/transformers-4.txt"
