# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Pages with plots over time, drawn by the scorecard's report. No ROS."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from thebox_bringup.score.report import COLOURS, STYLE, Axes, table

__all__ = ["document", "over_time", "rose", "scatter", "table"]


def _legend(names: Sequence[str]) -> str:
    return " ".join(
        f'<span style="color:{COLOURS[index % len(COLOURS)]}">&#9632;&nbsp;{html.escape(name)}'
        "</span>"
        for index, name in enumerate(names)
    )


def over_time(
    title: str,
    unit: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    dots: bool = False,
) -> str:
    """A figure of lines (or dots) over seconds, a colour for each name; NaN breaks a line."""
    places = [place for line in series.values() for place in line if math.isfinite(place[1])]
    if not places:
        return f"<h2>{html.escape(title)}</h2><p>Nothing was seen.</p>"
    top = max(y for _, y in places)
    axes = Axes(
        (min(x for x, _ in places), max(*(x for x, _ in places), 1.0)),
        (min(0.0, *(y for _, y in places)), top * 1.1 if top > 0.0 else 1.0),
        ("seconds", unit),
    )
    for index, line in enumerate(series.values()):
        colour = COLOURS[index % len(COLOURS)]
        if dots:
            axes.dots([place for place in line if math.isfinite(place[1])], colour)
        else:
            axes.line(line, colour)
    drawing = axes.done("")
    return f"<h2>{html.escape(title)}</h2><p>{_legend(list(series))}</p>{drawing}"


def scatter(
    title: str,
    labels: tuple[str, str],
    series: Mapping[str, Sequence[tuple[float, float]]],
    y: tuple[float, float],
) -> str:
    """A figure of dots with a given range of y."""
    places = [place for line in series.values() for place in line]
    if not places:
        return f"<h2>{html.escape(title)}</h2><p>Nothing was seen.</p>"
    axes = Axes(
        (min(x for x, _ in places), max(*(x for x, _ in places), 1.0)), y, labels, height=380
    )
    for index, line in enumerate(series.values()):
        # Every so many, so that a long span stays a small file.
        step = max(1, len(line) // 3000)
        axes.dots(list(line)[::step], COLOURS[index % len(COLOURS)], 2.0)
    return f"<h2>{html.escape(title)}</h2><p>{_legend(list(series))}</p>{axes.done('')}"


def rose(title: str, series: Mapping[str, Sequence[int]], size: int = 220) -> str:
    """Counts by sector of bearing, north up, a small compass for each name.

    The area of a sector, not its radius, is as its count; each compass has its own scale.
    """
    drawings = []
    for index, (name, counts) in enumerate(series.items()):
        top, total = max(counts, default=0), sum(counts)
        if not top:
            continue
        middle, full = size / 2, size / 2 - 18
        parts = [
            f'<circle cx="{middle}" cy="{middle}" r="{full * share:.1f}" fill="none" '
            'stroke="#e6e9ed"/>'
            for share in (1.0, math.sqrt(0.5))
        ]
        turn = 2.0 * math.pi / len(counts)
        for sector, count in enumerate(counts):
            radius = full * math.sqrt(count / top)
            ends = [
                f"{middle + radius * math.sin(a):.1f} {middle - radius * math.cos(a):.1f}"
                for a in (sector * turn, (sector + 1) * turn)
            ]
            parts.append(
                f'<path d="M{middle} {middle}L{ends[0]}'
                f'A{radius:.1f} {radius:.1f} 0 0 1 {ends[1]}Z" '
                f'fill="{COLOURS[index % len(COLOURS)]}" fill-opacity="0.75"/>'
            )
        for text, a in (("N", 0.0), ("E", 0.5), ("S", 1.0), ("W", 1.5)):
            x = middle + (full + 9) * math.sin(a * math.pi)
            y = middle - (full + 9) * math.cos(a * math.pi) + 4
            parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>')
        drawings.append(
            f'<figure style="display:inline-block;margin:.3rem"><svg viewBox="0 0 {size} {size}" '
            f'width="{size}" height="{size}" role="img">{"".join(parts)}</svg>'
            f"<figcaption>{html.escape(name)}: {total}, outer ring {top}</figcaption></figure>"
        )
    body = "".join(drawings) or "<p>Nothing was seen.</p>"
    return f"<h2>{html.escape(title)}</h2><div>{body}</div>"


def document(title: str, parts: Sequence[str]) -> str:
    """One HTML file that needs no network."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>{''.join(parts)}"
        "</body></html>\n"
    )
