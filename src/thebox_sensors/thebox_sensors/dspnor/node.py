# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The Dspnor driver: plots and tracks of the radar as Detections, its control and its health."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
from diagnostic_msgs.msg import KeyValue
from numpy.typing import NDArray

from thebox_core.health import ERROR, OK, WARN, Report
from thebox_core.node import run
from thebox_core.ownship import Pose
from thebox_core.parameters import Value
from thebox_interfaces.msg import Detection
from thebox_interfaces.srv import RestartRadar, SetSector, SetTransmitMode
from thebox_sensors.driver import SensorDriver
from thebox_sensors.dspnor import d2d
from thebox_sensors.dspnor.asterix import (
    Parser,
    Record,
    StatusMessage,
    SystemStatus,
    TargetReport,
    UpdateCycle,
)
from thebox_sensors.dspnor.control import Command, Discovery, RadarControl
from thebox_sensors.dspnor.parameters import CONTROL_PARAMETERS, PARAMETERS
from thebox_sensors.protocol_base import Parsed, Reject, wrap_bearing

__all__ = ["Dspnor", "main"]

_DISCOVER = "discover"
_LEVELS = {"ok": OK, "warning": WARN, "error": ERROR}
_TX_MODES: dict[int, Literal["off", "normal", "test"]] = {
    SetTransmitMode.Request.MODE_OFF: "off",
    SetTransmitMode.Request.MODE_NORMAL: "normal",
    SetTransmitMode.Request.MODE_TEST: "test",
}
_OPERATION = {1: "the radar is degraded", 2: "the radar says that it is not to be used"}


