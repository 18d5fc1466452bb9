"""Planted claims: false ones that the trial has to convict, and true ones so tight that it must not.

Titles say why.  In a `BROAD` falsehood almost every run breaks the claim; a `CORNER` one is true on most data and
false on a small part of them.  A `TRUE_BUT_TIGHT` claim is proved in its title or in docs/theory.md, and some run
attains its two sides' equality, or comes within one per cent of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp
from sympy import Rational, exp, log, sqrt

from bounds import (
    ATTENTION,
    JOINT,
    Assumption,
    B,
    BelowPath,
    Conjecture,
    DecoderSeparable,
    Delta_max,
    Delta_min,
    EqualScores,
    Gamma,
    Lambda,
    Lambda_max,
    Loss,
    N,
    NonNegativeCorrelation,
    PositiveCoefficients,
    Rule,
    Schedule,
    Separable,
    StepAtMost,
    System,
    T,
    Theorem,
    WeakNegativeCorrelation,
    ZeroInit,
    alignment,
    alignment_0,
    alignment_1,
    attended_error,
    attended_margin,
    coefficient_sum,
    delta_bar,
    descent_cosine,
    direction_gap,
    eta,
    eta_u,
    eta_W,
    gamma,
    grad_norm,
    leak_max,
    leak_min,
    leak_slope_max,
    loss,
    loss_gap,
    loss_gap_0,
    loss_gap_next,
    margin_growth_min,
    margin_mean,
    margin_min,
    master_sum,
    mu,
    n,
    norm,
    norm_0,
    norm_1,
    path_loss_gap,
    rho,
    rho_max,
    s_floor,
    s_min,
    s_min_run,
    step_length,
    step_length_max,
    t,
    token_radius,
    u_alignment,
    u_alignment_1,
    u_deviation,
    u_direction_gap,
    u_growth_sum,
    u_Lambda,
    u_margin,
    u_norm,
    u_step_sum,
    zeta,
)
from bounds.attention import master_bound
from bounds.attention_gd import GD_SETTINGS, gd_rate
from bounds.attention_ngd import linear_rate, ngd_direction_bound, small_step

ANY: list[Assumption] = []
SEP: list[Assumption] = [Separable()]
PC: list[Assumption] = [Separable(), PositiveCoefficients()]
ES: list[Assumption] = [Separable(), EqualScores()]
NGD: list[Assumption] = [*PC, Rule("ngd")]
NGD_0: list[Assumption] = [*NGD, ZeroInit()]
POLYAK: list[Assumption] = [*PC, Rule("polyak")]
_es, _beta = GD_SETTINGS[""]
GD: list[Assumption] = [*_es, StepAtMost(1 / _beta)]
ES_GD: list[Assumption] = [*ES, Rule("gd")]
APRIORI: list[Assumption] = [*ES, NonNegativeCorrelation(), ZeroInit()]
GLOBAL: list[Assumption] = [Separable(), WeakNegativeCorrelation(), ZeroInit()]
DECODER: list[Assumption] = [DecoderSeparable()]
DEFAULT = Schedule(Rational(1), Rational(2, 3))

Claim = sp.core.relational.Relational


def _plant(
    name: str,
    why: str,
    assumes: Sequence[Assumption],
    claim: Claim,
    domain: Claim | None = None,
    system: System = ATTENTION,
) -> Theorem:
    return Theorem(name, why, system, assumes, claim, Conjecture(source="planted"), domain=domain)


def _joint(
    name: str, why: str, assumes: Sequence[Assumption], claim: Claim, domain: Claim | None = None
) -> Theorem:
    return _plant(name, why, assumes, claim, domain, JOINT)


# ------------------------------------------------------------------- false on almost everything that is drawn
BROAD = (
    _plant("false.f1.lower", "F1 with B for γ", PC, B * coefficient_sum <= grad_norm),
    _plant("false.f1.upper", "F1 with γ for B", PC, grad_norm <= gamma * coefficient_sum),
    _plant("false.f1.cosine", "F1 with 2γ: a single pair has cosine 1 = γ/B", PC, descent_cosine >= 2 * gamma / B),
    _plant("false.f2", "F2 doubled: a single pair nearly attains it", PC, grad_norm >= 2 * gamma * s_min * loss_gap),
    _plant("false.f3.lower", "F3 reversed: ℓ is strictly convex", ANY, loss_gap >= Gamma),
    _plant("false.f3.upper", "F3 without ρ", ANY, Gamma <= loss_gap),
    _plant("false.f4", "F4 without the entropy: the mean is not the least", PC, margin_mean <= margin_min),
    _plant("false.f5", "F5 with B/2", ANY, leak_min >= (T - 1) / (exp(B * norm / 2) + T - 1)),
    _plant("false.f6", "F6 halved: a single pair attains it in the limit", ANY,
           leak_slope_max <= n * loss_gap / (2 * Delta_min)),
    _plant("false.m1", "M1 without its sum: r − v grows", PC, norm - alignment <= norm_1 - alignment_1),
    _plant("false.m2", "M2 with its bracket's square in the norm", PC,
           direction_gap <= master_bound(Lambda_max, step_length_max) / norm**4, alignment_1 > 0),
    _plant("false.n1.lower", "N1 doubled", NGD, alignment >= alignment_0 + 2 * eta * t * gamma / B),
    _plant("false.n1.swapped", "N1 with γ and B swapped", NGD, alignment >= alignment_0 + eta * t * B / gamma),
    _plant("false.n1.upper", "N1 halved: the first step is η long", [Rule("ngd")], norm <= norm_0 + eta * t / 2),
    _plant("false.n2", "faster than t⁻²", NGD_0, direction_gap <= 1 / t**3, t >= 10),
    _plant("false.n3", "N3 at sixteen times the rate", [*ES, Rule("ngd"), StepAtMost(small_step(s_min_run) / 16)],
           loss_gap <= loss_gap_0 * linear_rate(s_min_run) ** 16),
    _plant("false.n5", "N5 with all of γ: equality only in the direction Ŵ", NGD_0, margin_min >= norm * gamma,
           ngd_direction_bound(Lambda_max) <= gamma**2 / (8 * B**2)),
    _plant("false.n6", "N6 with B/2", [Rule("ngd")],
           leak_min >= (T - 1) / (exp(B * (norm_0 + eta * t) / 2) + T - 1)),
    _plant("false.p1.lower", "P1 doubled", POLYAK, step_length >= 2 / (zeta * rho * B)),
    _plant("false.p1.upper", "P1 with B for γ", POLYAK, step_length <= 1 / (zeta * s_min * B)),
    _plant("false.p2", "P2 with γ and B swapped in one factor", POLYAK,
           alignment >= alignment_0 + t / (zeta * rho_max * gamma) * 2),
    _plant("false.p3", "Polyak's step faster than t⁻²", [*POLYAK, ZeroInit()], direction_gap <= 1 / t**3, t >= 10),
    _plant("false.g1", "G1 quadrupled: the quadratic term never helps", GD,
           2 * eta * grad_norm**2 <= loss_gap - loss_gap_next),
    _plant("false.g2", "G2 with a power of t too many", GD,
           loss_gap <= 1 / (1 / loss_gap_0 + gd_rate(s_min_run) * t**2)),
    _plant("false.g3", "G3 without its logarithm: the norm diverges", [*GD, ZeroInit()],
           norm <= eta * B * rho_max * loss_gap_0, t >= 1),
    _plant("false.g4", "GD as fast as 1/t", [*ES_GD, ZeroInit()], direction_gap <= 1 / t, t >= 100),
    _plant("false.m3", "M3's attention doubled: it is 1/T at W = 0", APRIORI, s_min >= 2 / T),
    _plant("false.m4", "M4's floor doubled: for short steps it is nearly 1/T", GLOBAL, s_min >= 2 * s_floor),
    _plant("false.s1", "S1 without Q: a margin is γr only in the direction Ŵ", [*SEP, BelowPath()],
           margin_min >= gamma * norm),
    _joint("false.j1", "the mean margin is not the least", PC, margin_mean <= margin_min),
    _joint("false.j3.upper", "J3 halved: the first steps are straight", ANY, u_norm <= u_step_sum / 2),
    _joint("false.j3.lower", "J3 quadrupled", DECODER, u_alignment >= u_alignment_1 + 4 * u_growth_sum,
           attended_margin > 0),
    _joint("false.j4", "J4 halved: û has the whole margin", DECODER, u_margin <= mu * u_norm / 2),
    _joint("false.j5", "J5 without imperfect attention", DECODER, loss <= exp(-2 * mu * u_norm)),
)  # fmt: skip

# --------------------------------------------------------------------------- false in a small part of the data
CORNERS = (
    _plant("corner.unequal-scores", "F1 without PC: needs unequal scores and attention on a middling token", SEP,
           gamma * coefficient_sum <= grad_norm),
    _plant("corner.large-step", "G1 without its step condition: needs η above 1/β", [*ES_GD, Loss("logistic")],
           eta / 2 * grad_norm**2 <= loss_gap - loss_gap_next),
    _plant("corner.ascent", "descent whatever η: needs η far above 1/β, and sequences that pull against each other",
           ES_GD, loss_gap_next <= loss_gap),
    _plant("corner.late", "true for 500 steps of a single pair and for longer otherwise", NGD_0, norm <= 500 * eta),
    _plant("corner.saturated", "true until attention is saturated", [Rule("ngd")], leak_min >= Rational(1, 10**40)),
    _plant("corner.two-sequences", "F6 without n: an equality for one sequence in the limit, false for two", ANY,
           leak_slope_max <= loss_gap / Delta_min),
    _plant("corner.three-sequences", "F6 with 2 for n: needs n ≥ 3, and one of them far behind", ANY,
           leak_slope_max <= 2 * loss_gap / Delta_min),
    _plant("corner.same-leak", "one sequence has one leak: needs n ≥ 2", ANY, leak_max <= leak_min),
    _plant("corner.weighted", "C = s Γ for one sequence: needs n ≥ 2", ANY, coefficient_sum <= s_min * Gamma),
    _plant("corner.exponential", "|ℓ'| < 1 for the logistic loss: needs the exponential one, negative scores", ANY,
           Gamma <= Delta_max),
    _plant("corner.exponential-step", "η ≤ 1/β of the logistic loss: needs the exponential one", [*ES, Rule("gd"),
           StepAtMost(1 / _beta)], eta / 2 * grad_norm**2 <= loss_gap - loss_gap_next),
    _plant("corner.thousandfold", "needs margins of which one is a thousandth of another's reach", [*ES, Rule("ngd"),
           ZeroInit()], B * norm <= 1000 * margin_min, margin_min > 0),
    _plant("corner.tiny-margin", "needs γ/B below 1/1000 and attention that is not balanced", PC,
           descent_cosine >= Rational(1, 1000)),
    _plant("corner.tiny-ratio", "needs γ/B below 10⁻⁵", SEP, gamma >= B / 10**5),
    _joint("corner.cross-attention", "self-attention has ‖x_o − x‖‖x_1‖ ≤ 2R²: needs queries of their own", ANY,
           B <= 2 * token_radius**2),
    _plant("corner.start", "true from W_0 = 0: needs another start", NGD, norm <= eta * t),
    _plant("corner.start-behind", "N1 with v_0 ≥ 0: needs a start against Ŵ", NGD, alignment >= 0),
    _plant("corner.start-wrong", "needs a start saturated on a wrong token", [Rule("ngd")], s_min >= Rational(1, 10**12)),
    _plant("corner.four-tokens", "M3 with 1/3: needs T ≥ 4", APRIORI, s_min >= Rational(1, 3)),
    _plant("corner.zeta", "P1 without ζ: needs ζ = 2", POLYAK, step_length >= 1 / (rho * B)),
    _plant("corner.one-pair", "Λ ≥ log N: less than log 2 needs a single pair", PC, Lambda >= log(2)),
    _plant("corner.two-dimensions", "in one dimension every W is a multiple of Ŵ: needs d ≥ 2", NGD_0,
           direction_gap <= Rational(1, 1000)),
    _plant("corner.negative-correlation", "M3 without NNC: needs features that pull against each other",
           [*ES, ZeroInit()], margin_growth_min >= 0),
    _plant("corner.weak-correlation", "M3's monotone margins under WC: needs ε > 0", GLOBAL, margin_growth_min >= 0),
    _plant("corner.trap", "attention kept at 1/T²: needs the trap or nearly it", [*ES, ZeroInit(), Rule("ngd"),
           StepAtMost(1 / B)], s_min >= 1 / T**3),
    _plant("corner.unbalanced", "needs gaps of two sequences apart by a factor of 20", [*ES, ZeroInit()],
           Lambda <= log(N) + 2 * log(T) + 3, t <= 1),
    _plant("corner.hair", "N1 by one part in 10²⁰: no float sees it", NGD,
           alignment >= alignment_0 + eta * t * gamma / B * (1 + Rational(1, 10**20)), t >= 1),
    _plant("corner.half-slope", "ρ ≤ e^{Δ/2}: needs D > Δ/2 and a steep loss", ANY, rho <= exp(Delta_max / 2)),
    _plant("corner.kappa", "F4 with log N for Λ: needs unbalanced coefficients", PC, margin_mean <= margin_min + log(N)),
    _plant("corner.equal-gaps", "F6 with Δmax for Δmin: needs unequal gaps", ANY, leak_slope_max <= n * loss_gap / Delta_max),
    _plant("corner.dropped-pc", "N1 without PC: needs unequal scores that stay unequal", [Separable(), Rule("ngd")],
           alignment >= alignment_0),
    _plant("corner.path", "wrong as a claim about the path's loss: needs several pairs", SEP, path_loss_gap <= loss_gap),
    _joint("corner.schedule", "steps η_W/(t+1) add up to less than η_W (1 + log t): needs another schedule", ANY,
           norm <= eta_W * (1 + log(t)), t >= 1),
    _joint("corner.joint-sequences", "u's margin is μ‖u‖ for one sequence: needs n ≥ 2", DECODER,
           u_margin >= mu * u_norm * Rational(999, 1000)),
    _joint("corner.joint-logistic", "Λ^u = log n for the exponential loss: needs the logistic one", ANY,
           u_Lambda <= log(n)),
    _joint("corner.joint-behind", "needs a decoder that attention leads astray", DECODER, u_alignment >= 0),
)  # fmt: skip

FALSE = (*BROAD, *CORNERS)

# ------------------------------------------------------------------------------------------- true and tight
_NGD_ANY: list[Assumption] = [Rule("ngd")]
TRUE_BUT_TIGHT = (
    # facts about every W
    _plant("tight.margin", "fact 3; Ŵ attains it", SEP, margin_min <= gamma * norm),
    _plant("tight.alignment", "Cauchy–Schwarz", SEP, alignment <= norm),
    _plant("tight.alignment-below", "Cauchy–Schwarz; −Ŵ attains it", SEP, alignment >= -norm),
    _plant("tight.radius", "fact 2; a single pair has γ = B", SEP, gamma <= B),
    _plant("tight.gaps", "ES: gaps of one sequence agree", ANY, Delta_min <= Delta_max),
    _plant("tight.pairs", "N = n(T − 1)", ANY, n * (T - 1) <= N),
    _plant("tight.pairs-below", "N = n(T − 1)", ANY, n * (T - 1) >= N),
    _plant("tight.attention", "a share; nearly 1 once saturated", ANY, s_min <= 1),
    _plant("tight.leak", "a share; nearly 1 on a wrong token", ANY, leak_max <= 1),
    _plant("tight.leaks", "least and largest of one set", ANY, leak_min <= leak_max),
    _plant("tight.shares", "1 − min s = max (1 − s)", ANY, s_min + leak_max <= 1),
    _plant("tight.shares-below", "1 − min s = max (1 − s)", ANY, s_min + leak_max >= 1),
    _plant("tight.run-minimum", "the minimum so far includes the present", ANY, s_min_run <= s_min),
    _plant("tight.rho", "|ℓ'| decreases (F3); nearly 1 once saturated", ANY, rho >= 1),
    _plant("tight.rho-max", "the maximum so far includes the present", ANY, rho <= rho_max),
    _plant("tight.sum", "(0.4) with s ≤ 1", ANY, coefficient_sum <= Gamma),
    _plant("tight.sum-above", "(0.4) with s ≤ max s; one sequence attains it", ANY,
           coefficient_sum <= (1 - leak_min) * Gamma),
    _plant("tight.sum-below", "(0.4) with s ≥ min s; one sequence attains it", ANY,
           coefficient_sum >= s_min * Gamma),
    _plant("tight.f1", "F1; a single pair attains it", PC, gamma * coefficient_sum <= grad_norm),
    _plant("tight.f1.upper", "F1; a single pair attains it", PC, grad_norm <= B * coefficient_sum),
    _plant("tight.f1.inner", "C⟨g, Ŵ⟩ ≥ γC, fact 2", PC, grad_norm * descent_cosine >= gamma * coefficient_sum),
    _plant("tight.cosine", "Cauchy–Schwarz", SEP, descent_cosine <= 1),
    _plant("tight.f2", "F2's inner inequality; a single pair attains it", PC, grad_norm >= gamma * s_min * Gamma),
    _plant("tight.f3.root", "log|ℓ'| is concave: its mean over [f, γ_o] exceeds that of the ends", ANY,
           Gamma <= sqrt(rho) * loss_gap),
    _plant("tight.f3", "F3; Γ/G → 1 once saturated", ANY, loss_gap <= Gamma),
    _plant("tight.f4.single", "F4 with N = 1: Λ = 0", PC, margin_mean <= margin_min + Lambda, N <= 1),
    _plant("tight.f4.mean", "a mean is at least the least", PC, margin_mean >= margin_min),
    _plant("tight.lambda", "κmax ≥ κmin", PC, Lambda >= log(N)),
    _plant("tight.lambda-max", "the maximum since t0 includes the present", PC, Lambda <= Lambda_max),
    _plant("tight.f5", "F5 away from zero; a single pair along Ŵ attains it", ANY,
           leak_min >= (T - 1) / (exp(B * norm) + T - 1), norm > 0),
    _plant("tight.leak-above", "Σ e^{−m} ≤ (T−1) e^{−min m}; equal margins attain it", ANY,
           leak_max <= (T - 1) / (exp(margin_min) + T - 1)),
    _plant("tight.leak-below", "Σ e^{−m} ≥ e^{−min m}; T = 2 attains it", ANY,
           leak_max >= 1 / (exp(margin_min) + 1)),
    _plant("tight.f6", "F6; one sequence approaches it once saturated", ANY,
           leak_slope_max * Delta_min <= n * loss_gap),
    _plant("tight.gap", "1 − cos = (r − v)/r", SEP, direction_gap * norm <= norm - alignment),
    _plant("tight.gap-below", "1 − cos = (r − v)/r", SEP, direction_gap * norm >= norm - alignment),
    _plant("tight.path", "a single pair: L falls with the margin, which is at most γr", SEP,
           path_loss_gap <= loss_gap, N <= 1),
    # runs
    _plant("tight.ngd.step", "NGD's definition", _NGD_ANY, step_length <= eta),
    _plant("tight.ngd.step-below", "NGD's definition", _NGD_ANY, step_length >= eta),
    _plant("tight.ngd.bar", "δ̄ = η (M4)", [*ES, *_NGD_ANY], delta_bar <= eta),
    _plant("tight.ngd.margin", "⟨Z, step⟩ ≤ ηB; a single pair attains it", _NGD_ANY, margin_growth_min <= eta * B),
    _plant("tight.ngd.norm", "N1 after the first step", _NGD_ANY, norm <= norm_0 + eta * t, t >= 2),
    _plant("tight.ngd.alignment", "N1 after the start", NGD, alignment >= alignment_0 + eta * t * gamma / B, t >= 1),
    _plant("tight.ngd.alignment-above", "⟨step, Ŵ⟩ ≤ η", [Separable(), Rule("ngd")],
           alignment <= alignment_0 + eta * t, t >= 1),
    _plant("tight.ngd.floor", "N6 after the start", [*_NGD_ANY, ZeroInit()],
           leak_min >= (T - 1) / (exp(B * eta * t) + T - 1), t >= 1),
    _plant("tight.step-max", "the maximum since t0 includes the present", PC, step_length <= step_length_max),
    _plant("tight.gd.step", "GD's definition", [Rule("gd")], step_length <= eta * grad_norm),
    _plant("tight.gd.step-below", "GD's definition", [Rule("gd")], step_length >= eta * grad_norm),
    _plant("tight.gd.descent", "G1 without the gradient", GD, loss_gap_next <= loss_gap),
    _plant("tight.polyak.step", "Polyak's definition", [Rule("polyak")],
           zeta * step_length * grad_norm <= loss_gap),
    _plant("tight.polyak.step-below", "Polyak's definition", [Rule("polyak")],
           zeta * step_length * grad_norm >= loss_gap),
    _plant("tight.p1.lower", "P1 from F1 alone", POLYAK, step_length >= loss_gap / (zeta * B * coefficient_sum)),
    _plant("tight.p1.upper", "P1 from F1 alone", POLYAK, step_length <= loss_gap / (zeta * gamma * coefficient_sum)),
    _plant("tight.m3", "M3: attained at step 0", APRIORI, s_min_run >= 1 / T),
    _plant("tight.m3-above", "s = 1/T at step 0", [ZeroInit()], s_min_run <= 1 / T),
    _plant("tight.m4.floor", "its definition", [*ES, *_NGD_ANY], s_floor * (1 + (T - 1) * exp(delta_bar * B)) <= 1),
    # joint training
    _joint("tight.j.margin", "fact 3", SEP, margin_min <= gamma * norm),
    _joint("tight.j.step", "the schedule; W stands still at step 0", [DEFAULT], step_length * (t + 1) <= eta_W),
    _joint("tight.j.growth", "J3 after two steps: straight while n = 1", ANY, u_norm <= u_step_sum, t >= 2),
    _joint("tight.j.path", "steps are at most η_u", ANY, u_step_sum <= eta_u * t, t >= 1),
    _joint("tight.j.decoder", "Cauchy–Schwarz", DECODER, u_alignment <= u_norm),
    _joint("tight.j4", "J4 after the start; û attains it", DECODER, u_margin <= mu * u_norm, t >= 1),
    _joint("tight.j.split", "a = μ − e", DECODER, attended_margin + attended_error <= mu),
    _joint("tight.j.split-below", "a = μ − e", DECODER, attended_margin + attended_error >= mu),
    _joint("tight.j.deviation", "(3.1) for u", DECODER, u_deviation**2 <= 2 * u_direction_gap),
    _joint("tight.j.deviation-below", "(3.1) for u", DECODER, u_deviation**2 >= 2 * u_direction_gap),
    _joint("tight.j.lambda", "κmax ≥ κmin; the exponential loss attains it", ANY, u_Lambda >= log(n)),
)  # fmt: skip
