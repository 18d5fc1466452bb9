"""Theorems about the regularisation path: weights no worse than W_mm's direction at their own norm (S1)."""

from __future__ import annotations

from sympy import exp, log

from bounds.assumptions import BelowPath, Separable
from bounds.attention import derived
from bounds.notation import Delta_max, Delta_min, T, direction_gap, gamma, margin_min, n, norm, slope_ratio
from bounds.theorem import ATTENTION, Theorem

SVM = "arXiv 2308.16898"

#: How much more of the loss gap one pair may hold than it does on the path: Q of S1.
crowding = n * slope_ratio * (Delta_max / Delta_min) * (T - 1)
#: e^m ≥ this for every margin m.
_growth = (exp(gamma * norm) + T - 1) / crowding - 1

PATH = [
    Theorem(
        id="attention.path.margin",
        title="Weights no worse than the regularisation path have margins γ‖W‖ up to a constant",
        system=ATTENTION,
        assumes=[Separable(), BelowPath()],
        claim=margin_min >= log(_growth),
        domain=_growth > 1,
        status=derived("S1", refines=SVM),
    ),
    Theorem(
        id="attention.path.direction",
        title="The regularisation path aligns with the max-margin solution at rate O(1/‖W‖), whatever the scores",
        system=ATTENTION,
        assumes=[Separable(), BelowPath()],
        claim=direction_gap <= 1 - log(_growth) / (gamma * norm),
        domain=_growth > 1,
        status=derived("S1", refines=SVM),
    ),
]

THEOREMS: tuple[Theorem, ...] = tuple(PATH)
