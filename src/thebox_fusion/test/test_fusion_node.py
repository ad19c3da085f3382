# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The fusion node on a live graph: Detections in, tracks out."""

from __future__ import annotations

import gc
import math
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock as ClockMessage

from thebox_core.health import ERROR, OK, WARN
from thebox_core.messages import new_detection, seconds, to_time, to_uuid
from thebox_core.packed_detection import PackedDetection
from thebox_core.parameters import ParameterError
from thebox_core.qos import DETECTIONS, STATE
from thebox_fusion.node import Fusion
from thebox_fusion.tracker import Tracker
from thebox_interfaces.msg import Detection, Track, TrackArray
from thebox_interfaces.srv import GetTrackEvidence

pytestmark = pytest.mark.graph

HEALTH = "fusion: tracking"


def emission(
    at: float, bearing: float = 1.0, key: str = "154", sensor: str = "droneshield"
) -> Detection:
    message = new_detection()
    message.header.stamp = to_time(at)
    message.received = to_time(time.time())
    message.sensor, message.modality = sensor, Detection.MODALITY_RF
    message.bearing, message.bearing_std = bearing % (2 * math.pi), 0.1
    message.sensor_track_id, message.label, message.rssi = key, "drone", -50.0
    return message


class Sky:
    """A sensor's publisher and the picture that comes of it."""

    def __init__(self, live: Any, sensor: str = "droneshield") -> None:
        self.live = live
        self.sensor = sensor
        self.publisher = live.observer.create_publisher(
            Detection, f"detections/{sensor}", DETECTIONS
        )

    def publish(self, *messages: Detection) -> None:
        for message in messages:
            self.publisher.publish(message)

    def until(
        self, what: Callable[[], Any], why: str, make: Callable[[], Detection], every: float = 0.05
    ) -> Any:
        """Publish again and again until something is so."""

        def step() -> Any:
            self.publish(make())
            time.sleep(every)
            return what()

        return self.live.wait(step, why)


def fused(live: Any, **parameters: Any) -> tuple[Any, list[TrackArray], Sky]:
    """An active fusion node that listens to a sensor, and the pictures it publishes."""
    pictures: list[TrackArray] = live.listen(TrackArray, "tracks/fused", STATE)
    sky = Sky(live)
    node = live.start(Fusion, **parameters)
    live.wait(lambda: node.is_active, "active")
    live.wait(lambda: sky.publisher.get_subscription_count() == 1, "its ear")
    live.wait(lambda: node.count_subscribers("/thebox/tracks/fused") == 1, "the observer")
    live.wait(lambda: "/thebox/detections/droneshield" in node._inputs, "the topic discovered")
    live.wait(lambda: pictures, "a first picture")
    return node, pictures, sky


def tracks(pictures: list[TrackArray], state: int = Track.STATE_CONFIRMED) -> list[Track]:
    return [track for track in pictures[-1].tracks if track.state == state]


def now_emission(bearing: float = 1.0, key: str = "154") -> Callable[[], Detection]:
    return lambda: emission(time.time(), bearing, key)


def change(live: Any, name: str, value: float) -> Any:
    parameter = ParameterMessage(
        name=name,
        value=ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value),
    )
    return live.call(
        SetParametersAtomically,
        "fusion/set_parameters_atomically",
        SetParametersAtomically.Request(parameters=[parameter]),
    ).result


