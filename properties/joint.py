"""Drawing instances of joint training, and what its theorems assume of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from hypothesis import strategies as st

from bounds import EqualScores, Loss, NonNegativeCorrelation, Schedule, Separable, Theorem
from models.instance import LOSSES
from models.joint import JointGeometry, JointInstance, JointRun, train_joint
from models.trajectory import RECORD_LIMIT
from properties.datasets import FAMILIES, Family
from properties.joint_observables import JointMeasurement

#: Sizes of random datasets, as for the attention system.
MAX_N, MAX_T, MAX_D = 4, 4, 5
#: The family whose data the source studies; it comes first, and everything separable follows.
DATA_MODEL = "signal-plus-noise"
_DATASET_LEVEL = (Separable, EqualScores, NonNegativeCorrelation)
_POWERS = st.sampled_from((0, 1, -1, 2, -2, 3, -3, -4))
_DEFAULT = (Fraction(1), Fraction(2, 3))
#: (power_W, power_u): the default most often.
_SCHEDULES = st.sampled_from(
    (_DEFAULT, _DEFAULT, _DEFAULT, (Fraction(1, 2), Fraction(1, 2)), (Fraction(0), Fraction(0)))
)


@dataclass(frozen=True)
class JointSetting:
    """What theorems on joint training that can share instances have in common.

    Attributes
    ----------
    needs : frozenset of str
        Names of the dataset-level assumptions that families provide.  Whether a decoder separates the optimal
        tokens is decided on each member.
    loss : str or None
        Fixed loss; None when the theorems hold for both.
    schedule : pair of Fraction or None
        Fixed powers of the step lengths of W and u; None when the theorems hold for all.
    lasting : bool
        Whether they are about what happens as t grows; extreme data are of no use to them.
    """

    needs: frozenset[str]
    loss: str | None
    schedule: tuple[Fraction, Fraction] | None = None
    lasting: bool = False

    @classmethod
    def of(cls, theorem: Theorem) -> JointSetting:
        """The setting of one theorem."""
        losses = [a.loss for a in theorem.assumes if isinstance(a, Loss)]
        needs = frozenset(type(a).__name__ for a in theorem.assumes if isinstance(a, _DATASET_LEVEL))
        fixed = [a for a in theorem.assumes if isinstance(a, Schedule)]
        powers = [(Fraction(str(a.power_W)), Fraction(str(a.power_u))) for a in fixed]
        lasting = theorem.kind != "pointwise"
        return cls(needs, losses[0] if losses else None, powers[0] if powers else None, lasting)

    def families(self) -> tuple[Family, ...]:
        """Families that meet most of the assumptions by construction, the data model DM first."""
        usable = [family for family in FAMILIES if not (self.lasting and family.extreme)]
        most = max(len(self.needs & family.provides) for family in usable)
        fitting = [family for family in usable if len(self.needs & family.provides) == most]
        return tuple(sorted(fitting, key=lambda family: family.name != DATA_MODEL))

    def instances(self, family: Family, steps: int) -> st.SearchStrategy[JointInstance]:
        """Strategy for instances of this setting with datasets of one family."""
        return _instances(self, family, steps)


@st.composite
def _instances(draw: st.DrawFn, setting: JointSetting, family: Family, steps: int) -> JointInstance:
    least = family.least
    sizes = max(MAX_N, least.n), max(MAX_T, least.T), max(MAX_D, least.d)
    dataset = draw(family.datasets(*sizes))
    loss = setting.loss or draw(st.sampled_from(LOSSES))
    schedule = setting.schedule or draw(_SCHEDULES)
    eta_W, eta_u = 2.0 ** draw(_POWERS), 2.0 ** draw(_POWERS)
    if draw(st.booleans()):
        geometry = JointGeometry(dataset)
        eta_W, eta_u = eta_W * _natural(geometry.features.radius), eta_u * _natural(geometry.token_radius)
    return JointInstance(dataset, JointRun(loss, steps, eta_W, eta_u, *schedule))


def _natural(size: float) -> float:
    """The power of two nearest to 1/size: a step that moves margins or scores by about 1."""
    return 2.0 ** round(-math.log2(size)) if size > 0.0 else 1.0


def measure_joint(instance: JointInstance, geometry: JointGeometry, dense: int = RECORD_LIMIT) -> JointMeasurement:
    """Train an instance, recording every step up to ``dense``, and measure it."""
    return JointMeasurement(instance, geometry, train_joint(instance, geometry, dense))
