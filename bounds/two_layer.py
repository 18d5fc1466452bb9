"""Theorems about two-layer networks trained by loss-normalised GD (docs/theory.md, section 13).

f(x) = (1/m) Σ_j a_j σ(⟨w_j, x⟩) with a_j = ±1, α ≤ σ' ≤ ℓ and |σ''| ≤ L; the loss is F = (1/n) Σ exp(−y_i f(x_i)),
and a step is w ← w − (η/F)∇F.  A published bound on the Hessian has L R²/m² where its proof needs L R²/m: both are
on trial here.
"""

from __future__ import annotations

import sympy as sp
from sympy import exp, sqrt

from bounds.assumptions import Assumption, StepAtMost
from bounds.linear import LinearlySeparable
from bounds.notation import declare, eta, gamma, grad_norm, loss, t
from bounds.theorem import TWO_LAYER, Cited, Derived, Status, Theorem

width = declare("width", "m", "number of neurons", "run", positive=True, integer=True)
slope_low = declare("slope_low", r"\alpha", "smallest slope of the activation", "run", positive=True)
slope_high = declare("slope_high", r"\ell", "largest slope of the activation", "run", positive=True)
bend = declare("bend", r"L_\sigma", "largest second derivative of the activation", "run", nonnegative=True)
radius = declare("radius", "R", "length of the longest point, max ‖x_i‖", "dataset", positive=True)
curvature = declare(
    "curvature",
    r"\frac{\langle\nabla F,\nabla^2F\nabla F\rangle}{\lVert\nabla F\rVert^2}",
    "second derivative of the loss along its gradient",
    "step",
)
loss_start = declare("loss_start", "L_0", "training loss at step 0", "run", "start", positive=True)

#: ‖∇F‖ is between μF and hF.
MU, REACH = slope_low * gamma / sqrt(width), slope_high * radius / sqrt(width)
#: ‖∇²F‖ ≤ H F, as printed and as it follows from the network.
PRINTED = bend * radius**2 / width**2 + slope_high**2 * radius**2 / width
CORRECTED = bend * radius**2 / width + slope_high**2 * radius**2 / width
#: F grows by at most this factor along a step.
SEGMENT = exp(radius * slope_high * REACH * eta / sqrt(width) + bend * radius**2 * REACH**2 * eta**2 / width)

_SOURCE = "Taheri and Thrampoulidis, Fast convergence in learning two-layer neural networks, AAAI 2023"
_SEPARABLE: tuple[Assumption, ...] = (LinearlySeparable(),)
_derived = Derived(proof="docs/theory.md#two-layer", refines=_SOURCE)
_printed = Cited(source=f"{_SOURCE}, with H as printed", proof="docs/theory.md#two-layer")


def _theorem(
    name: str,
    title: str,
    assumes: tuple[Assumption, ...],
    claim: sp.core.relational.Relational,
    status: Status,
) -> Theorem:
    return Theorem(f"two-layer.{name}", title, TWO_LAYER, assumes, claim, status)


def _curvature(name: str, words: str, H: sp.Expr, status: Status) -> Theorem:
    title = f"Along its gradient the loss bends by at most H F, with {words}"
    return _theorem(f"curvature.{name}", title, (), curvature <= H * loss, status)


def _rate(name: str, words: str, H: sp.Expr, status: Status) -> Theorem:
    title = f"Loss-normalised GD converges linearly for step sizes up to μ²/(H C h²), with {words}"
    return Theorem(
        f"two-layer.rate.{name}",
        title,
        TWO_LAYER,
        (*_SEPARABLE, StepAtMost(MU**2 / (H * SEGMENT * REACH**2))),
        loss <= (1 - eta * MU**2 / 2) ** t * loss_start,
        status,
        domain=t >= 1,
        trivial=loss_start,
    )


THEOREMS: tuple[Theorem, ...] = (
    _theorem(
        "gradient.lower",
        "The gradient is at least αγ/√m times the loss",
        _SEPARABLE,
        grad_norm >= MU * loss,
        _derived,
    ),
    _theorem(
        "gradient.upper",
        "The gradient is at most ℓR/√m times the loss",
        (),
        grad_norm <= REACH * loss,
        _derived,
    ),
    _curvature("printed", "H = LR²/m² + ℓ²R²/m as printed", PRINTED, _printed),
    _curvature("corrected", "H = LR²/m + ℓ²R²/m", CORRECTED, _derived),
    _rate("printed", "H = LR²/m² + ℓ²R²/m as printed", PRINTED, _printed),
    _rate("corrected", "H = LR²/m + ℓ²R²/m", CORRECTED, _derived),
)
