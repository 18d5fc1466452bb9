"""Theorems about overparametrised linear networks under gradient flow (docs/systems.md#overparametrized).

U' = −∂L/∂U, V' = −∂L/∂V for L = ½‖Y − XUVᵀ‖², with X of full row rank n, so that L* = 0.  P is the projector onto
the rows of X.  Λ = UᵀPU − VᵀV does not change, and its eigenvalues bound the rate.  The step t of a run is the
time tτ.
"""

from __future__ import annotations

from sympy import exp, sqrt

from bounds.assumptions import Throughout
from bounds.notation import declare, loss_gap, loss_gap_0, t
from bounds.theorem import OVERPARAMETRIZED, Cited, Derived, Theorem

time_step = declare("time_step", r"\tau", "time between recorded states of a flow", "run", positive=True)
data_eig_min = declare(
    "data_eig_min", r"\lambda_n(XX^\top)", "smallest eigenvalue of XXᵀ", "dataset", positive=True
)
data_eig_max = declare(
    "data_eig_max", r"\lambda_1(XX^\top)", "largest eigenvalue of XXᵀ", "dataset", positive=True
)
imbalance = declare(
    "imbalance",
    "c",
    "[λ_n(Λ)]_+ + [λ_m(−Λ)]_+, Λ = UᵀPU − VᵀV; λ_i is the i-th largest eigenvalue, 0 if there are fewer",
    "run",
    nonnegative=True,
)
loss_decay = declare(
    "loss_decay", r"-\tfrac{\mathrm{d}L}{\mathrm{d}t}", "‖∂L/∂U‖² + ‖∂L/∂V‖²", "step", above=0, nonnegative=True
)
residual_0 = declare(
    "residual_0", r"\lVert Y-XU_0V_0^\top\rVert_F", "initial residual", "run", "start", nonnegative=True
)
null_part = declare(
    "null_part",
    r"\lVert(I-P)U_tV_t^\top\rVert_F",
    "part of the product that X does not see; its limit is the distance to the solution of least norm",
    "step",
    above=0,
    nonnegative=True,
)
coupling_0 = declare(
    "coupling_0",
    r"\lVert(V_0,PU_0)U_0^\top(I-P)\rVert_F",
    "how far the unseen part of U_0 is from orthogonal to the rest",
    "run",
    "start",
    nonnegative=True,
)

_SOURCE = "arXiv 2105.06351"
_PROOF = "docs/systems.md#overparametrized"
_derived = Derived(source="docs/systems.md", proof=_PROOF, refines=_SOURCE)
#: ‖E(t)‖_F ≤ e^{−λ_n c t}‖E(0)‖_F.
_SPEED = data_eig_min * imbalance
_SPREAD = sqrt(data_eig_max) * residual_0 / _SPEED

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        "overparametrized.decay",
        "The loss falls at a speed of at least 2 λ_n(XXᵀ) c times itself",
        OVERPARAMETRIZED,
        [],
        loss_decay >= 2 * _SPEED * loss_gap,
        _derived,
    ),
    Theorem(
        "overparametrized.rate",
        "The loss converges exponentially, at the rate 2 λ_n(XXᵀ) c",
        OVERPARAMETRIZED,
        [],
        loss_gap <= exp(-2 * _SPEED * t * time_step) * loss_gap_0,
        Cited(source=_SOURCE, proof=_PROOF),
        domain=t >= 1,
        trivial=loss_gap_0,
    ),
    Theorem(
        "overparametrized.least-norm",
        "The distance to the solution of least norm stays within a factor of the initial coupling",
        OVERPARAMETRIZED,
        [Throughout(imbalance > 0)],
        null_part <= exp(_SPREAD) * coupling_0,
        _derived,
    ),
    Theorem(
        "overparametrized.least-norm.timed",
        "At any time, the same with the part of the factor that has been reached",
        OVERPARAMETRIZED,
        [Throughout(imbalance > 0)],
        null_part <= exp(_SPREAD * (1 - exp(-_SPEED * t * time_step))) * coupling_0,
        _derived,
        domain=t >= 1,
    ),
)
