"""Two-layer networks with a fixed second layer, trained by loss-normalised gradient descent.

f(x) = (1/m) Σ_j a_j σ(⟨w_j, x⟩), a_j = ±1, with the smooth leaky activation

    σ(z) = αz + (ℓ − α) log(1 + e^{βz})/β,   α < σ' < ℓ,   0 < σ'' ≤ L = (ℓ − α)β/4.

Every row of weights stands for ``copies`` neurons of the same weights and sign, which stay equal in training; so
wide networks are small instances.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.dataset import Array
from models.instance import InvalidRun
from models.kernel import _log_add
from models.linear import LinearGeometry, Points
from models.records import RecordInstance, RecordRun
from models.trajectory import FINISHED, NON_FINITE_STEP, RECORD_LIMIT, Trajectory, recorded_steps


@dataclass(frozen=True, eq=False)
class NetworkRun(RecordRun):
    """How a network is trained.

    Parameters
    ----------
    steps : int
    eta : float
        w ← w − (η/F)∇F, η > 0.
    alpha, ell, beta : float
        The activation's slopes 0 < α ≤ ℓ and its sharpness β > 0.
    W_0 : array, shape (k, d)
        Initial weights of the distinct neurons.
    a : array, shape (k,)
        Their signs in the second layer.
    copies : int
        Neurons that each row stands for: m = k · copies.

    Raises
    ------
    InvalidRun
        For numbers out of range; the message names the field and the fix.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"W_0": ("k", "d"), "a": ("k",)}
    eta: float
    alpha: float
    ell: float
    beta: float
    W_0: Array
    a: Array
    copies: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.eta > 0.0, f"eta = {self.eta!r}: give a positive step size")
        rising = 0.0 < self.alpha <= self.ell
        self.require(rising, f"alpha = {self.alpha!r}: give a slope above 0 and at most ell = {self.ell!r}")
        self.require(self.beta > 0.0, f"beta = {self.beta!r}: give a positive sharpness")
        self.require(self.copies > 0, "copies = 0: every row stands for at least one neuron")
        self.require(bool((np.abs(self.a) == 1.0).all()), "a: signs must be +1 or -1")

    @property
    def width(self) -> int:
        """Number of neurons m."""
        return int(self.a.size) * self.copies

    @property
    def bend(self) -> float:
        """L = (ℓ − α)β/4, rounded."""
        return (self.ell - self.alpha) * self.beta / 4.0


class NetworkInstance(RecordInstance):
    """Points and a network's training run."""

    system = "two-layer"
    parts = (Points, NetworkRun)


#: Columns at each recorded step; ``log_`` a natural logarithm.
COLUMNS = (
    "norm",  # ‖w_t‖, all neurons together
    "margin_min",  # min_i y_i f(x_i)
    "log_leak_max",  # log max_i 1/(1 + e^{y_i f(x_i)})
    "log_loss",  # log F
    "slope",  # ‖∇F‖/F
    "bending",  # ⟨∇F, ∇²F ∇F⟩/(F ‖∇F‖²)
    "output_error",  # rounding of the outputs f(x_i) at given weights
    "drift",  # by how much rounding of the steps so far may have moved log F
)
_NORM, _MARGIN_MIN, _LOG_LEAK_MAX, _LOG_LOSS, _SLOPE, _BENDING, _OUTPUT_ERROR, _DRIFT = range(len(COLUMNS))
_EPS = 2.0**-52


def train_network(
    instance: NetworkInstance, geometry: LinearGeometry | None = None, dense: int = RECORD_LIMIT
) -> Trajectory:
    """Train in float64, recording every step up to ``dense``: a `Trajectory` with the columns of `COLUMNS`."""
    return _run(instance, geometry or LinearGeometry(instance.dataset), dense)[0]


def restarted_network(instance: NetworkInstance, step: int, geometry: LinearGeometry) -> NetworkInstance:
    """The run taken up at its float state ``step``, of no further steps.

    Raises
    ------
    InvalidRun
        If the run does not reach that step.
    """
    trajectory, W = _run(instance.with_run(steps=step), geometry, dense=1)
    if trajectory.status != FINISHED:
        raise InvalidRun(f"the run ends before step {step}: {trajectory.status}")
    return instance.with_run(steps=0, W_0=W)


