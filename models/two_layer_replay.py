"""Two-layer networks in Arb balls: the dynamics of `models.two_layer` with every rounding error enclosed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from flint import arb

from models.joint_replay import root
from models.linear import LinearGeometry
from models.replay import total
from models.two_layer import NetworkInstance


class NetworkExact:
    """The exact constants of an instance as balls of the working precision at which it is made."""

    def __init__(self, instance: NetworkInstance, geometry: LinearGeometry) -> None:
        self.instance, self.geometry = instance, geometry
        run = instance.run
        self.X = [[arb(float(x)) for x in row] for row in instance.dataset.X]
        self.y = [int(label) for label in instance.dataset.y]
        self.a = [int(sign) for sign in run.a]
        self.n, self.k, self.width = len(self.y), len(self.a), run.width
        self.eta, self.alpha, self.ell, self.beta = (arb(x) for x in (run.eta, run.alpha, run.ell, run.beta))
        self.rise = self.ell - self.alpha
        self.bend = self.rise * self.beta / 4
        self.radius = arb(geometry.exact_radius_sq).sqrt()
        solution = geometry.max_margin
        self.gamma = None if solution is None else (1 / arb(solution.norm_sq)).sqrt()


class NetworkBallState:
    """One step of a run in balls: weights W (k rows), and what follows from them."""

    def __init__(self, exact: NetworkExact, t: int, W: list[list[arb]], loss_start: arb | None = None) -> None:
        self.exact, self.t, self.W = exact, t, W
        z = [[dot(w, x) for w in W] for x in exact.X]
        self.weight = [[1 / (1 + (-exact.beta * v).exp()) for v in row] for row in z]
        values = [
            [exact.alpha * v + exact.rise * (exact.beta * v).exp().log1p() / exact.beta for v in row] for row in z
        ]
        #: y_i f(x_i)
        self.outputs = [
            y * total([a * v for a, v in zip(exact.a, row, strict=True)]) / exact.k
            for y, row in zip(exact.y, values, strict=True)
        ]
        decay = [(-f).exp() for f in self.outputs]
        self.loss = total(decay) / exact.n
        #: e^{−y_i f(x_i)}/Σ
        self.p = [x / (self.loss * exact.n) for x in decay]
        self.loss_start = self.loss if loss_start is None else loss_start

    @cached_property
    def slopes(self) -> list[list[arb]]:
        """σ'(⟨w_j, x_i⟩)."""
        return [[self.exact.alpha + self.exact.rise * s for s in row] for row in self.weight]

    @cached_property
    def gradient(self) -> list[list[arb]]:
        """∇F/F, one row for each distinct neuron."""
        exact = self.exact
        rows = []
        for j, a in enumerate(exact.a):
            pushes = [p * y * row[j] for p, y, row in zip(self.p, exact.y, self.slopes, strict=True)]
            columns = zip(*exact.X, strict=True)
            rows.append([-a * dot(pushes, list(column)) / exact.width for column in columns])
        return rows

    @cached_property
    def slope_sq(self) -> arb:
        """(‖∇F‖/F)²."""
        copies = self.exact.instance.run.copies
        squares: arb = total([x * x for row in self.gradient for x in row]) * copies
        return squares

    @property
    def grad_norm(self) -> arb:
        """‖∇F‖."""
        return root(self.slope_sq) * self.loss

    @property
    def curvature(self) -> arb:
        """⟨∇F, ∇²F ∇F⟩/‖∇F‖²."""
        exact, terms = self.exact, []
        for i, x in enumerate(exact.X):
            along = [dot(x, row) for row in self.gradient]
            first = total([a * s * v for a, s, v in zip(exact.a, self.slopes[i], along, strict=True)]) / exact.k
            bends = [exact.rise * exact.beta * s * (1 - s) for s in self.weight[i]]
            turn = total([a * b * v * v for a, b, v in zip(exact.a, bends, along, strict=True)]) / exact.k
            terms.append(self.p[i] * (first * first - exact.y[i] * turn))
        return total(terms) / self.slope_sq * self.loss

    def successor(self) -> NetworkBallState:
        """The state after the next step."""
        eta = self.exact.eta
        rows = zip(self.W, self.gradient, strict=True)
        W = [[w - eta * g for w, g in zip(row, push, strict=True)] for row, push in rows]
        return NetworkBallState(self.exact, self.t + 1, W, self.loss_start)


def network_replay(exact: NetworkExact) -> Iterator[NetworkBallState]:
    """The run's states t = 0, 1, … in balls at the working precision."""
    state = NetworkBallState(exact, 0, [[arb(float(x)) for x in row] for row in exact.instance.run.W_0])
    while True:
        yield state
        state = state.successor()


def dot(first: list[arb], second: list[arb]) -> arb:
    """Inner product."""
    return total([a * b for a, b in zip(first, second, strict=True)])
