"""Claims compiled once into functions that any arithmetic can run: float balls or Arb balls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import sympy as sp
from flint import arb, fmpq
from sympy.printing.lambdarepr import LambdaPrinter

from properties.balls import BallArray, largest


class Values(Protocol):
    """Anything that gives an observable's value for its name: a measurement, or a dict."""

    def __getitem__(self, name: str, /) -> Any: ...


@dataclass(frozen=True)
class Compiled:
    """A function of the observables named in ``names``, in that order."""

    names: tuple[str, ...]
    function: Callable[..., Any]

    def __call__(self, values: Values) -> Any:
        return self.function(*(values[name] for name in self.names))


@lru_cache(maxsize=4096)
def compile_expression(expression: sp.Expr) -> Compiled:
    """Compile an expression over observables.

    The tree is compiled by `sympy.lambdify` with a printer that keeps every constant exact: 1/3 stays a rational
    number until an arithmetic meets it, so that nothing is rounded before a ball can account for it.
    """
    symbols = tuple(sorted(expression.free_symbols, key=lambda s: str(s.name)))
    function = sp.lambdify(symbols, expression, modules=[_FUNCTIONS], printer=_ExactPrinter, docstring_limit=0)
    return Compiled(tuple(str(s.name) for s in symbols), function)


class _ExactPrinter(LambdaPrinter):  # type: ignore[misc]
    """Prints constants as exact rationals and names the functions below."""

    def _print_Rational(self, expr: sp.Rational) -> str:
        # Hexadecimal: Python refuses to write or read whole numbers of more than 4300 decimal digits.
        return f"rational({int(expr.p):#x}, {int(expr.q):#x})"

    def _print_Half(self, expr: sp.Rational) -> str:
        return self._print_Rational(expr)

    def _print_Integer(self, expr: sp.Integer) -> str:
        return f"rational({int(expr.p):#x}, 1)"

    _print_Zero = _print_One = _print_NegativeOne = _print_int = _print_Integer

    def _print_Float(self, expr: sp.Float) -> str:
        return self._print_Rational(sp.Rational(expr))

    def _print_Exp1(self, expr: sp.Expr) -> str:
        return "exp(rational(1, 1))"

    def _print_Pi(self, expr: sp.Expr) -> str:
        return "pi()"

    def _print_Pow(self, expr: sp.Pow, **_: object) -> str:
        return f"power({self._print(expr.base)}, {self._print(expr.exp)})"

    def _print_Max(self, expr: sp.Max) -> str:
        return self._folded("maximum", expr.args)

    def _print_Min(self, expr: sp.Min) -> str:
        return self._folded("minimum", expr.args)

    def _print_Abs(self, expr: sp.Abs) -> str:
        return f"abs({self._print(expr.args[0])})"

    def _print_exp(self, expr: sp.Expr) -> str:
        return f"exp({self._print(expr.args[0])})"

    def _print_log(self, expr: sp.Expr) -> str:
        return f"log({self._print(expr.args[0])})"

    def _folded(self, name: str, args: tuple[sp.Expr, ...]) -> str:
        text: str = self._print(args[0])
        for arg in args[1:]:
            text = f"{name}({text}, {self._print(arg)})"
        return text


def _number(value: Any) -> Any:
    """Constants alone are evaluated as Arb balls at the working precision."""
    return arb(value) if isinstance(value, int | fmpq) else value


def _exp(value: Any) -> Any:
    value = _number(value)
    return value.exponential() if isinstance(value, BallArray) else value.exp()


def _log(value: Any) -> Any:
    value = _number(value)
    if isinstance(value, BallArray):
        return value.log()
    return value.log() if value > 0 else arb.nan()


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(exponent, fmpq) and exponent.q == 1:
        exponent = int(exponent.p)
        if isinstance(base, int | fmpq):
            return fmpq(base) ** exponent
        return base**exponent
    if isinstance(base, BallArray) or isinstance(exponent, BallArray):
        return base**exponent if isinstance(base, BallArray) else exponent.__rpow__(base)
    base = _number(base)
    if isinstance(exponent, fmpq) and exponent.q == 2:
        return base.sqrt() ** int(exponent.p)
    return base ** _number(exponent)


def _maximum(first: Any, second: Any) -> Any:
    if isinstance(first, BallArray) or isinstance(second, BallArray):
        return largest(first, second)
    if isinstance(first, int | fmpq) and isinstance(second, int | fmpq):
        return max(first, second)
    return _number(first).max(_number(second))


def _minimum(first: Any, second: Any) -> Any:
    return -_maximum(-first, -second)


def _rational(p: int, q: int) -> fmpq:
    return fmpq(p, q)


_FUNCTIONS: dict[str, Any] = {
    "exp": _exp,
    "log": _log,
    "power": _power,
    "maximum": _maximum,
    "minimum": _minimum,
    "rational": _rational,
    "pi": arb.pi,
    "abs": abs,
}
