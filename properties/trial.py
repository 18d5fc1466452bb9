"""The trial: instances drawn for each theorem, trained, and judged by the judge of the theorem's kind."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from bounds import ATTENTION, Theorem
from bounds.claims import Sooner
from models.attention import Geometry
from models.instance import Instance
from models.trajectory import RECORD_LIMIT
from properties.attention import Setting
from properties.certify import may_be_refuted
from properties.comparison import DENSE, ComparisonEvidence, Runner, method_run
from properties.conviction import consider, smaller_counterexample, smaller_trap, worst_counterexample
from properties.evidence import evidence_for
from properties.limits import LimitEvidence
from properties.measured import Measured
from properties.orders import OrderEvidence
from properties.probability import ProbabilityEvidence, sample_size
from properties.shrinker import shrink, size
from properties.systems import SettingLike, sampler, tools
from properties.tools import FamilyLike, family_named
from properties.verdict import Evidence, PointwiseEvidence

#: Datasets searched for traps, for each long run that a limit claim is given.
TRAP_SEARCH = 40
#: How many times as many instances are drawn as are missing, where few apply.
MOST_SPARE = 8.0
#: Rounds after which a theorem that still lacks applicable instances is judged on what there is.
MAX_ROUNDS = 5


@dataclass(frozen=True)
class Profile:
    """How much is tried.

    Attributes
    ----------
    examples, steps : int
        Applicable instances aimed at for each pointwise theorem, and steps of each run.
    long_examples, long_steps : int
        The same for claims about what happens as t grows, and for comparisons.
    """

    examples: int
    steps: int
    long_examples: int = 24
    long_steps: int = 2**17


PROFILES = {
    "quick": Profile(60, 2_000, 24, 2**17),
    "standard": Profile(240, 10_000, 200, 2**17),
    "deep": Profile(3_000, 100_000, 1_000, 2**20),
}


@dataclass(frozen=True)
class Unit:
    """A share of the work: some theorems of one setting on instances of one family.

    ``dense`` is the step up to which every step is recorded.
    """

    theorems: tuple[Theorem, ...]
    setting: SettingLike
    family: str
    examples: int
    steps: int
    dense: int
    seed: int

    @property
    def source(self) -> FamilyLike:
        """The family of datasets."""
        family: FamilyLike = family_named(self.setting, self.family)
        return family


@dataclass(frozen=True)
class SampleUnit:
    """A share of the draws for a probability claim."""

    theorem: Theorem
    draws: int
    seed: int


@dataclass(frozen=True)
class TrapUnit:
    """Datasets of one family to be looked through for traps, without training."""

    theorem: Theorem
    setting: SettingLike
    family: FamilyLike
    examples: int
    seed: int


Work = Unit | SampleUnit | TrapUnit


def plan(
    theorems: Sequence[Theorem], profile: Profile, seed: int, round_: int, missing: dict[str, int]
) -> list[Work]:
    """Units of one round: theorems grouped by setting, their missing instances spread over the families."""
    groups: dict[tuple[SettingLike, int, int], list[Theorem]] = {}
    units: list[Work] = []
    for theorem in theorems:
        if missing[theorem.id] <= 0:
            continue
        if theorem.kind == "probability":
            units += [
                SampleUnit(theorem, share, unit_seed)
                for share, unit_seed in _shares(missing, theorem, seed, round_)
            ]
        else:
            groups.setdefault((_setting(theorem), *lengths(theorem, profile)), []).append(theorem)
    for (setting, steps, dense), group in groups.items():
        families = setting.families()
        wanted = max(missing[theorem.id] for theorem in group)
        # Extreme data come on top: they probe the machine, and must not thin out what probes the claim.
        each = math.ceil(wanted / max(1, sum(not family.extreme for family in families)))
        for position, family in enumerate(families):
            unit_seed = (seed * 1_000 + round_) * 1_000 + position
            units.append(Unit(tuple(group), setting, family.name, each, steps, dense, unit_seed))
            if round_ == 0 and family.hostile:
                # Where a limit fails it does so on a small part of the data: search that part more closely.
                examples = TRAP_SEARCH * profile.long_examples
                limits = [theorem for theorem in group if may_be_refuted(theorem)]
                units += [TrapUnit(theorem, setting, family, examples, unit_seed) for theorem in limits]
    return units


def _shares(missing: dict[str, int], theorem: Theorem, seed: int, round_: int) -> Iterator[tuple[int, int]]:
    """The missing draws in portions of at most 200, each with a seed of its own."""
    count = math.ceil(missing[theorem.id] / 200)
    for k in range(count):
        yield math.ceil(missing[theorem.id] / count), (seed * 1_000 + round_) * 1_000 + k


def _setting(theorem: Theorem) -> SettingLike:
    setting = tools(theorem.system).setting(theorem)
    if isinstance(setting, Setting) and isinstance(theorem.claim, Sooner):
        return replace(setting, rule="ngd")  # the drawn run only carries the data and the loss
    return setting


def lengths(theorem: Theorem, profile: Profile) -> tuple[int, int]:
    """Steps of a run, and how many of them are recorded one by one."""
    return (profile.steps, RECORD_LIMIT) if theorem.kind == "pointwise" else (profile.long_steps, DENSE)


def aimed_at(theorem: Theorem, profile: Profile) -> int:
    """Applicable instances that a theorem should have."""
    if theorem.kind == "pointwise":
        return profile.examples
    if theorem.kind == "probability":
        return max(sample_size() * sampler(theorem.system).parts(theorem), profile.examples)
    return profile.long_examples


def _still_to_draw(body: Evidence, profile: Profile) -> int:
    """Instances to draw so that enough apply at the rate seen: at most `MOST_SPARE` times those missing."""
    missing = aimed_at(body.theorem, profile) - body.applicable
    spare = min(body.instances / max(body.applicable, 1), MOST_SPARE) if body.instances else 1.0
    return math.ceil(missing * max(spare, 1.0))


def run_unit(unit: Work) -> list[Evidence]:
    """Draw, train and judge the instances of one unit."""
    if isinstance(unit, SampleUnit):
        return [_draw(unit)]
    if isinstance(unit, TrapUnit):
        return [_search_traps(unit)]
    evidence = {theorem.id: evidence_for(theorem) for theorem in unit.theorems}
    system = tools(unit.theorems[0].system)

    @quiet_settings(unit.examples, (Phase.generate,))
    @seed(unit.seed)
    @given(unit.setting.instances(unit.source, unit.steps))
    def observe(instance: Any) -> None:
        started = time.perf_counter()
        geometry = system.geometry(instance)
        measurement = None
        if any(theorem.kind != "comparison" for theorem in unit.theorems):
            measurement = system.measure(instance, geometry, unit.dense)
        repeat = _Repeat(instance, geometry, unit)
        shared = (time.perf_counter() - started) / len(unit.theorems)
        runner: Runner | None = None
        for theorem in unit.theorems:
            started = time.perf_counter()
            body = evidence[theorem.id]
            if isinstance(body, ComparisonEvidence):
                runner = runner or Runner(instance.dataset, geometry, instance.run.loss, unit.steps)
                body.add(runner, unit.family)
            elif measurement is not None:
                weigh(body, measurement, unit.family, repeat, unit.seed)
            body.seconds += shared + time.perf_counter() - started

    observe()
    return list(evidence.values())


class _Repeat:
    """Longer runs of one instance, each made once however many theorems ask for it."""

    def __init__(self, instance: Any, geometry: Any, unit: Unit) -> None:
        self._instance, self._geometry, self._unit = instance, geometry, unit
        self._done: dict[int, Measured] = {}

    def __call__(self, steps: int) -> Measured:
        if steps not in self._done:
            longer = self._instance.with_run(steps=steps)
            system = tools(self._unit.theorems[0].system)
            self._done[steps] = system.measure(longer, self._geometry, self._unit.dense)
        return self._done[steps]


def weigh(
    body: Evidence, measurement: Measured, source: str, repeat: Callable[[int], Measured], seed: int = 0
) -> None:
    """Let the judge of a theorem's kind look at one run."""
    if isinstance(body, PointwiseEvidence):
        consider(body, measurement, source, seed)
    elif isinstance(body, LimitEvidence):
        body.add(measurement, source, repeat, seed)
    elif isinstance(body, OrderEvidence):
        body.add(measurement, source, repeat)
    else:
        raise TypeError(f"{body.theorem.id}: a {body.theorem.kind} claim is not about one run")


