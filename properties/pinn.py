"""Implicit gradient descent on a physics-informed network on trial: instances, and observables in both tiers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from flint import arb
from hypothesis import strategies as st

from bounds import Theorem, Throughout, implicit_residual, step_length
from models.dataset import Array
from models.pinn import (
    PinnGeometry,
    PinnInstance,
    PinnRun,
    Point,
    Poisson,
    point,
    restarted_pinn,
    start_of,
    train_pinn,
)
from models.pinn_replay import PinnBallState, pinn_replay
from models.trajectory import RECORD_LIMIT
from properties.balls import BallArray
from properties.linear_observables import number
from properties.observables import exact
from properties.plain import PlainExact, PlainFamily, PlainMeasurement
from properties.tools import ExactRun, Tools

FAMILIES = (
    PlainFamily("wide", "8 or 12 neurons, moderate steps"),
    PlainFamily("narrow", "up to 4 neurons, some with a singular Gram matrix"),
    PlainFamily("long-steps", "step sizes up to 2^14, and targets out of reach", hostile=True),
    PlainFamily("edge", "a first step on which the proximal objective hardly falls, or just rises", hostile=True),
)
#: Runs go no further; most have converged before.
MOST_STEPS = 24
_TOLERANCES = (0.0, 0.25, 2.0**-10, 0.5)
_WIDTHS = {"wide": (8, 12), "narrow": (2, 3, 4, 1), "long-steps": (2, 3, 4, 8), "edge": (3, 4)}
#: Where an objective that falls and then rises is looked for: step sizes up to it, halved so often.
_LONGEST, _HALVINGS = 2.0**40, 12


@dataclass(frozen=True)
class PinnSetting:
    """What theorems that can share instances have in common.

    Attributes
    ----------
    descends : bool
        Whether the proximal objective has to fall.
    tolerance : float
        Largest relative residual of a step that is allowed.
    """

    descends: bool
    tolerance: float

    @classmethod
    def of(cls, theorem: Theorem) -> PinnSetting:
        """The setting of one theorem."""
        relations = [a.relation for a in theorem.assumes if isinstance(a, Throughout)]
        allowed = [float(r.gts) for r in relations if r.lts == implicit_residual and r.gts.is_number]
        return cls(any(step_length in r.free_symbols for r in relations), min(allowed, default=1.0))

    def families(self) -> tuple[PlainFamily, ...]:
        """All families."""
        return FAMILIES

    def instances(self, family: PlainFamily, steps: int) -> st.SearchStrategy[PinnInstance]:
        """Strategy for instances of this setting, of at most 24 steps."""
        return _instances(self, family, min(steps, MOST_STEPS))


@st.composite
def _instances(draw: st.DrawFn, setting: PinnSetting, family: PlainFamily, steps: int) -> PinnInstance:
    long, edge = family.name == "long-steps", family.name == "edge"
    n, m = draw(st.integers(1, 3)), draw(st.sampled_from(_WIDTHS[family.name]))
    rng = np.random.default_rng(draw(st.integers(0, 255)))
    X = np.round(np.arange(1, n + 1) / (n + 1) * 1024) / 1024
    W, a = rng.integers(-8, 9, (m, 2)) / 4.0, rng.choice([-1.0, 1.0], m)
    size = 2.0 ** draw(st.sampled_from((0, 2, -2)))
    tolerance = draw(st.sampled_from([x for x in _TOLERANCES if x <= setting.tolerance / 2]))
    if edge:
        rising = not setting.descends and draw(st.sampled_from((True, True, False)))
        return _edge(X, PinnRun(steps, 1.0, W, a, tolerance, backward=1), size, rising)
    f, g = rng.integers(-4, 5, n) / 2.0 * size, rng.integers(-4, 5, 2) / 4.0 * (size if long else 1.0)
    eta = 2.0 ** draw(st.sampled_from((8, 14, 11) if long else (0, 3, 6, -3)))
    return PinnInstance(Poisson(X, f, g), PinnRun(steps, eta, W, a, tolerance))


def _edge(X: Array, run: PinnRun, size: float, rising: bool) -> PinnInstance:
    """A first step that ends at W_0, where the residuals are an eigenvector of JJᵀ to λ_min.

    The step size is where L(w_0) is L(w_1) + ‖w_1 − w_0‖²/(2η) = (1 + (1 − θ)²ηλ_min)L(w_1), or just beyond.
    """
    there = point(Poisson(X, np.zeros(X.size), np.zeros(2)), run, run.W_0)
    r = size * np.linalg.eigh(there.J @ there.J.T)[1][:, 0]
    targets = (there.r - r) * np.sqrt([X.size] * X.size + [2, 2])
    data = Poisson(X, targets[:-2], targets[-2:])
    there = point(data, run, run.W_0)
    high = 2.0**-8
    while high < _LONGEST and _fall(data, replace(run, eta=high), there) >= 0.0:
        high *= 2.0
    low = high / 2.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _fall(data, replace(run, eta=middle), there) >= 0.0 else (low, middle)
    return PinnInstance(data, replace(run, eta=high if rising else low))


def _fall(data: Poisson, run: PinnRun, there: Point) -> float:
    """By how much the proximal objective falls on the step that ends ``there``."""
    start = point(data, run, start_of(run, there))
    return start.loss - there.loss - float(((start.W - there.W) ** 2).sum()) / (2.0 * run.eta)


# ------------------------------------------------------------------------------------------ measurement
def _column(name: str) -> Callable[[PlainMeasurement], BallArray]:
    return lambda m: BallArray.of(m.trajectory.column(name), m.trajectory.column(f"{name}_error"))


def _half_square(name: str) -> Callable[[PlainMeasurement], BallArray]:
    measure = _column(name)
    return lambda m: measure(m) ** 2 / 2


def _first(m: PlainMeasurement) -> BallArray:
    loss = m["loss"]
    return BallArray(loss.mid[0], loss.rad[0], loss.exp2[0])


def _contraction(m: PlainMeasurement) -> BallArray:
    return BallArray.of_log(-m.trajectory.column("log_contraction"), m.trajectory.column("log_contraction_error"))


_unsolved, _push = _column("unsolved"), _column("push")
_singular_next = _column("singular_next")

#: How each observable is measured in a float64 run.
FLOAT: dict[str, Callable[[PlainMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "eta": lambda m: exact(number(m.instance.run.eta)),
    "width": lambda m: BallArray.of(m.instance.run.a.size),
    "loss": _half_square("residual"),
    "loss_next": _half_square("residual_next"),
    "loss_start": _first,
    "step_length": _column("step_length"),
    "implicit_residual": lambda m: _unsolved(m) / _push(m),
    "gram_eig_0": lambda m: BallArray.of(*m.geometry.start.singular) ** 2,
    "gram_eig_next": lambda m: _singular_next(m) ** 2,
    "gram_contraction": _contraction,
}
#: How each observable of a state in balls is found.
BALLS: dict[str, Callable[[PinnBallState], arb]] = {
    "t": lambda s: arb(s.t),
    "eta": lambda s: s.eta,
    "width": lambda s: arb(len(s.here.W) // 2),
    "loss": lambda s: s.here.loss,
    "loss_next": lambda s: s.there.loss,
    "loss_start": lambda s: s.start.loss,
    "step_length": lambda s: s.step_length,
    "implicit_residual": lambda s: s.implicit_residual,
    "gram_eig_0": lambda s: s.start.gram_eig,
    "gram_eig_next": lambda s: s.there.gram_eig,
    "gram_contraction": lambda s: s.gram_contraction,
}


def measure_pinn(instance: PinnInstance, geometry: PinnGeometry, dense: int = RECORD_LIMIT) -> PlainMeasurement:
    """Train an instance, recording every step up to ``dense``, and measure it."""
    return PlainMeasurement(instance, geometry, train_pinn(instance, dense), FLOAT)


def exact_pinn(
    instance: PinnInstance, geometry: PinnGeometry, onset: int | None, needed: frozenset[str]
) -> ExactRun:
    """The run's points in balls at the working precision."""
    return ExactRun(PlainExact(BALLS), pinn_replay(instance))


TOOLS = Tools(PinnSetting.of, PinnGeometry, measure_pinn, exact_pinn, restarted_pinn, PinnInstance.from_json)
