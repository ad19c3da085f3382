# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""The site's ``.env``: what differs from site to site, and which parameters it sets. No ROS.

A file of ``NAME=VALUE`` lines; a variable of the environment wins over its line. The same file
serves ``./thebox``, systemd (``EnvironmentFile``) and Docker (``env_file``).
"""

from __future__ import annotations

import difflib
import functools
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from thebox_bringup.graph import NAMESPACE, NODES, SOURCE, spec
from thebox_bringup.settings import Origins, SettingsError, Values
from thebox_core.parameters import Parameter, ParameterError
from thebox_webui.accounts import (
    Account,
    AccountsError,
    check_password,
    hash_password,
    load_accounts,
    save_accounts,
)

__all__ = [
    "PASSWORD",
    "USER",
    "Site",
    "Variable",
    "read",
    "read_file",
    "set_password",
    "variables",
]

USER, PASSWORD = "THEBOX_PANEL_USER", "THEBOX_PANEL_PASSWORD"


@dataclass(frozen=True)
class Variable:
    """One variable of a site.

    Attributes:
        name: upper case.
        description: one sentence for the operator.
        example: a value that can be.
        pattern: what a value must match whole.
        parameter: (node, parameter) that it sets; None for what is no parameter.
        secret: whether it must not be shown.
    """

    name: str
    description: str
    example: str
    pattern: str = r"[^\x00-\x1f]*"
    parameter: tuple[str, str] | None = None
    secret: bool = False


def _of(name: str, node: str, parameter: str, example: str) -> Variable:
    described = next(p for p in _declared(node) if p.name == parameter).description
    return Variable(name, described, example, parameter=(node, parameter))


def _declared(node: str) -> tuple[Parameter, ...]:
    return tuple(spec(node).load_parameters())


@functools.cache
def variables() -> tuple[Variable, ...]:
    """Every variable that a site may set."""
    sources = {
        "droneshield": "udp://0.0.0.0:50001",
        "silvus": "udp://0.0.0.0:50002",
        "mara": "serial:///dev/ttyUSB0?baud=115200",
        "dspnor": "udp://0.0.0.0:50004",
        "trakka": "tcp://192.168.10.20:51555",
        "ownship": "udp://0.0.0.0:10110",
    }
    sensors = [node.name for node in NODES if node.group == "sensor"]
    return (
        Variable(
            "ROS_DOMAIN_ID",
            "ROS domain: boxes and consoles of one number hear each other.",
            "0",
            r"[0-9]|[1-9][0-9]|10[01]",
        ),
        Variable(
            "ROS_AUTOMATIC_DISCOVERY_RANGE",
            "How far the box looks for others: this machine (the default), or its network.",
            "LOCALHOST",
            "LOCALHOST|SUBNET|OFF|SYSTEM_DEFAULT",
        ),
        Variable(
            "ROS_STATIC_PEERS",
            "Addresses to find beyond that range, joined by ;.",
            "192.168.10.2;192.168.10.3",
        ),
        Variable(
            "ROS_DISCOVERY_SERVER",
            "Fast DDS discovery servers, joined by ;, instead of multicast.",
            "192.168.10.2:11811",
            r"(\[?[A-Za-z0-9.:-]+\]?:\d+)?(;(\[?[A-Za-z0-9.:-]+\]?:\d+)?)*",
        ),
        Variable(
            "ROS_SUPER_CLIENT", "A discovery-server client that sees all.", "TRUE", "TRUE|FALSE"
        ),
        Variable(
            "FASTRTPS_DEFAULT_PROFILES_FILE",
            "XML profile of Fast DDS (Jazzy) in place of the box's own fastdds.xml.",
            "/etc/thebox/dds.xml",
        ),
        Variable(
            "FASTDDS_DEFAULT_PROFILES_FILE",
            "The same for Kilted.",
            "/etc/thebox/dds.xml",
        ),
        Variable("RMW_IMPLEMENTATION", "ROS middleware.", "rmw_fastrtps_cpp", r"rmw_\w+"),
        Variable("ROS_LOG_DIR", "Folder of rcl's own logs.", "/var/log/thebox"),
        Variable(
            "THEBOX_NAMESPACE",
            f"Namespace of this box; boxes on one network differ in it. Default {NAMESPACE}.",
            "/thebox",
            r"(/[A-Za-z_][A-Za-z0-9_]*)+",
        ),
        Variable("THEBOX_CONFIG", "The site's parameter file.", "/etc/thebox/site.yaml"),
        Variable(
            "THEBOX_SENSORS",
            "Sensors to run, joined by commas; all without it.",
            ",".join(sensors[:2]),
            f"({'|'.join(sensors)})(,({'|'.join(sensors)}))*",
        ),
        Variable("THEBOX_RUN_DIR", "Folder of the running box's own files.", "/var/lib/thebox/run"),
        Variable("THEBOX_LOG_DIR", "Folder of the logs.", "/var/log/thebox"),
        Variable("THEBOX_ROS", "ROS 2 release of `./thebox`.", "jazzy", "jazzy|kilted"),
        Variable("THEBOX_ROS_FROM", "Where ROS comes from.", "distribution", "wheels|distribution"),
        Variable("THEBOX_PYTHON", "Python that the environment is made with.", "/usr/bin/python3"),
        Variable("THEBOX_JOBS", "Build jobs at a time.", "2", r"[1-9][0-9]*"),
        Variable("THEBOX_APT", "`no`: never install system packages.", "no", "no|yes"),
        Variable("THEBOX_NO_BUILD", "`1`: take the build as it is.", "1", "0|1"),
        *(
            _of(f"THEBOX_{name.upper()}_SOURCE", name, SOURCE, sources.get(name, ""))
            for name in sensors
        ),
        _of("THEBOX_PANEL_ADDRESS", "panel", "address", "0.0.0.0"),  # noqa: S104 - an example
        _of("THEBOX_PANEL_PORT", "panel", "port", "8080"),
        _of("THEBOX_PANEL_CERTIFICATE", "panel", "certfile", "/etc/thebox/panel.pem"),
        _of("THEBOX_PANEL_KEY_FILE", "panel", "keyfile", "/etc/thebox/panel.key"),
        _of("THEBOX_ACCOUNTS_FILE", "panel", "accounts_file", "/var/lib/thebox/accounts.json"),
        Variable(
            USER, "Operator whose password is set at start.", "operator", r"[A-Za-z0-9._@-]{1,64}"
        ),
        Variable(
            PASSWORD,
            "Operator password, 8 characters or more; hashed into the accounts file at start. "
            "A file that holds it must be readable by its owner alone (chmod 600).",
            "",
            secret=True,
        ),
        _of("THEBOX_BRIDGE_PORT", "rosbridge", "port", "9090"),
        _of("THEBOX_DATABASE", "dronedb", "path", "/var/lib/thebox/dronedb.sqlite"),
        _of("THEBOX_RECORDINGS", "recorder", "folder", "/var/lib/thebox/recordings"),
    )


@dataclass(frozen=True)
class Site:
    """What a site sets.

    Attributes:
        environment: every variable, the environment's over the file's.
        values: the parameters that they set, by node.
        origins: where each of those was given.
    """

    environment: Mapping[str, str]
    values: Values
    origins: Origins


def read_file(path: Path) -> dict[str, tuple[str, int]]:
    """Read a ``.env``: value and line by name; empty when there is no such file.

    Raises:
        SettingsError: with every problem, each with file and line.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text: {error}") from None
    found: dict[str, tuple[str, int]] = {}
    known = {variable.name for variable in variables()}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
            problems.append(f"{path}:{number}: write NAME=VALUE, without spaces around =")
            continue
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        if name in found:
            problems.append(
                f"{path}:{number}: {name} is given a second time (first in line "
                f"{found[name][1]}): remove one of the two"
            )
        elif name not in known:
            problems.append(f"{path}:{number}: {name} is no setting of a site{_near(name, known)}")
        if name == PASSWORD and mode & 0o077:
            problems.append(f"{path}:{number}: others can read this password: chmod 600 {path}")
        found[name] = (value, number)
    if problems:
        raise SettingsError("\n".join(problems))
    return found


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=2)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return "; docs/configuration.md lists them"


