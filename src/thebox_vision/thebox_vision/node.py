# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The vision node: ``tracks/ranged`` to ``tracks`` with what the camera saw of each."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from cv_bridge import CvBridge
from rclpy.action import ActionClient
from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from thebox_core.health import ERROR, WARN, Report, latency_values
from thebox_core.measures import Latency, Rate, Tally
from thebox_core.messages import seconds
from thebox_core.node import ManagedNode, run
from thebox_core.packed import PackedTrack, PictureReader
from thebox_core.qos import DETECTIONS, LATCHED, PICTURES, STATE
from thebox_core.snapshots import snapshots_folder
from thebox_core.upstream import Upstream
from thebox_interfaces.action import SlewTo
from thebox_interfaces.msg import Detection, GimbalState, TrackArray, ZoneArray
from thebox_interfaces.srv import SetZoom
from thebox_vision import telling
from thebox_vision.association import Associator, Sight, Trail
from thebox_vision.cueing import Aim, Cue, CueTrack
from thebox_vision.detector import Box, Detector, ModelError, Region, open_detector, tiles, to_bgr8
from thebox_vision.geometry import GimbalHistory, Pointing, View, wrap
from thebox_vision.snapshots import Snapshots
from thebox_vision.verification import Candidate, Look, Standing, Verdict, Verifier
from thebox_vision.vision_parameters import VISION_PARAMETERS, cue_rules, rules

__all__ = ["Vision", "main"]

_CUE_PERIOD = 0.2
_MODEL_RETRY = 10.0
_SLEW_SPACING = 0.25  # seconds between goals: each one ends the one before
_PASSED_ON = ("mono8", "mono16", "bgr8", "bgra8", "8UC1", "8UC3", "8UC4", "16UC1", "16UC3")
_OWN_NAME = "vision"


@dataclass(frozen=True)
class _Seen:
    """A picture that was looked at, and what is in it."""

    stamp: float
    header: Any
    image: Any
    boxes: list[Box]


