"""What a regression says: a table on the terminal, JSON, a Markdown summary, and a JUnit file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from properties.baseline import Result
from properties.ordering import Ordering, Point
from properties.regression import CHANGED, REMOVED, RENAMED
from properties.rejudging import MOST_SUSPECTS
from ratecheck.command import IS_FALSIFIED, NOT_SETTLED, OK
from ratecheck.regress import Outcome, Row
from ratecheck.versions import versions

SCHEMA = "ratecheck/regress/1"
_MOST_OPEN = 3  # boxes where an order is undecided that are shown
_COLUMNS = ("theorem", "change", "order", "verdict", "ratio", "informative")
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#|~&!])")


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table: each figure before → after."""
    before, after = row.before, row.after
    return (
        row.change.id,
        row.change.kind,
        "–" if row.ordering is None else row.ordering.order,
        _arrow(before, after, lambda result: result.verdict),
        _arrow(before, after, measured),
        _arrow(before, after, lambda result: "–" if result.informative is None else f"{result.informative:.0%}"),
    )


def measured(result: Result) -> str:
    """The largest ratio of an inequality's sides, or what was measured of another claim."""
    return result.measured or ("–" if result.ratio is None else f"{result.ratio:.4g}")


def _arrow(before: Result | None, after: Result | None, say: Any) -> str:
    first, second = ("–" if result is None else say(result) for result in (before, after))
    return first if first == second else f"{first} → {second}"


def details(row: Row) -> Iterator[str]:
    """What the table has no room for, a sentence a line: the same on the terminal and in Markdown."""
    change, retrial = row.change, row.retrial
    if change.kind == RENAMED and change.old is not None:
        yield f"was {change.old.theorem.id}; the statement is the same"
    if change.kind == REMOVED and change.old is not None:
        yield f"nothing claims any more that {change.old.theorem.claim}"
    if change.kind == CHANGED and change.old is not None and change.new is not None:
        yield f"before: {change.old.theorem.statement}"
        yield f"now: {change.new.statement}"
    if row.ordering is not None:
        yield row.ordering.sentence
        yield from map(_point, row.ordering.claim.points)
        region = row.ordering.claim.region
        yield from (f"left open where {box}" for box in region[:_MOST_OPEN])
        if len(region) > _MOST_OPEN:
            yield f"and in {len(region) - _MOST_OPEN:,} more boxes"
    if retrial is None:
        return
    if retrial.kept:
        outcomes = Counter(one.outcome for one in retrial.kept)
        yield f"kept counterexamples: {', '.join(f'{count} {name}' for name, count in outcomes.items())}"
    stored = retrial.stored
    if stored is not None and stored.runs:
        yield (
            f"stored runs: {stored.applicable:,} of {stored.runs:,} apply, {stored.recorded:,} recorded steps "
            f"judged in {stored.seconds:.2f} s, {stored.suspects:,} runs with steps that float64 does not settle"
            + (
                f", of which the {MOST_SUSPECTS} hardest were trained again"
                if stored.suspects > MOST_SUSPECTS
                else ""
            )
        )
    yield retrial.body.sentence
    found = retrial.body.counterexample
    if found is not None:
        yield f"found in {retrial.found_in}: smaller side {found.small}, larger side {found.large}"


def _point(point: Point) -> str:
    at = ", ".join(f"{name} = {value}" for name, value in point.shown.items())
    return f"at {at} the {point.says_more} bound says more: old {point.old}, new {point.new}"


def summary(outcome: Outcome) -> str:
    """The outcome in a sentence, without a full stop."""
    if not outcome.rows:
        return f"Nothing changed against {outcome.against}: {len(outcome.unchanged)} theorems are as they were"
    counts: dict[str, int] = {}
    for row in outcome.rows:
        counts[row.change.kind] = counts.get(row.change.kind, 0) + 1
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    meaning = {
        OK: "nothing falsified, nothing weaker",
        IS_FALSIFIED: "a certified counterexample falsifies a changed theorem",
        NOT_SETTLED: "something became weaker or may have (--allow-weaker accepts that)",
    }[outcome.exit_code]
    if outcome.exit_code == OK and any(row.weaker for row in outcome.rows):
        meaning = "nothing falsified; weaker forms were allowed"
    if outcome.exit_code == NOT_SETTLED and any(row.open for row in outcome.rows):
        meaning = "a verdict is not settled"
    return f"Against {outcome.against}: {said}, {len(outcome.unchanged)} unchanged; {meaning}"


def print_outcome(console: Console, outcome: Outcome) -> None:
    """The table before → after, and what it rests on."""
    if outcome.rows:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in _COLUMNS:
            table.add_column(name, no_wrap=True)
        for row in outcome.rows:
            style = "bold red" if row.falsified else "yellow" if row.weaker or row.open else None
            table.add_row(*map(escape, cells(row)), style=style)
        console.print(table)
        for row in outcome.rows:
            lines = list(details(row))
            if lines:
                console.print(f"\n[bold]{row.change.id}[/]", highlight=False)
            for line in lines:
                console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
            if row.replay:
                console.print(f"  replay: {escape(row.replay)}", highlight=False, soft_wrap=True)
        console.print()
    console.print(f"{escape(summary(outcome))}.", highlight=False, soft_wrap=True)


