# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from setuptools import find_packages, setup

package_name = "thebox_sim"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + package_name]),
        ("share/" + package_name, ["package.xml"]),
        (
            "share/" + package_name + "/scenarios",
            sorted(str(p) for p in Path("scenarios").glob("*.yaml")),
        ),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The TheBox contributors",
    maintainer_email="maintainers@thebox.example",
    description="A simulated sky that speaks every sensor's own wire protocol.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "sky = thebox_sim.node:main",
            "replay = thebox_sim.replay:main",
            "offline = thebox_sim.offline:main",
        ],
    },
)
