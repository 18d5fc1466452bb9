"""The system as its paper writes it: a torch module, differentiated by autograd.

This is the definition that the fused trainer (`models.attention.train`) is held to.  It is clear rather than
fast, and near saturation its float64 gradients are wrong (docs/theory.md#numerics).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from models.dataset import TokenDataset
from models.instance import LOSSES


class SelfAttention(torch.nn.Module):
    """One self-attention layer with a fixed decoder, on the sequences of one dataset.

    .. math:: \\Phi(X_i; W, u) = u^\\top X_i^\\top \\, \\mathrm{softmax}(X_i W q_i),
        \\qquad f_i = y_i \\, \\Phi(X_i; W, u)

    The query :math:`q_i` is the sequence's first token, or a given vector (cross-attention).  Only W is
    trained.  Everything is float64.

    Parameters
    ----------
    dataset : TokenDataset
        Tokens X (n, T, d), labels y (n,), decoder u (d,), queries (n, d).
    W_0 : array, shape (d, d), optional
        Initial weights; zero if absent.

    Attributes
    ----------
    W : Parameter, shape (d, d)
        The combined key-query matrix.
    X, y, u, query : Tensor
        The dataset as buffers.

    Raises
    ------
    ValueError
        If ``W_0`` is not d × d.

    References
    ----------
    B. Vasudeva, P. Deora, C. Thrampoulidis, *Implicit Bias and Fast Convergence Rates for Self-attention*,
    arXiv 2402.05738.
    """

    X: Tensor
    y: Tensor
    u: Tensor
    query: Tensor

    def __init__(self, dataset: TokenDataset, W_0: ArrayLike | None = None) -> None:
        super().__init__()
        d = dataset.d
        start = torch.tensor(np.zeros((d, d)) if W_0 is None else np.asarray(W_0), dtype=torch.float64)
        if start.shape != (d, d):
            raise ValueError(f"W_0 has shape {tuple(start.shape)}: tokens of dimension {d} need {(d, d)}")
        self.W = torch.nn.Parameter(start)
        self.register_buffer("X", torch.tensor(dataset.X, dtype=torch.float64))
        self.register_buffer("y", torch.tensor(dataset.y, dtype=torch.float64))
        self.register_buffer("u", torch.tensor(dataset.u, dtype=torch.float64))
        self.register_buffer("query", torch.tensor(dataset.queries, dtype=torch.float64))

    def attention(self) -> Tensor:
        """Attention weights s_i = softmax(X_i W q_i), shape (n, T)."""
        keys = self.query @ self.W.T  # row i is (W q_i)ᵀ
        return torch.softmax((self.X @ keys.unsqueeze(-1)).squeeze(-1), dim=-1)

    def outputs(self) -> Tensor:
        """Φ_i = uᵀ X_iᵀ s_i, shape (n,)."""
        attended = (self.attention().unsqueeze(-2) @ self.X).squeeze(-2)
        return attended @ self.u

    def forward(self) -> Tensor:
        """f_i = y_i Φ_i, shape (n,): what the loss is a function of."""
        return self.y * self.outputs()

    def token_scores(self) -> Tensor:
        """γ_it = y_i uᵀ x_it, shape (n, T)."""
        return self.y.unsqueeze(-1) * (self.X @ self.u)

    def infimum(self, loss: str) -> float:
        """L* = (1/n) Σ_i ℓ(max_t γ_it), the infimum of the mean loss over W; it is not zero."""
        return float(mean_loss(self.token_scores().amax(dim=-1), loss))


def mean_loss(f: Tensor, loss: str) -> Tensor:
    """L = (1/n) Σ_i ℓ(f_i).

    Parameters
    ----------
    f : Tensor, shape (n,)
        Signed outputs y_i Φ_i.
    loss : {"logistic", "exponential"}
        ℓ(z) = log(1 + e^{−z}) (the softplus of −z) or e^{−z}.

    Raises
    ------
    ValueError
        For any other name.
    """
    if loss == "logistic":
        # Not functional.softplus: beyond its threshold of 20 it is the identity, 2e-9 off.
        return -functional.logsigmoid(f).mean()
    if loss == "exponential":
        return torch.exp(-f).mean()
    raise ValueError(f"unknown loss {loss!r}: use one of {', '.join(LOSSES)}")
