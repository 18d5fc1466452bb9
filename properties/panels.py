"""The paper's pictures: runs of every rule on one dataset of signal and noise, with the bounds over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from bounds import Theorem
from bounds.catalogue import THEOREMS
from models.attention import Geometry, train
from models.dataset import Array, TokenDataset
from models.instance import Instance
from models.joint import JointGeometry, JointInstance, JointRun
from models.random_data import signal_plus_noise
from models.snapshots import snapshots
from properties.balls import BallArray
from properties.comparison import method_run
from properties.compiled import compile_expression
from properties.hypotheses import applicable_rows, as_balls, failing
from properties.joint import measure_joint
from properties.judge import in_domain, log10
from properties.measured import Measured
from properties.observables import Measurement, Undefined

METHODS = {"gd": "GD", "ngd": "normalised GD", "polyak": "Polyak (ζ = 1)", "polyak/2": "Polyak (ζ = 2)"}
STEPS, DENSE, POINTS = 100_000, 1_000, 120
SHAPE = (10, 6, 40)  # n, T, d of the dataset


@dataclass(frozen=True, eq=False)
class Series:
    """One curve: ``y`` against the steps ``t``; ``bound`` marks theory, to be drawn dashed."""

    name: str
    t: Array
    y: Array
    bound: bool = False


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture.  With ``log_y`` the values of all series are log10 of what the axis shows."""

    title: str
    y_title: str
    log_y: bool
    series: list[Series] = field(default_factory=list)


class AttentionMap(Protocol):
    """Attention weights at step ``t``, shape (n, T): a `models.snapshots.Snapshot` and the like."""

    @property
    def t(self) -> int: ...

    @property
    def attention(self) -> Array: ...


@dataclass(frozen=True, eq=False)
class AttentionFilm:
    """Attention rows over time for one method: a map at each step, the first at step 0."""

    method: str
    dataset: TokenDataset
    frames: Sequence[AttentionMap]


@dataclass(frozen=True, eq=False)
class PaperPanels:
    """Everything on the page of the paper's own pictures."""

    caption: str
    panels: list[Panel]
    films: list[AttentionFilm]


#: Theoretical curves: panel, method, theorem whose bound is drawn.
_BOUNDS = (
    ("loss", "gd", "attention.gd.loss"),
    ("loss", "ngd", "attention.ngd.loss"),
    ("direction", "gd", "attention.gd.direction"),
    ("direction", "ngd", "attention.ngd.direction"),
    ("direction", "polyak", "attention.polyak.direction"),
    ("leak", "gd", "attention.gd.sparsity-floor"),
    ("leak", "ngd", "attention.ngd.sparsity-any-step"),
    ("leak", "ngd", "attention.ngd.sparsity-floor"),
    ("norm", "gd", "attention.gd.norm"),
    ("norm", "ngd", "attention.ngd.norm.upper"),
    ("norm", "ngd", "attention.ngd.norm.lower"),
)
_JOINT_PANELS = {
    "joint loss": ("loss", "Joint training: train loss", "L", "joint.loss"),
    "joint direction": (
        "direction_gap",
        "Joint training: direction gap of W to the max-margin solution",
        "1 − cos(W, W_mm)",
        "joint.master-closed",
    ),
    "joint leak": ("leak_max", "Joint training: attention off the optimal tokens", "1 − s", None),
    "joint norm": ("norm", "Joint training: norm of W", "‖W‖", None),
    "decoder direction": (
        "u_direction_gap",
        "Joint training: direction gap of the decoder to the max-margin separator",
        "1 − cos(u, u_mm)",
        None,
    ),
    "decoder norm": ("u_norm", "Joint training: norm of the decoder", "‖u‖", "joint.decoder.growth.upper"),
}
_OBSERVABLES = {
    "loss": ("loss_gap", "Train loss above its infimum, L − L*", "L − L*"),
    "direction": ("direction_gap", "Direction gap to the max-margin solution, 1 − cos", "1 − cos(W, W_mm)"),
    "leak": ("leak_max", "Attention off the optimal tokens, max 1 − softmax", "1 − s"),
    "norm": ("norm", "Norm growth", "‖W‖"),
}


