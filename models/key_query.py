"""Keys and queries trained with vanishing regularisation: L(KQᵀ) minimised while (‖K‖² + ‖Q‖²)/2 = R grows.

Step t ≥ 1 of a run has R_t = tR_0 and is found by L-BFGS from the minimiser of the size before it; sizes double
from one recorded step to the next.  Step 0 is the start itself.  The objective does not depend on the size of
(K, Q), so that no constraint is left, and it is log(L − L*), which does not saturate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import flint
import numpy as np
from flint import arb, fmpq
from scipy.optimize import minimize

from models.attention import Geometry, exact_norm_sq
from models.dataset import Array, TokenDataset
from models.dyadic import DyadicMatrix
from models.instance import LOSSES
from models.key_query_reference import Reference, reference_of
from models.path import fill_pull, log_loss_gap, loss_gap_at
from models.records import RecordDataset, RecordInstance, RecordRun
from models.replay import PrecisionLost, largest, total
from models.trajectory import FINISHED, Trajectory

_PRECISION = 256
_OPTIONS: Any = {"maxiter": 400, "maxfun": 600, "ftol": 1e-13, "gtol": 1e-10, "maxcor": 20}


@dataclass(frozen=True, eq=False)
class Sequences(RecordDataset):
    """Sequences of tokens with queries, labels and a decoder: `models.dataset.TokenDataset` as a record.

    Parameters
    ----------
    X : array, shape (n, T, d)
    y : array, shape (n,)
        Labels, each +1 or −1.
    u : array, shape (d,)
    query : array, shape (n, d)

    Raises
    ------
    InvalidDataset
        As for `TokenDataset`.
    """

    unit: ClassVar[str] = "coordinates of tokens"
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "X": ("n", "T", "d"),
        "y": ("n",),
        "u": ("d",),
        "query": ("n", "d"),
    }
    y: Array
    u: Array
    query: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tokens  # noqa: B018 -- raises if these are no token data

    @cached_property
    def tokens(self) -> TokenDataset:
        """The same data with their scores, gaps and optimal tokens."""
        return TokenDataset(self.X, self.y, self.u, self.query)


@dataclass(frozen=True, eq=False)
class KeyQueryRun(RecordRun):
    """Sizes R_0, 2R_0, 4R_0, … up to ``steps`` times R_0 = (‖K_0‖² + ‖Q_0‖²)/2.

    Parameters
    ----------
    steps : int
    loss : {"logistic", "exponential"}
    K_0, Q_0 : array, shape (d, m)
        Where the first minimisation starts; not both 0.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"K_0": ("d", "m"), "Q_0": ("d", "m")}
    loss: str
    K_0: Array
    Q_0: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.loss in LOSSES, f"loss = {self.loss!r}: use one of {', '.join(LOSSES)}")
        self.require(bool(self.K_0.any() or self.Q_0.any()), "K_0 and Q_0 are 0: there is no size to grow from")


class KeyQueryInstance(RecordInstance):
    """Sequences and a run."""

    system = "key-query"
    parts = (Sequences, KeyQueryRun)


@dataclass(frozen=True, eq=False)
class KeyQueryGeometry(Geometry):
    """What does not change during training: that of attention, and the nuclear max-margin direction."""

    @cached_property
    def reference(self) -> Reference | None:
        """A direction near argmin ‖W‖_* and a proof of how near, or None if the data are inseparable."""
        return None if self.max_margin is None else reference_of(self.features)

    @cached_property
    def exact_best(self) -> list[fmpq]:
        """Scores of the optimal tokens."""
        scores = self.dataset.exact_scores
        return [row[o] for row, o in zip(scores, self.dataset.optimal, strict=True)]


class KeyQueryState:
    """One pair (K, Q) of float matrices, and what theorems say of it, in balls at the working precision."""

    def __init__(self, instance: KeyQueryInstance, geometry: KeyQueryGeometry, t: int, K: Array, Q: Array) -> None:
        self.geometry, self.loss, self.t = geometry, instance.run.loss, t
        W = DyadicMatrix(K) @ DyadicMatrix(Q).T
        self.margins: list[fmpq] = geometry.features.dyadic_margins(W)
        self.norm_sq: fmpq = sum((x * x for row in W.rationals() for x in row), fmpq(0))
        self.factor_norm: fmpq = (exact_norm_sq(K) + exact_norm_sq(Q)) / 2

    @property
    def margin_min(self) -> fmpq:
        """min m_it."""
        return min(self.margins)

    @property
    def norm(self) -> arb:
        """‖KQᵀ‖_F."""
        return arb(self.norm_sq).sqrt() if self.norm_sq else arb(0)

    def loss_gap(self, direction: list[fmpq] | None = None) -> arb:
        """L − L* at KQᵀ, or at the size R along a direction with given margins."""
        margins = self.margins if direction is None else [self.factor_norm * m for m in direction]
        gaps = self.geometry.dataset.exact_gaps
        return loss_gap_at([arb(m) for m in margins], gaps, self.geometry.exact_best, self.loss)

    def leak_max(self) -> arb:
        """max_i (1 − s_io)."""
        P = self.geometry.dataset.T - 1
        masses = [
            total([(-arb(m)).exp() for m in self.margins[j : j + P]]) for j in range(0, len(self.margins), P)
        ]
        return largest([mass / (1 + mass) for mass in masses])


