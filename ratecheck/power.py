"""How much the trial sees: mutants convicted, slack measured, hypotheses found to be needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bounds import Derived, Theorem
from properties.power import KILLED, SURVIVED, UNDECIDED, Power, PowerUnit, measure_power
from properties.trial import Profile
from properties.verdict import FALSIFIED
from ratecheck.command import IS_FALSIFIED, OK, Unusable
from ratecheck.engine import in_processes
from ratecheck.versions import versions

SCHEMA = "ratecheck/power/1"
STEPS = 1_000


@dataclass(frozen=True)
class PowerOutcome:
    """The power of the trial, theorem by theorem."""

    powers: tuple[Power, ...]
    budget: int
    seed: int

    @property
    def exit_code(self) -> int:
        """1 if a derived theorem itself was convicted on the way, else 0."""
        return IS_FALSIFIED if self.discoveries else OK

    @property
    def discoveries(self) -> list[str]:
        """Ids of derived theorems that were convicted, unchanged, on the way."""
        return [
            power.theorem.id
            for power in self.powers
            if power.original.verdict == FALSIFIED and isinstance(power.theorem.status, Derived)
        ]

    @property
    def sentence(self) -> str:
        """The share killed over all theorems."""
        tried = [trial for power in self.powers for trial in power.of_claim]
        killed = sum(trial.outcome == KILLED for trial in tried)
        skipped = sum(sum(power.skipped.values()) for power in self.powers)
        share = f" ({killed / len(tried):.0%})" if tried else ""
        return f"{killed} of {len(tried)} changed claims convicted{share}; {skipped} mutants skipped"

    def print(self, console: Console) -> None:
        """Both tables, the survivors, and what they mean."""
        console.print(_power_table(self.powers))
        for power in self.powers:
            for trial in power.of_claim:
                if trial.outcome != KILLED:
                    ratio = "–" if trial.ratio is None else f"{trial.ratio:.3g}"
                    line = f"{power.theorem.id}: {trial.mutant.change}: {trial.outcome}, largest ratio {ratio}"
                    console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
        if any(power.of_hypotheses for power in self.powers):
            console.print()
            console.print(_necessity_table(self.powers))
        self.print_summary(console)
        console.print(
            "A survivor says that the claim has slack there, or that the trial misses what would break it.  "
            "Stands: the strongest change of the constant that survived.\n"
            "Slack: by what factor the larger side exceeded the smaller one at least, step 0 included.\n"
            "A hypothesis is needed if the claim without it was convicted, certified; that none was is no proof.",
            highlight=False,
        )

    def print_summary(self, console: Console) -> None:
        """The share killed, and the theorems that fell themselves."""
        for id_ in self.discoveries:
            console.print(f"[bold red]{id_} itself was convicted: ratecheck verify {id_}[/]", highlight=False)
        console.print(f"\nMutants: {self.sentence}.", highlight=False)

    def as_json(self) -> dict[str, Any]:
        """The result for a program, schema ratecheck/power/1."""
        return {
            "schema": SCHEMA,
            "budget": self.budget,
            "seed": self.seed,
            "theorems": [_power_json(power) for power in self.powers],
            "versions": versions(),
        }


def run_power(theorems: Sequence[Theorem], budget: int, seed: int, console: Console) -> PowerOutcome:
    """Try the mutants of every pointwise theorem among those given; progress is shown on ``console``.

    Raises
    ------
    Unusable
        If none of them is pointwise, or a number is out of range.
    """
    chosen = [theorem for theorem in theorems if theorem.kind == "pointwise"]
    if not chosen:
        raise Unusable("power changes inequalities that are claimed at every step: name a pointwise theorem")
    if not 1 <= budget <= 1_000_000:
        raise Unusable(f"--budget {budget}: give a number of instances from 1 to 1000000")
    if seed < 0:
        raise Unusable(f"--seed {seed}: give a number that is not negative")
    units = [PowerUnit(theorem, Profile(budget, STEPS), seed) for theorem in chosen]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("power", total=len(units))
        powers = []
        for power in in_processes(measure_power, units):
            powers.append(power)
            bar.advance(task)
    return PowerOutcome(tuple(powers), budget, seed)


def _power_table(powers: Sequence[Power]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "theorem", "killed", "survived", "undecided", "skipped", "stands", "slack"):
        table.add_column(name, justify="left" if name in ("", "theorem") else "right", no_wrap=True)
    for power in powers:
        outcomes = [trial.outcome for trial in power.of_claim]
        table.add_row(
            power.theorem.label,
            power.theorem.id,
            f"{outcomes.count(KILLED)}/{len(outcomes)}",
            str(outcomes.count(SURVIVED)),
            str(outcomes.count(UNDECIDED)),
            str(sum(power.skipped.values())),
            power.stands,
            "–" if power.slack is None else f"{power.slack:.4g}",
        )
    return table


def _necessity_table(powers: Sequence[Power]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("theorem", "hypothesis", "", "counterexample"):
        table.add_column(name, no_wrap=True)
    for power in powers:
        for trial in power.of_hypotheses:
            table.add_row(power.theorem.id, escape(trial.hypothesis), trial.necessity, trial.seen)
    return table


def _power_json(power: Power) -> dict[str, Any]:
    return {
        "id": power.theorem.id,
        "verdict": power.original.verdict,
        "share_killed": power.share_killed,
        "stands": power.stands,
        "slack": _finite(power.slack),
        "skipped": dict(power.skipped),
        "mutants": [
            {
                "kind": trial.mutant.kind,
                "change": trial.mutant.change,
                "claim": str(trial.mutant.theorem.claim),
                "outcome": trial.outcome,
                "instances": trial.applicable,
                "largest_ratio": _finite(trial.ratio),
            }
            for trial in power.of_claim
        ],
        "hypotheses": [
            {
                "hypothesis": trial.hypothesis,
                "necessity": trial.necessity,
                "instances": trial.applicable,
                "counterexample": None
                if trial.counterexample is None
                else {
                    "instance": trial.counterexample.instance.to_json(),
                    "step": trial.counterexample.step,
                    "precision_bits": trial.counterexample.precision,
                },
            }
            for trial in power.of_hypotheses
        ],
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
