"""Refinements from edit to exit code, each scenario on a copy of its own."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import sympy as sp
from flint import arb
from sympy import log

from bounds import (
    ATTENTION,
    JOINT,
    Assumption,
    Conjecture,
    Likely,
    Order,
    PositiveCoefficients,
    Rule,
    Separable,
    StepAtMost,
    Tends,
    Theorem,
    Throughout,
    ZeroInit,
    direction_gap,
    eta,
    feasible,
    gamma,
    master_sum,
    norm,
    norm_0,
    s_min,
    t,
)
from properties.compiled import compile_expression
from properties.ordering import EQUAL, INCOMPARABLE, STRONGER, UNDECIDED, WEAKER, compare_theorems, together
from ratecheck.cli import run

ROOT = Path(__file__).parents[1]
TEXT = """
from bounds import *
from sympy import log

NORM = Theorem(
    id="mine.norm",
    title="The norm grows at most at speed 2η",
    system=ATTENTION,
    assumes=[Rule("ngd")],
    claim=norm <= norm_0 + 2 * eta * t,
    status=Conjecture(source="a guess"),
)
RATE = Theorem(
    id="mine.rate",
    title="An alignment rate <script>alert(1)</script> | with `pipes`",
    system=ATTENTION,
    assumes=[Separable(), PositiveCoefficients(), Rule("ngd")],
    claim=alignment >= alignment_0 + eta * t * gamma / (2 * B) - log(t + 1),
    status=Conjecture(source="a guess"),
)
SPEED = Theorem(
    id="mine.speed",
    title="From zero the norm grows at most at speed η",
    system=ATTENTION,
    assumes=[Rule("ngd"), ZeroInit()],
    claim=norm <= eta * t,
    status=Conjecture(source="a guess"),
)
"""
SMALL = ["--examples", "8", "--steps", "40"]


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def serial(task: Callable[[Any], Any], units: Sequence[Any]) -> Iterator[Any]:
        return map(task, units)

    monkeypatch.setattr("ratecheck.lock.in_processes", serial)
    monkeypatch.setattr("ratecheck.regress.in_processes", serial)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A theorem file in a folder of its own, locked."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(TEXT)
    assert run(["lock", "--file", "mine.py", *SMALL]) == 0
    return tmp_path / "mine.py"


def refine(mine: Path, old: str, new: str, *options: str) -> tuple[int, dict[str, Any]]:
    """Edit the file as a refinement would, judge it, and return the exit code and the result."""
    text = mine.read_text()
    assert text.count(old) == 1
    mine.write_text(text.replace(old, new))
    code = run(["regress", "--file", "mine.py", "--json", "out.json", *options])
    return code, json.loads(Path("out.json").read_text())


# ---------------------------------------------------------------------------------------------- scenarios
def test_a_tightened_and_true_constant_is_stronger_and_confirmed(mine: Path) -> None:
    code, data = refine(mine, "2 * eta * t", "eta * t")
    assert code == 0
    [row] = data["theorems"]
    assert row["order"]["order"] == "stronger"
    assert "claim stronger everywhere, proved" in row["order"]["sentence"]
    assert (row["before"]["verdict"], row["after"]["verdict"]) == ("confirmed", "confirmed")
    assert row["after"]["worst_ratio"] == 1.0 > row["before"]["worst_ratio"]
    assert data["unchanged"] == ["mine.rate", "mine.speed"]


def test_tightened_too_far_is_falsified_from_the_corpus_at_once(mine: Path) -> None:
    started = time.process_time()  # whatever else the machine does
    code, data = refine(mine, "2 * eta * t", "eta * t / 2")
    assert time.process_time() - started < 5
    assert code == 1
    [row] = data["theorems"]
    assert row["found_in"] == "the corpus"
    assert row["order"]["order"] == "stronger"
    found = row["certificate"]
    assert arb(found["claimed_smaller_side"]) > arb(found["claimed_larger_side"])
    assert run(["replay", row["counterexample"], "--file", "mine.py"]) == 1
    # It is kept, and judged first from now on; the right constant is not hurt by it.
    code, data = refine(mine, "eta * t / 2", "eta * t * 2 / 3")
    assert (code, data["theorems"][0]["found_in"]) == (1, "a kept counterexample")
    code, data = refine(mine, "eta * t * 2 / 3", "eta * t")
    assert (code, data["theorems"][0]["kept"][0]["outcome"]) == (0, "fixed")


def test_a_weakened_bound_needs_consent(mine: Path) -> None:
    code, data = refine(mine, "2 * eta * t", "3 * eta * t")
    assert code == 3
    [row] = data["theorems"]
    assert row["order"]["order"] == "weaker"
    assert row["after"]["verdict"] == "confirmed"
    assert run(["regress", "--file", "mine.py", "--allow-weaker"]) == 0


def test_a_log_replaced_by_a_power_is_incomparable_with_two_certified_points(mine: Path) -> None:
    code, data = refine(mine, "log(t + 1)", "(t + 1)**0.25")
    assert code == 3
    [row] = data["theorems"]
    assert row["order"]["order"] == "incomparable"
    points = row["order"]["points"]
    assert {point["says_more"] for point in points} == {"old", "new"}
    for point in points:
        old, new = arb(point["old"]), arb(point["new"])
        assert (new > old) if point["says_more"] == "new" else (old > new)  # a lower bound: larger says more
        at = {sp.Symbol(name): sp.Rational(value) for name, value in point["at"].items()}
        value = sp.sympify(
            row["statement"]["after"].split(">= ")[1], {name: sp.Symbol(name) for name in point["at"]}
        )
        assert float(value.subs(at)) == pytest.approx(float(new.mid()), rel=1e-6)


def test_without_a_hypothesis_it_breaks(mine: Path) -> None:
    code, data = refine(mine, 'Rule("ngd"), ZeroInit()', 'Rule("ngd")', "--examples", "60")
    assert code == 1
    [row] = data["theorems"]
    assert row["order"]["claim"] == "equal"
    assert row["order"]["order"] == "stronger"
    [hypothesis] = row["order"]["hypotheses"]
    assert (hypothesis["how"], hypothesis["what"]) == ("removed", "ZeroInit()")
    assert row["after"]["verdict"] == "falsified"


def test_a_renamed_file_changes_nothing(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine.rename("theorems.py")
    capsys.readouterr()
    assert run(["regress", "--file", "theorems.py", "--lock", "mine.lock.json"]) == 0
    assert "Nothing changed" in capsys.readouterr().out


def test_a_renamed_theorem_is_not_judged(mine: Path) -> None:
    code, data = refine(mine, "mine.norm", "mine.growth")
    assert code == 0
    [row] = data["theorems"]
    assert (row["change"], row["was"], row["sentence"]) == ("renamed", "mine.norm", None)
    assert row["before"] == row["after"]


def test_a_removed_theorem_is_a_weaker_whole(mine: Path) -> None:
    code, data = refine(mine, "RATE = ", "RATE = lambda: ")
    assert code == 3
    assert [row["change"] for row in data["theorems"]] == ["removed"]
    assert run(["regress", "--file", "mine.py", "--allow-weaker"]) == 0


def test_a_new_theorem_is_judged(mine: Path) -> None:
    new = 'NEW = Theorem("mine.new", "new", ATTENTION, [], {}, Conjecture())\nRATE = '
    code, data = refine(mine, "RATE = ", new.format("alignment <= norm"))
    assert (code, data["theorems"][0]["change"]) == (0, "new")
    code, data = refine(mine, "alignment <= norm", "2 * alignment <= norm")
    assert (code, data["theorems"][0]["after"]["verdict"]) == (1, "falsified")


def test_titles_are_no_statements(mine: Path) -> None:
    code, data = refine(mine, "at speed 2η", "at twice the speed η")
    assert code == 0
    [row] = data["theorems"]
    assert (row["change"], row["sentence"]) == ("title or status changed", None)


def test_stored_runs_are_judged_again(mine: Path) -> None:
    options = ("--runs", "runs", "--corpus", "none")
    assert run(["lock", "--file", "mine.py", "--runs", "runs"]) == 0
    code, data = refine(mine, "2 * eta * t", "eta * t", *options)
    assert code == 0
    stored = data["theorems"][0]["stored_runs"]
    assert stored["applicable"] > 0
    assert stored["judged_steps"] > 100
    code, data = refine(mine, "+ eta * t,", "+ eta * t / 2,", *options)
    assert (code, data["theorems"][0]["found_in"]) == (1, "a stored run")


def test_a_store_is_filled_when_it_is_missing(mine: Path) -> None:
    code, data = refine(mine, "2 * eta * t", "eta * t", "--runs", "runs")
    assert code == 0
    assert data["theorems"][0]["stored_runs"]["runs"] > 0


# ---------------------------------------------------------------------------------- what is written of it
def test_markdown_and_junit_hold_whatever_a_title_holds(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited = mine.read_text().replace("eta * t * gamma / (2 * B)", "eta * t * gamma / (3 * B)")
    mine.write_text(edited.replace("2 * eta * t", "eta * t / 2").replace("mine.rate", "mine.rate-2"))
    assert run(["regress", "--file", "mine.py", "--markdown", "s.md", "--junit", "r.xml"]) == 1
    summary = Path("s.md").read_text()
    assert "| mine.norm | changed | stronger | confirmed → falsified | " in summary
    assert "ratecheck replay counterexamples/mine.norm-" in summary
    assert "<script>" not in summary
    rows = [line for line in summary.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {7}
    suite = ElementTree.parse("r.xml").getroot()
    assert suite.get("tests") == "4"  # changed, new, removed and unchanged
    failures = {case.get("name"): [f.get("type") for f in case.findall("failure")] for case in suite}
    assert failures["mine.norm"] == ["falsified"]
    assert failures["mine.rate"] == ["weaker"]
    assert "mine.norm" in capsys.readouterr().out


def test_an_unchanged_file_has_passing_cases(mine: Path) -> None:
    assert run(["regress", "--file", "mine.py", "--markdown", "s.md", "--junit", "r.xml"]) == 0
    suite = ElementTree.parse("r.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("3", "0")
    assert "Nothing changed" in Path("s.md").read_text()


# --------------------------------------------------------------------------------------------------- git
def git(*words: str) -> None:
    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@y", *words], check=True, capture_output=True)


def test_against_a_revision(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git("init", "-q")
    git("add", "mine.py", "mine.lock.json")
    git("commit", "-qm", "locked")
    code, data = refine(mine, "2 * eta * t", "eta * t")
    assert run(["lock", "--file", "mine.py"]) == 0
    assert run(["regress", "--file", "mine.py"]) == 0
    assert "Nothing changed" in capsys.readouterr().out
    assert run(["regress", "--file", "mine.py", "--against", "HEAD", "--json", "out.json"]) == code == 0
    assert json.loads(Path("out.json").read_text())["theorems"][0]["order"] == data["theorems"][0]["order"]


@pytest.mark.parametrize("revision", ["no-such-branch", "--help", "HEAD:mine.py", "", "a\nb"])
def test_a_revision_that_is_none_is_one_line(
    revision: str, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git("init", "-q")
    capsys.readouterr()
    assert run(["regress", "--file", "mine.py", f"--against={revision}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") <= 2
    assert "--against" in error


def test_without_git_or_repository(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(mine.parent.parent))
    assert run(["regress", "--file", "mine.py", "--against", "HEAD"]) == 2
    assert "in no git repository" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(mine.parent))
    assert run(["regress", "--file", "mine.py", "--against", "HEAD"]) == 2
    assert "needs git" in capsys.readouterr().err


# ------------------------------------------------------------------------------------- the built-in ones
def test_an_edit_in_the_catalogue_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "bounds", tmp_path / "bounds", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    assert run(["lock", "attention.ngd.norm.upper", "--examples", "4", "--steps", "20"]) == 0
    source = tmp_path / "bounds" / "attention_ngd.py"
    old = "claim=norm <= norm_0 + eta * t,"
    assert source.read_text().count(old) == 1
    source.write_text(source.read_text().replace(old, "claim=norm <= norm_0 + eta * t / 2,"))
    # One core, so that no worker processes are started.
    program = "import os, sys; os.sched_setaffinity(0, {0}) if hasattr(os, 'sched_setaffinity') else None; "
    program += "from ratecheck.cli import main; main(['regress', 'attention.ngd.norm.upper'])"

    def regress() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
        )

    done = regress()
    assert done.returncode == 1, done.stderr
    assert "confirmed → falsified" in done.stdout
    # A file that does not import falsifies nothing.
    text = source.read_text()
    for broken in ("import no_such_module", "def (", "X = nrom <= 1", "X = norm <= Theorem"):
        source.write_text(f"{text}\n{broken}\n")
        done = regress()
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert f"attention_ngd.py, line {text.count(chr(10)) + 2}" in done.stderr


# ------------------------------------------------------------------------------------------------- orders
def theorem(claim: Any, *assumes: Assumption, domain: Any = None, system: Any = ATTENTION) -> Theorem:
    return Theorem("my.claim", "a claim", system, assumes, claim, Conjecture(), domain=domain)


LINE = norm <= norm_0 + eta * t


@pytest.mark.parametrize(
    ("old", "new", "order"),
    [
        (theorem(LINE), theorem(LINE), EQUAL),
        (theorem(LINE), theorem(norm <= norm_0 + eta * t / 2), STRONGER),
        (theorem(LINE), theorem(norm < norm_0 + eta * t), STRONGER),
        (theorem(norm < norm_0 + eta * t), theorem(LINE), WEAKER),
        (theorem(norm < norm_0 + eta * t), theorem(norm <= norm_0 + eta * t / 2), UNDECIDED),
        (theorem(LINE), theorem(norm <= norm_0 + 2 * eta * t), WEAKER),
        (theorem(norm <= eta * t), theorem(norm <= gamma * t), INCOMPARABLE),
        (theorem(LINE, Separable()), theorem(LINE), STRONGER),
        (theorem(LINE), theorem(LINE, Separable()), WEAKER),
        (theorem(LINE, Separable()), theorem(LINE, ZeroInit()), INCOMPARABLE),
        (theorem(LINE, Separable()), theorem(norm <= norm_0 + 2 * eta * t), INCOMPARABLE),
        (theorem(LINE, StepAtMost(gamma)), theorem(LINE, StepAtMost(2 * gamma)), STRONGER),
        (theorem(LINE, StepAtMost(gamma)), theorem(LINE, StepAtMost(gamma / 2)), WEAKER),
        (theorem(LINE, StepAtMost(gamma)), theorem(LINE, StepAtMost(gamma**2)), INCOMPARABLE),
        (theorem(LINE, Throughout(s_min >= 0.25)), theorem(LINE, Throughout(s_min >= 0.125)), STRONGER),
        (theorem(LINE, Rule("ngd")), theorem(LINE, Rule("gd")), INCOMPARABLE),
        (theorem(LINE, domain=t >= 10), theorem(LINE, domain=t >= 1), STRONGER),
        (theorem(LINE), theorem(LINE, domain=t >= 1), WEAKER),
        (theorem(LINE, domain=t >= 10), theorem(LINE), STRONGER),
        (theorem(LINE, domain=t >= 10), theorem(LINE, domain=t <= 10), UNDECIDED),
        (theorem(LINE), theorem(Order(norm, t)), UNDECIDED),
        (theorem(LINE), theorem(LINE, system=JOINT), UNDECIDED),
        # What is swapped in a list of hypotheses is compared with its own kind.
        (
            theorem(LINE, Throughout(eta <= 1), Throughout(norm <= 2)),
            theorem(LINE, Throughout(norm <= 3), Throughout(eta <= 1.5)),
            STRONGER,
        ),
        # A claim with t in it needs positive coefficients at every step so far, not at the judged one alone.
        (
            theorem(norm <= 2 + gamma, PositiveCoefficients()),
            theorem(norm <= 2 + gamma - 1 / (t + 1), PositiveCoefficients()),
            INCOMPARABLE,
        ),
        (theorem(norm <= 2 + gamma), theorem(norm <= 2 + gamma - 1 / (t + 1)), STRONGER),
        (theorem(norm <= 2 + master_sum), theorem(norm <= 2), STRONGER),
        (theorem(Order(direction_gap, log(t) / t)), theorem(Order(direction_gap, 1 / t)), STRONGER),
        (
            theorem(Order(direction_gap, log(t) / t)),
            theorem(Order(direction_gap, t ** sp.Rational(-3, 4))),
            WEAKER,
        ),
        (theorem(Order(norm, t)), theorem(Order(norm, 5 * t + 1)), EQUAL),
        (theorem(Order(norm, t, "Omega")), theorem(Order(norm, log(t), "Omega")), WEAKER),
        (theorem(Order(norm, t, "Theta")), theorem(Order(norm, log(t), "Theta")), INCOMPARABLE),
        (theorem(Order(norm, t)), theorem(Order(norm, t, "Theta")), STRONGER),
        (theorem(Order(norm, t, "Theta")), theorem(Order(norm, log(t), "Omega")), WEAKER),
        (theorem(Order(norm, t)), theorem(Order(norm, t, "Omega")), INCOMPARABLE),
        # SymPy's limit gives up.
        (theorem(Order(norm, t)), theorem(Order(norm, sp.Max(t, log(t) ** 2))), UNDECIDED),
        (theorem(Order(norm, t)), theorem(Order(direction_gap, t)), UNDECIDED),
        (theorem(Tends(direction_gap, 0)), theorem(Tends(direction_gap, 1)), INCOMPARABLE),
        (theorem(Likely(feasible >= 1, sp.Rational(1, 2))), theorem(Likely(feasible >= 1, 1)), STRONGER),
    ],
)
def test_orders_of_whole_theorems(old: Theorem, new: Theorem, order: str) -> None:
    assert compare_theorems(old, new).order == order
    turned = {STRONGER: WEAKER, WEAKER: STRONGER}.get(order, order)
    assert compare_theorems(new, old).order == turned


def test_points_are_certified_for_lower_bounds_too() -> None:
    old, new = theorem(norm >= eta * t), theorem(norm >= gamma * t)
    points = compare_theorems(old, new).claim.points
    assert len(points) == 2
    for point in points:
        values = {
            name: arb(sp.Rational(value).p) / arb(sp.Rational(value).q) for name, value in point.values.items()
        }
        smaller = compile_expression(old.small)(values) < compile_expression(new.small)(values)
        assert smaller == (point.says_more == "new")


def test_two_changes_at_once() -> None:
    assert together(STRONGER, EQUAL) == together(EQUAL, STRONGER) == together(STRONGER, STRONGER) == STRONGER
    assert together(STRONGER, WEAKER) == together(UNDECIDED, INCOMPARABLE) == INCOMPARABLE
    assert together(STRONGER, UNDECIDED) == together(UNDECIDED, WEAKER) == UNDECIDED
