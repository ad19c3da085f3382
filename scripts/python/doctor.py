# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Explain this machine: what TheBox finds on it, what is missing, and for what.

Standard library only, any Python 3.9 or newer, changes nothing. Reads Linux's /proc.
Exit code 0 when `./thebox up` could work here, else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SUPPORTED_PYTHONS = ((3, 10), (3, 11), (3, 12), (3, 13))
SUPPORTED_RELEASES = ("jazzy", "kilted")
SPACE_NEEDED_MB = 2000
MEMORY_WANTED_MB = 2000

# One second of the busiest sensor's burst must fit; Linux doubles what is asked for.
WANTED_SOCKET_BYTES = 8 * 1024 * 1024

# The sensors' default ports (docs of each driver), the panel and the bridge.
PORTS = (
    ("udp", 8888, "DroneShield detections"),
    ("udp", 50051, "Silvus spectrum"),
    ("udp", 8787, "MARA Spotter"),
    ("udp", 4010, "Dspnor ASTERIX tracks"),
    ("udp", 59368, "Dspnor discovery beacon"),
    ("tcp", 51555, "Trakka camera, when it is simulated here"),
    ("tcp", 59623, "Dspnor control, when it is simulated here"),
    ("udp", 60000, "own-ship NMEA 0183"),
    ("tcp", 8080, "operator panel"),
    ("tcp", 9090, "web bridge (rosbridge)"),
)

OK, NOTE, WARNING, BLOCKING = "ok", "note", "warning", "blocking"


@dataclass
class Finding:
    """One line of the report: what was looked at, what was found, what to do about it."""

    subject: str
    level: str
    text: str
    todo: str = ""


@dataclass
class Report:
    """Everything that doctor found."""

    facts: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add(self, subject: str, level: str, text: str, todo: str = "") -> None:
        """Add one finding."""
        self.findings.append(Finding(subject, level, text, todo))

    @property
    def up_could_work(self) -> bool:
        """Tell whether nothing found keeps `./thebox up` from working."""
        return all(finding.level != BLOCKING for finding in self.findings)


