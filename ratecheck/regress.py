"""Judging changed theorems against the baseline: what changed, in which direction, and whether it stands."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from bounds import Theorem
from properties.baseline import Lock, Result, Settings, parse_lock, read_lock
from properties.ordering import EQUAL, STRONGER, Ordering, compare_theorems
from properties.regression import (
    CHANGED,
    NEW,
    REMOVED,
    Change,
    Retrial,
    find_changes,
    retry_fresh,
    retry_kept,
)
from properties.store import StoreError, save
from properties.verdict import FALSIFIED, SETTLED
from ratecheck.command import IS_FALSIFIED, NOT_SETTLED, OK, Unusable, reproduce_line
from ratecheck.engine import in_processes
from ratecheck.lock import bar, fill, settings_of
from ratecheck.versions import versions


@dataclass(frozen=True)
class Where:
    """Where things are kept: counterexamples, the corpus, stored runs (if any), and the theorem file (if any)."""

    counterexamples: Path
    corpus: Path
    runs: Path | None
    file: Path | None


@dataclass(eq=False)
class Row:
    """One theorem that is not as it was.

    Attributes
    ----------
    change : Change
    ordering : Ordering or None
        New against old, for a changed statement.
    retrial : Retrial or None
        What was seen of it; None where nothing had to be judged.
    path, replay : str
        Of a counterexample: its file, and the line that replays it.
    """

    change: Change
    ordering: Ordering | None = None
    retrial: Retrial | None = None
    path: str = ""
    replay: str = ""

    @property
    def before(self) -> Result | None:
        """The result in the baseline."""
        return None if self.change.old is None else self.change.old.result

    @property
    def after(self) -> Result | None:
        """The result now; that of the baseline where the statement is the same."""
        if self.retrial is not None:
            return Result.of(self.retrial.body)
        return None if self.change.kind == REMOVED else self.before

    @property
    def falsified(self) -> bool:
        """Whether the present statement has a certified counterexample."""
        return self.retrial is not None and self.retrial.body.verdict == FALSIFIED

    @property
    def weaker(self) -> bool:
        """Whether something that was claimed is not any more, or may not be."""
        if self.change.kind == REMOVED:
            return True
        return self.ordering is not None and self.ordering.order not in (EQUAL, STRONGER)

    @property
    def open(self) -> bool:
        """Whether the trial of the present statement settled nothing."""
        return self.retrial is not None and self.retrial.body.verdict not in (*SETTLED, FALSIFIED)


@dataclass
class Outcome:
    """All that changed, and what it means for the exit code."""

    against: str
    rows: list[Row]
    unchanged: list[Theorem]
    allow_weaker: bool
    settings: Settings
    messages: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 if a changed or new theorem is falsified; 3 if one is not settled or became weaker; else 0."""
        if any(row.falsified for row in self.rows):
            return IS_FALSIFIED
        weaker = not self.allow_weaker and any(row.weaker for row in self.rows)
        return NOT_SETTLED if weaker or any(row.open for row in self.rows) else OK


