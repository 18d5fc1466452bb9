"""The search for a frontier that stands: corpus, sampling, hunt, and fresh sampling until nothing breaks it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from bounds import Theorem
from bounds.sharper import Sharpening, sharper
from models.trajectory import RECORD_LIMIT
from properties.hunt import Budget, Hunt, engines_for
from properties.hunt import Execute as ExecuteShares
from properties.hunt import serial as serial_shares
from properties.hunt_objective import Target
from properties.sharpen import (
    EQUAL,
    SHIFTS,
    Block,
    Certificate,
    Point,
    Survey,
    SurveyUnit,
    certificate,
    frontier,
    survey,
)
from properties.systems import tools
from properties.trial import MAX_ROUNDS, MOST_SPARE, Profile, Unit, plan

#: A factor is first this many times what was asked of it; the surplus doubles whenever a fresh run asks for more.
SAFETY = 1.02
#: Times that a frontier is raised and tried again on fresh instances.
MOST_RAISED = 8
#: How far the claim that a hunt aims at is from being broken: a conviction would end the hunt.
_LENIENT = 12.0

Execute = Callable[[Callable[[SurveyUnit], Survey], list[SurveyUnit]], Iterator[Survey]]
Progress = Callable[[str, int, int], None]


def serial(task: Callable[[SurveyUnit], Survey], units: list[SurveyUnit]) -> Iterator[Survey]:
    """Survey units one after the other in this process."""
    return (task(unit) for unit in units)


@dataclass(frozen=True)
class Effort:
    """How much is tried.

    Attributes
    ----------
    examples, steps : int
        Applicable instances of each sampling, and steps of each run.
    seed : int
        Sampling to find the frontier has this seed, the fresh ones those after it.
    hunt : Budget
        Of all hunts together; one with neither instances nor seconds is no hunt.
    execute, execute_hunt, workers
        Run units of sampling, and shares of a hunt, of which there are as many as workers.
    """

    examples: int
    steps: int
    seed: int = 0
    hunt: Budget = Budget(evaluations=0)  # noqa: RUF009 - immutable
    execute: Execute = serial
    execute_hunt: ExecuteShares = serial_shares
    workers: int = 1


@dataclass(frozen=True, eq=False)
class Sharpened:
    """What came of it.

    Attributes
    ----------
    points : tuple of Point
        The claims that no run has broken, by rising power of t.
    certificates : tuple of Certificate
        One a point.
    seen, fresh : Survey
        All runs, and those of the last fresh sampling, in which nothing was broken.
    hunted, known : int
        Instances that all hunts looked at, and those of the corpus.
    hunted_fresh : int
        Instances of the last hunt, with a seed of its own, in which nothing was broken; 0 if there was none.
    raised : int
        How often a fresh run, or a fresh hunt, asked for more.
    """

    points: tuple[Point, ...]
    certificates: tuple[Certificate, ...]
    seen: Survey
    fresh: Survey
    hunted: int
    known: int
    hunted_fresh: int
    raised: int

    def block(self, point: Point) -> Block:
        """The run that asks most of a point's factor."""
        block = self.seen.blocks[point.index]
        assert block is not None
        return block

    @property
    def improvements(self) -> tuple[Point, ...]:
        """Claims stronger than the theorem at every step; with a power of t, only if its demand is settled."""
        return tuple(
            point
            for point in self.points
            if (
                self.block(point).settled and point.change.log10 <= 0.0
                if point.index
                else point.change.log10 < 0.0
            )
        )


def sharpen(
    theorem: Theorem,
    effort: Effort,
    corpus: Iterable[Any] = (),
    progress: Progress = lambda what, done, total: None,
) -> Sharpened:
    """Find the sharpest forms of a pointwise theorem that survive a corpus, hunts and fresh sampling.

    What a fresh sample does not break is hunted once more, with that sample's seed.  Each hunt has half of what is
    left of the budget.  The search ends early, with what it has, when the theorem itself is convicted.
    """
    seen = Survey(theorem)
    known = _take_in(seen, corpus, "corpus", effort.seed)
    seen.merge(sample(theorem, effort, effort.seed, (), lambda done, total: progress("sampling", done, total)))
    safety, raised, hunted, hunted_fresh, left = [SAFETY] * len(SHIFTS), 0, 0, 0, effort.hunt
    points = frontier(seen, safety)
    if points and seen.body.counterexample is None:
        left = _half(left)
        hunted = _hunt(seen, points, effort, left, effort.seed, progress)
    while True:
        points = frontier(seen, safety)
        fresh, hunted_fresh = Survey(theorem), 0
        if not points or seen.body.counterexample is not None:
            break
        seed = effort.seed + 1 + raised
        fresh = sample(theorem, effort, seed, points, lambda done, total: progress("fresh", done, total))
        seen.merge(fresh)
        broken = fresh.broken.keys() | fresh.withdrawn
        if not broken and seen.body.counterexample is None:
            left = _half(left)
            hunted_fresh = _hunt(seen, points, effort, left, seed, progress)
            hunted += hunted_fresh
            broken = {point.index for point in points if _block(seen, point).need > point.change.log10 + EQUAL}
        if not broken:
            break
        if raised == MOST_RAISED:
            points = tuple(point for point in points if point.index not in broken)
            break
        raised += 1
        safety = [1.0 + (2.0 if index in broken else 1.0) * (x - 1.0) for index, x in enumerate(safety)]
    certified = {point: certificate(theorem, point, _block(seen, point)) for point in points}
    standing = {point: said for point, said in certified.items() if not said.refuted}
    claims, proofs = tuple(standing), tuple(standing.values())
    return Sharpened(claims, proofs, seen, fresh, hunted, known, hunted_fresh, raised)


