"""Builders of separable token datasets, one a data family.

All of them write a sequence through its query h and its pair differences δ_t = x_o − x_t (δ_o = 0):
x_t = y (h + δ_1 − δ_t), so that the first token is the query y h and Z_t = δ_t hᵀ whatever the label.
Two facts make the data separable without a test or a retry:

* *axis*: δ_{t,0} > 0 and h_0 > 0 for all pairs ⇒ W = e_0 e_0ᵀ gives every pair a positive margin;
* *planted*: ⟨δ_t, W* h⟩ ≥ m > 0 for one W* ⇒ W* does.

A sequence is drawn as one block of bytes.  A block is a single choice to Hypothesis, so generation is cheap,
deleting a block deletes a sequence, and a smaller byte means a simpler number; the block's length does not
depend on T and d, so these can shrink without disturbing what is left.  Tokens and coordinates are windows of
a block (`draw_window`), so that the first ones can be dropped as well as the last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.dataset import Array, TokenDataset

Indices = NDArray[np.int64]

# Tables are ordered from the simplest number on: byte 0 stands for the first.
ENTRIES = np.array([0, 1, -1, 0, 0.5, -0.5, 2, -2, 1.5, -1.5, 0.25, -0.25])
POSITIVE = np.array([1, 2, 0.5, 1.5, 0.75, 1.25])
INTEGERS = np.array([0, 1, -1, 0, 2, -2, 3, -3])
NATURALS = np.array([1.0, 2, 3])
NON_NEGATIVE = np.array([0, 1, 0, 0.5, 2, 0.25])
MILD = np.array([0, 0.5])
ONE = np.array([1.0])
SCATTERED = np.array([1, 2, 0.5, 4, 3, 0.25, 6, 0.125])

# Strategies drawn from at every example are made once: making one costs as much as drawing from it.
_TOKEN_SCALES = st.sampled_from((1.0, 2.0, 0.5, 0.25))
_DECODERS = st.sampled_from((1.0, -1.0, 2.0, 0.5, 4.0, 0.25, -2.0, -0.5, -4.0, -0.25))
_POSITIVE_DECODERS = st.sampled_from((1.0, 2.0, 0.5, 4.0, 0.25))
_INTEGER_DECODERS = st.sampled_from((1.0, -1.0, 2.0, -2.0))
_SIGNALS = st.sampled_from((1.0, 2.0, 0.5))
_NOISES = st.sampled_from((1.0, 0.5, 0.25))
_STRENGTHS = st.sampled_from((0.0, 0.5, 1.0))
# few binary digits first: readable when shrunk; 48 are real numbers for all purposes
_DIGITS = st.sampled_from((2, 8, 48))
_MARGINS = st.sampled_from((1.0, 0.25))
_NONE = np.zeros(0, dtype=np.int64)  # no coordinates: the entries come from a seed
_HEADER = 7  # bytes before the entries: label, position, height, gap, size, two of a seed


@dataclass(frozen=True)
class Sizes:
    """Numbers of sequences, tokens and dimensions: the maxima (or minima) of a family."""

    n: int
    T: int
    d: int


@dataclass(frozen=True)
class Sequences:
    """What was drawn for the sequences, as bytes still to be read by `pick`, and their labels.

    ``entries`` has shape (n, T + 1, d): row 0 for the query, row 1 to displace all tokens, then the pairs.
    """

    labels: Array
    optimal: Indices
    height: Indices
    gap: Indices
    size: Indices
    seeds: list[int]
    entries: Indices

    @property
    def n(self) -> int:
        return int(self.labels.size)


def pick(table: Array, choices: Indices) -> Array:
    """Read bytes as entries of ``table``; the smallest bytes are its first, simplest entries."""
    return np.asarray(table[choices % len(table)])


def draw_window(draw: st.DrawFn, least: int, most: int, total: int) -> Indices:
    """Position 0 and a cyclic window of the positions 1 … ``total`` − 1; its length is the size drawn.

    To drop the first position of the window Hypothesis has to lower the size and raise the offset by the same
    amount, which is among the moves its shrinker tries on neighbouring integers.
    """
    size, first = draw(st.integers(least, most)), draw(st.integers(0, max(total - 2, 0)))
    return np.append(0, 1 + (first + np.arange(size - 1)) % max(total - 1, 1))


def draw_sizes(draw: st.DrawFn, limits: Sizes, T: int = 2, d: int = 1) -> tuple[Indices, Indices]:
    """Windows for at least ``T`` tokens and ``d`` coordinates."""
    return draw_window(draw, T, limits.T, limits.T), draw_window(draw, d, limits.d, limits.d)


def draw_sequences(
    draw: st.DrawFn,
    limits: Sizes,
    tokens: Indices,
    coordinates: Indices,
    least: int = 1,
    most: int | None = None,
) -> Sequences:
    """Draw between ``least`` and ``most`` (at most ``limits.n``) sequences with entries in two windows."""
    rows, columns = limits.T + 1, limits.d if coordinates.size else 0
    length = _HEADER + rows * columns
    block = st.binary(min_size=length, max_size=length)
    blocks = draw(st.lists(block, min_size=least, max_size=limits.n if most is None else most))
    raw = np.frombuffer(b"".join(blocks), dtype=np.uint8).reshape(len(blocks), length).astype(np.int64)
    entries = raw[:, _HEADER:].reshape(len(blocks), rows, columns)
    return Sequences(
        labels=np.asarray(1.0 - 2.0 * (raw[:, 0] % 2), dtype=np.float64),
        optimal=raw[:, 1] % tokens.size,
        height=raw[:, 2],
        gap=raw[:, 3],
        size=raw[:, 4],
        seeds=[int(seed) for seed in 256 * raw[:, 5] + raw[:, 6]],
        entries=entries[:, rows_of(tokens)][:, :, coordinates],
    )


def rows_of(tokens: Indices) -> Indices:
    """Rows of a block that belong to a window of tokens: query, displacement, then one a pair."""
    return np.append(0, 1 + tokens)


def assemble(
    drawn: Sequences,
    pairs: Array,
    query: Array,
    u: Array,
    scale: float,
    displaced: Array | None = None,
) -> TokenDataset:
    """The dataset with pair differences ``pairs`` (n, T−1, d) and queries ``query`` (n, d), up to signs.

    Without ``displaced`` it is self-attention; with it the queries are given apart and the first
    non-optimal token of each sequence is ``displaced`` (n, d).  The first nonzero entry of ``u`` decides the
    sign of all tokens, so that larger δ means a larger gap for either sign.
    """
    n, others, d = pairs.shape
    delta = np.zeros((n, others + 1, d))
    places = np.arange(others) + (np.arange(others) >= drawn.optimal[:, None])
    np.put_along_axis(delta, places[:, :, None], pairs, axis=1)
    origin = query + delta[:, 0] if displaced is None else displaced + pairs[:, 0]
    factor = scale * math.copysign(1.0, u[0]) * drawn.labels
    # adding 0.0 turns −0.0 into 0.0, so that equal data have equal identifiers
    X = (origin[:, None] - delta) * factor[:, None, None] + 0.0
    given = None if displaced is None else query * factor[:, None] + 0.0
    return TokenDataset(X, drawn.labels, u, given)


def axis_decoder(decoder: float, d: int) -> Array:
    """``decoder`` · e_0."""
    u = np.zeros(d)
    u[0] = decoder
    return u


def draw_scales(draw: st.DrawFn) -> tuple[float, float]:
    """Token scale and decoder scale: signed powers of two."""
    return draw(_TOKEN_SCALES), draw(_DECODERS)


def read_axis(drawn: Sequences, entries: Array, sizes: Array) -> tuple[Array, Array]:
    """Pair differences and queries of the axis construction with equal gaps, from two tables."""
    pairs, query = pick(entries, drawn.entries[:, 2:]), pick(entries, drawn.entries[:, 0])
    pairs[:, :, 0] = pick(sizes, drawn.gap)[:, None]
    query[:, 0] = pick(sizes, drawn.height)
    return pairs, query


# ------------------------------------------------------------------------------------------ axis families
@st.composite
def equal_scores(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Axis construction, gaps equal within a sequence, other coordinates arbitrary dyadic fractions."""
    tokens, coordinates = draw_sizes(draw, limits)
    scale, decoder = draw_scales(draw)
    drawn = draw_sequences(draw, limits, tokens, coordinates)
    return assemble(drawn, *read_axis(drawn, ENTRIES, POSITIVE), axis_decoder(decoder, coordinates.size), scale)


