"""The command ``sharpen``: the frontier of a theorem's constants, and the sharper claims as a theorem file."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from bounds import Theorem
from bounds.catalogue import load_file
from bounds.source import Unwritable, module_source
from properties import corpus
from properties.hunt import Budget
from properties.hunt import serial as serial_shares
from properties.sharpen_orders import SharpenedOrder, sharpen_order
from properties.sharpen_search import Effort, Sharpened, serial, sharpen
from properties.sharpen_steps import LongerSteps, longer_steps
from properties.store import save, write_atomically
from properties.trial import Profile
from properties.trial import serial as serial_work
from properties.verdict import SETTLED, Counterexample
from ratecheck.command import IS_FALSIFIED, NOT_SETTLED, OK, Unusable, reproduce_line
from ratecheck.engine import in_processes, workers
from ratecheck.sharpen_words import comments, described, print_order, print_pointwise
from ratecheck.versions import versions

SCHEMA = "ratecheck/sharpen/1"
#: Seconds of the hunt, where no budget is given.
DEFAULT_BUDGET = 30.0
_EXAMPLES, _STEPS = 300, 1_000
_LONG_EXAMPLES, _LONG_STEPS, _LEAST_LONG = 48, 2**14, 2**10
_MOST_STEPS = 1_000_000


@dataclass(frozen=True)
class Request:
    """What is asked; `checked` makes one from the options of the command line."""

    theorem: Theorem
    effort: Effort

    @classmethod
    def checked(
        cls,
        theorem: Theorem,
        budget: float | None,
        evaluations: int | None,
        examples: int | None,
        steps: int | None,
        seed: int,
        workers_: int | None,
    ) -> Request:
        """Validate the options.  Raises `Unusable`, naming the option and the fix."""
        if theorem.kind not in ("pointwise", "order"):
            raise Unusable(
                f"{theorem.id} is a {theorem.kind} claim, without a constant or an exponent: sharpen a pointwise "
                "theorem or an order"
            )
        long = theorem.kind == "order"
        least = _LEAST_LONG if long else 2
        for option, value, low, most in (
            ("--evaluations", evaluations, 1, 10_000_000),
            ("--examples", examples, 1, 1_000_000),
            ("--steps", steps, least, _MOST_STEPS),
            ("--workers", workers_, 1, 1024),
        ):
            if value is not None and not low <= value <= most:
                raise Unusable(f"{option} {value}: give a number from {low} to {most}")
        if budget is not None and not 0.0 <= budget < math.inf:
            raise Unusable(f"--budget {budget}: give a number of seconds, 0 for no hunt")
        if seed < 0:
            raise Unusable(f"--seed {seed}: give a number that is not negative")
        if budget is None and evaluations is None:
            budget = DEFAULT_BUDGET
        count = workers_ or workers()
        effort = Effort(
            examples or (_LONG_EXAMPLES if long else _EXAMPLES),
            steps or (_LONG_STEPS if long else _STEPS),
            seed,
            Budget(evaluations, budget),
            serial if count == 1 else in_processes,
            serial_shares if count == 1 else in_processes,
            count,
        )
        return cls(theorem, effort)


@dataclass
class Outcome:
    """What was found, and where it was written."""

    request: Request
    pointwise: Sharpened | None = None
    order: SharpenedOrder | None = None
    steps: LongerSteps | None = None
    counterexample: str | None = None
    reproduce: str | None = None
    output: str | None = None
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())

    @property
    def falsified(self) -> Counterexample | None:
        """What convicted the theorem itself on the way."""
        return None if self.pointwise is None else self.pointwise.seen.body.counterexample

    @property
    def exit_code(self) -> int:
        """1 if the theorem itself was falsified, 3 if nothing applied or an order is not settled, else 0."""
        if self.falsified is not None:
            return IS_FALSIFIED
        if self.order is not None:
            return OK if self.order.seen.verdict in SETTLED else NOT_SETTLED
        return OK if self.pointwise is not None and self.pointwise.points else NOT_SETTLED

    @property
    def claims(self) -> list[tuple[Theorem, str]]:
        """The sharper claims with the evidence for each, as a comment; none if the theorem itself fell."""
        return [] if self.falsified is not None else comments(self)

    @property
    def source(self) -> str | None:
        """The sharper claims as a theorem file; None if there are none.

        Raises
        ------
        Unusable
            If the theorem cannot be written as Python that says the same.
        """
        claims = self.claims
        if not claims:
            return None
        try:
            text = module_source(claims, f"Sharper forms of {self.request.theorem.id}: conjectures, not proved.")
        except Unwritable as error:
            raise Unusable(f"the sharper claims cannot be written: {error}") from None
        _check(text, [theorem for theorem, _ in claims])
        return text

    def write(self, path: Path) -> None:
        """Write the theorem file, if anything is sharper.  Raises `StoreError` if that fails."""
        text = self.source
        if text is not None:
            write_atomically(path, text)
            self.output = str(path)

    def print(self, console: Console) -> None:
        """The result for a person."""
        if self.order is not None:
            print_order(self, self.order, console)
        elif self.pointwise is not None:
            print_pointwise(self, self.pointwise, console)
        if self.reproduce is not None:
            console.print(f"replay: {self.reproduce}", highlight=False, markup=False, soft_wrap=True)
        if self.output is not None:
            line = f"written: {self.output}; put it on trial with `ratecheck verify --file {self.output}`"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        elif self.source is not None:
            console.print(f"\n{self.source}", highlight=False, markup=False, soft_wrap=True)

    def as_json(self) -> dict[str, Any]:
        """The result for a program, schema ratecheck/sharpen/1."""
        theorem, effort = self.request.theorem, self.request.effort
        return {
            "schema": SCHEMA,
            "id": theorem.id,
            "fingerprint": theorem.fingerprint,
            "kind": theorem.kind,
            "statement": theorem.statement,
            **described(self),
            "source": self.source,
            "output": self.output,
            "falsified": self.falsified is not None,
            "counterexample": self.counterexample,
            "reproduce": self.reproduce,
            "examples": effort.examples,
            "steps": effort.steps,
            "seed": effort.seed,
            "date": self.date,
            "versions": versions(),
        }


def run_sharpen(
    request: Request, console: Console, file: Path | None, folder: Path, counterexamples: Path
) -> Outcome:
    """Sharpen a theorem; progress is shown on ``console``.

    A conviction of the theorem itself is kept in ``counterexamples``.  ``folder`` is the corpus.
    """
    theorem, effort = request.theorem, request.effort
    known = corpus.load(theorem, folder)
    for line in known.damaged:
        sys.stderr.write(f"ratecheck: {line}\n")
    instances = [entry.instance for entry in known.entries]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    outcome = Outcome(request)
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def seen(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        if theorem.kind == "order":
            execute = serial_work if effort.workers == 1 else in_processes
            outcome.order = sharpen_order(theorem, effort, instances, execute, seen)
            return outcome
        outcome.pointwise = sharpen(theorem, effort, instances, seen)
        if outcome.falsified is None:
            profile = Profile(effort.examples, effort.steps)
            outcome.steps = longer_steps(
                theorem, profile, effort.seed, lambda done, total: seen("longer steps", done, total)
            )
    if outcome.falsified is not None:
        path = save(outcome.falsified, counterexamples, versions())
        outcome.counterexample = str(path)
        outcome.reproduce = reproduce_line(path, file)
    return outcome


def _check(text: str, theorems: Sequence[Theorem]) -> None:
    """Load what is about to be written, and compare it with what it is to say."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sharper.py"
        path.write_text(text, encoding="utf-8")
        loaded = load_file(path)
    if [theorem.canonical() for theorem in loaded] != [theorem.canonical() for theorem in theorems]:
        raise Unusable("the sharper claims cannot be written: read back, they would say something else")
