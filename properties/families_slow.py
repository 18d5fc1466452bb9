"""Builders of separable token datasets on which training is slow, degenerate or pulled two ways.

They follow the conventions of `properties.families`: a sequence is its query h and its pair differences δ_t, drawn
as one block of bytes, and separability is built in.  The score coordinate is number 0; where gaps are to be large
or small without the features being so, it is scaled down and the decoder up.
"""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from models.dataset import Array, TokenDataset
from properties.families import (
    ENTRIES,
    POSITIVE,
    Sizes,
    assemble,
    axis_decoder,
    draw_scales,
    draw_sequences,
    draw_sizes,
    pick,
    power_below,
    read_axis,
)

# Ordered from the simplest number on, as byte 0 stands for the first.
POWERS = np.array([1, 2, 0.5, 4])
LEVELS = np.array([1.0, 2.0])
GAPS = np.array([1, 2, 0.5, 8, 0.125, 32, 0.03125])
LOWER = np.array([2.0, 3, 1.5, 8])
SIGNED = np.array([-1, 1, -2, 2, -0.5, 0.5, 0])
NORMS = np.array([1, 2, 0.5, 4, 0.25])
NARROW = np.array([1, 0.5, 0.25, 0.0625])

_DECODERS = st.sampled_from((1.0, -1.0, 0.5, -0.5, 2.0, -2.0))
_MILD_DECODERS = st.sampled_from((1.0, -1.0, 0.5, -0.5, 0.25, 0.125))
_WEIGHTS = st.sampled_from((2.0**-5, 2.0**-9))  # of the score coordinate among the features
_SHARES = st.sampled_from((0.0, 1.0, 0.5, 0.25))
_OPPOSITION = st.sampled_from((1.0, 0.5, 2.0))


