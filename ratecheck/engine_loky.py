"""Worker processes on this machine."""

from __future__ import annotations

import signal
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from joblib.externals.loky.process_executor import ProcessPoolExecutor

from ratecheck.engine_losses import Losses

Task = TypeVar("Task")
Result = TypeVar("Result")

#: What keeps BLAS, OpenMP and numba to one thread in a process.
ONE_THREAD = {
    f"{library}_THREADS": "1"
    for library in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "BLIS_NUM", "VECLIB_MAXIMUM", "NUMBA_NUM", "NUMEXPR_NUM")
}
_DEATHS = 3
_IDLE = 300  # seconds after which a worker without work leaves

# A worker whose memory has grown makes room for a new one; that its next unit was already there is no fault.
warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor", UserWarning)


class Loky:
    """Processes with one thread each, which stay for the next run.

    Every process has an executor of its own, and one unit at a time: its death concerns that unit and no other,
    which is run again in a new process.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._workers: list[_Worker] = []

    def run(self, task: Callable[[Task], Result], units: Iterable[Task]) -> Iterator[tuple[int, Result]]:
        """As for `ratecheck.engine.Engine`."""
        ahead, again, losses = enumerate(units), deque[tuple[int, Task]](), Losses(_DEATHS)
        # A run within a run finds no workers here and starts its own.
        kept, self._workers = self._workers, []
        idle = [_Worker() for _ in range(self._count - len(kept))] + kept
        running: dict[Future[Result], tuple[_Worker, int, Task]] = {}
        finished: list[tuple[int, Result]] = []
        try:
            while True:
                while idle and (following := again.popleft() if again else next(ahead, None)):
                    worker = idle.pop()
                    running[worker.submit(task, following[1])] = (worker, *following)
                # Only now, when the workers are busy again, is it the caller's turn.
                yield from finished
                if not running:
                    break
                finished = []
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    worker, index, unit = running.pop(future)
                    idle.append(worker)
                    try:
                        finished.append((index, future.result()))
                    except BrokenProcessPool:
                        worker.kill()
                        if losses.again(index, unit):
                            again.append((index, unit))
            self._workers = idle
            idle = []
        finally:
            for worker in (*idle, *(worker for worker, *_ in running.values())):
                worker.kill()
        losses.tell()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.kill()
        self._workers = []

    def __enter__(self) -> Loky:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Worker:
    """One process, started when it is first needed."""

    def __init__(self) -> None:
        self._executor: Any = None
        self._future: Future[Any] | None = None

    def submit(self, task: Callable[[Task], Result], unit: Task) -> Future[Result]:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(1, timeout=_IDLE, initializer=_heedless, env=ONE_THREAD)
        try:
            future: Future[Result] = self._executor.submit(task, unit)
        except BrokenProcessPool:  # it died while it had nothing to do
            self.kill()
            return self.submit(task, unit)
        self._future = future
        return future

    def kill(self) -> None:
        if self._executor is not None:
            # An executor that is shut down before it has taken up what was submitted fails in a thread of its own.
            while self._future and not (self._future.running() or self._future.done()):
                time.sleep(0.001)
            self._executor.shutdown(wait=False, kill_workers=True)
            self._executor = None


def _heedless() -> None:
    """Leave Ctrl-C to the parent, which ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
