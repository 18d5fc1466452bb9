"""Drawing instances of the attention system that a theorem speaks about."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from flint import arb
from hypothesis import strategies as st

from bounds import (
    EqualScores,
    Loss,
    NearOrthogonal,
    NonNegativeCorrelation,
    Rule,
    Separable,
    StepAtMost,
    Theorem,
    ZeroInit,
)
from models.attention import Geometry
from models.dataset import Array, TokenDataset
from models.instance import LOSSES, RULES, Instance, Run
from models.trajectory import Trajectory
from properties.compiled import compile_expression
from properties.datasets import FAMILIES, Family
from properties.observables import Measurement, Undefined

_DATASET_LEVEL = (Separable, EqualScores, NonNegativeCorrelation, NearOrthogonal)
#: Sizes of random datasets: small enough to certify, large enough to break what holds by accident.
MAX_N, MAX_T, MAX_D = 4, 4, 5
_POWERS = (0, 1, -1, 2, -2, 3, -3, -4)


@dataclass(frozen=True)
class Setting:
    """What theorems that can share instances have in common: their fixed assumptions.

    Attributes
    ----------
    needs : frozenset of str
        Names of the dataset-level assumptions.
    rule, loss : str or None
        Fixed step rule and loss; None when the theorems hold for all.
    zero_init : bool
    limits : tuple of StepAtMost
        Bounds on η that are aimed at, so that the hypothesis is met with little to spare.
    """

    needs: frozenset[str]
    rule: str | None
    loss: str | None
    zero_init: bool
    limits: tuple[StepAtMost, ...]

    @classmethod
    def of(cls, theorem: Theorem) -> Setting:
        """The setting of one theorem."""
        assumes = theorem.assumes
        rules = [a.rule for a in assumes if isinstance(a, Rule)]
        losses = [a.loss for a in assumes if isinstance(a, Loss)]
        limits = tuple(a for a in assumes if isinstance(a, StepAtMost))
        rule = rules[0] if rules else "polyak" if "zeta" in theorem.observables else None
        return cls(
            needs=frozenset(type(a).__name__ for a in assumes if isinstance(a, _DATASET_LEVEL)),
            rule=rule,
            loss=losses[0] if losses else None,
            zero_init=any(isinstance(a, ZeroInit) for a in assumes),
            limits=limits,
        )

    def families(self) -> tuple[Family, ...]:
        """Families whose members meet the dataset-level assumptions by construction.

        If none meets them all, those that meet most: the predicates then decide on each member.
        """
        most = max(len(self.needs & family.provides) for family in FAMILIES)
        return tuple(family for family in FAMILIES if len(self.needs & family.provides) == most)

    def instances(self, family: Family, steps: int) -> st.SearchStrategy[Instance]:
        """Strategy for instances of this setting with datasets of one family."""
        return _instances(self, family, steps)


@st.composite
def _instances(draw: st.DrawFn, setting: Setting, family: Family, steps: int) -> Instance:
    max_n, max_T, max_d = (max(a, b) for a, b in zip((MAX_N, MAX_T, MAX_D), _sizes(family), strict=True))
    dataset = draw(family.datasets(max_n, max_T, max_d))
    rule = setting.rule or draw(st.sampled_from(RULES))
    loss = setting.loss or draw(st.sampled_from(LOSSES))
    W_0 = None if setting.zero_init else draw(_initial_weights(dataset.d))
    if rule == "polyak":
        return Instance(dataset, Run(rule, loss, steps, zeta=draw(st.sampled_from((1.0, 2.0))), W_0=W_0))
    power = draw(st.sampled_from(_POWERS))
    if setting.limits:
        eta = largest_step(setting.limits, dataset, loss) * 2.0 ** -max(0, -power)
    else:
        eta = 2.0**power * (natural_step(rule, dataset) if draw(st.booleans()) else 1.0)
    return Instance(dataset, Run(rule, loss, steps, eta=eta, W_0=W_0))


def _sizes(family: Family) -> tuple[int, int, int]:
    return family.least.n, family.least.T, family.least.d


@st.composite
def _initial_weights(draw: st.DrawFn, d: int) -> Array | None:
    """Zero most often; else a small or large matrix of small whole numbers."""
    scale = draw(st.sampled_from((0.0, 0.0, 0.0, 0.25, 4.0)))
    if scale == 0.0:
        return None
    entries = draw(st.lists(st.integers(-3, 3), min_size=d * d, max_size=d * d))
    return scale * np.array(entries, dtype=np.float64).reshape(d, d)


def natural_step(rule: str, dataset: TokenDataset) -> float:
    """The power of two nearest to 1/B (NGD) or 1/B² (GD): a step that moves margins by about 1."""
    B = Geometry(dataset).features.radius
    return 2.0 ** round(-math.log2(B) * (2 if rule == "gd" else 1)) if B > 0 else 1.0


def largest_step(limits: tuple[StepAtMost, ...], dataset: TokenDataset, loss: str) -> float:
    """A step size that meets the limits closely from below, with few digits.

    A limit that looks at the run (through ``s_min_run``) is taken at 1/(2T), about half the attention an optimal
    token has at W = 0; the hypothesis is checked on the run itself afterwards.
    """
    geometry = Geometry(dataset)
    run = Run("gd", loss, 0, eta=1.0)
    empty = Trajectory(np.zeros(0, dtype=np.int64), np.zeros((0, 0)), None, "")
    constants = Measurement(Instance(dataset, run), geometry, empty)

    def limit(eta: float) -> float:
        values = _Guess(constants, eta, 0.5 / dataset.T)
        return min(float(arb(compile_expression(a.limit)(values)).mid()) for a in limits)

    try:
        eta = limit(0.0)
        while eta > 0.0 and eta > limit(eta):
            eta /= 2.0
    except Undefined:
        return 1.0
    if not (math.isfinite(eta) and eta > 1e-300):
        return 1.0
    mantissa, exponent = math.frexp(eta)
    return math.ldexp(math.floor(mantissa * 256.0), exponent - 8)


class _Guess:
    """Observables before a run: constants measured, the rest guessed."""

    def __init__(self, constants: Measurement, eta: float, s_min: float) -> None:
        self._constants = constants
        self._guesses = {"eta": eta, "s_min_run": s_min, "s_min": s_min}

    def __getitem__(self, name: str) -> arb:
        if name in self._guesses:
            return arb(self._guesses[name])
        try:
            return arb(float(self._constants[name].floats()))
        except (TypeError, ValueError, IndexError):
            raise Undefined(f"{name} is not known before the run") from None
