"""Overparametrised linear networks: gradient flow on ½‖Y − XUVᵀ‖², by Taylor series in time.

    U' = Xᵀ R V,   V' = Rᵀ X U,   R = Y − XUVᵀ,

is polynomial, so the Taylor coefficients of a solution follow from a recurrence.  In float64 the series is cut off
where it is below rounding; in balls its remainder is enclosed: the coefficient of the next order, over a box that
is proved to hold the solution for the whole substep.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import flint
import numpy as np
from flint import arb, arb_mat, fmpq, fmpq_mat

from models.dataset import Array
from models.joint_replay import root
from models.records import RecordDataset, RecordInstance, RecordRun
from models.replay import PrecisionLost, total
from models.trajectory import FINISHED, NON_FINITE_STEP, Trajectory, recorded_steps

_ORDER, _EPS = 24, 2.0**-52
#: The float run ends where the residual is so much smaller than what it is made of.
_CONVERGED = 2.0**-30
CONVERGED = "residual below 2^-30"
#: A flow that needs more bits, or more substeps of a time step, is given up.
_MOST_BITS, _MOST_SUBSTEPS = 512, 256


@dataclass(frozen=True, eq=False)
class Regression(RecordDataset):
    """Linear regression with several outputs.

    Parameters
    ----------
    X : array, shape (n, d)
        Inputs, independent rows.
    Y : array, shape (n, m)
        Outputs.

    Raises
    ------
    InvalidDataset
        If the rows of X are dependent.
    """

    unit: ClassVar[str] = "entries of X"
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"X": ("n", "d"), "Y": ("n", "m")}
    Y: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        full = rational(self.X).rank() == self.X.shape[0]
        self.require(full, "X: its rows are linearly dependent, leave one out")


@dataclass(frozen=True, eq=False)
class FlowRun(RecordRun):
    """Gradient flow, looked at at the times 0, τ, 2τ, …

    Parameters
    ----------
    steps : int
    time_step : float
        τ > 0.
    U_0 : array, shape (d, k)
    V_0 : array, shape (m, k)
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"U_0": ("d", "k"), "V_0": ("m", "k")}
    time_step: float
    U_0: Array
    V_0: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.time_step > 0.0, f"time_step = {self.time_step!r}: give a positive time")


class FlowInstance(RecordInstance):
    """A regression and a flow."""

    system = "overparametrized"
    parts = (Regression, FlowRun)


class FlowGeometry:
    """What does not change along a flow, exactly.

    Attributes
    ----------
    P : fmpq_mat
        The projector onto the rows of X.
    data, invariant : fmpq_mat
        XXᵀ, and Λ = UᵀPU − VᵀV.
    """

    def __init__(self, instance: FlowInstance) -> None:
        X, U, V = (rational(a) for a in (instance.dataset.X, instance.run.U_0, instance.run.V_0))
        self.data = X * X.transpose()
        self.P = X.transpose() * self.data.inv() * X
        self.invariant = U.transpose() * self.P * U - V.transpose() * V
        self.n, self.m = instance.dataset.X.shape[0], V.nrows()

    def data_range(self) -> tuple[arb, arb]:
        """The smallest and the largest eigenvalue of XXᵀ at the working precision."""
        values = eigenvalues(self.data)
        return values[-1], values[0]

    def imbalance(self) -> arb:
        """c = [λ_n(Λ)]_+ + [λ_m(−Λ)]_+ at the working precision."""
        values, zero = eigenvalues(self.invariant), arb(0)
        high = values[self.n - 1].max(zero) if self.n <= len(values) else zero
        low = (-values[-self.m]).max(zero) if self.m <= len(values) else zero
        return high + low


def eigenvalues(symmetric: fmpq_mat) -> list[arb]:
    """Eigenvalues of a symmetric rational matrix with their multiplicities, largest first, in disjoint balls."""
    isolated: Any = symmetric.charpoly().complex_roots()
    roots = [(value.real, count) for value, count in isolated]
    roots.sort(key=lambda pair: -float(pair[0].mid()))
    return [value for value, count in roots for _ in range(count)]


def rational(matrix: Array) -> fmpq_mat:
    """The exact value of a float64 matrix."""
    return fmpq_mat([[fmpq(*float(x).as_integer_ratio()) for x in row] for row in matrix])


def taylor(X: Any, Y: Any, U: Any, V: Any, order: int) -> tuple[list[Any], list[Any]]:
    """Taylor coefficients 0, …, ``order`` of U and V in time, for matrices with ``@`` or ``*`` alike.

    ``X``, ``Y``, ``U``, ``V`` are all numpy arrays or all `Balls`.
    """
    us, vs, xs, rs = [U], [V], [X @ U], []
    for j in range(order):
        product = xs[0] @ vs[j].T
        for i in range(1, j + 1):
            product = product + xs[i] @ vs[j - i].T
        rs.append(Y - product if j == 0 else -product)
        forward, backward = rs[0] @ vs[j], rs[0].T @ xs[j]
        for i in range(1, j + 1):
            forward, backward = forward + rs[i] @ vs[j - i], backward + rs[i].T @ xs[j - i]
        us.append(X.T @ forward / (j + 1))
        vs.append(backward / (j + 1))
        xs.append(X @ us[j + 1])
    return us, vs


