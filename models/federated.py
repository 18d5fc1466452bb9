"""Adaptive federated learning over the air on least squares, in float64.

A step receives g = mean h_n ∇f_n(w) + ξ and makes, coordinate by coordinate,

    Δ ← β₁Δ + (1 − β₁)g,   v ← v + |Δ|^α  or  β₂v + (1 − β₂)|Δ|^α,   w ← w − ηΔ/(v^{1/α} + ε).

`models.federated_replay` does the same in balls, with the same h and ξ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numba import njit

from models.dataset import Array
from models.federated_channel import Channel
from models.records import RecordDataset, RecordInstance, RecordRun
from models.trajectory import FINISHED, NON_FINITE_STEP, RECORD_LIMIT, Trajectory, recorded_steps

ADAGRAD, ADAM = RULES = ("adagrad", "adam")


@dataclass(frozen=True, eq=False)
class Clients(RecordDataset):
    """Client n has f_n(w) = (⟨x_n, w⟩ − y_n)²/2, and f is the mean.

    Parameters
    ----------
    X : array, shape (n, d)
        x_n, one a row.
    targets : array, shape (n,)
        y_n.
    """

    unit: ClassVar[str] = "client coordinates"
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"X": ("n", "d"), "targets": ("n",)}
    targets: Array


@dataclass(frozen=True, eq=False)
class FederatedRun(RecordRun):
    """How w moves.

    Parameters
    ----------
    steps : int
    rule : {"adagrad", "adam"}
    eta : float
        η > 0.
    w_0 : array, shape (d,)
    tail_index : float
        α in (1, 2].
    scale : float
        Scale of ξ.
    seed : int
        Of h and ξ.
    v_0 : float
        v at the start, positive.
    beta_1, beta_2 : float
        β₁ in [0, 1), β₂ in (0, 1); ``"adagrad"`` makes no use of β₂.
    epsilon : float
    repetitions : int
        Independent runs, which observables are means over.
    fading : int
        1 for Rayleigh fading, 0 for h = 1.

    Raises
    ------
    InvalidRun
        For numbers out of range; the message names the field and the fix.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"w_0": ("d",)}
    rule: str
    eta: float
    w_0: Array
    tail_index: float
    scale: float
    seed: int = 0
    v_0: float = 1.0
    beta_1: float = 0.0
    beta_2: float = 0.5
    epsilon: float = 0.0
    repetitions: int = 1
    fading: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.rule in RULES, f"rule = {self.rule!r}: give one of {', '.join(RULES)}")
        self.require(1.0 < self.tail_index <= 2.0, f"tail_index = {self.tail_index!r}: give α above 1, up to 2")
        for name in ("eta", "v_0"):
            self.require(getattr(self, name) > 0.0, f"{name} = {getattr(self, name)!r}: give a positive number")
        for name in ("scale", "epsilon"):
            self.require(getattr(self, name) >= 0.0, f"{name} = {getattr(self, name)!r}: give 0 or more")
        self.require(0.0 <= self.beta_1 < 1.0, f"beta_1 = {self.beta_1!r}: give a number from 0 to below 1")
        self.require(0.0 < self.beta_2 < 1.0, f"beta_2 = {self.beta_2!r}: give a number between 0 and 1")
        self.require(self.repetitions >= 1, "repetitions = 0: give at least one")
        self.require(self.fading <= 1, f"fading = {self.fading}: give 1 for Rayleigh fading, 0 for none")


class FederatedInstance(RecordInstance):
    """Clients and a run."""

    system = "federated"
    parts = (Clients, FederatedRun)

    @property
    def channel(self) -> Channel:
        """The run's fading and interference."""
        run, (n, d) = self.run, self.dataset.X.shape
        return Channel(run.seed, run.repetitions, n, d, run.tail_index, run.scale, run.fading == 1)


#: Columns at each recorded step: the sums so far, the sizes of what cancels in two of them, and what
#: `Trajectory` asks for.  ``log_leak_max`` is the least mean ‖∇f‖² so far over the one at the start: a run has
#: left its start once that has fallen.
COLUMNS = (
    "gradient_square_sum",
    "normalised_sum",
    "log_growth",
    "step_square_sum",
    "descent_sum",
    "descent_size",
    "objective_drop",
    "objective_size",
    "log_leak_max",
    "margin_min",
)
_SUMS = 8


