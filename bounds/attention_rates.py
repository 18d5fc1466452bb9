"""What happens as t grows: orders, limits and comparisons for self-attention (docs/theory.md, N7 to A1).

Orders claim a rate up to a constant that may depend on the data; no finite run refutes or proves them.
"""

from __future__ import annotations

import sympy as sp
from sympy import Rational, log, sqrt

from bounds.assumptions import (
    Assumption,
    EqualScores,
    NearOrthogonal,
    NondegenerateSupport,
    Rule,
    SelfAttention,
    Separable,
    StepAtMost,
    Throughout,
    WeakNegativeCorrelation,
    ZeroInit,
)
from bounds.attention import PAPER, derived
from bounds.attention_gd import GD_SETTINGS
from bounds.attention_ngd import NGD_PC
from bounds.attention_polyak import POLYAK_PC
from bounds.claims import Order, Sooner, Tends
from bounds.notation import T, direction_gap, leak_max, loss_gap, norm, s_min, t
from bounds.theorem import ATTENTION, Conjecture, Reported, Status, Theorem

#: Without it Λ may grow without bound, and no rate follows (docs/theory.md#n8 has data where that happens).
_kept = Throughout(s_min >= 1 / (4 * T))
_ZERO_NGD: tuple[Assumption, ...] = (*NGD_PC, ZeroInit(), _kept)
_gd, _beta = GD_SETTINGS[""]
_GD: tuple[Assumption, ...] = (*_gd, StepAtMost(1 / _beta))


def _order(
    name: str,
    title: str,
    assumes: tuple[Assumption, ...],
    claim: Order,
    status: Status,
) -> Theorem:
    return Theorem(
        id=f"attention.{name}", title=title, system=ATTENTION, assumes=assumes, claim=claim, status=status
    )


# --------------------------------------------------------------------------------------------- orders
ORDERS = [
    _order(
        "ngd.order.log-squared",
        "Normalised GD: the direction gap is O((log t)²/t)",
        _ZERO_NGD,
        Order(direction_gap, log(t) ** 2 / t),
        Reported(source=f"{PAPER} v2", proof="docs/theory.md#n7"),
    ),
    _order(
        "ngd.order.three-quarters",
        "Normalised GD: the direction gap is O(t^(−3/4))",
        _ZERO_NGD,
        Order(direction_gap, t ** Rational(-3, 4)),
        Reported(source=f"{PAPER} v1, metric not seen", proof="docs/theory.md#n7"),
    ),
    _order(
        "ngd.order.three-quarters-distance",
        "Normalised GD: the distance ‖W/‖W‖ − Ŵ‖ is O(t^(−3/4))",
        _ZERO_NGD,
        Order(sqrt(2 * direction_gap), t ** Rational(-3, 4)),
        Reported(source=f"{PAPER} v1, metric not seen", proof="docs/theory.md#n7"),
    ),
    _order(
        "ngd.order.norm",
        "Normalised GD: the norm grows exactly linearly",
        _ZERO_NGD,
        Order(norm, t, "Theta"),
        derived("N7", PAPER),
    ),
    _order(
        "ngd.order.sparsity",
        "Normalised GD: attention sparsifies exactly exponentially",
        _ZERO_NGD,
        Order(-log(leak_max), t, "Theta"),
        derived("N7", PAPER),
    ),
    _order(
        "ngd.order.without-log",
        "Normalised GD: the direction gap is O(1/t), without the logarithm",
        _ZERO_NGD,
        Order(direction_gap, 1 / t),
        Conjecture(source="docs/theory.md", proof="docs/theory.md#n8"),
    ),
    _order(
        "ngd.order.inverse-square",
        "Normalised GD: the direction gap is O(1/t²) where the W-SVM's support is non-degenerate",
        (*_ZERO_NGD, NondegenerateSupport()),
        Order(direction_gap, t**-2),
        Conjecture(source="docs/theory.md", proof="docs/theory.md#n8"),
    ),
    _order(
        "polyak.order.direction",
        "Polyak's step: the direction gap is O(log t / t)",
        (*POLYAK_PC, _kept),
        Order(direction_gap, log(t) / t),
        derived("P4", PAPER),
    ),
    _order(
        "polyak.order.sparsity",
        "Polyak's step: attention sparsifies at least exponentially",
        (*POLYAK_PC, _kept),
        Order(-log(leak_max), t, "Omega"),
        derived("P4", PAPER),
    ),
    _order(
        "gd.order.loss",
        "GD: the loss gap is O(1/t)",
        (*_GD, ZeroInit(), _kept),
        Order(loss_gap, 1 / t),
        derived("N7", PAPER),
    ),
    _order(
        "gd.order.direction",
        "GD: the direction gap is O(log log t / log t)",
        (*_GD, ZeroInit(), _kept),
        Order(direction_gap, log(log(t)) / log(t)),
        derived("N7", PAPER),
    ),
    _order(
        "gd.order.norm",
        "GD: the norm grows exactly logarithmically",
        (*_GD, ZeroInit(), _kept),
        Order(norm, log(t), "Theta"),
        derived("N7", PAPER),
    ),
]

