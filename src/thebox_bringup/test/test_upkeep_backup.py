# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="no ROS here: run through ./thebox test")

from thebox_bringup.supervision import Places
from thebox_bringup.upkeep import archive, backup, restore
from thebox_bringup.upkeep.archive import ArchiveError
from thebox_bringup.upkeep.inventory import take
from thebox_fusion.dronedb.schema import APPLICATION_ID, MIGRATIONS, VERSION, migrate, version_of
from thebox_webui.accounts import Account, hash_password, load_accounts, save_accounts


def database(path: Path, zone: str, version: int = VERSION) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(path, isolation_level=None) as connection:
        if version == VERSION:
            migrate(connection)
        else:
            for step in MIGRATIONS[:version]:
                connection.executescript(step)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {version}")
        connection.execute(
            "INSERT INTO zones VALUES (?, 1, 'harbour', '[]', NULL, NULL, 1)", (zone,)
        )
    connection.close()


def zones(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        found = [row[0] for row in connection.execute("SELECT id FROM zones")]
    connection.close()
    return found


class Box:
    """The files of a box that does not run."""

    def __init__(self, folder: Path) -> None:
        self.where = Places(folder / "run", folder / "log")
        self.where.run.mkdir(parents=True)
        self.where.log.mkdir()
        self.config = folder / "site.yaml"
        self.accounts = folder / "accounts.json"
        self.env = folder / "site.env"
        self.database = self.where.data / "dronedb.sqlite"
        self.config.write_text(
            "# thebox-format: 2\n"
            f"/**/panel: {{ros__parameters: {{accounts_file: {self.accounts}}}}}\n"
        )
        save_accounts(self.accounts, {"anna": Account("anna", "operator", hash_password("x" * 9))})
        self.env.write_text("ROS_DOMAIN_ID=7\n")
        database(self.database, "first")
        (self.where.log / "fusion.log").write_text("a line\n")
        self.environment = {"THEBOX_ENV_FILE": str(self.env), "THEBOX_CONFIG": str(self.config)}

    def back_up(self, target: Path, without: tuple[str, ...] = ()) -> archive.Manifest:
        inventory = take(self.where, environment=self.environment)
        return backup.back_up_box(target, self.where, inventory, without)[0]

    def files(self) -> dict[str, bytes]:
        paths = (self.config, self.accounts, self.env, self.database)
        return {str(path): path.read_bytes() for path in paths if path.exists()}

    def others(self) -> list[Path]:
        return [
            path
            for path in self.where.run.parent.rglob("*")
            if ".before-restore-" in path.name or ".restoring-" in path.name
        ]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path / "box")


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Copy an archive, each member as ``change`` returns it."""
    with tarfile.open(source) as old, tarfile.open(target, "w:gz") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            text = change(member.name, content.read())
            if text is not None:
                info = tarfile.TarInfo(member.name)
                info.size = len(text)
                new.addfile(info, io.BytesIO(text))
    return target


def test_backup_and_restore_bring_everything_back_and_keep_what_was_there(
    box: Box, tmp_path: Path
) -> None:
    target = tmp_path / "out" / "one.tar.gz"
    manifest = box.back_up(target)
    assert target.stat().st_mode & 0o777 == 0o600
    assert {entry.kind for entry in manifest.entries} == {
        "parameters",
        "environment",
        "accounts",
        "database",
        "logs",
    }
    assert manifest.schema == {"database": VERSION, "parameters": 2}
    assert archive.verify(target) == manifest
    assert sorted(path.name for path in target.parent.iterdir()) == ["one.tar.gz"]
    before = box.files()

    box.config.write_text("changed: 1\n")
    box.accounts.unlink()
    box.env.write_text("ROS_DOMAIN_ID=8\n")
    box.database.unlink()
    database(box.database, "second")
    Path(f"{box.database}-wal").write_bytes(b"log of the other database")

    told = restore.restore(target, box.where)
    assert told["restored"] is True
    after = box.files()
    assert zones(box.database) == ["first"]
    assert not Path(f"{box.database}-wal").exists()
    for path in (box.config, box.accounts, box.env):
        assert after[str(path)] == before[str(path)]
    assert load_accounts(box.accounts).keys() == {"anna"}
    kept = {path.name.partition(".before-restore-")[0]: path for path in box.others()}
    assert kept["site.yaml"].read_text() == "changed: 1\n"
    assert {path.name for path in box.others() if path.name.endswith("-wal")} != set()


@pytest.mark.parametrize("where", ["content", "manifest", "missing", "added", "cut", "none"])
def test_damaged_archive_changes_nothing(box: Box, tmp_path: Path, where: str) -> None:
    good = tmp_path / "good.tar.gz"
    box.back_up(good)
    bad = tmp_path / "bad.tar.gz"

    def change(name: str, content: bytes) -> bytes | None:
        if where == "content" and name == "files/00001":
            return b"#" + content[1:]
        if where == "manifest" and name == "manifest.json":
            return content.replace(b'"sha256": "', b'"sha256": "00')
        if where == "missing" and name == "files/00002":
            return None
        return content

    rewritten(good, bad, change)
    if where == "added":
        rewritten(good, bad, lambda name, content: content)
        with tarfile.open(good) as old, tarfile.open(bad, "w:gz") as new:
            for member in old:
                new.addfile(member, old.extractfile(member))
            info = tarfile.TarInfo("../../escape")
            new.addfile(info, io.BytesIO())
    elif where == "cut":
        bad.write_bytes(good.read_bytes()[:-400])
    elif where == "none":
        bad.write_bytes(b"no archive at all")
    before = box.files()
    with pytest.raises(ArchiveError, match=r"take another backup|this is no backup"):
        restore.restore(bad, box.where)
    assert box.files() == before
    assert box.others() == []


def test_manifest_that_leads_out_is_refused(box: Box, tmp_path: Path) -> None:
    good = tmp_path / "good.tar.gz"
    box.back_up(good)

    def climb(name: str, content: bytes) -> bytes:
        if name != "manifest.json":
            return content
        told = json.loads(content)
        told["entries"][0]["path"] = "../../../etc/passwd"
        return json.dumps(told).encode()

    with pytest.raises(ArchiveError, match="no sound backup"):
        restore.restore(rewritten(good, tmp_path / "bad.tar.gz", climb), box.where)


def test_older_database_and_parameter_file_are_migrated(box: Box, tmp_path: Path) -> None:
    box.database.unlink()
    database(box.database, "old", version=1)
    box.config.write_text("/**/fusion:\n  ros__parameters:\n    tracker.object_size: 0.6\n")
    target = tmp_path / "old.tar.gz"
    box.back_up(target)
    told = restore.restore(target, box.where)
    notes = {one["kind"]: one["note"] for one in told["files"]}  # type: ignore[attr-defined]
    assert notes["database"] == f"migrated from schema 1 to {VERSION}"
    assert "fusion.tracker.object_size is range.object_size now" in notes["parameters"]
    with sqlite3.connect(box.database) as connection:
        assert version_of(connection) == VERSION
    connection.close()
    assert zones(box.database) == ["old"]
    assert "/**/range" in box.config.read_text()


@pytest.mark.parametrize("what", ["database", "format", "parameters"])
def test_what_a_newer_release_wrote_is_refused_with_what_to_do(
    box: Box, tmp_path: Path, what: str
) -> None:
    target = tmp_path / "new.tar.gz"
    if what == "database":
        with sqlite3.connect(box.database) as connection:
            connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        connection.close()
    elif what == "parameters":
        box.config.write_text(box.config.read_text().replace("format: 2", "format: 99"))
        # What it names may be read for the inventory only by the release that wrote it.
        box.environment.pop("THEBOX_CONFIG")
    if what == "parameters":
        with pytest.raises(Exception, match="use the release that wrote it"):
            take(box.where, config=box.config, environment=box.environment)
        return
    box.back_up(target)
    if what == "format":
        target = rewritten(
            target,
            tmp_path / "newer.tar.gz",
            lambda name, content: (
                content.replace(b'"format": 1', b'"format": 2')
                if name == "manifest.json"
                else content
            ),
        )
    before = box.files()
    with pytest.raises(ArchiveError, match="release"):
        restore.restore(target, box.where)
    assert box.files() == before
    assert box.others() == []


def test_restore_killed_at_any_move_is_undone_by_the_next_command(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "one.tar.gz"
    box.back_up(target, without=("logs",))
    box.env.unlink()
    box.config.write_text("/**/fusion: {ros__parameters: {}}\n")
    before = box.files()

    class Killed(BaseException):
        pass

    moves_in_all = 0
    for fatal in range(100):
        rename, seen = Path.rename, [0]

        def dies(
            self: Path,
            to: str | Path,
            seen: list[int] = seen,
            fatal: int = fatal,
            rename: Callable[[Path, str | Path], Path] = rename,
        ) -> Path:
            if seen[0] == fatal:
                raise Killed
            seen[0] += 1
            return rename(self, to)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", dies)
            # A killed process tidies nothing.
            patched.setattr(Path, "unlink", lambda self, missing_ok=False: None)
            try:
                restore.restore(target, box.where)
            except Killed:
                pass
            else:
                moves_in_all = fatal
                break
        assert restore.recover(box.where) is True
        assert box.files() == before, f"after a kill at move {fatal}"
        assert restore.recover(box.where) is False
    assert moves_in_all >= 7


def test_restore_that_cannot_move_puts_back(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "one.tar.gz"
    box.back_up(target)
    before = box.files()
    rename = Path.rename

    def refuses(self: Path, to: str | Path) -> Path:
        if str(to) == str(box.database):
            raise OSError(28, "No space left on device", str(to))
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuses)
    with pytest.raises(ArchiveError, match="everything is as it was"):
        restore.restore(target, box.where)
    monkeypatch.undo()
    assert box.files() == before
    assert box.others() == []
    assert restore.recover(box.where) is False


def test_database_in_use_is_not_replaced(box: Box, tmp_path: Path) -> None:
    from thebox_fusion.dronedb.store import Store

    target = tmp_path / "one.tar.gz"
    box.back_up(target)
    store = Store(box.database)
    store.open()
    try:
        with pytest.raises(ArchiveError, match="stop it first"):
            restore.restore(target, box.where)
        # A copy can be made meanwhile.
        box.back_up(tmp_path / "two.tar.gz")
    finally:
        store.close()
    assert restore.restore(target, box.where)["restored"] is True


def test_dry_run_and_unpacking_leave_the_box_alone(box: Box, tmp_path: Path) -> None:
    target = tmp_path / "one.tar.gz"
    box.back_up(target)
    before = box.files()
    assert restore.restore(target, box.where, dry_run=True)["restored"] is False
    out = tmp_path / "out"
    restore.unpack(target, out, None)
    assert zones(out / "database" / "dronedb.sqlite") == ["first"]
    assert (out / "logs" / "fusion.log").read_text() == "a line\n"
    assert box.files() == before
    assert box.others() == []
    with pytest.raises(ArchiveError, match="is not empty"):
        restore.unpack(target, out, None)


def test_command_line(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**box.environment, "THEBOX_RUN_DIR": str(box.where.run)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("THEBOX_LOG_DIR", str(box.where.log))
    target = tmp_path / "one.tar.gz"
    assert backup.main([str(target), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["archive"] == str(target)
    assert told["database"] == "from the file: the box is stopped"
    assert backup.main([str(target)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert backup.main(["--verify", str(target)]) == 0
    assert "verified" in capsys.readouterr().out
    assert restore.main([str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["restored"] is True
    with pytest.raises(SystemExit) as ended:
        restore.main([str(tmp_path / "none.tar.gz")])
    assert ended.value.code == 2
    with pytest.raises(SystemExit) as ended:
        backup.main(["--without", "everything"])
    assert ended.value.code == 2
