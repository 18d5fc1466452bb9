"""Results of ``verify`` as they are read back: checked by hand, nothing in them is evaluated or trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from properties.store import StoreError
from reports.page import VERDICTS
from reports.summary import SCHEMA

_LARGEST = 50_000_000  # bytes of a file that is read at all
_LONGEST = 100_000  # characters of any text in it


@dataclass(frozen=True)
class StoredTheorem:
    """What a result says of one theorem; ``statement`` is empty in results that do not carry it."""

    id: str
    label: str
    title: str
    statement: str
    fingerprint: str
    kind: str
    verdict: str
    sentence: str
    applicable: int
    certified: int
    worst_ratio: float | None
    informative_share: float | None


@dataclass(frozen=True)
class StoredResult:
    """A result of ``verify``: its theorems by id, and how it came about."""

    name: str
    theorems: dict[str, StoredTheorem]
    seed: int
    profile: str
    date: str
    version: str


def read_result(path: Path) -> StoredResult:
    """Read what ``ratecheck verify --json`` has written.

    Raises
    ------
    StoreError
        If the file is missing, too large, damaged, or something else; the message names the place and the fix.
    """
    data = _parsed(path)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise StoreError(f"{path}: not a result of schema {SCHEMA}; `ratecheck verify --json FILE` writes one")
    provenance, versions = _object(data, "provenance", path), _object(data, "versions", path)
    entries = data.get("theorems")
    if not isinstance(entries, list):
        raise _damaged(path, "theorems is no list")
    theorems: dict[str, StoredTheorem] = {}
    for number, entry in enumerate(entries, 1):
        theorem = _theorem(entry, f"theorem {number}", path)
        if theorem.id in theorems:
            raise _damaged(path, f"{theorem.id!r} stands there twice")
        theorems[theorem.id] = theorem
    return StoredResult(
        name=path.name,
        theorems=theorems,
        seed=_whole(data, "seed", path),
        profile=_text(provenance, "profile", path, ""),
        date=_text(provenance, "date", path, ""),
        version=_text(versions, "ratecheck", path, ""),
    )


def _parsed(path: Path) -> Any:
    def no_number(name: str) -> None:
        raise ValueError(f"{name} is no number of JSON")

    try:
        if path.stat().st_size > _LARGEST:
            raise StoreError(f"{path}: larger than {_LARGEST // 10**6} MB, which no result is")
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=no_number)
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; `ratecheck verify --json FILE` writes one") from None
    except json.JSONDecodeError as error:
        raise _damaged(path, f"line {error.lineno}: {error.msg}") from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{path}: cannot be read ({type(error).__name__}); restore the file") from None
    except StoreError:
        raise
    except ValueError as error:
        raise _damaged(path, str(error)) from None


def _theorem(entry: Any, where: str, path: Path) -> StoredTheorem:
    if not isinstance(entry, dict):
        raise _damaged(path, f"{where} is no object")

    def get(read: Callable[..., Any], key: str, *default: Any) -> Any:
        return read(entry, key, path, *default, where=where)

    verdict = get(_text, "verdict")
    if verdict not in VERDICTS:
        raise _damaged(path, f"{where}: {verdict[:40]!r} is no verdict")
    id = get(_text, "id")
    return StoredTheorem(
        id=id,
        label=get(_text, "label", ""),
        title=get(_text, "title", id),
        statement=get(_text, "statement", ""),
        fingerprint=get(_text, "fingerprint"),
        kind=get(_text, "kind"),
        verdict=verdict,
        sentence=get(_text, "sentence"),
        applicable=get(_whole, "applicable"),
        certified=get(_whole, "certified"),
        worst_ratio=get(_number, "worst_ratio"),
        informative_share=get(_number, "informative_share"),
    )


def _object(data: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise _damaged(path, f"{key} is no object")
    return value


def _text(data: dict[str, Any], key: str, path: Path, default: str | None = None, where: str = "") -> str:
    value = data.get(key, default)
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise _damaged(path, f"{where}: {key} is no text".removeprefix(": "))
    return value


def _whole(data: dict[str, Any], key: str, path: Path, where: str = "") -> int:
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _damaged(path, f"{where}: {key} is no count".removeprefix(": "))
    return value


def _number(data: dict[str, Any], key: str, path: Path, where: str = "") -> float | None:
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _damaged(path, f"{where}: {key} is no number".removeprefix(": "))
    return float(value)


def _damaged(path: Path, what: str) -> StoreError:
    words = " ".join(what.split())[:200]
    return StoreError(
        f"{path}: damaged ({words}); restore the file or write it anew with `ratecheck verify --json`"
    )