class Dspnor(SensorDriver):
    """2D radar: range and bearing, position and velocity, the radar's own track number."""

    MODALITY = Detection.MODALITY_RADAR
    IGNORED = frozenset({"other_category", "coasted", "test_target"})
    PARAMETERS = PARAMETERS

    def __init__(self, name: str = "dspnor", **options: Any) -> None:
        self._control: RadarControl | None = None
        self._discovery: Discovery | None = None
        self._request_clock = d2d.RequestClock()
        self._turn_began = math.nan
        self._turn_period = math.nan
        self._system_status: SystemStatus | None = None
        self._unit = ""
        super().__init__(name, **options)
        self.health.add("radar", self._report_radar)

    # Life cycle -------------------------------------------------------------------------------

    def configure(self) -> None:
        """Create the services."""
        self._served = (
            self.create_service(SetTransmitMode, "~/set_transmit_mode", self._set_transmit_mode),
            self.create_service(SetSector, "~/set_sector", self._set_sector),
            self.create_service(SetSector, "~/set_blanking", self._set_blanking),
            self.create_service(RestartRadar, "~/restart", self._restart),
        )
        super().configure()

    def activate(self) -> None:
        """Open the source and the control connection."""
        self._turn_began = self._turn_period = math.nan
        self._system_status = None
        super().activate()
        self._start_control()

    def deactivate(self) -> None:
        """Close both."""
        self._stop_control()
        super().deactivate()

    def cleanup(self) -> None:
        """Release the services."""
        super().cleanup()
        for service in self.__dict__.pop("_served", ()):
            self.destroy_service(service)

    def parameters_changed(self, names: set[str]) -> None:
        """Begin control anew where it changed; the rest is read when it is used."""
        super().parameters_changed(names)
        if self.is_active and names & CONTROL_PARAMETERS:
            self._stop_control()
            self._start_control()

    def check_parameters(self, values: dict[str, Value]) -> str:
        """Refuse a discovery that cannot find anything."""
        if values["control.address"] == _DISCOVER and not values["discovery.enabled"]:
            return "control.address: 'discover' needs discovery.enabled to be true"
        return super().check_parameters(values)

    def _start_control(self) -> None:
        values = self.values
        if values["discovery.enabled"]:
            self._discovery = Discovery(
                values["discovery.group"], values["discovery.port"], values["discovery.interface"]
            )
            self._discovery.start(self.sensor)
        if values["control.address"]:
            self._control = RadarControl(
                self._control_address,
                self._log_control,
                values["control.poll_interval"],
                values["control.answer_timeout"],
                self._request_clock,
            )
            self._control.start(self.sensor)

    def _stop_control(self) -> None:
        if self._control is not None:
            self._control.stop()
            self._control = None
        if self._discovery is not None:
            self._discovery.stop()
            self._discovery = None

    def _control_address(self) -> tuple[str, int] | None:
        host, port = self.values["control.address"], self.values["control.port"]
        if host == _DISCOVER:
            host = self._discovery.newest() if self._discovery is not None else ""
        return (host, port) if host else None

    def _log_control(self, text: str, warn: bool) -> None:
        log = self.get_logger()
        if warn:
            log.warning(text)
        else:
            log.info(text)

    # Bytes to detections (in the worker's thread) ---------------------------------------------

    def make_parser(self) -> Parser:
        """Return an ASTERIX parser."""
        return Parser()

    def parse(self, message: bytes, arrival: float) -> Parsed[Record]:
        """Read a datagram; its arrival says which day the radar's time of day belongs to."""
        parsed: Parsed[Record] = self._parser.parse(message, arrival)
        return parsed

    def record_time(self, record: Record) -> float:
        """Return the radar's time of day on the receiver's day."""
        return record.time

    def to_detections(self, record: Record, stamp: float) -> Iterable[Detection]:
        """Make a Detection of a plot or track; take note of what the radar says of itself."""
        if isinstance(record, TargetReport):
            return (self._target(record, stamp),)
        self._unit = f"{record.sac}/{record.sic}"
        if isinstance(record, UpdateCycle):
            if 0.0 < stamp - self._turn_began < 60.0:
                self._turn_period = stamp - self._turn_began
            self._turn_began = stamp
        elif isinstance(record, StatusMessage) and record.status is not None:
            self._system_status = record.status
        return ()

    def _target(self, report: TargetReport, stamp: float) -> Detection:
        self._check_usable(report)
        axis = self.true_bearing(0.0, stamp)
        own = self._own_ship.history.at(stamp)
        distance, azimuth = report.polar()
        if math.isnan(distance):
            distance, bearing, position = self._geodetic(report, own)
        else:
            bearing = wrap_bearing(azimuth + axis)
            position = (
                own.east + distance * math.sin(bearing),
                own.north + distance * math.cos(bearing),
            )
            if not math.isnan(report.x):
                position = _turned(report.x, report.y, axis)
                position = own.east + position[0], own.north + position[1]
        detection = self.new_detection(stamp)
        detection.bearing = bearing
        detection.range = distance
        covariance = self._spread(report, distance, bearing, axis, detection)
        if report.track_number is not None:
            detection.sensor_track_id = str(report.track_number)
        if abs(report.height) < distance:  # False for NaN
            # Range is slant range: the height above the radar makes the elevation.
            detection.elevation = math.asin(report.height / distance)
            detection.elevation_std = self.values["height_sigma"] / distance
        if not math.isnan(position[0]):
            detection.position.x, detection.position.y = position
            detection.position.z = own.up + report.height
            detection.position_covariance = covariance
        self._set_velocity(report, axis, detection)
        detection.label = report.identification
        detection.attributes = _attributes(report)
        return detection

    def _check_usable(self, report: TargetReport) -> None:
        descriptor, status = report.descriptor, report.status
        if descriptor is not None:
            if descriptor.corrupted:
                raise Reject("corrupted", "the radar says that the reply was garbled")
            test = descriptor.simulated or descriptor.test_target or descriptor.field_monitor
            if test and not self.values["use_test_targets"]:
                raise Reject("test_target", "a simulated or test target")
        if status is not None and status.coasting and not self.values["use_coasted"]:
            raise Reject("coasted", "extrapolated by the radar, not seen")

    def _geodetic(
        self, report: TargetReport, own: Pose
    ) -> tuple[float, float, tuple[float, float]]:
        """Range, bearing and position in map of a report that has only WGS-84."""
        if math.isnan(report.latitude):
            raise Reject("no_position", "a report without polar, Cartesian or WGS-84 position")
        east, north, _ = self.position_in_map(report.latitude, report.longitude)
        if math.isnan(own.east):
            raise Reject(
                "no_own_ship",
                "a WGS-84 position, but the own-ship's is not known: check the ownship driver",
            )
        right, ahead = east - own.east, north - own.north
        bearing = wrap_bearing(math.atan2(right, ahead))
        return math.hypot(right, ahead), bearing, (east, north)

    def _spread(
        self,
        report: TargetReport,
        distance: float,
        bearing: float,
        axis: float,
        detection: Detection,
    ) -> NDArray[np.float64]:
        """Set the standard deviations of range and bearing; return the position's covariance.

        As the radar states them (I010/500, along its own axes), else by the parameters.
        """
        sin, cos = math.sin(bearing), math.cos(bearing)
        covariance = np.full(9, np.nan)
        if report.sigma_x > 0.0 and report.sigma_y > 0.0:
            xx, yy, xy = report.sigma_x**2, report.sigma_y**2, report.covariance_xy
            s, c = math.sin(axis), math.cos(axis)
            ee = c * c * xx + s * s * yy + 2.0 * s * c * xy
            nn = s * s * xx + c * c * yy - 2.0 * s * c * xy
            en = s * c * (yy - xx) + (c * c - s * s) * xy
            along = sin * sin * ee + cos * cos * nn + 2.0 * sin * cos * en
            across = cos * cos * ee + sin * sin * nn - 2.0 * sin * cos * en
            if along > 0.0 and across > 0.0:
                detection.range_std = math.sqrt(along)
                detection.bearing_std = min(math.sqrt(across) / max(distance, 1.0), math.pi)
                covariance[[0, 1, 3, 4]] = ee, en, en, nn
                return covariance
        along, turned = self.values["range_sigma"], self.values["bearing_sigma"]
        detection.range_std = along
        detection.bearing_std = turned
        rr, aa = along * along, (turned * distance) ** 2
        covariance[0] = sin * sin * rr + cos * cos * aa
        covariance[4] = cos * cos * rr + sin * sin * aa
        covariance[1] = covariance[3] = sin * cos * (rr - aa)
        return covariance

    def _set_velocity(self, report: TargetReport, axis: float, detection: Detection) -> None:
        right, ahead = report.velocity()
        if math.isnan(right):
            return
        detection.velocity.x, detection.velocity.y = _turned(right, ahead, axis)
        variance = self.values["velocity_sigma"] ** 2
        covariance = np.full(9, np.nan)
        covariance[[0, 1, 3, 4]] = variance, 0.0, 0.0, variance
        detection.velocity_covariance = covariance

    # Services ---------------------------------------------------------------------------------

    def _command(
        self, name: str, what: str, by: str, build: Callable[[d2d.Commands], bytes]
    ) -> tuple[bool, str]:
        by = by or "somebody unnamed"
        commands = d2d.Commands(self.values["safe_mode"], self.values["serial_number"])
        try:
            data = build(commands)
        except (d2d.Refused, ValueError) as refusal:
            self.get_logger().warning(f"{what}, asked for by {by}: {refusal}")
            return False, str(refusal)
        control = self._control
        if control is None:
            reason = "the control connection is off: set control.address and activate the driver"
        else:
            reason = control.request(Command(name, data, what, by))
        if reason:
            self.get_logger().warning(f"{what}, asked for by {by}: {reason}")
            return False, reason
        return True, "on its way; the radar's answer comes in the diagnostics (last_command)"

    def _set_transmit_mode(
        self, request: SetTransmitMode.Request, response: SetTransmitMode.Response
    ) -> SetTransmitMode.Response:
        def build(commands: d2d.Commands) -> bytes:
            mode = _TX_MODES.get(request.mode)
            if mode is None:
                raise ValueError(f"transmit mode {request.mode} is none: use MODE_*")
            return commands.tx_mode(mode)

        what = f"transmit mode {_TX_MODES.get(request.mode, request.mode)}"
        response.success, response.message = self._command(
            "TxMode", what, request.requested_by, build
        )
        return response

    def _set_sector(
        self, request: SetSector.Request, response: SetSector.Response
    ) -> SetSector.Response:
        def build(commands: d2d.Commands) -> bytes:
            sectors = _sectors(request)
            if len(sectors) != 1:
                raise ValueError(f"{len(sectors)} sectors: the antenna scans one")
            return commands.antenna_sector(sectors[0])

        response.success, response.message = self._command(
            "AntennaSector", f"antenna sector {_told(request)}", request.requested_by, build
        )
        return response

    def _set_blanking(
        self, request: SetSector.Request, response: SetSector.Response
    ) -> SetSector.Response:
        response.success, response.message = self._command(
            "BlankingSectors",
            f"blanking of {_told(request) or 'nothing'}",
            request.requested_by,
            lambda commands: commands.blanking_sectors(_sectors(request)),
        )
        return response

    def _restart(
        self, request: RestartRadar.Request, response: RestartRadar.Response
    ) -> RestartRadar.Response:
        names = {
            RestartRadar.Request.KIND_RESET: "Reset",
            RestartRadar.Request.KIND_REBOOT: "Reboot",
        }
        name = names.get(request.kind, "")

        def build(commands: d2d.Commands) -> bytes:
            if not name:
                raise ValueError(f"kind {request.kind} is none: use KIND_*")
            call = commands.reset if name == "Reset" else commands.reboot
            return call(request.serial_number)

        response.success, response.message = self._command(
            name, f"{name.lower() or 'restart'} of the radar", request.requested_by, build
        )
        return response

    # Health -----------------------------------------------------------------------------------

    def report_sensor(self, report: Report) -> None:
        """Add what the radar's own stream says of it."""
        report.put("rotation_period", self._turn_period)
        if self._unit:
            report.put("sac_sic", self._unit)
        status = self._system_status
        if status is None:
            return
        if status.operation in _OPERATION:
            report.find(ERROR if status.operation == 2 else WARN, _OPERATION[status.operation])
        for flag, text in (
            (status.overload, "the radar is overloaded"),
            (status.time_source_invalid, "the radar's time source is not valid"),
            (status.diversity_degraded, "the radar's diversity is degraded"),
            (status.test_target_failure, "the radar's test target fails"),
        ):
            if flag:
                report.find(WARN, text)

    def _report_radar(self, report: Report) -> None:
        report.put("safe_mode", self.values["safe_mode"])
        if not self.is_active:
            report.findings.append(self.state)
            return
        if self._discovery is not None:
            self._report_discovery(report, self._discovery)
        control = self._control
        if control is None:
            report.findings.append("control is off (control.address is empty)")
            return
        view = control.view()
        report.put("control", view.address)
        report.put("connected", view.connected)
        report.put("requests", view.requests)
        report.put("answers", view.answers)
        report.put("unanswered", view.missed)
        report.put("unreadable", view.rejected)
        report.put("reconnects", view.reconnects)
        report.put("queued", view.queued)
        if view.last_command:
            report.put("last_command", view.last_command)
        for key, value in view.info.items():
            report.put(f"info.{str(key)[:64]}", str(value)[:160])
        if view.fault:
            report.find(ERROR, view.fault)
        age = time.monotonic() - view.status_time
        report.put("status_age", age)
        if not view.status:
            return
        if age > 3.0 * self.values["control.poll_interval"] + self.values["control.answer_timeout"]:
            report.find(WARN, f"the radar's status is {age:.0f} s old")
        for finding in d2d.findings(view.status):
            report.put(finding.name, finding.value)
            if finding.level != "ok":
                report.find(_LEVELS[finding.level], f"{finding.name}: {finding.value}")
        if report.level == OK:
            report.findings.append("the radar reports no fault")

    def _report_discovery(self, report: Report, discovery: Discovery) -> None:
        now = time.monotonic()
        for address, heard in sorted(discovery.heard.items()):
            report.put(f"beacon.{address}", f"{now - heard:.0f} s ago")
        report.put("beacons_rejected", discovery.rejected)
        if discovery.fault:
            report.find(WARN, discovery.fault)


