"""Attention that has to keep several tokens on trial: how instances are drawn, and their observables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from flint import arb, fmpq
from hypothesis import strategies as st

from bounds import Assumption, KeptSeparable, StrictlyKept, Theorem, Throughout
from models.dataset import Array
from models.generalised_svm import (
    TargetGeometry,
    TargetInstance,
    TargetRun,
    Targets,
    restarted_targets,
    train_targets,
)
from models.generalised_svm_replay import TargetState, replay_targets
from models.trajectory import RECORD_LIMIT
from properties.balls import BallArray
from properties.hypotheses import PREDICATES, Check
from properties.observables import Undefined, exact
from properties.plain import PlainExact, PlainFamily, PlainMeasurement
from properties.tools import ExactRun, Tools

FAMILIES = (
    PlainFamily("one-sequence", "a single sequence of few-digit tokens"),
    PlainFamily("sequences", "two or three sequences in as many dimensions or more"),
    PlainFamily("crowded", "three sequences in two dimensions: what one keeps the others may lose", hostile=True),
)
#: Runs go on until log t has grown enough to tell a direction.
MOST_STEPS = 2**17
_MOST_TOKENS, _MOST_COORDINATES = 4, 4
_TRIES = 200
#: Least weight of a kept token and least slack of another one: below, log t would have to be much larger.
_LEAST_WEIGHT, _LEAST_SLACK = 0.15, 0.5


@dataclass(frozen=True)
class TargetSetting:
    """What theorems on kept sets that can share instances have in common.

    Attributes
    ----------
    near : bool
        Whether they speak only of runs that come to the kept sets, as crowded sequences seldom do.
    """

    near: bool

    @classmethod
    def of(cls, theorem: Theorem) -> TargetSetting:
        """The setting of one theorem."""
        return cls(any(isinstance(a, Throughout) for a in theorem.assumes))

    def families(self) -> tuple[PlainFamily, ...]:
        """All families, or those that are not crowded."""
        return FAMILIES[:-1] if self.near else FAMILIES

    def instances(self, family: PlainFamily, steps: int) -> st.SearchStrategy[TargetInstance]:
        """Strategy for instances of a family, with step sizes near the largest that descend."""
        return _instances(family, min(steps, MOST_STEPS))


@st.composite
def _instances(draw: st.DrawFn, family: PlainFamily, steps: int) -> TargetInstance:
    T = draw(st.integers(3, _MOST_TOKENS))
    if family.name == "crowded":
        n, d = 3, 2
    else:
        n = 1 if family.name == "one-sequence" else draw(st.integers(2, 3))
        d = draw(st.integers(max(n, 2), _MOST_COORDINATES))
    data = _mixing(np.random.default_rng(draw(st.integers(0, 1023))), n, T, d)
    eta = natural_step(data) * draw(st.sampled_from((1.0, 0.5)))
    return TargetInstance(data, TargetRun(steps, eta))


def _mixing(rng: np.random.Generator, n: int, T: int, d: int) -> Targets:
    """Data with room to spare and some kept set of two tokens or more; after many tries, the last drawn."""
    for _ in range(_TRIES):
        X, query = rng.integers(-8, 9, (n, T, d)) / 4.0, rng.integers(-8, 9, (n, d)) / 4.0
        data = Targets(X, query, rng.integers(-8, 9, (n, d)) / 2.0)
        geometry = TargetGeometry(data)
        weights = [float(w) for point in geometry.nearest for w in point.weights if w > 0]
        room = geometry.slack_min
        if min(weights) < _LEAST_WEIGHT or room is None or float(room) < _LEAST_SLACK:
            continue
        if len(weights) > n and geometry.direction is not None:
            break
    return data


def natural_step(data: Targets) -> float:
    """A power of two near the largest step with which the loss falls all the way."""
    pairs = list(zip(data.X, data.query, data.target, strict=True))
    reach = max(np.linalg.norm(x[:, None] - x[None], axis=2).max() for x, _, _ in pairs)
    size = max(float(np.linalg.norm(q)) for _, q, _ in pairs)
    far = max(np.linalg.norm(b - x, axis=1).max() for x, _, b in pairs)
    bend = (reach * size) ** 2 * reach * (reach + far) / 4
    return float(2.0 ** round(3.0 - float(np.log2(bend)))) if bend > 0 else 1.0


# ------------------------------------------------------------------------------------------- predicates
def _strict(_: Assumption, instance: TargetInstance, geometry: TargetGeometry) -> Check:
    room = geometry.slack_min
    if room is None:
        return Check(False, 0.0, "every token is kept")
    return Check(room > 0, float(room), "a token that is not kept has no slack (decided in rational numbers)")


def _separable(_: Assumption, instance: TargetInstance, geometry: TargetGeometry) -> Check:
    return Check(geometry.direction is not None, 0.0, "no W separates the kept sets (exact certificate)")


PREDICATES |= {StrictlyKept: _strict, KeptSeparable: _separable}


# ------------------------------------------------------------------------------------------ measurement
def _rounding(m: PlainMeasurement) -> Array:
    """Absolute error of logits: those of the recorded W, which is taken as exact."""
    data = m.instance.dataset
    size = float(np.abs(data.X).sum(axis=2).max() * np.abs(data.query).sum(axis=1).max())
    return np.asarray(2.0**-50 * (data.X.shape[2] + 4) * (1.0 + size * m.trajectory.column("norm")))


def _logarithm(name: str) -> Callable[[PlainMeasurement], BallArray]:
    def measure(m: PlainMeasurement) -> BallArray:
        values = m.trajectory.column(name)
        return BallArray.of_log(values, 4 * _rounding(m) + 2.0**-48 + 2.0**-52 * np.abs(values))

    return measure


def _gap(name: str) -> Callable[[PlainMeasurement], BallArray]:
    """1 − cos of the recorded W with a direction that is known to one rounding an entry."""

    def measure(m: PlainMeasurement) -> BallArray:
        values = m.trajectory.column(name)
        turned = 2.0**-46
        return BallArray.of(values, np.sqrt(2 * np.abs(values)) * turned + turned**2)

    return measure


def _slack(geometry: TargetGeometry) -> fmpq:
    if geometry.slack_min is None:
        raise Undefined("κ does not exist: every token is kept")
    return geometry.slack_min


#: How each observable is measured in a float64 run.
FLOAT: dict[str, Callable[[PlainMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "eta": lambda m: exact(fmpq(*m.instance.run.eta.as_integer_ratio())),
    "n": lambda m: BallArray.of(m.instance.dataset.N),
    "kept_slack": lambda m: exact(_slack(m.geometry)),
    "norm": lambda m: BallArray.of(m.trajectory.column("norm"), 2.0**-48 * m.trajectory.column("norm")),
    "loss_gap": _logarithm("log_loss_gap"),
    "kept_leak": _logarithm("log_leak_max"),
    "kept_gap": _gap("kept_gap"),
    "single_gap": _gap("single_gap"),
    "ratio_error": lambda m: BallArray.of(m.trajectory.column("ratio_error"), 4 * _rounding(m) + 2.0**-48),
}

#: How the observables of pointwise claims are found of a state in balls; a direction is known to floats only.
BALLS: dict[str, Callable[[TargetState], arb]] = {
    "t": lambda s: arb(s.t),
    "eta": lambda s: arb(s.instance.run.eta),
    "n": lambda s: arb(s.instance.dataset.N),
    "kept_slack": lambda s: arb(_slack(s.geometry)),
    "loss_gap": lambda s: s.loss_gap,
    "kept_leak": lambda s: s.kept_leak,
}


def measure_targets(
    instance: TargetInstance, geometry: TargetGeometry, dense: int = RECORD_LIMIT
) -> PlainMeasurement:
    """Train an instance, recording every step up to ``dense``, and measure it."""
    return PlainMeasurement(instance, geometry, train_targets(instance, geometry, dense), FLOAT)


def exact_targets(
    instance: TargetInstance, geometry: TargetGeometry, onset: int | None, needed: frozenset[str]
) -> ExactRun:
    """The run in balls at the working precision."""
    return ExactRun(PlainExact(BALLS), replay_targets(instance, geometry))


TOOLS = Tools(
    TargetSetting.of,
    lambda instance: TargetGeometry(instance.dataset),
    measure_targets,
    exact_targets,
    restarted_targets,
    TargetInstance.from_json,
)
