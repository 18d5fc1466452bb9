"""Linear interpolation in Arb balls, step by step as the algorithms say, in the mixed coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from flint import arb, arb_mat

from models.interpolation import BlockGeometry, InterpolationInstance, rational
from models.joint_replay import root
from models.replay import PrecisionLost, total


class InterpolationExact:
    """The exact constants of an instance as balls of the working precision at which it is made."""

    def __init__(self, instance: InterpolationInstance, geometry: BlockGeometry) -> None:
        run = instance.run
        self.run, self.inner = run, run.inner
        self.eta, self.weight = arb(run.eta), arb(run.weight)
        self.comonotonicity = arb(geometry.comonotonicity)
        self.lipschitz = arb(geometry.lipschitz_sq).sqrt()
        rows = geometry.matrix()
        self.operator = arb_mat([[arb(x) for x in row] for row in rows])
        eta = rational(run.eta)
        self.proximal = arb_mat(
            [[arb(int(i == j) + eta * x) for j, x in enumerate(row)] for i, row in enumerate(rows)]
        )
        self.start = arb_mat([[arb(x)] for x in run.Z_0.ravel().tolist()])

    def resolvent(self, z: arb_mat) -> arb_mat:
        """The solution x of (I + ηF)x = z.  Raises `PrecisionLost` where balls cannot tell that there is one."""
        try:
            return self.proximal.solve(z)
        except ZeroDivisionError:
            raise PrecisionLost("I + ηF is not separated from a singular matrix") from None

    def target(self, z: arb_mat) -> arb_mat:
        """w(z)."""
        if self.run.target == "resolvent":
            return self.resolvent(z)
        w = z
        for _ in range(self.inner):
            w = (z if self.run.target == "rapp" else w) - self.operator * w * self.eta
        return w


@dataclass(frozen=True)
class Sums:
    """What the claims add up over the steps before the current one."""

    residual_square: arb
    inner_error: arb
    inner_error_square: arb
    operator_square: arb
    ahead_square: arb
    farthest: arb


class InterpolationState:
    """One step of a run in balls: z, w and what follows from them."""

    def __init__(self, exact: InterpolationExact, t: int, z: arb_mat, distance_0: arb | None, sums: Sums) -> None:
        self.exact, self.t, self.z, self.sums = exact, t, z, sums
        self.distance_0 = self.distance if distance_0 is None else distance_0

    @cached_property
    def distance(self) -> arb:
        """‖z‖."""
        return length(self.z)

    @cached_property
    def resolvent(self) -> arb_mat:
        """Jz."""
        return self.exact.resolvent(self.z)

    @cached_property
    def residual(self) -> arb:
        """‖Jz − z‖."""
        return length(self.resolvent - self.z)

    @cached_property
    def target(self) -> arb_mat:
        """w."""
        return self.resolvent if self.exact.run.target == "resolvent" else self.exact.target(self.z)

    @cached_property
    def inner_error(self) -> arb:
        """‖w − Jz‖."""
        return arb(0) if self.exact.run.target == "resolvent" else length(self.target - self.resolvent)

    @cached_property
    def push(self) -> arb_mat:
        """Fz."""
        return self.exact.operator * self.z

    @cached_property
    def operator(self) -> arb:
        """‖Fz‖."""
        return length(self.push)

    @cached_property
    def ahead(self) -> arb:
        """‖F(z − ηFz)‖."""
        return length(self.exact.operator * (self.z - self.push * self.exact.eta))

    @cached_property
    def next_z(self) -> arb_mat:
        """(1 − λ)z + λw."""
        weight = self.exact.weight
        return self.z * (1 - weight) + self.target * weight

    @property
    def distance_next(self) -> arb:
        """‖z‖ after the next step."""
        return length(self.next_z)

    def successor(self) -> InterpolationState:
        """The state after the next step."""
        sums = self.sums
        after = Sums(
            sums.residual_square + self.residual**2,
            sums.inner_error + self.inner_error,
            sums.inner_error_square + self.inner_error**2,
            sums.operator_square + self.operator**2,
            sums.ahead_square + self.ahead**2,
            sums.farthest.max(self.distance),
        )
        return InterpolationState(self.exact, self.t + 1, self.next_z, self.distance_0, after)


def interpolation_replay(exact: InterpolationExact) -> Iterator[InterpolationState]:
    """The run's states t = 0, 1, … in balls at the working precision."""
    state = InterpolationState(exact, 0, exact.start, None, Sums(*[arb(0)] * 6))
    while True:
        yield state
        state = state.successor()


def length(z: arb_mat) -> arb:
    """Euclidean norm of a column."""
    return root(total([x * x for x in z.entries()]))
