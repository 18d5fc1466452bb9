"""Bound against experience: one log-log figure a theorem, as a standalone SVG.

Altair and vl-convert are imported on first use; nothing is fetched from a network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bounds import NOTATION, Theorem
from properties.judge import Curve
from properties.verdict import Evidence, JudgedRun

Array = NDArray[np.float64]

WIDTH, HEIGHT = 560, 300
_GRID = 60  # common steps at which runs are compared
#: Series, colour (Okabe and Ito's colour-blind-safe palette, readable on white) and dash.
MEDIAN, BAND, WORST, BOUND = "median of the runs", "10 to 90 % of the runs", "worst instance", "its bound"
_STYLE = {MEDIAN: ("#0072B2", [1, 0]), WORST: ("#D55E00", [1, 0]), BOUND: ("#222222", [6, 4])}
_BAND_COLOUR = "#56B4E9"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Figure:
    """A drawing and its description; without anything to draw, ``svg`` is None and ``alt`` says why."""

    svg: str | None
    alt: str


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


def bound_figure(evidence: Evidence) -> Figure:
    """Draw one theorem's bound against what was measured.

    Returns
    -------
    Figure
        With ``svg=None`` where nothing can be drawn: no applicable run, runs of step 0 only, or values that
        are never positive.
    """
    theorem = evidence.theorem
    runs = list(evidence.runs)
    if evidence.worst is not None and evidence.worst not in runs:
        runs.append(evidence.worst)
    summary = summarise(theorem, runs)
    lines = list(_lines(theorem, evidence.worst, summary))
    if not lines:
        return Figure(None, _why_not(runs))
    return Figure(_draw(theorem, lines, summary), _describe(theorem, evidence, summary))


def _lines(
    theorem: Theorem, worst: JudgedRun | None, summary: Summary | None
) -> Iterator[tuple[str, Array, Array]]:
    if summary is not None:
        yield MEDIAN, summary.t, summary.median
    if worst is not None and worst.curve is not None:
        for name, side in zip((WORST, BOUND), sides(theorem, worst.curve), strict=True):
            t, y = points(worst.curve.t, side)
            if t.size:
                yield name, t, y


def _why_not(runs: Sequence[JudgedRun]) -> str:
    curves = [run.curve for run in runs if run.curve is not None]
    if not curves:
        return "No figure: no run was judged."
    if all((curve.t < 1).all() for curve in curves):
        return "No figure: every run was judged at step 0 only, which a logarithmic axis of steps cannot show."
    return "No figure: the measured values are never positive, which logarithmic axes cannot show."


def _describe(theorem: Theorem, evidence: Evidence, summary: Summary | None) -> str:
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
        return f"{side.name}, {NOTATION[side.name].meaning}"
    return str(side)


def _axis_title(theorem: Theorem) -> str:
    side = theorem.small if theorem.bound_is_upper else theorem.large
    return str(side)


# ---------------------------------------------------------------------------------------------- ticks
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


# -------------------------------------------------------------------------------------------- drawing
def _draw(theorem: Theorem, lines: list[tuple[str, Array, Array]], summary: Summary | None) -> str:
    import altair as alt
    import vl_convert
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):  # altair would validate every part against its schema, at twice the cost of drawing
        specification = _chart(alt, theorem, lines, summary).to_dict(validate=False)
    # Data are named in the chart and added here: altair copies whatever a layer holds several times.
    specification["datasets"] = {"lines": _line_rows(lines), "band": _band_rows(summary)}
    return str(vl_convert.vegalite_to_svg(specification))


def _chart(alt: Any, theorem: Theorem, lines: list[tuple[str, Array, Array]], summary: Summary | None) -> Any:
    shown = [y for _, _, y in lines] + ([] if summary is None else [summary.low, summary.high])
    low, high = value_range(np.concatenate(shown))
    y_axis = alt.Axis(
        values=ticks(low, high), labelExpr=_labels(ticks(low, high)), title=_axis_title(theorem), titleLimit=HEIGHT
    )
    last = max(float(t[-1]) for _, t, _ in lines)
    x_ticks = [10.0**k for k in range(math.floor(math.log10(last)) + 1)]
    x_axis = alt.Axis(values=x_ticks, labelExpr=_labels(x_ticks, logarithms=False), title="step t")
    x = alt.X("t:Q", axis=x_axis, scale=alt.Scale(type="log", domain=[1, max(last, 2.0)], nice=False))
    y_scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    layers: list[Any] = []
    if summary is not None:
        fill = alt.Fill("series:N", scale=alt.Scale(domain=[BAND], range=[_BAND_COLOUR]))
        area = alt.Chart(alt.NamedData(name="band")).mark_area(opacity=0.35)
        layers.append(area.encode(x=x, y=alt.Y("low:Q", axis=y_axis, scale=y_scale), y2="high:Q", fill=fill))
    layers += _line_layers(alt, lines, x, alt.Y("y:Q", axis=y_axis, scale=y_scale))
    chart = alt.layer(*layers).resolve_scale(color="independent", strokeDash="independent")
    return (
        chart.properties(width=WIDTH, height=HEIGHT)
        .configure(background="white", font="sans-serif", padding=8)
        .configure_axis(labelFontSize=12, titleFontSize=13, titleFontWeight="normal")
        .configure_legend(
            orient="bottom", title=None, labelFontSize=12, labelLimit=240, symbolStrokeWidth=2, symbolSize=200
        )
    )


def _line_layers(alt: Any, lines: list[tuple[str, Array, Array]], x: Any, y: Any) -> list[Any]:
    names = [name for name, _, _ in lines]
    scale = alt.Scale(domain=names, range=[_STYLE[name][0] for name in names])
    dashes = alt.Scale(domain=names, range=[_STYLE[name][1] for name in names])
    base = alt.Chart(alt.NamedData(name="lines"))
    colour, dash = alt.Color("series:N", scale=scale), alt.StrokeDash("series:N", scale=dashes)
    layers = [base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash)]
    if any(t.size < 3 for _, t, _ in lines):  # a line through one point has no length
        dots = alt.Color("series:N", scale=scale, legend=None)
        layers.append(
            base.mark_point(filled=True, size=50).transform_filter("datum.few").encode(x=x, y=y, color=dots)
        )
    return layers


def _line_rows(lines: list[tuple[str, Array, Array]]) -> list[dict[str, Any]]:
    return [
        {"t": float(t), "y": float(y), "series": name, "few": ts.size < 3}
        for name, ts, ys in lines
        for t, y in zip(ts, ys, strict=True)
    ]


def _band_rows(summary: Summary | None) -> list[dict[str, Any]]:
    if summary is None:
        return []
    rows = zip(summary.t, summary.low, summary.high, strict=True)
    return [{"t": float(t), "low": float(low), "high": float(high), "series": BAND} for t, low, high in rows]


def _labels(marks: Sequence[float], logarithms: bool = True) -> str:
    """A Vega expression that looks up the label of a tick (Vega writes negative numbers with U+2212)."""
    labels = {
        f"{mark:.6f}".replace("-", "−"): power_label(mark if logarithms else math.log10(mark)) for mark in marks
    }
    pairs = ", ".join(f"'{key}': '{label}'" for key, label in labels.items())
    return f"({{{pairs}}})[format(datum.value, '.6f')]"
