# shellcheck shell=bash
# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034  # what it sets is read by the other parts
#
# Which Python the environment is made with. Sets PYTHON (its absolute path) and PYTHON_VERSION.

readonly PYTHON_RANGE='3.10 to 3.13'

# describe_python COMMAND: "VERSION PATH" of the interpreter behind it (behind a virtual
# environment too), nothing when it does not run.
describe_python() {
    env -u PYTHONPATH -u PYTHONHOME -u LD_LIBRARY_PATH "$1" -I -S -c '
import os, sys
base = getattr(sys, "_base_executable", None) or sys.executable
print("%d.%d.%d %s" % (*sys.version_info[:3], os.path.realpath(base)))' 2>/dev/null
}

python_is_in_range() {
    case $1 in
        3.10.* | 3.11.* | 3.12.* | 3.13.*) return 0 ;;
        *) return 1 ;;
    esac
}

choose_python() {
    local candidate described
    if [[ -n ${THEBOX_PYTHON:-} ]]; then
        described=$(describe_python "$THEBOX_PYTHON") || described=''
        [[ -n $described ]] || fail "THEBOX_PYTHON=$THEBOX_PYTHON does not run as a Python" \
            "set it to a Python $PYTHON_RANGE, or unset it"
        PYTHON_VERSION=${described%% *} PYTHON=${described#* }
        python_is_in_range "$PYTHON_VERSION" ||
            fail "THEBOX_PYTHON=$THEBOX_PYTHON is Python $PYTHON_VERSION; TheBox needs $PYTHON_RANGE" \
                "set it to a Python $PYTHON_RANGE, or unset it"
        return
    fi
    local found=''
    if [[ $ROS_ORIGIN == distribution ]]; then
        # Only the Python that the distribution was compiled for can load its modules.
        for candidate in /usr/bin/python3 python3; do
            described=$(describe_python "$candidate") || continue
            found+=" $candidate=${described%% *}"
            if (
                enter_ros
                "${described#* }" -c 'import rclpy'
            ) >/dev/null 2>&1; then
                PYTHON_VERSION=${described%% *} PYTHON=${described#* }
                return
            fi
        done
        fail "no Python here can import rclpy of the sourced ROS 2 ${ROS_RELEASE} (tried:$found)" \
            "install ros-$ROS_RELEASE-ros-base, or set THEBOX_PYTHON to its Python"
    fi
    # The one that an environment was made with already stays, so that a new Python on the
    # machine does not cost a new set-up.
    if [[ -s $STATE/python ]]; then
        candidate=$(<"$STATE/python")
        described=$(describe_python "$candidate") || described=''
        if [[ -n $described ]] && python_is_in_range "${described%% *}"; then
            PYTHON_VERSION=${described%% *} PYTHON=${described#* }
            return
        fi
    fi
    for candidate in python3 python3.12 python3.11 python3.13 python3.10 /usr/bin/python3; do
        described=$(describe_python "$candidate") || continue
        [[ -n $described ]] || continue
        if python_is_in_range "${described%% *}"; then
            PYTHON_VERSION=${described%% *} PYTHON=${described#* }
            return
        fi
        found+=" $candidate=${described%% *}"
    done
    if [[ -z $found ]]; then
        install_packages 'Python 3' python3 python3-venv python3-dev
        described=$(describe_python python3) || described=''
        if [[ -n $described ]] && python_is_in_range "${described%% *}"; then
            PYTHON_VERSION=${described%% *} PYTHON=${described#* }
            return
        fi
        [[ -n $described ]] && found=" python3=${described%% *}"
    fi
    fail "no Python $PYTHON_RANGE on the PATH (found:${found:- none})" \
        "install one (Ubuntu 22.04, 24.04, Debian 12 and 13 ship one: apt-get install python3 python3-venv python3-dev)" \
        "or set THEBOX_PYTHON to one that is elsewhere"
}
