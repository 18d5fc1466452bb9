"""The command ``hunt``: engines compete for the hardest instance, and what they find is kept."""

from __future__ import annotations

import math
import shlex
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from bounds import Theorem
from properties import corpus
from properties.certify import Finding
from properties.evidence import evidence_for
from properties.hunt import Budget, Hard, Hunt, Ledger, Watcher, engines_for, serial
from properties.hunt_objective import NOTHING, Hardness, Target, Unhuntable, hardness
from properties.store import StoreError, save
from properties.systems import tools
from properties.verdict import FALSIFIED, SETTLED, Counterexample, Verdict
from properties.wording import extent
from ratecheck.command import INTERRUPTED, IS_FALSIFIED, NOT_SETTLED, OK, Unusable, reproduce_line
from ratecheck.engine import in_processes, workers
from ratecheck.hunt_words import describe, gain_words, power, shown
from ratecheck.terminal import finding_sentence
from ratecheck.versions import versions

SCHEMA = "ratecheck/hunt/1"
#: Seconds in all, where no budget is given.
DEFAULT_BUDGET = 60.0
_SAVE_EVERY = 10.0  # seconds between two writings of the corpus during a hunt
_MOST_STEPS = 1_000_000


@dataclass(frozen=True)
class Request:
    """What is asked of a hunt; `checked` makes one from the options of the command line."""

    target: Target
    engines: tuple[str, ...]
    seconds: float | None
    evaluations: int | None
    baseline: int | None
    seed: int
    workers: int

    @classmethod
    def checked(
        cls,
        theorem: Theorem,
        engine: str,
        seconds: float | None,
        evaluations: int | None,
        baseline: int | None,
        seed: int,
        workers_: int | None,
        steps: int | None,
        after: int,
        informative: bool,
    ) -> Request:
        """Validate the options.  Raises `Unusable`, naming the option and the fix."""
        possible = engines_for(theorem)
        if engine != "all" and engine not in possible:
            raise Unusable(f"--engine {engine}: for {theorem.id} choose all, {', '.join(possible)}")
        for option, value, least, most in (
            ("--evaluations", evaluations, 1, 10_000_000),
            ("--baseline", baseline, 1, 10_000_000),
            ("--workers", workers_, 1, 1024),
            ("--steps", steps, 1, _MOST_STEPS),
            ("--after", after, 0, _MOST_STEPS),
        ):
            if value is not None and not least <= value <= most:
                raise Unusable(f"{option} {value}: give a number from {least} to {most}")
        if seconds is not None and not 0.0 < seconds < math.inf:
            raise Unusable(f"--budget {seconds}: give a positive number of seconds")
        if seed < 0:
            raise Unusable(f"--seed {seed}: give a number that is not negative")
        try:
            default = 1_000 if theorem.kind == "pointwise" else 2**13
            target = Target(theorem, steps or default, after, informative)
        except Unhuntable as error:
            raise Unusable(str(error)) from None
        engines = possible if engine == "all" else (engine,)
        if baseline is not None and "random" not in engines:
            engines = ("random", *engines)
        if seconds is None and evaluations is None:
            seconds = DEFAULT_BUDGET
        return cls(target, engines, seconds, evaluations, baseline, seed, workers_ or workers())

    def budget(self, engine: str) -> Budget:
        """Every engine may look at as many instances; seconds are shared out.  A baseline has its own size."""
        if engine == "random" and self.baseline is not None:
            return Budget(max(self.baseline, self.evaluations or 0))
        return Budget(self.evaluations, None if self.seconds is None else self.seconds / len(self.engines))


