"""What a campaign's store says: which batches are whole, and what their runs say of each theorem."""

from __future__ import annotations

import heapq
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bounds import Theorem
from models.trajectory import RECORD_LIMIT
from properties.campaign import Batch
from properties.certify import TIGHT
from properties.conviction import consider
from properties.evidence import evidence_for
from properties.judge import NOT_APPLICABLE, UNDECIDED, VIOLATED, judge
from properties.run_columns import NUMBERS, WORDS
from properties.runs import SCHEMA
from properties.store import StoreError
from properties.systems import tools
from properties.verdict import PointwiseEvidence

_COLUMNS = ["id", "family", *(f"judged.{name}" for name in (*WORDS, *NUMBERS, "log_ratio"))]
#: Runs looked at again: the hardest ones, and of a claim that broke those that broke it.
_HARDEST, _BROKEN = 3, 5
#: Runs that balls left open which are kept one by one.
_OPEN = 20


def intact(batch: Batch) -> bool:
    """Whether a batch's file is there, whole, and of this campaign; every page is read against its checksum.

    Raises
    ------
    StoreError
        If there is a file that is damaged or of another campaign; it has been set aside, under the name that the
        message tells.
    """
    if not batch.path.exists():
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(batch.path, page_checksum_verification=True)
        said = {key.decode(): value.decode() for key, value in (file.schema_arrow.metadata or {}).items()}
        if said.get("schema") != SCHEMA or any(said.get(key) != value for key, value in batch.said.items()):
            raise ValueError("not a batch of this campaign")
        file.read(use_threads=False)
        return True
    except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError) as error:
        words = " ".join(str(error).split())[:120]
        aside = batch.path.with_name(batch.path.name + ".damaged")
        batch.path.replace(aside)
        raise StoreError(f"{batch.path}: damaged ({words}); set aside as {aside.name}, and made again") from None


@dataclass
class _Found:
    """Runs of one theorem that are to be looked at again: entries of (log ratio, −place, file, row)."""

    hardest: list[tuple[float, int, Path, int]] = field(default_factory=list)
    broken: list[tuple[Path, int]] = field(default_factory=list)
    open: list[tuple[Path, int, int]] = field(default_factory=list)


def gather(batches: Iterable[Batch], theorems: Sequence[Theorem]) -> dict[str, PointwiseEvidence]:
    """Add up what the stored runs say of each theorem, every instance counted once.

    The hardest runs and those that broke a claim are trained again, judged, and convicted in balls: what is
    stored convicts nobody.
    """
    bodies: dict[str, PointwiseEvidence] = {}
    for theorem in theorems:
        body = evidence_for(theorem)
        assert isinstance(body, PointwiseEvidence)
        bodies[theorem.id] = body
    found: dict[str, _Found] = defaultdict(_Found)
    runs: dict[str, int] = defaultdict(int)
    seen: set[int] = set()
    place = 0
    for batch in batches:
        for id, rows, judged in _judgements(batch.path, seen, runs, batch.system):
            if id in bodies:
                place += 1
                _add(bodies[id], found[id], batch.path, place, rows, judged)
    for id, body in bodies.items():
        body.instances = runs[body.theorem.system.name]
        body.outcomes[NOT_APPLICABLE] = body.instances - sum(body.outcomes.values())
        _look_again(body, found[id])
    return bodies


def _judgements(
    path: Path, seen: set[int], runs: dict[str, int], system: str
) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """For each theorem judged in a file: the rows of runs not seen before, and what is said there."""
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path, page_checksum_verification=True).read(_COLUMNS, use_threads=False)
    ids = [int(id, 16) for id in table["id"].to_pylist()]
    fresh = np.array([id not in seen for id in ids], dtype=np.bool_)
    seen.update(ids)
    runs[system] += int(fresh.sum())
    lists = table["judged.theorem"].combine_chunks()
    row = np.repeat(np.arange(len(ids)), lists.value_lengths().to_numpy())
    columns = {
        name: table[f"judged.{name}"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        for name in (*WORDS, *NUMBERS, "log_ratio")
    }
    columns["family"] = np.array(table["family"].to_pylist(), dtype=object)[row]
    chosen = fresh[row]
    names, inverse = np.unique(columns["theorem"][chosen].astype(str), return_inverse=True)
    for k, name in enumerate(names.tolist()):
        mine = np.flatnonzero(chosen)[inverse == k]
        yield name, row[mine], {column: values[mine] for column, values in columns.items()}


def _add(
    body: PointwiseEvidence, found: _Found, path: Path, place: int, rows: Any, judged: dict[str, Any]
) -> None:
    for attribute, column in (("outcomes", "outcome"), ("sources", "family")):
        names, counts = np.unique(judged[column].astype(str), return_counts=True)
        for name, count in zip(names.tolist(), counts.tolist(), strict=True):
            getattr(body, attribute)[name] += count
    body.steps += int(judged["steps"].sum())
    body.informative += int(judged["informative"].sum())
    body.within_budget += int(judged["undecided"].sum())
    body.last_step = max(body.last_step, int(judged["last_step"].max()))
    certified = judged["certified"].astype(str)
    body.tight += int((certified == TIGHT).sum())
    body.certified += int(((certified != "") & (certified != UNDECIDED)).sum())
    ratios = judged["log_ratio"]
    for k in np.argsort(-ratios, kind="stable")[:_HARDEST].tolist():
        heapq.heappush(found.hardest, (float(ratios[k]), -place, path, int(rows[k])))
        if len(found.hardest) > _HARDEST:
            heapq.heappop(found.hardest)
    for k in np.flatnonzero(certified == VIOLATED)[: _BROKEN - len(found.broken)].tolist():
        found.broken.append((path, int(rows[k])))
    for k in np.flatnonzero(judged["outcome"].astype(str) == UNDECIDED)[: _OPEN - len(found.open)].tolist():
        found.open.append((path, int(rows[k]), int(judged["worst_step"][k])))


def _look_again(body: PointwiseEvidence, found: _Found) -> None:
    system = tools(body.theorem.system)
    for path, row, step in found.open:
        body.suspected.append((_instance(path, row, system.instance), step))
    for path, row in found.broken:
        if body.counterexample is None:
            body.counterexample = _again(body, path, row).counterexample
    for _, _, path, row in sorted(found.hardest, reverse=True):
        body.hardest += _again(body, path, row).hardest
    body.runs = list(body.hardest)


def _again(body: PointwiseEvidence, path: Path, row: int) -> PointwiseEvidence:
    """Train and judge a stored run again, as evidence of its own."""
    system = tools(body.theorem.system)
    instance, family = _instance(path, row, system.instance), str(_cell(path, row, "family"))
    measurement = system.measure(instance, system.geometry(instance), RECORD_LIMIT)
    trial = evidence_for(body.theorem)
    assert isinstance(trial, PointwiseEvidence)
    judgement = judge(body.theorem, measurement)
    if judgement.outcome == VIOLATED:
        consider(trial, measurement, family)
    else:
        trial.add(family, instance, judgement, [])
    return trial


def _instance(path: Path, row: int, read: Any) -> Any:
    try:
        return read(json.loads(_cell(path, row, "instance")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StoreError(f"{path}: run {row} has a damaged instance ({type(error).__name__}); remove it") from None


def _cell(path: Path, row: int, column: str) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path).read([column], use_threads=False)[column][row].as_py()
