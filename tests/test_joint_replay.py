"""The fused joint trainer against ball arithmetic, before and long after saturation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction

import flint
import numpy as np
import pytest
from flint import arb

from models.dataset import TokenDataset
from models.instance import LOSSES
from models.joint import JointGeometry, JointInstance, JointRun, restarted_joint, train_joint
from models.joint_replay import JointBallState, JointExactSetting, joint_replay, root
from models.replay import PrecisionLost, largest, total
from tests.test_joint import random_dataset, signal_plus_noise


def smallest(values: list[arb]) -> arb:
    return -largest([-value for value in values])


def aligned(value: arb | None) -> arb:
    assert value is not None
    return value


#: Columns by their formulas in balls; logarithms of logarithmic columns.
FORMULAS: dict[str, Callable[[JointBallState], arb]] = {
    "norm": lambda s: s.norm,
    "alignment": lambda s: aligned(s.alignment),
    "direction_gap": lambda s: (s.norm - aligned(s.alignment)) / s.norm,
    "log_grad_norm": lambda s: s.grad_norm.log(),
    "log_s_min": lambda s: smallest(s.s).log(),
    "log_leak_max": lambda s: largest(s.leak).log(),
    "margin_min": lambda s: smallest(s.m),
    "margin_mean": lambda s: total([c * m for c, m in zip(s.c, s.m, strict=True)]) / total(s.c),
    "log_step_length": lambda s: s.length.log(),
    "Lambda": lambda s: s.Lambda(),
    "u_norm": lambda s: s.u_norm,
    "u_alignment": lambda s: aligned(s.u_alignment),
    "u_gap": lambda s: (s.u_norm - aligned(s.u_alignment)) / s.u_norm,
    "u_margin": lambda s: smallest(s.best),
    "log_attended_error": lambda s: s.attended_error.log(),
    "u_Lambda": lambda s: s.u_Lambda(),
    "log_loss": lambda s: s.loss.log(),
}
DATASETS = {
    "signal": signal_plus_noise(1, 3, 3, 12),
    "random": random_dataset(4, 3, 3, 8),
    "cross": random_dataset(5, 2, 4, 6, cross=True),
}


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", DATASETS)
def test_fused_trainer_against_balls(name: str, loss: str, constant: bool) -> None:
    """With steps of constant length attention saturates: e_t falls below 1e-17 where it finds its tokens."""
    powers = (Fraction(0), Fraction(0)) if constant else (Fraction(1), Fraction(2, 3))
    instance = JointInstance(DATASETS[name], JointRun(loss, 200, 0.5, 0.5, *powers))
    geometry = JointGeometry(instance.dataset)
    trajectory = train_joint(instance, geometry)
    sums = {key: arb(0) for key in ("master_sum", "u_master_sum", "u_growth_sum", "u_step_sum")}
    with flint.ctx.workprec(3000):
        setting = JointExactSetting(instance, geometry)
        mu, radius = setting.mu(), setting.token_radius()
        for state in joint_replay(setting):
            t = state.t
            if t in (2, 10, 60, 200):
                for column, formula in FORMULAS.items():
                    if column in ("Lambda", "margin_mean") and not state.positive_coefficients:
                        assert np.isnan(trajectory.column(column)[t])
                        continue
                    value = float(formula(state).mid())
                    assert trajectory.column(column)[t] == pytest.approx(value, rel=1e-10, abs=1e-11), (column, t)
                for column, sum_ in sums.items():
                    found = trajectory.column(column)[t]
                    assert np.isnan(found) or found == pytest.approx(float(sum_.mid()), rel=1e-10), (column, t)
            if t == 200:
                break
            sums["u_step_sum"] += state.u_length
            if trajectory.onset is not None and t >= trajectory.onset:
                sums["master_sum"] += state.master_term()
            if trajectory.decoder_onset is not None and t >= trajectory.decoder_onset:
                assert mu is not None
                sums["u_master_sum"] += state.u_master_term()
                sums["u_growth_sum"] += state.u_length * (mu - state.attended_error) / radius
    if name == "signal":
        assert trajectory.onset is not None
        assert trajectory.decoder_onset is not None
        assert not constant or trajectory.column("log_attended_error")[-1] < -40


def test_restarted_runs_against_balls() -> None:
    """The restarted state is exact: at its first step the balls have no radius but that of the functions."""
    instance = restarted_joint(JointInstance(DATASETS["signal"], JointRun("logistic", 40, 0.5, 0.5)), 30)
    instance = instance.with_run(steps=10)
    geometry = JointGeometry(instance.dataset)
    trajectory = train_joint(instance, geometry)
    with flint.ctx.workprec(200):
        for state in joint_replay(JointExactSetting(instance, geometry)):
            if state.t in (0, 10):
                for column, formula in FORMULAS.items():
                    value = float(formula(state).mid())
                    found = trajectory.column(column)[state.t]
                    assert found == pytest.approx(value, rel=1e-10, abs=1e-11), (column, state.t)
            if state.t == 10:
                return


def test_weights_stand_still_only_at_the_start() -> None:
    instance = JointInstance(DATASETS["signal"], JointRun("logistic", 3, 1.0, 1.0))
    states = joint_replay(JointExactSetting(instance, JointGeometry(instance.dataset)))
    first, second = next(states), next(states)
    assert first.length.is_zero()
    assert all(c.is_zero() for c in first.c)
    assert second.norm_sq.is_zero()
    assert second.positive_coefficients is not None
    assert next(states).norm > 0


def test_gradients_that_vanish_are_not_followed() -> None:
    for X, message in (([[1.0], [-1.0]], "of u"), ([[1.0, 0.0], [0.0, 1.0]], "of W")):
        dataset = TokenDataset([X], [1], np.arange(len(X[0]), 0, -1.0))
        states = joint_replay(
            JointExactSetting(JointInstance(dataset, JointRun("logistic", 9, 1.0, 1.0)), JointGeometry(dataset))
        )
        with pytest.raises(PrecisionLost, match=message):
            list(itertools.islice(states, 3))


def test_root_of_a_ball_around_zero() -> None:
    ball = root(arb(0, 1e-20))
    assert ball.contains(arb(0))
    assert ball.contains(arb(1e-10) * arb("0.99"))
    assert ball < 1e-9
