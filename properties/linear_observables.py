"""Observables of linear classification measured twice: in float64 with an error budget, and in Arb balls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from flint import arb, fmpq

from models.dataset import Array
from models.linear import LinearGeometry
from models.linear_replay import LinearBallState, squares
from properties.balls import BallArray, lift
from properties.observables import Undefined, exact
from properties.plain import PlainMeasurement

_EPS = 2.0**-52


@dataclass(frozen=True, eq=False)
class LinearMeasurement(PlainMeasurement):
    """One float64 run: rounding moves its steps relatively by ``step_error``, and w_t by ``vector_error``."""

    @cached_property
    def margin_rounding(self) -> Array:
        """Rounding of the margins ⟨z_i, w⟩ of a given w."""
        size = self.geometry.radius * self.trajectory.column("norm")
        return np.asarray(4 * _EPS * (self.instance.dataset.d + 2) * size)

    @cached_property
    def step_error(self) -> Array:
        """Largest relative error of a step so far: that of its weights, times what cancels in their sum."""
        data = self.instance.dataset
        weights = 2 * self.margin_rounding + 8 * _EPS * (1.0 + self.trajectory.column("margin_largest"))
        schedule = 8 + 4 * np.log(self.instance.run.start + self.trajectory.t + 2.0)
        each = self.trajectory.column("condition") * (weights + _EPS * (data.n + data.d + schedule))
        return np.asarray(np.fmax.accumulate(each)) if each.size else each

    @cached_property
    def vector_error(self) -> Array:
        """Absolute error of w_t as a vector: that of all steps so far."""
        rounding = 4 * _EPS * self.trajectory.column("norm")
        return np.asarray(2 * self.step_error * self.trajectory.column("path") + rounding)

    @cached_property
    def margin_error(self) -> Array:
        """Absolute error of the margins."""
        return np.asarray(self.margin_rounding + self.geometry.radius * self.vector_error)

    @cached_property
    def log_error(self) -> Array:
        """Absolute error of logarithms of losses and of q."""
        return np.asarray(2 * self.margin_error + 16 * _EPS * (2.0 + self.trajectory.column("margin_largest")))

    def linear(self, column: str, error: Array) -> BallArray:
        """A column with absolute errors."""
        return BallArray.of(self.trajectory.column(column), error)

    def logarithmic(self, column: str, error: Array) -> BallArray:
        """A column that holds logarithms, with absolute errors of these."""
        values = self.trajectory.column(column)
        return BallArray.of_log(values, error + 4 * _EPS * np.abs(values))


def _float_gamma(m: LinearMeasurement) -> BallArray:
    if m.geometry.max_margin is None:
        raise Undefined("γ does not exist: the classes are not separable")
    return BallArray.of(m.geometry.gamma, 4 * _EPS * m.geometry.gamma)


def _float_aligned(m: LinearMeasurement) -> BallArray:
    _float_gamma(m)
    return m.linear(
        "alignment", m.vector_error + 4 * _EPS * (m.instance.dataset.d + 4) * m.trajectory.column("norm")
    )


def _float_gap(m: LinearMeasurement) -> BallArray:
    """Turning by an angle θ moves 1 − cos by at most √(2 gap) θ + θ²."""
    _float_gamma(m)
    gap = m.trajectory.column("direction_gap")
    with np.errstate(divide="ignore", invalid="ignore"):
        turned = m.vector_error / m.trajectory.column("norm") + 4 * _EPS * (m.instance.dataset.d + 4)
    return BallArray.of(gap, np.sqrt(2 * np.abs(gap)) * turned + turned**2 + 8 * _EPS * np.abs(gap))


def _pull(m: LinearMeasurement, column: str) -> BallArray:
    data = m.instance.dataset
    return m.linear(column, 2 * m.geometry.radius * (m.log_error + _EPS * (data.n + data.d + 8)))


def _drop(m: LinearMeasurement) -> BallArray:
    reach = m.geometry.radius * m.trajectory.column("step_length")
    # Errors of q count as far as margins change, and those of the step as far as it goes.
    changed = np.minimum(reach * np.exp(np.minimum(reach, 2.0)), 4.0)
    return m.linear("psi_drop", 8 * (reach * m.step_error + m.log_error * changed))


def _step_size(m: LinearMeasurement) -> BallArray:
    run = m.instance.run
    if run.power == 0:
        return exact(number(run.eta))
    count = run.start + m.trajectory.t + 1.0
    size = run.eta * count ** -float(run.power)
    return BallArray.of(size, _EPS * (8 + 4 * np.log(count)) * size)


def _step_sum(m: LinearMeasurement) -> BallArray:
    steps = m.trajectory.t + m.instance.run.start + 1.0
    return m.linear("step_sum", _EPS * (8 + 4 * np.log(steps) + m.trajectory.t) * m.trajectory.column("step_sum"))


def _average(m: LinearMeasurement) -> BallArray:
    """Undefined at step 0, where there is nothing to take the mean of."""
    t = np.where(m.trajectory.t > 0, m.trajectory.t.astype(np.float64), np.nan)
    mean = m.trajectory.column("loss_sum") / t
    largest = np.fmax.accumulate(m.log_error) if m.log_error.size else m.log_error
    return BallArray.of(mean, mean * (np.expm1(2 * largest) + _EPS * (8 + m.trajectory.t)))


def _since(m: LinearMeasurement) -> BallArray:
    if m.trajectory.onset is None:
        raise Undefined("t0 does not exist: no loss of the run is at most 1/η")
    return BallArray.of(
        np.where(m.trajectory.t >= m.trajectory.onset, m.trajectory.t - m.trajectory.onset, np.nan)
    )


def _first(m: LinearMeasurement) -> BallArray:
    row = m.trajectory.onset_row
    if row is None or m.trajectory.t[row] != m.trajectory.onset:
        raise Undefined("t0 does not exist: no recorded loss of the run is at most 1/η")
    balls = m.logarithmic("log_exp_loss", m.log_error)
    return BallArray(balls.mid[row], balls.rad[row], balls.exp2[row])


def _at_zero(m: LinearMeasurement) -> BallArray:
    run = m.instance.run
    each = 1.0 if run.loss == "exponential" else math.log(2.0)
    size = each * m.instance.dataset.n if run.reduction == "sum" else each
    return BallArray.of(size, 0.0 if run.loss == "exponential" else 4 * _EPS * size)


def mean_length(geometry: LinearGeometry) -> arb:
    """‖(1/n) Σ z_i‖."""
    n = geometry.dataset.n
    columns = zip(*geometry.points.rationals(), strict=True)
    return squares([arb(sum(column, fmpq(0)) / n) for column in columns]).sqrt()


def number(value: float) -> fmpq:
    """A float as the rational that it is."""
    return fmpq(*value.as_integer_ratio())


#: How each observable is measured in a float64 run.
FLOAT: dict[str, Callable[[LinearMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "n": lambda m: BallArray.of(m.instance.dataset.n),
    "d": lambda m: BallArray.of(m.instance.dataset.d),
    "eta": lambda m: exact(number(m.instance.run.eta)),
    "gamma": _float_gamma,
    "norm": lambda m: m.linear(
        "norm", m.vector_error + 4 * _EPS * (m.instance.dataset.d + 2) * m.trajectory.column("norm")
    ),
    "alignment": _float_aligned,
    "direction_gap": _float_gap,
    "margin_min": lambda m: m.linear("margin_min", m.margin_error),
    "relative_margin": lambda m: m["margin_min"] / m["norm"],
    "psi": lambda m: m.linear("psi", m.log_error + 4 * _EPS * np.abs(m.trajectory.column("psi"))),
    "psi_drop": _drop,
    "pull": lambda m: _pull(m, "pull"),
    "pull_next": lambda m: _pull(m, "pull_next"),
    "mean_pull": lambda m: lift(mean_length(m.geometry)),
    "loss": lambda m: m.logarithmic("log_loss", m.log_error),
    "loss_next": lambda m: m.logarithmic("log_loss_next", 2 * m.log_error),
    "loss_0": _at_zero,
    "loss_average": _average,
    "step_size": _step_size,
    "step_sum": _step_sum,
    "steps_since": _since,
    "exp_loss_1": _first,
}


def _gamma(s: LinearBallState) -> arb:
    if s.exact.gamma is None:
        raise Undefined("γ does not exist: the classes are not separable")
    return s.exact.gamma


def _aligned(s: LinearBallState) -> arb:
    if s.alignment is None:
        raise Undefined("⟨w, û⟩ does not exist: the classes are not separable")
    return s.alignment


def _over_norm(s: LinearBallState, value: arb) -> arb:
    if not s.norm > 0:
        raise Undefined("directions are undefined while w = 0")
    return value / s.norm


def _loss_at_zero(s: LinearBallState) -> arb:
    points = s.exact.n if s.exact.instance.run.reduction == "sum" else 1
    return arb((arb(2).log() if s.exact.logistic else arb(1)) * points)


def _mean_loss(s: LinearBallState) -> arb:
    if s.t == 0:
        raise Undefined("there is no loss before step 0")
    return s.loss_sum / s.t


def _since_onset(s: LinearBallState) -> arb:
    if s.exact.onset is None or s.t < s.exact.onset:
        raise Undefined("t0 does not exist or is still to come")
    return arb(s.t - s.exact.onset)


def _first_loss(s: LinearBallState) -> arb:
    if s.exp_loss_1 is None:
        raise Undefined("t0 does not exist or is still to come")
    return s.exp_loss_1


#: How each observable of a state in balls is found.
BALLS: dict[str, Callable[[LinearBallState], arb]] = {
    "t": lambda s: arb(s.t),
    "n": lambda s: arb(s.exact.n),
    "d": lambda s: arb(s.exact.d),
    "eta": lambda s: s.exact.eta,
    "gamma": _gamma,
    "norm": lambda s: s.norm,
    "alignment": _aligned,
    "direction_gap": lambda s: _over_norm(s, s.norm - _aligned(s)),
    "margin_min": lambda s: s.margin_min,
    "relative_margin": lambda s: _over_norm(s, s.margin_min),
    "psi": lambda s: s.here.psi,
    "psi_drop": lambda s: s.here.psi - s.after.psi,
    "pull": lambda s: s.here.pull,
    "pull_next": lambda s: s.after.pull,
    "mean_pull": lambda s: mean_length(s.exact.geometry),
    "loss": lambda s: s.here.loss,
    "loss_next": lambda s: s.after.loss,
    "loss_0": _loss_at_zero,
    "loss_average": _mean_loss,
    "step_size": lambda s: s.step_size,
    "step_sum": lambda s: s.step_sum,
    "steps_since": _since_onset,
    "exp_loss_1": _first_loss,
}
