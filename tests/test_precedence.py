"""The order of two bounds: decided with proof on unbounded domains, or refuted at certified points."""

import itertools
import random

import mpmath
import pytest
import sympy as sp
from flint import ctx, fmpq
from sympy import Max, Min, Rational, exp, log, sqrt

from bounds.attention import master_bound
from bounds.attention_gd import norm_ceiling
from bounds.attention_ngd import linear_rate, ngd_direction_bound
from bounds.notation import (
    B,
    Delta_max,
    Delta_min,
    Lambda_max,
    T,
    alignment,
    alignment_1,
    d,
    direction_gap,
    eta,
    failure,
    gamma,
    loss_gap_0,
    mu,
    n,
    norm,
    norm_0,
    rho_max,
    s_min,
    s_min_run,
    score_min,
    slope_ratio,
    step_length_max,
    t,
    token_radius,
    u_deviation,
    u_norm,
    vectors,
    zeta,
)
from properties.charts import charts
from properties.inequalities import compare_relations
from properties.normal_forms import goals, sign_factors
from properties.precedence import Comparison, Precedence, compare_expressions
from properties.ranges import ORDERS, Range, range_of, ranges_of
from properties.sign_proofs import nonnegative
from properties.signomials import dominates, supremum, terms_of

EQUAL, STRONGER, WEAKER = Precedence.EQUAL, Precedence.STRONGER, Precedence.WEAKER
INCOMPARABLE, UNDECIDED = Precedence.INCOMPARABLE, Precedence.UNDECIDED

N2 = ngd_direction_bound(Lambda_max)
G3 = norm_ceiling(s_min_run, rho_max)
M2 = master_bound(Lambda_max, step_length_max)
PATH = slope_ratio * n * Delta_max / Delta_min * (T - 1)
Z = gamma**2 * eta * t
G2 = 1 / (1 / loss_gap_0 + eta * gamma**2 * s_min_run**2 / 2 * t)
D2 = sqrt(2 * log(4 * vectors**2 / failure)) * sqrt(
    d + 2 * sqrt(d * log(4 * vectors / failure)) + 2 * log(4 * vectors / failure)
)
SMALL = eta * gamma * s_min_run <= 2
LATE = t >= 1

