"""What all figures share: colours, log axes that labels can be read on, lines with a legend, and charts as data.

A figure is a Vega-Lite specification with its data in columns.  A page draws it in the browser (`reports.live`);
`static_svg` draws it here, for notebooks and documents.  Altair and vl-convert are imported on first use; nothing
is fetched from a network.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from properties.wording import power_label as power_label  # every figure writes its numbers with it

Array = NDArray[np.float64]

WIDTH, HEIGHT = 560, 300
#: Okabe and Ito's palette, told apart by colour-blind readers; all but the grey also differ in print.
BLACK, ORANGE, SKY, GREEN = "#222222", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8A8F98"
SOLID, DASHED, DOTTED = (1.0, 0.0), (6.0, 4.0), (2.0, 3.0)
#: How the axes and legends of every figure look, but for their colours, which are the page's.
CONFIG: dict[str, Any] = {
    "font": "sans-serif",
    "padding": 8,
    "aria": False,
    "axis": {"labelFontSize": 12, "titleFontSize": 13, "titleFontWeight": "normal"},
    "legend": {
        "orient": "bottom",
        "title": None,
        "labelFontSize": 12,
        "labelLimit": 280,
        "symbolSize": 200,
        "clipHeight": 18,
    },
}
_PAPER = {
    "background": "white",
    "axis": {"labelColor": BLACK, "titleColor": BLACK},
    "legend": {"labelColor": BLACK},
    "view": {"stroke": "#C9CDD4"},
}
#: The label expression of an axis whose values are log10 of what is shown; whoever draws it puts in his own.
POWER = "power"
_POINTS = 80  # of a line, at most

#: A column of a data set: its values, or runs of equal values with their lengths.
Column = list[Any] | dict[str, list[tuple[Any, int]]]


@dataclass(frozen=True, eq=False)
class Figure:
    """A chart and its description.

    Attributes
    ----------
    spec : dict or None
        A Vega-Lite specification without data and without the configuration that all share; None without anything
        to draw, and ``alt`` then says why.
    data : dict
        The columns of each data set that the specification names.
    alt : str
        What is to be seen, in words and numbers.
    """

    spec: dict[str, Any] | None
    data: dict[str, dict[str, Column]]
    alt: str

    @classmethod
    def none(cls, why: str) -> Figure:
        """No figure, and the reason."""
        return cls(None, {}, why)


@dataclass(frozen=True, eq=False)
class Line:
    """One curve.  Curves of one name share the first one's style and one entry of the legend."""

    name: str
    x: Array
    y: Array
    colour: str
    dash: tuple[float, float] = SOLID
    width: float = 2.0


@dataclass(frozen=True)
class Axis:
    """One axis: its title and range; with ``log`` the values are log10 of what the labels show."""

    title: str
    low: float
    high: float
    log: bool = True


def axis_over(title: str, values: Array, *, log: bool = True) -> Axis:
    """An axis that shows all values with a small margin."""
    low, high = value_range(values)
    return Axis(title, low, high, log)


def step_axis(lines: Sequence[Line]) -> Axis:
    """The axis of steps under some lines, of at least one decade."""
    low = min(float(line.x.min()) for line in lines)
    return Axis("step t", low, max(max(float(line.x.max()) for line in lines), low + 0.3))


# ---------------------------------------------------------------------------------------------- charts
def channel(kind: Any, field: str, axis: Axis) -> Any:
    """An Altair position channel (``alt.X`` or ``alt.Y``) on an axis."""
    import altair as alt

    options: dict[str, Any] = {"title": axis.title, "titleLimit": HEIGHT + 160}
    if axis.log:
        options |= {"values": ticks(axis.low, axis.high), "labelExpr": POWER}
    domain = [round(axis.low, 4), round(axis.high, 4)]
    return kind(field, axis=alt.Axis(**options), scale=alt.Scale(domain=domain, nice=False, zero=False))


