# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Bags as rosbag2 writes them: a folder with metadata.yaml and MCAP files. No ROS graph needed.

Messages are serialised (CDR) and stay so. What rosbag2's MCAP storage puts into a file is put in
here too: profile ``ros2``, schemas ``ros2msg`` with every nested type, the publishers' QoS and the
type's hash with each channel, and the metadata record ``rosbag2``.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader, SeekingReader
from mcap.records import Channel, Message, Schema
from mcap.writer import CompressionType, Writer
from rosbags.rosbag2 import Reader as RosbagsReader
from rosbags.rosbag2 import ReaderError

__all__ = ["BagError", "BagReader", "BagWriter", "Qos", "Recorded", "Topic", "definition_of"]

_SEPARATOR = "=" * 80
_VERSION = 9  # of metadata.yaml, as of Jazzy
_PARAMETERS = "thebox_parameters"
_FOREVER = {"sec": 9223372036, "nsec": 854775807}
_PRIMITIVE = re.compile(r"(bool|byte|char|w?string|u?int(8|16|32|64)|float(32|64))(<=.*)?")


class BagError(Exception):
    """A bag that cannot be written or read; the text says why and what to do."""


class Qos(NamedTuple):
    """What a publisher offers, in rosbag2's words."""

    reliability: str = "reliable"
    durability: str = "volatile"
    history: str = "keep_last"
    depth: int = 10


@dataclass(frozen=True)
class Topic:
    """A topic of a bag."""

    name: str
    type: str
    qos: tuple[Qos, ...] = ()

    @property
    def latched(self) -> bool:
        """Whether a late joiner gets its last message."""
        return any(each.durability == "transient_local" for each in self.qos)


class Recorded(NamedTuple):
    """One message of a bag: when it was received, nanoseconds, and its bytes."""

    topic: str
    stamp: int
    data: bytes


# Definitions ----------------------------------------------------------------------------------


def _parts(type_name: str) -> tuple[str, str]:
    match = re.fullmatch(r"(\w+)/(?:msg/)?(\w+)", type_name)
    if match is None:
        raise BagError(f"'{type_name}' is no message type; write one like std_msgs/msg/String")
    return match.group(1), match.group(2)


@lru_cache(maxsize=512)
def _source(package: str, name: str) -> str:
    try:
        share = Path(get_package_share_directory(package))
        return (share / "msg" / f"{name}.msg").read_text(encoding="utf-8")
    except (PackageNotFoundError, OSError):
        raise BagError(
            f"the definition of {package}/msg/{name} is not installed: install or build {package}"
        ) from None


