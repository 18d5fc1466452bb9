"""The pages on the paper: claims answered from the evidence, counterexamples explained, pictures drawn."""

import base64
import gzip
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from bounds.catalogue import THEOREMS
from bounds.paper import PAPER_CLAIMS
from properties.comparison import ComparisonEvidence
from properties.evidence import evidence_for
from properties.limits import REACHED, TRAPPED
from properties.orders import OrderEvidence
from properties.panels import METHODS, Panel, Series
from properties.paper import Beyond, PaperPage, paper_page
from properties.settling import Settled
from properties.trial import Profile, hold_trial
from properties.verdict import Verdict
from reports.answers import answer_to
from reports.drawing import rows_of, static_svg
from reports.figure_panels import FLOOR, film_figure, panel_figure
from reports.figure_settled import data_figure, margin_figure, region_figure, unit_margins
from reports.html import render_paper_page, render_report, write_paper_page
from reports.words import fixed, interval

IDS = (
    "attention.ngd.order.sparsity",
    "attention.ngd.order.norm",
    "attention.equal-scores.ngd.limit",
    "attention.global.ngd.limit",
    "attention.acceleration.ngd-gd.sparsity",
    "attention.polyak.direction",
)


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    evidence = {theorem.id: evidence_for(theorem) for theorem in THEOREMS if theorem.id in IDS}
    hold_trial(evidence, Profile(4, 60, 4, 1024), seed=0)
    return [Verdict(body) for body in evidence.values()]


@pytest.fixture(scope="module")
def paper(verdicts: list[Verdict]) -> PaperPage:
    return paper_page([verdict.evidence for verdict in verdicts], seed=0, steps=2000)


@pytest.fixture(scope="module")
def settled(paper: PaperPage) -> Settled:
    return paper.settled["attention.equal-scores.ngd.limit"][0]


@pytest.fixture(scope="module")
def html(verdicts: list[Verdict], paper: PaperPage) -> str:
    return render_report(
        verdicts, profile="quick", seed=0, versions={}, date="2000-01-01", source="test", paper=paper
    )


def claim_part(html: str, key: str) -> str:
    start = html.index(f'<section class="claim" id="claim.{key}"')
    following = html.index('<nav class="crumbs"', start)
    return html[start : html.rindex("</section>", start, following) + len("</section>")]


def static(html: str) -> str:
    """What stands on the page without its scripts and styles."""
    return re.sub(r"<(script|style)\b[^>]*>.*?</\1>", "", html, flags=re.DOTALL)


# ---------------------------------------------------------------------------------------- the claims
def test_every_claim_has_its_words_and_theorems(html: str, verdicts: list[Verdict]) -> None:
    assert html.index('id="claims"') < html.index('id="overview"') < html.index('id="theorems"')
    for claim in PAPER_CLAIMS:
        assert html.index(f'href="#claim.{claim.key}"') < html.index('id="overview"')
        part = claim_part(html, claim.key)
        assert claim.title.replace("'", "&#39;") in part
        assert claim.words.replace("'", "&#39;") in part
        own = {theorem.id for theorem in claim.theorems([verdict.theorem for verdict in verdicts])}
        assert own <= set(re.findall(r'href="#([^"]+)"', part))
        assert f"{len(own)} theorem" in part or "No theorem of this claim is on trial" in part


def test_pages_are_offline_with_unique_ids_and_well_formed(html: str) -> None:
    assert not re.search(r"(src|href)=[\"']?https?:", static(html))
    assert "default-src 'none'" in html
    ids = re.findall(r'\bid="([^"]+)"', static(html))
    assert len(ids) == len(set(ids))
    for claim in PAPER_CLAIMS:
        part = claim_part(html, claim.key)
        part = static(part).replace("<details open>", "<details>")
        ElementTree.fromstring(part)


def test_without_the_paper_its_pages_are_absent(verdicts: list[Verdict]) -> None:
    page = render_report(verdicts[:1], profile="quick", seed=0, versions={}, date="2000-01-01", source="test")
    assert 'id="claims"' not in page
    assert 'id="pictures"' not in page


def test_answers_are_computed_from_the_evidence(html: str, verdicts: list[Verdict]) -> None:
    bodies = {verdict.theorem.id: verdict.evidence for verdict in verdicts}
    rate = bodies["attention.ngd.order.sparsity"]
    assert isinstance(rate, OrderEvidence)
    assert rate.typical is not None
    assert rate.slowest is not None
    answer = claim_part(html, "rates")
    assert interval(rate.typical.exponent) in answer
    assert f"{fixed(rate.slowest.exponent.slope)} in the run worst for the claim" in answer
    steady = all(abs(run.exponent.slope - 1) <= 0.1 for run in (rate.typical, rate.slowest))
    assert ("sparsifies exponentially in t" in answer) == steady
    race = bodies["attention.acceleration.ngd-gd.sparsity"]
    assert isinstance(race, ComparisonEvidence)
    words = f"sooner than GD on {race.outcomes['first is sooner']} of {len(race.pairs)} datasets"
    assert words in claim_part(html, "acceleration")
    assert "No theorem of this claim is on trial in this report." in claim_part(html, "joint")


