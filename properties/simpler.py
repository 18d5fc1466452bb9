"""Simpler neighbours of an instance: what the shrinker tries next, and how it orders what it finds.

Every proposal is one change that can make an instance smaller in the order of `Size`.  Whether it still breaks the
theorem, or is an instance at all, is for `properties.shrinker` to find out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from models.dataset import Array, TokenDataset
from models.instance import Instance, Run
from models.joint_instance import JointInstance, JointRun

#: Significant bits that numbers are rounded to, in the order tried.
_BITS = (1, 2, 3, 5, 8, 16, 32)
_ARRAYS = ("X", "u", "query", "start")
#: Distinct values of an array up to which they are made equal pairwise.
_DISTINCT = 12


class Size(NamedTuple):
    """What is made smaller, the first entry first.

    Attributes
    ----------
    tokens : int
        n·T·d.
    step : int
        The step that is judged.
    nonzero : int
        Numbers other than 0 in tokens, decoder, queries and initial weights.
    unusual : int
        Labels −1, and 1 for a loss other than the logistic one.
    digits : int
        Binary digits of all numbers as fractions, and one for each minus sign.
    """

    tokens: int
    step: int
    nonzero: int
    unusual: int
    digits: int


@dataclass(frozen=True, eq=False)
class Draft:
    """The parts of an instance, before anything is checked.

    ``start`` holds the initial weights: W_0 for attention, α_0 and β_0 one after the other for joint training.
    """

    X: Array
    y: Array
    u: Array
    query: Array | None
    start: Array | None
    run: Run | JointRun

    @classmethod
    def of(cls, instance: Any) -> Draft:
        """The parts of an instance."""
        data, run = instance.dataset, instance.run
        return cls(data.X, data.y, data.u, data.query, _start(run, data), run)

    def instance(self) -> Any:
        """The instance.  Raises `InvalidDataset` or `InvalidRun` if the parts make none."""
        query = None if self.query is None else self.query + 0.0
        dataset = TokenDataset(self.X + 0.0, self.y, self.u + 0.0, query)  # + 0.0 makes −0 a plain 0
        start = self.start if self.start is not None and self.start.any() else None
        if isinstance(self.run, Run):
            return Instance(dataset, replace(self.run, W_0=start))
        halves = (None, None) if start is None else (start[: dataset.N], start[dataset.N :])
        return JointInstance(dataset, replace(self.run, alpha_0=halves[0], beta_0=halves[1]))

    def having(self, arrays: dict[str, Array]) -> Draft:
        """The draft with arrays of these names replaced."""
        return replace(self, **arrays)  # type: ignore[arg-type]

    def size(self, step: int) -> Size:
        """The draft's place in the order, judged at a step."""
        arrays = [array for array in (self.X, self.u, self.query, self.start) if array is not None]
        entries = [float(x) for array in arrays for x in array.ravel()]
        return Size(
            self.X.size,
            step,
            sum(x != 0.0 for x in entries),
            int((self.y < 0).sum()) + (self.run.loss != "logistic"),
            sum(digits(x) for x in entries) + sum(digits(x) for x in _numbers(self.run)),
        )


def digits(x: float | Fraction) -> int:
    """Binary digits of numerator and denominator, and one for the sign: 0 of 0, 1 of 1, 2 of −1, 2 and 1/2."""
    p, q = x.as_integer_ratio()
    return abs(p).bit_length() + q.bit_length() - 1 + (p < 0)


def _start(run: Any, data: TokenDataset) -> Array | None:
    if isinstance(run, Run):
        return run.W_0
    if run.alpha_0 is None and run.beta_0 is None:
        return None
    alpha = np.zeros(data.N) if run.alpha_0 is None else run.alpha_0
    beta = np.zeros(data.n * data.T) if run.beta_0 is None else run.beta_0
    return np.concatenate([alpha, beta])


def _numbers(run: Run | JointRun) -> list[float | Fraction]:
    if isinstance(run, Run):
        return [run.step_size]
    return [run.eta_W, run.eta_u, run.power_W, run.power_u, Fraction(run.start)]


# -------------------------------------------------------------------------------------------- fewer tokens
def tiny(draft: Draft) -> Iterator[Draft]:
    """One sequence of two tokens of dimension 1, with entries 0, 1 and −1, trained as the draft is, or from 0."""
    if draft.X.size <= 2:
        return
    runs = [draft.run, *(simpler.run for simpler in simpler_runs(replace(draft, start=None)))]
    for run in runs:
        for pair in itertools.permutations((1.0, 0.0, -1.0), 2):
            X = np.array(pair).reshape(1, 2, 1)
            for query in (None, np.ones((1, 1))):
                yield Draft(X, np.ones(1), np.ones(1), query, None, run)


