# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""ROS node ``sim``: plays a scenario on real sockets and publishes the truth.

Publishes ``sim/truth`` and, when asked, ``ownship/fix`` and ``ownship/odometry``; the service
``sim/set_fault`` makes a simulated sensor misbehave. The sensors' bytes go out by their own
sockets, never by ROS.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from typing import Any

import rclpy
from geometry_msgs.msg import Point, Quaternion, Vector3
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import NavSatFix, NavSatStatus

from thebox_core.node import spin
from thebox_core.parameters import ParameterError
from thebox_core.qos import STATE
from thebox_interfaces.msg import Track, TruthArray, TruthObject
from thebox_interfaces.srv import SetFault
from thebox_sim.config import ScenarioError
from thebox_sim.geometry import Datum
from thebox_sim.parameters import DEFAULT_PORTS, PARAMETERS
from thebox_sim.scenario import load_scenario
from thebox_sim.sky import Sky, Target, Truth

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
        # Sensors stamp with UTC from their own clocks, whatever time the graph runs on.
        utc = Clock(clock_type=ClockType.SYSTEM_TIME).now().nanoseconds * 1e-9
        self.sky = Sky(scenario, values["seed"], targets, utc, values["rate"])
        self._datum = scenario.world.datum
        self._publish_ownship = values["publish_ownship"]
        self._truth = self.create_publisher(TruthArray, "sim/truth", STATE)
        if self._publish_ownship:
            self._odometry = self.create_publisher(Odometry, "ownship/odometry", STATE)
            self._fix = self.create_publisher(NavSatFix, "ownship/fix", STATE)
        self.create_service(SetFault, "sim/set_fault", self._on_set_fault)
        self._stopping = threading.Event()
        self.sky.start()
        # A thread, not a timer: the sky plays in wall time, also where the graph runs on /clock.
        self._publisher = threading.Thread(
            target=self._publish_often, args=(1.0 / values["truth_rate"],), daemon=True
        )
        self._publisher.start()
        addresses = ", ".join(
            f"{n} to {t.host}:{t.port}" for n, t in targets.items() if n in self.sky.sensors
        )
        self.get_logger().info(
            f"scenario '{scenario.name}', seed {values['seed']}: {addresses or 'no sensor'}"
        )

    def destroy_node(self) -> None:
        """Stop the sky and release the node."""
        if hasattr(self, "_publisher"):
            self._stopping.set()
            self._publisher.join()
        if hasattr(self, "sky"):
            self.sky.stop()
        super().destroy_node()

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
        truth = self.sky.truth()
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
    except (ScenarioError, ParameterError, OSError) as error:
        print(f"sim: {error}", file=sys.stderr)
        return 2
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
