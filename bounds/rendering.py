"""Theorems on paper: LaTeX, MathML and plain text.

Expressions go through SymPy's LaTeX printer with the notation of `NOTATION`; MathML is made from that LaTeX by a
small reader of the few commands that occur, so both say the same.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, tostring

import sympy as sp
from sympy.printing.latex import LatexPrinter

from bounds.assumptions import Assumption, StepAtMost
from bounds.claims import Claim, Likely, Order, Sooner, Tends
from bounds.notation import NOTATION, eta
from bounds.theorem import Theorem

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_RELATIONS = {"<=": "≤", ">=": "≥"}


class UnknownMarkup(ValueError):
    """The reader does not know a piece of LaTeX; the message names it."""


# --------------------------------------------------------------------------------------------- statements
def step_limit(assumption: Assumption) -> sp.core.relational.Relational | None:
    """The relation η ≤ limit that an assumption consists of, or None if it is stated in words."""
    if isinstance(assumption, StepAtMost):
        return sp.Le(eta, assumption.limit, evaluate=False)
    return None


def text(theorem: Theorem) -> str:
    """A theorem in plain text, over several lines, with the Python names of the observables and what they mean."""
    lines = [f"{theorem.title}  [{theorem.id}]", "", "Assume:"]
    lines += [f"  - {_plain_assumption(a)}" for a in theorem.assumes] or ["  nothing"]
    lines += ["Then:", f"  {_plain(theorem.claim)}"]
    if theorem.domain is not None:
        lines += ["for:", f"  {_plain(theorem.domain)}"]
    names = sorted(theorem.observables, key=list(NOTATION).index)
    width = max((len(name) for name in names), default=0)
    lines += ["where:", *(f"  {name:<{width}}  {NOTATION[name].meaning}" for name in names), ""]
    lines += [f"{key}: {value}" for key, value in provenance(theorem).items()]
    return "\n".join(lines)


def provenance(theorem: Theorem) -> dict[str, str]:
    """Status, and source, proof and refined work where they are given."""
    status = theorem.status
    entries = {"status": status.name, "source": status.source, "proof": status.proof, "refines": status.refines}
    return {key: value for key, value in entries.items() if value}


def latex(theorem: Theorem) -> str:
    """A theorem as a LaTeX ``theorem`` environment (Unicode text, so for LuaLaTeX or XeLaTeX)."""
    claim = claim_latex(theorem.claim)
    where = "" if theorem.domain is None else rf" \quad\text{{for }} {expression_latex(theorem.domain)}"
    lines = [rf"\begin{{theorem}}[{{{escape_latex(theorem.title)}}}]\label{{{theorem.id}}}"]
    if theorem.assumes:
        lines += ["Assume:", r"\begin{itemize}"]
        lines += [rf"  \item {_latex_assumption(assumption)}" for assumption in theorem.assumes]
        lines += [r"\end{itemize}", "Then"]
    lines += [r"\[", f"  {claim}{where}.", r"\]"]
    facts = "; ".join(f"{key}: {escape_latex(value)}" for key, value in provenance(theorem).items())
    return "\n".join([*lines, rf"\emph{{{facts}}}", r"\end{theorem}"])


def escape_latex(words: str) -> str:
    """Plain words as LaTeX text."""
    return "".join(_ESCAPES.get(character, character) for character in words)


def _plain_assumption(assumption: Assumption) -> str:
    limit = step_limit(assumption)
    return assumption.describe() if limit is None else _plain(limit)


def _latex_assumption(assumption: Assumption) -> str:
    limit = step_limit(assumption)
    return escape_latex(assumption.describe()) if limit is None else f"${expression_latex(limit)}$"


def _plain(relation: sp.core.relational.Relational | Claim) -> str:
    if isinstance(relation, Claim):
        return str(relation)
    sign = _RELATIONS.get(relation.rel_op, relation.rel_op)
    return f"{relation.lhs} {sign} {relation.rhs}"


# ------------------------------------------------------------------------------------------------- LaTeX
_PREFIXED = re.compile(r"\\(min|max|sum)(?![A-Za-z])")


class _Printer(LatexPrinter):  # type: ignore[misc]
    """SymPy's printer, aware that an observable's notation may itself be a sum, a minimum or a fraction."""

    def _needs_mul_brackets(self, expr: sp.Expr, first: bool = False, last: bool = False) -> bool:
        notation = _notation(expr)
        if notation is not None:
            return _is_sum(notation) or (not last and _PREFIXED.match(notation) is not None)
        return bool(super()._needs_mul_brackets(expr, first=first, last=last))

    def _print_Add(self, expr: sp.Expr, order: str | None = None) -> str:
        """The terms in SymPy's order, but those with a minus last: 1 − x rather than −x + 1."""
        terms = self._as_ordered_terms(expr, order=order)
        printed = sorted((self._print(term) for term in terms), key=lambda term: term.lstrip().startswith("-"))
        signed = [term if term.lstrip().startswith("-") else f"+ {term}" for term in printed]
        return " ".join(signed).removeprefix("+ ")

    def _print_Mul(self, expr: sp.Expr) -> str:
        negated = _notation(-expr)  # SymPy would print the minus and the bare symbol
        if negated is not None and _is_sum(negated):
            return rf"- \left({negated}\right)"
        return str(super()._print_Mul(expr))

    def parenthesize(self, item: sp.Expr, level: int, is_neg: bool = False, strict: bool = False) -> str:
        notation = _notation(item)
        if notation is not None:
            compound = _is_sum(notation) or _PREFIXED.match(notation) or notation.startswith(r"\frac")
            return rf"\left({notation}\right)" if compound else notation
        return str(super().parenthesize(item, level, is_neg=is_neg, strict=strict))


