"""The corpus: the hardest instances known for each theorem, one file each, to be judged again whenever it changes.

Files are read without trust: one that is damaged is named and passed over, and stays where it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bounds import ATTENTION, Theorem
from models.dataset import InvalidDataset
from models.instance import InvalidRun
from models.trajectory import RECORD_LIMIT
from properties.store import StoreError, write_atomically
from properties.systems import tools
from properties.trial import weigh
from properties.verdict import Evidence

SCHEMA = "ratecheck/corpus/1"
#: Instances kept for each theorem.
KEPT = 20
SOURCE = "corpus"
_LONGEST = 10_000_000  # bytes of a file that is read at all


@dataclass(frozen=True, eq=False)
class Entry:
    """One hard instance.

    Attributes
    ----------
    instance
        Dataset and run.
    hardness : float
        What the hunt made large (log10 of a ratio, or an exponent) when it was stored.
    step : int
        The step where it is attained.
    objective : str
        What that was, in words (`Target.objective`).
    fingerprint : str
        Of the claim as it was then: another claim has another hardness on the same instance.
    engine, seed
        What found it.
    path : Path or None
        Its file, if it has one.
    """

    instance: Any
    hardness: float
    step: int
    objective: str
    fingerprint: str
    engine: str
    seed: int
    path: Path | None = None

    def compares(self, theorem: Theorem, objective: str) -> bool:
        """Whether its hardness is that of the present claim, measured in this way."""
        return self.fingerprint == theorem.fingerprint and self.objective == objective


@dataclass(frozen=True, eq=False)
class Corpus:
    """What a folder holds for one theorem, the hardest instance first, and a line for every unreadable file."""

    entries: tuple[Entry, ...]
    damaged: tuple[str, ...]


def load(theorem: Theorem, folder: Path) -> Corpus:
    """Read a theorem's instances; a folder that does not exist is an empty corpus."""
    entries, damaged = [], []
    for path in sorted((folder / theorem.id).glob("*.json")):
        try:
            entries.append(read(theorem, path))
        except StoreError as error:
            damaged.append(str(error))
    return Corpus(tuple(sorted(entries, key=lambda entry: -entry.hardness)), tuple(damaged))


def read(theorem: Theorem, path: Path) -> Entry:
    """Read one file of a theorem's instances.  Raises `StoreError`, naming it and what is wrong."""
    try:
        if path.stat().st_size > _LONGEST:
            raise StoreError(f"{path}: larger than {_LONGEST} bytes, so not one of ratecheck's; passed over")
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise StoreError(f"{path}: not a corpus instance of schema {SCHEMA}; passed over")
        return Entry(
            instance=_instance(theorem, data["instance"]),
            hardness=_finite(data["hardness"]),
            step=_natural(data["step"]),
            objective=_text(data["objective"]),
            fingerprint=_text(data["theorem"]["fingerprint"]),
            engine=_text(data["engine"]),
            seed=_natural(data["seed"]),
            path=path,
        )
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); passed over") from None
    except (UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise StoreError(f"{path}: damaged ({type(error).__name__}); passed over") from None
    except (InvalidDataset, InvalidRun) as error:
        raise StoreError(f"{path}: {error}; passed over") from None
    except StoreError:
        raise
    except (AttributeError, KeyError, TypeError, OverflowError) as error:
        raise StoreError(f"{path}: damaged ({error!r}); passed over") from None
    except ValueError as error:
        raise StoreError(f"{path}: damaged ({error}); passed over") from None


def save(
    theorem: Theorem,
    objective: str,
    entries: Sequence[Entry],
    folder: Path,
    versions: Mapping[str, str],
    kept: int = KEPT,
) -> list[Entry]:
    """Merge instances into a theorem's corpus and keep the hardest by one objective.

    Instances stored for another form of the claim, or by another objective, are left alone: their hardness does
    not compare.

    Returns
    -------
    list of Entry
        The instances kept for the present claim and objective, with their files, the hardest first.

    Raises
    ------
    StoreError
        If a file cannot be written; those written before stay.
    ValueError
        If ``kept`` is not positive, or an instance's hardness is not that of the present claim.
    """
    if kept < 1:
        raise ValueError(f"kept = {kept}: keep at least one instance")
    if not all(entry.compares(theorem, objective) for entry in entries):
        raise ValueError(f"{theorem.id}: an instance was measured against another form of the claim, or otherwise")
    present = [entry for entry in load(theorem, folder).entries if entry.compares(theorem, objective)]
    best: dict[str, Entry] = {}
    for entry in sorted([*present, *entries], key=lambda entry: entry.hardness):
        best[entry.instance.id] = entry
    chosen = sorted(best.values(), key=lambda entry: -entry.hardness)[:kept]
    stored = []
    for entry in chosen:
        path = folder / theorem.id / f"{entry.instance.id}.json"
        if entry.path != path:
            write_atomically(path, json.dumps(_described(theorem, entry, versions), indent=1) + "\n")
        stored.append(replace(entry, path=path))
    for entry in present:  # only now: the new files are in place
        if entry.path is not None and entry.path not in {chosen.path for chosen in stored}:
            entry.path.unlink(missing_ok=True)
    return stored


def feed(body: Evidence, folder: Path, seed: int = 0) -> tuple[str, ...]:
    """Judge a theorem on its corpus, as if the trial had drawn these instances.

    Claims that are not about one run (probabilities, comparisons) have no corpus.

    Parameters
    ----------
    body : Evidence
        Evidence about the theorem, added to in place; the instances count as the family ``corpus``.

    Returns
    -------
    tuple of str
        A line for every file that was passed over.
    """
    theorem = body.theorem
    if theorem.kind in ("probability", "comparison"):
        return ()
    corpus = load(theorem, folder)
    system = tools(theorem.system)
    for entry in corpus.entries:
        geometry = system.geometry(entry.instance)

        def longer(steps: int, instance: Any = entry.instance, geometry: Any = geometry) -> Any:
            return system.measure(instance.with_run(steps=steps), geometry, RECORD_LIMIT)

        measurement = system.measure(entry.instance, geometry, RECORD_LIMIT)
        weigh(body, measurement, SOURCE, longer, seed)
    return corpus.damaged


def _described(theorem: Theorem, entry: Entry, versions: Mapping[str, str]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "theorem": {"id": theorem.id, "fingerprint": theorem.fingerprint, "statement": theorem.statement},
        "hardness": entry.hardness,
        "step": entry.step,
        "objective": entry.objective,
        "engine": entry.engine,
        "seed": entry.seed,
        "instance": entry.instance.to_json(),
        "versions": dict(versions),
    }


def _instance(theorem: Theorem, data: Any) -> Any:
    system = data.get("system", ATTENTION.name)
    if system != theorem.system.name:
        raise ValueError(f"an instance of the system {system!r}, not {theorem.system.name!r}")
    return tools(theorem.system).instance(data)


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)


def _natural(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a whole number from 0 on")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")
    return value
