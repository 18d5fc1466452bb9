"""From suspicion to conviction: suspects of a float run examined in balls, and counterexamples made smaller."""

from __future__ import annotations

import contextlib
from typing import Any

import hypothesis
from hypothesis import given
from hypothesis.strategies import SearchStrategy

from bounds import Theorem, ZeroInit
from models.attention import Geometry
from models.instance import Instance
from models.trajectory import RECORD_LIMIT
from properties.certify import Finding, examine, refute_limit, restartable
from properties.judge import MAX_STEPS, VIOLATED, Judgement, judge
from properties.limits import limit_counterexample
from properties.measured import Measured
from properties.systems import tools
from properties.verdict import Counterexample, PointwiseEvidence

#: Steps of balls times pairs, and bits, that the worst run of a falsified claim is worth.
_AFFORDABLE, _WORST_BITS = 100_000, 2048


def consider(body: PointwiseEvidence, measurement: Measured, source: str, seed: int = 0) -> None:
    """Judge one run, have its suspects examined, and count the outcome as evidence."""
    theorem = body.theorem
    judgement = judge(theorem, measurement)
    instance, onset = measurement.instance, measurement.trajectory.onset
    # One certified counterexample is enough: further violations are counted, not examined again.
    known = judgement.outcome == VIOLATED and body.counterexample is not None
    findings = [] if known else examine_suspects(theorem, judgement, measurement)
    solution = getattr(measurement.geometry, "max_margin", None)
    body.add(source, instance, judgement, findings, None if solution is None else solution.gamma)
    convicted = next((f for f in findings if f.outcome == VIOLATED), None)
    if convicted is not None:
        body.broken.append((source, seed))
        if body.counterexample is None:
            body.counterexample = as_counterexample(theorem, convicted, _onset_of(convicted, instance, onset))


def examine_suspects(
    theorem: Theorem, judgement: Judgement, measurement: Measured, restarts: dict[int, Any] | None = None
) -> list[Finding]:
    """Send a judgement's suspects to the certified tier, the earliest first, until one is convicted.

    A violation is replayed from the start where that is affordable, so that the counterexample is a run.  Where
    the replay does not confirm it (an ill-conditioned run drifts from its floats), or for a step inside the error
    budget, a claim that looks back no further is settled at the float run's own state, which is an exact one.

    ``restarts`` keeps what was taken up at which step, for further theorems on the same run.
    """
    known = {} if restarts is None else restarts
    instance, geometry, onset = measurement.instance, measurement.geometry, measurement.trajectory.onset
    findings: list[Finding] = []
    for step in sorted(judgement.suspects):
        start = _restart_from(theorem, step, measurement)
        finding: Finding | None = None
        if start is None or (judgement.outcome == VIOLATED and step <= MAX_STEPS):
            [finding] = examine(theorem, instance, geometry, [step], onset)
        if start is not None and (finding is None or finding.outcome != VIOLATED):
            if start not in known:
                known[start] = tools(theorem.system).restart(instance, start, geometry)
            [finding] = examine(theorem, known[start], geometry, [step - start], 0)
        assert finding is not None
        findings.append(finding)
        if finding.outcome == VIOLATED:
            break
    return findings


def _restart_from(theorem: Theorem, step: int, measurement: Measured) -> int | None:
    """The step whose state may be taken as a new start, because the claim looks no further back."""
    if restartable(theorem):
        return step
    if any(isinstance(a, ZeroInit) for a in theorem.assumes):
        return None
    if theorem.memory <= {"state", "onset"}:
        return measurement.trajectory.onset
    if theorem.memory <= {"state", "decoder"}:
        return getattr(measurement.trajectory, "decoder_onset", None)
    return None


def as_counterexample(theorem: Theorem, finding: Finding, onset: int | None) -> Counterexample:
    """A conviction with the instance trimmed to the step that convicts."""
    instance = finding.instance.with_run(steps=finding.step)
    needs_onset = "onset" in theorem.memory
    return Counterexample(
        theorem,
        instance,
        finding.step,
        onset if needs_onset else None,
        finding.precision,
        finding.small,
        finding.large,
    )


def worst_counterexample(body: PointwiseEvidence) -> Counterexample | None:
    """The largest ratio that a trial saw, as a counterexample of its own, if balls certify it cheaply."""
    theorem, worst = body.theorem, body.worst
    if worst is None or worst.log_ratio <= 0 or worst.step > MAX_STEPS:
        return None
    if worst.step * worst.instance.dataset.N > _AFFORDABLE:
        return None
    system = tools(theorem.system)
    geometry = system.geometry(worst.instance)
    onset = system.measure(worst.instance, geometry, RECORD_LIMIT).trajectory.onset
    [finding] = examine(theorem, worst.instance, geometry, [worst.step], onset, bits=_WORST_BITS)
    return as_counterexample(theorem, finding, onset) if finding.outcome == VIOLATED else None


def smaller_counterexample(
    theorem: Theorem, instances: SearchStrategy[Any], search: hypothesis.settings, seed: int
) -> Counterexample | None:
    """Search again from the same seed and let Hypothesis shrink what breaks; certify the end.

    Returns None if the smallest violation that float64 sees is not one: the caller keeps what it has.
    """
    system = tools(theorem.system)
    smallest: list[tuple[Measured, Judgement]] = []

    @search
    @hypothesis.seed(seed)
    @given(instances)
    def find(instance: Any) -> None:
        measurement = system.measure(instance, system.geometry(instance), RECORD_LIMIT)
        judgement = judge(theorem, measurement)
        if judgement.outcome == VIOLATED and (judgement.suspects[0] <= MAX_STEPS or restartable(theorem)):
            smallest.append((measurement, judgement))
            raise _Broken

    with contextlib.suppress(_Broken):
        find()
    if not smallest:
        return None
    measurement, judgement = smallest[-1]
    instance, onset = measurement.instance, measurement.trajectory.onset
    findings = examine_suspects(theorem, judgement, measurement)
    convicted = next((f for f in findings if f.outcome == VIOLATED), None)
    return (
        None if convicted is None else as_counterexample(theorem, convicted, _onset_of(convicted, instance, onset))
    )


def smaller_trap(
    theorem: Theorem, instances: SearchStrategy[Any], search: hypothesis.settings, seed: int
) -> Counterexample | None:
    """The same for a limit claim refuted by the trap lemma; no training is needed."""
    smallest: list[Finding] = []

    @search
    @hypothesis.seed(seed)
    @given(instances)
    def find(instance: Instance) -> None:
        finding = refute_limit(theorem, instance, Geometry(instance.dataset))
        if finding.outcome == VIOLATED:
            smallest.append(finding)
            raise _Broken

    with contextlib.suppress(_Broken):
        find()
    return limit_counterexample(theorem, smallest[-1]) if smallest else None


def _onset_of(finding: Finding, instance: Instance, onset: int | None) -> int | None:
    """t0 in the run that was replayed: 0 if it was restarted there."""
    return onset if finding.instance is instance else 0


class _Broken(Exception):
    """Raised where a claim is violated, for Hypothesis to shrink."""
