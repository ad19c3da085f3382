# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from setuptools import setup

package_name = "cv_bridge"

setup(
    name=package_name,
    version="4.1.9000",
    packages=[package_name],
    package_data={package_name: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The TheBox contributors",
    maintainer_email="maintainers@thebox.example",
    description="Stand-in for the Python half of cv_bridge.",
    license="Apache-2.0",
)