def test_dear_cycles_take_in_more_detections_each(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor that is short must not let the picture fall behind without end."""
    node, _, sky = fused(live)
    cheap = Tracker.advance

    def dear(tracker: Tracker, to: float) -> Any:
        time.sleep(0.4)  # what a cycle costs where the processor is short
        return cheap(tracker, to)

    monkeypatch.setattr(Tracker, "advance", dear)
    before, count = node.cycle.count, 300
    messages = [emission(time.time() + i * 1e-4) for i in range(count)]
    for message in messages:
        message.received = to_time(time.time() - 3.0)
    sky.publish(*messages)
    live.wait(lambda: node.detections["droneshield"] == count, "all of them read")
    live.wait(lambda: not node._waiting, "all of them tracked")
    # With no time left between two cycles each of them takes in one.
    assert node.cycle.count - before < count / 5
    assert node.dropped == 0
    live.wait(lambda: live.level(HEALTH) == WARN, "a warning")
    assert "s behind the sensors" in live.health[HEALTH].message


def plots(at: float) -> list[Detection]:
    """A radar's look: all of it at one time, in all directions."""
    look = []
    for number in range(8):
        message = emission(at, 0.7 * number, key="", sensor="dspnor")
        message.modality = Detection.MODALITY_RADAR
        message.range, message.range_std = 1000.0 + 100.0 * number, 10.0
        look.append(message)
    return look


def test_a_look_that_comes_at_once_is_one_cycle(live: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut in two, the second half would be late to the first, and all done again."""
    node, _, _ = fused(live)
    node._stop_timers()
    node._begin()
    clock = [node.steady() + 10.0]
    monkeypatch.setattr(node, "steady", lambda: clock[0])
    begin = time.time() - 20.0
    for second in range(6):  # from which the tracker finds that they come together
        for message in plots(begin + second):
            node._on_detection(serialize_message(message))
        clock[0] += 1.0
        node._tick()
    assert node.tracker.state.sensors[0].simultaneous
    cycles, again = node.cycle.count, node.tracker.counters["processed again"]
    clock[0] += 1.0
    for message in plots(begin + 7.0):
        node._on_detection(serialize_message(message))
        clock[0] += 0.0005
        node._tick()
    assert (node.cycle.count, len(node._waiting)) == (cycles, 8)
    clock[0] += 0.005
    node._tick()
    assert (node.cycle.count, node._waiting) == (cycles + 1, [])
    assert node.tracker.counters["processed again"] == again
    # What comes without end is taken in pieces, and what comes alone at once.
    clock[0] += 1.0
    for message in plots(begin + 8.0) * 6:
        node._on_detection(serialize_message(message))
        clock[0] += 0.0005
    assert node.cycle.count == cycles + 2
    clock[0] += 1.0
    node._tick()
    cycles = node.cycle.count
    clock[0] += 1.0
    node._on_detection(serialize_message(emission(begin + 9.0)))
    assert (node.cycle.count, node._waiting) == (cycles + 1, [])


def test_what_waited_too_long_is_left_out_and_counted(live: Any) -> None:
    node, _, _ = fused(live)
    now = time.time()
    messages = [emission(now) for _ in range(4)]
    for message, waited in zip(messages, (60.0, 5.5, 4.5, 0.0), strict=True):
        message.received = to_time(now - waited)
    unknown = emission(now)
    unknown.received = Time()
    waiting = [PackedDetection.read(serialize_message(m)) for m in (unknown, *messages)]
    assert node._recent(waiting) == [waiting[0], *waiting[3:]]
    assert node._recent([]) == []
    assert node.dropped == 2
    live.wait(lambda: live.level(HEALTH) == WARN, "a warning")
    assert "2 detections dropped" in live.health[HEALTH].message


def test_a_replay_faster_than_life_loses_nothing(live: Any) -> None:
    node = live.start(Fusion, use_sim_time=True)
    messages = [emission(100.0), emission(160.0)]
    messages[0].received, messages[1].received = to_time(100.0), to_time(160.0)
    waiting = [PackedDetection.read(serialize_message(m)) for m in messages]
    assert node._recent(waiting) == waiting


def test_what_is_no_detection_is_refused_and_counted(live: Any) -> None:
    node, _, _ = fused(live)
    node._on_detection(b"\x00\x01\x00\x00" + b"\xff" * 20)
    assert node.rejected["not_a_detection"] == 1
    assert node._waiting == [] and node.detections.total() == 0
    live.wait(lambda: live.value(HEALTH, "rejected.not_a_detection") == "1", "the count")


def test_detections_become_a_confirmed_track(live: Any) -> None:
    node, pictures, sky = fused(live)
    sky.until(lambda: tracks(pictures), "a confirmed track", now_emission(2.5))
    (track,) = tracks(pictures)
    assert track.bearing == pytest.approx(2.5, abs=0.2)
    assert (track.number, track.label, track.object_class) == (1, "drone", Track.CLASS_DRONE)
    assert list(track.sensors) == ["droneshield"]
    assert list(track.sensor_track_ids) == ["droneshield:154"]
    assert not track.range_observed
    assert 0.5 < track.confidence <= 1.0
    picture = pictures[-1]
    assert picture.header.frame_id == "map"
    assert picture.header.stamp == track.header.stamp
    assert 0.0 <= seconds(picture.header.stamp) - seconds(picture.newest_detection) < 30.0
    stamps = [seconds(each.header.stamp) for each in pictures]
    assert stamps == sorted(stamps)
    live.wait(lambda: live.value(HEALTH, "tracks.confirmed") == "1", "its count")
    live.wait(
        lambda: live.value(HEALTH, "latency.count") == live.value(HEALTH, "detections.droneshield"),
        "a latency of each detection",
    )
    assert float(live.value(HEALTH, "latency.p50")) > 0.0
    assert live.level(HEALTH) == OK
    assert "fixed at the map's origin" in live.health[HEALTH].message
    assert node.dropped == 0


def test_the_identity_stays_while_it_moves_and_ends_with_silence(live: Any) -> None:
    _, pictures, sky = fused(live, tracker__emitter_silence=1.0)
    begun = time.time()

    def moving() -> Detection:
        return emission(time.time(), 1.0 + 0.02 * (time.time() - begun))

    sky.until(lambda: tracks(pictures), "a confirmed track", moving)
    first = tracks(pictures)[0]
    after = len(pictures) + 20
    sky.until(lambda: len(pictures) > after, "more pictures", moving)
    (again,) = tracks(pictures)
    assert (again.id, again.number) == (first.id, first.number)
    live.wait(lambda: not tracks(pictures), "coasting or gone, in silence")


def test_late_and_future_stamps(live: Any) -> None:
    node, pictures, sky = fused(live)
    sky.until(lambda: tracks(pictures), "a confirmed track", now_emission())
    before = node.tracker.counters.copy()
    sky.publish(emission(time.time() - 1.0, key="154"))
    live.wait(lambda: node.tracker.counters["late"] > before["late"], "a late one used")
    sky.publish(emission(time.time() - 60.0))
    live.wait(lambda: node.tracker.counters["dropped: too late"] == 1, "a too late one counted")
    sky.publish(emission(time.time() + 3600.0))
    live.wait(
        lambda: node.tracker.counters["accepted"] == before["accepted"] + 2, "a future one used"
    )
    # It is taken as of now: the track does not wait for an hour.
    sky.until(lambda: tracks(pictures), "still confirmed", now_emission())
    assert seconds(pictures[-1].newest_detection) <= time.time() + 1.0
    live.wait(lambda: live.value(HEALTH, "association.dropped.too_late") == "1", "the count told")


def test_a_message_without_a_stamp_or_a_bearing_is_counted(live: Any) -> None:
    node, _, sky = fused(live)
    sky.publish(emission(time.time()))
    live.wait(lambda: node.tracker.counters["accepted"] == 1, "one accepted")
    bad = emission(time.time())
    bad.bearing = math.nan
    unstamped = emission(time.time())
    unstamped.header.stamp = Time()
    sky.publish(bad, unstamped, Detection())
    live.wait(lambda: node.detections.total() == 4, "four came")
    live.wait(
        lambda: sum(n for k, n in node.tracker.counters.items() if k.startswith("dropped")) == 3,
        "three dropped with a reason",
    )
    assert node.detections["unnamed"] == 1


def odometry(at: float, east: float) -> Odometry:
    message = Odometry()
    message.header.stamp = to_time(at)
    message.pose.pose.position.x = east
    message.pose.pose.orientation.w = 1.0
    return message


def test_own_ship_is_used_and_its_silence_is_a_warning(live: Any) -> None:
    node, pictures, sky = fused(live, ownship_max_age=0.5)
    publisher = live.observer.create_publisher(Odometry, "ownship/odometry", STATE)
    live.wait(lambda: publisher.get_subscription_count() == 1, "its ear")

    def both() -> Detection:
        publisher.publish(odometry(time.time(), 1234.0))
        return emission(time.time(), bearing=0.0)

    sky.until(lambda: tracks(pictures), "a confirmed track", both)
    assert node._own_position[0] == pytest.approx(1234.0)
    # Due north of where the own-ship is, not of the map's origin.
    assert tracks(pictures)[0].position.x == pytest.approx(1234.0, abs=2000.0)
    live.wait(lambda: live.level(HEALTH) == WARN, "the warning")
    assert "own-ship silent for" in live.health[HEALTH].message
    assert "check the ownship driver" in live.health[HEALTH].message
    # Its last position still serves.
    assert node._own_position[0] == pytest.approx(1234.0)
    # The age may be changed while it runs.
    assert change(live, "ownship_max_age", 500.0).successful
    assert node._own_ship.history.max_age == 500.0
    live.wait(lambda: live.level(HEALTH) == OK, "no warning")


def test_the_evidence_service(live: Any) -> None:
    _, pictures, sky = fused(live)
    sky.until(lambda: tracks(pictures), "a confirmed track", now_emission())
    track = tracks(pictures)[0]

    def ask(identity: Any, limit: int) -> Any:
        request = GetTrackEvidence.Request(track_id=identity, limit=limit)
        return live.call(GetTrackEvidence, "fusion/get_track_evidence", request)

    answer = ask(track.id, 0)
    assert answer.success
    assert len(answer.entries) > 3
    assert all(entry.kind for entry in answer.entries)
    stamps = [seconds(entry.stamp) for entry in answer.entries]
    assert stamps == sorted(stamps)
    assert len(ask(track.id, 2).entries) == 2
    nobody = ask(to_uuid(str(uuid.uuid4())), 0)
    assert not nobody.success
    assert "no track" in nobody.message
    assert not ask(to_uuid("00000000-0000-0000-0000-000000000000"), 0).success


def test_parameters_are_checked(live: Any) -> None:
    node, _, _ = fused(live)
    for name, value, why in (
        ("publish_rate_max", 1000.0, "range"),
        ("load_max", math.nan, "range|finite"),
        ("publish_rate_min", 50.0 + 1e-9, "range|outside"),
        ("tracker.max_lateness", -1.0, "range"),
    ):
        result = change(live, name, value)
        assert not result.successful
        assert any(word in result.reason for word in why.split("|")), result.reason
    assert change(live, "publish_rate_max", 5.0).successful
    result = change(live, "publish_rate_min", 6.0)
    assert not result.successful
    assert "must not be above publish_rate_max" in result.reason
    assert node.values["publish_rate_min"] == 2.0
    with pytest.raises(ParameterError, match="must not be above"):
        live.start(
            lambda **options: Fusion("second", **options),
            publish_rate_min=40.0,
            publish_rate_max=10.0,
        )


def test_other_settings_of_the_tracker_begin_anew(live: Any) -> None:
    node, pictures, sky = fused(live)
    sky.until(lambda: tracks(pictures), "a confirmed track", now_emission())
    old, identity = node.tracker, tracks(pictures)[0].id
    assert change(live, "load_max", 0.9).successful
    assert node.tracker is old
    assert change(live, "tracker.max_lateness", 3.0).successful
    assert node.tracker is not old
    assert node.tracker.parameters.max_lateness == 3.0
    live.wait(lambda: not pictures[-1].tracks, "an empty picture")
    sky.until(lambda: tracks(pictures), "confirmed anew", now_emission())
    assert tracks(pictures)[0].id != identity


def test_a_sixth_sensor_needs_no_setting(live: Any) -> None:
    node, pictures, sky = fused(live)
    sixth = Sky(live, "listening_post")
    other = live.observer.create_publisher(Odometry, "detections/not_one", STATE)
    live.wait(lambda: sixth.publisher.get_subscription_count() == 1, "discovered")
    sixth.until(
        lambda: tracks(pictures),
        "a confirmed track of it",
        lambda: emission(time.time(), sensor="listening_post"),
    )
    assert list(tracks(pictures)[0].sensors) == ["listening_post"]
    assert set(node._inputs) == {
        "/thebox/detections/droneshield",
        "/thebox/detections/listening_post",
    }
    assert other.get_subscription_count() == 0
    live.wait(lambda: live.value(HEALTH, "detections.listening_post") != "", "its count")
    del sky


def rate_of(pictures: list[TrackArray], begun: int) -> float:
    stamps = [seconds(picture.header.stamp) for picture in pictures[begun:]]
    return (len(stamps) - 1) / (stamps[-1] - stamps[0])


def test_pictures_come_no_more_often_than_the_ceiling(live: Any) -> None:
    _, pictures, sky = fused(live, publish_rate_max=10.0)
    begun = len(pictures)
    sky.until(lambda: len(pictures) > begun + 12, "pictures", now_emission(), every=0.005)
    assert rate_of(pictures, begun) <= 12.0
    # The ceiling may be changed while it runs.
    assert change(live, "publish_rate_max", 3.0).successful
    begun = len(pictures) + 1
    sky.until(lambda: len(pictures) > begun + 6, "pictures", now_emission(), every=0.005)
    assert rate_of(pictures, begun) <= 4.0


def test_pictures_come_also_in_a_silent_sky(live: Any) -> None:
    node, pictures, _ = fused(live, publish_rate_min=4.0)
    begun, stamp = len(pictures), time.monotonic()
    live.wait(lambda: len(pictures) >= begun + 9, "pictures of nothing")
    took = time.monotonic() - stamp
    # A busy machine may be slower, none is faster than its minimum when there is no cause.
    assert took >= 0.7 * 8 / 4.0
    assert pictures[-1].tracks == []
    assert node.is_active


def test_a_fault_of_the_tracker_costs_the_tracks_not_the_node(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, pictures, sky = fused(live)
    sky.until(lambda: tracks(pictures), "a confirmed track", now_emission())
    whole = Tracker.advance

    def faulty(self: Tracker, at: float) -> None:
        raise FloatingPointError("a fault of ours")

    monkeypatch.setattr(Tracker, "advance", faulty)
    sky.publish(emission(time.time()))
    live.wait(lambda: live.level(HEALTH) == ERROR, "the error")
    assert "a fault of ours" in live.health[HEALTH].message
    monkeypatch.setattr(Tracker, "advance", whole)
    sky.until(lambda: tracks(pictures), "confirmed again", now_emission())
    assert node.is_active


def test_a_replay_that_starts_again_begins_anew(live: Any) -> None:
    """With use_sim_time the clock comes from /clock, here ten times life and then back."""
    clock = live.observer.create_publisher(ClockMessage, "/clock", 10)
    pictures: list[TrackArray] = live.listen(TrackArray, "tracks/fused", STATE)
    sky = Sky(live)
    node = live.start(Fusion, use_sim_time=True)
    live.wait(lambda: node.is_active, "active, though the clock stands still")
    live.wait(lambda: "/thebox/detections/droneshield" in node._inputs, "the topic discovered")
    at = 1000.0

    def tick() -> Detection:
        nonlocal at
        at += 0.5
        clock.publish(ClockMessage(clock=to_time(at)))
        return emission(at - 0.2)

    sky.until(lambda: pictures and tracks(pictures), "a confirmed track", tick)
    identity = tracks(pictures)[0].id
    assert 1000.0 <= seconds(pictures[-1].header.stamp) <= at
    at = 500.0
    sky.until(
        lambda: tracks(pictures) and seconds(pictures[-1].header.stamp) < 900.0,
        "confirmed again, in the past",
        tick,
    )
    assert tracks(pictures)[0].id != identity


def test_deactivated_it_neither_listens_nor_publishes(live: Any) -> None:
    node, pictures, sky = fused(live)
    live.in_executor(node.trigger_deactivate)
    live.wait(lambda: sky.publisher.get_subscription_count() == 0, "its ear closed")
    live.wait(lambda: live.health[HEALTH].message == "inactive", "inactive")
    # Everything under way has come: nothing more does.
    count = len(pictures)
    assert live.call(
        GetTrackEvidence, "fusion/get_track_evidence", GetTrackEvidence.Request()
    ).message
    live.wait(lambda: live.value("fusion: life cycle", "lifecycle") == "inactive", "a second")
    assert len(pictures) == count
    live.in_executor(node.trigger_activate)
    live.wait(lambda: len(pictures) > count, "pictures again")


def test_a_hundred_times_round_the_circle_leaks_nothing(live: Any) -> None:
    sky = Sky(live)
    node = live.start(Fusion, autostart=False)

    def circle() -> None:
        node.trigger_configure()
        node.trigger_activate()
        assert node.is_active
        node.trigger_deactivate()
        node.trigger_cleanup()
        assert node.state == "unconfigured"

    def held() -> tuple[int, ...]:
        gc.collect()
        return (
            len(list(Path("/proc/self/fd").iterdir())),
            threading.active_count(),
            len(list(node.timers)),
            len(list(node.publishers)),
            len(list(node.subscriptions)),
            len(list(node.services)),
        )

    live.wait(
        lambda: "/thebox/detections/droneshield" in dict(node.get_topic_names_and_types()),
        "a topic to subscribe to",
    )
    live.in_executor(circle)
    before = held()
    for _ in range(100):
        live.in_executor(circle)
    after = held()
    assert after[0] <= before[0]
    assert after[1:] == before[1:]
    live.in_executor(node.trigger_configure)
    live.in_executor(node.trigger_activate)
    pictures: list[TrackArray] = live.listen(TrackArray, "tracks/fused", STATE)
    live.wait(lambda: pictures, "a first picture")
    sky.until(lambda: tracks(pictures), "a confirmed track", now_emission())
