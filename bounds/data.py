"""Facts about random token data (docs/theory.md, section 7): feasibility and near-orthogonality."""

from __future__ import annotations

from sympy import Max, log, sqrt

from bounds.claims import Likely
from bounds.notation import T, d, failure, feasible, inner_max, n, norm_sq_min, vectors
from bounds.theorem import DATA, Derived, Theorem

_tail = log(4 * vectors / failure)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        id="data.feasibility",
        title="Gaussian self-attention data are separable almost surely once d ≥ max(T − 1, n)",
        system=DATA,
        assumes=[],
        claim=Likely(feasible >= 1, 1),
        domain=d >= Max(T - 1, n),
        status=Derived(proof="docs/theory.md#d1", refines="arXiv 2402.05738"),
    ),
    Theorem(
        id="data.near-orthogonality.products",
        title="Gaussian vectors are nearly orthogonal: all inner products are O(√(d log M))",
        system=DATA,
        assumes=[],
        claim=Likely(
            inner_max <= sqrt(2 * log(4 * vectors**2 / failure)) * sqrt(d + 2 * sqrt(d * _tail) + 2 * _tail),
            1 - failure,
        ),
        status=Derived(proof="docs/theory.md#d2"),
    ),
    Theorem(
        id="data.near-orthogonality.norms",
        title="Gaussian vectors are long: all squared norms are d − O(√(d log M))",
        system=DATA,
        assumes=[],
        claim=Likely(norm_sq_min >= d - 2 * sqrt(d * _tail), 1 - failure),
        status=Derived(proof="docs/theory.md#d2"),
    ),
)
