"""The corpus keeps the hardest instances, survives damaged files, and feeds the trial."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bounds.catalogue import THEOREMS
from properties import corpus
from properties.evidence import evidence_for
from properties.hunt_space import Shape, Space
from properties.store import StoreError
from properties.verdict import PointwiseEvidence

N2 = next(theorem for theorem in THEOREMS if theorem.id == "attention.ngd.direction")
RATIO = "log10 of the ratio of the sides"
F2 = next(theorem for theorem in THEOREMS if theorem.id == "attention.gradient-domination")


def entries(count: int, fingerprint: str = N2.fingerprint) -> list[corpus.Entry]:
    space = Space(N2, Shape(2, 2, 2, "ngd", "logistic"), 20)
    rng = np.random.default_rng(11)
    found = []
    for k in range(count):
        instance = space.decode(space.somewhere(rng))
        assert instance is not None
        found.append(corpus.Entry(instance, -float(k), 3, RATIO, fingerprint, "cma", 5))
    return found


def test_round_trip_in_order_of_hardness(tmp_path: Path) -> None:
    given = entries(4)
    stored = corpus.save(N2, RATIO, given[::-1], tmp_path, {"ratecheck": "0"})
    loaded = corpus.load(N2, tmp_path)
    assert loaded.damaged == ()
    assert [entry.instance.id for entry in loaded.entries] == [entry.instance.id for entry in given]
    assert [entry.path for entry in loaded.entries] == [entry.path for entry in stored]
    assert (loaded.entries[0].engine, loaded.entries[0].seed, loaded.entries[0].step) == ("cma", 5, 3)


def test_only_the_hardest_are_kept_and_saving_again_changes_nothing(tmp_path: Path) -> None:
    given = entries(6)
    corpus.save(N2, RATIO, given[3:], tmp_path, {}, kept=3)
    corpus.save(N2, RATIO, given[:3], tmp_path, {}, kept=3)
    names = sorted(path.name for path in (tmp_path / N2.id).iterdir())
    assert names == sorted(f"{entry.instance.id}.json" for entry in given[:3])
    corpus.save(N2, RATIO, [], tmp_path, {}, kept=3)
    assert sorted(path.name for path in (tmp_path / N2.id).iterdir()) == names
    with pytest.raises(ValueError, match="at least one"):
        corpus.save(N2, RATIO, given, tmp_path, {}, kept=0)


def test_instances_measured_otherwise_are_left_alone(tmp_path: Path) -> None:
    corpus.save(N2, RATIO, entries(1), tmp_path, {}, kept=1)
    others = [replace(entry, objective="something else", hardness=9.0) for entry in entries(3)[1:]]
    corpus.save(N2, "something else", others, tmp_path, {}, kept=1)
    assert [entry.objective for entry in corpus.load(N2, tmp_path).entries] == ["something else", RATIO]
    with pytest.raises(ValueError, match="or otherwise"):
        corpus.save(N2, RATIO, others, tmp_path, {})


def test_instances_of_another_form_of_the_claim_are_left_alone(tmp_path: Path) -> None:
    [old] = corpus.save(N2, RATIO, entries(1), tmp_path, {}, kept=1)
    assert old.path is not None
    data = json.loads(old.path.read_text())
    data["theorem"]["fingerprint"] = "0" * 16
    old.path.write_text(json.dumps(data))
    corpus.save(N2, RATIO, entries(3)[1:], tmp_path, {}, kept=1)
    assert len(corpus.load(N2, tmp_path).entries) == 2
    with pytest.raises(ValueError, match="another form"):
        corpus.save(N2, RATIO, entries(1, "0" * 16), tmp_path, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        '{"schema": "ratecheck/corpus/1"}',
        '{"schema": "ratecheck/corpus/9"}',
        '{"schema": "ratecheck/corpus/1", "instance": 3}',
        '{"schema": "ratecheck/corpus/1", "instance": {"system": "joint"}}',
    ],
)
def test_a_damaged_file_is_named_and_passed_over(text: str, tmp_path: Path) -> None:
    corpus.save(N2, RATIO, entries(2), tmp_path, {})
    path = tmp_path / N2.id / "damaged.json"
    path.write_text(text)
    loaded = corpus.load(N2, tmp_path)
    assert len(loaded.entries) == 2
    [line] = loaded.damaged
    assert "damaged.json" in line
    assert "passed over" in line
    assert "\n" not in line
    with pytest.raises(StoreError, match="passed over"):
        corpus.read(N2, path)
    corpus.save(N2, RATIO, [], tmp_path, {})
    assert path.exists()


@pytest.mark.parametrize(("key", "value"), [("hardness", "nan"), ("hardness", None), ("step", -1), ("seed", True)])
def test_values_are_checked(key: str, value: object, tmp_path: Path) -> None:
    [stored] = corpus.save(N2, RATIO, entries(1), tmp_path, {})
    assert stored.path is not None
    data = json.loads(stored.path.read_text())
    data[key] = value
    stored.path.write_text(json.dumps(data))
    assert len(corpus.load(N2, tmp_path).damaged) == 1


def test_a_folder_that_does_not_exist_is_an_empty_corpus(tmp_path: Path) -> None:
    empty = corpus.load(N2, tmp_path / "none")
    assert (empty.entries, empty.damaged) == ((), ())


def test_feeding_the_trial_counts_as_evidence(tmp_path: Path) -> None:
    corpus.save(N2, RATIO, entries(3), tmp_path, {})
    (tmp_path / N2.id / "damaged.json").write_text("{")
    body = evidence_for(N2)
    damaged = corpus.feed(body, tmp_path)
    assert isinstance(body, PointwiseEvidence)
    assert body.instances == 3
    assert body.sources[corpus.SOURCE] == body.applicable > 0
    assert body.worst is not None
    assert len(damaged) == 1
    untouched = evidence_for(F2)
    assert corpus.feed(untouched, tmp_path) == ()
    assert untouched.instances == 0
