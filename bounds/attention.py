"""Facts about one self-attention layer at every W, and the master direction theorem (docs/theory.md, 1 and 2)."""

from __future__ import annotations

import sympy as sp
from sympy import exp, log

from bounds.assumptions import (
    Assumption,
    EqualScores,
    NonNegativeCorrelation,
    PositiveCoefficients,
    Separable,
    ZeroInit,
)
from bounds.notation import (
    B,
    Delta_max,
    Delta_min,
    Gamma,
    Lambda,
    Lambda_apriori,
    Lambda_max,
    T,
    alignment,
    alignment_1,
    coefficient_sum,
    descent_cosine,
    direction_gap,
    gamma,
    grad_norm,
    leak_min,
    leak_slope_max,
    loss_gap,
    margin_growth_min,
    margin_mean,
    margin_min,
    master_sum,
    n,
    norm,
    norm_1,
    rho,
    s_min,
    step_length_max,
)
from bounds.theorem import ATTENTION, Derived, Theorem

PAPER = "arXiv 2402.05738"
PC: tuple[Assumption, ...] = (Separable(), PositiveCoefficients())


def derived(label: str, refines: str = "") -> Derived:
    """Proved in docs/theory.md under the heading of that label."""
    return Derived(proof=f"docs/theory.md#{label.lower()}", refines=refines)


# ------------------------------------------------------------------------------------ 1. facts at every W
FACTS = [
    Theorem(
        id="attention.gradient-cone.lower",
        title="The gradient is at least γ times the sum of its coefficients: no finite stationary point",
        system=ATTENTION,
        assumes=PC,
        claim=gamma * coefficient_sum <= grad_norm,
        status=derived("F1"),
    ),
    Theorem(
        id="attention.gradient-cone.upper",
        title="The gradient is at most B times the sum of its coefficients",
        system=ATTENTION,
        assumes=PC,
        claim=grad_norm <= B * coefficient_sum,
        status=derived("F1"),
    ),
    Theorem(
        id="attention.gradient-cone.cosine",
        title="The descent direction keeps an angle to W_mm bounded away from 90°",
        system=ATTENTION,
        assumes=PC,
        claim=descent_cosine >= gamma / B,
        status=derived("F1"),
    ),
    Theorem(
        id="attention.gradient-domination",
        title="Gradient domination: the gradient controls the loss gap (PL-like, power 1)",
        system=ATTENTION,
        assumes=PC,
        claim=grad_norm >= gamma * s_min * loss_gap,
        status=derived("F2"),
    ),
    Theorem(
        id="attention.deficit-sandwich.lower",
        title="The slope-weighted attention deficit is at least the loss gap",
        system=ATTENTION,
        assumes=[],
        claim=loss_gap <= Gamma,
        status=derived("F3"),
    ),
    Theorem(
        id="attention.deficit-sandwich.upper",
        title="The slope-weighted attention deficit is at most ρ times the loss gap",
        system=ATTENTION,
        assumes=[],
        claim=Gamma <= rho * loss_gap,
        status=derived("F3"),
    ),
    Theorem(
        id="attention.deficit-sandwich.rho",
        title="The ratio ρ of loss slopes is at most exp(Δmax)",
        system=ATTENTION,
        assumes=[],
        claim=rho <= exp(Delta_max),
        status=derived("F3"),
    ),
    Theorem(
        id="attention.entropy",
        title="The coefficients' mean margin exceeds the smallest margin by at most Λ",
        system=ATTENTION,
        assumes=PC,
        claim=margin_mean <= margin_min + Lambda,
        status=derived("F4"),
    ),
    Theorem(
        id="attention.sparsity-floor",
        title="Attention cannot sparsify faster than exp(−B‖W‖)",
        system=ATTENTION,
        assumes=[],
        claim=leak_min >= (T - 1) / (exp(B * norm) + T - 1),
        status=derived("F5"),
    ),
    Theorem(
        id="attention.sparsity-from-loss",
        title="A small loss gap forces sparse attention",
        system=ATTENTION,
        assumes=[],
        claim=leak_slope_max <= n * loss_gap / Delta_min,
        status=derived("F6"),
    ),
]

# --------------------------------------------------------------------- 2. the master direction theorem
_closed = norm_1 - alignment_1


def master_bound(Lambda_bar: sp.Expr, delta_bar: sp.Expr) -> sp.Expr:
    """Right side of M2 with given bounds Λ̄ and δ̄."""
    turns = log(norm / alignment_1) + delta_bar / alignment_1
    return (_closed + (Lambda_bar + delta_bar * B / 2) / gamma * turns) / norm


MASTER = [
    Theorem(
        id="attention.master-sum",
        title="Master theorem: ‖W‖ − ⟨W, Ŵ⟩ grows at most by a weighted sum of Λ and squared steps",
        system=ATTENTION,
        assumes=PC,
        claim=norm - alignment <= _closed + master_sum,
        status=derived("M1"),
        trivial=norm,
    ),
    Theorem(
        id="attention.master-closed",
        title="Master theorem, closed form: the direction gap is O(log r_t / r_t) where Λ stays bounded",
        system=ATTENTION,
        assumes=PC,
        claim=direction_gap <= master_bound(Lambda_max, step_length_max),
        domain=alignment_1 > 0,
        status=derived("M2", refines=PAPER),
    ),
]
APRIORI_SETTING: tuple[Assumption, ...] = (Separable(), EqualScores(), NonNegativeCorrelation(), ZeroInit())
APRIORI = [
    Theorem(
        id="attention.apriori.lambda",
        title="Equal scores and non-negative correlation bound Λ before training",
        system=ATTENTION,
        assumes=APRIORI_SETTING,
        claim=Lambda <= Lambda_apriori,
        status=derived("M3"),
    ),
    Theorem(
        id="attention.apriori.attention",
        title="Attention on the optimal token never falls below 1/T",
        system=ATTENTION,
        assumes=APRIORI_SETTING,
        claim=s_min >= 1 / T,
        status=derived("M3"),
    ),
    Theorem(
        id="attention.apriori.monotone",
        title="Margins, and with them the attention on optimal tokens, never decrease",
        system=ATTENTION,
        assumes=APRIORI_SETTING,
        claim=margin_growth_min >= 0,
        status=derived("M3"),
    ),
]

THEOREMS: tuple[Theorem, ...] = (*FACTS, *MASTER, *APRIORI)
