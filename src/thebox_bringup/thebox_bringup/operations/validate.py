# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox validate``: whether every node keeps the box's rules, also a third party's sensor."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import DescribeParameters, ListParameters

from thebox_bringup.graph import NAMESPACE, NODES
from thebox_bringup.operations.box import (
    GOOD,
    NO_BOX,
    WRONG,
    AnswerError,
    Graph,
    add_common,
    connected,
    print_json,
    run,
)
from thebox_bringup.operations.sensors import move
from thebox_bringup.settings import SettingsError, check_file
from thebox_core.messages import seconds
from thebox_core.qos import DETECTIONS
from thebox_interfaces.msg import Detection

__all__ = ["Finding", "clashes", "detection_faults", "main"]

_TYPE = "thebox_interfaces/msg/Detection"
#: Topic (relative), type, reliability, durability, as architecture.md has them.
_TOPICS = (
    ("detections/", _TYPE, "RELIABLE", "VOLATILE"),
    ("raw/", "thebox_interfaces/msg/RawDatagram", "RELIABLE", "VOLATILE"),
    ("coverage/", "thebox_interfaces/msg/SensorCoverage", "RELIABLE", "TRANSIENT_LOCAL"),
    ("tracks", "thebox_interfaces/msg/TrackArray", "RELIABLE", "VOLATILE"),
    ("events", "thebox_interfaces/msg/Event", "RELIABLE", "VOLATILE"),
    ("zones", "thebox_interfaces/msg/ZoneArray", "RELIABLE", "TRANSIENT_LOCAL"),
)
#: A measurement may be this old when it comes: networks, a sensor's own processing, its clock.
_OLDEST, _FUTURE = 60.0, 2.0


@dataclass(frozen=True)
class Finding:
    """One check: of which node, what was looked at, whether it is right, and what was seen."""

    node: str
    check: str
    good: bool
    text: str


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox validate",
        description="Hold a parameter file, or every node of a running box, against the rules: "
        "parameters, topics, QoS, Detection fields, rates, ports, diagnostics.",
        epilog="examples:\n  thebox validate --config site.yaml\n  thebox validate\n"
        "  thebox validate --plugin hark --lifecycle\n\n"
        "With --config and no --plugin only the file is checked, without a box.",
    )
    made.add_argument("--plugin", metavar="NAME", help="only this node")
    made.add_argument("--config", type=Path, metavar="FILE", help="check a parameter file")
    made.add_argument(
        "--seconds", type=float, default=4.0, help="how long to listen to detections; default 4"
    )
    made.add_argument(
        "--lifecycle",
        action="store_true",
        help="also stop and start each sensor looked at, which interrupts it",
    )
    add_common(made)
    return made


def detection_faults(message: Any, sensor: str, now: float) -> list[str]:
    """What is wrong with a Detection, by the rules of Detection.msg; empty for nothing."""
    faults: list[str] = []
    if message.sensor != sensor:
        faults.append(f"sensor is '{message.sensor}', not '{sensor}'")
    if not message.header.frame_id.endswith("_link"):
        faults.append(f"frame_id '{message.header.frame_id}' is not <sensor>_link")
    for name in ("bearing", "bearing_alternative"):
        value = getattr(message, name)
        if not math.isnan(value) and not 0.0 <= value < 2.0 * math.pi:
            faults.append(f"{name} {value:g} is not in [0, 2*pi)")
    if abs(message.elevation) > math.pi / 2:
        faults.append(f"elevation {message.elevation:g} is beyond the zenith")
    for name in (
        "bearing_std", "elevation_std", "range", "range_std", "range_rate_std", "frequency",
        "bandwidth", "angular_width", "angular_height",
    ):  # fmt: skip
        value = getattr(message, name)
        if not math.isnan(value) and not value >= 0.0:
            faults.append(f"{name} {value:g} is negative: an unknown number is NaN")
    faults += [
        f"{name} is infinite"
        for name in ("bearing", "elevation", "range", "range_rate", "frequency", "rssi")
        if math.isinf(getattr(message, name))
    ]
    for name, std in (("bearing", "bearing_std"), ("range", "range_std")):
        if math.isnan(getattr(message, name)) and not math.isnan(getattr(message, std)):
            faults.append(f"{std} is given without {name}")
    return faults + _more_faults(message, now)


