# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The managed node that every stage of the box is: parameters, life cycle, health, clock.

A subclass gives ``PARAMETERS`` and overrides the four hooks ``configure``, ``activate``,
``deactivate`` and ``cleanup``; what ``configure`` took, ``cleanup`` releases, and the circle can be
gone round any number of times. A hook that raises fails its transition with the reason logged and
shown in the diagnostics; with ``autostart`` the node tries again with back-off.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import rclpy
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    ParameterType,
    SetParametersResult,
)
from rclpy._rclpy_pybind11 import RCLError
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.parameter import parameter_value_to_python
from rclpy.task import Future
from rclpy.timer import Timer

from thebox_core.health import ERROR, Health, Report
from thebox_core.parameters import Parameter, ParameterError, Value, check_unique

__all__ = ["COMMON_PARAMETERS", "BoxNode", "ManagedNode", "NotReady", "run", "spin"]

# A wake-up that is lost between a signal and the wait costs no more than this at the end.
_SPIN_PERIOD = 1.0
# A release that takes longer says where it stands, before the supervisor's patience ends.
_RELEASE_PATIENCE = 5.0
_LARGEST = sys.float_info.max
_TYPES = {
    (bool, False): ParameterType.PARAMETER_BOOL,
    (int, False): ParameterType.PARAMETER_INTEGER,
    (float, False): ParameterType.PARAMETER_DOUBLE,
    (str, False): ParameterType.PARAMETER_STRING,
    (bool, True): ParameterType.PARAMETER_BOOL_ARRAY,
    (int, True): ParameterType.PARAMETER_INTEGER_ARRAY,
    (float, True): ParameterType.PARAMETER_DOUBLE_ARRAY,
    (str, True): ParameterType.PARAMETER_STRING_ARRAY,
}

COMMON_PARAMETERS = (
    Parameter(
        "autostart",
        True,
        "Configure and activate at start, and try again with back-off when that fails.",
        read_only=True,
    ),
)


class NotReady(Exception):  # noqa: N818 - a state, not a failure
    """A hook cannot do its work now (something is away or taken); worth another try later."""


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        name=parameter.name,
        type=_TYPES[(parameter.scalar_type, parameter.is_list)],
        description=parameter.description + (f" [{parameter.unit}]" if parameter.unit else ""),
        additional_constraints=f"one of: {', '.join(parameter.choices)}"
        if parameter.choices
        else "",
        read_only=parameter.read_only,
    )
    ranged = parameter.minimum is not None or parameter.maximum is not None
    if ranged and parameter.scalar_type is float:
        descriptor.floating_point_range = [
            FloatingPointRange(
                # Finite: the panel reads descriptors as JSON, which knows no infinity.
                from_value=-_LARGEST if parameter.minimum is None else float(parameter.minimum),
                to_value=_LARGEST if parameter.maximum is None else float(parameter.maximum),
            )
        ]
    elif ranged and parameter.scalar_type is int:
        descriptor.integer_range = [
            IntegerRange(
                from_value=-(2**63) if parameter.minimum is None else int(parameter.minimum),
                to_value=2**63 - 1 if parameter.maximum is None else int(parameter.maximum),
                step=1,
            )
        ]
    return descriptor


class _Declared:
    """Declares parameters on a node, checks changes, and keeps the values at hand.

    rclpy's ``get_parameter`` takes tens of microseconds; the hot paths read ``self.values``.
    """

    def __init__(
        self,
        node: Node,
        parameters: Sequence[Parameter],
        check_together: Callable[[dict[str, Value]], str],
        changed: Callable[[set[str]], None],
    ) -> None:
        check_unique(parameters)
        self._node = node
        self._declared = {p.name: p for p in parameters}
        self._check_together = check_together
        self._changed = changed
        self.values: dict[str, Value] = {}
        for p in parameters:
            descriptor = _descriptor(p)
            try:
                got = self._declare_typed(p, p.default, descriptor)
            except (InvalidParameterTypeException, InvalidParameterValueException):
                got = self._declare_override(p, descriptor)
            reason = p.check(got)
            if reason:
                raise ParameterError(f"{node.get_name()}: {reason}")
            self.values[p.name] = p.coerce(got)
        reason = check_together(self.values)
        if reason:
            raise ParameterError(f"{node.get_name()}: {reason}")
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def _declare_override(self, p: Parameter, descriptor: ParameterDescriptor) -> object:
        # YAML writes 1 for 1.0: rclpy refuses the integer, though the value is meant.
        override = self._node._parameter_overrides.get(p.name)
        value = (
            None if override is None else parameter_value_to_python(override.get_parameter_value())
        )
        reason = p.check(value)
        if reason:
            raise ParameterError(f"{self._node.get_name()}: {reason}")
        return self._declare_typed(p, p.coerce(value), descriptor, ignore_override=True)

    def _declare_typed(
        self,
        p: Parameter,
        value: Value,
        descriptor: ParameterDescriptor,
        ignore_override: bool = False,
    ) -> object:
        if value != []:
            return self._node.declare_parameter(
                p.name, value, descriptor, ignore_override=ignore_override
            ).value
        # rclpy takes an empty list for one of bytes, and would refuse every text later on.
        kind = RosParameter.Type(descriptor.type)
        declared = self._node.declare_parameter(
            p.name, kind, descriptor, ignore_override=ignore_override
        )
        if declared.type_ != RosParameter.Type.NOT_SET:
            return declared.value
        self._node.set_parameters([RosParameter(p.name, kind, [])])
        return []

    def _check(self, changes: list[RosParameter]) -> SetParametersResult:
        proposed = dict(self.values)
        for change in changes:
            p = self._declared.get(change.name)
            if p is None:
                continue
            reason = p.check(change.value)
            if reason:
                return SetParametersResult(successful=False, reason=reason)
            proposed[p.name] = p.coerce(change.value)
        reason = self._check_together(proposed)
        return SetParametersResult(successful=not reason, reason=reason)

    def _apply(self, changes: list[RosParameter]) -> None:
        names = set()
        for change in changes:
            p = self._declared.get(change.name)
            if p is not None:
                self.values[p.name] = p.coerce(change.value)
                names.add(p.name)
        if not names:
            return
        try:
            self._changed(names)
        except Exception as error:
            # The values stand; the caller's service call must be answered all the same.
            self._node.get_logger().error(
                f"cannot apply {', '.join(sorted(names))}: {error!r}; deactivate and activate "
                "the node to try again"
            )


