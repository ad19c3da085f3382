# Copyright 2026 The TheBox contributors
# SPDX-License-Identifier: Apache-2.0
"""Pages with plots over time, drawn by the scorecard's report. No ROS."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from thebox_bringup.score.report import COLOURS, STYLE, Axes, table

__all__ = ["document", "over_time", "scatter", "table"]


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


def document(title: str, parts: Sequence[str]) -> str:
    """One HTML file that needs no network."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{html.escape(title)}</h1>{''.join(parts)}"
        "</body></html>\n"
    )