#: Bounds of docs/theory.md and edits of them: what is known besides `ORDERS`, and what a theorist would expect.
PAIRS = {
    # stronger
    "a constant of N2 tightened": (N2, ngd_direction_bound(Lambda_max / 2), [LATE], STRONGER),
    "N2 without its second term": (N2, N2 - B**2 / (eta * gamma**3 * t) * Lambda_max, [LATE], STRONGER),
    "half power to log t/t": (1 / sqrt(t), log(t) / t, [LATE], STRONGER),
    "three quarters to log squared": (16 * t ** Rational(-3, 4), log(t) ** 2 / t, [LATE], STRONGER),
    "M2 with half the step": (
        M2,
        master_bound(Lambda_max, step_length_max / 2),
        [alignment_1 > 0, alignment_1 <= norm],
        STRONGER,
    ),
    "a maximum's term dropped": (Max(1 / t, eta / sqrt(t)), 1 / t, [LATE], STRONGER),
    "roots added in square": (norm_0 + eta * t, sqrt(norm_0**2 + eta**2 * t**2), [], STRONGER),
    "geometric by arithmetic mean": (gamma / B + gamma, 2 * gamma / sqrt(B), [], STRONGER),
    "smaller by 1e-18": (G2, G2 * (1 - Rational(1, 10**18)), [], STRONGER),
    "the worst deviation in J4": (
        -u_norm * (mu - 2 * token_radius),
        -u_norm * (mu - token_radius * u_deviation),
        [],
        STRONGER,
    ),
    # weaker
    "N3's rate as an exponential": (
        loss_gap_0 * linear_rate(s_min_run),
        loss_gap_0 * exp(-eta * gamma * s_min_run * t / 2),
        [SMALL],
        WEAKER,
    ),
    "N3's rate halved": (linear_rate(s_min_run), linear_rate(s_min_run / 2), [SMALL], WEAKER),
    "N5 by a fraction": (
        (T - 1) * exp(-eta * gamma**2 * t / (2 * B)),
        (T - 1) / (1 + eta * gamma**2 * t / (2 * B)),
        [],
        WEAKER,
    ),
    "G2 without its start": (G2, 2 / (eta * gamma**2 * s_min_run**2 * t), [LATE], WEAKER),
    "G3's logarithm by its argument": (G3, eta * B * rho_max * loss_gap_0 * (1 + t), [], WEAKER),
    "G3 with a root": (
        G3,
        eta * B * rho_max * (loss_gap_0 + 2 * sqrt(loss_gap_0 * t / (eta * gamma**2 * s_min_run**2))),
        [],
        WEAKER,
    ),
    "squared logarithm by its argument": (
        (1 + log(1 + Z) ** 2 + eta**2 / 4) / Z,
        (1 + Z + eta**2 / 4) / Z,
        [LATE],
        WEAKER,
    ),
    "larger at t = 1 alone": (1 / t, Max(1 / t, 3 - 2 * t + Rational(1, 4)), [LATE], WEAKER),
    "exponential smoothness with the smaller gap": (
        exp(Delta_min - score_min) * (Delta_max**2 / 16 + Delta_max / 4),
        exp(Delta_max - score_min) * (Delta_max**2 / 16 + Delta_max / 4),
        [],
        WEAKER,
    ),
    # equal
    "touching at t = 1, not crossing": (1 / t, Max(1 / t, 2 - t), [LATE], EQUAL),
    "N2 multiplied out": (N2, sp.expand(N2), [LATE], EQUAL),
    "Λ and η doubled in N2": (N2, ngd_direction_bound(2 * Lambda_max).subs(eta, 2 * eta), [LATE], EQUAL),
    "logarithms of Λ gathered": ((log(n) + 2 * log(T)) / gamma, log(n * T**2) / gamma, [], EQUAL),
    "a root of a square": (sqrt(eta**2 + 2 * eta * gamma + gamma**2) / t, (eta + gamma) / t, [LATE], EQUAL),
    "G2 as one fraction": (
        G2,
        2 * loss_gap_0 / (2 + eta * gamma**2 * s_min_run**2 * t * loss_gap_0),
        [],
        EQUAL,
    ),
    "a maximum that is always the first": (Max(1 / t, log(t) / t**2), 1 / t, [LATE], EQUAL),
    # incomparable
    "S1 by log Q": (
        1 - log((exp(gamma * norm) + T - 1) / PATH - (T - 1)) / (gamma * norm),
        log(2 * T * PATH) / (gamma * norm),
        [],
        INCOMPARABLE,
    ),
    "a logarithm less": (log(t) ** 2 / t, log(t) / t, [LATE], INCOMPARABLE),
    "crossing at 10^40": (t / 10**40, log(t) / log(10) / 40, [t >= 2], INCOMPARABLE),
    "log squared in N2": (N2, N2.subs(log(t * B / gamma), log(t * B / gamma) ** 2), [LATE], INCOMPARABLE),
    "another maximum": (Max(3 * log(T), 2 * log(n)), log(n) + 2 * log(T), [], INCOMPARABLE),
    "η² for η": ((1 + log(Z) ** 2 + eta**2 / 4) / Z, (1 + log(Z) ** 2 + eta / 2) / Z, [LATE], INCOMPARABLE),
    "M2 without knowing r ≥ v": (M2, master_bound(Lambda_max, step_length_max / 2), [], INCOMPARABLE),
    "D2 with one root": (
        D2,
        sqrt(8 * d * log(4 * vectors**2 / failure)),
        [failure < 1, vectors >= 1],
        INCOMPARABLE,
    ),
    "a root of the gap": (direction_gap, sqrt(direction_gap), [], INCOMPARABLE),
}


@pytest.mark.parametrize("name", PAIRS)
def test_order_is_decided(name: str) -> None:
    old, new, known, expected = PAIRS[name]
    found = compare_expressions(old, new, relations=[*ORDERS, *known])
    assert found.order is expected, found
    check_points(found, old, new, [*ORDERS, *known])


def test_the_pairs_are_mixed() -> None:
    orders = [order for *_, order in PAIRS.values()]
    assert len(PAIRS) >= 30
    assert min(orders.count(order) for order in (STRONGER, WEAKER, INCOMPARABLE)) >= 8
    assert orders.count(EQUAL) >= 4


def check_points(
    found: Comparison, old: sp.Expr, new: sp.Expr, relations: list[sp.core.relational.Relational]
) -> None:
    """Every point is in range, obeys the relations and has the stated order, by mpmath with 100 digits."""
    sides = {EQUAL: [], STRONGER: [True], WEAKER: [False], INCOMPARABLE: [True, False]}[found.order]
    assert [p.new_is_smaller for p in found.points] == sides
    for point in found.points:
        exact = {s: sp.Rational(int(x.p), int(x.q)) for s, x in point.values.items()}
        ranges = ranges_of(exact, relations)
        assert all(point.values[s] in ranges[s] for s in exact)
        assert all(r.xreplace(exact) in (True, sp.true) for r in relations if r.free_symbols <= exact.keys())
        with mpmath.workdps(100):
            values = [sp.lambdify(list(exact), e, "mpmath") for e in (old, new)]
            arguments = [mpmath.mpf(x.p) / x.q for x in exact.values()]
            before, after = (f(*arguments) for f in values)
            assert (after < before) == point.new_is_smaller != (before < after)


