"""Where observables lie: their declared ranges, and orders between them that docs/theory.md proves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import sympy as sp
from flint import fmpq

from bounds.notation import (
    NOTATION,
    B,
    Delta_max,
    Delta_min,
    alignment,
    alignment_0,
    alignment_1,
    direction_gap,
    gamma,
    leak_max,
    leak_min,
    norm,
    norm_0,
    norm_1,
    s_min,
    s_min_run,
    u_alignment,
    u_alignment_1,
    u_direction_gap,
    u_norm,
    u_norm_1,
)

#: Orders that hold of every instance on which both sides are defined (docs/theory.md#setting): γ ≤ ‖Σ p Z‖ ≤ B for
#: every probability vector p, Cauchy–Schwarz, and extremes of the same numbers.
ORDERS: tuple[sp.core.relational.Relational, ...] = (
    gamma <= B,
    Delta_min <= Delta_max,
    alignment <= norm,
    alignment_0 <= norm_0,
    alignment_1 <= norm_1,
    u_alignment <= u_norm,
    u_alignment_1 <= u_norm_1,
    s_min_run <= s_min,
    leak_min <= leak_max,
)

#: 1 − cos exceeds 1 while the cosine is negative: its declared level holds only once it is not.
_CERTAIN_TOP = {direction_gap: 2, u_direction_gap: 2}


@dataclass(frozen=True)
class Range:
    """An interval of real numbers, or of whole ones.

    Attributes
    ----------
    low, high : fmpq or None
        End points; None where there is none.
    low_open, high_open : bool
        Whether a finite end point is left out.
    whole : bool
        Whether only integers are meant; end points are then integers of the range.

    Raises
    ------
    ValueError
        If nothing lies in it.
    """

    low: fmpq | None = None
    high: fmpq | None = None
    low_open: bool = False
    high_open: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if self.whole:
            low, high = self.low, self.high
            if low is not None:
                low = fmpq(low.floor() + 1 if self.low_open else low.ceil())
            if high is not None:
                high = fmpq(high.ceil() - 1 if self.high_open else high.floor())
            for name, value in (("low", low), ("high", high), ("low_open", False), ("high_open", False)):
                object.__setattr__(self, name, value)
        if self.low is not None and self.high is not None:
            alone = self.low == self.high and not (self.low_open or self.high_open)
            if not (self.low < self.high or alone):
                raise ValueError(f"the range from {self.low} to {self.high} is empty")

    def __contains__(self, value: fmpq) -> bool:
        """Whether an exact number lies in it."""
        above = self.low is None or value > self.low or (value == self.low and not self.low_open)
        below = self.high is None or value < self.high or (value == self.high and not self.high_open)
        return bool(above and below and (not self.whole or value.q == 1))

    def within(self, other: Range) -> Range:
        """The part of it that lies in ``other`` too.  Raises `ValueError` if that is empty."""
        low, low_open = self.low, self.low_open
        if other.low is not None and (low is None or other.low >= low):
            low, low_open = other.low, other.low_open or (low == other.low and low_open)
        high, high_open = self.high, self.high_open
        if other.high is not None and (high is None or other.high <= high):
            high, high_open = other.high, other.high_open or (high == other.high and high_open)
        return Range(low, high, low_open, high_open, self.whole or other.whole)


def range_of(symbol: sp.Symbol) -> Range:
    """What is certain of a symbol: its SymPy assumptions, and an observable's numeric levels.

    Levels that are other observables, such as ``loss_gap_0`` for ``loss_gap``, do not enter: not every run keeps
    to them.
    """
    whole = bool(symbol.is_integer)
    at_least_0 = bool(symbol.is_positive or symbol.is_nonnegative)
    found = Range(fmpq(0) if at_least_0 else None, None, bool(symbol.is_positive), whole=whole)
    if symbol.is_negative or symbol.is_nonpositive:
        found = replace(found, high=fmpq(0), high_open=bool(symbol.is_negative))
    observable = NOTATION.get(symbol.name)
    if observable is None or observable.symbol != symbol:
        return found
    top = _CERTAIN_TOP.get(symbol, observable.trivially_below)
    bottom = observable.trivially_above
    limits = Range(exact(bottom), exact(top))
    return found.within(limits)


def ranges_of(
    symbols: Iterable[sp.Symbol],
    relations: Iterable[sp.core.relational.Relational] = (),
    given: Mapping[sp.Symbol, Range] | None = None,
) -> dict[sp.Symbol, Range]:
    """Ranges of all ``symbols``, narrowed by relations of one symbol to a number such as ``t >= 1``.

    Raises
    ------
    ValueError
        If a range is empty.
    """
    known = dict(given or {})
    ranges = {s: known.get(s) or range_of(s) for s in sorted(symbols, key=lambda s: str(s.name))}
    for relation in relations:
        small, large, strict = relation.lts, relation.gts, isinstance(relation, sp.Lt | sp.Gt)
        if small in ranges and (value := exact(large)) is not None:
            ranges[small] = ranges[small].within(Range(high=value, high_open=strict))
        elif large in ranges and (value := exact(small)) is not None:
            ranges[large] = ranges[large].within(Range(low=value, low_open=strict))
    return ranges


def exact(number: sp.Basic | int | None) -> fmpq | None:
    """A rational SymPy number as a fraction, or None if it is none."""
    value = sp.sympify(number) if isinstance(number, int) else number
    if isinstance(value, sp.Float):
        value = sp.Rational(value)
    return fmpq(int(value.p), int(value.q)) if isinstance(value, sp.Rational) else None
