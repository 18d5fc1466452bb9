"""Observables: the symbols that a run can measure, declared once.

Every observable is a real scalar and a SymPy symbol; claims are ordinary SymPy relations between them.  The
weights have no unit, tokens are taken as given, so all observables are pure numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sympy as sp

Level = Literal["dataset", "run", "step"]
Memory = Literal["state", "start", "onset", "decoder"]


@dataclass(frozen=True)
class Observable:
    """What a symbol stands for.

    Attributes
    ----------
    symbol : sympy.Symbol
        With the assumptions that are always true of it.
    latex : str
        As the paper writes it.
    meaning : str
        One line.
    level : {"dataset", "run", "step"}
        Whether it is fixed by the data, by the run's configuration, or changes with every step.
    memory : {"state", "start", "onset", "decoder"}
        Which part of the run it depends on: only the current weights, everything since step 0, everything
        since t0, the first step with positive norm from which positive coefficients hold to the end, or (joint
        training) everything since t1, the first step with u ≠ 0 from which a_t > 0 holds to the end.  This
        decides on which steps a trajectory-level hypothesis must hold for a claim to apply.
    trivially_below, trivially_above : sympy.Expr or None
        Levels that the observable never exceeds, or never falls below, whatever the training does.  A bound
        that is no better than such a level says nothing.
    """

    symbol: sp.Symbol
    latex: str
    meaning: str
    level: Level
    memory: Memory
    trivially_below: sp.Expr | None = None
    trivially_above: sp.Expr | None = None

    @property
    def name(self) -> str:
        """The Python name, the same everywhere: in theorem files, JSON and the report."""
        return str(self.symbol.name)


#: All observables by name.
NOTATION: dict[str, Observable] = {}


def _declare(
    name: str,
    latex: str,
    meaning: str,
    level: Level,
    memory: Memory = "state",
    *,
    below: sp.Expr | int | None = None,
    above: sp.Expr | int | None = None,
    **assumptions: bool,
) -> sp.Symbol:
    symbol = sp.Symbol(name, real=True, **assumptions)
    NOTATION[name] = Observable(
        symbol,
        latex,
        meaning,
        level,
        memory,
        None if below is None else sp.sympify(below),
        None if above is None else sp.sympify(above),
    )
    return symbol


# --------------------------------------------------------------------------------------------------- run
t = _declare("t", "t", "step, counted from 0", "step", "start", nonnegative=True, integer=True)
eta = _declare("eta", r"\eta", "step size of NGD and GD", "run", positive=True)
zeta = _declare("zeta", r"\zeta", "divisor of the Polyak step", "run", positive=True)

# ----------------------------------------------------------------------------------------------- dataset
n = _declare("n", "n", "number of sequences", "dataset", positive=True, integer=True)
T = _declare("T", "T", "tokens in a sequence", "dataset", positive=True, integer=True)
d = _declare("d", "d", "token dimension", "dataset", positive=True, integer=True)
N = _declare("N", "N", "number of pairs n(T−1)", "dataset", positive=True, integer=True)
gamma = _declare("gamma", r"\gamma", "token margin 1/‖W_mm‖_F", "dataset", positive=True)
B = _declare("B", "B", "feature radius max ‖Z_it‖_F", "dataset", positive=True)
Delta_max = _declare("Delta_max", r"\Delta_{\max}", "largest score gap", "dataset", positive=True)
Delta_min = _declare("Delta_min", r"\Delta_{\min}", "smallest score gap", "dataset", positive=True)
score_min = _declare("score_min", r"\gamma^{o}_{\min}", "smallest optimal score min_i γ_{i,o_i}", "dataset")
Lambda_apriori = _declare(
    "Lambda_apriori",
    r"\Lambda_{0}",
    "bound on Λ before training: log N + 2 log T + log(max|ℓ'(f̄_i)|Δ_i/min|ℓ'(γ_io)|Δ_i)",
    "dataset",
    nonnegative=True,
)

# ------------------------------------------------------------------------------- direction, at every step
norm = _declare("norm", r"\lVert W_t\rVert", "r_t = ‖W_t‖_F", "step", above=0, nonnegative=True)
alignment = _declare(
    "alignment", r"\langle W_t,\hat W\rangle", "v_t = ⟨W_t, W_mm⟩/‖W_mm‖", "step", below=norm, above=-norm
)
direction_gap = _declare(
    "direction_gap",
    r"1-\cos(W_t,W_{\mathrm{mm}})",
    "1 − v_t/r_t; undefined while W_t = 0; at most 1 once v_t ≥ 0",
    "step",
    below=1,
    above=0,
    nonnegative=True,
)
norm_0 = _declare("norm_0", r"\lVert W_0\rVert", "r_0", "run", "start", nonnegative=True)
alignment_0 = _declare("alignment_0", r"\langle W_0,\hat W\rangle", "v_0", "run", "start")
norm_1 = _declare("norm_1", r"\lVert W_{t_0}\rVert", "r at t0", "run", "onset", nonnegative=True)
alignment_1 = _declare("alignment_1", r"\langle W_{t_0},\hat W\rangle", "v at t0", "run", "onset")

# ------------------------------------------------------------------------------------- loss and gradient
loss_gap_0 = _declare("loss_gap_0", "G_0", "L(W_0) − L*", "run", "start", above=0, positive=True)
loss_gap = _declare("loss_gap", "G_t", "L(W_t) − L*", "step", below=loss_gap_0, above=0, positive=True)
loss_gap_next = _declare("loss_gap_next", "G_{t+1}", "L(W_{t+1}) − L*", "step", above=0, positive=True)
grad_norm = _declare("grad_norm", r"\lVert\nabla L(W_t)\rVert", "gradient norm", "step", above=0, nonnegative=True)
coefficient_sum = _declare(
    "coefficient_sum", "C_t", "Σ c_it = (1/n) Σ |ℓ'(f_i)| s_{i,o} D_i", "step", above=0, positive=True
)
Gamma = _declare("Gamma", r"\Gamma_t", "(1/n) Σ |ℓ'(f_i)| D_i", "step", above=0, positive=True)
descent_cosine = _declare(
    "descent_cosine",
    r"\frac{\langle-\nabla L,\hat W\rangle}{\lVert\nabla L\rVert}",
    "cosine between the descent direction and W_mm",
    "step",
    below=1,
    above=-1,
)

# ----------------------------------------------------------------------------------------- attention map
s_min = _declare(
    "s_min", r"\min_i s_{i,o}", "least attention on an optimal token", "step", below=1, above=0, positive=True
)
s_min_run = _declare(
    "s_min_run",
    r"\min_{k\le t} s_{\min,k}",
    "s_min over steps 0 … t",
    "step",
    "start",
    below=1,
    above=0,
    positive=True,
)
leak_max = _declare(
    "leak_max",
    r"\max_i(1-s_{i,o})",
    "most attention off an optimal token",
    "step",
    below=1,
    above=0,
    positive=True,
)
leak_min = _declare(
    "leak_min",
    r"\min_i(1-s_{i,o})",
    "least attention off an optimal token",
    "step",
    below=1,
    above=0,
    positive=True,
)
leak_slope_max = _declare(
    "leak_slope_max",
    r"\max_i|\ell'(\gamma_{i,o})|(1-s_{i,o})",
    "largest leak, each sequence weighted with its loss slope at the optimum",
    "step",
    above=0,
    positive=True,
)

# ------------------------------------------------------------------------------------- margins and steps
margin_min = _declare("margin_min", r"\min m_{it}", "smallest margin ⟨Z_it, W_t⟩", "step", below=gamma * norm)
margin_mean = _declare(
    "margin_mean", r"\langle g_t,W_t\rangle", "Σ c_it m_it/C, the margins' mean under c/C", "step"
)
margin_growth_min = _declare(
    "margin_growth_min",
    r"\min(m_{it}(t+1)-m_{it}(t))",
    "smallest change of a margin in the next step",
    "step",
)
step_length = _declare("step_length", r"\delta_t", "‖W_{t+1} − W_t‖", "step", above=0, nonnegative=True)
step_length_max = _declare(
    "step_length_max", r"\bar\delta_t", "max δ over t0 … t", "step", "onset", above=0, nonnegative=True
)

# --------------------------------------------------------------------------------- the master theorem's
Lambda = _declare("Lambda", r"\Lambda_t", "log N + log(κ_max/κ_min)", "step", above=0, nonnegative=True)
Lambda_max = _declare(
    "Lambda_max", r"\bar\Lambda_t", "max Λ over t0 … t", "step", "onset", above=0, nonnegative=True
)
master_sum = _declare(
    "master_sum",
    r"\sum_{t_0\le k<t}\frac{h_k\Lambda_k/\gamma+\delta_k^2/2}{r_k}",
    "the sum of theorem M1, from t0",
    "step",
    "onset",
    above=0,
    nonnegative=True,
)
rho = _declare("rho", r"\rho_t", "max_i |ℓ'(f_i)|/|ℓ'(γ_{i,o})|", "step", above=1, positive=True)
rho_max = _declare("rho_max", r"\bar\rho_t", "max ρ over steps 0 … t", "step", "start", above=1, positive=True)

# ------------------------------------------------- known before training, and the regularisation path (M4, S1)
delta_bar = _declare(
    "delta_bar",
    r"\bar\delta",
    "bound on step lengths known before training: η (NGD), ηB max_j|ℓ'(γ_jo − Δ_j)|Δ_j/4 (GD, equal scores)",
    "run",
    positive=True,
)
s_floor = _declare(
    "s_floor",
    r"\underline{s}",
    "1/(1 + (T−1) exp(δ̄B)), floor of the attention on optimal tokens known before training",
    "run",
    below=1,
    above=0,
    positive=True,
)
Lambda_global = _declare(
    "Lambda_global",
    r"\bar\Lambda",
    "bound on Λ before training: log N + 2 log(1/s̲) + log(max_j|ℓ'(γ_jo − Δ_j)|Δ_j/min_i|ℓ'(γ_io)|Δ_i)",
    "run",
    nonnegative=True,
)
slope_ratio = _declare(
    "slope_ratio",
    r"\rho^{\star}",
    "max_i|ℓ'(γ_io − Δ_max)|/min_i|ℓ'(γ_io)|",
    "dataset",
    above=1,
    positive=True,
)
slope_min = _declare(
    "slope_min",
    r"\min_i\lvert\ell'(\gamma_{i,o})\rvert",
    "smallest loss slope at the optimum",
    "dataset",
    positive=True,
)
path_loss_gap = _declare(
    "path_loss_gap",
    r"L(r_t\hat W)-L^{\star}",
    "loss gap of the max-margin direction at the norm r_t",
    "step",
    above=0,
    positive=True,
)

# ------------------------------------------------------------------------------------------ random data
feasible = _declare(
    "feasible",
    r"\mathrm{feasible}",
    "1 if some W gives every pair a positive margin, else 0 (decided exactly)",
    "dataset",
    below=1,
    above=0,
    nonnegative=True,
)
vectors = _declare("vectors", "M", "number of independent standard Gaussian vectors", "dataset", positive=True)
failure = _declare("failure", r"\delta", "allowed probability of failure", "dataset", positive=True)
inner_max = _declare(
    "inner_max", r"\max_{a\neq b}\lvert\langle g_a,g_b\rangle\rvert", "largest inner product", "dataset", above=0
)
norm_sq_min = _declare(
    "norm_sq_min", r"\min_a\lVert g_a\rVert^2", "smallest squared norm", "dataset", above=0, nonnegative=True
)

# ---------------------------------------------------------------------------- joint training of W and u (J1–J5)
# W's observables keep their symbols; scores are those of the current decoder u_t.
eta_W = _declare("eta_W", r"\eta_W", "first step length of the attention weights W", "run", positive=True)
eta_u = _declare("eta_u", r"\eta_u", "first step length of the decoder u", "run", positive=True)
mu = _declare("mu", r"\mu", "decoder margin 1/‖u_mm‖", "dataset", positive=True)
token_radius = _declare(
    "token_radius", r"\max\lVert x_{it}\rVert", "length of the longest token", "dataset", positive=True
)
u_norm = _declare("u_norm", r"\lVert u_t\rVert", "norm of the decoder", "step", above=0, nonnegative=True)
u_alignment = _declare(
    "u_alignment", r"\langle u_t,\hat u\rangle", "⟨u_t, u_mm⟩/‖u_mm‖", "step", below=u_norm, above=-u_norm
)
u_direction_gap = _declare(
    "u_direction_gap",
    r"1-\cos(u_t,u_{\mathrm{mm}})",
    "1 − ⟨u_t, û⟩/‖u_t‖; undefined while u_t = 0; at most 1 once ⟨u_t, û⟩ ≥ 0",
    "step",
    below=1,
    above=0,
    nonnegative=True,
)
u_deviation = _declare(
    "u_deviation",
    r"\bigl\lVert\tfrac{u_t}{\lVert u_t\rVert}-\hat u\bigr\rVert",
    "‖u_t/‖u_t‖ − û‖ = √(2(1 − cos(u_t, û))); undefined while u_t = 0",
    "step",
    below=2,
    above=0,
    nonnegative=True,
)
u_margin = _declare(
    "u_margin",
    r"\min_i y_iu_t^\top x_{i,o}",
    "smallest score of an optimal token under the current decoder",
    "step",
    below=token_radius * u_norm,
    above=-token_radius * u_norm,
)
attended_error = _declare(
    "attended_error",
    "e_t",
    "max_i ‖x̃_i − y_i x_{i,o}‖, attended features x̃_i = y_i X_iᵀ s_i",
    "step",
    below=2 * token_radius,
    above=0,
    nonnegative=True,
)
attended_margin = _declare("attended_margin", "a_t", "μ − e_t", "step", below=mu)
u_norm_1 = _declare(
    "u_norm_1", r"\lVert u_{t_1}\rVert", "norm of the decoder at t1", "run", "decoder", nonnegative=True
)
u_alignment_1 = _declare("u_alignment_1", r"\langle u_{t_1},\hat u\rangle", "⟨u, û⟩ at t1", "run", "decoder")
u_Lambda = _declare(
    "u_Lambda",
    r"\Lambda^u_t",
    "log n + log(κ_max/κ_min), κ_i = |ℓ'(f_i)| exp(f_i)",
    "step",
    above=0,
    nonnegative=True,
)
u_master_sum = _declare(
    "u_master_sum",
    r"\sum_{t_1\le k<t}h_k\bigl(\tfrac{b_k}{a_k}-1\bigr)+\frac{h_k\Lambda^u_k/a_k+\delta_k^2/2}{\lVert u_k\rVert}",
    "the sum of theorem J2, from t1; δ = η^u, h = δ a/‖g^u‖, b = μ + e",
    "step",
    "decoder",
    above=0,
    nonnegative=True,
)
u_growth_sum = _declare(
    "u_growth_sum",
    r"\sum_{t_1\le k<t}\frac{\eta^u_k a_k}{\max\lVert x_{it}\rVert}",
    "the sum of theorem J3, from t1",
    "step",
    "decoder",
    above=0,
    nonnegative=True,
)
u_step_sum = _declare(
    "u_step_sum", r"\sum_{k<t}\eta^u_k", "length of the decoder's path", "step", "start", above=0, nonnegative=True
)
loss_0 = _declare("loss_0", r"\ell(0)", "loss at u = 0: log 2 (logistic) or 1 (exponential)", "run", positive=True)
loss = _declare("loss", "L_t", "mean loss L(W_t, u_t)", "step", below=loss_0, above=0, positive=True)
