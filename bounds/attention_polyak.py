"""Polyak's step (docs/theory.md, section 4)."""

from __future__ import annotations

from bounds.assumptions import Assumption, PositiveCoefficients, Rule, Separable
from bounds.attention import PAPER, derived, master_bound
from bounds.notation import (
    B,
    Lambda_max,
    alignment,
    alignment_0,
    alignment_1,
    direction_gap,
    gamma,
    rho,
    rho_max,
    s_min,
    s_min_run,
    step_length,
    t,
    zeta,
)
from bounds.theorem import ATTENTION, Theorem

POLYAK_PC: tuple[Assumption, ...] = (Separable(), PositiveCoefficients(), Rule("polyak"))

POLYAK = [
    Theorem(
        id="attention.polyak.step.lower",
        title="Polyak's step is never short",
        system=ATTENTION,
        assumes=POLYAK_PC,
        claim=step_length >= 1 / (zeta * rho * B),
        status=derived("P1"),
    ),
    Theorem(
        id="attention.polyak.step.upper",
        title="Polyak's step is bounded by the attention on optimal tokens",
        system=ATTENTION,
        assumes=POLYAK_PC,
        claim=step_length <= 1 / (zeta * s_min * gamma),
        status=derived("P1"),
    ),
    Theorem(
        id="attention.polyak.norm",
        title="With Polyak's step the alignment grows linearly in t",
        system=ATTENTION,
        assumes=POLYAK_PC,
        claim=alignment >= alignment_0 + t * gamma / (zeta * rho_max * B**2),
        status=derived("P2", refines=PAPER),
    ),
    Theorem(
        id="attention.polyak.direction",
        title="Polyak's step aligns with the max-margin solution at rate O(log t / t)",
        system=ATTENTION,
        assumes=POLYAK_PC,
        claim=direction_gap <= master_bound(Lambda_max, 1 / (zeta * s_min_run * gamma)),
        domain=alignment_1 > 0,
        status=derived("P3", refines=PAPER),
    ),
]

THEOREMS: tuple[Theorem, ...] = tuple(POLYAK)
