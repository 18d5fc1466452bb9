"""How theorems and verdicts show themselves in a notebook."""

from __future__ import annotations

import importlib


class Displayed:
    """Something that a notebook shows in the style of the report."""

    def _repr_html_(self) -> str:
        # The one look upwards through the house: a notebook asks the object itself, and only `reports` knows what
        # it looks like.  Nothing is imported before a notebook asks.
        shown: str = importlib.import_module("reports.notebook").shown(self)
        return shown
