"""Mutants claim more than their theorem, the trial convicts them, and what it cannot convict it says so."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from rich.console import Console

from bounds import (
    ATTENTION,
    B,
    Conjecture,
    PositiveCoefficients,
    Rule,
    Separable,
    Theorem,
    ZeroInit,
    alignment,
    alignment_0,
    eta,
    gamma,
    margin_min,
    norm,
    t,
)
from bounds.catalogue import THEOREMS
from bounds.mutants import CONSTANT, EXPONENT, HYPOTHESIS, IMPLIED, KINDS, REVERSED, SAME, SWAP, TRIVIAL, breed
from properties.power import KILLED, SURVIVED, PowerUnit, measure_power, search
from properties.trial import Profile
from ratecheck.cli import run
from ratecheck.command import Unusable
from ratecheck.power import run_power

SMALL = Profile(24, 200)
NGD = [Separable(), PositiveCoefficients(), Rule("ngd")]
POINTWISE = [theorem for theorem in THEOREMS if theorem.kind == "pointwise"]
NORM = next(theorem for theorem in THEOREMS if theorem.id == "attention.ngd.norm.lower")
QUIET = Console(quiet=True)


def planted(name: str, claim: object, **more: object) -> Theorem:
    return Theorem(name, name, ATTENTION, NGD, claim, Conjecture(source="planted"), **more)


# --------------------------------------------------------------------------------------------------- breeding
def test_mutants_of_a_growing_lower_bound() -> None:
    found = {(mutant.kind, str(mutant.theorem.claim)) for mutant in breed(NORM).mutants}
    assert (CONSTANT, "alignment_0 + 2*eta*gamma*t/B <= alignment") in found
    assert (CONSTANT, "alignment_0 + 100*eta*gamma*t/(99*B) <= alignment") in found
    assert (EXPONENT, "alignment_0 + eta*gamma*t**(3/2)/B <= alignment") in found
    assert (EXPONENT, "alignment_0 + eta*gamma*t**2/B <= alignment") in found
    assert (SWAP, "B*eta*t/gamma + alignment_0 <= alignment") in found
    assert (REVERSED, "alignment <= alignment_0 + eta*gamma*t/B") in found
    assert [mutant.dropped for mutant in breed(NORM).mutants if mutant.kind == HYPOTHESIS] == NGD[1:]


def test_mutants_of_an_upper_bound_grow_more_slowly() -> None:
    upper = next(theorem for theorem in THEOREMS if theorem.id == "attention.ngd.norm.upper")
    claims = {str(mutant.theorem.claim) for mutant in breed(upper).mutants if mutant.kind == EXPONENT}
    assert claims == {"norm <= eta*sqrt(t) + norm_0", "norm <= eta + norm_0"}


@pytest.mark.parametrize("theorem", POINTWISE, ids=lambda theorem: theorem.id)
def test_every_theorem_has_mutants_with_names_of_their_own(theorem: Theorem) -> None:
    mutants = breed(theorem).mutants
    assert mutants
    assert {mutant.kind for mutant in mutants} <= set(KINDS)
    prints = [theorem.fingerprint, *(mutant.theorem.fingerprint for mutant in mutants)]
    assert max(Counter(prints).values()) == 1
    assert max(Counter(mutant.theorem.id for mutant in mutants).values()) == 1
    assert REVERSED in {mutant.kind for mutant in mutants}


def test_breeding_is_the_same_every_time() -> None:
    assert [m.theorem.fingerprint for m in breed(NORM).mutants] == [
        m.theorem.fingerprint for m in breed(NORM).mutants
    ]


def test_what_says_nothing_new_is_counted() -> None:
    total: Counter[str] = Counter()
    for theorem in POINTWISE:
        total += breed(theorem).skipped
    assert set(total) == {SAME, TRIVIAL, IMPLIED}
    assert breed(NORM).skipped[IMPLIED] == 1  # γ is that of separable data


def test_other_kinds_have_no_mutants() -> None:
    order = next(theorem for theorem in THEOREMS if theorem.kind == "order")
    with pytest.raises(TypeError, match="has no two sides"):
        breed(order)


# ---------------------------------------------------------------------------------------------------- trials
def test_a_tight_claim_loses_all_its_mutants() -> None:
    power = measure_power(PowerUnit(NORM, SMALL, 0))
    assert power.original.verdict == "confirmed"
    assert power.share_killed == 1.0
    assert power.stands == "–"
    assert power.slack == pytest.approx(1.0, abs=1e-9)
    assert all(trial.counterexample is not None for trial in power.of_claim)


def test_hypotheses_that_are_needed_are_seen_to_be() -> None:
    outcomes = {
        trial.mutant.dropped: trial.outcome for trial in measure_power(PowerUnit(NORM, SMALL, 0)).of_hypotheses
    }
    assert outcomes == {PositiveCoefficients(): KILLED, Rule("ngd"): KILLED}


def test_a_hypothesis_that_is_not_needed_survives() -> None:
    theorem = Theorem(
        "planted.spare",
        "PC is not needed",
        ATTENTION,
        [Separable(), PositiveCoefficients(), ZeroInit()],
        margin_min <= gamma * norm,
        Conjecture(source="planted"),
        trivial=B * norm,
    )
    power = measure_power(PowerUnit(theorem, SMALL, 0))
    assert {trial.outcome for trial in power.of_hypotheses} == {SURVIVED}
    assert all(trial.applicable >= 4 * SMALL.examples for trial in power.of_hypotheses)


def test_slack_is_measured() -> None:
    half = planted("planted.half", alignment >= alignment_0 + eta * t * gamma / (2 * B), domain=t >= 1)
    power = measure_power(PowerUnit(half, SMALL, 0))
    constants = {trial.mutant.change: trial.outcome for trial in power.of_claim if trial.mutant.kind == CONSTANT}
    assert constants == {"bound × 2": SURVIVED, "bound × 10/9": SURVIVED, "bound × 100/99": SURVIVED}
    assert power.stands == "bound × 2"
    assert power.share_killed is not None
    assert 0 < power.share_killed < 1


def test_the_search_ends_with_the_first_conviction() -> None:
    false = planted("planted.false", norm <= 0)
    true = planted("planted.true", norm >= eta * t * gamma / B + alignment_0, domain=t >= 1)
    found = search([false, true], SMALL, seed=0)
    assert found[false.id].verdict == "falsified"
    assert found[false.id].applicable < SMALL.examples <= found[true.id].applicable
    assert found[true.id].verdict == "confirmed"


# -------------------------------------------------------------------------------------------------- the command
def test_the_command_writes_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["power", NORM.id, "--budget", "24", "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["schema"] == "ratecheck/power/1"
    [theorem] = result["theorems"]
    assert theorem["share_killed"] == 1.0
    assert {item["necessity"] for item in theorem["hypotheses"]} == {"needed"}
    assert all(item["counterexample"]["precision_bits"] >= 128 for item in theorem["hypotheses"])


def test_the_command_prints_both_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["power", NORM.id, "--budget", "24"]) == 0
    said = capsys.readouterr().out
    assert "7/7" in said
    assert "PositiveCoefficients" in said
    assert "needed" in said
    assert "7 of 7 changed claims convicted (100%); 1 mutants skipped" in said


@pytest.mark.parametrize(
    ("ids", "budget", "seed", "message"),
    [("data", 9, 0, "pointwise"), ("n1", 0, 0, "--budget 0"), ("n1", 9, -1, "--seed -1")],
)
def test_unusable_requests_are_refused(ids: str, budget: int, seed: int, message: str) -> None:
    chosen = [x for x in THEOREMS if x.id.startswith(ids) or x.label.lower() == ids]
    with pytest.raises(Unusable, match=message):
        run_power(chosen, budget, seed, QUIET)
