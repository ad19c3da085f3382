# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""What to change of a box and its kernel, from what was measured. No ROS, nothing is changed here.

Each rule is a function from :class:`Facts` to :class:`Change` s. A change is ``needed`` when
something was lost or late for want of it, else it is advised.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["Change", "Driver", "Facts", "Kernel", "changes", "kernel_facts"]

How = Literal["parameter", "kernel", "hand"]

#: Seconds that a driver's process may be held up (another process's turn, a page from the disk)
#: without loss: its socket's buffer and its queue should hold what arrives meanwhile.
STALL = 2.0
#: What the kernel counts for a datagram beside its payload: sk_buff and the page it lies in
#: (SKB_TRUESIZE, include/linux/skbuff.h): 768 bytes at least, on 64 bits.
OVERHEAD = 768
#: Share of the time between two pictures that the tracker's 99th percentile may take.
CYCLE_SHARE = 0.8
#: Percent of a core at which a process is taken for held up by it.
BUSY = 85.0
#: Bytes that a node's process costs beside those of the composed one (docs/architecture.md).
PROCESS_BYTES = 60e6
#: Share of the free disk that the history may take.
DISK_SHARE = 0.8
_BUFFER_MAX = 1 << 28
_QUEUE_MAX = 1_000_000


@dataclass(frozen=True)
class Driver:
    """What a driver measured.

    Attributes:
        source: its address, as in its parameter.
        receive_buffer: bytes that it asks the kernel for; None: it has no such parameter.
        queue_size: datagrams that may wait to be read; None likewise.
        cut: whether the kernel gave it less than it asked for.
        rate: datagrams a second.
        size: mean bytes of a datagram.
        dropped, kernel_drops: since it started: its queue was full, the socket's buffer was.
        dropped_now, kernel_drops_now: of these, while it was looked at.
    """

    source: str = ""
    receive_buffer: int | None = None
    queue_size: int | None = None
    cut: bool = False
    rate: float = 0.0
    size: float = 0.0
    dropped: int = 0
    kernel_drops: int = 0
    dropped_now: int = 0
    kernel_drops_now: int = 0


@dataclass(frozen=True)
class Kernel:
    """The kernel's limits and counts; None for what cannot be read (in a container).

    Attributes:
        rmem_max: bytes that a socket's buffer may be set to.
        backlog: packets that wait for a processor.
        backlog_dropped: packets for which there was no place there, since the machine started.
        udp_errors: datagrams for which a buffer had no room, of every program, likewise.
    """

    rmem_max: int | None = None
    backlog: int | None = None
    backlog_dropped: int | None = None
    udp_errors: int | None = None


