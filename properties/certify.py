"""The certified tier: a claim at chosen steps of one run, decided in ball arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

import flint
import sympy as sp
from flint import arb

from bounds import (
    ATTENTION,
    NOTATION,
    PROMPT,
    PositiveCoefficients,
    StepAtMost,
    Tends,
    Theorem,
    ZeroInit,
    direction_gap,
)
from models.attention import Geometry
from models.instance import Instance
from models.replay import BallState, PrecisionLost
from properties.compiled import compile_expression
from properties.hypotheses import exact_trajectory_check, failing
from properties.judge import HOLDS, MAX_STEPS, NOT_APPLICABLE, UNDECIDED, VIOLATED
from properties.local_trap import find_local_trap
from properties.measured import BallMeasured
from properties.observables import Undefined
from properties.systems import tools
from properties.trap import find_trap

TIGHT = "tight"
#: Equality shows at `TIGHT_BITS` only, so that fewer bits than these would be tried in vain.
FIRST_PRECISION, LAST_PRECISION = 256, 8192
#: Sides that agree to this relative width are reported as an equality case, neither proved nor refuted.  A claim
#: with ≤ that fails by less would be missed; nothing coarser than 1e-60 can hide there.
TIGHT_BITS = 200


@dataclass(frozen=True)
class Finding:
    """What ball arithmetic says about one step.

    Attributes
    ----------
    outcome : str
        ``holds`` or ``violated``, both proved, hypotheses included; ``tight``: the sides agree to 200 bits;
        ``not applicable``: some hypothesis or the domain is refuted; ``undecided`` within the budget.
    step : int
    precision : int
        Bits at which it was decided.
    small, large : str
        Enclosures of the two sides, as ``[midpoint +/- radius]``.
    instance : Instance
        What was replayed: the given instance, or the same dataset restarted at its W_t.
    """

    outcome: str
    step: int
    precision: int
    small: str
    large: str
    instance: Instance


def restartable(theorem: Theorem) -> bool:
    """Whether a claim speaks of single states only, so that the state of any step may be taken as a new start."""
    return theorem.memory <= {"state"} and not any(isinstance(a, ZeroInit) for a in theorem.assumes)


def examine(
    theorem: Theorem,
    instance: Any,
    geometry: Any,
    steps: Sequence[int],
    onset: int | None,
    *,
    bits: int = LAST_PRECISION,
    reach: int = MAX_STEPS,
) -> list[Finding]:
    """Decide a theorem at the given steps of an instance, doubling the precision until it is decided.

    Hypotheses are certified with the claim: dataset-level ones exactly, trajectory-level ones in balls at every
    step on which the claim depends.

    Parameters
    ----------
    onset : int or None
        t0 as the float run found it.  Positive coefficients are certified anew from there on.
    bits, reach : int
        The budget: the highest precision, and the last step that is replayed.

    Returns
    -------
    list of Finding
        One a step, in the order of ``steps``; steps beyond the budget are undecided.
    """
    if failing(theorem, instance, geometry) is not None:
        return [Finding(NOT_APPLICABLE, step, 0, "", "", instance) for step in steps]
    within = {step for step in steps if step <= reach}
    found: dict[int, Finding] = {}
    precision = min(FIRST_PRECISION, bits)
    while len(found) < len(within):
        open_steps = within - found.keys()
        with flint.ctx.workprec(precision):
            try:
                for finding in _decide(theorem, instance, geometry, open_steps, onset, precision):
                    if finding.outcome != UNDECIDED:
                        found[finding.step] = finding
            except PrecisionLost:
                pass
        if precision >= bits:
            break
        precision = min(2 * precision, bits)
    return [found.get(step) or Finding(UNDECIDED, step, bits, "", "", instance) for step in steps]


def _decide(
    theorem: Theorem,
    instance: Any,
    geometry: Any,
    steps: Set[int],
    onset: int | None,
    precision: int,
) -> Iterator[Finding]:
    run = tools(theorem.system).exact(instance, geometry, onset, theorem.observables)
    measurement = run.measurement
    lookahead = "loss_gap_next" in theorem.observables
    met: bool | None = True  # the hypotheses on all steps the claim looks back on
    memory = theorem.memory
    for state, following in _walk(run.states, max(steps), lookahead):
        measurement.advance(state)
        measurement.next_loss_gap = following
        back = _looks_back(memory, state.t, onset)
        if back or state.t in steps:
            here = _met(theorem, measurement)
            if back:  # a step that nothing looks back on says nothing about later ones
                met = here = _both(met, here)
        if state.t in steps:
            yield _finding(theorem, instance, measurement, here, precision)
        measurement.leave()


def _met(theorem: Theorem, measurement: BallMeasured) -> bool | None:
    try:
        return exact_trajectory_check(theorem, measurement, measurement.state)
    except Undefined:  # a hypothesis about what does not exist here is not met
        return False


def _looks_back(memory: Set[str], t: int, onset: int | None) -> bool:
    """Whether a claim at a later step depends on what happens at step t."""
    if "start" in memory:
        return True
    return "onset" in memory and onset is not None and t >= onset


def _both(first: bool | None, second: bool | None) -> bool | None:
    if first is False or second is False:
        return False
    return None if first is None or second is None else True


def _finding(
    theorem: Theorem, instance: Instance, measurement: BallMeasured, met: bool | None, precision: int
) -> Finding:
    state = measurement.state
    assert state is not None

    def finding(outcome: str, small: str = "", large: str = "") -> Finding:
        return Finding(outcome, state.t, precision, small, large, instance)

    if met is False:
        return finding(NOT_APPLICABLE)
    try:
        inside = _in_domain(theorem, measurement)
        if inside is False:
            return finding(NOT_APPLICABLE)
        small = arb(compile_expression(theorem.small)(measurement))
        large = arb(compile_expression(theorem.large)(measurement))
    except Undefined:
        return finding(NOT_APPLICABLE)
    difference = large - small
    sides = small.str(25), large.str(25)
    if met is None or inside is None or not difference.is_finite():
        return finding(UNDECIDED, *sides)
    if theorem.strict:
        outcome = HOLDS if difference > 0 else VIOLATED if difference <= 0 else UNDECIDED
        return finding(outcome, *sides)
    if difference >= 0:
        return finding(HOLDS, *sides)
    if difference < 0:
        return finding(VIOLATED, *sides)
    if difference.abs_upper() <= _scale(theorem, measurement) * arb(2) ** -TIGHT_BITS:
        return finding(TIGHT, *sides)
    return finding(UNDECIDED, *sides)


def _scale(theorem: Theorem, measurement: BallMeasured) -> arb:
    """What equality is relative to: the largest term of each side, of the side where that is smaller.

    Where every term's ball meets zero (such as r − v and Λ of a single pair) it is 1.
    """
    sides = []
    for side in (theorem.small, theorem.large):
        sizes = [abs(arb(compile_expression(term)(measurement))) for term in sp.Add.make_args(side)]
        sides.append(max((arb(size.abs_lower()) for size in sizes), default=arb(0)))
    positive = [side for side in sides if side > 0]
    return min(positive, default=arb(1))


def _in_domain(theorem: Theorem, measurement: BallMeasured) -> bool | None:
    domain = theorem.domain
    if domain is None:
        return True
    room = arb(compile_expression(domain.gts)(measurement)) - arb(compile_expression(domain.lts)(measurement))
    if room > 0:
        return True
    if room < 0:
        return False
    strict = domain.rel_op in ("<", ">")
    return None if not room.is_zero() else not strict


def _walk(states: Iterator[BallState], last: int, lookahead: bool) -> Iterator[tuple[BallState, arb | None]]:
    """States 0 … last, each with the next state's loss gap when that is wanted."""
    state = next(states)
    while True:
        following = next(states) if lookahead else None
        yield state, None if following is None else following.loss_gap
        if state.t == last:
            return
        state = following if following is not None else next(states)


