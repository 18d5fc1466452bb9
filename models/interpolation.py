"""Linear interpolation on a linear operator: z ← (1 − λ)z + λ w(z).

F is made of blocks [[a, b], [−b, a]] in coordinates that a reflection mixes, F = H diag(blocks) H.  In the
coordinates Hz a block is multiplication by the complex number c = a − ib, so everything that a step does is too:

    resolvent  j = 1/(1 + ηc),
    rapp       w = 1 − ηc w′ from w = 1, τ times,
    lookahead  w = (1 − ηc)^τ,
    a step     p = 1 − λ + λw.

Lengths do not change under H.  A float run is therefore in closed form, ‖z_t‖² = Σ |p|^{2t} |(Hz_0)_k|², with
moduli that are exact rational numbers and rounded once, in the log domain; `models.interpolation_replay` does what
the algorithms say, in the mixed coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import flint
import numpy as np
from flint import acb, arb, fmpq
from numpy.typing import NDArray

from models.dataset import Array
from models.instance import InvalidRun
from models.records import RecordDataset, RecordInstance, RecordRun
from models.trajectory import FINISHED, NON_FINITE_STEP, RECORD_LIMIT, Trajectory, recorded_steps

TARGETS = ("resolvent", "rapp", "lookahead")
#: More inner steps than this are not taken: exact multipliers grow with them.
MOST_INNER_STEPS = 32
_EPS = 2.0**-52
_PRECISION = 256
#: log ‖z‖ beyond which float64 might not hold a state.
_LARGEST = 700.0


@dataclass(frozen=True, eq=False)
class Blocks(RecordDataset):
    """The operator F: rows (a, b) of ``X``, shape (k, 2), and the vector of the reflection that mixes them.

    ``mirror``, shape (k, 2), is v in H = I − 2vvᵀ/‖v‖²; absent for H = I.

    Raises
    ------
    InvalidDataset
        For rows that are no pairs, a block that is zero, or v = 0.
    """

    unit: ClassVar[str] = "numbers"
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"X": ("k", "part"), "mirror": ("k", "part")}
    mirror: Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.X.shape[1] == 2, f"X has rows of {self.X.shape[1]} numbers: a block is a pair (a, b)")
        self.require(bool(self.X.any(axis=1).all()), "X has a block (0, 0): leave it out, z* would not be unique")
        mixed = self.mirror is None or bool(self.mirror.any())
        self.require(mixed, "mirror is zero: give a vector to reflect along, or none")
        matching = self.mirror is None or self.mirror.shape == self.X.shape
        self.require(matching, "mirror must have the shape of X")


@dataclass(frozen=True, eq=False)
class InterpolationRun(RecordRun):
    """How z moves.

    Parameters
    ----------
    steps : int
    target : {"resolvent", "rapp", "lookahead"}
        What w is.
    eta : float
        η > 0, in the resolvent and in inner steps.
    weight : float
        0 < λ < 1.
    Z_0 : array, shape (k, 2)
        The start, two coordinates a row.
    inner : int
        τ from 1 to 32; the resolvent has no inner steps and does not look at it.

    Raises
    ------
    InvalidRun
        For unknown names or numbers out of range; the message names the field and the fix.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"Z_0": ("k", "part")}
    target: str
    eta: float
    weight: float
    Z_0: Array
    inner: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.target in TARGETS
        self.require(known, f"unknown target {self.target!r}: use one of {', '.join(TARGETS)}")
        self.require(self.eta > 0.0, f"eta = {self.eta!r}: give a positive step size")
        self.require(0.0 < self.weight < 1.0, f"weight = {self.weight!r}: give a number between 0 and 1")
        counted = 1 <= self.inner <= MOST_INNER_STEPS
        self.require(counted, f"inner = {self.inner}: give a number of inner steps from 1 to {MOST_INNER_STEPS}")


class InterpolationInstance(RecordInstance):
    """An operator and a run.  Raises `InvalidRun` where I + ηF has no inverse."""

    system = "interpolation"
    parts = (Blocks, InterpolationRun)

    def __post_init__(self) -> None:
        super().__post_init__()
        eta = rational(self.run.eta)
        if any(b == 0.0 and 1 + eta * rational(a) == 0 for a, b in self.dataset.X.tolist()):
            raise InvalidRun(f"eta = {self.run.eta!r}: I + ηF has no inverse; give another step size")


