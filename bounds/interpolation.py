"""Theorems about linear interpolation on linear operators (docs/systems.md#interpolation).

F z = 0 is solved for F made of blocks [[a, b], [−b, a]] in an orthogonally mixed basis, so z* = 0.  A step is
z ← (1 − λ)z + λ w, where w is the resolvent Jz = (I + ηF)⁻¹z; or τ inner steps w ← z − ηFw from w = z that
approximate it (RAPP); or τ steps w ← w − ηFw of gradient descent-ascent from w = z (lookahead).
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from bounds.assumptions import Assumption, Throughout
from bounds.notation import declare, eta, t
from bounds.theorem import INTERPOLATION, Derived, Theorem

# ------------------------------------------------------------------------------------------ observables
interpolation_weight = declare("interpolation_weight", r"\lambda", "weight λ of w in a step", "run", positive=True)
inner_steps = declare("inner_steps", r"\tau", "inner steps that lead to w", "run", positive=True, integer=True)
comonotonicity = declare("comonotonicity", r"\rho", "largest ρ with ⟨Fz, z⟩ ≥ ρ‖Fz‖², min a/(a² + b²)", "dataset")
lipschitz = declare("lipschitz", "L", "Lipschitz constant of F, max √(a² + b²)", "dataset", positive=True)
solution_distance = declare(
    "solution_distance", r"\lVert z_t\rVert", "distance to the solution", "step", above=0, nonnegative=True
)
solution_distance_next = declare(
    "solution_distance_next",
    r"\lVert z_{t+1}\rVert",
    "distance to the solution after the next step",
    "step",
    above=0,
    nonnegative=True,
)
solution_distance_0 = declare(
    "solution_distance_0",
    r"\lVert z_0\rVert",
    "distance to the solution at step 0",
    "run",
    "start",
    nonnegative=True,
)
resolvent_residual = declare(
    "resolvent_residual",
    r"\lVert Jz_t-z_t\rVert",
    "length of the exact proximal step",
    "step",
    above=0,
    nonnegative=True,
)
inner_error = declare(
    "inner_error",
    r"e_t",
    "‖w − Jz_t‖, how far w is from the resolvent",
    "step",
    above=0,
    nonnegative=True,
)
operator_norm = declare("operator_norm", r"\lVert Fz_t\rVert", "length of Fz", "step", above=0, nonnegative=True)
operator_norm_ahead = declare(
    "operator_norm_ahead", r"\lVert F\bar z_t\rVert", "length of F(z − ηFz)", "step", above=0, nonnegative=True
)


def _sum(name: str, latex: str, meaning: str) -> sp.Symbol:
    return declare(name, rf"\sum_{{k<t}}{latex}", meaning, "step", "start", above=0, nonnegative=True)


residual_square_sum = _sum(
    "residual_square_sum", r"\lVert Jz_k-z_k\rVert^2", "sum of the squared residuals so far"
)
inner_error_sum = _sum("inner_error_sum", r"e_k", "sum of the errors e so far")
inner_error_square_sum = _sum("inner_error_square_sum", r"e_k^2", "sum of their squares")
operator_square_sum = _sum("operator_square_sum", r"\lVert Fz_k\rVert^2", "sum of ‖Fz‖² so far")
operator_ahead_square_sum = _sum(
    "operator_ahead_square_sum", r"\lVert F\bar z_k\rVert^2", "sum of ‖F(z − ηFz)‖² so far"
)
farthest = declare(
    "farthest",
    r"\max_{k<t}\lVert z_k\rVert",
    "largest distance to the solution so far, 0 at step 0",
    "step",
    "start",
    above=0,
    nonnegative=True,
)

# ------------------------------------------------------------------------------------------ hypotheses
#: What a step goes towards.
TARGETS = ("resolvent", "rapp", "lookahead")


@dataclass(frozen=True)
class InterpolatesTo(Assumption):
    """w is the ``"resolvent"``, its approximation by ``"rapp"``, or the ``"lookahead"`` of descent-ascent."""

    target: str
    statement = "what a step goes towards"
    level = "run"

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ValueError(f"InterpolatesTo({self.target!r}): give one of {', '.join(TARGETS)}")

    def describe(self) -> str:
        return f"a step goes towards the {self.target}'s w"


@dataclass(frozen=True)
class InnerSteps(Assumption):
    """τ = ``count``."""

    count: int
    statement = "the number of inner steps is a given one"
    level = "run"

    def describe(self) -> str:
        return f"w takes τ = {self.count} inner steps"


@dataclass(frozen=True)
class NonexpansiveResolvent(Assumption):
    """ρ ≥ −η/2, which is when ‖Jz‖ ≤ ‖z‖ for every z."""

    statement = "the resolvent is nonexpansive, ρ ≥ −η/2"
    level = "run"


# -------------------------------------------------------------------------------------------- theorems
_WEIGHT = interpolation_weight * (1 - interpolation_weight)
#: Coefficients of ‖Fz̄‖² and ‖Fz‖² in a step of lookahead with τ = 2, over λη.
AHEAD = 2 * comonotonicity + eta * (1 - 2 * interpolation_weight)
HERE = AHEAD - eta**3 * lipschitz**2 * (1 - interpolation_weight)

_EXACT: tuple[Assumption, ...] = (InterpolatesTo("resolvent"), NonexpansiveResolvent())
_RAPP: tuple[Assumption, ...] = (InterpolatesTo("rapp"), NonexpansiveResolvent())
_LOOKAHEAD: tuple[Assumption, ...] = (InterpolatesTo("lookahead"), InnerSteps(2))
_derived = Derived(
    source="docs/systems.md",
    proof="docs/systems.md#interpolation",
    refines="Pethick, Xie and Cevher, Stable nonconvex-nonconcave training via linear interpolation, NeurIPS 2023",
)


def _theorem(
    name: str,
    title: str,
    assumes: tuple[Assumption, ...],
    claim: sp.core.relational.Relational,
    domain: sp.core.relational.Relational | None = None,
) -> Theorem:
    return Theorem(f"interpolation.{name}", title, INTERPOLATION, assumes, claim, _derived, domain=domain)


THEOREMS: tuple[Theorem, ...] = (
    _theorem(
        "resolvent.step",
        "A step towards the resolvent gains λ(1−λ) times the squared residual",
        _EXACT,
        solution_distance_next**2 <= solution_distance**2 - _WEIGHT * resolvent_residual**2,
    ),
    _theorem(
        "resolvent.rate",
        "The last residual falls like 1/√t",
        _EXACT,
        resolvent_residual**2 <= solution_distance_0**2 / (_WEIGHT * (t + 1)),
    ),
    _theorem(
        "resolvent.rate.linear",
        "For these linear operators it is smaller by (1 − 1/(t+1))^t, about 1/e, which is attained",
        _EXACT,
        resolvent_residual**2 <= (1 - 1 / (t + 1)) ** t * solution_distance_0**2 / (_WEIGHT * (t + 1)),
        t >= 1,
    ),
    _theorem(
        "rapp.inner",
        "τ inner steps leave (ηL)^τ of the residual",
        (InterpolatesTo("rapp"),),
        inner_error <= (eta * lipschitz) ** inner_steps * resolvent_residual,
    ),
    _theorem(
        "rapp.sum",
        "Squared residuals have a bounded sum, up to the errors of the inner steps",
        _RAPP,
        _WEIGHT * residual_square_sum
        <= solution_distance_0**2
        + 2 * interpolation_weight * farthest * inner_error_sum
        + interpolation_weight**2 * inner_error_square_sum,
    ),
    _theorem(
        "lookahead.step",
        "What a step of lookahead with τ = 2 gains",
        _LOOKAHEAD,
        solution_distance_next**2
        <= solution_distance**2
        - interpolation_weight * eta * (HERE * operator_norm**2 + AHEAD * operator_norm_ahead**2),
    ),
    _theorem(
        "lookahead.sum",
        "The weighted sum of ‖Fz‖² and ‖Fz̄‖² is at most the squared distance at the start",
        _LOOKAHEAD,
        interpolation_weight * eta * (HERE * operator_square_sum + AHEAD * operator_ahead_square_sum)
        <= solution_distance_0**2,
    ),
    _theorem(
        "lookahead.mean",
        "The mean of ‖Fz‖² falls like 1/t",
        (*_LOOKAHEAD, Throughout(HERE > 0)),
        operator_square_sum / t <= solution_distance_0**2 / (interpolation_weight * eta * HERE * t),
        t >= 1,
    ),
)
