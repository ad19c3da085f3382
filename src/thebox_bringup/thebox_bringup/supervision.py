# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs processes under supervisord, and knows afterwards what is left of them. No ROS.

Every process of one run carries the run's identity in its environment (``THEBOX_RUN_ID``), and
its children inherit it: so what belongs to a run is found whatever became of its supervisor.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import xmlrpc.client  # nosec B411 - our own supervisor, over a socket of this user
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import psutil
from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]

__all__ = [
    "GROUP",
    "Places",
    "Program",
    "ProgramState",
    "Run",
    "RunState",
    "SupervisionError",
    "left_over",
    "places",
    "read_state",
    "starting",
    "stop_run",
    "wait_ended",
]

GROUP = "thebox"
RUN_ID = "THEBOX_RUN_ID"
_LEASH = Path(__file__).with_name("leash.py")
# sun_path of a Unix socket is 108 bytes (unix(7)); supervisord binds under a longer name first.
_LONGEST_SOCKET_PATH = 80


class SupervisionError(RuntimeError):
    """Supervision cannot do what was asked; the text says why and what to do."""


@dataclass(frozen=True)
class Places:
    """Where a run keeps its files."""

    run: Path
    log: Path

    @property
    def data(self) -> Path:
        """What outlives the run, such as the database."""
        return self.run.parent / "data" if self.run.name == "run" else self.run / "data"

    @property
    def state(self) -> Path:
        """What is known of the run, as JSON."""
        return self.run / "state.json"

    @property
    def supervisor_log(self) -> Path:
        """The supervisor's own log."""
        return self.log / "supervisord.log"

    def log_of(self, program: str) -> Path:
        """Log of one program."""
        return self.log / f"{program}.log"


def places(environment: Mapping[str, str] = os.environ) -> Places:
    """Where this workspace's run keeps its files.

    ``THEBOX_RUN_DIR`` and ``THEBOX_LOG_DIR`` win; else ``.thebox/run`` and ``.thebox/log`` in the
    workspace that holds this package or the current folder; else the user's state folder.
    """
    run, log = environment.get("THEBOX_RUN_DIR"), environment.get("THEBOX_LOG_DIR")
    if run:
        base = Path(run).absolute()
        return Places(base, Path(log).absolute() if log else base / "log")
    for start in (Path(__file__).resolve(), Path.cwd()):
        for folder in (start, *start.parents):
            if (folder / "src" / "thebox_bringup" / "package.xml").is_file():
                base = folder / ".thebox"
                return Places(base / "run", Path(log).absolute() if log else base / "log")
    home = Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return Places(home / "thebox" / "run", Path(log or home / "thebox" / "log").absolute())


@dataclass(frozen=True)
class Program:
    """One supervised program.

    Attributes:
        name: its name, and its log's.
        command: executable (absolute path) and arguments.
        keep_running: started at once and again whenever it ends; else started when asked, once.
    """

    name: str
    command: tuple[str, ...]
    keep_running: bool = True


@dataclass(frozen=True)
class ProgramState:
    """What the supervisor says of a program.

    ``state`` is supervisord's: STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL.
    """

    name: str
    state: str
    pid: int
    exit_status: int
    note: str


@dataclass(frozen=True)
class RunState:
    """What is written about a run, for the next command."""

    run_id: str
    up_pid: int
    up_started: float
    supervisor_pid: int
    detached: bool
    domain: int
    namespace: str
    started: float

    def up_process(self) -> psutil.Process | None:
        """The ``up`` that watches this run, when it is alive."""
        try:
            process = psutil.Process(self.up_pid)
            # A process id is used again; together with its start time it is not.
            if abs(process.create_time() - self.up_started) < 0.1 and process.is_running():
                return process
        except psutil.Error:
            pass
        return None


