"""Theorems about implicit gradient descent on a physics-informed network (docs/systems.md#pinn).

L(w) = ½‖r(w)‖² with r the weighted residuals of u'' = f and of two boundary values, and a step solves
w_{t+1} = w_t − η∇L(w_{t+1}) up to a relative residual θ_t.  H = JJᵀ with J the Jacobian of r.  Nothing makes a
solution of that equation unique: what the proof needs of it is that the proximal objective falls, which is a
hypothesis here.
"""

from __future__ import annotations

import sympy as sp
from sympy import Rational

from bounds.assumptions import Assumption, Throughout
from bounds.linear import loss_next
from bounds.notation import declare, eta, loss, step_length, t
from bounds.theorem import PINN, Conjecture, Derived, Reported, Status, Theorem
from bounds.two_layer import loss_start

gram_eig_0 = declare(
    "gram_eig_0",
    r"\lambda_{\min}(H(w_0))",
    "smallest eigenvalue of JJᵀ at step 0",
    "run",
    "start",
    nonnegative=True,
)
gram_eig_next = declare(
    "gram_eig_next",
    r"\lambda_{\min}(H(w_{t+1}))",
    "smallest eigenvalue of JJᵀ after the next step",
    "step",
    above=0,
    nonnegative=True,
)
implicit_residual = declare(
    "implicit_residual",
    r"\theta_t",
    "‖w_{t+1} − w_t + η∇L(w_{t+1})‖/(η‖∇L(w_{t+1})‖), what is left unsolved of an implicit step",
    "step",
    above=0,
    nonnegative=True,
)
gram_contraction = declare(
    "gram_contraction",
    "Q_t",
    "Π_{k≤t} 1/(1 + (1 − θ_k)²ηλ_min(H(w_{k+1}))), what the bounds on single steps leave of the loss",
    "step",
    "start",
    below=1,
    above=0,
    positive=True,
)

_SOURCE = "arXiv 2407.02827"
_PROOF = "docs/systems.md#pinn"
#: The proximal objective L(v) + ‖v − w_t‖²/(2η) is no larger at w_{t+1} than at w_t.
_DESCENT = Throughout(loss_next + step_length**2 / (2 * eta) <= loss)
_SOLVED = Throughout(implicit_residual <= Rational(1, 2**20))
#: λ of a step as far as it is solved.
_CURVATURE = (1 - implicit_residual) ** 2 * gram_eig_next
_STEP = loss_next <= loss / (1 + eta * _CURVATURE)
_HALF = loss_next <= (1 + eta * gram_eig_0 / 2) ** (-t - 1) * loss_start
_derived = Derived(source="docs/systems.md", proof=_PROOF, refines=_SOURCE)


def _theorem(
    name: str,
    title: str,
    assumes: tuple[Assumption, ...],
    claim: sp.core.relational.Relational,
    status: Status,
    trivial: sp.Expr | None,
) -> Theorem:
    return Theorem(f"pinn.{name}", title, PINN, assumes, claim, status, trivial=trivial)


THEOREMS: tuple[Theorem, ...] = (
    _theorem(
        "step.descent",
        "A step that lowers the proximal objective divides the loss by 1 + ηλ, λ the smallest eigenvalue of JJᵀ",
        (_DESCENT,),
        _STEP,
        _derived,
        loss,
    ),
    _theorem(
        "step.any-solution",
        "The same for every solution of the implicit equation",
        (_SOLVED,),
        _STEP,
        Conjecture(source="the bound on a step without the descent that its proof needs", proof=_PROOF),
        None,
    ),
    _theorem(
        "rate.product",
        "The loss falls by the product of what single steps guarantee",
        (_DESCENT,),
        loss_next <= gram_contraction * loss_start,
        _derived,
        loss_start,
    ),
    _theorem(
        "rate.steady",
        "The loss falls by 1 + ηλ_0/2 a step while JJᵀ keeps half of its first smallest eigenvalue λ_0",
        (_DESCENT, Throughout(gram_eig_0 / 2 <= _CURVATURE)),
        _HALF,
        _derived,
        loss_start,
    ),
    _theorem(
        "rate.any-width",
        "The loss falls by 1 + ηλ_0/2 a step, whatever the width",
        (_DESCENT, _SOLVED),
        _HALF,
        Reported(source=f"{_SOURCE}, reconstructed, without its hypothesis on the width", proof=_PROOF),
        loss_start,
    ),
)
