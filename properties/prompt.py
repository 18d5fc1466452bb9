"""Attention with a trained prompt on trial: how instances are drawn; they are measured as self-attention is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from bounds import EqualScores, Loss, PositiveCoefficients, Rule, StepAtMost, Theorem, ZeroInit
from bounds.assumptions import Assumption
from bounds.prompt import OneSequence
from models.attention import Geometry
from models.dataset import Array
from models.instance import LOSSES
from models.prompt import PROMPT_RULES, PromptDataset, PromptInstance, PromptRun
from properties.attention import largest_step, natural_step
from properties.hypotheses import PREDICATES, Check
from properties.plain import PlainFamily
from properties.prompt_tokens import DECOY, FAMILIES, FEW_DIGITS, GAUSSIAN, OPPOSED, UNEVEN, prompt_tokens
from properties.starts import MARGINS

_SHORT = st.sampled_from((0, 1, 2, 3))
_ANY_STEP = st.sampled_from((0, 1, -1, 2, -2, 3, -3))
_ENTRIES = st.integers(-3, 3)
ZERO, INTEGERS, OPPOSITE = "zero", "integers", "opposite"
_STARTS = st.sampled_from((ZERO, INTEGERS, OPPOSITE))
_MOSTLY_ZERO = st.sampled_from((ZERO, ZERO, ZERO, INTEGERS, OPPOSITE))
_SIZES = st.sampled_from((0.125, *MARGINS))


@dataclass(frozen=True)
class PromptSetting:
    """What theorems on a trained prompt that can share instances have in common.

    Attributes
    ----------
    rule, loss : str or None
        Fixed by the theorems, or None where they hold for all.
    equal_scores, one_sequence, zero_init : bool
        Whether these are assumed.
    positive : bool
        Whether positive coefficients are.
    attentive : bool
        Whether they are inequalities in the run's least attention, which opposed sequences lose: a rate of 1e-18
        says nothing, and float64 cannot evaluate it.
    limits : tuple of StepAtMost
        Bounds on η, which is drawn near them.
    """

    rule: str | None
    loss: str | None
    equal_scores: bool
    one_sequence: bool
    zero_init: bool
    positive: bool
    attentive: bool
    limits: tuple[StepAtMost, ...]

    @classmethod
    def of(cls, theorem: Theorem) -> PromptSetting:
        """The setting of one theorem."""
        kinds = {type(a) for a in theorem.assumes}
        rules = [a.rule for a in theorem.assumes if isinstance(a, Rule)]
        losses = [a.loss for a in theorem.assumes if isinstance(a, Loss)]
        return cls(
            rules[0] if rules else None,
            losses[0] if losses else None,
            EqualScores in kinds,
            OneSequence in kinds,
            ZeroInit in kinds,
            PositiveCoefficients in kinds,
            theorem.kind == "pointwise" and "s_min_run" in theorem.observables,
            tuple(a for a in theorem.assumes if isinstance(a, StepAtMost)),
        )

    @property
    def rules(self) -> tuple[str, ...]:
        """Step rules to draw from."""
        return PROMPT_RULES if self.rule is None else (self.rule,)

    def families(self) -> tuple[PlainFamily, ...]:
        """Families whose members meet the assumptions on the data.

        A decoy leaves no positive coefficients; and what is claimed of one sequence with any scores is known to be
        true of equal ones.
        """
        unwanted = [OPPOSED] if self.one_sequence or self.attentive else []
        if self.equal_scores or self.positive:
            unwanted.append(DECOY)
        if self.equal_scores:
            unwanted.append(UNEVEN)
        elif self.one_sequence:
            unwanted += [FEW_DIGITS, GAUSSIAN]
        return tuple(family for family in FAMILIES if family not in unwanted)

    def instances(self, family: PlainFamily, steps: int) -> st.SearchStrategy[PromptInstance]:
        """Strategy for instances of this setting with datasets of one family."""
        return _instances(self, family, steps)


@st.composite
def _instances(draw: st.DrawFn, setting: PromptSetting, family: PlainFamily, steps: int) -> PromptInstance:
    dataset: Any = draw(prompt_tokens(family, setting.one_sequence))
    rule = setting.rule or draw(st.sampled_from(setting.rules))
    loss = setting.loss or draw(st.sampled_from(LOSSES))
    if setting.limits:
        eta = largest_step(setting.limits, dataset, loss, rule) * 2.0 ** -draw(_SHORT)
    else:
        eta = natural_step(rule, dataset) * 2.0 ** draw(_ANY_STEP)
    kinds = _MOSTLY_ZERO if setting.limits or (setting.positive and family == UNEVEN) else _STARTS
    kind = ZERO if setting.zero_init else draw(kinds)
    p_0 = None if kind == ZERO else _start(draw, kind, dataset)
    return PromptInstance(dataset, PromptRun(steps, rule, loss, eta, p_0))


def _start(draw: st.DrawFn, kind: str, dataset: Any) -> Array | None:
    """An initial prompt whose largest margin is of a drawn size, to a factor of √2; None where it would be 0."""
    features = Geometry(dataset).features
    if kind == INTEGERS:
        p = np.array(draw(st.lists(_ENTRIES, min_size=dataset.m, max_size=dataset.m)), dtype=np.float64)
    else:
        p = -features.combine(np.ones(dataset.N))[:, 0]
    largest = max(abs(float(margin)) for margin in features.exact_margins(p[:, None]))
    size = draw(_SIZES)
    return p * 2.0 ** round(np.log2(size / largest)) + 0.0 if largest > 0.0 else None


def _one_sequence(_: Assumption, instance: PromptInstance, geometry: Geometry) -> Check:
    dataset: PromptDataset = instance.dataset
    return Check(dataset.n == 1, 0.0, f"there are {dataset.n} sequences")


PREDICATES[OneSequence] = _one_sequence
