"""Keys and queries with vanishing regularisation: the nuclear reference, the path, and both tiers."""

from __future__ import annotations

from typing import Any

import cvxpy as _cvxpy
import flint
import numpy as np
import pytest
import torch
from flint import arb, fmpq
from hypothesis import HealthCheck, given, seed, settings

from bounds import (
    KEY_QUERY,
    NOTATION,
    Conjecture,
    Separable,
    Tends,
    Theorem,
    Throughout,
    dual_norm,
    factor_norm,
    loss_gap,
    margin_min,
    nuclear_gap,
    reference_loss_gap,
    reference_margin,
)
from bounds.key_query import THEOREMS
from models import key_query
from models.dataset import Array, InvalidDataset
from models.instance import InvalidRun
from models.key_query import KeyQueryGeometry, KeyQueryInstance, KeyQueryRun, Sequences, restarted_key_query
from properties.certify import examine
from properties.compiled import compile_expression
from properties.evidence import evidence_for
from properties.hypotheses import applicable_rows, failing
from properties.judge import HOLDS, VIOLATED, judge
from properties.key_query import BALLS, FAMILIES, FLOAT, KeyQuerySetting, exact_key_query, measure_key_query
from properties.power import search
from properties.shrinker import shrink
from properties.store import load, rejudge, save
from properties.trial import Profile, hold_trial

cvxpy: Any = _cvxpy  # typed only in part
DUALITY, MARGIN, GAP, NUCLEAR, FROBENIUS, SWAPPED = THEOREMS
MINIMAL = Throughout(loss_gap <= reference_loss_gap)


def sequences(n: int = 2, T: int = 3, d: int = 3, number: int = 0) -> Sequences:
    """Few-digit data that some W separates."""
    rng = np.random.default_rng(number)
    while True:
        X, u, query = (
            rng.integers(-8, 9, (n, T, d)) / 4,
            rng.integers(-4, 5, d) / 2,
            rng.integers(-8, 9, (n, d)) / 4,
        )
        try:
            data = Sequences(X, np.ones(n), u, query)
        except InvalidDataset:
            continue
        if KeyQueryGeometry(data.tokens).max_margin is not None:
            return data


def written(X: Any, y: Any, u: Any, query: Any) -> Sequences:
    """Data from nested lists."""
    return Sequences(*(np.array(a, dtype=np.float64) for a in (X, y, u, query)))


def instance(data: Sequences | None = None, steps: int = 64, loss: str = "logistic") -> KeyQueryInstance:
    """A run from random factors."""
    data = data or sequences()
    factors = np.random.default_rng(9).integers(-8, 9, (2, data.X.shape[2], data.X.shape[2])) / 16
    return KeyQueryInstance(data, KeyQueryRun(steps, loss, *factors))


def pairs(data: Sequences) -> Array:
    """Z_it = (x_io − x_it) q_iᵀ, by definition."""
    rows = []
    for x, y, q in zip(data.X, data.y, data.query, strict=True):
        best = int(np.argmax(y * (x @ data.u)))
        rows += [np.outer(x[best] - x[t], q) for t in range(len(x)) if t != best]
    return np.array(rows)


def excess(given_: KeyQueryInstance, W: Any) -> Any:
    """log(L − L*) from the layer's definition; the gap is of moderate size here, so that it may be subtracted."""
    data, logistic = given_.dataset, given_.run.loss == "logistic"
    X, u, q, y = (torch.tensor(a) for a in (data.X, data.u, data.query, data.y))
    attention = torch.softmax(torch.einsum("ntd,de,ne->nt", X, W, q), 1)
    scores = torch.einsum("n,ntd,d->nt", y, X, u)
    f, best = (attention * scores).sum(1), scores.max(1).values
    now, least = (torch.nn.functional.softplus(-z) if logistic else torch.exp(-z) for z in (f, best))
    return (now - least).mean().log()


# ---------------------------------------------------------------------------------------------- the reference
@pytest.mark.parametrize("number", range(4))
def test_the_sandwich_holds_the_solution_of_another_formulation(number: int) -> None:
    """min (tr P + tr R)/2 over [[P, W], [Wᵀ, R]] ⪰ 0 is the nuclear norm; its inverse lies in between."""
    data = sequences(number=number)
    reference = KeyQueryGeometry(data.tokens).reference
    assert reference is not None
    d = data.X.shape[2]
    block = cvxpy.Variable((2 * d, 2 * d), PSD=True)
    constraints = [cvxpy.sum(cvxpy.multiply(Z, block[:d, d:])) >= 1 for Z in pairs(data)]
    least = cvxpy.Problem(cvxpy.Minimize(cvxpy.trace(block) / 2), constraints).solve(solver=cvxpy.CLARABEL)
    low, high = float(reference.margin), float(reference.dual_norm().mid())
    assert low <= high * (1 + 1e-15)
    assert high - low <= 1e-5 * high
    assert low * (1 - 1e-6) <= 1 / least <= high * (1 + 1e-6)


