# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0

"""The camera's pictures from every kind of source: a topic, a file, streams and a device."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image

from thebox_core.qos import PICTURES
from thebox_sensors.trakka.node import Trakka

pytestmark = pytest.mark.graph


def start(live: Any, **parameters: Any) -> Any:
    """The driver without its gimbal: pictures do not wait for it."""
    node = live.start(Trakka, source="tcp://127.0.0.1:9", **parameters)
    live.wait(lambda: node.is_active, "an active driver")
    return node


def test_pictures_of_a_topic_are_passed_on(live: Any) -> None:
    start(live, video__source="topic:/thebox/raw_pictures")
    heard = live.listen(Image, "camera/image_raw", PICTURES)
    publisher = live.observer.create_publisher(Image, "raw_pictures", PICTURES)
    image = Image(height=2, width=3, encoding="bgr8", step=9)
    image.data = bytes(range(18))
    live.wait(lambda: publisher.publish(image) or heard, "a picture")
    assert bytes(heard[0].data) == bytes(range(18))
    # One whose numbers do not agree harms nobody.
    live.listen(CompressedImage, "camera/image_raw/compressed", PICTURES)
    image.width = 100
    live.wait(
        lambda: publisher.publish(image) or live.level("trakka: video") == 1, "the fault to be told"
    )
    assert "100 by 2 with 18 bytes" in live.told()["trakka: video"]


def test_pictures_of_a_file_come_while_somebody_looks(live: Any, tmp_path: Any) -> None:
    cv = pytest.importorskip("cv2", reason="OpenCV is not installed")
    path = tmp_path / "sky.avi"
    writer = cv.VideoWriter(str(path), cv.VideoWriter_fourcc(*"MJPG"), 20.0, (64, 48))
    for step in range(10):
        writer.write(np.full((48, 64, 3), 20 * step, dtype=np.uint8))
    writer.release()
    node = start(live, video__source=str(path))
    live.wait(lambda: live.level("trakka: video") == 0, "the video's health")
    assert node._pictures.reader.pictures == 0
    raw = live.listen(Image, "camera/image_raw", PICTURES)
    compressed = live.listen(CompressedImage, "camera/image_raw/compressed", PICTURES)
    live.wait(lambda: len(raw) >= 12 and len(compressed) >= 12, "pictures, also after the end")
    image = raw[-1]
    assert (image.height, image.width, image.encoding, image.step) == (48, 64, "bgr8", 192)
    assert len(image.data) == 48 * 64 * 3
    picture = cv.imdecode(np.frombuffer(compressed[-1].data, np.uint8), cv.IMREAD_COLOR)
    assert picture.shape == (48, 64, 3)


class Mjpeg(BaseHTTPRequestHandler):
    """A network camera: grey pictures, one after the other, for as long as somebody reads."""

    def do_GET(self) -> None:
        import cv2

        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        for shade in range(100_000):
            pixels = np.full((48, 64, 3), shade % 256, dtype=np.uint8)
            jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + jpeg + b"\r\n")
            except OSError:
                return
            time.sleep(0.02)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


def test_pictures_of_a_network_stream_and_of_one_that_is_lost(live: Any) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mjpeg)
    server.daemon_threads = True
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        node = start(live, video__source=f"http://127.0.0.1:{port}/")
        raw = live.listen(Image, "camera/image_raw", PICTURES)
        live.wait(lambda: len(raw) >= 5, "pictures of the stream")
        assert (raw[-1].height, raw[-1].width, raw[-1].encoding) == (48, 64, "bgr8")
        assert raw[-1].header.frame_id == "trakka_link"
    finally:
        server.shutdown()
        server.server_close()
    changed = live.in_executor(
        lambda: node.set_parameters([Parameter("video.source", value="http://127.0.0.1:9/")])
    )
    assert changed[0].successful
    live.wait(lambda: live.level("trakka: video") == 2, "the loss told")
    assert "no pictures from" in live.told()["trakka: video"]


class Rtsp(StreamRequestHandler):
    """A network camera that speaks RTSP (RFC 2326) and sends JPEG pictures as RTP (RFC 2435).

    Grey pictures of a growing shade, until the client or the server ends: as datagrams, or in the
    connection itself (interleaved) where the client asks for that.
    """

    SDP = (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=sky\r\nt=0 0\r\n"
        "m=video 0 RTP/AVP 26\r\nc=IN IP4 0.0.0.0\r\na=control:track1\r\n"
    )

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self._attend(self.server)

    def _attend(self, server: Any) -> None:
        server.connections.append(self.connection)
        while first := self.rfile.read(1):
            if first == b"$":
                # What the client says of its reception (RTCP), which nobody wants to know.
                (length,) = struct.unpack(">xH", self.rfile.read(3))
                self.rfile.read(length)
                continue
            method = (first + self.rfile.readline()).split()[0].decode()
            headers = {}
            while (line := self.rfile.readline().strip()) and b":" in line:
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            server.asked.append(method)
            status, more, body = "200 OK", "Session: 7\r\n", ""
            if method == "OPTIONS":
                more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                more, body = "Content-Type: application/sdp\r\n", self.SDP
            elif method == "SETUP":
                server.transports.append(headers["transport"])
                if server.transport == "udp" and "TCP" in headers["transport"]:
                    status = "461 Unsupported Transport"
                else:
                    more += f"Transport: {self._set_up(headers['transport'])}\r\n"
            self.wfile.write(
                f"RTSP/1.0 {status}\r\nCSeq: {headers['cseq']}\r\n{more}"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            if method == "PLAY":
                threading.Thread(target=self._play, daemon=True).start()
            elif method == "TEARDOWN":
                return

    def _set_up(self, transport: str) -> str:
        server: Any = self.server
        options = dict(part.partition("=")[::2] for part in transport.split(";"))
        if "interleaved" in options:
            self._send = lambda packet: self.wfile.write(
                b"$\0" + struct.pack(">H", len(packet)) + packet
            )
            return transport
        port = int(options["client_port"].partition("-")[0])
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.bind(("127.0.0.1", 0))
        server.connections.append(out)
        self._send = lambda packet: out.sendto(packet, ("127.0.0.1", port))
        ours = out.getsockname()[1]
        return f"{transport};server_port={ours}-{ours + 1}"

    def _play(self) -> None:
        import cv2

        sequence = 0
        for shade in range(100_000):
            pixels = np.full((48, 64, 3), shade % 200, dtype=np.uint8)
            jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
            for payload, last in _rtp_jpeg(jpeg, 64, 48):
                head = struct.pack(
                    ">BBHII", 0x80, 26 | last << 7, sequence & 0xFFFF, 1800 * shade, 0x7B0C
                )
                packet = head + payload
                sequence += 1
                try:
                    self._send(packet)
                except (OSError, ValueError):
                    return
            time.sleep(0.02)


def _rtp_jpeg(jpeg: bytes, width: int, height: int) -> Iterator[tuple[bytes, bool]]:
    """The payloads of a baseline JPEG picture of 4:2:0, and whether each is its last."""
    tables, scan, at = b"", b"", 2
    while not scan:
        marker, length = struct.unpack_from(">HH", jpeg, at)
        content = jpeg[at + 4 : at + 2 + length]
        if marker == 0xFFDB:
            # Each table comes with a byte that numbers it.
            tables += b"".join(content[one + 1 : one + 65] for one in range(0, len(content), 65))
        elif marker == 0xFFDA:
            scan = jpeg[at + 2 + length : -2]
        at += 2 + length
    for begin in range(0, len(scan), 1000):
        head = struct.pack(">I", begin) + bytes((1, 255, width // 8, height // 8))
        if begin == 0:
            head += struct.pack(">BBH", 0, 0, len(tables)) + tables
        yield head + scan[begin : begin + 1000], begin + 1000 >= len(scan)


class RtspServer(ThreadingTCPServer):
    """The server of such a camera on the loopback."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, transport: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Rtsp)
        self.transport = transport
        self.asked: list[str] = []
        self.transports: list[str] = []
        self.connections: list[socket.socket] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def end(self) -> None:
        """Switch the camera off."""
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            if connection.type == socket.SOCK_DGRAM:
                connection.close()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_pictures_over_rtsp_and_again_after_the_camera_was_off(live: Any, transport: str) -> None:
    cv = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if not cv.videoio_registry.hasBackend(cv.CAP_FFMPEG):
        pytest.skip("this OpenCV has no FFmpeg, which reads RTSP")
    camera = RtspServer(transport)
    try:
        source = f"rtsp://127.0.0.1:{camera.port}/sky"
        node = start(live, video__source=source)
        raw = live.listen(Image, "camera/image_raw", PICTURES)
        live.wait(lambda: len(raw) >= 5, "pictures of the stream")
        assert [camera.asked[0], camera.asked[1], camera.asked[-1]] == [
            "OPTIONS",
            "DESCRIBE",
            "PLAY",
        ]
        # Datagrams get lost: they are asked for only where nothing else is offered.
        tried = [asked.partition(";")[0] for asked in camera.transports]
        assert tried == (["RTP/AVP/TCP"] if transport == "tcp" else ["RTP/AVP/TCP", "RTP/AVP/UDP"])
        assert (raw[-1].height, raw[-1].width, raw[-1].encoding) == (48, 64, "bgr8")
        shades = [np.frombuffer(image.data, np.uint8).mean() for image in raw[:5]]
        assert np.all(np.diff(shades) > 0.0), shades
        camera.end()
        live.wait(lambda: live.level("trakka: video") == 2, "the loss told")
        assert source in live.told()["trakka: video"]
        camera = RtspServer(transport, camera.port)
        seen = len(raw)
        live.wait(lambda: len(raw) > seen, "pictures after the camera is on again")
        live.wait(lambda: live.level("trakka: video") == 0, "the health to be good again")
        assert node.is_active
    finally:
        camera.end()


def test_a_device_that_is_not_there_is_told(live: Any) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    start(live, video__source="/dev/video-none")
    live.listen(Image, "camera/image_raw", PICTURES)
    live.wait(lambda: live.level("trakka: video") == 2, "an error")
    assert "/dev/video-none" in live.told()["trakka: video"]


@pytest.mark.skipif(
    not list(Path("/dev").glob("video*")), reason="this machine has no video device (/dev/video0)"
)
def test_pictures_of_a_device(live: Any) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    device = sorted(Path("/dev").glob("video*"))[0]
    start(live, video__source=str(device))
    raw = live.listen(Image, "camera/image_raw", PICTURES)
    live.wait(lambda: raw or live.level("trakka: video") == 2, "a picture, or why there is none")
    if raw:
        assert len(raw[0].data) == raw[0].height * raw[0].step


def test_a_missing_video_file_is_told(live: Any) -> None:
    start(live, video__source="/nowhere/sky.avi")
    live.listen(Image, "camera/image_raw", PICTURES)
    live.wait(lambda: live.level("trakka: video") == 2, "an error")
    # Without OpenCV that is what is told, and what to install.
    assert "video file" in live.told()["trakka: video"] or "OpenCV" in live.told()["trakka: video"]
