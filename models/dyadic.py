"""Matrices of floats as integers times one power of two: exact products at C speed."""

from __future__ import annotations

import numpy as np
from flint import fmpq, fmpz_mat
from numpy.typing import NDArray

Array = NDArray[np.float64]


class DyadicMatrix:
    """An exact matrix ``integers · 2^exponent``; every finite float64 matrix is one.

    Parameters
    ----------
    values : array, shape (rows, columns)
        Finite floats, taken as the exact binary fractions they are.
    """

    __slots__ = ("exponent", "integers")

    integers: fmpz_mat
    exponent: int

    def __init__(self, values: Array) -> None:
        mantissas, exponents = np.frexp(values)
        # |mantissa| is in [1/2, 1): 53 more binary places make it an integer.
        used = exponents[mantissas != 0.0] - 53
        self.exponent = int(used.min()) if used.size else 0
        whole = np.ldexp(mantissas, 53).astype(np.int64).ravel()
        shift = np.where(mantissas != 0.0, exponents - 53 - self.exponent, 0).ravel()
        rows, columns = values.shape
        entries = [int(w) << int(s) for w, s in zip(whole, shift, strict=True)]
        self.integers = fmpz_mat(rows, columns, entries)

    @classmethod
    def of(cls, integers: fmpz_mat, exponent: int) -> DyadicMatrix:
        """The matrix ``integers · 2^exponent``."""
        result = cls.__new__(cls)
        result.integers = integers
        result.exponent = exponent
        return result

    def __matmul__(self, other: DyadicMatrix) -> DyadicMatrix:
        return DyadicMatrix.of(self.integers * other.integers, self.exponent + other.exponent)

    def __sub__(self, other: DyadicMatrix) -> DyadicMatrix:
        low = min(self.exponent, other.exponent)
        return DyadicMatrix.of(self._at(low) - other._at(low), low)

    def _at(self, exponent: int) -> fmpz_mat:
        shift = self.exponent - exponent
        return self.integers * (1 << shift) if shift else self.integers

    @property
    def T(self) -> DyadicMatrix:
        """The transpose."""
        return DyadicMatrix.of(self.integers.transpose(), self.exponent)

    def select(self, rows: list[int]) -> DyadicMatrix:
        """The matrix of the given rows, repeats allowed."""
        columns = self.integers.ncols()
        table = self.integers.tolist()
        return DyadicMatrix.of(
            fmpz_mat(len(rows), columns, [x for r in rows for x in table[r]]), self.exponent
        )

    def hadamard(self, other: DyadicMatrix) -> DyadicMatrix:
        """Entrywise product."""
        rows, columns = self.integers.nrows(), self.integers.ncols()
        pairs = zip(self.integers.entries(), other.integers.entries(), strict=True)
        return DyadicMatrix.of(
            fmpz_mat(rows, columns, [a * b for a, b in pairs]), self.exponent + other.exponent
        )

    def rationals(self) -> list[list[fmpq]]:
        """The entries as exact rationals, ``[row][column]``."""
        scale = fmpq(2) ** self.exponent
        return [[scale * x for x in row] for row in self.integers.tolist()]

    def floats(self) -> Array:
        """The entries rounded once to float64, shape (rows, columns)."""
        shape = (self.integers.nrows(), self.integers.ncols())
        entries = self.integers.entries()
        if self.exponent < 0:  # the common case, with the power of two formed once
            unit = 1 << -self.exponent
            try:
                flat = [int(x) / unit for x in entries]
            except OverflowError:
                flat = [rounded(int(x), self.exponent) for x in entries]
        else:
            flat = [rounded(int(x), self.exponent) for x in entries]
        return np.array(flat, dtype=np.float64).reshape(shape)


def rounded(integer: int, exponent: int) -> float:
    """``integer · 2^exponent`` rounded once to the nearest float64 (inf beyond its range).

    Python's integer division rounds correctly whatever the size, also into the subnormal range.
    """
    if exponent < 0:
        try:
            return integer / (1 << -exponent)
        except OverflowError:
            return float("inf") if integer > 0 else float("-inf")
    try:
        return float(integer << exponent)
    except OverflowError:
        return float("inf") if integer > 0 else float("-inf")


def nearest_float(value: fmpq) -> float:
    """An exact rational rounded once to the nearest float64."""
    try:
        return int(value.p) / int(value.q)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
