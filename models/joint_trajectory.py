"""What one joint run did: the recorded columns of attention and decoder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.trajectory import Trajectory

#: Columns that the joint trainer fills at each recorded step.  A name that starts with ``log_`` holds the
#: natural logarithm; NaN marks a quantity that is undefined at that step.  Those of the attention weights W have
#: the names and meanings of `models.trajectory.COLUMNS`, with the scores of the current decoder u_t.
JOINT_COLUMNS = (
    "norm",  # r_t = ‖W_t‖_F
    "alignment",  # v_t = ⟨W_t, Ŵ⟩
    "direction_gap",  # 1 − cos(W_t, W_mm), from ‖W_t − v_tŴ‖², free of cancellation
    "direction_gap_error",  # bound on its rounding error, absolute
    "log_grad_norm",  # log ‖∇_W L‖; −∞ while W stands still
    "log_s_min",  # log min_i s_{i,o}
    "log_leak_max",  # log max_i (1 − s_{i,o})
    "margin_min",  # min_it m_it
    "margin_mean",  # ⟨g, W⟩ = Σ c m / Σ c, where PC holds
    "log_step_length",  # log ‖W_{t+1} − W_t‖; −∞ while W stands still
    "log_step_length_max",  # its maximum over steps t0 … t
    "Lambda",  # Λ_t, where PC holds
    "Lambda_max",  # its maximum over steps t0 … t
    "master_sum",  # Σ_{t0 ≤ k < t} (h_k Λ_k/γ + δ_k²/2)/r_k
    "pc_margin",  # min (Δ_it − D_i), relative to the size of what it is a sum of; PC is pc_margin > 0
    "pc_sequences",  # number of sequences for which PC holds
    "gradient_condition",  # B Σ|c| / ‖Σ c Z‖: how much cancels in ∇_W L
    "coefficient_condition",  # the same with the size of what each c is a sum of, score gaps of u_t included
    "state_condition",  # how much cancels in ‖W‖²
    "margin_largest",  # max_it |m_it|
    "u_norm",  # ‖u_t‖
    "u_alignment",  # ⟨u_t, û⟩
    "u_gap",  # 1 − cos(u_t, û), from ‖u_t − ⟨u_t, û⟩û‖², free of cancellation
    "u_gap_error",  # bound on its rounding error, absolute
    "u_margin",  # min_i y_i u_tᵀ x_{i,o}
    "u_mass",  # Σ β_it ‖x_it‖ ≥ ‖u_t‖: how much cancels in u_t and its scores
    "u_gradient_condition",  # Σ p_i s_it ‖x_it‖ / ‖g^u‖: how much cancels in ∇_u L
    "log_attended_error",  # log e_t, e_t = max_i ‖x̃_i − y_i x_{i,o}‖
    "log_attended_reach",  # log max_i Σ s_it ‖x_{i,o} − x_it‖ ≥ log e_t: how much cancels in e_t
    "u_Lambda",  # Λ^u_t = log n + log(κ_max/κ_min), κ_i = |ℓ'(f_i)| e^{f_i}
    "u_step_sum",  # Σ_{k < t} η^u_k
    "u_growth_sum",  # Σ_{t1 ≤ k < t} η^u_k a_k / max‖x_it‖, t1 the decoder's onset
    "u_master_sum",  # Σ_{t1 ≤ k < t} h_k(b_k/a_k − 1) + (h_k Λ^u_k/a_k + δ_k²/2)/‖u_k‖
    "log_loss",  # log L
)
#: Columns that are defined from the onset t0 on, and those from the decoder's onset t1 on.
FROM_ONSET = ("Lambda_max", "log_step_length_max", "master_sum")
FROM_DECODER_ONSET = ("u_growth_sum", "u_master_sum")


@dataclass(frozen=True, eq=False)
class JointTrajectory(Trajectory):
    """The recorded joint run of one instance, a `Trajectory` with the columns of `JOINT_COLUMNS`.

    Attributes
    ----------
    onset : int or None
        t0: the first step with ‖W‖ > 0 from which PC of the current u holds to the end.
    decoder_onset : int or None
        t1: the first step with ‖u‖ > 0 from which a_t = μ − e_t > 0 holds to the end.  ``u_growth_sum`` and
        ``u_master_sum`` run from there and are NaN before.
    """

    columns: tuple[str, ...] = JOINT_COLUMNS
    decoder_onset: int | None = None

    @cached_property
    def decoder_onset_row(self) -> int | None:
        """Row of the decoder's onset t1, or of the first recorded step after it."""
        return None if self.decoder_onset is None else int(np.searchsorted(self.t, self.decoder_onset))
