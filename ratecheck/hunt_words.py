"""How a hunt's numbers are said."""

from __future__ import annotations

import math

from bounds import Theorem
from properties.hunt import Hard
from properties.hunt_objective import NOTHING
from properties.wording import extent


def shown(theorem: Theorem, value: float) -> str:
    """A hardness in words."""
    if value == NOTHING:
        return "nothing yet"
    if theorem.kind == "order":
        return f"ratio to the rate grows with exponent {value:.3f}".replace("-", "−")
    ratio = power(value)
    below = -math.expm1(value * math.log(10.0)) if value < 0 else 0.0
    return f"ratio 1 − {below:.2e}" if 0 < below < 1e-3 else f"ratio {ratio:.5g}"


def describe(theorem: Theorem, hard: Hard) -> str:
    """One hard instance in a line."""
    instance = hard.instance
    # Not every system has training rules and losses.
    known = [getattr(instance.run, name, "") for name in ("rule", "loss")]
    rule = "".join(f", {word}" for word in known if word)
    step = "" if getattr(instance.run, "eta", None) is None else f", η = {instance.run.eta:.6g}"
    where = f"at step {hard.hardness.step}, on {extent(instance.dataset)}"
    return f"{shown(theorem, hard.hardness.value)} {where}{rule}{step} (found by {hard.engine})"


def gain_words(theorem: Theorem, gain: float | None) -> str:
    """An improvement over random sampling in a few characters."""
    if gain is None:
        return "–"
    return f"× {gain:.4g}" if theorem.kind == "pointwise" else f"{gain:+.3f}"


def power(value: float) -> float:
    """10 to a power, infinite where floats end."""
    return math.inf if value > 308.0 else 10.0**value