def sample(
    theorem: Theorem,
    effort: Effort,
    seed: int,
    points: tuple[Point, ...],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Survey:
    """Draw instances until enough of them are such that the theorem speaks about them, as a trial does."""
    total = Survey(theorem)
    profile = Profile(effort.examples, effort.steps)
    for round_ in range(MAX_ROUNDS):
        missing = effort.examples - total.applicable
        spare = min(total.instances / max(total.applicable, 1), MOST_SPARE) if total.instances else 1.0
        drawn = math.ceil(missing * max(spare, 1.0))
        units = [
            SurveyUnit(unit, points)
            for unit in plan([theorem], profile, seed, round_, {theorem.id: drawn})
            if isinstance(unit, Unit)
        ]
        if not units:
            break
        for done, part in enumerate(effort.execute(survey, units), start=1):
            total.merge(part)
            progress(done, len(units))
    return total


def _take_in(seen: Survey, instances: Iterable[Any], source: str, seed: int) -> int:
    system, count = tools(seen.theorem.system), 0
    for instance in instances:
        seen.add(system.measure(instance, system.geometry(instance), RECORD_LIMIT), source, seed)
        count += 1
    return count


def _hunt(
    seen: Survey, points: Sequence[Point], effort: Effort, budget: Budget, seed: int, progress: Progress
) -> int:
    """Let every engine look for runs that ask more of p = 0 and of the largest power; take in what it finds."""
    # A bound that may be negative is not made weaker by a larger factor: there the theorem itself is the aim.
    ends = (points[0],) if seen.negative else (points[0], points[-1])
    aims = list({point.index: point for point in ends}.values())
    engines = [name for name in engines_for(seen.theorem) if name != "random"]
    parts = len(aims) * len(engines)
    share = hunt_share(budget, parts)
    if share is None:
        return 0
    looked_at = 0
    for number, (aim, engine) in enumerate((aim, engine) for aim in aims for engine in engines):
        aimed = seen.theorem if seen.negative else _lenient(seen.theorem, aim.index)
        target = Target(aimed, effort.steps)
        hunt = Hunt(target, seed, execute=effort.execute_hunt, workers=effort.workers)
        ledger = hunt.run(engine, share)
        looked_at += ledger.evaluations
        _take_in(seen, (hard.instance for hard in ledger.kept), f"hunt/{engine}", seed)
        progress("hunt", number + 1, parts)
    return looked_at


def _half(budget: Budget) -> Budget:
    """Half of a budget: what a hunt is given of what is left, and what is left then."""
    evaluations = None if budget.evaluations is None else budget.evaluations // 2
    return Budget(evaluations, None if budget.seconds is None else budget.seconds / 2)


def hunt_share(budget: Budget, parts: int) -> Budget | None:
    """An equal part of a budget; None if nothing is left of it."""
    evaluations = None if budget.evaluations is None else budget.evaluations // parts
    seconds = None if budget.seconds is None else budget.seconds / parts
    return Budget(evaluations, seconds) if evaluations or seconds else None


def _lenient(theorem: Theorem, index: int) -> Theorem:
    """A claim that is hardest where the point of that index is, but far from broken."""
    factor = sp.Integer(10) ** (int(_LENIENT) if theorem.bound_is_upper else -int(_LENIENT))
    return sharper(theorem, Sharpening(SHIFTS[index], factor, _LENIENT), f"{theorem.id}.lenient")


def _block(seen: Survey, point: Point) -> Block:
    block = seen.blocks[point.index]
    assert block is not None  # a point rests on one
    return block
