"""Univariate ReLU networks f(x) = Σ_j v_j max(w_j x + b_j, 0), and gradient descent on log Σ_i exp(−y_i f(x_i)).

With F = Σ_i exp(−y_i f(x_i)), R² = 1 + max x_i² and θ all weights, a step is

    θ ← θ − η/(R²‖θ‖²) · ∇F/F,

which follows the path of gradient flow on F.  As ‖∇f(x)‖² ≤ (1 + x²)‖θ‖², to first order no output moves by more
than η in a step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from flint import arb
from numba import njit

from models.dataset import Array
from models.instance import InvalidRun
from models.interpolation import rational
from models.records import RecordDataset, RecordInstance, RecordRun
from models.relu_regions_count import Graph, magnitude, rational_neurons
from models.trajectory import FINISHED, NON_FINITE_STEP, RECORD_LIMIT, Trajectory, recorded_steps


@dataclass(frozen=True, eq=False)
class LinePoints(RecordDataset):
    """Points on the line with labels.

    Parameters
    ----------
    X : array, shape (n,)
        In increasing order.
    y : array, shape (n,)
        ±1.

    Raises
    ------
    InvalidDataset
        If the points do not increase or a label is not ±1.
    """

    unit: ClassVar[str] = "points"
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"X": ("n",), "y": ("n",)}
    y: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(bool((np.diff(self.X) > 0.0).all()), "X does not increase: sort the points, each once")
        self.require(bool((np.abs(self.y) == 1.0).all()), "y: labels must be +1 or -1")

    @property
    def alternations(self) -> int:
        """r: how often the label changes from one point to the next."""
        return int((np.diff(self.y) != 0.0).sum())


@dataclass(frozen=True, eq=False)
class ReluRun(RecordRun):
    """How a network is trained.

    Parameters
    ----------
    steps : int
    eta : float
        η > 0.
    W_0 : array, shape (m, 3)
        w, b and v of each neuron at the start.
    tolerance : float
        ε > 0 of the effective regions: how far f may be from a line, over max |f(x_i)|.

    Raises
    ------
    InvalidRun
        For numbers out of range; the message names the field and the fix.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"W_0": ("m", "part")}
    eta: float
    W_0: Array
    tolerance: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.eta > 0.0, f"eta = {self.eta!r}: give a positive step size")
        self.require(self.tolerance > 0.0, f"tolerance = {self.tolerance!r}: give a positive one")
        self.require(self.W_0.shape[1] == 3, "W_0: give w, b and v of each neuron")
        self.require(bool(self.W_0.any()), "W_0 is 0: nothing moves; give some neuron a weight")


class ReluInstance(RecordInstance):
    """Points and a network's training run."""

    system = "relu-regions"
    parts = (LinePoints, ReluRun)


#: Columns at each recorded step.
COLUMNS = (
    "norm",  # ‖θ_t‖
    "margin_min",  # min_i y_i f(x_i)
    "log_leak_max",  # log max_i 1/(1 + e^{y_i f(x_i)})
    "output_max",  # max_i |f(x_i)|
    "regions",
    "effective_regions",
)


def train_relu(instance: ReluInstance, dense: int = RECORD_LIMIT) -> Trajectory:
    """Train in float64; what is recorded are exact values of the float network, rounded once."""
    run, W = instance.run, instance.run.W_0.copy()
    t, rows = recorded_steps(run.steps, dense), []
    for gap in np.diff(t, prepend=0):
        descend(instance.dataset.X, instance.dataset.y, W, run.eta, int(gap))
        row = _observed(instance.dataset, W, run.tolerance) if np.isfinite(W).all() else (math.inf,)
        if not np.isfinite(row).all():
            break
        rows.append(row)
    table = np.array(rows).reshape(-1, len(COLUMNS))
    table.setflags(write=False)
    return Trajectory(t[: len(rows)], table, None, FINISHED if len(rows) == t.size else NON_FINITE_STEP, COLUMNS)


