"""Judging limit claims: reached, still approaching, or settled elsewhere.

No finite run refutes a limit.  *Settled elsewhere* is evidence against one, given only where the run has left its
start behind, the extrapolated value stays away from the claimed one, and a run ten times as long agrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import sympy as sp

from bounds import Theorem
from bounds.claims import Tends
from models.attention import Geometry
from models.dataset import Array
from models.instance import Instance
from properties.certify import Finding, refute_limit
from properties.judge import VIOLATED
from properties.measured import Measured
from properties.orders import LONGER, REPEATS, Repeat, follow, has_saturated
from properties.verdict import (
    CONSISTENT,
    EVIDENCE_AGAINST,
    FALSIFIED,
    INCONCLUSIVE,
    VACUOUS_VERDICT,
    Counterexample,
    Evidence,
)
from properties.windows import Windows, last_windows
from properties.wording import extent

#: Distance from the claimed limit that counts as reached (for a direction gap, an angle of 8 degrees).
TOLERANCE = 0.01
REACHED, APPROACHING, TRAPPED, SETTLED_ELSEWHERE, UNMOVED, UNCLEAR = (
    "reached",
    "approaching",
    "trapped for ever",
    "settled elsewhere",
    "still at its start",
    "unclear",
)
#: Of a dataset that was only searched for a trap, without training.
NO_TRAP = "no trap found"
_PLACES = 150  # such datasets kept, of each kind
_STILL = 0.8  # a distance whose extrapolation keeps this share of it is not on its way to zero


@dataclass(frozen=True, eq=False)
class LimitRun:
    """One run held against a limit.

    Attributes
    ----------
    source, instance
        Family and instance.
    outcome : str
        ``reached`` within the tolerance; ``approaching``: nearer in each of the last dyadic windows, towards
        less than four fifths of the present distance; ``trapped for ever``: the trap lemma proves, in ball
        arithmetic, that the direction gap stays away from 0; ``settled elsewhere``, also in a run ten times as
        long; ``still at its start``: the weights have not yet doubled; ``unclear``.
    distance : float
        Largest distance from the limit in the last window (for an infinite limit, the value there).
    extrapolated : float
        Where the distance is heading: a of the fit a + b/log t.
    windows : Windows or None
    last_step : int
    """

    source: str
    instance: Instance
    outcome: str
    distance: float
    extrapolated: float
    windows: Windows
    last_step: int


def hold_against_limit(theorem: Theorem, measurement: Measured, source: str) -> LimitRun | str:
    """Measure one run, or say why the theorem does not speak about it."""
    claim = theorem.claim
    assert isinstance(claim, Tends)
    followed = follow(theorem, claim.quantity, measurement)
    if isinstance(followed, str):
        return followed
    rows, balls = followed
    t, values = measurement.trajectory.t, balls.floats()
    infinite = not sp.sympify(claim.to).is_finite
    distances = values if infinite else np.abs(values - float(claim.to))
    windows = last_windows(t, distances, rows, largest=not infinite)
    if windows is None:
        return "the run is too short, or its hypotheses do not last to its end"
    judge = _towards_infinity if infinite else _towards_zero
    outcome, extrapolated = judge(windows)
    if outcome == SETTLED_ELSEWHERE and not _has_moved(measurement):
        outcome = UNMOVED
    if outcome == SETTLED_ELSEWHERE and not _in_the_end_regime(measurement, windows):
        outcome = UNCLEAR
    return LimitRun(
        source, measurement.instance, outcome, float(windows.values[-1]), extrapolated, windows, int(t[-1])
    )


def _towards_zero(windows: Windows) -> tuple[str, float]:
    distance = windows.values[-1]
    extrapolated = extrapolate(windows)
    if distance <= TOLERANCE:
        return REACHED, extrapolated
    if extrapolated >= _STILL * distance and extrapolated >= 2 * TOLERANCE:
        return SETTLED_ELSEWHERE, extrapolated
    falling = bool((np.diff(windows.values) < 0).all())
    return (APPROACHING if falling and extrapolated < _STILL * distance else UNCLEAR), extrapolated


def _towards_infinity(windows: Windows) -> tuple[str, float]:
    growth = np.diff(windows.values)
    if (growth > 0).all() and growth[-1] >= 0.5 * growth[0]:
        return APPROACHING, float("inf")
    extrapolated = extrapolate(windows)
    settled = abs(windows.values[-1] - windows.values[0]) < 0.02 * abs(windows.values[-1])
    return (SETTLED_ELSEWHERE if settled else UNCLEAR), extrapolated


def limit_counterexample(theorem: Theorem, finding: Finding) -> Counterexample:
    """A proved trap as a counterexample: the instance with the run cut at the certified step."""
    instance = finding.instance.with_run(steps=finding.step)
    return Counterexample(theorem, instance, finding.step, None, finding.precision, finding.small, finding.large)


def extrapolate(windows: Windows) -> float:
    """a of the least-squares fit a + b/log t: what remains if the rest decays as slowly as 1/log t."""
    x: Array = 1.0 / np.log(windows.t)
    return float(np.polyfit(x, windows.values, 1)[1])


def _has_moved(measurement: Measured) -> bool:
    """Whether ‖W‖ is at least twice what it was: GD at saturation may stand still for e^{‖W‖} steps."""
    norm = measurement.trajectory.column("norm")
    return bool(norm[-1] > 0 and norm[-1] >= 2 * norm[0])


def _in_the_end_regime(measurement: Measured, windows: Windows) -> bool:
    """Whether attention has saturated for good: on the optimal tokens, or ever more on a wrong one.

    Neither holds of data with tiny margins for as long as W has not found its direction, however still it looks.
    """
    if not has_saturated(measurement, windows.t[0]):
        return False
    trajectory = measurement.trajectory
    rows = np.searchsorted(trajectory.t, windows.t)
    margins = trajectory.column("margin_min")[rows]
    return bool(margins[0] > 0 or (np.diff(margins) <= 0).all())


@dataclass(eq=False)
class LimitEvidence(Evidence):
    """What has been seen of a limit claim: one `LimitRun` an instance."""

    runs: list[LimitRun] = field(default_factory=list)
    repeats: int = 0
    searched: int = 0  # datasets looked through for traps only, without training
    places: list[tuple[Any, str]] = field(default_factory=list)  # some of them, and what was found

    def add(self, measurement: Measured, source: str, repeat: Repeat, seed: int = 0) -> None:
        """Measure a run; where it has settled elsewhere, once more in a longer run, made by ``repeat``.

        A run that has not reached the limit may be trapped; if that is proved, the claim is false.
        """
        run = hold_against_limit(self.theorem, measurement, source)
        if isinstance(run, str):
            self.pass_over(run)
            return
        self.instances += 1
        self.sources[source] += 1
        self.steps += len(measurement.trajectory)
        if run.outcome != REACHED and self.try_trap(measurement.instance, measurement.geometry, source, seed):
            run = replace(run, outcome=TRAPPED)
        elif run.outcome == SETTLED_ELSEWHERE:
            run = self._again(run, measurement, source, repeat)
        self.outcomes[run.outcome] += 1
        self.last_step = max(self.last_step, run.last_step)
        self.runs.append(run)

    def try_trap(self, instance: Instance, geometry: Geometry, source: str, seed: int) -> bool:
        """Whether this run provably never aligns; the first such run becomes the counterexample."""
        finding = refute_limit(self.theorem, instance, geometry)
        if finding.outcome != VIOLATED:
            return False
        self.broken.append((source, seed))
        self.certified += 1
        if self.counterexample is None:
            self.counterexample = limit_counterexample(self.theorem, finding)
        return True

    def search(self, instance: Instance, geometry: Geometry, source: str, seed: int) -> None:
        """Look for a trap on a dataset that is not trained on."""
        self.searched += 1
        found = self.try_trap(instance, geometry, source, seed)
        self.keep_place(instance, TRAPPED if found else NO_TRAP)

    def keep_place(self, instance: Instance, outcome: str) -> None:
        """Keep a searched dataset, while there are not enough of its kind."""
        if sum(known == outcome for _, known in self.places) < _PLACES:
            self.places.append((instance, outcome))

    def _again(self, run: LimitRun, measurement: Measured, source: str, repeat: Repeat) -> LimitRun:
        if self.repeats >= REPEATS:
            return replace(run, outcome=UNCLEAR)
        self.repeats += 1
        longer = hold_against_limit(self.theorem, repeat(LONGER * measurement.instance.run.steps), source)
        if isinstance(longer, str):
            return replace(run, outcome=UNCLEAR)
        agree = abs(longer.extrapolated - run.extrapolated) <= 0.1 * abs(run.extrapolated)
        return longer if longer.outcome != SETTLED_ELSEWHERE or agree else replace(longer, outcome=UNCLEAR)

    def merge(self, other: Self) -> None:
        super().merge(other)
        self.runs += other.runs
        self.repeats += other.repeats
        self.searched += other.searched
        for instance, outcome in other.places:
            self.keep_place(instance, outcome)

    @property
    def infinite(self) -> bool:
        """Whether the claimed limit is infinite."""
        claim = self.theorem.claim
        assert isinstance(claim, Tends)
        return not sp.sympify(claim.to).is_finite

    @property
    def verdict(self) -> str:
        if self.counterexample is not None:
            return FALSIFIED
        if self.outcomes[SETTLED_ELSEWHERE]:
            return EVIDENCE_AGAINST
        if not self.runs:
            return VACUOUS_VERDICT
        open_ = self.outcomes[UNCLEAR] + self.outcomes[UNMOVED]
        seen = self.outcomes[APPROACHING] if self.infinite else self.outcomes[REACHED]
        return CONSISTENT if seen and not open_ else INCONCLUSIVE

    @property
    def farthest(self) -> LimitRun | None:
        """The run that ended farthest from the limit, among those of the worst outcome."""
        order = (TRAPPED, SETTLED_ELSEWHERE, UNCLEAR, UNMOVED, APPROACHING, REACHED)
        return min(self.runs, key=lambda run: (order.index(run.outcome), -run.distance), default=None)

    @property
    def measured(self) -> str:
        if not self.runs:
            return "–"
        reached = self.outcomes[APPROACHING if self.infinite else REACHED]
        return f"{'growing' if self.infinite else 'reached'} {reached}/{len(self.runs)}"

    @property
    def sentence(self) -> str:
        farthest = self.farthest
        if farthest is None:
            return self.why_vacuous()
        counts = ", ".join(
            f"{name} on {self.outcomes[name]}"
            for name in (REACHED, APPROACHING, TRAPPED, SETTLED_ELSEWHERE, UNMOVED, UNCLEAR)
            if self.outcomes[name]
        )
        within = "" if self.infinite else f" (within {TOLERANCE:g})"
        scope = f"{counts} of {len(self.runs)} runs up to step {self.last_step:,}{within}"
        if self.searched:
            scope += f"; {self.searched:,} more datasets searched for traps"
        if self.counterexample is not None:
            size = extent(self.counterexample.instance.dataset)
            return (
                f"False: on {size} a sequence loses its optimal token for ever and the direction gap stays "
                f"away from 0 (trap lemma, certified); {scope}"
            )
        if self.verdict == EVIDENCE_AGAINST:
            size = extent(farthest.instance.dataset)
            return (
                f"Evidence against: a run on {size} ({farthest.source}) settles at distance "
                f"{farthest.distance:.3g}, and stays there in a run {LONGER} times as long; {scope}"
            )
        word = "Consistent" if self.verdict == CONSISTENT else "Open"
        return f"{word}: {scope}"

    def details(self) -> Mapping[str, Any]:
        farthest = self.farthest
        return {
            "tolerance": TOLERANCE,
            "searched": self.searched,
            "farthest": None
            if farthest is None
            else {
                "family": farthest.source,
                "instance": farthest.instance.to_json(),
                "distance": float(farthest.distance),
                "outcome": farthest.outcome,
            },
        }
