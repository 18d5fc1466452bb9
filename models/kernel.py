"""The fused training loop: gradient steps on attention in margin space, in the log domain.

Everything a step needs is the N margins m_it = ⟨Z_it, W⟩ and the Gram matrix K.  Near saturation every naive
formula cancels or underflows, so the loop keeps logarithms (log s_{i,o}, log(1 − s_{i,o}), log D_i, log G) and
normalises the gradient's coefficients by their largest one before they are exponentiated.  W is never formed.
The derivations are in docs/theory.md#numerics.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.dataset import Array
from models.trajectory import COLUMNS

_INDEX = {name: k for k, name in enumerate(COLUMNS)}
NORM = _INDEX["norm"]
ALIGNMENT = _INDEX["alignment"]
DIRECTION_GAP = _INDEX["direction_gap"]
DIRECTION_GAP_ERROR = _INDEX["direction_gap_error"]
LOG_LOSS_GAP = _INDEX["log_loss_gap"]
LOG_LOSS_GAP_NEXT = _INDEX["log_loss_gap_next"]
LOG_GRAD_NORM = _INDEX["log_grad_norm"]
LOG_COEFFICIENT_SUM = _INDEX["log_coefficient_sum"]
DESCENT_COSINE = _INDEX["descent_cosine"]
LOG_S_MIN = _INDEX["log_s_min"]
LOG_S_MIN_RUN = _INDEX["log_s_min_run"]
LOG_LEAK_MAX = _INDEX["log_leak_max"]
LOG_LEAK_MIN = _INDEX["log_leak_min"]
LOG_LEAK_SLOPE_MAX = _INDEX["log_leak_slope_max"]
MARGIN_MIN = _INDEX["margin_min"]
MARGIN_MEAN = _INDEX["margin_mean"]
MARGIN_GROWTH_MIN = _INDEX["margin_growth_min"]
LOG_STEP_LENGTH = _INDEX["log_step_length"]
LOG_STEP_LENGTH_MAX = _INDEX["log_step_length_max"]
LAMBDA = _INDEX["Lambda"]
LAMBDA_MAX = _INDEX["Lambda_max"]
MASTER_SUM = _INDEX["master_sum"]
LOG_RHO = _INDEX["log_rho"]
LOG_RHO_MAX = _INDEX["log_rho_max"]
LOG_GAMMA_SUM = _INDEX["log_Gamma"]
PC_MARGIN = _INDEX["pc_margin"]
PC_SEQUENCES = _INDEX["pc_sequences"]
GRADIENT_CONDITION = _INDEX["gradient_condition"]
STATE_CONDITION = _INDEX["state_condition"]
MARGIN_LARGEST = _INDEX["margin_largest"]

NGD, GD, POLYAK = 0, 1, 2
LOGISTIC, EXPONENTIAL = 0, 1
FINISHED, NON_FINITE_STEP, PRECISION_LOST = 0, 1, 2
PC_THRESHOLD = 1e-12  # relative size of Δ − D from which PC counts as holding in float64
_EPS = 2.0**-52


@njit(cache=True, error_model="numpy")
def _log_slope(z: float, loss: int) -> float:
    """log|ℓ'(z)|."""
    if loss == EXPONENTIAL:
        return -z
    return -z - math.log1p(math.exp(-z)) if z > 0.0 else -math.log1p(math.exp(z))


@njit(cache=True, error_model="numpy")
def _log_expm1(log_x: float) -> float:
    """log(e^x − 1) from log x."""
    if log_x < -37.0:
        return log_x
    x = math.exp(log_x)
    return x + math.log1p(-math.exp(-x)) if x > 1.0 else math.log(math.expm1(x))


@njit(cache=True, error_model="numpy")
def _log_log1p(log_y: float) -> float:
    """log(log(1 + y)) from log y."""
    if log_y < -37.0:
        return log_y
    if log_y > 37.0:
        return math.log(log_y)
    return math.log(math.log1p(math.exp(log_y)))


