# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox restore``: a backup put back, whole or not at all.

Everything is verified, unpacked beside its place and checked before the first file is moved. The
moves are written down first: a restore that was killed among them is undone by the next command.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from thebox_bringup.settings import (
    SettingsError,
    check_file,
    migrate_text,
)
from thebox_bringup.supervision import (
    Places,
    SupervisionError,
    left_over,
    places,
    read_state,
    starting,
    stop_run,
)
from thebox_bringup.upkeep import archive
from thebox_bringup.upkeep.archive import ArchiveError, Entry, Manifest, Reader, sync_folder
from thebox_bringup.upkeep.inventory import KINDS, workspace
from thebox_fusion.dronedb.schema import VERSION, NewerSchemaError, migrate, version_of
from thebox_webui.accounts import AccountsError, load_accounts

__all__ = ["main", "parser", "recover", "restore"]

#: What is not put back unless it is asked for: it would hide what happened since.
_NOT_BY_ITSELF = ("logs", "recordings")


@dataclass(frozen=True)
class Move:
    """One file that takes another's place.

    Attributes:
        target: the place.
        staged: the new file, beside it; empty when the place is only to be cleared.
        kept: where the present file goes; empty when there is none.
    """

    target: str
    staged: str
    kept: str


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox restore",
        description="Put a backup back: everything is verified first, and what is there now is "
        "kept beside it as <name>.before-restore-<time>. Older databases and parameter files are "
        "brought to this release's form.",
        epilog="exit codes: 0 restored (or sound, with --dry-run); 1 not restored, nothing was "
        "changed; 2 something given is wrong",
    )
    made.add_argument("archive", type=Path, help="what ./thebox backup wrote")
    made.add_argument(
        "--only", metavar="A,B", help=f"of {', '.join(KINDS)}; default all but logs, recordings"
    )
    made.add_argument("--into", type=Path, metavar="FOLDER", help="unpack into a folder instead")
    made.add_argument("--dry-run", action="store_true", help="verify, and say what would be done")
    made.add_argument("--force", action="store_true", help="stop a box that runs")
    made.add_argument("--json", action="store_true", help="the outcome as JSON")
    return made


# Places -----------------------------------------------------------------------------------------


def target_of(entry: Entry, where: Places) -> Path:
    """Where a file belongs on this machine."""
    roots = {
        "run": where.run,
        "data": where.data,
        "log": where.log,
        "workspace": workspace(),
        "home": Path.home(),
    }
    if entry.base and entry.base not in roots:
        raise ArchiveError(f"{entry.path} is relative to '{entry.base}', which is no place here")
    path = roots[entry.base] / entry.path if entry.base else Path(entry.path)
    if not path.is_absolute():
        raise ArchiveError(f"{entry.path} is no absolute path: this is no sound backup")
    return path


def _journal(where: Places) -> Path:
    return where.data.parent / "restore.json"


