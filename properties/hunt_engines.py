"""Engines of a hunt: ways to propose instances, each of which learns what its proposals are worth.

An engine calls ``evaluate`` with instances until that raises `Spent`; it never judges anything itself.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from hypothesis import Phase, given, seed, target

from bounds import ATTENTION
from models.dataset import Array
from properties.hunt_objective import Target
from properties.hunt_space import Shape, Space, shapes
from properties.systems import tools
from properties.trial import quiet_settings

Evaluate = Callable[[Sequence[Any]], list[float]]

_BATCH = 20  # instances of one family at a time
_TARGETED = 120  # examples of one targeted search before the next family has its turn
#: Restarts that try each shape once, the generations that they last, and those of later, larger restarts.
_FIRST_GENERATIONS, _GENERATIONS = 10, 40
_SCREENED = 10  # random points, of which a restart takes the hardest
_SMALLEST_BUDGET = 400  # evaluations for each shape that is tried at all


class Spent(Exception):
    """The budget of an engine is used up, or a conviction has ended the hunt."""


class Engine(Protocol):
    """A way to look for hard instances."""

    def search(self, evaluate: Evaluate) -> None:
        """Propose instances until ``evaluate`` raises `Spent`.

        ``evaluate`` takes instances (None for a point that is no instance) and returns their hardness, −∞ where
        the theorem says nothing.
        """


@dataclass(frozen=True)
class RandomSampling:
    """The strategies of the trial, family by family: what every other engine is measured against."""

    target: Target
    seed: int

    def search(self, evaluate: Evaluate) -> None:
        for family, drawn in _rounds(self.target, self.seed):
            evaluate(_drawn(family, drawn))


def _drawn(family: Any, drawn: int) -> list[Any]:
    """A batch of instances of one strategy."""
    batch: list[Any] = []

    @quiet_settings(_BATCH, (Phase.generate,))
    @seed(drawn)
    @given(family)
    def collect(instance: Any) -> None:
        batch.append(instance)

    collect()
    return batch


@dataclass(frozen=True)
class TargetedSampling:
    """The same strategies under Hypothesis's `target`: hill climbing on the choices that made an instance."""

    target: Target
    seed: int

    def search(self, evaluate: Evaluate) -> None:
        for family, drawn in _rounds(self.target, self.seed):

            @quiet_settings(_TARGETED, (Phase.generate, Phase.target))
            @seed(drawn)
            @given(family)
            def climb(instance: Any) -> None:
                [value] = evaluate([instance])
                if math.isfinite(value):
                    target(value, label="hardness")

            climb()


def _rounds(target: Target, seed: int) -> Iterator[tuple[Any, int]]:
    """Strategies of one family after the other, round after round, each with a seed of its own."""
    setting = tools(target.theorem.system).setting(target.theorem)
    for round_ in itertools.count():
        for position, family in enumerate(setting.families()):
            yield setting.instances(family, target.steps), (seed * 1_000 + round_) * 1_000 + position


@dataclass
class _Arm:
    """One shape: the best point found in its space, and the size of the next population."""

    space: Space
    population: int
    best: float = -math.inf
    point: Array | None = None


@dataclass(frozen=True)
class CovarianceAdaptation:
    """CMA-ES [1]_ on the numbers of an instance, restarted with growing populations over several shapes.

    Every shape is tried once; afterwards restarts alternate between the shapes that did best, from their best
    point and from new ones, with the population doubled each time [2]_.

    References
    ----------
    .. [1] N. Hansen, A. Ostermeier, "Completely derandomized self-adaptation in evolution strategies",
       Evolutionary Computation 9 (2001).
    .. [2] A. Auger, N. Hansen, "A restart CMA evolution strategy with increasing population size", CEC 2005.
    """

    target: Target
    seed: int
    evaluations: int | None = None

    def search(self, evaluate: Evaluate) -> None:
        rng = np.random.default_rng([self.seed, 1])
        arms = [_Arm(space, 8 + int(3 * math.log(space.size))) for space in spaces(self.target, self.evaluations)]
        for arm in arms:
            self._restart(arm, rng, evaluate, _screened(arm.space, rng, evaluate), 0.5, _FIRST_GENERATIONS)
        for round_ in itertools.count():
            ranked = sorted(arms, key=lambda arm: -arm.best)[: max(1, (len(arms) + 1) // 3)]
            arm = ranked[round_ % len(ranked)]
            onward = arm.point is not None and round_ // len(ranked) % 2 == 0
            start = arm.point if onward and arm.point is not None else _screened(arm.space, rng, evaluate)
            self._restart(arm, rng, evaluate, start, 0.3 if onward else 0.5, _GENERATIONS)
            arm.population = min(2 * arm.population, 200)

    def _restart(
        self, arm: _Arm, rng: np.random.Generator, evaluate: Evaluate, start: Array, sigma: float, most: int
    ) -> None:
        cma = _cma()
        options = {
            "popsize": arm.population,
            "maxiter": most,
            "tolfun": 1e-7,
            "tolflatfitness": 8,
            "verbose": -9,
            "seed": math.nan,  # randn below is all the randomness there is
            "randn": lambda *shape: rng.standard_normal(shape),
        }
        strategy = cma.CMAEvolutionStrategy(start, sigma, options)
        while not strategy.stop():
            points = strategy.ask()
            values = evaluate([arm.space.decode(point) for point in points])
            best = int(np.argmax(values))
            if values[best] > arm.best:
                arm.best, arm.point = values[best], np.array(points[best])
            strategy.tell(points, losses(values))


def _screened(space: Space, rng: np.random.Generator, evaluate: Evaluate) -> Array:
    """The hardest of a few random points."""
    points = [space.somewhere(rng) for _ in range(_SCREENED)]
    return points[int(np.argmax(evaluate([space.decode(point) for point in points])))]


def _cma() -> Any:
    """The module, without its warning that nothing can be plotted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import cma
    return cma


def losses(values: Sequence[float]) -> list[float]:
    """What a minimiser sees: −hardness; points without any are the worst, and all alike."""
    finite = [-value for value in values if math.isfinite(value)]
    worst = max(finite, default=0.0) + 10.0
    return [-value if math.isfinite(value) else -1e6 if value > 0 else worst for value in values]


def spaces(target: Target, evaluations: int | None) -> list[Space]:
    """Spaces to search; few of them where the budget is small."""
    if target.theorem.system != ATTENTION:
        return []
    chosen: list[Shape] = shapes(target.theorem)
    if evaluations is not None:
        chosen = chosen[: max(1, evaluations // _SMALLEST_BUDGET)]
    return [Space(target.theorem, shape, target.steps) for shape in chosen]
