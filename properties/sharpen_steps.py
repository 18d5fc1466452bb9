"""How much longer the steps could be: multiples of a theorem's `StepAtMost` that no instance breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp

from bounds import StepAtMost, Theorem
from bounds.sharper import with_longer_steps
from properties.power import search
from properties.shrinker import shrink
from properties.trial import Profile
from properties.verdict import Counterexample, PointwiseEvidence

#: Doublings of the step size that are tried, and bisections between the last that survived and the first broken.
DOUBLINGS, BISECTIONS = 10, 3


@dataclass(frozen=True, eq=False)
class LongerSteps:
    """The largest multiple of the allowed step size with which no instance broke a theorem.

    Attributes
    ----------
    survived : Rational
        At least 1; ``applicable`` instances say so.
    theorem : Theorem
        With that multiple.
    broken : Rational or None
        The smallest multiple that was broken, certified; None if none of those tried was.
    counterexample : Counterexample or None
        What broke it, made small.
    suspected : Rational or None
        A multiple between the two, at which a violation was suspected and not decided.
    """

    survived: sp.Rational
    theorem: Theorem
    applicable: int
    broken: sp.Rational | None
    counterexample: Counterexample | None
    suspected: sp.Rational | None


def longer_steps(
    theorem: Theorem, profile: Profile, seed: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> LongerSteps | None:
    """Double the allowed step size until the theorem breaks, then bisect; None for one without `StepAtMost`."""
    if not any(isinstance(a, StepAtMost) for a in theorem.assumes):
        return None
    survived, applicable, tried = sp.Integer(1), 0, 0
    broken: sp.Rational | None = None
    suspected: sp.Rational | None = None
    counterexample: Counterexample | None = None
    while tried < DOUBLINGS:
        multiple = 2 * survived
        body = _tried(theorem, multiple, profile, seed)
        tried += 1
        progress(tried, DOUBLINGS + BISECTIONS)
        if body.counterexample is not None or body.suspected:
            break
        survived, applicable = multiple, body.applicable
    else:
        return LongerSteps(survived, _weaker(theorem, survived), applicable, None, None, None)
    for number in range(BISECTIONS + 1):
        if body.counterexample is not None:
            broken, counterexample = multiple, body.counterexample
        elif body.suspected:
            suspected = multiple
        else:
            survived, applicable = multiple, body.applicable
        if number == BISECTIONS:
            break
        multiple = (survived + min(x for x in (broken, suspected) if x is not None)) / 2
        body = _tried(theorem, multiple, profile, seed)
        tried += 1
        progress(tried, DOUBLINGS + BISECTIONS)
    if counterexample is not None:
        counterexample = shrink(counterexample)
    return LongerSteps(survived, _weaker(theorem, survived), applicable, broken, counterexample, suspected)


def _tried(theorem: Theorem, multiple: sp.Rational, profile: Profile, seed: int) -> PointwiseEvidence:
    claim = _weaker(theorem, multiple)
    return search([claim], profile, seed)[claim.id]


def _weaker(theorem: Theorem, multiple: sp.Rational) -> Theorem:
    return with_longer_steps(theorem, multiple, f"{theorem.id}.longer-steps")
