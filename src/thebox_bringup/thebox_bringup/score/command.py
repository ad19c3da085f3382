# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""``thebox score``: how good a recording's tracks are, against the truth."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from thebox_bringup.recording.bag import BagError
from thebox_bringup.score.figures import Scorecard, score, summary
from thebox_bringup.score.load import Recording, load
from thebox_bringup.score.report import page
from thebox_bringup.score.truth import Path3, TruthError, load_truth
from thebox_core.geodesy import Datum

__all__ = ["main", "parser"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="thebox score",
        description="Score a recording's tracks against what was really there: the simulated "
        "sky's truth in the recording, or a file of positions (GPX, CSV, a drone's log, JSON "
        "lines).",
        epilog="exit codes: 0 scored; 1 the recording or the truth cannot be used; 2 something "
        "given is wrong",
    )
    made.add_argument("bag", type=Path, help="folder of a bag, or an MCAP file")
    made.add_argument("--truth", type=Path, metavar="FILE", help=".gpx, .csv or .jsonl")
    made.add_argument("--tracks", default="", metavar="TOPIC", help="default: what ends in /tracks")
    made.add_argument(
        "--classes",
        default="drone",
        metavar="A,B",
        help="classes of objects that are scored, or all; default drone",
    )
    made.add_argument(
        "--cutoff", type=float, default=100.0, help="metres between track and object; default 100"
    )
    made.add_argument(
        "--range-max", type=float, default=math.inf, help="metres; beyond it nothing is expected"
    )
    made.add_argument(
        "--datum", metavar="LAT,LON,ALT", help="the map's origin, where the bag does not tell it"
    )
    made.add_argument("--json", action="store_true", help="the figures as JSON")
    made.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Score a recording; return the exit status."""
    options = parser().parse_args(argv)
    if not options.cutoff > 0.0 or not options.range_max > 0.0:
        parser().error("--cutoff and --range-max must be above 0")
    try:
        datum = _datum(options.datum)
        recording = load(options.bag.absolute(), options.tracks)
        truth = _truth(options.truth, recording, datum)
    except ValueError as error:
        if isinstance(error, TruthError):
            print(f"score: {error}", file=sys.stderr)
            return 1
        parser().error(str(error))
    except BagError as error:
        print(f"score: {error}", file=sys.stderr)
        return 1
    names = [name.strip() for name in options.classes.split(",") if name.strip()]
    card = score(
        recording.pictures,
        truth,
        recording.heard,
        classes=() if names in ([], ["all"]) else names,
        cutoff=options.cutoff,
        range_max=options.range_max,
    )
    if options.html is not None:
        try:
            options.html.write_text(
                page(options.bag.name, card, recording.pictures, truth), encoding="utf-8"
            )
        except OSError as error:
            print(f"score: cannot write {options.html}: {error.strerror}", file=sys.stderr)
            return 1
    if options.json:
        print(json.dumps(card.as_dict(), indent=2))
    else:
        _show(card, options.html)
    if not card.objects:
        print(
            "score: no object of these classes was there while tracks were recorded; do the times "
            "of both agree?",
            file=sys.stderr,
        )
        return 1
    return 0


def _datum(text: str | None) -> Datum | None:
    if text is None:
        return None
    try:
        latitude, longitude, altitude = (float(part) for part in text.split(","))
        return Datum(math.radians(latitude), math.radians(longitude), altitude)
    except ValueError:
        raise ValueError(f"--datum {text}: write it like 59.91,10.75,0") from None


def _truth(path: Path | None, recording: Recording, datum: Datum | None) -> list[Path3]:
    if path is None:
        if not recording.truth:
            raise TruthError("the recording holds no truth: give one with --truth FILE")
        return recording.truth
    origin = datum or recording.datum
    return load_truth(path, None if origin is None else origin.to_map, recording.begin)


def _show(card: Scorecard, report: Path | None) -> None:
    for name, value in summary(card).items():
        print(f"  {name:<32}{value}")
    told = card.as_dict()
    print("\n  by range            object-seconds  detected   CEP50     R95")
    for band, row in told["by_range"].items():
        if row["object_seconds"]:
            seen = _cell(row["probability_of_detection"], 100, "%")
            errors = f"{_cell(row['cep50_m']):>8}{_cell(row['r95_m']):>8}"
            print(f"  {band:<20}{row['object_seconds']:>14}{seen:>10}{errors}")
    print("\n  by sensor           detections   object-seconds seen   of nothing")
    for sensor, row in told["by_sensor"].items():
        seen = _cell(row["object_seconds_seen"], 100, "%")
        nothing = _cell(row["unexplained"], 100, "%")
        print(f"  {sensor:<20}{row['detections']:>10}{seen:>22}{nothing:>13}")
    if report is not None:
        print(f"\n  report              {report}")


def _cell(value: float | None, times: float = 1.0, unit: str = "") -> str:
    return "–" if value is None else f"{value * times:.1f}{unit}"


if __name__ == "__main__":
    raise SystemExit(main())
