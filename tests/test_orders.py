"""Order claims: wrong exponents come out as evidence against, right ones do not; logarithms never convict."""

from functools import lru_cache, partial

import numpy as np
import pytest
import sympy as sp
from sympy import Rational, log

from bounds import (
    ATTENTION,
    Conjecture,
    EqualScores,
    InvalidClaim,
    Order,
    Rule,
    Separable,
    Theorem,
    ZeroInit,
    direction_gap,
    leak_max,
    loss_gap,
    norm,
    t,
)
from models.attention import Geometry, train
from models.dataset import TokenDataset
from models.instance import Instance, Run
from models.random_data import gaussian_dataset
from properties.attention import natural_step
from properties.comparison import method_run
from properties.observables import Measurement
from properties.orders import OrderEvidence, slowest_runs
from properties.verdict import Verdict
from properties.windows import WINDOWS, last_windows, straight_line

STEPS, DENSE = 2**14, 512
SEEDS, DATASETS = range(20), 3


@lru_cache(maxsize=512)
def measured(seed: int, k: int, method: str, steps: int) -> Measurement:
    """The k-th generic dataset of a seed: T = 2 makes scores equal, d ≥ n makes them separable."""
    dataset = gaussian_dataset(np.random.default_rng([seed, k]), 3, 2, 4)
    geometry = Geometry(dataset)
    # GD with a step that is long for what is proved about it, so that attention saturates within the test's time.
    run = Run("gd", "logistic", steps, eta=32 * natural_step("gd", dataset)) if method == "gd" else None
    instance = Instance(dataset, run or method_run(method, dataset, "logistic", steps))
    return Measurement(instance, geometry, train(instance, geometry, DENSE))


def claim(quantity: sp.Expr, rate: sp.Expr, method: str, growth: str = "O") -> Theorem:
    return Theorem(
        "planted.order",
        "planted",
        ATTENTION,
        [Separable(), EqualScores(), ZeroInit(), Rule(method)],
        Order(quantity, rate, growth),  # type: ignore[arg-type]
        Conjecture(source="planted"),
    )


def verdict_on(theorem: Theorem, seed: int) -> Verdict:
    [rule] = [a.rule for a in theorem.assumes if isinstance(a, Rule)]
    body = OrderEvidence(theorem)
    for k in range(DATASETS):
        body.add(measured(seed, k, rule, STEPS), "generic", partial(measured, seed, k, rule))
    return Verdict(body)


FALSE = [
    claim(direction_gap, t ** Rational(-5, 2), "ngd"),
    claim(loss_gap, t**-2, "gd"),
    claim(norm, t ** Rational(1, 2), "ngd"),
    claim(norm, t ** Rational(3, 2), "ngd", "Theta"),
    claim(-log(leak_max), t ** Rational(3, 2), "ngd", "Omega"),
]
RIGHT = [
    claim(direction_gap, t**-2, "ngd"),
    claim(direction_gap, log(t) / t, "ngd"),
    claim(loss_gap, 1 / t, "gd"),
    claim(norm, t, "ngd", "Theta"),
    claim(norm, log(t), "gd", "Theta"),
    claim(direction_gap, log(log(t)) / log(t), "gd"),
    claim(-log(leak_max), t, "ngd", "Theta"),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("theorem", FALSE, ids=lambda x: str(x.claim))
def test_orders_off_by_half_a_power_meet_evidence_against(theorem: Theorem, seed: int) -> None:
    verdict = verdict_on(theorem, seed)
    assert verdict.name == "evidence against"
    assert "falsified" not in verdict.sentence
    assert "proved" not in verdict.sentence


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("theorem", RIGHT, ids=lambda x: str(x.claim))
def test_right_orders_do_not(theorem: Theorem, seed: int) -> None:
    assert verdict_on(theorem, seed).name == "consistent"


def test_a_logarithm_never_convicts() -> None:
    theorem = claim(norm, t / log(t) ** 2, "ngd")
    assert verdict_on(theorem, 0).name != "evidence against"


def test_a_logarithmic_rate_is_left_open_unless_a_power_of_t_breaks_it() -> None:
    """The gap falls like (log t)^{-2} or so: O((log t)^{-3}) stays open; that NGD's norm is O(log t) does not."""
    assert verdict_on(claim(direction_gap, log(t) ** -3, "gd"), 0).name in ("inconclusive", "consistent")
    assert verdict_on(claim(norm, log(t), "ngd"), 0).name == "evidence against"


def test_the_measured_exponent_stands_beside_the_claimed_one() -> None:
    body = verdict_on(RIGHT[0], 0).evidence
    assert isinstance(body, OrderEvidence)
    [run] = slowest_runs(body.runs)
    assert run.source == "generic"
    assert run.exponent.low <= run.exponent.slope <= run.exponent.high
    assert run.exponent.slope == pytest.approx(-2.0, abs=0.1)
    details = body.details()
    assert details["claimed_exponent"] == pytest.approx(-2.0, abs=0.05)
    assert "−2.0" in body.sentence


def test_a_run_that_has_not_left_its_start_says_nothing() -> None:
    """With a margin of 1e-6 GD's loss has not moved yet: that is no evidence against O(1/t)."""
    tiny = TokenDataset([[[1.0, 0.0], [1.0 - 2.0**-20, 1.0], [1.0 - 2.0**-20, -1.0]]], [1], [1.0, 0.0])
    geometry = Geometry(tiny)
    assert geometry.max_margin is not None

    def run(steps: int) -> Measurement:
        instance = Instance(tiny, method_run("gd", tiny, "logistic", steps))
        return Measurement(instance, geometry, train(instance, geometry, DENSE))

    body = OrderEvidence(claim(loss_gap, 1 / t, "gd"))
    body.add(run(STEPS), "tiny", run)
    assert body.verdict != "evidence against"
    assert body.outcomes["too early to tell"] == 1


def test_windows_are_the_last_complete_ones() -> None:
    steps = np.arange(2**10)
    windows = last_windows(steps, steps.astype(float), np.ones(steps.size, dtype=bool), largest=True)
    assert windows is not None
    assert windows.values.tolist() == [2.0**k - 1 for k in range(10 - WINDOWS + 1, 11)]
    hidden = np.ones(steps.size, dtype=bool)
    hidden[900] = False
    assert last_windows(steps, steps.astype(float), hidden, largest=True) is None
    assert last_windows(steps[:200], steps[:200].astype(float), hidden[:200], largest=True) is None


def test_straight_line_recovers_slope_and_interval() -> None:
    x = np.linspace(0.0, 3.0, 7)
    exact = straight_line(x, 2.0 * x + 1.0)
    assert exact.slope == pytest.approx(2.0)
    assert exact.high - exact.low < 1e-12
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        fit = straight_line(x, 2.0 * x + rng.normal(size=x.size))
        hits += fit.low <= 2.0 <= fit.high
    assert hits == pytest.approx(380, abs=16)  # a 95 % interval


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: claim(direction_gap, norm, "ngd"), "must depend on t"),
        (lambda: claim(t, 1 / t, "ngd"), "no measured observable"),
        (lambda: claim(direction_gap, 1 / t, "ngd", "o"), "use O, Omega or Theta"),
        (lambda: claim(direction_gap, sp.Symbol("t") ** -1, "ngd"), "not the observable"),
    ],
)
def test_orders_that_cannot_be_stated(make: object, words: str) -> None:
    with pytest.raises(InvalidClaim, match=words):
        make()  # type: ignore[operator]