@st.composite
def degenerate_support(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Active pairs without a multiplier, or linearly dependent ones.

    All pairs have δ_0 h_0 ∈ {1, 2}, and the first pair of the first sequence is Z = e_0 e_0ᵀ itself.  So
    e_0 e_0ᵀ lies in the hull of the features and has inner product ≥ 1 with each: W_mm = e_0 e_0ᵀ.  The second
    pair, (1, 1, …) e_0ᵀ up to scale, is active too; as W_mm is the first feature, the multipliers of all active
    pairs are positive only if these are dependent.
    """
    tokens, coordinates = draw_sizes(draw, limits, T=3, d=2)
    scale, decoder = draw_scales(draw)
    drawn = draw_sequences(draw, limits, tokens, coordinates)
    pairs, query = pick(ENTRIES, drawn.entries[:, 2:]), pick(ENTRIES, drawn.entries[:, 0])
    gap, level = pick(POWERS, drawn.gap), pick(LEVELS, drawn.height)
    level[0] = 1.0
    pairs[:, :, 0] = gap[:, None]
    query[:, 0] = level / gap
    query[0, 1:] = pairs[0, 0, 1:] = 0.0
    pairs[0, 1, 1] = 1.0
    return assemble(drawn, pairs, query, axis_decoder(decoder, coordinates.size), scale)


@st.composite
def unbalanced_gaps(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Equal scores within a sequence, gaps of different sequences apart by factors of up to 1024.

    Separable along coordinate 1, so that a small gap does not make a small margin.
    """
    tokens, coordinates = draw_sizes(draw, limits, d=2)
    weight = draw(_WEIGHTS)
    decoder = draw(_DECODERS)
    drawn = draw_sequences(draw, limits, tokens, coordinates)
    pairs, query = pick(ENTRIES, drawn.entries[:, 2:]), pick(ENTRIES, drawn.entries[:, 0])
    pairs[:, :, 1] = pick(POSITIVE, drawn.entries[:, 2:, 1])
    query[:, 1] = pick(POSITIVE, drawn.height)
    query[:, 0] *= weight
    pairs[:, :, 0] = weight * pick(GAPS, drawn.gap)[:, None]
    return assemble(drawn, pairs, query, axis_decoder(decoder / weight, coordinates.size), 1.0)


@st.composite
def opposed(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Sequences that pull against each other, with gaps and norms that differ widely; equal scores.

    Beyond coordinate 1, along which the data are (narrowly) separable, the features of a sequence are ±(b + noise)
    with one base vector b and random signs, so those of different sequences are often strongly, and sometimes
    almost perfectly, negatively correlated.
    """
    tokens, coordinates = draw_sizes(draw, limits, d=3)
    weight = draw(_WEIGHTS)
    decoder = draw(_DECODERS)
    strength = draw(_OPPOSITION)
    base = draw_base(draw, coordinates.size - 2)
    drawn = draw_sequences(draw, limits, tokens, coordinates, least=2)
    pairs, query = pick(ENTRIES, drawn.entries[:, 2:]), pick(ENTRIES, drawn.entries[:, 0])
    sign = 1.0 - 2.0 * ((np.arange(drawn.n) + (drawn.entries[:, 1, 2] % 4 == 3)) % 2)  # mostly alternating
    noise = pairs[:, :, 2:] / 4
    pairs[:, :, 2:] = sign[:, None, None] * strength * (base + noise)
    pairs[:, :, 1] = pick(NARROW, drawn.entries[:, 2:, 1])
    pairs[:, :, 1:] *= pick(NORMS, drawn.size)[:, None, None]
    query[:, 2:] /= 2
    query[:, 1] = pick(POSITIVE, drawn.height)
    query[:, 0] *= weight
    pairs[:, :, 0] = weight * pick(GAPS, drawn.gap)[:, None]
    return assemble(drawn, pairs, query, axis_decoder(decoder / weight, coordinates.size), 1.0)


@st.composite
def decoy(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Locally optimal wrong selections: in every sequence one token of middling score lies beyond the rest.

    Along coordinate 1 the optimal token is at 0, the decoy at −5 or beyond and the other tokens, whose scores are
    lower, between them.  A direction that picks the decoys has those tokens as its active rivals and the optimal
    ones far behind.  Separable along coordinate 1.
    """
    tokens, coordinates = draw_sizes(draw, limits, T=3, d=2)
    decoder = draw(_DECODERS)
    drawn = draw_sequences(draw, limits, tokens, coordinates)
    pairs, query = pick(ENTRIES, drawn.entries[:, 2:]) / 4, pick(ENTRIES, drawn.entries[:, 0]) / 4
    rows, place = np.arange(drawn.n), drawn.size % (tokens.size - 1)
    gap = pick(POSITIVE, drawn.gap)
    pairs[:, :, 0] = gap[:, None] * pick(LOWER, drawn.entries[:, 2:, 0]) / 4
    pairs[:, :, 1] = pick(POSITIVE, drawn.entries[:, 2:, 1])
    pairs[rows, place, 0] = gap / 4
    pairs[rows, place, 1] += 4.0
    query[:, 1] = pick(POSITIVE, drawn.height)
    return assemble(drawn, pairs, query, axis_decoder(decoder * 4, coordinates.size), 1.0)


def draw_base(draw: st.DrawFn, d: int) -> Array:
    """A vector of small dyadic fractions whose first entry is 1."""
    base = pick(ENTRIES, np.frombuffer(draw(st.binary(min_size=d, max_size=d)), dtype=np.uint8).astype(np.int64))
    base[0] = 1.0
    return base


@st.composite
def weakly_correlated(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Differences that are nearly orthogonal between sequences: WC for a small enough step size.

    Sequence i has δ_it = b_t e_{1+i} + κ a_it with ½ ≤ b_t ≤ 2 and entries of a_it at most 2, 0 at 1+i; queries
    are positive; κ ≤ 1/(8d).  Within a sequence ⟨δ, δ'⟩ ≥ ¼ − 4dκ² > 0, and Σ_i e_{1+i} 1ᵀ separates.  κ is as
    large as M4's size condition permits with s̲² = 1/(2T²), for both losses; ε = 0 when the share of a is 0.
    """
    tokens, coordinates = draw_sizes(draw, limits, d=3)
    d = coordinates.size
    share, decoder = draw(_SHARES), draw(_MILD_DECODERS)
    drawn = draw_sequences(draw, limits, tokens, coordinates, least=2, most=min(limits.n, d - 1))
    gap, height = pick(POSITIVE, drawn.gap), pick(POSITIVE, drawn.height)
    query, noise = pick(POSITIVE, drawn.entries[:, 0]), pick(SIGNED, drawn.entries[:, 2:])
    own = np.zeros(noise.shape)
    own[np.arange(drawn.n), :, 1 + np.arange(drawn.n)] = pick(POSITIVE, drawn.entries[:, 2:, 0])
    noise[own > 0] = 0.0
    # scores lie in [height − gap, height + gap]·|decoder|, and |ℓ'(a)|/|ℓ'(b)| ≥ e^{−(a−b)} for a ≥ b
    spread = abs(decoder) * ((height + gap).max() - (height - gap).min())
    slopes = math.exp(-spread) * gap.min() / gap.max()
    kappa = power_below(1 / (8 * d))
    while True:
        pairs, query[:, 0] = own + kappa * share * noise, kappa * height
        pairs[:, :, 0] = kappa * gap[:, None]
        if _weak(pairs, query, slopes):
            return assemble(drawn, pairs, query, axis_decoder(decoder / kappa, d), 1.0)
        kappa /= 2  # ε falls at least in proportion, the other side of the condition tends to a positive limit


def _weak(pairs: Array, query: Array, slopes: float) -> bool:
    """M4's size condition with s̲² = 1/(2T²) and slopes of different sequences within the factor ``slopes``."""
    n, P, d = pairs.shape
    flat, owner = pairs.reshape(n * P, d), np.repeat(np.arange(n), P)
    gram = (flat @ flat.T) * (query @ query.T)[owner][:, owner]
    across = owner[:, None] != owner
    epsilon = max(0.0, -float(gram[across].min()))
    return bool(float(np.diag(gram).min()) * slopes >= (n - 1) * epsilon * (P + 1) ** 2 / 2)


@st.composite
def nearly_opposite(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Two differences (ε, v) and (ε, −v) in every sequence: their midpoint is ε e_0, so γ/B ≲ ε/‖v‖."""
    return _opposite(draw, limits, 1, 10)


@st.composite
def tiny_margins(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """The same with ε from 2⁻¹⁰ to 2⁻²⁰, so that γ/B is between about 10⁻³ and 10⁻⁶."""
    return _opposite(draw, limits, 10, 20)


def _opposite(draw: st.DrawFn, limits: Sizes, first: int, last: int) -> TokenDataset:
    tokens, coordinates = draw_sizes(draw, limits, T=3, d=2)
    epsilon = 0.5 ** draw(st.integers(first, last))
    magnified = draw(st.booleans())  # gaps of order one in spite of the small score coordinate
    scale, decoder = draw_scales(draw)
    drawn = draw_sequences(draw, limits, tokens, coordinates)
    pairs, query = read_axis(drawn, ENTRIES, POSITIVE)
    pairs[:, 0, 1] = 1.0
    pairs[:, 1] = -pairs[:, 0]
    pairs[:, :, 0] = epsilon
    if not magnified:
        return assemble(drawn, pairs, query, axis_decoder(decoder, coordinates.size), scale)
    # The query is given apart: as a token its score would be of order 1/ε, and no step would move anything.
    u = axis_decoder(decoder / epsilon, coordinates.size)
    return assemble(drawn, pairs, query, u, scale, np.zeros_like(query))
