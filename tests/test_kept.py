"""Counterexamples of earlier trials are judged first; whatever lies in their folder, the trial goes on."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bounds import ATTENTION, Conjecture, Rule, Theorem, eta, norm, t
from bounds.catalogue import THEOREMS
from models.dataset import TokenDataset
from models.instance import Instance, Run
from properties.certify import examine
from properties.conviction import as_counterexample
from properties.evidence import evidence_for
from properties.kept import judge_kept, take_up
from properties.shrinker import size
from properties.store import StoreError, load, rejudge, save
from properties.systems import tools
from properties.verdict import Counterexample
from ratecheck.cli import run

SOURCE = """
from bounds import *
CLAIM = Theorem("mine.slow", "no farther than half a step", ATTENTION, [Rule("ngd")], {claim},
                Conjecture(source="planted"), domain=t >= {first})
"""
FALSE, TRUE = "norm <= norm_0 + eta * t / 2", "norm <= norm_0 + eta * t"


def claim(bound: Any = eta * t / 2, first: int = 1) -> Theorem:
    guess = Conjecture(source="planted")
    return Theorem("mine.slow", "half a step", ATTENTION, [Rule("ngd")], norm <= bound, guess, domain=t >= first)


def found(
    theorem: Theorem, X: Any = (((1.0,), (0.0,)),), step: int = 1, size_of_step: float = 1.0
) -> Counterexample:
    instance = Instance(TokenDataset(X, [1] * len(X), [1.0]), Run("ngd", "logistic", step, eta=size_of_step))
    geometry = tools(ATTENTION).geometry(instance)
    [finding] = examine(theorem, instance, geometry, [step], None)
    assert finding.outcome == "violated"
    return as_counterexample(theorem, finding, None)


def source(tmp_path: Path, claim: str = FALSE, first: int = 1) -> list[str]:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE.format(claim=claim, first=first))
    return ["--file", str(path), "--examples", "4", "--steps", "20"]


def verified(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, Any], str]:
    code = run(["verify", *arguments, "--counterexamples", str(folder), "--json", "-"])
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def test_a_kept_counterexample_decides_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "kept"
    path = save(found(claim()), folder, {})
    code, result, errors = verified(source(tmp_path), folder, capsys)
    assert code == 1
    [kept] = result["kept"]
    assert (kept["path"], kept["outcome"]) == (str(path), "still falsified")
    assert kept["changed_since"]  # the file states another claim than the one judged here, whose norm_0 is 0
    [theorem] = result["theorems"]
    assert theorem["counterexample"] == str(path)
    assert shlex.split(theorem["reproduce"])[2] == str(path)
    assert [p.name for p in folder.iterdir()] == [path.name]
    assert "passed over" not in errors


def test_the_trial_says_what_became_of_each_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "kept"
    save(found(claim()), folder, {})
    assert run(["verify", *source(tmp_path), "--counterexamples", str(folder)]) == 1
    said = capsys.readouterr().out
    assert "Kept counterexamples: 1 still falsified." in said
    assert "the claim has changed since" in said


@pytest.mark.parametrize(
    ("text", "first", "outcome"),
    [(TRUE, 1, "fixed"), (FALSE, 5, "not applicable now"), ("norm <= norm_0 + 2 * eta * t", 1, "fixed")],
)
def test_outdated_files(
    text: str, first: int, outcome: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The claim was changed after the file was written: it now holds there, or no longer speaks about it."""
    folder = tmp_path / "kept"
    path = save(found(claim()), folder, {})
    code, result, _ = verified(source(tmp_path, text, first), folder, capsys)
    assert code == (1 if text == FALSE else 0)
    [kept] = result["kept"]
    assert (kept["outcome"], kept["changed_since"]) == (outcome, True)
    assert path.exists()


def test_no_kept_leaves_the_folder_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "kept"
    save(found(claim()), folder, {})
    code, result, _ = verified([*source(tmp_path, TRUE), "--no-kept"], folder, capsys)
    assert (code, result["kept"]) == (0, [])


def test_a_smaller_one_takes_its_place_and_the_file_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "kept"
    large = found(claim(), [[[0.75], [0.25]], [[1.0], [0.5]]], 3, 0.375)
    path = save(large, folder, {})
    _, result, _ = verified(source(tmp_path), folder, capsys)
    smaller = Path(result["theorems"][0]["counterexample"])
    assert smaller != path
    assert sorted(folder.iterdir()) == sorted([path, smaller])
    assert load(smaller).instance.dataset.X.shape == (1, 2, 1)


DAMAGED = {
    "empty.json": "",
    "cut.json": '{"schema": "ratecheck/counter',
    "list.json": "[1, 2]",
    "foreign.json": '{"schema": "somebody/else/7"}',
    "deep.json": "[" * 100_000,
    "binary.json": "\udcff\udcfe",
    "number.json": "9" * 5000,
}


def spoiled(path: Path, **changes: Any) -> str:
    return json.dumps({**json.loads(path.read_text()), **changes})


