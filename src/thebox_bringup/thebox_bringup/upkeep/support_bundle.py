# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox support-bundle``: what a developer needs to help, without the secrets."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from thebox_bringup.graph import NAMESPACE
from thebox_bringup.settings import SettingsError
from thebox_bringup.site import PASSWORD, read_file
from thebox_bringup.supervision import Places, RunState, places, read_state
from thebox_bringup.upkeep.backup import running, versions
from thebox_bringup.upkeep.inventory import Inventory, env_file, take, workspace
from thebox_bringup.upkeep.redact import MARK, Redactor
from thebox_core.health import ERROR, OK, STALE, WARN

__all__ = ["BundleError", "collect", "main", "parser"]

#: Of each log only the end goes along.
_LOG_END = 512 << 10
_SHOWN = ("ROS", "RMW", "FASTDDS", "FASTRTPS", "THEBOX", "RCUTILS", "AMENT", "LANG", "TZ")
_LEVELS = {OK: "ok", WARN: "warning", ERROR: "error", STALE: "stale"}


class BundleError(Exception):
    """A bundle that cannot be written; the text says why."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox support-bundle",
        description="Collect doctor's report, health, logs, settings and versions into one archive "
        "to send along with a question. Passwords, hashes, keys, tokens and cookies are taken "
        "out; look through it before you send it all the same. The database, recordings and "
        "users are not in it.",
        epilog="exit codes: 0 written; 1 not written; 2 something given is wrong",
    )
    made.add_argument("bundle", nargs="?", type=Path, help="default: thebox-support-<time>.tar.gz")
    made.add_argument("--config", type=Path, metavar="FILE", help="parameter file of the site")
    made.add_argument(
        "--seconds", type=float, default=3.0, help="how long to listen to the graph; default 3"
    )
    made.add_argument("--json", action="store_true", help="the outcome as JSON")
    return made


def _doctor() -> str:
    script = workspace() / "scripts" / "python" / "doctor.py"
    if not script.is_file():
        return "doctor is not part of this installation\n"
    try:
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, str(script), "--root", str(workspace()), "--json"],
            capture_output=True,
            text=True,
            timeout=60.0,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "doctor did not end within 60 s\n"
    return done.stdout + done.stderr


def _packages() -> str:
    found = {str(d.metadata["Name"]): d.version for d in metadata.distributions()}
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))


def _graph(state: RunState, seconds: float) -> dict[str, Any]:
    """Health, nodes and topics of a running box."""
    import rclpy  # noqa: PLC0415 - only a running box needs ROS
    from diagnostic_msgs.msg import DiagnosticArray  # noqa: PLC0415
    from rclpy.signals import SignalHandlerOptions  # noqa: PLC0415

    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = rclpy.Context()
    rclpy.init(
        args=["--ros-args", "--disable-external-lib-logs", "--log-level", "fatal"],
        context=context,
        domain_id=state.domain,
        signal_handler_options=SignalHandlerOptions.NO,
    )
    health: dict[str, dict[str, Any]] = {}

    def heard(message: Any) -> None:
        for status in message.status:
            level = status.level[0] if isinstance(status.level, bytes) else status.level
            health[status.name] = {
                "level": _LEVELS.get(level, str(level)),
                "message": status.message,
                "values": {pair.key: pair.value for pair in status.values},
            }

    try:
        node = rclpy.create_node("support_bundle", context=context, enable_rosout=False)
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(node)
        node.create_subscription(DiagnosticArray, "/diagnostics", heard, 100)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=0.2)
        told = {
            "diagnostics": health,
            "nodes": sorted(
                f"{ns.rstrip('/')}/{n}" for n, ns in node.get_node_names_and_namespaces()
            ),
            "topics": dict(node.get_topic_names_and_types()),
        }
        executor.shutdown()
        node.destroy_node()
        return told
    finally:
        context.try_shutdown()


def _secrets(inventory: Inventory, environment: Mapping[str, str]) -> Iterable[str]:
    """The values that are secret here, whatever text they turn up in."""
    with contextlib.suppress(SettingsError):
        yield read_file(env_file(environment)).get(PASSWORD, ("", 0))[0]
    for name, value in environment.items():
        if any(word in name.upper() for word in ("PASSW", "SECRET", "TOKEN", "CREDENTIAL")):
            yield value
    for path in inventory.of("accounts"):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            for account in json.loads(path.read_text(encoding="utf-8"))["accounts"]:
                text = str(account["password_hash"])
                yield text
                yield from (part for part in text.split("$")[-2:] if len(part) >= 8)


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LOG_END))
        text = file.read().decode(errors="replace")
    # A line that was cut in two may show half of a secret without its name.
    return text if size <= _LOG_END else text.partition("\n")[2]


def collect(
    where: Places,
    inventory: Inventory,
    seconds: float,
    environment: Mapping[str, str] = os.environ,
) -> tuple[dict[str, str], int]:
    """The bundle's files by name, without secrets, and how many were taken out."""
    files: dict[str, str] = {}
    state = running(where)
    files["versions.json"] = json.dumps(versions(), indent=1)
    files["packages.txt"] = _packages()
    files["doctor.json"] = _doctor()
    shown = {k: v for k, v in sorted(environment.items()) if k.startswith(_SHOWN)}
    files["environment.txt"] = "".join(f"{k}={v}\n" for k, v in shown.items())
    files["box.json"] = json.dumps(
        {
            "running": state is not None,
            "namespace": inventory.namespace,
            "settings": inventory.values,
            "files": [
                {"kind": i.kind, "path": str(i.path), "bytes": i.path.stat().st_size}
                for i in inventory.items
                if i.path.is_file()
            ],
            "absent": dict(inventory.absent),
        },
        indent=1,
    )
    if state is not None:
        files["graph.json"] = json.dumps(_graph(state, seconds), indent=1)
    for kind in ("parameters", "environment"):
        for path in inventory.of(kind):
            files[f"{kind}/{path.name.lstrip('.')}"] = path.read_text("utf-8", errors="replace")
    for path in (where.run / "overrides.yaml", where.run / "state.json"):
        if path.is_file():
            files[f"run/{path.name}"] = path.read_text("utf-8", errors="replace")
    for path in inventory.of("logs"):
        with contextlib.suppress(FileNotFoundError):
            files[f"logs/{path.name}"] = _end_of(path)
    redact = Redactor(_secrets(inventory, environment))
    return {redact(name): redact(text) for name, text in files.items()}, redact.count


