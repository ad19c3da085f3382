# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The camera's pictures by name: from the vision node's folder, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from thebox_webui.snapshots import Snapshots

NAME = "d7f4c9f7-0001-4002-8003-0123456789ab_1795000000123.jpg"


class Vision:
    """Answers as the vision node's parameter services do."""

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.asked = folder, 0

    async def __call__(self, full: str) -> dict[str, Any]:
        assert full == "/thebox/vision"
        self.asked += 1
        if self.folder is None:
            raise LookupError("no such node")
        return {"snapshots.folder": str(self.folder)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / NAME).write_bytes(b"\xff\xd8")
    (kept / "notes.txt").write_text("private")
    (tmp_path / "outside.jpg").write_bytes(b"\xff\xd8")
    return kept


def test_the_vision_nodes_folder_is_asked_for_and_searched(folder: Path) -> None:
    async def look() -> None:
        vision = Vision(folder)
        snapshots = Snapshots(vision, "/thebox/vision")
        assert await snapshots.find(NAME) == folder / NAME
        assert await snapshots.find(NAME.replace("d7", "d8")) is None
        assert vision.asked == 1

    asyncio.run(look())


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "../outside.jpg",
        "",
        ".",
        f"../kept/{NAME}",
        f"/{NAME}",
        f"{NAME}\n",
        f".{NAME}",
    ],
)
def test_no_other_file_is_served(folder: Path, name: str) -> None:
    async def look() -> None:
        assert await Snapshots(Vision(folder), "/thebox/vision").find(name) is None

    asyncio.run(look())


def test_pictures_of_a_node_that_has_ended_are_looked_for_at_the_usual_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = folder.parent / "home"
    usual = home / ".local" / "share" / "thebox" / "snapshots"
    usual.mkdir(parents=True)
    (usual / NAME).write_bytes(b"\xff\xd8")
    monkeypatch.setenv("HOME", str(home))

    async def look() -> None:
        assert await Snapshots(Vision(None), "/thebox/vision").find(NAME) == usual / NAME

    asyncio.run(look())
