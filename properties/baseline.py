"""The baseline: what each theorem stated when it was last locked, and what a trial said of it, as readable data.

`bounds.lock.json` is committed and read in diffs: sorted, one block a theorem, without dates or timings, numbers
rounded so that the same trial gives the same text on another machine.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bounds import Theorem
from bounds.parser import Unreadable
from bounds.stored import parse_theorem, write_theorem
from properties.store import StoreError, write_atomically
from properties.trial import Profile
from properties.verdict import Case, Evidence, PointwiseEvidence

SCHEMA = "ratecheck/lock/1"
NAME = "bounds.lock.json"
#: Significant digits of ratios, and hardest instances named of each theorem.
DIGITS, HARDEST = 4, 3
_INFINITE = 300.0  # log10 of a ratio that is reported as none
_LONGEST = 20_000_000  # bytes of a file that is read at all
_FIX = "restore it, or write it anew with `ratecheck lock --all`"


@dataclass(frozen=True)
class Settings:
    """The trial behind every verdict of a lock: a profile's numbers and the seed."""

    examples: int
    steps: int
    long_examples: int
    long_steps: int
    seed: int

    @classmethod
    def of(cls, profile: Profile, seed: int) -> Settings:
        """The settings of one trial."""
        return cls(profile.examples, profile.steps, profile.long_examples, profile.long_steps, seed)

    @property
    def profile(self) -> Profile:
        """How much is tried."""
        return Profile(self.examples, self.steps, self.long_examples, self.long_steps)


@dataclass(frozen=True)
class Hard:
    """One of the instances that came nearest to breaking a theorem, by its content id.

    The step is left out: where a ratio is attained at many steps, the last bits of a float decide between them.
    """

    id: str
    family: str
    tokens: str
    ratio: float


@dataclass(frozen=True)
class Result:
    """What a trial said of a theorem.

    Attributes
    ----------
    verdict : str
    instances, last_step : int
        The scope: instances that the theorem applies to, and the last step judged.
    ratio, informative : float or None
        Of an inequality: the largest ratio of its sides, and the share of steps on which it says something.
    measured : str
        Of the other kinds: what was measured, in a few characters.
    hardest : tuple of Hard
    """

    verdict: str
    instances: int
    last_step: int
    ratio: float | None
    informative: float | None
    measured: str
    hardest: tuple[Hard, ...] = ()

    @classmethod
    def of(cls, body: Evidence) -> Result:
        """The result of a body of evidence, rounded."""
        if not isinstance(body, PointwiseEvidence):
            return cls(body.verdict, body.applicable, body.last_step, None, None, body.measured)
        return cls(
            verdict=body.verdict,
            instances=body.applicable,
            last_step=body.last_step,
            ratio=rounded(body.worst_ratio),
            informative=rounded(body.informative_share, 2),
            measured="",
            hardest=_hardest(body.cases),
        )


def _hardest(cases: Sequence[Case]) -> tuple[Hard, ...]:
    """The hardest distinct instances by their rounded ratios, the smaller one where these are equal."""
    distinct: dict[str, Hard] = {}
    for case in cases:
        ratio = rounded(10.0**case.log_ratio) if case.log_ratio < _INFINITE else None
        if ratio:
            hard = Hard(case.instance, case.source, f"{case.n}×{case.T}×{case.d}", ratio)
            distinct.setdefault(case.instance, hard)
    return tuple(
        sorted(distinct.values(), key=lambda hard: (-hard.ratio, len(hard.tokens), hard.tokens, hard.id))
    )[:HARDEST]


def rounded(value: float | None, digits: int = DIGITS) -> float | None:
    """A number to a few significant digits; None where there is no finite one."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")


@dataclass(frozen=True, eq=False)
class Entry:
    """One theorem of a lock: its statement as it was, and the result."""

    theorem: Theorem
    result: Result

    def to_json(self) -> dict[str, Any]:
        """The theorem's block."""
        return {**write_theorem(self.theorem), "result": asdict(self.result)}


@dataclass(frozen=True, eq=False)
class Lock:
    """The baseline: settings of the trial, and an entry for each theorem by its id."""

    settings: Settings
    entries: Mapping[str, Entry]

    def text(self) -> str:
        """The file's text, the same for the same content."""
        data = {
            "schema": SCHEMA,
            "settings": asdict(self.settings),
            "theorems": {id: entry.to_json() for id, entry in self.entries.items()},
        }
        return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises
        ------
        StoreError
            If it cannot be written, or if a statement's text would not be read back as the same statement.
        """
        text = self.text()
        parse_lock(text, f"the new {path.name}")
        write_atomically(path, text)


def read_lock(path: Path) -> Lock:
    """Read a lock.

    Raises
    ------
    StoreError
        If it is missing, damaged, or not a lock; the message names the fix.
    """
    try:
        if path.stat().st_size > _LONGEST:
            raise StoreError(f"{path}: larger than {_LONGEST // 10**6} MB, which no lock is; {_FIX}")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StoreError(f"{path}: no such file; write the baseline with `ratecheck lock`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: cannot be read ({type(error).__name__}); {_FIX}") from None
    return parse_lock(text, str(path))


def parse_lock(text: str, where: str) -> Lock:
    """A lock from its text; ``where`` names it in messages.  Raises `StoreError`."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise StoreError(f"{where}: damaged at line {error.lineno} ({error.msg}); {_FIX}") from None
    except (RecursionError, ValueError) as error:  # a number of more digits than Python reads
        raise StoreError(f"{where}: damaged ({type(error).__name__}); {_FIX}") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else None
        raise StoreError(f"{where}: not a lock of schema {SCHEMA} but {found!r:.40}; {_FIX}")
    try:
        settings = _settings(data["settings"])
        entries = {
            id: Entry(parse_theorem(id, block), _result(block["result"])) for id, block in data["theorems"].items()
        }
    except Unreadable as error:
        raise StoreError(f"{where}: {error}; {_FIX}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise StoreError(f"{where}: damaged ({error!r:.150}); {_FIX}") from None
    return Lock(settings, entries)


def _settings(data: Any) -> Settings:
    return Settings(**{field.name: _natural(data[field.name]) for field in fields(Settings)})


def _result(data: Any) -> Result:
    return Result(
        verdict=_text(data["verdict"]),
        instances=_natural(data["instances"]),
        last_step=_natural(data["last_step"]),
        ratio=_number(data["ratio"]),
        informative=_number(data["informative"]),
        measured=_text(data["measured"]),
        hardest=tuple(
            Hard(_text(x["id"]), _text(x["family"]), _text(x["tokens"]), _number(x["ratio"]) or 0.0)
            for x in data["hardest"]
        ),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is not text")
    return value


def _natural(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r:.40} is not a whole number from 0 on")
    return value


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r:.40} is not a finite number")
    return float(value)
