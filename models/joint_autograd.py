"""Joint training as its paper writes it: a torch module with both parameters, autograd, and a plain loop.

Every column comes from its defining formula, with dense d × d matrices; tests hold the fused trainer to it
before saturation.  At saturation its subtractions cancel, which is left as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.dataset import Array, TokenDataset
from models.definition import mean_loss
from models.dyadic import nearest_float
from models.joint import JointGeometry, JointInstance
from models.joint_trajectory import FROM_DECODER_ONSET, FROM_ONSET, JOINT_COLUMNS, JointTrajectory
from models.trajectory import FINISHED, NON_FINITE_STEP, PRECISION_LOST, recorded_steps

_EPS = 2.0**-52
_COLUMN = {name: k for k, name in enumerate(JOINT_COLUMNS)}


class JointAttention(torch.nn.Module):
    """One attention layer whose decoder is trained too.

    .. math:: f_i = y_i \\, u^\\top X_i^\\top \\, \\mathrm{softmax}(X_i W q_i)

    Attributes
    ----------
    W : Parameter, shape (d, d), zero at first
    u : Parameter, shape (d,), zero at first
    X, y, query : Tensor
        The dataset as buffers.
    """

    X: Tensor
    y: Tensor
    query: Tensor

    def __init__(self, dataset: TokenDataset) -> None:
        super().__init__()
        self.W = torch.nn.Parameter(torch.zeros((dataset.d, dataset.d), dtype=torch.float64))
        self.u = torch.nn.Parameter(torch.zeros(dataset.d, dtype=torch.float64))
        self.register_buffer("X", torch.tensor(dataset.X, dtype=torch.float64))
        self.register_buffer("y", torch.tensor(dataset.y, dtype=torch.float64))
        self.register_buffer("query", torch.tensor(dataset.queries, dtype=torch.float64))

    def attention(self) -> Tensor:
        """Attention weights s_i = softmax(X_i W q_i), shape (n, T)."""
        keys = self.query @ self.W.T  # row i is (W q_i)ᵀ
        return torch.softmax((self.X @ keys.unsqueeze(-1)).squeeze(-1), dim=-1)

    def attended(self) -> Tensor:
        """x̃_i = y_i X_iᵀ s_i, shape (n, d)."""
        return self.y.unsqueeze(-1) * (self.attention().unsqueeze(-2) @ self.X).squeeze(-2)

    def forward(self) -> Tensor:
        """f_i = ⟨u, x̃_i⟩, shape (n,)."""
        return self.attended() @ self.u


def train_joint_by_autograd(instance: JointInstance, geometry: JointGeometry | None = None) -> JointTrajectory:
    """Train an instance with torch and compute every column of `JOINT_COLUMNS` the obvious way.

    The columns about rounding (``direction_gap_error``, ``u_gap_error``, ``state_condition``, ``pc_margin``,
    ``coefficient_condition``, ``u_mass``) describe this representation and need not agree with the fused ones.
    """
    run = instance.run
    setting = _Setting.of(instance.dataset, geometry or JointGeometry(instance.dataset), run.loss)
    model = JointAttention(instance.dataset)
    rows: list[dict[str, float]] = []
    status, travelled = FINISHED, 0.0
    _set_initial(model, instance, setting)
    for t in range(run.start, run.start + run.steps + 1):
        lengths = run.eta_W / (t + 1) ** float(run.power_W), run.eta_u / (t + 1) ** float(run.power_u)
        model.zero_grad()
        loss = mean_loss(model(), run.loss)
        torch.autograd.backward(loss)
        before = _numpy(model.W), _numpy(model.u)
        with torch.no_grad():
            s, attended = model.attention().numpy(), model.attended().numpy()
        gradients = _gradient(model.W), _gradient(model.u)
        if not gradients[1].any() or (not gradients[0].any() and before[1].any()):
            status = PRECISION_LOST
            break
        for parameter, length in zip((model.W, model.u), lengths, strict=True):
            _normalised_step(parameter, length)
        moved = _numpy(model.W) - before[0]
        if not (np.isfinite(_numpy(model.W)).all() and np.isfinite(_numpy(model.u)).all()):
            status = NON_FINITE_STEP
            break
        row = _observe(setting, before, s, attended, gradients[0], moved)
        row["log_loss"], row["u_step_sum"] = _log(float(loss.detach())), travelled
        row.update(_decoder_terms(setting, row, lengths[1]))
        rows.append(row)
        travelled += lengths[1]
    return _trajectory(rows, recorded_steps(run.steps), status)


def _set_initial(model: JointAttention, instance: JointInstance, setting: _Setting) -> None:
    """W_0 = Σ α_j Z_j and u_0 = Σ β_j y x, where the run gives them."""
    run, d = instance.run, instance.dataset.d
    with torch.no_grad():
        if run.alpha_0 is not None:
            model.W.copy_(torch.tensor((run.alpha_0 @ setting.Z).reshape(d, d)))
        if run.beta_0 is not None:
            rest = np.take_along_axis(setting.signed, setting.others[:, :, None], axis=1).reshape(-1, d)
            best = np.take_along_axis(setting.signed, setting.optimal[:, :, None], axis=1)[:, 0]
            model.u.copy_(torch.tensor(run.beta_0 @ np.concatenate([best, rest])))


def _normalised_step(parameter: torch.nn.Parameter, length: float) -> None:
    """Move by ``length`` against the gradient; stand still where it vanishes."""
    gradient = parameter.grad
    if gradient is None or not gradient.any():
        return
    with torch.no_grad():
        scaled = gradient / gradient.abs().max()
        parameter.sub_(scaled / torch.linalg.vector_norm(scaled), alpha=length)


@dataclass(frozen=True)
class _Setting:
    """What does not change during training, dense."""

    loss: str
    optimal: NDArray[np.int64]  # (n, 1)
    others: NDArray[np.int64]  # (n, T−1)
    signed: Array  # y_i x_it, (n, T, d)
    Z: Array  # pair features, (N, d·d)
    radius: float  # B
    direction: Array  # Ŵ, (d·d,); NaN when there is none
    u_direction: Array  # û, (d,); NaN when there is none
    mu: float

    @classmethod
    def of(cls, dataset: TokenDataset, geometry: JointGeometry, loss: str) -> _Setting:
        optimal, others = dataset.optimal[:, None], dataset.others
        x_best = np.take_along_axis(dataset.X, optimal[:, :, None], axis=1)
        x_rest = np.take_along_axis(dataset.X, others[:, :, None], axis=1)
        Z = np.einsum("itd,ie->itde", x_best - x_rest, dataset.queries).reshape(dataset.N, -1)
        signed = dataset.y[:, None, None] * dataset.X
        direction, u_direction = np.full(Z.shape[1], math.nan), np.full(dataset.d, math.nan)
        if geometry.max_margin is not None:
            W_mm = np.array([nearest_float(w) for w in geometry.max_margin.multipliers]) @ Z
            direction = W_mm / np.linalg.norm(W_mm)
        mu = math.nan
        if geometry.decoder is not None:
            signed_best = dataset.y[:, None] * x_best[:, 0]
            u_mm = np.array([nearest_float(w) for w in geometry.decoder.multipliers]) @ signed_best
            mu = 1.0 / float(np.linalg.norm(u_mm))
            u_direction = mu * u_mm
        radius = float(np.linalg.norm(Z, axis=1).max())
        return cls(loss, optimal, others, signed, Z, radius, direction, u_direction, mu)


def _observe(
    setting: _Setting, weights: tuple[Array, Array], s: Array, attended: Array, gradient: Array, moved: Array
) -> dict[str, float]:
    """Columns of one step: W_t and u_t, attention (n, T), x̃ (n, d), ∇_W L(t) and W_{t+1} − W_t."""
    W, u = weights
    n, pairs = setting.others.shape
    scores = setting.signed @ u
    best = np.take_along_axis(scores, setting.optimal, axis=1)[:, 0]
    gaps = best[:, None] - np.take_along_axis(scores, setting.others, axis=1)
    s_best = np.take_along_axis(s, setting.optimal, axis=1)[:, 0]
    s_rest = np.take_along_axis(s, setting.others, axis=1)
    f = attended @ u
    excess = gaps - np.sum(s_rest * gaps, axis=1)[:, None]  # Δ − D
    slope = _slope(f, setting.loss)
    c = slope[:, None] * s_rest * excess / n
    kappa = slope[:, None] * excess * s_best[:, None] / n
    margins = setting.Z @ W
    norm, length, grad_norm = (float(np.linalg.norm(a)) for a in (W, moved, gradient))
    total, pc = float(c.sum()), bool((excess > 0.0).all())
    Lambda = math.log(n * pairs) + _log(kappa.max()) - _log(kappa.min()) if pc else math.nan
    optimal = np.take_along_axis(setting.signed, setting.optimal[:, :, None], axis=1)[:, 0]
    rest = np.take_along_axis(setting.signed, setting.others[:, :, None], axis=1)
    reach = np.sum(s_rest * np.linalg.norm(optimal[:, None] - rest, axis=2), axis=1)
    u_kappa = slope * np.exp(f)
    p = slope / slope.sum()
    g_u = float(np.linalg.norm(p @ attended))
    return {
        **_direction(W, setting.direction, ("norm", "alignment", "direction_gap", "direction_gap_error")),
        **_direction(u, setting.u_direction, ("u_norm", "u_alignment", "u_gap", "u_gap_error")),
        "log_grad_norm": _log(grad_norm),
        "log_s_min": _log(s_best.min()),
        "log_leak_max": _log((1.0 - s_best).max()),
        "margin_min": float(margins.min()),
        "margin_mean": float(c.ravel() @ margins) / total if pc else math.nan,
        "log_step_length": _log(length),
        "Lambda": Lambda,
        # With h = δγ/‖g‖ and ‖g‖ = ‖∇L‖/C this is (hΛ/γ + δ²/2)/r; summed from the onset on.
        "master_sum": (length * total / grad_norm * Lambda + length**2 / 2.0) / norm
        if norm > 0.0 and grad_norm > 0.0
        else math.nan,
        "pc_margin": float(excess.min()),
        "pc_sequences": float((excess > 0.0).all(axis=1).sum()),
        "gradient_condition": setting.radius * float(np.abs(c).sum()) / grad_norm if grad_norm > 0.0 else 1.0,
        "coefficient_condition": 1.0,
        "state_condition": 1.0,
        "margin_largest": float(np.abs(margins).max()),
        "u_margin": float(best.min()),
        "u_mass": float(np.linalg.norm(u)),
        "u_gradient_condition": float(p @ np.sum(s * np.linalg.norm(setting.signed, axis=2), axis=1)) / g_u,
        "log_attended_error": _log(np.linalg.norm(attended - optimal, axis=1).max()),
        "log_attended_reach": _log(reach.max()),
        "u_Lambda": math.log(n) + _log(u_kappa.max()) - _log(u_kappa.min()),
        "u_gradient": g_u,
    }


def _direction(weights: Array, direction: Array, names: tuple[str, str, str, str]) -> dict[str, float]:
    norm, along = float(np.linalg.norm(weights)), float(weights @ direction)
    if norm == 0.0:
        return {names[0]: norm, names[1]: along, names[2]: math.nan, names[3]: math.nan}
    return dict(zip(names, (norm, along, (norm - along) / norm, _EPS * (weights.size + 2)), strict=True))


def _decoder_terms(setting: _Setting, row: dict[str, float], length: float) -> dict[str, float]:
    """Summands of J2 and J3 at one step, by their formulas with h, a and b."""
    error = math.exp(row["log_attended_error"])
    a, b = setting.mu - error, setting.mu + error
    radius = float(np.linalg.norm(setting.signed, axis=2).max())
    h = length * a / row["u_gradient"]
    turned = (h * row["u_Lambda"] / a + length**2 / 2.0) / row["u_norm"] if row["u_norm"] > 0.0 else math.nan
    return {"attended": a, "u_growth_sum": length * a / radius, "u_master_sum": h * (b / a - 1.0) + turned}


def _trajectory(rows: list[dict[str, float]], record: NDArray[np.int64], status: str) -> JointTrajectory:
    """Add the columns that look at other steps, and keep the recorded steps."""
    count = len(rows)
    table = np.array([[row.get(name, math.nan) for name in JOINT_COLUMNS] for row in rows])
    table = table.reshape(count, len(JOINT_COLUMNS))
    column = {name: table[:, k] for name, k in _COLUMN.items()}  # views
    column["Lambda_max"][:], column["log_step_length_max"][:] = column["Lambda"], column["log_step_length"]
    onset = _onset(np.array([row["pc_margin"] > 0.0 for row in rows], dtype=np.bool_), column["norm"])
    attended = np.array([row["attended"] > 0.0 for row in rows], dtype=np.bool_)
    decoder_onset = _onset(attended, column["u_norm"])
    for start, names in ((onset, FROM_ONSET), (decoder_onset, FROM_DECODER_ONSET)):
        for name in names:
            values = column[name].copy()
            column[name][:] = math.nan
            if start is None:
                continue
            if name.endswith("_sum"):
                column[name][start:] = np.concatenate([[0.0], np.cumsum(values[start:-1])])
            else:
                column[name][start:] = np.maximum.accumulate(values[start:])
    kept = record[record < count]
    table = table[kept]
    table.setflags(write=False)
    return JointTrajectory(kept, table, onset, status, decoder_onset=decoder_onset)


def _onset(holds: NDArray[np.bool_], norm: Array) -> int | None:
    """First step with positive norm from which ``holds`` is true to the end."""
    failures = np.flatnonzero(~holds)
    start = int(failures[-1]) + 1 if failures.size else 0
    positive = np.flatnonzero(norm[start:] > 0.0)
    return start + int(positive[0]) if positive.size else None


def _slope(z: Array, loss: str) -> Array:
    """|ℓ'(z)|: 1/(1 + e^z) for the logistic loss, e^{−z} for the exponential one."""
    return 1.0 / (1.0 + np.exp(z)) if loss == "logistic" else np.exp(-z)


def _log(value: float) -> float:
    return math.log(value) if value > 0.0 else -math.inf


def _gradient(parameter: torch.nn.Parameter) -> Array:
    assert parameter.grad is not None
    return np.array(parameter.grad.numpy(), dtype=np.float64).ravel()


def _numpy(tensor: torch.Tensor) -> Array:
    """A flat copy."""
    return np.array(tensor.detach().numpy(), dtype=np.float64).ravel()
