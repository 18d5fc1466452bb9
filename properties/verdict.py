"""Evidence about one theorem over many instances, and the verdict it supports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from bounds import Theorem
from bounds.display import Displayed
from models.instance import Instance
from properties.certify import Finding
from properties.judge import HOLDS, NOT_APPLICABLE, UNDECIDED, VACUOUS, Curve, Judgement
from properties.wording import counted, extent, tightness

FALSIFIED, CONFIRMED, VACUOUS_VERDICT, INCONCLUSIVE = "falsified", "confirmed", "vacuous", "inconclusive"
#: The words of claims that no finite run can falsify or confirm.
CONSISTENT, EVIDENCE_AGAINST = "consistent", "evidence against"
#: Verdicts after which nothing is left open.
SETTLED = (CONFIRMED, CONSISTENT)
_CURVES = 150  # runs kept for drawing, a theorem
_HARDEST = 3  # runs kept that came nearest to breaking a theorem


@dataclass(frozen=True, eq=False)
class JudgedRun:
    """One judged run, kept for the report: where it came from and both sides along it."""

    source: str
    instance: Instance
    log_ratio: float
    step: int
    curve: Curve | None


@dataclass(frozen=True, slots=True)
class Case:
    """One judged instance in a few numbers: what it was like, and the largest ratio of the sides.

    Attributes
    ----------
    source, rule, loss : str
        Family, step rule and loss, empty where the system has no choice of one, as joint training has no rule.
    n, T, d : int
        1 where the data have no such size.
    gamma, eta : float or None
        The max-margin γ, where the tokens are separable, and the step size η (W's first step length in joint
        training), where the rule has one.
    log_ratio : float
        Largest log10(smaller side/larger side); −∞ where the signs settle the claim at every step.
    step : int
        Where it is attained.
    instance : str
        The instance's id.
    """

    source: str
    rule: str
    loss: str
    n: int
    T: int
    d: int
    gamma: float | None
    eta: float | None
    log_ratio: float
    step: int
    instance: str

    @classmethod
    def of(cls, source: str, instance: Any, gamma: float | None, judgement: Judgement) -> Case:
        """The case of an instance of any system."""
        data, run = instance.dataset, instance.run
        rule, eta = getattr(run, "rule", ""), getattr(run, "eta", getattr(run, "eta_W", None))
        size = (getattr(data, "n", data.N), getattr(data, "T", 1), getattr(data, "d", 1))
        worst = (judgement.worst_log_ratio, judgement.worst_step)
        return cls(source, rule, getattr(run, "loss", ""), *size, gamma, eta, *worst, instance.id)


@dataclass(frozen=True, eq=False)
class Counterexample:
    """A certified violation: the instance, the step, and enclosures of both sides.

    ``onset`` is the step t0 from which accumulated observables run, None if the claim has none.
    """

    theorem: Theorem
    instance: Instance
    step: int
    onset: int | None
    precision: int
    small: str
    large: str

    def to_json(self) -> dict[str, Any]:
        """The certificate: the instance, and what was found on it."""
        return {
            "instance": self.instance.to_json(),
            "step": self.step,
            "onset": self.onset,
            "claimed_smaller_side": self.small,
            "claimed_larger_side": self.large,
            "precision_bits": self.precision,
        }


@dataclass(eq=False)
class Evidence(ABC):
    """What has been seen of one theorem, whatever its kind.  Two bodies of evidence add up with `merge`.

    Attributes
    ----------
    instances : int
        Instances looked at (draws, for a probability claim).
    outcomes, reasons, sources : Counter
        Instances by outcome; why those that do not apply do not; applicable ones by family.
    steps, last_step : int
        Steps judged, and the last one of them.
    certified : int
        Instances with a step decided in ball arithmetic, in agreement.
    broken : list
        Family and seed of convictions.
    """

    theorem: Theorem
    instances: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    last_step: int = 0
    certified: int = 0
    counterexample: Counterexample | None = None
    broken: list[tuple[str, int]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def applicable(self) -> int:
        """Instances on which every assumption holds and something is judged."""
        return self.instances - self.outcomes[NOT_APPLICABLE]

    @property
    @abstractmethod
    def verdict(self) -> str:
        """The verdict in one or two words."""

    @property
    @abstractmethod
    def sentence(self) -> str:
        """The verdict in a sentence, with its scope and without a full stop."""

    @property
    @abstractmethod
    def measured(self) -> str:
        """What was measured, in a few characters, for tables."""

    def details(self) -> Mapping[str, Any]:
        """What the kind adds to the JSON result; numbers are finite."""
        return {}

    def pass_over(self, reason: str) -> None:
        """Count an instance that the theorem does not speak about."""
        self.instances += 1
        self.outcomes[NOT_APPLICABLE] += 1
        self.reasons[reason] += 1

    def merge(self, other: Self) -> None:
        """Add evidence from another worker."""
        self.instances += other.instances
        self.outcomes += other.outcomes
        self.reasons += other.reasons
        self.sources += other.sources
        self.steps += other.steps
        self.last_step = max(self.last_step, other.last_step)
        self.certified += other.certified
        self.broken += other.broken
        self.seconds += other.seconds
        if self.counterexample is None:
            self.counterexample = other.counterexample

    def why_vacuous(self) -> str:
        """The sentence of a theorem whose hypotheses were never met."""
        why = f": {self.reasons.most_common(1)[0][0]}" if self.reasons else ""
        return f"Says nothing here: its hypotheses held on none of {self.instances:,} instances{why}"


@dataclass(eq=False)
class PointwiseEvidence(Evidence):
    """What has been seen of an inequality claimed at every step.

    Attributes
    ----------
    informative, within_budget : int
        Steps on which the bound says more than what is trivially true, and steps that float64 left undecided.
    tight : int
        Instances with a step whose two sides agree to 200 bits.
    suspected : list
        Instances and steps that ball arithmetic did not decide either.
    cases : list
        Every applicable instance in a few numbers.
    hardest, runs : list
        The distinct runs with the largest ratios of the sides, the largest first, and runs kept for drawing.
    worst_counterexample : Counterexample or None
        Of a falsified claim: the step of that largest ratio, where it is certified to violate the claim.
    """

    informative: int = 0
    within_budget: int = 0
    tight: int = 0
    suspected: list[tuple[Instance, int]] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    hardest: list[JudgedRun] = field(default_factory=list)
    runs: list[JudgedRun] = field(default_factory=list)
    worst_counterexample: Counterexample | None = None

    def add(
        self,
        source: str,
        instance: Instance,
        judgement: Judgement,
        findings: list[Finding],
        gamma: float | None = None,
    ) -> None:
        """Count one judged instance.

        Parameters
        ----------
        findings
            What the certified tier said of its suspects.
        gamma : float, optional
            The max-margin γ, if the tokens are separable.
        """
        if judgement.outcome == NOT_APPLICABLE:
            self.pass_over(judgement.reason)
            return
        self.instances += 1
        outcome = judgement.outcome
        said = {finding.outcome for finding in findings}
        if "violated" in said:
            outcome = "violated"
        elif UNDECIDED in said:
            self.suspected.append((instance, judgement.suspects[0]))
        elif findings:  # the certified tier cleared every suspect
            outcome = HOLDS if judgement.informative else VACUOUS
        if findings and UNDECIDED not in said:
            self.certified += 1
            self.tight += "tight" in said
        self.outcomes[outcome] += 1
        self.sources[source] += 1
        self.steps += judgement.steps
        self.informative += judgement.informative
        self.within_budget += judgement.undecided
        self.last_step = max(self.last_step, judgement.last_step)
        self.cases.append(Case.of(source, instance, gamma, judgement))
        run = JudgedRun(source, instance, judgement.worst_log_ratio, judgement.worst_step, judgement.curve)
        if len(self.hardest) < _HARDEST or run.log_ratio > self.hardest[-1].log_ratio:
            self.hardest = _hardest([*self.hardest, run])
        if len(self.runs) < _CURVES:
            self.runs.append(run)

    def merge(self, other: Self) -> None:
        super().merge(other)
        self.informative += other.informative
        self.within_budget += other.within_budget
        self.tight += other.tight
        self.suspected += other.suspected
        self.cases += other.cases
        self.hardest = _hardest([*self.hardest, *other.hardest])
        self.runs = (self.runs + other.runs)[:_CURVES]

    @property
    def worst(self) -> JudgedRun | None:
        """The run with the largest ratio of the sides."""
        return self.hardest[0] if self.hardest else None

    @property
    def verdict(self) -> str:
        if self.counterexample is not None:
            return FALSIFIED
        if self.suspected or self.outcomes["violated"] or self.outcomes[UNDECIDED]:
            return INCONCLUSIVE
        if not self.outcomes[HOLDS]:
            return VACUOUS_VERDICT
        return CONFIRMED

    @property
    def worst_ratio(self) -> float | None:
        """Largest ratio of the claim's smaller to its larger side; above 1 is a violation (inf if too large)."""
        if self.worst is None:
            return None
        with np.errstate(over="ignore"):
            return float(10.0 ** min(self.worst.log_ratio, 400.0)) if self.worst.log_ratio < 308 else float("inf")

    def details(self) -> Mapping[str, Any]:
        worst = self.worst_counterexample
        return {} if worst is None else {"worst_counterexample": worst.to_json()}

    @property
    def informative_share(self) -> float | None:
        """Share of judged steps on which the bound says more than what is trivially true."""
        return self.informative / self.steps if self.steps else None

    @property
    def measured(self) -> str:
        ratio = self.worst_ratio
        if ratio is None:
            return "–"
        # Ratios within 1e-6 below 1 are not rounded up to it.
        return f"ratio 1 − {1 - ratio:.0e}" if 0 < 1 - ratio < 1e-6 else f"ratio {ratio:.3g}"

    @property
    def sentence(self) -> str:
        if self.verdict == FALSIFIED:
            assert self.counterexample is not None
            size = extent(self.counterexample.instance.dataset)
            return f"False: broken at step {self.counterexample.step:,} of a run on {size}, certified"
        scope = f"{counted(self.applicable, 'dataset')} up to step {self.last_step:,}"
        if self.verdict == VACUOUS_VERDICT:
            if not self.applicable:
                return self.why_vacuous()
            return f"Says nothing here: on {scope} the bound is never better than what is trivially true"
        if self.verdict == INCONCLUSIVE:
            count = len(self.suspected)
            return f"Suspected on {count:,} of {scope}; ball arithmetic did not decide within its budget"
        certified = f"{self.certified:,}" if self.certified else "none"
        return f"No counterexample among {scope}, {certified} of them certified{self._tightest}"

    @property
    def _tightest(self) -> str:
        """How near the claim comes to equality, as the end of a sentence; empty where no ratio tells."""
        worst = self.worst
        if worst is None or worst.log_ratio == -np.inf:
            return ""
        if self.tight and worst.log_ratio > np.log10(1 - 1e-9):
            return "; attained with equality"
        if worst.curve is not None and not np.isfinite(worst.curve.large).any():
            # Neither side is positive: "times" would be said of the wrong one.
            return f"; tightest ratio {self.worst_ratio:.3g}"
        theorem = self.theorem
        one_measured = theorem.small.is_Symbol != theorem.large.is_Symbol
        return f"; {tightness(worst.log_ratio, upper=theorem.bound_is_upper if one_measured else None)}"


def _hardest(runs: list[JudgedRun]) -> list[JudgedRun]:
    """The few runs with the largest ratios, of distinct instances; the earlier one where two are equal."""
    distinct: dict[str, JudgedRun] = {}
    for run in sorted(runs, key=lambda run: -run.log_ratio):
        distinct.setdefault(run.instance.id, run)
        if len(distinct) == _HARDEST:
            break
    return list(distinct.values())


class Verdict(Displayed):
    """What the evidence says about one theorem, within its scope.

    A verdict has no truth value: "confirmed" is not "true", so ``bool(verdict)`` raises.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.theorem = evidence.theorem

    def __bool__(self) -> bool:
        raise TypeError("a verdict is not a truth value: compare verdict.name with 'confirmed' or 'falsified'")

    @property
    def name(self) -> str:
        """falsified, confirmed, consistent, evidence against, vacuous or inconclusive."""
        return self.evidence.verdict

    @property
    def sentence(self) -> str:
        """The verdict in words, with its scope."""
        return self.evidence.sentence
