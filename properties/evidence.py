"""An empty body of evidence for each kind of claim."""

from __future__ import annotations

from bounds import Theorem
from properties.comparison import ComparisonEvidence
from properties.limits import LimitEvidence
from properties.orders import OrderEvidence
from properties.probability import ProbabilityEvidence
from properties.verdict import Evidence, PointwiseEvidence

_BY_KIND: dict[str, type[Evidence]] = {
    "pointwise": PointwiseEvidence,
    "order": OrderEvidence,
    "limit": LimitEvidence,
    "probability": ProbabilityEvidence,
    "comparison": ComparisonEvidence,
}


def evidence_for(theorem: Theorem) -> Evidence:
    """An empty body of evidence about a theorem."""
    return _BY_KIND[theorem.kind](theorem)
