"""Which of two bounds says more, everywhere, with proof.

A theorem's bound is edited: the new bound is *stronger* where it is never worse than the old one.  The order is
decided on the whole domain of the observables, unbounded as it is, or two points certified in ball arithmetic show
that there is none.  A bound says nothing where it is undefined.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import flint
import sympy as sp
from flint import arb, fmpq

from properties.charts import Chart, charts, unscaled
from properties.compiled import compile_expression
from properties.normal_forms import doubtful, exact_constants, goals, is_defined
from properties.ranges import Range, range_of, ranges_of
from properties.sign_proofs import Point, prove
from properties.signomials import Box, Opaque, dominates, terms_of

_BITS = 128  # working precision of proofs
_CERTIFY = (64, 256, 1024, 4096)  # precisions at which a point is tried
_SAMPLES = 240
_MOST_CHARTS = 64
_MOST_DIGITS = 5  # of the coordinates of points that are returned, where so few will do


#: Intervals of observables or of products of them, None for no end.
Region = Mapping[sp.Expr, tuple[fmpq | None, fmpq | None]]


class Precedence(Enum):
    """How a new bound relates to an old one."""

    EQUAL = "equal"
    STRONGER = "stronger everywhere"
    WEAKER = "weaker everywhere"
    INCOMPARABLE = "incomparable"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class CertifiedPoint:
    """Exact values of all observables, and balls around both bounds that do not meet."""

    values: Mapping[sp.Symbol, fmpq]
    old: arb
    new: arb

    @property
    def new_is_smaller(self) -> bool:
        """Whether the new bound is certainly the smaller one."""
        return bool(self.new < self.old)


@dataclass(frozen=True)
class Comparison:
    """The order of two bounds.

    Attributes
    ----------
    order : Precedence
    reason : str
        How it was decided, in a sentence.
    points : tuple of CertifiedPoint
        Points where the bounds differ: one for stronger or weaker, one on each side for incomparable.
    region : tuple of mapping
        Where it is undecided: intervals of observables or of quotients of two, None for no end.
    boxes : int
        Boxes that were looked at.
    seconds : float
    """

    order: Precedence
    reason: str
    points: tuple[CertifiedPoint, ...] = ()
    region: tuple[Region, ...] = ()
    boxes: int = 0
    seconds: float = 0.0


def compare_expressions(
    old: sp.Expr,
    new: sp.Expr,
    ranges: Mapping[sp.Symbol, Range] | None = None,
    relations: Iterable[sp.core.relational.Relational] = (),
    *,
    budget_s: float = 10.0,
) -> Comparison:
    """The order of two upper bounds at all points where both are defined.

    Parameters
    ----------
    old, new : SymPy expressions
        *Stronger* means new ≤ old everywhere and new < old somewhere.
    ranges : mapping of symbol to Range, optional
        In place of what `range_of` derives from the declarations.
    relations : iterable of SymPy relations
        What is known to hold: a bound by a number narrows a range, an order of two positive observables is used
        in the proof, and every one of them holds at the points that are returned.
    budget_s : float
        Seconds after which no further proof is begun.

    Raises
    ------
    ValueError
        If the relations leave no value for an observable.
    """
    started = time.monotonic()
    known = tuple(relations)
    with flint.ctx.workprec(_BITS):
        pair = _Pair.of(exact_constants(old), exact_constants(new), ranges, known)
        result = _compare(pair, started + budget_s)
        points = tuple(map(pair.shortened, result.points))
    return replace(result, points=points, seconds=time.monotonic() - started)


def _compare(pair: _Pair, deadline: float) -> Comparison:
    if pair.old == pair.new:
        return Comparison(Precedence.EQUAL, "the two are the same expression")
    atlas = charts((pair.old, pair.new), pair.ranges, pair.relations)
    if len(atlas) > _MOST_CHARTS:
        return Comparison(Precedence.UNDECIDED, f"there are {len(atlas)} cases of signs and logarithms")
    found = pair.sampled(atlas)
    if len(found) == 2:
        return _incomparable(found)
    boxes, region = 0, list[Region]()
    smaller: list[bool] = []
    for new_is_smaller in (True, False):
        if (not new_is_smaller) in found:
            continue  # refuted by a point already
        proved = True
        for chart in atlas:
            search = _proved(pair, chart, new_is_smaller, found, deadline)
            boxes += search.boxes
            proved &= search.proved
            region += search.region
            if len(found) == 2:
                return replace(_incomparable(found), boxes=boxes)
            if search.refuted:
                break
        if proved:
            smaller.append(new_is_smaller)
    if len(smaller) == 2:
        return Comparison(Precedence.EQUAL, f"each is at most the other, {_how(boxes)}", boxes=boxes)
    if smaller and smaller[0] in found:
        order = Precedence.STRONGER if smaller[0] else Precedence.WEAKER
        sign = "never larger" if smaller[0] else "never smaller"
        return Comparison(order, f"the new bound is {sign}, {_how(boxes)}", tuple(found.values()), (), boxes)
    reason = "no proof within the budget" if region else "no point tells the two apart"
    reason = next(filter(None, map(pair.said_by_one, atlas)), reason)
    return Comparison(Precedence.UNDECIDED, reason, tuple(found.values()), tuple(region), boxes)


def _concerned(symbols: set[sp.Symbol], relations: Sequence[sp.core.relational.Relational]) -> set[sp.Symbol]:
    """``symbols``, and those that the relations tie to them.

    An order of two symbols ties neither if the one that nothing else speaks of may have the other's value.
    """
    tied = set(symbols)
    for relation in relations:
        near, far = relation.free_symbols & tied, relation.free_symbols - tied
        if not near or not far:
            continue
        spoken_of = any(far & other.free_symbols for other in relations if other != relation)
        order = isinstance(relation, sp.Le | sp.Ge) and {relation.lts, relation.gts} == near | far
        if order and not spoken_of:
            (known,), (free,) = near, far
            if range_of(known).within(range_of(free)) == range_of(known):
                continue
        return _concerned(tied | far, relations)
    return tied


@dataclass(frozen=True)
class _Proof:
    """What was tried on one chart; see `properties.sign_proofs.Search`."""

    proved: bool
    refuted: bool
    boxes: int
    region: tuple[Region, ...] = ()


def _how(boxes: int) -> str:
    if not boxes:
        return "by algebra"
    cover = "one box that covers" if boxes == 1 else f"{boxes} boxes that cover"
    return f"by domination and monotonicity on {cover} the whole domain"


def _incomparable(found: Mapping[bool, CertifiedPoint]) -> Comparison:
    reason = "each is certainly the smaller one at a point"
    return Comparison(Precedence.INCOMPARABLE, reason, (found[True], found[False]))


def _proved(
    pair: _Pair, chart: Chart, new_is_smaller: bool, found: dict[bool, CertifiedPoint], deadline: float
) -> _Proof:
    """Try to prove that one bound is never larger, noting in ``found`` a point that shows the contrary."""
    undecided = _Proof(False, False, 0, (chart.region(chart.box),))
    if time.monotonic() > deadline:
        return undecided
    old, new = _placed(pair.old, chart), _placed(pair.new, chart)
    small, large = (new, old) if new_is_smaller else (old, new)
    if large is None:
        return _Proof(True, False, 0)
    if old is None or new is None or not doubtful(small) <= doubtful(large):
        return undecided  # the smaller one may say nothing where the larger one does
    try:
        aims = goals(large - small, lambda e: _nonnegative(e, chart.box))
        aims = tuple(clause for clause in aims if not any(_is_clear(product) for product in clause))
        if not aims:
            return _Proof(True, False, 0)
        if any(fmpq(0) in r and not r.whole for r in pair.ranges.values()) and not (
            is_defined(old) and is_defined(new)
        ):
            return undecided  # 0 is left out of the chart, and may not be a limit of points where both are defined
        products = [product for clause in aims for product in clause]
        for symbol in sorted(chart.box, key=lambda s: str(s.name)):
            if chart.box[symbol][0] < 1 and any(f.has(sp.log(symbol)) for product in products for f in product):
                parts = [_proved(pair, part, new_is_smaller, found, deadline) for part in chart.split(symbol)]
                return _Proof(
                    all(p.proved for p in parts),
                    any(p.refuted for p in parts),
                    sum(p.boxes for p in parts),
                    tuple(region for p in parts for region in p.region),
                )
        box = unscaled(chart.box, products)
    except (Opaque, ValueError):
        return undecided

    def refutes(coordinates: Point) -> bool:
        point = pair.certified(chart.point(coordinates))
        if point is None:
            return False
        found.setdefault(point.new_is_smaller, point)
        return point.new_is_smaller != new_is_smaller

    search = prove(aims, box, chart.whole, refutes, deadline)
    return _Proof(search.proved, search.refuted, search.boxes, tuple(chart.region(b) for b in search.open))


def _placed(bound: sp.Expr, chart: Chart) -> sp.Expr | None:
    """A bound in a chart's coordinates; None if it is undefined on the whole chart."""
    try:
        placed = bound.xreplace(dict(chart.place))
    except ValueError:  # SymPy does not compare 1/0 with anything
        return None
    return None if placed.has(sp.nan, sp.zoo, sp.I) else placed


