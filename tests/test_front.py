"""The front page: every row says what its evidence says, and numbers sort as they should."""

from collections import Counter

import pytest

from bounds.catalogue import THEOREMS
from properties.evidence import evidence_for
from properties.orders import OrderEvidence
from properties.power import Power, PowerUnit, measure_power
from properties.trial import Profile, hold_trial
from properties.verdict import PointwiseEvidence, Verdict
from reports.front import Cell, Front, Row, _rounded
from reports.page import VERDICTS
from reports.power import power_summary, power_tables
from reports.summary import as_json

IDS = (
    "attention.gradient-domination",
    "attention.ngd.norm.upper",
    "attention.apriori.monotone",
    "attention.ngd.order.norm",
    "attention.gd.order.norm",
    "attention.any-scores.ngd.limit",
    "data.feasibility",
)


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    evidence = {theorem.id: evidence_for(theorem) for theorem in THEOREMS if theorem.id in IDS}
    hold_trial(evidence, Profile(4, 60, 4, 1024), seed=0)
    return [Verdict(body) for body in evidence.values()]


@pytest.fixture(scope="module")
def power() -> Power:
    theorem = next(theorem for theorem in THEOREMS if theorem.id == "attention.ngd.norm.upper")
    return measure_power(PowerUnit(theorem, Profile(3, 60), 0))


@pytest.fixture(scope="module")
def front(verdicts: list[Verdict], power: Power) -> Front:
    return Front.of(verdicts, [], {power.theorem.id: power}, profile="quick", seed=7, source="random data.")


def test_every_verdict_is_counted_and_has_a_row_in_its_place(front: Front, verdicts: list[Verdict]) -> None:
    rows = [row for _, group in front.groups for row in group]
    assert [row.id for row in rows] == [verdict.theorem.id for verdict in verdicts]
    seen = Counter(verdict.name for verdict in verdicts)
    assert {mark.name: number for mark, number in front.counts} == seen
    assert [mark.order for mark, _ in front.counts] == sorted(list(VERDICTS).index(name) for name in seen)


def test_the_scope_adds_up(front: Front, verdicts: list[Verdict]) -> None:
    assert front.lead.startswith(f"{len(verdicts)} theorems ")
    assert f"{sum(verdict.evidence.applicable for verdict in verdicts):,} judgements" in front.scope
    assert front.scope.endswith("Data: random data. Profile quick, seed 7.")


def test_inequalities_have_a_ratio_and_orders_an_exponent(front: Front, verdicts: list[Verdict]) -> None:
    rows = {row.id: row for _, group in front.groups for row in group}
    for verdict in verdicts:
        row, evidence = rows[verdict.theorem.id], verdict.evidence
        if isinstance(evidence, PointwiseEvidence):
            assert evidence.worst is not None
            assert evidence.measured == f"ratio {row.ratio.text}"
            assert row.informative.value == evidence.informative_share
        else:
            assert row.ratio == row.informative == Cell("")
        if isinstance(evidence, OrderEvidence):
            assert evidence.typical is not None
            claimed, measured = evidence.typical.claimed.slope, evidence.typical.exponent.slope
            assert row.exponent.value == pytest.approx(measured - claimed)
            assert ("of log t" in row.exponent.text) == (evidence.clock == "log t")
        else:
            assert row.exponent == Cell("")


def test_ratios_sort_like_their_logarithms_also_where_they_underflow(verdicts: list[Verdict]) -> None:
    bodies = {v.theorem.id: v.evidence for v in verdicts if isinstance(v.evidence, PointwiseEvidence)}
    never, attained = (Row.of(Verdict(bodies[id])).ratio for id in ("attention.apriori.monotone", IDS[0]))
    assert never.value is not None
    assert attained.value is not None
    assert -1e6 <= never.value < attained.value <= 1e6


def test_nothing_counted_is_no_value() -> None:
    assert Cell.counted(0) == Cell("–")
    assert Cell.counted(1234) == Cell("1,234", 1234)


def test_only_names_with_a_choice_can_be_narrowed_to(front: Front, verdicts: list[Verdict]) -> None:
    assert front.choices["kind"] == list(dict.fromkeys(verdict.theorem.kind for verdict in verdicts))
    alone = Front.of(verdicts[:1], [], {}, profile="quick", seed=0, source="")
    assert alone.choices == {}
    assert alone.lead.startswith("1 theorem about convergence rates was ")


@pytest.mark.parametrize(
    ("number", "words"),
    [(999_999, "999,999"), (1_234_567, "1.2 million"), (43_210_000, "43 million"), (2_000_000_000, "2.0 billion")],
)
def test_large_counts_are_read_in_words(number: int, words: str) -> None:
    assert _rounded(number) == words


# ------------------------------------------------------------------------------------------------ power
def test_the_tables_of_mutants_add_up(power: Power) -> None:
    tables = power_tables(power)
    by_kind = tables[0]
    counted = sum(int(str(cell)) for row in by_kind.rows for cell in row[1:])
    assert counted == len(power.of_claim) - sum(trial.outcome == "never applicable" for trial in power.of_claim)
    hypotheses = tables[-1]
    assert [row[0] for row in hypotheses.rows] == [trial.hypothesis for trial in power.of_hypotheses]
    assert [row[0] for row in hypotheses.rows if row[1] == "needed"] == power.needed


def test_the_front_page_names_the_hypotheses_that_are_needed(front: Front, power: Power) -> None:
    rows = {row.id: row for _, group in front.groups for row in group}
    assert rows[power.theorem.id].needed == ", ".join(power.needed)
    assert all(row.needed == "" for id, row in rows.items() if id != power.theorem.id)


def test_the_summary_carries_power_only_where_it_was_measured(verdicts: list[Verdict], power: Power) -> None:
    data = as_json(
        verdicts, seed=0, versions={}, counterexamples={}, reproduce={}, powers={power.theorem.id: power}
    )
    entries = {entry["id"]: entry for entry in data["theorems"]}
    assert [id for id, entry in entries.items() if "power" in entry] == [power.theorem.id]
    summary = entries[power.theorem.id]["power"]
    assert summary == power_summary(power)
    assert summary["killed"] + summary["survived"] + summary["undecided"] <= summary["mutants"]