# ------------------------------------------------------------------------------------------ honest limits
def test_touching_where_no_cut_falls_is_undecided_within_its_budget() -> None:
    tangent = 3 + 3 * (eta - log(3))  # of exp at log 3
    found = compare_expressions(exp(eta), tangent, budget_s=0.5)
    assert found.order is UNDECIDED
    assert [p.new_is_smaller for p in found.points] == [True]
    near = fmpq(10986, 10000)
    assert found.region
    assert all(low and high and low < near * 2 and high > near / 2 for low, high in (r[eta] for r in found.region))
    assert found.seconds < 3


def test_a_tangent_moved_down_is_stronger_and_moved_up_incomparable() -> None:
    tangent = 3 + 3 * (eta - log(3))
    assert compare_expressions(exp(eta), tangent - Rational(1, 100)).order is STRONGER
    assert compare_expressions(exp(eta), tangent + Rational(1, 100)).order is INCOMPARABLE


def test_a_known_order_is_what_makes_n2_comparable() -> None:
    edited = ngd_direction_bound(Lambda_max / 2)
    assert compare_expressions(N2, edited, relations=[LATE]).order is INCOMPARABLE
    assert compare_expressions(N2, edited, relations=[LATE, gamma <= B]).order is STRONGER


def test_points_are_short_where_short_ones_will_do() -> None:
    found = compare_expressions(log(t) ** 2 / t * B, log(t) / t * gamma**2, relations=[*ORDERS, LATE])
    assert found.order is INCOMPARABLE
    assert all(x.p < 10**5 and x.q <= 10**4 for point in found.points for x in point.values.values())


def test_known_orders_are_chained() -> None:
    known = [gamma <= B, eta >= B, eta <= norm]  # B ≤ norm by way of a step size in neither bound
    assert compare_expressions(norm, B, relations=known).order is STRONGER
    assert compare_expressions(norm / B, eta / gamma, relations=known).order is INCOMPARABLE
    assert compare_expressions(sp.Integer(2), eta, relations=[eta <= s_min]).order is STRONGER
    for chart in charts([gamma], ranges_of([gamma, B, eta, norm]), known):
        for coordinates in chart.samples(20):
            point = chart.point(coordinates)
            assert point[gamma] <= point[B] <= point[eta] <= point[norm]


def test_whole_numbers_between_which_the_order_turns() -> None:
    old, new = sp.Integer(0), -(t - Rational(6, 5)) * (t - Rational(9, 5))
    assert compare_expressions(old, new, relations=[LATE]).order is STRONGER
    assert compare_expressions(old, new.subs(t, eta)).order is INCOMPARABLE


def test_no_order_is_given_that_samples_contradict() -> None:
    draw = random.Random(5)
    symbols = [t, eta, gamma, s_min]

    def term() -> sp.Expr:
        powers = [draw.choice([-1, 0, 0, Rational(1, 2), 1, 2]) for _ in symbols]
        factor = draw.choice([1, 1, log(t), exp(-eta), log(1 + eta * t)])
        return factor * draw.choice([-1, 1, 2]) * sp.Mul(*(s**p for s, p in zip(symbols, powers, strict=True)))

    for _ in range(12):
        old = term() + term()
        new = draw.choice([old + term(), old * (1 + eta), old.subs(gamma, gamma * s_min), Min(old, term())])
        order = compare_expressions(old, new, relations=[LATE], budget_s=0.3).order
        value = sp.lambdify(symbols, old - new, "mpmath")
        for _ in range(40):
            point = [mpmath.mpf(draw.randint(1, 50)), *(mpmath.mpf(10) ** draw.uniform(-3, 3) for _ in "ab")]
            difference = value(*point, mpmath.mpf(draw.random()))
            assert difference >= -1e-9 or order not in (STRONGER, EQUAL), (old, new)
            assert difference <= 1e-9 or order not in (WEAKER, EQUAL), (old, new)


# ------------------------------------------------------------------------------------------ inequalities
def test_lower_bounds_are_stronger_when_larger() -> None:
    found = compare_relations(direction_gap >= 1 / (t + 2), direction_gap >= 1 / (t + 1))
    assert found.order is STRONGER
    assert found.points[0].new > found.points[0].old > 0


