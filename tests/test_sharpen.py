"""Sharpening: factors and powers that survive, their blockers certified, and a source that says the same."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from rich.console import Console
from sympy import Rational, exp, sqrt

from bounds import (
    ATTENTION,
    B,
    Conjecture,
    DecoderSeparable,
    Order,
    PositiveCoefficients,
    Rule,
    Separable,
    Theorem,
    ZeroInit,
    alignment,
    alignment_0,
    direction_gap,
    eta,
    gamma,
    leak_max,
    norm,
    norm_0,
    t,
)
from bounds.catalogue import THEOREMS, load_file
from bounds.sharper import Sharpening, sharper, sharper_order, with_longer_steps
from bounds.source import expression_source, module_source, theorem_source
from models.instance import Instance
from models.trajectory import RECORD_LIMIT
from properties import corpus
from properties.hunt import Budget
from properties.judge import judge
from properties.sharpen import EQUAL, SHIFTS, Survey, certificate, envelope, frontier
from properties.sharpen_orders import sharpen_order
from properties.sharpen_search import SAFETY, Effort, sample, sharpen
from properties.sharpen_steps import longer_steps
from properties.systems import tools
from properties.trial import Profile
from ratecheck.cli import run
from ratecheck.sharpen import Request, run_sharpen

BY_ID = {theorem.id: theorem for theorem in THEOREMS}
N2 = BY_ID["attention.ngd.direction"]
LOWER = BY_ID["attention.ngd.norm.lower"]
NGD = [Separable(), PositiveCoefficients(), Rule("ngd")]
SMALL = Effort(24, 120)
ZERO = sp.Integer(0)


def planted(name: str, claim: object, **more: Any) -> Theorem:
    return Theorem(name, name, ATTENTION, more.pop("assumes", NGD), claim, Conjecture(source="planted"), **more)


#: Twice as much as is true, and attained with equality by half of it.
LOOSE = planted("loose.norm", norm <= 2 * (norm_0 + eta * t), assumes=[Rule("ngd"), ZeroInit()])
#: The same with a power of t to spare.
SLOW = planted("slow.norm", norm <= eta * t ** Rational(3, 2), assumes=[Rule("ngd"), ZeroInit()], domain=t >= 1)
#: A lower bound with half of what is true.
LOOSE_LOWER = planted("loose.alignment", alignment >= eta * t * gamma / (2 * B), assumes=[*NGD, ZeroInit()])
FALSE = planted("false.alignment", alignment >= alignment_0 + 2 * eta * t * gamma / B)


# ------------------------------------------------------------------------------------------- the statements
@pytest.mark.parametrize("log10", [-7.3, -0.30103, -0.004, 0.0, 0.3, 2.0, math.log10(0.37)])
@pytest.mark.parametrize("theorem", [N2, LOWER])
def test_factors_have_two_digits_and_are_on_the_safe_side(theorem: Theorem, log10: float) -> None:
    allowed = Sharpening.at_least(theorem, ZERO, log10)
    tighter = allowed.tighter(theorem, log10)
    assert tighter.log10 < log10 <= allowed.log10 + 1e-9
    assert allowed.log10 - tighter.log10 <= 2 * math.log10(1.1) + 1e-9
    for change in (allowed, tighter):
        digits = f"{float(change.factor):.12e}".split("e")[0].replace(".", "").rstrip("0")
        assert len(digits) <= 2
        assert (change.log10 >= 0) == ((change.factor >= 1) if theorem.bound_is_upper else (change.factor <= 1))


def test_a_sharper_claim_is_the_bound_times_a_factor_and_a_power() -> None:
    change = Sharpening(Rational(1, 2), Rational(1, 4), math.log10(0.25))
    upper = sharper(LOOSE, change, "x")
    assert upper.large == LOOSE.large / (4 * sqrt(t))
    assert upper.domain == (t >= 1)
    lower = sharper(LOOSE_LOWER, change, "x")
    assert lower.small == sqrt(t) * LOOSE_LOWER.small / 4
    assert isinstance(upper.status, Conjecture)


@pytest.mark.parametrize(
    "theorem", [BY_ID["attention.ngd.sparsity-any-step"], planted("early", norm <= t, domain=t <= 9)]
)
def test_a_domain_that_may_contain_step_0_is_kept(theorem: Theorem) -> None:
    changed = sharper(theorem, Sharpening(Rational(1, 2), sp.Integer(1), 0.0), "x")
    assert changed.domain == theorem.domain
    assert changed.large == theorem.large / sqrt(sp.Max(t, 1))


def test_orders_and_step_sizes() -> None:
    order = planted("o", Order(direction_gap, 1 / t))
    assert sharper_order(order, Rational(1, 4), "x").claim.rate == t ** Rational(-5, 4)  # type: ignore[union-attr]
    least = planted("o", Order(norm, t, "Omega"))
    assert sharper_order(least, Rational(1, 4), "x").claim.rate == t ** Rational(5, 4)  # type: ignore[union-attr]
    limits = [a for a in BY_ID["attention.gd.loss"].assumes if hasattr(a, "limit")]
    longer = with_longer_steps(BY_ID["attention.gd.loss"], Rational(3, 2), "x")
    assert [a.limit for a in longer.assumes if hasattr(a, "limit")] == [3 * a.limit / 2 for a in limits]


# ---------------------------------------------------------------------------------------------- the source
def test_every_changed_theorem_reads_back_the_same(tmp_path: Path) -> None:
    made: list[Theorem] = []
    for theorem in THEOREMS:
        if theorem.kind == "pointwise":
            made.append(sharper(theorem, Sharpening.at_least(theorem, ZERO, -0.3), f"a.{theorem.id}"))
            made.append(sharper(theorem, Sharpening.at_least(theorem, Rational(3, 8), 0.5), f"b.{theorem.id}"))
            made.append(with_longer_steps(theorem, Rational(3, 2), f"c.{theorem.id}"))
        elif theorem.kind == "order":
            made.append(sharper_order(theorem, Rational(3, 8), f"d.{theorem.id}"))
    path = tmp_path / "sharper.py"
    path.write_text(module_source([(theorem, "a remark\nin two lines") for theorem in made], "Heading."))
    assert load_file(path) == made


@pytest.mark.parametrize(
    "expression",
    [
        Rational(19, 10) * (t - 1) / (norm + exp(t) - 1),
        -Rational(2, 3) * (t + norm),
        Rational(1, 2) + sp.sqrt(t) / 3,
        sp.Float(0.1) * t,
        sp.E * t ** Rational(-3, 4),
        sp.Max(t, 1) ** Rational(1, 3) * sp.Abs(alignment),
    ],
)
def test_expressions_are_written_without_floating_quotients(expression: sp.Expr, tmp_path: Path) -> None:
    theorem = planted("x.y", direction_gap <= expression)
    assert "Rational" in expression_source(t ** Rational(1, 3))
    path = tmp_path / "x.py"
    path.write_text(module_source([(theorem, "")], "Heading."))
    [loaded] = load_file(path)
    assert sp.srepr(loaded.claim) == sp.srepr(theorem.claim)


def test_a_title_cannot_break_out_of_its_string() -> None:
    title = 'quote " and \' and \\ and """ and\nnewline'
    source = theorem_source(Theorem("x", title, ATTENTION, NGD, norm <= t, Conjecture()), "X")
    compile(source, "x", "exec")
    assert repr(title) in source
    assert DecoderSeparable.__name__ not in source


