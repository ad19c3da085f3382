# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Bags: what is written opens elsewhere, what is replayed is the same each time."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from mcap.reader import make_reader
from mcap.writer import Writer as McapWriter
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag2 import Reader as RosbagsReader
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from std_msgs.msg import String

from thebox_bringup.recording.bag import (
    BagError,
    BagReader,
    BagWriter,
    Qos,
    Recorded,
    Topic,
    definition_of,
)
from thebox_bringup.recording.keeping import BagThread, Ring
from thebox_bringup.recording.offline import replay_offline
from thebox_core.messages import new_detection, new_track, to_time, to_uuid
from thebox_interfaces.msg import Detection, TrackArray

SECOND = 10**9
BEGIN = 1_767_225_600 * SECOND
#: What names the folder of bags that rosbag2 itself wrote: `rosbag2_py/test/resources` of its
#: sources, which are not copied into this repository.
ROSBAG2 = "THEBOX_ROSBAG2_BAGS"
LATCHED = Qos("reliable", "transient_local", "keep_last", 1)


def _sky() -> Any:
    found = importlib.util.spec_from_file_location("sky", Path(__file__).with_name("sky.py"))
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def _detection(bearing: float) -> bytes:
    message = new_detection()
    message.sensor, message.bearing = "mara", bearing
    return serialize_message(message)


def _write(path: Path, count: int = 10) -> BagWriter:
    writer = BagWriter(path)
    writer.add(Topic("/thebox/detections/mara", "thebox_interfaces/msg/Detection", (Qos(),)))
    writer.add(Topic("/said", "std_msgs/msg/String", (LATCHED,)))
    writer.write("/said", BEGIN, serialize_message(String(data="first")))
    for n in range(count):
        writer.write("/thebox/detections/mara", BEGIN + n * SECOND, _detection(0.1 * n))
    return writer


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of a simulated sky: the sensors' raw bytes and the truth."""
    path = tmp_path_factory.mktemp("sky") / "sky"
    return Path(_sky().record_sky(path, "crossing", 4.0))


def test_bag_opens_with_the_rosbags_library(tmp_path: Path) -> None:
    with _write(tmp_path / "bag"):
        pass
    store = get_typestore(Stores.ROS2_JAZZY)
    with RosbagsReader(tmp_path / "bag") as reader:
        assert reader.message_count == 11
        assert reader.duration == 9 * SECOND + 1
        by_topic = {c.topic: c for c in reader.connections}
        detection = by_topic["/thebox/detections/mara"]
        assert detection.digest.startswith("RIHS01_")
        (qos,) = by_topic["/said"].ext.offered_qos_profiles  # type: ignore[union-attr]
        assert qos.durability.name == "TRANSIENT_LOCAL"
        store.register(get_types_from_msg(detection.msgdef.data, detection.msgtype))
        bearings = [
            store.deserialize_cdr(data, connection.msgtype).bearing  # type: ignore[attr-defined]
            for connection, _, data in reader.messages([detection])
        ]
    assert bearings == pytest.approx([0.1 * n for n in range(10)])


def test_bag_is_what_foxglove_expects_of_ros2(tmp_path: Path) -> None:
    with _write(tmp_path / "bag"):
        pass
    with (tmp_path / "bag" / "bag_0.mcap").open("rb") as file:
        reader = make_reader(file)
        assert reader.get_header().profile == "ros2"
        summary = reader.get_summary()
        assert summary is not None
        assert {(s.name, s.encoding) for s in summary.schemas.values()} == {
            ("thebox_interfaces/msg/Detection", "ros2msg"),
            ("std_msgs/msg/String", "ros2msg"),
        }
        assert {c.message_encoding for c in summary.channels.values()} == {"cdr"}
        assert [m.name for m in reader.iter_metadata()] == ["rosbag2"]
        first = next(iter(reader.iter_messages(topics=["/said"])))[2]
    assert deserialize_message(first.data, String).data == "first"


