"""Theorems about linear classification of separable points (docs/theory.md, section 12).

Points z_i = y_i x_i with ‖z_i‖ ≤ 1 are separable with margin γ = max_{‖u‖=1} min_i ⟨z_i, u⟩.  With the exponential
loss ψ(w) = log Σ e^{−⟨z_i, w⟩} and q = softmax(−⟨z_i, w⟩), the gradient of ψ is −Σ q_i z_i, the *pull*'s negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp
from sympy import Rational, log, sqrt

from bounds.assumptions import Assumption, Loss, NondegenerateSupport, StepAtMost, Throughout, ZeroInit
from bounds.claims import Claim, Order, Tends
from bounds.notation import declare, direction_gap, eta, gamma, loss, n, norm, t
from bounds.theorem import LINEAR, Cited, Derived, Status, Theorem

# ------------------------------------------------------------------------------------------ observables
step_size = declare(
    "step_size",
    r"\hat\eta_t",
    "factor of the pull in the next step when steps are normalised by the loss, η (t+1)^{−p}",
    "step",
    positive=True,
)
step_sum = declare(
    "step_sum", r"\sum_{k<t}\hat\eta_k", "sum of the step sizes so far", "step", "start", above=0, nonnegative=True
)
psi = declare("psi", r"\psi_t", "log Σ_i exp(−y_i⟨x_i, w_t⟩)", "step")
psi_drop = declare("psi_drop", r"\psi_t-\psi_{t+1}", "decrease of ψ in the next step", "step")
pull = declare(
    "pull",
    r"\lVert\sum_i q_iy_ix_i\rVert",
    "norm of the mean of y_i x_i under q_t = softmax(−margins)",
    "step",
    above=0,
    nonnegative=True,
)
pull_next = declare(
    "pull_next",
    r"\lVert\sum_i q_i^{+}y_ix_i\rVert",
    "the same after the next step",
    "step",
    above=0,
    nonnegative=True,
)
mean_pull = declare(
    "mean_pull",
    r"\lVert\frac1n\sum_i y_ix_i\rVert",
    "norm of the mean of y_i x_i",
    "dataset",
    positive=True,
)
relative_margin = declare(
    "relative_margin",
    r"\min_i\frac{y_i\langle x_i,w_t\rangle}{\lVert w_t\rVert}",
    "smallest margin over ‖w_t‖; undefined while w_t = 0",
    "step",
    below=gamma,
    above=-1,
)
loss_next = declare("loss_next", "L_{t+1}", "training loss after the next step", "step", above=0, positive=True)
loss_average = declare(
    "loss_average",
    r"\frac1t\sum_{k<t}L_k",
    "mean of the training losses before step t",
    "step",
    "start",
    above=0,
    positive=True,
)
steps_since = declare(
    "steps_since", "t-t_0", "steps since t0, the first one with L(w) ≤ 1/η", "step", "onset", nonnegative=True
)
exp_loss_1 = declare(
    "exp_loss_1", "F_{t_0}", "mean exponential loss (1/n) Σ exp(−y_i⟨x_i, w⟩) at t0", "run", "onset", positive=True
)


# ------------------------------------------------------------------------------------------ hypotheses
@dataclass(frozen=True)
class LinearlySeparable(Assumption):
    """There is a w with y_i⟨x_i, w⟩ > 0 for every point, so γ > 0."""

    statement = "some hyperplane through 0 separates the classes, so γ > 0"
    level = "dataset"


@dataclass(frozen=True)
class UnitBall(Assumption):
    """‖x_i‖ ≤ 1 for every point."""

    statement = "no point is longer than 1"
    level = "dataset"


@dataclass(frozen=True)
class NormalisedBy(Assumption):
    """Step sizes are divided by the ``"loss"`` (w moves by η̂ Σ q_i z_i) or by the ``"gradient"``'s norm."""

    by: str
    statement = "what steps are normalised by"
    level = "run"

    def __post_init__(self) -> None:
        if self.by not in ("loss", "gradient"):
            raise ValueError(f'NormalisedBy({self.by!r}): give "loss" or "gradient"')

    def describe(self) -> str:
        return f"steps are normalised by the {'loss' if self.by == 'loss' else 'norm of the gradient'}"


