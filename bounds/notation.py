"""Observables: the symbols that a run can measure, declared once.

Every observable is a real scalar and a SymPy symbol; claims are ordinary SymPy relations between them.  The
weights have no unit, tokens are taken as given, so all observables are pure numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sympy as sp

Level = Literal["dataset", "run", "step"]
Memory = Literal["state", "start", "onset"]


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
    memory : {"state", "start", "onset"}
        Which part of the run it depends on: only the current weights, everything since step 0, or everything
        since t0, the first step with positive norm from which positive coefficients hold to the end.  This
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
