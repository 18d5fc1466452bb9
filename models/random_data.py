"""Independent draws of random data, for claims about probabilities."""

from __future__ import annotations

import numpy as np

from models.dataset import Array, TokenDataset


def gaussian_dataset(rng: np.random.Generator, n: int, T: int, d: int) -> TokenDataset:
    """Self-attention data with standard Gaussian tokens and decoder and fair labels (ties have probability 0)."""
    return TokenDataset(rng.normal(size=(n, T, d)), rng.choice([-1.0, 1.0], n), rng.normal(size=d))


def gaussian_vectors(rng: np.random.Generator, count: int, d: int) -> Array:
    """Standard Gaussian vectors, shape (count, d)."""
    return rng.normal(size=(count, d))


def extremes(vectors: Array) -> tuple[float, float, float]:
    """max_{a≠b} |⟨g_a, g_b⟩| and min_a ‖g_a‖² of vectors (M, d), and a bound on the rounding error of both.

    An inner product of d terms is off by at most d·2^{-52}·Σ|g_a||g_b| ≤ d·2^{-52} max ‖g‖².
    """
    gram = vectors @ vectors.T
    squares = np.diag(gram)
    off = np.abs(gram - np.diag(squares))
    error = vectors.shape[1] * 2.0**-52 * float(squares.max()) * 2.0
    return float(off.max()), float(squares.min()), error


def signal_plus_noise(
    rng: np.random.Generator, n: int, T: int, d: int, signal: float = 2.0, noise: float = 0.25
) -> TokenDataset:
    """Data model DM: optimal tokens μ_{y_i} with μ_+ ⊥ μ_−, all others Gaussian noise off both axes.

    The decoder e_0 − e_1 scores every noise token 0, so scores are equal (docs/theory.md#joint).

    Parameters
    ----------
    signal, noise : float
        ‖μ_±‖, and the standard deviation of a noise coordinate.
    """
    y = rng.choice([-1.0, 1.0], n)
    X = np.zeros((n, T, d))
    X[:, :, 2:] = noise * rng.normal(size=(n, T, d - 2))
    X[np.arange(n), rng.integers(T, size=n)] = np.where(y[:, None] > 0, np.eye(d)[0], np.eye(d)[1]) * signal
    u = np.zeros(d)
    u[0], u[1] = 1.0, -1.0
    return TokenDataset(X, y, u)