def test_the_sandwich_does_not_depend_on_the_scale_of_the_data() -> None:
    data = sequences()
    small = Sequences(data.X * 2.0**-30, data.y, data.u, data.query * 2.0**-20)
    first, second = (KeyQueryGeometry(x.tokens).reference for x in (data, small))
    assert first is not None
    assert second is not None
    assert second.margin == first.margin * fmpq(1, 2**50)


def test_inseparable_data_have_no_reference_and_no_theorem() -> None:
    # Two sequences of the same tokens with opposite queries.
    tokens = [[1.0, 0.0], [0.0, 0.0]]
    data = written([tokens, tokens], [1.0, 1.0], [1.0, 0.0], [[0.0, 1.0], [0.0, -1.0]])
    geometry = KeyQueryGeometry(data.tokens)
    assert geometry.max_margin is None
    assert geometry.reference is None
    run = instance(data, 4)
    assert failing(MARGIN, run, geometry) is not None
    assert np.isnan(measure_key_query(run, geometry).trajectory.column("nuclear_gap")).all()


def test_a_dishonest_solver_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong proposals widen the sandwich or are refused; they never move it off the solution."""
    data = sequences()
    geometry = KeyQueryGeometry(data.tokens)
    assert geometry.reference is not None
    honest = float(geometry.reference.margin)
    reply: Any = (np.eye(3).ravel() * 5, np.array([1.0, 0.0, 0.0, 0.0]))
    monkeypatch.setattr("models.key_query_reference._solve", lambda Z: reply)
    wrong = KeyQueryGeometry(data.tokens).reference
    reply = (reply[0] * -1, reply[1])
    opposite = KeyQueryGeometry(data.tokens).reference
    found = [x for x in (wrong, opposite) if x is not None]
    assert len(found) < 2  # one of W and −W has a negative margin
    for reference in found:
        assert float(reference.margin) <= honest * (1 + 1e-12) <= float(reference.dual_norm().mid()) * (1 + 1e-9)


# ------------------------------------------------------------------------------------------------ the path
@pytest.mark.parametrize("loss", ["logistic", "exponential"])
def test_minimisers_are_stationary_for_autograd(loss: str) -> None:
    """On the sphere of (K, Q) the gradient of log(L − L*) vanishes, and the recorded loss is the layer's."""
    given_ = instance(steps=4, loss=loss)
    geometry = KeyQueryGeometry(given_.dataset.tokens)
    ends = list(key_query._path(given_, geometry))
    measured = measure_key_query(given_, geometry)
    assert [t for t, _, _ in ends] == [0, 1, 2, 4] == measured.trajectory.t.tolist()
    for row, (t, K, Q) in enumerate(ends):
        factors = torch.tensor(np.stack([K, Q]), requires_grad=True)
        value = excess(given_, factors[0] @ factors[1].T)
        assert value.item() == pytest.approx(measured.trajectory.column("log_loss_gap")[row], abs=1e-6)
        value.backward()
        assert factors.grad is not None
        slope, at = factors.grad.numpy().ravel(), factors.detach().numpy().ravel()
        tangent = slope - (slope @ at) / (at @ at) * at
        size = (at @ at) / 2
        assert size == pytest.approx(max(t, 1) * (ends[0][1] ** 2 + ends[0][2] ** 2).sum() / 2, rel=1e-12)
        if t:
            assert np.linalg.norm(tangent) * np.sqrt(at @ at) < 1e-3 * (1 + abs(value.item()))


