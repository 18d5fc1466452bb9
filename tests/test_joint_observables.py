"""Joint observables: budgets contain the balls, J1–J5 hold, and planted falsehoods are convicted in balls."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
import sympy as sp
from flint import arb, fmpq
from hypothesis import HealthCheck, given, seed, settings

from bounds import (
    JOINT,
    NOTATION,
    Conjecture,
    DecoderSeparable,
    Loss,
    Theorem,
    mu,
    u_alignment,
    u_alignment_1,
    u_growth_sum,
    u_margin,
    u_norm,
)
from bounds.joint import THEOREMS
from models.dataset import TokenDataset
from models.instance import LOSSES
from models.joint import JointGeometry, JointInstance, JointRun, train_joint
from properties.compiled import compile_expression
from properties.datasets import FAMILIES
from properties.hypotheses import check
from properties.joint import DATA_MODEL, JointSetting, measure_joint
from properties.joint_exact import exact_walk
from properties.joint_observables import _FLOAT, JointMeasurement
from properties.judge import NOT_APPLICABLE, VIOLATED, judge
from properties.observables import Undefined
from tests.test_joint import random_dataset, signal_plus_noise

GUESS = Conjecture(source="planted")
NAMES = frozenset(_FLOAT)
SIGNAL = signal_plus_noise(1, 3, 3, 12)
DATASETS = {
    "signal": SIGNAL,
    "random": random_dataset(4, 3, 3, 8),
    "cross": random_dataset(5, 2, 4, 6, cross=True),
    "long tokens": TokenDataset(4.0 * SIGNAL.X, SIGNAL.y, SIGNAL.u),
}


def ball_at(measured: JointMeasurement, name: str, row: int) -> tuple[arb, arb]:
    ball = measured[name]
    k: int | tuple[()] = row if ball.mid.ndim else ()
    unit = arb(2) ** int(ball.exp2[k])
    return arb(float(ball.mid[k])) * unit, arb(float(ball.rad[k])) * unit


@pytest.mark.parametrize("powers", [("1", "2/3"), ("1/2", "1/2"), ("0", "0")])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", DATASETS)
def test_float_observables_lie_within_their_budgets_of_the_balls(
    name: str, loss: str, powers: tuple[str, str]
) -> None:
    dataset = DATASETS[name]
    instance = JointInstance(dataset, JointRun(loss, 40, 0.25, 0.5, Fraction(powers[0]), Fraction(powers[1])))
    geometry = JointGeometry(dataset)
    measured = measure_joint(instance, geometry)
    trajectory = measured.trajectory
    compared = set()
    with flint.ctx.workprec(2000):
        exact, states = exact_walk(instance, geometry, trajectory.onset, NAMES)
        for state in states:
            exact.advance(state)
            if state.t in (0, 1, 2, 7, 39):
                for observable in NAMES:
                    try:
                        value = exact[observable]
                        found, error = ball_at(measured, observable, state.t)
                    except Undefined:
                        continue
                    if not (found.is_finite() and value.is_finite()):
                        continue
                    compared.add(observable)
                    assert abs(found - value) <= error, (observable, state.t, found, value)
                    assert error <= abs(value) * 1e-5 + 1e-9, (observable, state.t, error, value)
            exact.leave()
            if state.t == 39:
                break
    missing = {"Lambda_max", "step_length_max", "master_sum", "norm_1", "alignment_1"}
    missing |= {"u_norm_1", "u_alignment_1", "u_master_sum", "u_growth_sum", "Lambda", "margin_mean"}
    assert compared >= NAMES - missing
    if name in ("signal", "long tokens"):
        assert compared == NAMES


def test_all_joint_observables_are_declared() -> None:
    assert set(NOTATION) >= NAMES
    for theorem in THEOREMS:
        assert theorem.observables <= NAMES, theorem.id


# --------------------------------------------------------------------------------------- J1–J5 on random data
def examples(theorems: tuple[Theorem, ...], steps: int, count: int) -> Iterator[JointMeasurement]:
    """Some instances of every family, drawn as the trial would."""
    setting = JointSetting.of(theorems[0])
    for family in setting.families():
        drawn: list[JointInstance] = []

        @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @seed(0)
        @given(setting.instances(family, steps))
        def collect(instance: JointInstance) -> None:
            drawn.append(instance)  # noqa: B023, called within this turn of the loop

        collect()
        for instance in drawn:
            yield measure_joint(instance, JointGeometry(instance.dataset))


def test_the_theorems_hold() -> None:
    """No float violation anywhere, and each theorem is applicable and informative somewhere."""
    applicable, informative = (
        dict.fromkeys((t.id for t in THEOREMS), 0),
        dict.fromkeys((t.id for t in THEOREMS), 0),
    )
    for measurement in examples(THEOREMS, 400, 4):
        for theorem in THEOREMS:
            judgement = judge(theorem, measurement)
            assert judgement.outcome != VIOLATED, (theorem.id, judgement, measurement.instance.to_json())
            applicable[theorem.id] += judgement.outcome != NOT_APPLICABLE
            informative[theorem.id] += judgement.informative > 0
    assert min(applicable.values()) >= 10, applicable
    assert min(informative.values()) >= 5, informative


def decided(theorem: Theorem, instance: JointInstance, onset: int | None, step: int) -> bool | None:
    """Whether a claim holds at one step: proved, refuted, or None."""
    geometry = JointGeometry(instance.dataset)
    with flint.ctx.workprec(1024):
        exact, states = exact_walk(instance, geometry, onset, theorem.observables)
        for state in states:
            exact.advance(state)
            if state.t == step:
                small, large = (arb(compile_expression(side)(exact)) for side in (theorem.small, theorem.large))
                return True if large >= small else False if large < small else None
            exact.leave()
    return None


FALSE = [
    Theorem("false.j4", "J4 halved", JOINT, [DecoderSeparable()], u_margin <= mu / 2 * u_norm, GUESS),
    Theorem(
        "false.j3",
        "J3 tripled",
        JOINT,
        [DecoderSeparable()],
        u_alignment >= u_alignment_1 + 3 * u_growth_sum,
        GUESS,
    ),
    Theorem(
        "false.hair",
        "J4 by less than float64 can see",
        JOINT,
        [DecoderSeparable()],
        u_margin <= mu * u_norm * (1 - sp.Rational(1, 10**25)),
        GUESS,
    ),
]
#: One sequence of the tokens 1 and 0: u = û‖u‖ at once, so J4 is an equality.
SMALLEST = TokenDataset([[[1.0], [0.0]]], [1], [1.0])


@pytest.mark.parametrize("theorem", FALSE, ids=lambda x: x.id)
def test_planted_falsehoods_are_convicted_in_balls(theorem: Theorem) -> None:
    instance = JointInstance(SMALLEST, JointRun("logistic", 200, 0.5, 0.5))
    measurement = measure_joint(instance, JointGeometry(SMALLEST))
    judgement = judge(theorem, measurement)
    assert judgement.outcome == ("undecided" if theorem.id == "false.hair" else VIOLATED)
    step = judgement.suspects[-1]
    assert decided(theorem, instance, measurement.trajectory.onset, step) is False


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda x: x.id)
@pytest.mark.parametrize("dataset", [SIGNAL, SMALLEST], ids=["signal", "smallest"])
def test_the_theorems_are_not_convicted_in_balls(theorem: Theorem, dataset: TokenDataset) -> None:
    instance = JointInstance(dataset, JointRun("exponential", 100, 1.0, 0.5))
    trajectory = train_joint(instance)
    for step in (3, 50, 100):
        assert decided(theorem, instance, trajectory.onset, step) is not False, step


def test_the_deviation_of_an_exactly_aligned_decoder() -> None:
    instance = JointInstance(SMALLEST, JointRun("logistic", 20, 0.5, 0.5))
    measurement = measure_joint(instance, JointGeometry(SMALLEST))
    deviation = measurement["u_deviation"]
    assert not deviation.defined()[0]
    assert (deviation.floats()[1:] < 1e-6).all()
    assert (np.abs(deviation.mid[1:]) <= deviation.rad[1:]).all()


# ---------------------------------------------------------------------------------- drawing and hypotheses
def test_settings() -> None:
    plain, separable = JointSetting.of(THEOREMS[-1]), JointSetting.of(THEOREMS[0])
    assert plain == JointSetting(frozenset(), None)
    assert separable == JointSetting(frozenset({"Separable"}), None)
    assert hash(plain) == hash(JointSetting.of(THEOREMS[-2]))
    assert plain.families()[0].name == DATA_MODEL
    assert set(plain.families()) == set(FAMILIES)
    only = Theorem("only.one", "for one loss", JOINT, [Loss("exponential")], u_norm <= 1, GUESS)
    assert JointSetting.of(only).loss == "exponential"


@pytest.mark.parametrize(("height", "holds"), [(0.0, False), (2.0**-60, True)])
def test_decoder_separability_is_decided_exactly(height: float, holds: bool) -> None:
    """Optimal tokens (1, 0) and (2, height) with opposite labels: a decoder exists unless they are parallel."""
    X = [[[1.0, 0.0], [0.0, -1.0]], [[2.0, height], [0.0, 4.0]]]
    dataset = TokenDataset(X, [1, -1], [0.5, 1.0])
    assert dataset.optimal.tolist() == [0, 0]
    instance: Any = JointInstance(dataset, JointRun("logistic", 9, 1.0, 1.0))
    geometry: Any = JointGeometry(dataset)
    checked = check(DecoderSeparable(), instance, geometry)
    assert (checked.holds, checked.margin > 0) == (holds, holds)


def test_quantities_that_do_not_exist() -> None:
    inseparable = TokenDataset([[[1.0, 0.0], [0.0, 0.5]], [[1.0, 0.0], [0.0, 2.0]]], [1, -1], [1.0, 1.5])
    instance = JointInstance(inseparable, JointRun("logistic", 9, 1.0, 1.0))
    measurement = measure_joint(instance, JointGeometry(inseparable))
    for name in ("mu", "u_alignment", "u_direction_gap", "attended_margin", "u_norm_1", "eta"):
        with pytest.raises(Undefined):
            measurement[name]
    with flint.ctx.workprec(128):
        exact, states = exact_walk(instance, JointGeometry(inseparable), None, NAMES)
        with pytest.raises(Undefined, match="no state"):
            exact["norm"]
        exact.advance(next(states))
        exact.leave()
        exact.advance(next(states))
        assert exact["u_norm"] > 0
        assert exact["u_step_sum"] == arb(fmpq(1))
        for name in ("mu", "u_alignment", "attended_margin", "u_norm_1", "master_sum", "eta"):
            with pytest.raises(Undefined):
                exact[name]
    judgement = judge(THEOREMS[-1], measurement)
    assert judgement.outcome == NOT_APPLICABLE
    assert "DecoderSeparable" in judgement.reason
