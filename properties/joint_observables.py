"""Observables of joint training measured twice: in float64 with an error budget, and in Arb balls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from flint import fmpq

from models.dataset import Array
from models.joint import JointGeometry, JointInstance, JointRun
from models.joint_trajectory import JointTrajectory
from models.maxmargin import MaxMargin
from properties.balls import BallArray
from properties.observables import Undefined, exact

_EPS = 2.0**-52


@dataclass(frozen=True, eq=False)
class JointMeasurement:
    """The observables of one float64 joint run, each with an error budget.

    As for `properties.observables.Measurement` the budget has a backward view: the recorded W_t = Σ α Z and
    u_t = Σ β y x are exact states of a run whose steps were perturbed; at those states margins are evaluated up
    to ``margin_error``, scores up to ``score_error``, vectors up to ``vector_error`` and ``u_vector_error``.
    Coefficients formed at perturbed margins and scores are those of a gradient with slightly other weights: the
    proofs of M1 and J2 hold for any weights, with a Λ that is off by what ``lambda_error`` says and an attended
    feature that is off by ``attended_log_error``.  So what a step loses is its rounding only.  What cancels is
    measured by the trainer; β ≥ 0 makes Σ β‖x‖ the size of all scores.
    """

    instance: JointInstance
    geometry: JointGeometry
    trajectory: JointTrajectory

    # --------------------------------------------------------------------------- rounding of both blocks
    @cached_property
    def condition(self) -> Array:
        """Largest cancellation in ∇_W L so far."""
        return _running(self.trajectory.column("gradient_condition"))

    @cached_property
    def coefficient_condition(self) -> Array:
        """The same with the size of what each coefficient is a sum of."""
        return _running(self.trajectory.column("coefficient_condition"))

    @cached_property
    def u_condition(self) -> Array:
        """Largest cancellation in ∇_u L so far."""
        return _running(self.trajectory.column("u_gradient_condition"))

    @cached_property
    def score_error(self) -> Array:
        """Absolute error of the current scores and gaps."""
        tokens = self.instance.dataset.n * self.instance.dataset.T
        size = self.geometry.token_radius * self.trajectory.column("u_mass")
        return np.asarray(4 * _EPS * (math.sqrt(tokens) + 2) * size)

    @cached_property
    def margin_error(self) -> Array:
        """Absolute error of the margins."""
        reach = self.geometry.features.radius * self.trajectory.column("norm")
        size = 1.0 + reach + self.trajectory.column("margin_largest")
        return np.asarray(4 * _EPS * (math.sqrt(self.instance.dataset.N) + 2) * (1.0 + self.condition) * size)

    @cached_property
    def log_error(self) -> Array:
        """Absolute error of the outputs f_i and of logarithms of attention, loss and loss slope."""
        with np.errstate(under="ignore"):
            leak = np.exp(self.trajectory.column("log_leak_max"))
        # D moves with the attention off the optimal token: by leak · |Δ|, and |Δ| ≤ 2 max‖x‖ ‖u‖.
        deficit = leak * 2 * self.geometry.token_radius * self.trajectory.column("u_norm")
        return np.asarray(4 * self.margin_error * (1.0 + deficit) + 4 * self.score_error + 64 * _EPS)

    @cached_property
    def rounding(self) -> Array:
        """Relative rounding error of W's steps so far; of their length it is that of a squared sum."""
        return np.asarray(_EPS * (self.instance.dataset.N + 16) * (1.0 + self.condition**2))

    @cached_property
    def u_rounding(self) -> Array:
        """Relative rounding error of u's steps so far."""
        tokens = self.instance.dataset.n * self.instance.dataset.T
        return np.asarray(_EPS * (tokens + 16) * (1.0 + self.u_condition**2))

    @cached_property
    def gradient_log_error(self) -> Array:
        """Absolute error of log ‖∇_W L‖."""
        perturbed = self.log_error + self._gap_rounding
        return np.asarray(4 * self.rounding + 4 * self.coefficient_condition * perturbed)

    @property
    def _gap_rounding(self) -> float:
        """Rounding of a gap, relative to the size that ``coefficient_condition`` and ``pc_margin`` refer to."""
        tokens = self.instance.dataset.n * self.instance.dataset.T
        return 4 * _EPS * (math.sqrt(tokens) + 2)

    @cached_property
    def path(self) -> Array:
        """Length of W's path so far, bounded from above; a given W_0 counts with the size of its terms."""
        run = self.instance.run
        given = 0.0 if run.alpha_0 is None else self.geometry.features.radius * float(np.abs(run.alpha_0).sum())
        return np.asarray(given + _path(self.trajectory.t.astype(np.float64), run))

    @cached_property
    def u_path(self) -> Array:
        """The same for u."""
        return np.asarray(self.trajectory.column("u_step_sum") + self.trajectory.column("u_mass")[:1])

    @cached_property
    def vector_error(self) -> Array:
        """Absolute error of W_t as a vector, hence of ‖W_t‖ and ⟨W_t, Ŵ⟩: rounding over the path so far."""
        return np.asarray(2 * self.rounding * self.path)

    @cached_property
    def u_vector_error(self) -> Array:
        """Absolute error of u_t as a vector, hence of ‖u_t‖ and ⟨u_t, û⟩."""
        return np.asarray(2 * self.u_rounding * self.u_path)

    @cached_property
    def lambda_error(self) -> Array:
        """Absolute error of Λ_t: an excess Δ − D is as accurate as it is large among the terms of its sum."""
        margin = self.trajectory.column("pc_margin")
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(margin > 0.0, (self.log_error + self._gap_rounding) / margin, np.nan)
        return np.asarray(2 * (2 * self.log_error + relative))

    @cached_property
    def attended_log_error(self) -> Array:
        """Absolute error of log e_t: rounding and perturbed attention, times the cancellation in the sum."""
        error, reach = (self.trajectory.column(f"log_attended_{name}") for name in ("error", "reach"))
        with np.errstate(over="ignore", invalid="ignore"):
            cancelled = np.exp(reach - error)
            rounding = _EPS * (self.instance.dataset.T + 8)
            return np.asarray(cancelled * self.log_error + cancelled**2 * rounding + 4 * _EPS * np.abs(error))

    def __getitem__(self, name: str) -> BallArray:
        """The observable ``name`` at every recorded step (one ball for observables that do not change).

        Raises
        ------
        Undefined
            If the instance has no such quantity.
        """
        if name not in self._cache:
            if name not in _FLOAT:
                raise Undefined(f"{name} is not an observable of joint training")
            self._cache[name] = _FLOAT[name](self)
        return self._cache[name]

    @cached_property
    def _cache(self) -> dict[str, BallArray]:
        return {}

    def linear(self, column: str, error: Array) -> BallArray:
        """A column with absolute errors."""
        return BallArray.of(self.trajectory.column(column), error)

    def logarithmic(self, column: str, error: Array) -> BallArray:
        """A column that holds logarithms, with absolute errors of these; −∞ is an exact zero."""
        values = self.trajectory.column(column)
        zero = values == -np.inf
        finite = np.where(zero, 0.0, values)
        balls = BallArray.of_log(finite, error + 4 * _EPS * np.abs(finite))
        keep = np.where(zero, 0.0, 1.0)
        return BallArray(balls.mid * keep, balls.rad * keep, balls.exp2)


