"""Rigorous judgement of one theorem on one run: every step decided in ball arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from bounds import Theorem
from models.trajectory import RECORD_LIMIT
from properties.certify import LAST_PRECISION, TIGHT, Finding, examine
from properties.conviction import as_counterexample
from properties.hypotheses import failing
from properties.judge import HOLDS, MAX_STEPS, NOT_APPLICABLE, UNDECIDED, VIOLATED
from properties.systems import tools
from properties.verdict import Counterexample


@dataclass(frozen=True, eq=False)
class Certificate:
    """What ball arithmetic says of a theorem at steps 0 … K of one run.

    Attributes
    ----------
    theorem : Theorem
    instance
        With the run cut or prolonged to K steps.
    onset : int or None
        t0 of the float run; positive coefficients are certified from there on, where the claim needs them.
    findings : tuple of Finding
        One a step, in order.
    bits : int
        The highest precision that was allowed.
    reason : str or None
        Which hypothesis on the data or the run fails, if one does.
    """

    theorem: Theorem
    instance: Any
    onset: int | None
    findings: tuple[Finding, ...]
    bits: int
    reason: str | None

    @property
    def counts(self) -> Counter[str]:
        """Steps by outcome."""
        return Counter(finding.outcome for finding in self.findings)

    @property
    def ranges(self) -> dict[str, list[tuple[int, int]]]:
        """First and last step of every stretch of the same outcome, by outcome."""
        found: dict[str, list[tuple[int, int]]] = {}
        for outcome, stretch in groupby(self.findings, key=lambda finding: finding.outcome):
            steps = [finding.step for finding in stretch]
            found.setdefault(outcome, []).append((steps[0], steps[-1]))
        return found

    @property
    def violated(self) -> Finding | None:
        """The first step that violates the claim."""
        return next((finding for finding in self.findings if finding.outcome == VIOLATED), None)

    @property
    def precision(self) -> int:
        """Bits that the decided steps needed."""
        return max((f.precision for f in self.findings if f.outcome != UNDECIDED), default=0)

    @property
    def outcome(self) -> str:
        """``violated``, ``undecided``, ``holds``, ``tight`` (no step holds with room) or ``not applicable``."""
        counts = self.counts
        order = (VIOLATED, UNDECIDED, HOLDS, TIGHT)
        return next((outcome for outcome in order if counts[outcome]), NOT_APPLICABLE)

    @property
    def counterexample(self) -> Counterexample | None:
        """The first violation, to be kept."""
        found = self.violated
        return None if found is None else as_counterexample(self.theorem, found, self.onset)

    @property
    def lines(self) -> Iterator[str]:
        """The outcome in words, a line an outcome."""
        said = {
            HOLDS: "held at {}, certified in balls",
            TIGHT: "attained with equality (to 200 bits) at {}",
            NOT_APPLICABLE: "does not speak about {}: hypotheses or domain do not hold there, certified",
            UNDECIDED: "not decided at {} within " + f"{self.bits} bits",
            VIOLATED: "VIOLATED at {}, certified",
        }
        ranges = self.ranges
        for outcome, words in said.items():
            if outcome in ranges:
                yield words.format(_steps(ranges[outcome]))


def _steps(ranges: list[tuple[int, int]]) -> str:
    shown = [str(a) if a == b else f"{a}–{b}" for a, b in ranges[:6]]
    rest = f" and {len(ranges) - 6} more stretches" if len(ranges) > 6 else ""
    single = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
    return f"step{'' if single else 's'} {', '.join(shown)}{rest}"


def certify(theorem: Theorem, instance: Any, steps: int | None = None, bits: int = LAST_PRECISION) -> Certificate:
    """Decide a pointwise theorem at every step of a run, with one replay for each precision that is needed.

    Parameters
    ----------
    steps : int, optional
        Last step; by default the run's, at most 1000.
    bits : int
        Highest precision.  What it does not decide is undecided.
    """
    last = min(instance.run.steps, MAX_STEPS) if steps is None else steps
    run = instance.with_run(steps=last)
    system = tools(theorem.system)
    geometry = system.geometry(run)
    onset = system.measure(run, geometry, RECORD_LIMIT).trajectory.onset
    findings = examine(theorem, run, geometry, range(last + 1), onset, bits=bits, reach=last)
    return Certificate(theorem, run, onset, tuple(findings), bits, failing(theorem, run, geometry))