def test_inequalities_with_both_sides_moved_are_compared_by_their_slack() -> None:
    old = norm - direction_gap <= eta
    assert compare_relations(old, norm <= eta + direction_gap / 2).order is STRONGER
    assert compare_relations(old, norm <= eta + 2 * direction_gap).order is WEAKER
    assert compare_relations(old, norm <= eta + direction_gap).order is EQUAL


def test_bounds_from_different_sides_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different sides"):
        compare_relations(direction_gap <= 1 / t, direction_gap >= 1 / t)


def test_inequalities_are_compared_on_the_steps_of_both() -> None:
    old, new = direction_gap <= 1 / t, direction_gap <= 4 / t**2
    assert compare_relations(old, new, [t >= 1, t >= 4]).order is STRONGER
    assert compare_relations(old, new, [t >= 1]).order is INCOMPARABLE


def test_an_inequality_multiplied_by_something_positive_is_the_same() -> None:
    old = direction_gap <= 2 / (eta * gamma * t)
    assert compare_relations(old, eta * gamma * direction_gap <= 2 / t, [LATE]).order is EQUAL
    assert compare_relations(old, eta * t * direction_gap <= 1 / gamma, [LATE]).order is STRONGER
    assert compare_relations(eta <= 1, 2 * eta <= 2).order is EQUAL
    assert compare_relations(alignment >= eta * t, alignment / eta >= 2 * t, [LATE]).order is STRONGER


def test_moved_sides_are_incomparable_only_where_each_fails_while_the_other_holds() -> None:
    old = sp.Le(1, eta * gamma, evaluate=False)
    assert compare_relations(old, sp.Le(1, (eta * gamma) ** 2, evaluate=False)).order is UNDECIDED  # the same
    found = compare_relations(eta**2 <= gamma**2 + zeta, gamma + 1 <= eta)
    assert found.order is INCOMPARABLE
    for point in found.points:
        assert (point.old >= 0) != (point.new >= 0)


def test_a_bound_says_nothing_where_it_is_undefined() -> None:
    later, sooner = log(t) + Rational(1, 2), log(t + 1) + 1
    found = compare_expressions(sooner, later)  # smaller for t ≥ 1, and silent at t = 0
    assert found.order is UNDECIDED
    assert "the new bound is undefined at t = 0" in found.reason
    assert compare_expressions(sooner, later, relations=[LATE]).order is STRONGER
    assert compare_expressions(1 / t, 1 / (t + 1)).order is STRONGER
    assert compare_expressions(eta, sqrt(eta - 1), budget_s=0.5).order is UNDECIDED


def test_what_has_no_certain_sign_pays_for_nothing() -> None:
    box = {x: (fmpq(0), None), y: (fmpq(0), None)}
    assert not dominates(terms_of(log(x + y) + 2 - 1), box)
    assert not dominates(terms_of(log(x + y) + 2 - x / (1 + x)), box)
    far_out = log(norm + gamma) * log(3 + eta)  # negative, but seldom by more than any sample shows
    assert compare_expressions(far_out + 10**6, s_min, budget_s=1).order in (UNDECIDED, INCOMPARABLE)


def test_exponents_that_show_the_same_digits_are_told_apart() -> None:
    near = sp.pi + Rational(1, 10**60)
    assert len(terms_of(exp(x * sp.pi) - exp(x * near))) == 2


def test_a_relation_between_negative_numbers_is_not_read_upside_down() -> None:
    relation = sp.Le(-eta, -gamma, evaluate=False)  # eta ≥ gamma
    for chart in charts([eta], ranges_of([eta, gamma]), [relation]):
        assert set(chart.place.values()) == set(chart.box)  # nothing is made of it


# ---------------------------------------------------------------------------------------------- the pieces
def test_ranges_are_what_is_declared_and_certain() -> None:
    assert range_of(s_min) == Range(fmpq(0), fmpq(1), low_open=True)
    assert range_of(t) == Range(fmpq(0), whole=True)
    assert range_of(direction_gap).high == 2  # declared level 1, exceeded while the cosine is negative
    assert range_of(slope_ratio).low == 1
    assert range_of(score_min) == Range()
    narrowed = ranges_of([t, eta], [t > 3, eta <= Rational(1, 2)])
    assert narrowed[t].low == 4
    assert narrowed[eta] == Range(fmpq(0), fmpq(1, 2), low_open=True)
    with pytest.raises(ValueError, match="empty"):
        ranges_of([t], [t >= 3, t < 3])


