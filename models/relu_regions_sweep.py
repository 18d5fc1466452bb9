"""Trained univariate ReLU networks of growing width, or on growing numbers of points: a run's t is the size.

At each size a network is trained from the start by `models.relu_regions.descend`; sizes are few, about one an
octave.  Everything is float64: claims about growth are never certified.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.dataset import Array
from models.instance import InvalidRun
from models.records import RecordInstance, RecordRun
from models.relu_regions import COLUMNS, LinePoints, ReluInstance, descend, log_leak
from models.relu_regions_count import float_counts
from models.trajectory import FINISHED, NON_FINITE_STEP, Trajectory

WIDTH, POINTS = "width", "points"
#: The smallest size; the others are its doubles, and the last one.
FIRST = 12
#: Rotations by these shares of a turn, or of the line, come back late: their orbits fill it evenly.
_GOLDEN, _SILVER = (math.sqrt(5.0) - 1.0) / 2.0, math.sqrt(2.0) - 1.0


@dataclass(frozen=True, eq=False)
class SweepRun(RecordRun):
    """Which networks are trained, and how long.

    Parameters
    ----------
    steps : int
        The largest size.
    varied : str
        ``"width"``: t neurons on the dataset.  ``"points"``: the dataset and further points, t in all, between
        neighbours of equal label.
    eta : float
        η > 0.
    epochs : int
        Steps of gradient descent at each size.
    scale : float
        ‖(w, b)‖ and |v| of a neuron at the start, times √m.
    offset : float
        Where the orbits of initial directions, of signs and of further points begin, in turns.
    tolerance : float
        ε > 0 of the effective regions, as for `models.relu_regions.ReluRun`.
    width : int
        Neurons, where points vary.

    Raises
    ------
    InvalidRun
        For values out of range; the message names the field and the fix.
    """

    varied: str
    eta: float
    epochs: int
    scale: float
    offset: float
    tolerance: float
    width: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.varied in (WIDTH, POINTS), f"varied = {self.varied!r}: give {WIDTH} or {POINTS}")
        self.require(self.steps >= FIRST, f"steps = {self.steps}: give a largest size of at least {FIRST}")
        self.require(self.eta > 0.0, f"eta = {self.eta!r}: give a positive step size")
        self.require(self.scale > 0.0, f"scale = {self.scale!r}: give a positive size of weights")
        self.require(self.tolerance > 0.0, f"tolerance = {self.tolerance!r}: give a positive one")
        self.require(self.width > 0, "width = 0: give at least one neuron")

    def sizes(self) -> NDArray[np.int64]:
        """12, 24, 48, … and the largest size."""
        doubled = FIRST << np.arange(int(math.log2(self.steps / FIRST)) + 1, dtype=np.int64)
        return np.unique(np.append(doubled[doubled < self.steps], self.steps))


class SweepInstance(RecordInstance):
    """Points and networks trained on them.

    Raises
    ------
    InvalidRun
        If points are to be added and there is no room for them, or more than the smallest size already.
    """

    system = ReluInstance.system
    parts = (LinePoints, SweepRun)

    def __post_init__(self) -> None:
        super().__post_init__()
        data = self.dataset
        if self.run.varied == POINTS and (data.N > FIRST or data.alternations == data.N - 1):
            raise InvalidRun(f"X: give at most {FIRST} points, two neighbours of equal label among them")


def train_sweep(instance: SweepInstance) -> Trajectory:
    """A network of each size: a `Trajectory` with the columns of `models.relu_regions.COLUMNS`."""
    data, run = instance.dataset, instance.run
    sizes, rows = run.sizes(), []
    for t in sizes.tolist():
        X, y = (data.X, data.y) if run.varied == WIDTH else filled(data, t, run.offset)
        W = initial_neurons(t if run.varied == WIDTH else run.width, run.scale, run.offset)
        descend(X, y, W, run.eta, run.epochs)
        if not np.isfinite(W).all():
            break
        f = np.maximum(np.outer(X, W[:, 0]) + W[:, 1], 0.0) @ W[:, 2]
        margin, largest = float((y * f).min()), float(np.abs(f).max())
        counts = float_counts(W, X[0], X[-1], run.tolerance * largest)
        rows.append((np.linalg.norm(W), margin, log_leak(margin), largest, *counts))
    table = np.array(rows, dtype=np.float64).reshape(-1, len(COLUMNS))
    table.setflags(write=False)
    status = FINISHED if len(rows) == sizes.size else NON_FINITE_STEP
    return Trajectory(sizes[: len(rows)], table, None, status, COLUMNS)


def initial_neurons(m: int, scale: float, offset: float) -> Array:
    """m neurons (w, b, v) of equal length, ‖(w, b)‖ = |v|, that face every way and have both signs."""
    j = np.arange(m)
    angle = 2.0 * np.pi * ((j * _GOLDEN + offset) % 1.0)
    v = np.where((j * _SILVER + offset) % 1.0 < 0.5, 1.0, -1.0)
    return np.column_stack([np.cos(angle), np.sin(angle), v]) * (scale / math.sqrt(m))


def filled(data: LinePoints, count: int, offset: float) -> tuple[Array, Array]:
    """The points and further ones, ``count`` in all, spread evenly over the stretches between equal labels.

    Returns
    -------
    X, y : arrays, shape (count,)
        In order, with as many label alternations as before.
    """
    left = np.flatnonzero(np.diff(data.y) == 0.0)
    lengths = np.diff(data.X)[left]
    ends = np.cumsum(lengths)
    place = ((np.arange(1, count - data.N + 1) * _GOLDEN + offset) % 1.0) * ends[-1]
    k = np.minimum(np.searchsorted(ends, place, side="right"), left.size - 1)
    X = np.concatenate([data.X, data.X[left[k] + 1] - (ends[k] - place)])
    y = np.concatenate([data.y, data.y[left[k]]])
    order = np.argsort(X, kind="stable")
    return X[order], y[order]