def expression_latex(expression: sp.Basic) -> str:
    """An expression or a relation in the paper's notation."""
    names = {observable.symbol: observable.latex for observable in NOTATION.values()}
    return str(_Printer({"symbol_names": names}).doprint(expression))


def claim_latex(claim: sp.Basic | Claim) -> str:
    """A claim of any kind in the paper's notation."""
    if not isinstance(claim, Claim):
        return expression_latex(claim)
    if isinstance(claim, Order):
        symbol = {"O": "O", "Omega": r"\Omega", "Theta": r"\Theta"}[claim.growth]
        return rf"{expression_latex(claim.quantity)} = {symbol}\left({expression_latex(claim.rate)}\right)"
    if isinstance(claim, Tends):
        return rf"{expression_latex(claim.quantity)} \to {expression_latex(sp.sympify(claim.to))}"
    if isinstance(claim, Likely):
        at_least = expression_latex(sp.sympify(claim.at_least))
        return rf"\mathrm{{P}}\left({expression_latex(claim.event)}\right) \geq {at_least}"
    if isinstance(claim, Sooner):
        first, second = (rf"\tau_{{\text{{{method}}}}}" for method in (claim.first, claim.second))
        return rf"{first} < {second}, \tau = \min t : {expression_latex(claim.event)}"
    raise TypeError(f"{type(claim).__name__} has no notation; add it to bounds/rendering.py")


def _notation(expression: sp.Basic) -> str | None:
    known = NOTATION.get(expression.name) if isinstance(expression, sp.Symbol) else None
    return None if known is None else known.latex


def _is_sum(notation: str) -> bool:
    """Whether a plus, a minus or a sum sign stands outside all brackets."""
    depth = 0
    for position, token in enumerate(re.findall(r"\\[A-Za-z]+|.", notation)):
        depth += token in ("(", "{", r"\langle")
        depth -= token in (")", "}", r"\rangle")
        if depth == 0 and ((token in "+-" and position) or token == r"\sum"):
            return True
    return False


