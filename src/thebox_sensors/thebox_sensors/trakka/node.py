# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The Trakka driver: gimbal state, video tracks as Detections, slewing, commands, pictures."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import KeyValue
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.clock import Clock, ClockType

from thebox_core.health import ERROR, OK, WARN, Report
from thebox_core.messages import new_gimbal_state, to_time
from thebox_core.node import run
from thebox_core.parameters import Value
from thebox_core.qos import STATE
from thebox_interfaces.action import SlewTo
from thebox_interfaces.msg import Detection, GimbalState
from thebox_interfaces.srv import SetCameraLock, SetGimbalMode, SetZoom
from thebox_sensors.driver import SensorDriver
from thebox_sensors.protocol_base import Parsed, Reject, wrap_angle, wrap_bearing
from thebox_sensors.trakka import protocol, video
from thebox_sensors.trakka.camera import Aim, Camera, Ended, Progress, Slew
from thebox_sensors.trakka.gimbal import Limits
from thebox_sensors.trakka.parameters import DEVICE_PARAMETERS, PARAMETERS
from thebox_sensors.trakka.pictures import Pictures
from thebox_sensors.transport import Transport

__all__ = ["Trakka", "main"]

_TWO_PI = 2.0 * math.pi
_NEAREST = 1.0
"""A point nearer than this has no direction that could be looked to, metres."""

_OUTCOMES = {
    "settled": SlewTo.Result.OUTCOME_SETTLED,
    "timeout": SlewTo.Result.OUTCOME_TIMEOUT,
    "cancelled": SlewTo.Result.OUTCOME_CANCELLED,
    "preempted": SlewTo.Result.OUTCOME_PREEMPTED,
    "disconnected": SlewTo.Result.OUTCOME_DISCONNECTED,
    "refused": SlewTo.Result.OUTCOME_REFUSED,
}

_MODES = {
    protocol.GimbalMode.RATE: GimbalState.MODE_RATE,
    protocol.GimbalMode.CAGE: GimbalState.MODE_CAGE,
    protocol.GimbalMode.STOW: GimbalState.MODE_STOW,
    protocol.GimbalMode.GEO_POINT: GimbalState.MODE_GEO_POINT,
}


class _SlewServer(ActionServer):
    """An action server whose goals run outside of it.

    rclpy's own way runs a callback to its end for each goal, which would hold the executor for the
    length of a slew, and its EventsExecutor does not wake awaiting callbacks. Here a goal is handed
    to ``begin``; when it is over, ``complete`` gives rclpy a callback that only returns the result.
    """

    def __init__(self, node: Trakka, name: str, begin: Callable[[ServerGoalHandle], None]) -> None:
        self._begin = begin
        super().__init__(
            node,
            SlewTo,
            name,
            execute_callback=lambda handle: SlewTo.Result(),
            goal_callback=node.goal_requested,
            cancel_callback=node.cancel_requested,
            result_timeout=60,
        )

    def notify_execute(
        self,
        goal_handle: ServerGoalHandle,
        execute_callback: Callable[[ServerGoalHandle], SlewTo.Result] | None,
    ) -> None:
        """Begin a goal that rclpy wants executed."""
        self._begin(goal_handle)

    def complete(self, goal_handle: ServerGoalHandle, result: SlewTo.Result) -> None:
        """Tell the result of a goal whose final state has been set."""
        super().notify_execute(goal_handle, lambda handle: result)


@dataclass
class _Goal:
    handle: ServerGoalHandle
    slew: Slew