def fewer_sequences(draft: Draft) -> Iterator[Draft]:
    """A single sequence, two of them, or all but one."""
    n = draft.X.shape[0]
    kept = [*itertools.combinations(range(n), 1), *(itertools.combinations(range(n), 2) if n <= 8 else ())]
    kept += list(itertools.combinations(range(n), n - 1))
    for keep in dict.fromkeys(kept):
        if 0 < len(keep) < n:
            rows = list(keep)
            query = None if draft.query is None else draft.query[rows]
            start = _start_for_pairs(draft, rows, list(range(draft.X.shape[1] - 1)))
            yield replace(draft, X=draft.X[rows], y=draft.y[rows], query=query, start=start)


def fewer_tokens(draft: Draft) -> Iterator[Draft]:
    """The optimal token and one other of each sequence, or all tokens but one; the query stays, or moves along."""
    T = draft.X.shape[1]
    if T < 3:
        return
    data = TokenDataset(draft.X, draft.y, draft.u, draft.query)
    choices = [[r] for r in range(T - 1)] + [[r for r in range(T - 1) if r != s] for s in range(T - 1)]
    for others in choices:
        kept = np.sort(np.column_stack([data.optimal, data.others[:, others]]), axis=1)
        X = np.take_along_axis(draft.X, kept[:, :, None], axis=1)
        start = _start_for_pairs(draft, list(range(data.n)), others)
        yield replace(draft, X=X, start=start)
        if draft.query is None and (kept[:, 0] != 0).any():
            yield replace(draft, X=X, start=start, query=draft.X[:, 0, :])


def _start_for_pairs(draft: Draft, rows: list[int], others: list[int]) -> Array | None:
    """The initial weights with the coefficients of the remaining pairs only (joint training)."""
    n, T = draft.X.shape[:2]
    if draft.start is None or isinstance(draft.run, Run):
        return draft.start
    pairs, best = n * (T - 1), draft.start[n * (T - 1) :][:n]
    alpha, beta = (
        block.reshape(n, T - 1)[np.ix_(rows, others)].ravel()
        for block in (draft.start[:pairs], draft.start[pairs + n :])
    )
    return np.concatenate([alpha, best[rows], beta])


def fewer_coordinates(draft: Draft) -> Iterator[Draft]:
    """A single coordinate, or all but one, of tokens, decoder, queries and W_0 alike."""
    d = draft.X.shape[2]
    for keep in dict.fromkeys([*((c,) for c in range(d)), *itertools.combinations(range(d), d - 1)]):
        if 0 < len(keep) < d:
            columns = list(keep)
            start = draft.start
            if start is not None and isinstance(draft.run, Run):
                start = start[np.ix_(columns, columns)]
            query = None if draft.query is None else draft.query[:, columns]
            yield replace(draft, X=draft.X[:, :, columns], u=draft.u[columns], query=query, start=start)


