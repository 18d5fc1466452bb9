"""What was seen of one theorem, in tables: each kind of claim has its own."""

from __future__ import annotations

from collections import Counter

from bounds.claims import Order, Sooner
from properties import comparison, judge, limits, orders, probability
from properties.comparison import ComparisonEvidence
from properties.limits import LimitEvidence
from properties.orders import OrderEvidence, OrderRun
from properties.panels import METHODS
from properties.probability import ProbabilityEvidence
from properties.verdict import Evidence
from reports.figure_limit import OUTCOMES as LIMIT_OUTCOMES
from reports.page import Table
from reports.words import fixed, interval, number, plain

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
    """The tables of a body of evidence; none for inequalities, whose figure and facts say it all."""
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


def slowest_runs(evidence: OrderEvidence) -> list[OrderRun]:
    """The slowest run of each family (largest ratio to the rate), slowest family first."""
    slowest: dict[str, OrderRun] = {}
    for run in evidence.telling:
        if run.source not in slowest or run.ratio.slope > slowest[run.source].ratio.slope:
            slowest[run.source] = run
    return sorted(slowest.values(), key=lambda run: -run.ratio.slope)


def slowest_by_family(evidence: OrderEvidence) -> Table:
    """Exponent of the slowest run of each family, beside the claimed one over the same windows."""
    claim = evidence.theorem.claim
    assert isinstance(claim, Order)
    rows = tuple(
        (run.source, interval(run.exponent), fixed(run.claimed.slope), run.outcome)
        for run in slowest_runs(evidence)
    )
    caption = f"Slowest run of each family: {plain(claim.quantity)} as a power of {evidence.clock}"
    head = ("Family", "Exponent (95 % interval)", "Claimed", "Ratio to the rate")
    return Table(caption, head, rows, frozenset({3}))


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