@njit(cache=True, error_model="numpy")
def _log_add(a: float, b: float) -> float:
    """log(e^a + e^b)."""
    if a == -math.inf:
        return b
    return a + math.log1p(math.exp(b - a)) if a > b else b + math.log1p(math.exp(a - b))


@njit(cache=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def _tilt_and_spread(weight: Array, gaps: Array, gap: float) -> tuple[float, float]:
    """Σ_τ w_τ (Δ − Δ_τ) and Σ_τ |w_τ (Δ − Δ_τ)|, in any order and so in vectors: a sequence has T² such terms."""
    tilt, spread = 0.0, 0.0
    for q in range(weight.size):
        difference = weight[q] * (gap - gaps[q])
        tilt += difference
        spread += abs(difference)
    return tilt, spread


@njit(cache=True, error_model="numpy")
def _compensated_add(total: Array, carry: Array, scale: float, term: Array) -> None:
    """total += scale · term with Neumaier's compensation, so that 10⁶ steps lose no digits."""
    for j in range(total.size):
        x = scale * term[j] + carry[j]
        s = total[j] + x
        carry[j] = (total[j] - s) + x if abs(total[j]) >= abs(x) else (x - s) + total[j]
        total[j] = s


@njit(cache=True, error_model="numpy")
def train(
    K: Array,
    gaps: Array,
    best: Array,
    alignments: Array,
    direction: Array,
    gamma: float,
    radius: float,
    m_0: Array,
    norm_0_sq: float,
    alignment_0: float,
    rule: int,
    loss: int,
    step_size: float,
    record: NDArray[np.int64],
    out: Array,
    final: Array,
) -> tuple[int, int, int]:
    """Train and fill ``out[row] = observables at t = record[row]``.

    Parameters
    ----------
    K : (N, N) Gram matrix of the pair features.
    gaps : (n, T−1) score gaps.
    best : (n,) scores γ_{i,o_i}.
    alignments, direction : (N,) ⟨Z_j, Ŵ⟩ and the coefficients of Ŵ (NaN when there is no W_mm).
    gamma, radius : γ (NaN when there is no W_mm) and B.
    m_0, norm_0_sq, alignment_0 : margins of W_0 (N,), ‖W_0‖², ⟨W_0, Ŵ⟩.
    rule, loss : codes; ``step_size`` is η, or ζ for Polyak.
    record : (R,) increasing steps to record, the last one being the last step.
    out : (R, len(COLUMNS)) filled in place; NaN where a quantity is undefined.
    final : (N,) filled with the coefficients α of W_last − W_0 = Σ_j α_j Z_j.

    Returns
    -------
    rows, onset, status
        Rows filled; first step with positive norm from which PC holds to the end (−1 if none); and how the
        run ended.
    """
    n, P = gaps.shape
    N = n * P
    log_n = math.log(n)
    log_N = math.log(N)
    alpha, alpha_carry = np.zeros(N), np.zeros(N)
    m, m_carry = m_0.copy(), np.zeros(N)
    c, log_c, weight = np.empty(N), np.empty(N), np.empty(P)
    log_gap_slope = np.empty(n)
    for i in range(n):
        log_gap_slope[i] = _log_slope(best[i], loss)
    residual_0 = m_0 - alignment_0 * alignments
    residual_norm_0_sq = max(0.0, norm_0_sq - alignment_0 * alignment_0)

    onset, row, status = -1, 0, FINISHED
    previous = -1  # row of the step before, if it was recorded
    s_run, rho_run = 0.0, -math.inf
    lambda_run, length_run, master = -math.inf, -math.inf, 0.0
    last = int(record[record.size - 1])
    for t in range(last + 2):
        s_min, leak_max, leak_min, leak_slope = 0.0, -math.inf, math.inf, -math.inf
        log_G, log_C, log_Gamma, rho = -math.inf, -math.inf, -math.inf, -math.inf
        kappa_max, kappa_min, pc_margin, largest = -math.inf, math.inf, math.inf, -math.inf
        pc_sequences = 0
        for i in range(n):
            first = i * P
            top = -m[first]
            for p in range(1, P):
                top = max(top, -m[first + p])
            total, mean_gap = 0.0, 0.0
            for p in range(P):
                weight[p] = math.exp(-m[first + p] - top)
                total += weight[p]
                mean_gap += weight[p] * gaps[i, p]
            mean_gap /= total
            odds = top + math.log(total)  # log((1 − s_o)/s_o)
            log_s = -odds - math.log1p(math.exp(-odds)) if odds > 0.0 else -math.log1p(math.exp(odds))
            log_leak = odds + log_s
            log_D = log_leak + math.log(mean_gap)
            log_slope = _log_slope(best[i] - math.exp(log_D), loss)
            if loss == LOGISTIC:
                gap = _log_log1p(log_gap_slope[i] + _log_expm1(log_D))
            else:
                gap = log_gap_slope[i] + _log_expm1(log_D)
            log_G = _log_add(log_G, gap)
            log_C = _log_add(log_C, log_slope + log_s + log_D)
            log_Gamma = _log_add(log_Gamma, log_slope + log_D)
            rho = max(rho, log_slope - log_gap_slope[i])
            s_min = min(s_min, log_s)
            leak_max = max(leak_max, log_leak)
            leak_min = min(leak_min, log_leak)
            leak_slope = max(leak_slope, log_leak + log_gap_slope[i])
            worst, own_gaps = math.inf, gaps[i]
            for p in range(P):
                # Δ − D = s_o Δ + (1 − s_o) Σ_τ w_τ (Δ − Δ_τ)/Σw, the larger of s_o and 1 − s_o drawn out.
                tilt, spread = _tilt_and_spread(weight, own_gaps, gaps[i, p])
                if odds <= 0.0:
                    scale = math.exp(odds) / total
                    excess, size = gaps[i, p] + scale * tilt, gaps[i, p] + scale * spread
                    log_excess = log_s + math.log(abs(excess))
                elif spread == 0.0:
                    excess, size = gaps[i, p], gaps[i, p]
                    log_excess = log_s + math.log(excess)
                else:
                    own = gaps[i, p] * math.exp(-odds)
                    excess, size = tilt / total + own, spread / total + own
                    log_excess = log_leak + math.log(abs(excess))
                worst = min(worst, excess / size)
                kappa = log_slope - log_n + log_excess + log_s
                kappa_max, kappa_min = max(kappa_max, kappa), min(kappa_min, kappa)
                log_c[first + p] = kappa - m[first + p]
                c[first + p] = 1.0 if excess > 0.0 else -1.0
                if excess != 0.0:
                    largest = max(largest, log_c[first + p])
            pc_margin = min(pc_margin, worst)
            if worst > PC_THRESHOLD:
                pc_sequences += 1
        log_G -= log_n
        if previous >= 0:
            out[previous, LOG_LOSS_GAP_NEXT] = log_G
            previous = -1
        if t > last:
            break

        mass, total_c, mean_margin, cosine = 0.0, 0.0, 0.0, 0.0
        for j in range(N):
            c[j] *= math.exp(log_c[j] - largest)
            mass += abs(c[j])
            total_c += c[j]
            mean_margin += c[j] * m[j]
            cosine += c[j] * alignments[j]
        pull = K @ c
        square = np.dot(c, pull)
        if not square > 64.0 * N * _EPS * (radius * mass) ** 2:
            status = PRECISION_LOST
            break
        length = math.sqrt(square)  # ‖∇L‖ = e^largest · length
        log_gradient = largest + math.log(length)
        if rule == NGD:
            log_step = math.log(step_size)
        elif rule == GD:
            log_step = math.log(step_size) + log_gradient
        else:
            log_step = log_G - log_gradient - math.log(step_size)
        move = math.exp(log_step) / length
        if not math.isfinite(move):
            status = NON_FINITE_STEP
            break

        norm_sq, alignment, size = norm_0_sq, alignment_0, norm_0_sq
        for j in range(N):
            norm_sq += alpha[j] * (m[j] + m_0[j])
            size += abs(alpha[j]) * (abs(m[j]) + abs(m_0[j]))
            alignment += alpha[j] * alignments[j]
        norm = math.sqrt(max(0.0, norm_sq))
        pc = pc_margin > PC_THRESHOLD
        s_run, rho_run = min(s_run, s_min), max(rho_run, rho)
        Lambda = log_N + kappa_max - kappa_min if pc else math.nan
        if not pc:
            onset = -1
        elif norm > 0.0:
            if onset < 0:
                onset, master = t, 0.0
                lambda_run, length_run = -math.inf, -math.inf
            lambda_run, length_run = max(lambda_run, Lambda), max(length_run, log_step)

        if t == record[row]:
            out[row, NORM] = norm
            out[row, ALIGNMENT] = alignment
            gap, error = math.nan, math.nan
            if norm > 0.0:
                grown = alignment - alignment_0
                across, across_error = residual_norm_0_sq, _EPS * norm_0_sq
                for j in range(N):
                    beta = alpha[j] - grown * direction[j]
                    turn = m[j] - m_0[j] - grown * alignments[j]
                    across += beta * (turn + 2.0 * residual_0[j])
                    across_error += _EPS * (
                        abs(beta) * (abs(m[j]) + abs(m_0[j]) + abs(grown * alignments[j]))
                        + (abs(alpha[j]) + abs(grown * direction[j])) * (abs(turn) + 2.0 * abs(residual_0[j]))
                    )
                    # Rounding of β and of the product at once, where both factors nearly vanish.
                    across_error += _EPS * _EPS * abs(alpha[j]) * (abs(m[j]) + abs(grown * alignments[j]))
                if alignment > 0.0:
                    gap = max(0.0, across) / (norm * (norm + alignment))
                    error = across_error / (norm * (norm + alignment))
                else:
                    gap = (norm - alignment) / norm
                    error = _EPS * size / (norm * norm)
            out[row, DIRECTION_GAP] = gap
            out[row, DIRECTION_GAP_ERROR] = error
            out[row, LOG_LOSS_GAP] = log_G
            out[row, LOG_GRAD_NORM] = log_gradient
            out[row, LOG_COEFFICIENT_SUM] = log_C - log_n
            out[row, DESCENT_COSINE] = cosine / length
            out[row, LOG_S_MIN] = s_min
            out[row, LOG_S_MIN_RUN] = s_run
            out[row, LOG_LEAK_MAX] = leak_max
            out[row, LOG_LEAK_MIN] = leak_min
            out[row, LOG_LEAK_SLOPE_MAX] = leak_slope
            out[row, MARGIN_MIN] = m.min()
            out[row, MARGIN_MEAN] = mean_margin / total_c if pc else math.nan
            out[row, MARGIN_GROWTH_MIN] = move * pull.min()
            out[row, LOG_STEP_LENGTH] = log_step
            out[row, LAMBDA] = Lambda
            out[row, LOG_RHO] = rho
            out[row, LOG_RHO_MAX] = rho_run
            out[row, LOG_GAMMA_SUM] = log_Gamma - log_n
            out[row, PC_MARGIN] = pc_margin
            out[row, PC_SEQUENCES] = pc_sequences
            out[row, GRADIENT_CONDITION] = radius * mass / length
            out[row, STATE_CONDITION] = size / norm_sq if norm_sq > 0.0 else 1.0
            out[row, MARGIN_LARGEST] = np.abs(m).max()
            if onset >= 0:
                out[row, LAMBDA_MAX] = lambda_run
                out[row, LOG_STEP_LENGTH_MAX] = length_run
                out[row, MASTER_SUM] = master
            previous = row
            row += 1
        if t == last:
            final[:] = alpha
        if onset >= 0:
            step = math.exp(log_step)
            master += (step * mass / length * Lambda + 0.5 * step * step) / norm
        _compensated_add(alpha, alpha_carry, move, c)
        _compensated_add(m, m_carry, move, pull)
    if onset < 0:  # no stretch of positive coefficients lasted: what earlier ones accumulated is void
        for k in range(row):
            out[k, LAMBDA_MAX] = math.nan
            out[k, LOG_STEP_LENGTH_MAX] = math.nan
            out[k, MASTER_SUM] = math.nan
    return row, onset, status
