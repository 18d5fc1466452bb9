"""Diagonal networks: limits against the flow itself, balls around Newton's, and the selected minimiser."""

from __future__ import annotations

from typing import Any

import flint
import mpmath
import numpy as np
import pytest
from flint import arb, arb_mat
from hypothesis import HealthCheck, given, seed, settings
from scipy.integrate import solve_ivp
from scipy.optimize import linprog

from bounds import (
    DIAGONAL,
    NOTATION,
    Conjecture,
    HigherPower,
    SquarePower,
    Theorem,
    d,
    exponent,
    init_scale,
    l1_excess,
    l1_norm,
    power_sum,
    power_sum_shortest,
    sup_norm,
)
from bounds.diagonal import THEOREMS
from models.dataset import InvalidDataset
from models.diagonal import (
    TOO_SMALL,
    DiagonalGeometry,
    DiagonalInstance,
    DiagonalRun,
    DiagonalState,
    Dual,
    LinearSystem,
    entropy,
    train_diagonal,
)
from models.instance import InvalidRun
from models.replay import PrecisionLost
from properties.certify import TIGHT, examine
from properties.diagonal import (
    BALLS,
    FAMILIES,
    FLOAT,
    DiagonalSetting,
    exact_diagonal,
    measure_diagonal,
    restarted_diagonal,
)
from properties.judge import NOT_APPLICABLE, VIOLATED, judge
from properties.power import search
from properties.shrinker import shrink
from properties.store import load, rejudge, save
from properties.trial import Profile

BY_NAME = {theorem.id.removeprefix("diagonal."): theorem for theorem in THEOREMS}
#: The solutions of least ℓ1-norm are (1 − t, 2(1 − t), 3t), 0 ≤ t ≤ 1.
SEGMENT = LinearSystem(np.array([[1.0, 1.0, 1.0], [3.0, 0.0, 1.0]]), np.array([3.0, 3.0]))
#: A fourth column that helps, so that the limit has an excess for every α.
WIDE = LinearSystem(np.array([[1.0, 0.5, -1.0, 0.75], [0.0, 1.0, 2.0, -0.25]]), np.array([1.0, 2.0]))
POWERS = (2.0, 2.5, 3.0, 6.0)


