"""Campaigns: very many instances drawn, trained and judged in batches, each batch one file of a store.

A batch depends on nothing but its own description, so that it does not matter who works on it, when, or how often:
the same plan gives the same files.  `ratecheck.campaign` hands batches out and adds up what they say.
"""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import Phase, given, seed
from numpy.typing import NDArray

from bounds import Theorem
from bounds.catalogue import THEOREMS
from models.trajectory import RECORD_LIMIT
from properties.certify import TIGHT
from properties.conviction import examine_suspects
from properties.docket import Docket
from properties.judge import HOLDS, NOT_APPLICABLE, UNDECIDED, VACUOUS, VIOLATED, Judgement
from properties.measured import Measured
from properties.run_columns import Judged, KeptRun
from properties.runs import partition, write_runs
from properties.systems import tools
from properties.tools import SettingLike, family_named
from properties.trial import quiet_settings

#: Runs of one file.
BATCH = 100
#: Times that a family is asked again for instances that it has not given yet.
_ROUNDS = 4
#: Steps kept of a run: all of the first ones, so many a decade, and so many to either side of its worst step.
FIRST_STEPS, PER_DECADE, WINDOW = 8, 12, 8
PHASES = ("draw", "train", "judge", "certify", "store")


@dataclass(frozen=True)
class Share:
    """Instances of one setting and family within a batch."""

    setting: SettingLike
    family: str
    count: int
    seed: int


@dataclass(frozen=True)
class Batch:
    """A file's worth of work.

    Attributes
    ----------
    number : int
    system, rule : str
        The partition: ``rule`` is the system's name where there is no choice of one.
    shares : tuple of Share
    steps : int
    folder : Path
    plan : str
        Digest of the plan that the batch belongs to, which its file carries.
    own : tuple of Theorem
        Theorems to be judged besides those of the catalogue.
    """

    number: int
    system: str
    rule: str
    shares: tuple[Share, ...]
    steps: int
    folder: Path
    plan: str
    own: tuple[Theorem, ...] = ()

    @property
    def path(self) -> Path:
        """The file it becomes."""
        return partition(self.folder, self.system, self.rule) / f"batch-{self.number:06d}.parquet"

    @property
    def said(self) -> dict[str, str]:
        """What the file says of itself."""
        return {"campaign": f"{self.plan}/{self.number}"}


@dataclass
class BatchReport:
    """What working on a batch took.

    Attributes
    ----------
    runs, steps : int
        Runs stored, and steps trained and judged.
    seconds : dict
        Processor time by phase, see `PHASES`.
    memory : int
        Peak memory of the process, in bytes.
    """

    runs: int = 0
    steps: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    memory: int = 0


def plan(
    systems: Sequence[str],
    instances: int,
    steps: int,
    seed: int,
    folder: Path,
    digest: str,
    own: tuple[Theorem, ...] = (),
    choices: Mapping[str, str | None] | None = None,
) -> list[Batch]:
    """Batches of a campaign: its instances spread evenly over settings, step rules, losses and families.

    Parameters
    ----------
    choices : mapping, optional
        ``rule``, ``loss``, ``family``: the only one wanted.

    Returns
    -------
    list of Batch
        Empty if nothing fits the choices.
    """
    wanted = choices or {}
    cells = [cell for system in systems for cell in _cells(system, own, wanted)]
    shares: dict[tuple[str, str], list[Share]] = {}
    for place, (system, rule, setting, family) in enumerate(cells):
        count = instances * (place + 1) // len(cells) - instances * place // len(cells)
        for part in range(0, count, BATCH):
            portion = min(BATCH, count - part)
            shares.setdefault((system, rule), []).append(
                Share(setting, family, portion, _mixed(seed, place, part))
            )
    batches: list[Batch] = []
    for (system, rule), several in shares.items():
        mine = tuple(theorem for theorem in own if theorem.system.name == system)
        for group in _grouped(several):
            batches.append(Batch(len(batches), system, rule, tuple(group), steps, folder, digest, mine))
    return batches


def _cells(
    system: str, own: tuple[Theorem, ...], wanted: Mapping[str, str | None]
) -> Iterator[tuple[str, str, SettingLike, str]]:
    """What instances of a system are drawn from: partition, setting and family."""
    settings = dict.fromkeys(
        variant
        for theorem in judged_theorems(system, own)
        for variant in _variants(tools(theorem.system).setting(theorem))
    )
    for setting in settings:
        rule = getattr(setting, "rule", None) or system
        asked = {"rule": rule, "loss": getattr(setting, "loss", None)}
        if any(wanted.get(name) not in (None, value) for name, value in asked.items()):
            continue
        for family in setting.families():
            if wanted.get("family") in (None, family.name):
                yield system, rule, setting, family.name


def _variants(setting: Any) -> Iterator[SettingLike]:
    """A setting for each step rule and loss that it leaves open, as far as it names them."""
    for rule in getattr(setting, "rules", (None,)):
        chosen = setting if rule is None else replace(setting, rule=rule)
        for loss in getattr(setting, "losses", (None,)):
            yield chosen if loss is None else replace(chosen, loss=loss)


def _grouped(shares: Sequence[Share]) -> Iterator[list[Share]]:
    """Shares together as long as they fit into one file."""
    group: list[Share] = []
    for share in shares:
        if group and sum(other.count for other in group) + share.count > BATCH:
            yield group
            group = []
        group.append(share)
    if group:
        yield group