def test_charts_cover_their_ranges_and_lead_back_to_observables() -> None:
    symbols = [t, gamma, B, score_min]
    atlas = charts([sp.Add(*symbols)], ranges_of(symbols), ORDERS)
    assert len(atlas) == 4  # t = 0 or not, the score positive or negative
    ranges = ranges_of(symbols)
    seen = set()
    for chart in atlas:
        for coordinates in chart.samples(20):
            point = chart.point(coordinates)
            assert all(point[s] in ranges[s] for s in symbols)
            assert point[gamma] <= point[B]
            seen.add((point[t] == 0, point[score_min] > 0))
            region = chart.region({s: (x, x) for s, x in coordinates.items()})
            assert region[B / gamma] == (point[B] / point[gamma],) * 2
            assert region[score_min] == (point[score_min],) * 2
    assert len(seen) == 4


def test_a_chart_is_cut_where_a_logarithm_changes_sign() -> None:
    [chart] = charts([s_min * eta], ranges_of([s_min, eta]), [])
    (share, step) = sorted(chart.box, key=lambda s: -len(str(s.name)))
    assert len(chart.split(step)) == 2
    [turned] = chart.split(share)
    low, high = turned.box[share]
    assert (low == 1, high) == (True, None)
    assert turned.point({share: fmpq(4), step: fmpq(3)})[s_min] == fmpq(1, 4)


x, y = sp.symbols("x y", positive=True)


@pytest.mark.parametrize(("p", "q"), [(-1, 1), (-2, 3), (1, 2), (2, -1), (-1, -1), (Rational(-1, 2), 4)])
@pytest.mark.parametrize(("low", "high"), [(2, 3), (2, 100), (5, 9)])
def test_suprema_are_those_of_a_fine_grid(p: sp.Rational, q: int, low: int, high: int) -> None:
    grid = [low + (high - low) * k / 4000 for k in range(4001)]
    largest = max(g ** float(p) * mpmath.log(g) ** q for g in grid)
    found = supremum(terms_of(x**p * log(x) ** q)[0], {x: (fmpq(low), fmpq(high))})
    assert found is not None
    assert float(largest) <= float(found) * (1 + 1e-12)
    assert float(found) <= float(largest) * (1 + 1e-5)


def test_domination_is_never_claimed_against_a_grid() -> None:
    draw = random.Random(1)
    box = {x: (fmpq(1), fmpq(4)), y: (fmpq(1, 2), fmpq(2))}
    grid = list(itertools.product([1, 1.3, 2, 3, 4], [0.5, 0.8, 1, 1.5, 2]))
    claimed = 0
    for _ in range(150):
        parts = [
            draw.randint(-3, 3) * x ** draw.randint(-2, 2) * y ** Rational(draw.randint(-2, 2), 2)
            * log(x) ** draw.randint(0, 1)
            for _ in range(4)
        ]  # fmt: skip
        expression = sp.Add(*parts)
        least = min(float(expression.subs({x: a, y: b})) for a, b in grid)
        if dominates(terms_of(expression), box):
            claimed += 1
            assert least >= -1e-12, expression
    assert claimed > 10


@pytest.mark.parametrize(
    ("expression", "true"),
    [
        (x - 1 - log(x), True),
        (x - 1 - log(x) ** 2, True),
        (x - 1 - 2 * log(x), False),
        (sqrt(x) - log(x), True),
        (x + 1 / x - 2, True),
        (exp(x) - x**2 - 1, True),
        (1 - 1 / x - log(x), False),
        (x**2 + y**2 + 1 - x * y - x - y, True),
        (x**2 + y**2 - 3 * x * y, False),
    ],
)
def test_nonnegative_on_an_unbounded_box(expression: sp.Expr, true: bool) -> None:
    with ctx.workprec(128):
        assert nonnegative(expression, {x: (fmpq(1), None), y: (fmpq(0), None)}) is true


def test_signs_are_those_of_simpler_factors() -> None:
    def everywhere(expression: sp.Expr) -> bool:
        return bool(expression.is_nonnegative)

    assert sign_factors((1 + x) ** 2 - x**2 - 2 * x - 1, everywhere) == (0,)
    assert sign_factors(x**3 * y - x**2 * y, everywhere) == (x - 1,)
    assert sign_factors(sqrt(1 + x) - sqrt(1 + y), everywhere) == (x - y,)
    assert sign_factors(exp(-x) - exp(-y), everywhere) == (y - x,)
    assert sign_factors(log(1 + x) - log(1 + y), everywhere) == (x - y,)
    assert goals(Max(x, y) - x, everywhere) == (((0,), (y - x,), (y - x,)),)
    assert goals(x - Max(x, y), everywhere) == (((0,),), ((x - y,),))