def _more_faults(message: Any, now: float) -> list[str]:
    faults: list[str] = []
    place = message.position
    unknown = [math.isnan(value) for value in (place.x, place.y)]
    if any(unknown) != all(unknown):
        faults.append("position is half known: all NaN, or none")
    confidence = message.confidence
    if not math.isnan(confidence) and not 0.0 <= confidence <= 1.0:
        faults.append(f"confidence {confidence:g} is not in [0, 1]")
    if message.modality > Detection.MODALITY_ACOUSTIC:
        faults.append(f"modality {message.modality} is unknown")
    stamp = seconds(message.header.stamp)
    if stamp == 0.0:
        faults.append("header.stamp is not set")
    elif not -_OLDEST <= stamp - now <= _FUTURE:
        faults.append(f"header.stamp is {stamp - now:+.1f} s from now")
    if seconds(message.received) == 0.0:
        faults.append("received is not set")
    return faults


def clashes(sources: Iterable[tuple[str, str]]) -> list[str]:
    """Sensors that are told to listen on one and the same UDP port."""
    taken: dict[str, str] = {}
    found: list[str] = []
    for name, source in sources:
        if not source.startswith("udp://"):
            continue
        port = source.rpartition(":")[2].strip("/")
        if port in taken and port != "0":
            found.append(f"{taken[port]} and {name} both listen on UDP port {port}")
        taken.setdefault(port, name)
    return found


def _parameters(graph: Graph, name: str) -> list[Finding]:
    listed = graph.call(ListParameters, f"{name}/list_parameters", ListParameters.Request())
    names = [
        n
        for n in listed.result.names
        if not n.startswith(("qos_overrides.", "diagnostic_updater."))
        and n not in ("use_sim_time", "start_type_description_service")
    ]
    answer = graph.call(
        DescribeParameters, f"{name}/describe_parameters", DescribeParameters.Request(names=names)
    )
    values = graph.parameters(name, names)
    bare = [d.name for d in answer.descriptors if not d.description.strip()]
    found = [
        Finding(
            name, "parameters described", not bare,
            f"no description: {', '.join(bare)}" if bare else f"{len(names)} parameters",
        )
    ]  # fmt: skip
    wrong = []
    for descriptor, value in zip(answer.descriptors, values, strict=True):
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        each = value if isinstance(value, (list, tuple)) else [value]
        wrong += [
            f"{descriptor.name} = {value}, allowed {limit.from_value:g} to {limit.to_value:g}"
            for limit in ranges
            if any(
                isinstance(v, (int, float)) and not limit.from_value <= v <= limit.to_value
                for v in each
            )
        ]
        if descriptor.type == ParameterType.PARAMETER_NOT_SET and not descriptor.dynamic_typing:
            wrong.append(f"{descriptor.name} has no type")
    found.append(
        Finding(name, "parameters in range", not wrong, "; ".join(wrong) or "all within ranges")
    )
    return found


def _topics(graph: Graph, name: str, sensor: bool) -> list[Finding]:
    base = graph.box.namespace + "/"
    found: list[Finding] = []
    topics = dict(graph.node.get_publisher_names_and_types_by_node(name, graph.box.namespace))
    for topic, kinds in sorted(topics.items()):
        short = topic.removeprefix(base)
        rule = next(
            (r for r in _TOPICS if short == r[0] or (r[0][-1] == "/" and short.startswith(r[0]))),
            None,
        )
        if rule is None:
            continue
        wrong = [] if kinds == [rule[1]] else [f"type {', '.join(kinds)}, not {rule[1]}"]
        for info in graph.node.get_publishers_info_by_topic(topic):
            if info.node_name != name:
                continue
            profile = info.qos_profile
            for word, policy in ((rule[2], profile.reliability), (rule[3], profile.durability)):
                if policy.name != word:
                    wrong.append(f"{policy.name.lower()}, not {word.lower()}")
        found.append(Finding(name, f"topic {short}", not wrong, "; ".join(wrong) or rule[1]))
    heard = [topic for topic in topics if topic.startswith(base + "detections/")]
    if sensor and name != "ownship":
        right = base + "detections/" + name in heard
        found.append(
            Finding(name, "publishes detections", right,
                    f"detections/{name}" if right else f"has no topic detections/{name}")
        )  # fmt: skip
    return found


def _lifecycle(graph: Graph, name: str, circle: bool) -> list[Finding]:
    state = graph.state_of(name)
    found = [Finding(name, "life cycle", state == "active", state)]
    if circle and state == "active":
        for action in ("stop", "start"):
            good, text = move(graph, name, action)
            found.append(Finding(name, f"life cycle: {action}", good, text))
    return found


