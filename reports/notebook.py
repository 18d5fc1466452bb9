"""Theorems, verdicts and trajectories in a notebook, and statements as a small page of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, singledispatch
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from bounds import Theorem
from bounds.rendering import mathml, provenance, step_limit
from properties.verdict import Verdict
from reports import drawing
from reports.drawing import Axis, Figure, Line, power_label
from reports.figures import figure_of
from reports.page import Mark, Table, environment, write_page
from reports.words import fixed, number

_POINTS = 200  # steps of a trajectory that are drawn
_ROWS = 7  # steps in its table


class Recorded(Protocol):
    """A run as it is recorded: the steps, and a column of numbers for each name."""

    @property
    def t(self) -> NDArray[np.int64]:
        """Recorded steps."""

    @property
    def status(self) -> str:
        """``finished``, or why it stopped early."""

    @property
    def onset(self) -> int | None:
        """The step from which all coefficients are positive."""

    def column(self, name: str) -> NDArray[np.float64]:
        """One number for each recorded step."""


@singledispatch
def shown(thing: Any) -> str:
    """The HTML of a theorem, a verdict or a trajectory, in the style of the report.

    Raises
    ------
    TypeError
        For anything else.
    """
    if hasattr(thing, "column") and hasattr(thing, "onset"):  # models are not known here
        return trajectory_html(thing)
    raise TypeError(f"{type(thing).__name__} has no picture; add it to reports/notebook.py")


@shown.register
def theorem_html(theorem: Theorem) -> str:
    """A theorem as it would stand in a paper."""
    return _rendered("theorem", theorem=theorem, **_statement(theorem))


@shown.register
def verdict_html(verdict: Verdict) -> str:
    """A verdict: its mark and sentence, and the main figure of what was seen."""
    theorem, figure = verdict.theorem, figure_of(verdict.evidence)
    return _rendered(
        "verdict",
        theorem=theorem,
        mark=Mark.of(verdict.name),
        sentence=verdict.sentence,
        claim=Markup(mathml(theorem.claim, block=True)),
        figure=_static(figure),
        alt=figure.alt,
    )


def trajectory_html(trajectory: Recorded) -> str:
    """A run: a few of its steps in a table, and loss gap, ‖W‖ and direction gap drawn over all of them."""
    t = trajectory.t
    if t.size == 0:
        return _rendered("trajectory", about=trajectory.status, table=None, figure=None, alt="")
    places = np.unique(np.rint(np.geomspace(1, t.size, _ROWS)).astype(int)) - 1
    loss, norm, gap = (trajectory.column(name) for name in ("log_loss_gap", "norm", "direction_gap"))
    rows = tuple(
        (f"{t[k]:,}", power_label(float(loss[k]) / math.log(10.0)), number(float(norm[k])), _cosine(float(gap[k])))
        for k in places
        if math.isfinite(loss[k])
    )
    onset = "never positive" if trajectory.onset is None else f"positive from step {trajectory.onset:,}"
    figure = _trajectory_figure(trajectory)
    return _rendered(
        "trajectory",
        about=f"{t.size:,} recorded steps up to {t[-1]:,}, {trajectory.status}; coefficients {onset}",
        table=Table("The run", ("Step", "Loss gap", "‖W‖", "cos(W, W_mm)"), rows),
        figure=_static(figure),
        alt=figure.alt,
    )


def write_statements(theorems: Sequence[Theorem], path: Path) -> None:
    """Write theorems as they would stand in a paper, as one small HTML page.

    Raises
    ------
    ReportError
        If the file cannot be written.
    """
    template = environment().get_template("statement.html")
    shown = [(theorem, _statement(theorem)) for theorem in theorems]
    write_page(path, template.render(assets=None, theorems=shown, provenance={}))


def _rendered(name: str, **values: Any) -> str:
    part = getattr(_parts(), name)
    return str(part(**values))


@cache
def _parts() -> Any:
    return environment().get_template("_notebook.html").module


def _statement(theorem: Theorem) -> dict[str, Any]:
    limits = [(assumption, step_limit(assumption)) for assumption in theorem.assumes]
    return {
        "assumptions": [a.describe() if limit is None else Markup(mathml(limit)) for a, limit in limits],
        "claim": Markup(mathml(theorem.claim, block=True)),
        "domain": None if theorem.domain is None else Markup(mathml(theorem.domain)),
        "facts": provenance(theorem),
    }


def _static(figure: Figure) -> Markup | None:
    return None if figure.spec is None else Markup(drawing.static_svg(figure))


def _cosine(gap: float) -> str:
    if not math.isfinite(gap):
        return "–"
    return f"1 − {power_label(math.log10(gap))}" if 0 < gap < 1e-3 else fixed(1 - gap, 4)


def _trajectory_figure(trajectory: Recorded) -> Figure:
    """Loss gap, norm and direction gap over the steps t ≥ 1, all on logarithmic axes."""
    t = trajectory.t
    rows = np.unique(np.searchsorted(t, np.geomspace(1, max(t[-1], 1), _POINTS)).clip(max=t.size - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        quantities = {
            "loss gap": (trajectory.column("log_loss_gap") / math.log(10.0), drawing.VERMILLION),
            "‖W‖": (np.log10(trajectory.column("norm")), drawing.BLUE),
            "direction gap 1 − cos": (np.log10(trajectory.column("direction_gap")), drawing.BLACK),
        }
    lines = []
    for name, (values, colour) in quantities.items():
        seen = rows[(t[rows] >= 1) & np.isfinite(values[rows])]
        if seen.size:
            lines.append(Line(name, np.log10(t[seen]), values[seen], colour))
    if not lines:
        return Figure.none("No figure: the run has no step beyond step 0.")
    x: Axis = drawing.step_axis(lines)
    y = drawing.axis_over("value", np.concatenate([line.y for line in lines]))
    chart = drawing.layered(*drawing.line_layers(lines, x, y))
    names = ", ".join(line.name for line in lines)
    return drawing.figure(chart, f"{names} over {t[-1]:,} steps.", lines=drawing.line_rows(lines))
