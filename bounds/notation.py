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
        since t0, the first step with positive norm from which positive coefficients hold to the end (in linear
        classification the first step with L(w) ≤ 1/η), or (joint training) everything since t1, the first step
        with u ≠ 0 from which a_t > 0 holds to the end.  This decides on which steps a trajectory-level
        hypothesis must hold for a claim to apply.
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


def declare(
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
    """Declare an observable and return its symbol; see `Observable` for the arguments.

    Observables that only one system has are declared in that system's file.

    Raises
    ------
    ValueError
        If the name is taken.
    """
    if name in NOTATION:
        raise ValueError(f"the observable {name!r} is declared already: use its symbol, or another name")
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
t = declare("t", "t", "step, counted from 0", "step", "start", nonnegative=True, integer=True)
eta = declare("eta", r"\eta", "step size of NGD and GD", "run", positive=True)
zeta = declare("zeta", r"\zeta", "divisor of the Polyak step", "run", positive=True)

# ----------------------------------------------------------------------------------------------- dataset
n = declare("n", "n", "number of sequences, or of points", "dataset", positive=True, integer=True)
T = declare("T", "T", "tokens in a sequence", "dataset", positive=True, integer=True)
d = declare("d", "d", "dimension of tokens or points", "dataset", positive=True, integer=True)
N = declare("N", "N", "number of pairs n(T−1)", "dataset", positive=True, integer=True)
gamma = declare("gamma", r"\gamma", "margin 1/‖W_mm‖ of the max-margin solution", "dataset", positive=True)
B = declare("B", "B", "feature radius max ‖Z_it‖_F", "dataset", positive=True)
Delta_max = declare("Delta_max", r"\Delta_{\max}", "largest score gap", "dataset", positive=True)
Delta_min = declare("Delta_min", r"\Delta_{\min}", "smallest score gap", "dataset", positive=True)
score_min = declare("score_min", r"\gamma^{o}_{\min}", "smallest optimal score min_i γ_{i,o_i}", "dataset")
Lambda_apriori = declare(
    "Lambda_apriori",
    r"\Lambda_{0}",
    "bound on Λ before training: log N + 2 log T + log(max|ℓ'(f̄_i)|Δ_i/min|ℓ'(γ_io)|Δ_i)",
    "dataset",
    nonnegative=True,
)

# ------------------------------------------------------------------------------- direction, at every step
norm = declare("norm", r"\lVert W_t\rVert", "r_t = ‖W_t‖_F", "step", above=0, nonnegative=True)
alignment = declare(
    "alignment", r"\langle W_t,\hat W\rangle", "v_t = ⟨W_t, W_mm⟩/‖W_mm‖", "step", below=norm, above=-norm
)
direction_gap = declare(
    "direction_gap",
    r"1-\cos(W_t,W_{\mathrm{mm}})",
    "1 − v_t/r_t; undefined while W_t = 0; at most 1 once v_t ≥ 0",
    "step",
    below=1,
    above=0,
    nonnegative=True,
)
norm_0 = declare("norm_0", r"\lVert W_0\rVert", "r_0", "run", "start", nonnegative=True)
alignment_0 = declare("alignment_0", r"\langle W_0,\hat W\rangle", "v_0", "run", "start")
norm_1 = declare("norm_1", r"\lVert W_{t_0}\rVert", "r at t0", "run", "onset", nonnegative=True)
alignment_1 = declare("alignment_1", r"\langle W_{t_0},\hat W\rangle", "v at t0", "run", "onset")

# ------------------------------------------------------------------------------------- loss and gradient
loss_gap_0 = declare("loss_gap_0", "G_0", "L(W_0) − L*", "run", "start", above=0, positive=True)
loss_gap = declare("loss_gap", "G_t", "L(W_t) − L*", "step", below=loss_gap_0, above=0, positive=True)
loss_gap_next = declare("loss_gap_next", "G_{t+1}", "L(W_{t+1}) − L*", "step", above=0, positive=True)
grad_norm = declare("grad_norm", r"\lVert\nabla L(W_t)\rVert", "gradient norm", "step", above=0, nonnegative=True)
coefficient_sum = declare(
    "coefficient_sum", "C_t", "Σ c_it = (1/n) Σ |ℓ'(f_i)| s_{i,o} D_i", "step", above=0, positive=True
)
Gamma = declare("Gamma", r"\Gamma_t", "(1/n) Σ |ℓ'(f_i)| D_i", "step", above=0, positive=True)
descent_cosine = declare(
    "descent_cosine",
    r"\frac{\langle-\nabla L,\hat W\rangle}{\lVert\nabla L\rVert}",
    "cosine between the descent direction and W_mm",
    "step",
    below=1,
    above=-1,
)

# ----------------------------------------------------------------------------------------- attention map
s_min = declare(
    "s_min", r"\min_i s_{i,o}", "least attention on an optimal token", "step", below=1, above=0, positive=True
)
s_min_run = declare(
    "s_min_run",
    r"\min_{k\le t} s_{\min,k}",
    "s_min over steps 0 … t",
    "step",
    "start",
    below=1,
    above=0,
    positive=True,
)
leak_max = declare(
    "leak_max",
    r"\max_i(1-s_{i,o})",
    "most attention off an optimal token",
    "step",
    below=1,
    above=0,
    positive=True,
)
leak_min = declare(
    "leak_min",
    r"\min_i(1-s_{i,o})",
    "least attention off an optimal token",
    "step",
    below=1,
    above=0,
    positive=True,
)
leak_slope_max = declare(
    "leak_slope_max",
    r"\max_i|\ell'(\gamma_{i,o})|(1-s_{i,o})",
    "largest leak, each sequence weighted with its loss slope at the optimum",
    "step",
    above=0,
    positive=True,
)

# ------------------------------------------------------------------------------------- margins and steps
margin_min = declare(
    "margin_min",
    r"\min m_{it}",
    "smallest margin ⟨Z_it, W_t⟩, or y_i⟨x_i, w_t⟩ of points",
    "step",
    below=gamma * norm,
)
margin_mean = declare(
    "margin_mean", r"\langle g_t,W_t\rangle", "Σ c_it m_it/C, the margins' mean under c/C", "step"
)
margin_growth_min = declare(
    "margin_growth_min",
    r"\min(m_{it}(t+1)-m_{it}(t))",
    "smallest change of a margin in the next step",
    "step",
)
step_length = declare("step_length", r"\delta_t", "‖W_{t+1} − W_t‖", "step", above=0, nonnegative=True)
step_length_max = declare(
    "step_length_max", r"\bar\delta_t", "max δ over t0 … t", "step", "onset", above=0, nonnegative=True
)

# --------------------------------------------------------------------------------- the master theorem's
Lambda = declare("Lambda", r"\Lambda_t", "log N + log(κ_max/κ_min)", "step", above=0, nonnegative=True)
Lambda_max = declare(
    "Lambda_max", r"\bar\Lambda_t", "max Λ over t0 … t", "step", "onset", above=0, nonnegative=True
)
master_sum = declare(
    "master_sum",
    r"\sum_{t_0\le k<t}\frac{h_k\Lambda_k/\gamma+\delta_k^2/2}{r_k}",
    "the sum of theorem M1, from t0",
    "step",
    "onset",
    above=0,
    nonnegative=True,
)
rho = declare("rho", r"\rho_t", "max_i |ℓ'(f_i)|/|ℓ'(γ_{i,o})|", "step", above=1, positive=True)
rho_max = declare("rho_max", r"\bar\rho_t", "max ρ over steps 0 … t", "step", "start", above=1, positive=True)

# ------------------------------------------------- known before training, and the regularisation path (M4, S1)
delta_bar = declare(
    "delta_bar",
    r"\bar\delta",
    "bound on step lengths known before training: η (NGD), ηB max_j|ℓ'(γ_jo − Δ_j)|Δ_j/4 (GD, equal scores)",
    "run",
    positive=True,
)
s_floor = declare(
    "s_floor",
    r"\underline{s}",
    "1/(1 + (T−1) exp(δ̄B)), floor of the attention on optimal tokens known before training",
    "run",
    below=1,
    above=0,
    positive=True,
)
Lambda_global = declare(
    "Lambda_global",
    r"\bar\Lambda",
    "bound on Λ before training: log N + 2 log(1/s̲) + log(max_j|ℓ'(γ_jo − Δ_j)|Δ_j/min_i|ℓ'(γ_io)|Δ_i)",
    "run",
    nonnegative=True,
)
slope_ratio = declare(
    "slope_ratio",
    r"\rho^{\star}",
    "max_i|ℓ'(γ_io − Δ_max)|/min_i|ℓ'(γ_io)|",
    "dataset",
    above=1,
    positive=True,
)
slope_min = declare(
    "slope_min",
    r"\min_i\lvert\ell'(\gamma_{i,o})\rvert",
    "smallest loss slope at the optimum",
    "dataset",
    positive=True,
)
path_loss_gap = declare(
    "path_loss_gap",
    r"L(r_t\hat W)-L^{\star}",
    "loss gap of the max-margin direction at the norm r_t",
    "step",
    above=0,
    positive=True,
)

# ------------------------------------------------------------------------------------------ random data
feasible = declare(
    "feasible",
    r"\mathrm{feasible}",
    "1 if some W gives every pair a positive margin, else 0 (decided exactly)",
    "dataset",
    below=1,
    above=0,
    nonnegative=True,
)
vectors = declare("vectors", "M", "number of independent standard Gaussian vectors", "dataset", positive=True)
failure = declare("failure", r"\delta", "allowed probability of failure", "dataset", positive=True)
inner_max = declare(
    "inner_max", r"\max_{a\neq b}\lvert\langle g_a,g_b\rangle\rvert", "largest inner product", "dataset", above=0
)
norm_sq_min = declare(
    "norm_sq_min", r"\min_a\lVert g_a\rVert^2", "smallest squared norm", "dataset", above=0, nonnegative=True
)

# ---------------------------------------------------------------------------- joint training of W and u (J1–J5)
# W's observables keep their symbols; scores are those of the current decoder u_t.
eta_W = declare("eta_W", r"\eta_W", "first step length of the attention weights W", "run", positive=True)
eta_u = declare("eta_u", r"\eta_u", "first step length of the decoder u", "run", positive=True)
mu = declare("mu", r"\mu", "decoder margin 1/‖u_mm‖", "dataset", positive=True)
token_radius = declare(
    "token_radius", r"\max\lVert x_{it}\rVert", "length of the longest token", "dataset", positive=True
)
u_norm = declare("u_norm", r"\lVert u_t\rVert", "norm of the decoder", "step", above=0, nonnegative=True)
u_alignment = declare(
    "u_alignment", r"\langle u_t,\hat u\rangle", "⟨u_t, u_mm⟩/‖u_mm‖", "step", below=u_norm, above=-u_norm
)
u_direction_gap = declare(
    "u_direction_gap",
    r"1-\cos(u_t,u_{\mathrm{mm}})",
    "1 − ⟨u_t, û⟩/‖u_t‖; undefined while u_t = 0; at most 1 once ⟨u_t, û⟩ ≥ 0",
    "step",
    below=1,
    above=0,
    nonnegative=True,
)
u_deviation = declare(
    "u_deviation",
    r"\bigl\lVert\tfrac{u_t}{\lVert u_t\rVert}-\hat u\bigr\rVert",
    "‖u_t/‖u_t‖ − û‖ = √(2(1 − cos(u_t, û))); undefined while u_t = 0",
    "step",
    below=2,
    above=0,
    nonnegative=True,
)
u_margin = declare(
    "u_margin",
    r"\min_i y_iu_t^\top x_{i,o}",
    "smallest score of an optimal token under the current decoder",
    "step",
    below=token_radius * u_norm,
    above=-token_radius * u_norm,
)
attended_error = declare(
    "attended_error",
    "e_t",
    "max_i ‖x̃_i − y_i x_{i,o}‖, attended features x̃_i = y_i X_iᵀ s_i",
    "step",
    below=2 * token_radius,
    above=0,
    nonnegative=True,
)
attended_margin = declare("attended_margin", "a_t", "μ − e_t", "step", below=mu)
u_norm_1 = declare(
    "u_norm_1", r"\lVert u_{t_1}\rVert", "norm of the decoder at t1", "run", "decoder", nonnegative=True
)
u_alignment_1 = declare("u_alignment_1", r"\langle u_{t_1},\hat u\rangle", "⟨u, û⟩ at t1", "run", "decoder")
u_Lambda = declare(
    "u_Lambda",
    r"\Lambda^u_t",
    "log n + log(κ_max/κ_min), κ_i = |ℓ'(f_i)| exp(f_i)",
    "step",
    above=0,
    nonnegative=True,
)
u_master_sum = declare(
    "u_master_sum",
    r"\sum_{t_1\le k<t}h_k\bigl(\tfrac{b_k}{a_k}-1\bigr)+\frac{h_k\Lambda^u_k/a_k+\delta_k^2/2}{\lVert u_k\rVert}",
    "the sum of theorem J2, from t1; δ = η^u, h = δ a/‖g^u‖, b = μ + e",
    "step",
    "decoder",
    above=0,
    nonnegative=True,
)
u_growth_sum = declare(
    "u_growth_sum",
    r"\sum_{t_1\le k<t}\frac{\eta^u_k a_k}{\max\lVert x_{it}\rVert}",
    "the sum of theorem J3, from t1",
    "step",
    "decoder",
    above=0,
    nonnegative=True,
)
u_step_sum = declare(
    "u_step_sum", r"\sum_{k<t}\eta^u_k", "length of the decoder's path", "step", "start", above=0, nonnegative=True
)
loss_0 = declare(
    "loss_0",
    r"\ell(0)",
    "loss of a model that is 0: log 2 (logistic) or 1 (exponential), n times that if summed",
    "run",
    positive=True,
)
loss = declare("loss", "L_t", "training loss", "step", below=loss_0, above=0, positive=True)
