"""Univariate ReLU networks in Arb balls: the dynamics of `models.relu_regions`, rounding errors enclosed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from flint import arb

from models.interpolation import rational
from models.relu_regions import ReluInstance
from models.relu_regions_count import Graph, Number, magnitude, rational_neurons, sign
from models.replay import total


class ReluState:
    """One step of a run: rational weights at step 0, balls later.

    A count that balls do not settle raises `PrecisionLost`.
    """

    def __init__(self, instance: ReluInstance, t: int, neurons: list[list[Number]]) -> None:
        self.instance, self.t, self.neurons = instance, t, neurons
        self.graph = Graph(neurons)
        self.points = [rational(x) for x in instance.dataset.X.tolist()]
        self.labels = [int(label) for label in instance.dataset.y]

    @cached_property
    def signed(self) -> list[Number]:
        """y_i f(x_i)."""
        return [label * self.graph(x) for label, x in zip(self.labels, self.points, strict=True)]

    @property
    def output_margin(self) -> arb:
        """min_i y_i f(x_i)."""
        least = arb(self.signed[0])
        for f in self.signed[1:]:
            least = least.min(arb(f))
        return least

    @cached_property
    def output_max(self) -> Number:
        """max_i |f(x_i)|."""
        return magnitude(self.signed)

    @property
    def effective_regions(self) -> int:
        """Intervals on which f is within the tolerance of a line."""
        within = self.output_max * rational(self.instance.run.tolerance)
        return self.graph.effective_regions(self.points[0], self.points[-1], within)

    def successor(self) -> ReluState:
        """The state after the next step."""
        run = self.instance.run
        outputs = [arb(f) for f in self.signed]
        decay = [(outputs[0] - f).exp() for f in outputs]
        mass = total(decay)
        pulls = [label * x / mass for label, x in zip(self.labels, decay, strict=True)]
        size = total([arb(x) * arb(x) for row in self.neurons for x in row])
        h = arb(run.eta) / (arb(1 + max(x * x for x in self.points)) * size)
        moved: list[list[Number]] = []
        for w, b, v in self.neurons:
            active = [(arb(x), p) for x, p in zip(self.points, pulls, strict=True) if sign(w * x + b) > 0]
            g, gx = total([p for _, p in active] or [arb(0)]), total([x * p for x, p in active] or [arb(0)])
            w, b, v = arb(w), arb(b), arb(v)
            moved.append([w + h * v * gx, b + h * v * g, v + h * (w * gx + b * g)])
        return ReluState(self.instance, self.t + 1, moved)


def relu_replay(instance: ReluInstance) -> Iterator[ReluState]:
    """The states t = 0, 1, … at the working precision."""
    state = ReluState(instance, 0, rational_neurons(instance.run.W_0))
    while True:
        yield state
        state = state.successor()
