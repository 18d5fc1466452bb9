"""The fused loop of joint training: attention in margin space, the decoder in score space.

W = Σ α_it Z_it moves the N margins m through K; u = Σ β_it y_i x_it (β ≥ 0) moves the n optimal scores
γ_{i,o} and the N score gaps Δ_it through the signed tokens' inner products.  Gaps are accumulated themselves,
never formed as differences of scores.  Token vectors are in the order of `models.joint.JointGeometry`: the n
optimal tokens, then the N others in pair order.  The formulas in the log domain are those of `models.kernel`,
with gaps that change and may be negative (docs/theory.md#numerics and #6).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.dataset import Array
from models.joint_state import Force, Problem, State
from models.joint_trajectory import JOINT_COLUMNS
from models.kernel import (
    FINISHED,
    LOGISTIC,
    NON_FINITE_STEP,
    PC_THRESHOLD,
    PRECISION_LOST,
    _compensated_add,
    _log_add,
    _log_log1p,
    _log_slope,
)

_INDEX = {name: k for k, name in enumerate(JOINT_COLUMNS)}
NORM = _INDEX["norm"]
ALIGNMENT = _INDEX["alignment"]
DIRECTION_GAP = _INDEX["direction_gap"]
DIRECTION_GAP_ERROR = _INDEX["direction_gap_error"]
LOG_GRAD_NORM = _INDEX["log_grad_norm"]
LOG_S_MIN = _INDEX["log_s_min"]
LOG_LEAK_MAX = _INDEX["log_leak_max"]
MARGIN_MIN = _INDEX["margin_min"]
MARGIN_MEAN = _INDEX["margin_mean"]
LOG_STEP_LENGTH = _INDEX["log_step_length"]
LOG_STEP_LENGTH_MAX = _INDEX["log_step_length_max"]
LAMBDA = _INDEX["Lambda"]
LAMBDA_MAX = _INDEX["Lambda_max"]
MASTER_SUM = _INDEX["master_sum"]
PC_MARGIN = _INDEX["pc_margin"]
PC_SEQUENCES = _INDEX["pc_sequences"]
GRADIENT_CONDITION = _INDEX["gradient_condition"]
COEFFICIENT_CONDITION = _INDEX["coefficient_condition"]
STATE_CONDITION = _INDEX["state_condition"]
MARGIN_LARGEST = _INDEX["margin_largest"]
U_NORM = _INDEX["u_norm"]
U_ALIGNMENT = _INDEX["u_alignment"]
U_GAP = _INDEX["u_gap"]
U_GAP_ERROR = _INDEX["u_gap_error"]
U_MARGIN = _INDEX["u_margin"]
U_MASS = _INDEX["u_mass"]
U_GRADIENT_CONDITION = _INDEX["u_gradient_condition"]
LOG_ATTENDED_ERROR = _INDEX["log_attended_error"]
LOG_ATTENDED_REACH = _INDEX["log_attended_reach"]
U_LAMBDA = _INDEX["u_Lambda"]
U_STEP_SUM = _INDEX["u_step_sum"]
U_GROWTH_SUM = _INDEX["u_growth_sum"]
U_MASTER_SUM = _INDEX["u_master_sum"]
LOG_LOSS = _INDEX["log_loss"]

#: Relative size of a_t = μ − e_t from which it counts as positive in float64.
ATTENDED_THRESHOLD = 1e-9
#: Size of a gradient, relative to that of its terms, below which the rounding of score gaps may steer it.
RESOLUTION = 2.0**-30
_EPS = 2.0**-52


@njit(cache=True, error_model="numpy")
def _attend(problem: Problem, state: State, force: Force, mass: float, now: Array) -> float:
    """Attention, outputs and gradient coefficients of all sequences; returns the largest log |c|."""
    n, P = problem.turns.shape[0], problem.turns.shape[1]
    z, weight = state.z, force.weight
    log_n, logistic = math.log(n), problem.loss == LOGISTIC
    s_min, leak_max, log_loss, largest = 0.0, -math.inf, -math.inf, -math.inf
    kappa_max, kappa_min, error, reach = -math.inf, math.inf, -math.inf, -math.inf
    now[LAMBDA_MAX], now[LAMBDA] = -math.inf, math.inf  # κ_max and κ_min until `_push_attention`
    now[PC_MARGIN], now[PC_SEQUENCES] = math.inf, 0.0
    for i in range(n):
        first = i * P
        top = -state.m[first : first + P].min()
        total, mean_gap, length, turn = 0.0, 0.0, 0.0, 0.0
        for p in range(P):
            weight[p] = math.exp(-state.m[first + p] - top)
            total += weight[p]
            mean_gap += weight[p] * z[n + first + p]
            length += weight[p] * problem.lengths[first + p]
        for p in range(P):
            for q in range(P):
                turn += weight[p] * problem.turns[i, p, q] * weight[q]
        odds = top + math.log(total)  # log((1 − s_o)/s_o)
        log_s = -odds - math.log1p(math.exp(-odds)) if odds > 0.0 else -math.log1p(math.exp(odds))
        log_leak = odds + log_s
        f = z[i] - math.exp(log_leak) * mean_gap / total
        force.log_s[i] = log_s
        force.log_slope[i] = _log_slope(f, problem.loss)
        log_loss = _log_add(log_loss, _log_log1p(-f) if logistic else -f)
        kappa = _log_slope(-f, problem.loss) if logistic else 0.0  # |ℓ'(f)| e^f = |ℓ'(−f)|, or 1
        kappa_max, kappa_min = max(kappa_max, kappa), min(kappa_min, kappa)
        s_min, leak_max = min(s_min, log_s), max(leak_max, log_leak)
        error = max(error, log_leak + 0.5 * math.log(max(0.0, turn)) - math.log(total))
        reach = max(reach, log_leak + math.log(length / total))
        largest = max(largest, _coefficients(problem, state, force, mass, i, odds, total, log_leak, now))
    now[LOG_S_MIN], now[LOG_LEAK_MAX], now[LOG_LOSS] = s_min, leak_max, log_loss - log_n
    now[U_LAMBDA] = log_n + kappa_max - kappa_min
    now[LOG_ATTENDED_ERROR], now[LOG_ATTENDED_REACH] = error, reach
    return largest


@njit(cache=True, error_model="numpy")
def _coefficients(
    problem: Problem,
    state: State,
    force: Force,
    mass: float,
    i: int,
    odds: float,
    total: float,
    log_leak: float,
    now: Array,
) -> float:
    """c_it of one sequence, as sign and logarithm; returns the largest logarithm.

    Δ − D = s_o Δ + (1 − s_o) Σ_τ w_τ (Δ − Δ_τ)/Σw with the larger of s_o and 1 − s_o drawn out.  Its size, for
    rounding, takes |Δ_it| at ‖x_{i,o} − x_it‖ Σ β ‖x‖: gaps are sums over tokens and may cancel.
    """
    n, P = problem.turns.shape[0], problem.turns.shape[1]
    first, log_s = i * P, force.log_s[i]
    base = force.log_slope[i] - math.log(n) + log_s
    worst, largest = math.inf, -math.inf
    for p in range(P):
        gap, own = state.z[n + first + p], problem.lengths[first + p] * mass
        tilt, spread, others = 0.0, 0.0, 0.0
        for q in range(P):
            if q != p:
                difference = gap - state.z[n + first + q]
                tilt += force.weight[q] * difference
                spread += force.weight[q] * abs(difference)
                others += force.weight[q] * (own + problem.lengths[first + q] * mass)
        if odds <= 0.0:
            scale = math.exp(odds) / total
            excess, size, factor = gap + scale * tilt, own + scale * others, log_s
        elif spread == 0.0:
            excess, factor = gap, log_s
            size = own + math.exp(odds) * others / total if others > 0.0 else own
        else:
            share = math.exp(-odds)
            excess, size, factor = tilt / total + gap * share, others / total + own * share, log_leak
        ratio = excess / size if size > 0.0 else 0.0
        worst = min(worst, ratio)
        kappa = base + factor + math.log(abs(excess))
        now[LAMBDA_MAX], now[LAMBDA] = max(now[LAMBDA_MAX], kappa), min(now[LAMBDA], kappa)
        force.log_c[first + p] = kappa - state.m[first + p]
        force.log_size[first + p] = base + factor + math.log(size) - state.m[first + p]
        force.c[first + p] = 1.0 if excess > 0.0 else -1.0
        if excess != 0.0:
            largest = max(largest, force.log_c[first + p])
    now[PC_MARGIN] = min(now[PC_MARGIN], worst)
    if worst > PC_THRESHOLD:
        now[PC_SEQUENCES] += 1.0
    return largest


@njit(cache=True, error_model="numpy")
def _push_attention(
    problem: Problem, state: State, force: Force, largest: float, mass: float, length: float, now: Array
) -> tuple[int, float, float]:
    """Normalise c and form K c for a step of ``length``; returns status, δ/‖Σ c Z‖ and Σ c/‖Σ c Z‖."""
    N = state.m.size
    pc = now[PC_MARGIN] > PC_THRESHOLD
    now[LAMBDA] = math.log(N) + now[LAMBDA_MAX] - now[LAMBDA] if pc else math.nan
    now[LAMBDA_MAX], now[MARGIN_MEAN] = math.nan, math.nan
    if largest == -math.inf and mass == 0.0:  # u = 0: every gap is zero, and W stands still
        force.c[:], force.pull[:] = 0.0, 0.0
        now[LOG_GRAD_NORM], now[LOG_STEP_LENGTH] = -math.inf, -math.inf
        now[GRADIENT_CONDITION], now[COEFFICIENT_CONDITION] = 1.0, 1.0
        return FINISHED, 0.0, 0.0
    size, terms, total, mean = 0.0, 0.0, 0.0, 0.0
    for j in range(N):
        force.c[j] *= math.exp(force.log_c[j] - largest)
        size += math.exp(force.log_size[j] - largest)
        terms += abs(force.c[j])
        total += force.c[j]
        mean += force.c[j] * state.m[j]
    force.pull[:] = problem.gram @ force.c
    square = np.dot(force.c, force.pull)
    if not square > 64.0 * N * _EPS * (problem.radius * terms) ** 2:
        return PRECISION_LOST, 0.0, 0.0
    gradient = math.sqrt(square)  # ‖∇_W L‖ = e^largest · gradient
    if not gradient > RESOLUTION * problem.radius * size:
        return PRECISION_LOST, 0.0, 0.0
    if not math.isfinite(length / gradient):
        return NON_FINITE_STEP, 0.0, 0.0
    now[LOG_GRAD_NORM] = largest + math.log(gradient)
    now[LOG_STEP_LENGTH] = math.log(length)
    now[GRADIENT_CONDITION] = problem.radius * terms / gradient
    now[COEFFICIENT_CONDITION] = problem.radius * size / gradient
    if pc:
        now[MARGIN_MEAN] = mean / total
    return FINISHED, length / gradient, total / gradient


@njit(cache=True, error_model="numpy")
def _push_decoder(
    problem: Problem, state: State, force: Force, length: float, now: Array
) -> tuple[int, float, float]:
    """b = p_i s_it and what it adds to the scores; returns status, δ/‖Σ b y x‖ and 1/‖g^u‖."""
    n, P = problem.turns.shape[0], problem.turns.shape[1]
    top = force.log_slope.max()
    total, reach = 0.0, 0.0
    for i in range(n):
        p_i = math.exp(force.log_slope[i] - top)
        total += p_i
        force.b[i] = p_i * math.exp(force.log_s[i])
        reach += force.b[i] * problem.token_norms[i]
        for j in range(i * P, i * P + P):
            force.b[n + j] = p_i * math.exp(force.log_s[i] - state.m[j])
            reach += force.b[n + j] * problem.token_norms[n + j]
    force.push[:] = problem.scores @ force.b
    square = 0.0
    for i in range(n):
        square += force.b[i] * force.push[i]
        for j in range(i * P, i * P + P):
            square += force.b[n + j] * (force.push[i] - force.push[n + j])
    if not square > 64.0 * force.b.size * _EPS * reach**2:
        return PRECISION_LOST, 0.0, 0.0
    gradient = math.sqrt(square)
    if not math.isfinite(length / gradient):
        return NON_FINITE_STEP, 0.0, 0.0
    now[U_GRADIENT_CONDITION] = reach / gradient
    return FINISHED, length / gradient, total / gradient


@njit(cache=True, error_model="numpy")
def _measure(coefficients: Array, images: Array, alignments: Array, direction: Array, into: Array) -> None:
    """Norm, alignment, 1 − cos, its error and the cancellation in ‖·‖² of a sum of vectors.

    The sum has the given ``coefficients``; ``images`` are its inner products with the vectors, ``alignments``
    those of the unit vector whose coefficients are ``direction``.  1 − cos is formed from the part across.
    """
    norm_sq, size, alignment = 0.0, 0.0, 0.0
    for j in range(images.size):
        norm_sq += coefficients[j] * images[j]
        size += abs(coefficients[j] * images[j])
        alignment += coefficients[j] * alignments[j]
    norm = math.sqrt(max(0.0, norm_sq))
    into[0], into[1], into[2], into[3] = norm, alignment, math.nan, math.nan
    into[4] = size / norm_sq if norm_sq > 0.0 else 1.0
    if norm == 0.0:
        return
    across, error = 0.0, 0.0
    for j in range(images.size):
        rest = coefficients[j] - alignment * direction[j]
        turn = images[j] - alignment * alignments[j]
        across += rest * turn
        error += abs(rest) * (abs(images[j]) + abs(alignment * alignments[j]))
        error += (abs(coefficients[j]) + abs(alignment * direction[j])) * abs(turn)
        # Rounding of both factors at once, where both nearly vanish.
        error += _EPS * abs(coefficients[j]) * (abs(images[j]) + abs(alignment * alignments[j]))
    if alignment > 0.0:
        into[2] = max(0.0, across) / (norm * (norm + alignment))
        into[3] = _EPS * error / (norm * (norm + alignment))
    else:
        into[2] = (norm - alignment) / norm
        into[3] = _EPS * (1.0 + size / norm_sq)


@njit(cache=True, error_model="numpy")
def _measure_both(problem: Problem, state: State, scores: Array, five: Array, now: Array) -> None:
    """Columns of the two states: their norms, directions and margins."""
    n, P = problem.turns.shape[0], problem.turns.shape[1]
    _measure(state.alpha, state.m, problem.alignments, problem.direction, five)
    now[NORM], now[ALIGNMENT], now[DIRECTION_GAP] = five[0], five[1], five[2]
    now[DIRECTION_GAP_ERROR], now[STATE_CONDITION] = five[3], five[4]
    now[MARGIN_MIN], now[MARGIN_LARGEST] = state.m.min(), np.abs(state.m).max()
    for i in range(n):
        scores[i] = state.z[i]
        for j in range(n + i * P, n + i * P + P):
            scores[j] = state.z[i] - state.z[j]
    _measure(state.beta, scores, problem.u_alignments, problem.u_direction, five)
    now[U_NORM], now[U_ALIGNMENT], now[U_GAP], now[U_GAP_ERROR] = five[0], five[1], five[2], five[3]
    now[U_MARGIN] = state.z[:n].min()


@njit(cache=True, error_model="numpy")
def _summands(
    problem: Problem,
    now: Array,
    length: float,
    share: float,
    u_length: float,
    u_share: float,
    after: bool,
    u_after: bool,
    terms: Array,
) -> None:
    """Terms of the sums of M1, J2 and J3 (from their onsets on) and of η^u; shares are C/‖∇_W L‖ and 1/‖g^u‖."""
    error = math.exp(now[LOG_ATTENDED_ERROR])
    terms[:] = 0.0
    if after:
        terms[0] = (length * share * now[LAMBDA] + 0.5 * length * length) / now[NORM]
    if u_after:
        pushed = u_length * u_share
        terms[1] = 2.0 * error * pushed + (pushed * now[U_LAMBDA] + 0.5 * u_length * u_length) / now[U_NORM]
        terms[2] = u_length * (problem.mu - error) / problem.token_radius
    terms[3] = u_length


@njit(cache=True, error_model="numpy")
def train(
    problem: Problem, state: State, force: Force, record: NDArray[np.int64], out: Array
) -> tuple[int, int, int, int]:
    """Train from the given state, which is moved, and fill ``out[row]`` with the columns at ``record[row]``.

    Parameters
    ----------
    record : (R,) increasing steps to record, the last one being the last step.
    out : (R, len(JOINT_COLUMNS)) filled in place; NaN where a quantity is undefined.

    Returns
    -------
    rows, onset, decoder_onset, status
        Rows filled; t0 and t1 (−1 if none); and how the run ended.
    """
    now, five, scores = np.empty(out.shape[1]), np.empty(5), np.empty(state.z.size)
    # Sums along the run: M1's, J2's, J3's and that of η^u.
    sums, carry, terms = np.zeros(4), np.zeros(4), np.zeros(4)
    onset, decoder_onset, row = -1, -1, 0
    lambda_run, length_run = -math.inf, -math.inf
    last = int(record[record.size - 1])
    for t in range(last + 1):
        count = problem.start + t + 1.0
        length = problem.eta_W * count**-problem.power_W
        u_length = problem.eta_u * count**-problem.power_u
        mass = np.dot(state.beta, problem.token_norms)
        largest = _attend(problem, state, force, mass, now)
        status, move, share = _push_attention(problem, state, force, largest, mass, length, now)
        if status != FINISHED:
            return row, onset, decoder_onset, status
        status, u_move, u_share = _push_decoder(problem, state, force, u_length, now)
        if status != FINISHED:
            return row, onset, decoder_onset, status
        _measure_both(problem, state, scores, five, now)
        now[U_MASS] = mass
        attended = problem.mu - math.exp(now[LOG_ATTENDED_ERROR])
        if not now[PC_MARGIN] > PC_THRESHOLD:
            onset = -1
        elif now[NORM] > 0.0:
            if onset < 0:
                onset, sums[0], carry[0] = t, 0.0, 0.0
                lambda_run, length_run = -math.inf, -math.inf
            lambda_run, length_run = max(lambda_run, now[LAMBDA]), max(length_run, now[LOG_STEP_LENGTH])
        if not attended > ATTENDED_THRESHOLD * problem.mu:
            decoder_onset = -1
        elif decoder_onset < 0 and now[U_NORM] > 0.0:
            decoder_onset, sums[1:3], carry[1:3] = t, 0.0, 0.0
        if t == record[row]:
            now[LAMBDA_MAX], now[LOG_STEP_LENGTH_MAX] = lambda_run, length_run
            now[MASTER_SUM], now[U_MASTER_SUM], now[U_GROWTH_SUM], now[U_STEP_SUM] = sums
            out[row] = now
            row += 1
        if t == last:  # ``state`` is left as the last one recorded
            break
        _summands(problem, now, length, share, u_length, u_share, onset >= 0, decoder_onset >= 0, terms)
        _compensated_add(sums, carry, 1.0, terms)
        _compensated_add(state.alpha, state.alpha_carry, move, force.c)
        _compensated_add(state.m, state.m_carry, move, force.pull)
        _compensated_add(state.beta, state.beta_carry, u_move, force.b)
        _compensated_add(state.z, state.z_carry, u_move, force.push)
    return row, onset, decoder_onset, FINISHED
