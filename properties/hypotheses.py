"""Executable hypotheses: whether an assumption holds of an instance, and on which steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb, fmpq

from bounds import (
    NOTATION,
    EqualScores,
    Loss,
    NearOrthogonal,
    NonNegativeCorrelation,
    PositiveCoefficients,
    Rule,
    Separable,
    StepAtMost,
    Theorem,
    ZeroInit,
)
from bounds.assumptions import Assumption
from models.attention import Geometry
from models.dyadic import DyadicMatrix
from models.instance import Instance
from models.replay import BallState
from properties.balls import BallArray, BoolArray, difference_sign, lift
from properties.compiled import compile_expression
from properties.observables import ExactMeasurement, Measurement

#: Relative size of Δ − D above which float64 is trusted to say that PC holds.
PC_MARGIN = 1e-9


@dataclass(frozen=True)
class Check:
    """Whether a dataset- or run-level assumption holds, with the margin by which it does.

    ``margin`` is positive when there is room to spare, 0 when the assumption is of the either-or kind or holds
    with equality, negative when it fails.
    """

    holds: bool
    margin: float
    reason: str = ""


def check(assumption: Assumption, instance: Instance, geometry: Geometry) -> Check:
    """Decide a dataset- or run-level assumption exactly."""
    predicate = _PREDICATES.get(type(assumption))
    if predicate is None:
        raise TypeError(f"{assumption.name} has no predicate; add one to properties/hypotheses.py")
    return predicate(assumption, instance, geometry)


def failing(theorem: Theorem, instance: Instance, geometry: Geometry) -> str | None:
    """Why the theorem does not speak about this instance, or None if its fixed assumptions hold."""
    for assumption in theorem.assumes:
        if assumption.level != "trajectory":
            result = check(assumption, instance, geometry)
            if not result.holds:
                return f"{assumption.name}: {result.reason}"
    return None


def applicable_rows(theorem: Theorem, measurement: Measurement) -> BoolArray:
    """Recorded steps on which the trajectory-level assumptions are certainly met, as far as claims look back.

    A claim about single states needs them at that state; one that looks back to step 0 at every step so far;
    one that looks back to t0 (where positive coefficients set in for good) at every step from t0.
    """
    trajectory = measurement.trajectory
    rows = np.ones(len(trajectory), dtype=np.bool_)
    memory = theorem.memory
    if "onset" in memory:
        rows &= _from_onset(measurement)
    for assumption in theorem.assumes:
        if isinstance(assumption, PositiveCoefficients):
            holds = trajectory.column("pc_margin") > PC_MARGIN
            if "start" in memory:
                holds = _so_far(holds, measurement)
            rows &= holds
        elif isinstance(assumption, StepAtMost):
            limit = lift(compile_expression(assumption.limit)(measurement))
            fits, _ = difference_sign(limit, measurement["eta"])
            holds = np.broadcast_to(fits, rows.shape)
            fixed = all(NOTATION[s.name].level != "step" for s in assumption.limit.free_symbols)
            rows &= holds if fixed else _so_far(holds, measurement)
    return rows


def exact_trajectory_check(theorem: Theorem, measurement: ExactMeasurement, state: BallState) -> bool | None:
    """The trajectory-level assumptions at one replayed state: proved, refuted, or None if undecided."""
    verdicts: list[bool | None] = []
    for assumption in theorem.assumes:
        if isinstance(assumption, PositiveCoefficients):
            verdicts.append(state.positive_coefficients)
        elif isinstance(assumption, StepAtMost):
            limit = arb(compile_expression(assumption.limit)(measurement))
            eta = measurement["eta"]
            verdicts.append(True if eta <= limit else False if eta > limit else None)
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _so_far(holds: BoolArray, measurement: Measurement) -> BoolArray:
    """Rows up to which ``holds`` never failed; past the first unrecorded step only if it lasts for good."""
    prefix = np.logical_and.accumulate(holds)
    gaps = np.flatnonzero(np.diff(measurement.trajectory.t) > 1)
    if gaps.size:
        onset = measurement.trajectory.onset
        # Between recorded steps nothing was seen, except that PC held from t0 on.
        if onset is None or onset > 1:
            prefix = prefix & (np.arange(prefix.size) <= gaps[0])
    return np.asarray(prefix)


def _from_onset(measurement: Measurement) -> BoolArray:
    onset = measurement.trajectory.onset
    if onset is None:
        return np.zeros(len(measurement.trajectory), dtype=np.bool_)
    return np.asarray(measurement.trajectory.t >= onset)


# ------------------------------------------------------------------------------------ the predicates
def _separable(_: Assumption, instance: Instance, geometry: Geometry) -> Check:
    solution = geometry.max_margin
    if solution is None:
        return Check(False, -1.0, "no W gives every pair a positive margin (exact certificate)")
    return Check(True, solution.gamma)


def _equal_scores(_: Assumption, instance: Instance, geometry: Geometry) -> Check:
    spread = max(max(row) - min(row) for row in instance.dataset.exact_gaps)
    return Check(spread == 0, -float(spread), "some sequence has two different scores among its other tokens")


def _non_negative(_: Assumption, instance: Instance, geometry: Geometry) -> Check:
    gram = geometry.features.exact_gram
    smallest = min(gram.integers.entries())
    margin = float(fmpq(smallest) * fmpq(2) ** gram.exponent)
    return Check(smallest >= 0, margin, f"two pair features have inner product {margin:g}")


def _near_orthogonal(assumption: Assumption, instance: Instance, geometry: Geometry) -> Check:
    assert isinstance(assumption, NearOrthogonal)
    dataset = instance.dataset
    tokens = DyadicMatrix(dataset.X.reshape(-1, dataset.d))
    gram = (tokens @ tokens.T).rationals()
    gaps = [gap for row in dataset.exact_gaps for gap in row]
    factor = fmpq(int(assumption.factor.p), int(assumption.factor.q)) * dataset.n * max(gaps) / min(gaps)
    margin = None
    for i, o in enumerate(dataset.optimal):
        best = i * dataset.T + int(o)
        others = max(abs(gram[best][k]) for k in range(len(gram)) if k != best)
        room = gram[best][best] - factor * others
        margin = room if margin is None or room < margin else margin
    assert margin is not None
    return Check(margin >= 0, float(margin), f"an optimal token misses near-orthogonality by {-float(margin):g}")


def _zero_init(_: Assumption, instance: Instance, geometry: Geometry) -> Check:
    W_0 = instance.run.W_0
    return Check(W_0 is None or not W_0.any(), 0.0, "the run starts from W_0 ≠ 0")


def _rule(assumption: Assumption, instance: Instance, geometry: Geometry) -> Check:
    assert isinstance(assumption, Rule)
    return Check(instance.run.rule == assumption.rule, 0.0, f"the run's rule is {instance.run.rule}")


def _loss(assumption: Assumption, instance: Instance, geometry: Geometry) -> Check:
    assert isinstance(assumption, Loss)
    return Check(instance.run.loss == assumption.loss, 0.0, f"the run's loss is {instance.run.loss}")


_PREDICATES: dict[type[Assumption], Callable[[Assumption, Instance, Geometry], Check]] = {
    Separable: _separable,
    EqualScores: _equal_scores,
    NonNegativeCorrelation: _non_negative,
    NearOrthogonal: _near_orthogonal,
    ZeroInit: _zero_init,
    Rule: _rule,
    Loss: _loss,
}


def as_balls(value: Any, rows: int) -> BallArray:
    """A compiled value as one ball a recorded step."""
    ball = lift(value)
    if ball.mid.ndim:
        return ball
    return BallArray(np.full(rows, ball.mid), np.full(rows, ball.rad), np.full(rows, ball.exp2))
