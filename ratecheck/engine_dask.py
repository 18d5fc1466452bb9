"""Worker processes of a Dask scheduler: on this machine, on several, or on a cluster."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, TypeVar

from ratecheck.command import Unusable
from ratecheck.engine_loky import ONE_THREAD
from ratecheck.engine_losses import Losses
from ratecheck.versions import versions

Task = TypeVar("Task")
Result = TypeVar("Result")

_PATIENCE = 10  # seconds for a scheduler to answer
_AHEAD = 4  # units per worker that are running or on their way
_LOOK = 1.0  # seconds between two looks at how many workers there are
_GLANCE = 0.01  # seconds between two looks at what is completed
_SILENCE = 5  # seconds without a worker before it is said
_LOCAL_DEATHS = 1  # deaths of workers that a scheduler of our own forgives a unit
#: Verdicts of the scheduler after which a unit is given up.  It blames those that only waited for the dead worker
#: too, so the second trial is held with no other unit under way.
_VERDICTS = 2


class Dask:
    """The workers of one scheduler.

    Parameters
    ----------
    count
        Processes to start on this machine, where no scheduler is given.
    address
        That of a running scheduler.

    Raises
    ------
    Unusable
        If ``distributed`` is not installed, the scheduler does not answer, or it has other versions.
    """

    def __init__(self, count: int, address: str | None) -> None:
        try:
            from distributed import Client, LocalCluster
        except ImportError:
            raise Unusable("--engine dask needs the package distributed: pip install 'ratecheck[dask]'") from None
        # What it has to say of lost workers and connections is said here, in one line.
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._stack = contextlib.ExitStack()
        self._nannies: Mapping[Any, Any] = {}
        if address is None:
            cluster = LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                dashboard_address=None,
                memory_limit=None,
                silence_logs=logging.CRITICAL,
                # Port 0: any free one.  The usual one may be taken by another cluster.
                scheduler_kwargs={"allowed_failures": _LOCAL_DEATHS, "dashboard_address": "127.0.0.1:0"},
                preload=__name__,
                env=ONE_THREAD,
            )
            address = str(self._stack.enter_context(cluster).scheduler_address)
            self._nannies = cluster.workers
        self._address = address
        try:
            self._client = Client(address, timeout=_PATIENCE, set_as_default=False)
            self._stack.callback(self._client.close)
        except (OSError, ValueError) as error:
            self.close()
            raise Unusable(
                f"--scheduler {address}: no Dask scheduler answers there ({error}); start one with "
                "'dask scheduler' and give the address that it prints"
            ) from None
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        """Raise `Unusable` if the scheduler has other versions, or a worker no ratecheck to tell its own."""
        try:
            theirs = self._client.run_on_scheduler(environment)
        except ImportError as error:
            raise self._foreign(f"the scheduler cannot load ratecheck ({error})") from None
        if differing := differences(theirs):
            raise self._foreign(f"the scheduler has {differing}")
        for worker, found in self._client.run(version, "ratecheck", on_error="return").items():
            if isinstance(found, Exception):
                raise self._foreign(f"worker {worker} cannot load ratecheck ({found})")

    def run(self, task: Callable[[Task], Result], units: Iterable[Task]) -> Iterator[tuple[int, Result]]:
        """As for `ratecheck.engine.Engine`."""
        from distributed import KilledWorker, as_completed

        ahead, suspects, losses = enumerate(units), deque[tuple[int, Task]](), Losses(_VERDICTS)
        running: dict[Any, tuple[int, Task]] = {}
        completed = as_completed(loop=self._client.loop, with_results=True, raise_errors=False)
        room = _Room(self._client, self._address)

        def submit(index: int, unit: Task) -> None:
            # As bytes, so that the scheduler need not build every unit only to pass it on.
            future = self._client.submit(perform, pickle.dumps((task, unit)), environment(), pure=False)
            running[future] = (index, unit)
            completed.add(future)

        finished: list[tuple[int, Result]] = []
        try:
            while True:
                room.look()
                while len(running) < room.units and (following := next(ahead, None)):
                    submit(*following)
                if not running and suspects:
                    submit(*suspects.popleft())
                # Only now, when the workers are busy again, is it the caller's turn.
                yield from finished
                if not running:
                    break
                finished = []
                while not completed.has_ready():
                    room.look()
                    time.sleep(_GLANCE)
                for future, result in completed.next_batch():
                    index, unit = running.pop(future)
                    if future.status == "finished":
                        finished.append((index, result))
                    elif future.status != "error":
                        raise _lost(self._address)
                    elif not isinstance(error := result[1], KilledWorker):
                        raise self._explained(error)
                    elif losses.again(index, unit):
                        suspects.append((index, unit))
        finally:
            completed.clear()
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self._client.cancel(list(running), force=True)
            if running:
                self._stop_workers()
        losses.tell()

    def _stop_workers(self) -> None:
        """Kill processes of our own, for nothing else ends a unit in progress; Dask starts new ones."""
        from distributed import Status

        for nanny in self._nannies.values():
            # One that is only starting has no unit, and Dask would not replace it.
            if nanny.process and nanny.process.status == Status.running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(nanny.pid, signal.SIGKILL)

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, ImportError):
            return self._foreign(f"a worker cannot import what it needs ({error})")
        if isinstance(error, _Foreign):
            return self._foreign(str(error))
        return error

    def _foreign(self, what: str) -> Unusable:
        return Unusable(f"--scheduler {self._address}: {what}; start scheduler and workers from one environment")

    def close(self) -> None:
        """Leave the scheduler, and end the processes that were started here."""
        self._stack.close()

    def __enter__(self) -> Dask:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Room:
    """How many units may be under way, while workers come and go."""

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address
        self._looked, self._seen, self._told = -math.inf, time.monotonic(), False
        self.units = 0

    def look(self) -> None:
        """Ask how many workers there are, if it was not asked just now.  Raises `ConnectionError`."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        try:
            count = len(self._client.nthreads())
        except OSError:
            raise _lost(self._address) from None
        self._looked, self.units = now, _AHEAD * max(count, 1)
        if count:
            self._seen, self._told = now, False
        elif now - self._seen > _SILENCE and not self._told:
            self._told = True
            sys.stderr.write(f"ratecheck: there are no workers at {self._address}; waiting for them\n")


