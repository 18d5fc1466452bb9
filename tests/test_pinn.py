"""Implicit gradient descent on a PINN: autograd, SciPy, budgets against balls, and which rates stand."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

import flint
import numpy as np
import pytest
import torch
from flint import arb, arb_mat, fmpq, fmpq_mat
from hypothesis import HealthCheck, given, seed, settings
from scipy.optimize import minimize

from bounds import (
    NOTATION,
    PINN,
    Conjecture,
    Theorem,
    eta,
    gram_contraction,
    gram_eig_next,
    loss,
    loss_next,
    loss_start,
)
from bounds.pinn import THEOREMS
from models.dataset import Array, InvalidDataset
from models.instance import InvalidRun
from models.pinn import (
    CONVERGED,
    PinnGeometry,
    PinnInstance,
    PinnRun,
    Poisson,
    path,
    point,
    restarted_pinn,
    train_pinn,
)
from models.pinn_replay import BallPoint, pinn_replay, smallest_eigenvalue
from models.replay import PrecisionLost
from properties.certify import examine
from properties.judge import NOT_APPLICABLE, VIOLATED, judge
from properties.pinn import BALLS, FAMILIES, FLOAT, PinnSetting, exact_pinn, measure_pinn
from properties.power import search
from properties.shrinker import Budget, shrink
from properties.store import load, rejudge, save
from properties.trial import Profile

BY_NAME = {theorem.id.removeprefix("pinn."): theorem for theorem in THEOREMS}
DATA = Poisson(np.array([0.25, 0.5, 0.875]), np.array([1.0, -0.5, 2.0]), np.array([0.5, -0.25]))
W_0 = np.array([[1.0, -0.5], [-1.5, 0.25], [0.5, 0.75]])
SIGNS = np.array([1.0, -1.0, 1.0])
RUNS = {
    "moderate": PinnRun(6, 2.0, W_0, SIGNS),
    "long": PinnRun(3, 512.0, W_0, SIGNS),
    "inexact": PinnRun(6, 8.0, W_0, SIGNS, tolerance=0.25),
    "backward": PinnRun(4, 1.0, W_0, SIGNS, backward=1),
    "backward, inexact": PinnRun(4, 1.0, W_0, SIGNS, tolerance=0.5, backward=1),
    "narrow": PinnRun(4, 1.0, W_0[:2], SIGNS[:2]),
    "wide": PinnRun(4, 0.5, np.random.default_rng(0).integers(-8, 9, (8, 2)) / 4.0, np.tile([1.0, -1.0], 4)),
    "dead": PinnRun(1, 1.0, 64.0 * np.ones((3, 2)), SIGNS),
}
#: A neuron whose loss rises on a step that solves the implicit equation.
RISING = PinnInstance(
    Poisson(np.zeros(1), np.zeros(1), np.ones(2)), PinnRun(0, 1.0, np.array([[2.0, 1.0]]), np.ones(1), backward=1)
)
#: Two neurons that a long step leaves far from u'' = −2, u(0) = u(1) = −1.
STUCK = PinnInstance(
    Poisson(np.ones(1), np.array([-2.0]), -np.ones(2)),
    PinnRun(0, 256.0, np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([-1.0, 1.0])),
)


# ---------------------------------------------------------------------------------- derivatives by autograd
def torch_residuals(instance: PinnInstance, w: torch.Tensor) -> torch.Tensor:
    """The residuals by definition: u'' is differentiated twice in x."""
    data, run = instance.dataset, instance.run
    weights, a = w.reshape(-1, 2), torch.tensor(run.a) / run.a.size**0.5

    def u(x: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = torch.tanh(x[:, None] * weights[:, 0] + weights[:, 1]) @ a
        return values

    x = torch.tensor(data.X, requires_grad=True)
    [first] = torch.autograd.grad(u(x).sum(), x, create_graph=True)
    [second] = torch.autograd.grad(first.sum(), x, create_graph=True)
    ends = u(torch.tensor([0.0, 1.0], dtype=torch.float64)) - torch.tensor(data.g)
    return torch.cat([(second - torch.tensor(data.f)) / float(data.X.size) ** 0.5, ends / 2**0.5])


def rows(values: torch.Tensor, w: torch.Tensor) -> Array:
    """The Jacobian, one row a value."""
    return np.array([torch.autograd.grad(value, w, retain_graph=True)[0].numpy() for value in values])


@pytest.mark.parametrize("name", ["moderate", "narrow", "dead"])
def test_residuals_and_derivatives_are_those_of_autograd(name: str) -> None:
    instance = PinnInstance(DATA, RUNS[name])
    p, w = point(DATA, instance.run, instance.run.W_0), torch.tensor(instance.run.W_0.ravel(), requires_grad=True)
    r = torch_residuals(instance, w)
    assert p.r == pytest.approx(r.detach().numpy(), rel=1e-12, abs=1e-12)
    assert pytest.approx(rows(r, w), rel=1e-11, abs=1e-12) == p.J
    [gradient] = torch.autograd.grad((r**2).sum() / 2, w, create_graph=True)
    assert p.gradient == pytest.approx(gradient.detach().numpy(), rel=1e-11, abs=1e-11)
    assert p.J.T @ p.J + p.bend == pytest.approx(rows(gradient, w), rel=1e-10, abs=1e-11)


# ------------------------------------------------------------------------------------------------- the steps
def test_a_step_is_the_minimum_that_another_method_finds() -> None:
    """For a short step the proximal objective is convex near the start, with one minimum there."""
    instance = PinnInstance(DATA, PinnRun(2, 0.25, W_0, SIGNS))
    here, there = islice(path(instance), 2)

    def objective(v: Any) -> tuple[float, Any]:
        p = point(DATA, instance.run, v.reshape(-1, 2))
        return p.loss + ((v - W_0.ravel()) ** 2).sum() / 0.5, p.gradient + (v - W_0.ravel()) / 0.25

    found = minimize(objective, W_0.ravel(), jac=True, method="BFGS", options={"gtol": 1e-10})
    assert here.W.tolist() == W_0.tolist()
    assert there.W.ravel() == pytest.approx(found.x, abs=1e-8)


@pytest.mark.parametrize("name", RUNS)
def test_steps_are_solved_as_far_as_they_should_be_and_lower_the_objective(name: str) -> None:
    instance = PinnInstance(DATA, RUNS[name])
    run, points = instance.run, list(islice(path(instance), 3))
    if run.backward:
        assert points[1].W.tolist() == W_0.tolist()
        points = points[1:]
    for here, there in pairwise(points):
        moved = there.W - here.W
        left = np.linalg.norm(moved.ravel() + run.eta * there.gradient)
        push = run.eta * np.linalg.norm(there.gradient)
        assert left <= (run.tolerance + 1e-9) * push
        assert left > 0.0 if run.tolerance else True
        assert there.loss + (moved**2).sum() / (2 * run.eta) <= here.loss


def test_a_restart_has_the_same_next_point() -> None:
    for run in RUNS.values():
        instance = PinnInstance(DATA, run)
        points = list(islice(path(instance), 4))
        for step in (0, 1, 2):
            again = restarted_pinn(instance, step, PinnGeometry(instance))
            here, there = islice(path(again), 2)
            assert here.W.tolist() == points[step].W.tolist()
            assert there.W.tolist() == points[step + 1].W.tolist()


def test_a_run_ends_where_rounding_hides_its_gradient() -> None:
    trajectory = train_pinn(PinnInstance(DATA, RUNS["long"]).with_run(steps=50))
    assert trajectory.status == CONVERGED
    assert 1 <= len(trajectory) < 50


def test_an_instance_survives_json() -> None:
    for run in RUNS.values():
        instance = PinnInstance(DATA, run)
        assert PinnInstance.from_json(instance.to_json()).id == instance.id


def test_unusable_parts_are_named() -> None:
    with pytest.raises(InvalidDataset, match="X: give points"):
        Poisson(np.array([1.5]), np.zeros(1), np.zeros(2))
    with pytest.raises(InvalidDataset, match="g has 1"):
        Poisson(np.array([0.5]), np.zeros(1), np.zeros(1))
    for changes, named in (
        ({"eta": 0.0}, "eta"),
        ({"W_0": np.ones((3, 3))}, "W_0 has 3 columns"),
        ({"a": np.ones(2)}, "m = "),
        ({"tolerance": 1.5}, "tolerance"),
        ({"backward": 2}, "backward"),
    ):
        with pytest.raises(InvalidRun, match=named):
            PinnInstance(DATA, RUNS["moderate"]).with_run(**changes)
    far = PinnInstance(DATA, PinnRun(1, 1e300, 1e200 * W_0, SIGNS, backward=1))
    assert len(train_pinn(far)) == 0
    with pytest.raises(PrecisionLost):
        next(pinn_replay(far))


# --------------------------------------------------------------------------------- eigenvalues, and budgets
REFLECTION = [[fmpq(int(i == j)) - fmpq(2 * (i + 1) * (j + 1), 30) for j in range(4)] for i in range(4)]


@pytest.mark.parametrize(
    "values", [(1, 2, 3, 4), (2, 2, 2, 5), (0, 0, 1, 1), (0, 0, 0, 0), (1, 10**20, 10**40, 3), (7, 7, 7, 7)]
)
def test_the_smallest_eigenvalue_is_enclosed(values: tuple[int, ...]) -> None:
    """I − 2vvᵀ/‖v‖² with v = (1, 2, 3, 4) is orthogonal and rational."""
    mirror = fmpq_mat(REFLECTION)
    middle = fmpq_mat([[fmpq(values[i]) * int(i == j) for j in range(4)] for i in range(4)])
    with flint.ctx.workprec(256):
        found = smallest_eigenvalue(arb_mat(mirror * middle * mirror))
        assert found.contains(arb(min(values)))
        assert found.rad() <= arb(2) ** -100 * max(*values, 1)


def test_a_smallest_eigenvalue_that_is_not_known_is_none() -> None:
    wide = arb(1, 0.5)
    with pytest.raises(PrecisionLost):
        smallest_eigenvalue(arb_mat([[wide, wide / 2], [wide / 2, wide]]))


@pytest.mark.parametrize("name", RUNS)
def test_float_observables_lie_within_their_budgets_of_the_balls(name: str) -> None:
    instance = PinnInstance(DATA, RUNS[name])
    measured = measure_pinn(instance, PinnGeometry(instance))
    with flint.ctx.workprec(256):
        exact = exact_pinn(instance, PinnGeometry(instance), None, frozenset(BALLS))
        for t in range(len(measured.trajectory)):
            exact.measurement.advance(next(exact.states))
            for observable in BALLS:
                ball, value = measured[observable], exact.measurement[observable]
                k: Any = t if ball.mid.ndim else ()
                if not (value.is_finite() and ball.defined()[k]):
                    assert name == "dead"  # the gradient is 0 there
                    continue
                unit = arb(2) ** int(ball.exp2[k])
                found, error = arb(float(ball.mid[k])) * unit, arb(float(ball.rad[k])) * unit
                assert abs(found - value) <= error + arb(2) ** -80, (observable, t)
                assert error <= abs(value) * 1e-6 + 1e-6, (observable, t)


# ---------------------------------------------------------------------------------------------- the theorems
def test_both_tiers_know_the_same_declared_observables() -> None:
    assert FLOAT.keys() == BALLS.keys() <= NOTATION.keys()
    for theorem in THEOREMS:
        assert theorem.system == PINN
        assert theorem.observables <= FLOAT.keys(), theorem.id


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_derived_theorems_hold_and_speak_on_every_family(family: Any) -> None:
    spoken = dict.fromkeys(("step.descent", "rate.product", "rate.steady"), 0)

    @settings(max_examples=10, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(3)
    @given(PinnSetting.of(BY_NAME["step.descent"]).instances(family, 12))
    def look(instance: PinnInstance) -> None:
        measurement = measure_pinn(instance, PinnGeometry(instance))
        for name in spoken:
            judgement = judge(BY_NAME[name], measurement)
            assert judgement.outcome != VIOLATED, instance.to_json()
            spoken[name] += judgement.outcome not in (NOT_APPLICABLE, "vacuous")

    look()
    assert min(spoken.values()) >= 3, spoken


@pytest.mark.parametrize("name", ["step.descent", "rate.product", "rate.steady"])
def test_balls_prove_the_derived_theorems_on_runs(name: str) -> None:
    for tolerance in (0.0, 0.125):
        instance = PinnInstance(DATA, RUNS["wide"]).with_run(tolerance=tolerance)
        found = examine(BY_NAME[name], instance, PinnGeometry(instance), [0, 2], None)
        assert [finding.outcome for finding in found] == ["holds"] * 2


def test_the_bound_on_a_step_is_attained_and_not_convicted() -> None:
    """At the edge of descent 1 + ηλ cannot be raised by a thousandth, for steps that at least halve the loss."""
    closest = 0.0

    @settings(max_examples=12, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(0)
    @given(PinnSetting.of(BY_NAME["step.descent"]).instances(FAMILIES[3], 0))
    def look(instance: PinnInstance) -> None:
        nonlocal closest
        geometry = PinnGeometry(instance)
        measured = measure_pinn(instance, geometry)
        if measured["loss_next"].floats()[0] <= measured["loss"].floats()[0] / 2:
            [finding] = examine(BY_NAME["step.descent"], instance, geometry, [0], None)
            assert finding.outcome == "holds"
            closest = max(closest, 10 ** judge(BY_NAME["step.descent"], measured).worst_log_ratio)

    look()
    assert closest > 0.999


ASSUMED = BY_NAME["step.descent"].assumes
FALSE = {
    "a-hundredth-more": loss_next <= loss / (1 + 1.01 * eta * gram_eig_next),
    "as-if-solved": loss_next <= loss / (1 + eta * gram_eig_next),
    "squared": loss_next <= loss / (1 + eta * gram_eig_next) ** 2,
    "product": loss_next <= gram_contraction**2 * loss_start,
}


@pytest.mark.parametrize("name", FALSE)
def test_a_planted_falsehood_is_convicted(name: str, tmp_path: Any) -> None:
    theorem = Theorem(f"false.pinn.{name}", name, PINN, ASSUMED, FALSE[name], Conjecture(source="planted"))
    body = search([theorem], Profile(24, 4), seed=0)[theorem.id]
    assert body.verdict == "falsified"
    assert body.counterexample is not None
    smallest = shrink(body.counterexample, Budget(certifications=20, candidates=60))
    assert rejudge(load(save(smallest, tmp_path, {})), theorem).outcome == VIOLATED


def exact_step(instance: PinnInstance) -> tuple[BallPoint, BallPoint, arb]:
    """The first step's end w_1, the start w_1 + η∇L(w_1) from which it is solved exactly, and ‖w_1 − w_0‖²."""
    there = next(pinn_replay(instance)).there
    pushes = [instance.run.eta * g for g in there.gradient]
    start = BallPoint(instance, [w + push for w, push in zip(there.W, pushes, strict=True)])
    return start, there, sum((push**2 for push in pushes), arb(0))


