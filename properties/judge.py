"""Judging one theorem on one float64 run: five outcomes, the worst ratio, and which steps to re-examine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bounds import Theorem
from bounds.claims import Claim
from models.dataset import Array
from properties.balls import BallArray, BoolArray, difference_sign, lift
from properties.compiled import compile_expression
from properties.hypotheses import applicable_rows, as_balls, certain_rows, failing
from properties.measured import Measured
from properties.observables import Undefined

HOLDS, VIOLATED, NOT_APPLICABLE, VACUOUS, UNDECIDED = (
    "holds",
    "violated",
    "not applicable",
    "vacuous",
    "undecided",
)
#: Steps that the certified tier replays; a suspect within them is preferred.
MAX_STEPS = 1000
_LOG10_2 = float(np.log10(2.0))


@dataclass(frozen=True, eq=False)
class Curve:
    """Both sides of a claim along one run, thinned to log-spaced steps for drawing (log10 of positive values)."""

    t: NDArray[np.int64]
    small: Array
    large: Array


@dataclass(frozen=True, eq=False)
class Judgement:
    """What one run says about one theorem.

    Attributes
    ----------
    outcome : str
        ``holds``; ``violated``: some step contradicts the claim by more than the error budget; ``undecided``:
        the budget does not settle some step, and none is violated; ``vacuous``: the claim holds but its bound
        is never better than what is trivially true; ``not applicable``.
    reason : str
        Why it is not applicable.
    steps : int
        Steps judged: in the domain, with every assumption met and every observable defined.
    informative : int
        Of those, steps where the bound says more than the trivial level.
    worst_log_ratio, worst_step : float, int
        Largest log10(smaller side/larger side) and where; 0 is equality.
    violated, undecided : int
        Numbers of such steps.
    suspects : tuple of int
        Steps for the certified tier: the first and the worst violated one, or else undecided one.
    last_step : int
        The last step judged.
    curve : Curve or None
        Both sides along the run.
    """

    outcome: str
    reason: str = ""
    steps: int = 0
    informative: int = 0
    worst_log_ratio: float = -np.inf
    worst_step: int = 0
    violated: int = 0
    undecided: int = 0
    suspects: tuple[int, ...] = ()
    last_step: int = 0
    curve: Curve | None = None


def judge(theorem: Theorem, measurement: Measured) -> Judgement:
    """Hold every recorded step of a run against a theorem, each comparison within its error budget."""
    reason = failing(theorem, measurement.instance, measurement.geometry)
    if reason is not None:
        return Judgement(NOT_APPLICABLE, reason)
    rows = len(measurement.trajectory)
    if rows == 0:
        return Judgement(NOT_APPLICABLE, "the run has no step that float64 can represent")
    try:
        mask = applicable_rows(theorem, measurement)
        if not mask.any():
            return Judgement(NOT_APPLICABLE, "the trajectory-level assumptions hold on no recorded step")
        mask &= in_domain(theorem, measurement, rows)
        small = as_balls(compile_expression(theorem.small)(measurement), rows)
        large = as_balls(compile_expression(theorem.large)(measurement), rows)
    except Undefined as error:
        return Judgement(NOT_APPLICABLE, str(error))
    mask &= defined_rows(theorem, measurement, rows)
    if not mask.any():
        return Judgement(NOT_APPLICABLE, "no recorded step lies in the claim's domain")
    at_least, below = difference_sign(large, small)
    if theorem.strict:
        at_least = (large - small).positive()
    t = measurement.trajectory.t
    violated, undecided = np.flatnonzero(mask & below), np.flatnonzero(mask & ~below & ~at_least)
    informative = int((mask & _informative(theorem, measurement, small, large, rows)).sum())
    judged = np.flatnonzero(mask)
    # A side that is known to less than three digits gives no ratio worth reporting.
    ratio = np.where(small.accurate() & large.accurate(), log_ratio(small, large), -np.inf)
    worst = int(judged[np.argmax(ratio[judged])])
    outcome = VIOLATED if violated.size else UNDECIDED if undecided.size else HOLDS if informative else VACUOUS
    return Judgement(
        outcome=outcome,
        steps=int(mask.sum()),
        informative=informative,
        worst_log_ratio=float(ratio[worst]),
        worst_step=int(t[worst]),
        violated=int(violated.size),
        undecided=int(undecided.size),
        suspects=_suspects(t, ratio, violated if violated.size else undecided),
        last_step=int(t[mask][-1]),
        curve=_curve(t, mask, small, large),
    )


def _suspects(t: NDArray[np.int64], ratio: Array, rows: NDArray[np.intp]) -> tuple[int, ...]:
    if not rows.size:
        return ()
    affordable = rows[t[rows] <= MAX_STEPS]
    candidates = affordable if affordable.size else rows
    return tuple(dict.fromkeys((int(t[rows[0]]), int(t[candidates[np.argmax(ratio[candidates])]]))))


def log_ratio(small: BallArray, large: BallArray) -> Array:
    """log10(small/large) of the midpoints: above 0 when the smaller side is the larger.

    −∞ where the signs alone settle it; for two negative sides the ratio is taken of their absolute values,
    the other way round.
    """
    a, b = log10(small), log10(large)
    with np.errstate(all="ignore"):
        both = np.where(small.mid > 0, a - b, b - a)
    ratio = np.where((small.mid <= 0) & (large.mid >= 0), -np.inf, both)
    ratio = np.where((small.mid > 0) & (large.mid <= 0), np.inf, ratio)
    return np.asarray(np.where(np.isnan(ratio), -np.inf, ratio))


def log10(ball: BallArray) -> Array:
    """log10 |midpoint|, without over- or underflow."""
    with np.errstate(all="ignore"):
        return np.asarray(np.log10(np.abs(ball.mid)) + ball.exp2 * _LOG10_2)


def in_domain(theorem: Theorem, measurement: Measured, rows: int) -> BoolArray:
    """Steps that certainly lie in the claim's domain."""
    if theorem.domain is None:
        return np.ones(rows, dtype=np.bool_)
    return certain_rows(theorem.domain, measurement, rows)


