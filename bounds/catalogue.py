"""Where theorems are found: the ones declared here and those of a user's file."""

from __future__ import annotations

import difflib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

from bounds import (
    attention,
    attention_gd,
    attention_global,
    attention_ngd,
    attention_path,
    attention_polyak,
    attention_rates,
    cogradient,
    data,
    diagonal,
    federated,
    games,
    generalised_svm,
    interpolation,
    joint,
    joint_rates,
    key_query,
    linear,
    overparametrized,
    pinn,
    prompt,
    relu_regions,
    two_layer,
)
from bounds.language import InvalidClaim
from bounds.theorem import Theorem

#: Every built-in theorem, in the order of docs/theory.md.
THEOREMS: tuple[Theorem, ...] = (
    *attention.THEOREMS,
    *attention_ngd.THEOREMS,
    *attention_polyak.THEOREMS,
    *attention_gd.THEOREMS,
    *attention_global.THEOREMS,
    *attention_path.THEOREMS,
    *attention_rates.THEOREMS,
    *joint.THEOREMS,
    *joint_rates.THEOREMS,
    *key_query.THEOREMS,
    *generalised_svm.THEOREMS,
    *prompt.THEOREMS,
    *linear.THEOREMS,
    *two_layer.THEOREMS,
    *interpolation.THEOREMS,
    *games.THEOREMS,
    *federated.THEOREMS,
    *diagonal.THEOREMS,
    *overparametrized.THEOREMS,
    *pinn.THEOREMS,
    *cogradient.THEOREMS,
    *relu_regions.THEOREMS,
    *data.THEOREMS,
)


class CatalogueError(ValueError):
    """A theorem file cannot be used or a theorem is unknown; the message names the fix."""


def load_file(path: str | Path) -> list[Theorem]:
    """Collect every `Theorem` of a Python file, alone or in a list, tuple or dict, in order of definition.

    The file is ordinary Python and is run, as `import` would.

    Raises
    ------
    CatalogueError
        If it is missing, fails to import, declares an invalid claim, or holds no theorem.
    """
    path = Path(path)
    if not path.is_file():
        raise CatalogueError(f"{path}: no such file; give the path of a Python file that declares theorems")
    spec = importlib.util.spec_from_file_location(f"theorem_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise CatalogueError(f"{path}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except InvalidClaim as error:
        raise CatalogueError(f"{path}{_line(error, path)}: {error}") from None
    except Exception as error:
        summary = f"{type(error).__name__}: {error}"
        raise CatalogueError(f"{path}{_line(error, path)}: does not import: {summary}") from None
    finally:
        sys.dont_write_bytecode = written
    theorems = list(dict.fromkeys(_collect(vars(module).values())))
    own = [theorem for theorem in theorems if theorem not in THEOREMS]
    if not own:
        raise CatalogueError(f"{path}: holds no theorem; assign at least one Theorem(...) to a name")
    _reject_duplicates(own, str(path))
    return own


def select(theorems: Sequence[Theorem], patterns: Sequence[str]) -> list[Theorem]:
    """Theorems whose id, label or dotted prefix matches any pattern; all of them for no pattern.

    Raises
    ------
    CatalogueError
        For a pattern that matches nothing, with the nearest id.
    """
    if not patterns:
        return list(theorems)
    chosen: list[Theorem] = []
    for pattern in patterns:
        key = pattern.lower()
        exact = [x for x in theorems if x.id == key]
        found = exact or [x for x in theorems if x.id.startswith(key + ".") or x.label.lower() == key]
        if not found:
            near = difflib.get_close_matches(key, [x.id for x in theorems], n=1, cutoff=0.0)
            raise CatalogueError(f"no theorem {pattern!r}; did you mean {near[0]!r}? `ratecheck list` shows all")
        chosen += [x for x in found if x not in chosen]
    return chosen


def _collect(values: Iterable[object]) -> Iterable[Theorem]:
    for value in values:
        if isinstance(value, Theorem):
            yield value
        elif isinstance(value, list | tuple):
            yield from _collect(value)
        elif isinstance(value, dict) and not any(key == "__builtins__" for key in value):
            yield from _collect(value.values())


def _reject_duplicates(theorems: list[Theorem], where: str) -> None:
    seen = {theorem.id for theorem in THEOREMS}
    for theorem in theorems:
        if theorem.id in seen:
            raise CatalogueError(f"{where}: the id {theorem.id!r} is taken; choose another")
        seen.add(theorem.id)


def _line(error: Exception, path: Path) -> str:
    """The line of the user's file where an exception passed through, as ``, line 7``."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if not lines and isinstance(error, SyntaxError):
        lines = [error.lineno]
    return f", line {lines[-1]}" if lines else ""
