"""Sums of products of powers and logarithms over boxes, bounded from both sides with proof.

A *term* is c·Π x^p·Π (log x)^q·Π A^r·e^h with positive x, rational p, q, r, other positive factors A and a sum of
terms h.  Boxes may reach 0 and ∞: the largest value of x^p (log x)^q over an interval is known in closed form, end
points included, so that no rounding and no limit is left to chance.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from flint import arb, fmpq

#: Low and high end of each variable; no high end means ∞.  0 and ∞ themselves do not belong to the box.
Box = Mapping[sp.Symbol, tuple[fmpq, fmpq | None]]
#: A number, exact where it can be; None for ∞.
Bound = fmpq | arb | None

_ZERO, _ONE = fmpq(0), fmpq(1)
_LARGEST_EXACT_POWER = 64
_BITS = 1 << 12  # whole powers are taken exactly up to this size
_GROSS = 64  # a ratio beyond 2^±64 is as good as ∞ or 2^−64


class Opaque(ValueError):
    """An expression is no sum of terms."""


@dataclass(frozen=True)
class Term:
    """``coefficient`` · Π factor^power · e^``exponent``.

    Attributes
    ----------
    coefficient : fmpq or arb
        Of certain sign, not 0.
    factors : mapping of SymPy expression to fmpq
        Powers of a symbol, the logarithm of a symbol, or any other positive expression.
    exponent : tuple of Term
    """

    coefficient: fmpq | arb
    factors: Mapping[sp.Expr, fmpq]
    exponent: tuple[Term, ...] = ()

    @property
    def positive(self) -> bool:
        """Whether the coefficient is."""
        return bool(self.coefficient > 0)

    def over(self, other: Term) -> Term:
        """The absolute value of the quotient."""
        factors = dict(self.factors)
        for factor, power in other.factors.items():
            factors[factor] = factors.get(factor, _ZERO) - power
        exponent = _collected([*self.exponent, *(_scaled(h, -1) for h in other.exponent)])
        ratio = self.coefficient / other.coefficient
        return Term(ratio if ratio > 0 else -ratio, {f: p for f, p in factors.items() if p != 0}, exponent)

    def root_of_product(self, other: Term) -> Term:
        """√(self · other) for positive coefficients."""
        factors = {f: p / 2 for f, p in self.factors.items()}
        for factor, power in other.factors.items():
            factors[factor] = factors.get(factor, _ZERO) + power / 2
        halves = [Term(h.coefficient / 2, h.factors, h.exponent) for h in (*self.exponent, *other.exponent)]
        product = self.coefficient * other.coefficient
        square = isinstance(product, fmpq) and fmpq(product.p.isqrt(), product.q.isqrt())
        root = square if square and square * square == product else arb(product).sqrt()
        return Term(root, {f: p for f, p in factors.items() if p != 0}, _collected(halves))

    def vanishes(self, box: Box) -> bool:
        """Whether it contains the logarithm of a variable that is 1 on the whole box."""
        return any(
            isinstance(f, sp.log) and p > 0 and box.get(f.args[0]) == (_ONE, _ONE) for f, p in self.factors.items()
        )


@lru_cache(maxsize=4096)
def terms_of(expression: sp.Expr) -> tuple[Term, ...]:
    """An expanded expression over positive symbols as a sum of terms.

    Raises
    ------
    Opaque
        If a constant's sign is not certain at the working precision.
    """
    return _collected([_term(part) for part in sp.Add.make_args(expression) if part != 0])


def _term(part: sp.Expr) -> Term:
    free = part.free_symbols
    constant, rest = part.as_independent(*free, as_Add=False) if free else (part, sp.S.One)
    factors: dict[sp.Expr, fmpq] = {}
    exponent: list[Term] = []
    for factor in sp.Mul.make_args(rest):
        base, power = (factor.base, factor.exp) if isinstance(factor, sp.Pow) else (factor, sp.S.One)
        if isinstance(factor, sp.exp):
            exponent += terms_of(sp.expand(factor.args[0]))
        elif isinstance(power, sp.Rational):
            factors[base] = factors.get(base, _ZERO) + fmpq(int(power.p), int(power.q))
        else:
            exponent += terms_of(sp.expand(power * sp.expand_log(sp.log(base))))
    kept = {f: p for f, p in factors.items() if p != 0 and f != 1}
    return Term(constant_value(constant), kept, _collected(exponent))


def _collected(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Terms that differ in their coefficients alone as one."""
    sums: dict[object, Term] = {}
    for term in terms:
        key = (frozenset((f, int(p.p), int(p.q)) for f, p in term.factors.items()), _key(term.exponent))
        found = sums.get(key)
        total = term.coefficient if found is None else found.coefficient + term.coefficient
        sums[key] = Term(total, term.factors, term.exponent)
    left = tuple(term for term in sums.values() if term.coefficient != 0 or not _is_exact(term.coefficient))
    for term in left:
        if not (term.coefficient > 0 or term.coefficient < 0):
            raise Opaque(f"the sign of {term.coefficient} is not certain")
    return left


