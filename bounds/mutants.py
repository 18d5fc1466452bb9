"""Mutants of a theorem: neighbours of its statement that claim more, made by small systematic changes.

A trial that convicts the mutants would have convicted a theorem that is wrong in the same way; a mutant that
survives measures the slack of the claim, or of the trial.  Every change is towards falsehood: at sample values of
the observables (which obey γ ≤ B, r ≥ v and the like) it leaves the claim less room between its two sides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import sympy as sp
from sympy import Rational

from bounds.assumptions import Assumption, Loss, Rule, Separable
from bounds.joint import DecoderSeparable
from bounds.language import InvalidClaim
from bounds.notation import NOTATION, B, gamma, t
from bounds.theorem import Status, Theorem

CONSTANT, EXPONENT, SWAP, TERM, REVERSED, HYPOTHESIS = (
    "constant",
    "exponent of t",
    "γ and B swapped",
    "term dropped",
    "reversed",
    "hypothesis dropped",
)
KINDS = (CONSTANT, EXPONENT, SWAP, TERM, REVERSED, HYPOTHESIS)
SAME, TRIVIAL, IMPLIED = "the same statement", "trivially true", "implied by the observables of the claim"
_FACTORS = (Rational(1, 2), Rational(9, 10), Rational(99, 100))
_SHIFTS = (Rational(1, 2), Rational(1))
#: Where the sides are compared; every other observable is 1.
_SAMPLE = {
    **dict.fromkeys(("n", "T", "N", "Delta_max", "slope_ratio", "rho", "rho_max", "loss_0", "zeta"), 2.0),
    **dict.fromkeys(("norm", "u_norm", "u_step_sum"), 20.0),
    **dict.fromkeys(("alignment", "u_alignment"), 15.0),
    **dict.fromkeys(("norm_0", "norm_1", "u_norm_1", "token_radius"), 2.0),
    **dict.fromkeys(("s_min", "s_min_run", "gamma", "attended_margin"), 0.5),
    **dict.fromkeys(("s_floor", "grad_norm", "coefficient_sum", "loss_gap"), 0.25),
    **dict.fromkeys(("eta", "step_length", "u_deviation", "loss_gap_next"), 0.1),
    "B": 1.0,
}
_STEPS = (7.5, 50.5)  # no whole numbers: a power of a negative number is then not real, and no claim
#: Observables that exist only where W_mm, or u_mm, does.
_OF_W = frozenset({"gamma", "alignment", "alignment_0", "alignment_1", "direction_gap", "descent_cosine"})
_OF_U = frozenset({"mu", "attended_margin", "u_alignment", "u_alignment_1", "u_direction_gap", "u_deviation"})


@dataclass(frozen=True)
class Guess(Status):
    """The status of a mutant: claimed by nobody."""


@dataclass(frozen=True)
class Mutant:
    """A theorem with one change.

    Attributes
    ----------
    theorem : Theorem
        The changed statement, with an id of its own.
    kind : str
        One of `KINDS`.
    change : str
        What was changed, in a few words.
    dropped : Assumption or None
        The hypothesis that was dropped.
    """

    theorem: Theorem
    kind: str
    change: str
    dropped: Assumption | None = None


@dataclass
class Brood:
    """The mutants of one theorem, and how many were not made because they say nothing new."""

    mutants: list[Mutant] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def breed(theorem: Theorem) -> Brood:
    """All mutants of a pointwise theorem.  Raises `TypeError` for the other kinds."""
    brood, seen = Brood(), {theorem.canonical()}
    proposals = [*_of_claim(theorem), *_of_hypotheses(theorem)]
    for kind, change, claim, dropped in proposals:
        if dropped is not None and _implied(dropped, theorem):
            brood.skipped[IMPLIED] += 1
            continue
        try:
            changed = Theorem(
                f"{theorem.id}.mutant-{len(brood.mutants) + 1}",
                f"{theorem.title} ({kind}: {change})",
                theorem.system,
                [a for a in theorem.assumes if a is not dropped],
                claim,
                Guess(source=theorem.id),
                theorem.domain,
                theorem.trivial,
            )
        except InvalidClaim:  # SymPy has decided it by the observables' signs
            brood.skipped[TRIVIAL] += 1
            continue
        if changed.canonical() in seen:
            brood.skipped[SAME] += 1
            continue
        seen.add(changed.canonical())
        brood.mutants.append(Mutant(changed, kind, change, dropped))
    return brood


Proposal = tuple[str, str, sp.Basic, Assumption | None]


def _of_claim(theorem: Theorem) -> Iterator[Proposal]:
    small, large = theorem.small, theorem.large
    upper = theorem.bound_is_upper
    bound = large if upper else small

    def with_bound(changed: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        return (small, changed) if upper else (changed, large)

    def proposed(kind: str, change: str, sides: tuple[sp.Expr, sp.Expr]) -> Iterator[Proposal]:
        if _stricter(sides, (small, large)):
            yield kind, change, _relation(theorem, *sides), None

    for factor in _FACTORS:
        for scale in (factor, 1 / factor):
            yield from proposed(CONSTANT, f"bound × {scale}", with_bound(_scaled(bound, scale)))
    for shift in _SHIFTS:
        for power in (1 + shift, 1 - shift):
            changed = _outside_logarithms(bound, lambda x, p=power: x**p)  # type: ignore[misc]
            yield from proposed(EXPONENT, f"t becomes t^({power})", with_bound(changed))
    swapped = {gamma: B, B: gamma}
    sides = small.subs(swapped, simultaneous=True), large.subs(swapped, simultaneous=True)
    if sides == (small, large) or _stricter(sides, (small, large)):
        yield SWAP, "γ ↔ B", _relation(theorem, *sides), None
    for index, side in enumerate((small, large)):
        for term, shorter in _without_a_term(side):
            yield from proposed(TERM, f"without {term}", (shorter, large) if index == 0 else (small, shorter))
    yield REVERSED, "≤ becomes ≥", _relation(theorem, large, small), None


def _of_hypotheses(theorem: Theorem) -> Iterator[Proposal]:
    for assumption in theorem.assumes:
        yield HYPOTHESIS, f"without {short_name(assumption)}", theorem.relation, assumption


def short_name(assumption: Assumption) -> str:
    """Its name as a reader of a table needs it."""
    name = type(assumption).__name__
    return assumption.name if isinstance(assumption, Rule | Loss) else name


def _relation(theorem: Theorem, small: sp.Expr, large: sp.Expr) -> sp.Basic:
    return (sp.Lt if theorem.strict else sp.Le)(small, large)


def _implied(dropped: Assumption, theorem: Theorem) -> bool:
    """Whether the claim cannot be stated without the hypothesis, so that dropping it changes nothing."""
    if isinstance(dropped, Separable | DecoderSeparable):
        return bool(theorem.observables & (_OF_W if isinstance(dropped, Separable) else _OF_U))
    return isinstance(dropped, Rule) and dropped.rule == "polyak" and "zeta" in theorem.observables


def _scaled(bound: sp.Expr, factor: sp.Expr) -> sp.Expr:
    """The bound times a factor; of a sum, only the terms whose sign is known (v_0 may have either)."""
    terms = sp.Add.make_args(bound)
    known = [term.is_nonnegative or term.is_nonpositive for term in terms]
    if len(terms) == 1 or not any(known):
        return factor * bound
    return sp.Add(*(factor * term if sure else term for term, sure in zip(terms, known, strict=True)))


def _outside_logarithms(expression: sp.Expr, change: Callable[[sp.Expr], sp.Expr]) -> sp.Expr:
    """``change`` applied to every t that is not inside a logarithm."""
    if expression == t:
        return change(expression)
    if isinstance(expression, sp.log) or not expression.args:
        return expression
    return expression.func(*(_outside_logarithms(part, change) for part in expression.args))


def _without_a_term(expression: sp.Expr) -> Iterator[tuple[sp.Expr, sp.Expr]]:
    """Every term of every sum within the expression, and the expression without it."""
    for total in sorted(expression.atoms(sp.Add), key=sp.default_sort_key):
        for term in sorted(total.args, key=sp.default_sort_key):
            yield term, expression.xreplace({total: total - term})


def _stricter(changed: tuple[sp.Expr, sp.Expr], original: tuple[sp.Expr, sp.Expr]) -> bool:
    """Whether the changed claim has less room at the sample values."""
    rooms = [(_room(changed, step), _room(original, step)) for step in _STEPS]
    if any(a is None or b is None for a, b in rooms):
        return False
    return any(a < b for a, b in rooms if a is not None and b is not None) and all(
        a <= b for a, b in rooms if a is not None and b is not None
    )


def _room(sides: tuple[sp.Expr, sp.Expr], step: float) -> float | None:
    values = {item.symbol: _SAMPLE.get(name, 1.0) for name, item in NOTATION.items()} | {t: step}
    value = (sides[1] - sides[0]).xreplace({s: sp.Float(v, 60) for s, v in values.items()}).evalf(40)
    return value if value.is_real and value.is_finite else None
