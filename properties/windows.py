"""Dyadic windows of a run and straight-line fits through them: what order and limit claims are measured by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from models.dataset import Array
from properties.balls import BallArray, BoolArray

#: Windows [2^k, 2^{k+1}) that a statement about growth rests on: together a factor 128, over two decades.
WINDOWS = 7
_FIRST = 2  # windows start at 2² = 4, where log log t and the like are defined
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Fit:
    """Least-squares slope with its Student interval at `CONFIDENCE`."""

    slope: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Windows:
    """The last `WINDOWS` complete dyadic windows of a run.

    Attributes
    ----------
    t : array, shape (K,)
        Geometric centre of each window.
    values : array, shape (K,)
        Largest (smallest) value in each.
    """

    t: Array
    values: Array


def natural_log(ball: BallArray) -> Array:
    """Natural logarithm of the midpoints, NaN where the value is not positive or not known to three digits."""
    with np.errstate(all="ignore"):
        values = np.log(ball.mid) + ball.exp2 * np.log(2.0)
    return np.where((ball.mid > 0) & ball.accurate(), values, np.nan)


def last_windows(t: NDArray[np.int64], values: Array, mask: BoolArray, *, largest: bool) -> Windows | None:
    """The extremes of ``values`` over the run's last complete dyadic windows.

    Every step of a window must be in ``mask``; NaN values are passed over, but a window must have some value.

    Parameters
    ----------
    largest : bool
        Maximum or minimum in each window.

    Returns
    -------
    Windows or None
        None when fewer than `WINDOWS` windows qualify at the end of the run.
    """
    found: list[tuple[float, float]] = []
    last = int(t[-1]) if t.size else 0
    k = (last + 1).bit_length() - 2  # the last window that ends within the run
    while k >= _FIRST and len(found) < WINDOWS:
        low, high = np.searchsorted(t, [1 << k, 1 << (k + 1)])
        inside = values[low:high]
        if high == low or not mask[low:high].all() or not np.isfinite(inside).any():
            return None
        extreme = np.nanmax(inside) if largest else np.nanmin(inside)
        found.append((float(2.0**k * np.sqrt(2.0)), float(extreme)))
        k -= 1
    if len(found) < WINDOWS:
        return None
    found.reverse()
    centres, extremes = np.array(found).T
    return Windows(centres, extremes)


def straight_line(x: Array, y: Array) -> Fit:
    """Slope of y against x with the Student interval of its estimate."""
    x0 = x - x.mean()
    slope = float(x0 @ y / (x0 @ x0))
    residual = y - y.mean() - slope * x0
    freedom = x.size - 2
    error = float(np.sqrt(residual @ residual / freedom / (x0 @ x0)))
    reach = float(student.ppf(0.5 + CONFIDENCE / 2, freedom)) * error
    return Fit(slope, slope - reach, slope + reach)
