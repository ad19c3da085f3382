# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox backup``: the box's files into one archive, while it runs or not."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from thebox_bringup.settings import FORMAT as PARAMETERS_FORMAT
from thebox_bringup.settings import SettingsError
from thebox_bringup.supervision import Places, RunState, left_over, places, read_state
from thebox_bringup.transport import stay_local
from thebox_bringup.upkeep import archive
from thebox_bringup.upkeep.archive import ArchiveError, Entry, Manifest
from thebox_bringup.upkeep.inventory import KINDS, Inventory, take, workspace
from thebox_bringup.upkeep.restore import recover
from thebox_fusion.dronedb.copies import back_up
from thebox_fusion.dronedb.errors import StoreError
from thebox_fusion.dronedb.schema import VERSION as DATABASE_VERSION

__all__ = ["back_up_box", "bases", "main", "parser", "running", "versions"]

#: How long the running database may take for its copy, seconds.
_PATIENCE = 120.0
_DISCOVERY = 8.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox backup",
        description="Write the box's parameter file, .env, users, database, models and logs into "
        "one archive, and verify it. Works while the box runs. The archive holds password hashes "
        "and what .env holds: only its owner may read it; keep it so.",
        epilog="exit codes: 0 written and verified; 1 not written; 2 something given is wrong",
    )
    made.add_argument(
        "archive", nargs="?", type=Path, help="file to write; default: thebox-<time>.tar.gz here"
    )
    made.add_argument("--config", type=Path, metavar="FILE", help="parameter file of the site")
    made.add_argument(
        "--without",
        default="recordings",
        metavar="A,B",
        help=f"leave these out; default recordings; of {', '.join(KINDS)}; '' leaves out nothing",
    )
    made.add_argument("--verify", type=Path, metavar="ARCHIVE", help="only verify an archive")
    made.add_argument("--json", action="store_true", help="the outcome as JSON")
    return made


def running(where: Places) -> RunState | None:
    """The run that is alive at ``where``."""
    state = read_state(where)
    return state if state is not None and left_over(state.run_id) else None


def bases(where: Places) -> dict[str, Path]:
    """What the paths in a manifest are relative to, the nearest first."""
    return {
        "run": where.run,
        "data": where.data,
        "log": where.log,
        "workspace": workspace(),
        "home": Path.home(),
    }


