"""Minimising F(A, x) = ‖b − Ax‖² + λ‖x‖_1 + μ‖A‖² in turn over x and A, with and without cogradient corrections.

A step, with L_x = 2‖A‖² and the soft threshold S:

    u = (η/L_x) v,   v = (L_x/η) x + 2Aᵀ(b − Ax),   x⁺ = (η/L_x) S(v, λ),
    A⁺ = A − (η/L_A)(−2(b − Ax⁺)x⁺ᵀ + 2μA),   L_A = 2(‖x⁺‖² + μ).

Coordinate j is asynchronous if x⁺_j = 0, while its column has at least half of the mean squared length.  There
``"coupled"`` puts u_j for x⁺_j in the factor x⁺ᵀ and in L_A, so that the column goes on learning; ``"projected"``
puts x_j for x⁺_j altogether.  If A = 0, then v = 0 and x⁺ = 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from models.dataset import Array
from models.instance import InvalidRun
from models.records import RecordDataset, RecordInstance, RecordRun
from models.trajectory import FINISHED, NON_FINITE_STEP, RECORD_LIMIT, Trajectory, recorded_steps

METHODS = ("alternating", "coupled", "projected")
#: A float run ends where a step is this short, squared and over the objective: it is made of rounding soon after.
SHORTEST = 2.0**-30
_ROUNDING = 2.0**-46
#: L_x below which A is taken for 0.
_SMALLEST = 2.0**-900


@dataclass(frozen=True, eq=False)
class Observation(RecordDataset):
    """``X`` holds b, shape (m,); λ is ``sparsity`` and μ is ``ridge``.

    Raises
    ------
    InvalidDataset
        For weights that are not positive.
    """

    unit: ClassVar[str] = "observed numbers"
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"X": ("m",)}
    sparsity: float
    ridge: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.sparsity > 0.0, f"sparsity = {self.sparsity!r}: give a positive weight of ‖x‖_1")
        self.require(self.ridge > 0.0, f"ridge = {self.ridge!r}: give a positive weight of ‖A‖²")


@dataclass(frozen=True, eq=False)
class BilinearRun(RecordRun):
    """How A and x move.

    Parameters
    ----------
    steps : int
    eta : float
        η > 0, relative to the inverse Lipschitz constants.
    method : {"alternating", "coupled", "projected"}
    A_0 : array, shape (m, d)
    x_0 : array, shape (d,)

    Raises
    ------
    InvalidRun
        For an unknown method or a step size that is not positive.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"A_0": ("m", "d"), "x_0": ("d",)}
    eta: float
    method: str
    A_0: Array
    x_0: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.eta > 0.0, f"eta = {self.eta!r}: give a positive step size")
        known = self.method in METHODS
        self.require(known, f"unknown method {self.method!r}: use one of {', '.join(METHODS)}")


class BilinearInstance(RecordInstance):
    """An observation and a run."""

    system = "cogradient"
    parts = (Observation, BilinearRun)


# ------------------------------------------------------------------------------------------ one step
@dataclass(frozen=True, eq=False)
class Problems:
    """Problems of one size, or one problem: b of shape (…, m), λ and μ of shape (…)."""

    b: Array
    sparsity: Array
    ridge: Array

    def penalty(self, A: Array, x: Array) -> Array:
        """λ‖x‖_1 + μ‖A‖², shape (…)."""
        return np.asarray(self.sparsity * np.abs(x).sum(axis=-1) + self.ridge * (A * A).sum(axis=(-2, -1)))

    def objective(self, A: Array, x: Array) -> Array:
        """F(A, x), shape (…)."""
        return np.asarray((self._residual(A, x) ** 2).sum(axis=-1) + self.penalty(A, x))

    def step(self, A: Array, x: Array, eta: float, method: str) -> Step:
        """One step from A, shape (…, m, d), and x, shape (…, d)."""
        columns = (A * A).sum(axis=-2)
        bend_x = 2 * columns.sum(axis=-1)
        size = np.divide(eta, bend_x, out=np.zeros_like(bend_x), where=bend_x > _SMALLEST)[..., None]
        v = bend_x[..., None] / eta * x + 2 * (A * self._residual(A, x)[..., None]).sum(axis=-2)
        u = size * v
        following = size * np.copysign(np.maximum(np.abs(v) - self.sparsity[..., None], 0.0), v)
        large = 2 * columns.shape[-1] * columns >= columns.sum(axis=-1, keepdims=True)
        asynchronous = (following == 0.0) & large
        taught_by = following
        if method != "alternating":
            taught_by = np.where(asynchronous, u if method == "coupled" else x, following)
        corrected = (taught_by != following).any(axis=-1)
        if method == "projected":
            following = taught_by
        bend_A = 2 * ((taught_by * taught_by).sum(axis=-1) + self.ridge)
        residual = self._residual(A, following)
        pull = 2 * self.ridge[..., None, None] * A - 2 * residual[..., None] * taught_by[..., None, :]
        return Step(A - (eta / bend_A)[..., None, None] * pull, following, corrected, bend_A, bend_x)

    def _residual(self, A: Array, x: Array) -> Array:
        return np.asarray(self.b - (A * x[..., None, :]).sum(axis=-1))


@dataclass(frozen=True, eq=False)
class Step:
    """Where a step leads, whether a coordinate was corrected, and L_A and L_x."""

    A: Array
    x: Array
    corrected: NDArray[np.bool_]
    bend_A: Array
    bend_x: Array


