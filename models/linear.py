"""Linear classification of labelled points by gradient descent: data, runs, geometry, float64 training.

With z_i = y_i x_i and margins m_i = ⟨z_i, w⟩ a step is w ← w + λ_t Σ_i p_i z_i with p_i ∝ |ℓ'(m_i)|, Σ p_i = 1;
λ_t is, with step sizes η_t = η (start+t+1)^{−power} (docs/theory.md#linear),

* rule ``gd``: η_t Σ_j |ℓ'(m_j)|, divided by n where the loss is a mean;
* rule ``loss-normalised``: η_t (the exponential loss divides its own gradient);
* rule ``gradient-normalised``: η_t/‖Σ_i p_i z_i‖.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

import flint
import numpy as np
from flint import arb, fmpq

from models import linear_kernel as kernel
from models.dataset import Array
from models.dyadic import DyadicMatrix, nearest_float
from models.instance import LOSSES, InvalidRun
from models.maxmargin import InseparableError, MaxMargin, solve
from models.records import RecordDataset, RecordInstance, RecordRun
from models.trajectory import FINISHED, NON_FINITE_STEP, RECORD_LIMIT, Trajectory, recorded_steps

LINEAR_RULES = ("gd", "loss-normalised", "gradient-normalised")
REDUCTIONS = ("mean", "sum")
_MAX_POWER = 4
_PRECISION = 256  # bits of the balls from which the max-margin direction is rounded


@dataclass(frozen=True, eq=False)
class Points(RecordDataset):
    """Labelled points: ``X`` of shape (n, d) and labels ``y`` ±1 of shape (n,)."""

    unit: ClassVar[str] = "points"
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"X": ("n", "d"), "y": ("n",)}
    y: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(bool((np.abs(self.y) == 1.0).all()), "y: labels must be +1 or -1")
        self.require(self.X.shape[0] == self.y.size, f"y has {self.y.size} labels for {self.X.shape[0]} points")

    @property
    def n(self) -> int:
        """Number of points."""
        return int(self.X.shape[0])

    @property
    def d(self) -> int:
        """Their dimension."""
        return int(self.X.shape[1])

    @property
    def signed(self) -> Array:
        """z_i = y_i x_i, exact, shape (n, d)."""
        return np.asarray(self.X * self.y[:, None])


@dataclass(frozen=True, eq=False)
class LinearRun(RecordRun):
    """How points are classified.

    Parameters
    ----------
    steps : int
    rule : {"gd", "loss-normalised", "gradient-normalised"}
    loss : {"logistic", "exponential"}
        The normalised rules have the exponential loss.
    eta : float
        η > 0.
    power : Fraction
        Step t has size η (start+t+1)^{−power}, 0 ≤ power ≤ 4.
    reduction : {"mean", "sum"}
        Whether the loss is a mean or a sum over points.
    start : int
        Step of the schedule at which the run begins.
    W_0 : array, shape (d,), optional
        Initial weights; zero if absent.

    Raises
    ------
    InvalidRun
        For unknown names or numbers out of range; the message names the field and the fix.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"W_0": ("d",)}
    rule: str
    loss: str
    eta: float
    power: Fraction = Fraction(0)
    reduction: str = "mean"
    start: int = 0
    W_0: Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("rule", LINEAR_RULES), ("loss", LOSSES), ("reduction", REDUCTIONS)):
            value = getattr(self, name)
            self.require(value in known, f"unknown {name} {value!r}: use one of {', '.join(known)}")
        plain = self.rule == "gd" or self.loss == "exponential"
        self.require(plain, f"the rule {self.rule!r} is defined for the exponential loss: use it")
        self.require(self.eta > 0.0, f"eta = {self.eta!r}: give a positive step size")
        usable = 0 <= self.power <= _MAX_POWER and self.power.denominator <= 1000
        self.require(
            usable, f"power = {self.power}: give a power from 0 to {_MAX_POWER}, with a small denominator"
        )


class LinearInstance(RecordInstance):
    """Points and a run."""

    system = "linear"
    parts = (Points, LinearRun)


