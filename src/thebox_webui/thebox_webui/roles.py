# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Who may do what over the bridge: the allow-list, as data, and the check against it. No ROS.

What is not listed is refused. Names are patterns relative to the box's namespace, or absolute;
``*`` is one part of a name, ``**`` any number of them. Only full names in ROS's own characters are
compared, so that no trick of spelling reaches a name that was not meant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

__all__ = ["ROLES", "Refusal", "Role", "Rules", "check"]

Role = Literal["viewer", "operator"]


@dataclass(frozen=True)
class Rules:
    """What one role may touch."""

    hear: tuple[str, ...] = ()
    publish: tuple[str, ...] = ()
    call: tuple[str, ...] = ()
    act: tuple[str, ...] = ()


_HEARD = ("**", "/diagnostics", "/tf", "/tf_static", "/clock", "/rosout")
_ASKED = (
    # State and parameters, to read.
    "*/get_state",
    "*/get_available_states",
    "*/get_available_transitions",
    "*/list_parameters",
    "*/describe_parameters",
    "*/get_parameters",
    "*/get_parameter_types",
    # The record, to read.
    "*/get_track_evidence",
    "*/query_events",
    "*/query_tracks",
    "*/query_detections",
    "*/get_statistics",
)

ROLES: Mapping[Role, Rules] = {
    "viewer": Rules(hear=_HEARD, call=_ASKED),
    "operator": Rules(
        hear=_HEARD,
        call=(
            *_ASKED,
            "*/change_state",
            "*/set_parameters",
            "*/set_parameters_atomically",
            "dronedb/set_zones",
            "dronedb/acknowledge_events",
            "dronedb/back_up",
            "trakka/set_zoom",
            "trakka/set_gimbal_mode",
            "trakka/set_camera_lock",
            "dspnor/set_transmit_mode",
            "dspnor/set_sector",
            "dspnor/set_blanking",
            "dspnor/restart",
        ),
        act=("trakka/slew_to",),
    ),
}

#: Nodes that nobody may reconfigure over the bridge that they themselves make safe.
_OUT_OF_REACH = (
    "panel/set_parameters",
    "panel/set_parameters_atomically",
    "rosbridge/set_parameters",
    "rosbridge/set_parameters_atomically",
)

_NAME = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/(msg|srv|action))?/[A-Za-z][A-Za-z0-9_]*")
_IDENTITY_LENGTH = 256
_COMPRESSIONS = ("none", "png", "cbor", "cbor-raw")
#: The fields that an operation is passed on with; others are left out.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "subscribe": ("topic", "type", "throttle_rate", "queue_length", "fragment_size", "compression"),
    "unsubscribe": ("topic",),
    "advertise": ("topic", "type", "latch", "queue_size"),
    "unadvertise": ("topic",),
    "publish": ("topic", "msg", "latch", "queue_size"),
    "call_service": ("service", "type", "args", "fragment_size", "compression", "timeout"),
    "send_action_goal": (
        "action",
        "action_type",
        "args",
        "feedback",
        "fragment_size",
        "compression",
    ),
    "cancel_action_goal": ("action",),
    "set_level": ("level",),
}


@dataclass(frozen=True)
class Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """An operation that a role may not do; ``reason`` counts it, ``text`` tells the operator."""

    reason: str
    text: str
    operation: str = ""
    identity: Any = None
    name: str = ""


@lru_cache(maxsize=512)
def _pattern(text: str, namespace: str) -> re.Pattern[str]:
    full = text if text.startswith("/") else f"{namespace.rstrip('/')}/{text}"
    parts = re.split(r"(\*\*|\*)", full)
    wild = {"*": r"[A-Za-z0-9_]+", "**": r"[A-Za-z0-9_/]+"}
    return re.compile("".join(wild.get(part, re.escape(part)) for part in parts))


@lru_cache(maxsize=4096)
def _matches(name: str, patterns: tuple[str, ...], namespace: str) -> bool:
    return any(_pattern(text, namespace).fullmatch(name) for text in patterns)


