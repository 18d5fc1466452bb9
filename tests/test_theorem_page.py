"""A theorem's page: the recorded instances, its figures, and the hardest instances with commands that run."""

import json
import math
import pickle
import shlex
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bounds import ATTENTION, Conjecture, Theorem, norm
from bounds.catalogue import THEOREMS
from models.attention import Geometry
from models.instance import Instance, Run
from models.random_data import signal_plus_noise
from properties.certify import Finding
from properties.evidence import evidence_for
from properties.judge import HOLDS, NOT_APPLICABLE, Judgement
from properties.orders import OrderEvidence
from properties.trial import Profile, hold_trial
from properties.verdict import Case, PointwiseEvidence, Verdict
from properties.wording import tightness
from ratecheck.cli import run
from ratecheck.hardest import MOST_STEPS, save_hardest
from reports import drawing
from reports.figure_dependence import dependence_figure, panels_of
from reports.figure_ratios import exponent_figure, ratio_figure, strips, thin
from reports.figure_slack import slack_figure
from reports.page import environment
from reports.sections import Section
from reports.tables import failed_hypotheses
from tests import planted

TRUE = (
    "attention.gradient-domination",
    "attention.ngd.direction",
    "attention.ngd.norm.lower",
    "joint.master-closed",
)
FALSE = "false.n2", "false.f5", "false.j4"
LIMIT, ORDER = "attention.equal-scores.ngd.limit", "attention.ngd.order.norm"
STEPS = 120


@pytest.fixture(scope="module")
def evidence() -> dict[str, Any]:
    chosen = [theorem for theorem in THEOREMS if theorem.id in (*TRUE, LIMIT, ORDER)]
    chosen += [theorem for theorem in planted.FALSE if theorem.id in FALSE]
    bodies = {theorem.id: evidence_for(theorem) for theorem in chosen}
    hold_trial(bodies, Profile(12, STEPS, 4, 1024), seed=0)
    return bodies


def pointwise(evidence: dict[str, Any], *ids: str) -> Iterator[PointwiseEvidence]:
    for id in ids or (*TRUE, *FALSE):
        body = evidence[id]
        assert isinstance(body, PointwiseEvidence)
        yield body


def page(section: Section) -> str:
    source = '{% from "_theorem.html" import theorem_section %}{{ theorem_section(s) }}'
    return environment().from_string(source).render(s=section)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, list[dict[str, Any]]]]:
    """The data sets of the figures that are drawn, in their order."""
    seen: list[dict[str, list[dict[str, Any]]]] = []
    original = drawing.figure

    def figure(chart: Any, alt: str, **datasets: list[dict[str, Any]]) -> Any:
        seen.append(datasets)
        return original(chart, alt, **datasets)

    monkeypatch.setattr(drawing, "figure", figure)
    return seen


# ------------------------------------------------------------------------------------- what is recorded
def test_every_applicable_instance_is_recorded_and_the_hardest_are_kept(evidence: dict[str, Any]) -> None:
    for body in pointwise(evidence):
        assert len(body.cases) == body.applicable
        assert {case.source for case in body.cases} == set(body.sources)
        best: dict[str, float] = {}
        for case in body.cases:
            best[case.instance] = max(case.log_ratio, best.get(case.instance, -math.inf))
        ratios = sorted(best.values(), reverse=True)[:3]
        assert [run.log_ratio for run in body.hardest] == ratios
        assert len({run.instance.id for run in body.hardest}) == len(ratios)
        assert body.worst is body.hardest[0]


