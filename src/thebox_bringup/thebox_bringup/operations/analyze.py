# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox analyze``: detections and tracks over time, by sensor, class and bearing."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from thebox_bringup.operations.analysis import (
    SECTORS,
    Plot,
    SensorFigures,
    analyse,
    by_class,
    by_sector,
    over_bins,
    standing,
    width_of_bins,
)
from thebox_bringup.operations.box import print_json
from thebox_bringup.operations.charts import document, over_time, rose, scatter, table
from thebox_bringup.operations.observed import NothingError, Observed, read
from thebox_bringup.recording.bag import BagError
from thebox_bringup.supervision import places
from thebox_bringup.upkeep.inventory import kept_at, take
from thebox_fusion.dronedb.errors import StoreError

__all__ = ["main", "parser"]

_BARS = " ▁▂▃▄▅▆▇█"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox analyze",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Detections and confirmed tracks over time, by sensor, class and bearing, and "
        "how well\neach sensor's bearings agree with the tracks. The tracks are made of the same "
        "detections:\na bias that every sensor shares does not show; `score` takes the truth.",
        epilog="examples:\n  thebox analyze flight --html flight.html\n"
        "  thebox analyze --last 1440\n\n"
        "Of the history only what it samples is there to see (dronedb.detections.keep).\n"
        "exit codes: 0 analysed; 1 nothing to analyse, or it cannot be read; "
        "2 something given is wrong",
    )
    made.add_argument(
        "source",
        type=Path,
        nargs="?",
        help="folder of a bag, an MCAP file, or a database of the box; default: this box's own",
    )
    made.add_argument(
        "--last",
        type=float,
        metavar="MINUTES",
        help="only the last minutes of a bag, or until now of a database",
    )
    made.add_argument("--from", dest="begin", metavar="TIME", help="such as 2026-05-01T12:00, UTC")
    made.add_argument("--to", dest="end", metavar="TIME", help="likewise")
    made.add_argument("--json", action="store_true", help="the figures as JSON")
    made.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots")
    return made


def _moment(text: str | None, default: float) -> float:
    if text is None:
        return default
    try:
        told = datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        raise ValueError(f"'{text}' is no time: write it like 2026-05-01T12:00 (UTC)") from None
    return (told if told.tzinfo else told.replace(tzinfo=timezone.utc)).timestamp()


def _wanted(options: argparse.Namespace) -> tuple[float, float]:
    """Begin and end, seconds UTC; a begin below zero counts back from the source's end."""
    if options.last is not None:
        if options.begin or options.end:
            raise ValueError("--last, or --from and --to, not both")
        if not 0.0 < options.last < math.inf:
            raise ValueError("--last takes minutes, more than none")
        return -60.0 * options.last, math.inf
    begin, end = _moment(options.begin, 0.0), _moment(options.end, math.inf)
    if begin >= end:
        raise ValueError("--from is not before --to")
    return begin, end


def told_of(seen: Observed) -> tuple[dict[str, Any], dict[str, SensorFigures]]:
    """The documented object, and the sensors' figures in it."""
    span = seen.span
    width = width_of_bins(span[1] - span[0])
    times = sorted(seen.pictures)
    sensors = analyse(seen.sensors, span, times, [seen.pictures[t] for t in times])
    lines = seen.tracks.values()
    kinds = by_class(lines)
    return {
        "source": seen.source,
        "begin": _utc(span[0]),
        "seconds": round(span[1] - span[0], 3),
        "sensors": {
            name: {**one.as_dict(), "by_sector": by_sector(p.bearing for p in seen.sensors[name])}
            for name, one in sensors.items()
        },
        "tracks": {
            kind: {
                **one.as_dict(),
                # A look is no length of time; where tracks were looked at counts alike.
                "by_sector": by_sector(
                    b for line in lines if line.kind == kind for _, b in line.looks
                ),
            }
            for kind, one in kinds.items()
        },
        "over_time": {
            "bin_s": width,
            "detections_per_s": {
                name: [round(v, 3) for _, v in over_bins((p.time for p in plots), span, width)]
                for name, plots in sorted(seen.sensors.items())
            },
            "tracks_standing": {
                kind: [round(v, 3) for _, v in row]
                for kind, row in standing(lines, span, width).items()
            },
        },
    }, sensors


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")


# In the terminal --------------------------------------------------------------------------------

_SENSOR_HEAD = (
    *("sensor", "detections", "a second", "longest gap s", "quiet times", "delay ms", "95 % ms"),
    *("paired", "bias °", "spread °", "told °"),
)
_TRACK_HEAD = ("class", "tracks", "track-seconds", "life s, median", "longest")


def _sensor_row(name: str, figures: SensorFigures) -> list[str]:
    def cell(value: float, digits: int) -> str:
        return f"{value:.{digits}f}" if math.isfinite(value) else "–"

    return [
        name,
        str(figures.detections),
        cell(figures.rate, 1),
        cell(figures.longest_gap, 1),
        str(len(figures.quiet)),
        cell(figures.delay_median * 1e3, 0),
        cell(figures.delay_95 * 1e3, 0),
        str(figures.paired),
        cell(math.degrees(figures.bias), 2),
        cell(math.degrees(figures.spread), 2),
        cell(math.degrees(figures.told), 2),
    ]


