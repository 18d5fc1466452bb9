"""What the mutants of a theorem say about it, in tables: changes that were caught, hypotheses that are needed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from bounds.mutants import KINDS
from properties.power import KILLED, NEVER, SURVIVED, UNDECIDED, Power
from reports.page import Table
from reports.words import number

_SURVIVORS = 12  # rows of the table of survivors


def power_tables(power: Power) -> list[Table]:
    """Mutants by kind of change, those that survived, and which hypotheses were seen to be needed.

    A table without rows is left out.
    """
    return [table for table in (_by_kind(power), _survivors(power), _hypotheses(power)) if table.rows]


def power_summary(power: Power) -> dict[str, Any]:
    """What the JSON result of ``verify`` says of a theorem's mutants."""
    outcomes = Counter(trial.outcome for trial in power.of_claim)
    return {
        "mutants": len(power.of_claim),
        "killed": outcomes[KILLED],
        "survived": outcomes[SURVIVED],
        "undecided": outcomes[UNDECIDED],
        "stands": power.stands,
        "needed": power.needed,
        "hypotheses_tried": len(power.of_hypotheses),
    }


def _by_kind(power: Power) -> Table:
    seen = Counter((trial.mutant.kind, trial.outcome) for trial in power.of_claim)
    kinds = [kind for kind in KINDS if any(known == kind for known, _ in seen)]
    rows = tuple(
        (kind.capitalize(), *(f"{seen[kind, outcome]}" for outcome in (KILLED, SURVIVED, UNDECIDED)))
        for kind in kinds
    )
    caption = "The claim made false on purpose: how many of its changes were convicted"
    return Table(caption, ("Change", "Convicted", "Survived", "Undecided"), rows)


def _survivors(power: Power) -> Table:
    left = [trial for trial in power.of_claim if trial.outcome not in (KILLED, NEVER)]
    rows = tuple(
        (trial.mutant.change, trial.outcome, "–" if trial.ratio is None else number(trial.ratio))
        for trial in left[:_SURVIVORS]
    )
    more = f" (the first {_SURVIVORS} of {len(left)})" if len(left) > _SURVIVORS else ""
    caption = f"Changes that were not convicted: slack of the claim, or blindness of the trial{more}"
    return Table(caption, ("Change", "Outcome", "Largest ratio"), rows, frozenset({1}))


def _hypotheses(power: Power) -> Table:
    rows = tuple((trial.hypothesis, trial.necessity, trial.seen) for trial in power.of_hypotheses)
    caption = "The claim without one of its hypotheses: needed means convicted, and that none was is no proof"
    return Table(caption, ("Hypothesis", "Is it needed?", "Counterexample"), rows, frozenset({1, 2}))