# ------------------------------------------------------------------------------------------ one run
#: Columns at each recorded step.  ``size`` is what rounding errors are relative to: ‖b‖² + L_x‖x‖² + L_A‖A‖² + R.
COLUMNS = ("objective", "objective_next", "penalty", "product", "move", "move_sum", "move_least", "size")


def train_bilinear(instance: BilinearInstance, dense: int = RECORD_LIMIT) -> Trajectory:
    """The run in float64, until its steps are very short: a `Trajectory` with `COLUMNS`."""
    rows, status = [], FINISHED
    total, least = 0.0, np.nan
    problem = _problem(instance.dataset)
    objective: float | None = None
    with np.errstate(all="ignore"):
        for A, x, step in _walk(instance):
            objective = float(problem.objective(A, x)) if objective is None else objective
            following = float(problem.objective(step.A, step.x))
            bends = float(step.bend_x), float(step.bend_A)
            move = bends[0] * float(((step.x - x) ** 2).sum()) + bends[1] * float(((step.A - A) ** 2).sum())
            penalty, product = float(problem.penalty(A, x)), float(((A @ x) ** 2).sum())
            # ‖b‖² and ‖Ax‖² are those of F, and the penalty is a part of it; the rest is what a step rounds.
            scale = float((problem.b**2).sum()) + bends[0] * float((x * x).sum()) + bends[1] * float((A * A).sum())
            if not np.isfinite([following, move, scale]).all():
                status = NON_FINITE_STEP
                break
            rows.append((objective, following, penalty, product, move, total, least, scale + penalty))
            if move <= SHORTEST * objective:
                break
            objective, total, least = following, total + move, float(np.fmin(least, move))
    table = np.array(rows).reshape(-1, len(COLUMNS))
    t = recorded_steps(instance.run.steps, dense)
    t = t[t < len(table)]
    table = table[t]
    table.setflags(write=False)
    return Trajectory(t, table, None, status, COLUMNS)


def rounding(trajectory: Trajectory) -> Array:
    """Relative to ``size``, a bound on what rounding did to a sum of squares of a state after t steps."""
    return np.asarray(_ROUNDING * (1.0 + trajectory.t))


def restarted_bilinear(instance: BilinearInstance, step: int, geometry: None = None) -> BilinearInstance:
    """The run taken up at its float state ``step``, of no further steps.

    Raises
    ------
    InvalidRun
        If the run overflows before that step.
    """
    with np.errstate(all="ignore"):
        *_, (A, x, _) = _walk(instance.with_run(steps=step))
    if np.isfinite(A).all() and np.isfinite(x).all():
        return instance.with_run(steps=0, A_0=A, x_0=x)
    raise InvalidRun(f"the run overflows before step {step}: take an earlier one")


def _walk(instance: BilinearInstance) -> Iterator[tuple[Array, Array, Step]]:
    """The states t = 0, …, steps and the step from each."""
    problem, run = _problem(instance.dataset), instance.run
    A, x = run.A_0, run.x_0
    for _ in range(run.steps + 1):
        step = problem.step(A, x, run.eta, run.method)
        yield A, x, step
        A, x = step.A, step.x


def _problem(data: Observation) -> Problems:
    return Problems(data.X, np.asarray(data.sparsity), np.asarray(data.ridge))


# ------------------------------------------------------------------------------------------ random problems
@dataclass(frozen=True, eq=False)
class Starts:
    """Random problems of one size, each with a start: A of shape (k, m, d), x of shape (k, d)."""

    problems: Problems
    A: Array
    x: Array

    def instance(self, k: int, steps: int, method: str) -> BilinearInstance:
        """Problem k as an instance with η = 1."""
        data = Observation(self.problems.b[k], float(self.problems.sparsity[k]), float(self.problems.ridge[k]))
        return BilinearInstance(data, BilinearRun(steps, 1.0, method, self.A[k], self.x[k]))


def planted(rng: np.random.Generator, k: int, m: int, d: int) -> Starts:
    """b = A*x* + noise with Gaussian A* and a sparse x*, random weights, and an independent Gaussian start.

    Entries of A* and A_0 have variance 1/m.  A coordinate of x* is Gaussian with probability 1/4, the first one
    always, and 0 otherwise; x_0 is Gaussian.  The noise has standard deviation 1/20; λ is log-uniform between 0.01
    and 0.3, μ between 0.001 and 0.1.
    """
    A, A_0 = rng.standard_normal((2, k, m, d)) / np.sqrt(m)
    active = rng.random((k, d)) < 0.25
    active[:, 0] = True
    x = rng.standard_normal((k, d)) * active
    b = (A * x[:, None, :]).sum(axis=-1) + rng.standard_normal((k, m)) / 20
    sparsity, ridge = np.exp(rng.uniform(np.log([0.01, 0.001]), np.log([0.3, 0.1]), (k, 2))).T
    return Starts(Problems(b, sparsity, ridge), A_0, rng.standard_normal((k, d)))


def reached(starts: Starts, steps: int, method: str) -> tuple[Array, NDArray[np.int64]]:
    """F after ``steps`` steps with η = 1, and on how many of them a coordinate was corrected; shapes (k,)."""
    A, x = starts.A, starts.x
    count = np.zeros(len(x), dtype=np.int64)
    for _ in range(steps):
        step = starts.problems.step(A, x, 1.0, method)
        A, x = step.A, step.x
        count += step.corrected
    return starts.problems.objective(A, x), count
