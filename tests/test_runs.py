"""Stored trajectories: the same judgements as on fresh ones, each run once, damage named and set aside."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sympy import log

from bounds import (
    ATTENTION,
    BelowPath,
    Conjecture,
    NearOrthogonal,
    Rule,
    Separable,
    Theorem,
    Throughout,
    ZeroInit,
    eta,
    norm,
    norm_0,
    s_min,
    t,
)
from bounds.catalogue import THEOREMS
from properties.evidence import evidence_for
from properties.judge import judge
from properties.rejudging import RecordUnit, judge_stack, needed, record, record_units, rejudge_runs
from properties.runs import DENSE, RunStore
from properties.store import StoreError
from properties.systems import tools
from properties.trial import Profile
from properties.verdict import FALSIFIED, PointwiseEvidence
from tests.planted import CORNERS

GUESS = Conjecture(source="planted")
POINTWISE = [theorem for theorem in THEOREMS if theorem.kind == "pointwise"]
RECORDED = ("attention.ngd.direction", "attention.gradient-cone.lower", "attention.gd.loss", "joint.loss")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of four settings, past the step where recording thins out."""
    place = tmp_path_factory.mktemp("runs")
    chosen = [theorem for theorem in POINTWISE if theorem.id in RECORDED]
    for job in record_units(place, chosen, Profile(16, 600), 0, {"ratecheck": "test"}):
        assert record(job) > 0
    return place


def fresh(theorem: Theorem, text: str) -> Any:
    """The same run, trained again."""
    system = tools(theorem.system)
    instance = system.instance(json.loads(text))
    return system.measure(instance, system.geometry(instance), DENSE)


GUESSES = [
    Theorem("my.kept", "kept", ATTENTION, [Throughout(s_min >= 0.2)], norm <= norm_0 + eta * log(t + 2), GUESS),
    Theorem("my.path", "path", ATTENTION, [Separable(), BelowPath()], norm < 1 + norm_0 + eta * t, GUESS),
    Theorem("my.orthogonal", "not asked", ATTENTION, [NearOrthogonal(3)], norm <= norm_0 + 2 * eta * t, GUESS),
]


def test_stacked_judgements_are_those_of_the_judge(folder: Path) -> None:
    compared, steps, coarser, again = 0, 0, 0, dict[str, Any]()
    for theorem in (*POINTWISE, *CORNERS, *GUESSES):
        for stack in RunStore(folder).stacks(theorem.system.name, None, needed(theorem)):
            found = judge_stack(theorem, stack)
            for place, (id, text) in enumerate(zip(stack.ids, stack.instances, strict=True)):
                again[id] = again.get(id) or fresh(theorem, text)
                slow = judge(theorem, again[id])
                assert found.steps[place] == slow.steps, (theorem.id, slow.reason)
                if slow.steps:
                    compared, steps = compared + 1, steps + slow.steps
                    assert found.informative[place] == slow.informative
                    # Radii are rounded up when they are stored, which can only leave a step undecided.
                    assert found.violated[place] <= slow.violated
                    assert found.undecided[place] >= slow.undecided
                    coarser += int(found.undecided[place] - slow.undecided)
                    assert found.log_ratio[place] == slow.worst_log_ratio
    assert compared > 500
    assert coarser <= steps // 1000


def test_recording_is_dense_first_and_thin_then(folder: Path) -> None:
    [*stacks] = RunStore(folder).stacks("attention", "ngd", ["norm"])
    longest = max((stack.t[0] for stack in stacks), key=len)
    assert (longest[: DENSE + 1] == np.arange(DENSE + 1)).all()
    assert longest[-1] == 600
    assert longest.size < 500


def test_a_false_claim_is_convicted_from_a_stored_run(folder: Path) -> None:
    false = Theorem("my.slow", "too slow", ATTENTION, [Rule("ngd")], norm <= norm_0 + eta * t / 2, GUESS)
    body = evidence_for(false)
    assert isinstance(body, PointwiseEvidence)
    said = rejudge_runs(body, folder)
    assert body.verdict == FALSIFIED
    assert said.suspects > 0
    assert said.runs >= said.applicable > 0


def test_a_true_claim_is_not(folder: Path) -> None:
    tight = Theorem("my.tight", "attained", ATTENTION, [Rule("ngd"), ZeroInit()], norm <= eta * t, GUESS)
    body = evidence_for(tight)
    assert isinstance(body, PointwiseEvidence)
    said = rejudge_runs(body, folder)
    assert body.counterexample is None
    assert not body.suspected
    assert said.log_ratio == pytest.approx(0.0, abs=1e-12)


def test_the_same_runs_are_counted_once(folder: Path, tmp_path: Path) -> None:
    chosen = [theorem for theorem in POINTWISE if theorem.id == "attention.ngd.direction"]
    [job] = record_units(tmp_path, chosen, Profile(4, 40), 0, {})
    record(job)
    first = RunStore(tmp_path).files
    record(job)
    assert RunStore(tmp_path).files == first  # the same batch has the same name
    record(RecordUnit(job.units[:1], tmp_path, ()))  # some of the runs again, in a file of their own
    assert len(RunStore(tmp_path).files) == len(first) + 1
    ids = [id for stack in RunStore(tmp_path).stacks("attention", None, ["norm"]) for id in stack.ids]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other schema", "other columns"])
def test_a_damaged_file_is_named_and_set_aside(damage: str, folder: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = RunStore(folder).files[0].read_bytes()
    place = tmp_path / "system=attention" / "rule=ngd"
    place.mkdir(parents=True)
    path = place / "batch.parquet"
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage in ("empty", "text"):
        path.write_bytes(b"" if damage == "empty" else b"not a table")
    else:
        schema = b"ratecheck/runs/1" if damage == "other columns" else b"other"
        pq.write_table(pa.table({"id": ["a"]}).replace_schema_metadata({b"schema": schema}), path)
    store = RunStore(tmp_path)
    assert list(store.stacks("attention", "ngd", ["norm"])) == []
    [line] = store.damaged
    assert str(path) in line
    assert not path.exists()
    assert path.with_name("batch.parquet.damaged").exists()


def test_a_damaged_instance_convicts_nobody(folder: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = next(path for path in RunStore(folder).files if "rule=ngd" in str(path))
    table = pq.ParquetFile(source).read()
    damaged = table.set_column(table.column_names.index("instance"), "instance", pa.array(["{}"] * len(table)))
    place = tmp_path / "system=attention" / "rule=ngd"
    place.mkdir(parents=True)
    pq.write_table(damaged, place / "x.parquet")
    false = Theorem("my.slow", "too slow", ATTENTION, [Rule("ngd")], norm <= norm_0 + eta * t / 2, GUESS)
    body = evidence_for(false)
    assert isinstance(body, PointwiseEvidence)
    said = rejudge_runs(body, tmp_path)
    assert body.counterexample is None
    assert any("damaged instance" in line for line in said.damaged)


def test_an_unwritable_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    chosen = [theorem for theorem in POINTWISE if theorem.id == "attention.ngd.direction"]
    [job] = record_units(tmp_path / "file", chosen, Profile(1, 5), 0, {})
    with pytest.raises(StoreError, match="cannot be written"):
        record(job)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(table: Any, path: str, **_: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    chosen = [theorem for theorem in POINTWISE if theorem.id == "attention.ngd.direction"]
    [job] = record_units(tmp_path, chosen, Profile(1, 5), 0, {})
    with pytest.raises(StoreError, match="No space left"):
        record(job)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
