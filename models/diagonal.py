"""Diagonal linear networks: where gradient flow on ½‖Ax − y‖² ends, x = aᵖ − bᵖ and a(0) = b(0) = α·1.

The limit is the solution of Ax = y of the form x = αᵖ h_p(Aᵀν),

    h_2(s) = 2 sinh s,   h_p(s) = (1 − s)^{−k} − (1 + s)^{−k},  k = p/(p − 2),

and ν minimises a convex function, the dual.  Newton's method finds it in multiprecision; in the certified tier
Krawczyk's test then proves that a box around it holds the one solution.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import ClassVar

import flint
import numpy as np
from flint import arb, arb_mat, fmpq, fmpq_mat

from models.dataset import Array
from models.records import RecordDataset, RecordInstance, RecordRun
from models.replay import PrecisionLost, total
from models.trajectory import FINISHED, PRECISION_LOST, Trajectory, recorded_steps

#: The float run goes on to the first α that is smaller: there the limit is nearly the one that α → 0 selects.
SMALLEST = 2.0**-20
TOO_SMALL = "initialisation below 2^-20"
_MOST_BASES = 5000
_BITS = 128
_MOST_ITERATIONS, _MOST_CUTS = 400, 200


@dataclass(frozen=True, eq=False)
class LinearSystem(RecordDataset):
    """A system Ax = y.

    Parameters
    ----------
    X : array, shape (n, d)
        The matrix A, of rank n.
    target : array, shape (n,)
        The right side y, not 0.

    Raises
    ------
    InvalidDataset
        If the rows are dependent, the right side is 0, or there are too many choices of n columns to look at.
    """

    unit: ClassVar[str] = "entries of A"
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"X": ("n", "d"), "target": ("n",)}
    target: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        n, d = self.X.shape
        self.require(bool(self.target.any()), "target = 0: then x stays 0, give a right side that is not 0")
        self.require(math.comb(d, n) <= _MOST_BASES, f"X has shape {n} × {d}: at most {_MOST_BASES} bases")
        self.require(_rational(self.X).rank() == n, "X: its rows are linearly dependent, leave one out")


@dataclass(frozen=True, eq=False)
class DiagonalRun(RecordRun):
    """Limits of gradient flow for α, α/2, …, α/2^steps.

    Parameters
    ----------
    steps : int
    alpha : float
        The first α > 0.
    p : float
        At least 2.
    """

    alpha: float
    p: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(2.0**-100 <= self.alpha <= 2.0**100, f"alpha = {self.alpha!r}: give 2^-100 to 2^100")
        self.require(2.0 <= self.p <= 64.0, f"p = {self.p!r}: give a power from 2 to 64")


class DiagonalInstance(RecordInstance):
    """A linear system and a network's sequence of initialisations."""

    system = "diagonal"
    parts = (LinearSystem, DiagonalRun)


class DiagonalGeometry:
    """What does not depend on α: A and y as rational numbers, and the solutions of least ℓ1-norm.

    Attributes
    ----------
    shortest : list of list of fmpq
        The basic solutions of least ℓ1-norm, and last their mean.
    l1_min : fmpq
    """

    def __init__(self, dataset: LinearSystem) -> None:
        self.A, self.y = _rational(dataset.X), [_fraction(x) for x in dataset.target]
        n, d = dataset.X.shape
        lengths: dict[tuple[fmpq, ...], fmpq] = {}
        right = fmpq_mat(n, 1, self.y)
        for basis in combinations(range(d), n):
            try:
                part = fmpq_mat([[self.A[i, j] for j in basis] for i in range(n)]).solve(right)
            except ZeroDivisionError:
                continue
            z = [fmpq(0)] * d
            for k, j in enumerate(basis):
                z[j] = part[k, 0]
            lengths[tuple(z)] = sum((abs(x) for x in z), fmpq(0))
        self.l1_min = min(lengths.values())
        vertices = [list(z) for z, length in lengths.items() if length == self.l1_min]
        mean = [sum(column, fmpq(0)) / len(vertices) for column in zip(*vertices, strict=True)]
        self.shortest = [*vertices, mean]


