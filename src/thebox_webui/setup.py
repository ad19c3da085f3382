# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from setuptools import find_packages, setup

package_name = "thebox_webui"
share = f"share/{package_name}"

# The panel as `npm run build` left it; without Node.js there is none, and the server says so.
built = Path("panel/dist")
folders = sorted({path.parent for path in built.rglob("*") if path.is_file()})
panel = [
    (
        f"{share}/panel/{folder.relative_to(built)}".rstrip("/."),
        sorted(str(path) for path in folder.iterdir() if path.is_file()),
    )
    for folder in folders
]

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/" + package_name]),
        (share, ["package.xml"]),
        *panel,
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="The TheBox contributors",
    maintainer_email="maintainers@thebox.example",
    description="The operator's panel and its server.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "panel = thebox_webui.node:main",
            "foxglove = thebox_webui.foxglove_node:main",
            "passwd = thebox_webui.passwd:main",
        ],
    },
)