# -------------------------------------------------------------------------------------------- the envelope
def measured(theorem: Theorem, steps: int = 60) -> list[Any]:
    """Some runs on which a theorem speaks."""
    seen = sample(theorem, Effort(12, steps), 3, ())
    system = tools(theorem.system)
    instances = {block.instance.id: block.instance for block in seen.blocks if block is not None}
    return [system.measure(x, system.geometry(x), RECORD_LIMIT) for x in instances.values()]


@pytest.mark.parametrize(
    "theorem",
    [
        N2,
        LOOSE_LOWER,
        *(BY_ID[f"attention.{name}"] for name in ("gd.loss", "master-closed", "gradient-domination")),
    ],
)
def test_the_envelope_is_what_the_judge_would_say_of_every_changed_claim(theorem: Theorem) -> None:
    for measurement in measured(theorem):
        found = envelope(theorem, measurement)
        assert found is not None
        for index in (0, 4, 12):
            need = float(found.needs[index])
            if need == -math.inf:
                continue
            outcomes = []
            for offset in (0.01, -0.01):
                factor = Rational(*float(10.0 ** (need + offset)).as_integer_ratio())
                factor = factor if theorem.bound_is_upper else 1 / factor
                claim = sharper(theorem, Sharpening(SHIFTS[index], factor, need + offset), "x")
                outcomes.append(judge(claim, measurement))
            assert outcomes[0].violated == 0
            assert outcomes[1].violated > 0
            assert outcomes[1].worst_log_ratio == pytest.approx(0.01, abs=1e-6)


def test_steps_outside_the_domain_and_step_0_do_not_count() -> None:
    late = planted("late", norm <= 2 * (norm_0 + eta * t), assumes=[Rule("ngd"), ZeroInit()], domain=t >= 30)
    [measurement, *_] = measured(LOOSE)
    whole, part = envelope(LOOSE, measurement), envelope(late, measurement)
    assert whole is not None
    assert part is not None
    assert whole.steps.min() >= 1
    assert part.steps.min() >= 30
    assert (part.needs <= whole.needs + 1e-12).all()