def read_state(where: Places) -> RunState | None:
    """What is written about the last run; None when nothing is, or nothing readable."""
    try:
        return RunState(**json.loads(where.state.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def left_over(run_id: str) -> list[psutil.Process]:
    """The living processes of a run, by the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(RUN_ID) == run_id:
                found.append(process)
    return found


def _wait_gone(run_id: str, patience: float) -> list[psutil.Process]:
    end = time.monotonic() + patience
    while True:
        remaining = left_over(run_id)
        if not remaining or time.monotonic() >= end:
            return remaining
        psutil.wait_procs(remaining, timeout=0.2)


def wait_ended(process: psutil.Process, patience: float) -> bool:
    """Wait until a process has ended; a zombie, whose parent has yet to ask for it, has."""
    end = time.monotonic() + patience
    while True:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.Error:
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.05)


def stop_run(state: RunState, patience: float = 15.0) -> int:
    """Stop every process of a run: ask the supervisor, then kill what is left.

    Returns:
        How many processes had to be killed.

    Raises:
        SupervisionError: something of it cannot be killed.
    """
    for process in left_over(state.run_id):
        if process.pid == state.supervisor_pid:
            with contextlib.suppress(psutil.Error):
                process.terminate()
                # One that is suspended hears only after this.
                process.send_signal(signal.SIGCONT)
            wait_ended(process, patience)
    # What is still there has no supervisor that would ask it.
    for process in left_over(state.run_id):
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGINT)
    stubborn = _wait_gone(state.run_id, min(patience, 3.0))
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    remaining = _wait_gone(state.run_id, 10.0) if stubborn else []
    if remaining:
        raise SupervisionError(
            "cannot end process " + ", ".join(str(process.pid) for process in remaining)
        )
    return len(stubborn)


@contextlib.contextmanager
def starting(where: Places) -> Iterator[None]:
    """Keep a second start away while this one is under way.

    Raises:
        SupervisionError: another start is under way, or the run folder cannot be made.
    """
    try:
        where.run.mkdir(parents=True, exist_ok=True)
        where.log.mkdir(parents=True, exist_ok=True)
        lock = (where.run / "lock").open("w", encoding="utf-8")
    except OSError as error:
        raise SupervisionError(
            f"cannot write to {where.run}: {error.strerror}; "
            "set THEBOX_RUN_DIR to a folder that you may write to"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SupervisionError("another start or stop is under way; wait for it") from None
        yield


def _escaped(text: str) -> str:
    # supervisord's configuration expands %(name)s everywhere.
    return text.replace("%", "%%")


def configuration(programs: Sequence[Program], where: Places, socket: Path) -> str:
    """The supervisor's configuration file."""
    lines = [
        "; Written by `up` at every start.",
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        "identifier=thebox",
        f"logfile={_escaped(str(where.supervisor_log))}",
        "logfile_maxbytes=5MB",
        "logfile_backups=3",
        f"pidfile={_escaped(str(where.run / 'supervisord.pid'))}",
        f"childlogdir={_escaped(str(where.log))}",
        "",
        "[unix_http_server]",
        f"file={_escaped(str(socket))}",
        "chmod=0700",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "",
        # One group, so that all are stopped at once and not one after the other.
        f"[group:{GROUP}]",
        "programs=" + ",".join(program.name for program in programs),
    ]
    for program in programs:
        leashed = [sys.executable, "-I", "-S", str(_LEASH), "SIGKILL", *program.command]
        lines += [
            "",
            f"[program:{program.name}]",
            f"command={_escaped(shlex.join(leashed))}",
            f"autostart={str(program.keep_running).lower()}",
            f"autorestart={str(program.keep_running).lower()}",
            f"startsecs={3 if program.keep_running else 0}",
            # Each failed start waits a second longer; a box at sea never gives up.
            f"startretries={10**9 if program.keep_running else 0}",
            # What `ros2 launch` sends; it also ends a node that handles no SIGTERM.
            "stopsignal=INT",
            "stopwaitsecs=8",
            "stopasgroup=true",
            "killasgroup=true",
            "redirect_stderr=true",
            # This one key is expanded twice (supervisor 4.3).
            f"stdout_logfile={_escaped(_escaped(str(where.log_of(program.name))))}",
            "stdout_logfile_maxbytes=10MB",
            "stdout_logfile_backups=3",
        ]
    return "\n".join(lines) + "\n"


class Run:
    """A supervisor at work with its programs."""

    def __init__(self, process: subprocess.Popen[bytes], state: RunState, socket: Path) -> None:
        self._process = process
        self.state = state
        self._socket = socket

    @classmethod
    def start(
        cls,
        programs: Sequence[Program],
        where: Places,
        *,
        environment: Mapping[str, str],
        detached: bool,
        domain: int,
        namespace: str,
    ) -> Run:
        """Start a supervisor with these programs. Call it within :func:`starting`.

        Attached, the supervisor ends when this process ends, whatever ends it.

        Raises:
            SupervisionError: the supervisor did not come up; the text quotes its log.
        """
        run_id = uuid.uuid4().hex
        socket = where.run / "supervisor.sock"
        if len(os.fsencode(socket)) > _LONGEST_SOCKET_PATH:
            socket = Path(tempfile.gettempdir()) / f"thebox-{run_id[:12]}.sock"
        config = where.run / "supervisord.conf"
        config.write_text(configuration(programs, where, socket), encoding="utf-8")
        command = [sys.executable, "-I", "-S", str(_LEASH), "none" if detached else "SIGTERM"]
        command += [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)]
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            env={**environment, RUN_ID: run_id, "THEBOX_PARENT_PID": str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(where.run / "supervisord.stderr").open("wb"),
            # A Ctrl-C in the terminal is for `up` alone, which then stops all in order.
            start_new_session=True,
        )
        me = psutil.Process()
        state = RunState(
            run_id=run_id,
            up_pid=me.pid,
            up_started=me.create_time(),
            supervisor_pid=process.pid,
            detached=detached,
            domain=domain,
            namespace=namespace,
            started=time.time(),
        )
        where.state.write_text(json.dumps(asdict(state), indent=1) + "\n", encoding="utf-8")
        run = cls(process, state, socket)
        if run._wait_answer(20.0):
            return run
        run.stop(patience=5.0)
        said = (where.run / "supervisord.stderr").read_text(errors="replace").strip()
        raise SupervisionError(
            f"the supervisor did not start; {where.supervisor_log} and its error output say why:\n"
            + said[-600:]
        )

    def _wait_answer(self, patience: float) -> bool:
        end = time.monotonic() + patience
        while self.alive and time.monotonic() < end:
            with contextlib.suppress(SupervisionError):
                self._call("getState")
                return True
            time.sleep(0.05)
        return False

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, http.client.HTTPException) as error:
            raise SupervisionError(f"the supervisor does not answer: {error}") from None
        except xmlrpc.client.Fault as fault:
            raise SupervisionError(f"the supervisor refuses: {fault.faultString}") from None
        finally:
            transport.close()

    @property
    def alive(self) -> bool:
        """Whether the supervisor runs."""
        return self._process.poll() is None

    def states(self) -> dict[str, ProgramState]:
        """State of every program, by name.

        Raises:
            SupervisionError: the supervisor does not answer.
        """
        try:
            answer = cast("list[dict[str, Any]]", self._call("getAllProcessInfo"))
        except SupervisionError:
            # Its socket closes a moment before its end can be seen.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
            if not self.alive:
                raise SupervisionError("the supervisor has ended; its log says why") from None
            raise
        return {
            entry["name"]: ProgramState(
                entry["name"],
                entry["statename"],
                int(entry["pid"]),
                int(entry["exitstatus"]),
                str(entry["spawnerr"]),
            )
            for entry in answer
        }

    def start_program(self, name: str) -> None:
        """Start a program that does not start by itself.

        Raises:
            SupervisionError: it cannot be started.
        """
        self._call("startProcess", f"{GROUP}:{name}", False)

    def stop(self, patience: float = 15.0) -> int:
        """Stop everything; return how many processes had to be killed."""
        killed = stop_run(self.state, patience)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10.0)
        self._socket.unlink(missing_ok=True)
        return killed