def test_a_limit_that_is_trapped_is_named_as_false(html: str, verdicts: list[Verdict]) -> None:
    part = claim_part(html, "global")
    assert "Falsified: Equal scores alone (normalised GD)." in part
    within = next(verdict.evidence for verdict in verdicts if verdict.theorem.id == "attention.global.ngd.limit")
    arrived = within.outcomes[REACHED]
    if arrived == within.applicable:
        assert f"under: Weak negative correlation (normalised GD), {arrived} runs." in part
    else:
        assert (
            f"under: Weak negative correlation (normalised GD), {arrived} of {within.applicable} arrived." in part
        )


@pytest.mark.parametrize("claim", PAPER_CLAIMS, ids=lambda claim: claim.key)
def test_empty_evidence_gives_an_honest_answer(claim: object) -> None:
    key = next(known.key for known in PAPER_CLAIMS if known is claim)
    theorems = next(known for known in PAPER_CLAIMS if known is claim).theorems(THEOREMS)
    said = answer_to(key, [Verdict(evidence_for(theorem)) for theorem in theorems]).sentences
    assert said[0].endswith(f"on trial for it here: {len(theorems)} vacuous.")
    assert answer_to(key, []).sentences == ("No theorem of this claim is on trial in this report.",)


# ------------------------------------------------------------------------------ runs that settle elsewhere
def test_the_reason_and_the_data_of_a_settled_run_are_shown(html: str, settled: Settled) -> None:
    part = claim_part(html, "global")
    assert settled.reason[1:].replace("'", "&#39;") in part
    assert f"{settled.cosine:.4f}" in part
    assert settled.run.instance.id in part
    assert data_figure(settled).alt in part
    assert margin_figure(settled).alt in part


def test_margins_belong_to_the_end_of_the_run(settled: Settled) -> None:
    pairs = unit_margins(settled)
    assert len(pairs) == settled.run.instance.dataset.N
    signs = {i: np.sign(margin) for i, _, margin in pairs}
    assert all(signs[i] < 0 for i in settled.lost)
    ends = settled.end.margins.ravel()
    norm = np.linalg.norm(ends) / np.linalg.norm([margin for _, _, margin in pairs])
    assert np.allclose(ends, norm * np.array([margin for _, _, margin in pairs]), rtol=1e-6)


def test_the_region_gives_uncorrelated_data_a_place_of_their_own() -> None:
    runs = [Beyond("x", -math.inf, REACHED), Beyond("x", 3.0, TRAPPED), Beyond("x", -2.0, REACHED)]
    figure = region_figure(runs, {"x": "normalised GD"})
    assert ">correlation<" in static_svg(figure)
    assert "are 2 datasets, 1 of them without any negative correlation" in figure.alt
    assert region_figure([], {}).spec is None


# ------------------------------------------------------------------------------------------ pictures
def test_the_pictures_alone_make_a_page(paper: PaperPage, tmp_path: Path) -> None:
    path = tmp_path / "paper.html"
    write_paper_page(paper, path, versions={"python": "3"}, date="2000-01-01", seed=0)
    page = path.read_text(encoding="utf-8")
    assert page == render_paper_page(paper, versions={"python": "3"}, date="2000-01-01", seed=0)
    assert page.count("data-figure=") == len(paper.panels.panels) + len(paper.panels.films)
    assert paper.panels.caption in page
    for panel in paper.panels.panels:
        assert panel_figure(panel).alt in page
    [held] = re.findall('id="figures">(.*?)<', page)
    drawn = gzip.decompress(base64.b64decode(held)).decode()
    for method in METHODS.values():
        assert f'"{method}"' in drawn


def test_linear_convergence_is_cut_off_and_said_to_be(paper: PaperPage) -> None:
    t = np.array([1.0, 10.0, 100.0])
    steep = Panel("Loss", "loss", True, [Series("normalised GD", t, np.array([-1.0, -50.0, -5000.0]))])
    figure = panel_figure(steep)
    assert "Curves are cut off at 10⁻⁴⁰." in figure.alt
    assert "normalised GD 10⁻⁵⁰⁰⁰" in figure.alt
    assert FLOOR == -40.0
    flat = Panel("Loss", "loss", True, [Series("GD", t, np.array([-1.0, -2.0, -3.0]))])
    assert "cut off" not in panel_figure(flat).alt


def test_a_panel_with_nothing_positive_says_so() -> None:
    empty = Panel("Loss", "loss", True, [Series("GD", np.array([]), np.array([]))])
    assert panel_figure(empty).spec is None
    assert "no figure" in panel_figure(empty).alt


def test_films_mark_the_optimal_token_of_every_sequence(paper: PaperPage) -> None:
    for film in paper.panels.films:
        figure = film_figure(film)
        assert figure.alt.startswith(f"{film.method}: attention weights of {film.dataset.n} sequences")
        assert len(rows_of(figure.data["marks"])) == film.dataset.n
        ElementTree.fromstring(static_svg(figure))
