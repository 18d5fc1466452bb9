"""Theorems about adaptive federated learning over the air (docs/systems.md#federated).

Clients with f_n(w) = (⟨x_n, w⟩ − y_n)²/2 send their gradients over a channel: g = mean h_n ∇f_n(w) + ξ, with
Rayleigh fading h_n of mean 1 and symmetric α-stable interference ξ, 1 < α ≤ 2.  With Δ ← β₁Δ + (1 − β₁)g the
server adds up v ← v + |Δ|^α or averages v ← β₂v + (1 − β₂)|Δ|^α, from v_0 > 0, and w ← w − ηΔ/(v^{1/α} + ε), all
coordinate by coordinate.  The sums over a run are means over its independent repetitions.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from bounds.assumptions import Assumption
from bounds.claims import Order
from bounds.notation import d, declare, eta, t
from bounds.theorem import FEDERATED, Derived, Reported, Theorem

# ------------------------------------------------------------------------------------------ observables
tail_index = declare("tail_index", r"\alpha", "tail index α of the interference", "run", positive=True)
beta_2 = declare("beta_2", r"\beta_2", "share of v that averaging keeps", "run", nonnegative=True)
smoothness = declare(
    "smoothness", r"\mathrm{tr}H", "trace of the Hessian H of f, mean ‖x_n‖²", "dataset", nonnegative=True
)
gradient_square_sum = declare(
    "gradient_square_sum",
    r"\sum_{k<t}\lVert\nabla f(w_k)\rVert^2",
    "sum of the squared gradients of f so far, a mean over the repetitions",
    "step",
    "start",
    above=0,
    nonnegative=True,
)
normalised_sum = declare(
    "normalised_sum",
    r"\sum_{k\le t}\sum_i\frac{\lvert\Delta_{k,i}\rvert^\alpha}{v_{k,i}}",
    "sum of |Δ|^α/v over steps and coordinates, a mean over the repetitions",
    "step",
    "start",
    below=d * t,
    above=0,
    nonnegative=True,
)
log_growth = declare(
    "log_growth",
    r"\sum_i\log\frac{v_{t,i}}{v_{0,i}}",
    "sum of log v_t/v_0 over the coordinates, a mean over the repetitions",
    "step",
    "start",
)
step_square_sum = declare(
    "step_square_sum",
    r"\sum_{k<t}\lVert w_{k+1}-w_k\rVert^2",
    "sum of the squared steps so far, a mean over the repetitions",
    "step",
    "start",
    above=0,
    nonnegative=True,
)
descent_sum = declare(
    "descent_sum",
    r"\sum_{k<t}\langle\nabla f(w_k),w_k-w_{k+1}\rangle",
    "sum of what the steps would gain on a linear f, a mean over the repetitions",
    "step",
    "start",
)
objective_drop = declare(
    "objective_drop", r"f(w_0)-f(w_t)", "how far f has fallen, a mean over the repetitions", "step", "start"
)

# ------------------------------------------------------------------------------------------ hypotheses
#: How v is made: ``"adagrad"`` adds up, ``"adam"`` averages.
ACCUMULATORS = ("adagrad", "adam")


@dataclass(frozen=True)
class Accumulator(Assumption):
    """v is added up by ``"adagrad"`` or averaged by ``"adam"``."""

    rule: str
    statement = "how v is made of |Δ|^α"
    level = "run"

    def __post_init__(self) -> None:
        if self.rule not in ACCUMULATORS:
            raise ValueError(f"Accumulator({self.rule!r}): give one of {', '.join(ACCUMULATORS)}")

    def describe(self) -> str:
        return "v adds up |Δ|^α" if self.rule == "adagrad" else "v is a moving average of |Δ|^α"


@dataclass(frozen=True)
class Interference(Assumption):
    """ξ has a positive scale, and some x_n is not 0."""

    statement = "there is interference, and f is not constant"
    level = "run"


_SOURCE = "Wang, Chen, Pappas, Yang, Quek and Poor, Adaptive federated learning over the air"
_PROOF = "docs/systems.md#federated"
_REPORTED = Reported(source=f"{_SOURCE}, arXiv 2403.06528, from its abstract", proof=_PROOF)
_DERIVED = Derived(source="docs/systems.md", proof=_PROOF, refines=_SOURCE)
_STEP = eta**2 * (1 - beta_2) ** (-2 / tail_index)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        "federated.adagrad.rate",
        "Adding up, the mean squared gradient falls like log t over t to the power 1 − 1/α",
        FEDERATED,
        (Accumulator("adagrad"), Interference()),
        Order(gradient_square_sum / t, sp.log(t) * t ** (1 / tail_index - 1)),
        _REPORTED,
    ),
    Theorem(
        "federated.adagrad.sum",
        "Normalised by their sum, the powers |Δ|^α add up to a logarithm, whatever Δ is",
        FEDERATED,
        (Accumulator("adagrad"),),
        normalised_sum <= log_growth,
        _DERIVED,
        domain=t >= 1,
    ),
    Theorem(
        "federated.adagrad.descent",
        "What adding up gains on a linear f is at most what f falls, and a logarithm",
        FEDERATED,
        (Accumulator("adagrad"),),
        descent_sum <= objective_drop + smoothness * eta**2 * log_growth / 2,
        _DERIVED,
        domain=t >= 1,
    ),
    Theorem(
        "federated.adam.rate",
        "Averaging with a fixed step size, the mean squared gradient falls like 1/t",
        FEDERATED,
        (Accumulator("adam"), Interference()),
        Order(gradient_square_sum / t, 1 / t),
        _REPORTED,
    ),
    Theorem(
        "federated.adam.floor",
        "Averaging with a fixed step size, the mean squared gradient does not tend to 0",
        FEDERATED,
        (Accumulator("adam"), Interference()),
        Order(gradient_square_sum / t, sp.Integer(1), "Omega"),
        _DERIVED,
    ),
    Theorem(
        "federated.adam.steps",
        "Averaging, no coordinate of a step is longer than η/(1 − β₂)^{1/α}, whatever Δ is",
        FEDERATED,
        (Accumulator("adam"),),
        step_square_sum <= d * t * _STEP,
        _DERIVED,
        domain=t >= 1,
    ),
)
