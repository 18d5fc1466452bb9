"""Joint training in Arb balls: the dynamics of `models.joint` with every rounding error enclosed.

Inner products of tokens, both max-margin solutions and the schedule are exact; the states are enclosed at a given
precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from flint import arb, arb_mat, fmpq

from models.dyadic import DyadicMatrix
from models.joint import JointGeometry, JointInstance, exact_products
from models.replay import PrecisionLost, largest, total


class JointExactSetting:
    """The exact constants of an instance, from which balls of any precision are made."""

    def __init__(self, instance: JointInstance, geometry: JointGeometry) -> None:
        self.instance = instance
        self.geometry = geometry
        run = instance.run
        self.eta_W = fmpq(*run.eta_W.as_integer_ratio())
        self.eta_u = fmpq(*run.eta_u.as_integer_ratio())
        self.power_W = fmpq(run.power_W.numerator, run.power_W.denominator)
        self.power_u = fmpq(run.power_u.numerator, run.power_u.denominator)

    def initial(self) -> tuple[list[arb], list[arb], list[arb], list[arb], list[arb]]:
        """α, β, the margins of W_0, and the optimal scores and gaps of u_0."""
        run, geometry, n = self.instance.run, self.geometry, self.instance.dataset.n
        N = self.instance.dataset.N
        alpha = np.zeros(N) if run.alpha_0 is None else run.alpha_0
        beta = np.zeros(n + N) if run.beta_0 is None else run.beta_0
        exact = (
            exact_products(geometry.features.exact_gram, run.alpha_0),
            exact_products(geometry.exact_gram, run.beta_0)[:n],
            exact_products(geometry.exact_gaps, run.beta_0),
        )
        m, best, gaps = ([arb(x) for x in values] for values in exact)
        return [arb(float(a)) for a in alpha], [arb(float(b)) for b in beta], m, best, gaps

    def gamma(self) -> arb | None:
        """γ, or None when there is no W_mm."""
        solution = self.geometry.max_margin
        return None if solution is None else (1 / arb(solution.norm_sq)).sqrt()

    def mu(self) -> arb | None:
        """μ, or None when there is no u_mm."""
        solution = self.geometry.decoder
        return None if solution is None else (1 / arb(solution.norm_sq)).sqrt()

    def token_radius(self) -> arb:
        """max ‖x_it‖."""
        return arb(self.geometry.exact_token_radius_sq).sqrt()

    def lengths(self, t: int) -> tuple[arb, arb]:
        """η_W (start+t+1)^{−power_W} and η_u (start+t+1)^{−power_u}."""
        count = arb(self.instance.run.start + t + 1)
        return arb(self.eta_W) * count ** -arb(self.power_W), arb(self.eta_u) * count ** -arb(self.power_u)


@dataclass
class JointBallState:
    """One step of the run in balls.

    ``s``, ``leak``, ``best`` (γ_{i,o}), ``f``, ``slope`` and ``error_sq`` (‖x̃_i − y_i x_{i,o}‖²) hold one ball a
    sequence; ``m``, ``gaps``, ``excess`` (Δ − D), ``c`` and ``pull`` (K c) one a pair; ``b`` (p_i s_it, Σ p = 1)
    and ``push`` one a token in the order of `JointGeometry`.  ``alignment`` and ``u_alignment`` are None when
    there is no W_mm or u_mm.
    """

    t: int
    m: list[arb]
    best: list[arb]
    gaps: list[arb]
    logistic: bool
    s: list[arb] = field(default_factory=list)
    leak: list[arb] = field(default_factory=list)
    f: list[arb] = field(default_factory=list)
    slope: list[arb] = field(default_factory=list)
    error_sq: list[arb] = field(default_factory=list)
    excess: list[arb] = field(default_factory=list)
    c: list[arb] = field(default_factory=list)
    b: list[arb] = field(default_factory=list)
    pull: list[arb] = field(default_factory=list)
    push: list[arb] = field(default_factory=list)
    loss: arb = field(default_factory=arb)
    gradient_sq: arb = field(default_factory=arb)  # ‖∇_W L‖²
    u_gradient_sq: arb = field(default_factory=arb)  # ‖g^u‖²
    norm_sq: arb = field(default_factory=arb)
    u_norm_sq: arb = field(default_factory=arb)
    alignment: arb | None = None
    u_alignment: arb | None = None
    length: arb = field(default_factory=arb)  # of the next step of W; zero where it stands still
    u_length: arb = field(default_factory=arb)

    @property
    def norm(self) -> arb:
        """r_t = ‖W_t‖."""
        return root(self.norm_sq)

    @property
    def u_norm(self) -> arb:
        """‖u_t‖."""
        return root(self.u_norm_sq)

    @property
    def grad_norm(self) -> arb:
        """‖∇_W L‖."""
        return root(self.gradient_sq)

    @property
    def u_grad_norm(self) -> arb:
        """‖g^u‖ for g^u = Σ p_i x̃_i with p_i ∝ |ℓ'(f_i)|."""
        return self.u_gradient_sq.sqrt()

    @property
    def attended_error(self) -> arb:
        """e_t = max_i ‖x̃_i − y_i x_{i,o}‖."""
        return root(largest(self.error_sq))

    @property
    def positive_coefficients(self) -> bool | None:
        """PC of u_t at W_t: proved, refuted, or (None) not decided by the balls."""
        if all(e > 0 for e in self.excess):
            return True
        return False if any(e <= 0 for e in self.excess) else None

    def Lambda(self) -> arb:
        """Λ_t from u_t; needs positive coefficients."""
        P = len(self.m) // len(self.s)
        kappa = [self.slope[j // P] * e * self.s[j // P] for j, e in enumerate(self.excess)]
        return arb(len(kappa)).log() + (largest(kappa) / -largest([-k for k in kappa])).log()

    def u_Lambda(self) -> arb:
        """Λ^u_t = log n + log(κ_max/κ_min), κ_i = |ℓ'(f_i)| e^{f_i}."""
        if not self.logistic:  # κ_i = 1
            return arb(len(self.f)).log()
        inverse = [1 + (-f).exp() for f in self.f]
        return arb(len(self.f)).log() + (largest(inverse) / -largest([-k for k in inverse])).log()

    def master_term(self) -> arb:
        """(h_t Λ_t/γ + δ_t²/2)/r_t, the summand of M1; h_t/γ = δ_t C/‖∇_W L‖."""
        moved = self.length * total(self.c) / self.grad_norm * self.Lambda()
        return (moved + self.length**2 / 2) / self.norm

    def u_master_term(self) -> arb:
        """h_t(b_t/a_t − 1) + (h_tΛ^u_t/a_t + δ_t²/2)/‖u_t‖, the summand of J2; h_t/a_t = δ_t/‖g^u‖."""
        pushed = self.u_length / self.u_grad_norm
        return 2 * self.attended_error * pushed + (pushed * self.u_Lambda() + self.u_length**2 / 2) / self.u_norm


def root(square: arb) -> arb:
    """Square root of what is known to be non-negative, also where its ball reaches below zero."""
    return square.sqrt() if square > 0 else arb(0).union(square.abs_upper().sqrt())


def joint_replay(setting: JointExactSetting) -> Iterator[JointBallState]:
    """The run's states t = 0, 1, … in balls at the current working precision (`flint.ctx.prec`).

    Raises
    ------
    PrecisionLost
        When the balls no longer separate a gradient from zero, except ∇_W L = 0 at u = 0.
    """
    geometry = setting.geometry
    n, N = geometry.dataset.n, geometry.dataset.N
    K, added = _balls(geometry.features.exact_gram), _balls(geometry.exact_gaps)
    optimal = _balls(geometry.exact_gram, n)
    turns = _turns(geometry)
    toward = None if geometry.max_margin is None else [arb(x) for x in geometry.max_margin.margins]
    u_toward = None if geometry.decoder_margins is None else [arb(x) for x in geometry.decoder_margins]
    gamma, mu = setting.gamma(), setting.mu()
    alpha, beta, m, best, gaps = setting.initial()
    t = 0
    while True:
        state = _forces(setting, turns, t, m, best, gaps)
        column = arb_mat(n + N, 1, state.b)
        state.pull = (K * arb_mat(N, 1, state.c)).entries()
        state.push = [*(optimal * column).entries(), *(added * column).entries()]
        state.length, state.u_length = setting.lengths(t)
        state.gradient_sq = _inner(state.c, state.pull)
        state.u_gradient_sq = _inner(state.b, _scores(state.push, n))
        standing = all(x.is_zero() for x in beta)  # u = 0: every gap vanishes, and so does ∇_W L
        if standing:
            state.length = arb(0)
        elif not state.gradient_sq > 0:
            raise PrecisionLost(f"gradient of W not separated from zero at step {t}")
        if not state.u_gradient_sq > 0:
            raise PrecisionLost(f"gradient of u not separated from zero at step {t}")
        state.norm_sq = _inner(alpha, m)
        state.u_norm_sq = _inner(beta, _scores([*best, *gaps], n))
        if toward is not None and gamma is not None:
            state.alignment = gamma * _inner(alpha, toward)
        if u_toward is not None and mu is not None:
            state.u_alignment = mu * _inner(beta, u_toward)
        yield state
        if not standing:
            moved = state.length / state.grad_norm
            alpha = [a + moved * c for a, c in zip(alpha, state.c, strict=True)]
            m = [x + moved * k for x, k in zip(m, state.pull, strict=True)]
        moved = state.u_length / state.u_grad_norm
        beta = [a + moved * x for a, x in zip(beta, state.b, strict=True)]
        best = [x + moved * k for x, k in zip(best, state.push[:n], strict=True)]
        gaps = [x + moved * k for x, k in zip(gaps, state.push[n:], strict=True)]
        t += 1


def _balls(matrix: DyadicMatrix, rows: int | None = None) -> arb_mat:
    """The first rows of an exact matrix (all if not said how many)."""
    table = matrix.integers.tolist()[:rows]
    return arb_mat(table) * arb(fmpq(2) ** matrix.exponent)


def _turns(geometry: JointGeometry) -> list[list[list[arb]]]:
    """⟨x_{i,o} − x_it, x_{i,o} − x_iτ⟩ of each sequence."""
    P, exact = geometry.dataset.T - 1, geometry.exact_turns
    unit, table = arb(fmpq(2) ** exact.exponent), exact.integers.tolist()
    rows = [range(i * P, i * P + P) for i in range(geometry.dataset.n)]
    return [[[unit * table[j][k] for k in block] for j in block] for block in rows]


def _inner(first: list[arb], second: list[arb]) -> arb:
    return total([a * b for a, b in zip(first, second, strict=True)])


def _scores(z: list[arb], n: int) -> list[arb]:
    """Scores of all tokens in token order, from optimal scores and gaps."""
    P = len(z) // n - 1
    return [*z[:n], *(z[j // P] - gap for j, gap in enumerate(z[n:]))]


def _forces(
    setting: JointExactSetting,
    turns: list[list[list[arb]]],
    t: int,
    m: list[arb],
    best: list[arb],
    gaps: list[arb],
) -> JointBallState:
    """Attention, outputs and coefficients of both gradients at margins ``m`` and the current scores."""
    n, P = len(best), len(turns[0])
    logistic = setting.instance.run.loss == "logistic"
    state = JointBallState(t=t, m=m, best=best, gaps=gaps, logistic=logistic)
    off: list[arb] = []
    for i in range(n):
        pairs = range(i * P, i * P + P)
        weights = [(-m[j]).exp() for j in pairs]
        mass = total(weights)
        s = 1 / (1 + mass)
        attention = [w * s for w in weights]
        own = [gaps[j] for j in pairs]
        f = best[i] - _inner(attention, own)
        slope = 1 / (1 + f.exp()) if logistic else (-f).exp()
        state.loss += ((-f).exp().log1p() if logistic else (-f).exp()) / n
        for p in range(P):
            # Not the difference of a gap with itself: its ball is wide where s_it is not small.
            tilt = total([attention[q] * (own[p] - own[q]) for q in range(P) if q != p])
            state.excess.append(s * own[p] + tilt)
            state.c.append(slope * attention[p] * state.excess[-1] / n)
        off += attention
        state.error_sq.append(_inner(attention, [_inner(row, attention) for row in turns[i]]))
        state.s.append(s)
        state.leak.append(mass * s)
        state.f.append(f)
        state.slope.append(slope)
    steepness = total(state.slope)
    share = [slope / steepness for slope in state.slope]
    state.b = [
        *(p * s for p, s in zip(share, state.s, strict=True)),
        *(share[j // P] * a for j, a in enumerate(off)),
    ]
    return state
