# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""ROS node ``sim``: plays a scenario on real sockets and publishes the truth.

Publishes ``sim/truth`` and, when asked, ``ownship/fix`` and ``ownship/odometry``; the service
``sim/set_fault`` makes a simulated sensor misbehave. The sensors' bytes go out by their own
sockets, never by ROS.
"""

from __future__ import annotations

import array
import json
import math
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import rclpy
from geometry_msgs.msg import Point, Quaternion, Vector3
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import Image, NavSatFix, NavSatStatus

from thebox_core.node import spin
from thebox_core.parameters import ParameterError
from thebox_core.qos import PICTURES, STATE
from thebox_interfaces.msg import Track, TruthArray, TruthObject
from thebox_interfaces.srv import SetFault
from thebox_sim.config import ScenarioError
from thebox_sim.geometry import Datum
from thebox_sim.offline import truth_line
from thebox_sim.parameters import DEFAULT_PORTS, PARAMETERS
from thebox_sim.scenario import load_scenario
from thebox_sim.sky import Sky, Target, Truth
from thebox_sim.tcp import TcpServer

_CLASSES = {
    "drone": Track.CLASS_DRONE,
    "bird": Track.CLASS_BIRD,
    "airplane": Track.CLASS_AIRPLANE,
    "helicopter": Track.CLASS_HELICOPTER,
    "boat": Track.CLASS_BOAT,
    "other": Track.CLASS_OTHER,
}


class SimNode(Node):
    """The simulated sky as a node."""

    def __init__(self, **options: Any) -> None:
        super().__init__("sim", **options)
        values = self._declare_parameters()
        scenario = load_scenario(values["scenario"])
        if not values["datum.from_scenario"]:
            scenario = scenario.with_datum(
                Datum(values["datum.latitude"], values["datum.longitude"], values["datum.altitude"])
            )
        targets = {
            name: Target(values[f"{name}.host"], values[f"{name}.port"])
            for name in DEFAULT_PORTS
            if values[f"{name}.enabled"]
        }
        listen = {}
        beacon = None
        if values["dspnor.enabled"]:
            listen["dspnor"] = Target(values["dspnor.control_host"], values["dspnor.control_port"])
            beacon = Target(values["dspnor.beacon_host"], values["dspnor.beacon_port"])
        if values["trakka.enabled"]:
            listen["trakka"] = Target(values["trakka.host"], values["trakka.port"])
        # Sensors stamp with UTC from their own clocks, whatever time the graph runs on.
        utc = Clock(clock_type=ClockType.SYSTEM_TIME).now().nanoseconds * 1e-9
        self.sky = Sky(
            scenario,
            values["seed"],
            targets,
            utc,
            values["rate"],
            listen=listen,
            beacon_target=beacon,
        )
        self._datum = scenario.world.datum
        self._publish_ownship = values["publish_ownship"]
        self._truth = self.create_publisher(TruthArray, "sim/truth", STATE)
        if self._publish_ownship:
            self._odometry = self.create_publisher(Odometry, "ownship/odometry", STATE)
            self._fix = self.create_publisher(NavSatFix, "ownship/fix", STATE)
        self.create_service(SetFault, "sim/set_fault", self._on_set_fault)
        self._stopping = threading.Event()
        self._problems: list[str] = []
        self._origin = self.sky.truth().own_ship.position
        self._truth_due = 0.0
        self._truth_file: TextIO | None = None
        if values["truth_file"]:
            # Open for as long as the node lives; destroy_node closes it.
            self._truth_file = Path(values["truth_file"]).open("w", encoding="utf-8")  # noqa: SIM115
        self._video: TcpServer | None = None
        self._threads: list[threading.Thread] = []
        self.sky.start()
        self._start_video(values)
        # A thread, not a timer: the sky plays in wall time, also where the graph runs on /clock.
        self._start(self._publish_often, 1.0 / values["truth_rate"])
        addresses = ", ".join(
            f"{n} to {t.host}:{t.port}" for n, t in targets.items() if n in self.sky.sensors
        )
        self.get_logger().info(
            f"scenario '{scenario.name}', seed {values['seed']}: {addresses or 'no sensor'}"
        )

    def destroy_node(self) -> None:
        """Stop the sky and release the node."""
        if hasattr(self, "_threads"):
            self._stopping.set()
            for thread in self._threads:
                thread.join()
            if self._video is not None:
                self._video.stop()
            if self._truth_file is not None:
                self._truth_file.close()
        if hasattr(self, "sky"):
            self.sky.stop()
        super().destroy_node()

    def _start(self, target: Callable[[float], None], period: float) -> None:
        thread = threading.Thread(target=target, args=(period,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _start_video(self, values: dict[str, Any]) -> None:
        camera = self.sky.camera
        topic = values["video.topic"]
        if camera is None or not (values["video.enabled"] or topic):
            return
        # Imported here: a sky without pictures needs no OpenCV.
        from thebox_sim.video import MjpegSession, Renderer, Studio  # noqa: PLC0415

        renderer = Renderer(values["video.width"], values["video.height"])
        studio = Studio(renderer, values["video.rate"], camera.pose, self.sky.scene)
        if values["video.enabled"]:
            self._video = TcpServer(
                values["video.host"], values["video.port"], lambda: MjpegSession(studio.jpeg)
            )
        if topic:
            self._pictures = self.create_publisher(Image, topic, PICTURES)
            self._studio = studio
            self._start(self._publish_pictures, 1.0 / values["video.rate"])

    def _publish_pictures(self, period: float) -> None:
        due, last = time.monotonic(), -1
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + period, time.monotonic())
            if not self.context.ok():
                return
            if self._pictures.get_subscription_count() == 0:
                continue
            number, picture = self._studio.picture()
            if number == last:
                continue
            last = number
            message = Image()
            message.header.stamp = self.get_clock().now().to_msg()
            message.header.frame_id = "trakka_link"
            message.height, message.width = picture.shape[0], picture.shape[1]
            message.encoding, message.step = "bgr8", 3 * picture.shape[1]
            message.data = array.array("B", picture.tobytes())
            self._pictures.publish(message)

    def _declare_parameters(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for parameter in PARAMETERS:
            descriptor = ParameterDescriptor(
                description=parameter.description, read_only=parameter.read_only
            )
            low, high = parameter.minimum, parameter.maximum
            if low is not None and high is not None:
                if parameter.scalar_type is int:
                    descriptor.integer_range = [
                        IntegerRange(from_value=int(low), to_value=int(high), step=1)
                    ]
                else:
                    descriptor.floating_point_range = [
                        FloatingPointRange(from_value=float(low), to_value=float(high))
                    ]
            declared = self.declare_parameter(parameter.name, parameter.default, descriptor)
            values[parameter.name] = parameter.coerce(declared.value)
        return values

    def _on_set_fault(
        self, request: SetFault.Request, response: SetFault.Response
    ) -> SetFault.Response:
        try:
            response.message = self.sky.set_fault(request.sensor, request.fault, request.value)
            response.success = True
            self.get_logger().info(f"fault: {response.message}")
        except ValueError as error:
            response.success = False
            response.message = str(error)
        return response

    def _publish_often(self, period: float) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + period, time.monotonic())
            if self.sky.failure is not None:
                self.get_logger().fatal(f"the simulated sky stopped: {self.sky.failure!r}")
                self.context.try_shutdown()
                return
            if not self.context.ok():
                return
            self._publish()

    def _publish(self) -> None:
        for problem in self.sky.problems():
            if problem not in self._problems:
                self._problems.append(problem)
                self.get_logger().error(problem)
        truth = self.sky.truth()
        if self._truth_file is not None and truth.time >= self._truth_due:
            self._truth_due = math.floor(truth.time) + 1.0
            line = truth_line(truth.time, truth.objects, self._origin)
            self._truth_file.write(json.dumps(line) + "\n")
            self._truth_file.flush()
        age = Duration(seconds=max(0.0, time.monotonic() - truth.taken))
        stamp = (self.get_clock().now() - age).to_msg()
        self._truth.publish(_truth_array(truth, stamp))
        if self._publish_ownship:
            self._odometry.publish(_odometry(truth, stamp))
            self._fix.publish(_fix(truth, stamp, self._datum))


def _truth_array(truth: Truth, stamp: Time) -> TruthArray:
    message = TruthArray()
    message.header.stamp = stamp
    message.header.frame_id = "map"
    for item in truth.objects:
        east, north, up = item.position
        v_east, v_north, v_up = item.velocity
        message.objects.append(
            TruthObject(
                id=item.id,
                object_class=_CLASSES[item.object_class],
                label=item.label,
                position=Point(x=east, y=north, z=up),
                velocity=Vector3(x=v_east, y=v_north, z=v_up),
                emitter_ids=list(item.emitter_keys),
            )
        )
    return message


def _odometry(truth: Truth, stamp: Time) -> Odometry:
    ship = truth.own_ship
    message = Odometry()
    message.header.stamp = stamp
    message.header.frame_id = "map"
    message.child_frame_id = "base_link"
    east, north, up = ship.position
    message.pose.pose.position = Point(x=east, y=north, z=up)
    # REP-103: yaw counts counter-clockwise from east, heading clockwise from north.
    yaw = math.pi / 2.0 - ship.heading
    message.pose.pose.orientation = Quaternion(
        x=0.0, y=0.0, z=math.sin(yaw / 2.0), w=math.cos(yaw / 2.0)
    )
    v_east, v_north, _ = ship.velocity
    forward = v_east * math.cos(yaw) + v_north * math.sin(yaw)
    left = -v_east * math.sin(yaw) + v_north * math.cos(yaw)
    message.twist.twist.linear = Vector3(x=forward, y=left, z=0.0)
    message.twist.twist.angular = Vector3(x=0.0, y=0.0, z=-ship.heading_rate)
    # The truth is known: one metre and half a degree stand for a good receiver and compass.
    position_variance, heading_variance = 1.0, math.radians(0.5) ** 2
    covariance = [0.0] * 36
    for index in (0, 7, 14):
        covariance[index] = position_variance
    for index in (21, 28, 35):
        covariance[index] = heading_variance
    message.pose.covariance = covariance
    speeds = [0.0] * 36
    for index in (0, 7, 14):
        speeds[index] = 0.01
    for index in (21, 28, 35):
        speeds[index] = math.radians(0.5) ** 2
    message.twist.covariance = speeds
    return message


def _fix(truth: Truth, stamp: Time, datum: Datum) -> NavSatFix:
    message = NavSatFix()
    message.header.stamp = stamp
    message.header.frame_id = "base_link"
    message.status.status = NavSatStatus.STATUS_FIX
    message.status.service = NavSatStatus.SERVICE_GPS
    message.latitude, message.longitude, message.altitude = datum.to_geodetic(
        truth.own_ship.position
    )
    message.position_covariance = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_DIAGONAL_KNOWN
    return message


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; return the exit status."""
    rclpy.init(args=args)
    node: SimNode | None = None
    try:
        node = SimNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        spin(executor)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except (ScenarioError, ParameterError, OSError, ImportError) as error:
        print(f"sim: {error}", file=sys.stderr)
        return 2
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
