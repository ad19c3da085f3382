# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from setuptools import find_packages, setup

package_name = "thebox_bringup"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + package_name]),
        ("share/" + package_name, ["package.xml"]),
        ("share/" + package_name + "/launch", sorted(map(str, Path("launch").glob("*.launch.py")))),
        ("share/" + package_name + "/config", sorted(map(str, Path("config").glob("*.*")))),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The TheBox contributors",
    maintainer_email="maintainers@thebox.example",
    description="Brings TheBox up: launch file, bare-machine runner, parameters, markers.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "markers = thebox_bringup.markers:main",
            "composed = thebox_bringup.composed:main",
            "up = thebox_bringup.up:main",
            "down = thebox_bringup.down:main",
            "recorder = thebox_bringup.recording.blackbox:main",
            "record = thebox_bringup.recording.record:main",
            "replay = thebox_bringup.recording.replay:main",
            "score = thebox_bringup.score.command:main",
        ],
        # ``ros2 thebox``, where ros2cli is installed.
        "ros2cli.command": [
            "thebox = thebox_bringup.ros2_command:TheBoxCommand",
        ],
    },
)
