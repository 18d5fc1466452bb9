"""Real data: attention that tells two handwritten digits apart, from scikit-learn's bundled 8 × 8 images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from models.dataset import Array, InvalidDataset, TokenDataset
from models.maxmargin import InseparableError, solve
from models.pairs import PairFeatures

#: Upper left corners of the nine overlapping 4 × 4 patches; the centre comes first because the first token is
#: the query of self-attention, and the corners of an image are often blank.
CORNERS = ((2, 2), (0, 0), (0, 2), (0, 4), (2, 0), (2, 4), (4, 0), (4, 2), (4, 4))
PATCH = 4
_GRID = 2.0**16  # the decoder is rounded to multiples of 1/_GRID


class MissingDigits(ImportError, ValueError):
    """scikit-learn, which carries the images, is not installed."""


@dataclass(frozen=True, eq=False)
class DigitDataset:
    """Two digit classes as a token dataset, and what had to be left out to get it.

    Attributes
    ----------
    name : str
        For example ``"digits 3 vs 5"``; the first class has label +1, the second −1.
    dataset : TokenDataset
        T = 9 tokens of dimension d = 16 a sequence, sequences of the first class first.
    offered : int
        Images looked at: kept ones and dropped ones.
    dropped_ties : int
        Images whose highest token score is attained twice.
    dropped_zero_queries : int
        Images with a blank centre patch.
    dropped_inseparable : int
        Images that would have made the W-SVM infeasible.
    accuracy : float
        Share of *all* images of the two classes that uniform attention (W = 0) classifies correctly with this
        decoder: label · uᵀ(mean token) > 0.
    """

    name: str
    dataset: TokenDataset
    offered: int
    dropped_ties: int
    dropped_zero_queries: int
    dropped_inseparable: int
    accuracy: float


def digit_datasets(images_per_class: int = 3) -> Iterator[DigitDataset]:
    """One dataset for each of the 45 pairs of digit classes a < b.

    The decoder u is fitted by logistic regression without intercept (L2 penalty, C = 1) on the *mean token* of
    every image of both classes: that is the model at W = 0, and on these data it is clearly more accurate than
    a fit on all tokens with the image's label (on average 0.89 against 0.78 of the images).  It is rounded to
    multiples of 2⁻¹⁶, so that differences in the last bits between linear algebra libraries leave the dataset
    and its id alone.

    The sequences are the first ``images_per_class`` images of each class in scikit-learn's order.  An image
    is skipped, and the next of its class taken, when its optimal token is tied, when its query is zero, or
    when it would make the W-SVM inseparable.  A class that runs out of images contributes fewer.

    Parameters
    ----------
    images_per_class : int
        At least 1.  A dataset takes about 0.05 s for 3 and 0.2 s for 20, of which half is the decoder's fit.

    Yields
    ------
    DigitDataset
        In the order 0 vs 1, 0 vs 2, …, 8 vs 9.

    Raises
    ------
    MissingDigits
        If scikit-learn is not installed.
    InvalidDataset
        If ``images_per_class`` is not a whole number from 1 on.

    References
    ----------
    .. [1] E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
       Repository, 1998 (the test set is what ``sklearn.datasets.load_digits`` bundles).
    """
    if isinstance(images_per_class, bool) or not isinstance(images_per_class, int) or images_per_class < 1:
        raise InvalidDataset(f"images_per_class = {images_per_class!r}: give a whole number from 1 on")
    classes = _classes()
    return (_pair(classes, a, b, images_per_class) for a, b in combinations(range(len(classes)), 2))


def patches(images: Array) -> Array:
    """Cut images into overlapping 4 × 4 patches with stride 2.

    Parameters
    ----------
    images : array, shape (m, 8, 8)

    Returns
    -------
    array, shape (m, 9, 16)
        Token t of an image is the patch at ``CORNERS[t]``, row by row.
    """
    cut = [images[:, r : r + PATCH, c : c + PATCH].reshape(len(images), PATCH * PATCH) for r, c in CORNERS]
    return np.stack(cut, axis=1)


def select_sequences(
    name: str, positive: Array, negative: Array, decoder: Array, images_per_class: int
) -> DigitDataset:
    """Take usable sequences of two classes, in order, until each has ``images_per_class`` or runs out.

    All sequences are first tried together, which one exact solve settles.  Only if they are inseparable, they
    are offered one at a time, the classes taking turns, and each is kept if the W-SVM stays feasible.

    Parameters
    ----------
    name : str
        Name of the result.
    positive, negative : array, shape (m, T, d)
        Token sequences with label +1 and −1.
    decoder : array, shape (d,)
        The decoder u.
    images_per_class : int

    Raises
    ------
    InvalidDataset
        If no sequence at all is usable.
    """
    walks = (_Walk(positive, 1.0, decoder), _Walk(negative, -1.0, decoder))
    for walk in walks:
        while len(walk.kept) < images_per_class and (tokens := walk.next_usable()) is not None:
            walk.kept.append(tokens)
    dataset = _assemble(walks, decoder)
    if not _separable(dataset):
        walks = (_Walk(positive, 1.0, decoder), _Walk(negative, -1.0, decoder))
        dataset = _one_at_a_time(walks, decoder, images_per_class)
    pooled = np.concatenate([positive.mean(axis=1), -negative.mean(axis=1)]) @ decoder
    return DigitDataset(
        name=name,
        dataset=dataset,
        offered=sum(walk.position for walk in walks),
        dropped_ties=sum(walk.ties for walk in walks),
        dropped_zero_queries=sum(walk.zero_queries for walk in walks),
        dropped_inseparable=sum(walk.inseparable for walk in walks),
        accuracy=float(np.mean(pooled > 0.0)),
    )


class _Walk:
    """One class: how far its sequences were looked at, which were kept, and why others were not."""

    def __init__(self, sequences: Array, label: float, decoder: Array) -> None:
        self.sequences, self.label, self.decoder = sequences, label, decoder
        self.kept: list[Array] = []
        self.position = self.ties = self.zero_queries = self.inseparable = 0

    def next_usable(self) -> Array | None:
        """The next sequence with a query and a unique optimal token; None at the end."""
        while self.position < len(self.sequences):
            tokens: Array = self.sequences[self.position]
            self.position += 1
            if not tokens[0].any():
                self.zero_queries += 1
            elif self._tied(tokens):
                self.ties += 1
            else:
                return tokens
        return None

    def _tied(self, tokens: Array) -> bool:
        try:
            TokenDataset(tokens[None], [self.label], self.decoder)
        except InvalidDataset:  # finite tokens of one shape: only the exact test for ties can fail
            return True
        return False


def _one_at_a_time(walks: tuple[_Walk, _Walk], decoder: Array, images_per_class: int) -> TokenDataset:
    dataset: TokenDataset | None = None
    open_walks = list(walks)
    while open_walks:
        walk = open_walks.pop(0)
        tokens = walk.next_usable()
        if tokens is None:
            continue
        walk.kept.append(tokens)
        trial = _assemble(walks, decoder)
        if _separable(trial):
            dataset = trial
        else:
            walk.kept.pop()
            walk.inseparable += 1
        if len(walk.kept) < images_per_class:
            open_walks.append(walk)
    # One sequence alone is always separable: W = y u qᵀ/‖q‖² has the margins Δ_t > 0.
    assert dataset is not None
    return dataset


def _assemble(walks: tuple[_Walk, _Walk], decoder: Array) -> TokenDataset:
    sequences = [tokens for walk in walks for tokens in walk.kept]
    if not sequences:
        raise InvalidDataset("no image has a query and a unique optimal token: change the decoder")
    return TokenDataset(np.array(sequences), [walk.label for walk in walks for _ in walk.kept], decoder)


def _separable(dataset: TokenDataset) -> bool:
    try:
        solve(PairFeatures(dataset))
    except InseparableError:
        return False
    return True


def _classes() -> list[Array]:
    """Token sequences of the ten classes, each of shape (m, 9, 16), entries multiples of 1/16 in [0, 1]."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingDigits(
            "the digit images come with scikit-learn, which is not installed: run `pip install scikit-learn`"
        ) from None
    bundle = load_digits()
    tokens = patches(np.asarray(bundle.images, dtype=np.float64) / 16.0)
    return [tokens[bundle.target == digit] for digit in range(10)]


def _pair(classes: list[Array], a: int, b: int, images_per_class: int) -> DigitDataset:
    positive, negative = classes[a], classes[b]
    decoder = _fit_decoder(positive, negative)
    return select_sequences(f"digits {a} vs {b}", positive, negative, decoder, images_per_class)


def _fit_decoder(positive: Array, negative: Array) -> Array:
    from sklearn.linear_model import LogisticRegression

    means = np.concatenate([positive.mean(axis=1), negative.mean(axis=1)])
    labels = np.repeat([1.0, -1.0], [len(positive), len(negative)])
    model = LogisticRegression(C=1.0, fit_intercept=False, max_iter=1000).fit(means, labels)
    decoder: Array = np.round(model.coef_[0] * _GRID) / _GRID
    return decoder