def test_a_case_says_what_its_instance_is_like() -> None:
    instance = Instance(signal_plus_noise(np.random.default_rng(0), 3, 4, 6), Run("ngd", "logistic", 5, eta=0.25))
    gamma = Geometry(instance.dataset).max_margin.gamma  # type: ignore[union-attr]
    judgement = Judgement(HOLDS, steps=6, informative=6, worst_log_ratio=-0.5, worst_step=4)
    body = PointwiseEvidence(planted.FALSE[0])
    body.add("family", instance, judgement, [], gamma)
    assert body.cases == [Case("family", "ngd", "logistic", 3, 4, 6, gamma, 0.25, -0.5, 4, instance.id)]
    body.add("family", instance, Judgement(NOT_APPLICABLE, "no"), [])
    assert len(body.cases) == 1
    body.add("other", instance, judgement, [Finding(HOLDS, 4, 128, "", "", instance)])
    assert len(body.cases) == 2
    assert len(body.hardest) == 1  # the same instance again


def test_merging_is_what_one_worker_would_have_seen(evidence: dict[str, Any]) -> None:
    [body] = pointwise(evidence, "attention.ngd.norm.lower")
    parts = [pickle.loads(pickle.dumps(deepcopy(body))) for _ in range(2)]  # as they come from other processes
    half = len(body.cases) // 2
    parts[0].cases, parts[1].cases = body.cases[:half], body.cases[half:]
    parts[0].hardest, parts[1].hardest = body.hardest[1:], body.hardest[:1]
    parts[0].merge(parts[1])
    assert parts[0].cases == body.cases
    assert [run.instance.id for run in parts[0].hardest] == [run.instance.id for run in body.hardest]


def test_failed_hypotheses_add_up(evidence: dict[str, Any]) -> None:
    for body in evidence.values():
        if body.reasons:
            table = failed_hypotheses(body)
            failed = [int(row[1].replace(",", "")) for row in table.rows if row[1] != "–"]  # type: ignore[union-attr]
            assert sum(failed) == body.outcomes[NOT_APPLICABLE]
            assert [row[0] for row in table.rows[: len(body.theorem.assumes)]] == [
                assumption.describe() for assumption in body.theorem.assumes
            ]


@pytest.mark.parametrize(
    ("log_ratio", "upper", "words"),
    [
        (math.log10(1 / 8.3), True, "the bound is 8.3 times what happens"),
        (math.log10(1 / 8.3), False, "what happens is 8.3 times the bound"),
        (math.log10(1 / 8.3), None, "the larger side is 8.3 times the smaller one"),
        (-12.0, True, "the bound is 10¹² times"),
        (math.log10(1 - 2e-4), True, "within 0.02 % of equality"),
        (math.log10(0.99) + 1e-6, False, "within 1 % of equality"),
        (-4.342944819e-10, True, "within 10⁻⁹ of equality"),
        (0.0, True, "equal within float64's accuracy"),
    ],
)
def test_tightness_is_a_factor_that_never_rounds_to_one(log_ratio: float, upper: bool | None, words: str) -> None:
    assert words in tightness(log_ratio, upper=upper)


def test_a_confirmed_theorem_says_how_tight_it_is(evidence: dict[str, Any]) -> None:
    loose, tight = pointwise(evidence, "attention.ngd.direction", "attention.ngd.norm.lower")
    assert loose.worst is not None
    factor = f"{10.0**-loose.worst.log_ratio:.3g}"
    assert f"{loose.applicable} datasets up to step {STEPS}" in loose.sentence
    assert loose.sentence.endswith(f"; at its tightest the bound is {factor} times what happens")
    assert tight.sentence.endswith("; attained with equality")


def test_large_steps_are_written_with_separators() -> None:
    body = PointwiseEvidence(planted.FALSE[0], instances=1200, last_step=10_000)
    body.outcomes[HOLDS] = 1200
    assert "among 1,200 datasets up to step 10,000, none of them certified" in body.sentence


# ---------------------------------------------------------------------------------------------- figures
def test_a_true_theorem_has_slack_ratios_and_dependence(evidence: dict[str, Any]) -> None:
    for body in pointwise(evidence, "attention.gradient-domination", "attention.ngd.norm.lower"):
        figures = [figure(body) for figure in (slack_figure, ratio_figure, dependence_figure)]
        assert all(figure is not None for figure in figures)
        hardest = strips((case.source, case.log_ratio) for case in body.cases)[0]
        assert figures[1] is not None
        assert hardest.name in figures[1].alt
        assert f"each of {len(body.cases)} instances" in figures[1].alt


