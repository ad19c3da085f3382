# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The markers node: tracks and the own-ship as ``visualization_msgs/MarkerArray`` for rviz2 and
Foxglove.

A track with a measured range is a sphere with an ellipsoid of its covariance and an arrow of its
velocity. One that is known by its bearing alone is a wedge: a point would claim a range that
nothing measured.
"""  # noqa: D205 - the first sentence needs two lines

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.qos import QoSProfile
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from thebox_bringup.shapes import direction, ellipsoid, ship_outline, track_text, wedge
from thebox_core.health import Report
from thebox_core.measures import Rate
from thebox_core.node import BoxNode, run
from thebox_core.parameters import Parameter
from thebox_core.qos import STATE
from thebox_interfaces.msg import Track, TrackArray

__all__ = ["CLASS_NAMES", "STATE_COLOURS", "MarkerMaker", "Markers", "main"]

#: Red, green, blue in [0, 1] of each state of a track.
STATE_COLOURS = {
    Track.STATE_UNKNOWN: (0.6, 0.6, 0.6),
    Track.STATE_TENTATIVE: (1.0, 0.85, 0.2),
    Track.STATE_CONFIRMED: (1.0, 0.25, 0.2),
    Track.STATE_COASTING: (0.95, 0.55, 0.75),
}
_OWN_SHIP_COLOUR = (0.25, 0.6, 1.0)

CLASS_NAMES = {
    Track.CLASS_UNKNOWN: "unknown",
    Track.CLASS_DRONE: "drone",
    Track.CLASS_BIRD: "bird",
    Track.CLASS_AIRPLANE: "airplane",
    Track.CLASS_HELICOPTER: "helicopter",
    Track.CLASS_BOAT: "boat",
    Track.CLASS_VEHICLE: "vehicle",
    Track.CLASS_PERSON: "person",
    Track.CLASS_OTHER: "other",
}

PARAMETERS = (
    Parameter(
        "wedge_near",
        50.0,
        "Where the wedge of a track that is known by its bearing alone begins.",
        minimum=0.0,
        maximum=10_000.0,
        unit="m",
    ),
    Parameter(
        "wedge_far",
        3000.0,
        "Where that wedge ends; nothing measured it.",
        minimum=10.0,
        maximum=100_000.0,
        unit="m",
    ),
    Parameter(
        "sigmas",
        2.0,
        "Standard deviations that wedges and ellipsoids reach to either side.",
        minimum=0.1,
        maximum=10.0,
    ),
    Parameter(
        "sphere_diameter",
        30.0,
        "Diameter of the sphere that stands for a track; no claim of its size.",
        minimum=0.1,
        maximum=1000.0,
        unit="m",
    ),
    Parameter(
        "text_height",
        45.0,
        "Height of the letters beside a track.",
        minimum=0.1,
        maximum=1000.0,
        unit="m",
    ),
    Parameter(
        "ship_length",
        60.0,
        "Length of the own-ship's shape.",
        minimum=0.1,
        maximum=1000.0,
        unit="m",
    ),
    Parameter(
        "velocity_ahead",
        10.0,
        "Seconds of flight that the arrow of a velocity is long.",
        minimum=0.1,
        maximum=600.0,
        unit="s",
    ),
    Parameter(
        "largest_ellipsoid",
        5000.0,
        "Largest semi-axis of an ellipsoid that is drawn.",
        minimum=1.0,
        maximum=100_000.0,
        unit="m",
    ),
    Parameter(
        "lifetime",
        3.0,
        "Seconds after which a marker that is not renewed disappears.",
        minimum=0.1,
        maximum=60.0,
        unit="s",
    ),
    Parameter("show_tentative", True, "Draw tracks that are not confirmed yet."),
)


class MarkerMaker:
    """Makes the markers of one picture after the other; deletes what has gone."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._numbers: dict[bytes, int] = {}
        self._next = 0
        self._shown: dict[tuple[str, int], Marker] = {}

    def picture(
        self, header: Header, tracks: Sequence[Track], own_ship: Odometry | None
    ) -> MarkerArray:
        """The markers of one picture, and DELETE for those of the one before that are gone.

        Args:
            header: time and frame of the picture.
            tracks: every track held.
            own_ship: newest pose; None draws no own-ship, and wedges from the map's origin.
        """
        tracks = [
            track
            for track in tracks
            if self._values["show_tentative"] or track.state != Track.STATE_TENTATIVE
        ]
        present = {bytes(bytearray(track.id.uuid)) for track in tracks}
        self._numbers = {key: n for key, n in self._numbers.items() if key in present}
        markers = list(self._own_ship(own_ship)) if own_ship is not None else []
        origin: NDArray[np.float64] = np.zeros(3)
        if own_ship is not None:
            at = own_ship.pose.pose.position
            known = np.array([at.x, at.y, at.z], dtype=np.float64)
            origin = np.where(np.isfinite(known), known, 0.0)
        for track in tracks:
            markers.extend(self._track(track, origin))
        lifetime = _duration(self._values["lifetime"])
        for marker in markers:
            marker.header = header
            marker.lifetime = lifetime
        shown = {(marker.ns, marker.id): marker for marker in markers}
        for ns, number in self._shown.keys() - shown.keys():
            markers.append(Marker(header=header, ns=ns, id=number, action=Marker.DELETE))
        self._shown = shown
        return MarkerArray(markers=markers)

    def _own_ship(self, own_ship: Odometry) -> Iterator[Marker]:
        length = self._values["ship_length"]
        pose = own_ship.pose.pose
        if not all(map(math.isfinite, (pose.position.x, pose.position.y, pose.position.z))):
            return
        marker = _marker("own_ship", 0, Marker.TRIANGLE_LIST, _OWN_SHIP_COLOUR, 0.95)
        marker.pose = pose
        marker.points = _points(ship_outline(length).reshape(-1, 3))
        yield marker
        text = _marker("own_ship_text", 0, Marker.TEXT_VIEW_FACING, _OWN_SHIP_COLOUR, 1.0)
        text.pose.position = Point(x=pose.position.x, y=pose.position.y - length, z=pose.position.z)
        text.scale.z = self._values["text_height"]
        text.text = "own ship"
        yield text

    def _track(self, track: Track, origin: NDArray[np.float64]) -> Iterator[Marker]:
        identity = bytes(bytearray(track.id.uuid))
        if identity not in self._numbers:
            self._numbers[identity] = self._next
            self._next = (self._next + 1) % 2**31
        number = self._numbers[identity]
        colour = STATE_COLOURS.get(track.state, STATE_COLOURS[Track.STATE_UNKNOWN])
        position = np.array([track.position.x, track.position.y, track.position.z])
        if track.range_observed and np.isfinite(position).all():
            yield from self._located(track, number, colour, position)
            beside, distance = position, track.range
        elif math.isfinite(track.bearing):
            yield self._wedge(track, number, colour, origin)
            # Near the wedge's outer end, which says nothing of the range; staggered, since the
            # emitters of one drone share its bearing.
            far = self._far() * (1.0 - 0.08 * (number % 5))
            beside, distance = origin + far * direction(track.bearing), math.nan
        else:
            return
        text = _marker("track_text", number, Marker.TEXT_VIEW_FACING, colour, 1.0)
        text.pose.position = _point(beside + np.array([0.0, 0.0, self._values["text_height"]]))
        text.scale.z = self._values["text_height"]
        text.text = track_text(
            track.number,
            track.label,
            CLASS_NAMES.get(track.object_class, "other"),
            track.confidence,
            distance,
        )
        yield text

    def _located(
        self,
        track: Track,
        number: int,
        colour: tuple[float, float, float],
        position: NDArray[np.float64],
    ) -> Iterator[Marker]:
        diameter = self._values["sphere_diameter"]
        sphere = _marker("track", number, Marker.SPHERE, colour, 0.95)
        sphere.pose.position = _point(position)
        sphere.scale = Vector3(x=diameter, y=diameter, z=diameter)
        yield sphere
        covariance = np.asarray(track.covariance, dtype=np.float64).reshape(6, 6)[:3, :3]
        shape = ellipsoid(
            covariance, self._values["sigmas"], 0.5, self._values["largest_ellipsoid"]
        )
        if shape is not None:
            marker = _marker("track_covariance", number, Marker.SPHERE, colour, 0.2)
            marker.pose.position = _point(position)
            x, y, z, w = (float(part) for part in shape.quaternion)
            marker.pose.orientation = Quaternion(x=x, y=y, z=z, w=w)
            width, depth, height = (2.0 * float(axis) for axis in shape.semi_axes)
            marker.scale = Vector3(x=width, y=depth, z=height)
            yield marker
        velocity = np.array([track.velocity.x, track.velocity.y, track.velocity.z])
        if np.isfinite(velocity).all() and np.linalg.norm(velocity) > 0.5:
            arrow = _marker("track_velocity", number, Marker.ARROW, colour, 0.9)
            arrow.points = [
                _point(position),
                _point(position + self._values["velocity_ahead"] * velocity),
            ]
            arrow.scale = Vector3(x=0.25 * diameter, y=0.6 * diameter, z=0.9 * diameter)
            yield arrow

    def _far(self) -> float:
        return max(float(self._values["wedge_far"]), self._values["wedge_near"] + 1.0)

    def _wedge(
        self,
        track: Track,
        number: int,
        colour: tuple[float, float, float],
        origin: NDArray[np.float64],
    ) -> Marker:
        sigma = track.bearing_std if math.isfinite(track.bearing_std) else math.pi
        triangles = wedge(
            origin,
            track.bearing,
            self._values["sigmas"] * sigma,
            near=self._values["wedge_near"],
            far=self._far(),
        )
        marker = _marker("track_wedge", number, Marker.TRIANGLE_LIST, colour, 0.25)
        marker.points = _points(triangles.reshape(-1, 3))
        return marker


