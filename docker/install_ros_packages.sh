#!/usr/bin/env bash
# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
#
# The system packages of the images. Usage: install_ros_packages.sh build|run
# Their versions are those of the base image's ROS and Ubuntu release, which its tag names: apt keeps
# no older ones that a pinned version could ask for.
set -euo pipefail

case ${1:-} in
    build | run) ;;
    *) sed -n '5,5s/^# //p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

packages=(
    "ros-${ROS_DISTRO:?}-diagnostic-updater"
    "ros-$ROS_DISTRO-vision-msgs"
    "ros-$ROS_DISTRO-tf2-msgs"
    "ros-$ROS_DISTRO-cv-bridge"
    "ros-$ROS_DISTRO-visualization-msgs"
    "ros-$ROS_DISTRO-rosbridge-server"
    "ros-$ROS_DISTRO-rmw-fastrtps-cpp"
    python3-venv
    iproute2
)
if [[ $1 == build ]]; then packages+=(build-essential python3-dev git); fi

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends "${packages[@]}"
rm -rf /var/lib/apt/lists/*
