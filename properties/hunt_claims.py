"""Claims as differentiable functions of a batch of runs: the log ratio of the sides, without underflow."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import sympy as sp

from bounds import Theorem
from models.batched import Batch, BatchRun

if TYPE_CHECKING:
    from torch import Tensor

_LOGARITHMIC = (
    "loss_gap",
    "grad_norm",
    "s_min",
    "s_min_run",
    "leak_max",
    "leak_min",
    "leak_slope_max",
    "step_length",
    "step_length_max",
    "rho",
    "rho_max",
)
_LINEAR = ("norm", "alignment", "direction_gap", "margin_min", "Lambda", "Lambda_max")
_FROM_START = {"norm_0": "norm", "alignment_0": "alignment", "loss_gap_0": "loss_gap"}
_FROM_ONSET = {"norm_1": "norm", "alignment_1": "alignment"}
_CONSTANT = ("t", "eta", "zeta", "n", "T", "d", "N", "gamma", "B", "Delta_max", "Delta_min", "score_min")
KNOWN = frozenset({*_LOGARITHMIC, *_LINEAR, *_FROM_START, *_FROM_ONSET, *_CONSTANT})
_LEAST = 1e-300


def differentiable(theorem: Theorem) -> bool:
    """Whether a batch of runs has every observable of a pointwise claim and its domain."""
    return theorem.kind == "pointwise" and theorem.observables <= KNOWN


@dataclass(frozen=True, eq=False)
class BatchMeasured:
    """The observables of a batch of runs, each of a shape that broadcasts to (steps + 1, B)."""

    batch: Batch
    run: BatchRun

    def log(self, name: str) -> Tensor:
        """log |observable|."""
        import torch

        if name in _LOGARITHMIC:
            return self.run.columns[f"log_{name}"]
        if name in _FROM_START:
            return self.log(_FROM_START[name])[:1]
        value = self[name]
        # At 0, where the logarithm is −∞, no derivative is wanted.
        return torch.log(value.abs().clamp_min(_LEAST))

    def __getitem__(self, name: str) -> Tensor:
        import torch

        if name in _LOGARITHMIC:
            return torch.exp(self.log(name))
        if name in _LINEAR:
            return self.run.columns[name]
        if name in _FROM_START:
            return self[_FROM_START[name]][:1]
        if name in _FROM_ONSET:
            whole = self.run.columns[_FROM_ONSET[name]]
            return torch.where(self.run.columns["norm"][:1] > 0.0, whole[:1], whole[1:2])
        return self._constants[name]()

    @cached_property
    def onset(self) -> Tensor:
        """First step with positive norm, shape (B,)."""
        return (self.run.columns["norm"][0] <= 0.0).long()

    @property
    def steps(self) -> Tensor:
        """0, 1, …, shape (steps + 1, 1)."""
        import torch

        rows, _ = self.run.columns["norm"].shape
        return torch.arange(rows, dtype=torch.float64, device=self.batch.gaps.device)[:, None]

    @cached_property
    def _constants(self) -> dict[str, Callable[[], Tensor]]:
        import torch

        batch = self.batch
        _, n, others, d = batch.differences.shape

        def number(value: int) -> Callable[[], Tensor]:
            return lambda: torch.tensor(float(value), dtype=torch.float64, device=batch.gaps.device)

        return {
            "t": lambda: self.steps,
            "eta": lambda: batch.step_size,
            "zeta": lambda: batch.step_size,
            "n": number(n),
            "T": number(others + 1),
            "d": number(d),
            "N": number(n * others),
            "gamma": lambda: self.run.gamma,
            "B": lambda: self.run.radius,
            "Delta_max": lambda: batch.gaps.flatten(1).max(1).values,
            "Delta_min": lambda: batch.gaps.flatten(1).min(1).values,
            "score_min": lambda: batch.best.min(1).values,
        }


def logarithm(expression: sp.Expr, values: BatchMeasured) -> Tensor:
    """log |expression|, with every product, power and exponential taken as a sum.

    Raises
    ------
    TypeError
        For a function that no claim is made of.
    """
    import torch

    if expression.is_Symbol:
        return values.log(str(expression.name))
    if expression.is_number:
        size = abs(float(expression))
        return torch.tensor(math.log(size) if size else -math.inf, dtype=torch.float64)
    if expression.is_Mul:
        return _total([logarithm(factor, values) for factor in expression.args])
    if expression.is_Pow and not isinstance(expression, sp.exp):
        return value(expression.exp, values) * logarithm(expression.base, values)
    if isinstance(expression, sp.exp):
        return value(expression.args[0], values)
    if expression.is_Add:
        logs = _alike([logarithm(term, values) for term in expression.args])
        signs = _alike([sign(term, values) for term in expression.args])
        top = torch.stack(logs).amax(0).detach().clamp_min(-1e300)
        terms = [s * torch.exp(x - top) for s, x in zip(signs, logs, strict=True)]
        return top + torch.log(_total(terms).abs().clamp_min(_LEAST))
    return torch.log(value(expression, values).abs().clamp_min(_LEAST))


def value(expression: sp.Expr, values: BatchMeasured) -> Tensor:
    """The expression itself.  Raises `TypeError` for a function that no claim is made of."""
    import torch

    if expression.is_Symbol:
        return values[str(expression.name)]
    if expression.is_number:
        return torch.tensor(float(expression), dtype=torch.float64)
    if expression.is_Add:
        return _total([value(term, values) for term in expression.args])
    if isinstance(expression, sp.log):
        return logarithm(expression.args[0], values)
    if isinstance(expression, sp.Max | sp.Min):
        stacked = torch.stack(_alike([value(part, values) for part in expression.args]))
        return stacked.amax(0) if isinstance(expression, sp.Max) else stacked.amin(0)
    if isinstance(expression, sp.Abs):
        return value(expression.args[0], values).abs()
    if expression.is_Mul or expression.is_Pow or isinstance(expression, sp.exp):
        return sign(expression, values) * torch.exp(logarithm(expression, values))
    raise TypeError(f"{type(expression).__name__} has no derivative here")


def sign(expression: sp.Expr, values: BatchMeasured) -> Tensor:
    """1 or −1, without a derivative; 1 at zero."""
    import torch

    one = torch.ones((), dtype=torch.float64)
    if expression.is_nonnegative or isinstance(expression, sp.exp):
        return one
    if expression.is_Mul:
        found = one
        for factor in expression.args:
            found = found * sign(factor, values)
        return found
    if expression.is_Pow:
        base = sign(expression.base, values)
        return base if expression.exp.is_odd else one
    return torch.where(value(expression, values).detach() < 0.0, -one, one)


def _alike(parts: list[Tensor]) -> list[Tensor]:
    """The parts broadcast to one shape."""
    shape = np.broadcast_shapes(*(tuple(part.shape) for part in parts))
    return [part.expand(shape) for part in parts]


def _total(parts: list[Tensor]) -> Tensor:
    result = parts[0]
    for part in parts[1:]:
        result = result + part
    return result


@dataclass(frozen=True, eq=False)
class Room:
    """A pointwise claim along a batch: log ratio of its sides, and where it counts; both (steps + 1, B).

    ``approach`` says how far each run is from having any step that counts: log of the ratio of the domain's sides.
    """

    ratio: Tensor
    counts: Tensor
    approach: Tensor


def room(theorem: Theorem, values: BatchMeasured, first: int, cap: float, share: float | None) -> Room:
    """Evaluate a claim on a batch.

    Parameters
    ----------
    first : int
        First step that counts.
    cap : float
        Natural logarithm of the ratio from which a step is an equality case.
    share : float or None
        Count only steps where the bound is at most this share of its trivial level.
    """
    import torch

    shape = values.run.columns["norm"].shape
    small = logarithm(theorem.small, values)
    ratio = torch.broadcast_to(small - logarithm(theorem.large, values), shape)
    begins = torch.clamp(values.onset + 1, min=first) if "onset" in theorem.memory else first
    counts = (values.steps >= begins) & torch.isfinite(ratio) & (ratio < cap) & values.run.positive.all(0)
    for side in (theorem.small, theorem.large):
        counts = counts & torch.broadcast_to(sign(side, values) > 0.0, shape)
    approach = torch.zeros(shape, dtype=torch.float64)
    if theorem.domain is not None:
        upper, lower = theorem.domain.gts, theorem.domain.lts
        counts = counts & torch.broadcast_to(value(upper, values) - value(lower, values) >= 0.0, shape)
        approach = approach + logarithm(upper, values) - logarithm(lower, values)
    if share is not None:
        level = logarithm(theorem.trivial_level, values)
        bound = logarithm(theorem.large if theorem.bound_is_upper else theorem.small, values)
        spare = level - bound if theorem.bound_is_upper else bound - level
        counts = counts & torch.broadcast_to(spare >= -math.log(share), shape)
        approach = torch.minimum(approach, spare + math.log(share))
    return Room(ratio, counts, approach)
