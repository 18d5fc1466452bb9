"""Theorems about keys and queries trained with vanishing regularisation (docs/systems.md#key-query).

W = KQᵀ, and the factors are as small as possible: L(KQᵀ) is minimised with ‖K‖² + ‖Q‖² = 2R for a growing R.
Since (‖K‖² + ‖Q‖²)/2 ≥ ‖KQᵀ‖_* with equality for the best factors, this is the path of least loss in balls of
the nuclear norm, and R takes the part that ‖W‖ has in S1.
"""

from __future__ import annotations

from sympy import exp, log

from bounds.assumptions import Separable, Throughout
from bounds.attention_path import SVM, crowding
from bounds.claims import Tends
from bounds.notation import T, declare, direction_gap, gamma, loss_gap, margin_min, norm
from bounds.theorem import KEY_QUERY, Conjecture, Derived, Theorem

factor_norm = declare(
    "factor_norm",
    "R_t",
    "(‖K_t‖² + ‖Q_t‖²)/2, at least the nuclear norm of W_t = K_tQ_tᵀ",
    "step",
    nonnegative=True,
)
reference_margin = declare(
    "reference_margin",
    r"\underline{\gamma}_\star",
    "smallest margin of V, a direction of nuclear norm ≤ 1 that nearly maximises it: γ_* from below",
    "dataset",
    positive=True,
)
dual_norm = declare(
    "dual_norm",
    r"\bar\gamma_\star",
    "operator norm of a convex combination of the Z_it that is nearly least: γ_* from above",
    "dataset",
    positive=True,
)
reference_loss_gap = declare(
    "reference_loss_gap", r"L(R_tV)-L^{\star}", "loss gap of V at the size R_t", "step", above=0, positive=True
)
nuclear_gap = declare(
    "nuclear_gap",
    r"1-\frac{\min m_{it}}{\bar\gamma_\star R_t}",
    "what the smallest margin at size 1 lacks of the largest possible one; undefined while R = 0",
    "step",
    below=1,
    above=0,
    nonnegative=True,
)

#: The weights have at most the loss of the reference direction at their own size, as a minimiser has.
_minimal = Throughout(loss_gap <= reference_loss_gap)
_growth = (exp(reference_margin * factor_norm) + T - 1) / crowding - 1
_frobenius = (exp(gamma * norm) + T - 1) / crowding - 1

_PROOF = "docs/systems.md#key-query"
_derived = Derived(source="docs/systems.md", proof=_PROOF, refines=SVM)
_swapped = Conjecture(source="S1 for keys and queries, without changing the norm", proof=_PROOF)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        "key-query.duality",
        "No keys and queries of size R have a margin above γ_*R",
        KEY_QUERY,
        [Separable()],
        margin_min <= dual_norm * factor_norm,
        _derived,
    ),
    Theorem(
        "key-query.path.margin",
        "Keys and queries of least loss have margins γ_*R up to a constant",
        KEY_QUERY,
        [Separable(), _minimal],
        margin_min >= log(_growth),
        _derived,
        domain=_growth > 1,
    ),
    Theorem(
        "key-query.path.gap",
        "Keys and queries of least loss reach the margin of the nuclear max-margin solution at rate O(1/R)",
        KEY_QUERY,
        [Separable(), _minimal],
        nuclear_gap <= 1 - log(_growth) / (dual_norm * factor_norm),
        _derived,
        domain=_growth > 1,
    ),
    Theorem(
        "key-query.limit.nuclear",
        "Keys and queries trained with vanishing regularisation reach the margin of argmin ‖W‖_*",
        KEY_QUERY,
        [Separable(), _minimal],
        Tends(nuclear_gap, 0),
        _derived,
    ),
    Theorem(
        "key-query.limit.frobenius",
        "Keys and queries trained with vanishing regularisation align with W_mm, the solution of least ‖W‖_F",
        KEY_QUERY,
        [Separable(), _minimal],
        Tends(direction_gap, 0),
        _swapped,
    ),
    Theorem(
        "key-query.path.frobenius",
        "Keys and queries of least loss have margins γ‖W‖_F up to a constant",
        KEY_QUERY,
        [Separable(), _minimal],
        margin_min >= log(_frobenius),
        _swapped,
        domain=_frobenius > 1,
    ),
)
