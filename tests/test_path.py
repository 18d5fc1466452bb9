"""The regularisation path: descent at a fixed norm, its loss in both tiers, and theorem S1."""

import math

import flint
import mpmath
import numpy as np
import pytest
import sympy as sp
from flint import arb

from bounds import Conjecture, T, Theorem, gamma, margin_min, n, norm
from bounds.attention_path import PATH, crowding
from models.attention import Geometry, train
from models.dataset import Array, TokenDataset
from models.instance import LOSSES, Instance, Run
from models.path import below_path, log_path_gaps, path_gap
from models.replay import ExactSetting, replay
from properties.certify import examine
from properties.evidence import evidence_for
from properties.judge import judge
from properties.observables import Measurement
from properties.trial import Profile, hold_trial
from properties.verdict import Verdict

# All queries are e_0, so that only the first column of W counts and has two entries: an angle decides.
PLANE = TokenDataset(
    [[[1.0, 0.25], [0.0, 0.0], [0.5, -1.0]], [[0.75, 2.0], [0.25, 0.0], [0.0, 1.0]]],
    [1, 1],
    [1.0, 0.125],
    [[1.0, 0.0], [1.0, 0.0]],
)


def loss_gap(dataset: TokenDataset, loss: str, W: Array) -> float:
    """G(W) from its definition, with mpmath."""
    with mpmath.workdps(80):
        total = mpmath.mpf(0)
        for X, y, q, o in zip(dataset.X, dataset.y, dataset.queries, dataset.optimal, strict=True):
            logits = [mpmath.fdot(map(mpmath.mpf, x), map(mpmath.mpf, W @ q)) for x in X]
            weights = [mpmath.exp(z - max(logits)) for z in logits]
            scores = [y * mpmath.fdot(map(mpmath.mpf, dataset.u), map(mpmath.mpf, x)) for x in X]
            f = mpmath.fdot(weights, scores) / sum(weights)
            if loss == "logistic":
                total += mpmath.log1p(mpmath.exp(-f)) - mpmath.log1p(mpmath.exp(-scores[o]))
            else:
                total += mpmath.exp(-f) - mpmath.exp(-scores[o])
        return float(mpmath.log(total / dataset.n))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("R", [1.0, 5.0, 40.0])
def test_descent_finds_the_best_angle(loss: str, R: float) -> None:
    geometry = Geometry(PLANE)
    W = below_path(geometry, loss, R, steps=2000)
    assert np.linalg.norm(W) == pytest.approx(R, rel=1e-12)

    def at(angle: float) -> float:
        V = R * np.array([[math.cos(angle), 0.0], [math.sin(angle), 0.0]])
        return loss_gap(PLANE, loss, V)

    best = min(map(at, np.linspace(-math.pi, math.pi, 721)))
    found = loss_gap(PLANE, loss, W)
    assert found <= best + 1e-9
    assert found == pytest.approx(best, abs=0.01 * R)


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_lie_strictly_below_the_path(loss: str) -> None:
    rng = np.random.default_rng(1)
    improved = 0
    for _ in range(20):
        dataset = TokenDataset(rng.normal(size=(3, 3, 4)), [1, -1, 1], rng.normal(size=4))
        geometry = Geometry(dataset)
        if geometry.max_margin is None:
            continue
        R = 10.0 / geometry.max_margin.gamma
        W = below_path(geometry, loss, R)
        along = log_path_gaps(geometry, loss, np.array([np.linalg.norm(W)]))[0]
        found = loss_gap(dataset, loss, W)
        assert found <= along + 1e-10
        improved += found < along - 1e-3
    assert improved >= 10


