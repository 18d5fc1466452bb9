"""Limit claims: the distance from the limit along each run, coloured by how the run ended."""

from __future__ import annotations

import math

import numpy as np

from bounds.claims import Tends
from properties.limits import (
    APPROACHING,
    NO_TRAP,
    REACHED,
    SETTLED_ELSEWHERE,
    TOLERANCE,
    TRAPPED,
    UNCLEAR,
    UNMOVED,
    LimitEvidence,
    LimitRun,
)
from reports import drawing
from reports.drawing import Array, Figure, Line
from reports.words import count, listed, plain

#: Outcomes from good to bad, with their colours: the same in every figure.
OUTCOMES = {
    REACHED: drawing.GREEN,
    APPROACHING: drawing.SKY,
    UNMOVED: drawing.GREY,
    UNCLEAR: drawing.ORANGE,
    SETTLED_ELSEWHERE: drawing.VERMILLION,
    TRAPPED: drawing.PURPLE,
    NO_TRAP: "#b0b0b0",
}
_DRAWN = 120  # runs drawn, those that ended farthest first
_FLOOR = -12.0  # log10 of the distance below which a curve is held up


def distance_figure(evidence: LimitEvidence) -> Figure:
    """Draw the distance from a finite limit, or the growth towards an infinite one, in dyadic windows."""
    claim = evidence.theorem.claim
    assert isinstance(claim, Tends)
    order = list(OUTCOMES)
    runs = sorted(evidence.runs, key=lambda run: (-order.index(run.outcome), -run.distance))[:_DRAWN]
    runs.reverse()  # the ones that matter are drawn last, on top
    lines = [line for run in runs if (line := _line(run)) is not None]
    if not lines:
        return Figure.none("No figure: no run lasted over seven dyadic windows at a positive distance.")
    title = plain(claim.quantity)
    if not evidence.infinite and claim.to != 0:
        title = f"|{title} − {claim.to}|"
    x = drawing.step_axis(lines)
    if not evidence.infinite:
        ends = np.linspace(x.low, x.high, 3)
        level = np.full(3, math.log10(TOLERANCE))
        lines.append(Line(f"tolerance {TOLERANCE:g}", ends, level, drawing.BLACK, drawing.DASHED, 1.3))
    y = drawing.axis_over(title, np.concatenate([line.y for line in lines]))
    chart = drawing.layered(*drawing.line_layers(lines, x, y), columns=3)
    return drawing.figure(chart, _describe(evidence, title, len(runs)), lines=drawing.line_rows(lines))


def _line(run: LimitRun) -> Line | None:
    """log10 of the run's windows; None where nothing is positive, as logarithmic axes need."""
    positive = run.windows.values > 0
    if not positive.any():
        return None
    t = np.log10(run.windows.t[positive])
    values: Array = np.maximum(np.log10(run.windows.values[positive]), _FLOOR)
    return Line(run.outcome, t, values, OUTCOMES[run.outcome], width=1.5)


def _describe(evidence: LimitEvidence, title: str, drawn: int) -> str:
    seen = [f"{name} on {evidence.outcomes[name]}" for name in OUTCOMES if evidence.outcomes[name]]
    what = "Smallest" if evidence.infinite else "Largest"
    some = f" The {drawn} that ended farthest are drawn." if drawn < len(evidence.runs) else ""
    zero = sum(not (run.windows.values > 0).any() for run in evidence.runs)
    none = f" {count(zero, 'run')} at distance 0 throughout cannot be shown." if zero else ""
    tiny = any(0 < value < 10.0**_FLOOR for run in evidence.runs for value in run.windows.values)
    held = f" Values below {drawing.power_label(_FLOOR)} are drawn there." if tiny else ""
    return (
        f"{what} value of {title} in each of the last dyadic windows, one line a run: {listed(seen)} of "
        f"{count(len(evidence.runs), 'run')}.{some}{held}{none}"
    )