def _key(terms: tuple[Term, ...]) -> object:
    """What equal exponents share; balls are equal to nothing but themselves, whatever digits they show."""
    return frozenset(
        (
            t.coefficient if _is_exact(t.coefficient) else object(),
            frozenset((f, int(p.p), int(p.q)) for f, p in t.factors.items()),
            _key(t.exponent),
        )
        for t in terms
    )


def _scaled(term: Term, by: int) -> Term:
    return Term(term.coefficient * by, term.factors, term.exponent)


def constant_value(constant: sp.Expr) -> fmpq | arb:
    """A SymPy number as an exact fraction or as a ball at the working precision.

    Raises
    ------
    Opaque
        If it is not built from rational numbers, e, π, +, ·, powers, exp and log.
    """
    if isinstance(constant, sp.Rational):
        return fmpq(int(constant.p), int(constant.q))
    if constant is sp.pi:
        return arb.pi()
    if constant is sp.E:
        return arb(1).exp()
    parts = [constant_value(a) for a in constant.args]
    if isinstance(constant, sp.Add):
        return sum(parts[1:], parts[0])
    if isinstance(constant, sp.Mul):
        product = parts[0]
        for part in parts[1:]:
            product = product * part
        return product
    if isinstance(constant, sp.Pow):
        return arb(parts[0]) ** arb(parts[1])
    if isinstance(constant, sp.exp):
        return arb(parts[0]).exp()
    if isinstance(constant, sp.log):
        return arb(parts[0]).log()
    raise Opaque(f"{constant} is no constant that balls can evaluate")


def _is_exact(value: fmpq | arb) -> bool:
    return isinstance(value, fmpq) or bool(value.is_exact())


# ------------------------------------------------------------------------------------------------ bounds
def supremum(term: Term, box: Box) -> Bound:
    """An upper bound of a term with a positive coefficient, not infinite where the least upper bound is a number
    and the variables take it separately."""
    logs = {f.args[0]: p for f, p in term.factors.items() if isinstance(f, sp.log) and f.args[0] in box}
    value: Bound = term.coefficient
    for factor, power in term.factors.items():
        if isinstance(factor, sp.log) and factor.args[0] in logs:
            if factor.args[0] not in term.factors:
                value = _times(value, _log_power_supremum(_ZERO, power, *box[factor.args[0]]))
        elif factor in box:
            q = logs.get(factor, _ZERO)
            low, high = box[factor]
            value = _times(value, _log_power_supremum(power, q, low, high) if q else _power(low, high, power))
        else:
            lowest, highest = enclosure(factor, box, power)
            value = _times(value, _power(lowest, highest, power))
        if value is None:
            return None
    if term.exponent:
        top = sum_supremum(term.exponent, box)
        value = None if top is None else _times(value, arb(top).exp() if top != 0 else _ONE)
    return value


def infimum(term: Term, box: Box) -> Bound:
    """A lower bound, at least 0, of a term with a positive coefficient."""
    inverse = supremum(Term(_ONE, {}).over(term), box)
    return _ZERO if inverse is None or not inverse > 0 else 1 / inverse


def sum_supremum(terms: tuple[Term, ...], box: Box) -> Bound:
    """An upper bound of a sum of terms, each bounded by itself."""
    total: fmpq | arb = _ZERO
    for term in terms:
        if term.positive:
            part = supremum(term, box)
            if part is None:
                return None
            total = total + part
        else:
            lowest = infimum(_scaled(term, -1), box)
            total = total if lowest is None else total - lowest
    return total


def enclosure(expression: sp.Expr, box: Box, power: fmpq = _ONE) -> tuple[fmpq | arb, Bound]:
    """Ends of an interval that contains a factor of a term wherever its ``power`` is defined.

    Raises
    ------
    Opaque
        If the factor is not seen to be at least 0.
    """
    argument = expression.args[0] if isinstance(expression, sp.log) else expression
    if expression in box or not isinstance(argument, sp.Add):
        raise Opaque(f"{expression} is not bounded here")
    inside = terms_of(sp.expand(argument))
    highest = sum_supremum(inside, box)
    negated = sum_supremum(tuple(_scaled(t, -1) for t in inside), box)
    lowest = _ZERO if negated is None or not -negated > 0 else -negated
    if isinstance(expression, sp.log):
        if not lowest >= 1:
            raise Opaque(f"{expression} may be negative")
        return arb(lowest).log(), None if highest is None else arb(highest).log()
    if power.q == 1 and (negated is None or not -negated >= 0):
        raise Opaque(f"{expression} may be negative")  # other powers are defined for positive bases only
    return lowest, highest


def _power(low: fmpq | arb, high: Bound, power: fmpq) -> Bound:
    """sup x^power over low < x < high."""
    end = high if power > 0 else low
    if end is None:
        return None
    if end == 0:
        return _ZERO if power > 0 else None
    if not end > 0:
        return None  # a ball that meets 0
    return raised(end, power)


def raised(base: fmpq | arb, power: fmpq) -> fmpq | arb:
    """base^power of a positive number, exact where that is a fraction of modest size."""
    if isinstance(base, fmpq):
        whole = power.q == 1 and abs(power.p) <= _LARGEST_EXACT_POWER
        if base == 1 or (whole and abs(int(power.p)) * (base.p.bit_length() + base.q.bit_length()) <= _BITS):
            return base ** int(power.p) if whole else _ONE
    return arb(base) ** arb(power)


