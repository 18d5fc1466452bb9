"""The report of a trial: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from bounds import Theorem
from bounds.catalogue import THEOREMS
from properties.paper import PaperPage
from properties.verdict import Verdict
from reports.page import VERDICTS, Mark, ReportError, environment, package_list, write_page
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
    paper: PaperPage | None = None,
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
    paper : PaperPage, optional
        With it, pages on the paper's claims and pictures follow the overview.

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
        paper=paper,
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
    paper: PaperPage | None = None,
) -> str:
    """The report as a string (arguments as in `write_report`)."""
    commands = reproduce or {}
    ordered = in_catalogue_order(verdicts)
    names = [verdict.name for verdict in verdicts]
    sections = [Section.of(verdict, commands.get(verdict.theorem.id)) for verdict in ordered]
    return (
        environment()
        .get_template("report.html")
        .render(
            groups=[
                (system, list(group)) for system, group in groupby(sections, key=lambda section: section.system)
            ],
            counts=[(Mark.of(name), names.count(name)) for name in VERDICTS if name in names],
            kinds=sorted({verdict.theorem.kind for verdict in verdicts}),
            claims=[] if paper is None else claim_pages(paper, ordered),
            pictures=None if paper is None else pictures(paper),
            provenance={
                "Date": date,
                "Profile": profile,
                "Seed": str(seed),
                "Data": source,
                "Versions": package_list(versions),
            },
        )
    )


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
    return environment().get_template("paper.html").render(pictures=pictures(paper), provenance=provenance)


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