# ----------------------------------------------------------------------------------------- a simpler run
def simpler_runs(draft: Draft) -> Iterator[Draft]:
    """Zero initial weights, the logistic loss, and step sizes with fewer digits."""
    run = draft.run
    if draft.start is not None:
        yield replace(draft, start=None)
    if run.loss != "logistic":
        yield replace(draft, run=replace(run, loss="logistic"))
    if isinstance(run, Run):
        name = "zeta" if run.rule == "polyak" else "eta"
        for value in plainer(run.step_size):
            if value > 0:
                yield replace(draft, run=replace(run, **{name: value}))  # type: ignore[arg-type]
        return
    if run.start:
        yield replace(draft, run=replace(run, start=0))
        yield replace(draft, run=replace(run, start=run.start // 2))
    for name in ("eta_W", "eta_u"):
        for value in plainer(getattr(run, name)):
            if value > 0:
                yield replace(draft, run=replace(run, **{name: value}))  # type: ignore[arg-type]
    for name in ("power_W", "power_u"):
        for power in (Fraction(0), Fraction(1), Fraction(1, 2)):
            yield replace(draft, run=replace(run, **{name: power}))  # type: ignore[arg-type]


# --------------------------------------------------------------------------------------- simpler numbers
def plainer(x: float) -> list[float]:
    """Numbers near ``x``, or of its kind, with fewer digits; the fewest first."""
    near = [1.0, -1.0, np.copysign(1.0, x), np.trunc(x), np.rint(x), np.rint(2 * x) / 2, np.rint(4 * x) / 4]
    near += [2.0 * np.copysign(1.0, x), 0.5 * np.copysign(1.0, x), abs(x), x / 2]
    near += [significant(x, bits) for bits in _BITS]
    own = digits(x)
    usable = {float(v) for v in near if np.isfinite(v) and v != 0.0 and digits(float(v)) < own}
    return sorted(usable, key=lambda v: (digits(v), abs(v - x)))


def significant(x: Any, bits: int) -> Any:
    """``x`` (a number or an array) rounded to so many significant bits."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)


def zeros(draft: Draft) -> Iterator[Draft]:
    """Queries that are the first tokens; a coordinate of every token, or a single number, set to 0."""
    if draft.query is not None:
        yield replace(draft, query=None)
    for c in np.flatnonzero(draft.X.any(axis=(0, 1))):
        X = draft.X.copy()
        X[:, :, c] = 0.0
        yield replace(draft, X=X)
    for name, array in _arrays(draft):
        for place in np.argwhere(array != 0.0):
            yield _with_entry(draft, name, array, tuple(place), 0.0)


def rounder(draft: Draft) -> Iterator[Draft]:
    """Whole arrays at once: signs, whole numbers, scaled by a power of two, few significant bits."""
    maps: list[Callable[[Array], Array]] = [np.sign, np.rint, lambda a: np.rint(2 * a) / 2]
    maps += [lambda a, k=k: significant(a, k) for k in _BITS]  # type: ignore[misc]
    maps += [_scaled_down]
    for change in maps:
        everything = {name: change(array) for name, array in _arrays(draft)}
        yield draft.having(everything)
    for name, array in _arrays(draft):
        for change in maps:
            yield draft.having({name: change(array)})


def plainer_numbers(draft: Draft) -> Iterator[Draft]:
    """All equal entries of an array at once, made plainer or equal to another entry; then single entries."""
    for name, array in _arrays(draft):
        distinct = sorted({float(x) for x in array.ravel() if x != 0.0}, key=lambda x: (-digits(x), x))
        for value in distinct:
            others = distinct if len(distinct) <= _DISTINCT else []
            for new in [*plainer(value), *(x for x in others if digits(x) < digits(value))]:
                yield draft.having({name: np.where(array == value, new, array)})
    for name, array in _arrays(draft):
        for place in np.argwhere(array != 0.0):
            for new in plainer(float(array[tuple(place)])):
                yield _with_entry(draft, name, array, tuple(place), new)


def mirrored(draft: Draft) -> Iterator[Draft]:
    """Changes of sign that leave the training what it is: of a sequence with its label, of a coordinate."""
    for i in np.flatnonzero(draft.y < 0):
        X, y, query = draft.X.copy(), draft.y.copy(), draft.query
        X[i], y[i] = -X[i], 1.0
        if query is not None:
            query = query.copy()
            query[i] = -query[i]
        yield replace(draft, X=X, y=y, query=query)
    for c in range(draft.X.shape[2]):
        turn = np.where(np.arange(draft.X.shape[2]) == c, -1.0, 1.0)
        start = draft.start
        if start is not None and isinstance(draft.run, Run):
            start = start * turn[:, None] * turn[None, :]
        query = None if draft.query is None else draft.query * turn
        yield replace(draft, X=draft.X * turn, u=draft.u * turn, query=query, start=start)


def _scaled_down(array: Array) -> Array:
    largest = np.abs(array).max(initial=0.0)
    return array if largest == 0.0 else np.ldexp(array, 1 - int(np.frexp(largest)[1]))


def _arrays(draft: Draft) -> Iterator[tuple[str, Array]]:
    for name in _ARRAYS:
        array = getattr(draft, name)
        if array is not None:
            yield name, array


def _with_entry(draft: Draft, name: str, array: Array, place: tuple[int, ...], value: float) -> Draft:
    changed = array.copy()
    changed[place] = value
    return draft.having({name: changed})


#: Passes in their order: what shortens most comes first.
PASSES: tuple[Callable[[Draft], Iterator[Draft]], ...] = (
    tiny,
    fewer_sequences,
    fewer_tokens,
    fewer_coordinates,
    simpler_runs,
    zeros,
    rounder,
    mirrored,
    plainer_numbers,
)
