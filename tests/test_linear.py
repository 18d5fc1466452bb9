"""Linear classification: training against autograd and mpmath, budgets against balls, data against hypotheses."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import flint
import mpmath
import numpy as np
import pytest
import torch
from flint import arb
from hypothesis import HealthCheck, given, seed, settings

from bounds import LINEAR, NOTATION, Theorem
from bounds.linear import THEOREMS, LinearlySeparable, UnitBall
from bounds.mutants import breed
from models.dataset import Array
from models.instance import InvalidRun
from models.linear import (
    LINEAR_RULES,
    LinearGeometry,
    LinearInstance,
    LinearRun,
    Points,
    restarted_linear,
    train_linear,
)
from models.trajectory import NON_FINITE_STEP
from properties.hypotheses import check
from properties.judge import NOT_APPLICABLE, VIOLATED, judge
from properties.linear import LinearSetting, exact_linear, measure_linear
from properties.linear_observables import BALLS, FLOAT
from properties.linear_points import FAMILIES, points
from properties.observables import Undefined
from tests.facts import dot, rationals

RNG = np.random.default_rng(0)
SCATTERED = Points(
    RNG.integers(-3, 4, (5, 3)) / 8 * [[1], [-1], [1], [1], [-1]] + np.array([0.5, 0, 0]), np.ones(5)
)
SIGNED = Points(np.array([[0.5, 0.25], [-0.25, 0.5], [0.125, 0.5]]), np.array([1.0, -1.0, 1.0]))
OPPOSITE = Points(np.array([[0.0625, 0.75], [0.0625, -0.75]]), np.ones(2))
DATASETS = {"signed": SIGNED, "opposite": OPPOSITE, "single": Points(np.array([[0.75]]), -np.ones(1))}
RUNS = [
    ("gd", "logistic", "mean", "0", 4.0),
    ("gd", "exponential", "mean", "1/2", 1.0),
    ("gd", "exponential", "sum", "0", 0.25),
    ("loss-normalised", "exponential", "mean", "1/2", 1.0),
    ("loss-normalised", "exponential", "mean", "0", 0.75),
    ("gradient-normalised", "exponential", "mean", "1", 0.5),
]


def instance_of(
    dataset: Points, run: tuple[str, str, str, str, float], steps: int, W_0: Any = None
) -> LinearInstance:
    rule, loss, reduction, power, eta = run
    return LinearInstance(
        dataset, LinearRun(steps, rule, loss, eta=eta, power=Fraction(power), reduction=reduction, W_0=W_0)
    )


# ------------------------------------------------------------------------------- the trainer against autograd
def torch_loss(Z: torch.Tensor, w: torch.Tensor, loss: str, reduction: str) -> torch.Tensor:
    m = Z @ w
    each = torch.nn.functional.softplus(-m) if loss == "logistic" else torch.exp(-m)
    return each.mean() if reduction == "mean" else each.sum()


def autograd_states(instance: LinearInstance) -> Iterator[Array]:
    """w_0, w_1, … by the rules' definitions."""
    run, Z = instance.run, torch.tensor(instance.dataset.X * instance.dataset.y[:, None])
    w = torch.zeros(instance.dataset.d, dtype=torch.float64) if run.W_0 is None else torch.tensor(run.W_0)
    for t in range(run.steps + 1):
        yield w.detach().numpy().copy()
        w = w.clone().requires_grad_(True)
        loss = torch_loss(Z, w, run.loss, run.reduction)
        loss.backward()  # type: ignore[no-untyped-call]
        assert w.grad is not None
        length = run.eta * (t + 1) ** -float(run.power)
        if run.rule == "loss-normalised":
            length /= float(torch_loss(Z, w, "exponential", run.reduction).detach())
        if run.rule == "gradient-normalised":
            length /= float(w.grad.norm())
        w = (w - length * w.grad).detach()