def read(path: Path, environment: Mapping[str, str] = os.environ) -> Site:
    """What a site sets: its file, and over it the environment.

    Raises:
        SettingsError: with every problem; each names file and line, or the variable.
    """
    file = read_file(path)
    problems: list[str] = []
    together: dict[str, str] = {}
    values: Values = {}
    origins: Origins = {}
    for variable in variables():
        name = variable.name
        if name in environment and not (name in file and environment[name] == file[name][0]):
            value, origin = environment[name], f"environment variable {name}"
        elif name in file:
            value, origin = file[name][0], f"{path}:{file[name][1]}"
        else:
            continue
        if not value:
            # As if it were not there: how a shell or a compose file takes one away.
            continue
        together[name] = value
        problem = _problem(variable, value)
        if problem:
            problems.append(f"{origin}: {problem}")
        elif variable.parameter is not None:
            node, parameter = variable.parameter
            values.setdefault(node, {})[parameter] = _value(variable, value)
            origins[node, parameter] = origin
    if problems:
        raise SettingsError("\n".join(problems))
    return Site(together, values, origins)


def _value(variable: Variable, text: str) -> Any:
    assert variable.parameter is not None  # noqa: S101 - narrows the type for mypy
    node, name = variable.parameter
    declared = next(p for p in _declared(node) if p.name == name)
    return text if declared.scalar_type is str else yaml.safe_load(text)


def _problem(variable: Variable, text: str) -> str:
    if not re.fullmatch(variable.pattern, text):
        shown = "its value" if variable.secret else f"'{text}'"
        return f"{variable.name}: {shown} cannot be; write it like {variable.example or 'a text'}"
    if variable.parameter is None:
        return ""
    node, name = variable.parameter
    declared = next(p for p in _declared(node) if p.name == name)
    try:
        declared.coerce(_value(variable, text))
    except (ParameterError, yaml.YAMLError) as error:
        return f"{variable.name}: {error}; write it like {variable.example}"
    return ""


def set_password(site: Site, accounts_file: Path) -> str:
    """Set the operator's password that the site gives; return what was done, empty for nothing.

    Raises:
        SettingsError: the password cannot be, or the accounts file cannot be written.
    """
    password = site.environment.get(PASSWORD, "")
    if not password:
        return ""
    user = site.environment.get(USER, "operator")
    try:
        accounts = load_accounts(accounts_file)
        there = accounts.get(user)
        if there is not None and check_password(password, there.password_hash):
            return ""
        accounts[user] = Account(user, "operator", hash_password(password))
        save_accounts(accounts_file, accounts)
    except AccountsError as error:
        raise SettingsError(f"{PASSWORD}: {error}") from None
    return f"the password of {user} was set from {PASSWORD}"
