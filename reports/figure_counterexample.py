"""Pictures of a counterexample: where W points, how it got there, and the two sides along the run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bounds import Theorem
from properties.scene import Directions, Sides
from reports import drawing
from reports.drawing import Array, Axis, Figure, Line, power_label
from reports.words import fixed, number, plain

_WIDTH, _HEIGHT = 440, 230
_SHORT = 60  # steps up to which the axis of steps is a plain one
_DIVERGING = ["#B2500F", "#F1B184", "#F7F7F7", "#8FBEDD", "#0A5C94"]
_DARK, _LIGHT = "#101010", "#FFFFFF"  # of text on the cells, whatever the page's colours are


def direction_figure(directions: Directions, name: str) -> Figure | None:
    """Draw the weights at the last step beside the max-margin solution, both of norm 1, in the same colours.

    None where the weights are zero or too large to be shown.
    """
    if directions.weights is None or directions.solution is None:
        return None
    found, wanted = (np.atleast_2d(values.T).T for values in (directions.weights, directions.solution))
    rows, columns = found.shape
    shift = columns + 0.6
    cells = [
        {
            "x": round(left + j, 1),
            "x2": round(left + j + 1, 1),
            "r": i,
            "r2": i + 1,
            "w": round(float(values[i, j]), 3),
            "text": number(round(float(values[i, j]), 2) + 0.0, 2),
        }
        for left, values in ((0.0, found), (shift, wanted))
        for i in range(rows)
        for j in range(columns)
    ]
    gap = float(np.abs(found - wanted).max())
    text = (
        f"{name} at step {int(directions.t[-1]):,} (left) beside its max-margin solution (right), each divided by "
        f"its norm. Entries differ by at most {gap:.2g}; the cosine between them is "
        f"{number(float(directions.cosine[-1]), 6)}."
    )
    return drawing.figure(_matrices(rows, columns, shift, name), text, cells=cells)


def _matrices(rows: int, columns: int, shift: float, name: str) -> Any:
    import altair as alt

    titles = {columns / 2: f"{name} / ‖{name}‖", shift + columns / 2: f"{name}_mm / ‖{name}_mm‖"}
    words = ", ".join(f"'{centre:.2f}': '{title}'" for centre, title in titles.items())
    axis = alt.Axis(
        values=list(titles),
        labelExpr=f"({{{words}}})[format(datum.value, '.2f')]",
        orient="top",
        title=None,
        grid=False,
        ticks=False,
        domain=False,
        labelFontSize=13,
    )
    x = alt.X("x:Q", axis=axis, scale=alt.Scale(domain=[0, shift + columns], nice=False))
    y = alt.Y("r:Q", axis=None, scale=alt.Scale(domain=[rows, 0], nice=False))
    scale = alt.Scale(domain=[-1, -0.5, 0, 0.5, 1], range=_DIVERGING)
    base = alt.Chart(alt.NamedData(name="cells"))
    cells = base.mark_rect().encode(
        x=x, x2="x2:Q", y=y, y2="r2:Q", color=alt.Color("w:Q", scale=scale, legend=None)
    )
    tone = alt.condition("abs(datum.w) > 0.6", alt.value(_LIGHT), alt.value(_DARK))
    labels = (
        base.transform_calculate(x="datum.x + 0.5", r="datum.r + 0.5")
        .mark_text(fontSize=11)
        .encode(x=x, y=y, text="text:N", color=tone)
    )
    side = 50 if columns <= 4 else 42
    width = max(round(side * (2 * columns + 0.6)), 240)
    return drawing.layered(cells, labels, width=width, height=side * rows)


def cosine_figure(directions: Directions, name: str) -> Figure | None:
    """Draw cos(W_t, W_mm) over the steps; None for a run that is too short for a curve."""
    title = f"cos({name}_t, {name}_mm)"
    text = (
        f"The cosine between {name}_t and its max-margin solution, {{first}} at step {{start}} and {{last}} at "
        f"step {{end}}; 1 is the same direction."
    )
    return _curve(directions.t, directions.cosine, title, text, log=False)


def norm_figure(directions: Directions, name: str) -> Figure | None:
    """Draw ‖W_t‖ over the steps; None for a run that is too short for a curve."""
    text = f"The norm of {name}_t, {{first}} at step {{start}} and {{last}} at step {{end}}."
    return _curve(directions.t, directions.norm, f"‖{name}_t‖", text, log=True)


def _curve(t: Any, values: Array, title: str, text: str, *, log: bool) -> Figure | None:
    shown = np.isfinite(values) & ((values > 0) if log else True)
    steps, axis = _steps(t[shown], int(t[-1]))
    if steps.size < 2:
        return None
    kept = values[shown][-steps.size :]
    y = np.log10(kept) if log else kept
    line = Line(title, steps, y, drawing.BLUE)
    chart = drawing.layered(
        *drawing.line_layers([line], axis, drawing.axis_over(title, y, log=log)), width=_WIDTH, height=170
    )
    first, last = (power_label(float(y[k])) if log else fixed(float(y[k]), 6) for k in (0, -1))
    start = int(t[shown][-steps.size])
    alt = text.format(first=first, start=f"{start:,}", last=last, end=f"{int(t[shown][-1]):,}")
    return drawing.figure(chart, alt, lines=drawing.line_rows([line]))


def sides_figure(theorem: Theorem, sides: Sides, step: int) -> Figure | None:
    """Draw both sides of the claim along the run, the step marked at which it is certified to fail.

    None where the claim speaks of fewer than two of its steps.
    """
    positive = np.isfinite(sides.log_small) & np.isfinite(sides.log_large)
    log = bool(positive[sides.t == step].all()) and float(positive.mean()) > 0.5
    values = (sides.log_small, sides.log_large) if log else (sides.small, sides.large)
    shown = positive if log else np.isfinite(sides.small) & np.isfinite(sides.large)
    steps, x = _steps(sides.t[shown], max(int(sides.t[-1]), step))
    if steps.size < 2:
        return None
    small, large = (side[shown][-steps.size :] for side in values)
    names = f"smaller side: {plain(theorem.small)}", f"larger side: {plain(theorem.large)}"
    lines = [
        Line(_short(names[0]), steps, small, drawing.BLUE),
        Line(_short(names[1]), steps, large, drawing.BLACK, drawing.DASHED),
    ]
    y = drawing.axis_over("both sides", np.concatenate([small, large]), log=log)
    chart = drawing.layered(*drawing.line_layers(lines, x, y), _mark(x), width=_WIDTH, height=_HEIGHT, columns=1)
    crossed = sides.t[shown][-steps.size :][small > large]
    first = f" In float64 it is first broken at step {int(crossed[0]):,}." if crossed.size else ""
    text = (
        f"Both sides over the steps of the run that the claim speaks of; it says that the dashed side is never "
        f"below the other. The vertical line marks step {step:,}, where balls prove the contrary.{first}"
    )
    certified = [{"x": round(math.log10(max(step, 1)) if x.log else float(step), 4)}]
    return drawing.figure(chart, text, lines=drawing.line_rows(lines), certified=certified)


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:57]}…"


def _steps(t: Any, last: int) -> tuple[Array, Axis]:
    """Steps as an axis shows them: as they are on a short run, else log10 of those from 1 on."""
    if last <= _SHORT:
        return t.astype(np.float64), Axis("step t", 0.0, float(max(last, 1)), log=False)
    positive = t[t >= 1]
    low = math.log10(float(positive[0])) if positive.size else 0.0
    return np.log10(positive), Axis("step t", low, max(math.log10(last), low + 0.3))


def _mark(x: Axis) -> Any:
    import altair as alt

    rule = alt.Chart(alt.NamedData(name="certified")).mark_rule(color=drawing.VERMILLION, strokeWidth=1.6)
    return rule.encode(x=drawing.channel(alt.X, "x:Q", x))
