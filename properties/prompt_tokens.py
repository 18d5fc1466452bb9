"""Families of separable datasets for a trained prompt, as a Hypothesis strategy.

Coordinate 0 of a token holds its score.  The first coordinate of the keys is coordinate 1 of the tokens, in which
every optimal token lies beyond the others, so that e_0 separates without a test.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from models.dataset import Array
from models.prompt import PromptDataset
from properties.families import ENTRIES, POSITIVE, Indices, pick
from properties.families_slow import GAPS, LOWER, NARROW, NORMS, draw_base
from properties.plain import PlainFamily

MOST_SEQUENCES, MOST_TOKENS, MOST_DIMENSIONS = 3, 4, 4

FEW_DIGITS = PlainFamily("few-digits", "few-digit tokens and keys, equal scores")
GAUSSIAN = PlainFamily("gaussian", "Gaussian tokens and keys, equal scores: real numbers for all purposes")
UNEVEN = PlainFamily("uneven", "gaps within a factor 1 + 1/T, so that PC holds at p = 0")
OPPOSED = PlainFamily(
    "opposed",
    "two sequences that pull against each other with different gaps and norms, equal scores",
    hostile=True,
)
DECOY = PlainFamily("decoy", "a token of middling score beyond the others: locally optimal wrong tokens")
FAMILIES = (FEW_DIGITS, GAUSSIAN, UNEVEN, OPPOSED, DECOY)

_HEADER = 4  # bytes of a sequence before its entries: label, position, gap, norm
_ROW = _HEADER + MOST_TOKENS * MOST_DIMENSIONS
_BLOCK = st.binary(min_size=_ROW, max_size=_ROW)
_MATRIX = st.binary(min_size=MOST_DIMENSIONS**2, max_size=MOST_DIMENSIONS**2)
_DECODERS = st.sampled_from((1.0, 2.0, 0.5, 4.0))
_STRENGTHS = st.sampled_from((1.0, 0.5, 2.0))


@st.composite
def prompt_tokens(draw: st.DrawFn, family: PlainFamily, one_sequence: bool = False) -> PromptDataset:
    """A member of one of `FAMILIES` with at most 3 sequences of 4 tokens in 4 dimensions, and as many keys.

    ``opposed`` has two sequences, whatever is asked for.
    """
    least, most = (2, 2) if family == OPPOSED else (1, 1 if one_sequence else MOST_SEQUENCES)
    T = draw(st.integers(3 if family in (UNEVEN, DECOY) else 2, 3 if family == OPPOSED else MOST_TOKENS))
    d, m = draw(st.integers(3 if family == OPPOSED else 2, MOST_DIMENSIONS)), draw(st.integers(1, 3))
    blocks = draw(st.lists(_BLOCK, min_size=least, max_size=most))
    n = len(blocks)
    raw = np.frombuffer(b"".join(blocks), dtype=np.uint8).reshape(n, _ROW).astype(np.int64)
    entries = raw[:, _HEADER:].reshape(n, MOST_TOKENS, MOST_DIMENSIONS)[:, :T, :d]
    mixing = np.frombuffer(draw(_MATRIX), dtype=np.uint8).reshape(MOST_DIMENSIONS, -1).astype(np.int64)[:d, :m]
    table = pick(ENTRIES, entries)
    W = pick(ENTRIES, mixing)
    if family == GAUSSIAN:
        rng = np.random.default_rng([*raw.ravel().tolist(), *mixing.ravel().tolist()])
        table[:, :, 2:], W = rng.standard_normal((n, T, d - 2)), rng.standard_normal((d, m))
    W[:, 0], W[1, 0] = 0.0, 1.0
    # Row 0 is the optimal token, the others are differences from it to the other tokens.
    best, delta = table[:, 0], table[:, 1:]
    gap = pick(GAPS if family == OPPOSED else POSITIVE, raw[:, 2])
    delta[:, :, 0] = gap[:, None]
    delta[:, :, 1] = pick(POSITIVE, entries[:, 1:, 1])
    if family == UNEVEN:
        delta[:, :, 0] *= _within_one_over_T(entries[:, 1:, 0], T)
    elif family == OPPOSED:
        W = np.eye(d)[:, 1:]
        sign = 1.0 - 2.0 * (np.arange(n) % 2)
        base = draw(_STRENGTHS) * draw_base(draw, d - 2)
        delta[:, :, 2:] = sign[:, None, None] * (base + delta[:, :, 2:] / 4)
        delta[:, :, 1] = pick(NARROW, entries[:, 1:, 1])
        delta[:, :, 1:] *= pick(NORMS, raw[:, 3])[:, None, None]
    elif family == DECOY:
        W = np.eye(d)[:, 1:]
        rows, place = np.arange(n), raw[:, 3] % (T - 1)
        delta[:, :, 2:] /= 4
        delta[:, :, 0] *= pick(LOWER, entries[:, 1:, 0])
        delta[rows, place, 0] = gap
        delta[rows, place, 1] += 4.0
    y = np.asarray(1.0 - 2.0 * (raw[:, 0] % 2), dtype=np.float64)
    delta[:, :, 0] *= y[:, None]
    u = np.zeros(d)
    u[0] = draw(_DECODERS)
    return PromptDataset(X=_placed(best, delta, raw[:, 1] % T), y=y, u=u, W=W + 0.0)


def _within_one_over_T(choices: Indices, T: int) -> Array:
    """Factors in [1, 1 + 1/T), of which no row is constant."""
    grid = 1 << (4 * T - 1).bit_length()
    steps = -(-grid // T)  # k = 0 … steps − 1 are those with k/grid < 1/T
    k = choices % steps
    k[:, -1] = np.where((k == k[:, :1]).all(axis=1), (k[:, 0] + 1) % steps, k[:, -1])
    return np.asarray(1.0 + k / grid)


def _placed(best: Array, delta: Array, place: Indices) -> Array:
    """Tokens with the optimal one of each sequence at its place."""
    T = delta.shape[1] + 1
    X = np.repeat(best[:, None], T, axis=1)
    for i, rest in enumerate(delta):
        X[i, np.arange(T) != place[i]] -= rest
    return np.asarray(X + 0.0)  # −0 is 0
