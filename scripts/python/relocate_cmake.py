# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Point the ROS wheels' exported CMake files at this environment.

Some of them name the include folders of the machine that built the wheels (its Python's and its
numpy's). Run with the environment's own Python: ``relocate_cmake.py ENVIRONMENT``.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import sysconfig
from pathlib import Path

BUILD_MACHINE = re.compile(
    r"/opt/python/cp3\d+-cp3\d+/"
    r"(?:(?P<python>include/python3\.\d+)"
    r"|lib/python3\.\d+/site-packages/numpy/(?:_core|core)/include)"
)


def relocated(text: str, python_include: str, numpy_include: str) -> str:
    """Return ``text`` with the build machine's include folders replaced by the given ones."""
    return BUILD_MACHINE.sub(
        lambda found: python_include if found.group("python") else numpy_include, text
    )


def numpy_include_folder() -> Path:
    """Return numpy's include folder without paying for its import."""
    spec = importlib.util.find_spec("numpy")
    if spec is None or spec.origin is None:
        raise SystemExit("numpy is not installed in this environment")
    return Path(spec.origin).parent / "_core" / "include"


def main() -> int:
    """Rewrite every CMake file under ENVIRONMENT/share that needs it; fail if one still does."""
    environment = Path(sys.argv[1])
    python_include = sysconfig.get_path("include")
    numpy_include = numpy_include_folder()
    for folder in (Path(python_include), numpy_include):
        if not folder.is_dir():
            print(f"{folder} is not there", file=sys.stderr)
            return 1
    changed = 0
    for path in sorted((environment / "share").rglob("*.cmake")):
        text = path.read_text(encoding="utf-8")
        if "/opt/python/" not in text:
            continue
        new = relocated(text, python_include, str(numpy_include))
        if "/opt/python/" in new:
            print(f"{path}: names a folder of another machine that is not known", file=sys.stderr)
            return 1
        path.write_text(new, encoding="utf-8")
        changed += 1
    print(f"    {changed} CMake files adapted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
