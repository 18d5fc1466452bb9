"""The pytest plugin: theorems as items and in fixtures, under options, ini files, xdist and JUnit."""

import json
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from ratecheck.cli import run

pytest_plugins = ["pytester"]

IMPORTS = "import pytest\nfrom bounds import *\n"
FALSE = """
FALSE = Theorem("mine.double", "N1 doubled", ATTENTION, [Separable(), PositiveCoefficients(), Rule("ngd")],
                alignment >= alignment_0 + 2 * eta * t * gamma / B, Conjecture(source="a guess"))
"""
TRUE = """
TRUE = Theorem("mine.norm", "N1", ATTENTION, [Rule("ngd")], norm <= norm_0 + eta * t, Conjecture(source="a guess"))
"""
#: Never better than the trivial level 1.
VACUOUS = """
IDLE = Theorem("mine.idle", "Idle", ATTENTION, [Rule("ngd")], leak_max <= 1 + eta, Conjecture(source="idle"))
"""
SMALL = ("--theorem-examples", "8", "--theorem-steps", "40", "-p", "no:cacheprovider")


def properties_of(path: str) -> dict[str, dict[str, str]]:
    """The properties of every test case of a JUnit file."""
    return {
        str(case.get("name")): {str(p.get("name")): str(p.get("value")) for p in case.iter("property")}
        for case in ET.parse(path).iter("testcase")
    }


def test_theorems_are_collected_by_id_prefix_and_label(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest(
        *SMALL, "--theorems", "F2,attention.entropy", "--theorems", "attention.ngd.norm", "-v"
    )
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["theorems: 8 examples of 40 steps, seed 0", "*theorems::attention.ngd.norm.upper PASSED*"]
    )


def test_theorems_come_on_top_of_tests_and_obey_marker_expressions(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain():\n    pass")
    arguments = (*SMALL, "--theorems", "attention.entropy", "--strict-markers")
    pytester.runpytest(*arguments).assert_outcomes(passed=2)
    pytester.runpytest(*arguments, "-m", "theorem").assert_outcomes(passed=1, deselected=1)
    pytester.runpytest(*arguments, "-k", "plain").assert_outcomes(passed=1, deselected=1)
    pytester.runpytest(*SMALL).assert_outcomes(passed=1)


def test_a_falsified_theorem_fails_with_a_line_that_replays_it(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    file = pytester.makepyfile(mine=IMPORTS + FALSE + TRUE)
    result = pytester.runpytest(*SMALL, "--theorems-file", str(file), "--junitxml", "junit.xml")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["mine.double is FALSIFIED: False: broken at step 1 of a run on 1×2×1 tokens*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    [line] = {line for line in result.outlines if line.strip().startswith("replay: ")}
    capsys.readouterr()
    assert run(shlex.split(line.split("ratecheck ", 1)[1])) == 1
    assert "still violated, certified" in capsys.readouterr().out
    cases = properties_of("junit.xml")
    assert cases["mine.double"]["verdict"] == "falsified"
    assert float(cases["mine.double"]["worst_ratio"]) == pytest.approx(2.0)
    assert json.loads(Path(cases["mine.double"]["counterexample"]).read_text())["theorem"]["id"] == "mine.double"
    assert cases["mine.norm"]["verdict"] == "confirmed"
    assert int(cases["mine.norm"]["instances"]) >= 8


def test_a_vacuous_theorem_fails_unless_it_is_let_through(pytester: pytest.Pytester) -> None:
    file = str(pytester.makepyfile(mine=IMPORTS + VACUOUS))
    failed = pytester.runpytest(*SMALL, "--theorems-file", file)
    failed.assert_outcomes(failed=1)
    failed.stdout.fnmatch_lines(["mine.idle is VACUOUS: Says nothing here*", "*--theorems-allow vacuous*"])
    skipped = pytester.runpytest(*SMALL, "--theorems-file", file, "--theorems-allow", "vacuous", "-rs")
    skipped.assert_outcomes(skipped=1)
    skipped.stdout.fnmatch_lines(["SKIPPED*mine.idle is vacuous: Says nothing here*"])
    pytester.makeini("[pytest]\ntheorems_allow = vacuous,inconclusive\n")
    pytester.runpytest(*SMALL, "--theorems-file", file).assert_outcomes(skipped=1)


def test_a_marked_module_has_its_theorems_collected(pytester: pytest.Pytester) -> None:
    body = FALSE + TRUE
    unmarked = pytester.makepyfile(test_unmarked=IMPORTS + body)
    assert pytester.runpytest(*SMALL, unmarked).ret == pytest.ExitCode.NO_TESTS_COLLECTED
    mark = "pytestmark = pytest.mark.theorem(examples=10, steps=30)\n"
    marked = pytester.makepyfile(my_theorems=IMPORTS + mark + body)
    result = pytester.runpytest("-v", "--strict-markers", marked)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["my_theorems.py::mine.norm PASSED*"])


def test_the_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        IMPORTS
        + FALSE
        + TRUE
        + """
def test_judge(judge):
    assert judge(TRUE, steps=20).name == "confirmed"
    assert judge(FALSE).name == "falsified"

@pytest.mark.parametrize("id", ["attention.ngd.norm.upper", "attention.entropy"])
def test_ids(verify_theorem, id):
    verify_theorem(id, examples=6)

def test_verify(verify_theorem):
    verify_theorem(FALSE)

@pytest.mark.theorem(TRUE, examples=6, steps=20)
def test_verdict(verdict):
    assert verdict.name == "confirmed"
    assert verdict.evidence.last_step <= 20
"""
    )
    result = pytester.runpytest(*SMALL, "--junitxml", "junit.xml", "--strict-markers")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["mine.double is FALSIFIED*", "*replay: ratecheck replay *--file *"])
    result.stdout.no_fnmatch_line("*During handling*")
    assert properties_of("junit.xml")["test_verify"]["verdict"] == "falsified"


