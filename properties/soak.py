"""The soak: short runs in great number, every pointwise theorem judged on each, every suspect certified.

Derived theorems are proved, so a conviction of one is a fault of the machine or of a proof, and either is news.
"""

from __future__ import annotations

import random
import resource
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bounds import Derived, Theorem
from models.trajectory import RECORD_LIMIT
from properties.judge import NOT_APPLICABLE
from properties.systems import SettingLike, tools
from properties.trial import Unit, run_unit
from properties.verdict import Counterexample, PointwiseEvidence

#: Instances of one unit: few enough that nothing piles up within it.
PORTION = 40
#: Undecided suspects that are kept one by one.
_KEPT = 20


@dataclass
class Tally:
    """What a soak has seen so far.

    Attributes
    ----------
    instances, judgements : int
        Instances drawn; times a theorem spoke about one of them.
    outcomes : Counter
        Judgements by outcome, and those that were not applicable.
    steps : int
        Steps judged.
    suspects, certified, tight : int
        Judgements with a suspect step; those that balls decided; of these, sides that agree to 200 bits.
    undecided : int
        Suspects that balls left open; ``open`` holds the first of them: theorem, step, instance.
    convictions : list of Counterexample
        One a unit and theorem.
    families : Counter
        Instances by family.
    memory : list of int
        Peak memory of the process that ran a unit, in KiB, unit by unit.
    """

    instances: int = 0
    judgements: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    suspects: int = 0
    certified: int = 0
    tight: int = 0
    undecided: int = 0
    open: list[tuple[str, int, Any]] = field(default_factory=list)
    convictions: list[Counterexample] = field(default_factory=list)
    families: Counter[str] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)

    def add(self, body: PointwiseEvidence) -> None:
        """Count the evidence of one unit about one theorem."""
        self.judgements += body.applicable
        self.outcomes += body.outcomes
        self.steps += body.steps
        self.certified += body.certified
        self.tight += body.tight
        self.undecided += len(body.suspected)
        self.suspects += body.certified + len(body.suspected)
        self.open += [(body.theorem.id, step, instance) for instance, step in body.suspected]
        del self.open[_KEPT:]
        if body.counterexample is not None:
            self.convictions.append(body.counterexample)

    def merge(self, other: Tally) -> None:
        """Add what another unit has seen."""
        for name in ("instances", "judgements", "steps", "suspects", "certified", "tight", "undecided"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.outcomes += other.outcomes
        self.families += other.families
        self.open = (self.open + other.open)[:_KEPT]
        self.convictions += other.convictions
        self.memory += other.memory

    @property
    def discoveries(self) -> list[Counterexample]:
        """Convictions of derived theorems."""
        return [found for found in self.convictions if isinstance(found.theorem.status, Derived)]

    @property
    def growth(self) -> float | None:
        """Peak memory at the end relative to that after the first quarter: 1 is flat."""
        quarter = self.memory[: max(1, len(self.memory) // 4)]
        return max(self.memory) / max(quarter) if quarter else None


def cells(theorems: Sequence[Theorem]) -> list[tuple[tuple[Theorem, ...], SettingLike, str]]:
    """Every strategy of every setting, with all theorems of its system."""
    found: dict[tuple[SettingLike, str], tuple[Theorem, ...]] = {}
    for theorem in theorems:
        setting = tools(theorem.system).setting(theorem)
        peers = tuple(other for other in theorems if other.system == theorem.system)
        for family in setting.families():
            found.setdefault((setting, family.name), peers)
    return [(peers, setting, family) for (setting, family), peers in found.items()]


def soak_units(theorems: Sequence[Theorem], instances: int, steps: int, seed: int) -> list[Unit]:
    """Units with ``instances`` instances in all, spread evenly over all strategies, in a random order."""
    places = cells(theorems)
    random.Random(seed).shuffle(places)
    units = []
    for position, (peers, setting, family) in enumerate(places):
        share = instances // len(places) + (position < instances % len(places))
        for portion, first in enumerate(range(0, share, PORTION)):
            count = min(PORTION, share - first)
            unit_seed = (seed * 1_000 + portion) * 10_000 + position
            units.append((portion, Unit(peers, setting, family, count, steps, RECORD_LIMIT, unit_seed)))
    return [unit for _, unit in sorted(units, key=lambda pair: pair[0])]


def soak_unit(unit: Unit) -> Tally:
    """Draw, train and judge the instances of one unit; only counts and convictions are kept."""
    tally = Tally()
    for body in run_unit(unit):
        assert isinstance(body, PointwiseEvidence)
        tally.instances = max(tally.instances, body.instances)
        tally.add(body)
    tally.families[unit.family] += tally.instances
    tally.memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return tally


def spoke(outcomes: Counter[str]) -> dict[str, int]:
    """Outcomes of judgements in which a theorem spoke about an instance."""
    return {name: count for name, count in sorted(outcomes.items()) if name != NOT_APPLICABLE}
