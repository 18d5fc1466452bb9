"""Initial weights as Hypothesis strategies, and what an initial weight matrix is called in a report.

Where training starts decides whether global claims hold: away from zero attention may be saturated, on optimal
tokens or on wrong ones.  Every start is a float matrix, so that the instance stays exactly representable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from models.attention import Geometry
from models.dataset import Array, TokenDataset
from models.instance import Instance
from models.maxmargin import propose_support

ZERO, SMALL, LARGE, OPPOSITE, WRONG_TOKEN = "zero", "small", "large", "opposite", "wrong-token"
#: Every kind of start, the simplest first.
STARTS = (ZERO, SMALL, LARGE, OPPOSITE, WRONG_TOKEN)

SMALL_REACH = 1e-2  # B‖W_0‖ of a small start
SATURATED = 0.99  # attention on one wrong token from which a start counts as saturated there
MARGINS = (10.0, 20.0, 50.0)  # size of the largest margin of starts far from zero
_MOST_SELECTIONS = 16  # wrong selections looked at for a locally optimal one
_LEAST_MARGIN = 1e-100  # relative; weights that bring smaller margins to size have a norm that overflows
_ROOM = 1e-6  # relative room with which a float solution has to prove itself


@dataclass(frozen=True, eq=False)
class Selection:
    """One token chosen from each sequence, and the max-margin direction that singles these tokens out.

    ``locally_optimal`` says that every active rival of a chosen token has a smaller score (docs/theory.md#s3):
    gradient descent from far out along ``direction`` is then attracted to it, though the tokens may be wrong.
    """

    tokens: tuple[int, ...]
    direction: Array
    locally_optimal: bool


def weights(
    geometry: Geometry, kinds: tuple[str, ...] = STARTS, sizes: tuple[float, ...] = MARGINS
) -> st.SearchStrategy[Array | None]:
    """Strategy for initial weights of the given kinds; None stands for zero.

    A kind that is given twice is drawn twice as often.  One that the data do not admit (``opposite`` for
    inseparable data) gives zero.  Starts far from zero have margins of about one of the ``sizes``.

    Raises
    ------
    ValueError
        For an unknown kind, or none.
    """
    unknown = [kind for kind in kinds if kind not in STARTS]
    if unknown or not kinds:
        raise ValueError(f"unknown start {', '.join(unknown) or '()'}: use some of {', '.join(STARTS)}")
    return _weights(geometry, kinds, sizes)


@st.composite
def _weights(
    draw: st.DrawFn, geometry: Geometry, kinds: tuple[str, ...], sizes: tuple[float, ...]
) -> Array | None:
    kind = draw(st.sampled_from(kinds))
    if kind == ZERO or geometry.features.radius == 0.0:
        return None
    if kind == SMALL:
        return _scaled(_draw_integers(draw, geometry.dataset.d), SMALL_REACH / geometry.features.radius)
    size = draw(st.sampled_from(sizes))
    if kind == LARGE:
        W = _draw_integers(draw, geometry.dataset.d)
    elif kind == OPPOSITE:
        W = _opposite(geometry)
    else:
        order = draw(st.permutations(range(geometry.dataset.n))) if geometry.dataset.n > 1 else [0]
        selection = wrong_selection(geometry.dataset, order, draw(st.integers(1, geometry.dataset.n)))
        W = selection.direction
        if selection.locally_optimal:  # its own margins are at least 1
            return W * _power_near(size)
    margins = _margins(geometry.dataset, W)
    top = np.abs(margins).max()
    if top > size * _LEAST_MARGIN:
        return W * _power_near(size / top)
    return _scaled(W, size / geometry.features.radius)


def _draw_integers(draw: st.DrawFn, d: int) -> Array:
    entries = draw(st.lists(st.integers(-3, 3), min_size=d * d, max_size=d * d))
    return np.array(entries, dtype=np.float64).reshape(d, d)


def _scaled(W: Array, norm: float) -> Array | None:
    """W times the power of two that brings it nearest to a norm; None for W = 0."""
    length = float(np.linalg.norm(W))
    return W * _power_near(norm / length) if length > 0.0 else None


def _power_near(value: float) -> float:
    return 2.0 ** round(math.log2(value))


def _opposite(geometry: Geometry) -> Array:
    """−Ŵ, or 0 for inseparable data."""
    solution = geometry.max_margin
    if solution is None:
        return np.zeros((geometry.dataset.d, geometry.dataset.d))
    return -geometry.features.combine(solution.direction) + 0.0


def wrong_selection(dataset: TokenDataset, order: list[int], count: int) -> Selection:
    """Wrong tokens in the first ``count`` sequences of ``order``: a locally optimal selection if one is found.

    Looks at selections in order of decreasing scores of the wrong tokens.  If none of the first few is locally
    optimal, the result is the first, with direction Σ (x_wrong − x_o) qᵀ over these sequences.
    """
    scores = np.array([[float(score) for score in row] for row in dataset.exact_scores])
    ranked = np.argsort(-scores, axis=1, kind="stable")  # the optimal token first
    chosen = order[:count]
    rivals = dataset.T - 1
    first: Selection | None = None
    for code in range(min(rivals**count, _MOST_SELECTIONS)):
        tokens = dataset.optimal.copy()
        for position, i in enumerate(chosen):
            tokens[i] = ranked[i, 1 + code // rivals**position % rivals]
        selection = _examine(dataset, scores, tokens, chosen)
        if selection.locally_optimal:
            return selection
        first = first or selection
    assert first is not None  # there is at least one rival
    return first


def _examine(dataset: TokenDataset, scores: Array, tokens: np.ndarray, chosen: list[int]) -> Selection:
    """Whether a selection is locally optimal, by its own SVM in float64."""
    rows = np.arange(dataset.n)
    picked = dataset.X[rows, tokens]
    rest = np.array([[t for t in range(dataset.T) if t != a] for a in tokens])
    pairs = picked[:, None] - np.take_along_axis(dataset.X, rest[:, :, None], axis=1)
    features = np.einsum("itd,ie->itde", pairs, dataset.queries).reshape(dataset.N, -1)
    support = propose_support(features @ features.T)
    if support:
        inner = features[support] @ features[support].T
        W = np.linalg.lstsq(inner, np.ones(len(support)), rcond=None)[0] @ features[support]
        margins = (features @ W).reshape(dataset.n, -1)
        if (margins > 1.0 - _ROOM).all():
            rival = np.take_along_axis(scores, rest, axis=1)
            beaten = rival < scores[rows, tokens][:, None]
            if (beaten | (margins > 1.0 + _ROOM)).all():
                return Selection(tuple(int(t) for t in tokens), _square(W, dataset.d), True)
    best = dataset.X[chosen, dataset.optimal[chosen]]
    W = np.einsum("id,ie->de", picked[chosen] - best, dataset.queries[chosen])
    return Selection(tuple(int(t) for t in tokens), W + 0.0, False)


def _square(W: Array, d: int) -> Array:
    return np.asarray(W.reshape(d, d) + 0.0)


def _margins(dataset: TokenDataset, W: Array) -> Array:
    """Logits of the optimal tokens over the others, shape (n, T−1)."""
    logits = np.einsum("itd,de,ie->it", dataset.X, W, dataset.queries)
    best = np.take_along_axis(logits, dataset.optimal[:, None], axis=1)
    return np.asarray(best - np.take_along_axis(logits, dataset.others, axis=1))


def start_name(instance: Instance, geometry: Geometry) -> str:
    """Which kind of start an instance has, judged by where W_0 lies and not by how it was drawn.

    ``zero``; ``small``: B‖W_0‖ ≤ 0.05; ``opposite``: W_0 = −‖W_0‖Ŵ up to rounding; ``wrong-token``: some sequence
    puts at least 99 % of its attention on one token that is not optimal; ``large``: everything else.
    """
    W_0 = instance.run.W_0
    if W_0 is None or not W_0.any():
        return ZERO
    norm = float(np.linalg.norm(W_0))
    if geometry.features.radius * norm <= 5 * SMALL_REACH:
        return SMALL
    solution = geometry.max_margin
    if solution is not None and np.linalg.norm(W_0 / norm - _opposite(geometry)) < _ROOM:
        return OPPOSITE
    margins = _margins(instance.dataset, W_0)
    rivals = -np.concatenate([np.zeros((margins.shape[0], 1)), margins], axis=1)  # logits, the optimal token at 0
    attention = np.exp(rivals - rivals.max(axis=1, keepdims=True))
    attention /= attention.sum(axis=1, keepdims=True)
    return WRONG_TOKEN if attention[:, 1:].max() >= SATURATED else LARGE
