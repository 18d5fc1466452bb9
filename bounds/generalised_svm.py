"""Theorems about attention that has to keep more than one token (docs/systems.md#generalised-svm).

Sequence i is to attend to x̂_i = X_iᵀ softmax(X_iWz_i) near a target b_i outside the hull of its tokens.  The point
of the hull that is nearest to b_i mixes the tokens of a kept set O_i in fixed proportions s*_i, so that attention
has to leave all others, and W grows for ever, while its part within O_i has to stay finite.
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Rational

from bounds.assumptions import Assumption, Throughout
from bounds.attention_path import SVM
from bounds.claims import Tends
from bounds.notation import declare, loss_gap, n
from bounds.theorem import GENERALISED_SVM, Conjecture, Derived, Theorem

kept_leak = declare(
    "kept_leak",
    r"\max_i(1-s_{i,O_i})",
    "most attention outside a kept set O_i",
    "step",
    below=1,
    above=0,
    nonnegative=True,
)
kept_gap = declare(
    "kept_gap",
    r"1-\cos(W_t,W_O)",
    "direction gap to the generalised max-margin solution; undefined while W = 0",
    "step",
    below=1,
    above=0,
    nonnegative=True,
)
single_gap = declare(
    "single_gap",
    r"1-\cos(W_t,W_1)",
    "direction gap to the max-margin solution that keeps one token a sequence, that of largest weight",
    "step",
    below=1,
    above=0,
    nonnegative=True,
)
ratio_error = declare(
    "ratio_error",
    r"\max_{i,t,\tau}\lvert\log\frac{s_{it}s^{\star}_{i\tau}}{s_{i\tau}s^{\star}_{it}}\rvert",
    "largest error of log-ratios of attention within a kept set",
    "step",
    above=0,
    nonnegative=True,
)
kept_slack = declare(
    "kept_slack",
    r"\kappa_{\min}",
    "min over i and τ outside O_i of ⟨b_i − p_i, p_i − x_iτ⟩, p_i the point of the hull nearest to b_i",
    "dataset",
    positive=True,
)


@dataclass(frozen=True)
class StrictlyKept(Assumption):
    """Every token of O_i has a positive weight in p_i, every other one a positive slack, and some are left out."""

    statement = "each target determines which tokens are kept and in which proportions, with room to spare"
    level = "dataset"


@dataclass(frozen=True)
class KeptSeparable(Assumption):
    """Some W gives the tokens of each kept set equal logits, and all others smaller ones."""

    statement = "some W separates the kept sets from the other tokens with equal logits inside, so W_O exists"
    level = "dataset"


#: Attention has come to the kept sets and has lost no token of theirs: what is claimed is claimed from there on.
_NEAR: tuple[Assumption, ...] = (
    StrictlyKept(),
    KeptSeparable(),
    Throughout(kept_leak <= Rational(1, 10)),
    Throughout(ratio_error <= Rational(1, 4)),
)
_PROOF = "docs/systems.md#generalised-svm"
_reported = Conjecture(source=f"{SVM}, as a conjecture there; reported", proof=_PROOF)

THEOREMS: tuple[Theorem, ...] = (
    Theorem(
        "generalised-svm.sparsity",
        "A small loss gap forces attention into the kept sets",
        GENERALISED_SVM,
        [StrictlyKept()],
        kept_leak <= n * loss_gap / kept_slack,
        Derived(source="docs/systems.md", proof=_PROOF),
    ),
    Theorem(
        "generalised-svm.limit.direction",
        "Once attention is on the kept sets, GD aligns with the solution that has equal logits inside them",
        GENERALISED_SVM,
        _NEAR,
        Tends(kept_gap, 0),
        _reported,
    ),
    Theorem(
        "generalised-svm.limit.ratios",
        "Once attention is on the kept sets, GD's finite part gives their tokens the right proportions",
        GENERALISED_SVM,
        _NEAR,
        Tends(ratio_error, 0),
        _reported,
    ),
    Theorem(
        "generalised-svm.limit.global",
        "GD aligns with the solution that has equal logits inside the kept sets, wherever it starts",
        GENERALISED_SVM,
        [StrictlyKept(), KeptSeparable()],
        Tends(kept_gap, 0),
        Conjecture(source="the conjecture without its neighbourhood", proof=_PROOF),
    ),
    Theorem(
        "generalised-svm.limit.single",
        "Once attention is on the kept sets, GD aligns with the solution that keeps the heaviest token alone",
        GENERALISED_SVM,
        _NEAR,
        Tends(single_gap, 0),
        Conjecture(source="the W-SVM of one token a sequence, without equal logits", proof=_PROOF),
    ),
)
