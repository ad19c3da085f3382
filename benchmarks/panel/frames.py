# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The panel in a headless Chromium: frames a second with 200 moving tracks, and start-up time.

    ./thebox run python benchmarks/panel/frames.py
    ./thebox run python benchmarks/panel/frames.py --latency

Needs Playwright (``./thebox test`` brings it) and Chromium. The tracks come at 10 Hz from a process
of their own, through the bridge and the panel's server, as ``benchmarks/bridge/load.py`` makes
them; trails grow while it runs. ``--latency`` starts a box on the simulated sky instead and takes
the time from ``up`` to a picture with a confirmed track, and from a datagram's receipt to the frame
that shows its track (median and 99th percentile).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import rclpy
from playwright.sync_api import sync_playwright
from rclpy.qos import QoSProfile

from thebox_core.messages import new_track
from thebox_interfaces.msg import Track, TrackArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "bridge"))
import load  # noqa: E402 - its own folder

#: Frames of the page, and of the picture in it, over a time; and the time painting took.
FRAMES = """(milliseconds) => new Promise((done) => {
  const began = performance.now(), painted = thebox.plan.frames, costs = [];
  let frames = 0;
  const frame = () => {
    frames++;
    costs.push(thebox.plan.paintTime);
    const took = (performance.now() - began) / 1000;
    if (took * 1000 < milliseconds) { requestAnimationFrame(frame); return; }
    costs.sort((a, b) => a - b);
    done({ frames_per_s: frames / took, painted_per_s: (thebox.plan.frames - painted) / took,
           paint_ms_median: costs[costs.length >> 1],
           paint_ms_p99: costs[Math.floor(costs.length * 0.99)],
           tracks: thebox.picture().tracks.length });
  };
  requestAnimationFrame(frame);
})"""

#: For each new picture, at the frame that paints it: now less the time of the newest detection.
LATENCIES = """(milliseconds) => new Promise((done) => {
  const began = performance.now(), found = [];
  let last = 0;
  const frame = () => {
    const { time, tracks } = thebox.picture();
    if (time !== last) {
      last = time;
      let newest = 0;
      for (const { lastUpdated } of tracks) newest = Math.max(newest, lastUpdated);
      found.push({ picture: Date.now() / 1000 - time, detection: Date.now() / 1000 - newest });
    }
    if (performance.now() - began < milliseconds) requestAnimationFrame(frame);
    else done(found);
  };
  requestAnimationFrame(frame);
})"""


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("no Chromium here: apt-get install chromium")
    return found


def page_of(playwright: Any, url: str) -> Any:
    browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(url)
    return page


def publish(count: int) -> None:
    """Publish so many ranged, confirmed, moving tracks at 10 Hz until killed."""
    rclpy.init()
    node = rclpy.create_node("tracks_source", namespace="/thebox")
    publisher = node.create_publisher(TrackArray, "tracks", QoSProfile(depth=10))
    array = TrackArray()
    array.header.frame_id = "map"
    for number in range(count):
        track = new_track()
        track.id.uuid = list((number + 1).to_bytes(16, "little"))
        track.number = number + 1
        track.label = "quadcopter"
        track.state = Track.STATE_CONFIRMED
        track.confidence = 0.9
        track.range_observed = True
        track.covariance[0] = track.covariance[7] = 400.0
        array.tracks.append(track)
    began = time.monotonic()
    step = 0
    while True:
        array.header.stamp = node.get_clock().now().to_msg()
        for number, track in enumerate(array.tracks):
            distance = 200.0 + 1300.0 * number / count
            angle = number * 2.4 + step * 1.5 / distance
            track.position.x = distance * math.sin(angle)
            track.position.y = distance * math.cos(angle)
            track.velocity.x = 15.0 * math.cos(angle)
            track.velocity.y = -15.0 * math.sin(angle)
            track.bearing = angle % math.tau
            track.bearing_std = 0.02
            track.range = distance
            track.range_std = 20.0
            track.last_updated = array.header.stamp
        publisher.publish(array)
        step += 1
        time.sleep(max(0.0, began + step / 10.0 - time.monotonic()))


def frames(seconds: float, count: int) -> dict[str, Any]:
    """Frames a second with so many tracks."""
    with load.Processes() as processes:
        processes.start(sys.executable, __file__, "--publish", "--tracks", str(count))
        load.start_ours(processes)
        with sync_playwright() as playwright:
            page = page_of(playwright, f"http://127.0.0.1:{load.PANEL_PORT}/")
            page.wait_for_function(
                f"() => globalThis.thebox?.picture().tracks.length >= {count}", timeout=60_000
            )
            page.wait_for_function("() => thebox.kept() > 10", timeout=60_000)
            return dict(page.evaluate(FRAMES, seconds * 1000))


def quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median_ms": 1000 * statistics.median(ordered),
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
    }


def latency(seconds: float) -> dict[str, Any]:
    """From ``up`` to a usable picture, and from a datagram to its pixel."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "THEBOX_RUN_DIR": folder, "THEBOX_NO_BUILD": "1"}
        began = time.monotonic()
        address = f"http://127.0.0.1:{load.PANEL_PORT}/"
        box = subprocess.Popen(
            [
                *(str(ROOT / "thebox"), "up", "--scenario", "harbour"),
                *("--set", f"panel.port={load.PANEL_PORT}"),
                *("--set", f"rosbridge.port={load.BRIDGE_PORT}"),
            ],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            result: dict[str, Any] = {}
            with sync_playwright() as playwright:
                while True:
                    try:
                        with urllib.request.urlopen(address):
                            break
                    except OSError:
                        if time.monotonic() - began > 120.0:
                            raise SystemExit("the panel does not answer") from None
                        time.sleep(0.05)
                result["up_to_page_s"] = time.monotonic() - began
                page = page_of(playwright, address)
                page.wait_for_function(
                    "() => globalThis.thebox?.picture().tracks.some("
                    "(one) => one.state === 'confirmed')",
                    timeout=120_000,
                )
                result["up_to_confirmed_track_on_screen_s"] = time.monotonic() - began
                found = page.evaluate(LATENCIES, seconds * 1000)
            result["pictures"] = len(found)
            result["track_array_to_frame"] = quantiles([one["picture"] for one in found])
            result["newest_detection_to_frame"] = quantiles([one["detection"] for one in found])
            return result
        finally:
            subprocess.run(
                [str(ROOT / "thebox"), "down"], env=environment, check=False, capture_output=True
            )
            box.wait(60.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--tracks", type=int, default=200)
    parser.add_argument("--latency", action="store_true", help="a box on the simulated sky")
    parser.add_argument("--publish", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.publish:
        publish(given.tracks)
    load_before = os.getloadavg()[0]
    result = latency(given.seconds) if given.latency else frames(given.seconds, given.tracks)
    result["load_average"] = [load_before, os.getloadavg()[0]]
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
