# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A recorded capture through the whole box: every datagram counted, one track an emitter."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.graph, pytest.mark.capture]

#: Ten times life: five seconds instead of fifty.
RATE = "10"


def _count(output: str, name: str) -> int:
    match = re.search(rf"^\s+{re.escape(name)}\s+(\d+)$", output, re.MULTILINE)
    assert match, f"no count of '{name}' in:\n{output}"
    return int(match.group(1))


def _emitters(capture: Path) -> set[str]:
    lines = [line for line in capture.read_text().splitlines() if line.strip()]
    return {str(ast.literal_eval(line)["Data"]["CorrelationKey"]) for line in lines}


def _tracks(output: str) -> list[tuple[set[str], float]]:
    # number, label, identities, bearing, confidence
    rows = re.findall(r"^\s+\d+\s+.*?(droneshield:\S.*?)\s+([\d.]+)°\s+[\d.]+$", output, re.M)
    return [
        ({key.strip().removeprefix("droneshield:") for key in keys.split(",")}, float(bearing))
        for keys, bearing in rows
    ]


def test_every_emitter_of_the_capture_becomes_one_track(
    graph: Callable[..., Any], capture: Path
) -> None:
    live = graph("--replay", str(capture), "--rate", RATE, "--exit-after-replay")
    assert live.wait_ended(120.0) == 0, live.output + live.logs()
    output = live.output
    assert _count(output, "datagrams sent") == 300
    assert _count(output, "accepted") == 300
    assert _count(output, "rejected") == 0
    assert _count(output, "confirmed tracks") == 5
    tracks = _tracks(output)
    emitters = _emitters(capture)
    assert len(emitters) == 5
    assert sorted(map(sorted, (keys for keys, _ in tracks))) == sorted([key] for key in emitters)
    assert all(0.0 <= bearing < 360.0 for _, bearing in tracks)


def test_cut_line_is_counted_with_its_reason_and_harms_nothing(
    graph: Callable[..., Any], capture: Path, tmp_path: Path
) -> None:
    lines = capture.read_text().splitlines()
    cut = len(lines) // 2
    lines[cut] = lines[cut][: len(lines[cut]) // 2]
    damaged = tmp_path / "damaged.txt"
    damaged.write_text("\n".join(lines) + "\n")
    live = graph("--replay", str(damaged), "--rate", RATE, "--exit-after-replay")
    assert live.wait_ended(120.0) == 0, live.output + live.logs()
    output = live.output
    assert _count(output, "datagrams sent") == 300
    assert _count(output, "accepted") == 299
    assert _count(output, "rejected") == 1
    assert _count(output, "rejected.truncated") == 1
    assert _count(output, "confirmed tracks") == 5
