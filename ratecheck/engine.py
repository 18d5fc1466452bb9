"""Running units of work in worker processes, one thread each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

Task = TypeVar("Task")
Result = TypeVar("Result")


def workers() -> int:
    """Processes to use: the cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(task: Callable[[Task], Result], units: Sequence[Task]) -> Iterator[Result]:
    """Results of ``task`` on every unit, in the units' order.

    When a worker process dies, the units without a result are run again in this process, so that nothing is
    lost or counted twice.  An interrupt stops the workers before it goes on.
    """
    done = 0
    jobs = min(workers(), len(units))
    if jobs <= 1:
        yield from map(task, units)
        return
    try:
        with parallel_config("loky", inner_max_num_threads=1):
            for result in Parallel(n_jobs=jobs, return_as="generator")(delayed(task)(unit) for unit in units):
                yield result
                done += 1
    except TerminatedWorkerError:
        sys.stderr.write(f"ratecheck: a worker process died; its {len(units) - done} units are run again here\n")
        yield from map(task, units[done:])
    except (KeyboardInterrupt, GeneratorExit):
        get_reusable_executor().shutdown(wait=False, kill_workers=True)
        raise