# ------------------------------------------------------------------------------------------------ MathML
_TOKENS = re.compile(r"\\[A-Za-z]+|\\.|[0-9]+(?:\.[0-9]+)?|.", re.DOTALL)
_LETTERS = {
    **{rf"\{name}": letter for name, letter in zip(
        ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu", "nu", "xi",
         "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"), "αβγδεζηθκλμνξπρστφχψω", strict=True)},
    **{rf"\{name}": letter for name, letter in zip(
        ("Gamma", "Delta", "Theta", "Lambda", "Sigma", "Phi", "Psi", "Omega"), "ΓΔΘΛΣΦΨΩ", strict=True)},
    r"\ell": "ℓ", r"\nabla": "∇", r"\infty": "∞",
}  # fmt: skip
_SIGNS = {"+": "+", "-": "−", "/": "/", ",": ",", "<": "<", ">": ">", "=": "=", r"\le": "≤", r"\leq": "≤",
          r"\ge": "≥", r"\geq": "≥", r"\ne": "≠", r"\neq": "≠", r"\to": "→",
          ":": ":", r"\star": "⋆", r"\top": "⊤", r"\cdot": "⋅", r"\times": "×", "…": "…",
          r"\dots": "…"}  # fmt: skip
_OPENING = {"(": "(", "[": "[", r"\langle": "⟨", r"\lVert": "‖", r"\lvert": "|"}
_CLOSING = {")": ")", "]": "]", r"\rangle": "⟩", r"\rVert": "‖", r"\rvert": "|"}
_FUNCTIONS = {r"\min": "min", r"\max": "max", r"\log": "log", r"\cos": "cos", r"\exp": "exp"}
_LIMITS = (r"\min", r"\max", r"\sum")
_ACCENTS = {r"\hat": "^", r"\bar": "¯", r"\tilde": "~"}
_SIZES = (r"\bigl", r"\bigr", r"\Bigl", r"\Bigr")  # MathML stretches brackets by itself


def mathml(expression: sp.Basic | Claim, *, block: bool = False) -> str:
    """An expression, a relation or a claim as presentation MathML, every observable as the paper writes it.

    Raises
    ------
    UnknownMarkup
        If the notation of an observable uses LaTeX that the reader does not know.
    """
    return mathml_from_latex(claim_latex(expression), block=block)


def mathml_from_latex(source: str, *, block: bool = False) -> str:
    """A ``<math>`` element from the small part of LaTeX that notation and printer use.

    Raises
    ------
    UnknownMarkup
        For any other command, unbalanced braces or a missing argument.
    """
    reader = _Reader(source)
    content = reader.row(end=None)
    root = Element("math", {"xmlns": "http://www.w3.org/1998/Math/MathML"})
    root.set("display", "block" if block else "inline")
    root.append(content)
    return tostring(root, encoding="unicode")


def _leaf(tag: str, content: str, **attributes: str) -> Element:
    element = Element(tag, attributes)
    element.text = content
    return element


