"""Simpler neighbours of an instance whose dataset and run are plain records (`models.records`).

Everything follows from the fields: arrays lose entries along their named axes, and all numbers lose digits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

import numpy as np

from models.dataset import Array
from models.instance import LOSSES
from properties.simpler import Size, digits, plainer, significant

_BITS = (1, 2, 3, 5, 8, 16, 32)
#: Length of an axis up to which two entries of it are tried alone.
_PAIRS = 8
_POWERS = (Fraction(0), Fraction(1), Fraction(1, 2))


@dataclass(frozen=True, eq=False)
class RecordDraft:
    """The parts of an instance, before anything is checked.

    ``dataset`` and ``run`` hold the changed fields by name; ``like`` is the instance they are taken from.
    """

    like: Any
    dataset: dict[str, Any]
    run: dict[str, Any]

    @classmethod
    def of(cls, instance: Any) -> RecordDraft:
        """The parts of an instance."""
        return cls(instance, _values(instance.dataset), _values(instance.run))

    def instance(self) -> Any:
        """The instance.  Raises `InvalidDataset` or `InvalidRun` if the parts make none."""
        parts = (replace(self.like.dataset, **self.dataset), replace(self.like.run, **self.run))
        return type(self.like)(*parts)

    def arrays(self) -> Iterator[tuple[str, str, tuple[str, ...], Array]]:
        """Part, field, names of the axes and value of every array."""
        for part in ("dataset", "run"):
            for name, axes in getattr(self.like, part).axes.items():
                value = getattr(self, part)[name]
                if value is not None:
                    yield part, name, axes, value

    def numbers(self) -> Iterator[tuple[str, str, float | Fraction]]:
        """Part, field and value of every number that is no count."""
        for part in ("dataset", "run"):
            for name, value in getattr(self, part).items():
                if isinstance(value, float | Fraction):
                    yield part, name, value

    def having(self, *changes: tuple[str, str, Any]) -> RecordDraft:
        """The draft with fields (part, name, value) replaced."""
        new = {"dataset": dict(self.dataset), "run": dict(self.run)}
        for part, name, value in changes:
            # + 0.0 makes −0 a plain 0.
            new[part][name] = value + 0.0 if isinstance(value, np.ndarray) else value
        return replace(self, **new)

    def size(self, step: int) -> Size:
        """The draft's place in the order of the shrinker, judged at a step."""
        arrays = list(self.arrays())
        entries = [float(x) for _, name, _, array in arrays for x in array.ravel() if name != "y"]
        negative = sum(int((array < 0).sum()) for _, name, _, array in arrays if name == "y")
        unusual = negative + (self.run.get("loss", LOSSES[0]) != LOSSES[0])
        written = sum(map(digits, entries)) + sum(digits(x) for _, _, x in self.numbers())
        counts = sum(v for k, v in self.run.items() if type(v) is int and k != "steps")
        return Size(
            sum(
                array.size for part, name, _, array in arrays if name != "y" and (part == "dataset" or array.any())
            ),
            step,
            sum(x != 0.0 for x in entries),
            unusual,
            written + counts,
        )


