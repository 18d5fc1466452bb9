"""Diagonal linear networks on trial: how instances are drawn, and their observables in float64 and in balls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import flint
import numpy as np
from flint import arb
from hypothesis import strategies as st

from bounds import Theorem
from bounds.assumptions import Assumption
from bounds.diagonal import HigherPower, SquarePower
from models.diagonal import (
    DiagonalGeometry,
    DiagonalInstance,
    DiagonalRun,
    DiagonalState,
    LinearSystem,
    entropy,
    power_sum,
    replay_diagonal,
    train_diagonal,
)
from models.trajectory import RECORD_LIMIT
from properties.balls import BallArray, lift
from properties.hypotheses import PREDICATES, Check
from properties.linear_observables import number
from properties.observables import exact
from properties.plain import PlainExact, PlainFamily, PlainMeasurement
from properties.tools import ExactRun, Tools

MOST_ROWS, MOST_COLUMNS = 3, 5
#: α is halved this often: below, the limit is nearly the one that α → 0 selects.
MOST_STEPS = 12

FAMILIES = (
    PlainFamily("scattered", "few-digit matrices and right sides"),
    PlainFamily("ties", "entries ±1 and 0: often several solutions of least ℓ1-norm", hostile=True),
    PlainFamily("near-ties", "columns that are nearly multiples of each other: the shortest is nearly not unique",
                hostile=True),
)  # fmt: skip
_POWERS = st.sampled_from((3.0, 4.0, 2.5, 6.0, 2.125))
_SCALES = st.sampled_from((1.0, 0.5, 0.125, 3.0))
_NEAR = st.sampled_from((3, 8, 20))


@dataclass(frozen=True)
class DiagonalSetting:
    """What theorems on diagonal networks that can share instances have in common.

    Attributes
    ----------
    square : bool or None
        Whether p = 2, or p > 2; None where either will do.
    """

    square: bool | None

    @classmethod
    def of(cls, theorem: Theorem) -> DiagonalSetting:
        """The setting of one theorem."""
        kinds = {type(a) for a in theorem.assumes}
        return cls(True if SquarePower in kinds else False if HigherPower in kinds else None)

    def families(self) -> tuple[PlainFamily, ...]:
        """All families."""
        return FAMILIES

    def instances(self, family: PlainFamily, steps: int) -> st.SearchStrategy[DiagonalInstance]:
        """Strategy for instances of this setting with systems of one family; α is halved at most 12 times."""
        return _instances(self, family, min(steps, MOST_STEPS))


@st.composite
def _instances(draw: st.DrawFn, setting: DiagonalSetting, family: PlainFamily, steps: int) -> DiagonalInstance:
    n = draw(st.integers(1, MOST_ROWS))
    d = draw(st.integers(n + 1, MOST_COLUMNS))
    rng = np.random.default_rng(draw(st.integers(0, 255)))
    near = 2.0 ** -draw(_NEAR)
    size = 1 if family.name == "ties" else 8
    X = np.asarray(rng.integers(-size, size + 1, (n, d)) / min(size, 4), dtype=np.float64)
    X[:, :n] = np.triu(X[:, :n], 1) + np.eye(n)  # independent rows
    if family.name == "near-ties":
        for j in range(n, d):
            X[:, j] = X[:, j % n] * (1.0 - (j // n) * near) * rng.choice([-1.0, 1.0])
    target = np.asarray(rng.integers(-6, 7, n) / 2.0, dtype=np.float64)
    target[0] = target[0] or 1.0
    square = draw(st.booleans()) if setting.square is None else setting.square
    run = DiagonalRun(steps, draw(_SCALES), 2.0 if square else draw(_POWERS))
    return DiagonalInstance(LinearSystem(X, target), run)


# ------------------------------------------------------------------------------------------- predicates
def _square(_: Assumption, instance: DiagonalInstance, geometry: DiagonalGeometry) -> Check:
    return Check(instance.run.p == 2.0, 0.0, f"p is {instance.run.p}, not 2")


def _higher(_: Assumption, instance: DiagonalInstance, geometry: DiagonalGeometry) -> Check:
    return Check(instance.run.p > 2.0, instance.run.p - 2.0, "p is 2")


PREDICATES.update({SquarePower: _square, HigherPower: _higher})


# ------------------------------------------------------------------------------------------ measurement
def _column(name: str) -> Callable[[PlainMeasurement], BallArray]:
    """One rounding of a value that is known to 90 bits of ‖x‖_1, or of 1 where that is less."""

    def measure(m: PlainMeasurement) -> BallArray:
        values = m.trajectory.column(name)
        error = 2.0**-90 * (1.0 + m.trajectory.column("l1_norm"))
        return BallArray.of(values, 2.0**-52 * np.abs(values) + error)

    return measure


def _power_sum_shortest(geometry: DiagonalGeometry, p: float) -> arb:
    sums = [power_sum([arb(x) for x in z], p) for z in geometry.shortest]
    most = sums[0]
    for value in sums[1:]:
        most = most.max(value)
    return most


def _entropy_shortest(geometry: DiagonalGeometry) -> arb:
    sums = [entropy([arb(x) for x in z]) for z in geometry.shortest]
    least = sums[0]
    for value in sums[1:]:
        least = least.min(value)
    return least


def _fixed(value: Callable[[PlainMeasurement], arb]) -> Callable[[PlainMeasurement], BallArray]:
    def measure(m: PlainMeasurement) -> BallArray:
        with flint.ctx.workprec(128):
            return lift(value(m))

    return measure


#: How each observable is measured in a float64 run.
FLOAT: dict[str, Callable[[PlainMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "n": lambda m: BallArray.of(m.instance.dataset.X.shape[0]),
    "d": lambda m: BallArray.of(m.instance.dataset.X.shape[1]),
    "exponent": lambda m: exact(number(m.instance.run.p)),
    "init_scale": lambda m: BallArray.of(m.trajectory.column("init_scale")),
    "l1_norm": _column("l1_norm"),
    "l1_excess": _column("l1_excess"),
    "sup_norm": _column("sup_norm"),
    "power_sum": _column("power_sum"),
    "entropy": _column("entropy"),
    "power_sum_shortest": _fixed(lambda m: _power_sum_shortest(m.geometry, m.instance.run.p)),
    "entropy_shortest": _fixed(lambda m: _entropy_shortest(m.geometry)),
}
#: How each observable of a state in balls is found.
BALLS: dict[str, Callable[[DiagonalState], arb]] = {
    "t": lambda s: arb(s.t),
    "n": lambda s: arb(s.instance.dataset.X.shape[0]),
    "d": lambda s: arb(s.instance.dataset.X.shape[1]),
    "exponent": lambda s: arb(s.instance.run.p),
    "init_scale": lambda s: s.alpha,
    "l1_norm": lambda s: s.limit.l1_norm,
    "l1_excess": lambda s: s.limit.l1_excess,
    "sup_norm": lambda s: s.limit.sup_norm,
    "power_sum": lambda s: s.limit.power_sum,
    "entropy": lambda s: s.limit.entropy,
    "power_sum_shortest": lambda s: _power_sum_shortest(s.geometry, s.instance.run.p),
    "entropy_shortest": lambda s: _entropy_shortest(s.geometry),
}


def measure_diagonal(
    instance: DiagonalInstance, geometry: DiagonalGeometry, dense: int = RECORD_LIMIT
) -> PlainMeasurement:
    """Find the limits of an instance, and measure them."""
    return PlainMeasurement(instance, geometry, train_diagonal(instance, geometry, dense), FLOAT)


def exact_diagonal(
    instance: DiagonalInstance, geometry: DiagonalGeometry, onset: int | None, needed: frozenset[str]
) -> ExactRun:
    """The limits in balls at the working precision."""
    return ExactRun(PlainExact(BALLS), replay_diagonal(instance, geometry))


def restarted_diagonal(instance: DiagonalInstance, step: int, geometry: DiagonalGeometry) -> DiagonalInstance:
    """The one limit of the step's α."""
    return instance.with_run(steps=0, alpha=instance.run.alpha * 2.0**-step)


TOOLS = Tools(
    DiagonalSetting.of,
    lambda instance: DiagonalGeometry(instance.dataset),
    measure_diagonal,
    exact_diagonal,
    restarted_diagonal,
    DiagonalInstance.from_json,
)
