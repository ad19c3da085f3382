# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The DroneShield driver on a live graph: datagrams on a UDP socket to Detections."""

from __future__ import annotations

import gc
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

from nav_msgs.msg import Odometry
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically

from thebox_core.health import ERROR, OK, STALE, WARN
from thebox_core.messages import MODALITIES, seconds, to_time
from thebox_core.qos import DETECTIONS, LATCHED, STATE
from thebox_interfaces.msg import Detection, SensorCoverage
from thebox_sensors import receiver
from thebox_sensors.droneshield.node import DroneShield
from thebox_sensors.ingest import Ingest

pytestmark = pytest.mark.graph

TOPIC = "detections/droneshield"


def emission(**fields: Any) -> bytes:
    content = {
        "AngleOfArrivalRadians": 0.5,
        "AbsoluteAngleOfArrivalRadians": -1.25,
        "AngleOfArrivalErrorRadians": 0.25,
        "CorrelationKey": "1541424276",
        "SerialNumber": "1541424276",
        "DetectionCount": 0,
        "EpochTimeMilliSeconds": int(time.time() * 1000) - 400,
        "FrequencyHertz": 5_799_000_000,
        "RSSI": -49,
        "SignalBars": 10,
        "Protocol": "FHSS",
        "Vendor": "DJI AUT",
        "Name": "DJI AUT XIA",
        "Type": "RADIO",
        "IsDrone": True,
        "MacAddress": "Empty_Field",
        **fields,
    }
    content = {key: value for key, value in content.items() if value is not None}
    return json.dumps({"APIVersion": "9", "Type": "Detection", "Data": content}).encode()


