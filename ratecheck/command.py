"""What every command shares: the application, exit codes, common options, and how results leave it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bounds import Theorem
from bounds.catalogue import THEOREMS, load_file, select

OK, IS_FALSIFIED, BAD_INPUT, NOT_SETTLED, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 4, 130

app = typer.Typer(
    help="Puts convergence-rate theorems on trial.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

File = Annotated[Path | None, typer.Option("--file", help="Python file with your own theorems.")]
Json = Annotated[
    str | None, typer.Option("--json", help="Write the result as JSON to this path; - is standard output.")
]
Ids = Annotated[
    list[str] | None,
    typer.Argument(help="Theorem ids, their beginnings (attention.ngd) or labels (N2); all if none is given."),
]


class Unusable(ValueError):
    """An option that cannot be used; the message names the fix."""


def only(id: str, file: Path | None) -> Theorem:
    """The single theorem that an id or label stands for.

    Raises
    ------
    Unusable
        If it stands for several.
    CatalogueError
        If it stands for none.
    """
    chosen = select([*THEOREMS, *(load_file(file) if file else [])], [id])
    if len(chosen) != 1:
        names = ", ".join(theorem.id for theorem in chosen[:4]) + (", …" if len(chosen) > 4 else "")
        raise Unusable(f"{id} stands for {len(chosen)} theorems ({names}): name one of them")
    return chosen[0]


def reproduce_line(path: Path, file: Path | None) -> str:
    """The one line that replays a counterexample."""
    words = ["ratecheck", "replay", str(path)] + (["--file", str(file)] if file else [])
    return shlex.join(words)


def write_json(data: Any, path: str) -> None:
    """Write JSON to a path, whole or not at all; - is standard output."""
    from properties.store import write_atomically

    text = json.dumps(data, indent=1, allow_nan=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_atomically(Path(path), text)
