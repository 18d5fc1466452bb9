"""The main job: a trial, what it found, and where that is kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bounds import Theorem
from models.digits import digit_datasets
from properties.digits import DigitSummary, DigitUnit, merge_digits, run_digits
from properties.evidence import evidence_for
from properties.store import StoreError, save
from properties.trial import PROFILES, Profile, hold_trial
from properties.verdict import FALSIFIED, SETTLED, Evidence, Verdict
from ratecheck.cli import INTERRUPTED, IS_FALSIFIED, NOT_SETTLED, OK, Unusable, reproduce_line
from ratecheck.engine import in_processes
from ratecheck.terminal import print_verdicts
from ratecheck.versions import versions

MAX_STEPS = 10_000_000


@dataclass(frozen=True)
class Request:
    """What is asked of a trial.

    ``named`` says that the theorems were asked for one by one, so that each must get a verdict even if real
    data never meet its hypotheses.
    """

    theorems: tuple[Theorem, ...]
    name: str
    profile: Profile
    seed: int
    data: str
    named: bool

    @classmethod
    def checked(
        cls,
        theorems: Sequence[Theorem],
        profile: str,
        examples: int | None,
        steps: int | None,
        seed: int,
        data: str,
        named: bool,
    ) -> Request:
        """Validate the options.  Raises `Unusable`, naming the option and the fix."""
        if profile not in PROFILES:
            raise Unusable(f"--profile {profile}: choose one of {', '.join(PROFILES)}")
        if data not in ("random", "digits"):
            raise Unusable(f"--data {data}: choose random or digits")
        if examples is not None and not 1 <= examples <= 1_000_000:
            raise Unusable(f"--examples {examples}: give a number from 1 to 1000000")
        if steps is not None and not 1 <= steps <= MAX_STEPS:
            raise Unusable(f"--steps {steps}: give a number from 1 to {MAX_STEPS}")
        if seed < 0:
            raise Unusable(f"--seed {seed}: give a number that is not negative")
        base = PROFILES[profile]
        chosen = Profile(
            examples or base.examples,
            steps or base.steps,
            min(examples or base.long_examples, base.long_examples),
            base.long_steps,
        )
        return cls(tuple(theorems), profile, chosen, seed, data, named)


@dataclass
class Outcome:
    """Verdicts, counterexample files and how to replay them."""

    request: Request
    verdicts: list[Verdict]
    paths: dict[str, str] = field(default_factory=dict)
    reproduce: dict[str, str] = field(default_factory=dict)
    digits: DigitSummary | None = None
    left_out: list[Theorem] = field(default_factory=list)
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """1 if something is falsified, 130 if interrupted, 3 if something is not settled, else 0."""
        names = {verdict.name for verdict in self.verdicts}
        if FALSIFIED in names:
            return IS_FALSIFIED
        if self.interrupted:
            return INTERRUPTED
        return OK if names <= set(SETTLED) else NOT_SETTLED

    def print(self, console: Console) -> None:
        """The verdicts for a person."""
        print_verdicts(console, self.verdicts, self.reproduce)
        if self.digits is not None:
            for sentence in self.digits.sentences:
                console.print(sentence, highlight=False)
        if self.left_out:
            console.print(
                f"{len(self.left_out)} theorems do not speak about these data, whose hypotheses never hold: "
                + ", ".join(theorem.id for theorem in self.left_out),
                highlight=False,
            )
        if self.interrupted:
            console.print("Interrupted: the verdicts rest on what was judged until then.")

    def as_json(self) -> dict[str, Any]:
        """The result for a program, schema ratecheck/verify/1."""
        from reports.summary import as_json

        result = as_json(
            self.verdicts,
            seed=self.request.seed,
            versions=versions(),
            counterexamples=self.paths,
            reproduce=self.reproduce,
        )
        if self.digits is not None:
            result["data"] = {"source": "digits", "summary": self.digits.sentences}
            result["not_applicable"] = [theorem.id for theorem in self.left_out]
        if self.interrupted:
            result["interrupted"] = True
        return result

    def write_report(self, path: Path, date: str) -> None:
        """The HTML report, with the pages on the paper where all of its theorems were judged on random data."""
        from properties.paper import paper_page
        from reports.html import write_report

        whole = self.digits is None and not self.request.named
        evidence = [verdict.evidence for verdict in self.verdicts]
        write_report(
            self.verdicts,
            path,
            profile=self.request.name,
            seed=self.request.seed,
            versions=versions(),
            date=date,
            source=" ".join(self.digits.sentences) if self.digits else "random separable token datasets",
            reproduce=self.reproduce,
            paper=paper_page(evidence, self.request.seed) if whole else None,
        )


def run_trial(request: Request, console: Console, file: Path | None, directory: Path) -> Outcome:
    """Hold the trial and keep its counterexamples; progress is shown on ``console``.

    An interrupt ends the trial early, with verdicts on what has been judged.
    """
    evidence = {theorem.id: evidence_for(theorem) for theorem in request.theorems}
    outcome = Outcome(request, [])
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    try:
        with bar:
            if request.data == "digits":
                outcome.digits = _digits(request, evidence, bar)
            else:
                _random(request, evidence, bar)
    except KeyboardInterrupt:
        outcome.interrupted = True
    bodies = list(evidence.values())
    if request.data == "digits" and not request.named:
        outcome.left_out = [body.theorem for body in bodies if not body.applicable]
        bodies = [body for body in bodies if body.applicable]
    outcome.verdicts = [Verdict(body) for body in bodies]
    for body in bodies:
        if body.counterexample is not None:
            try:
                path = save(body.counterexample, directory, versions())
            except StoreError as error:
                sys.stderr.write(
                    f"ratecheck: {error}; the counterexample of {body.theorem.id} is in --json only\n"
                )
                continue
            outcome.paths[body.theorem.id] = str(path)
            outcome.reproduce[body.theorem.id] = reproduce_line(path, file)
    return outcome


def _random(request: Request, evidence: dict[str, Evidence], bar: Progress) -> None:
    task = bar.add_task("trial", total=None)
    hold_trial(
        evidence,
        request.profile,
        request.seed,
        in_processes,
        lambda done, total: bar.update(task, completed=done, total=total),
    )


def _digits(request: Request, evidence: dict[str, Evidence], bar: Progress) -> DigitSummary:
    task = bar.add_task("digits", total=None)
    units = [DigitUnit(request.theorems, digits, request.profile) for digits in digit_datasets()]
    bar.update(task, total=len(units))
    total = DigitSummary()
    for result in in_processes(run_digits, units):
        merge_digits(evidence, total, result)
        bar.advance(task)
    return total
