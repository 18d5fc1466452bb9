"""Adaptive federated learning over the air: the channel, both tiers against plain ones, and what is caught."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import flint
import numpy as np
import pytest
import scipy.stats
from flint import arb
from hypothesis import HealthCheck, given, seed, settings

from bounds import (
    FEDERATED,
    NOTATION,
    Accumulator,
    Conjecture,
    Interference,
    InvalidClaim,
    Order,
    Theorem,
    beta_2,
    descent_sum,
    eta,
    gradient_square_sum,
    log_growth,
    normalised_sum,
    objective_drop,
    step_square_sum,
    t,
    tail_index,
)
from bounds.federated import THEOREMS
from models.dataset import Array
from models.federated import Clients, FederatedInstance, FederatedRun, train_federated
from models.federated_channel import CHUNK, Channel, received
from models.instance import InvalidRun
from models.trajectory import NON_FINITE_STEP
from properties.certify import examine
from properties.federated import BALLS, FAMILIES, FLOAT, TAILS, TOOLS, FederatedSetting, measure_federated
from properties.federated import exact_federated as exact_run
from properties.judge import HOLDS, NOT_APPLICABLE, VIOLATED, judge
from properties.orders import OrderEvidence, OrderRun, hold_against_rate
from properties.power import search
from properties.shrinker import shrink
from properties.store import load, rejudge, save
from properties.trial import Profile, hold_trial

BY_NAME = {theorem.id.removeprefix("federated."): theorem for theorem in THEOREMS}
POINTWISE = [theorem for theorem in THEOREMS if theorem.kind == "pointwise"]
DATA = Clients(np.array([[1.0, -0.5], [0.5, 2.0], [0.0, 1.0]]), np.array([1.0, -1.0, 0.5]))


def instance(rule: str = "adagrad", **changes: Any) -> FederatedInstance:
    """Three clients, two coordinates, everything switched on."""
    run = FederatedRun(40, rule, 0.5, np.array([2.0, -1.5]), 1.5, 0.5, seed=7, v_0=0.25)
    run = replace(run, beta_1=0.5, beta_2=0.75, epsilon=2.0**-10, repetitions=3)
    return FederatedInstance(DATA, replace(run, **changes))


# ---------------------------------------------------------------------------------------------- the channel
@pytest.mark.parametrize("alpha", TAILS.values())
def test_interference_has_the_stable_law(alpha: float) -> None:
    count = 2**16
    channel = Channel(3, 8, 1, 1, alpha, 1.0, True)
    xi = np.concatenate([xi.ravel() for _, xi in channel.chunks(count // 8)])
    error = 4 / np.sqrt(count)
    for s in (0.25, 1.0, 2.0):
        assert abs(np.cos(s * xi).mean() - np.exp(-(s**alpha))) < error
    points = np.array([-4.0, -0.5, 1.0, 12.0])
    found = (xi[:, None] <= points).mean(axis=0)
    assert np.abs(found - scipy.stats.levy_stable.cdf(points, alpha, 0.0)).max() < error


def test_fading_is_rayleigh_of_mean_one() -> None:
    h = np.concatenate([h.ravel() for h, _ in Channel(5, 4, 4, 1, 1.5, 1.0, True).chunks(2**12)])
    assert abs(h.mean() - 1) < 4 * h.std() / np.sqrt(h.size)
    for x in (0.3, 1.0, 2.0):
        assert abs((h <= x).mean() - (1 - np.exp(-np.pi / 4 * x * x))) < 2 / np.sqrt(h.size)


def test_the_channel_is_what_its_formulas_say_to_single_precision() -> None:
    alpha, raw = 1.2, np.random.PCG64(11).random_raw(300).reshape(20, 3, 5)
    h, xi = received(raw, 1, alpha)
    uniform = (np.floor(raw / 4096.0) + 0.5) / 2.0**52
    np.testing.assert_allclose(h[..., 0], np.sqrt(-4 / np.pi * np.log(uniform[..., 0])), rtol=1e-7)
    U, W = np.pi * (uniform[..., 1::2] - 0.5), -np.log(uniform[..., 2::2])
    plain = np.sin(alpha * U) / np.cos(U) ** (1 / alpha) * (np.cos((1 - alpha) * U) / W) ** ((1 - alpha) / alpha)
    np.testing.assert_allclose(xi, plain, rtol=1e-7)


def test_a_longer_run_begins_with_the_same_numbers_and_another_seed_with_others() -> None:
    channel = Channel(1, 2, 3, 2, 1.5, 0.5, True)
    short, long = list(channel.chunks(3)), list(channel.chunks(CHUNK + 5))
    assert [len(h) for h, _ in long] == [CHUNK, 5]
    for one, other in zip(short[0], long[0], strict=True):
        np.testing.assert_array_equal(one, other[:3])
    assert not np.array_equal(short[0][1], next(replace(channel, seed=2).chunks(3))[1])
    steady = next(replace(channel, fading=False, scale=0.0).chunks(3))
    assert (steady[0] == 1).all()
    assert (steady[1] == 0).all()


# --------------------------------------------------------------------------------------------- the dynamics
def plainly(given_: FederatedInstance) -> dict[str, Array]:
    """The observables after every step, from the algorithm's definition, one repetition at a time."""
    X, y, run = given_.dataset.X, given_.dataset.targets, given_.run
    chunks = list(given_.channel.chunks(run.steps))
    fading, interference = (np.concatenate(parts) for parts in zip(*chunks, strict=True))

    def f(w: Array) -> float:
        return float(((X @ w - y) ** 2).mean() / 2)

    rows: list[list[list[float]]] = []
    for r in range(run.repetitions):
        w, delta, v, sums, row = run.w_0, np.zeros(X.shape[1]), np.full(X.shape[1], run.v_0), np.zeros(4), []
        for k in range(run.steps + 1):
            row.append([*sums, np.log(v / run.v_0).sum(), f(run.w_0) - f(w)])
            if k == run.steps:
                break
            gradients = X * (X @ w - y)[:, None]
            full = gradients.mean(axis=0)
            g = (fading[k, r][:, None] * gradients).mean(axis=0) + interference[k, r]
            delta = run.beta_1 * delta + (1 - run.beta_1) * g
            power = np.abs(delta) ** run.tail_index
            v = v + power if run.rule == "adagrad" else run.beta_2 * v + (1 - run.beta_2) * power
            after = w - run.eta * delta / (v ** (1 / run.tail_index) + run.epsilon)
            sums += np.array([full @ full, (power / v).sum(), (after - w) @ (after - w), full @ (w - after)])
            w = after
        rows.append(row)
    names = ("gradient_square_sum", "normalised_sum", "step_square_sum", "descent_sum")
    means = np.array(rows).mean(axis=0).T
    return dict(zip((*names, "log_growth", "objective_drop"), means, strict=True))


