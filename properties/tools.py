"""What the trial needs of a system: settings, training, and the exact run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hypothesis.strategies import SearchStrategy

from bounds import Theorem
from properties.compiled import Values
from properties.measured import BallMeasured, Measured


class FamilyLike(Protocol):
    """A family of datasets, `properties.datasets.Family` and the like."""

    @property
    def name(self) -> str:
        """Short name."""

    @property
    def hostile(self) -> bool:
        """Whether its members are made to break what is only generically true."""

    @property
    def extreme(self) -> bool:
        """Whether its members probe the number system rather than the claims."""


class SettingLike(Hashable, Protocol):
    """What theorems that can share instances have in common."""

    def families(self) -> Sequence[Any]:
        """Families of datasets to draw from, each a `FamilyLike`."""

    def instances(self, family: Any, steps: int) -> SearchStrategy[Any]:
        """Strategy for instances with datasets of one family."""


def family_named(setting: SettingLike, name: str) -> Any:
    """The family of a setting that has a name."""
    return next(family for family in setting.families() if family.name == name)


@dataclass(frozen=True)
class ExactRun:
    """A run in balls: its observables, and its states in order."""

    measurement: BallMeasured
    states: Iterator[Any]


@dataclass(frozen=True)
class Tools:
    """How instances of a system are drawn, trained and replayed.

    Attributes
    ----------
    setting : callable
        The setting of a theorem.
    geometry : callable
        What does not change during an instance's training.
    measure : callable
        Train an instance, recording every step up to a given one, and measure it.
    exact : callable
        The run in balls, given the onset and the names of the observables that will be asked for.
    restart : callable
        The instance taken up at the float run's state of a given step, which is again an exact state.
    instance : callable
        An instance from its JSON object.
    """

    setting: Callable[[Theorem], SettingLike]
    geometry: Callable[[Any], Any]
    measure: Callable[[Any, Any, int], Measured]
    exact: Callable[[Any, Any, int | None, frozenset[str]], ExactRun]
    restart: Callable[[Any, int, Any], Any]
    instance: Callable[[Mapping[str, Any]], Any]


def _one_part(theorem: Theorem) -> int:
    return 1


@dataclass(frozen=True)
class Sampler:
    """Independent random draws for probability claims.

    Attributes
    ----------
    draws : callable
        For a theorem, a count and a seed, so many draws: the observables of each in balls, where it comes from,
        and for the figure a whole number that says where it lies, or None.
    parts : callable
        Into how many claimed probabilities the draws of a theorem are split.
    enclosed : bool
        Whether the balls of a draw are proved to hold what they stand for; if not, their radii are estimates and
        no draw counts as certified.
    """

    draws: Callable[[Theorem, int, int], Iterator[tuple[Values, str, int | None]]]
    parts: Callable[[Theorem], int] = _one_part
    enclosed: bool = True