class Vision(ManagedNode):
    """Looks at pictures in a thread of its own; tracks pass through in the executor's.

    Tracks never wait for a picture, and a model that cannot be loaded, or a camera that is not
    there, costs the verdicts only.
    """

    PARAMETERS = VISION_PARAMETERS

    def __init__(self, name: str = "vision", **options: Any) -> None:
        self.frames = Tally()
        self.rejected = Tally()
        self.inference = Latency()
        self.latency = Latency()
        self._frame_rate, self._seen_rate = Rate(), Rate()
        self._upstream = Upstream("tracks/ranged", "range")
        self._worker: threading.Thread | None = None
        self._model_fault = ""
        self._backend = ""
        self._snapshot_fault = ""
        self._size = (0, 0)
        self._awake = threading.Condition()
        self._ending = True
        self._slot: tuple[Any, float] | None = None
        self._results: list[_Seen] = []
        self._unsaved: deque[tuple[str, Standing, _Seen, Box, str]] = deque()
        self._regions: tuple[float, float] | None = None
        super().__init__(name, **options)
        self.health.add("camera", self._report_camera)
        self.health.add("model", self._report_model)
        self.health.add("verification", self._report_verification)

    # Life cycle -------------------------------------------------------------------------------

    def configure(self) -> None:
        """Create what is published and asked for."""
        self._track_publisher = self.create_publisher(TrackArray, "tracks", STATE)
        self._box_publisher = self.create_publisher(Detection2DArray, "camera/detections", STATE)
        self._detection_publisher = self.create_publisher(
            Detection, "detections/vision", DETECTIONS
        )
        self._annotated = self.create_publisher(
            CompressedImage, "camera/annotated/compressed", PICTURES
        )
        node = self.values["cue.node"]
        self._cameras = (_OWN_NAME, node)
        self._slew = ActionClient(self, SlewTo, f"{node}/slew_to")
        self._zoom = self.create_client(SetZoom, f"{node}/set_zoom")
        self._reader = PictureReader()
        self._begin()

    def _begin(self) -> None:
        self.verifier = Verifier(rules(self.values))
        self.associator = Associator(high=self.values["model.score"])
        self.cue = Cue(cue_rules(self.values, self._size[0]), self._aspect())
        self.gimbal = GimbalHistory()
        self._held_by = ""
        self._tracks: Sequence[PackedTrack] = ()
        self._outlines: list[list[tuple[float, float]]] = []
        self._last_slew = -math.inf
        self._asked_field = math.nan
        self._last_stamp = -math.inf

    def activate(self) -> None:
        """Load the model, listen to tracks, pictures and the gimbal."""
        self._begin()
        self._upstream.begin(self.now())
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        raw = self.values["camera.transport"] == "raw"
        kind = Image if raw else CompressedImage
        topic = "camera/image_raw" if raw else "camera/image_raw/compressed"
        self._heard = [
            # Raw: of a picture only the verdicts are written, and what is looked for is read.
            self.create_subscription(TrackArray, "tracks/ranged", self._on_tracks, STATE, raw=True),
            self.create_subscription(GimbalState, "camera/gimbal_state", self._on_gimbal, STATE),
            self.create_subscription(ZoneArray, "zones", self._on_zones, LATCHED),
            self.create_subscription(kind, topic, self._on_picture, PICTURES),
        ]
        self._cue_timer = self.create_timer(_CUE_PERIOD, self._on_cue, clock=steady)
        self._ending = False
        self._slot = None
        self._worker = threading.Thread(target=self._work, name="vision", daemon=True)
        self._worker.start()

    def deactivate(self) -> None:
        """Stop looking."""
        with self._awake:
            self._ending = True
            self._awake.notify_all()
        if self._worker is not None:
            self._worker.join()
            self._worker = None
        self._results.clear()
        timer = self.__dict__.pop("_cue_timer", None)
        if timer is not None:
            self.destroy_timer(timer)
        for subscription in self.__dict__.pop("_heard", []):
            self.destroy_subscription(subscription)

    def cleanup(self) -> None:
        """Release everything; verdicts are forgotten."""
        for name in ("_track_publisher", "_box_publisher", "_detection_publisher", "_annotated"):
            publisher = self.__dict__.pop(name, None)
            if publisher is not None:
                self.destroy_publisher(publisher)
        slew = self.__dict__.pop("_slew", None)
        if slew is not None:
            slew.destroy()
        zoom = self.__dict__.pop("_zoom", None)
        if zoom is not None:
            self.destroy_client(zoom)

    def parameters_changed(self, names: set[str]) -> None:
        """Take over changed rules at once; what the worker holds is made anew."""
        if self.state not in ("inactive", "active"):
            return
        self.verifier.rules = rules(self.values)
        self.cue.rules = cue_rules(self.values, self._size[0])
        if self.is_active and any(n.startswith(("model.", "camera.transport")) for n in names):
            self.deactivate()
            self.activate()

    @property
    def ready(self) -> bool:
        """Whether a model is loaded and pictures are looked at."""
        return self._backend != ""

    # Pictures (the worker's thread) -----------------------------------------------------------

    def _on_picture(self, message: Any) -> None:
        self.frames.add("received")
        self._frame_rate.add(self.now())
        with self._awake:
            if self._slot is not None:
                self.frames.add("dropped")
            self._slot = (message, time.monotonic())
            self._awake.notify_all()

    def _work(self) -> None:
        detector: Detector | None = None
        bridge = CvBridge()
        next_try = next_look = -math.inf
        while not self._ending or self._unsaved:
            while self._unsaved:
                self._save(*self._unsaved.popleft())
            with self._awake:
                if self._slot is None and not self._unsaved:
                    self._awake.wait(0.5)
                wait = next_look - time.monotonic()
                if wait > 0.0 and not self._ending:
                    self._awake.wait(wait)
                if self._ending:
                    continue
                if time.monotonic() < next_look or (detector is not None and self._slot is None):
                    continue
                taken, self._slot = self._slot, None
            if detector is None:
                if time.monotonic() < next_try:
                    continue
                detector = self._load()
                next_try = time.monotonic() + _MODEL_RETRY
            if taken is None or detector is None:
                continue
            begun = time.monotonic()
            next_look = begun + 1.0 / self.values["model.rate_max"]
            try:
                seen = self._look(detector, bridge, taken[0])
            except ModelError as error:
                self._model_fault = str(error)
                self.rejected.add("model failed")
                detector = None
                continue
            except Exception as error:
                # A picture that is none, whoever says so (cv_bridge, OpenCV): the next one comes.
                self.rejected.add(_reason(error))
                continue
            self.inference.add(time.monotonic() - begun)
            self.latency.add(time.monotonic() - taken[1])
            executor = self.executor
            if executor is not None and not self._ending:
                self._results.append(seen)
                executor.create_task(self._take_results)

    def _load(self) -> Detector | None:
        values = self.values
        try:
            detector = open_detector(
                values["model.path"],
                values["model.provider"],
                threads=values["model.threads"],
                size=values["model.size"],
                threshold=values["model.score"],
                batch=values["model.batch"],
                single=True,
            )
            detector.warm_up()
        except (ModelError, ValueError) as error:
            self._backend = ""
            if self._model_fault != str(error):
                self.get_logger().error(f"no verification: {error}")
            self._model_fault = str(error)
            return None
        self._model_fault, self._backend = "", detector.backend
        self.get_logger().info(f"looking with {detector.backend}: {', '.join(detector.labels)}")
        return detector

    def _look(self, detector: Detector, bridge: CvBridge, message: Any) -> _Seen:
        if isinstance(message, CompressedImage):
            image = bridge.compressed_imgmsg_to_cv2(message)
        else:
            wanted = "passthrough" if message.encoding in _PASSED_ON else "bgr8"
            image = bridge.imgmsg_to_cv2(message, wanted)
        height, width = image.shape[:2]
        if (width, height) != self._size:
            if self._size != (0, 0):
                self.frames.add("resized")
            self._size = (width, height)
        return _Seen(
            seconds(message.header.stamp),
            message.header,
            image,
            detector.detect(image, self._parts(width, height)),
        )

    def _parts(self, width: int, height: int) -> list[Region]:
        values = self.values
        parts: list[Region] = [(0, 0, width, height)]
        side = values["tiles.side"]
        if values["tiles.enabled"] and max(width, height) > side:
            parts += tiles(width, height, side, values["tiles.overlap"])
        at, side = self._regions, values["roi.side"]
        if side and at is not None and side < max(width, height):
            left = int(min(max(at[0] - side / 2.0, 0.0), max(width - side, 0)))
            top = int(min(max(at[1] - side / 2.0, 0.0), max(height - side, 0)))
            parts.append((left, top, min(left + side, width), min(top + side, height)))
        return parts

    # What was seen (the executor's thread) ----------------------------------------------------

    def _take_results(self) -> None:
        while self._results:
            seen = self._results.pop(0)
            if self.is_active:
                self._take(seen)

    def _take(self, seen: _Seen) -> None:
        height, width = seen.image.shape[:2]
        self._seen_rate.add(self.now())
        self.cue.rules = cue_rules(self.values, width)
        self.cue.aspect = width / height
        pointing = self.gimbal.at(seen.stamp)
        sights: list[Sight] = []
        trails: list[Trail | None] = [None] * len(seen.boxes)
        turning = True
        if pointing is None:
            self.frames.add("direction unknown")
        else:
            view = View(pointing, width, height)
            sights = [self._sight(view, box, seen.stamp) for box in seen.boxes]
            trails = self.associator.update(seen.stamp, sights)
            turning = self._smear(view) > self.values["camera.smear_max"]
            if turning:
                self.frames.add("turning")
            else:
                self._verify(seen, view, sights, trails)
        self._box_publisher.publish(telling.boxes_found(seen.header, seen.boxes, trails))
        if self._annotated.get_subscription_count():
            quality = int(self.values["annotated.quality"])
            picture = telling.annotated(seen.header, seen.image, seen.boxes, trails, quality)
            if picture is not None:
                self._annotated.publish(picture)

    def _smear(self, view: View) -> float:
        """How far the cued track (else the sky) goes through a picture while it is exposed, pixels.

        Whether a slew is under way does not matter: a camera that follows a drone turns, and the
        drone stands still in it.
        """
        now, rates = view.pointing.time, (0.0, 0.0)
        target = next((t for t in self._tracks if t.identity == self.cue.target), None)
        if target is not None:
            one, two = (self._predicted(target, now + off) for off in (-0.1, 0.1))
            rates = (wrap(two.bearing - one.bearing) / 0.2, (two.elevation - one.elevation) / 0.2)
        known = [rate if math.isfinite(rate) else 0.0 for rate in rates]
        speed: float = view.pointing.rate_against(*known) * self.values["camera.exposure"]
        return speed * view.focal

    def _verify(
        self, seen: _Seen, view: View, sights: list[Sight], trails: list[Trail | None]
    ) -> None:
        candidates = [self._predicted(track, seen.stamp).candidate for track in self._tracks]
        where = {c.id: c for c in candidates}
        looks = self.verifier.look(view, sights, trails, candidates, self.cue.target)
        self.cue.looked(view, self.verifier.standings)
        for look in looks:
            if look.changed:
                self._verdict_changed(look, seen, where[look.id])
        for sight, trail in zip(sights, trails, strict=True):
            if trail is not None and trail.hits >= 2:
                message = self._detection(sight.time)
                self._detection_publisher.publish(
                    telling.sight_detection(message, self.values, view.pointing, sight, trail)
                )
        target = where.get(self.cue.target)
        self._regions = None
        if target is not None:
            up = target.elevation if math.isfinite(target.elevation) else view.pointing.elevation
            self._regions = view.pixel(target.bearing, up)

    def _sight(self, view: View, box: Box, stamp: float) -> Sight:
        bearing, elevation = view.direction(*box.centre)
        width, height = (2.0 * math.atan(s / 2.0 / view.focal) for s in box.size)
        return Sight(stamp, bearing, elevation, width, height, box.label, box.score, box.sized)

    def _verdict_changed(self, look: Look, seen: _Seen, track: Candidate) -> None:
        standing = look.standing
        self.get_logger().info(f"track {look.id[:8]}: {standing.reason}")
        if look.sight is None:
            self._detection_publisher.publish(
                telling.empty_detection(self._detection(seen.stamp), track)
            )
            return
        text = f"{standing.label} {standing.score:.2f}"
        # The worker writes it: tracks do not wait for a disk.
        with self._awake:
            self._unsaved.append((look.id, standing, seen, seen.boxes[look.sight], text))
            self._awake.notify_all()

    def _save(self, id: str, standing: Standing, seen: _Seen, box: Box, text: str) -> None:
        """Keep a verdict's picture (in the worker's thread)."""
        store = Snapshots(
            snapshots_folder(self.values["snapshots.folder"]), self.values["snapshots.keep"]
        )
        try:
            standing.snapshot = store.store(id, seen.stamp, to_bgr8(seen.image), box, text)
            self._snapshot_fault = ""
        except OSError as error:
            self._snapshot_fault = f"snapshots cannot be kept: {error}; see snapshots.folder"

    def _detection(self, stamp: float) -> Detection:
        infrared = self.values["camera.infrared"]
        return telling.new_vision_detection(_OWN_NAME, stamp, self.now(), infrared)

    # Tracks, gimbal, zones --------------------------------------------------------------------

    def _on_tracks(self, message: bytes) -> None:
        try:
            picture = self._reader.read(message)
        except ValueError as error:
            self.rejected.add("unreadable tracks")
            self.get_logger().warning(
                f"{error}: does another release publish tracks/ranged here?",
                throttle_duration_sec=10.0,
            )
            return
        stamp = picture.time
        if stamp < self._last_stamp - 5.0:
            self.get_logger().warning("the clock jumped back: the verification begins anew")
            self._begin()
        self._last_stamp = stamp
        self._upstream.heard(self.now())
        self._tracks = picture.tracks
        names = [track.identity for track in self._tracks]
        self.verifier.forget(set(names))
        for name, track in zip(names, self._tracks, strict=True):
            standing = self.verifier.standings.get(name)
            if standing is not None:
                telling.tell(track, standing)
        self._track_publisher.publish(picture.write())

    def _on_gimbal(self, message: GimbalState) -> None:
        field = message.horizontal_field_of_view
        if not 0.0 < field < math.pi:
            field = self.values["camera.field_of_view"] or math.nan
        self._held_by = message.held_by
        rates = (message.azimuth_rate, message.elevation_rate)
        self.gimbal.add(
            Pointing(
                seconds(message.header.stamp),
                message.bearing,
                message.elevation,
                field,
                bool(message.slewing),
                *(rate if math.isfinite(rate) else 0.0 for rate in rates),
            )
        )

    def _on_zones(self, message: ZoneArray) -> None:
        self._outlines = [
            [(float(p.x), float(p.y)) for p in zone.outline.points]
            for zone in message.zones
            if zone.alert_on_entry and zone.outline.points
        ]

    def _predicted(self, track: PackedTrack, stamp: float) -> CueTrack:
        return telling.predicted(track, stamp, self._outlines, self._cameras)

    # Cueing -----------------------------------------------------------------------------------

    def _aspect(self) -> float:
        return self._size[0] / self._size[1] if self._size[1] else 16.0 / 9.0

    def _on_cue(self) -> None:
        if not self.values["cue.enabled"] or not self._slew.server_is_ready():
            self.cue.target = ""
            return
        now = self.now()
        newest = self.gimbal.newest
        if newest is not None and abs(now - newest.time) > 2.0:
            newest = None
        self.cue.can_zoom = self._zoom.service_is_ready()
        aim = self.cue.step(
            now,
            [self._predicted(track, now) for track in self._tracks],
            self.verifier.standings,
            newest,
            locked=self._held_by not in ("", _OWN_NAME),
        )
        if self.cue.abandoned:
            spent = f"{self.cue.abandoned_after:.0f} s"
            self.verifier.give_up(
                self.cue.abandoned, now, f"no verdict within {spent} of looking for it"
            )
        if aim is not None and newest is not None and now - self._last_slew >= _SLEW_SPACING:
            self._last_slew = now
            self._send(aim, newest)

    def _send(self, aim: Aim, pointing: Pointing) -> None:
        goal = SlewTo.Goal()
        goal.bearing, goal.elevation = aim.bearing, aim.elevation
        goal.point.x = goal.point.y = goal.point.z = math.nan
        goal.tolerance = max(0.05 * aim.field_of_view, 0.0005)
        goal.timeout = math.nan
        goal.requested_by = _OWN_NAME
        self._slew.send_goal_async(goal)
        if self.cue.can_zoom and not 0.8 < pointing.field_of_view / aim.field_of_view < 1.25:
            request = SetZoom.Request()
            request.horizontal_field_of_view, request.zoom_ratio = aim.field_of_view, math.nan
            request.requested_by = _OWN_NAME
            self._zoom.call_async(request)

    # Health -----------------------------------------------------------------------------------

    def _report_camera(self, report: Report) -> None:
        now = self.now()
        age = self._frame_rate.age(now)
        report.put("rate", self._frame_rate.per_second(now))
        report.put("looked_at.rate", self._seen_rate.per_second(now))
        report.put("age", age)
        report.put("width", self._size[0])
        report.put("height", self._size[1])
        report.put_all((f"frames.{k.replace(' ', '_')}", n) for k, n in self.frames.items())
        report.put_all((f"rejected.{k.replace(' ', '_')}", n) for k, n in self.rejected.items())
        report.put_all(latency_values("latency", self.latency))
        if not self.is_active:
            report.findings.append(self.state)
        elif not math.isfinite(age):
            report.find(WARN, "no picture yet: check the camera's driver and video.source")
        elif age > self.values["camera.silent_after"]:
            report.find(WARN, f"no picture for {age:.0f} s: check the camera's driver")
        elif self.gimbal.at(now) is None and self.gimbal.at(self._last_stamp) is None:
            report.find(WARN, "where the camera points is not known: no bearings, no verdicts")
        else:
            report.findings.append(f"{self._size[0]} x {self._size[1]}")

    def _report_model(self, report: Report) -> None:
        report.put("backend", self._backend or "none")
        report.put_all(latency_values("inference", self.inference))
        if self._model_fault:
            report.find(ERROR, f"tracks pass on unverified: {self._model_fault}")
        elif not self.is_active:
            report.findings.append(self.state)
        elif not self._backend:
            report.findings.append("loading")

    def _report_verification(self, report: Report) -> None:
        if self.state not in ("inactive", "active"):
            report.findings.append(self.state)
            return
        if self.is_active:
            self._upstream.report(report, self.now())
        standings = list(self.verifier.standings.values())
        for name in ("NOT_LOOKED", "CONFIRMED", "REFUTED", "INCONCLUSIVE"):
            number = sum(s.verdict == getattr(Verdict, name) for s in standings)
            report.put(f"tracks.{name.lower()}", number)
        report.put("trails", len(self.associator.trails))
        report.put("cue.target", self.cue.target or "none")
        report.put("cue.locked_by", self._held_by)
        times = self.cue.cue_to_confirm
        report.put("cue_to_confirm.count", len(times))
        report.put("cue_to_confirm.median", float(np.median(times[-100:])) if times else math.nan)
        report.put("cue_to_confirm.last", times[-1] if times else math.nan)
        if self._snapshot_fault:
            report.find(WARN, self._snapshot_fault)
        if self.values["cue.enabled"] and self.is_active and not self._slew.server_is_ready():
            report.findings.append("no gimbal to cue")
        report.findings.append(f"{sum(s.verdict != 0 for s in standings)} tracks judged")


def _reason(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    # Numbers differ from picture to picture; a reason is counted, so they must not be in it.
    return "".join(c for c in text if not c.isdigit())[:60].strip()


def main() -> None:
    """Run the node as a process."""
    run(Vision)


if __name__ == "__main__":
    main()
