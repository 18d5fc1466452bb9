"""Probability claims: observed frequencies with exact intervals against what is claimed."""

from __future__ import annotations

from typing import Any

from properties.probability import CONFIDENCE, ProbabilityEvidence, Tally
from reports import drawing
from reports.drawing import Figure
from reports.words import count, number

OBSERVED, CLAIMED = "observed, with its exact interval", "claimed, at least"
INSIDE, OUTSIDE = "within the claim's domain", "outside it"


def frequency_figure(evidence: ProbabilityEvidence) -> Figure:
    """Draw how often the event occurs: by place where draws have one, else by claimed probability."""
    if not evidence.tallies:
        return Figure.none("No figure: nothing was drawn within the claim's domain.")
    if evidence.around:
        return _around(evidence)
    return _against_claim(evidence)


def _against_claim(evidence: ProbabilityEvidence) -> Figure:
    import altair as alt

    rows = [
        {"row": f"at least {claimed:g}", "claimed": claimed, **_shares(evidence.tallies[claimed])}
        for claimed in sorted(evidence.tallies)
    ]
    least = min(min(row["low"], row["claimed"]) for row in rows)
    shown = [max(0.0, least - 0.1 * (1.0 - least)), 1.0 + 0.02 * (1.0 - least)]
    scale = alt.Scale(domain=[OBSERVED, CLAIMED], range=[drawing.BLUE, drawing.BLACK])
    base = alt.Chart(alt.NamedData(name="draws")).encode(
        y=alt.Y("row:N", title="claimed probability", sort=None), x=_share_axis(alt, "low:Q", shown)
    )
    bar = base.mark_rule(strokeWidth=3, color=drawing.BLUE).encode(x2="high:Q")
    dot = base.mark_point(filled=True, size=90).encode(
        x=_share_axis(alt, "share:Q", shown), color=alt.Color("observed:N", scale=scale)
    )
    tick = base.mark_tick(thickness=3, size=26).encode(
        x=_share_axis(alt, "claimed:Q", shown), color=alt.Color("stated:N", scale=scale, legend=None)
    )
    for row in rows:
        row |= {"observed": OBSERVED, "stated": CLAIMED}
    chart = drawing.layered(bar, tick, dot, height=44 * len(rows) + 20)
    text = "; ".join(
        f"where at least {row['claimed']:g} is claimed, {row['occurred']:,} of {row['total']:,} "
        f"({number(row['low'], 4)} to {number(row['high'], 4)})"
        for row in rows
    )
    text = f"How often the event occurs: {text}; {CONFIDENCE:.0%} confidence."
    return drawing.figure(chart, text, draws=rows)


def _around(evidence: ProbabilityEvidence) -> Figure:
    import altair as alt

    rows = [
        {"place": place, "where": INSIDE if place >= 0 else OUTSIDE, **_shares(tally)}
        for place, tally in sorted(evidence.around.items())
    ]
    for row in rows:
        row["label"] = f"{row['occurred']:,} of {row['total']:,}"
    scale = alt.Scale(domain=[INSIDE, OUTSIDE], range=[drawing.BLUE, drawing.GREY])
    base = alt.Chart(alt.NamedData(name="draws")).encode(
        x=alt.X("place:O", title="d − max(T − 1, n)", axis=alt.Axis(labelAngle=0, labelExpr=_minus()))
    )
    bars = base.mark_bar(size=46).encode(
        y=alt.Y("share:Q", title="share of draws that are separable", scale=alt.Scale(domain=[0, 1.12]),
                axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".0%")),
        color=alt.Color("where:N", scale=scale),
    )  # fmt: skip
    spans = base.mark_rule(strokeWidth=2, color=drawing.BLACK).encode(y="low:Q", y2="high:Q")
    labels = base.mark_text(dy=-8, fontSize=12, color=drawing.BLACK).encode(y="high:Q", text="label:N")
    chart = drawing.layered(bars, spans, labels)
    text = "; ".join(f"{number(row['place'])}: {row['label']}" for row in rows)
    return drawing.figure(
        chart,
        "Share of random datasets that are separable, by d − max(T − 1, n), with exact "
        f"{CONFIDENCE:.0%} intervals. {text}. {count(evidence.applicable, 'draw')} lie in the claim's domain, "
        "d ≥ max(T − 1, n).",
        draws=rows,
    )


def _shares(tally: Tally) -> dict[str, Any]:
    low, high = tally.interval
    share = tally.occurred / tally.total
    return {"occurred": tally.occurred, "total": tally.total, "share": share, "low": low, "high": high}


def _share_axis(alt: Any, field: str, shown: list[float]) -> Any:
    scale = alt.Scale(domain=shown, nice=False, zero=False)
    return alt.X(field, title="probability of the event", scale=scale)


def _minus() -> str:
    return "replace(datum.label, '-', '−')"
