"""Linear interpolation on trial: how instances are drawn, and their observables in float64 and in balls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from flint import arb
from hypothesis import strategies as st

from bounds import Assumption, InnerSteps, InterpolatesTo, NonexpansiveResolvent, Theorem, Throughout
from models.interpolation import (
    TARGETS,
    BlockGeometry,
    Blocks,
    InterpolationInstance,
    InterpolationRun,
    rational,
    restarted_interpolation,
    train_interpolation,
)
from models.interpolation_replay import InterpolationExact, InterpolationState, interpolation_replay
from models.trajectory import RECORD_LIMIT
from properties.balls import BallArray
from properties.hypotheses import PREDICATES, Check
from properties.judge import MAX_STEPS
from properties.observables import exact
from properties.plain import PlainExact, PlainFamily, PlainMeasurement
from properties.tools import ExactRun, Tools

FAMILIES = (
    PlainFamily("rotations", "a = 0: no block contracts by itself"),
    PlainFamily("monotone", "a > 0"),
    PlainFamily("cohypomonotone", "a < 0, with a resolvent that is still nonexpansive"),
    PlainFamily("boundary", "ρ = −η/2: the resolvent keeps lengths", hostile=True),
    PlainFamily("expansive", "ρ < −η/2: the resolvent makes some z longer", hostile=True),
)
#: Blocks over η, (ηa, ηb) of few binary digits, by family.
_PAIRS: dict[str, tuple[tuple[float, float], ...]] = {
    "rotations": ((0, 0.0625), (0, 0.25), (0, -0.5), (0, 0.75), (0, 1), (0, -2)),
    "monotone": ((0.0625, 0.25), (0.25, -1), (1, 0), (2, 2), (0.0625, 0), (0.25, 0.25)),
    "cohypomonotone": (
        (-0.015625, 0.25),
        (-0.03125, -0.5),
        (-0.015625, 0.5),
        (-0.125, 1),
        (-0.5, 1),
        (-0.5, -1.5),
    ),
    "boundary": ((-2, 0), (-2, 0), (-1, 1), (-1, -1)),
    "expansive": ((-0.5, 0.25), (-0.0625, 0), (-1.5, 0.5), (-0.25, -0.5)),
}
_ETAS = st.sampled_from((1.0, 0.5, 0.25, 0.0625, 4.0))
_WEIGHTS = (0.5, 0.25, 0.125, 0.75, 0.9375)
_SMALL_WEIGHTS = (0.125, 0.25, 0.0625)
#: Largest |ηb| with which descent-ascent is tried where it has to gain.
_SHORT = 0.5
_MOST_BLOCKS = 2


@dataclass(frozen=True)
class InterpolationSetting:
    """What theorems on interpolation that can share instances have in common.

    Attributes
    ----------
    target, inner
        Fixed by the theorem, or None where it holds for all.
    nonexpansive : bool
        Whether it asks for a resolvent that makes no z longer.
    contracting : bool
        Whether it asks for steps of descent-ascent that gain.
    """

    target: str | None
    inner: int | None
    nonexpansive: bool
    contracting: bool

    @classmethod
    def of(cls, theorem: Theorem) -> InterpolationSetting:
        """The setting of one theorem."""
        targets = [a.target for a in theorem.assumes if isinstance(a, InterpolatesTo)]
        counts = [a.count for a in theorem.assumes if isinstance(a, InnerSteps)]
        kinds = {type(a) for a in theorem.assumes}
        return cls(
            targets[0] if targets else None,
            counts[0] if counts else None,
            NonexpansiveResolvent in kinds,
            Throughout in kinds,
        )

    def families(self) -> tuple[PlainFamily, ...]:
        """Those whose members may meet the hypotheses."""
        barred = {"boundary", "expansive"} if self.contracting else {"expansive"} if self.nonexpansive else set()
        return tuple(family for family in FAMILIES if family.name not in barred)

    def instances(self, family: PlainFamily, steps: int) -> st.SearchStrategy[InterpolationInstance]:
        """Strategy for instances of this setting with operators of one family.

        Sums come closer to their bounds than float64 can tell, so runs end where balls may still replay them.
        """
        return _instances(self, family, min(steps, MAX_STEPS))


@st.composite
def _instances(
    draw: st.DrawFn, setting: InterpolationSetting, family: PlainFamily, steps: int
) -> InterpolationInstance:
    k = draw(st.integers(1, _MOST_BLOCKS))
    pairs = [p for p in _PAIRS[family.name] if not setting.contracting or abs(p[1]) <= _SHORT]
    scaled = np.array([draw(st.sampled_from(pairs)) for _ in range(k)], dtype=float)
    eta = draw(_ETAS)
    rng = np.random.default_rng(draw(st.integers(0, 255)))
    Z_0 = rng.integers(-4, 5, (k, 2)) / 4.0
    Z_0[0, 0] = draw(st.sampled_from((1.0, -3.0, 0.125)))
    mirror = rng.integers(1, 4, (k, 2)).astype(np.float64) if draw(st.booleans()) else None
    run = InterpolationRun(
        steps,
        setting.target or draw(st.sampled_from(TARGETS)),
        eta,
        draw(st.sampled_from(_SMALL_WEIGHTS if setting.contracting else _WEIGHTS)),
        Z_0,
        setting.inner or draw(st.sampled_from((1, 2, 5))),
    )
    return InterpolationInstance(Blocks(scaled / eta, mirror), run)


# ------------------------------------------------------------------------------------------- predicates
def _target(assumption: Assumption, instance: InterpolationInstance, geometry: BlockGeometry) -> Check:
    assert isinstance(assumption, InterpolatesTo)
    found = instance.run.target
    return Check(found == assumption.target, 0.0, f"a step goes towards the {found}'s w")


def _inner(assumption: Assumption, instance: InterpolationInstance, geometry: BlockGeometry) -> Check:
    assert isinstance(assumption, InnerSteps)
    found = instance.run.inner
    return Check(found == assumption.count, 0.0, f"there are {found} inner steps")


def _nonexpansive(_: Assumption, instance: InterpolationInstance, geometry: BlockGeometry) -> Check:
    room = 2 * geometry.comonotonicity + rational(instance.run.eta)
    return Check(room >= 0, float(arb(room)), "the resolvent makes some z longer (decided in rational numbers)")


PREDICATES |= {InterpolatesTo: _target, InnerSteps: _inner, NonexpansiveResolvent: _nonexpansive}


# ------------------------------------------------------------------------------------------ measurement
def _logarithmic(column: str, error: str = "state_error") -> Callable[[PlainMeasurement], BallArray]:
    """An observable of which the trajectory has the logarithm; −∞ stands for an exact 0."""

    def measured(m: PlainMeasurement) -> BallArray:
        values = m.trajectory.column(column)
        zero = np.isneginf(values)
        ball = BallArray.of_log(np.where(zero, 0.0, values), m.trajectory.column(error))
        return BallArray(np.where(zero, 0.0, ball.mid), np.where(zero, 0.0, ball.rad), ball.exp2)

    return measured


def _first(m: PlainMeasurement) -> BallArray:
    balls = m["solution_distance"]
    return BallArray(balls.mid[0], balls.rad[0], balls.exp2[0])


#: How each observable is measured in a float64 run.
FLOAT: dict[str, Callable[[PlainMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "eta": lambda m: exact(rational(m.instance.run.eta)),
    "interpolation_weight": lambda m: exact(rational(m.instance.run.weight)),
    "inner_steps": lambda m: BallArray.of(m.instance.run.inner),
    "comonotonicity": lambda m: exact(m.geometry.comonotonicity),
    "lipschitz": lambda m: exact(m.geometry.lipschitz_sq).sqrt(),
    "solution_distance": _logarithmic("log_distance"),
    "solution_distance_next": _logarithmic("log_distance_next"),
    "solution_distance_0": _first,
    "resolvent_residual": _logarithmic("log_residual"),
    "inner_error": _logarithmic("log_inner_error"),
    "operator_norm": _logarithmic("log_operator"),
    "operator_norm_ahead": _logarithmic("log_ahead"),
    "residual_square_sum": _logarithmic("log_residual_sum", "sum_error"),
    "inner_error_sum": _logarithmic("log_inner_sum", "sum_error"),
    "inner_error_square_sum": _logarithmic("log_inner_square_sum", "sum_error"),
    "operator_square_sum": _logarithmic("log_operator_sum", "sum_error"),
    "operator_ahead_square_sum": _logarithmic("log_ahead_sum", "sum_error"),
    "farthest": _logarithmic("log_farthest"),
}

#: How each observable of a state in balls is found.
BALLS: dict[str, Callable[[InterpolationState], arb]] = {
    "t": lambda s: arb(s.t),
    "eta": lambda s: s.exact.eta,
    "interpolation_weight": lambda s: s.exact.weight,
    "inner_steps": lambda s: arb(s.exact.inner),
    "comonotonicity": lambda s: s.exact.comonotonicity,
    "lipschitz": lambda s: s.exact.lipschitz,
    "solution_distance": lambda s: s.distance,
    "solution_distance_next": lambda s: s.distance_next,
    "solution_distance_0": lambda s: s.distance_0,
    "resolvent_residual": lambda s: s.residual,
    "inner_error": lambda s: s.inner_error,
    "operator_norm": lambda s: s.operator,
    "operator_norm_ahead": lambda s: s.ahead,
    "residual_square_sum": lambda s: s.sums.residual_square,
    "inner_error_sum": lambda s: s.sums.inner_error,
    "inner_error_square_sum": lambda s: s.sums.inner_error_square,
    "operator_square_sum": lambda s: s.sums.operator_square,
    "operator_ahead_square_sum": lambda s: s.sums.ahead_square,
    "farthest": lambda s: s.sums.farthest,
}


def measure_interpolation(
    instance: InterpolationInstance, geometry: BlockGeometry, dense: int = RECORD_LIMIT
) -> PlainMeasurement:
    """Run an instance in closed form, recording every step up to ``dense``, and measure it."""
    return PlainMeasurement(instance, geometry, train_interpolation(instance, geometry, dense), FLOAT)


def exact_interpolation(
    instance: InterpolationInstance, geometry: BlockGeometry, onset: int | None, needed: frozenset[str]
) -> ExactRun:
    """The run in balls at the working precision."""
    return ExactRun(PlainExact(BALLS), interpolation_replay(InterpolationExact(instance, geometry)))


TOOLS = Tools(
    InterpolationSetting.of,
    lambda instance: BlockGeometry(instance.dataset),
    measure_interpolation,
    exact_interpolation,
    restarted_interpolation,
    InterpolationInstance.from_json,
)
