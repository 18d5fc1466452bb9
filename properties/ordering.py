"""Whether a changed theorem says more or less than before: its claim, its hypotheses and its domain together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import sympy as sp

from bounds import Assumption, Likely, Order, StepAtMost, Tends, Theorem, Throughout, eta, t
from bounds.notation import Memory
from bounds.stored import write_assumption

EQUAL, STRONGER, WEAKER, INCOMPARABLE, UNDECIDED = "equal", "stronger", "weaker", "incomparable", "undecided"
_TURNED = {"never larger": "never smaller", "never smaller": "never larger"}
_OPPOSITE = {STRONGER: WEAKER, WEAKER: STRONGER}
_SIDES = {"O": {"above"}, "Omega": {"below"}, "Theta": {"above", "below"}}
_LONGEST = 12  # characters of a number that is shown as it is
_ADDED, _REMOVED, _CHANGED = "added", "removed", "changed"


@dataclass(frozen=True)
class Point:
    """A point where one claim is certified to say more than the other.

    Attributes
    ----------
    says_more : {"old", "new"}
    values : dict
        Exact values of the observables, as text.
    old, new : str
        Enclosures of the two bounds there.
    shown : dict
        The values in a few characters.
    """

    says_more: str
    values: dict[str, str]
    old: str
    new: str
    shown: dict[str, str]


@dataclass(frozen=True)
class Decision:
    """The order of two claims, new against old, how it was decided, and boxes where it is not."""

    order: str
    reason: str
    points: tuple[Point, ...] = ()
    region: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hypothesis:
    """A difference between the hypotheses or the domains of two theorems.

    Attributes
    ----------
    how : {"added", "removed", "changed"}
    text : str
        What was added, removed, or changed into what.
    effect : str
        What that alone makes of the theorem: stronger where it speaks of more, weaker where of less.
    reason : str
    """

    how: str
    text: str
    effect: str
    reason: str = ""


@dataclass(frozen=True)
class Ordering:
    """A changed theorem against its old form.

    Attributes
    ----------
    order : str
        ``equal``, ``stronger``, ``weaker``, ``incomparable`` or ``undecided``, hypotheses included.
    claim : Decision
        The order of the claims alone.
    hypotheses : tuple of Hypothesis
    """

    order: str
    claim: Decision
    hypotheses: tuple[Hypothesis, ...] = field(default=())

    @property
    def sentence(self) -> str:
        """The order in words, without a full stop."""
        everywhere = " everywhere" if self.claim.order in (STRONGER, WEAKER) else ""
        proved = "" if self.claim.order == UNDECIDED else ", proved"
        said = [f"claim {self.claim.order}{everywhere}{proved}: {self.claim.reason}"]
        said += [f"{h.how} {h.text}: {h.effect}{f' ({h.reason})' if h.reason else ''}" for h in self.hypotheses]
        if self.hypotheses and self.order == INCOMPARABLE != self.claim.order:
            said.append("stronger in one respect and weaker in another, so neither implies the other by itself")
        return "; ".join(said)


def compare_theorems(old: Theorem, new: Theorem, budget: float = 10.0) -> Ordering:
    """Decide whether the new form of a theorem implies the old one, the other way round, both or neither.

    Parameters
    ----------
    budget : float
        Seconds that each comparison of two bounds may take.
    """
    if old.system != new.system or old.kind != new.kind:
        what = "systems" if old.kind == new.kind else f"kinds, {old.kind} and {new.kind},"
        return Ordering(UNDECIDED, Decision(UNDECIDED, f"claims of different {what} are not compared"))
    hypotheses = (*_assumptions(old, new, budget), *_domains(old, new, budget), *_steps_needed(old, new))
    claim = _claims(old, new, budget)
    order = claim.order
    for hypothesis in hypotheses:
        order = together(order, hypothesis.effect)
    return Ordering(order, claim, tuple(hypotheses))


def together(first: str, second: str) -> str:
    """The order of two changes made at once: one that is both stronger and weaker is incomparable."""
    if first == second or second == EQUAL:
        return first
    if first == EQUAL:
        return second
    if INCOMPARABLE in (first, second) or UNDECIDED not in (first, second):
        return INCOMPARABLE
    return UNDECIDED


# ------------------------------------------------------------------------------------------------- claims
def _claims(old: Theorem, new: Theorem, budget: float) -> Decision:
    if old.kind == "pointwise":
        shared = [theorem.domain for theorem in (old, new) if theorem.domain is not None]
        return compare_relations(old.relation, new.relation, shared, budget)
    if old.claim == new.claim:
        return Decision(EQUAL, "the same claim")
    match old.claim, new.claim:
        case (Order() as a, Order() as b) if a.quantity == b.quantity:
            return _rates(a, b)
        case (Tends() as c, Tends() as e) if c.quantity == e.quantity and sp.sympify(c.to - e.to).is_zero is False:
            return Decision(INCOMPARABLE, "the same quantity cannot have two limits")
        case (Likely() as f, Likely() as g) if f.event == g.event:
            return _probabilities(f, g)
    return Decision(UNDECIDED, f"{old.kind} claims that differ so are not compared")


def _rates(old: Order, new: Order) -> Decision:
    """Orders are compared by the limit of the ratio of their rates; constants do not count.

    O says something from above, Ω from below, Θ both: one implies another if it does so for all that this says.
    """
    x = sp.Symbol("x", positive=True)
    try:
        ratio = sp.limit(sp.simplify((new.rate / old.rate).subs(t, x)), x, sp.oo)
    except (NotImplementedError, ValueError, TypeError):
        ratio = sp.nan
    if not (ratio in (0, sp.oo) or (ratio.is_finite and ratio.is_positive)):
        return Decision(UNDECIDED, "the limit of the rates' ratio was not found")
    reason = f"the new rate over the old one tends to {'∞' if ratio == sp.oo else ratio}"
    before, after = _SIDES[old.growth], _SIDES[new.growth]
    kept = {"above": ratio != sp.oo, "below": ratio != 0}  # what the new rate implies of the old one
    back = {"above": ratio != 0, "below": ratio != sp.oo}
    implies = before <= after and all(kept[side] for side in before)
    implied = after <= before and all(back[side] for side in after)
    order = {(True, True): EQUAL, (True, False): STRONGER, (False, True): WEAKER}.get(
        (implies, implied), INCOMPARABLE
    )
    return Decision(order, reason)


def _probabilities(old: Likely, new: Likely) -> Decision:
    difference = sp.simplify(sp.sympify(new.at_least) - sp.sympify(old.at_least))
    for sign, order in (
        (difference.is_zero, EQUAL),
        (difference.is_positive, STRONGER),
        (difference.is_negative, WEAKER),
    ):
        if sign:
            return Decision(order, f"the probabilities differ by {difference}")
    return Decision(UNDECIDED, f"the sign of {difference} was not found")


def compare_relations(
    old: sp.core.relational.Relational,
    new: sp.core.relational.Relational,
    given: Sequence[sp.core.relational.Relational],
    budget: float,
) -> Decision:
    """The order of two inequalities over the declared ranges of all observables, and where ``given`` holds."""
    if old == new:
        return Decision(EQUAL, "the same claim")
    from properties import inequalities  # what proves orders is loaded where something has changed

    try:
        found = inequalities.compare_relations(old, new, given, budget_s=budget)
        from_below = inequalities.bounds_from_below(old, new, given)
    except ValueError as error:
        return Decision(UNDECIDED, str(error))
    order, reason = found.order.name.lower(), found.reason
    if from_below:  # decided with the signs turned
        reason = re.sub("never (larger|smaller)", lambda m: _TURNED[m.group()], reason)
    if isinstance(old, sp.Lt | sp.Gt) != isinstance(new, sp.Lt | sp.Gt):
        order, reason = _strictness(order, reason, isinstance(new, sp.Lt | sp.Gt))
    points = tuple(_point(point, from_below) for point in found.points)
    return Decision(order, reason, points, tuple(map(_box, found.region)) if order == UNDECIDED else ())


def _strictness(order: str, reason: str, new_is_strict: bool) -> tuple[str, str]:
    """The order of a strict inequality and one that is not, from that of their bounds."""
    strict = STRONGER if new_is_strict else WEAKER
    if order in (EQUAL, strict):
        return strict, f"{reason}, and the {'new' if new_is_strict else 'old'} form alone excludes equality"
    if order == INCOMPARABLE:
        return order, reason
    return UNDECIDED, f"{reason}, but only the {'new' if new_is_strict else 'old'} form excludes equality"


def _point(point: Any, lower: bool) -> Point:
    values = {str(symbol.name): str(value) for symbol, value in sorted(point.values.items(), key=str)}
    says_more = "new" if point.new_is_smaller != lower else "old"
    shown = {str(symbol.name): _short(value) for symbol, value in sorted(point.values.items(), key=str)}
    return Point(says_more, values, point.old.str(8), point.new.str(8), shown)


def _box(region: Any) -> str:
    """Intervals of observables, or of quotients of two, as text; what is not bounded is left out."""
    sides = []
    for quantity, (low, high) in region.items():
        if low is not None and low == high:
            sides.append(f"{quantity} = {_short(low)}")
        elif low or high is not None:
            least = "" if low is None else f"{_short(low)} ≤ "
            sides.append(f"{least}{quantity}{'' if high is None else f' ≤ {_short(high)}'}")
    return ", ".join(sides) or "everywhere"


def _short(value: Any) -> str:
    """An exact number, or its first digits if it is long."""
    from flint import arb

    text = str(value)
    return text if len(text) <= _LONGEST else f"{arb(value).str(5, radius=False)}…"


# --------------------------------------------------------------------------------------------- hypotheses
def _assumptions(old: Theorem, new: Theorem, budget: float) -> list[Hypothesis]:
    before = {a.canonical(): a for a in old.assumes}
    after = {a.canonical(): a for a in new.assumes}
    gone = [a for name, a in before.items() if name not in after]
    come = [a for name, a in after.items() if name not in before]
    found: list[Hypothesis] = []
    for a in list(gone):
        alike = [b for b in come if type(b) is type(a) and _relation(b) is not None]
        partner = next((b for b in alike if _share_a_side(_relation(a), _relation(b))), next(iter(alike), None))
        if partner is not None:
            gone.remove(a)
            come.remove(partner)
            found.append(
                _changed(write_assumption(a), write_assumption(partner), _relation(a), _relation(partner), budget)
            )
    found += [Hypothesis(_REMOVED, write_assumption(a), STRONGER) for a in gone]
    return found + [Hypothesis(_ADDED, write_assumption(a), WEAKER) for a in come]


def _relation(assumption: Assumption) -> Any:
    """A hypothesis as an inequality between observables, where it is one."""
    if isinstance(assumption, StepAtMost):
        return sp.Le(eta, assumption.limit, evaluate=False)
    return assumption.relation if isinstance(assumption, Throughout) else None


def _share_a_side(old: Any, new: Any) -> bool:
    return bool(old.lts == new.lts or old.gts == new.gts)


#: What a claim's memory asks of a step (`bounds.notation.Observable.memory`), in words.
_LOOKS_BACK: dict[str, str] = {
    "start": "the need of its hypotheses at every step since 0",
    "onset": "the restriction to steps from t0 on",
    "decoder": "the restriction to steps from t1 on",
}


def _steps_needed(old: Theorem, new: Theorem) -> list[Hypothesis]:
    """On which steps hypotheses have to hold: a claim with a history needs them as far as it looks back."""
    idle = {"state"} if _is_traced(old) and _is_traced(new) else {"state", "start"}
    before, after = old.memory - idle, new.memory - idle
    changes = ((_REMOVED, before - after, STRONGER), (_ADDED, after - before, WEAKER))
    return [
        Hypothesis(how, _LOOKS_BACK[memory], effect)
        for how, memories, effect in changes
        for memory in get_args(Memory)
        if memory in memories
    ]


def _is_traced(theorem: Theorem) -> bool:
    """Whether a hypothesis has to hold along the run as far as the claim looks back."""
    return any(a.level == "trajectory" and not isinstance(a, StepAtMost) for a in theorem.assumes)


def _domains(old: Theorem, new: Theorem, budget: float) -> list[Hypothesis]:
    if old.domain == new.domain:
        return []
    if new.domain is None:
        return [Hypothesis(_REMOVED, f"domain {old.domain}", STRONGER)]
    if old.domain is None:
        return [Hypothesis(_ADDED, f"domain {new.domain}", WEAKER)]
    return [_changed(f"domain {old.domain}", str(new.domain), old.domain, new.domain, budget)]


def _changed(before: str, after: str, old: Any, new: Any, budget: float) -> Hypothesis:
    """A condition that became another one: the theorem is the stronger for a weaker condition."""
    decision = compare_relations(old, new, [], budget)
    effect = _OPPOSITE.get(decision.order, decision.order)
    return Hypothesis(_CHANGED, f"{before} → {after}", effect, decision.reason)
