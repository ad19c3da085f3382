# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from setuptools import setup

package_name = "rosbridge_server"

setup(
    name=package_name,
    version="2.1.9000",
    packages=[package_name],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The TheBox contributors",
    maintainer_email="maintainers@thebox.example",
    description="Stand-in for rosbridge_server.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "rosbridge_websocket = rosbridge_server.rosbridge_websocket:main",
        ],
    },
)
