"""How a measured quantity goes over the steps, in a few characters: ▇▅▃▂▁."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from properties.limits import LimitEvidence
from properties.orders import OrderEvidence
from properties.verdict import Evidence, PointwiseEvidence

Array = NDArray[np.float64]
_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = 8


def trend(evidence: Evidence) -> str:
    """What matters for the claim, over the steps on a logarithmic axis, each on a scale of its own.

    For an inequality the largest ratio of its sides, over all runs that were kept for drawing; for an order the
    ratio of the slowest run to the claimed rate, and for a limit the distance of the farthest run from it, in
    dyadic windows.  All are logarithmic.  Empty where there is nothing of the kind.
    """
    if isinstance(evidence, PointwiseEvidence):
        return sparkline(_largest_ratios(evidence))
    if isinstance(evidence, OrderEvidence) and evidence.slowest is not None:
        run = evidence.slowest
        return sparkline(run.windows.values - run.rates.values)
    if isinstance(evidence, LimitEvidence) and evidence.runs:
        farthest = max(evidence.runs, key=lambda run: -run.distance if evidence.infinite else run.distance)
        with np.errstate(divide="ignore"):
            return sparkline(np.log10(np.maximum(farthest.windows.values, 0.0)))
    return ""


def sparkline(values: Array) -> str:
    """One bar a value, from the lowest to the highest; a value that is not finite is a gap.

    What varies by less than a thousandth of a decade is level: rounding errors are no trend.
    """
    finite = np.isfinite(values)
    if not finite.any():
        return ""
    low, high = float(values[finite].min()), float(values[finite].max())
    if high - low < 1e-3:
        return "".join(_BARS[3] if known else " " for known in finite)
    heights = np.rint((np.where(finite, values, low) - low) / (high - low) * (len(_BARS) - 1)).astype(int)
    return "".join(_BARS[k] if known else " " for k, known in zip(heights, finite, strict=True))


def _largest_ratios(evidence: PointwiseEvidence) -> Array:
    """log10 of the largest ratio in each of a few parts of the steps t ≥ 1, shape (K,); −inf in empty ones."""
    curves = [run.curve for run in [*evidence.runs, evidence.worst] if run is not None and run.curve is not None]
    if not curves:
        return np.empty(0)
    t = np.concatenate([curve.t for curve in curves])
    with np.errstate(invalid="ignore"):  # both sides may be zero
        ratios = np.concatenate([curve.small - curve.large for curve in curves])
    shown = (t >= 1) & np.isfinite(ratios)
    if not shown.any():
        return np.empty(0)
    t, ratios = np.log(t[shown]), ratios[shown]
    edges = np.linspace(t.min(), t.max(), _COLUMNS + 1)
    places = np.clip(np.searchsorted(edges, t, side="right") - 1, 0, _COLUMNS - 1)
    largest = np.full(_COLUMNS, -np.inf)
    np.maximum.at(largest, places, ratios)
    return largest
