# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The camera's picture of the sky, rendered: gradient, horizon, sea, and what flies and floats.

Objects are drawn at eight times the picture's resolution and averaged down, so that a drone of a
few pixels has the soft edge that a lens gives it; then blur, exposure and noise. Served as MJPEG
over HTTP, which OpenCV, GStreamer and every browser read.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from thebox_sim.geometry import Vector, bearing_to, elevation_to, slant_range, wrap_pi
from thebox_sim.sensors.trakka import CameraPose
from thebox_sim.tcp import Session
from thebox_sim.world import Visible

Image = NDArray[np.uint8]
# Drawing grid: fractional bits of cv2's sub-pixel coordinates, and the averaging factor.
_SHIFT = 4
_FINE = 8
# A patch is never drawn larger than this on the fine grid, pixels.
_LARGEST_PATCH = 4096


@dataclass(frozen=True)
class Box:
    """Where an object is in a picture, in pixels: for checks and training sets."""

    id: str
    object_class: str
    left: float
    top: float
    right: float
    bottom: float


class Renderer:
    """Draws pictures of one size; the same inputs and noise seed give the same picture."""

    def __init__(
        self, width: int = 1280, height: int = 720, *, noise: float = 3.0, blur: float = 0.7
    ) -> None:
        """Take the picture's size in pixels, noise sigma in grey levels and blur in pixels."""
        if width < 16 or height < 16:
            raise ValueError(f"a picture is at least 16 by 16 pixels, not {width} by {height}")
        self.width, self.height = width, height
        self._noise, self._blur = noise, blur
        rng = np.random.default_rng(7)
        # Noise is drawn once and shifted for each picture: drawing it anew would cost most of the
        # time of a picture.
        self._grain = (noise * rng.standard_normal((height + 64, width + 64, 3))).astype(np.float32)
        texture = rng.standard_normal((height, width)).astype(np.float32)
        # Three copies side by side, blurred, and the middle one kept: it joins up with itself.
        tiled = np.hstack([texture] * 3)
        middle = slice(width, 2 * width)
        self._clouds = _level(cv2.GaussianBlur(tiled, (0, 0), width / 14.0)[:, middle])
        self._waves = _level(cv2.GaussianBlur(tiled, (0, 0), sigmaX=6.0, sigmaY=1.0)[:, middle])

    def render(
        self, pose: CameraPose, eye: Vector, objects: Sequence[Visible], time: float
    ) -> tuple[Image, list[Box]]:
        """Return the picture (height x width x 3, BGR) and the boxes of the objects in it.

        :param eye: the camera's ENU position, metres.
        :param time: seconds; wings and rotors move with it.
        """
        focal = self.width / 2.0 / math.tan(pose.horizontal_field_of_view / 2.0)
        picture: NDArray[Any] = self._background(pose, focal)
        view = _View(pose, eye, focal, time)
        boxes = []
        # The far ones first, so that near ones cover them.
        for item in sorted(objects, key=lambda o: -slant_range(eye, o.position)):
            box = self._draw(picture, view, item)
            if box is not None:
                boxes.append(box)
        if self._blur > 0.0:
            picture = cv2.GaussianBlur(picture, (0, 0), self._blur)
        if self._noise > 0.0:
            shift = int(time * 1000.0)
            dy, dx = shift * 7 % 64, shift * 13 % 64
            picture = picture + self._grain[dy : dy + self.height, dx : dx + self.width]
        return np.clip(picture, 0.0, 255.0).astype(np.uint8), boxes

    def _background(self, pose: CameraPose, focal: float) -> NDArray[np.float32]:
        rows = np.arange(self.height, dtype=np.float32)
        elevation = pose.elevation + np.arctan((self.height / 2.0 - rows) / focal)
        # Pale haze over the horizon, deep blue from 25 degrees on.
        high = np.sqrt(np.clip(elevation / math.radians(25.0), 0.0, 1.0))[:, None]
        pale, deep = np.array([215.0, 195.0, 172.0]), np.array([185.0, 128.0, 74.0])
        colours = (pale * (1.0 - high) + deep * high).astype(np.float32)
        sky = np.repeat(colours[:, None, :], self.width, axis=1)
        # Clouds drift with the bearing, so that a slew shows in the picture.
        offset = int(pose.bearing / (2.0 * math.pi) * 4.0 * self.width) % self.width
        clouds = np.roll(self._clouds, -offset, axis=1)
        sky += 18.0 * clouds[:, :, None]
        sea = elevation < 0.0
        if sea.any():
            depth = np.clip(-elevation[sea] / 0.15, 0.0, 1.0)[:, None]
            near, far = np.array([75.0, 60.0, 40.0]), np.array([150.0, 130.0, 105.0])
            water = (far * (1.0 - depth) + near * depth).astype(np.float32)
            sky[sea] = water[:, None, :]
            sky[sea] += 14.0 * np.roll(self._waves, -offset, axis=1)[sea][:, :, None]
        return sky

    def _draw(
        self,
        picture: NDArray[np.float32],
        view: _View,
        item: Visible,
    ) -> Box | None:
        pose, eye, focal = view.pose, view.eye, view.focal
        distance = max(slant_range(eye, item.position), 1.0)
        azimuth = wrap_pi(bearing_to(eye, item.position) - pose.bearing)
        if abs(azimuth) > math.pi / 2.1:
            return None
        elevation = elevation_to(eye, item.position)
        # Rotation of the line of sight into the camera's axes.
        ahead = math.cos(elevation) * math.cos(azimuth)
        right = math.cos(elevation) * math.sin(azimuth)
        up = math.sin(elevation)
        cos_p, sin_p = math.cos(pose.elevation), math.sin(pose.elevation)
        forward = cos_p * ahead + sin_p * up
        upward = -sin_p * ahead + cos_p * up
        if forward <= 0.05:
            return None
        x = self.width / 2.0 + focal * right / forward
        y = self.height / 2.0 - focal * upward / forward
        wide, tall = focal * item.span / distance, focal * item.height / distance
        if item.object_class == "boat":
            y -= tall / 2.0
        reach_x, reach_y = max(wide, 2.0), max(tall, 2.0) + 0.5 * wide
        left, top = math.floor(x - reach_x), math.floor(y - reach_y)
        right_px, bottom = math.ceil(x + reach_x), math.ceil(y + reach_y)
        if right_px <= 0 or bottom <= 0 or left >= self.width or top >= self.height:
            return None
        fine = _FINE
        while fine > 1 and max(right_px - left, bottom - top) * fine > _LARGEST_PATCH:
            fine //= 2
        if max(right_px - left, bottom - top) > _LARGEST_PATCH:
            return None
        mask = np.zeros(((bottom - top) * fine, (right_px - left) * fine), np.uint8)
        bright = np.zeros_like(mask)
        tilt = _tilt(item, view.time)
        centre = ((x - left) * fine, (y - top) * fine)
        bearing = azimuth + pose.bearing
        _shape(_Pen(mask, *centre, fine, tilt), item, (wide, tall), bearing, view.time)
        _lights(_Pen(bright, *centre, fine, tilt), item, (wide, tall))
        patch = (right_px - left, bottom - top)
        small = cv2.resize(mask, patch, interpolation=cv2.INTER_AREA).astype(np.float32)
        cover = small / 255.0
        lit = cv2.resize(cv2.min(bright, mask), patch, interpolation=cv2.INTER_AREA) / 255.0
        # Haze takes contrast with range (Koschmieder, 12 km visibility).
        cover *= math.exp(-3.9 * distance / 12_000.0)
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(right_px, self.width), min(bottom, self.height)
        part = cover[y0 - top : y1 - top, x0 - left : x1 - left, None]
        share = lit[y0 - top : y1 - top, x0 - left : x1 - left, None].astype(np.float32)
        share /= np.maximum(small[y0 - top : y1 - top, x0 - left : x1 - left, None] / 255.0, 1e-3)
        colour = np.array(_colour(item), np.float32) * (1.0 - share)
        colour = colour + np.array((205.0, 203.0, 200.0), np.float32) * share
        region = picture[y0:y1, x0:x1]
        region *= 1.0 - part
        region += part * colour
        seen = np.argwhere(small > 16.0)
        if not len(seen):
            return None
        (row0, col0), (row1, col1) = seen.min(axis=0), seen.max(axis=0)
        return Box(
            item.id,
            item.object_class,
            float(left + col0),
            float(top + row0),
            float(left + col1 + 1),
            float(top + row1 + 1),
        )


