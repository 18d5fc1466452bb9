"""Judging comparison claims: hitting times of two methods, paired on the same data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import sympy as sp

from bounds import StepAtMost
from bounds.attention_gd import GD_SETTINGS
from bounds.claims import Sooner
from models.attention import Geometry, train
from models.dataset import TokenDataset
from models.instance import Instance, Run
from models.trajectory import Trajectory
from properties.attention import largest_step, natural_step
from properties.hypotheses import certain_rows, failing
from properties.observables import Measurement, Undefined
from properties.probability import CONFIDENCE, exact_interval
from properties.verdict import CONSISTENT, EVIDENCE_AGAINST, INCONCLUSIVE, VACUOUS_VERDICT, Evidence

#: Every step is recorded up to here, then 400 a decade: a hitting time is known to 0.6 %.
DENSE = 2_000
NEITHER = "neither reaches it"
FIRST, SECOND, BOTH = "first is sooner", "second is sooner", "at the same step"
_GD_LIMIT = {
    "logistic": StepAtMost(1 / GD_SETTINGS[""][1]),
    "exponential": StepAtMost(1 / GD_SETTINGS[".exponential"][1]),
}


@dataclass(frozen=True, eq=False)
class Pair:
    """Hitting times of both methods on one dataset; None where the run ended before (censored)."""

    source: str
    dataset: TokenDataset
    first: int | None
    second: int | None

    @property
    def outcome(self) -> str:
        """Who was sooner; a censored time counts as later than any that was seen."""
        first, second = (np.inf if time is None else time for time in (self.first, self.second))
        if first == second:
            return NEITHER if self.first is None else BOTH
        return FIRST if first < second else SECOND


def method_run(method: str, dataset: TokenDataset, loss: str, steps: int) -> Run:
    """The run of a method with the step size that theory gives it: η = 1/β for GD, about 1/B for normalised GD."""
    if method == "gd":
        return Run("gd", loss, steps, eta=largest_step((_GD_LIMIT[loss],), dataset, loss))
    if method == "ngd":
        return Run("ngd", loss, steps, eta=natural_step("ngd", dataset))
    return Run("polyak", loss, steps, zeta=2.0 if method == "polyak/2" else 1.0)


def hitting_time(event: sp.core.relational.Relational, measurement: Measurement) -> int | None:
    """First recorded step at which the event certainly holds; None if it never does within the run."""
    rows = len(measurement.trajectory)
    if not rows:
        return None
    reached = np.flatnonzero(certain_rows(event, measurement, rows))
    return int(measurement.trajectory.t[reached[0]]) if reached.size else None


class Runner:
    """Trains each method once on a dataset, however many claims ask for it."""

    def __init__(self, dataset: TokenDataset, geometry: Geometry, loss: str, steps: int) -> None:
        self.dataset, self.geometry, self.loss, self.steps = dataset, geometry, loss, steps
        self._done: dict[str, Measurement] = {}

    def measurement(self, method: str) -> Measurement:
        """The measured run of a method."""
        if method not in self._done:
            run = method_run(method, self.dataset, self.loss, self.steps)
            instance = Instance(self.dataset, run)
            trajectory: Trajectory = train(instance, self.geometry, dense=DENSE)
            self._done[method] = Measurement(instance, self.geometry, trajectory)
        return self._done[method]


@dataclass(eq=False)
class ComparisonEvidence(Evidence):
    """What has been seen of a comparison: one `Pair` a dataset."""

    pairs: list[Pair] = field(default_factory=list)

    def add(self, runner: Runner, source: str) -> None:
        """Run both methods on one dataset."""
        claim = self.theorem.claim
        assert isinstance(claim, Sooner)
        first = runner.measurement(claim.first)
        reason = failing(self.theorem, first.instance, runner.geometry)
        if reason is not None:
            self.pass_over(reason)
            return
        try:
            times = [hitting_time(claim.event, runner.measurement(m)) for m in (claim.first, claim.second)]
        except Undefined as error:
            self.pass_over(str(error))
            return
        pair = Pair(source, runner.dataset, *times)
        if pair.outcome == NEITHER:
            self.pass_over(f"neither method reaches it within {runner.steps} steps")
            return
        if pair.outcome == BOTH:
            self.pass_over("both methods reach it at the same step")
            return
        self.instances += 1
        self.sources[source] += 1
        self.outcomes[pair.outcome] += 1
        self.steps += 2 * runner.steps
        self.last_step = max(self.last_step, runner.steps)
        self.pairs.append(pair)

    def merge(self, other: Self) -> None:
        super().merge(other)
        self.pairs += other.pairs

    @property
    def interval(self) -> tuple[float, float]:
        """Exact interval for the probability that the first method is sooner, of datasets that tell them apart."""
        return exact_interval(self.outcomes[FIRST], len(self.pairs))

    @property
    def verdict(self) -> str:
        if not self.pairs:
            return VACUOUS_VERDICT
        low, high = self.interval
        if high < 0.5:
            return EVIDENCE_AGAINST
        return CONSISTENT if low > 0.5 else INCONCLUSIVE

    @property
    def median_ratio(self) -> float | None:
        """Median of second/first hitting time over datasets; censored times stand in with the run's length."""
        ratios = [
            (self.last_step if p.second is None else max(p.second, 1))
            / (self.last_step if p.first is None else max(p.first, 1))
            for p in self.pairs
        ]
        return float(np.median(ratios)) if ratios else None

    @property
    def measured(self) -> str:
        if not self.pairs:
            return "–"
        return f"sooner {self.outcomes[FIRST]}/{len(self.pairs)}, ×{self.median_ratio:.3g}"

    @property
    def sentence(self) -> str:
        claim = self.theorem.claim
        assert isinstance(claim, Sooner)
        if not self.pairs:
            return self.why_vacuous()
        low, high = self.interval
        censored = sum(p.second is None for p in self.pairs)
        late = f", {claim.second} not at all within {self.last_step:,} steps on {censored}" if censored else ""
        word = {CONSISTENT: "Consistent", EVIDENCE_AGAINST: "Evidence against"}.get(self.verdict, "Open")
        return (
            f"{word}: {claim.first} is sooner than {claim.second} on {self.outcomes[FIRST]} of {len(self.pairs)} "
            f"datasets{late} (probability {low:.2f} to {high:.2f} at {CONFIDENCE:.0%} confidence); the "
            f"median ratio of hitting times is {self.median_ratio:.3g}"
        )

    def details(self) -> Mapping[str, Any]:
        return {
            "first_sooner": self.outcomes[FIRST],
            "second_sooner": self.outcomes[SECOND],
            "interval": list(self.interval) if self.pairs else None,
            "median_ratio": self.median_ratio,
        }