@dataclass(frozen=True)
class Facts:
    """All that the rules look at. NaN: not known.

    Attributes:
        cores: processors that the box may use.
        memory_available: bytes.
        drivers: by name.
        kernel: limits and counts; the counts of ``kernel_before`` are of when looking began.
        processor: percent of a core, by process.
        composed: whether the box's nodes share a process.
        nodes: how many of them run.
        fusion: publish_rate_max, cycle_p99 (seconds), dropped.
        database: queue_size, queue_depth, dropped, writes_rate, batch_period, bytes, megabytes
            (retention.megabytes), disk_free (bytes), keep (detections.keep).
    """

    cores: int
    memory_available: float = math.nan
    drivers: Mapping[str, Driver] = field(default_factory=dict)
    kernel: Kernel = field(default_factory=Kernel)
    kernel_before: Kernel = field(default_factory=Kernel)
    processor: Mapping[str, float] = field(default_factory=dict)
    composed: bool = False
    nodes: int = 0
    fusion: Mapping[str, float] = field(default_factory=dict)
    database: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
        what: ``node.parameter``, a sysctl's name, or a few words.
        how: it is a parameter, the kernel's, or only a hand can do it.
        now, wanted: values.
        why: what was measured.
        needed: something was lost or late for want of it.
    """

    what: str
    how: How
    now: Any
    wanted: Any
    why: str
    needed: bool


def _power(value: float) -> int:
    return 1 << max(0, math.ceil(math.log2(max(value, 1.0))))


def _lost(now: int, ever: int) -> str:
    return f"{now} while it was looked at" if now else f"{ever} since it started"


def buffers(facts: Facts) -> Iterator[Change]:
    """Sockets' buffers, and the kernel's limit for them."""
    largest, who, lost = 0, [], False
    for name, driver in facts.drivers.items():
        if driver.receive_buffer is None or not driver.source.startswith("udp://"):
            continue
        wanted = driver.receive_buffer
        if driver.kernel_drops and not driver.cut:
            arriving = driver.rate * (driver.size + OVERHEAD) * STALL
            wanted = min(max(2 * driver.receive_buffer, _power(arriving)), _BUFFER_MAX)
            if wanted > driver.receive_buffer:
                yield Change(
                    f"{name}.receive_buffer",
                    "parameter",
                    driver.receive_buffer,
                    wanted,
                    "the kernel dropped "
                    f"{_lost(driver.kernel_drops_now, driver.kernel_drops)} with the whole buffer "
                    f"in use; {driver.rate:.0f} datagrams of {driver.size:.0f} bytes a second",
                    True,
                )
        # One that may force a buffer beyond the limit is not cut, and needs no higher limit.
        grows = wanted > driver.receive_buffer and (facts.kernel.rmem_max or wanted) < wanted
        if driver.cut or grows:
            largest = max(largest, wanted)
            who.append(name)
            lost = lost or driver.kernel_drops > 0
    limit = facts.kernel.rmem_max
    if who and limit is None:
        yield Change(
            "net.core.rmem_max",
            "hand",
            "not readable here",
            largest,
            f"{', '.join(who)} got a smaller buffer than asked for; set it on the host of this "
            "container",
            lost,
        )
    elif who and limit is not None and limit < largest:
        yield Change(
            "net.core.rmem_max",
            "kernel",
            limit,
            largest,
            f"{', '.join(who)} may ask for {largest} bytes; the limit is in force when a "
            "driver opens its socket (without CAP_NET_ADMIN)",
            lost,
        )


def backlog(facts: Facts) -> Iterator[Change]:
    """Packets that found no place in a processor's queue."""
    now, before = facts.kernel.backlog_dropped, facts.kernel_before.backlog_dropped
    if facts.kernel.backlog is None or now is None or before is None or now <= before:
        return
    yield Change(
        "net.core.netdev_max_backlog",
        "kernel",
        facts.kernel.backlog,
        2 * facts.kernel.backlog,
        f"{now - before} packets dropped before any socket while it was looked at",
        True,
    )


def queues(facts: Facts) -> Iterator[Change]:
    """Drivers' own queues; one whose processor is short is helped by no queue."""
    for name, driver in facts.drivers.items():
        if not driver.dropped or driver.queue_size is None:
            continue
        told = f"{_lost(driver.dropped_now, driver.dropped)}: its queue was full"
        process = "composed" if facts.composed else name
        share = facts.processor.get(process, math.nan)
        if share >= BUSY:
            remedy = "run without --composed" if facts.composed else "a faster core, or fewer data"
            yield Change(
                f"processor of {process}", "hand", f"{share:.0f} % of a core", remedy, told, True
            )
            continue
        wanted = min(max(2 * driver.queue_size, round(driver.rate * STALL)), _QUEUE_MAX)
        if wanted > driver.queue_size:
            yield Change(f"{name}.queue_size", "parameter", driver.queue_size, wanted, told, True)


def pace(facts: Facts) -> Iterator[Change]:
    """Fusion's pictures a second against what one of them costs."""
    rate = facts.fusion.get("publish_rate_max", math.nan)
    cycle = facts.fusion.get("cycle_p99", math.nan)
    dropped = facts.fusion.get("dropped", 0.0)
    if not (rate > 0.0 and cycle > 0.0):
        return
    if cycle * rate <= CYCLE_SHARE and not dropped:
        return
    wanted = max(1.0, math.floor(min(CYCLE_SHARE / 2.0 / cycle, rate / 2.0)))
    if wanted >= rate:
        return
    lost = f"; {dropped:.0f} detections dropped" if dropped else ""
    yield Change(
        "fusion.publish_rate_max",
        "parameter",
        rate,
        wanted,
        f"99 % of its cycles take up to {cycle * 1e3:.0f} ms, {rate:g} a second leave "
        f"{1e3 / rate:.0f} ms{lost}",
        bool(dropped) or cycle * rate > 1.0,
    )


