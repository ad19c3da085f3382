# shellcheck shell=bash
# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2034  # what it sets is read by the other parts
#
# Which ROS 2 is used: a sourced distribution, one under /opt/ros, or the wheels.
# Sets ROS_RELEASE (jazzy | kilted), ROS_ORIGIN (distribution | wheels) and, for a distribution,
# ROS_PREFIX (its folder) and ROS_SOURCED (true when this shell has it already).
# Then the places: VENV, BUILD_BASE, INSTALL_BASE, LOG_BASE, STATE.

readonly SUPPORTED_RELEASES=(jazzy kilted)

is_supported_release() {
    local release
    for release in "${SUPPORTED_RELEASES[@]}"; do
        [[ $1 == "$release" ]] && return 0
    done
    return 1
}

# prefix_of PACKAGE: the folder of the prefix path that holds it, nothing when none does.
prefix_of() {
    local prefix
    local -a prefixes
    IFS=: read -ra prefixes <<<"${AMENT_PREFIX_PATH:-}"
    for prefix in "${prefixes[@]}"; do
        if [[ -f $prefix/share/$1/package.xml ]]; then
            printf '%s' "$prefix"
            return
        fi
    done
}

choose_ros() {
    local wanted=${THEBOX_ROS:-} origin=${THEBOX_ROS_FROM:-} folder=${THEBOX_ROS_ROOT:-/opt/ros}
    local release
    ROS_RELEASE='' ROS_ORIGIN='' ROS_PREFIX='' ROS_SOURCED=false
    if [[ -n $wanted ]] && ! is_supported_release "$wanted"; then
        fail "THEBOX_ROS=$wanted: TheBox runs on ROS 2 jazzy and kilted" \
            "set THEBOX_ROS to one of them, or unset it"
    fi
    case $origin in
        '' | wheels | distribution) ;;
        *) fail "THEBOX_ROS_FROM=$origin is neither 'wheels' nor 'distribution'" "unset it" ;;
    esac
    # Inside `./thebox shell` the sourced environment is our own: it is chosen again.
    if [[ -n ${THEBOX_ENVIRONMENT:-} && ${THEBOX_ENVIRONMENT_ROOT:-} == "$THEBOX_ROOT" ]]; then
        local inside=${THEBOX_ENVIRONMENT%%:*} inside_origin=${THEBOX_ENVIRONMENT#*:}
        if [[ ${wanted:-$inside} == "$inside" && ${origin:-$inside_origin} == "$inside_origin" ]]
        then
            ROS_RELEASE=$inside ROS_ORIGIN=$inside_origin
            if [[ $ROS_ORIGIN == distribution ]]; then
                ROS_PREFIX=${THEBOX_ENVIRONMENT_PREFIX:-} ROS_SOURCED=true
            fi
        fi
    fi
    if [[ -z $ROS_RELEASE && $origin != wheels && -n ${ROS_DISTRO:-} &&
        -n ${AMENT_PREFIX_PATH:-} && -z ${THEBOX_ENVIRONMENT:-} ]]; then
        if ! is_supported_release "$ROS_DISTRO"; then
            fail "ROS 2 $ROS_DISTRO is sourced in this shell; TheBox runs on jazzy and kilted" \
                "open a shell that does not source it: ./thebox then looks under $folder" \
                "or set THEBOX_ROS_FROM=wheels to run on the ROS wheels instead"
        fi
        if [[ -z $wanted || $wanted == "$ROS_DISTRO" ]]; then
            ROS_RELEASE=$ROS_DISTRO ROS_ORIGIN=distribution ROS_SOURCED=true
            ROS_PREFIX=$(prefix_of rclpy)
            [[ -n $ROS_PREFIX ]] || fail "ROS 2 $ROS_DISTRO is sourced, but it has no rclpy" \
                "install ros-$ROS_DISTRO-ros-base"
        else
            fail "ROS 2 $ROS_DISTRO is sourced in this shell, but THEBOX_ROS=$wanted" \
                "unset THEBOX_ROS, or open a shell that sources $wanted or nothing"
        fi
    fi
    if [[ -z $ROS_RELEASE && $origin != wheels ]]; then
        for release in ${wanted:-"${SUPPORTED_RELEASES[@]}"}; do
            if [[ -f $folder/$release/setup.bash ]]; then
                ROS_RELEASE=$release ROS_ORIGIN=distribution
                ROS_PREFIX=$folder/$release
                break
            fi
        done
    fi
    if [[ -z $ROS_RELEASE ]]; then
        if [[ $origin == distribution ]]; then
            fail "no ROS 2 ${wanted:-jazzy or kilted} under $folder, and none is sourced" \
                "install ros-${wanted:-jazzy}-ros-base, or unset THEBOX_ROS_FROM for the wheels"
        fi
        ROS_RELEASE=${wanted:-jazzy} ROS_ORIGIN=wheels
        local machine=${THEBOX_MACHINE:-$(uname -m)}
        if [[ $machine != x86_64 ]]; then
            fail "this machine is $machine: the ROS 2 wheels exist for x86-64 only" \
                "install ROS 2 ${wanted:-jazzy} (ros-${wanted:-jazzy}-ros-base) under /opt/ros, or use TheBox's container image"
        fi
        if [[ $(uname -s) != Linux ]]; then
            fail "the ROS 2 wheels need Linux" "use Debian, Ubuntu or TheBox's container image"
        fi
    fi
    # Jazzy has the places that every ROS developer expects; Kilted lives beside it.
    if [[ $ROS_RELEASE == jazzy ]]; then
        VENV=$THEBOX_ROOT/.venv BUILD_BASE=$THEBOX_ROOT/build
        INSTALL_BASE=$THEBOX_ROOT/install LOG_BASE=$THEBOX_ROOT/log
    else
        local own=$THEBOX_ROOT/.thebox/$ROS_RELEASE
        VENV=$own/venv BUILD_BASE=$own/build INSTALL_BASE=$own/install LOG_BASE=$own/log
    fi
    STATE=$VENV/.thebox
    if [[ $ROS_ORIGIN == wheels ]]; then LOCK_SET=$ROS_RELEASE; else LOCK_SET=distribution; fi
    ROS_TITLE="ROS 2 ${ROS_RELEASE^} ($ROS_ORIGIN)"
}

