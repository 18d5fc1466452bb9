"""Speed against named baselines, as ratios measured in one run: ``python -m benchmarks``."""

from __future__ import annotations

import importlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from models.attention import Geometry, train
from models.autograd import train_by_autograd
from models.dataset import Array, TokenDataset
from models.instance import Instance, Run
from models.joint import JointGeometry, JointInstance, JointRun, train_joint
from models.joint_autograd import train_joint_by_autograd
from models.random_data import signal_plus_noise
from ratecheck.versions import versions

STEPS, BASELINE_STEPS = 2000, 200


def dataset(n: int, T: int, d: int) -> TokenDataset:
    """Gaussian tokens, labels and decoder."""
    rng = np.random.default_rng(0)
    return TokenDataset(rng.normal(size=(n, T, d)), rng.choice([-1.0, 1.0], n), rng.normal(size=d))


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Median time of an action, after one warming run."""
    action()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def training(table: Table) -> None:
    """The fused trainer against autograd, per step, every observable recorded."""
    for shape, target in (((3, 3, 4), 100), ((5, 5, 10), 100), ((10, 10, 50), 30)):
        data = dataset(*shape)
        geometry = Geometry(data)
        # A small step keeps the baseline's float64 in the range where it works at all.
        long = Instance(data, Run("ngd", "logistic", STEPS, eta=0.01))
        fused = seconds(partial(train, long, geometry), 7) / STEPS
        short = Instance(data, Run("ngd", "logistic", BASELINE_STEPS, eta=0.01))
        slow = seconds(partial(train_by_autograd, short, geometry), 3) / BASELINE_STEPS
        name = f"2000 NGD steps at {shape}"
        baseline = f"autograd definition ({BASELINE_STEPS} steps, scaled)"
        table.add_row(name, baseline, f"{slow / fused:.0f}×", f"≥ {target}×")


def joint(table: Table) -> None:
    """Joint training in Gram space: against autograd per step, and the wide data model against its time limit."""
    narrow = JointInstance(dataset(5, 5, 10), JointRun("logistic", STEPS, 0.5, 0.5))
    geometry = JointGeometry(narrow.dataset)
    fused = seconds(partial(train_joint, narrow, geometry), 7) / STEPS
    short = narrow.with_run(steps=BASELINE_STEPS)
    slow = seconds(partial(train_joint_by_autograd, short, geometry), 3) / BASELINE_STEPS
    name, baseline = "2000 joint steps at (5, 5, 10)", f"autograd definition ({BASELINE_STEPS} steps, scaled)"
    table.add_row(name, baseline, f"{slow / fused:.0f}×", "")
    wide = signal_plus_noise(np.random.default_rng(0), 20, 10, 1000)
    instance = JointInstance(wide, JointRun("logistic", 100_000, 0.25, 1.0))
    started = time.perf_counter()
    train_joint(instance)
    taken = time.perf_counter() - started
    table.add_row("10⁵ joint steps at (20, 10, 1000)", "1 minute", f"{60 / taken:.1f}×", "≥ 1×")


def notebook_max_margin(differences: list[Array]) -> float:
    """W_mm as published notebooks find it: cvxpy, one constraint a pair."""
    cp = importlib.import_module("cvxpy")

    d = differences[0].shape[0]
    W = cp.Variable((d, d))
    constraints = [cp.sum(cp.multiply(Z, W)) >= 1 for Z in differences]
    return float(cp.Problem(cp.Minimize(cp.norm(W, "fro")), constraints).solve(solver="CLARABEL"))


def vectorised_max_margin(differences: list[Array]) -> float:
    """The same problem with one matrix constraint."""
    cp = importlib.import_module("cvxpy")

    stacked = np.stack([Z.ravel() for Z in differences])
    w = cp.Variable(stacked.shape[1])
    problem = cp.Problem(cp.Minimize(cp.sum_squares(w)), [stacked @ w >= 1])
    return float(problem.solve(solver="CLARABEL"))


def max_margin(table: Table) -> None:
    """The certified max-margin solution, Gram matrix included, against cvxpy."""
    for shape in ((3, 3, 4), (5, 5, 10)):
        data = dataset(*shape)
        pairs = [
            np.outer(data.X[i, data.optimal[i]] - data.X[i, t], data.queries[i])
            for i in range(data.n)
            for t in data.others[i]
        ]

        def fresh(data: TokenDataset = data) -> object:
            return Geometry(TokenDataset(data.X, data.y, data.u)).max_margin

        ours = seconds(fresh, 20)
        for name, solver, target in (
            ("cvxpy + Clarabel, a constraint a pair", notebook_max_margin, "≥ 10×"),
            ("cvxpy + Clarabel, vectorised", vectorised_max_margin, ""),
        ):
            theirs = seconds(partial(solver, pairs), 7)
            table.add_row(f"W_mm with certificate at {shape}", name, f"{theirs / ours:.1f}×", target)


def whole(table: Table) -> None:
    """The main job, with warm compilation caches, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-c",
            "from ratecheck.cli import main; main()",
            "verify",
            "--json",
            "result.json",
        ]
        started = time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
        table.add_row(
            "verify --profile quick", "6 minutes", f"{360 / (time.perf_counter() - started):.1f}×", "≥ 1×"
        )


def main() -> None:
    """Print one table of ratios with the environment they were measured in."""
    torch.set_num_threads(1)
    table = Table(title="Speed-up over a baseline, measured in one run")
    for column in ("what", "baseline", "ratio", "target"):
        table.add_column(column)
    for measure in (training, joint, max_margin, whole):
        measure(table)
    console = Console(width=120)
    console.print(table)
    packages = ", ".join(
        f"{name} {version}" for name, version in {**versions(), "torch": torch.__version__}.items()
    )
    console.print(f"{platform.machine()}, {os.cpu_count()} cores; {packages}", highlight=False)


if __name__ == "__main__":
    main()