def _mixed(*numbers: int) -> int:
    """A seed that differs wherever one of the numbers does."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:6], "big")


@lru_cache(maxsize=32)
def judged_theorems(system: str, own: tuple[Theorem, ...] = ()) -> tuple[Theorem, ...]:
    """The pointwise theorems of a system, which a campaign judges."""
    return tuple(
        theorem for theorem in (*THEOREMS, *own) if theorem.system.name == system and theorem.kind == "pointwise"
    )


@lru_cache(maxsize=32)
def _docket(system: str, own: tuple[Theorem, ...]) -> Docket:
    return Docket(judged_theorems(system, own))


# ------------------------------------------------------------------------------------------- one batch
def run_batch(batch: Batch) -> BatchReport:
    """Draw, train, judge and store the instances of one batch.

    Raises
    ------
    StoreError
        If its file cannot be written.
    """
    report, docket = BatchReport(), _docket(batch.system, batch.own)
    kept: dict[str, KeptRun] = {}
    convicted: set[str] = set()
    for share in batch.shares:
        with _timed(report, "draw"):
            drawn = _draw(share, batch.steps, kept.keys())
        for instance in drawn:
            run = _look(instance, share.family, docket, convicted, report)
            if run is not None:
                kept[run.id] = run
    with _timed(report, "store"):
        write_runs(batch.path, list(kept.values()), batch.said)
    report.runs = len(kept)
    report.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return report


class _timed:
    """Adds the processor time of a block to a phase of a report."""

    def __init__(self, report: BatchReport, phase: str) -> None:
        self._report, self._phase = report, phase

    def __enter__(self) -> None:
        self._started = time.process_time()

    def __exit__(self, *_: object) -> None:
        self._report.seconds[self._phase] += time.process_time() - self._started


def _draw(share: Share, steps: int, known: Any) -> list[Any]:
    """Distinct instances, as many as asked for unless the family runs out of them."""
    found: dict[str, Any] = {}
    for round_ in range(_ROUNDS):
        missing = share.count - len(found)
        if missing <= 0:
            break

        @quiet_settings(missing, (Phase.generate,))
        @seed(_mixed(share.seed, round_))
        @given(share.setting.instances(family_named(share.setting, share.family), steps))
        def keep(instance: Any) -> None:
            if instance.id not in known:
                found.setdefault(instance.id, instance)

        keep()
    return list(found.values())[: share.count]


def _look(instance: Any, family: str, docket: Docket, convicted: set[str], report: BatchReport) -> KeptRun | None:
    """Train and judge one instance; None if float64 cannot hold its first step."""
    system = tools(docket.theorems[0].system)
    with _timed(report, "train"):
        measurement = system.measure(instance, system.geometry(instance), RECORD_LIMIT)
    if not len(measurement.trajectory):
        return None
    report.steps += len(measurement.trajectory)
    with _timed(report, "judge"):
        sitting = docket.judge(measurement)
    restarts: dict[int, Any] = {}
    with _timed(report, "certify"):
        judged = [
            _examined(theorem, judgement, measurement, convicted, restarts)
            for theorem, judgement in zip(docket.theorems, sitting.judgements, strict=True)
            if judgement.outcome != NOT_APPLICABLE
        ]
    with _timed(report, "store"):
        return KeptRun.of(family, measurement, sitting.hypotheses, _rows(measurement, judged), judged)


def _examined(
    theorem: Theorem, judgement: Judgement, measurement: Measured, convicted: set[str], restarts: dict[int, Any]
) -> Judged:
    """A judgement with its suspects examined in balls; once a claim is convicted they are only counted."""
    outcome = judgement.outcome
    if outcome not in (VIOLATED, UNDECIDED) or theorem.id in convicted:
        return Judged(theorem.id, outcome, "", judgement)
    said = {finding.outcome for finding in examine_suspects(theorem, judgement, measurement, restarts)}
    if VIOLATED in said:
        convicted.add(theorem.id)
        return Judged(theorem.id, VIOLATED, VIOLATED, judgement)
    if UNDECIDED in said:
        return Judged(theorem.id, UNDECIDED, UNDECIDED, judgement)
    cleared = HOLDS if judgement.informative else VACUOUS
    return Judged(theorem.id, cleared, TIGHT if TIGHT in said else HOLDS, judgement)


def _rows(measurement: Measured, judged: Sequence[Judged]) -> NDArray[np.intp]:
    """Rows to keep: the first and last, log-spaced ones, t0, and all around the run's worst step."""
    t = measurement.trajectory.t
    spaced = np.geomspace(1, max(2, int(t[-1])), 2 + int(PER_DECADE * np.log10(max(2, int(t[-1])))))
    wanted = [np.arange(FIRST_STEPS), spaced.astype(np.int64), t[-1:]]
    if measurement.trajectory.onset is not None:
        wanted.append(np.array([measurement.trajectory.onset]))
    # Where a claim is attained with equality its worst step is anywhere: the worst one of the others says more.
    worst = max(
        (one for one in judged if one.certified != TIGHT),
        key=lambda one: one.judgement.worst_log_ratio,
        default=None,
    )
    rows = np.searchsorted(t, np.concatenate(wanted))
    if worst is not None:
        centre = int(np.searchsorted(t, worst.judgement.worst_step))
        rows = np.concatenate([rows, np.arange(centre - WINDOW, centre + WINDOW + 1)])
    return np.unique(np.clip(rows, 0, t.size - 1))
