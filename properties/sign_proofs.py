"""Proofs that expressions keep their sign on boxes that may reach 0 and ∞: domination, monotonicity, bisection."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from flint import arb, fmpq

from properties.compiled import compile_expression
from properties.normal_forms import Goals, Product, is_defined
from properties.signomials import Box, Opaque, dominates, terms_of

#: Derivatives of derivatives that a proof looks at: log² needs two before it is gone.
_ORDERS = 2
#: Powers of two beyond which a box is not cut any further, and the least width of a box that is.
_FARTHEST, _NARROWEST = 1024.0, 2.0**-30
#: What an unbounded side counts as against sides of so many powers of two.
_UNBOUNDED = 8.0
_MOST_BOXES = 100_000
#: Terms of a sum whose derivatives are looked at.
_MOST_TERMS = 30

Point = Mapping[sp.Symbol, fmpq]


@dataclass(frozen=True)
class Slope:
    """x ∂(f/m)/∂x for a part m > 0 of one of f's terms, up to a positive factor.

    Attributes
    ----------
    variable : sympy.Symbol
        x.
    expression : sympy.Expr
        Its sign is the sign of the derivative.
    at_zero, at_infinity : sympy.Expr or None
        f/m in the limit, up to a positive factor and free of x, where that limit is seen to exist.
    singular : bool
        Whether m vanishes at x = 1.
    beyond_1 : bool
        Whether all this is so for x ≥ 1 only, where log x ≥ 0.
    """

    variable: sp.Symbol
    expression: sp.Expr
    at_zero: sp.Expr | None
    at_infinity: sp.Expr | None
    singular: bool
    beyond_1: bool


# ------------------------------------------------------------------------------------------- derivatives
def slopes(expression: sp.Expr) -> Iterator[Slope]:
    """Slopes of an expanded sum over positive symbols, those for the plainest m first.

    None of a very long sum, and none where the way to an end of a box may lead out of the sum's domain.
    """
    if len(sp.Add.make_args(expression)) > _MOST_TERMS or not is_defined(expression):
        return
    for x, pivot in _pivots(expression):
        if (slope := _slope(expression, x, pivot)) is not None:
            yield slope


@lru_cache(maxsize=4096)
def _pivots(expression: sp.Expr) -> tuple[tuple[sp.Symbol, sp.Expr], ...]:
    found = [
        (x, pivot)
        for x in sorted(expression.free_symbols, key=lambda s: str(s.name))
        for pivot in {sp.S.One, *(t.as_independent(x, as_Add=False)[1] for t in sp.Add.make_args(expression))}
    ]
    return tuple(sorted(found, key=lambda p: (sp.count_ops(p[1]), str(p[0].name), sp.default_sort_key(p[1]))))


@lru_cache(maxsize=4096)
def _slope(expression: sp.Expr, x: sp.Symbol, pivot: sp.Expr) -> Slope | None:
    if not all(f.is_positive or _power_of_log(f, x) for f in sp.Mul.make_args(pivot)):
        return None
    ratio = sp.expand(expression / pivot)
    if len(sp.Add.make_args(ratio)) > _MOST_TERMS:
        return None
    top, bottom = sp.fraction(sp.together(sp.expand(x * sp.diff(ratio, x))))
    if not all(f.is_positive or _power_of_log(f, x) for f in sp.Mul.make_args(bottom)):
        return None
    return Slope(
        x,
        sp.expand(sp.expand_log(top)),
        _at_zero(expression, x, pivot),
        _at_infinity(expression, x, pivot),
        pivot.has(sp.log),
        pivot.has(sp.log(x)) or bottom.has(sp.log(x)),
    )


def _power_of_log(factor: sp.Expr, x: sp.Symbol) -> bool:
    base = factor.base if isinstance(factor, sp.Pow) else factor
    return bool(base == sp.log(x))


def _powers(term: sp.Expr, x: sp.Symbol) -> tuple[sp.Rational, sp.Rational] | None:
    """p and q of a term x^p (log x)^q times something free of x, else None."""
    p = q = sp.S.Zero
    for factor in sp.Mul.make_args(term.as_independent(x, as_Add=False)[1]):
        base, power = (factor.base, factor.exp) if isinstance(factor, sp.Pow) else (factor, sp.S.One)
        if not isinstance(power, sp.Rational) or (factor != 1 and base not in (x, sp.log(x))):
            return None
        p, q = (p + power, q) if base == x else (p, q + power) if factor != 1 else (p, q)
    return p, q


def _at_zero(expression: sp.Expr, x: sp.Symbol, pivot: sp.Expr) -> sp.Expr | None:
    value = sp.expand(expression / pivot)
    if value.has(sp.log(x)):
        return None
    limit = value.subs(x, 0)  # elementary expressions are continuous where they have a value
    return None if limit.has(sp.nan, sp.zoo, sp.oo, -sp.oo) else sp.expand(limit)


def _at_infinity(expression: sp.Expr, x: sp.Symbol, pivot: sp.Expr) -> sp.Expr | None:
    terms = sp.Add.make_args(expression)
    powers = [_powers(term, x) for term in terms]
    top = _powers(pivot, x)
    if top is None or any(p is None or p > top for p in powers):
        return None
    leading = [term.subs(sp.log(x), 1).subs(x, 1) for term, p in zip(terms, powers, strict=True) if p == top]
    return sp.Add(*leading)


# ------------------------------------------------------------------------------------------ on one box
def nonnegative(expression: sp.Expr, box: Box, deadline: float = math.inf, orders: int = _ORDERS) -> bool:
    """Whether an expanded sum is certainly ≥ 0 on a box.

    Either its terms dominate each other, or it is monotone in a variable, by the sign of a derivative that is
    proved in the same way, and ≥ 0 on the face or in the limit where it is smallest.  Nothing is tried once the
    monotonic clock has passed ``deadline``.
    """
    try:
        if dominates(terms_of(expression), box):
            return True
    except Opaque:
        return False
    if (reduced := _on_faces(expression, box)) != expression:
        return nonnegative(reduced, box, deadline, orders)
    points = _witnesses(box)
    if not orders or any(value(expression, point) < 0 for point in points):
        return False
    for slope in slopes(expression):
        if time.monotonic() > deadline:
            return False
        if (smallest := _smallest(slope, box, points, deadline, orders - 1)) is not None:
            end, rest = smallest
            if end is not None:
                return nonnegative(expression, {**box, slope.variable: (end, end)}, deadline, orders)
            if rest is not None:
                return nonnegative(rest, box, deadline, orders)
    return False


def _smallest(
    slope: Slope, box: Box, points: tuple[Point, ...], deadline: float, orders: int
) -> tuple[fmpq | None, sp.Expr | None] | None:
    """Where f/m is smallest if the slope's sign is proved: at an end of the box or as a limit; else None."""
    low, high = box[slope.variable]
    if slope.beyond_1 and low < 1:
        return None
    signs = [value(slope.expression, point) for point in points]
    if not any(s < 0 for s in signs) and nonnegative(slope.expression, box, deadline, orders):
        if slope.singular and low <= 1:
            return None
        return (low, None) if low > 0 else (None, slope.at_zero)
    if not any(s > 0 for s in signs) and nonnegative(sp.expand(-slope.expression), box, deadline, orders):
        return (high, None) if high is not None else (None, slope.at_infinity)
    return None