@dataclass
class Outcome:
    """A hunt and what was kept of it."""

    request: Request
    hunt: Hunt
    stored: list[corpus.Entry] = field(default_factory=list)
    known: float = NOTHING
    counterexample: str | None = None
    reproduce: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def verdict(self) -> Verdict:
        """The verdict on the instances of all engines."""
        body = evidence_for(self.request.target.theorem)
        for ledger in self.hunt.ledgers.values():
            body.merge(ledger.evidence)
        return Verdict(body)

    @property
    def exit_code(self) -> int:
        """As for `verify`."""
        name = self.verdict.name
        if name == FALSIFIED:
            return IS_FALSIFIED
        if self.interrupted:
            return INTERRUPTED
        return OK if name in SETTLED else NOT_SETTLED

    def improvement(self, ledger: Ledger, evaluations: int | None = None) -> float | None:
        """By how much an engine beats random sampling: the quotient of ratios, the difference of exponents."""
        sampled = self.hunt.ledgers.get("random")
        if sampled is None or ledger is sampled:
            return None
        base = sampled.best if evaluations is None else sampled.best_within(evaluations)
        if base == NOTHING or not math.isfinite(ledger.best):
            return None
        gained = ledger.best - base
        return power(gained) if self.request.target.theorem.kind == "pointwise" else gained

    def print(self, console: Console) -> None:
        """The result for a person."""
        console.print(_table(self))
        theorem, verdict = self.request.target.theorem, self.verdict
        hardest = self.hunt.hardest
        if hardest:
            console.print(f"hardest: {describe(theorem, hardest[0])}", highlight=False, markup=False)
        if self.hunt.attained is not None:
            count = sum(ledger.equalities for ledger in self.hunt.ledgers.values())
            attained = self.hunt.attained
            where = f"step {attained.hardness.equal} on {extent(attained.instance.dataset)}"
            console.print(f"equality to nine digits: {where}, and on {count} instances in all", highlight=False)
        if math.isfinite(self.known):
            words = shown(theorem, self.known)
            console.print(f"hardest in the corpus before: {words}", highlight=False, markup=False)
        for name, command in self.reproduce.items():
            console.print(f"{name}: {command}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"[bold]{verdict.name.upper()}[/]  {escape(verdict.sentence)}.", highlight=False)
        if self.hunt.counterexample is not None:
            console.print(f"  smaller side {escape(self.hunt.counterexample.small)}", highlight=False)
            console.print(f"  larger side  {escape(self.hunt.counterexample.large)}", highlight=False)
        if self.interrupted:
            console.print("Interrupted: this is what was found until then.")

    def as_json(self) -> dict[str, Any]:
        """The result for a program, schema ratecheck/hunt/1."""
        theorem, verdict = self.request.target.theorem, self.verdict
        hardest = self.hunt.hardest
        return {
            "schema": SCHEMA,
            "id": theorem.id,
            "fingerprint": theorem.fingerprint,
            "kind": theorem.kind,
            "objective": self.request.target.objective,
            "verdict": verdict.name,
            "sentence": verdict.sentence,
            "engines": {name: self._of_engine(ledger) for name, ledger in self.hunt.ledgers.items()},
            "hardest": None if not hardest else _hard_json(hardest[0], self.stored),
            "corpus": [str(entry.path) for entry in self.stored],
            "counterexample": self.counterexample,
            "reproduce": dict(self.reproduce),
            "steps": self.request.target.steps,
            "after": self.request.target.after,
            "informative": self.request.target.demanding,
            "seed": self.request.seed,
            "interrupted": self.interrupted,
            "versions": versions(),
        }

    def _of_engine(self, ledger: Ledger) -> dict[str, Any]:
        return {
            "instances": ledger.evaluations,
            "applicable": ledger.evidence.applicable,
            "equalities": ledger.equalities,
            "seconds": round(ledger.seconds, 3),
            "best": _finite(ledger.best),
            "over_random": _finite(self.improvement(ledger)),
            "over_random_at_the_same_number": _finite(self.improvement(ledger, ledger.evaluations)),
            "records": [[count, _finite(value)] for count, value in ledger.records],
        }


def run_hunt(
    request: Request, console: Console, file: Path | None, folder: Path, counterexamples: Path
) -> Outcome:
    """Hunt, keeping the corpus and a conviction as they come; progress is shown on ``console``.

    An interrupt ends the hunt early, with what has been found.
    """
    theorem = request.target.theorem
    execute = serial if request.workers == 1 else in_processes
    outcome = Outcome(request, Hunt(request.target, request.seed, execute=execute, workers=request.workers))
    before = corpus.load(theorem, folder)
    for line in before.damaged:
        sys.stderr.write(f"ratecheck: {line}\n")
    objective = request.target.objective
    comparable = [entry.hardness for entry in before.entries if entry.compares(theorem, objective)]
    outcome.known = max(comparable, default=NOTHING)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        watcher = _Display(outcome, bar, file, folder, counterexamples)
        outcome.hunt.watcher = watcher
        try:
            for engine in request.engines:
                watcher.begin(engine, request.budget(engine))
                outcome.hunt.run(engine, request.budget(engine))
        except KeyboardInterrupt:
            outcome.interrupted = True
        finally:
            watcher.keep()
    return outcome


class _Display(Watcher):
    """Shows progress, and writes down what must not be lost."""

    def __init__(
        self, outcome: Outcome, bar: Progress, file: Path | None, folder: Path, counterexamples: Path
    ) -> None:
        self._outcome, self._bar = outcome, bar
        self._file, self._folder, self._counterexamples = file, folder, counterexamples
        self._task: TaskID | None = None
        self._written, self._failed = time.monotonic(), False

    def begin(self, engine: str, budget: Budget) -> None:
        """A new engine starts."""
        self._task = self._bar.add_task(engine, total=budget.evaluations)

    def progress(self, ledger: Ledger, budget: Budget) -> None:
        theorem = self._outcome.request.target.theorem
        words = f"{ledger.engine}: {shown(theorem, ledger.best)}"
        if self._task is not None:
            total = budget.evaluations
            if total is None and budget.seconds and ledger.seconds > 0:
                total = round(ledger.evaluations * max(1.0, budget.seconds / ledger.seconds))
            self._bar.update(self._task, completed=ledger.evaluations, total=total, description=words)
        if time.monotonic() - self._written > _SAVE_EVERY:
            self.keep()

    def convicted(self, counterexample: Counterexample) -> None:
        try:
            path = save(counterexample, self._counterexamples, versions())
        except StoreError as error:
            sys.stderr.write(f"ratecheck: {error}\n")
            return
        self._outcome.counterexample = str(path)
        self._outcome.reproduce["replay"] = reproduce_line(path, self._file)

    def keep(self) -> None:
        """Write the hardest instances so far into the corpus."""
        outcome, target = self._outcome, self._outcome.request.target
        theorem = target.theorem
        self._written = time.monotonic()
        entries = [
            corpus.Entry(
                hard.instance,
                hard.hardness.value,
                hard.hardness.step,
                target.objective,
                theorem.fingerprint,
                hard.engine,
                hard.seed,
            )
            for hard in outcome.hunt.hardest
            if math.isfinite(hard.hardness.value)
        ]
        if not entries or self._failed:
            return
        try:
            outcome.stored = corpus.save(theorem, target.objective, entries, self._folder, versions())
        except StoreError as error:
            self._failed = True
            sys.stderr.write(f"ratecheck: {error}; the corpus is not written any further\n")
            return
        path = _path_of(outcome.hunt.hardest[0], outcome.stored)
        if path is not None:
            outcome.reproduce["reproduce"] = instance_line(target, path, self._file)


def judge_stored(theorem: Theorem, path: Path, target: Target) -> tuple[Hardness, Finding | None]:
    """Measure a corpus instance again, and decide its hardest step in ball arithmetic (pointwise claims)."""
    from properties.certify import examine

    entry = corpus.read(theorem, path)
    system = tools(theorem.system)
    geometry = system.geometry(entry.instance)
    measurement = system.measure(entry.instance, geometry, entry.instance.run.steps)
    found = hardness(target, measurement)
    if theorem.kind != "pointwise" or found.value == NOTHING:
        return found, None
    [finding] = examine(theorem, entry.instance, geometry, [found.step], measurement.trajectory.onset)
    return found, finding


def print_stored(theorem: Theorem, found: Hardness, finding: Finding | None, console: Console) -> None:
    """What `judge_stored` says, in words."""
    if found.value == NOTHING:
        console.print(f"{theorem.id} says nothing about this instance", highlight=False)
    else:
        console.print(f"{shown(theorem, found.value)} at step {found.step}", highlight=False, markup=False)
    if finding is not None:
        console.print(finding_sentence(theorem, finding), highlight=False, markup=False)
        if finding.small:
            console.print(f"  smaller side {finding.small}", highlight=False, markup=False)
            console.print(f"  larger side  {finding.large}", highlight=False, markup=False)


def stored_code(theorem: Theorem, found: Hardness, finding: Finding | None) -> int:
    """The exit code for one stored instance."""
    if finding is None:
        return OK if found.value != NOTHING and theorem.kind == "order" else NOT_SETTLED
    if finding.outcome == "violated":
        return IS_FALSIFIED
    return OK if finding.outcome in ("holds", "tight") else NOT_SETTLED


def instance_line(target: Target, path: Path, file: Path | None) -> str:
    """The one line that judges a corpus instance again, in the same way."""
    words = ["ratecheck", "hunt", target.theorem.id, "--instance", str(path)]
    words += ["--after", str(target.after)] if target.after > 1 else []
    words += ["--informative"] if target.demanding else []
    return shlex.join([*words, "--file", str(file)] if file else words)


def _table(outcome: Outcome) -> Table:
    theorem = outcome.request.target.theorem
    table = Table(box=None, pad_edge=False, header_style="bold")
    sampled = outcome.hunt.ledgers.get("random")
    against = ["over random, same number"]
    if sampled is not None and outcome.request.baseline is not None:
        against.append(f"over {sampled.evaluations} random")
    for name in ("engine", "instances", "applicable", "seconds", "hardest", *against):
        table.add_column(name, justify="left" if name == "engine" else "right", no_wrap=True)
    for name, ledger in outcome.hunt.ledgers.items():
        gains = [outcome.improvement(ledger, ledger.evaluations)]
        if len(against) > 1:
            gains.append(outcome.improvement(ledger))
        table.add_row(
            name,
            str(ledger.evaluations),
            str(ledger.evidence.applicable),
            f"{ledger.seconds:.1f}",
            shown(theorem, ledger.best),
            *(gain_words(theorem, gain) for gain in gains),
        )
    return table


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _path_of(hard: Hard, stored: list[corpus.Entry]) -> Path | None:
    return next((entry.path for entry in stored if entry.instance.id == hard.instance.id), None)


def _hard_json(hard: Hard, stored: list[corpus.Entry]) -> dict[str, Any]:
    path = _path_of(hard, stored)
    return {
        "value": _finite(hard.hardness.value),
        "step": hard.hardness.step,
        "engine": hard.engine,
        "instance_id": hard.instance.id,
        "path": None if path is None else str(path),
    }
