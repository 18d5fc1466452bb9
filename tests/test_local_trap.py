"""The local trap: certified where a wrong token wins for good, nowhere else, and what it says is what happens."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb
from hypothesis import HealthCheck, Phase, given, seed, settings

from bounds import (
    PROMPT,
    Conjecture,
    OneSequence,
    PositiveCoefficients,
    Rule,
    Separable,
    Tends,
    Theorem,
    direction_gap,
)
from bounds.prompt import THEOREMS
from models.prompt import PromptDataset, PromptInstance, PromptRun
from properties.certify import Finding, refute_limit
from properties.judge import UNDECIDED, VIOLATED
from properties.local_trap import find_local_trap
from properties.prompt import PromptSetting
from properties.prompt_tokens import DECOY
from properties.systems import tools

ANY_SCORES = next(theorem for theorem in THEOREMS if theorem.id == "prompt.limit.any-scores")
TOOLS = tools(PROMPT)


def refuted(theorem: Theorem, given_: Any) -> Finding:
    """The trap lemmas on an instance."""
    return refute_limit(theorem, given_, TOOLS.geometry(given_))


def one_sequence(scores: list[float], keys: list[float], p_0: float | None) -> PromptInstance:
    """One sequence of tokens (score, key), and normalised GD in R¹."""
    data = PromptDataset(
        np.array([[*zip(scores, keys, strict=True)]]), np.ones(1), np.eye(2)[0], np.array([[0.0], [1.0]])
    )
    return PromptInstance(data, PromptRun(0, "ngd", "logistic", 1.0, None if p_0 is None else np.array([p_0])))


LOCAL: Any = one_sequence([0, -1, -2], [0, 5, 1], 1.0)


def test_it_is_certified_where_the_wrong_token_wins() -> None:
    finding = refuted(ANY_SCORES, LOCAL)
    assert finding.outcome == VIOLATED
    assert finding.small.startswith("[0.02")  # γ²/(2‖φ_a‖²) = 1/50
    for p_0 in (None, -1.0):  # from here p goes the right way
        elsewhere = one_sequence([0, -1, -2], [0, 5, 1], p_0)
        assert refuted(ANY_SCORES, elsewhere).outcome == UNDECIDED
        long = elsewhere.with_run(steps=200)
        assert TOOLS.measure(long, TOOLS.geometry(long), 500)["direction_gap"].floats()[-1] < 1e-6


@pytest.mark.parametrize(
    ("scores", "keys"),
    [
        ([0, -1, -1], [0, 5, 1]),  # equal scores
        ([0, -2, -1], [0, 5, 1]),  # the far token has the lowest score
        ([0, -1, -2], [0, 5, -1]),  # the optimal token is the nearest rival
        ([0, -1, -2, -3], [0, 5, 1, 1]),  # rivals of unequal scores: the lemma does not speak of them
        ([0, -1], [0, 5]),
    ],
)
def test_no_local_trap_without_its_conditions(scores: list[float], keys: list[float]) -> None:
    given_: Any = one_sequence(scores, keys, 16.0)
    assert find_local_trap(given_, TOOLS.geometry(given_)) is None


def test_a_local_trap_does_not_meet_positive_coefficients() -> None:
    """They follow from equal scores, which a local trap does not have."""
    assumes = [Separable(), OneSequence(), PositiveCoefficients(), Rule("ngd")]
    claim = Theorem("p.pc", "PC", PROMPT, assumes, Tends(direction_gap, 0), Conjecture(source="planted"))
    assert refuted(claim, LOCAL).outcome == UNDECIDED


def test_what_the_local_trap_says_is_what_happens() -> None:
    """In balls: from the certified step on the margin falls, and the gap stays above the floor."""
    setting = PromptSetting.of(ANY_SCORES)
    trapped = 0

    @settings(
        max_examples=150,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @seed(1)
    @given(setting.instances(DECOY, 0))
    def look(given_: Any) -> None:
        nonlocal trapped
        geometry = TOOLS.geometry(given_)
        trap = find_local_trap(given_, geometry)
        if trap is None or trapped >= 25:
            return
        trapped += 1
        with flint.ctx.workprec(512):
            states = list(islice(TOOLS.exact(given_, geometry, None, frozenset()).states, trap.step + 25))
            assert geometry.max_margin is not None
            lost = [state.m[trap.pair] for state in states[trap.step :]]
            assert all(later < before for before, later in pairwise(lost))
            for state in states[trap.step + 1 :]:
                gap = 1 - state.alignment / state.norm
                assert gap > arb(trap.gap_floor)

    look()
    assert trapped >= 10
