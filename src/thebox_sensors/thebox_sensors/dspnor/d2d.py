# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The radar's control protocol D2D (TCP 59623) and its discovery beacon.

A message is a text header, an empty line and a JSON object::

    PROTOCOL=D2D
    VERSION=1.0
    TYPE=TEXT
    LENGTH=<bytes of the JSON>

    {"TxMode": "off"}

The object of a request names the command and its value, the answer has the same key. This
module frames messages, builds the requests that the operator's settings allow, judges the
status that the radar tells, and spaces requests. It opens no socket.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from thebox_sensors.protocol_base import Parsed, Reject, decode_json, printable, show

DEFAULT_PORT = 59623
DISCOVERY_GROUP = "227.228.229.230"
DISCOVERY_PORT = 59368
BEACON_LENGTH = 40
"""Bytes of a discovery beacon."""
HEADER_LIMIT = 1_024
"""Longest header that is read, bytes."""
CONTENT_LIMIT = 1_048_576
"""Longest JSON that is read, bytes."""
BRACKETS_LIMIT = 20_000
REQUEST_INTERVAL = 1.0
"""Least time between two requests, seconds."""
TEMPERATURE_WARNING = 80.0
"""Degrees Celsius."""
TEMPERATURE_ERROR = 90.0
"""Degrees Celsius."""

REASONS = {
    "garbage": "bytes between messages; skipped to the next header",
    "bad_header": "a header without a usable LENGTH, of another PROTOCOL, or too long",
    "unknown_type": "a message of another TYPE than TEXT",
    "too_long": f"a message of more than {CONTENT_LIMIT} bytes",
    "not_text": "content that is not UTF-8",
    "not_json": "content that is no JSON object",
    "too_deep": "brackets nested or repeated beyond reason",
    "duplicate_key": "the same key twice in an object",
    "bad_beacon": f"a discovery beacon that is not {BEACON_LENGTH} bytes long",
}

TxMode = Literal["off", "normal", "test"]
AntennaOperation = Literal["off", "cw", "sector", "blanking", "tilt"]
Transport = Literal["UDP", "TCP"]

