"""Linear classification on trial: how instances are drawn, what is assumed of them, and how they are measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import arb
from hypothesis import strategies as st

from bounds import Loss, Rule, StepAtMost, Theorem, ZeroInit
from bounds.assumptions import Assumption
from bounds.linear import Averaged, Decay, LinearlySeparable, NormalisedBy, Summed, UnitBall, Unnormalised
from models.dataset import Array
from models.instance import LOSSES
from models.linear import (
    LINEAR_RULES,
    REDUCTIONS,
    LinearGeometry,
    LinearInstance,
    LinearRun,
    restarted_linear,
    train_linear,
)
from models.linear_replay import LinearExact, linear_replay
from models.trajectory import RECORD_LIMIT
from properties.compiled import compile_expression
from properties.hypotheses import PREDICATES, Check
from properties.linear_observables import BALLS, FLOAT, LinearMeasurement
from properties.linear_points import FAMILIES, points
from properties.plain import PlainExact, PlainFamily
from properties.tools import ExactRun, Tools

_POWERS = (Fraction(0), Fraction(1, 2), Fraction(1), Fraction(1, 3))
_SHORT = st.sampled_from((0, 1, 2, 4))
_ANY_STEP = st.sampled_from((0, 3, 6, -2, 1, 9))
_STARTS = st.sampled_from((None, None, 1.0, 8.0))
_NEAR_STARTS = st.sampled_from((None, None, 0.5))


@dataclass(frozen=True)
class LinearSetting:
    """What theorems on linear classification that can share instances have in common.

    Attributes
    ----------
    rule, loss, reduction, power
        Fixed by the theorems, or None where they hold for all.
    zero_init : bool
    limits : tuple of StepAtMost
        Bounds on η, which is drawn near them.
    lasting : bool
        Whether they are about what happens as t grows.
    """

    rule: str | None
    loss: str | None
    reduction: str | None
    power: Fraction | None
    zero_init: bool
    limits: tuple[StepAtMost, ...]
    lasting: bool

    @classmethod
    def of(cls, theorem: Theorem) -> LinearSetting:
        """The setting of one theorem."""
        rules = [a.rule for a in theorem.assumes if isinstance(a, Rule)]
        rules += [f"{a.by}-normalised" for a in theorem.assumes if isinstance(a, NormalisedBy)]
        rules += ["gd" for a in theorem.assumes if isinstance(a, Unnormalised)]
        losses = [a.loss for a in theorem.assumes if isinstance(a, Loss)]
        powers = [_fraction(a) for a in theorem.assumes if isinstance(a, Decay)]
        kinds = {type(a) for a in theorem.assumes}
        return cls(
            rules[0] if rules else None,
            losses[0] if losses else None,
            "sum" if Summed in kinds else "mean" if Averaged in kinds else None,
            powers[0] if powers else None,
            ZeroInit in kinds,
            tuple(a for a in theorem.assumes if isinstance(a, StepAtMost)),
            theorem.kind != "pointwise",
        )

    @property
    def rules(self) -> tuple[str, ...]:
        """Step rules to draw from; the normalised ones are defined for the exponential loss alone."""
        if self.rule is not None:
            return (self.rule,)
        return LINEAR_RULES if self.loss in (None, "exponential") else ("gd",)

    def families(self) -> tuple[PlainFamily, ...]:
        """All families; orders and limits need margins that are left behind in time."""
        return tuple(family for family in FAMILIES if not (self.lasting and family.name == "tiny-margin"))

    def instances(self, family: PlainFamily, steps: int) -> st.SearchStrategy[LinearInstance]:
        """Strategy for instances of this setting with points of one family."""
        return _instances(self, family, steps)


@st.composite
def _instances(draw: st.DrawFn, setting: LinearSetting, family: PlainFamily, steps: int) -> LinearInstance:
    dataset = draw(points(family.name))
    rule = setting.rule or draw(st.sampled_from(setting.rules))
    loss = setting.loss or ("exponential" if rule != "gd" else draw(st.sampled_from(LOSSES)))
    power = draw(st.sampled_from(_POWERS)) if setting.power is None else setting.power
    reduction = setting.reduction or draw(st.sampled_from(REDUCTIONS))
    if setting.limits:
        eta = _largest(setting.limits, LinearGeometry(dataset)) * 2.0 ** -draw(_SHORT)
    else:
        eta = 2.0 ** draw(_ANY_STEP)
    # GD stands still for as long as a start far out is saturated.
    size = None if setting.zero_init else draw(_NEAR_STARTS if setting.lasting else _STARTS)
    W_0: Array | None = None
    if size is not None:
        W_0 = size * np.rint(4 * np.random.default_rng(draw(st.integers(0, 255))).standard_normal(dataset.d)) / 4
    return LinearInstance(
        dataset, LinearRun(steps, rule, loss, eta=eta, power=power, reduction=reduction, W_0=W_0)
    )


def _largest(limits: tuple[StepAtMost, ...], geometry: LinearGeometry) -> float:
    """Nearly the largest η that meets limits in n and γ, of eight binary digits; 1 for any other limit."""
    known = {"n": arb(geometry.dataset.n), "gamma": arb(geometry.gamma)}
    if any(not {s.name for s in a.limit.free_symbols} <= known.keys() for a in limits):
        return 1.0
    least = min(float(arb(compile_expression(a.limit)(known)).mid()) for a in limits)
    if all(a.limit.is_number for a in limits):
        return least
    mantissa, exponent = math.frexp(least)  # below the limit, which float64 does not know exactly
    return math.ldexp(math.ceil(mantissa * 256.0) - 1, exponent - 8)


def _fraction(assumption: Decay) -> Fraction:
    return Fraction(str(assumption.power))


# ------------------------------------------------------------------------------------------- predicates
def _separable(_: Assumption, instance: LinearInstance, geometry: LinearGeometry) -> Check:
    if geometry.max_margin is None:
        return Check(False, -1.0, "the classes are not separable (exact certificate)")
    return Check(True, geometry.gamma)


def _unit_ball(_: Assumption, instance: LinearInstance, geometry: LinearGeometry) -> Check:
    room = 1 - geometry.exact_radius_sq
    return Check(room >= 0, float(room), f"the longest point has length {geometry.radius:g}")


def _normalised(assumption: Assumption, instance: LinearInstance, geometry: LinearGeometry) -> Check:
    rule, wanted = instance.run.rule, "gd"
    if isinstance(assumption, NormalisedBy):
        wanted = f"{assumption.by}-normalised"
    return Check(rule == wanted, 0.0, f"the run's rule is {rule}")


def _decay(assumption: Assumption, instance: LinearInstance, geometry: LinearGeometry) -> Check:
    assert isinstance(assumption, Decay)
    power = instance.run.power
    return Check(power == _fraction(assumption), 0.0, f"step sizes fall like t^(−{power})")


def _reduction(assumption: Assumption, instance: LinearInstance, geometry: LinearGeometry) -> Check:
    wanted = "sum" if isinstance(assumption, Summed) else "mean"
    return Check(instance.run.reduction == wanted, 0.0, f"the loss is a {instance.run.reduction}")


PREDICATES |= {
    LinearlySeparable: _separable,
    UnitBall: _unit_ball,
    NormalisedBy: _normalised,
    Unnormalised: _normalised,
    Decay: _decay,
    Summed: _reduction,
    Averaged: _reduction,
}


# ------------------------------------------------------------------------------------------ measurement
def measure_linear(
    instance: LinearInstance, geometry: LinearGeometry, dense: int = RECORD_LIMIT
) -> LinearMeasurement:
    """Train an instance, recording every step up to ``dense``, and measure it."""
    return LinearMeasurement(instance, geometry, train_linear(instance, geometry, dense), FLOAT)


def exact_linear(
    instance: LinearInstance, geometry: LinearGeometry, onset: int | None, needed: frozenset[str]
) -> ExactRun:
    """The run in balls at the working precision."""
    return ExactRun(PlainExact(BALLS), linear_replay(LinearExact(instance, geometry, onset)))


TOOLS = Tools(
    LinearSetting.of,
    lambda instance: LinearGeometry(instance.dataset),
    measure_linear,
    exact_linear,
    restarted_linear,
    LinearInstance.from_json,
)