class Balls:
    """An `arb_mat` with numpy's operators, so that one recurrence serves both tiers."""

    __slots__ = ("matrix",)

    def __init__(self, matrix: arb_mat) -> None:
        self.matrix = matrix

    @property
    def T(self) -> Balls:
        """The transpose."""
        return Balls(self.matrix.transpose())

    def __matmul__(self, other: Balls) -> Balls:
        return Balls(self.matrix * other.matrix)

    def __add__(self, other: Balls) -> Balls:
        return Balls(self.matrix + other.matrix)

    def __sub__(self, other: Balls) -> Balls:
        return Balls(self.matrix - other.matrix)

    def __neg__(self) -> Balls:
        return Balls(-self.matrix)

    def __mul__(self, number: arb) -> Balls:
        return Balls(self.matrix * number)

    def __truediv__(self, number: int) -> Balls:
        return Balls(self.matrix / arb(number))

    def square(self) -> arb:
        """Squared Frobenius norm."""
        return total([x**2 for x in self.matrix.entries()])

    def inside(self, other: Balls) -> bool:
        """Whether every entry's ball lies in the interior of the other's."""
        pairs = zip(self.matrix.entries(), other.matrix.entries(), strict=True)
        return all(outer.contains_interior(inner) for inner, outer in pairs)


def _sum(coefficients: list[Any], h: Any) -> Any:
    result = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        result = result * h + coefficient
    return result


