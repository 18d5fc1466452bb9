"""Theorems, verdicts and trajectories in a notebook: complete, escaped, and imported only when asked."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from bounds import ATTENTION, Conjecture, Theorem, norm
from bounds.catalogue import THEOREMS
from models.trajectory import Trajectory
from properties.evidence import evidence_for
from properties.systems import tools
from properties.trial import Profile, hold_trial
from properties.verdict import PointwiseEvidence, Verdict
from ratecheck.cli import run
from reports.notebook import shown

NASTY = Theorem(
    "nasty.title", "<script>alert(1)</script>", ATTENTION, [], norm <= 10**9, Conjecture(source="<b>bold</b>")
)


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    theorems = [NASTY, *(x for x in THEOREMS if x.id in ("attention.ngd.norm.upper", "data.feasibility"))]
    evidence = {theorem.id: evidence_for(theorem) for theorem in theorems}
    hold_trial(evidence, Profile(3, 40, 3, 1024), seed=0)
    return [Verdict(body) for body in evidence.values()]


@pytest.fixture(scope="module")
def trajectory(verdicts: list[Verdict]) -> Trajectory:
    evidence = verdicts[0].evidence
    assert isinstance(evidence, PointwiseEvidence)
    instance = evidence.runs[0].instance
    measured = tools(ATTENTION).measure(instance, tools(ATTENTION).geometry(instance), 1000)
    assert isinstance(measured.trajectory, Trajectory)
    return measured.trajectory


@pytest.mark.parametrize("theorem", [NASTY, *THEOREMS[::25]], ids=lambda theorem: theorem.id)
def test_a_theorem_shows_its_statement(theorem: Theorem) -> None:
    html = theorem._repr_html_()
    part = ElementTree.fromstring(html)
    assert len(part.findall(".//{http://www.w3.org/1998/Math/MathML}math")) >= 1
    assert theorem.title in "".join(part.itertext())
    assert len(part.findall(".//li")) == len(theorem.assumes)
    assert theorem.status.source in "".join(part.itertext())


def test_a_verdict_shows_its_word_its_sentence_and_its_figure(verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        html = verdict._repr_html_()
        words = "".join(ElementTree.fromstring(html).itertext())
        assert verdict.name in words
        assert verdict.sentence in words
        assert html.count("<svg") == 1
        assert "<script" not in html


def test_a_trajectory_shows_its_first_and_last_step(trajectory: Trajectory) -> None:
    html = trajectory._repr_html_()
    part = ElementTree.fromstring(html)
    steps = [row.findtext("th") for row in part.findall(".//tbody/tr")]
    assert steps[0] == "0"
    assert steps[-1] == f"{trajectory.t[-1]:,}"
    assert html.count("<svg") == 1
    assert trajectory.status in html


def test_a_trajectory_of_no_step_says_so(trajectory: Trajectory) -> None:
    empty = Trajectory(trajectory.t[:0], trajectory.table[:0], None, "non-finite step")
    html = empty._repr_html_()
    assert "non-finite step" in html
    assert "<svg" not in html


def test_a_run_of_step_0_has_no_figure(trajectory: Trajectory) -> None:
    still = Trajectory(np.zeros(1, dtype=np.int64), trajectory.table[:1], None, "finished")
    assert "No figure: the run has no step beyond step 0." in still._repr_html_()


def test_other_things_have_no_picture() -> None:
    with pytest.raises(TypeError, match="int has no picture"):
        shown(3)


def test_theorems_alone_import_no_reports() -> None:
    code = "import sys, bounds.catalogue, models.trajectory; print([x for x in sys.modules if x[:7] == 'reports'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_show_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "statement.html"
    assert run(["show", "N2", "--html", str(path)]) == 0
    said = capsys.readouterr().out
    shown_ids = [theorem.id for theorem in THEOREMS if theorem.label == "N2"]
    assert f"put it on trial: ratecheck verify {' '.join(shown_ids)}" in said
    page = path.read_text(encoding="utf-8")
    assert page.count('<section class="theorem"') == len(shown_ids)
    assert page.count("<math ") >= len(shown_ids)
