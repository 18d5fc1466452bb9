"""Pair features Z_it = (x_{i,o_i} − x_it) q_iᵀ and their Gram matrix, exactly."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from flint import fmpq, fmpq_mat

from models.dataset import Array, AttentionTokens, InvalidDataset
from models.dyadic import DyadicMatrix, nearest_float

_ROOM = 2**30  # bytes that a Gram matrix and the proof of a solution may take
_SMALL = 256  # pairs whose exact Gram matrix fits whatever its entries


class TooLarge(InvalidDataset):
    """The exact Gram matrix would not fit into the memory set aside for it; the message names the limit."""


class PairFeatures:
    """The N = n(T − 1) pair features of a dataset, seen through inner products only.

    Pair ``j`` is (sequence ``j // (T−1)``, non-optimal token ``others[i, j % (T−1)]``).  No d × d matrix is
    formed: ⟨Z_it, Z_jτ⟩ = ⟨x_{i,o} − x_it, x_{j,o} − x_jτ⟩ ⟨q_i, q_j⟩ (docs/theory.md#setting).  Where a dataset's
    keys are not its tokens they stand in for x here.
    """

    def __init__(self, dataset: AttentionTokens) -> None:
        self.dataset = dataset
        n, T = dataset.n, dataset.T
        best = [i * T + int(dataset.optimal[i]) for i in range(n) for _ in range(T - 1)]
        rest = [i * T + int(t) for i in range(n) for t in dataset.others[i]]
        self._sequence = [i for i in range(n) for _ in range(T - 1)]
        self._differences = dataset.exact_keys.differences(best, rest)
        self._queries = DyadicMatrix(np.ascontiguousarray(dataset.queries))

    @cached_property
    def exact_gram(self) -> DyadicMatrix:
        """K[j, k] = ⟨Z_j, Z_k⟩, exact, N × N.

        Raises
        ------
        TooLarge
            When the matrix and the proof of a W-SVM solution would take more than 1 GiB: from about 2000 pairs
            of tokens with entries of one order of magnitude, from fewer where magnitudes differ a lot.
        """
        self._require_room()
        between = self._differences @ self._differences.T
        queries = self._queries @ self._queries.T
        return between.hadamard(queries, rows=self._sequence, columns=self._sequence)

    def _require_room(self) -> None:
        N = self.dataset.N
        if N <= _SMALL:
            return
        bits = 2 * (self._differences.bits + self._queries.bits)
        # Entries live in integers, in balls and, on the support, in a system of balls: about four copies.
        bytes_each = 100 + bits // 2
        if N * N * bytes_each > _ROOM:
            most = math.isqrt(_ROOM // bytes_each)
            raise TooLarge(
                f"n(T − 1) = {N} pairs of {bits}-bit inner products exceed the exact solver's 1 GiB: "
                f"keep at most {most} pairs (fewer sequences or tokens), or round the data to fewer digits"
            )

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
        return self.dyadic_margins(DyadicMatrix(W))

    def dyadic_margins(self, W: DyadicMatrix) -> list[fmpq]:
        """The same for an exact matrix, such as a product of float matrices."""
        projected = self._queries @ W.T  # row i is (W q_i)ᵀ
        products = self._differences.hadamard(projected, rows=self._sequence)
        return [sum(row, fmpq(0)) for row in products.rationals()]

    def exact_matrices(self) -> list[fmpq_mat]:
        """The matrices Z_j themselves, d × d each, exact, in pair order."""
        tokens, queries = self._differences.rationals(), self._queries.rationals()
        return [
            fmpq_mat([[x * q for q in queries[i]] for x in row])
            for row, i in zip(tokens, self._sequence, strict=True)
        ]

    def matrices(self) -> Array:
        """The matrices Z_j, one row of d² entries a pair, in float64."""
        rest = self._differences.floats()
        queries = self._queries.floats()[self._sequence]
        return np.asarray(np.einsum("jd,je->jde", rest, queries).reshape(rest.shape[0], -1))

    def combine(self, weights: Array) -> Array:
        """The matrix Σ_j weights_j Z_j in float64."""
        dataset = self.dataset
        differences = self._differences.floats().reshape(dataset.n, dataset.T - 1, -1)
        pulled = np.einsum("it,itd->id", weights.reshape(dataset.n, dataset.T - 1), differences)
        return np.asarray(np.einsum("id,ie->de", pulled, dataset.queries), dtype=np.float64)
