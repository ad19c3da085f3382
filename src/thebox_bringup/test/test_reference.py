# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from thebox_bringup.graph import NODES
from thebox_bringup.reference import files
from thebox_bringup.settings import check, load_file

ROOT = Path(__file__).resolve().parents[3]


def test_committed_files_are_what_the_generator_makes() -> None:
    for path, text in files(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, (
            f"{path} is out of date: run ./thebox run python -m thebox_bringup.reference --write"
        )


def test_shipped_file_gives_every_parameter_an_allowed_value() -> None:
    shipped = ROOT / "src" / "thebox_bringup" / "config" / "thebox.yaml"
    values = check(load_file(shipped, "/thebox"), NODES)
    for node in NODES:
        assert set(values[node.name]) == {p.name for p in node.load_parameters()}