def paper_panels(seed: int = 0, steps: int = STEPS) -> PaperPanels:
    """Train every method on one dataset of the signal-plus-noise model, and measure what the paper draws."""
    n, T, d = SHAPE
    dataset = signal_plus_noise(np.random.default_rng([seed, 11]), n, T, d)
    geometry = Geometry(dataset)
    runs: dict[str, Measurement] = {}
    for method in METHODS:
        instance = Instance(dataset, method_run(method, dataset, "logistic", steps))
        runs[method] = Measurement(instance, geometry, train(instance, geometry, DENSE))
    panels = {key: Panel(title, y, True) for key, (_, title, y) in _OBSERVABLES.items()}
    for key, (name, _, _) in _OBSERVABLES.items():
        panels[key].series.extend(_curve(METHODS[m], run, run[name]) for m, run in runs.items())
    for key, method, theorem in _BOUNDS:
        series = _bound(theorem, runs[method], METHODS[method])
        if series is not None:
            panels[key].series.append(series)
    joint = _joint_panels(dataset, steps)
    frames = [0, *np.unique(np.geomspace(1, min(steps, 10_000), 24).astype(int)).tolist()]
    films = [
        AttentionFilm(METHODS[m], dataset, snapshots(runs[m].instance, frames, geometry)) for m in ("gd", "ngd")
    ]
    caption = (
        f"{n} sequences of {T} tokens in {d} dimensions: one signal token each, Gaussian noise otherwise "
        f"(data model DM, seed {seed}); {steps:,} steps of logistic loss from W_0 = 0."
    )
    return PaperPanels(caption, [*panels.values(), *joint], films)


def _joint_panels(dataset: TokenDataset, steps: int) -> list[Panel]:
    """The same pictures for W and u trained together, with the schedule of docs/theory.md#joint."""
    geometry = JointGeometry(dataset)
    # Steps of about 4/B, so that attention finds the signal before the decoder has fitted the noise.
    eta_W = 4.0 * 2.0 ** round(-np.log2(geometry.features.radius))
    instance = JointInstance(dataset, JointRun("logistic", steps, eta_W, 1.0))
    run = measure_joint(instance, geometry, DENSE)
    panels = []
    for name, title, y, theorem in _JOINT_PANELS.values():
        series = [_curve("joint training", run, run[name])]
        bound = None if theorem is None else _bound(theorem, run, "joint training")
        panels.append(Panel(title, y, True, series if bound is None else [*series, bound]))
    return panels


def _curve(name: str, measurement: Measured, balls: BallArray, *, bound: bool = False) -> Series:
    """log10 of positive values at log-spaced steps t ≥ 1."""
    t = measurement.trajectory.t
    balls = as_balls(balls, t.size)
    shown = np.flatnonzero((t >= 1) & (balls.mid > 0) & np.isfinite(balls.mid) & np.isfinite(balls.rad))
    if shown.size > POINTS:
        wanted = np.geomspace(t[shown[0]], t[shown[-1]], POINTS)
        shown = np.unique(shown[np.clip(np.searchsorted(t[shown], wanted), 0, shown.size - 1)])
    return Series(name, t[shown].astype(np.float64), log10(balls)[shown], bound)


def _bound(id: str, measurement: Measured, method: str) -> Series | None:
    """The bound of a theorem along a run; None where its hypotheses fail on all of it."""
    theorem: Theorem = next(x for x in THEOREMS if x.id == id)
    if failing(theorem, measurement.instance, measurement.geometry) is not None:
        return None
    side = theorem.large if theorem.bound_is_upper else theorem.small
    try:
        rows = applicable_rows(theorem, measurement) & in_domain(theorem, measurement, len(measurement.trajectory))
        values = as_balls(compile_expression(side)(measurement), rows.size)
    except Undefined:
        return None
    masked = BallArray(np.where(rows, values.mid, np.nan), values.rad, values.exp2)
    side_name = "at most" if theorem.bound_is_upper else "at least"
    curve = _curve(f"{theorem.label}: {side_name}, {method}", measurement, masked, bound=True)
    return curve if curve.t.size else None
