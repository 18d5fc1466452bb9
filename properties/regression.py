"""From a baseline to the present statements: what changed, and what all that is kept says of the new form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bounds import Theorem
from properties import corpus
from properties.baseline import Entry
from properties.evidence import evidence_for
from properties.kept import DAMAGED, Kept, judge_kept, take_up
from properties.rejudging import Rejudged, rejudge_runs
from properties.shrinker import shrink
from properties.trial import Execute, Profile, Progress, hold_trial, serial
from properties.verdict import Evidence, PointwiseEvidence

NEW, REMOVED, CHANGED, RENAMED, RETITLED, SAME = (
    "new",
    "removed",
    "changed",
    "renamed",
    "title or status changed",
    "unchanged",
)
KEPT, CORPUS, STORED, FRESH = "a kept counterexample", "the corpus", "a stored run", "the fresh sample"


@dataclass(frozen=True, eq=False)
class Change:
    """What became of one theorem since the baseline.

    Attributes
    ----------
    kind : str
        ``new``, ``removed``, ``changed`` (another statement), ``renamed`` (the same statement under another id),
        ``title or status changed``, or ``unchanged``.
    old : Entry or None
        Its entry in the baseline.
    new : Theorem or None
        Its present form.
    """

    kind: str
    old: Entry | None
    new: Theorem | None

    @property
    def id(self) -> str:
        """The present id, or the last one."""
        if self.new is not None:
            return self.new.id
        assert self.old is not None  # a change has a side
        return self.old.theorem.id


def find_changes(entries: Mapping[str, Entry], theorems: Sequence[Theorem]) -> list[Change]:
    """Compare a baseline with the present theorems, by id and by fingerprint of the statement.

    Files play no part: a theorem that moved from one to another has not changed.
    """
    present = {theorem.id for theorem in theorems}
    gone: dict[str, list[Entry]] = {}
    for id in sorted(entries.keys() - present):
        gone.setdefault(entries[id].theorem.fingerprint, []).append(entries[id])
    changes: list[Change] = []
    for theorem in theorems:
        entry = entries.get(theorem.id)
        if entry is not None:
            kind = SAME if entry.theorem == theorem else RETITLED
            same = entry.theorem.fingerprint == theorem.fingerprint
            changes.append(Change(kind if same else CHANGED, entry, theorem))
        else:
            alike = gone.get(theorem.fingerprint)
            changes.append(Change(RENAMED, alike.pop(0), theorem) if alike else Change(NEW, None, theorem))
    left = sorted((entry for alike in gone.values() for entry in alike), key=lambda entry: entry.theorem.id)
    return changes + [Change(REMOVED, entry, None) for entry in left]


@dataclass(eq=False)
class Retrial:
    """What was seen of one theorem: first of what is kept, then of a fresh sample.

    Attributes
    ----------
    body : Evidence
        All of it.
    kept : list of Kept
        Counterexamples of earlier trials, judged anew.
    stored : Rejudged or None
        What the stored trajectories said; None where none were given, or for claims that are not inequalities.
    found_in : str
        Where the counterexample is from, empty if there is none.
    messages : list of str
        A line for every file that could not be read.
    """

    body: Evidence
    kept: list[Kept] = field(default_factory=list)
    stored: Rejudged | None = None
    found_in: str = ""
    messages: list[str] = field(default_factory=list)


def retry_kept(theorem: Theorem, counterexamples: Path, hardest: Path, runs: Path | None) -> Retrial:
    """Judge a theorem on what is kept: counterexamples, the corpus of hard instances, and stored trajectories.

    One genuine counterexample kills a claim, so nothing is looked at after the first.
    """
    retrial = Retrial(evidence_for(theorem))
    body = retrial.body
    retrial.kept = list(judge_kept(counterexamples, [theorem]))
    retrial.messages += [f"{one.message}; passed over" for one in retrial.kept if one.outcome == DAMAGED]
    if take_up(retrial.kept, {theorem.id: body}):
        retrial.found_in = KEPT
        return retrial
    retrial.messages += corpus.feed(body, hardest)
    if body.counterexample is None and runs is not None and isinstance(body, PointwiseEvidence):
        retrial.stored = rejudge_runs(body, runs)
        retrial.messages += retrial.stored.damaged
    if body.counterexample is not None:
        retrial.found_in = STORED if retrial.stored is not None else CORPUS
        body.counterexample = shrink(body.counterexample)
    return retrial


def retry_fresh(
    retrials: Sequence[Retrial],
    profile: Profile,
    seed: int,
    execute: Execute = serial,
    progress: Progress = lambda done, total: None,
) -> None:
    """Judge the theorems that still stand on a fresh sample, and add what it shows to their evidence."""
    standing = {retrial.body.theorem.id: retrial for retrial in retrials if not retrial.found_in}
    fresh = {id: evidence_for(retrial.body.theorem) for id, retrial in standing.items()}
    try:
        hold_trial(fresh, profile, seed, execute, progress)
    finally:
        for id, retrial in standing.items():
            retrial.body.merge(fresh[id])
            retrial.found_in = FRESH if retrial.body.counterexample is not None else ""
