"""The power of the trial: how many mutants of a theorem it convicts, and which hypotheses it sees to be needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bounds import Theorem
from bounds.mutants import CONSTANT, HYPOTHESIS, Mutant, breed, short_name
from properties.trial import MAX_ROUNDS, Profile, Unit, aimed_at, plan, run_unit
from properties.verdict import Counterexample, PointwiseEvidence
from properties.wording import extent

#: Where a hypothesis fails a claim may still hold nearly always: without one, so many times as much is tried.
WITHOUT = 4
KILLED, SURVIVED, UNDECIDED, NEVER = "killed", "survived", "undecided", "never applicable"
#: What the trial of a claim without one of its hypotheses says about that hypothesis.
NEEDED, NOT_SEEN, OPEN = "needed", "not seen to be needed", "undecided"


def search(theorems: Sequence[Theorem], profile: Profile, seed: int) -> dict[str, PointwiseEvidence]:
    """Judge pointwise theorems, each until it is convicted, on instances that those of one setting share.

    Parameters
    ----------
    theorems, profile, seed
        As for `properties.trial.hold_trial`; units are the same, in the same order.

    Returns
    -------
    dict
        Evidence by theorem id.  What is convicted has a certified counterexample, not made smaller.
    """
    evidence = {theorem.id: PointwiseEvidence(theorem) for theorem in theorems}

    def unbroken(candidates: Sequence[Theorem]) -> tuple[Theorem, ...]:
        return tuple(theorem for theorem in candidates if evidence[theorem.id].counterexample is None)

    for round_ in range(MAX_ROUNDS):
        left = unbroken(theorems)
        missing = {x.id: aimed_at(x, profile) - evidence[x.id].applicable for x in left}
        for unit in plan(left, profile, seed, round_, missing):
            assert isinstance(unit, Unit)
            wanted = unbroken(unit.theorems)
            if wanted:
                for body in run_unit(replace(unit, theorems=wanted)):
                    evidence[body.theorem.id].merge(body)  # type: ignore[arg-type]
    return evidence


@dataclass(frozen=True)
class Trial:
    """What became of one mutant.

    Attributes
    ----------
    mutant : Mutant
    outcome : str
        ``killed``: convicted, with a certificate; ``survived``; ``undecided``: suspected, and balls did not
        decide within their budget; ``never applicable``.
    applicable : int
        Instances judged.
    ratio : float or None
        The largest ratio of the smaller to the larger side that was seen; above 1 is a violation.
    counterexample : Counterexample or None
    """

    mutant: Mutant
    outcome: str
    applicable: int
    ratio: float | None
    counterexample: Counterexample | None

    @classmethod
    def of(cls, mutant: Mutant, body: PointwiseEvidence) -> Trial:
        """Read off a body of evidence."""
        if body.counterexample is not None:
            outcome = KILLED
        elif not body.applicable:
            outcome = NEVER
        else:
            outcome = UNDECIDED if body.suspected else SURVIVED
        return cls(mutant, outcome, body.applicable, body.worst_ratio, body.counterexample)

    @property
    def hypothesis(self) -> str:
        """The short name of the hypothesis that was dropped; empty for a changed claim."""
        return "" if self.mutant.dropped is None else short_name(self.mutant.dropped)

    @property
    def necessity(self) -> str:
        """Whether the dropped hypothesis is needed: it is if the claim without it was convicted."""
        return {KILLED: NEEDED, UNDECIDED: OPEN}.get(self.outcome, NOT_SEEN)

    @property
    def seen(self) -> str:
        """The size of the counterexample, or how many instances gave none."""
        found = self.counterexample
        if found is None:
            return f"none among {self.applicable} instances"
        return f"{extent(found.instance.dataset)}, step {found.step}, certified at {found.precision} bits"


@dataclass
class Power:
    """How the mutants of one theorem fared.

    Attributes
    ----------
    theorem : Theorem
    trials : list of Trial
    skipped : Counter
        Mutants that were not tried, by reason.
    original : PointwiseEvidence
        The theorem itself under the same budget: its largest ratio is the measured slack, and it should not be
        convicted.
    """

    theorem: Theorem
    trials: list[Trial] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    original: PointwiseEvidence = field(init=False)

    def __post_init__(self) -> None:
        self.original = PointwiseEvidence(self.theorem)

    @property
    def of_claim(self) -> list[Trial]:
        """Trials of changed claims."""
        return [trial for trial in self.trials if trial.mutant.kind != HYPOTHESIS]

    @property
    def of_hypotheses(self) -> list[Trial]:
        """Trials without a hypothesis."""
        return [trial for trial in self.trials if trial.mutant.kind == HYPOTHESIS]

    @property
    def needed(self) -> list[str]:
        """Hypotheses without which the claim was convicted, by their short names."""
        return [trial.hypothesis for trial in self.of_hypotheses if trial.necessity == NEEDED]

    @property
    def share_killed(self) -> float | None:
        """Killed mutants of the claim among those tried."""
        tried = self.of_claim
        return sum(trial.outcome == KILLED for trial in tried) / len(tried) if tried else None

    @property
    def stands(self) -> str:
        """The strongest change of the constant that survived; mutants come with the strongest first."""
        constants = [trial for trial in self.of_claim if trial.mutant.kind == CONSTANT]
        return next((trial.mutant.change for trial in constants if trial.outcome == SURVIVED), "–")

    @property
    def slack(self) -> float | None:
        """By what factor the larger side exceeded the smaller one at least: 1 is equality."""
        ratio = self.original.worst_ratio
        return None if ratio is None or ratio <= 0.0 else 1.0 / ratio


@dataclass(frozen=True)
class PowerUnit:
    """One theorem, whose mutants are tried under one budget."""

    theorem: Theorem
    profile: Profile
    seed: int


def measure_power(unit: PowerUnit) -> Power:
    """Breed the mutants of one theorem and try them all, with the theorem itself among them."""
    brood = breed(unit.theorem)
    power = Power(unit.theorem, skipped=brood.skipped)
    whole = replace(unit.profile, examples=WITHOUT * unit.profile.examples)
    weaker = [mutant.theorem for mutant in brood.mutants if mutant.dropped is not None]
    claims = [unit.theorem, *(mutant.theorem for mutant in brood.mutants if mutant.dropped is None)]
    found = search(claims, unit.profile, unit.seed) | search(weaker, whole, unit.seed)
    power.original = found[unit.theorem.id]
    power.trials = [Trial.of(mutant, found[mutant.theorem.id]) for mutant in brood.mutants]
    return power