@dataclass(frozen=True)
class _View:
    pose: CameraPose
    eye: Vector
    # Pixels per unit of tangent.
    focal: float
    time: float


def _level(texture: NDArray[Any]) -> NDArray[np.float32]:
    """Return the texture scaled to -1 … 1."""
    return (texture / max(float(np.abs(texture).max()), 1e-6)).astype(np.float32)


class _Pen:
    """Draws on a fine mask in units of picture pixels about a centre, y upwards."""

    def __init__(self, mask: Image, x: float, y: float, scale: int, tilt: float = 0.0) -> None:
        self.mask, self.x, self.y, self.scale = mask, x, y, scale
        self.cos, self.sin = math.cos(tilt), math.sin(tilt)

    def polygon(self, points: Sequence[tuple[float, float]]) -> None:
        fixed = [
            (
                round((self.x + (px * self.cos - py * self.sin) * self.scale) * (1 << _SHIFT)),
                round((self.y - (px * self.sin + py * self.cos) * self.scale) * (1 << _SHIFT)),
            )
            for px, py in points
        ]
        # OpenCV's stubs know a scalar as a sequence only.
        cv2.fillPoly(self.mask, [np.array(fixed, np.int32)], (255,), cv2.LINE_8, _SHIFT)

    def outline(self, half: float, rise: float, points: Sequence[tuple[float, float]]) -> None:
        self.polygon([(px * half, py * rise) for px, py in points])

    def ellipse(self, px: float, py: float, rx: float, ry: float) -> None:
        steps = [2.0 * math.pi * i / 24 for i in range(24)]
        self.polygon([(px + rx * math.cos(a), py + ry * math.sin(a)) for a in steps])