def test_a_single_pair_has_nothing_below_the_path() -> None:
    dataset = TokenDataset([[[1.0, 0.5], [0.0, 0.0]]], [1], [1.0, 0.0])
    geometry = Geometry(dataset)
    assert geometry.max_margin is not None
    along = geometry.features.combine(geometry.max_margin.direction)
    np.testing.assert_allclose(below_path(geometry, "logistic", 3.0), 3.0 * along, rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("R", [0.5, 30.0, 3000.0])
def test_the_loss_along_the_path_in_both_tiers(loss: str, R: float) -> None:
    geometry = Geometry(PLANE)
    setting = ExactSetting(Instance(PLANE, Run("gd", loss, 0, eta=1.0)), geometry)
    with flint.ctx.workprec(2000):
        exact = path_gap(setting, arb(R)).log()
    assert log_path_gaps(geometry, loss, np.array([R]))[0] == pytest.approx(float(exact.mid()), rel=1e-13)
    assert geometry.max_margin is not None
    if R < 100:
        W = R * geometry.features.combine(geometry.max_margin.direction)
        assert loss_gap(PLANE, loss, W) == pytest.approx(float(exact.mid()), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_path_loss_gap_of_a_run_lies_within_its_budget(loss: str) -> None:
    instance = Instance(PLANE, Run("ngd", loss, 60, eta=0.5))
    geometry = Geometry(PLANE)
    balls = Measurement(instance, geometry, train(instance, geometry))["path_loss_gap"]
    with flint.ctx.workprec(1000):
        setting = ExactSetting(instance, geometry)
        for state in replay(setting):
            if state.t in (0, 1, 20, 60):
                value = arb(float(balls.mid[state.t])) * arb(2) ** int(balls.exp2[state.t])
                error = arb(float(balls.rad[state.t])) * arb(2) ** int(balls.exp2[state.t])
                assert abs(value - path_gap(setting, state.norm)) <= error
                assert error <= abs(value) * 1e-9
            if state.t == 60:
                break


def test_errors_are_clear() -> None:
    with pytest.raises(ValueError, match="give a positive, finite norm"):
        below_path(Geometry(PLANE), "logistic", math.inf)
    flat = TokenDataset([[[1.0], [0.0]], [[1.0], [0.0]]], [1, 1], [1.0], [[1.0], [-1.0]])
    with pytest.raises(ValueError, match="not separable"):
        below_path(Geometry(flat), "logistic", 1.0)
    with pytest.raises(ValueError, match="not separable"):
        log_path_gaps(Geometry(flat), "logistic", np.ones(1))


# -------------------------------------------------------------------------------------------------- theorems
def verdict_on(theorem: Theorem) -> Verdict:
    evidence = {theorem.id: evidence_for(theorem)}
    hold_trial(evidence, Profile(20, 300), seed=0)
    return Verdict(evidence[theorem.id])


@pytest.mark.parametrize("theorem", PATH, ids=lambda x: x.id)
def test_s1_holds(theorem: Theorem) -> None:
    assert verdict_on(theorem).name == "confirmed"


def test_the_step_of_the_theorem_is_judged_below_the_path_only() -> None:
    geometry = Geometry(PLANE)
    assert geometry.max_margin is not None
    R = 20.0 / geometry.max_margin.gamma
    good = below_path(geometry, "logistic", R)
    bad = -good
    for W, outcome in ((good, "holds"), (bad, "not applicable")):
        instance = Instance(PLANE, Run("gd", "logistic", 0, eta=1.0, W_0=W))
        measurement = Measurement(instance, geometry, train(instance, geometry))
        assert judge(PATH[0], measurement).outcome == outcome


def crowded(copies: int, tokens: int) -> tuple[TokenDataset, Array]:
    """Nearly orthogonal features δ_j e_0ᵀ, and a W of the path's norm that leaves all loss to the first pair.

    δ_j = ℓ_j e_j with ℓ = (1, 8, 8, …): what little norm the first margin gives up lifts the others far.
    """
    size = copies * (tokens - 1)
    lengths = np.append(1.0, np.full(size - 1, 8.0))
    X = np.zeros((copies, tokens, size + 1))
    X[:, 1:, :size] = -np.diag(lengths).reshape(copies, tokens - 1, size)
    X[:, 1:, size] = -(2.0**-10)  # the score gaps: so small that slopes hardly differ
    query = np.tile(np.eye(size + 1)[0], (copies, 1))
    dataset = TokenDataset(X, np.ones(copies), np.eye(size + 1)[size], query)
    solution = Geometry(dataset).max_margin
    assert solution is not None
    level = 12.0
    W = np.zeros((size + 1, size + 1))
    W[0, 0] = level - math.log(size) + 0.05  # at most the path's loss: size · e^{−12}
    W[1:size, 0] = math.sqrt(((level / solution.gamma) ** 2 - W[0, 0] ** 2) / (size - 1))
    return dataset, W


@pytest.mark.parametrize(("copies", "tokens", "factor"), [(4, 2, n), (1, 5, T - 1)])
def test_no_factor_of_q_can_be_dropped(copies: int, tokens: int, factor: sp.Expr) -> None:
    dataset, W = crowded(copies, tokens)
    geometry = Geometry(dataset)
    instance = Instance(dataset, Run("gd", "logistic", 0, eta=1.0, W_0=W))
    measurement = Measurement(instance, geometry, train(instance, geometry))
    assert judge(PATH[0], measurement).outcome == "holds"
    growth = (sp.exp(gamma * norm) + T - 1) / (crowding / factor) - 1
    weaker = Theorem(
        id="false.path",
        title="S1 with a smaller Q",
        system=PATH[0].system,
        assumes=PATH[0].assumes,
        claim=margin_min >= sp.log(growth),
        domain=growth > 1,
        status=Conjecture(source="planted"),
    )
    assert judge(weaker, measurement).outcome == "violated"
    [finding] = examine(weaker, instance, geometry, [0], None)
    assert finding.outcome == "violated"
