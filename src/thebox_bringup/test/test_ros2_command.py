# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``ros2 thebox``: the same commands as ``./thebox``, handed on word by word.

Where ros2cli is not installed (no wheel has it) its base class is stood in for: what is tested then
is our class, not ros2cli's loading of it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from thebox_bringup import commands
from thebox_bringup.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch) -> Any:
    if importlib.util.find_spec("ros2cli") is None:
        package, module = types.ModuleType("ros2cli"), types.ModuleType("ros2cli.command")
        module.CommandExtension = type("CommandExtension", (), {})  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "ros2cli", package)
        monkeypatch.setitem(sys.modules, "ros2cli.command", module)
    # Through the entry point, as ros2cli finds it.
    told = (ROOT / "src/thebox_bringup/setup.py").read_text(encoding="utf-8")
    match = re.search(r'"ros2cli.command": \[\s*"thebox = ([\w.]+):(\w+)"', told)
    assert match is not None
    monkeypatch.delitem(sys.modules, match.group(1), raising=False)
    return getattr(importlib.import_module(match.group(1)), match.group(2))()


def parser_of(extension: Any) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="ros2 thebox")
    extension.add_arguments(made, "ros2 thebox", argv=None)
    return made


def test_the_same_commands_as_the_workspaces_own() -> None:
    script = (ROOT / "scripts/lib/commands.sh").read_text(encoding="utf-8")
    listed = re.search(r"OPERATOR_COMMANDS=\(\n(.*?)\n\)", script, re.DOTALL)
    assert listed is not None
    own = dict(re.findall(r"\[([\w-]+)\]=([\w.]+)", listed.group(1)))
    here = {name: module for name, (module, _) in COMMANDS.items()}
    assert here == {**own, "up": "thebox_bringup.up", "down": "thebox_bringup.down"}
    for name in own:
        assert re.search(rf"^  {name}\b", script, re.MULTILINE), f"{name} is not in the help"


def test_every_command_is_there() -> None:
    for name, (module, _) in COMMANDS.items():
        found = importlib.util.find_spec(module)
        assert found is not None, name
        assert found.origin is not None
        assert re.search(r"^def main\(argv", Path(found.origin).read_text(), re.MULTILINE), name


def test_arguments_are_handed_on_as_they_are(
    extension: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[list[str]] = []
    module = types.ModuleType("spoken_to")
    module.main = lambda argv: heard.append(argv) or 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spoken_to", module)
    monkeypatch.setitem(commands.COMMANDS, "perf", ("spoken_to", "listens"))
    made = parser_of(extension)
    for words in (["--json", "--seconds", "3"], ["--help"], [], ["a", "--", "-x"]):
        told = made.parse_args(["perf", *words])
        assert extension.main(parser=made, args=told) == 3
        assert heard[-1] == words


def test_help_tells_every_command_and_a_wrong_one_is_refused(
    extension: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    made = parser_of(extension)
    told = made.format_help()
    for name, (_, purpose) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(purpose)}$", told, re.MULTILINE), name
    with pytest.raises(SystemExit) as ended:
        made.parse_args(["fly"])
    assert ended.value.code == 2
    assert "fly" in capsys.readouterr().err
