"""Attention trained towards targets outside the hulls of its tokens, by gradient descent in float64.

L(W) = (1/n) Σ ½‖x̂_i − b_i‖², x̂_i = X_iᵀs_i, s_i = softmax(X_iWz_i).  With p_i the point of the hull of sequence i
that is nearest to b_i and κ_it = ⟨b_i − p_i, p_i − x_it⟩ ≥ 0,

    ½‖x̂_i − b_i‖² − ½‖p_i − b_i‖² = Σ_t s_it κ_it + ½‖x̂_i − p_i‖²,

so that the loss gap is a sum of positive terms.  p_i, its weights and the κ are rational numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from flint import fmpq, fmpq_mat, fmpz_mat
from numba import njit
from numpy.typing import NDArray

from models.dataset import Array
from models.dyadic import DyadicMatrix, nearest_float
from models.maxmargin import InseparableError, solve
from models.minnorm import MinNormPoint, min_norm_point
from models.overparametrized import rational
from models.records import RecordDataset, RecordInstance, RecordRun
from models.trajectory import FINISHED, NON_FINITE_STEP, RECORD_LIMIT, Trajectory, recorded_steps


@dataclass(frozen=True, eq=False)
class Targets(RecordDataset):
    """Sequences of tokens with a query and a target each.

    Parameters
    ----------
    X : array, shape (n, T, d)
    query, target : array, shape (n, d)

    Raises
    ------
    InvalidDataset
        For fewer than two tokens.
    """

    unit: ClassVar[str] = "coordinates of tokens"
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "X": ("n", "T", "d"),
        "query": ("n", "d"),
        "target": ("n", "d"),
    }
    query: Array
    target: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.X.shape[1] >= 2, "X has one token a sequence: attention needs two to choose between")


@dataclass(frozen=True, eq=False)
class TargetRun(RecordRun):
    """Gradient descent with a constant step size.

    Parameters
    ----------
    steps : int
    eta : float
        η > 0.
    W_0 : array, shape (d, d), optional
        Zero if absent.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"W_0": ("d", "d")}
    eta: float
    W_0: Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.eta > 0.0, f"eta = {self.eta!r}: give a positive step size")


class TargetInstance(RecordInstance):
    """Sequences with targets, and a run."""

    system = "generalised-svm"
    parts = (Targets, TargetRun)


@dataclass(frozen=True)
class _Scaled:
    """A Gram matrix of whole numbers: that of features times a common factor."""

    exact_gram: DyadicMatrix
    gram: Array


class TargetGeometry:
    """What does not change during training, exactly.

    Attributes
    ----------
    nearest : list of MinNormPoint
        p_i − b_i in the hull of x_it − b_i: its weights are s*_i.
    kept : list of list of int
        O_i, the tokens of positive weight.
    slack : list of list of fmpq
        κ_it, one a token; 0 on O_i.
    """

    def __init__(self, dataset: Targets) -> None:
        self.dataset = dataset
        self.tokens = [rational(x) for x in dataset.X]
        self.queries = rational(dataset.query)
        self.nearest: list[MinNormPoint] = []
        for i, tokens in enumerate(self.tokens):
            T, d = tokens.nrows(), tokens.ncols()
            target = rational(dataset.target[i : i + 1])
            moved = fmpq_mat([[tokens[t, k] - target[0, k] for k in range(d)] for t in range(T)])
            whole, scale = _whole(moved * moved.transpose())
            point = min_norm_point(whole, [])
            self.nearest.append(
                MinNormPoint(point.weights, point.norm_sq / scale, [x / scale for x in point.products])
            )
        self.kept = [[t for t, w in enumerate(point.weights) if w > 0] for point in self.nearest]
        self.slack = [[x - point.norm_sq for x in point.products] for point in self.nearest]

    @property
    def slack_min(self) -> fmpq | None:
        """κ_min over the tokens that are not kept; None if all are."""
        left = [
            k for kept, row in zip(self.kept, self.slack, strict=True) for t, k in enumerate(row) if t not in kept
        ]
        return min(left, default=None)

    @cached_property
    def direction(self) -> Array | None:
        """W_O/‖W_O‖: least norm with ⟨(x_it − x_iτ)z_iᵀ, W⟩ = 0 in O_i and ≥ 1 across; None if there is none."""
        return self._max_margin(self.kept)

    @cached_property
    def single_direction(self) -> Array | None:
        """The same with the token of largest weight kept alone."""
        heaviest = [point.weights.index(max(point.weights)) for point in self.nearest]
        return self._max_margin([[t] for t in heaviest])

    def _max_margin(self, kept: list[list[int]]) -> Array | None:
        """Unit matrix of the problem with given kept sets, shape (d, d).

        Features across are projected off those within, exactly; the max-margin solution of what is left has the
        equal logits.  Equality features that depend on each other are dropped first.
        """
        within, across = [], []
        for i, tokens in enumerate(kept):
            first, *others = tokens
            within += [self._feature(i, first, t) for t in others]
            across += [self._feature(i, first, t) for t in range(len(self.nearest[i].weights)) if t not in tokens]
        if not across:
            return None
        F = fmpq_mat(across)
        E = _independent(within)
        if E is not None:
            F = F - F * E.transpose() * (E * E.transpose()).inv() * E
        whole, _ = _whole(F * F.transpose())
        gram = DyadicMatrix.of(whole, 0)
        try:
            weights = solve(_Scaled(gram, gram.floats())).multipliers
        except InseparableError:
            return None
        W = fmpq_mat(1, len(weights), weights) * F
        flat = np.array([nearest_float(x) for x in W.entries()])
        d = self.dataset.X.shape[2]
        return np.asarray(flat.reshape(d, d) / np.linalg.norm(flat))

    def _feature(self, i: int, t: int, tau: int) -> list[fmpq]:
        """(x_it − x_iτ)z_iᵀ, row by row."""
        X, d = self.tokens[i], self.queries.ncols()
        return [(X[t, k] - X[tau, k]) * self.queries[i, m] for k in range(d) for m in range(d)]


