"""Theorems about the optimistic stochastic gradient on linear operators (docs/systems.md#games).

With noisy values g_k of a monotone operator T at z_k, means over m_k samples of variance σ², a step is
z_{k+1} = x_k − ηg_k, x_{k+1} = x_k − ηg_{k+1} from x_0 = z_0.  T is made of blocks [[a, b], [−b, a]] in an
orthogonally mixed basis, so z* = 0 and expectations are a recursion of second moments: no run is sampled.
"""

from __future__ import annotations

from dataclasses import dataclass

from bounds.assumptions import Assumption, StepAtMost
from bounds.interpolation import lipschitz, solution_distance_0
from bounds.notation import declare, eta, t
from bounds.theorem import GAMES, Derived, Reported, Theorem

operator_moment_sum = declare(
    "operator_moment_sum",
    r"\sum_{1\le k\le t}E\lVert Tz_k\rVert^2",
    "sum of the mean squares of Tz from step 1 to t",
    "step",
    "start",
    above=0,
    nonnegative=True,
)
operator_moment_total = declare(
    "operator_moment_total",
    r"\sum_{0\le k\le t}E\lVert Tz_k\rVert^2",
    "sum of the mean squares of Tz from step 0 to t",
    "step",
    "start",
    above=0,
    nonnegative=True,
)
noise_sum = declare(
    "noise_sum",
    r"\sum_{0\le k\le t}\frac{\sigma^2}{m_k}",
    "sum of the variances of g from step 0 to t",
    "step",
    "start",
    above=0,
    nonnegative=True,
)


@dataclass(frozen=True)
class MonotoneOperator(Assumption):
    """⟨Tz, z − z*⟩ ≥ 0 for every z, that is a ≥ 0 in every block."""

    statement = "the operator is monotone towards its solution"
    level = "dataset"


#: 4(ηL)²: what a step's change of Tz is of the steps before it.
CHANGE = 4 * eta**2 * lipschitz**2
_START = solution_distance_0**2 / eta**2

_SOURCE = (
    "Liu, Mroueh, Ross, Zhang, Cui, Das and Yang, Towards better understanding of adaptive gradient algorithms in "
    "generative adversarial nets, ICLR 2020"
)
_PROOF = "docs/systems.md#games"

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        "games.optimistic.mean",
        "The mean square of Tz falls like 1/t, with the constants 8 and 100",
        GAMES,
        (MonotoneOperator(), StepAtMost(1 / (9 * lipschitz))),
        operator_moment_sum / t <= 8 * _START / t + 100 * noise_sum / t,
        Reported(source=f"{_SOURCE}, reconstructed", proof=_PROOF),
        domain=t >= 1,
    ),
    Theorem(
        "games.optimistic.sum",
        "The sum of the mean squares of Tz, with constants near 1 and 2 for short steps",
        GAMES,
        (MonotoneOperator(), StepAtMost(1 / (3 * lipschitz))),
        operator_moment_total
        <= (1 - CHANGE) / (1 - 2 * CHANGE) * _START + (2 + 2 * CHANGE) / (1 - 2 * CHANGE) * noise_sum,
        Derived(source="docs/systems.md", proof=_PROOF, refines=_SOURCE),
    ),
)
