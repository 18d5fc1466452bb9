"""Alternating and cogradient descent on trial: instances and random problems, in float64 and in balls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from flint import arb
from hypothesis import strategies as st
from numpy.typing import NDArray

from bounds import Assumption, OwnGradients, StepAtMost, Theorem
from models.cogradient import (
    METHODS,
    BilinearInstance,
    BilinearRun,
    Observation,
    Starts,
    planted,
    reached,
    restarted_bilinear,
    rounding,
    train_bilinear,
)
from models.cogradient_replay import BilinearExact, BilinearState, bilinear_replay
from models.dataset import Array
from models.trajectory import RECORD_LIMIT
from properties.balls import BallArray
from properties.compiled import Values, compile_expression
from properties.hypotheses import PREDICATES, Check
from properties.linear_observables import number
from properties.observables import Undefined, exact
from properties.plain import PlainExact, PlainFamily, PlainMeasurement
from properties.tools import ExactRun, Sampler, Tools

FAMILIES = (
    PlainFamily("scattered", "few-digit observations and starts"),
    PlainFamily("one-column", "d = 1: a step gains exactly what is claimed while x keeps its sign"),
    PlainFamily("one-sparse", "one column of A and one coordinate of x, λ‖x‖_1 = 2μ‖A‖²: the least penalty", True),
)
#: Methods by which A moves along its own gradient.
_OWN = ("alternating", "projected")
_WEIGHTS = st.sampled_from((0.125, 0.5, 0.03125, 2.0))
_SHARES = st.sampled_from((1.0, 0.75, 0.5, 0.125))
_LONGEST, _MOST_ROWS, _MOST_COLUMNS, _MOST_STEPS = 2.0, 3, 3, 400


@dataclass(frozen=True)
class BilinearSetting:
    """What theorems that can share instances have in common: the methods, and bounds on η."""

    methods: tuple[str, ...]
    limits: tuple[StepAtMost, ...]

    @classmethod
    def of(cls, theorem: Theorem) -> BilinearSetting:
        """The setting of one theorem."""
        own = any(isinstance(a, OwnGradients) for a in theorem.assumes)
        limits = tuple(a for a in theorem.assumes if isinstance(a, StepAtMost))
        return cls(_OWN if own else METHODS, limits)

    def families(self) -> tuple[PlainFamily, ...]:
        """All families."""
        return FAMILIES

    def instances(self, family: PlainFamily, steps: int) -> st.SearchStrategy[BilinearInstance]:
        """Strategy for instances of this setting; runs of some hundred steps have nearly arrived."""
        return _instances(self, family, min(steps, _MOST_STEPS))


@st.composite
def _instances(draw: st.DrawFn, setting: BilinearSetting, family: PlainFamily, steps: int) -> BilinearInstance:
    m = draw(st.integers(1, _MOST_ROWS))
    d = 1 if family.name == "one-column" else draw(st.integers(1, _MOST_COLUMNS))
    sparsity, ridge = draw(_WEIGHTS), draw(_WEIGHTS)
    rng = np.random.default_rng(draw(st.integers(0, 255)))
    b, A, x = (rng.integers(-8, 9, shape) / 4.0 for shape in ((m,), (m, d), (d,)))
    b[0], A[0, 0] = draw(st.sampled_from((1.0, 4.0))), draw(st.sampled_from((1.0, -0.5)))
    if family.name == "one-sparse":
        A[:, 1:], x[:] = 0.0, 0.0
        x[0] = 2 * ridge * (A * A).sum() / sparsity  # exact: weights are powers of two
    limits = (compile_expression(a.limit)({}) for a in setting.limits)
    eta = draw(_SHARES) * min((float(arb(limit).mid()) for limit in limits), default=_LONGEST)
    run = BilinearRun(steps, eta, draw(st.sampled_from(setting.methods)), A, x)
    return BilinearInstance(Observation(b, sparsity, ridge), run)


def _own_gradients(_: Assumption, instance: BilinearInstance, geometry: None) -> Check:
    found = instance.run.method
    return Check(found in _OWN, 0.0, f"the method is {found}")


PREDICATES[OwnGradients] = _own_gradients


# ------------------------------------------------------------------------------------------ measurement
def _error(m: PlainMeasurement) -> Array:
    """Of a sum of squares."""
    return np.asarray(rounding(m.trajectory) * m.trajectory.column("size"))


def _column(name: str) -> Callable[[PlainMeasurement], BallArray]:
    return lambda m: BallArray.of(m.trajectory.column(name), _error(m))


def _move_error(m: PlainMeasurement) -> Array:
    """A step is a difference of states, so its square is off by the step times their rounding."""
    move, relative = m.trajectory.column("move"), rounding(m.trajectory)
    return np.asarray(relative * (move + np.sqrt(move * m.trajectory.column("size"))) + relative * _error(m))


def _move_sum(m: PlainMeasurement) -> BallArray:
    values = m.trajectory.column("move_sum")
    return BallArray.of(values, np.concatenate([[0.0], np.cumsum(_move_error(m))[:-1]]) + _error(m))


def _move_least(m: PlainMeasurement) -> BallArray:
    values = m.trajectory.column("move_least")
    return BallArray.of(values, np.concatenate([[0.0], np.maximum.accumulate(_move_error(m))[:-1]]))


def _first(m: PlainMeasurement) -> BallArray:
    balls = m["bilinear_objective"]
    return BallArray(balls.mid[0], balls.rad[0], balls.exp2[0])


#: How each observable is measured in a float64 run.
FLOAT: dict[str, Callable[[PlainMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "eta": lambda m: exact(number(m.instance.run.eta)),
    "sparsity_weight": lambda m: exact(number(m.instance.dataset.sparsity)),
    "ridge_weight": lambda m: exact(number(m.instance.dataset.ridge)),
    "bilinear_objective": _column("objective"),
    "bilinear_objective_next": _column("objective_next"),
    "bilinear_objective_0": _first,
    "bilinear_penalty": _column("penalty"),
    "bilinear_product": _column("product"),
    "bilinear_move": lambda m: BallArray.of(m.trajectory.column("move"), _move_error(m)),
    "bilinear_move_sum": _move_sum,
    "bilinear_move_least": _move_least,
}


def _least(state: BilinearState) -> arb:
    if state.move_least is None:
        raise Undefined("no step has been made yet")
    return state.move_least


#: How each observable of a state in balls is found.
BALLS: dict[str, Callable[[BilinearState], arb]] = {
    "t": lambda s: arb(s.t),
    "eta": lambda s: s.exact.eta,
    "sparsity_weight": lambda s: s.exact.sparsity,
    "ridge_weight": lambda s: s.exact.ridge,
    "bilinear_objective": lambda s: s.objective,
    "bilinear_objective_next": lambda s: s.objective_next,
    "bilinear_objective_0": lambda s: s.objective_0,
    "bilinear_penalty": lambda s: s.penalty,
    "bilinear_product": lambda s: sum((y * y for y in s.product), arb(0)),
    "bilinear_move": lambda s: s.move,
    "bilinear_move_sum": lambda s: s.move_sum,
    "bilinear_move_least": _least,
}


def measure_bilinear(instance: BilinearInstance, geometry: None, dense: int = RECORD_LIMIT) -> PlainMeasurement:
    """Run an instance, recording every step up to ``dense``, and measure it."""
    return PlainMeasurement(instance, geometry, train_bilinear(instance, dense), FLOAT)


def exact_bilinear(
    instance: BilinearInstance, geometry: None, onset: int | None, needed: frozenset[str]
) -> ExactRun:
    """The run in balls at the working precision."""
    return ExactRun(PlainExact(BALLS), bilinear_replay(BilinearExact(instance)))


TOOLS = Tools(
    BilinearSetting.of,
    lambda instance: None,
    measure_bilinear,
    exact_bilinear,
    restarted_bilinear,
    BilinearInstance.from_json,
)

# ------------------------------------------------------------------------------------------ random problems
#: Sizes (m, d) of random problems, and how long methods are compared on them.
SIZES, STEPS = ((4, 4), (6, 8), (8, 16)), 100
#: Least error of an objective, relative to it; and how far apart, relative to entries, two starts are of which the
#: second shows how much a run enlarges rounding errors.
LEAST_ERROR, APART = 2.0**-42, 2.0**-46


def draws(theorem: Theorem, count: int, seed: int) -> Iterator[tuple[Values, str, None]]:
    """Objectives that the methods reach on independent random problems; all methods start at one point."""
    methods = [method for method in METHODS if f"objective_{method}" in theorem.observables]
    rng = np.random.default_rng([seed, 11])
    sizes = rng.integers(len(SIZES), size=count)
    for k, (m, d) in enumerate(SIZES):
        starts = planted(rng, int((sizes == k).sum()), m, d)
        found = {method: measured_objectives(starts, method) for method in methods}
        for i in range(len(starts.x)):
            values = {f"objective_{method}": arb(F[i], error[i]) for method, (F, error, _) in found.items()}
            values |= {f"{method}_steps": arb(int(steps[i])) for method, (_, _, steps) in found.items()}
            yield values, f"{m} × {d}", None


def measured_objectives(starts: Starts, method: str) -> tuple[Array, Array, NDArray[np.int64]]:
    """What a method reaches, with an error budget, and on how many steps it corrected something; shapes (k,).

    The budget is what a second run from a start nearby tells, not a proof; the tests hold it to balls.
    """
    objectives, steps = reached(starts, STEPS, method)
    nearby = Starts(starts.problems, starts.A * (1 + APART), starts.x * (1 - APART))
    spread = np.abs(reached(nearby, STEPS, method)[0] - objectives)
    return objectives, LEAST_ERROR * objectives + 4 * spread, steps


SAMPLER = Sampler(draws, enclosed=False)
