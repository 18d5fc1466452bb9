"""The figure of a theorem: each kind of claim has its own."""

from __future__ import annotations

from properties.comparison import ComparisonEvidence
from properties.limits import LimitEvidence
from properties.orders import OrderEvidence
from properties.probability import ProbabilityEvidence
from properties.verdict import Evidence, PointwiseEvidence
from reports.drawing import Figure
from reports.figure_comparison import hitting_figure
from reports.figure_limit import distance_figure
from reports.figure_order import rate_figure
from reports.figure_pointwise import bound_figure
from reports.figure_probability import frequency_figure


def figure_of(evidence: Evidence) -> Figure:
    """What was seen of one theorem, drawn in the way of its kind.

    Raises
    ------
    TypeError
        For a kind of evidence without a figure.
    """
    match evidence:
        case PointwiseEvidence():
            return bound_figure(evidence)
        case OrderEvidence():
            return rate_figure(evidence)
        case LimitEvidence():
            return distance_figure(evidence)
        case ComparisonEvidence():
            return hitting_figure(evidence)
        case ProbabilityEvidence():
            return frequency_figure(evidence)
    raise TypeError(f"{type(evidence).__name__} has no figure; add one to reports/figures.py")
