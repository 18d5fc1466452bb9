"""The section of one theorem: its statement, the verdict, what was seen, and a counterexample if there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bounds import Theorem
from bounds.rendering import mathml, provenance, step_limit
from properties.verdict import Counterexample, PointwiseEvidence, Verdict
from reports.drawing import power_label
from reports.figures import figure_of
from reports.page import Drawing, Mark, Table
from reports.tables import outcome_counts, seen_tables
from reports.words import percent

#: Tokens beyond which the report shows only the first ones; the saved counterexample has all.
SHOWN_TOKENS, SHOWN_COORDINATES, SHOWN_REASONS = 60, 16, 12
_CAPTIONS = {
    "pointwise": "The run that breaks the claim, with proved enclosures of both sides",
    "limit": "The run that never arrives, and what is proved of it",
}
#: Names under which a run's settings are shown, by attribute, for those that it has.
_SETTINGS = {
    "rule": "Step rule",
    "loss": "Loss",
    "eta": "eta",
    "zeta": "zeta",
    "eta_W": "First step length of W",
    "eta_u": "First step length of u",
    "power_W": "Power by which W's steps shrink",
    "power_u": "Power by which u's steps shrink",
}
#: Further looks that some kinds of evidence count.
_EFFORTS = {
    "repeats": "Runs looked at again, ten times as long",
    "searched": "Further datasets searched for traps",
}


@dataclass(frozen=True)
class Token:
    """One row of a counterexample's table."""

    sequence: int
    label: str
    position: int
    optimal: bool
    coordinates: list[str]


@dataclass(frozen=True)
class Section:
    """Everything that the template shows of one theorem."""

    id: str
    label: str
    title: str
    system: str
    kind: str
    mark: Mark
    sentence: str
    status: str
    provenance: dict[str, str]
    assumptions: list[tuple[str, Markup | None]]
    claim: Markup
    domain: Markup | None
    applicable: str
    steps: str
    certified: str
    measured: str
    informative: str
    facts: list[tuple[str, str]]
    tables: list[Table]
    figure: Drawing
    counterexample: dict[str, Any] | None

    @classmethod
    def of(cls, verdict: Verdict, command: str | None = None) -> Section:
        """The section of a verdict; ``command`` re-judges its counterexample."""
        theorem, evidence = verdict.theorem, verdict.evidence
        pointwise = isinstance(evidence, PointwiseEvidence)
        counterexample = evidence.counterexample
        return cls(
            id=theorem.id,
            label=theorem.label,
            title=theorem.title,
            system=theorem.system.title,
            kind=theorem.kind,
            mark=Mark.of(verdict.name),
            sentence=verdict.sentence,
            status=theorem.status.name,
            provenance={"kind": theorem.kind, **provenance(theorem)},
            assumptions=_assumptions(theorem),
            claim=Markup(mathml(theorem.claim, block=True)),
            domain=None if theorem.domain is None else Markup(mathml(theorem.domain)),
            applicable=f"{evidence.applicable:,}",
            steps=f"{evidence.steps:,}" if evidence.steps or pointwise else "–",
            certified=f"{evidence.certified:,}" if evidence.certified or pointwise else "–",
            measured=evidence.measured,
            informative=percent(evidence.informative_share) if isinstance(evidence, PointwiseEvidence) else "–",
            facts=_facts(verdict),
            tables=[*seen_tables(evidence), *_origin_tables(verdict)],
            figure=Drawing.of(figure_of(evidence)),
            counterexample=None if counterexample is None else _counterexample(counterexample, command),
        )


def _assumptions(theorem: Theorem) -> list[tuple[str, Markup | None]]:
    """Each hypothesis in words, or as a formula."""
    limits = [(assumption, step_limit(assumption)) for assumption in theorem.assumes]
    return [(a.describe(), None if limit is None else Markup(mathml(limit))) for a, limit in limits]


def _facts(verdict: Verdict) -> list[tuple[str, str]]:
    evidence = verdict.evidence
    facts = [("Instances drawn", f"{evidence.instances:,}"), ("Applicable", f"{evidence.applicable:,}")]
    facts += [(name.capitalize(), f"{number:,}") for name, number in outcome_counts(evidence)]
    if evidence.steps:
        facts.append(("Steps judged", f"{evidence.steps:,}, the last one step {evidence.last_step:,}"))
    if isinstance(evidence, PointwiseEvidence):
        worst = evidence.worst
        where = "" if worst is None else f" at step {worst.step:,} of instance {worst.instance.id}"
        facts += [
            ("Steps inside the float64 error budget", f"{evidence.within_budget:,}"),
            ("Instances certified in ball arithmetic", f"{evidence.certified:,}"),
            ("Instances that attain equality", f"{evidence.tight:,}"),
            ("Worst ratio, smaller side to larger", _ratio(evidence) + where),
            ("Informative share of the steps", percent(evidence.informative_share)),
        ]
    elif evidence.certified:
        facts.append(("Decided in ball arithmetic", f"{evidence.certified:,}"))
    for name, words in _EFFORTS.items():
        if number := getattr(evidence, name, 0):
            facts.append((words, f"{number:,}"))
    return [
        *facts,
        ("Time", f"{evidence.seconds:.2f} s"),
        ("Fingerprint of the statement", verdict.theorem.fingerprint),
    ]


