# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The bare-machine runner on a live graph: it comes up, it is watched over, it leaves nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.graph

#: How long a slow, busy machine may take for what usually takes seconds.
PATIENCE = 90.0


def _confirmed(message: Any) -> bool:
    from thebox_interfaces.msg import Track

    return any(track.state == Track.STATE_CONFIRMED for track in message.tracks)


def _until_gone(pids: list[int], patience: float = 20.0) -> list[int]:
    """Wait until these have ended; a zombie, whose parent has yet to ask for it, has."""
    end = time.monotonic() + patience
    while True:
        left = [
            process.pid
            for process in psutil.process_iter(["status"])
            if process.pid in pids and process.info["status"] != psutil.STATUS_ZOMBIE
        ]
        if not left or time.monotonic() >= end:
            return left
        time.sleep(0.05)


def _command(module: str, live: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"thebox_bringup.{module}", *arguments],
        env=live.environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=90.0,
    )


def test_simulated_sky_becomes_confirmed_tracks_and_ctrl_c_leaves_nothing(
    graph: Callable[..., Any], observer: Any
) -> None:
    from visualization_msgs.msg import Marker, MarkerArray

    from thebox_interfaces.msg import TrackArray

    live = graph("--scenario", "harbour", "--seed", "1")
    live.wait_healthy()
    picture = observer.wait_message(TrackArray, "/thebox/tracks", _confirmed)
    assert picture.header.frame_id == "map"
    drawn = observer.wait_message(
        MarkerArray,
        "/thebox/markers",
        lambda message: (
            any(m.ns == "track_text" for m in message.markers)
            and any(m.ns == "own_ship" for m in message.markers)
        ),
    )
    assert all(m.header.frame_id == "map" for m in drawn.markers if m.action == Marker.ADD)
    running = live.processes()
    assert set(running) >= {"droneshield", "fusion", "markers", "sky", "supervisord"}

    # A second one beside it is refused, and the first is not disturbed.
    second = _command("up", live)
    assert second.returncode == 2
    assert "already runs" in second.stderr
    assert "./thebox down" in second.stderr
    assert live.processes() == running

    live.send(signal.SIGINT)
    assert live.wait_ended() == 130
    assert _until_gone(list(running.values()), 0.0) == []
    # Every process ended when it was asked.
    supervisor_log = (live.run_dir / "log" / "supervisord.log").read_text()
    assert "SIGKILL" not in supervisor_log, supervisor_log + live.logs()


def test_composed_box_in_another_namespace_and_down_from_another_terminal(
    graph: Callable[..., Any], observer: Any
) -> None:
    from thebox_interfaces.msg import TrackArray

    live = graph("--composed", "--namespace", "/other/box")
    live.wait_healthy()
    assert set(live.processes()) == {
        "composed",
        "rosbridge_websocket",
        "sky",
        "supervisord",
    }
    observer.wait_message(TrackArray, "/other/box/tracks", _confirmed)
    down = _command("down", live)
    assert down.returncode == 0, down.stderr
    assert live.wait_ended() == 0


def test_killed_node_is_started_again_and_a_killed_supervisor_leaves_nothing(
    graph: Callable[..., Any], observer: Any
) -> None:
    from thebox_interfaces.msg import TrackArray

    live = graph()
    live.wait_healthy()
    before = live.processes()["fusion"]
    os.kill(before, signal.SIGKILL)
    again = live.wait_for(r"fusion was started again, pid (\d+)")
    assert int(again.group(1)) != before
    # The new one does the work.
    observer.wait_message(TrackArray, "/thebox/tracks", _confirmed)

    running = live.processes()
    os.kill(running["supervisord"], signal.SIGKILL)
    assert _until_gone(list(running.values())) == []
    assert live.wait_ended() == 1
    assert "the supervisor has ended" in live.output


def test_detached_box_runs_on_until_down(graph: Callable[..., Any]) -> None:
    live = graph("--detach")
    assert live.wait_ended(PATIENCE) == 0, live.output
    running = live.processes()
    assert set(running) >= {"droneshield", "fusion", "markers", "sky", "supervisord"}
    # A suspended supervisor is no obstacle.
    os.kill(running["supervisord"], signal.SIGSTOP)
    first = _command("down", live)
    assert first.returncode == 0, first.stderr
    assert f"stopped {len(running)} processes" in first.stdout
    assert _until_gone(list(running.values()), 0.0) == []
    second = _command("down", live)
    assert second.returncode == 0
    assert "nothing runs" in second.stdout


def test_killing_up_leaves_nothing(graph: Callable[..., Any]) -> None:
    live = graph()
    live.wait_for(r"starting \d+ processes")
    running = live.processes()
    assert "supervisord" in running
    os.kill(live.process.pid, signal.SIGKILL)
    assert _until_gone(list(running.values())) == []
    # The next command finds nothing that is left, whatever started meanwhile.
    assert _command("down", live).returncode == 0
    assert live.processes() == {}


def test_taken_port_is_named_with_the_log(
    graph: Callable[..., Any], free_port: Callable[[], int]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", free_port()))
        port = taken.getsockname()[1]
        live = graph("--set", f"droneshield.source=udp://127.0.0.1:{port}", "--timeout", "15")
        assert live.wait_ended(PATIENCE) == 1
    assert "Not healthy after 15 s" in live.output
    assert f"UDP port {port} is taken" in live.output
    assert str(live.run_dir / "log" / "droneshield.log") in live.output
    assert live.processes() == {}


def test_what_is_wrong_is_said_before_anything_starts(graph: Callable[..., Any]) -> None:
    live = graph("--set", "droneshield.sourc=1", "--set", "fusion.load_max=7.0")
    assert live.wait_ended() == 2
    assert "did you mean source" in live.output
    assert "outside" in live.output
    assert live.processes() == {}
