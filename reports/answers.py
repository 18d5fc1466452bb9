"""Answers to the paper's claims in plain language, computed from the evidence at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bounds.claims import Order, Sooner, Tends
from bounds.notation import leak_max
from properties.comparison import BOTH, FIRST, SECOND, ComparisonEvidence
from properties.limits import REACHED, SETTLED_ELSEWHERE, LimitEvidence
from properties.orders import OrderEvidence, OrderRun
from properties.panels import METHODS
from properties.verdict import EVIDENCE_AGAINST, Evidence, Verdict
from reports.figure_limit import OUTCOMES
from reports.page import VERDICTS, Mark, Table
from reports.tables import slowest_runs
from reports.words import count, fixed, interval, listed, number, plain

_STEADY = 0.05  # an exponent this close to 1 is called linear
_FAMILIES = 12  # rows of the table of slowest families


@dataclass(frozen=True)
class Answer:
    """Sentences and the tables that they rest on."""

    sentences: tuple[str, ...]
    tables: tuple[Table, ...] = ()


def answer_to(key: str, verdicts: Sequence[Verdict]) -> Answer:
    """The answer to a claim of `bounds.paper.PAPER_CLAIMS` from its theorems in this report."""
    if not verdicts:
        return Answer(("No theorem of this claim is on trial in this report.",))
    special = _ANSWERS.get(key, lambda bodies: Answer(()))([verdict.evidence for verdict in verdicts])
    return Answer((_tally(verdicts), *special.sentences), special.tables)


def _tally(verdicts: Sequence[Verdict]) -> str:
    seen = Counter(verdict.name for verdict in verdicts)
    parts = [f"{seen[name]} {name}" for name in reversed(VERDICTS) if seen[name]]
    return f"Of {count(len(verdicts), 'theorem')} on trial for it here: {listed(parts)}."


# ------------------------------------------------------------------------------------- global convergence
def _global(bodies: Sequence[Evidence]) -> Answer:
    limits = [body for body in bodies if isinstance(body, LimitEvidence) and body.runs and not body.infinite]
    if not limits:
        return Answer(("No run of a limit claim says anything here.",))
    everywhere = [body for body in limits if body.outcomes[REACHED] == len(body.runs)]
    sentences = []
    if everywhere:
        titles = [f"“{body.theorem.title}” ({count(len(body.runs), 'run')})" for body in everywhere]
        sentences.append(f"All runs came within the tolerance of W_mm's direction under {listed(titles)}.")
    elsewhere = [body for body in limits if body.outcomes[SETTLED_ELSEWHERE]]
    for body in elsewhere:
        seen = Counter(run.source for run in body.runs if run.outcome == SETTLED_ELSEWHERE)
        families = listed([f"{name} ({number_})" for name, number_ in seen.most_common()])
        sentences.append(
            f"Under “{body.theorem.title}” {body.outcomes[SETTLED_ELSEWHERE]} of {count(len(body.runs), 'run')} settled "
            f"in another direction, on data of {families}."
        )
    open_ = [body for body in limits if body not in everywhere and body not in elsewhere]
    if open_:
        titles = [f"“{body.theorem.title}” ({body.outcomes[REACHED]} of {len(body.runs)})" for body in open_]
        sentences.append(f"Some runs were still under way, or unclear, when they ended: {listed(titles)} arrived.")
    return Answer(tuple(sentences), (_limits_table(bodies),))


def _limits_table(bodies: Sequence[Evidence]) -> Table:
    shown = [body for body in bodies if isinstance(body, LimitEvidence)]
    seen = [name for name in OUTCOMES if any(body.outcomes[name] for body in shown)]
    rows = []
    for body in shown:
        claim = body.theorem.claim
        assert isinstance(claim, Tends)
        counts = [f"{body.outcomes[name]}" if body.outcomes[name] else "–" for name in seen]
        rows.append((f"{body.theorem.title}: {plain(claim)}", str(len(body.runs)), *counts, Mark.of(body.verdict)))
    head = ("Limit claim", "Runs", *(name.capitalize() for name in seen), "Verdict")
    return Table("How the runs of each limit claim ended", head, tuple(rows), frozenset({len(head) - 1}))


# -------------------------------------------------------------------------------------------------- rates
def _rates(bodies: Sequence[Evidence]) -> Answer:
    orders = [body for body in bodies if isinstance(body, OrderEvidence) and body.telling]
    if not orders:
        return Answer(("No run of an order claim had left its start, so that no exponent could be measured.",))
    normalised = [body for body in orders if ".ngd." in body.theorem.id] or orders
    quantities = _by_quantity(normalised)
    sentences = [_slowest_sentence(body) for body in quantities]
    sentences += [_sparsity_sentence(body) for body in orders if leak_max.name in body.theorem.observables]
    against = [body.theorem.title for body in orders if body.verdict == EVIDENCE_AGAINST]
    sentences.append(
        f"There is evidence against {listed(against)}."
        if against
        else "No claimed rate is exceeded by a ratio that keeps growing; no finite run settles an order."
    )
    return Answer(tuple(sentences), (_claimed_against_measured(orders), _families_table(quantities)))


def _by_quantity(orders: Sequence[OrderEvidence]) -> list[OrderEvidence]:
    """For each measured quantity the claim that speaks about most runs."""
    best: dict[str, OrderEvidence] = {}
    for body in orders:
        name = plain(_claim(body).quantity)
        if name not in best or len(body.telling) > len(best[name].telling):
            best[name] = body
    return list(best.values())


def _claim(body: OrderEvidence) -> Order:
    claim = body.theorem.claim
    assert isinstance(claim, Order)
    return claim


def _method(body: Evidence) -> str:
    rule = body.theorem.id.split(".")[1]
    return METHODS.get(rule, rule)


def _slowest_sentence(body: OrderEvidence) -> str:
    typical, slowest = _extremes(body)
    return (
        f"{_method(body)}, {plain(_claim(body).quantity)}: the median of {count(len(body.telling), 'run')} changes like a "
        f"power {interval(typical.exponent)} of {body.clock}; the slowest data are {slowest.source}, with "
        f"{interval(slowest.exponent)}."
    )


def _sparsity_sentence(body: OrderEvidence) -> str:
    typical, slowest = _extremes(body)
    text = (
        f"Sparsification by {_method(body)}: minus the logarithm of the attention off the optimal token grows like "
        f"{body.clock} to the power {fixed(typical.exponent.slope)} in the median run and {fixed(slowest.exponent.slope)} "
        f"in the slowest"
    )
    steady = all(abs(run.exponent.slope - 1) <= _STEADY for run in (typical, slowest))
    return f"{text}; that is, the attention map sparsifies exponentially in t." if steady else f"{text}."


def _extremes(body: OrderEvidence) -> tuple[OrderRun, OrderRun]:
    typical, slowest = body.typical, body.slowest
    assert typical is not None
    assert slowest is not None
    return typical, slowest


def _claimed_against_measured(orders: Sequence[OrderEvidence]) -> Table:
    rows = []
    for body in orders:
        typical, slowest = _extremes(body)
        rows.append(
            (
                f"{_method(body)}: {plain(_claim(body))}",
                body.clock,
                fixed(typical.claimed.slope),
                interval(typical.exponent),
                interval(slowest.exponent),
                slowest.source,
                Mark.of(body.verdict),
            )
        )
    head = ("Claim", "Power of", "Claimed", "Median run", "Slowest run", "Its family", "Verdict")
    return Table("Claimed and measured exponents over the last two decades", head, tuple(rows), frozenset({1, 5, 6}))


def _families_table(bodies: Sequence[OrderEvidence]) -> Table:
    """Exponents of the slowest run of each family, a column for each quantity, slowest first in the first one."""
    columns = [{run.source: run for run in slowest_runs(body)} for body in bodies]
    families = list(dict.fromkeys(name for column in columns for name in column))[:_FAMILIES]
    rows = tuple(
        (family, *(interval(column[family].exponent) if family in column else "–" for column in columns))
        for family in families
    )
    head = ("Family", *(f"{_method(body)}: {plain(_claim(body).quantity)}" for body in bodies))
    return Table("Which data are slowest: exponent of the slowest run of each family", head, rows)


# ------------------------------------------------------------------------------------------- acceleration
def _acceleration(bodies: Sequence[Evidence]) -> Answer:
    compared = [body for body in bodies if isinstance(body, ComparisonEvidence) and body.pairs]
    if not compared:
        return Answer(("No two methods were compared on the same data here.",))
    return Answer(tuple(_race(body) for body in compared), (_races_table(compared),))


def _race(body: ComparisonEvidence) -> str:
    claim = body.theorem.claim
    assert isinstance(claim, Sooner)
    tied = f", at the same step on {body.outcomes[BOTH]} more" if body.outcomes[BOTH] else ""
    return (
        f"{METHODS[claim.first]} reaches {plain(claim.event)} sooner than {METHODS[claim.second]} on "
        f"{body.outcomes[FIRST]} of {count(body.untied, 'dataset')} that tell them apart{tied}; the median ratio of hitting "
        f"times is {number(body.median_ratio or float('nan'))}."
    )


def _races_table(compared: Sequence[ComparisonEvidence]) -> Table:
    rows = []
    for body in compared:
        claim = body.theorem.claim
        assert isinstance(claim, Sooner)
        low, high = body.interval if body.untied else (0.0, 1.0)
        rows.append(
            (
                f"{METHODS[claim.first]} against {METHODS[claim.second]}: {plain(claim.event)}",
                str(body.outcomes[FIRST]),
                str(body.outcomes[SECOND]),
                str(body.outcomes[BOTH]),
                f"{fixed(low)} to {fixed(high)}",
                f"×{number(body.median_ratio or float('nan'))}",
                Mark.of(body.verdict),
            )
        )
    head = ("Race", "First sooner", "Second sooner", "Same step", "P(first sooner)", "Median ratio", "Verdict")
    caption = "Hitting times of two methods on the same data; the ratio is the second's time over the first's"
    return Table(caption, head, tuple(rows), frozenset({6}))


_ANSWERS: dict[str, Callable[[Sequence[Evidence]], Answer]] = {
    "global": _global,
    "rates": _rates,
    "acceleration": _acceleration,
}
