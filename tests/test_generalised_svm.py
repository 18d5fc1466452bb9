"""Attention that has to keep several tokens: kept sets, the generalised max-margin solution, and both tiers."""

from __future__ import annotations

from typing import Any

import cvxpy as _cvxpy
import flint
import numpy as np
import pytest
import torch
from flint import arb
from hypothesis import HealthCheck, given, seed, settings
from sympy import Rational

from bounds import (
    GENERALISED_SVM,
    NOTATION,
    Conjecture,
    StrictlyKept,
    Tends,
    Theorem,
    kept_leak,
    kept_slack,
    loss_gap,
    n,
    ratio_error,
)
from bounds.generalised_svm import THEOREMS
from models.dataset import Array, InvalidDataset
from models.generalised_svm import TargetGeometry, TargetInstance, TargetRun, Targets, restarted_targets
from models.instance import InvalidRun
from properties.certify import examine
from properties.evidence import evidence_for
from properties.generalised_svm import (
    BALLS,
    FAMILIES,
    FLOAT,
    TargetSetting,
    exact_targets,
    measure_targets,
    natural_step,
)
from properties.hypotheses import failing
from properties.judge import HOLDS, VIOLATED, judge
from properties.power import search
from properties.shrinker import shrink
from properties.store import load, rejudge, save
from properties.trial import Profile, hold_trial

cvxpy: Any = _cvxpy  # typed only in part
SPARSITY, DIRECTION, RATIOS, GLOBAL, SINGLE = THEOREMS


def targets(sequences: int = 2, tokens: int = 3, d: int = 3, number: int = 0) -> Targets:
    """Few-digit data; the first of a random stream that keeps two tokens somewhere and is separable."""
    rng = np.random.default_rng(number)
    while True:
        X, query, b = (
            rng.integers(-8, 9, shape) / scale
            for shape, scale in (((sequences, tokens, d), 4), ((sequences, d), 4), ((sequences, d), 2))
        )
        data = Targets(X, query, b)
        geometry = TargetGeometry(data)
        weights = [float(w) for point in geometry.nearest for w in point.weights if w > 0]
        slack = geometry.slack_min
        usable = slack is not None and float(slack) > 0.25 and min(weights) > 0.1
        if usable and len(weights) > sequences and geometry.direction is not None:
            return data


def instance(data: Targets | None = None, steps: int = 60, W_0: Array | None = None) -> TargetInstance:
    """A run at the step size of the trial."""
    data = data or targets()
    return TargetInstance(data, TargetRun(steps, natural_step(data), W_0))


def written(X: Any, query: Any, target: Any) -> Targets:
    """Data from nested lists."""
    return Targets(*(np.array(a, dtype=np.float64) for a in (X, query, target)))


def loss(data: Targets, W: Any) -> Any:
    """L by definition."""
    X, query, b = (torch.tensor(a) for a in (data.X, data.query, data.target))
    s = torch.softmax(torch.einsum("ntd,de,ne->nt", X, W, query), 1)
    return (((s[:, :, None] * X).sum(1) - b) ** 2).sum(1).mean() / 2


# ------------------------------------------------------------------------------------------------ kept sets
@pytest.mark.parametrize("number", range(4))
def test_kept_sets_are_those_of_a_quadratic_program(number: int) -> None:
    data = targets(number=number)
    geometry = TargetGeometry(data)
    for X, b, point, kept, slack in zip(
        data.X, data.target, geometry.nearest, geometry.kept, geometry.slack, strict=True
    ):
        s = cvxpy.Variable(len(X), nonneg=True)
        problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(X.T @ s - b)), [cvxpy.sum(s) == 1])
        problem.solve(solver=cvxpy.CLARABEL)
        np.testing.assert_allclose(s.value, [float(w) for w in point.weights], atol=1e-4)
        assert kept == [t for t in range(len(X)) if s.value[t] > 1e-2]
        p = X.T @ s.value
        np.testing.assert_allclose((p - X) @ (b - p), [float(k) for k in slack], atol=1e-2)


@pytest.mark.parametrize("number", range(4))
def test_the_generalised_solution_is_that_of_cvxpy(number: int) -> None:
    data = targets(number=number)
    geometry = TargetGeometry(data)
    d = data.X.shape[2]
    W = cvxpy.Variable((d, d))
    rules = []
    for X, z, kept in zip(data.X, data.query, geometry.kept, strict=True):
        logits = X @ W @ z
        rules += [logits[kept[0]] == logits[t] for t in kept[1:]]
        rules += [logits[kept[0]] >= 1 + logits[t] for t in range(len(X)) if t not in kept]
    cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(W)), rules).solve(solver=cvxpy.CLARABEL)
    assert geometry.direction is not None
    np.testing.assert_allclose(geometry.direction, W.value / np.linalg.norm(W.value), atol=1e-5)


