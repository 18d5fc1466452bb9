"""How much faster an order could be: the power of its clock that the slowest run still has to spare."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sympy as sp

from bounds import Theorem
from bounds.claims import Order
from bounds.sharper import sharper_order
from models.trajectory import RECORD_LIMIT
from properties.hunt import Hunt, engines_for
from properties.hunt_objective import Target
from properties.orders import OrderEvidence, OrderRun
from properties.sharpen_search import Effort, Progress, hunt_share
from properties.systems import tools
from properties.trial import Execute, Profile, hold_trial, serial, weigh
from properties.verdict import CONSISTENT, VACUOUS_VERDICT

#: Powers of the clock come in these steps.
_STEP = sp.Rational(1, 8)


@dataclass(frozen=True, eq=False)
class SharpenedOrder:
    """An order with the power of its clock to spare.

    Attributes
    ----------
    seen : OrderEvidence
        The runs that the measurement rests on.
    slowest : OrderRun or None
        The one whose ratio to the claimed rate falls least.
    shift : Rational
        The largest power, of eighths, that the slowest run has to spare with the whole of its interval, and that
        was consistent with fresh runs; 0 if there is none.
    theorem : Theorem or None
        The order with that power, None where it is 0.
    fresh : OrderEvidence or None
        The fresh runs that this claim was held against.
    hunted : int
    """

    seen: OrderEvidence
    slowest: OrderRun | None
    shift: sp.Rational
    theorem: Theorem | None
    fresh: OrderEvidence | None
    hunted: int

    @property
    def spare(self) -> tuple[float, float, float] | None:
        """The slowest run's power to spare, with its interval."""
        if self.slowest is None:
            return None
        ratio = self.slowest.ratio
        return -ratio.slope, -ratio.high, -ratio.low

    def frontier(self) -> list[tuple[sp.Rational, int]]:
        """For each power of eighths, how many runs have it to spare, until none has."""
        spares = [-run.ratio.slope for run in self.seen.telling]
        rows: list[tuple[sp.Rational, int]] = []
        shift = sp.Integer(0)
        while True:
            count = sum(spare >= float(shift) for spare in spares)
            rows.append((shift, count))
            if count == 0:
                return rows
            shift += _STEP


def sharpen_order(
    theorem: Theorem,
    effort: Effort,
    corpus: Iterable[Any] = (),
    execute: Execute = serial,
    progress: Progress = lambda what, done, total: None,
) -> SharpenedOrder:
    """Measure what an order has to spare, and hold the faster order against fresh runs until one is consistent.

    ``effort.examples`` are runs, of ``effort.steps`` steps: seven dyadic windows of them have to fit.  Θ leaves no
    power to spare, in either direction.
    """
    seen = OrderEvidence(theorem)
    system = tools(theorem.system)
    for instance in corpus:
        _take_in(seen, instance, system, "corpus", effort.seed)
    hold_trial(
        {theorem.id: seen},
        _profile(effort),
        effort.seed,
        execute,
        lambda done, total: progress("sampling", done, total),
    )
    hunted = _hunt(seen, effort, progress)
    slowest = seen.slowest
    shift, number = _spare(theorem, slowest), 0
    while shift > 0:
        claim = sharper_order(theorem, shift, f"{theorem.id}.sharper")
        fresh = OrderEvidence(claim)
        number += 1
        hold_trial(
            {claim.id: fresh},
            _profile(effort),
            effort.seed + number,
            execute,
            lambda done, total: progress("fresh", done, total),
        )
        if fresh.verdict in (CONSISTENT, VACUOUS_VERDICT):
            return SharpenedOrder(seen, slowest, shift, claim, fresh, hunted)
        shift -= _STEP
    return SharpenedOrder(seen, slowest, sp.Integer(0), None, None, hunted)


def _spare(theorem: Theorem, slowest: OrderRun | None) -> sp.Rational:
    claim = theorem.claim
    assert isinstance(claim, Order)
    if slowest is None or claim.growth == "Theta":
        return sp.Integer(0)
    return max(sp.Integer(0), math.floor(-slowest.ratio.high / float(_STEP)) * _STEP)


def _profile(effort: Effort) -> Profile:
    return Profile(effort.examples, effort.steps, effort.examples, effort.steps)


def _hunt(seen: OrderEvidence, effort: Effort, progress: Progress) -> int:
    engines = [name for name in engines_for(seen.theorem) if name != "random"]
    share = hunt_share(effort.hunt, len(engines))
    if share is None:
        return 0
    looked_at = 0
    for number, engine in enumerate(engines, start=1):
        target = Target(seen.theorem, effort.steps)
        hunt = Hunt(target, effort.seed, execute=effort.execute_hunt, workers=effort.workers)
        ledger = hunt.run(engine, share)
        looked_at += ledger.evaluations
        assert isinstance(ledger.evidence, OrderEvidence)
        seen.merge(ledger.evidence)
        progress("hunt", number, len(engines))
    return looked_at


def _take_in(seen: OrderEvidence, instance: Any, system: Any, source: str, seed: int) -> None:
    geometry = system.geometry(instance)

    def longer(steps: int) -> Any:
        return system.measure(instance.with_run(steps=steps), geometry, RECORD_LIMIT)

    weigh(seen, system.measure(instance, geometry, RECORD_LIMIT), source, longer, seed)
