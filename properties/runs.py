"""Trajectories kept on disk: the observables of many runs as Parquet columns, to be judged again by any bound.

Observables do not depend on bounds, so a run is trained once.  A folder holds hive partitions
``system=…/rule=…``, in them one file a batch, one row a run: the instance's JSON object, the fixed hypotheses
that were decided on it, and each observable as the midpoints, radii and exponents of its balls (`BallArray`) at
the recorded steps.  Every step up to `DENSE` is recorded and log-spaced ones beyond.  A file is named by the
instances in it and renamed into place when it is whole; what cannot be read is named, set aside as ``*.damaged``
and never silently lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bounds import ATTENTION
from models.dataset import Array
from properties.balls import BallArray, BoolArray
from properties.run_columns import PARTS, KeptRun, columns
from properties.store import StoreError

SCHEMA = "ratecheck/runs/1"
#: Step up to which every step is recorded.
DENSE = 256


@dataclass(frozen=True, eq=False)
class Stack:
    """Runs one a row, those with fewer recorded steps filled up with what decides nothing.

    Attributes
    ----------
    ids, instances : list of str
        Content ids and JSON texts of the instances.
    t : array of int, shape (runs, R)
        Recorded steps of each.
    lengths : array of int, shape (runs,)
        How many steps of each were recorded.
    onset, decoder_onset : array of int, shape (runs,)
        t0 and t1, −1 where they do not exist.
    holds, fails : list of frozenset
        Canonical texts of the fixed hypotheses that were decided on each run.
    pc_margin : array, shape (runs, R)
        By how much positive coefficients hold; NaN of shape (runs, 1) in a system that knows of none.
    observables : dict
        Balls of shape (runs, R), or (runs, 1) for what does not change along a run; NaN where undefined.
    missing : dict
        Runs that have no such observable at all, shape (runs,).
    """

    ids: list[str]
    instances: list[str]
    t: NDArray[np.int64]
    lengths: NDArray[np.int64]
    onset: NDArray[np.int64]
    decoder_onset: NDArray[np.int64]
    holds: list[frozenset[str]]
    fails: list[frozenset[str]]
    pc_margin: Array
    observables: dict[str, BallArray]
    missing: dict[str, BoolArray]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, name: str) -> BallArray:
        return self.observables[name]

    @property
    def width(self) -> int:
        """R, the most recorded steps of a run."""
        return int(self.t.shape[1])

    @cached_property
    def recorded(self) -> BoolArray:
        """Where a run has a recorded step, shape (runs, R)."""
        return np.asarray(np.arange(self.width) < self.lengths[:, None])


@dataclass
class RunStore:
    """The runs in a folder.

    Attributes
    ----------
    folder : Path
    damaged : list of str
        A line for every file that was set aside while reading.
    """

    folder: Path
    damaged: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[Path]:
        """Every file of runs, in a fixed order."""
        return sorted(self.folder.glob("system=*/rule=*/*.parquet"))

    def add(self, runs: Iterable[KeptRun], versions: Mapping[str, str]) -> int:
        """Store runs of one system; returns how many.

        Raises
        ------
        StoreError
            If a file cannot be written.
        """
        batches: dict[Path, dict[str, KeptRun]] = defaultdict(dict)
        for run in runs:
            instance = json.loads(run.instance)
            system = instance.get("system", ATTENTION.name)
            # A system without a choice of rule has one partition.
            place = partition(self.folder, system, instance["run"].get("rule", system))
            batches[place][run.id] = run
        for place, batch in batches.items():
            name = hashlib.sha256(" ".join(sorted(batch)).encode()).hexdigest()[:24]
            write_runs(place / f"{name}.parquet", list(batch.values()), {"versions": json.dumps(dict(versions))})
        return sum(map(len, batches.values()))

    def stacks(self, system: str, rule: str | None, names: Iterable[str]) -> Iterator[Stack]:
        """Read runs of a system (and a step rule, if one is given), each once however many files hold it."""
        seen: set[str] = set()
        for path in sorted(self.folder.glob(f"system={system}/rule={rule or '*'}/*.parquet")):
            try:
                stack = _read(path, sorted(set(names)), seen)
            except StoreError as error:
                self.damaged.append(str(error))
                with contextlib.suppress(OSError):
                    path.rename(path.with_name(path.name + ".damaged"))
                continue
            if stack is not None:
                seen.update(stack.ids)
                yield stack


def partition(folder: Path, system: str, rule: str) -> Path:
    """Where the runs of a system and a step rule are kept."""
    return folder / f"system={system}" / f"rule={rule}"


def write_runs(path: Path, runs: Sequence[KeptRun], said: Mapping[str, str]) -> None:
    """Write runs to a file, whole or not at all; ``said`` is kept with them.  Raises `StoreError`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(columns(runs)).replace_schema_metadata({"schema": SCHEMA, **said})
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); free space or choose another folder"
        ) from None


