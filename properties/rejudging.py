"""Judging a bound on stored trajectories: evaluation only, many runs at once.

`judge_stack` says of each run what `properties.judge.judge` says of it, which a test holds it to; suspects go
back to that judge and to the certified tier on the instance itself, so that a stored number convicts nobody.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import Phase, given, seed
from numpy.typing import NDArray

from bounds import (
    NOTATION,
    Assumption,
    BelowPath,
    PositiveCoefficients,
    Rule,
    StepAtMost,
    Theorem,
    Throughout,
)
from bounds.catalogue import THEOREMS
from models.dataset import Array
from models.trajectory import RECORD_LIMIT
from properties.balls import BallArray, BoolArray, difference_sign, lift
from properties.compiled import compile_expression
from properties.conviction import consider
from properties.hypotheses import PC_MARGIN, as_balls, certain_rows, check
from properties.judge import log_ratio
from properties.measured import Measured
from properties.run_columns import KeptRun
from properties.runs import DENSE, RunStore, Stack
from properties.systems import tools
from properties.trial import Profile, Unit, plan, quiet_settings
from properties.verdict import PointwiseEvidence

SOURCE = "stored run"
#: Steps evaluated at once: few enough that the arrays stay in a processor's cache.
_AT_ONCE = 1 << 15
#: Suspected runs of one theorem that are trained again and examined, and hardest ones that are.
MOST_SUSPECTS, _HARDEST = 40, 3


@dataclass(frozen=True, eq=False)
class StackJudgement:
    """What the runs of a stack say of a theorem, one entry a run.

    Attributes
    ----------
    steps, informative, violated, undecided : array of int
        As in `properties.judge.Judgement`; a run with no judged step is not applicable.
    log_ratio : array
        Largest log10(smaller side/larger side).
    """

    steps: NDArray[np.int64]
    informative: NDArray[np.int64]
    violated: NDArray[np.int64]
    undecided: NDArray[np.int64]
    log_ratio: Array


@dataclass
class Rejudged:
    """What the stored runs said of a theorem.

    Attributes
    ----------
    runs, applicable : int
        Runs looked at, and those that the theorem speaks about.
    recorded, steps, informative : int
        Recorded steps looked at, judged ones, and those of them where the bound says something.
    log_ratio : float
        The largest log10(smaller side/larger side).
    suspects : int
        Runs with a step that float64 holds for violated, or does not decide.
    seconds : float
        Time of reading and evaluating.
    """

    runs: int = 0
    applicable: int = 0
    recorded: int = 0
    steps: int = 0
    informative: int = 0
    log_ratio: float = -np.inf
    suspects: int = 0
    seconds: float = 0.0
    damaged: list[str] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """Recorded steps a second."""
        return self.recorded / self.seconds if self.seconds else 0.0


def rejudge_runs(body: PointwiseEvidence, folder: Path) -> Rejudged:
    """Judge a pointwise theorem on every stored run; suspects and the hardest runs are added to its evidence.

    Those runs are trained again from their instances, judged, and examined in balls as those of a trial are.
    """
    theorem, store, total = body.theorem, RunStore(folder), Rejudged()
    rules = [a.rule for a in theorem.assumes if isinstance(a, Rule)]
    import pyarrow.parquet  # noqa: F401  loaded before the clock runs

    again: list[tuple[int, float, str, str]] = []
    started = time.perf_counter()
    for stack in store.stacks(theorem.system.name, rules[0] if rules else None, needed(theorem)):
        found = judge_stack(theorem, stack)
        applicable = found.steps > 0
        total.runs += len(stack)
        total.recorded += int(stack.lengths.sum())
        total.applicable += int(applicable.sum())
        total.steps += int(found.steps.sum())
        total.informative += int(found.informative.sum())
        rank = np.where(found.violated > 0, 0, np.where(found.undecided > 0, 1, 2))
        total.suspects += int((applicable & (rank < 2)).sum())
        for place in np.flatnonzero(applicable):
            total.log_ratio = max(total.log_ratio, float(found.log_ratio[place]))
            again.append(
                (int(rank[place]), -float(found.log_ratio[place]), stack.ids[place], stack.instances[place])
            )
    total.seconds = time.perf_counter() - started
    again.sort()
    suspects = [entry for entry in again if entry[0] < 2][:MOST_SUSPECTS]
    for _, _, id, text in [*suspects, *[entry for entry in again if entry[0] == 2][:_HARDEST]]:
        if body.counterexample is not None:
            break  # one genuine counterexample kills a claim
        _look_again(body, id, text, store.damaged)
    total.damaged = store.damaged
    return total


def _look_again(body: PointwiseEvidence, id: str, text: str, damaged: list[str]) -> None:
    system = tools(body.theorem.system)
    try:
        instance = system.instance(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        damaged.append(f"the stored run {id} has a damaged instance ({type(error).__name__}); passed over")
        return
    consider(body, system.measure(instance, system.geometry(instance), RECORD_LIMIT), SOURCE)


def needed(theorem: Theorem) -> set[str]:
    """Observables that have to be read in order to judge a theorem."""
    names = set(theorem.observables)
    if any(isinstance(a, StepAtMost) for a in theorem.assumes):
        names.add("eta")
    if any(isinstance(a, BelowPath) for a in theorem.assumes):
        names |= {"path_loss_gap", "loss_gap"}
    return names


def judge_stack(theorem: Theorem, stack: Stack) -> StackJudgement:
    """Judge every run of a stack at every recorded step."""
    runs, each = len(stack), max(1, _AT_ONCE // stack.width)
    speaks = np.array([_fixed(theorem, stack, run) for run in range(runs)], dtype=np.bool_)
    parts = [_judge(theorem, _slice(stack, k, k + each), speaks[k : k + each]) for k in range(0, runs, each)]
    names = ("steps", "informative", "violated", "undecided", "log_ratio")
    return StackJudgement(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _slice(stack: Stack, start: int, stop: int) -> Stack:
    cut = slice(start, stop)
    balls = {n: BallArray(b.mid[cut], b.rad[cut], b.exp2[cut]) for n, b in stack.observables.items()}
    arrays = {n: getattr(stack, n)[cut] for n in ("t", "lengths", "onset", "decoder_onset", "pc_margin")}
    lists = {n: getattr(stack, n)[cut] for n in ("ids", "instances", "holds", "fails")}
    return replace(
        stack, observables=balls, missing={n: m[cut] for n, m in stack.missing.items()}, **arrays, **lists
    )


def _fixed(theorem: Theorem, stack: Stack, run: int) -> bool:
    """Whether the hypotheses on data and configuration hold, decided anew only where that is not stored."""
    fixed = {a.canonical(): a for a in theorem.assumes if a.level != "trajectory"}
    if fixed.keys() & stack.fails[run]:
        return False
    open_ = [fixed[name] for name in fixed.keys() - stack.holds[run]]
    if not open_:
        return True
    system = tools(theorem.system)
    try:
        instance = system.instance(json.loads(stack.instances[run]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
    geometry = system.geometry(instance)
    return all(check(assumption, instance, geometry).holds for assumption in open_)


def _judge(theorem: Theorem, stack: Stack, speaks: BoolArray) -> StackJudgement:
    shape = (len(stack), stack.width)
    mask = _applicable(theorem, stack) & speaks[:, None]
    if theorem.domain is not None:
        mask = mask & certain_rows(theorem.domain, stack, stack.width)
    for symbol in theorem.relation.free_symbols:
        mask = mask & stack[symbol.name].defined()
    small = as_balls(compile_expression(theorem.small)(stack), stack.width)
    large = as_balls(compile_expression(theorem.large)(stack), stack.width)
    at_least, below = difference_sign(large, small)
    if theorem.strict:
        at_least = (large - small).positive()
    informative = mask & _informative(theorem, stack, small, large)
    with np.errstate(invalid="ignore"):
        ratio = np.where(small.accurate() & large.accurate(), log_ratio(small, large), -np.inf)
    ratio = np.where(mask, np.broadcast_to(ratio, shape), -np.inf)
    return StackJudgement(
        mask.sum(axis=1),
        informative.sum(axis=1),
        (mask & below).sum(axis=1),
        (mask & ~below & ~at_least).sum(axis=1),
        ratio.max(axis=1),
    )


def _applicable(theorem: Theorem, stack: Stack) -> BoolArray:
    """`properties.hypotheses.applicable_rows` for many runs."""
    memory, rows = theorem.memory, stack.recorded
    if "onset" in memory:
        rows = rows & _from(stack, stack.onset)
    if "decoder" in memory:
        rows = rows & _from(stack, stack.decoder_onset)
    for assumption in theorem.assumes:
        if assumption.level != "trajectory":
            continue
        holds, accumulates = _holds(assumption, stack), "start" in memory
        if isinstance(assumption, StepAtMost):
            accumulates = any(NOTATION[s.name].level == "step" for s in assumption.limit.free_symbols)
        rows = rows & (_so_far(np.broadcast_to(holds, rows.shape), stack) if accumulates else holds)
    return rows


def _holds(assumption: Assumption, stack: Stack) -> BoolArray:
    if isinstance(assumption, PositiveCoefficients):
        return np.asarray(stack.pc_margin > PC_MARGIN)
    if isinstance(assumption, BelowPath):
        return difference_sign(stack["path_loss_gap"], stack["loss_gap"])[0]
    if isinstance(assumption, Throughout):
        return certain_rows(assumption.relation, stack, stack.width)
    if isinstance(assumption, StepAtMost):
        return difference_sign(lift(compile_expression(assumption.limit)(stack)), stack["eta"])[0]
    raise TypeError(f"{assumption.name} cannot be decided on stored runs; add it to properties/rejudging.py")


def _from(stack: Stack, onset: NDArray[np.int64]) -> BoolArray:
    return np.asarray((onset[:, None] >= 0) & (stack.t >= onset[:, None]))


def _so_far(holds: BoolArray, stack: Stack) -> BoolArray:
    prefix = np.logical_and.accumulate(holds, axis=1)
    gap = np.diff(stack.t, axis=1, prepend=-1) > 1
    if gap.any():  # what lies between recorded steps was not seen, except that PC held from t0 on
        lasts = (stack.onset >= 0) & (stack.onset <= 1)
        prefix = prefix & (~np.logical_or.accumulate(gap, axis=1) | lasts[:, None])
    return np.asarray(prefix)


def _informative(theorem: Theorem, stack: Stack, small: BallArray, large: BallArray) -> BoolArray:
    level = theorem.trivial_level
    if level is None:
        return np.ones((1, 1), dtype=np.bool_)
    trivial = lift(compile_expression(level)(stack))
    bound = large if theorem.bound_is_upper else small
    difference = trivial - bound if theorem.bound_is_upper else bound - trivial
    absent = np.zeros(len(stack), dtype=np.bool_)
    for symbol in level.free_symbols:
        absent |= stack.missing[symbol.name]
    return np.asarray((difference.mid > 0) | absent[:, None])


# ----------------------------------------------------------------------------------------- filling the store
@dataclass(frozen=True)
class RecordUnit:
    """A share of the recording: the instances of one setting, of all families, written to a store."""

    units: tuple[Unit, ...]
    folder: Path
    versions: tuple[tuple[str, str], ...]


def record_units(
    folder: Path, theorems: Sequence[Theorem], profile: Profile, seed: int, versions: Mapping[str, str]
) -> list[RecordUnit]:
    """The instances that a trial of the pointwise theorems would draw first, to be trained and stored."""
    pointwise = [theorem for theorem in theorems if theorem.kind == "pointwise"]
    units = plan(pointwise, profile, seed, 0, {theorem.id: profile.examples for theorem in pointwise})
    settings: dict[tuple[Theorem, ...], list[Unit]] = {}
    for unit in units:
        if isinstance(unit, Unit):
            settings.setdefault(unit.theorems, []).append(unit)
    return [RecordUnit(tuple(group), folder, tuple(versions.items())) for group in settings.values()]


def record(job: RecordUnit) -> int:
    """Draw, train and store the instances of one setting; returns how many runs were stored."""
    theorems = job.units[0].theorems
    drawn: dict[str, tuple[str, Measured]] = {}
    for unit in job.units:
        _draw(unit, drawn)
    alike = [x for x in THEOREMS if x.system == theorems[0].system and x.kind == "pointwise"]
    fixed = {a.canonical(): a for x in (*alike, *theorems) for a in x.assumes if a.level != "trajectory"}
    runs = [KeptRun.of(family, run, _decided(run, fixed)) for family, run in drawn.values()]
    return RunStore(job.folder).add(runs, dict(job.versions))


def _decided(run: Measured, fixed: Mapping[str, Assumption]) -> dict[str, bool]:
    """Fixed hypotheses, decided now so that later trials need not."""
    return {name: check(a, run.instance, run.geometry).holds for name, a in fixed.items()}


def _draw(unit: Unit, runs: dict[str, tuple[str, Measured]]) -> None:
    system = tools(unit.theorems[0].system)

    @quiet_settings(unit.examples, (Phase.generate,))
    @seed(unit.seed)
    @given(unit.setting.instances(unit.source, unit.steps))
    def observe(instance: Any) -> None:
        if instance.id not in runs:
            measurement = system.measure(instance, system.geometry(instance), DENSE)
            if len(measurement.trajectory):
                runs[instance.id] = (unit.family, measurement)

    observe()