def _shape(pen: _Pen, item: Visible, size: tuple[float, float], view: float, time: float) -> None:
    half, rise = size[0] / 2.0, size[1] / 2.0
    # Seen along its course a wing shows its whole span, from the side a part of it.
    off_course = math.atan2(item.velocity[0], item.velocity[1]) - view
    if item.object_class == "boat":
        pen.outline(half, rise, ((-1.0, -0.3), (1.0, -0.3), (0.85, -1.0), (-0.9, -1.0)))
        pen.outline(half, rise, ((-0.5, -0.3), (-0.4, 0.3), (0.2, 0.3), (0.4, -0.3)))
        pen.outline(half, rise, ((-0.05, 0.3), (0.0, 1.0), (0.05, 0.3)))
    elif item.object_class == "bird":
        phase = 2.0 * math.pi * (3.0 * time + _chance(item.id))
        flap = 0.5 * math.sin(phase)
        shown = half * (0.35 + 0.65 * abs(math.cos(off_course)))
        chord = max(0.2 * half, 0.4)
        # The far wing is foreshortened; both are narrow, bend at the wrist and end in a point.
        for side, part in ((-1.0, 1.0), (1.0, 0.6)):
            span = side * shown * part
            pen.polygon(
                [
                    (-0.3 * chord * side, 0.5 * chord),
                    (0.5 * span, 0.4 * chord + abs(span) * (0.15 + 0.9 * flap)),
                    (span, abs(span) * (1.1 * flap - 0.2)),
                    (0.5 * span, abs(span) * (0.1 + 0.7 * flap) - 0.4 * chord),
                    (0.2 * chord * side, -0.5 * chord),
                ]
            )
        long = half * (0.2 + 0.3 * abs(math.sin(off_course)))
        pen.ellipse(0.0, -0.1 * chord, max(long, 0.4), max(0.45 * chord, 0.35))
    elif item.hovers:
        # A quadcopter seen a little from below: the near arms reach down and out, the far ones up
        # and in, each with a motor and its rotor's disc; body, and legs.
        rise = max(rise, 0.5 * half)
        turn = 0.6 + 0.4 * abs(math.sin(40.0 * time))
        for side in (-1.0, 1.0):
            for out, up in ((0.82, -0.05), (0.55, 0.5)):
                wide = 0.09 * half + 0.15
                x, y = side * out * half, up * rise
                pen.polygon([(0.0, -wide), (x, y - wide), (x, y + wide), (0.0, wide)])
                pen.ellipse(x, y + 0.1 * rise, 0.1 * half, 0.26 * rise)
                pen.ellipse(x, y + 0.32 * rise, half * 0.3 * turn + 0.05, rise * 0.07)
            leg = side * half
            pen.outline(leg, rise, ((0.2, -0.1), (0.32, -0.1), (0.46, -1.0), (0.36, -1.0)))
        pen.ellipse(0.0, 0.05 * rise, half * 0.28, rise * 0.38)
    else:
        shown = half * (0.35 + 0.65 * abs(math.cos(off_course)))
        pen.outline(shown, rise, ((-1.0, 0.25), (1.0, 0.25), (1.0, 0.05), (-1.0, 0.05)))
        length = max(half * 0.12, half * 0.5 * abs(math.sin(off_course)))
        pen.ellipse(0.0, 0.0, length, rise * 0.5)
        pen.outline(half, rise, ((-0.08, 0.0), (0.08, 0.0), (0.0, 1.0)))