def test_surveys_add_up() -> None:
    parts = [sample(N2, Effort(10, 40), seed, ()) for seed in (1, 2)]
    total = Survey(N2)
    for part in parts:
        total.merge(part)
    assert total.applicable == sum(part.applicable for part in parts)
    for index in range(len(SHIFTS)):
        needs = [block.need for part in parts if (block := part.blocks[index]) is not None]
        block = total.blocks[index]
        assert block is not None
        assert block.need == pytest.approx(max(needs), abs=1e-9)
    assert np.array_equal(total.rising, parts[0].rising + parts[1].rising)


# -------------------------------------------------------------------------------------------- the frontier
def test_a_tight_bound_has_no_room_and_its_equality_is_certified() -> None:
    found = sharpen(LOWER, SMALL)
    [point] = found.points
    assert point.change.changes_nothing
    [said] = found.certificates
    assert said.holds is not None
    assert said.holds.outcome == "tight"
    assert said.tighter.factor == Rational(11, 10)
    assert said.blocks
    assert found.block(point).instance.dataset.N == 1
    assert found.improvements == ()


@pytest.mark.parametrize(("theorem", "exact"), [(LOOSE, Rational(1, 2)), (LOOSE_LOWER, sp.Integer(2))])
def test_a_loose_constant_is_found_but_never_undercut(theorem: Theorem, exact: sp.Rational) -> None:
    found = sharpen(theorem, SMALL)
    point, said = found.points[0], found.certificates[0]
    assert point.change.shift == 0
    assert abs(float(point.change.factor / exact) - 1.0) < 0.06
    assert (point.change.factor >= exact) == theorem.bound_is_upper or point.change.factor == exact
    assert said.holds is not None
    assert said.holds.outcome in ("holds", "tight")
    assert said.blocks


def test_a_power_to_spare_is_found_and_no_more() -> None:
    found = sharpen(SLOW, SMALL)
    settled = [point for point in found.points if found.block(point).settled]
    assert max(point.change.shift for point in settled) == Rational(1, 2)
    [best] = [point for point in settled if point.change.shift == Rational(1, 2)]
    assert best.change.factor == 1


def test_the_hunt_and_the_corpus_raise_a_frontier() -> None:
    few = Effort(6, 60)
    alone = sharpen(N2, few)
    hunted = sharpen(N2, Effort(6, 60, hunt=Budget(evaluations=240)))
    assert hunted.hunted > hunted.hunted_fresh > 0
    assert alone.hunted == alone.hunted_fresh == 0
    for point in hunted.points:  # what stands is what neither hunt broke
        assert hunted.block(point).need <= point.change.log10 + EQUAL
    assert hunted.block(hunted.points[0]).need >= alone.block(alone.points[0]).need
    hard = hunted.block(hunted.points[0]).instance
    fed = sharpen(N2, few, [hard])
    assert fed.known == 1
    assert fed.block(fed.points[0]).need >= hunted.block(hunted.points[0]).need - 1e-9


def test_what_fresh_instances_break_is_raised_until_it_stands() -> None:
    effort = Effort(24, 60, seed=2)
    found = sharpen(N2, effort)
    assert found.raised > 0
    first = frontier(sample(N2, effort, 2, ()), [SAFETY] * len(SHIFTS))
    raised = [b.change.log10 - a.change.log10 for a, b in zip(first, found.points, strict=False)]
    assert min(raised) >= 0.0
    assert max(raised) > 0.0
    again = sample(N2, effort, effort.seed + 1 + found.raised, found.points)
    assert again.applicable == found.fresh.applicable >= 24
    assert not again.broken
    assert not again.withdrawn


def test_a_claim_that_is_too_sharp_is_seen_to_break() -> None:
    seen = sample(N2, Effort(40, 60), 0, ())
    points = frontier(seen, [0.5] * len(SHIFTS))
    fresh = sample(N2, Effort(40, 60), 1, points)
    assert set(fresh.broken) == {point.index for point in points}
    block = seen.blocks[0]
    assert block is not None
    said = certificate(N2, points[0], block)
    assert said.holds is not None
    assert said.holds.outcome == "violated"


# --------------------------------------------------------------------------------------- orders and step sizes
def test_the_exponent_of_an_order_is_shifted_as_far_as_the_slowest_run_permits() -> None:
    spare = planted("spare", Order(norm, t ** Rational(3, 2)), assumes=[Rule("ngd"), *NGD[:2], ZeroInit()])
    found = sharpen_order(spare, Effort(8, 2**11))
    assert found.spare is not None
    assert found.spare[0] == pytest.approx(0.5, abs=0.1)
    assert found.shift in (Rational(3, 8), Rational(1, 2))
    assert found.theorem is not None
    assert found.fresh is not None
    assert found.fresh.verdict == "consistent"
    counts = [count for _, count in found.frontier()]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0


