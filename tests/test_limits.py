"""Limit claims: reached, approaching, settled elsewhere; and the trap lemma that refutes some of them outright."""

from pathlib import Path

import numpy as np
import pytest
import sympy as sp

from bounds import (
    ATTENTION,
    Conjecture,
    EqualScores,
    InvalidClaim,
    Rule,
    Separable,
    Tends,
    Theorem,
    ZeroInit,
    norm,
    t,
)
from bounds import direction_gap as gap
from bounds.catalogue import THEOREMS
from models.attention import Geometry, train
from models.dataset import TokenDataset
from models.instance import Instance, Run
from properties.certify import refute_limit
from properties.evidence import evidence_for
from properties.limits import LimitEvidence, extrapolate
from properties.observables import Measurement
from properties.settling import explain
from properties.store import load, rejudge, save
from properties.trap import find_trap
from properties.trial import Profile, hold_trial
from properties.verdict import Verdict
from properties.windows import Windows

STEPS, DENSE = 2**14, 512
#: docs/theory.md#trap-data: tokens, decoder, queries (None: the first token).
TRAPS = {
    "A": ([[[0, 0, 1], [-1, 0, 1]], [[0, 0, 1], [2, -1, 1]]], [40, 81, 0], None),
    "B": ([[[0, 0, 1, 0], [-2, 0, 0, 0]], [[0, 0, 0, 1], [4, -2, 0, 0]]], [10, 20, 0, 1], [[1, 0, 0, 0]] * 2),
    "C": ([[[0, 0, 2, 0], [-2, 0, 0, 0]], [[0, 0, 1, 2], [16, -4, 0, 0]]], [1, 1, 0, 7], None),
    "D": ([[[0, 0, 8, 0], [-8, 0, 0, 0]], [[0, 0, 1, 8], [160, -12, 0, 0]]], [1, 12, 0, 3], None),
}
LIMITS = {"A": 0.684, "B": 0.558, "C": 0.0901, "D": 0.0121}
FRIENDLY = TokenDataset([[[1.0, 0.0], [0.0, 0.5]], [[1.0, 0.5], [0.0, 1.0]]], [1, 1], [1.0, 0.0])


def trap_data(name: str) -> TokenDataset:
    X, u, query = TRAPS[name]
    return TokenDataset(X, [1, 1], u, query)


def claim(rule: str = "ngd", quantity: sp.Expr = gap, to: sp.Expr | int = 0) -> Theorem:
    assumes = [Separable(), EqualScores(), ZeroInit(), Rule(rule)]
    return Theorem(
        "planted.limit", "planted", ATTENTION, assumes, Tends(quantity, to), Conjecture(source="planted")
    )


def measured(dataset: TokenDataset, run: Run) -> Measurement:
    instance, geometry = Instance(dataset, run), Geometry(dataset)
    return Measurement(instance, geometry, train(instance, geometry, DENSE))


def judged(theorem: Theorem, dataset: TokenDataset, run: Run) -> LimitEvidence:
    body = LimitEvidence(theorem)
    first = measured(dataset, run)
    body.add(first, "test", lambda steps: measured(dataset, first.instance.with_run(steps=steps).run))
    return body


@pytest.mark.parametrize("name", TRAPS)
@pytest.mark.parametrize("loss", ["logistic", "exponential"])
def test_traps_are_proved_and_runs_go_where_the_theory_says(name: str, loss: str) -> None:
    dataset = trap_data(name)
    for run in (Run("ngd", loss, STEPS, eta=0.25), Run("gd", loss, 0, eta=1e-3), Run("polyak", loss, 0, zeta=1.0)):
        trap = find_trap(Instance(dataset, run))
        assert trap is not None
        assert (trap.step, trap.lost, trap.winner) == (0, 1, 0)
    trajectory = measured(dataset, Run("ngd", loss, STEPS, eta=0.25)).trajectory
    assert (trajectory.column("margin_min")[1:] < 0).all()
    assert trajectory.column("direction_gap")[-1] == pytest.approx(LIMITS[name], rel=0.02)


def test_friendly_data_hold_no_trap() -> None:
    assert find_trap(Instance(FRIENDLY, Run("ngd", "logistic", 10, eta=0.25))) is None


def test_a_trap_needs_its_conditions() -> None:
    """The same data with the gaps exchanged (T4 fails), and with the opposition halved (T2 fails)."""
    exchanged = TokenDataset(trap_data("A").X, [1, 1], [1.0, -38.0, 0.0])
    assert find_trap(Instance(exchanged, Run("ngd", "logistic", 0, eta=0.25))) is None
    weaker = TokenDataset([[[0.0, 0, 1], [-1.0, 0, 1]], [[0.0, 0, 1], [0.5, -1, 1]]], [1, 1], [40.0, 81, 0])
    assert find_trap(Instance(weaker, Run("ngd", "logistic", 0, eta=0.25))) is None


