"""A counterexample's page: its numbers, the claim beside the proved enclosures, and its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

from markupsafe import Markup

from bounds.rendering import mathml
from properties.panels import AttentionFilm
from properties.scene import Directions, Scene, scene_of
from properties.verdict import Counterexample
from reports.drawing import Figure
from reports.figure_counterexample import cosine_figure, direction_figure, norm_figure, sides_figure
from reports.figure_panels import film_figure
from reports.figure_tokens import tokens_figure
from reports.page import Drawing, Table
from reports.words import listed, number

#: Tokens beyond which the report shows only the first ones; the saved counterexample has all.
SHOWN_TOKENS, SHOWN_COORDINATES = 60, 16
_FILMED = 240  # tokens whose attention map is still drawn
_CAPTIONS = {
    "pointwise": "The run that breaks the claim",
    "limit": "The run that never arrives, and what is proved of it",
}
#: Fields of a run that are no settings of the method, and the names of those that have a longer one.
_NOT_SHOWN = ("steps", "start")
_SETTINGS = {
    "rule": "Step rule",
    "loss": "Loss",
    "eta_W": "First step length of W",
    "eta_u": "First step length of u",
    "power_W": "Power by which W's steps shrink",
    "power_u": "Power by which u's steps shrink",
}


@dataclass(frozen=True)
class Token:
    """One row of the table of tokens."""

    sequence: int
    label: str
    position: int
    optimal: bool
    coordinates: list[str]


@dataclass(frozen=True)
class Tokens:
    """A token dataset as a table, as far as it is shown; ``trained`` says that u only names the optimal tokens."""

    size: str
    rows: list[Token]
    coordinates: int
    decoder: list[str]
    queries: list[list[str]]
    trained: bool
    hidden_rows: int
    hidden_coordinates: int

    @classmethod
    def of(cls, data: Any, *, trained: bool) -> Tokens:
        """The table of a dataset."""
        rows = [
            Token(i, f"{int(data.y[i]):+d}", t, int(data.optimal[i]) == t, _numbers(data.X[i, t]))
            for i in range(data.n)
            for t in range(data.T)
        ]
        return cls(
            size=f"{data.n} × {data.T} × {data.d}",
            rows=rows[:SHOWN_TOKENS],
            coordinates=min(data.d, SHOWN_COORDINATES),
            decoder=_numbers(data.u),
            queries=[] if data.query is None else [_numbers(row) for row in data.query[:SHOWN_TOKENS]],
            trained=trained,
            hidden_rows=max(0, len(rows) - SHOWN_TOKENS),
            hidden_coordinates=max(0, data.d - SHOWN_COORDINATES),
        )


@dataclass(frozen=True)
class Side:
    """One side of the claim at the step that breaks it: which it is, its formula and its proved enclosure."""

    name: str
    formula: Markup
    enclosure: str


@dataclass(frozen=True)
class CounterexamplePage:
    """Everything that the template shows of a counterexample."""

    caption: str
    configuration: list[tuple[str, str]]
    claim: Markup
    step: str
    precision: int
    sides: list[Side]
    figures: list[Drawing]
    tokens: Tokens | None
    arrays: list[Table]
    command: str | None

    @classmethod
    def of(cls, found: Counterexample, command: str | None = None) -> CounterexamplePage:
        """The page of a counterexample, its run trained once more; ``command`` judges it again."""
        scene = scene_of(found)
        return cls(
            caption=_CAPTIONS.get(found.theorem.kind, _CAPTIONS["pointwise"]),
            configuration=[*_configuration(found), *_observed(scene)],
            claim=Markup(mathml(found.theorem.claim, block=True)),
            step=f"{found.step:,}",
            precision=found.precision,
            sides=_sides(found),
            figures=[Drawing.of(figure) for figure in _figures(found, scene) if figure is not None],
            tokens=None if scene.dataset is None else Tokens.of(scene.dataset, trained=scene.decoder is None),
            arrays=_arrays(found.instance, scene),
            command=command,
        )


# --------------------------------------------------------------------------------------------- tables
def _configuration(found: Counterexample) -> Iterator[tuple[str, str]]:
    run = found.instance.run
    yield from run_settings(run).items()
    if hasattr(run, "W_0") or hasattr(run, "alpha_0"):
        yield "Start", _start(run)
    if found.theorem.kind == "limit":
        yield "Certified at step", f"{found.step:,}"
        yield "Shown", found.small
        yield "Against", found.large
    else:
        yield "Broken at step", f"{found.step:,}"
    if found.onset is not None:
        yield "Onset t0 of accumulated observables", f"{found.onset:,}"
    yield "Precision", f"{found.precision} bits"
    yield "Instance", found.instance.id


def _start(run: Any) -> str:
    """Where a run of any system begins."""
    if getattr(run, "W_0", None) is not None:
        return "W_0 as below"
    given = [
        name for name, value in (("W_0", "alpha_0"), ("u_0", "beta_0")) if getattr(run, value, None) is not None
    ]
    if given:
        return f"{listed(given)} as in the saved instance, at step {run.start:,} of the schedule"
    return "W_0 = 0, u_0 = 0" if hasattr(run, "beta_0") else "W_0 = 0"


def _observed(scene: Scene) -> Iterator[tuple[str, str]]:
    """Where the weights point at the end of the run, in float64."""
    for name, directions in (("W", scene.attention), ("u", scene.trained_decoder)):
        if directions is not None:
            at = f"at step {int(directions.t[-1]):,}"
            yield f"cos({name}, {name}_mm) {at}", number(float(directions.cosine[-1]), 8)
            yield f"‖{name}‖ {at}", number(float(directions.norm[-1]), 6)


def _sides(found: Counterexample) -> list[Side]:
    theorem = found.theorem
    if theorem.kind != "pointwise":
        return []
    return [
        Side("Claimed to be smaller", Markup(mathml(theorem.small)), found.small),
        Side("Claimed to be larger", Markup(mathml(theorem.large)), found.large),
    ]


def _arrays(instance: Any, scene: Scene) -> list[Table]:
    """The arrays of an instance beside its tokens: the data of a plain system, and where the run starts."""
    if scene.dataset is not None:
        start = getattr(instance.run, "W_0", None)
        return [] if start is None else [_array("Initial weights W_0", start)]
    arrays = {**instance.dataset.arrays(), **instance.run.arrays()}
    return [_array(f"{name}, of size {' × '.join(map(str, a.shape))}", a) for name, a in arrays.items()]


def _array(caption: str, values: Any) -> Table:
    """An array's first rows and columns, one row of the table a row of its first axis."""
    flat = values.reshape(values.shape[0], -1)
    shown = min(flat.shape[1], SHOWN_COORDINATES)
    rows = tuple((f"row {i}", *_numbers(row)) for i, row in enumerate(flat[:SHOWN_TOKENS]))
    part = "" if flat.shape[0] <= SHOWN_TOKENS and shown == flat.shape[1] else "; the saved counterexample has all"
    return Table(caption + part, ("", *(f"[{k}]" for k in range(shown))), rows)


