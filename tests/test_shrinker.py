"""The shrinker: small, certified, deterministic; and what is minimal stays as it is."""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import sympy as sp
from rich.console import Console
from sympy import exp

from bounds import (
    ATTENTION,
    JOINT,
    Assumption,
    B,
    Conjecture,
    EqualScores,
    N,
    PositiveCoefficients,
    Rule,
    Separable,
    T,
    Theorem,
    ZeroInit,
    alignment,
    alignment_0,
    attended_error,
    d,
    direction_gap,
    eta,
    gamma,
    grad_norm,
    leak_min,
    loss_gap,
    n,
    norm,
    norm_0,
    s_min,
    step_length_max,
    t,
    token_radius,
)
from models.attention import Geometry
from models.dataset import TokenDataset
from models.instance import Instance, Run
from models.joint_instance import JointInstance, JointRun
from properties import shrinker
from properties.certify import Finding, examine, refute_limit
from properties.conviction import consider
from properties.limits import limit_counterexample
from properties.shrinker import Budget, shrink, size
from properties.simpler import PASSES, Draft, digits, significant
from properties.systems import tools
from properties.trial import Profile, hold_trial
from properties.verdict import Counterexample, PointwiseEvidence, Verdict
from ratecheck.terminal import print_verdicts
from reports.summary import theorem_result
from tests.test_limits import claim, trap_data

PC = [Separable(), PositiveCoefficients()]


def theorem(id: str, assumes: Sequence[Assumption], relation: sp.Basic, **more: sp.Basic) -> Theorem:
    return Theorem(f"false.{id}", "planted", ATTENTION, assumes, relation, Conjecture(source="planted"), **more)


#: Claims that one pair, with tokens 1 and 0 or −1, is enough to break.
ONE_PAIR = [
    theorem("f2", PC, grad_norm >= 2 * gamma * s_min * loss_gap),
    theorem("n1", [*PC, Rule("ngd")], alignment >= alignment_0 + 2 * eta * t * gamma / B),
    theorem("f5", [], leak_min >= (T - 1) / (exp(B * norm / 2) + T - 1)),
    theorem("n6", [Rule("ngd")], leak_min >= (T - 1) / (exp(B * (norm_0 + eta * t) / 4) + T - 1)),
    theorem("onset", [*PC, Rule("ngd")], step_length_max <= eta / 2),
    theorem("polyak", [Rule("polyak")], norm <= norm_0, domain=t >= 3),
]


def random_instance(assumes: Sequence[Assumption], seed: int, steps: int = 60) -> Instance:
    """Data of the shape 3 × 3 × 4 with numbers of 53 bits."""
    random = np.random.default_rng(seed)
    rule = next((a.rule for a in assumes if isinstance(a, Rule)), "ngd")
    X, u = random.standard_normal((3, 3, 4)), random.standard_normal(4)
    labels = [1, -1, 1]
    if any(isinstance(a, EqualScores) for a in assumes):
        u, labels = np.array([1.0, 0.0, 0.0, 0.0]), [1, 1, 1]
        X[:, :, 0] = -1.0
        X[:, 0, 0] = 1.0
    W_0 = None if any(isinstance(a, ZeroInit) for a in assumes) else random.standard_normal((4, 4))
    sizes = {"zeta": 1.3} if rule == "polyak" else {"eta": 0.37}
    run = Run(rule, "exponential" if seed % 2 else "logistic", steps, W_0=W_0, **sizes)
    return Instance(TokenDataset(X, labels, u), run)


def broken(theorem: Theorem, steps: int = 400) -> Counterexample:
    """A certified counterexample among random data."""
    for seed in range(60):
        body = PointwiseEvidence(theorem)
        instance = random_instance(theorem.assumes, seed, steps)
        consider(body, tools(theorem.system).measure(instance, Geometry(instance.dataset), steps), "test")
        if body.counterexample is not None:
            return body.counterexample
    raise AssertionError(f"{theorem.id} is not broken by any of the data")


