"""Executable hypotheses: whether an assumption holds of an instance, and on which steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import sympy as sp
from flint import arb, fmpq

from bounds import (
    NOTATION,
    BelowPath,
    EqualScores,
    Loss,
    NearOrthogonal,
    NondegenerateSupport,
    NonNegativeCorrelation,
    PositiveCoefficients,
    Rule,
    Schedule,
    SelfAttention,
    Separable,
    StepAtMost,
    Theorem,
    Throughout,
    WeakNegativeCorrelation,
    ZeroInit,
)
from bounds.assumptions import Assumption
from bounds.joint import DecoderSeparable
from models.attention import Geometry
from models.dyadic import DyadicMatrix
from models.instance import Instance
from models.replay import BallState
from properties.apriori import correlation_room
from properties.balls import BallArray, BoolArray, difference_sign, lift
from properties.compiled import Values, compile_expression
from properties.measured import BallMeasured, Measured

#: Relative size of Δ − D above which float64 is trusted to say that PC holds.
PC_MARGIN = 1e-9
#: Bits at which a comparison of constants starts, and at which it is given up as not proved.
_FIRST_PRECISION, _LAST_PRECISION = 256, 4096


@dataclass(frozen=True)
class Check:
    """Whether a dataset- or run-level assumption holds, with the margin by which it does.

    ``margin`` is positive when there is room to spare, 0 when the assumption is of the either-or kind or holds
    with equality, negative when it fails.
    """

    holds: bool
    margin: float
    reason: str = ""


def check(assumption: Assumption, instance: Any, geometry: Any) -> Check:
    """Decide a dataset- or run-level assumption exactly."""
    predicate = PREDICATES.get(type(assumption))
    if predicate is None:
        raise TypeError(f"{assumption.name} has no predicate; add one to PREDICATES")
    return predicate(assumption, instance, geometry)


def failing(theorem: Theorem, instance: Any, geometry: Any) -> str | None:
    """Why the theorem does not speak about this instance, or None if its fixed assumptions hold."""
    for assumption in theorem.assumes:
        if assumption.level != "trajectory":
            result = check(assumption, instance, geometry)
            if not result.holds:
                return f"{assumption.name}: {result.reason}"
    return None


def applicable_rows(theorem: Theorem, measurement: Measured) -> BoolArray:
    """Recorded steps on which the trajectory-level assumptions are certainly met, as far as claims look back.

    A claim about single states needs them at that state; one that looks back to step 0 at every step so far;
    one that looks back to t0 (where positive coefficients set in for good) at every step from t0.
    """
    trajectory = measurement.trajectory
    rows = np.ones(len(trajectory), dtype=np.bool_)
    memory = theorem.memory
    if "onset" in memory:
        rows &= from_step(measurement, trajectory.onset)
    if "decoder" in memory:
        rows &= from_step(measurement, getattr(trajectory, "decoder_onset", None))
    for assumption in theorem.assumes:
        if isinstance(assumption, PositiveCoefficients):
            holds = trajectory.column("pc_margin") > PC_MARGIN
            if "start" in memory:
                holds = so_far(holds, measurement)
            rows &= holds
        elif isinstance(assumption, BelowPath):
            holds, _ = difference_sign(measurement["path_loss_gap"], measurement["loss_gap"])
            rows &= so_far(holds, measurement) if "start" in memory else holds
        elif isinstance(assumption, Throughout):
            holds = certain_rows(assumption.relation, measurement, rows.size)
            rows &= so_far(holds, measurement) if "start" in memory else holds
        elif isinstance(assumption, StepAtMost):
            limit = lift(compile_expression(assumption.limit)(measurement))
            fits, _ = difference_sign(limit, measurement["eta"])
            holds = np.broadcast_to(fits, rows.shape)
            fixed = all(NOTATION[s.name].level != "step" for s in assumption.limit.free_symbols)
            rows &= holds if fixed else so_far(holds, measurement)
    return rows


def exact_trajectory_check(theorem: Theorem, measurement: BallMeasured, state: BallState) -> bool | None:
    """The trajectory-level assumptions at one replayed state: proved, refuted, or None if undecided."""
    verdicts: list[bool | None] = []
    for assumption in theorem.assumes:
        if isinstance(assumption, PositiveCoefficients):
            verdicts.append(state.positive_coefficients)
        elif isinstance(assumption, BelowPath):
            along, gap = measurement["path_loss_gap"], state.loss_gap
            verdicts.append(True if gap <= along else False if gap > along else None)
        elif isinstance(assumption, Throughout):
            relation = assumption.relation
            room = arb(compile_expression(relation.gts)(measurement)) - arb(
                compile_expression(relation.lts)(measurement)
            )
            verdicts.append(True if room >= 0 else False if room < 0 else None)
        elif isinstance(assumption, StepAtMost):
            limit = arb(compile_expression(assumption.limit)(measurement))
            eta = measurement["eta"]
            verdicts.append(True if eta <= limit else False if eta > limit else None)
    if False in verdicts:
        return False
    return None if None in verdicts else True


def so_far(holds: BoolArray, measurement: Measured) -> BoolArray:
    """Rows up to which ``holds`` never failed; past the first unrecorded step only if it lasts for good."""
    prefix = np.logical_and.accumulate(holds)
    prefix[reach(measurement) :] = False
    return np.asarray(prefix)


def reach(measurement: Measured) -> int:
    """Rows up to which it is known what has held so far."""
    t, onset = measurement.trajectory.t, measurement.trajectory.onset
    if t[-1] - t[0] == t.size - 1 or (onset is not None and onset <= 1):
        return int(t.size)
    # Between recorded steps nothing was seen, except that PC held from t0 on.
    return int(np.flatnonzero(np.diff(t) > 1)[0]) + 1


def from_step(measurement: Measured, onset: int | None) -> BoolArray:
    """Rows from a step on; none if there is no such step."""
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


def _self_attention(_: Assumption, instance: Instance, geometry: Geometry) -> Check:
    return Check(instance.dataset.query is None, 0.0, "the queries are given apart from the tokens")


def _non_negative(_: Assumption, instance: Instance, geometry: Geometry) -> Check:
    gram = geometry.features.exact_gram
    smallest = min(gram.integers.entries())
    margin = float(fmpq(smallest) * fmpq(2) ** gram.exponent)
    return Check(smallest >= 0, margin, f"two pair features have inner product {margin:g}")


def _decoder_separable(_: Assumption, instance: Instance, geometry: Any) -> Check:
    if geometry.decoder is None:
        return Check(False, -1.0, "no decoder gives every optimal token a positive margin (exact certificate)")
    return Check(True, geometry.mu)


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


def _nondegenerate(_: Assumption, instance: Instance, geometry: Geometry) -> Check:
    solution = geometry.max_margin
    if solution is None:
        return Check(False, -1.0, "the W-SVM has no solution")
    # K is regular on the support, where multipliers are positive: what remains is that no other pair is active.
    inside = set(solution.support)
    others = [j for j in range(instance.dataset.N) if j not in inside]
    margins: list[fmpq] | list[arb] = solution.margins
    if solution.proof is not None:
        margins = solution.proof[1]  # balls that proved these pairs inactive
    idle = [margins[j] for j in others if not margins[j] > 1]
    room = min((float(arb(margins[j]).mid()) - 1.0 for j in others), default=1.0)
    return Check(not idle, 0.0 if idle else room, f"{len(idle)} active pairs have no multiplier of their own")


def negative_correlation(geometry: Geometry) -> tuple[fmpq, fmpq]:
    """min ⟨Z_it, Z_iτ⟩ within a sequence and ε = max (−⟨Z_it, Z_jτ⟩)_+ between sequences, exact."""
    gram, others = geometry.features.exact_gram, geometry.dataset.T - 1
    rows = gram.integers.tolist()
    within = min(x for j, row in enumerate(rows) for x in row[j - j % others : j - j % others + others])
    across = max(
        (-x for j, row in enumerate(rows) for k, x in enumerate(row) if j // others != k // others), default=0
    )
    unit = fmpq(2) ** gram.exponent
    return within * unit, max(fmpq(0), across * unit)


def _weakly_correlated(assumption: Assumption, instance: Instance, geometry: Geometry) -> Check:
    if instance.run.rule == "polyak":
        return Check(False, -1.0, "the length of Polyak's step is not bounded before training")
    scores = _equal_scores(assumption, instance, geometry)
    if not scores.holds:
        return scores
    within, epsilon = negative_correlation(geometry)
    if within < 0:
        return Check(False, float(within), "two pair features of one sequence are negatively correlated")
    if epsilon == 0:
        return Check(True, float(within))
    reason = f"negative correlation {float(epsilon):.3g} between sequences is too strong for the step size"
    precision = _FIRST_PRECISION
    while True:
        with flint.ctx.workprec(precision):
            room = correlation_room(instance, geometry, epsilon)
            if room >= 0 or room < 0 or precision >= _LAST_PRECISION:
                return Check(bool(room >= 0), float(room.mid()), reason)
        precision *= 2


def _zero_init(_: Assumption, instance: Instance, geometry: Geometry) -> Check:
    W_0 = instance.run.W_0
    return Check(W_0 is None or not W_0.any(), 0.0, "the run starts from W_0 ≠ 0")


def _schedule(assumption: Assumption, instance: Any, geometry: Any) -> Check:
    assert isinstance(assumption, Schedule)
    run = instance.run
    powers = [Fraction(int(p.p), int(p.q)) for p in (assumption.power_W, assumption.power_u)]
    reason = f"the run's powers are {run.power_W} and {run.power_u}"
    return Check([run.power_W, run.power_u] == powers, 0.0, reason)


def _rule(assumption: Assumption, instance: Instance, geometry: Geometry) -> Check:
    assert isinstance(assumption, Rule)
    return Check(instance.run.rule == assumption.rule, 0.0, f"the run's rule is {instance.run.rule}")


def _loss(assumption: Assumption, instance: Instance, geometry: Geometry) -> Check:
    assert isinstance(assumption, Loss)
    return Check(instance.run.loss == assumption.loss, 0.0, f"the run's loss is {instance.run.loss}")


#: Who decides each assumption on data or configuration; a system adds its own where it defines their predicates.
PREDICATES: dict[type[Assumption], Callable[[Any, Any, Any], Check]] = {
    Separable: _separable,
    EqualScores: _equal_scores,
    SelfAttention: _self_attention,
    NonNegativeCorrelation: _non_negative,
    NearOrthogonal: _near_orthogonal,
    DecoderSeparable: _decoder_separable,
    NondegenerateSupport: _nondegenerate,
    WeakNegativeCorrelation: _weakly_correlated,
    ZeroInit: _zero_init,
    Rule: _rule,
    Schedule: _schedule,
    Loss: _loss,
}


def certain_rows(relation: sp.core.relational.Relational, values: Values, rows: int) -> BoolArray:
    """Recorded steps at which a relation between observables certainly holds."""
    large = as_balls(compile_expression(relation.gts)(values), rows)
    small = as_balls(compile_expression(relation.lts)(values), rows)
    room = large - small
    return room.positive() if relation.rel_op in ("<", ">") else room.nonnegative()


def as_balls(value: Any, rows: int) -> BallArray:
    """A compiled value as one ball a recorded step."""
    ball = lift(value)
    if ball.mid.ndim:
        return ball
    return BallArray(np.full(rows, ball.mid), np.full(rows, ball.rad), np.full(rows, ball.exp2))
