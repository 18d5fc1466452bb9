"""How the largest ratio depends on an instance's sizes: one small panel for each quantity that varies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from properties.verdict import Case, PointwiseEvidence
from reports import drawing
from reports.drawing import Array, Figure, power_label
from reports.words import count, listed

_MARKS = 80  # instances drawn, each once a panel
_REACH = 12.0  # |log10| of a ratio beyond which nothing is told apart
_BINS = 6  # of a quantity, over each of which the largest ratio is drawn
_EDGE = 0.08  # of a panel's width, left free on either side


@dataclass(frozen=True)
class Quantity:
    """What a panel has on its axis; with ``log``, log10 of it."""

    name: str
    value: Callable[[Case], float | None]
    log: bool


QUANTITIES = (
    Quantity("n", lambda case: case.n, False),
    Quantity("T", lambda case: case.T, False),
    Quantity("d", lambda case: case.d, False),
    Quantity("γ", lambda case: case.gamma, True),
    Quantity("η", lambda case: case.eta, True),
)


@dataclass(frozen=True, eq=False)
class Panel:
    """One quantity over all instances, NaN where it does not exist: log10 of it where its axis is one."""

    name: str
    log: bool
    values: Array

    @property
    def low(self) -> float:
        """The least value."""
        return float(np.nanmin(self.values))

    @property
    def high(self) -> float:
        """The largest value."""
        return float(np.nanmax(self.values))

    def label(self, value: float) -> str:
        """A value as it stands on the axis."""
        return power_label(value) if self.log else f"{value:g}"

    def tops(self, ratios: Array) -> list[tuple[float, float]]:
        """Where in each bin of the quantity the largest ratio lies, and that ratio."""
        edges = np.linspace(self.low, self.high, _BINS + 1)[1:-1]
        bins = np.digitize(np.where(np.isnan(self.values), self.low, self.values), edges)
        found = []
        for k in np.unique(bins):
            rows = np.flatnonzero((bins == k) & ~np.isnan(self.values))
            if rows.size:
                best = rows[np.argmax(ratios[rows])]
                found.append((float(self.values[best]), float(ratios[best])))
        return found


def panels_of(cases: Sequence[Case]) -> list[Panel]:
    """The quantities that vary over the instances."""
    panels = []
    for quantity in QUANTITIES:
        raw = np.array([math.nan if (v := quantity.value(case)) is None else v for case in cases], dtype=float)
        values = np.log10(raw, where=raw > 0, out=np.full(raw.size, math.nan)) if quantity.log else raw
        if np.unique(values[~np.isnan(values)].round(9)).size > 1:
            panels.append(Panel(quantity.name, quantity.log, values))
    return panels


def dependence_figure(evidence: PointwiseEvidence) -> Figure | None:
    """Draw the largest ratio of the sides against n, T, d, γ and η, as far as they vary; None where none does."""
    cases = [case for case in evidence.cases if math.isfinite(case.log_ratio)]
    panels = panels_of(cases)
    if not panels:
        return None
    ratios = np.array([case.log_ratio for case in cases])
    floor = max(float(ratios.min()), -_REACH) if ratios.max() > -_REACH else float(ratios.min())
    shown = np.clip(ratios, floor, _REACH)
    y = drawing.axis_over("largest ratio", np.append(shown, 0.0))
    # The largest of every bin are drawn in any case: they carry the line.
    ranks = np.argsort(ratios, kind="stable")
    drawn = ranks[np.unique(np.linspace(0, ranks.size - 1, min(ranks.size, _MARKS)).round().astype(int))]
    tops = [panel.tops(shown) for panel in panels]
    rows = [
        {
            **{panel.name: _rounded(panel.values[k]) for panel in panels},
            "y": round(float(shown[k]), 3),
        }
        for k in drawn
    ]
    lines = [
        {"x": round(_place(k, panel, value), 3), "y": round(ratio, 3), "of": panel.name}
        for k, (panel, points) in enumerate(zip(panels, tops, strict=True))
        for value, ratio in points
    ]
    edges = [{"x": k} for k in range(1, len(panels))]
    text = _describe(panels, tops, len(evidence.cases), len(drawn), int((ratios < floor).sum()), floor)
    return drawing.figure(_chart(panels, y), text, cases=rows, largest=lines, edges=edges)


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 2)


def _place(k: int, panel: Panel, value: float) -> float:
    """Where a value lies on the common axis, on which panel k takes up the unit from k to k + 1."""
    return k + _EDGE + (1 - 2 * _EDGE) * (value - panel.low) / (panel.high - panel.low)


def _place_of(k: int, panel: Panel) -> str:
    """The same as an entry of a Vega object."""
    width = (1 - 2 * _EDGE) / (panel.high - panel.low)
    return f"'{panel.name}': {k + _EDGE} + {width:.6g} * (datum.v - {panel.low:.6g})"


def _chart(panels: Sequence[Panel], y_axis: drawing.Axis) -> Any:
    import altair as alt

    labels: dict[str, str] = {}
    for k, panel in enumerate(panels):
        labels[f"{k + _EDGE:.2f}"] = f"'{panel.label(panel.low)}'"
        labels[f"{k + 0.5:.2f}"] = f"['', '{panel.name}']"
        labels[f"{k + 1 - _EDGE:.2f}"] = f"'{panel.label(panel.high)}'"
    words = ", ".join(f"'{place}': {label}" for place, label in labels.items())
    start = {"test": "datum.value % 1 < 0.3", "value": "left"}
    end = {"test": "datum.value % 1 > 0.7", "value": "right"}
    x = alt.X(
        "x:Q",
        axis=alt.Axis(
            values=[float(place) for place in labels],
            tickCount=len(labels),  # or that of the other layers, which share the axis, thins them
            labelExpr=f"({{{words}}})[format(datum.value, '.2f')]",
            labelAlign={"condition": [start, end], "value": "center"},
            labelOverlap=False,
            title=None,
            grid=False,
            ticks=False,
        ),
        scale=alt.Scale(domain=[0, len(panels)], nice=False, zero=False),
    )
    y = drawing.channel(alt.Y, "y:Q", y_axis)
    names: list[Any] = [panel.name for panel in panels]
    points = (
        alt.Chart(alt.NamedData(name="cases"))
        .transform_fold(names, as_=["of", "v"])
        .transform_filter("isValid(datum.v)")
        .transform_calculate(x=f"({{{', '.join(_place_of(k, p) for k, p in enumerate(panels))}}})[datum.of]")
        .mark_point(filled=True, size=14, opacity=0.55, color=drawing.BLUE, clip=True)
        .encode(x=x, y=y)
    )
    largest = (
        alt.Chart(alt.NamedData(name="largest"))
        .mark_line(color=drawing.VERMILLION, strokeWidth=1.6, clip=True)
        .encode(x="x:Q", y=y, detail="of:N")
    )
    edges = alt.Chart(alt.NamedData(name="edges")).mark_rule(color=drawing.GREY, strokeWidth=1).encode(x="x:Q")
    return drawing.layered(points, largest, edges, height=190)


def _describe(
    panels: Sequence[Panel],
    tops: Sequence[list[tuple[float, float]]],
    cases: int,
    drawn: int,
    below: int,
    floor: float,
) -> str:
    said = [
        f"{power_label(points[0][1])} at {panel.name} = {panel.label(points[0][0])} to "
        f"{power_label(points[-1][1])} at {panel.label(points[-1][0])}"
        for panel, points in zip(panels, tops, strict=True)
    ]
    names = listed([panel.name for panel in panels])
    some = f" {count(drawn, 'instance')} of {cases:,} are drawn." if drawn < cases else ""
    cut = f" Ratios below {power_label(floor)} ({below:,}) are drawn there." if below else ""
    return (
        f"The largest ratio on each instance against {names}, each panel on a scale of its own; the line joins "
        f"the largest of up to {_BINS} bins. From the first bin to the last: {'; '.join(said)}.{some}{cut}"
    )
