"""A dataset drawn: its tokens in the plane for up to two dimensions, otherwise a heat map of coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np

from reports import drawing
from reports.drawing import Array, Figure
from reports.words import count, number

OPTIMAL, OTHER, QUERY, DECODER = "optimal token", "other token", "query", "decoder u"
_STAR = "M0,-1L0.24,-0.31L0.95,-0.31L0.38,0.12L0.59,0.81L0,0.4L-0.59,0.81L-0.38,0.12L-0.95,-0.31L-0.24,-0.31Z"
_SHAPES = {OPTIMAL: _STAR, OTHER: "circle", QUERY: "cross"}
_SIZES = {OPTIMAL: 190, OTHER: 70, QUERY: 70}
_COLOURS = [drawing.BLUE, drawing.VERMILLION, drawing.GREEN, drawing.PURPLE, drawing.ORANGE, drawing.SKY]
_DIVERGING = ["#B2500F", "#F1B184", "#F7F7F7", "#8FBEDD", "#0A5C94"]
_DARK, _LIGHT = "#101010", "#FFFFFF"  # of text on the cells, whatever the page's colours are
_ROWS, _COLUMNS = 60, 24  # tokens and coordinates that a heat map shows


def tokens_figure(dataset: Any, decoder: Array | None = None) -> Figure:
    """Draw a dataset.

    Parameters
    ----------
    dataset : TokenDataset
    decoder : array, shape (d,), optional
        u, drawn as an arrow from the origin in the plane, and as a row of the heat map.
    """
    text = f"The data: {count(dataset.n, 'sequence')} of {dataset.T} tokens in {count(dataset.d, 'dimension')}."
    if dataset.d <= 2 and dataset.n <= len(_COLOURS):
        arrow = "" if decoder is None else " The arrow is the direction of the decoder u."
        chart, data = _plane(dataset, decoder)
        line = " They lie on a line; sequences stand one above the other." if dataset.d == 1 else ""
        return drawing.figure(chart, f"{text}{line} Stars are optimal tokens, crosses the queries.{arrow}", **data)
    chart, data = _coordinates(dataset, decoder)
    hidden = dataset.n * dataset.T > _ROWS or dataset.d > _COLUMNS
    some = f" Shown are at most {_ROWS} tokens and {_COLUMNS} coordinates." if hidden else ""
    last = "" if decoder is None else " The last row is the decoder u."
    return drawing.figure(chart, f"{text} One row a token; triangles mark the optimal ones.{last}{some}", **data)


# --------------------------------------------------------------------------------------------- plane
def _plane(dataset: Any, decoder: Array | None) -> tuple[Any, dict[str, list[dict[str, Any]]]]:
    import altair as alt

    rows = [
        _place(dataset.X[i, t], i, OPTIMAL if t == dataset.optimal[i] else OTHER)
        for i in range(dataset.n)
        for t in range(dataset.T)
    ]
    rows += [_place(query, i, QUERY) for i, query in enumerate(dataset.queries)]
    arrow = _arrow(dataset, decoder)
    points = np.array([[row["a"], row["b"]] for row in [*rows, *arrow]])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.12 * max(float((high - low).max()), 1e-300)
    names = [f"sequence {i + 1}" for i in range(dataset.n)]
    scales = [alt.Scale(domain=[float(low[k] - margin), float(high[k] + margin)], nice=False) for k in (0, 1)]
    second = alt.Axis(title="second coordinate") if dataset.d == 2 else None
    x = alt.X("a:Q", title="first coordinate", scale=scales[0])
    y = alt.Y("b:Q", axis=second, scale=scales[1])
    tokens = (
        alt.Chart(alt.NamedData(name="tokens"))
        .mark_point(filled=True, opacity=0.9)
        .encode(
            x=x,
            y=y,
            color=alt.Color("sequence:N", scale=alt.Scale(domain=names, range=_COLOURS[: dataset.n])),
            shape=alt.Shape("role:N", scale=alt.Scale(domain=list(_SHAPES), range=list(_SHAPES.values()))),
            size=alt.Size("s:Q", scale=None, legend=None),
        )
    )
    if not arrow:
        return drawing.layered(tokens, width=320, height=_height(dataset), columns=3), {"tokens": rows}
    shaft = alt.Chart(alt.NamedData(name="decoder")).mark_line(color=drawing.BLACK, strokeWidth=2)
    head = alt.Chart(alt.NamedData(name="decoder")).mark_point(
        filled=True, shape="triangle", color=drawing.BLACK, size=110, opacity=1, angle=_angle(arrow)
    )
    layers = [
        shaft.encode(x=x, y=y),
        head.encode(x=x, y=y).transform_filter("datum.e"),
        tokens,
    ]
    chart = drawing.layered(*layers, width=320, height=_height(dataset), columns=3)
    return chart, {"tokens": rows, "decoder": arrow}


def _height(dataset: Any) -> int:
    return 260 if dataset.d == 2 else 60 + 26 * dataset.n


def _place(point: Any, sequence: int, role: str) -> dict[str, Any]:
    second = float(point[1]) if len(point) > 1 else -float(sequence)
    return {
        "a": float(point[0]),
        "b": second,
        "sequence": f"sequence {sequence + 1}",
        "role": role,
        "s": _SIZES[role],
    }


def _arrow(dataset: Any, decoder: Array | None) -> list[dict[str, Any]]:
    """From the origin in the decoder's direction, about as long as the tokens reach."""
    if decoder is None or not decoder.any():
        return []
    reach = float(np.abs(dataset.X).max())
    unit = decoder / np.abs(decoder).max()
    tip = unit / float(np.linalg.norm(unit)) * (reach or 1.0)
    if dataset.d == 1:
        return [{"a": 0.0, "b": 1.0, "e": 0}, {"a": float(tip[0]), "b": 1.0, "e": 1}]
    return [{"a": 0.0, "b": 0.0, "e": 0}, {"a": float(tip[0]), "b": float(tip[1]), "e": 1}]