@pytest.mark.parametrize("rule", ["adagrad", "adam"])
@pytest.mark.parametrize("changes", [{}, {"tail_index": 2.0, "fading": 0}, {"steps": CHUNK + 20, "beta_1": 0.0}])
def test_training_is_what_the_algorithm_says(rule: str, changes: dict[str, Any]) -> None:
    given_ = instance(rule, **changes)
    measured = measure_federated(given_, None)
    for name, values in plainly(given_).items():
        np.testing.assert_allclose(measured[name].floats(), values, rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(measured["smoothness"].floats(), np.trace(DATA.X.T @ DATA.X) / 3, rtol=1e-14)


def test_a_run_has_left_its_start_once_the_gradient_has_fallen() -> None:
    trajectory = train_federated(instance(scale=0.0, fading=0))
    squares = np.diff(trajectory.column("gradient_square_sum"))
    least = np.minimum.accumulate(squares) / squares[0]
    np.testing.assert_allclose(np.exp(trajectory.column("log_leak_max")[1:]), least, rtol=1e-9)


def test_a_run_that_float64_cannot_hold_ends_there() -> None:
    trajectory = train_federated(instance(w_0=np.array([1e200, 0.0])))
    assert trajectory.status == NON_FINITE_STEP
    assert len(trajectory) < 41


def test_an_instance_survives_json_with_every_bit_of_its_run() -> None:
    given_ = instance("adam")
    again = FederatedInstance.from_json(given_.to_json())
    assert again.id == given_.id
    np.testing.assert_array_equal(train_federated(again).table, train_federated(given_).table)
    assert instance("adam", seed=8).id != given_.id


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rule": "sgd"}, "rule"),
        ({"eta": 0.0}, "eta"),
        ({"v_0": 0.0}, "v_0"),
        ({"tail_index": 1.0}, "tail_index"),
        ({"tail_index": 2.5}, "tail_index"),
        ({"scale": -1.0}, "scale"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"beta_1": 1.0}, "beta_1"),
        ({"beta_2": 0.0}, "beta_2"),
        ({"repetitions": 0}, "repetitions"),
        ({"fading": 2}, "fading"),
        ({"w_0": np.ones(3)}, "d = 3"),
    ],
)
def test_unusable_runs_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRun, match=named):
        instance(**changes)
    with pytest.raises(InvalidRun, match="take step 0"):
        TOOLS.restart(instance(), 3, None)


