# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""Beacons of radars on a multicast group of the loopback."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from thebox_sensors.dspnor.control import Discovery
from thebox_sensors.dspnor.d2d import DISCOVERY_GROUP

PATIENCE = 30.0
BEACON = b"Dronnur-2D A".ljust(40, b"\0")


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
def radar() -> Iterator[socket.socket]:
    """What sends to the group through the loopback; bound, as it is there that it is heard."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        sender.bind(("127.0.0.1", 0))
        yield sender


def until_heard(discovery: Discovery, radar: socket.socket, port: int) -> None:
    end = time.monotonic() + PATIENCE
    while not discovery.heard:
        assert time.monotonic() < end, f"no beacon was heard; {discovery.fault or 'no fault'}"
        radar.sendto(BEACON, (DISCOVERY_GROUP, port))
        time.sleep(0.01)


def test_a_beacon_to_the_group_is_heard(radar: socket.socket, port: int) -> None:
    discovery = Discovery(DISCOVERY_GROUP, port, "127.0.0.1")
    discovery.start("test")
    try:
        until_heard(discovery, radar, port)
        assert discovery.newest() == "127.0.0.1"
        assert discovery.fault == ""
    finally:
        discovery.stop()


def test_two_boxes_on_one_machine_hear_the_same_beacon(radar: socket.socket, port: int) -> None:
    both = [Discovery(DISCOVERY_GROUP, port, "127.0.0.1") for _ in range(2)]
    for discovery in both:
        discovery.start("test")
    try:
        for discovery in both:
            until_heard(discovery, radar, port)
    finally:
        for discovery in both:
            discovery.stop()


def test_a_datagram_to_the_address_itself_is_no_beacon_of_the_group(
    radar: socket.socket, port: int
) -> None:
    discovery = Discovery(DISCOVERY_GROUP, port, "127.0.0.1")
    discovery.start("test")
    try:
        # Bound to the group: others may use the port on this machine.
        for _ in range(20):
            radar.sendto(BEACON[:39], ("127.0.0.1", port))
        until_heard(discovery, radar, port)
        assert discovery.rejected == 0
    finally:
        discovery.stop()
