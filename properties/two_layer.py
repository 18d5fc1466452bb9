"""Two-layer networks on trial: how instances are drawn, and their observables in float64 and in balls."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from flint import arb
from hypothesis import strategies as st

from bounds import NOTATION, StepAtMost, Theorem
from models.dataset import Array
from models.linear import LinearGeometry, Points
from models.trajectory import RECORD_LIMIT
from models.two_layer import NetworkInstance, NetworkRun, restarted_network, train_network
from models.two_layer_replay import NetworkBallState, NetworkExact, network_replay
from properties.balls import BallArray
from properties.compiled import compile_expression
from properties.linear_observables import number
from properties.linear_points import points
from properties.observables import Undefined, exact
from properties.plain import PlainExact, PlainFamily, PlainMeasurement
from properties.tools import ExactRun, Tools

FAMILIES = (
    PlainFamily("scattered", "narrow networks with random signs on few-digit points"),
    PlainFamily("at-the-kink", "weights so small that every point is where the activation bends"),
    PlainFamily("wide", "many equal neurons, between two nearly opposite points at the kink", hostile=True),
)
_SLOPES = st.sampled_from(((0.25, 1.0), (0.5, 1.0), (0.5, 0.5), (0.125, 2.0)))
_SHARP = st.sampled_from((2, 6, 12))
_SIZES = st.sampled_from((0, 2, -3))
_ANY_STEP = st.sampled_from((0, 3, -3))
_HALVINGS = 16


@dataclass(frozen=True)
class NetworkSetting:
    """What theorems on two-layer networks that can share instances have in common: bounds on the step size."""

    limits: tuple[StepAtMost, ...]

    @classmethod
    def of(cls, theorem: Theorem) -> NetworkSetting:
        """The setting of one theorem."""
        return cls(tuple(a for a in theorem.assumes if isinstance(a, StepAtMost)))

    def families(self) -> tuple[PlainFamily, ...]:
        """All families."""
        return FAMILIES

    def instances(self, family: PlainFamily, steps: int) -> st.SearchStrategy[NetworkInstance]:
        """Strategy for instances of this setting with networks of one family."""
        return _instances(self, family, steps)


@st.composite
def _instances(draw: st.DrawFn, setting: NetworkSetting, family: PlainFamily, steps: int) -> NetworkInstance:
    if family.name == "wide":
        dataset, run = draw(_wide(steps))
    else:
        dataset = draw(points("scattered"))
        alpha, ell = draw(_SLOPES)
        rng = np.random.default_rng(draw(st.integers(0, 255)))
        k, sharp = draw(st.integers(1, 4)), draw(_SHARP)
        W = rng.integers(-4, 5, (k, dataset.d)) / 4.0 * 2.0 ** draw(_SIZES)
        if family.name == "at-the-kink":
            W *= 2.0**-sharp
        a = rng.choice([-1.0, 1.0], k) if draw(st.booleans()) else -np.ones(k)
        run = NetworkRun(steps, 1.0, alpha, ell, 2.0**sharp, W, a, draw(st.sampled_from((1, 2, 5))))
    eta = 2.0 ** draw(_ANY_STEP) if not setting.limits else 2.0 ** -draw(st.sampled_from((0, 1, 4)))
    return largest_step(setting.limits, NetworkInstance(dataset, replace(run, eta=eta)))


@st.composite
def _wide(draw: st.DrawFn, steps: int) -> tuple[Points, NetworkRun]:
    """Two points (g, ±s) and equal neurons whose step carries one point over the kink, and the other back."""
    low, side = draw(st.sampled_from((0.25, 0.1875))), draw(st.sampled_from((0.9375, 0.875)))
    y = np.array([1.0, 1.0])
    dataset = Points(np.array([[low, side], [low, -side]]), y)
    beta = 2.0 ** draw(st.sampled_from((16, 20, 24)))
    W = np.array([[0.0, -draw(st.sampled_from((2.0, 1.0, 3.0))) / beta]])
    copies = 2 ** draw(st.sampled_from((10, 11, 12)))
    return dataset, NetworkRun(steps, 1.0, 0.25, 1.0, beta, W, np.array([-1.0]), copies)


def largest_step(limits: tuple[StepAtMost, ...], instance: NetworkInstance) -> NetworkInstance:
    """The instance with its η times nearly the largest step size that the limits allow, of eight binary digits."""
    geometry = LinearGeometry(instance.dataset)
    if not limits or geometry.max_margin is None:
        return instance

    state = next(network_replay(NetworkExact(instance, geometry)))
    known = {name: ball(state) for name, ball in BALLS.items() if NOTATION[name].level != "step"}

    def allowed(eta: float) -> float:
        values = {**known, "eta": arb(eta)}
        return min(float(arb(compile_expression(a.limit)(values)).mid()) for a in limits)

    low, high = 0.0, min(allowed(2.0**-1000), 2.0**500)  # limits fall as η grows
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if middle <= allowed(middle) else (low, middle)
    mantissa, exponent = math.frexp(low)
    eta = math.ldexp(math.ceil(mantissa * 256.0) - 1, exponent - 8)
    return instance.with_run(eta=instance.run.eta * eta) if eta > 0.0 else instance


# ------------------------------------------------------------------------------------------ measurement
def _log_error(m: PlainMeasurement) -> Array:
    """Absolute error of log F at a given state."""
    return np.asarray(2 * m.trajectory.column("output_error") + 16 * 2.0**-52 * (1 + m.instance.dataset.n))


def _loss(m: PlainMeasurement) -> BallArray:
    values = m.trajectory.column("log_loss")
    error = _log_error(m) + m.trajectory.column("drift") + 4 * 2.0**-52 * np.abs(values)
    return BallArray.of_log(values, error)


def _relative(m: PlainMeasurement) -> Array:
    """Relative error of slopes σ' and of weights p, with what cancels in ∇F: at most h/(‖∇F‖/F)."""
    run, data = m.instance.run, m.instance.dataset
    slope = m.trajectory.column("slope")
    reach = run.ell * m.geometry.radius / math.sqrt(run.width)
    output = m.trajectory.column("output_error")
    # Preactivations are off by at most output_error/(4ℓ), slopes by L times that.
    error = _log_error(m) + run.bend * output / (4 * run.ell * run.alpha) + 2.0**-52 * (data.n + data.d + 16)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(4 * reach / slope * error)