def _running(values: Array) -> Array:
    """Largest value so far, over those that exist."""
    return np.asarray(np.fmax.accumulate(values)) if values.size else values


def _path(t: Array, run: JointRun) -> Array:
    """Upper bound on Σ_{k<t} η_W (s+k+1)^{−p}: (s+1)^{−p} + ∫_{s+1}^{s+t} x^{−p} dx, times η_W."""
    p, first, last = float(run.power_W), run.start + 1.0, run.start + np.maximum(1.0, t)
    integral = np.log(last / first) if p == 1.0 else (last ** (1.0 - p) - first ** (1.0 - p)) / (1.0 - p)
    return np.asarray(run.eta_W * (first**-p + integral))


def _margin(solution: MaxMargin | None, name: str) -> BallArray:
    if solution is None:
        what = "tokens are not separable" if name == "γ" else "optimal tokens are not separable by a decoder"
        raise Undefined(f"{name} does not exist: the {what}")
    return BallArray.of(solution.gamma, 4 * _EPS * solution.gamma)


def _float_constant(value: float) -> BallArray:
    return BallArray.of(value, 4 * _EPS * abs(value))


def _at_onset(m: JointMeasurement, name: str) -> BallArray:
    """A quantity of W at t0; what later states are compared with carries the rounding up to them."""
    row = m.trajectory.onset_row
    if row is None or m.trajectory.t[row] != m.trajectory.onset:
        raise Undefined("t0 does not exist: positive coefficients do not hold to the end of the run")
    return BallArray.of(np.full(len(m.trajectory), m.trajectory.column(name)[row]), m.vector_error)


def _at_decoder_onset(m: JointMeasurement, name: str) -> BallArray:
    """A quantity of u at t1, likewise."""
    row = m.trajectory.decoder_onset_row
    if row is None or m.trajectory.t[row] != m.trajectory.decoder_onset:
        raise Undefined("t1 does not exist: μ − e_t > 0 does not hold to the end of the run")
    return BallArray.of(np.full(len(m.trajectory), m.trajectory.column(name)[row]), m.u_vector_error)


