"""Datasets and runs as plain records: checked, exactly stored, and identified by their content.

A system whose instances are numbers and arrays declares two dataclasses, one for the data and one for the run,
and gets JSON, content ids and, through `axes`, the proposals of the shrinker (`properties.simpler_records`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any, ClassVar, Self, get_args, get_type_hints

import numpy as np

from models.dataset import Array, InvalidDataset, content_id, from_hexadecimal, hexadecimal
from models.instance import MAX_STEPS, InvalidRun


@dataclass(frozen=True, eq=False)
class Record:
    """A frozen dataclass whose fields are float, int, str, `Fraction`, `Array` or ``Array | None``.

    Floats and arrays are finite and taken as the exact binary fractions they are; whole numbers are not negative.

    Attributes
    ----------
    axes : mapping
        For every array field the names of its axes, such as ``{"X": ("n", "d")}``.  Axes of one name have one
        length throughout an instance.

    Raises
    ------
    InvalidDataset or InvalidRun
        If a field is not what its annotation says; the message names it.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    _error: ClassVar[type[ValueError]] = InvalidDataset
    _known_kinds: ClassVar[dict[str, str]]

    def __post_init__(self) -> None:
        for name, kind in type(self)._kinds().items():
            object.__setattr__(self, name, self._checked(name, kind, getattr(self, name)))

    def require(self, condition: bool, message: str) -> None:
        """Raise the record's error unless a condition holds."""
        if not condition:
            raise self._error(message)

    def arrays(self) -> dict[str, Array]:
        """The array fields that are present."""
        return {name: getattr(self, name) for name in self.axes if getattr(self, name) is not None}

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` rebuilds the same bits."""
        return {name: _written(getattr(self, name)) for name in self._kinds()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`.  Raises the record's error if the object is damaged."""
        try:
            values = {name: _read(kind, data[name]) for name, kind in cls._kinds().items()}
            return cls(**values)
        except (KeyError, TypeError, AttributeError, InvalidDataset) as error:
            raise cls._error(f"the stored {cls.__name__} is damaged ({error}): restore the file") from None

    @classmethod
    def _kinds(cls) -> dict[str, str]:
        """Field names with float, int, str, Fraction, array, or ``array?`` where None is allowed."""
        if "_known_kinds" not in vars(cls):
            hints = get_type_hints(cls)
            cls._known_kinds = {field.name: _kind(hints[field.name]) for field in fields(cls)}
        return cls._known_kinds

    def _checked(self, name: str, kind: str, value: Any) -> Any:
        if kind == "str":
            self.require(isinstance(value, str), f"{name} = {value!r}: give a text")
            return value
        if kind == "int":
            whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEPS
            self.require(whole, f"{name} = {value!r}: give a whole number from 0 to {MAX_STEPS}")
            return value
        if kind == "Fraction":
            try:
                return Fraction(value)
            except (TypeError, ValueError, ZeroDivisionError, OverflowError):
                raise self._error(f'{name} = {value!r}: give an exact rational such as "1/2"') from None
        if kind == "float":
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                number = math.nan
            self.require(math.isfinite(number), f"{name} = {value!r}: give a finite number")
            return number
        return None if value is None and kind.endswith("?") else self._array(name, value)

    def _array(self, name: str, value: Any) -> Array:
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise self._error(f"{name} is ragged or not numeric: give a full array") from None
        named = self.axes[name]
        wanted = f"({', '.join(named)})"
        self.require(array.ndim == len(named), f"{name} has {array.ndim} axes: it must have shape {wanted}")
        self.require(min(array.shape) > 0, f"{name} has shape {array.shape}: no axis may be empty")
        self.require(bool(np.isfinite(array).all()), f"{name} has an entry that is not finite: repair it")
        array.setflags(write=False)
        return array


@dataclass(frozen=True, eq=False)
class RecordDataset(Record):
    """Data of a plain system; its array ``X`` holds what a counterexample is measured by.

    Attributes
    ----------
    unit : str
        What the entries of ``X`` are, in the plural, for sentences.
    """

    unit: ClassVar[str] = "numbers"
    X: Array

    @property
    def N(self) -> int:
        """Number of rows of ``X``: what a step costs in balls grows with it."""
        return int(self.X.shape[0])

    @property
    def id(self) -> str:
        """Short content identifier."""
        return content_id(self.to_json())


@dataclass(frozen=True, eq=False)
class RecordRun(Record):
    """How a plain system is run: at least the number of steps."""

    _error: ClassVar[type[ValueError]] = InvalidRun
    steps: int


@dataclass(frozen=True, eq=False)
class RecordInstance:
    """One dataset and one run of a plain system.

    Attributes
    ----------
    system : str
        Name of the system, which marks a stored instance.
    parts : tuple
        The classes of dataset and run.

    Raises
    ------
    InvalidRun
        If two arrays have an axis of the same name and different lengths.
    """

    system: ClassVar[str]
    parts: ClassVar[tuple[type[RecordDataset], type[RecordRun]]]
    dataset: Any
    run: Any

    def __post_init__(self) -> None:
        lengths: dict[str, int] = {}
        for record in (self.dataset, self.run):
            for name, array in record.arrays().items():
                for axis, length in zip(record.axes[name], array.shape, strict=True):
                    if lengths.setdefault(axis, length) != length:
                        raise InvalidRun(f"{name} has {axis} = {length}, but {axis} is {lengths[axis]} elsewhere")

    def with_run(self, **changes: Any) -> Self:
        """The same dataset with fields of the run replaced."""
        return type(self)(self.dataset, replace(self.run, **changes))

    def to_json(self) -> dict[str, Any]:
        """A JSON object that holds the instance without loss; ``"system"`` tells it from other systems'."""
        return {"system": self.system, "dataset": self.dataset.to_json(), "run": self.run.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`.  Raises `InvalidDataset` or `InvalidRun`."""
        try:
            system, dataset, run = data["system"], data["dataset"], data["run"]
        except (KeyError, TypeError):
            raise InvalidDataset("the stored instance has no system, dataset or run: restore the file") from None
        if system != cls.system:
            raise InvalidDataset(f"the stored instance is one of the system {system!r}, not {cls.system!r}")
        return cls(cls.parts[0].from_json(dataset), cls.parts[1].from_json(run))

    @property
    def id(self) -> str:
        """Short content identifier: equal exactly when dataset and run are."""
        return content_id(self.to_json())


def _kind(hint: Any) -> str:
    plain = {float: "float", int: "int", str: "str", Fraction: "Fraction"}
    return plain.get(hint, "array?" if type(None) in get_args(hint) else "array")


def _written(value: Any) -> Any:
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, np.ndarray):
        return hexadecimal(value)
    return str(value) if isinstance(value, Fraction) else value


def _read(kind: str, value: Any) -> Any:
    if value is None and kind == "array?":
        return None
    return from_hexadecimal(value) if kind in ("float", "array", "array?") else value