def test_an_exact_order_has_no_exponent_to_shift() -> None:
    found = sharpen_order(BY_ID["attention.ngd.order.norm"], Effort(4, 2**11))
    assert found.shift == 0
    assert found.theorem is None


def test_the_largest_multiple_of_the_step_size_and_what_breaks_the_next() -> None:
    found = longer_steps(BY_ID["attention.gd.loss"], Profile(24, 60), 0)
    assert found is not None
    assert 1 <= found.survived < 1024
    assert found.broken is not None
    assert found.broken > found.survived
    assert found.counterexample is not None
    assert (
        found.counterexample.theorem.canonical()
        == with_longer_steps(BY_ID["attention.gd.loss"], found.broken, "x").canonical()
    )
    assert longer_steps(N2, Profile(4, 10), 0) is None


# --------------------------------------------------------------------------------------------- the command
def command(*arguments: str) -> list[str]:
    return ["sharpen", *arguments, "--examples", "24", "--steps", "60", "--budget", "0", "--workers", "1"]


def test_the_command_writes_a_file_that_verify_confirms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, result = tmp_path / "sharpened.py", tmp_path / "result.json"
    arguments = command(N2.id, "--corpus", str(tmp_path), "--output", str(output), "--json", str(result))
    assert run(arguments) == 0
    assert "Constant alone: factor" in capsys.readouterr().out
    data = json.loads(result.read_text())
    assert data["schema"] == "ratecheck/sharpen/1"
    assert data["source"] == output.read_text()
    row = data["frontier"][0]
    assert row["next_is_broken"] is True
    assert row["asked"] <= float(Rational(row["factor"]))
    assert Instance.from_json(row["blocked_by"]["instance"]).id == row["blocked_by"]["instance_id"]
    assert "fresh instances" in data["source"]
    assert [theorem.id for theorem in load_file(output)] == data["improvements"]
    verdicts = ["--examples", "24", "--steps", "60", "--counterexamples", str(tmp_path / "c"), "--json", "-"]
    assert run(["verify", "--file", str(output), *verdicts]) == 0
    judged = json.loads(capsys.readouterr().out)["theorems"]
    assert {theorem["verdict"] for theorem in judged} == {"confirmed"}


def test_a_tight_theorem_is_said_to_be_so_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "sharpened.py"
    assert run(command(LOWER.id, "--corpus", str(tmp_path), "--output", str(output))) == 0
    assert "No room in the constant: the lower bound is attained with equality" in capsys.readouterr().out
    assert not output.exists()


def test_a_theorem_that_falls_on_the_way_is_convicted(tmp_path: Path) -> None:
    request = Request.checked(FALSE, 0.0, None, 12, 40, 0, 1)
    outcome = run_sharpen(request, Console(file=io.StringIO()), None, tmp_path, tmp_path / "kept")
    assert outcome.exit_code == 1
    assert outcome.source is None
    assert outcome.counterexample is not None
    assert Path(outcome.counterexample).is_file()
    assert outcome.as_json()["falsified"] is True


def test_what_speaks_of_no_instance_is_not_settled(tmp_path: Path) -> None:
    never = planted("never", leak_max <= 1 / t, domain=t >= 10_000)
    request = Request.checked(never, 0.0, None, 3, 20, 0, 1)
    outcome = run_sharpen(request, Console(file=io.StringIO()), None, tmp_path, tmp_path)
    assert outcome.exit_code == 3
    assert outcome.as_json()["frontier"] == []


def test_hard_instances_of_the_corpus_are_taken_up(tmp_path: Path) -> None:
    hard = sharpen(N2, Effort(40, 60)).seen.blocks[0]
    assert hard is not None
    entry = corpus.Entry(hard.instance, hard.need, hard.step, "log10", N2.fingerprint, "random", 0)
    corpus.save(N2, "log10", [entry], tmp_path, {})
    request = Request.checked(N2, 0.0, None, 4, 60, 5, 1)
    outcome = run_sharpen(request, Console(file=io.StringIO()), None, tmp_path, tmp_path)
    assert outcome.pointwise is not None
    assert outcome.pointwise.known == 1
    assert outcome.pointwise.block(outcome.pointwise.points[0]).need >= hard.need - 1e-9


@pytest.mark.parametrize(
    "arguments",
    [
        ["attention.equal-scores.gd.limit"],
        ["N5"],
        [N2.id, "--examples", "0"],
        [N2.id, "--steps", "1"],
        ["attention.ngd.order.norm", "--steps", "100"],
        [N2.id, "--budget", "-1"],
        [N2.id, "--seed", "-1"],
    ],
)
def test_bad_arguments_are_one_clear_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sharpen", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ratecheck: error:")
    assert error.count("\n") == 1
