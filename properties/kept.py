"""Counterexamples kept from earlier trials: judged again before anything new is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bounds import Theorem
from properties.certify import TIGHT, Finding
from properties.conviction import as_counterexample
from properties.judge import HOLDS, NOT_APPLICABLE, VIOLATED
from properties.limits import limit_counterexample
from properties.shrinker import size
from properties.store import StoreError, load, rejudge
from properties.verdict import Counterexample, Evidence

STILL_FALSIFIED, FIXED, NOT_APPLICABLE_NOW, OPEN, DAMAGED = (
    "still falsified",
    "fixed",
    "not applicable now",
    "undecided",
    "error",
)
_NOW = {VIOLATED: STILL_FALSIFIED, HOLDS: FIXED, TIGHT: FIXED, NOT_APPLICABLE: NOT_APPLICABLE_NOW}


@dataclass(frozen=True, eq=False)
class Kept:
    """One file of the folder, and what became of it.

    Attributes
    ----------
    path : Path
    theorem : str
        Id, empty for a file that could not be read.
    outcome : str
        ``still falsified``: certified anew; ``fixed``: the present claim holds there, or is attained with
        equality; ``not applicable now``: its hypotheses or domain are no longer met; ``undecided``; ``error``.
    changed : bool
        Whether the claim has changed since the file was written.
    message : str
        What is wrong with the file.
    counterexample : Counterexample or None
        Certified anew, where the claim is still falsified.
    """

    path: Path
    theorem: str
    outcome: str
    changed: bool = False
    message: str = ""
    counterexample: Counterexample | None = None

    def to_json(self) -> dict[str, Any]:
        """The entry of ``kept`` in the result of a trial."""
        return {
            "path": str(self.path),
            "theorem": self.theorem or None,
            "outcome": self.outcome,
            "changed_since": self.changed,
            "message": self.message or None,
        }


def judge_kept(folder: Path, theorems: Sequence[Theorem]) -> Iterator[Kept]:
    """Judge the counterexamples in a folder that belong to the given theorems, in the order of their names.

    Files of other theorems are passed over; one that cannot be read, or fails to be judged, is an ``error``.
    """
    known = {theorem.id: theorem for theorem in theorems}
    for path in sorted(folder.glob("*.json")):
        try:
            stored = load(path)
        except StoreError as error:
            yield Kept(path, "", DAMAGED, message=str(error))
            continue
        theorem = known.get(stored.theorem)
        if theorem is None:
            continue
        changed = stored.fingerprint != theorem.fingerprint
        try:
            finding = rejudge(stored, theorem)
        except StoreError as error:
            yield Kept(path, theorem.id, NOT_APPLICABLE_NOW, changed, str(error))
        except Exception as error:  # whatever an instance from a file does, it must not end the trial
            message = f"{path}: cannot be judged ({type(error).__name__}: {' '.join(str(error).split())})"
            yield Kept(path, theorem.id, DAMAGED, changed, message)
        else:
            outcome = _NOW.get(finding.outcome, OPEN)
            found = _again(theorem, finding, stored.onset) if outcome == STILL_FALSIFIED else None
            yield Kept(path, theorem.id, outcome, changed, counterexample=found)


def _again(theorem: Theorem, finding: Finding, onset: int | None) -> Counterexample:
    if theorem.kind == "limit":
        return limit_counterexample(theorem, finding)
    return as_counterexample(theorem, finding, onset)


def take_up(kept: Sequence[Kept], evidence: dict[str, Evidence]) -> dict[str, Kept]:
    """Give every theorem its smallest kept counterexample; returns the files they are from, by theorem id."""
    smallest: dict[str, Kept] = {}
    for one in kept:
        found, body = one.counterexample, evidence.get(one.theorem)
        if found is None or body is None:
            continue
        if body.counterexample is None or size(found) < size(body.counterexample):
            body.counterexample = found
            smallest[one.theorem] = one
    return smallest
