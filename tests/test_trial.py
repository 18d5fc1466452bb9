"""Planted falsehoods are caught and certified; true and tight claims are not convicted."""

from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from sympy import exp

from bounds import (
    ATTENTION,
    B,
    Conjecture,
    EqualScores,
    PositiveCoefficients,
    Rule,
    Separable,
    T,
    Theorem,
    ZeroInit,
    alignment,
    alignment_0,
    direction_gap,
    eta,
    gamma,
    grad_norm,
    leak_min,
    loss_gap,
    norm,
    norm_0,
    s_min,
    t,
)
from bounds.catalogue import THEOREMS
from models.attention import Geometry, train
from models.dataset import TokenDataset
from models.instance import Instance, Run
from models.replay import ExactSetting, replay
from properties.evidence import evidence_for
from properties.observables import MEASURED, ExactMeasurement, Measurement
from properties.store import StoreError, load, rejudge, save
from properties.trial import Profile, hold_trial
from properties.verdict import PointwiseEvidence, Verdict

GUESS = Conjecture(source="planted")
SMALL = Profile(24, 300)
PC = [Separable(), PositiveCoefficients()]
NGD = [*PC, Rule("ngd")]

FALSE = [
    Theorem(
        "false.cubic",
        "too fast",
        ATTENTION,
        [Separable(), EqualScores(), ZeroInit(), Rule("ngd")],
        direction_gap <= 1 / t**3,
        GUESS,
        domain=t >= 10,
    ),
    Theorem("false.n1", "N1 doubled", ATTENTION, NGD, alignment >= alignment_0 + 2 * eta * t * gamma / B, GUESS),
    Theorem("false.f2", "F2 doubled", ATTENTION, PC, grad_norm >= 2 * gamma * s_min * loss_gap, GUESS),
    Theorem("false.f5", "F5, B halved", ATTENTION, [], leak_min >= (T - 1) / (exp(B * norm / 2) + T - 1), GUESS),
    Theorem(
        "false.n6",
        "N6, B halved",
        ATTENTION,
        [Rule("ngd")],
        leak_min >= (T - 1) / (exp(B * (norm_0 + eta * t) / 2) + T - 1),
        GUESS,
    ),
    Theorem(
        "false.gd",
        "GD as fast as 1/t",
        ATTENTION,
        [Separable(), EqualScores(), ZeroInit(), Rule("gd")],
        direction_gap <= 1 / t,
        GUESS,
        domain=t >= 100,
    ),
    # False by less than float64 can see; only the certified tier can convict it.
    Theorem(
        "false.hair",
        "N1 by a hair",
        ATTENTION,
        NGD,
        alignment >= alignment_0 + eta * t * gamma / B * (1 + sp.Rational(1, 10**20)),
        GUESS,
        domain=t >= 1,
    ),
]


def verdict_on(theorem: Theorem, profile: Profile = SMALL) -> Verdict:
    evidence = {theorem.id: evidence_for(theorem)}
    hold_trial(evidence, profile, seed=0)
    return Verdict(evidence[theorem.id])


@pytest.mark.parametrize("theorem", FALSE, ids=lambda x: x.id)
def test_planted_falsehoods_are_falsified_and_replay(theorem: Theorem, tmp_path: Path) -> None:
    verdict = verdict_on(theorem)
    assert verdict.name == "falsified"
    counterexample = verdict.evidence.counterexample
    assert counterexample is not None
    stored = load(save(counterexample, tmp_path, {}))
    assert rejudge(stored, theorem).outcome == "violated"


@pytest.mark.parametrize("theorem", [FALSE[1], FALSE[2]], ids=lambda x: x.id)
def test_counterexamples_shrink_to_one_pair(theorem: Theorem) -> None:
    counterexample = verdict_on(theorem).evidence.counterexample
    assert counterexample is not None
    assert counterexample.instance.dataset.X.shape == (1, 2, 1)
    assert counterexample.instance.dataset.X.tolist() == [[[1.0], [0.0]]]


@pytest.mark.parametrize("label", ["F1", "F2", "F3", "N1", "M1", "M3"])
def test_tight_truths_are_not_convicted(label: str) -> None:
    for theorem in THEOREMS:
        if theorem.label == label:
            assert verdict_on(theorem).name == "confirmed"


def test_a_theorem_whose_hypotheses_never_hold_is_vacuous() -> None:
    never = Theorem(
        "never.holds", "t is never so large", ATTENTION, [], direction_gap <= 1 / t, GUESS, domain=t >= 10**6
    )
    assert verdict_on(never, Profile(4, 20)).name == "vacuous"


def test_a_verdict_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match="not a truth value"):
        bool(Verdict(evidence_for(THEOREMS[0])))


def test_the_same_seed_gives_the_same_evidence() -> None:
    first, second = (verdict_on(THEOREMS[0], Profile(6, 50)).evidence for _ in range(2))
    assert isinstance(first, PointwiseEvidence)
    assert isinstance(second, PointwiseEvidence)
    assert first.outcomes == second.outcomes
    assert first.worst is not None
    assert second.worst is not None
    assert first.worst.instance.id == second.worst.instance.id


@pytest.mark.parametrize("rule", ["ngd", "gd", "polyak"])
def test_float_observables_lie_within_their_budgets_of_the_balls(rule: str) -> None:
    import flint

    X = [
        [[1.0, 0.0, 0.5], [0.0, 1.0, -0.25], [0.0, -0.5, 0.75]],
        [[0.0, 0.25, 1.0], [-1.0, 0.5, 0.0], [0.0, 1.0, 0.5]],
    ]
    dataset = TokenDataset(X, [1, -1], [1.0, 0.0, 0.0])
    sizes = {"zeta": 1.0} if rule == "polyak" else {"eta": 0.25}
    instance = Instance(dataset, Run(rule, "logistic", 40, **sizes))  # type: ignore[arg-type]
    geometry = Geometry(dataset)
    trajectory = train(instance, geometry)
    measured = Measurement(instance, geometry, trajectory)
    skipped = {"zeta"} if rule != "polyak" else {"eta", "delta_bar", "s_floor", "Lambda_global"}
    names = MEASURED - skipped
    with flint.ctx.workprec(1000):
        exact = ExactMeasurement(ExactSetting(instance, geometry), trajectory.onset, names)
        states = replay(exact.setting)
        state = next(states)
        while state.t < 40:
            exact.advance(state)
            following = next(states)
            exact.next_loss_gap = following.loss_gap
            if state.t in (1, 7, 39) and trajectory.onset is not None and state.t >= trajectory.onset:
                for name in names:
                    ball = measured[name]
                    row = state.t if ball.mid.ndim else ()
                    value = flint.arb(float(ball.mid[row])) * flint.arb(2) ** int(ball.exp2[row])
                    error = flint.arb(float(ball.rad[row])) * flint.arb(2) ** int(ball.exp2[row])
                    assert abs(value - exact[name]) <= error, (name, state.t, value, exact[name])
                    assert error <= abs(value) * 1e-9 + 1e-12, name
            exact.leave()
            state = following
    assert np.isfinite(trajectory.column("norm")).all()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "ratecheck/counterexample/1"}', "[" * 100_000])
def test_damaged_counterexamples_give_a_clear_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=r"damaged\.json"):
        load(path)