def test_the_path_is_below_a_slow_descent_and_below_the_reference() -> None:
    """Projected gradient descent with backtracking in (K, Q) from the same start finds nothing better."""
    given_ = instance(steps=2)
    geometry = KeyQueryGeometry(given_.dataset.tokens)
    measured = measure_key_query(given_, geometry)
    K, Q = given_.run.K_0, given_.run.Q_0
    radius = np.sqrt(2 * ((K**2).sum() + (Q**2).sum()))
    x, step = np.stack([K, Q]), 1.0
    x *= radius / np.linalg.norm(x)
    for _ in range(1500):
        point = torch.tensor(x, requires_grad=True)
        value = excess(given_, point[0] @ point[1].T)
        value.backward()
        assert point.grad is not None
        moved = x - step * point.grad.numpy()
        moved *= radius / np.linalg.norm(moved)
        better = excess(given_, torch.tensor(moved[0] @ moved[1].T)).item() < value.item()
        x, step = (moved, step * 1.3) if better else (x, step / 2)
    slow = excess(given_, torch.tensor(x[0] @ x[1].T)).item()
    found = measured.trajectory.column("log_loss_gap")[-1]
    assert found == pytest.approx(slow, abs=1e-4)
    assert found < measured.trajectory.column("log_reference_gap")[-1]


def test_the_size_of_minimal_factors_is_the_nuclear_norm() -> None:
    given_ = instance()
    for t, K, Q in key_query._path(given_, KeyQueryGeometry(given_.dataset.tokens)):
        if t:
            nuclear = np.linalg.svd(K @ Q.T, compute_uv=False).sum()
            assert ((K**2).sum() + (Q**2).sum()) / 2 == pytest.approx(nuclear, rel=1e-3)


# -------------------------------------------------------------------------------------- bad input, storage
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"loss": "square"}, "loss"),
        ({"K_0": np.zeros((3, 3)), "Q_0": np.zeros((3, 3))}, "no size"),
        ({"K_0": np.ones((2, 3))}, "d = 2"),
        ({"Q_0": np.ones((3, 2))}, "m = 2"),
        ({"K_0": np.full((3, 3), np.inf)}, "K_0"),
    ],
)
def test_unusable_runs_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRun, match=named):
        instance().with_run(**changes)


def test_unusable_data_are_named() -> None:
    with pytest.raises(InvalidDataset, match="tie"):
        written([[[1.0, 0.0], [1.0, 0.0]]], [1.0], [1.0, 0.0], [[1.0, 0.0]])
    with pytest.raises(InvalidDataset, match="y"):
        written([[[1.0, 0.0], [0.0, 0.0]]], [2.0], [1.0, 0.0], [[1.0, 0.0]])


def test_an_instance_comes_back_from_json() -> None:
    given_ = instance(loss="exponential")
    again = KeyQueryInstance.from_json(given_.to_json())
    assert again.id == given_.id
    assert again.dataset.tokens.id == given_.dataset.tokens.id


def test_a_recorded_step_can_be_taken_as_a_start() -> None:
    given_ = instance()
    geometry = KeyQueryGeometry(given_.dataset.tokens)
    taken = restarted_key_query(given_, 16, geometry)
    assert taken.run.steps == 0
    row = measure_key_query(given_, geometry).trajectory.table[5]
    np.testing.assert_array_equal(measure_key_query(taken, geometry).trajectory.table[0], row)


# ------------------------------------------------------------------------------------------------- both tiers
@pytest.mark.parametrize("loss", ["logistic", "exponential"])
def test_float_observables_lie_within_their_budgets_of_the_balls(loss: str) -> None:
    given_ = instance(loss=loss)
    geometry = KeyQueryGeometry(given_.dataset.tokens)
    measured = measure_key_query(given_, geometry)
    for row, step in enumerate(measured.trajectory.t.tolist()):
        taken = restarted_key_query(given_, step, geometry)
        with flint.ctx.workprec(400):
            exact = exact_key_query(taken, geometry, None, frozenset(BALLS))
            exact.measurement.advance(next(exact.states))
            for name in BALLS.keys() - {"t"}:
                value, ball = exact.measurement[name], measured[name]
                k: Any = row if ball.mid.ndim else ()
                unit = arb(2) ** int(ball.exp2[k])
                found, error = arb(float(ball.mid[k])) * unit, arb(float(ball.rad[k])) * unit
                assert abs(found - value) <= error * 1.0001 + arb(2) ** -120, (name, step)
                assert error <= abs(value) * 1e-11 + 1e-40, (name, step)


