"""Training in Arb balls: the same dynamics with every rounding error enclosed.

The dataset's floats are exact rationals, so margins, gaps, K and W_mm are exact; the trajectory is enclosed at
a given precision.  Doubling the precision shrinks the balls until a comparison is decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from flint import arb, arb_mat, fmpq

from models.attention import Geometry, exact_norm_sq
from models.instance import Instance


class PrecisionLost(ArithmeticError):
    """The balls grew until the gradient could not be told from zero; more precision is needed."""


class ExactSetting:
    """The exact constants of an instance, from which balls of any precision are made."""

    def __init__(self, instance: Instance, geometry: Geometry) -> None:
        self.instance = instance
        self.geometry = geometry
        dataset, run = instance.dataset, instance.run
        self.gaps: list[list[fmpq]] = dataset.exact_gaps
        self.best: list[fmpq] = [row[o] for row, o in zip(dataset.exact_scores, dataset.optimal, strict=True)]
        self.step_size = fmpq(*run.step_size.as_integer_ratio())
        N = dataset.N
        self.m_0 = [fmpq(0)] * N if run.W_0 is None else geometry.features.exact_margins(run.W_0)
        self.norm_0_sq = fmpq(0) if run.W_0 is None else exact_norm_sq(run.W_0)


@dataclass
class BallState:
    """One step of the run in balls (see docs/theory.md#setting for the symbols).

    ``s``, ``leak``, ``D``, ``slope`` hold one ball a sequence; ``m``, ``excess`` (Δ − D), ``c`` and ``pull``
    (K c) one a pair.  ``alignment`` and ``descent`` are None when the data are inseparable.
    """

    t: int
    m: list[arb]
    logistic: bool
    optimal_slope: list[arb]
    s: list[arb] = field(default_factory=list)
    leak: list[arb] = field(default_factory=list)
    D: list[arb] = field(default_factory=list)
    slope: list[arb] = field(default_factory=list)
    excess: list[arb] = field(default_factory=list)
    c: list[arb] = field(default_factory=list)
    pull: list[arb] = field(default_factory=list)
    gradient_sq: arb = field(default_factory=arb)
    norm_sq: arb = field(default_factory=arb)
    alignment: arb | None = None
    descent: arb | None = None  # ⟨−∇L, Ŵ⟩
    step_length: arb = field(default_factory=arb)
    growth: arb = field(default_factory=arb)  # the factor by which pull moves the margins: δ/‖∇L‖

    @cached_property
    def loss_gap(self) -> arb:
        """L(W_t) − L*; formed when it is first asked for, at the working precision of that moment."""
        gaps = [optimal * D.expm1() for optimal, D in zip(self.optimal_slope, self.D, strict=True)]
        return total([gap.log1p() for gap in gaps] if self.logistic else gaps) / len(gaps)

    @cached_property
    def grad_norm(self) -> arb:
        """‖∇L(W_t)‖."""
        return self.gradient_sq.sqrt()

    @property
    def norm(self) -> arb:
        """r_t."""
        return arb(0) if self.norm_sq.is_zero() else self.norm_sq.sqrt()

    @property
    def positive_coefficients(self) -> bool | None:
        """PC at W_t: proved, refuted, or (None) not decided by the balls."""
        if all(e > 0 for e in self.excess):
            return True
        return False if any(e <= 0 for e in self.excess) else None

    def Lambda(self) -> arb:
        """Λ_t; needs positive coefficients."""
        P = len(self.m) // len(self.s)
        kappa = [self.slope[j // P] * e * self.s[j // P] for j, e in enumerate(self.excess)]
        return arb(len(kappa)).log() + (largest(kappa) / -largest([-k for k in kappa])).log()

    def rho(self) -> arb:
        """ρ_t."""
        return largest([a / b for a, b in zip(self.slope, self.optimal_slope, strict=True)])

    def master_term(self) -> arb:
        """(h_t Λ_t/γ + δ_t²/2)/r_t, the summand of M1; h_t/γ = δ_t C/‖∇L‖."""
        moved = self.step_length * total(self.c) / self.grad_norm * self.Lambda()
        return (moved + self.step_length**2 / 2) / self.norm


def replay(setting: ExactSetting) -> Iterator[BallState]:
    """The run's states t = 0, 1, … in balls at the current working precision (`flint.ctx.prec`).

    Raises
    ------
    PrecisionLost
        When the balls no longer separate the gradient from zero.
    """
    geometry, run = setting.geometry, setting.instance.run
    exact = geometry.features.exact_gram
    K = arb_mat(exact.integers) * arb(fmpq(2) ** exact.exponent)
    solution = geometry.max_margin
    toward: list[fmpq] | None = None if solution is None else solution.margins
    gamma = None if solution is None else (1 / arb(solution.norm_sq)).sqrt()
    inner = None if solution is None else arb(solution.inner_product(setting.m_0))
    N = len(setting.m_0)
    m_0 = [arb(x) for x in setting.m_0]
    m, alpha, t = list(m_0), [arb(0)] * N, 0
    size = arb(setting.step_size)
    slopes = optimal_slopes(setting)
    while True:
        state = _forces(setting, slopes, t, m)
        state.pull = (K * arb_mat(N, 1, state.c)).entries()
        state.gradient_sq = total([c * k for c, k in zip(state.c, state.pull, strict=True)])
        if not state.gradient_sq > 0:
            raise PrecisionLost(f"gradient not separated from zero at step {t}")
        state.norm_sq = arb(setting.norm_0_sq) + total(
            [a * (x + y) for a, x, y in zip(alpha, m, m_0, strict=True)]
        )
        if toward is not None and gamma is not None and inner is not None:
            moved = total([a * arb(w) for a, w in zip(alpha, toward, strict=True)])
            state.alignment = gamma * (inner + moved)
            state.descent = gamma * total([c * arb(w) for c, w in zip(state.c, toward, strict=True)])
        if run.rule == "ngd":
            state.step_length = size
        elif run.rule == "gd":
            state.step_length = size * state.grad_norm
        else:
            state.step_length = state.loss_gap / (size * state.grad_norm)
        state.growth = size if run.rule == "gd" else state.step_length / state.grad_norm
        yield state
        alpha = [a + state.growth * c for a, c in zip(alpha, state.c, strict=True)]
        m = [x + state.growth * k for x, k in zip(m, state.pull, strict=True)]
        t += 1


def optimal_slopes(setting: ExactSetting) -> list[arb]:
    """|ℓ'(γ_io)| of every sequence."""
    if setting.instance.run.loss == "logistic":
        return [1 / (1 + arb(best).exp()) for best in setting.best]
    return [(-arb(best)).exp() for best in setting.best]


def _forces(setting: ExactSetting, slopes: list[arb], t: int, m: list[arb]) -> BallState:
    """Attention, deficits and gradient coefficients at margins ``m``."""
    n, P = len(setting.gaps), len(setting.gaps[0])
    logistic = setting.instance.run.loss == "logistic"
    state = BallState(t, m, logistic, slopes)
    for i in range(n):
        weights = [(-x).exp() for x in m[i * P : (i + 1) * P]]
        mass = total(weights)
        s = 1 / (1 + mass)
        attention = [w * s for w in weights]
        gaps = setting.gaps[i]
        D = total([a * gap for a, gap in zip(attention, gaps, strict=True)])
        best = arb(setting.best[i])
        slope = 1 / (1 + (best - D).exp()) if logistic else (D - best).exp()
        for p in range(P):
            tilt = total([a * (gaps[p] - gap) for a, gap in zip(attention, gaps, strict=True)])
            excess = s * gaps[p] + tilt
            state.excess.append(excess)
            state.c.append(slope * attention[p] * excess / n)
        state.s.append(s)
        state.leak.append(mass * s)
        state.D.append(D)
        state.slope.append(slope)
    return state


def total(values: list[arb]) -> arb:
    """Sum of balls."""
    result = arb(0)
    for value in values:
        result += value
    return result


def largest(values: list[arb]) -> arb:
    """Ball around the maximum; the minimum is ``-largest([-x for x in values])``."""
    result = values[0]
    for value in values[1:]:
        result = result.max(value)
    return result
