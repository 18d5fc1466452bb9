"""Implicit gradient descent on a physics-informed network: w⁺ = w − η∇L(w⁺).

The network u(x) = m^{−1/2} Σ_j a_j tanh(b_j x + c_j) with a fixed second layer solves u'' = f on [0, 1] with two
boundary values in the least-squares sense: L = ½‖r‖² with

    r = ((u''(x_i) − f_i)/√n, (u(0) − g_0)/√2, (u(1) − g_1)/√2),

and w = (b, c) is trained.  A step is solved by Newton's method on the proximal objective L(v) + ‖v − w‖²/(2η),
from v = w and without ever raising it.  What theorems speak about is the sequence of float64 points that comes
out: it is exact as it stands, and how well each step is solved is one of its observables.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from models.dataset import Array
from models.instance import InvalidRun
from models.records import RecordDataset, RecordInstance, RecordRun
from models.trajectory import FINISHED, NON_FINITE_STEP, RECORD_LIMIT, Trajectory, recorded_steps

_EPS = 2.0**-52
#: Newton's method ends after so many iterations, and a line search after so many halvings.
_MOST_ITERATIONS, _MOST_CUTS = 80, 24
#: The float run ends where rounding hides more of a step's residual than this.
_CONVERGED = 2.0**-21
CONVERGED = "gradient lost in rounding"


@dataclass(frozen=True, eq=False)
class Poisson(RecordDataset):
    """The boundary value problem u'' = f, (u(0), u(1)) = g at collocation points.

    Parameters
    ----------
    X : array, shape (n,)
        Points in [0, 1].
    f : array, shape (n,)
    g : array, shape (2,)

    Raises
    ------
    InvalidDataset
        If a point is outside, or there are not two boundary values.
    """

    unit: ClassVar[str] = "collocation points"
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"X": ("n",), "f": ("n",), "g": ("end",)}
    f: Array
    g: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(bool(((self.X >= 0.0) & (self.X <= 1.0)).all()), "X: give points from 0 to 1")
        self.require(self.g.size == 2, f"g has {self.g.size} entries: give u(0) and u(1)")


@dataclass(frozen=True, eq=False)
class PinnRun(RecordRun):
    """How a network is trained.

    Parameters
    ----------
    steps : int
    eta : float
        η > 0.
    W_0 : array, shape (m, 2)
        b_j and c_j, one hidden neuron a row.
    a : array, shape (m,)
        The second layer, which is not trained.
    tolerance : float
        A step is solved once ‖w⁺ − w + η∇L(w⁺)‖ is at most this share of η‖∇L(w⁺)‖, from 0 (as far as float64
        goes) to 1.
    backward : int
        1: W_0 is w_1, and the run starts at w_0 = w_1 + (1 − tolerance)η∇L(w_1), so that w_1 solves the first step
        just as well as the tolerance allows, be it a minimum of the proximal objective or not.  0: the run starts
        at W_0.

    Raises
    ------
    InvalidRun
        For numbers out of range; the message names the field and the fix.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"W_0": ("m", "part"), "a": ("m",)}
    eta: float
    W_0: Array
    a: Array
    tolerance: float = 0.0
    backward: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.eta > 0.0, f"eta = {self.eta!r}: give a positive step size")
        self.require(self.W_0.shape[1] == 2, f"W_0 has {self.W_0.shape[1]} columns: give b and c of each neuron")
        self.require(0.0 <= self.tolerance <= 1.0, f"tolerance = {self.tolerance!r}: give a share from 0 to 1")
        self.require(self.backward <= 1, f"backward = {self.backward}: give 0 or 1")


class PinnInstance(RecordInstance):
    """A boundary value problem and a network's training run."""

    system = "pinn"
    parts = (Poisson, PinnRun)


