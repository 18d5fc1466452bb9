"""The soak reaches every corner of the strategies, counts what it sees, and reports a conviction."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given
from hypothesis import seed as seeded

from bounds import ATTENTION, Derived, Theorem, norm
from bounds.catalogue import THEOREMS
from models.attention import Geometry, train
from models.instance import Instance
from properties.certify import Finding
from properties.families_corners import EXTREME_MARGINS
from properties.judge import UNDECIDED, Judgement
from properties.soak import PORTION, Tally, cells, soak_unit, soak_units
from properties.store import load, rejudge
from properties.trial import quiet_settings
from properties.verdict import PointwiseEvidence
from ratecheck import cli_search
from ratecheck.cli import run
from ratecheck.soak import SoakOutcome

POINTWISE = [theorem for theorem in THEOREMS if theorem.kind == "pointwise"]
STEPS = 60
FALSE = Theorem("planted.derived", "a false proof", ATTENTION, [], norm <= 0, Derived(proof="docs/theory.md#f1"))


@cache
def drawn() -> tuple[Instance, ...]:
    """Instances of the attention system as a soak draws them."""
    found: list[Instance] = []
    for unit in soak_units([x for x in POINTWISE if x.system == ATTENTION], 3_000, STEPS, 0):

        @quiet_settings(unit.examples, (Phase.generate,))
        @seeded(unit.seed)
        @given(unit.setting.instances(unit.source, STEPS))
        def collect(instance: Any) -> None:
            found.append(instance)

        collect()
    return tuple(found)


# -------------------------------------------------------------------------------------------------- the units
@pytest.mark.parametrize("instances", [1, 17, 5_000, 100_000])
def test_units_add_up_and_are_spread_over_all_strategies(instances: int) -> None:
    units, places = soak_units(POINTWISE, instances, STEPS, 0), cells(POINTWISE)
    assert sum(unit.examples for unit in units) == instances
    assert max(unit.examples for unit in units) <= PORTION
    assert len({(unit.setting, unit.family) for unit in units}) == min(instances, len(places))
    assert len({(unit.setting, unit.family, unit.seed) for unit in units}) == len(units)


def test_every_unit_judges_all_theorems_of_its_system() -> None:
    for unit in soak_units(POINTWISE, 500, STEPS, 0):
        assert unit.theorems == tuple(x for x in POINTWISE if x.system == unit.theorems[0].system)


# ------------------------------------------------------------------------------------------------- the corners
def test_single_pairs_and_pairs_of_tokens_are_drawn() -> None:
    assert any(instance.dataset.N == 1 for instance in drawn())
    assert any(instance.dataset.T == 2 and instance.dataset.n > 1 for instance in drawn())


def test_subnormal_tokens_are_drawn() -> None:
    least = np.finfo(np.float64).tiny
    assert any(((x != 0) & (np.abs(x) < least)).any() for x in (i.dataset.X for i in drawn()))


def test_margins_of_a_hundred_millionth_are_drawn() -> None:
    ratios = []
    for instance in drawn():
        geometry = Geometry(instance.dataset)
        assert geometry.max_margin is not None
        ratios.append(geometry.max_margin.gamma / geometry.features.radius)
    assert min(ratios) < 1e-8
    assert sum(ratio < 1e-7 for ratio in ratios) >= 5


def test_nearly_parallel_queries_are_drawn() -> None:
    def sine(instance: Instance) -> float:
        q = instance.dataset.queries
        if len(q) < 2 or not q.any(axis=1).all():
            return 1.0
        unit = q / np.linalg.norm(q, axis=1, keepdims=True)
        return float(np.linalg.norm(unit[0] - unit[1]))

    sines = [sine(instance) for instance in drawn()]
    assert any(0.0 < value < 1e-5 for value in sines)
    assert any(value == 0.0 for value in sines)


def test_margins_are_tied_during_training() -> None:
    """Distinct features whose margins agree to the last bit, and not only at W = 0."""

    def tied(instance: Instance) -> bool:
        geometry = Geometry(instance.dataset)
        multipliers = geometry.max_margin
        gram = geometry.features.gram
        distinct = len({tuple(row) for row in gram.tolist()}) > 1
        return multipliers is not None and distinct and len({float(m) for m in multipliers.margins}) == 1

    assert sum(tied(instance) for instance in drawn()[:600]) >= 10


def test_huge_starts_and_saturated_runs_are_drawn() -> None:
    leaks: list[float] = []
    reaches: list[float] = []
    for instance in drawn():
        if instance.run.W_0 is not None:
            geometry = Geometry(instance.dataset)
            trajectory = train(instance.with_run(steps=0), geometry)
            reaches += trajectory.column("margin_largest").tolist()
            leaks += trajectory.column("log_leak_max").tolist()
    assert max(reaches) > EXTREME_MARGINS[0] / 2
    assert min(leaks) < np.log(np.finfo(np.float64).tiny)


# --------------------------------------------------------------------------------------------------- what it says
def test_no_derived_theorem_is_convicted_and_no_suspect_left_open() -> None:
    tally = Tally()
    for unit in soak_units(POINTWISE, 150, STEPS, 3):
        tally.merge(soak_unit(unit))
    assert tally.instances == 150
    assert tally.discoveries == []
    assert tally.undecided == 0
    assert tally.suspects == tally.certified > tally.tight > 0
    assert tally.judgements > 10 * tally.instances
    assert sum(tally.families.values()) == tally.instances
    assert sum(tally.outcomes.values()) > tally.judgements


def test_a_false_derived_theorem_is_reported_and_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(cli_search, "THEOREMS", (FALSE,))
    assert run(["soak", "--instances", "6", "--steps", "9", "--counterexamples", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "planted.derived is false" in said
    assert "ratecheck replay" in said
    for path in tmp_path.glob("planted.derived-*.json"):
        assert rejudge(load(path), FALSE).outcome == "violated"


def test_the_command_writes_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["soak", "--instances", "40", "--steps", "20", "--counterexamples", str(tmp_path), "--json", "-"]
    assert run(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["schema"] == "ratecheck/soak/1"
    assert result["instances"] == 40
    assert result["convicted"] == []
    assert result["left_open"] == 0
    assert result["suspects"] == result["certified"]
    assert result["memory_growth"] < 1.5
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_open_is_kept_with_its_instance() -> None:
    body, instance = PointwiseEvidence(FALSE), drawn()[0]
    body.add(
        "test", instance, Judgement(UNDECIDED, suspects=(2,)), [Finding(UNDECIDED, 2, 8192, "", "", instance)]
    )
    tally = Tally()
    tally.add(body)
    outcome = SoakOutcome(tally, 1, STEPS, 0)
    assert outcome.exit_code == 3
    [kept] = outcome.as_json()["open"]
    assert (kept["theorem"], kept["step"]) == (FALSE.id, 2)
    assert Instance.from_json(kept["instance"]).id == instance.id


@pytest.mark.parametrize(("option", "value"), [("--instances", "0"), ("--steps", "0"), ("--seed", "-1")])
def test_unusable_options_are_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["soak", option, value]) == 2
    assert f"{option} {value}" in capsys.readouterr().err
