"""Ball arithmetic of numbers and of blocks of them, compiled: what `properties.balls.BallArray` does to arrays.

A ball is (mid ± rad)·2^exp.  Operation by operation the bounds are those of `BallArray`, which tests hold it
to; only normalisation is put off until a number leaves 2^±200.  Undefined results are NaN or have an infinite
radius.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.dataset import Array

#: Balls of a register, which are worked on together: registers then stay in a processor's cache.
BLOCK = 64
EPS = 2.0**-52
_LN2_HIGH = 6.93147180369123816490e-01  # ln 2 split so that k · high is exact for |k| < 2^20
_LN2_LOW = 1.90821492927058770002e-10
_FAR = 700  # a number that many binary places below another is dropped from a sum, for a radius of 2^-499
Ball = tuple[float, float, int]


@njit(cache=True, error_model="numpy")
def ball(mid: float, rad: float, exp: int) -> Ball:
    top = max(abs(mid), rad)
    if top == 0.0:
        return 0.0, 0.0, 0
    if 2.0**-200 <= top <= 2.0**200 or not top < math.inf:
        return mid, rad, exp
    _, shift = math.frexp(top)
    return math.ldexp(mid, -shift), math.ldexp(rad, -shift), exp + shift


@njit(cache=True, error_model="numpy")
def unshifted(mid: float, rad: float, exp: int) -> Ball:
    """The same ball without an exponent, if its numbers stay within 2^±200."""
    if mid == 0.0 and rad == 0.0:
        return 0.0, 0.0, 0
    if abs(exp) < 190 and 2.0**-10 <= max(abs(mid), rad) <= 2.0**10:
        return math.ldexp(mid, exp), math.ldexp(rad, exp), 0
    return mid, rad, exp


@njit(cache=True, error_model="numpy")
def add(a: float, ra: float, ea: int, b: float, rb: float, eb: int) -> Ball:
    lost = 0.0
    if ea != eb:
        if b == 0.0 and rb == 0.0:
            return a, ra, ea
        if a == 0.0 and ra == 0.0:
            return b, rb, eb
        if ea < eb:
            a, ra, ea, b, rb, eb = b, rb, eb, a, ra, ea
        if ea - eb > _FAR:
            b, rb, lost = 0.0, 0.0, 2.0**-499
        else:
            b, rb = math.ldexp(b, eb - ea), math.ldexp(rb, eb - ea)
            lost = 2.0**-1000 if rb > 0.0 else 0.0  # of a radius that underflows
    mid = a + b
    virtual = mid - a
    rounding = abs((a - (mid - virtual)) + (b - virtual))
    return ball(mid, (ra + rb + rounding) * (1 + 4 * EPS) + lost, ea)


@njit(cache=True, error_model="numpy")
def trailing(mid: float) -> int:
    """Significant bits of a float."""
    fraction, _ = math.frexp(abs(mid))
    whole = np.int64(math.ldexp(fraction, 53))
    bits = 53
    while whole and whole & 1 == 0:
        whole >>= 1
        bits -= 1
    return bits if whole else 0


@njit(cache=True, error_model="numpy")
def mul(a: float, ra: float, ea: int, b: float, rb: float, eb: int) -> Ball:
    mid = a * b
    if ra == 0.0 and rb == 0.0:
        exact = trailing(a) + trailing(b) <= 53
        return ball(mid, 0.0 if exact else EPS * abs(mid), ea + eb)
    rad = abs(a) * rb + (abs(b) + rb) * ra
    return ball(mid, rad * (1 + 4 * EPS) + EPS * abs(mid), ea + eb)


@njit(cache=True, error_model="numpy")
def inverse(a: float, ra: float, ea: int) -> Ball:
    size = abs(a)
    if not size > ra:
        return math.nan, math.inf, 0
    mid = 1.0 / a
    return ball(mid, ra / (size * (size - ra)) * (1 + 8 * EPS) + EPS * abs(mid), -ea)


@njit(cache=True, error_model="numpy")
def exponential(a: float, ra: float, ea: int) -> Ball:
    value, error = (a, ra) if ea == 0 else (math.ldexp(a, min(ea, 1000)), math.ldexp(ra, min(ea, 1000)))
    size = abs(value)
    if not size < 2.0**30:
        return math.nan, math.inf, 0
    error += 2 * EPS * (1.0 + size)
    # e^x − 1 ≤ x + x² for 0 ≤ x ≤ 1
    relative = error + error * error if error <= 1.0 else math.expm1(error)
    if size < 138.0:
        mid = math.exp(value)
        return mid, mid * relative + 2 * EPS * mid, 0
    k = round(value / (_LN2_HIGH + _LN2_LOW))
    mid = math.exp((value - k * _LN2_HIGH) - k * _LN2_LOW)
    return ball(mid, mid * relative + 2 * EPS * mid, int(k))


@njit(cache=True, error_model="numpy")
def logarithm(a: float, ra: float, ea: int) -> Ball:
    if not a > ra:
        return math.nan, math.inf, 0
    if abs(ea) < 800:
        mid = math.log(math.ldexp(a, ea))
        scale = abs(mid)
    else:
        part, shift = math.log(a), ea * (_LN2_HIGH + _LN2_LOW)
        mid = part + shift
        scale = abs(part) + abs(shift)
    relative = ra / a  # −log(1 − x) ≤ x/(1 − x)
    return ball(mid, relative / (1.0 - relative) * (1 + 8 * EPS) + 2 * EPS * scale, 0)


@njit(cache=True, error_model="numpy")
def root(a: float, ra: float, ea: int) -> Ball:
    if not a >= ra or a == 0.0:
        return math.nan, math.inf, 0
    if ea & 1:
        a, ra, ea = 2.0 * a, 2.0 * ra, ea - 1
    root = math.sqrt(a)
    rad = 0.0 if ra == 0.0 else ra / (root + math.sqrt(a - ra)) * (1 + 4 * EPS)
    return ball(root, rad + EPS * root, ea // 2)


@njit(cache=True, error_model="numpy")
def maximum(a: float, ra: float, ea: int, b: float, rb: float, eb: int) -> Ball:
    if ea != eb:
        if a == 0.0 and ra == 0.0:
            ea = eb
        elif b == 0.0 and rb == 0.0:
            eb = ea
        if ea < eb:
            a, ra, ea, b, rb, eb = b, rb, eb, a, ra, ea
        if ea - eb > _FAR:
            b, rb = 0.0, 2.0**-499
        else:
            b, rb = math.ldexp(b, eb - ea), math.ldexp(rb, eb - ea)
    if math.isnan(a) or math.isnan(b):
        return math.nan, math.inf, 0
    return ball(max(a, b), max(ra, rb), ea)


@njit(cache=True, error_model="numpy")
def power(a: float, ra: float, ea: int, times: int) -> Ball:
    """a^times for times ≥ 1, in the order of `properties.balls._repeated_product`."""
    started = False
    mid, rad, exp = 1.0, 0.0, 0
    while True:
        if times & 1:
            if started:
                mid, rad, exp = mul(mid, rad, exp, a, ra, ea)
            else:
                mid, rad, exp, started = a, ra, ea, True
        times >>= 1
        if times == 0:
            return mid, rad, exp
        a, ra, ea = mul(a, ra, ea, a, ra, ea)


# Midpoints and radii of a register lie side by side in one array: a loop over two operands and a result then has
# few enough memory ranges that the compiler can prove them apart and turn it into vector instructions.
@njit(cache=True, error_model="numpy")
def product(x: Array, y: Array, z: Array) -> bool:
    """z = x·y where no exponents are needed; whether none is needed for z either."""
    inside = True
    for k in range(BLOCK):
        mid = x[0, k] * y[0, k]
        rad = (abs(x[0, k]) * y[1, k] + (abs(y[0, k]) + y[1, k]) * x[1, k]) * (1 + 4 * EPS) + EPS * abs(mid)
        top = abs(mid) + rad
        inside &= (top == 0.0) | ((top >= 2.0**-200) & (top <= 2.0**200))
        z[0, k], z[1, k] = mid, rad
    return inside


@njit(cache=True, error_model="numpy")
def total(x: Array, y: Array, z: Array) -> bool:
    """z = x + y where no exponents are needed; whether none is needed for z either."""
    inside = True
    for k in range(BLOCK):
        mid = x[0, k] + y[0, k]
        virtual = mid - x[0, k]
        rounding = abs((x[0, k] - (mid - virtual)) + (y[0, k] - virtual))
        rad = (x[1, k] + y[1, k] + rounding) * (1 + 4 * EPS)
        top = abs(mid) + rad
        inside &= (top == 0.0) | ((top >= 2.0**-200) & (top <= 2.0**200))
        z[0, k], z[1, k] = mid, rad
    return inside


@njit(cache=True, error_model="numpy")
def reciprocal(x: Array, z: Array) -> bool:
    """z = 1/x where no exponents are needed; whether none is needed for z either, and no ball meets 0."""
    inside = True
    for k in range(BLOCK):
        size, error = abs(x[0, k]), x[1, k]
        mid = 1.0 / x[0, k]
        rad = error / (size * (size - error)) * (1 + 8 * EPS) + EPS * abs(mid)
        top = abs(mid) + rad
        inside &= (size > error) & (top >= 2.0**-200) & (top <= 2.0**200)
        z[0, k], z[1, k] = mid, rad
    return inside
