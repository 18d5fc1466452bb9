"""Self-attention data whose optimal tokens are nearly orthogonal to all others, while the others oppose."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from models.dataset import TokenDataset
from properties.families import POSITIVE, Sizes, draw_sequences, pick

#: Coordinates of the distracting tokens in the plane that they share, and of the decoder there.
_PLANE = np.array([0.0, 1, -1, 2, -2, 4, -4, 8, -8, 16, -16])
_DECODER = st.sampled_from((0.0, 1.0, -1.0, 2.0, -2.0))


@st.composite
def orthogonal_optimum(draw: st.DrawFn, limits: Sizes) -> TokenDataset:
    """NO(1) with two tokens a sequence: x_{i,o} = b e_0 + a_i e_{1+i} first, then v_i in a plane of its own.

    The products of optimal tokens are b² among themselves and 0 with all others, and n b² ≤ a_i² + b²: NO(1) with
    Υ = 1, as all gaps are equal.  It speaks of nothing else: ⟨v_i, v_j⟩, and with it ⟨Z_i, Z_j⟩ =
    (b² + ⟨v_i, v_j⟩) b², may be as negative as it likes.  The decoder gives v_i the score w·v_i and x_{i,o} one
    gap more.  W = Σ e_{1+i} q_i'ᵀ separates, with q' dual to the queries, which are independent.
    """
    drawn = draw_sequences(draw, limits, np.arange(2), np.arange(2))
    w = np.array([draw(_DECODER), draw(_DECODER)])
    gap = draw(st.sampled_from((1.0, 2.0, 0.5, 4.0)))
    shared = draw(st.sampled_from((1.0, 0.5, 2.0)))
    n = drawn.n
    d = n + 3
    # powers of two, so that scores and gaps are exact; the least of them meets NO(1)
    least = 2.0 ** math.ceil(math.log2(max(n - 1, 1)) / 2)
    size = shared * least * np.ceil(pick(POSITIVE, drawn.size))
    X, u = np.zeros((n, 2, d)), np.zeros(d)
    X[:, 0, 0] = shared
    X[np.arange(n), 0, 1 + np.arange(n)] = size
    X[:, 1, n + 1 :] = pick(_PLANE, drawn.entries[:, 2])
    u[n + 1 :] = w
    u[1 : n + 1] = (X[:, 1, n + 1 :] @ w + gap) / size
    X *= drawn.labels[:, None, None]
    return TokenDataset(X + 0.0, drawn.labels, u)
