"""Two-layer networks: training against autograd, budgets against balls, and the misprint in its own words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flint
import numpy as np
import pytest
import torch
from flint import arb
from hypothesis import HealthCheck, given, seed, settings

from bounds import NOTATION, TWO_LAYER
from bounds.two_layer import CORRECTED, PRINTED, THEOREMS
from models.dataset import Array
from models.instance import InvalidRun
from models.linear import LinearGeometry, Points
from models.two_layer import NetworkInstance, NetworkRun, restarted_network, train_network
from properties.certify import examine
from properties.judge import NOT_APPLICABLE, VIOLATED, judge
from properties.observables import Undefined
from properties.power import search
from properties.shrinker import shrink
from properties.store import load, rejudge, save
from properties.trial import Profile
from properties.two_layer import BALLS, FAMILIES, FLOAT, NetworkSetting, exact_network, measure_network

BY_NAME = {theorem.id.removeprefix("two-layer."): theorem for theorem in THEOREMS}
DATA = Points(np.array([[0.5, 0.25], [-0.25, 0.5], [0.125, 0.75]]), np.array([1.0, -1.0, 1.0]))
#: Points and distinct neurons of the smallest counterexamples.
SMALLEST = {"curvature": ((1, 1), 1), "rate": ((2, 2), 1)}
W_0 = np.array([[0.5, -0.25], [0.0, 0.125], [-1.0, 0.75]])
RUNS = {
    "smooth": NetworkRun(20, 0.5, 0.25, 1.0, 4.0, W_0, np.array([1.0, -1.0, -1.0])),
    "copies": NetworkRun(20, 0.5, 0.5, 1.0, 8.0, W_0, np.array([1.0, -1.0, 1.0]), 3),
    "kinked": NetworkRun(20, 0.25, 0.125, 2.0, 64.0, W_0 / 64, np.array([-1.0, -1.0, -1.0])),
    "linear": NetworkRun(20, 0.25, 0.5, 0.5, 1.0, W_0, np.array([1.0, 1.0, -1.0])),
}


# ------------------------------------------------------------------------------- the trainer against autograd
def torch_loss(instance: NetworkInstance, W: torch.Tensor) -> torch.Tensor:
    """F of the network with every one of its m neurons written out."""
    run, X = instance.run, torch.tensor(instance.dataset.X)
    a = torch.tensor(np.repeat(run.a, run.copies))
    z = X @ W.T
    bent = torch.nn.functional.softplus(z * run.beta, threshold=50) / run.beta
    sigma = run.alpha * z + (run.ell - run.alpha) * bent
    return torch.exp(-torch.tensor(instance.dataset.y) * (sigma @ a) / run.width).mean()


def autograd_states(instance: NetworkInstance) -> Iterator[tuple[Array, float, float, float]]:
    """All neurons' weights, F, ‖∇F‖ and the curvature along the gradient, by definition."""
    run = instance.run
    W = torch.tensor(np.repeat(run.W_0, run.copies, axis=0))
    for _ in range(run.steps + 1):
        W = W.clone().requires_grad_(True)
        loss = torch_loss(instance, W)
        [gradient] = torch.autograd.grad(loss, W, create_graph=True)
        direction = gradient.detach()
        [second] = torch.autograd.grad((gradient * direction).sum(), W)
        square = float((direction**2).sum())
        value = float(loss.detach())
        yield W.detach().numpy(), value, square**0.5, float((second * direction).sum()) / square
        W = (W - run.eta / value * direction).detach()


@pytest.mark.parametrize("name", RUNS)
def test_training_follows_autograd(name: str) -> None:
    instance = NetworkInstance(DATA, RUNS[name])
    trajectory = train_network(instance)
    for t, (W, loss, gradient, curvature) in enumerate(autograd_states(instance)):
        expected = {
            "norm": np.linalg.norm(W),
            "log_loss": np.log(loss),
            "slope": gradient / loss,
            "bending": curvature / loss,
        }
        for column, value in expected.items():
            assert trajectory.column(column)[t] == pytest.approx(value, rel=1e-8, abs=1e-9), (column, t)
    assert len(trajectory) == instance.run.steps + 1


def test_a_restart_goes_on_where_the_run_was() -> None:
    for run in RUNS.values():
        instance, geometry = NetworkInstance(DATA, run), LinearGeometry(DATA)
        later = restarted_network(instance, 12, geometry).with_run(steps=8)
        whole, rest = train_network(instance), train_network(later)
        assert rest.column("log_loss") == pytest.approx(whole.column("log_loss")[12:], rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"eta": -1.0}, "eta"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 2.0}, "alpha"),
        ({"beta": 0.0}, "beta"),
        ({"copies": 0}, "copies"),
        ({"a": [1.0, 0.5, 1.0]}, "a"),
        ({"a": [1.0]}, "k = 1"),
    ],
)
def test_unusable_runs_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRun, match=named):
        NetworkInstance(DATA, RUNS["smooth"]).with_run(**changes)


