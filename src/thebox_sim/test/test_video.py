# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="pictures need OpenCV")

from thebox_sim.geometry import bearing_to, elevation_to, slant_range  # noqa: E402
from thebox_sim.scenario import load_scenario  # noqa: E402
from thebox_sim.sensors.trakka import CameraPose  # noqa: E402
from thebox_sim.tcp import TcpServer  # noqa: E402
from thebox_sim.video import MjpegSession, Renderer, Studio, encode_jpeg  # noqa: E402
from thebox_sim.world import World, visible  # noqa: E402


@pytest.fixture(scope="module")
def harbour():
    world = World(load_scenario("harbour").world, 3)
    for _ in range(1200):
        world.step()
    return world


def at(world, name, fov, off=(0.0, 0.0)):
    eye = world.own_ship.position
    item = next(o for o in world.objects if o.id == name)
    return item, CameraPose(
        bearing_to(eye, item.position) - off[0],
        elevation_to(eye, item.position) - off[1],
        math.radians(fov),
    )


@pytest.mark.parametrize(("name", "fov"), [("survey", 2.0), ("ferry", 25.0), ("gull-03", 3.0)])
def test_an_object_is_drawn_where_and_as_large_as_it_is(harbour, name, fov):
    item, pose = at(harbour, name, fov)
    eye = harbour.own_ship.position
    only = [v for v in visible(harbour.objects) if v.id == name]
    picture, boxes = Renderer(960, 540).render(pose, eye, only, 1.0)
    assert picture.shape == (540, 960, 3)
    assert picture.dtype == np.uint8
    (box,) = boxes
    focal = 480.0 / math.tan(math.radians(fov) / 2.0)
    wide = focal * item.body.span_m / slant_range(eye, item.position)
    assert box.right - box.left <= wide + 3.0
    assert box.right - box.left >= 0.4 * wide
    assert (box.left + box.right) / 2.0 == pytest.approx(480.0, abs=2.0 + 0.1 * wide)
    assert (box.top + box.bottom) / 2.0 == pytest.approx(270.0, abs=3.0 + 0.3 * wide)
    empty, _ = Renderer(960, 540).render(pose, eye, [], 1.0)
    change = np.abs(picture.astype(int) - empty).max(axis=2)
    rows, columns = np.nonzero(change > 25)
    assert len(rows) > 5
    assert box.left - 3 <= columns.min() <= columns.max() <= box.right + 3
    assert box.top - 3 <= rows.min() <= rows.max() <= box.bottom + 3


def test_an_angle_to_the_right_and_up_is_right_and_up_in_the_picture(harbour):
    degree = math.radians(1.0)
    _, pose = at(harbour, "survey", 6.0, off=(degree, 0.5 * degree))
    only = [v for v in visible(harbour.objects) if v.id == "survey"]
    _, (box,) = Renderer(960, 540, noise=0.0).render(pose, harbour.own_ship.position, only, 0.0)
    focal = 480.0 / math.tan(math.radians(3.0))
    assert (box.left + box.right) / 2.0 - 480.0 == pytest.approx(focal * degree, abs=4.0)
    assert 270.0 - (box.top + box.bottom) / 2.0 == pytest.approx(focal * 0.5 * degree, abs=4.0)


def test_pictures_are_reproducible_noisy_and_move_with_a_slew(harbour):
    _, pose = at(harbour, "survey", 10.0)
    scene = (harbour.own_ship.position, visible(harbour.objects))
    first, _ = Renderer(320, 180).render(pose, *scene, 1.0)
    again, _ = Renderer(320, 180).render(pose, *scene, 1.0)
    later, _ = Renderer(320, 180).render(pose, *scene, 1.1)
    assert np.array_equal(first, again)
    noise = (later.astype(float) - first)[:60]
    assert 2.0 < noise.std() < 8.0
    turned = CameraPose(pose.bearing + 0.5, pose.elevation, pose.horizontal_field_of_view)
    slewed, _ = Renderer(320, 180, noise=0.0).render(turned, scene[0], [], 1.0)
    before, _ = Renderer(320, 180, noise=0.0).render(pose, scene[0], [], 1.0)
    assert np.abs(slewed.astype(int) - before).mean() > 1.0


def test_the_sea_is_below_the_horizon(harbour):
    pose = CameraPose(1.0, 0.0, math.radians(20.0))
    picture, _ = Renderer(320, 180).render(pose, (0.0, 0.0, 6.0), [], 0.0)
    assert picture[:60].mean() > picture[120:].mean() + 30.0


def test_too_small_a_picture_is_refused():
    with pytest.raises(ValueError, match="16"):
        Renderer(8, 8)


def test_opencv_reads_the_stream_as_a_camera(harbour):
    scene = (harbour.own_ship.position, visible(harbour.objects), 2.0)
    _, pose = at(harbour, "survey", 5.0)
    studio = Studio(Renderer(320, 180), 20.0, lambda: pose, lambda: scene)
    server = TcpServer("127.0.0.1", 0, lambda: MjpegSession(studio.jpeg))
    try:
        capture = cv2.VideoCapture(f"http://127.0.0.1:{server.port}/")
        assert capture.isOpened()
        try:
            for _ in range(3):
                good, picture = capture.read()
                assert good
                assert picture.shape == (180, 320, 3)
            rendered = studio.picture()[1]
            assert np.abs(picture.astype(int) - rendered).mean() < 12.0
        finally:
            capture.release()
    finally:
        server.stop()


def test_a_jpeg_is_a_jpeg(harbour):
    coded = encode_jpeg(np.full((20, 30, 3), 90, np.uint8))
    assert coded.startswith(b"\xff\xd8")
    assert cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR).shape == (20, 30, 3)
