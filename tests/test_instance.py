"""Runs and instances: what is rejected, and what survives a trip through JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dataset import InvalidDataset, TokenDataset
from models.instance import LOSSES, MAX_STEPS, RULES, Instance, InvalidRun, Run

EXAMPLES = settings(derandomize=True, deadline=None, max_examples=60)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
STEP_SIZES = st.floats(min_value=5e-324, allow_infinity=False)


def ngd(**changes: Any) -> Run:
    fields: dict[str, Any] = {"rule": "ngd", "loss": "logistic", "steps": 10, "eta": 0.1}
    return Run(**(fields | changes))


def dataset() -> TokenDataset:
    return TokenDataset([[[1.0, 0.0], [0.0, 1.0]]], [1], [1.0, 0.0])


@st.composite
def runs(draw: st.DrawFn, d: int) -> Run:
    rule = draw(st.sampled_from(RULES))
    size = {"zeta" if rule == "polyak" else "eta": draw(STEP_SIZES)}
    W_0 = draw(st.none() | st.lists(FLOATS, min_size=d * d, max_size=d * d))
    return Run(
        rule=rule,
        loss=draw(st.sampled_from(LOSSES)),
        steps=draw(st.integers(0, MAX_STEPS)),
        W_0=None if W_0 is None else np.array(W_0).reshape(d, d),
        **size,
    )


# -------------------------------------------------------------------------- validation
BAD_RUNS: list[tuple[str, dict[str, Any], str]] = [
    ("rule", {"rule": "sgd"}, "unknown rule 'sgd': use one of ngd, gd, polyak"),
    ("rule of another type", {"rule": ["ngd"]}, "unknown rule ['ngd']: use one of ngd, gd, polyak"),
    ("loss", {"loss": "hinge"}, "unknown loss 'hinge': use one of logistic, exponential"),
    ("loss None", {"loss": None}, "unknown loss None: use one of logistic, exponential"),
    ("steps float", {"steps": 10.0}, "steps = 10.0: give a whole number"),
    ("steps text", {"steps": "10"}, "steps = '10': give a whole number"),
    ("steps bool", {"steps": True}, "steps = True: give a whole number"),
    ("steps negative", {"steps": -1}, f"steps = -1: give a number from 0 to {MAX_STEPS}"),
    ("steps too many", {"steps": MAX_STEPS + 1}, f"give a number from 0 to {MAX_STEPS}"),
    ("eta missing", {"eta": None}, "eta = None: the rule 'ngd' needs a positive, finite eta"),
    ("eta zero", {"eta": 0.0}, "eta = 0.0: the rule 'ngd' needs a positive, finite eta"),
    ("eta negative", {"eta": -0.1}, "eta = -0.1: the rule 'ngd' needs a positive, finite eta"),
    ("eta nan", {"eta": math.nan}, "eta = nan: the rule 'ngd' needs a positive, finite eta"),
    ("eta inf", {"eta": math.inf}, "eta = inf: the rule 'ngd' needs a positive, finite eta"),
    ("eta text", {"eta": "0.1"}, "eta = '0.1': the rule 'ngd' needs a positive, finite eta"),
    ("eta bool", {"eta": True}, "eta = True: the rule 'ngd' needs a positive, finite eta"),
    ("eta list", {"eta": [0.1]}, "eta = [0.1]: the rule 'ngd' needs a positive, finite eta"),
    ("eta beyond float64", {"eta": 10**400}, "the rule 'ngd' needs a positive, finite eta"),
    ("gd without eta", {"rule": "gd", "eta": None}, "the rule 'gd' needs a positive, finite eta"),
    ("zeta superfluous", {"zeta": 1.0}, "zeta = 1.0: the rule 'ngd' has no zeta; leave it out"),
    ("polyak without zeta", {"rule": "polyak", "eta": None}, "the rule 'polyak' needs a positive, finite zeta"),
    ("polyak with eta", {"rule": "polyak", "zeta": 1.0}, "eta = 0.1: the rule 'polyak' has no eta; leave it out"),
    ("W_0 ragged", {"W_0": [[1.0], [1.0, 2.0]]}, "W_0 is ragged or not numeric: give a d × d matrix"),
    ("W_0 text", {"W_0": "zero"}, "W_0 is ragged or not numeric: give a d × d matrix"),
    ("W_0 complex", {"W_0": np.array([[1j]])}, "W_0 is ragged or not numeric: give a d × d matrix"),
    ("W_0 beyond float64", {"W_0": [[10**400]]}, "W_0 is ragged or not numeric: give a d × d matrix"),
    ("W_0 vector", {"W_0": [1.0, 2.0]}, "W_0 must be a d × d matrix of finite numbers"),
    ("W_0 nan", {"W_0": [[math.nan]]}, "W_0 must be a d × d matrix of finite numbers"),
    ("W_0 inf", {"W_0": [[math.inf]]}, "W_0 must be a d × d matrix of finite numbers"),
]


@pytest.mark.parametrize(("changes", "message"), [row[1:] for row in BAD_RUNS], ids=[row[0] for row in BAD_RUNS])
def test_bad_runs_are_rejected_with_one_line_that_names_the_fix(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRun, match=re.escape(message)) as caught:
        ngd(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("eta", [5e-324, 1, np.float64(0.5), np.float32(0.5), np.int64(2), 1e308])
def test_step_sizes_become_floats(eta: Any) -> None:
    run = ngd(eta=eta)
    assert type(run.eta) is float
    assert run.eta == eta


def test_step_size_is_the_one_that_the_rule_uses() -> None:
    assert ngd().step_size == 0.1
    assert ngd(rule="polyak", eta=None, zeta=2).step_size == 2.0


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 3), (1, 4)])
def test_initial_weights_must_fit_the_tokens(shape: tuple[int, int]) -> None:
    with pytest.raises(InvalidRun, match=re.escape(f"W_0 has shape {shape}: for tokens of dimension 2")):
        Instance(dataset(), ngd(W_0=np.zeros(shape)))


def test_runs_and_instances_are_immutable() -> None:
    W = np.eye(2)
    instance = Instance(dataset(), ngd(W_0=W))
    W[0, 0] = 5.0
    assert instance.run.W_0 is not None
    assert instance.run.W_0[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        instance.run.W_0[0, 0] = 5.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        instance.run.steps = 3  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        instance.run = ngd()  # type: ignore[misc]


def test_with_run_replaces_and_validates() -> None:
    instance = Instance(dataset(), ngd())
    longer = instance.with_run(steps=20)
    assert (longer.run.steps, longer.run.eta) == (20, 0.1)
    assert longer.dataset is instance.dataset
    assert instance.run.steps == 10
    with pytest.raises(InvalidRun, match="steps = -1"):
        instance.with_run(steps=-1)
    with pytest.raises(InvalidRun, match="W_0 has shape"):
        instance.with_run(W_0=np.zeros((3, 3)))


# -------------------------------------------------------------------------------- JSON
@EXAMPLES
@given(runs(d=2))
def test_json_round_trip_keeps_every_bit(run: Run) -> None:
    instance = Instance(dataset(), run)
    text = json.dumps(instance.to_json(), allow_nan=False)
    again = Instance.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert again.id == instance.id
    one, two = run, again.run
    assert (one.rule, one.loss, one.steps, one.eta, one.zeta) == (two.rule, two.loss, two.steps, two.eta, two.zeta)
    if one.W_0 is None:
        assert two.W_0 is None
    else:
        assert two.W_0 is not None
        assert one.W_0.tobytes() == two.W_0.tobytes()


DAMAGE: list[tuple[str, Any]] = [
    ("rule", "sgd"),
    ("rule", None),
    ("loss", 3),
    ("steps", "10"),
    ("steps", 1.5),
    ("steps", -1),
    ("eta", None),
    ("eta", 0.1),
    ("eta", "zz"),
    ("eta", "nan"),
    ("eta", "-0x1p+0"),
    ("eta", "0x1p+5000"),
    ("eta", ["0x1p+0"]),
    ("zeta", "0x1p+0"),
    ("W_0", 3),
    ("W_0", "0x1p+0"),
    ("W_0", [["0x1p+0"], ["0x1p+0", "0x1p+0"]]),
    ("W_0", [[1.0, 0.0], [0.0, 1.0]]),
    ("W_0", [["inf", "0x0p+0"], ["0x0p+0", "0x0p+0"]]),
    ("W_0", [["0x0p+0"]]),
]


@pytest.mark.parametrize(("field", "value"), DAMAGE)
def test_damaged_runs_are_rejected(field: str, value: Any) -> None:
    data = Instance(dataset(), ngd()).to_json()
    data["run"][field] = value
    with pytest.raises(InvalidRun) as caught:
        Instance.from_json(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["rule", "loss", "steps", "eta", "zeta", "W_0"])
def test_runs_without_a_field_are_damaged(field: str) -> None:
    data = ngd().to_json()
    del data[field]
    with pytest.raises(InvalidRun, match=f"the stored run is damaged .*{field}.*: restore the file"):
        Run.from_json(data)


@pytest.mark.parametrize("data", [None, [], "text", {}, {"dataset": None}, {"run": {}}])
def test_instances_without_parts_are_damaged(data: Any) -> None:
    with pytest.raises(InvalidDataset, match="the stored instance has no dataset or no run: restore the file"):
        Instance.from_json(data)


def test_damaged_parts_of_an_instance_are_named() -> None:
    data = Instance(dataset(), ngd()).to_json()
    with pytest.raises(InvalidDataset, match="the stored dataset is damaged"):
        Instance.from_json(data | {"dataset": {}})
    with pytest.raises(InvalidRun, match="the stored run is damaged"):
        Instance.from_json(data | {"run": None})


# ---------------------------------------------------------------------------------- id
def test_the_id_is_stable() -> None:
    assert Instance(dataset(), ngd()).id == "3c08a6a91d01"


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "gd"},
        {"loss": "exponential"},
        {"steps": 11},
        {"eta": math.nextafter(0.1, 1)},
        {"W_0": np.zeros((2, 2))},
        {"rule": "polyak", "eta": None, "zeta": 0.1},
    ],
)
def test_the_id_sees_every_field(changes: dict[str, Any]) -> None:
    base = Instance(dataset(), ngd())
    assert base.with_run(**changes).id != base.id


def test_the_id_sees_the_sign_of_zero() -> None:
    base = Instance(dataset(), ngd(W_0=np.zeros((2, 2))))
    assert base.with_run(W_0=-np.zeros((2, 2))).id != base.id