def certified(found: Counterexample) -> str:
    geometry = tools(found.theorem.system).geometry(found.instance)
    return examine(found.theorem, found.instance, geometry, [found.step], found.onset)[0].outcome


@pytest.mark.parametrize("theorem", ONE_PAIR, ids=lambda x: x.id)
def test_falsehoods_shrink_to_one_pair(theorem: Theorem) -> None:
    start = broken(theorem)
    found = shrink(start)
    dataset = found.instance.dataset
    assert size(found) < size(start)
    assert dataset.X.shape == (1, 2, 1)
    assert set(np.abs(dataset.X).ravel()) | set(np.abs(dataset.u)) <= {0.0, 1.0}
    assert found.instance.run.step_size == 1.0
    assert found.instance.run.loss == "logistic"
    assert found.step <= 3
    assert found.instance.run.steps == found.step
    assert certified(found) == "violated"


@pytest.mark.parametrize(
    ("relation", "shape"), [(n <= 1, (2, 2, 1)), (T <= 2, (1, 3, 1)), (d <= 1, (1, 2, 2)), (N <= 3, None)]
)
def test_only_what_is_not_needed_is_dropped(relation: sp.Basic, shape: tuple[int, ...] | None) -> None:
    found = shrink(broken(theorem("shape", [], relation), 5))
    assert found.step == 0
    assert found.instance.run.W_0 is None
    if shape is None:
        assert found.instance.dataset.N == 4
        assert found.instance.dataset.d == 1
    else:
        assert found.instance.dataset.X.shape == shape


@pytest.mark.parametrize("rule", ["ngd", "gd"])
def test_a_claim_about_later_steps_keeps_its_first_step(rule: str) -> None:
    assumes = [Separable(), EqualScores(), ZeroInit(), Rule(rule)]
    late = theorem("late", assumes, direction_gap <= 1 / t**3, domain=t >= 7)
    found = shrink(broken(late))
    assert found.step == 7
    assert found.instance.dataset.X.size == 6
    assert set(np.abs(found.instance.dataset.X).ravel()) <= {0.0, 1.0}


def test_a_late_step_that_takes_many_bits_shrinks_too() -> None:
    assumes = [Separable(), EqualScores(), ZeroInit(), Rule("ngd")]
    late = theorem("late", assumes, direction_gap <= 1 / t**3, domain=t >= 600)
    start = broken(late, 700)
    found = shrink(start)
    assert start.precision > 128
    assert (found.step, found.instance.dataset.X.size) == (600, 6)


def test_a_joint_counterexample_shrinks() -> None:
    false = Theorem(
        "false.joint", "planted", JOINT, [], attended_error <= token_radius / 4, Conjecture(source="planted")
    )
    random = np.random.default_rng(0)
    dataset = TokenDataset(random.standard_normal((3, 3, 4)), [1, -1, 1], random.standard_normal(4))
    start = random.uniform(0.5, 1.0, 9)
    run = JointRun("exponential", 20, 0.37, 0.53, start=3, alpha_0=random.standard_normal(6), beta_0=start)
    body = PointwiseEvidence(false)
    instance = JointInstance(dataset, run)
    system = tools(JOINT)
    consider(body, system.measure(instance, system.geometry(instance), 20), "test")
    assert body.counterexample is not None
    found = shrink(body.counterexample)
    assert found.instance.dataset.X.shape == (1, 2, 1)
    shrunk: Any = found.instance.run
    assert (found.step, shrunk.start, shrunk.alpha_0) == (0, 0, None)
    assert (shrunk.eta_W, shrunk.eta_u) == (1.0, 1.0)
    assert certified(found) == "violated"


@pytest.mark.parametrize(("name", "tokens"), [("A", 12), ("B", 12), ("C", 16)])
def test_traps_shrink_and_stay_traps(name: str, tokens: int) -> None:
    instance = Instance(trap_data(name), Run("ngd", "exponential", 5, eta=0.3))
    start = limit_counterexample(claim(), refute_limit(claim(), instance, Geometry(instance.dataset)))
    found = shrink(start)
    assert size(found) < size(start)
    assert found.instance.dataset.X.size == tokens
    assert found.instance.run.loss == "logistic"
    assert refute_limit(claim(), found.instance, Geometry(found.instance.dataset)).outcome == "violated"