def recover(where: Places) -> bool:
    """Undo a restore that was killed among its moves; return whether there was one.

    Raises:
        ArchiveError: it cannot be undone; the text says what to move by hand.
    """
    journal = _journal(where)
    try:
        moves = [Move(**move) for move in json.loads(journal.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError) as error:
        raise ArchiveError(
            f"{journal} cannot be read ({error}): look at it, then remove it"
        ) from None
    _undo(moves)
    journal.unlink()
    print("an interrupted restore was undone: the box is as it was before it", file=sys.stderr)
    return True


def _undo(moves: Sequence[Move]) -> None:
    for move in reversed(moves):
        target, staged, kept = Path(move.target), Path(move.staged), Path(move.kept)
        try:
            if move.kept and kept.exists():
                kept.replace(target)
            elif move.staged and not move.kept and not staged.exists():
                # Nothing was there before, and the new file has taken the place.
                target.unlink(missing_ok=True)
            if move.staged:
                staged.unlink(missing_ok=True)
        except OSError as error:
            raise ArchiveError(
                f"cannot put {target} back ({error.strerror}): move {kept} there by hand"
            ) from None


def _swap(moves: Sequence[Move], where: Places) -> None:
    journal = _journal(where)
    journal.parent.mkdir(parents=True, exist_ok=True)
    part = journal.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump([asdict(move) for move in moves], file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(journal)
    sync_folder(journal.parent)
    try:
        for move in moves:
            if move.kept:
                Path(move.target).rename(move.kept)
            if move.staged:
                Path(move.staged).rename(move.target)
        for folder in {Path(move.target).parent for move in moves}:
            sync_folder(folder)
    except OSError as error:
        _undo(moves)
        journal.unlink(missing_ok=True)
        raise ArchiveError(
            f"cannot move {error.filename}: {error.strerror}; everything is as it was"
        ) from None
    journal.unlink()


# Checks -----------------------------------------------------------------------------------------


def _database(path: Path) -> str:
    """Check an unpacked database and bring it to this release's schema; say what was done."""
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            found = version_of(connection)
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise ArchiveError(f"the database in the backup is damaged: {verdict}")
            migrate(connection)
    except NewerSchemaError as error:
        raise ArchiveError(f"the backup's database does not fit: {error}") from None
    except sqlite3.Error as error:
        raise ArchiveError(f"the database in the backup cannot be opened: {error}") from None
    return f"migrated from schema {found} to {VERSION}" if found < VERSION else ""


def _parameters(path: Path, namespace: str) -> str:
    """Check an unpacked parameter file and bring it to this release's form."""
    text = path.read_text(encoding="utf-8")
    try:
        new, changes = migrate_text(text, path)
        if changes:
            path.write_text(new, encoding="utf-8")
        check_file(path, namespace)
    except SettingsError as error:
        told = str(error).replace(str(path), "the backup's parameter file")
        raise ArchiveError(
            f"{told}\nThis release cannot use it: mend a copy (restore --into FOLDER unpacks it), "
            "or restore the rest with --only"
        ) from None
    return "; ".join(changes)


def _check(entry: Entry, staged: Path, manifest: Manifest) -> str:
    if entry.kind == "database":
        return _database(staged)
    if entry.kind == "parameters":
        return _parameters(staged, manifest.namespace)
    if entry.kind == "accounts":
        try:
            load_accounts(staged)
        except AccountsError as error:
            raise ArchiveError(f"the backup's users cannot be used: {error}") from None
    return ""


# Restoring --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _alone(where: Places, databases: Sequence[Path], force: bool) -> Iterator[int]:
    """Keep every box away from the files meanwhile; yields how many processes were stopped."""
    state = read_state(where)
    left = left_over(state.run_id) if state is not None else []
    if left and not force:
        raise ArchiveError(
            f"the box runs here ({len(left)} processes): ./thebox down first, or --force"
        )
    with starting(where), contextlib.ExitStack() as held:
        if state is not None and left:
            stop_run(state)
        recover(where)
        for path in databases:
            if path.parent.is_dir():
                lock = held.enter_context(Path(f"{path}.lock").open("a", encoding="utf-8"))
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise ArchiveError(
                        f"another program writes {path} (a box under ros2 launch or systemd?): "
                        "stop it first"
                    ) from None
        yield len(left)


def _wanted(entry: Entry, only: Sequence[str] | None) -> bool:
    return entry.kind not in _NOT_BY_ITSELF if only is None else entry.kind in only


def _moves(
    wanted: Sequence[Entry],
    targets: Mapping[str, Path],
    staged: Mapping[str, Path],
    manifest: Manifest,
    done: list[dict[str, str]],
) -> list[Move]:
    """Check what was unpacked; return the moves that put it in its place, and tell them."""
    mark = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    moves: list[Move] = []
    for entry in wanted:
        target = targets[entry.name]
        note = _check(entry, staged[entry.name], manifest)
        place = target.with_name(f"{target.name}.before-restore-{mark}")
        kept = str(place) if target.exists() else ""
        moves.append(Move(str(target), str(staged[entry.name]), kept))
        if entry.kind == "database":
            # A log of the old database must not be played into the new one.
            for suffix in ("-wal", "-shm"):
                beside = Path(f"{target}{suffix}")
                if beside.exists():
                    moves.append(Move(str(beside), "", f"{place}{suffix}"))
        done.append({"kind": entry.kind, "path": str(target), "kept": kept, "note": note})
    return moves


def restore(
    path: Path,
    where: Places,
    *,
    only: Sequence[str] | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> dict[str, object]:
    """Put a backup back; return what was done.

    Raises:
        ArchiveError: it was not; everything is as it was.
        SupervisionError: a running box cannot be stopped, or is being started.
    """
    manifest = archive.verify(path)
    wanted = [entry for entry in manifest.entries if _wanted(entry, only)]
    if not wanted:
        raise ArchiveError(f"{path} holds nothing of {', '.join(only or KINDS)}")
    targets = {entry.name: target_of(entry, where) for entry in wanted}
    if len(set(targets.values())) != len(targets):
        raise ArchiveError(f"{path} names one place twice: this is no sound backup")
    databases = [targets[entry.name] for entry in wanted if entry.kind == "database"]
    token = uuid.uuid4().hex[:8]
    done: list[dict[str, str]] = []
    staged: dict[str, Path] = {}
    stopped = 0
    with contextlib.ExitStack() as alone:
        trial: Path | None = None
        if dry_run:
            trial = Path(alone.enter_context(tempfile.TemporaryDirectory()))
        else:
            stopped = alone.enter_context(_alone(where, databases, force))
        try:
            _space(wanted, targets)
            for entry in wanted:
                target = targets[entry.name]
                if trial is None:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    staged[entry.name] = target.with_name(f".{target.name}.restoring-{token}")
                else:
                    staged[entry.name] = trial / Path(entry.name).name
            Reader(path).read(lambda entry: staged.get(entry.name))
            moves = _moves(wanted, targets, staged, manifest, done)
            if not dry_run:
                _swap(moves, where)
        except OSError as error:
            raise ArchiveError(
                f"cannot unpack: {error.filename}: {error.strerror}; everything is as it was"
            ) from None
        finally:
            for file in staged.values():
                for suffix in ("", "-journal", "-wal", "-shm"):
                    with contextlib.suppress(OSError):
                        Path(f"{file}{suffix}").unlink(missing_ok=True)
    return {
        "archive": str(path),
        "made": manifest.made,
        "restored": not dry_run,
        "stopped": stopped,
        "files": done,
    }


def _space(wanted: Sequence[Entry], targets: dict[str, Path]) -> None:
    needed: dict[int, int] = {}
    folders: dict[int, Path] = {}
    for entry in wanted:
        folder = targets[entry.name].parent
        while not folder.is_dir():
            folder = folder.parent
        device = folder.stat().st_dev
        needed[device] = needed.get(device, 0) + entry.bytes
        folders[device] = folder
    for device, amount in needed.items():
        free = shutil.disk_usage(folders[device]).free
        # A migration writes its pages twice.
        if free < 2 * amount + (16 << 20):
            raise ArchiveError(
                f"the disk of {folders[device]} has {free >> 20} MB free, the restore may need "
                f"{(2 * amount >> 20) + 16}: free some first"
            )


def unpack(path: Path, folder: Path, only: Sequence[str] | None) -> dict[str, object]:
    """Unpack a backup into a new folder, a sub-folder for each kind.

    Raises:
        ArchiveError: the archive is not sound, or the folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ArchiveError(f"{folder} is not empty: name a new folder")
    archive.verify(path)
    done: list[dict[str, str]] = []

    def place(entry: Entry) -> Path | None:
        if only is not None and entry.kind not in only:
            return None
        target = folder / entry.kind / Path(entry.path).name
        number = 1
        while target.exists():
            number += 1
            target = folder / entry.kind / f"{number}-{Path(entry.path).name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        done.append({"kind": entry.kind, "path": str(target), "kept": "", "note": ""})
        return target

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    manifest = Reader(path).read(place)
    return {"archive": str(path), "made": manifest.made, "restored": True, "files": done}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(argv)
    only = None
    if options.only is not None:
        only = [part.strip() for part in options.only.split(",") if part.strip()]
        unknown = [part for part in only if part not in KINDS]
        if unknown or not only:
            parser().error(f"--only {options.only}: the kinds are {', '.join(KINDS)}")
    if not options.archive.is_file():
        parser().error(f"{options.archive}: no such file")
    try:
        if options.into is not None:
            told = unpack(options.archive, options.into.absolute(), only)
        else:
            told = restore(
                options.archive.absolute(),
                places(),
                only=only,
                force=options.force,
                dry_run=options.dry_run,
            )
    except (ArchiveError, SupervisionError) as error:
        print(f"restore: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(told, indent=1))
        return 0
    print(("restored" if told["restored"] else "sound, nothing changed") + f": {told['archive']}")
    files = told["files"]
    assert isinstance(files, list)  # noqa: S101 - narrows the type for mypy
    for one in files:
        kept = f"  (before: {one['kept']})" if one["kept"] else ""
        print(f"  {one['kind']:<14}{one['path']}{kept}  {one['note']}".rstrip())
    if told.get("stopped"):
        print("The box was stopped for it: start it with ./thebox up")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
