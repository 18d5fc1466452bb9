"""The machine that runs a tape: many claims a pass over the recorded steps, one compiled loop for all of them.

A register holds ``BLOCK`` balls, of as many recorded steps.  Where no exponents are needed (registers that are
*flat*), products, sums and comparisons are loops without branches, which processors run several at a time.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.dataset import Array
from properties import tape_arithmetic as balls
from properties.tape_arithmetic import BLOCK, EPS

NEG, ADD, MUL, INV, EXP, LOG, SQRT, MAX, MIN, ABS, POWER = range(11)
PLAIN, LOGARITHM, BALL = range(3)  # how a leaf is given
#: Whole numbers that a claim's result consists of, and the two that make its largest ratio.
(
    STEPS,
    INFORMATIVE,
    VIOLATED,
    UNDECIDED,
    LAST,
    WORST,
    FIRST_VIOLATED,
    WORST_VIOLATED,
    FIRST_UNDECIDED,
    WORST_UNDECIDED,
) = range(10)
COUNTS, RATIOS = 10, 2

_Int = NDArray[np.int64]
_Bool = NDArray[np.bool_]


@njit(cache=True, error_model="numpy")
def _operate(op: int, regs: Array, exp: _Int, flat: _Bool, dst: int, a: int, b: int, width: int) -> None:
    """One operation on the first ``width`` balls of its registers."""
    if width == BLOCK and flat[a]:
        if op == MUL and flat[b] and balls.product(regs[a], regs[b], regs[dst]):
            exp[dst], flat[dst] = 0, True
            return
        if op == ADD and flat[b] and balls.total(regs[a], regs[b], regs[dst]):
            exp[dst], flat[dst] = 0, True
            return
        if op == INV and balls.reciprocal(regs[a], regs[dst]):
            exp[dst], flat[dst] = 0, True
            return
    plain = True
    for k in range(width):
        x, rx, ex = regs[a, 0, k], regs[a, 1, k], exp[a, k]
        if op == MUL:
            r = balls.mul(x, rx, ex, regs[b, 0, k], regs[b, 1, k], exp[b, k])
        elif op == ADD:
            r = balls.add(x, rx, ex, regs[b, 0, k], regs[b, 1, k], exp[b, k])
        elif op == NEG:
            r = (-x, rx, ex)
        elif op == INV:
            r = balls.inverse(x, rx, ex)
        elif op == EXP:
            r = balls.exponential(x, rx, ex)
        elif op == LOG:
            r = balls.logarithm(x, rx, ex)
        elif op == SQRT:
            r = balls.root(x, rx, ex)
        elif op == ABS:
            r = (abs(x), rx, ex)
        elif op == POWER:
            r = balls.power(x, rx, ex, b)
        elif op == MAX:
            r = balls.maximum(x, rx, ex, regs[b, 0, k], regs[b, 1, k], exp[b, k])
        else:
            r = balls.maximum(-x, rx, ex, -regs[b, 0, k], regs[b, 1, k], exp[b, k])
            r = (-r[0], r[1], r[2])
        regs[dst, 0, k], regs[dst, 1, k], exp[dst, k] = r
        plain &= r[2] == 0
    flat[dst] = plain


@njit(cache=True, error_model="numpy")
def _above(q: float, e: float, best: float, best_e: float) -> bool:
    """Whether q·2^e > best·2^best_e, for positive q; ``best`` is −1 as long as there is none."""
    if best < 0.0:
        return True
    if e == best_e:
        return q > best
    return math.log2(q) + e > math.log2(best) + best_e


@njit(cache=True, error_model="numpy")
def _compare_flat(small: Array, large: Array, level: Array, bound: Array, found: Array) -> bool:
    """`_compare` where no exponents are needed; whether the larger side is certainly larger throughout."""
    fine = True
    for k in range(BLOCK):
        a, b = small[0, k], large[0, k]
        m = b - a
        virtual = m - b
        rounding = abs((b - (m - virtual)) - (a + virtual))
        r = (small[1, k] + large[1, k] + rounding) * (1 + 4 * EPS)
        found[0, k], found[1, k] = m, r
        fine &= m > r
    for k in range(BLOCK):
        a, b = small[0, k], large[0, k]
        known = (small[1, k] <= 1e-3 * abs(a)) & (large[1, k] <= 1e-3 * abs(b))
        up, down = a > 0.0, b < 0.0
        q = (a if up else b) / (b if up else a)
        q = q if (up & (b > 0.0)) | (down & (a < 0.0)) else (math.inf if up else -1.0)
        found[3, k] = q if known else -1.0
    for k in range(BLOCK):
        found[2, k] = level[0, k] - bound[0, k]
    return fine


@njit(cache=True, error_model="numpy")
def _compare(
    regs: Array,
    exp: _Int,
    small: int,
    large: int,
    level: int,
    bound: int,
    width: int,
    found: Array,
    shift: Array,
) -> None:
    """Fill ``found``: larger minus smaller side up to a power of two, its radius, level minus bound, the ratio q.

    The sides' ratio is q·2^shift; q is −1 if there is none, because the signs settle it or a side is not known
    well enough, inf between a positive and a non-positive side.
    """
    for k in range(width):
        a, ra, ea = regs[small, 0, k], regs[small, 1, k], exp[small, k]
        b, rb, eb = regs[large, 0, k], regs[large, 1, k], exp[large, k]
        found[0, k], found[1, k], _ = balls.add(b, rb, eb, -a, ra, ea)
        found[2, k], _, _ = balls.add(
            regs[level, 0, k], 0.0, exp[level, k], -regs[bound, 0, k], 0.0, exp[bound, k]
        )
        q, e = -1.0, 0.0
        if ra <= 1e-3 * abs(a) and rb <= 1e-3 * abs(b):
            if a > 0.0:
                q, e = (a / b, float(ea - eb)) if b > 0.0 else (math.inf, 0.0)
            elif b < 0.0 and a < 0.0:
                q, e = b / a, float(eb - ea)
        found[3, k], shift[k] = q, e


@njit(cache=True, error_model="numpy")
def _restrict(
    regs: Array, exp: _Int, conditions: _Int, held: _Bool, fixed: int, reach: int, width: int, good: _Bool
) -> None:
    """Leave in ``good`` the steps at which a claim's hypotheses hold."""
    for c in range(conditions.shape[0]):
        big, little, strict, so_far = conditions[c, 1], conditions[c, 2], conditions[c, 3], conditions[c, 4]
        once, holds = big < fixed and little < fixed, False
        for k in range(width):
            if k == 0 or not once:
                m, r, _ = balls.add(
                    regs[big, 0, k],
                    regs[big, 1, k],
                    exp[big, k],
                    -regs[little, 0, k],
                    regs[little, 1, k],
                    exp[little, k],
                )
                holds = m > r if strict else m >= r
            if so_far:
                held[c] = held[c] and holds
                holds = held[c] and k < reach
            good[k] = good[k] and holds


