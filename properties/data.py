"""Draws for claims about random data: what is drawn, and the observables of each draw in balls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from flint import arb

from bounds import Theorem
from models.attention import Geometry
from models.random_data import extremes, gaussian_dataset, gaussian_vectors
from properties.compiled import Values
from properties.tools import Sampler

#: Failure probabilities at which near-orthogonality is tried, and sizes (vectors, dimension).
FAILURES = (0.5, 0.1, 0.01)
_SIZES = ((2, 1), (3, 10), (8, 40), (20, 200), (40, 1000))
#: Shapes of random datasets: d goes from well below max(T − 1, n) to above it.
MAX_N, MAX_T, BELOW, ABOVE = 5, 5, 3, 2


def parts(theorem: Theorem) -> int:
    """Into how many claimed probabilities the draws of a theorem are split."""
    return len(FAILURES) if "failure" in theorem.observables else 1


def draws(theorem: Theorem, count: int, seed: int) -> Iterator[tuple[Values, str, int | None]]:
    """Observables of independent draws, each with its source and, for feasibility, d − max(T − 1, n).

    ``count`` draws lie in the claim's domain; half as many again are drawn below it, to show what happens there.
    """
    rng = np.random.default_rng([seed, 7])
    if "feasible" in theorem.observables:
        for k in range(count + count // 2):
            yield _token_draw(rng, below=k >= count)
    else:
        for k in range(count):
            yield _vector_draw(rng, FAILURES[k % len(FAILURES)])


def _token_draw(rng: np.random.Generator, below: bool) -> tuple[Mapping[str, arb], str, int]:
    n, T = int(rng.integers(1, MAX_N + 1)), int(rng.integers(2, MAX_T + 1))
    least = max(T - 1, n)
    d = max(1, least - int(rng.integers(1, BELOW + 1))) if below else least + int(rng.integers(0, ABOVE + 1))
    feasible = Geometry(gaussian_dataset(rng, n, T, d)).max_margin is not None
    return {"n": arb(n), "T": arb(T), "d": arb(d), "feasible": arb(int(feasible))}, "Gaussian tokens", d - least


def _vector_draw(rng: np.random.Generator, failure: float) -> tuple[Mapping[str, arb], str, None]:
    count, d = _SIZES[int(rng.integers(len(_SIZES)))]
    largest, smallest, error = extremes(gaussian_vectors(rng, count, d))
    values = {
        "vectors": arb(count),
        "d": arb(d),
        "failure": arb(str(failure)),
        "inner_max": arb(largest, error),
        "norm_sq_min": arb(smallest, error),
    }
    return values, "Gaussian vectors", None


SAMPLER = Sampler(draws, parts)
