"""Running units of work in worker processes, one thread each: on this machine or on many."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from types import TracebackType
from typing import Protocol, Self, TypeVar

from ratecheck.command import Unusable
from ratecheck.engine_loky import Loky

Task = TypeVar("Task")
Result = TypeVar("Result")

ENGINES = ("loky", "dask")
_MOST_WORKERS = 1024


class Engine(Protocol):
    """Worker processes that run units, and run them again when a worker dies."""

    def run(self, task: Callable[[Task], Result], units: Iterable[Task]) -> Iterator[tuple[int, Result]]:
        """The pairs (i, ``task(units[i])``), each once, as they are completed.

        ``units`` are taken as workers become free, so that any number of them needs little memory.  An exception
        in ``task`` ends the run, and so does an interrupt; work in progress is then stopped.

        Parameters
        ----------
        task
            A function of a module that workers can import.  A unit whose worker dies is run again: twice the
            same unit must give the same result, and do no harm.
        units
            What it is called on.

        Raises
        ------
        UnitsLost
            After the results of all other units, if a unit took its worker process with it each time.
        ConnectionError
            If a scheduler is lost.
        """

    def close(self) -> None:
        """End the workers that the engine has started."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


def engine(name: str = "loky", workers: int | None = None, scheduler: str | None = None) -> Engine:
    """The engine that options name; use it in a ``with`` statement, which ends its workers.

    Parameters
    ----------
    name
        ``loky``: processes on this machine.  ``dask``: those of a Dask scheduler.
    workers
        How many processes are started; the cores of this machine if nothing is said.
    scheduler
        Address (``tcp://host:8786``) of a running Dask scheduler, which has workers of its own.  Without one,
        Dask's processes are started on this machine.

    Raises
    ------
    Unusable
        If the options do not go together, ``distributed`` is not installed, or the scheduler does not answer or
        has other versions.
    """
    if name not in ENGINES:
        raise Unusable(f"--engine {name}: choose {' or '.join(ENGINES)}")
    if workers is not None and not 1 <= workers <= _MOST_WORKERS:
        raise Unusable(f"--workers {workers}: give a number from 1 to {_MOST_WORKERS}")
    if scheduler is not None and name != "dask":
        raise Unusable(f"--scheduler {scheduler}: this goes with --engine dask")
    if scheduler is not None and workers is not None:
        raise Unusable(f"--workers {workers}: a scheduler has its own workers; leave out --workers or --scheduler")
    count = _processes(workers)
    if name == "loky":
        return Loky(count)
    from ratecheck.engine_dask import Dask

    return Dask(count, scheduler)


def workers() -> int:
    """Processes to use: the cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processes(asked: int | None) -> int:
    return asked or workers()


def in_processes(task: Callable[[Task], Result], units: Sequence[Task]) -> Iterator[Result]:
    """Results of ``task`` on every unit, in the units' order, from processes that are kept for the next call.

    Raises
    ------
    UnitsLost
        As for `Engine.run`.
    """
    count = workers()
    if min(count, len(units)) <= 1:
        return map(task, units)
    return _in_order(_kept(count).run(task, units))


_kept = cache(Loky)


def _in_order(numbered: Iterable[tuple[int, Result]]) -> Iterator[Result]:
    early: dict[int, Result] = {}
    following = 0
    for index, result in numbered:
        early[index] = result
        while following in early:
            yield early.pop(following)
            following += 1
