"""What the trial needs of a system: settings, training, and the exact run.  One entry a system."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hypothesis.strategies import SearchStrategy

from bounds import ATTENTION, JOINT, System, Theorem
from models.attention import Geometry, train, weights_at
from models.instance import Instance
from models.joint import JointGeometry, JointInstance, restarted_joint
from models.replay import ExactSetting, replay
from models.trajectory import RECORD_LIMIT
from properties.attention import Setting
from properties.datasets import Family
from properties.joint import JointSetting, measure_joint
from properties.joint_exact import exact_walk
from properties.measured import BallMeasured, Measured
from properties.observables import ExactMeasurement, Measurement


class SettingLike(Hashable, Protocol):
    """What theorems that can share instances have in common."""

    def families(self) -> tuple[Family, ...]:
        """Families of datasets to draw from."""

    def instances(self, family: Family, steps: int) -> SearchStrategy[Any]:
        """Strategy for instances with datasets of one family."""


@dataclass(frozen=True)
class ExactRun:
    """A run in balls: its observables, and its states in order."""

    measurement: BallMeasured
    states: Iterator[Any]


@dataclass(frozen=True)
class Tools:
    """How instances of a system are drawn, trained and replayed.

    Attributes
    ----------
    setting : callable
        The setting of a theorem.
    geometry : callable
        What does not change during an instance's training.
    measure : callable
        Train an instance, recording every step up to a given one, and measure it.
    exact : callable
        The run in balls, given the onset and the names of the observables that will be asked for.
    restart : callable
        The instance taken up at the float run's state of a given step, which is again an exact state.
    instance : callable
        An instance from its JSON object.
    """

    setting: Callable[[Theorem], SettingLike]
    geometry: Callable[[Any], Any]
    measure: Callable[[Any, Any, int], Measured]
    exact: Callable[[Any, Any, int | None, frozenset[str]], ExactRun]
    restart: Callable[[Any, int, Any], Any]
    instance: Callable[[Mapping[str, Any]], Any]


def tools(system: System) -> Tools:
    """The entry of a system.  Raises `KeyError` for one without training, such as random data."""
    return _TOOLS[system.name]


def _measure_attention(instance: Any, geometry: Geometry, dense: int = RECORD_LIMIT) -> Measured:
    return Measurement(instance, geometry, train(instance, geometry, dense))


def _exact_attention(instance: Any, geometry: Geometry, onset: int | None, needed: frozenset[str]) -> ExactRun:
    setting = ExactSetting(instance, geometry)
    return ExactRun(ExactMeasurement(setting, onset, needed), replay(setting))


def _exact_joint(instance: Any, geometry: Any, onset: int | None, needed: frozenset[str]) -> ExactRun:
    return ExactRun(*exact_walk(instance, geometry, onset, needed))


def _restart_attention(instance: Instance, step: int, geometry: Geometry) -> Instance:
    if step == 0:
        return instance.with_run(steps=0)
    return instance.with_run(steps=0, W_0=weights_at(instance, step, geometry))


_TOOLS: dict[str, Tools] = {
    ATTENTION.name: Tools(
        Setting.of,
        lambda instance: Geometry(instance.dataset),
        _measure_attention,
        _exact_attention,
        _restart_attention,
        Instance.from_json,
    ),
    JOINT.name: Tools(
        JointSetting.of,
        lambda instance: JointGeometry(instance.dataset),
        measure_joint,
        _exact_joint,
        restarted_joint,
        JointInstance.from_json,
    ),
}
