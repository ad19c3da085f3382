# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox smoke``: the whole chain of a running box, from detection to database."""

from __future__ import annotations

import argparse
import json
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from thebox_bringup.graph import PANEL, TRACKS
from thebox_bringup.operations.box import (
    GOOD,
    WRONG,
    AnswerError,
    Graph,
    add_common,
    connected,
    print_json,
    run,
)
from thebox_bringup.operations.health import look
from thebox_bringup.operations.validate import Finding
from thebox_core.qos import DETECTIONS, STATE
from thebox_interfaces.msg import Detection, Track, TrackArray
from thebox_interfaces.srv import GetStatistics

__all__ = ["check", "main"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox smoke",
        description="Follow the chain of a running box: nodes, life cycles, detections, tracks, "
        "the panel's server, the database.",
        epilog="examples:\n  thebox smoke\n  thebox smoke --timeout 60 --json\n\n"
        "It needs something to see: on a real box with an empty sky the steps for detections and\n"
        "tracks fail after the timeout.",
    )
    made.add_argument("--timeout", type=float, default=30.0, help="seconds for a step; default 30")
    add_common(made)
    return made


def _flow(graph: Graph, patience: float) -> list[Finding]:
    """Whether detections come, tracks are published, and one is confirmed."""
    changed = threading.Lock()
    heard: dict[str, int] = {}
    confirmed: set[bytes] = set()
    pictures = 0

    def on_detection(message: Any) -> None:
        with changed:
            heard[message.sensor] = heard.get(message.sensor, 0) + 1

    def on_tracks(message: Any) -> None:
        nonlocal pictures
        with changed:
            pictures += 1
            confirmed.update(
                bytes(bytearray(track.id.uuid))
                for track in message.tracks
                if track.state == Track.STATE_CONFIRMED
            )

    kept = [
        graph.node.create_subscription(Detection, f"detections/{name}", on_detection, DETECTIONS)
        for name in graph.expected()[1]
        if name != "ownship"
    ]
    kept.append(graph.node.create_subscription(TrackArray, TRACKS, on_tracks, STATE))
    detected = graph.wait(lambda: bool(heard), patience)
    shown = graph.wait(lambda: pictures >= 2, patience)
    tracked = graph.wait(lambda: bool(confirmed), patience if detected else 1.0)
    for subscription in kept:
        graph.unsubscribe(subscription)
    with changed:
        seen = ", ".join(f"{name} {count}" for name, count in sorted(heard.items()))
        return [
            Finding("sensors", "detections", detected, seen or "none: does anything fly?"),
            Finding("fusion", "pictures on tracks", shown, f"{pictures} heard"),
            Finding("fusion", "a confirmed track", tracked, f"{len(confirmed)} confirmed"),
        ]


def _panel(graph: Graph) -> Finding:
    address = graph.reported(PANEL).values.get("address", "").rstrip("/")
    if not address.startswith("http"):
        return Finding(PANEL, "HTTP", False, "the panel reports no address")
    try:
        with urllib.request.urlopen(address + "/", timeout=8.0) as answer:  # noqa: S310
            page = answer.status == 200 and b"<html" in answer.read(4000).lower()
        with urllib.request.urlopen(address + "/openapi.json", timeout=8.0) as answer:  # noqa: S310
            described = "openapi" in json.load(answer)
    except (OSError, ValueError) as error:
        return Finding(PANEL, "HTTP", False, f"{address}: {error}")
    good = page and described
    return Finding(PANEL, "HTTP", good, f"{address} {'answers' if good else 'serves no panel'}")


def _database(graph: Graph, patience: float) -> Finding:
    end = time.monotonic() + patience
    while True:
        try:
            told = graph.call(GetStatistics, "dronedb/get_statistics", GetStatistics.Request())
        except AnswerError as error:
            return Finding("dronedb", "keeps history", False, str(error))
        good = told.success and told.detections > 0 and told.tracks > 0
        # What was just seen is written in batches.
        if good or time.monotonic() > end:
            text = told.message or f"{told.detections} detections, {told.tracks} tracks"
            return Finding("dronedb", "keeps history", bool(good), text)
        time.sleep(0.5)


def check(graph: Graph, patience: float) -> list[Finding]:
    """Every step of the chain, in its order."""
    told = look(graph)
    sick = [
        f"{name} {one['word']}"
        for name, one in told["nodes"].items()
        if one["word"] in ("missing", "inactive", "failing")
    ]
    found = [
        Finding("box", "nodes well", not sick, ", ".join(sick) or f"{len(told['nodes'])} nodes")
    ]
    nodes = set(told["nodes"])
    found += _flow(graph, patience)
    if PANEL in nodes:
        found.append(_panel(graph))
    if "dronedb" in nodes:
        found.append(_database(graph, patience))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(argv)
    if not options.timeout > 0.0:
        parser().error("--timeout must be above 0")

    def work() -> int:
        with connected(options) as graph:
            found = check(graph, options.timeout)
        good = all(one.good for one in found)
        if options.json:
            print_json({"passed": good, "steps": [asdict(one) for one in found]})
        else:
            for one in found:
                print(f"  {'ok  ' if one.good else 'FAIL'} {one.node:<10}{one.check:<22}{one.text}")
            print("the chain works" if good else "the chain is broken: ./thebox health tells more")
        return GOOD if good else WRONG

    return run("smoke", work)


if __name__ == "__main__":
    raise SystemExit(main())