_START = b"PROTOCOL="
_HEADER_END = re.compile(rb"\r?\n[ \t]*\r?\n")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the radar."""

    version: str
    content: Mapping[str, Any]


def encode(content: Mapping[str, Any]) -> bytes:
    """Frame a JSON object as the radar expects it.

    Raises:
        ValueError: for NaN and infinities, which JSON cannot carry.
    """
    body = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    header = f"PROTOCOL=D2D\r\nVERSION=1.0\r\nTYPE=TEXT\r\nLENGTH={len(body)}\r\n\r\n"
    return header.encode() + body


class Parser:
    """Reads a D2D stream: partial reads, joined messages, garbage; memory is bounded."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._wanted = 0

    @property
    def pending(self) -> int:
        """Bytes held of a message whose end has not come yet."""
        return len(self._held)

    def reset(self) -> None:
        """Forget a part of a message, as after a reconnection."""
        self._held.clear()
        self._wanted = 0

    def parse(self, datagram: bytes) -> Parsed[Message]:
        """Read bytes that hold whole messages; what is left over is one `bad_header`."""
        self.reset()
        parsed = self.feed(datagram)
        if self._held:
            parsed.rejects.append(Reject("bad_header", f"cut off: {show(bytes(self._held[:30]))}"))
        self.reset()
        return parsed

    def feed(self, chunk: bytes) -> Parsed[Message]:
        """Read the next bytes of the stream; never raises."""
        parsed: Parsed[Message] = Parsed()
        self._held += chunk
        # Waiting for a long body must not scan what is already there again and again.
        while len(self._held) >= self._wanted and self._step(parsed):
            pass
        return parsed

    def _step(self, parsed: Parsed[Message]) -> bool:
        self._wanted = 0
        if not self._skip_to_start(parsed):
            return False
        end = _HEADER_END.search(self._held, 0, HEADER_LIMIT + 4)
        if end is None:
            if len(self._held) <= HEADER_LIMIT:
                return False
            parsed.rejects.append(Reject("bad_header", f"longer than {HEADER_LIMIT} bytes"))
            del self._held[: len(_START)]
            return True
        try:
            version, length = _header(bytes(self._held[: end.start()]))
        except Reject as reject:
            parsed.rejects.append(reject.bare())
            # What follows may still hold a good header: only this one's start is dropped.
            del self._held[: len(_START)]
            return True
        if len(self._held) < end.end() + length:
            self._wanted = end.end() + length
            return False
        body = bytes(self._held[end.end() : end.end() + length])
        try:
            parsed.records.append(Message(version, _content(body)))
            del self._held[: end.end() + length]
        except Reject as reject:
            parsed.rejects.append(reject.bare())
            # A wrong LENGTH may have swallowed the next header: look for one inside.
            inside = body.find(_START)
            del self._held[: end.end() + (inside if inside >= 0 else length)]
        return True

    def _skip_to_start(self, parsed: Parsed[Message]) -> bool:
        """Drop what is before the next header; return whether one begins the buffer."""
        start = self._held.find(_START)
        if start == 0:
            return True
        if start > 0:
            drop = start
        else:
            # The last bytes may be the beginning of a start.
            drop = len(self._held)
            for keep in range(min(len(_START) - 1, drop), 0, -1):
                if self._held.endswith(_START[:keep]):
                    drop -= keep
                    break
        if drop:
            skipped = bytes(self._held[:drop])
            # Some firmware ends its JSON with a line end that LENGTH does not count.
            if skipped.strip(b" \t\r\n\0"):
                parsed.rejects.append(Reject("garbage", f"{drop} bytes: {show(skipped)}"))
            del self._held[:drop]
        return start >= 0


def _header(raw: bytes) -> tuple[str, int]:
    fields: dict[str, str] = {}
    for line in raw.decode("ascii", "replace").splitlines():
        key, separator, value = line.partition("=")
        if not separator:
            raise Reject("bad_header", f"a line without '=': {show(line)}")
        fields[key.strip().upper()] = value.strip()
    if fields.get("PROTOCOL") != "D2D":
        raise Reject("bad_header", f"protocol {show(fields.get('PROTOCOL'))} instead of D2D")
    kind = fields.get("TYPE", "TEXT")
    if kind != "TEXT":
        raise Reject("unknown_type", f"message type {show(kind)} instead of TEXT")
    length = fields.get("LENGTH", "")
    if not (length.isascii() and length.isdigit() and len(length) <= 10):
        raise Reject("bad_header", f"LENGTH is {show(length)}")
    if int(length) > CONTENT_LIMIT:
        raise Reject("too_long", f"LENGTH is {int(length)}, at most {CONTENT_LIMIT} are read")
    return printable(fields.get("VERSION", ""), 32), int(length)


