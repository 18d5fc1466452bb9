"""Alternating and cogradient descent: one step against the definition, both tiers, and the statistical claim."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
import pytest
from flint import arb
from hypothesis import HealthCheck, given, seed, settings
from sympy import Rational

from bounds import (
    COGRADIENT,
    DATA,
    NOTATION,
    Conjecture,
    Likely,
    OwnGradients,
    StepAtMost,
    Theorem,
    bilinear_move,
    bilinear_move_least,
    bilinear_objective,
    bilinear_objective_0,
    bilinear_objective_next,
    bilinear_penalty,
    bilinear_product,
    coupled_steps,
    objective_alternating,
    objective_coupled,
    ridge_weight,
    sparsity_weight,
    t,
)
from bounds.cogradient import GAIN, THEOREMS
from models.cogradient import (
    METHODS,
    SHORTEST,
    BilinearInstance,
    BilinearRun,
    Observation,
    Problems,
    planted,
    reached,
    restarted_bilinear,
    train_bilinear,
)
from models.cogradient_replay import BilinearExact, bilinear_replay
from models.dataset import Array, InvalidDataset
from models.instance import InvalidRun
from models.trajectory import FINISHED, NON_FINITE_STEP
from properties.certify import examine
from properties.cogradient import (
    BALLS,
    FAMILIES,
    FLOAT,
    STEPS,
    BilinearSetting,
    draws,
    exact_bilinear,
    measure_bilinear,
    measured_objectives,
)
from properties.data import draws as token_draws
from properties.judge import NOT_APPLICABLE, VIOLATED, judge
from properties.power import search
from properties.probability import OCCURS, UNDECIDED, ProbabilityEvidence, exact_interval
from properties.shrinker import shrink
from properties.store import load, rejudge, save
from properties.systems import sampler
from properties.trial import Profile, hold_trial
from properties.verdict import Evidence

GUESS = Conjecture(source="planted")
STEP, SUM, RATE, FLOOR, COUPLED, PROJECTED = THEOREMS
A_0 = np.array([[1.0, 0.5, -0.75], [0.25, -1.0, 0.5]])
B, X_0 = np.array([1.0, -0.5]), np.array([0.5, 0.25, -1.0])


def instance(method: str = "alternating", steps: int = 30, eta: float = 0.75) -> BilinearInstance:
    """Two observed numbers, three columns; weights that threshold."""
    return BilinearInstance(Observation(B, 0.25, 0.0625), BilinearRun(steps, eta, method, A_0, X_0))


def one_column(steps: int = 6) -> BilinearInstance:
    """d = 1 and a sign that stays: every inequality in the proof of a step is an equality."""
    run = BilinearRun(steps, 1.0, "alternating", np.array([[1.0], [0.5]]), np.array([1.0]))
    return BilinearInstance(Observation(np.array([2.0, 0.5]), 0.125, 0.125), run)


# ------------------------------------------------------------------------------- one step by its definition
def smooth(b: Array, A: Array, x: Array) -> float:
    return float(sum((b[i] - sum(A[i, j] * x[j] for j in range(x.size))) ** 2 for i in range(b.size)))


def slow_step(given_: BilinearInstance, A: Array, x: Array) -> tuple[Array, Array]:
    """What docs/systems.md says.  A central difference of width 2 is the derivative, as F is quadratic in each."""
    data, run = given_.dataset, given_.run
    b, m, d = data.X, A.shape[0], x.size
    bend = 2 * (A**2).sum()
    u, following = np.zeros(d), np.zeros(d)
    for j in range(d):
        e = np.eye(d)[j]
        slope = (smooth(b, A, x + e) - smooth(b, A, x - e)) / 2
        u[j] = x[j] - run.eta / bend * slope
        for sign in (1.0, -1.0):  # the stationary point of either half-line, if it lies there
            candidate = u[j] - sign * run.eta / bend * data.sparsity
            if sign * candidate > 0:
                following[j] = candidate
    teaching = following.copy()
    for j in range(d):
        if following[j] == 0.0 and (A[:, j] ** 2).sum() >= (A**2).sum() / d / 2:
            if run.method == "coupled":
                teaching[j] = u[j]
            elif run.method == "projected":
                teaching[j] = following[j] = x[j]
    residual = [b[i] - sum(A[i, j] * following[j] for j in range(d)) for i in range(m)]
    bend = 2 * ((teaching**2).sum() + data.ridge)
    moved = np.array(
        [
            [
                A[i, j] - run.eta / bend * (2 * data.ridge * A[i, j] - 2 * residual[i] * teaching[j])
                for j in range(d)
            ]
            for i in range(m)
        ]
    )
    return moved, following


@pytest.mark.parametrize("method", METHODS)
def test_a_run_is_made_of_steps_by_definition(method: str) -> None:
    given_ = instance(method)
    problem, A, x, corrected = Problems(B, np.array(0.25), np.array(0.0625)), A_0, X_0, 0
    with flint.ctx.workprec(300):
        for state in bilinear_replay(BilinearExact(given_)):
            assert [float(v.mid()) for v in state.x] == pytest.approx(x, abs=1e-12)
            assert [[float(v.mid()) for v in row] for row in state.A] == [
                pytest.approx(row, abs=1e-12) for row in A
            ]
            if state.t == 30:
                break
            step = problem.step(A, x, given_.run.eta, method)
            corrected += bool(step.corrected)
            slow_A, slow_x = slow_step(given_, A, x)
            assert pytest.approx(slow_A, abs=1e-13) == step.A
            assert step.x == pytest.approx(slow_x, abs=1e-13)
            A, x = step.A, step.x
    assert (corrected > 0) == (method != "alternating")


def test_many_problems_at_once_are_each_one_alone() -> None:
    starts = planted(np.random.default_rng(3), 5, 3, 4)
    for method in METHODS:
        together, _ = reached(starts, 20, method)
        for k in range(5):
            alone = train_bilinear(starts.instance(k, 19, method)).column("objective_next")[-1]
            assert together[k] == pytest.approx(alone, rel=1e-12)


def test_what_collapses_stays_at_zero_in_both_tiers() -> None:
    """x is thresholded to 0, then A is 0 after one step, up to rounding and radii."""
    given_ = BilinearInstance(
        Observation(np.array([0.25]), 2.0, 0.3), BilinearRun(8, 1.0, "alternating", np.array([[0.7]]), np.ones(1))
    )
    trajectory = train_bilinear(given_)
    assert trajectory.status == FINISHED
    assert trajectory.column("objective_next")[-1] == pytest.approx(0.0625, rel=1e-15)
    with flint.ctx.workprec(200):
        states = bilinear_replay(BilinearExact(given_))
        last = [next(states) for _ in range(9)][-1]
        assert abs(last.objective - arb(1) / 16) < arb(2) ** -150


def test_runs_end_where_steps_are_short_or_overflow() -> None:
    trajectory = train_bilinear(instance(steps=5000, eta=1.0))
    assert trajectory.status == FINISHED
    assert len(trajectory) < 5000
    move, objective = trajectory.column("move"), trajectory.column("objective")
    assert move[-1] <= SHORTEST * objective[-1]
    assert (move[:-1] > SHORTEST * objective[:-1]).all()
    wild = instance(steps=400, eta=64.0)
    assert train_bilinear(wild).status == NON_FINITE_STEP
    with pytest.raises(InvalidRun, match="overflows"):
        restarted_bilinear(wild, 400)


def test_a_run_taken_up_again_goes_on_as_it_was() -> None:
    given_ = instance("coupled", 12)
    later = restarted_bilinear(given_, 5)
    assert later.run.steps == 0
    whole, rest = train_bilinear(given_), train_bilinear(later.with_run(steps=7))
    assert rest.column("objective") == pytest.approx(whole.column("objective")[5:], rel=0, abs=0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"eta": 0.0}, "eta"),
        ({"method": "cogd"}, "unknown method 'cogd'"),
        ({"x_0": np.ones(2)}, "d = 2"),
        ({"A_0": np.ones((3, 3))}, "m = 3"),
    ],
)
def test_unusable_runs_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRun, match=named):
        instance().with_run(**changes)


@pytest.mark.parametrize(("sparsity", "ridge", "named"), [(0.0, 1.0, "sparsity"), (1.0, -1.0, "ridge")])
def test_unusable_weights_are_named(sparsity: float, ridge: float, named: str) -> None:
    with pytest.raises(InvalidDataset, match=named):
        Observation(B, sparsity, ridge)


def test_an_instance_survives_json() -> None:
    given_ = instance("projected")
    again = BilinearInstance.from_json(given_.to_json())
    assert again.id == given_.id
    assert again.run.method == "projected"


# --------------------------------------------------------------------------------------- budgets against balls
@pytest.mark.parametrize("method", METHODS)
def test_float_observables_lie_within_their_budgets_of_the_balls(method: str) -> None:
    given_ = instance(method)
    measured = measure_bilinear(given_, None)
    with flint.ctx.workprec(400):
        run = exact_bilinear(given_, None, None, frozenset(BALLS))
        for state in run.states:
            run.measurement.advance(state)
            for name in BALLS:
                if state.t == 0 and name == "bilinear_move_least":
                    continue  # undefined
                value, ball = run.measurement[name], measured[name]
                k: Any = state.t if ball.mid.ndim else ()
                unit = arb(2) ** int(ball.exp2[k])
                found, error = arb(float(ball.mid[k])) * unit, arb(float(ball.rad[k])) * unit
                assert abs(found - value) <= error + arb(2) ** -200, (name, state.t)
                assert error < 1e-9
            if state.t == given_.run.steps:
                break


def test_both_tiers_know_the_same_declared_observables() -> None:
    assert FLOAT.keys() == BALLS.keys() <= NOTATION.keys()
    for theorem in THEOREMS:
        assert theorem.system == COGRADIENT
        if theorem.kind == "pointwise":
            assert theorem.observables <= FLOAT.keys(), theorem.id
        else:
            values: Any = next(draws(theorem, 1, 0))[0]
            assert theorem.observables <= values.keys()
            assert theorem.observables <= NOTATION.keys()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_theorems_hold_and_speak_on_every_family(family: Any) -> None:
    for theorem in (STEP, SUM, RATE, FLOOR):
        applicable = drawn = 0

        @settings(max_examples=10, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @seed(3)
        @given(BilinearSetting.of(theorem).instances(family, 40))
        def look(given_: BilinearInstance) -> None:
            nonlocal applicable, drawn
            judgement = judge(theorem, measure_bilinear(given_, None))  # noqa: B023
            assert judgement.outcome != VIOLATED, given_.to_json()
            applicable += judgement.outcome != NOT_APPLICABLE
            drawn += 1

        look()
        assert applicable == drawn, theorem.id


# --------------------------------------------------------------------------------- what is attained, what is false
def test_one_column_attains_the_gain_of_a_step_and_is_not_convicted() -> None:
    for theorem in (STEP, SUM):
        for finding in examine(theorem, one_column(), None, [1, 6], None):
            assert finding.outcome == "tight", theorem.id


def test_one_balanced_column_attains_the_floor_and_is_not_convicted() -> None:
    """λ‖x‖_1 = 2μ‖A‖²; the exact start only, as a step leaves it."""
    run = BilinearRun(0, 1.0, "alternating", np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([-2.0, 0.0]))
    given_ = BilinearInstance(Observation(B, 0.5, 0.25), run)
    [finding] = examine(FLOOR, given_, None, [0], None)
    assert finding.outcome in ("tight", "holds")
    assert finding.small == finding.large
    above = Theorem("false.c.floor", "7", COGRADIENT, [], _floor(Rational(7)), GUESS)
    [finding] = examine(above, given_, None, [0], None)
    assert finding.outcome == VIOLATED


def _floor(constant: Rational) -> Any:
    return bilinear_penalty**3 >= constant * sparsity_weight**2 * ridge_weight * bilinear_product


OWN = [OwnGradients()]
FALSE: dict[str, tuple[list[Any], Any]] = {
    "a little more": (
        OWN,
        bilinear_objective_next <= bilinear_objective - (GAIN + Rational(1, 100)) * bilinear_move,
    ),
    "coupled descends": ([], bilinear_objective_next <= bilinear_objective),
    "a larger floor": ([], _floor(Rational(7))),
    "half the start": (
        [*OWN, StepAtMost(Rational(1))],
        bilinear_move_least <= Rational(3, 2) * bilinear_objective_0 / t,
    ),
}


@pytest.mark.parametrize("name", FALSE)
def test_a_planted_false_theorem_is_caught_with_a_certificate(name: str, tmp_path: Any) -> None:
    assumes, claim = FALSE[name]
    domain = t >= 1 if "half" in name else None
    theorem = Theorem(f"false.c.{name.replace(' ', '-')}", name, COGRADIENT, assumes, claim, GUESS, domain=domain)
    body = search([theorem], Profile(30, 60), seed=0)[theorem.id]
    assert body.verdict == "falsified"
    assert body.counterexample is not None
    smallest = shrink(body.counterexample)
    assert rejudge(load(save(smallest, tmp_path, {})), theorem).outcome == VIOLATED
    kept: Any = smallest.instance
    assert kept.dataset.X.size == 1
    assert (kept.run.method == "coupled") == (name == "coupled descends")


# ------------------------------------------------------------------------------------------ the statistical claim
def test_objectives_of_random_problems_lie_within_their_budgets_of_the_balls() -> None:
    starts = planted(np.random.default_rng(5), 4, 4, 4)
    for method in METHODS:
        objectives, errors, _ = measured_objectives(starts, method)
        for k in range(4):
            with flint.ctx.workprec(1024):
                states = bilinear_replay(BilinearExact(starts.instance(k, STEPS, method)))
                last = [next(states) for _ in range(STEPS + 1)][-1].objective
            assert last.rad() < 1e-40
            assert abs(last - arb(objectives[k])) <= errors[k]


def test_draws_depend_on_the_seed_alone() -> None:
    first, again, other = (list(draws(COUPLED, 6, s)) for s in (1, 1, 2))
    key = "objective_alternating"
    assert [str(v[key]) for v, _, _ in first] == [str(v[key]) for v, _, _ in again]
    assert not {str(v[key]) for v, _, _ in first} & {str(v[key]) for v, _, _ in other}


def judged(claim: Likely, count: int) -> ProbabilityEvidence:
    theorem = Theorem("planted.lower", "planted", COGRADIENT, [], claim, GUESS, domain=coupled_steps >= 1)
    body = ProbabilityEvidence(theorem)
    for values, source, place in sampler(COGRADIENT).draws(theorem, count, 4):
        body.add(values, source, place)
    return body


def test_a_claim_and_its_reverse_are_told_apart() -> None:
    half = Rational(1, 2)
    forward = judged(Likely(objective_coupled < objective_alternating, half), 120)
    reverse = judged(Likely(objective_alternating < objective_coupled, half), 120)
    assert forward.verdict == "evidence against"
    assert reverse.verdict == "consistent"
    assert forward.median_ratio is not None
    assert reverse.median_ratio is not None
    assert forward.median_ratio > 1 > reverse.median_ratio
    assert forward.applicable == reverse.applicable < 120  # where nothing is corrected, nothing is compared
    assert f"{forward.median_ratio:.7g}" in forward.sentence


def test_estimated_errors_certify_nothing() -> None:
    evidence: dict[str, Evidence] = {PROJECTED.id: ProbabilityEvidence(PROJECTED)}
    hold_trial(evidence, Profile(1, 1), 0)
    body = evidence[PROJECTED.id]
    assert body.certified == 0
    assert body.verdict == "evidence against"
    assert body.applicable >= 500


def test_undecided_draws_widen_the_interval_to_both_sides() -> None:
    claim = Likely(objective_coupled < objective_alternating, Rational(1, 2))
    body = ProbabilityEvidence(Theorem("planted.wide", "planted", COGRADIENT, [], claim, GUESS))
    for k in range(20):
        value = arb(1, 0.5) if k < 12 else arb(2)
        body.add({"objective_coupled": value, "objective_alternating": arb(1)}, "by hand")
    assert body.outcomes[UNDECIDED] == 12
    assert body.outcomes[OCCURS] == 0
    assert body.intervals[0.5] == (exact_interval(0, 20)[0], exact_interval(12, 20)[1])
    assert body.verdict == "inconclusive"


def test_systems_without_draws_of_their_own_draw_token_data() -> None:
    assert sampler(DATA).draws is token_draws
    assert sampler(COGRADIENT).draws is draws
    assert sampler(COGRADIENT).parts(PROJECTED) == 1
