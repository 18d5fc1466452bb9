"""How much sharper a pointwise bound could be: the envelope of its ratio, and the frontier of factors and powers.

Observables do not depend on the bound, so one run tells of every change of a factor and a power of t at once.
With r(t) = log10(smaller side/larger side), the bound times c t^(−p) survives the step t exactly if
r(t) + p log10 t ≤ log10 c: what is needed of c is the largest such value over all steps of all runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import sympy as sp
from hypothesis import Phase, given, seed
from numpy.typing import NDArray

from bounds import Theorem
from bounds.sharper import Sharpening, leaves_out_the_start, sharper
from models.dataset import Array
from models.trajectory import RECORD_LIMIT
from properties.balls import BallArray, BoolArray
from properties.certify import Finding, examine
from properties.compiled import compile_expression
from properties.conviction import consider, examine_suspects
from properties.hypotheses import applicable_rows, as_balls, failing
from properties.judge import UNDECIDED, VIOLATED, defined_rows, in_domain, judge, log_ratio
from properties.measured import Measured
from properties.observables import Undefined
from properties.systems import tools
from properties.trial import Unit, quiet_settings
from properties.verdict import PointwiseEvidence

#: Powers of t that are tried.
SHIFTS: tuple[sp.Rational, ...] = tuple(sp.Rational(k, 8) for k in range(17))
_POWERS = np.array([float(shift) for shift in SHIFTS])
_LOG10_2 = math.log10(2.0)
#: Demands that differ by less are the same: log10 of a ratio, which is equality where it exceeds 0 by less.
EQUAL = 1e-9
#: Bits, and steps of balls times pairs, that the certificate of a blocking step is worth.
_BITS, _AFFORDABLE = 2048, 200_000


@dataclass(frozen=True, eq=False)
class Envelope:
    """One run against all powers of t.

    Attributes
    ----------
    needs, steps : array, shape (len(SHIFTS),)
        The largest r(t) + p log10 t over steps where both sides are known to three digits, and the first step
        where; −∞ if no step asks anything.
    doubts : array, shape (len(SHIFTS),)
        The same from above within the error budgets, over all steps: what is less than that may be broken.
    negative : bool
        Whether on some step both sides are negative: there a larger factor makes an upper bound smaller.
    last_step : int
    """

    needs: Array
    steps: NDArray[np.int64]
    doubts: Array
    negative: bool
    last_step: int


def envelope(theorem: Theorem, measurement: Measured) -> Envelope | None:
    """The envelope over the steps on which a theorem's sharper forms speak; None if there are none.

    Where step 0 is one of them (`bounds.sharper.sharper`), it counts as step 1.
    """
    rows = len(measurement.trajectory)
    if failing(theorem, measurement.instance, measurement.geometry) is not None or rows == 0:
        return None
    t = measurement.trajectory.t
    try:
        mask = applicable_rows(theorem, measurement)
        if not mask.any():
            return None
        mask = mask & in_domain(theorem, measurement, rows) & defined_rows(theorem, measurement, rows)
        small, large = (as_balls(compile_expression(s)(measurement), rows) for s in (theorem.small, theorem.large))
    except Undefined:
        return None
    mask = mask[:, None] & _spoken_of(theorem, measurement)
    spoken = mask.any(axis=1)
    if not spoken.any():
        return None
    negative = spoken & small.negative() & large.negative()
    asked = mask & (~negative & (small.mid + small.rad > 0.0))[:, None]
    known = asked & (small.accurate() & large.accurate())[:, None]
    powers = _POWERS * np.log10(np.maximum(t, 1))[:, None]
    needs = np.where(known, log_ratio(small, large)[:, None] + powers, -np.inf)
    doubts = np.where(asked, _ratio_from_above(small, large)[:, None] + powers, -np.inf)
    most = needs.max(axis=0)
    return Envelope(
        most,
        t[(needs >= most - EQUAL).argmax(axis=0)],
        doubts.max(axis=0),
        bool(negative.any()),
        int(t[spoken][-1]),
    )


@cache
def _with_a_power(theorem: Theorem) -> Theorem:
    return sharper(theorem, Sharpening(SHIFTS[1], sp.Integer(1), 0.0), f"{theorem.id}.with-a-power")


def _spoken_of(theorem: Theorem, measurement: Measured) -> BoolArray:
    """Steps on which the hypotheses are met and which are not left out, shape (rows, len(SHIFTS)).

    A claim with a power of t looks back to step 0, and so needs its hypotheses from there on.
    """
    later = measurement.trajectory.t >= 1
    plain = applicable_rows(theorem, measurement)
    shifted = plain if "start" in theorem.memory else applicable_rows(_with_a_power(theorem), measurement)
    plain = plain & (later | (not leaves_out_the_start(theorem, SHIFTS[0])))
    shifted = shifted & (later | (not leaves_out_the_start(theorem, SHIFTS[1])))
    return np.stack([plain, *[shifted] * (len(SHIFTS) - 1)], axis=1)


def _ratio_from_above(small: BallArray, large: BallArray) -> Array:
    """log10 of the largest quotient of points of the two balls; ∞ where the larger side may be zero."""
    with np.errstate(all="ignore"):
        quotient = np.log10(small.mid + small.rad) - np.log10(large.mid - large.rad)
    above = quotient + (small.exp2 - large.exp2) * _LOG10_2
    return np.asarray(np.where(np.isnan(above), np.inf, above))


@dataclass(frozen=True, eq=False)
class Block:
    """The step of a run that asks most of the factor for one power of t: no smaller one survives it."""

    need: float
    instance: Any
    step: int
    last_step: int
    source: str
    seed: int

    @property
    def settled(self) -> bool:
        """Whether the run's demand had stopped growing in the first half of its steps."""
        return 2 * self.step <= self.last_step

    def harder(self, other: Block | None) -> bool:
        """Whether it asks more than another block, or as much at less cost of a replay."""
        if other is None or self.need > other.need + EQUAL:
            return True
        return self.need > other.need - EQUAL and self.cost < other.cost

    @property
    def cost(self) -> int:
        """Steps of balls times pairs of its replay."""
        return self.step * int(self.instance.dataset.N)


