"""The trial: instances drawn for each theorem, trained, judged, and every suspicion sent to the certified tier."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from bounds import Theorem, ZeroInit
from models.attention import Geometry, train
from models.instance import Instance
from models.trajectory import Trajectory
from properties.attention import Setting
from properties.certify import Finding, examine, restartable, restarted
from properties.datasets import FAMILIES, Family
from properties.judge import MAX_STEPS, VIOLATED, Judgement, judge
from properties.observables import Measurement
from properties.verdict import Counterexample, Evidence

#: Rounds after which a theorem that still lacks applicable instances is judged on what there is.
MAX_ROUNDS = 5


@dataclass(frozen=True)
class Profile:
    """How much is tried: applicable instances aimed at for each theorem, and steps of each run."""

    examples: int
    steps: int


PROFILES = {
    "quick": Profile(60, 2_000),
    "standard": Profile(400, 10_000),
    "deep": Profile(3_000, 100_000),
}


@dataclass(frozen=True)
class Unit:
    """A share of the work: some theorems of one setting on instances of one family."""

    theorems: tuple[Theorem, ...]
    setting: Setting
    family: str
    examples: int
    steps: int
    seed: int

    @property
    def source(self) -> Family:
        """The family of datasets."""
        return next(family for family in FAMILIES if family.name == self.family)


def plan(
    theorems: Sequence[Theorem], profile: Profile, seed: int, round_: int, missing: dict[str, int]
) -> list[Unit]:
    """Units of one round: theorems grouped by setting, their missing instances spread over the families."""
    groups: dict[Setting, list[Theorem]] = {}
    for theorem in theorems:
        if missing[theorem.id] > 0:
            groups.setdefault(Setting.of(theorem), []).append(theorem)
    units = []
    for setting, group in groups.items():
        families = setting.families()
        wanted = max(missing[theorem.id] for theorem in group)
        each = math.ceil(wanted / len(families))
        for position, family in enumerate(families):
            unit_seed = (seed * 1_000 + round_) * 1_000 + position
            units.append(Unit(tuple(group), setting, family.name, each, profile.steps, unit_seed))
    return units


def run_unit(unit: Unit) -> list[Evidence]:
    """Draw, train and judge the instances of one unit."""
    evidence = {theorem.id: Evidence(theorem) for theorem in unit.theorems}

    @_settings(unit, (Phase.generate,))
    @seed(unit.seed)
    @given(unit.setting.instances(unit.source, unit.steps))
    def observe(instance: Instance) -> None:
        started = time.perf_counter()
        geometry = Geometry(instance.dataset)
        trajectory = train(instance, geometry)
        measurement = Measurement(instance, geometry, trajectory)
        shared = (time.perf_counter() - started) / len(unit.theorems)
        for theorem in unit.theorems:
            started = time.perf_counter()
            body = evidence[theorem.id]
            consider(theorem, measurement, unit.family, body, unit.seed)
            body.seconds += shared + time.perf_counter() - started

    observe()
    return list(evidence.values())


def consider(theorem: Theorem, measurement: Measurement, source: str, body: Evidence, seed: int = 0) -> None:
    """Judge one run, have its suspects examined, and count the outcome as evidence."""
    judgement = judge(theorem, measurement)
    instance, onset = measurement.instance, measurement.trajectory.onset
    # One certified counterexample is enough: further violations are counted, not examined again.
    known = judgement.outcome == VIOLATED and body.counterexample is not None
    findings = [] if known else examine_suspects(theorem, judgement, instance, measurement.geometry, onset)
    body.add(source, instance, judgement, findings)
    convicted = next((f for f in findings if f.outcome == VIOLATED), None)
    if convicted is not None:
        body.broken.append((source, seed))
        if body.counterexample is None:
            body.counterexample = as_counterexample(theorem, convicted, _onset_of(convicted, instance, onset))


def examine_suspects(
    theorem: Theorem, judgement: Judgement, instance: Instance, geometry: Geometry, onset: int | None
) -> list[Finding]:
    """Send a judgement's suspects to the certified tier, the earliest first, until one is convicted.

    A violation is replayed from the start where that is affordable, so that the counterexample is a run.  A
    step inside the error budget of a claim about single states is settled at that state.
    """
    findings: list[Finding] = []
    for step in sorted(judgement.suspects):
        start = _restart_from(theorem, step, onset)
        if start is not None and (judgement.outcome != VIOLATED or step > MAX_STEPS):
            origin = restarted(instance, start, geometry)
            [finding] = examine(theorem, origin, geometry, [step - start], 0)
        else:
            [finding] = examine(theorem, instance, geometry, [step], onset)
        findings.append(finding)
        if finding.outcome == VIOLATED:
            break
    return findings


def _restart_from(theorem: Theorem, step: int, onset: int | None) -> int | None:
    """The step whose W may be taken as a new W_0, because the claim looks no further back."""
    if restartable(theorem):
        return step
    zero = any(isinstance(a, ZeroInit) for a in theorem.assumes)
    return onset if theorem.memory <= {"state", "onset"} and not zero else None


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


def shrink(theorem: Theorem, family: str, steps: int, unit_seed: int, examples: int) -> Counterexample | None:
    """Search the family again from the same seed and let Hypothesis shrink what breaks; certify the end.

    Returns None if the smallest violation that float64 sees is not one: the caller keeps what it has.
    """
    unit = Unit((theorem,), Setting.of(theorem), family, examples, steps, unit_seed)
    smallest: list[tuple[Instance, Judgement, Trajectory]] = []

    @_settings(unit, (Phase.generate, Phase.shrink))
    @seed(unit.seed)
    @given(unit.setting.instances(unit.source, unit.steps))
    def search(instance: Instance) -> None:
        geometry = Geometry(instance.dataset)
        trajectory = train(instance, geometry)
        judgement = judge(theorem, Measurement(instance, geometry, trajectory))
        if judgement.outcome == VIOLATED and (judgement.suspects[0] <= MAX_STEPS or restartable(theorem)):
            smallest.append((instance, judgement, trajectory))
            raise _Broken

    with contextlib.suppress(_Broken):
        search()
    if not smallest:
        return None
    instance, judgement, trajectory = smallest[-1]
    findings = examine_suspects(theorem, judgement, instance, Geometry(instance.dataset), trajectory.onset)
    convicted = next((f for f in findings if f.outcome == VIOLATED), None)
    return (
        None
        if convicted is None
        else as_counterexample(theorem, convicted, _onset_of(convicted, instance, trajectory.onset))
    )


def _onset_of(finding: Finding, instance: Instance, onset: int | None) -> int | None:
    """t0 in the run that was replayed: 0 if it was restarted there."""
    return onset if finding.instance is instance else 0


class _Broken(Exception):
    """Raised where a claim is violated, for Hypothesis to shrink."""


def _settings(unit: Unit, phases: tuple[Phase, ...]) -> settings:
    return settings(
        max_examples=unit.examples,
        phases=phases,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        print_blob=False,
    )


Progress = Callable[[int, int], None]
Execute = Callable[[Callable[[Unit], list[Evidence]], list[Unit]], Iterator[list[Evidence]]]


def serial(task: Callable[[Unit], list[Evidence]], units: list[Unit]) -> Iterator[list[Evidence]]:
    """Run units one after the other in this process."""
    return (task(unit) for unit in units)


def hold_trial(
    evidence: dict[str, Evidence],
    profile: Profile,
    seed: int,
    execute: Execute = serial,
    progress: Progress = lambda done, total: None,
) -> None:
    """Collect evidence until every theorem has its applicable instances, or the rounds are used up.

    Parameters
    ----------
    evidence : dict
        A body of evidence for each theorem id, filled in place: if the trial is interrupted, it holds what has
        been judged until then.
    profile, seed
        The same seed gives the same evidence whatever executes the units, as long as it keeps their order.
    execute
        Runs a function on every unit and yields the results in order.
    """
    theorems = [body.theorem for body in evidence.values()]
    for round_ in range(MAX_ROUNDS):
        missing = {key: profile.examples - body.applicable for key, body in evidence.items()}
        units = plan(theorems, profile, seed, round_, missing)
        if not units:
            break
        for done, bodies in enumerate(execute(run_unit, units), start=1):
            for body in bodies:
                evidence[body.theorem.id].merge(body)
            progress(done, len(units))
    for body in evidence.values():
        minimise(body, profile)


def minimise(body: Evidence, profile: Profile) -> None:
    """Replace a counterexample by the smallest one found from the runs that broke the theorem."""
    if body.counterexample is None:
        return
    order = [family.name for family in FAMILIES]
    for family, unit_seed in sorted(set(body.broken), key=lambda pair: (order.index(pair[0]), pair[1]))[:1]:
        smaller = shrink(body.theorem, family, profile.steps, unit_seed, profile.examples)
        if smaller is not None:
            body.counterexample = smaller
