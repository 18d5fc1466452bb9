"""Joint training of attention and decoder: geometry and the fused trainer.

Both blocks take normalised gradient steps whose lengths follow a schedule (docs/theory.md#6):

    W_{t+1} = W_t − η_W (t+1)^{−power_W} ∇_W L/‖∇_W L‖,   u_{t+1} = u_t − η_u (t+1)^{−power_u} ∇_u L/‖∇_u L‖,

from W_0 = 0 and u_0 = 0.  At u = 0 every score gap is zero and so is ∇_W L: W stands still there.  A run can be
taken up again at a later state, which is given by its coefficients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import flint
import numpy as np
from flint import arb, fmpq, fmpz_mat

from models import joint_kernel, kernel
from models.attention import Geometry
from models.dataset import Array, TokenDataset
from models.dyadic import DyadicMatrix, nearest_float
from models.instance import LOSSES, InvalidRun
from models.joint_instance import JointInstance, JointRun
from models.joint_state import Force, Problem, State
from models.joint_trajectory import FROM_DECODER_ONSET, FROM_ONSET, JOINT_COLUMNS, JointTrajectory
from models.maxmargin import InseparableError, MaxMargin, solve
from models.pairs import PairFeatures
from models.trajectory import FINISHED, NON_FINITE_STEP, PRECISION_LOST, RECORD_LIMIT, recorded_steps

__all__ = ["JointGeometry", "JointInstance", "JointRun", "exact_products", "restarted_joint", "train_joint"]

_STATUS = {
    kernel.FINISHED: FINISHED,
    kernel.NON_FINITE_STEP: NON_FINITE_STEP,
    kernel.PRECISION_LOST: PRECISION_LOST,
}
_PRECISION = 256  # bits of the balls from which û is rounded


@dataclass(frozen=True, eq=False)
class JointGeometry:
    """What does not change during joint training, decided exactly and rounded once.

    Vectors over tokens have this order: the optimal token of every sequence, then the others in pair order.
    """

    dataset: TokenDataset

    @cached_property
    def attention(self) -> Geometry:
        """Geometry of the attention block: only what does not depend on the decoder is used of it."""
        return Geometry(self.dataset)

    @property
    def features(self) -> PairFeatures:
        """Pair features Z_it and their Gram matrix."""
        return self.attention.features

    @property
    def max_margin(self) -> MaxMargin | None:
        """The W-SVM's solution, or None when no W separates the pairs."""
        return self.attention.max_margin

    @cached_property
    def exact_gram(self) -> DyadicMatrix:
        """⟨y_i x_it, y_j x_jτ⟩ of all signed tokens, exact, nT × nT."""
        X, y, n = self.dataset.X, self.dataset.y, self.dataset.n
        signed = X * y[:, None, None]  # exact: labels are ±1
        best = signed[np.arange(n), self.dataset.optimal]
        rest = np.take_along_axis(signed, self.dataset.others[:, :, None], axis=1)
        tokens = DyadicMatrix(np.concatenate([best, rest.reshape(self.dataset.N, -1)]))
        return tokens @ tokens.T

    @cached_property
    def exact_gaps(self) -> DyadicMatrix:
        """⟨y_i(x_{i,o} − x_it), y_j x_jτ⟩: what a signed token adds to each score gap, exact, N × nT."""
        return self.exact_gram.differences(*self._pairs)

    @cached_property
    def exact_turns(self) -> DyadicMatrix:
        """⟨y_i(x_{i,o} − x_it), y_j(x_{j,o} − x_jτ)⟩, exact, N × N."""
        return self.exact_gaps.T.differences(*self._pairs)

    @property
    def _pairs(self) -> tuple[list[int], list[int]]:
        n, N, P = self.dataset.n, self.dataset.N, self.dataset.T - 1
        return [j // P for j in range(N)], list(range(n, n + N))

    @cached_property
    def decoder(self) -> MaxMargin | None:
        """The u-SVM's solution u_mm = Σ_i λ_i y_i x_{i,o_i}, or None when no u separates optimal tokens."""
        n = self.dataset.n
        table = self.exact_gram.integers.tolist()
        block = fmpz_mat(n, n, [table[i][j] for i in range(n) for j in range(n)])
        features = _GramOnly(DyadicMatrix.of(block, self.exact_gram.exponent))
        try:
            return solve(features)
        except InseparableError:
            return None

    @property
    def mu(self) -> float:
        """Decoder margin μ = 1/‖u_mm‖; NaN when there is no u_mm."""
        return math.nan if self.decoder is None else self.decoder.gamma

    @cached_property
    def decoder_margins(self) -> list[fmpq] | None:
        """⟨y_i x_it, u_mm⟩ of every token, exact, in token order; None when there is no u_mm."""
        if self.decoder is None:
            return None
        gram, n = self.exact_gram, self.dataset.n
        unit = fmpq(2) ** gram.exponent
        weights = [w * unit for w in self.decoder.multipliers]
        used = [j for j in range(n) if weights[j] != 0]
        return [sum((weights[j] * row[j] for j in used), fmpq(0)) for row in gram.integers.tolist()]

    @cached_property
    def u_direction(self) -> Array:
        """Coefficients of û = μ u_mm in the signed tokens, shape (nT,); zero off the optimal ones."""
        if self.decoder is None:
            return np.full(self.dataset.n * self.dataset.T, math.nan)
        return np.concatenate([self.decoder.direction, np.zeros(self.dataset.N)])

    @cached_property
    def u_alignments(self) -> Array:
        """⟨y_i x_it, û⟩ of every token, shape (nT,); at least μ for optimal ones."""
        if self.decoder is None or self.decoder_margins is None:
            return np.full(self.dataset.n * self.dataset.T, math.nan)
        # The product is formed before it is rounded: either factor alone may leave the range of float64.
        with flint.ctx.workprec(_PRECISION):
            mu = (1 / arb(self.decoder.norm_sq)).sqrt()
            return np.array([float((mu * arb(m)).mid()) for m in self.decoder_margins])

    @cached_property
    def exact_token_radius_sq(self) -> fmpq:
        """max ‖x_it‖², exact."""
        gram = self.exact_gram
        return max(gram.integers[j, j] for j in range(gram.integers.nrows())) * fmpq(2) ** gram.exponent

    @property
    def token_radius(self) -> float:
        """max_it ‖x_it‖."""
        return math.sqrt(nearest_float(self.exact_token_radius_sq))


class _GramOnly:
    """Vectors known through their exact Gram matrix alone."""

    def __init__(self, exact_gram: DyadicMatrix) -> None:
        self.exact_gram = exact_gram
        self.gram = exact_gram.floats()


def train_joint(
    instance: JointInstance, geometry: JointGeometry | None = None, dense: int = RECORD_LIMIT
) -> JointTrajectory:
    """Run the fused float64 trainer on an instance.

    A gradient whose terms cancel beyond float64's digits ends the run: so does one that vanishes exactly at
    u ≠ 0, which float64 cannot tell from that.

    Parameters
    ----------
    instance : JointInstance
    geometry : JointGeometry, optional
        The dataset's geometry if it is at hand.
    dense : int
        Step up to which every step is recorded; log-spaced ones beyond.

    Returns
    -------
    JointTrajectory
        Columns that need W_mm or u_mm are NaN when the data have none.
    """
    return _run(instance, geometry or JointGeometry(instance.dataset), dense)[0]


def restarted_joint(instance: JointInstance, step: int, geometry: JointGeometry | None = None) -> JointInstance:
    """The run taken up at its state ``step``, of no further steps: an exact state, near the original run's.

    Raises
    ------
    InvalidRun
        If the run does not reach that step.
    """
    shorter = instance.with_run(steps=step)
    trajectory, state = _run(shorter, geometry or JointGeometry(instance.dataset), dense=1)
    if trajectory.status != FINISHED:
        raise InvalidRun(f"the run ends before step {step}: {trajectory.status}")
    start = instance.run.start + step
    return instance.with_run(steps=0, start=start, alpha_0=state.alpha, beta_0=state.beta)


def exact_products(matrix: DyadicMatrix, coefficients: Array | None) -> list[fmpq]:
    """``matrix @ coefficients``, exact; zeros for no coefficients."""
    rows = matrix.integers.nrows()
    if coefficients is None:
        return [fmpq(0)] * rows
    column = DyadicMatrix(coefficients.reshape(-1, 1))
    return [row[0] for row in (matrix @ column).rationals()]


def _initial(instance: JointInstance, geometry: JointGeometry) -> State:
    """W_0 and u_0 with their margins and scores, each rounded once."""
    dataset, run = instance.dataset, instance.run
    n, N = dataset.n, dataset.N
    scores = exact_products(geometry.exact_gram, run.beta_0)[:n] + exact_products(geometry.exact_gaps, run.beta_0)
    margins = exact_products(geometry.features.exact_gram, run.alpha_0)
    alpha = np.zeros(N) if run.alpha_0 is None else run.alpha_0.copy()
    beta = np.zeros(n + N) if run.beta_0 is None else run.beta_0.copy()
    m, z = (np.array([nearest_float(x) for x in values]) for values in (margins, scores))
    return State(alpha, np.zeros(N), m, np.zeros(N), beta, np.zeros(n + N), z, np.zeros(n + N))


def _run(instance: JointInstance, geometry: JointGeometry, dense: int) -> tuple[JointTrajectory, State]:
    """The trajectory and its last state."""
    problem, state = _problem(geometry, instance.run), _initial(instance, geometry)
    N, tokens = instance.dataset.N, instance.dataset.n * instance.dataset.T
    n, P = instance.dataset.n, instance.dataset.T - 1
    force = Force(*(np.zeros(size) for size in (P, N, N, N, N, n, n, tokens, tokens)))
    t = recorded_steps(instance.run.steps, dense)
    table = np.full((t.size, len(JOINT_COLUMNS)), math.nan)
    rows, onset, decoder_onset, status = joint_kernel.train(problem, state, force, t, table)
    t, table = t[:rows], table[:rows]
    for start, names in ((onset, FROM_ONSET), (decoder_onset, FROM_DECODER_ONSET)):
        # What accumulated along a stretch that did not last is not this run's.
        before = t < start if start >= 0 else np.ones(rows, dtype=np.bool_)
        for name in names:
            table[before, JOINT_COLUMNS.index(name)] = math.nan
    table.setflags(write=False)
    trajectory = JointTrajectory(
        t,
        table,
        onset if onset >= 0 else None,
        _STATUS[status],
        decoder_onset=decoder_onset if decoder_onset >= 0 else None,
    )
    return trajectory, state


def _problem(geometry: JointGeometry, run: JointRun) -> Problem:
    dataset, solution = geometry.dataset, geometry.max_margin
    n, N, P = dataset.n, dataset.N, dataset.T - 1
    absent = np.full(N, math.nan)
    gram = geometry.exact_gram.floats()
    turns = geometry.exact_turns.floats().reshape(n, P, n, P)[np.arange(n), :, np.arange(n)]
    return Problem(
        gram=geometry.features.gram,
        scores=np.concatenate([gram[:n], geometry.exact_gaps.floats()]),
        turns=np.ascontiguousarray(turns),
        lengths=np.sqrt(np.einsum("ipp->ip", turns).ravel()),
        token_norms=np.sqrt(np.diag(gram)),
        alignments=absent if solution is None else solution.alignments,
        direction=absent if solution is None else solution.direction,
        u_alignments=geometry.u_alignments,
        u_direction=geometry.u_direction,
        radius=geometry.features.radius,
        mu=geometry.mu,
        token_radius=geometry.token_radius,
        loss=LOSSES.index(run.loss),
        eta_W=run.eta_W,
        eta_u=run.eta_u,
        power_W=float(run.power_W),
        power_u=float(run.power_u),
        start=run.start,
    )
