"""Distributions as strips: one row a group of instances, one tick an instance, the median marked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bounds.claims import Order
from properties.orders import OrderEvidence
from properties.verdict import Case, PointwiseEvidence
from reports import drawing
from reports.drawing import Array, Axis, Figure, power_label
from reports.words import count, fixed, listed, plain

_MARKS = 300  # ticks of one figure
_REACH = 12.0  # |log10| of a ratio beyond which nothing is told apart
_ROW = 17  # pixels
#: What instances are grouped by, in the order of the panels.
_GROUPS: dict[str, Callable[[Case], str]] = {
    "strategy": lambda case: case.source,
    "step rule": lambda case: case.rule,
    "loss": lambda case: case.loss,
}


@dataclass(frozen=True, eq=False)
class Strip:
    """The values of one group."""

    name: str
    values: Array

    @property
    def median(self) -> float:
        """The middle value; the lower one of two, so that −∞ stays what it is."""
        return float(np.sort(self.values)[(self.values.size - 1) // 2])


def strips(items: Iterable[tuple[str, float]]) -> list[Strip]:
    """Values by group, the group with the largest median first; of equal ones that with the largest value."""
    groups: dict[str, list[float]] = {}
    for name, value in items:
        groups.setdefault(name, []).append(value)
    found = [Strip(name, np.array(values)) for name, values in groups.items()]
    return sorted(found, key=lambda strip: (-strip.median, -float(strip.values.max()), strip.name))


# ------------------------------------------------------------------------------------------- figures
def ratio_figure(evidence: PointwiseEvidence) -> Figure | None:
    """Draw the largest ratio of the sides on every instance, by strategy, step rule and loss.

    None where signs alone settle the claim on every instance.
    """
    cases = evidence.cases
    if not any(math.isfinite(case.log_ratio) for case in cases):
        return None
    panels = {title: strips((key(case), case.log_ratio) for case in cases) for title, key in _GROUPS.items()}
    # What does not vary tells nothing; the strategies are shown also where there is one.
    panels = {title: rows for title, rows in panels.items() if len(rows) > 1 or title == "strategy"}
    values = np.array([case.log_ratio for case in cases])
    finite = values[np.isfinite(values)]
    low, high = max(min(float(finite.min()), 0.0), -_REACH), min(max(float(finite.max()), 0.0), _REACH)
    axis = drawing.axis_over("largest ratio of smaller to larger side", np.array([low, high]))
    chart, data = _draw(panels, axis, 0.0)
    text = _describe_ratios(panels, len(cases), len(data["marks"])) + _on_the_edges(values, low, high)
    return drawing.figure(chart, text, **data)


def exponent_figure(evidence: OrderEvidence) -> Figure | None:
    """Draw the measured exponent of every run, by strategy, beside the claimed one.

    None where no run had left its start.
    """
    claim, typical = evidence.theorem.claim, evidence.typical
    assert isinstance(claim, Order)
    if typical is None:
        return None
    rows = strips((run.source, run.exponent.slope) for run in evidence.telling)
    claimed = typical.claimed.slope
    values = np.concatenate([*(strip.values for strip in rows), [claimed]])
    power = f"{plain(claim.quantity)} as a power of {evidence.clock}"
    chart, data = _draw({"strategy": rows}, drawing.axis_over(power, values, log=False), claimed)
    first, last = rows[0], rows[-1]
    text = (
        f"Measured exponents of {plain(claim.quantity)} as a power of {evidence.clock}, one tick a run "
        f"({count(len(evidence.telling), 'run')}), the median of each strategy marked; the claimed rate of the "
        f"median run has {fixed(claimed)} (dashed). The medians go from {fixed(last.median)} ({last.name}) to "
        f"{fixed(first.median)} ({first.name})."
    )
    return drawing.figure(chart, text + _thinned(len(evidence.telling), len(data["marks"])), **data)


# ------------------------------------------------------------------------------------------- drawing
def _draw(
    panels: dict[str, list[Strip]], axis: Axis, reference: float
) -> tuple[Any, dict[str, list[dict[str, Any]]]]:
    """The chart of some panels one below the other, and its data sets."""
    rows = sum(len(strips) for strips in panels.values())
    most = max(5, _MARKS // rows)
    labels: dict[int, str] = {}
    heads: list[int] = []
    marks: list[dict[str, Any]] = []
    medians: list[dict[str, Any]] = []
    for title, strips in panels.items():
        if len(panels) > 1:
            heads.append(len(labels))
            labels[len(labels)] = f"by {title}"
        for strip in strips:
            row = len(labels)
            labels[row] = strip.name
            shown = np.clip(thin(strip.values, most), axis.low, axis.high)
            marks += [{"x": float(x), "r": row} for x in np.unique(np.round(shown, 3))]
            medians.append({"x": round(float(np.clip(strip.median, axis.low, axis.high)), 3), "r": row})
    chart = _chart(axis, labels, heads)
    return chart, {"marks": marks, "medians": medians, "reference": [{"x": round(reference, 4)}]}


def thin(values: Array, most: int) -> Array:
    """At most so many of the values, evenly spread over their ranks, the least and the largest among them."""
    ranks = np.linspace(0, values.size - 1, min(values.size, most)).round().astype(int)
    return np.asarray(np.sort(values)[ranks])


def _chart(axis: Axis, labels: dict[int, str], heads: Sequence[int]) -> Any:
    import altair as alt

    words = ", ".join(f"'{row}': '{_quoted(name)}'" for row, name in labels.items())
    bold = {"test": f"indexof([{', '.join(map(str, heads))}], datum.value) >= 0", "value": "bold"}
    x = drawing.channel(alt.X, "x:Q", axis)
    y = alt.Y(
        "r:Q",
        axis=alt.Axis(
            values=list(labels),
            tickCount=len(labels),  # or that of the other layers, which share the axis, thins them
            labelExpr=f"({{{words}}})[format(datum.value, 'd')]",
            labelFontWeight={"condition": bold, "value": "normal"},
            labelLimit=190,
            labelOverlap=False,
            title=None,
            grid=False,
            ticks=False,
        ),
        scale=alt.Scale(domain=[len(labels) - 0.4, -0.6], nice=False, zero=False),
    )
    ticks = (
        alt.Chart(alt.NamedData(name="marks"))
        .mark_tick(orient="vertical", size=11, thickness=1.3, opacity=0.55, color=drawing.BLUE)
        .encode(x=x, y=y)
    )
    medians = (
        alt.Chart(alt.NamedData(name="medians"))
        .mark_tick(orient="vertical", size=15, thickness=3, opacity=1, color=drawing.VERMILLION)
        .encode(x=x, y="r:Q")
    )
    reference = (
        alt.Chart(alt.NamedData(name="reference"))
        .mark_rule(color=drawing.BLACK, strokeDash=list(drawing.DASHED), strokeWidth=1.3)
        .encode(x=x)
    )
    return drawing.layered(ticks, reference, medians, height=max(60, _ROW * len(labels)))


def _quoted(text: str) -> str:
    """Text inside a Vega string."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


