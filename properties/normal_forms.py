"""Differences of two bounds as products of polynomials in powers, logarithms and exponentials.

The forms are identities: they hold at every point where the expression they are made from is defined.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import sympy as sp
from sympy.polys.polyerrors import PolynomialError

#: Factors whose product has the sign of an expression; a factor stands for all odd powers of it.
Product = tuple[sp.Expr, ...]
#: Every clause has an alternative that is ≥ 0 wherever the expression is; any one suffices for its clause.
Goals = tuple[tuple[Product, ...], ...]

#: Whether an expression is certainly ≥ 0 where it is wanted.
Nonnegative = Callable[[sp.Expr], bool]

#: Maxima and minima in a difference that are told apart, and terms of a polynomial that is factored.
_MOST_EXTREMES, _MOST_TERMS = 5, 200
#: Steps from exponentials to logarithms, or back, each of which may undo another.
_REWRITES = 3
#: Multiples of a logarithm that are made powers of its argument.
_MOST_FOLD = 4


def exact_constants(expression: sp.Expr) -> sp.Expr:
    """Floating-point numbers as the fractions they are, and |x| as max(x, −x)."""
    floats = {number: sp.Rational(number) for number in expression.atoms(sp.Float)}
    exact = expression.xreplace(floats)
    return exact.replace(sp.Abs, lambda x: sp.Max(x, -x))


def doubtful(expression: sp.Expr) -> frozenset[sp.Expr]:
    """Arguments of logarithms, and bases of powers that are not whole, that may be negative."""
    logs = {log.args[0] for log in expression.atoms(sp.log)}
    bases = {power.base for power in expression.atoms(sp.Pow) if not power.exp.is_integer}
    return frozenset(argument for argument in logs | bases if not argument.is_positive)


def is_defined(expression: sp.Expr) -> bool:
    """Whether logarithms and powers are defined for all positive values of the symbols, integers or not."""
    return not doubtful(expression) and all(
        p.base.is_positive or p.exp.is_Integer for p in expression.atoms(sp.Pow)
    )


def sign_factors(expression: sp.Expr, is_nonnegative: Nonnegative, rewrites: int = _REWRITES) -> Product:
    """Factors whose product has the same sign as an expression over positive symbols, wherever that is defined.

    The empty product is 1; an expression that is identically 0, as a polynomial in its powers, logarithms and
    exponentials, is ``(0,)``.
    """
    numerator, denominator = sp.fraction(sp.together(expanded(expression)))
    top, bottom = _irreducible(numerator), _irreducible(denominator)
    if top == (sp.S.Zero,):
        return top
    factors: list[sp.Expr] = []
    for factor in (*top, *bottom):
        other = _without_logarithms(factor) or _without_exponentials(factor, is_nonnegative)
        if other is None or not rewrites:
            factors.append(factor)
        else:
            factors += sign_factors(other, is_nonnegative, rewrites - 1)
    return _without_squares(tuple(factors))


def _without_exponentials(factor: sp.Expr, is_nonnegative: Nonnegative) -> sp.Expr | None:
    """log a − log b for a − b with products a, b > 0 that contain exponentials or roots of sums, else None."""
    terms = sp.Add.make_args(factor)
    if len(terms) != 2 or not any(_is_no_monomial(f) for t in terms for f in sp.Mul.make_args(t)):
        return None
    logarithms: list[sp.Expr] = []
    signs: set[int] = set()
    for term in terms:
        constant, product = term.as_coeff_Mul()
        signs.add(1 if constant > 0 else -1)
        total = sp.log(abs(constant))
        for part in sp.Mul.make_args(product):
            base, power = part.as_base_exp()
            if base == sp.E:
                total += power
            elif base.is_positive or (isinstance(base, sp.Add) and is_nonnegative(base)):
                total += power * sp.log(base)
            else:
                return None
        logarithms.append(total if constant > 0 else -total)
    return sp.Add(*logarithms) if len(signs) == 2 else None


def _is_no_monomial(factor: sp.Expr) -> bool:
    if not isinstance(factor, sp.Pow):
        return isinstance(factor, sp.exp)
    return not factor.exp.is_number or (isinstance(factor.base, sp.Add) and not factor.exp.is_Integer)


def _without_logarithms(factor: sp.Expr) -> sp.Expr | None:
    """Π a·e^r − Π b for Σ log a − Σ log b + r with sums among a and b and r free of logarithms, else None."""
    above, below, rest = sp.S.One, sp.S.One, sp.S.Zero
    terms = sp.Add.make_args(factor)
    unit = next((abs(t.as_coeff_Mul()[0]) for t in terms if isinstance(t.as_coeff_Mul()[1], sp.log)), None)
    if unit is None or not any(isinstance(a.args[0], sp.Add) for a in factor.atoms(sp.log)):
        return None
    for term in terms:
        constant, part = (term / unit).as_coeff_Mul()
        if not part.has(sp.log):
            rest += constant * part
        elif isinstance(part, sp.log) and constant.is_Integer and abs(constant) <= _MOST_FOLD:
            power = part.args[0] ** abs(constant)
            above, below = (above * power, below) if constant > 0 else (above, below * power)
        else:
            return None
    return above * sp.exp(rest) - below


def expanded(expression: sp.Expr) -> sp.Expr:
    """The arguments of logarithms and roots factored, logarithms of products and powers of sums expanded."""
    inner = expression.replace(
        lambda e: isinstance(e, sp.log) or (isinstance(e, sp.Pow) and not e.exp.is_Integer),
        lambda e: e.func(_factored(e.args[0]), *e.args[1:]),
    )
    return sp.expand(sp.expand_power_base(sp.expand_log(inner)), power_base=False)


def _factored(expression: sp.Expr) -> sp.Expr:
    """The expression as a product, without constants taken out of its sums."""
    if not expression.has(sp.Add):
        return expression
    try:
        constant, product = sp.factor(sp.together(expression)).as_coeff_Mul()
    except PolynomialError:
        return expression
    factors = list(sp.Mul.make_args(product))
    if len(factors) == 1 and isinstance(product, sp.Add):
        return expression
    odd = [i for i, f in enumerate(factors) if isinstance(f, sp.Add)]
    if constant < 0 and odd:
        constant, factors[odd[0]] = -constant, sp.expand(-factors[odd[0]])
    return sp.Mul(constant, *factors)


def _irreducible(polynomial: sp.Expr) -> Product:
    """Factors of odd multiplicity of a polynomial in anything, −1 among them if its constant is negative."""
    roots = _whole_powers(polynomial)
    whole = sp.expand(sp.expand_log(polynomial.xreplace(roots)))
    back = {root.args[0]: sp.root(symbol, root.args[1]) for symbol, root in roots.items()}
    # SymPy cannot put factors with variable exponents in order.
    variable = {p: sp.Dummy() for p in whole.atoms(sp.Pow) if not p.exp.is_number}
    whole = whole.xreplace(variable)
    back |= {symbol: power.xreplace(back) for power, symbol in variable.items()}
    if whole == 0:
        return (sp.S.Zero,)
    try:
        if len(sp.Add.make_args(whole)) > _MOST_TERMS:
            raise PolynomialError
        constant, factors = sp.factor_list(whole)
    except PolynomialError:
        constant, factors = sp.S.One, [(whole, 1)]
    odd = [factor.xreplace(back) for factor, times in factors if times % 2]
    return tuple(sp.expand(sp.expand_log(f)) for f in (constant, *odd))


def _whole_powers(expression: sp.Expr) -> dict[sp.Symbol, sp.Expr]:
    """Symbols with fractional powers as whole powers of positive roots."""
    divisors: dict[sp.Symbol, int] = {}
    for power in expression.atoms(sp.Pow):
        if power.base.is_Symbol and isinstance(power.exp, sp.Rational):
            divisors[power.base] = int(sp.ilcm(divisors.get(power.base, 1), power.exp.q))
    return {s: sp.Dummy(s.name, positive=True) ** k for s, k in divisors.items() if k > 1}


def _without_squares(factors: Product) -> Product:
    """Positive factors and pairs of equal ones left out, negative constants gathered."""
    sign, left = 1, list[sp.Expr]()
    for factor in factors:
        if factor.is_positive:
            continue
        if factor.is_negative:
            sign = -sign
        elif factor in left:
            left.remove(factor)
        else:
            left.append(factor)
    if sign < 0 and left:
        left[0] = sp.expand(-left[0])
    return tuple(left) if left else (sp.Integer(sign),)


# ------------------------------------------------------------------------------------ maxima and minima
def goals(expression: sp.Expr, is_nonnegative: Nonnegative) -> Goals:
    """What to prove to have an expression with Max and Min ≥ 0.

    Where the expression does not decrease in max(a, b), it is at least its value with a and its value with b, and
    one of the two, or their mean, suffices; where the trend is unknown or downwards, both are needed, and the
    expression is one of the two at every point.

    Raises
    ------
    ValueError
        For more maxima and minima than can be told apart.
    """
    clauses = _clauses(expression, is_nonnegative)
    with_means = [(*c, sp.Add(*c)) if len(c) > 1 else c for c in clauses]
    return tuple(tuple(sign_factors(e, is_nonnegative) for e in clause) for clause in with_means)


def _clauses(expression: sp.Expr, is_nonnegative: Nonnegative) -> list[tuple[sp.Expr, ...]]:
    extremes = sorted(expression.atoms(sp.Max, sp.Min), key=sp.default_sort_key)
    if not extremes:
        return [(expression,)]
    if len(extremes) > _MOST_EXTREMES:
        raise ValueError(f"more than {_MOST_EXTREMES} maxima and minima")
    extreme = next(e for e in extremes if not any(o is not e and o.has(e) for o in extremes))
    place = sp.Dummy(positive=True) if is_nonnegative(extreme) else sp.Dummy(real=True)
    direction = trend(expression.xreplace({extreme: place}), place, is_nonnegative)
    parts = [_clauses(expression.xreplace({extreme: a}), is_nonnegative) for a in extreme.args]
    if direction == (1 if isinstance(extreme, sp.Max) else -1):
        return [tuple(dict.fromkeys(sum(choice, ()))) for choice in product(*parts)]
    return [clause for part in parts for clause in part]


def trend(expression: sp.Expr, symbol: sp.Symbol, is_nonnegative: Nonnegative) -> int | None:
    """1 or −1 if an expression never decreases or never increases in a symbol, 0 if it is free of it; or None."""
    if expression == symbol:
        return 1
    if not expression.has(symbol):
        return 0
    trends = [trend(a, symbol, is_nonnegative) for a in expression.args]
    moving = {direction for direction in trends if direction != 0}
    if len(moving) != 1 or None in moving:
        return None
    direction = moving.pop()
    if isinstance(expression, sp.Add | sp.exp | sp.log | sp.Max | sp.Min):
        return direction
    if isinstance(expression, sp.Pow) and trends[1] == 0 and expression.exp.is_number:
        if expression.exp.is_positive and (expression.exp.is_odd or is_nonnegative(expression.base)):
            return direction
        falling = expression.exp.is_negative and is_nonnegative(expression.base)
        return _opposite(direction) if falling else None
    if isinstance(expression, sp.Mul):
        fixed = sp.Mul(*(a for a, d in zip(expression.args, trends, strict=True) if d == 0))
        others = [a for a, d in zip(expression.args, trends, strict=True) if d != 0]
        if len(others) > 1 and not all(is_nonnegative(a) for a in others):
            return None
        if is_nonnegative(fixed):
            return direction
        if is_nonnegative(-fixed):
            return _opposite(direction)
    return None


def _opposite(direction: int | None) -> int | None:
    return None if direction is None else -direction
