"""Running a campaign: batches handed out to an engine, a folder that can be gone on with, verdicts at the end."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bounds import Theorem
from bounds.catalogue import THEOREMS
from properties.campaign import PHASES, Batch, BatchReport, judged_theorems, plan, run_batch
from properties.campaign_store import gather, intact
from properties.shrinker import shrink
from properties.store import StoreError, save, write_atomically
from properties.verdict import FALSIFIED, SETTLED, Verdict
from ratecheck.command import INTERRUPTED, IS_FALSIFIED, NOT_SETTLED, OK, Unusable, reproduce_line
from ratecheck.engine import engine
from ratecheck.terminal import print_verdicts
from ratecheck.versions import versions

SCHEMA = "ratecheck/campaign/1"
MANIFEST = "campaign.json"
MAX_INSTANCES, MAX_STEPS = 1_000_000_000, 10_000_000


@dataclass(frozen=True)
class Order:
    """What a campaign is to do: the same order gives the same store, whoever works on it.

    Attributes
    ----------
    systems : tuple of str
    instances, steps, seed : int
    rule, loss, family : str or None
        The only one wanted.
    """

    systems: tuple[str, ...]
    instances: int = 10_000
    steps: int = 2_000
    seed: int = 0
    rule: str | None = None
    loss: str | None = None
    family: str | None = None

    @classmethod
    def checked(cls, **options: Any) -> Order:
        """Validate options, None standing for what is usual.  Raises `Unusable`, naming the option and the fix."""
        order = cls(**{name: value for name, value in options.items() if value is not None})
        for system in order.systems:
            if not judged_theorems(system):
                able = ", ".join(dict.fromkeys(x.system.name for x in THEOREMS if x.kind == "pointwise"))
                raise Unusable(f"--system {system}: campaigns judge inequalities; choose from {able}")
        if not 1 <= order.instances <= MAX_INSTANCES:
            raise Unusable(f"--instances {order.instances}: give a number from 1 to {MAX_INSTANCES}")
        if not 1 <= order.steps <= MAX_STEPS:
            raise Unusable(f"--steps {order.steps}: give a number from 1 to {MAX_STEPS}")
        if order.seed < 0:
            raise Unusable(f"--seed {order.seed}: give a number that is not negative")
        return order


@dataclass
class CampaignOutcome:
    """What the store says when the campaign stops.

    Attributes
    ----------
    order : Order
    verdicts : list of Verdict
        Empty if it was interrupted.
    batches, found, made : int
        Batches in all, those that were there already, and those made now.
    report : BatchReport
        What those made now took.
    seconds : float
        Wall-clock time.
    """

    order: Order
    folder: Path
    batches: int
    found: int = 0
    made: int = 0
    report: BatchReport = field(default_factory=BatchReport)
    seconds: float = 0.0
    verdicts: list[Verdict] = field(default_factory=list)
    paths: dict[str, str] = field(default_factory=dict)
    reproduce: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """1 if something is falsified, 130 if interrupted, 3 if something is not settled, else 0."""
        if self.interrupted:
            return INTERRUPTED
        names = {verdict.name for verdict in self.verdicts}
        if FALSIFIED in names:
            return IS_FALSIFIED
        return OK if names <= set(SETTLED) else NOT_SETTLED

    def print(self, console: Console) -> None:
        """Verdicts and what they took."""
        if self.interrupted:
            done = self.found + self.made
            console.print(
                f"Interrupted: {done:,} of {self.batches:,} batches are in {self.folder}; "
                "the same command goes on.",
                highlight=False,
                soft_wrap=True,
            )
            return
        print_verdicts(console, self.verdicts, self.reproduce)
        console.print(f"\n{self.sentence}.", highlight=False, soft_wrap=True)

    @property
    def sentence(self) -> str:
        """Where the runs are, and what it took to make them."""
        report = self.report
        said = f"{self.found + self.made:,} batches in {self.folder}"
        if not report.runs or not self.seconds:
            return said
        each = ", ".join(f"{name} {report.seconds[name] / report.runs * 1e3:.1f}" for name in PHASES)
        return (
            f"{said}, {self.made:,} of them made now: {report.runs:,} runs, "
            f"{report.runs / self.seconds:.0f} a second; milliseconds of processor time a run: {each}"
        )

    def as_json(self) -> dict[str, Any]:
        """The result for a program, schema ratecheck/campaign/1."""
        from reports.summary import theorem_result

        return {
            "schema": SCHEMA,
            **asdict(self.order),
            "store": str(self.folder),
            "batches": self.batches,
            "made": self.made,
            "runs_made": self.report.runs,
            "seconds": round(self.seconds, 3),
            "processor_seconds": {name: round(value, 3) for name, value in self.report.seconds.items()},
            "peak_memory_bytes": self.report.memory,
            "damaged": self.damaged,
            "interrupted": self.interrupted,
            "theorems": [
                theorem_result(
                    verdict,
                    counterexample=self.paths.get(verdict.theorem.id),
                    reproduce=self.reproduce.get(verdict.theorem.id),
                )
                for verdict in self.verdicts
            ],
            "versions": versions(),
        }


def run_campaign(
    order: Order,
    folder: Path,
    console: Console,
    own: tuple[Theorem, ...] = (),
    file: Path | None = None,
    engine_name: str = "loky",
    workers: int | None = None,
    scheduler: str | None = None,
    counterexamples: Path = Path("counterexamples"),
) -> CampaignOutcome:
    """Make the batches that the folder lacks, then say what all of them say; progress is shown on ``console``.

    Raises
    ------
    Unusable
        If the folder holds another campaign, or is being worked on.
    StoreError
        If a file cannot be written; what is there stays, and the same command goes on.
    """
    folder = folder.absolute()  # workers have their own current folder
    manifest = _manifest(order, own)
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    choices = {"rule": order.rule, "loss": order.loss, "family": order.family}
    batches = plan(order.systems, order.instances, order.steps, order.seed, folder, digest, own, choices)
    if not batches:
        raise Unusable("no family of data fits --rule, --loss and --family together: leave one of them out")
    outcome = CampaignOutcome(order, folder, len(batches))
    started = time.monotonic()
    with _locked(folder), engine(engine_name, workers, scheduler) as running:
        _begun(folder, manifest)
        missing = _missing(batches, outcome)
        try:
            _make(running.run(run_batch, missing), outcome, missing, console)
        except KeyboardInterrupt:
            outcome.interrupted = True
        outcome.seconds = time.monotonic() - started
        if not outcome.interrupted:
            theorems = [theorem for system in order.systems for theorem in judged_theorems(system, own)]
            outcome.verdicts = [Verdict(body) for body in gather(batches, theorems).values()]
            _keep(outcome, counterexamples, file)
    return outcome


def stored_order(folder: Path) -> Order | None:
    """The order of the campaign in a folder, None if there is none.  Raises `StoreError` if it is damaged."""
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))["order"]
        return Order(**(data | {"systems": tuple(data["systems"])}))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path}: damaged ({type(error).__name__}); choose another --store") from None


def _manifest(order: Order, own: tuple[Theorem, ...]) -> dict[str, Any]:
    theorems = [theorem for system in order.systems for theorem in judged_theorems(system, own)]
    return {
        "schema": SCHEMA,
        "order": asdict(order) | {"systems": list(order.systems)},
        "theorems": {theorem.id: theorem.fingerprint for theorem in theorems},
        "versions": versions(),
    }


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other runners out of a folder; a runner that was killed keeps nobody out."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror}); choose another --store") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unusable(
                f"--store {folder}: another campaign is working there; wait or choose another"
            ) from None
        yield


def _begun(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write down what the folder is for, or make sure that it is for this.  Raises `Unusable`."""
    path = folder / MANIFEST
    if stored_order(folder) is None:
        write_atomically(path, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    there = json.loads(path.read_text(encoding="utf-8"))
    for part in ("order", "theorems", "versions"):
        ours, theirs = manifest[part], there.get(part, {})
        differ = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
        if differ:
            name = differ[0]
            raise Unusable(
                f"--store {folder} holds another campaign: its {part} differ ({name}: {theirs.get(name)} there, "
                f"{ours.get(name)} here); choose another --store, or what was chosen then"
            )
    for leftover in folder.glob("system=*/rule=*/.*.part"):  # of a runner or worker that was killed
        leftover.unlink(missing_ok=True)


def _missing(batches: Sequence[Batch], outcome: CampaignOutcome) -> list[Batch]:
    missing = []
    for batch in batches:
        try:
            whole = intact(batch)
        except StoreError as error:
            sys.stderr.write(f"ratecheck: {error}\n")
            outcome.damaged.append(str(error))
            whole = False
        if not whole:
            missing.append(batch)
    outcome.found = len(batches) - len(missing)
    return missing


def _make(
    reports: Iterator[tuple[int, BatchReport]],
    outcome: CampaignOutcome,
    missing: Sequence[Batch],
    console: Console,
) -> None:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    sizes = [sum(share.count for share in batch.shares) for batch in missing]
    started = time.monotonic()
    with bar:
        task = bar.add_task("instances", total=sum(sizes), speed="")
        for index, report in reports:
            outcome.made += 1
            _add(outcome.report, report)
            speed = outcome.report.runs / max(time.monotonic() - started, 1e-9)
            bar.update(task, advance=sizes[index], speed=f"{speed:,.0f} runs a second")


def _add(total: BatchReport, report: BatchReport) -> None:
    total.runs += report.runs
    total.steps += report.steps
    total.memory = max(total.memory, report.memory)
    for name, value in report.seconds.items():
        total.seconds[name] += value


def _keep(outcome: CampaignOutcome, directory: Path, file: Path | None) -> None:
    """Counterexamples made smaller and saved."""
    for verdict in outcome.verdicts:
        found = verdict.evidence.counterexample
        if found is not None:
            verdict.evidence.counterexample = found = shrink(found)
            path = save(found, directory, versions())
            outcome.paths[found.theorem.id] = str(path)
            outcome.reproduce[found.theorem.id] = reproduce_line(path, file)
