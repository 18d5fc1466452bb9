"""Families of separable points in the unit ball, as a Hypothesis strategy.

A member is built from signed points z_i = y_i x_i whose first coordinate is positive, so that e_0 separates them
without a test; it is then scaled into the unit ball, which is checked exactly.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from models.dataset import Array
from models.linear import Points
from properties.families import ENTRIES, POSITIVE, pick
from properties.plain import PlainFamily

MOST_POINTS, MOST_DIMENSIONS = 6, 4

FAMILIES = (
    PlainFamily("scattered", "few-digit points on one side of a hyperplane"),
    PlainFamily("gaussian", "Gaussian points moved along a planted direction: real numbers for all purposes"),
    PlainFamily("near-duplicates", "points that differ by 2⁻⁸ down to 2⁻⁴⁰", hostile=True),
    PlainFamily("tiny-margin", "nearly opposite points: γ from 1/16 down to 1e-4", hostile=True),
    PlainFamily("dominating", "one long point, the others shorter by factors of up to 1024", hostile=True),
    PlainFamily(
        "many-support", "all points at one distance from the hyperplane: degenerate support", hostile=True
    ),
)
_BLOCK = MOST_POINTS * (MOST_DIMENSIONS + 2)
_SMALL = st.sampled_from((4, 8, 13))
_NEAR = st.sampled_from((8, 20, 40))
_SHORT = st.sampled_from((3, 6, 10))


@st.composite
def points(draw: st.DrawFn, family: str) -> Points:
    """A member of one of `FAMILIES`, with at most 6 points in 4 dimensions."""
    n, d = draw(st.integers(1, MOST_POINTS)), draw(st.integers(1, MOST_DIMENSIONS))
    raw = np.frombuffer(draw(st.binary(min_size=_BLOCK, max_size=_BLOCK)), dtype=np.uint8).astype(np.int64)
    raw = raw.reshape(MOST_POINTS, MOST_DIMENSIONS + 2)[:n]
    Z = pick(ENTRIES, raw[:, 2 : d + 2])
    Z[:, 0] = pick(POSITIVE, raw[:, 1])
    if family == "gaussian":
        Z = np.random.default_rng(raw.ravel().tolist()).standard_normal((n, d))
        Z[:, 0] = np.abs(Z[:, 0]) + 0.25
    elif family == "near-duplicates":
        Z = Z[raw[:, 0] % max(1, n // 2)] + 2.0 ** -draw(_NEAR) * Z
    elif family == "tiny-margin":
        Z[1::2, 1:] = -Z[0 : n - 1 : 2, 1:]
        Z[:, 0] *= 2.0 ** -draw(_SMALL)
    elif family == "dominating":
        Z[1:] *= 2.0 ** -draw(_SHORT)
    elif family == "many-support":
        Z[:, 0] = 0.5
    y = np.asarray(1.0 - 2.0 * (raw[:, 0] % 2), dtype=np.float64)
    return Points(X=in_unit_ball(Z, exact=draw(st.booleans())) * y[:, None] + 0.0, y=y)


def in_unit_ball(Z: Array, exact: bool) -> Array:
    """Points scaled so that none is longer than 1: by a power of two, or to a length of nearly 1."""
    longest = float(np.sqrt((Z * Z).sum(axis=1).max()))
    scale = 2.0 ** -math.ceil(math.log2(longest)) if exact else math.floor(256.0 / longest) / 256.0 or 1 / longest
    while not _fits(Z * scale):
        scale *= 0.5 if exact else 1 - 2.0**-8
    return np.asarray(Z * scale)


def _fits(Z: Array) -> bool:
    return all(sum(Fraction(float(x)) ** 2 for x in row) <= 1 for row in Z)
