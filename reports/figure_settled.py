"""Runs that settle elsewhere: their data, the margins they end with, and where in the space of data they lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from properties.limits import NO_TRAP, TRAPPED
from properties.paper import Beyond
from properties.settling import Settled
from reports import drawing
from reports.drawing import Figure
from reports.figure_limit import OUTCOMES
from reports.figure_tokens import tokens_figure
from reports.words import count, listed

_OUTCOME_SHAPES = ["circle", "square", "triangle-down", "diamond", "triangle-up", "cross", "triangle-left"]
_PAIRS = 40  # pairs whose margins are drawn


# --------------------------------------------------------------------------------------------- data
def data_figure(settled: Settled) -> Figure:
    """Draw the tokens, and say which sequences were lost."""
    drawn = tokens_figure(settled.run.instance.dataset)
    lost = f" Lost: {listed([str(i + 1) for i in settled.lost])}." if settled.lost else ""
    return replace(drawn, alt=drawn.alt + lost)


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
    lost = sum(margin < 0 for _, _, margin in pairs)
    more = f" The {len(shown)} smallest are drawn." if len(shown) < len(pairs) else ""
    return drawing.figure(
        drawing.layered(chart, width=300, height=max(110, min(18 * len(rows), 420)), columns=2),
        f"How far the optimal token is ahead of each other token, under the direction in which the run ended: "
        f"{lost} of {count(len(pairs), 'margin')} {'is' if lost == 1 else 'are'} negative, where the max-margin "
        f"direction has none.{more}",
        pairs=rows,
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
        return Figure.none("No figure: no run of these claims has a place relative to the condition.")
    finite = [run.beyond for run in beyond if math.isfinite(run.beyond)]
    low, high = min([*finite, -1.0]), max([*finite, 1.0])
    none_at = low - 0.22 * (high - low)  # runs without negative correlation have a place of their own
    rows = [
        {"x": round(max(run.beyond, none_at), 3), "row": names[run.theorem], "outcome": run.outcome, "lift": lift}
        for run, lift in zip(beyond, _jitter(len(beyond)), strict=True)
    ]
    chart = _region_chart(rows, list(dict.fromkeys(names.values())), low, high, none_at)
    return drawing.figure(chart, _describe_region(beyond), runs=rows, edge=[{"x": 0.0}])


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
    nearest = f" The nearest trap lies {drawing.power_label(min(trapped))} beyond it." if trapped else ""
    return (
        f"{count(len(beyond), 'dataset')}, placed by how far they lie from condition WC (dashed line) and "
        f"coloured by how their runs ended; those called “{NO_TRAP}” were searched for traps only. To the left of "
        f"the line, within WC, {'is' if inside == 1 else 'are'} {count(inside, 'dataset')}, {none} of them "
        f"without any negative correlation between sequences.{nearest}"
    )