# ------------------------------------------------------------------------------- formulas of both tiers
def slopes(y: Any) -> tuple[Any, Any, Any, Any, Any]:
    """tanh and its first four derivatives, as polynomials in its value ``y`` (floats, arrays or balls)."""
    first = 1 - y * y
    return y, first, -2 * y * first, (6 * y * y - 2) * first, 8 * y * (2 - 3 * y * y) * first


def inside(b: Any, x: Any, s: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """The second derivative in x of tanh(bx + c), and its derivatives in b and c; ``s`` are the `slopes`."""
    return b * b * s[2], 2 * b * s[2] + b * b * x * s[3], b * b * s[3]


def at_end(x: Any, s: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """tanh(bx + c), and its derivatives in b and c."""
    return s[0], x * s[1], s[1]


# ------------------------------------------------------------------------------------------- in float64
@dataclass(frozen=True, eq=False)
class Point:
    """The loss and its derivatives at weights W.

    Attributes
    ----------
    W : array, shape (m, 2)
    r : array, shape (n + 2,)
        Residuals.
    J : array, shape (n + 2, 2m)
        Their Jacobian.
    bend : array, shape (2m, 2m)
        Σ_i r_i ∇²r_i, so that ∇²L = JᵀJ + bend.
    r_error, J_error : float
        Bounds on the rounding errors of r and J in their Euclidean norms.
    """

    W: Array
    r: Array
    J: Array
    bend: Array
    r_error: float
    J_error: float

    @property
    def loss(self) -> float:
        """½‖r‖²."""
        return float(self.r @ self.r) / 2

    @property
    def gradient(self) -> Array:
        """∇L = Jᵀr, shape (2m,)."""
        return np.asarray(self.J.T @ self.r)

    @property
    def gradient_error(self) -> float:
        """Bound on its rounding error."""
        r, J = float(np.linalg.norm(self.r)), float(np.linalg.norm(self.J))
        return J * self.r_error + self.J_error * (r + self.r_error) + _EPS * (self.r.size + 4) * J * r

    @property
    def singular(self) -> tuple[float, float]:
        """σ = λ_min(JJᵀ)^{1/2} and a bound on its error; 0 if J has fewer columns than rows."""
        rows, columns = self.J.shape
        if columns < rows:
            return 0.0, 0.0
        least = float(np.linalg.svd(self.J, compute_uv=False)[-1])
        return least, self.J_error + _EPS * 8 * rows * float(np.linalg.norm(self.J))


@np.errstate(all="ignore")
def point(data: Poisson, run: PinnRun, W: Array) -> Point:
    """The loss and its derivatives at W."""
    n, m = data.X.size, run.a.size
    b, c = W[:, 0], W[:, 1]
    x, ends = data.X[:, None], np.array([[0.0], [1.0]])
    out = run.a / math.sqrt(m)
    s, e = slopes(np.tanh(x * b + c)), slopes(np.tanh(ends * b + c))
    outer, far = 1 / math.sqrt(n), 1 / math.sqrt(2.0)
    interior, boundary = inside(b, x, s), at_end(ends, e)
    r = np.concatenate([outer * (interior[0] @ out - data.f), far * (boundary[0] @ out - data.g)])
    J = np.concatenate(
        [
            outer * (np.stack(interior[1:], axis=2) * out[:, None]).reshape(n, 2 * m),
            far * (np.stack(boundary[1:], axis=2) * out[:, None]).reshape(2, 2 * m),
        ]
    )
    # Second derivatives mix no two neurons.
    second = np.array(
        [
            [2 * s[2] + 4 * b * x * s[3] + (b * x) ** 2 * s[4], 2 * b * s[3] + b * b * x * s[4]],
            [2 * b * s[3] + b * b * x * s[4], b * b * s[4]],
        ]
    )
    final = np.array([[ends**2 * e[2], ends * e[2]], [ends * e[2], e[2]]])
    blocks = np.einsum("pqij,i,j->jpq", second, outer * r[:n], out)
    blocks += np.einsum("pqij,i,j->jpq", final, far * r[n:], out)
    bend = np.zeros((2 * m, 2 * m))
    for j in range(m):
        bend[2 * j : 2 * j + 2, 2 * j : 2 * j + 2] = blocks[j]
    # The derivatives of tanh up to the fourth are below 5, and bx + c is rounded with its two terms' sizes.
    size = np.abs(out) * (1 + np.abs(b) + np.abs(c))
    value = float((size * (1 + b * b)).sum()) + float(np.abs(data.f).max() + np.abs(data.g).max())
    slope = float(np.linalg.norm(size * (1 + np.abs(b)) ** 2))
    return Point(W, r, J, bend, 32 * _EPS * (m + 4) * value, 64 * _EPS * slope)


@np.errstate(all="ignore")
def start_of(run: PinnRun, end: Point) -> Array:
    """The w from which a step ends at a point that solves it as well as the tolerance allows, shape (m, 2)."""
    return np.asarray(end.W + ((1.0 - run.tolerance) * run.eta * end.gradient).reshape(-1, 2))


def path(instance: PinnInstance) -> Iterator[Point]:
    """The points w_0, w_1, … of a run, each the one that Newton's method reaches from the one before."""
    data, run = instance.dataset, instance.run
    here = point(data, run, run.W_0)
    if run.backward:
        yield point(data, run, start_of(run, here))
    while True:
        yield here
        here = _proximal(instance, here)


@np.errstate(all="ignore")
def _proximal(instance: PinnInstance, start: Point) -> Point:
    """The next point: Newton's method on the proximal objective, directions of negative curvature turned round."""
    data, run = instance.dataset, instance.run
    w, one = start.W, np.eye(start.W.size)

    def objective(p: Point) -> float:
        return float(p.loss + ((p.W - w) ** 2).sum() / (2 * run.eta))

    def unsolved(p: Point) -> Array:
        return np.asarray((p.W - w).ravel() + run.eta * p.gradient)

    here, left = start, unsolved(start)
    for _ in range(_MOST_ITERATIONS):
        wanted = run.tolerance * run.eta * np.linalg.norm(here.gradient)
        rounding = _EPS * (np.linalg.norm(here.W) + run.eta * np.linalg.norm(here.J) * np.linalg.norm(here.r))
        if np.linalg.norm(left) <= max(wanted, rounding):
            break
        matrix = one + run.eta * (here.J.T @ here.J + here.bend)
        if not np.isfinite(matrix).all():
            break
        curvatures, directions = np.linalg.eigh(matrix)
        # Along a direction of negative curvature, too, the objective is to fall.
        push = -directions @ (
            directions.T @ left / np.maximum(np.abs(curvatures), _EPS * np.abs(curvatures).max())
        )
        height, slope = objective(here), float(left @ push) / run.eta
        for cut in range(_MOST_CUTS):
            there = point(data, run, w + (here.W - w + (push * 0.5**cut).reshape(-1, 2)))
            reached, rest = objective(there), unsolved(there)
            falls = reached < height and reached <= height + 1e-4 * 0.5**cut * slope
            # Where rounding hides the fall, a smaller residual tells.
            closer = cut == 0 and np.linalg.norm(rest) < np.linalg.norm(left) / 2
            if falls or (closer and reached <= height * (1 + 64 * _EPS)):
                break
        else:
            break
        here, left = there, rest
    return here


#: Columns at each recorded step t, each followed by a bound on its error; of the points w_t and w_{t+1}.
COLUMNS = (
    "residual",  # ‖r(w_t)‖
    "residual_error",
    "residual_next",  # ‖r(w_{t+1})‖
    "residual_next_error",
    "singular_next",  # λ_min(H(w_{t+1}))^{1/2}
    "singular_next_error",
    "step_length",  # ‖w_{t+1} − w_t‖
    "step_length_error",
    "unsolved",  # ‖w_{t+1} − w_t + η∇L(w_{t+1})‖
    "unsolved_error",
    "push",  # η‖∇L(w_{t+1})‖
    "push_error",
    "log_contraction",  # Σ_{k≤t} log(1 + (1 − θ_k)²ηλ_{k+1})
    "log_contraction_error",
)


class PinnGeometry:
    """What does not change during training: the smallest eigenvalue of H at the start.

    Attributes
    ----------
    start : Point
        w_0.
    """

    def __init__(self, instance: PinnInstance) -> None:
        self.start = next(path(instance))


def train_pinn(instance: PinnInstance, dense: int = RECORD_LIMIT) -> Trajectory:
    """Train in float64, recording every step up to ``dense``: a `Trajectory` with the columns of `COLUMNS`."""
    run, rows, status = instance.run, [], FINISHED
    t = recorded_steps(run.steps, dense)
    wanted = set(t.tolist())
    log_low = log_high = 0.0
    with np.errstate(all="ignore"):
        points = path(instance)
        here = next(points)
        for step in range(run.steps + 1):
            there = next(points)
            if not (np.isfinite(there.J).all() and math.isfinite(here.loss + there.loss)):
                status = NON_FINITE_STEP
                break
            pair = _pair(run, here, there)
            low, high = _gain(run.eta, there, pair)
            log_low, log_high = log_low + math.log1p(low), log_high + math.log1p(high)
            middle = (log_low + log_high) / 2
            error = (log_high - log_low) / 2 + _EPS * (step + 4) * abs(log_high)
            if step in wanted:
                rows.append([*_sizes(here), *_sizes(there), *there.singular, *pair, middle, error])
            if pair[3] + pair[5] > _CONVERGED * pair[4] and step < run.steps:
                status = CONVERGED
                break
            here = there
    table = np.array(rows).reshape(len(rows), len(COLUMNS))
    table.setflags(write=False)
    return Trajectory(t[: len(rows)], table, None, status, COLUMNS)


def _sizes(p: Point) -> tuple[float, float]:
    size = float(np.linalg.norm(p.r))
    return size, p.r_error + _EPS * p.r.size * size


def _pair(run: PinnRun, here: Point, there: Point) -> tuple[float, float, float, float, float, float]:
    """‖w⁺ − w‖, ‖w⁺ − w + η∇L(w⁺)‖ and η‖∇L(w⁺)‖, each with a bound on its error."""
    moved = (there.W - here.W).ravel()
    length, push = float(np.linalg.norm(moved)), run.eta * float(np.linalg.norm(there.gradient))
    length_error = _EPS * (moved.size + 2) * length
    push_error = run.eta * there.gradient_error + _EPS * (moved.size + 2) * push
    left = float(np.linalg.norm(moved + run.eta * there.gradient))
    return length, length_error, left, length_error + push_error + _EPS * moved.size * left, push, push_error


def _gain(eta: float, there: Point, pair: tuple[float, ...]) -> tuple[float, float]:
    """Bounds on (1 − θ)²ηλ_min(H(w⁺))."""
    sigma, error = there.singular
    _, _, left, left_error, push, push_error = pair
    if push <= push_error:
        return 0.0, eta * (sigma + error) ** 2
    most, least = (left + left_error) / (push - push_error), max(left - left_error, 0.0) / (push + push_error)
    low, high = max(sigma - error, 0.0), sigma + error
    return max(1 - most, least - 1, 0.0) ** 2 * eta * low**2, max(1 - least, most - 1) ** 2 * eta * high**2


def restarted_pinn(instance: PinnInstance, step: int, geometry: PinnGeometry) -> PinnInstance:
    """The run taken up at its float state of a step, of no further steps; its next point is the same.

    Raises
    ------
    InvalidRun
        If the run leaves float64's range before that step.
    """
    if step == 0:
        return instance.with_run(steps=0)
    points = path(instance)
    for _ in range(step):
        next(points)
    W = next(points).W
    if not np.isfinite(W).all():
        raise InvalidRun(f"the run leaves float64's range before step {step}: take an earlier one")
    return instance.with_run(steps=0, W_0=W, backward=0)