def test_ini_settings_and_their_order(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ntheorem_examples = 7\ntheorem_steps = 30\ntheorem_seed = 5\n")
    result = pytester.runpytest("--theorems", "attention.entropy", "--theorem-seed", "6")
    result.stdout.fnmatch_lines(["theorems: 7 examples of 30 steps, seed 6"])
    result.assert_outcomes(passed=1)


def test_workers_share_one_drawn_seed_and_find_what_one_process_finds(pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile(mine=IMPORTS + FALSE)
    arguments = (*SMALL, "--theorems", "mine.double,attention.ngd.norm.upper,F2", "--theorems-file", str(file))
    two = pytester.runpytest(*arguments, "-n", "2", "--theorem-seed", "random", "--junitxml", "two.xml")
    two.assert_outcomes(passed=2, failed=1)
    found = properties_of("two.xml")
    [seed] = {case["seed"] for case in found.values()}
    one = pytester.runpytest(*arguments, "--theorem-seed", seed, "--junitxml", "one.xml")
    one.assert_outcomes(passed=2, failed=1)
    assert properties_of("one.xml") == found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--theorems", "attention.nothing"), "did you mean"),
        (("--theorems-file", "absent.py"), "no such file"),
        (("--theorems-allow", "falsified"), "choose among vacuous, inconclusive"),
        (("--theorem-examples", "0"), "give a whole number from 1"),
        (("--theorem-seed", "-3"), "give a whole number from 0"),
    ],
)
def test_bad_options_are_usage_errors(pytester: pytest.Pytester, arguments: tuple[str, ...], words: str) -> None:
    result = pytester.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{words}*"])


def test_a_session_without_theorems_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    heavy = ("sympy", "numpy", "torch", "numba", "flint", "bounds", "properties", "rich", "typer")
    pytester.makepyfile(
        f"import sys\ndef test_light():\n    assert not [m for m in {heavy!r} if m in sys.modules]"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", *SMALL]
    assert subprocess.run(command, cwd=pytester.path, capture_output=True, timeout=60).returncode == 0