def _beyond(m: JointMeasurement, start: int | None, balls: BallArray) -> BallArray:
    """A sum where it has terms: at the onset itself it is empty, and what it bounds there is an equality."""
    empty = np.ones(len(m.trajectory), dtype=np.bool_) if start is None else m.trajectory.t <= start
    return BallArray(np.where(empty, np.nan, balls.mid), balls.rad, balls.exp2)


def _aligned(m: JointMeasurement) -> BallArray:
    _margin(m.geometry.max_margin, "γ")
    return m.linear("alignment", m.vector_error)


def _u_aligned(m: JointMeasurement) -> BallArray:
    _margin(m.geometry.decoder, "μ")
    return m.linear("u_alignment", m.u_vector_error)


def _gap(m: JointMeasurement, prefix: str, column: str, vector_error: Array) -> BallArray:
    """1 − cos from its column: turning by an angle θ moves it by at most √(2 gap) θ + θ²."""
    gap, rounding = m.trajectory.column(column), m.trajectory.column(f"{column}_error")
    norm = m.trajectory.column(f"{prefix}norm")
    with np.errstate(divide="ignore", invalid="ignore"):
        turned = vector_error / norm
    return BallArray.of(gap, np.sqrt(2 * np.abs(gap)) * turned + turned**2 + 4 * rounding)


def _u_gap(m: JointMeasurement) -> BallArray:
    _margin(m.geometry.decoder, "μ")
    return _gap(m, "u_", "u_gap", m.u_vector_error)


def _deviation(m: JointMeasurement) -> BallArray:
    """√(2 gap), also where the gap's ball reaches zero."""
    gap = m["u_direction_gap"]
    safe = gap.mid > 4 * gap.rad
    one = BallArray.of(np.ones(gap.mid.shape))
    root = (2 * BallArray(np.where(safe, gap.mid, 1.0), np.where(safe, gap.rad, 0.0), gap.exp2)).sqrt()
    top = (2 * BallArray(np.where(safe, 1.0, np.abs(gap.mid) + gap.rad), 0.0 * one.rad, gap.exp2)).sqrt()
    half = top / 2
    undefined = np.where(gap.defined(), 1.0, np.nan)
    return BallArray(
        np.where(safe, root.mid, half.mid) * undefined,
        np.where(safe, root.rad, half.mid * (1 + 8 * _EPS) + half.rad),
        np.where(safe, root.exp2, half.exp2),
    )


def _attended_error(m: JointMeasurement) -> BallArray:
    error, reach = (m.trajectory.column(f"log_attended_{name}") for name in ("error", "reach"))
    vanished = error == -np.inf
    some = m.logarithmic("log_attended_error", np.where(vanished, 0.0, m.attended_log_error))
    # Where the sum cancels to nothing, only its size is known.
    full = BallArray.of_log(reach, m.log_error) * BallArray.of(
        np.zeros(reach.shape), math.sqrt(_EPS * (m.instance.dataset.T + 8))
    )
    return BallArray(
        np.where(vanished, full.mid, some.mid),
        np.where(vanished, full.rad, some.rad),
        np.where(vanished, full.exp2, some.exp2),
    )


def _from_onset(m: JointMeasurement, error: Array, start: int | None) -> Array:
    """The largest error since an onset."""
    before = np.ones(error.size, dtype=np.bool_) if start is None else m.trajectory.t < start
    return _running(np.where(before, np.nan, error))


def _master(m: JointMeasurement) -> BallArray:
    """M1's sum: each term is known as well as ‖∇_W L‖, its coefficients, Λ and ‖W‖ are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = 4 * m.rounding + 2 * m.vector_error / m.trajectory.column("norm")
        relative += m.lambda_error / max(
            math.log(2.0), math.log(m.instance.dataset.N)
        )  # Λ ≥ log N; exact if N = 1
    error = _from_onset(m, relative, m.trajectory.onset)
    balls = m.linear("master_sum", np.abs(m.trajectory.column("master_sum")) * 4 * error)
    return _beyond(m, m.trajectory.onset, balls)


def _u_master(m: JointMeasurement) -> BallArray:
    """J2's sum: each term is known as well as ‖g^u‖, e, Λ^u and ‖u‖ are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = 4 * m.u_rounding + 2 * m.u_vector_error / m.trajectory.column("u_norm")
        relative += m.attended_log_error + 2 * m.log_error / max(math.log(2.0), math.log(m.instance.dataset.n))
    error = _from_onset(m, relative, m.trajectory.decoder_onset)
    with np.errstate(invalid="ignore"):  # the sum starts at 0, the error is infinite where e cancels to nothing
        balls = m.linear("u_master_sum", np.abs(m.trajectory.column("u_master_sum")) * 4 * error)
    return _beyond(m, m.trajectory.decoder_onset, balls)