def line_layers(lines: Sequence[Line], x: Axis, y: Axis) -> list[Any]:
    """Layers for lines whose rows are the data set ``lines`` (see `line_rows`)."""
    import altair as alt

    styles = {line.name: line for line in reversed(lines)}
    names = list(dict.fromkeys(line.name for line in lines))
    colours = alt.Scale(domain=names, range=[styles[name].colour for name in names])
    dashes = alt.Scale(domain=names, range=[list(styles[name].dash) for name in names])
    base = alt.Chart(alt.NamedData(name="lines")).encode(
        x=channel(alt.X, "x:Q", x), y=channel(alt.Y, "y:Q", y), detail="run:N"
    )
    if len(names) == 1:  # the caption names it; a scale of one value would be drawn as its default
        style = styles[names[0]]
        line: dict[str, Any] = {"color": style.colour, "strokeDash": list(style.dash), "strokeWidth": style.width}
        return [base.mark_line(clip=True, strokeJoin="round", point=style.x.size < 3, **line)]
    encoded = base.encode(
        color=alt.Color("series:N", scale=colours),
        strokeDash=alt.StrokeDash("series:N", scale=dashes),
        strokeWidth=alt.StrokeWidth("w:Q", scale=None),
    )
    layers = [encoded.mark_line(clip=True, strokeJoin="round")]
    if any(line.x.size < 3 for line in lines):  # a line through one point has no length
        dots = base.encode(color=alt.Color("series:N", scale=colours, legend=None))
        layers.append(dots.mark_point(filled=True, size=50, clip=True).transform_filter("datum.few"))
    return layers


def line_rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The rows of the data set ``lines``, thinned to what an eye can follow."""
    return [
        {
            "x": round(float(line.x[k]), 4),
            "y": round(float(line.y[k]), 4),
            "series": line.name,
            "run": r,
            "w": line.width,
            "few": line.x.size < 3,
        }
        for r, line in enumerate(lines)
        for k in _shown(line.y)
    ]


def _shown(y: Array) -> NDArray[np.intp]:
    """Indices of at most about `_POINTS` points of a line, the ends and the extremes among them."""
    even = np.linspace(0, y.size - 1, min(y.size, _POINTS)).round().astype(np.intp)
    return np.unique(np.concatenate([even, [y.argmin(), y.argmax()]])).astype(np.intp)


def layered(*layers: Any, width: int = WIDTH, height: int = HEIGHT, columns: int = 0) -> Any:
    """Layers as one chart; its legend has so many columns (0: one row)."""
    import altair as alt

    # Layers have scales of their own, so that each legend says what is drawn, once.
    chart = alt.layer(*layers).resolve_scale(
        color="independent", strokeDash="independent", strokeWidth="independent", shape="independent"
    )
    chart = chart.properties(width=width, height=height)
    return chart.configure_legend(columns=columns) if columns else chart


def figure(chart: Any, alt: str, **datasets: list[dict[str, Any]]) -> Figure:
    """A chart with its data sets and its description.

    Data are named in the chart and given here as rows, for Altair copies whatever a layer holds several times.
    Besides what is encoded, columns with names of three letters or more are shown to whoever points at a mark.
    """
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):  # Altair would validate every part against its schema, at twice the cost of drawing
        spec = chart.to_dict(validate=False)
    for part in ("$schema", "datasets"):
        spec.pop(part, None)
    columns = spec.pop("config", {}).get("legend", {})
    if columns:
        spec["config"] = {"legend": columns}
    _describe_axes_once(spec)
    return Figure(spec, {name: _columns(rows) for name, rows in datasets.items()}, alt)


def _describe_axes_once(spec: dict[str, Any]) -> None:
    """Layers share their axes, so that what the first says of one need not be repeated; it is half of the text."""
    for name in ("x", "y"):
        channels = [layer.get("encoding", {}).get(name, {}) for layer in spec.get("layer", [])]
        said = next((channel for channel in channels if "axis" in channel), None)
        for channel in channels:
            if said is not None and channel is not said and channel.get("axis") == said["axis"]:
                for part in ("axis", "scale"):
                    if channel.get(part) == said.get(part):
                        channel.pop(part, None)


def _columns(rows: list[dict[str, Any]]) -> dict[str, Column]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns: dict[str, Column] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        runs = [(value, len(list(run))) for value, run in groupby(values)]
        columns[name] = {"runs": runs} if 3 * len(runs) < len(values) else values
    return columns


def rows_of(columns: Mapping[str, Column]) -> list[dict[str, Any]]:
    """The rows of a data set."""
    full = {
        name: [value for value, times in column["runs"] for _ in range(times)]
        if isinstance(column, dict)
        else column
        for name, column in columns.items()
    }
    return [dict(zip(full, values, strict=True)) for values in zip(*full.values(), strict=True)]


def static_svg(figure: Figure) -> str:
    """Draw a figure here and now, on white paper.  The same figure gives the same SVG.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    import vl_convert

    if figure.spec is None:
        raise ValueError(f"nothing to draw: {figure.alt}")
    spec = _with_labels(figure.spec)
    spec["config"] = _merged(_merged(CONFIG, _PAPER), spec.get("config", {}))
    spec["datasets"] = {name: rows_of(columns) for name, columns in figure.data.items()}
    return _with_own_ids(str(vl_convert.vegalite_to_svg(spec)))


