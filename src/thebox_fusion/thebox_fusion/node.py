# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The fusion node: detections of every sensor to tracks on ``tracks/fused``."""

from __future__ import annotations

import math
import traceback
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.subscription import Subscription

from thebox_core.health import ERROR, WARN, Report, latency_values
from thebox_core.measures import Latency, Rate, Tally
from thebox_core.messages import from_uuid
from thebox_core.node import ManagedNode, run
from thebox_core.ownship import Pose
from thebox_core.ownship_listener import OwnShip
from thebox_core.packed import PackedPicture, stamp_of
from thebox_core.packed_detection import PackedDetection
from thebox_core.parameters import Value
from thebox_core.qos import DETECTIONS, STATE
from thebox_fusion.conversion import to_evidence, to_plot
from thebox_fusion.fusion_parameters import FUSION_PARAMETERS, tracker_parameters
from thebox_fusion.pacing import Pace
from thebox_fusion.packing import Packer
from thebox_fusion.tracker import Detection as TrackerDetection
from thebox_fusion.tracker import Tracker, TrackState
from thebox_interfaces.msg import Detection, TrackArray
from thebox_interfaces.srv import GetTrackEvidence

__all__ = ["Fusion", "main"]

_DETECTION_TYPE = "thebox_interfaces/msg/Detection"
_DISCOVERY_PERIOD = 0.5
_SETTLE_AFTER = 1.0  # seconds that the tracker's time stays behind the clock in a silent sky
_TICK = 0.005  # seconds within which a cycle that is due begins
_QUIET = 0.002  # seconds of silence that end a look whose plots come all at once ...
_LOOK_MAX = 0.02  # ... or so many after the first of them, whatever still comes
_WAITED_MAX = 5.0  # seconds that a detection may have waited more than the newest one with it
_BEHIND = 2.0  # seconds between a detection's receipt and its picture that are worth a warning
_WAITING_LIMIT = 20_000  # detections; a picture that far behind is of no use
_FAULT_SHOWN = 60.0  # seconds


