"""The fused joint trainer against its torch definition, and the runs and instances it takes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from models.dataset import Array, InvalidDataset, TokenDataset
from models.instance import LOSSES, InvalidRun
from models.joint import JointGeometry, JointInstance, JointRun, restarted_joint, train_joint
from models.joint_autograd import JointAttention, train_joint_by_autograd
from models.joint_trajectory import FROM_DECODER_ONSET, JOINT_COLUMNS, JointTrajectory
from models.trajectory import FINISHED, PRECISION_LOST

SHAPES = [(1, 2, 2), (2, 3, 4), (3, 3, 4), (4, 2, 5), (3, 5, 8)]
SCHEDULES = {
    "default": (Fraction(1), Fraction(2, 3)),
    "roots": (Fraction(1, 2), Fraction(1, 2)),
    "constant": (Fraction(0), Fraction(0)),
}
# Columns about rounding describe the trainer's own arithmetic, which differs by design.
ROUNDING = {
    "direction_gap_error",
    "u_gap_error",
    "state_condition",
    "pc_margin",
    "coefficient_condition",
    "u_mass",
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def random_dataset(seed: int, n: int, T: int, d: int, *, cross: bool = False) -> TokenDataset:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, T, d)) / d**0.25
    y, u = rng.choice([-1.0, 1.0], n), rng.standard_normal(d)
    query = rng.standard_normal((n, d)) / d**0.25 if cross else None
    return TokenDataset(X, y, u, query)


def signal_plus_noise(seed: int, n: int, T: int, d: int) -> TokenDataset:
    """Data model DM with both signals of length 1."""
    rng = np.random.default_rng(seed)
    X, y = np.zeros((n, T, d)), rng.choice([-1.0, 1.0], n)
    X[:, :, 2:] = rng.standard_normal((n, T, d - 2)) / d**0.5
    X[np.arange(n), rng.integers(0, T, n)] = np.where(y[:, None] > 0, np.eye(d)[0], np.eye(d)[1])
    return TokenDataset(X, y, np.eye(d)[0] - np.eye(d)[1])


def assert_same(one: JointTrajectory, other: JointTrajectory, tolerance: Array, skip: set[str]) -> None:
    """Logarithms agree absolutely, all else relatively, both to ``tolerance``; and so do onsets and status."""
    assert (one.status, one.onset, one.decoder_onset) == (other.status, other.onset, other.decoder_onset)
    np.testing.assert_array_equal(one.t, other.t)
    for name in JOINT_COLUMNS:
        if name in skip:
            continue
        x, y = one.column(name), other.column(name)
        np.testing.assert_array_equal(np.isnan(x), np.isnan(y), err_msg=name)
        finite = np.isfinite(y)
        np.testing.assert_array_equal(x[~finite], y[~finite], err_msg=name)
        x, y, t = x[finite], y[finite], one.t[finite]
        size = 1.0 if name.startswith("log_") else np.abs(y) + 1e-4
        wrong = np.abs(x - y) > tolerance[finite] * size
        assert not wrong.any(), f"{name} at step {t[wrong][0]}: {x[wrong][0]!r} and {y[wrong][0]!r}"


# ---------------------------------------------------------------------------------- the definition itself
def test_the_module_is_the_formula() -> None:
    dataset = random_dataset(0, 3, 4, 2, cross=True)
    model = JointAttention(dataset)
    assert {name for name, _ in model.named_parameters()} == {"W", "u"}
    W, u = np.random.default_rng(1).standard_normal((2, 2)), np.array([0.5, -2.0])
    with torch.no_grad():
        model.W.copy_(torch.tensor(W))
        model.u.copy_(torch.tensor(u))
    for i in range(dataset.n):
        logits = dataset.X[i] @ W @ dataset.queries[i]
        s = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(model.attended()[i].detach(), dataset.y[i] * dataset.X[i].T @ s, rtol=1e-14)
        np.testing.assert_allclose(model()[i].detach(), dataset.y[i] * u @ dataset.X[i].T @ s, rtol=1e-13)


def test_the_first_step_moves_the_decoder_alone() -> None:
    dataset = random_dataset(0, 2, 3, 4)
    trajectory = train_joint(JointInstance(dataset, JointRun("logistic", 3, 0.5, 0.25)))
    assert trajectory.column("norm")[:2].tolist() == [0.0, 0.0]
    assert trajectory.column("norm")[2] == pytest.approx(0.25, rel=1e-14)  # η_W/2
    np.testing.assert_allclose(trajectory.column("u_norm")[:2], [0.0, 0.25], rtol=1e-14)
    assert trajectory.column("log_loss")[0] == pytest.approx(math.log(math.log(2.0)), rel=1e-15)


# ------------------------------------------------------------------- the fused trainer, before saturation
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("cross", [False, True])
def test_fused_trainer_agrees_with_autograd(cross: bool, loss: str, schedule: str) -> None:
    datasets = [random_dataset(seed, *shape, cross=cross) for seed, shape in enumerate(SHAPES)]
    datasets += [] if cross else [signal_plus_noise(1, 3, 3, 12), signal_plus_noise(2, 4, 2, 20)]
    compared = 0
    for dataset in datasets:
        instance = JointInstance(dataset, JointRun(loss, 60, 0.25, 0.5, *SCHEDULES[schedule]))
        geometry = JointGeometry(dataset)
        fused = train_joint(instance, geometry)
        # What the reference loses by 1 − s and Δ − D, as s approaches 1 on optimal or on wrong tokens.
        steepness = fused.column("log_grad_norm") - fused.column("log_loss")
        steepness[steepness == -np.inf] = 0.0
        smallest = np.minimum(np.minimum(fused.column("log_leak_max"), steepness), math.log(0.1))
        lost = np.maximum.accumulate(2.0**-46 * np.exp(-smallest) * fused.column("coefficient_condition"))
        steps = int(np.argmax(lost > 1e-9)) if (lost > 1e-9).any() else len(fused)
        if steps < 10:
            continue
        compared += 1
        shorter = instance.with_run(steps=steps - 1)
        one, other = train_joint(shorter, geometry), train_joint_by_autograd(shorter, geometry)
        assert_same(one, other, np.full(steps, 1e-9) + 10 * lost[:steps], ROUNDING)
    assert compared >= 4, "almost all cases saturate at once"


def test_powers_of_the_schedule_are_exact() -> None:
    run = JointRun("logistic", 3, 1, 2, power_W=1, power_u="2/3")  # type: ignore[arg-type]
    assert (run.power_W, run.power_u, run.eta_W) == (Fraction(1), Fraction(2, 3), 1.0)
    trajectory = train_joint(JointInstance(random_dataset(0, 2, 3, 4), run))
    sums = [0.0, 2.0, 2.0 + 2.0 * 2 ** (-2 / 3), 2.0 + 2.0 * (2 ** (-2 / 3) + 3 ** (-2 / 3))]
    np.testing.assert_allclose(trajectory.column("u_step_sum"), sums, rtol=1e-15)


# --------------------------------------------------------------------------- runs that cannot be, or end early
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "use one of logistic, exponential"),
        ({"steps": 1.0}, "give a whole number"),
        ({"steps": True}, "give a whole number"),
        ({"steps": -1}, "give a number from 0 to"),
        ({"eta_W": 0.0}, "eta_W = 0.0: give a positive, finite"),
        ({"eta_u": math.nan}, "eta_u = nan: give a positive, finite"),
        ({"eta_u": "1"}, "eta_u = '1': give a positive, finite"),
        ({"eta_W": 10**400}, "give a positive, finite"),
        ({"eta_W": True}, "give a positive, finite"),
        ({"power_W": 0.5}, r"power_W = 0.5: give an exact rational such as Fraction\(2, 3\)"),
        ({"power_u": "two"}, "give an exact rational"),
        ({"power_u": "1/0"}, "give an exact rational"),
        ({"power_u": None}, "give an exact rational"),
        ({"power_u": Fraction(-1, 2)}, "power_u = -1/2: give a power from 0 to 4"),
        ({"power_W": Fraction(1, 10**9)}, "denominator up to 1000"),
        ({"start": -1}, "start = -1: give a number from 0 to"),
        ({"start": 0.5}, "start = 0.5: give a whole number"),
        ({"alpha_0": [1.0, math.inf]}, "alpha_0 must be a vector of finite numbers"),
        ({"alpha_0": [[1.0]]}, "alpha_0 must be a vector of finite numbers"),
        ({"alpha_0": ["a"]}, "alpha_0 is ragged or not numeric"),
        ({"beta_0": []}, "beta_0 must be a vector of finite numbers"),
        ({"beta_0": [1.0, -1.0]}, "beta_0 has a negative entry"),
    ],
)
def test_unusable_runs_are_refused(changes: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"loss": "logistic", "steps": 3, "eta_W": 1.0, "eta_u": 1.0}
    with pytest.raises(InvalidRun, match=message):
        JointRun(**{**fields, **changes})


def test_initial_coefficients_must_fit() -> None:
    dataset = random_dataset(0, 2, 3, 4)
    for name, size in (("alpha_0", 4), ("beta_0", 6)):
        fields: dict[str, Any] = {name: np.ones(size + 1)}
        with pytest.raises(InvalidRun, match=f"{name} has {size + 1} coefficients: this dataset needs {size}"):
            JointInstance(dataset, JointRun("logistic", 3, 1.0, 1.0, **fields))


@pytest.mark.parametrize("loss", LOSSES)
def test_runs_are_taken_up_where_they_were_left(loss: str) -> None:
    """The restarted run, by the fused trainer and by autograd, goes on as the original."""
    instance = JointInstance(signal_plus_noise(1, 3, 3, 12), JointRun(loss, 40, 0.25, 0.5))
    whole = train_joint(instance)
    restarted = restarted_joint(instance, 15)
    assert (restarted.run.steps, restarted.run.start) == (0, 15)
    assert JointInstance.from_json(json.loads(json.dumps(restarted.to_json()))).id == restarted.id
    longer = restarted.with_run(steps=25)
    for trainer in (train_joint, train_joint_by_autograd):
        rest = trainer(longer)
        assert rest.onset == 0
        for name in set(JOINT_COLUMNS) - {*FROM_DECODER_ONSET, "master_sum", "u_step_sum", *ROUNDING}:
            if name not in ("Lambda_max", "log_step_length_max"):
                np.testing.assert_allclose(rest.column(name), whole.column(name)[15:], rtol=1e-9, err_msg=name)
    with pytest.raises(InvalidRun, match="the run ends before step 2: precision lost"):
        restarted_joint(JointInstance(TokenDataset([[[1.0], [-1.0]]], [1], [1.0]), instance.run), 2)


def test_instances_survive_json() -> None:
    instance = JointInstance(random_dataset(0, 2, 3, 4, cross=True), JointRun("exponential", 7, 0.1, 0.3))
    stored = json.loads(json.dumps(instance.to_json()))
    assert stored["system"] == "joint"
    again = JointInstance.from_json(stored)
    assert again.id == instance.id
    assert again.run.power_u == Fraction(2, 3)
    assert again.with_run(power_u=0).id != instance.id
    np.testing.assert_array_equal(train_joint(again).table, train_joint(instance).table)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ({"system": "attention"}, "system 'attention', not 'joint'"),
        ({"run": {}}, "damaged"),
        ({"run": None}, "damaged"),
        ({"dataset": {}}, "damaged"),
    ],
)
def test_damaged_instances_give_a_clear_error(damage: dict[str, Any], error: str) -> None:
    stored = JointInstance(random_dataset(0, 2, 3, 4), JointRun("logistic", 7, 0.1, 0.3)).to_json()
    with pytest.raises((InvalidDataset, InvalidRun), match=error):
        JointInstance.from_json({**stored, **damage})
    with pytest.raises(InvalidDataset, match="no system, dataset or run"):
        JointInstance.from_json({"dataset": stored["dataset"], "run": stored["run"]})


def test_gradients_that_vanish_end_the_run() -> None:
    run = JointRun("logistic", 9, 1.0, 1.0)
    opposite = TokenDataset([[[1.0], [-1.0]]], [1], [1.0])  # the attended token is 0: ∇_u L = 0
    as_long = TokenDataset([[[1.0, 0.0], [0.0, 1.0]]], [1], [1.0, 0.5])  # both scores stay equal: ∇_W L = 0
    for dataset, steps in ((opposite, 0), (as_long, 1)):
        for trainer in (train_joint, train_joint_by_autograd):
            trajectory = trainer(JointInstance(dataset, run))
            assert (trajectory.status, len(trajectory), trajectory.onset) == (PRECISION_LOST, steps, None)
            assert np.isnan(trajectory.column("master_sum")).all()


def test_data_without_a_decoder_margin() -> None:
    """Optimal tokens x and x with labels +1 and −1: no u separates them, and a_t does not exist."""
    X = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [1.0, 0.0]]]
    dataset = TokenDataset(X, [1, -1], [1.0, 1.5])
    assert dataset.optimal.tolist() == [1, 1]
    inseparable = TokenDataset([[[1.0, 0.0], [0.0, 0.5]], [[1.0, 0.0], [0.0, 2.0]]], [1, -1], [1.0, 1.5])
    assert JointGeometry(dataset).decoder is not None
    geometry = JointGeometry(inseparable)
    assert geometry.decoder is None
    assert math.isnan(geometry.mu)
    trajectory = train_joint(JointInstance(inseparable, JointRun("logistic", 9, 1.0, 1.0)), geometry)
    assert trajectory.status == FINISHED
    assert trajectory.decoder_onset is None
    for name in (*FROM_DECODER_ONSET, "u_alignment", "u_gap"):
        assert np.isnan(trajectory.column(name)).all()
    assert np.isfinite(trajectory.column("log_loss")).all()


@pytest.mark.parametrize("seed", range(5))
def test_decoder_max_margin(seed: int) -> None:
    """û is the direction of the u-SVM's solution, and no direction has a larger margin than μ."""
    dataset = signal_plus_noise(seed, 4, 3, 16) if seed % 2 else random_dataset(seed, 3, 3, 6)
    geometry = JointGeometry(dataset)
    assert geometry.decoder is not None
    best = dataset.y[:, None] * dataset.X[np.arange(dataset.n), dataset.optimal]
    rest = np.take_along_axis(dataset.y[:, None, None] * dataset.X, dataset.others[:, :, None], axis=1)
    tokens = np.concatenate([best, rest.reshape(dataset.N, -1)])
    u_hat = geometry.u_direction @ tokens
    np.testing.assert_allclose(np.linalg.norm(u_hat), 1.0, rtol=1e-14)
    np.testing.assert_allclose((best @ u_hat).min(), geometry.mu, rtol=1e-12)
    np.testing.assert_allclose(tokens @ u_hat, geometry.u_alignments, rtol=0, atol=1e-14)
    np.testing.assert_allclose(geometry.token_radius, np.linalg.norm(tokens, axis=1).max(), rtol=1e-15)
    turned = u_hat + 0.1 * np.random.default_rng(seed).standard_normal((200, dataset.d))
    assert ((turned @ best.T).min(axis=1) <= geometry.mu * np.linalg.norm(turned, axis=1) * (1 + 1e-12)).all()