# ----------------------------------------------------------------------------------- budgets against balls
@pytest.mark.parametrize("name", RUNS)
def test_float_observables_lie_within_their_budgets_of_the_balls(name: str) -> None:
    instance, geometry = NetworkInstance(DATA, RUNS[name]), LinearGeometry(DATA)
    measured = measure_network(instance, geometry)
    with flint.ctx.workprec(400):
        for step in (0, 1, 7, 20):
            # The float state of a step is an exact state: what is measured there is compared with balls there.
            there = restarted_network(instance, step, geometry)
            here = measure_network(there, geometry)
            exact = exact_network(there, geometry, None, frozenset(BALLS))
            exact.measurement.advance(next(exact.states))
            for observable in BALLS:
                if observable in ("t", "loss_start"):
                    continue
                value, ball = exact.measurement[observable], here[observable]
                k: Any = 0 if ball.mid.ndim else ()
                unit = arb(2) ** int(ball.exp2[k])
                found, error = arb(float(ball.mid[k])) * unit, arb(float(ball.rad[k])) * unit
                assert abs(found - value) <= error, (observable, step, found, value, error)
                assert error <= abs(value) * 1e-9 + 1e-9, (observable, step, error, value)
        exact = exact_network(instance, geometry, None, frozenset(BALLS))
        for state in exact.states:
            exact.measurement.advance(state)
            ball = measured["loss"]
            found = arb(float(ball.mid[state.t])) * arb(2) ** int(ball.exp2[state.t])
            assert abs(found / state.loss - 1) < 1e-12
            if state.t == 20:
                break


def test_both_tiers_know_the_same_declared_observables() -> None:
    assert FLOAT.keys() == BALLS.keys() <= NOTATION.keys()
    for theorem in THEOREMS:
        assert theorem.system == TWO_LAYER
        assert theorem.observables <= FLOAT.keys(), theorem.id


def test_inseparable_points_have_no_margin() -> None:
    data = Points(np.array([[1.0], [-1.0]]), np.ones(2))
    instance = NetworkInstance(data, NetworkRun(1, 1.0, 0.5, 1.0, 1.0, np.ones((1, 1)), np.ones(1)))
    geometry = LinearGeometry(data)
    assert judge(BY_NAME["gradient.lower"], measure_network(instance, geometry)).outcome == NOT_APPLICABLE
    exact = exact_network(instance, geometry, None, frozenset(BALLS))
    exact.measurement.advance(next(exact.states))
    with pytest.raises(Undefined):
        exact.measurement["gamma"]


# ------------------------------------------------------------------------------------------- the misprint
def test_the_two_constants_differ_by_a_factor_of_m_in_one_term() -> None:
    from bounds import bend, radius, width

    assert (CORRECTED - PRINTED).equals(bend * radius**2 * (1 / width - 1 / width**2))


def test_two_neurons_refute_the_printed_curvature() -> None:
    """m = 2, x = 1, w = 0, a = −1: the loss bends by about L/2 along its gradient, and L/4 is printed."""
    run = NetworkRun(0, 1.0, 0.5, 1.0, 64.0, np.zeros((2, 1)), -np.ones(2))
    instance = NetworkInstance(Points(np.ones((1, 1)), np.ones(1)), run)
    geometry = LinearGeometry(instance.dataset)
    [printed] = examine(BY_NAME["curvature.printed"], instance, geometry, [0], None)
    [corrected] = examine(BY_NAME["curvature.corrected"], instance, geometry, [0], None)
    assert (printed.outcome, corrected.outcome) == (VIOLATED, "holds")


def test_a_wide_kinked_network_refutes_the_printed_rate() -> None:
    """Equal neurons between two nearly opposite points: the loss rises, with the step size that is allowed."""
    data = Points(np.array([[0.25, 0.9375], [0.25, -0.9375]]), np.ones(2))
    beta = 2.0**16
    run = NetworkRun(1, 0.0078125, 0.25, 1.0, beta, np.array([[0.0, 2 / beta]]), -np.ones(1), 4096)
    instance, geometry = NetworkInstance(data, run), LinearGeometry(data)
    [printed] = examine(BY_NAME["rate.printed"], instance.with_run(eta=2.0), geometry, [1], None)
    [corrected] = examine(BY_NAME["rate.corrected"], instance.with_run(eta=2.0), geometry, [1], None)
    assert printed.outcome == VIOLATED
    assert corrected.outcome == NOT_APPLICABLE  # its step sizes are far smaller
    assert arb(printed.small.split("+/-")[0].strip("[ ")) > 1


@pytest.mark.parametrize("name", ["curvature", "rate"])
def test_the_printed_constant_falls_and_the_corrected_one_stands(name: str, tmp_path: Any) -> None:
    small = Profile(24, 200)
    printed, corrected = BY_NAME[f"{name}.printed"], BY_NAME[f"{name}.corrected"]
    body = search([printed], small, seed=0)[printed.id]
    assert body.verdict == "falsified"
    assert body.counterexample is not None
    assert rejudge(load(save(body.counterexample, tmp_path, {})), printed).outcome == VIOLATED
    smallest = shrink(body.counterexample)
    assert rejudge(load(save(smallest, tmp_path, {})), printed).outcome == VIOLATED
    instance: Any = smallest.instance
    assert (instance.dataset.X.shape, instance.run.a.size) == SMALLEST[name]
    assert search([corrected], small, seed=0)[corrected.id].verdict == "confirmed"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_true_theorems_hold_and_speak_on_every_family(family: Any) -> None:
    for name, theorem in BY_NAME.items():
        if name.endswith("printed"):
            continue
        applicable = 0

        @settings(max_examples=8, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @seed(3)
        @given(NetworkSetting.of(theorem).instances(family, 100))
        def look(instance: NetworkInstance) -> None:
            nonlocal applicable
            judgement = judge(theorem, measure_network(instance, LinearGeometry(instance.dataset)))  # noqa: B023
            assert judgement.outcome != VIOLATED, instance.to_json()
            applicable += judgement.outcome != NOT_APPLICABLE

        look()
        assert applicable >= 4, name
