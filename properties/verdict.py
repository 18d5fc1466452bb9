"""Evidence about one theorem over many instances, and the verdict it supports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from bounds import Theorem
from models.instance import Instance
from properties.certify import Finding
from properties.judge import HOLDS, NOT_APPLICABLE, UNDECIDED, VACUOUS, Curve, Judgement

FALSIFIED, CONFIRMED, VACUOUS_VERDICT, INCONCLUSIVE = "falsified", "confirmed", "vacuous", "inconclusive"
_CURVES = 150  # runs kept for drawing, a theorem


@dataclass(frozen=True, eq=False)
class JudgedRun:
    """One judged run, kept for the report: where it came from and both sides along it."""

    source: str
    instance: Instance
    log_ratio: float
    step: int
    curve: Curve | None


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


@dataclass(eq=False)
class Evidence:
    """What has been seen of one theorem.  Two bodies of evidence add up with `merge`."""

    theorem: Theorem
    instances: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)  # applicable instances by family
    steps: int = 0
    informative: int = 0
    within_budget: int = 0  # steps that float64 left undecided
    last_step: int = 0
    certified: int = 0  # instances with a step decided in ball arithmetic, in agreement
    tight: int = 0  # instances with a step whose two sides agree to 200 bits
    suspected: list[tuple[Instance, int]] = field(default_factory=list)
    worst: JudgedRun | None = None
    runs: list[JudgedRun] = field(default_factory=list)
    counterexample: Counterexample | None = None
    broken: list[tuple[str, int]] = field(default_factory=list)  # family and seed of convictions
    seconds: float = 0.0

    @property
    def applicable(self) -> int:
        """Instances on which every assumption holds and some step is judged."""
        return self.instances - self.outcomes[NOT_APPLICABLE]

    def add(self, source: str, instance: Instance, judgement: Judgement, findings: list[Finding]) -> None:
        """Count one judged instance; ``findings`` are what the certified tier said of its suspects."""
        self.instances += 1
        outcome = judgement.outcome
        if outcome == NOT_APPLICABLE:
            self.outcomes[outcome] += 1
            self.reasons[judgement.reason] += 1
            return
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
        run = JudgedRun(source, instance, judgement.worst_log_ratio, judgement.worst_step, judgement.curve)
        if self.worst is None or run.log_ratio > self.worst.log_ratio:
            self.worst = run
        if len(self.runs) < _CURVES:
            self.runs.append(run)

    def merge(self, other: Evidence) -> None:
        """Add evidence from another worker."""
        self.instances += other.instances
        self.outcomes += other.outcomes
        self.reasons += other.reasons
        self.sources += other.sources
        self.steps += other.steps
        self.informative += other.informative
        self.within_budget += other.within_budget
        self.last_step = max(self.last_step, other.last_step)
        self.certified += other.certified
        self.tight += other.tight
        self.suspected += other.suspected
        self.broken += other.broken
        self.runs = (self.runs + other.runs)[:_CURVES]
        self.seconds += other.seconds
        if other.worst is not None and (self.worst is None or other.worst.log_ratio > self.worst.log_ratio):
            self.worst = other.worst
        if self.counterexample is None:
            self.counterexample = other.counterexample


class Verdict:
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
        """falsified, confirmed, vacuous or inconclusive."""
        evidence = self.evidence
        if evidence.counterexample is not None:
            return FALSIFIED
        if evidence.suspected or evidence.outcomes["violated"] or evidence.outcomes[UNDECIDED]:
            return INCONCLUSIVE
        if not evidence.outcomes[HOLDS]:
            return VACUOUS_VERDICT
        return CONFIRMED

    @property
    def worst_ratio(self) -> float | None:
        """Largest ratio of the claim's smaller to its larger side; above 1 is a violation (inf if too large)."""
        worst = self.evidence.worst
        if worst is None:
            return None
        with np.errstate(over="ignore"):
            return float(10.0 ** min(worst.log_ratio, 400.0)) if worst.log_ratio < 308 else float("inf")

    @property
    def informative_share(self) -> float | None:
        """Share of judged steps on which the bound says more than what is trivially true."""
        return self.evidence.informative / self.evidence.steps if self.evidence.steps else None

    @property
    def sentence(self) -> str:
        """The verdict in words, with its scope."""
        e = self.evidence
        if self.name == FALSIFIED:
            assert e.counterexample is not None
            size = "×".join(str(k) for k in e.counterexample.instance.dataset.X.shape)
            return f"False: broken at step {e.counterexample.step} of a run on {size} tokens, certified"
        scope = f"{e.applicable} instances up to step {e.last_step}"
        if self.name == VACUOUS_VERDICT:
            if not e.applicable:
                why = f": {e.reasons.most_common(1)[0][0]}" if e.reasons else ""
                return f"Says nothing here: its hypotheses held on none of {e.instances} instances{why}"
            return f"Says nothing here: on {scope} the bound is never better than what is trivially true"
        if self.name == INCONCLUSIVE:
            return f"Suspected on {len(e.suspected)} of {scope}; ball arithmetic did not decide within its budget"
        ratio = self.worst_ratio
        tightest = ""
        if ratio is not None and ratio > 0:
            tightest = (
                "; attained with equality" if e.tight and ratio > 1 - 1e-9 else f"; tightest ratio {ratio:.3g}"
            )
        return f"No counterexample among {scope}, {e.certified} of them certified{tightest}"
