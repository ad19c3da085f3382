# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What the operator's commands share: finding the box, asking it, exit codes."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from thebox_bringup.graph import NAMESPACE, NODES, PANEL
from thebox_bringup.supervision import left_over, places, read_state
from thebox_bringup.transport import stay_local
from thebox_core.health import ERROR, OK, STALE, WARN

__all__ = [
    "GOOD",
    "NO_BOX",
    "WRONG",
    "AnswerError",
    "Box",
    "Graph",
    "NoBoxError",
    "Reported",
    "Subject",
    "add_common",
    "connected",
    "find_box",
    "level_word",
    "print_json",
    "run",
]

#: Exit codes of every command.
GOOD, WRONG, NO_BOX = 0, 1, 2
EXIT_CODES = "exit codes: 0 good; 1 something is wrong; 2 wrong usage, or no box found"
#: A node that has said nothing for this long is missing; diagnostics come once a second.
FRESH = 5.0
#: Seconds that a service may take to be found and to answer.
PATIENCE = 8.0
_WORDS = {OK: "OK", WARN: "WARNING", ERROR: "CRITICAL", STALE: "STALE"}


class NoBoxError(RuntimeError):
    """There is no box where it was looked for; the text says where, and what to do."""


class AnswerError(RuntimeError):
    """A node did not answer, or answered with an error."""


@dataclass(frozen=True)
class Box:
    """Where a box is, and how that is known."""

    domain: int
    namespace: str
    found: str


@dataclass(frozen=True)
class Subject:
    """One subject of a node's diagnostics."""

    name: str
    level: int
    message: str
    values: dict[str, str]


@dataclass
class Reported:
    """All that a node says of itself in /diagnostics."""

    subjects: list[Subject] = field(default_factory=list)
    age: float = float("inf")

    @property
    def level(self) -> int:
        """The gravest level; STALE for a node that has said nothing lately."""
        if not self.subjects or self.age > FRESH:
            return STALE
        return max(subject.level for subject in self.subjects)

    @property
    def message(self) -> str:
        """Messages of the gravest subjects."""
        if not self.subjects:
            return "says nothing in /diagnostics"
        gravest = max(subject.level for subject in self.subjects)
        text = "; ".join(s.message for s in self.subjects if s.level == gravest)
        return text if self.age <= FRESH else f"silent for {self.age:.0f} s; last: {text}"

    @property
    def values(self) -> dict[str, str]:
        """Every key and value."""
        return {key: value for s in self.subjects for key, value in s.values.items()}

    def subject(self, name: str) -> Subject | None:
        """The subject of that name."""
        return next((s for s in self.subjects if s.name == name), None)


