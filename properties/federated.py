"""Adaptive federated learning over the air on trial: how instances are drawn, and their sums in both tiers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb, fmpq
from hypothesis import strategies as st

from bounds import Accumulator, Assumption, Interference, Theorem
from models.federated import RULES, Clients, FederatedInstance, FederatedRun, train_federated
from models.federated_replay import FederatedExact, FederatedState, federated_replay
from models.instance import InvalidRun
from models.interpolation import rational
from models.trajectory import RECORD_LIMIT
from properties.balls import BallArray
from properties.hypotheses import PREDICATES, Check
from properties.observables import exact
from properties.plain import PlainExact, PlainFamily, PlainMeasurement
from properties.tools import ExactRun, Tools

#: Tail index by family.
TAILS = {"tail-1.2": 1.2, "tail-1.5": 1.5, "tail-1.8": 1.8, "tail-2.0": 2.0}
FAMILIES = tuple(
    PlainFamily(name, f"interference of tail index {alpha:g}" + (", Gaussian" if alpha == 2.0 else ""))
    for name, alpha in TAILS.items()
)
#: Steps of a run for an inequality, which balls can replay.
_SHORT = 400
#: Steps and repetitions of a run for an order: averages of |Δ|^α forget their start sooner than sums.
_LONG, _REPETITIONS = {"adagrad": 2**16, "adam": 2**14}, 8
_ENTRIES = (0.5, 1.0, 2.0, -0.5, -1.0)


@dataclass(frozen=True)
class FederatedSetting:
    """What theorems that can share instances have in common: how v is made, and whether runs have to be long."""

    rule: str | None
    long: bool

    @classmethod
    def of(cls, theorem: Theorem) -> FederatedSetting:
        """The setting of one theorem."""
        rules = [a.rule for a in theorem.assumes if isinstance(a, Accumulator)]
        return cls(rules[0] if rules else None, theorem.kind != "pointwise")

    def families(self) -> tuple[PlainFamily, ...]:
        """One for each tail index."""
        return FAMILIES

    def instances(self, family: PlainFamily, steps: int) -> st.SearchStrategy[FederatedInstance]:
        """Strategy for instances of this setting."""
        return _long(self.rule, family, steps) if self.long else _short(self.rule, family, steps)


@st.composite
def _long(draw: st.DrawFn, rule: str | None, family: PlainFamily, steps: int) -> FederatedInstance:
    """Runs that leave their start early, so that their windows show what interference does and not the start."""
    n, d = draw(st.integers(2, 3)), draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    data = Clients(rng.choice(_ENTRIES, (n, d)), rng.integers(-2, 3, n) / 2.0)
    rule = rule or draw(st.sampled_from(RULES))
    run = FederatedRun(
        min(steps, _LONG[rule]),
        rule,
        eta=draw(st.sampled_from((0.5, 1.0, 2.0) if rule == "adagrad" else (0.125, 0.25))),
        w_0=rng.choice((-2.0, 2.0, 3.0), d),
        tail_index=TAILS[family.name],
        scale=draw(st.sampled_from((0.5, 1.0, 2.0))),
        seed=draw(st.integers(0, 2**16)),
        v_0=draw(st.sampled_from((2.0**-10, 1.0))),
        beta_1=draw(st.sampled_from((0.0, 0.5, 0.9))),
        beta_2=draw(st.sampled_from((0.5, 0.9, 0.99))),
        epsilon=draw(st.sampled_from((0.0, 2.0**-10))),
        repetitions=_REPETITIONS,
    )
    return FederatedInstance(data, run)


@st.composite
def _short(draw: st.DrawFn, rule: str | None, family: PlainFamily, steps: int) -> FederatedInstance:
    """Runs of every kind, with and without interference and fading, step sizes too long and v_0 of all sizes."""
    n, d = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    data = Clients(rng.choice((0.0, *_ENTRIES), (n, d)), rng.integers(-4, 5, n) / 2.0)
    run = FederatedRun(
        draw(st.integers(1, max(1, min(steps, _SHORT)))),
        rule or draw(st.sampled_from(RULES)),
        eta=draw(st.sampled_from((1.0, 0.125, 8.0, 2.0**-6))),
        w_0=rng.integers(-8, 9, d) / 2.0,
        tail_index=TAILS[family.name],
        scale=draw(st.sampled_from((1.0, 0.0, 0.125, 16.0))),
        seed=draw(st.integers(0, 2**16)),
        v_0=draw(st.sampled_from((1.0, 2.0**-20, 2.0**10))),
        beta_1=draw(st.sampled_from((0.0, 0.5, 0.9375))),
        beta_2=draw(st.sampled_from((0.5, 0.9375, 0.0625))),
        epsilon=draw(st.sampled_from((0.0, 2.0**-10, 1.0))),
        repetitions=draw(st.integers(1, 2)),
        fading=draw(st.sampled_from((1, 1, 0))),
    )
    return FederatedInstance(data, run)


# ------------------------------------------------------------------------------------------- hypotheses
def _accumulates(assumption: Assumption, instance: FederatedInstance, _: Any) -> Check:
    assert isinstance(assumption, Accumulator)
    rule = instance.run.rule
    return Check(rule == assumption.rule, 0.0, f"the run's rule is {rule}")


def _interferes(_: Assumption, instance: FederatedInstance, geometry: Any) -> Check:
    present = instance.run.scale > 0.0 and bool(instance.dataset.X.any())
    return Check(present, 0.0, "the interference has scale 0, or every x_n is 0")


PREDICATES[Accumulator] = _accumulates
PREDICATES[Interference] = _interferes


# ------------------------------------------------------------------------------------------ measurement
def _smoothness(m: PlainMeasurement) -> BallArray:
    squares = [rational(x) ** 2 for x in m.instance.dataset.X.ravel().tolist()]
    return exact(sum(squares, fmpq(0)) / m.instance.dataset.N)


def _column(name: str, size: str = "") -> Callable[[PlainMeasurement], BallArray]:
    """A sum, with a budget of some roundings a step of its ``size``, or of 1 a coordinate for ``size`` 1.

    This is what rounding adds directly.  How a run amplifies earlier roundings is not followed: with long steps
    that may be more.  A suspect that it makes is the certified tier's to decide.
    """

    def measure(m: PlainMeasurement) -> BallArray:
        trajectory, dataset = m.trajectory, m.instance.dataset
        sizes = dataset.X.shape[1] if size == "1" else np.abs(trajectory.column(size or name))
        rounding = 2.0**-52 * 32 * dataset.X.size * (trajectory.t + 1.0)
        return BallArray.of(trajectory.column(name), rounding * sizes)

    return measure


#: How each observable is measured in a float64 run.
FLOAT: dict[str, Callable[[PlainMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "d": lambda m: BallArray.of(m.instance.dataset.X.shape[1]),
    "eta": lambda m: exact(rational(m.instance.run.eta)),
    "tail_index": lambda m: exact(rational(m.instance.run.tail_index)),
    "beta_2": lambda m: exact(rational(m.instance.run.beta_2)),
    "smoothness": _smoothness,
    "gradient_square_sum": _column("gradient_square_sum"),
    "normalised_sum": _column("normalised_sum"),
    "log_growth": _column("log_growth", "1"),
    "step_square_sum": _column("step_square_sum"),
    "descent_sum": _column("descent_sum", "descent_size"),
    "objective_drop": _column("objective_drop", "objective_size"),
}

#: How each observable of a state in balls is found.
BALLS: dict[str, Callable[[FederatedState], arb]] = {
    "t": lambda s: arb(s.t),
    "d": lambda s: arb(len(s.exact.w_0)),
    "eta": lambda s: s.exact.eta,
    "tail_index": lambda s: s.exact.alpha,
    "beta_2": lambda s: s.exact.beta_2,
    "smoothness": lambda s: s.exact.smoothness,
    "gradient_square_sum": lambda s: s.mean("gradient_square_sum"),
    "normalised_sum": lambda s: s.mean("normalised_sum"),
    "log_growth": lambda s: s.mean("log_growth"),
    "step_square_sum": lambda s: s.mean("step_square_sum"),
    "descent_sum": lambda s: s.mean("descent_sum"),
    "objective_drop": lambda s: s.mean("objective_drop"),
}


def measure_federated(instance: FederatedInstance, geometry: Any, dense: int = RECORD_LIMIT) -> PlainMeasurement:
    """Train an instance, recording every step up to ``dense``, and measure it."""
    return PlainMeasurement(instance, geometry, train_federated(instance, dense), FLOAT)


def exact_federated(
    instance: FederatedInstance, geometry: Any, onset: int | None, needed: frozenset[str]
) -> ExactRun:
    """The run in balls at the working precision."""
    return ExactRun(PlainExact(BALLS), federated_replay(FederatedExact(instance)))


def _restart(instance: FederatedInstance, step: int, geometry: Any) -> FederatedInstance:
    """Only step 0 is a start: v and Δ belong to what came before.  Raises `InvalidRun` for the others."""
    if step:
        raise InvalidRun(f"step {step} has a past in v, which no start has: take step 0")
    return instance.with_run(steps=0)


TOOLS = Tools(
    FederatedSetting.of,
    lambda instance: None,
    measure_federated,
    exact_federated,
    _restart,
    FederatedInstance.from_json,
)
