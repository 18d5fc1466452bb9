"""Adaptive federated learning over the air in Arb balls: the run of `models.federated` with the same h and ξ."""

from __future__ import annotations

from collections.abc import Iterator

from flint import arb

from models.dataset import Array
from models.federated import ADAGRAD, FederatedInstance
from models.instance import MAX_STEPS
from models.replay import total


class FederatedExact:
    """The numbers of an instance as balls of the working precision at which it is made."""

    def __init__(self, instance: FederatedInstance) -> None:
        run, dataset = instance.run, instance.dataset
        self.channel = instance.channel
        self.adding = run.rule == ADAGRAD
        self.X = [[arb(x) for x in row] for row in dataset.X.tolist()]
        self.targets = [arb(y) for y in dataset.targets.tolist()]
        self.w_0 = [arb(x) for x in run.w_0.tolist()]
        self.repetitions: int = run.repetitions
        self.eta, self.alpha, self.v_0 = arb(run.eta), arb(run.tail_index), arb(run.v_0)
        self.beta_1, self.beta_2, self.epsilon = arb(run.beta_1), arb(run.beta_2), arb(run.epsilon)
        self.smoothness = total([x * x for row in self.X for x in row]) / len(self.X)

    def residuals(self, w: list[arb]) -> list[arb]:
        """⟨x_n, w⟩ − y_n."""
        return [_dot(row, w) - y for row, y in zip(self.X, self.targets, strict=True)]

    def objective(self, w: list[arb]) -> arb:
        """f(w)."""
        return total([x * x for x in self.residuals(w)]) / (2 * len(self.X))


class Learner:
    """One repetition: w, Δ and v, which `step` moves, and its sums so far."""

    def __init__(self, exact: FederatedExact) -> None:
        self.exact = exact
        self.w = list(exact.w_0)
        self.delta = [arb(0)] * len(self.w)
        self.v = [exact.v_0] * len(self.w)
        self.gradient_square_sum = self.normalised_sum = self.step_square_sum = self.descent_sum = arb(0)

    def step(self, h: list[float], xi: list[float]) -> None:
        """Receive one aggregate and move."""
        exact, clients = self.exact, len(h)
        residuals = exact.residuals(self.w)
        faded = [arb(a) * x for a, x in zip(h, residuals, strict=True)]
        for i, column in enumerate(zip(*exact.X, strict=True)):
            gradient = _dot(column, residuals) / clients
            received = _dot(column, faded) / clients + arb(xi[i])
            delta = exact.beta_1 * self.delta[i] + (1 - exact.beta_1) * received
            self.delta[i] = delta
            power = _power(abs(delta), exact.alpha)
            if exact.adding:
                self.v[i] += power
            else:
                self.v[i] = exact.beta_2 * self.v[i] + (1 - exact.beta_2) * power
            move = exact.eta * delta / (self.v[i] ** (1 / exact.alpha) + exact.epsilon)
            self.w[i] -= move
            self.gradient_square_sum += gradient * gradient
            self.normalised_sum += power / self.v[i]
            self.step_square_sum += move * move
            self.descent_sum += gradient * move

    @property
    def log_growth(self) -> arb:
        """Σ log v/v_0."""
        return total([(x / self.exact.v_0).log() for x in self.v])

    @property
    def objective_drop(self) -> arb:
        """f(w_0) − f(w)."""
        return self.exact.objective(self.exact.w_0) - self.exact.objective(self.w)


class FederatedState:
    """The repetitions after t steps."""

    def __init__(self, exact: FederatedExact, t: int, learners: list[Learner]) -> None:
        self.exact, self.t, self._learners = exact, t, learners

    def mean(self, name: str) -> arb:
        """Mean over the repetitions of an attribute of `Learner`; of this state only until the next is made."""
        return total([getattr(learner, name) for learner in self._learners]) / len(self._learners)


def federated_replay(exact: FederatedExact) -> Iterator[FederatedState]:
    """The states t = 0, 1, … in balls at the working precision, each to be read before the next."""
    learners = [Learner(exact) for _ in range(exact.repetitions)]
    yield FederatedState(exact, 0, learners)
    for t, (h, xi) in enumerate(_steps(exact), start=1):
        for r, learner in enumerate(learners):
            learner.step(h[r].tolist(), xi[r].tolist())
        yield FederatedState(exact, t, learners)


def _steps(exact: FederatedExact) -> Iterator[tuple[Array, Array]]:
    for h, xi in exact.channel.chunks(MAX_STEPS):
        yield from zip(h, xi, strict=True)


def _dot(first: list[arb] | tuple[arb, ...], second: list[arb]) -> arb:
    return total([x * y for x, y in zip(first, second, strict=True)])


def _power(size: arb, alpha: arb) -> arb:
    """|Δ|^α, also where the ball of |Δ| reaches down to 0."""
    return size**alpha if size > 0 else arb(0).union(size.abs_upper() ** alpha)
