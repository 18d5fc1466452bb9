"""Claims that are not one inequality at every step: orders, limits, probabilities and comparisons.

A pointwise claim is a plain SymPy relation.  The others say something that no finite run can refute or prove,
so each has its own judge and its own words (docs/theory.md#kinds).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import sympy as sp

from bounds.language import InvalidClaim, check_expression, check_relation
from bounds.notation import NOTATION, t

Growth = Literal["O", "Omega", "Theta"]
_GROWTHS = {"O": "O", "Omega": "Ω", "Theta": "Θ"}


@dataclass(frozen=True)
class Claim:
    """What the kinds have in common: a name, checked parts, and one canonical text.

    Attributes
    ----------
    kind : str
        The kind's name, a key of `bounds.theorem.KINDS`.
    """

    kind: ClassVar[str]

    def checked(self, where: str) -> Claim:
        """The claim with its parts checked.  Raises `InvalidClaim`, naming the part and the fix."""
        raise TypeError(f"{type(self).__name__} states no claim")

    @property
    def expressions(self) -> tuple[sp.Basic, ...]:
        """Every expression over observables that the claim contains."""
        raise TypeError(f"{type(self).__name__} states no claim")

    def canonical(self) -> dict[str, str]:
        """Parts by name, equal exactly when two claims say the same thing."""
        raise TypeError(f"{type(self).__name__} states no claim")


@dataclass(frozen=True)
class Order(Claim):
    """``quantity`` grows or falls in t like ``rate`` up to a constant that may depend on the instance.

    Parameters
    ----------
    quantity : SymPy expression
        A measured, eventually positive quantity.
    rate : SymPy expression in t
        It may contain observables that do not change along a run, such as an exponent.  Without t it says that
        the quantity stays bounded.
    growth : {"O", "Omega", "Theta"}
        At most, at least, or exactly that order.
    """

    quantity: sp.Expr
    rate: sp.Expr
    growth: Growth = "O"
    kind = "order"

    def checked(self, where: str) -> Order:
        if self.growth not in _GROWTHS:
            raise InvalidClaim(f"{where}: unknown order {self.growth!r}; use O, Omega or Theta")
        quantity = check_expression(self.quantity, f"{where}, quantity")
        rate = check_expression(self.rate, f"{where}, rate")
        fixed = all(symbol == t or NOTATION[symbol.name].level != "step" for symbol in rate.free_symbols)
        if not fixed or rate.is_nonpositive:
            raise InvalidClaim(
                f"{where}: the rate {rate} must depend on t and on nothing else that changes along a run, "
                "and be positive"
            )
        if quantity.free_symbols <= {t}:
            raise InvalidClaim(f"{where}: the quantity {quantity} contains no measured observable")
        return Order(quantity, rate, self.growth)

    @property
    def expressions(self) -> tuple[sp.Basic, ...]:
        return self.quantity, self.rate

    def canonical(self) -> dict[str, str]:
        return {"quantity": sp.srepr(self.quantity), "rate": sp.srepr(self.rate), "growth": self.growth}

    def __str__(self) -> str:
        return f"{self.quantity} = {_GROWTHS[self.growth]}({self.rate})"

    @property
    def logarithmic(self) -> bool:
        """Whether the rate depends on t through log t only, so that log t is its natural clock."""
        x = sp.Symbol("x", positive=True)
        return self.rate.has(t) and not sp.simplify(self.rate.subs(t, sp.exp(x))).has(sp.exp)


@dataclass(frozen=True)
class Tends(Claim):
    """``quantity`` tends to ``to`` (a number, or oo) as t grows."""

    quantity: sp.Expr
    to: sp.Expr | int = 0
    kind = "limit"

    def checked(self, where: str) -> Tends:
        quantity = check_expression(self.quantity, f"{where}, quantity")
        if quantity.free_symbols <= {t}:
            raise InvalidClaim(f"{where}: the quantity {quantity} contains no measured observable")
        to = sp.sympify(self.to) if isinstance(self.to, int | float | sp.Expr) else None
        if to is None or isinstance(self.to, bool) or not (to.is_number and to.is_extended_real):
            raise InvalidClaim(f"{where}: {self.to!r} is no limit; give a real number or oo")
        return Tends(quantity, to)

    @property
    def expressions(self) -> tuple[sp.Basic, ...]:
        return (self.quantity,)

    def canonical(self) -> dict[str, str]:
        return {"quantity": sp.srepr(self.quantity), "to": sp.srepr(sp.sympify(self.to))}

    def __str__(self) -> str:
        return f"{self.quantity} → {'∞' if self.to == sp.oo else self.to}"


@dataclass(frozen=True)
class Likely(Claim):
    """Random data have ``event`` with probability at least ``at_least``.

    Parameters
    ----------
    event : SymPy relation between observables of a random dataset
    at_least : SymPy expression with values in [0, 1] over the sample's parameters
    """

    event: sp.core.relational.Relational
    at_least: sp.Expr | int
    kind = "probability"

    def checked(self, where: str) -> Likely:
        event = check_relation(self.event, f"{where}, event")
        at_least = check_expression(self.at_least, f"{where}, probability")
        if at_least.is_number and not 0 <= at_least <= 1:
            raise InvalidClaim(f"{where}: {at_least} is no probability; give a number from 0 to 1")
        return Likely(event, at_least)

    @property
    def expressions(self) -> tuple[sp.Basic, ...]:
        return self.event, sp.sympify(self.at_least)

    def canonical(self) -> dict[str, str]:
        return {"event": sp.srepr(self.event), "at_least": sp.srepr(sp.sympify(self.at_least))}

    def __str__(self) -> str:
        return f"P({self.event}) ≥ {self.at_least}"


@dataclass(frozen=True)
class Sooner(Claim):
    """On the same data, the first method reaches ``event`` in fewer steps than the second, more often than not.

    Parameters
    ----------
    event : SymPy relation over observables of a run
    first, second : str
        Step rules; for Polyak's, ``"polyak"`` has ζ = 1 and ``"polyak/2"`` ζ = 2.
    """

    event: sp.core.relational.Relational
    first: str
    second: str
    kind = "comparison"
    METHODS: ClassVar[tuple[str, ...]] = ("ngd", "gd", "polyak", "polyak/2")

    def checked(self, where: str) -> Sooner:
        for method in (self.first, self.second):
            if method not in self.METHODS:
                raise InvalidClaim(f"{where}: unknown method {method!r}; use one of {', '.join(self.METHODS)}")
        if self.first == self.second:
            raise InvalidClaim(f"{where}: {self.first!r} is compared with itself; name two methods")
        return Sooner(check_relation(self.event, f"{where}, event"), self.first, self.second)

    @property
    def expressions(self) -> tuple[sp.Basic, ...]:
        return (self.event,)

    def canonical(self) -> dict[str, str]:
        return {"event": sp.srepr(self.event), "first": self.first, "second": self.second}

    def __str__(self) -> str:
        return f"{self.first} reaches {self.event} sooner than {self.second}"
