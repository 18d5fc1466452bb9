"""Runs as columns of a table: what is kept of each, and how its observables are laid out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bounds import NOTATION
from models.dataset import Array
from models.trajectory import Trajectory
from properties.balls import BallArray
from properties.judge import Judgement
from properties.measured import Measured
from properties.observables import Undefined
from properties.reading import Reading, read

PARTS = ("mid", "rad", "exp2")
#: What is kept of a judgement: words, and numbers besides its ratio.
WORDS = ("theorem", "outcome", "certified")
NUMBERS = ("steps", "informative", "violated", "undecided", "worst_step", "last_step")
#: Bits that are kept of a radius, which is rounded up: what it costs is nothing, what it saves is space.
_RADIUS_BITS = 8


@dataclass(frozen=True, eq=False)
class Judged:
    """One judgement on a run that a theorem speaks about.

    Attributes
    ----------
    theorem : str
        Its id.
    outcome : str
        As for `Judgement`, after its suspects have been examined.
    certified : str
        What balls said of its suspects: ``holds``, ``tight``, ``undecided``, ``violated``; empty if none was
        suspected, or none examined.
    """

    theorem: str
    outcome: str
    certified: str
    judgement: Judgement


@dataclass(frozen=True, eq=False)
class KeptRun:
    """What is stored of a run; make it with `of`, which keeps nothing of the run's arrays but the chosen steps.

    Attributes
    ----------
    id, family, instance, status : str
        ``instance`` is the JSON text.
    onset, decoder_onset : int or None
        t0 and t1.
    hypotheses : mapping
        Fixed hypotheses (of data and configuration) that were decided, by their canonical texts.
    t : array of int
        The steps kept.
    pc_margin : array or None
    observables : mapping
        Whatever the run has of `NOTATION`, at those steps.
    judged : sequence of Judged
    """

    id: str
    family: str
    instance: str
    status: str
    onset: int | None
    decoder_onset: int | None
    hypotheses: Mapping[str, bool]
    t: NDArray[np.int64]
    pc_margin: Array | None
    observables: Mapping[str, Reading | BallArray]
    judged: Sequence[Judged] = field(default=())

    @classmethod
    def of(
        cls,
        family: str,
        measurement: Measured,
        hypotheses: Mapping[str, bool],
        rows: NDArray[np.intp] | None = None,
        judged: Sequence[Judged] = (),
    ) -> KeptRun:
        """Keep the recorded steps ``rows`` of a run, or all."""
        trajectory, instance = measurement.trajectory, measurement.instance
        chosen = np.arange(len(trajectory)) if rows is None else rows
        return cls(
            instance.id,
            family,
            json.dumps(instance.to_json()),
            trajectory.status,
            trajectory.onset,
            getattr(trajectory, "decoder_onset", None),
            hypotheses,
            trajectory.t[chosen],
            _pc_margin(trajectory, chosen),
            dict(_observables(measurement, chosen)),
            judged,
        )


def _pc_margin(trajectory: Trajectory, rows: NDArray[np.intp]) -> Array | None:
    try:
        return np.asarray(trajectory.column("pc_margin")[rows])
    except ValueError:  # a system that knows of no positive coefficients
        return None


def _observables(measurement: Measured, rows: NDArray[np.intp]) -> Iterator[tuple[str, Reading | BallArray]]:
    steps = len(measurement.trajectory)
    for name in NOTATION:
        try:
            found = read(measurement, name)
        except Undefined:
            continue
        if _size(found) == 1 and (steps > 1 or NOTATION[name].level != "step"):
            yield name, found
        elif isinstance(found, Reading):
            yield name, found.at(rows)
        else:
            yield name, BallArray(found.mid[rows], found.rad[rows], found.exp2[rows])


def _size(read: Reading | BallArray) -> int:
    return int(np.size(read.values if isinstance(read, Reading) else read.mid))


def columns(runs: Sequence[KeptRun]) -> dict[str, Any]:
    """The table's columns as Arrow arrays, one row a run."""
    import pyarrow as pa

    texts = pa.list_(pa.string())
    table: dict[str, Any] = {
        name: pa.array([getattr(run, name) for run in runs], pa.string())
        for name in ("id", "family", "instance", "status")
    }
    table |= {
        name: pa.array([getattr(run, name) for run in runs], pa.int64()) for name in ("onset", "decoder_onset")
    }
    table["holds"] = pa.array([[x for x, held in run.hypotheses.items() if held] for run in runs], texts)
    table["fails"] = pa.array([[x for x, held in run.hypotheses.items() if not held] for run in runs], texts)
    table["t"] = _lists([run.t for run in runs], np.dtype(np.int64))
    table["pc_margin"] = _lists([run.pc_margin for run in runs], np.dtype(np.float64))
    for name in NOTATION:
        found = [run.observables.get(name) for run in runs]
        present = [read for read in found if read is not None]
        if present:
            balls, lengths = _balls(present), [None if read is None else _size(read) for read in found]
            parts = (balls.mid, _rounded_up(balls.rad), balls.exp2)
            table |= {f"{name}.{part}": _split(x, lengths) for part, x in zip(PARTS, parts, strict=True)}
    return table | _judgements(runs)


def _balls(reads: Sequence[Reading | BallArray]) -> BallArray:
    """All of them, one after the other, as balls: at once where they are readings of one kind."""
    readings = [read for read in reads if isinstance(read, Reading)]
    if len(readings) == len(reads) and len({read.logarithmic for read in readings}) == 1:
        values = np.concatenate([np.ravel(read.values) for read in readings])
        errors = [np.ravel(np.broadcast_to(read.error, np.shape(read.values))) for read in readings]
        return Reading(values, np.concatenate(errors), readings[0].logarithmic).balls()
    balls = [read.balls() if isinstance(read, Reading) else read for read in reads]
    return BallArray(*(np.concatenate([np.ravel(getattr(x, part)) for x in balls]) for part in PARTS))


def _rounded_up(radii: Array) -> Array:
    with np.errstate(invalid="ignore"):
        mantissa, exponent = np.frexp(radii)
        return np.asarray(np.ldexp(np.ceil(mantissa * 2.0**_RADIUS_BITS), exponent - _RADIUS_BITS))


def _lists(arrays: Sequence[Any], kind: np.dtype[Any]) -> Any:
    """Arrays, some of them absent, as an Arrow array of lists."""
    values = np.concatenate([np.zeros(0, dtype=kind), *[array for array in arrays if array is not None]])
    return _split(values, [None if array is None else array.size for array in arrays])


def _split(values: Any, lengths: Sequence[int | None]) -> Any:
    import pyarrow as pa

    offsets = np.concatenate([[0], np.cumsum([length or 0 for length in lengths])]).astype(np.int32)
    absent = np.array([length is None for length in lengths], dtype=np.bool_)
    mask = pa.array(absent) if absent.any() else None
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(values)), mask=mask)


def _judgements(runs: Sequence[KeptRun]) -> dict[str, Any]:
    import pyarrow as pa

    lengths = [len(run.judged) for run in runs]
    every = [one for run in runs for one in run.judged]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))

    def lists(values: Sequence[Any], kind: Any) -> Any:
        return pa.ListArray.from_arrays(offsets, pa.array(values, kind))

    table = {f"judged.{name}": lists([getattr(one, name) for one in every], pa.string()) for name in WORDS}
    for name in NUMBERS:
        table[f"judged.{name}"] = lists([getattr(one.judgement, name) for one in every], pa.int64())
    ratios = [one.judgement.worst_log_ratio for one in every]
    table["judged.log_ratio"] = lists(ratios, pa.float64())
    return table
