# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""A scorecard as one HTML file that needs no network: tables, and plots as SVG. No ROS."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from thebox_bringup.score.figures import Picture, Scorecard, summary
from thebox_bringup.score.truth import Path3

__all__ = ["COLOURS", "STYLE", "Axes", "page", "table"]

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 12, 40
COLOURS = ("#0b6e99", "#c2410c", "#3f7d20", "#7b4397", "#8a6d00", "#b02a5b")
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1b1f24;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;margin:.5rem 0}
td,th{padding:.2rem .9rem .2rem 0;text-align:left;border-bottom:1px solid #d8dee4}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
figure{margin:1rem 0}figcaption{color:#57606a;font-size:.9rem}
svg{max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:#424a53}
"""


def _ticks(low: float, high: float, count: int = 6) -> list[float]:
    span = max(high - low, 1e-9)
    raw = span / count
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    first = math.ceil(low / step) * step
    return [first + i * step for i in range(int((high - first) / step + 1e-9) + 1)]


class Axes:
    """A frame with two axes; equal scales on request, as a map needs."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        labels: tuple[str, str],
        *,
        height: int = _HEIGHT,
        equal: bool = False,
    ) -> None:
        self.height = height
        wide, tall = _WIDTH - _LEFT - _RIGHT, height - _TOP - _BOTTOM
        if equal:
            scale = max((x[1] - x[0]) / wide, (y[1] - y[0]) / tall, 1e-9)
            middle_x, middle_y = (x[0] + x[1]) / 2, (y[0] + y[1]) / 2
            x = (middle_x - scale * wide / 2, middle_x + scale * wide / 2)
            y = (middle_y - scale * tall / 2, middle_y + scale * tall / 2)
        self._x, self._y = x, y
        self.parts = [
            f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img">'
        ]
        for tick in _ticks(*x):
            at = self.at_x(tick)
            self.parts.append(
                f'<path d="M{at:.1f} {_TOP}V{height - _BOTTOM}" stroke="#e6e9ed"/>'
                f'<text x="{at:.1f}" y="{height - _BOTTOM + 16}" text-anchor="middle">'
                f"{tick:g}</text>"
            )
        for tick in _ticks(*y):
            at = self.at_y(tick)
            self.parts.append(
                f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#e6e9ed"/>'
                f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>'
            )
        self.parts.append(
            f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{height - 6}" text-anchor="middle">'
            f'{html.escape(labels[0])}</text><text transform="translate(13 {height / 2}) '
            f'rotate(-90)" text-anchor="middle">{html.escape(labels[1])}</text>'
        )

    def at_x(self, value: float) -> float:
        """Pixels."""
        low, high = self._x
        return _LEFT + (value - low) / max(high - low, 1e-9) * (_WIDTH - _LEFT - _RIGHT)

    def at_y(self, value: float) -> float:
        """Pixels."""
        low, high = self._y
        tall = self.height - _TOP - _BOTTOM
        return self.height - _BOTTOM - (value - low) / max(high - low, 1e-9) * tall

    def line(self, points: Iterable[tuple[float, float]], colour: str, width: float = 1.6) -> None:
        """A line through points; a NaN breaks it."""
        path, pen = [], "M"
        for x, y in points:
            if math.isnan(x) or math.isnan(y):
                pen = "M"
                continue
            path.append(f"{pen}{self.at_x(x):.1f} {self.at_y(y):.1f}")
            pen = "L"
        self.parts.append(
            f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        )

    def dots(self, points: Iterable[tuple[float, float]], colour: str, radius: float = 1.5) -> None:
        """Points."""
        self.parts += [
            f'<circle cx="{self.at_x(x):.1f}" cy="{self.at_y(y):.1f}" r="{radius}" '
            f'fill="{colour}" fill-opacity="0.55"/>'
            for x, y in points
        ]

    def bars(self, heights: Sequence[float], colour: str) -> None:
        """Draw bars at 0, 1, 2 and so on."""
        for index, value in enumerate(heights):
            if math.isnan(value):
                continue
            left, right = self.at_x(index - 0.35), self.at_x(index + 0.35)
            top, bottom = self.at_y(value), self.at_y(0.0)
            self.parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
                f'height="{bottom - top:.1f}" fill="{colour}"/><text x="{(left + right) / 2:.1f}" '
                f'y="{top - 4:.1f}" text-anchor="middle">{value:.0%}</text>'
            )

    def done(self, caption: str) -> str:
        """The figure."""
        drawing = "".join(self.parts)
        below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        return f"<figure>{drawing}</svg>{below}</figure>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; every column but the first is of numbers."""

    def cells(kind: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{kind}{' class=n' if index else ''}>{html.escape(cell)}</{kind}>"
            for index, cell in enumerate(row)
        )

    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    header = f"<tr>{cells('th', head)}</tr>" if head else ""
    return f"<table>{header}{lines}</table>"


def _number(value: float | None, form: str = ".1f") -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:{form}}"