# --------------------------------------------------------------------------------------- budgets against balls
@pytest.mark.parametrize("rule", ["adagrad", "adam"])
@pytest.mark.parametrize("alpha", [1.2, 2.0])
def test_float_observables_lie_within_their_budgets_of_the_balls(rule: str, alpha: float) -> None:
    given_ = instance(rule, tail_index=alpha, steps=30)
    measured = measure_federated(given_, None)
    with flint.ctx.workprec(300):
        run = exact_run(given_, None, None, frozenset(BALLS))
        for state in run.states:
            run.measurement.advance(state)
            for name in BALLS:
                value, ball = run.measurement[name], measured[name]
                k: Any = state.t if ball.mid.ndim else ()
                unit = arb(2) ** int(ball.exp2[k])
                found, error = arb(float(ball.mid[k])) * unit, arb(float(ball.rad[k])) * unit
                assert abs(found - value) <= error + arb(2) ** -200, (name, state.t)
                assert error <= 1e-11 * (1 + abs(value)), (name, state.t)
            if state.t == 30:
                break


def test_a_step_without_a_signal_moves_nothing_in_balls_as_in_float64() -> None:
    still = FederatedInstance(
        Clients(np.zeros((1, 1)), np.zeros(1)), FederatedRun(3, "adam", 1.0, np.ones(1), 1.5, 0.0)
    )
    measured = measure_federated(still, None)
    assert (measured["step_square_sum"].floats() == 0).all()
    [finding] = examine(BY_NAME["adam.steps"], still, None, [3], None)
    assert finding.outcome == HOLDS