@pytest.mark.parametrize("run", RUNS, ids=str)
@pytest.mark.parametrize("name", DATASETS)
def test_training_follows_autograd(name: str, run: tuple[str, str, str, str, float]) -> None:
    instance = instance_of(DATASETS[name], run, 30, W_0=np.linspace(0.5, -0.5, DATASETS[name].d))
    trajectory = train_linear(instance)
    Z = instance.dataset.signed
    states = list(autograd_states(instance))
    assert len(trajectory) == len(states) == 31
    losses = [float(torch_loss(torch.tensor(Z), torch.tensor(w), run[1], run[2])) for w in states]
    for t, w in enumerate(states):
        m = Z @ w
        q = np.exp(-m) / np.exp(-m).sum()
        expected = {
            "norm": np.linalg.norm(w),
            "margin_min": m.min(),
            "psi": np.log(np.exp(-m).sum()),
            "pull": np.linalg.norm(q @ Z),
            "log_loss": np.log(losses[t]),
            "log_exp_loss": np.log(np.exp(-m).mean()),
            "loss_sum": sum(losses[:t]),
            "step_sum": sum(run[4] * (k + 1) ** -float(Fraction(run[3])) for k in range(t)),
            "path": sum(np.linalg.norm(b - a) for a, b in pairwise(states[: t + 1])),
        }
        if t < 30:
            after = Z @ states[t + 1]
            expected["psi_drop"] = expected["psi"] - np.log(np.exp(-after).sum())
            expected["pull_next"] = np.linalg.norm(np.exp(-after) @ Z) / np.exp(-after).sum()
            expected["log_loss_next"] = np.log(losses[t + 1])
        for column, value in expected.items():
            assert trajectory.column(column)[t] == pytest.approx(value, rel=1e-9, abs=1e-11), (column, t)
    small = [t for t, value in enumerate(losses) if value <= 1 / run[4]]
    assert trajectory.onset == (small[0] if small else None)


def test_the_max_margin_solution_is_optimal() -> None:
    """Margins ≥ 1, and a conic combination of the points at which they are 1: the KKT conditions, in fractions."""
    for dataset in (SIGNED, OPPOSITE, SCATTERED):
        geometry = LinearGeometry(dataset)
        assert geometry.max_margin is not None
        assert geometry.exact_solution is not None
        u = [Fraction(int(x.p), int(x.q)) for x in geometry.exact_solution]
        z = [rationals(row) for row in dataset.signed]
        margins = [dot(row, u) for row in z]
        weights = [Fraction(int(x.p), int(x.q)) for x in geometry.max_margin.multipliers]
        assert min(margins) == 1
        assert all(w >= 0 and (w == 0 or m == 1) for w, m in zip(weights, margins, strict=True))
        assert u == [dot(weights, [row[k] for row in z]) for k in range(dataset.d)]
        assert geometry.gamma == pytest.approx(float(dot(u, u)) ** -0.5, rel=1e-15)
        assert geometry.direction == pytest.approx(np.array([float(x) for x in u]) * geometry.gamma, rel=1e-14)


def test_inseparable_points_have_no_margin() -> None:
    geometry = LinearGeometry(Points(np.array([[1.0], [-1.0]]), np.ones(2)))
    assert geometry.max_margin is None
    assert np.isnan(geometry.gamma)


def test_a_step_out_of_range_ends_the_run() -> None:
    dataset = Points(np.array([[0.5], [1.0]]), np.array([1.0, -1.0]))
    trajectory = train_linear(LinearInstance(dataset, LinearRun(50, "gd", "exponential", eta=1e3)))
    assert trajectory.status == NON_FINITE_STEP
    assert 0 < len(trajectory) < 50


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rule": "sgd"}, "rule"),
        ({"loss": "hinge"}, "loss"),
        ({"reduction": "max"}, "reduction"),
        ({"eta": 0.0}, "eta"),
        ({"power": 5}, "power"),
        ({"rule": "loss-normalised", "loss": "logistic"}, "exponential"),
    ],
)
def test_unusable_runs_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRun, match=named):
        instance_of(SIGNED, RUNS[0], 1).with_run(**changes)


