"""The systems that a trial knows: one entry of `properties.tools.Tools` each."""

from __future__ import annotations

from typing import Any

from bounds import (
    ATTENTION,
    COGRADIENT,
    DIAGONAL,
    FEDERATED,
    GAMES,
    GENERALISED_SVM,
    INTERPOLATION,
    JOINT,
    KEY_QUERY,
    LINEAR,
    OVERPARAMETRIZED,
    PINN,
    PROMPT,
    RELU_REGIONS,
    TWO_LAYER,
    System,
)
from models.attention import Geometry, train, weights_at
from models.instance import Instance
from models.joint import JointGeometry, JointInstance, restarted_joint
from models.prompt import PromptInstance, restarted_prompt
from models.replay import ExactSetting, replay
from models.trajectory import RECORD_LIMIT
from properties.attention import Setting
from properties.cogradient import SAMPLER as COGRADIENT_SAMPLER
from properties.cogradient import TOOLS as COGRADIENT_TOOLS
from properties.data import SAMPLER as DATA_SAMPLER
from properties.diagonal import TOOLS as DIAGONAL_TOOLS
from properties.federated import TOOLS as FEDERATED_TOOLS
from properties.games import TOOLS as GAMES_TOOLS
from properties.generalised_svm import TOOLS as GENERALISED_SVM_TOOLS
from properties.interpolation import TOOLS as INTERPOLATION_TOOLS
from properties.joint import JointSetting, measure_joint
from properties.joint_exact import exact_walk
from properties.key_query import TOOLS as KEY_QUERY_TOOLS
from properties.linear import TOOLS as LINEAR_TOOLS
from properties.measured import Measured
from properties.observables import ExactMeasurement, Measurement
from properties.overparametrized import TOOLS as OVERPARAMETRIZED_TOOLS
from properties.pinn import TOOLS as PINN_TOOLS
from properties.prompt import PromptSetting
from properties.relu_regions import TOOLS as RELU_REGIONS_TOOLS
from properties.tools import ExactRun, Sampler, SettingLike, Tools
from properties.two_layer import TOOLS as TWO_LAYER_TOOLS

__all__ = ["ExactRun", "Sampler", "SettingLike", "Tools", "sampler", "tools"]


def tools(system: System) -> Tools:
    """The entry of a system.  Raises `KeyError` for one without training, such as random data."""
    return _TOOLS[system.name]


def sampler(system: System) -> Sampler:
    """Where the draws for a system's probability claims come from; random token data if it has none of its own."""
    return _SAMPLERS.get(system.name, DATA_SAMPLER)


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
    PROMPT.name: Tools(
        PromptSetting.of,
        lambda instance: Geometry(instance.dataset),
        _measure_attention,
        _exact_attention,
        restarted_prompt,
        PromptInstance.from_json,
    ),
    LINEAR.name: LINEAR_TOOLS,
    TWO_LAYER.name: TWO_LAYER_TOOLS,
    INTERPOLATION.name: INTERPOLATION_TOOLS,
    GAMES.name: GAMES_TOOLS,
    FEDERATED.name: FEDERATED_TOOLS,
    DIAGONAL.name: DIAGONAL_TOOLS,
    OVERPARAMETRIZED.name: OVERPARAMETRIZED_TOOLS,
    PINN.name: PINN_TOOLS,
    KEY_QUERY.name: KEY_QUERY_TOOLS,
    GENERALISED_SVM.name: GENERALISED_SVM_TOOLS,
    COGRADIENT.name: COGRADIENT_TOOLS,
    RELU_REGIONS.name: RELU_REGIONS_TOOLS,
}

_SAMPLERS: dict[str, Sampler] = {COGRADIENT.name: COGRADIENT_SAMPLER}