class BlockGeometry:
    """What does not change along a run, exact: the blocks, ρ, L² and the reflection."""

    def __init__(self, dataset: Blocks) -> None:
        self.blocks = [(rational(a), rational(b)) for a, b in dataset.X.tolist()]
        squares = [a * a + b * b for a, b in self.blocks]
        self.comonotonicity = min(a / q for (a, _), q in zip(self.blocks, squares, strict=True))
        self.lipschitz_sq = max(squares)
        self.mirror = None if dataset.mirror is None else [rational(x) for x in dataset.mirror.ravel().tolist()]

    def reflected(self, z: list[fmpq]) -> list[fmpq]:
        """Hz."""
        v = self.mirror
        if v is None:
            return z
        along = 2 * _dot(v, z) / _dot(v, v)
        return [x - along * y for x, y in zip(z, v, strict=True)]

    def matrix(self) -> list[list[fmpq]]:
        """F, row by row."""
        return self.mixed(self.blocks)

    def mixed(self, blocks: list[tuple[fmpq, fmpq]]) -> list[list[fmpq]]:
        """H diag(blocks) H, row by row; it is applied to unit vectors, and its columns are what comes out."""
        size = 2 * len(blocks)
        columns = []
        for i in range(size):
            x = self.reflected([fmpq(int(i == j)) for j in range(size)])
            turned: list[fmpq] = []
            for k, (a, b) in enumerate(blocks):
                turned += [a * x[2 * k] + b * x[2 * k + 1], a * x[2 * k + 1] - b * x[2 * k]]
            columns.append(self.reflected(turned))
        return [list(row) for row in zip(*columns, strict=True)]


@dataclass(frozen=True)
class Multiplier:
    """A complex rational number x + iy."""

    x: fmpq
    y: fmpq

    def __add__(self, other: Multiplier) -> Multiplier:
        return Multiplier(self.x + other.x, self.y + other.y)

    def __sub__(self, other: Multiplier) -> Multiplier:
        return Multiplier(self.x - other.x, self.y - other.y)

    def __mul__(self, other: Multiplier) -> Multiplier:
        return Multiplier(self.x * other.x - self.y * other.y, self.x * other.y + self.y * other.x)

    @property
    def square(self) -> fmpq:
        """|x + iy|²."""
        return self.x * self.x + self.y * self.y

    def inverse(self) -> Multiplier:
        """1/(x + iy)."""
        return Multiplier(self.x / self.square, -self.y / self.square)


_ONE = Multiplier(fmpq(1), fmpq(0))


class Multipliers:
    """What a run multiplies the coordinates of one block by, as exact complex numbers."""

    def __init__(self, run: InterpolationRun, block: tuple[fmpq, fmpq]) -> None:
        eta, weight = rational(run.eta), rational(run.weight)
        self.operator = Multiplier(block[0], -block[1])
        push = Multiplier(eta, fmpq(0)) * self.operator
        self.resolvent = (_ONE + push).inverse()
        self.ahead = self.operator * (_ONE - push)
        self.target = self.resolvent
        if run.target != "resolvent":
            self.target = _ONE
            for _ in range(run.inner):
                self.target = (_ONE if run.target == "rapp" else self.target) - push * self.target
        self.step = Multiplier(1 - weight, fmpq(0)) + Multiplier(weight, fmpq(0)) * self.target


#: Columns at each recorded step: natural logarithms, and bounds on the errors of what is named before them.
COLUMNS = (
    "log_distance",
    "log_distance_next",
    "log_residual",
    "log_inner_error",
    "log_operator",
    "log_ahead",
    "log_farthest",  # at steps k < t
    "state_error",
    "log_residual_sum",  # of squares, as the next ones; over k < t
    "log_inner_sum",  # of the errors themselves
    "log_inner_square_sum",
    "log_operator_sum",
    "log_ahead_sum",
    "sum_error",
)