@dataclass(frozen=True)
class Point:
    """A sharper claim: for the power of t with index ``index`` of `SHIFTS`."""

    index: int
    change: Sharpening
    theorem: Theorem


@dataclass(eq=False)
class Survey:
    """What runs ask of a bound, over any number of them.  Two surveys add up with `merge`.

    Attributes
    ----------
    body : PointwiseEvidence
        The theorem itself, judged on the runs that come close to breaking it.
    instances, applicable : int
        Instances looked at, and those on which the theorem speaks.
    blocks : list of Block or None
        For each power of t the run that asks most.
    rising : array of int
        For each power of t the runs whose demand still grew in the second half.
    broken, unresolved : dict
        By index: how many runs broke the claim that they were held against, and how many left it undecided.
    withdrawn : set of int
        Indices of claims that balls refuted where float64 gives no ratio that a larger factor could be read from.
    """

    theorem: Theorem
    body: PointwiseEvidence = field(init=False)
    instances: int = 0
    applicable: int = 0
    last_step: int = 0
    negative: bool = False
    blocks: list[Block | None] = field(default_factory=lambda: [None] * len(SHIFTS))
    rising: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(SHIFTS), dtype=np.int64))
    broken: dict[int, int] = field(default_factory=dict)
    withdrawn: set[int] = field(default_factory=set)
    unresolved: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.body = PointwiseEvidence(self.theorem)

    def add(self, measurement: Measured, source: str, seed: int, points: Sequence[Point] = ()) -> None:
        """Take in one run, and hold it against sharper claims."""
        self.instances += 1
        found = envelope(self.theorem, measurement)
        if found is None:
            return
        self.applicable += 1
        self.last_step = max(self.last_step, found.last_step)
        self.negative |= found.negative
        self.rising += (2 * found.steps > found.last_step) & np.isfinite(found.needs)
        for index, need in enumerate(found.needs.tolist()):
            step = int(found.steps[index])
            block = Block(need, measurement.instance, step, found.last_step, source, seed)
            if math.isfinite(need) and block.harder(self.blocks[index]):
                self.blocks[index] = block
        if found.doubts[0] > 0.0:
            consider(self.body, measurement, source, seed)
        for point in points:
            self._hold(point, found, measurement)

    def _hold(self, point: Point, found: Envelope, measurement: Measured) -> None:
        index = point.index
        if point.change.changes_nothing or found.doubts[index] <= point.change.log10:
            return
        judgement = judge(point.theorem, measurement)
        if judgement.outcome == VIOLATED and found.needs[index] > point.change.log10:
            _count(self.broken, index, 1)
        elif judgement.outcome in (VIOLATED, UNDECIDED):
            outcomes = {finding.outcome for finding in examine_suspects(point.theorem, judgement, measurement)}
            if VIOLATED in outcomes:
                self.withdrawn.add(index)
            elif UNDECIDED in outcomes:
                _count(self.unresolved, index, 1)

    def merge(self, other: Survey) -> None:
        """Add what another worker has seen."""
        self.body.merge(other.body)
        self.instances += other.instances
        self.applicable += other.applicable
        self.last_step = max(self.last_step, other.last_step)
        self.negative |= other.negative
        self.rising += other.rising
        for index, block in enumerate(other.blocks):
            if block is not None and block.harder(self.blocks[index]):
                self.blocks[index] = block
        for mine, theirs in ((self.broken, other.broken), (self.unresolved, other.unresolved)):
            for index, count in theirs.items():
                _count(mine, index, count)
        self.withdrawn |= other.withdrawn


