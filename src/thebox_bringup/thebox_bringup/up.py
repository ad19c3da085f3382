# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Brings the box up without launch_ros: the graph as supervised processes.

``python -m thebox_bringup.up --help`` says what it takes. It starts the graph under supervisord,
waits until it is healthy (every node's diagnostics, its life-cycle state, tracks flowing), prints
what runs, and stays until it is asked to stop. Whatever ends it ends the graph.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from thebox_bringup.graph import NAMESPACE, PANEL, TRACKS, GraphError, ros_arguments, spec
from thebox_bringup.layout import Layout, Wanted, lay_out
from thebox_bringup.settings import SettingsError, value_of, write_file
from thebox_bringup.site import PASSWORD, Site, set_password
from thebox_bringup.site import read as read_site
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
from thebox_bringup.transport import DISCOVERY_RANGE, transport
from thebox_bringup.upkeep.archive import ArchiveError
from thebox_bringup.upkeep.inventory import env_file
from thebox_bringup.upkeep.restore import recover

if TYPE_CHECKING:
    from thebox_bringup.watch import Watch

__all__ = ["main"]

REPLAY = "replay"
#: How long a simulated sensor may still be silent once all else is well, seconds.
_SILENCE_GRACE = 10.0
#: Domains whose ports lie below Linux's range of ephemeral ports.
_LAST_DOMAIN = 101


class Stopped(BaseException):
    """The operator, the system or the terminal asked to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """Exit status: 130 after Ctrl-C, as shells expect; 0 for an orderly request."""
        return 130 if self.number == signal.SIGINT else 0


class UpError(RuntimeError):
    """The box cannot be brought up; the text says why and what to do."""


def say(text: str = "") -> None:
    """Print for the operator; a terminal that has gone away is no reason to fall over."""
    try:
        print(text, flush=True)
    except OSError:
        # Python would try to flush it again at exit.
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="up", description="Start the graph, wait until it is healthy, and watch over it."
    )
    made.add_argument(
        "--replay", type=Path, metavar="FILE", help="feed a capture instead of the simulated sky"
    )
    made.add_argument("--rate", default="1.0", help="pace of the replay: 1.0, a multiple, or max")
    made.add_argument(
        "--exit-after-replay", action="store_true", help="stop when the replay is done"
    )
    made.add_argument("--no-sim", action="store_true", help="no simulated sky: real sensors")
    made.add_argument("--scenario", help="scenario of the simulated sky: a name or a file")
    made.add_argument("--seed", type=int, help="seed of the simulated sky")
    made.add_argument("--config", type=Path, metavar="FILE", help="parameter file of this site")
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.PARAMETER=VALUE",
        dest="settings",
        help="one parameter, over every file; may be given again",
    )
    made.add_argument("--namespace", default=NAMESPACE, help=f"default {NAMESPACE}")
    made.add_argument("--sensors", metavar="A,B", help="only these sensors; default all")
    made.add_argument("--without", metavar="A,B", default="", help="leave these nodes out")
    made.add_argument(
        "--with", metavar="A,B", default="", dest="extra", help="run these optional nodes too"
    )
    made.add_argument("--composed", action="store_true", help="the box's nodes in one process")
    made.add_argument(
        "--log-level", default="info", choices=("debug", "info", "warn", "error", "fatal")
    )
    made.add_argument("--domain-id", type=int, help="ROS domain; default ROS_DOMAIN_ID, else 0")
    made.add_argument("-d", "--detach", action="store_true", help="return when it is healthy")
    made.add_argument(
        "--timeout", type=float, default=60.0, help="seconds until it must be healthy; default 60"
    )
    made.add_argument(
        "--keep", action="store_true", help="run on with what works when not all gets healthy"
    )
    return made


def wanted(
    options: argparse.Namespace, data: Path | None = None, site: Site | None = None
) -> Wanted:
    """What the command line asks for."""

    def names(text: str) -> tuple[str, ...]:
        return tuple(name.strip() for name in text.split(",") if name.strip())

    return Wanted(
        namespace=options.namespace,
        sensors=None if options.sensors is None else names(options.sensors),
        without=frozenset(names(options.without)),
        extra=frozenset(names(options.extra)),
        simulated=options.replay is None and not options.no_sim,
        replayed=options.replay is not None,
        composed=options.composed,
        config=options.config,
        scenario=options.scenario,
        seed=options.seed,
        settings=tuple(options.settings),
        data=data,
        site=site,
    )


def site_defaults(made: argparse.ArgumentParser, site: Site) -> argparse.ArgumentParser:
    """Make what the site says the command line's defaults, and the environment of all that runs."""
    given = site.environment
    os.environ.update({name: value for name, value in given.items() if name != PASSWORD})
    # No node is to carry it in its environment.
    os.environ.pop(PASSWORD, None)
    if "THEBOX_NAMESPACE" in given:
        made.set_defaults(namespace=given["THEBOX_NAMESPACE"])
    if "THEBOX_CONFIG" in given:
        made.set_defaults(config=Path(given["THEBOX_CONFIG"]))
    if "THEBOX_SENSORS" in given:
        made.set_defaults(sensors=given["THEBOX_SENSORS"])
    return made


def asked(argv: Sequence[str] | None) -> tuple[argparse.Namespace, Site]:
    """The command line, with what the site sets behind it; ends with 2 when that cannot be."""
    made = parser()
    # --help and a mistake are answered without a look at the site.
    made.parse_args(argv)
    try:
        site = read_site(env_file())
    except SettingsError as error:
        print(f"up: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    return site_defaults(made, site).parse_args(argv), site


def laid_out(options: argparse.Namespace, site: Site, where: Places) -> Layout:
    """What is to run, on files that are whole and with the password that the site sets.

    Raises:
        ArchiveError: an interrupted restore cannot be undone.
        GraphError, SettingsError: as :func:`thebox_bringup.layout.lay_out`.
    """
    state = read_state(where)
    if state is None or not left_over(state.run_id):
        recover(where)
    layout = lay_out(wanted(options, where.data, site))
    users = str(value_of(layout.values, spec(PANEL), "accounts_file"))
    said = set_password(site, Path(users).expanduser())
    if said:
        say(said)
    return layout


def replay_command(capture: Path, to: tuple[str, int], rate: str) -> tuple[str, ...]:
    """The command that sends a capture.

    Raises:
        UpError: the capture cannot be read, or the rate is none.
    """
    capture = capture.absolute()
    try:
        with capture.open("rb"):
            pass
    except OSError as error:
        raise UpError(f"cannot read the capture {capture}: {error.strerror}") from None
    if rate != "max" and not re.fullmatch(r"\d*\.?\d+", rate):
        raise UpError(f"'{rate}' is no rate; write a number above 0, or max")
    host, port = to
    address = f"[{host}]" if ":" in host else host
    path = executable("thebox_sim", REPLAY)
    return (path, str(capture), "--to", f"udp://{address}:{port}", "--rate", rate)


def executable(package: str, name: str) -> str:
    """Absolute path of a package's executable, as ``ros2 run`` finds it.

    Raises:
        UpError: the package is not built, or has no such executable.
    """
    try:
        path = Path(get_package_prefix(package)) / "lib" / package / name
    except PackageNotFoundError:
        raise UpError(
            f"the package {package} is not built or not sourced; run ./thebox build"
        ) from None
    if not os.access(path, os.X_OK):
        raise UpError(f"{package} has no executable '{name}' at {path}; run ./thebox build")
    return str(path)


def programs(layout: Layout, log_level: str, overrides: Path) -> list[Program]:
    """What the supervisor is to run."""
    files = (*layout.parameter_files, str(overrides))
    made = []
    for process in layout.processes:
        command = [executable(process.package, process.executable), *process.arguments]
        command += ros_arguments(process, layout.namespace, files, log_level)
        # The supervisor keeps and turns over the logs; rcl's own files would grow without bound.
        command += ["--disable-external-lib-logs"]
        made.append(Program(process.name, tuple(command)))
    return made


def last_lines(path: Path, count: int = 8) -> str:
    """The end of a log file, indented."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 8192))
            text = file.read().decode(errors="replace")
    except OSError as error:
        return f"    ({path}: {error.strerror})"
    lines = text.splitlines()[-count:]
    return "\n".join(f"    {line}" for line in lines) or "    (empty)"


def refuse_or_clean(where: Places) -> None:
    """Refuse to start beside a running box; end what a killed one left behind.

    Raises:
        UpError: a box runs.
        SupervisionError: left-over processes cannot be ended.
    """
    state = read_state(where)
    if state is None:
        return
    left = left_over(state.run_id)
    if not left:
        return
    if state.up_process() is not None or any(p.pid == state.supervisor_pid for p in left):
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state.started))
        raise UpError(
            f"TheBox already runs here, since {since} (domain {state.domain}, "
            f"{len(left)} processes, files in {where.run}).\n"
            "Stop it with ./thebox down, or give this one a THEBOX_RUN_DIR of its own."
        )
    say(f"ending {len(left)} processes that a killed run left behind")
    stop_run(state)


class Up:
    """One run, from start to stop."""

    def __init__(self, options: argparse.Namespace, layout: Layout, where: Places) -> None:
        self.options = options
        self.layout = layout
        self.where = where
        self.domain = domain_id(options.domain_id)
        self.replay_command: tuple[str, ...] = ()
        if options.replay is not None and layout.replay_to is not None:
            self.replay_command = replay_command(options.replay, layout.replay_to, options.rate)
        self.run: Run | None = None

    def start(self) -> Run:
        """Start the supervisor and its programs."""
        environment = dict(os.environ)
        environment["ROS_DOMAIN_ID"] = str(self.domain)
        # A ship's network has other people on it: discovery leaves this machine only when the
        # site says so.
        os.environ[DISCOVERY_RANGE] = environment.setdefault(DISCOVERY_RANGE, "LOCALHOST")
        environment.update(transport(environment))
        environment["PYTHONUNBUFFERED"] = "1"
        environment["RCUTILS_COLORIZED_OUTPUT"] = "0"
        overrides = self.where.run / "overrides.yaml"
        with starting(self.where):
            refuse_or_clean(self.where)
            write_file(overrides, self.options.namespace, self.layout.overrides)
            for process in self.layout.processes:
                rotate(self.where.log_of(process.name))
            rotate(self.where.log_of(REPLAY))
            made = programs(self.layout, self.options.log_level, overrides)
            if self.replay_command:
                made.append(Program(REPLAY, self.replay_command, keep_running=False))
            self.run = Run.start(
                made,
                self.where,
                environment=environment,
                detached=self.options.detach,
                domain=self.domain,
                namespace=self.options.namespace,
            )
        return self.run

    # Health -----------------------------------------------------------------------------------

    def wait_healthy(self, run: Run, watch: Watch) -> list[str]:
        """Wait until all is well; return what is not, one line each, when the bound is over."""
        problems: list[str] = []
        well_but_silent: list[float] = []

        def done() -> bool:
            self._supervisor_alive(run)
            problems[:] = self.problems(run, watch, silence_allowed=not self.layout.simulated)
            if not problems:
                return True
            # A simulated sensor is soon heard, unless the scenario has nothing to hear.
            if self.problems(run, watch, silence_allowed=True):
                well_but_silent.clear()
                return False
            well_but_silent.append(time.monotonic())
            return well_but_silent[-1] - well_but_silent[0] > _SILENCE_GRACE

        if watch.wait(self.options.timeout, done):
            return []
        return problems

    def problems(self, run: Run, watch: Watch, silence_allowed: bool) -> list[str]:
        """What is not well now."""
        found: list[str] = []
        states = run.states()
        process_of = {
            node.spec.name: process.name
            for process in self.layout.processes
            for node in process.nodes
        }
        for process in self.layout.processes:
            state = states[process.name]
            if state.state in ("BACKOFF", "FATAL", "EXITED", "STOPPED"):
                found.append(f"process {process.name}: {state.state.lower()}: {state.note}")
        for node in self.layout.nodes:
            problem = watch.health(node).problem(node, silence_allowed)
            if problem:
                log = self.where.log_of(process_of[node.name])
                found.append(f"{node.name}: {problem} (log: {log})")
        if any(node.stage is not None for node in self.layout.nodes) and not watch.arrays:
            found.append(f"no tracks on {self.options.namespace}/{TRACKS} yet")
        return found

    def report_problems(self, problems: Sequence[str]) -> None:
        """Say what is missing, with the ends of the logs concerned."""
        say(f"\nNot healthy after {self.options.timeout:g} s:")
        for problem in problems:
            say(f"  {problem}")
        for process in self.layout.processes:
            names = {process.name, *(node.spec.name for node in process.nodes)}
            if any(
                re.match(rf"(process )?{re.escape(name)}:", p) for p in problems for name in names
            ):
                log = self.where.log_of(process.name)
                if log.exists() and log.stat().st_size:
                    say(f"\n  Last lines of {log}:\n{last_lines(log)}")

    def report_running(self, run: Run, watch: Watch, seconds: float) -> None:
        """Say what runs, where, and how to stop it."""
        states = run.states()
        namespace = self.options.namespace
        reach = os.environ[DISCOVERY_RANGE]
        say(f"\nTheBox is up after {seconds:.1f} s: every node healthy, tracks flowing.\n")
        say(f"  {'node':<14}{'state':<10}{'pid':>8}  what it says")
        for process in self.layout.processes:
            for held in process.nodes:
                health = watch.health(held.spec)
                state = health.lifecycle or "running"
                pid = states[process.name].pid
                said = health.summary or held.spec.purpose
                say(f"  {held.spec.name:<14}{state:<10}{pid:>8}  {said}")
        say()
        for node in self.layout.nodes:
            if node.name == PANEL:
                address = (watch.health(node).values or {}).get("address", "")
                say(f"  panel    {address}   health  {address}health   metrics  {address}metrics")
        for node in self.layout.nodes:
            source = self.layout.source_of(node)
            if source:
                say(f"  listens  {node.name} on {source}")
        say(
            f"  tracks   {namespace}/{TRACKS}   markers  {namespace}/markers   health  /diagnostics"
        )
        say(f"  ROS      domain {self.domain}, discovery {reach}, namespace {namespace}")
        say(f"  logs     {self.where.log}/<node>.log")
        say(f"  stop     {'./thebox down' if self.options.detach else 'Ctrl-C'}")
        say()

    # Replay -----------------------------------------------------------------------------------

    def replay(self, run: Run, watch: Watch) -> int:
        """Follow the replay to its end and say what came of it; return its exit status."""
        node = spec("droneshield")
        watch.follow_confirmed()
        run.start_program(REPLAY)
        say(f"replaying {self.options.replay} at rate {self.options.rate} …")
        began = time.monotonic()
        while run.states()[REPLAY].state in ("STARTING", "RUNNING"):
            self._supervisor_alive(run)
            watch.wait(0.5, lambda: False)
        ended = run.states()[REPLAY]
        match = re.findall(
            r"(\d+) datagrams sent", self.where.log_of(REPLAY).read_text(errors="replace")
        )
        if ended.exit_status != 0 or not match:
            say(f"the replay failed:\n{last_lines(self.where.log_of(REPLAY))}")
            return ended.exit_status or 1
        sent = int(match[-1])

        def counts() -> dict[str, int]:
            values = watch.health(node).values or {}
            return {
                key: int(value)
                for key, value in values.items()
                if key in ("accepted", "rejected") or key.startswith(("rejected.", "ignored."))
            }

        def all_counted() -> bool:
            seen = counts()
            ignored = sum(n for key, n in seen.items() if key.startswith("ignored."))
            return seen.get("accepted", 0) + seen.get("rejected", 0) + ignored >= sent

        counted = watch.wait(10.0, all_counted)
        # The tracks that the last datagrams made: fusion publishes at least once a second.
        arrays = watch.arrays
        watch.wait(5.0, lambda: watch.arrays >= arrays + 2)
        seen = counts()
        say(f"\nReplay done in {time.monotonic() - began:.1f} s.")
        say(f"  datagrams sent       {sent}")
        say(f"  accepted             {seen.get('accepted', 0)}")
        say(f"  rejected             {seen.get('rejected', 0)}")
        for key, count in sorted(seen.items()):
            if "." in key:
                say(f"    {key:<19}{count}")
        if not counted:
            say("  some datagrams were lost on the way: the driver has not counted them all")
        tracks = watch.confirmed()
        say(f"  confirmed tracks     {len(tracks)}")
        if tracks:
            say(f"    {'number':>6}  {'label':<20}{'identity':<30}{'bearing':>8}  confidence")
        for track in tracks:
            bearing = "?" if math.isnan(track.bearing) else f"{math.degrees(track.bearing):.1f}°"
            keys = ", ".join(track.sensor_track_ids)
            say(
                f"    {track.number:>6}  {track.label:<20}{keys:<30}{bearing:>8}  "
                f"{track.confidence:.3f}"
            )
        say()
        return 0 if counted else 1

    # Steady state -----------------------------------------------------------------------------

    def _supervisor_alive(self, run: Run) -> None:
        if not run.alive:
            raise UpError(
                f"the supervisor has ended; see {self.where.supervisor_log}:\n"
                + last_lines(self.where.supervisor_log)
            )

    def stay(self, run: Run, pids: dict[str, int]) -> None:
        """Watch over the processes until told to stop; say when one has another id than in pids."""
        while True:
            time.sleep(1.0)
            self._supervisor_alive(run)
            for name, state in run.states().items():
                if name == REPLAY or not state.pid or state.pid == pids.get(name):
                    continue
                say(
                    f"{time.strftime('%H:%M:%S')} {name} was started again, pid {state.pid}; "
                    f"its log: {self.where.log_of(name)}"
                )
                pids[name] = state.pid


def rotate(path: Path) -> None:
    """Keep the log of the run before as ``<name>.previous``, so that a log begins with its run."""
    if path.exists():
        path.replace(path.with_suffix(".previous"))


def domain_id(asked: int | None) -> int:
    """The ROS domain.

    Raises:
        UpError: not a domain that Linux has ports for.
    """
    text = str(asked) if asked is not None else os.environ.get("ROS_DOMAIN_ID", "") or "0"
    if not text.isdigit() or int(text) > _LAST_DOMAIN:
        raise UpError(f"ROS domain '{text}': use a number from 0 to {_LAST_DOMAIN}")
    return int(text)


def _stop_by_signal(number: int, frame: FrameType | None) -> None:
    # Once: a second request while everything is being stopped is answered by stop().
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    0: stopped on request (or detached, healthy); 1: it did not get healthy, or the replay failed;
    2: something given is wrong; 130: Ctrl-C.
    """
    options, site = asked(argv)
    began = time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop_by_signal)
    up: Up | None = None
    status = 0
    stop = True
    try:
        if options.detach and options.replay is not None:
            raise UpError("--replay is followed to its end: leave --detach out")
        where = places()
        up = Up(options, laid_out(options, site, where), where)
        run = up.start()
        say(f"starting {len(up.layout.processes)} processes, logs in {where.log} …")
        # Imported late: rclpy takes a while, in which the nodes already start.
        from thebox_bringup.watch import Watch  # noqa: PLC0415

        with Watch(up.domain, options.namespace) as watch:
            problems = up.wait_healthy(run, watch)
            # Before anybody is told that it is up: what is killed from then on is told of.
            pids = {name: state.pid for name, state in run.states().items()}
            if problems:
                up.report_problems(problems)
                if not options.keep:
                    say("\nStopping. With --keep it would run on with what works.")
                    return 1
                say("\nRunning on, as --keep asks.")
            else:
                up.report_running(run, watch, time.monotonic() - began)
            if options.replay is not None:
                status = up.replay(run, watch)
        if options.detach:
            stop = False
            return 0
        if options.replay is not None and options.exit_after_replay:
            return status
        up.stay(run, pids)
    except Stopped as stopped:
        status = stopped.status
        say(f"\n{signal.Signals(stopped.number).name}: stopping …")
    except (GraphError, SettingsError, UpError, SupervisionError, ArchiveError) as error:
        print(f"up: {error}", file=sys.stderr)
        status = 1 if up is not None and up.run is not None else 2
    finally:
        if stop and up is not None and up.run is not None:
            status = _stop(up.run, status)
    return status


def _stop(run: Run, status: int) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        killed = run.stop()
    except SupervisionError as error:
        print(f"up: {error}", file=sys.stderr)
        return status or 1
    say("stopped." if not killed else f"stopped; {killed} processes had to be killed.")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
