"""The report of a trial: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bounds import Theorem
from bounds.catalogue import THEOREMS
from properties.paper import PaperPage
from properties.power import Power
from properties.verdict import Verdict
from reports.front import Front
from reports.live import page_assets
from reports.page import ReportError, environment, package_list, write_page
from reports.paper import claim_pages, pictures
from reports.sections import Section

__all__ = ["ReportError", "render_paper_page", "render_report", "write_paper_page", "write_report"]


def write_report(
    verdicts: Sequence[Verdict],
    path: Path,
    *,
    profile: str,
    seed: int,
    versions: Mapping[str, str],
    date: str,
    source: str,
    reproduce: Mapping[str, str] | None = None,
    hardest: Mapping[str, Sequence[str]] | None = None,
    powers: Mapping[str, Power] | None = None,
    paper: PaperPage | None = None,
    circumstances: Mapping[str, str] | None = None,
    result: Mapping[str, Any] | None = None,
) -> None:
    """Write the report of a trial as one offline HTML file.

    Parameters
    ----------
    verdicts : sequence of Verdict
        Shown by system, in the order of the catalogue; theorems that are not in it come last, in the given order.
    path : Path
        Parent directories are created; an older report is replaced only once the new one is complete.
    profile, seed, versions, date, source
        Provenance: how much was tried, from which seed, with which packages, when, and where the data came from.
    reproduce : mapping, optional
        The command that re-judges the saved counterexample, by theorem id.
    hardest : mapping, optional
        The commands that re-judge the hardest instances, by theorem id.
    powers : mapping, optional
        How the mutants of a theorem fared, by its id.
    paper : PaperPage, optional
        With it, pages on the paper's claims and pictures follow the front page.
    circumstances : mapping, optional
        Further provenance, such as the machine and the command, by the names under which it is shown.
    result : mapping, optional
        The machine-readable result (see `reports.summary.as_json`), which the page then carries along.

    Raises
    ------
    ReportError
        If the file cannot be written.
    """
    page = render_report(
        verdicts,
        profile=profile,
        seed=seed,
        versions=versions,
        date=date,
        source=source,
        reproduce=reproduce,
        hardest=hardest,
        powers=powers,
        paper=paper,
        circumstances=circumstances,
        result=result,
    )
    write_page(Path(path), page)


def render_report(
    verdicts: Sequence[Verdict],
    *,
    profile: str,
    seed: int,
    versions: Mapping[str, str],
    date: str,
    source: str,
    reproduce: Mapping[str, str] | None = None,
    hardest: Mapping[str, Sequence[str]] | None = None,
    powers: Mapping[str, Power] | None = None,
    paper: PaperPage | None = None,
    circumstances: Mapping[str, str] | None = None,
    result: Mapping[str, Any] | None = None,
) -> str:
    """The report as a string (arguments as in `write_report`)."""
    commands, tried = reproduce or {}, powers or {}
    ordered = in_catalogue_order(verdicts)
    claims = [] if paper is None else claim_pages(paper, ordered)
    # A theorem's page leads to the first claim of the paper that it puts on trial.
    claim_of = {link.id: claim for claim in reversed(claims) for link in claim.theorems}
    return (
        environment()
        .get_template("report.html")
        .render(
            assets=page_assets(),
            front=Front.of(ordered, claims, tried, profile=profile, seed=seed, source=source),
            sections=[_section(verdict, commands, hardest or {}, tried) for verdict in ordered],
            kinds=sorted({verdict.theorem.kind for verdict in verdicts}),
            claims=claims,
            claim_of={verdict.theorem.id: claim_of.get(verdict.theorem.id) for verdict in ordered},
            pictures=None if paper is None else pictures(paper),
            result=result,
            provenance={
                "Date": date,
                "Profile": profile,
                "Seed": str(seed),
                "Data": source,
                **(circumstances or {}),
                "Versions": package_list(versions),
            },
        )
    )


def _section(
    verdict: Verdict,
    commands: Mapping[str, str],
    hardest: Mapping[str, Sequence[str]],
    powers: Mapping[str, Power],
) -> Section:
    id = verdict.theorem.id
    return Section.of(verdict, commands.get(id), hardest=hardest.get(id), power=powers.get(id))


def write_paper_page(paper: PaperPage, path: Path, *, versions: Mapping[str, str], date: str, seed: int) -> None:
    """Write the paper's pictures alone as one offline HTML file.

    Raises
    ------
    ReportError
        If the file cannot be written.
    """
    write_page(Path(path), render_paper_page(paper, versions=versions, date=date, seed=seed))


def render_paper_page(paper: PaperPage, *, versions: Mapping[str, str], date: str, seed: int) -> str:
    """The paper's pictures as a string (arguments as in `write_paper_page`)."""
    provenance = {"Date": date, "Seed": str(seed), "Versions": package_list(versions)}
    template = environment().get_template("paper.html")
    return template.render(assets=page_assets(), pictures=pictures(paper), provenance=provenance)


def in_catalogue_order(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Verdicts by system, each in the catalogue's order; a user's theorems come last within their system."""
    place = {theorem.id: k for k, theorem in enumerate(THEOREMS)}
    systems = list(dict.fromkeys(theorem.system.name for theorem in THEOREMS))

    def key(verdict: Verdict) -> tuple[int, str, int]:
        theorem: Theorem = verdict.theorem
        name = theorem.system.name
        position = systems.index(name) if name in systems else len(systems)
        return position, name, place.get(theorem.id, len(place))

    return sorted(verdicts, key=key)
