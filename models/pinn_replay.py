"""Implicit gradient descent in Arb balls: what is claimed of pairs of points, at the float64 points themselves.

Nothing is solved again.  The float run chooses w_0, w_1, …, which are exact numbers; the loss, the Jacobian, the
smallest eigenvalue of H = JJᵀ and how well a step was solved are enclosed there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import flint
import numpy as np
from flint import arb, arb_mat

from models.dataset import Array
from models.joint_replay import root
from models.pinn import PinnInstance, at_end, inside, path, slopes
from models.replay import PrecisionLost, total

#: Iterations towards the smallest eigenvector; each of the last ones has three times as many digits.
_ROUNDS = 6


class BallPoint:
    """The loss and its derivatives at weights W, in balls at the working precision at which it is made.

    Attributes
    ----------
    W : list of arb
        b_1, c_1, b_2, c_2, …
    r : list of arb
        Residuals.
    J : arb_mat, shape (n + 2, 2m)
    """

    def __init__(self, instance: PinnInstance, W: list[arb]) -> None:
        data, run = instance.dataset, instance.run
        m, n = run.a.size, data.X.size
        self.W = W
        out = [arb(float(a)) / arb(m).sqrt() for a in run.a]
        interior, boundary = 1 / arb(n).sqrt(), 1 / arb(2).sqrt()
        self.r: list[arb] = []
        rows = []
        places = [(x, f, interior, False) for x, f in zip(data.X, data.f, strict=True)]
        places += [(0.0, data.g[0], boundary, True), (1.0, data.g[1], boundary, True)]
        for x, target, weight, end in places:
            value, row, x = -arb(float(target)), [], arb(float(x))
            for b, c, a in zip(self.W[::2], self.W[1::2], out, strict=True):
                s = slopes((b * x + c).tanh())
                u, in_b, in_c = at_end(x, s) if end else inside(b, x, s)
                value += a * u
                row += [weight * a * in_b, weight * a * in_c]
            self.r.append(weight * value)
            rows.append(row)
        self.J = arb_mat(rows)

    @cached_property
    def loss(self) -> arb:
        """½‖r‖²."""
        return total([x * x for x in self.r]) / 2

    @cached_property
    def gradient(self) -> list[arb]:
        """∇L = Jᵀr."""
        return list((self.J.transpose() * arb_mat(len(self.r), 1, self.r)).entries())

    @cached_property
    def gram_eig(self) -> arb:
        """λ_min(JJᵀ); exactly 0 if J has fewer columns than rows."""
        if self.J.ncols() < self.J.nrows():
            return arb(0)
        return smallest_eigenvalue(self.J * self.J.transpose())


class PinnBallState:
    """The pair w_t, w_{t+1} of a run in balls, and the product of what its steps so far guarantee.

    Attributes
    ----------
    start : BallPoint
        w_0.
    """

    def __init__(
        self, instance: PinnInstance, t: int, here: BallPoint, there: BallPoint, past: PinnBallState | None
    ) -> None:
        self.t, self.here, self.there, self.past = t, here, there, past
        self.eta = arb(instance.run.eta)
        self.start: BallPoint = here if past is None else past.start

    @property
    def step_length(self) -> arb:
        """‖w_{t+1} − w_t‖."""
        return root(total([x * x for x in self._moved]))

    @cached_property
    def implicit_residual(self) -> arb:
        """θ_t; not finite where ∇L(w_{t+1}) may be 0."""
        pushes = [self.eta * g for g in self.there.gradient]
        left = total([(x + push) ** 2 for x, push in zip(self._moved, pushes, strict=True)])
        return root(left) / root(total([push * push for push in pushes]))

    @cached_property
    def gram_contraction(self) -> arb:
        """Π_{k≤t} 1/(1 + (1 − θ_k)²ηλ_min(H(w_{k+1})))."""
        here: arb = 1 / (1 + (1 - self.implicit_residual) ** 2 * self.eta * self.there.gram_eig)
        return here if self.past is None else self.past.gram_contraction * here

    @property
    def _moved(self) -> list[arb]:
        return [there - here for there, here in zip(self.there.W, self.here.W, strict=True)]


def pinn_replay(instance: PinnInstance) -> Iterator[PinnBallState]:
    """The pairs t = 0, 1, … in balls at the working precision.

    Raises
    ------
    PrecisionLost
        If the run leaves float64's range.
    """
    state: PinnBallState | None = None
    points = path(instance)
    here = BallPoint(instance, _exact(next(points).W))
    for t, p in enumerate(points):
        there = BallPoint(instance, _exact(p.W))
        state = PinnBallState(instance, t, here, there, state)
        yield state
        here = there


def _exact(W: Array) -> list[arb]:
    if not np.isfinite(W).all():
        raise PrecisionLost("the run leaves float64's range")
    return [arb(float(w)) for w in W.ravel()]


def smallest_eigenvalue(matrix: arb_mat) -> arb:
    """The smallest eigenvalue of a positive semidefinite matrix.

    A Rayleigh quotient ρ is an upper bound.  Elimination with positive pivots proves that matrix − μI is positive
    definite, so that μ is a lower one.

    Raises
    ------
    PrecisionLost
        If that does not succeed for a μ near ρ at the working precision.
    """
    n, bits = matrix.nrows(), flint.ctx.prec
    size = total([arb(x.abs_upper()) for x in matrix.entries()])
    if size.is_zero():
        return arb(0)
    one = arb_mat(n, n, [int(i == j) for i in range(n) for j in range(n)])
    middle = np.array([[float((x / size).mid()) for x in row] for row in matrix.tolist()])
    v = arb_mat(n, 1, [arb(float(x)) for x in np.linalg.eigh(middle)[1][:, 0]])
    quotient = _rayleigh(matrix, v)
    for k in range(_ROUNDS):
        # Inverse iteration goes to the smallest eigenvalue, and with its quotient as a shift it goes there fast.
        shift = -size * arb(2) ** -(bits // 2) if k < _ROUNDS // 2 else quotient
        try:
            v = (matrix - one * shift).mid().solve(v).mid()
        except ZeroDivisionError:  # an eigenvalue to all digits
            break
        quotient = _rayleigh(matrix, v)
    high = arb(quotient.upper())
    for kept in (3 * bits // 4, bits // 2, bits // 4):
        low = arb((high - size * arb(2) ** -kept).lower())
        if low <= 0:
            return arb(0).union(high)
        if _positive(matrix - one * low):
            return low.union(high)
    raise PrecisionLost("the smallest eigenvalue is not enclosed at this precision")


def _rayleigh(matrix: arb_mat, v: arb_mat) -> arb:
    row = v.transpose()
    quotient: arb = (row * matrix * v)[0, 0] / (row * v)[0, 0]
    return quotient


def _positive(matrix: arb_mat) -> bool:
    """Whether a symmetric matrix is proved to be positive definite."""
    rows = matrix.tolist()
    for k, pivot in enumerate(rows):
        if not pivot[k] > 0:
            return False
        for row in rows[k + 1 :]:
            factor = row[k] / pivot[k]
            for j in range(k, len(row)):
                row[j] -= factor * pivot[j]
    return True
