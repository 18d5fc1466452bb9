"""How hard an instance is for a theorem: the number that a hunt makes as large as it can."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bounds import Theorem
from models.trajectory import RECORD_LIMIT
from properties.balls import difference_sign, lift
from properties.compiled import compile_expression
from properties.evidence import evidence_for
from properties.hypotheses import applicable_rows, as_balls, failing
from properties.judge import defined_rows, in_domain, log10, log_ratio
from properties.measured import Measured
from properties.observables import Undefined
from properties.orders import OrderEvidence, OrderRun, hold_against_rate
from properties.systems import tools
from properties.trial import weigh
from properties.verdict import Evidence

#: A step whose sides agree to this is an equality case, such as step 0 of a bound that starts at the start: it
#: says nothing about how close the bound comes elsewhere.
EQUALITY = 1e-9
#: A bound counts as demanding where it is at most this share of what is trivially true.
DEMANDING = 0.5
NOTHING = -math.inf
KINDS = ("pointwise", "order")


class Unhuntable(ValueError):
    """There is no hardness of an instance for such a claim; the message says what to do instead."""


@dataclass(frozen=True)
class Target:
    """What is hunted.

    Attributes
    ----------
    theorem : Theorem
        A pointwise claim (hardness: log10 of the largest ratio of its sides) or an order (hardness: the power of
        the clock with which the ratio to the claimed rate grows).
    steps : int
        Steps of each run.
    after : int
        First step that counts; step 0 and the onset, where many bounds are equalities, never do.
    demanding : bool
        Count only steps where the bound is at most half of what is trivially true.
    """

    theorem: Theorem
    steps: int
    after: int = 1
    demanding: bool = False

    def __post_init__(self) -> None:
        if self.theorem.kind not in KINDS:
            raise Unhuntable(
                f"{self.theorem.id} is a {self.theorem.kind} claim: only pointwise and order claims have hardest "
                "instances; put it on trial with `ratecheck verify`"
            )
        if self.demanding and self.theorem.trivial_level in (None, 0):
            raise Unhuntable(
                f"{self.theorem.id} has no trivial level to compare its bound with: drop --informative"
            )

    @property
    def objective(self) -> str:
        """What is made large, in words: hardnesses compare only where these are the same."""
        if self.theorem.kind == "order":
            return "exponent of the ratio to the rate"
        words = "log10 of the ratio of the sides"
        if self.after > 1:
            words += f", from step {self.after} on"
        return words + (", where the bound is half of what is trivial" if self.demanding else "")


@dataclass(frozen=True)
class Hardness:
    """How hard one instance is: a value to be made large, −∞ where the theorem says nothing, and where.

    ``equal`` is the first step that counts on which the sides agree to `EQUALITY`, None if there is none.
    """

    value: float
    step: int = 0
    equal: int | None = None


def assess(target: Target, instance: Any, body: Evidence, source: str, seed: int) -> Hardness:
    """Train, judge and certify one instance, count it as evidence, and measure its hardness."""
    theorem = target.theorem
    system = tools(theorem.system)
    geometry = system.geometry(instance)
    measurement = system.measure(instance, geometry, RECORD_LIMIT)
    weigh(
        body,
        measurement,
        source,
        lambda steps: system.measure(instance.with_run(steps=steps), geometry, RECORD_LIMIT),
        seed,
    )
    return hardness(target, measurement)


def hardness(target: Target, measurement: Measured) -> Hardness:
    """The hardness of a run that has been made."""
    if target.theorem.kind == "order":
        run = hold_against_rate(target.theorem, measurement, "")
        return Hardness(run.ratio.slope, run.last_step) if isinstance(run, OrderRun) else Hardness(NOTHING)
    try:
        return _hardest_step(target, measurement)
    except Undefined:
        return Hardness(NOTHING)


def _hardest_step(target: Target, measurement: Measured) -> Hardness:
    theorem, trajectory = target.theorem, measurement.trajectory
    rows = len(trajectory)
    if failing(theorem, measurement.instance, measurement.geometry) is not None or rows == 0:
        return Hardness(NOTHING)
    mask = applicable_rows(theorem, measurement)
    mask &= trajectory.t >= _first(target, trajectory.onset)
    if not mask.any():
        return Hardness(NOTHING)
    mask &= in_domain(theorem, measurement, rows) & defined_rows(theorem, measurement, rows)
    small, large = (as_balls(compile_expression(s)(measurement), rows) for s in (theorem.small, theorem.large))
    ratio = log_ratio(small, large)
    _, broken = difference_sign(large, small)
    mask &= small.accurate() & large.accurate()
    tied = np.flatnonzero(mask & ~broken & (np.abs(ratio) <= -math.log10(1.0 - EQUALITY)))
    equal = int(trajectory.t[tied[0]]) if tied.size else None
    mask &= broken | (ratio < math.log10(1.0 - EQUALITY))
    if target.demanding:
        level = lift(compile_expression(theorem.trivial_level)(measurement))
        bound = log10(large if theorem.bound_is_upper else small)
        room = log10(level) - bound if theorem.bound_is_upper else bound - log10(level)
        mask &= np.broadcast_to(room >= -math.log10(DEMANDING), rows)
    judged = np.flatnonzero(mask)
    if not judged.size:
        return Hardness(NOTHING, equal=equal)
    worst = int(judged[np.argmax(ratio[judged])])
    return Hardness(float(ratio[worst]), int(trajectory.t[worst]), equal)


def _first(target: Target, onset: int | None) -> int:
    remembers = "onset" in target.theorem.memory and onset is not None
    return max(1, target.after, onset + 1 if remembers and onset is not None else 1)


@dataclass(frozen=True)
class Share:
    """Some instances for one worker."""

    target: Target
    instances: tuple[Any, ...]
    source: str
    seed: int


@dataclass(frozen=True, eq=False)
class Report:
    """What a worker found: one hardness an instance, and the evidence."""

    hardness: tuple[Hardness, ...]
    evidence: Evidence


def assess_share(share: Share) -> Report:
    """Assess the instances of a share; None, a point without an instance, has no hardness."""
    body = evidence_for(share.target.theorem)
    found = tuple(
        Hardness(NOTHING) if instance is None else assess(share.target, instance, body, share.source, share.seed)
        for instance in share.instances
    )
    if not isinstance(body, OrderEvidence) and hasattr(body, "runs"):
        body.runs = []  # curves for drawing, of no use here and costly to send
    return Report(found, body)


def divided(instances: Sequence[Any], parts: int) -> list[tuple[Any, ...]]:
    """At most ``parts`` consecutive shares of nearly equal size, none of them empty."""
    count = max(1, min(parts, len(instances)))
    bounds = [len(instances) * k // count for k in range(count + 1)]
    return [tuple(instances[a:b]) for a, b in itertools.pairwise(bounds) if b > a]