def test_nothing_is_drawn_of_nothing() -> None:
    body = PointwiseEvidence(planted.FALSE[0])
    assert [figure(body) for figure in (slack_figure, ratio_figure, dependence_figure)] == [None] * 3


def test_the_median_slack_is_that_of_the_runs(evidence: dict[str, Any], drawn: list[Any]) -> None:
    [body] = pointwise(evidence, "attention.ngd.norm.lower")
    assert slack_figure(body) is not None
    [data] = drawn
    for row in data["band"][:: len(data["band"]) // 3]:
        step, values = round(10 ** row["x"]), []
        for one in body.runs:
            assert one.curve is not None
            at = np.flatnonzero(one.curve.t == step)
            if at.size and np.isfinite(one.curve.large[at[0]] - one.curve.small[at[0]]):
                values.append(float(one.curve.large[at[0]] - one.curve.small[at[0]]))
        if len(values) == len(body.runs):  # no run was interpolated there
            assert row["low"] == pytest.approx(min(np.quantile(values, 0.1), 12.0), abs=2e-3)
            assert row["high"] == pytest.approx(min(np.quantile(values, 0.9), 12.0), abs=2e-3)
    equality = [row for row in data["lines"] if row.get("series") == "equality"]
    assert all(row["y"] == 0 for row in equality)


def many(size: int) -> PointwiseEvidence:
    """Evidence over many made-up instances, one of them broken and one at ratio 0."""
    random = np.random.default_rng(0)
    body = PointwiseEvidence(planted.FALSE[0])
    for k in range(size):
        log_ratio = {0: 0.4, 1: -math.inf, 2: -40.0}.get(k, -float(random.exponential()))
        n, T, d = (int(x) for x in random.integers(1, 5, 3))
        gamma = None if k % 7 == 0 else float(random.exponential())
        rule, loss = ("ngd", "gd")[k % 2], ("logistic", "exponential")[k % 3 == 0]
        case = Case(f"family {k % 11}", rule, loss, n, T, d, gamma, 2.0 ** (k % 5), log_ratio, 7, f"{k:012x}")
        body.cases.append(case)
    return body


def test_figures_of_many_instances_stay_small_and_keep_the_extremes(drawn: list[Any]) -> None:
    body = many(3000)
    for figure in (ratio_figure, dependence_figure):
        assert figure(body) is not None
    ratios, dependence = drawn
    assert len(ratios["marks"]) <= 400
    assert len(dependence["cases"]) <= 100
    assert max(row["x"] for row in ratios["marks"]) == 0.4
    assert max(row["y"] for row in dependence["cases"]) == 0.4
    for data in drawn:  # columns, as they stand in the page
        columns = {name: {key: [row[key] for row in rows] for key in rows[0]} for name, rows in data.items()}
        assert len(json.dumps(columns, separators=(",", ":"))) < 5_000


def test_what_lies_beyond_the_axis_is_said() -> None:
    figure = ratio_figure(many(30))
    assert figure is not None
    assert "Instances on the left edge: 1 below 10⁻¹² and 1 at 0." in figure.alt
    assert "Drawn are" not in figure.alt or "the extremes of each row" in figure.alt


def test_thinning_keeps_both_ends_and_no_more_than_it_may() -> None:
    values = np.random.default_rng(1).standard_normal(1000)
    kept = thin(values, 20)
    assert kept.size == 20
    assert (kept[0], kept[-1]) == (values.min(), values.max())
    assert set(kept) <= set(values)
    assert thin(values[:3], 20).tolist() == sorted(values[:3])


def test_the_line_of_largest_ratios_lies_above_every_instance_of_its_bin() -> None:
    cases = [case for case in many(400).cases if math.isfinite(case.log_ratio)]
    ratios = np.array([case.log_ratio for case in cases])
    for panel in panels_of(cases):
        tops = panel.tops(ratios)
        width = (panel.high - panel.low) / 6
        for place, top in tops:
            k = min(int((place - panel.low) / width), 5)
            inside = [
                ratio
                for value, ratio in zip(panel.values, ratios, strict=True)
                if not math.isnan(value) and min(int((value - panel.low) / width), 5) == k
            ]
            assert top == pytest.approx(max(inside))
        assert max(top for _, top in tops) == max(r for r, v in zip(ratios, panel.values, strict=True) if v == v)


def test_quantities_that_do_not_vary_have_no_panel() -> None:
    cases = [Case("f", "ngd", "logistic", 2, 3, k, None, 1.0, -1.0, 0, str(k)) for k in (1, 2, 3)]
    assert [panel.name for panel in panels_of(cases)] == ["d"]
    assert panels_of(cases[:1]) == []


def test_measured_exponents_are_shown_by_strategy(evidence: dict[str, Any], drawn: list[Any]) -> None:
    body = evidence[ORDER]
    assert isinstance(body, OrderEvidence)
    figure = exponent_figure(body)
    assert figure is not None
    assert f"{len(body.telling)} runs" in figure.alt
    [data] = drawn
    slopes = {round(run.exponent.slope, 3) for run in body.telling}
    assert {row["x"] for row in data["marks"]} == slopes


# ----------------------------------------------------------------------------------- hardest instances
def test_hardest_commands_really_run(
    evidence: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts = [Verdict(evidence[id]) for id in (*TRUE, LIMIT)]
    commands = save_hardest(verdicts, tmp_path / "hard instances")
    assert set(commands) == set(TRUE)
    for verdict in verdicts[: len(TRUE)]:
        id, body = verdict.theorem.id, verdict.evidence
        assert isinstance(body, PointwiseEvidence)
        assert len(commands[id]) == len(body.hardest)
        words = shlex.split(commands[id][0])
        assert words[:3] == ["ratecheck", "certify", id]
        assert words[-2:] == ["--steps", str(min(body.hardest[0].step, MOST_STEPS))]
        assert run(words[1:]) == 0
        said = capsys.readouterr().out
        assert f"steps 0–{words[-1]}" in said
        assert "held at" in said or "attained with equality" in said
        assert Path(words[3]).stem == body.hardest[0].instance.id
    ids = {run.instance.id for body in pointwise(evidence, *TRUE) for run in body.hardest}
    assert {path.stem for path in (tmp_path / "hard instances").iterdir()} == ids


def test_a_false_theorem_of_a_file_is_convicted_by_its_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from bounds import *\n"
        'X = Theorem("mine.short", "short", ATTENTION, [Rule("ngd")], norm <= 2, Conjecture(source="a guess"))\n'
    )
    theorem = Theorem("mine.short", "short", ATTENTION, [], norm <= 2, Conjecture(source="a guess"))
    body = evidence_for(theorem)
    hold_trial({theorem.id: body}, Profile(2, 20), seed=0)
    assert isinstance(body, PointwiseEvidence)
    [line, *_] = save_hardest([Verdict(body)], tmp_path / "hard", file)[theorem.id]
    assert shlex.split(line)[-2:] == ["--file", str(file)]
    run(shlex.split(line)[1:])
    assert "VIOLATED" in capsys.readouterr().out or body.hardest[0].instance.run.rule != "ngd"


def test_the_page_lists_the_hardest_with_their_commands(evidence: dict[str, Any]) -> None:
    body = evidence[TRUE[0]]
    html = page(Section.of(Verdict(body), hardest=["ratecheck certify <1>", "ratecheck certify 2"]))
    assert html.count('<code class="reproduce">') == html.count('<button class="copy" type="button">') == 2
    assert "ratecheck certify &lt;1&gt;" in html
    assert all(run.instance.id in html for run in body.hardest)
    assert "The hardest instances" in page(Section.of(Verdict(body)))
