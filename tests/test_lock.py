"""The baseline: written once for the same trial, checked cheaply, read without trust."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bounds import ATTENTION, Conjecture, Rule, Theorem, eta, norm, norm_0, t
from bounds.catalogue import THEOREMS, load_file
from properties.baseline import NAME, Entry, Lock, Result, Settings, parse_lock, read_lock
from properties.regression import REMOVED, RENAMED, SAME, find_changes
from properties.store import StoreError
from properties.trial import PROFILES
from ratecheck.cli import run
from ratecheck.lock import change_lines, settings_of

TEXT = """
from bounds import *
NORM = Theorem(
    id="mine.norm",
    title="NGD's norm grows at most at speed 2η",
    system=ATTENTION,
    assumes=[Rule("ngd")],
    claim=norm <= norm_0 + 2 * eta * t,
    status=Conjecture(source="a guess"),
)
LENGTH = Theorem(
    "mine.length", "NGD's steps are η long", ATTENTION, [Rule("ngd")], step_length <= 2 * eta, Conjecture("ours")
)
"""
SMALL = ["--examples", "6", "--steps", "30"]


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def serial(task: Callable[[Any], Any], units: Sequence[Any]) -> Iterator[Any]:
        return map(task, units)

    monkeypatch.setattr("ratecheck.lock.in_processes", serial)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A theorem file in a folder of its own, locked."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(TEXT)
    assert run(["lock", "--file", str(path), *SMALL]) == 0
    return path


def lock_file(mine: Path) -> Path:
    return mine.with_name("mine.lock.json")


def test_the_lock_says_what_is_claimed_and_what_was_seen(mine: Path) -> None:
    data = json.loads(lock_file(mine).read_text())
    assert data["settings"] == {"examples": 6, "steps": 30, "long_examples": 6, "long_steps": 2**17, "seed": 0}
    block = data["theorems"]["mine.norm"]
    assert block["claim"] == "norm <= 2*eta*t + norm_0"
    assert block["assumes"] == ["Rule(rule='ngd')"]
    assert block["result"]["verdict"] == "confirmed"
    assert 0.5 <= block["result"]["ratio"] <= 1.0
    assert block["result"]["instances"] >= 6
    assert len(block["result"]["hardest"]) == 3
    kept = [path.stem for path in Path("corpus/mine.norm").glob("*.json")]
    assert len(kept) == 3


def test_the_same_trial_writes_the_same_text(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = lock_file(mine).read_text()
    assert "mine.py" not in text  # nor any path: files play no part
    assert run(["lock", "--file", str(mine), "--all"]) == 0
    assert "2 of 2 theorems judged" in capsys.readouterr().out
    assert lock_file(mine).read_text() == text
    lock_file(mine).unlink()
    assert run(["lock", "--file", str(mine), *SMALL]) == 0
    assert lock_file(mine).read_text() == text
    assert read_lock(lock_file(mine)).text() == text


def test_only_what_changed_is_judged_again(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = json.loads(lock_file(mine).read_text())["theorems"]
    mine.write_text(TEXT.replace("2 * eta * t", "3 * eta * t").replace("NGD's steps", "Its steps"))
    capsys.readouterr()
    assert run(["lock", "--file", str(mine)]) == 0
    assert "1 of 2 theorems judged" in capsys.readouterr().out
    after = json.loads(lock_file(mine).read_text())["theorems"]
    assert after["mine.norm"]["claim"] == "norm <= 3*eta*t + norm_0"
    assert after["mine.length"]["title"].startswith("Its steps")
    assert after["mine.length"]["result"] == before["mine.length"]["result"]
    assert run(["lock", "--file", str(mine)]) == 0
    assert "up to date" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("2 * eta * t", "3 * eta * t", "mine.norm: the statement changed"),
        ('[Rule("ngd")],\n    claim', '[Rule("gd")],\n    claim', "mine.norm: the hypotheses"),
        ("mine.norm", "mine.growth", "mine.growth: renamed, was mine.norm"),
        ("at speed 2η", "at twice its speed", "mine.norm: title or status changed"),
        ("LENGTH = ", "LENGTHS = ()\nLEN = lambda: ", "mine.length: removed"),
        (
            "LENGTH = ",
            'NEW = Theorem("mine.new", "new", ATTENTION, [], norm >= alignment, Conjecture())\nLENGTH = ',
            "mine.new: new",
        ),
    ],
)
def test_check_names_what_is_out_of_date(
    old: str, new: str, words: str, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["lock", "--check", "--file", str(mine)]) == 0
    assert TEXT.count(old) == 1
    mine.write_text(TEXT.replace(old, new))
    text = lock_file(mine).read_text()
    capsys.readouterr()
    assert run(["lock", "--check", "--file", str(mine)]) == 3
    said = capsys.readouterr().out
    assert words in said
    assert "out of date for 1 theorem" in said
    assert lock_file(mine).read_text() == text


def test_check_as_json(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["lock", "--check", "--file", str(mine), "--json", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["up_to_date"]
    assert set(data["theorems"].values()) == {"unchanged"}


def test_part_of_a_lock_is_brought_up_to_date_alone(mine: Path) -> None:
    mine.write_text(TEXT.replace("2 * eta * t", "3 * eta * t").replace("step_length <= 2", "step_length <= 3"))
    assert run(["lock", "mine.norm", "--file", str(mine)]) == 0
    assert run(["lock", "--check", "mine.norm", "--file", str(mine)]) == 0
    assert run(["lock", "--check", "--file", str(mine)]) == 3
    assert "step_length <= 2*eta" in lock_file(mine).read_text()


def test_options_that_are_not_given_are_those_of_the_lock(mine: Path) -> None:
    lock, theorems = read_lock(lock_file(mine)), list(load_file(mine))
    assert settings_of(theorems, None, None, None, None, lock.settings) == lock.settings
    more = settings_of(theorems, None, 50, None, None, replace(lock.settings, seed=7))
    assert (more.examples, more.steps, more.seed) == (50, lock.settings.steps, 7)
    anew = settings_of(theorems, "standard", None, None, None, replace(lock.settings, seed=7))
    assert (anew.seed, anew.profile) == (7, PROFILES["standard"])


def test_statements_that_were_locked_twice_are_removed_twice() -> None:
    claim = (ATTENTION, [Rule("ngd")], norm <= norm_0 + eta * t, Conjecture())
    twins = [Theorem(f"mine.{name}", "twin", *claim) for name in ("a", "b")]
    result = Result("confirmed", 1, 1, 1.0, 1.0, "")
    entries = {twin.id: Entry(twin, result) for twin in twins}
    assert [change.kind for change in find_changes(entries, [])] == [REMOVED, REMOVED]
    renamed = find_changes(entries, [Theorem("mine.c", "twin", *claim)])
    assert [(change.id, change.kind) for change in renamed] == [("mine.c", RENAMED), ("mine.b", REMOVED)]


def test_one_lock_has_one_setting(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lock", "mine.norm", "--file", str(mine), "--seed", "5"]) == 2
    assert "other settings" in capsys.readouterr().err
    assert run(["lock", "--file", str(mine), *SMALL, "--seed", "5"]) == 0
    assert "2 of 2 theorems judged" in capsys.readouterr().out
    assert read_lock(lock_file(mine)).settings.seed == 5


def test_every_kind_of_claim_can_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    empty = Lock(Settings(1, 1, 1, 1, 0), {})
    assert parse_lock(empty.text(), "here").text() == empty.text()
    assert run(["lock", "attention.entropy", "data.feasibility", *SMALL, "--lock", "data.json"]) == 0
    locked = read_lock(tmp_path / "data.json").entries
    assert {entry.theorem.kind for entry in locked.values()} == {"pointwise", "probability"}
    by_id = {theorem.id: theorem for theorem in THEOREMS}
    assert all(entry.theorem == by_id[id] for id, entry in locked.items())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text[: len(text) // 2], "damaged at line"),
        (lambda text: "<<<<<<< HEAD\n" + text, "damaged at line 1"),
        (lambda text: "[]", "not a lock"),
        (lambda text: text.replace("ratecheck/lock/1", "ratecheck/lock/9"), "not a lock"),
        (lambda text: text.replace("2*eta*t", "3*eta*t"), "fingerprint"),
        (lambda text: text.replace("2*eta*t", "__import__('os')"), "no function of the language"),
        (lambda text: text.replace("2*eta*t", "9**9**9*t"), "exponent"),
        (lambda text: text.replace('"seed": 0', '"seed": "0"'), "not a whole number"),
        (lambda text: text.replace('"seed": 0', '"seed": ' + "9" * 5000), "damaged"),
        (lambda text: re.sub('"ratio": [0-9.]+', '"ratio": NaN', text), "not a finite number"),
        (lambda text: text.replace('"verdict"', '"verdicts"'), "damaged"),
        (lambda text: "[" * 100_000, "damaged"),
    ],
)
def test_a_damaged_lock_is_one_line_with_the_fix(
    damage: Callable[[str], str], words: str, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = lock_file(mine)
    path.write_text(damage(path.read_text()))
    with pytest.raises(StoreError, match=words):
        read_lock(path)
    for command in (["lock", "--check"], ["lock"], ["regress"]):
        capsys.readouterr()
        assert run([*command, "--file", str(mine)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "ratecheck lock --all" in error
    assert run(["lock", "--all", "--file", str(mine), *SMALL]) == 0
    assert run(["lock", "--check", "--file", str(mine)]) == 0


def test_a_missing_lock_names_the_command(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock_file(mine).unlink()
    assert run(["lock", "--check", "--file", str(mine)]) == 2
    assert "write the baseline with `ratecheck lock`" in capsys.readouterr().err


def test_a_statement_that_text_cannot_hold_is_not_locked(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = lock_file(mine).read_text()
    mine.write_text(TEXT.replace("2 * eta * t", "__import__('sympy').Float('0.1', 40) * eta * t"))
    assert run(["lock", "--file", str(mine)]) == 2
    assert "fingerprint" in capsys.readouterr().err
    assert lock_file(mine).read_text() == text


def test_the_baseline_of_the_built_in_theorems_is_up_to_date() -> None:
    lock = read_lock(Path(__file__).parents[1] / NAME)
    stale = [change for change in find_changes(lock.entries, THEOREMS) if change.kind != SAME]
    if stale:
        fix = f"{NAME} is out of date: see `ratecheck regress`, then write it with `ratecheck lock`"
        pytest.fail("\n".join([fix, *change_lines(stale)]), pytrace=False)
