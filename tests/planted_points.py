"""Planted claims about linear classification and two-layer networks; see `tests.planted`."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp
from sympy import Rational, exp, log

from bounds import (
    LINEAR,
    TWO_LAYER,
    Assumption,
    Averaged,
    Conjecture,
    Decay,
    LinearlySeparable,
    Loss,
    NormalisedBy,
    StepAtMost,
    Summed,
    Theorem,
    UnitBall,
    Unnormalised,
    ZeroInit,
    alignment,
    curvature,
    direction_gap,
    eta,
    gamma,
    grad_norm,
    loss,
    loss_next,
    margin_min,
    n,
    norm,
    psi,
    psi_drop,
    pull,
    pull_next,
    relative_margin,
    slope_high,
    slope_low,
    step_size,
    step_sum,
    t,
)
from bounds.two_layer import MU, REACH

ANY: list[Assumption] = []
POINTS: list[Assumption] = [UnitBall(), LinearlySeparable()]
BY_LOSS: list[Assumption] = [*POINTS, NormalisedBy("loss")]
BY_GRADIENT: list[Assumption] = [*POINTS, NormalisedBy("gradient"), Decay(0), ZeroInit()]
LOGISTIC_GD: list[Assumption] = [*POINTS, Unnormalised(), Loss("logistic"), Averaged(), Decay(0)]
SUMMED_GD: list[Assumption] = [*POINTS, Unnormalised(), Loss("exponential"), Summed(), Decay(0)]
_ONE = StepAtMost(sp.Integer(1))


def _linear(
    name: str,
    why: str,
    assumes: Sequence[Assumption],
    claim: sp.core.relational.Relational,
    domain: sp.core.relational.Relational | None = None,
) -> Theorem:
    return Theorem(name, why, LINEAR, assumes, claim, Conjecture(source="planted"), domain=domain)


def _network(name: str, why: str, assumes: Sequence[Assumption], claim: sp.core.relational.Relational) -> Theorem:
    return Theorem(name, why, TWO_LAYER, assumes, claim, Conjecture(source="planted"))


FALSE_OF_POINTS = (
    _linear("false.l.descent", "the descent of ψ doubled: a single point has equality for small steps",
            [*BY_LOSS, _ONE], psi_drop >= step_size * (pull**2 + pull_next**2)),
    _linear("false.l.margin", "the margin without its remainder", [*BY_LOSS, _ONE, ZeroInit()],
            relative_margin >= gamma, t >= 1),
    _linear("false.l.direction", "faster than t⁻²", [*BY_LOSS, _ONE, ZeroInit()], direction_gap <= 1 / t**3,
            t >= 10),
    _linear("false.l.norm", "a step is η long", BY_GRADIENT, norm <= eta * t / 2, t >= 1),
    _linear("false.l.rate", "GD's loss as fast as 1/t²", [*SUMMED_GD, StepAtMost(1 / n)], loss <= 1 / t**2,
            t >= 30),
    _linear("corner.l.step", "the descent of ψ for every step size: needs η above 1 and opposed points", BY_LOSS,
            psi_drop >= step_size / 2 * (pull**2 + pull_next**2)),
    _linear("corner.l.large-step", "descent whatever the loss: needs η far above 8 and opposed points",
            LOGISTIC_GD, loss_next <= loss),
    _linear("corner.l.sum", "η ≤ 1 is small for the mean, not for the sum: needs several opposed points",
            [*SUMMED_GD, _ONE], loss_next <= loss),
    _linear("corner.l.tiny-margin", "needs γ below 1/500", POINTS, gamma >= Rational(1, 500)),
    _network("false.t.gradient", "the gradient's lower bound doubled: one point and equal slopes attain it",
             [LinearlySeparable()], grad_norm >= 2 * MU * loss),
    _network("corner.t.convex", "the loss is not convex: needs neurons of the labels' sign at the kink", ANY,
             curvature >= 0),
)  # fmt: skip

TIGHT_OF_POINTS = (
    _linear("tight.l.margin", "γ is the largest margin; a single point attains it", POINTS,
            margin_min <= gamma * norm),
    _linear("tight.l.alignment", "Cauchy–Schwarz", POINTS, alignment <= norm),
    _linear("tight.l.psi", "log Σ e^{−m} ≥ −min m; a single point attains it", ANY, psi >= -margin_min),
    _linear("tight.l.psi-above", "log Σ e^{−m} ≤ log n − min m", ANY, psi <= log(n) - margin_min),
    _linear("tight.l.pull", "a mean of z_i has length at least γ", POINTS, pull >= gamma),
    _linear("tight.l.norm", "steps are η long; a single point keeps them in line", BY_GRADIENT, norm <= eta * t,
            t >= 2),
    _linear("tight.l.sum", "its definition", [*BY_LOSS, Decay(0)], step_sum <= eta * t, t >= 1),
    _linear("tight.l.loss", "L = e^ψ/n", [Loss("exponential"), Averaged()], n * loss <= exp(psi)),
    _linear("tight.l.loss-below", "L = e^ψ/n", [Loss("exponential"), Averaged()], n * loss >= exp(psi)),
    _network("tight.t.slopes", "α ≤ σ' ≤ ℓ; a linear activation attains it", ANY, slope_low <= slope_high),
    _network("tight.t.gradient", "‖∇F‖ ≤ hF; one point and equal slopes attain it", ANY,
             grad_norm <= REACH * loss),
)  # fmt: skip
