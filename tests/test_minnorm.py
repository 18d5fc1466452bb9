"""The exact minimum-norm point of a convex hull."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from flint import fmpz_mat

from models.minnorm import min_norm_point
from tests.test_maxmargin import combine, dot, fractions


@pytest.mark.parametrize(
    "vectors",
    [
        [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (2, -1, 0), (1, 2, 3)],
        [(1, 1), (1, -1), (1, 0), (1, 1), (2, 0), (3, 1)],
        [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1)],
        [(2, 1), (-1, 3), (-1, -4), (5, 5), (1, 1)],
        [(3,), (1,), (2,), (1,)],
        [(0, 0), (1, 0), (0, 1)],
    ],
)
def test_the_minimum_norm_point_is_the_same_from_every_warm_start(vectors: list[tuple[int, ...]]) -> None:
    V = np.array(vectors)
    N = len(vectors)
    gram = fmpz_mat((V @ V.T).tolist())
    starts = [list(s) for size in range(N + 1) for s in itertools.combinations(range(N), size)]
    starts += [[0, 0], [1, 1, 0], list(range(N))[::-1]]
    found = [min_norm_point(gram, start) for start in starts]
    Z = [[Fraction(x) for x in row] for row in vectors]
    first = combine(fractions(found[0].weights), Z)
    for point in found:
        weights = fractions(point.weights)
        assert all(w >= 0 for w in weights)
        assert sum(weights) == 1
        x = combine(weights, Z)
        assert x == first  # the weights may differ, the point may not
        assert fractions([point.norm_sq]) == [dot(x, x)]
        assert fractions(point.products) == [dot(z, x) for z in Z]
        assert min(point.products) >= point.norm_sq  # optimality
