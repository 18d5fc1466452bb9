"""What a training step and a max-margin solution cost: ``python -m benchmarks.cost``.

Times are of the processor, not of the clock.  Those of training and of its set-up are the best of several rounds,
each of which visits all cases, so that a busy spell of the machine spoils no case in every round.  The exit code
is 1 when the model misses a training time by more than a factor of 1.5.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from rich.console import Console
from rich.table import Table
from scipy.optimize import nnls

from models.attention import Geometry, train
from models.dataset import Array, TokenDataset
from models.instance import Instance, Run
from properties.datasets import FAMILIES, Family

Shape = tuple[int, int, int]

ROUNDS, A_VISIT = 7, 0.005  # seconds
WITHIN = 1.5  # largest factor between model and measurement
MEMBERS = 40  # datasets of each family

BALANCED: tuple[Shape, ...] = ((2, 3, 4), (5, 5, 10), (10, 10, 50), (15, 14, 50), (20, 21, 50), (30, 31, 50))
LONG: tuple[Shape, ...] = ((1, 3, 20), (1, 50, 20), (1, 150, 20), (1, 401, 20), (2, 201, 20))
MANY: tuple[Shape, ...] = ((2, 2, 20), (20, 2, 20), (100, 2, 20), (400, 2, 20), (200, 3, 20))
WIDE: tuple[Shape, ...] = ((10, 10, 2), (10, 10, 20), (10, 10, 200))
UNSEEN: tuple[Shape, ...] = ((3, 3, 4), (4, 8, 30), (3, 60, 10), (60, 4, 100), (12, 30, 40))
LENGTHS = (100, 1_000, 10_000)
TERMS = ("a call", "a step", "n", "N = n(T − 1)", "n(T − 1)²", "N²")


@dataclass
class Case:
    """One training run: its data's shape, its length, and the least time it took."""

    shape: Shape
    steps: int
    unseen: bool = False
    seconds: float = np.inf

    def terms(self) -> list[float]:
        """What the cost is a combination of: one call, and for each step 1, n, N, n(T − 1)², N²."""
        n, P = self.shape[0], self.shape[1] - 1
        return [1.0, *(float(self.steps * size) for size in (1, n, n * P, n * P * P, (n * P) ** 2))]


def gaussian(shape: Shape, draw: int = 0) -> TokenDataset:
    """Gaussian tokens, labels and decoder."""
    n, T, d = shape
    rng = np.random.default_rng([n, T, d, draw])
    return TokenDataset(rng.normal(size=(n, T, d)), rng.choice([-1.0, 1.0], n), rng.normal(size=d))


def spent(action: Callable[[], object], at_least: float = 0.0) -> float:
    """Processor time of an action in seconds, the least of as many runs as fit into ``at_least``."""
    total, least = 0.0, np.inf
    while total <= at_least:
        started = time.process_time()
        action()
        taken = time.process_time() - started
        total, least = total + taken, min(least, taken)
    return least


def cases() -> list[Case]:
    """All runs to be timed: every shape for 1000 steps, some for other lengths, some kept out of the fit."""
    fitted = [Case(shape, 1_000) for shape in (*BALANCED, *LONG, *MANY, *WIDE)]
    lengths = [Case(shape, steps) for shape in (BALANCED[1], BALANCED[3], LONG[1]) for steps in (100, 10_000)]
    return fitted + lengths + [Case(s, steps, unseen=True) for s in UNSEEN for steps in LENGTHS[:2]]


def measure_training(everything: Sequence[Case]) -> dict[Shape, float]:
    """Fill in the cases' seconds.  Returns the time of the set-up of each shape: exact geometry and W_mm."""
    runs, setups = [], dict[Shape, float]()
    for case in everything:
        data = gaussian(case.shape)
        if case.shape not in setups:
            setups[case.shape] = spent(partial(prepare, data), 10 * A_VISIT)
        geometry = prepare(data)
        instance = Instance(data, Run("ngd", "logistic", case.steps, eta=0.01))
        finished = train(instance, geometry)
        if finished.t[-1] != case.steps:
            raise ArithmeticError(f"the run on {case.shape} ends early: {finished.status}")
        runs.append(partial(train, instance, geometry))
    for _ in range(ROUNDS):
        for case, run in zip(everything, runs, strict=True):
            case.seconds = min(case.seconds, spent(run, A_VISIT))
    return setups


def prepare(data: TokenDataset) -> Geometry:
    """Everything that is done once a dataset, on fresh data."""
    geometry = solved(data)
    _ = geometry.features.gram, geometry.gaps, geometry.best_scores
    return geometry


