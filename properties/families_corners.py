"""Datasets at the corners of the number system: ties, subnormal entries, vanishing margins, parallel queries.

They probe the machine rather than the mathematics: what is equal is equal to the last bit, what is small is as
small as float64 can hold, and starts on them may be saturated beyond it (`EXTREME_MARGINS`).  They follow the
conventions of `properties.families`; all are axis constructions with equal scores, hence separable.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from models.dataset import Array, TokenDataset
from properties.families import (
    ENTRIES,
    POSITIVE,
    Sequences,
    Sizes,
    assemble,
    axis_decoder,
    draw_scales,
    draw_sequences,
    draw_sizes,
    pick,
    read_axis,
)

TIED, SUBNORMAL, VANISHING, PARALLEL = "tied", "subnormal", "vanishing", "parallel"
KINDS = (TIED, SUBNORMAL, VANISHING, PARALLEL)
#: Sizes of margins at the start, added to the usual ones.  Attention of e^{-800} underflows in float64; a GD step
#: from there changes the loss gap by a part in e^{800}, which balls of 8192 bits still see (margins up to 5000).
EXTREME_MARGINS = (800.0, 2000.0)

TINY = 2.0**-1060  # times an entry of at least 1/16 it is subnormal: normal numbers end at 2⁻¹⁰²²
_KINDS = st.sampled_from(KINDS)
_EXPONENTS = st.integers(26, 34)  # γ/B of about 2⁻²⁶ = 1.5e-8 and less
_ANGLES = st.sampled_from((2.0**-20, 2.0**-40, 0.0))
_LENGTHS = np.array([1.0, 8.0])


@st.composite
def corners(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """One of four corners.

    * *tied*: differences (1, ±v) with one v for all sequences: by symmetry margins stay tied during training;
    * *subnormal*: all entries but those on the axis are subnormal numbers;
    * *vanishing*: two differences (ε, ±v) in every sequence with ε ≤ 2⁻²⁶ (tied, if there is no room for two);
    * *parallel*: queries of their own, equal up to an angle of 2⁻²⁰ or less, some of them eight times as long.
    """
    tokens, coordinates = draw_sizes(draw, limits)
    kind = draw(_KINDS)
    scale, decoder = draw_scales(draw)
    epsilon, angle = 0.5 ** draw(_EXPONENTS), draw(_ANGLES)
    drawn = draw_sequences(draw, limits, tokens, coordinates)
    pairs, query = read_axis(drawn, ENTRIES, POSITIVE)
    u = axis_decoder(decoder, coordinates.size)
    if kind == PARALLEL:
        return assemble(drawn, pairs, _parallel(drawn, query, angle), u, 1.0, np.zeros_like(query))
    if kind == SUBNORMAL:
        pairs[:, :, 1:] *= TINY
        query[:, 1:] *= TINY
    elif kind == VANISHING and min(tokens.size - 1, coordinates.size) >= 2:
        pairs[:, 0, 1] = 1.0
        pairs[:, 1] = -pairs[:, 0]
        pairs[:, :, 0] = epsilon
    else:
        pairs, query = _tied(pairs), np.broadcast_to(query[0], query.shape).copy()
    return assemble(drawn, pairs, query, u, scale)


def _tied(pairs: Array) -> Array:
    """Every difference is the first one or its mirror image at the axis."""
    n, others = pairs.shape[:2]
    mirrored = (np.arange(n)[:, None] + np.arange(others)) % 2 == 1
    tied = np.broadcast_to(pairs[0, 0], pairs.shape).copy()
    tied[mirrored, 1:] *= -1.0
    return tied


def _parallel(drawn: Sequences, query: Array, angle: float) -> Array:
    """The first query, turned by about ``angle`` and stretched."""
    turned = np.broadcast_to(query[0], query.shape) + angle * pick(ENTRIES, drawn.entries[:, 1])
    turned[:, 0] = query[0, 0]
    return np.asarray(turned * pick(_LENGTHS, drawn.size)[:, None])
