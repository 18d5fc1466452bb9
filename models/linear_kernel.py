"""The fused loop of linear classification, in the log domain (see `models.linear` for the rules)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.dataset import Array
from models.kernel import LOGISTIC, _compensated_add, _log_add, _log_log1p, _log_slope

#: Columns at each recorded step; NaN marks what is undefined, ``log_`` a natural logarithm.
COLUMNS = (
    "norm",  # ‖w_t‖
    "alignment",  # ⟨w_t, û⟩, û the max-margin direction
    "direction_gap",  # 1 − cos(w_t, û), from ‖w_t − ⟨w_t, û⟩û‖², free of cancellation
    "margin_min",  # min_i m_i
    "margin_largest",  # max_i |m_i|
    "log_leak_max",  # log max_i 1/(1 + e^{m_i}): the largest probability of a wrong label
    "psi",  # log Σ e^{−m_i}
    "psi_drop",  # ψ_t − ψ_{t+1}, from the step's own margins, free of cancellation
    "pull",  # ‖Σ q_i z_i‖, q = softmax(−m)
    "pull_next",
    "log_loss",  # log L
    "log_loss_next",
    "log_exp_loss",  # log (1/n) Σ e^{−m_i}
    "step_sum",  # Σ_{k<t} η_k
    "loss_sum",  # Σ_{k<t} L_k
    "path",  # Σ_{k<t} ‖w_{k+1} − w_k‖
    "step_length",  # ‖w_{t+1} − w_t‖
    "condition",  # Σ p_i ‖z_i‖/‖Σ p_i z_i‖ of the step
)
_INDEX = {name: k for k, name in enumerate(COLUMNS)}
NORM = _INDEX["norm"]
ALIGNMENT = _INDEX["alignment"]
DIRECTION_GAP = _INDEX["direction_gap"]
MARGIN_MIN = _INDEX["margin_min"]
MARGIN_LARGEST = _INDEX["margin_largest"]
LOG_LEAK_MAX = _INDEX["log_leak_max"]
PSI = _INDEX["psi"]
PSI_DROP = _INDEX["psi_drop"]
PULL = _INDEX["pull"]
PULL_NEXT = _INDEX["pull_next"]
LOG_LOSS = _INDEX["log_loss"]
LOG_LOSS_NEXT = _INDEX["log_loss_next"]
LOG_EXP_LOSS = _INDEX["log_exp_loss"]
STEP_SUM = _INDEX["step_sum"]
LOSS_SUM = _INDEX["loss_sum"]
PATH = _INDEX["path"]
STEP_LENGTH = _INDEX["step_length"]
CONDITION = _INDEX["condition"]

GD, BY_LOSS, BY_GRADIENT = 0, 1, 2


@njit(cache=True, error_model="numpy")
def _softmax(m: Array, q: Array) -> float:
    """q = softmax(−m); returns log Σ e^{−m}."""
    least = m.min()
    total = 0.0
    for i in range(m.size):
        q[i] = math.exp(least - m[i])
        total += q[i]
    for i in range(m.size):
        q[i] /= total
    return float(math.log(total) - least)


@njit(cache=True, error_model="numpy")
def _combine(Z: Array, weights: Array, out: Array) -> float:
    """out = Σ weights_i z_i; returns its norm."""
    square = 0.0
    for k in range(Z.shape[1]):
        total = 0.0
        for i in range(Z.shape[0]):
            total += weights[i] * Z[i, k]
        out[k] = total
        square += total * total
    return math.sqrt(square)


@njit(cache=True, error_model="numpy")
def _log_loss(m: Array, loss: int, psi: float) -> float:
    """log Σ ℓ(m_i)."""
    if loss != LOGISTIC:
        return psi
    total = -math.inf
    for i in range(m.size):
        total = _log_add(total, _log_log1p(-m[i]))
    return total


@njit(cache=True, error_model="numpy")
def _place(w: Array, direction: Array, row: Array) -> None:
    """Norm, alignment and direction gap of w."""
    square = along = 0.0
    for k in range(w.size):
        square += w[k] * w[k]
        along += w[k] * direction[k]
    norm = math.sqrt(square)
    rest = 0.0
    for k in range(w.size):
        x = w[k] - along * direction[k]
        rest += x * x
    row[NORM] = norm
    row[ALIGNMENT] = along
    if norm > 0.0:
        row[DIRECTION_GAP] = rest / (norm * (norm + along)) if along > 0.0 else (norm - along) / norm


@njit(cache=True, error_model="numpy")
def train(
    Z: Array,
    direction: Array,
    w: Array,
    rule: int,
    loss: int,
    summed: bool,
    eta: float,
    power: float,
    start: int,
    steps: NDArray[np.int64],
    table: Array,
) -> tuple[int, int]:
    """Train in place from ``w`` and fill ``table`` at ``steps``.

    Returns
    -------
    rows : int
        Recorded steps; fewer than asked for if a step is not finite.
    onset : int
        First step with L(w) ≤ 1/η, −1 if there is none.
    """
    n, d = Z.shape
    carry, step, pulled = np.zeros(d), np.zeros(d), np.zeros(d)
    m, q, p, final = np.zeros(n), np.zeros(n), np.zeros(n), w.copy()
    lengths = np.zeros(n)
    for i in range(n):
        lengths[i] = math.sqrt((Z[i] * Z[i]).sum())
    log_share = 0.0 if summed else -math.log(n)
    step_sum = loss_sum = path = change = 0.0
    onset, row, last = -1, 0, steps[-1]
    open_row = -1  # a recorded row that still waits for the next state
    for t in range(last + 2):
        for i in range(n):
            total = 0.0
            for k in range(d):
                total += Z[i, k] * w[k]
            m[i] = total
        psi = _softmax(m, q)
        log_loss = log_share + _log_loss(m, loss, psi)
        pull = _combine(Z, q, pulled)
        if not (math.isfinite(psi) and math.isfinite(log_loss)):
            break
        if open_row >= 0:
            table[open_row, PULL_NEXT] = pull
            table[open_row, LOG_LOSS_NEXT] = log_loss
            if abs(change) > 0.5:  # nothing cancels, and log(1 + change) may not exist
                table[open_row, PSI_DROP] = table[open_row, PSI] - psi
            open_row = -1
        if t > last:
            break
        if onset < 0 and log_loss <= -math.log(eta):
            onset = t
        # the step: weights p of the points and its length
        log_largest = -math.inf
        for i in range(n):
            p[i] = _log_slope(m[i], loss)
            log_largest = max(log_largest, p[i])
        total = 0.0
        for i in range(n):
            p[i] = math.exp(p[i] - log_largest)
            total += p[i]
        for i in range(n):
            p[i] /= total
        size = _combine(Z, p, step)
        reach = (p * lengths).sum()
        step_size = eta * (start + t + 1.0) ** -power
        if rule == GD:
            factor = step_size * math.exp(log_share + log_largest) * total
        else:
            factor = step_size if rule == BY_LOSS else step_size / size
        if not math.isfinite(factor):
            break
        if t == steps[row]:
            _place(w, direction, table[row])
            table[row, MARGIN_MIN] = m.min()
            table[row, MARGIN_LARGEST] = np.abs(m).max()
            table[row, LOG_LEAK_MAX] = -_log_add(0.0, m.min())
            table[row, PSI] = psi
            table[row, PULL] = pull
            table[row, LOG_LOSS] = log_loss
            table[row, LOG_EXP_LOSS] = psi - math.log(n)
            table[row, STEP_SUM] = step_sum
            table[row, LOSS_SUM] = loss_sum
            table[row, PATH] = path
            table[row, STEP_LENGTH] = factor * size
            table[row, CONDITION] = reach / size
            # ψ_{t+1} − ψ_t = log Σ q_i e^{−Δm_i}, Δm_i = factor ⟨z_i, step⟩
            change = 0.0
            for i in range(n):
                moved = 0.0
                for k in range(d):
                    moved += Z[i, k] * step[k]
                change += q[i] * math.expm1(-factor * moved)
            table[row, PSI_DROP] = -math.log1p(change) if abs(change) <= 0.5 else math.nan
            open_row = row
            row += 1
        final[:] = w  # the state at the last step, from which one more is taken
        _compensated_add(w, carry, factor, step)
        step_sum += step_size
        loss_sum += math.exp(log_loss)
        path += factor * size
    w[:] = final
    return row, onset
