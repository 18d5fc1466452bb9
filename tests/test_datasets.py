"""The data families: what they promise, what they cover, and what they shrink to."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis.statistics import collector

from bounds import assumptions
from models.attention import Geometry
from models.dataset import TokenDataset
from models.instance import LOSSES
from properties.datasets import FAMILIES, Family
from properties.starts import wrong_selection
from tests.facts import gaps_of, nearly_orthogonal, non_negatively_correlated, weakly_correlated

#: Families whose dimension follows from the numbers of sequences and tokens.
OWN_DIMENSION = ("near-orthogonal", "signal-plus-noise", "orthogonal-optimum")
#: Families about several sequences, which have no member with one.
PLURAL = ("opposed", "weakly-correlated")

by_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)

# The simplest member: X, y, u and the given queries.
SIMPLEST: dict[str, tuple[Any, Any, Any, Any]] = {
    "equal-scores": ([[[1], [0]]], [1], [1], None),
    "planted": ([[[0, 0.75], [-1, -0.75]]], [1], [1, 0], None),
    "cross-attention": ([[[1], [0]]], [1], [1], [[1]]),
    "unequal-scores": ([[[1], [0], [-0.0625]]], [1], [1], None),
    "scattered-scores": ([[[1], [0], [-1]]], [1], [1], None),
    "non-negative": ([[[1], [0]]], [1], [1], None),
    "near-orthogonal": ([[[0.5, 1, 0], [0, 0, 1]]], [1], [2, 0, 0], None),
    "signal-plus-noise": ([[[1, 0, 0], [0, 0, -0.1321048632913019]]], [1], [1, -1, 0], None),
    "integer-grid": ([[[1], [0]]], [1], [1], None),
    "nearly-opposite": ([[[1, 0], [0.5, -1], [0.5, 1]]], [1], [1, 0], None),
    "crowded": ([[[1], [0]], [[1], [0]]], [1, 1], [1], None),
    "well-conditioned": ([[[1], [0]]], [1], [1], None),
    "tiny-margins": ([[[1, 0], [1 - 2**-10, -1], [1 - 2**-10, 1]]], [1], [1, 0], None),
    "degenerate-support": ([[[1, 0], [0, 0], [0, -1]]], [1], [1, 0], None),
    "unbalanced-gaps": ([[[0, 1], [-0.03125, 0]]], [1], [32, 0], None),
    "opposed": (
        [[[0, 1, 0], [-0.03125, 0, -1]], [[0, 1, 0], [-0.03125, 0, 1]]],
        [1, 1],
        [32, 0, 0],
        None,
    ),
    "corners": ([[[1], [0]]], [1], [1], None),
    "decoy": ([[[0, 1], [-0.25, -4], [-0.5, 0]]], [1], [4, 0], None),
    "orthogonal-optimum": ([[[1, 1, 0, 0], [0, 0, 0, 0]]], [1], [0, 1, 0, 0], None),
    "weakly-correlated": (
        [[[2**-5, 1, 1], [0, 0, 1]], [[2**-5, 1, 1], [0, 1, 0]]],
        [1, 1],
        [2**5, 0, 0],
        None,
    ),
}


def family_named(name: str) -> Family:
    return next(family for family in FAMILIES if family.name == name)


def for_each(family: Family, check: Callable[[TokenDataset], None], examples: int = 60) -> None:
    """Run ``check`` on members of the family, the same ones every time."""
    fixed = settings(derandomize=True, deadline=None, max_examples=examples, database=None)
    fixed(given(family.datasets())(check))()


def smallest(family: Family, wanted: Callable[[TokenDataset], bool], **maxima: int) -> TokenDataset:
    fixed = settings(
        derandomize=True,
        deadline=None,
        max_examples=2000,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
    )
    return find(family.datasets(**maxima), wanted, settings=fixed)


@cache
def sample(family: Family) -> tuple[TokenDataset, ...]:
    """Some hundred members, as they are generated."""
    members: list[TokenDataset] = []
    fixed = settings(derandomize=True, deadline=None, max_examples=150, database=None, phases=[Phase.generate])
    fixed(given(family.datasets())(lambda dataset: members.append(dataset)))()
    return tuple(members)


@cache
def conditions(family: Family) -> tuple[float, ...]:
    """γ/B of the first eighty sampled members."""
    values = []
    for dataset in sample(family)[:80]:
        geometry = Geometry(dataset)
        assert geometry.max_margin is not None
        values.append(geometry.max_margin.gamma / geometry.features.radius)
    return tuple(values)


# ------------------------------------------------------------------------------------------------ promises
@by_family
def test_every_member_satisfies_what_the_family_provides(family: Family) -> None:
    def check(dataset: TokenDataset) -> None:
        assert isinstance(dataset, TokenDataset)
        assert TokenDataset.from_json(dataset.to_json()).id == dataset.id
        if "Separable" in family.provides:
            assert Geometry(dataset).max_margin is not None
        if "EqualScores" in family.provides:
            assert dataset.equal_scores
            assert all(gap == row[0] for row in gaps_of(dataset) for gap in row)
        if "NonNegativeCorrelation" in family.provides:
            assert non_negatively_correlated(dataset)
        if "NearOrthogonal" in family.provides:
            assert nearly_orthogonal(dataset)
        if "WeakNegativeCorrelation" in family.provides:
            assert all(weakly_correlated(dataset, loss, mpmath.mpf(2) ** -40) for loss in LOSSES)

    for_each(family, check, examples=150)


def test_families_are_named_once_and_provide_known_assumptions() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    known = {name for name, _ in inspect.getmembers(assumptions, inspect.isclass)}
    for family in FAMILIES:
        assert family.provides <= known
        assert "Separable" in family.provides
        assert "\n" not in family.description


@by_family
def test_no_draw_is_rejected(family: Family) -> None:
    """Nothing is filtered.  (Choices that run out are the engine's own and are not rejections.)"""
    statistics: list[dict[str, Any]] = []
    current: Any = collector  # its stub knows only the default value, None
    with current.with_value(statistics.append):
        for_each(family, lambda dataset: None)
    statuses = Counter(case["status"] for case in statistics[0]["generate-phase"]["test-cases"])
    assert statuses["valid"] >= 60
    assert statuses["invalid"] == 0


@by_family
def test_no_negative_zeros(family: Family) -> None:
    """−0.0 would give equal datasets different identifiers."""
    assert not any("'-0x0.0p+0'" in str(dataset.to_json()) for dataset in sample(family))


# ------------------------------------------------------------------------------------------------ coverage
@by_family
def test_labels_optimal_tokens_and_sizes_vary(family: Family) -> None:
    members = sample(family)
    assert {label for dataset in members for label in dataset.y} == {-1.0, 1.0}
    assert any(o == 0 for dataset in members for o in dataset.optimal)
    assert any(o > 0 for dataset in members for o in dataset.optimal) or family.name == "orthogonal-optimum"
    largest_T = {"well-conditioned": 3, "orthogonal-optimum": 2}.get(family.name, 4)
    assert {dataset.T for dataset in members} == set(range(family.least.T, largest_T + 1))
    assert {dataset.n for dataset in members} == set(range(2 if family.name in PLURAL else 1, 5))
    dimensions = {dataset.d for dataset in members}
    if family.name == "crowded":
        assert dimensions == {1, 2}
    elif family.name not in OWN_DIMENSION:
        assert dimensions == set(range(family.least.d, 6))


@by_family
def test_magnitudes_are_moderate(family: Family) -> None:
    radii = [Geometry(dataset).features.radius for dataset in sample(family)]
    assert min(radii) >= 1e-2
    assert max(radii) <= 200


@by_family
def test_maxima_are_respected(family: Family) -> None:
    sizes = family.least
    fixed = settings(derandomize=True, deadline=None, max_examples=20, database=None)

    @fixed
    @given(family.datasets(max_n=sizes.n, max_T=sizes.T, max_d=sizes.d))
    def check(dataset: TokenDataset) -> None:
        assert (dataset.n, dataset.T) == (sizes.n, sizes.T)
        if family.name not in OWN_DIMENSION:
            assert dataset.d == sizes.d

    check()


def test_crowded_has_more_pairs_than_dimensions_of_W() -> None:
    assert all(dataset.d**2 < dataset.N for dataset in sample(family_named("crowded")))


def test_well_conditioned_members() -> None:
    assert min(conditions(family_named("well-conditioned"))) >= 0.4
    good = [ratio >= 0.4 for ratio in conditions(family_named("non-negative"))]
    assert sum(good) >= 0.4 * len(good)


def test_nearly_opposite_reaches_tiny_margins() -> None:
    ratios = conditions(family_named("nearly-opposite"))
    assert min(ratios) < 1e-2
    assert max(ratios) > 0.1


def test_tiny_margins_are_tiny() -> None:
    ratios = conditions(family_named("tiny-margins"))
    assert max(ratios) < 1e-3
    assert min(ratios) < 1e-6


def test_degenerate_supports_have_an_active_pair_without_multiplier() -> None:
    for dataset in sample(family_named("degenerate-support")):
        solution = Geometry(dataset).max_margin
        assert solution is not None
        active = {j for j, margin in enumerate(solution.margins) if margin == 1}
        assert active > set(solution.support)


def test_unbalanced_gaps_are_far_apart() -> None:
    spreads = []
    for dataset in sample(family_named("unbalanced-gaps")):
        gaps = [row[0] for row in gaps_of(dataset)]
        spreads.append(max(gaps) / min(gaps))
    assert max(spreads) == 1024
    assert min(spreads) == 1


def test_opposed_sequences_pull_against_each_other() -> None:
    cosines = []
    for dataset in sample(family_named("opposed")):
        gram, others = Geometry(dataset).features.gram, dataset.T - 1
        size = gram.diagonal() ** 0.5
        cosine = gram / size[:, None] / size
        cosines.append(
            min(c for j, row in enumerate(cosine) for k, c in enumerate(row) if j // others != k // others)
        )
    assert sum(c < -0.5 for c in cosines) > 0.4 * len(cosines)
    assert min(cosines) < -0.99
    assert len({round(c, 6) for c in cosines}) > 50


def test_weakly_correlated_members_come_with_and_without_negative_correlation() -> None:
    members = sample(family_named("weakly-correlated"))
    negative = [not non_negatively_correlated(dataset) for dataset in members]
    assert 0.2 < sum(negative) / len(negative) < 0.8


def test_decoys_are_locally_optimal() -> None:
    members = sample(family_named("decoy"))
    found = [wrong_selection(D, list(range(D.n)), D.n).locally_optimal for D in members]
    assert sum(found) > 0.8 * len(found)


def test_unequal_scores_have_positive_coefficients_at_zero() -> None:
    for dataset in sample(family_named("unequal-scores")):
        for gaps in gaps_of(dataset):
            assert min(gaps) > sum(gaps) / dataset.T
            assert len(set(gaps)) > 1


def test_scattered_scores_differ_and_may_lose_positive_coefficients() -> None:
    rows = [(gaps, D.T) for D in sample(family_named("scattered-scores")) for gaps in gaps_of(D)]
    assert all(len(set(gaps)) > 1 for gaps, _ in rows)
    positive = [min(gaps) > sum(gaps) / T for gaps, T in rows]
    assert any(positive)
    assert not all(positive)


def test_integer_grid_repeats_tokens() -> None:
    members = sample(family_named("integer-grid"))
    assert all((dataset.X.round() == dataset.X).all() for dataset in members)
    assert any(len({tuple(x) for x in X}) < D.T for D in members for X in D.X)


def test_cross_attention_queries_are_not_tokens() -> None:
    members = sample(family_named("cross-attention"))
    assert all(dataset.query is not None for dataset in members)
    assert any((D.queries[:, None] != D.X).any(axis=2).all() for D in members)


# ----------------------------------------------------------------------------------------------- shrinking
@by_family
def test_the_simplest_member(family: Family) -> None:
    dataset = smallest(family, lambda _: True)
    X, y, u, query = SIMPLEST[family.name]
    assert dataset.X.tolist() == X
    assert dataset.y.tolist() == y
    assert dataset.u.tolist() == u
    assert (None if dataset.query is None else dataset.query.tolist()) == query


def test_shrinking_keeps_only_what_is_needed() -> None:
    family = family_named("equal-scores")
    negative = smallest(family, lambda D: -1.0 in D.y)
    assert (negative.X.tolist(), negative.y.tolist()) == ([[[-1], [0]]], [-1])
    elsewhere = smallest(family, lambda D: bool((D.optimal > 0).any()))
    assert elsewhere.X.tolist() == [[[1], [2]]]
    downwards = smallest(family, lambda D: D.u[0] < 0)
    assert (downwards.X.tolist(), downwards.u.tolist()) == ([[[-1], [0]]], [-1])
    large = smallest(family, lambda D: D.n == 2 and D.T == 3 and D.d == 2)
    assert large.X.tolist() == [[[1, 0], [0, 0], [0, 0]]] * 2


def test_shrinking_to_a_narrow_margin() -> None:
    """Several sequences, conditions and dimensions shrink to one pair of conflicting features."""

    def narrow(dataset: TokenDataset) -> bool:
        geometry = Geometry(dataset)
        assert geometry.max_margin is not None
        return geometry.max_margin.gamma < geometry.features.radius / 3

    dataset = smallest(family_named("integer-grid"), narrow)
    assert dataset.N == 2
    assert dataset.d == 2
    assert abs(dataset.X).max() <= 3


# -------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("name", "maxima", "message"),
    [
        ("equal-scores", {"max_n": 0}, "max_n = 0: the family 'equal-scores' needs max_n ≥ 1"),
        ("unequal-scores", {"max_T": 2}, "max_T = 2: the family 'unequal-scores' needs max_T ≥ 3"),
        ("planted", {"max_d": 1}, "max_d = 1: the family 'planted' needs max_d ≥ 2"),
        ("equal-scores", {"max_n": 40, "max_T": 40}, "too much for one Hypothesis example"),
    ],
)
def test_maxima_without_members_are_refused(name: str, maxima: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        family_named(name).datasets(**maxima)


def test_large_maxima_still_generate() -> None:
    """Up to the limit no example is too large for Hypothesis, whose health checks stay on."""
    family = family_named("equal-scores")
    fixed = settings(derandomize=True, deadline=None, max_examples=20, database=None)
    sizes: list[int] = []
    fixed(given(family.datasets(20, 8, 20))(lambda dataset: sizes.append(dataset.n)))()
    assert max(sizes) > 4
