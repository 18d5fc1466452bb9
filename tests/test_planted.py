"""The two lists: what is false is convicted with a certificate that replays, what is true and tight is not."""

from __future__ import annotations

import statistics
from collections import Counter
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from bounds import Theorem
from properties.power import search
from properties.shrinker import Budget, shrink
from properties.store import load, rejudge, save
from properties.trial import PROFILES, Profile
from properties.verdict import PointwiseEvidence
from tests.planted import BROAD, CORNERS, FALSE, TRUE_BUT_TIGHT
from tests.planted_points import FALSE_OF_POINTS, TIGHT_OF_POINTS

#: Corners that the quick profile misses; the standard one finds them.
NEEDS_STANDARD = frozenset({"corner.unequal-scores", "corner.ascent", "corner.cross-attention"})
#: Groups of pointwise theorems that the false list covers, by what an id says after its first dot.
GROUPS = ("f", "m", "n", "p", "g", "a1", "s1", "j")
SMALL = Profile(30, 300)
#: Enough to take a counterexample's structure apart.
LITTLE = Budget(certifications=100, candidates=600, work=40_000)


@cache
def searched(theorem: Theorem) -> PointwiseEvidence:
    """The trial of one claim, ended by its first conviction."""
    profile = PROFILES["standard" if theorem.id in NEEDS_STANDARD else "quick"]
    return search([theorem], profile, seed=0)[theorem.id]


def test_the_lists_are_long_enough_and_cover_every_group() -> None:
    assert len(FALSE) >= 40
    assert 2 * len(CORNERS) >= len(FALSE)
    assert len(TRUE_BUT_TIGHT) >= 40
    assert max(Counter(theorem.id for theorem in (*FALSE, *TRUE_BUT_TIGHT)).values()) == 1
    assert max(Counter(theorem.fingerprint for theorem in FALSE).values()) == 1
    names = [theorem.id.removeprefix("false.") for theorem in BROAD]
    assert all(any(name.startswith(group) for name in names) for group in GROUPS)
    assert {"false.m3", "false.m4"} <= {theorem.id for theorem in BROAD}


def test_quick_falsifies_nine_tenths() -> None:
    """Which ones it misses is written down above; the next test holds it to that."""
    assert {theorem.id for theorem in FALSE} >= NEEDS_STANDARD
    assert len(NEEDS_STANDARD) <= len(FALSE) / 10


@pytest.mark.parametrize("theorem", [*FALSE, *FALSE_OF_POINTS], ids=lambda theorem: theorem.id)
def test_falsehoods_are_falsified_with_a_certificate_that_replays(theorem: Theorem, tmp_path: Path) -> None:
    body = searched(theorem)
    assert body.verdict == "falsified"
    assert body.counterexample is not None
    stored = load(save(body.counterexample, tmp_path, {}))
    assert rejudge(stored, theorem).outcome == "violated"


def test_counterexamples_are_small() -> None:
    sizes, digits = [], []
    for theorem in FALSE:
        if theorem.id not in NEEDS_STANDARD:
            found = searched(theorem).counterexample
            assert found is not None
            dataset = shrink(found, LITTLE).instance.dataset
            sizes.append(dataset.X.shape)
            digits.append(max(significant_digits(float(x)) for x in [*dataset.X.ravel(), *dataset.u]))
    n, T, d = (statistics.median(size) for size in zip(*sizes, strict=True))
    assert (n <= 2, T <= 3, d <= 2) == (True, True, True)
    assert statistics.median(digits) <= 2


def test_counterexamples_of_points_are_small() -> None:
    sizes, digits = [], []
    for theorem in FALSE_OF_POINTS:
        found = searched(theorem).counterexample
        assert found is not None
        dataset = shrink(found, LITTLE).instance.dataset
        sizes.append(dataset.X.shape)
        digits.append(max(significant_digits(float(x)) for x in dataset.X.ravel()))
    n, d = (statistics.median(size) for size in zip(*sizes, strict=True))
    assert (n <= 2, d <= 2) == (True, True), sizes
    assert statistics.median(digits) <= 3


def significant_digits(value: float) -> int:
    """Decimal digits between the first and the last that is not 0."""
    return len(Decimal(repr(value)).normalize().as_tuple().digits)


@pytest.mark.parametrize("theorem", [*TRUE_BUT_TIGHT, *TIGHT_OF_POINTS], ids=lambda theorem: theorem.id)
def test_tight_truths_are_neither_convicted_nor_left_open(theorem: Theorem) -> None:
    body = search([theorem], SMALL, seed=0)[theorem.id]
    # A claim that is its observable's trivial level says nothing, and that is what the verdict says.
    assert body.verdict == ("confirmed" if body.informative else "vacuous")
    assert body.worst_ratio is not None
    assert body.tight or body.worst_ratio > 0.99