def _hear(graph: Graph, sensors: Sequence[str], span: float) -> list[Finding]:
    faults: dict[str, dict[str, int]] = {name: {} for name in sensors}
    counts = dict.fromkeys(sensors, 0)

    def listen(name: str) -> Any:
        def heard(message: Any) -> None:
            counts[name] += 1
            now = graph.node.get_clock().now().nanoseconds * 1e-9
            for fault in detection_faults(message, name, now):
                faults[name][fault] = faults[name].get(fault, 0) + 1

        return graph.node.create_subscription(Detection, f"detections/{name}", heard, DETECTIONS)

    kept = [listen(name) for name in sensors]
    time.sleep(span)
    found: list[Finding] = []
    for name in sensors:
        wrong = [f"{text} ({count} times)" for text, count in list(faults[name].items())[:4]]
        text = f"{counts[name]} heard" if counts[name] else "none heard: nothing could be checked"
        found.append(Finding(name, "Detection fields", not wrong, "; ".join(wrong) or text))
        told = graph.reported(name).subject("input")
        declared = "" if told is None else told.values.get("rate", "")
        try:
            rate = float(declared)
        except ValueError:
            found.append(Finding(name, "rate reported", False, "no 'rate' in its subject 'input'"))
            continue
        # Wide: what flies comes and goes, and the node's rate is of a window of its own.
        seen = counts[name] / span
        good = seen <= 4.0 * rate + 8.0 and (rate <= 8.0 or seen >= rate / 4.0)
        found.append(
            Finding(
                name, "rate as reported", good, f"heard {seen:.1f}, reported {rate:.1f} a second"
            )
        )
    for subscription in kept:
        graph.unsubscribe(subscription)
    return found


def look(graph: Graph, plugin: str | None, span: float, circle: bool) -> list[Finding]:
    """Every check of a running box, or of one of its nodes."""
    nodes, sensors = graph.expected()
    foreign = {node.name for node in NODES if node.foreign}
    chosen = [name for name in nodes if plugin in (None, name) and name not in foreign]
    present, managed, reporting = set(graph.nodes()), graph.managed(), graph.reporting()
    known = {node.name: node for node in NODES}
    found: list[Finding] = []
    for name in chosen:
        sensor = name in sensors
        found.append(
            Finding(name, "in the graph", name in present, "" if name in present else "missing")
        )
        if name not in present:
            continue
        # A node within another's process, such as the database's desk, is none of its own.
        if name not in known and not sensor and name not in reporting:
            continue
        heard = graph.reported(name)
        found.append(
            Finding(name, "diagnostics", bool(heard.subjects) and heard.age < 5.0, heard.message)
        )
        try:
            found += _parameters(graph, name)
            found += _topics(graph, name, sensor)
            if sensor or (name in known and known[name].managed):
                if name in managed:
                    found += _lifecycle(graph, name, circle and sensor)
                else:
                    found.append(Finding(name, "life cycle", False, "is no managed node"))
        except AnswerError as error:
            found.append(Finding(name, "answers", False, str(error)))
    listening = [
        name for name in chosen if name in sensors and name in present and name != "ownship"
    ]
    found += _hear(graph, listening, span)
    sources = []
    for name in sensors:
        told = graph.reported(name).subject("input")
        if told is not None:
            sources.append((name, told.values.get("source", "")))
    both = clashes(sources)
    found.append(Finding("box", "ports", not both, "; ".join(both) or "each sensor its own"))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(argv)
    if not options.seconds > 0.0:
        parser().error("--seconds must be above 0")

    def work() -> int:
        found: list[Finding] = []
        if options.config is not None:
            namespace = options.namespace or NAMESPACE
            try:
                values = check_file(options.config, namespace)
            except SettingsError as error:
                found += [Finding("file", "parameters", False, text)
                          for text in str(error).splitlines()]  # fmt: skip
            else:
                count = sum(len(given) for given in values.values())
                found.append(Finding("file", "parameters", True, f"{count} values of "
                                     f"{len(values)} nodes"))  # fmt: skip
                both = clashes(
                    (name, str(given["source"]))
                    for name, given in values.items()
                    if "source" in given
                )
                found.append(Finding("file", "ports", not both, "; ".join(both) or "no clash"))
        if options.config is None or options.plugin:
            with connected(options) as graph:
                if options.plugin and options.plugin not in graph.expected()[0]:
                    print(
                        f"validate: there is no '{options.plugin}'; the nodes are "
                        f"{', '.join(graph.expected()[0])}",
                        file=sys.stderr,
                    )
                    return NO_BOX
                found += look(graph, options.plugin, options.seconds, options.lifecycle)
        bad = [one for one in found if not one.good]
        if options.json:
            print_json(
                {"valid": not bad, "checks": len(found), "findings": [asdict(f) for f in found]}
            )
        else:
            shown = found if options.plugin or len(found) < 8 else bad
            for one in shown:
                mark = "ok  " if one.good else "FAIL"
                print(f"  {mark} {one.node:<14}{one.check:<26}{one.text}")
            print(f"{len(found) - len(bad)} of {len(found)} checks passed")
        return WRONG if bad else GOOD

    return run("validate", work)


if __name__ == "__main__":
    raise SystemExit(main())
