#!/bin/sh
# Trains every model again and checks each against its library. Needs PyPI once; not part of `make test`.
set -eu
cd "$(dirname "$0")"
venv=../.dev/train-venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --requirement requirements.txt
for script in train_*.py; do
    "$venv/bin/python" "$script"
done
"$venv/bin/python" verify.py --write
