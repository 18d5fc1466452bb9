"""Constant-step gradient descent (docs/theory.md, section 5)."""

from __future__ import annotations

import sympy as sp
from sympy import exp, log

from bounds.assumptions import (
    Assumption,
    EqualScores,
    Loss,
    PositiveCoefficients,
    Rule,
    Separable,
    StepAtMost,
    ZeroInit,
)
from bounds.attention import PAPER, derived, master_bound
from bounds.notation import (
    B,
    Delta_max,
    Delta_min,
    Lambda_max,
    T,
    alignment,
    alignment_0,
    alignment_1,
    direction_gap,
    eta,
    gamma,
    grad_norm,
    leak_min,
    loss_gap,
    loss_gap_0,
    loss_gap_next,
    norm,
    norm_0,
    rho_max,
    s_min_run,
    score_min,
    slope_min,
    step_length_max,
    t,
)
from bounds.theorem import ATTENTION, Theorem

#: Smoothness β of the loss in three settings; each gives the five theorems G1–G4 and A1 for η ≤ 1/β.
GD_SETTINGS: dict[str, tuple[tuple[Assumption, ...], sp.Expr]] = {
    "": (
        (Separable(), EqualScores(), Rule("gd"), Loss("logistic")),
        B**2 * (Delta_max**2 / 64 + Delta_max / 4),
    ),
    ".general": (
        (Separable(), PositiveCoefficients(), Rule("gd"), Loss("logistic")),
        B**2 * (5 + 4 * Delta_max) * Delta_max,
    ),
    ".exponential": (
        (Separable(), EqualScores(), Rule("gd"), Loss("exponential")),
        B**2 * exp(-(score_min - Delta_max)) * (Delta_max**2 / 16 + Delta_max / 4),
    ),
}


def gd_rate(s: sp.Expr) -> sp.Expr:
    """a = ηγ²s²/2, the speed at which 1/G grows in G2."""
    return eta * gamma**2 * s**2 / 2


def norm_ceiling(s: sp.Expr, rho_bar: sp.Expr) -> sp.Expr:
    """Right side of G3 with a given floor s of the attention and a given bound on ρ."""
    return eta * B * rho_bar * (loss_gap_0 + log(1 + gd_rate(s) * loss_gap_0 * t) / gd_rate(s))


_ceiling = norm_ceiling(s_min_run, rho_max)
_where = {"": "equal scores", ".general": "positive coefficients", ".exponential": "exponential loss"}

GD = [
    theorem
    for suffix, (assumes, beta) in GD_SETTINGS.items()
    for theorem in (
        Theorem(
            id=f"attention.gd.descent{suffix}",
            title=f"Each GD step decreases the loss ({_where[suffix]})",
            system=ATTENTION,
            assumes=[*assumes, StepAtMost(1 / beta)],
            claim=eta / 2 * grad_norm**2 <= loss_gap - loss_gap_next,
            status=derived("G1"),
            trivial=loss_gap,
        ),
        Theorem(
            id=f"attention.gd.loss{suffix}",
            title=f"GD's loss gap is O(1/t) ({_where[suffix]})",
            system=ATTENTION,
            assumes=[*assumes, StepAtMost(1 / beta)],
            claim=loss_gap <= 1 / (1 / loss_gap_0 + gd_rate(s_min_run) * t),
            status=derived("G2", refines=PAPER),
        ),
        Theorem(
            id=f"attention.gd.norm{suffix}",
            title=f"GD's norm grows only logarithmically ({_where[suffix]})",
            system=ATTENTION,
            assumes=[*assumes, StepAtMost(1 / beta), ZeroInit()],
            claim=norm <= _ceiling,
            status=derived("G3", refines=PAPER),
        ),
        Theorem(
            id=f"attention.gd.direction{suffix}",
            title=f"GD aligns with the max-margin solution at rate O(log log t / log t) ({_where[suffix]})",
            system=ATTENTION,
            assumes=[*assumes, StepAtMost(1 / beta)],
            claim=direction_gap <= master_bound(Lambda_max, step_length_max),
            domain=alignment_1 > 0,
            status=derived("G4", refines=PAPER),
        ),
        Theorem(
            id=f"attention.gd.sparsity-floor{suffix}",
            title=f"GD's attention sparsifies no faster than a power of t ({_where[suffix]})",
            system=ATTENTION,
            assumes=[*assumes, StepAtMost(1 / beta), ZeroInit()],
            claim=leak_min >= (T - 1) / (exp(B * _ceiling) + T - 1),
            status=derived("A1", refines=PAPER),
        ),
    )
]

#: Whatever η and W_0: the norm diverges, and no more slowly than this.
DIVERGENCE = Theorem(
    id="attention.gd.norm.floor",
    title="GD's alignment grows at least logarithmically, from any W_0 and with any step size",
    system=ATTENTION,
    assumes=[Separable(), PositiveCoefficients(), Rule("gd")],
    claim=alignment
    >= alignment_0
    + gamma / B**2 * log(1 + B * eta * gamma * slope_min * Delta_min * t / (2 * T * exp(B * norm_0))),
    status=derived("G6", refines=PAPER),
)

THEOREMS: tuple[Theorem, ...] = (*GD, DIVERGENCE)