# ----------------------------------------------------------------------------------- budgets against balls
@pytest.mark.parametrize("run", RUNS, ids=str)
@pytest.mark.parametrize("name", DATASETS)
def test_float_observables_lie_within_their_budgets_of_the_balls(
    name: str, run: tuple[str, str, str, str, float]
) -> None:
    instance = instance_of(DATASETS[name], run, 60)
    geometry = LinearGeometry(instance.dataset)
    measured = measure_linear(instance, geometry)
    compared = set()
    with flint.ctx.workprec(600):
        exact = exact_linear(instance, geometry, measured.trajectory.onset, frozenset(BALLS))
        for state in exact.states:
            exact.measurement.advance(state)
            if state.t in (0, 1, 2, 9, 59):
                for observable in BALLS:
                    try:
                        value, ball = exact.measurement[observable], measured[observable]
                    except Undefined:
                        continue
                    k: Any = state.t if ball.mid.ndim else ()
                    if not (np.isfinite(ball.mid[k]) and value.is_finite()):
                        continue
                    unit = arb(2) ** int(ball.exp2[k])
                    found, error = arb(float(ball.mid[k])) * unit, arb(float(ball.rad[k])) * unit
                    compared.add(observable)
                    assert abs(found - value) <= error, (observable, state.t, found, value, error)
                    assert error <= abs(value) * 1e-9 + 1e-12, (observable, state.t, error, value)
            exact.measurement.leave()
            if state.t == 59:
                break
    assert compared >= set(BALLS) - {"exp_loss_1", "steps_since"}


def test_balls_follow_mpmath() -> None:
    """Ten steps of loss-normalised GD with step sizes 1/√(t+1), at 60 digits."""
    Z = [[mpmath.mpf(float(x)) for x in row] for row in SIGNED.signed]
    with mpmath.workdps(60):
        w = [mpmath.mpf(0)] * 2
        for t in range(10):
            e = [mpmath.exp(-(z[0] * w[0] + z[1] * w[1])) for z in Z]
            step = 1 / mpmath.sqrt(t + 1) / sum(e)
            w = [x + step * sum(a * z[k] for a, z in zip(e, Z, strict=True)) for k, x in enumerate(w)]
        norm = mpmath.nstr(mpmath.sqrt(w[0] ** 2 + w[1] ** 2), 40)
    instance = instance_of(SIGNED, ("loss-normalised", "exponential", "mean", "1/2", 1.0), 10)
    with flint.ctx.workprec(300):
        exact = exact_linear(instance, LinearGeometry(SIGNED), None, frozenset(BALLS))
        for state in exact.states:
            if state.t == 10:
                assert abs(state.norm - arb(norm)) < arb("1e-38")
                break


def test_both_tiers_know_the_same_declared_observables() -> None:
    assert FLOAT.keys() == BALLS.keys() <= NOTATION.keys()
    for theorem in THEOREMS:
        assert theorem.observables <= FLOAT.keys(), theorem.id


def test_a_restart_goes_on_where_the_run_was() -> None:
    geometry = LinearGeometry(SIGNED)
    for run in RUNS:
        instance = instance_of(SIGNED, run, 40)
        later = restarted_linear(instance, 25, geometry).with_run(steps=15)
        assert later.run.start == 25
        whole, rest = train_linear(instance, geometry), train_linear(later, geometry)
        for column in ("norm", "psi", "log_loss", "psi_drop"):
            assert rest.column(column) == pytest.approx(whole.column(column)[25:], rel=1e-12)
    diverging = Points(np.array([[0.5], [1.0]]), np.array([1.0, -1.0]))
    instance = LinearInstance(diverging, LinearRun(9, "gd", "exponential", eta=1e3))
    with pytest.raises(InvalidRun, match="ends before"):
        restarted_linear(instance, 9, LinearGeometry(diverging))


