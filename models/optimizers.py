"""Normalised gradient descent and gradient descent with Polyak's step, as torch optimisers.

Plain gradient descent is `torch.optim.SGD`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

Closure = Callable[[], float]


class StepUndefined(ArithmeticError):
    """The step is 0/0 or has the wrong sign: the gradient is zero, or the loss is not above its infimum."""


class NormalizedGD(torch.optim.Optimizer):
    """Normalised gradient descent: every step of a group has length η.

    .. math:: W \\leftarrow W - \\eta \\, \\nabla L / \\|\\nabla L\\|_F

    The norm is taken over all parameters of a group together.

    Parameters
    ----------
    params : iterable
        Parameters, or groups of them.
    eta : float
        Step length η > 0.

    Raises
    ------
    ValueError
        If η is not positive and finite.
    """

    def __init__(self, params: ParamsT, eta: float) -> None:
        super().__init__(params, {"eta": _positive("eta", eta)})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its η is checked like the constructor's."""
        if "eta" in param_group:
            _positive("eta", param_group["eta"])
        super().add_param_group(param_group)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Closure) -> float: ...

    def step(self, closure: Closure | None = None) -> float | None:
        """Make one step.

        Parameters
        ----------
        closure : callable, optional
            Evaluates the loss anew, calls ``backward`` and returns the loss.

        Returns
        -------
        float or None
            What the closure returned.

        Raises
        ------
        StepUndefined
            If a group's gradient is zero.
        FloatingPointError
            If a gradient is not finite.
        """
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        with torch.no_grad():
            for group in self.param_groups:
                unit, _ = _unit_gradient(group["params"])
                for p, direction in unit:
                    p.sub_(direction, alpha=group["eta"])
        return value


class PolyakGD(torch.optim.Optimizer):
    """Gradient descent with Polyak's step size.

    .. math:: W \\leftarrow W - \\eta_t \\nabla L, \\qquad \\eta_t = \\frac{L - L^*}{\\zeta \\, \\|\\nabla L\\|^2}

    Parameters
    ----------
    params : iterable
        Parameters; one group, since the loss is one number.
    infimum : float
        L*, the infimum of the loss.
    zeta : float
        Divisor ζ > 0; 1 and 2 are in use.

    Raises
    ------
    ValueError
        If ζ is not positive and finite, L* is not finite, or there are several groups.

    References
    ----------
    B. T. Polyak, *Introduction to Optimization*, 1987, section 5.3.
    """

    def __init__(self, params: ParamsT, infimum: float, zeta: float = 1.0) -> None:
        if not math.isfinite(infimum):
            raise ValueError(f"infimum = {infimum}: give the finite infimum L* of the loss")
        super().__init__(params, {"infimum": float(infimum), "zeta": _positive("zeta", zeta)})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the parameters; a second group is refused, because one loss has one step size."""
        if self.param_groups:
            raise ValueError("Polyak's step has one size for all parameters: pass them as one group")
        super().add_param_group(param_group)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Closure) -> float: ...

    def step(self, closure: Closure | None = None) -> float | None:
        """Make one step.

        Parameters
        ----------
        closure : callable
            Evaluates the loss anew, calls ``backward`` and returns the loss.  The step size needs the loss,
            so it cannot be left out.

        Returns
        -------
        float
            The loss before the step.

        Raises
        ------
        ValueError
            Without a closure.
        StepUndefined
            If the gradient is zero, or the loss is not above its infimum.
        FloatingPointError
            If the loss or a gradient is not finite.
        """
        if closure is None:
            raise ValueError("Polyak's step size needs the loss: call step(closure), with a closure returning it")
        with torch.enable_grad():
            value = float(closure())
        group = self.param_groups[0]
        gap, zeta = value - group["infimum"], group["zeta"]
        if not math.isfinite(gap):
            raise FloatingPointError(f"the loss is {value}: reduce the initial weights or rescale the data")
        if gap <= 0.0:
            raise StepUndefined(
                f"the loss {value!r} is not above its infimum {group['infimum']!r}: stop here if it has "
                "converged to rounding, else pass the true infimum"
            )
        with torch.no_grad():
            unit, norm = _unit_gradient(group["params"])
            for p, direction in unit:
                p.sub_(direction, alpha=gap / (zeta * norm))  # η_t ‖∇L‖, without squaring a small norm
        return value


def _unit_gradient(params: list[Tensor]) -> tuple[list[tuple[Tensor, Tensor]], float]:
    """Parameters with their parts of ∇L/‖∇L‖, and ‖∇L‖, the norm over all ``params`` together.

    The gradient is divided by its largest entry first, so that no square under- or overflows.
    """
    gradients = [(p, p.grad) for p in params if p.grad is not None]
    if not gradients:
        raise ValueError("no parameter has a gradient: call backward() on the loss before step()")
    largest = max(float(g.abs().max()) for _, g in gradients)
    if not math.isfinite(largest):
        raise FloatingPointError("the gradient is not finite: reduce the step size or rescale the data")
    if largest == 0.0:
        raise StepUndefined(
            "the gradient is exactly zero, so it has no direction: the run stands at a stationary point, or "
            "float64 has saturated; stop, or use the fused trainer models.attention.train"
        )
    scaled = [(p, g / largest) for p, g in gradients]
    norm = math.sqrt(sum(float(torch.sum(g * g)) for _, g in scaled))
    return [(p, g / norm) for p, g in scaled], largest * norm


def _positive(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0.0):
        raise ValueError(f"{name} = {value}: give a positive, finite {name}")
    return float(value)
