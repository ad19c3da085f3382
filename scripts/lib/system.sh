# shellcheck shell=bash
# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
#
# What the operating system has to bring: packages and free space.

# install_packages WHAT PACKAGE...: with apt when this user may, else says the exact command.
install_packages() {
    local what=$1 prefix=()
    shift
    local by_hand="apt-get update && apt-get install -y $*"
    if ! command -v apt-get >/dev/null; then
        fail "$what is missing, and this is not Debian or Ubuntu (no apt-get)" \
            "install with this system's own package tool what Debian calls: $*"
    fi
    if [[ ${THEBOX_APT:-} == no ]]; then
        fail "$what is missing" "run: sudo sh -c '$by_hand'"
    elif [[ $(id -u) != 0 ]]; then
        sudo -n true 2>/dev/null ||
            fail "$what is missing" "run: sudo sh -c '$by_hand'"
        prefix=(sudo -n)
    fi
    say "  $what is missing: installing $* with apt"
    local log=$THEBOX_ROOT/.thebox/apt.log
    mkdir -p "$THEBOX_ROOT/.thebox"
    if ! {
        "${prefix[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
            "${prefix[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -q -y --no-install-recommends "$@"
    } </dev/null >"$log" 2>&1; then
        tail -n 8 "$log" >&2
        fail "apt could not install $* (whole output: $log)" "run: sudo sh -c '$by_hand'"
    fi
}

# free_megabytes FOLDER
free_megabytes() { df -Pm "$1" | awk 'NR == 2 { print $4 }'; }

# need_space MEGABYTES WHAT
need_space() {
    local free
    free=$(free_megabytes "$THEBOX_ROOT")
    if ((free < $1)); then
        fail "the disk that holds $THEBOX_ROOT has $free MB free; $2 needs $1 MB" \
            "free some space (old build folders: ./thebox build --clean), or move the folder to a larger disk"
    fi
}

# need_build_tools: a compiler, make and this Python's own headers and venv module.
need_build_tools() {
    local missing=() what=()
    if ! command -v cc >/dev/null || ! command -v c++ >/dev/null || ! command -v make >/dev/null
    then
        missing+=(build-essential)
        what+=('a C/C++ compiler')
    fi
    local short=${PYTHON_VERSION%.*} package=python3
    [[ $PYTHON == /usr/bin/python3.* ]] && package=python$short
    if ! "$PYTHON" -I -c 'import ensurepip, venv' 2>/dev/null; then
        missing+=("$package-venv")
        what+=("Python $short's venv module")
    fi
    if ! "$PYTHON" -I -c '
import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").is_file())'; then
        missing+=("$package-dev")
        what+=("Python $short's C headers")
    fi
    ((${#missing[@]})) || return 0
    local list
    list=$(printf '%s, ' "${what[@]}")
    install_packages "${list%, }" "${missing[@]}"
    if ! "$PYTHON" -I -c 'import ensurepip, venv' 2>/dev/null; then
        fail "$PYTHON has no venv module, and apt's $package-venv did not bring it" \
            "set THEBOX_PYTHON to a complete Python $PYTHON_RANGE"
    fi
}