def _ratio(evidence: PointwiseEvidence) -> str:
    worst = evidence.worst
    if worst is None:
        return "–"
    if worst.log_ratio == float("-inf"):
        return "0"
    if worst.log_ratio == float("inf"):
        return "∞"
    if abs(worst.log_ratio) < 3e-4:  # the digits that tell 0.9999 from 1 matter here
        return f"{10.0**worst.log_ratio:.9g}"
    return power_label(worst.log_ratio)


def _origin_tables(verdict: Verdict) -> list[Table]:
    """Where the applicable instances came from, and why others do not apply."""
    evidence = verdict.evidence
    tables = []
    by_outcome = verdict.theorem.kind in ("limit", "comparison")  # their tables have the families already
    if evidence.sources and not by_outcome:
        rows = tuple((name, f"{number:,}") for name, number in evidence.sources.most_common())
        tables.append(Table("Applicable instances by family", ("Family", "Instances"), rows))
    if evidence.reasons:
        common = evidence.reasons.most_common()
        rows = tuple((reason, f"{number:,}") for reason, number in common[:SHOWN_REASONS])
        if others := sum(number for _, number in common[SHOWN_REASONS:]):
            rows += (("other reasons", f"{others:,}"),)
        tables.append(Table("Why instances did not apply", ("Reason", "Instances"), rows))
    return tables


# -------------------------------------------------------------------------------------- counterexample
def _counterexample(found: Counterexample, command: str | None) -> dict[str, Any]:
    instance = found.instance
    data, run = instance.dataset, instance.run
    start = getattr(run, "W_0", None)
    configuration = {
        **run_settings(run),
        "Start": "W_0 = 0" if start is None else "W_0 as below",
        **_broken(found),
        "Precision": f"{found.precision} bits",
        "Instance": instance.id,
    }
    tokens = [
        Token(i, f"{int(data.y[i]):+d}", t, int(data.optimal[i]) == t, _numbers(data.X[i, t]))
        for i in range(data.n)
        for t in range(data.T)
    ]
    return {
        "caption": _CAPTIONS.get(found.theorem.kind, _CAPTIONS["pointwise"]),
        "size": f"{data.n} × {data.T} × {data.d}",
        "configuration": configuration,
        "coordinates": min(data.d, SHOWN_COORDINATES),
        "hidden_coordinates": max(0, data.d - SHOWN_COORDINATES),
        "tokens": tokens[:SHOWN_TOKENS],
        "hidden_tokens": max(0, len(tokens) - SHOWN_TOKENS),
        "decoder": _numbers(data.u),
        "queries": [] if data.query is None else [_numbers(row) for row in data.query[:SHOWN_TOKENS]],
        "weights": [] if start is None else [_numbers(row) for row in start[:SHOWN_COORDINATES]],
        "command": command,
    }


def _broken(found: Counterexample) -> dict[str, str]:
    """Where the claim fails, and what balls show of both sides there."""
    if found.theorem.kind == "limit":
        return {"Certified at step": str(found.step), "Shown": found.small, "Against": found.large}
    onset = {} if found.onset is None else {"Onset t0 of accumulated observables": str(found.onset)}
    return {"Broken at step": str(found.step), **onset, "Smaller side": found.small, "Larger side": found.large}


def run_settings(run: Any) -> dict[str, str]:
    """The settings that a run of any system has, by the names under which they are shown."""
    values = {name: getattr(run, attribute, None) for attribute, name in _SETTINGS.items()}
    return {
        name: _number(value) if isinstance(value, float) else str(value)
        for name, value in values.items()
        if value is not None
    }


def _numbers(values: Any) -> list[str]:
    return [_number(float(value)) for value in values[:SHOWN_COORDINATES]]


def _number(value: float) -> str:
    """The shortest decimal that gives the same float."""
    return repr(int(value)) if value.is_integer() and abs(value) < 1e6 else repr(value)
