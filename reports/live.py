"""Figures that a page draws by itself: Vega once for all of them, and each one's data.

The libraries are those that vl-convert carries (Vega, Vega-Lite and vega-embed, BSD-3-Clause); nothing is fetched.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reports.drawing import CONFIG, Figure

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Assets:
    """What a page with figures needs once: the libraries (gzip, base64), our script and our style."""

    bundle: Markup
    script: Markup
    style: Markup


@cache
def page_assets() -> Assets:
    """The assets, ready to stand in ``<script>`` and ``<style>`` elements.

    The libraries are packed: they would be a third of the page, and are read only once there is a figure to draw.
    """
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    script = "".join(_template(name) for name in ("packed.js", "powers.js", "figure_data.js", "figures.js"))
    script = script.replace("FIGURE_CONFIG", as_script(CONFIG))
    return Assets(packed(bundle), Markup(script), Markup(_template("figures.css")))


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


class FigureStore:
    """The figures of one page, in the order in which its templates show them."""

    def __init__(self) -> None:
        self._payloads: list[str] = []

    def add(self, payload: str) -> int:
        """Take a figure in; returns the number by which the page finds it."""
        self._payloads.append(payload)
        return len(self._payloads) - 1

    def packed(self) -> Markup:
        """All figures so far as a JSON list, packed together, for they have much in common."""
        return packed(f"[{','.join(self._payloads)}]")


def payload(figure: Figure) -> str | None:
    """What a figure is drawn from, as JSON; None without a drawing.

    Raises
    ------
    ValueError
        For a number that is not finite.
    """
    if figure.spec is None:
        return None
    return json.dumps(
        {"spec": figure.spec, "data": figure.data}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


def packed(text: str) -> Markup:
    """Text as gzip in base64, which can stand in any element."""
    return Markup(base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode())


def as_script(value: Any) -> str:
    """JSON in which nothing can end a ``<script>`` element or begin a comment in it.

    Raises
    ------
    ValueError
        For a number that is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
