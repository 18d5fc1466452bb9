"""The optimistic stochastic gradient in Arb balls: second moments of the whole operator, mixed as it is."""

from __future__ import annotations

from collections.abc import Iterator

from flint import arb, arb_mat, fmpq

from models.games import GameInstance
from models.interpolation import BlockGeometry, rational
from models.joint_replay import root
from models.replay import total


class GameExact:
    """The matrices of an instance as balls of the working precision at which it is made.

    Attributes
    ----------
    step : matrix, shape (2n, 2n)
        (x, g) ↦ (x⁺, g⁺) without noise, n = 2k.
    noise : matrix, shape (2n, 2n)
        What one sample's noise adds to the second moment of (x, g).
    """

    def __init__(self, instance: GameInstance, geometry: BlockGeometry) -> None:
        run = instance.run
        self.run, self.eta = run, arb(run.eta)
        self.lipschitz = arb(geometry.lipschitz_sq).sqrt()
        operator = _balls(geometry.matrix())
        variances = [(rational(x) / 2, fmpq(0)) for x in run.noise.tolist()]
        covariance = _balls(geometry.mixed(variances))
        one = _balls([[fmpq(int(i == j)) for j in range(operator.ncols())] for i in range(operator.nrows())])
        eta = self.eta
        self.step = _stacked(one - operator * eta, operator * eta * eta, operator, operator * -eta)
        self.noise = _stacked(covariance * eta * eta, covariance * -eta, covariance * -eta, covariance)
        z = arb_mat([[arb(x)] for x in run.Z_0.ravel().tolist()])
        push = operator * z
        # x_0 has no noise, g_0 has.
        values = push * push.transpose() + covariance / arb(run.samples(0))
        self.start = _stacked(z * z.transpose(), z * push.transpose(), push * z.transpose(), values)
        self.distance_0 = root(total([x * x for x in z.entries()]))


class GameState:
    """One step in balls: E(x, g)(x, g)ᵀ, E‖Tz‖² and the sums so far."""

    def __init__(self, exact: GameExact, t: int, moments: arb_mat, past: GameState | None = None) -> None:
        self.exact, self.t, self.moments = exact, t, moments
        size = moments.nrows()
        variance = arb(exact.run.variance(t))
        # g_t is Tz_t and noise that is independent of it.
        moment = total([moments[i, i] for i in range(size // 2, size)]) - variance
        self.moment_sum: arb = arb(0) if past is None else past.moment_sum + moment
        self.moment_total: arb = moment if past is None else past.moment_total + moment
        self.noise_sum: arb = variance if past is None else past.noise_sum + variance

    def successor(self) -> GameState:
        """The state after the next step."""
        exact, t = self.exact, self.t + 1
        moved = exact.step * self.moments * exact.step.transpose() + exact.noise / arb(exact.run.samples(t))
        return GameState(exact, t, moved, self)


def game_replay(exact: GameExact) -> Iterator[GameState]:
    """The states t = 0, 1, … in balls at the working precision."""
    state = GameState(exact, 0, exact.start)
    while True:
        yield state
        state = state.successor()


def _balls(rows: list[list[fmpq]]) -> arb_mat:
    return arb_mat([[arb(x) for x in row] for row in rows])


def _stacked(a: arb_mat, b: arb_mat, c: arb_mat, d: arb_mat) -> arb_mat:
    """[[a, b], [c, d]]."""
    rows = [[*left, *right] for left, right in zip(a.tolist(), b.tolist(), strict=True)]
    rows += [[*left, *right] for left, right in zip(c.tolist(), d.tolist(), strict=True)]
    return arb_mat(rows)