def versions() -> dict[str, str]:
    """What this release is, and what it runs on."""
    told = {
        "python": platform.python_version(),
        "ros": os.environ.get("ROS_DISTRO", ""),
        "machine": platform.machine(),
        "system": platform.platform(),
    }
    for package in ("thebox_bringup", "numpy", "onnxruntime"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            told[package] = metadata.version(package)
    return told


def _relative(path: Path, where: Places) -> tuple[str, str]:
    for name, base in bases(where).items():
        if path.is_relative_to(base):
            return name, str(path.relative_to(base))
    return "", str(path)


def _ask_node(state: RunState, target: Path) -> str:
    """Have the running database copy itself; return why it did not, empty when it did."""
    import rclpy  # noqa: PLC0415 - only a running box needs ROS
    from rclpy.signals import SignalHandlerOptions  # noqa: PLC0415

    from thebox_interfaces.srv import BackUpDatabase  # noqa: PLC0415

    stay_local()
    context = rclpy.Context()
    rclpy.init(
        args=["--ros-args", "--disable-external-lib-logs", "--log-level", "fatal"],
        context=context,
        domain_id=state.domain,
        signal_handler_options=SignalHandlerOptions.NO,
    )
    try:
        node = rclpy.create_node(
            "backup", context=context, namespace=state.namespace, enable_rosout=False
        )
        executor = rclpy.executors.SingleThreadedExecutor(context=context)
        executor.add_node(node)
        client = node.create_client(BackUpDatabase, "dronedb/back_up")
        try:
            if not client.wait_for_service(timeout_sec=_DISCOVERY):
                return "its service dronedb/back_up is not there"
            future = client.call_async(BackUpDatabase.Request(path=str(target)))
            executor.spin_until_future_complete(future, timeout_sec=_PATIENCE)
            if not future.done():
                return f"it did not answer within {_PATIENCE:.0f} s"
            answer = future.result()
            return "" if answer.success else str(answer.message)
        finally:
            executor.shutdown()
            node.destroy_node()
    finally:
        context.try_shutdown()


def _copy_database(source: Path, target: Path, state: RunState | None) -> str:
    """Copy the database; return how: by the node, or from the file."""
    why = "the box is stopped"
    if state is not None:
        why = _ask_node(state, target)
        if not why:
            return "by the running node"
        # SQLite's backup reads a file that another program writes, and never half of a change.
        target.unlink(missing_ok=True)
    try:
        back_up(source, target)
    except StoreError as error:
        raise ArchiveError(f"the database {source} cannot be copied: {error}") from None
    return f"from the file: {why}"


def back_up_box(
    target: Path, where: Places, inventory: Inventory, without: Sequence[str] = ()
) -> tuple[Manifest, str]:
    """Write and verify a backup; return its manifest and how the database was copied.

    Raises:
        ArchiveError: it cannot be written; nothing is left behind.
    """
    if target.exists():
        raise ArchiveError(f"{target} is there already: give the backup another name")
    state = running(where)
    how = "no database"
    entries: list[Entry] = []
    files: list[Path] = []
    stage: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        needed = sum(item.path.stat().st_size for item in inventory.items)
        free = shutil.disk_usage(target.parent).free
        # The copies and the archive are there together for a while.
        if free < 2 * needed + (16 << 20):
            raise ArchiveError(
                f"the disk of {target.parent} has {free >> 20} MB free, the backup may need "
                f"{(2 * needed >> 20) + 16}: free some, or write it elsewhere"
            )
        stage = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        for item in inventory.items:
            if item.kind in without:
                continue
            name = f"files/{len(entries):05d}"
            copy = stage / f"{len(entries):05d}"
            mode = item.path.stat().st_mode & 0o777
            if item.kind == "database":
                how = _copy_database(item.path, copy, state)
            else:
                try:
                    shutil.copyfile(item.path, copy)
                except FileNotFoundError:
                    # A log or a recording that was turned over in between.
                    continue
            base, path = _relative(item.path, where)
            entries.append(
                Entry(name, item.kind, base, path, copy.stat().st_size, archive.digest(copy), mode)
            )
            files.append(copy)
        manifest = Manifest(
            format=archive.FORMAT,
            made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            namespace=inventory.namespace,
            versions=versions(),
            schema={"database": DATABASE_VERSION, "parameters": PARAMETERS_FORMAT},
            entries=tuple(entries),
        )
        archive.write(target, manifest, files)
        return manifest, how
    except OSError as error:
        raise ArchiveError(
            f"cannot write {target}: {error.filename or ''} {error.strerror or error}"
        ) from None
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)


def _show(report: Mapping[str, object], manifest: Manifest) -> None:
    print(f"{report['archive']}: {report['bytes']} bytes, verified")
    for kind, told in archive.as_report(manifest).items():
        print(f"  {kind:<14}{told['files']:>5} files {told['bytes']:>12} bytes")
    absent = report.get("absent")
    if isinstance(absent, Mapping):
        for kind, looked in absent.items():
            print(f"  {kind:<14}    none ({looked})")
    if report.get("database"):
        print(f"  the database was copied {report['database']}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(argv)
    without = [part.strip() for part in options.without.split(",") if part.strip()]
    unknown = [part for part in without if part not in KINDS]
    if unknown:
        parser().error(f"--without {unknown[0]}: the kinds are {', '.join(KINDS)}")
    report: dict[str, object]
    try:
        if options.verify is not None:
            manifest = archive.verify(options.verify)
            report = {"archive": str(options.verify), "bytes": options.verify.stat().st_size}
        else:
            where = places()
            recover(where)
            state = read_state(where)
            box = {"namespace": state.namespace} if state is not None else {}
            inventory = take(where, config=options.config, **box)
            name = time.strftime("thebox-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime())
            target = (options.archive or Path(name)).absolute()
            manifest, how = back_up_box(target, where, inventory, without)
            report = {"archive": str(target), "bytes": target.stat().st_size, "database": how}
            report["absent"] = dict(inventory.absent)
    except SettingsError as error:
        print(f"backup: {error}", file=sys.stderr)
        return 2
    except ArchiveError as error:
        print(f"backup: {error}", file=sys.stderr)
        return 1
    report["manifest"] = json.loads(manifest.as_json())
    if options.json:
        print(json.dumps(report, indent=1))
    else:
        _show(report, manifest)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
