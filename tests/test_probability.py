"""Probability and comparison claims: exact intervals, wrong claims caught, true ones left alone."""

import numpy as np
import pytest
from flint import arb
from scipy.stats import binom
from sympy import Max, Rational

from bounds import (
    ATTENTION,
    DATA,
    Conjecture,
    EqualScores,
    InvalidClaim,
    Likely,
    Separable,
    Sooner,
    T,
    Theorem,
    ZeroInit,
    d,
    direction_gap,
    feasible,
    leak_max,
    n,
)
from models.attention import Geometry
from models.random_data import extremes, gaussian_dataset
from properties.comparison import ComparisonEvidence, Runner
from properties.data import draws
from properties.evidence import evidence_for
from properties.probability import (
    CONFIDENCE,
    RESOLUTION,
    ProbabilityEvidence,
    decide,
    exact_interval,
    sample_size,
)
from properties.trial import Profile, hold_trial
from properties.verdict import Verdict

GUESS = Conjecture(source="planted")


def feasibility(at_least: Rational | int, domain: Rational | None = None) -> Theorem:
    return Theorem("planted.d1", "planted", DATA, [], Likely(feasible >= 1, at_least), GUESS, domain=domain)


def verdict_on(theorem: Theorem, seed: int = 0) -> Verdict:
    evidence = {theorem.id: evidence_for(theorem)}
    hold_trial(evidence, Profile(1, 1), seed)
    return Verdict(evidence[theorem.id])


def test_the_interval_is_clopper_and_pearsons() -> None:
    low, high = exact_interval(7, 50)
    alpha = (1 - CONFIDENCE) / 2
    assert binom.sf(6, 50, low) == pytest.approx(alpha, rel=1e-6)
    assert binom.cdf(7, 50, high) == pytest.approx(alpha, rel=1e-6)


def test_the_sample_is_just_large_enough() -> None:
    size = sample_size()
    assert exact_interval(size, size)[0] >= 1 - RESOLUTION
    assert exact_interval(size - 1, size - 1)[0] < 1 - RESOLUTION


def test_feasibility_holds_from_its_threshold_on() -> None:
    assert verdict_on(feasibility(1, d >= Max(T - 1, n))).name == "consistent"


def test_a_probability_that_is_too_high_meets_evidence_against() -> None:
    """Below the threshold some data are inseparable, so "almost surely, whatever d" is wrong."""
    body = ProbabilityEvidence(feasibility(Rational(99, 100)))
    for values, source, place in draws(body.theorem, 300, seed=1):
        body.add(values, source, place)
    assert body.verdict == "evidence against"
    below = [tally for place, tally in body.around.items() if place < 0]
    assert sum(tally.occurred for tally in below) < sum(tally.total for tally in below)


def test_too_few_draws_leave_it_open() -> None:
    body = ProbabilityEvidence(feasibility(1, d >= Max(T - 1, n)))
    for values, source, place in draws(body.theorem, 20, seed=2):
        body.add(values, source, place)
    assert body.verdict == "inconclusive"


def test_an_undecided_event_is_on_the_safe_side() -> None:
    body = ProbabilityEvidence(feasibility(Rational(1, 2)))
    body.add({"feasible": arb(1, 0.5)}, "blurred")
    assert decide(feasible >= 1, {"feasible": arb(1, 0.5)}) is None
    assert body.outcomes["undecided"] == 1
    assert body.tallies[0.5].occurred == 0


def test_extremes_against_a_plain_loop() -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 9))
    largest, smallest, error = extremes(vectors)
    products = [abs(float(a @ b)) for i, a in enumerate(vectors) for b in vectors[:i]]
    assert largest == pytest.approx(max(products), abs=error)
    assert smallest == pytest.approx(min(float(a @ a) for a in vectors), abs=error)


@pytest.mark.parametrize("probability", [2, -1, Rational(3, 2)])
def test_probabilities_are_probabilities(probability: int) -> None:
    with pytest.raises(InvalidClaim, match="no probability"):
        feasibility(probability)


# -------------------------------------------------------------------------------------------- comparisons
def comparison(first: str, second: str) -> Theorem:
    event = leak_max <= Rational(1, 20)
    assumes = [Separable(), EqualScores(), ZeroInit()]
    return Theorem("planted.sooner", "planted", ATTENTION, assumes, Sooner(event, first, second), GUESS)


def compared(theorem: Theorem) -> ComparisonEvidence:
    body = ComparisonEvidence(theorem)
    for seed in range(12):
        dataset = gaussian_dataset(np.random.default_rng(seed), 3, 2, 4)
        body.add(Runner(dataset, Geometry(dataset), "logistic", 4096), "generic")
    return body


def test_normalised_gd_is_sooner_than_gd_and_not_the_other_way_round() -> None:
    assert compared(comparison("ngd", "gd")).verdict == "consistent"
    reverse = compared(comparison("gd", "ngd"))
    assert reverse.verdict == "evidence against"
    assert "falsified" not in reverse.sentence


def test_runs_that_end_too_early_are_counted_as_such() -> None:
    body = compared(comparison("ngd", "gd"))
    censored = [pair for pair in body.pairs if pair.second is None]
    assert all(pair.first is not None for pair in censored)
    assert body.median_ratio is not None
    assert body.median_ratio > 1


def test_hitting_times_are_those_of_the_trajectory() -> None:
    dataset = gaussian_dataset(np.random.default_rng(0), 3, 2, 4)
    runner = Runner(dataset, Geometry(dataset), "logistic", 512)
    body = ComparisonEvidence(comparison("ngd", "polyak"))
    body.add(runner, "generic")
    leak = runner.measurement("ngd").trajectory.column("log_leak_max")
    assert body.pairs[0].first == int(np.flatnonzero(leak <= np.log(1 / 20))[0])


@pytest.mark.parametrize(("first", "second", "words"), [("ngd", "sgd", "unknown method"), ("gd", "gd", "itself")])
def test_comparisons_that_cannot_be_stated(first: str, second: str, words: str) -> None:
    with pytest.raises(InvalidClaim, match=words):
        Theorem("x", "x", ATTENTION, [], Sooner(direction_gap <= Rational(1, 9), first, second), GUESS)
