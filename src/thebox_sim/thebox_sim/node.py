# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""ROS node ``sim``: plays a scenario on real sockets and publishes the truth.

Publishes ``sim/truth`` in the box's own map frame (by ``ownship/datum``, where the own-ship's
driver tells it) and, when asked, ``ownship/fix``, ``ownship/odometry`` and ``ownship/datum``; the
service ``sim/set_fault`` makes a simulated sensor misbehave. The sensors' bytes go out by their own
sockets, never by ROS.
"""

from __future__ import annotations

import array
import importlib.util
import json
import math
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from sensor_msgs.msg import Image, NavSatFix

from thebox_core.datum_listener import DatumListener
from thebox_core.health import ERROR, Report
from thebox_core.node import BoxNode, run
from thebox_core.parameters import ParameterError
from thebox_core.qos import LATCHED, PICTURES, STATE
from thebox_interfaces.msg import TruthArray
from thebox_interfaces.srv import SetFault
from thebox_sim.config import ScenarioError
from thebox_sim.geometry import Datum, Vector
from thebox_sim.messages import datum_message, fix, odometry, truth_array
from thebox_sim.offline import truth_line
from thebox_sim.parameters import DEFAULT_PORTS, PARAMETERS
from thebox_sim.scenario import load_scenario
from thebox_sim.sky import FAULT_NONE, SERVER_RETRY, Sky, Target
from thebox_sim.tcp import TcpServer


class SimNode(BoxNode):
    """The simulated sky as a node."""

    PARAMETERS = tuple(PARAMETERS)

    def __init__(self, name: str = "sim", **options: Any) -> None:
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._video: TcpServer | None = None
        self._video_problem = ""
        self._truth_file: TextIO | None = None
        self._problems: list[str] = []
        self._truth_due = 0.0
        self._counted: dict[str, tuple[float, int, int]] = {}
        super().__init__(name, **options)
        try:
            self.sky = self._make_sky()
            if self.values["truth_file"]:
                # Open for as long as the node lives; close() closes it.
                self._truth_file = Path(self.values["truth_file"]).open(  # noqa: SIM115
                    "w", encoding="utf-8"
                )
        except (ScenarioError, OSError) as error:
            # What ends the process with a reason, as a parameter that is not allowed does.
            raise ParameterError(f"{name}: {error}") from error
        self._origin = self.sky.truth().own_ship.position
        self._truth = self.create_publisher(TruthArray, "sim/truth", STATE)
        self._heard_datum: DatumListener | None = None
        if self.values["publish_ownship"]:
            self._odometry = self.create_publisher(Odometry, "ownship/odometry", STATE)
            self._fix = self.create_publisher(NavSatFix, "ownship/fix", STATE)
            self._datum_out = self.create_publisher(NavSatFix, "ownship/datum", LATCHED)
            self._datum_out.publish(datum_message(self.get_clock().now().to_msg(), self._datum))
        else:
            self._heard_datum = DatumListener(self)
        self.create_service(SetFault, "sim/set_fault", self._on_set_fault)
        self.health.hardware_id(self.sky.scenario.name)
        self.health.add("sky", self._report)
        # Sensors stamp with UTC from their own clocks, whatever time the graph runs on; from now,
        # for making all that is above has taken its time.
        self.sky.set_start(Clock(clock_type=ClockType.SYSTEM_TIME).now().nanoseconds * 1e-9)
        self.sky.start()
        self._start_video()
        # A thread, not a timer: the sky plays in wall time, also where the graph runs on /clock.
        self._start(self._publish_often, 1.0 / self.values["truth_rate"])
        self.get_logger().info(
            f"scenario '{self.sky.scenario.name}', seed {self.values['seed']}: "
            f"{', '.join(self.sky.sensors) or 'no sensor'}"
        )

    def _make_sky(self) -> Sky:
        values = self.values
        scenario = load_scenario(values["scenario"])
        if not values["datum.from_scenario"]:
            scenario = scenario.with_datum(
                Datum(values["datum.latitude"], values["datum.longitude"], values["datum.altitude"])
            )
        self._datum = scenario.world.datum
        targets = {
            name: Target(values[f"{name}.host"], values[f"{name}.port"])
            for name in DEFAULT_PORTS
            if values[f"{name}.enabled"]
        }
        listen, serial = {}, {}
        if values["mara.enabled"] and values["mara.transport"] != "udp":
            address = targets.pop("mara")
            if values["mara.transport"] == "tcp":
                listen["mara"] = address
            else:
                serial["mara"] = values["mara.serial_link"]
        beacon = None
        if values["dspnor.enabled"]:
            listen["dspnor"] = Target(values["dspnor.control_host"], values["dspnor.control_port"])
            beacon = Target(values["dspnor.beacon_host"], values["dspnor.beacon_port"])
        if values["trakka.enabled"]:
            listen["trakka"] = Target(values["trakka.host"], values["trakka.port"])
        return Sky(
            scenario,
            values["seed"],
            targets,
            0.0,  # told when it begins to play
            values["rate"],
            listen=listen,
            serial=serial,
            beacon_target=beacon,
        )

    def close(self) -> None:
        """Stop the sky, release sockets and files."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        if self._video is not None:
            self._video.stop()
            self._video = None
        if self._truth_file is not None:
            self._truth_file.close()
        if hasattr(self, "sky"):
            self.sky.stop()

    def _start(self, target: Callable[[float], None], period: float) -> None:
        thread = threading.Thread(target=target, args=(period,), daemon=True)
        self._threads.append(thread)
        thread.start()

    # Pictures ---------------------------------------------------------------------------------

    def _start_video(self) -> None:
        values, camera = self.values, self.sky.camera
        topic = values["video.topic"]
        if camera is None or not (values["video.enabled"] or topic):
            return
        if importlib.util.find_spec("cv2") is None:
            self._video_problem = "no pictures: install opencv-python-headless, or set "
            self._video_problem += "video.enabled to false"
            self.get_logger().warning(self._video_problem)
            return
        # Imported here: a sky without pictures needs no OpenCV.
        from thebox_sim.video import MjpegSession, Renderer, Studio  # noqa: PLC0415

        renderer = Renderer(values["video.width"], values["video.height"])
        self._studio = Studio(renderer, values["video.rate"], camera.pose, self.sky.scene)
        self._open_session = lambda: MjpegSession(self._studio.jpeg)
        if values["video.enabled"]:
            self._start(self._serve_video, SERVER_RETRY)
        if topic:
            self._pictures = self.create_publisher(Image, topic, PICTURES)
            self._start(self._publish_pictures, 1.0 / values["video.rate"])

    def _serve_video(self, retry: float) -> None:
        """Open the video's port; one that is taken is tried again."""
        host, port = self.values["video.host"], self.values["video.port"]
        while not self._stopping.is_set():
            try:
                self._video = TcpServer(host, port, self._open_session)
            except OSError as error:
                self._video_problem = (
                    f"video: cannot listen on {host}:{port}: {error.strerror}; free the port or "
                    "set another one"
                )
            else:
                self._video_problem = ""
                return
            self._stopping.wait(retry)

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

    # Faults, truth, health --------------------------------------------------------------------

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
        for problem in self._all_problems():
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
        self._truth.publish(truth_array(truth, stamp, self._in_map))
        if self.values["publish_ownship"]:
            self._odometry.publish(odometry(truth, stamp))
            self._fix.publish(fix(truth, stamp, self._datum))

    def _in_map(self, position: Vector) -> Vector:
        """Return a position of the scenario in the box's map frame; the scenario's until that is
        known. Their axes differ by less than half a milliradian for each kilometre between them.
        """  # noqa: D205 - one sentence needs the two lines
        datum = self._heard_datum.datum if self._heard_datum is not None else None
        if datum is None:
            return position
        latitude, longitude, altitude = self._datum.to_geodetic(position)
        return datum.to_map(math.radians(latitude), math.radians(longitude), altitude)

    def _all_problems(self) -> list[str]:
        return [*self.sky.problems(), *([self._video_problem] if self._video_problem else [])]

    def _report(self, report: Report) -> None:
        sky, now = self.sky, time.monotonic()
        report.put("scenario", sky.scenario.name)
        report.put("seed", self.values["seed"])
        report.put("time", sky.world.time)
        report.put("skipped", sky.skipped)
        for name, sent in sky.counts().items():
            since, datagrams, size = self._counted.get(name, (math.nan, 0, 0))
            self._counted[name] = (now, sent.datagrams, sent.bytes)
            report.put(f"{name}.rate", (sent.datagrams - datagrams) / (now - since))
            report.put(f"{name}.bytes_per_second", (sent.bytes - size) / (now - since))
            report.put(f"{name}.datagrams", sent.datagrams)
            report.put(f"{name}.unsent", sent.errors)
            if sent.clients is not None:
                report.put(f"{name}.clients", sent.clients)
        for name, fault in sky.faults().items():
            size_of = "" if math.isnan(fault.value) else f" {fault.value:g}"
            report.put(f"{name}.fault", f"{fault.kind}{size_of}")
            if fault.kind != FAULT_NONE:
                # Not a fault of this node: it does what it was told.
                report.findings.append(f"{name} is told to fail: {fault.kind}{size_of}")
        for problem in self._all_problems():
            report.find(ERROR, problem)
        if self._video is not None:
            report.put("video.clients", self._video.clients)
        report.findings.append(f"'{sky.scenario.name}' at {sky.world.time:.0f} s")


def main() -> None:
    """Run the node as a process; a sky that failed ends it with status 1."""
    made: list[SimNode] = []

    def make() -> SimNode:
        made.append(SimNode())
        return made[-1]

    run(make)
    if made and made[-1].sky.failure is not None:
        sys.exit(1)


if __name__ == "__main__":
    main()