def _values(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def shorter_axes(draft: RecordDraft) -> Iterator[RecordDraft]:
    """One or two entries of an axis, or all but one, in every array that has it."""
    lengths = {axis: n for _, _, axes, a in draft.arrays() for axis, n in zip(axes, a.shape, strict=True)}
    for axis, n in lengths.items():
        kept = [
            *itertools.combinations(range(n), 1),
            *(itertools.combinations(range(n), 2) if n <= _PAIRS else ()),
        ]
        if n > _PAIRS:
            kept += [tuple(range(n // 2)), tuple(range(n // 2, n))]
        kept += list(itertools.combinations(range(n), n - 1))
        for keep in dict.fromkeys(kept):
            if 0 < len(keep) < n:
                yield draft.having(
                    *(
                        (part, name, np.take(array, keep, axis=axes.index(axis)))
                        for part, name, axes, array in draft.arrays()
                        if axis in axes
                    )
                )


def simpler_runs(draft: RecordDraft) -> Iterator[RecordDraft]:
    """Optional arrays left out, the first loss, smaller counts, and numbers with fewer digits."""
    for part, name, _, _ in draft.arrays():
        if any(f.name == name and f.default is None for f in fields(getattr(draft.like, part))):
            yield draft.having((part, name, None))
    if draft.run.get("loss", LOSSES[0]) != LOSSES[0]:
        yield draft.having(("run", "loss", LOSSES[0]))
    for name, value in draft.run.items():
        if type(value) is int and name != "steps" and value:
            yield from (draft.having(("run", name, new)) for new in dict.fromkeys((0, 1, value // 2, value - 1)))
    for part, name, number in draft.numbers():
        simpler = _POWERS if isinstance(number, Fraction) else plainer(number)
        yield from (draft.having((part, name, value)) for value in simpler)


def zeros(draft: RecordDraft) -> Iterator[RecordDraft]:
    """Single entries of arrays set to 0."""
    for part, name, _, array in draft.arrays():
        for place in np.argwhere(array != 0.0):
            yield draft.having((part, name, _with(array, tuple(place), 0.0)))


def rounder(draft: RecordDraft) -> Iterator[RecordDraft]:
    """Whole arrays at once: signs, whole numbers, few significant bits."""
    maps: list[Callable[[Array], Array]] = [np.sign, np.rint, lambda a: np.rint(2 * a) / 2]
    maps += [lambda a, k=k: significant(a, k) for k in _BITS]  # type: ignore[misc]
    for change in maps:
        yield draft.having(*((part, name, change(array)) for part, name, _, array in draft.arrays()))
        for part, name, _, array in draft.arrays():
            yield draft.having((part, name, change(array)))


def mirrored(draft: RecordDraft) -> Iterator[RecordDraft]:
    """Labels +1, with and without the data's sign, and the other sign of one entry of an axis."""
    signs = draft.dataset.get("y")
    if signs is not None:
        X = draft.dataset["X"]
        for i in np.flatnonzero(signs < 0):
            y = _with(signs, (int(i),), 1.0)
            yield draft.having(("dataset", "y", y), ("dataset", "X", _with(X, (int(i),), -X[i])))
            yield draft.having(("dataset", "y", y))
    lengths = {axis: n for _, _, axes, a in draft.arrays() for axis, n in zip(axes, a.shape, strict=True)}
    for axis, n in lengths.items():
        for k in range(n):
            turn = np.where(np.arange(n) == k, -1.0, 1.0)
            yield draft.having(
                *(
                    (
                        part,
                        name,
                        np.moveaxis(np.moveaxis(array, axes.index(axis), -1) * turn, -1, axes.index(axis)),
                    )
                    for part, name, axes, array in draft.arrays()
                    if axis in axes and name != "y"
                )
            )


def plainer_numbers(draft: RecordDraft) -> Iterator[RecordDraft]:
    """All equal entries of an array at once, then single entries, made plainer or another one's equal."""
    for part, name, _, array in draft.arrays():
        distinct = sorted({float(x) for x in array.ravel() if x != 0.0}, key=lambda x: (-digits(x), x))
        for value in distinct:
            others = [x for x in distinct if digits(x) < digits(value)][:12]
            for new in [*plainer(value), *others]:
                yield draft.having((part, name, np.where(array == value, new, array)))
        for place in np.argwhere(array != 0.0):
            for new in plainer(float(array[tuple(place)])):
                yield draft.having((part, name, _with(array, tuple(place), new)))


def _with(array: Array, place: tuple[int, ...], value: Any) -> Array:
    changed = array.copy()
    changed[place] = value
    return changed


#: Passes in their order: what shortens most comes first.
RECORD_PASSES: tuple[Callable[[RecordDraft], Iterator[RecordDraft]], ...] = (
    shorter_axes,
    simpler_runs,
    zeros,
    rounder,
    mirrored,
    plainer_numbers,
)