def _map(pictures: Sequence[Picture], truth: Sequence[Path3], classes: Sequence[str]) -> str:
    paths = [path for path in truth if not classes or path.object_class in classes]
    tracks = [(t.east, t.north) for p in pictures for t in p.tracks if math.isfinite(t.east)]
    # Every so many, so that a long recording stays a small file.
    tracks = tracks[:: max(1, len(tracks) // 6000)]
    everything = [place[:2] for path in paths for place in path.places] or tracks or [(0.0, 0.0)]
    spread = np.array([*everything, *((p.own_east, p.own_north) for p in pictures[:1])])
    low, high = spread.min(axis=0), spread.max(axis=0)
    margin = 0.06 * max(float((high - low).max()), 100.0)
    axes = Axes(
        (low[0] - margin, high[0] + margin),
        (low[1] - margin, high[1] + margin),
        ("east, metres", "north, metres"),
        height=560,
        equal=True,
    )
    axes.dots(
        (
            place
            for place in tracks
            if low[0] - margin <= place[0] <= high[0] + margin
            and low[1] - margin <= place[1] <= high[1] + margin
        ),
        COLOURS[1],
    )
    for path in paths:
        axes.line(((place[0], place[1]) for place in path.places), COLOURS[0])
    axes.line(((p.own_east, p.own_north) for p in pictures), "#1b1f24", 2.5)
    if pictures:
        axes.dots([(pictures[-1].own_east, pictures[-1].own_north)], "#1b1f24", 4.0)
    return axes.done(
        "Plan view: objects (blue), confirmed tracks with a place (orange), own-ship (black)."
    )


def _time(card: Scorecard) -> str:
    begin = card.over_time[0][0] if card.over_time else 0.0
    most = max((max(there, other) for _, there, _, other in card.over_time), default=1)
    last = card.over_time[-1][0] - begin if card.over_time else 1.0
    axes = Axes((0.0, max(last, 1.0)), (0.0, max(most, 1) * 1.1), ("seconds", "objects, tracks"))
    for column, colour in ((1, "#9aa4ae"), (2, COLOURS[0]), (3, COLOURS[1])):
        axes.line(((row[0] - begin, row[column]) for row in card.over_time), colour)
    return axes.done(
        "Objects there (grey), objects with a confirmed track (blue), "
        "confirmed tracks without an object (orange)."
    )


def _errors(card: Scorecard) -> str:
    errors = np.sort(np.array(card.position_errors))
    axes = Axes(
        (0.0, float(errors[-1]) if len(errors) else 1.0),
        (0.0, 1.0),
        ("horizontal position error, metres", "share of seconds"),
    )
    share = np.linspace(0.0, 1.0, min(len(errors), 400)) if len(errors) else np.array([])
    at = np.quantile(errors, share) if len(errors) else share
    axes.line(zip(at.tolist(), share.tolist(), strict=True), COLOURS[0])
    return axes.done(
        f"Position error: half of it within {_number(card.error(50))} m (CEP50), 95 % "
        f"within {_number(card.error(95))} m (R95)."
    )


def _bands(card: Scorecard) -> str:
    names = list(card.by_band)
    axes = Axes((-0.6, len(names) - 0.4), (0.0, 1.12), ("", "probability of detection"))
    # Names in place of the numbers of the axis.
    axes.parts = [
        part for part in axes.parts if 'text-anchor="middle">' not in part or "V" not in part
    ]
    axes.bars([share.value for share in card.by_band.values()], COLOURS[0])
    for index, name in enumerate(names):
        axes.parts.append(
            f'<text x="{axes.at_x(index):.1f}" y="{_HEIGHT - _BOTTOM + 16}" '
            f'text-anchor="middle">{html.escape(name)}</text>'
        )
    return axes.done("Share of the seconds in which an object was there and had a confirmed track.")


def page(name: str, card: Scorecard, pictures: Sequence[Picture], truth: Sequence[Path3]) -> str:
    """Return the report as one HTML document."""
    told = card.as_dict()
    bands: Mapping[str, Mapping[str, float]] = told["by_range"]
    sensors: Mapping[str, Mapping[str, float]] = told["by_sensor"]
    title = f"Scorecard of {name}"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>',
        html.escape(title),
        f"</title><style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
        table((), list(summary(card).items())),
        "<h2>By range</h2>",
        _bands(card),
        table(
            ("range", "object-seconds", "detected", "CEP50 m", "R95 m"),
            (
                (
                    band,
                    str(row["object_seconds"]),
                    _number(row["probability_of_detection"], ".1%"),
                    _number(row["cep50_m"]),
                    _number(row["r95_m"]),
                )
                for band, row in bands.items()
            ),
        ),
        "<h2>Position</h2>",
        _errors(card),
        _map(pictures, truth, card.classes),
        "<h2>Over time</h2>",
        _time(card),
        "<h2>By sensor</h2>",
        table(
            ("sensor", "detections", "object-seconds seen", "detections of nothing"),
            (
                (
                    sensor,
                    str(row["detections"]),
                    _number(row["object_seconds_seen"], ".1%"),
                    _number(row["unexplained"], ".1%"),
                )
                for sensor, row in sensors.items()
            ),
        ),
        "<h2>By object</h2>",
        table(
            (
                "object",
                "class",
                "seconds",
                "tracked",
                "longest",
                "changes",
                "alert after s",
                "at m",
            ),
            (
                (
                    one.id,
                    one.object_class,
                    str(one.seconds),
                    str(one.held),
                    str(one.longest),
                    str(one.changes),
                    _number(one.time_to_alert),
                    _number(one.range_at_alert, ".0f"),
                )
                for one in card.objects
            ),
        ),
        "</body></html>\n",
    ]
    return "".join(parts)