#: Columns at each recorded step; those of a direction are NaN while W = 0 or where there is none.
COLUMNS = ("norm", "margin_min", "log_leak_max", "log_loss_gap", "kept_gap", "single_gap", "ratio_error", "reach")


def train_targets(instance: TargetInstance, geometry: TargetGeometry, dense: int = RECORD_LIMIT) -> Trajectory:
    """Gradient descent, every step up to ``dense`` and log-spaced ones beyond: a `Trajectory` with `COLUMNS`."""
    t, table, _ = _run(instance, geometry, recorded_steps(instance.run.steps, dense))
    status = FINISHED if t.size and t[-1] == instance.run.steps else NON_FINITE_STEP
    return Trajectory(t, table, None, status, COLUMNS)


def restarted_targets(instance: TargetInstance, step: int, geometry: TargetGeometry) -> TargetInstance:
    """The run taken up at the float W of a step."""
    W = _run(instance, geometry, np.array([step], dtype=np.int64))[2]
    return instance.with_run(steps=0, W_0=W if W.any() else None)


def _run(
    instance: TargetInstance, geometry: TargetGeometry, steps: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Array, Array]:
    data, run = instance.dataset, instance.run
    n, T, d = data.X.shape
    mask, log_share = np.zeros((n, T), dtype=np.bool_), np.zeros((n, T))
    slack = np.array([[nearest_float(k) for k in row] for row in geometry.slack])
    point = np.empty((n, d))
    for i, (kept, nearest) in enumerate(zip(geometry.kept, geometry.nearest, strict=True)):
        mask[i, kept] = True
        weights = np.array([nearest_float(w) for w in nearest.weights])
        log_share[i, kept] = np.log(weights[kept])
        mixed = fmpq_mat(1, T, nearest.weights) * geometry.tokens[i]
        point[i] = [nearest_float(x) for x in mixed.entries()]
    missing = np.full((d, d), math.nan)
    table, W = np.full((steps.size, len(COLUMNS)), math.nan), np.zeros((d, d))
    if run.W_0 is not None:
        W += run.W_0
    rows = _descend(
        data.X,
        data.query,
        point,
        slack,
        mask,
        log_share,
        missing if geometry.direction is None else geometry.direction,
        missing if geometry.single_direction is None else geometry.single_direction,
        run.eta,
        steps,
        table,
        W,
    )
    table = table[:rows]
    table.setflags(write=False)
    return steps[:rows], table, W


