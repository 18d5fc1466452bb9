"""Counterexamples on disk: written whole or not at all, read without trust."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bounds import ATTENTION, System, Theorem
from models.dataset import InvalidDataset
from models.instance import InvalidRun
from properties.certify import Finding, examine, refute_limit
from properties.systems import tools
from properties.verdict import Counterexample

SCHEMA = "ratecheck/counterexample/1"
_LONGEST = 100_000_000  # bytes of a file that is read at all


class StoreError(ValueError):
    """A stored file cannot be read or written; the message names it and the fix."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A counterexample as read back: the instance to replay, and what was claimed of it."""

    theorem: str
    fingerprint: str
    statement: str
    instance: Any
    step: int
    onset: int | None
    system: str = ATTENTION.name


def save(counterexample: Counterexample, directory: Path, versions: Mapping[str, str]) -> Path:
    """Write ``<theorem>-<instance id>.json`` and return its path.

    Raises
    ------
    StoreError
        If the file cannot be written (no permission, full disk).
    """
    c = counterexample
    data = {
        "schema": SCHEMA,
        "theorem": {
            "id": c.theorem.id,
            "fingerprint": c.theorem.fingerprint,
            "statement": c.theorem.statement,
        },
        **c.to_json(),
        "versions": dict(versions),
    }
    path = path_of(c, directory)
    write_atomically(path, json.dumps(data, indent=1) + "\n")
    return path


def path_of(counterexample: Counterexample, directory: Path) -> Path:
    """The file that `save` writes."""
    return directory / f"{counterexample.theorem.id}-{counterexample.instance.id}.json"


def load(path: Path) -> Stored:
    """Read a counterexample.

    Raises
    ------
    StoreError
        If the file is missing, damaged, or not a counterexample.
    """
    data = _read(path, "`ratecheck verify` names the ones it writes")
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise StoreError(f"{path}: not a counterexample of schema {SCHEMA}")
    with _damage_named(path):
        theorem = data["theorem"]
        return Stored(
            theorem=_text(theorem, "id"),
            fingerprint=_text(theorem, "fingerprint"),
            statement=_text(theorem, "statement"),
            instance=_instance(data["instance"]),
            step=_step(data["step"]),
            onset=None if data["onset"] is None else _step(data["onset"]),
            system=_system(data["instance"]),
        )


def load_instance(path: Path, theorem: Theorem) -> Any:
    """The instance in a file: a counterexample, a corpus entry, or an instance's own JSON object.

    Raises
    ------
    StoreError
        If the file is missing or damaged, holds no instance, or one of another system than the theorem's.
    """
    data = _read(path, "give a counterexample, a corpus entry or an instance")
    data = data.get("instance", data) if isinstance(data, dict) else data
    if not isinstance(data, dict) or not {"dataset", "run"} <= data.keys():
        raise StoreError(f"{path}: holds no instance, an object with dataset and run")
    with _damage_named(path):
        instance = _instance(data)
    _same_system(path, _system(data), theorem)
    return instance


def rejudge(stored: Stored, theorem: Theorem) -> Finding:
    """Judge the theorem anew, in ball arithmetic, on nothing but the stored instance and step.

    Raises
    ------
    StoreError
        If the theorem has become one about another system, or of a kind that no single run refutes.
    """
    _same_system(None, stored.system, theorem)
    if theorem.kind not in ("pointwise", "limit"):
        raise StoreError(f"{theorem.id} is a claim of the kind {theorem.kind} now: no single run refutes it")
    geometry = tools(theorem.system).geometry(stored.instance)
    if theorem.kind == "limit":
        return refute_limit(theorem, stored.instance, geometry)
    [finding] = examine(theorem, stored.instance, geometry, [stored.step], stored.onset)
    return finding


def _read(path: Path, hint: str) -> Any:
    try:
        if path.stat().st_size > _LONGEST:
            raise StoreError(f"{path}: larger than {_LONGEST // 10**6} MB, which no stored instance is")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; {hint}") from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{path}: cannot be read ({type(error).__name__}); restore the file") from None
    except json.JSONDecodeError as error:
        raise StoreError(f"{path}: damaged at line {error.lineno} ({error.msg}); restore the file") from None
    except ValueError as error:  # a number of more digits than Python reads
        raise StoreError(f"{path}: damaged ({error}); restore the file") from None


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (InvalidDataset, InvalidRun) as error:
        raise StoreError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise StoreError(f"{path}: damaged ({_one_line(error)}); restore the file") from None


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _same_system(path: Path | None, system: str, theorem: Theorem) -> None:
    if system != theorem.system.name:
        where = "" if path is None else f"{path}: "
        raise StoreError(
            f"{where}an instance of the system {system!r}, but {theorem.id} is about {theorem.system.name!r}"
        )


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a crash or a full disk leaves the old one or none.

    Raises
    ------
    StoreError
        Naming the path and what went wrong.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise StoreError(
            f"{path}: cannot be written ({error.strerror}); free space or choose another path"
        ) from None


def _system(data: Any) -> str:
    """The system that an instance's object names (attention, where it names none)."""
    name = data.get("system", ATTENTION.name) if isinstance(data, dict) else ATTENTION.name
    if not isinstance(name, str):
        raise ValueError("the system is not text")
    return name


def _instance(data: Any) -> Any:
    name = _system(data)
    try:
        return tools(System(name, "")).instance(data)
    except KeyError:
        raise ValueError(f"unknown system {name!r}") from None


def _text(data: Any, key: str) -> str:
    value = data[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is not text")
    return value


def _step(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a step")
    return value
