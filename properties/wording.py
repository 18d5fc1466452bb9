"""Numbers as sentences write them: counts, sizes, powers of ten, and how far two sides are apart."""

from __future__ import annotations

import math
from typing import Any

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: Relative distances from equality: below the first they are percentages, below the second powers of ten.
_NEAR, _VERY_NEAR = 0.01, 1e-5


def power_label(exponent: float) -> str:
    """A power of ten as a reader writes it: 0.25, 10⁻⁸⁰⁰, 3.2·10⁻⁹."""
    if -3 <= exponent < 5:
        return f"{float(f'{10.0**exponent:.3g}'):g}" if exponent < 3 else f"{round(10.0**exponent)}"
    whole = math.floor(exponent + 1e-9)
    mantissa = f"{10.0 ** (exponent - whole):.2g}"
    if mantissa == "10":
        whole, mantissa = whole + 1, "1"
    power = f"10{str(whole).translate(_SUPERSCRIPT)}"
    return power if mantissa == "1" else f"{mantissa}·{power}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A count with its noun: 1 run, 12,000 runs."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def extent(dataset: Any) -> str:
    """How large a dataset is, in its own unit: 2×3×4 tokens."""
    return f"{'×'.join(str(k) for k in dataset.X.shape)} {dataset.unit}"


def near_equality(log_ratio: float) -> str | None:
    """How near the two sides of an inequality are, where their ratio would be rounded to 1; else None.

    Parameters
    ----------
    log_ratio : float
        log10 of the smaller side over the larger, at most about 0.
    """
    short = -math.expm1(log_ratio * math.log(10.0))  # 1 − ratio, free of cancellation
    if short < 1e-14:
        return "equal within float64's accuracy"
    if short < _VERY_NEAR:
        return f"within {power_label(math.log10(short))} of equality"
    return f"within {100 * short:.2g} % of equality" if short < _NEAR else None


def tightness(log_ratio: float, *, upper: bool | None) -> str:
    """How near a bound that holds comes to what happens, in words.

    Parameters
    ----------
    log_ratio : float
        Largest log10 of the smaller side over the larger, at most about 0.
    upper : bool or None
        Whether the bound is the larger side; None where neither side alone is what was measured.

    Returns
    -------
    str
        "at its tightest the bound is 8.3 times what happens", or how near equality is.
    """
    near = near_equality(log_ratio)
    if near is not None:
        return f"at its tightest {near}"
    factor = f"{10.0**-log_ratio:.3g}" if log_ratio > -3 else power_label(-log_ratio)
    if upper is None:
        return f"at its tightest the larger side is {factor} times the smaller one"
    if upper:
        return f"at its tightest the bound is {factor} times what happens"
    return f"at its tightest what happens is {factor} times the bound"
