"""Matrices of floats as integers times one power of two: exact products at C speed."""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub

import numpy as np
from flint import arb_mat, fmpq, fmpz, fmpz_mat
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SMALLEST_NORMAL = 2.0**-1022
_ABOVE = 1025  # above the exponent of every finite float


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
        exponents[mantissas == 0.0] = _ABOVE  # a zero has any exponent, and is left at 0 by any shift
        low = int(exponents.min(initial=_ABOVE))
        # |mantissa| is in [1/2, 1): 53 more binary places make it an integer.
        self.exponent = low - 53 if low < _ABOVE else 0
        whole = np.ldexp(mantissas, 53).astype(np.int64).ravel()
        shift = (exponents - low).ravel()
        rows, columns = values.shape
        entries = [w << s for w, s in zip(whole.tolist(), shift.tolist(), strict=True)]
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

    def differences(self, left: Sequence[int], right: Sequence[int]) -> DyadicMatrix:
        """The matrix whose row k is row ``left[k]`` minus row ``right[k]``; repeats allowed."""
        table = self.integers.tolist()
        entries: list[fmpz] = []
        for a, b in zip(left, right, strict=True):
            entries.extend(map(sub, table[a], table[b]))
        return DyadicMatrix.of(fmpz_mat(len(left), self.integers.ncols(), entries), self.exponent)

    def hadamard(
        self, other: DyadicMatrix, rows: Sequence[int], columns: Sequence[int] | None = None
    ) -> DyadicMatrix:
        """Entrywise product with ``other[rows][:, columns]`` (all columns if absent); repeats allowed.

        The expanded factor is never built: only its rows are, once each.
        """
        table = other.integers.tolist()
        if columns is not None:
            table = [[row[k] for k in columns] for row in table]
        if (len(rows), len(table[0])) != (self.integers.nrows(), self.integers.ncols()):
            raise ValueError(f"{len(rows)} rows of {len(table[0])} entries do not expand to this matrix")
        # In place, entry by entry: for large matrices lists of all entries would take several times the memory.
        product = fmpz_mat(self.integers)
        for j, k in enumerate(rows):
            for i, factor in enumerate(table[k]):
                product[j, i] *= factor
        return DyadicMatrix.of(product, self.exponent + other.exponent)

    @property
    def bits(self) -> int:
        """Binary digits of the largest integer."""
        return int(max(map(abs, self.integers.entries()))).bit_length()

    def rationals(self) -> list[list[fmpq]]:
        """The entries as exact rationals, ``[row][column]``."""
        scale = fmpq(2) ** self.exponent
        return [[scale * x for x in row] for row in self.integers.tolist()]

    def floats(self) -> Array:
        """The entries rounded once to float64, shape (rows, columns)."""
        rows, columns = self.integers.nrows(), self.integers.ncols()
        # A ball made from an integer is that integer, whatever the precision, and its float the nearest one;
        # the power of two is then exact unless it leaves the range of normal floats.
        balls = arb_mat(self.integers)
        entries = (float(balls[j, k]) for j in range(rows) for k in range(columns))
        mantissas = np.fromiter(entries, np.float64, rows * columns)
        with np.errstate(over="ignore", under="ignore"):
            flat = np.ldexp(mantissas, self.exponent)
        normal = np.isfinite(flat) & ((np.abs(flat) >= _SMALLEST_NORMAL) | (mantissas == 0.0))
        if not normal.all():
            flat = np.array([rounded(int(x), self.exponent) for x in self.integers.entries()], dtype=np.float64)
        return flat.reshape(rows, columns)


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
