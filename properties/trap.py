"""The trap: data on which a run provably never aligns with W_mm, certified at a single step (docs/theory.md#trap).

Under equal scores, five inequalities at one step keep one sequence's attention off its optimal token for ever,
whatever the step lengths.  Three of them are between rationals, two are decided in ball arithmetic; so, unlike
other limit claims, "the direction gap tends to 0" can be refuted outright.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import flint
from flint import arb, fmpq

from models.attention import Geometry
from models.instance import Instance
from models.replay import ExactSetting, PrecisionLost, replay

#: Steps at which a run is tried, and bits of the balls.
STEPS, PRECISION = (0, 1, 2, 4, 8, 16, 32, 64), 256
Matrix = list[list[fmpq]]


@dataclass(frozen=True)
class Trap:
    """A certificate that the direction gap never falls below a positive constant after a step.

    Attributes
    ----------
    step : int
        k, the step at which the conditions hold.
    lost, winner : int
        The sequence that never returns to its optimal token, and the one that keeps it away.
    pair, winning_pair : int
        Pairs ι and ν of the lemma, in pair order.
    gap_floor : str
        γ²/(2‖Z_ι‖²), which the direction gap exceeds at every step after k, as a ball.
    room : str
        q* − Q_k > 0, the room in condition (T4), as a ball; ``"∞"`` if q* is.
    precision : int
        Bits of the balls.
    """

    step: int
    lost: int
    winner: int
    pair: int
    winning_pair: int
    gap_floor: str
    room: str
    precision: int


def find_trap(instance: Instance, geometry: Geometry | None = None) -> Trap | None:
    """Look for a trap at some of the first steps of a run; None if the lemma's conditions are not proved.

    ``None`` says nothing: the conditions are sufficient, not necessary.
    """
    geometry = geometry or Geometry(instance.dataset)
    dataset = instance.dataset
    if dataset.n < 2 or not dataset.equal_scores or geometry.max_margin is None:
        return None
    candidates = list(_candidates(geometry))
    if not candidates:
        return None
    with flint.ctx.workprec(PRECISION):
        setting = ExactSetting(instance, geometry)
        try:
            for state in islice(replay(setting), STEPS[-1] + 1):
                if state.t in STEPS:
                    for candidate in candidates:
                        trap = _decide(candidate, setting, state.m, state.t)
                        if trap is not None:
                            return trap
        except PrecisionLost:
            return None
    return None


@dataclass(frozen=True)
class _Candidate:
    """A pair ι and a pair ν that satisfy (T1) to (T3); ``limit`` is q*, None for ∞."""

    pair: int
    winning_pair: int
    limit: fmpq | None


def _candidates(geometry: Geometry) -> Iterator[_Candidate]:
    """Pairs (ι, ν) with (T1), (T2) and (T3), decided over the rationals."""
    gram = geometry.features.exact_gram.rationals()
    others = geometry.dataset.T - 1
    sequences = range(geometry.dataset.n)
    for i in sequences:
        own = range(i * others, (i + 1) * others)
        outside = [p for p in range(len(gram)) if p not in own]
        for j in sequences:
            block = range(j * others, (j + 1) * others)
            if j == i or any(gram[q][p] < 0 for q in block for p in outside):
                continue  # (T1)
            for nu in block:
                if any(gram[q][nu] <= 0 for q in block):
                    continue  # (T3)
                for iota in own:
                    limit = _limit(gram, iota, nu, own, block, outside)
                    if limit is not None:
                        yield _Candidate(iota, nu, limit[0])


def _limit(
    gram: Matrix, iota: int, nu: int, own: range, block: range, outside: list[int]
) -> tuple[fmpq | None] | None:
    """q* in a tuple (None inside for ∞), or None if (T2) fails."""

    def both(p: int) -> fmpq:
        return gram[iota][p] + gram[nu][p]

    kappa = -both(nu)
    if kappa <= 0 or any(both(p) > 0 for p in outside):
        return None
    quotients = []
    freed = max(both(p) for p in own)
    if freed > 0:
        quotients.append(kappa / freed)
    for q in block:
        held = max(-gram[q][p] for p in own)
        if held > 0:
            quotients.append(gram[q][nu] / held)
    return (min(quotients) if quotients else None,)


def _decide(candidate: _Candidate, setting: ExactSetting, m: list[arb], t: int) -> Trap | None:
    """(T4) and (T5) in balls at margins ``m``."""
    geometry, others = setting.geometry, setting.geometry.dataset.T - 1
    i, j = candidate.pair // others, candidate.winning_pair // others
    loss = setting.instance.run.loss

    def slope(z: fmpq) -> arb:
        return 1 / (1 + arb(z).exp()) if loss == "logistic" else (-arb(z)).exp()

    if not m[candidate.pair] <= 0:
        return None
    room = None
    if candidate.limit is not None:
        gap_i, gap_j = setting.gaps[i][0], setting.gaps[j][0]
        spread = 1 + sum(((-m[j * others + p]).exp() for p in range(others)), arb(0))
        weights = slope(setting.best[i] - gap_i) * gap_i / (slope(setting.best[j]) * gap_j)
        Q = weights * (m[candidate.pair] + m[candidate.winning_pair]).exp() * spread**2
        room = arb(candidate.limit) - Q
        if not room > 0:
            return None
    return Trap(
        t,
        i,
        j,
        candidate.pair,
        candidate.winning_pair,
        direction_floor(geometry, candidate.pair).str(15),
        "∞" if room is None else room.str(15),
        PRECISION,
    )


def direction_floor(geometry: Geometry, pair: int) -> arb:
    """γ²/(2‖Z‖²) of a pair: where its margin is negative, the direction gap is larger (docs/theory.md#trap)."""
    solution = geometry.max_margin
    assert solution is not None
    gram = geometry.features.exact_gram
    size = gram.integers[pair, pair] * fmpq(2) ** gram.exponent
    return arb(1 / (2 * solution.norm_sq * size))
