"""Plain records: exactly stored, checked with messages that name the field, and taken apart by the shrinker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import pytest

from models.dataset import Array, InvalidDataset
from models.instance import InvalidRun
from models.linear import LinearInstance, LinearRun, Points
from models.records import RecordDataset, RecordInstance, RecordRun
from properties.simpler_records import RECORD_PASSES, RecordDraft


@dataclass(frozen=True, eq=False)
class Table(RecordDataset):
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"X": ("n", "d")}


@dataclass(frozen=True, eq=False)
class Walk(RecordRun):
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"w": ("d",)}
    eta: float
    power: Fraction = Fraction(1, 3)
    name: str = "plain"
    w: Array | None = None


class Case(RecordInstance):
    system = "case"
    parts = (Table, Walk)


CASE = Case(Table(np.array([[1.0, -0.1], [3.0, 1e-300]])), Walk(7, 0.1, w=np.array([0.5, 2.0])))


def test_what_is_stored_comes_back_bit_for_bit() -> None:
    again = Case.from_json(json.loads(json.dumps(CASE.to_json())))
    assert again.id == CASE.id
    assert again.run.power == Fraction(1, 3)
    assert np.array_equal(again.dataset.X, CASE.dataset.X)
    assert again.with_run(steps=8).id != CASE.id
    assert Case.from_json(CASE.with_run(w=None).to_json()).run.w is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"eta": float("nan")}, "eta"),
        ({"eta": "a"}, "eta"),
        ({"steps": -1}, "steps"),
        ({"steps": True}, "steps"),
        ({"power": "1/0"}, "power"),
        ({"name": 3}, "name"),
        ({"w": [[1.0, 2.0]]}, "w"),
        ({"w": [1.0, float("inf")]}, "w"),
        ({"w": []}, "w"),
        ({"w": [1.0, 2.0, 3.0]}, "d = 3"),
        ({"w": ["a", "b"]}, "w"),
    ],
)
def test_bad_fields_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRun, match=named):
        CASE.with_run(**changes)


@pytest.mark.parametrize("damage", [{"system": "other"}, {"dataset": {}}, {"run": 3}, {"dataset": {"X": [["a"]]}}])
def test_damaged_files_are_refused(damage: dict[str, Any]) -> None:
    with pytest.raises((InvalidDataset, InvalidRun)):
        Case.from_json({**CASE.to_json(), **damage})


def test_arrays_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        CASE.dataset.X[0, 0] = 2.0


def test_the_passes_shorten_every_axis_and_keep_arrays_in_step() -> None:
    points = Points(np.arange(6.0).reshape(3, 2), np.array([1.0, -1.0, 1.0]))
    run = LinearRun(5, "gd", "logistic", eta=0.3, start=4, W_0=np.array([0.1, 0.2]))
    draft = RecordDraft.of(LinearInstance(points, run))
    seen = set()
    for propose in RECORD_PASSES:
        for candidate in propose(draft):
            try:
                instance = candidate.instance()
            except (InvalidDataset, InvalidRun):
                continue
            seen.add((instance.dataset.X.shape, instance.run.W_0 is None, instance.run.start))
            assert instance.dataset.y.size == instance.dataset.n
    shapes = {shape for shape, _, _ in seen}
    assert shapes == {(3, 2), (1, 2), (2, 2), (3, 1)}
    assert ((3, 2), True, 4) in seen
    assert {start for _, _, start in seen} >= {0, 1, 2, 3}


def test_fewer_entries_come_before_plainer_ones() -> None:
    def draft(X: Array, y: Array, loss: str = "logistic", eta: float = 1.0) -> RecordDraft:
        return RecordDraft.of(LinearInstance(Points(X, y), LinearRun(1, "gd", loss, eta=eta)))

    wide = draft(np.ones((2, 1)), np.ones(2))
    rough = draft(np.full((1, 1), 1 / 3), -np.ones(1), "exponential", 0.1)
    plain = draft(np.ones((1, 1)), np.ones(1))
    assert plain.size(1) < rough.size(1) < wide.size(1)
    assert plain.size(0) < plain.size(1)