@dataclass(frozen=True)
class Unnormalised(Assumption):
    """Plain gradient descent: w moves by η_t times the negative gradient of the loss."""

    statement = "plain gradient descent, its step sizes divided by nothing"
    level = "run"


@dataclass(frozen=True)
class Decay(Assumption):
    """Step sizes are η (t+1)^{−power}; power 0 is a constant step size."""

    power: int | sp.Rational = 0
    statement = "how step sizes fall"
    level = "run"

    def __post_init__(self) -> None:
        if isinstance(self.power, bool) or not isinstance(self.power, int | sp.Rational) or self.power < 0:
            raise ValueError(f"Decay({self.power!r}): give a Rational that is not negative")

    def describe(self) -> str:
        return "the step size is constant" if self.power == 0 else f"step sizes are η (t+1)^(−{self.power})"


@dataclass(frozen=True)
class Summed(Assumption):
    """The training loss is the sum over points, not the mean."""

    statement = "the loss is summed over points"
    level = "run"


@dataclass(frozen=True)
class Averaged(Assumption):
    """The training loss is the mean over points."""

    statement = "the loss is the mean over points"
    level = "run"


# -------------------------------------------------------------------------------------------- theorems
_SEPARABLE: tuple[Assumption, ...] = (UnitBall(), LinearlySeparable())
_DUAL = (*_SEPARABLE, NormalisedBy("loss"), StepAtMost(sp.Integer(1)))
_DUAL_0 = (*_DUAL, ZeroInit())
_LOGISTIC = (*_SEPARABLE, Unnormalised(), Loss("logistic"), Averaged(), Decay(0))
_JT21 = "Ji and Telgarsky, Characterizing the implicit bias via a primal-dual analysis, ALT 2021"
_JT19 = "Ji and Telgarsky, The implicit bias of gradient descent on nonseparable data, COLT 2019"
_WU24 = "Wu, Bartlett, Telgarsky and Yu, Large stepsize gradient descent for logistic loss, COLT 2024"
_SOUDRY = "Soudry, Hoffer, Nacson, Gunasekar and Srebro, JMLR 19, 2018"


def _cited(source: str) -> Cited:
    return Cited(source=source, proof="docs/theory.md#linear")


def _derived(name: str, refines: str) -> Derived:
    return Derived(proof=f"docs/theory.md#{name}", refines=refines)


def _theorem(
    name: str,
    title: str,
    assumes: tuple[Assumption, ...],
    claim: sp.core.relational.Relational | Claim,
    status: Status,
    domain: sp.core.relational.Relational | None = None,
) -> Theorem:
    return Theorem(f"linear.{name}", title, LINEAR, assumes, claim, status, domain=domain)


NORMALISED = [
    _theorem(
        "dual.descent",
        "Loss-normalised GD: ψ falls by the mean of both squared pulls, times the step size",
        _DUAL,
        psi_drop >= step_size / 2 * (pull**2 + pull_next**2),
        _cited(f"{_JT21}, Theorem 1"),
    ),
    _theorem(
        "dual.margin",
        "Loss-normalised GD: the margin is γ up to (1 + ln n)/(γ Σ η̂)",
        _DUAL_0,
        relative_margin >= gamma - (1 + log(n)) / (gamma * step_sum),
        _cited(f"{_JT21}, Theorem 7"),
        domain=t >= 1,
    ),
    _theorem(
        "dual.direction",
        "Loss-normalised GD: the direction gap is O(1/Σ η̂) once ψ ≤ 0",
        _DUAL_0,
        direction_gap <= (log(n) + eta * mean_pull**2 / 2) / (gamma**2 * step_sum),
        _cited(f"{_JT21}, Theorem 5"),
        domain=psi <= 0,
    ),
    _theorem(
        "dual.decaying-margin",
        "Loss-normalised GD with step sizes 1/√(t+1): the margin is γ up to O(log t/√t)",
        (*_DUAL_0, Decay(Rational(1, 2))),
        relative_margin >= gamma - (log(n) + (1 + log(t)) / 2) / (2 * gamma * eta * (sqrt(t + 1) - 1)),
        _derived("linear-decaying", _JT21),
        domain=t >= 1,
    ),
    _theorem(
        "normalised.margin",
        "Gradient-normalised GD: the margin is γ up to ln n/(ηt)",
        (*_SEPARABLE, NormalisedBy("gradient"), Decay(0), ZeroInit(), StepAtMost(gamma)),
        relative_margin >= gamma - log(n) / (eta * t),
        _derived("linear-normalised", _JT21),
        domain=eta * gamma * t >= log(n),
    ),
]

