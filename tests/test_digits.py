"""Real data: handwritten digits as token sequences."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations, islice
from typing import Any

import numpy as np
import pytest

from models.dataset import Array, InvalidDataset
from models.digits import CORNERS, DigitDataset, MissingDigits, digit_datasets, patches, select_sequences
from models.maxmargin import solve
from models.pairs import PairFeatures


@pytest.fixture(scope="module")
def everything() -> list[DigitDataset]:
    return list(digit_datasets())


def images(digit: int) -> Array:
    from sklearn.datasets import load_digits

    bundle = load_digits()
    return np.asarray(bundle.images[bundle.target == digit], dtype=np.float64)


# -------------------------------------------------------------------------- the 45 datasets
def test_there_is_one_dataset_for_each_pair_of_digits(everything: list[DigitDataset]) -> None:
    assert [item.name for item in everything] == [f"digits {a} vs {b}" for a, b in combinations(range(10), 2)]
    for item in everything:
        dataset = item.dataset
        assert dataset.X.shape == (6, 9, 16)
        assert dataset.y.tolist() == [1, 1, 1, -1, -1, -1]
        assert dataset.query is None
        dropped = item.dropped_ties + item.dropped_zero_queries + item.dropped_inseparable
        assert item.offered == dataset.n + dropped


def test_pixels_are_exact_and_the_decoder_lies_on_its_grid(everything: list[DigitDataset]) -> None:
    for item in everything:
        X, u = item.dataset.X, item.dataset.u
        assert X.min() >= 0.0
        assert X.max() <= 1.0
        assert (np.round(X * 16) == X * 16).all()
        assert (u * 2**16 == np.round(u * 2**16)).all()


def test_all_are_separable_with_positive_margin(everything: list[DigitDataset]) -> None:
    for item in everything:
        solution = solve(PairFeatures(item.dataset))
        assert solution.primal_residual() == solution.dual_residual() == solution.complementarity() == 0
        assert solution.gamma > 0.1
        assert item.dropped_inseparable == 0


def test_decoders_classify_most_images(everything: list[DigitDataset]) -> None:
    accuracies = [item.accuracy for item in everything]
    assert min(accuracies) > 0.65
    assert np.mean(accuracies) > 0.85


def test_sequences_are_the_first_images_of_their_class(everything: list[DigitDataset]) -> None:
    item = next(item for item in everything if item.name == "digits 3 vs 5")
    assert item.offered == 6
    expected = np.concatenate([images(3)[:3], images(5)[:3]]) / 16.0
    assert (patches(expected) == item.dataset.X).all()
    assert (item.dataset.queries == expected[:, 2:6, 2:6].reshape(6, 16)).all()


def test_the_same_call_gives_the_same_bits(everything: list[DigitDataset]) -> None:
    again = list(islice(digit_datasets(), 3))
    assert [item.dataset.id for item in again] == [item.dataset.id for item in everything[:3]]
    assert len({item.dataset.id for item in everything}) == 45


@pytest.mark.parametrize("images_per_class", [1, 8])
def test_the_number_of_images_can_be_chosen(images_per_class: int) -> None:
    item = next(digit_datasets(images_per_class))
    assert item.dataset.n == 2 * images_per_class
    assert solve(PairFeatures(item.dataset)).gamma > 0


# ---------------------------------------------------------------------------------- patches
def test_patches_cover_the_image_centre_first() -> None:
    picture = np.arange(64.0).reshape(1, 8, 8)
    cut = patches(picture)
    assert cut.shape == (1, 9, 16)
    assert cut[0, 0].tolist() == picture[0, 2:6, 2:6].ravel().tolist()
    for (row, column), token in zip(CORNERS, cut[0], strict=True):
        assert token[0] == 8 * row + column
        assert token[-1] == 8 * (row + 3) + column + 3
    assert set(cut.ravel()) == set(range(64))
    assert sorted(CORNERS) == [(r, c) for r in (0, 2, 4) for c in (0, 2, 4)]


# -------------------------------------------------------------------------------- selection
U = np.array([1.0, 0.0])


def test_ties_and_zero_queries_are_skipped_and_counted() -> None:
    positive = np.array(
        [
            [[1.0, 0.0], [1.0, 5.0], [0.0, 1.0]],  # tie
            [[0.0, 0.0], [1.0, 0.0], [0.5, 0.0]],  # zero query
            [[0.0, 1.0], [1.0, 0.0], [0.5, 0.0]],
            [[0.0, 1.0], [2.0, 0.0], [0.5, 0.0]],
            [[0.0, 1.0], [3.0, 0.0], [0.5, 0.0]],  # not looked at
        ]
    )
    negative = -positive[2:]
    item = select_sequences("synthetic", positive, negative, U, 2)
    assert item.name == "synthetic"
    assert item.dataset.X.tolist() == [*positive[2:4].tolist(), *negative[:2].tolist()]
    assert item.dataset.y.tolist() == [1, 1, -1, -1]
    assert item.offered == 6
    assert (item.dropped_ties, item.dropped_zero_queries, item.dropped_inseparable) == (1, 1, 0)


# With the query q, tokens q and q + v, label +1 give Z = vqᵀ; tokens q and q − v, label −1 give −Z.
Q, V = np.array([1.0, 1.0]), np.array([1.0, 0.5])


def test_inseparable_sequences_are_skipped_and_counted() -> None:
    positive = np.array([[Q, Q + V], [Q, Q + 2 * V]])
    negative = np.array([[Q, Q - V], [2 * Q, 2 * Q - V], [[2.0, -1.0], [0.0, -1.0]], [[1.0, -1.0], [0.0, -1.0]]])
    item = select_sequences("synthetic", positive, negative, U, 2)
    assert item.dataset.X.tolist() == [*positive.tolist(), *negative[2:].tolist()]
    assert item.offered == 6
    assert (item.dropped_ties, item.dropped_zero_queries, item.dropped_inseparable) == (0, 0, 2)
    assert solve(PairFeatures(item.dataset)).gamma > 0


def test_a_class_that_runs_out_contributes_fewer() -> None:
    positive, negative = np.array([[Q, Q + V]] * 3), np.array([[Q, Q - V]] * 2)
    item = select_sequences("synthetic", positive, negative, U, 2)
    assert item.dataset.y.tolist() == [1, 1]
    assert item.dropped_inseparable == 2
    assert item.offered == 4
    item = select_sequences("synthetic", positive, np.zeros((2, 2, 2)), U, 5)
    assert item.dataset.y.tolist() == [1, 1, 1]
    assert (item.offered, item.dropped_zero_queries) == (5, 2)


def test_the_accuracy_is_that_of_the_mean_tokens_of_all_images() -> None:
    positive, negative = np.array([[Q, Q + V]] * 3), np.array([[Q, Q - 5 * V], [Q, Q - V]])
    assert select_sequences("synthetic", positive, negative, U, 1).accuracy == 4 / 5


def test_no_usable_sequence_is_an_error() -> None:
    with pytest.raises(InvalidDataset, match="no image has a query and a unique optimal token"):
        select_sequences("synthetic", np.zeros((3, 2, 2)), np.zeros((3, 2, 2)), U, 2)


# ---------------------------------------------------------------------------------- errors
@pytest.mark.parametrize("images_per_class", [0, -1, 2.0, "3", None, True])
def test_bad_numbers_of_images_are_rejected_at_once(images_per_class: Any) -> None:
    with pytest.raises(InvalidDataset, match=r"images_per_class = .*: give a whole number from 1 on"):
        digit_datasets(images_per_class)


def test_missing_scikit_learn_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDigits, match="pip install scikit-learn") as caught:
        digit_datasets()
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def test_importing_the_module_does_not_import_scikit_learn() -> None:
    code = "import sys, models.digits; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
