"""Overparametrised linear networks: flows against SciPy, balls around floats, and the rate on trial."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
import pytest
from flint import arb, arb_mat
from hypothesis import HealthCheck, given, seed, settings
from scipy.integrate import solve_ivp

from bounds import (
    NOTATION,
    OVERPARAMETRIZED,
    Conjecture,
    Theorem,
    coupling_0,
    data_eig_max,
    data_eig_min,
    imbalance,
    loss_decay,
    loss_gap,
    loss_gap_0,
    null_part,
)
from bounds.overparametrized import THEOREMS
from models.dataset import InvalidDataset
from models.instance import InvalidRun
from models.overparametrized import (
    CONVERGED,
    Balls,
    FlowGeometry,
    FlowInstance,
    FlowRun,
    Regression,
    eigenvalues,
    rational,
    replay_flow,
    restarted_flow,
    taylor,
    train_flow,
)
from models.replay import PrecisionLost
from properties.certify import TIGHT, examine
from properties.judge import NOT_APPLICABLE, VIOLATED, judge
from properties.overparametrized import BALLS, FAMILIES, FLOAT, FlowSetting, exact_flow, measure_flow
from properties.power import search
from properties.shrinker import Budget, shrink
from properties.store import load, rejudge, save
from properties.trial import Profile

BY_NAME = {theorem.id.removeprefix("overparametrized."): theorem for theorem in THEOREMS}
DATA = Regression(np.array([[1.0, 0.5, -0.25], [0.0, 1.0, 0.75]]), np.array([[1.0], [-0.5]]))
U_0 = np.array([[1.0, -0.5], [0.25, 1.0], [0.5, 0.75]])
INSTANCE = FlowInstance(DATA, FlowRun(6, 0.25, U_0, np.array([[0.25, -0.125]])))


def velocity(instance: FlowInstance, U: Any, V: Any) -> tuple[Any, Any]:
    X, Y = instance.dataset.X, instance.dataset.Y
    R = Y - X @ U @ V.T
    return X.T @ R @ V, R.T @ X @ U


# --------------------------------------------------------------------------------- the flow against SciPy
def test_the_flow_is_that_of_an_ode_solver() -> None:
    run = INSTANCE.run
    split, shape = run.U_0.size, run.U_0.shape

    def slope(_: float, z: Any) -> Any:
        return np.concatenate([v.ravel() for v in velocity(INSTANCE, z[:split].reshape(shape), z[None, split:])])

    z = np.concatenate([run.U_0.ravel(), run.V_0.ravel()])
    z = solve_ivp(slope, (0.0, 1.5), z, method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
    later = restarted_flow(INSTANCE, 6, FlowGeometry(INSTANCE)).run
    assert pytest.approx(z[:split].reshape(shape), rel=1e-10) == later.U_0
    assert pytest.approx(z[None, split:], rel=1e-10) == later.V_0


def test_taylor_coefficients_are_the_derivatives() -> None:
    """The first is the velocity, the second half its derivative along the flow; one recurrence, both tiers."""
    X, Y, U, V = DATA.X, DATA.Y, INSTANCE.run.U_0, INSTANCE.run.V_0
    us, vs = taylor(X, Y, U, V, 6)
    first = velocity(INSTANCE, U, V)
    assert us[1] == pytest.approx(first[0])
    assert vs[1] == pytest.approx(first[1])
    ahead, behind = (velocity(INSTANCE, U + h * first[0], V + h * first[1]) for h in (1e-5, -1e-5))
    assert 2 * us[2] == pytest.approx((ahead[0] - behind[0]) / 2e-5, rel=1e-7)
    inputs, outputs, left, right = (Balls(arb_mat(rational(a))) for a in (X, Y, U, V))
    balls = taylor(inputs, outputs, left, right, 6)
    for found, wanted in zip((*balls[0], *balls[1]), (*us, *vs), strict=True):
        assert [float(x) for x in found.matrix.entries()] == pytest.approx(wanted.ravel(), rel=1e-12, abs=1e-12)


def test_the_invariant_stays_in_its_ball() -> None:
    geometry = FlowGeometry(INSTANCE)
    for state in replay_flow(INSTANCE, geometry):
        seen = Balls(arb_mat(geometry.P)) @ state.U
        now = (seen.T @ seen - state.V.T @ state.V).matrix.entries()
        exact = geometry.invariant.entries()
        assert all(x.contains(arb(y)) for x, y in zip(now, exact, strict=True))
        if state.t == 3:
            break


def test_eigenvalues_are_numpy_s_largest_first() -> None:
    for matrix in (DATA.X @ DATA.X.T, np.diag([2.0, -1.0, 2.0]), np.zeros((2, 2))):
        found = [float(x.mid()) for x in eigenvalues(rational(matrix))]
        assert found == pytest.approx(np.linalg.eigvalsh(matrix)[::-1])


def test_imbalance_counts_as_many_eigenvalues_as_there_are() -> None:
    """Λ = diag(1, −1/4) on two hidden units: n = 1 sees the first, m = 1 the second, n = 2 neither."""
    U, V = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.5]])
    for rows, c in ((1, 1.25), (2, 0.25)):
        X = np.eye(3)[:rows]
        instance = FlowInstance(Regression(X, np.ones((rows, 1))), FlowRun(0, 1.0, U, V))
        assert float(FlowGeometry(instance).imbalance()) == c


# ----------------------------------------------------------------------------------- budgets against balls
def test_float_observables_lie_within_their_budgets_of_the_balls() -> None:
    geometry = FlowGeometry(INSTANCE)
    measured = measure_flow(INSTANCE, geometry)
    with flint.ctx.workprec(192):
        exact = exact_flow(INSTANCE, geometry, None, frozenset(BALLS))
        for t in range(4):
            exact.measurement.advance(next(exact.states))
            for observable in BALLS:
                ball, value = measured[observable], exact.measurement[observable]
                k: Any = t if ball.mid.ndim else ()
                unit = arb(2) ** int(ball.exp2[k])
                found, error = arb(float(ball.mid[k])) * unit, arb(float(ball.rad[k])) * unit
                assert abs(found - value) <= error + abs(value) * 2.0**-80, (observable, t)
                assert error <= abs(value) * 1e-8 + 1e-12, (observable, t)


def test_a_flow_ends_where_it_has_converged() -> None:
    geometry = FlowGeometry(INSTANCE)
    trajectory = train_flow(INSTANCE.with_run(steps=500, time_step=1.0), geometry, 1000)
    assert trajectory.status == CONVERGED
    assert 4 < len(trajectory) < 20


def test_a_flow_too_fast_for_its_time_step_is_given_up() -> None:
    fast = INSTANCE.with_run(time_step=1e9)
    with pytest.raises(PrecisionLost):
        next(replay_flow(fast, FlowGeometry(fast))).successor()


# ------------------------------------------------------------------------------------------ the theorems
def test_both_tiers_know_the_same_declared_observables() -> None:
    assert FLOAT.keys() == BALLS.keys() <= NOTATION.keys()
    for theorem in THEOREMS:
        assert theorem.system == OVERPARAMETRIZED
        assert theorem.observables <= FLOAT.keys(), theorem.id


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_theorems_hold_and_speak_on_every_family(family: Any) -> None:
    spoken = dict.fromkeys(BY_NAME, 0)

    @settings(max_examples=12, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(3)
    @given(FlowSetting().instances(family, 12))
    def look(instance: FlowInstance) -> None:
        measurement = measure_flow(instance, FlowGeometry(instance))
        for name, theorem in BY_NAME.items():
            judgement = judge(theorem, measurement)
            assert judgement.outcome != VIOLATED, instance.to_json()
            spoken[name] += judgement.outcome not in (NOT_APPLICABLE, "vacuous")

    look()
    assert min(spoken.values()) >= 4, spoken


@pytest.mark.parametrize("name", BY_NAME)
def test_balls_prove_every_theorem_on_an_instance(name: str) -> None:
    found = examine(BY_NAME[name], INSTANCE, FlowGeometry(INSTANCE), [1, 2], None)
    assert [finding.outcome for finding in found] == ["holds"] * 2


def _planted(name: str, claim: Any) -> Theorem:
    return Theorem(f"false.over.{name}", name, OVERPARAMETRIZED, [], claim, Conjecture(source="planted"))


FALSE = (
    _planted("double", loss_decay >= 4 * data_eig_min * imbalance * loss_gap),
    _planted("largest", loss_decay >= 2 * data_eig_max * imbalance * loss_gap),
    _planted("still", null_part <= coupling_0 / 4),
    _planted("halved", loss_gap <= loss_gap_0 / 2),
)


@pytest.mark.parametrize("theorem", FALSE, ids=lambda theorem: theorem.id)
def test_planted_falsehoods_are_convicted(theorem: Theorem, tmp_path: Any) -> None:
    body = search([theorem], Profile(24, 8), seed=0)[theorem.id]
    assert body.verdict == "falsified"
    assert body.counterexample is not None
    smallest = shrink(body.counterexample, Budget(certifications=40, candidates=150))
    assert rejudge(load(save(smallest, tmp_path, {})), theorem).outcome == VIOLATED
    instance: Any = smallest.instance
    assert instance.dataset.X.size <= 4


def test_an_attained_truth_is_not_convicted() -> None:
    """n = m = k = 1, X = (1, 0), V_0 = 0: c = u², and at time 0 the loss falls at the speed 2c times itself."""
    data = Regression(np.array([[1.0, 0.0]]), np.array([[1.0]]))
    instance = FlowInstance(data, FlowRun(0, 1.0, np.array([[0.3], [0.0]]), np.array([[0.0]])))
    geometry = FlowGeometry(instance)
    assert judge(BY_NAME["decay"], measure_flow(instance, geometry)).outcome == "undecided"
    [finding] = examine(BY_NAME["decay"], instance, geometry, [0], None)
    assert finding.outcome in (TIGHT, "holds")


def test_unusable_parts_are_named() -> None:
    with pytest.raises(InvalidDataset, match="dependent"):
        Regression(np.array([[1.0, 2.0], [2.0, 4.0]]), np.ones((2, 1)))
    with pytest.raises(InvalidRun, match="time_step"):
        INSTANCE.with_run(time_step=0.0)
    with pytest.raises(InvalidRun, match="k = "):
        INSTANCE.with_run(V_0=np.ones((1, 3)))
