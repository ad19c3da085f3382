# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from setuptools import find_packages, setup

package_name = "thebox_sensors"

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
    description="Drivers of TheBox, one sub-package a sensor.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "droneshield = thebox_sensors.droneshield.node:main",
            "dspnor = thebox_sensors.dspnor.node:main",
            "trakka = thebox_sensors.trakka.node:main",
            "mara = thebox_sensors.mara.node:main",
            "ownship = thebox_sensors.ownship.node:main",
            "silvus = thebox_sensors.silvus.node:main",
        ],
    },
)