def _chance(name: str) -> float:
    """A number in [0, 1) that belongs to a name."""
    return (sum(name.encode()) % 17) / 17.0


def _tilt(item: Visible, time: float) -> float:
    """How far the object leans to a side in the picture, radians."""
    lean = math.sin(0.7 * time + 6.0 * _chance(item.id))
    if item.object_class == "bird":
        return 0.6 * lean
    return 0.0 if item.object_class == "boat" else 0.15 * lean


def _lights(pen: _Pen, item: Visible, size: tuple[float, float]) -> None:
    """The parts that the sun shows bright: a drone's shell."""
    half, rise = size[0] / 2.0, size[1] / 2.0
    if item.object_class == "drone" and item.hovers and _chance(item.id) < 0.7:
        pen.ellipse(0.0, rise * 0.25, half * 0.3, rise * 0.4)
        for side in (-1.0, 1.0):
            pen.ellipse(side * half * 0.55, rise * 0.1, half * 0.1, rise * 0.25)


def _colour(item: Visible) -> tuple[float, float, float]:
    if item.object_class == "boat":
        return (120.0, 115.0, 110.0)
    if item.object_class == "bird":
        return (40.0, 42.0, 46.0) if _chance(item.id) < 0.75 else (200.0, 203.0, 206.0)
    return (45.0, 42.0, 40.0)


def encode_jpeg(picture: Image, quality: int = 85) -> bytes:
    """Return the picture as JPEG.

    :raises ValueError: when OpenCV cannot encode it.
    """
    good, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not good:
        raise ValueError("the picture cannot be encoded as JPEG")
    return bytes(coded.tobytes())


class Studio:
    """Renders the newest picture on demand, at most ``rate`` times a second.

    :param look: returns the camera's pose.
    :param scene: returns the camera's ENU position, the objects and the time.
    """

    def __init__(
        self,
        renderer: Renderer,
        rate: float,
        look: Callable[[], CameraPose],
        scene: Callable[[], tuple[Vector, list[Visible], float]],
    ) -> None:
        self._renderer, self._period = renderer, 1.0 / rate
        self._look, self._scene = look, scene
        self._lock = threading.Lock()
        self._number, self._due = 0, -math.inf
        self._picture: Image = np.zeros((1, 1, 3), np.uint8)
        self._jpeg = b""
        self._jpeg_number = -1

    def picture(self) -> tuple[int, Image]:
        """Return (number, picture) of the newest picture."""
        with self._lock:
            now = time.monotonic()
            if now >= self._due:
                self._due = now + self._period
                eye, objects, when = self._scene()
                self._picture, _ = self._renderer.render(self._look(), eye, objects, when)
                self._number += 1
            return self._number, self._picture

    def jpeg(self) -> tuple[int, bytes]:
        """Return (number, JPEG) of the newest picture."""
        number, picture = self.picture()
        with self._lock:
            if number != self._jpeg_number:
                self._jpeg, self._jpeg_number = encode_jpeg(picture), number
            return self._jpeg_number, self._jpeg


class MjpegSession(Session):
    """One viewer: an HTTP request, then pictures until it goes away.

    :param picture: returns (number, JPEG) of the newest picture.
    """

    BOUNDARY = b"picture"

    def __init__(self, picture: Callable[[], tuple[int, bytes]]) -> None:
        self._picture = picture
        self._request = b""
        self._streaming = False
        self._last = -1

    def received(self, chunk: bytes) -> bytes:
        """Return the head of the answer once the request is complete."""
        if self._streaming:
            return b""
        self._request = (self._request + chunk)[-8192:]
        if b"\r\n\r\n" not in self._request:
            return b""
        self._streaming = True
        return (
            b"HTTP/1.0 200 OK\r\nConnection: close\r\nCache-Control: no-cache\r\n"
            b"Content-Type: multipart/x-mixed-replace; boundary=" + self.BOUNDARY + b"\r\n\r\n"
        )

    def spontaneous(self) -> bytes:
        """Return the newest picture, once."""
        if not self._streaming:
            return b""
        number, jpeg = self._picture()
        if number == self._last:
            return b""
        self._last = number
        head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode()
        return b"--" + self.BOUNDARY + b"\r\n" + head + jpeg + b"\r\n"
