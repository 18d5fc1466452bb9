"""The command ``ratecheck``."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 nothing falsified, 1 falsified, 2 bad input, 3 not settled, 4 internal error."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; every foreseeable error is one line on standard error.

    Nothing is imported before: that a theorem file which is being edited does not import is bad input as well.
    """
    try:
        from ratecheck.commands import answer
    except KeyboardInterrupt:
        sys.stderr.write("ratecheck: interrupted\n")
        return 130
    except Exception as error:
        if os.environ.get("RATECHECK_DEBUG"):
            raise
        said = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        sys.stderr.write(f"ratecheck: error: {_place(error)}: {type(error).__name__}: {said}; correct that file\n")
        return 2
    return answer(arguments)


def _place(error: Exception) -> str:
    """The file, and the line of it, that an exception on import comes from."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    modules = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]
    return f"{modules[-1].filename}, line {modules[-1].lineno}"
