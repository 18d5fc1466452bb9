"""What an expression in a claim may contain, checked when it is declared."""

from __future__ import annotations

import difflib

import sympy as sp

from bounds.notation import NOTATION

#: Node types that every arithmetic (float balls, Arb balls) can evaluate.
NODES = (sp.Add, sp.Mul, sp.Pow, sp.exp, sp.log, sp.Max, sp.Min, sp.Abs)


class InvalidClaim(ValueError):
    """A theorem cannot be stated so; the message names the part and the fix."""


def check_expression(value: object, where: str) -> sp.Expr:
    """``value`` as a SymPy expression over known observables.

    Raises
    ------
    InvalidClaim
        For an unknown symbol (with the nearest known name), a function that balls cannot evaluate, or a
        value that is not a finite real number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | sp.Expr):
        raise InvalidClaim(f"{where}: {value!r} is not an expression over observables")
    expression = sp.sympify(value)
    for node in sp.preorder_traversal(expression):
        if isinstance(node, sp.Symbol):
            _check_symbol(node, where)
        elif node.is_Number or node in (sp.E, sp.pi):
            if not node.is_finite or node.is_real is False:
                raise InvalidClaim(f"{where}: {node} is not a finite real number")
        elif not isinstance(node, NODES):
            allowed = "+ - * / **, exp, log, sqrt, Max, Min, Abs"
            raise InvalidClaim(f"{where}: {type(node).__name__} in {node} cannot be evaluated; use {allowed}")
    return expression


def _check_symbol(symbol: sp.Symbol, where: str) -> None:
    known = NOTATION.get(symbol.name)
    if known is None:
        near = difflib.get_close_matches(symbol.name, NOTATION, n=1, cutoff=0.0)
        raise InvalidClaim(
            f"{where}: unknown observable {symbol.name!r}; the nearest known name is {near[0]!r} "
            "(import observables from bounds; `ratecheck show` lists a theorem's)"
        )
    if known.symbol != symbol:
        raise InvalidClaim(
            f"{where}: {symbol.name!r} is a symbol of the same name, not the observable; "
            f"write `from bounds import {symbol.name}`"
        )


def check_relation(value: object, where: str) -> sp.core.relational.Relational:
    """``value`` as one of ≤, ≥, <, > between expressions over observables.

    Raises
    ------
    InvalidClaim
        Also when SymPy has already decided the relation, which then says nothing about a run.
    """
    if value is True or value is False or value in (sp.true, sp.false):
        raise InvalidClaim(
            f"{where}: the relation is {'always true' if value in (True, sp.true) else 'always false'} "
            "by the observables' signs alone; state one that a run can decide"
        )
    if not isinstance(value, sp.Le | sp.Ge | sp.Lt | sp.Gt):
        raise InvalidClaim(f"{where}: give one relation <=, >=, < or > between expressions, not {value!r}")
    check_expression(value.lhs, where)
    check_expression(value.rhs, where)
    return value
