"""Hypotheses of theorems: what they say.  Whether they hold of an instance is decided in ``properties``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import sympy as sp

from bounds.language import check_expression, check_relation


@dataclass(frozen=True)
class Assumption:
    """A named hypothesis.

    Attributes
    ----------
    statement : str
        What it says, in the words and symbols of docs/theory.md.
    level : {"dataset", "run", "trajectory"}
        Whether it concerns the data, the run's configuration, or every step of the run.
    """

    statement: ClassVar[str]
    level: ClassVar[str]

    @property
    def name(self) -> str:
        """As it is written in a theorem, with its arguments."""
        return repr(self)

    def describe(self) -> str:
        """The statement with its arguments filled in."""
        return self.statement

    def canonical(self) -> str:
        """A text that is the same for equal assumptions, for fingerprints."""
        return self.name


@dataclass(frozen=True)
class Separable(Assumption):
    """There is a W with ⟨Z_it, W⟩ ≥ 1 for every pair, so W_mm exists and γ > 0."""

    statement = "some W gives every pair a positive margin, so the max-margin solution W_mm exists"
    level = "dataset"


@dataclass(frozen=True)
class EqualScores(Assumption):
    """ES: all non-optimal tokens of a sequence have the same score, Δ_it = Δ_i."""

    statement = "within a sequence all non-optimal tokens have the same score"
    level = "dataset"


@dataclass(frozen=True)
class SelfAttention(Assumption):
    """q_i = x_{i,1}: the first token of each sequence is its query."""

    statement = "the query of a sequence is its first token"
    level = "dataset"


@dataclass(frozen=True)
class NonNegativeCorrelation(Assumption):
    """NNC: ⟨Z_it, Z_jτ⟩ ≥ 0 for all pairs."""

    statement = "no two pair features are negatively correlated"
    level = "dataset"


@dataclass(frozen=True)
class NearOrthogonal(Assumption):
    """NO(c): ‖x_{i,o}‖² ≥ c·n·Υ·max |⟨x_{i,o}, x_jτ⟩| over the other tokens, Υ = max_{i,j} Δ_i/Δ_j.

    The shape is reported, not read in the source; for unequal gaps Υ = Δ_max/Δ_min.
    """

    c: int | sp.Rational = 1
    statement = "optimal tokens are nearly orthogonal to all other tokens"
    level = "dataset"

    def __post_init__(self) -> None:
        usable = isinstance(self.c, int | sp.Rational) and not isinstance(self.c, bool)
        if not (usable and self.c > 0):
            raise ValueError(f"NearOrthogonal({self.c!r}): c must be a positive whole number or Rational")

    @property
    def factor(self) -> sp.Rational:
        """c as a rational number."""
        return sp.Rational(self.c)

    def describe(self) -> str:
        return f"{self.statement}: ‖x_o‖² ≥ {self.c}·n·Υ·max|⟨x_o, x⟩|"


@dataclass(frozen=True)
class NondegenerateSupport(Assumption):
    """The pairs with ⟨Z_it, W_mm⟩ = 1 are linearly independent, and all of them have positive multipliers."""

    statement = (
        "the pairs active in the W-SVM are linearly independent, and each of them has a positive multiplier"
    )
    level = "dataset"


@dataclass(frozen=True)
class WeakNegativeCorrelation(Assumption):
    """WC(δ̄): equal scores, and negative correlation between sequences that is weak for the run's step lengths.

    ES; ⟨Z_it, Z_iτ⟩ ≥ 0 within a sequence; and with ε = max_{i≠j} (−⟨Z_it, Z_jτ⟩)_+ and s̲ = `s_floor`,
    min‖Z_it‖² · min_i |ℓ'(γ_io)|Δ_i · s̲² ≥ (n − 1) ε max_j |ℓ'(γ_jo − Δ_j)|Δ_j / 4, where δ̄ = `delta_bar` is
    η for NGD and ηB max_j |ℓ'(γ_jo − Δ_j)|Δ_j / 4 for GD (docs/theory.md#m4).  Not defined for Polyak's step,
    whose length is not bounded before training.
    """

    statement = (
        "scores are equal within a sequence, its pair features are not negatively correlated, and those of "
        "different sequences are at most weakly so for the run's step size"
    )
    level = "run"


@dataclass(frozen=True)
class BelowPath(Assumption):
    """L(W) ≤ L(‖W‖ Ŵ) at the W that is judged: it does at least as well as W_mm's direction at its own norm."""

    statement = "the loss is at most that of the max-margin direction at the same norm"
    level = "trajectory"


