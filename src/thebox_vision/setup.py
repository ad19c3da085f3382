# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from setuptools import find_packages, setup

package_name = "thebox_vision"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test", "training"]),
    package_data={package_name: ["models/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + package_name]),
        ("share/" + package_name, ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    maintainer="The TheBox contributors",
    maintainer_email="maintainers@thebox.example",
    description="The camera verifies tracks: detector, cueing, the vision node.",
    license="Apache-2.0",
    entry_points={"console_scripts": ["vision = thebox_vision.node:main"]},
)
