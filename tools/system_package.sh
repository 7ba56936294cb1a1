#!/usr/bin/env bash
# Install Debian packages when a check fails and we may; otherwise say what to install.
#   tools/system_package.sh 'CHECK COMMAND' PACKAGE...
# Used for the two things pip cannot bring: python3-venv and a Chromium.
set -u
check=$1
shift
eval "$check" >/dev/null 2>&1 && exit 0

if [ "$(id -u)" = 0 ]; then as_root=()
elif sudo -n true 2>/dev/null; then as_root=(sudo -n)
else as_root=(false)
fi
if command -v apt-get >/dev/null && [ "${as_root[0]-}" != false ]; then
    echo "Installing $* with apt-get (needed: $check)"
    "${as_root[@]}" apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@"
    eval "$check" >/dev/null 2>&1 && exit 0
fi
echo "Missing: $*  (the check that failed: $check)" >&2
echo "On Debian or Ubuntu:  sudo apt-get install $*" >&2
exit 1
