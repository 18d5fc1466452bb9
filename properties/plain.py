"""Measurements of plain systems: observables as functions of a float run, and of a state in balls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flint import arb

from models.trajectory import Trajectory
from properties.balls import BallArray
from properties.observables import Undefined


@dataclass(frozen=True)
class PlainFamily:
    """A family of datasets of a plain system; see `properties.datasets.Family` for the two flags."""

    name: str
    description: str
    hostile: bool = False
    extreme: bool = False


@dataclass(frozen=True, eq=False)
class PlainMeasurement:
    """The observables of one float64 run, each with an error budget.

    Attributes
    ----------
    instance, geometry, trajectory
        As for `properties.measured.Measured`.
    table : mapping
        For each observable the function that measures it: one ball, or one a recorded step.
    """

    instance: Any
    geometry: Any
    trajectory: Trajectory
    table: Mapping[str, Callable[[Any], BallArray]]

    def __getitem__(self, name: str) -> BallArray:
        """The observable ``name``.  Raises `Undefined` if the system or the instance has no such quantity."""
        if name not in self._cache:
            if name not in self.table:
                raise Undefined(f"{name} is not an observable of this system")
            self._cache[name] = self.table[name](self)
        return self._cache[name]

    @cached_property
    def _cache(self) -> dict[str, BallArray]:
        return {}


class PlainExact:
    """The observables of a run in balls whose states carry everything that is asked for.

    Parameters
    ----------
    table : mapping
        For each observable a function of a state.  It raises `Undefined` where there is no such quantity.
    """

    next_loss_gap: arb | None = None

    def __init__(self, table: Mapping[str, Callable[[Any], arb]]) -> None:
        self.table = table
        self.state: Any = None

    def advance(self, state: Any) -> None:
        """Take the next state of the run."""
        self.state = state

    def leave(self) -> None:
        """Nothing: states carry their own history."""

    def __getitem__(self, name: str) -> arb:
        """The observable as a ball.  Raises `Undefined`."""
        if name not in self.table:
            raise Undefined(f"{name} is not an observable of this system")
        return self.table[name](self.state)