def _marker(
    ns: str, number: int, kind: int, colour: tuple[float, float, float], alpha: float
) -> Marker:
    red, green, blue = colour
    return Marker(
        ns=ns,
        id=number,
        type=kind,
        action=Marker.ADD,
        pose=Pose(orientation=Quaternion(w=1.0)),
        scale=Vector3(x=1.0, y=1.0, z=1.0),
        color=ColorRGBA(r=red, g=green, b=blue, a=alpha),
    )


def _point(position: NDArray[np.float64]) -> Point:
    return Point(x=float(position[0]), y=float(position[1]), z=float(position[2]))


def _points(positions: NDArray[np.float64]) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in positions.tolist()]


def _duration(value: float) -> Duration:
    whole = int(value)
    return Duration(sec=whole, nanosec=int((value - whole) * 1e9))


class Markers(BoxNode):
    """Publishes a MarkerArray for every TrackArray."""

    PARAMETERS = PARAMETERS

    def __init__(self, name: str = "markers", **options: Any) -> None:
        super().__init__(name, **options)
        self._maker = MarkerMaker(self.values)
        self._own_ship: Odometry | None = None
        self._pictures = Rate()
        self._tracks = 0
        self._publisher = self.create_publisher(MarkerArray, "markers", STATE)
        # Depth 1: of several pictures that wait, only the newest is worth drawing.
        self.create_subscription(TrackArray, "tracks", self._on_tracks, QoSProfile(depth=1))
        self.create_subscription(
            Odometry, "ownship/odometry", self._on_own_ship, QoSProfile(depth=1)
        )
        self.health.add("picture", self._report)

    def _on_own_ship(self, message: Odometry) -> None:
        self._own_ship = message

    def _on_tracks(self, message: TrackArray) -> None:
        self._tracks = len(message.tracks)
        self._pictures.add(self.now())
        if self._publisher.get_subscription_count():
            self._publisher.publish(
                self._maker.picture(message.header, message.tracks, self._own_ship)
            )

    def _report(self, report: Report) -> None:
        now = self.now()
        report.put("tracks", self._tracks)
        report.put("rate", self._pictures.per_second(now))
        report.put("age", self._pictures.age(now))
        report.put("viewers", self._publisher.get_subscription_count())
        if math.isnan(self._pictures.last):
            report.findings.append("no tracks heard yet")
        else:
            report.findings.append(f"{self._tracks} tracks drawn")


def main() -> None:
    """Run the node as a process."""
    run(Markers)


if __name__ == "__main__":
    main()
