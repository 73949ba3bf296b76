#!/bin/sh
# Checks that MuJoCo can draw without a screen; installs Debian's libraries where it may.
set -eu
python=$1
try() { timeout 30 "$python" -c 'import mujoco; mujoco.GLContext(8, 8).make_current()' >/dev/null 2>&1; }
if try; then
    exit 0
fi
line='apt-get install -y --no-install-recommends libegl1 libgl1'
if [ "$(id -u)" = 0 ] && grep -qiE '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release 2>/dev/null; then
    echo "MuJoCo cannot draw without a screen: installing libegl1 and libgl1"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $line -qq
    if try; then
        exit 0
    fi
fi
echo "MuJoCo cannot draw without a screen (MUJOCO_GL=${MUJOCO_GL:-}); on Debian or Ubuntu run:" >&2
echo "  sudo apt-get update && sudo $line" >&2
exit 1
