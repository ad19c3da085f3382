# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Check text files for what no formatter looks at: ``check_files.py FILE...``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

LARGEST = 512 * 1024  # bytes; recordings and models do not belong among sources
CONFLICT = re.compile(rb"^(<{7}|>{7}|\|{7})( |$)", re.MULTILINE)
TRAILING = re.compile(rb"[ \t]+\r?$", re.MULTILINE)


def faults(path: Path) -> list[str]:
    """Return what is wrong with one file."""
    content = path.read_bytes()
    found = []
    if len(content) > LARGEST:
        found.append(f"{len(content)} bytes, more than {LARGEST}")
    for pattern, what in ((CONFLICT, "a merge's conflict mark"), (TRAILING, "trailing spaces")):
        match = pattern.search(content)
        if match:
            line = content.count(b"\n", 0, match.start()) + 1
            found.append(f"line {line}: {what}")
    if content and not content.endswith(b"\n"):
        found.append("no newline at the end")
    return [f"{path}: {fault}" for fault in found]


def main() -> int:
    """Print the faults of the files named; exit code 1 when there are any."""
    lines = [line for argument in sys.argv[1:] for line in faults(Path(argument))]
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