def _used(package: str, text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        kind = re.split(r"[\s\[<]", line.split("#")[0].strip(), maxsplit=1)[0]
        if not kind or _PRIMITIVE.fullmatch(kind):
            continue
        if "/" in kind:
            yield _parts(kind)
        elif kind == "Header":
            yield "std_msgs", "Header"
        else:
            yield package, kind


@lru_cache(maxsize=512)
def definition_of(type_name: str) -> tuple[str, str]:
    """Return the definition of a type with all that it uses (``ros2msg``), and its hash.

    Raises:
        BagError: its package is not installed.
    """
    package, name = _parts(type_name)
    text = _source(package, name)
    done = {(package, name)}
    parts = [text]
    waiting = list(_used(package, text))
    while waiting:
        one = waiting.pop(0)
        if one in done:
            continue
        done.add(one)
        source = _source(*one)
        parts.append(f"{_SEPARATOR}\nMSG: {one[0]}/{one[1]}\n{source}")
        waiting += _used(one[0], source)
    return "\n".join(part.rstrip("\n") + "\n" for part in parts), _hash(package, name)


def _hash(package: str, name: str) -> str:
    # REP-2016: the generator leaves the hashes beside the definitions.
    path = Path(get_package_share_directory(package)) / "msg" / f"{name}.json"
    try:
        hashes = json.loads(path.read_text(encoding="utf-8"))["type_hashes"]
        return str(next(h["hash_string"] for h in hashes if h["type_name"].endswith(f"/{name}")))
    except (OSError, KeyError, ValueError, StopIteration):
        return ""


def _qos_list(qos: Sequence[Qos]) -> list[dict[str, Any]]:
    return [
        {
            "history": each.history,
            "depth": each.depth,
            "reliability": each.reliability,
            "durability": each.durability,
            "deadline": dict(_FOREVER),
            "lifespan": dict(_FOREVER),
            "liveliness": "automatic",
            "liveliness_lease_duration": dict(_FOREVER),
            "avoid_ros_namespace_conventions": False,
        }
        for each in qos
    ]


# Before Jazzy, rosbag2 wrote the numbers of rmw's enumerations.
_NUMBERS = {
    "history": {1: "keep_last", 2: "keep_all"},
    "reliability": {1: "reliable", 2: "best_effort"},
    "durability": {1: "transient_local", 2: "volatile"},
}


def _read_qos(text: object) -> tuple[Qos, ...]:
    if isinstance(text, str):
        try:
            text = yaml.safe_load(text)
        except yaml.YAMLError:
            return ()
    found = []
    for each in text if isinstance(text, list) else []:
        words = {key: names.get(each.get(key), each.get(key)) for key, names in _NUMBERS.items()}
        found.append(
            Qos(
                "best_effort" if words["reliability"] == "best_effort" else "reliable",
                "transient_local" if words["durability"] == "transient_local" else "volatile",
                "keep_last",
                max(int(each.get("depth") or 0), 1),
            )
        )
    return tuple(found)


class _NoAliasDumper(yaml.SafeDumper):
    """rosbag2's reader knows no YAML aliases, which equal parts would become."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dump(value: Any) -> str:
    return yaml.dump(value, Dumper=_NoAliasDumper, sort_keys=False, default_flow_style=False)


# Writing --------------------------------------------------------------------------------------


@dataclass
class _Written:
    topic: Topic
    channel: int
    hash: str
    count: int = 0


class BagWriter:
    """Writes one bag, a folder that is made. Any thread may write. A context manager.

    A process that is killed leaves a bag without metadata and index, of which all but the last
    second can still be read and replayed (``ros2 bag reindex`` mends it for rosbag2).

    Raises:
        BagError: the folder is there already, or cannot be written.
    """

    FLUSH = 1_000_000_000  # nanoseconds of messages between two flushes to the system

    def __init__(self, path: Path, distro: str = "jazzy") -> None:
        self.path = path
        self._distro = distro
        self._lock = threading.Lock()
        self._topics: dict[str, _Written] = {}
        self._start = self._end = 0
        self._flushed = 0
        self._parameters: dict[str, Any] = {}
        self._file_name = f"{path.name}_0.mcap"
        self.bytes = 0
        try:
            path.mkdir(parents=True)
            self._file: BinaryIO = (path / self._file_name).open("wb")
        except FileExistsError:
            raise BagError(f"{path} is there already: give the bag another name") from None
        except OSError as error:
            raise BagError(f"cannot write {path}: {error.strerror}") from None
        self._writer = Writer(
            self._file, chunk_size=786_432, compression=CompressionType.ZSTD, use_chunking=True
        )
        self._writer.start(profile="ros2", library="thebox")
        self._schemas: dict[str, int] = {}
        self.closed = False

    @property
    def count(self) -> int:
        """Messages written."""
        return sum(each.count for each in self._topics.values())

    def add(self, topic: Topic) -> None:
        """Announce a topic, before its first message; again does nothing.

        Raises:
            BagError: its type's definition is not installed.
        """
        with self._lock:
            if topic.name in self._topics:
                return
            text, type_hash = definition_of(topic.type)
            if topic.type not in self._schemas:
                self._schemas[topic.type] = self._writer.register_schema(
                    topic.type, "ros2msg", text.encode()
                )
            channel = self._writer.register_channel(
                topic.name,
                "cdr",
                self._schemas[topic.type],
                {
                    "offered_qos_profiles": _dump(_qos_list(topic.qos)),
                    "topic_type_hash": type_hash,
                },
            )
            self._topics[topic.name] = _Written(topic, channel, type_hash)

    def write(self, topic: str, stamp: int, data: bytes) -> None:
        """Write a message received at ``stamp``, nanoseconds.

        Raises:
            BagError: the disk takes no more.
            KeyError: the topic was not announced.
        """
        with self._lock:
            if self.closed:
                raise BagError(f"{self.path} is closed")
            written = self._topics[topic]
            try:
                self._writer.add_message(written.channel, stamp, data, stamp, written.count)
                if abs(stamp - self._flushed) >= self.FLUSH:
                    self._flushed = stamp
                    self._file.flush()
            except OSError as error:
                raise BagError(f"cannot write {self.path}: {error.strerror}") from None
            written.count += 1
            self.bytes += len(data)
            self._start = stamp if not self._start else min(self._start, stamp)
            self._end = max(self._end, stamp)

    def set_parameters(self, parameters: dict[str, Any]) -> None:
        """Keep the nodes' parameters with the recording, for its replay offline."""
        self._parameters = parameters

    def close(self) -> None:
        """Write index and metadata; may be called twice.

        Raises:
            BagError: the disk takes no more.
        """
        with self._lock:
            if self.closed:
                return
            self.closed = True
            text = _dump(self._metadata())
            try:
                self._writer.add_metadata("rosbag2", {"serialized_metadata": text})
                if self._parameters:
                    self._writer.add_metadata(
                        _PARAMETERS, {"json": json.dumps(self._parameters, sort_keys=True)}
                    )
                self._writer.finish()
                self._file.close()
                (self.path / "metadata.yaml").write_text(text, encoding="utf-8")
            except OSError as error:
                raise BagError(f"cannot finish {self.path}: {error.strerror}") from None

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _metadata(self) -> dict[str, Any]:
        duration = {"nanoseconds": self._end - self._start}
        start = {"nanoseconds_since_epoch": self._start}
        return {
            "rosbag2_bagfile_information": {
                "version": _VERSION,
                "storage_identifier": "mcap",
                "duration": duration,
                "starting_time": start,
                "message_count": self.count,
                "topics_with_message_count": [
                    {
                        "topic_metadata": {
                            "name": each.topic.name,
                            "type": each.topic.type,
                            "serialization_format": "cdr",
                            "offered_qos_profiles": _qos_list(each.topic.qos),
                            "type_description_hash": each.hash,
                        },
                        "message_count": each.count,
                    }
                    for each in self._topics.values()
                ],
                "compression_format": "",
                "compression_mode": "",
                "relative_file_paths": [self._file_name],
                "files": [
                    {
                        "path": self._file_name,
                        "starting_time": start,
                        "duration": duration,
                        "message_count": self.count,
                    }
                ],
                "custom_data": None,
                "ros_distro": self._distro,
            }
        }


# Reading --------------------------------------------------------------------------------------


@dataclass
class BagReader:
    """Reads a bag: a folder of rosbag2 (MCAP or SQLite), or one MCAP file. A context manager.

    Attributes:
        topics: by name.
        start, end: nanoseconds; both 0 for an empty bag.
        complete: False for one whose recorder was killed: it is read from front to back.
        parameters: the nodes' parameters, where the recorder kept them: by node and name.
    """

    path: Path
    topics: dict[str, Topic] = field(default_factory=dict)
    start: int = 0
    end: int = 0
    complete: bool = True
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Open the files and read what they hold.

        Raises:
            BagError: it is no bag, or cannot be read.
        """
        self._files: list[Path] = []
        self._rosbags: list[RosbagsReader] = []
        self._foreign: set[str] = set()
        try:
            self._find()
            for file in self._files:
                self._read_summary(file)
        except (OSError, McapError, ReaderError, yaml.YAMLError, KeyError, TypeError) as error:
            raise BagError(f"{self.path} cannot be read as a bag: {error}") from error
        if self._foreign and not self.topics:
            raise BagError(
                f"{self.path}: no topic of it is serialised as CDR, only as "
                f"{', '.join(sorted(self._foreign))}: ros2 bag convert can rewrite it"
            )

    def _find(self) -> None:
        if self.path.is_file():
            self._files = [self.path]
            return
        if not self.path.is_dir():
            raise BagError(f"{self.path}: there is no such bag")
        found = sorted(self.path.glob("*.mcap"))
        described = self.path / "metadata.yaml"
        if described.is_file():
            told = yaml.safe_load(described.read_text(encoding="utf-8"))
            told = told["rosbag2_bagfile_information"]
            found = [self.path / Path(name).name for name in told["relative_file_paths"]]
            if told.get("compression_format"):
                self._open_rosbags([self.path])
                return
            if told["storage_identifier"] != "mcap":
                # File by file: the library leaves out what a file and metadata.yaml tell
                # differently, such as a QoS that rosbag2 wrote in two ways.
                self._open_rosbags(found)
                return
        elif not found and (found := sorted(self.path.glob("*.db3"))):
            self._open_rosbags(found)
            return
        if not found:
            raise BagError(f"{self.path} holds neither metadata.yaml nor an MCAP file")
        self._files = found

    def _open_rosbags(self, paths: Sequence[Path]) -> None:
        for path in paths:
            reader = RosbagsReader(path)
            reader.open()
            self._rosbags.append(reader)
            for connection in reader.connections:
                form = getattr(connection.ext, "serialization_format", "cdr")
                if form != "cdr":
                    self._foreign.add(form)
                    continue
                offered = getattr(connection.ext, "offered_qos_profiles", ())
                qos = tuple(
                    Qos(
                        each.reliability.name.lower(),
                        each.durability.name.lower(),
                        "keep_last",
                        max(each.depth, 1),
                    )
                    for each in offered
                )
                self.topics[connection.topic] = Topic(connection.topic, connection.msgtype, qos)
            if reader.message_count:
                self._span(reader.start_time, reader.end_time)

    def _read_summary(self, file: Path) -> None:
        with file.open("rb") as stream:
            try:
                reader = SeekingReader(stream)
                summary = reader.get_summary()
                if summary is None or summary.statistics is None:
                    raise McapError("no summary")
                for channel in summary.channels.values():
                    self._add(summary.schemas.get(channel.schema_id), channel)
                if summary.statistics.message_count:
                    first, last = (
                        summary.statistics.message_start_time,
                        summary.statistics.message_end_time,
                    )
                    self._span(first, last)
                for metadata in reader.iter_metadata():
                    if metadata.name == _PARAMETERS:
                        self.parameters = json.loads(metadata.metadata["json"])
                return
            except McapError:
                self.complete = False
        for schema, channel, message in self._scan(file):
            self._add(schema, channel)
            self._span(message.log_time, message.log_time)

    def _add(self, schema: Schema | None, channel: Channel) -> None:
        if schema is not None and channel.message_encoding == "cdr":
            qos = _read_qos(channel.metadata.get("offered_qos_profiles", ""))
            self.topics[channel.topic] = Topic(channel.topic, schema.name, qos)
        else:
            self._foreign.add(channel.message_encoding)

    def _span(self, first: int, last: int) -> None:
        self.start = min(self.start or first, first)
        self.end = max(self.end, last)

    @staticmethod
    def _scan(file: Path) -> Iterator[tuple[Schema | None, Channel, Message]]:
        """Read a file that was cut off, up to where it ends."""
        with file.open("rb") as stream:
            try:
                yield from NonSeekingReader(stream).iter_messages(log_time_order=False)
            except (McapError, EOFError):
                return

    def messages(
        self, topics: Collection[str] | None = None, start: int = 0, end: int = 0
    ) -> Iterator[Recorded]:
        """Messages in order of their stamps, from ``start`` (included) to ``end`` (0: all)."""
        names = [name for name in self.topics if topics is None or name in topics]
        if not names:
            return
        for reader in self._rosbags:
            wanted = [c for c in reader.connections if c.topic in names]
            # None at all would mean every one.
            for connection, stamp, data in (
                reader.messages(wanted, start=start or None, stop=end or None) if wanted else ()
            ):
                yield Recorded(connection.topic, stamp, bytes(data))
        for file in self._files:
            if not self.complete:
                found = [
                    Recorded(channel.topic, message.log_time, message.data)
                    for _, channel, message in self._scan(file)
                    if channel.topic in names and message.log_time >= start
                ]
                yield from sorted(
                    (r for r in found if not end or r.stamp < end), key=lambda r: r.stamp
                )
                continue
            with file.open("rb") as stream:
                for _, channel, message in SeekingReader(stream).iter_messages(
                    topics=names, starting_at=start or None, ending_before=end or None
                ):
                    yield Recorded(channel.topic, message.log_time, message.data)

    def last_before(self, topics: Iterable[str], stamp: int) -> list[Recorded]:
        """The last message of each of these topics before ``stamp``, in order of time."""
        newest: dict[str, Recorded] = {}
        for message in self.messages(set(topics), end=stamp):
            newest[message.topic] = message
        return sorted(newest.values(), key=lambda message: message.stamp)

    def close(self) -> None:
        """Close the files."""
        with ExitStack() as stack:
            for reader in self._rosbags:
                stack.callback(reader.close)
            self._rosbags = []

    def __enter__(self) -> BagReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
