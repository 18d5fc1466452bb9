"""Large shapes: the fused trainer's vectorised sums, and the model of what a step costs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.cost import Case, exponent, fit, gaussian
from models.attention import train
from models.autograd import train_by_autograd
from models.instance import Instance, Run
from models.kernel import _tilt_and_spread


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 33, 400])
def test_vectorised_sums_are_accurate(size: int) -> None:
    """Both sums, in any order, are within size · ε · Σ|terms| of the exact ones."""
    rng = np.random.default_rng(size)
    weight, gaps = np.exp(rng.normal(scale=9.0, size=size)), np.exp(rng.normal(scale=3.0, size=size))
    for gap in gaps.tolist():
        terms = (weight * (gap - gaps)).tolist()
        tilt, spread = _tilt_and_spread(weight, gaps, gap)
        exact = math.fsum(map(abs, terms))
        assert abs(tilt - math.fsum(terms)) <= size * 2.0**-52 * exact
        assert abs(spread - exact) <= size * 2.0**-52 * exact


def test_equal_gaps_leave_nothing() -> None:
    assert _tilt_and_spread(np.geomspace(1e-300, 1e300, 37), np.full(37, 0.3), 0.3) == (0.0, 0.0)


@pytest.mark.parametrize("shape", [(1, 70, 6), (2, 41, 6), (40, 2, 6)])
def test_long_and_many_sequences_agree_with_the_definition(shape: tuple[int, int, int]) -> None:
    instance = Instance(gaussian(shape), Run("ngd", "logistic", 20, eta=0.05))
    fused, slow = train(instance), train_by_autograd(instance)
    for name in ("norm", "log_loss_gap", "log_grad_norm", "margin_min", "log_s_min"):
        assert fused.column(name) == pytest.approx(slow.column(name), rel=1e-9, abs=1e-9, nan_ok=True), name
    assert (np.sign(fused.column("pc_margin")) == np.sign(slow.column("pc_margin"))).all()


COEFFICIENTS = np.array([4e-5, 1e-7, 1e-7, 2e-8, 6e-11, 8e-11])
SHAPES = [(1, 3, 2), (5, 5, 2), (10, 10, 2), (1, 400, 2), (400, 2, 2), (30, 31, 2), (3, 60, 2), (200, 3, 2)]


def planted() -> list[Case]:
    cases = [Case(shape, steps) for shape in SHAPES for steps in (100, 10_000)]
    for case in cases:
        case.seconds = float(np.dot(case.terms(), COEFFICIENTS))
    return cases


def test_the_fit_finds_planted_costs_and_ignores_what_is_held_out() -> None:
    cases = planted()
    assert fit(cases) == pytest.approx(COEFFICIENTS, rel=1e-6)
    cases.append(Case((7, 7, 7), 1_000, unseen=True, seconds=1e9))
    assert fit(cases) == pytest.approx(COEFFICIENTS, rel=1e-6)


def test_a_cost_of_another_form_is_not_fitted() -> None:
    cases = planted()
    for case in cases:
        case.seconds = case.steps**2 * 1e-9
    ratios = [np.dot(case.terms(), fit(cases)) / case.seconds for case in cases]
    assert max(max(r, 1 / r) for r in ratios) > 1.5


def test_an_exponent_is_that_of_the_power() -> None:
    assert exponent([1.0, 10.0, 100.0], [3.0, 3.0 * 10**1.5, 3.0 * 10**3]) == pytest.approx(1.5)
