"""What was seen of one theorem, in tables: each kind of claim has its own."""

from __future__ import annotations

import math
from collections import Counter

from bounds.claims import Order, Sooner
from properties import comparison, judge, limits, orders, probability
from properties.comparison import ComparisonEvidence
from properties.limits import LimitEvidence
from properties.orders import OrderEvidence
from properties.panels import METHODS
from properties.probability import ProbabilityEvidence
from properties.verdict import Evidence, PointwiseEvidence
from reports.drawing import power_label
from reports.figure_limit import OUTCOMES as LIMIT_OUTCOMES
from reports.figure_ratios import strips
from reports.page import Table
from reports.words import fixed, interval, number, percent, plain

_SHOWN_REASONS = 12  # that no hypothesis accounts for
_OUTCOMES: dict[str, tuple[str, ...]] = {
    "pointwise": (judge.HOLDS, judge.VACUOUS, judge.UNDECIDED, judge.VIOLATED),
    "order": (orders.BOUNDED, orders.RISING, orders.GROWING, orders.UNTOLD, orders.TOO_EARLY),
    "limit": tuple(LIMIT_OUTCOMES),
    "comparison": (comparison.FIRST, comparison.SECOND),
    "probability": (probability.OCCURS, probability.FAILS, probability.UNDECIDED),
}
#: Outcomes that are shown also when there were none.
_ALWAYS = {judge.HOLDS, judge.VACUOUS, judge.UNDECIDED, orders.BOUNDED, limits.REACHED}


def outcome_counts(evidence: Evidence) -> list[tuple[str, int]]:
    """How many instances ended how, in the kind's order, and how many did not apply."""
    names = _OUTCOMES[evidence.theorem.kind]
    counts = [(name, evidence.outcomes[name]) for name in (*names, judge.NOT_APPLICABLE)]
    return [(name, seen) for name, seen in counts if seen or name in _ALWAYS or name == judge.NOT_APPLICABLE]


def seen_tables(evidence: Evidence) -> list[Table]:
    """The tables of a body of evidence; none for inequalities, whose figures and facts say it all."""
    match evidence:
        case OrderEvidence() if evidence.telling:
            return [slowest_by_family(evidence)]
        case LimitEvidence() if evidence.runs:
            return [outcomes_by_family(evidence)]
        case ComparisonEvidence() if evidence.pairs:
            return [outcomes_of_pairs(evidence)]
        case ProbabilityEvidence() if evidence.tallies:
            return [draws_by_claim(evidence)]
    return []


# --------------------------------------------------------------------------------------- every kind
def failed_hypotheses(evidence: Evidence) -> Table:
    """On how many of the drawn instances each hypothesis failed: the first one that does is counted."""
    left = Counter(evidence.reasons)
    rows = []
    for assumption in evidence.theorem.assumes:
        own = {reason: seen for reason, seen in left.items() if reason.startswith(f"{assumption.name}: ")}
        for reason in own:
            del left[reason]
        if own:
            commonest = max(own, key=lambda reason: own[reason]).removeprefix(f"{assumption.name}: ")
            rows.append((assumption.describe(), *_share(sum(own.values()), evidence), commonest))
        elif assumption.level == "trajectory":
            rows.append((assumption.describe(), "–", "–", "held to on the steps that are judged"))
        else:
            rows.append((assumption.describe(), *_share(0, evidence), "–"))
    rows += [(reason, *_share(seen, evidence), "–") for reason, seen in left.most_common(_SHOWN_REASONS)]
    if others := sum(seen for _, seen in left.most_common()[_SHOWN_REASONS:]):
        rows.append(("other reasons", *_share(others, evidence), "–"))
    caption = f"How far the hypotheses held, of {evidence.instances:,} instances; the first that fails is counted"
    head = ("Hypothesis", "Failed on", "Share", "Most often because")
    return Table(caption, head, tuple(rows), frozenset({3}))


def _share(failed: int, evidence: Evidence) -> tuple[str, str]:
    return f"{failed:,}", percent(failed / evidence.instances)


# --------------------------------------------------------------------------------------- inequalities
def ratios_by_family(evidence: PointwiseEvidence) -> Table:
    """The largest ratio of smaller to larger side on the instances of each family, the hardest family first."""
    rows = tuple(
        (
            strip.name,
            f"{strip.values.size:,}",
            ratio_label(strip.median),
            ratio_label(float(strip.values.max())),
        )
        for strip in strips((case.source, case.log_ratio) for case in evidence.cases)
    )
    caption = "Applicable instances by family, and the ratio of smaller to larger side at its largest on each"
    return Table(caption, ("Family", "Instances", "Median ratio", "Largest ratio"), rows)


def ratio_label(log: float) -> str:
    """A ratio from its log10, with the digits that tell 0.9999 from 1."""
    if math.isinf(log):
        return "0" if log < 0 else "∞"
    return f"{10.0**log:.9g}" if abs(log) < 3e-4 else power_label(log)


# -------------------------------------------------------------------------------------- other kinds
def slowest_by_family(evidence: OrderEvidence) -> Table:
    """Exponents of the slowest and of the median run of each family, beside the claimed one."""
    claim = evidence.theorem.claim
    assert isinstance(claim, Order)
    typical = evidence.typical_by_family
    rows = tuple(
        (
            run.source,
            interval(run.exponent),
            interval(typical[run.source].exponent),
            fixed(run.claimed.slope),
            run.outcome,
        )
        for run in orders.slowest_runs(evidence.telling)
    )
    caption = f"Slowest run of each family: {plain(claim.quantity)} as a power of {evidence.clock}"
    head = ("Family", "Exponent (95 % interval)", "In the median run", "Claimed", "Ratio to the rate")
    return Table(caption, head, rows, frozenset({4}))


def outcomes_by_family(evidence: LimitEvidence) -> Table:
    """How the runs of each family ended."""
    seen = [name for name in LIMIT_OUTCOMES if evidence.outcomes[name]]
    counts = Counter((run.source, run.outcome) for run in evidence.runs)
    families = sorted({run.source for run in evidence.runs})
    rows = tuple((family, *(_or_dash(counts[family, name]) for name in seen)) for family in families)
    return Table("How the runs of each family ended", ("Family", *(name.capitalize() for name in seen)), rows)


def outcomes_of_pairs(evidence: ComparisonEvidence) -> Table:
    """Who was sooner, by family."""
    claim = evidence.theorem.claim
    assert isinstance(claim, Sooner)
    counts = Counter((pair.source, pair.outcome) for pair in evidence.pairs)
    families = sorted({pair.source for pair in evidence.pairs})
    names = _OUTCOMES["comparison"]
    rows = tuple((family, *(_or_dash(counts[family, name]) for name in names)) for family in families)
    first, second = METHODS[claim.first], METHODS[claim.second]
    head = ("Family", f"{first} sooner", f"{second} sooner", "Same step")
    return Table("Datasets of each family on which a method is sooner", head, rows)


def draws_by_claim(evidence: ProbabilityEvidence) -> Table:
    """Draws by claimed probability, with exact intervals."""
    rows = tuple(
        (
            f"at least {claimed:g}",
            f"{evidence.tallies[claimed].occurred:,}",
            f"{evidence.tallies[claimed].total:,}",
            f"{number(low, 4)} to {number(high, 4)}",
        )
        for claimed, (low, high) in evidence.intervals.items()
    )
    head = ("Claimed probability", "Occurred", "Draws", f"Exact {probability.CONFIDENCE:.0%} interval")
    return Table("How often the event occurs", head, rows)


def _or_dash(value: int) -> str:
    return f"{value:,}" if value else "–"
