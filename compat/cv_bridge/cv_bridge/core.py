# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Image messages to and from OpenCV's arrays (encodings: sensor_msgs/image_encodings.hpp)."""

from __future__ import annotations

import array
import re
import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

__all__ = ["CvBridge", "CvBridgeError"]

_PLAIN = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)(?:C(\d+))?")
_TYPES = {
    "8U": np.uint8,
    "8S": np.int8,
    "16U": np.uint16,
    "16S": np.int16,
    "32S": np.int32,
    "32F": np.float32,
    "64F": np.float64,
}
# Name: type, channels, family of colours.
_NAMED: dict[str, tuple[Any, int, str]] = {
    "mono8": (np.uint8, 1, "grey"),
    "mono16": (np.uint16, 1, "grey"),
    **{
        f"{family}{bits}": (kind, len(family), family)
        for family in ("bgr", "rgb", "bgra", "rgba")
        for bits, kind in ((8, np.uint8), (16, np.uint16))
    },
    **{f"bayer_{p}8": (np.uint8, 1, f"bayer_{p}") for p in ("rggb", "bggr", "gbrg", "grbg")},
    "yuv422": (np.uint8, 2, "uyvy"),
    "uyvy": (np.uint8, 2, "uyvy"),
    "yuv422_yuy2": (np.uint8, 2, "yuyv"),
    "yuyv": (np.uint8, 2, "yuyv"),
}
# How each family becomes BGR and comes from it. OpenCV names a Bayer pattern by its second row.
_TO_BGR = {
    "grey": cv2.COLOR_GRAY2BGR,
    "rgb": cv2.COLOR_RGB2BGR,
    "bgra": cv2.COLOR_BGRA2BGR,
    "rgba": cv2.COLOR_RGBA2BGR,
    "uyvy": cv2.COLOR_YUV2BGR_UYVY,
    "yuyv": cv2.COLOR_YUV2BGR_YUYV,
    "bayer_rggb": cv2.COLOR_BayerBG2BGR,
    "bayer_bggr": cv2.COLOR_BayerRG2BGR,
    "bayer_gbrg": cv2.COLOR_BayerGR2BGR,
    "bayer_grbg": cv2.COLOR_BayerGB2BGR,
}
_FROM_BGR = {
    "grey": cv2.COLOR_BGR2GRAY,
    "rgb": cv2.COLOR_BGR2RGB,
    "bgra": cv2.COLOR_BGR2BGRA,
    "rgba": cv2.COLOR_BGR2RGBA,
}
_FORMATS = {"jpg": ".jpg", "jpeg": ".jpg", "jpe": ".jpg", "png": ".png", "bmp": ".bmp"}


class CvBridgeError(TypeError):
    """A picture that cannot be converted."""


def _layout(encoding: str) -> tuple[Any, int, str]:
    if encoding in _NAMED:
        return _NAMED[encoding]
    plain = _PLAIN.fullmatch(encoding)
    if plain is None:
        raise CvBridgeError(f"Unrecognized image encoding [{encoding}]")
    return _TYPES[plain.group(1)], int(plain.group(2) or 1), ""