def run_settings(run: Any) -> dict[str, str]:
    """The settings of a run of any system, by the names under which they are shown; steps and arrays are not."""
    values = {field.name: getattr(run, field.name) for field in fields(run) if field.name not in _NOT_SHOWN}
    return {
        _SETTINGS.get(name, name): _number(value) if isinstance(value, float) else str(value)
        for name, value in values.items()
        if isinstance(value, str | int | float | Fraction)
    }


def _numbers(values: Any) -> list[str]:
    return [_number(float(value)) for value in values[:SHOWN_COORDINATES]]


def _number(value: float) -> str:
    """The shortest decimal that gives the same float."""
    return repr(int(value)) if value.is_integer() and abs(value) < 1e6 else repr(value)


# ------------------------------------------------------------------------------------------- pictures
def _figures(found: Counterexample, scene: Scene) -> Iterator[Figure | None]:
    if scene.sides is not None:
        yield sides_figure(found.theorem, scene.sides, found.step)
    if scene.dataset is not None:
        yield tokens_figure(scene.dataset, scene.decoder)
        if len(scene.frames) > 1 and scene.dataset.n * scene.dataset.T <= _FILMED:
            yield film_figure(AttentionFilm("The counterexample", scene.dataset, scene.frames))
    for name, directions in (("W", scene.attention), ("u", scene.trained_decoder)):
        if directions is not None:
            yield from _of_directions(directions, name)


def _of_directions(directions: Directions, name: str) -> Iterator[Figure | None]:
    yield direction_figure(directions, name)
    yield cosine_figure(directions, name)
    yield norm_figure(directions, name)
