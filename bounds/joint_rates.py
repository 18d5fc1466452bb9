"""What happens to W and u as t grows in joint training (docs/theory.md#joint-orders)."""

from __future__ import annotations

from sympy import Rational, log

from bounds.assumptions import Assumption, PositiveCoefficients, Schedule, Separable, Throughout
from bounds.attention import PAPER
from bounds.claims import Order, Tends
from bounds.joint import DecoderSeparable
from bounds.notation import Lambda, T, direction_gap, loss, norm, s_min, t, u_direction_gap, u_norm
from bounds.theorem import JOINT, Derived, Reported, Status, Theorem

#: (H): positive coefficients and bounded Λ from some step on, and no sequence that loses its optimal token.
_H: tuple[Assumption, ...] = (
    Separable(),
    DecoderSeparable(),
    PositiveCoefficients(),
    Schedule(Rational(1), Rational(2, 3)),
    Throughout(s_min >= 1 / (4 * T)),
    Throughout(Lambda <= 20),
)
_reported = Reported(source=PAPER, proof="docs/theory.md#joint-orders")
_derived = Derived(proof="docs/theory.md#joint-orders", refines=PAPER)


def _theorem(name: str, title: str, claim: Order | Tends, status: Status) -> Theorem:
    return Theorem(id=f"joint.{name}", title=title, system=JOINT, assumes=_H, claim=claim, status=status)


THEOREMS: tuple[Theorem, ...] = (
    _theorem(
        "order.direction.reported",
        "Joint training: W's direction gap is O(1/log t)",
        Order(direction_gap, 1 / log(t)),
        _reported,
    ),
    _theorem(
        "order.direction",
        "Joint training: W's direction gap is O(log log t / log t)",
        Order(direction_gap, log(log(t)) / log(t)),
        _derived,
    ),
    _theorem(
        "order.norm", "Joint training: ‖W‖ grows exactly logarithmically", Order(norm, log(t), "Theta"), _derived
    ),
    _theorem(
        "order.loss",
        "Joint training: the loss is exp(−Ω(t^(1/3)))",
        Order(-log(loss), t ** Rational(1, 3), "Omega"),
        _reported,
    ),
    _theorem(
        "order.decoder-norm",
        "Joint training: the decoder's norm grows exactly like t^(1/3)",
        Order(u_norm, t ** Rational(1, 3), "Theta"),
        _derived,
    ),
    _theorem(
        "decoder.limit",
        "Joint training: the decoder converges to the max-margin separator of the optimal tokens",
        Tends(u_direction_gap, 0),
        _reported,
    ),
)