def _log_power_supremum(p: fmpq, q: fmpq, low: fmpq, high: fmpq | None) -> Bound:
    """sup x^p (log x)^q over low ≤ x ≤ high; without bound if low < 1, where the logarithm is negative."""
    if low < 1:
        return None
    ends: list[Bound] = [_at(p, q, low)]
    ends.append(_at_infinity(p, q) if high is None else _at(p, q, high))
    if p * q < 0 and p < 0:  # a maximum at log x = −q/p, lower than both ends if it is outside
        top = -q / p
        inside = not arb(low).log() > arb(top) and (high is None or not arb(high).log() < arb(top))
        if inside:
            ends.append((p * arb(top)).exp() * arb(top) ** arb(q))
    if any(end is None for end in ends):
        return None
    largest = ends[0]
    for end in ends[1:]:
        assert largest is not None
        assert end is not None
        if end > largest:
            largest = end
        elif not end <= largest:
            largest = arb(largest).max(arb(end))
    return largest


def _at(p: fmpq, q: fmpq, x: fmpq) -> Bound:
    if x == 1:
        return None if q < 0 else (_ZERO if q > 0 else _ONE)
    return raised(x, p) * arb(x).log() ** arb(q)


def _at_infinity(p: fmpq, q: fmpq) -> Bound:
    if p > 0 or (p == 0 and q > 0):
        return None
    return _ZERO


def _times(first: Bound, second: Bound) -> Bound:
    return None if first is None or second is None else first * second


# --------------------------------------------------------------------------------------------- domination
def dominates(terms: tuple[Term, ...], box: Box) -> bool:
    """Whether a sum of terms is certainly ≥ 0 on a box.

    Each negative term is paid for by shares of positive ones: with R_ij an upper bound of b_j/a_i over the box and
    w_ij ≥ 0, Σ_i w_ij = 1 for all j, Σ_j w_ij R_ij ≤ 1 for all i gives Σ b_j ≤ Σ a_i.  The shares are found
    greedily, the smallest ratio first, and in exact fractions.
    """
    present = [term for term in terms if not term.vanishes(box)]
    above = [term for term in present if term.positive]
    below = [term for term in present if not term.positive]
    if not all(_is_defined(term, box) for term in above):
        return False  # one with a positive coefficient may be negative, and nothing would pay for it
    if not below:
        return True
    if not above:
        return False
    try:
        ratios = [
            (ratio, i, j)
            for i, a in enumerate(above)
            for j, b in enumerate(below)
            if (ratio := _fraction(supremum(b.over(a), box))) is not None
        ]
    except Opaque:
        return False
    need = [_ONE] * len(below)
    left = [_ONE] * len(above)
    for ratio, i, j in sorted(ratios, key=lambda r: (r[0], r[1], r[2])):
        if need[j] > 0 and left[i] > 0:
            share = need[j] if ratio * need[j] <= left[i] else left[i] / ratio
            need[j] -= share
            left[i] -= share * ratio
    return not any(need) or _means_dominate(above, below, box)


def _means_dominate(above: list[Term], below: list[Term], box: Box) -> bool:
    """The same with shares of geometric means of two positive terms, √(a_i a_k) ≤ (a_i + a_k)/2."""
    left = [_ONE] * len(above)
    for b in below:
        means = []
        for i, k in itertools.combinations_with_replacement(range(len(above)), 2):
            ratio = b.over(above[i]).root_of_product(b.over(above[k]))
            if (bound := _fraction(supremum(ratio, box))) is not None:
                means.append((bound, i, k))
        need = _ONE
        for bound, i, k in sorted(means, key=lambda m: (m[0], m[1], m[2])):
            whole = bound if i == k else bound / 2  # of each share, what is taken from a_i
            share = min(need, left[i] / whole, left[k] / whole) if whole > 0 else need
            need -= share
            left[i] -= share * bound / 2
            left[k] -= share * bound / 2
        if need > 0:
            return False
    return True


def _is_defined(term: Term, box: Box) -> bool:
    """Whether every factor of a term is certainly ≥ 0 on the box, so that the coefficient tells its sign."""
    try:
        for factor, power in term.factors.items():
            if isinstance(factor, sp.log) and factor.args[0] in box:
                if box[factor.args[0]][0] < 1:
                    return False
            elif factor not in box:
                enclosure(factor, box, power)
    except Opaque:
        return False
    return True


def _fraction(value: Bound) -> fmpq | None:
    """An upper bound as a fraction of modest size; None beyond 2^64."""
    if value is None or isinstance(value, fmpq):
        return value if value is None or value < 1 << _GROSS else None
    if not (value.is_finite() and value < arb(2) ** _GROSS):
        return None
    if value < arb(2) ** -_GROSS:
        return fmpq(1, 1 << _GROSS)
    mantissa, exponent = value.upper().man_exp()
    return fmpq(mantissa) * fmpq(2) ** int(exponent)