_stable = (*_LOGISTIC, Throughout(loss <= 1 / eta))
_since = gamma**2 * eta * steps_since
_all = gamma**2 * eta * t

GRADIENT_DESCENT = [
    _theorem(
        "gd.loss",
        "GD with step sizes at most 1: the loss is at most 1/t + ln²t/(2γ² Σ η)",
        (*_SEPARABLE, Unnormalised(), Averaged(), ZeroInit(), StepAtMost(sp.Integer(1))),
        loss <= 1 / t + log(t) ** 2 / (2 * gamma**2 * step_sum),
        _cited(f"{_JT19}, Theorem 3"),
        domain=t >= 1,
    ),
    _theorem(
        "gd.direction",
        "GD on the exponential loss: the squared distance of directions is at most (2 + 2 ln n)/(γ‖w‖)",
        (*_SEPARABLE, Unnormalised(), Loss("exponential"), Averaged(), ZeroInit(), StepAtMost(sp.Integer(1))),
        2 * direction_gap <= (2 + 2 * log(n)) / (gamma * norm),
        _cited(f"{_JT19}, Proposition 11"),
    ),
    _theorem(
        "gd.large-step.average",
        "GD on the logistic loss with any step size: the average loss is O((ln²t + η²)/(γ²ηt))",
        (*_LOGISTIC, ZeroInit()),
        loss_average <= (1 + log(_all) ** 2 + eta**2 / 4) / _all,
        _cited(f"{_WU24}, edge-of-stability phase"),
        domain=_all >= 1,
    ),
    _theorem(
        "gd.large-step.descent",
        "GD on the logistic loss: from a loss of at most 1/η on, it never rises again",
        _stable,
        loss_next <= loss,
        _cited(f"{_WU24}, stable phase"),
    ),
    _theorem(
        "gd.large-step.loss",
        "GD on the logistic loss: after the first step with a loss of at most 1/η it is O(ln²t/(γ²ηt))",
        _stable,
        loss <= (2 * exp_loss_1 + log(_since) ** 2) / _since,
        _cited(f"{_WU24}, stable phase"),
        domain=_since >= 1,
    ),
]

_H: tuple[Assumption, ...] = (
    *_SEPARABLE,
    NondegenerateSupport(),
    Unnormalised(),
    Loss("exponential"),
    Summed(),
    Decay(0),
    StepAtMost(1 / n),
)
RATES = [
    _theorem(
        "gd.order.direction",
        "GD on the summed exponential loss: the distance of directions is O(1/log t)",
        _H,
        Order(sqrt(2 * direction_gap), 1 / log(t)),
        _cited(f"{_SOUDRY}, Theorem 5"),
    ),
    _theorem(
        "gd.order.loss",
        "GD on the summed exponential loss: the loss is O(1/t)",
        _H,
        Order(loss, 1 / t),
        _cited(f"{_SOUDRY}, Theorem 5"),
    ),
    _theorem(
        "gd.loss.limit",
        "GD on the summed exponential loss: t·L tends to 1/(ηγ²)",
        _H,
        Tends(eta * gamma**2 * t * loss, 1),
        _derived("linear-limit", _SOUDRY),
    ),
]

THEOREMS: tuple[Theorem, ...] = (*NORMALISED, *GRADIENT_DESCENT, *RATES)