def _gradient(m: PlainMeasurement) -> BallArray:
    slope = m.trajectory.column("slope")
    return BallArray.of(slope, slope * _relative(m)) * m["loss"]


def _curvature(m: PlainMeasurement) -> BallArray:
    """A quotient of forms of degree two: its terms are as large as H, and turn with the gradient and σ''."""
    run = m.instance.run
    largest = (run.bend + run.ell**2) * m.geometry.radius**2 / (run.width / run.copies)
    # |(log σ'')'| ≤ β: preactivations off by output_error/(4ℓ) move it that much.
    turned = run.beta * m.trajectory.column("output_error") / (4 * run.ell)
    error = largest * (8 * _relative(m) + turned)
    return BallArray.of(m.trajectory.column("bending"), error) * m["loss"]


def _gamma(m: PlainMeasurement) -> BallArray:
    if m.geometry.max_margin is None:
        raise Undefined("γ does not exist: the classes are not separable")
    return _near(m.geometry.gamma)


def _near(value: float) -> BallArray:
    return BallArray.of(value, 4 * 2.0**-52 * abs(value))


def _first(m: PlainMeasurement) -> BallArray:
    balls = m["loss"]
    return BallArray(balls.mid[0], balls.rad[0], balls.exp2[0])


#: How each observable is measured in a float64 run.
FLOAT: dict[str, Callable[[PlainMeasurement], BallArray]] = {
    "t": lambda m: BallArray.of(m.trajectory.t),
    "n": lambda m: BallArray.of(m.instance.dataset.n),
    "d": lambda m: BallArray.of(m.instance.dataset.d),
    "eta": lambda m: exact(number(m.instance.run.eta)),
    "width": lambda m: BallArray.of(m.instance.run.width),
    "slope_low": lambda m: exact(number(m.instance.run.alpha)),
    "slope_high": lambda m: exact(number(m.instance.run.ell)),
    "bend": lambda m: _near(m.instance.run.bend),
    "radius": lambda m: _near(m.geometry.radius),
    "gamma": _gamma,
    "loss": _loss,
    "loss_0": lambda m: BallArray.of(1.0),
    "loss_start": _first,
    "grad_norm": _gradient,
    "curvature": _curvature,
}


def _exact_gamma(s: NetworkBallState) -> arb:
    if s.exact.gamma is None:
        raise Undefined("γ does not exist: the classes are not separable")
    return s.exact.gamma


#: How each observable of a state in balls is found.
BALLS: dict[str, Callable[[NetworkBallState], arb]] = {
    "t": lambda s: arb(s.t),
    "n": lambda s: arb(s.exact.n),
    "d": lambda s: arb(s.exact.instance.dataset.d),
    "eta": lambda s: s.exact.eta,
    "width": lambda s: arb(s.exact.width),
    "slope_low": lambda s: s.exact.alpha,
    "slope_high": lambda s: s.exact.ell,
    "bend": lambda s: s.exact.bend,
    "radius": lambda s: s.exact.radius,
    "gamma": _exact_gamma,
    "loss": lambda s: s.loss,
    "loss_0": lambda s: arb(1),
    "loss_start": lambda s: s.loss_start,
    "grad_norm": lambda s: s.grad_norm,
    "curvature": lambda s: s.curvature,
}


def measure_network(
    instance: NetworkInstance, geometry: LinearGeometry, dense: int = RECORD_LIMIT
) -> PlainMeasurement:
    """Train an instance, recording every step up to ``dense``, and measure it."""
    return PlainMeasurement(instance, geometry, train_network(instance, geometry, dense), FLOAT)


def exact_network(
    instance: NetworkInstance, geometry: LinearGeometry, onset: int | None, needed: frozenset[str]
) -> ExactRun:
    """The run in balls at the working precision."""
    return ExactRun(PlainExact(BALLS), network_replay(NetworkExact(instance, geometry)))


TOOLS = Tools(
    NetworkSetting.of,
    lambda instance: LinearGeometry(instance.dataset),
    measure_network,
    exact_network,
    restarted_network,
    NetworkInstance.from_json,
)
