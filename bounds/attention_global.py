"""Theorems about data on which training converges from W_0 = 0 with constants known beforehand (M4).

Weak negative correlation (`WeakNegativeCorrelation`, docs/theory.md#m4) keeps the attention on every optimal token
above `s_floor` throughout, so that N2 to N4 and G2 to G4 hold with it in place of what a run has to measure.
`DROPPED` are the same statements without the condition: conjectures that the trial is expected to refute.
"""

from __future__ import annotations

from sympy import exp

from bounds.assumptions import (
    Assumption,
    EqualScores,
    Loss,
    Rule,
    Separable,
    StepAtMost,
    WeakNegativeCorrelation,
    ZeroInit,
)
from bounds.attention import PAPER, derived, master_bound
from bounds.attention_gd import GD_SETTINGS, gd_rate, norm_ceiling
from bounds.attention_ngd import linear_rate, ngd_direction_bound, small_step
from bounds.notation import (
    B,
    Delta_max,
    Delta_min,
    Lambda,
    Lambda_global,
    T,
    alignment,
    alignment_0,
    alignment_1,
    delta_bar,
    direction_gap,
    eta,
    gamma,
    leak_slope_max,
    loss_gap,
    loss_gap_0,
    margin_min,
    n,
    norm,
    s_floor,
    s_min,
    t,
)
from bounds.theorem import ATTENTION, Conjecture, Theorem

GLOBAL: tuple[Assumption, ...] = (Separable(), WeakNegativeCorrelation(), ZeroInit())
NGD_GLOBAL: tuple[Assumption, ...] = (*GLOBAL, Rule("ngd"))
GD_GLOBAL: tuple[Assumption, ...] = (*GLOBAL, Rule("gd"))

INVARIANT = [
    Theorem(
        id="attention.global.margins",
        title="Weak negative correlation: no margin falls below the reach −δ̄B of one step",
        system=ATTENTION,
        assumes=GLOBAL,
        claim=margin_min >= -delta_bar * B,
        status=derived("M4"),
    ),
    Theorem(
        id="attention.global.attention",
        title="Weak negative correlation: attention on the optimal tokens never falls below s_floor",
        system=ATTENTION,
        assumes=GLOBAL,
        claim=s_min >= s_floor,
        status=derived("M4"),
    ),
    Theorem(
        id="attention.global.lambda",
        title="Weak negative correlation bounds Λ before training",
        system=ATTENTION,
        assumes=GLOBAL,
        claim=Lambda <= Lambda_global,
        status=derived("M4"),
    ),
]

NGD = [
    Theorem(
        id="attention.global.ngd.direction",
        title="Weak negative correlation: normalised GD aligns at rate O(log t / t), constants known before",
        system=ATTENTION,
        assumes=NGD_GLOBAL,
        claim=direction_gap <= ngd_direction_bound(Lambda_global),
        domain=t >= 1,
        status=derived("M4", refines=PAPER),
    ),
    Theorem(
        id="attention.global.ngd.loss",
        title="Weak negative correlation: normalised GD's loss gap falls exponentially, rate known before",
        system=ATTENTION,
        assumes=[*NGD_GLOBAL, StepAtMost(small_step(s_floor))],
        claim=loss_gap <= loss_gap_0 * linear_rate(s_floor),
        status=derived("M4", refines=PAPER),
    ),
    Theorem(
        id="attention.global.ngd.sparsity",
        title="Weak negative correlation: normalised GD's attention sparsifies exponentially, rate known before",
        system=ATTENTION,
        assumes=[*NGD_GLOBAL, StepAtMost(small_step(s_floor))],
        claim=leak_slope_max <= n * loss_gap_0 / Delta_min * linear_rate(s_floor),
        status=derived("M4", refines=PAPER),
    ),
]

#: Suffix of the theorem ids, the loss, and the smoothness β under equal scores.
_LOSSES = {
    "": (Loss("logistic"), GD_SETTINGS[""][1]),
    ".exponential": (Loss("exponential"), GD_SETTINGS[".exponential"][1]),
}

GD = [
    *(
        theorem
        for suffix, (loss, beta) in _LOSSES.items()
        for theorem in (
            Theorem(
                id=f"attention.global.gd.loss{suffix}",
                title=f"Weak negative correlation: GD's loss gap is O(1/t), constants known before ({loss.loss})",
                system=ATTENTION,
                assumes=[*GD_GLOBAL, loss, StepAtMost(1 / beta)],
                claim=loss_gap <= 1 / (1 / loss_gap_0 + gd_rate(s_floor) * t),
                status=derived("M4", refines=PAPER),
            ),
            Theorem(
                id=f"attention.global.gd.norm{suffix}",
                title=f"Weak negative correlation: GD's norm is O(log t), constants known before ({loss.loss})",
                system=ATTENTION,
                assumes=[*GD_GLOBAL, loss, StepAtMost(1 / beta)],
                claim=norm <= norm_ceiling(s_floor, exp(Delta_max)),
                status=derived("M4", refines=PAPER),
            ),
        )
    ),
    Theorem(
        id="attention.global.gd.direction",
        title="Weak negative correlation: GD aligns at rate O(log r_t / r_t), constants known before",
        system=ATTENTION,
        assumes=GD_GLOBAL,
        claim=direction_gap <= master_bound(Lambda_global, delta_bar),
        domain=alignment_1 > 0,
        status=derived("M4", refines=PAPER),
    ),
]

DROPPED = [
    Theorem(
        id="attention.equal-scores.attention",
        title="Equal scores alone keep the attention of normalised GD above its floor",
        system=ATTENTION,
        assumes=[Separable(), EqualScores(), ZeroInit(), Rule("ngd")],
        claim=s_min >= 1 / (1 + (T - 1) * exp(eta * B)),
        status=Conjecture(source="M4 without its correlation condition"),
    ),
    Theorem(
        id="attention.any-scores.ngd.progress",
        title="Normalised GD moves along W_mm at speed ηγ/B whatever the scores and the start",
        system=ATTENTION,
        assumes=[Separable(), Rule("ngd")],
        claim=alignment >= alignment_0 + eta * t * gamma / B,
        status=Conjecture(source="N1 without positive coefficients"),
    ),
]

THEOREMS: tuple[Theorem, ...] = (*INVARIANT, *NGD, *GD, *DROPPED)
