"""All commands together, and what becomes of errors in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from bounds import InvalidClaim
from bounds.catalogue import CatalogueError
from models.dataset import InvalidDataset
from models.instance import InvalidRun
from properties.store import StoreError

# ``--help`` lists the commands in the order of these imports.
from ratecheck import cli_trial, cli_search, cli_refine  # isort: skip
from ratecheck.command import BAD_INPUT, INTERNAL, INTERRUPTED, OK, Unusable, app

#: The modules whose commands are registered when they are imported, in the order of ``ratecheck --help``.
COMMANDS = (cli_trial, cli_search, cli_refine)

_INPUT_ERRORS = (CatalogueError, InvalidClaim, InvalidDataset, InvalidRun, StoreError, Unusable)


def answer(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; every foreseeable error is one line on standard error."""
    from models.digits import MissingDigits

    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
        return code if isinstance(code, int) else OK
    except (*_INPUT_ERRORS, MissingDigits) as error:
        sys.stderr.write(f"ratecheck: error: {error}\n")
        return BAD_INPUT
    except typer.TyperException as error:
        sys.stderr.write(f"ratecheck: error: {error.format_message()}; see ratecheck --help\n")
        return BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("ratecheck: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:  # a full disk, a folder without permission: the message names the path
        sys.stderr.write(f"ratecheck: error: {error}\n")
        return BAD_INPUT
    except Exception as error:
        if os.environ.get("RATECHECK_DEBUG"):
            raise
        sys.stderr.write(
            f"ratecheck: internal error: {type(error).__name__}: {error}\n"
            "ratecheck: please report it; RATECHECK_DEBUG=1 shows where it arose\n"
        )
        return INTERNAL
