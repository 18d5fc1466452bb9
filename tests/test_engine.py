"""Engines hand out every unit's result once, whatever becomes of workers, schedulers and whoever waits."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from ratecheck.command import Unusable
from ratecheck.engine import ENGINES, Engine, engine, in_processes
from ratecheck.engine_dask import Dask
from ratecheck.engine_losses import Losses, UnitsLost

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.xdist_group("engine")  # the engines are started once


@dataclass(frozen=True)
class Unit:
    """Something to square, by a worker that first dies ``deaths`` times."""

    value: int
    deaths: int = 0
    folder: str = ""
    seconds: float = 0.0


def square(unit: Unit) -> int:
    for attempt in range(unit.deaths):
        mark = Path(unit.folder) / f"{unit.value}-{attempt}"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(unit.seconds)
    return unit.value**2


def square_and_process(unit: Unit) -> tuple[int, int]:
    return square(unit), os.getpid()


def threads(_: int) -> tuple[str, ...]:
    return tuple(os.environ[f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"))


def refuse_five(value: int) -> int:
    if value == 5:
        raise ArithmeticError("five")
    return value


def square_of(value: int) -> int:
    return value**2


def squares(count: int) -> list[tuple[int, int]]:
    return [(value, value**2) for value in range(count)]


@pytest.fixture(scope="module", params=ENGINES)
def started(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engine(request.param, workers=2) as it:
        yield it


# ------------------------------------------------------------------------------------------------ every unit once
def test_many_units_are_taken_as_workers_become_free(started: Engine) -> None:
    count, taken, got = 300, 0, []

    def units() -> Iterator[int]:
        nonlocal taken
        for taken in range(1, count + 1):
            yield taken - 1

    # What is completed but not yet handed out counts too: four units on their way for each of two workers, twice.
    for pair in started.run(square_of, units()):
        got.append(pair)
        assert taken - len(got) <= 16
    assert sorted(got) == squares(count)


def test_results_come_as_they_are_completed(started: Engine) -> None:
    units = [Unit(0, seconds=1.0), *(Unit(value) for value in range(1, 8))]
    got = list(started.run(square, units))
    assert got[0] != (0, 0)
    assert sorted(got) == squares(8)


def test_no_units(started: Engine) -> None:
    assert list(started.run(square_of, [])) == []


def test_workers_have_one_thread(started: Engine) -> None:
    assert {found for _, found in started.run(threads, range(4))} == {("1",) * 4}


# ---------------------------------------------------------------------------------------------- workers that die
def test_a_worker_killed_from_outside_costs_nothing(started: Engine) -> None:
    units = [Unit(value, seconds=0.05) for value in range(30)]
    got, killed = [], 0
    for index, (result, process) in started.run(square_and_process, units):
        got.append((index, result))
        assert process not in (os.getpid(), killed)
        if len(got) == 5:
            killed = process
            os.kill(process, signal.SIGKILL)
    assert sorted(got) == squares(30)


def test_units_that_kill_their_worker_once_are_run_again(started: Engine, tmp_path: Path) -> None:
    units = [Unit(value, deaths=int(value in (0, 7)), folder=str(tmp_path)) for value in range(20)]
    assert sorted(started.run(square, units)) == squares(20)
    assert sorted(mark.name for mark in tmp_path.iterdir()) == ["0-0", "7-0"]


def test_a_unit_that_always_kills_its_worker_is_named(started: Engine, tmp_path: Path) -> None:
    units = [Unit(value, deaths=99 * (value == 3), folder=str(tmp_path)) for value in range(10)]
    got: list[tuple[int, int]] = []
    with pytest.raises(UnitsLost, match=r"each time it ran unit 3, Unit\(value=3.*others are done") as caught:
        got.extend(started.run(square, units))
    assert caught.value.indices == (3,)
    assert sorted(got) == [pair for pair in squares(10) if pair[0] != 3]
    assert 2 <= len(list(tmp_path.iterdir())) <= 5


def test_it_ends_where_every_worker_dies() -> None:
    losses = Losses(2)
    for index in range(9):
        assert losses.again(index, "unit")
        assert not losses.again(index, "unit")
    losses.again(9, "unit")
    with pytest.raises(UnitsLost, match="7 more: every worker dies"):
        losses.again(9, "unit")


def test_results_in_order_from_processes_that_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ratecheck.engine.workers", lambda: 2)
    units = [Unit(value, deaths=int(value == 3), folder=str(tmp_path), seconds=0.01) for value in range(9)]
    first = list(in_processes(square_and_process, units))
    assert [result for result, _ in first] == [value**2 for value in range(9)]
    again = {process for _, process in in_processes(square_and_process, units)}
    assert again <= {process for _, process in first}


# ------------------------------------------------------------------------------------- errors and early endings
def test_an_error_in_a_unit_ends_the_run_and_not_the_engine(started: Engine) -> None:
    with pytest.raises(ArithmeticError, match="five"):
        list(started.run(refuse_five, range(40)))
    assert sorted(started.run(square_of, range(6))) == squares(6)


def test_units_in_progress_do_not_hold_up_the_next_run(started: Engine) -> None:
    begun = time.monotonic()
    for _ in started.run(square, [Unit(0), Unit(1), *[Unit(9, seconds=60.0)] * 9]):
        break
    assert sorted(started.run(square_of, range(6))) == squares(6)
    assert time.monotonic() - begun < 40.0


_INTERRUPTED = """
import sys
from ratecheck.engine import engine
from tests.test_engine import Unit, square
if __name__ == "__main__":
    with engine(sys.argv[1], workers=2) as it:
        for _ in it.run(square, [Unit(0), *[Unit(1, seconds=60.0)] * 9]):
            print("begun", flush=True)