@dataclass(frozen=True)
class PositiveCoefficients(Assumption):
    """PC: Δ_it > D_i for every pair, so every gradient coefficient is positive.

    A claim about a single W needs it at that W; a claim with history needs it at every step it looks back on
    (from step 0, or from t0 on).
    """

    statement = "every gradient coefficient is positive: each score gap exceeds the attention deficit"
    level = "trajectory"


@dataclass(frozen=True)
class Throughout(Assumption):
    """A relation between observables that holds at every judged step, and before it where a claim looks back."""

    relation: sp.core.relational.Relational
    statement = "at every step"
    level = "trajectory"

    def __post_init__(self) -> None:
        object.__setattr__(self, "relation", check_relation(self.relation, "Throughout"))

    def describe(self) -> str:
        return f"{self.statement}: {self.relation}"

    def canonical(self) -> str:
        return f"Throughout({sp.srepr(self.relation)})"


@dataclass(frozen=True)
class ZeroInit(Assumption):
    """W_0 = 0."""

    statement = "training starts from W_0 = 0"
    level = "run"


@dataclass(frozen=True)
class Rule(Assumption):
    """The step rule is ``"ngd"``, ``"gd"`` or ``"polyak"``."""

    rule: str
    statement = "the step rule"
    level = "run"

    def __post_init__(self) -> None:
        if self.rule not in ("ngd", "gd", "polyak"):
            raise ValueError(f'Rule({self.rule!r}): the rules are "ngd", "gd" and "polyak"')

    def describe(self) -> str:
        name = {"ngd": "normalised GD", "gd": "constant-step GD", "polyak": "Polyak's step"}[self.rule]
        return f"{name} is the step rule"


@dataclass(frozen=True)
class Loss(Assumption):
    """The loss ℓ is ``"logistic"`` or ``"exponential"``."""

    loss: str
    statement = "the loss"
    level = "run"

    def __post_init__(self) -> None:
        if self.loss not in ("logistic", "exponential"):
            raise ValueError(f'Loss({self.loss!r}): the losses are "logistic" and "exponential"')

    def describe(self) -> str:
        return f"the loss is {self.loss}"


@dataclass(frozen=True)
class StepAtMost(Assumption):
    """η ≤ ``limit``, an expression over observables.

    With a limit that changes along the run (such as one with ``s_min_run``), the hypothesis must hold at
    every step up to the judged one.
    """

    limit: sp.Expr
    statement = "the step size is at most a given value"
    level = "trajectory"

    def __post_init__(self) -> None:
        object.__setattr__(self, "limit", check_expression(self.limit, "StepAtMost"))

    def describe(self) -> str:
        return f"eta ≤ {self.limit}"

    def canonical(self) -> str:
        return f"StepAtMost({sp.srepr(self.limit)})"


@dataclass(frozen=True)
class Schedule(Assumption):
    """Joint training with step lengths η_W (t+1)^{−power_W} and η_u (t+1)^{−power_u}."""

    power_W: sp.Rational
    power_u: sp.Rational
    statement = "the step lengths of W and u fall like given powers of t"
    level = "run"

    def __post_init__(self) -> None:
        for name in ("power_W", "power_u"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | sp.Rational) or value < 0:
                raise ValueError(f"Schedule({name}={value!r}): give a Rational that is not negative")
            object.__setattr__(self, name, sp.Rational(value))

    def describe(self) -> str:
        return f"W's steps are η_W (t+1)^(−{self.power_W}) long, u's η_u (t+1)^(−{self.power_u})"
