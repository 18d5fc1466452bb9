"""Many runs at once, differentiable: the fused trainer's formulas in torch, for searches that need gradients.

B instances of one shape are trained side by side in margin space and in the log domain, with the formulas of
`models.kernel` (docs/theory.md#numerics).  Everything is float64 and differentiable with respect to the pair
differences, queries, scores, step sizes and initial weights; tests hold it to the fused trainer.  torch is
imported only when a batch is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.attention import Geometry
from models.instance import Instance

if TYPE_CHECKING:
    from torch import Tensor

#: Columns of `models.trajectory.COLUMNS` that a batch records, each of shape (steps + 1, B).
RECORDED = (
    "norm",
    "alignment",
    "direction_gap",
    "log_loss_gap",
    "log_grad_norm",
    "log_s_min",
    "log_s_min_run",
    "log_leak_max",
    "log_leak_min",
    "log_leak_slope_max",
    "margin_min",
    "log_step_length",
    "log_step_length_max",
    "Lambda",
    "Lambda_max",
    "log_rho",
    "log_rho_max",
)
_PC = 1e-12  # relative size of Δ − D from which PC counts as holding, as in the fused trainer


@dataclass(frozen=True, eq=False)
class Batch:
    """B instances of one shape as tensors.

    Attributes
    ----------
    differences : Tensor, shape (B, n, T−1, d)
        x_{i,o} − x_it.
    queries : Tensor, shape (B, n, d)
    gaps : Tensor, shape (B, n, T−1)
        Score gaps Δ_it.
    best : Tensor, shape (B, n)
        Scores γ_{i,o}.
    step_size : Tensor, shape (B,)
        η, or ζ for Polyak's rule.
    W_0 : Tensor, shape (B, d, d)
    support : Tensor of bool, shape (B, N)
        Support of W_mm.  It comes from the exact solver and is piecewise constant in the data, so γ and Ŵ are
        differentiable functions of the pair features on it.
    rule, loss : str
    """

    differences: Tensor
    queries: Tensor
    gaps: Tensor
    best: Tensor
    step_size: Tensor
    W_0: Tensor
    support: Tensor
    rule: str
    loss: str


@dataclass(frozen=True, eq=False)
class BatchRun:
    """What B runs did.

    Attributes
    ----------
    columns : dict of Tensor, shape (steps + 1, B)
        The columns `RECORDED`; accumulated ones run from the first step with positive norm.
    gamma, radius : Tensor, shape (B,)
        γ and B.
    positive : Tensor of bool, shape (steps + 1, B)
        Whether positive coefficients held.
    """

    columns: dict[str, Tensor]
    gamma: Tensor
    radius: Tensor
    positive: Tensor


def stack(instances: Sequence[Instance], device: str = "cpu") -> Batch:
    """A batch from instances of one shape, rule and loss.

    Raises
    ------
    ValueError
        If there is none, shapes, rules or losses differ, or some data are inseparable.
    """
    import torch

    kinds = {(i.dataset.X.shape, i.run.rule, i.run.loss) for i in instances}
    if len(kinds) != 1:
        raise ValueError(f"a batch needs instances of one shape, rule and loss, not {len(kinds)}")
    [((_, _, d), rule, loss)] = kinds
    geometries = [Geometry(instance.dataset) for instance in instances]

    def tensor(values: list[np.ndarray]) -> Tensor:
        return torch.tensor(np.array(values), dtype=torch.float64, device=device)

    differences = []
    for instance in instances:
        data = instance.dataset
        best = data.X[np.arange(data.n), data.optimal]
        differences.append(best[:, None] - np.take_along_axis(data.X, data.others[:, :, None], axis=1))
    zero = np.zeros((d, d))
    return Batch(
        tensor(differences),
        tensor([instance.dataset.queries for instance in instances]),
        tensor([geometry.gaps for geometry in geometries]),
        tensor([geometry.best_scores for geometry in geometries]),
        tensor([np.array(instance.run.step_size) for instance in instances]),
        tensor([zero if i.run.W_0 is None else i.run.W_0 for i in instances]),
        torch.tensor(np.array([supports(geometry) for geometry in geometries]), device=device),
        rule,
        loss,
    )


def supports(geometry: Geometry) -> np.ndarray:
    """Which pairs support W_mm, shape (N,).  Raises `ValueError` for inseparable data."""
    solution = geometry.max_margin
    if solution is None:
        raise ValueError("inseparable data have no max-margin solution")
    mask = np.zeros(geometry.dataset.N, dtype=np.bool_)
    mask[list(solution.support)] = True
    return mask


def train_batch(batch: Batch, steps: int) -> BatchRun:
    """Train B instances for ``steps`` steps, recording every state 0, …, steps."""
    import torch

    features = _Features.of(batch)
    state = _State(batch, features)
    rows: list[dict[str, Tensor]] = []
    for _ in range(steps + 1):
        rows.append(state.observe())
        state.step()
    columns = {name: torch.stack([row[name] for row in rows]) for name in (*RECORDED, "positive")}
    positive = columns.pop("positive") > 0
    return BatchRun(columns, features.gamma, features.radius, positive)


@dataclass(frozen=True, eq=False)
class _Features:
    """The Gram matrix K (B, N, N), γ, B and Ŵ = Σ_j direction_j Z_j with ⟨Z_j, Ŵ⟩ = alignments_j."""

    gram: Tensor
    gamma: Tensor
    radius: Tensor
    direction: Tensor
    alignments: Tensor

    @classmethod
    def of(cls, batch: Batch) -> _Features:
        import torch

        B, n, P, d = batch.differences.shape
        flat = batch.differences.reshape(B, n * P, d)
        between = batch.queries @ batch.queries.transpose(1, 2)
        wide = between.repeat_interleave(P, 1).repeat_interleave(P, 2)
        gram = (flat @ flat.transpose(1, 2)) * wide
        # On its support W_mm = Σ a_j Z_j solves K a = 1 there; elsewhere a = 0.
        mask = batch.support.to(gram.dtype)
        regular = gram * mask[:, :, None] * mask[:, None, :] + torch.diag_embed(1.0 - mask)
        multipliers = torch.linalg.solve(regular, mask[:, :, None])[:, :, 0]
        gamma = multipliers.sum(1) ** -0.5
        direction = gamma[:, None] * multipliers
        radius = gram.diagonal(dim1=1, dim2=2).max(1).values.sqrt()
        return cls(gram, gamma, radius, direction, (gram @ direction[:, :, None])[:, :, 0])


class _State:
    """The runs at one step: coefficients α of W − W_0 = Σ α_j Z_j, margins, and what has been accumulated."""

    def __init__(self, batch: Batch, features: _Features) -> None:
        import torch

        self.batch, self.features = batch, features
        B, n, P, _ = batch.differences.shape
        projected = batch.queries @ batch.W_0.transpose(1, 2)
        self.m_0 = (batch.differences * projected[:, :, None]).sum(-1).reshape(B, n * P)
        self.norm_0_sq = (batch.W_0**2).sum((1, 2))
        self.alignment_0 = (features.direction * self.m_0).sum(1)
        self.m, self.alpha = self.m_0, torch.zeros_like(self.m_0)
        self.log_slope_best = _log_slope(batch.best, batch.loss)
        self.log_N, self.log_n = math.log(n * P), math.log(n)
        self.kept: dict[str, Tensor] = {}
        self.move, self.pull, self.c = self.m, self.m, self.m

    def observe(self) -> dict[str, Tensor]:
        """Every recorded quantity of the present weights; the step away from them is prepared."""
        import torch

        batch, features = self.batch, self.features
        B, n, P, _ = batch.differences.shape
        m = self.m.reshape(B, n, P)
        odds = torch.logsumexp(-m, -1)  # log((1 − s_o)/s_o)
        weight = torch.softmax(-m, -1)
        log_s, log_leak = _log_sigmoid(-odds), _log_sigmoid(odds)
        log_D = log_leak + torch.log((weight * batch.gaps).sum(-1))
        log_slope = _log_slope(batch.best - torch.exp(log_D), batch.loss)
        gap = self.log_slope_best + _log_expm1(log_D)
        if batch.loss == "logistic":
            gap = _log_log1p(gap)
        log_G = torch.logsumexp(gap, -1) - self.log_n
        excess, log_excess, relative = self._excess(weight, odds, log_s, log_leak)
        kappa = log_slope[..., None] - self.log_n + log_excess + log_s[..., None]
        log_c = (kappa - m).reshape(B, n * P)
        largest = log_c.max(1).values
        self.c = torch.exp(log_c - largest[:, None]) * torch.sign(excess).reshape(B, n * P)
        self.pull = (features.gram @ self.c[:, :, None])[:, :, 0]
        length = (self.c * self.pull).sum(1).clamp_min(1e-300).sqrt()
        log_gradient = largest + torch.log(length)
        log_step = self._log_step(log_gradient, log_G)
        self.move = torch.exp(log_step) / length
        flat = kappa.reshape(B, n * P)
        row = {
            **self._direction(),
            "log_loss_gap": log_G,
            "log_grad_norm": log_gradient,
            "log_s_min": log_s.min(1).values,
            "log_leak_max": log_leak.max(1).values,
            "log_leak_min": log_leak.min(1).values,
            "log_leak_slope_max": (log_leak + self.log_slope_best).max(1).values,
            "margin_min": self.m.min(1).values,
            "log_step_length": log_step,
            "Lambda": self.log_N + flat.max(1).values - flat.min(1).values,
            "log_rho": (log_slope - self.log_slope_best).max(1).values,
            "positive": (relative.reshape(B, n * P).min(1).values > _PC).to(log_G.dtype),
        }
        return {**row, **self._accumulated(row)}

    def _excess(self, weight: Tensor, odds: Tensor, log_s: Tensor, log_leak: Tensor) -> tuple[Tensor, ...]:
        """Δ − D = s_o Δ + (1 − s_o) Σ_τ w_τ (Δ − Δ_τ), the larger of s_o and 1 − s_o drawn out.

        Returns its mantissa, the logarithm of its size, and its size relative to its terms.
        """
        import torch

        gaps = self.batch.gaps
        apart = weight[..., None, :] * (gaps[..., :, None] - gaps[..., None, :])
        tilt, spread = apart.sum(-1), apart.abs().sum(-1)
        near = odds <= 0.0
        ratio = torch.exp(-odds.abs())[..., None]  # the smaller of the two over the larger
        optimal = near | (spread.sum(-1) == 0.0)
        drawn_out = optimal[..., None]
        own = torch.where(drawn_out, gaps, gaps * ratio)
        # (1 − s_o)/s_o, or 1; with equal gaps the tilt vanishes, but its derivative does not.
        share = torch.where(drawn_out, torch.exp(odds.clamp_max(300.0))[..., None], torch.ones_like(ratio))
        excess, size = own + tilt * share, own + spread * share
        drawn = torch.where(optimal, log_s, log_leak)[..., None]
        return excess, drawn + torch.log(excess.abs().clamp_min(1e-300)), excess / size

    def _log_step(self, log_gradient: Tensor, log_G: Tensor) -> Tensor:
        import torch

        size = torch.log(self.batch.step_size)
        if self.batch.rule == "ngd":
            return size + torch.zeros_like(log_gradient)
        return size + log_gradient if self.batch.rule == "gd" else log_G - log_gradient - size

    def _direction(self) -> dict[str, Tensor]:
        """Norm, alignment and direction gap, free of cancellation."""
        import torch

        features = self.features
        grown = (self.alpha * features.alignments).sum(1)
        alignment = self.alignment_0 + grown
        norm_sq = self.norm_0_sq + (self.alpha * (self.m + self.m_0)).sum(1)
        norm = _sqrt(norm_sq)
        residual_0 = self.m_0 - self.alignment_0[:, None] * features.alignments
        beta = self.alpha - grown[:, None] * features.direction
        turn = self.m - self.m_0 - grown[:, None] * features.alignments
        across = self.norm_0_sq - self.alignment_0**2
        across = across.clamp_min(0.0) + (beta * (turn + 2.0 * residual_0)).sum(1)
        safe = torch.where(norm > 0.0, norm, torch.ones_like(norm))
        ahead = across.clamp_min(0.0) / (safe * (safe + alignment.clamp_min(0.0)))
        gap = torch.where(alignment > 0.0, ahead, (norm - alignment) / safe)
        return {
            "norm": norm,
            "alignment": alignment,
            "direction_gap": torch.where(norm > 0.0, gap, torch.full_like(gap, math.nan)),
        }

    def _accumulated(self, row: dict[str, Tensor]) -> dict[str, Tensor]:
        """Extremes so far: from step 0, or from the first step with positive norm."""
        import torch

        began = row["norm"] > 0.0
        found: dict[str, Tensor] = {}
        for name, source in (("log_s_min_run", -row["log_s_min"]), ("log_rho_max", row["log_rho"])):
            found[name] = torch.maximum(self.kept[name], source) if name in self.kept else source
        for name, source in (("Lambda_max", row["Lambda"]), ("log_step_length_max", row["log_step_length"])):
            before = self.kept.get(name, torch.full_like(source, -math.inf))
            found[name] = torch.where(began, torch.maximum(before, source), before)
        self.kept = found
        return {**found, "log_s_min_run": -found["log_s_min_run"]}

    def step(self) -> None:
        """Take the step that `observe` has prepared."""
        self.alpha = self.alpha + self.move[:, None] * self.c
        self.m = self.m + self.move[:, None] * self.pull


def _sqrt(x: Tensor) -> Tensor:
    """√x with derivative 0 at x = 0."""
    import torch

    positive = x > 0.0
    return torch.where(positive, torch.where(positive, x, torch.ones_like(x)).sqrt(), torch.zeros_like(x))


def _log_sigmoid(x: Tensor) -> Tensor:
    import torch

    return torch.where(x < 0.0, x - torch.log1p(torch.exp(-x.abs())), -torch.log1p(torch.exp(-x.abs())))


def _log_slope(z: Tensor, loss: str) -> Tensor:
    """log|ℓ'(z)|."""
    return -z if loss == "exponential" else _log_sigmoid(-z)


def _log_expm1(log_x: Tensor) -> Tensor:
    """log(e^x − 1) from log x."""
    import torch

    x = torch.exp(log_x.clamp(-37.0, 700.0))
    large = x + torch.log1p(-torch.exp(-x.clamp_min(1.0)))
    small = torch.log(torch.expm1(x.clamp_max(1.0)))
    return torch.where(log_x < -37.0, log_x, torch.where(x > 1.0, large, small))


def _log_log1p(log_y: Tensor) -> Tensor:
    """log(log(1 + y)) from log y."""
    import torch

    middle = torch.log(torch.log1p(torch.exp(log_y.clamp(-37.0, 37.0))))
    large = torch.log(log_y.clamp_min(1.0))
    return torch.where(log_y < -37.0, log_y, torch.where(log_y > 37.0, large, middle))
