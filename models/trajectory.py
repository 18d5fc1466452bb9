"""What one run did: the recorded columns of a trajectory."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.dataset import Array

#: Columns that the trainer fills at each recorded step.  A name that starts with ``log_`` holds the natural
#: logarithm, so that nothing underflows; NaN marks a quantity that is undefined at that step.
COLUMNS = (
    "norm",  # r_t = ‖W_t‖_F
    "alignment",  # v_t = ⟨W_t, Ŵ⟩
    "direction_gap",  # 1 − cos_t, from ‖W_t − v_tŴ‖², free of cancellation
    "direction_gap_error",  # bound on its rounding error, absolute
    "log_loss_gap",  # log G_t
    "log_loss_gap_next",  # log G_{t+1}
    "log_grad_norm",  # log ‖∇L‖
    "log_coefficient_sum",  # log C
    "descent_cosine",  # ⟨−∇L, Ŵ⟩/‖∇L‖
    "log_s_min",  # log min_i s_{i,o}
    "log_s_min_run",  # its minimum over steps 0 … t
    "log_leak_max",  # log max_i (1 − s_{i,o})
    "log_leak_min",  # log min_i (1 − s_{i,o})
    "log_leak_slope_max",  # log max_i |ℓ'(γ_{i,o})| (1 − s_{i,o})
    "margin_min",  # min_it m_it
    "margin_mean",  # ⟨g, W⟩ = Σ c m / Σ c, where PC holds
    "margin_growth_min",  # min_it m_it(t+1) − m_it(t)
    "log_step_length",  # log δ_t
    "log_step_length_max",  # its maximum over steps t0 … t
    "Lambda",  # Λ_t, where PC holds
    "Lambda_max",  # its maximum over steps t0 … t
    "master_sum",  # Σ_{t0 ≤ k < t} (h_k Λ_k/γ + δ_k²/2)/r_k
    "log_rho",  # log ρ_t
    "log_rho_max",  # its maximum over steps 0 … t
    "log_Gamma",  # log Γ_t = log (1/n) Σ |ℓ'(f_i)| D_i
    "pc_margin",  # min (Δ_it − D_i), relative to the terms it is a sum of; PC is pc_margin > 0
    "pc_sequences",  # number of sequences for which PC holds
    "gradient_condition",  # B Σ|c| / ‖Σ c Z‖: how much cancels in the gradient
    "state_condition",  # how much cancels in ‖W‖²
    "margin_largest",  # max_it |m_it|
)

FINISHED, NON_FINITE_STEP, PRECISION_LOST = "finished", "non-finite step", "precision lost"
RECORD_LIMIT = 100_000
PER_DECADE = 400


def recorded_steps(steps: int, dense: int = RECORD_LIMIT) -> NDArray[np.int64]:
    """0, 1, …, min(steps, dense), then log-spaced (400 a decade) up to and including ``steps``."""
    every = np.arange(min(steps, dense) + 1, dtype=np.int64)
    if steps <= dense:
        return every
    count = int(np.ceil(PER_DECADE * np.log10(steps / dense))) + 1
    spaced = np.unique(np.geomspace(dense, steps, count).astype(np.int64))
    spaced[-1] = steps
    return np.concatenate([every, spaced[1:]])


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The recorded run of one instance.  It knows nothing about bounds, so any bound can be judged on it.

    Attributes
    ----------
    t : array of int, shape (R,)
        Recorded steps.
    table : array, shape (R, len(columns))
        One column a name of ``columns``.
    onset : int or None
        t0: the first step with positive norm from which PC (positive coefficients) holds to the end.
        ``Lambda_max``, ``step_length_max`` and ``master_sum`` run from there and are NaN before.
    status : str
        ``"finished"``, or why the run stopped early: a step that float64 cannot hold, or a gradient whose
        terms cancel beyond float64's digits.  What was recorded before stands.
    columns : tuple of str
        Names of the columns: `COLUMNS` for attention; other systems have their own.  Whatever the system, orders
        and limits look at ``norm``, ``margin_min`` and ``log_leak_max``.
    """

    t: NDArray[np.int64]
    table: Array
    onset: int | None
    status: str
    columns: tuple[str, ...] = COLUMNS

    def __len__(self) -> int:
        return int(self.t.size)

    def _repr_html_(self) -> str:
        # As in bounds/display.py: a notebook asks the object itself, and only `reports` knows what it looks like.
        shown: str = importlib.import_module("reports.notebook").shown(self)
        return shown

    def column(self, name: str) -> Array:
        """The recorded column ``name``, shape (R,)."""
        return self.table[:, self.columns.index(name)]

    @cached_property
    def onset_row(self) -> int | None:
        """Row of the onset t0, or of the first recorded step after it."""
        return None if self.onset is None else int(np.searchsorted(self.t, self.onset))