def test_both_tiers_know_the_same_declared_observables() -> None:
    assert FLOAT.keys() == BALLS.keys() <= NOTATION.keys()
    for theorem in THEOREMS:
        assert theorem.system == FEDERATED
        assert theorem.observables <= FLOAT.keys(), theorem.id


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.id)
def test_every_drawn_instance_meets_the_hypotheses_and_no_inequality_falls(theorem: Theorem, family: Any) -> None:
    @settings(max_examples=10, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(5)
    @given(FederatedSetting.of(theorem).instances(family, 2**10))
    def look(given_: FederatedInstance) -> None:
        assert given_.run.tail_index == TAILS[family.name]
        measured = measure_federated(given_, None)
        if theorem in POINTWISE:
            assert judge(theorem, measured).outcome not in (VIOLATED, NOT_APPLICABLE), given_.to_json()
        else:
            held = hold_against_rate(theorem, measured, family.name)
            assert isinstance(held, OrderRun), held

    look()


# --------------------------------------------------------------------------------- what is attained, what is false
def planted(name: str, rule: str, claim: Any) -> Theorem:
    return Theorem(f"planted.f.{name}", name, FEDERATED, [Accumulator(rule)], claim, Conjecture(source="planted"))


def test_a_tight_truth_is_not_convicted() -> None:
    """For α = 2 and ε = 0 the squared steps are η² times the normalised powers."""
    equal = planted("equal", "adagrad", step_square_sum <= eta**2 * normalised_sum)
    given_ = instance(tail_index=2.0, epsilon=0.0, steps=10)
    for finding in examine(equal, given_, None, [1, 10], None):
        assert finding.outcome == "tight"


def test_the_longest_step_is_attained_where_v_forgets_its_start() -> None:
    given_ = instance("adam", v_0=2.0**-900, epsilon=0.0, beta_1=0.0, steps=1)
    [finding] = examine(BY_NAME["adam.steps"], given_, None, [1], None)
    assert finding.outcome == "tight"


FALSE: dict[str, tuple[str, Any]] = {
    "half the logarithm": ("adagrad", normalised_sum <= log_growth / 2),
    "without the logarithm": ("adagrad", descent_sum <= objective_drop),
    "steps of half the length": ("adam", step_square_sum <= t * eta**2 * (1 - beta_2) ** (-2 / tail_index) / 4),
    "the other rule's logarithm": ("adam", normalised_sum <= log_growth),
}


@pytest.mark.parametrize("name", FALSE)
def test_a_planted_false_theorem_is_caught_with_a_certificate(name: str, tmp_path: Any) -> None:
    rule, claim = FALSE[name]
    theorem = planted(name.replace(" ", "-").replace("'", ""), rule, claim)
    body = search([theorem], Profile(40, 60), seed=0)[theorem.id]
    assert body.verdict == "falsified"
    assert body.counterexample is not None
    smallest = shrink(body.counterexample)
    assert rejudge(load(save(smallest, tmp_path, {})), theorem).outcome == VIOLATED
    kept: Any = smallest.instance
    assert kept.dataset.X.shape == (1, 1)
    assert kept.run.repetitions == 1


# ------------------------------------------------------------------------------------------------- the orders
def on_trial(theorem: Theorem, steps: int = 2**12) -> OrderEvidence:
    body = OrderEvidence(theorem)
    hold_trial({theorem.id: body}, Profile(8, 8, 8, steps), 1)
    return body


def test_the_reported_rate_for_adding_up_is_consistent_and_shown_for_every_tail_index() -> None:
    body = on_trial(BY_NAME["adagrad.rate"])
    assert body.verdict == "consistent"
    assert list(body.typical_by_family) == sorted(TAILS)
    for name, run in body.typical_by_family.items():
        assert run.exponent.low < -(1 - 1 / TAILS[name]) + 0.1
        assert f"{name} −" in body.sentence


def test_a_claimed_exponent_may_depend_on_the_run() -> None:
    body = on_trial(planted("power", "adagrad", Order(gradient_square_sum / t, t ** (1 / tail_index - 1))))
    for run in body.runs:
        assert run.claimed.slope == pytest.approx(1 / TAILS[run.source] - 1, abs=0.01)
    assert body.details()["claimed_by_family"].keys() == TAILS.keys()


def test_a_false_exponent_that_depends_on_the_run_meets_evidence_against() -> None:
    faster = Order(gradient_square_sum / t, t ** (1 / tail_index - 2))
    assert on_trial(planted("faster", "adagrad", faster)).verdict == "evidence against"


def test_no_rate_depends_on_what_changes_along_a_run() -> None:
    with pytest.raises(InvalidClaim, match="changes along a run"):
        planted("wrong", "adagrad", Order(gradient_square_sum, t * log_growth))


def test_averaging_with_a_fixed_step_size_keeps_a_floor() -> None:
    against = on_trial(BY_NAME["adam.rate"])
    assert against.verdict == "evidence against"
    assert "falsified" not in against.sentence
    assert on_trial(BY_NAME["adam.floor"]).verdict == "consistent"
    higher = Theorem(
        "planted.f.higher",
        "A mean that grows like t",
        FEDERATED,
        [Accumulator("adam"), Interference()],
        Order(gradient_square_sum / t, t, "Omega"),
        Conjecture(source="planted"),
    )
    assert on_trial(higher).verdict == "evidence against"


def test_step_sizes_chosen_for_the_length_of_the_run_give_its_square_root() -> None:
    """With η = T^{−1/2} the mean over T steps falls like T^{−1/2}: better than a floor, far from 1/T."""
    lengths = 4 ** np.arange(4, 9)
    means = []
    for T in lengths.tolist():
        given_ = instance("adam", steps=T, eta=2 * T**-0.5, repetitions=8, epsilon=0.0)
        means.append(train_federated(given_, 1).column("gradient_square_sum")[-1] / T)
    slope = np.polyfit(np.log(lengths), np.log(means), 1)[0]
    assert -0.65 < slope < -0.4
