"""What all figures share: colours, log axes that labels can be read on, lines with a legend, and the way to SVG.

Altair and vl-convert are imported on first use; nothing is fetched from a network.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WIDTH, HEIGHT = 560, 300
_LEAST_WIDTH = 420  # on narrower screens a drawing scrolls, so that its labels stay legible
#: Okabe and Ito's palette, told apart by colour-blind readers; all but the grey also differ in print.
BLACK, ORANGE, SKY, GREEN = "#222222", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8A8F98"
SOLID, DASHED, DOTTED = (1.0, 0.0), (6.0, 4.0), (2.0, 3.0)
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_GEOMETRY = re.compile(r'(?<= )(d|transform|x|y|x1|x2|y1|y2|width|height)="([^"]*)"')
#: What Vega writes on every mark although it is the default here, or is said once for the whole drawing.
_REPEATED = re.compile(
    r' (?:(?:class|role|aria-hidden|aria-roledescription|pointer-events|font-family)="[^"]*"'
    r'|opacity="1"|font-size="12px")'
)
_EMPTY = re.compile(r'<path d="M0,0h0v0h0Z"/>|<g></g>')


@dataclass(frozen=True)
class Figure:
    """A drawing and its description; without anything to draw, ``svg`` is None and ``alt`` says why."""

    svg: str | None
    alt: str


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
        marks = ticks(axis.low, axis.high)
        options |= {"values": marks, "labelExpr": _labels(marks)}
    scale = alt.Scale(domain=[axis.low, axis.high], nice=False, zero=False)
    return kind(field, axis=alt.Axis(**options), scale=scale)


def line_layers(lines: Sequence[Line], x: Axis, y: Axis) -> list[Any]:
    """Layers for lines whose rows are the data set ``lines`` (see `line_rows`)."""
    import altair as alt

    styles = {line.name: line for line in reversed(lines)}
    names = list(dict.fromkeys(line.name for line in lines))
    colours = alt.Scale(domain=names, range=[styles[name].colour for name in names])
    dashes = alt.Scale(domain=names, range=[list(styles[name].dash) for name in names])
    widths = alt.Scale(domain=names, range=[styles[name].width for name in names])
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
        strokeWidth=alt.StrokeWidth("series:N", scale=widths),
    )
    layers = [encoded.mark_line(clip=True, strokeJoin="round")]
    if any(line.x.size < 3 for line in lines):  # a line through one point has no length
        dots = base.encode(color=alt.Color("series:N", scale=colours, legend=None))
        layers.append(dots.mark_point(filled=True, size=50, clip=True).transform_filter("datum.few"))
    return layers


def line_rows(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The rows of the data set ``lines``."""
    return [
        {"x": round(float(x), 4), "y": round(float(y), 4), "series": line.name, "run": k, "few": line.x.size < 3}
        for k, line in enumerate(lines)
        for x, y in zip(line.x, line.y, strict=True)
    ]


def layered(*layers: Any, width: int = WIDTH, height: int = HEIGHT, columns: int = 0) -> Any:
    """Layers as one chart in the report's style."""
    import altair as alt

    # Layers have scales of their own, so that each legend says what is drawn, once.
    chart = alt.layer(*layers).resolve_scale(
        color="independent", strokeDash="independent", strokeWidth="independent", shape="independent"
    )
    return styled(chart.properties(width=width, height=height), columns)


def styled(chart: Any, columns: int = 0) -> Any:
    """A chart in the report's style, its legend below in so many columns (0: one row)."""
    return (
        chart.configure(background="white", font="sans-serif", padding=8, aria=False)
        .configure_axis(
            labelFontSize=12, titleFontSize=13, titleFontWeight="normal", labelColor=BLACK, titleColor=BLACK
        )
        .configure_legend(
            orient="bottom",
            title=None,
            columns=columns,
            labelFontSize=12,
            labelColor=BLACK,
            labelLimit=280,
            symbolSize=200,
            clipHeight=18,
        )
        .configure_view(stroke="#C9CDD4")
    )


def to_svg(chart: Any, **datasets: list[dict[str, Any]]) -> str:
    """Draw a chart.  Data are named in it and added here: Altair copies whatever a layer holds several times."""
    import vl_convert
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):  # Altair would validate every part against its schema, at twice the cost of drawing
        specification = chart.to_dict(validate=False)
    specification["datasets"] = {**specification.get("datasets", {}), **datasets}
    return _slim(str(vl_convert.vegalite_to_svg(specification)))


def figure(chart: Any, alt: str, **datasets: list[dict[str, Any]]) -> Figure:
    """A chart with its data sets (rows by name, as named in the chart) and its description."""
    return Figure(to_svg(chart, **datasets), alt)


def _slim(svg: str) -> str:
    """Coordinates to a hundredth of a pixel, no repetitions, and ids that no other drawing on the page has.

    The drawing as a whole is hidden from screen readers: its description stands beside it.
    """
    svg = _REPEATED.sub("", _GEOMETRY.sub(lambda m: f'{m[1]}="{_NUMBER.sub(_shorter, m[2])}"', svg))
    while (shorter := _EMPTY.sub("", svg)) != svg:
        svg = shorter
    width = re.search(r' width="(\d+)', svg)
    least = min(_LEAST_WIDTH, int(width[1])) if width else _LEAST_WIDTH
    root = f'<svg aria-hidden="true" font-family="sans-serif" font-size="12px" style="min-width:{least}px" '
    svg = svg.replace("<svg ", root, 1)
    # Vega counts its names through all drawings of a process; here the same drawing always has the same ones.
    for k, name in enumerate(dict.fromkeys(re.findall(r' id="([^"]+)"', svg))):
        svg = svg.replace(f'id="{name}"', f'id="@{k}"').replace(f"url(#{name})", f"url(#@{k})")
    prefix = f"d{hashlib.sha256(svg.encode()).hexdigest()[:8]}-"
    return svg.replace('id="@', f'id="{prefix}').replace("url(#@", f"url(#{prefix}")


def _shorter(match: re.Match[str]) -> str:
    return f"{round(float(match[0]), 2):g}" if abs(float(match[0])) < 1e4 else match[0]


# ----------------------------------------------------------------------------------------------- ticks
def power_label(exponent: float) -> str:
    """A power of ten as a reader writes it: 0.25, 10⁻⁸⁰⁰, 3.2·10⁻⁹."""
    if -3 <= exponent < 5:
        return f"{10.0**exponent:.3g}" if exponent < 3 else f"{round(10.0**exponent)}"
    whole = math.floor(exponent + 1e-9)
    power = f"10{str(whole).translate(_SUPERSCRIPT)}"
    mantissa = f"{10.0 ** (exponent - whole):.2g}"
    return power if mantissa == "1" else f"{mantissa}·{power}"


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
    if len(marks) >= 3 or not -3 <= low <= high < 5:
        return marks
    a, b = 10.0**low, 10.0**high
    size = 10.0 ** math.floor(math.log10(b - a))
    gap = next(s * size for s in (0.2, 0.5, 1.0, 2.0) if (b - a) / (s * size) <= 6)
    return [math.log10(k * gap) for k in range(math.ceil(a / gap), math.floor(b / gap) + 1) if k > 0]


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
