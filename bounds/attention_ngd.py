"""Normalised gradient descent (docs/theory.md, section 3)."""

from __future__ import annotations

import sympy as sp
from sympy import exp, log

from bounds.assumptions import Assumption, EqualScores, PositiveCoefficients, Rule, Separable, StepAtMost, ZeroInit
from bounds.attention import APRIORI_SETTING, PAPER, derived
from bounds.notation import (
    B,
    Delta_max,
    Delta_min,
    Lambda_apriori,
    Lambda_max,
    T,
    alignment,
    alignment_0,
    direction_gap,
    eta,
    gamma,
    leak_max,
    leak_min,
    leak_slope_max,
    loss_gap,
    loss_gap_0,
    margin_min,
    n,
    norm,
    norm_0,
    s_min_run,
    t,
)
from bounds.theorem import ATTENTION, Derived, Theorem

NGD_PC: tuple[Assumption, ...] = (Separable(), PositiveCoefficients(), Rule("ngd"))
NGD_APRIORI: tuple[Assumption, ...] = (*APRIORI_SETTING, Rule("ngd"))


def ngd_direction_bound(Lambda_bar: sp.Expr) -> sp.Expr:
    """Right side of N2 with a given bound Λ̄."""
    growth = log(t * B / gamma) + B / gamma
    return B / (eta * gamma * t) * (eta + (Lambda_bar + eta * B / 2) / gamma * growth)


def linear_rate(s: sp.Expr) -> sp.Expr:
    """(1 − ηγs/2)^t, the loss's rate in N3."""
    return (1 - eta * gamma * s / 2) ** t


def small_step(s: sp.Expr) -> sp.Expr:
    """Largest η of N3 under equal scores, with a given floor s of the attention on optimal tokens."""
    return gamma * s / (B**2 * (1 + Delta_max) * exp(B * (1 + Delta_max) * eta))


_es_step = small_step(s_min_run)
_pc_step = gamma * s_min_run / (B**2 * (5 + 4 * Delta_max) * exp(2 * B * (1 + Delta_max) * eta))
_loss_rate = loss_gap <= loss_gap_0 * linear_rate(s_min_run)
_leak_rate = leak_slope_max <= n * loss_gap_0 / Delta_min * linear_rate(s_min_run)

NGD = [
    Theorem(
        id="attention.ngd.norm.lower",
        title="Normalised GD moves along W_mm at least at speed ηγ/B",
        system=ATTENTION,
        assumes=NGD_PC,
        claim=alignment >= alignment_0 + eta * t * gamma / B,
        status=derived("N1"),
    ),
    Theorem(
        id="attention.ngd.norm.upper",
        title="Normalised GD's norm grows at most at speed η",
        system=ATTENTION,
        assumes=[Rule("ngd")],
        claim=norm <= norm_0 + eta * t,
        status=derived("N1"),
    ),
    Theorem(
        id="attention.ngd.direction",
        title="Normalised GD aligns with the max-margin solution at rate O(log t / t)",
        system=ATTENTION,
        assumes=[*NGD_PC, ZeroInit()],
        claim=direction_gap <= ngd_direction_bound(Lambda_max),
        domain=t >= 1,
        status=derived("N2", refines=PAPER),
    ),
    Theorem(
        id="attention.ngd.direction.apriori",
        title="The same rate with constants known before training",
        system=ATTENTION,
        assumes=NGD_APRIORI,
        claim=direction_gap <= ngd_direction_bound(Lambda_apriori),
        domain=t >= 1,
        status=Derived(proof="docs/theory.md#n2-apriori", refines=PAPER),
    ),
    Theorem(
        id="attention.ngd.loss",
        title="Small steps: normalised GD's loss gap falls exponentially (equal scores)",
        system=ATTENTION,
        assumes=[Separable(), EqualScores(), Rule("ngd"), StepAtMost(_es_step)],
        claim=_loss_rate,
        status=derived("N3", refines=PAPER),
    ),
    Theorem(
        id="attention.ngd.loss.general",
        title="Small steps: normalised GD's loss gap falls exponentially (positive coefficients)",
        system=ATTENTION,
        assumes=[*NGD_PC, StepAtMost(_pc_step)],
        claim=_loss_rate,
        status=derived("N3", refines=PAPER),
    ),
    Theorem(
        id="attention.ngd.loss.apriori",
        title="The loss rate with s = 1/T, known before training",
        system=ATTENTION,
        assumes=[*NGD_APRIORI, StepAtMost(small_step(1 / T))],
        claim=loss_gap <= loss_gap_0 * linear_rate(1 / T),
        status=derived("N3", refines=PAPER),
    ),
    Theorem(
        id="attention.ngd.sparsity",
        title="Small steps: attention sparsifies exponentially (equal scores)",
        system=ATTENTION,
        assumes=[Separable(), EqualScores(), Rule("ngd"), StepAtMost(_es_step)],
        claim=_leak_rate,
        status=derived("N4", refines=PAPER),
    ),
    Theorem(
        id="attention.ngd.sparsity.general",
        title="Small steps: attention sparsifies exponentially (positive coefficients)",
        system=ATTENTION,
        assumes=[*NGD_PC, StepAtMost(_pc_step)],
        claim=_leak_rate,
        status=derived("N4", refines=PAPER),
    ),
    Theorem(
        id="attention.ngd.margin-any-step",
        title="Any step size: once the direction bound is small, margins are at least γ‖W‖/2",
        system=ATTENTION,
        assumes=[*NGD_PC, ZeroInit()],
        claim=margin_min >= norm * gamma / 2,
        domain=ngd_direction_bound(Lambda_max) <= gamma**2 / (8 * B**2),
        status=derived("N5", refines=PAPER),
    ),
    Theorem(
        id="attention.ngd.sparsity-any-step",
        title="Any step size: attention sparsifies exponentially once the direction bound is small",
        system=ATTENTION,
        assumes=[*NGD_PC, ZeroInit()],
        claim=leak_max <= (T - 1) * exp(-eta * gamma**2 * t / (2 * B)),
        domain=ngd_direction_bound(Lambda_max) <= gamma**2 / (8 * B**2),
        status=derived("N5", refines=PAPER),
    ),
    Theorem(
        id="attention.ngd.sparsity-floor",
        title="Under normalised GD attention sparsifies no faster than exp(−Bηt)",
        system=ATTENTION,
        assumes=[Rule("ngd")],
        claim=leak_min >= (T - 1) / (exp(B * (norm_0 + eta * t)) + T - 1),
        status=derived("N6", refines=PAPER),
    ),
]

THEOREMS: tuple[Theorem, ...] = tuple(NGD)