def _count(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _without_null(value: Any) -> Any:
    """Null as NaN: so JSON.stringify writes it, and upstream's bridge takes no null."""
    if value is None:
        return math.nan
    if isinstance(value, list):
        return [_without_null(each) for each in value]
    if isinstance(value, dict):
        return {key: _without_null(each) for key, each in value.items()}
    return value


def check(operation: object, role: Role, namespace: str) -> dict[str, Any]:
    """Hold one operation of a client against its role; return what is to be passed on.

    Raises:
        Refusal: it is not allowed, or is none.
    """
    if not isinstance(operation, dict):
        raise Refusal("malformed", "a frame must be one JSON object")
    op = operation.get("op")
    identity = operation.get("id")
    if identity is not None and not (
        (isinstance(identity, str) and len(identity) <= _IDENTITY_LENGTH) or _count(identity, 2**53)
    ):
        raise Refusal("malformed", "an id is a short text or a number")
    if not isinstance(op, str) or op not in _FIELDS:
        raise Refusal(
            "operation", f"the operation {str(op)[:60]!r} is not offered here", identity=identity
        )
    passed = {"op": op}
    if identity is not None:
        passed["id"] = identity
    passed |= {key: operation[key] for key in _FIELDS[op] if key in operation}
    rules = ROLES[role]
    if op == "set_level":
        if passed.get("level") not in ("info", "warning", "error", "none"):
            raise Refusal("malformed", "level is info, warning, error or none", op, identity)
        return passed
    field, patterns = {
        "subscribe": ("topic", rules.hear),
        "unsubscribe": ("topic", rules.hear),
        "advertise": ("topic", rules.publish),
        "unadvertise": ("topic", rules.publish),
        "publish": ("topic", rules.publish),
        "call_service": ("service", rules.call),
        "send_action_goal": ("action", rules.act),
        "cancel_action_goal": ("action", rules.act),
    }[op]
    name = passed.get(field)
    if not isinstance(name, str) or len(name) > 255 or not _NAME.fullmatch(name):
        raise Refusal("malformed", f"{field} must be a full name such as /a/b", op, identity)
    _check_values(passed, op, identity, name)
    allowed = _matches(name, patterns, namespace)
    if op == "call_service" and _matches(name, _OUT_OF_REACH, namespace):
        allowed = False
    if not allowed:
        raise Refusal("role", _why(op, name, role, namespace), op, identity, name)
    if "args" in passed:
        passed["args"] = _without_null(passed["args"])
    if "msg" in passed:
        passed["msg"] = _without_null(passed["msg"])
    return passed


def _why(op: str, name: str, role: Role, namespace: str) -> str:
    what = {
        "call_service": "call",
        "send_action_goal": "start",
        "cancel_action_goal": "stop",
        "subscribe": "hear",
        "unsubscribe": "hear",
    }.get(op, "publish")
    operator = ROLES["operator"]
    lists: Sequence[tuple[str, ...]] = (operator.call, operator.act, operator.publish)
    if role == "viewer" and any(_matches(name, each, namespace) for each in lists):
        return f"a viewer may not {what} {name}; log in as an operator"
    return f"{name} is not among what the panel may {what}"


def _check_values(passed: Mapping[str, Any], op: str, identity: Any, name: str) -> None:
    def bad(text: str) -> Refusal:
        return Refusal("malformed", text, op, identity, name)

    for key in ("type", "action_type"):
        if key in passed and not (isinstance(passed[key], str) and _TYPE.fullmatch(passed[key])):
            raise bad(f"{key} must be a type such as std_msgs/msg/String")
    for key, most in (
        ("throttle_rate", 3_600_000),
        ("queue_length", 1000),
        ("queue_size", 1000),
        ("fragment_size", 100_000_000),
    ):
        if key in passed and not _count(passed[key], most):
            raise bad(f"{key} must be a whole number from 0 to {most}")
    # A fragment of a few bytes each would make a flood of one message.
    if "fragment_size" in passed and passed["fragment_size"] < 1000:
        raise bad("fragment_size must be 1000 or more")
    if passed.get("compression", "none") not in _COMPRESSIONS:
        raise bad(f"compression is one of {', '.join(_COMPRESSIONS)}")
    if not isinstance(passed.get("args", {}), (dict, list)):
        raise bad("args must be an object or a list")
    if not isinstance(passed.get("feedback", False), bool):
        raise bad("feedback must be true or false")
    timeout = passed.get("timeout", 1.0)
    if isinstance(timeout, bool) or not (isinstance(timeout, (int, float)) and 0 < timeout <= 60):
        raise bad("timeout must be a number of seconds from 0 to 60")
