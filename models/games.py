"""The optimistic stochastic gradient on a linear operator, in second moments.

The operator's blocks are those of `models.interpolation`, with coordinates in which a block is multiplication by
the complex number c = a − ib.  With u = (x, g) of one block and noise ξ of variance v_k there,

    z = x − ηg,  g⁺ = cz + ξ,  x⁺ = x − ηg⁺,

so E uu* follows a recursion of 2 × 2 matrices.  It is run in balls of moderate precision, one block at a time, and
rounded: the error budget is the radius.  `models.games_replay` does the same to the whole mixed operator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import flint
import numpy as np
from flint import acb, arb, fmpq

from models.dataset import Array
from models.interpolation import BlockGeometry, Blocks, rational
from models.records import RecordInstance, RecordRun
from models.replay import total
from models.trajectory import FINISHED, RECORD_LIMIT, Trajectory, recorded_steps

_PRECISION = 256


@dataclass(frozen=True, eq=False)
class GameRun(RecordRun):
    """How z moves.

    Parameters
    ----------
    steps : int
    eta : float
        η > 0.
    Z_0 : array, shape (k, 2)
        The start x_0 = z_0, two coordinates a row.
    noise : array, shape (k,)
        Variance of one sample in each block, in the coordinates in which blocks are separate; σ² is their sum.
    batch : int
        m_0 ≥ 1 samples at step 0.
    growth : int
        m_k = batch (k+1)^growth, from 0 to 3.

    Raises
    ------
    InvalidRun
        For numbers out of range; the message names the field and the fix.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"Z_0": ("k", "part"), "noise": ("k",)}
    eta: float
    Z_0: Array
    noise: Array
    batch: int = 1
    growth: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.eta > 0.0, f"eta = {self.eta!r}: give a positive step size")
        self.require(bool((self.noise >= 0.0).all()), "noise has a negative entry: give variances")
        self.require(self.batch >= 1, "batch = 0: give at least one sample")
        self.require(self.growth <= 3, f"growth = {self.growth}: give a power from 0 to 3")

    def samples(self, k: int) -> int:
        """m_k."""
        return int(self.batch * (k + 1) ** self.growth)

    def variance(self, k: int) -> fmpq:
        """σ²/m_k, exact."""
        return sum((rational(x) for x in self.noise.tolist()), fmpq(0)) / self.samples(k)


class GameInstance(RecordInstance):
    """An operator and a run."""

    system = "games"
    parts = (Blocks, GameRun)


#: Columns at each recorded step, each followed by a bound on its error.
COLUMNS = ("moment_sum", "moment_sum_error", "moment_total", "moment_total_error", "noise_sum", "noise_sum_error")


def train_game(instance: GameInstance, geometry: BlockGeometry, dense: int = RECORD_LIMIT) -> Trajectory:
    """The sums of E‖Tz‖² and of variances, every step up to ``dense``: a `Trajectory` with `COLUMNS`."""
    run = instance.run
    rows = []
    with flint.ctx.workprec(_PRECISION):
        start = geometry.reflected([rational(x) for x in run.Z_0.ravel().tolist()])
        blocks = [
            _moments(run, acb(arb(a), arb(-b)), acb(arb(start[2 * k]), arb(start[2 * k + 1])), run.noise[k])
            for k, (a, b) in enumerate(geometry.blocks)
        ]
        later, whole, noise = arb(0), arb(0), arb(0)
        for t in range(run.steps + 1):
            moment = total([next(block) for block in blocks])
            later, whole, noise = later + (moment if t else 0), whole + moment, noise + arb(run.variance(t))
            rows.append([x for value in (later, whole, noise) for x in _rounded(value)])
    t_recorded = recorded_steps(run.steps, dense)
    table = np.array(rows)[t_recorded]
    table.setflags(write=False)
    return Trajectory(t_recorded, table, None, FINISHED, COLUMNS)


def _moments(run: GameRun, c: acb, start: acb, noise: float) -> Iterator[arb]:
    """E|cz_k|² of one block, k = 0, 1, …"""
    eta, sample = arb(run.eta), arb(float(noise))
    square = (c * c.conjugate()).real
    # E|x|², E x ḡ and E|g|² at step k, and E|z|².
    z = (start * start.conjugate()).real
    xx, xg, gg = z, acb(z) * c.conjugate(), square * z + sample / run.samples(0)
    k = 0
    while True:
        yield square * z
        k += 1
        # z = x − ηg, g⁺ = cz + ξ, x⁺ = x − ηg⁺; ξ is independent of x and g.
        z = xx - 2 * eta * xg.real + eta * eta * gg
        xz = acb(xx) - xg * eta
        forward = c.conjugate() * xz
        gg = square * z + sample / run.samples(k)
        xx, xg = xx - 2 * eta * forward.real + eta * eta * gg, forward - eta * gg


def _rounded(value: arb) -> tuple[float, float]:
    """A ball as a float and a bound on its error."""
    middle = float(value.mid())
    return middle, float(value.rad()) + 2.0**-52 * abs(middle)
