"""Long after saturation, on optimal and on wrong tokens, the fused trainer still agrees with ball arithmetic."""

import math

import flint
import numpy as np
import pytest

from models.attention import Geometry, train
from models.dataset import TokenDataset
from models.instance import Instance, Run
from models.replay import ExactSetting, replay
from models.trajectory import COLUMNS

FIRST = [[1.0, 0.5], [0.0, -0.25], [0.0, 0.75]]
SECOND = [[2.0, 0.0], [0.5, 0.5], [0.5, -1.0]]
DATA = TokenDataset([FIRST, SECOND], [1, 1], [1.0, 0.0])


@pytest.mark.parametrize("toward", [0.0, -60.0])
@pytest.mark.parametrize(("rule", "size"), [("ngd", {"eta": 0.5}), ("gd", {"eta": 0.5})])
def test_fused_trainer_against_balls(rule: str, size: dict[str, float], toward: float) -> None:
    W_0 = None if toward == 0.0 else toward * np.eye(2)
    instance = Instance(DATA, Run(rule, "logistic", 300, eta=size["eta"], W_0=W_0))
    geometry = Geometry(DATA)
    trajectory = train(instance, geometry)
    with flint.ctx.workprec(3000):
        for state in replay(ExactSetting(instance, geometry)):
            if state.t in (0, 50, 300):
                exact = {
                    "log_loss_gap": state.loss_gap,
                    "log_grad_norm": state.grad_norm,
                    "log_leak_max": max(state.leak, key=lambda x: float(x.log().mid())),
                    "log_s_min": min(state.s, key=lambda x: float(x.log().mid())),
                }
                for name, value in exact.items():
                    found = trajectory.column(name)[state.t]
                    assert found == pytest.approx(float(value.log().mid()), rel=1e-11, abs=1e-11), (name, state.t)
            if state.t == 300:
                break
    if rule == "ngd" and toward == 0.0:
        assert trajectory.column("log_loss_gap")[-1] < -50
    if toward:
        assert trajectory.column("log_s_min")[0] < -20


def test_invariances() -> None:
    """F7: rotating tokens, permuting sequences and tokens, and rescaling u leave every observable unchanged."""
    rng = np.random.default_rng(0)
    X, y, u = rng.normal(size=(3, 3, 4)), [1.0, -1.0, 1.0], rng.normal(size=4)
    query = X[:, 0]
    Q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    order, tokens = [2, 0, 1], [1, 2, 0]
    run = Run("ngd", "logistic", 25, eta=0.2)
    base = train(Instance(TokenDataset(X, y, u, query), run)).table
    rotated = TokenDataset(X @ Q.T, y, Q @ u, query @ Q.T)
    permuted = TokenDataset(X[order][:, tokens], [y[i] for i in order], u, query[order])
    skip = {"direction_gap_error", "gradient_condition", "state_condition", "pc_margin"}
    kept = [k for k, name in enumerate(COLUMNS) if name not in skip]
    for other in (rotated, permuted):
        table = train(Instance(other, run)).table
        np.testing.assert_allclose(table[:, kept], base[:, kept], rtol=1e-8, atol=1e-9)
    assert math.isfinite(float(np.nanmax(base)))
