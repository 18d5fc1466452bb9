"""Arrays of balls: midpoint ± radius with an unlimited exponent, vectorised in numpy.

The fast tier evaluates claims with these.  A value is ``(mid ± rad) · 2^exp``: the exponent keeps loss gaps
like e^{−10⁶} apart from zero, and the radius carries every observable's error budget and the rounding of each
operation through the claim, so a comparison inside the budget is seen to be undecided.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import numpy as np
from flint import arb, fmpq
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_EPS = 2.0**-52
_LN2_HIGH = 6.93147180369123816490e-01  # ln 2 split so that k · high is exact for |k| < 2^20
_LN2_LOW = 1.90821492927058770002e-10
_LARGEST_EXPONENT = 1 << 39
_NEVER = np.int64(-(1 << 40))  # exponent of an exact zero: below every other
_LARGEST_ARGUMENT = 2.0**30  # beyond this, exp's argument no longer fits the split of ln 2
Scalar = int | fmpq | arb


class BallArray:
    """An array of balls.  Supports + − * / **, ``exp``, ``log``, ``sqrt``, ``abs`` and comparisons by sign.

    Undefined results (log of a ball that meets 0, division by one) have an infinite radius or are NaN: they
    decide nothing.
    """

    __slots__ = ("exp2", "mid", "rad")
    __array_ufunc__ = None  # numpy scalars and arrays must not absorb balls

    mid: FloatArray
    rad: FloatArray
    exp2: IntArray

    def __init__(self, mid: FloatArray, rad: FloatArray, exp2: IntArray) -> None:
        # Normalise by the larger of midpoint and radius, so that neither over- nor underflows.
        with np.errstate(all="ignore"):
            _, shift = np.frexp(np.maximum(np.abs(mid), rad))
            self.mid = np.ldexp(mid, -shift)
            self.rad = np.ldexp(rad, -shift)
        zero = (mid == 0.0) & (rad == 0.0)
        self.exp2 = np.where(zero, _NEVER, exp2 + shift)

    @classmethod
    def of(cls, values: ArrayLike, error: ArrayLike = 0.0) -> BallArray:
        """Balls around float64 values with absolute errors."""
        mid = np.asarray(values, dtype=np.float64)
        rad = np.broadcast_to(np.asarray(error, dtype=np.float64), mid.shape)
        return cls(mid, rad, np.zeros(mid.shape, dtype=np.int64))

    @classmethod
    def of_log(cls, logarithms: ArrayLike, error: ArrayLike = 0.0) -> BallArray:
        """Balls around e^logarithm, with absolute errors of the logarithm."""
        return cls.of(logarithms, error).exponential()

    # ------------------------------------------------------------------------------------ reading
    def floats(self) -> FloatArray:
        """Midpoints as float64 (0 or ±inf beyond its range)."""
        with np.errstate(all="ignore"):
            return np.ldexp(self.mid, np.clip(self.exp2, -4000, 4000).astype(np.int32))

    def positive(self) -> BoolArray:
        """Where the whole ball is > 0."""
        return np.asarray(self.mid > self.rad)

    def negative(self) -> BoolArray:
        """Where the whole ball is < 0."""
        return np.asarray(self.mid < -self.rad)

    def nonnegative(self) -> BoolArray:
        """Where the whole ball is ≥ 0."""
        return np.asarray(self.mid >= self.rad)

    def accurate(self) -> BoolArray:
        """Where the radius is at most a thousandth of the midpoint."""
        return np.asarray(self.rad <= 1e-3 * np.abs(self.mid))

    def defined(self) -> BoolArray:
        """Where the ball is a number at all."""
        return ~np.isnan(self.mid)

    # --------------------------------------------------------------------------------- arithmetic
    def __neg__(self) -> BallArray:
        return BallArray(-self.mid, self.rad, self.exp2)

    def __abs__(self) -> BallArray:
        return BallArray(np.abs(self.mid), self.rad, self.exp2)

    def __add__(self, other: BallArray | Scalar) -> BallArray:
        right = lift(other)
        top = np.maximum(self.exp2, right.exp2)
        a, ra = _shifted(self, top)
        b, rb = _shifted(right, top)
        mid = a + b
        # The two-sum gives the rounding error itself, so exact numbers stay exact: t ≥ 10 holds at t = 10.
        rad = (ra + rb + np.abs(_sum_error(a, b, mid))) * (1 + 4 * _EPS)
        return BallArray(mid, rad + _lost(self, right, top), top)

    def __radd__(self, other: Scalar) -> BallArray:
        return self + other

    def __sub__(self, other: BallArray | Scalar) -> BallArray:
        return self + (-lift(other))

    def __rsub__(self, other: Scalar) -> BallArray:
        return (-self) + other

    def __mul__(self, other: BallArray | Scalar) -> BallArray:
        right = lift(other)
        with np.errstate(all="ignore"):
            mid = self.mid * right.mid
            if not (self.rad.any() or right.rad.any()):
                exact = _trailing_bits(self.mid) + _trailing_bits(right.mid) <= 53
                return BallArray(mid, np.where(exact, 0.0, _EPS * np.abs(mid)), self.exp2 + right.exp2)
            rad = np.abs(self.mid) * right.rad + (np.abs(right.mid) + right.rad) * self.rad
            return BallArray(mid, rad * (1 + 4 * _EPS) + _EPS * np.abs(mid), self.exp2 + right.exp2)

    def __rmul__(self, other: Scalar) -> BallArray:
        return self * other

    def inverse(self) -> BallArray:
        """1/x; the radius is infinite where the ball meets 0."""
        with np.errstate(all="ignore"):
            size = np.abs(self.mid)
            mid = 1.0 / self.mid
            safe = size > self.rad
            rad = np.where(safe, self.rad / (size * (size - self.rad)) * (1 + 8 * _EPS), np.inf)
            return BallArray(np.where(safe, mid, np.nan), rad + _EPS * np.abs(mid), np.where(safe, -self.exp2, 0))

    def __truediv__(self, other: BallArray | Scalar) -> BallArray:
        return self * lift(other).inverse()

    def __rtruediv__(self, other: Scalar) -> BallArray:
        return lift(other) * self.inverse()

    def __pow__(self, exponent: BallArray | Scalar) -> BallArray:
        if isinstance(exponent, fmpq) and exponent.q == 1:
            exponent = int(exponent.p)
        if isinstance(exponent, int) and abs(exponent) <= 64:
            power = _repeated_product(self, abs(exponent))
            return power.inverse() if exponent < 0 else power
        if isinstance(exponent, fmpq) and exponent.q == 2:
            return self.sqrt() ** int(exponent.p)
        return (self.log() * exponent).exponential()

    def __rpow__(self, base: Scalar) -> BallArray:
        return (lift(base).log() * self).exponential()

    def exponential(self) -> BallArray:
        """e^x."""
        with np.errstate(all="ignore"):
            value, error = self._plain()
            usable = np.abs(value) < _LARGEST_ARGUMENT
            value = np.where(usable, value, np.where(self.mid != 0, np.nan, 0.0))
            k = np.rint(value / (_LN2_HIGH + _LN2_LOW))
            rest = (value - k * _LN2_HIGH) - k * _LN2_LOW
            mid = np.exp(rest)
            rad = mid * np.expm1(error + 2 * _EPS * (1.0 + np.abs(value))) + 2 * _EPS * mid
            return BallArray(mid, rad, np.where(np.isfinite(k), k, 0).astype(np.int64))

    def log(self) -> BallArray:
        """Natural logarithm; undefined where the ball is not positive."""
        with np.errstate(all="ignore"):
            modest = np.abs(self.exp2) < 1000
            plain = np.log(np.ldexp(self.mid, np.where(modest, self.exp2, 0).astype(np.int32)))
            wide = np.log(self.mid) + self.exp2 * (_LN2_HIGH + _LN2_LOW)
            mid = np.where(modest, plain, wide)
            relative = np.where(self.mid > self.rad, self.rad / self.mid, np.nan)
            rad = -np.log1p(-relative) * (1 + 4 * _EPS) + 2 * _EPS * np.abs(mid)
            mid = np.where(np.isnan(rad), np.nan, mid)
            return BallArray(mid, rad, np.zeros(mid.shape, dtype=np.int64))

    def sqrt(self) -> BallArray:
        """Square root; undefined where the ball is not positive."""
        with np.errstate(all="ignore"):
            odd = self.exp2 & 1
            mid, rad = np.ldexp(self.mid, odd), np.ldexp(self.rad, odd)
            root = np.sqrt(mid)
            low = np.sqrt(np.where(mid >= rad, mid - rad, np.nan))
            error = np.where(rad == 0.0, 0.0, rad / (root + low)) * (1 + 4 * _EPS) + _EPS * root
            return BallArray(np.where(np.isnan(error), np.nan, root), error, (self.exp2 - odd) // 2)

    def _plain(self) -> tuple[FloatArray, FloatArray]:
        shift = np.clip(self.exp2, -2000, 1000).astype(np.int32)
        return np.ldexp(self.mid, shift), np.ldexp(self.rad, shift)


def lift(value: BallArray | Scalar) -> BallArray:
    """A number as a ball that contains it, whatever its size; a dyadic number of 53 bits stays exact."""
    if isinstance(value, BallArray):
        return value
    if isinstance(value, arb):
        return _of_arb(value)
    number = fmpq(value)
    p, q = int(number.p), int(number.q)
    k = p.bit_length() - q.bit_length()
    mid = (p << max(-k, 0)) / (q << max(k, 0))  # Python divides integers with one rounding
    exact = fmpq(*mid.as_integer_ratio()) * fmpq(2) ** k == number
    return _single(mid, 0.0 if exact else _EPS * abs(mid), k)


def _of_arb(value: arb) -> BallArray:
    if not value.is_finite():
        return _single(np.nan, np.inf, 0)
    mid, exponent, error = _mantissa(value.mid())
    rad, place, _ = _mantissa(arb(value.rad()))  # thirty bits: not rounded
    top = max((e for m, e in ((mid, exponent), (rad, place)) if m), default=0)
    if abs(top) > _LARGEST_EXPONENT:
        return _single(np.nan, np.inf, 0)
    # The smaller one may fall out of float64's range below the larger: 2^-890 covers that.
    whole = math.ldexp(mid, max(exponent - top, -1100)) if mid else 0.0
    around = math.ldexp(rad, max(place - top, -1100)) if rad else 0.0
    lost = (mid and exponent < top - 900) or (rad and place < top - 900)
    around = around * (1 + 4 * _EPS) + (2.0**-890 if lost else 0.0) + error * abs(whole)
    return _single(whole, around, top)


def _mantissa(value: arb) -> tuple[float, int, float]:
    """An exact ball as a float of size 1/2 to 1 times a power of two, and the relative error of that float."""
    integer, exponent = value.man_exp()
    size = int(abs(integer)).bit_length()
    odd = size - (int(integer) & -int(integer)).bit_length() + 1 if integer else 0
    return int(integer) / (1 << size), int(exponent) + size, 0.0 if odd <= 53 else _EPS


def _single(mid: float, rad: float, exp2: int) -> BallArray:
    return BallArray(np.asarray(mid, dtype=np.float64), np.asarray(rad), np.asarray(exp2, dtype=np.int64))


def largest(first: BallArray | Scalar, second: BallArray | Scalar) -> BallArray:
    """Elementwise maximum."""
    a, b = lift(first), lift(second)
    top = np.maximum(a.exp2, b.exp2)
    x, rx = _shifted(a, top)
    y, ry = _shifted(b, top)
    # Whichever midpoint is larger, the true maximum is within the larger radius of it.
    return BallArray(np.maximum(x, y), np.maximum(rx, ry) * (1 + 4 * _EPS) + _lost(a, b, top), top)


def difference_sign(large: BallArray, small: BallArray) -> tuple[BoolArray, BoolArray]:
    """Where ``large − small`` is certainly ≥ 0, and where it is certainly < 0."""
    difference = large - small
    return difference.nonnegative(), difference.negative()


def _shifted(ball: BallArray, top: IntArray) -> tuple[FloatArray, FloatArray]:
    with np.errstate(all="ignore"):
        shift = np.clip(ball.exp2 - top, -1100, 0).astype(np.int32)
        return np.ldexp(ball.mid, shift), np.ldexp(ball.rad, shift)


def _lost(first: BallArray, second: BallArray, top: IntArray) -> FloatArray:
    """What `_shifted` may drop of a number far below the other: 0 where it drops nothing, so exact stays exact."""
    dropped = np.zeros(np.shape(top), dtype=np.bool_)
    for ball in (first, second):
        dropped = dropped | (ball.exp2 < top - 900) & ((ball.mid != 0.0) | (ball.rad != 0.0))
    return np.where(dropped, 2.0**-890, 0.0)


def _sum_error(a: FloatArray, b: FloatArray, total: FloatArray) -> FloatArray:
    """The exact rounding error of ``total = a + b`` (Knuth's two-sum)."""
    virtual = total - a
    return np.asarray((a - (total - virtual)) + (b - virtual))


def _trailing_bits(mid: FloatArray) -> IntArray:
    """Significant bits of normalised midpoints: how many places down to the last non-zero one."""
    whole = np.abs(np.ldexp(mid, 53)).astype(np.int64)
    lowest = np.where(whole == 0, 1 << 53, whole & -whole)
    return np.asarray(53 - np.log2(lowest).astype(np.int64))


def _repeated_product(ball: BallArray, times: int) -> BallArray:
    if times == 0:
        return BallArray.of(np.ones_like(ball.mid))
    combine: Callable[[BallArray, BallArray], BallArray] = operator.mul
    result: BallArray | None = None
    square = ball
    while True:
        if times & 1:
            result = square if result is None else combine(result, square)
        times >>= 1
        if not times:
            return result if result is not None else square
        square = combine(square, square)