"""


@pytest.mark.parametrize("name", ENGINES)
def test_ctrl_c_ends_everything(name: str, tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(_INTERRUPTED)
    with subprocess.Popen(
        [sys.executable, str(script), name],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        begun = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        _, said = process.communicate(timeout=50)  # which waits for every process that has standard error
        assert time.monotonic() - begun < 30.0
    assert process.returncode == -signal.SIGINT
    assert said.count("Traceback") == said.count("KeyboardInterrupt") == 1


# ------------------------------------------------------------------------------------------- schedulers elsewhere
#: The words that start a scheduler or a worker, as `dask scheduler` and `dask worker` do.
_SCHEDULER, _WORKER = "distributed.cli.dask_scheduler", "distributed.cli.dask_worker"
_WITHOUT_RATECHECK = """
import runpy, sys
from importlib import metadata
found = metadata.version
def version(name):
    if name == "ratecheck":
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.version = version
sys.modules["ratecheck"] = None
runpy.run_module(sys.argv.pop(1), run_name="__main__")
"""


@contextmanager
def running(*words: str, blind: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    python = [sys.executable, *(("-c", _WITHOUT_RATECHECK) if blind else ("-m",))]
    process = subprocess.Popen([*python, *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def scheduler(*, blind: bool = False) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    options = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    with running(_SCHEDULER, *options, blind=blind) as process:
        yield f"tcp://127.0.0.1:{port}", process


def worker(address: str, threads: int = 1) -> tuple[str, ...]:
    return _WORKER, address, "--nthreads", str(threads), "--no-dashboard", "--no-nanny"


def test_a_remote_scheduler_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        address, process = stack.enter_context(scheduler())
        for _ in range(2):
            stack.enter_context(running(*worker(address)))
        with engine("dask", scheduler=address) as it:
            assert sorted(it.run(square_of, range(40))) == squares(40)
            elsewhere = ModuleType("elsewhere")
            exec("def task(value): return value", elsewhere.__dict__)
            monkeypatch.setitem(sys.modules, "elsewhere", elsewhere)
            with pytest.raises(Unusable, match=f"{address}: a worker cannot import .*elsewhere"):
                list(it.run(elsewhere.task, range(3)))
            with monkeypatch.context() as patch:
                patch.setattr("ratecheck.engine_dask.environment", lambda: {"numpy": "0.1"})
                with pytest.raises(Unusable, match=r"worker tcp.* has numpy .* instead of 0\.1"):
                    list(it.run(square_of, range(3)))
                patch.setattr("ratecheck.engine_dask.differences", lambda _: "another numpy")
                with pytest.raises(Unusable, match=f"{address}: the scheduler has another numpy; start"):
                    engine("dask", scheduler=address)
            results = it.run(square, [Unit(0), *[Unit(9, seconds=60.0)] * 9])
            assert next(results) == (0, 0)
            process.kill()
            with pytest.raises(ConnectionError, match=f"{address} was lost"):
                next(results)


def test_a_worker_that_is_not_fit_is_named() -> None:
    with scheduler() as (address, _), engine("dask", scheduler=address) as it:
        with (
            running(*worker(address, threads=2)),
            pytest.raises(Unusable, match="has 2 threads and must have --nthreads 1"),
        ):
            list(it.run(square_of, range(3)))
        assert isinstance(it, Dask)
        with running(*worker(address), blind=True):
            while not it._client.nthreads():
                time.sleep(0.05)
            with pytest.raises(Unusable, match=r"worker tcp.* cannot load ratecheck"):
                engine("dask", scheduler=address)


def test_a_scheduler_without_ratecheck() -> None:
    with scheduler(blind=True) as (address, _), pytest.raises(Unusable, match="the scheduler cannot load"):
        engine("dask", scheduler=address)


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ratecheck.engine_dask._PATIENCE", 1)
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(Unusable, match=f"--scheduler {address}: no Dask scheduler answers there"):
        engine("dask", scheduler=address)


def test_dask_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Unusable, match=r"pip install 'ratecheck\[dask\]'"):
        engine("dask")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "threads"}, "--engine threads: choose loky or dask"),
        ({"workers": 0}, "--workers 0: give a number from 1"),
        ({"scheduler": "tcp://a:1"}, "--scheduler tcp://a:1: this goes with --engine dask"),
        ({"name": "dask", "workers": 2, "scheduler": "tcp://a:1"}, "leave out --workers or --scheduler"),
        ({"name": "dask", "scheduler": "nonsense://a:1"}, "--scheduler nonsense://a:1: no Dask scheduler"),
    ],
)
def test_options_that_do_not_go_together(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(Unusable, match=said):
        engine(**arguments)  # type: ignore[arg-type]