@st.composite
def integer_grid(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Axis construction in small integers; non-optimal tokens of a sequence often coincide."""
    tokens, coordinates = draw_sizes(draw, limits)
    decoder = draw(_INTEGER_DECODERS)
    drawn = draw_sequences(draw, limits, tokens, coordinates)
    return assemble(drawn, *read_axis(drawn, INTEGERS, NATURALS), axis_decoder(decoder, coordinates.size), 1.0)


@st.composite
def unequal_scores(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Axis construction with gaps in g·[1, 1 + 1/T), not all equal in any sequence.

    Then D_i(W = 0) = (1/T) Σ_t Δ_it < g (T−1)(1 + 1/T)/T < g ≤ min_t Δ_it: PC holds at W = 0.
    """
    tokens, coordinates = draw_sizes(draw, limits, T=3)
    scale, decoder = draw_scales(draw)
    drawn = draw_sequences(draw, limits, tokens, coordinates)
    pairs, query = read_axis(drawn, ENTRIES, POSITIVE)
    T = tokens.size
    grid = 1 << (4 * T - 1).bit_length()
    steps = math.ceil(grid / T)  # k = 0 … steps − 1 are those with k/grid < 1/T
    pairs[:, :, 0] *= 1.0 + _uneven(drawn.entries[:, 2:, 0], steps) / grid
    return assemble(drawn, pairs, query, axis_decoder(decoder, coordinates.size), scale)


@st.composite
def scattered_scores(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Axis construction with gaps that differ by factors of up to 48; PC may fail already at W = 0."""
    tokens, coordinates = draw_sizes(draw, limits, T=3)
    scale, decoder = draw_scales(draw)
    drawn = draw_sequences(draw, limits, tokens, coordinates)
    pairs, query = read_axis(drawn, ENTRIES, POSITIVE)
    pairs[:, :, 0] = SCATTERED[_uneven(drawn.entries[:, 2:, 0], len(SCATTERED))]
    return assemble(drawn, pairs, query, axis_decoder(decoder, coordinates.size), scale)


def _uneven(choices: Indices, count: int) -> Indices:
    """Indices below ``count``, shape (n, T−1), of which no row is constant."""
    index = choices % count
    flat = (index == index[:, :1]).all(axis=1)
    index[flat, -1] += np.where(index[flat, -1] + 1 < count, 1, -1)
    return index


@st.composite
def non_negative(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """δ ≥ 0 and h ≥ 0 coordinatewise: ⟨δ, δ'⟩⟨h, h'⟩ ≥ 0.

    Half of them are mild: along e_0 all gaps and heights are 1, so γ ≥ 1, and the other entries are at most
    ½, so B ≤ 1 + (d−1)/4: γ/B ≥ ½ up to d = 5, with any number of pairs.
    """
    tokens, coordinates = draw_sizes(draw, limits)
    mild = draw(st.booleans())
    scale, decoder = draw_scales(draw)
    drawn = draw_sequences(draw, limits, tokens, coordinates)
    tables = (MILD, ONE) if mild else (NON_NEGATIVE, POSITIVE)
    return assemble(drawn, *read_axis(drawn, *tables), axis_decoder(decoder, coordinates.size), scale)


@st.composite
def crowded(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Axis construction in d ≤ 2 with N > d² pairs, so that their features are linearly dependent."""
    wide = limits.d >= 2 and limits.n * (limits.T - 1) > 4
    d = draw(st.integers(1, 2 if wide else 1))
    tokens = draw_window(draw, d * d // limits.n + 2, limits.T, limits.T)
    scale, decoder = draw_scales(draw)
    least = d * d // (tokens.size - 1) + 1
    coordinates = np.arange(d)
    drawn = draw_sequences(draw, limits, tokens, coordinates, least=least)
    return assemble(drawn, *read_axis(drawn, ENTRIES, POSITIVE), axis_decoder(decoder, coordinates.size), scale)


@st.composite
def well_conditioned(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """At most four pairs, each h·e_k e_mᵀ with h in {1, 5/4}, and the decoder ∝ (1, …, 1).

    All features are non-negative, and under NNC γ^{−2} ≤ Σ_j ‖Z_j‖^{−2} (drop the cross terms of
    ‖Σ p_j Z_j‖²); here B² times the right side is at most 1 + 3·25/16 < 1/0.41².
    """
    tokens = draw_window(draw, 2, min(limits.T, 3), limits.T)
    d = draw(st.integers(1, limits.d))
    scale, decoder = draw_scales(draw)
    most = min(limits.n, 4 // (tokens.size - 1))
    drawn = draw_sequences(draw, limits, tokens, np.arange(d), most=most)
    basis = np.eye(d)
    pairs = pick(basis, drawn.entries[:, 2:, 0])
    query = pick(basis, drawn.entries[:, 0, 0]) * pick(np.array([1.0, 1.25]), drawn.height)[:, None]
    return assemble(drawn, pairs, query, np.full(d, decoder), scale)


# ------------------------------------------------------------------------------ planted and random families
@st.composite
def planted(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Gaussian tokens, differences pushed along W* h for a random orthogonal W*; exact equal scores."""
    return _planted(draw, limits, cross=False)


@st.composite
def cross_attention(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Given queries, unrelated to the tokens but for separability: axis or planted construction."""
    if limits.d >= 2 and draw(st.booleans()):
        return _planted(draw, limits, cross=True)
    tokens, coordinates = draw_sizes(draw, limits)
    scale, decoder = draw_scales(draw)
    drawn = draw_sequences(draw, limits, tokens, coordinates)
    displaced = pick(ENTRIES, drawn.entries[:, 1])
    pairs, query = read_axis(drawn, ENTRIES, POSITIVE)
    return assemble(drawn, pairs, query, axis_decoder(decoder, coordinates.size), scale, displaced)


def _planted(draw: st.DrawFn, limits: Sizes, cross: bool) -> TokenDataset:
    tokens, coordinates = draw_sizes(draw, limits, d=2)
    d = coordinates.size
    grid = 2.0 ** draw(_DIGITS)
    margin = draw(_MARGINS)
    scale, decoder = draw_scales(draw)
    seed = draw(st.integers(0, 2**16 - 1))
    W, _ = np.linalg.qr(np.random.default_rng([seed, d]).normal(size=(d - 1, d - 1)))
    drawn = draw_sequences(draw, limits, tokens, _NONE)
    normal = np.array([np.random.default_rng(s).normal(size=(limits.T + 1, limits.d)) for s in drawn.seeds])
    values = np.round(normal[:, rows_of(tokens)][:, :, coordinates] * grid) / grid
    query, displaced, pairs = values[:, 0], values[:, 1], values[:, 2:]
    # a short query would need a long push: lengthen it instead of drawing again
    query[np.linalg.norm(query[:, 1:], axis=1) < 0.5, 1] += 1.0
    pull = query[:, 1:] @ W.T
    missing = (margin - np.einsum("itk,ik->it", pairs[:, :, 1:], pull)) / (pull**2).sum(axis=1)[:, None]
    push = np.ceil(np.maximum(missing, 0.0) * grid) / grid
    pairs[:, :, 1:] += push[:, :, None] * pull[:, None, :]
    # the score coordinate stays dyadic, hence exactly equal scores; W* does not see it, so it is free
    query[:, 0], displaced[:, 0] = pick(ENTRIES, drawn.height), pick(ENTRIES, drawn.size)
    pairs[:, :, 0] = pick(POSITIVE, drawn.gap)[:, None]
    return assemble(
        drawn, pairs, query, axis_decoder(decoder, coordinates.size), scale, displaced if cross else None
    )


@st.composite
def near_orthogonal(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """NO(1) in d = nT + 1: token (i,t) is ρ_i e_{1+iT+t} + ε a_it e_0 + perturbation, up to sign.

    With 1 ≤ ρ ≤ 2 and perturbations of at most η ≤ min(¼, 1/d) an entry, ‖x_{i,o}‖² ≥ (1 − η)² ≥ 9/16
    and |⟨x_{i,o}, x_jτ⟩| ≤ ε² max a² + 4η + dη² ≤ ε² max a² + 5η.  ε and η give each term half of
    9/(16 n Υ).  The heights a_it follow the axis construction.
    """
    T = draw(st.integers(2, limits.T))
    strength = draw(_STRENGTHS)
    scale, decoder = draw_scales(draw)
    drawn = draw_sequences(draw, limits, np.arange(T), _NONE)
    n = drawn.n
    d = n * T + 1
    gap, height = pick(POSITIVE, drawn.gap), pick(POSITIVE, drawn.height)
    optimal = np.arange(T) == drawn.optimal[:, None]
    heights = height[:, None] + gap[:, None] * (optimal * 1.0 - optimal[:, :1])
    share = 9 / 16 / (n * gap.max() / gap.min()) / 2
    epsilon = power_below(math.sqrt(share) / np.abs(heights).max())
    eta = power_below(min(share / 5, 1 / d))
    X = np.zeros((n, T, d))
    X[:, :, 1:] = np.eye(n * T).reshape(n, T, -1) * pick(np.array([1, 2, 1.5]), drawn.size)[:, None, None]
    noise = [np.random.default_rng(seed).integers(-4, 5, size=(T, d - 1)) for seed in drawn.seeds]
    X[:, :, 1:] += np.array(noise) * (eta * strength / 4)
    X[:, :, 0] = epsilon * heights
    X *= (scale * math.copysign(1.0, decoder) * drawn.labels)[:, None, None]
    return TokenDataset(X + 0.0, drawn.labels, axis_decoder(decoder / epsilon, d))


def power_below(value: float) -> float:
    """The largest power of two that is at most ``value``."""
    return math.ldexp(1.0, math.frexp(value)[1] - 1)


@st.composite
def signal_plus_noise(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """Data model DM: x_{i,o} = μ_{y_i}, μ_+ = U e_0, μ_− = U e_1, other tokens Gaussian off both axes.

    The decoder is ∝ e_0 − e_1, so every noise token scores 0 exactly.  d ≥ 2 + n(T−1).  Separable almost
    surely: the noise queries are then linearly independent, so some v has ⟨v, q_i⟩ = 1 for all of them, and
    W = e_0 e_0ᵀ + e_1 e_1ᵀ + (μ_+ + μ_−) vᵀ has margins U² (noise query or signal query).
    """
    T = draw(st.integers(2, limits.T))
    U, sigma = draw(_SIGNALS), draw(_NOISES)
    decoder, extra = draw(_POSITIVE_DECODERS), draw(st.integers(0, 8))
    drawn = draw_sequences(draw, limits, np.arange(T), _NONE)
    n = drawn.n
    d = 2 + n * (T - 1) + extra
    X = np.zeros((n, T, d))
    # the place of a sequence is part of its seed, so that equal blocks still give independent noise
    noise = [np.random.default_rng([i, s]).normal(size=(T, d - 2)) for i, s in enumerate(drawn.seeds)]
    X[:, :, 2:] = np.array(noise) * sigma
    X[np.arange(n), drawn.optimal] = np.where(drawn.labels[:, None] > 0, np.eye(d)[0], np.eye(d)[1]) * U
    u = axis_decoder(decoder, d)
    u[1] = -decoder
    return TokenDataset(X, drawn.labels, u)
