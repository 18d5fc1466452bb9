"""Attention with a trained prompt: against plain definitions, in both tiers, and on trial."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb, fmpq
from hypothesis import HealthCheck, Phase, given, seed, settings
from sympy import log

from bounds import (
    PROMPT,
    Assumption,
    B,
    Conjecture,
    EqualScores,
    Rule,
    Separable,
    T,
    Theorem,
    ZeroInit,
    alignment,
    alignment_0,
    direction_gap,
    eta,
    gamma,
    norm,
    norm_0,
    t,
)
from bounds.attention_ngd import ngd_direction_bound
from bounds.prompt import THEOREMS
from models.attention import Geometry
from models.dataset import Array, InvalidDataset
from models.dyadic import nearest_float
from models.instance import InvalidRun
from models.prompt import PromptDataset, PromptInstance, PromptRun, prompt_at, restarted_prompt
from properties.certify import Finding, examine, refute_limit
from properties.evidence import evidence_for
from properties.hypotheses import failing
from properties.judge import VIOLATED, judge
from properties.observables import MEASURED, Undefined
from properties.plain import PlainFamily
from properties.power import search
from properties.prompt import PromptSetting
from properties.prompt_tokens import DECOY, OPPOSED
from properties.shrinker import shrink
from properties.store import load, rejudge, save
from properties.systems import tools
from properties.trial import Profile, hold_trial

BY_ID = {theorem.id: theorem for theorem in THEOREMS}
TOOLS = tools(PROMPT)
#: Two sequences of three tokens in three dimensions, keys of two, and neither W nor its inverse nice.
X = np.array([[[1, 0.5, 2], [0, 1, -1], [0, -0.3, 0.1]], [[-1, 1, 2], [0.5, -0.3, -1], [-0.25, 0.4, 1]]])
W = np.array([[0.1, 1.3], [0.2, -0.7], [1.0, 0.2]])
DATA: Any = PromptDataset(X, np.array([1.0, -1.0]), np.array([2.0, 0.0, 0.5]), W)
FAR = np.array([0.5, -0.25])
QUICK = settings(
    max_examples=12,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


def instance(
    rule: str = "ngd", loss: str = "logistic", p_0: Array | None = None, steps: int = 12
) -> PromptInstance:
    return PromptInstance(DATA, PromptRun(steps, rule, loss, 0.75, p_0))


def refuted(theorem: Theorem, given_: Any) -> Finding:
    """The trap lemmas on an instance."""
    return refute_limit(theorem, given_, TOOLS.geometry(given_))


def one_sequence(scores: list[float], keys: list[float], p_0: float | None) -> PromptInstance:
    """One sequence of tokens (score, key), and normalised GD in R¹."""
    data = PromptDataset(
        np.array([[*zip(scores, keys, strict=True)]]), np.ones(1), np.eye(2)[0], np.array([[0.0], [1.0]])
    )
    return PromptInstance(data, PromptRun(0, "ngd", "logistic", 1.0, None if p_0 is None else np.array([p_0])))


# --------------------------------------------------------------------------------- against plain definitions
def features() -> list[list[Fraction]]:
    """φ_it = Wᵀ(x_{i,o} − x_it) in fractions, pair by pair."""
    exact: list[list[Fraction]] = [[Fraction(w) for w in row] for row in W.T.tolist()]
    rows = []
    for i, tokens in enumerate(X.tolist()):
        scores = [DATA.y[i] * (2.0 * x[0] + 0.5 * x[2]) for x in tokens]
        best = scores.index(max(scores))
        for k, token in enumerate(tokens):
            if k != best:
                delta = [Fraction(a) - Fraction(b) for a, b in zip(tokens[best], token, strict=True)]
                rows.append([sum((a * b for a, b in zip(w, delta, strict=True)), Fraction(0)) for w in exact])
    return rows


def dot(a: list[Fraction], b: list[Fraction]) -> fmpq:
    value = sum((p * q for p, q in zip(a, b, strict=True)), Fraction(0))
    return fmpq(value.numerator, value.denominator)


def test_the_gram_matrix_and_the_margins_are_those_of_the_features() -> None:
    found, rows = Geometry(DATA).features, features()
    assert found.exact_gram.rationals() == [[dot(a, b) for b in rows] for a in rows]
    prompt = [Fraction(x) for x in FAR.tolist()]
    assert found.exact_margins(FAR[:, None]) == [dot(row, prompt) for row in rows]
    weights = np.array([1.0, -2.0, 0.5, 3.0])
    expected = weights @ np.array(rows, dtype=np.float64)
    assert found.combine(weights)[:, 0] == pytest.approx(expected, rel=1e-14)


def test_the_max_margin_prompt_is_that_of_a_quadratic_program() -> None:
    import cvxpy

    cp: Any = cvxpy  # typed only in part
    p = cp.Variable(2)
    rows = np.array(features(), dtype=np.float64)
    cp.Problem(cp.Minimize(cp.sum_squares(p)), [rows @ p >= 1]).solve(solver=cp.CLARABEL)
    geometry = Geometry(DATA)
    assert geometry.max_margin is not None
    solution = geometry.features.combine(geometry.max_margin.direction)[:, 0] / geometry.max_margin.gamma
    assert solution == pytest.approx(np.asarray(p.value), rel=1e-6)


@pytest.mark.parametrize("rule", ["ngd", "gd"])
@pytest.mark.parametrize("loss", ["logistic", "exponential"])
@pytest.mark.parametrize("p_0", [None, FAR], ids=["zero", "elsewhere"])
def test_training_is_gradient_descent_on_the_model_as_it_is_written(
    rule: str, loss: str, p_0: Array | None
) -> None:
    import torch

    tokens, labels, head, matrix = (torch.tensor(a.copy()) for a in (X, DATA.y, DATA.u, W))
    p = torch.zeros(2, dtype=torch.float64) if p_0 is None else torch.tensor(p_0.copy())
    given_ = instance(rule, loss, p_0)
    geometry = TOOLS.geometry(given_)
    measured = TOOLS.measure(given_, geometry, 100)
    best = torch.tensor([nearest_float(max(row)) for row in DATA.exact_scores], dtype=torch.float64)

    def value(f: Any) -> Any:
        return (torch.log1p(torch.exp(-f)) if loss == "logistic" else torch.exp(-f)).mean()

    for step in range(given_.run.steps + 1):
        assert prompt_at(given_, step, geometry) == pytest.approx(p.numpy(), rel=1e-9, abs=1e-12)
        p.requires_grad_(True)
        attention = torch.softmax(tokens @ matrix @ p, dim=1)
        objective = value(labels * ((tokens @ head) * attention).sum(dim=1))
        [gradient] = torch.autograd.grad(objective, p)
        p = p.detach()
        assert measured["loss_gap"].floats()[step] == pytest.approx(
            float((objective - value(best)).detach()), rel=1e-8
        )
        assert measured["grad_norm"].floats()[step] == pytest.approx(float(gradient.norm()), rel=1e-9)
        assert measured["norm"].floats()[step] == pytest.approx(float(p.norm()), rel=1e-9, abs=1e-15)
        p = p - 0.75 * (gradient / gradient.norm() if rule == "ngd" else gradient)


# ---------------------------------------------------------------------------------- instances and bad input
def test_instances_are_stored_without_loss_and_taken_up_again() -> None:
    given_ = instance(p_0=FAR)
    again = PromptInstance.from_json(given_.to_json())
    assert again.id == given_.id != instance().id
    geometry = TOOLS.geometry(given_)
    later = restarted_prompt(given_, 5, geometry)
    assert later.run.steps == 0
    assert later.run.p_0 == pytest.approx(prompt_at(given_, 5, geometry), abs=0)
    assert restarted_prompt(given_, 0, geometry).run.p_0 == pytest.approx(FAR, abs=0)
    with pytest.raises(InvalidDataset, match="damaged"):
        PromptDataset.from_json({**DATA.to_json(), "W": 3})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"X": X[:, :1]}, "one token"),
        ({"X": np.zeros_like(X)}, "tie"),
        ({"y": np.array([1.0, 2.0])}, "labels"),
        ({"y": np.ones(3)}, "3 labels"),
        ({"u": np.ones(2)}, "u has 2"),
        ({"W": np.ones((2, 2))}, "W has 2 rows"),
        ({"W": np.ones(3)}, "W has 1 axes"),
        ({"W": np.full((3, 2), np.nan)}, "not finite"),
    ],
)
def test_unusable_data_are_named(changes: dict[str, Any], named: str) -> None:
    parts = {"X": X, "y": DATA.y, "u": DATA.u, "W": W} | changes
    with pytest.raises(InvalidDataset, match=named):
        PromptDataset(**parts)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"eta": 0.0}, "eta"),
        ({"rule": "polyak"}, "rule"),
        ({"loss": "hinge"}, "loss"),
        ({"p_0": np.ones(3)}, "m = 3"),
    ],
)
def test_unusable_runs_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRun, match=named):
        instance().with_run(**changes)


# --------------------------------------------------------------------------------------- budgets against balls
@pytest.mark.parametrize("rule", ["ngd", "gd"])
@pytest.mark.parametrize("p_0", [None, FAR], ids=["zero", "elsewhere"])
def test_float_observables_lie_within_their_budgets_of_the_balls(rule: str, p_0: Array | None) -> None:
    given_ = instance(rule, p_0=p_0, steps=20)
    geometry = TOOLS.geometry(given_)
    measured = TOOLS.measure(given_, geometry, 100)
    compared = set()
    with flint.ctx.workprec(300):
        exact = TOOLS.exact(given_, geometry, measured.trajectory.onset, MEASURED)
        for state in islice(exact.states, given_.run.steps + 1):
            exact.measurement.advance(state)
            for name in MEASURED:
                try:
                    value, ball = exact.measurement[name], measured[name]
                except Undefined:
                    continue
                place: Any = state.t if ball.mid.ndim else ()
                if np.isfinite(ball.mid[place]):
                    unit = arb(2) ** int(ball.exp2[place])
                    mid, rad = (arb(float(part[place])) * unit for part in (ball.mid, ball.rad))
                    assert abs(mid - value) <= rad + arb(2) ** -250, (name, state.t)
                    compared.add(name)
            exact.measurement.leave()
    assert {name for theorem in THEOREMS for name in theorem.observables} <= compared


def test_every_theorem_is_about_what_is_measured() -> None:
    for theorem in THEOREMS:
        assert theorem.system == PROMPT
        assert theorem.observables <= MEASURED, theorem.id


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.id)
def test_strategies_meet_the_hypotheses_and_no_theorem_is_violated(theorem: Theorem) -> None:
    setting = PromptSetting.of(theorem)
    for family in setting.families():
        judged: list[int] = []

        @QUICK
        @seed(5)
        @given(setting.instances(family, 40))
        def look(given_: PromptInstance) -> None:
            geometry = TOOLS.geometry(given_)
            assert failing(theorem, given_, geometry) is None
            if theorem.kind == "pointwise":
                judgement = judge(theorem, TOOLS.measure(given_, geometry, 100))
                assert judgement.outcome != VIOLATED, given_.to_json()
                judged.append(judgement.steps)  # noqa: B023

        look()
        assert theorem.kind == "limit" or any(judged), family.name


# -------------------------------------------------------------------------------------- false and tight claims
FALSE: dict[str, tuple[list[Assumption], Any]] = {
    "twice the speed": (
        [Separable(), EqualScores(), Rule("ngd")],
        alignment >= alignment_0 + 2 * eta * t * gamma / B,
    ),
    "too fast": (
        [Separable(), EqualScores(), Rule("ngd"), ZeroInit()],
        direction_gap <= ngd_direction_bound(log(T - 1)) / (4 * t**2),
    ),
    "norm without the start": ([Rule("gd")], norm <= eta * t),
}


@pytest.mark.parametrize("name", FALSE)
def test_a_planted_false_theorem_is_caught_with_a_certificate(name: str, tmp_path: Any) -> None:
    assumes, claim = FALSE[name]
    theorem = Theorem(
        f"false.p.{name.replace(' ', '-')}",
        name,
        PROMPT,
        assumes,
        claim,
        Conjecture(source="planted"),
        domain=t >= 1,
    )
    body = search([theorem], Profile(40, 200), seed=0)[theorem.id]
    assert body.verdict == "falsified"
    assert body.counterexample is not None
    smallest = shrink(body.counterexample)
    assert rejudge(load(save(smallest, tmp_path, {})), theorem).outcome == VIOLATED
    assert smallest.instance.dataset.X.size <= body.counterexample.instance.dataset.X.size <= 48


def test_a_tight_truth_is_not_convicted() -> None:
    """With one pair p moves along φ, by η a step: both bounds on it are equalities."""
    pair = PromptDataset(np.array([[[1, 0.1], [0, -0.2]]]), np.ones(1), np.eye(2)[0], np.eye(2)[:, 1:])
    given_ = PromptInstance(pair, PromptRun(20, "ngd", "logistic", 1.0, np.array([0.7])))
    for claim in (norm <= norm_0 + eta * t, BY_ID["prompt.ngd.norm"].claim):
        theorem = Theorem(
            "tight.p", "Tight", PROMPT, [Rule("ngd"), Separable()], claim, Conjecture(source="planted")
        )
        findings = examine(theorem, given_, TOOLS.geometry(given_), [7, 20], None)
        assert [finding.outcome for finding in findings] == ["tight"] * 2
        assert judge(theorem, TOOLS.measure(given_, TOOLS.geometry(given_), 100)).outcome != VIOLATED


def test_the_trial_refutes_two_limits_and_not_the_one_that_is_proved() -> None:
    limits = [theorem for theorem in THEOREMS if theorem.kind == "limit"]
    bodies = {theorem.id: evidence_for(theorem) for theorem in limits}
    hold_trial(bodies, Profile(20, 100, 12, 2**14), seed=0)
    assert {key.split(".")[-1]: body.verdict for key, body in bodies.items()} == {
        "one-sequence": "consistent",
        "equal-scores": "falsified",
        "any-scores": "falsified",
    }
    sizes = {"equal-scores": (2, 2), "any-scores": (1, 3)}
    for name, size in sizes.items():
        found = bodies[f"prompt.limit.{name}"].counterexample
        assert found is not None
        assert shrink(found).instance.dataset.X.shape[:2] == size


def test_equal_scores_do_not_keep_a_second_sequence() -> None:
    """The example of docs/systems.md#prompt."""
    tokens = np.array([[[0.0, 0, 0], [-1, 0, 1]], [[0, 0, 0], [0.03125, 1, 2]]])
    data = PromptDataset(tokens, np.ones(2), np.eye(3)[0], np.eye(3)[:, 1:])
    given_ = PromptInstance(data, PromptRun(0, "gd", "logistic", 0.5))
    finding = refuted(BY_ID["prompt.limit.equal-scores"], given_)
    assert finding.outcome == VIOLATED
    run = given_.with_run(rule="ngd", steps=3000)
    measured = TOOLS.measure(run, TOOLS.geometry(run), 100)
    # p follows φ_1 = (0, −1), while p_mm = (3, −1) up to a factor
    assert measured["direction_gap"].floats()[-1] == pytest.approx(1 - 10**-0.5, abs=1e-3)


@pytest.mark.parametrize(("name", "family"), [("equal-scores", OPPOSED), ("any-scores", DECOY)])
def test_the_families_contain_what_they_are_for(name: str, family: PlainFamily) -> None:
    theorem = BY_ID[f"prompt.limit.{name}"]
    outcomes = []

    @settings(QUICK, max_examples=60)
    @seed(2)
    @given(PromptSetting.of(theorem).instances(family, 0))
    def look(given_: PromptInstance) -> None:
        outcomes.append(refuted(theorem, given_).outcome)

    look()
    assert outcomes.count(VIOLATED) >= 3
