"""Writing and checking the baseline, `bounds.lock.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bounds import Theorem
from bounds.catalogue import THEOREMS, load_file, select
from properties import corpus
from properties.baseline import HARDEST, NAME, Entry, Lock, Result, Settings, read_lock
from properties.evidence import evidence_for
from properties.regression import CHANGED, NEW, REMOVED, RENAMED, SAME, Change, find_changes
from properties.rejudging import record, record_units
from properties.runs import RunStore
from properties.store import StoreError
from properties.trial import Profile, hold_trial
from properties.verdict import Evidence, PointwiseEvidence
from properties.wording import counted
from ratecheck.command import NOT_SETTLED, OK, Unusable
from ratecheck.engine import in_processes
from ratecheck.verify import Request as Trial
from ratecheck.versions import versions

SCHEMA = "ratecheck/lock-result/1"
#: How hard the instances are that a lock names: another measure than a hunt's, which leaves equality cases out.
OBJECTIVE = "log10 of the ratio of the sides, at any step"


def lock_path(lock: Path | None, file: Path | None) -> Path:
    """Where the baseline is: the given path; else ``mine.lock.json`` beside ``mine.py``, or the project's own."""
    if lock is not None:
        return lock
    return Path(NAME) if file is None else file.with_name(f"{file.stem}.lock.json")


def present_theorems(file: Path | None, ids: Sequence[str] | None) -> list[Theorem]:
    """The theorems that a baseline is about: a file's own, or the built-in ones; those of the given ids."""
    return select(load_file(file) if file else THEOREMS, ids or [])


def settings_of(
    theorems: Sequence[Theorem],
    profile: str | None,
    examples: int | None,
    steps: int | None,
    seed: int | None,
    otherwise: Settings | None,
) -> Settings:
    """The settings that options ask for, and where they ask for nothing those of an earlier lock."""
    seed = seed if seed is not None else 0 if otherwise is None else otherwise.seed
    trial = Trial.checked(theorems, profile or "quick", examples, steps, seed, "random", named=True)
    if otherwise is None or profile is not None:
        return Settings.of(trial.profile, seed)
    return Settings(
        otherwise.examples if examples is None else examples,
        otherwise.steps if steps is None else steps,
        min(examples or otherwise.long_examples, otherwise.long_examples),
        otherwise.long_steps,
        seed,
    )


@dataclass
class LockOutcome:
    """What became of the lock."""

    path: Path
    judged: list[Theorem]
    changes: list[Change]
    written: bool
    runs: int = 0
    stored_hard: int = 0

    def print(self, console: Console) -> None:
        """What changed and what was judged, in a few lines."""
        for line in change_lines(self.changes):
            console.print(escape(line), highlight=False, soft_wrap=True)
        said = f"{len(self.judged)} of {len([c for c in self.changes if c.new is not None])} theorems judged"
        console.print(
            f"{said}; {self.path} {'written' if self.written else 'is up to date'}.",
            highlight=False,
            soft_wrap=True,
        )
        if self.stored_hard:
            console.print(f"{self.stored_hard} hard instances kept in the corpus.", highlight=False)
        if self.runs:
            console.print(f"{self.runs} runs stored.", highlight=False)

    def as_json(self) -> dict[str, Any]:
        """What was done, for a program; the lock itself is JSON."""
        return {
            "schema": SCHEMA,
            "lock": str(self.path),
            "theorems": {change.id: change.kind for change in self.changes},
            "judged": [theorem.id for theorem in self.judged],
            "written": self.written,
        }


def change_lines(changes: Sequence[Change]) -> list[str]:
    """A line for every theorem that is not as it was."""
    lines = []
    for change in changes:
        if change.kind == RENAMED and change.old is not None:
            lines.append(f"{change.id}: renamed, was {change.old.theorem.id}; the statement is the same")
        elif change.kind == CHANGED and change.old is not None and change.new is not None:
            lines.append(
                f"{change.id}: the statement changed, from {change.old.theorem.claim} to {change.new.claim}"
                if change.old.theorem.claim != change.new.claim
                else f"{change.id}: the hypotheses or the domain changed"
            )
        elif change.kind != SAME:
            lines.append(f"{change.id}: {change.kind}")
    return lines


