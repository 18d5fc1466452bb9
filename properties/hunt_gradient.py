"""Gradient ascent through unrolled training: the engine that knows in which direction an instance gets harder."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.attention import Geometry
from models.batched import Batch, supports, train_batch
from models.dataset import Array
from models.instance import Instance
from properties.hunt_claims import BatchMeasured, room
from properties.hunt_engines import Evaluate, spaces
from properties.hunt_objective import DEMANDING, EQUALITY, Target
from properties.hunt_space import Space

if TYPE_CHECKING:
    from torch import Tensor

_RUNS = 32  # instances that ascend side by side
_SCREENED = 2  # random points looked at for each of them
_ASCENT, _EVERY = 40, 8  # gradient steps, and how many of them between two judgements by the exact pipeline
#: Training steps that are differentiated through, and where a claim's domain begins later in a run.
_UNROLLED, _UNROLLED_FAR = 48, 144
_RATE, _SOFTNESS = 0.06, 0.05
_JITTER = 0.1  # distance of a new start from the best point known


@dataclass(frozen=True)
class GradientAscent:
    """Adam on a soft maximum over steps of log(smaller side) − log(larger side), for a batch of runs at once.

    What is climbed is a smooth model of the first steps of a run in float64 with numbers that are not rounded;
    what counts is the hardness of the rounded instances, which the exact pipeline measures on the way.
    """

    target: Target
    seed: int
    evaluations: int | None = None

    def search(self, evaluate: Evaluate) -> None:
        rng = np.random.default_rng([self.seed, 2])
        places = spaces(self.target, self.evaluations)
        best = [(-math.inf, place.somewhere(rng)) for place in places]
        with _one_thread():
            for round_ in itertools.count():
                k = round_ if round_ < len(places) else self._again(best, round_)
                near = best[k][1] if round_ >= len(places) and round_ % 2 == 0 else None
                value, point = self._ascend(places[k], rng, evaluate, near)
                if value > best[k][0]:
                    best[k] = value, point

    @staticmethod
    def _again(best: list[tuple[float, Array]], round_: int) -> int:
        """One of the better third of the shapes."""
        ranked = sorted(range(len(best)), key=lambda k: -best[k][0])
        return ranked[round_ // 2 % max(1, len(best) // 3)]

    def _ascend(
        self, space: Space, rng: np.random.Generator, evaluate: Evaluate, near: Array | None
    ) -> tuple[float, Array]:
        """One batch of ascents; returns the hardest point and its hardness."""
        import torch

        if near is None:
            start = np.array([space.somewhere(rng) for _ in range(_SCREENED * _RUNS)])
            values = evaluate([space.decode(x) for x in start])
            start = start[np.argsort(-np.array(values), kind="stable")[:_RUNS]]
        else:
            start = near + _JITTER * rng.standard_normal((_RUNS, space.size))
        x = torch.tensor(start, dtype=torch.float64, requires_grad=True)
        climber = torch.optim.Adam([x], lr=_RATE)
        found = -math.inf, start[0]
        for k in range(_ASCENT + 1):
            points = x.detach().numpy().copy()
            instances = [space.decode(point) for point in points]
            if k % _EVERY == 0:
                values = evaluate(instances)
                top = int(np.argmax(values))
                found = max(found, (values[top], points[top]), key=lambda pair: pair[0])
            slope = self._slope(space, x, instances)
            if slope is None:
                break
            x.grad = -slope
            climber.step()
        return found

    def _slope(self, space: Space, x: Tensor, instances: list[Instance | None]) -> Tensor | None:
        """Gradient of every run's own objective at its point; 0 for points that are no instance."""
        import torch

        rows = [k for k, instance in enumerate(instances) if _separable(instance)]
        if not rows:
            return None
        batch = assemble(space, x[rows], [i for k in rows if (i := instances[k]) is not None])
        total = self.objective(batch).sum()
        if not total.requires_grad:
            return None
        (slope,) = torch.autograd.grad(total, x)
        return torch.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0)

    def objective(self, batch: Batch) -> Tensor:
        """The soft maximum of the log ratio over the steps that count, shape (B,).

        Where none does, how near the run comes to the claim's domain instead.
        """
        import torch

        domain = self.target.theorem.domain
        far = domain is not None and len(domain.free_symbols) > 2
        steps = min(self.target.steps, self.target.after + (_UNROLLED_FAR if far else _UNROLLED))
        values = BatchMeasured(batch, train_batch(batch, steps))
        share = DEMANDING if self.target.demanding else None
        found = room(self.target.theorem, values, max(1, self.target.after), math.log1p(-EQUALITY), share)
        lowest = torch.full_like(found.ratio, -1e3)
        ratio = torch.where(found.counts, found.ratio, lowest)
        soft = _SOFTNESS * torch.logsumexp(ratio / _SOFTNESS, 0)
        nearest = torch.nan_to_num(found.approach, nan=-1e3, posinf=0.0, neginf=-1e3).amax(0)
        return torch.where(found.counts.any(0), soft, nearest)


def assemble(space: Space, x: Tensor, instances: list[Instance]) -> Batch:
    """The batch at points x (B, size), differentiable; ``instances`` are the points' rounded instances.

    They give what is piecewise constant: the support of W_mm, and the natural size of a step.
    """
    import torch

    parts = space.split(x)
    differences, queries, decoder, score = space.features(parts, torch)
    sizes = torch.tensor([instance.run.step_size for instance in instances], dtype=torch.float64)
    power = parts["step"][:, 0]
    if space.shape.rule != "polyak":
        sizes = sizes * torch.exp2(power - power.detach())
    d = space.shape.d
    W_0 = torch.zeros((len(instances), d, d), dtype=torch.float64)
    if "start" in parts:
        W_0 = parts["start"] * torch.exp2(parts["reach"])[:, :, None]
    support = torch.tensor(np.array([supports(Geometry(instance.dataset)) for instance in instances]))
    return Batch(
        differences,
        queries,
        decoder[:, :, None] * differences[..., 0],
        decoder * score,
        sizes,
        W_0,
        support,
        space.shape.rule,
        space.shape.loss,
    )


def _separable(instance: Instance | None) -> bool:
    return instance is not None and Geometry(instance.dataset).max_margin is not None


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small tensors are fastest on one thread, and workers have no more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
