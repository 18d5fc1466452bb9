"""Counterexamples on disk: written whole or not at all, read without trust."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
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
        "instance": c.instance.to_json(),
        "step": c.step,
        "onset": c.onset,
        "claimed_smaller_side": c.small,
        "claimed_larger_side": c.large,
        "precision_bits": c.precision,
        "versions": dict(versions),
    }
    path = directory / f"{c.theorem.id}-{c.instance.id}.json"
    write_atomically(path, json.dumps(data, indent=1) + "\n")
    return path


def load(path: Path) -> Stored:
    """Read a counterexample.

    Raises
    ------
    StoreError
        If the file is missing, damaged, or not a counterexample.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; `ratecheck verify` names the ones it writes") from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{path}: cannot be read ({type(error).__name__}); restore the file") from None
    except json.JSONDecodeError as error:
        raise StoreError(f"{path}: damaged at line {error.lineno} ({error.msg}); restore the file") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise StoreError(f"{path}: not a counterexample of schema {SCHEMA}")
    try:
        theorem = data["theorem"]
        return Stored(
            theorem=_text(theorem, "id"),
            fingerprint=_text(theorem, "fingerprint"),
            statement=_text(theorem, "statement"),
            instance=_instance(data["instance"]),
            step=_step(data["step"]),
            onset=None if data["onset"] is None else _step(data["onset"]),
        )
    except (InvalidDataset, InvalidRun) as error:
        raise StoreError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: damaged ({error!r}); restore the file") from None


def rejudge(stored: Stored, theorem: Theorem) -> Finding:
    """Judge the theorem anew, in ball arithmetic, on nothing but the stored instance and step."""
    geometry = tools(theorem.system).geometry(stored.instance)
    if theorem.kind == "limit":
        return refute_limit(theorem, stored.instance, geometry)
    [finding] = examine(theorem, stored.instance, geometry, [stored.step], stored.onset)
    return finding


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


def _instance(data: Any) -> Any:
    """An instance of the system that its object names (attention, where it names none)."""
    name = data.get("system", ATTENTION.name) if isinstance(data, dict) else ATTENTION.name
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
