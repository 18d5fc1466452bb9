"""Judging order claims: measured exponents, and whether the ratio to the claimed rate keeps growing.

A finite run cannot refute "up to a constant".  What it can show is the exponent over the last two decades, and a
ratio that keeps growing there; the verdict is then *evidence against* (docs/theory.md#kinds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import sympy as sp

from bounds import Theorem
from bounds import t as clock
from bounds.claims import Order
from models.dataset import Array
from models.instance import Instance
from properties.balls import BallArray, BoolArray
from properties.compiled import compile_expression
from properties.hypotheses import applicable_rows, as_balls, failing
from properties.judge import defined_rows, in_domain
from properties.measured import Measured
from properties.observables import Undefined
from properties.verdict import CONSISTENT, EVIDENCE_AGAINST, INCONCLUSIVE, VACUOUS_VERDICT, Evidence
from properties.windows import Fit, Windows, last_windows, natural_log, straight_line

#: Exponent from which growth of the ratio counts: half of the half power by which a wrong claim is taken to be
#: off.  (log t)² grows more slowly beyond t = e⁸, so that a logarithm alone is never held against a claim.
GROWTH = 0.25
GROWING, RISING, BOUNDED, TOO_EARLY = "keeps growing", "rises", "bounded", "too early to tell"
#: A ratio to a logarithmic rate that rises, but not like a power of t: no practicable run covers two decades of
#: log t, so it stays open.
UNTOLD = "rises in log t"
#: A leak, or attention on an optimal token, below which attention counts as saturated.
SATURATED = 0.1
UNRESOLVED = "the quantity vanishes, or its hypotheses or float64's digits do not last over seven dyadic windows"
#: The last windows, and the share of the whole slope that theirs must keep.
LATE, STEADY = 4, 0.75
#: A ratio that grows is measured again in a run this much longer; so often in one body of evidence.
LONGER, REPEATS = 10, 2
_SIDES = {"O": (True,), "Omega": (False,), "Theta": (True, False)}

Repeat = Callable[[int], Measured]


@dataclass(frozen=True, eq=False)
class OrderRun:
    """One run held against a rate.

    Attributes
    ----------
    source, instance
        Family and instance.
    outcome : str
        ``keeps growing``, also in a run ten times as long; ``rises``, not measured again or no longer there;
        ``bounded``; ``rises in log t``: the rate is logarithmic, and nothing is concluded; ``too early to
        tell``: it rises, but attention had not saturated.
    exponent, claimed : Fit
        Slopes of log Q and log rate against the log of the clock (t, or log t for logarithmic rates).
    ratio : Fit
        Slope of log(Q/rate) that is worst for the claim: positive where it is exceeded.
    windows, rates : Windows
        log sup Q (inf for Ω) and log rate in each dyadic window.
    last_step : int
    """

    source: str
    instance: Instance
    outcome: str
    exponent: Fit
    claimed: Fit
    ratio: Fit
    windows: Windows
    rates: Windows
    last_step: int


def hold_against_rate(theorem: Theorem, measurement: Measured, source: str) -> OrderRun | str:
    """Measure one run, or say why there is nothing to measure."""
    claim = theorem.claim
    assert isinstance(claim, Order)
    followed = follow(theorem, claim.quantity, measurement)
    if isinstance(followed, str):
        return followed
    rows, values = followed
    t, quantity = measurement.trajectory.t, natural_log(values)
    judged: list[OrderRun] = []
    for largest in _SIDES[claim.growth]:
        windows = last_windows(t, quantity, rows, largest=largest)
        rates = last_windows(t, _log_rate(claim, measurement), rows, largest=largest)
        if windows is None or rates is None:
            return UNRESOLVED
        ratio, rising = _worst_case(claim, measurement, quantity, rows, largest)
        outcome = BOUNDED if not rising else RISING if has_saturated(measurement, windows.t[0]) else TOO_EARLY
        if (
            claim.logarithmic
            and outcome == RISING
            and not _rises_like_a_power(claim, measurement, quantity, rows, largest)
        ):
            outcome = UNTOLD
        clock = _clock(claim, windows.t)
        judged.append(
            OrderRun(
                source,
                measurement.instance,
                outcome,
                straight_line(clock, windows.values),
                straight_line(clock, rates.values),
                ratio,
                windows,
                rates,
                int(t[-1]),
            )
        )
    return max(judged, key=lambda run: run.ratio.slope)


def _worst_case(
    claim: Order, measurement: Measured, quantity: Array, mask: BoolArray, largest: bool
) -> tuple[Fit, bool]:
    """Slope of log(Q/rate), positive where the claim is exceeded, and whether it rises in every window.

    A logarithmic rate is the same order on a clock t/t₀, but over a few decades that matters: r = log(t/1000) is
    Θ(log t) and looks like a high power of log t.  So such a ratio rises only if it does for every t₀ tried.
    """
    t = measurement.trajectory.t
    best: tuple[Fit, bool] | None = None
    shift = 1.0
    while True:
        ratios = last_windows(t, quantity - _log_rate(claim, measurement, shift), mask, largest=largest)
        if ratios is None or (best is not None and (not claim.logarithmic or ratios.t[0] < 16 * shift)):
            break
        signed = ratios.values if largest else -ratios.values
        fit = straight_line(_clock(claim, ratios.t / shift), signed)
        earlier = quantity - _log_rate(claim, measurement, shift)
        earlier = earlier[mask & (t >= 4 * shift) & (t < ratios.t[0] / np.sqrt(2.0))]
        before = np.nanmax(earlier if largest else -earlier, initial=-np.inf)
        # The running supremum itself must have grown all the while: a ratio that only recovers proves nothing.
        rising = bool((np.diff(signed) > 0).all() and signed[0] >= before) and fit.low > GROWTH
        # Nor may it be levelling off: a ratio on its way to a constant is what the claim says.
        late = straight_line(_clock(claim, ratios.t[-LATE:] / shift), signed[-LATE:])
        rising = rising and late.slope >= max(STEADY * fit.slope, GROWTH)
        if best is None or fit.slope < best[0].slope:
            best = fit, rising if best is None else rising and best[1]
        shift *= 4.0
    assert best is not None  # the caller has seen that there are windows
    return best


def _rises_like_a_power(
    claim: Order, measurement: Measured, quantity: Array, mask: BoolArray, largest: bool
) -> bool:
    """Whether the ratio to a logarithmic rate grows like a power of t itself, to the end."""
    t = measurement.trajectory.t
    ratios = last_windows(t, quantity - _log_rate(claim, measurement), mask, largest=largest)
    if ratios is None:
        return False
    signed = ratios.values if largest else -ratios.values
    late = straight_line(np.log(ratios.t[-LATE:]), signed[-LATE:])
    return straight_line(np.log(ratios.t), signed).low > GROWTH and late.slope > GROWTH


def _clock(claim: Order, t: Array) -> Array:
    """log t, or log log t for a logarithmic rate."""
    return np.asarray(np.log(np.log(t)) if claim.logarithmic else np.log(t))


def _log_rate(claim: Order, measurement: Measured, shift: float = 1.0) -> Array:
    """log rate(t/shift); NaN where the rate is not positive."""
    t = measurement.trajectory.t
    values = {symbol.name: measurement[symbol.name] for symbol in claim.rate.free_symbols}
    values["t"] = BallArray.of(t / shift)
    return natural_log(as_balls(compile_expression(claim.rate)(values), t.size))


def has_saturated(measurement: Measured, since: float) -> bool:
    """Whether attention had saturated by step ``since``, on optimal tokens or on a wrong one.

    Before that a run has not left its start, and what it shows says nothing about t → ∞: with a token margin of
    1e-6 GD takes 1e12 steps to move at all.
    """
    trajectory = measurement.trajectory
    row = int(np.searchsorted(trajectory.t, since))
    leak, margin = trajectory.column("log_leak_max")[row], trajectory.column("margin_min")[row]
    return bool(leak <= np.log(SATURATED) or margin <= np.log(SATURATED))


def follow(theorem: Theorem, quantity: sp.Expr, measurement: Measured) -> tuple[BoolArray, BallArray] | str:
    """Recorded steps on which the hypotheses hold, and a quantity at all of them; or why there is nothing."""
    reason = failing(theorem, measurement.instance, measurement.geometry)
    if reason is not None:
        return reason
    count = len(measurement.trajectory)
    if count == 0:
        return "the run has no step that float64 can represent"
    try:
        rows = applicable_rows(theorem, measurement)
        if not rows.any():
            return "the trajectory-level assumptions hold on no recorded step"
        rows = rows & in_domain(theorem, measurement, count) & defined_rows(theorem, measurement, count)
        return np.asarray(rows), as_balls(compile_expression(quantity)(measurement), count)
    except Undefined as error:
        return str(error)


@dataclass(eq=False)
class OrderEvidence(Evidence):
    """What has been seen of an order claim: one `OrderRun` an instance."""

    runs: list[OrderRun] = field(default_factory=list)
    repeats: int = 0

    def add(self, measurement: Measured, source: str, repeat: Repeat) -> None:
        """Measure a run; where the ratio grows, once more in a longer run, made by ``repeat``."""
        run = hold_against_rate(self.theorem, measurement, source)
        if isinstance(run, str):
            self.pass_over(run)
            return
        self.instances += 1
        self.sources[source] += 1
        self.steps += len(measurement.trajectory)
        if run.outcome in (RISING, TOO_EARLY) and self.repeats < REPEATS:
            self.repeats += 1
            longer = hold_against_rate(self.theorem, repeat(LONGER * measurement.instance.run.steps), source)
            if isinstance(longer, OrderRun):
                run = replace(longer, outcome=GROWING) if longer.outcome == RISING else longer
        self.outcomes[run.outcome] += 1
        self.last_step = max(self.last_step, run.last_step)
        self.runs.append(run)

    def _worth_repeating(self, run: OrderRun) -> bool:
        assert isinstance(self.theorem.claim, Order)
        return run.outcome in (RISING, TOO_EARLY) and self.repeats < REPEATS and not self.theorem.claim.logarithmic

    def merge(self, other: Self) -> None:
        super().merge(other)
        self.runs += other.runs
        self.repeats += other.repeats

    @property
    def verdict(self) -> str:
        if self.outcomes[GROWING]:
            return EVIDENCE_AGAINST
        if self.outcomes[RISING] or self.outcomes[UNTOLD]:
            return INCONCLUSIVE
        return CONSISTENT if self.outcomes[BOUNDED] else VACUOUS_VERDICT

    @property
    def slowest(self) -> OrderRun | None:
        """The run whose ratio to the claimed rate grows most (falls least), of those that say something."""
        return max(self.telling, key=lambda run: run.ratio.slope, default=None)

    @property
    def telling(self) -> list[OrderRun]:
        """The runs that had left their start."""
        return [run for run in self.runs if run.outcome != TOO_EARLY]

    @property
    def typical(self) -> OrderRun | None:
        """The run with the median exponent."""
        ordered = sorted(self.telling, key=lambda run: run.exponent.slope)
        return ordered[len(ordered) // 2] if ordered else None

    @property
    def typical_by_family(self) -> dict[str, OrderRun]:
        """The run with the median exponent of each family, families by name."""
        families: dict[str, list[OrderRun]] = {}
        for run in sorted(self.telling, key=lambda run: run.exponent.slope):
            families.setdefault(run.source, []).append(run)
        return {name: runs[len(runs) // 2] for name, runs in sorted(families.items())}

    @property
    def _claims_differ(self) -> bool:
        """Whether the claimed rate is another one in other runs."""
        assert isinstance(self.theorem.claim, Order)
        return bool(self.theorem.claim.rate.free_symbols - {clock})

    @property
    def clock(self) -> str:
        """What the exponents are powers of."""
        assert isinstance(self.theorem.claim, Order)
        return "log t" if self.theorem.claim.logarithmic else "t"

    @property
    def measured(self) -> str:
        typical = self.typical
        if typical is None:
            return "–"
        base = "(log t)" if self.clock == "log t" else "t"
        return f"{base}^{_number(typical.exponent.slope)} [claimed {_number(typical.claimed.slope)}]"

    @property
    def sentence(self) -> str:
        typical, slowest = self.typical, self.slowest
        if typical is None or slowest is None:
            return self.why_vacuous()
        count, power = len(self.telling), f"measured as a power of {self.clock}"
        measured = (
            f"{power}, the exponent is {_interval(typical.exponent)} in the median of {count} runs up to step "
            f"{self.last_step:,}, where the claimed rate has {_number(typical.claimed.slope)}"
        )
        measured += f"; the slowest run ({slowest.source}) shows {_interval(slowest.exponent)}"
        if self._claims_differ:
            measured += "; median runs by family, with what is claimed there: " + ", ".join(
                f"{name} {_interval(run.exponent)} [{_number(run.claimed.slope)}]"
                for name, run in self.typical_by_family.items()
            )
        if self.verdict == EVIDENCE_AGAINST:
            growing = [run for run in self.runs if run.outcome == GROWING]
            worst = max(growing, key=lambda run: run.ratio.slope)
            return (
                f"Evidence against: on {worst.source} the ratio to the claimed rate still grows like {self.clock} "
                f"to the power {_interval(worst.ratio)} over the last two decades up to step {worst.last_step:,}; "
                f"{measured}"
            )
        if self.verdict == INCONCLUSIVE:
            rising = self.outcomes[RISING] + self.outcomes[UNTOLD]
            return (
                f"Open: the ratio to the claimed rate rises on {rising} runs, not long enough to tell; {measured}"
            )
        early = self.outcomes[TOO_EARLY]
        but = f" but {early} that had not left their start" if early else ""
        return f"Consistent: the ratio to the claimed rate stops growing on all runs{but}; {measured}"

    def details(self) -> Mapping[str, Any]:
        typical, slowest = self.typical, self.slowest
        return {
            "clock": self.clock,
            "exponent": _triple(typical.exponent) if typical else None,
            "claimed_exponent": round(typical.claimed.slope, 6) if typical else None,
            "slowest": {"family": slowest.source, "exponent": _triple(slowest.exponent)} if slowest else None,
            "by_family": {run.source: _triple(run.exponent) for run in slowest_runs(self.telling)},
            "claimed_by_family": {run.source: round(run.claimed.slope, 6) for run in slowest_runs(self.telling)},
        }


def slowest_runs(runs: Iterable[OrderRun]) -> list[OrderRun]:
    """The slowest run of each family (largest ratio to the rate), slowest family first."""
    slowest: dict[str, OrderRun] = {}
    for run in runs:
        if run.source not in slowest or run.ratio.slope > slowest[run.source].ratio.slope:
            slowest[run.source] = run
    return sorted(slowest.values(), key=lambda run: -run.ratio.slope)


def _number(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _interval(fit: Fit) -> str:
    return f"{_number(fit.slope)} ({_number(fit.low)} to {_number(fit.high)})"


def _triple(fit: Fit) -> list[float]:
    return [round(float(x), 6) for x in (fit.slope, fit.low, fit.high)]
