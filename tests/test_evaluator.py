"""The evaluator of claims against mpmath: both tiers of balls contain the true value of every expression."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import flint
import mpmath
import numpy as np
import pytest
import sympy as sp
from flint import arb, fmpq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bounds import B, T, alignment, eta, gamma, norm, t
from properties.balls import BallArray, largest, lift
from properties.compiled import compile_expression

#: Observables of either sign, positive ones, and whole numbers.
SYMBOLS = (alignment, norm, B, gamma, eta, T, t)
DIGITS, BITS = 120, 220
QUIET = settings(
    max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
Values = dict[str, float]

_constants = st.one_of(
    st.integers(-4, 12).map(sp.Integer),
    st.builds(sp.Rational, st.integers(-30, 30), st.integers(1, 30)),
    st.sampled_from([sp.E, sp.pi, sp.sqrt(2), sp.Float(0.1), sp.Rational(1, 10**20)]),
)


def _branches(inner: st.SearchStrategy[sp.Expr]) -> st.SearchStrategy[sp.Expr]:
    powers = st.sampled_from([-3, -2, -1, 2, 3, 7, 70, *map(sp.Rational, ("1/2", "-1/2", "3/2", "1/3", "-5/7"))])
    functions: list[Callable[[sp.Expr], sp.Expr]] = [
        sp.exp,
        sp.log,
        sp.sqrt,
        sp.Abs,
        lambda x: -x,
        lambda x: 1 / x,
    ]
    pairs: list[Callable[[sp.Expr, sp.Expr], sp.Expr]] = [
        lambda x, y: x + y,
        lambda x, y: x - y,
        lambda x, y: x * y,
        lambda x, y: x / y,
        lambda x, y: sp.Abs(x) ** y,
        sp.Max,
        sp.Min,
    ]
    return st.one_of(
        st.builds(_applied, st.sampled_from(pairs), inner, inner),
        st.builds(_applied, st.sampled_from(functions), inner),
        st.builds(lambda x, p: _applied(lambda y: y**p, x), inner, powers),
    )


def _applied(function: Callable[..., sp.Expr], *args: sp.Expr) -> sp.Expr:
    """The function of its arguments; the first of them where SymPy finds no finite real value."""
    try:
        found = function(*args)
    except ValueError:  # Max and Min of what cannot be compared
        return args[0]
    return args[0] if found.has(sp.I, sp.zoo, sp.oo, sp.nan) or found.is_real is False else found


_leaves = st.sampled_from(SYMBOLS) | st.sampled_from(SYMBOLS) | _constants
_small = _branches(_leaves)
_middle = _branches(_leaves | _small)
expressions = _middle | _branches(_small | _middle)


@st.composite
def values(draw: st.DrawFn) -> Values:
    """A float for every observable: of ordinary size mostly, now and then huge, tiny or zero."""
    sizes = st.one_of(
        st.floats(0.01, 20.0), st.floats(1e-200, 1e200), st.integers(1, 9).map(float), st.just(2.0**-1074)
    )
    found = {str(symbol.name): draw(sizes) for symbol in SYMBOLS}
    found["alignment"] *= draw(st.sampled_from([-1.0, 0.0, 1.0]))
    found["T"], found["t"] = float(draw(st.integers(2, 9))), float(draw(st.integers(0, 10**6)))
    return found


class NotEvaluable(Exception):
    """The expression has no finite real value there, or one beyond any practical size."""


def true_value(expression: sp.Expr, numbers: Values) -> Any:
    """The value to 120 digits by mpmath, node by node."""
    kind = type(expression)
    if expression.is_Symbol:
        return mpmath.mpf(numbers[str(expression.name)])
    if expression.is_Rational or expression.is_Float:
        exact = sp.Rational(expression)
        return mpmath.mpf(int(exact.p)) / int(exact.q)
    if expression in (sp.E, sp.pi):
        return +(mpmath.e if expression == sp.E else mpmath.pi)
    parts = [true_value(part, numbers) for part in expression.args]
    if kind is sp.Pow:
        base, power = parts
        whole = expression.exp.is_Integer
        if (base == 0 and power <= 0) or (base < 0 and not whole) or abs(power) > 1e4:
            raise NotEvaluable
        if base and abs(mpmath.log(abs(base)) * power) > 1e8:
            raise NotEvaluable
        return base ** int(expression.exp) if whole else base**power
    if kind is sp.log:
        if parts[0] <= 0:
            raise NotEvaluable
        return mpmath.log(parts[0])
    if kind is sp.exp:
        if abs(parts[0]) > 1e8:
            raise NotEvaluable
        return mpmath.exp(parts[0])
    folded: dict[type, Callable[..., Any]] = {
        sp.Add: lambda *x: mpmath.fsum(x),
        sp.Mul: lambda *x: mpmath.fprod(x),
        sp.Max: max,
        sp.Min: min,
        sp.Abs: abs,
    }
    return folded[kind](*parts)


def as_arb(value: Any) -> arb:
    """An mpmath number as a ball that contains the number it approximates to 100 of its 120 digits.

    Cancellation may eat digits: the callers therefore compare within the size of what was cancelled.
    """
    sign, mantissa, exponent, _ = value._mpf_
    return arb(flint.fmpz(-int(mantissa) if sign else int(mantissa))) * arb(2) ** int(exponent)


def slack(expression: sp.Expr, numbers: Values) -> Any:
    """An absolute error of ``true_value``: what evaluating with 40 digits fewer changes, ten times over."""
    with mpmath.workdps(DIGITS - 40):
        coarse = true_value(expression, numbers)
    return abs(coarse - true_value(expression, numbers)) * mpmath.mpf(10) ** -20


def reference(expression: sp.Expr, numbers: Values) -> arb | None:
    """A narrow ball around the true value, or None where there is none."""
    with mpmath.workdps(DIGITS):
        try:
            value, error = true_value(expression, numbers), slack(expression, numbers)
        except (NotEvaluable, ZeroDivisionError, KeyError):
            return None
        if not mpmath.isfinite(value):
            return None
        with flint.ctx.workprec(4 * DIGITS):
            return as_arb(value) + as_arb(error) * arb(0, 1)


def ball_of(array: BallArray) -> arb:
    """One entry of a BallArray as an Arb ball, exactly."""
    unit = arb(2) ** int(np.ravel(array.exp2)[0])
    return arb(float(np.ravel(array.mid)[0])) * unit + arb(0, 1) * (arb(float(np.ravel(array.rad)[0])) * unit)


@QUIET
@given(expressions, values())
def test_arb_balls_contain_the_true_value(expression: sp.Expr, numbers: Values) -> None:
    true = reference(expression, numbers)
    if true is None:
        return
    with flint.ctx.workprec(BITS):
        found = arb(compile_expression(expression)({name: arb(x) for name, x in numbers.items()}))
    with flint.ctx.workprec(4 * DIGITS):
        assert not found.is_finite() or found.overlaps(true), (expression, numbers, found, true)


@QUIET
@given(expressions, values())
def test_float_balls_contain_the_true_value(expression: sp.Expr, numbers: Values) -> None:
    true = reference(expression, numbers)
    if true is None:
        return
    balls = {name: BallArray.of(np.array([x])) for name, x in numbers.items()}
    found = lift(compile_expression(expression)(balls))
    if not (np.isfinite(found.mid).all() and np.isfinite(found.rad).all()):
        return
    with flint.ctx.workprec(4 * DIGITS):
        assert ball_of(found).overlaps(true), (expression, numbers, ball_of(found), true)


@QUIET
@given(expressions, values(), st.lists(st.floats(-1.0, 1.0), min_size=7, max_size=7), st.integers(2, 60))
def test_float_balls_carry_their_radius(
    expression: sp.Expr, numbers: Values, places: list[float], bits: int
) -> None:
    """The value at any point of the balls of the observables is in the ball of the expression."""
    balls, inside = {}, {}
    for place, (name, x) in zip(places, numbers.items(), strict=True):
        radius = 0.0 if name in ("T", "t") else math.ldexp(abs(x), -bits)
        balls[name] = BallArray.of(np.array([x]), np.array([radius]))
        point = x + place * radius
        inside[name] = point if abs(Fraction(point) - Fraction(x)) <= Fraction(radius) else x  # the sum is rounded
    true = reference(expression, inside)
    if true is None:
        return
    found = lift(compile_expression(expression)(balls))
    if not (np.isfinite(found.mid).all() and np.isfinite(found.rad).all()):
        return
    with flint.ctx.workprec(4 * DIGITS):
        assert ball_of(found).overlaps(true), (expression, inside, ball_of(found), true)


@pytest.mark.parametrize(
    "expression",
    [t - 10, sp.Max(t, 10) - 10, sp.Min(t, 10) - 10, sp.Abs(10 - t), (t - 10) * 3, (t + 1) ** 2 - 121, T * t - 40],
)
def test_whole_numbers_stay_exact(expression: sp.Expr) -> None:
    """At t = 10, T = 4 all of these are 0, and known to be."""
    found = compile_expression(expression)({"t": BallArray.of(np.array([10.0])), "T": BallArray.of(4.0)})
    assert found.floats().tolist() == [0.0]
    assert found.rad.tolist() == [0.0]
    assert found.nonnegative().all()


@pytest.mark.parametrize(
    "constant",
    [sp.Rational(1, 3), sp.Rational(-7, 10**40), sp.Float(0.1), sp.Integer(10**60), sp.Rational(1, 10**5000)],
)
def test_constants_are_not_rounded(constant: sp.Expr) -> None:
    exact = sp.Rational(constant)
    assert compile_expression(constant)({}) == fmpq(int(exact.p), int(exact.q))


@pytest.mark.parametrize(
    "number", [fmpq(1, 3), fmpq(1, 10**330), fmpq(10) ** 400, fmpq(-3, 2**1080), fmpq(1, 3) / 2**1070]
)
def test_constants_beyond_float64_are_lifted_to_balls_that_hold_them(number: fmpq) -> None:
    with flint.ctx.workprec(2000):
        for value in (number, arb(number)):
            ball = ball_of(lift(value))
            assert ball.contains(arb(number).mid())
            assert abs(ball.mid() - arb(number)) <= abs(arb(number)) * arb(2) ** -50


def test_the_maximum_of_far_apart_numbers() -> None:
    tiny = BallArray.of(1.0) * BallArray.of(-3000.0).exponential()
    assert ball_of(largest(tiny, -1)).overlaps(arb(-3000).exp())
    assert largest(BallArray.of(5.0), 10).rad == 0.0