class Limit:
    """The limit x for one α, entry by entry in balls at the working precision, and what theorems say of it."""

    def __init__(self, x: list[arb], p: float, geometry: DiagonalGeometry) -> None:
        self.x, self.p, self.l1_min = x, p, geometry.l1_min

    @property
    def l1_norm(self) -> arb:
        """‖x‖_1."""
        return total([abs(x) for x in self.x])

    @property
    def l1_excess(self) -> arb:
        """‖x‖_1 less the least ℓ1-norm of a solution."""
        return self.l1_norm - arb(self.l1_min)

    @property
    def sup_norm(self) -> arb:
        """‖x‖_∞."""
        largest = abs(self.x[0])
        for x in self.x[1:]:
            largest = largest.max(abs(x))
        return largest

    @property
    def power_sum(self) -> arb:
        """Σ |x_i|^{2/p}."""
        return power_sum(self.x, self.p)

    @property
    def entropy(self) -> arb:
        """Σ |x_i| log |x_i|."""
        return entropy(self.x)


def power_sum(x: list[arb], p: float) -> arb:
    """Σ |x_i|^{2/p} in balls, which may meet 0."""
    exponent = 2 / arb(p)
    return total([(_low(v) ** exponent).union(_high(v) ** exponent) for v in x])


def entropy(x: list[arb]) -> arb:
    """Σ |x_i| log |x_i| in balls, which may meet 0."""
    terms, turn = [], arb(-1).exp()
    for v in x:
        low, high = _low(v), _high(v)
        term = _xlogx(low).union(_xlogx(high))
        if not (high < turn or low > turn):
            term = term.union(-turn)
        terms.append(term)
    return total(terms)


def _xlogx(v: arb) -> arb:
    return arb(0) if v.is_zero() else v * v.log()


def _low(v: arb) -> arb:
    return arb(v.abs_lower())


def _high(v: arb) -> arb:
    return arb(v.abs_upper())