def test_both_tiers_know_the_same_declared_observables() -> None:
    assert FLOAT.keys() == BALLS.keys() <= NOTATION.keys()
    for theorem in THEOREMS:
        assert theorem.system == KEY_QUERY
        assert theorem.observables <= FLOAT.keys(), theorem.id


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_theorems_hold_and_speak_on_every_family(family: Any) -> None:
    met = drawn = 0

    @settings(max_examples=12, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(3)
    @given(KeyQuerySetting().instances(family, 1024))
    def look(given_: KeyQueryInstance) -> None:
        nonlocal met, drawn
        geometry = KeyQueryGeometry(given_.dataset.tokens)
        assert failing(DUALITY, given_, geometry) is None
        measured = measure_key_query(given_, geometry)
        for theorem in (DUALITY, MARGIN, GAP):
            assert judge(theorem, measured).outcome != VIOLATED, (theorem.id, given_.to_json())
        met += bool(applicable_rows(MARGIN, measured)[-3:].all())
        drawn += 1

    look()
    assert met >= 0.7 * drawn  # the rest ended in local minima, of which nothing is claimed


# --------------------------------------------------------------------------------- what is attained, what is false
def test_the_duality_bound_is_attained_by_one_pair_and_not_convicted() -> None:
    """W along the only feature, factors of least size: min m = γ_*R up to what V and λ lack."""
    data = written([[[1.0, 0.0], [0.0, 0.0]]], [1.0], [1.0, 0.0], [[0.0, 1.0]])
    K, Q = np.array([[3.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [3.0, 0.0]])
    given_ = KeyQueryInstance(data, KeyQueryRun(0, "logistic", K, Q))
    geometry = KeyQueryGeometry(data.tokens)
    measured = measure_key_query(given_, geometry)
    sides = [float(compile_expression(side)(measured).floats()[0]) for side in (DUALITY.small, DUALITY.large)]
    assert sides[0] == pytest.approx(sides[1], rel=1e-12)
    [finding] = examine(DUALITY, given_, geometry, [0], None)
    assert finding.outcome in (HOLDS, "tight")
    assert search([DUALITY], Profile(20, 64), seed=0)[DUALITY.id].verdict == "confirmed"


def test_later_steps_are_not_replayed_but_taken_as_starts() -> None:
    given_ = instance(steps=4)
    geometry = KeyQueryGeometry(given_.dataset.tokens)
    first, later = examine(DUALITY, given_, geometry, [0, 4], None)
    assert first.outcome == HOLDS
    assert later.outcome == "undecided"
    [taken] = examine(DUALITY, restarted_key_query(given_, 4, geometry), geometry, [0], None)
    assert taken.outcome == HOLDS


FALSE: dict[str, tuple[list[Any], Any]] = {
    "half the dual norm": ([Separable()], margin_min <= dual_norm * factor_norm / 2),
    "no constant": ([Separable(), MINIMAL], margin_min >= reference_margin * factor_norm),
}


@pytest.mark.parametrize("name", FALSE)
def test_a_planted_false_theorem_is_caught_with_a_certificate(name: str, tmp_path: Any) -> None:
    assumes, claim = FALSE[name]
    identifier = f"false.kq.{name.replace(' ', '-')}"
    theorem = Theorem(identifier, name, KEY_QUERY, assumes, claim, Conjecture(source="planted"))
    body = search([theorem], Profile(24, 64), seed=0)[theorem.id]
    assert body.verdict == "falsified"
    assert body.counterexample is not None
    smallest = shrink(body.counterexample)
    assert rejudge(load(save(smallest, tmp_path, {})), theorem).outcome == VIOLATED


def verdicts(theorems: list[Theorem], profile: Profile) -> dict[str, str]:
    """What a whole trial says."""
    evidence = {theorem.id: evidence_for(theorem) for theorem in theorems}
    hold_trial(evidence, profile, seed=0)
    return {key: body.verdict for key, body in evidence.items()}


def test_the_frobenius_norm_is_refuted_and_the_nuclear_norm_is_not() -> None:
    assert verdicts([NUCLEAR, FROBENIUS, SWAPPED, MARGIN], Profile(24, 1024, 12, 2**11)) == {
        NUCLEAR.id: "consistent",
        FROBENIUS.id: "evidence against",
        SWAPPED.id: "falsified",
        MARGIN.id: "confirmed",
    }


def test_a_wrong_limit_of_the_margin_is_held_against_it() -> None:
    theorem = Theorem(
        "false.kq.limit",
        "Half of the margin is never reached",
        KEY_QUERY,
        [Separable(), MINIMAL],
        Tends(nuclear_gap, 0.5),
        Conjecture(source="planted"),
    )
    assert verdicts([theorem], Profile(6, 64, 9, 2**11)) == {theorem.id: "evidence against"}
