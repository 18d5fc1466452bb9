"""What a counterexample's pictures need: its minimal run trained once more, in plain arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from bounds import Theorem
from models.attention import Geometry, weights_at
from models.dataset import Array, TokenDataset
from models.instance import InvalidRun
from models.joint import JointGeometry, restarted_joint
from models.trajectory import RECORD_LIMIT
from properties.compiled import compile_expression
from properties.hypotheses import applicable_rows, as_balls
from properties.judge import defined_rows, in_domain, log10
from properties.measured import Measured
from properties.observables import Undefined
from properties.systems import tools
from properties.verdict import Counterexample

#: Steps whose attention map is shown, points of a curve, and the longest run that is trained again.
FRAMES, POINTS, LONGEST = 12, 80, 2**17
#: Steps of a run that never reaches its limit: those to the certified one may be none.
BEYOND = 4096
#: The largest d × d matrices that are shown.
LARGEST = 6

#: W_t and, in joint training, u_t, at a step that is asked for.
_States = Callable[[int], tuple[Array, Array | None]]


@dataclass(frozen=True, eq=False)
class Frame:
    """The attention weights at one step, shape (n, T), in the order of the tokens."""

    t: int
    attention: Array


@dataclass(frozen=True, eq=False)
class Sides:
    """Both sides of an inequality along the run, where it is judged, in float64.

    The run is taken to twice the certified step, so that what comes after is seen as well.

    Attributes
    ----------
    t : array of int, shape (K,)
    small, large : array, shape (K,)
        The side claimed to be smaller, and the other one; infinite beyond the range of float64.
    log_small, log_large : array, shape (K,)
        log10 of them, which has no such range; NaN where they are not positive.
    """

    t: Any
    small: Array
    large: Array
    log_small: Array
    log_large: Array


@dataclass(frozen=True, eq=False)
class Directions:
    """Weights at the last step beside the max-margin solution, both of norm 1; and the cosine along the run.

    Attributes
    ----------
    weights, solution : array or None
        W_t/‖W_t‖ and Ŵ of shape (d, d), or u_t/‖u_t‖ and û of shape (d,); None beyond `LARGEST`, at zero, and
        for systems without tokens.
    t : array of int, shape (K,)
    cosine, norm : array, shape (K,)
        cos(W_t, W_mm), NaN where W_t = 0, and ‖W_t‖; the same for u.
    """

    weights: Array | None
    solution: Array | None
    t: Any
    cosine: Array
    norm: Array


@dataclass(frozen=True, eq=False)
class Scene:
    """The pictures of a counterexample, as far as they exist for its system and instance.

    Attributes
    ----------
    dataset : TokenDataset or None
        None for a system without tokens, of which only curves are shown.
    decoder : array or None
        The fixed decoder u, where it is not trained.
    frames : list of Frame
        Attention at step 0, at log-spaced ones and at the certified one.
    attention, trained_decoder : Directions or None
        Of W, and of u in joint training.
    sides : Sides or None
        None for a limit.
    """

    dataset: TokenDataset | None = None
    decoder: Array | None = None
    frames: list[Frame] = field(default_factory=list)
    attention: Directions | None = None
    trained_decoder: Directions | None = None
    sides: Sides | None = None


def scene_of(counterexample: Counterexample) -> Scene:
    """Train a counterexample's instance up to the certified step, and look at it.

    What does not exist (a direction without W_mm, a state that float64 does not reach) is left out; nothing is
    raised.
    """
    theorem, step = counterexample.theorem, counterexample.step
    instance: Any = counterexample.instance
    system = tools(theorem.system)
    geometry = system.geometry(instance)

    def run(steps: int) -> Measured:
        return system.measure(instance.with_run(steps=steps), geometry, RECORD_LIMIT)

    dataset = instance.dataset if isinstance(instance.dataset, TokenDataset) else None
    joint = isinstance(geometry, JointGeometry)
    decoder = None if joint or dataset is None else dataset.u
    last = min(max(step, BEYOND if theorem.kind == "limit" else 0), LONGEST)
    states: _States = partial(_joint_state if joint else _attention_state, instance.with_run(steps=last), geometry)
    with np.errstate(all="ignore"):  # extreme data leave float64's range, which only makes gaps in the pictures
        measurement, sides = run(last), _sides(theorem, step, run)
        if not len(measurement.trajectory):
            return Scene(dataset, decoder, sides=sides)
        if dataset is None:
            return Scene(attention=_path(measurement), sides=sides)
        return Scene(
            dataset,
            decoder,
            _frames(dataset, states, int(measurement.trajectory.t[-1])),
            _attention(measurement, states),
            _trained_decoder(measurement, states) if joint else None,
            sides,
        )


# --------------------------------------------------------------------------------------------- states
def _attention_state(instance: Any, geometry: Geometry, t: int) -> tuple[Array, None]:
    return weights_at(instance, t, geometry), None


def _joint_state(instance: Any, geometry: JointGeometry, t: int) -> tuple[Array, Array]:
    run, data = restarted_joint(instance, t, geometry).run, instance.dataset
    assert run.alpha_0 is not None  # a state that was taken up has both
    assert run.beta_0 is not None
    W = geometry.features.combine(run.alpha_0)
    signed = data.X * data.y[:, None, None]
    rest = np.take_along_axis(signed, data.others[:, :, None], axis=1)
    tokens = np.concatenate([signed[np.arange(data.n), data.optimal], rest.reshape(data.N, -1)])
    return W, run.beta_0 @ tokens


def attention_map(dataset: TokenDataset, W: Array) -> Array:
    """softmax(X_i W q_i) of every sequence, shape (n, T)."""
    logits = np.einsum("itd,de,ie->it", dataset.X, W, dataset.queries)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _frames(dataset: TokenDataset, states: _States, last: int) -> list[Frame]:
    spaced = np.geomspace(1, last, FRAMES - 1).round().astype(int).tolist() if last else []
    frames = []
    for t in sorted({0, *spaced}):
        try:
            attention = attention_map(dataset, states(t)[0])
        except InvalidRun:  # the float run ends before this step
            break
        if np.isfinite(attention).all():
            frames.append(Frame(t, attention))
    return frames


# ----------------------------------------------------------------------------------------- directions
def _attention(measurement: Measured, states: _States) -> Directions | None:
    geometry = measurement.geometry
    if geometry.max_margin is None:
        return None
    solution = geometry.features.combine(geometry.max_margin.direction)
    W = _at_end(measurement, states)
    return _directions(measurement, "norm", "direction_gap", None if W is None else W[0], solution)


def _trained_decoder(measurement: Measured, states: _States) -> Directions | None:
    geometry, dataset = measurement.geometry, measurement.instance.dataset
    if geometry.decoder is None:
        return None
    best = dataset.X[np.arange(dataset.n), dataset.optimal] * dataset.y[:, None]
    state = _at_end(measurement, states)
    solution = geometry.decoder.direction @ best
    return _directions(measurement, "u_norm", "u_gap", None if state is None else state[1], solution)


def _path(measurement: Measured) -> Directions | None:
    """Of a plain system's weights only how they turn and grow, where both are recorded."""
    try:
        return _directions(measurement, "norm", "direction_gap", None, None)
    except ValueError:
        return None


