# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The camera's pictures on ``camera/image_raw`` and compressed, from wherever they come."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from thebox_core.health import ERROR, WARN, Report
from thebox_core.messages import to_time
from thebox_core.node import ManagedNode
from thebox_core.qos import PICTURES
from thebox_sensors.trakka import video

__all__ = ["Pictures"]

_CHANNELS = {"mono8": 1, "bgr8": 3, "rgb8": 3}


class Pictures:
    """What the camera's node publishes of pictures, while somebody looks.

    Args:
        node: has the parameters ``video.*``; told by its life cycle what to do.
    """

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        self._frame_id = ""
        self._raw: Any = None
        self._compressed: Any = None
        self._relay: Any = None
        self._relayed = 0
        self._fault = ""
        #: Reads a file, stream or device; None for a topic and without a source.
        self.reader: video.VideoReader | None = None

    # Life cycle -------------------------------------------------------------------------------

    def configure(self) -> None:
        """Create the publishers."""
        node = self._node
        self._raw = node.create_publisher(Image, "camera/image_raw", PICTURES)
        self._compressed = node.create_publisher(
            CompressedImage, "camera/image_raw/compressed", PICTURES
        )

    def start(self, sensor: str, frame_id: str) -> None:
        """Begin to read or to pass on, as ``video.source`` says."""
        self._frame_id = frame_id
        self._fault = ""
        values = self._node.values
        source = video.parse(values["video.source"])
        if source.kind == "topic":
            self._relay = self._node.create_subscription(
                Image, source.place, self._pass_on, PICTURES
            )
        elif source.kind != "none":
            self.reader = video.VideoReader(
                source, self._show, self._wanted, values["video.rate_max"], values["video.loop"]
            )
            self.reader.start(sensor)

    def stop(self) -> None:
        """Close the source."""
        if self.reader is not None:
            self.reader.stop()
            self.reader = None
        if self._relay is not None:
            self._node.destroy_subscription(self._relay)
            self._relay = None

    def cleanup(self) -> None:
        """Release the publishers; the source too, where an activation was cut short."""
        self.stop()
        for publisher in (self._raw, self._compressed):
            if publisher is not None:
                self._node.destroy_publisher(publisher)
        self._raw = self._compressed = None

    # Pictures ---------------------------------------------------------------------------------

    def _wanted(self) -> bool:
        # Ctrl-C ends the context before the node is closed: nobody can be asked then.
        return self._node.context.ok() and bool(
            self._raw.get_subscription_count() or self._compressed.get_subscription_count()
        )

    def _show(self, picture: video.Picture) -> None:
        """Publish a picture, in the reader's thread."""
        node = self._node
        simulated = node.get_clock().ros_time_is_active
        taken = (node.now() if simulated else picture.time) - node.values["video.latency"]
        pixels = picture.pixels
        image = Image()
        image.header.stamp = to_time(max(taken, 0.0))
        image.header.frame_id = self._frame_id
        image.height, image.width = pixels.shape[:2]
        image.encoding = "mono8" if pixels.ndim == 2 else "bgr8"
        image.step = int(np.prod(pixels.shape[1:]))
        if self._raw.get_subscription_count():
            image.data = array.array("B", pixels.tobytes())
            self._raw.publish(image)
        if self._compressed.get_subscription_count():
            self._compress(image, pixels)

    def _pass_on(self, image: Image) -> None:
        """Publish a picture of another node's topic, as it is."""
        self._relayed += 1
        if self._raw.get_subscription_count():
            self._raw.publish(image)
        if not self._compressed.get_subscription_count():
            return
        channels = _CHANNELS.get(image.encoding, 0)
        if not channels:
            self._fault = (
                f"pictures in {image.encoding or 'no'} encoding are passed on, not compressed"
            )
            return
        width = image.width * channels
        if width > image.step or image.step * image.height != len(image.data):
            # From another node: it may say anything of its picture.
            self._fault = (
                f"a picture of {image.width} by {image.height} with {len(image.data)} bytes in "
                f"steps of {image.step} is none; passed on, not compressed"
            )
            return
        rows = np.frombuffer(image.data, dtype=np.uint8).reshape(image.height, image.step)
        pixels = rows[:, :width].reshape(image.height, image.width, channels)
        if image.encoding == "rgb8":
            pixels = np.ascontiguousarray(pixels[:, :, ::-1])
        self._compress(image, pixels)

    def _compress(self, image: Image, pixels: Any) -> None:
        try:
            coded = video.encode_jpeg(pixels, self._node.values["video.jpeg_quality"])
        except video.VideoError as error:
            self._fault = str(error)
            return
        compressed = CompressedImage()
        compressed.header = image.header
        compressed.format = f"{image.encoding}; jpeg compressed bgr8"
        compressed.data = array.array("B", coded)
        self._compressed.publish(compressed)

    # Health -----------------------------------------------------------------------------------

    def report(self, report: Report) -> None:
        """Tell where pictures come from, and whether they do."""
        node = self._node
        source = video.parse(node.values["video.source"])
        report.put("source", node.values["video.source"])
        if source.kind == "none":
            report.findings.append("no source is set")
            return
        reader = self.reader
        if source.kind == "topic":
            publishers = node.count_publishers(source.place) if node.is_active else 0
            report.put("pictures", self._relayed)
            report.put("publishers", publishers)
            if node.is_active and not publishers:
                report.find(WARN, f"nobody publishes {source.place}")
        elif reader is not None:
            report.put("pictures", reader.pictures)
            report.put("open", reader.is_open)
            report.put("width", reader.size[0])
            report.put("height", reader.size[1])
            if reader.fault:
                report.find(ERROR, reader.fault)
            if reader.ended:
                report.find(WARN, "the video file has ended")
            elif not reader.is_open and not reader.fault:
                report.findings.append("closed: nobody looks")
            try:
                video.open_cv()
            except video.VideoError as error:
                report.find(ERROR, str(error))
        if self._fault:
            report.find(WARN, self._fault)
