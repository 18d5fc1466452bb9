"""Versions that a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("ratecheck", "numpy", "numba", "scipy", "sympy", "hypothesis", "python-flint", "daqp")


def versions() -> dict[str, str]:
    """Name → version of Python and of every package whose numbers enter a verdict."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that is not installed
            found[name] = "unknown"
    return found
