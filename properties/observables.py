"""Every observable measured twice: in float64 with an error budget, and in Arb balls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from flint import arb, fmpq

from models.attention import Geometry
from models.dataset import Array
from models.instance import Instance
from models.path import log_path_gaps, path_gap
from models.replay import BallState, ExactSetting, largest, total
from models.trajectory import Trajectory
from properties.apriori import (
    Undefined,
    attention_floor,
    global_lambda,
    least_slope,
    length_bound,
    nonnegative_lambda,
    run_number,
    slope_ratio,
)
from properties.balls import BallArray, lift
from properties.reading import Reading

__all__ = ["MEASURED", "ExactMeasurement", "Measurement", "Undefined", "exact", "smallest"]

_EPS = 2.0**-52


@dataclass(frozen=True, eq=False)
class Measurement:
    """The observables of one float64 run, each with an error budget.

    The budget has a backward view.  The recorded states are exact states of a run whose steps were perturbed
    relatively by ``step_error``; at those states each observable is evaluated with margins that are off by
    ``margin_error``.  Both grow with the cancellation that the trainer measured.
    """

    instance: Instance
    geometry: Geometry
    trajectory: Trajectory

    @cached_property
    def step_error(self) -> Array:
        """Relative error of the steps so far: rounding times the squared cancellation in ‖Σ c Z‖."""
        condition = np.maximum.accumulate(self.trajectory.column("gradient_condition"))
        return np.asarray(_EPS * (self.instance.dataset.N + 16) * (1.0 + condition**2))

    @cached_property
    def margin_error(self) -> Array:
        """Absolute error of the margins at each step."""
        condition = np.maximum.accumulate(self.trajectory.column("gradient_condition"))
        reach = self.geometry.features.radius * self.trajectory.column("norm")
        size = 1.0 + reach + self.trajectory.column("margin_largest")
        return np.asarray(4 * _EPS * (math.sqrt(self.instance.dataset.N) + 2) * (1.0 + condition) * size)

    @cached_property
    def log_error(self) -> Array:
        """Absolute error of logarithms of attention, deficit and loss quantities."""
        scores = np.abs(self.geometry.best_scores).max() + self.geometry.gaps.max()
        return np.asarray(4 * self.margin_error + 16 * _EPS * (4.0 + scores))

    @cached_property
    def norm_error(self) -> Array:
        """Relative error of ‖W‖ and ⟨W, Ŵ⟩/‖W‖."""
        condition = self.trajectory.column("state_condition")
        return np.asarray(_EPS * (self.instance.dataset.N + 16) * (1.0 + condition) + self.step_error)

    def __getitem__(self, name: str) -> BallArray:
        """The observable ``name`` at every recorded step (one ball for observables that do not change).

        Raises
        ------
        Undefined
            If the instance has no such quantity.
        """
        if name not in self._balls:
            read = self.reading(name)
            self._balls[name] = read.balls() if isinstance(read, Reading) else read
        return self._balls[name]

    def reading(self, name: str) -> Reading | BallArray:
        """The same before it is turned into balls, where it comes from a recorded column.  Raises `Undefined`."""
        if name not in self._readings:
            if name not in _FLOAT:
                raise Undefined(f"{name} is not an observable of attention with a fixed decoder")
            self._readings[name] = _FLOAT[name](self)
        return self._readings[name]

    @cached_property
    def _balls(self) -> dict[str, BallArray]:
        return {}

    @cached_property
    def _readings(self) -> dict[str, Reading | BallArray]:
        return {}

    def linear(self, column: str, error: Array) -> Reading:
        """A column with absolute errors; infinite entries (M1's sum once W passes through 0) are undefined."""
        values = self.trajectory.column(column)
        lost = np.isinf(values)
        if lost.any():
            values, error = np.where(lost, math.nan, values), np.where(lost, 0.0, error)
        return Reading(values, error)

    def logarithmic(self, column: str, error: Array | None = None) -> Reading:
        """A column that holds logarithms."""
        values = self.trajectory.column(column)
        rounding = 4 * _EPS * np.abs(values)
        return Reading(values, (self.log_error if error is None else error) + rounding, logarithmic=True)

    @cached_property
    def gradient_log_error(self) -> Array:
        """Absolute error of log‖∇L‖ and of quantities built on it."""
        condition = self.trajectory.column("gradient_condition")
        return np.asarray(self.step_error + self.log_error * (1.0 + condition))


def exact(value: fmpq) -> BallArray:
    """A rational constant."""
    return lift(value)


def _gamma(geometry: Geometry) -> float:
    if geometry.max_margin is None:
        raise Undefined("γ does not exist: the tokens are not separable")
    return geometry.max_margin.gamma


def _onset_value(measurement: Measurement, name: str) -> Reading:
    row = measurement.trajectory.onset_row
    if row is None or measurement.trajectory.t[row] != measurement.trajectory.onset:
        raise Undefined("t0 does not exist: positive coefficients do not hold to the end of the run")
    return _row(measurement, name, row)


def _at_start(measurement: Measurement, name: str) -> Reading:
    return _row(measurement, name, 0)


def _row(measurement: Measurement, name: str, row: int) -> Reading:
    read = measurement.reading(name)
    assert isinstance(read, Reading)
    return read.at(row)


def _scaled(value: arb) -> BallArray:
    """A positive ball that may leave the range of float64."""
    logarithm = value.log()
    mid = float(logarithm.mid())
    return BallArray.of_log(mid, float(logarithm.rad().upper()) + 4 * _EPS * abs(mid))


def _gap(m: Measurement) -> Reading:
    gap, rounding = m.trajectory.column("direction_gap"), m.trajectory.column("direction_gap_error")
    error = np.sqrt(2 * np.abs(gap)) * m.norm_error + m.norm_error**2 + 4 * rounding
    return Reading(gap, error)


def _alignment(m: Measurement) -> Reading:
    _gamma(m.geometry)
    return m.linear("alignment", m.norm_error * m.trajectory.column("norm"))


def _spread(m: Measurement) -> Array:
    return np.asarray(2 * m.margin_error + m.log_error * m.trajectory.column("margin_largest"))


def _growth_error(m: Measurement) -> Array:
    with np.errstate(over="ignore"):
        moved = np.exp(m.trajectory.column("log_step_length")) * m.geometry.features.radius
    return np.asarray(moved * m.trajectory.column("gradient_condition") * (m.step_error + m.log_error))


def _master_error(m: Measurement) -> Array:
    return np.asarray(np.abs(m.trajectory.column("master_sum")) * 8 * m.gradient_log_error)


def _lambda_error(m: Measurement) -> Array:
    return np.asarray(2 * m.log_error)


def _path_gap(m: Measurement) -> Reading:
    _gamma(m.geometry)
    norm = m.trajectory.column("norm")
    values = log_path_gaps(m.geometry, m.instance.run.loss, norm)
    assert m.geometry.max_margin is not None  # _gamma made sure
    reach = norm * m.geometry.max_margin.alignments.max()
    scores = np.abs(m.geometry.best_scores).max() + m.geometry.gaps.max()
    # The margins rŵ carry the norm's relative error; the loss gap's logarithm moves at most four times as much.
    error = 4 * (m.norm_error + 8 * _EPS) * reach + 16 * _EPS * (4.0 + scores)
    return Reading(values, error + 4 * _EPS * np.abs(values), logarithmic=True)


#: How each observable is measured in a float64 run.
_FLOAT: dict[str, Callable[[Measurement], Reading | BallArray]] = {
    "t": lambda m: Reading(m.trajectory.t.astype(np.float64), np.zeros(m.trajectory.t.size)),
    "eta": lambda m: exact(run_number(m.instance.run.eta, "eta")),
    "zeta": lambda m: exact(run_number(m.instance.run.zeta, "zeta")),
    "n": lambda m: BallArray.of(m.instance.dataset.n),
    "T": lambda m: BallArray.of(m.instance.dataset.T),
    "d": lambda m: BallArray.of(m.instance.dataset.d),
    "N": lambda m: BallArray.of(m.instance.dataset.N),
    "gamma": lambda m: BallArray.of(_gamma(m.geometry), 4 * _EPS * _gamma(m.geometry)),
    "B": lambda m: BallArray.of(m.geometry.features.radius, 4 * _EPS * m.geometry.features.radius),
    "Delta_max": lambda m: exact(max(max(row) for row in m.instance.dataset.exact_gaps)),
    "Delta_min": lambda m: exact(min(min(row) for row in m.instance.dataset.exact_gaps)),
    "score_min": lambda m: exact(min(max(row) for row in m.instance.dataset.exact_scores)),
    "Lambda_apriori": lambda m: lift(nonnegative_lambda(m.geometry, m.instance.run.loss)),
    "delta_bar": lambda m: lift(length_bound(m.instance, m.geometry)),
    "s_floor": lambda m: _scaled(attention_floor(m.instance, m.geometry)),
    "Lambda_global": lambda m: lift(global_lambda(m.instance, m.geometry)),
    "slope_min": lambda m: _scaled(least_slope(m.geometry, m.instance.run.loss)),
    "slope_ratio": lambda m: _scaled(slope_ratio(m.geometry, m.instance.run.loss)),
    "norm": lambda m: m.linear("norm", m.norm_error * m.trajectory.column("norm")),
    "alignment": _alignment,
    "direction_gap": _gap,
    "norm_0": lambda m: _at_start(m, "norm"),
    "alignment_0": lambda m: _at_start(m, "alignment"),
    "norm_1": lambda m: _onset_value(m, "norm"),
    "alignment_1": lambda m: _onset_value(m, "alignment"),
    "loss_gap_0": lambda m: _at_start(m, "loss_gap"),
    "loss_gap": lambda m: m.logarithmic("log_loss_gap"),
    "loss_gap_next": lambda m: m.logarithmic("log_loss_gap_next"),
    "grad_norm": lambda m: m.logarithmic("log_grad_norm", m.gradient_log_error),
    "coefficient_sum": lambda m: m.logarithmic("log_coefficient_sum"),
    "Gamma": lambda m: m.logarithmic("log_Gamma"),
    "descent_cosine": lambda m: m.linear("descent_cosine", m.gradient_log_error),
    "s_min": lambda m: m.logarithmic("log_s_min"),
    "s_min_run": lambda m: m.logarithmic("log_s_min_run"),
    "leak_max": lambda m: m.logarithmic("log_leak_max"),
    "leak_min": lambda m: m.logarithmic("log_leak_min"),
    "leak_slope_max": lambda m: m.logarithmic("log_leak_slope_max"),
    "margin_min": lambda m: m.linear("margin_min", m.margin_error),
    "margin_mean": lambda m: m.linear("margin_mean", _spread(m)),
    "margin_growth_min": lambda m: m.linear("margin_growth_min", _growth_error(m)),
    "step_length": lambda m: m.logarithmic("log_step_length", m.gradient_log_error),
    "step_length_max": lambda m: m.logarithmic("log_step_length_max", m.gradient_log_error),
    "Lambda": lambda m: m.linear("Lambda", _lambda_error(m)),
    "Lambda_max": lambda m: m.linear("Lambda_max", _lambda_error(m)),
    "master_sum": lambda m: m.linear("master_sum", _master_error(m)),
    "rho": lambda m: m.logarithmic("log_rho"),
    "rho_max": lambda m: m.logarithmic("log_rho_max"),
    "path_loss_gap": _path_gap,
}
#: Names of the observables of attention with a fixed decoder; which of them exist depends on rule and data.
MEASURED = frozenset(_FLOAT)


class ExactMeasurement:
    """The observables of one run in Arb balls, as far as the run has been replayed.

    Feed it the states in order; ``measurement[name]`` is then the observable at the latest one.

    Parameters
    ----------
    onset : int or None
        t0, from which the accumulated observables start.
    needed : set of str
        Observables that will be asked for; only their histories are kept.
    """

    def __init__(self, setting: ExactSetting, onset: int | None, needed: frozenset[str]) -> None:
        self.setting = setting
        self.onset = onset
        self.needed = needed
        self.state: BallState | None = None
        self.next_loss_gap: arb | None = None
        self._first: dict[str, arb] = {}
        self._largest: dict[str, arb] = {}
        self._sum: arb = arb(0)

    def advance(self, state: BallState) -> None:
        """Take the next state of the run."""
        self.state = state
        if state.t == 0:
            self._keep("norm_0", lambda: state.norm)
            self._keep("alignment_0", lambda: _aligned(state))
            self._keep("loss_gap_0", lambda: state.loss_gap)
        self._raise("rho_max", state.rho)
        self._raise("s_min_run", lambda: -smallest(state.s))
        if self.onset is not None and state.t >= self.onset:
            if state.t == self.onset:
                self._keep("norm_1", lambda: state.norm)
                self._keep("alignment_1", lambda: _aligned(state))
            self._raise("Lambda_max", state.Lambda)
            self._raise("step_length_max", lambda: state.step_length)

    def leave(self) -> None:
        """Account for the step away from the latest state."""
        state = self.state
        if state is not None and self.onset is not None and state.t >= self.onset and "master_sum" in self.needed:
            self._sum += state.master_term()

    def _keep(self, name: str, value: Callable[[], arb]) -> None:
        if name in self.needed:
            self._first[name] = value()

    def _raise(self, name: str, value: Callable[[], arb]) -> None:
        if name in self.needed:
            new = value()
            self._largest[name] = self._largest[name].max(new) if name in self._largest else new

    def __getitem__(self, name: str) -> arb:
        """The observable as a ball.  Raises `Undefined`."""
        if name in self._first:
            return self._first[name]
        if name in self._largest:
            return -self._largest[name] if name == "s_min_run" else self._largest[name]
        state = self.state
        if state is None:
            raise Undefined("no state has been replayed yet")
        if name == "loss_gap_next" and self.next_loss_gap is not None:
            return self.next_loss_gap
        if name == "master_sum" and self.onset is not None and state.t >= self.onset:
            return self._sum
        if name in _CONSTANT:
            return _CONSTANT[name](self.setting)
        if name in _STATE:
            return _STATE[name](state)
        if name == "path_loss_gap":
            _exact_gamma(self.setting)
            return path_gap(self.setting, state.norm)
        raise Undefined(f"{name} is not defined at step {state.t} of this run")


def smallest(values: list[arb]) -> arb:
    """Ball around the minimum."""
    return -largest([-value for value in values])


def _aligned(state: BallState) -> arb:
    if state.alignment is None:
        raise Undefined("⟨W, Ŵ⟩ does not exist: the tokens are not separable")
    return state.alignment


def _exact_gamma(setting: ExactSetting) -> arb:
    solution = setting.geometry.max_margin
    if solution is None:
        raise Undefined("γ does not exist: the tokens are not separable")
    return (1 / arb(solution.norm_sq)).sqrt()


def _exact_gap(state: BallState) -> arb:
    if not state.norm > 0:
        raise Undefined("the direction gap is undefined while W = 0")
    return (state.norm - _aligned(state)) / state.norm


def _exact_cosine(state: BallState) -> arb:
    if state.descent is None:
        raise Undefined("Ŵ does not exist: the tokens are not separable")
    return state.descent / state.grad_norm


def _mean_margin(state: BallState) -> arb:
    return total([c * m for c, m in zip(state.c, state.m, strict=True)]) / total(state.c)


#: Constants of an instance, in balls.
_CONSTANT: dict[str, Callable[[ExactSetting], arb]] = {
    "eta": lambda s: arb(run_number(s.instance.run.eta, "eta")),
    "zeta": lambda s: arb(run_number(s.instance.run.zeta, "zeta")),
    "n": lambda s: arb(s.instance.dataset.n),
    "T": lambda s: arb(s.instance.dataset.T),
    "d": lambda s: arb(s.instance.dataset.d),
    "N": lambda s: arb(s.instance.dataset.N),
    "gamma": _exact_gamma,
    "B": lambda s: arb(s.geometry.features.exact_radius_sq).sqrt(),
    "Delta_max": lambda s: arb(max(max(row) for row in s.gaps)),
    "Delta_min": lambda s: arb(min(min(row) for row in s.gaps)),
    "score_min": lambda s: arb(min(s.best)),
    "Lambda_apriori": lambda s: nonnegative_lambda(s.geometry, s.instance.run.loss),
    "delta_bar": lambda s: length_bound(s.instance, s.geometry),
    "s_floor": lambda s: attention_floor(s.instance, s.geometry),
    "Lambda_global": lambda s: global_lambda(s.instance, s.geometry),
    "slope_min": lambda s: least_slope(s.geometry, s.instance.run.loss),
    "slope_ratio": lambda s: slope_ratio(s.geometry, s.instance.run.loss),
}

#: Observables of one state, in balls.
_STATE: dict[str, Callable[[BallState], arb]] = {
    "t": lambda s: arb(s.t),
    "norm": lambda s: s.norm,
    "alignment": _aligned,
    "direction_gap": _exact_gap,
    "loss_gap": lambda s: s.loss_gap,
    "grad_norm": lambda s: s.grad_norm,
    "coefficient_sum": lambda s: total(s.c),
    "Gamma": lambda s: total([a * D for a, D in zip(s.slope, s.D, strict=True)]) / len(s.D),
    "descent_cosine": _exact_cosine,
    "s_min": lambda s: smallest(s.s),
    "leak_max": lambda s: largest(s.leak),
    "leak_min": lambda s: smallest(s.leak),
    "leak_slope_max": lambda s: largest([x * w for x, w in zip(s.leak, s.optimal_slope, strict=True)]),
    "margin_min": lambda s: smallest(s.m),
    "margin_mean": _mean_margin,
    "margin_growth_min": lambda s: s.growth * smallest(s.pull),
    "step_length": lambda s: s.step_length,
    "Lambda": lambda s: s.Lambda(),
    "rho": lambda s: s.rho(),
}
