"""The hunt: engines that compete for the hardest instance of a theorem, under one budget and one judge.

Whatever an engine proposes is judged exactly as in a trial, suspects included: a hunt convicts a theorem only by
the certified tier, and a clean hunt is evidence like a clean trial, of the adversarial kind.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bounds import ATTENTION, Theorem
from properties.evidence import evidence_for
from properties.hunt_engines import CovarianceAdaptation, Engine, RandomSampling, Spent, TargetedSampling
from properties.hunt_objective import NOTHING, Hardness, Report, Share, Target, assess_share, divided
from properties.verdict import Counterexample, Evidence

ENGINES = ("random", "target", "cma", "gradient")
#: Instances that an engine keeps.
KEPT = 20

Execute = Callable[[Callable[[Share], Report], list[Share]], Iterator[Report]]


@dataclass(frozen=True)
class Budget:
    """What one engine may use: instances, seconds, or both."""

    evaluations: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Hard:
    """An instance with its hardness, and who found it."""

    instance: Any
    hardness: Hardness
    engine: str
    seed: int


@dataclass(eq=False)
class Ledger:
    """What one engine has found.

    Attributes
    ----------
    records : list of (int, float)
        Number of instances after which the best hardness rose, and to what.
    kept : list of Hard
        The hardest instances, the hardest first.
    attained : Hard or None
        The smallest instance that attains equality on a step that counts; ``equalities`` counts all of them.
    """

    engine: str
    theorem: Theorem
    evaluations: int = 0
    seconds: float = 0.0
    records: list[tuple[int, float]] = field(default_factory=list)
    kept: list[Hard] = field(default_factory=list)
    attained: Hard | None = None
    equalities: int = 0
    evidence: Evidence = field(init=False)

    def __post_init__(self) -> None:
        self.evidence = evidence_for(self.theorem)

    @property
    def best(self) -> float:
        """Hardness of the hardest instance; −∞ if there is none."""
        return self.records[-1][1] if self.records else NOTHING

    def best_within(self, evaluations: int) -> float:
        """The best hardness among the first so many instances."""
        return max((value for count, value in self.records if count <= evaluations), default=NOTHING)

    def enter(self, instance: Any, hardness: Hardness, seed: int) -> None:
        """Account for one instance."""
        self.evaluations += 1
        if instance is None:
            return
        if hardness.equal is not None:
            self.equalities += 1
            if self.attained is None or instance.dataset.X.size < self.attained.instance.dataset.X.size:
                self.attained = Hard(instance, hardness, self.engine, seed)
        if hardness.value == NOTHING:
            return
        if hardness.value > self.best:
            self.records.append((self.evaluations, hardness.value))
        if len(self.kept) < KEPT or hardness.value > self.kept[-1].hardness.value:
            known = {hard.instance.id for hard in self.kept}
            if instance.id not in known:
                self.kept.append(Hard(instance, hardness, self.engine, seed))
                self.kept.sort(key=lambda hard: -hard.hardness.value)
                del self.kept[KEPT:]


class Watcher:
    """Is told of what happens during a hunt.  The default does nothing."""

    def progress(self, ledger: Ledger, budget: Budget) -> None:
        """Some more instances have been assessed."""

    def convicted(self, counterexample: Counterexample) -> None:
        """The certified tier has convicted the theorem."""


def serial(task: Callable[[Share], Report], shares: list[Share]) -> Iterator[Report]:
    """Assess shares one after the other in this process."""
    return (task(share) for share in shares)


@dataclass(eq=False)
class Hunt:
    """One hunt: run engines with `run`; `ledgers` then holds what each has found, also after an interrupt.

    Attributes
    ----------
    target : Target
    seed : int
        The same seed and a budget in instances give the same hunt, whatever executes it.
    execute, workers
        Assesses the shares of a batch and yields the reports in order; number of shares a batch is divided into.
    """

    target: Target
    seed: int
    watcher: Watcher = field(default_factory=Watcher)
    execute: Execute = serial
    workers: int = 1
    ledgers: dict[str, Ledger] = field(default_factory=dict)

    @property
    def counterexample(self) -> Counterexample | None:
        """The first conviction."""
        found = (ledger.evidence.counterexample for ledger in self.ledgers.values())
        return next((c for c in found if c is not None), None)

    @property
    def hardest(self) -> list[Hard]:
        """The hardest instances of all engines, the hardest first, each once."""
        everything = sorted(
            (hard for ledger in self.ledgers.values() for hard in ledger.kept), key=lambda h: -h.hardness.value
        )
        once = {hard.instance.id: hard for hard in reversed(everything)}
        return sorted(once.values(), key=lambda h: -h.hardness.value)

    @property
    def attained(self) -> Hard | None:
        """The smallest instance found that attains equality."""
        found = [ledger.attained for ledger in self.ledgers.values() if ledger.attained is not None]
        return min(found, key=lambda hard: hard.instance.dataset.X.size, default=None)

    def run(self, name: str, budget: Budget) -> Ledger:
        """Let one engine search until its budget is spent or the theorem is convicted."""
        ledger = self.ledgers[name] = Ledger(name, self.target.theorem)
        started = time.perf_counter()

        def evaluate(instances: Sequence[Any]) -> list[float]:
            left = math.inf if budget.evaluations is None else budget.evaluations - ledger.evaluations
            values = self._assess(ledger, list(instances)[: int(min(left, len(instances)))])
            ledger.seconds = time.perf_counter() - started
            self.watcher.progress(ledger, budget)
            late = budget.seconds is not None and ledger.seconds >= budget.seconds
            if late or len(instances) >= left or ledger.evidence.counterexample is not None:
                raise Spent
            return values

        if self.counterexample is None:
            with contextlib.suppress(Spent):
                self.engine(name, budget).search(evaluate)
        return ledger

    def engine(self, name: str, budget: Budget) -> Engine:
        """The engine of a name.  Raises `KeyError` for an unknown one."""
        if name == "gradient":
            from properties.hunt_gradient import GradientAscent

            return GradientAscent(self.target, self.seed, budget.evaluations)
        if name == "cma":
            return CovarianceAdaptation(self.target, self.seed, budget.evaluations)
        if name == "target":
            return TargetedSampling(self.target, self.seed)
        if name == "random":
            return RandomSampling(self.target, self.seed)
        raise KeyError(name)

    def _assess(self, ledger: Ledger, instances: list[Any]) -> list[float]:
        """Hardness of a batch; evidence and records are entered in the batch's order."""
        shares = [
            Share(self.target, part, f"hunt/{ledger.engine}", self.seed)
            for part in divided(instances, self.workers)
        ]
        values: list[float] = []
        for share, report in zip(shares, self.execute(assess_share, shares), strict=True):
            known = ledger.evidence.counterexample
            ledger.evidence.merge(report.evidence)
            for instance, hardness in zip(share.instances, report.hardness, strict=True):
                ledger.enter(instance, hardness, self.seed)
                values.append(hardness.value)
            if known is None and ledger.evidence.counterexample is not None:
                self.watcher.convicted(ledger.evidence.counterexample)
        return values


def engines_for(theorem: Theorem) -> tuple[str, ...]:
    """The engines that can search a theorem's instances."""
    if theorem.system != ATTENTION:
        return ("random", "target")
    from properties.hunt_claims import differentiable

    return ENGINES if differentiable(theorem) else ENGINES[:3]
