"""Counts of linear regions, in rational numbers, balls and float64, against slow ones."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
from flint import arb, fmpq

from models.dataset import Array
from models.relu_regions_count import Graph, float_counts, rational_neurons, sign
from models.replay import PrecisionLost

X = np.array([-1.0, -0.25, 0.5, 1.75])


def outputs(W: Array, x: Array) -> Array:
    """f(x) by its definition."""
    return np.asarray(np.maximum(np.outer(x, W[:, 0]) + W[:, 1], 0.0) @ W[:, 2])


def slow_regions(W: Array) -> int:
    """Slopes of f between all kinks, in rational numbers: one region more than there are changes."""
    rows = [[Fraction(x) for x in row] for row in W.tolist()]
    kinks = sorted({-b / w for w, b, _ in rows if w})
    if not kinks:
        return 1
    middles = [kinks[0] - 1, *((p + q) / 2 for p, q in pairwise(kinks)), kinks[-1] + 1]
    slopes = [sum((v * w for w, b, v in rows if w * x + b > 0), Fraction(0)) for x in middles]
    return 1 + sum(p != q for p, q in pairwise(slopes))


def slow_effective(W: Array, low: float, high: float, within: Fraction) -> int:
    """The best of all ways to cut [low, high] at kinks; a line fits if no chord is twice the distance away."""
    rows = [[Fraction(x) for x in row] for row in W.tolist()]
    x = sorted({Fraction(low), Fraction(high), *(-b / w for w, b, _ in rows if w and low < -b / w < high)})
    y = [sum((v * max(w * p + b, Fraction(0)) for w, b, v in rows), Fraction(0)) for p in x]

    def fits(i: int, k: int) -> bool:
        for a, b, c in combinations(range(i, k + 1), 3):
            chord = y[a] + (y[c] - y[a]) * (x[b] - x[a]) / (x[c] - x[a])
            if abs(y[b] - chord) > 2 * within:
                return False
        return True

    best = [0] * len(x)
    for k in range(1, len(x)):
        best[k] = min(best[i] + 1 for i in range(k) if fits(i, k))
    return max(best[-1], 1)


@pytest.mark.parametrize("share", [64, 8, 2])
def test_counts_are_those_of_slow_ones(share: int) -> None:
    rng, seen = np.random.default_rng(share), set()
    for k in range(40):
        W = rng.integers(-2, 3, (rng.integers(1, 8), 3)).astype(np.float64)
        if k % 2:
            W += rng.standard_normal(W.shape)
        within = float(np.abs(outputs(W, X)).max()) / share
        graph = Graph(rational_neurons(W))
        effective = graph.effective_regions(fmpq(-1), fmpq(7, 4), fmpq(*within.as_integer_ratio()))
        assert graph.regions == slow_regions(W)
        assert effective == slow_effective(W, -1.0, 1.75, Fraction(within))
        assert float_counts(W, -1.0, 1.75, within) == (graph.regions, effective)
        seen.add(effective)
    assert len(seen) > 1


def test_kinks_at_one_place_are_one_or_none() -> None:
    third = np.array([[3.0, 1.0, 1.0], [-6.0, -2.0, 0.25], [1.5, 0.5, -2.0]])
    assert Graph(rational_neurons(third)).regions == float_counts(third, -1.0, 1.0, 0.0)[0] == 2
    straight = np.array([[1.0, -0.5, 2.0], [-1.0, 0.5, -2.0], [0.0, 1.0, 1.0]])
    assert Graph(rational_neurons(straight)).regions == 1


def test_a_bend_of_many_small_kinks_is_one_effective_region_more() -> None:
    places = 0.5 + np.arange(200) * 2.0**-20
    W = np.column_stack([np.ones(200), -places, np.full(200, 2.0**-6)])
    graph = Graph(rational_neurons(W))
    assert graph.regions == 201
    assert graph.effective_regions(fmpq(0), fmpq(1), fmpq(1, 100)) == 2
    assert float_counts(W, 0.0, 1.0, 0.01) == (201, 2)


def test_balls_that_do_not_tell_are_no_counts() -> None:
    assert (sign(arb(1) / 3), sign(-arb(2)), sign(arb(0))) == (1, -1, 0)
    third = arb(1) / 3
    with pytest.raises(PrecisionLost):
        _ = Graph([(arb(1), third, arb(1)), (arb(3), arb(1), arb(1))]).regions
