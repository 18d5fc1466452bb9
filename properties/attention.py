"""Drawing instances of the attention system that a theorem speaks about."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from flint import arb
from hypothesis import strategies as st

from bounds import (
    BelowPath,
    EqualScores,
    Loss,
    NearOrthogonal,
    NondegenerateSupport,
    NonNegativeCorrelation,
    PositiveCoefficients,
    Rule,
    Separable,
    StepAtMost,
    Theorem,
    WeakNegativeCorrelation,
    ZeroInit,
)
from bounds.attention_path import crowding
from models.attention import Geometry
from models.dataset import Array, TokenDataset
from models.instance import LOSSES, RULES, Instance, Run
from models.path import below_path
from models.trajectory import Trajectory
from properties import starts
from properties.apriori import largest_length, longest_step
from properties.compiled import compile_expression
from properties.datasets import FAMILIES, Family
from properties.families_corners import EXTREME_MARGINS
from properties.hypotheses import negative_correlation
from properties.observables import Measurement, Undefined

_OF_DATA = (
    Separable,
    EqualScores,
    NonNegativeCorrelation,
    NearOrthogonal,
    NondegenerateSupport,
    WeakNegativeCorrelation,
)
#: Sizes of random datasets: small enough to certify, large enough to break what holds by accident.
MAX_N, MAX_T, MAX_D = 4, 4, 5
_POWERS = (0, 1, -1, 2, -2, 3, -3, -4)
_LEAST_ETA, _MOST_ETA = 1e-300, 1e300
#: Polyak's step away from a start with margins −m is of the order e^m: balls need exponents below 2^63.
_POLYAK_MARGINS = (5.0,)
_MOSTLY_ZERO = (starts.ZERO, starts.ZERO, starts.ZERO, *starts.STARTS)


@dataclass(frozen=True)
class Setting:
    """What theorems that can share instances have in common: their fixed assumptions.

    Attributes
    ----------
    needs : frozenset of str
        Names of the assumptions that a family may provide: those on the data, and weak negative correlation.
    rule, loss : str or None
        Fixed step rule and loss; None when the theorems hold for all.
    zero_init : bool
    limits : tuple of StepAtMost
        Bounds on η that are aimed at, so that the hypothesis is met with little to spare.
    below_path : bool
        Whether W_0 is to be below the regularisation path.
    far : bool
        Whether all kinds of starts are equally welcome.  Positive coefficients and step sizes that depend on the
        attention are seldom met far from zero.
    lasting : bool
        Whether they are about what happens as t grows; extreme data are of no use to them.
    """

    needs: frozenset[str]
    rule: str | None
    loss: str | None
    zero_init: bool
    limits: tuple[StepAtMost, ...]
    below_path: bool = False
    far: bool = False
    lasting: bool = False

    @classmethod
    def of(cls, theorem: Theorem) -> Setting:
        """The setting of one theorem."""
        assumes = theorem.assumes
        rules = [a.rule for a in assumes if isinstance(a, Rule)]
        losses = [a.loss for a in assumes if isinstance(a, Loss)]
        limits = tuple(a for a in assumes if isinstance(a, StepAtMost))
        rule = rules[0] if rules else "polyak" if "zeta" in theorem.observables else None
        return cls(
            needs=frozenset(type(a).__name__ for a in assumes if isinstance(a, _OF_DATA)),
            rule=rule,
            loss=losses[0] if losses else None,
            zero_init=any(isinstance(a, ZeroInit) for a in assumes),
            limits=limits,
            below_path=any(isinstance(a, BelowPath) for a in assumes),
            far=not limits and not any(isinstance(a, PositiveCoefficients) for a in assumes),
            lasting=theorem.kind != "pointwise",
        )

    def families(self) -> tuple[Family, ...]:
        """Families whose members meet the dataset-level assumptions by construction.

        If none meets them all, those that meet most: the predicates then decide on each member.
        """
        usable = [
            family
            for family in FAMILIES
            if set(self.rules) & set(family.rules) and not (self.lasting and family.extreme)
        ]
        most = max(len(self.needs & family.provides) for family in usable)
        return tuple(family for family in usable if len(self.needs & family.provides) == most)

    @property
    def rules(self) -> tuple[str, ...]:
        """Step rules to draw from: the fixed one, or all for which the assumptions are defined."""
        if self.rule is not None:
            return (self.rule,)
        return tuple(rule for rule in RULES if rule != "polyak" or not self.weakly_correlated)

    @property
    def losses(self) -> tuple[str, ...]:
        """Losses to draw from."""
        return LOSSES if self.loss is None else (self.loss,)

    @property
    def weakly_correlated(self) -> bool:
        """Whether η has to meet M4's size condition."""
        return WeakNegativeCorrelation.__name__ in self.needs

    def instances(self, family: Family, steps: int) -> st.SearchStrategy[Instance]:
        """Strategy for instances of this setting with datasets of one family."""
        return _instances(self, family, steps)