def _draw(unit: SampleUnit) -> Evidence:
    body = evidence_for(unit.theorem)
    assert isinstance(body, ProbabilityEvidence)
    started = time.perf_counter()
    source_of_draws = sampler(unit.theorem.system)
    for values, source, place in source_of_draws.draws(unit.theorem, unit.draws, unit.seed):
        body.add(values, source, place, source_of_draws.enclosed)
    body.seconds += time.perf_counter() - started
    return body


def _search_traps(unit: TrapUnit) -> Evidence:
    body = evidence_for(unit.theorem)
    assert isinstance(body, LimitEvidence)
    started = time.perf_counter()

    @quiet_settings(unit.examples, (Phase.generate,))
    @seed(unit.seed)
    @given(unit.setting.instances(unit.family, 0))
    def look(instance: Any) -> None:
        body.search(instance, tools(unit.theorem.system).geometry(instance), unit.family.name, unit.seed)

    look()
    body.seconds += time.perf_counter() - started
    return body


def quiet_settings(examples: int, phases: tuple[Phase, ...]) -> settings:
    """Hypothesis as a generator: nothing stored, nothing printed, no deadline."""
    return settings(
        max_examples=examples,
        phases=phases,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        print_blob=False,
    )


Progress = Callable[[int, int], None]
Execute = Callable[[Callable[[Work], list[Evidence]], list[Work]], Iterator[list[Evidence]]]


