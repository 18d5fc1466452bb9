"""What the fused joint trainer works on: the constants of a run, its state, and the scratch of one step."""

from __future__ import annotations

from typing import NamedTuple

from models.dataset import Array


class Problem(NamedTuple):
    """What does not change: inner products, max-margin solutions and the schedule.

    Attributes
    ----------
    gram : (N, N) Gram matrix K of the pair features.
    scores : (n+N, n+N) what a unit of β_j adds to the optimal scores (first n rows) and to the gaps.
    turns : (n, T−1, T−1) Gram matrices of each sequence's differences x_{i,o} − x_it.
    lengths, token_norms : (N,) ‖x_{i,o} − x_it‖ and (n+N,) ‖x_it‖.
    alignments, direction : (N,) ⟨Z_j, Ŵ⟩ and the coefficients of Ŵ (NaN when there is no W_mm).
    u_alignments, u_direction : (n+N,) ⟨y_i x_it, û⟩ and the coefficients of û (NaN when there is no u_mm).
    radius, mu, token_radius : B, μ and max ‖x_it‖.
    loss : code of the loss.
    eta_W, eta_u, power_W, power_u, start : the schedule η (start+t+1)^{−power} of each block.
    """

    gram: Array
    scores: Array
    turns: Array
    lengths: Array
    token_norms: Array
    alignments: Array
    direction: Array
    u_alignments: Array
    u_direction: Array
    radius: float
    mu: float
    token_radius: float
    loss: int
    eta_W: float
    eta_u: float
    power_W: float
    power_u: float
    start: int


class State(NamedTuple):
    """α and margins m; β and, in ``z``, the n optimal scores and N gaps: each with the carry of its sum."""

    alpha: Array
    alpha_carry: Array
    m: Array
    m_carry: Array
    beta: Array
    beta_carry: Array
    z: Array
    z_carry: Array


class Force(NamedTuple):
    """Scratch of one step: the coefficients of both gradients and what they move."""

    weight: Array  # (T−1,) attention off the optimal token, relative
    c: Array  # (N,) signs, then coefficients of −∇_W L relative to the largest
    log_c: Array
    log_size: Array  # (N,) the size of what c is a sum of, for its rounding
    pull: Array  # (N,) K c
    log_slope: Array  # (n,) log |ℓ'(f_i)|
    log_s: Array  # (n,) log s_{i,o}
    b: Array  # (n+N,) coefficients p_i s_it of −∇_u L
    push: Array  # (n+N,) scores b
