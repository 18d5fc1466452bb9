"""Positive coordinates for observables: every range as boxes between 0 and ∞, proved orders as ratios ≥ 1."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import sympy as sp
from flint import fmpq

from properties.normal_forms import Product
from properties.ranges import Range
from properties.signomials import Box, Term, terms_of

#: Decimal orders of magnitude around 1 that sample points are drawn from, the plainest first.
_DECADES = (1, 3, 12, 60)


@dataclass(frozen=True)
class Chart:
    """Part of the observables' domain in positive coordinates.

    Attributes
    ----------
    place : mapping of observable to SymPy expression
        Each observable as a constant or ± a product of coordinates and their inverses.
    box : Box
        The coordinates' ranges.
    whole : set of sympy.Symbol
        Coordinates that are integers.
    shown : mapping of SymPy expression to SymPy expression
        Observables, or quotients of two, as a constant, a coordinate, its negative or its inverse.
    """

    place: Mapping[sp.Symbol, sp.Expr]
    box: Box
    whole: frozenset[sp.Symbol]
    shown: Mapping[sp.Expr, sp.Expr]

    def point(self, coordinates: Mapping[sp.Symbol, fmpq]) -> dict[sp.Symbol, fmpq]:
        """The observables' values at exact coordinates."""
        return {s: _monomial(e, coordinates) for s, e in self.place.items()}

    def region(self, box: Box) -> dict[sp.Expr, tuple[fmpq | None, fmpq | None]]:
        """A box of coordinates as intervals of observables, or of quotients of two where an order is used."""
        found: dict[sp.Expr, tuple[fmpq | None, fmpq | None]] = {}
        for quantity, piece in self.shown.items():
            size = -piece if piece.could_extract_minus_sign() else piece
            low: fmpq | None
            high: fmpq | None
            if size.is_number:
                low = high = fmpq(int(size.p), int(size.q))
            elif size.is_Symbol:
                low, high = box[size]
            else:
                least, most = box[1 / size]
                low, high = 1 / most if most is not None else fmpq(0), 1 / least if least else None
            found[quantity] = (low, high) if size == piece else (None if high is None else -high, -low)
        return found

    def split(self, coordinate: sp.Symbol) -> list[Chart]:
        """Charts on which a coordinate is at least 1, the inverse in its place where it was smaller."""
        low, high = self.box[coordinate]
        if low >= 1:
            return [self]
        ends = fmpq(1) if high is None or high > 1 else 1 / high, 1 / low if low else None
        inverse = {coordinate: 1 / coordinate}
        turned = Chart(
            {s: e.xreplace(inverse) for s, e in self.place.items()},
            {**self.box, coordinate: ends},
            self.whole,
            {q: e.xreplace(inverse) for q, e in self.shown.items()},
        )
        above = replace(self, box={**self.box, coordinate: (fmpq(1), high)})
        return [above, turned] if high is None or high > 1 else [turned]

    def samples(self, number: int) -> Iterator[dict[sp.Symbol, fmpq]]:
        """Coordinates of short decimal fractions, ever farther from 1; the same ones every time."""
        draw = random.Random(0)
        for i in range(number):
            decades = _DECADES[min(i * len(_DECADES) // number, len(_DECADES) - 1)]
            point = {s: _drawn(ends, s in self.whole, decades, draw) for s, ends in self.box.items()}
            if None not in point.values():
                yield {s: x for s, x in point.items() if x is not None}


def charts(
    expressions: Iterable[sp.Expr],
    ranges: Mapping[sp.Symbol, Range],
    relations: Iterable[sp.core.relational.Relational],
) -> list[Chart]:
    """Charts that cover the domain, but for points where a real observable is 0 or at an end of its range.

    Points left out are limits of others, and two expressions that are defined at such a point are continuous
    there: what is proved on the charts holds there too.
    """
    place, own = _ratios(expressions, ranges, relations)
    names = {str(s.name): s for s in place}
    quotients = [_quotient(s, e, names) for s, e in place.items()]
    found = []
    for choice in itertools.product(*(_pieces(s, range_) for s, range_ in own.items())):
        pieces = {s: piece for s, (piece, _) in zip(own, choice, strict=True)}
        box = {c: ends for piece, ends in choice if ends is not None for c in piece.free_symbols}
        values = {s: e.xreplace(pieces) for s, e in place.items()}
        shown = {q: pieces[s] for q, s in zip(quotients, own, strict=True)}
        found.append(Chart(values, box, frozenset(c for c in box if c.is_integer), shown))
    return found


def _ratios(
    expressions: Iterable[sp.Expr],
    ranges: Mapping[sp.Symbol, Range],
    relations: Iterable[sp.core.relational.Relational],
) -> tuple[dict[sp.Symbol, sp.Expr], dict[sp.Symbol, Range]]:
    """Observables in symbols of their own, and the ranges of those.

    Where a product of powers is at most 1 (such as γ/B, if γ ≤ B is given), and where its logarithm is taken, it
    or its inverse takes the place of one of its factors, an observable that may be any positive number.
    """
    own = {
        s: sp.Symbol(s.name, real=True, positive=_is_positive(r) or None, integer=r.whole or None)
        for s, r in ranges.items()
    }
    place: dict[sp.Symbol, sp.Expr] = dict(own)
    inner = {own[s]: r for s, r in ranges.items()}
    used: set[sp.Symbol] = set()
    logarithms = sorted({a.args[0] for e in expressions for a in e.atoms(sp.log)}, key=sp.default_sort_key)
    known = [(r.lts / r.gts, True) for r in relations if r.gts.xreplace(own).is_positive]
    for product, at_most_1 in [*known, *((argument, False) for argument in logarithms)]:
        if not product.free_symbols <= ranges.keys():
            continue
        product = sp.cancel(product.xreplace(place))
        if not (product.is_positive and _is_product(product)) or (not at_most_1 and product.is_Symbol):
            continue
        for s in sorted(product.free_symbols - used, key=lambda s: (product.as_powers_dict()[s], str(s.name))):
            power = product.as_powers_dict()[s]
            if _is_any_positive(inner[s]) and abs(power) == 1:
                place = {o: e.xreplace({s: s * (product / s**power) ** -power}) for o, e in place.items()}
                if at_most_1:
                    inner[s] = Range(fmpq(1)) if power < 0 else Range(fmpq(0), fmpq(1), low_open=True)
                used |= product.free_symbols
                break
    return place, inner


def _is_positive(range_: Range) -> bool:
    """Whether nothing in a range is negative; 0 is left out of the reals, as a limit."""
    return range_.low is not None and (range_.low > 0 or (range_.low == 0 and not range_.whole))


def _is_any_positive(range_: Range) -> bool:
    return range_.low == 0 and range_.high is None and not range_.whole


def _is_product(expression: sp.Expr) -> bool:
    """Whether an expression is a product of whole powers of symbols and rational numbers."""
    powers = expression.as_powers_dict()
    return all((b.is_Symbol or b.is_Rational) and p.is_Integer for b, p in powers.items())


def _quotient(observable: sp.Symbol, place: sp.Expr, names: Mapping[str, sp.Symbol]) -> sp.Expr:
    """The product that an observable's own symbol stands for."""
    own = next(s for s in place.free_symbols if s.name == observable.name)
    return observable / (place / own).xreplace({s: names[s.name] for s in place.free_symbols})


def _pieces(symbol: sp.Symbol, range_: Range) -> list[tuple[sp.Expr, tuple[fmpq, fmpq | None] | None]]:
    """A symbol as a constant, a coordinate or the negative of one, with the coordinate's range."""
    if range_.low is not None and range_.low == range_.high:
        return [(sp.Rational(int(range_.low.p), int(range_.low.q)), None)]
    coordinate = sp.Symbol(symbol.name, positive=True, integer=range_.whole or None)
    least = fmpq(1) if range_.whole else fmpq(0)
    found: list[tuple[sp.Expr, tuple[fmpq, fmpq | None] | None]] = []
    if range_.whole and fmpq(0) in range_:
        found.append((sp.S.Zero, None))
    if range_.low is None or range_.low < 0:
        top = None if range_.low is None else -range_.low
        found.append((-coordinate, (least if range_.high is None else max(least, -range_.high), top)))
    if range_.high is None or range_.high > 0:
        found.append((coordinate, (least if range_.low is None else max(least, range_.low), range_.high)))
    return found


def _monomial(expression: sp.Expr, values: Mapping[sp.Symbol, fmpq]) -> fmpq:
    result = fmpq(1)
    for factor, power in expression.as_powers_dict().items():
        base = values[factor] if factor in values else fmpq(int(factor.p), int(factor.q))
        result *= base ** int(power)
    return result


def _drawn(ends: tuple[fmpq, fmpq | None], whole: bool, decades: int, draw: random.Random) -> fmpq | None:
    """A short decimal fraction strictly between two ends, or at a whole or non-zero low end."""
    low, high = ends
    if low == high:
        return low
    tens = draw.uniform(-decades, decades)
    size = fmpq(round(10 ** (tens % 1) * 10), 10) * fmpq(10) ** int(tens // 1)
    if low == 0 and high is None:
        x = size
    elif high is None:
        x = low if draw.random() < 0.1 else low * (1 + size) if low > 0 else size
    else:
        x = low + (high - low) * size / (1 + size)
    if whole:
        x = fmpq(x.ceil())
    return x if low <= x and x > 0 and (high is None or x <= high) else None


# -------------------------------------------------------------------------------------------- scaling
def unscaled(box: Box, products: Iterable[Product]) -> Box:
    """The box with a variable fixed for each way of scaling variables that multiplies every factor by a positive
    number.

    Signs along such a way are all the same, and it stays in the box if the other variables on it may be any
    positive numbers.
    """
    free = {s for s, (low, high) in box.items() if low == 0 and high is None}
    symbols = sorted(box, key=lambda s: (s in free, str(s.name)))
    rows: list[list[sp.Rational]] = []
    for product in products:
        for factor in product:
            terms = terms_of(factor)
            rows += [_exponents(term.over(terms[0]), symbols) for term in terms[1:]]
            rows += [row for term in terms for row in _inner(term, symbols)]
    directions = sp.Matrix(len(rows), len(symbols), list(itertools.chain(*rows))).nullspace()
    if not directions:
        return box
    fixed = dict(box)
    for row in sp.Matrix([list(d) for d in directions]).rref()[0].tolist():
        first, *others = [s for s, power in zip(symbols, row, strict=True) if power != 0]
        if free.issuperset(others):
            low, high = box[first]
            at = fmpq(1) if low <= 1 and (high is None or high >= 1) else low or high
            assert at is not None
            fixed[first] = (at, at)
    return fixed


def _exponents(term: Term, symbols: list[sp.Symbol]) -> list[sp.Rational]:
    powers = [term.factors.get(s, fmpq(0)) for s in symbols]
    return [sp.Rational(int(p.p), int(p.q)) for p in powers]


def _inner(term: Term, symbols: list[sp.Symbol]) -> Iterator[list[sp.Rational]]:
    """What has to stay the same for exponentials, and for logarithms and roots of sums."""
    inside = list(term.exponent)
    for factor in term.factors:
        if not factor.is_Symbol:
            inside += terms_of(sp.expand(factor.args[0] if isinstance(factor, sp.log) else factor))
    for part in inside:
        yield _exponents(part, symbols)
        yield from _inner(part, symbols)
