"""Slack over time: how far the larger side of an inequality lies above the smaller one, along all runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from properties.judge import Curve
from properties.verdict import JudgedRun, PointwiseEvidence
from properties.wording import near_equality
from reports import drawing
from reports.drawing import Array, Axis, Figure, Line, power_label
from reports.words import count

MEDIAN, BAND, WORST, EQUAL = "median of the runs", "10 to 90 % of the runs", "hardest instance", "equality"
_GRID = 40  # common steps at which runs are compared
_CEILING = 12.0  # log10 of a slack beyond which nothing is told apart, where smaller ones are to be seen


def slack(curve: Curve) -> tuple[Array, Array]:
    """Steps t ≥ 1 and log10(larger/smaller side) where both sides are positive; 0 is equality."""
    gap = curve.large - curve.small
    shown = (curve.t >= 1) & np.isfinite(gap)
    return curve.t[shown].astype(np.float64), gap[shown]


def slack_figure(evidence: PointwiseEvidence) -> Figure | None:
    """Draw the median slack, its spread over the runs, and the run that comes nearest to breaking the claim.

    None where on no step t ≥ 1 both sides are positive.
    """
    curves = [slack(run.curve) for run in evidence.runs if run.curve is not None]
    curves = [(t, y) for t, y in curves if t.size]
    if not curves:
        return None
    grid = np.unique(np.rint(np.geomspace(min(t[0] for t, _ in curves), max(t[-1] for t, _ in curves), _GRID)))
    table = np.array([np.interp(np.log(grid), np.log(t), y, math.nan, math.nan) for t, y in curves])
    seen = np.isfinite(table).any(axis=0)
    grid, table = grid[seen], table[:, seen]
    low, median, high = np.nanquantile(table, [0.1, 0.5, 0.9], axis=0)
    worst = _hardest(evidence.worst)
    parts = [low, median, high] + ([] if worst is None else [worst.y])
    ceiling = _CEILING if min(float(part.min()) for part in parts) < _CEILING / 2 else math.inf
    cut = any(bool((part > ceiling).any()) for part in parts)
    low, median, high = (np.minimum(values, ceiling) for values in (low, median, high))
    steps = np.log10(grid)
    lines = [Line(MEDIAN, steps, median, drawing.BLUE)]
    if worst is not None:
        lines.append(Line(WORST, worst.x, np.minimum(worst.y, ceiling), drawing.VERMILLION))
    x = drawing.step_axis(lines)
    x = Axis(x.title, 0.0, max(x.high, math.log10(2.0)))
    lines.append(Line(EQUAL, np.linspace(x.low, x.high, 3), np.zeros(3), drawing.BLACK, drawing.DASHED, 1.3))
    y = drawing.axis_over("larger side / smaller side", np.concatenate([*(line.y for line in lines), low, high]))
    band = [
        {"x": round(float(t), 3), "low": round(float(a), 3), "high": round(float(b), 3), "series": BAND}
        for t, a, b in zip(steps, low, high, strict=True)
    ]
    chart = drawing.layered(_band(x, y), *drawing.line_layers(lines, x, y), height=220)
    alt = _describe(evidence, len(curves), grid, median, cut)
    return drawing.figure(chart, alt, lines=drawing.line_rows(lines), band=band)


def _hardest(worst: JudgedRun | None) -> Line | None:
    """The hardest run's slack, thinned to the grid's fineness with its least value kept."""
    if worst is None or worst.curve is None:
        return None
    t, y = slack(worst.curve)
    if not t.size:
        return None
    kept = np.unique([*np.linspace(0, t.size - 1, min(t.size, _GRID)).astype(int), int(y.argmin())])
    return Line(WORST, np.log10(t[kept]), y[kept], drawing.VERMILLION)


def _band(x: Axis, y: Axis) -> Any:
    import altair as alt

    fill = alt.Fill("series:N", scale=alt.Scale(domain=[BAND], range=[drawing.SKY]))
    area = alt.Chart(alt.NamedData(name="band")).mark_area(opacity=0.35, clip=True)
    at = drawing.channel(alt.X, "x:Q", x)
    return area.encode(x=at, y=drawing.channel(alt.Y, "low:Q", y), y2="high:Q", fill=fill)


def _describe(evidence: PointwiseEvidence, runs: int, grid: Array, median: Array, cut: bool) -> str:
    worst = evidence.worst
    text = (
        f"How many times the larger side is the smaller one, over the steps of {count(runs, 'run')}; below the "
        f"dashed line the claim would be broken. The median goes from {power_label(float(median[0]))} at step "
        f"{grid[0]:,.0f} to {power_label(float(median[-1]))} at step {grid[-1]:,.0f}."
    )
    if worst is not None and math.isfinite(worst.log_ratio):
        near = near_equality(worst.log_ratio) if worst.log_ratio <= 0 else None
        comes = f"to {power_label(-worst.log_ratio)}" if near is None else near
        text += f" The hardest instance ({worst.source}) comes {comes} at step {worst.step:,}."
    return f"{text} Values beyond {power_label(_CEILING)} are drawn there." if cut else text
