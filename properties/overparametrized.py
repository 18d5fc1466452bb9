"""Overparametrised linear networks on trial: how instances are drawn, and how they are measured twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import flint
import numpy as np
from flint import arb
from hypothesis import strategies as st

from bounds import Theorem
from models.dataset import Array
from models.overparametrized import (
    FlowGeometry,
    FlowInstance,
    FlowRun,
    FlowState,
    Regression,
    replay_flow,
    restarted_flow,
    train_flow,
)
from models.trajectory import RECORD_LIMIT
from properties.balls import BallArray, lift
from properties.linear_observables import number
from properties.observables import exact
from properties.plain import PlainExact, PlainFamily, PlainMeasurement
from properties.tools import ExactRun, Tools

#: A flow is looked at this often.
MOST_STEPS = 24
MOST_ROWS, MOST_OUTPUTS, MOST_HIDDEN = 2, 2, 3

FAMILIES = (
    PlainFamily("scattered", "few-digit matrices"),
    PlainFamily("one-sided", "V_0 small or 0: the invariant is nearly all there is"),
    PlainFamily("balanced", "both layers small and about equal: c is small or 0", hostile=True),
    PlainFamily("ill-conditioned", "nearly dependent rows of X", hostile=True),
)
_TIMES = st.sampled_from((0.125, 0.5, 0.03125))
_SMALL = st.sampled_from((1, 4, 10))


@dataclass(frozen=True)
class FlowSetting:
    """All theorems on these flows share their instances."""

    def families(self) -> tuple[PlainFamily, ...]:
        """All families."""
        return FAMILIES

    def instances(self, family: PlainFamily, steps: int) -> st.SearchStrategy[FlowInstance]:
        """Strategy for instances of one family, looked at 24 times at most."""
        return _instances(family, min(steps, MOST_STEPS))


@st.composite
def _instances(draw: st.DrawFn, family: PlainFamily, steps: int) -> FlowInstance:
    n, m = draw(st.integers(1, MOST_ROWS)), draw(st.integers(1, MOST_OUTPUTS))
    d, k = n + draw(st.integers(1, 2)), draw(st.integers(1, MOST_HIDDEN))
    rng = np.random.default_rng(draw(st.integers(0, 255)))
    small = 2.0 ** -draw(_SMALL)

    def matrix(rows: int, columns: int) -> Array:
        return np.asarray(rng.integers(-4, 5, (rows, columns)) / 4.0, dtype=np.float64)

    X, Y, U, V = matrix(n, d), matrix(n, m), matrix(d, k), matrix(m, k)
    X[:, :n] = np.triu(X[:, :n], 1) + np.eye(n)  # independent rows
    if family.name == "one-sided":
        V = V * small if draw(st.booleans()) else 0.0 * V
    elif family.name == "balanced":
        U, V = U * small, V * small
    elif family.name == "ill-conditioned":
        X[1:] = X[:1] + small * X[1:]
    if not (Y - X @ U @ V.T).any():
        Y = Y + 1.0  # nothing moves at a minimum
    return FlowInstance(Regression(X, Y), FlowRun(steps, draw(_TIMES), U, V))


# ------------------------------------------------------------------------------------------ measurement
def _error(m: PlainMeasurement) -> Array:
    """Of a norm: rounding errors of what it is made of, which the flow hardly enlarges."""
    return np.asarray(2.0**-46 * m.trajectory.column("size") * (1.0 + m.trajectory.t))


def _column(name: str) -> Callable[[PlainMeasurement], BallArray]:
    return lambda m: BallArray.of(m.trajectory.column(name), _error(m))


def _decay(m: PlainMeasurement) -> BallArray:
    """A form of degree two of the residual, at most gain times its square."""
    error, residual = _error(m), m.trajectory.column("residual")
    values, gain = m.trajectory.column("decay"), m.trajectory.column("gain")
    return BallArray.of(values, 2.0**-44 * values + gain * error * (2 * residual + error))


_residual, _null_part, _coupling = _column("residual"), _column("null_part"), _column("coupling")


def _first(balls: BallArray) -> BallArray:
    return BallArray(balls.mid[0], balls.rad[0], balls.exp2[0])


def _half_square(balls: BallArray) -> BallArray:
    return balls**2 / 2


def _fixed(value: Callable[[FlowGeometry], arb]) -> Callable[[PlainMeasurement], BallArray]:
    def measure(m: PlainMeasurement) -> BallArray:
        with flint.ctx.workprec(128):
            return lift(value(m.geometry))

    return measure


#: How each observable is measured in a float64 run.
FLOAT: dict[str, Callable[[PlainMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "time_step": lambda m: exact(number(m.instance.run.time_step)),
    "data_eig_min": _fixed(lambda g: g.data_range()[0]),
    "data_eig_max": _fixed(lambda g: g.data_range()[1]),
    "imbalance": _fixed(FlowGeometry.imbalance),
    "loss_gap": lambda m: _half_square(_residual(m)),
    "loss_gap_0": lambda m: _first(_half_square(_residual(m))),
    "residual_0": lambda m: _first(_residual(m)),
    "loss_decay": _decay,
    "null_part": _null_part,
    "coupling_0": lambda m: _first(_coupling(m)),
}
#: How each observable of a state in balls is found.
BALLS: dict[str, Callable[[FlowState], arb]] = {
    "t": lambda s: arb(s.t),
    "time_step": lambda s: arb(s.instance.run.time_step),
    "data_eig_min": lambda s: s.geometry.data_range()[0],
    "data_eig_max": lambda s: s.geometry.data_range()[1],
    "imbalance": lambda s: s.geometry.imbalance(),
    "loss_gap": lambda s: s.loss,
    "loss_gap_0": lambda s: s.first.loss,
    "residual_0": lambda s: (2 * s.first.loss).sqrt(),
    "loss_decay": lambda s: s.decay,
    "null_part": lambda s: s.null_part,
    "coupling_0": lambda s: s.first.coupling,
}


def measure_flow(instance: FlowInstance, geometry: FlowGeometry, dense: int = RECORD_LIMIT) -> PlainMeasurement:
    """Integrate an instance, and measure it."""
    return PlainMeasurement(instance, geometry, train_flow(instance, geometry, dense), FLOAT)


def exact_flow(
    instance: FlowInstance, geometry: FlowGeometry, onset: int | None, needed: frozenset[str]
) -> ExactRun:
    """The flow in balls at the working precision."""
    return ExactRun(PlainExact(BALLS), replay_flow(instance, geometry))


def _setting(theorem: Theorem) -> FlowSetting:
    return FlowSetting()


TOOLS = Tools(_setting, FlowGeometry, measure_flow, exact_flow, restarted_flow, FlowInstance.from_json)