class _Parametered:
    """What managed and plain nodes share: declared parameters and the clock in seconds."""

    PARAMETERS: ClassVar[tuple[Parameter, ...]] = ()

    def _declare(self, parameters: Sequence[Parameter]) -> None:
        self._declared = _Declared(
            self,  # type: ignore[arg-type]
            parameters,
            self.check_parameters,
            self.parameters_changed,
        )
        #: Current value of every declared parameter, by name.
        self.values: dict[str, Any] = self._declared.values

    def check_parameters(self, values: dict[str, Value]) -> str:
        """Say why these values do not go together; empty when they do. For subclasses."""
        return ""

    def parameters_changed(self, names: set[str]) -> None:
        """React to changed parameters, already in ``self.values``. For subclasses."""

    def now(self) -> float:
        """Return the ROS clock in seconds."""
        return self.get_clock().now().nanoseconds * 1e-9  # type: ignore[attr-defined, no-any-return]

    def steady(self) -> float:
        """Seconds of a clock that never jumps, to measure the node's own work by.

        An offline replay puts its own in place, so that a slow machine gives the same tracks.
        """
        return time.monotonic()


class BoxNode(_Parametered, Node):
    """A plain node with declared parameters and health, for those that need no life cycle."""

    def __init__(self, name: str, **options: Any) -> None:
        Node.__init__(self, name, enable_logger_service=True, **options)
        self._declare(self.PARAMETERS)
        self.health = Health(self)

    def close(self) -> None:
        """Release what the node holds, before it is destroyed. For subclasses."""