def test_the_same_counterexample_twice_and_a_minimal_one_stays() -> None:
    start = broken(ONE_PAIR[2])
    first, second = shrink(start), shrink(start)
    assert first.instance.id == second.instance.id
    assert (first.step, first.small, first.large) == (second.step, second.small, second.large)
    assert shrink(first) is first


def test_every_accepted_step_is_certified_and_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    accepted: list[Counterexample] = []
    take = shrinker._Search._take

    def watched(self: shrinker._Search, found: Counterexample) -> bool:
        taken = take(self, found)
        if taken:
            accepted.append(found)
        return taken

    monkeypatch.setattr(shrinker._Search, "_take", watched)
    monkeypatch.setattr(shrinker, "PASSES", PASSES[1:])  # without the jump to a tiny dataset
    start = broken(ONE_PAIR[0])
    found = shrink(start)
    assert found.instance.dataset.X.shape == (1, 2, 1)
    assert len(accepted) > 5
    assert {certified(one) for one in accepted} == {"violated"}
    sizes = [size(start), *map(size, accepted)]
    assert sizes == sorted(sizes, reverse=True)


def test_nothing_is_accepted_that_balls_do_not_certify(monkeypatch: pytest.MonkeyPatch) -> None:
    def undecided(theorem: Theorem, instance: Instance, *_: object, **__: object) -> list[Finding]:
        return [Finding("undecided", 0, 128, "", "", instance)]

    start = broken(ONE_PAIR[0])
    monkeypatch.setattr(shrinker, "examine", undecided)
    assert shrink(start) is start


@pytest.mark.parametrize("budget", [Budget(certifications=0), Budget(candidates=3), Budget(work=1)])
def test_a_spent_budget_returns_what_there_is(budget: Budget) -> None:
    start = broken(ONE_PAIR[0])
    assert certified(shrink(start, budget)) == "violated"
    assert shrink(start, Budget(certifications=0)) is start


def test_large_data_are_shrunk_within_the_budget() -> None:
    """120 sequences of 9 tokens: what is small is tried first, and nothing that the budget does not cover."""
    random = np.random.default_rng(0)
    X = random.standard_normal((120, 9, 6))
    dataset = TokenDataset(X, np.ones(120), random.standard_normal(6))
    false = theorem("large", [], norm <= norm_0 + 10)
    start = Counterexample(
        false, Instance(dataset, Run("ngd", "exponential", 300, eta=0.25)), 300, None, 128, "", ""
    )
    started = time.process_time()
    found = shrink(start)
    assert time.process_time() - started < 10
    assert found.instance.dataset.X.size <= 6
    assert certified(found) == "violated"


def test_digits_order_numbers_by_plainness() -> None:
    assert [digits(x) for x in (0.0, 1.0, -1.0, 2.0, 0.5, 3.0, 0.75)] == [0, 1, 2, 2, 2, 2, 4]
    assert digits(math.pi) > 50
    assert significant(0.3, 2) == 0.25


def test_a_draft_is_the_instance_it_was_made_of() -> None:
    instance = random_instance([], 1)
    assert Draft.of(instance).instance().id == instance.id


def test_the_worst_counterexample_is_certified_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    false = ONE_PAIR[1]
    body = PointwiseEvidence(false)
    hold_trial({false.id: body}, Profile(12, 60), seed=0)
    smallest, worst = body.counterexample, body.worst_counterexample
    assert smallest is not None
    assert worst is not None
    assert certified(worst) == "violated"
    assert size(smallest) < size(worst)
    verdict = Verdict(body)
    told = theorem_result(verdict, counterexample=None, reproduce=None)["measured"]["worst_counterexample"]
    assert told["step"] == worst.step
    assert Instance.from_json(told["instance"]).id == worst.instance.id
    print_verdicts(Console(width=200), [verdict], {})
    assert f"worst of the trial, certified: step {worst.step} " in capsys.readouterr().out