def train_interpolation(
    instance: InterpolationInstance, geometry: BlockGeometry, dense: int = RECORD_LIMIT
) -> Trajectory:
    """The run in closed form: a `Trajectory` with `COLUMNS` that records every step up to ``dense``."""
    run = instance.run
    multipliers = [Multipliers(run, block) for block in geometry.blocks]
    start = geometry.reflected([rational(x) for x in run.Z_0.ravel().tolist()])
    moduli = np.array(
        [
            [_log(m.step.square) for m in multipliers],
            [_log(start[2 * k] ** 2 + start[2 * k + 1] ** 2) for k in range(len(multipliers))],
            [_log((m.resolvent - _ONE).square) for m in multipliers],
            [_log((m.target - m.resolvent).square) for m in multipliers],
            [_log(m.operator.square) for m in multipliers],
            [_log(m.ahead.square) for m in multipliers],
        ]
    )
    step, first, *factors = moduli
    t = np.arange(run.steps + 2, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        powers = np.where(t[:, None] == 0.0, 0.0, t[:, None] * step) + first
    distance = _half_log_sum(powers)
    here = powers[:-1]
    residual, inner, operator, ahead = (_half_log_sum(here + factor) for factor in factors)
    # Every term of a logarithm is rounded a few times; later sums are rounded at every step.
    sizes = np.abs(np.where(np.isfinite(moduli), moduli, 0.0)).max(axis=1)
    state_error = 4 * _EPS * (4 + len(multipliers) + sizes[1:].sum() + (t[:-1] + 1) * sizes[0])
    sum_error = 2 * state_error + 4 * _EPS * t[:-1] * (2 + state_error / _EPS)
    table = np.column_stack(
        [
            distance[:-1],
            distance[1:],
            residual,
            inner,
            operator,
            ahead,
            _before(distance[:-1], np.maximum),
            state_error,
            *(_before(x, np.logaddexp) for x in (2 * residual, inner, 2 * inner, 2 * operator, 2 * ahead)),
            sum_error,
        ]
    )
    rows = recorded_steps(run.steps, dense)
    held = rows[(rows == 0) | (np.maximum.accumulate(distance)[rows] <= _LARGEST)]
    table = table[held]
    table.setflags(write=False)
    return Trajectory(held, table, None, FINISHED if held.size == rows.size else NON_FINITE_STEP, COLUMNS)


def restarted_interpolation(
    instance: InterpolationInstance, step: int, geometry: BlockGeometry
) -> InterpolationInstance:
    """The run taken up near its state of a step, of no further steps: an exact state of its own.

    Raises
    ------
    InvalidRun
        If float64 cannot hold that state.
    """
    run = instance.run
    if step == 0:
        return instance.with_run(steps=0)
    start = geometry.reflected([rational(x) for x in run.Z_0.ravel().tolist()])
    moved: list[float] = []
    with flint.ctx.workprec(_PRECISION):
        for k, block in enumerate(geometry.blocks):
            p = Multipliers(run, block).step
            z = acb(arb(p.x), arb(p.y)) ** step * acb(arb(start[2 * k]), arb(start[2 * k + 1]))
            moved += [float(z.real.mid()), float(z.imag.mid())]
        if not all(map(math.isfinite, moved)):
            raise InvalidRun(f"float64 cannot hold the state of step {step}: take an earlier one")
        back = geometry.reflected([rational(x) for x in moved])
        Z_0 = np.array([float(arb(x).mid()) for x in back]).reshape(run.Z_0.shape)
    return instance.with_run(steps=0, Z_0=Z_0)


def rational(value: float) -> fmpq:
    """A float as the rational number that it is."""
    return fmpq(*value.as_integer_ratio())


def _dot(first: list[fmpq], second: list[fmpq]) -> fmpq:
    return sum((x * y for x, y in zip(first, second, strict=True)), fmpq(0))


def _log(value: fmpq) -> float:
    """log of a rational number, rounded once; −∞ of 0."""
    if value == 0:
        return -math.inf
    with flint.ctx.workprec(_PRECISION):
        return float(arb(value).log().mid())


def _half_log_sum(terms: Array) -> Array:
    """½ log Σ_k e^{term}, row by row."""
    return np.asarray(np.logaddexp.reduce(terms, axis=1) / 2)


def _before(values: Array, combine: np.ufunc) -> NDArray[np.float64]:
    """What ``combine`` makes of the values of all earlier steps; −∞ at the first one."""
    return np.concatenate([[-np.inf], combine.accumulate(values)[:-1]])