# ------------------------------------------------------------------------------------------------ Markdown
def markdown(outcome: Outcome) -> str:
    """A summary for a pull request."""
    lines = ["## ratecheck regress", "", f"{_plain(summary(outcome))}.", ""]
    if outcome.rows:
        lines += [f"| {' | '.join(_COLUMNS)} |", f"|{' --- |' * len(_COLUMNS)}"]
        lines += [f"| {' | '.join(_plain(cell) for cell in cells(row))} |" for row in outcome.rows]
    for row in outcome.rows:
        said = list(details(row))
        if said:
            lines += ["", f"### {_plain(row.change.id)}", "", *(f"- {_plain(line)}" for line in said)]
        if row.replay:
            lines += ["", "```", row.replay.replace("`", "'"), "```"]
    if outcome.rows:
        lines += ["", "Confirmed means: no counterexample within the scope. It is evidence, not a proof."]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no line of its own."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


# --------------------------------------------------------------------------------------------------- JUnit
def junit(outcome: Outcome) -> str:
    """One test case a theorem; falsified, weaker and open ones are failures."""
    failed = [row for row in outcome.rows if _failure(outcome, row)]
    total = len(outcome.rows) + len(outcome.unchanged)
    suite = ElementTree.Element(
        "testsuite", name="ratecheck regress", tests=str(total), failures=str(len(failed)), errors="0", skipped="0"
    )
    for row in outcome.rows:
        case = ElementTree.SubElement(suite, "testcase", classname="regress", name=row.change.id)
        message = _failure(outcome, row)
        text = _xml("\n".join([" | ".join(cells(row)), *details(row), *([row.replay] if row.replay else [])]))
        if message:
            ElementTree.SubElement(case, "failure", message=message, type=message).text = text
        else:
            ElementTree.SubElement(case, "system-out").text = text
    for theorem in outcome.unchanged:
        ElementTree.SubElement(suite, "testcase", classname="regress", name=theorem.id)
    ElementTree.indent(suite, " ")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(suite, encoding="unicode")}\n'


def _failure(outcome: Outcome, row: Row) -> str:
    if row.falsified:
        return "falsified"
    if row.open:
        return "not settled"
    return "weaker" if row.weaker and not outcome.allow_weaker else ""


def _xml(text: str) -> str:
    return _FORBIDDEN.sub("�", text)


# ---------------------------------------------------------------------------------------------------- JSON
def as_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome as a JSON object."""
    return {
        "schema": SCHEMA,
        "against": outcome.against,
        "summary": summary(outcome),
        "allow_weaker": outcome.allow_weaker,
        "seed": outcome.settings.seed,
        "theorems": [_row_json(row) for row in outcome.rows],
        "unchanged": [theorem.id for theorem in outcome.unchanged],
        "messages": outcome.messages,
        "versions": versions(),
    }


def _row_json(row: Row) -> dict[str, Any]:
    change, retrial = row.change, row.retrial
    found = None if retrial is None else retrial.body.counterexample
    stored = None if retrial is None else retrial.stored
    return {
        "id": change.id,
        "change": change.kind,
        "was": None if change.old is None else change.old.theorem.id,
        "statement": {
            "before": None if change.old is None else change.old.theorem.statement,
            "after": None if change.new is None else change.new.statement,
        },
        "order": None if row.ordering is None else _ordering_json(row.ordering),
        "weaker": row.weaker,
        "before": _result_json(row.before),
        "after": _result_json(row.after),
        "sentence": None if retrial is None else retrial.body.sentence,
        "kept": [] if retrial is None else [one.to_json() for one in retrial.kept],
        "stored_runs": None
        if stored is None
        else {
            "runs": stored.runs,
            "applicable": stored.applicable,
            "recorded_steps": stored.recorded,
            "judged_steps": stored.steps,
            "steps_a_second": round(stored.speed),
            "suspects": stored.suspects,
        },
        "found_in": None if retrial is None else retrial.found_in or None,
        "counterexample": row.path or None,
        "certificate": None if found is None else found.to_json(),
        "reproduce": row.replay or None,
    }


def _ordering_json(ordering: Ordering) -> dict[str, Any]:
    return {
        "order": ordering.order,
        "claim": ordering.claim.order,
        "reason": ordering.claim.reason,
        "points": [
            {"says_more": p.says_more, "at": p.values, "old": p.old, "new": p.new} for p in ordering.claim.points
        ],
        "open": list(ordering.claim.region),
        "hypotheses": [
            {"how": h.how, "what": h.text, "effect": h.effect, "reason": h.reason} for h in ordering.hypotheses
        ],
        "sentence": ordering.sentence,
    }


def _result_json(result: Result | None) -> dict[str, Any] | None:
    if result is None:
        return None
    return {
        "verdict": result.verdict,
        "instances": result.instances,
        "last_step": result.last_step,
        "worst_ratio": result.ratio,
        "informative_share": result.informative,
        "measured": result.measured or None,
    }
