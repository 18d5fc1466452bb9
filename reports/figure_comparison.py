"""Comparisons: hitting times of two methods on the same data, with the diagonal of equal times."""

from __future__ import annotations

import math
from typing import Any

from bounds.claims import Sooner
from properties.comparison import ComparisonEvidence, Pair
from properties.panels import METHODS
from reports import drawing
from reports.drawing import Axis, Figure
from reports.words import count, number, plain

_SIDE = 330
BOTH_SEEN, CENSORED = "both reach it", "one does not within the run (on the edge)"


def hitting_figure(evidence: ComparisonEvidence) -> Figure:
    """Draw each dataset at its two hitting times; times that the run was too short to see lie on the edge."""
    claim = evidence.theorem.claim
    assert isinstance(claim, Sooner)
    if not evidence.pairs:
        return Figure.none("No figure: on no dataset did either method reach it.")
    last = math.log10(max(evidence.last_step, 10))
    edge = last + 0.06 * last
    rows = [_row(pair, edge) for pair in evidence.pairs]
    axes = [Axis(f"steps of {METHODS[method]}", -0.15, edge + 0.12) for method in (claim.first, claim.second)]
    ends = [{"x": at, "y": at} for at in (0.0, round(last, 4))]
    return drawing.figure(_chart(axes), _describe(evidence, claim), pairs=rows, diagonal=ends)


def _row(pair: Pair, edge: float) -> dict[str, Any]:
    times = [edge if time is None else math.log10(max(time, 1)) for time in (pair.first, pair.second)]
    censored = pair.first is None or pair.second is None
    return {"x": round(times[0], 4), "y": round(times[1], 4), "seen": CENSORED if censored else BOTH_SEEN}


def _chart(axes: list[Axis]) -> Any:
    import altair as alt

    x, y = drawing.channel(alt.X, "x:Q", axes[0]), drawing.channel(alt.Y, "y:Q", axes[1])
    kinds = [BOTH_SEEN, CENSORED]
    colour = alt.Scale(domain=kinds, range=[drawing.BLUE, drawing.VERMILLION])
    shape = alt.Scale(domain=kinds, range=["circle", "triangle-up"])
    points = (
        alt.Chart(alt.NamedData(name="pairs"))
        .mark_point(filled=True, size=60, opacity=0.6)
        .encode(x=x, y=y, color=alt.Color("seen:N", scale=colour), shape=alt.Shape("seen:N", scale=shape))
    )
    diagonal = (
        alt.Chart(alt.NamedData(name="diagonal"))
        .mark_line(color=drawing.BLACK, strokeDash=list(drawing.DASHED), strokeWidth=1.3)
        .encode(x=x, y=y)
    )
    return drawing.layered(diagonal, points, width=_SIDE, height=_SIDE, columns=1)


def _describe(evidence: ComparisonEvidence, claim: Sooner) -> str:
    censored = sum(pair.first is None or pair.second is None for pair in evidence.pairs)
    text = (
        f"First step with {plain(claim.event)}, one point a dataset ({count(len(evidence.pairs), 'dataset')}). "
        f"Above the dashed diagonal {METHODS[claim.first]} is sooner than {METHODS[claim.second]}; the "
        f"median ratio of the two times is {number(evidence.median_ratio or math.nan)}."
    )
    if censored:
        text += (
            f" On {count(censored, 'dataset')} one of them had not reached it after {evidence.last_step:,} steps: "
            "these lie on the edge (triangles)."
        )
    return text