@njit(cache=True, error_model="numpy")
def _count_block(found: Array, levelled: bool, upper: int, t: _Int, count: _Int, ratio: Array) -> None:
    """`_count` for a whole block at which the claim plainly holds, as it does in most."""
    if count[STEPS] == 0:
        count[WORST] = t[0]
    count[STEPS] += BLOCK
    count[LAST] = t[BLOCK - 1]
    if not levelled:
        count[INFORMATIVE] += BLOCK
    elif upper:
        count[INFORMATIVE] += (found[2] > 0.0).sum()
    else:
        count[INFORMATIVE] += (found[2] < 0.0).sum()
    for k in range(BLOCK):
        q = found[3, k]
        if q > 0.0 and _above(q, 0.0, ratio[0], ratio[1]):
            ratio[0], ratio[1] = q, 0.0
            count[WORST] = t[k]


@njit(cache=True, error_model="numpy")
def _count(
    found: Array,
    shift: Array,
    good: _Bool,
    levelled: bool,
    upper: int,
    strict: int,
    t: _Int,
    affordable: int,
    count: _Int,
    ratio: Array,
    kept: Array,
) -> None:
    """Count what was found of a claim at the steps ``t`` that come into question."""
    for k in range(t.size):
        if not good[k]:
            continue
        if count[STEPS] == 0:
            count[WORST] = t[k]
        count[STEPS] += 1
        count[LAST] = t[k]
        count[INFORMATIVE] += not levelled or (found[2, k] > 0.0 if upper else found[2, k] < 0.0)
        q, e = found[3, k], shift[k]
        if q > 0.0 and _above(q, e, ratio[0], ratio[1]):
            ratio[0], ratio[1] = q, e
            count[WORST] = t[k]
        m, r = found[0, k], found[1, k]
        if m > r or (m == r and not strict):
            continue
        total, first, worst, place = (
            (VIOLATED, FIRST_VIOLATED, WORST_VIOLATED, 0)
            if m < -r
            else (UNDECIDED, FIRST_UNDECIDED, WORST_UNDECIDED, 2)
        )
        if count[total] == 0:
            count[first], count[worst] = t[k], t[k]
        count[total] += 1
        # The worst one that can be afforded, or of all if the first cannot.
        fits = t[k] <= affordable or count[first] > affordable
        if fits and q > 0.0 and _above(q, e, kept[place], kept[place + 1]):
            kept[place], kept[place + 1] = q, e
            count[worst] = t[k]