def run_regress(
    lock: Path,
    revision: str | None,
    theorems: Sequence[Theorem],
    whole: bool,
    options: tuple[str | None, int | None, int | None, int | None],
    where: Where,
    allow_weaker: bool,
    console: Console,
) -> Outcome:
    """Compare the present theorems with the baseline and judge those whose statement is new or changed.

    Parameters
    ----------
    revision : str or None
        Git revision whose lock is the baseline; the lock on disk if absent.
    whole : bool
        Whether the theorems are all that the lock is about.
    options : tuple
        Profile, examples, steps and seed of the fresh sample; the lock's, with the seed after its own, if all are
        absent.

    Raises
    ------
    StoreError, Unusable
        For a lock that is missing or damaged, an unknown revision, or an option that cannot be used.
    """
    baseline = read_lock(lock) if revision is None else lock_of_revision(lock, revision)
    settings = settings_of(theorems, *options, _fresh(baseline.settings))
    ids = {theorem.id for theorem in theorems}
    entries = {id: entry for id, entry in baseline.entries.items() if whole or id in ids}
    changes = find_changes(entries, theorems)
    rows = [Row(change) for change in changes if change.new != (change.old and change.old.theorem)]
    outcome = Outcome(
        against=str(lock) if revision is None else f"{lock.name} of {revision}",
        rows=rows,
        unchanged=[c.new for c in changes if c.new is not None and c.old is not None and c.new == c.old.theorem],
        allow_weaker=allow_weaker,
        settings=settings,
    )
    for row in rows:
        change = row.change
        if change.kind == CHANGED and change.old is not None and change.new is not None:
            row.ordering = compare_theorems(change.old.theorem, change.new)
    _judge(rows, settings, where, console)
    for row in rows:
        if row.retrial is not None:
            outcome.messages += row.retrial.messages
            _keep(row, row.retrial, where)
    for line in outcome.messages:
        sys.stderr.write(f"ratecheck: {line}\n")
    return outcome


def _fresh(settings: Settings) -> Settings:
    """The baseline's settings with another seed: a sample that the old statement has not seen."""
    return Settings.of(settings.profile, settings.seed + 1)


def _judge(rows: Sequence[Row], settings: Settings, where: Where, console: Console) -> None:
    judged = [row for row in rows if row.change.kind in (NEW, CHANGED)]
    theorems = [row.change.new for row in judged if row.change.new is not None]
    if where.runs is not None and theorems:
        fill(where.runs, theorems, settings.profile, settings.seed, console)
    for row, theorem in zip(judged, theorems, strict=True):
        row.retrial = retry_kept(theorem, where.counterexamples, where.corpus, where.runs)
    standing = [row.retrial for row in judged if row.retrial is not None]
    if standing:
        with bar(console) as progress:
            task = progress.add_task("fresh sample", total=None)
            retry_fresh(
                standing,
                settings.profile,
                settings.seed,
                in_processes,
                lambda done, total: progress.update(task, completed=done, total=total),
            )


def _keep(row: Row, retrial: Retrial, where: Where) -> None:
    """Write the counterexample of a falsified theorem."""
    found = retrial.body.counterexample
    if found is None:
        return
    try:
        path = save(found, where.counterexamples, versions())
    except StoreError as error:
        retrial.messages.append(f"{error}; the counterexample of {row.change.id} is in --json only")
        return
    row.path, row.replay = str(path), reproduce_line(path, where.file)


def lock_of_revision(path: Path, revision: str) -> Lock:
    """The lock as it was committed in a git revision.

    Raises
    ------
    Unusable
        If git, the repository, the revision or the lock in it is missing.
    StoreError
        If the lock is damaged.
    """
    if revision.startswith("-") or ":" in revision or not revision.isprintable() or not revision.strip():
        raise Unusable(f"--against {revision}: give a git revision such as HEAD~1, a tag or origin/main")
    folder = path.parent
    where = f"{revision}:./{path.name}"
    try:
        shown = subprocess.run(
            ["git", "show", where], cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False
        )
    except FileNotFoundError:
        if not folder.is_dir():
            raise Unusable(f"{folder}: no such folder; give the lock's path with --lock") from None
        raise Unusable("--against needs git, which was not found; install it or leave --against out") from None
    except UnicodeDecodeError:
        raise StoreError(f"{where}: damaged, not text; commit a lock that `ratecheck lock` has written") from None
    if shown.returncode:
        said = " ".join(shown.stderr.split()).removeprefix("fatal: ")
        fix = f"name a revision that holds {path.name}"
        if "not a git repository" in said:
            said, fix = "the lock is in no git repository", "leave --against out, or name another lock with --lock"
        raise Unusable(f"--against {revision}: {said}; {fix}")
    return parse_lock(shown.stdout, where)