def train_federated(instance: FederatedInstance, dense: int = RECORD_LIMIT) -> Trajectory:
    """The sums over a run, every step up to ``dense`` and log-spaced beyond: a `Trajectory` with `COLUMNS`."""
    run, dataset = instance.run, instance.dataset
    shape = (run.repetitions, dataset.X.shape[1])
    w, delta, v = np.tile(run.w_0, (shape[0], 1)), np.zeros(shape), np.full(shape, run.v_0)
    constants = (run.eta, run.tail_index, run.v_0, run.beta_1, run.beta_2, run.epsilon)
    table = np.zeros((run.steps + 1, _SUMS))
    first, start = 0, _objective(dataset.X, dataset.targets, run.w_0)
    for h, xi in instance.channel.chunks(run.steps):
        rows = table[first : first + len(h) + 1]
        _advance(dataset.X, dataset.targets, constants, run.rule == ADAGRAD, h, xi, w, delta, v, rows, start)
        first += len(h)
    table[0, 7] = 2.0 * start
    finite = np.isfinite(table).all(axis=1)
    count = run.steps + 1 if finite.all() else int(np.argmin(finite))
    t = recorded_steps(run.steps, dense)
    t = t[t < count]
    full = np.column_stack([table[t], _log_least(table[:count, 0])[t], np.zeros(t.size)])
    full.setflags(write=False)
    return Trajectory(t, full, None, FINISHED if finite.all() else NON_FINITE_STEP, COLUMNS)


def _log_least(sums: Array) -> Array:
    """Logarithm of the least term so far of a sum over its first term; 0 before there is one."""
    terms = np.diff(sums)
    with np.errstate(all="ignore"):
        least = np.log(np.minimum.accumulate(terms) / terms[:1])
    return np.concatenate([[0.0], np.where(np.isnan(least), 0.0, least)])


@njit(cache=True, error_model="numpy")
def _objective(X: Array, targets: Array, w: Array) -> float:
    value = 0.0
    for n in range(X.shape[0]):
        residual = -targets[n]
        for i in range(X.shape[1]):
            residual += X[n, i] * w[i]
        value += 0.5 * residual * residual / X.shape[0]
    return value


@njit(cache=True, error_model="numpy")
def _advance(
    X: Array,
    targets: Array,
    constants: Any,
    adding: bool,
    h: Array,
    xi: Array,
    w: Array,
    delta: Array,
    v: Array,
    table: Array,
    start: float,
) -> None:
    """Make the steps of one chunk in place; row k of ``table`` holds the sums before its step k."""
    eta, alpha, v_0, beta_1, beta_2, epsilon = constants
    clients, d = X.shape
    repetitions = w.shape[0]
    gradient, received = np.empty(d), np.empty(d)
    for k in range(h.shape[0]):
        now = table[k + 1]
        now[:6] = table[k, :6]
        now[2] = 0.0
        for r in range(repetitions):
            gradient[:] = 0.0
            received[:] = xi[k, r]
            for n in range(clients):
                residual = -targets[n]
                for i in range(d):
                    residual += X[n, i] * w[r, i]
                for i in range(d):
                    term = X[n, i] * residual / clients
                    gradient[i] += term
                    received[i] += h[k, r, n] * term
            for i in range(d):
                delta[r, i] = beta_1 * delta[r, i] + (1.0 - beta_1) * received[i]
                power = abs(delta[r, i]) ** alpha
                v[r, i] = v[r, i] + power if adding else beta_2 * v[r, i] + (1.0 - beta_2) * power
                # Where Δ = 0 there is no step, though an average v may have underflowed.
                step, share = 0.0, 0.0
                if power > 0.0:
                    step, share = eta * delta[r, i] / (v[r, i] ** (1.0 / alpha) + epsilon), power / v[r, i]
                w[r, i] -= step
                now[0] += gradient[i] * gradient[i] / repetitions
                now[1] += share / repetitions
                now[2] += math.log(v[r, i] / v_0) / repetitions
                now[3] += step * step / repetitions
                now[4] += gradient[i] * step / repetitions
                now[5] += abs(gradient[i] * step) / repetitions
            objective = _objective(X, targets, w[r])
            now[6] += (start - objective) / repetitions
            now[7] += (start + objective) / repetitions
