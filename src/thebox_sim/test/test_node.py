# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The node ``sim`` as an operator runs it: a process of its own, on a live graph."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("thebox_interfaces.msg")
pytest.importorskip("thebox_core.qos")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image, NavSatFix

from thebox_core.qos import LATCHED, PICTURES, STATE
from thebox_interfaces.msg import Track, TruthArray
from thebox_interfaces.srv import SetFault

pytestmark = pytest.mark.graph

PACKAGE = Path(__file__).resolve().parents[1]
PATIENCE = 30.0


class Sim:
    """The node in a process of its own, and an observer of it."""

    def __init__(self, domain, folder, parameters):
        self.log = (folder / "sim.log").open("w")
        arguments = [sys.executable, "-m", "thebox_sim.node", "--ros-args", "-r", "__ns:=/thebox"]
        for name, value in parameters.items():
            arguments += ["-p", f"{name}:={value}"]
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
        environment["PYTHONPATH"] = os.pathsep.join([str(PACKAGE), *sys.path])
        self.process = subprocess.Popen(
            arguments, env=environment, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL
        )
        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context, domain_id=domain)
        self.node = rclpy.create_node("observer", namespace="thebox", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard = {}
        self.health = {}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.diagnosed, 100)

    def diagnosed(self, message):
        for status in message.status:
            if status.name == "sim: sky":
                self.health = {value.key: value.value for value in status.values}

    def listen(self, kind, topic, qos=STATE):
        self.heard[topic] = []
        self.node.create_subscription(kind, topic, self.heard[topic].append, qos)

    def until(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            said = Path(self.log.name).read_text()
            assert self.process.poll() is None, f"the node ended: {said}"
            assert time.monotonic() < end, f"{what} did not happen: {said}"
            self.executor.spin_once(timeout_sec=0.1)

    def fault(self, sensor, kind):
        client = self.node.create_client(SetFault, "sim/set_fault")
        self.until(client.service_is_ready, "the fault service")
        future = client.call_async(SetFault.Request(sensor=sensor, fault=kind, value=math.nan))
        self.until(future.done, "the answer")
        return future.result()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def quiet_ports(free_port):
    """Addresses that nothing else on the machine uses."""
    names = ("droneshield", "silvus", "mara", "dspnor", "ownship")
    ports = ("trakka.port", "dspnor.control_port", "dspnor.beacon_port")
    return {name: free_port() for name in (*(f"{name}.port" for name in names), *ports)}


def test_the_node_plays_publishes_fails_on_command_and_stops(domain, quiet_ports, tmp_path):
    truth_file = tmp_path / "truth.jsonl"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as driver:
        driver.bind(("127.0.0.1", 0))
        driver.settimeout(PATIENCE)
        sim = Sim(
            domain,
            tmp_path,
            {
                **quiet_ports,
                "scenario": "moving_vessel",
                "seed": 3,
                "rate": 2.0,
                "truth_file": str(truth_file),
                "droneshield.port": driver.getsockname()[1],
            },
        )
        try:
            sim.listen(TruthArray, "sim/truth")
            sim.listen(Odometry, "ownship/odometry")
            sim.listen(NavSatFix, "ownship/fix")
            sim.listen(NavSatFix, "ownship/datum", LATCHED)
            sim.until(
                lambda: all(len(h) > 3 for t, h in sim.heard.items() if t != "ownship/datum"),
                "topics",
            )
            check_messages(sim)
            sim.until(lambda: sim.health, "the diagnostics")
            assert sim.health["scenario"] == "moving_vessel"
            sim.until(lambda: float(sim.health["droneshield.datagrams"]) > 0, "datagrams counted")
            assert b"APIVersion" in driver.recv(65536)
            assert sim.fault("droneshield", "silent").success
            sim.until(lambda: sim.health["droneshield.fault"] == "silent", "the fault told")
            refused = sim.fault("sonar", "silent")
            assert not refused.success
            assert "droneshield" in refused.message
            sim.process.send_signal(signal.SIGINT)
            assert sim.process.wait(PATIENCE) == 0
        finally:
            sim.close()
    lines = [json.loads(line) for line in truth_file.read_text().splitlines()]
    assert lines
    assert {"shadow", "dinghy"} <= {o[0] for o in lines[0]["objects"]}


def test_truth_is_told_in_the_map_that_the_own_ships_driver_has_placed(
    domain, quiet_ports, tmp_path
):
    settings = {**quiet_ports, "scenario": "moving_vessel", "publish_ownship": False}
    sim = Sim(domain, tmp_path, settings)
    try:
        sim.listen(TruthArray, "sim/truth")
        sim.until(lambda: sim.heard["sim/truth"], "the truth")
        # 0.01 degrees further north than the scenario's origin: 1113.5 m on this ellipsoid.
        datum = NavSatFix(latitude=57.7189, longitude=11.9746, altitude=5.0)
        publisher = sim.node.create_publisher(NavSatFix, "ownship/datum", LATCHED)
        publisher.publish(datum)

        def dinghy():
            found = [o for o in sim.heard["sim/truth"][-1].objects if o.id == "dinghy"]
            return found[0].position if found else None

        sim.until(lambda: dinghy() and dinghy().y < -100.0, "the truth in that map")
        # It lies at (900, 400, 0) at the start, and moves at 9 m/s at most.
        assert dinghy().y == pytest.approx(400.0 - 1113.7, abs=400.0)
        assert dinghy().z == pytest.approx(-5.1, abs=0.3)
    finally:
        sim.close()


def check_messages(sim):
    truth = sim.heard["sim/truth"][-1]
    assert truth.header.frame_id == "map"
    shadow = next(o for o in truth.objects if o.id == "shadow")
    assert shadow.object_class == Track.CLASS_DRONE
    assert len(shadow.emitter_ids) == 2
    assert math.hypot(shadow.velocity.x, shadow.velocity.y) <= 20.0
    odometry = sim.heard["ownship/odometry"][-1]
    assert (odometry.header.frame_id, odometry.child_frame_id) == ("map", "base_link")
    q = odometry.pose.pose.orientation
    yaw = 2.0 * math.atan2(q.z, q.w)
    # It heads for (400, 500): 51 degrees from east, give or take its yaw in the swell.
    assert math.degrees(yaw) == pytest.approx(math.degrees(math.atan2(500, 400)), abs=4.0)
    assert odometry.twist.twist.linear.x == pytest.approx(7.0, abs=0.5)
    datum = sim.heard["ownship/datum"][-1]
    assert (datum.latitude, datum.longitude, datum.altitude) == (57.7089, 11.9746, 0.0)
    fix = sim.heard["ownship/fix"][-1]
    assert fix.latitude == pytest.approx(57.7089, abs=0.02)
    assert fix.longitude == pytest.approx(11.9746, abs=0.02)


def test_the_node_renders_pictures(domain, quiet_ports, tmp_path):
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    settings = {"video.topic": "sim/picture", "video.width": 160, "video.height": 90}
    sim = Sim(domain, tmp_path, {**quiet_ports, **settings})
    try:
        sim.listen(Image, "sim/picture", PICTURES)
        sim.until(lambda: all(len(h) > 3 for h in sim.heard.values()), "pictures")
    finally:
        sim.close()
    picture = sim.heard["sim/picture"][-1]
    assert (picture.width, picture.height, picture.encoding) == (160, 90, "bgr8")
    assert len(picture.data) == 160 * 90 * 3


def test_a_wrong_scenario_ends_with_a_reason(domain, tmp_path):
    log = tmp_path / "log"
    with log.open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "thebox_sim.node", "--ros-args", "-p", "scenario:=nowhere"],
            env={
                **os.environ,
                "ROS_DOMAIN_ID": str(domain),
                "PYTHONPATH": os.pathsep.join([str(PACKAGE), *sys.path]),
            },
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=PATIENCE,
        )
    assert done.returncode == 2
    assert "there are: crossing" in log.read_text()
