"""The pages on the paper: each claim of its abstract with an answer from the evidence, and its own pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from bounds.paper import PAPER_CLAIMS
from properties.limits import TOLERANCE
from properties.paper import PaperPage
from properties.settling import Settled
from properties.verdict import Verdict
from reports.answers import Answer, answer_to, method_of
from reports.counterexample import run_settings
from reports.drawing import power_label
from reports.figure_panels import film_figure, panel_figure
from reports.figure_settled import data_figure, margin_figure, region_figure, unit_margins
from reports.page import Drawing, Link, Table
from reports.words import fixed, number, percent

_SEQUENCES = 24  # rows of the table on a settled run


@dataclass(frozen=True)
class SettledPage:
    """One run that settled elsewhere, as the template shows it."""

    id: str
    title: str
    outcome: str
    reason: str
    facts: list[tuple[str, str]]
    sequences: Table
    figures: list[Drawing]


@dataclass(frozen=True)
class ClaimPage:
    """One claim of the paper: its words, its theorems in this report, and the answer."""

    key: str
    title: str
    words: str
    answer: Answer
    theorems: list[Link]
    settled: list[SettledPage] = field(default_factory=list)
    region: Drawing | None = None


@dataclass(frozen=True)
class Pictures:
    """The paper's own pictures."""

    caption: str
    panels: list[Drawing]
    films: list[Drawing]


def pictures(paper: PaperPage) -> Pictures:
    """The panels and attention films of a page."""
    drawn = paper.panels
    return Pictures(
        drawn.caption,
        [Drawing.of(panel_figure(panel)) for panel in drawn.panels],
        [Drawing.of(film_figure(film)) for film in drawn.films],
    )


def claim_pages(paper: PaperPage, verdicts: Sequence[Verdict]) -> list[ClaimPage]:
    """One page for each claim of the paper, from the verdicts that are there."""
    return [_claim_page(claim.key, paper, verdicts) for claim in PAPER_CLAIMS]


def _claim_page(key: str, paper: PaperPage, verdicts: Sequence[Verdict]) -> ClaimPage:
    claim = next(claim for claim in PAPER_CLAIMS if claim.key == key)
    wanted = {theorem.id for theorem in claim.theorems([verdict.theorem for verdict in verdicts])}
    own = [verdict for verdict in verdicts if verdict.theorem.id in wanted]
    # Runs that settled elsewhere are shown where their theorem is on trial.
    elsewhere = [(v, settled) for v in own for settled in paper.settled.get(v.theorem.id, [])]
    names = {v.theorem.id: method_of(v.evidence) for v in own}
    beyond = [run for run in paper.beyond if run.theorem in names]
    return ClaimPage(
        claim.key,
        claim.title,
        claim.words,
        answer_to(key, own),
        [Link.to(verdict) for verdict in own],
        [_settled_page(verdict, settled) for verdict, settled in elsewhere],
        Drawing.of(region_figure(beyond, {run.theorem: names[run.theorem] for run in beyond})) if beyond else None,
    )


def _settled_page(verdict: Verdict, settled: Settled) -> SettledPage:
    run = settled.run
    start = getattr(run.instance.run, "W_0", None)
    facts = [
        ("Family", run.source),
        *run_settings(run.instance.run).items(),
        ("Start", "W_0 = 0" if start is None else "W_0 ≠ 0, in the instance"),
        ("Last step", f"{run.last_step:,}"),
        ("Distance from the limit", f"{number(run.distance)} (reached would be {TOLERANCE:g})"),
        ("cos(W, W_mm)", fixed(settled.cosine, 4)),
    ]
    if settled.cosine_without is not None:
        facts.append(("cos with the other sequences' max-margin direction", fixed(settled.cosine_without, 4)))
    if settled.beyond is not None:
        facts.append(("log10 of the factor beyond condition WC", number(settled.beyond)))
    facts.append(("Instance", run.instance.id))
    return SettledPage(
        verdict.theorem.id,
        verdict.theorem.title,
        run.outcome.capitalize(),
        settled.reason[:1].upper() + settled.reason[1:],
        facts,
        _sequence_table(settled),
        [Drawing.of(data_figure(settled)), Drawing.of(margin_figure(settled))],
    )


def _sequence_table(settled: Settled) -> Table:
    """What became of each sequence at the end of the run."""
    margins = unit_margins(settled)
    dataset = settled.run.instance.dataset
    rows = []
    for i, o in list(enumerate(dataset.optimal))[:_SEQUENCES]:
        favourite = int(settled.end.attention[i].argmax())
        rows.append(
            (
                str(i + 1),
                f"{int(o) + 1}",
                f"{favourite + 1}",
                power_label(float(settled.end.log_optimal[i]) / math.log(10.0)),
                fixed(min(margin for j, _, margin in margins if j == i), 3),
                percent(float(settled.end.shares[i])),
                "lost" if i in settled.lost else "kept",
            )
        )
    head = (
        "Sequence",
        "Optimal token",
        "Most attended",
        "Attention on the optimal",
        "Smallest margin of W/‖W‖",
        "Share of the pull",
        "In the end",
    )
    return Table("The sequences at the end of the run", head, tuple(rows), frozenset({6}))
