"""The optimistic stochastic gradient on trial: how instances are drawn, and their sums in float64 and in balls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from flint import arb
from hypothesis import strategies as st

from bounds import Assumption, MonotoneOperator, StepAtMost, Theorem
from models.games import GameInstance, GameRun, train_game
from models.games_replay import GameExact, GameState, game_replay
from models.instance import InvalidRun
from models.interpolation import BlockGeometry, Blocks, rational
from models.trajectory import RECORD_LIMIT
from properties.balls import BallArray
from properties.compiled import compile_expression
from properties.hypotheses import PREDICATES, Check
from properties.observables import exact
from properties.plain import PlainExact, PlainFamily, PlainMeasurement
from properties.tools import ExactRun, Tools

FAMILIES = (
    PlainFamily("rotations", "a = 0: what is gained comes from looking ahead alone"),
    PlainFamily("monotone", "blocks with a ≥ 0, as unlike as 1 to 64"),
    PlainFamily("noise-alone", "a run that starts at the solution", hostile=True),
)
_ROTATIONS = ((0.0, 1.0), (0.0, -1.0), (0.0, 0.25))
_BLOCKS = (*_ROTATIONS, (1.0, 0.0), (0.5, 1.0), (0.0625, -1.0), (0.015625, 0.0))
#: The step size over the largest one that a theorem allows, or times L.
_SHARES = st.sampled_from((0.9921875, 0.5, 0.9921875, 0.125))
_MOST_BLOCKS, _MOST_STEPS = 2, 400


@dataclass(frozen=True)
class GameSetting:
    """What theorems on games that can share instances have in common: bounds on the step size."""

    limits: tuple[StepAtMost, ...]

    @classmethod
    def of(cls, theorem: Theorem) -> GameSetting:
        """The setting of one theorem."""
        return cls(tuple(a for a in theorem.assumes if isinstance(a, StepAtMost)))

    def families(self) -> tuple[PlainFamily, ...]:
        """All families."""
        return FAMILIES

    def instances(self, family: PlainFamily, steps: int) -> st.SearchStrategy[GameInstance]:
        """Strategy for instances of this setting; runs end where a sum of 1/t has long been seen."""
        return _instances(self, family, min(steps, _MOST_STEPS))


@st.composite
def _instances(draw: st.DrawFn, setting: GameSetting, family: PlainFamily, steps: int) -> GameInstance:
    k = draw(st.integers(1, _MOST_BLOCKS))
    pairs = _ROTATIONS if family.name == "rotations" else _BLOCKS
    X = np.array([draw(st.sampled_from(pairs)) for _ in range(k)])
    rng = np.random.default_rng(draw(st.integers(0, 255)))
    alone = family.name == "noise-alone"
    Z_0 = np.zeros((k, 2))
    if not alone:
        Z_0 = rng.integers(-4, 5, (k, 2)) / 4.0
        Z_0[0, 0] = 1.0
    noise = np.array([draw(st.sampled_from((1.0, 0.25) if alone else (0.0, 0.0, 0.25, 4.0))) for _ in range(k)])
    mirror = rng.integers(1, 4, (k, 2)).astype(np.float64) if draw(st.booleans()) else None
    data = Blocks(X, mirror)
    eta = draw(_SHARES) * _largest(setting.limits, BlockGeometry(data))
    return GameInstance(
        data, GameRun(steps, eta, Z_0, noise, draw(st.sampled_from((1, 4))), draw(st.sampled_from((0, 0, 1, 2))))
    )


def _largest(limits: tuple[StepAtMost, ...], geometry: BlockGeometry) -> float:
    """The largest step size that limits in L allow; 1/L without limits."""
    known = {"lipschitz": arb(geometry.lipschitz_sq).sqrt()}
    return min(
        (float(arb(compile_expression(a.limit)(known)).mid()) for a in limits),
        default=float(1 / known["lipschitz"]),
    )


def _monotone(_: Assumption, instance: GameInstance, geometry: BlockGeometry) -> Check:
    least = min(a for a, _ in geometry.blocks)
    return Check(least >= 0, float(arb(least)), "some block has a negative a (decided in rational numbers)")


PREDICATES[MonotoneOperator] = _monotone


# ------------------------------------------------------------------------------------------ measurement
def _column(name: str) -> Callable[[PlainMeasurement], BallArray]:
    return lambda m: BallArray.of(m.trajectory.column(name), m.trajectory.column(f"{name}_error"))


def _distance_0(m: PlainMeasurement) -> BallArray:
    squares = [rational(x) ** 2 for x in m.instance.run.Z_0.ravel().tolist()]
    return exact(sum(squares[1:], squares[0])).sqrt()


#: How each observable is measured in a float64 run.
FLOAT: dict[str, Callable[[PlainMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "eta": lambda m: exact(rational(m.instance.run.eta)),
    "lipschitz": lambda m: exact(m.geometry.lipschitz_sq).sqrt(),
    "solution_distance_0": _distance_0,
    "operator_moment_sum": _column("moment_sum"),
    "operator_moment_total": _column("moment_total"),
    "noise_sum": _column("noise_sum"),
}

#: How each observable of a state in balls is found.
BALLS: dict[str, Callable[[GameState], arb]] = {
    "t": lambda s: arb(s.t),
    "eta": lambda s: s.exact.eta,
    "lipschitz": lambda s: s.exact.lipschitz,
    "solution_distance_0": lambda s: s.exact.distance_0,
    "operator_moment_sum": lambda s: s.moment_sum,
    "operator_moment_total": lambda s: s.moment_total,
    "noise_sum": lambda s: s.noise_sum,
}


def measure_game(instance: GameInstance, geometry: BlockGeometry, dense: int = RECORD_LIMIT) -> PlainMeasurement:
    """Follow an instance's second moments, recording every step up to ``dense``, and measure it."""
    return PlainMeasurement(instance, geometry, train_game(instance, geometry, dense), FLOAT)


def exact_game(
    instance: GameInstance, geometry: BlockGeometry, onset: int | None, needed: frozenset[str]
) -> ExactRun:
    """The run in balls at the working precision."""
    return ExactRun(PlainExact(BALLS), game_replay(GameExact(instance, geometry)))


def _restart(instance: GameInstance, step: int, geometry: BlockGeometry) -> GameInstance:
    """Only step 0 is a start: later states are distributions.  Raises `InvalidRun` for the others."""
    if step:
        raise InvalidRun(f"step {step} is a distribution, not a start: take step 0")
    return instance.with_run(steps=0)


TOOLS = Tools(
    GameSetting.of,
    lambda instance: BlockGeometry(instance.dataset),
    measure_game,
    exact_game,
    _restart,
    GameInstance.from_json,
)
