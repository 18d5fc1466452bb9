"""Runs that settle elsewhere: their data, the margins they end with, and where in the space of data they lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from properties.limits import NO_TRAP, TRAPPED
from properties.paper import Beyond
from properties.settling import Settled
from reports import drawing
from reports.drawing import Figure
from reports.figure_limit import OUTCOMES
from reports.words import count, listed, number

OPTIMAL, OTHER, QUERY = "optimal token", "other token", "query"
_STAR = "M0,-1L0.24,-0.31L0.95,-0.31L0.38,0.12L0.59,0.81L0,0.4L-0.59,0.81L-0.38,0.12L-0.95,-0.31L-0.24,-0.31Z"
_SHAPES = {OPTIMAL: _STAR, OTHER: "circle", QUERY: "cross"}
_SEQUENCE_COLOURS = [drawing.BLUE, drawing.VERMILLION, drawing.GREEN, drawing.PURPLE, drawing.ORANGE, drawing.SKY]
_OUTCOME_SHAPES = ["circle", "square", "triangle-down", "diamond", "triangle-up", "cross", "triangle-left"]
_DIVERGING = ["#B2500F", "#F1B184", "#F7F7F7", "#8FBEDD", "#0A5C94"]
_PAIRS = 40  # pairs whose margins are drawn


# --------------------------------------------------------------------------------------------- data
def data_figure(settled: Settled) -> Figure:
    """Draw the tokens: in the plane for up to two dimensions, otherwise as a heat map of coordinates."""
    dataset = settled.run.instance.dataset
    text = f"The data: {count(dataset.n, 'sequence')} of {dataset.T} tokens in {count(dataset.d, 'dimension')}"
    lost = f"; lost: {listed([str(i + 1) for i in settled.lost])}" if settled.lost else ""
    if dataset.d <= 2 and dataset.n <= len(_SEQUENCE_COLOURS):
        return Figure(_plane(dataset), f"{text}{lost}. Stars are optimal tokens, crosses the queries.")
    return Figure(_coordinates(dataset), f"{text}{lost}. One row a token; triangles mark the optimal ones.")


def _plane(dataset: Any) -> str:
    import altair as alt

    rows = [
        _place(dataset.X[i, t], i, OPTIMAL if t == dataset.optimal[i] else OTHER)
        for i in range(dataset.n)
        for t in range(dataset.T)
    ]
    rows += [_place(query, i, QUERY) for i, query in enumerate(dataset.queries)]
    points = np.array([[row["a"], row["b"]] for row in rows])
    names = [f"sequence {i + 1}" for i in range(dataset.n)]
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.1 * max(float((high - low).max()), 1e-6)
    scales = [alt.Scale(domain=[low[k] - margin, high[k] + margin], nice=False, zero=False) for k in (0, 1)]
    chart = (
        alt.Chart(alt.NamedData(name="tokens"))
        .mark_point(filled=True, size=110, opacity=0.9)
        .encode(
            x=alt.X("a:Q", title="first coordinate", scale=scales[0]),
            y=alt.Y("b:Q", title="second coordinate", scale=scales[1]),
            color=alt.Color("sequence:N", scale=alt.Scale(domain=names, range=_SEQUENCE_COLOURS[: dataset.n])),
            shape=alt.Shape("role:N", scale=alt.Scale(domain=list(_SHAPES), range=list(_SHAPES.values()))),
            size=alt.Size("role:N", scale=alt.Scale(domain=list(_SHAPES), range=[190, 70, 70]), legend=None),
        )
    )
    return drawing.to_svg(drawing.layered(chart, width=320, height=260, columns=3), tokens=rows)


def _place(point: Any, sequence: int, role: str) -> dict[str, Any]:
    second = float(point[1]) if len(point) > 1 else 0.0
    return {"a": float(point[0]), "b": second, "sequence": f"sequence {sequence + 1}", "role": role}


def _coordinates(dataset: Any) -> str:
    import altair as alt

    names = [f"{i + 1}.{t + 1}" for i in range(dataset.n) for t in range(dataset.T)]
    cells = [
        {"token": names[i * dataset.T + t], "k": k + 1, "x": float(value), "text": number(float(value), 2)}
        for i in range(dataset.n)
        for t in range(dataset.T)
        for k, value in enumerate(dataset.X[i, t])
    ]
    marks = [{"token": names[i * dataset.T + int(o)], "k": 0} for i, o in enumerate(dataset.optimal)]
    reach = max(float(np.abs(dataset.X).max()), 1e-12)
    scale = alt.Scale(domain=[-reach, -reach / 2, 0, reach / 2, reach], range=_DIVERGING)
    columns = [str(k) for k in range(dataset.d + 1)]
    axis = alt.Axis(labelAngle=0, labelExpr="datum.value == 0 ? '' : datum.label")
    x = alt.X("k:O", title="coordinate", sort=columns, axis=axis)
    y = alt.Y("token:N", title="sequence.token", sort=names)
    rects = (
        alt.Chart(alt.NamedData(name="cells"))
        .mark_rect()
        .encode(x=x, y=y, color=alt.Color("x:Q", scale=scale, legend=alt.Legend(gradientLength=160)))
    )
    marked = (
        alt.Chart(alt.NamedData(name="marks"))
        .mark_point(filled=True, shape="triangle-right", size=60, color=drawing.BLACK, opacity=1)
        .encode(x=x, y=y)
    )
    layers = [rects, marked]
    if dataset.d <= 8:
        label = alt.Chart(alt.NamedData(name="cells")).mark_text(fontSize=11)
        tone = alt.condition(f"abs(datum.x) > {0.6 * reach}", alt.value("#FFFFFF"), alt.value(drawing.BLACK))
        layers.append(label.encode(x=x, y=y, text="text:N", color=tone))
    width = min((58 if dataset.d <= 8 else 40) * (dataset.d + 1), drawing.WIDTH)
    height = min(max(22 * len(names), 110), 420)
    return drawing.to_svg(drawing.layered(*layers, width=width, height=height), cells=cells, marks=marks)


# ------------------------------------------------------------------------------------------- margins
def unit_margins(settled: Settled) -> list[tuple[int, int, float]]:
    """Sequence, token and margin ⟨Z_it, W⟩/‖W‖ of every pair at the end of the run."""
    dataset = settled.run.instance.dataset
    pairs = []
    for i, o in enumerate(dataset.optimal):
        key = settled.end.direction @ dataset.queries[i]
        pairs += [(i, int(t), float((dataset.X[i, o] - dataset.X[i, t]) @ key)) for t in dataset.others[i]]
    return pairs


def margin_figure(settled: Settled) -> Figure:
    """Draw the margin of every pair under the direction in which the run ended."""
    import altair as alt

    pairs = unit_margins(settled)
    shown = sorted(pairs, key=lambda pair: pair[2])[:_PAIRS]
    positive, negative = "the optimal token wins", "another token wins"
    rows = [
        {"pair": f"{i + 1}: {t + 1}", "m": margin, "sign": negative if margin < 0 else positive}
        for i, t, margin in sorted(shown)
    ]
    colour = alt.Scale(domain=[positive, negative], range=[drawing.BLUE, drawing.VERMILLION])
    chart = (
        alt.Chart(alt.NamedData(name="pairs"))
        .mark_bar()
        .encode(
            y=alt.Y("pair:N", title="sequence: other token", sort=[str(row["pair"]) for row in rows]),
            x=alt.X("m:Q", title="margin under W/‖W‖"),
            color=alt.Color("sign:N", scale=colour),
        )
    )
    svg = drawing.to_svg(
        drawing.layered(chart, width=300, height=max(110, min(18 * len(rows), 420)), columns=2), pairs=rows
    )
    lost = sum(margin < 0 for _, _, margin in pairs)
    more = f" The {len(shown)} smallest are drawn." if len(shown) < len(pairs) else ""
    return Figure(
        svg,
        f"How far the optimal token is ahead of each other token, under the direction in which the run ended: "
        f"{lost} of {count(len(pairs), 'margin')} {'is' if lost == 1 else 'are'} negative, where the max-margin "
        f"direction has none.{more}",
    )


# --------------------------------------------------------------------------------- the region of data
def region_figure(beyond: Sequence[Beyond], names: dict[str, str]) -> Figure:
    """Draw where the runs of the limit claims lie relative to condition WC, coloured by how they ended.

    Parameters
    ----------
    beyond : sequence of Beyond
    names : dict
        The row's name of each theorem id.
    """
    if not beyond:
        return Figure(None, "No figure: no run of these claims has a place relative to the condition.")
    finite = [run.beyond for run in beyond if math.isfinite(run.beyond)]
    low, high = min([*finite, -1.0]), max([*finite, 1.0])
    none_at = low - 0.22 * (high - low)  # runs without negative correlation have a place of their own
    rows = [
        {"x": round(max(run.beyond, none_at), 3), "row": names[run.theorem], "outcome": run.outcome, "lift": lift}
        for run, lift in zip(beyond, _jitter(len(beyond)), strict=True)
    ]
    chart = _region_chart(rows, list(dict.fromkeys(names.values())), low, high, none_at)
    svg = drawing.to_svg(chart, runs=rows, edge=[{"x": 0.0}])
    return Figure(svg, _describe_region(beyond))


def _jitter(size: int) -> list[float]:
    """Evenly spread numbers from −1 to 1 (multiples of the golden ratio), the same in every report."""
    return [round(2 * ((k * 0.6180339887) % 1.0) - 1, 3) for k in range(size)]


def _region_chart(rows: list[dict[str, Any]], names: list[str], low: float, high: float, none_at: float) -> Any:
    import altair as alt

    marks = [mark for mark in drawing.ticks(low, high) if mark >= low]
    span = high - none_at
    x = alt.X(
        "x:Q",
        title="log10 of the factor by which the data miss condition WC",
        axis=alt.Axis(
            values=[none_at, *marks],
            labelExpr=f"datum.value < {low - 0.01} ? ['no negative', 'correlation'] : format(datum.value, '~g')",
        ),
        scale=alt.Scale(domain=[none_at - 0.08 * span, high + 0.03 * span], nice=False, zero=False),
    )
    seen = [name for name in OUTCOMES if any(row["outcome"] == name for row in rows)]
    shapes = dict(zip(OUTCOMES, _OUTCOME_SHAPES, strict=True))
    points = (
        alt.Chart(alt.NamedData(name="runs"))
        .mark_point(filled=True, size=55, opacity=0.75)
        .encode(
            x=x,
            y=alt.Y("row:N", title=None, sort=names, axis=alt.Axis(labelLimit=200, grid=True)),
            yOffset=alt.YOffset("lift:Q", scale=alt.Scale(domain=[-1.4, 1.4])),
            color=alt.Color("outcome:N", scale=alt.Scale(domain=seen, range=[OUTCOMES[name] for name in seen])),
            shape=alt.Shape("outcome:N", scale=alt.Scale(domain=seen, range=[shapes[name] for name in seen])),
        )
    )
    edge = (
        alt.Chart(alt.NamedData(name="edge"))
        .mark_rule(color=drawing.BLACK, strokeDash=list(drawing.DASHED))
        .encode(x=x)
    )
    return drawing.layered(edge, points, width=drawing.WIDTH, height=70 * len(names) + 20)


def _describe_region(beyond: Sequence[Beyond]) -> str:
    inside = sum(run.beyond < 0 for run in beyond)
    none = sum(run.beyond == -math.inf for run in beyond)
    trapped = [run.beyond for run in beyond if run.outcome == TRAPPED]
    nearest = f" The nearest trap lies 10^{min(trapped):.1f} beyond it." if trapped else ""
    return (
        f"{count(len(beyond), 'dataset')}, placed by how far they lie from condition WC (dashed line) and "
        f"coloured by how their runs ended; those called “{NO_TRAP}” were searched for traps only. To the left of "
        f"the line, within WC, {'is' if inside == 1 else 'are'} {count(inside, 'dataset')}, {none} of them "
        f"without any negative correlation between sequences.{nearest}"
    )
