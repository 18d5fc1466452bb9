"""Linear regions of a univariate ReLU network f(x) = Σ_j v_j max(w_j x + b_j, 0), counted.

A neuron with w ≠ 0 has its kink at −b/w, where the slope of f rises by v|w|, whichever way the neuron faces.
Kinks at one place are one, or none if their slope changes cancel; f has one region more than it has kinks.

`Graph` counts in rational numbers and in balls, `float_counts` in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, cmp_to_key

import numpy as np
from flint import arb, fmpq
from numba import njit

from models.dataset import Array
from models.interpolation import rational
from models.replay import PrecisionLost

#: A rational number, or a ball.  Balls that do not settle a comparison raise `PrecisionLost`.
Number = fmpq | arb
#: w, b and v of one neuron.
Neuron = Sequence[Number]


def rational_neurons(W: Array) -> list[list[Number]]:
    """The rows of W as the exact numbers they are."""
    return [[rational(x) for x in row] for row in W.tolist()]


def sign(x: Number) -> int:
    """−1, 0 or 1.  Raises `PrecisionLost` for a ball that does not tell."""
    if x > 0:
        return 1
    if x < 0:
        return -1
    if x == 0:
        return 0
    raise PrecisionLost("a ball does not tell the sign of a number that a count depends on")


def magnitude(values: Sequence[Number]) -> Number:
    """The largest absolute value: rational where all values are."""
    rationals = [x for x in values if isinstance(x, fmpq)]
    if len(rationals) == len(values):
        return max(max(rationals), -min(rationals))
    largest = arb(0)
    for x in values:
        largest = largest.max(abs(arb(x)))
    return largest


class Graph:
    """f as a piecewise linear function.

    Parameters
    ----------
    neurons : sequence of (w, b, v)
    """

    def __init__(self, neurons: Sequence[Neuron]) -> None:
        self.neurons = neurons

    @cached_property
    def kinks(self) -> list[Number]:
        """Places where the slope of f changes, in increasing order."""
        changes = [(-b / w, v * sign(w) * w) for w, b, v in self.neurons if sign(w)]
        merged: list[tuple[Number, Number]] = []
        for place, change in sorted(changes, key=cmp_to_key(_by_place)):
            if merged and not sign(place - merged[-1][0]):
                merged[-1] = place, merged[-1][1] + change
            else:
                merged.append((place, change))
        return [place for place, change in merged if sign(change)]

    @property
    def regions(self) -> int:
        """Number of maximal intervals of the line on which f is affine."""
        return len(self.kinks) + 1

    def __call__(self, x: Number) -> Number:
        """f(x)."""
        value: Number = fmpq(0)
        for w, b, v in self.neurons:
            z = w * x + b
            # A ball around 0, as at a neuron's own kink, is enclosed rather than told.
            value = v * (z.max(arb(0)) if isinstance(z, arb) else max(z, fmpq(0))) + value
        return value

    def effective_regions(self, low: Number, high: Number, within: Number) -> int:
        """Least number of intervals that cover [low, high], on each of which f is within a distance of one line.

        The intervals begin and end at kinks of f, or at ``low`` and ``high``.  What holds on an interval holds on
        a part of it, so the longest interval from the left, then the longest from there, and so on, is least.
        """
        if not sign(high - low):
            return 1
        x = [low, *(k for k in self.kinks if sign(k - low) > 0 and sign(high - k) > 0), high]
        y = [self(place) for place in x]
        count, first = 0, 0
        while first < len(x) - 1:
            first, count = _farthest(x, y, first, within), count + 1
        return count


def _farthest(x: Sequence[Number], y: Sequence[Number], first: int, within: Number) -> int:
    """The last vertex up to which one line is within a distance of all vertices from ``first``.

    A slope a will do exactly when no two values of y − ax differ by more than twice the distance, so every pair
    of vertices allows an interval of slopes.
    """
    least, most = _slopes(x, y, first, first + 1, within)
    for k in range(first + 2, len(x)):
        for i in range(first, k):
            low, high = _slopes(x, y, i, k, within)
            least, most = (low if sign(low - least) > 0 else least), (high if sign(most - high) > 0 else most)
        if sign(least - most) > 0:
            return k - 1
    return len(x) - 1


def _slopes(x: Sequence[Number], y: Sequence[Number], i: int, k: int, within: Number) -> tuple[Number, Number]:
    run, rise = x[k] - x[i], y[k] - y[i]
    return (rise - 2 * within) / run, (rise + 2 * within) / run


def _by_place(first: tuple[Number, Number], second: tuple[Number, Number]) -> int:
    return sign(first[0] - second[0])


@njit(cache=True)
def float_counts(W: Array, low: float, high: float, within: float) -> tuple[int, int]:
    """Regions, and effective regions on [low, high], of the network with rows (w, b, v), in float64."""
    turning = np.flatnonzero(W[:, 0] != 0.0)
    places = -W[turning, 1] / W[turning, 0]
    changes = W[turning, 2] * np.abs(W[turning, 0])
    order = np.argsort(places)
    regions, inside = 1, [low]
    k = 0
    while k < order.size:
        place, change = places[order[k]], 0.0
        while k < order.size and places[order[k]] == place:
            change += changes[order[k]]
            k += 1
        if change != 0.0:
            regions += 1
            if low < place < high:
                inside.append(place)
    inside.append(high)
    x = np.array(inside)
    y = np.zeros(x.size)
    for k in range(x.size):
        for w, b, v in W:
            z = w * x[k] + b
            if z > 0.0:
                y[k] += v * z
    count = 1
    first, least, most = 0, -np.inf, np.inf
    for k in range(1, x.size if low < high else 0):
        for i in range(first, k):
            run, rise = x[k] - x[i], y[k] - y[i]
            least, most = max(least, (rise - 2 * within) / run), min(most, (rise + 2 * within) / run)
        if least > most:
            count, first = count + 1, k - 1
            run, rise = x[k] - x[first], y[k] - y[first]
            least, most = (rise - 2 * within) / run, (rise + 2 * within) / run
    return regions, count
