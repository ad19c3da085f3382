# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from setuptools import find_packages, setup

package_name = "thebox_fusion"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + package_name]),
        ("share/" + package_name, ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The TheBox contributors",
    maintainer_email="maintainers@thebox.example",
    description="Fusion of detections into tracks.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "fusion = thebox_fusion.node:main",
            "dronedb = thebox_fusion.dronedb_node:main",
            "range = thebox_fusion.range_node:main",
        ],
    },
)
