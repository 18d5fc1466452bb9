"""The report: offline, escaped, well-formed; every theorem renders as mathematics."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bounds import ATTENTION, NOTATION, Conjecture, Theorem, norm
from bounds.catalogue import THEOREMS
from bounds.rendering import mathml, text
from properties.evidence import evidence_for
from properties.trial import Profile, hold_trial
from properties.verdict import Verdict
from reports.html import ReportError, write_report
from reports.summary import as_json

NASTY = Theorem(
    "nasty.title", "<script>alert(1)</script> & more", ATTENTION, [], norm <= 10**9, Conjecture(source="<b>")
)


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    theorems = [THEOREMS[3], NASTY]
    evidence = {theorem.id: evidence_for(theorem) for theorem in theorems}
    hold_trial(evidence, Profile(6, 60), seed=0)
    return [Verdict(body) for body in evidence.values()]


def written(verdicts: list[Verdict], path: Path) -> str:
    write_report(
        verdicts, path, profile="quick", seed=0, versions={"python": "3"}, date="2000-01-01", source="test"
    )
    return path.read_text(encoding="utf-8")


def test_the_report_is_offline_and_escaped(verdicts: list[Verdict], tmp_path: Path) -> None:
    html = written(verdicts, tmp_path / "new" / "report.html")
    assert not re.search(r"(src|href)=[\"']?https?:|@import|url\(", html)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    for verdict in verdicts:
        assert verdict.theorem.id in html
    assert html.count("<svg") >= 1
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["report.html"]


def test_an_unwritable_report_names_the_path(verdicts: list[Verdict], tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    with pytest.raises(ReportError, match="file"):
        written(verdicts, blocker / "report.html")


def test_the_summary_is_plain_json(verdicts: list[Verdict]) -> None:
    data = as_json(verdicts, seed=0, versions={}, counterexamples={}, reproduce={})
    assert data["schema"] == "ratecheck/verify/1"
    fields = "id verdict kind status instances applicable steps_checked certified worst_ratio worst_step"
    assert set(fields.split()) <= set(json.loads(json.dumps(data, allow_nan=False))["theorems"][0])


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda x: x.id)
def test_every_theorem_renders(theorem: Theorem) -> None:
    ElementTree.fromstring(mathml(theorem.claim))
    assert theorem.title in text(theorem)


def test_every_observable_renders() -> None:
    for observable in NOTATION.values():
        ElementTree.fromstring(mathml(observable.symbol))
