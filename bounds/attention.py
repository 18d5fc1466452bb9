"""Theorems about one self-attention layer with a fixed decoder (docs/theory.md, sections 1 to 5)."""

from __future__ import annotations

import sympy as sp
from sympy import exp, log

from bounds.assumptions import (
    Assumption,
    EqualScores,
    Loss,
    NonNegativeCorrelation,
    PositiveCoefficients,
    Rule,
    Separable,
    StepAtMost,
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
    alignment_0,
    alignment_1,
    coefficient_sum,
    descent_cosine,
    direction_gap,
    eta,
    gamma,
    grad_norm,
    leak_max,
    leak_min,
    leak_slope_max,
    loss_gap,
    loss_gap_0,
    loss_gap_next,
    margin_growth_min,
    margin_mean,
    margin_min,
    master_sum,
    n,
    norm,
    norm_0,
    norm_1,
    rho,
    rho_max,
    s_min,
    s_min_run,
    score_min,
    step_length,
    step_length_max,
    t,
    zeta,
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
_apriori: tuple[Assumption, ...] = (Separable(), EqualScores(), NonNegativeCorrelation(), ZeroInit())
APRIORI = [
    Theorem(
        id="attention.apriori.lambda",
        title="Equal scores and non-negative correlation bound Λ before training",
        system=ATTENTION,
        assumes=_apriori,
        claim=Lambda <= Lambda_apriori,
        status=derived("M3"),
    ),
    Theorem(
        id="attention.apriori.attention",
        title="Attention on the optimal token never falls below 1/T",
        system=ATTENTION,
        assumes=_apriori,
        claim=s_min >= 1 / T,
        status=derived("M3"),
    ),
    Theorem(
        id="attention.apriori.monotone",
        title="Margins, and with them the attention on optimal tokens, never decrease",
        system=ATTENTION,
        assumes=_apriori,
        claim=margin_growth_min >= 0,
        status=derived("M3"),
    ),
]

# ---------------------------------------------------------------------------------- 3. normalised GD
NGD_PC: tuple[Assumption, ...] = (Separable(), PositiveCoefficients(), Rule("ngd"))
NGD_APRIORI: tuple[Assumption, ...] = (*_apriori, Rule("ngd"))


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

# ------------------------------------------------------------------------------------ 4. Polyak steps
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

# ------------------------------------------------------------------------------- 5. constant-step GD
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

THEOREMS: tuple[Theorem, ...] = (*FACTS, *MASTER, *APRIORI, *NGD, *POLYAK, *GD)
