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


def machine() -> str:
    """The machine in general words: kind of processor, cores, operating system; no names of hosts or people."""
    from ratecheck.engine import workers

    cores = workers()
    return f"{platform.machine() or 'unknown processor'}, {cores} core{'s' * (cores > 1)}, {platform.system()}"