def test_definition_holds_every_nested_type_once() -> None:
    text, type_hash = definition_of("thebox_interfaces/msg/TrackArray")
    assert type_hash.startswith("RIHS01_")
    used = [line.removeprefix("MSG: ") for line in text.splitlines() if line.startswith("MSG: ")]
    assert len(used) == len(set(used))
    assert {
        "thebox_interfaces/Track",
        "std_msgs/Header",
        "builtin_interfaces/Time",
        "unique_identifier_msgs/UUID",
    } <= set(used)
    with pytest.raises(BagError, match="not installed"):
        definition_of("nobody_msgs/msg/Nothing")


@pytest.mark.parametrize("storage", [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_bag_of_another_writer_is_read(tmp_path: Path, storage: StoragePlugin) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    with RosbagsWriter(tmp_path / "bag", version=9, storage_plugin=storage) as writer:
        connection = writer.add_connection("/said", "std_msgs/msg/String", typestore=store)
        for n in range(5):
            writer.write(connection, BEGIN + n, serialize_message(String(data=str(n))))
    with BagReader(tmp_path / "bag") as bag:
        assert bag.topics["/said"].type == "std_msgs/msg/String"
        assert [deserialize_message(m.data, String).data for m in bag.messages()] == list("01234")
        assert [m.stamp - BEGIN for m in bag.messages(start=BEGIN + 2, end=BEGIN + 4)] == [2, 3]


@pytest.fixture
def talker() -> Callable[[str], Path]:
    """Finds the bag "talker" of rosbag2's own tests by its storage; skips where it is absent."""

    def find(storage: str) -> Path:
        path = Path(os.environ.get(ROSBAG2, ""), storage, "talker")
        if not os.environ.get(ROSBAG2) or not (path / "metadata.yaml").is_file():
            pytest.skip(
                f"bags that rosbag2 wrote are not here ({ROSBAG2}: rosbag2_py/test/resources of "
                "its sources)"
            )
        return path

    return find


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_bag_that_rosbag2_wrote_is_read(storage: str, talker: Callable[[str], Path]) -> None:
    with BagReader(talker(storage)) as bag:
        assert bag.complete
        assert bag.topics["/topic"].type == "std_msgs/msg/String"
        assert bag.topics["/topic"].qos[0].reliability == "reliable"
        said = [deserialize_message(m.data, String).data for m in bag.messages({"/topic"})]
        assert said == [f"Hello, world! {n}" for n in range(10)]
        every = [m.stamp for m in bag.messages()]
        assert len(every) == 20
        assert every == sorted(every)
        assert every[0] == bag.start == 1585866235112411371


def _sqlite_bag(folder: Path) -> Path:
    store = get_typestore(Stores.ROS2_JAZZY)
    with RosbagsWriter(folder, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection("/said", "std_msgs/msg/String", typestore=store)
        for n in range(20):
            writer.write(connection, BEGIN + n, serialize_message(String(data=str(n))))
    return folder


def test_bag_without_metadata_is_read_all_the_same(tmp_path: Path) -> None:
    bag_folder = _sqlite_bag(tmp_path / "bag")
    (bag_folder / "metadata.yaml").unlink()
    with BagReader(bag_folder) as bag:
        assert sum(1 for _ in bag.messages()) == 20


def test_bag_whose_metadata_tells_another_quality_is_not_empty(tmp_path: Path) -> None:
    """rosbag2 writes a topic's QoS into both places, and not always in the same words."""
    described = _sqlite_bag(tmp_path / "bag") / "metadata.yaml"
    told = yaml.safe_load(described.read_text())
    (topic,) = told["rosbag2_bagfile_information"]["topics_with_message_count"]
    topic["topic_metadata"]["offered_qos_profiles"] = [
        {
            **{"history": "keep_last", "depth": 7, "reliability": "reliable"},
            **{"durability": "volatile", "liveliness": "automatic"},
            **{name: {"sec": 0, "nsec": 0} for name in ("deadline", "lifespan")},
            "liveliness_lease_duration": {"sec": 0, "nsec": 0},
            "avoid_ros_namespace_conventions": False,
        }
    ]
    described.write_text(yaml.safe_dump(told))
    with BagReader(tmp_path / "bag") as bag:
        assert sum(1 for _ in bag.messages({"/said"})) == 20


def test_bag_of_another_serialisation_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "talker.mcap"
    with raw.open("wb") as file:
        writer = McapWriter(file)
        writer.start(profile="ros2", library="other")
        schema = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data")
        channel = writer.register_channel("/said", "json", schema)
        writer.add_message(channel, BEGIN, b"{}", BEGIN)
        writer.finish()
    with pytest.raises(BagError, match="only as json"):
        BagReader(raw)


def test_bag_whose_recorder_was_killed_is_read_to_where_it_ends(tmp_path: Path) -> None:
    writer = _write(tmp_path / "bag", count=4000)
    # Not closed: no index, no metadata, as after kill -9.
    writer._file.flush()
    with BagReader(tmp_path / "bag") as bag:
        assert not bag.complete
        found = [m.stamp for m in bag.messages({"/thebox/detections/mara"})]
    assert len(found) > 500
    assert found == [BEGIN + n * SECOND for n in range(len(found))]
    writer.close()


def test_what_is_no_bag_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="no such bag"):
        BagReader(tmp_path / "nothing")
    with pytest.raises(BagError, match="neither"):
        BagReader(tmp_path)
    (tmp_path / "metadata.yaml").write_text("- no\n")
    with pytest.raises(BagError, match="cannot be read"):
        BagReader(tmp_path)
    with pytest.raises(BagError, match="is there already"):
        BagWriter(tmp_path)


def test_ring_saves_what_was_and_what_follows(tmp_path: Path) -> None:
    ring = Ring(seconds=10.0, bytes_max=10**9)
    ring.add(Topic("/said", "std_msgs/msg/String", (LATCHED,)))
    ring.add(Topic("/thebox/detections/mara", "thebox_interfaces/msg/Detection", (Qos(),)))
    ring.put(Recorded("/said", BEGIN, serialize_message(String(data="latched"))))
    for n in range(1, 60):
        stamp = BEGIN + n * SECOND
        ring.put(Recorded("/thebox/detections/mara", stamp, _detection(float(n))))
        if n == 30:
            path = ring.save(tmp_path / "saved", BEGIN + 40 * SECOND)
            # Another alert meanwhile: one bag that goes on for longer.
            assert ring.save(tmp_path / "second", BEGIN + 45 * SECOND) == path
        done = ring.finish(stamp, {"mara": {"source": "udp://x"}})
        assert (done is not None) == (n == 45)
    assert ring.span == pytest.approx(10.0)
    with BagReader(path) as bag:
        assert bag.parameters == {"mara": {"source": "udp://x"}}
        found = list(bag.messages())
    # What is latched is in force though it was said before the ring's time.
    assert deserialize_message(found[0].data, String).data == "latched"
    bearings = [deserialize_message(m.data, Detection).bearing for m in found[1:]]
    assert bearings == [float(n) for n in range(20, 46)]


def test_ring_is_bounded_in_bytes() -> None:
    ring = Ring(seconds=1e6, bytes_max=5000)
    ring.add(Topic("/said", "std_msgs/msg/String"))
    for n in range(1000):
        ring.put(Recorded("/said", BEGIN + n, bytes(100)))
    assert ring.bytes <= 5000


def test_disk_that_takes_no_more_is_said_and_counted(tmp_path: Path) -> None:
    bag = BagThread(tmp_path / "bag")
    bag.add(Topic("/said", "std_msgs/msg/String"))
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, bag.writer._file.fileno())
    os.close(full)
    for n in range(3000):
        bag.put(Recorded("/said", BEGIN + n * SECOND, os.urandom(1000)))
    with pytest.raises(BagError, match="cannot finish"):
        bag.close()
    assert bag.dropped
    assert "cannot write" in bag.fault


def test_offline_replay_gives_the_same_tracks_bit_for_bit(sky: Path) -> None:
    with BagReader(sky) as bag:
        first = replay_offline(bag)
        again = replay_offline(bag)
        other = replay_offline(bag, {"fusion": {"publish_rate_max": 3.0}})
    assert first.level == "raw"
    assert set(first.detections) == {"droneshield", "dspnor", "mara", "silvus"}
    assert first.tracks
    assert (again.digest, again.tracks) == (first.digest, first.tracks)
    assert other.digest != first.digest
    # And in another process, with other hashes and another address space.
    code = (
        "import sys; from pathlib import Path; from thebox_bringup.recording.bag import BagReader;"
        "from thebox_bringup.recording.offline import replay_offline;"
        "print(replay_offline(BagReader(Path(sys.argv[1]))).digest)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(sky)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert told.stdout.split()[-1] == first.digest


def test_what_comes_of_it_is_a_bag_that_can_be_scored(sky: Path, tmp_path: Path) -> None:
    from thebox_bringup.recording.replay import main as replay
    from thebox_bringup.score.command import main as score

    tracked = tmp_path / "tracked"
    assert replay([str(sky), "--offline", "--out", str(tracked), "--json"]) == 0
    with BagReader(tracked) as bag:
        assert {"/thebox/tracks", "/thebox/sim/truth"} <= set(bag.topics)
    assert score([str(tracked), "--html", str(tmp_path / "report.html"), "--json"]) == 0
    report = (tmp_path / "report.html").read_text()
    assert "probability of detection" in report
    assert "http" not in report
    # From the tracked bag's detections the same works, without raw bytes.
    assert replay([str(tracked), "--offline"]) == 0
    assert score([str(sky)]) == 1
    assert replay([str(sky), "--offline", "--set", "fusion.nothing=1"]) == 2


class _Process:
    def __init__(self, module: str, *arguments: str, domain: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"thebox_bringup.recording.{module}", *arguments],
            env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, number: int | None = None) -> tuple[str, int]:
        if number is not None:
            self.process.send_signal(number)
        try:
            out, _ = self.process.communicate(timeout=60.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return out, self.process.returncode


def test_recorded_graph_is_played_back(domain: int, observer: Any, tmp_path: Path) -> None:
    """What one node says is recorded, and another hears it from the bag, with its clock."""
    from rosgraph_msgs.msg import Clock

    from thebox_core.qos import STATE

    publisher = observer.node.create_publisher(TrackArray, "/thebox/tracks", STATE)
    recording = _Process("record", str(tmp_path / "bag"), "--json", domain=domain)
    observer.wait(lambda: publisher.get_subscription_count() > 0)
    track = new_track()
    track.id = to_uuid("00000000-0000-0000-0000-000000000007")
    for number in range(20):
        track.number = number
        array = TrackArray(tracks=[track])
        array.header.stamp = to_time(1000.0 + number)
        publisher.publish(array)
        time.sleep(0.02)
    out, status = recording.end(signal.SIGINT)
    assert status == 0, out
    told = json.loads(out)
    assert told["dropped"] == 0
    with BagReader(tmp_path / "bag") as bag:
        stored = [
            deserialize_message(m.data, TrackArray).tracks[0].number
            for m in bag.messages({"/thebox/tracks"})
        ]
    assert stored == list(range(20))
    observer.node.destroy_publisher(publisher)

    heard: list[int] = []
    clocks: list[int] = []
    observer.node.create_subscription(
        TrackArray, "/thebox/tracks", lambda m: heard.append(m.tracks[0].number), STATE
    )
    observer.node.create_subscription(Clock, "/clock", lambda m: clocks.append(m.clock.sec), 10)
    playing = _Process("replay", str(tmp_path / "bag"), "--loop", "--rate", "2", domain=domain)
    observer.wait(lambda: len(set(heard)) == 20 and bool(clocks))
    out, status = playing.end(signal.SIGINT)
    assert status == 130
    assert "messages played" in out


def test_bag_that_rosbag2_wrote_is_played(
    observer: Any, domain: int, talker: Callable[[str], Path]
) -> None:
    heard: list[str] = []
    observer.node.create_subscription(String, "/topic", lambda m: heard.append(m.data), 10)
    playing = _Process("replay", str(talker("mcap")), "--loop", "--rate", "20", domain=domain)
    observer.wait(lambda: len(set(heard)) == 10)
    assert set(heard) == {f"Hello, world! {n}" for n in range(10)}
    out, status = playing.end(signal.SIGINT)
    assert status == 130, out


def test_player_pauses_seeks_and_steps(
    domain: int, observer: Any, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
    from rcl_interfaces.srv import SetParameters

    from thebox_core.qos import LATCHED as IN_FORCE

    with _write(tmp_path / "bag", count=100):
        pass
    heard: list[float] = []
    said: list[str] = []
    observer.node.create_subscription(
        Detection, "/thebox/detections/mara", lambda m: heard.append(round(m.bearing, 3)), 1000
    )
    observer.node.create_subscription(String, "/said", lambda m: said.append(m.data), IN_FORCE)
    client = observer.node.create_client(SetParameters, "/thebox/replay/set_parameters")
    playing = _Process("replay", str(tmp_path / "bag"), "--paused", domain=domain)
    observer.wait(client.service_is_ready)

    def wish(name: str, value: ParameterValue) -> None:
        future = client.call_async(
            SetParameters.Request(parameters=[Parameter(name=name, value=value)])
        )
        observer.wait(future.done)
        assert future.result().results[0].successful

    assert heard == []
    kind = ParameterType
    wish("position", ParameterValue(type=kind.PARAMETER_DOUBLE, double_value=50.0))
    wish("paused", ParameterValue(type=kind.PARAMETER_BOOL, bool_value=False))
    # A player does not wait for who may listen: on a busy machine the two find each other late.
    observer.wait(lambda: bool(heard))
    wish("rate", ParameterValue(type=kind.PARAMETER_DOUBLE, double_value=1000.0))
    observer.wait(lambda: heard[-1] == 9.9)
    assert heard[0] >= 5.0
    # Latched before the place that was gone to: in force there.
    assert said[-1] == "first"
    _, status = playing.end()
    assert status == 0


def test_raw_bytes_go_back_into_the_drivers(
    domain: int, observer: Any, sky: Path, free_port: Callable[[], int]
) -> None:
    from thebox_core.qos import DETECTIONS

    port = free_port()
    driver = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "thebox_sensors.mara.node",
            "--ros-args",
            "-r",
            "__ns:=/thebox",
            "-p",
            f"source:=udp://127.0.0.1:{port}",
        ],
        env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
    )
    try:
        heard: list[Detection] = []
        observer.node.create_subscription(
            Detection, "/thebox/detections/mara", heard.append, DETECTIONS
        )
        observer.wait(lambda: bool(observer.node.get_publishers_info_by_topic("/thebox/raw/mara")))
        playing = _Process(
            "replay",
            str(sky),
            "--drivers",
            "--loop",
            "--to",
            f"mara=udp://127.0.0.1:{port}",
            domain=domain,
        )
        observer.wait(lambda: len(heard) >= 5)
        assert {each.sensor for each in heard} == {"mara"}
        playing.end(signal.SIGTERM)
    finally:
        driver.send_signal(signal.SIGINT)
        driver.wait(30.0)