class _Reader:
    """Recursive descent over LaTeX tokens; every method consumes what it returns."""

    def __init__(self, source: str) -> None:
        self.source = source
        skipped = (r"\ ", r"\,", r"\textstyle", *_SIZES)
        self.tokens = [token for token in _TOKENS.findall(source) if not token.isspace() and token not in skipped]
        self.at = 0

    def peek(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> str:
        token = self.peek()
        if token is None:
            raise UnknownMarkup(f"{self.source!r} ends too early")
        self.at += 1
        return token

    def row(self, end: str | None) -> Element:
        """Everything up to ``end``, which is consumed; scripts are attached to what they follow."""
        row = Element("mrow")
        operand = False  # whether an operand stands before, so that a minus is binary
        while (token := self.peek()) != end:
            if token is None:
                raise UnknownMarkup(f"{self.source!r} lacks a closing {end}")
            self._scripted(row, operand)
            operand = token not in _SIGNS and token not in _OPENING
        if end is not None:
            self.take()
        return row

    def _scripted(self, row: Element, operand: bool) -> None:
        token = self.take()
        base = self._atom(token, operand)
        scripts: dict[str, Element] = {}
        while (mark := self.peek()) is not None and mark in "_^'":
            self.take()
            place = "_" if mark == "_" else "^"
            if place in scripts:
                raise UnknownMarkup(f"{self.source!r} has two scripts of one kind on {token}")
            scripts[place] = _leaf("mo", "′") if mark == "'" else self._argument()
        if token in _FUNCTIONS:
            after = self.peek()
            base.set("lspace", "0.17em" if operand else "0")
            tight = after is None or after in ("(", "{", "}", r"\left", ",")
            base.set("rspace", "0" if tight else "0.17em")
        row.append(_with_scripts(base, scripts.get("_"), scripts.get("^"), limits=token in _LIMITS))

    def _atom(self, token: str, operand: bool = False) -> Element:
        if token == "{":
            return self.row("}")
        if token in _LETTERS or (token.isascii() and token.isalpha()):
            return _leaf("mi", _LETTERS.get(token, token))
        if token[0].isdigit():
            return _leaf("mn", token)
        if token in _SIGNS:
            unary = token in "+-" and not operand
            return _leaf("mo", _SIGNS[token], **({"form": "prefix"} if unary else {}))
        if token in _OPENING or token in _CLOSING or token == "|":
            sign = _OPENING.get(token) or _CLOSING.get(token) or token
            return _leaf("mo", sign, stretchy="false", lspace="0", rspace="0")
        if token in _FUNCTIONS:
            return _leaf("mo", _FUNCTIONS[token], movablelimits="true")
        if token == r"\sum":
            return _leaf("mo", "∑", movablelimits="true")
        return self._command(token)

    def _command(self, token: str) -> Element:
        if token == r"\left":
            return self._fenced()
        if token in _ACCENTS:
            over = Element("mover", accent="true")
            over.append(self._argument())
            over.append(_leaf("mo", _ACCENTS[token], stretchy="false"))
            return over
        if token == r"\underline":
            under = Element("munder", accentunder="true")
            under.append(self._argument())
            under.append(_leaf("mo", "_", stretchy="true"))
            return under
        if token in (r"\frac", r"\tfrac"):
            fraction = Element("mfrac")
            fraction.extend([self._argument(), self._argument()])
            return fraction
        if token == r"\sqrt":
            return self._root()
        if token in (r"\mathrm", r"\text"):
            return self._upright()
        raise UnknownMarkup(f"{token!r} in {self.source!r} has no MathML here")

    def _argument(self) -> Element:
        token = self.take()
        if token in ("}", "_", "^", r"\right"):
            raise UnknownMarkup(f"{self.source!r} lacks an argument before {token}")
        element = self._atom(token)
        return element[0] if element.tag == "mrow" and len(element) == 1 else element

    def _root(self) -> Element:
        if self.peek() != "[":
            root = Element("msqrt")
            root.append(self._argument())
            return root
        self.take()
        index = self.row("]")
        root = Element("mroot")
        root.extend([self._argument(), index])
        return root

    def _upright(self) -> Element:
        if self.take() != "{":
            raise UnknownMarkup(f"{self.source!r}: \\mathrm needs braces")
        letters = []
        while (token := self.take()) != "}":
            letters.append(token)
        return _leaf("mi", "".join(letters), mathvariant="normal")

    def _fenced(self) -> Element:
        row = Element("mrow")
        self._fence(row, "prefix")
        inner = self.row(r"\right")
        row.extend(inner)
        self._fence(row, "postfix")
        return row

    def _fence(self, row: Element, form: str) -> None:
        token = self.take()
        sign = _OPENING.get(token) or _CLOSING.get(token) or token
        if sign not in "()[]|‖⟨⟩":
            raise UnknownMarkup(f"{token!r} in {self.source!r} is no bracket")
        SubElement(row, "mo", form=form, stretchy="true").text = sign


def _with_scripts(base: Element, sub: Element | None, sup: Element | None, *, limits: bool) -> Element:
    if sub is None and sup is None:
        return base
    scripts = [script for script in (sub, sup) if script is not None]
    if limits:
        tag = "munderover" if len(scripts) == 2 else "munder" if sub is not None else "mover"
    else:
        tag = "msubsup" if len(scripts) == 2 else "msub" if sub is not None else "msup"
    element = Element(tag)
    element.extend([base, *scripts])
    return element
