# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The station's lines over its other links: a TCP server and a serial line."""

from __future__ import annotations

import json
import socket
import time

import pytest
import serial

from thebox_sim.scenario import load_scenario
from thebox_sim.serial_line import SerialLine
from thebox_sim.sky import Sky, Target

PATIENCE = 30.0


def sighting(lines):
    """The first line of these that is whole and tells a bearing."""
    for line in lines:
        try:
            fields = json.loads(line)
        except ValueError:
            continue  # a line that was under way when the port was opened
        if "bearing_deg" in fields:
            return fields
    return None


def until_sighting(read):
    end, held = time.monotonic() + PATIENCE, b""
    while time.monotonic() < end:
        held += read()
        found = sighting(held.split(b"\n")[:-1])
        if found:
            return found
    pytest.fail(f"no sighting: {held[:200]!r}")


def test_lines_over_tcp():
    sky = Sky(load_scenario("harbour"), 1, {}, 1.7e9, 5.0, listen={"mara": Target("127.0.0.1", 0)})
    sky.start()
    try:
        with socket.create_connection(("127.0.0.1", sky.ports()["mara"]), PATIENCE) as link:
            found = until_sighting(lambda: link.recv(65536))
            assert found["channel"] in ("EO", "IR", "ACOUSTIC")
            assert sky.counts()["mara"].clients == 1
    finally:
        sky.stop()


def test_lines_over_a_serial_line(tmp_path):
    path = tmp_path / "mara"
    sky = Sky(load_scenario("harbour"), 1, {}, 1.7e9, 5.0, serial={"mara": str(path)})
    sky.start()
    try:
        with serial.Serial(str(path), 115200, timeout=0.2, exclusive=True) as port:
            assert until_sighting(lambda: port.read(4096))["sensor_id"] == "mara-1"
        assert sky.counts()["mara"].datagrams > 0
        sky.set_fault("mara", "silent")
        with pytest.raises(ValueError, match="no connection to drop"):
            sky.set_fault("mara", "tcp_drop")
    finally:
        sky.stop()
    assert not path.is_symlink()


def test_a_serial_line_keeps_nothing_for_who_comes_later(tmp_path):
    line = SerialLine(str(tmp_path / "line"))
    try:
        # More than any terminal holds, with nobody there.
        assert not all(line.write(b"old" * 500) for _ in range(50))
        with serial.Serial(str(tmp_path / "line"), timeout=1.0) as port:
            assert len(port.read(50 * 1500)) < 50 * 1500
            port.timeout = PATIENCE
            assert line.write(b"new\n")
            assert port.read_until(b"new\n").endswith(b"new\n")
    finally:
        line.close()


def test_a_file_in_the_place_of_the_link_is_not_touched(tmp_path):
    path = tmp_path / "line"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        SerialLine(str(path))
    assert path.read_text() == "mine"