def _turned(right: float, ahead: float, axis: float) -> tuple[float, float]:
    """East and north of a vector given to the right of and along an axis of that bearing."""
    sin, cos = math.sin(axis), math.cos(axis)
    return right * cos + ahead * sin, ahead * cos - right * sin


def _sectors(request: SetSector.Request) -> Sequence[d2d.Sector]:
    if len(request.azimuth_start) != len(request.azimuth_end):
        raise ValueError("azimuth_start and azimuth_end must be of the same length")
    return [
        d2d.Sector(*ends) for ends in zip(request.azimuth_start, request.azimuth_end, strict=False)
    ]


def _told(request: SetSector.Request) -> str:
    return ", ".join(
        f"{math.degrees(start):.1f} to {math.degrees(end):.1f} deg"
        for start, end in zip(request.azimuth_start, request.azimuth_end, strict=False)
    )


def _attributes(report: TargetReport) -> list[KeyValue]:
    """Fields of a report that a Detection has no place for."""
    found: list[tuple[str, str]] = []
    if not math.isnan(report.amplitude):
        found.append(("amplitude", f"{report.amplitude:.0f}"))
    status = report.status
    if status is not None:
        found += [
            (name, "true")
            for name, flag in (
                ("tentative", status.tentative),
                ("last_report", status.last_report),
                ("coasted", status.coasting),
                ("manoeuvre", status.manoeuvre),
                ("ghost", status.ghost),
            )
            if flag
        ]
    descriptor = report.descriptor
    if descriptor is not None and descriptor.target_type:
        kind = ("", "aircraft", "ground vehicle", "helicopter")[descriptor.target_type]
        found.append(("target_type", kind))
    if report.mode_3a:
        found.append(("mode_3a", report.mode_3a))
    if report.address is not None:
        found.append(("address", f"{report.address:06X}"))
    if report.in_trouble:
        found.append(("in_trouble", "true"))
    if not math.isnan(report.flight_level):
        found.append(("flight_level", f"{report.flight_level:.0f} m"))
    for name in ("length", "width"):
        value: float = getattr(report, name)
        if not math.isnan(value):
            found.append((name, f"{value:.0f} m"))
    return [KeyValue(key=key, value=value) for key, value in found]


def main() -> None:
    """Run the driver as a process."""
    run(Dspnor)


if __name__ == "__main__":
    main()