#: Columns at each recorded step; those that have a logarithm are positive.
COLUMNS = (
    "norm",
    "margin_min",
    "log_leak_max",
    "factor_norm",
    "log_loss_gap",
    "log_reference_gap",
    "direction_gap",
    "nuclear_gap",
)


def train_key_query(instance: KeyQueryInstance, geometry: KeyQueryGeometry) -> Trajectory:
    """The path at t = 0, 1, 2, 4, …, each value of `COLUMNS` rounded once from a ball around it.

    What needs a solution is NaN where there is none.
    """
    rows, steps = [], []
    with flint.ctx.workprec(_PRECISION):
        for t, K, Q in _path(instance, geometry):
            steps.append(t)
            rows.append([float(x.mid()) for x in _row(KeyQueryState(instance, geometry, t, K, Q))])
    table = np.array(rows)
    table.setflags(write=False)
    return Trajectory(np.array(steps, dtype=np.int64), table, None, FINISHED, COLUMNS)


def restarted_key_query(instance: KeyQueryInstance, step: int, geometry: KeyQueryGeometry) -> KeyQueryInstance:
    """The factors of a recorded step as a start."""
    factors = {t: (K, Q) for t, K, Q in _path(instance.with_run(steps=step), geometry)}
    K, Q = factors[step]
    return instance.with_run(steps=0, K_0=K, Q_0=Q)


def replay_key_query(instance: KeyQueryInstance, geometry: KeyQueryGeometry) -> Iterator[KeyQueryState]:
    """The start in balls.  A later state is whatever a float minimisation finds, so it is judged as a start."""
    yield KeyQueryState(instance, geometry, 0, instance.run.K_0, instance.run.Q_0)
    raise PrecisionLost("step 1 is the outcome of a float minimisation: take it as a start")


def _row(state: KeyQueryState) -> list[arb]:
    solution, reference = state.geometry.max_margin, state.geometry.reference
    missing, norm, size = arb.nan(), state.norm, arb(state.factor_norm)
    ahead = cosine = gap = missing
    if solution is not None and norm > 0:
        cosine = direction_gap_of(state)
    if reference is not None:
        ahead = state.loss_gap(reference.margins).log()
        gap = 1 - arb(state.margin_min) / (reference.dual_norm() * size)
    return [
        norm,
        arb(state.margin_min),
        state.leak_max().log(),
        size,
        state.loss_gap().log(),
        ahead,
        cosine,
        gap,
    ]


def direction_gap_of(state: KeyQueryState) -> arb:
    """1 − cos(KQᵀ, W_mm); needs a solution and KQᵀ ≠ 0."""
    solution = state.geometry.max_margin
    assert solution is not None
    gamma = (1 / arb(solution.norm_sq)).sqrt()
    return 1 - gamma * solution.inner_product(state.margins) / state.norm


def _path(instance: KeyQueryInstance, geometry: KeyQueryGeometry) -> Iterator[tuple[int, Array, Array]]:
    """Step, K and Q for t = 0, 1, 2, 4, … ≤ steps."""
    run = instance.run
    K, Q = run.K_0, run.Q_0
    yield 0, K, Q
    size, t = (float((K**2).sum()) + float((Q**2).sum())) / 2, 1
    features = geometry.features.matrices()
    while t <= run.steps:
        K, Q = _minimise(features, geometry, LOSSES.index(run.loss), K, Q, t * size)
        yield t, K, Q
        t *= 2


def _minimise(features: Array, geometry: Geometry, loss: int, K: Array, Q: Array, R: float) -> tuple[Array, Array]:
    """Factors of size R with a small loss, by L-BFGS from (K, Q)."""
    shape, half = K.shape, K.size
    pull = np.empty(features.shape[0])

    def objective(x: Array) -> tuple[float, Array]:
        K, Q = x[:half].reshape(shape), x[half:].reshape(shape)
        scale = 2 * R / float(x @ x)
        m = scale * (features @ (K @ Q.T).ravel())
        value = log_loss_gap(m, geometry.gaps, geometry.best_scores, loss)
        # d log G/dm = −c/G, with a divisor that keeps c in range.
        divisor = fill_pull(m, geometry.gaps, geometry.best_scores, loss, pull)
        by_margin = -np.exp(divisor - value) / geometry.dataset.n * pull
        by_W = scale * (by_margin @ features).reshape(shape[0], shape[0])
        radial = float(by_margin @ m) * 2 / float(x @ x)
        gradient = np.concatenate([(by_W @ Q).ravel(), (by_W.T @ K).ravel()]) - radial * x
        return value / R, gradient / R

    start = np.concatenate([K.ravel(), Q.ravel()])
    start /= np.sqrt((start @ start) / 2)
    x = minimize(objective, start, jac=True, method="L-BFGS-B", options=_OPTIONS).x
    x = x * np.sqrt(2 * R / float(x @ x))
    return x[:half].reshape(shape), x[half:].reshape(shape)