def _count(counts: dict[int, int], index: int, number: int) -> None:
    counts[index] = counts.get(index, 0) + number


@dataclass(frozen=True)
class SurveyUnit:
    """Instances of one family to be drawn, trained and looked at, and the sharper claims to hold against them."""

    unit: Unit
    points: tuple[Point, ...] = ()


def survey(work: SurveyUnit) -> Survey:
    """Draw and train the instances of one unit."""
    unit = work.unit
    [theorem] = unit.theorems
    system, found = tools(theorem.system), Survey(theorem)

    @quiet_settings(unit.examples, (Phase.generate,))
    @seed(unit.seed)
    @given(unit.setting.instances(unit.source, unit.steps))
    def observe(instance: Any) -> None:
        measurement = system.measure(instance, system.geometry(instance), RECORD_LIMIT)
        found.add(measurement, unit.family, unit.seed, work.points)

    observe()
    return found


def frontier(seen: Survey, safety: Sequence[float]) -> tuple[Point, ...]:
    """The strongest factor of two digits for each power of t, so many times what was asked of it.

    No factor beyond the theorem's own is proposed where that suffices.  Powers end where a claim is not stronger
    than the theorem in the first half of the runs, or would be so only if they stopped asking for more.

    Parameters
    ----------
    safety : sequence of float, length len(SHIFTS)
    """
    points: list[Point] = []
    for index, shift in enumerate(SHIFTS):
        block = seen.blocks[index]
        if block is None or index in seen.withdrawn:
            continue
        allowed = block.need + math.log10(safety[index])
        if index == 0 or block.need <= EQUAL:
            allowed = min(allowed, 0.0)
        change = Sharpening.at_least(seen.theorem, shift, allowed)
        if index > 0 and not _is_stronger(change, block, seen.negative):
            break
        points.append(Point(index, change, sharper(seen.theorem, change, f"{seen.theorem.id}.sharper-{index}")))
    return tuple(points)


def _is_stronger(change: Sharpening, block: Block, negative: bool) -> bool:
    if change.log10 <= 0.0:
        return True
    if negative or not block.settled:
        return False
    stronger_from = math.pow(10.0, min(change.log10 / float(change.shift), 300.0))
    return 2.0 * stronger_from <= block.last_step


@dataclass(frozen=True)
class Certificate:
    """What balls say at a blocking step: of the claim on the frontier, and of the next tighter factor.

    ``tighter`` is that factor; ``blocks`` is true if the claim with it is certified to be violated there.
    """

    holds: Finding | None
    tighter: Sharpening
    violated: Finding | None

    @property
    def refuted(self) -> bool:
        """Whether the claim on the frontier itself is certified to be violated, by less than float64 sees."""
        return self.holds is not None and self.holds.outcome == VIOLATED

    @property
    def blocks(self) -> bool:
        """Whether the tighter claim is certified to be violated."""
        return self.violated is not None and self.violated.outcome == VIOLATED


def certificate(theorem: Theorem, point: Point, block: Block) -> Certificate:
    """Examine a blocking step in ball arithmetic, if the replay is affordable."""
    tighter = point.change.tighter(theorem, min(block.need, point.change.log10) - EQUAL)
    if block.cost > _AFFORDABLE:
        return Certificate(None, tighter, None)
    system = tools(theorem.system)
    geometry = system.geometry(block.instance)
    onset = system.measure(block.instance, geometry, RECORD_LIMIT).trajectory.onset
    below = sharper(theorem, tighter, f"{point.theorem.id}.next")
    holds, violated = (
        examine(claim, block.instance, geometry, [block.step], onset, bits=_BITS)[0]
        for claim in (point.theorem, below)
    )
    return Certificate(holds, tighter, violated)
