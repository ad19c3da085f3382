# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Remove what no lock file names any more: ``prune_environment.py LOCK...``."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

KEPT = {"pip"}


def normal(name: str) -> str:
    """Return the distribution name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked_names(paths: list[Path]) -> set[str]:
    """Return the distribution names that the lock files pin."""
    names: set[str] = set()
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            found = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)==", line)
            if found:
                names.add(normal(found.group(1)))
    return names


def main() -> int:
    """Uninstall the distributions of this environment that are neither locked nor kept."""
    wanted = locked_names([Path(argument) for argument in sys.argv[1:]]) | KEPT
    inside = Path(sys.prefix)
    surplus = sorted(
        distribution.metadata["Name"]
        for distribution in metadata.distributions()
        if inside in Path(str(distribution.locate_file(""))).parents
        and str(getattr(distribution, "_path", "")).endswith(".dist-info")
        and normal(distribution.metadata["Name"]) not in wanted
    )
    if not surplus:
        return 0
    print("    no longer needed: " + ", ".join(surplus))
    return subprocess.run(  # noqa: S603 - our own interpreter and names read from it
        [sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", *surplus], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