def level_word(level: int) -> str:
    """The word that monitoring systems use for a level."""
    return _WORDS.get(level, "UNKNOWN")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options that every command on a running box takes."""
    parser.add_argument("--namespace", help="of the box; default: the running one's, else /thebox")
    parser.add_argument("--domain-id", type=int, help="ROS domain; default ROS_DOMAIN_ID, else 0")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (parser.epilog or "") + "\n" + EXIT_CODES


def find_box(options: argparse.Namespace, environment: Mapping[str, str] | None = None) -> Box:
    """Say where the box is: what is asked, the environment, what `up` wrote down, the defaults."""
    env = os.environ if environment is None else environment
    state = read_state(places(env))
    if state is not None and not left_over(state.run_id):
        state = None
    asked = options.domain_id
    text = str(asked) if asked is not None else env.get("ROS_DOMAIN_ID", "")
    if text and not (text.isdigit() and int(text) <= 232):
        raise NoBoxError(f"ROS domain '{text}': use a number from 0 to 232")
    domain = int(text) if text else (state.domain if state is not None else 0)
    found = "asked for" if asked is not None else "ROS_DOMAIN_ID" if text else "default"
    if state is not None and state.domain != domain:
        state = None
    namespace = options.namespace or env.get("THEBOX_NAMESPACE", "")
    if state is not None:
        found = "started by up"
        namespace = namespace or state.namespace
    namespace = "/" + (namespace or NAMESPACE).strip("/")
    return Box(domain, namespace, found)


class Graph:
    """A node of its own in the box's domain, in a thread; a context manager.

    Its name begins with an underscore: ROS's sign of a hidden node.
    """

    def __init__(self, box: Box) -> None:
        self.box = box
        self._changed = threading.Condition()
        self._heard: dict[str, dict[str, tuple[float, DiagnosticStatus]]] = {}
        self._expected: tuple[list[str], list[str]] = ([], [])
        self._context = Context()
        stay_local()
        rclpy.init(
            args=["--ros-args", "--disable-external-lib-logs", "--log-level", "fatal"],
            context=self._context,
            domain_id=box.domain,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self.node = Node(
            f"_operator_{os.getpid()}",
            namespace=box.namespace,
            context=self._context,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self.node.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=100)
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name="graph", daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def __enter__(self) -> Graph:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._executor.shutdown(timeout_sec=2.0)
        self._thread.join(5.0)
        self.node.destroy_node()
        self._context.try_shutdown()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        now = time.monotonic()
        with self._changed:
            for status in message.status:
                node, _, subject = status.name.partition(": ")
                self._heard.setdefault(node.rpartition("/")[2], {})[subject] = (now, status)
            self._changed.notify_all()

    def wait(self, done: Callable[[], bool], patience: float) -> bool:
        """Wait until ``done``, asked at every change and four times a second."""
        end = time.monotonic() + patience
        while not done():
            left = end - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                self._changed.wait(min(left, 0.25))
        return True

    def nodes(self) -> list[str]:
        """Names of the nodes in the box's namespace, without hidden ones and onlookers."""
        own = self.box.namespace
        return sorted(
            {
                name
                for name, namespace in self.node.get_node_names_and_namespaces()
                if namespace == own and not name.startswith("_") and name != "up_watch"
            }
        )

    def reporting(self) -> set[str]:
        """Names of the box's nodes that publish diagnostics."""
        return {
            info.node_name
            for info in self.node.get_publishers_info_by_topic("/diagnostics")
            if info.node_namespace == self.box.namespace
        }

    def meet(self, patience: float = PATIENCE) -> None:
        """Wait until the box is found and each reporting node has reported.

        Raises:
            NoBoxError: there is none; the text tells of boxes in other namespaces.
        """
        if not self.wait(lambda: bool(self.nodes()), patience):
            box = self.box
            others = {
                namespace
                for name, namespace in self.node.get_node_names_and_namespaces()
                if namespace != box.namespace and name in {node.name for node in NODES}
            }
            hint = (
                f"there is one in {', '.join(sorted(others))}: give --namespace"
                if others
                else "start one with ./thebox up -d, or give --namespace and --domain-id "
                "(a box on another machine: set ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET)"
            )
            raise NoBoxError(f"no box in {box.namespace}, ROS domain {box.domain}; {hint}")
        # Discovery goes on for a moment after the first node was seen.
        speaking = {node.name for node in NODES if node.reports}
        settled: list[Any] = [set(), time.monotonic()]

        def all_heard() -> bool:
            names = set(self.nodes())
            if names != settled[0]:
                settled[:] = [names, time.monotonic()]
            with self._changed:
                heard = set(self._heard)
            waited = (names & speaking) | self.reporting()
            return waited <= heard and time.monotonic() - settled[1] > 1.0

        self.wait(all_heard, 6.0)
        self._expected = self._ask_expected()
        expected = set(self._expected[0])
        # A node that reports may still be without a name: ROS's graph travels on its own topic.
        self.wait(
            lambda: expected & speaking <= set(self._heard) and expected <= set(self.nodes()),
            patience,
        )

    def reported(self, node: str) -> Reported:
        """What a node says of itself."""
        now = time.monotonic()
        with self._changed:
            heard = dict(self._heard.get(node, {}))
        if not heard:
            return Reported()
        newest = max(seen for seen, _ in heard.values())
        # A subject that the node no longer reports is none of its present state.
        kept = [(n, s) for n, (seen, s) in heard.items() if newest - seen < FRESH]
        return Reported(
            [
                Subject(
                    name,
                    status.level[0] if isinstance(status.level, bytes) else int(status.level),
                    status.message,
                    {pair.key: pair.value for pair in status.values},
                )
                for name, status in sorted(kept)
            ],
            now - newest,
        )

    def call(self, kind: Any, name: str, request: Any, patience: float = PATIENCE) -> Any:
        """Call a service of the box (name relative to its namespace).

        Raises:
            AnswerError: nobody offers it, or no answer came.
        """
        full = f"{self.box.namespace}/{name}"
        client = self.node.create_client(kind, full)
        try:
            if not self.wait(client.service_is_ready, patience):
                raise AnswerError(f"nobody offers the service {full}")
            future = client.call_async(request)
            if not self.wait(future.done, patience):
                raise AnswerError(f"{full} did not answer within {patience:.0f} s")
            if future.exception() is not None:
                raise AnswerError(f"{full} failed: {future.exception()}")
            return future.result()
        finally:
            # In the executor's thread, which may be looking at it.
            self._executor.create_task(self.node.destroy_client, client)

    def unsubscribe(self, subscription: Any) -> None:
        """End a subscription, in the executor's thread: that may be looking at it."""
        self._executor.create_task(self.node.destroy_subscription, subscription)

    def parameters(self, node: str, names: Iterable[str]) -> list[Any]:
        """Values of a node's parameters; None for one that it does not have.

        Raises:
            AnswerError: as :meth:`call`.
        """
        asked = list(names)
        answer = self.call(
            GetParameters, f"{node}/get_parameters", GetParameters.Request(names=asked)
        )
        values = [parameter_value_to_python(value) for value in answer.values]
        return values if len(values) == len(asked) else [None] * len(asked)

    def expected(self) -> tuple[list[str], list[str]]:
        """The nodes and the sensors that the box is to have, as its panel was told; else found.

        Every sensor publishes detections, so that a third party's is found too.
        """
        return self._expected

    def _ask_expected(self) -> tuple[list[str], list[str]]:
        nodes, sensors = self.nodes(), self.sensors_seen()
        if PANEL in nodes:
            with contextlib.suppress(AnswerError):
                told = self.parameters(PANEL, ("nodes", "plugins"))
                nodes = sorted({*nodes, *(told[0] or ())})
                sensors = sorted({*sensors, *(told[1] or ())})
        return nodes, sensors

    def sensors_seen(self) -> list[str]:
        """Nodes that are sensors: they publish detections, or the graph's table says so."""
        known = {node.name for node in NODES if node.group == "sensor"}
        present = set(self.nodes())
        prefix = f"{self.box.namespace}/detections/"
        found = {name for name in present if name in known}
        for topic, _ in self.node.get_topic_names_and_types():
            if topic.startswith(prefix):
                found |= {
                    info.node_name for info in self.node.get_publishers_info_by_topic(topic)
                } & present
        others = {node.name for node in NODES if node.group != "sensor"}
        return sorted(found - others)

    # Life cycle -------------------------------------------------------------------------------

    def state_of(self, node: str) -> str:
        """Life-cycle state of a managed node.

        Raises:
            AnswerError: as :meth:`call`.
        """
        answer = self.call(GetState, f"{node}/get_state", GetState.Request())
        return str(answer.current_state.label)

    def managed(self) -> set[str]:
        """The nodes that have a life cycle."""
        prefix = self.box.namespace + "/"
        return {
            name[len(prefix) : -len("/get_state")]
            for name, _ in self.node.get_service_names_and_types()
            if name.startswith(prefix) and name.endswith("/get_state")
        }

    def transition(self, node: str, transition: int) -> bool:
        """Ask for a transition; return whether it was made.

        Raises:
            AnswerError: as :meth:`call`.
        """
        request = ChangeState.Request(transition=Transition(id=transition))
        answer = self.call(ChangeState, f"{node}/change_state", request, 20.0)
        return bool(answer.success)


def print_json(told: Mapping[str, Any]) -> None:
    """Print one object; a number that is unknown or infinite is null."""

    def clean(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, Mapping):
            return {str(key): clean(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(each) for each in value]
        return value

    print(json.dumps(clean(told), indent=2, ensure_ascii=False), flush=True)


@contextlib.contextmanager
def connected(options: argparse.Namespace) -> Any:
    """The box's graph, met.

    Raises:
        NoBoxError: there is none.
    """
    with Graph(find_box(options)) as graph:
        graph.meet()
        yield graph


def run(name: str, work: Callable[[], int]) -> int:
    """Run a command's work; its errors become a line for the operator and an exit code."""
    try:
        return work()
    except NoBoxError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return NO_BOX
    except AnswerError as error:
        print(f"{name}: {error}; ./thebox health and ./thebox logs tell more", file=sys.stderr)
        return WRONG
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GOOD
    except KeyboardInterrupt:
        return GOOD
