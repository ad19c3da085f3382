# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A real supervisord with small programs: started again, stopped, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("supervisor", reason="supervisor is not here: run through ./thebox test")

from thebox_bringup.supervision import (
    Places,
    Program,
    Run,
    SupervisionError,
    left_over,
    places,
    read_state,
    starting,
    stop_run,
)

SLEEPER = (sys.executable, "-S", "-c", "import time; time.sleep(600)")
#: Deaf to every request.
DEAF = (
    sys.executable,
    "-S",
    "-c",
    "import signal, time; "
    "[signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)]; "
    "print('deaf', flush=True); time.sleep(600)",
)


def _until(done: Callable[[], bool], patience: float = 30.0) -> None:
    end = time.monotonic() + patience
    while not done():
        assert time.monotonic() < end, "still waiting"
        time.sleep(0.02)


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return places({"THEBOX_RUN_DIR": str(tmp_path / "100 % run")})


@pytest.fixture
def start(where: Places) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def go(*programs: Program, detached: bool = False) -> Run:
        with starting(where):
            run = Run.start(
                programs,
                where,
                environment=os.environ,
                detached=detached,
                domain=0,
                namespace="/thebox",
            )
        runs.append(run)
        return run

    yield go
    for run in runs:
        run.stop(patience=5.0)
        assert left_over(run.state.run_id) == []


def test_program_that_is_killed_is_started_again(start: Callable[..., Run]) -> None:
    run = start(Program("one", SLEEPER), Program("two", SLEEPER))
    _until(lambda: all(s.state == "RUNNING" for s in run.states().values()))
    before = run.states()["one"].pid
    os.kill(before, signal.SIGKILL)
    _until(lambda: run.states()["one"].pid not in (0, before))
    assert run.stop() == 0
    assert left_over(run.state.run_id) == []


def test_program_that_is_asked_for_runs_once_with_its_status(start: Callable[..., Run]) -> None:
    command = (sys.executable, "-S", "-c", "print('100% done'); raise SystemExit(3)")
    run = start(Program("keeper", SLEEPER), Program("once", command, keep_running=False))
    assert run.states()["once"].state == "STOPPED"
    run.start_program("once")
    _until(lambda: run.states()["once"].state == "EXITED")
    assert run.states()["once"].exit_status == 3


def test_output_goes_to_the_programs_log(start: Callable[..., Run], where: Places) -> None:
    command = (sys.executable, "-S", "-c", "import time; print('hello', flush=True); time.sleep(9)")
    start(Program("talker", command))
    log = where.log_of("talker")
    _until(lambda: log.exists() and "hello" in log.read_text())


def test_killed_supervisor_takes_its_programs_along(start: Callable[..., Run]) -> None:
    run = start(Program("one", SLEEPER), Program("deaf", DEAF))
    _until(lambda: all(s.pid for s in run.states().values()))
    os.kill(run.state.supervisor_pid, signal.SIGKILL)
    _until(lambda: left_over(run.state.run_id) == [])
    with pytest.raises(SupervisionError, match="has ended"):
        run.states()


def test_deaf_program_is_killed(start: Callable[..., Run], where: Places) -> None:
    run = start(Program("deaf", DEAF))
    log = where.log_of("deaf")
    _until(lambda: log.exists() and "deaf" in log.read_text())
    assert run.stop(patience=0.5) >= 1
    assert left_over(run.state.run_id) == []


def test_orphans_of_a_run_are_found_and_stopped(start: Callable[..., Run], where: Places) -> None:
    run = start(Program("one", SLEEPER))
    # What left the supervisor's session still carries the mark.
    orphan = subprocess.Popen(
        SLEEPER,
        env={**os.environ, "THEBOX_RUN_ID": run.state.run_id},
        start_new_session=True,
    )
    try:
        assert orphan.poll() is None
        run.stop(patience=5.0)
        # It would sleep for ten minutes. How it ended is its own affair: an interpreter that is
        # interrupted while it starts may exit with 0.
        orphan.wait(30.0)
    finally:
        orphan.kill()
    assert read_state(where) == run.state


def test_supervisor_that_cannot_start_says_why(start: Callable[..., Run]) -> None:
    with pytest.raises(SupervisionError, match="did not start"):
        start(Program("bad:name", SLEEPER))


def test_second_start_at_the_same_time_is_refused(where: Places) -> None:
    with starting(where), pytest.raises(SupervisionError, match="under way"), starting(where):
        pytest.fail("started twice")


def test_stopping_what_has_gone_is_no_error(start: Callable[..., Run]) -> None:
    run = start(Program("one", SLEEPER))
    assert run.stop() == 0
    assert stop_run(run.state) == 0


def test_folders(tmp_path: Path) -> None:
    assert places({"THEBOX_RUN_DIR": "/x/run"}) == Places(Path("/x/run"), Path("/x/run/log"))
    assert places({"THEBOX_RUN_DIR": "/x/run", "THEBOX_LOG_DIR": "/y"}).log == Path("/y")
    root = Path(__file__).resolve().parents[3]
    assert places({}) == Places(root / ".thebox" / "run", root / ".thebox" / "log")
