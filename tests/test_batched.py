"""The differentiable batched trainer is the fused trainer: before and at moderate saturation, for every rule."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.attention import Geometry, train
from models.batched import RECORDED, stack, train_batch
from models.dataset import TokenDataset
from models.instance import Instance, Run

LOGISTIC, EXPONENTIAL = "logistic", "exponential"


def instances(rule: str, loss: str, steps: int, *, started: bool, uneven: bool) -> list[Instance]:
    """Five instances of the shape 3×3×4, separable along the first axis."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(5):
        differences = rng.integers(-8, 9, size=(3, 2, 4)) / 8.0
        differences[:, :, 0] = 1.0
        if uneven:
            differences[:, 1, 0] = 1.25
        queries = rng.integers(-8, 9, size=(3, 4)) / 8.0
        queries[:, 0] = 1.0
        best = rng.integers(-8, 9, size=(3, 4)) / 8.0
        X = np.concatenate([best[:, None], best[:, None] - differences], axis=1)
        dataset = TokenDataset(X, [1, 1, 1], [1.0, 0.0, 0.0, 0.0], queries)
        W_0 = rng.integers(-4, 5, size=(4, 4)) / 8.0 if started else None
        sizes = {"zeta": 2.0} if rule == "polyak" else {"eta": 0.5}
        found.append(Instance(dataset, Run(rule, loss, steps, W_0=W_0, **sizes)))
    return found


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("loss", [LOGISTIC, EXPONENTIAL])
@pytest.mark.parametrize("rule", ["ngd", "gd", "polyak"])
def test_agrees_with_the_fused_trainer(rule: str, loss: str, started: bool, uneven: bool) -> None:
    given = instances(rule, loss, 60, started=started, uneven=uneven)
    batch = train_batch(stack(given), 60)
    for k, instance in enumerate(given):
        fused = train(instance)
        assert len(fused) == 61
        onset = fused.onset
        assert onset is not None
        for name in RECORDED:
            ours, theirs = batch.columns[name][:, k].numpy(), fused.column(name)
            rows = fused.column("pc_margin") > 0 if name == "Lambda" else np.isfinite(theirs)
            if name in ("Lambda_max", "log_step_length_max") and onset > 1:
                continue  # the batch accumulates from the first step with positive norm, whatever PC does
            # A quantity's logarithm is as accurate as the quantity; gaps are differences of order-one numbers.
            scale = np.maximum(np.abs(theirs[rows]), 1.0)
            assert np.abs(ours[rows] - theirs[rows]).max() <= 1e-12 * scale.max(), name
        solution_gamma = float(batch.gamma[k])
        assert math.isclose(solution_gamma, _gamma(instance), rel_tol=1e-12)


def _gamma(instance: Instance) -> float:
    solution = Geometry(instance.dataset).max_margin
    assert solution is not None
    return solution.gamma


def test_gradients_agree_with_finite_differences() -> None:
    batch = stack(instances("ngd", LOGISTIC, 12, started=False, uneven=False)[:2])
    point = batch.differences.clone().requires_grad_()

    def gap(differences: torch.Tensor) -> torch.Tensor:
        gaps = differences[..., 0] * 1.0
        run = train_batch(replace(batch, differences=differences, gaps=gaps), 12)
        return torch.log(run.columns["direction_gap"][12]).sum()

    (slope,) = torch.autograd.grad(gap(point), point)
    way = torch.randn(point.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    h = 1e-6
    with torch.no_grad():
        measured = (gap(point + h * way) - gap(point - h * way)) / (2 * h)
    assert math.isclose(float(measured), float((slope * way).sum()), rel_tol=1e-5)


def test_a_batch_needs_one_shape() -> None:
    with pytest.raises(ValueError, match="one shape"):
        stack([])
    mixed = instances("ngd", LOGISTIC, 1, started=False, uneven=False)
    with pytest.raises(ValueError, match="one shape"):
        stack([mixed[0], mixed[0].with_run(loss=EXPONENTIAL)])


def test_gradients_are_finite_at_the_start_and_at_saturation() -> None:
    batch = stack(instances("ngd", EXPONENTIAL, 200, started=False, uneven=False))
    point = batch.differences.clone().requires_grad_()
    run = train_batch(replace(batch, differences=point), 200)
    for name in ("norm", "log_leak_max", "log_loss_gap", "Lambda_max"):
        (slope,) = torch.autograd.grad(run.columns[name][1:].sum(), point, retain_graph=True)
        assert torch.isfinite(slope).all(), name
