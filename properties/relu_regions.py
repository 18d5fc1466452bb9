"""Linear regions of ReLU networks on trial: how instances are drawn, and their observables in both tiers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb
from hypothesis import strategies as st

from bounds import Assumption, GrowingData, GrowingWidth, Theorem
from models.dataset import Array
from models.interpolation import rational
from models.relu_regions import LinePoints, ReluInstance, ReluRun, restarted_relu, train_relu
from models.relu_regions_replay import ReluState, relu_replay
from models.relu_regions_sweep import FIRST, POINTS, WIDTH, SweepInstance, SweepRun, train_sweep
from models.replay import PrecisionLost
from models.trajectory import RECORD_LIMIT
from properties.balls import BallArray
from properties.hypotheses import PREDICATES, Check
from properties.observables import exact
from properties.plain import PlainExact, PlainFamily, PlainMeasurement
from properties.tools import ExactRun, Tools

NETWORKS = (
    PlainFamily("scattered", "few-digit neurons and points"),
    PlainFamily("zigzag", "networks through ±1 at points of alternating labels, with as few regions as possible"),
    PlainFamily(
        "faint", "alternations hardly larger than what is neglected, and kinks between them", hostile=True
    ),
    PlainFamily("coincident", "kinks at few places, where slopes cancel; neurons without a kink", hostile=True),
)
SWEEPS = (
    PlainFamily("even", "stretches of equal labels of one length"),
    PlainFamily("uneven", "long and short stretches"),
)
_MOST_STEPS, _LARGEST = 40, 1023
_VARIED = {GrowingWidth: WIDTH, GrowingData: POINTS}
_TOLERANCES = (2.0**-4, 2.0**-6, 2.0**-8)
#: Steps of descent that bring networks on r alternations to margins of 2 and more.
_EPOCHS = {1: 500, 2: 1500, 3: 4000}


@dataclass(frozen=True)
class ReluSetting:
    """What theorems on univariate networks that can share instances have in common.

    Attributes
    ----------
    varied : str or None
        What a sweep's t is; None where t counts steps of descent.
    """

    varied: str | None

    @classmethod
    def of(cls, theorem: Theorem) -> ReluSetting:
        """The setting of one theorem."""
        return cls(next((_VARIED[type(a)] for a in theorem.assumes if type(a) in _VARIED), None))

    def families(self) -> tuple[PlainFamily, ...]:
        """Families of networks, or of sweeps."""
        return SWEEPS if self.varied else NETWORKS

    def instances(
        self, family: PlainFamily, steps: int
    ) -> st.SearchStrategy[ReluInstance] | st.SearchStrategy[SweepInstance]:
        """Strategy for instances of this setting; 40 steps, and sweeps up to 1023, see what there is."""
        if self.varied:
            return _sweeps(self.varied, family, min(max(steps, FIRST), _LARGEST))
        return _networks(family, min(steps, _MOST_STEPS))


@st.composite
def _networks(draw: st.DrawFn, family: PlainFamily, steps: int) -> ReluInstance:
    rng = np.random.default_rng(draw(st.integers(0, 255)))
    n = draw(st.integers(2, 6))
    X = np.sort(rng.choice(np.arange(-8, 9), n, replace=False)) / 4.0
    y = rng.choice([-1.0, 1.0], n)
    tolerance = draw(st.sampled_from(_TOLERANCES))
    if family.name in ("zigzag", "faint"):
        y = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
        W = through(X, y) if family.name == "zigzag" else through(*_faint(draw, X, y, tolerance))
    else:
        m = draw(st.integers(1, 6))
        size = 4 if family.name == "scattered" else 1
        W = np.asarray(rng.integers(-size, size + 1, (m, 3)), dtype=np.float64)
        W[0, 2] = W[0, 2] or 1.0
    eta = draw(st.sampled_from((0.5, 0.0625, 1.0)))
    return ReluInstance(LinePoints(X, y), ReluRun(steps, eta, W, tolerance))


def _faint(draw: st.DrawFn, X: Array, y: Array, tolerance: float) -> tuple[Array, Array]:
    """Knots: the points, with an output of 1 and others just beyond ±ε or ±2ε, and the middles between them."""
    heights = y * draw(st.sampled_from((1.125, 2.0625))) * tolerance
    heights[0] = 1.0
    bump = draw(st.sampled_from((0.0625, -0.0625, 0.25))) * tolerance
    knots, values = np.empty(2 * X.size - 1), np.empty(2 * X.size - 1)
    knots[::2], values[::2] = X, heights
    knots[1::2], values[1::2] = (X[:-1] + X[1:]) / 2, (heights[:-1] + heights[1:]) / 2 + bump
    return knots, values


def through(knots: Array, values: Array) -> Array:
    """Neurons of the function through the knots that is affine between them, up to rounding.

    The outermost knots are no kinks: n knots take n − 1 regions.
    """
    slopes = np.diff(values) / np.diff(knots)
    rows = [[0.0, 1.0, values[0]], [1.0, -knots[0], slopes[0]], [-1.0, knots[0], -slopes[0]]]
    rows += [[1.0, -x, change] for x, change in zip(knots[1:-1], np.diff(slopes), strict=True)]
    return np.array(rows)


@st.composite
def _sweeps(draw: st.DrawFn, varied: str, family: PlainFamily, steps: int) -> SweepInstance:
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    r = int(rng.integers(1, 4))
    lengths = np.ones(r + 1) if family.name == "even" else rng.integers(2, 7, r + 1) / 4.0
    gaps = np.ones(r) if family.name == "even" else rng.integers(3, 6, r) / 4.0
    left = np.concatenate([[0.0], np.cumsum(lengths[:-1] + gaps)])
    X = np.column_stack([left, left + lengths / 2, left + lengths]).ravel()
    X = 2.0 * (X - X.mean()) / (X[-1] - X[0])
    y = np.repeat(np.where(np.arange(r + 1) % 2 == 0, 1.0, -1.0) * rng.choice([1.0, -1.0]), 3)
    offset, scale, tolerance = rng.integers(64) / 64.0, rng.choice([1.0, 2.0]), rng.choice(_TOLERANCES)
    run = SweepRun(steps, varied, 1.0, _EPOCHS[r], scale, offset, tolerance)
    return SweepInstance(LinePoints(X, y), run)


# ------------------------------------------------------------------------------------------- predicates
def _grows(assumption: Assumption, instance: ReluInstance | SweepInstance, geometry: None) -> Check:
    wanted = _VARIED[type(assumption)]
    varied = instance.run.varied if isinstance(instance, SweepInstance) else "steps"
    return Check(varied == wanted, 0.0, f"the run's t counts {varied}")


PREDICATES.update({GrowingWidth: _grows, GrowingData: _grows})


# ------------------------------------------------------------------------------------------ measurement
def _column(name: str, error: float) -> Callable[[PlainMeasurement], BallArray]:
    def measure(m: PlainMeasurement) -> BallArray:
        values = m.trajectory.column(name)
        return BallArray.of(values, error * np.abs(values))

    return measure


def _width(m: PlainMeasurement) -> BallArray:
    run = m.instance.run
    if isinstance(run, ReluRun):
        return BallArray.of(run.W_0.shape[0])
    return BallArray.of(m.trajectory.t if run.varied == WIDTH else run.width)


def _points(m: PlainMeasurement) -> BallArray:
    run = m.instance.run
    return BallArray.of(m.trajectory.t if getattr(run, "varied", "") == POINTS else m.instance.dataset.N)


#: How each observable is measured in a float64 run.  Counts are those of the float network.
FLOAT: dict[str, Callable[[PlainMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "n": _points,
    "eta": lambda m: exact(rational(m.instance.run.eta)),
    "width": _width,
    "alternations": lambda m: BallArray.of(m.instance.dataset.alternations),
    "tolerance": lambda m: exact(rational(m.instance.run.tolerance)),
    "regions": _column("regions", 0.0),
    "effective_regions": _column("effective_regions", 0.0),
    "output_margin": _column("margin_min", 2.0**-52),
    "output_max": _column("output_max", 2.0**-52),
}
#: How each observable of a state in balls is found.
BALLS: dict[str, Callable[[ReluState], arb]] = {
    "t": lambda s: arb(s.t),
    "n": lambda s: arb(len(s.points)),
    "eta": lambda s: arb(s.instance.run.eta),
    "width": lambda s: arb(len(s.neurons)),
    "alternations": lambda s: arb(s.instance.dataset.alternations),
    "tolerance": lambda s: arb(s.instance.run.tolerance),
    "regions": lambda s: arb(s.graph.regions),
    "effective_regions": lambda s: arb(s.effective_regions),
    "output_margin": lambda s: s.output_margin,
    "output_max": lambda s: arb(s.output_max),
}


def measure_relu(
    instance: ReluInstance | SweepInstance, geometry: None, dense: int = RECORD_LIMIT
) -> PlainMeasurement:
    """Train an instance, recording every step up to ``dense``, or each size of a sweep, and measure it."""
    run = train_sweep(instance) if isinstance(instance, SweepInstance) else train_relu(instance, dense)
    return PlainMeasurement(instance, geometry, run, FLOAT)


def exact_relu(
    instance: ReluInstance | SweepInstance, geometry: None, onset: int | None, needed: frozenset[str]
) -> ExactRun:
    """The run in balls at the working precision.  Raises `PrecisionLost` for sweeps: only float64 trains them."""
    if isinstance(instance, SweepInstance):
        raise PrecisionLost("a sweep is trained in float64 only")
    return ExactRun(PlainExact(BALLS), relu_replay(instance))


def _restart(instance: ReluInstance | SweepInstance, step: int, geometry: None) -> ReluInstance | SweepInstance:
    return instance if isinstance(instance, SweepInstance) else restarted_relu(instance, step)


def _from_json(data: Mapping[str, Any]) -> ReluInstance | SweepInstance:
    """A sweep says what varies."""
    run = data.get("run")
    kind = SweepInstance if isinstance(run, Mapping) and "varied" in run else ReluInstance
    return kind.from_json(data)


TOOLS = Tools(ReluSetting.of, lambda instance: None, measure_relu, exact_relu, _restart, _from_json)