# ---------------------------------------------------------------------------------------- description
def _describe_ratios(panels: dict[str, list[Strip]], cases: int, drawn: int) -> str:
    parts = []
    for title, rows in panels.items():
        said = [f"{strip.name} ({_ratio(strip.median)})" for strip in (rows if len(rows) < 4 else rows[:3])]
        first = "largest medians" if len(rows) > 3 else "medians"
        parts.append(f"by {title}, {first}: {listed(said)}" if len(rows) > 1 else f"one {title}: {said[0]}")
    hardest = max((float(strip.values.max()), strip.name) for strip in panels["strategy"])
    return (
        f"The largest ratio of the smaller to the larger side on each of {count(cases, 'instance')}, one tick an "
        f"instance, medians marked; 1 is equality (dashed). The largest of all is {_ratio(hardest[0])} "
        f"({hardest[1]}). {_sentence(parts)}{_thinned(cases * len(panels), drawn)}"
    )


def _sentence(parts: list[str]) -> str:
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _ratio(log: float) -> str:
    if math.isinf(log):
        return "0" if log < 0 else "∞"
    if -3e-4 < log < 0:  # not to be rounded up to equality
        return f"1 − {power_label(math.log10(-math.expm1(log * math.log(10.0))))}"
    return power_label(log)


def _thinned(values: int, drawn: int) -> str:
    return f" Drawn are {drawn:,} ticks, the extremes of each row among them." if drawn < values else ""


def _on_the_edges(values: Array, low: float, high: float) -> str:
    """Which values the axis does not show where they are."""
    below, above = int(((values < low) & np.isfinite(values)).sum()), int((values > high).sum())
    zero = int((values == -math.inf).sum())
    left = [f"{seen:,} {what}" for seen, what in ((below, f"below {_ratio(low)}"), (zero, "at 0")) if seen]
    text = f" Instances on the left edge: {listed(left)}." if left else ""
    return f"{text} Instances on the right edge: {above:,} above {_ratio(high)}." if above else text