def database(facts: Facts) -> Iterator[Change]:
    """DroneDB's queue, pace and size."""
    seen = facts.database
    size = seen.get("queue_size")
    dropped, depth = seen.get("dropped", 0) or 0, seen.get("queue_depth", 0) or 0
    if size and (dropped or depth > size / 2):
        told = f"{dropped:.0f} rows dropped, {depth:.0f} of {size} waiting"
        period = float(seen.get("batch_period") or math.nan)
        if period < 2.0:
            # A commit waits for the disk; fewer of them write the same rows.
            yield Change("dronedb.batch_period", "parameter", period, 2.0, told, bool(dropped))
        yield Change(
            "dronedb.queue_size", "parameter", size, min(2 * size, 10_000_000), told, bool(dropped)
        )
        if seen.get("keep") == "whole":
            yield Change(
                "dronedb.detections.keep",
                "hand",
                "whole",
                "sampled",
                f"{told}; {seen.get('writes_rate', math.nan):.0f} rows a second are written",
                bool(dropped),
            )
    limit, used, free = seen.get("megabytes"), seen.get("bytes"), seen.get("disk_free")
    if limit is None or not used or free is None:
        return
    room = (used + DISK_SHARE * free) / 1e6
    if limit == 0 or limit > room:
        wanted = max(100, math.floor(room / 100) * 100)
        yield Change(
            "dronedb.retention.megabytes",
            "parameter",
            limit or "no limit",
            wanted,
            f"the history holds {used / 1e6:.0f} MB and the disk has {free / 1e6:.0f} MB left: it "
            "would be full before the oldest is deleted",
            free < 1e9,
        )


def composition(facts: Facts) -> Iterator[Change]:
    """One process a node, or all in one (rclpy's EventsExecutor is used either way)."""
    together = facts.processor.get("composed", 0.0)
    if facts.composed and facts.cores >= 4 and together >= BUSY:
        yield Change(
            "up --composed",
            "hand",
            "one process",
            "up without it",
            f"the one process takes {together:.0f} % of a core, which Python cannot exceed; there "
            f"are {facts.cores} cores",
            True,
        )
    saved = PROCESS_BYTES * max(facts.nodes - 1, 0)
    short = facts.memory_available < saved
    load = sum(facts.processor.values())
    if not facts.composed and facts.nodes > 1 and (short or facts.cores == 1) and load < BUSY:
        yield Change(
            "up --composed",
            "hand",
            f"{facts.nodes} processes",
            "up --composed",
            f"{facts.memory_available / 1e6:.0f} MB of memory are free, {facts.cores} cores; one "
            f"process takes about {saved / 1e6:.0f} MB less; all take {load:.0f} % of a core",
            False,
        )


def changes(facts: Facts) -> list[Change]:
    """Every change, needed ones first."""
    rules = (buffers, backlog, queues, pace, database, composition)
    return sorted((change for rule in rules for change in rule(facts)), key=lambda c: not c.needed)


# What the kernel tells -------------------------------------------------------------------------


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _lines(path: Path) -> Iterable[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return ()


def kernel_facts(proc: Path = Path("/proc")) -> Kernel:
    """Read the limits and counts (proc(5), Documentation/networking/scaling.rst)."""
    core = proc / "sys" / "net" / "core"
    # Per processor a line of hexadecimal columns: processed, dropped, ...
    drops = [int(line.split()[1], 16) for line in _lines(proc / "net" / "softnet_stat")]
    rows = [line.split()[1:] for line in _lines(proc / "net" / "snmp") if line.startswith("Udp:")]
    counts = dict(zip(*rows, strict=False)) if len(rows) == 2 else {}
    errors = counts.get("RcvbufErrors", "")
    return Kernel(
        _number(core / "rmem_max"),
        _number(core / "netdev_max_backlog"),
        sum(drops) if drops else None,
        int(errors) if errors.isdigit() else None,
    )