def _lost(address: str) -> ConnectionError:
    return ConnectionError(f"the scheduler at {address} was lost; start it again and repeat the command")


# ------------------------------------------------------------------------------- what scheduler and workers call
class _Foreign(Exception):
    """This worker's environment is not the one that the units come from."""


@cache
def environment() -> dict[str, str]:
    """Versions that must be the same everywhere, so that a unit gives the same result on every machine."""
    return versions() | {name: version(name) for name in ("dask", "distributed")}


def differences(theirs: Mapping[str, str], expected: Mapping[str, str] | None = None) -> str:
    """What ``theirs`` has otherwise than expected (by default: than here), in words; empty if nothing."""
    expected = environment() if expected is None else expected
    return ", ".join(
        f"{name} {theirs.get(name)} instead of {wanted}"
        for name, wanted in expected.items()
        if theirs.get(name) != wanted
    )


def perform(payload: bytes, expected: Mapping[str, str]) -> Any:
    """Run one unit on a worker."""
    from distributed import get_worker

    worker = get_worker()
    if worker.state.nthreads != 1:
        raise _Foreign(f"worker {worker.address} has {worker.state.nthreads} threads and must have --nthreads 1")
    if differing := differences(environment(), expected):
        raise _Foreign(f"worker {worker.address} has {differing}")
    task, unit = pickle.loads(payload)
    return task(unit)


def dask_setup(_: object) -> None:
    """Called by Dask in every worker process of our own: leave Ctrl-C to the parent, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
