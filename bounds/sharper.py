"""Sharper forms of a theorem: its bound times a constant and a power of t, or its step sizes times a constant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import sympy as sp

from bounds.assumptions import Assumption, StepAtMost
from bounds.claims import Order
from bounds.notation import t
from bounds.theorem import Conjecture, Theorem

#: Decimal digits of a factor: few, so that it can be read and remembered.
_DIGITS = 2


@dataclass(frozen=True)
class Sharpening:
    """A change of a pointwise bound: times ``factor``, and times t^(−shift), or t^shift for a lower bound.

    ``log10`` is the base-10 logarithm of what the claim's smaller side is then allowed, in units of its larger
    side, at t = 1: the logarithm of ``factor`` for an upper bound, minus that for a lower one.
    """

    shift: sp.Rational
    factor: sp.Rational
    log10: float

    @classmethod
    def at_least(cls, theorem: Theorem, shift: sp.Rational, log10: float) -> Sharpening:
        """The strongest factor of two digits that allows a given logarithm: never less than what is asked."""
        upper = theorem.bound_is_upper
        factor = _two_digits(log10 if upper else -log10, up=upper)
        return cls(shift, factor, _logarithm(factor) * (1 if upper else -1))

    def tighter(self, theorem: Theorem, log10: float) -> Sharpening:
        """The weakest factor of two digits that allows less than a given logarithm."""
        upper = theorem.bound_is_upper
        factor = _two_digits(log10 if upper else -log10, up=not upper)
        while (_logarithm(factor) if upper else -_logarithm(factor)) >= log10:
            factor = _next(factor, up=not upper)
        return Sharpening(self.shift, factor, _logarithm(factor) * (1 if upper else -1))

    @property
    def changes_nothing(self) -> bool:
        """Whether the sharpened bound is the old one."""
        return bool(self.shift == 0 and self.factor == 1)

    @property
    def words(self) -> str:
        """As it is said in a table."""
        return f"factor {self.factor}, exponent shift {self.shift}"


def sharper(theorem: Theorem, change: Sharpening, id: str) -> Theorem:
    """A pointwise theorem with its bound changed, as a conjecture.

    At t = 0, where a power of t says nothing and many a bound is an equality, it says nothing if it can: without a
    domain the theorem gets t ≥ 1.  With one that may contain step 0 it keeps that, and its power is one of
    max(t, 1).  A claim about single states, its power being 0, stays one.
    """
    domain, clock = theorem.domain, t
    if not leaves_out_the_start(theorem, change.shift):
        clock = sp.Max(t, 1)
    elif domain is None:
        domain = t >= 1
    power = clock ** (-change.shift if theorem.bound_is_upper else change.shift)
    if theorem.bound_is_upper:
        relation = (sp.Lt if theorem.strict else sp.Le)(theorem.small, change.factor * power * theorem.large)
    else:
        relation = (sp.Gt if theorem.strict else sp.Ge)(theorem.large, change.factor * power * theorem.small)
    return _conjecture(theorem, id, f"{theorem.title} ({change.words})", relation, domain)


def leaves_out_the_start(theorem: Theorem, shift: sp.Rational) -> bool:
    """Whether the sharper form with a power of t does not speak about step 0."""
    domain = theorem.domain
    if domain is None:
        return bool(shift > 0 or "start" in theorem.memory)
    return bool(domain.free_symbols == {t} and domain.subs(t, 0) == sp.false)


def sharper_order(theorem: Theorem, shift: sp.Rational, id: str) -> Theorem:
    """An order claim whose rate is changed by a power of its clock, t or log t, as a conjecture."""
    claim = theorem.claim
    assert isinstance(claim, Order)
    clock = sp.log(t) if claim.logarithmic else t
    rate = claim.rate * clock ** (-shift if claim.growth == "O" else shift)
    title = f"{theorem.title} (exponent shift {shift})"
    return _conjecture(theorem, id, title, Order(claim.quantity, rate, claim.growth), theorem.domain)


def with_longer_steps(theorem: Theorem, multiple: sp.Rational, id: str) -> Theorem:
    """The theorem with every `StepAtMost` allowing so many times the step size, as a conjecture."""
    assumes = [replace(a, limit=multiple * a.limit) if isinstance(a, StepAtMost) else a for a in theorem.assumes]
    title = f"{theorem.title} (step sizes times {multiple})"
    return _conjecture(theorem, id, title, theorem.claim, theorem.domain, assumes)


def _conjecture(
    theorem: Theorem,
    id: str,
    title: str,
    claim: sp.Basic | Order,
    domain: sp.Basic | None,
    assumes: Sequence[Assumption] | None = None,
) -> Theorem:
    return Theorem(
        id,
        title,
        theorem.system,
        theorem.assumes if assumes is None else assumes,
        claim,
        Conjecture(source=f"ratecheck sharpen {theorem.id}"),
        domain,
        theorem.trivial,
    )


def _logarithm(factor: sp.Rational) -> float:
    return math.log10(int(factor.p)) - math.log10(int(factor.q))


def _two_digits(log10: float, *, up: bool) -> sp.Rational:
    """10^log10 rounded to two digits, up or down; a value that has two digits already stays."""
    exponent = math.floor(log10) - (_DIGITS - 1)
    mantissa = 10.0 ** (log10 - exponent)
    nearest = round(mantissa)
    if abs(mantissa - nearest) > 1e-9 * mantissa:
        nearest = math.ceil(mantissa) if up else math.floor(mantissa)
    return nearest * sp.Rational(10) ** exponent


def _next(factor: sp.Rational, *, up: bool) -> sp.Rational:
    """The neighbouring number of two digits."""
    exponent = math.floor(_logarithm(factor) + 1e-12) - (_DIGITS - 1)
    mantissa = factor / sp.Rational(10) ** exponent
    if not up and mantissa == 10 ** (_DIGITS - 1):
        return sp.Rational(10**_DIGITS - 1) * sp.Rational(10) ** (exponent - 1)
    return (mantissa + (1 if up else -1)) * sp.Rational(10) ** exponent
