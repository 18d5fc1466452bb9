"""The command: exit codes, one-line errors that name the fix, JSON that is only JSON."""

import html
import json
import re
import shlex
from pathlib import Path

import pytest

from ratecheck.cli import run

GOOD = """
from bounds import *
CLAIM = Theorem("mine.double", "N1 doubled", ATTENTION, [Separable(), PositiveCoefficients(), Rule("ngd")],
                alignment >= alignment_0 + 2 * eta * t * gamma / B, Conjecture(source="a guess"))
"""


def theorem_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.py"
    path.write_text(text)
    return str(path)


def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--json", "-"]) == 0
    listed = json.loads(capsys.readouterr().out)["theorems"]
    assert {"id", "title", "system", "kind", "status", "source", "assumptions", "statement"} <= set(listed[0])


def test_verify_falsifies_and_replays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = theorem_file(tmp_path, GOOD)
    kept = tmp_path / "kept"
    arguments = ["--file", file, "--examples", "8", "--steps", "50", "--counterexamples", str(kept)]
    assert run(["verify", *arguments, "--json", "-"]) == 1
    [theorem] = json.loads(capsys.readouterr().out)["theorems"]
    assert theorem["verdict"] == "falsified"
    assert run(["replay", theorem["counterexample"], "--file", file]) == 1
    assert "still violated, certified" in capsys.readouterr().out


def test_verify_writes_a_report(tmp_path: Path) -> None:
    report = tmp_path / "deep" / "report.html"
    assert run(["verify", "F2", "--examples", "8", "--steps", "50", "--report", str(report)]) == 0
    assert "attention.gradient-domination" in report.read_text()


def test_the_result_says_how_it_came_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outside = tmp_path.parent / "elsewhere.json"
    options = ["--examples", "3", "--steps", "20", "--no-kept", "--power", "2", "--report", "new/report.html"]
    assert run(["verify", "attention.ngd.norm.upper", *options, "--json", str(outside)]) == 0
    result = json.loads(outside.read_text())
    [theorem] = result["theorems"]
    assert theorem["statement"].startswith("Assuming ")
    assert theorem["power"]["killed"] <= theorem["power"]["mutants"]
    words = result["provenance"]["command"].split()
    assert words[:3] == ["ratecheck", "verify", "attention.ngd.norm.upper"]
    assert words[words.index("--json") + 1] == "elsewhere.json"  # no folders of this machine
    assert {"--examples", "--no-kept", "--report"} <= set(words)
    assert "--seed" not in words  # only what was asked for
    assert str(tmp_path) not in json.dumps(result["provenance"])
    assert run(["compare", str(outside), str(outside)]) == 0
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    [stored] = re.findall(r'id="result">(.*?)</script>', page, re.DOTALL)
    assert json.loads(stored) == result
    assert "Made false on purpose" in page
    # The commands on the page work.
    command = html.unescape(re.findall(r'<code class="reproduce">(ratecheck certify .*?)</code>', page)[0])
    assert run(shlex.split(command)[1:]) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_of_that_name", "does not import"),
        ("x = (", "does not import"),
        ("x = 1", "holds no theorem"),
        (
            GOOD.replace("eta *", "Symbol('etta') *").replace("import *", "import *\nfrom sympy import Symbol"),
            "'eta'",
        ),
        (GOOD.replace("mine.double", "attention.entropy"), "is taken"),
        (GOOD.replace('Rule("ngd")', 'Rule("sgd")'), "the rules are"),
        (GOOD.replace("Separable()", "Separable"), "with parentheses"),
    ],
)
def test_bad_theorem_files(text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--file", theorem_file(tmp_path, text)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "no-such-theorem"],
        ["verify", "--profile", "huge"],
        ["verify", "--steps", "0"],
        ["verify", "--examples", "-1"],
        ["verify", "--seed", "-1"],
        ["verify", "--data", "cats"],
        ["verify", "--power", "0"],
        ["compare", "no-such-file.json", "no-such-file.json"],
        ["verify", "--no-such-option"],
        ["replay", "no-such-file.json"],
        ["show", "N99"],
        ["list", "--file", "no-such-file.py"],
    ],
)
def test_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("ratecheck: error:")
    assert error.count("\n") == 1


def test_an_unwritable_report_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    arguments = ["verify", "F2", "--examples", "2", "--steps", "5", "--report", str(blocker / "report.html")]
    assert run(arguments) == 2
    assert "CONFIRMED" in capsys.readouterr().out