# ------------------------------------------------------------------------------- the limit against the flow
def flow_limit(dataset: LinearSystem, alpha: float, p: float) -> Any:
    """Where the flow of all 2d parameters is after a long time."""
    A, y, d = dataset.X, dataset.target, dataset.X.shape[1]

    def velocity(_: float, ab: Any) -> Any:
        a, b = ab[:d], ab[d:]
        gradient = A.T @ (A @ (a**p - b**p) - y)
        return np.concatenate([-p * a ** (p - 1) * gradient, p * b ** (p - 1) * gradient])

    end = solve_ivp(velocity, (0.0, 400.0), alpha * np.ones(2 * d), method="LSODA", rtol=1e-11, atol=1e-13).y[
        :, -1
    ]
    return end[:d] ** p - end[d:] ** p


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("dataset", [SEGMENT, WIDE], ids=["segment", "wide"])
def test_the_flow_ends_in_the_limit(dataset: LinearSystem, p: float) -> None:
    instance = DiagonalInstance(dataset, DiagonalRun(0, 0.5, p))
    x = DiagonalState(instance, DiagonalGeometry(dataset), 0).limit.x
    assert [float(v.mid()) for v in x] == pytest.approx(flow_limit(dataset, 0.5, p), rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("p", POWERS)
def test_balls_hold_the_root_that_mpmath_finds(p: float) -> None:
    """One row, so one unknown ν: bisected."""
    dataset = LinearSystem(np.array([[1.0, -0.5, 0.75]]), np.array([2.0]))
    state = DiagonalState(DiagonalInstance(dataset, DiagonalRun(0, 0.125, p)), DiagonalGeometry(dataset), 0)
    with mpmath.workdps(60):
        k = mpmath.mpf(p) / (p - 2) if p > 2 else None

        def point(nu: Any) -> list[Any]:
            s = [a * nu for a in (1, mpmath.mpf(-0.5), mpmath.mpf(0.75))]
            h = [2 * mpmath.sinh(v) if k is None else (1 - v) ** -k - (1 + v) ** -k for v in s]
            return [mpmath.mpf(0.125) ** p * v for v in h]

        low, high = mpmath.mpf(0), mpmath.mpf(1) if p > 2 else mpmath.mpf(50)
        for _ in range(250):
            middle = (low + high) / 2
            x = point(middle)
            rises = x[0] - x[1] / 2 + x[2] * mpmath.mpf(0.75) < 2
            low, high = (middle, high) if rises else (low, middle)
        digits = [mpmath.nstr(v, 55) for v in point(low)]
    with flint.ctx.workprec(160):
        expected = [arb(text) for text in digits]
        for ball, value in zip(state.limit.x, expected, strict=True):
            assert abs(ball - value) < arb("1e-30")
            assert ball.rad() < arb("1e-30")


def test_a_box_off_the_solution_is_not_certified() -> None:
    geometry = DiagonalGeometry(WIDE)
    dual = Dual(geometry, arb(0.5), 2.0)
    nu = dual.solve(arb_mat(2, 1))
    assert all(abs(v) < 1e-12 for row in dual.residual(dual.slopes(nu)).tolist() for v in row)
    dual.enclosed(nu)
    with pytest.raises(PrecisionLost):
        dual.enclosed(nu + arb_mat(2, 1, [1, -1]))


# ------------------------------------------------------------------------------------ the known answer
@pytest.mark.parametrize("p", POWERS)
def test_small_initialisation_selects_one_shortest_solution(p: float) -> None:
    """On (1 − t, 2(1 − t), 3t): at p = 2 the least Σ x log x, t = 0.3460; at p > 2 the largest Σ x^{2/p}."""
    state = DiagonalState(DiagonalInstance(SEGMENT, DiagonalRun(30, 1.0, p)), DiagonalGeometry(SEGMENT), 30)
    x = [float(v.mid()) for v in state.limit.x]
    place = x[2] / 3.0
    assert x == pytest.approx([1 - place, 2 * (1 - place), 3 * place], rel=1e-12)

    def rise(u: float) -> float:  # the derivative along the segment of what is made extreme
        if p == 2.0:
            return float(3 * np.log(3 * u) - np.log(1 - u) - 2 * np.log(2 * (1 - u)))
        q = 2 / p
        return float(-q * (3 * (3 * u) ** (q - 1) - (1 - u) ** (q - 1) - 2 * (2 * (1 - u)) ** (q - 1)))

    assert rise(place - 1e-6) < 0 < rise(place + 1e-6)
    if p == 2.0:
        assert round(place, 4) == 0.3460
        assert place == pytest.approx(2 ** (2 / 3) / (3 + 2 ** (2 / 3)), rel=1e-12)


@pytest.mark.parametrize("dataset", [SEGMENT, WIDE], ids=["segment", "wide"])
def test_the_shortest_solutions_are_those_of_linear_programming(dataset: LinearSystem) -> None:
    geometry = DiagonalGeometry(dataset)
    A, columns = dataset.X, dataset.X.shape[1]
    found = linprog(np.ones(2 * columns), A_eq=np.hstack([A, -A]), b_eq=dataset.target)
    assert float(arb(geometry.l1_min).mid()) == pytest.approx(found.fun, rel=1e-9)
    for z in geometry.shortest:
        assert sum(abs(v) for v in z) == geometry.l1_min
        assert A @ [float(arb(v).mid()) for v in z] == pytest.approx(dataset.target)
    assert len(geometry.shortest) == (3 if dataset is SEGMENT else 2)


# ----------------------------------------------------------------------------------- budgets against balls
@pytest.mark.parametrize("p", POWERS)
def test_float_observables_lie_within_their_budgets_of_the_balls(p: float) -> None:
    instance, geometry = DiagonalInstance(WIDE, DiagonalRun(10, 1.0, p)), DiagonalGeometry(WIDE)
    measured = measure_diagonal(instance, geometry)
    with flint.ctx.workprec(300):
        exact = exact_diagonal(instance, geometry, None, frozenset(BALLS))
        for t in range(11):
            exact.measurement.advance(next(exact.states))
            for observable in BALLS:
                ball, value = measured[observable], exact.measurement[observable]
                k: Any = t if ball.mid.ndim else ()
                unit = arb(2) ** int(ball.exp2[k])
                found, error = arb(float(ball.mid[k])) * unit, arb(float(ball.rad[k])) * unit
                assert abs(found - value) <= error + abs(value) * 2.0**-250, (observable, t)
                assert error <= abs(value) * 1e-12 + 1e-24, (observable, t)


def test_a_run_ends_where_alpha_is_small() -> None:
    instance = DiagonalInstance(WIDE, DiagonalRun(500, 1.0, 2.0))
    trajectory = train_diagonal(instance, DiagonalGeometry(WIDE), 1000)
    assert (len(trajectory), trajectory.status) == (22, TOO_SMALL)


def test_a_restart_has_the_same_limit() -> None:
    geometry = DiagonalGeometry(WIDE)
    instance = DiagonalInstance(WIDE, DiagonalRun(9, 3.0, 3.0))
    later = restarted_diagonal(instance, 9, geometry)
    assert later.run.steps == 0
    rows = [train_diagonal(i, geometry, 100).table[-1] for i in (instance, later)]
    assert rows[0] == pytest.approx(rows[1], rel=1e-14)


def test_entropy_of_a_ball_holds_the_entropy_of_its_points() -> None:
    for low, high in ((0.0, 0.1), (0.0, 2.0), (0.3, 0.4), (0.25, 0.3), (0.5, 3.0), (-0.5, 0.25)):
        ball = entropy([arb(low).union(arb(high))])
        for u in np.linspace(low, high, 50):
            size = abs(float(u))
            assert ball.contains(arb(size * np.log(size) if size else 0.0)) or size in (0.0, abs(low), high)
    assert float(entropy([arb(0.3)]).rad()) < 1e-12


# ------------------------------------------------------------------------------------------ the theorems
def test_both_tiers_know_the_same_declared_observables() -> None:
    assert FLOAT.keys() == BALLS.keys() <= NOTATION.keys()
    for theorem in THEOREMS:
        assert theorem.system == DIAGONAL
        assert theorem.observables <= FLOAT.keys(), theorem.id


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_theorems_hold_and_speak_on_every_family(family: Any) -> None:
    for name, theorem in BY_NAME.items():
        applicable = 0

        @settings(max_examples=12, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @seed(3)
        @given(DiagonalSetting.of(theorem).instances(family, 2000))
        def look(instance: DiagonalInstance) -> None:
            nonlocal applicable
            assert (instance.run.p == 2.0) == (SquarePower() in theorem.assumes)  # noqa: B023
            judgement = judge(theorem, measure_diagonal(instance, DiagonalGeometry(instance.dataset)))  # noqa: B023
            assert judgement.outcome not in (VIOLATED, "undecided"), instance.to_json()
            applicable += judgement.outcome != NOT_APPLICABLE

        look()
        assert applicable >= 10, name


@pytest.mark.parametrize("name", BY_NAME)
def test_balls_prove_every_theorem_on_an_instance(name: str) -> None:
    p = 2.0 if "square" in name else 3.0
    instance, geometry = DiagonalInstance(WIDE, DiagonalRun(6, 0.5, p)), DiagonalGeometry(WIDE)
    assert [f.outcome for f in examine(BY_NAME[name], instance, geometry, [1, 6], None)] == ["holds"] * 2
    other = instance.with_run(p=5.0 - p)
    assert judge(BY_NAME[name], measure_diagonal(other, geometry)).outcome == NOT_APPLICABLE


def test_the_bound_for_squares_is_nearly_attained() -> None:
    """Its constant 1/e cannot be lowered: with d = 2, at some α, all but a thousandth of the bound is excess."""
    dataset = LinearSystem(np.array([[1.0, 0.875]]), np.array([3.0]))
    judgement = judge(
        BY_NAME["l1.square"],
        measure_diagonal(DiagonalInstance(dataset, DiagonalRun(12, 1.0, 2.0)), DiagonalGeometry(dataset)),
    )
    assert judgement.outcome == "holds"
    assert 10**judgement.worst_log_ratio > 0.95


def _planted(name: str, assumes: list[Any], claim: Any) -> Theorem:
    return Theorem(f"false.diagonal.{name}", name, DIAGONAL, assumes, claim, Conjecture(source="planted"))


FALSE = (
    _planted("square-rate", [SquarePower()], l1_excess <= d * sup_norm * init_scale),
    _planted("higher-rate", [HigherPower()], l1_excess <= init_scale**2 * power_sum),
    _planted("selection", [HigherPower()], power_sum_shortest + d * init_scale**2 <= power_sum),
    _planted("one-term", [HigherPower()], l1_excess <= init_scale ** (exponent - 2) / 4),
)  # fmt: skip


@pytest.mark.parametrize("theorem", FALSE, ids=lambda theorem: theorem.id)
def test_planted_falsehoods_are_convicted(theorem: Theorem, tmp_path: Any) -> None:
    body = search([theorem], Profile(40, 200), seed=0)[theorem.id]
    assert body.verdict == "falsified"
    assert body.counterexample is not None
    smallest = shrink(body.counterexample)
    assert rejudge(load(save(smallest, tmp_path, {})), theorem).outcome == VIOLATED
    instance: Any = smallest.instance
    assert instance.dataset.X.size <= 3


def test_selection_is_exact_only_up_to_alpha_squared() -> None:
    """The best is the middle between two solutions of equal Σ |z|^{1/2}; the limit is beside it."""
    ends = np.array([[1.0, 4.0, 4.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 6.25, 2.25, 0.25, 0.25]])
    A = np.eye(7)[1:]
    A[:, 0] = -(ends[0] - ends[1])[1:]
    dataset = LinearSystem(A, A @ ends[0])
    instance, geometry = DiagonalInstance(dataset, DiagonalRun(0, 1.0, 4.0)), DiagonalGeometry(dataset)
    assert [float(arb(z)) for z in geometry.shortest[-1]] == list(ends.sum(axis=0) / 2)
    exact = _planted("exact", [HigherPower()], power_sum_shortest <= power_sum)
    found = [examine(claim, instance, geometry, [0], None)[0] for claim in (exact, BY_NAME["selection.higher"])]
    assert [finding.outcome for finding in found] == [VIOLATED, "holds"]


def test_an_attained_truth_is_not_convicted() -> None:
    """A limit of one entry is as long as its largest entry, exactly."""
    attained = _planted("attained", [], sup_norm <= l1_norm)
    dataset = LinearSystem(np.array([[3.0]]), np.array([1.0]))
    instance, geometry = DiagonalInstance(dataset, DiagonalRun(4, 1.0, 3.0)), DiagonalGeometry(dataset)
    assert judge(attained, measure_diagonal(instance, geometry)).outcome == "undecided"
    assert [f.outcome for f in examine(attained, instance, geometry, [0, 4], None)] == [TIGHT] * 2
    assert search([attained], Profile(20, 50), seed=0)[attained.id].verdict == "confirmed"


@pytest.mark.parametrize(
    ("X", "target", "named"),
    [
        ([[1.0, 2.0]], [0.0], "right side"),
        ([[1.0, 2.0], [2.0, 4.0]], [1.0, 2.0], "dependent"),
        (np.eye(10, 40), np.ones(10), "bases"),
    ],
)
def test_unusable_systems_are_named(X: Any, target: Any, named: str) -> None:
    with pytest.raises(InvalidDataset, match=named):
        LinearSystem(X, target)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"alpha": 0.0}, "alpha"), ({"p": 1.5}, "p = 1.5")],
)
def test_unusable_runs_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRun, match=named):
        DiagonalInstance(WIDE, DiagonalRun(3, 1.0, 2.0)).with_run(**changes)