@njit(cache=True, error_model="numpy")
def _direction_gap(W: Array, unit: Array, norm: float) -> float:
    """1 − cos, from what is orthogonal to the unit matrix where that is small."""
    along = float((W * unit).sum())
    if along <= 0.0:
        return 1.0 - along / norm
    return float(((W - along * unit) ** 2).sum()) / (norm * (norm + along))


@njit(cache=True, error_model="numpy")
def _descend(
    X: Array,
    query: Array,
    point: Array,
    slack: Array,
    mask: Array,
    log_share: Array,
    unit: Array,
    single: Array,
    eta: float,
    steps: NDArray[np.int64],
    table: Array,
    W: Array,
) -> int:
    """Fill ``table`` at the given steps, with W in place; the number of rows that float64 could hold."""
    n, T, d = X.shape
    logits, s, pull = np.empty(T), np.empty(T), np.empty(T)
    turned, offset, gradient = np.empty(d), np.empty(d), np.empty((d, d))
    step, row = 0, 0
    while True:
        gradient[:] = 0.0
        gap, margin, leak_max, ratio, reach = 0.0, math.inf, 0.0, 0.0, 0.0
        for i in range(n):
            _attend(X[i], query[i], point[i], W, logits, s, turned, offset)
            leak, low, high, inside, outside, mean = 0.0, math.inf, -math.inf, math.inf, -math.inf, 0.0
            for t in range(T):
                # ∂/∂logit_t = s_t⟨x_t − x̂, x̂ − b⟩, and ⟨x_t − p, p − b⟩ = κ_t: nothing is lost near p.
                pull[t] = slack[i, t]
                for k in range(d):
                    pull[t] += (X[i, t, k] - point[i, k]) * offset[k]
                mean += s[t] * pull[t]
                gap += s[t] * slack[i, t] / n
                reach = max(reach, abs(logits[t]))
                if mask[i, t]:
                    error = logits[t] - log_share[i, t]
                    low, high, inside = min(low, error), max(high, error), min(inside, logits[t])
                else:
                    leak += s[t]
                    outside = max(outside, logits[t])
            for k in range(d):
                gap += 0.5 * offset[k] ** 2 / n
            ratio, margin, leak_max = max(ratio, high - low), min(margin, inside - outside), max(leak_max, leak)
            for t in range(T):
                weight = s[t] * (pull[t] - mean) / n
                for k in range(d):
                    for m in range(d):
                        gradient[k, m] += weight * X[i, t, k] * query[i, m]
        if step == steps[row]:
            norm = math.sqrt((W**2).sum())
            if not math.isfinite(norm + gap):
                return row
            table[row, 0], table[row, 1], table[row, 2] = norm, margin, math.log(leak_max)
            table[row, 3], table[row, 6], table[row, 7] = math.log(gap), ratio, reach
            if norm > 0.0:
                table[row, 4], table[row, 5] = _direction_gap(W, unit, norm), _direction_gap(W, single, norm)
            row += 1
            if row == steps.size:
                return row
        W -= eta * gradient
        step += 1


@njit(cache=True, error_model="numpy")
def _attend(
    X: Array, query: Array, point: Array, W: Array, logits: Array, s: Array, turned: Array, offset: Array
) -> None:
    """Fill logits XWz, attention s, Wz and x̂ − p of one sequence."""
    T, d = X.shape
    for k in range(d):
        turned[k] = 0.0
        for m in range(d):
            turned[k] += W[k, m] * query[m]
    top, mass = -math.inf, 0.0
    for t in range(T):
        logits[t] = 0.0
        for k in range(d):
            logits[t] += X[t, k] * turned[k]
        top = max(top, logits[t])
    for t in range(T):
        s[t] = math.exp(logits[t] - top)
        mass += s[t]
    offset[:] = 0.0
    for t in range(T):
        s[t] /= mass
        for k in range(d):
            offset[k] += s[t] * (X[t, k] - point[k])


def _whole(matrix: fmpq_mat) -> tuple[fmpz_mat, fmpq]:
    """Whole numbers and the factor by which they are larger."""
    numerators, denominator = matrix.numer_denom()
    return numerators, fmpq(denominator)


def _independent(rows: list[list[fmpq]]) -> fmpq_mat | None:
    """A basis of the span of some rows, or None for {0}."""
    if not rows:
        return None
    reduced, rank = fmpq_mat(rows).rref()
    if rank == 0:
        return None
    table = reduced.tolist()
    return fmpq_mat(table[:rank])
