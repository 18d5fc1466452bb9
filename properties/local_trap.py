"""The local trap: a run on one sequence that provably stays with a wrong token, certified at a single step.

Far out along a direction that selects a locally optimal token, gradient descent never comes back to the optimal
one, whatever the step lengths (docs/systems.md#prompt-local).  It is the counterpart of `properties.trap` for
unequal scores: its conditions are inequalities between rationals, and two that balls decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import flint
from flint import arb, fmpq

from models.attention import Geometry
from models.instance import Instance
from models.replay import ExactSetting, PrecisionLost, replay, total
from properties.trap import PRECISION, Trap, direction_floor

#: Steps at which a run is tried: one that selects the wrong token soon does so decidedly.
STEPS = (0, 1, 2, 4, 8)


@dataclass(frozen=True)
class _Candidate:
    """Pair a, the other pairs R, q*, and (γ_o − γ_R)/(γ_a − γ_R)."""

    pair: int
    rest: tuple[int, ...]
    limit: fmpq
    scores: fmpq


def find_local_trap(instance: Instance, geometry: Geometry) -> Trap | None:
    """Look for a local trap at some of the first steps of a run; None if its conditions are not proved.

    ``None`` says nothing: the conditions are sufficient, not necessary.
    """
    if instance.dataset.n != 1 or geometry.max_margin is None:
        return None
    candidates = list(_candidates(geometry))
    if not candidates:
        return None
    with flint.ctx.workprec(PRECISION):
        try:
            for state in islice(replay(ExactSetting(instance, geometry)), STEPS[-1] + 1):
                for candidate in candidates if state.t in STEPS else ():
                    room = _room(candidate, state.m)
                    if room is not None:
                        floor = direction_floor(geometry, candidate.pair)
                        pair = candidate.pair
                        return Trap(state.t, 0, 0, pair, pair, floor.str(15), room.str(15), PRECISION)
        except PrecisionLost:
            return None
    return None


def _candidates(geometry: Geometry) -> Iterator[_Candidate]:
    """Tokens a with (L1) and (L2), decided over the rationals."""
    gram = geometry.features.exact_gram.rationals()
    [gaps] = geometry.dataset.exact_gaps
    for a, gap in enumerate(gaps):
        rest = tuple(t for t in range(len(gaps)) if t != a)
        if not rest or any(gaps[t] != gaps[rest[0]] for t in rest) or gaps[rest[0]] <= gap:
            continue  # (L1)
        limit = _limit(gram, a, rest)
        if limit is not None:
            yield _Candidate(a, rest, limit, gaps[rest[0]] / (gaps[rest[0]] - gap))


def _limit(gram: list[list[fmpq]], a: int, rest: tuple[int, ...]) -> fmpq | None:
    """q*, or None if (L2) fails."""
    own = gram[a][a]  # ‖ψ_o‖², as ψ_o = −φ_a
    across = {t: own - gram[a][t] for t in rest}  # ⟨ψ_o, ψ_t⟩, as ψ_t = φ_t − φ_a
    quotients = []
    for t in rest:
        quotients.append((across[t], own))
        for s in rest:
            product = gram[s][t] - gram[a][s] - gram[a][t] + own  # ⟨ψ_s, ψ_t⟩
            quotients += [(product, across[s]), (across[t] - product, own - across[s])]
    # Once all numerators are positive so are all denominators: ⟨ψ_o, ψ_s⟩ > ‖ψ_s‖² gives ‖ψ_o‖² > ⟨ψ_o, ψ_s⟩.
    return min(p / q for p, q in quotients) if all(p > 0 for p, _ in quotients) else None


def _room(candidate: _Candidate, m: list[arb]) -> arb | None:
    """q* − Q_k in balls at margins ``m`` if (L3) and (L4) are proved, else None."""
    lost = m[candidate.pair]
    if not lost <= 0:
        return None
    # Logits over the optimal token's are −m.
    others = total([(-m[t]).exp() for t in candidate.rest])
    attention = (-lost).exp() / (1 + (-lost).exp() + others)
    room = arb(candidate.limit) - arb(candidate.scores) / (others * attention)
    return room if room > 0 else None
