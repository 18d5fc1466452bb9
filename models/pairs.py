"""Pair features Z_it = (x_{i,o_i} − x_it) q_iᵀ and their Gram matrix, exactly."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from flint import fmpq

from models.dataset import Array, TokenDataset
from models.dyadic import DyadicMatrix, nearest_float


class PairFeatures:
    """The N = n(T − 1) pair features of a dataset, seen through inner products only.

    Pair ``j`` is (sequence ``j // (T−1)``, non-optimal token ``others[i, j % (T−1)]``).  No d × d matrix is
    formed: ⟨Z_it, Z_jτ⟩ = ⟨x_{i,o} − x_it, x_{j,o} − x_jτ⟩ ⟨q_i, q_j⟩ (docs/theory.md#setting).
    """

    def __init__(self, dataset: TokenDataset) -> None:
        self.dataset = dataset
        n, T, d = dataset.X.shape
        tokens = DyadicMatrix(dataset.X.reshape(n * T, d))
        best = [i * T + int(dataset.optimal[i]) for i in range(n) for _ in range(T - 1)]
        rest = [i * T + int(t) for i in range(n) for t in dataset.others[i]]
        self._sequence = [i for i in range(n) for _ in range(T - 1)]
        self._differences = tokens.differences(best, rest)
        self._queries = DyadicMatrix(np.ascontiguousarray(dataset.queries))

    @cached_property
    def exact_gram(self) -> DyadicMatrix:
        """K[j, k] = ⟨Z_j, Z_k⟩, exact, N × N."""
        between = self._differences @ self._differences.T
        queries = self._queries @ self._queries.T
        return between.hadamard(queries, rows=self._sequence, columns=self._sequence)

    @cached_property
    def gram(self) -> Array:
        """K rounded once to float64, shape (N, N)."""
        return self.exact_gram.floats()

    @cached_property
    def exact_radius_sq(self) -> fmpq:
        """B² = max_j ‖Z_j‖², exact."""
        gram = self.exact_gram
        N = gram.integers.nrows()
        return max(gram.integers[j, j] for j in range(N)) * fmpq(2) ** gram.exponent

    @property
    def radius(self) -> float:
        """B = max_j ‖Z_j‖_F."""
        return math.sqrt(nearest_float(self.exact_radius_sq))

    def exact_margins(self, W: Array) -> list[fmpq]:
        """Margins m_j(W) = ⟨Z_j, W⟩ of a d × d float matrix, exact, in pair order."""
        projected = self._queries @ DyadicMatrix(W).T  # row i is (W q_i)ᵀ
        products = self._differences.hadamard(projected, rows=self._sequence)
        return [sum(row, fmpq(0)) for row in products.rationals()]

    def combine(self, weights: Array) -> Array:
        """The d × d matrix Σ_j weights_j Z_j in float64."""
        dataset = self.dataset
        coefficients = weights.reshape(dataset.n, dataset.T - 1)
        best = dataset.X[np.arange(dataset.n), dataset.optimal]
        rest = np.take_along_axis(dataset.X, dataset.others[:, :, None], axis=1)
        pulled = np.einsum("it,itd->id", coefficients, best[:, None, :] - rest)
        return np.asarray(np.einsum("id,ie->de", pulled, dataset.queries), dtype=np.float64)
