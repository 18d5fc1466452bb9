"""A killed worker, an interrupt and a full disk: one clear line, and nothing is lost."""

import errno
import os
import signal
from pathlib import Path

import pytest

from properties.store import StoreError, write_atomically
from ratecheck import verify
from ratecheck.cli import run
from ratecheck.engine import in_processes


def fragile(unit: tuple[int, Path]) -> int:
    value, mark = unit
    if value == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def test_units_of_a_killed_worker_are_run_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ratecheck.engine.workers", lambda: 2)
    units = [(value, tmp_path / "mark") for value in range(6)]
    assert list(in_processes(fragile, units)) == list(range(6))


def test_an_interrupt_reports_what_was_judged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, "hold_trial", interrupted)
    assert run(["verify", "F2", "--examples", "2", "--steps", "5"]) == 130
    assert "Interrupted" in capsys.readouterr().out


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kept.json"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["kept.json"]
