"""Reading expressions and relations back from text, through a whitelist and nothing else.

Stored statements are other people's text: they are parsed by Python's own grammar into a tree, and only sums,
products, powers, known functions of known observables and one comparison are built from it.  Nothing is
evaluated.  `written` is the inverse: ``parse_expression(written(x)) == x`` for whatever a claim may contain.
"""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import sympy as sp
from sympy.printing.str import StrPrinter

from bounds.language import check_expression, check_relation
from bounds.notation import NOTATION

#: Limits on a text: characters, nodes and depth of its tree, the size of exponents, the bits of numbers.
MAX_LENGTH, MAX_NODES, MAX_DEPTH, MAX_EXPONENT, MAX_BITS = 10_000, 1_000, 60, 1_000, 4_000
_MOST_ARGUMENTS = 12  # of Max and Min, which SymPy compares pair by pair
_FUNCTIONS: dict[str, Callable[..., sp.Expr]] = {
    "exp": sp.exp,
    "log": sp.log,
    "sqrt": sp.sqrt,
    "Abs": sp.Abs,
    "Max": sp.Max,
    "Min": sp.Min,
}
_CONSTANTS = {"E": sp.E, "pi": sp.pi}
_RELATIONS: dict[type[ast.cmpop], Callable[..., Any]] = {
    ast.LtE: sp.Le,
    ast.GtE: sp.Ge,
    ast.Lt: sp.Lt,
    ast.Gt: sp.Gt,
}


class Unreadable(ValueError):
    """A stored text is not a statement of the language; the message says what is wrong with it."""


class _Printer(StrPrinter):  # type: ignore[misc]
    """SymPy's text, with floats that lose no bit."""

    def _print_Float(self, expr: sp.Float) -> str:
        return repr(float(expr))


def written(value: sp.Basic) -> str:
    """An expression or relation as text that the parser reads back."""
    return str(_Printer({"order": None}).doprint(value))


def parse_expression(text: str) -> sp.Expr:
    """The expression that a text stands for.

    Raises
    ------
    Unreadable
        If the text is no expression of the language (`bounds.language`), or is larger than a statement is.
    """
    return read_expression(syntax_tree(text))


def parse_relation(text: str) -> sp.core.relational.Relational:
    """The relation <=, >=, < or > that a text stands for.  Raises `Unreadable`."""
    return read_relation(syntax_tree(text))


def read_expression(tree: ast.expr) -> sp.Expr:
    """The expression of a tree that `syntax_tree` has let through.  Raises `Unreadable`."""
    return _checked(lambda: check_expression(_build(tree), "stored text"))


def read_relation(tree: ast.expr) -> sp.core.relational.Relational:
    """The relation of a tree that `syntax_tree` has let through.  Raises `Unreadable`."""
    return _checked(lambda: check_relation(_relation(tree), "stored text"))


def syntax_tree(text: str) -> ast.expr:
    """The tree of one expression, within the limits on its size.  Raises `Unreadable`."""
    if not isinstance(text, str):
        raise Unreadable(f"{type(text).__name__} where a text is expected")
    if len(text) > MAX_LENGTH:
        raise Unreadable(f"a text of {len(text)} characters; a statement has at most {MAX_LENGTH}")
    # Python would read look-alike letters (NFKC) as the plain ones.
    for place, character in enumerate(text):
        if not (" " <= character <= "~"):
            name = unicodedata.name(character, f"code {ord(character)}")
            raise Unreadable(f"character {place + 1} is {name}; only plain ASCII is read")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(f"not an expression ({_one_line(error)})") from None
    for count, (_, depth) in enumerate(_nodes(tree), start=1):
        if depth > MAX_DEPTH:
            raise Unreadable(f"nested more than {MAX_DEPTH} deep")
        if count > MAX_NODES:
            raise Unreadable(f"more than {MAX_NODES} parts")
    return tree