def test_a_trapped_limit_is_falsified_with_a_certificate_that_replays(tmp_path: Path) -> None:
    body = judged(claim(), trap_data("A"), Run("ngd", "logistic", STEPS, eta=0.25))
    assert body.verdict == "falsified"
    assert body.outcomes["trapped for ever"] == 1
    assert body.counterexample is not None
    stored = load(save(body.counterexample, tmp_path, {}))
    assert rejudge(stored, claim()).outcome == "violated"


def test_a_false_hypothesis_is_no_counterexample() -> None:
    """The trap holds, but not for a claim about NGD when the run is GD's."""
    instance = Instance(trap_data("A"), Run("gd", "logistic", 0, eta=0.25))
    assert refute_limit(claim("ngd"), instance, Geometry(instance.dataset)).outcome == "not applicable"
    assert refute_limit(claim("gd"), instance, Geometry(instance.dataset)).outcome == "violated"
    assert refute_limit(claim("gd", norm, 0), instance, Geometry(instance.dataset)).outcome == "undecided"


def test_a_limit_that_is_reached_is_consistent() -> None:
    body = judged(claim(), FRIENDLY, Run("ngd", "logistic", STEPS, eta=0.25))
    assert body.verdict == "consistent"
    assert body.outcomes["reached"] == 1


def test_a_wrong_limit_meets_evidence_against() -> None:
    body = judged(claim(to=sp.Rational(1, 2)), FRIENDLY, Run("ngd", "logistic", STEPS, eta=0.25))
    assert body.verdict == "evidence against"
    assert "falsified" not in body.sentence


def test_an_infinite_limit() -> None:
    assert judged(claim(quantity=norm, to=sp.oo), FRIENDLY, Run("ngd", "logistic", STEPS, eta=0.25)).verdict == (
        "consistent"
    )
    bounded = judged(claim(quantity=norm / (1 + t), to=sp.oo), FRIENDLY, Run("ngd", "logistic", STEPS, eta=0.25))
    assert bounded.verdict == "evidence against"


def test_a_run_that_stands_still_says_nothing() -> None:
    """GD from a saturated start moves by e^{-60}: that it has not arrived is no evidence."""
    theorem = Theorem(
        "planted.any", "planted", ATTENTION, [Separable(), Rule("gd")], Tends(gap, 0), Conjecture(source="planted")
    )
    run = Run("gd", "logistic", STEPS, eta=0.25, W_0=np.array([[0.0, 60.0], [60.0, 0.0]]))
    body = judged(theorem, FRIENDLY, run)
    assert body.verdict == "inconclusive"
    assert body.outcomes["still at its start"] == 1


def test_tiny_margins_are_not_taken_for_a_wrong_limit() -> None:
    tiny = TokenDataset([[[1.0, 0.0], [1.0 - 2.0**-20, 1.0], [1.0 - 2.0**-20, -1.0]]], [1], [1.0, 0.0])
    body = judged(claim(), tiny, Run("ngd", "logistic", STEPS, eta=0.25))
    assert body.verdict != "evidence against"


def test_extrapolation_is_exact_for_its_model() -> None:
    t = np.exp2(np.arange(8.0, 15.0))
    assert extrapolate(Windows(t, 0.3 + 0.7 / np.log(t))) == pytest.approx(0.3)


@pytest.mark.parametrize("id", ["attention.equal-scores.ngd.limit", "attention.near-orthogonal.gd.limit"])
def test_the_search_itself_finds_the_trap(id: str) -> None:
    [theorem] = [x for x in THEOREMS if x.id == id]
    evidence = {id: evidence_for(theorem)}
    hold_trial(evidence, Profile(1, 1, 24, 2048), seed=0)
    assert Verdict(evidence[id]).name == "falsified"


def test_why_a_run_settled_elsewhere() -> None:
    body = judged(claim(), trap_data("A"), Run("ngd", "logistic", STEPS, eta=0.25))
    settled = explain(body.runs[0])
    assert settled.lost == (1,)
    assert settled.cosine == pytest.approx(1 - LIMITS["A"], abs=0.02)
    assert settled.cosine_without == pytest.approx(1.0, abs=1e-3)
    assert "sequence 2" in settled.reason
    assert settled.beyond is not None
    assert settled.beyond > 0


@pytest.mark.parametrize("to", [sp.Symbol("x"), "0", sp.I, True, sp.nan])
def test_limits_that_cannot_be_stated(to: sp.Expr) -> None:
    with pytest.raises(InvalidClaim, match="give a real number or oo"):
        claim(to=to)