class Dual:
    """The equation αᵖ A h_p(Aᵀν) = y, at the working precision.

    Its left side is the gradient of a strictly convex function of ν, so that there is one solution.
    """

    def __init__(self, geometry: DiagonalGeometry, alpha: arb, p: float) -> None:
        self.A, self.y = arb_mat(geometry.A), arb_mat(len(geometry.y), 1, geometry.y)
        self.bounded = p > 2.0  # |(Aᵀν)_i| < 1
        self.scale = alpha ** arb(p)
        self.k = arb(p) / (arb(p) - 2) if self.bounded else arb(0)

    def slopes(self, nu: arb_mat) -> list[arb]:
        """s = Aᵀν."""
        return [entry for row in (self.A.transpose() * nu).tolist() for entry in row]

    def point(self, s: list[arb]) -> list[arb]:
        """x = αᵖ h_p(s)."""
        if self.bounded:
            return [self.scale * ((1 - v) ** -self.k - (1 + v) ** -self.k) for v in s]
        return [self.scale * 2 * v.sinh() for v in s]

    def residual(self, s: list[arb]) -> arb_mat:
        """Ax − y."""
        return self.A * arb_mat(len(s), 1, self.point(s)) - self.y

    def jacobian(self, s: list[arb]) -> arb_mat:
        """A diag(αᵖ h_p'(s)) Aᵀ."""
        if self.bounded:
            k = self.k
            stretch = [self.scale * k * ((1 - v) ** (-k - 1) + (1 + v) ** (-k - 1)) for v in s]
        else:
            stretch = [self.scale * 2 * v.cosh() for v in s]
        scaled = [[a * h for a, h in zip(row, stretch, strict=True)] for row in self.A.tolist()]
        return arb_mat(scaled) * self.A.transpose()

    def inside(self, s: list[arb]) -> bool:
        """Whether h_p is defined at s."""
        return not self.bounded or all(abs(v) < 1 for v in s)

    def solve(self, nu: arb_mat) -> arb_mat:
        """Newton's method with a line search, from a ν with h_p defined; midpoints only.

        Raises
        ------
        PrecisionLost
            If it does not arrive at the working precision.
        """
        close = arb(2) ** -(flint.ctx.prec // 2)
        for _ in range(_MOST_ITERATIONS):
            s = self.slopes(nu)
            residual = self.residual(s)
            step = _solved(self.jacobian(s).mid(), -residual.mid()).mid()
            change = self.slopes(step)
            if all(abs(c) <= close * (1 - abs(v) if self.bounded else 1) for c, v in zip(change, s, strict=True)):
                return (nu + step).mid()
            nu = self._searched(nu, step, _inner(residual, step))
        raise PrecisionLost("Newton's method has not arrived")

    def _searched(self, nu: arb_mat, step: arb_mat, slope: arb) -> arb_mat:
        """The first of the whole step, its half, … that does not end in a steep rise of the convex function."""
        for _ in range(_MOST_CUTS):
            there = (nu + step).mid()
            s = self.slopes(there)
            if self.inside(s) and _inner(self.residual(s), step) <= abs(slope) / 2:
                return there
            step, slope = (step * arb(0.5)).mid(), slope / 2
        raise PrecisionLost("the line search has not ended")

    def enclosed(self, nu: arb_mat) -> list[arb]:
        """x in balls, by Krawczyk's test of a box around an approximate ν.

        Raises
        ------
        PrecisionLost
            If the test does not succeed.
        """
        n = nu.nrows()
        s = self.slopes(nu)
        inverse = _solved(
            self.jacobian(s).mid(), arb_mat(n, n, [int(i == j) for i in range(n) for j in range(n)])
        ).mid()
        off = inverse * self.residual(s)
        offs = [_high(off[j, 0]) for j in range(n)]
        reach = 2 * max(offs) + arb(2) ** -flint.ctx.prec
        box = arb_mat(n, 1, [nu[j, 0] + arb(0, reach.upper()) for j in range(n)])
        boxed = self.slopes(box)
        contraction = inverse * self.jacobian(boxed)
        for j in range(n):
            row = total([_high(contraction[j, k] - int(j == k)) for k in range(n)])
            if not offs[j] + row * reach < reach:
                raise PrecisionLost("no box around ν is proved to hold the solution")
        return self.point(boxed)


def _solved(matrix: arb_mat, right: arb_mat) -> arb_mat:
    try:
        return matrix.solve(right)
    except ZeroDivisionError:
        raise PrecisionLost("the dual's Hessian is singular at this precision") from None


def _inner(first: arb_mat, second: arb_mat) -> arb:
    return (first.transpose() * second)[0, 0].mid()


def spare_bits(geometry: DiagonalGeometry, alpha: arb, p: float) -> int:
    """Digits that solving loses: the dual's Hessian has a condition of about (‖x‖_1/α)^{2p−2}."""
    size = float((arb(geometry.l1_min) / alpha).log().mid()) / math.log(2.0)
    return 64 + math.ceil(4.0 * p * max(size, 0.0))


@dataclass(frozen=True, eq=False)
class DiagonalState:
    """The t-th initialisation, α_t = α_0 2^{−t}; its limit is enclosed when it is asked for."""

    instance: DiagonalInstance
    geometry: DiagonalGeometry
    t: int

    @property
    def alpha(self) -> arb:
        """α_t."""
        return arb(self.instance.run.alpha) * arb(2) ** -self.t

    @cached_property
    def limit(self) -> Limit:
        """The limit in balls.  Raises `PrecisionLost`."""
        p = self.instance.run.p
        with flint.ctx.workprec(flint.ctx.prec + spare_bits(self.geometry, self.alpha, p)):
            dual = Dual(self.geometry, self.alpha, p)
            return Limit(dual.enclosed(dual.solve(arb_mat(len(self.geometry.y), 1))), p, self.geometry)


def replay_diagonal(instance: DiagonalInstance, geometry: DiagonalGeometry) -> Iterator[DiagonalState]:
    """The states t = 0, 1, …"""
    t = 0
    while True:
        yield DiagonalState(instance, geometry, t)
        t += 1


#: Columns at each recorded step.
COLUMNS = ("init_scale", "l1_norm", "l1_excess", "sup_norm", "power_sum", "entropy")


def train_diagonal(instance: DiagonalInstance, geometry: DiagonalGeometry, dense: int) -> Trajectory:
    """The limits by Newton's method with 128 good bits, each started at the one before, rounded to float64."""
    run = instance.run
    t = recorded_steps(run.steps, dense)
    rows: list[list[float]] = []
    status = FINISHED
    nu = arb_mat(len(geometry.y), 1)
    for step in t:
        alpha = arb(run.alpha) * arb(2) ** -int(step)
        with flint.ctx.workprec(_BITS + spare_bits(geometry, alpha, run.p)):
            dual = Dual(geometry, alpha, run.p)
            try:
                nu = dual.solve(nu)
            except PrecisionLost:
                status = PRECISION_LOST
                break
            limit = Limit([x.mid() for x in dual.point(dual.slopes(nu))], run.p, geometry)
            rows.append([float(alpha), *(float(getattr(limit, name).mid()) for name in COLUMNS[1:])])
        if alpha < SMALLEST and step < run.steps:
            status = TOO_SMALL
            break
    table = np.array(rows).reshape(len(rows), len(COLUMNS))
    table.setflags(write=False)
    return Trajectory(t[: len(rows)], table, None, status, COLUMNS)


def _fraction(value: float) -> fmpq:
    return fmpq(*float(value).as_integer_ratio())


def _rational(matrix: Array) -> fmpq_mat:
    return fmpq_mat([[_fraction(x) for x in row] for row in matrix])