def _content(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Reject("not_text", f"not UTF-8 at byte {error.start}") from None
    value = decode_json(text, BRACKETS_LIMIT)
    if not isinstance(value, dict):
        raise Reject("not_json", f"{show(value)} instead of an object")
    return value


class Refused(RuntimeError):  # noqa: N818 - the operator's word, nothing failed
    """A request that the operator's settings do not allow; the text says which to change."""


@dataclass(frozen=True, slots=True)
class Sector:
    """A sector of azimuths, clockwise from `start` to `end`, radians from the zero axis."""

    start: float
    end: float

    def degrees(self) -> tuple[float, float]:
        """Return start and end in degrees in [0, 360).

        Raises:
            ValueError: when an end is no finite number.
        """
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise ValueError(f"a sector from {self.start} to {self.end} is none")
        return tuple(round(math.degrees(end), 6) % 360.0 for end in (self.start, self.end))  # type: ignore[return-value]


class Commands:
    """Builds requests; refuses, with a clear error, what the settings do not allow.

    Args:
        safe_mode: while true, only requests that read are built.
        serial_number: the radar's serial number; reset and reboot need it to be given again.

    Every method returns the framed bytes. Those that change something raise `Refused` in safe
    mode, and `ValueError` for a value out of range.
    """

    def __init__(self, safe_mode: bool = True, serial_number: str = "") -> None:
        self.safe_mode = safe_mode
        self.serial_number = serial_number

    def get_status(self) -> bytes:
        """Ask how the radar is."""
        return encode({"GetStatus": True})

    def get_services(self) -> bytes:
        """Ask which services are on."""
        return encode({"GetServices": True})

    def get_system_info(self) -> bytes:
        """Ask what radar it is."""
        return encode({"GetSystemInfo": True})

    def init_system(self) -> bytes:
        """Initialise the radar."""
        return self._change("InitSystem", True)

    def tx_mode(self, mode: TxMode) -> bytes:
        """Set the transmitter: off, normal or test."""
        return self._change("TxMode", _one_of("TxMode", mode, ("off", "normal", "test")))

    def antenna_operation(self, operation: AntennaOperation) -> bytes:
        """Set how the antenna moves."""
        allowed = ("off", "cw", "sector", "blanking", "tilt")
        return self._change("AntennaOperation", _one_of("AntennaOperation", operation, allowed))

    def antenna_rpm(self, rate: float) -> bytes:
        """Set the antenna's rate of turn.

        Args:
            rate: rad/s, as everywhere; 0.1 to 60 turns a minute go on the wire.
        """
        turns = rate * 30.0 / math.pi
        if not 0.1 <= turns <= 60.0:
            raise ValueError(f"antenna rate of {turns:.3g} turns a minute, use 0.1 to 60")
        return self._change("AntennaRPM", round(turns, 6))

    def antenna_sector(self, sector: Sector) -> bytes:
        """Set the sector that the antenna scans."""
        start, end = sector.degrees()
        return self._change("AntennaSector", {"StartAzimuth": start, "EndAzimuth": end})

    def blanking_sectors(self, sectors: Iterable[Sector]) -> bytes:
        """Set the sectors in which the radar does not transmit; none clears them."""
        listed = [
            {"StartAzimuth": start, "EndAzimuth": end}
            for start, end in (sector.degrees() for sector in sectors)
        ]
        return self._change("BlankingSectors", listed)

    def asterix_service(
        self,
        category: Literal["010", "240"],
        enabled: bool,
        address: str = "",
        port: int = 0,
        transport: Transport = "UDP",
    ) -> bytes:
        """Switch an ASTERIX service and say where it sends.

        Args:
            category: 010 (plots and tracks) or 240 (radar video).
            enabled: whether it sends.
            address: IP address of the receiver; needed when enabled.
            port: port of the receiver; needed when enabled.
            transport: UDP or TCP.
        """
        _one_of("category", category, ("010", "240"))
        _one_of("transport", transport, ("UDP", "TCP"))
        if enabled:
            ipaddress.ip_address(address)
            if not 0 < port < 65_536:
                raise ValueError(f"port {port}, use 1 to 65535")
        content = {"Enabled": enabled, "IP": address, "Port": port, "Protocol": transport}
        return self._change(f"AsterixCat{category}", content)

    def external_ins(
        self, heading: float, latitude: float, longitude: float, course: float, speed: float
    ) -> bytes:
        """Tell the radar where the own-ship is and how it lies.

        Args:
            heading: true, radians.
            latitude: WGS-84, radians.
            longitude: WGS-84, radians.
            course: over ground, radians.
            speed: over ground, m/s.
        """
        values = (heading, latitude, longitude, course, speed)
        if not all(map(math.isfinite, values)) or abs(latitude) > math.pi / 2 or speed < 0:
            raise ValueError(f"own-ship values {values} are not all usable")
        return self._change(
            "ExternalINS",
            {
                "TrueBearing": round(math.degrees(heading), 6) % 360.0,
                "Latitude": round(math.degrees(latitude), 9),
                "Longitude": round(math.degrees(math.remainder(longitude, 2 * math.pi)), 9),
                "CourseOverGround": round(math.degrees(course), 6) % 360.0,
                "SpeedOverGround": round(speed, 4),
            },
        )

    def reset(self, serial_number: str) -> bytes:
        """Reset the radar whose serial number is given."""
        return self._named("Reset", serial_number)

    def reboot(self, serial_number: str) -> bytes:
        """Reboot the radar whose serial number is given."""
        return self._named("Reboot", serial_number)

    def _change(self, name: str, value: object, **more: object) -> bytes:
        if self.safe_mode:
            raise Refused(
                f"{name} is refused: safe_mode is on. Set the driver's parameter safe_mode to "
                "false when the radar may be controlled from here"
            )
        return encode({name: value, **more})

    def _named(self, name: str, serial_number: str) -> bytes:
        if self.safe_mode:
            return self._change(name, True)
        if not self.serial_number:
            raise Refused(
                f"{name} is refused: the driver's parameter serial_number is empty. Set it to "
                "the radar's serial number"
            )
        if serial_number != self.serial_number:
            raise Refused(
                f"{name} is refused: it names {show(serial_number)}, this driver's radar is "
                f"{show(self.serial_number)}"
            )
        return self._change(name, True, SerialNumber=serial_number)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{name} is {show(value)}, use one of {', '.join(allowed)}")
    return value


class RequestClock:
    """Spaces requests: at most one in `interval` seconds. Time comes from outside."""

    def __init__(self, interval: float = REQUEST_INTERVAL) -> None:
        self.interval = interval
        self._last = -math.inf

    def wait(self, now: float) -> float:
        """Return how long to wait until the next request may go, 0 when it may go now.

        A clock that was set back does not hold requests for longer than one interval.
        """
        self._last = min(self._last, now)
        return max(0.0, self._last + self.interval - now)

    def take(self, now: float) -> bool:
        """Return whether a request may go now, and if so count it as sent."""
        if self.wait(now) > 0.0:
            return False
        self._last = now
        return True


Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the radar's health."""

    name: str
    level: Level
    value: str


FINDINGS_LIMIT = 128
_PROCESSES = ("asterix010_server", "dronnur_extractor", "dronnur_tracker", "dronnurclient")
_NEEDED_PROCESSES = ("dronnur_extractor", "dronnur_tracker")


def findings(content: Mapping[str, Any]) -> list[Finding]:
    """Judge a status (answer to GetStatus).

    Its form is not published as a whole. Read is what integrations have seen: `Services` (name
    to an object with `Enabled`), `Temperatures` (sensor to degrees Celsius), `Mode` or
    `TxMode`, `Errors`, and internal processes as keys `dspnor.<process>`. Keys are read
    without regard to case; whatever else the radar says is handed on as an `ok` finding, so
    that nothing is lost.

    Returns:
        At most `FINDINGS_LIMIT` findings, errors first.
    """
    status = content.get("GetStatus")
    # Some answers are wrapped in the name of the request.
    if isinstance(status, Mapping):
        content = status
    by_name = {str(key).lower(): (str(key), value) for key, value in content.items()}
    found: list[Finding] = []
    found += _services(by_name.pop("services", ("Services", None))[1])
    found += _processes(by_name)
    found += _temperatures(by_name.pop("temperatures", ("Temperatures", None))[1])
    found += _errors(by_name.pop("errors", ("Errors", None))[1])
    for name, value in by_name.values():
        if name != "GetStatus":
            found.append(Finding(printable(name, 64), "ok", _brief(value)))
    order = {"error": 0, "warning": 1, "ok": 2}
    found.sort(key=lambda finding: order[finding.level])
    return found[:FINDINGS_LIMIT]


def _services(value: object) -> list[Finding]:
    if not isinstance(value, Mapping):
        return [Finding("service AsterixCat010", "warning", "the radar does not tell its services")]
    found = []
    for key, service in value.items():
        name = printable(str(key), 64)
        enabled = service.get("Enabled") if isinstance(service, Mapping) else service
        wanted = name.lower() == "asterixcat010"
        if enabled is True:
            target = ""
            if isinstance(service, Mapping) and "IP" in service:
                target = f" to {_brief(service['IP'])}:{_brief(service.get('Port'))}"
            found.append(Finding(f"service {name}", "ok", f"on{target}"))
        elif enabled is False:
            found.append(Finding(f"service {name}", "error" if wanted else "ok", "off"))
        else:
            found.append(Finding(f"service {name}", "warning", _brief(service)))
    if not any(str(key).lower() == "asterixcat010" for key in value):
        found.append(Finding("service AsterixCat010", "error", "missing: no tracks will come"))
    return found


def _processes(by_name: dict[str, tuple[str, Any]]) -> list[Finding]:
    found = []
    for key in [key for key in by_name if key.startswith("dspnor.")]:
        name, value = by_name.pop(key)
        process = printable(name.partition(".")[2], 64)
        level: Level = "ok" if value else "error"
        found.append(Finding(f"process {process}", level, _running(value)))
    told = {finding.name.removeprefix("process ").lower() for finding in found}
    # Silence about all of them says nothing; silence about one of them does.
    if told & set(_PROCESSES):
        found += [
            Finding(f"process {process}", "error", "not running")
            for process in _NEEDED_PROCESSES
            if process not in told
        ]
    return found


def _running(value: object) -> str:
    if not value:
        return "not running"
    return "running" if value is True else _brief(value)


def _temperatures(value: object) -> list[Finding]:
    if not isinstance(value, Mapping):
        return []
    found = []
    for key, reading in value.items():
        name = f"temperature {printable(str(key), 64)}"
        if type(reading) not in (int, float) or not abs(reading) < 1e4:
            found.append(Finding(name, "warning", f"unreadable: {_brief(reading)}"))
            continue
        level: Level = "ok"
        if reading >= TEMPERATURE_WARNING:
            level = "error" if reading >= TEMPERATURE_ERROR else "warning"
        found.append(Finding(name, level, f"{reading:.1f} °C"))
    return found


def _errors(value: object) -> list[Finding]:
    if not value:
        return []
    if isinstance(value, Mapping):
        return [
            Finding(f"error {printable(str(key), 64)}", "error", _brief(error))
            for key, error in value.items()
            if error
        ]
    if isinstance(value, list):
        return [
            Finding(f"error {place}", "error", _brief(error))
            for place, error in enumerate(value, 1)
        ]
    return [Finding("error", "error", _brief(value))]


def _brief(value: object) -> str:
    """Show a value of the status in one bounded line."""
    if isinstance(value, str):
        return printable(value, 120)
    if isinstance(value, Mapping | list):
        try:
            return printable(json.dumps(value)[:200], 120)
        except RecursionError:
            return "nested too deeply to show"
    return show(value)


@dataclass(frozen=True, slots=True)
class Beacon:
    """A discovery beacon. What is in its bytes is not published; its sender is what counts."""

    address: str
    """IP address that it came from: the radar's control port is there."""
    raw: bytes
    """The 40 bytes as received."""


def read_beacon(datagram: bytes, sender: str) -> Beacon:
    """Check a discovery beacon.

    Raises:
        Reject: `bad_beacon` when it has another length.
    """
    if len(datagram) != BEACON_LENGTH:
        raise Reject(
            "bad_beacon",
            f"{len(datagram)} bytes from {printable(sender, 64)}, {BEACON_LENGTH} expected",
        )
    return Beacon(sender, bytes(datagram))
