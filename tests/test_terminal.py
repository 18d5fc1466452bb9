"""Verdicts in a terminal: trends in a few characters, and a table that fits."""

import io

import numpy as np
import pytest
from rich.console import Console

from bounds.catalogue import THEOREMS
from properties.evidence import evidence_for
from properties.trial import Profile, hold_trial
from properties.verdict import Verdict
from ratecheck.sparkline import sparkline, trend
from ratecheck.terminal import verdict_table

IDS = (
    "attention.ngd.norm.upper",
    "attention.ngd.direction",
    "attention.ngd.order.norm",
    "attention.any-scores.ngd.limit",
    "data.feasibility",
)


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    evidence = {theorem.id: evidence_for(theorem) for theorem in THEOREMS if theorem.id in IDS}
    hold_trial(evidence, Profile(4, 60, 4, 1024), seed=0)
    return [Verdict(body) for body in evidence.values()]


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([], ""),
        ([np.nan, -np.inf], ""),
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([-1, -2], "█▁"),
        ([0, np.nan, 1], "▁ █"),
        ([0, 1e-9, 0], "▄▄▄"),  # rounding errors are no trend
    ],
)
def test_sparklines(values: list[float], bars: str) -> None:
    assert sparkline(np.array(values, dtype=np.float64)) == bars


def test_trends_of_each_kind(verdicts: list[Verdict]) -> None:
    trends = {verdict.theorem.id: trend(verdict.evidence) for verdict in verdicts}
    assert len(trends["attention.ngd.direction"]) == 8
    assert len(trends["attention.ngd.order.norm"]) == 7  # dyadic windows
    distances = trends["attention.any-scores.ngd.limit"]
    assert (distances[0], distances[-1]) == ("█", "▁")  # the farthest run comes nearer
    assert trends["data.feasibility"] == ""


def test_of_nothing_there_is_no_trend() -> None:
    for theorem in THEOREMS:
        assert trend(evidence_for(theorem)) == ""


@pytest.mark.parametrize("width", [148, 110, 90])
def test_a_narrow_table_leaves_out_columns_and_cuts_no_word(width: int, verdicts: list[Verdict]) -> None:
    console = Console(file=io.StringIO(), width=width)
    table = verdict_table(verdicts, console)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert "…" not in printed
    assert all(verdict.theorem.id in printed and verdict.name.upper() in printed for verdict in verdicts)
    assert ("informative" in printed) == (width == 148)
    assert ("over steps" in printed) == (width > 90)