def defined_rows(theorem: Theorem, measurement: Measured, rows: int) -> BoolArray:
    """Steps where every observable of the claim is defined."""
    mask = np.ones(rows, dtype=np.bool_)
    stated = theorem.claim.expressions if isinstance(theorem.claim, Claim) else (theorem.claim,)
    for name in {symbol.name for expression in stated for symbol in expression.free_symbols}:
        mask &= np.broadcast_to(measurement[name].defined(), rows)
    return mask


def _informative(
    theorem: Theorem, measurement: Measured, small: BallArray, large: BallArray, rows: int
) -> BoolArray:
    level = theorem.trivial_level
    if level is None:
        return np.ones(rows, dtype=np.bool_)
    try:
        trivial = lift(compile_expression(level)(measurement))
    except Undefined:
        return np.ones(rows, dtype=np.bool_)
    bound = large if theorem.bound_is_upper else small
    difference = trivial - bound if theorem.bound_is_upper else bound - trivial
    return np.asarray(np.broadcast_to(difference.mid > 0, rows))


def _curve(t: NDArray[np.int64], mask: BoolArray, small: BallArray, large: BallArray) -> Curve:
    chosen = np.flatnonzero(mask)
    if chosen.size > 80:
        wanted = np.unique(np.geomspace(max(1, t[chosen[0]]), t[chosen[-1]], 80).astype(np.int64))
        chosen = np.unique(chosen[np.clip(np.searchsorted(t[chosen], wanted), 0, chosen.size - 1)])
    a, b = log10(small)[chosen], log10(large)[chosen]
    return Curve(
        t[chosen],
        np.where(small.mid[chosen] > 0, a, np.nan),
        np.where(large.mid[chosen] > 0, b, np.nan),
    )
