"""Theorems as Python source: a declaration that can be pasted into a theorem file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import sympy as sp
from sympy.printing.str import StrPrinter

from bounds.assumptions import Assumption
from bounds.claims import Order
from bounds.theorem import Theorem

_SYMPY = ("Abs", "Float", "Max", "Min", "Rational", "exp", "log", "sqrt")
_PER_LINE = 100


class Unwritable(ValueError):
    """A theorem uses what no theorem file can import from ``bounds``; the message names it."""


class _Printer(StrPrinter):  # type: ignore[misc]
    """SymPy's own text, except that no quotient of Python numbers is left to become a float."""

    def _print_Mul(self, expression: sp.Mul) -> str:
        number, rest = expression.as_coeff_Mul()
        sums = any(factor.as_base_exp()[0].is_Add for factor in sp.Mul.make_args(rest))
        if abs(number) == 1 or not number.is_Rational or not sums:
            return str(super()._print_Mul(expression))
        # Last, where it is: SymPy multiplies a number that meets a sum first into each of its terms.
        times = "" if number.p == 1 else f"*{number.p}" if number > 0 else f"*({number.p})"
        return f"{self._print(rest)}{times}" + ("" if number.q == 1 else f"/{number.q}")

    def _print_Rational(self, expression: sp.Rational) -> str:
        return f"Rational({expression.p}, {expression.q})"

    def _print_Half(self, expression: sp.Rational) -> str:
        return self._print_Rational(expression)

    def _print_Float(self, expression: sp.Float) -> str:
        return f"Float({str(expression)!r}, {sp.core.evalf.prec_to_dps(expression._prec)})"

    def _print_Exp1(self, expression: sp.Expr) -> str:
        return "exp(1)"


def expression_source(expression: sp.Basic) -> str:
    """An expression or relation over observables as Python, exact."""
    return str(_Printer().doprint(expression))


def theorem_source(theorem: Theorem, name: str) -> str:
    """The statement ``name = Theorem(…)`` of a pointwise theorem or an order.

    Raises
    ------
    Unwritable
        If it is of another kind, or its system or an assumption is not one of ``bounds``.
    """
    import bounds

    systems = [word for word in bounds.__all__ if getattr(bounds, word) == theorem.system]
    if not systems:
        raise Unwritable(f"{theorem.id}: the system {theorem.system.name!r} is not one of bounds")
    lines = [
        f"id={theorem.id!r}",
        f"title={theorem.title!r}",
        f"system={systems[0]}",
        f"assumes=[{', '.join(_assumption(a) for a in theorem.assumes)}]",
        f"claim={_claim(theorem)}",
        f"status={type(theorem.status).__name__}({_status(theorem)})",
    ]
    if theorem.domain is not None:
        lines.append(f"domain={expression_source(theorem.domain)}")
    if theorem.trivial is not None:
        lines.append(f"trivial={expression_source(theorem.trivial)}")
    return f"{name} = Theorem(\n" + "".join(f"    {line},\n" for line in lines) + ")\n"


def module_source(theorems: Sequence[tuple[Theorem, str]], heading: str) -> str:
    """A theorem file: a docstring, the imports that its declarations need, and each with its comment above.

    Parameters
    ----------
    theorems : sequence of (Theorem, str)
        Theorems with their comments, whose lines get their number signs here.
    """
    blocks = []
    for theorem, comment in theorems:
        name = re.sub(r"[.-]", "_", theorem.id).upper()
        remarks = "".join(f"# {line}\n" for line in comment.splitlines())
        blocks.append((remarks, theorem_source(theorem, name)))
    words = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"'[^'\n]*'|\"[^\"\n]*\"", "", " ".join(b for _, b in blocks))))
    imports = [("sympy", words & set(_SYMPY)), ("bounds", words & _importable())]
    parts = [f'"""{heading}"""\n', *(_import(module, sorted(names)) for module, names in imports if names)]
    return "\n".join([*parts, *(remarks + declared for remarks, declared in blocks)])


def _import(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}\n"
    if len(line) <= _PER_LINE:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")\n"


def _importable() -> frozenset[str]:
    import bounds

    return frozenset(bounds.__all__)


def _claim(theorem: Theorem) -> str:
    claim = theorem.claim
    if theorem.kind == "pointwise":
        return expression_source(theorem.relation)
    if isinstance(claim, Order):
        return f"Order({expression_source(claim.quantity)}, {expression_source(claim.rate)}, {claim.growth!r})"
    raise Unwritable(f"{theorem.id}: a {theorem.kind} claim is not written as Python")


def _assumption(assumption: Assumption) -> str:
    name = type(assumption).__name__
    if name not in _importable():
        raise Unwritable(f"the assumption {name} is not one of bounds")
    values = [getattr(assumption, field.name) for field in fields(assumption)]
    return f"{name}({', '.join(_argument(value) for value in values)})"


def _argument(value: Any) -> str:
    return expression_source(value) if isinstance(value, sp.Basic) else repr(value)


def _status(theorem: Theorem) -> str:
    given = {name: getattr(theorem.status, name) for name in ("source", "proof", "refines")}
    return ", ".join(f"{name}={value!r}" for name, value in given.items() if value)