# ------------------------------------------------------------------------------------- data and hypotheses
def drawn(theorem: Theorem, family: Any, steps: int, count: int) -> list[LinearInstance]:
    found: list[LinearInstance] = []

    @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(1)
    @given(LinearSetting.of(theorem).instances(family, steps))
    def collect(instance: LinearInstance) -> None:
        found.append(instance)

    collect()
    return found


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_members_are_separable_and_in_the_unit_ball(family: Any) -> None:
    seen: list[float] = []

    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(2)
    @given(points(family.name))
    def look(dataset: Points) -> None:
        longest = max(dot(row, row) for row in map(rationals, dataset.X))
        assert longest <= 1
        geometry = LinearGeometry(dataset)
        assert geometry.max_margin is not None
        run = LinearRun(0, "gd", "logistic", eta=1.0)
        for assumption in (UnitBall(), LinearlySeparable()):
            assert check(assumption, LinearInstance(dataset, run), geometry).holds
        seen.append(geometry.gamma)

    look()
    assert min(seen) < (1e-3 if family.name == "tiny-margin" else 0.3)


def test_instances_meet_the_fixed_hypotheses_by_construction() -> None:
    for theorem in THEOREMS:
        fixed = [a for a in theorem.assumes if a.level != "trajectory" and a.name != "NondegenerateSupport()"]
        for instance in drawn(theorem, FAMILIES[0], 50, 15):
            geometry = LinearGeometry(instance.dataset)
            for assumption in fixed:
                assert check(assumption, instance, geometry).holds, (theorem.id, assumption)


def test_instances_are_drawn_without_any_one_hypothesis() -> None:
    for theorem in THEOREMS:
        if theorem.kind != "pointwise":
            continue
        for mutant in breed(theorem).mutants:
            if mutant.dropped is not None:
                assert drawn(mutant.theorem, FAMILIES[0], 5, 12)


def test_a_point_outside_the_ball_is_seen() -> None:
    dataset = Points(np.array([[1.0, 2.0**-40]]), np.ones(1))
    instance = LinearInstance(dataset, LinearRun(0, "gd", "logistic", eta=1.0))
    assert not check(UnitBall(), instance, LinearGeometry(dataset)).holds


def test_the_theorems_hold_and_speak_on_every_family() -> None:
    applicable, informative = (dict.fromkeys((t.id for t in THEOREMS), 0) for _ in range(2))
    for theorem in THEOREMS:
        if theorem.kind != "pointwise":
            continue
        for family in FAMILIES:
            for instance in drawn(theorem, family, 300, 6):
                judgement = judge(theorem, measure_linear(instance, LinearGeometry(instance.dataset)))
                assert judgement.outcome != VIOLATED, (theorem.id, instance.to_json())
                applicable[theorem.id] += judgement.outcome != NOT_APPLICABLE
                informative[theorem.id] += judgement.informative > 0
        assert applicable[theorem.id] >= 12, theorem.id
        assert informative[theorem.id] >= 8, theorem.id


@pytest.mark.parametrize("name", ["signed", "single"])
def test_the_loss_of_gd_times_t_tends_to_its_limit(name: str) -> None:
    """Soudry et al.: t·L(w_t) → 1/(ηγ²) for the summed exponential loss, within 1 % at t = 200,000."""
    dataset = DATASETS[name]
    instance = LinearInstance(dataset, LinearRun(200_000, "gd", "exponential", eta=0.25, reduction="sum"))
    trajectory = train_linear(instance, dense=10)
    scaled = trajectory.t[-1] * np.exp(trajectory.column("log_loss")[-1])
    assert scaled == pytest.approx(1 / (0.25 * LinearGeometry(dataset).gamma ** 2), rel=0.01)


def test_every_rule_is_on_trial() -> None:
    assert {LinearSetting.of(theorem).rule for theorem in THEOREMS} == set(LINEAR_RULES)
    assert {theorem.system for theorem in THEOREMS} == {LINEAR}
