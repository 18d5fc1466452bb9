"""Linear interpolation: closed forms against the algorithms, budgets against balls, and the limit on rotations."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb
from hypothesis import HealthCheck, given, seed, settings

from bounds import (
    INTERPOLATION,
    NOTATION,
    Conjecture,
    InnerSteps,
    InterpolatesTo,
    NonexpansiveResolvent,
    Theorem,
    eta,
    interpolation_weight,
    resolvent_residual,
    solution_distance,
    solution_distance_0,
    solution_distance_next,
    t,
)
from bounds.interpolation import AHEAD, THEOREMS
from models.dataset import Array, InvalidDataset
from models.instance import InvalidRun
from models.interpolation import (
    TARGETS,
    BlockGeometry,
    Blocks,
    InterpolationInstance,
    InterpolationRun,
    restarted_interpolation,
    train_interpolation,
)
from models.trajectory import NON_FINITE_STEP
from properties.certify import examine
from properties.compiled import compile_expression
from properties.hypotheses import check
from properties.interpolation import (
    BALLS,
    FAMILIES,
    FLOAT,
    InterpolationSetting,
    exact_interpolation,
    measure_interpolation,
)
from properties.judge import NOT_APPLICABLE, VIOLATED, judge
from properties.power import search
from properties.shrinker import shrink
from properties.store import load, rejudge, save
from properties.trial import Profile

BY_NAME = {theorem.id.removeprefix("interpolation."): theorem for theorem in THEOREMS}
MIRROR = np.array([[1.0, 2.0], [3.0, 1.0]])
BLOCKS = np.array([[0.0, 0.5], [-0.0625, 1.0]])
START = np.array([[1.0, -0.5], [2.0, 0.25]])


def instance(target: str, inner: int = 2, mirror: Array | None = MIRROR, steps: int = 30) -> InterpolationInstance:
    """Two blocks, one with a < 0."""
    return InterpolationInstance(Blocks(BLOCKS, mirror), InterpolationRun(steps, target, 0.5, 0.25, START, inner))


def rotation(beta: float, weight: float, steps: int) -> InterpolationInstance:
    """Lookahead with τ = 2 and η = 1 on one rotation."""
    run = InterpolationRun(steps, "lookahead", 1.0, weight, np.array([[1.0, 0.5]]), 2)
    return InterpolationInstance(Blocks(np.array([[0.0, beta]])), run)


# ----------------------------------------------------------------------- closed forms against the algorithms
def slow_states(given_: InterpolationInstance) -> list[dict[str, float]]:
    """The algorithms in float64 with dense matrices, and every observable by its definition."""
    run, X, v = given_.run, given_.dataset.X, given_.dataset.mirror
    size = X.size
    H = np.eye(size) if v is None else np.eye(size) - 2 * np.outer(v.ravel(), v.ravel()) / (v * v).sum()
    D = np.zeros((size, size))
    for k, (a, b) in enumerate(X):
        D[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = [[a, b], [-b, a]]
    F = H @ D @ H.T
    z = run.Z_0.ravel()
    rows: list[dict[str, float]] = []
    totals = dict.fromkeys(
        (
            "residual_square_sum",
            "inner_error_sum",
            "inner_error_square_sum",
            "operator_square_sum",
            "operator_ahead_square_sum",
            "farthest",
        ),
        0.0,
    )
    for _ in range(run.steps + 1):
        J = np.linalg.solve(np.eye(size) + run.eta * F, z)
        w = J if run.target == "resolvent" else z
        for _ in range(0 if run.target == "resolvent" else run.inner):
            w = (z if run.target == "rapp" else w) - run.eta * F @ w
        following = (1 - run.weight) * z + run.weight * w
        here: dict[str, Any] = {
            "solution_distance": np.linalg.norm(z),
            "solution_distance_next": np.linalg.norm(following),
            "resolvent_residual": np.linalg.norm(J - z),
            "inner_error": np.linalg.norm(w - J),
            "operator_norm": np.linalg.norm(F @ z),
            "operator_norm_ahead": np.linalg.norm(F @ (z - run.eta * F @ z)),
        }
        rows.append({name: float(value) for name, value in {**here, **totals}.items()})
        for name, value in (
            ("residual_square_sum", here["resolvent_residual"] ** 2),
            ("inner_error_sum", here["inner_error"]),
            ("inner_error_square_sum", here["inner_error"] ** 2),
            ("operator_square_sum", here["operator_norm"] ** 2),
            ("operator_ahead_square_sum", here["operator_norm_ahead"] ** 2),
        ):
            totals[name] += float(value)
        totals["farthest"] = max(totals["farthest"], float(here["solution_distance"]))
        z = following
    return rows


@pytest.mark.parametrize("mirror", [None, MIRROR], ids=["plain", "mixed"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("inner", [1, 3])
def test_the_closed_form_is_what_the_algorithm_does(target: str, inner: int, mirror: Array | None) -> None:
    given_ = instance(target, inner, mirror)
    measured = measure_interpolation(given_, BlockGeometry(given_.dataset))
    rows = slow_states(given_)
    assert len(measured.trajectory) == len(rows) == 31
    for name in rows[0]:
        expected = [row[name] for row in rows]
        assert measured[name].floats() == pytest.approx(expected, rel=1e-11, abs=1e-13), name


def test_constants_by_their_definitions() -> None:
    geometry = BlockGeometry(Blocks(BLOCKS, MIRROR))
    values = [Fraction(a) / (Fraction(a) ** 2 + Fraction(b) ** 2) for a, b in BLOCKS]
    assert Fraction(str(geometry.comonotonicity)) == min(values)
    F = np.array([[float(arb(x)) for x in row] for row in geometry.matrix()])
    assert np.linalg.norm(F, 2) ** 2 == pytest.approx(float(arb(geometry.lipschitz_sq)))
    # ⟨Fz, z⟩ − ρ‖Fz‖² is a form whose least eigenvalue is 0.
    form = (F + F.T) / 2 - float(arb(geometry.comonotonicity)) * F.T @ F
    assert np.linalg.eigvalsh(form).min() == pytest.approx(0.0, abs=1e-14)


@pytest.mark.parametrize(("target", "scale"), [("resolvent", 1.0), ("lookahead", 8.0)])
def test_runs_at_the_ends_of_float64(target: str, scale: float) -> None:
    """A run that vanishes is followed below the smallest float; one that grows ends where no float holds it."""
    run = InterpolationRun(4000, target, 1.0, 0.5, START, 2)
    data = Blocks(scale * np.array([[0.25, 1.0], [1.0, 0.5]]))
    trajectory = train_interpolation(InterpolationInstance(data, run), BlockGeometry(data))
    last = trajectory.column("log_distance")[-1]
    if target == "resolvent":
        assert len(trajectory) == 4001
        assert last < -800
    else:
        assert trajectory.status == NON_FINITE_STEP
        assert 600 < last <= 700
    assert np.isfinite(trajectory.column("log_distance")).all()


@pytest.mark.parametrize("target", TARGETS)
def test_a_restart_goes_on_where_the_run_was(target: str) -> None:
    given_ = instance(target)
    geometry = BlockGeometry(given_.dataset)
    later = restarted_interpolation(given_, 12, geometry).with_run(steps=18)
    whole, rest = train_interpolation(given_, geometry), train_interpolation(later, geometry)
    assert rest.column("log_residual") == pytest.approx(whole.column("log_residual")[12:], rel=1e-12)
    assert restarted_interpolation(given_, 0, geometry).run.Z_0.tolist() == START.tolist()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"eta": -1.0}, "eta"),
        ({"weight": 1.0}, "weight"),
        ({"target": "extragradient"}, "target"),
        ({"inner": 0}, "inner"),
        ({"inner": 33}, "inner"),
        ({"Z_0": np.zeros((3, 2))}, "k = 3"),
    ],
)
def test_unusable_runs_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRun, match=named):
        instance("rapp").with_run(**changes)


def test_unusable_operators_are_named() -> None:
    for X, mirror, named in (
        ([[1.0]], None, "pair"),
        ([[0.0, 0.0]], None, "leave it out"),
        (BLOCKS, np.zeros((2, 2)), "mirror is zero"),
        (BLOCKS, np.ones((1, 2)), "shape"),
    ):
        with pytest.raises(InvalidDataset, match=named):
            Blocks(np.array(X), mirror)
    with pytest.raises(InvalidRun, match="no inverse"):
        InterpolationInstance(Blocks(np.array([[-2.0, 0.0]])), InterpolationRun(1, "rapp", 0.5, 0.5, START[:1]))


# --------------------------------------------------------------------------------------- budgets against balls
@pytest.mark.parametrize("target", TARGETS)
def test_float_observables_lie_within_their_budgets_of_the_balls(target: str) -> None:
    given_ = instance(target, 3)
    geometry = BlockGeometry(given_.dataset)
    measured = measure_interpolation(given_, geometry)
    with flint.ctx.workprec(300):
        exact = exact_interpolation(given_, geometry, None, frozenset(BALLS))
        for state in exact.states:
            exact.measurement.advance(state)
            for name in BALLS:
                value, ball = exact.measurement[name], measured[name]
                k: Any = state.t if ball.mid.ndim else ()
                unit = arb(2) ** int(ball.exp2[k])
                found, error = arb(float(ball.mid[k])) * unit, arb(float(ball.rad[k])) * unit
                assert abs(found - value) <= error + abs(value) * arb(2) ** -100 + arb(2) ** -150, (name, state.t)
                assert error <= abs(value) * 1e-11, (name, state.t)
            if state.t == 30:
                break


def test_both_tiers_know_the_same_declared_observables() -> None:
    assert FLOAT.keys() == BALLS.keys() <= NOTATION.keys()
    for theorem in THEOREMS:
        assert theorem.system == INTERPOLATION
        assert theorem.observables <= FLOAT.keys(), theorem.id


# ------------------------------------------------------------------------------------------------ hypotheses
def test_the_resolvent_is_nonexpansive_exactly_from_the_boundary_on() -> None:
    assumption, run = NonexpansiveResolvent(), InterpolationRun(1, "resolvent", 1.0, 0.5, START[:1])
    for block, holds in (
        ([-1.0, 1.0], True),
        ([-1.0, 1.0 - 2**-52], False),
        ([-2.0, 0.0], True),
        ([-1.5, 0.0], False),
    ):
        geometry = BlockGeometry(Blocks(np.array([block])))
        given_ = InterpolationInstance(Blocks(np.array([block])), run)
        assert check(assumption, given_, geometry).holds is holds, block
        multiplier = 1 / (1 + complex(block[0], -block[1]))
        if abs(abs(multiplier) - 1) > 1e-12:
            assert (abs(multiplier) <= 1) is holds


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_theorems_hold_and_speak_on_every_family(family: Any) -> None:
    for name, theorem in BY_NAME.items():
        setting = InterpolationSetting.of(theorem)
        if family not in setting.families():
            continue
        applicable = drawn = 0

        @settings(max_examples=10, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @seed(3)
        @given(setting.instances(family, 60))
        def look(given_: InterpolationInstance) -> None:
            nonlocal applicable, drawn
            judgement = judge(theorem, measure_interpolation(given_, BlockGeometry(given_.dataset)))  # noqa: B023
            assert judgement.outcome != VIOLATED, given_.to_json()
            applicable += judgement.outcome != NOT_APPLICABLE
            drawn += 1

        look()
        # All but the sign of the gain are hypotheses that hold by construction.
        assert applicable == drawn if name != "lookahead.mean" else applicable >= 3, name


# --------------------------------------------------------------------------------- what is attained, what is false
def test_the_sum_of_lookahead_comes_to_its_bound_on_rotations() -> None:
    """The known limit: what is not yet gained is ‖z_t‖², so the ratio is 1 − ‖z_t‖²/‖z_0‖², which tends to 1."""
    given_ = rotation(0.5, 0.125, 200)
    measured = measure_interpolation(given_, BlockGeometry(given_.dataset))
    theorem, gone = BY_NAME["lookahead.sum"], measured["solution_distance"].floats() ** 2
    ratio = (compile_expression(theorem.small)(measured) / compile_expression(theorem.large)(measured)).floats()
    assert ratio == pytest.approx(1 - gone / gone[0], abs=1e-12)
    assert (np.diff(ratio) > 0).all()
    assert 1 - 1e-4 < ratio[-1] < 1
    # Not so for a block that is monotone by itself: there the inequality has room.
    monotone = InterpolationInstance(
        Blocks(np.array([[0.25, 0.5], [1.0, 0.0]])), given_.run.__class__(200, "lookahead", 1.0, 0.125, START, 2)
    )
    there = measure_interpolation(monotone, BlockGeometry(monotone.dataset))
    assert (compile_expression(theorem.small)(there) / compile_expression(theorem.large)(there)).floats()[
        -1
    ] < 0.95


def test_steps_that_are_attained_are_not_convicted() -> None:
    given_ = rotation(0.75, 0.25, 5)
    for finding in examine(BY_NAME["lookahead.step"], given_, BlockGeometry(given_.dataset), [0, 5], None):
        assert finding.outcome == "tight"
    kept = InterpolationInstance(
        Blocks(np.array([[-1.0, 1.0], [-2.0, 0.0]]), MIRROR), InterpolationRun(4, "resolvent", 1.0, 0.25, START)
    )
    for finding in examine(BY_NAME["resolvent.step"], kept, BlockGeometry(kept.dataset), [0, 4], None):
        assert finding.outcome == "tight"


def test_the_linear_rate_is_attained() -> None:
    """With J = −1 and λ(1 − λ)·4 = 1/(t + 1) at t = 3: λ = (1 − √(3/4))/2, rounded."""
    weight = (1 - 0.75**0.5) / 2
    given_ = InterpolationInstance(
        Blocks(np.array([[-2.0, 0.0]])), InterpolationRun(3, "resolvent", 1.0, weight, np.array([[1.0, 0.0]]))
    )
    measured = measure_interpolation(given_, BlockGeometry(given_.dataset))
    bound = 0.75**3 / (weight * (1 - weight) * 4)
    assert measured["resolvent_residual"].floats()[3] ** 2 == pytest.approx(bound, rel=1e-12)
    [finding] = examine(BY_NAME["resolvent.rate.linear"], given_, BlockGeometry(given_.dataset), [3], None)
    assert finding.outcome == "holds"


def planted(name: str, assumes: list[Any], claim: Any) -> Theorem:
    return Theorem(f"false.i.{name}", name, INTERPOLATION, assumes, claim, Conjecture(source="planted"))


RATE = resolvent_residual**2 <= solution_distance_0**2 / (
    2 * interpolation_weight * (1 - interpolation_weight) * (t + 1)
)
GAIN = (
    solution_distance_next**2
    <= solution_distance**2 - interpolation_weight * eta * AHEAD * NOTATION["operator_norm"].symbol ** 2
)
FALSE = {
    "half the rate, which the boundary breaks at once": [
        [InterpolatesTo("resolvent"), NonexpansiveResolvent()],
        RATE,
    ],
    "the rate without its hypothesis": [[InterpolatesTo("resolvent")], BY_NAME["resolvent.rate"].claim],
    "lookahead without what the second step loses": [[InterpolatesTo("lookahead"), InnerSteps(2)], GAIN],
    "lookahead's gain for any τ": [[InterpolatesTo("lookahead")], BY_NAME["lookahead.step"].claim],
}


@pytest.mark.parametrize("number", range(len(FALSE)), ids=list(FALSE))
def test_a_planted_false_theorem_is_caught_with_a_certificate(number: int, tmp_path: Any) -> None:
    assumes, claim = list(FALSE.values())[number]
    theorem = planted(f"planted-{number}", list(assumes), claim)
    body = search([theorem], Profile(30, 40), seed=0)[theorem.id]
    assert body.verdict == "falsified"
    assert body.counterexample is not None
    smallest = shrink(body.counterexample)
    assert rejudge(load(save(smallest, tmp_path, {})), theorem).outcome == VIOLATED
    kept: Any = smallest.instance
    assert kept.dataset.X.shape == (1, 2)
    assert kept.dataset.mirror is None
