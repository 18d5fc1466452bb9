"""Judging probability claims: an exact binomial test on independent random data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import numpy as np
import sympy as sp
from flint import arb
from scipy.stats import binomtest

from bounds.claims import Likely
from properties.compiled import Values, compile_expression
from properties.verdict import CONSISTENT, EVIDENCE_AGAINST, INCONCLUSIVE, VACUOUS_VERDICT, Evidence

Key = TypeVar("Key", int, float)

#: Of the intervals, and how far below the claimed probability their lower end may lie.
CONFIDENCE, RESOLUTION = 0.99, 0.01
OCCURS, FAILS, UNDECIDED = "occurs", "fails", "undecided"


def sample_size(confidence: float = CONFIDENCE, resolution: float = RESOLUTION) -> int:
    """Draws without a failure that put the probability above 1 − resolution: ⌈log(α/2)/log(1 − resolution)⌉.

    α/2 because the interval is two-sided.
    """
    return math.ceil(math.log((1 - confidence) / 2) / math.log1p(-resolution))


def exact_interval(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Clopper and Pearson's interval for a binomial proportion.

    References
    ----------
    C. J. Clopper, E. S. Pearson, *The use of confidence or fiducial limits*, Biometrika 26 (1934).
    """
    interval = binomtest(successes, trials).proportion_ci(confidence, method="exact")
    return float(interval.low), float(interval.high)


def decide(relation: sp.core.relational.Relational, values: Values) -> bool | None:
    """A relation in balls: proved, refuted, or None if the balls do not tell."""
    difference = arb(compile_expression(relation.gts)(values)) - arb(compile_expression(relation.lts)(values))
    if relation.rel_op in ("<", ">"):
        return True if difference > 0 else False if difference <= 0 else None
    return True if difference >= 0 else False if difference < 0 else None


@dataclass
class Tally:
    """Draws that share one claimed probability: how many, how often the event occurred, or balls did not tell."""

    occurred: int = 0
    total: int = 0
    undecided: int = 0

    @property
    def interval(self) -> tuple[float, float]:
        """Exact interval of the probability, whatever the undecided draws are."""
        low, high = exact_interval(self.occurred, self.total)
        return low, exact_interval(self.occurred + self.undecided, self.total)[1] if self.undecided else high


@dataclass(eq=False)
class ProbabilityEvidence(Evidence):
    """What has been seen of a probability claim.

    Attributes
    ----------
    tallies : dict
        Draws by claimed probability.
    around : dict
        Draws inside and outside the claim's domain by a number that says where they lie, for the figure.
    ratios : list of float
        Where the event sets two measured quantities of one draw side by side, the one that it says is smaller
        over the other, for each draw.
    """

    tallies: dict[float, Tally] = field(default_factory=dict)
    around: dict[int, Tally] = field(default_factory=dict)
    ratios: list[float] = field(default_factory=list)

    def add(self, values: Values, source: str, place: int | None = None, enclosed: bool = True) -> None:
        """Count one draw; an event that balls do not decide widens the interval to both sides.

        See `properties.tools.Sampler` for the arguments.
        """
        claim = self.theorem.claim
        assert isinstance(claim, Likely)
        event = decide(claim.event, values)
        if place is not None:
            _count(self.around.setdefault(place, Tally()), event)
        if self.theorem.domain is not None and decide(self.theorem.domain, values) is not True:
            self.pass_over("the draw lies outside the claim's domain")
            return
        self.instances += 1
        self.sources[source] += 1
        self.outcomes[OCCURS if event else FAILS if event is False else UNDECIDED] += 1
        self.certified += enclosed and event is not None
        probability = float(arb(compile_expression(sp.sympify(claim.at_least))(values)).mid())
        _count(self.tallies.setdefault(probability, Tally()), event)
        small, large = claim.event.lts, claim.event.gts
        if small.is_Symbol and large.is_Symbol:
            ratio = arb(values[small.name]) / arb(values[large.name])
            self.ratios += [float(ratio.mid())] if ratio.is_finite() else []

    def merge(self, other: Self) -> None:
        super().merge(other)
        _merge(self.tallies, other.tallies)
        _merge(self.around, other.around)
        self.ratios += other.ratios

    @property
    def intervals(self) -> dict[float, tuple[float, float]]:
        """Exact interval of the true probability, by claimed probability."""
        return {p: tally.interval for p, tally in sorted(self.tallies.items())}

    @property
    def median_ratio(self) -> float | None:
        """Median of `ratios`, None without any."""
        return float(np.median(self.ratios)) if self.ratios else None

    @property
    def verdict(self) -> str:
        if not self.tallies:
            return VACUOUS_VERDICT
        intervals = self.intervals
        if any(high < p for p, (_, high) in intervals.items()):
            return EVIDENCE_AGAINST
        enough = all(low >= p - RESOLUTION for p, (low, _) in intervals.items())
        return CONSISTENT if enough else INCONCLUSIVE

    @property
    def measured(self) -> str:
        if not self.tallies:
            return "–"
        occurred = sum(tally.occurred for tally in self.tallies.values())
        ratio = "" if self.median_ratio is None else f", ×{self.median_ratio:.3g}"
        return f"{occurred}/{self.applicable} draws{ratio}"

    @property
    def sentence(self) -> str:
        if not self.tallies:
            return self.why_vacuous()
        parts = [
            f"{self.tallies[p].occurred} of {self.tallies[p].total} draws where {p:g} is claimed (probability "
            f"{low:.4g} to {high:.4g} at {CONFIDENCE:.0%} confidence)"
            for p, (low, high) in self.intervals.items()
        ]
        word = {CONSISTENT: "Consistent", EVIDENCE_AGAINST: "Evidence against"}.get(self.verdict, "Open")
        ratio = "" if self.median_ratio is None else f"; the median ratio of its sides is {self.median_ratio:.7g}"
        return f"{word}: the event occurs in {', '.join(parts)}{ratio}"

    def details(self) -> Mapping[str, Any]:
        return {
            "draws": [
                {
                    "claimed": p,
                    "occurred": self.tallies[p].occurred,
                    "total": self.tallies[p].total,
                    "interval": [low, high],
                }
                for p, (low, high) in self.intervals.items()
            ],
            "around": {str(k): [v.occurred, v.total] for k, v in sorted(self.around.items())},
            "median_ratio": self.median_ratio,
        }


def _count(tally: Tally, event: bool | None) -> None:
    tally.total += 1
    tally.occurred += event is True
    tally.undecided += event is None


def _merge(mine: dict[Key, Tally], theirs: dict[Key, Tally]) -> None:
    for key, tally in theirs.items():
        total = mine.setdefault(key, Tally())
        total.occurred += tally.occurred
        total.total += tally.total
        total.undecided += tally.undecided
