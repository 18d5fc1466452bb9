"""Numbers and counts as the report writes them."""

from __future__ import annotations

import math
import re

import sympy as sp
from sympy.core.relational import Relational
from sympy.printing.str import StrPrinter

from bounds import NOTATION
from bounds.claims import Order
from bounds.notation import Observable
from properties.windows import Fit
from properties.wording import counted as count

__all__ = ["count", "fixed", "interval", "listed", "number", "percent", "plain", "symbol_text"]


def number(value: float, digits: int = 3) -> str:
    """A few significant digits, with a true minus sign."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}g}".replace("-", "−")


def fixed(value: float, decimals: int = 2) -> str:
    """So many decimals, with a true minus sign and no minus zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def interval(fit: Fit) -> str:
    """A slope with its interval: −1.99 (−2.05 to −1.93)."""
    return f"{fixed(fit.slope)} ({fixed(fit.low)} to {fixed(fit.high)})"


def percent(share: float | None) -> str:
    """A share as a percentage that never rounds to 0 or 100."""
    if share is None:
        return "–"
    if 0 < share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if 0.999 < share < 1 else f"{100 * share:.3g} %"


def listed(items: list[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def plain(expression: object) -> str:
    """An expression or relation in one line of text: log(t)^2/t, t^(−3/4), 1 − cos(W_t, W_mm) ≤ 1/1000."""
    if isinstance(expression, Order):
        growth = str(expression).removeprefix(f"{expression.quantity} = ").partition("(")[0]
        return f"{plain(expression.quantity)} = {growth}({plain(expression.rate)})"
    if isinstance(expression, Relational):
        relation = {"<=": "≤", ">=": "≥"}.get(expression.rel_op, expression.rel_op)
        return f"{plain(expression.lhs)} {relation} {plain(expression.rhs)}"
    text = str(_Printer().doprint(expression)) if isinstance(expression, sp.Basic) else str(expression)
    for ours, reader in (("**", "^"), ("*", "·"), ("-", "−")):
        text = text.replace(ours, reader)
    text = _BRACKETED.sub(r"(\1)", text)  # one pair of brackets is enough
    outer = _WHOLE.fullmatch(text)
    return (outer[1] if outer else text).replace("⟦", "(").replace("⟧", ")")


class _Printer(StrPrinter):  # type: ignore[misc]
    """SymPy's text with the field's symbols; those that are sums themselves in brackets of their own kind."""

    def _print_Symbol(self, symbol: sp.Symbol) -> str:
        known = NOTATION.get(symbol.name)
        text = symbol.name if known is None else symbol_text(known)
        return f"⟦{text}⟧" if " − " in text else text


def symbol_text(observable: Observable) -> str:
    """An observable's symbol in one line of text; its Python name where the symbol takes more than a line."""
    text = observable.latex
    for pattern, plain_text in _SYMBOLS:
        text = re.sub(pattern, plain_text, text)
    return observable.name if re.search(r"[\\{}]", text) else text


_BRACKETED = re.compile(r"\(⟦([^⟦⟧]*)⟧\)")
_WHOLE = re.compile(r"⟦([^⟦⟧]*)⟧")
_GREEK = {
    "alpha": "α", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "mu": "μ", "rho": "ρ",
    "tau": "τ",
    "psi": "ψ", "Delta": "Δ", "Gamma": "Γ", "Lambda": "Λ",
}  # fmt: skip
_SYMBOLS = [
    *((rf"\\{name}(?![a-zA-Z])", letter) for name, letter in _GREEK.items()),
    (r"\\(?:mathrm|text)\{(\w+)\}", r"\1"),
    (r"_\{\\(min|max)\}", r"_\1"),
    (r"\\(min|max) (?=\w)|\\(min|max)(?=\\lVert)", r"\1\2 "),
    (r"\\cos", "cos"),
    (r"\\[lr]Vert ?", "‖"),
    (r"\\langle ?", "⟨"),
    (r"\\rangle", "⟩"),
    (r"\\hat ?(\w)", "\\1\u0302"),
    (r"\\bar ?(\w)", "\\1\u0304"),
    (r"\\ell", "ℓ"),
    (r"\\nabla ?", "∇"),
    (r"_0", "₀"),
    (r"_1", "₁"),
    (r"_\{(\w+)\}", r"_\1"),
    (r"(?<=[\w\d])-(?=\w)", " − "),
    (r",(?=\S)", ", "),
]
