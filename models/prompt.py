"""Attention with a trained prompt: f(X) = ⟨Xu, softmax(XWp)⟩, in which p is trained and W and u are fixed.

The logits are linear in p, so that p plays the part of an attention layer's weights: with the *keys* Wᵀx_it the
pair features are φ_it = Wᵀ(x_{i,o} − x_it) ∈ R^m and the margins ⟨φ_it, p⟩.  This is attention with the query
1 ∈ R¹ in every sequence, keys in place of tokens, and p as an m × 1 matrix of weights.  Everything that trains,
solves and replays attention in margin space does so here (docs/systems.md#prompt).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from models.attention import Geometry, weights_at
from models.dataset import Array, AttentionTokens
from models.dyadic import DyadicMatrix
from models.instance import LOSSES
from models.records import RecordDataset, RecordInstance, RecordRun

PROMPT_RULES = ("ngd", "gd")


@dataclass(frozen=True, eq=False)
class PromptDataset(AttentionTokens, RecordDataset):
    """Tokens with labels, a fixed decoder, and the fixed matrix between tokens and prompt.

    Parameters
    ----------
    X : array, shape (n, T, d)
        Tokens.
    y : array, shape (n,)
        Labels, each +1 or −1.
    u : array, shape (d,)
        The fixed decoder, v in the source.
    W : array, shape (d, m)
        Keys are Wᵀx.  The source has m = d.

    Raises
    ------
    InvalidDataset
        For arrays that are no full finite ones of these shapes, labels other than ±1, fewer than two tokens, or a
        sequence whose largest score is attained twice.
    """

    unit: ClassVar[str] = "tokens"
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "X": ("n", "T", "d"),
        "y": ("n",),
        "u": ("d",),
        "W": ("d", "m"),
    }
    y: Array
    u: Array
    W: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        n, T, d = self.X.shape
        self.require(T >= 2, "X has one token a sequence: attention needs at least two to choose between")
        self.require(self.y.shape == (n,), f"y has {self.y.size} labels for {n} sequences: give one a sequence")
        self.require(bool((np.abs(self.y) == 1.0).all()), "y: labels must be +1 or -1")
        self.require(self.u.shape == (d,), f"u has {self.u.size} entries for tokens of dimension {d}: give d")
        self.require(self.W.shape[0] == d, f"W has {self.W.shape[0]} rows for tokens of dimension {d}: give d")
        self._reject_ties()

    @property
    def m(self) -> int:
        """Dimension of keys and prompt."""
        return int(self.W.shape[1])

    @property
    def exact_keys(self) -> DyadicMatrix:
        """The keys Wᵀx_it, exact, one row a token."""
        return super().exact_keys @ DyadicMatrix(self.W)

    @property
    def queries(self) -> Array:
        """1 for every sequence, shape (n, 1): the logits are the keys' products with p itself."""
        return np.ones((self.n, 1))


@dataclass(frozen=True, eq=False)
class PromptRun(RecordRun):
    """How the prompt is trained.

    Parameters
    ----------
    steps : int
    rule : {"ngd", "gd"}
        p ← p − δ_t ∇L/‖∇L‖ with δ_t = η or η‖∇L‖.
    loss : {"logistic", "exponential"}
    eta : float
        η > 0.
    p_0 : array, shape (m,), optional
        The initial prompt; zero if absent.

    Raises
    ------
    InvalidRun
        For unknown names or a step size that is not positive; the message names the field and the fix.
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"p_0": ("m",)}
    zeta: ClassVar[None] = None  # Polyak's step is not among the rules
    rule: str
    loss: str
    eta: float
    p_0: Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("rule", PROMPT_RULES), ("loss", LOSSES)):
            value = getattr(self, name)
            self.require(value in known, f"unknown {name} {value!r}: use one of {', '.join(known)}")
        self.require(self.eta > 0.0, f"eta = {self.eta!r}: give a positive step size")

    @property
    def step_size(self) -> float:
        """η."""
        return self.eta

    @property
    def W_0(self) -> Array | None:
        """p_0 as the initial weights that training in margin space asks for, shape (m, 1)."""
        return None if self.p_0 is None else self.p_0[:, None]


class PromptInstance(RecordInstance):
    """Tokens and a run."""

    system = "prompt"
    parts = (PromptDataset, PromptRun)


def restarted_prompt(instance: PromptInstance, step: int, geometry: Geometry) -> PromptInstance:
    """The run taken up at its float state ``step``, of no further steps: an exact state, near the original run's.

    Raises
    ------
    InvalidRun
        If the run does not reach that step.
    """
    if step == 0:
        return instance.with_run(steps=0)
    return instance.with_run(steps=0, p_0=prompt_at(instance, step, geometry))


def prompt_at(instance: PromptInstance, step: int, geometry: Geometry) -> Array:
    """p_t of the float64 run, shape (m,).  Raises `InvalidRun` if the run does not reach ``step``."""
    run: Any = instance  # `weights_at` asks for no more of an instance than this one has
    return weights_at(run, step, geometry)[:, 0]
