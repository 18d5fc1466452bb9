"""What the command line prints: tables and one-line messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from bounds import Theorem
from properties.certify import Finding
from properties.kept import DAMAGED, Kept
from properties.verdict import (
    CONFIRMED,
    CONSISTENT,
    EVIDENCE_AGAINST,
    FALSIFIED,
    SETTLED,
    PointwiseEvidence,
    Verdict,
)
from properties.wording import extent
from ratecheck.sparkline import trend

_WIDE = 148
_COLUMNS: dict[str, JustifyMethod] = {
    "": "left",
    "theorem": "left",
    "verdict": "left",
    "instances": "right",
    "certified": "right",
    "measured": "right",
    "over steps": "left",
    "informative": "right",
}
#: Columns that a narrow console does without, the first of them first.
_LEAST = ("informative", "certified", "over steps", "instances")
_STYLES = {FALSIFIED: "bold red", EVIDENCE_AGAINST: "red", CONFIRMED: "green", CONSISTENT: "green"}


def wide_console() -> Console:
    """Standard output, wide enough that no table is cut when it is piped into a file."""
    console = Console()
    return console if console.width >= _WIDE else Console(width=_WIDE)


def verdict_table(verdicts: Sequence[Verdict], console: Console) -> Table:
    """One line a theorem: verdict, scope, tightness, and how what was measured goes over the steps.

    Where the console is too narrow, the columns that say least are left out.
    """
    rows = [_verdict_row(verdict) for verdict in verdicts]
    for left_out in range(len(_LEAST) + 1):
        table = Table(box=None, pad_edge=False, header_style="bold")
        names = [name for name in _COLUMNS if name not in _LEAST[:left_out]]
        for name in names:
            table.add_column(name, justify=_COLUMNS[name], no_wrap=True)
        for row in rows:
            table.add_row(*(row[name] for name in names))
        if Measurement.get(console, console.options.update(width=1000), table).maximum <= console.width:
            break
    return table


def _verdict_row(verdict: Verdict) -> dict[str, str]:
    evidence = verdict.evidence
    share = evidence.informative_share if isinstance(evidence, PointwiseEvidence) else None
    return {
        "": verdict.theorem.label,
        "theorem": verdict.theorem.id,
        "verdict": f"[{_STYLES.get(verdict.name, 'yellow')}]{verdict.name.upper()}[/]",
        "instances": str(evidence.applicable),
        "certified": str(evidence.certified),
        "measured": escape(evidence.measured),
        "over steps": trend(evidence),
        "informative": "–" if share is None else f"{share:.0%}",
    }


def theorem_table(theorems: Sequence[Theorem]) -> Table:
    """One line a theorem: how it is known, what it assumes."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "theorem", "kind", "status", "assumes"):
        table.add_column(name, no_wrap=name != "assumes")
    for theorem in theorems:
        assumes = ", ".join(a.name.split("(")[0] if len(a.name) > 30 else a.name for a in theorem.assumes)
        table.add_row(theorem.label, theorem.id, theorem.kind, theorem.status.name, escape(assumes or "nothing"))
    return table


def print_verdicts(console: Console, verdicts: Sequence[Verdict], reproduce: dict[str, str]) -> None:
    """The table, then a sentence for everything that is not plainly confirmed."""
    console.print(verdict_table(verdicts, console))
    for verdict in verdicts:
        if verdict.name not in SETTLED:
            console.print(f"\n[bold]{verdict.theorem.id}[/]  {escape(verdict.sentence)}.", highlight=False)
        counterexample = verdict.evidence.counterexample
        if counterexample is not None:
            console.print(f"  claimed: {escape(str(verdict.theorem.claim))}", highlight=False)
            console.print(f"  but smaller side {escape(counterexample.small)}", highlight=False)
            console.print(f"  and larger side  {escape(counterexample.large)}", highlight=False)
        _print_worst(console, verdict)
        if verdict.theorem.id in reproduce:
            console.print(f"  replay: {escape(reproduce[verdict.theorem.id])}", highlight=False, soft_wrap=True)
    counts = {name: sum(v.name == name for v in verdicts) for name in dict.fromkeys(v.name for v in verdicts)}
    console.print("\n" + ", ".join(f"{count} {name}" for name, count in counts.items()) + ".", highlight=False)
    console.print(
        "Confirmed means: no counterexample within the stated scope.  It is evidence, not a proof.\n"
        "Over steps (logarithmic, each on its own scale): the worst ratio of an inequality, the ratio to the rate "
        "of an order, the distance from a limit.\n"
        "Orders, limits, probabilities and comparisons are consistent with what was seen, or there is evidence "
        "against them; no finite run proves or refutes them."
    )


def _print_worst(console: Console, verdict: Verdict) -> None:
    evidence = verdict.evidence
    worst = evidence.worst_counterexample if isinstance(evidence, PointwiseEvidence) else None
    if worst is None or worst is evidence.counterexample:
        return
    console.print(
        f"  worst of the trial, certified: step {worst.step} of a run on {extent(worst.instance.dataset)}, "
        f"smaller side {escape(worst.small)}, larger side {escape(worst.large)}",
        highlight=False,
        soft_wrap=True,
    )


def print_kept(console: Console, kept: Sequence[Kept]) -> None:
    """What became of the counterexamples of earlier trials."""
    if not kept:
        return
    counts = Counter(one.outcome for one in kept)
    console.print(
        "\nKept counterexamples: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + ".",
        highlight=False,
    )
    for one in kept:
        if one.outcome != DAMAGED:
            changed = ", the claim has changed since" if one.changed else ""
            line = f"  {one.outcome}: {one.theorem}, {one.path}{changed}"
            console.print(escape(line), highlight=False, soft_wrap=True)


def finding_sentence(theorem: Theorem, finding: Finding) -> str:
    """What a replay found, in words."""
    said = {
        "violated": "still violated, certified",
        "holds": "holds, certified",
        "tight": "the two sides agree to 200 bits: not a violation",
        "not applicable": "the hypotheses or the domain do not hold there",
        "undecided": "not decided within 8192 bits and 1000 steps",
    }[finding.outcome]
    return f"{theorem.id} at step {finding.step}: {said}"