def check_lock(
    path: Path, theorems: Sequence[Theorem], whole: bool, console: Console
) -> tuple[int, dict[str, Any]]:
    """Compare a lock with the present statements; says what differs, and returns the exit code and JSON.

    ``whole`` says that the theorems are all there are, so that entries of others are of removed ones.
    """
    lock = read_lock(path)
    changes = find_changes(_entries(lock, theorems, whole), theorems)
    stale = [change for change in changes if change.kind != SAME]
    for line in change_lines(stale):
        console.print(escape(line), highlight=False, soft_wrap=True)
    fix = "`ratecheck lock` brings it up to date, `ratecheck regress` judges what changed"
    said = f"is out of date for {counted(len(stale), 'theorem')}: {fix}" if stale else "is up to date"
    console.print(f"{escape(str(path))} {said}.", highlight=False, soft_wrap=True)
    data = {
        "schema": SCHEMA,
        "lock": str(path),
        "theorems": {change.id: change.kind for change in changes},
        "up_to_date": not stale,
    }
    return NOT_SETTLED if stale else OK, data


def write_lock(
    path: Path,
    theorems: Sequence[Theorem],
    whole: bool,
    options: tuple[str | None, int | None, int | None, int | None],
    everything: bool,
    hardest: Path,
    runs: Path | None,
    console: Console,
) -> LockOutcome:
    """Judge what changed since the lock was written, or everything, and write it anew.

    Raises
    ------
    StoreError
        If the present lock is damaged, or a file cannot be written.
    Unusable
        If only some theorems would be judged with other settings than the rest of the lock.
    """
    present = _present(path, anew=everything and whole)
    before = None if present is None else present.settings
    settings = settings_of(theorems, *options, before)
    other = before is not None and settings != before
    if other and not whole:
        raise Unusable(f"{path} was made with other settings: leave --profile, --examples, --steps and --seed out")
    entries = {} if present is None else _entries(present, theorems, whole)
    changes = find_changes(entries, theorems)
    again = everything or other
    stale = [c.new for c in changes if c.new is not None and (again or c.kind in (NEW, CHANGED))]
    bodies = _judged(stale, settings, console)
    locked = {} if present is None or whole else dict(present.entries)
    for change in changes:
        if change.new is not None:
            old = None if change.old is None else change.old.result
            body = bodies.get(change.id)
            result = Result.of(body) if body is not None else old
            assert result is not None  # what has no result was judged
            locked[change.id] = Entry(change.new, result)
        if change.kind in (REMOVED, RENAMED) and change.old is not None:
            locked.pop(change.old.theorem.id, None)
    new = Lock(settings, locked)
    written = present is None or new.text() != present.text()
    if written:
        new.write(path)
    shown = changes if present is not None else [Change(SAME, None, c.new) for c in changes]
    outcome = LockOutcome(path, stale, shown, written)
    outcome.stored_hard = sum(_keep_hardest(body, hardest, settings.seed) for body in bodies.values())
    if runs is not None:
        outcome.runs = fill(runs, theorems, settings.profile, settings.seed, console)
    return outcome


def _present(path: Path, anew: bool) -> Lock | None:
    """The lock as it is, if there is one; a damaged one is passed over only where all of it is written anew."""
    if not path.exists():
        return None
    try:
        return read_lock(path)
    except StoreError:
        if not anew:
            raise
        return None


def _entries(lock: Lock, theorems: Sequence[Theorem], whole: bool) -> dict[str, Entry]:
    ids = {theorem.id for theorem in theorems}
    return {id: entry for id, entry in lock.entries.items() if whole or id in ids}


def _judged(theorems: Sequence[Theorem], settings: Settings, console: Console) -> dict[str, Evidence]:
    """Nothing but the sample enters the lock: what else is kept differs from machine to machine."""
    bodies = {theorem.id: evidence_for(theorem) for theorem in theorems}
    if bodies:
        with bar(console) as progress:
            task = progress.add_task("trial", total=None)
            hold_trial(
                bodies,
                settings.profile,
                settings.seed,
                in_processes,
                lambda done, total: progress.update(task, completed=done, total=total),
            )
    return bodies


def _keep_hardest(body: Evidence, folder: Path, seed: int) -> int:
    if not isinstance(body, PointwiseEvidence):
        return 0
    theorem = body.theorem
    entries = [
        corpus.Entry(run.instance, run.log_ratio, run.step, OBJECTIVE, theorem.fingerprint, "lock", seed)
        for run in body.hardest
        if abs(run.log_ratio) < float("inf")
    ]
    return len(corpus.save(theorem, OBJECTIVE, entries, folder, versions(), HARDEST)) if entries else 0


def fill(folder: Path, theorems: Sequence[Theorem], profile: Profile, seed: int, console: Console) -> int:
    """Draw, train and store a sample if the folder holds no runs; returns how many were stored."""
    if RunStore(folder).files:
        return 0
    units = record_units(folder, theorems, profile, seed, versions())
    stored = 0
    with bar(console) as progress:
        task = progress.add_task("runs to store", total=len(units))
        for count in in_processes(record, units):
            stored += count
            progress.advance(task)
    return stored


def bar(console: Console) -> Progress:
    """A progress bar."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console, transient=True)
