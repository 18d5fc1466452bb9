"""Two results of ``verify`` side by side: what changed between them, as data and as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from properties.verdict import FALSIFIED
from reports.page import Mark, environment, package_list, write_page
from reports.result import StoredResult, StoredTheorem
from reports.words import count, listed, number, percent

RESTATED, RENAMED, NEW, REMOVED, JUDGED_ANEW, SAME = (
    "restated",
    "renamed",
    "new",
    "removed",
    "other evidence",
    "as before",
)
#: In the order in which a reader wants to meet them.
CHANGES = (RESTATED, NEW, REMOVED, RENAMED, JUDGED_ANEW, SAME)


@dataclass(frozen=True)
class Change:
    """One theorem before and after; one of the two is None where it is new or removed.

    Statements are the same where their fingerprints are.
    """

    before: StoredTheorem | None
    after: StoredTheorem | None

    @property
    def theorem(self) -> StoredTheorem:
        """The theorem as it stands now, or as it stood."""
        present = self.after or self.before
        assert present is not None
        return present

    @property
    def name(self) -> str:
        """One of `CHANGES`."""
        old, new = self.before, self.after
        if old is None or new is None:
            return REMOVED if new is None else NEW
        if old.fingerprint != new.fingerprint:
            return RESTATED
        if old.id != new.id:
            return RENAMED
        return SAME if _seen(old) == _seen(new) else JUDGED_ANEW

    @property
    def broken(self) -> bool:
        """Whether it is falsified now, and was not before."""
        old, new = self.before, self.after
        return new is not None and new.verdict == FALSIFIED and (old is None or old.verdict != FALSIFIED)

    @property
    def verdicts(self) -> tuple[Mark | None, Mark | None]:
        """The verdicts before and after, as pages show them."""
        old, new = (None if one is None else Mark.of(one.verdict) for one in (self.before, self.after))
        return old, new

    @property
    def ratio(self) -> str:
        """The worst ratio, before → after."""
        return self._both(lambda one: "–" if one.worst_ratio is None else number(one.worst_ratio))

    @property
    def informative(self) -> str:
        """The informative share, before → after."""
        return self._both(lambda one: percent(one.informative_share))

    @property
    def certified(self) -> str:
        """Certified instances of those judged, before → after."""
        return self._both(lambda one: f"{one.certified:,} of {one.applicable:,}")

    def _both(self, show: Callable[[StoredTheorem], str]) -> str:
        seen = [show(one) for one in (self.before, self.after) if one is not None]
        return seen[0] if len(set(seen)) == 1 else " → ".join(seen)


def _seen(theorem: StoredTheorem) -> tuple[object, ...]:
    """What was seen of a theorem, as far as the comparison shows it."""
    return theorem.verdict, theorem.sentence, theorem.worst_ratio, theorem.informative_share, theorem.certified


@dataclass(frozen=True)
class Comparison:
    """All theorems of two results, those that changed first."""

    before: StoredResult
    after: StoredResult
    changes: tuple[Change, ...]

    @classmethod
    def of(cls, before: StoredResult, after: StoredResult) -> Comparison:
        """Pair the theorems by id, then what is left by fingerprint: the same statement under another name."""
        pairs = {id: Change(before.theorems.get(id), one) for id, one in after.theorems.items()}
        gone = {one.fingerprint: one for id, one in before.theorems.items() if id not in pairs}
        for id, change in pairs.items():
            if change.before is None and change.theorem.fingerprint in gone:
                pairs[id] = Change(gone.pop(change.theorem.fingerprint), change.after)
        paired = {change.before.id for change in pairs.values() if change.before is not None}
        removed = [Change(one, None) for id, one in before.theorems.items() if id not in paired]
        order = sorted([*pairs.values(), *removed], key=lambda change: CHANGES.index(change.name))
        return cls(before, after, tuple(order))

    @property
    def different(self) -> list[Change]:
        """The theorems of which something changed."""
        return [change for change in self.changes if change.name != SAME]

    @property
    def broken(self) -> list[Change]:
        """Those that are falsified now, and were not before."""
        return [change for change in self.changes if change.broken]

    @property
    def sentence(self) -> str:
        """What changed, in a sentence without a full stop."""
        names = [change.name for change in self.changes]
        parts = [f"{names.count(name)} {name}" for name in CHANGES if name in names]
        broken = f"; {count(len(self.broken), 'theorem')} newly falsified" if self.broken else ""
        return (
            f"{count(len(names), 'theorem')}: {listed(parts)}{broken}" if names else "Neither result has a theorem"
        )

    @property
    def caution(self) -> str:
        """Why numbers may differ although no statement changed; empty if the two trials are alike."""
        sides = self.before, self.after
        names = ("seed", "profile", "version")
        pairs = [(name, *(str(getattr(side, name)) for side in sides)) for name in names]
        unlike = [f"{name} ({old} → {new})" for name, old, new in pairs if old != new]
        return f"The two trials differ in {listed(unlike)}: numbers may differ for that alone" if unlike else ""


def render_comparison(comparison: Comparison, *, versions: Mapping[str, str], date: str) -> str:
    """The comparison as one offline HTML page."""
    provenance = {
        name: f"{side.name}, {side.date or 'no date'}, profile {side.profile or 'unknown'}, seed {side.seed}"
        for name, side in (("Before", comparison.before), ("After", comparison.after))
    } | {"Date": date, "Versions": package_list(versions)}
    template = environment().get_template("compare.html")
    return template.render(assets=None, comparison=comparison, provenance=provenance, restated=RESTATED)


def write_comparison(comparison: Comparison, path: Path, *, versions: Mapping[str, str], date: str) -> None:
    """Write the page of `render_comparison`.

    Raises
    ------
    ReportError
        If the file cannot be written.
    """
    write_page(path, render_comparison(comparison, versions=versions, date=date))
