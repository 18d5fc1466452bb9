"""The report: every kind of claim renders; offline, escaped, well-formed; no word says more than was seen."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from bounds import ATTENTION, NOTATION, Conjecture, Theorem, norm
from bounds.catalogue import THEOREMS
from bounds.rendering import mathml, text
from properties.evidence import evidence_for
from properties.orders import OrderEvidence
from properties.power import PowerUnit, measure_power
from properties.trial import Profile, hold_trial
from properties.verdict import Evidence, Verdict
from reports.drawing import power_label
from reports.figures import figure_of
from reports.html import ReportError, in_catalogue_order, render_report, write_report
from reports.page import VERDICTS
from reports.power import power_tables
from reports.summary import as_json
from reports.words import fixed, interval

NASTY = Theorem(
    "nasty.title", "<script>alert(1)</script> & more", ATTENTION, [], norm <= 10**9, Conjecture(source="<b>")
)
#: One or two theorems of each kind, of which the runs are short.
CHOSEN = {
    "pointwise": ("attention.gradient-domination", "attention.ngd.norm.upper"),
    "order": ("attention.ngd.order.norm", "attention.ngd.order.sparsity", "attention.gd.order.norm"),
    "limit": ("attention.any-scores.ngd.limit", "attention.gd.norm.limit"),
    "comparison": ("attention.acceleration.ngd-gd.sparsity", "attention.acceleration.polyak-ngd.direction"),
    "probability": ("data.feasibility", "data.near-orthogonality.norms"),
}
IDS = [id for ids in CHOSEN.values() for id in ids]


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    theorems = [NASTY, *(theorem for theorem in reversed(THEOREMS) if theorem.id in IDS)]
    evidence = {theorem.id: evidence_for(theorem) for theorem in theorems}
    hold_trial(evidence, Profile(4, 60, 4, 1024), seed=0)
    return [Verdict(body) for body in evidence.values()]


def rendered(verdicts: Sequence[Verdict], **more: Any) -> str:
    return render_report(
        verdicts, profile="quick", seed=0, versions={"python": "3"}, date="2000-01-01", source="test", **more
    )


@pytest.fixture(scope="module")
def html(verdicts: list[Verdict]) -> str:
    return rendered(verdicts)


def static(html: str) -> str:
    """What stands on the page without its scripts and styles."""
    return re.sub(r"<(script|style)\b[^>]*>.*?</\1>", "", html, flags=re.DOTALL)


def section(html: str, id: str) -> str:
    """The section of one theorem, as well-formed XML."""
    start = html.index(f'<section class="theorem" id="{id}"')
    return static(html[start : html.index("</section>", start) + len("</section>")])


def of_kind(verdicts: Sequence[Verdict], kind: str) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.theorem.kind == kind]


# ------------------------------------------------------------------------------------------ the page
def test_the_report_is_offline_and_escaped(html: str) -> None:
    assert not re.search(r"(src|href)=[\"']?https?:", static(html))
    styles = "".join(re.findall(r"<style>.*?</style>", html, re.DOTALL))
    assert not re.search(r"@import|url\(", styles)
    assert "default-src 'none'" in html  # and whatever a script says, nothing is fetched
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_result_on_the_page_is_the_json_result_whatever_its_titles_say(verdicts: list[Verdict]) -> None:
    result = as_json(verdicts, seed=0, versions={"python": "3"}, counterexamples={}, reproduce={})
    page = rendered(verdicts, result=result)
    [stored] = re.findall(r'<script type="application/json" id="result">(.*?)</script>', page, re.DOTALL)
    assert json.loads(stored) == result
    assert NASTY.title in {theorem["title"] for theorem in json.loads(stored)["theorems"]}
    assert "<" not in stored
    assert "<script>alert(1)" not in page


def test_power_and_commands_stand_on_the_page_of_their_theorem(verdicts: list[Verdict]) -> None:
    id = "attention.gradient-domination"
    theorem = next(theorem for theorem in THEOREMS if theorem.id == id)
    power = measure_power(PowerUnit(theorem, Profile(2, 30), 0))
    page = rendered(verdicts, powers={id: power}, hardest={id: ["ratecheck certify F2 hard.json"]})
    part = section(page, id)
    assert all(table.caption in part for table in power_tables(power))
    assert "ratecheck certify F2 hard.json" in part
    assert page.count("ratecheck certify F2 hard.json") == part.count("ratecheck certify F2 hard.json")


def test_every_section_is_well_formed(html: str, verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        ElementTree.fromstring(section(html, verdict.theorem.id))


def test_ids_are_unique_and_links_lead_somewhere(html: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', static(html))
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', static(html))) <= set(ids)


def test_each_theorem_leads_to_its_neighbours(html: str, verdicts: list[Verdict]) -> None:
    ordered = [verdict.theorem.id for verdict in in_catalogue_order(verdicts)]
    page = static(html)
    assert re.findall(r'rel="prev" href="#([^"]+)"', page) == ordered[:-1]
    assert re.findall(r'rel="next" href="#([^"]+)"', page) == ordered[1:]


def test_rows_stand_by_system_in_the_order_of_the_catalogue(html: str, verdicts: list[Verdict]) -> None:
    ordered = [verdict.theorem.id for verdict in in_catalogue_order(verdicts)]
    assert ordered[:1] == ["attention.gradient-domination"]
    assert ordered.index("nasty.title") < ordered.index("data.feasibility")
    overview = html[html.index('<table id="overview">') : html.index('<div id="theorems">')]
    assert re.findall(r'href="#([^"]+)"', overview) == ordered
    for system in {verdict.theorem.system.title for verdict in verdicts}:
        assert overview.count(f'scope="rowgroup">{system[0].upper()}{system[1:]}<') == 1


@pytest.mark.parametrize("kind", CHOSEN)
def test_only_the_kinds_on_trial_are_explained(kind: str, verdicts: list[Verdict]) -> None:
    page = rendered(of_kind(verdicts, kind))
    explained = set(re.findall(r"<dt>(\w+)</dt>", page))
    assert explained == ({kind} - {"pointwise"})
    assert ('<dt class="consistent">' in page) == (kind != "pointwise")
    assert ('<dt class="falsified">' in page) == (kind == "pointwise")


def test_a_report_replaces_the_old_one_whole(verdicts: list[Verdict], tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    for _ in range(2):
        write_report(verdicts[:1], path, profile="quick", seed=0, versions={}, date="2000-01-01", source="test")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    assert path.read_text(encoding="utf-8").endswith("</html>")


def test_an_unwritable_report_names_the_path(verdicts: list[Verdict], tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    with pytest.raises(ReportError, match="file"):
        write_report(
            verdicts[:1],
            blocker / "report.html",
            profile="quick",
            seed=0,
            versions={},
            date="2000-01-01",
            source="test",
        )


# ------------------------------------------------------------------------------------------ the kinds
@pytest.mark.parametrize("kind", CHOSEN)
def test_every_kind_has_its_figure_described(kind: str, html: str, verdicts: list[Verdict]) -> None:
    for verdict in of_kind(verdicts, kind):
        part = ElementTree.fromstring(section(html, verdict.theorem.id))
        figure = part.findall(".//figure")[0]  # the figure of the kind comes first
        described = figure.find("figcaption")
        assert described is not None
        assert described.text == figure_of(verdict.evidence).alt
        assert figure.find("div[@data-figure]") is not None


@pytest.mark.parametrize("kind", CHOSEN)
def test_a_theorem_without_evidence_says_so(kind: str) -> None:
    theorem = next(theorem for theorem in THEOREMS if theorem.id in CHOSEN[kind])
    page = rendered([Verdict(evidence_for(theorem))])
    assert "No figure: " in section(page, theorem.id)
    assert "data-figure" not in section(page, theorem.id)


@pytest.mark.parametrize("kind", ["order", "comparison", "probability"])
def test_no_word_says_more_than_a_finite_run_can(kind: str, html: str, verdicts: list[Verdict]) -> None:
    for verdict in of_kind(verdicts, kind):
        assert not re.search(r"falsif|confirmed|proved|refut", section(html, verdict.theorem.id), re.IGNORECASE)


def test_claimed_and_measured_exponents_stand_side_by_side(html: str, verdicts: list[Verdict]) -> None:
    for verdict in of_kind(verdicts, "order"):
        evidence, part = verdict.evidence, section(html, verdict.theorem.id)
        assert isinstance(evidence, OrderEvidence)
        assert evidence.typical is not None
        assert f"{interval(evidence.typical.exponent)}; the claimed rate" in part
        assert f"has {fixed(evidence.typical.claimed.slope)} over the same windows" in part
        assert "Slowest run of each family" in part
        assert all(f"<th>{run.source}</th>" in part for run in evidence.telling)


def test_the_overview_says_of_each_theorem_what_was_seen(html: str, verdicts: list[Verdict]) -> None:
    overview = html[html.index('<table id="overview">') : html.index('<div id="theorems">')]
    for verdict in verdicts:
        row = overview[overview.index(f'href="#{verdict.theorem.id}"') :].partition("</tr>")[0]
        assert f'<span class="said">{escape(verdict.sentence)}.</span>' in row
        assert f"{VERDICTS[verdict.name]} {verdict.name}</span>" in row


def test_a_limit_shows_how_each_run_ended(html: str, verdicts: list[Verdict]) -> None:
    for verdict in of_kind(verdicts, "limit"):
        part = section(html, verdict.theorem.id)
        for outcome, number in verdict.evidence.outcomes.items():
            if number:
                assert f"<tr><th>{outcome.capitalize()}</th><td>{number:,}</td></tr>" in part


def test_an_unknown_kind_of_evidence_has_no_figure() -> None:
    class Other(Evidence):
        verdict = sentence = measured = ""

    with pytest.raises(TypeError, match="Other has no figure"):
        figure_of(Other(NASTY))


# ------------------------------------------------------------------------------------------ its parts
@pytest.mark.parametrize(
    ("exponent", "label"),
    [(-800.0, "10⁻⁸⁰⁰"), (-0.60206, "0.25"), (-8.49485, "3.2·10⁻⁹"), (5.0, "10⁵"), (4.0, "10000")],
)
def test_powers_read_as_a_person_writes_them(exponent: float, label: str) -> None:
    assert power_label(exponent) == label


def test_the_summary_is_plain_json(verdicts: list[Verdict]) -> None:
    data = as_json(verdicts, seed=0, versions={}, counterexamples={}, reproduce={})
    assert data["schema"] == "ratecheck/verify/1"
    fields = "id verdict kind status instances applicable steps_checked certified worst_ratio worst_step measured"
    assert all(
        set(fields.split()) <= set(row) for row in json.loads(json.dumps(data, allow_nan=False))["theorems"]
    )


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda x: x.id)
def test_every_theorem_renders(theorem: Theorem) -> None:
    ElementTree.fromstring(mathml(theorem.claim))
    assert theorem.title in text(theorem)


def test_every_observable_renders() -> None:
    for observable in NOTATION.values():
        ElementTree.fromstring(mathml(observable.symbol))