def may_be_refuted(theorem: Theorem) -> bool:
    """Whether a claim is a limit that the trap lemma speaks about: attention's direction gap tends to 0."""
    claim = theorem.claim
    aligns = isinstance(claim, Tends) and claim.quantity == direction_gap and claim.to == 0
    return aligns and theorem.system in (ATTENTION, PROMPT)


def refute_limit(theorem: Theorem, instance: Instance, geometry: Geometry) -> Finding:
    """Decide the claim that the direction gap tends to 0 on one instance, by a trap lemma.

    Returns
    -------
    Finding
        ``violated`` if the gap provably stays above a positive number, all hypotheses included; otherwise
        ``undecided`` or ``not applicable``.  No finite run proves a limit, so it never holds.
    """

    def finding(outcome: str, step: int = 0, small: str = "", large: str = "") -> Finding:
        return Finding(outcome, step, FIRST_PRECISION, small, large, instance)

    if not may_be_refuted(theorem):
        return finding(UNDECIDED)
    if failing(theorem, instance, geometry) is not None:
        return finding(NOT_APPLICABLE)
    # Of one sequence with equal scores the claim is true, so that only unequal ones can refute it.
    trap = (find_local_trap if instance.dataset.n == 1 else find_trap)(instance, geometry)
    if trap is None or not _hypotheses_last(theorem, instance, geometry):
        return finding(UNDECIDED)
    return Finding(
        VIOLATED,
        trap.step,
        trap.precision,
        f"{trap.gap_floor} < direction_gap at every step after {trap.step}: sequence {trap.lost + 1} has lost its "
        f"optimal token for ever (trap lemma, room {trap.room})",
        "0, the claimed limit",
        instance,
    )


def _hypotheses_last(theorem: Theorem, instance: Instance, geometry: Geometry) -> bool:
    """Whether the trajectory-level hypotheses are proved for the whole run: those that one state decides."""
    for assumption in theorem.assumes:
        if assumption.level != "trajectory":
            continue
        if isinstance(assumption, PositiveCoefficients) and instance.dataset.equal_scores:
            continue  # equal scores imply positive coefficients at every W
        limits = assumption.limit.free_symbols if isinstance(assumption, StepAtMost) else None
        if limits is None or any(NOTATION[symbol.name].level == "step" for symbol in limits):
            return False
    with flint.ctx.workprec(FIRST_PRECISION):
        run = tools(theorem.system).exact(instance, geometry, None, theorem.observables)
        state = next(run.states)
        run.measurement.advance(state)
        return exact_trajectory_check(theorem, run.measurement, state) is True