def serial(task: Callable[[Work], list[Evidence]], units: list[Work]) -> Iterator[list[Evidence]]:
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
        missing = {key: _still_to_draw(body, profile) for key, body in evidence.items()}
        units = plan(theorems, profile, seed, round_, missing)
        if not units:
            break
        for done, bodies in enumerate(execute(run_unit, units), start=1):
            for body in bodies:
                evidence[body.theorem.id].merge(body)
            progress(done, len(units))
    for body in evidence.values():
        _minimise(body, profile)
    _cross_examine(evidence)


def _cross_examine(evidence: dict[str, Evidence]) -> None:
    """Try the data that refute one limit claim on the others: a trap does not depend on the step lengths."""
    bodies = [
        body for body in evidence.values() if isinstance(body, LimitEvidence) and body.theorem.system == ATTENTION
    ]
    found = [body.counterexample for body in bodies if body.counterexample is not None]
    for body in bodies:
        if body.counterexample is not None or not may_be_refuted(body.theorem):
            continue
        setting = tools(body.theorem.system).setting(body.theorem)
        for known in found:
            dataset, loss = known.instance.dataset, known.instance.run.loss
            assert isinstance(setting, Setting)
            run = method_run(setting.rule or "ngd", dataset, setting.loss or loss, 0)
            if body.try_trap(Instance(dataset, run), Geometry(dataset), known.theorem.id, 0):
                body.searched += 1
                break


def _minimise(body: Evidence, profile: Profile) -> None:
    """Replace a counterexample by the smallest one found from the runs that broke the theorem.

    Hypothesis shrinks what it drew; then the structure itself is taken apart, each step certified.
    """
    if body.counterexample is None:
        return
    theorem, found = body.theorem, [body.counterexample]
    order = [family.name for family in _setting(theorem).families()]
    drawn = [pair for pair in set(body.broken) if pair[0] in order]  # not from a corpus or another claim
    for family, unit_seed in sorted(drawn, key=lambda pair: (order.index(pair[0]), pair[1]))[:1]:
        count = profile.examples if theorem.kind == "pointwise" else TRAP_SEARCH * profile.long_examples
        unit = Unit((theorem,), _setting(theorem), family, count, *lengths(theorem, profile), unit_seed)
        strategy = unit.setting.instances(unit.source, unit.steps)
        search = partial(quiet_settings, unit.examples, (Phase.generate, Phase.shrink))
        smaller_by_data = smaller_trap if theorem.kind == "limit" else smaller_counterexample
        smaller = smaller_by_data(theorem, strategy, search(), unit.seed)
        found += [] if smaller is None else [smaller]
    body.counterexample = shrink(min(found, key=size))
    if isinstance(body, PointwiseEvidence):
        body.worst_counterexample = worst_counterexample(body)
