#!/bin/sh
# Runs the first Python of version 3.12 or newer that is found, with the given arguments.
set -eu
fit='import sys, venv; sys.exit(sys.version_info < (3, 12))'
for python in python3.12 python3.13 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python3; do
    if "$python" -c "$fit" 2>/dev/null; then
        exec "$python" "$@"
    fi
done
if command -v uv >/dev/null 2>&1 && python=$(uv python find '>=3.12' 2>/dev/null); then
    exec "$python" "$@"
fi
echo "robo-reward needs Python 3.12 or newer: install it with your system's packages," >&2
echo "'pyenv install 3.12' or 'uv python install 3.12', then repeat the command." >&2
exit 1