# --------------------------------------------------------------------------------------------- limits
_UNDER_WC: tuple[Assumption, ...] = (Separable(), WeakNegativeCorrelation(), ZeroInit())
_UNDER_NO: tuple[Assumption, ...] = (Separable(), SelfAttention(), EqualScores(), NearOrthogonal())
_UNDER_ES: tuple[Assumption, ...] = (Separable(), EqualScores(), ZeroInit())
_ANY: tuple[Assumption, ...] = (Separable(),)
_es_step = StepAtMost(1 / _beta)
_open = Conjecture(source="docs/theory.md", proof="docs/theory.md#n8")
_aligns = Tends(direction_gap, 0)


def _limit(name: str, title: str, assumes: tuple[Assumption, ...], status: Status) -> Theorem:
    return Theorem(
        id=f"attention.{name}", title=title, system=ATTENTION, assumes=assumes, claim=_aligns, status=status
    )


LIMITS = [
    _limit(
        "global.ngd.limit",
        "Weak negative correlation: normalised GD from W_0 = 0 converges to the max-margin direction",
        (*_UNDER_WC, Rule("ngd")),
        derived("G5", PAPER),
    ),
    _limit(
        "global.gd.limit",
        "Weak negative correlation: GD from W_0 = 0 converges to the max-margin direction",
        (*_UNDER_WC, Rule("gd"), _gd[-1], _es_step),
        derived("G5", PAPER),
    ),
    _limit(
        "near-orthogonal.ngd.limit",
        "Near-orthogonal tokens: normalised GD converges to the max-margin direction from any W_0",
        (*_UNDER_NO, Rule("ngd")),
        Reported(source=f"{PAPER}, shape of the condition", proof="docs/theory.md#g5"),
    ),
    _limit(
        "near-orthogonal.gd.limit",
        "Near-orthogonal tokens: GD converges to the max-margin direction from any W_0",
        (*_UNDER_NO, Rule("gd"), _gd[-1], _es_step),
        Reported(source=f"{PAPER}, shape of the condition", proof="docs/theory.md#g5"),
    ),
    _limit(
        "equal-scores.ngd.limit",
        "Equal scores alone: normalised GD from W_0 = 0 converges to the max-margin direction",
        (*_UNDER_ES, Rule("ngd")),
        _open,
    ),
    _limit(
        "equal-scores.gd.limit",
        "Equal scores alone: GD from W_0 = 0 converges to the max-margin direction",
        (*_UNDER_ES, Rule("gd"), _gd[-1], _es_step),
        _open,
    ),
    _limit(
        "any-scores.ngd.limit",
        "No condition on scores: normalised GD converges to the max-margin direction from any W_0",
        (*_ANY, Rule("ngd")),
        Conjecture(source="the global claim without its hypotheses", proof="docs/theory.md#s3"),
    ),
    _limit(
        "any-scores.gd.limit",
        "No condition on scores: GD converges to the max-margin direction from any W_0",
        (*_ANY, Rule("gd")),
        Conjecture(source="the global claim without its hypotheses", proof="docs/theory.md#s3"),
    ),
    Theorem(
        id="attention.gd.norm.limit",
        title="Equal scores: GD's norm grows without bound from any W_0",
        system=ATTENTION,
        assumes=(*_GD,),
        claim=Tends(norm, sp.oo),
        status=derived("G6"),
    ),
]

# ---------------------------------------------------------------------------------------- comparisons
_SAME_DATA: tuple[Assumption, ...] = (Separable(), EqualScores(), ZeroInit())
_EVENTS = {
    "direction": ("a direction gap of 1/1000", direction_gap <= Rational(1, 1000)),
    "sparsity": ("a leak of 1/1000", leak_max <= Rational(1, 1000)),
}
_NAMES = {
    "ngd": "normalised GD",
    "gd": "GD",
    "polyak": "Polyak's step (ζ = 1)",
    "polyak/2": "Polyak's step (ζ = 2)",
}
_FASTER = (("ngd", "gd"), ("polyak", "gd"), ("polyak/2", "gd"), ("polyak", "ngd"))

COMPARISONS = [
    Theorem(
        id=f"attention.acceleration.{first.replace('/', '-')}-{second}.{name}",
        title=f"{_NAMES[first]} reaches {words} sooner than {_NAMES[second]}",
        system=ATTENTION,
        assumes=_SAME_DATA,
        claim=Sooner(event, first, second),
        status=Conjecture(source="what A1 suggests", proof="docs/theory.md#a1")
        if (first, second) == ("polyak", "ngd")
        else Reported(source=PAPER, proof="docs/theory.md#a1"),
    )
    for first, second in _FASTER
    for name, (words, event) in _EVENTS.items()
]

THEOREMS: tuple[Theorem, ...] = (*ORDERS, *LIMITS, *COMPARISONS)