def test_damaged_and_foreign_files_are_named_and_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "kept"
    good = save(found(claim()), folder, {})
    joint = {"system": "joint", **json.loads(good.read_text())["instance"]}
    texts = {
        **DAMAGED,
        "step.json": spoiled(good, step=-1),
        "beyond.json": spoiled(good, step=10**9),
        "instance.json": spoiled(good, instance={"dataset": None, "run": None}),
        "system.json": spoiled(good, instance={"system": ["joint"]}),
        "joint.json": spoiled(good, instance=joint),
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode(errors="surrogateescape"))
    (folder / "folder.json").mkdir()
    (folder / "notes.txt").write_text("not looked at")
    code, result, errors = verified(source(tmp_path), folder, capsys)
    assert code == 1
    outcomes = {Path(kept["path"]).name: kept["outcome"] for kept in result["kept"]}
    assert outcomes[good.name] == "still falsified"
    assert outcomes["beyond.json"] == "undecided"
    wrong = {name for name, outcome in outcomes.items() if outcome == "error"}
    assert wrong == {*texts, "folder.json"} - {"beyond.json"}
    lines = [line for line in errors.splitlines() if "passed over" in line]
    assert len(lines) == len(wrong)
    assert all(any(name in line for line in lines) for name in wrong)


def test_files_of_other_theorems_are_left_alone(tmp_path: Path) -> None:
    save(found(claim()), tmp_path, {})
    assert list(judge_kept(tmp_path, THEOREMS)) == []
    assert list(judge_kept(tmp_path / "missing", THEOREMS)) == []


def test_an_instance_that_breaks_the_judge_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise MemoryError("too\nlarge")

    save(found(claim()), tmp_path, {})
    monkeypatch.setattr("properties.kept.rejudge", explode)
    [kept] = judge_kept(tmp_path, [claim()])
    assert kept.outcome == "error"
    assert "\n" not in kept.message


def test_a_theorem_that_became_another_kind_of_claim(tmp_path: Path) -> None:
    save(found(claim()), tmp_path, {})
    limit = next(theorem for theorem in THEOREMS if theorem.kind == "order")
    path = next(tmp_path.iterdir())
    path.write_text(spoiled(path, theorem={"id": limit.id, "fingerprint": "", "statement": ""}))
    [kept] = judge_kept(tmp_path, [limit])
    assert kept.outcome == "not applicable now"
    with pytest.raises(StoreError, match="no single run"):
        rejudge(load(path), limit)


def test_the_smallest_kept_one_is_taken_up(tmp_path: Path) -> None:
    theorem = claim()
    small, large = found(theorem), found(theorem, [[[0.75], [0.25]], [[1.0], [0.5]]], 3)
    for one in (large, small):
        save(one, tmp_path, {})
    evidence = {theorem.id: evidence_for(theorem)}
    taken = take_up(list(judge_kept(tmp_path, [theorem])), evidence)
    assert taken[theorem.id].path.name == f"mine.slow-{small.instance.id}.json"
    body = evidence[theorem.id].counterexample
    assert body is not None
    assert size(body) == size(small)


def test_a_certificate_holds_all_that_it_takes(tmp_path: Path) -> None:
    theorem = claim()
    path = save(found(theorem), tmp_path, {"python": "3"})
    data = json.loads(path.read_text())
    assert data["theorem"] == {
        "id": theorem.id,
        "fingerprint": theorem.fingerprint,
        "statement": theorem.statement,
    }
    assert (data["step"], data["onset"], data["versions"]) == (1, None, {"python": "3"})
    assert data["precision_bits"] >= 128
    assert data["claimed_smaller_side"].startswith(("1.0", "[1.0"))
    assert data["claimed_larger_side"].startswith(("0.5", "[0.5"))
    # What is claimed in the file is not believed: the sides come from the instance alone.
    path.write_text(spoiled(path, claimed_smaller_side="0", claimed_larger_side="1", precision_bits=1))
    finding = rejudge(load(path), theorem)
    assert (finding.outcome, finding.small) == ("violated", data["claimed_smaller_side"])


def test_replay_judges_the_instance_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = source(tmp_path)[:2]
    path = save(found(claim()), tmp_path / "kept", {})
    assert run(["replay", str(path), *arguments, "--json", "-"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["outcome"] == "violated"
    assert result["claimed_smaller_side"] == json.loads(path.read_text())["claimed_smaller_side"]


def test_a_killed_trial_leaves_only_whole_files(tmp_path: Path) -> None:
    """SIGKILL as soon as the first file is there: nothing that was written is half a file."""
    folder = tmp_path / "kept"
    arguments = [*source(tmp_path)[:2], "--examples", "20000", "--steps", "50", "--counterexamples", str(folder)]
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"  # one core: no worker processes
        f"from ratecheck.cli import main; main({['verify', *arguments]!r})"
    )
    trial = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not list(folder.glob("*.json")) and trial.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
    finally:
        trial.send_signal(signal.SIGKILL)
    said, _ = trial.communicate()
    assert trial.returncode == -signal.SIGKILL
    assert said == b""  # nothing had been printed yet, and still the file is there
    files = list(folder.glob("*.json"))
    assert files
    kept = list(judge_kept(folder, [claim(eta * t / 2)]))
    assert {one.outcome for one in kept} <= {"still falsified", "not applicable now", "fixed"}
    for path in files:
        assert load(path).theorem == "mine.slow"


def test_a_counterexample_is_written_before_it_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of a run that is killed while printing is already there."""
    folder = tmp_path / "kept"
    seen: list[bool] = []

    def printed(self: object, console: object) -> None:
        seen.append(bool(list(folder.glob("*.json"))))
        raise KeyboardInterrupt

    monkeypatch.setattr("ratecheck.verify.Outcome.print", printed)
    assert run(["verify", *source(tmp_path), "--counterexamples", str(folder)]) == 130
    assert seen == [True]


def test_a_full_disk_is_one_line_and_no_lost_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, result, errors = verified(source(tmp_path), tmp_path / "kept", capsys)
    assert code == 1
    assert result["theorems"][0]["counterexample"] is None
    assert "No space left on device" in errors
