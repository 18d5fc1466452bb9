"""Attention towards targets in Arb balls: gradient descent by its definition, with every rounding enclosed."""

from __future__ import annotations

from collections.abc import Iterator

from flint import arb, arb_mat

from models.generalised_svm import TargetGeometry, TargetInstance
from models.overparametrized import rational
from models.replay import largest, total


class TargetState:
    """W at one step in balls, with attention s (a column a sequence) and residuals x̂ − b."""

    def __init__(self, instance: TargetInstance, geometry: TargetGeometry, t: int, W: arb_mat) -> None:
        self.instance, self.geometry, self.t, self.W = instance, geometry, t, W
        data, d = instance.dataset, W.nrows()
        self.tokens = [arb_mat(x) for x in geometry.tokens]
        self.queries = [arb_mat(rational(q.reshape(d, 1))) for q in data.query]
        targets = [arb_mat(rational(b.reshape(d, 1))) for b in data.target]
        self.s = [_softmax(X * (W * z)) for X, z in zip(self.tokens, self.queries, strict=True)]
        self.residuals = [X.transpose() * s - b for X, s, b in zip(self.tokens, self.s, targets, strict=True)]

    @property
    def loss_gap(self) -> arb:
        """L(W) − L*, L* = (1/n) Σ ½‖p_i − b_i‖²."""
        squares = [total([x * x for x in r.entries()]) for r in self.residuals]
        least = [arb(point.norm_sq) for point in self.geometry.nearest]
        return total([(a - b) / 2 for a, b in zip(squares, least, strict=True)]) / len(squares)

    @property
    def kept_leak(self) -> arb:
        """max_i Σ s_iτ over τ outside O_i."""
        pairs = zip(self.s, self.geometry.kept, strict=True)
        return largest([total([x for t, x in enumerate(s.entries()) if t not in kept]) for s, kept in pairs])

    def successor(self) -> TargetState:
        """The state after a step of gradient descent: ∂L/∂logit_t = s_t⟨x_t − x̂, x̂ − b⟩/n."""
        step = arb(self.instance.run.eta) / len(self.s)
        W = self.W
        for X, z, s, residual in zip(self.tokens, self.queries, self.s, self.residuals, strict=True):
            scores = (X * residual).entries()
            mean = total([a * score for a, score in zip(s.entries(), scores, strict=True)])
            pull = [a * (score - mean) for a, score in zip(s.entries(), scores, strict=True)]
            W = W - X.transpose() * arb_mat(len(pull), 1, pull) * z.transpose() * step
        return TargetState(self.instance, self.geometry, self.t + 1, W)


def replay_targets(instance: TargetInstance, geometry: TargetGeometry) -> Iterator[TargetState]:
    """The states t = 0, 1, … in balls at the working precision."""
    d, W_0 = instance.dataset.X.shape[2], instance.run.W_0
    state = TargetState(instance, geometry, 0, arb_mat(d, d) if W_0 is None else arb_mat(rational(W_0)))
    while True:
        yield state
        state = state.successor()


def _softmax(logits: arb_mat) -> arb_mat:
    weights = [x.exp() for x in logits.entries()]
    mass = total(weights)
    return arb_mat(len(weights), 1, [w / mass for w in weights])