def _growth(m: JointMeasurement) -> BallArray:
    """J3's sum: a_t = μ − e_t is known up to the errors of both."""
    error = m["attended_error"]
    with np.errstate(all="ignore"):
        absolute = (
            np.ldexp(error.rad, np.clip(error.exp2, -2000, 1000).astype(np.int32)) + 8 * _EPS * m.geometry.mu
        )
    absolute = _from_onset(m, absolute, m.trajectory.decoder_onset)
    path = m.trajectory.column("u_step_sum") / m.geometry.token_radius
    growth = m.trajectory.column("u_growth_sum")
    balls = m.linear("u_growth_sum", 2 * absolute * path + 16 * _EPS * _schedule(m) * np.abs(growth))
    return _beyond(m, m.trajectory.decoder_onset, balls)


def _step_sum(m: JointMeasurement) -> BallArray:
    """The decoder's path, and how far rounding may have led it astray."""
    return m.linear("u_step_sum", _EPS * _schedule(m) * m.trajectory.column("u_step_sum") + m.u_vector_error)


def _schedule(m: JointMeasurement) -> Array:
    """Roundings, in units of the last place, of a step length: those of its power grow with log t."""
    return np.asarray(8.0 + 4 * np.log(m.instance.run.start + m.trajectory.t + 2.0))


def _loss_0(m: JointMeasurement) -> BallArray:
    return BallArray.of(1.0) if m.instance.run.loss == "exponential" else _float_constant(math.log(2.0))


def number(value: float) -> fmpq:
    """A float as the rational that it is."""
    return fmpq(*value.as_integer_ratio())


#: How each observable is measured in a float64 run.
_FLOAT: dict[str, Callable[[JointMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "eta_W": lambda m: exact(number(m.instance.run.eta_W)),
    "eta_u": lambda m: exact(number(m.instance.run.eta_u)),
    "n": lambda m: BallArray.of(m.instance.dataset.n),
    "T": lambda m: BallArray.of(m.instance.dataset.T),
    "d": lambda m: BallArray.of(m.instance.dataset.d),
    "N": lambda m: BallArray.of(m.instance.dataset.N),
    "gamma": lambda m: _margin(m.geometry.max_margin, "γ"),
    "B": lambda m: _float_constant(m.geometry.features.radius),
    "mu": lambda m: _margin(m.geometry.decoder, "μ"),
    "token_radius": lambda m: _float_constant(m.geometry.token_radius),
    "norm": lambda m: m.linear("norm", m.vector_error),
    "alignment": _aligned,
    "direction_gap": lambda m: _gap(m, "", "direction_gap", m.vector_error),
    "norm_1": lambda m: _at_onset(m, "norm"),
    "alignment_1": lambda m: _at_onset(m, "alignment"),
    "grad_norm": lambda m: m.logarithmic("log_grad_norm", m.gradient_log_error),
    "s_min": lambda m: m.logarithmic("log_s_min", m.log_error),
    "leak_max": lambda m: m.logarithmic("log_leak_max", m.log_error),
    "margin_min": lambda m: m.linear("margin_min", m.margin_error),
    "margin_mean": lambda m: m.linear(
        "margin_mean", 2 * m.margin_error + 2 * m.lambda_error * m.trajectory.column("margin_largest")
    ),
    "step_length": lambda m: m.logarithmic("log_step_length", _EPS * _schedule(m)),
    "step_length_max": lambda m: m.logarithmic("log_step_length_max", _EPS * _schedule(m)),
    "Lambda": lambda m: m.linear("Lambda", m.lambda_error),
    "Lambda_max": lambda m: m.linear("Lambda_max", _from_onset(m, m.lambda_error, m.trajectory.onset)),
    "master_sum": _master,
    "u_norm": lambda m: m.linear("u_norm", m.u_vector_error),
    "u_alignment": _u_aligned,
    "u_direction_gap": _u_gap,
    "u_deviation": _deviation,
    "u_norm_1": lambda m: _at_decoder_onset(m, "u_norm"),
    "u_alignment_1": lambda m: _at_decoder_onset(m, "u_alignment"),
    "u_margin": lambda m: m.linear("u_margin", m.score_error),
    "attended_error": _attended_error,
    "attended_margin": lambda m: m["mu"] - m["attended_error"],
    "u_Lambda": lambda m: m.linear("u_Lambda", 4 * m.log_error),
    "u_master_sum": _u_master,
    "u_growth_sum": _growth,
    "u_step_sum": _step_sum,
    "loss": lambda m: m.logarithmic("log_loss", m.log_error),
    "loss_0": _loss_0,
}
