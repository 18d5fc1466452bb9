"""The regularisation path R·Ŵ, and weights of the same norm with less loss.

Fix a norm R.  The max-margin direction Ŵ maximises the smallest margin among all W of that norm, not the loss:
some W with ‖W‖ = R has a smaller loss, unless −∇L(RŴ) is parallel to Ŵ.  Such W are found by projected
gradient descent in the space of margins (docs/theory.md#s1).
"""

from __future__ import annotations

import math

import numpy as np
from flint import arb, fmpq
from numba import njit
from numpy.typing import NDArray

from models.attention import Geometry
from models.dataset import Array
from models.instance import LOSSES
from models.kernel import LOGISTIC, _log_add, _log_expm1, _log_log1p, _log_slope
from models.maxmargin import MaxMargin
from models.replay import ExactSetting, total

_STEPS = 200
_LEAST_STEP = 2.0**-40


@njit(cache=True, error_model="numpy")
def _attend(m: Array, first: int, scale: float, gaps: Array, weight: Array) -> tuple[float, float, float]:
    """log s_o, log(1 − s_o) and log D of the sequence whose pairs start at ``first``, at margins ``scale·m``.

    ``scale`` is not negative; ``weight`` becomes the shares of the other tokens.
    """
    least = math.inf
    for p in range(weight.size):
        least = min(least, m[first + p])
    top, mass, mean_gap, row = -scale * least, 0.0, 0.0, first // weight.size
    for p in range(weight.size):
        weight[p] = math.exp(-scale * m[first + p] - top)
        mass += weight[p]
        mean_gap += weight[p] * gaps[row, p]
    odds = top + math.log(mass)  # log((1 − s_o)/s_o)
    log_s = -odds - math.log1p(math.exp(-odds)) if odds > 0.0 else -math.log1p(math.exp(odds))
    for p in range(weight.size):
        weight[p] /= mass
    return log_s, odds + log_s, odds + log_s + math.log(mean_gap / mass)


@njit(cache=True, error_model="numpy")
def log_loss_gap(m: Array, gaps: Array, best: Array, loss: int) -> float:
    """log G at margins ``m``."""
    return _log_loss_gap(m, 1.0, gaps, best, loss, np.empty(gaps.shape[1]))


@njit(cache=True, error_model="numpy")
def _log_loss_gap(m: Array, scale: float, gaps: Array, best: Array, loss: int, weight: Array) -> float:
    """The same at ``scale`` times the margins, with working space for one sequence."""
    n, P = gaps.shape
    log_G = -math.inf
    for i in range(n):
        _, _, log_D = _attend(m, i * P, scale, gaps, weight)
        gap = _log_slope(best[i], loss) + _log_expm1(log_D)
        log_G = _log_add(log_G, _log_log1p(gap) if loss == LOGISTIC else gap)
    return log_G - math.log(n)


@njit(cache=True, error_model="numpy")
def fill_pull(m: Array, gaps: Array, best: Array, loss: int, pull: Array) -> float:
    """Fill ``pull`` with the coefficients c_it of −∇L at margins ``m``, divided by their largest n|c_it|.

    Returns the logarithm of that divisor.
    """
    n, P = gaps.shape
    weight, log_c = np.empty(P), np.empty(n * P)
    for i in range(n):
        log_s, log_leak, log_D = _attend(m, i * P, 1.0, gaps, weight)
        common = _log_slope(best[i] - math.exp(log_D), loss) + log_s
        for p in range(P):
            # Δ − D, never by subtraction: s_o Δ + (1 − s_o) Σ_τ w_τ (Δ − Δ_τ)
            tilt = 0.0
            for q in range(P):
                tilt += weight[q] * (gaps[i, p] - gaps[i, q])
            excess = math.exp(log_s) * gaps[i, p] + math.exp(log_leak) * tilt
            log_c[i * P + p] = common - m[i * P + p] + math.log(abs(excess))
            pull[i * P + p] = 1.0 if excess > 0.0 else -1.0
    largest = float(log_c.max())
    pull *= np.exp(log_c - largest)
    return largest


@njit(cache=True, error_model="numpy")
def _along(norms: Array, alignments: Array, gaps: Array, best: Array, loss: int) -> Array:
    out, weight = np.empty(norms.size), np.empty(gaps.shape[1])
    for k in range(norms.size):
        out[k] = _log_loss_gap(alignments, norms[k], gaps, best, loss, weight)
    return out


