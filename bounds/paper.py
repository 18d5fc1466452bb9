"""The four claims of arXiv 2402.05738's abstract, and the theorems that put each of them on trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bounds.theorem import Theorem


@dataclass(frozen=True)
class PaperClaim:
    """One claim of the abstract.

    Attributes
    ----------
    key, title, words : str
        Short name, heading, and what is claimed, in our own words.
    prefixes : tuple of str
        Ids of the theorems that belong to it, or what their ids start with.
    """

    key: str
    title: str
    words: str
    prefixes: tuple[str, ...]

    def theorems(self, catalogue: Sequence[Theorem]) -> list[Theorem]:
        """The theorems of the claim, in the catalogue's order."""
        return [x for x in catalogue if any(x.id == p or x.id.startswith(p + ".") for p in self.prefixes)]


PAPER_CLAIMS = (
    PaperClaim(
        "global",
        "Global convergence in direction",
        "There are data settings in which gradient descent converges to the max-margin direction W_mm from any "
        "initialisation.",
        (
            "attention.global",
            "attention.near-orthogonal",
            "attention.equal-scores",
            "attention.any-scores",
            "attention.gd.norm.limit",
            "data",
        ),
    ),
    PaperClaim(
        "rates",
        "Finite-time rates, and sparsification of the attention map",
        "The iterates align with W_mm at an explicit rate in t, and the attention map sparsifies at a rate.",
        (
            "attention.master-sum",
            "attention.master-closed",
            "attention.ngd.direction",
            "attention.ngd.norm",
            "attention.ngd.order",
            "attention.ngd.loss",
            "attention.ngd.sparsity",
            "attention.ngd.margin-any-step",
            "attention.ngd.sparsity-any-step",
            "attention.ngd.sparsity-floor",
            "attention.gd.loss",
            "attention.gd.direction",
            "attention.gd.order",
            "attention.path",
        ),
    ),
    PaperClaim(
        "acceleration",
        "Normalised steps and Polyak's step accelerate",
        "Normalised GD and Polyak's step provably beat constant-step GD.",
        (
            "attention.acceleration",
            "attention.gd.sparsity-floor",
            "attention.gd.norm",
            "attention.polyak",
        ),
    ),
    PaperClaim(
        "joint",
        "The decoder is trained as well",
        "With the decoder u trained jointly, W still aligns with W_mm, u aligns with the max-margin separator of "
        "the optimal tokens, and the train loss vanishes.",
        ("joint",),
    ),
)
