"""Balls around the solution of K_SS λ_S = 1 and around the margins Kλ: what proves a support."""

from __future__ import annotations

import math
from collections.abc import Sequence

import flint
import numpy as np
from flint import arb, arb_mat, fmpq, fmpz_mat

from models.dyadic import DyadicMatrix

PRECISION = 256  # bits of the balls that prove a support
_SHARP = 64  # bits to which a ball must be known before its midpoint is used
_REFINED = 128  # bits at which refinement stops: margins lose some of them
_LARGE = 48  # size from which refining a float inverse is faster than elimination in balls
_CONTRACTION = 2.0**-10  # largest ‖I − RA‖ of a float inverse R that is refined
_EPS = 2.0**-52

#: Balls around λ and around the margins ⟨Z_j, W_mm⟩, one a pair.
Enclosure = tuple[list[arb], list[arb]]


def enclose(gram: DyadicMatrix, support: Sequence[int]) -> Enclosure | None:
    """Balls around λ (zero off ``support``) and all margins Kλ, where K_SS λ_S = 1; None if not resolved."""
    K, size = gram.integers, len(support)
    system = fmpz_mat(size, size, [K[j, k] for j in support for k in support])
    with flint.ctx.workprec(PRECISION):
        solution = _refined(system) if size >= _LARGE else None
        if solution is None:
            solution = _eliminated(arb_mat(system))
        if solution is None:
            return None
        unscaled = [arb(0)] * K.nrows()
        for j, ball in zip(support, solution, strict=True):
            unscaled[j] = ball
        margins = (arb_mat(K) * arb_mat(K.nrows(), 1, unscaled)).entries()
        unit = arb(fmpq(2) ** -gram.exponent)
        return [ball * unit for ball in unscaled], margins


def optimal(gram: DyadicMatrix, support: Sequence[int], enclosure: Enclosure) -> bool:
    """Whether λ_S > 0 and ⟨Z_j, W⟩ ≥ 1 off S, beyond doubt: balls above 1, or a pair that repeats one of S."""
    K, (multipliers, margins) = gram.integers, enclosure
    inside = set(support)

    def repeats(j: int) -> bool:
        return any(K[j, j] - 2 * K[j, k] + K[k, k] == 0 for k in support)  # ‖Z_j − Z_k‖² = 0

    return all(multipliers[j] > 0 if j in inside else margins[j] > 1 or repeats(j) for j in range(len(margins)))


def sharp(balls: Sequence[arb], bits: int = _SHARP) -> bool:
    """Whether all midpoints are known to ``bits`` bits, by default more than a float has (an exact zero is)."""
    return all(int(ball.rel_accuracy_bits()) >= bits for ball in balls)


def _eliminated(system: arb_mat) -> list[arb] | None:
    """Balls around the solution of ``system · x = 1``, sharp; None if not resolved.

    Elimination is several times faster than the preconditioned solver, whose balls stay tight in high
    dimension, where those of elimination grow.
    """
    ones = _ones(system.nrows())
    for algorithm in ("lu", "precond"):
        try:
            solution = system.solve(ones, algorithm=algorithm).entries()
        except ZeroDivisionError:
            continue
        if sharp(solution):
            return list(solution)
    return None


def _refined(system: fmpz_mat) -> list[arb] | None:
    """Balls around the solution of ``system · x = 1`` by refining a float inverse R; None if it is too poor.

    Let A be the system divided by a power of two.  If ‖I − RA‖_∞ ≤ q < 1, then A is regular and any x̃ is
    within ‖R(1 − Ax̃)‖_∞ / (1 − q) of the solution, in each entry.  Residuals are formed in balls.
    """
    size = system.nrows()
    bits = max(int(abs(system[j, j])) for j in range(size)).bit_length()  # a Gram matrix: the diagonal dominates
    rounded = DyadicMatrix.of(system, -bits).floats()
    try:
        inverse = np.linalg.inv(rounded)
    except np.linalg.LinAlgError:
        return None
    # Rounding of A and of the product, in whatever order it sums, adds at most (size + 2)·ε·|R||A| to each row
    # sum; underflow adds far less while R is bounded.  The factor 4 pays for the rounding of this bound.
    with np.errstate(all="ignore"):
        rows = np.abs(inverse) @ np.abs(rounded).sum(axis=1)
        deviation = np.abs(np.eye(size) - inverse @ rounded).sum(axis=1)
        contraction = float(np.max(deviation + 4 * (size + 2) * _EPS * rows))
    if not (contraction <= _CONTRACTION and np.abs(inverse).max() < 2.0**500):
        return None
    scale = arb(fmpq(2) ** -bits)
    R, A, ones = arb_mat(size, size, inverse.ravel().tolist()), arb_mat(system) * scale, _ones(size)
    x, radius = arb_mat(size, 1, [0] * size), arb(math.inf)
    while True:
        change = R * (ones - A * x)
        before, radius = radius, max(ball.abs_upper() for ball in change.entries()) / (1 - _CONTRACTION)
        balls = [ball + arb(0, radius) for ball in x.entries()]
        if sharp(balls, _REFINED) or not 2 * radius < before:  # rounding ends what refinement can do
            break
        x = (x + change).mid()
    if not sharp(balls):
        return None
    return [ball * scale for ball in balls]


def _ones(size: int) -> arb_mat:
    return arb_mat(size, 1, [1] * size)
