"""Answers to the paper's claims in plain language, computed from the evidence at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bounds.claims import Order, Sooner
from bounds.notation import direction_gap, leak_max, norm
from properties.comparison import FIRST, SECOND, ComparisonEvidence
from properties.limits import REACHED, SETTLED_ELSEWHERE, TRAPPED, LimitEvidence
from properties.orders import OrderEvidence, OrderRun
from properties.panels import METHODS
from properties.verdict import CONSISTENT, EVIDENCE_AGAINST, FALSIFIED, Evidence, Verdict
from reports.figure_limit import OUTCOMES
from reports.page import VERDICTS, Mark, Table
from reports.words import count, fixed, interval, listed, number, plain

_STEADY = 0.1  # an exponent this close to 1 is called linear
_IN_WORDS = {direction_gap: "the direction gap 1 − cos(W, W_mm)", norm: "the norm ‖W‖"}
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
    if key not in _ANSWERS:
        return Answer((_tally(verdicts),))
    special = _ANSWERS[key]([verdict.evidence for verdict in verdicts])
    return Answer((_tally(verdicts), *special.sentences), special.tables)


def _tally(verdicts: Sequence[Verdict]) -> str:
    seen = Counter(verdict.name for verdict in verdicts)
    parts = [f"{seen[name]} {name}" for name in reversed(VERDICTS) if seen[name]]
    return f"Of {count(len(verdicts), 'theorem')} on trial for it here: {listed(parts)}."


# ------------------------------------------------------------------------------------- global convergence
def _global(bodies: Sequence[Evidence]) -> Answer:
    limits = [body for body in bodies if isinstance(body, LimitEvidence) and not body.infinite]
    limits = [body for body in limits if body.runs or body.counterexample is not None]
    if not limits:
        return Answer(("No run of a limit claim says anything here.",))
    sentences = [_refuted(body) for body in limits if body.verdict == FALSIFIED]
    sentences += [_elsewhere(body) for body in limits if body.verdict == EVIDENCE_AGAINST]
    rest = [body for body in limits if body.verdict not in (FALSIFIED, EVIDENCE_AGAINST)]
    arrived = [body for body in rest if body.outcomes[REACHED] == len(body.runs)]
    if arrived:
        names = [f"{_setting(body)}, {count(len(body.runs), 'run')}" for body in arrived]
        sentences.append(f"All runs came within the tolerance of W_mm's direction under: {'; '.join(names)}.")
    under_way = [body for body in rest if body not in arrived]
    if under_way:
        names = [f"{_setting(body)}, {body.outcomes[REACHED]} of {len(body.runs)}" for body in under_way]
        sentences.append(
            "Some runs had not arrived when they ended, but none settled elsewhere, under: "
            f"{'; '.join(names)} arrived."
        )
    return Answer(tuple(sentences), (_limits_table(bodies),))


def _refuted(body: LimitEvidence) -> str:
    found = body.counterexample
    assert found is not None
    data = found.instance.dataset
    return (
        f"Falsified: {_setting(body)}. On {data.n} sequences of {data.T} tokens in {data.d} dimensions the "
        f"direction gap stays away from 0 for ever, certified at step {found.step}."
    )


def _elsewhere(body: LimitEvidence) -> str:
    seen = Counter(run.source for run in body.runs if run.outcome in (SETTLED_ELSEWHERE, TRAPPED))
    families = listed([f"{name} ({runs})" for name, runs in seen.most_common()])
    return (
        f"Evidence against: {_setting(body)}. {seen.total()} of {count(len(body.runs), 'run')} settled in another "
        f"direction, on data of {families}."
    )


def _setting(body: Evidence) -> str:
    """The hypotheses in the words of the title, with the method."""
    return f"{body.theorem.title.partition(':')[0]} ({method_of(body)})"


def method_of(body: Evidence) -> str:
    """The method that a theorem speaks about, by its id; otherwise its system."""
    return next(
        (METHODS[part] for part in body.theorem.id.split(".") if part in METHODS),
        f"{body.theorem.system.name} training",
    )


def _limits_table(bodies: Sequence[Evidence]) -> Table:
    shown = [body for body in bodies if isinstance(body, LimitEvidence)]
    seen = [name for name in OUTCOMES if any(body.outcomes[name] for body in shown)]
    rows: list[tuple[str | Mark, ...]] = []
    for body in shown:
        counts = [f"{body.outcomes[name]}" if body.outcomes[name] else "–" for name in seen]
        start = (body.theorem.title, str(len(body.runs)))
        rows.append((*start, *counts, Mark.of(body.verdict)))
    head = ("Limit claim", "Runs", *(name.capitalize() for name in seen), "Verdict")
    return Table("How the runs of each limit claim ended", head, tuple(rows), frozenset({len(head) - 1}))


# -------------------------------------------------------------------------------------------------- rates
def _rates(bodies: Sequence[Evidence]) -> Answer:
    orders = _telling(bodies)
    if not orders:
        return Answer(("No run of an order claim had left its start, so that no exponent could be measured.",))
    quantities = _by_quantity([body for body in orders if ".ngd." in body.theorem.id] or orders)
    sentences = [_speed(group) for group in quantities if _claim(group[0]).quantity.is_Symbol]
    sentences += [_sparsity_sentence(body) for body in orders if leak_max.name in body.theorem.observables]
    sentences.append(_against(orders))
    return Answer(tuple(sentences), (_claimed_against_measured(orders), _families_table(quantities)))


def _joint(bodies: Sequence[Evidence]) -> Answer:
    orders = _telling(bodies)
    limits = [body for body in bodies if isinstance(body, LimitEvidence) and body.runs]
    sentences = [_speed(group) for group in _by_quantity(orders)]
    tables = [_claimed_against_measured(orders)] if orders else []
    tables += [_limits_table(limits)] if limits else []
    return Answer((*sentences, _against(orders)) if orders else (), tuple(tables))


def _telling(bodies: Sequence[Evidence]) -> list[OrderEvidence]:
    """Bodies of evidence about orders in which some run had left its start."""
    return [body for body in bodies if isinstance(body, OrderEvidence) and body.telling]


def _against(orders: Sequence[OrderEvidence]) -> str:
    against = [f"“{body.theorem.title}”" for body in orders if body.verdict == EVIDENCE_AGAINST]
    if against:
        return f"There is evidence against {listed(against)}."
    return "No claimed rate is exceeded by a ratio that keeps growing; no finite run settles an order."


def _by_quantity(orders: Sequence[OrderEvidence]) -> list[list[OrderEvidence]]:
    """Claims about the same quantity together, first the one that speaks about most runs."""
    groups: dict[str, list[OrderEvidence]] = {}
    for body in orders:
        groups.setdefault(plain(_claim(body).quantity), []).append(body)
    return [sorted(group, key=lambda body: -len(body.telling)) for group in groups.values()]


def _slowest(group: Sequence[OrderEvidence]) -> list[OrderRun]:
    """The slowest run of each family over claims about one quantity, slowest first.

    For upper bounds that is the largest exponent; otherwise the run that is worst for its own claim.
    """
    runs = [run for body in group for run in body.telling]
    upper = all(_claim(body).growth == "O" for body in group)
    runs.sort(key=lambda run: -run.exponent.slope if upper else -run.ratio.slope)
    first: dict[str, OrderRun] = {}
    for run in runs:
        first.setdefault(run.source, run)
    return list(first.values())


def _claim(body: OrderEvidence) -> Order:
    claim = body.theorem.claim
    assert isinstance(claim, Order)
    return claim


def _speed(group: Sequence[OrderEvidence]) -> str:
    """Of which power a quantity is, in the median run and on the worst data for the claims."""
    body, worst = group[0], _slowest(group)[0]
    typical, _ = _extremes(body)
    quantity = _claim(body).quantity
    data = "the slowest data" if _claim(body).growth == "O" else "the data worst for the claim"
    name = _IN_WORDS.get(quantity, plain(quantity))
    return (
        f"Under {method_of(body)}, {name} changes like {body.clock} to the power "
        f"{interval(typical.exponent)} in the median of {count(len(body.telling), 'run')}; {data} are "
        f"{worst.source}, with {interval(worst.exponent)} in a run of {worst.last_step:,} steps."
    )


def _sparsity_sentence(body: OrderEvidence) -> str:
    typical, slowest = _extremes(body)
    text = (
        f"Sparsification under {method_of(body)}: minus the logarithm of the attention off the optimal token "
        f"grows like {body.clock} to the power {fixed(typical.exponent.slope)} in the median run and "
        f"{fixed(slowest.exponent.slope)} in the run worst for the claim"
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
                f"{method_of(body)}: {plain(_claim(body))}",
                body.clock,
                fixed(typical.claimed.slope),
                interval(typical.exponent),
                interval(slowest.exponent),
                slowest.source,
                Mark.of(body.verdict),
            )
        )
    head = ("Claim", "Power of", "Claimed", "Median run", "Worst run", "Its family", "Verdict")
    caption = (
        "Claimed and measured exponents over the last two decades; the worst run is the one worst for the claim"
    )
    return Table(caption, head, tuple(rows), frozenset({1, 5, 6}))


def _families_table(quantities: Sequence[Sequence[OrderEvidence]]) -> Table:
    """Exponents of the slowest run of each family, a column for each quantity, slowest first in the first one."""
    columns = [{run.source: run for run in _slowest(group)} for group in quantities]
    bodies = [group[0] for group in quantities]
    families = list(dict.fromkeys(name for column in columns for name in column))[:_FAMILIES]
    rows = tuple(
        (family, *(interval(column[family].exponent) if family in column else "–" for column in columns))
        for family in families
    )
    head = ("Family", *(f"{method_of(body)}: {plain(_claim(body).quantity)}" for body in bodies))
    return Table("Which data are slowest: exponent of the slowest run of each family", head, rows)


# ------------------------------------------------------------------------------------------- acceleration
def _acceleration(bodies: Sequence[Evidence]) -> Answer:
    compared = [body for body in bodies if isinstance(body, ComparisonEvidence) and body.pairs]
    if not compared:
        return Answer(("No two methods were compared on the same data here.",))
    settled = [body for body in compared if body.verdict in (CONSISTENT, EVIDENCE_AGAINST)]
    sentences = [_race(body) for body in settled]
    open_ = [_racers(body) for body in compared if body not in settled]
    if open_:
        sentences.append(f"Not decided by these data: {'; '.join(open_)}.")
    return Answer(tuple(sentences), (_races_table(compared),))


def _sooner(body: ComparisonEvidence) -> Sooner:
    claim = body.theorem.claim
    assert isinstance(claim, Sooner)
    return claim


def _racers(body: ComparisonEvidence) -> str:
    claim = _sooner(body)
    return f"{METHODS[claim.first]} against {METHODS[claim.second]} to {plain(claim.event)}"


def _race(body: ComparisonEvidence) -> str:
    claim = _sooner(body)
    first, second = METHODS[claim.first], METHODS[claim.second]
    word = "Consistent" if body.verdict == CONSISTENT else "Evidence against"
    return (
        f"{word}: {first} reaches {plain(claim.event)} sooner than {second} on {body.outcomes[FIRST]} of "
        f"{count(len(body.pairs), 'dataset')} that tell them apart; the median ratio of "
        f"{second}'s hitting time to {first}'s is {number(body.median_ratio or 1)}."
    )


def _races_table(compared: Sequence[ComparisonEvidence]) -> Table:
    rows = []
    for body in compared:
        low, high = body.interval if body.pairs else (0.0, 1.0)
        rows.append(
            (
                _racers(body),
                str(body.outcomes[FIRST]),
                str(body.outcomes[SECOND]),
                f"{fixed(low)} to {fixed(high)}",
                f"×{number(body.median_ratio or float('nan'))}",
                Mark.of(body.verdict),
            )
        )
    head = ("Race", "First sooner", "Second sooner", "P(first sooner)", "Median ratio", "Verdict")
    caption = "Hitting times of two methods on the same data; the ratio is the second's time over the first's"
    return Table(caption, head, tuple(rows), frozenset({5}))


_ANSWERS: dict[str, Callable[[Sequence[Evidence]], Answer]] = {
    "global": _global,
    "rates": _rates,
    "acceleration": _acceleration,
    "joint": _joint,
}
