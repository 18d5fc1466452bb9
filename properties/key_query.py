"""Keys and queries on trial: how instances are drawn, and their observables in float64 and in balls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import flint
import numpy as np
from flint import arb
from hypothesis import strategies as st

from bounds import Theorem
from models.dataset import Array, InvalidDataset
from models.instance import LOSSES
from models.key_query import (
    KeyQueryGeometry,
    KeyQueryInstance,
    KeyQueryRun,
    KeyQueryState,
    Sequences,
    direction_gap_of,
    replay_key_query,
    restarted_key_query,
    train_key_query,
)
from models.key_query_reference import Reference
from models.maxmargin import MaxMargin
from models.trajectory import RECORD_LIMIT
from properties.apriori import slope_ratio
from properties.balls import BallArray, lift
from properties.observables import Undefined, exact
from properties.plain import PlainExact, PlainFamily, PlainMeasurement
from properties.tools import ExactRun, Tools

FAMILIES = (
    PlainFamily("scattered", "few-digit tokens and queries"),
    PlainFamily("ties", "entries ±1 and 0: often more than one solution of least nuclear norm", hostile=True),
    PlainFamily("one-query", "one query for all sequences: both norms have the same solution"),
)
#: R grows to this multiple of its start; by then the margin has long left its start behind.
MOST_STEPS = 2**11
_MOST_SEQUENCES, _MOST_TOKENS, _MOST_COORDINATES = 3, 3, 4
_TRIES = 40
_SIZES = st.sampled_from((1.0, 0.5, 4.0))


@dataclass(frozen=True)
class KeyQuerySetting:
    """All theorems on keys and queries share their instances."""

    def families(self) -> tuple[PlainFamily, ...]:
        """All families."""
        return FAMILIES

    def instances(self, family: PlainFamily, steps: int) -> st.SearchStrategy[KeyQueryInstance]:
        """Strategy for separable data of a family; sizes end where the limit has long been seen."""
        return _instances(family, min(steps, MOST_STEPS))


@st.composite
def _instances(draw: st.DrawFn, family: PlainFamily, steps: int) -> KeyQueryInstance:
    n, T = draw(st.integers(2, _MOST_SEQUENCES)), draw(st.integers(2, _MOST_TOKENS))
    d = draw(st.integers(max(n, T - 1), _MOST_COORDINATES))
    rng = np.random.default_rng(draw(st.integers(0, 1023)))
    data, gamma = _separable(rng, family.name, n, T, d)
    factors = rng.integers(-8, 9, (2, d, d)) / 8.0
    size = float((factors**2).sum()) / 2
    scale = 2.0 ** round(np.log2(draw(_SIZES) / (gamma * size)) / 2)
    K_0, Q_0 = scale * factors
    return KeyQueryInstance(data, KeyQueryRun(steps, draw(st.sampled_from(LOSSES)), K_0, Q_0))


def _separable(rng: np.random.Generator, family: str, n: int, T: int, d: int) -> tuple[Sequences, float]:
    """Data of a family that some W separates, and their margin γ; after many tries, orthogonal tokens."""

    def entries(*shape: int) -> Array:
        if family == "ties":
            return np.asarray(rng.integers(-1, 2, shape), dtype=np.float64)
        return np.asarray(rng.integers(-8, 9, shape) / 4.0, dtype=np.float64)

    for _ in range(_TRIES):
        query = np.tile(entries(1, d), (n, 1)) if family == "one-query" else entries(n, d)
        try:
            data = Sequences(entries(n, T, d), rng.choice([-1.0, 1.0], n), entries(d), query)
        except InvalidDataset:  # no optimal token
            continue
        solution = KeyQueryGeometry(data.tokens).max_margin
        if solution is not None:
            return data, solution.gamma
    tokens = np.tile(np.eye(T, d), (n, 1, 1))
    query = np.ones((n, d))
    return Sequences(tokens, np.ones(n), np.arange(d, 0.0, -1.0), query), 1.0


# ------------------------------------------------------------------------------------------ measurement
def _reference(geometry: KeyQueryGeometry) -> Reference:
    if geometry.reference is None:
        raise Undefined("no direction with positive margins was found")
    return geometry.reference


def _solution(geometry: KeyQueryGeometry) -> MaxMargin:
    if geometry.max_margin is None:
        raise Undefined("γ does not exist: the tokens are not separable")
    return geometry.max_margin


def _gamma(geometry: KeyQueryGeometry) -> arb:
    return (1 / arb(_solution(geometry).norm_sq)).sqrt()


def _fixed(value: Callable[[PlainMeasurement], arb]) -> Callable[[PlainMeasurement], BallArray]:
    def measure(m: PlainMeasurement) -> BallArray:
        with flint.ctx.workprec(128):
            return lift(value(m))

    return measure


def _column(name: str) -> Callable[[PlainMeasurement], BallArray]:
    """One rounding of a value that is known to many more bits; the balls of a gap subtract from 1."""

    def measure(m: PlainMeasurement) -> BallArray:
        values = m.trajectory.column(name)
        return BallArray.of(values, 2.0**-52 * np.abs(values) + 2.0**-200)

    return measure


def _logarithm(name: str) -> Callable[[PlainMeasurement], BallArray]:
    def measure(m: PlainMeasurement) -> BallArray:
        values = m.trajectory.column(name)
        return BallArray.of_log(values, 2.0**-52 * np.abs(values))

    return measure


#: How each observable is measured in a float64 run.
FLOAT: dict[str, Callable[[PlainMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "n": lambda m: BallArray.of(m.geometry.dataset.n),
    "T": lambda m: BallArray.of(m.geometry.dataset.T),
    "Delta_max": lambda m: exact(max(max(row) for row in m.geometry.dataset.exact_gaps)),
    "Delta_min": lambda m: exact(min(min(row) for row in m.geometry.dataset.exact_gaps)),
    "slope_ratio": _fixed(lambda m: slope_ratio(m.geometry, m.instance.run.loss)),
    "gamma": _fixed(lambda m: _gamma(m.geometry)),
    "reference_margin": lambda m: exact(_reference(m.geometry).margin),
    "dual_norm": _fixed(lambda m: _reference(m.geometry).dual_norm()),
    "norm": _column("norm"),
    "factor_norm": _column("factor_norm"),
    "margin_min": _column("margin_min"),
    "direction_gap": _column("direction_gap"),
    "nuclear_gap": _column("nuclear_gap"),
    "loss_gap": _logarithm("log_loss_gap"),
    "reference_loss_gap": _logarithm("log_reference_gap"),
}


def _direction_gap(state: KeyQueryState) -> arb:
    _solution(state.geometry)
    if not state.norm_sq:
        raise Undefined("the direction gap is undefined while W = 0")
    return direction_gap_of(state)


def _nuclear_gap(state: KeyQueryState) -> arb:
    return 1 - arb(state.margin_min) / (_reference(state.geometry).dual_norm() * arb(state.factor_norm))


#: How each observable of a state in balls is found.
BALLS: dict[str, Callable[[KeyQueryState], arb]] = {
    "t": lambda s: arb(s.t),
    "n": lambda s: arb(s.geometry.dataset.n),
    "T": lambda s: arb(s.geometry.dataset.T),
    "Delta_max": lambda s: arb(max(max(row) for row in s.geometry.dataset.exact_gaps)),
    "Delta_min": lambda s: arb(min(min(row) for row in s.geometry.dataset.exact_gaps)),
    "slope_ratio": lambda s: slope_ratio(s.geometry, s.loss),
    "gamma": lambda s: _gamma(s.geometry),
    "reference_margin": lambda s: arb(_reference(s.geometry).margin),
    "dual_norm": lambda s: _reference(s.geometry).dual_norm(),
    "norm": lambda s: s.norm,
    "factor_norm": lambda s: arb(s.factor_norm),
    "margin_min": lambda s: arb(s.margin_min),
    "direction_gap": _direction_gap,
    "nuclear_gap": _nuclear_gap,
    "loss_gap": lambda s: s.loss_gap(),
    "reference_loss_gap": lambda s: s.loss_gap(_reference(s.geometry).margins),
}


def measure_key_query(
    instance: KeyQueryInstance, geometry: KeyQueryGeometry, dense: int = RECORD_LIMIT
) -> PlainMeasurement:
    """Minimise for every size of an instance, and measure it."""
    return PlainMeasurement(instance, geometry, train_key_query(instance, geometry), FLOAT)


def exact_key_query(
    instance: KeyQueryInstance, geometry: KeyQueryGeometry, onset: int | None, needed: frozenset[str]
) -> ExactRun:
    """The start in balls at the working precision."""
    return ExactRun(PlainExact(BALLS), replay_key_query(instance, geometry))


def setting_of(theorem: Theorem) -> KeyQuerySetting:
    """The setting of one theorem."""
    return KeyQuerySetting()


TOOLS = Tools(
    setting_of,
    lambda instance: KeyQueryGeometry(instance.dataset.tokens),
    measure_key_query,
    exact_key_query,
    restarted_key_query,
    KeyQueryInstance.from_json,
)