def _with_own_ids(svg: str) -> str:
    """The drawing with ids that no other has: Vega counts them in each process, and notebooks mix drawings."""
    for k, name in enumerate(dict.fromkeys(re.findall(r' id="([^"]+)"', svg))):
        svg = svg.replace(f'id="{name}"', f'id="@{k}"').replace(f"url(#{name})", f"url(#@{k})")
    prefix = f"d{hashlib.sha256(svg.encode()).hexdigest()[:8]}-"
    return svg.replace('id="@', f'id="{prefix}').replace("url(#@", f"url(#{prefix}")


def _with_labels(part: Any) -> Any:
    """A copy of a specification in which the labels of log axes are spelled out."""
    if isinstance(part, list):
        return [_with_labels(item) for item in part]
    if not isinstance(part, dict):
        return part
    copy = {key: _with_labels(value) for key, value in part.items()}
    if part.get("labelExpr") == POWER:
        copy["labelExpr"] = _labels(part["values"])
    return copy


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    both = {key: {**first[key], **second[key]} for key in first if isinstance(first[key], dict) and key in second}
    return {**first, **second, **both}


# ----------------------------------------------------------------------------------------------- ticks
def ticks(low: float, high: float) -> list[float]:
    """Exponents to label on an axis of log10 values: whole ones, or 1-2-5 steps within few decades."""
    return [round(mark, 6) + 0.0 for mark in _ticks(low, high)]  # + 0.0 makes −0 a 0


def _ticks(low: float, high: float) -> list[float]:
    if high - low >= 2:
        step = next(s for s in _steps() if (high - low) / s <= 7)
        return [float(k) for k in np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step]
    decades = range(math.floor(low), math.ceil(high) + 1)
    marks = [k + math.log10(m) for k in decades for m in (1, 2, 5)]
    marks = [mark for mark in marks if low <= mark <= high]
    if len(marks) >= 3:
        return marks
    scale = math.floor(low)
    a, b = 10.0 ** (low - scale), 10.0 ** (high - scale)
    size = 10.0 ** math.floor(math.log10(b - a))
    gap = next(s * size for s in (0.2, 0.5, 1.0, 2.0) if (b - a) / (s * size) <= 6)
    if not -3 <= low <= high < 5:
        gap = max(gap, 0.1)  # labels have two digits there
    return [scale + math.log10(k * gap) for k in range(math.ceil(a / gap), math.floor(b / gap) + 1)]


def _steps() -> Iterator[int]:
    scale = 1
    while True:
        yield from (scale, 2 * scale, 5 * scale)
        scale *= 10


def value_range(values: Array) -> tuple[float, float]:
    """A range of log10 values with a margin; never empty."""
    low, high = float(values.min()), float(values.max())
    margin = max(0.04 * (high - low), 0.02)
    return low - margin, high + margin


def _labels(marks: Sequence[float]) -> str:
    """A Vega expression that looks up the label of a tick (Vega writes negative numbers with U+2212)."""
    labels: Mapping[str, str] = {f"{mark:.6f}".replace("-", "−"): power_label(mark) for mark in marks}
    pairs = ", ".join(f"'{key}': '{label}'" for key, label in labels.items())
    return f"({{{pairs}}})[format(datum.value, '.6f')]"
