"""Whether one inequality follows from another: the order of what they say of the quantity that both bound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import sympy as sp

from properties.precedence import CertifiedPoint, Comparison, Precedence, compare_expressions
from properties.ranges import ORDERS, ranges_of


@dataclass(frozen=True)
class _Bounds:
    """The sides that bound what two inequalities share, as upper bounds or (``from_below``) as lower ones."""

    old: sp.Expr
    new: sp.Expr
    from_below: bool


def compare_relations(
    old: sp.core.relational.Relational,
    new: sp.core.relational.Relational,
    given: Iterable[sp.core.relational.Relational] = (),
    *,
    budget_s: float = 10.0,
) -> Comparison:
    """Whether one inequality follows from another, wherever the relations ``given`` and `ORDERS` hold.

    Strictness is not compared.  The side that both share, if need be once the new inequality is multiplied by
    something positive, is what is bounded; points have the two bounds, of which the larger one says more if they
    are lower bounds (see `bounds_from_below`).  Where no side is shared, the slacks large − small are compared:
    *stronger* then means that the new slack is never larger than the old one, and *incomparable* that each
    inequality holds at a point where the other fails.

    Raises
    ------
    ValueError
        If one side is shared but one inequality bounds it from above and the other from below.
    """
    if any(a == b and a.free_symbols for a, b in ((new.lts, old.gts), (new.gts, old.lts))):
        raise ValueError(f"{old} and {new} bound the same quantity from different sides; compare them separately")
    known = (*ORDERS, *given)
    bounds = _bounds(old, new, known)
    if bounds is not None:
        sign = -1 if bounds.from_below else 1
        found = compare_expressions(sign * bounds.old, sign * bounds.new, relations=known, budget_s=budget_s)
        return replace(
            found, points=tuple(CertifiedPoint(p.values, sign * p.old, sign * p.new) for p in found.points)
        )
    found = compare_expressions(old.gts - old.lts, new.gts - new.lts, relations=known, budget_s=budget_s)
    if found.order is not Precedence.INCOMPARABLE:
        return found
    telling = tuple(p for p in found.points if (p.old >= 0 > p.new) or (p.new >= 0 > p.old))
    if len(telling) == 2:
        return found
    reason = "no side of the inequality is as it was, and neither slack is always the smaller one"
    return replace(found, order=Precedence.UNDECIDED, reason=reason, points=telling)


def bounds_from_below(
    old: sp.core.relational.Relational,
    new: sp.core.relational.Relational,
    given: Iterable[sp.core.relational.Relational] = (),
) -> bool:
    """Whether two inequalities are compared by the lower bounds of what they share."""
    bounds = _bounds(old, new, (*ORDERS, *given))
    return bounds is not None and bounds.from_below


def _bounds(
    old: sp.core.relational.Relational,
    new: sp.core.relational.Relational,
    known: Iterable[sp.core.relational.Relational],
) -> _Bounds | None:
    """What bounds a shared side that may take values of its own: it has an observable that neither bound has."""
    for shared, before, after, from_below in _pairings(old, new, tuple(known)):
        if shared.free_symbols - before.free_symbols - after.free_symbols:
            return _Bounds(before, after, from_below)
    return None


def _pairings(
    old: sp.core.relational.Relational,
    new: sp.core.relational.Relational,
    known: Iterable[sp.core.relational.Relational],
) -> Iterator[tuple[sp.Expr, sp.Expr, sp.Expr, bool]]:
    """Shared sides with the others, a side as it stands before one that has to be multiplied."""
    sides = [(old.lts, new.lts, old.gts, new.gts, False), (old.gts, new.gts, old.lts, new.lts, True)]
    sides.sort(key=lambda side: not side[0].is_Symbol)  # a single observable is what is measured
    for mine, its, before, after, from_below in sides:
        if mine == its:
            yield mine, before, after, from_below
    positive = {
        s: sp.Dummy(positive=True)
        for s, r in ranges_of(old.free_symbols | new.free_symbols, known).items()
        if r.low is not None and (r.low > 0 or (r.low == 0 and r.low_open))
    }
    for mine, its, before, after, from_below in sides:
        factor = sp.cancel(mine / its) if its.free_symbols else sp.S.Zero
        if factor.xreplace(positive).is_positive:
            yield mine, before, factor * after, from_below