def restarted_relu(instance: ReluInstance, step: int) -> ReluInstance:
    """The run taken up at its float state ``step``, of no further steps.

    Raises
    ------
    InvalidRun
        If the run does not reach that step.
    """
    W = instance.run.W_0.copy()
    descend(instance.dataset.X, instance.dataset.y, W, instance.run.eta, step)
    if not np.isfinite(W).all():
        raise InvalidRun(f"the run ends before step {step}: {NON_FINITE_STEP}")
    return instance.with_run(steps=0, W_0=W)


def _observed(data: LinePoints, W: Array, tolerance: float) -> tuple[float, ...]:
    graph, points = Graph(rational_neurons(W)), [rational(x) for x in data.X.tolist()]
    outputs = [graph(x) for x in points]
    signed = [int(label) * f for label, f in zip(data.y, outputs, strict=True)]
    margin, largest = min(signed), magnitude(outputs)
    effective = graph.effective_regions(points[0], points[-1], rational(tolerance) * largest)
    least = float(arb(margin).mid())
    return math.hypot(*W.ravel()), least, log_leak(least), float(arb(largest).mid()), graph.regions, effective


def log_leak(margin: float) -> float:
    """log 1/(1 + e^margin)."""
    return -float(np.logaddexp(0.0, margin))


@njit(cache=True, error_model="numpy")
def descend(X: Array, y: Array, W: Array, eta: float, steps: int) -> float:
    """Train in place for some steps; returns min_i y_i f(x_i) before the last of them.

    Parameters
    ----------
    X, y : arrays, shape (n,)
        X does not decrease.  A neuron is active on the points from some rank on (w ≥ 0), or before it (w < 0),
        which moves little in a step; so a step takes O(m + n) operations.
    W : array, shape (m, 3)
        Rows (w, b, v).
    """
    n, m = X.size, W.shape[0]
    R2 = 1.0 + max(X[0] ** 2, X[-1] ** 2)
    ranks = np.zeros(m, dtype=np.int64)
    slope, level = np.zeros(n + 1), np.zeros(n + 1)
    pull, pull_x = np.zeros(n + 1), np.zeros(n + 1)
    f = np.zeros(n)
    least = math.inf
    for _ in range(steps):
        slope[:] = 0.0
        level[:] = 0.0
        size = 0.0
        for j in range(m):
            w, b, v = W[j]
            size += w * w + b * b + v * v
            rank, facing = ranks[j], w >= 0.0
            while rank < n and (w * X[rank] + b > 0.0) != facing:
                rank += 1
            while rank > 0 and (w * X[rank - 1] + b > 0.0) == facing:
                rank -= 1
            ranks[j] = rank
            if facing:
                slope[rank] += v * w
                level[rank] += v * b
            else:
                slope[0] += v * w
                level[0] += v * b
                slope[rank] -= v * w
                level[rank] -= v * b
        rise = start = 0.0
        least = math.inf
        for i in range(n):
            rise += slope[i]
            start += level[i]
            f[i] = y[i] * (rise * X[i] + start)
            least = min(least, f[i])
        mass = 0.0
        for i in range(n):
            mass += math.exp(least - f[i])
        # Sums of p_i y_i and of p_i y_i x_i over the points before each rank.
        for i in range(n):
            p = y[i] * math.exp(least - f[i]) / mass
            pull[i + 1] = pull[i] + p
            pull_x[i + 1] = pull_x[i] + p * X[i]
        h = eta / (R2 * size)
        for j in range(m):
            w, b, v = W[j]
            g, gx = pull[ranks[j]], pull_x[ranks[j]]
            if w >= 0.0:
                g, gx = pull[n] - g, pull_x[n] - gx
            W[j, 0] = w + h * v * gx
            W[j, 1] = b + h * v * g
            W[j, 2] = v + h * (w * gx + b * g)
    return least