def _track_rows(told: dict[str, Any]) -> list[list[str]]:
    return [
        [
            kind,
            str(one["tracks"]),
            f"{one['track_seconds']:.0f}",
            f"{one['life_median_s']:.1f}",
            f"{one['life_longest_s']:.1f}",
        ]
        for kind, one in told["tracks"].items()
    ]


def _sector_rows(told: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    columns = {**told["sensors"], **{f"{k} tracks": one for k, one in told["tracks"].items()}}
    wide = 360 // SECTORS
    rows = [
        [f"{i * wide}–{(i + 1) * wide}°", *(str(one["by_sector"][i]) for one in columns.values())]
        for i in range(SECTORS)
    ]
    return ["bearing", *columns], rows


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        cells = zip(row, widths, strict=True)
        print("  " + "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(cells)))


def _spark(values: Sequence[float], wide: int = 60) -> str:
    """A line of bars, the highest of a few neighbours each."""
    step = math.ceil(len(values) / wide)
    some = [max(values[i : i + step]) for i in range(0, len(values), step)]
    top = max(some, default=0.0)
    return "".join(_BARS[math.ceil(v / top * 8) if top > 0.0 else 0] for v in some)


def _show(told: dict[str, Any], sensors: dict[str, SensorFigures]) -> None:
    print(f"{told['source']}: {told['seconds']:.1f} s from {told['begin']}\n")
    _print_table(_SENSOR_HEAD, [_sensor_row(name, one) for name, one in sensors.items()])
    print()
    _print_table(_TRACK_HEAD, _track_rows(told) or [["none confirmed", "", "", "", ""]])
    print()
    _print_table(*_sector_rows(told))
    over = told["over_time"]
    rows = {
        **{f"{n}, a second": r for n, r in over["detections_per_s"].items()},
        **{f"{k} tracks": r for k, r in over["tracks_standing"].items()},
    }
    wide = max(len(name) for name in rows)
    print(f"\n  over time, {over['bin_s']:g} s and more a bar, full height to the right")
    for name, row in rows.items():
        print(f"  {name.ljust(wide)}  |{_spark(row)}| {max(row):.1f}")
    for name, one in sensors.items():
        for begin, end in one.quiet[:5]:
            print(f"  {name} quiet from {begin:.1f} to {end:.1f} s")
        if len(one.quiet) > 5:
            print(f"  {name} quiet {len(one.quiet) - 5} times more: --json lists them")


# The report -------------------------------------------------------------------------------------


def page(seen: Observed, told: dict[str, Any], sensors: dict[str, SensorFigures]) -> str:
    """The report as one HTML file."""
    span, width = seen.span, told["over_time"]["bin_s"]
    rates = {name: over_bins((p.time for p in seen.sensors[name]), span, width) for name in sensors}

    def bearings(plots: Sequence[Plot]) -> list[tuple[float, float]]:
        return [
            (p.time - span[0], math.degrees(p.bearing)) for p in plots if math.isfinite(p.bearing)
        ]

    looks: dict[str, list[tuple[float, float]]] = {}
    for line in seen.tracks.values():
        looks.setdefault(line.kind, []).extend(
            (t - span[0], math.degrees(b)) for t, b in line.looks if math.isfinite(b)
        )
    axes = ("seconds", "degrees from north")
    parts = [
        f"<p>{told['seconds']:.1f} s from {told['begin']}.</p>",
        "<h2>Sensors</h2>",
        table(_SENSOR_HEAD, [_sensor_row(name, one) for name, one in sensors.items()]),
        "<p>Paired: detections that a confirmed track lay close to. Bias and spread: of the "
        "sensor's bearing from that track's; told: the error that the sensor itself states.</p>",
        over_time("Detections", "detections a second", rates),
        scatter(
            "Bearings of detections",
            axes,
            {name: bearings(seen.sensors[name]) for name in sensors},
            (0.0, 360.0),
        ),
        "<h2>Confirmed tracks</h2>",
        table(_TRACK_HEAD, _track_rows(told)) if told["tracks"] else "<p>None.</p>",
        over_time(
            "Confirmed tracks at a time",
            "tracks",
            standing(seen.tracks.values(), span, width),
        ),
        scatter("Bearings of confirmed tracks", axes, dict(sorted(looks.items())), (0.0, 360.0)),
        rose(
            "Where from: detections of each sensor",
            {name: one["by_sector"] for name, one in told["sensors"].items()},
        ),
        rose(
            "Where from: confirmed tracks of each class",
            {kind: one["by_sector"] for kind, one in told["tracks"].items()},
        ),
        table(*_sector_rows(told)),
    ]
    return document(f"Analysis of {seen.source}", parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Analyse a recording or the history; return the exit status."""
    made = parser()
    options = made.parse_args(argv)
    try:
        begin, end = _wanted(options)
    except ValueError as error:
        made.error(str(error))
    try:
        source = options.source
        if source is None:
            where = places()
            source = kept_at(where, take(where).values, "dronedb")
        seen = read(source.expanduser().absolute(), begin, end)
    except (BagError, StoreError, NothingError) as error:
        print(f"analyze: {error}", file=sys.stderr)
        return 1
    told, sensors = told_of(seen)
    if options.html is not None:
        try:
            options.html.write_text(page(seen, told, sensors), encoding="utf-8")
        except OSError as error:
            print(f"analyze: cannot write {options.html}: {error.strerror}", file=sys.stderr)
            return 1
    if options.json:
        print_json(told)
    else:
        _show(told, sensors)
        if options.html is not None:
            print(f"\n  report  {options.html}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
