"""The paper's own pictures: what every method does on one dataset, and its attention map over time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from properties.panels import METHODS, AttentionFilm, Panel, Series
from reports import drawing
from reports.drawing import Axis, Figure, Line
from reports.words import count, listed

#: log10 below which a curve is cut off: linear convergence would squeeze everything else into the top edge.
FLOOR = -40.0
_WIDTH, _HEIGHT = 470, 290
_COLOURS = dict(
    zip(METHODS.values(), (drawing.VERMILLION, drawing.BLUE, drawing.GREEN, drawing.PURPLE), strict=True)
)
_CELL = 6.5  # pixels of one token's row in a film
_INK = ["#F4F7FB", "#9CC5E3", "#2E7EBC", "#08306B"]


def panel_figure(panel: Panel) -> Figure:
    """Draw one picture, theory dashed (upper bounds) or dotted (lower bounds) in the colour of its method."""
    lines = [_line(series) for series in panel.series if series.t.size]
    if not lines:
        return Figure.none(f"{panel.title}: no figure, for there is nothing positive to draw.")
    values = np.concatenate([line.y for line in lines])
    cut = panel.log_y and bool((values < FLOOR).any())
    shown = np.maximum(values, FLOOR) if cut else values
    y = drawing.axis_over(panel.y_title, shown, log=panel.log_y)
    if cut:
        y = Axis(y.title, FLOOR, y.high)
    chart = drawing.layered(
        *drawing.line_layers(lines, drawing.step_axis(lines), y), width=_WIDTH, height=_HEIGHT, columns=2
    )
    return drawing.figure(chart, _describe(panel, lines, cut), lines=drawing.line_rows(lines))


def _line(series: Series) -> Line:
    # "normalised GD" ends with "GD" too, so the longest name decides.
    method = max((name for name in _COLOURS if series.name.endswith(name)), key=len, default="")
    colour = _COLOURS.get(method, drawing.BLACK)
    dash = drawing.SOLID
    if series.bound:
        dash = drawing.DOTTED if "at least" in series.name else drawing.DASHED
    return Line(series.name, np.log10(series.t), series.y, colour, dash, 1.6 if series.bound else 2.2)


def _describe(panel: Panel, lines: list[Line], cut: bool) -> str:
    measured = [
        f"{line.name} {drawing.power_label(float(line.y[-1])) if panel.log_y else f'{line.y[-1]:.3g}'}"
        for line, series in zip(lines, (s for s in panel.series if s.t.size), strict=True)
        if not series.bound
    ]
    last = max(float(line.x[-1]) for line in lines)
    text = f"{panel.title}. At step {drawing.power_label(last)}: {listed(measured)}."
    if any(series.bound for series in panel.series):
        text += " Dashed: upper bounds; dotted: lower bounds, each in the colour of its method."
    return f"{text} Curves are cut off at {drawing.power_label(FLOOR)}." if cut else text


# ---------------------------------------------------------------------------------------------- films
def film_figure(film: AttentionFilm) -> Figure:
    """Draw the attention map over time: one row a token, sequences apart, the optimal token marked."""
    n, T = film.frames[0].attention.shape
    steps = [frame.t for frame in film.frames]
    cells = [
        {
            "step": frame.t,
            "k": k,
            "k2": k + 1,
            "r": i * (T + 1) + j,
            "r2": i * (T + 1) + j + 1,
            "s": round(float(s), 3),
        }
        for k, frame in enumerate(film.frames)
        for i, row in enumerate(frame.attention)
        for j, s in enumerate(row)
    ]
    marks = [{"k": -0.7, "r": i * (T + 1) + int(o) + 0.5} for i, o in enumerate(film.dataset.optimal)]
    on_optimal = [
        np.array([row[o] for row, o in zip(frame.attention, film.dataset.optimal, strict=True)])
        for frame in (film.frames[0], film.frames[-1])
    ]
    first, last = (float(weights.min()) for weights in on_optimal)
    return drawing.figure(
        _film_chart(steps, n, T),
        f"{film.method}: attention weights of {count(n, 'sequence')} of {T} tokens over the steps; triangles mark "
        f"the optimal tokens. The smallest weight on an optimal token goes from {first:.2g} at step {steps[0]:,} "
        f"to {last:.4g} at step {steps[-1]:,}.",
        cells=cells,
        marks=marks,
    )


def _film_chart(steps: list[int], n: int, T: int) -> Any:
    import altair as alt

    labelled = range(0, len(steps), max(1, math.ceil(len(steps) / 8)))
    step_labels = ", ".join(f"'{k}.5': '{steps[k]}'" for k in labelled)
    x_axis = alt.Axis(
        values=[k + 0.5 for k in labelled],
        labelExpr=f"({{{step_labels}}})[format(datum.value, '.1f')]",
        title="step t",
        grid=False,
    )
    centres = [i * (T + 1) + T / 2 for i in range(n)]
    sequence_labels = ", ".join(f"'{c:.1f}': '{i + 1}'" for i, c in enumerate(centres))
    y_axis = alt.Axis(
        values=centres,
        labelExpr=f"({{{sequence_labels}}})[format(datum.value, '.1f')]",
        title="sequence, one row a token",
        grid=False,
        ticks=False,
    )
    x = alt.X("k:Q", axis=x_axis, scale=alt.Scale(domain=[-1.2, len(steps)], nice=False))
    y = alt.Y("r:Q", axis=y_axis, scale=alt.Scale(domain=[n * (T + 1) - 1, 0], nice=False))
    legend = alt.Legend(title="attention", gradientLength=160)
    cells = (
        alt.Chart(alt.NamedData(name="cells"))
        .mark_rect()
        .encode(
            x=x, x2="k2:Q", y=y, y2="r2:Q",
            color=alt.Color("s:Q", scale=alt.Scale(domain=[0, 1], range=_INK), legend=legend),
        )
    )  # fmt: skip
    marks = (
        alt.Chart(alt.NamedData(name="marks"))
        .mark_point(filled=True, shape="triangle-right", size=34, color=drawing.VERMILLION, opacity=1)
        .encode(x=x, y=y)
    )
    return drawing.layered(cells, marks, width=_WIDTH - 60, height=max(round(_CELL * n * (T + 1)), 90))
