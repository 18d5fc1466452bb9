"""Units whose worker process died: how often they are run again, and what is said of those that are given up."""

from __future__ import annotations

import textwrap
from collections import Counter

_MOST_GIVEN_UP = 10  # units; beyond that it is not the units that are at fault
_NAMED = 3


class UnitsLost(ChildProcessError):
    """Units that have no result, because the worker process died each time that they were run.

    Attributes
    ----------
    indices
        Their places among the units.
    """

    def __init__(self, indices: tuple[int, ...], message: str) -> None:
        super().__init__(message)
        self.indices = indices


class Losses:
    """Counts the deaths of workers by the unit that was running.

    Parameters
    ----------
    most
        Deaths after which a unit is given up.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._deaths: Counter[int] = Counter()
        self._given_up: dict[int, str] = {}

    def again(self, index: int, unit: object) -> bool:
        """Count a death, and say whether the unit is to be run again.

        Raises
        ------
        UnitsLost
            If so many units are given up that running the others makes no sense.
        """
        self._deaths[index] += 1
        if self._deaths[index] < self._most:
            return True
        del self._deaths[index]
        self._given_up[index] = textwrap.shorten(repr(unit), 100, placeholder=" …")
        if len(self._given_up) >= _MOST_GIVEN_UP:
            raise self._lost("every worker dies: is there enough memory? The other units were not finished")
        return False

    def tell(self) -> None:
        """Raise `UnitsLost` if a unit was given up; the results of all others have been handed out."""
        if self._given_up:
            raise self._lost("the others are done")

    def _lost(self, rest: str) -> UnitsLost:
        indices = tuple(sorted(self._given_up))
        named = "; ".join(f"unit {index}, {self._given_up[index]}" for index in indices[:_NAMED])
        more = f"; and {len(indices) - _NAMED} more" if len(indices) > _NAMED else ""
        return UnitsLost(indices, f"a worker process died each time it ran {named}{more}: {rest}")
