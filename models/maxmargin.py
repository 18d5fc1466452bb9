"""The W-SVM: W_mm = argmin ‖W‖_F subject to ⟨Z_it, W⟩ ≥ 1 for all pairs, solved exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import daqp
import flint
import numpy as np
from flint import arb, fmpq, fmpq_mat, fmpz_mat
from scipy.optimize import nnls

from models.dataset import Array
from models.dyadic import DyadicMatrix
from models.maxmargin_balls import PRECISION, Enclosure, enclose, optimal, sharp
from models.minnorm import min_norm_point

_ACTIVE = 1e-9  # relative size below which a float multiplier counts as zero (a guess that is then checked)


class Gram(Protocol):
    """Vectors known through their inner products: the exact Gram matrix, and that rounded once."""

    @property
    def exact_gram(self) -> DyadicMatrix:
        """All inner products, exact."""

    @property
    def gram(self) -> Array:
        """All inner products, rounded once."""


class InseparableError(ValueError):
    """No W has ⟨Z_it, W⟩ > 0 for every pair.

    ``certificate`` holds weights p ≥ 0 with Σp = 1 and Σ p_j Z_j = 0 exactly, which excludes every such W.
    """

    def __init__(self, certificate: list[fmpq]) -> None:
        self.certificate = certificate
        pairs = [j for j, w in enumerate(certificate) if w != 0]
        super().__init__(
            f"the tokens are not separable: pairs {pairs[:6]} have a convex combination that is zero; "
            "drop one of their sequences or add dimensions (feasibility is typical for d ≥ max(T−1, n))"
        )


@dataclass(frozen=True)
class MaxMargin:
    """The exact solution of the W-SVM through its dual: W_mm = Σ_j λ_j Z_j with λ ≥ 0.

    The support determines everything: K_SS λ_S = 1 is a regular rational system.  That it *is* the support
    was proved by `solve`; the rationals themselves are computed when first asked for.

    Attributes
    ----------
    gram : DyadicMatrix
        Exact Gram matrix K of the pair features, N × N.
    support : tuple of int
        Pairs S with λ_j > 0; K_SS is regular.
    proof : optional
        Balls around λ and around all margins, kept from the proof that ``support`` is the support.
    """

    gram: DyadicMatrix
    support: tuple[int, ...]
    proof: Enclosure | None = field(default=None, repr=False, compare=False)

    @cached_property
    def multipliers(self) -> list[fmpq]:
        """λ, exact, one a pair.  Σλ = ‖W_mm‖²."""
        K, size = self.gram.integers, len(self.support)
        system = fmpz_mat(size, size, [K[j, k] for j in self.support for k in self.support])
        solution = system.solve(fmpz_mat(size, 1, [1] * size))
        unit = fmpq(2) ** -self.gram.exponent
        result = [fmpq(0)] * K.nrows()
        for position, j in enumerate(self.support):
            result[j] = solution[position, 0] * unit
        return result

    @cached_property
    def margins(self) -> list[fmpq]:
        """⟨Z_j, W_mm⟩ ≥ 1, exact, one a pair; equal to 1 on the support."""
        product = fmpq_mat(self.gram.integers) * fmpq_mat(len(self.multipliers), 1, self.multipliers)
        unit = fmpq(2) ** self.gram.exponent
        return [product[j, 0] * unit for j in range(product.nrows())]

    @property
    def norm_sq(self) -> fmpq:
        """‖W_mm‖² = Σ_j λ_j (strong duality), exact."""
        return sum(self.multipliers, fmpq(0))

    @cached_property
    def _enclosure(self) -> Enclosure:
        enclosure = self.proof or enclose(self.gram, self.support)
        if enclosure is None or not sharp([*enclosure[0], *enclosure[1]]):
            # K_SS is regular, so more precision would do; the rationals always do.
            with flint.ctx.workprec(PRECISION):
                return [arb(w) for w in self.multipliers], [arb(m) for m in self.margins]
        return enclosure

    @cached_property
    def _gamma(self) -> arb:
        with flint.ctx.workprec(PRECISION):
            return (1 / sum(self._enclosure[0], arb(0))).sqrt()

    @property
    def gamma(self) -> float:
        """Token margin γ = 1/‖W_mm‖_F."""
        return float(self._gamma.mid())

    @property
    def direction(self) -> Array:
        """Coefficients λ̂ = γλ of the direction Ŵ = Σ_j λ̂_j Z_j, ‖Ŵ‖ = 1; shape (N,)."""
        return self._scaled(self._enclosure[0])

    @property
    def alignments(self) -> Array:
        """⟨Z_j, Ŵ⟩ ≥ γ for every pair; shape (N,)."""
        return self._scaled(self._enclosure[1])

    def _scaled(self, balls: list[arb]) -> Array:
        # The product is formed before it is rounded: λ alone may leave the range of float64.
        with flint.ctx.workprec(PRECISION):
            return np.array([float((self._gamma * ball).mid()) for ball in balls])

    def inner_product(self, margins: Sequence[fmpq]) -> fmpq:
        """⟨W, W_mm⟩ = Σ_j λ_j m_j(W) from the exact margins of W."""
        return sum((w * m for w, m in zip(self.multipliers, margins, strict=True)), fmpq(0))

    def primal_residual(self) -> fmpq:
        """max_j (1 − ⟨Z_j, W_mm⟩)_+, exactly zero."""
        return max(fmpq(0), 1 - min(self.margins))

    def dual_residual(self) -> fmpq:
        """max_j (−λ_j)_+, exactly zero."""
        return max(fmpq(0), -min(self.multipliers))

    def complementarity(self) -> fmpq:
        """Σ_j λ_j (⟨Z_j, W_mm⟩ − 1), exactly zero: the duality gap."""
        pairs = zip(self.multipliers, self.margins, strict=True)
        return sum((w * (m - 1) for w, m in pairs), fmpq(0))


def solve(features: Gram) -> MaxMargin:
    """Solve the W-SVM exactly.

    A float solver proposes the support S.  Ball arithmetic then tries to prove it: λ_S > 0 and ⟨Z_j, W⟩ > 1
    off S, both strict, is optimality; pairs that repeat one of S have its margin, 1.  Where that fails (other
    margins of exactly 1 off the support, dependent features, inseparable data, a wrong guess), the rational
    minimum-norm point x* of conv{Z_j} settles it without a tolerance: W_mm = x*/‖x*‖².  No solver status is
    trusted.

    Raises
    ------
    InseparableError
        With an exact certificate, when 0 ∈ conv{Z_j}.
    """
    exact = features.exact_gram
    guess = propose_support(features.gram)
    enclosure = enclose(exact, guess) if guess else None
    if enclosure is not None and optimal(exact, guess, enclosure):
        return MaxMargin(exact, tuple(guess), enclosure)
    point = min_norm_point(exact.integers, guess)
    if point.norm_sq == 0:
        raise InseparableError(point.weights)
    return MaxMargin(exact, tuple(j for j, weight in enumerate(point.weights) if weight > 0))


def propose_support(gram: Array) -> list[int]:
    """A float guess of the pairs with λ_j > 0: DAQP on the dual, on the primal, or least distance by NNLS.

    The dual ``min ½λᵀKλ − 1ᵀλ, λ ≥ 0`` is used when K is positive definite; otherwise the primal
    ``min ½‖w‖², Rw ≥ 1`` with K = RRᵀ.  When DAQP gives up, the least-distance problem
    ``min ‖[Rᵀ; 1ᵀ]p − [0; 1]‖, p ≥ 0`` is solved, whose residual vanishes exactly for inseparable data.
    """
    scale = float(np.max(np.diag(gram))) if gram.size else 0.0
    if not (0.0 < scale < math.inf):
        return []
    K = gram / scale
    N = K.shape[0]
    ones = np.ones(N)
    multipliers: Array | None = None
    try:
        np.linalg.cholesky(K - 1e-12 * np.eye(N))
        multipliers, status = _dual(K, ones)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(K)
        keep = values > 1e-13 * values[-1]
        root = vectors[:, keep] * np.sqrt(values[keep])
        multipliers, status = _primal(root, ones)
        if status != 1:
            try:
                multipliers, _ = nnls(np.vstack([root.T, ones]), np.append(np.zeros(root.shape[1]), 1.0))
            except RuntimeError:  # it gives up on some ill-conditioned data; no guess is needed, only welcome
                return []
    if not np.isfinite(multipliers).all():
        return []
    return [int(j) for j in np.flatnonzero(multipliers > _ACTIVE * multipliers.max(initial=0.0))]


def _dual(K: Array, ones: Array) -> tuple[Array, int]:
    N = ones.size
    bounds = np.full(N, 1e30), np.zeros(N)
    sense = np.zeros(N, dtype=np.int32)
    x, _, status, _ = daqp.solve(K.copy(), -ones, np.zeros((0, N)), *bounds, sense)
    return np.asarray(x), int(status)


def _primal(root: Array, ones: Array) -> tuple[Array, int]:
    rank = root.shape[1]
    bounds = np.full(ones.size, 1e30), ones.copy()
    sense = np.zeros(ones.size, dtype=np.int32)
    factor = np.ascontiguousarray(root)
    _, _, status, info = daqp.solve(np.eye(rank), np.zeros(rank), factor, *bounds, sense)
    return np.abs(np.asarray(info["lam"])), int(status)