def _at_end(measurement: Measured, states: _States) -> tuple[Array, Array | None] | None:
    try:
        return states(int(measurement.trajectory.t[-1]))
    except InvalidRun:
        return None


def _directions(
    measurement: Measured, norm: str, gap: str, weights: Array | None, solution: Array | None
) -> Directions:
    trajectory = measurement.trajectory
    rows = _thinned(trajectory.t)
    length = 0.0 if weights is None else float(np.linalg.norm(weights))
    shown = weights is not None and 0.0 < length < math.inf and max(weights.shape) <= LARGEST
    return Directions(
        weights / length if shown and weights is not None else None,
        solution if shown else None,
        trajectory.t[rows],
        1.0 - trajectory.column(gap)[rows],
        trajectory.column(norm)[rows],
    )


# ----------------------------------------------------------------------------------------------- sides
def _sides(theorem: Theorem, step: int, run: Callable[[int], Measured]) -> Sides | None:
    """Both sides on the longer run, or where the claim does not speak of the step there, on the run to it."""
    if theorem.kind != "pointwise":
        return None
    for steps in (2 * step + 16, step):
        if steps <= LONGEST:
            sides = _judged(theorem, run(steps), step)
            if sides is not None and step in sides.t:
                return sides
    return None


def _judged(theorem: Theorem, measurement: Measured, step: int) -> Sides | None:
    count = len(measurement.trajectory)
    try:
        rows = applicable_rows(theorem, measurement) & in_domain(theorem, measurement, count)
        rows &= defined_rows(theorem, measurement, count)
        small, large = (
            as_balls(compile_expression(side)(measurement), count) for side in (theorem.small, theorem.large)
        )
    except Undefined:
        return None
    t = measurement.trajectory.t
    chosen = np.flatnonzero(rows)
    chosen = chosen[_thinned(t[chosen], step)]
    floats = [side.floats()[chosen] for side in (small, large)]
    logs = [np.where(side.mid > 0, log10(side), np.nan)[chosen] for side in (small, large)]
    return Sides(t[chosen], *floats, *logs)


def _thinned(t: Any, keep: int | None = None) -> Any:
    """Rows of about `POINTS` log-spaced steps, the first, the last and a given one among them."""
    if t.size <= POINTS:
        return np.arange(t.size)
    wanted = np.geomspace(max(1, int(t[0])), int(t[-1]), POINTS - 1)
    return np.unique([0, *np.clip(np.searchsorted(t, [*wanted, keep or 1]), 0, t.size - 1)])