def _nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """Every node with its depth, without recursion."""
    left: list[tuple[ast.AST, int]] = [(tree, 1)]
    while left:
        node, depth = left.pop()
        yield node, depth
        left += [(child, depth + 1) for child in ast.iter_child_nodes(node)]


def _checked(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Unreadable:
        raise
    except (ValueError, TypeError, ArithmeticError, RecursionError, MemoryError) as error:
        raise Unreadable(_one_line(error)) from None


def _relation(node: ast.expr) -> Any:
    if not isinstance(node, ast.Compare) or len(node.ops) != 1 or type(node.ops[0]) not in _RELATIONS:
        raise Unreadable("not one relation <=, >=, < or > between two expressions")
    return _RELATIONS[type(node.ops[0])](_build(node.left), _build(node.comparators[0]))


def _build(node: ast.expr) -> sp.Expr:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return _number(value)
        case ast.Name(id=name):
            return _named(name)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()) | ast.BinOp(op=ast.Mult() | ast.Div()):
            # Factors are multiplied at once: SymPy would distribute a number over a sum in 1/(2*(x + y)).
            return _bounded(sp.Mul(*_factors(node)))
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub()):
            return _bounded(sp.Add(*_terms(node)))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_build(left), _build(right))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            return _applied(name, [_build(arg) for arg in args])
        case ast.Call(func=ast.Name(id=name)):
            raise Unreadable(f"{name}(…) is no function of the language; it has {', '.join(sorted(_FUNCTIONS))}")
    raise Unreadable(f"{type(node).__name__} is not part of the language")


def _factors(node: ast.expr) -> list[sp.Expr]:
    match node:
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _factors(left) + _factors(right)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _factors(left) + [_power(factor, sp.Integer(-1)) for factor in _factors(right)]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return [sp.Integer(-1), *_factors(operand)]
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _factors(operand)
    return [_build(node)]


def _terms(node: ast.expr) -> list[sp.Expr]:
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [*_terms(left), _build(right)]
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return [*_terms(left), sp.Mul(-1, *_factors(right))]
    return [_build(node)]


def _number(value: int | float) -> sp.Number:
    return _bounded(sp.Integer(value) if isinstance(value, int) else sp.Float(value))


def _named(name: str) -> sp.Expr:
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    if name not in NOTATION:
        raise Unreadable(f"unknown observable {name!r}")
    return NOTATION[name].symbol


def _power(base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
    """A power whose value, if it is a number, stays small: 9**9**9 is refused before it is computed."""
    if not exponent.free_symbols:
        if exponent.has(sp.exp) or not exponent.is_real or not abs(exponent) <= MAX_EXPONENT:
            raise Unreadable(f"an exponent that is not a number of size at most {MAX_EXPONENT}")
        if base.is_Rational and (abs(base.p).bit_length() + base.q.bit_length()) * abs(exponent) > MAX_BITS:
            raise Unreadable(f"a power of more than {MAX_BITS} bits")
    return _bounded(base**exponent)


def _applied(name: str, arguments: list[sp.Expr]) -> sp.Expr:
    if name in ("Max", "Min"):
        if not 1 <= len(arguments) <= _MOST_ARGUMENTS:
            raise Unreadable(f"{name} of {len(arguments)} arguments; give 1 to {_MOST_ARGUMENTS}")
    elif len(arguments) != 1:
        raise Unreadable(f"{name} of {len(arguments)} arguments; give one")
    # A tower of such numbers is never done with.
    nested = (sp.exp, sp.log) if name in ("exp", "log") else (sp.exp,)
    if any(not argument.free_symbols and argument.has(*nested) for argument in arguments):
        raise Unreadable(f"{name} of a number that is itself an exponential or a logarithm")
    return _bounded(_FUNCTIONS[name](*arguments))


def _bounded(value: sp.Expr) -> Any:
    if value.is_Rational and abs(value.p).bit_length() + value.q.bit_length() > MAX_BITS:
        raise Unreadable(f"a number of more than {MAX_BITS} bits")
    return value


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
