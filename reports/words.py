"""Numbers and counts as the report writes them."""

from __future__ import annotations

import math

from properties.windows import Fit


def number(value: float, digits: int = 3) -> str:
    """A few significant digits, with a true minus sign."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}g}".replace("-", "−")


def fixed(value: float, decimals: int = 2) -> str:
    """So many decimals, with a true minus sign and no minus zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def interval(fit: Fit) -> str:
    """A slope with its interval: −1.99 (−2.05 to −1.93)."""
    return f"{fixed(fit.slope)} ({fixed(fit.low)} to {fixed(fit.high)})"


def count(value: int, noun: str, plural: str = "") -> str:
    """A count with its noun: 1 run, 24 runs."""
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def percent(share: float | None) -> str:
    """A share as a percentage that never rounds to 0 or 100."""
    if share is None:
        return "–"
    if 0 < share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if 0.999 < share < 1 else f"{100 * share:.3g} %"


def listed(items: list[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def plain(expression: object) -> str:
    """An expression or relation in one line of text: log(t)^2/t, t^(−3/4), leak_max ≤ 1/1000."""
    text = str(expression).replace("**", "^").replace("<=", "≤").replace(">=", "≥").replace("*", "·")
    return text.replace("-", "−")
