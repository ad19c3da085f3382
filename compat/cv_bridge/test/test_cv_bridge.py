# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Layouts of sensor_msgs/Image, written out by hand, against the conversions."""

from __future__ import annotations

import array

import numpy as np
import pytest

pytest.importorskip("cv2")
from cv_bridge import CvBridge, CvBridgeError
from sensor_msgs.msg import CompressedImage, Image


def message(  # noqa: PLR0917 - the fields of the message
    encoding: str, width: int, height: int, step: int, raw: bytes, big: int = 0
) -> Image:
    return Image(
        encoding=encoding,
        width=width,
        height=height,
        step=step,
        is_bigendian=big,
        data=array.array("B", raw),
    )


@pytest.mark.parametrize(
    ("encoding", "raw", "bgr"),
    [
        ("bgr8", bytes([1, 2, 3]), [1, 2, 3]),
        ("rgb8", bytes([1, 2, 3]), [3, 2, 1]),
        ("bgra8", bytes([1, 2, 3, 4]), [1, 2, 3]),
        ("rgba8", bytes([1, 2, 3, 4]), [3, 2, 1]),
        ("mono8", bytes([7]), [7, 7, 7]),
        ("mono16", bytes([0xFF, 0xFF]), [255, 255, 255]),
    ],
)
def test_one_pixel_becomes_bgr(encoding: str, raw: bytes, bgr: list[int]) -> None:
    image = CvBridge().imgmsg_to_cv2(message(encoding, 1, 1, len(raw), raw), "bgr8")
    assert image.dtype == np.uint8
    assert image[0, 0].tolist() == bgr


def test_rows_are_padded_to_the_step() -> None:
    raw = bytes([1, 2, 99, 3, 4, 99])
    image = CvBridge().imgmsg_to_cv2(message("mono8", 2, 2, 3, raw))
    assert image.tolist() == [[1, 2], [3, 4]]
    # The last row need not be padded.
    assert CvBridge().imgmsg_to_cv2(message("8UC1", 2, 2, 3, raw[:5])).tolist() == [[1, 2], [3, 4]]


def test_sixteen_bits_in_both_byte_orders() -> None:
    little = CvBridge().imgmsg_to_cv2(message("16UC1", 1, 1, 2, bytes([0x34, 0x12])))
    big = CvBridge().imgmsg_to_cv2(message("mono16", 1, 1, 2, bytes([0x12, 0x34]), big=1))
    assert little[0, 0] == big[0, 0] == 0x1234


def test_yuv_422_of_grey() -> None:
    image = CvBridge().imgmsg_to_cv2(
        message("yuv422", 2, 1, 4, bytes([128, 126, 128, 126])), "mono8"
    )
    assert np.all(np.abs(image.astype(int) - 128) <= 1)


@pytest.mark.parametrize(
    ("encoding", "kind", "shape"),
    [
        ("mono8", np.uint8, (3, 4)),
        ("bgr8", np.uint8, (3, 4, 3)),
        ("bgra8", np.uint8, (3, 4, 4)),
        ("mono16", np.uint16, (3, 4)),
        ("16UC1", np.uint16, (3, 4)),
        ("32FC1", np.float32, (3, 4)),
        ("8UC3", np.uint8, (3, 4, 3)),
    ],
)
def test_there_and_back(encoding: str, kind: type, shape: tuple[int, ...]) -> None:
    bridge = CvBridge()
    image = (np.arange(np.prod(shape)) * 3 % 251).reshape(shape).astype(kind)
    told = bridge.cv2_to_imgmsg(image, encoding)
    assert (told.width, told.height, told.encoding) == (4, 3, encoding)
    assert told.step == image.strides[0]
    assert np.array_equal(bridge.imgmsg_to_cv2(told), image)


def test_pictures_that_are_none_are_refused() -> None:
    bridge = CvBridge()
    for bad in (
        message("bgr8", 4, 4, 12, bytes(47)),
        message("bgr8", 4, 4, 11, bytes(48)),
        message("bgr8", 0, 0, 0, b""),
        message("nonsense", 1, 1, 1, b"1"),
    ):
        with pytest.raises(CvBridgeError):
            bridge.imgmsg_to_cv2(bad)
    with pytest.raises(CvBridgeError):
        bridge.cv2_to_imgmsg(np.zeros((2, 2, 3), np.uint8), "mono8")
    with pytest.raises(TypeError):
        bridge.cv2_to_imgmsg([[1]])
    with pytest.raises(CvBridgeError):
        bridge.compressed_imgmsg_to_cv2(CompressedImage(format="jpeg", data=b"\xff\xd8broken"))
    with pytest.raises(CvBridgeError):
        bridge.compressed_imgmsg_to_cv2(CompressedImage(format="jpeg"))


def test_compressed_there_and_back() -> None:
    bridge = CvBridge()
    image = np.full((16, 16, 3), (10, 120, 240), np.uint8)
    png = bridge.cv2_to_compressed_imgmsg(image, "png")
    assert bytes(png.data[:4]) == b"\x89PNG"
    assert np.array_equal(bridge.compressed_imgmsg_to_cv2(png, "rgb8"), image[:, :, ::-1])
    jpeg = bridge.cv2_to_compressed_imgmsg(image)
    assert jpeg.format == "jpg"
    assert np.abs(bridge.compressed_imgmsg_to_cv2(jpeg).astype(int) - image).max() < 6