class Unit:
    """The unit's end of the socket."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self._socket.sendto(datagram, ("127.0.0.1", self.port))

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def unit(free_port: Callable[[], int]) -> Iterator[Unit]:
    each = Unit(free_port())
    yield each
    each.close()


def started(live: Any, unit: Unit, **parameters: Any) -> tuple[Any, list[Detection]]:
    """An active driver that hears the unit, and the detections it publishes."""
    heard: list[Detection] = live.listen(Detection, TOPIC, DETECTIONS)
    node = live.start(DroneShield, source=f"udp://127.0.0.1:{unit.port}", **parameters)
    bound(live, node)
    # The observer's subscription is matched, so that nothing published is missed.
    live.wait(lambda: node._publisher.get_subscription_count() == 1, "the observer")
    live.wait(lambda: live.observer.count_publishers(f"/thebox/{TOPIC}") == 1, "the driver")
    return node, heard


def bound(live: Any, node: Any) -> None:
    live.wait(
        lambda: node.is_active and node._ingest.transport is not None and _is_open(node),
        "an open port",
    )


def _is_open(node: Any) -> bool:
    transport = node._ingest.transport
    return transport is not None and transport._socket is not None


def sent(live: Any, unit: Unit, heard: list[Detection], *datagrams: bytes) -> list[Detection]:
    """Send until the first has come through (discovery may lag), then the rest."""
    before = len(heard)
    unit.send(*datagrams)
    live.wait(lambda: len(heard) >= before + len(datagrams), "the detections")
    return heard[before:]


def change(live: Any, **values: Any) -> Any:
    kinds = {
        str: (ParameterType.PARAMETER_STRING, "string_value"),
        float: (ParameterType.PARAMETER_DOUBLE, "double_value"),
    }
    parameters = []
    for name, value in values.items():
        kind, field = kinds[type(value)]
        parameters.append(
            ParameterMessage(
                name=name.replace("__", "."), value=ParameterValue(type=kind, **{field: value})
            )
        )
    request = SetParametersAtomically.Request(parameters=parameters)
    return live.call(
        SetParametersAtomically, "droneshield/set_parameters_atomically", request
    ).result


def test_a_datagram_becomes_a_detection(live: Any, unit: Unit) -> None:
    _, heard = started(live, unit)
    before = time.time()
    stamp = int(before * 1000) - 400
    (got,) = sent(live, unit, heard, emission(EpochTimeMilliSeconds=stamp, Extra="x"))
    after = time.time()
    assert got.sensor == "droneshield"
    assert MODALITIES[got.modality] == "RF"
    assert got.header.frame_id == "droneshield_link"
    assert got.bearing == pytest.approx(2 * math.pi - 1.25)
    assert got.bearing_std == 0.25
    assert got.sensor_track_id == "1541424276"
    assert got.label == "DJI AUT XIA"
    assert (got.frequency, got.rssi) == (5.799e9, -49.0)
    assert seconds(got.header.stamp) == pytest.approx(stamp / 1000, abs=1e-6)
    assert before - 0.05 <= seconds(got.received) <= after + 0.05
    attributes = {item.key: item.value for item in got.attributes}
    assert attributes["protocol"] == "FHSS"
    assert attributes["is_drone"] == "true"
    assert attributes["Extra"] == "x"
    assert "mac_address" not in attributes
    # What it does not measure is unknown.
    for value in (got.range, got.elevation, got.position.x, got.velocity.x, got.bandwidth):
        assert math.isnan(value)
    live.wait(lambda: live.value("droneshield: input", "accepted") == "1", "the count")
    assert live.level("droneshield: input") == OK


@pytest.mark.parametrize(
    ("source", "offset_ms", "expected"),
    [
        ("auto", -1500, "sensor"),
        ("auto", -60_000, "arrival"),
        ("auto", +60_000, "arrival"),
        ("arrival", -100, "arrival"),
        ("sensor", -60_000, "sensor"),
    ],
)
def test_stamps_by_stamp_source(
    live: Any, unit: Unit, source: str, offset_ms: int, expected: str
) -> None:
    node, heard = started(live, unit, stamp_source=source)
    told = int(time.time() * 1000) + offset_ms
    (got,) = sent(live, unit, heard, emission(EpochTimeMilliSeconds=told))
    stamp = seconds(got.header.stamp)
    if expected == "sensor":
        assert stamp == pytest.approx(told / 1000, abs=1e-6)
    else:
        assert stamp == seconds(got.received)
    assert node.stamps[expected] == 1


def test_no_time_of_its_own(live: Any, unit: Unit) -> None:
    node, heard = started(live, unit)
    (got,) = sent(live, unit, heard, emission(EpochTimeMilliSeconds=None))
    assert seconds(got.header.stamp) == seconds(got.received)
    assert change(live, stamp_source="sensor").successful
    unit.send(emission(EpochTimeMilliSeconds=None))
    live.wait(lambda: node.rejected["no_time"] == 1, "the reject")


def test_unknown_error_and_identity(live: Any, unit: Unit) -> None:
    _, heard = started(live, unit, bearing_sigma=0.4)
    (got,) = sent(
        live,
        unit,
        heard,
        emission(AngleOfArrivalErrorRadians=0, CorrelationKey=None, SerialNumber="Empty_Field"),
    )
    assert got.bearing_std == 0.4
    assert got.sensor_track_id == ""


def odometry(heading: float, at: float) -> Odometry:
    message = Odometry()
    message.header.stamp = to_time(at)
    yaw = math.pi / 2 - heading
    message.pose.pose.orientation.z = math.sin(yaw / 2)
    message.pose.pose.orientation.w = math.cos(yaw / 2)
    return message


def test_bow_relative_needs_the_heading_of_that_time(live: Any, unit: Unit) -> None:
    node, heard = started(live, unit, bearing_reference="bow", mounting_offset=0.1)
    unit.send(emission())
    live.wait(lambda: node.rejected["no_heading"] == 1, "the reject")
    live.wait(lambda: live.value("droneshield: input", "rejected.no_heading") == "1", "its count")
    assert "own-ship heading" in live.value("droneshield: input", "last_reject")
    live.wait(lambda: live.level("droneshield: input") in (WARN, STALE), "a warning")
    assert heard == []
    publisher = live.observer.create_publisher(Odometry, "ownship/odometry", STATE)
    live.wait(lambda: publisher.get_subscription_count() == 1, "the driver's ear")
    now = time.time()
    # It turns across north; the detection was measured in the middle.
    for heading, at in ((6.2, now - 1.0), (0.2, now)):
        publisher.publish(odometry(heading, at))
    live.wait(lambda: len(node._own_ship.history) == 2, "both poses")
    middle = int((now - 0.5) * 1000)
    (got,) = sent(live, unit, heard, emission(EpochTimeMilliSeconds=middle))
    share = 1.0 - (now - middle / 1000)
    heading = 6.2 + share * (0.2 + 2 * math.pi - 6.2)
    assert got.bearing == pytest.approx((heading + 0.5 + 0.1) % (2 * math.pi), abs=1e-4)
    # A mounting that is corrected while it runs.
    assert change(live, mounting_offset=-0.2).successful
    (got,) = sent(live, unit, heard, emission(EpochTimeMilliSeconds=middle))
    assert got.bearing == pytest.approx((heading + 0.5 - 0.2) % (2 * math.pi), abs=1e-4)


def test_true_reference_also_has_its_mounting(live: Any, unit: Unit) -> None:
    _, heard = started(live, unit, mounting_offset=1.5)
    (got,) = sent(live, unit, heard, emission())
    assert got.bearing == pytest.approx(0.25)


def test_garbage_is_counted_by_reason_and_harms_nothing(live: Any, unit: Unit) -> None:
    node, heard = started(live, unit)
    whole = emission()
    unit.send(
        whole[: len(whole) // 2],
        b"",
        b"\xff\xfe",
        b"[1, 2]",
        b'{"Type": "Heartbeat"}',
        b"{" * 5000,
        emission(AngleOfArrivalRadians=None, AbsoluteAngleOfArrivalRadians=None),
        emission(AbsoluteAngleOfArrivalRadians=90.0),
        emission(RSSI="loud"),
        emission(EpochTimeMilliSeconds=-5),
    )
    live.wait(lambda: node.rejected.total() + node.ignored.total() == 10, "ten that cannot be used")
    assert dict(node.rejected.items()) == {
        "truncated": 1,
        "empty": 1,
        "not_text": 1,
        "not_an_object": 1,
        "too_deep": 1,
        "no_bearing": 1,
        "bad_bearing": 1,
        "bad_rssi": 1,
        "bad_time": 1,
    }
    assert dict(node.ignored.items()) == {"not_a_detection": 1}
    assert heard == []
    live.wait(lambda: live.value("droneshield: input", "rejected") == "9", "the sum")
    assert live.value("droneshield: input", "rejected.truncated") == "1"
    sent(live, unit, heard, emission())
    assert node.accepted == 1
    live.wait(lambda: live.value("droneshield: input", "received") == "11", "all received")


def test_no_drones_are_left_out_on_demand(live: Any, unit: Unit) -> None:
    node, heard = started(live, unit, drones_only=True)
    unit.send(emission(IsDrone=False, Name="router"), emission(IsDrone=None), emission())
    live.wait(lambda: len(heard) == 2, "two of three")
    assert node.rejected["not_a_drone"] == 1


def test_a_fault_of_the_driver_costs_one_datagram(
    live: Any, unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, heard = started(live, unit)
    whole = DroneShield.to_detections

    def faulty(self: DroneShield, record: Any, stamp: float) -> Any:
        if record.name == "poison":
            raise ZeroDivisionError("a fault of ours")
        return whole(self, record, stamp)

    monkeypatch.setattr(DroneShield, "to_detections", faulty)
    sent(live, unit, heard, emission())
    unit.send(emission(Name="poison"))
    live.wait(lambda: node.rejected["driver_fault"] == 1, "the fault counted")
    sent(live, unit, heard, emission())


def test_source_changed_while_active_moves_the_port(
    live: Any, unit: Unit, free_port: Callable[[], int]
) -> None:
    node, heard = started(live, unit)
    sent(live, unit, heard, emission())
    moved = Unit(free_port())
    refused = change(live, source="udp://nowhere")
    assert not refused.successful
    assert "a host and a port" in refused.reason
    assert change(live, source=f"udp://127.0.0.1:{moved.port}").successful
    bound(live, node)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", unit.port))  # the old one is free
    sent(live, moved, heard, emission())
    live.wait(
        lambda: live.value("droneshield: input", "source").endswith(str(moved.port)), "the source"
    )
    moved.close()


def test_deactivated_it_gives_back_the_port_and_publishes_nothing(live: Any, unit: Unit) -> None:
    node, heard = started(live, unit)
    sent(live, unit, heard, emission())
    live.in_executor(node.trigger_deactivate)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", unit.port))
        unit.send(emission())
        other.settimeout(20.0)
        assert other.recv(65_536)  # it came here, so the driver cannot have it
    live.wait(lambda: live.level("droneshield: input") == STALE, "stale while inactive")
    assert live.health["droneshield: input"].message.startswith("inactive")
    assert len(heard) == 1
    live.in_executor(node.trigger_activate)
    bound(live, node)
    sent(live, unit, heard, emission())
    assert node.accepted == 2


def test_port_taken_is_an_error_with_what_to_do_then_it_recovers(
    live: Any, unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ingest, "BACK_OFF_FIRST", 0.05)
    monkeypatch.setattr(Ingest, "BACK_OFF_LAST", 0.1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", unit.port))
        heard: list[Detection] = live.listen(Detection, TOPIC, DETECTIONS)
        node = live.start(DroneShield, source=f"udp://127.0.0.1:{unit.port}")
        live.wait(lambda: live.level("droneshield: input") == ERROR, "the error")
        told = live.health["droneshield: input"].message
        assert f"UDP port {unit.port} is taken by another program: stop it" in told
        assert node.is_active
        live.wait(lambda: int(live.value("droneshield: input", "reconnects")) > 2, "more tries")
    bound(live, node)
    live.wait(lambda: node._publisher.get_subscription_count() == 1, "the observer")
    live.wait(lambda: live.observer.count_publishers(f"/thebox/{TOPIC}") == 1, "the driver")
    sent(live, unit, heard, emission())
    live.wait(lambda: live.level("droneshield: input") == OK, "health again")


def test_silence_is_stale(live: Any, unit: Unit) -> None:
    _, heard = started(live, unit, stale_after=0.1)
    live.wait(lambda: live.level("droneshield: input") == STALE, "stale")
    assert "nothing heard for" in live.health["droneshield: input"].message
    del heard


def test_a_capture_is_replayed_and_its_end_told(live: Any, unit: Unit, tmp_path: Path) -> None:
    capture = tmp_path / "capture.txt"
    lines = [emission(CorrelationKey=str(n), EpochTimeMilliSeconds=1757032603000) for n in range(9)]
    lines[4] = repr(json.loads(lines[4])).encode()  # as some relays write it
    lines.insert(2, lines[3][:100])
    capture.write_bytes(b"\n".join(lines) + b"\n")
    heard: list[Detection] = live.listen(Detection, TOPIC, DETECTIONS)
    node = live.start(DroneShield, source=f"file://{capture}?rate=max", autostart=False)
    live.in_executor(node.trigger_configure)
    live.wait(lambda: node._publisher.get_subscription_count() == 1, "the observer")
    live.wait(lambda: live.observer.count_publishers(f"/thebox/{TOPIC}") == 1, "the driver")
    live.in_executor(node.trigger_activate)
    live.wait(lambda: len(heard) == 9, "all of the capture")
    assert [message.sensor_track_id for message in heard] == [str(n) for n in range(9)]
    assert dict(node.rejected.items()) == {"truncated": 1}
    live.wait(lambda: live.level("droneshield: input") == WARN, "the end")
    assert "replayed to its end" in live.health["droneshield: input"].message


def test_a_burst_of_a_second_is_not_dropped(live: Any, unit: Unit) -> None:
    node, heard = started(live, unit)
    count = 1000
    unit.send(*(emission(CorrelationKey=str(n)) for n in range(count)))
    live.wait(lambda: len(heard) == count, "the burst")
    assert [message.sensor_track_id for message in heard] == [str(n) for n in range(count)]
    assert (node._ingest.dropped, node._ingest.kernel_drops) == (0, 0)


def test_coverage_is_latched_and_follows_its_parameters(live: Any, unit: Unit) -> None:
    started(live, unit, coverage__bearing_start=1.0, coverage__bearing_end=2.0)
    heard: list[SensorCoverage] = live.listen(SensorCoverage, "coverage/droneshield", LATCHED)
    live.wait(lambda: heard, "the latched coverage")
    assert (heard[-1].sensor, heard[-1].bearing_start, heard[-1].bearing_end) == (
        "droneshield",
        1.0,
        2.0,
    )
    assert change(live, coverage__range_max=777.0).successful
    live.wait(lambda: heard[-1].range_max == 777.0, "the new coverage")


def test_sector_from_the_bow_turns_with_the_own_ship(live: Any, unit: Unit) -> None:
    heard: list[SensorCoverage] = live.listen(SensorCoverage, "coverage/droneshield", LATCHED)
    node, _ = started(
        live,
        unit,
        bearing_reference="bow",
        coverage__bearing_start=6.0,
        coverage__bearing_end=1.0,
    )
    live.wait(lambda: node.is_active, "the driver")
    # Without a heading the sector has no direction, and none is made up.
    assert heard == []
    ship = live.observer.create_publisher(Odometry, "ownship/odometry", STATE)

    def sector_at(heading: float) -> bool:
        ship.publish(odometry(heading, time.time()))
        return bool(heard) and heard[-1].bearing_start == pytest.approx(
            (6.0 + heading) % (2.0 * math.pi), abs=1e-6
        )

    for heading in (1.5, 0.1):
        live.wait(lambda heading=heading: sector_at(heading), f"the sector at {heading} rad")
        assert heard[-1].bearing_end == pytest.approx(1.0 + heading, abs=1e-6)
    # All around is all around, wherever the bow points.
    assert change(live, coverage__bearing_start=1.0).successful
    live.wait(lambda: heard[-1].bearing_start == heard[-1].bearing_end, "all around")


def test_warning_of_drops_ends_a_while_after_the_last(
    live: Any, unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "DROPS_WARNED", 3.0)
    node, _ = started(live, unit, stale_after=3600.0)
    live.wait(lambda: live.level("droneshield: input") == OK, "a driver in order")
    node._ingest.dropped = 7
    live.wait(lambda: live.level("droneshield: input") == WARN, "the warning")
    assert "7 datagrams dropped" in live.health["droneshield: input"].message
    live.wait(lambda: live.level("droneshield: input") == OK, "the end of the warning")
    # The count stays for whoever wants it.
    assert live.value("droneshield: input", "dropped") == "7"


def test_a_second_unit_by_another_name(live: Any, unit: Unit) -> None:
    heard: list[Detection] = live.listen(Detection, "detections/mast", DETECTIONS)
    node = live.start(
        lambda **options: DroneShield("mast", **options), source=f"udp://127.0.0.1:{unit.port}"
    )
    bound(live, node)
    live.wait(lambda: node._publisher.get_subscription_count() == 1, "the observer")
    live.wait(lambda: live.observer.count_publishers("/thebox/detections/mast") == 1, "the driver")
    (got,) = sent(live, unit, heard, emission())
    assert (got.sensor, got.header.frame_id) == ("mast", "mast_link")


def test_composed_in_one_process_each_on_its_own(
    live: Any, unit: Unit, free_port: Callable[[], int]
) -> None:
    """Two drivers on one executor: one deactivated, faulty or flooded leaves the other alone."""
    other_unit = Unit(free_port())
    node, heard = started(live, unit)
    others: list[Detection] = live.listen(Detection, "detections/mast", DETECTIONS)
    other = live.start(
        lambda **options: DroneShield("mast", **options),
        source=f"udp://127.0.0.1:{other_unit.port}",
    )
    bound(live, other)
    live.wait(lambda: other._publisher.get_subscription_count() == 1, "the observer")
    live.wait(lambda: live.observer.count_publishers("/thebox/detections/mast") == 1, "the other")
    sent(live, unit, heard, emission())
    sent(live, other_unit, others, emission())
    live.in_executor(node.trigger_deactivate)
    sent(live, other_unit, others, *(emission() for _ in range(50)))
    live.in_executor(node.trigger_activate)
    bound(live, node)
    sent(live, unit, heard, emission())
    assert (node.accepted, other.accepted) == (2, 51)
    other_unit.close()


def _held(node: Any) -> tuple[int, ...]:
    gc.collect()  # what earlier tests left to it must not be counted, nor free descriptors later
    return (
        len(list(Path("/proc/self/fd").iterdir())),
        threading.active_count(),
        len(list(node.timers)),
        len(list(node.publishers)),
        len(list(node.subscriptions)),
        len(list(node.services)),
    )


def test_a_hundred_times_round_the_circle_leaks_nothing(live: Any, unit: Unit) -> None:
    node = live.start(DroneShield, source=f"udp://127.0.0.1:{unit.port}", autostart=False)

    def circle() -> None:
        node.trigger_configure()
        node.trigger_activate()
        assert node.is_active
        node.trigger_deactivate()
        node.trigger_cleanup()
        assert node.state == "unconfigured"

    live.in_executor(circle)
    before = _held(node)
    for _ in range(100):
        live.in_executor(circle)
    after = _held(node)
    assert after[0] <= before[0]  # descriptors: the middleware may still let go of some
    assert after[1:] == before[1:]
    # And it still works.
    heard: list[Detection] = live.listen(Detection, TOPIC, DETECTIONS)
    live.in_executor(node.trigger_configure)
    live.in_executor(node.trigger_activate)
    bound(live, node)
    live.wait(lambda: node._publisher.get_subscription_count() == 1, "the observer")
    live.wait(lambda: live.observer.count_publishers(f"/thebox/{TOPIC}") == 1, "the driver")
    sent(live, unit, heard, emission())
