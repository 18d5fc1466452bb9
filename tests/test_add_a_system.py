"""docs/add-a-system.md taken at its word: its files and its registration, in a copy of the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "add-a-system.md").read_text(encoding="utf-8")
ROOMS = ("bounds", "models", "properties", "reports", "ratecheck")


def blocks(language: str, mark: str) -> dict[str, str]:
    """Code blocks of a language by the path that their first line names after ``mark``."""
    found = re.findall(rf"^```{language}\n{mark} (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return dict(found)


def insert(source: str, change: str) -> str:
    """Every added line behind the line that stands before it."""
    lines = source.splitlines()
    place = 0
    for line in change.splitlines():
        if line.startswith("+"):
            lines.insert(place, line[1:])
        else:
            place = lines.index(line[1:])
        place += 1
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the rooms with the page's system."""
    copy = tmp_path_factory.mktemp("project")
    for room in ROOMS:
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in blocks("python", "#").items():
        (copy / path).write_text(text, encoding="utf-8")
    for path, change in blocks("diff", "---").items():
        target = copy / path
        target.write_text(insert(target.read_text(encoding="utf-8"), change), encoding="utf-8")
    return copy


def ratecheck(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from ratecheck.cli import main; main()", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_page_adds_three_files_and_two_registrations() -> None:
    files = blocks("python", "#")
    assert set(files) == {f"{room}/parabola.py" for room in ("bounds", "models", "properties")} | {"mine.py"}
    assert sum(len(text.splitlines()) for path, text in files.items() if path != "mine.py") <= 150
    assert set(blocks("diff", "---")) == {"bounds/catalogue.py", "properties/systems.py"}
    added = [line for text in blocks("diff", "---").values() for line in text.splitlines() if line.startswith("+")]
    assert len(added) == 4


def test_the_new_system_is_tried(project: Path) -> None:
    done = ratecheck(project, "verify", "parabola", "--examples", "12", "--steps", "60", "--json", "-")
    assert done.returncode == 0, done.stderr
    [entry] = json.loads(done.stdout)["theorems"]
    assert (entry["id"], entry["verdict"]) == ("parabola.rate", "confirmed")
    assert entry["certified"] == entry["applicable"] > 0


def test_a_false_claim_about_it_falls_and_replays(project: Path) -> None:
    arguments = ["verify", "--file", "mine.py", "--examples", "12", "--steps", "60", "--report", "page.html"]
    done = ratecheck(project, *arguments, "--json", "-")
    assert done.returncode == 1, done.stderr
    [entry] = json.loads(done.stdout)["theorems"]
    assert entry["verdict"] == "falsified"
    stored = json.loads((project / entry["counterexample"]).read_text(encoding="utf-8"))
    assert stored["step"] == 1
    assert stored["instance"]["dataset"] == {"X": [(1.0).hex()]}
    assert "parabola.squared" in (project / "page.html").read_text(encoding="utf-8")
    again = ratecheck(project, "replay", entry["counterexample"], "--file", "mine.py")
    assert again.returncode == 1
    assert "still violated, certified" in again.stdout
