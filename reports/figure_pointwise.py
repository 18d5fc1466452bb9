"""Bound against experience: the measured side of an inequality over the steps, and the bound on the worst run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bounds import NOTATION, Theorem
from properties.judge import Curve
from properties.verdict import JudgedRun, PointwiseEvidence
from reports import drawing
from reports.drawing import Array, Axis, Figure, Line, power_label
from reports.words import plain

_GRID = 60  # common steps at which runs are compared
MEDIAN, BAND, WORST, BOUND = "median of the runs", "10 to 90 % of the runs", "worst instance", "its bound"
TRIVIAL = "trivial level"
_STYLE = {
    MEDIAN: (drawing.BLUE, drawing.SOLID),
    WORST: (drawing.VERMILLION, drawing.SOLID),
    BOUND: (drawing.BLACK, drawing.DASHED),
    TRIVIAL: (drawing.GREY, drawing.DOTTED),
}


@dataclass(frozen=True, eq=False)
class Summary:
    """log10 of the measured side over all runs on common steps: 10 %, 50 % and 90 % quantiles, shape (K,) each."""

    t: Array
    low: Array
    median: Array
    high: Array


def sides(theorem: Theorem, curve: Curve) -> tuple[Array, Array]:
    """log10 of the measured side and of the bound along one curve."""
    return (curve.small, curve.large) if theorem.bound_is_upper else (curve.large, curve.small)


def summarise(theorem: Theorem, runs: Sequence[JudgedRun]) -> Summary | None:
    """Quantiles over runs of the measured side, each run interpolated (log-log) within its own steps only."""
    curves = [points(run.curve.t, sides(theorem, run.curve)[0]) for run in runs if run.curve is not None]
    curves = [(t, y) for t, y in curves if t.size]
    if not curves:
        return None
    first, last = min(t[0] for t, _ in curves), max(t[-1] for t, _ in curves)
    grid = np.unique(np.rint(np.geomspace(first, last, _GRID)))
    table = np.array([np.interp(np.log(grid), np.log(t), y, math.nan, math.nan) for t, y in curves])
    seen = np.isfinite(table).any(axis=0)
    low, median, high = np.nanquantile(table[:, seen], [0.1, 0.5, 0.9], axis=0)
    return Summary(grid[seen], low, median, high)


def points(t: NDArray[np.int64], y: Array) -> tuple[Array, Array]:
    """The points that log-log axes can show: t ≥ 1 and a positive value."""
    shown = (t >= 1) & np.isfinite(y)
    return t[shown].astype(np.float64), y[shown]


def bound_figure(evidence: PointwiseEvidence) -> Figure:
    """Draw one theorem's bound against what was measured.

    Returns
    -------
    Figure
        None where nothing can be drawn: no applicable run, runs of step 0 only, or values that are never
        positive.
    """
    theorem = evidence.theorem
    runs = list(evidence.runs)
    if evidence.worst is not None and evidence.worst not in runs:
        runs.append(evidence.worst)
    summary = summarise(theorem, runs)
    lines = list(_lines(theorem, evidence.worst, summary))
    if not lines:
        return Figure.none(_why_not(runs))
    lines += _trivial(theorem, lines)
    text = _describe(theorem, evidence, summary)
    data = {"lines": drawing.line_rows(lines), "band": _band_rows(summary)}
    return drawing.figure(_chart(theorem, lines, summary), text, **data)


def _lines(theorem: Theorem, worst: JudgedRun | None, summary: Summary | None) -> Iterator[Line]:
    if summary is not None:
        yield Line(MEDIAN, np.log10(summary.t), summary.median, *_STYLE[MEDIAN])
    if worst is not None and worst.curve is not None:
        for name, side in zip((WORST, BOUND), sides(theorem, worst.curve), strict=True):
            t, y = points(worst.curve.t, side)
            if t.size:
                yield Line(name, np.log10(t), y, *_STYLE[name])


def _trivial(theorem: Theorem, lines: Sequence[Line]) -> Iterator[Line]:
    """The level beyond which the bound says nothing, where it is the same number on every instance."""
    level = theorem.trivial_level
    if level is not None and level.is_number and level > 0:
        last = max(float(line.x.max()) for line in lines)
        yield Line(TRIVIAL, np.linspace(0.0, last, 3), np.full(3, math.log10(float(level))), *_STYLE[TRIVIAL])


def _why_not(runs: Sequence[JudgedRun]) -> str:
    curves = [run.curve for run in runs if run.curve is not None]
    if not curves:
        return "No figure: no run was judged."
    if all((curve.t < 1).all() for curve in curves):
        return "No figure: every run was judged at step 0 only, which a logarithmic axis of steps cannot show."
    return "No figure: the measured values are never positive, which logarithmic axes cannot show."


def _describe(theorem: Theorem, evidence: PointwiseEvidence, summary: Summary | None) -> str:
    count = sum(run.curve is not None for run in evidence.runs)
    what = "below" if theorem.bound_is_upper else "above"
    text = f"{measured_name(theorem)} over the steps of {count} runs; the claim keeps it {what} the dashed bound."
    if summary is None:
        return text
    start, end = (power_label(float(value)) for value in summary.median[[0, -1]])
    return f"{text} The median goes from {start} at step {summary.t[0]:.0f} to {end} at step {summary.t[-1]:.0f}."


def measured_name(theorem: Theorem) -> str:
    """The measured side in words: the observable's name and meaning, or the expression."""
    side = theorem.small if theorem.bound_is_upper else theorem.large
    if side.is_Symbol:
        return f"{plain(side)}, {NOTATION[side.name].meaning}"
    return plain(side)


def _chart(theorem: Theorem, lines: list[Line], summary: Summary | None) -> Any:
    import altair as alt

    shown = [line.y for line in lines] + ([] if summary is None else [summary.low, summary.high])
    side = theorem.small if theorem.bound_is_upper else theorem.large
    x = drawing.step_axis(lines)
    x = Axis(x.title, 0.0, max(x.high, np.log10(2.0)))
    y = drawing.axis_over(plain(side), np.concatenate(shown))
    layers: list[Any] = []
    if summary is not None:
        fill = alt.Fill("series:N", scale=alt.Scale(domain=[BAND], range=[drawing.SKY]))
        area = alt.Chart(alt.NamedData(name="band")).mark_area(opacity=0.35)
        at = drawing.channel(alt.X, "x:Q", x)
        layers.append(area.encode(x=at, y=drawing.channel(alt.Y, "low:Q", y), y2="high:Q", fill=fill))
    layers += drawing.line_layers(lines, x, y)
    return drawing.layered(*layers)


def _band_rows(summary: Summary | None) -> list[dict[str, Any]]:
    if summary is None:
        return []
    rows = zip(np.log10(summary.t), summary.low, summary.high, strict=True)
    return [
        {"x": round(float(t), 3), "low": round(float(low), 3), "high": round(float(high), 3), "series": BAND}
        for t, low, high in rows
    ]
