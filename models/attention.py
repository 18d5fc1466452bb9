"""Self-attention with a fixed decoder: geometry of an instance and its fused training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from flint import fmpq

from models import kernel
from models.dataset import Array, TokenDataset
from models.dyadic import nearest_float
from models.instance import LOSSES, RULES, Instance, InvalidRun
from models.maxmargin import InseparableError, MaxMargin, solve
from models.pairs import PairFeatures
from models.trajectory import (
    COLUMNS,
    FINISHED,
    NON_FINITE_STEP,
    PRECISION_LOST,
    RECORD_LIMIT,
    Trajectory,
    recorded_steps,
)

_STATUS = {
    kernel.FINISHED: FINISHED,
    kernel.NON_FINITE_STEP: NON_FINITE_STEP,
    kernel.PRECISION_LOST: PRECISION_LOST,
}


@dataclass(frozen=True, eq=False)
class Geometry:
    """What does not change during training: pair features, gaps and the max-margin solution.

    All of it is decided exactly and rounded once.
    """

    dataset: TokenDataset

    @cached_property
    def features(self) -> PairFeatures:
        """Pair features Z_it and their Gram matrix."""
        return PairFeatures(self.dataset)

    @cached_property
    def max_margin(self) -> MaxMargin | None:
        """The W-SVM's solution, or None when the data are (exactly) inseparable."""
        try:
            return solve(self.features)
        except InseparableError:
            return None

    @cached_property
    def gaps(self) -> Array:
        """Score gaps Δ_it of the non-optimal tokens, shape (n, T−1)."""
        return np.array([[nearest_float(gap) for gap in row] for row in self.dataset.exact_gaps])

    @cached_property
    def best_scores(self) -> Array:
        """Scores γ_{i,o_i} of the optimal tokens, shape (n,)."""
        scores = self.dataset.exact_scores
        return np.array([nearest_float(row[o]) for row, o in zip(scores, self.dataset.optimal, strict=True)])

    @cached_property
    def mean_scores(self) -> Array:
        """Mean score (1/T) Σ_t γ_it of each sequence, shape (n,)."""
        T = self.dataset.T
        return np.array([nearest_float(sum(row, fmpq(0)) / T) for row in self.dataset.exact_scores])


def train(instance: Instance, geometry: Geometry | None = None, dense: int = RECORD_LIMIT) -> Trajectory:
    """Run the fused float64 trainer on an instance.

    Every step up to ``dense`` is recorded, and log-spaced ones beyond.  The run never divides 0 by 0: at W = 0, at
    saturation on the optimal tokens and at saturation on wrong ones all quantities are formed from logarithms.

    Parameters
    ----------
    instance : Instance
    geometry : Geometry, optional
        The dataset's geometry if it is at hand.
    dense : int
        Step up to which every step is recorded.

    Returns
    -------
    Trajectory
        Columns that need W_mm are NaN when the data are inseparable.
    """
    return _run(instance, geometry or Geometry(instance.dataset), dense)[0]


def weights_at(instance: Instance, t: int, geometry: Geometry | None = None) -> Array:
    """W_t = W_0 + Σ_j α_j Z_j of the float64 run, as a d × d matrix.

    Raises
    ------
    InvalidRun
        If the run does not reach step ``t``.
    """
    geometry = geometry or Geometry(instance.dataset)
    trajectory, coefficients = _run(instance.with_run(steps=t), geometry)
    if trajectory.status != FINISHED:
        raise InvalidRun(f"the run ends before step {t}: {trajectory.status}")
    moved = geometry.features.combine(coefficients)
    W_0 = instance.run.W_0
    return moved if W_0 is None else moved + W_0


def _run(instance: Instance, geometry: Geometry, dense: int = RECORD_LIMIT) -> tuple[Trajectory, Array]:
    run, features = instance.run, geometry.features
    N = instance.dataset.N
    solution = geometry.max_margin
    if solution is None:
        gamma, direction, alignments = math.nan, np.full(N, math.nan), np.full(N, math.nan)
    else:
        gamma, direction, alignments = solution.gamma, solution.direction, solution.alignments
    m_0, norm_0_sq, alignment_0 = np.zeros(N), 0.0, 0.0 * gamma
    if run.W_0 is not None:
        exact = features.exact_margins(run.W_0)
        m_0 = np.array([nearest_float(m) for m in exact])
        norm_0_sq = nearest_float(exact_norm_sq(run.W_0))
        if solution is not None:
            alignment_0 = gamma * nearest_float(solution.inner_product(exact))
    t = recorded_steps(run.steps, dense)
    table, coefficients = np.full((t.size, len(COLUMNS)), math.nan), np.zeros(N)
    rows, onset, status = kernel.train(
        features.gram,
        geometry.gaps,
        geometry.best_scores,
        alignments,
        direction,
        gamma,
        features.radius,
        m_0,
        norm_0_sq,
        alignment_0,
        RULES.index(run.rule),
        LOSSES.index(run.loss),
        run.step_size,
        t,
        table,
        coefficients,
    )
    t, table = t[:rows], table[:rows]
    for name in ("Lambda_max", "log_step_length_max", "master_sum"):
        # Accumulations of an earlier stretch of positive coefficients that did not last are not this run's.
        table[t < onset, COLUMNS.index(name)] = math.nan
    table.setflags(write=False)
    return Trajectory(t, table, onset if onset >= 0 else None, _STATUS[status]), coefficients


def exact_norm_sq(W: Array) -> fmpq:
    """‖W‖_F² of a float matrix, exact."""
    return sum((fmpq(*float(x).as_integer_ratio()) ** 2 for x in W.ravel()), fmpq(0))