def test_contradicting_kept_sets_have_no_solution() -> None:
    """Two sequences of one query that want the opposite of each other."""
    X = [[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]]
    data = written(X, [[1.0, 0.0]] * 2, [[-1.0, 0.0], [2.0, 0.0]])
    geometry = TargetGeometry(data)
    assert geometry.kept == [[0], [1]]
    assert geometry.direction is None
    run = instance(data, 5)
    assert failing(SPARSITY, run, geometry) is None
    assert failing(DIRECTION, run, geometry) is not None
    assert np.isnan(measure_targets(run, geometry).trajectory.column("kept_gap")).all()


def test_dependent_equalities_are_counted_once() -> None:
    """The same sequence twice: the same kept pair twice, and the solution of the one."""
    data = targets(1)
    twice = Targets(*(np.concatenate([a, a]) for a in (data.X, data.query, data.target)))
    once, doubled = TargetGeometry(data).direction, TargetGeometry(twice).direction
    assert once is not None
    assert doubled is not None
    np.testing.assert_allclose(once, doubled, rtol=1e-12)


def test_a_target_inside_the_hull_is_not_on_trial() -> None:
    data = written([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]], [[1.0, 0.0]], [[0.25, 0.25]])
    reason = failing(SPARSITY, instance(data), TargetGeometry(data))
    assert reason is not None
    assert "every token is kept" in reason


# ------------------------------------------------------------------------------------------------- training
@pytest.mark.parametrize("number", [0, 1])
def test_training_is_gradient_descent_by_autograd(number: int) -> None:
    data = targets(number=number)
    W_0 = np.random.default_rng(1).integers(-4, 5, (3, 3)) / 8
    given_ = instance(data, 40, W_0)
    geometry = TargetGeometry(data)
    least = sum(float(p.norm_sq) for p in geometry.nearest) / 2 / data.N
    measured = measure_targets(given_, geometry).trajectory
    W = torch.tensor(W_0, requires_grad=True)
    assert geometry.direction is not None
    for t in range(41):
        value = loss(data, W)
        at = W.detach().numpy()
        assert np.exp(measured.column("log_loss_gap")[t]) == pytest.approx(value.item() - least, abs=1e-12)
        assert measured.column("norm")[t] == pytest.approx(np.linalg.norm(at), rel=1e-12)
        cosine = (at * geometry.direction).sum() / np.linalg.norm(at)
        assert measured.column("kept_gap")[t] == pytest.approx(1 - cosine, abs=1e-12)
        for i, kept in enumerate(geometry.kept):
            s = torch.softmax(torch.tensor(data.X[i] @ at @ data.query[i]), 0).numpy()
            assert np.exp(measured.column("log_leak_max")[t]) >= 1 - s[kept].sum() - 1e-12
            log_error = np.log(s[kept]) - np.log([float(geometry.nearest[i].weights[k]) for k in kept])
            assert measured.column("ratio_error")[t] >= np.ptp(log_error) - 1e-10
        [gradient] = torch.autograd.grad(value, W)
        W = (W - given_.run.eta * gradient).detach().requires_grad_()


@pytest.mark.parametrize("number", range(3))
def test_the_loss_falls_at_the_trial_s_step_size(number: int) -> None:
    given_ = instance(targets(number=number), 2000)
    gaps = measure_targets(given_, TargetGeometry(given_.dataset)).trajectory.column("log_loss_gap")
    assert (np.diff(gaps) <= 1e-12).all()


def test_only_recorded_steps_are_kept() -> None:
    given_ = instance(steps=3000)
    geometry = TargetGeometry(given_.dataset)
    full, thin = measure_targets(given_, geometry).trajectory, measure_targets(given_, geometry, 100).trajectory
    assert len(thin) < len(full) == 3001
    np.testing.assert_array_equal(thin.table, full.table[thin.t])


# --------------------------------------------------------------------------------------- bad input, storage
def test_unusable_data_and_runs_are_named() -> None:
    with pytest.raises(InvalidDataset, match="one token"):
        written([[[1.0, 0.0]]], [[1.0, 0.0]], [[0.0, 0.0]])
    with pytest.raises(InvalidDataset, match="X has 2 axes"):
        written([[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 0.0]])
    with pytest.raises(InvalidRun, match="eta"):
        instance().with_run(eta=0.0)
    with pytest.raises(InvalidRun, match="d = 2"):
        instance().with_run(W_0=np.zeros((2, 2)))


def test_an_instance_comes_back_from_json() -> None:
    given_ = instance(W_0=np.eye(3) / 3)
    again = TargetInstance.from_json(given_.to_json())
    assert again.id == given_.id
    np.testing.assert_array_equal(again.run.W_0, given_.run.W_0)


