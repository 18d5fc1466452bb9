"""Theorems about attention with a trained prompt (docs/systems.md#prompt).

f(X) = ⟨Xu, softmax(XWp)⟩ with p trained, W and u fixed.  The observables are those of self-attention with the
prompt p_t in place of the weights W_t, the features φ_it = Wᵀ(x_{i,o} − x_it) in place of Z_it, and the solution
p_mm of the p-SVM, min ‖p‖ subject to ⟨φ_it, p⟩ ≥ 1, in place of W_mm; γ = 1/‖p_mm‖ and B = max ‖φ_it‖.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import log

from bounds.assumptions import Assumption, EqualScores, Rule, Separable, StepAtMost, ZeroInit
from bounds.attention import PC
from bounds.attention_gd import GD_SETTINGS, norm_ceiling
from bounds.attention_ngd import linear_rate, ngd_direction_bound, small_step
from bounds.claims import Tends
from bounds.notation import (
    B,
    Delta_min,
    Lambda_max,
    T,
    alignment,
    alignment_0,
    descent_cosine,
    direction_gap,
    eta,
    gamma,
    leak_slope_max,
    loss_gap_0,
    n,
    norm,
    rho_max,
    s_min_run,
    t,
)
from bounds.theorem import PROMPT, Conjecture, Derived, Reported, Theorem


@dataclass(frozen=True)
class OneSequence(Assumption):
    """n = 1."""

    statement = "there is a single sequence"
    level = "dataset"


_SOURCE = "Tarzanagh, Li, Zhang and Oymak, arXiv 2306.13596"
_PROOF = "docs/systems.md#prompt"
_derived = Derived(source="docs/systems.md", proof=_PROOF, refines=_SOURCE)
_NGD, _ZERO = Rule("ngd"), ZeroInit()
_ONE: tuple[Assumption, ...] = (Separable(), EqualScores(), OneSequence())
_gd, _beta = GD_SETTINGS[""]
_aligns = Tends(direction_gap, 0)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        "prompt.gradient-cone",
        "The descent direction keeps an angle to p_mm bounded away from 90°",
        PROMPT,
        PC,
        descent_cosine >= gamma / B,
        _derived,
    ),
    Theorem(
        "prompt.ngd.norm",
        "Normalised GD moves along p_mm at least at speed ηγ/B",
        PROMPT,
        (*PC, _NGD),
        alignment >= alignment_0 + eta * t * gamma / B,
        _derived,
    ),
    Theorem(
        "prompt.ngd.direction",
        "Normalised GD aligns with p_mm at rate O(log t / t)",
        PROMPT,
        (*PC, _NGD, _ZERO),
        direction_gap <= ngd_direction_bound(Lambda_max),
        _derived,
        domain=t >= 1,
    ),
    Theorem(
        "prompt.ngd.direction.one-sequence",
        "One sequence with equal scores: the same rate for every step size, constants known before training",
        PROMPT,
        (*_ONE, _NGD, _ZERO),
        direction_gap <= ngd_direction_bound(log(T - 1)),
        _derived,
        domain=t >= 1,
    ),
    Theorem(
        "prompt.ngd.sparsity",
        "Small steps: normalised GD selects the optimal tokens exponentially fast (equal scores)",
        PROMPT,
        (Separable(), EqualScores(), _NGD, StepAtMost(small_step(s_min_run))),
        leak_slope_max <= n * loss_gap_0 / Delta_min * linear_rate(s_min_run),
        _derived,
    ),
    Theorem(
        "prompt.gd.norm",
        "GD's prompt grows only logarithmically (equal scores)",
        PROMPT,
        (*_gd, StepAtMost(1 / _beta), _ZERO),
        norm <= norm_ceiling(s_min_run, rho_max),
        _derived,
    ),
    Theorem(
        "prompt.limit.one-sequence",
        "One sequence with equal scores: normalised GD converges to the direction of p_mm from any p_0",
        PROMPT,
        (*_ONE, _NGD),
        _aligns,
        _derived,
    ),
    Theorem(
        "prompt.limit.equal-scores",
        "Equal scores: GD from p_0 = 0 converges to the direction of p_mm",
        PROMPT,
        (*_gd, StepAtMost(1 / _beta), _ZERO),
        _aligns,
        Reported(source=f"{_SOURCE}; hypotheses not seen, equal scores taken for all of them", proof=_PROOF),
    ),
    Theorem(
        "prompt.limit.any-scores",
        "One sequence with any scores: normalised GD converges to the direction of p_mm from any p_0",
        PROMPT,
        (Separable(), OneSequence(), _NGD),
        _aligns,
        Conjecture(source="the reported limit without equal scores", proof=_PROOF),
    ),
)
