"""Univariate ReLU networks: descent against autograd, counts against slow ones, both tiers, planted claims."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
import pytest
import sympy as sp
import torch
from flint import arb
from hypothesis import HealthCheck, given, seed, settings

from bounds import (
    NOTATION,
    RELU_REGIONS,
    Conjecture,
    GrowingData,
    GrowingWidth,
    Order,
    Theorem,
    alternations,
    effective_regions,
    output_margin,
    output_max,
    regions,
    t,
    tolerance,
    width,
)
from bounds.relu_regions import THEOREMS
from models.dataset import Array, InvalidDataset
from models.instance import InvalidRun
from models.relu_regions import LinePoints, ReluInstance, ReluRun, descend
from models.relu_regions_sweep import (
    FIRST,
    POINTS,
    WIDTH,
    SweepInstance,
    SweepRun,
    filled,
    initial_neurons,
    train_sweep,
)
from properties.certify import examine
from properties.evidence import evidence_for
from properties.judge import HOLDS, NOT_APPLICABLE, UNDECIDED, VIOLATED, judge
from properties.power import search
from properties.relu_regions import (
    BALLS,
    FLOAT,
    NETWORKS,
    SWEEPS,
    TOOLS,
    ReluSetting,
    exact_relu,
    measure_relu,
    through,
)
from properties.shrinker import shrink
from properties.store import load, rejudge, save
from properties.trial import Profile, hold_trial
from tests.test_relu_regions_count import X, outputs, slow_regions

Y = np.array([1.0, -1.0, -1.0, 1.0])
NEURONS = np.array([[1.0, 0.25, 1.5], [-0.5, 0.25, -1.0], [2.0, -1.0, 0.5], [0.0, 0.5, -0.25], [1.0, -1.0, 2.0]])
SWEPT = LinePoints(np.array([-1.0, -0.75, -0.5, 0.25, 0.5, 0.75]), np.array([1.0] * 3 + [-1.0] * 3))


def instance(steps: int = 12, W: Array = NEURONS, **changes: Any) -> ReluInstance:
    """Five neurons on four points whose labels alternate twice."""
    return ReluInstance(
        LinePoints(X, Y), ReluRun(steps, **{"eta": 0.25, "W_0": W, "tolerance": 2.0**-6, **changes})
    )


def sweep(varied: str = WIDTH, steps: int = 1023, **changes: Any) -> SweepInstance:
    """Networks that are trained quickly on six points."""
    given_ = {"eta": 1.0, "epochs": 300, "scale": 1.0, "offset": 0.25, "tolerance": 2.0**-6, **changes}
    return SweepInstance(SWEPT, SweepRun(steps, varied, **given_))


def theorem(name: str, claim: Any, *assumes: Any, **more: Any) -> Theorem:
    """A planted statement."""
    return Theorem(f"planted.r.{name}", name, RELU_REGIONS, assumes, claim, Conjecture(source="planted"), **more)


# ------------------------------------------------------------------------------------------------ dynamics
def by_autograd(data: LinePoints, W_0: Array, eta: float, steps: int) -> Array:
    """The run by automatic differentiation of log F."""
    W = torch.tensor(W_0, requires_grad=True)
    x, y = torch.tensor(data.X)[:, None], torch.tensor(data.y)
    for _ in range(steps):
        f = torch.relu(x * W[:, 0] + W[:, 1]) @ W[:, 2]
        (gradient,) = torch.autograd.grad(torch.logsumexp(-y * f, 0), W)
        with torch.no_grad():
            W -= eta / ((1 + (x**2).max()) * (W**2).sum()) * gradient
    return W.detach().numpy()


@pytest.mark.parametrize("turned", [1.0, -1.0])
def test_descent_is_that_of_autograd(turned: float) -> None:
    rng = np.random.default_rng(4)
    data = LinePoints(np.sort(rng.standard_normal(9)), rng.choice([-1.0, 1.0], 9))
    W_0 = rng.standard_normal((20, 3)) * [turned, 1.0, 1.0]
    W = W_0.copy()
    descend(data.X, data.y, W, 0.75, 200)
    assert pytest.approx(by_autograd(data, W_0, 0.75, 200), rel=1e-9, abs=1e-12) == W
    assert np.abs(W - W_0).max() > 0.1


def test_no_output_moves_by_much_more_than_eta() -> None:
    W = initial_neurons(40, 3.0, 0.0)
    for _ in range(50):
        before = outputs(W, X)
        descend(X, Y, W, 0.125, 1)
        assert np.abs(outputs(W, X) - before).max() <= 0.125 * 1.05


def test_a_run_in_balls_encloses_the_float_run() -> None:
    given_ = instance()
    with flint.ctx.workprec(200):
        states = exact_relu(given_, None, None, frozenset()).states
        for step in range(13):
            W = given_.run.W_0.copy()
            descend(X, Y, W, given_.run.eta, step)
            state = next(states)
            for row, exact in zip(W, state.neurons, strict=True):
                assert all(abs(arb(float(a)) - arb(b)) < 1e-13 for a, b in zip(row, exact, strict=True))


def test_float_observables_are_those_of_the_balls() -> None:
    given_ = instance()
    measured = measure_relu(given_, None)
    with flint.ctx.workprec(200):
        exact = exact_relu(given_, None, None, frozenset(BALLS))
        for state, _ in zip(exact.states, range(13), strict=False):
            exact.measurement.advance(state)
            for name in BALLS:
                found = measured[name].floats()
                value = found[state.t] if found.ndim else found
                assert float(exact.measurement[name].mid()) == pytest.approx(float(value), rel=1e-12), name


# -------------------------------------------------------------------------------------------------- sweeps
def test_sizes_and_points_of_sweeps() -> None:
    assert sweep().run.sizes().tolist() == [12, 24, 48, 96, 192, 384, 768, 1023]
    assert sweep(steps=FIRST).run.sizes().tolist() == [12]
    for count in (FIRST, 200):
        points, labels = filled(SWEPT, count, 0.25)
        assert points.size == labels.size == count
        assert (np.diff(points) > 0).all()
        assert set(SWEPT.X) <= set(points)
        assert (np.diff(labels) != 0).sum() == 1
        assert ((points <= -0.5) == (labels > 0)).all()
        assert ((points <= -0.5) | (points >= 0.25)).all()


@pytest.mark.parametrize("varied", [WIDTH, POINTS])
def test_a_sweep_trains_each_size_from_its_own_start(varied: str) -> None:
    given_ = sweep(varied, 30, epochs=40)
    trajectory = train_sweep(given_)
    assert trajectory.t.tolist() == [12, 24, 30]
    for row, size in enumerate((12, 24, 30)):
        points = SWEPT if varied == WIDTH else LinePoints(*filled(SWEPT, size, 0.25))
        W = by_autograd(points, initial_neurons(size if varied == WIDTH else 64, 1.0, 0.25), 1.0, 40)
        margin = (points.y * outputs(W, points.X)).min()
        assert trajectory.column("margin_min")[row] == pytest.approx(margin, rel=1e-8)
        assert trajectory.column("regions")[row] == slow_regions(W)
    measured = measure_relu(given_, None)
    wanted = {"width": [12, 24, 30], "n": [6]} if varied == WIDTH else {"width": [64], "n": [12, 24, 30]}
    for name, values in wanted.items():
        assert np.atleast_1d(measured[name].floats()).tolist() == values


def test_initial_neurons_face_every_way_and_are_balanced() -> None:
    W = initial_neurons(400, 2.0, 0.0)
    assert np.hypot(W[:, 0], W[:, 1]) == pytest.approx(np.abs(W[:, 2]))
    assert (W**2).sum() == pytest.approx(8.0)
    counts = np.histogram2d(np.arctan2(W[:, 1], W[:, 0]), W[:, 2], (8, 2))[0]
    assert counts.min() >= 20


# --------------------------------------------------------------------------------------------- bad and stored
@pytest.mark.parametrize(
    ("points", "labels", "named"),
    [
        ([0.0, 0.0], [1.0, 1.0], "increase"),
        ([1.0, 0.0], [1.0, 1.0], "increase"),
        ([0.0, 1.0], [1.0, 0.5], "labels"),
    ],
)
def test_unusable_points_are_named(points: Any, labels: Any, named: str) -> None:
    with pytest.raises(InvalidDataset, match=named):
        LinePoints(np.array(points), np.array(labels))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"eta": 0.0}, "eta"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"W_0": np.ones((2, 2))}, "w, b and v"),
        ({"W_0": np.zeros((1, 3))}, "nothing moves"),
    ],
)
def test_unusable_runs_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRun, match=named):
        instance(**changes)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"varied": "depth"}, "varied"),
        ({"steps": 11}, "largest size"),
        ({"eta": 0.0}, "eta"),
        ({"scale": 0.0}, "scale"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"width": 0}, "width"),
    ],
)
def test_unusable_sweeps_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRun, match=named):
        sweep(**changes)


def test_points_need_room() -> None:
    tight = LinePoints(np.array([0.0, 1.0]), np.array([1.0, -1.0]))
    with pytest.raises(InvalidRun, match="equal label"):
        SweepInstance(tight, sweep(POINTS).run)


@pytest.mark.parametrize("given_", [instance(), sweep(), sweep(POINTS)], ids=["run", "width", "points"])
def test_instances_are_stored_without_loss(given_: Any) -> None:
    again = TOOLS.instance(given_.to_json())
    assert type(again) is type(given_)
    assert again.id == given_.id


def test_a_run_that_overflows_ends() -> None:
    given_ = instance(eta=2.0**1000)
    trajectory = measure_relu(given_, None).trajectory
    assert 0 < len(trajectory) < 13
    with pytest.raises(InvalidRun, match="ends before"):
        TOOLS.restart(given_, 12, None)


# --------------------------------------------------------------------------------------------- what is claimed
def test_both_tiers_know_the_same_declared_observables() -> None:
    assert FLOAT.keys() == BALLS.keys() <= NOTATION.keys()
    for claimed in THEOREMS:
        assert claimed.system == RELU_REGIONS
        assert claimed.observables <= FLOAT.keys(), claimed.id


@pytest.mark.parametrize("family", NETWORKS, ids=lambda family: family.name)
def test_the_counts_hold_on_every_family(family: Any) -> None:
    claims = [claimed for claimed in THEOREMS if claimed.kind == "pointwise"]
    outcomes: dict[str, set[str]] = {claimed.id: set() for claimed in claims}

    @settings(max_examples=25, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(3)
    @given(ReluSetting(None).instances(family, 5))
    def look(given_: ReluInstance) -> None:
        measured = measure_relu(given_, None)
        for claimed in claims:
            judgement = judge(claimed, measured)
            assert judgement.outcome not in (VIOLATED, UNDECIDED), given_.to_json()
            outcomes[claimed.id].add(judgement.outcome)

    look()
    assert all(HOLDS in seen for seen in outcomes.values())


@pytest.mark.parametrize("assumption", [GrowingWidth(), GrowingData()], ids=lambda assumption: assumption.name)
@pytest.mark.parametrize("family", SWEEPS, ids=lambda family: family.name)
def test_sweeps_are_of_their_kind_and_classify(assumption: Any, family: Any) -> None:
    speaks = theorem("speaks", effective_regions <= width + 1, assumption, domain=output_margin > 0)
    classified: list[bool] = []

    @settings(max_examples=6, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @seed(3)
    @given(ReluSetting.of(speaks).instances(family, 100))
    def look(given_: SweepInstance) -> None:
        judgement = judge(speaks, measure_relu(given_, None))
        assert judgement.outcome != NOT_APPLICABLE
        classified.append(judgement.steps == given_.run.sizes().size)

    look()
    assert sum(classified) >= 0.8 * len(classified)
    assert judge(speaks, measure_relu(instance(), None)).outcome == NOT_APPLICABLE


def test_the_least_numbers_of_regions_are_attained() -> None:
    """Four points of alternating labels, three regions: what the claims allow, and no less."""
    zigzag = np.array([[0.0, 1.0, 1.0], [1.0, 1.0, -2.0], [-1.0, -1.0, 2.0], [1.0, 0.0, 4.0], [1.0, -1.0, -4.0]])
    data = LinePoints(np.array([-1.0, 0.0, 1.0, 2.0]), np.array([1.0, -1.0, 1.0, -1.0]))
    given_ = ReluInstance(data, ReluRun(0, 0.5, zigzag, 2.0**-4))
    for claim in (regions >= alternations, effective_regions >= alternations, effective_regions <= regions):
        tight = theorem("tight", claim, domain=output_margin > 2 * tolerance * output_max)
        [finding] = examine(tight, given_, None, [0], None)
        assert finding.outcome == HOLDS
        assert float(finding.small) == float(finding.large) == 3.0


@pytest.mark.parametrize(("share", "intervals"), [(1.9, 4), (2.1, 6)])
def test_twice_what_is_neglected_is_sharp(share: float, intervals: int) -> None:
    """Long rises, short falls of outputs ±h: below h = 2ε one line does for a rise and half a fall each side."""
    h, fall, bump = share * 2.0**-6, 2.0**-8, 2.0**-16
    knots, values = [-1.0], [1.0]
    for k in range(3):
        start = k * (1.0 + fall)
        knots += [start, start + 1.0, start + 1.0 + fall / 2]
        values += [-h, h, bump]
    W = through(np.array(knots[:-1]), np.array(values[:-1]))
    points = [k for k, value in zip(knots, values, strict=True) if value != bump]
    data = LinePoints(np.array(points), np.array([1.0] + 3 * [-1.0, 1.0]))
    measured = measure_relu(ReluInstance(data, ReluRun(0, 1.0, W, 2.0**-6)), None)
    assert data.alternations == 6
    assert measured["output_margin"].floats()[0] == pytest.approx(h)
    assert measured["effective_regions"].floats()[0] == intervals


def test_without_training_effective_regions_follow_the_width() -> None:
    """So the plateau is no property of the measure."""
    counts = {
        epochs: train_sweep(sweep(epochs=epochs, tolerance=2.0**-14)).column("effective_regions")
        for epochs in (0, 500)
    }
    assert counts[0][-1] > 20 * counts[0][0]
    assert counts[500].max() <= 5


FALSE: dict[str, tuple[Any, dict[str, Any]]] = {
    "a neuron too few": (regions <= width, {}),
    "an alternation more": (regions >= alternations + 1, {"domain": output_margin > 0}),
    "without the factor 2": (
        effective_regions >= alternations,
        {"domain": output_margin > tolerance * output_max},
    ),
}


@pytest.mark.parametrize("name", FALSE)
def test_a_planted_false_theorem_is_caught_with_a_certificate(name: str, tmp_path: Any) -> None:
    claim, more = FALSE[name]
    planted = theorem(name.replace(" ", "-"), claim, **more)
    body = search([planted], Profile(40, 10), seed=0)[planted.id]
    assert body.verdict == "falsified"
    assert body.counterexample is not None
    smallest = shrink(body.counterexample)
    assert rejudge(load(save(smallest, tmp_path, {})), planted).outcome == VIOLATED
    if name == "a neuron too few":
        kept: Any = smallest.instance
        assert kept.run.W_0.shape == (1, 3)


def test_a_sweep_convicts_nobody() -> None:
    """Float64 trains it: a claim that fails on it is suspected, and stays undecided."""
    planted = theorem("sweep", regions <= 20, GrowingWidth())
    assert judge(planted, measure_relu(sweep(steps=30, epochs=5), None)).outcome == VIOLATED
    body = search([planted], Profile(2, 30), seed=0)[planted.id]
    assert body.verdict == "inconclusive"


def test_the_plateau_is_told_from_growth() -> None:
    kept = theorem("kept", Order(effective_regions, alternations), GrowingWidth(), domain=output_margin > 0)
    grown = theorem("grown", Order(regions, alternations), GrowingWidth(), domain=output_margin > 0)
    linear = theorem("linear", Order(regions, t, "Theta"), GrowingWidth(), domain=output_margin > 0)
    bodies = {claimed.id: evidence_for(claimed) for claimed in (kept, grown, linear)}
    hold_trial(bodies, Profile(1, 1, 2, 1023), seed=0)
    assert bodies[kept.id].verdict == "consistent"
    assert bodies[grown.id].verdict == "evidence against"
    assert bodies[linear.id].verdict == "consistent"


def test_a_rate_without_t_must_be_positive() -> None:
    assert not Order(regions, sp.Integer(1)).checked("here").logarithmic
    with pytest.raises(ValueError, match="be positive"):
        Order(regions, sp.Integer(-1)).checked("here")