def _run(instance: NetworkInstance, geometry: LinearGeometry, dense: int) -> tuple[Trajectory, Array]:
    data, run = instance.dataset, instance.run
    t = recorded_steps(run.steps, dense)
    table = np.full((t.size, len(COLUMNS)), math.nan)
    W = run.W_0.copy()
    shape = (run.eta, run.alpha, run.ell, run.beta)
    rows = _train(data.X, data.y, W, run.a, run.copies, shape, geometry.radius, t, table)
    table = table[:rows]
    table.setflags(write=False)
    return Trajectory(t[:rows], table, None, FINISHED if rows == t.size else NON_FINITE_STEP, COLUMNS), W


@njit(cache=True, error_model="numpy")
def _sigmoid(z: float) -> float:
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


@njit(cache=True, error_model="numpy")
def _train(
    X: Array,
    y: Array,
    W: Array,
    a: Array,
    copies: int,
    shape: tuple[float, float, float, float],
    radius: float,
    steps: NDArray[np.int64],
    table: Array,
) -> int:
    """Train in place and fill ``table`` at ``steps``; returns the number of rows that were filled."""
    (n, d), k = X.shape, W.shape[0]
    m = k * copies
    eta, alpha, ell, beta = shape
    bend = (ell - alpha) * beta / 4.0
    f, p = np.zeros(n), np.zeros(n)
    slope, second = np.zeros((n, k)), np.zeros((n, k))
    G, carry = np.zeros((k, d)), np.zeros((k, d))
    drift = 0.0
    row, last = 0, steps[-1]
    for t in range(last + 1):
        longest = reach = 0.0
        for j in range(k):
            longest = max(longest, math.sqrt((W[j] * W[j]).sum()))
        moved = _EPS * (d + 2) * radius * longest  # rounding of ⟨w_j, x_i⟩
        for i in range(n):
            total = size = 0.0
            for j in range(k):
                z = 0.0
                for c in range(d):
                    z += W[j, c] * X[i, c]
                value = alpha * z + (ell - alpha) * _log_add(0.0, beta * z) / beta
                total += a[j] * value
                size += abs(value)
                s = _sigmoid(beta * z)
                slope[i, j] = alpha + (ell - alpha) * s
                second[i, j] = (ell - alpha) * beta * s * (1.0 - s)
            f[i] = y[i] * total / k
            reach = max(reach, size / k)
        output_error = 4 * (ell * moved + _EPS * (k + 4) * (reach + (ell - alpha) / beta))
        least = f.min()
        mass = 0.0
        for i in range(n):
            p[i] = math.exp(least - f[i])
            mass += p[i]
        p /= mass
        log_loss = math.log(mass / n) - least
        square = 0.0
        for j in range(k):
            for c in range(d):
                total = 0.0
                for i in range(n):
                    total -= p[i] * y[i] * slope[i, j] * X[i, c]
                G[j, c] = a[j] * total / m
                square += copies * G[j, c] ** 2
        norm = math.sqrt(square)
        if not (math.isfinite(log_loss) and math.isfinite(norm)):
            break
        if t == steps[row]:
            bending = 0.0
            for i in range(n):
                first = turn = 0.0
                for j in range(k):
                    along = (X[i] * G[j]).sum()
                    first += a[j] * slope[i, j] * along / k
                    turn += a[j] * second[i, j] * along**2 / k
                bending += p[i] * (first**2 - y[i] * turn)
            table[row, _NORM] = math.sqrt(copies * (W * W).sum())
            table[row, _MARGIN_MIN] = least
            table[row, _LOG_LEAK_MAX] = -_log_add(0.0, least)
            table[row, _LOG_LOSS] = log_loss
            table[row, _SLOPE] = norm
            table[row, _BENDING] = bending / square
            table[row, _OUTPUT_ERROR] = output_error
            table[row, _DRIFT] = drift
            row += 1
        if t == last:
            break
        # Weights, slopes and the sum of a gradient's terms are rounded; a step of size ηh moves log F by ηh².
        h = ell * radius / math.sqrt(m)
        drift += eta * h**2 * (2 * output_error + bend * moved / alpha + _EPS * (n + d + 8))
        for j in range(k):
            for c in range(d):
                x = carry[j, c] - eta * G[j, c]
                s = W[j, c] + x
                carry[j, c] = (W[j, c] - s) + x if abs(W[j, c]) >= abs(x) else (x - s) + W[j, c]
                W[j, c] = s
    return row
