"""The steps of `models.cogradient` in Arb balls, with every rounding error enclosed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from flint import arb

from models.cogradient import BilinearInstance
from models.replay import PrecisionLost, total

Matrix = list[list[arb]]


class BilinearExact:
    """The numbers of an instance as balls."""

    def __init__(self, instance: BilinearInstance) -> None:
        data, run = instance.dataset, instance.run
        self.b = [arb(x) for x in data.X.tolist()]
        self.sparsity, self.ridge, self.eta = arb(data.sparsity), arb(data.ridge), arb(run.eta)
        self.method = run.method
        self.A = [[arb(x) for x in row] for row in run.A_0.tolist()]
        self.x = [arb(x) for x in run.x_0.tolist()]


class BilinearState:
    """One step in balls: A by rows, x, what follows from them, and what is remembered of the steps before."""

    def __init__(self, exact: BilinearExact, t: int, A: Matrix, x: list[arb], past: BilinearState | None) -> None:
        self.exact, self.t, self.A, self.x = exact, t, A, x
        self.objective_0: arb = self.objective if past is None else past.objective_0
        self.move_sum: arb = arb(0) if past is None else past.move_sum + past.move
        self.move_least: arb | None = None
        if past is not None:
            self.move_least = past.move if past.move_least is None else past.move_least.min(past.move)

    @cached_property
    def product(self) -> list[arb]:
        """Ax."""
        return _applied(self.A, self.x)

    @cached_property
    def penalty(self) -> arb:
        """λ‖x‖_1 + μ‖A‖²."""
        return self.exact.sparsity * total([abs(v) for v in self.x]) + self.exact.ridge * _square(self.A)

    @cached_property
    def objective(self) -> arb:
        """F."""
        residual = [b - y for b, y in zip(self.exact.b, self.product, strict=True)]
        return total([r * r for r in residual]) + self.penalty

    @cached_property
    def move(self) -> arb:
        """L_x‖x⁺ − x‖² + L_A‖A⁺ − A‖²."""
        A, x, bend_x, bend_A = self._step
        return bend_x * _square(_difference([x], [self.x])) + bend_A * _square(_difference(A, self.A))

    @cached_property
    def objective_next(self) -> arb:
        """F after the next step."""
        A, x, _, _ = self._step
        return BilinearState(self.exact, self.t + 1, A, x, None).objective

    def successor(self) -> BilinearState:
        """The state after the next step."""
        A, x, _, _ = self._step
        return BilinearState(self.exact, self.t + 1, A, x, self)

    @cached_property
    def _step(self) -> tuple[Matrix, list[arb], arb, arb]:
        """A⁺, x⁺, L_x and L_A.

        Raises
        ------
        PrecisionLost
            If the balls do not tell whether a coordinate is asynchronous.
        """
        exact = self.exact
        bend_x = 2 * _square(self.A)
        residual = [b - y for b, y in zip(exact.b, self.product, strict=True)]
        turned = [list(column) for column in zip(*self.A, strict=True)]
        v = [bend_x / exact.eta * w + 2 * g for w, g in zip(self.x, _applied(turned, residual), strict=True)]
        cut = exact.sparsity
        # v − λ above λ, v + λ below −λ, 0 between: continuous, so no decision is needed.
        shrunk = [(w - cut).max(arb(0)) + (w + cut).min(arb(0)) for w in v]
        x = taught_by = [_quotient(exact.eta * w, bend_x) for w in shrunk]
        if exact.method != "alternating":
            instead = self.x if exact.method == "projected" else [_quotient(exact.eta * w, bend_x) for w in v]
            taught_by = [instead[j] if self._asynchronous(j, w) else x[j] for j, w in enumerate(v)]
        if exact.method == "projected":
            x = taught_by
        bend_A = 2 * (total([w * w for w in taught_by]) + exact.ridge)
        step = exact.eta / bend_A
        residual = [b - y for b, y in zip(exact.b, _applied(self.A, x), strict=True)]
        A = [
            [a - step * 2 * (exact.ridge * a - r * w) for a, w in zip(row, taught_by, strict=True)]
            for row, r in zip(self.A, residual, strict=True)
        ]
        return A, x, bend_x, bend_A

    def _asynchronous(self, j: int, v: arb) -> bool:
        """Whether x⁺_j = 0 while column j has at least half of the mean squared length."""
        room = 2 * len(self.x) * _square([[row[j]] for row in self.A]) - _square(self.A)
        inside = self.exact.sparsity - abs(v)
        if inside < 0 or room < 0:
            return False
        if inside >= 0 and room >= 0:
            return True
        raise PrecisionLost(f"coordinate {j + 1} is not decided to be asynchronous at step {self.t}")


def bilinear_replay(exact: BilinearExact) -> Iterator[BilinearState]:
    """The states t = 0, 1, … in balls at the working precision."""
    state = BilinearState(exact, 0, exact.A, exact.x, None)
    while True:
        yield state
        state = state.successor()


def _quotient(numerator: arb, bend: arb) -> arb:
    """An exact 0 stays one whatever it is divided by: where A = 0, so is v."""
    return numerator if numerator.is_zero() else numerator / bend


def _applied(rows: Matrix, x: list[arb]) -> list[arb]:
    return [total([a * v for a, v in zip(row, x, strict=True)]) for row in rows]


def _difference(new: Matrix, old: Matrix) -> Matrix:
    return [[p - q for p, q in zip(after, before, strict=True)] for after, before in zip(new, old, strict=True)]


def _square(rows: Matrix) -> arb:
    # A power of a ball that meets 0 would be undefined; a product is not.
    return total([a * a for row in rows for a in row])
