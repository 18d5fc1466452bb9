"""A real vector as an attention instance: the space that searches for hard instances move in.

The axis construction of `properties.families` with its tables replaced by real numbers: pair differences δ_t and
a query h a sequence, δ_{t,0} > 0 and h_0 > 0, so that every point is separable, and equal scores hold exactly
where they are asked for.  Numbers are rounded to a few binary digits: an instance is exact, and readable.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bounds import EqualScores, NonNegativeCorrelation, SelfAttention, Theorem, WeakNegativeCorrelation
from models.dataset import Array, InvalidDataset, TokenDataset
from models.instance import LOSSES, Instance, InvalidRun, Run
from properties.attention import Setting, largest_step, natural_step

#: Binary digits that a number of an instance keeps during a search.
DIGITS = 10
#: Powers of two that a step size may be away from its natural size, or below its limit, and sizes of other
#: numbers.  Limits are aimed at as closely as the trial does.
_LEAST_STEP, _MOST_STEP, _MOST_SPARED = -12.0, 24.0, 4.0
_MOST_ENTRY, _MOST_POWER, _MOST_REACH = 64.0, 10.0, 6.0
#: Weights of the score coordinate among the features: with the second, scores and margins are nearly independent.
_WEIGHTS = (1.0, 2.0**-7)
_SIZES = ((2, 2, 2), (3, 3, 4), (1, 3, 2), (2, 3, 3), (1, 2, 2), (3, 2, 3))


@dataclass(frozen=True)
class Shape:
    """What a search does not vary.

    Attributes
    ----------
    n, T, d : int
        Sequences, tokens, dimensions.
    rule, loss : str
    weight : float
        Size of the score coordinate, whose share of the features is its square.
    cross : bool
        Queries given apart from the tokens, which leaves the optimal scores free; else the optimal token is one.
    uneven : bool
        Whether the gaps within a sequence may differ.
    """

    n: int
    T: int
    d: int
    rule: str
    loss: str
    weight: float = 1.0
    cross: bool = True
    uneven: bool = False

    @property
    def words(self) -> str:
        """The shape in a few words."""
        kind = "cross" if self.cross else "self"
        scores = ", uneven scores" if self.uneven else ""
        return f"{self.n}×{self.T}×{self.d} {kind}-attention, {self.rule}, {self.loss}{scores}"


@dataclass(frozen=True)
class Space:
    """Instances of one shape that a theorem speaks about, as points of R^size.

    Every block of a point is of the order 1: entries themselves, and base-2 logarithms of what is positive.
    """

    theorem: Theorem
    shape: Shape
    steps: int

    @cached_property
    def setting(self) -> Setting:
        """The theorem's fixed assumptions."""
        return Setting.of(self.theorem)

    @cached_property
    def blocks(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parts of a point, in order."""
        s = self.shape
        pairs = s.T - 1
        blocks: dict[str, tuple[int, ...]] = {
            "pairs": (s.n, pairs, s.d - 1),
            "query": (s.n, s.d - 1),
            "height": (s.n,),
            "gap": (s.n,),
            "decoder": (1,),
            "step": (1,),
        }
        if s.uneven:
            blocks["spread"] = (s.n, pairs)
        if s.cross:
            blocks["score"] = (s.n,)
        if not self.setting.zero_init:
            blocks["start"] = (s.d, s.d)
            blocks["reach"] = (1,)
        return blocks

    @property
    def size(self) -> int:
        """Dimension of the space."""
        return sum(math.prod(shape) for shape in self.blocks.values())

    def split(self, x: Any) -> dict[str, Any]:
        """The parts of points x of shape (…, size), arrays or tensors."""
        parts, first = {}, 0
        for name, shape in self.blocks.items():
            count = math.prod(shape)
            parts[name] = x[..., first : first + count].reshape(*x.shape[:-1], *shape)
            first += count
        return parts

    @cached_property
    def _non_negative(self) -> bool:
        wanted = (NonNegativeCorrelation, WeakNegativeCorrelation)
        return any(isinstance(a, wanted) for a in self.theorem.assumes)

    def features(self, parts: dict[str, Any], xp: Any = np) -> tuple[Any, Any, Any, Any]:
        """Pair differences (…, n, T−1, d), queries (…, n, d), decoder and optimal scores (…, n), not rounded.

        ``xp`` is NumPy or torch: the same formulas serve searches that need derivatives.
        """
        s = self.shape
        pairs, query = parts["pairs"], parts["query"]
        if self._non_negative:
            pairs, query = abs(pairs), abs(query)
        powers = parts["gap"][..., None] + (parts["spread"] if s.uneven else xp.zeros((s.n, s.T - 1)))
        gap = s.weight * xp.exp2(_within(powers, _MOST_POWER, xp))[..., None]
        height = s.weight * xp.exp2(_within(parts["height"], _MOST_POWER, xp))[..., None]
        decoder = xp.exp2(_within(parts["decoder"], _MOST_POWER, xp)) / s.weight
        differences = xp.concatenate((gap, _within(pairs, _MOST_ENTRY, xp)), -1)
        queries = xp.concatenate((height, _within(query, _MOST_ENTRY, xp)), -1)
        score = s.weight * _within(parts["score"], _MOST_ENTRY, xp) if s.cross else height[..., 0]
        return differences, queries, decoder, score

    def decode(self, x: Array, digits: int = DIGITS) -> Instance | None:
        """The instance at a point, its numbers rounded to some binary digits; None where there is none."""
        parts = self.split(np.asarray(x, dtype=np.float64))
        differences, queries, decoder, score = self.features(parts)
        differences, queries = rounded(differences, digits), rounded(queries, digits)
        try:
            dataset = self._dataset(differences, queries, rounded(decoder, digits), rounded(score, digits))
            return Instance(dataset, self._run(dataset, parts, digits))
        except (InvalidDataset, InvalidRun, OverflowError):
            return None

    def _dataset(self, differences: Array, queries: Array, decoder: Array, score: Array) -> TokenDataset:
        s = self.shape
        u = np.zeros(s.d)
        u[0] = decoder[0]
        best = queries
        if s.cross:
            best = np.zeros((s.n, s.d))
            best[:, 0] = score
        X = np.concatenate([best[:, None], best[:, None] - differences], axis=1) + 0.0
        return TokenDataset(X, np.ones(s.n), u, queries + 0.0 if s.cross else None)

    def _run(self, dataset: TokenDataset, parts: dict[str, Array], digits: int) -> Run:
        s, power = self.shape, float(parts["step"][0])
        W_0 = None
        if "start" in parts:
            reach = 2.0 ** float(np.clip(parts["reach"][0], -_MOST_STEP, _MOST_REACH))
            W_0 = rounded(parts["start"] * reach, digits) + 0.0
        if s.rule == "polyak":
            return Run(s.rule, s.loss, self.steps, zeta=1.0 if power < 0 else 2.0, W_0=W_0)
        return Run(s.rule, s.loss, self.steps, eta=self._eta(dataset, power, digits), W_0=W_0)

    def _eta(self, dataset: TokenDataset, power: float, digits: int) -> float:
        if not self.setting.limits:
            size = 2.0 ** min(max(power, _LEAST_STEP), _MOST_STEP)
            return short(size * natural_step(self.shape.rule, dataset), digits)
        most = largest_step(self.setting.limits, dataset, self.shape.loss, self.shape.rule)
        return short(most * 2.0 ** -min(max(-power, 0.0), _MOST_SPARED), digits, down=True)

    def somewhere(self, rng: np.random.Generator) -> Array:
        """A point to start from: entries of the order 1, from a start near zero, with any step size."""
        parts = {name: rng.standard_normal(shape) for name, shape in self.blocks.items()}
        parts["step"] = rng.uniform(-2.0, 6.0, 1) if not self.setting.limits else -abs(parts["step"])
        if "reach" in parts:
            parts["reach"] = rng.uniform(-6.0, 2.0, 1)
        return np.concatenate([parts[name].ravel() for name in self.blocks])


def rounded(values: Array, digits: int) -> Array:
    """Each number to so many significant binary digits, but to no more than that many after the point."""
    unit = np.exp2(np.floor(np.log2(np.maximum(np.abs(values), 1e-300))) + 1 - digits)
    small = np.abs(values) < 1.0
    unit = np.where(small & (np.abs(values) > 0), np.maximum(unit, 2.0 ** (-2 * digits)), unit)
    result = np.where(values == 0.0, 0.0, np.round(values / unit) * unit)
    return np.asarray(result)


def short(value: float, digits: int, *, down: bool = False) -> float:
    """A positive number to so many significant binary digits, not above it if ``down``."""
    mantissa, exponent = math.frexp(value)
    scaled = mantissa * 2.0**digits
    return math.ldexp(math.floor(scaled) if down else round(scaled), exponent - digits)


def _within(values: Any, most: float, xp: Any) -> Any:
    return xp.clip(values, -most, most)


def shapes(theorem: Theorem, sizes: Sequence[tuple[int, int, int]] = _SIZES) -> list[Shape]:
    """Shapes to search, varied in every respect that the theorem leaves open, the most different ones first."""
    setting = Setting.of(theorem)
    rules, losses = setting.rules, (setting.loss,) if setting.loss else LOSSES
    own = any(isinstance(a, SelfAttention) for a in theorem.assumes)
    tied = any(isinstance(a, EqualScores | WeakNegativeCorrelation) for a in theorem.assumes)
    found: list[Shape] = []
    for k in range(2 * len(sizes)):
        n, T, d = sizes[k % len(sizes)]
        found.append(
            Shape(
                n,
                T,
                d,
                rule=rules[k % len(rules)],
                loss=losses[(k // len(sizes) + k) % len(losses)],
                weight=_WEIGHTS[(k + k // len(sizes)) % 2],
                cross=not own and k % 3 != 2,
                uneven=not tied and T > 2 and k % 2 == 1,
            )
        )
    return found