def test_a_solution_of_the_implicit_equation_may_raise_the_loss() -> None:
    geometry = PinnGeometry(RISING)
    [free] = examine(BY_NAME["step.any-solution"], RISING, geometry, [0], None)
    [guarded] = examine(BY_NAME["step.descent"], RISING, geometry, [0], None)
    assert (free.outcome, guarded.outcome) == (VIOLATED, NOT_APPLICABLE)
    start, there, _ = exact_step(RISING)
    assert there.loss > 3 * start.loss


def test_a_narrow_network_refutes_the_reported_rate() -> None:
    """Also with the step solved exactly, descent of the proximal objective included."""
    [finding] = examine(BY_NAME["rate.any-width"], STUCK, PinnGeometry(STUCK), [0], None)
    assert finding.outcome == VIOLATED
    assert examine(BY_NAME["rate.steady"], STUCK, PinnGeometry(STUCK), [0], None)[0].outcome == NOT_APPLICABLE
    start, there, square = exact_step(STUCK)
    step = arb(STUCK.run.eta)
    assert there.loss + square / (2 * step) < start.loss
    assert there.loss > start.loss / (1 + step * start.gram_eig / 2)


@pytest.mark.parametrize("name", ["step.any-solution", "rate.any-width"])
def test_the_trial_finds_what_is_false(name: str) -> None:
    theorem = BY_NAME[name]
    assert search([theorem], Profile(24, 4), seed=0)[theorem.id].verdict == "falsified"
