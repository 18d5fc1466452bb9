"""The slow, obvious trainer: autograd and torch optimisers, every observable by its defining formula.

It is what a careful notebook would do, with dense d × d matrices and explicit pair features Z_it.  Tests hold
the fused trainer to it before saturation, and the benchmark measures against it.  At saturation its
subtractions (1 − s, L − L*, r − v) cancel; that is a property of the formulas and is left as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.attention import Geometry
from models.dataset import Array, TokenDataset
from models.definition import SelfAttention, mean_loss
from models.dyadic import nearest_float
from models.instance import Instance, Run
from models.optimizers import NormalizedGD, PolyakGD, StepUndefined
from models.trajectory import COLUMNS, FINISHED, NON_FINITE_STEP, PRECISION_LOST, Trajectory, recorded_steps

_EPS = 2.0**-52
_FROM_ONSET = ("Lambda_max", "log_step_length_max", "master_sum")
_COLUMN = {name: k for k, name in enumerate(COLUMNS)}


def train_by_autograd(instance: Instance, geometry: Geometry | None = None) -> Trajectory:
    """Train an instance with torch and compute every column of `COLUMNS` the obvious way.

    Three columns describe rounding and are those of this representation: ``direction_gap_error`` bounds the
    rounding of (r − v)/r, ``state_condition`` is 1 since ‖W‖² is a sum of squares, and ``pc_margin`` is
    min (Δ_it − D_i)/Δ_it, which has the sign of the fused trainer's but not its size.

    Parameters
    ----------
    instance : Instance
    geometry : Geometry, optional
        The dataset's geometry if it is at hand; only the exact multipliers of W_mm are taken from it.

    Returns
    -------
    Trajectory
        The recording pattern and the statuses of `models.attention.train`.
    """
    run = instance.run
    setting = _Setting.of(instance.dataset, geometry or Geometry(instance.dataset), run.loss)
    model = SelfAttention(instance.dataset, run.W_0)
    infimum = model.infimum(run.loss)
    optimizer = _optimizer(model, run, infimum)

    def closure() -> float:
        optimizer.zero_grad()
        loss = mean_loss(model(), run.loss)
        torch.autograd.backward(loss)
        return float(loss.detach())

    rows: list[dict[str, float]] = []
    loss_gaps: list[float] = []
    status = FINISHED
    for _ in range(run.steps + 1):
        W = _numpy(model.W)
        with torch.no_grad():
            s, f = model.attention().numpy(), model().numpy()
            loss_gaps.append(float(mean_loss(model(), run.loss)) - infimum)
        status = _advance(optimizer, closure, model)
        if status != FINISHED:
            break
        assert model.W.grad is not None
        rows.append(_observe(setting, W, s, f, loss_gaps[-1], _numpy(model.W.grad), _numpy(model.W) - W))
    else:
        loss_gaps.append(float(mean_loss(model(), run.loss).detach()) - infimum)
    return _trajectory(rows, recorded_steps(run.steps), loss_gaps, status)


def _advance(optimizer: torch.optim.Optimizer, closure: Callable[[], float], model: SelfAttention) -> str:
    """Make one step and say how it went, in the words of `models.trajectory`."""
    try:
        optimizer.step(closure)
    except StepUndefined:
        return PRECISION_LOST
    except FloatingPointError:
        return NON_FINITE_STEP
    if model.W.grad is None or not model.W.grad.any():  # plain GD just stands still
        return PRECISION_LOST
    return FINISHED if bool(model.W.isfinite().all()) else NON_FINITE_STEP


@dataclass(frozen=True)
class _Setting:
    """What does not change during training, dense."""

    loss: str
    optimal: NDArray[np.int64]  # (n, 1)
    others: NDArray[np.int64]  # (n, T−1)
    gaps: Array  # Δ_it, (n, T−1)
    slope_best: Array  # |ℓ'(γ_{i,o})|, (n,)
    Z: Array  # pair features, (N, d·d)
    radius: float  # B
    direction: Array  # Ŵ, (d·d,); NaN when the data are inseparable

    @classmethod
    def of(cls, dataset: TokenDataset, geometry: Geometry, loss: str) -> _Setting:
        optimal, others = dataset.optimal[:, None], dataset.others
        scores = dataset.y[:, None] * (dataset.X @ dataset.u)
        best = np.take_along_axis(scores, optimal, axis=1)
        x_best = np.take_along_axis(dataset.X, optimal[:, :, None], axis=1)
        x_rest = np.take_along_axis(dataset.X, others[:, :, None], axis=1)
        Z = np.einsum("itd,ie->itde", x_best - x_rest, dataset.queries).reshape(dataset.N, -1)
        solution = geometry.max_margin
        direction = np.full(Z.shape[1], math.nan)
        if solution is not None:
            W_mm = np.array([nearest_float(w) for w in solution.multipliers]) @ Z
            direction = W_mm / np.linalg.norm(W_mm)
        gaps = best - np.take_along_axis(scores, others, axis=1)
        radius = float(np.linalg.norm(Z, axis=1).max())
        return cls(loss, optimal, others, gaps, _slope(best[:, 0], loss), Z, radius, direction)


def _optimizer(model: SelfAttention, run: Run, infimum: float) -> torch.optim.Optimizer:
    if run.rule == "ngd":
        return NormalizedGD(model.parameters(), eta=run.step_size)
    if run.rule == "polyak":
        return PolyakGD(model.parameters(), infimum=infimum, zeta=run.step_size)
    return torch.optim.SGD(model.parameters(), lr=run.step_size)


def _observe(
    setting: _Setting, W: Array, s: Array, f: Array, loss_gap: float, gradient: Array, step: Array
) -> dict[str, float]:
    """Every column that one step determines: W_t, its attention (n, T), f (n,), ∇L(W_t) and W_{t+1} − W_t."""
    n, pairs = setting.gaps.shape
    s_best = np.take_along_axis(s, setting.optimal, axis=1)[:, 0]
    s_rest = np.take_along_axis(s, setting.others, axis=1)
    deficit = np.sum(s_rest * setting.gaps, axis=1)  # D_i
    excess = setting.gaps - deficit[:, None]
    slope = _slope(f, setting.loss)
    c = slope[:, None] * s_rest * excess / n
    kappa = slope[:, None] * excess * s_best[:, None] / n
    leak = 1.0 - s_best
    margins, growth = setting.Z @ W, setting.Z @ step
    norm, length, grad_norm = (float(np.linalg.norm(a)) for a in (W, step, gradient))
    alignment = float(W @ setting.direction)
    total = float(c.sum())
    pc = bool((excess > 0.0).all())
    Lambda = math.log(n * pairs) + _log(kappa.max()) - _log(kappa.min()) if pc else math.nan
    return {
        "norm": norm,
        "alignment": alignment,
        "direction_gap": (norm - alignment) / norm if norm > 0.0 else math.nan,
        "direction_gap_error": _EPS * (W.size + 2) if norm > 0.0 else math.nan,
        "log_loss_gap": _log(loss_gap),
        "log_grad_norm": _log(grad_norm),
        "log_coefficient_sum": _log(total),
        "descent_cosine": -float(gradient @ setting.direction) / grad_norm,
        "log_s_min": _log(s_best.min()),
        "log_leak_max": _log(leak.max()),
        "log_leak_min": _log(leak.min()),
        "log_leak_slope_max": _log(np.max(setting.slope_best * leak)),
        "margin_min": float(margins.min()),
        "margin_mean": float(c.ravel() @ margins) / total if pc else math.nan,
        "margin_growth_min": float(growth.min()),
        "log_step_length": _log(length),
        "Lambda": Lambda,
        # With h = δγ/‖g‖ and ‖g‖ = ‖∇L‖/C this is (hΛ/γ + δ²/2)/r; summed from the onset on.
        "master_sum": (length * total / grad_norm * Lambda + length**2 / 2.0) / norm if norm > 0.0 else math.nan,
        "log_rho": _log(np.max(slope / setting.slope_best)),
        "log_Gamma": _log(np.mean(slope * deficit)),
        "pc_margin": float(np.min(excess / setting.gaps)),
        "pc_sequences": float((excess > 0.0).all(axis=1).sum()),
        "gradient_condition": setting.radius * float(np.abs(c).sum()) / grad_norm,
        "state_condition": 1.0,
        "margin_largest": float(np.abs(margins).max()),
    }


def _trajectory(
    rows: list[dict[str, float]], record: NDArray[np.int64], loss_gaps: list[float], status: str
) -> Trajectory:
    """Add the columns that look at other steps, and keep the recorded steps."""
    count = len(rows)
    table = np.array([[row.get(name, math.nan) for name in COLUMNS] for row in rows]).reshape(count, len(COLUMNS))
    column = {name: table[:, k] for name, k in _COLUMN.items()}  # views
    column["log_loss_gap_next"][:] = [_log(gap) for gap in loss_gaps[1 : count + 1]]
    column["log_s_min_run"][:] = np.minimum.accumulate(column["log_s_min"])
    column["log_rho_max"][:] = np.maximum.accumulate(column["log_rho"])
    onset = _onset(column["pc_margin"] > 0.0, column["norm"])
    if onset is None:
        for name in _FROM_ONSET:
            column[name][:] = math.nan
    else:
        column["Lambda_max"][onset:] = np.maximum.accumulate(column["Lambda"][onset:])
        column["log_step_length_max"][onset:] = np.maximum.accumulate(column["log_step_length"][onset:])
        terms = column["master_sum"][onset:-1].copy()
        column["master_sum"][:onset] = math.nan
        column["master_sum"][onset:] = np.concatenate([[0.0], np.cumsum(terms)])
    kept = record[record < count]
    table = table[kept]
    table.setflags(write=False)
    return Trajectory(kept, table, onset, status)


def _onset(pc: NDArray[np.bool_], norm: Array) -> int | None:
    """First step with positive norm from which ``pc`` holds to the end."""
    failures = np.flatnonzero(~pc)
    start = int(failures[-1]) + 1 if failures.size else 0
    positive = np.flatnonzero(norm[start:] > 0.0)
    return start + int(positive[0]) if positive.size else None


def _slope(z: Array, loss: str) -> Array:
    """|ℓ'(z)|: 1/(1 + e^z) for the logistic loss, e^{−z} for the exponential one."""
    return 1.0 / (1.0 + np.exp(z)) if loss == "logistic" else np.exp(-z)


def _log(value: float) -> float:
    return math.log(value) if value > 0.0 else -math.inf


def _numpy(tensor: torch.Tensor) -> Array:
    """A flat copy."""
    return np.array(tensor.detach().numpy(), dtype=np.float64).ravel()