def _angle(arrow: list[dict[str, Any]]) -> float:
    """Degrees by which Vega turns a triangle that points upwards."""
    across, up = arrow[1]["a"] - arrow[0]["a"], arrow[1]["b"] - arrow[0]["b"]
    return round(float(np.degrees(np.arctan2(across, up))), 1) % 360.0


# ------------------------------------------------------------------------------------------ heat map
def _coordinates(dataset: Any, decoder: Array | None) -> tuple[Any, dict[str, list[dict[str, Any]]]]:
    import altair as alt

    names = [f"{i + 1}.{t + 1}" for i in range(dataset.n) for t in range(dataset.T)][:_ROWS]
    values = dataset.X.reshape(-1, dataset.d)[: len(names), :_COLUMNS]
    if decoder is not None:
        names.append("u")
        values = np.vstack([values, decoder[:_COLUMNS]])
    cells = [
        {"token": name, "k": k + 1, "x": float(f"{value:.4g}"), "text": number(float(value), 2)}
        for name, row in zip(names, values, strict=True)
        for k, value in enumerate(row)
    ]
    marks = [{"token": f"{i + 1}.{int(o) + 1}", "k": 0} for i, o in enumerate(dataset.optimal)]
    marks = [mark for mark in marks if mark["token"] in names]
    reach = max(float(np.abs(values).max()), 1e-300)
    scale = alt.Scale(domain=[-reach, -reach / 2, 0, reach / 2, reach], range=_DIVERGING)
    width = values.shape[1]
    axis = alt.Axis(labelAngle=0, labelExpr="datum.value == 0 ? '' : datum.label")
    x = alt.X("k:O", title="coordinate", axis=axis)
    y = alt.Y("token:N", title="sequence.token", sort=names)
    layers: list[Any] = [
        alt.Chart(alt.NamedData(name="cells"))
        .mark_rect()
        .encode(x=x, y=y, color=alt.Color("x:Q", scale=scale, legend=alt.Legend(gradientLength=160))),
        alt.Chart(alt.NamedData(name="marks"))
        .mark_point(filled=True, shape="triangle-right", size=60, color=drawing.BLACK, opacity=1)
        .encode(x=x, y=y),
    ]
    if width <= 8:
        tone = alt.condition(f"abs(datum.x) > {0.6 * reach}", alt.value(_LIGHT), alt.value(_DARK))
        label = alt.Chart(alt.NamedData(name="cells")).mark_text(fontSize=11)
        layers.append(label.encode(x=x, y=y, text="text:N", color=tone))
    wide = min((58 if width <= 8 else 40) * (width + 1), drawing.WIDTH)
    chart = drawing.layered(*layers, width=wide, height=min(max(22 * len(names), 110), 420))
    return chart, {"cells": cells, "marks": marks}