def _on_faces(expression: sp.Expr, box: Box) -> sp.Expr:
    """The expression with variables that are fixed on the box put in: their roots and logarithms may cancel."""
    faces = {s: box[s][0] for s in expression.free_symbols if box[s][0] == box[s][1]}
    values = {s: sp.Rational(int(x.p), int(x.q)) for s, x in faces.items()}
    return sp.expand(expression.xreplace(values)) if values else expression


def sign_on(factor: sp.Expr, box: Box, deadline: float = math.inf) -> int:
    """1 if an expression is certainly ≥ 0 on a box, −1 if it is certainly ≤ 0, else 0."""
    seen = value(factor, _centre(box))
    if not seen < 0 and nonnegative(factor, box, deadline):
        return 1
    return -1 if not seen > 0 and nonnegative(sp.expand(-factor), box, deadline) else 0


def value(expression: sp.Expr, point: Point) -> arb:
    """A ball around an expression's value at an exact point; NaN where it is undefined."""
    result = compile_expression(expression)({s.name: arb(x) for s, x in point.items()})
    return arb(result)


# ---------------------------------------------------------------------------------------- on all of it
@dataclass(frozen=True)
class Search:
    """What bisection found.

    Attributes
    ----------
    proved : bool
        Whether all goals hold on the whole box.
    refuted : bool
        Whether it met a point at which they fail.
    boxes : int
        How many it looked at.
    open : tuple of Box
        Where nothing was decided.
    """

    proved: bool
    refuted: bool
    boxes: int
    open: tuple[Box, ...]