@njit(cache=True, error_model="numpy")
def _descend(
    K: Array, alpha: Array, alignments: Array, R: float, gaps: Array, best: Array, loss: int, steps: int
) -> None:
    """Lower the loss of Σ alpha_j Z_j on the sphere of radius R, in place; ``alpha`` starts as R·Ŵ."""
    m, pull, step = R * alignments, np.empty(alignments.size), 0.25
    value = log_loss_gap(m, gaps, best, loss)
    for _ in range(steps):
        fill_pull(m, gaps, best, loss, pull)
        turn = K @ pull
        length = math.sqrt(max(0.0, np.dot(pull, turn)))
        if not length > 0.0:
            return
        accepted = False
        while step > _LEAST_STEP and not accepted:
            move = step * R / length
            moved, margins = alpha + move * pull, m + move * turn
            size = math.sqrt(max(0.0, np.dot(moved, margins)))
            if size > 0.0:
                moved *= R / size
                margins *= R / size
                new = log_loss_gap(margins, gaps, best, loss)
                if new < value:
                    alpha[:], m, value, accepted = moved, margins, new, True
            step *= 1.5 if accepted else 0.5
        if not accepted:
            return
        step = min(step, 1.0)


def log_path_gaps(geometry: Geometry, loss: str, norms: Array) -> Array:
    """log(L(rŴ) − L*) for each norm r, free of cancellation.

    Parameters
    ----------
    geometry : Geometry
        Of separable data.
    loss : {"logistic", "exponential"}
    norms : array, shape (R,)

    Returns
    -------
    array, shape (R,)

    Raises
    ------
    ValueError
        If the data are inseparable, so that there is no Ŵ.
    """
    alignments = _solution(geometry).alignments
    gaps, best = geometry.gaps, geometry.best_scores
    return np.asarray(_along(np.asarray(norms), alignments, gaps, best, LOSSES.index(loss)))


def path_gap(setting: ExactSetting, norm: arb) -> arb:
    """L(‖W‖Ŵ) − L* in a ball, from a ball around ‖W‖.  Raises `ValueError` if the data are inseparable."""
    solution = _solution(setting.geometry)
    gamma = (1 / arb(solution.norm_sq)).sqrt()
    margins = [norm * gamma * w for w in solution.margins]
    return loss_gap_at(margins, setting.gaps, setting.best, setting.instance.run.loss)


def loss_gap_at(margins: list[arb], score_gaps: list[list[fmpq]], best: list[fmpq], loss: str) -> arb:
    """L − L* in a ball, from balls around all margins and the exact scores, one row of gaps a sequence."""
    P, terms = len(score_gaps[0]), []
    for i, (gaps, score) in enumerate(zip(score_gaps, best, strict=True)):
        weights = [(-m).exp() for m in margins[i * P : (i + 1) * P]]
        D = total([w * gap for w, gap in zip(weights, gaps, strict=True)]) / (1 + total(weights))
        if loss == "logistic":
            terms.append((D.expm1() / (1 + arb(score).exp())).log1p())
        else:
            terms.append((-arb(score)).exp() * D.expm1())
    return total(terms) / len(terms)


def below_path(geometry: Geometry, loss: str, norm: float, steps: int = _STEPS) -> Array:
    """Weights of a given norm whose loss is below that of norm·Ŵ, by projected gradient descent from there.

    After each gradient step W is scaled back to the norm; a step is shortened until the loss falls.

    Parameters
    ----------
    geometry : Geometry
        Of separable data.
    loss : {"logistic", "exponential"}
    norm : float
        R > 0.
    steps : int
        Steps at most; fewer leave W nearer to the path.

    Returns
    -------
    array, shape (d, d)
        R·Ŵ itself where nothing of the same norm is better, as for a single pair.

    Raises
    ------
    ValueError
        If the data are inseparable or the norm is not positive and finite.
    """
    if not 0.0 < norm < math.inf:
        raise ValueError(f"norm = {norm}: give a positive, finite norm")
    solution = _solution(geometry)
    alpha: NDArray[np.float64] = norm * solution.direction
    _descend(
        geometry.features.gram,
        alpha,
        solution.alignments,
        norm,
        geometry.gaps,
        geometry.best_scores,
        LOSSES.index(loss),
        steps,
    )
    return geometry.features.combine(alpha)


def _solution(geometry: Geometry) -> MaxMargin:
    if geometry.max_margin is None:
        raise ValueError("the tokens are not separable: there is no max-margin direction and no path along it")
    return geometry.max_margin