class Fusion(ManagedNode):
    """Runs the tracker on what the sensors publish.

    A cycle runs as soon as detections are there, spaced by ``publish_rate_max`` and by
    ``load_max``; a timer takes up what came in between. Of a sensor whose plots come a look at a
    time a cycle takes the whole look: half of it would be late to the other half. ``load_max``
    spaces cycles, it never lets the picture fall behind: the dearer the detections, the more of
    them go into one cycle. Detections are read as they are on the wire.
    """

    PARAMETERS = FUSION_PARAMETERS

    def __init__(self, name: str = "fusion", **options: Any) -> None:
        self.detections = Tally()
        self.rejected = Tally()
        self.dropped = 0
        self.latency = Latency()
        self.cycle = Latency()
        self._states: Counter[TrackState] = Counter()
        self._published = Rate()
        self._tracker_fault = ("", -math.inf)
        super().__init__(name, **options)
        self.health.add("tracking", self._report)

    def check_parameters(self, values: dict[str, Value]) -> str:
        """Refuse settings of the tracker that do not go together."""
        if values["publish_rate_min"] > values["publish_rate_max"]:  # type: ignore[operator]
            return "publish_rate_min must not be above publish_rate_max"
        try:
            tracker_parameters(values)
        except ValueError as error:
            return str(error)
        return ""

    def parameters_changed(self, names: set[str]) -> None:
        """Begin anew where the tracker's settings changed: its tracks rest on the old ones."""
        if "ownship_max_age" in names and self.state in ("inactive", "active"):
            self._own_ship.history.max_age = self.values["ownship_max_age"]
        if "publish_rate_max" in names and self.is_active:
            self._start_timers()
        if self.is_active and any(n.startswith(("tracker.", "sensor.")) for n in names):
            self.get_logger().warning("settings of the tracker changed: it begins anew")
            self._begin()

    # Life cycle -------------------------------------------------------------------------------

    def configure(self) -> None:
        """Create the publisher, the service and the own-ship's history."""
        self._publisher = self.create_publisher(TrackArray, "tracks/fused", STATE)
        self._evidence = self.create_service(
            GetTrackEvidence, "~/get_track_evidence", self._get_evidence
        )
        self._own_ship = OwnShip(self, self.values["ownship_max_age"])
        self._own_position = np.zeros(3)
        self._own_velocity = np.zeros(3)
        self._inputs: dict[str, Subscription] = {}
        self._begin()

    def activate(self) -> None:
        """Subscribe to every sensor and begin to publish."""
        self._begin()
        self._discover()
        self._start_timers()

    def deactivate(self) -> None:
        """Stop listening and publishing."""
        self._stop_timers()
        for topic in list(self._inputs):
            self.destroy_subscription(self._inputs.pop(topic))

    def _start_timers(self) -> None:
        self._stop_timers()
        # Steady: a paused or slow simulated clock must stop neither discovery nor the picture.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._cycle_timers = [
            self.create_timer(_DISCOVERY_PERIOD, self._discover, clock=clock),
            self.create_timer(
                min(_TICK, 1.0 / self.values["publish_rate_max"]), self._tick, clock=clock
            ),
        ]

    def _stop_timers(self) -> None:
        for timer in self.__dict__.pop("_cycle_timers", []):
            self.destroy_timer(timer)

    def cleanup(self) -> None:
        """Release everything; the tracks are forgotten."""
        own_ship = self.__dict__.pop("_own_ship", None)
        if own_ship is not None:
            own_ship.close()
        publisher = self.__dict__.pop("_publisher", None)
        if publisher is not None:
            self.destroy_publisher(publisher)
        service = self.__dict__.pop("_evidence", None)
        if service is not None:
            self.destroy_service(service)

    def _begin(self) -> None:
        self.tracker = Tracker(tracker_parameters(self.values))
        self._packer = Packer()
        self._waiting: list[PackedDetection] = []
        self._pace = Pace()
        self._next_cycle = self._due = 0.0
        self._first_waits = -math.inf
        self._last_cycle = -math.inf
        self._newest = 0.0
        self._behind = 0.0

    # Detections -------------------------------------------------------------------------------

    def _discover(self) -> None:
        """Listen to every topic of detections in this namespace: a new sensor needs no setting."""
        prefix = f"{self.get_namespace().rstrip('/')}/detections/"
        for topic, types in self.get_topic_names_and_types():
            if topic.startswith(prefix) and _DETECTION_TYPE in types and topic not in self._inputs:
                self._inputs[topic] = self.create_subscription(
                    Detection, topic, self._on_detection, DETECTIONS, raw=True
                )
                self.get_logger().info(f"listening to {topic}")

    def _on_detection(self, message: bytes) -> None:
        try:
            detection = PackedDetection.read(message)
        except ValueError as error:
            self.rejected.add("not_a_detection")
            self.get_logger().warning(
                f"{error}: does another release publish detections here?",
                throttle_duration_sec=10.0,
            )
            return
        self._waiting.append(detection)
        if len(self._waiting) > _WAITING_LIMIT:
            del self._waiting[0]
            self.dropped += 1
        self.detections.add(detection.sensor or "unnamed")
        at = self.steady()
        if len(self._waiting) == 1:
            self._first_waits = at
        self._due = self._next_cycle
        if self._comes_together(detection.sensor) and at < self._first_waits + _LOOK_MAX:
            self._due = max(self._due, at + _QUIET)
        if at >= self._due:
            self._cycle()

    def _comes_together(self, sensor: str) -> bool:
        """Whether the tracker has found that a sensor's plots come a look at a time."""
        index = self.tracker.core.sensor_index.get(sensor, -1)
        return index >= 0 and self.tracker.state.sensors[index].simultaneous

    def _tick(self) -> None:
        at = self.steady()
        # A tick may be under way when the node is taken down.
        if at < self._due or not self.is_active:
            return
        if self._waiting or at - self._last_cycle >= 1.0 / self.values["publish_rate_min"]:
            self._cycle()

    def _cycle(self) -> None:
        begun = self.steady()
        now = self.now()
        if now < self.tracker.state.time - 2.0 * self.values["tracker.max_lateness"] - 1.0:
            self.get_logger().warning("the clock jumped back: the tracker begins anew")
            waiting = self._waiting
            self._begin()
            self._waiting = waiting
        batch, self._waiting = self._recent(self._waiting), []
        self._update_own_ship(now)
        try:
            self.tracker.add(self._plots(batch, now))
            # To the newest detection, not to the clock: whatever is under way now would come late
            # to a tracker whose time has passed it, and a late detection is dear.
            silent = -math.inf if batch else now - _SETTLE_AFTER
            self.tracker.advance(max(self._newest, silent))
            self._publish(now)
        except Exception as error:
            if not self.context.ok():
                return  # shut down in the middle of a cycle: there is nowhere to publish to
            # A fault of ours must cost the tracks, not the node. Its state may be half changed.
            self._tracker_fault = (repr(error), now)
            self.get_logger().error(f"fault in the tracker: {traceback.format_exc()}")
            self._begin()
        published = self.now()
        self._behind = published - min((d.received_at for d in batch), default=published)
        for detection in batch:
            self.latency.add(published - detection.received_at)
        cost = self.steady() - begun
        self.cycle.add(cost)
        self._last_cycle = begun
        self._next_cycle = self._pace.after(
            begun,
            cost,
            share=self.values["load_max"],
            spacing=1.0 / self.values["publish_rate_max"],
        )
        self._due = self._next_cycle

    def _recent(self, waiting: list[PackedDetection]) -> list[PackedDetection]:
        """Leave out, counted, what waited too long: a cycle must not be the dearer the later it is.

        A processor that is short for all that comes then tracks the newest of it, and the picture
        stays that of now. By the time of receipt, which no sensor's clock spreads. A replay may run
        many times faster than life: there the times of receipt tell nothing of waiting.
        """
        if self.get_clock().ros_time_is_active:
            return waiting
        oldest = max((d.received_at for d in waiting), default=0.0) - _WAITED_MAX
        # Of a driver that does not tell when it received it, nothing can be said.
        kept = [d for d in waiting if not 0.0 < d.received_at < oldest]
        self.dropped += len(waiting) - len(kept)
        return kept

    def _plots(self, batch: list[PackedDetection], now: float) -> list[TrackerDetection]:
        plots = []
        for detection in batch:
            # Nothing was measured in the future: a clock that runs ahead must not stall a track.
            stamp = min(detection.time, now)
            pose = self._own_ship.history.at(stamp)
            if math.isfinite(pose.east):
                position, velocity = _vectors(pose)
            else:
                position, velocity = self._own_position, self._own_velocity
            plots.append(to_plot(detection, stamp, position, velocity))
            self._newest = max(self._newest, stamp)
        return plots

    def _update_own_ship(self, now: float) -> None:
        # Before the first pose a fixed site at the map's origin is all that can be said.
        pose = self._own_ship.history.at(now)
        if math.isfinite(pose.east):
            self._own_position, self._own_velocity = _vectors(pose)
        self.tracker.own_ship(now, self._own_position, self._own_velocity)

    def _publish(self, now: float) -> None:
        stamp = stamp_of(now)
        # Extrapolated; the tracker's own time stays.
        tracks, self._states = self._packer.pack(self.tracker.core, now, stamp)
        self._publisher.publish(PackedPicture(stamp, stamp_of(self._newest), tracks).write())
        self._published.add(now)

    def _get_evidence(
        self, request: GetTrackEvidence.Request, response: GetTrackEvidence.Response
    ) -> GetTrackEvidence.Response:
        identity = from_uuid(request.track_id)
        try:
            entries = self.tracker.ledger(identity)
        except KeyError:
            response.message = f"no track {identity} is held now; its history is in DroneDB"
            return response
        response.success = True
        kept = entries[-request.limit :] if request.limit else entries
        response.entries = [to_evidence(entry) for entry in kept]
        return response

    # Health -----------------------------------------------------------------------------------

    def _report(self, report: Report) -> None:
        now = self.now()
        for state in TrackState:
            report.put(f"tracks.{state.name.lower()}", self._states.get(state, 0))
        report.put("rate", self._published.per_second(now))
        report.put("age", self._published.age(now))
        report.put_all((f"detections.{s}", count) for s, count in self.detections.items())
        report.put_all((f"rejected.{reason}", count) for reason, count in self.rejected.items())
        report.put_all(latency_values("latency", self.latency))
        report.put_all(latency_values("cycle", self.cycle))
        report.put("queue.depth", len(self._waiting) if self.is_active else 0)
        report.put("dropped", self.dropped)
        if self.dropped:
            report.find(WARN, f"{self.dropped} detections dropped: more come than can be tracked")
        if self.is_active and self._behind > _BEHIND:
            report.find(
                WARN,
                f"the picture is {self._behind:.0f} s behind the sensors: the processor is short "
                "(./thebox perf, ./thebox tune)",
            )
        what, when = self._tracker_fault
        if now - when < _FAULT_SHOWN:
            report.find(ERROR, f"fault in the tracker, it began anew: {what}; please report it")
        if not self.is_active:
            report.findings.append(self.state)
            return
        for name, count in sorted(self.tracker.counters.items()):
            report.put(f"association.{name.replace(': ', '.').replace(' ', '_')}", count)
        for name, sensor in zip(
            self.tracker.sensor_names, self.tracker.state.sensors, strict=False
        ):
            report.put(f"clutter.{name}", float(sensor.clutter.total() + sensor.strays))
        own = self._own_ship.history.newest
        report.put("ownship.age", now - own.time)
        if math.isnan(own.time):
            report.findings.append("no own-ship heard: taken as fixed at the map's origin")
        elif now - own.time > self.values["ownship_max_age"]:
            report.find(
                WARN,
                f"own-ship silent for {now - own.time:.0f} s: its last position is used; "
                "check the ownship driver",
            )
        confirmed = self._states.get(TrackState.CONFIRMED, 0)
        report.findings.append(f"{confirmed} confirmed tracks of {sum(self._states.values())}")


def _vectors(pose: Pose) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position and velocity, (3,) each; a height or speed that is not known counts as zero."""
    known = np.nan_to_num(np.array(pose[1:7]))
    return known[:3], known[3:]


def main() -> None:
    """Run the node as a process."""
    run(Fusion)


if __name__ == "__main__":
    main()