class Trakka(SensorDriver):
    """EO/IR gimbal camera: bearing and elevation of what its own tracker follows."""

    MODALITY = Detection.MODALITY_EO
    IGNORED = frozenset({"slewing", "inactive", "coasting", "unknown_message", "unknown_register"})
    PARAMETERS = PARAMETERS

    #: First wait before a lost camera is connected again: it may be moving until then.
    RECONNECT_FIRST = 0.1

    def __init__(self, name: str = "trakka", **options: Any) -> None:
        self._camera: Camera | None = None
        self._held_by = ""
        self._goals: dict[bytes, _Goal] = {}
        self._over: deque[tuple[bytes, Ended]] = deque()
        self._pictures = Pictures(self)
        self._state_timer: Any = None
        self._commanded_view = math.nan
        super().__init__(name, **options)
        self.health.add("gimbal", self._report_gimbal)
        self.health.add("video", self._pictures.report)

    # Life cycle -------------------------------------------------------------------------------

    def check_parameters(self, values: dict[str, Value]) -> str:
        """Refuse a picture source that is none, and limits that leave nothing to look at."""
        try:
            video.parse(str(values["video.source"]))
        except ValueError as error:
            return f"video.source: {error}"
        return super().check_parameters(values)

    def configure(self) -> None:
        """Create publishers, services and the action."""
        self._state_publisher = self.create_publisher(GimbalState, "camera/gimbal_state", STATE)
        self._pictures.configure()
        self._served = (
            self.create_service(SetZoom, "~/set_zoom", self._set_zoom),
            self.create_service(SetGimbalMode, "~/set_gimbal_mode", self._set_gimbal_mode),
            self.create_service(SetCameraLock, "~/set_camera_lock", self._set_camera_lock),
        )
        self._slew_server = _SlewServer(self, "~/slew_to", self._begin_goal)
        super().configure()

    def activate(self) -> None:
        """Connect, and begin to poll, publish and show pictures."""
        self._camera = self._make_camera()
        self._camera.start(self.sensor)
        super().activate()
        if self._ingest is not None:
            self._ingest.BACK_OFF_FIRST = self.RECONNECT_FIRST
        self._state_timer = self.create_timer(
            1.0 / self.values["state_rate"],
            self._publish_state,
            # Steady: the camera is polled in real time, also while a simulated clock stands.
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._pictures.start(self.sensor, self._frame_id)

    def deactivate(self) -> None:
        """Stop the gimbal, then disconnect."""
        self._pictures.stop()
        if self._state_timer is not None:
            self.destroy_timer(self._state_timer)
            self._state_timer = None
        if self._camera is not None:
            self._camera.stop()
        self._finish_goals()
        super().deactivate()
        self._camera = None

    def cleanup(self) -> None:
        """Release publishers, services and the action."""
        super().cleanup()
        self._pictures.cleanup()
        publisher = self.__dict__.pop("_state_publisher", None)
        if publisher is not None:
            self.destroy_publisher(publisher)
        for service in self.__dict__.pop("_served", ()):
            self.destroy_service(service)
        server = self.__dict__.pop("_slew_server", None)
        if server is not None:
            server.destroy()
        self._goals.clear()
        self._held_by = ""

    def parameters_changed(self, names: set[str]) -> None:
        """Begin anew with what has changed; tolerances and the like are read when used."""
        if self.is_active and names & (DEVICE_PARAMETERS | {"state_rate"}):
            self.deactivate()
            self.activate()
            return
        super().parameters_changed(names)
        if self.is_active and any(name.startswith("video.") for name in names):
            self._pictures.stop()
            self._pictures.start(self.sensor, self._frame_id)

    def _make_camera(self) -> Camera:
        values = self.values
        low, high = values["limits.azimuth_min"], values["limits.azimuth_max"]
        endless = high - low >= _TWO_PI - 1e-6
        limits = Limits(
            rate=values["slew.rate"],
            acceleration=values["slew.acceleration"],
            elevation_minimum=values["limits.elevation_min"],
            elevation_maximum=values["limits.elevation_max"],
            azimuth_minimum=-math.inf if endless else low,
            azimuth_maximum=math.inf if endless else high,
        )
        return Camera(
            lambda: self._ingest.transport if self._ingest is not None else None,
            self._give_up,
            self.get_logger().info,
            limits=limits,
            poll_rate=values["poll_rate"],
            link_timeout=values["link_timeout"],
            settle_time=values["slew.settle_time"],
        )

    def _give_up(self, reason: str) -> None:
        self.get_logger().warning(f"{reason}; connecting anew")
        if self._ingest is not None:
            self._ingest.reconnect(reason)

    # Bytes to detections (in the worker's thread) ---------------------------------------------

    def make_parser(self) -> protocol.Parser:
        """Return a Trakka parser."""
        return protocol.Parser()

    def read(self, data: bytes, arrival: float, is_stream: bool) -> Parsed[Any]:
        """Read the next chunk of the stream of frames."""
        parsed: Parsed[Any] = self._parser.feed(data)
        return parsed

    def tear(self) -> None:
        """React to a gap in the stream: the angles on its two sides are no pair."""
        self._parser.tear()

    def _connected(self, transport: Transport) -> None:
        super()._connected(transport)
        self._commanded_view = math.nan
        if self._camera is not None:
            self._camera.connected(transport)

    def to_detections(self, record: protocol.Record, stamp: float) -> Iterable[Detection]:
        """Take a register's value; make a Detection of a video track."""
        camera = self._camera
        if camera is None:
            return ()
        if isinstance(record, protocol.RegisterValue):
            camera.take(record, stamp, max(0.0, self.now() - stamp))
            return ()
        camera.heard()
        return (self._track_detection(camera, record, stamp),)

    def _track_detection(
        self, camera: Camera, track: protocol.VideoTrack, stamp: float
    ) -> Detection:
        if not track.active:
            raise Reject("inactive", "the camera's tracker says that this is no target now")
        if track.coasting:
            raise Reject("coasting", "the camera's tracker carries it on without seeing it")
        rates = camera.poses.rates()
        fastest = self.values["detection_rate_max"]
        if camera.slewing or any(abs(rate) > fastest for rate in rates):
            raise Reject("slewing", "the picture moves")
        if track.quality < self.values["quality_min"]:
            raise Reject("low_quality", f"quality {track.quality:.2f} is below quality_min")
        azimuth, elevation = camera.poses.at(stamp)
        if math.isnan(azimuth):
            raise Reject("no_angles", "a video track without gimbal angles of its time")
        azimuth, elevation = protocol.line_of_sight(
            azimuth, elevation, track.azimuth_error, track.elevation_error
        )
        detection = self.new_detection(stamp, azimuth)
        if track.source in self.values["infrared_sensors"]:
            detection.modality = Detection.MODALITY_IR
        detection.bearing_std = self.values["bearing_sigma"]
        detection.elevation = elevation
        detection.elevation_std = self.values["elevation_sigma"]
        detection.sensor_track_id = f"{track.source}:{track.index}"
        if track.label != "unknown":
            detection.label = track.label
            detection.confidence = track.confidence
        detection.attributes = [
            KeyValue(key="quality", value=f"{track.quality:.2f}"),
            KeyValue(key="source", value=str(track.source)),
        ]
        return detection

    # State ------------------------------------------------------------------------------------

    def _publish_state(self) -> None:
        camera = self._camera
        if camera is None or not self.is_active:
            return
        view = camera.view()
        message = new_gimbal_state()
        message.header.frame_id = self._frame_id
        message.header.stamp = to_time(self.now() if math.isnan(view.stamp) else view.stamp)
        if not math.isnan(view.azimuth):
            message.azimuth = wrap_angle(view.azimuth)
            message.elevation = view.elevation
            message.azimuth_rate = view.azimuth_rate
            message.elevation_rate = view.elevation_rate
            message.bearing = self._bearing(view.azimuth, view.stamp)
        zoom = view.zoom[self.values["zoom_sensor"] - 1]
        message.zoom_ratio = zoom
        width = self._field_of_view(zoom)
        message.horizontal_field_of_view = width
        message.vertical_field_of_view = 2.0 * math.atan(
            math.tan(0.5 * width) / self.values["aspect_ratio"]
        )
        if view.mode is not None:
            message.mode = _MODES[protocol.GimbalMode(view.mode)]
        message.slewing = view.slewing
        message.following = view.following
        message.steered_by = view.steered_by
        message.held_by = self._held_by
        self._state_publisher.publish(message)

    def _bearing(self, azimuth: float, stamp: float) -> float:
        try:
            return self.true_bearing(azimuth, stamp)
        except Reject:
            return math.nan

    def _field_of_view(self, zoom: float) -> float:
        """Horizontal field of view, radians: as commanded, else by the parameter; else NaN."""
        if not math.isnan(self._commanded_view):
            return self._commanded_view
        wide = self.values["field_of_view"]
        if wide <= 0.0 or wide >= math.pi or not zoom >= 1e-3:
            return math.nan
        return 2.0 * math.atan(math.tan(0.5 * wide) / zoom)

    # Slewing ----------------------------------------------------------------------------------

    def goal_requested(self, request: SlewTo.Goal) -> GoalResponse:
        """Take every goal of an active driver: one that can't be met is aborted with its reason."""
        return GoalResponse.ACCEPT if self.is_active else GoalResponse.REJECT

    def cancel_requested(self, handle: ServerGoalHandle) -> CancelResponse:
        """Stop the slew of a goal."""
        goal = self._goals.get(bytes(handle.goal_id.uuid))
        if goal is None or self._camera is None:
            return CancelResponse.REJECT
        self._camera.cancel(goal.slew)
        return CancelResponse.ACCEPT

    def _begin_goal(self, handle: ServerGoalHandle) -> None:
        key = bytes(handle.goal_id.uuid)
        request: SlewTo.Goal = handle.request
        slew = Slew(
            aim=lambda: (math.nan, math.nan),
            tolerance=self._or_default(request.tolerance, "slew.tolerance"),
            timeout=self._or_default(request.timeout, "slew.timeout"),
            by=request.requested_by,
            follow=False,
            progress=lambda progress: self._feed_back(handle, progress),
            ended=lambda ended: self._goal_over(key, ended),
        )
        self._goals[key] = _Goal(handle, slew)
        try:
            self._check_holder(request.requested_by)
            if not (slew.tolerance > 0.0 and slew.timeout > 0.0):
                raise ValueError("tolerance and timeout must be above 0, or NaN for the default")
            slew.aim, slew.follow = self._aim(request)
        except ValueError as error:
            self.get_logger().warning(f"slew refused: {error}")
            nowhere = Ended("refused", str(error), *([math.nan] * 3), 0.0)
            self._goal_over(key, nowhere)
            return
        if self._camera is None:
            self._goal_over(key, Ended("refused", "not active", *([math.nan] * 3), 0.0))
            return
        self._camera.slew(slew)

    def _or_default(self, value: float, name: str) -> float:
        return self.values[name] if math.isnan(value) else value  # type: ignore[no-any-return]

    def _check_holder(self, by: str) -> None:
        if self._held_by and by != self._held_by:
            raise ValueError(f"{self._held_by} holds the camera (set_camera_lock)")

    def _aim(self, request: SlewTo.Goal) -> tuple[Aim, bool]:
        """Return what gives the azimuth and elevation to look at, and whether it moves."""
        point = (request.point.x, request.point.y, request.point.z)
        to_point = all(math.isfinite(value) for value in point)
        if to_point and not math.isnan(request.bearing):
            raise ValueError("give a bearing or a point, and NaN for the other")
        if to_point:
            return (lambda: self._aim_at_point(*point)), self.values["slew.follow_point"]
        bearing, elevation = request.bearing, request.elevation
        if not math.isfinite(bearing):
            raise ValueError("neither a bearing nor a whole point is given")
        if math.isnan(elevation):
            view = self._camera.view() if self._camera is not None else None
            if view is None or math.isnan(view.elevation):
                raise ValueError("no elevation is given, and the gimbal's own is not known")
            elevation = view.elevation
        turns = self.values["bearing_reference"] == "bow"
        hold = turns and self.values["slew.hold_bearing"]
        return (lambda: (self._azimuth(bearing), elevation)), hold

    def _azimuth(self, bearing: float) -> float:
        heading = 0.0
        if self.values["bearing_reference"] == "bow":
            heading = self._own_ship.history.at(self.now()).heading
            if math.isnan(heading):
                raise ValueError(
                    "the own-ship's heading is not known: check the ownship driver, or set "
                    "bearing_reference to true if the camera's base does not turn"
                )
        return wrap_angle(bearing - heading - self.values["mounting_offset"])

    def _aim_at_point(self, east: float, north: float, up: float) -> tuple[float, float]:
        pose = self._own_ship.history.at(self.now())
        if math.isnan(pose.east):
            raise ValueError("the own-ship's position is not known: check the ownship driver")
        height = (0.0 if math.isnan(pose.up) else pose.up) + self.values["mounting_height"]
        east, north, up = east - pose.east, north - pose.north, up - height
        level = math.hypot(east, north)
        if math.hypot(level, up) < _NEAREST:
            raise ValueError("the point is at the camera itself")
        bearing = wrap_bearing(math.atan2(east, north))
        return self._azimuth(bearing), math.atan2(up, level)

    def _feed_back(self, handle: ServerGoalHandle, progress: Progress) -> None:
        feedback = SlewTo.Feedback()
        feedback.bearing = self._bearing(progress.azimuth, self.now())
        feedback.elevation = progress.elevation
        feedback.error = progress.error
        handle.publish_feedback(feedback)

    def _goal_over(self, key: bytes, ended: Ended) -> None:
        """Take note of the end of a slew, in whichever thread; the executor tells the client."""
        self._over.append((key, ended))
        executor = self.executor
        if executor is not None:
            executor.create_task(self._finish_goals)

    def _finish_goals(self) -> None:
        while self._over:
            key, ended = self._over.popleft()
            goal = self._goals.pop(key, None)
            server = self.__dict__.get("_slew_server")
            if goal is None or server is None:
                continue
            result = SlewTo.Result()
            result.outcome = _OUTCOMES[ended.outcome]
            result.message = ended.message
            result.bearing = self._bearing(ended.azimuth, self.now())
            result.elevation = ended.elevation
            result.error = ended.error
            result.duration = ended.duration
            handle = goal.handle
            if ended.outcome == "settled":
                handle.succeed()
            elif handle.is_cancel_requested:
                handle.canceled()
            else:
                handle.abort()
            server.complete(handle, result)

    # Services ---------------------------------------------------------------------------------

    def _command(self, by: str, build: Callable[[], bytes], what: str, takes_over: bool) -> str:
        if self._camera is None or not self.is_active:
            return "the driver is not active"
        try:
            self._check_holder(by)
            commands = build()
        except ValueError as error:
            self.get_logger().warning(f"{what}, asked for by {by or 'somebody unnamed'}: {error}")
            return str(error)
        return self._camera.command(commands, what, by, takes_over)

    def _set_zoom(self, request: SetZoom.Request, response: SetZoom.Response) -> SetZoom.Response:
        sensor = request.sensor or self.values["zoom_sensor"]
        width, ratio = request.horizontal_field_of_view, request.zoom_ratio

        def build() -> bytes:
            nonlocal width
            if math.isnan(width) == math.isnan(ratio):
                raise ValueError("give a field of view or a zoom ratio, and NaN for the other")
            if not math.isnan(ratio):
                wide = self.values["field_of_view"]
                if not 0.0 < wide < math.pi:
                    raise ValueError(
                        "a zoom ratio needs the parameter field_of_view (that at a ratio of 1)"
                    )
                if not 1.0 <= ratio <= 1000.0:
                    raise ValueError(f"a zoom ratio of {ratio:g}, use 1 to 1000")
                width = 2.0 * math.atan(math.tan(0.5 * wide) / ratio)
            width = max(width, self.values["field_of_view_least"])
            return protocol.set_zoom(sensor, protocol.ZoomCommand.FIELD_OF_VIEW, width)

        response.message = self._command(request.requested_by, build, f"zoom of {sensor}", False)
        response.success = not response.message
        if response.success and sensor == self.values["zoom_sensor"]:
            self._commanded_view = width
        return response

    def _set_gimbal_mode(
        self, request: SetGimbalMode.Request, response: SetGimbalMode.Response
    ) -> SetGimbalMode.Response:
        modes = {told: mode for mode, told in _MODES.items()}

        def build() -> bytes:
            mode = modes.get(request.mode)
            if mode is None:
                raise ValueError(f"mode {request.mode} is none: use GimbalState.MODE_*")
            if mode is protocol.GimbalMode.RATE:
                return protocol.stop()
            return protocol.set_gimbal_mode(mode)

        what = f"gimbal mode {modes[request.mode].name}" if request.mode in modes else "gimbal mode"
        response.message = self._command(request.requested_by, build, what, True)
        response.success = not response.message
        return response

    def _set_camera_lock(
        self, request: SetCameraLock.Request, response: SetCameraLock.Response
    ) -> SetCameraLock.Response:
        by = request.requested_by
        if request.locked and not by:
            response.message = "say who takes the camera (requested_by)"
        elif request.locked and self._held_by not in ("", by):
            response.message = f"{self._held_by} holds the camera: it must be given back first"
        else:
            response.success = True
            if request.locked and self._camera is not None:
                self._camera.release(by)
            elif not request.locked and self._held_by not in ("", by):
                response.message = f"taken from {self._held_by}"
            self._held_by = by if request.locked else ""
            self.get_logger().info(
                f"camera {'locked' if request.locked else 'given back'} by "
                f"{by or 'somebody unnamed'} {response.message}".rstrip()
            )
        response.held_by = self._held_by
        return response

    # Health -----------------------------------------------------------------------------------

    def _report_gimbal(self, report: Report) -> None:
        camera = self._camera
        if camera is None or not self.is_active:
            report.findings.append(self.state)
            return
        view = camera.view()
        report.put("linked", view.linked)
        report.put("azimuth", view.azimuth)
        report.put("elevation", view.elevation)
        report.put(
            "mode", "unknown" if view.mode is None else protocol.GimbalMode(view.mode).name.lower()
        )
        for number, zoom in enumerate(view.zoom, 1):
            report.put(f"zoom.{number}", zoom)
        report.put("slewing", view.slewing)
        report.put("following", view.following)
        report.put("steered_by", view.steered_by)
        report.put("held_by", self._held_by)
        if camera.left_moving:
            report.find(
                ERROR,
                "the link broke while the gimbal was moving: it may still be, until the camera "
                "answers again",
            )
        if not view.linked:
            report.find(ERROR, "no connection to the camera")
            return
        if math.isnan(view.azimuth):
            report.find(ERROR, "the camera does not tell its angles")
        elif self.values["bearing_reference"] == "bow" and math.isnan(
            self._bearing(view.azimuth, view.stamp)
        ):
            report.find(WARN, "the own-ship's heading is not known: no bearings")
        if report.level == OK:
            report.findings.append(
                "slewing" if view.slewing else "following" if view.following else "still"
            )


def main() -> None:
    """Run the driver as a process."""
    run(Trakka)


if __name__ == "__main__":
    main()