def _read(path: Path, names: Sequence[str], seen: set[str]) -> Stack | None:
    """The runs of one file that have not been seen.  Raises `StoreError` for a damaged file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        schema = file.schema_arrow
        if (schema.metadata or {}).get(b"schema") != SCHEMA.encode():
            raise ValueError(f"not of schema {SCHEMA}")
        present = set(schema.names)
        stored = [f"{name}.{part}" for name in names for part in PARTS if f"{name}.{part}" in present]
        columns = ["id", "instance", "onset", "decoder_onset", "holds", "fails", "t", "pc_margin", *stored]
        table = file.read(columns, use_threads=False)
        ids = table["id"].to_pylist()
        fresh = [place for place, id in enumerate(ids) if id not in seen]
        if not fresh:
            return None
        return _stack(table if len(fresh) == len(ids) else table.take(fresh), names)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, IndexError) as error:
        words = " ".join(str(error).split())[:120]
        raise StoreError(f"{path}: damaged ({words}); set aside as {path.name}.damaged") from None


def _stack(table: Any, names: Sequence[str]) -> Stack:
    t, lengths, _ = _matrix(table["t"], 0)
    width = t.shape[1]
    observables: dict[str, BallArray] = {}
    missing: dict[str, BoolArray] = {}
    for name in names:
        if f"{name}.mid" in table.column_names:
            mid, _, missing[name] = _matrix(table[f"{name}.mid"], np.nan)
            rad, exp2 = (_matrix(table[f"{name}.{part}"], 0)[0] for part in ("rad", "exp2"))
            if not (mid.shape == rad.shape == exp2.shape) or mid.shape[1] not in (1, width):
                raise ValueError(f"{name} has {mid.shape[1]} steps of {width}")
        else:  # an observable that was declared after these runs were stored
            mid = np.full((len(lengths), 1), np.nan)
            rad, exp2 = np.zeros_like(mid), np.zeros(mid.shape, dtype=np.int64)
            missing[name] = np.ones(len(lengths), dtype=np.bool_)
        observables[name] = BallArray(mid, rad, exp2)
    pc_margin = _matrix(table["pc_margin"], np.nan)[0]
    rising = (np.diff(t, axis=1) > 0) | (np.arange(1, width) >= lengths[:, None])
    if pc_margin.shape[1] not in (1, width) or (lengths < 1).any() or not rising.all():
        raise ValueError("the recorded steps do not fit together")
    return Stack(
        ids=table["id"].to_pylist(),
        instances=table["instance"].to_pylist(),
        t=t,
        lengths=lengths,
        onset=_whole(table["onset"]),
        decoder_onset=_whole(table["decoder_onset"]),
        holds=[frozenset(x) for x in table["holds"].to_pylist()],
        fails=[frozenset(x) for x in table["fails"].to_pylist()],
        pc_margin=pc_margin,
        observables=observables,
        missing=missing,
    )


def _matrix(column: Any, filler: float) -> tuple[Any, NDArray[np.int64], BoolArray]:
    """Lists as rows of a matrix, their lengths, and which are absent; shorter ones are filled up."""
    array = column.combine_chunks()
    flat = array.flatten().to_numpy(zero_copy_only=False)
    absent = np.asarray(array.is_null().to_numpy(zero_copy_only=False))
    lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    width = max(1, int(lengths.max(initial=0)))
    if (lengths == width).all():
        return flat.reshape(len(lengths), width), lengths, absent
    matrix = np.full((len(lengths), width), filler, dtype=flat.dtype)
    matrix[np.arange(width) < lengths[:, None]] = flat
    return matrix, lengths, absent


def _whole(column: Any) -> NDArray[np.int64]:
    values: NDArray[np.int64] = column.combine_chunks().fill_null(-1).to_numpy(zero_copy_only=False)
    return values.astype(np.int64)
