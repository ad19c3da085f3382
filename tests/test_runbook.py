# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Every command of the operations pages is run here, so that they cannot rot.

A fenced block says in its first line in which state its commands are for::

    ```sh running      a box runs
    ```sh stopped      none does
    ```sh any          either
    ```sh starts       starts the box that the others find running
    ```sh stops        stops it
    ```sh needs-…      cannot be run here: held against the command's own help instead

All are run in one folder, with one box for all pages; those that name the same file in the page's
order, others beside each other.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("runbook", "troubleshooting", "configuration", "deployment")
LANGUAGES = ("sh", "powershell")
#: Commands whose exit code is an answer: a box may be busy or a simulated sensor silent, and
#: something may be there to tune.
ANSWERS = {"health": (0, 1), "tune": (0, 1)}
#: Commands run at a time.
AT_A_TIME = 4
STATES = ("running", "stopped", "any", "starts", "stops")


@dataclass(frozen=True)
class Block:
    """Commands of one fenced block."""

    page: str
    line: int
    language: str
    state: str
    commands: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.page}.md:{self.line}"


def blocks(page: str) -> list[Block]:
    found: list[Block] = []
    lines = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").splitlines()
    begun: tuple[int, str] | None = None
    for number, line in enumerate(lines, 1):
        if not line.startswith("```"):
            continue
        if begun is None:
            begun = number, line[3:].strip()
            continue
        language, _, state = begun[1].partition(" ")
        commands = tuple(c for c in lines[begun[0] : number - 1] if c and not c.startswith("#"))
        if language in LANGUAGES or any(c.startswith(("./thebox", "sudo ")) for c in commands):
            found.append(Block(page, begun[0], language, state, commands))
        begun = None
    return found


ALL = [block for page in PAGES for block in blocks(page)]


def test_every_block_says_when_it_is_for() -> None:
    assert len(ALL) >= 15
    for block in ALL:
        assert block.language in LANGUAGES, f"{block.name}: commands in a fence without a language"
        assert block.commands, block.name
        assert block.state in STATES or re.fullmatch(r"needs-\w+", block.state), (
            f"{block.name}: '{block.state}' does not say in which state its commands are run"
        )
    assert {block.state for block in ALL} >= set(STATES)


def files_of(block: Block) -> set[str]:
    """The files that its commands name."""
    words = {word for command in block.commands for word in command.split()}
    return {w for w in words if re.fullmatch(r"[\w-]+(\.[\w-]+)+", w)}


def run_in_order(blocks: Sequence[Block], work: Callable[[Block], None]) -> None:
    """Run blocks of commands a few at a time: most of a command's time is waiting for the graph.

    One that names a file of a block before it waits for that block.
    """
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        begun: list[tuple[Block, Future[None]]] = []

        def after(block: Block, before: Sequence[Future[None]]) -> None:
            for each in before:
                each.result()
            work(block)

        for block in blocks:
            files = files_of(block)
            # They were handed to the pool earlier: one that waits is never in their way.
            before = [future for other, future in begun if files & files_of(other)]
            begun.append((block, pool.submit(after, block, before)))
        for _, future in begun:
            future.result()


def test_blocks_that_share_a_file_are_run_in_their_order() -> None:
    def made(line: int, *commands: str) -> Block:
        return Block("page", line, "sh", "any", commands)

    given = [
        made(1, "./thebox backup day.tar.gz"),
        made(2, "./thebox doctor"),
        made(3, "./thebox backup --verify day.tar.gz"),
        made(4, "touch site.env"),
        made(5, "./thebox restore day.tar.gz"),
    ]
    ended: list[int] = []
    together = threading.Barrier(2)

    def work(block: Block) -> None:
        if block.line in (1, 2):
            together.wait(10.0)
        ended.append(block.line)

    run_in_order(given, work)
    assert [line for line in ended if line in (1, 3, 5)] == [1, 3, 5]
    assert sorted(ended) == [1, 2, 3, 4, 5]


@cache
def help_of(command: str) -> subprocess.CompletedProcess[str]:
    return run(f"./thebox {command} --help", ROOT, dict(os.environ))


