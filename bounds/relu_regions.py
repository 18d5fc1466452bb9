"""Theorems about the linear regions of univariate ReLU networks (docs/systems.md#relu-regions).

f(x) = Σ_j v_j max(w_j x + b_j, 0) with m neurons, on points x_1 < … < x_n of the line with labels ±1 that
alternate r times.  What is proved here holds of any such network.  What is reported is about trained ones, and
there t is a size, the width or the number of points: a run is one network of each size.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from bounds.assumptions import Assumption
from bounds.claims import Order
from bounds.notation import declare
from bounds.theorem import RELU_REGIONS, Derived, Reported, Status, Theorem
from bounds.two_layer import width

alternations = declare(
    "alternations", "r", "how often the label changes along the line", "dataset", nonnegative=True, integer=True
)
tolerance = declare(
    "tolerance",
    r"\epsilon",
    "distance from a line that is neglected, over the largest output max |f(x_i)|",
    "run",
    positive=True,
)
regions = declare("regions", "k", "number of linear regions of f", "step", above=1, positive=True, integer=True)
effective_regions = declare(
    "effective_regions",
    r"k_{\epsilon}",
    "least number of intervals that cover the points, on each of which f is within ε max |f(x_i)| of a line",
    "step",
    above=1,
    positive=True,
    integer=True,
)
output_margin = declare("output_margin", r"\min_i y_i f(x_i)", "smallest signed output", "step")
output_max = declare("output_max", r"\max_i\lvert f(x_i)\rvert", "largest output", "step", nonnegative=True)


@dataclass(frozen=True)
class GrowingWidth(Assumption):
    """t is the number of neurons: each network is trained from its own start, on the same points."""

    statement = "t is the width: a trained network of t neurons, for growing t and the same points"
    level = "run"


@dataclass(frozen=True)
class GrowingData(Assumption):
    """t is the number of points: the width, r and the gaps between unequal labels stay the same."""

    statement = "t is the number of points: trained networks of one width, for growing t and labels alike"
    level = "run"


_SOURCE = (
    "Safran, Vardi and Lee, On the effective number of linear regions in shallow univariate ReLU networks, "
    "arXiv 2205.09072"
)
_PROOF = "docs/systems.md#relu-regions"
_derived = Derived(source="docs/systems.md", proof=_PROOF, refines=_SOURCE)
_reported = Reported(source=_SOURCE, proof=_PROOF)


def _count(
    name: str,
    title: str,
    claim: sp.core.relational.Relational,
    domain: sp.core.relational.Relational | None = None,
) -> Theorem:
    return Theorem(f"relu-regions.{name}", title, RELU_REGIONS, (), claim, _derived, domain=domain)


def _plateau(name: str, title: str, growing: Assumption, status: Status = _reported) -> Theorem:
    claim = Order(effective_regions, alternations)
    return Theorem(
        f"relu-regions.plateau.{name}", title, RELU_REGIONS, (growing,), claim, status, domain=output_margin > 0
    )


THEOREMS: tuple[Theorem, ...] = (
    _count("width", "A network of m neurons has at most m + 1 linear regions", regions <= width + 1),
    _count(
        "alternations",
        "A network that classifies labels with r alternations has at least r linear regions",
        regions >= alternations,
        output_margin > 0,
    ),
    _count("effective.fewer", "There are no more effective regions than regions", effective_regions <= regions),
    _count(
        "effective.alternations",
        "With margins above twice what is neglected there are at least r effective regions",
        effective_regions >= alternations,
        output_margin > 2 * tolerance * output_max,
    ),
    _plateau("width", "The effective regions of trained networks do not grow with the width", GrowingWidth()),
    _plateau(
        "points", "The effective regions of trained networks do not grow with the number of points", GrowingData()
    ),
)
