"""Theorems about joint training of attention and decoder (docs/theory.md, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from sympy import exp

from bounds.assumptions import Assumption, PositiveCoefficients, Separable
from bounds.attention import PAPER, derived, master_bound
from bounds.notation import (
    Lambda,
    Lambda_max,
    alignment,
    alignment_1,
    attended_margin,
    direction_gap,
    loss,
    margin_mean,
    margin_min,
    master_sum,
    mu,
    norm,
    norm_1,
    step_length_max,
    t,
    token_radius,
    u_alignment,
    u_alignment_1,
    u_deviation,
    u_growth_sum,
    u_margin,
    u_master_sum,
    u_norm,
    u_norm_1,
    u_step_sum,
)
from bounds.theorem import JOINT, Theorem


@dataclass(frozen=True)
class DecoderSeparable(Assumption):
    """There is a u with y_i uᵀx_{i,o_i} ≥ 1 for every sequence, so u_mm exists and μ > 0."""

    statement = "some decoder gives every optimal token a positive margin, so the max-margin decoder u_mm exists"
    level = "dataset"


PC: tuple[Assumption, ...] = (Separable(), PositiveCoefficients())

ATTENTION_BLOCK = [
    Theorem(
        id="joint.entropy",
        title="With the current decoder's scores, the mean margin exceeds the smallest margin by at most Λ",
        system=JOINT,
        assumes=PC,
        claim=margin_mean <= margin_min + Lambda,
        status=derived("F4"),
    ),
    Theorem(
        id="joint.master-sum",
        title="Master theorem for W while the decoder moves: ‖W‖ − ⟨W, Ŵ⟩ grows at most by M1's sum",
        system=JOINT,
        assumes=PC,
        claim=norm - alignment <= norm_1 - alignment_1 + master_sum,
        status=derived("J1", refines=PAPER),
        trivial=norm,
    ),
    Theorem(
        id="joint.master-closed",
        title="Master theorem for W while the decoder moves, closed form",
        system=JOINT,
        assumes=PC,
        claim=direction_gap <= master_bound(Lambda_max, step_length_max),
        domain=alignment_1 > 0,
        status=derived("J1", refines=PAPER),
    ),
]

#: A lower bound on every output f_i: the decoder's direction against the attended features.
_least_output = u_norm * (attended_margin - token_radius * u_deviation)

DECODER_BLOCK = [
    Theorem(
        id="joint.decoder.master-sum",
        title="Master theorem for u: ‖u‖ − ⟨u, û⟩ grows at most by attention errors, Λ and squared steps",
        system=JOINT,
        assumes=[DecoderSeparable()],
        claim=u_norm - u_alignment <= u_norm_1 - u_alignment_1 + u_master_sum,
        domain=attended_margin > 0,
        status=derived("J2", refines=PAPER),
        trivial=u_norm,
    ),
    Theorem(
        id="joint.decoder.growth.lower",
        title="Once attention is on the optimal tokens, the decoder gains along u_mm at every step",
        system=JOINT,
        assumes=[DecoderSeparable()],
        claim=u_alignment >= u_alignment_1 + u_growth_sum,
        domain=attended_margin > 0,
        status=derived("J3", refines=PAPER),
    ),
    Theorem(
        id="joint.decoder.growth.upper",
        title="The decoder is no longer than its path",
        system=JOINT,
        assumes=[],
        claim=u_norm <= u_step_sum,
        status=derived("J3"),
        domain=t >= 2,  # at first the path is straight
    ),
    Theorem(
        id="joint.decoder.margin.upper",
        title="No decoder has a larger margin on the optimal tokens than u_mm",
        system=JOINT,
        assumes=[DecoderSeparable()],
        claim=u_margin <= mu * u_norm,
        status=derived("J4"),
    ),
    Theorem(
        id="joint.decoder.margin.lower",
        title="A decoder near u_mm's direction has nearly its margin",
        system=JOINT,
        assumes=[DecoderSeparable()],
        claim=u_margin >= u_norm * (mu - token_radius * u_deviation),
        status=derived("J4"),
    ),
    Theorem(
        id="joint.loss",
        title="The training loss falls exponentially in the decoder's norm, once both blocks are aligned",
        system=JOINT,
        assumes=[DecoderSeparable()],
        claim=loss <= exp(-_least_output),
        domain=attended_margin > token_radius * u_deviation,
        status=derived("J5", refines=PAPER),
    ),
]

THEOREMS: tuple[Theorem, ...] = (*ATTENTION_BLOCK, *DECODER_BLOCK)
