"""Comparing two stored results of ``verify``: what a change of the theorems did."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ratecheck.command import IS_FALSIFIED, OK
from ratecheck.versions import versions
from reports.compare import RESTATED, Change, Comparison, write_comparison
from reports.result import read_result

SCHEMA = "ratecheck/compare/1"


@dataclass(frozen=True)
class CompareOutcome:
    """A comparison, and how it leaves the command."""

    comparison: Comparison

    @property
    def exit_code(self) -> int:
        """1 if a theorem is falsified that was not before, else 0."""
        return IS_FALSIFIED if self.comparison.broken else OK

    def print(self, console: Console) -> None:
        """A table of what changed, then the changed statements and sentences."""
        comparison = self.comparison
        if comparison.different:
            console.print(_table(comparison.different))
        for change in comparison.different:
            console.print(f"\n[bold]{escape(change.theorem.id)}[/]  {change.name}", highlight=False)
            for name, side in (("before", change.before), ("after ", change.after)):
                if side is None:
                    continue
                if side.statement and change.name == RESTATED:
                    console.print(f"  {name}: {escape(side.statement)}", highlight=False, soft_wrap=True)
                console.print(f"  {name}: {escape(side.sentence)}.", highlight=False, soft_wrap=True)
        console.print(f"\n{escape(comparison.sentence)}.", highlight=False)
        if comparison.caution:
            console.print(f"{escape(comparison.caution)}.", highlight=False)

    def as_json(self) -> dict[str, Any]:
        """The comparison for a program, schema ratecheck/compare/1; unchanged theorems are only counted."""
        comparison = self.comparison
        return {
            "schema": SCHEMA,
            "sentence": comparison.sentence,
            "caution": comparison.caution,
            "newly_falsified": [change.theorem.id for change in comparison.broken],
            "as_before": len(comparison.changes) - len(comparison.different),
            "changes": [
                {
                    "change": change.name,
                    "before": None if change.before is None else asdict(change.before),
                    "after": None if change.after is None else asdict(change.after),
                }
                for change in comparison.different
            ],
            "versions": versions(),
        }

    def write_report(self, path: Path) -> None:
        """The comparison as an HTML page.  Raises `reports.page.ReportError` if it cannot be written."""
        write_comparison(self.comparison, path, versions=versions(), date=datetime.date.today().isoformat())


def compare_results(before: Path, after: Path) -> CompareOutcome:
    """Read and compare two results.  Raises `properties.store.StoreError` if one cannot be read."""
    return CompareOutcome(Comparison.of(read_result(before), read_result(after)))


def _table(changes: list[Change]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("theorem", "change", "verdict"):
        table.add_column(name)
    for name in ("worst ratio", "informative", "certified"):
        table.add_column(name, justify="right", no_wrap=True)
    for change in changes:
        names = dict.fromkeys(mark.name for mark in change.verdicts if mark is not None)
        table.add_row(
            escape(change.theorem.id),
            change.name,
            " → ".join(names),
            change.ratio,
            change.informative,
            change.certified,
        )
    return table
