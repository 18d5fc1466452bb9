"""Running the soak and saying what it saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bounds import Theorem
from properties.soak import Tally, soak_unit, soak_units, spoke
from properties.store import save
from ratecheck.command import IS_FALSIFIED, NOT_SETTLED, OK, Unusable, reproduce_line
from ratecheck.engine import in_processes
from ratecheck.versions import versions

SCHEMA = "ratecheck/soak/1"
MAX_INSTANCES, MAX_STEPS = 100_000_000, 100_000


@dataclass
class SoakOutcome:
    """What a soak saw, and where convictions of derived theorems were kept."""

    tally: Tally
    theorems: int
    steps: int
    seed: int
    paths: list[Path] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 if a derived theorem was convicted, 3 if a suspect was left open, else 0."""
        if self.tally.discoveries:
            return IS_FALSIFIED
        return NOT_SETTLED if self.tally.undecided else OK

    @property
    def sentences(self) -> list[str]:
        """The counts in words."""
        tally = self.tally
        outcomes = ", ".join(f"{count} {name}" for name, count in spoke(tally.outcomes).items())
        guesses = len(tally.convictions) - len(tally.discoveries)
        growth = tally.growth
        said = [
            f"{tally.instances} instances of {len(tally.families)} families, {self.steps} steps each, "
            f"{self.theorems} theorems",
            f"{tally.judgements} judgements ({outcomes}) of {tally.steps} steps",
            f"{tally.suspects} suspects, {tally.certified} of them certified ({tally.tight} equality cases), "
            f"{tally.undecided} left open",
            f"{len(tally.discoveries)} convictions of derived theorems, {guesses} of conjectures",
        ]
        if growth is not None:
            peak = max(tally.memory) / 1024
            said.append(f"peak memory of a process {peak:.0f} MiB, {growth:.3f} times that of the first quarter")
        return said

    def print(self, console: Console) -> None:
        """The counts, what was left open, and how to replay convictions."""
        for sentence in self.sentences:
            console.print(f"{sentence}.", highlight=False)
        for id_, step, instance in self.tally.open:
            console.print(
                f"  left open: {id_} at step {step} of instance {instance.id} (see --json)", highlight=False
            )
        for found, path in zip(self.tally.discoveries, self.paths, strict=True):
            console.print(f"[bold red]{found.theorem.id} is false at step {found.step}[/]", highlight=False)
            console.print(f"  replay: {escape(reproduce_line(path, None))}", highlight=False, soft_wrap=True)

    def as_json(self) -> dict[str, Any]:
        """The result for a program, schema ratecheck/soak/1."""
        tally = self.tally
        return {
            "schema": SCHEMA,
            "seed": self.seed,
            "steps_each": self.steps,
            "theorems": self.theorems,
            "instances": tally.instances,
            "families": dict(tally.families),
            "judgements": tally.judgements,
            "outcomes": dict(tally.outcomes),
            "steps_judged": tally.steps,
            "suspects": tally.suspects,
            "certified": tally.certified,
            "equality_cases": tally.tight,
            "left_open": tally.undecided,
            "open": [
                {"theorem": id_, "step": step, "instance": instance.to_json()}
                for id_, step, instance in tally.open
            ],
            "convicted": sorted({found.theorem.id for found in tally.discoveries}),
            "convicted_conjectures": sorted({f.theorem.id for f in tally.convictions} - self._derived),
            "counterexamples": [str(path) for path in self.paths],
            "memory_growth": tally.growth,
            "versions": versions(),
        }

    @property
    def _derived(self) -> set[str]:
        return {found.theorem.id for found in self.tally.discoveries}


def run_soak(
    theorems: Sequence[Theorem], instances: int, steps: int, seed: int, directory: Path, console: Console
) -> SoakOutcome:
    """Judge every pointwise theorem on short runs; progress is shown on ``console``.

    Raises
    ------
    Unusable
        If a number is out of range.
    """
    if not 1 <= instances <= MAX_INSTANCES:
        raise Unusable(f"--instances {instances}: give a number from 1 to {MAX_INSTANCES}")
    if not 1 <= steps <= MAX_STEPS:
        raise Unusable(f"--steps {steps}: give a number from 1 to {MAX_STEPS}")
    if seed < 0:
        raise Unusable(f"--seed {seed}: give a number that is not negative")
    chosen = [theorem for theorem in theorems if theorem.kind == "pointwise"]
    units = soak_units(chosen, instances, steps, seed)
    outcome = SoakOutcome(Tally(), len(chosen), steps, seed)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("instances", total=instances)
        for tally in in_processes(soak_unit, units):
            outcome.tally.merge(tally)
            bar.advance(task, tally.instances)
    outcome.paths = [save(found, directory, versions()) for found in outcome.tally.discoveries]
    return outcome