class CvBridge:
    """Converts between image messages and OpenCV's arrays, as upstream's class of that name."""

    def imgmsg_to_cv2(self, img_msg: Any, desired_encoding: str = "passthrough") -> NDArray[Any]:
        """Return the picture of an Image message.

        Raises:
            CvBridgeError: an unknown encoding, bytes that do not fit the size, or no conversion.
        """
        kind, channels, _ = _layout(img_msg.encoding)
        kind = np.dtype(kind).newbyteorder(">" if img_msg.is_bigendian else "<")
        height, width, step = img_msg.height, img_msg.width, img_msg.step
        row = width * channels * kind.itemsize
        if step < row or len(img_msg.data) < step * (height - 1) + row or not height or not width:
            raise CvBridgeError(
                f"{len(img_msg.data)} bytes with a step of {step} are no picture of {width} x "
                f"{height} in {img_msg.encoding}"
            )
        rows = np.frombuffer(img_msg.data, dtype=np.uint8, count=step * (height - 1) + row)
        packed = np.lib.stride_tricks.as_strided(rows, (height, row), (step, 1), writeable=False)
        shape = (height, width) if channels == 1 else (height, width, channels)
        image = np.ascontiguousarray(packed).view(kind).reshape(shape)
        if not kind.isnative:
            image = image.astype(kind.newbyteorder("="))
        return _convert(image, img_msg.encoding, desired_encoding)

    def cv2_to_imgmsg(
        self, cvim: NDArray[Any], encoding: str = "passthrough", header: Any = None
    ) -> Any:
        """Return a picture as an Image message.

        Raises:
            TypeError: not an array.
            CvBridgeError: the encoding does not suit the array.
        """
        if not isinstance(cvim, np.ndarray):
            raise TypeError("Your input type is not a numpy array")
        channels = 1 if cvim.ndim == 2 else cvim.shape[2]
        names = {np.dtype(kind): name for name, kind in _TYPES.items()}
        told = f"{names.get(cvim.dtype, '?')}C{channels}"
        if encoding == "passthrough":
            encoding = told
        kind, wanted, _ = _layout(encoding)
        if np.dtype(kind) != cvim.dtype or wanted != channels:
            raise CvBridgeError(f"encoding specified as {encoding}, but image has type {told}")
        message = Image()
        message.height, message.width = cvim.shape[:2]
        message.encoding = encoding
        message.is_bigendian = int(sys.byteorder == "big")
        message.step = cvim.shape[1] * channels * cvim.itemsize
        message.data = array.array("B", np.ascontiguousarray(cvim).tobytes())
        if header is not None:
            message.header = header
        return message

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: Any, desired_encoding: str = "passthrough"
    ) -> NDArray[Any]:
        """Return the picture of a CompressedImage message: as it is stored with passthrough.

        Raises:
            CvBridgeError: bytes that OpenCV cannot decode, or no conversion.
        """
        coded = np.frombuffer(cmprs_img_msg.data, dtype=np.uint8)
        image = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED) if len(coded) else None
        if image is None:
            raise CvBridgeError(
                f"{len(coded)} bytes of format {cmprs_img_msg.format!r} are no picture"
            )
        bits = "16" if image.dtype == np.uint16 else "8"
        family = {2: "mono", 3: "bgr", 4: "bgra"}[2 if image.ndim == 2 else image.shape[2]]
        return _convert(image, family + bits, desired_encoding)

    def cv2_to_compressed_imgmsg(self, cvim: NDArray[Any], dst_format: str = "jpg") -> Any:
        """Return a picture as a CompressedImage message.

        Raises:
            TypeError: not an array.
            CvBridgeError: OpenCV cannot write it in that format.
        """
        if not isinstance(cvim, np.ndarray):
            raise TypeError("Your input type is not a numpy array")
        if dst_format not in _FORMATS:
            raise CvBridgeError(f"format {dst_format!r} is none of {', '.join(_FORMATS)}")
        try:
            good, coded = cv2.imencode(_FORMATS[dst_format], cvim)
        except cv2.error as error:
            raise CvBridgeError(str(error)) from error
        if not good:
            raise CvBridgeError(f"OpenCV cannot write this picture as {dst_format}")
        message = CompressedImage()
        message.format = dst_format
        message.data = array.array("B", coded.tobytes())
        return message


def _convert(image: NDArray[Any], have: str, want: str) -> NDArray[Any]:
    if want in ("passthrough", have):
        return image
    kind, channels, family = _layout(have)
    wanted_kind, wanted_channels, wanted_family = _layout(want)
    if not family or not wanted_family:
        if wanted_channels != channels:
            raise CvBridgeError(f"[{have}] is not a color format. but [{want}] is.")
        return image.astype(wanted_kind)
    if family != wanted_family:
        if wanted_family not in (*_FROM_BGR, "bgr"):
            raise CvBridgeError(f"there is no conversion from {have} to {want}")
        if family != "bgr":
            image = np.asarray(cv2.cvtColor(image, _TO_BGR[family]))
        if wanted_family != "bgr":
            image = np.asarray(cv2.cvtColor(image, _FROM_BGR[wanted_family]))
    if np.dtype(kind) != np.dtype(wanted_kind):
        # As upstream: the full range of one becomes the full range of the other.
        factor = 255.0 / 65535.0 if np.dtype(wanted_kind) == np.uint8 else 65535.0 / 255.0
        image = np.clip(np.rint(image * factor), 0, np.iinfo(wanted_kind).max).astype(wanted_kind)
    return image
