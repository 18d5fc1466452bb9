"""The attention map itself at chosen steps of a run, and which sequences still pull."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.attention import Geometry, weights_at
from models.dataset import Array
from models.instance import Instance


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One state of a run, sequence by sequence.

    Attributes
    ----------
    t : int
    attention : array, shape (n, T)
        Attention weights s_it in the order of the tokens.
    margins : array, shape (n, T−1)
        ⟨Z_it, W_t⟩ of the non-optimal tokens.
    log_optimal : array, shape (n,)
        log s_{i,o}; finite also where the weight underflows.
    shares : array, shape (n,)
        Share of each sequence in Σ |c_it|, the pull on W.
    direction : array, shape (d, d)
        W_t/‖W_t‖ (zero at W_t = 0).
    """

    t: int
    attention: Array
    margins: Array
    log_optimal: Array
    shares: Array
    direction: Array


def snapshots(instance: Instance, steps: Sequence[int], geometry: Geometry | None = None) -> list[Snapshot]:
    """States of the float64 run at the given steps.

    Raises
    ------
    InvalidRun
        If the run does not reach a step.
    """
    geometry = geometry or Geometry(instance.dataset)
    return [_snapshot(instance, geometry, t) for t in steps]


def _snapshot(instance: Instance, geometry: Geometry, t: int) -> Snapshot:
    dataset = instance.dataset
    W = weights_at(instance, t, geometry)
    keys = dataset.queries @ W.T  # row i is (W q_i)ᵀ
    logits = np.einsum("itd,id->it", dataset.X, keys)
    best = np.take_along_axis(logits, dataset.optimal[:, None], axis=1)
    relative = logits - best
    top = relative.max(axis=1, keepdims=True)
    log_total = top[:, 0] + np.log(np.exp(relative - top).sum(axis=1))
    attention = np.exp(relative - log_total[:, None])
    margins = -np.take_along_axis(relative, dataset.others, axis=1)
    log_c = _log_pull(instance, geometry, margins, -log_total)
    shares = np.exp(log_c - log_c.max())
    norm = float(np.linalg.norm(W))
    direction = W / norm if norm > 0 else W
    return Snapshot(t, attention, margins, -log_total, shares / shares.sum(), direction)


def _log_pull(instance: Instance, geometry: Geometry, margins: Array, log_optimal: Array) -> Array:
    """log Σ_t |c_it| of each sequence, up to a common constant, free of underflow.

    c_it ∝ |ℓ'(f_i)| s_it (Δ_it − D_i), with Δ_it − D_i = s_{i,o}Δ_it + Σ_τ s_iτ(Δ_it − Δ_iτ).
    """
    gaps = geometry.gaps
    log_s = log_optimal[:, None] - margins
    s = np.exp(log_s)
    deficit = (s * gaps).sum(axis=1)
    excess = np.exp(log_optimal)[:, None] * gaps + np.einsum("iq,ipq->ip", s, gaps[:, :, None] - gaps[:, None, :])
    f = geometry.best_scores - deficit
    log_slope = -np.logaddexp(0.0, f) if instance.run.loss == "logistic" else -f
    # Under equal scores the excess is s_o·Δ exactly; the logarithm keeps it where the float underflows.
    equal = (gaps == gaps[:, :1]).all(axis=1)
    with np.errstate(divide="ignore"):
        log_excess = np.where(equal[:, None], log_optimal[:, None] + np.log(gaps), np.log(np.abs(excess)))
    terms = log_s + log_excess
    peak = terms.max(axis=1)
    return np.asarray(log_slope + peak + np.log(np.exp(terms - peak[:, None]).sum(axis=1)))
