"""Linear classification in Arb balls: the dynamics of `models.linear` with every rounding error enclosed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from flint import arb, arb_mat, fmpq

from models.joint_replay import root
from models.linear import LinearGeometry, LinearInstance
from models.replay import PrecisionLost, largest, total


class LinearExact:
    """The exact constants of an instance as balls of the working precision at which it is made."""

    def __init__(self, instance: LinearInstance, geometry: LinearGeometry, onset: int | None) -> None:
        self.instance, self.geometry, self.onset = instance, geometry, onset
        run = instance.run
        self.n: int = instance.dataset.n
        self.d: int = instance.dataset.d
        self.Z = arb_mat(geometry.points.integers) * arb(fmpq(2) ** geometry.points.exponent)
        self.eta = arb(run.eta)
        self.power = arb(fmpq(run.power.numerator, run.power.denominator))
        self.logistic = run.loss == "logistic"
        self.share = arb(1) if run.reduction == "sum" else arb(fmpq(1, self.n))
        solution = geometry.max_margin
        self.gamma = None if solution is None else (1 / arb(solution.norm_sq)).sqrt()
        exact = geometry.exact_solution
        self.direction = None if exact is None or self.gamma is None else [self.gamma * arb(x) for x in exact]

    def step_size(self, t: int) -> arb:
        """η (start+t+1)^{−power}."""
        if self.instance.run.power == 0:
            return self.eta
        return self.eta * arb(self.instance.run.start + t + 1) ** -self.power

    def combine(self, weights: list[arb]) -> list[arb]:
        """Σ weights_i z_i."""
        return list((arb_mat(1, self.n, weights) * self.Z).entries())


class LinearForces:
    """What a state w gives rise to: margins, losses and pulls."""

    def __init__(self, exact: LinearExact, w: list[arb]) -> None:
        self.exact, self.w = exact, w
        self.m: list[arb] = list((exact.Z * arb_mat(exact.d, 1, w)).entries())
        self.decay = [(-m).exp() for m in self.m]  # e^{−m_i}

    @cached_property
    def q(self) -> list[arb]:
        """softmax(−m)."""
        mass = total(self.decay)
        return [x / mass for x in self.decay]

    @property
    def psi(self) -> arb:
        """log Σ e^{−m_i}."""
        return total(self.decay).log()

    @cached_property
    def pull_vector(self) -> list[arb]:
        """Σ q_i z_i."""
        return self.exact.combine(self.q)

    @property
    def pull(self) -> arb:
        """‖Σ q_i z_i‖."""
        return root(squares(self.pull_vector))

    @property
    def loss(self) -> arb:
        """L."""
        losses = [x.log1p() for x in self.decay] if self.exact.logistic else self.decay
        return self.exact.share * total(losses)

    @property
    def exp_loss(self) -> arb:
        """(1/n) Σ e^{−m_i}."""
        return total(self.decay) / self.exact.n

    def step(self, t: int) -> list[arb]:
        """w_{t+1} − w_t.  Raises `PrecisionLost` where a gradient to divide by is not told from zero."""
        size, rule = self.exact.step_size(t), self.exact.instance.run.rule
        if rule == "gd":
            slopes = [1 / (1 + m.exp()) for m in self.m] if self.exact.logistic else self.decay
            return [size * self.exact.share * x for x in self.exact.combine(slopes)]
        if rule == "gradient-normalised":
            norm = squares(self.pull_vector)
            if not norm > 0:
                raise PrecisionLost(f"the gradient is not separated from zero at step {t}")
            size = size / norm.sqrt()
        return [size * x for x in self.pull_vector]


class LinearBallState:
    """One step of the run in balls, with the sums that lead to it.

    ``exp_loss_1`` is F at the onset, None before it.
    """

    def __init__(self, t: int, here: LinearForces, step_sum: arb, loss_sum: arb, exp_loss_1: arb | None) -> None:
        self.t, self.here, self.exact = t, here, here.exact
        self.step_sum, self.loss_sum, self.exp_loss_1 = step_sum, loss_sum, exp_loss_1

    @property
    def norm(self) -> arb:
        """‖w_t‖."""
        return root(squares(self.here.w))

    @property
    def alignment(self) -> arb | None:
        """⟨w_t, û⟩, None for inseparable data."""
        direction = self.exact.direction
        return None if direction is None else total([a * b for a, b in zip(self.here.w, direction, strict=True)])

    @property
    def margin_min(self) -> arb:
        """min_i m_i."""
        return -largest([-m for m in self.here.m])

    @property
    def step_size(self) -> arb:
        """η (start+t+1)^{−power}."""
        return self.exact.step_size(self.t)

    @cached_property
    def after(self) -> LinearForces:
        """The forces at w_{t+1}."""
        moved = self.here.step(self.t)
        return LinearForces(self.exact, [a + b for a, b in zip(self.here.w, moved, strict=True)])

    def successor(self) -> LinearBallState:
        """The state after the next step."""
        t, first = self.t + 1, self.exp_loss_1
        if self.exact.onset == t:
            first = self.after.exp_loss
        return LinearBallState(
            t, self.after, self.step_sum + self.step_size, self.loss_sum + self.here.loss, first
        )


def linear_replay(exact: LinearExact) -> Iterator[LinearBallState]:
    """The run's states t = 0, 1, … in balls at the working precision."""
    W_0 = exact.instance.run.W_0
    here = LinearForces(exact, [arb(0)] * exact.d if W_0 is None else [arb(float(x)) for x in W_0])
    state = LinearBallState(0, here, arb(0), arb(0), here.exp_loss if exact.onset == 0 else None)
    while True:
        yield state
        state = state.successor()


def squares(vector: list[arb]) -> arb:
    """‖vector‖²."""
    return total([x * x for x in vector])