def read_text(path: str | Path) -> str:
    """Return a file's text, empty when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def output_of(*command: str) -> str:
    """Return a command's standard output, empty when it fails or hangs."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"}
    }
    try:
        done = subprocess.run(  # noqa: S603 - commands written here, no shell
            command, capture_output=True, text=True, timeout=10, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def may_install() -> bool:
    """Tell whether ./thebox may call apt here: root, or sudo without a password."""
    if os.environ.get("THEBOX_APT") == "no" or not shutil.which("apt-get"):
        return False
    if os.geteuid() == 0:
        return True
    return bool(shutil.which("sudo")) and bool(output_of("sudo", "-n", "echo", "yes"))


def machine(report: Report, root: Path) -> None:
    """Report the operating system, cores, memory and disk."""
    release = dict(
        re.findall(r'^(\w+)="?([^"\n]*)"?$', read_text("/etc/os-release"), flags=re.MULTILINE)
    )
    name = release.get("PRETTY_NAME", platform.system())
    architecture = os.environ.get("THEBOX_MACHINE") or platform.machine()
    level, todo = OK, ""
    if platform.system() != "Linux":
        level, todo = BLOCKING, "use Debian, Ubuntu or TheBox's container image"
    elif release.get("ID") not in {"debian", "ubuntu"} and "debian" not in release.get(
        "ID_LIKE", ""
    ):
        level, todo = NOTE, "tried on Debian and Ubuntu; missing packages must be installed by hand"
    report.add("system", level, f"{name}, kernel {platform.release()}, {architecture}", todo)

    cores = len(os.sched_getaffinity(0))
    load = read_text("/proc/loadavg").split()[:1]
    report.add(
        "cores",
        OK if cores >= 2 else WARNING,
        f"{cores} usable, load {load[0] if load else 'unknown'}",
        "" if cores >= 2 else "the whole graph wants two or more",
    )
    memory = {
        key: int(value) // 1024
        for key, value in re.findall(
            r"^(MemTotal|MemAvailable):\s+(\d+)", read_text("/proc/meminfo"), flags=re.MULTILINE
        )
    }
    available = memory.get("MemAvailable", 0)
    enough = available >= MEMORY_WANTED_MB
    report.add(
        "memory",
        OK if enough else WARNING,
        f"{available} MB available of {memory.get('MemTotal', 0)} MB",
        "" if enough else "ten nodes of one process each take about 1 GB; the build as much again",
    )
    free = shutil.disk_usage(root).free // (1024 * 1024)
    built = any(root.glob(".venv/.thebox/check")) or any(root.glob(".thebox/*/venv/.thebox/check"))
    short = free < (300 if built else SPACE_NEEDED_MB)
    report.add(
        "disk",
        BLOCKING if short else OK,
        f"{free} MB free where {root} is",
        f"free {SPACE_NEEDED_MB} MB" if short else "",
    )
    report.facts.update(
        system=name,
        machine=architecture,
        cores=cores,
        memory_mb=memory,
        disk_free_mb=free,
        user="root" if os.geteuid() == 0 else "plain",
    )


def pythons(report: Report) -> None:
    """Report the Pythons on the PATH and which of them the environment could be made with."""
    script = (
        "import json, os, pathlib, sys, sysconfig, importlib.util as u\n"
        "base = getattr(sys, '_base_executable', None) or sys.executable\n"
        "print(json.dumps({'version': list(sys.version_info[:3]),\n"
        "  'path': os.path.realpath(base),\n"
        "  'venv': bool(u.find_spec('venv') and u.find_spec('ensurepip')),\n"
        "  'headers': (pathlib.Path(sysconfig.get_path('include')) / 'Python.h').is_file()}))"
    )
    found: dict[str, dict[str, Any]] = {}
    asked = os.environ.get("THEBOX_PYTHON")
    names = [asked] if asked else []
    names += ["python3", "python3.10", "python3.11", "python3.12", "python3.13", "/usr/bin/python3"]
    for name in names:
        try:
            described = json.loads(output_of(name, "-I", "-c", script) or "{}")
        except ValueError:
            described = {}
        if described:
            found.setdefault(described["path"], described)
        elif name == asked:
            report.add("python", BLOCKING, f"THEBOX_PYTHON={asked} does not run", "unset it")
    report.facts["pythons"] = list(found.values())
    usable = []
    for path, one in found.items():
        version = ".".join(map(str, one["version"]))
        if tuple(one["version"][:2]) not in SUPPORTED_PYTHONS:
            report.add("python", NOTE, f"{version} at {path}: not used (3.10 to 3.13 are)")
            continue
        usable.append(one)
        lacks = [what for what in ("venv", "headers") if not one[what]]
        names_of = {"venv": "its venv module", "headers": "its C headers"}
        short = ".".join(map(str, one["version"][:2]))
        report.add(
            "python",
            OK if not lacks else NOTE,
            f"{version} at {path}"
            + ("" if not lacks else " lacks " + " and ".join(names_of[what] for what in lacks)),
            "" if not lacks else f"apt-get install python{short}-venv python{short}-dev",
        )
    if not usable:
        level = NOTE if may_install() else BLOCKING
        report.add(
            "python",
            level,
            "no Python 3.10 to 3.13 found",
            "apt-get install python3 python3-venv python3-dev, or set THEBOX_PYTHON",
        )
    elif not any(one["venv"] and one["headers"] for one in usable) and not may_install():
        report.add(
            "python",
            BLOCKING,
            "no Python here is complete, and this user may not install packages",
            "sudo apt-get install python3-venv python3-dev",
        )


def ros(report: Report) -> None:
    """Report ROS distributions, sourced and installed, and which one ./thebox would take."""
    folder = Path(os.environ.get("THEBOX_ROS_ROOT", "/opt/ros"))
    installed = sorted(path.parent.name for path in folder.glob("*/setup.bash"))
    ours = os.environ.get("THEBOX_ENVIRONMENT")
    sourced = os.environ.get("ROS_DISTRO") if os.environ.get("AMENT_PREFIX_PATH") else None
    wanted = os.environ.get("THEBOX_ROS") or ""
    report.facts.update(ros_installed=installed, ros_sourced=sourced, thebox_ros=wanted or None)
    if wanted and wanted not in SUPPORTED_RELEASES:
        report.add("ros", BLOCKING, f"THEBOX_ROS={wanted}", "set it to jazzy or kilted")
    if ours:
        report.add("ros", OK, f"inside ./thebox shell ({ours.replace(':', ', from ')})")
        return
    if sourced and os.environ.get("THEBOX_ROS_FROM") != "wheels":
        supported = sourced in SUPPORTED_RELEASES
        report.add(
            "ros",
            OK if supported else BLOCKING,
            f"ROS 2 {sourced} is sourced in this shell",
            "" if supported else "open a shell without it: TheBox runs on jazzy and kilted",
        )
        return
    usable = [name for name in installed if name in SUPPORTED_RELEASES]
    for name in installed:
        text = f"ROS 2 {name} under {folder}"
        report.add(
            "ros", OK if name in usable else NOTE, text if name in usable else f"{text}: not used"
        )
    if (not usable or (wanted and wanted not in usable)) and wanted in ("", *SUPPORTED_RELEASES):
        architecture = os.environ.get("THEBOX_MACHINE") or platform.machine()
        release = wanted or "jazzy"
        if architecture == "x86_64":
            report.add("ros", OK, f"no distribution: ROS 2 {release} comes from Python wheels")
        else:
            report.add(
                "ros",
                BLOCKING,
                f"no distribution, and the ROS wheels are for x86-64, not {architecture}",
                f"install ros-{release}-ros-base, or use TheBox's container image",
            )


def tools(report: Report, root: Path) -> None:
    """Report the compiler and, for the panel, Node.js."""
    fixable = may_install()
    lacking = [name for name in ("cc", "c++", "make") if not shutil.which(name)]
    version = output_of("c++", "--version").splitlines()[:1]
    report.add(
        "compiler",
        OK if not lacking else NOTE if fixable else BLOCKING,
        version[0] if version and not lacking else "missing: " + ", ".join(lacking),
        ""
        if not lacking
        else "./thebox installs it with apt"
        if fixable
        else "sudo apt-get install build-essential (the messages are compiled here)",
    )
    panel = (root / "src/thebox_webui/package.json").is_file()
    node = output_of("node", "--version")
    if node and shutil.which("npm"):
        report.add("node", OK, f"Node.js {node}")
    elif panel:
        report.add(
            "node",
            NOTE if fixable else BLOCKING,
            "Node.js or npm is missing (the operator panel is built with it)",
            "./thebox installs it with apt" if fixable else "sudo apt-get install nodejs npm",
        )
    report.facts.update(compiler=version[0] if version else None, node=node or None)


def workspace(report: Report, root: Path) -> None:
    """Report the state of each environment and of its build."""
    places = {
        "jazzy": (root / ".venv", root / "install"),
        "kilted": (root / ".thebox/kilted/venv", root / ".thebox/kilted/install"),
    }
    state: dict[str, Any] = {}
    for release, (venv, install) in places.items():
        if not venv.is_dir():
            report.add("environment", NOTE, f"{release}: not set up yet", "./thebox build")
            state[release] = {"environment": "absent", "built": False}
            continue
        done = [
            step
            for step in ("base", "product", "relocate", "check", "test", "bench")
            if (venv / ".thebox" / step).is_file()
        ]
        complete = "check" in done
        version = output_of(str(venv / "bin/python"), "-I", "-V") or "its Python does not run"
        report.add(
            "environment",
            OK if complete else NOTE,
            f"{release}: {version}, "
            + ("complete" if complete else f"half-made (steps done: {', '.join(done) or 'none'})")
            + "".join(f", with packages for {kind}" for kind in ("test", "bench") if kind in done),
            "" if complete else "./thebox build goes on where it stopped",
        )
        packages = sorted(path.parent.name for path in install.glob("*/share") if path.is_dir())
        built = (install / ".thebox").is_file()
        report.add(
            "build",
            OK if built else NOTE,
            f"{release}: {len(packages)} packages built" if built else f"{release}: not built",
            "" if built else "./thebox build",
        )
        state[release] = {
            "environment": "complete" if complete else "half-made",
            "python": version,
            "built": built,
            "packages": packages,
        }
    report.facts["workspace"] = state


def inode_owners() -> dict[str, str]:
    """Return "name (pid N)" for each socket inode that this user may see the owner of."""
    owners: dict[str, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [str(entry.readlink()) for entry in (process / "fd").iterdir()]
        except OSError:
            continue
        for link in links:
            if link.startswith("socket:["):
                name = read_text(process / "comm").strip()
                owners.setdefault(link[8:-1], f"{name} (pid {process.name})")
    return owners


def bound_ports() -> dict[tuple[str, int], str]:
    """Return the socket inode of each bound UDP port and each listening TCP port."""
    bound: dict[tuple[str, int], str] = {}
    for protocol in ("udp", "tcp"):
        for table in (protocol, protocol + "6"):
            for line in read_text(f"/proc/net/{table}").splitlines()[1:]:
                columns = line.split()
                if protocol == "tcp" and columns[3] != "0A":
                    continue
                bound.setdefault((protocol, int(columns[1].rpartition(":")[2], 16)), columns[9])
    return bound


def ports(report: Report) -> None:
    """Report which of the ports that TheBox listens on are taken, and by whom."""
    bound, owners = bound_ports(), inode_owners()
    facts = []
    for protocol, port, purpose in PORTS:
        inode = bound.get((protocol, port))
        owner = owners.get(inode, "a process of another user") if inode else None
        facts.append({"protocol": protocol, "port": port, "purpose": purpose, "owner": owner})
        if owner:
            report.add(
                "ports",
                WARNING,
                f"{protocol} {port} ({purpose}) is taken by {owner}",
                "stop it (./thebox down, if it is an earlier run), or change the port in the "
                "parameter file",
            )
    free = sum(one["owner"] is None for one in facts)
    report.add("ports", OK, f"{free} of {len(facts)} are free")
    report.facts["ports"] = facts


def network(report: Report) -> None:
    """Report socket buffers, loopback, multicast and the DDS domain."""
    limits = {}
    for name in ("rmem_max", "rmem_default"):
        text = read_text(f"/proc/sys/net/core/{name}").strip()
        limits[name] = int(text) if text.isdigit() else None
    report.facts["socket_buffers"] = {**limits, "recommended_rmem_max": WANTED_SOCKET_BYTES}
    limit = limits["rmem_max"]
    if limit is None:
        report.add("sockets", NOTE, "net.core.rmem_max cannot be read (a container?)")
    elif limit < WANTED_SOCKET_BYTES:
        report.add(
            "sockets",
            WARNING,
            f"net.core.rmem_max is {limit}: bursts of a sensor and raw camera pictures may be lost",
            f"sudo sysctl -w net.core.rmem_max={WANTED_SOCKET_BYTES} net.core.rmem_default=1048576"
            " (to keep it: the same lines in /etc/sysctl.d/60-thebox.conf)",
        )
    else:
        report.add("sockets", OK, f"net.core.rmem_max {limit}, default {limits['rmem_default']}")

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        try:
            receiver.settimeout(2.0)
            receiver.bind(("127.0.0.1", 0))
            receiver.sendto(b"thebox", receiver.getsockname())
            loopback = receiver.recv(16) == b"thebox"
        except OSError:
            loopback = False
    report.add(
        "network",
        OK if loopback else BLOCKING,
        "loopback carries datagrams" if loopback else "loopback carries no datagrams",
        "" if loopback else "sudo ip link set lo up; check the firewall",
    )
    multicast = {
        name.name: bool(int(read_text(name / "flags").strip() or "0", 16) & 0x1000)
        for name in sorted(Path("/sys/class/net").glob("*"))
    }
    with_multicast = [name for name, able in multicast.items() if able]
    report.add(
        "network",
        OK if with_multicast else NOTE,
        "multicast on " + ", ".join(with_multicast)
        if with_multicast
        else "no interface has multicast: nodes on this machine still find each other",
    )
    domain = os.environ.get("ROS_DOMAIN_ID", "0") or "0"
    fits = domain.isdigit() and int(domain) <= 101
    report.add(
        "dds",
        OK if fits else WARNING,
        f"ROS_DOMAIN_ID {domain}, "
        f"{os.environ.get('RMW_IMPLEMENTATION', 'the default middleware (Fast DDS)')}, "
        f"discovery range {os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET (default)')}",
        "" if fits else "a number from 0 to 101 fits Linux's ephemeral ports",
    )
    report.facts.update(loopback=loopback, multicast=multicast, ros_domain_id=domain)


def show(report: Report) -> None:
    """Print the report for people."""
    marks = {OK: "  ok ", NOTE: "note ", WARNING: "WARN ", BLOCKING: "STOP "}
    for finding in report.findings:
        print(f"{marks[finding.level]} {finding.subject:<12} {finding.text}")
        if finding.todo:
            print(f"{'':18}-> {finding.todo}")
    stops = sum(finding.level == BLOCKING for finding in report.findings)
    warnings = sum(finding.level == WARNING for finding in report.findings)
    print()
    if stops:
        print(f"./thebox up cannot work here yet: {stops} thing(s) marked STOP above.")
    else:
        print(f"./thebox up can work here ({warnings} warning(s)).")


def main() -> int:
    """Look at the machine and report."""
    parser = argparse.ArgumentParser(prog="./thebox doctor", description="Explain this machine.")
    parser.add_argument("--root", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    arguments = parser.parse_args()
    report = Report()
    machine(report, arguments.root)
    pythons(report)
    ros(report)
    tools(report, arguments.root)
    workspace(report, arguments.root)
    ports(report)
    network(report)
    if arguments.json:
        print(
            json.dumps(
                {
                    "up_could_work": report.up_could_work,
                    "facts": report.facts,
                    "findings": [asdict(finding) for finding in report.findings],
                },
                indent=2,
            )
        )
    else:
        show(report)
    return 0 if report.up_could_work else 1


if __name__ == "__main__":
    sys.exit(main())
