# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of the camera: a file, a network stream or a capture device, through OpenCV. No ROS.

OpenCV is an optional import: without it the driver does everything but pictures, and says so.
"""

from __future__ import annotations

import importlib
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

__all__ = ["Picture", "Source", "VideoError", "VideoReader", "encode_jpeg", "open_cv", "parse"]

BACK_OFF_FIRST, BACK_OFF_LAST = 0.5, 10.0
_IDLE_POLL = 0.1
_LINGER = 3.0
"""The source stays open this long after its last reader has gone, seconds."""
_TIMEOUT_MS = 3000
_KINDS = ("rtsp", "rtsps", "http", "https", "udp", "rtp", "tcp")


class VideoError(RuntimeError):
    """Pictures cannot come now; the text says why and what to do."""


class Source(NamedTuple):
    """Where pictures come from."""

    kind: Literal["none", "file", "stream", "device", "topic"]
    place: str


class Picture(NamedTuple):
    """One picture."""

    pixels: NDArray[np.uint8]
    """(height, width, 3) in blue, green, red, or (height, width) in grey."""
    time: float
    """When it was read, seconds of the system clock."""


def parse(text: str) -> Source:
    """Read the parameter that says where pictures come from.

    Raises:
        ValueError: it names nothing that pictures can come from.
    """
    text = text.strip()
    if not text:
        return Source("none", "")
    if text.startswith("topic:"):
        topic = text.removeprefix("topic:").strip()
        if not topic or topic.endswith("/") or not topic.replace("/", "").isidentifier():
            raise ValueError(f"'{text}' names no topic: use topic:NAME, such as topic:/camera/raw")
        return Source("topic", topic)
    if text.isdigit():
        return Source("device", text)
    scheme = urlsplit(text).scheme
    if scheme == "file":
        return Source("file", urlsplit(text).path)
    if scheme in _KINDS:
        return Source("stream", text)
    if scheme:
        raise ValueError(
            f"'{text}': {scheme} is not known; use a file, {', '.join(_KINDS)}, /dev/videoN, a "
            "device number, or topic:NAME"
        )
    return Source("device" if text.startswith("/dev/") else "file", text)


def open_cv() -> Any:
    """OpenCV's module.

    Raises:
        VideoError: it is not installed.
    """
    # OpenCV takes these from the environment only. What it would print of a source that is away
    # is in the diagnostics, in words; repeated at every try it would fill the log. RTSP pictures
    # that come in the connection itself are not lost; a camera that refuses sends datagrams.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "8")
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_flags;prefer_tcp")
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        raise VideoError(
            f"pictures need OpenCV, which is not installed ({error}): install "
            "opencv-python-headless, or set video.source to a topic"
        ) from None


def encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Compress a picture as JPEG.

    Args:
        pixels: (height, width, 3) blue, green, red, or (height, width) grey.
        quality: 1 to 100.

    Raises:
        VideoError: OpenCV is missing, or the picture is none.
    """
    cv = open_cv()
    try:
        done, coded = cv.imencode(".jpg", pixels, [cv.IMWRITE_JPEG_QUALITY, quality])
    except cv.error as error:
        raise VideoError(f"the picture cannot be compressed: {error}") from None
    if not done:
        raise VideoError("the picture cannot be compressed")
    return bytes(coded)


class VideoReader:
    """Reads a source in a thread of its own, while somebody wants its pictures.

    Args:
        source: a file, stream or device.
        show: takes each picture, in the thread.
        wanted: whether somebody looks; the source is closed while nobody does.
        rate_max: pictures a second at most; a file is paced at its own rate below that.
        loop: whether a file begins again at its end.
    """

    def __init__(
        self,
        source: Source,
        show: Callable[[Picture], None],
        wanted: Callable[[], bool],
        rate_max: float = 30.0,
        loop: bool = True,
    ) -> None:
        if source.kind not in ("file", "stream", "device"):
            raise ValueError(f"a {source.kind} source is not read here")
        self._source = source
        self._show = show
        self._wanted = wanted
        self._least = 1.0 / rate_max
        self._loop = loop
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        #: Why pictures cannot come now; empty while they can or nobody wants them.
        self.fault = ""
        self.pictures = 0
        self.is_open = False
        self.size = (0, 0)
        """Width and height of the last picture."""
        self.ended = False

    def start(self, name: str) -> None:
        """Start the thread."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name=f"{name}-video", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the source."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        delay = BACK_OFF_FIRST
        while not self._stop.is_set():
            if not self._wanted() or self.ended:
                self._stop.wait(_IDLE_POLL)
                continue
            before = self.pictures
            try:
                self._read()
                self.fault = ""
                continue
            except VideoError as error:
                self.fault = str(error)
            except Exception as error:
                # Whatever a decoder or a publisher throws: said, and tried again with back-off.
                self.fault = f"video: {error!r}"
            finally:
                self.is_open = False
            if self.pictures > before:
                delay = BACK_OFF_FIRST
            self._stop.wait(delay)
            delay = min(2.0 * delay, BACK_OFF_LAST)

    def _open(self) -> Any:
        cv = open_cv()
        kind, place = self._source
        if kind == "file" and not Path(place).expanduser().is_file():
            raise VideoError(f"there is no video file {place}: check video.source")
        if kind == "device":
            capture = cv.VideoCapture(int(place) if place.isdigit() else place)
        else:
            where = str(Path(place).expanduser()) if kind == "file" else place
            timeouts = [cv.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS]
            timeouts += [cv.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
            capture = cv.VideoCapture(where, cv.CAP_FFMPEG, timeouts)
        if not capture.isOpened():
            capture.release()
            raise VideoError(f"no pictures from {place}: is it on, and video.source right?")
        return capture

    def _read(self) -> None:
        """Read until nobody wants pictures; VideoError when they stop coming."""
        capture = self._open()
        try:
            self.is_open = True
            cv = open_cv()
            file = self._source.kind == "file"
            own = float(capture.get(cv.CAP_PROP_FPS)) if file else math.nan
            period = max(self._least, 1.0 / own if 0.0 < own <= 1000.0 else 0.0)
            due = time.monotonic()
            left = math.inf
            in_row = 0
            while not self._stop.is_set() and time.monotonic() < left:
                if self._wanted():
                    left = math.inf
                elif left == math.inf:
                    left = time.monotonic() + _LINGER
                there, pixels = capture.read()
                if not there:
                    if not file:
                        raise VideoError(f"{self._source.place} stopped sending pictures")
                    if in_row == 0:
                        raise VideoError(f"{self._source.place} holds no picture that can be read")
                    if not self._loop:
                        self.ended = True
                        return
                    capture.set(cv.CAP_PROP_POS_FRAMES, 0)
                    in_row = 0
                    continue
                in_row += 1
                now = time.monotonic()
                if file:
                    if self._stop.wait(max(0.0, due - now)):
                        return
                    due = max(due + period, now - period)
                elif now < due:
                    continue  # a live source must be emptied, faster than it is shown
                else:
                    due = max(due + period, now)
                self.fault = ""
                self.pictures += 1
                self.size = (int(pixels.shape[1]), int(pixels.shape[0]))
                self._show(Picture(pixels, time.time()))
        finally:
            capture.release()