def run(
    command: str, folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command.replace("./thebox", f"{ROOT}/thebox")],
        cwd=folder,
        env={**environment, "THEBOX_NO_BUILD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180.0,
        stdin=subprocess.DEVNULL,
    )


def assert_reference_is_of(environment: dict[str, str], folder: Path) -> None:
    """docs/messages.md is made of what the running graph shows."""
    from thebox_bringup.interfaces import SEEN

    def told(root: Path) -> dict[str, Any]:
        seen = json.loads((root / SEEN).read_text(encoding="utf-8"))
        topics = {
            name: (one["type"], one["reliability"], one["durability"])
            for name, one in seen["topics"].items()
        }
        return {**seen, "topics": topics}

    (folder / SEEN).parent.mkdir(parents=True)
    held, found = told(ROOT), None
    # On a busy machine discovery takes its time.
    for _ in range(6):
        look = f"./thebox run python -m thebox_bringup.interfaces --look --root {folder}"
        ended = run(look, folder, environment)
        assert ended.returncode == 0, ended.stderr
        found = told(folder)
        if found == held:
            return
    assert found == held, "look again at a running graph (thebox_bringup.interfaces --look)"


@pytest.mark.graph
@pytest.mark.timeout(600)
def test_commands_run_in_the_state_that_they_are_for(
    graph: Callable[..., Any], tmp_path: Path
) -> None:
    """Any state first, then a box is started, then it is stopped."""
    if shutil.which("curl") is None:
        pytest.skip("no curl here, with which the pages ask the panel's server")
    starts = [command for b in ALL if b.state == "starts" for command in b.commands]
    assert [command.split()[:2] for command in starts] == [["./thebox", "up"]]
    # Its own words, on free ports: another box of this machine is not disturbed.
    # A busy machine may take its time.
    live = graph(*starts[0].split()[2:], "--timeout", "150")
    assert live.wait_ended(200.0) == 0, live.output
    address = re.search(r"panel\s+http://([^/\s]+)/", live.output)
    assert address is not None, live.output
    home = tmp_path / "home"
    home.mkdir()
    failed: list[str] = []
    done: list[str] = []

    def work(block: Block) -> None:
        (command,) = block.commands
        text = command.replace("127.0.0.1:8080", address.group(1))
        ended = run(text, home, live.environment)
        done.append(command)
        words = [*command.split(), ""]
        if ended.returncode not in ANSWERS.get(words[1], (0,)):
            failed.append(
                f"{block.name}: {command} ended with {ended.returncode}\n"
                f"{ended.stdout[-600:]}{ended.stderr[-600:]}"
            )

    def each(*states: str) -> None:
        # A page that repeats another's words is not run twice.
        at_hand = {
            command: replace(block, commands=(command,))
            for block in reversed(ALL)
            if block.state in states
            for command in reversed(block.commands)
            if command not in done
        }
        run_in_order([*reversed(at_hand.values())], work)

    each("running", "any")
    assert_reference_is_of(live.environment, tmp_path / "look")
    # The same commands on a stopped box, but for what would write a file a second time.
    each("stops")
    assert live.processes() == {}
    each("stopped")
    assert failed == [], "\n".join(failed)
    assert len(done) >= 17


@pytest.mark.parametrize(
    "block", [b for b in ALL if b.state.startswith("needs-")], ids=lambda block: block.name
)
def test_command_that_cannot_run_here_is_one_that_there_is(block: Block) -> None:
    for command in block.commands:
        for path in re.findall(r"(?<![\w/])(?:docker|deploy)[/\\][\w./\\-]+", command):
            assert (ROOT / path.replace("\\", "/")).exists(), f"{block.name}: no {path}"
        if block.language != "sh":
            continue
        syntax = subprocess.run(
            ["bash", "-n", "-c", command], capture_output=True, text=True, check=False
        )
        assert syntax.returncode == 0, syntax.stderr
        words = command.split()
        if words[0] != "./thebox":
            continue
        told = help_of(words[1])
        assert told.returncode == 0, f"{block.name}: {told.stderr}"
        if words[1] == "up":
            from thebox_bringup.up import parser

            parser().parse_args(words[2:])
        elif words[1] != "run":
            for word in words[2:]:
                assert not word.startswith("--") or word in told.stdout, f"{block.name}: {word}"
