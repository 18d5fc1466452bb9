"""The main job: a trial, what it found, and where that is kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bounds import Theorem
from models.digits import digit_datasets
from properties import corpus
from properties.digits import DigitSummary, DigitUnit, merge_digits, run_digits
from properties.evidence import evidence_for
from properties.kept import DAMAGED, Kept, judge_kept, take_up
from properties.power import Power
from properties.store import StoreError, path_of, save
from properties.trial import PROFILES, Profile, hold_trial
from properties.verdict import CONFIRMED, FALSIFIED, SETTLED, Counterexample, Evidence, Verdict
from ratecheck.command import INTERRUPTED, IS_FALSIFIED, NOT_SETTLED, OK, Unusable, reproduce_line
from ratecheck.engine import in_processes
from ratecheck.hardest import save_hardest
from ratecheck.power import PowerOutcome, run_power
from ratecheck.terminal import print_kept, print_verdicts
from ratecheck.versions import machine, versions

MAX_STEPS = 10_000_000


@dataclass(frozen=True)
class Request:
    """What is asked of a trial.

    ``named`` says that the theorems were asked for one by one, so that each must get a verdict even if real
    data never meet its hypotheses.  ``power`` is how many instances each mutant of a theorem is tried on, None
    for no mutants.
    """

    theorems: tuple[Theorem, ...]
    name: str
    profile: Profile
    seed: int
    data: str
    named: bool
    power: int | None = None

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
        power: int | None = None,
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
        if power is not None and not 1 <= power <= 1_000_000:
            raise Unusable(f"--power {power}: give a number of instances from 1 to 1000000")
        base = PROFILES[profile]
        chosen = Profile(
            examples or base.examples,
            steps or base.steps,
            min(examples or base.long_examples, base.long_examples),
            base.long_steps,
        )
        return cls(tuple(theorems), profile, chosen, seed, data, named, power)


@dataclass
class Outcome:
    """Verdicts, counterexample files and how to replay them; ``file`` holds the user's own theorems."""

    request: Request
    verdicts: list[Verdict]
    file: Path | None = None
    paths: dict[str, str] = field(default_factory=dict)
    reproduce: dict[str, str] = field(default_factory=dict)
    digits: DigitSummary | None = None
    left_out: list[Theorem] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    power: PowerOutcome | None = None
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """1 if something is falsified, 130 if interrupted, 3 if something is not settled, else 0."""
        names = {verdict.name for verdict in self.verdicts}
        if FALSIFIED in names or (self.power is not None and self.power.discoveries):
            return IS_FALSIFIED
        if self.interrupted:
            return INTERRUPTED
        return OK if names <= set(SETTLED) else NOT_SETTLED

    def print(self, console: Console) -> None:
        """The verdicts for a person."""
        print_verdicts(console, self.verdicts, self.reproduce)
        print_kept(console, self.kept)
        if self.power is not None:
            self.power.print_summary(console)
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

    @property
    def powers(self) -> dict[str, Power]:
        """How the mutants of each theorem fared, by its id; empty if they were not tried."""
        return {} if self.power is None else {power.theorem.id: power for power in self.power.powers}

    def provenance(self, date: str, command: str) -> dict[str, Any]:
        """How the result came about; ``command`` is the line that asked for it."""
        return {
            "date": date,
            "command": command,
            "profile": self.request.name,
            "machine": machine(),
            "seconds": round(self.seconds, 1),
        }

    def as_json(self, provenance: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The result for a program, schema ratecheck/verify/1."""
        from reports.summary import as_json

        result = as_json(
            self.verdicts,
            seed=self.request.seed,
            versions=versions(),
            counterexamples=self.paths,
            reproduce=self.reproduce,
            powers=self.powers,
            provenance=provenance,
        )
        result["kept"] = [one.to_json() for one in self.kept]
        if self.digits is not None:
            result["data"] = {"source": "digits", "summary": self.digits.sentences}
            result["not_applicable"] = [theorem.id for theorem in self.left_out]
        if self.interrupted:
            result["interrupted"] = True
        return result

    def write_report(self, path: Path, provenance: Mapping[str, Any]) -> None:
        """The HTML report, with the pages on the paper where all of its theorems were judged on random data.

        The hardest instances are written beside it, into the folder ``<name of the report>-instances``.
        """
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
            date=provenance["date"],
            source=" ".join(self.digits.sentences) if self.digits else "random separable token datasets",
            reproduce=self.reproduce,
            hardest=save_hardest(self.verdicts, path.with_name(f"{path.stem}-instances"), self.file),
            powers=self.powers,
            paper=paper_page(evidence, self.request.seed) if whole else None,
            circumstances={
                "Command": provenance["command"],
                "Time": f"{provenance['seconds']:,} s",
                "Machine": provenance["machine"],
            },
            result=self.as_json(provenance),
        )


class _Keeper:
    """Writes counterexamples as soon as they are certified, and replaces its own by smaller ones."""

    def __init__(self, directory: Path, file: Path | None, outcome: Outcome) -> None:
        self._directory, self._file, self._outcome = directory, file, outcome
        self._done: dict[str, Counterexample] = {}
        self._own: dict[str, Path] = {}

    def known(self, kept: dict[str, Kept]) -> None:
        """Take files of earlier trials as written."""
        for id, one in kept.items():
            if one.counterexample is not None:
                self._done[id] = one.counterexample
                self._name(id, one.path)

    def keep(self, evidence: Iterable[Evidence]) -> None:
        """Write what is new."""
        for body in evidence:
            found, id = body.counterexample, body.theorem.id
            if found is None or self._done.get(id) is found:
                continue
            self._done[id] = found
            try:
                there = path_of(found, self._directory).exists()
                path = save(found, self._directory, versions())
            except StoreError as error:
                sys.stderr.write(f"ratecheck: {error}; the counterexample of {id} is in --json only\n")
                continue
            self._name(id, path)
            superseded = self._own.pop(id, None)
            if superseded is not None and superseded != path:
                superseded.unlink(missing_ok=True)
            if not there:
                self._own[id] = path

    def _name(self, id: str, path: Path) -> None:
        self._outcome.paths[id] = str(path)
        self._outcome.reproduce[id] = reproduce_line(path, self._file)


def run_trial(
    request: Request,
    console: Console,
    file: Path | None,
    directory: Path,
    kept: bool = True,
    hardest: Path | None = None,
) -> Outcome:
    """Judge the counterexamples kept in ``directory``, hold the trial and keep what it finds there.

    ``hardest`` is a corpus of hard instances (see `ratecheck hunt`), on which theorems are judged as well.

    Every counterexample is on disk before anything is printed of it.  Progress is shown on ``console``.  An
    interrupt ends the trial early, with verdicts on what has been judged.
    """
    started = time.monotonic()
    evidence = {theorem.id: evidence_for(theorem) for theorem in request.theorems}
    outcome = Outcome(request, [], file)
    keeper = _Keeper(directory, file, outcome)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    try:
        if kept:
            for one in judge_kept(directory, request.theorems):
                outcome.kept.append(one)
                if one.outcome == DAMAGED:
                    sys.stderr.write(f"ratecheck: {one.message}; passed over\n")
            keeper.known(take_up(outcome.kept, evidence))
        if hardest is not None and hardest.is_dir() and request.data == "random":
            for body in evidence.values():
                for line in corpus.feed(body, hardest, request.seed):
                    sys.stderr.write(f"ratecheck: {line}\n")
        with bar:
            if request.data == "digits":
                outcome.digits = _digits(request, evidence, bar, keeper)
            else:
                _random(request, evidence, bar, keeper)
    except KeyboardInterrupt:
        outcome.interrupted = True
    keeper.keep(evidence.values())
    bodies = list(evidence.values())
    if request.data == "digits" and not request.named:
        outcome.left_out = [body.theorem for body in bodies if not _spoken_of(body)]
        bodies = [body for body in bodies if _spoken_of(body)]
    outcome.verdicts = [Verdict(body) for body in bodies]
    if request.power is not None and not outcome.interrupted:
        try:
            outcome.power = _power(outcome, request.power, console)
        except KeyboardInterrupt:
            outcome.interrupted = True
    outcome.seconds = time.monotonic() - started
    return outcome


def _power(outcome: Outcome, budget: int, console: Console) -> PowerOutcome | None:
    """Mutants of the inequalities that stand; those of a false or an empty claim would say nothing."""
    standing = [v.theorem for v in outcome.verdicts if v.theorem.kind == "pointwise" and v.name == CONFIRMED]
    return run_power(standing, budget, outcome.request.seed, console) if standing else None


def _spoken_of(body: Evidence) -> bool:
    return bool(body.applicable) or body.counterexample is not None


def _random(request: Request, evidence: dict[str, Evidence], bar: Progress, keeper: _Keeper) -> None:
    task = bar.add_task("trial", total=None)

    def seen(done: int, total: int) -> None:
        keeper.keep(evidence.values())
        bar.update(task, completed=done, total=total)

    hold_trial(evidence, request.profile, request.seed, in_processes, seen)


def _digits(request: Request, evidence: dict[str, Evidence], bar: Progress, keeper: _Keeper) -> DigitSummary:
    task = bar.add_task("digits", total=None)
    units = [DigitUnit(request.theorems, digits, request.profile) for digits in digit_datasets()]
    bar.update(task, total=len(units))
    total = DigitSummary()
    for result in in_processes(run_digits, units):
        merge_digits(evidence, total, result)
        keeper.keep(evidence.values())
        bar.advance(task)
    return total