class ManagedNode(_Parametered, LifecycleNode):
    """A managed node of the box. See the module's text for the hooks."""

    #: Seconds between tries of an autostart that failed: doubled each time between these.
    RETRY_FIRST, RETRY_LAST = 0.5, 10.0

    def __init__(self, name: str, **options: Any) -> None:
        LifecycleNode.__init__(self, name, enable_logger_service=True, **options)
        self._declare((*COMMON_PARAMETERS, *self.PARAMETERS))
        self.health = Health(self)
        self._state = "unconfigured"
        self._fault = ""
        self._retry_delay = self.RETRY_FIRST
        self._retry_timer: Timer | None = None
        self.health.add("life cycle", self._report_state)
        if self.values["autostart"]:
            # From the executor, so that a node that cannot start yet is already being served.
            self._retry_soon(0.0)

    # The hooks --------------------------------------------------------------------------------

    def configure(self) -> None:
        """Take what the node needs, by its parameters. Raise NotReady to be tried again."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Stop working; nothing is published afterwards."""

    def cleanup(self) -> None:
        """Release everything that configure took."""

    # Life cycle -------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Life-cycle state: unconfigured, inactive, active or finalized."""
        return self._state

    @property
    def is_active(self) -> bool:
        """Whether the node works."""
        return self._state == "active"

    def _transition(
        self, hook: Callable[[], None], to: str, undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        try:
            hook()
        except Exception as error:
            self._fault = str(error) or repr(error)
            if isinstance(error, (NotReady, ParameterError)):
                self.get_logger().warning(f"cannot become {to}: {self._fault}")
            else:
                self.get_logger().error(f"cannot become {to}: {traceback.format_exc()}")
            if undo is not None:
                self._try(undo)
            return TransitionCallbackReturn.FAILURE
        self._fault = ""
        self._state = to
        return TransitionCallbackReturn.SUCCESS

    def _LifecycleNodeMixin__change_state(  # noqa: N802 - rclpy's name
        self, transition_id: int
    ) -> TransitionCallbackReturn:
        """Refuse a transition that the state does not allow.

        rclpy lets the error out of the service's callback, so that one wrong request to
        change_state would end the process with every node in it.
        """
        state = self._state_machine.current_state[1]
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)  # type: ignore[misc]
        except RCLError:
            self.get_logger().warning(f"transition {transition_id} is not possible when {state}")
            return TransitionCallbackReturn.FAILURE

    def _try(self, release: Callable[[], None]) -> None:
        # Releasing must go on whatever one part of it does, else a socket outlives its node.
        try:
            release()
        except Exception as error:
            self.get_logger().error(f"while releasing: {error!r}")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Life-cycle callback; subclasses override configure()."""
        return self._transition(self.configure, "inactive", undo=self.cleanup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Life-cycle callback; subclasses override activate()."""
        result = self._transition(self.activate, "active", undo=self.deactivate)
        if result == TransitionCallbackReturn.SUCCESS:
            super().on_activate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Life-cycle callback; subclasses override deactivate()."""
        self._cancel_retry()
        self._try(self.deactivate)
        self._state = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Life-cycle callback; subclasses override cleanup()."""
        self._cancel_retry()
        self._try(self.cleanup)
        self._state = "unconfigured"
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Life-cycle callback: release everything, from whatever state."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Release what the node holds, from whatever state; the last thing before destruction."""
        self._cancel_retry()
        if self._state == "active":
            self._try(self.deactivate)
        if self._state in ("active", "inactive"):
            self._try(self.cleanup)
        self._state = "finalized"

    # Autostart --------------------------------------------------------------------------------

    def _retry_soon(self, delay: float) -> None:
        self._cancel_retry()
        # Steady: a paused simulated clock must not keep a node from starting.
        self._retry_timer = self.create_timer(
            max(delay, 1e-3), self._autostart, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def _cancel_retry(self) -> None:
        if self._retry_timer is not None:
            self.destroy_timer(self._retry_timer)
            self._retry_timer = None

    def _autostart(self) -> None:
        self._cancel_retry()
        if self._state == "unconfigured":
            self.trigger_configure()
        if self._state == "inactive":
            self.trigger_activate()
        if self._state == "active":
            self._retry_delay = self.RETRY_FIRST
            return
        self._retry_soon(self._retry_delay)
        self._retry_delay = min(2 * self._retry_delay, self.RETRY_LAST)

    def _report_state(self, report: Report) -> None:
        report.put("lifecycle", self._state)
        report.put("pid", os.getpid())
        if self._fault:
            report.find(ERROR, self._fault)
        else:
            report.findings.append(self._state)


def spin(executor: Executor) -> None:
    """Spin until SIGINT, SIGTERM or shutdown of the context.

    EventsExecutor.spin() waits without a deadline; where the wheels' C++ library turns that into a
    deadline that has passed, it spins a core and starves its own timers. A wait with a deadline
    is right everywhere.
    """
    never: Future = Future()
    try:
        while rclpy.ok():
            executor.spin_until_future_complete(never, timeout_sec=_SPIN_PERIOD)
    except (KeyboardInterrupt, ExternalShutdownException):
        return


def run(*factories: Callable[[], BoxNode | ManagedNode], args: Sequence[str] | None = None) -> None:
    """Run nodes in this process until SIGINT or SIGTERM, then release them; for entry points.

    Uses rclpy's EventsExecutor (about three times the single-threaded executor's messages). A
    parameter that is not allowed ends the process with status 2 and the reason on stderr.
    """
    # Imported here: the module is experimental upstream, and only this line is to change.
    from rclpy.experimental.events_executor import EventsExecutor  # noqa: PLC0415

    # rclpy's handler shuts the context down and then calls this one. The default, a
    # KeyboardInterrupt, would cut through whatever callback is at work.
    signal.signal(signal.SIGINT, lambda *_: None)
    rclpy.init(args=list(args) if args is not None else None)
    executor = EventsExecutor()
    nodes: list[BoxNode | ManagedNode] = []
    status = 0
    try:
        for factory in factories:
            node = factory()
            nodes.append(node)
            executor.add_node(node)
        spin(executor)
    except ParameterError as error:
        print(
            f"{error}\nCorrect the parameter file or the command line, then start again.",
            file=sys.stderr,
        )
        status = 2
    finally:
        # A second Ctrl-C must not cut the release short: sockets and a moving gimbal depend on it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        faulthandler.dump_traceback_later(_RELEASE_PATIENCE)
        for node in nodes:
            node.close()
            executor.remove_node(node)
            node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()
        faulthandler.cancel_dump_traceback_later()
    if status:
        sys.exit(status)