def fit(everything: Sequence[Case]) -> Array:
    """Non-negative coefficients of the terms with the least relative error on the cases that are not held out."""
    known = [case for case in everything if not case.unseen]
    relative = np.array([[term / case.seconds for term in case.terms()] for case in known])
    coefficients, _ = nnls(relative, np.ones(len(known)))
    return np.asarray(coefficients)


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of log y against log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def exponents(everything: Sequence[Case], setups: dict[Shape, float]) -> Iterator[tuple[str, float, str]]:
    """What the cost was varied in, the slope that was found, and what the formulas lead to."""
    a_step = {(case.shape, case.steps): case.seconds / case.steps for case in everything}

    def slope(shapes: Sequence[Shape], axis: Callable[[Shape], float]) -> float:
        return exponent([axis(s) for s in shapes], [a_step[s, 1_000] for s in shapes])

    def pairs(shape: Shape) -> float:
        return shape[0] * (shape[1] - 1)

    lengths = [a_step[BALANCED[3], steps] * steps for steps in LENGTHS]
    yield "steps, a run", exponent(LENGTHS, lengths), "1"
    yield "d from 2 to 200, a step", slope(WIDE, lambda s: s[2]), "0"
    yield (
        f"N from {pairs(BALANCED[1]):.0f} to {pairs(BALANCED[2]):.0f}, a step",
        slope(BALANCED[1:3], pairs),
        "< 1",
    )
    yield f"N from {pairs(BALANCED[4]):.0f} to {pairs(BALANCED[5]):.0f}, a step", slope(BALANCED[4:], pairs), "→ 2"
    yield f"T from {LONG[2][1]} to {LONG[3][1]}, n = 1, a step", slope(LONG[2:4], lambda s: s[1]), "→ 2"
    yield f"n from {MANY[1][0]} to {MANY[2][0]}, T = 2, a step", slope(MANY[1:3], lambda s: s[0]), "1 → 2"
    for shapes, varied, expected in (
        (BALANCED[2:5], "N from 90 to 400", "1 → 2"),
        (BALANCED[4:], "N from 400 to 900", "2 → 3"),
    ):
        yield f"{varied}, set-up", exponent([*map(pairs, shapes)], [setups[s] for s in shapes]), expected
    yield "d from 20 to 200, set-up", exponent([20, 200], [setups[s] for s in WIDE[1:]]), "→ 1"


def training(console: Console) -> float:
    """Print the tables about training.  Returns the largest factor between model and measurement."""
    everything = cases()
    setups = measure_training(everything)
    coefficients = fit(everything)
    table = Table(title="Training: time a step (NGD, logistic loss, every observable recorded)")
    for column in ("n, T, d", "N", "steps", "µs a step", "model", "model / measured", "set-up, ms"):
        table.add_column(column, justify="right")
    factors = []
    for case in everything:
        modelled = float(np.dot(case.terms(), coefficients))
        ratio = modelled / case.seconds
        factors.append(max(ratio, 1 / ratio))
        n, T, _ = case.shape
        table.add_row(
            ", ".join(map(str, case.shape)),
            str(n * (T - 1)),
            f"{case.steps}",
            f"{1e6 * case.seconds / case.steps:.2f}",
            f"{1e6 * modelled / case.steps:.2f}",
            f"{ratio:.2f}" + (" (not in the fit)" if case.unseen else ""),
            f"{1e3 * setups[case.shape]:.1f}",
        )
    console.print(table)
    model = Table("term", "ns", title="The model")
    for term, value in zip(TERMS, coefficients, strict=True):
        model.add_row(term, f"{1e9 * value:.3g}")
    console.print(model)
    slopes = Table("varied", "exponent", "expected", title="Fitted exponents")
    for varied, found, expected in exponents(everything, setups):
        slopes.add_row(varied, f"{found:.2f}", expected)
    console.print(slopes)
    times = [case.seconds for case in everything]
    worst = max(factors)
    console.print(
        f"{len(everything)} runs from {1e3 * min(times):.2g} ms to {1e3 * max(times):.3g} ms: "
        f"the model is within a factor of {worst:.2f}"
    )
    return worst


def members(family: Family) -> list[TokenDataset]:
    """Members of a family with at most three sequences of three tokens in four dimensions."""
    found: list[TokenDataset] = []

    @seed(0)
    @settings(
        max_examples=MEMBERS,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(family.datasets(3, 3, 4))
    def collect(data: TokenDataset) -> None:
        found.append(data)

    collect()
    return found


def solved(data: TokenDataset) -> Geometry:
    """W_mm of fresh data: exact Gram matrix, proved support, γ, direction and alignments in float64."""
    geometry = Geometry(TokenDataset(data.X, data.y, data.u, data.query))
    if (solution := geometry.max_margin) is not None:
        _ = solution.gamma, solution.direction, solution.alignments
    return geometry


def solving(console: Console) -> None:
    """Print the table about max-margin solutions: the median over distinct datasets."""
    table = Table(title="Max-margin solutions with a proof, from the arrays on; median over distinct datasets")
    for column in ("data", "datasets", "pairs", "support", "ms", "a second", "slowest, ms"):
        table.add_column(column, justify="right")
    groups = [(f"Gaussian {s}", [gaussian(s, k) for k in range(count)]) for s, count in GAUSSIAN]
    small = list(chain.from_iterable(zip(*map(members, FAMILIES), strict=False)))
    for name, group in [(f"the {len(FAMILIES)} families, up to (3, 3, 4)", small), *groups]:
        solved(group[0])
        times = [spent(partial(solved, data)) for data in group]
        solutions = [Geometry(data).max_margin for data in group[:MEMBERS]]
        typical = statistics.median(times)
        table.add_row(
            name,
            str(len(group)),
            f"{statistics.median(data.N for data in group):.0f}",
            f"{statistics.median(len(found.support) for found in solutions if found is not None):.0f}",
            f"{1e3 * typical:.3g}",
            f"{1 / typical:.3g}",
            f"{1e3 * max(times):.3g}",
        )
    console.print(table)


GAUSSIAN: tuple[tuple[Shape, int], ...] = (
    ((3, 3, 4), 500),
    ((5, 5, 10), 100),
    ((10, 10, 50), 20),
    ((20, 10, 50), 10),
    ((50, 20, 200), 3),
)


def main() -> int:
    """Measure on one core and print; 1 when the model of training misses a measurement by too much."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # it is read when NumPy is loaded
        alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        return subprocess.call([sys.executable, "-m", "benchmarks.cost"], env=alone)
    console = Console(width=110)
    worst = training(console)
    solving(console)
    console.print(f"one core, {platform.machine()}", highlight=False)
    return int(worst > WITHIN)


if __name__ == "__main__":
    raise SystemExit(main())
