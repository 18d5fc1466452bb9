"""What every page is made with: the templates, tables as data, marks of verdicts, and writing a file whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from properties.verdict import (
    CONFIRMED,
    CONSISTENT,
    EVIDENCE_AGAINST,
    FALSIFIED,
    INCONCLUSIVE,
    VACUOUS_VERDICT,
    Verdict,
)
from reports.drawing import Figure
from reports.live import FigureStore, payload

#: In the order in which a reader wants to meet them, with the mark that stands beside the word.
VERDICTS = {
    FALSIFIED: "✗",
    EVIDENCE_AGAINST: "!",
    INCONCLUSIVE: "?",
    VACUOUS_VERDICT: "∅",
    CONSISTENT: "≈",
    CONFIRMED: "✓",
}


class ReportError(OSError):
    """The report cannot be written; the message names the path and what to do."""


@dataclass(frozen=True)
class Mark:
    """A verdict as the page shows it: its word, the mark beside it and its CSS class."""

    name: str
    sign: str
    css: str

    @classmethod
    def of(cls, name: str) -> Mark:
        """The mark of a verdict's name."""
        return cls(name, VERDICTS[name], name.replace(" ", "-"))

    @property
    def order(self) -> int:
        """Its place among the verdicts, as tables are sorted."""
        return list(VERDICTS).index(self.name)


@dataclass(frozen=True)
class Table:
    """A table: its caption, column heads and rows; the first cell of a row is its heading.

    ``words`` names the columns beyond the first that hold words; all others hold numbers and are set to the right.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Mark, ...], ...]
    words: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Link:
    """One theorem in a list: where its section is, and what was seen."""

    id: str
    label: str
    title: str
    mark: Mark
    measured: str
    kind: str

    @classmethod
    def to(cls, verdict: Verdict) -> Link:
        """The link to a verdict's section."""
        theorem = verdict.theorem
        measured = verdict.evidence.measured
        return cls(theorem.id, theorem.label, theorem.title, Mark.of(verdict.name), measured, theorem.kind)


@dataclass(frozen=True)
class Drawing:
    """A figure ready for the template: what the page draws it from (None: no drawing), and its description."""

    payload: str | None
    alt: str

    @classmethod
    def of(cls, figure: Figure) -> Drawing:
        """The drawing of a figure that was made here."""
        return cls(payload(figure), figure.alt)


def environment() -> Environment:
    """The templates of one page: everything is escaped, an unknown name is an error."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["figures"] = FigureStore()
    return templates


def package_list(versions: Mapping[str, str]) -> str:
    """Names and versions in one line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def write_page(path: Path, page: str) -> None:
    """Write a page completely or not at all; parent directories are created.

    Raises
    ------
    ReportError
        If the file cannot be written.
    """
    partial = path.parent / f".ratecheck-{secrets.token_hex(8)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(partial, "xb") as file:
                file.write(page.encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ReportError(
            f"{path}: the report cannot be written ({reason}); free space there or choose another path"
        ) from error