# ------------------------------------------------------------------------------------------------- in balls
@dataclass(frozen=True, eq=False)
class FlowState:
    """The flow at the time tτ in balls; ``start`` is the state at time 0, or None for that state itself."""

    instance: FlowInstance
    geometry: FlowGeometry
    t: int
    U: Balls
    V: Balls
    start: FlowState | None = None

    @property
    def first(self) -> FlowState:
        """The state at time 0."""
        return self.start or self

    @cached_property
    def data(self) -> tuple[Balls, Balls]:
        """X and Y."""
        dataset = self.instance.dataset
        return Balls(arb_mat(rational(dataset.X))), Balls(arb_mat(rational(dataset.Y)))

    @property
    def residual(self) -> Balls:
        """Y − XUVᵀ."""
        X, Y = self.data
        return Y - X @ (self.U @ self.V.T)

    @property
    def loss(self) -> arb:
        """½‖Y − XUVᵀ‖²."""
        return self.residual.square() / 2

    @property
    def decay(self) -> arb:
        """‖∂L/∂U‖² + ‖∂L/∂V‖²."""
        (X, _), R = self.data, self.residual
        return (X.T @ (R @ self.V)).square() + (R.T @ (X @ self.U)).square()

    @property
    def null_part(self) -> arb:
        """‖(I − P)UVᵀ‖."""
        return root((self._unseen @ self.V.T).square())

    @property
    def coupling(self) -> arb:
        """‖[V; PU] Uᵀ(I − P)‖."""
        unseen = self._unseen.T
        return root((self.V @ unseen).square() + ((self.U - self._unseen) @ unseen).square())

    @property
    def _unseen(self) -> Balls:
        return self.U - Balls(arb_mat(self.geometry.P)) @ self.U

    def successor(self) -> FlowState:
        """The state a time τ later.  Raises `PrecisionLost` if no box is proved to hold the solution."""
        if flint.ctx.prec > _MOST_BITS:
            raise PrecisionLost(f"flows are followed to {_MOST_BITS} bits")
        tau = arb(self.instance.run.time_step)
        order = max(16, flint.ctx.prec // 8)
        substeps = 1
        while substeps <= _MOST_SUBSTEPS:
            U, V = self.U, self.V
            for _ in range(substeps):
                following = self._substep(U, V, tau / substeps, order)
                if following is None:
                    break
                U, V = following
            else:
                return FlowState(self.instance, self.geometry, self.t + 1, U, V, self.first)
            substeps *= 2
        raise PrecisionLost("the flow is too fast for its time step")

    def _substep(self, U: Balls, V: Balls, h: arb, order: int) -> tuple[Balls, Balls] | None:
        X, Y = self.data
        whole = arb(0).union(h)
        forward, backward = self._velocity(U, V)
        # A box that the solution may not leave: Picard's iteration maps it into itself.
        around = arb(0, 1) * (max(_reach(forward), _reach(backward)) / 2 + arb(2) ** -flint.ctx.prec) * h
        box_U, box_V = _widened(U + forward * whole, around), _widened(V + backward * whole, around)
        forward, backward = self._velocity(box_U, box_V)
        if not ((U + forward * whole).inside(box_U) and (V + backward * whole).inside(box_V)):
            return None
        us, vs = taylor(X, Y, U, V, order - 1)
        rest_U, rest_V = (rows[-1] * h**order for rows in taylor(X, Y, box_U, box_V, order))
        if not max(_reach(rest_U), _reach(rest_V)) < arb(2) ** -(flint.ctx.prec // 2):
            return None
        return _sum(us, h) + rest_U, _sum(vs, h) + rest_V

    def _velocity(self, U: Balls, V: Balls) -> tuple[Balls, Balls]:
        X, Y = self.data
        R = Y - X @ (U @ V.T)
        return X.T @ (R @ V), R.T @ (X @ U)


def _widened(box: Balls, around: arb) -> Balls:
    rows = box.matrix.tolist()
    return Balls(arb_mat([[entry + around for entry in row] for row in rows]))


def _reach(box: Balls) -> arb:
    reach = arb(0)
    for entry in box.matrix.entries():
        reach = reach.max(arb(entry.abs_upper()))
    return reach


def replay_flow(instance: FlowInstance, geometry: FlowGeometry) -> Iterator[FlowState]:
    """The states at the times 0, τ, 2τ, … at the working precision."""
    U, V = (Balls(arb_mat(rational(a))) for a in (instance.run.U_0, instance.run.V_0))
    state = FlowState(instance, geometry, 0, U, V)
    while True:
        yield state
        state = state.successor()


# ------------------------------------------------------------------------------------------------ in float64
#: Columns at each recorded step.
COLUMNS = ("residual", "decay", "null_part", "coupling", "size", "gain")


def train_flow(instance: FlowInstance, geometry: FlowGeometry, dense: int) -> Trajectory:
    """Integrate in float64: the columns of `COLUMNS`, ``size`` and ``gain`` for error budgets."""
    return _run(instance, geometry, dense)[0]


def restarted_flow(instance: FlowInstance, step: int, geometry: FlowGeometry) -> FlowInstance:
    """The flow taken up at its float state of a step, of no further steps."""
    _, U, V = _run(instance.with_run(steps=step), geometry, dense=1)
    return instance.with_run(steps=0, U_0=U, V_0=V)


def _run(instance: FlowInstance, geometry: FlowGeometry, dense: int) -> tuple[Trajectory, Array, Array]:
    data, run = instance.dataset, instance.run
    X, Y, U, V = data.X, data.Y, run.U_0, run.V_0
    P = np.array([[float(arb(x).mid()) for x in row] for row in geometry.P.tolist()])
    t = recorded_steps(run.steps, dense)
    wanted, rows = set(t.tolist()), []
    status = FINISHED
    with np.errstate(all="ignore"):
        for step in range(run.steps + 1):
            if step in wanted:
                rows.append(_measured(X, Y, P, U, V))
                if 0 < step < run.steps and rows[-1][0] < _CONVERGED * rows[-1][COLUMNS.index("size")]:
                    status = CONVERGED
                    break
            if step < run.steps:
                U, V = _advanced(X, Y, U, V, run.time_step)
            if not (np.isfinite(U).all() and np.isfinite(V).all()):
                status = NON_FINITE_STEP
                break
    table = np.array(rows).reshape(len(rows), len(COLUMNS))
    table.setflags(write=False)
    return Trajectory(t[: len(rows)], table, None, status, COLUMNS), U, V


def _measured(X: Array, Y: Array, P: Array, U: Array, V: Array) -> list[float]:
    R, unseen = Y - X @ U @ V.T, U - P @ U
    decay = ((X.T @ R @ V) ** 2).sum() + ((R.T @ X @ U) ** 2).sum()
    coupling = math.hypot(float(np.linalg.norm(V @ unseen.T)), float(np.linalg.norm(P @ U @ unseen.T)))
    norms = [float(np.linalg.norm(a)) for a in (X, U, V)]
    size = float(np.linalg.norm(Y)) + math.prod(norms) + norms[1] * (norms[1] + norms[2])
    gain = norms[0] ** 2 * (norms[1] ** 2 + norms[2] ** 2)
    return [float(np.linalg.norm(R)), float(decay), float(np.linalg.norm(unseen @ V.T)), coupling, size, gain]


def _advanced(X: Array, Y: Array, U: Array, V: Array, tau: float) -> tuple[Array, Array]:
    """The state a time τ later, in substeps so short that the first terms left out are below rounding."""
    left = tau
    while left > 0.0:
        us, vs = taylor(X, Y, U, V, _ORDER)
        h = left
        for k in (_ORDER - 1, _ORDER):
            for coefficients in (us, vs):
                term = float(np.abs(coefficients[k]).max())
                size = float(np.abs(coefficients[0]).max()) + float(np.abs(coefficients[1]).max()) * tau
                if term > 0.0:
                    h = min(h, (_EPS * size / term) ** (1.0 / k))
        if not h > _EPS * left:
            return U * math.nan, V * math.nan
        U, V, left = _sum(us, h), _sum(vs, h), left - h
    return U, V
