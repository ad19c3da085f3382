# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The panel's files. Only what is in the folder's index is served, so no path leads out. No ROS."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Files"]

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".txt": "text/plain; charset=utf-8",
    ".map": "application/json",
}


class Files:
    """The files under ``folder``, by their path in the URL; read anew when the page changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index: dict[str, Path] = {}
        self._stamp = -1

    @property
    def built(self) -> bool:
        """Whether there is a panel."""
        return (self.folder / "index.html").is_file()

    def _refresh(self) -> None:
        try:
            stamp = (self.folder / "index.html").stat().st_mtime_ns
        except OSError:
            stamp = 0
        if stamp == self._stamp:
            return
        self._stamp = stamp
        found: dict[str, Path] = {}
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder) / name
                if path.suffix in _TYPES and not name.startswith("."):
                    found[path.relative_to(self.folder).as_posix()] = path
        self._index = found

    def find(self, path: str) -> tuple[Path, str] | None:
        """The file for a URL's path without its first slash, and its content type."""
        self._refresh()
        found = self._index.get(path or "index.html")
        return None if found is None else (found, _TYPES[found.suffix])