def _is_clear(product: tuple[sp.Expr, ...]) -> bool:
    """Whether a product is a constant ≥ 0."""
    return len(product) == 1 and product[0].is_number and bool(product[0] >= 0)


def _nonnegative(expression: sp.Expr, box: Box) -> bool:
    try:
        return dominates(terms_of(sp.expand(sp.expand_log(expression))), box)
    except Opaque:
        return False


# ------------------------------------------------------------------------------------------------- points
@dataclass(frozen=True)
class _Pair:
    """Two bounds, and where they are compared."""

    old: sp.Expr
    new: sp.Expr
    ranges: Mapping[sp.Symbol, Range]
    relations: Sequence[sp.core.relational.Relational]

    @classmethod
    def of(
        cls,
        old: sp.Expr,
        new: sp.Expr,
        given: Mapping[sp.Symbol, Range] | None,
        relations: Sequence[sp.core.relational.Relational],
    ) -> _Pair:
        """Two bounds on the ranges of their observables.  Raises `ValueError` for an empty one."""
        symbols = _concerned(old.free_symbols | new.free_symbols, relations)
        return cls(old, new, ranges_of(symbols, relations, given), relations)

    def shortened(self, point: CertifiedPoint) -> CertifiedPoint:
        """A certified point on the same side of shorter decimal fractions, where there is one near."""
        for symbol in point.values:
            for digits in range(1, _MOST_DIGITS):
                value = _rounded(point.values[symbol], digits)
                if value == point.values[symbol]:
                    break
                nearby = self.certified({**point.values, symbol: value})
                if nearby is not None and nearby.new_is_smaller == point.new_is_smaller:
                    point = nearby
                    break
        return point

    def sampled(self, atlas: Sequence[Chart]) -> dict[bool, CertifiedPoint]:
        """Points by whether the new bound is smaller there, from samples of all charts."""
        found: dict[bool, CertifiedPoint] = {}
        number = max(16, _SAMPLES // len(atlas))
        for coordinates in itertools.zip_longest(*(chart.samples(number) for chart in atlas)):
            for chart, place in zip(atlas, coordinates, strict=True):
                if place is not None and (point := self.certified(chart.point(place))) is not None:
                    found.setdefault(point.new_is_smaller, point)
                    if len(found) == 2:
                        return found
        return found

    def said_by_one(self, chart: Chart) -> str:
        """A sentence, if one bound alone is undefined on the whole of a chart; else nothing."""
        old, new = _placed(self.old, chart), _placed(self.new, chart)
        if (old is None) == (new is None):
            return ""
        fixed = ", ".join(f"{s} = {e}" for s, e in chart.place.items() if e.is_number)
        names = ("old", "new") if old is None else ("new", "old")
        return f"the {names[0]} bound is undefined at {fixed or 'points'} where the {names[1]} one is not"

    def certified(self, values: Mapping[sp.Symbol, fmpq]) -> CertifiedPoint | None:
        """The point with disjoint balls around both bounds, or None if no precision tells them apart.

        None as well where a bound is undefined, or where a range or relation does not certainly hold.
        """
        if not all(values[s] in range_ for s, range_ in self.ranges.items()):
            return None
        for bits in _CERTIFY:
            with flint.ctx.workprec(bits):
                if not all(self._holds(relation, values) for relation in self.relations):
                    return None
                old, new = _value(self.old, values), _value(self.new, values)
                if not (old.is_finite() and new.is_finite()):
                    return None
                if old < new or new < old:
                    return CertifiedPoint(dict(values), old, new)
        return None

    def _holds(self, relation: sp.core.relational.Relational, values: Mapping[sp.Symbol, fmpq]) -> bool:
        """Whether a relation certainly holds, or is not about these observables (see `_concerned`)."""
        if not relation.free_symbols <= values.keys():
            return True
        small, large = _value(relation.lts, values), _value(relation.gts, values)
        return bool(small < large if isinstance(relation, sp.Lt | sp.Gt) else small <= large)


def _rounded(value: fmpq, digits: int) -> fmpq:
    """An exact number to so many significant decimal digits, towards 0."""
    size, step = abs(value), fmpq(1)
    while size and step * 10**digits <= size:
        step *= 10
    while size and step * 10 ** (digits - 1) > size:
        step /= 10
    rounded = (size / step).floor() * step
    return rounded if value >= 0 else -rounded


def _value(expression: sp.Expr, values: Mapping[sp.Symbol, fmpq]) -> arb:
    return arb(compile_expression(expression)({s.name: arb(values[s]) for s in expression.free_symbols}))
