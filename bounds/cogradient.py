"""Theorems about ‖b − Ax‖² + λ‖x‖_1 + μ‖A‖², minimised in turn over x and A (docs/systems.md#cogradient).

The Lipschitz constants of the two partial gradients are at most L_x = 2‖A‖² and exactly L_A = 2(‖x‖² + μ).  A step
moves x by a proximal gradient step of size η/L_x, then A by a gradient step of size η/L_A.  Cogradient descent
corrects coordinates that are *asynchronous*: x_j is thresholded to 0 while its column of A is still large, so that
the column's gradient vanishes.  Its algorithm was not seen; two reconstructions are compared with plain descent.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp
from sympy import Rational

from bounds.assumptions import Assumption, StepAtMost
from bounds.claims import Likely
from bounds.notation import declare, eta, t
from bounds.theorem import COGRADIENT, Derived, Reported, Theorem

# ------------------------------------------------------------------------------------------ observables
sparsity_weight = declare("sparsity_weight", r"\lambda", "weight of ‖x‖_1", "dataset", positive=True)
ridge_weight = declare("ridge_weight", r"\mu", "weight of ‖A‖²", "dataset", positive=True)
bilinear_objective = declare(
    "bilinear_objective", "F_t", "‖b − Ax‖² + λ‖x‖_1 + μ‖A‖²", "step", above=0, nonnegative=True
)
bilinear_objective_next = declare(
    "bilinear_objective_next", "F_{t+1}", "objective after the next step", "step", above=0, nonnegative=True
)
bilinear_objective_0 = declare(
    "bilinear_objective_0", "F_0", "objective at step 0", "run", "start", nonnegative=True
)
bilinear_penalty = declare("bilinear_penalty", "R_t", "λ‖x‖_1 + μ‖A‖²", "step", above=0, nonnegative=True)
bilinear_product = declare(
    "bilinear_product", r"\lVert A_tx_t\rVert^2", "squared length of Ax", "step", above=0, nonnegative=True
)
bilinear_move = declare(
    "bilinear_move",
    r"D_t",
    "L_x‖x_{t+1} − x_t‖² + L_A‖A_{t+1} − A_t‖²",
    "step",
    above=0,
    nonnegative=True,
)
bilinear_move_sum = declare(
    "bilinear_move_sum", r"\sum_{k<t}D_k", "sum of D so far", "step", "start", above=0, nonnegative=True
)
bilinear_move_least = declare(
    "bilinear_move_least", r"\min_{k<t}D_k", "least D so far", "step", "start", above=0, nonnegative=True
)

#: Of a random problem, after 100 steps with η = 1 from one start.
objective_alternating = declare(
    "objective_alternating",
    r"F_{100}^{\mathrm{alternating}}",
    "objective that alternating descent reaches in 100 steps on a planted random problem, η = 1",
    "dataset",
    above=0,
    nonnegative=True,
)
objective_coupled = declare(
    "objective_coupled",
    r"F_{100}^{\mathrm{coupled}}",
    "objective reached in 100 steps if asynchronous columns learn from x before it is thresholded",
    "dataset",
    above=0,
    nonnegative=True,
)
objective_projected = declare(
    "objective_projected",
    r"F_{100}^{\mathrm{projected}}",
    "objective reached in 100 steps if asynchronous coordinates of x keep their value",
    "dataset",
    above=0,
    nonnegative=True,
)
coupled_steps = declare(
    "coupled_steps",
    r"c_{\mathrm{coupled}}",
    "steps on which some column learned from x before it was thresholded",
    "dataset",
    nonnegative=True,
    integer=True,
)
projected_steps = declare(
    "projected_steps",
    r"c_{\mathrm{projected}}",
    "steps on which some coordinate of x kept its value",
    "dataset",
    nonnegative=True,
    integer=True,
)


# ------------------------------------------------------------------------------------------- hypotheses
@dataclass(frozen=True)
class OwnGradients(Assumption):
    """The method is alternating or projected: a coordinate is held back at most."""

    statement = "x and A move in turn, each along its own gradient, where they move"
    level = "run"


# ------------------------------------------------------------------------------------------- theorems
#: What a step gains at least, over D.
GAIN = 1 / eta - Rational(1, 2)
_SOURCE = (
    "Zhuo, Zhang, Yang, Chen, Ye, Doermann, Guo and Ji, Cogradient descent for bilinear optimization, CVPR 2020"
)
_PROOF = "docs/systems.md#cogradient"
_derived = Derived(source="docs/systems.md", proof=_PROOF)


def _theorem(
    name: str, title: str, assumes: tuple[Assumption, ...], claim: sp.core.relational.Relational, **more: sp.Basic
) -> Theorem:
    return Theorem(f"cogradient.{name}", title, COGRADIENT, assumes, claim, _derived, **more)


def _lower(name: str, title: str, reached: sp.Symbol, corrected: sp.Symbol) -> Theorem:
    """The practical claim, on problems where the correction acts at all."""
    return Theorem(
        f"cogradient.lower.{name}",
        f"Cogradient descent reaches a lower objective than alternating descent in 100 steps: {title}",
        COGRADIENT,
        (),
        Likely(reached < objective_alternating, Rational(1, 2)),
        Reported(source=f"{_SOURCE}, reconstructed", proof=_PROOF),
        domain=corrected >= 1,
    )


THEOREMS: tuple[Theorem, ...] = (
    _theorem(
        "step",
        "A step gains at least 1/η − 1/2 times its squared lengths",
        (OwnGradients(),),
        bilinear_objective_next <= bilinear_objective - GAIN * bilinear_move,
    ),
    _theorem(
        "sum",
        "The squared lengths of all steps are paid for by the objective",
        (OwnGradients(),),
        GAIN * bilinear_move_sum <= bilinear_objective_0 - bilinear_objective,
    ),
    _theorem(
        "rate",
        "The shortest step so far falls like 1/√t",
        (OwnGradients(), StepAtMost(sp.Integer(1))),
        bilinear_move_least <= 2 * bilinear_objective_0 / t,
        domain=t >= 1,
    ),
    _theorem(
        "floor",
        "No x and A reach Ax at a lower penalty than one column with λ‖x‖_1 = 2μ‖A‖²",
        (),
        bilinear_penalty**3 >= Rational(27, 4) * sparsity_weight**2 * ridge_weight * bilinear_product,
    ),
    _lower("coupled", "columns learn from x before it is thresholded", objective_coupled, coupled_steps),
    _lower("projected", "coordinates of x are held back", objective_projected, projected_steps),
)