# ------------------------------------------------------------------------------------------------ both tiers
def test_float_observables_lie_within_their_budgets_of_the_balls() -> None:
    given_ = instance(steps=400)
    geometry = TargetGeometry(given_.dataset)
    measured = measure_targets(given_, geometry)
    for step in (0, 1, 7, 100, 400):
        taken = restarted_targets(given_, step, geometry)
        with flint.ctx.workprec(300):
            exact = exact_targets(taken, geometry, None, frozenset(BALLS))
            exact.measurement.advance(next(exact.states))
            for name in BALLS.keys() - {"t"}:
                value, ball = exact.measurement[name], measured[name]
                k: Any = step if ball.mid.ndim else ()
                unit = arb(2) ** int(ball.exp2[k])
                found, error = arb(float(ball.mid[k])) * unit, arb(float(ball.rad[k])) * unit
                assert abs(found - value) <= error + arb(2) ** -120, (name, step)
                assert error <= abs(value) * 1e-11, (name, step)


def test_the_replay_follows_the_float_run() -> None:
    given_ = instance(steps=30)
    geometry = TargetGeometry(given_.dataset)
    with flint.ctx.workprec(128):
        for state in exact_targets(given_, geometry, None, frozenset(BALLS)).states:
            if state.t == 30:
                break
    W = restarted_targets(given_, 30, geometry).run.W_0
    assert W is not None
    np.testing.assert_allclose(W.ravel(), [float(x.mid()) for x in state.W.entries()], rtol=1e-11)


def test_both_tiers_know_declared_observables() -> None:
    assert BALLS.keys() <= FLOAT.keys() <= NOTATION.keys()
    for theorem in THEOREMS:
        assert theorem.system == GENERALISED_SVM
        known = BALLS if theorem.kind == "pointwise" else FLOAT
        assert theorem.observables <= known.keys(), theorem.id


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_theorems_hold_and_speak_on_every_family(family: Any) -> None:
    @settings(max_examples=8, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(3)
    @given(TargetSetting.of(SPARSITY).instances(family, 500))
    def look(given_: TargetInstance) -> None:
        geometry = TargetGeometry(given_.dataset)
        assert failing(DIRECTION, given_, geometry) is None
        assert judge(SPARSITY, measure_targets(given_, geometry)).outcome in (HOLDS, "vacuous", "undecided")

    look()


# --------------------------------------------------------------------------------- what is attained, what is false
def test_sparsity_is_nearly_attained_and_not_convicted() -> None:
    """One token outside, far away: the gap is its slack times its attention, up to a square."""
    data = written([[[0.0, 0.0], [0.0, 1.0], [1.0, 0.5]]], [[1.0, 0.0]], [[-1.0, 0.5]])
    W_0 = np.array([[-40.0, 0.0], [0.0, 0.0]])
    given_ = instance(data, 0, W_0)
    geometry = TargetGeometry(data)
    measured = measure_targets(given_, geometry)
    ratio = float((measured["kept_leak"] * measured["kept_slack"] / measured["loss_gap"]).floats()[0])
    assert ratio == pytest.approx(1.0, abs=1e-12)
    [finding] = examine(SPARSITY, given_, geometry, [0], None)
    assert finding.outcome == HOLDS
    assert search([SPARSITY], Profile(20, 200), seed=0)[SPARSITY.id].verdict == "confirmed"


FALSE = {
    "half the gap": kept_leak <= n * loss_gap / (2 * kept_slack),
    "without n": kept_leak <= loss_gap / kept_slack,
}


@pytest.mark.parametrize("name", FALSE)
def test_a_planted_false_theorem_is_caught_with_a_certificate(name: str, tmp_path: Any) -> None:
    theorem = Theorem(
        f"false.gs.{name.replace(' ', '-')}",
        name,
        GENERALISED_SVM,
        [StrictlyKept()],
        FALSE[name],
        Conjecture(source="planted"),
    )
    body = search([theorem], Profile(30, 400), seed=0)[theorem.id]
    assert body.verdict == "falsified"
    assert body.counterexample is not None
    smallest = shrink(body.counterexample)
    assert rejudge(load(save(smallest, tmp_path, {})), theorem).outcome == VIOLATED


def test_limits_are_told_apart() -> None:
    wrong = Theorem(
        "false.gs.ratios",
        "Log-ratios end half off",
        GENERALISED_SVM,
        RATIOS.assumes,
        Tends(ratio_error, Rational(1, 2)),
        Conjecture(source="planted"),
    )
    evidence = {theorem.id: evidence_for(theorem) for theorem in (DIRECTION, RATIOS, SINGLE, wrong)}
    hold_trial(evidence, Profile(6, 64, 8, 2**16), seed=0)
    assert {key: body.verdict for key, body in evidence.items()} == {
        DIRECTION.id: "consistent",
        RATIOS.id: "consistent",
        SINGLE.id: "evidence against",
        wrong.id: "evidence against",
    }


def test_runs_that_lose_a_kept_token_are_evidence_against_the_global_claim() -> None:
    """Crowded sequences take kept tokens from each other, and the nearby claims do not speak of them."""
    evidence = {GLOBAL.id: evidence_for(GLOBAL)}
    hold_trial(evidence, Profile(6, 64, 24, 2**16), seed=0)
    assert evidence[GLOBAL.id].verdict == "evidence against"
