"""From a certified counterexample to a small one: greedy passes, every accepted step certified anew.

The order is that of `properties.simpler.Size`: fewer tokens and coordinates, an earlier step, fewer non-zero
numbers, plainer numbers.  What is returned is a local minimum: no single proposal of `properties.simpler` makes it
smaller, unless the budget ran out before.  The budget counts work, not time, so the result is the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.dataset import InvalidDataset
from models.instance import InvalidRun
from models.records import RecordInstance
from models.replay import PrecisionLost
from models.trajectory import RECORD_LIMIT
from properties.certify import LAST_PRECISION, examine, refute_limit, restartable
from properties.conviction import as_counterexample
from properties.judge import MAX_STEPS, UNDECIDED, VIOLATED, judge
from properties.limits import limit_counterexample
from properties.simpler import PASSES, Draft, Size
from properties.simpler_records import RECORD_PASSES, RecordDraft
from properties.systems import tools
from properties.verdict import Counterexample

#: Bits at which the certification of a smaller candidate is given up, if the given counterexample did not itself
#: need half as many.
BITS = 1024
#: Steps to which a candidate of fewer tokens is run, however early the larger one breaks.
_REACH = 128


@dataclass(frozen=True)
class Budget:
    """How much may be tried: certifications, candidates, and work (about one a pair and step of balls).

    A trap counts as one certification whether it is found or not.
    """

    certifications: int = 1000
    candidates: int = 3000
    work: int = 300_000


def shrink(counterexample: Counterexample, budget: Budget | None = None) -> Counterexample:
    """The smallest counterexample that greedy passes find from a certified one.

    Parameters
    ----------
    counterexample : Counterexample
        Of a pointwise claim, or of a limit claim refuted by the trap lemma.
    budget : Budget, optional

    Returns
    -------
    Counterexample
        Certified; the given one if nothing smaller is found.
    """
    search = _Search(counterexample, budget or Budget())
    progress = True
    while progress and search.open:
        progress = search.earlier()
        for propose in search.passes:
            while search.open and search.first_of(propose):
                progress = True
    return search.best


def size(counterexample: Counterexample) -> Size:
    """The counterexample's place in the order of the shrinker."""
    return _draft(counterexample.instance).size(counterexample.step)


def _draft(instance: Any) -> Draft | RecordDraft:
    """The parts of an instance, which know what is simpler."""
    return RecordDraft.of(instance) if isinstance(instance, RecordInstance) else Draft.of(instance)


class _Search:
    """The best counterexample so far, and what is left of the budget."""

    def __init__(self, counterexample: Counterexample, budget: Budget) -> None:
        self.best = counterexample
        self.size = size(counterexample)
        self.passes = RECORD_PASSES if isinstance(counterexample.instance, RecordInstance) else PASSES
        self._theorem = counterexample.theorem
        self._system = tools(self._theorem.system)
        self._bits = min(max(BITS, 2 * counterexample.precision), LAST_PRECISION)
        self._left = budget
        self._seen: set[tuple[str, int]] = set()

    @property
    def open(self) -> bool:
        """Whether the budget allows another try."""
        return min(self._left.certifications, self._left.candidates, self._left.work) > 0

    def first_of(self, propose: Any) -> bool:
        """Accept the first proposal that is smaller and still breaks the theorem, if there is one."""
        return any(self.open and self._accepts(draft) for draft in propose(_draft(self.best.instance)))

    def earlier(self) -> bool:
        """Judge the first step that is violated, or take the judged state as a new start."""
        best, theorem = self.best, self._theorem
        if theorem.kind == "limit" or best.step == 0:
            return False
        if not self._affords(best.instance, best.step):
            return False
        geometry = self._system.geometry(best.instance)
        findings = examine(theorem, best.instance, geometry, range(best.step), best.onset, bits=self._bits)
        first = next((finding for finding in findings if finding.outcome == VIOLATED), None)
        if first is not None:
            return self._take(as_counterexample(theorem, first, best.onset))
        if not restartable(theorem):
            return False
        try:
            start = self._system.restart(best.instance, best.step, geometry)
        except InvalidRun:
            return False
        return self._accepts(_draft(start), step=0)

    def _accepts(self, draft: Draft | RecordDraft, step: int | None = None) -> bool:
        """Whether a draft is smaller and certified to break the theorem; it is then the best."""
        fewer = draft.size(0).tokens < self.size.tokens
        reach = max(self.best.step, _REACH) if fewer else self.best.step if step is None else step
        if not fewer and draft.size(reach) >= self.size:
            return False
        try:
            instance = draft.instance().with_run(steps=min(reach, MAX_STEPS))
        except (InvalidDataset, InvalidRun):
            return False
        if (instance.id, reach) in self._seen:
            return False
        self._seen.add((instance.id, reach))
        self._spend(candidates=1, work=instance.dataset.N**2 // 8)  # exact geometry and max-margin solution
        try:
            found = self._refuted(instance) if self._theorem.kind == "limit" else self._convicted(instance)
        except (InvalidDataset, InvalidRun, PrecisionLost, ArithmeticError):
            return False  # numbers beyond what the float run or the solver can hold
        return found is not None and self._take(found)

    def _take(self, found: Counterexample) -> bool:
        reached = size(found)
        if reached >= self.size:
            return False
        self.best, self.size = found, reached
        return True

    def _convicted(self, instance: Any) -> Counterexample | None:
        """The first violation of a run, if float64 suspects one and balls certify it."""
        theorem, geometry = self._theorem, self._system.geometry(instance)
        measurement = self._system.measure(instance, geometry, RECORD_LIMIT)
        judgement = judge(theorem, measurement)
        if judgement.outcome not in (VIOLATED, UNDECIDED):
            return None
        onset = measurement.trajectory.onset
        for step in sorted(judgement.suspects):
            if step > MAX_STEPS or not self._affords(instance, step):
                return None
            [finding] = examine(theorem, instance, geometry, [step], onset, bits=self._bits)
            if finding.outcome == VIOLATED:
                return as_counterexample(theorem, finding, onset)
        return None

    def _refuted(self, instance: Any) -> Counterexample | None:
        """The trap lemma on an instance; it replays its own few steps."""
        if not self._affords(instance, 0):
            return None
        finding = refute_limit(self._theorem, instance, self._system.geometry(instance))
        if finding.outcome != VIOLATED:
            return None
        return limit_counterexample(self._theorem, finding)

    def _affords(self, instance: Any, steps: int) -> bool:
        """Whether a replay is within what is left; it is then spent."""
        N = instance.dataset.N
        cost = (steps + 1) * (N + N * N // 16)  # forces of every pair, and a product with their Gram matrix
        if self._left.certifications < 1 or cost > self._left.work:
            return False
        self._spend(certifications=1, work=cost)
        return True

    def _spend(self, certifications: int = 0, candidates: int = 0, work: int = 0) -> None:
        left = self._left
        self._left = Budget(left.certifications - certifications, left.candidates - candidates, left.work - work)