class LinearGeometry:
    """What does not change during training, decided exactly and rounded once.

    It is also the Gram matrix of the z_i, which is all that the max-margin solver looks at.
    """

    def __init__(self, dataset: Points) -> None:
        self.dataset = dataset
        self.points = DyadicMatrix(dataset.signed)
        self.exact_gram = self.points @ self.points.T
        self.gram = self.exact_gram.floats()

    @cached_property
    def max_margin(self) -> MaxMargin | None:
        """The max-margin solution, None when no hyperplane through 0 separates the classes."""
        try:
            return solve(self)
        except InseparableError:
            return None

    @cached_property
    def gamma(self) -> float:
        """γ, NaN when the classes are not separable."""
        return math.nan if self.max_margin is None else self.max_margin.gamma

    @cached_property
    def exact_radius_sq(self) -> fmpq:
        """max ‖x_i‖², exact."""
        gram = self.exact_gram
        return max(gram.integers[j, j] for j in range(gram.integers.nrows())) * fmpq(2) ** gram.exponent

    @cached_property
    def radius(self) -> float:
        """max ‖x_i‖."""
        return math.sqrt(nearest_float(self.exact_radius_sq))

    @cached_property
    def exact_solution(self) -> list[fmpq] | None:
        """The max-margin solution Σ λ_i z_i in coordinates, exact."""
        if self.max_margin is None:
            return None
        rows = zip(self.max_margin.multipliers, self.points.rationals(), strict=True)
        total = [fmpq(0)] * self.dataset.d
        for weight, row in rows:
            if weight != 0:
                total = [a + weight * x for a, x in zip(total, row, strict=True)]
        return total

    @cached_property
    def direction(self) -> Array:
        """The max-margin direction, of norm 1 and rounded once; NaN when there is none."""
        if self.exact_solution is None or self.max_margin is None:
            return np.full(self.dataset.d, math.nan)
        with flint.ctx.workprec(_PRECISION):
            gamma = (1 / arb(self.max_margin.norm_sq)).sqrt()
            return np.array([float((gamma * arb(x)).mid()) for x in self.exact_solution])


def train_linear(
    instance: LinearInstance, geometry: LinearGeometry | None = None, dense: int = RECORD_LIMIT
) -> Trajectory:
    """Run the fused float64 trainer on an instance, recording every step up to ``dense``.

    Returns
    -------
    Trajectory
        With the columns of `models.linear_kernel.COLUMNS`; those that need γ are NaN for inseparable data.
        ``onset`` is the first step with L(w) ≤ 1/η.
    """
    return _run(instance, geometry or LinearGeometry(instance.dataset), dense)[0]


def restarted_linear(instance: LinearInstance, step: int, geometry: LinearGeometry) -> LinearInstance:
    """The run taken up at its float state ``step``, of no further steps: an exact state, near the original run's.

    Raises
    ------
    InvalidRun
        If the run does not reach that step.
    """
    trajectory, w = _run(instance.with_run(steps=step), geometry, dense=1)
    if trajectory.status != FINISHED:
        raise InvalidRun(f"the run ends before step {step}: {trajectory.status}")
    return instance.with_run(steps=0, start=instance.run.start + step, W_0=w if w.any() else None)


def _run(instance: LinearInstance, geometry: LinearGeometry, dense: int) -> tuple[Trajectory, Array]:
    dataset, run = instance.dataset, instance.run
    t = recorded_steps(run.steps, dense)
    table = np.full((t.size, len(kernel.COLUMNS)), math.nan)
    w = np.zeros(dataset.d) if run.W_0 is None else run.W_0.copy()
    rows, onset = kernel.train(
        dataset.signed,
        geometry.direction,
        w,
        LINEAR_RULES.index(run.rule),
        LOSSES.index(run.loss),
        run.reduction == "sum",
        run.eta,
        float(run.power),
        run.start,
        t,
        table,
    )
    status = FINISHED if rows == t.size else NON_FINITE_STEP
    t, table = t[:rows], table[:rows]
    table.setflags(write=False)
    return Trajectory(t, table, onset if onset >= 0 else None, status, kernel.COLUMNS), w