def prove(
    goals: Goals, box: Box, whole: frozenset[sp.Symbol], refutes: Callable[[Point], bool], deadline: float
) -> Search:
    """Try to prove all goals ≥ 0 on a box, which is cut until they are, until a point refutes them or until the
    monotonic clock reads ``deadline``.

    Parameters
    ----------
    goals : Goals
        See `properties.normal_forms.goals`.
    box : Box
    whole : set of sympy.Symbol
        Variables that are integers: between two neighbouring ones nothing has to be proved.
    refutes : function of a point
        Whether a point of the box shows that the goals cannot all hold.
    deadline : float
    """
    queue: deque[tuple[Box, Goals]] = deque([(box, goals)])
    stuck: list[Box] = []
    boxes = 0
    while queue:
        if time.monotonic() > deadline or boxes >= _MOST_BOXES:
            return Search(False, False, boxes, (*stuck, *(b for b, _ in queue)))
        here, left = queue.popleft()
        boxes += 1
        left = tuple(clause for clause in left if not any(_holds(product, here, deadline) for product in clause))
        if not left:
            continue
        if refutes({s: fmpq(_up(x)) if s in whole else x for s, x in _centre(here).items()}):
            return Search(False, True, boxes, (here,))
        halves = _halves(here, left, whole)
        queue.extend((half, left) for half in halves)
        if not halves:
            stuck.append(here)
    return Search(not stuck, False, boxes, tuple(stuck))


def _holds(product: Product, box: Box, deadline: float) -> bool:
    if any(_on_faces(factor, box) == 0 for factor in product):
        return True
    sign = 1
    for factor in product:
        sign *= sign_on(factor, box, deadline)
        if not sign:
            return False
    return sign > 0


def _halves(box: Box, goals: Goals, whole: frozenset[sp.Symbol]) -> list[Box]:
    """The box cut in two across the variable that matters most, or nothing if it is too small or too far out."""
    expressions = [factor for clause in goals for product in clause for factor in product]
    weights = {
        s: _width(*ends) * max(_influence(e, s) for e in expressions)
        for s, ends in box.items()
        if ends[0] != ends[1]
    }
    for s in sorted(weights, key=lambda s: (-weights[s], str(s.name))):
        low, high = box[s]
        middle = _middle(low, high)
        if not weights[s] or abs(_log2(middle)) > _FARTHEST or _width(low, high) < _NARROWEST:
            continue
        if s in whole:
            below = fmpq(middle.floor())
            below = max(below, low)
            return [{**box, s: (low, below)}, {**box, s: (below + 1, high)}]
        return [{**box, s: (low, middle)}, {**box, s: (middle, high)}]
    return []


def _influence(expression: sp.Expr, symbol: sp.Symbol) -> float:
    """How far the powers of a symbol differ between terms; other functions of it count as its first power."""
    if not expression.has(symbol):
        return 0.0
    powers = [_powers(term, symbol) for term in sp.Add.make_args(expression)]
    plain = [float(p[0]) + float(p[1]) / 2 for p in powers if p is not None]
    spread = max(plain) - min(plain) if plain else 0.0
    return spread if len(plain) == len(powers) else 1 + spread


def _log2(x: fmpq) -> float:
    return math.log2(int(x.p)) - math.log2(int(x.q))


def _width(low: fmpq, high: fmpq | None) -> float:
    if high is None:
        return _UNBOUNDED / (1 + (abs(_log2(low)) if low > 0 else 0))
    return _log2(high) - _log2(low) if low > 0 else _UNBOUNDED / (1 + abs(_log2(high)))


def _middle(low: fmpq, high: fmpq | None) -> fmpq:
    """A number between two ends, halfway in log x; towards ∞ and 0 ever larger steps."""
    if low == 0 and high is None:
        return fmpq(1)
    if high is None:
        place = 2 * abs(_log2(low)) + 1
    elif low == 0:
        place = -2 * abs(_log2(high)) - 1
    else:
        place = (_log2(low) + _log2(high)) / 2
    power = math.floor(place)
    rest = fmpq(*(2.0 ** (place - power)).as_integer_ratio())
    number = (rest if high is not None and low != 0 and _log2(high) - _log2(low) < 4 else 1) * fmpq(2) ** power
    return number if number > low and (high is None or number < high) else (low + (high or 3 * low)) / 2


def _centre(box: Box) -> dict[sp.Symbol, fmpq]:
    return {s: low if low == high else _middle(low, high) for s, (low, high) in box.items()}


def _witnesses(box: Box) -> tuple[Point, ...]:
    """Points of a box: its centre and near two opposite corners."""
    centre = _centre(box)
    near = {s: low if low > 0 else _middle(low, centre[s]) for s, (low, _) in box.items()}
    far = {s: high if high is not None else _middle(centre[s], None) for s, (_, high) in box.items()}
    return centre, near, far


def _up(x: fmpq) -> int:
    return int(x.ceil())