# source_quietly FILE: for setup files that were not written for `set -eu`.
source_quietly() {
    set +eu
    # shellcheck source=/dev/null
    source "$1"
    local code=$?
    set -eu
    return "$code"
}

# enter_ros: the variables of ROS itself, without the workspace.
enter_ros() {
    if [[ $ROS_ORIGIN == distribution ]]; then
        if ! $ROS_SOURCED; then
            source_quietly "$ROS_PREFIX/setup.bash" ||
                fail "$ROS_PREFIX/setup.bash could not be sourced" \
                    "mend or reinstall that ROS 2 distribution"
            ROS_SOURCED=true
        fi
    else
        unset PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH
        unset COLCON_CURRENT_PREFIX
        local folder libraries=$VENV/lib
        for folder in "$VENV"/lib/python3.*/site-packages/ros_*.libs; do
            [[ -d $folder ]] && libraries+=:$folder
        done
        export ROS_DISTRO=$ROS_RELEASE ROS_VERSION=2 ROS_PYTHON_VERSION=3
        export AMENT_PREFIX_PATH=$VENV CMAKE_PREFIX_PATH=$VENV LD_LIBRARY_PATH=$libraries
        export RMW_IMPLEMENTATION=${RMW_IMPLEMENTATION:-rmw_fastrtps_cpp}
        # The wheels re-execute each Python to set LD_LIBRARY_PATH unless this says it is set.
        export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
    fi
    export VIRTUAL_ENV=$VENV
    case :$PATH: in
        :"$VENV/bin":*) ;;
        *) PATH=$VENV/bin:$PATH ;;
    esac
    export PATH
    export THEBOX_ENVIRONMENT=$ROS_RELEASE:$ROS_ORIGIN THEBOX_ENVIRONMENT_ROOT=$THEBOX_ROOT
    export THEBOX_ENVIRONMENT_PREFIX=$ROS_PREFIX
}

# enter_workspace: the variables of ROS and of the built packages.
enter_workspace() {
    enter_ros
    if [[ -z ${FASTRTPS_DEFAULT_PROFILES_FILE-}${FASTDDS_DEFAULT_PROFILES_FILE-} ]]; then
        # UDP alone (the file tells why). Jazzy reads the one name, Kilted the other.
        export FASTRTPS_DEFAULT_PROFILES_FILE=$THEBOX_ROOT/src/thebox_bringup/config/fastdds.xml
        export FASTDDS_DEFAULT_PROFILES_FILE=$FASTRTPS_DEFAULT_PROFILES_FILE
    fi
    if [[ -f $INSTALL_BASE/local_setup.bash ]]; then
        local COLCON_CURRENT_PREFIX=$INSTALL_BASE COLCON_PYTHON_EXECUTABLE=$VENV/bin/python
        source_quietly "$INSTALL_BASE/local_setup.bash" ||
            fail "$INSTALL_BASE/local_setup.bash could not be sourced" "./thebox build --clean"
    fi
}
