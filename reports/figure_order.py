"""Order claims: what was measured in dyadic windows against the claimed rate, scaled to touch it."""

from __future__ import annotations

import math

import numpy as np

from bounds.claims import Order
from properties.orders import OrderEvidence, OrderRun
from reports import drawing
from reports.drawing import Figure, Line
from reports.words import count, fixed, interval, plain

MEDIAN, SLOWEST = "run with the median exponent", "slowest run"
OTHERS, CLAIMED = "other runs", "claimed rate, scaled"
_OTHERS = 40  # runs drawn in the background
_LOG10_E = math.log10(math.e)


def rate_figure(evidence: OrderEvidence) -> Figure:
    """Draw the extremes of the claim's quantity in each dyadic window, with the claimed rate through them."""
    claim = evidence.theorem.claim
    assert isinstance(claim, Order)
    typical, slowest = evidence.typical, evidence.slowest
    if typical is None or slowest is None:
        return Figure.none("No figure: no run had left its start and lasted over seven dyadic windows.")
    others = [run for run in evidence.telling if run is not typical and run is not slowest][:_OTHERS]
    lines = [_measured(OTHERS, run, drawing.GREY, 0.7) for run in others]
    runs = [(MEDIAN, typical, drawing.BLUE)]
    if slowest is not typical:
        runs.append((SLOWEST, slowest, drawing.VERMILLION))
    rates: list[Line] = []
    for name, run, colour in runs:
        lines.append(_measured(name, run, colour, 2.5))
        rates += _scaled(claim, run)
    lines += rates
    y = drawing.axis_over(plain(claim.quantity), np.concatenate([line.y for line in lines]))
    layers = drawing.line_layers(lines, drawing.step_axis(lines), y)
    chart = drawing.layered(*layers, columns=2)
    return drawing.figure(chart, _describe(evidence, claim, typical, slowest), lines=drawing.line_rows(lines))


def _measured(name: str, run: OrderRun, colour: str, width: float) -> Line:
    return Line(name, np.log10(run.windows.t), run.windows.values * _LOG10_E, colour, width=width)


def _scaled(claim: Order, run: OrderRun) -> list[Line]:
    """The smallest multiple of the rate above the windows (O), the largest below (Ω), or both (Θ)."""
    distance = run.windows.values - run.rates.values
    touching = {"O": [distance.max()], "Omega": [distance.min()], "Theta": [distance.max(), distance.min()]}
    t = np.log10(run.windows.t)
    return [
        Line(CLAIMED, t, (run.rates.values + shift) * _LOG10_E, drawing.BLACK, drawing.DASHED, 1.3)
        for shift in touching[claim.growth]
    ]


def _describe(evidence: OrderEvidence, claim: Order, typical: OrderRun, slowest: OrderRun) -> str:
    extreme = "Smallest" if claim.growth == "Omega" else "Largest"
    text = (
        f"{extreme} value of {plain(claim.quantity)} in each of the last dyadic windows of "
        f"{count(len(evidence.telling), 'run')}. Measured as a power of {evidence.clock}, the exponent of the "
        f"median run is {interval(typical.exponent)}; the claimed rate {plain(claim.rate)} (dashed) "
        f"has {fixed(typical.claimed.slope)} over the same windows."
    )
    if slowest is not typical:
        text += f" The slowest run ({slowest.source}) shows {interval(slowest.exponent)}."
    return text