@njit(cache=True, error_model="numpy")
def run(
    regs: Array,
    exp: _Int,
    code: _Int,
    once: int,
    fixed: int,
    leaves: _Int,
    kinds: _Int,
    values: Array,
    errors: Array,
    places: _Int,
    exponents: _Int,
    t: _Int,
    affordable: int,
    claims: _Int,
    masks: _Bool,
    conditions: _Int,
    present: _Int,
    reach: int,
    counts: _Int,
    ratios: Array,
) -> None:
    """Run a tape along one run and judge its claims at every recorded step.

    Parameters
    ----------
    regs, exp : (registers, 2, BLOCK), (registers, BLOCK)
        Midpoints and radii, and exponents.
        The first ``fixed`` registers hold constants and what does not change along a run, in their first ball.
    code : (operations, 4)
        Operation, result, operands; the first ``once`` of them on what does not change.
    leaves, kinds : (L,)
        Registers of the observables that change, and how they are given.
    values, errors : (L, R)
    places, exponents : (L,), (·, R)
        Rows of ``exponents`` of those given as balls.
    affordable : int
        Steps that the certified tier replays.
    claims : (C, 6)
        Registers of the smaller and the larger side and of the trivial level (−1: none), whether the bound is the
        larger side, whether equality violates, and the row of ``masks``.
    masks : (M, R)
        Steps that come into question.
    conditions : (·, 5)
        Claim, registers of the larger and the smaller side of a hypothesis, whether it is strict, and whether it
        has to have held so far.
    present : (·, 2)
        Claim, and the register of an observable that has to exist.
    reach : int
        Recorded steps up to which it is known what has held so far.
    counts, ratios : (C, COUNTS), (C, RATIOS)
        Filled in place.  Ratios are q and e of the largest ratio q·2^e; q is −1 if there is none, inf for one
        between a positive and a non-positive side.
    """
    flat = np.zeros(regs.shape[0], dtype=np.bool_)
    for k in range(once):
        _operate(code[k, 0], regs, exp, flat, code[k, 1], code[k, 2], code[k, 3], 1)
    for r in range(fixed):
        mid, rad, exp[r] = balls.unshifted(regs[r, 0, 0], regs[r, 1, 0], exp[r, 0])
        regs[r, 0], regs[r, 1] = mid, rad
        flat[r] = exp[r, 0] == 0
    held = np.ones(conditions.shape[0], dtype=np.bool_)
    good = np.empty(BLOCK, dtype=np.bool_)
    counts[:] = 0
    ratios[:, 0], ratios[:, 1] = -1.0, 0.0
    found, shift = np.empty((4, BLOCK)), np.empty(BLOCK)
    kept = np.full((claims.shape[0], 4), -1.0)  # largest ratios among violated and undecided steps
    R = t.size
    for start in range(0, R, BLOCK):
        width = min(BLOCK, R - start)
        for leaf in range(leaves.size):
            r, plain = leaves[leaf], True
            for k in range(width):
                value, error = values[leaf, start + k], errors[leaf, start + k]
                if kinds[leaf] == LOGARITHM:
                    ball = balls.exponential(value, error, 0)
                elif kinds[leaf] == PLAIN:
                    ball = balls.ball(value, error, 0)
                else:
                    ball = balls.unshifted(value, error, exponents[places[leaf], start + k])
                regs[r, 0, k], regs[r, 1, k], exp[r, k] = ball
                plain &= ball[2] == 0
            flat[r] = plain
        for k in range(once, code.shape[0]):
            _operate(code[k, 0], regs, exp, flat, code[k, 1], code[k, 2], code[k, 3], width)

        condition, observable = 0, 0
        for claim in range(claims.shape[0]):
            small, large, level = claims[claim, 0], claims[claim, 1], claims[claim, 2]
            upper, strict = claims[claim, 3], claims[claim, 4]
            good[:width] = masks[claims[claim, 5], start : start + width]
            first = condition
            while condition < conditions.shape[0] and conditions[condition, 0] == claim:
                condition += 1
            _restrict(
                regs, exp, conditions[first:condition], held[first:condition], fixed, reach - start, width, good
            )
            first = observable
            while observable < present.shape[0] and present[observable, 0] == claim:
                observable += 1
            if not good[:width].any():
                continue
            base = level if level >= 0 else large
            bound = (large if upper else small) if level >= 0 else large
            if flat[small] and flat[large] and flat[base]:
                fine = _compare_flat(regs[small], regs[large], regs[base], regs[bound], found)
                if fine and width == BLOCK and good.all():
                    _count_block(found, level >= 0, upper, t[start : start + width], counts[claim], ratios[claim])
                    continue
                shift[:] = 0.0
            else:
                _compare(regs, exp, small, large, base, bound, width, found, shift)
            for k in range(first, observable):
                for place in range(width):
                    good[place] = good[place] and not math.isnan(regs[present[k, 1], 0, place])
            _count(
                found,
                shift,
                good[:width],
                level >= 0,
                upper,
                strict,
                t[start : start + width],
                affordable,
                counts[claim],
                ratios[claim],
                kept[claim],
            )
