# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""One archive with a manifest: written whole or not at all, verified byte for byte. No ROS.

A gzipped tar whose first member is ``manifest.json``; each further one is a file that the
manifest names with its size and SHA-256.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

__all__ = ["FORMAT", "ArchiveError", "Entry", "Manifest", "Reader", "digest", "verify", "write"]

#: Version of the archive's layout.
FORMAT = 1
MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_LARGEST_MANIFEST = 64 << 20
_NAME = re.compile(r"files/\d{5}")


class ArchiveError(Exception):
    """An archive that cannot be written or used; the text says why and what to do."""


@dataclass(frozen=True)
class Entry:
    """One file of an archive.

    Attributes:
        name: of the member.
        kind: as in :data:`thebox_bringup.upkeep.inventory.KINDS`.
        base: what ``path`` is relative to: run, data, log, workspace, home; empty: absolute.
        path: where it was.
        bytes: its size.
        sha256: of its content, in hexadecimal.
        mode: permission bits.
    """

    name: str
    kind: str
    base: str
    path: str
    bytes: int
    sha256: str
    mode: int


@dataclass(frozen=True)
class Manifest:
    """What an archive holds, and what made it.

    Attributes:
        format: of the archive.
        made: UTC time, ISO 8601.
        namespace: of the box.
        versions: of the release and of what it ran on.
        schema: versions of the database's and the parameter file's layout.
        entries: its files.
    """

    format: int
    made: str
    namespace: str
    versions: Mapping[str, str]
    schema: Mapping[str, int]
    entries: tuple[Entry, ...]

    def as_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read a manifest.

        Raises:
            ArchiveError: it is none, or one of a newer release.
        """
        try:
            told = json.loads(text)
            if told["format"] > FORMAT:
                raise ArchiveError(
                    f"the archive has format {told['format']}, this release knows {FORMAT}: "
                    "restore it with the release that wrote it, or a newer one"
                )
            entries = tuple(Entry(**entry) for entry in told.pop("entries"))
            manifest = cls(entries=entries, **told)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArchiveError(
                f"the manifest cannot be read ({error}): this is no backup"
            ) from None
        for entry in entries:
            if not _NAME.fullmatch(entry.name) or ".." in Path(entry.path).parts:
                raise ArchiveError(f"the manifest names '{entry.path}': this is no sound backup")
        if len({entry.name for entry in entries}) != len(entries):
            raise ArchiveError("the manifest names a file twice: this is no sound backup")
        return manifest


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return _copy(file, None)[1]


def _copy(source: IO[bytes], target: IO[bytes] | None) -> tuple[int, str]:
    summed = hashlib.sha256()
    total = 0
    while chunk := source.read(_CHUNK):
        summed.update(chunk)
        total += len(chunk)
        if target is not None:
            target.write(chunk)
    return total, summed.hexdigest()


def write(target: Path, manifest: Manifest, files: Sequence[Path]) -> None:
    """Write an archive of ``files``, in the order of the manifest's entries, and verify it.

    It has its name only once it is whole and verified; only its owner may read it.

    Raises:
        ArchiveError: it cannot be written, or does not verify; nothing is left behind.
    """
    if target.exists():
        raise ArchiveError(f"{target} is there already: give the backup another name")
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as raw:
            with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=6) as tar:
                _add(tar, MANIFEST, io.BytesIO(manifest.as_json().encode()), None)
                for entry, path in zip(manifest.entries, files, strict=True):
                    with path.open("rb") as file:
                        _add(tar, entry.name, file, entry.bytes)
            raw.flush()
            os.fsync(raw.fileno())
        verify(part)
        part.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise ArchiveError(f"cannot write {target}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, name: str, file: IO[bytes], size: int | None) -> None:
    member = tarfile.TarInfo(name)
    member.mode = 0o600
    member.size = len(file.read()) if size is None else size
    if size is None:
        file.seek(0)
    tar.addfile(member, file)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Reader:
    """Reads an archive once, from front to end, and believes nothing of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, take: Callable[[Entry], Path | None]) -> Manifest:
        """Check every byte; write each file that ``take`` names a path for.

        Raises:
            ArchiveError: the archive is damaged, incomplete or none.
        """
        try:
            with tarfile.open(self.path, mode="r|gz") as tar:
                first = tar.next()
                if first is None or first.name != MANIFEST or first.size > _LARGEST_MANIFEST:
                    raise ArchiveError(f"{self.path} has no manifest: this is no backup of a box")
                manifest = Manifest.from_json(_content(tar, first).read().decode())
                missing = {entry.name: entry for entry in manifest.entries}
                while (member := tar.next()) is not None:
                    entry = missing.pop(member.name, None)
                    if entry is None or not member.isreg():
                        raise ArchiveError(
                            f"{self.path}: {member.name} is not in its manifest; "
                            "take another backup"
                        )
                    self._one(_content(tar, member), entry, take(entry))
            if missing:
                raise ArchiveError(
                    f"{self.path} lacks {len(missing)} of its files, such as "
                    f"{next(iter(missing.values())).path}: take another backup"
                )
        except FileNotFoundError:
            raise ArchiveError(f"{self.path}: no such file") from None
        except (tarfile.TarError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise ArchiveError(
                f"{self.path} is damaged or no backup ({error}): take another backup"
            ) from None
        except OSError as error:
            named = f" {error.filename}" if error.filename else ""
            raise ArchiveError(
                f"{self.path} cannot be read or unpacked:{named} {error.strerror or error}"
            ) from None
        return manifest

    def _one(self, source: IO[bytes], entry: Entry, target: Path | None) -> None:
        if target is None:
            found = _copy(source, None)
        else:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                found = _copy(source, file)
                file.flush()
                os.fchmod(file.fileno(), entry.mode & 0o777)
                os.fsync(file.fileno())
        if found != (entry.bytes, entry.sha256):
            raise ArchiveError(
                f"{self.path}: {entry.path} is not what the manifest says "
                f"({found[0]} bytes, {entry.bytes} expected): take another backup"
            )


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    if file is None:
        raise ArchiveError(f"{member.name} is no file: this is no backup of a box")
    return file


def verify(path: Path) -> Manifest:
    """Check every byte of an archive against its manifest.

    Raises:
        ArchiveError: it is not sound.
    """
    return Reader(path).read(lambda entry: None)


def as_report(manifest: Manifest) -> dict[str, Any]:
    """Files and bytes by kind, for the operator."""
    kinds: dict[str, dict[str, int]] = {}
    for entry in manifest.entries:
        told = kinds.setdefault(entry.kind, {"files": 0, "bytes": 0})
        told["files"] += 1
        told["bytes"] += entry.bytes
    return kinds