@st.composite
def _instances(draw: st.DrawFn, setting: Setting, family: Family, steps: int) -> Instance:
    max_n, max_T, max_d = (max(a, b) for a, b in zip((MAX_N, MAX_T, MAX_D), _sizes(family), strict=True))
    dataset = draw(family.datasets(max_n, max_T, max_d))
    rules = tuple(rule for rule in setting.rules if rule in family.rules)
    rule = draw(st.sampled_from(rules)) if len(rules) > 1 else rules[0]
    loss = setting.loss or draw(st.sampled_from(LOSSES))
    geometry = Geometry(dataset)
    usual = _POLYAK_MARGINS if rule == "polyak" else starts.MARGINS
    sizes = (*usual, *EXTREME_MARGINS) if family.extreme else usual
    W_0 = None if setting.zero_init else draw(_initial_weights(setting, geometry, sizes, loss))
    if rule == "polyak":
        return Instance(dataset, Run(rule, loss, steps, zeta=draw(st.sampled_from((1.0, 2.0))), W_0=W_0))
    power = draw(st.sampled_from(_POWERS))
    most = largest_step(setting.limits, dataset, loss, rule) if setting.limits else math.inf
    if setting.weakly_correlated:
        most = min(most, _weak_step(geometry, loss, rule))
    if math.isfinite(most):
        eta = most * 2.0 ** -max(0, -power)
    else:
        eta = 2.0**power * (natural_step(rule, dataset) if draw(st.booleans()) else 1.0)
    return Instance(dataset, Run(rule, loss, steps, eta=eta, W_0=W_0))


def _sizes(family: Family) -> tuple[int, int, int]:
    return family.least.n, family.least.T, family.least.d


@st.composite
def _initial_weights(
    draw: st.DrawFn, setting: Setting, geometry: Geometry, sizes: tuple[float, ...], loss: str
) -> Array | None:
    """Any start; where the setting asks for it, mostly weights below the path."""
    solution = geometry.max_margin
    if not setting.below_path or solution is None or draw(st.sampled_from((False, False, True))):
        kinds = starts.STARTS if setting.far else _MOSTLY_ZERO
        return draw(starts.weights(geometry, kinds, sizes))
    constants = _constants(geometry, Run("gd", loss, 0, eta=1.0))
    logarithm = float((2 * arb(compile_expression(crowding)(_Guess(constants, {})))).log().mid())
    reach = logarithm + draw(st.sampled_from((1.0, 0.25, 4.0, 16.0)))
    return below_path(geometry, loss, max(reach, 1.0) / solution.gamma, draw(st.sampled_from((200, 1, 5))))


def natural_step(rule: str, dataset: TokenDataset) -> float:
    """The power of two nearest to 1/B (NGD) or 1/B² (GD): a step that moves margins by about 1."""
    B = Geometry(dataset).features.radius
    return 2.0 ** round(-math.log2(B) * (2 if rule == "gd" else 1)) if B > 0 else 1.0


def _weak_step(geometry: Geometry, loss: str, rule: str) -> float:
    """The largest η, rounded down, with which weak negative correlation holds; infinite if every η will do."""
    if not geometry.dataset.equal_scores:
        return math.inf  # nor will any help
    _, epsilon = negative_correlation(geometry)
    if epsilon <= 0:
        return math.inf
    length = largest_length(geometry, loss, epsilon)
    eta = float((length if rule == "ngd" else length / longest_step(geometry, loss)).mid())
    return _rounded_down(eta) if eta > 0.0 else math.inf


def largest_step(limits: tuple[StepAtMost, ...], dataset: TokenDataset, loss: str, rule: str = "gd") -> float:
    """A step size that meets the limits closely from below, with few digits.

    A limit that looks at the run (through ``s_min_run``) is taken at 1/(2T), about half the attention an optimal
    token has at W = 0; the hypothesis is checked on the run itself afterwards.
    """
    geometry = Geometry(dataset)
    guesses = {"s_min_run": 0.5 / dataset.T, "s_min": 0.5 / dataset.T}

    def limit(eta: float) -> float:
        constants = _constants(geometry, Run("gd" if rule == "polyak" else rule, loss, 0, eta=eta))
        values = _Guess(constants, guesses)
        return min(float(arb(compile_expression(a.limit)(values)).mid()) for a in limits)

    try:
        eta = min(limit(_LEAST_ETA), _MOST_ETA)
        while eta > _LEAST_ETA and eta > limit(eta):
            eta /= 2.0
    except Undefined:
        return 1.0
    return _rounded_down(eta) if _LEAST_ETA < eta < _MOST_ETA else 1.0


def _rounded_down(value: float) -> float:
    mantissa, exponent = math.frexp(value)
    return math.ldexp(math.floor(mantissa * 256.0), exponent - 8)


def _constants(geometry: Geometry, run: Run) -> Measurement:
    """A measurement of a run that has not been made: its constants."""
    empty = Trajectory(np.zeros(0, dtype=np.int64), np.zeros((0, 0)), None, "")
    return Measurement(Instance(geometry.dataset, run), geometry, empty)


class _Guess:
    """Observables before a run: constants measured, the rest guessed."""

    def __init__(self, constants: Measurement, guesses: dict[str, float]) -> None:
        self._constants = constants
        self._guesses = guesses

    def __getitem__(self, name: str) -> arb:
        if name in self._guesses:
            return arb(self._guesses[name])
        try:
            ball = self._constants[name]
            return arb(float(ball.mid)) * arb(2) ** int(ball.exp2)
        except (TypeError, ValueError, IndexError):
            raise Undefined(f"{name} is not known before the run") from None
