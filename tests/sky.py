# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of a simulated sky, made without a graph: the sensors' own bytes, and the truth."""

from __future__ import annotations

import array
from pathlib import Path
from typing import Any

#: Sensors whose simulation speaks by itself; the camera waits to be asked.
SENSORS = ("droneshield", "silvus", "mara", "dspnor", "ownship")
#: What a simulated unit is: fixed to the own-ship.
PARAMETERS: dict[str, dict[str, Any]] = {
    "droneshield": {"bearing_reference": "bow"},
    "mara": {"bearing_reference": "bow"},
}
_CLASSES = {"drone": 1, "bird": 2, "airplane": 3, "helicopter": 4, "boat": 5}


def record_sky(
    path: Path, scenario: str, seconds: float, seed: int = 1, sensors: tuple[str, ...] = SENSORS
) -> Path:
    """Write a bag of ``seconds`` of a scenario: raw/<sensor> and sim/truth; return its path."""
    from rclpy.serialization import serialize_message

    from thebox_bringup.recording.bag import BagWriter, Qos, Topic
    from thebox_core.messages import to_time
    from thebox_interfaces.msg import RawDatagram, TruthArray, TruthObject
    from thebox_sim.offline import OFFLINE_EPOCH
    from thebox_sim.scenario import load_scenario
    from thebox_sim.sensors import make_sensor
    from thebox_sim.world import World

    loaded = load_scenario(scenario)
    world = World(loaded.world, seed)
    units = [
        make_sensor(name, settings, seed, OFFLINE_EPOCH)
        for name, settings in loaded.sensors.items()
        if name in sensors
    ]
    with BagWriter(path) as bag:
        truth_topic = "/thebox/sim/truth"
        bag.add(Topic(truth_topic, "thebox_interfaces/msg/TruthArray", (Qos(),)))
        for unit in units:
            bag.add(
                Topic(f"/thebox/raw/{unit.name}", "thebox_interfaces/msg/RawDatagram", (Qos(),))
            )
        bag.set_parameters(PARAMETERS)
        origin = world.own_ship.position
        due = 0.0
        while world.time + world.dt <= seconds + 1e-9:
            world.step()
            now = OFFLINE_EPOCH + world.time
            for unit in units:
                for datagram in unit.encode(unit.poll(world)):
                    message = RawDatagram(
                        arrival=to_time(now), sensor=unit.name, connection=1, stream=False
                    )
                    message.data = array.array("B", datagram)
                    bag.write(
                        f"/thebox/raw/{unit.name}", round(now * 1e9), serialize_message(message)
                    )
            if world.time >= due:
                due += 0.5
                truth = TruthArray()
                truth.header.stamp, truth.header.frame_id = to_time(now), "map"
                for item in world.objects:
                    one = TruthObject(id=item.id, object_class=_CLASSES.get(item.object_class, 8))
                    one.position.x, one.position.y, one.position.z = (
                        float(a - b) for a, b in zip(item.position, origin, strict=True)
                    )
                    truth.objects.append(one)
                bag.write(truth_topic, round(now * 1e9), serialize_message(truth))
    return path