def write(target: Path, files: Mapping[str, str]) -> None:
    """Write the bundle, readable by its owner alone.

    Raises:
        BundleError: it cannot be written; nothing is left behind.
    """
    if target.exists():
        raise BundleError(f"{target} is there already: give the bundle another name")
    part = target.with_name(target.name + ".part")
    top = target.name.removesuffix(".gz").removesuffix(".tar")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with (
            os.fdopen(descriptor, "wb") as raw,
            tarfile.open(fileobj=raw, mode="w:gz") as tar,
        ):
            for name, text in sorted(files.items()):
                content = text.encode()
                member = tarfile.TarInfo(f"{top}/{name}")
                member.size, member.mode = len(content), 0o600
                member.mtime = int(time.time())
                tar.addfile(member, io.BytesIO(content))
        part.rename(target)
    except OSError as error:
        raise BundleError(f"cannot write {target}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(argv)
    name = time.strftime("thebox-support-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime())
    target = (options.bundle or Path(name)).absolute()
    where = places()
    state = read_state(where)
    try:
        inventory = take(
            where,
            config=options.config,
            namespace=state.namespace if state is not None else NAMESPACE,
        )
    except SettingsError as error:
        if options.config is not None and not options.config.is_file():
            print(f"support-bundle: {error}", file=sys.stderr)
            return 2
        # A broken file is what help is asked for: the rest goes along, and why it is broken.
        print(f"support-bundle: {error}", file=sys.stderr)
        inventory = take(where, environment={}, namespace=NAMESPACE)
        inventory = Inventory(
            inventory.items, {**inventory.absent, "parameters": str(error)}, inventory.values
        )
    try:
        files, count = collect(where, inventory, options.seconds)
        write(target, files)
    except BundleError as error:
        print(f"support-bundle: {error}", file=sys.stderr)
        return 1
    report = {"bundle": str(target), "files": sorted(files), "redacted": count}
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        print(
            f"{target}: {len(files)} files, {count} secrets replaced by {MARK}\n"
            "Look through it before you send it: what only you know to be secret, it cannot know."
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
