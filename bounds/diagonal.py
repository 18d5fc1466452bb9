"""Theorems about diagonal linear networks trained by gradient flow (docs/systems.md#diagonal).

x = aᵖ − bᵖ entry by entry, a(0) = b(0) = α·1, and gradient flow on ½‖Ax − y‖².  The flow ends in the one solution
of Ax = y of the form x = αᵖ h_p(Aᵀν).  The step t of a run is not time: it is the t-th initialisation,
α_t = α_0 2^{−t}.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import E, Rational, exp, log, sqrt

from bounds.assumptions import Assumption
from bounds.notation import d, declare
from bounds.theorem import DIAGONAL, Derived, Theorem

exponent = declare("exponent", "p", "power p ≥ 2 of the parametrisation x = aᵖ − bᵖ", "run", positive=True)
init_scale = declare("init_scale", r"\alpha_t", "initial value of every parameter", "step", positive=True)
l1_norm = declare("l1_norm", r"\lVert x_\infty\rVert_1", "sum of sizes of the limit", "step", positive=True)
l1_excess = declare(
    "l1_excess",
    r"\lVert x_\infty\rVert_1-\min_{Az=y}\lVert z\rVert_1",
    "how much longer the limit is than the shortest solution",
    "step",
    below=l1_norm,
    above=0,
    nonnegative=True,
)
sup_norm = declare(
    "sup_norm", r"\lVert x_\infty\rVert_\infty", "largest size of an entry of the limit", "step", positive=True
)
power_sum = declare(
    "power_sum", r"\sum_i|x_{\infty,i}|^{2/p}", "what small α makes large", "step", above=0, positive=True
)
power_sum_shortest = declare(
    "power_sum_shortest",
    r"\sum_i|z_i|^{2/p}",
    "its largest value over the basic solutions of least ℓ1-norm and their mean",
    "run",
    positive=True,
)
entropy = declare("entropy", r"\sum_i|x_{\infty,i}|\log|x_{\infty,i}|", "what small α makes small", "step")
entropy_shortest = declare(
    "entropy_shortest",
    r"\sum_i|z_i|\log|z_i|",
    "its smallest value over the basic solutions of least ℓ1-norm and their mean",
    "dataset",
)


@dataclass(frozen=True)
class SquarePower(Assumption):
    """p = 2."""

    statement = "the network is x = a² − b²"
    level = "run"


@dataclass(frozen=True)
class HigherPower(Assumption):
    """p > 2."""

    statement = "the network is x = aᵖ − bᵖ with p > 2"
    level = "run"


#: arcsinh(‖x‖_∞/(2α²)), the largest |(Aᵀν)_i| at p = 2.
_RATIO = sup_norm / (2 * init_scale**2)
ARCSINH = log(_RATIO + sqrt(_RATIO**2 + 1))
_SMALL = exp(-Rational(1, 2))
_derived = Derived(source="docs/systems.md", proof="docs/systems.md#diagonal", refines="arXiv 2307.07410")

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        "diagonal.l1.higher",
        "For p > 2 the limit exceeds the least ℓ1-norm by O(α^{p−2})",
        DIAGONAL,
        [HigherPower()],
        l1_excess <= init_scale ** (exponent - 2) * power_sum,
        _derived,
    ),
    Theorem(
        "diagonal.l1.square",
        "For p = 2 the limit exceeds the least ℓ1-norm by O(1/log(1/α))",
        DIAGONAL,
        [SquarePower()],
        l1_excess <= (d - 1) * sup_norm / (E * ARCSINH),
        _derived,
    ),
    Theorem(
        "diagonal.selection.higher",
        "For p > 2 no solution of least ℓ1-norm has a larger sum of |z|^{2/p}, up to dα²",
        DIAGONAL,
        [HigherPower()],
        power_sum_shortest <= power_sum + d * init_scale**2,
        _derived,
    ),
    Theorem(
        "diagonal.selection.square",
        "For p = 2 no solution of least ℓ1-norm has a smaller sum of |z| log |z|, up to 2dα²",
        DIAGONAL,
        [SquarePower()],
        entropy <= entropy_shortest + 2 * d * init_scale**2,
        _derived,
        domain=init_scale <= _SMALL,
    ),
    Theorem(
        "diagonal.l1.higher.selected",
        "For p > 2 the excess is O(α^{p−2}) times what selection leaves",
        DIAGONAL,
        [HigherPower()],
        l1_excess
        <= exponent / 2 * init_scale ** (exponent - 2) * (power_sum - power_sum_shortest + d * init_scale**2),
        _derived,
    ),
    Theorem(
        "diagonal.l1.square.selected",
        "For p = 2 the excess is O(1/log(1/α)) times what selection leaves",
        DIAGONAL,
        [SquarePower()],
        l1_excess <= (entropy_shortest - entropy + 2 * d * init_scale**2) / (-2 * log(init_scale) - 1),
        _derived,
        domain=init_scale < _SMALL,
    ),
)
