"""The section of one theorem: its statement, the verdict, what was seen, and a counterexample if there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bounds import Theorem
from bounds.rendering import mathml, provenance, step_limit
from properties.orders import OrderEvidence
from properties.power import Power
from properties.verdict import Evidence, JudgedRun, PointwiseEvidence, Verdict
from reports.counterexample import CounterexamplePage, run_settings
from reports.drawing import Figure
from reports.figure_dependence import dependence_figure
from reports.figure_ratios import exponent_figure, ratio_figure
from reports.figure_slack import slack_figure
from reports.figures import figure_of
from reports.page import Drawing, Mark, Table
from reports.power import power_tables
from reports.tables import failed_hypotheses, outcome_counts, ratio_label, ratios_by_family, seen_tables
from reports.words import percent

#: Further looks that some kinds of evidence count.
_EFFORTS = {
    "repeats": "Runs looked at again, ten times as long",
    "searched": "Further datasets searched for traps",
}


@dataclass(frozen=True)
class Hard:
    """One of a theorem's hardest instances, as a row of the table, and the command that certifies it."""

    cells: tuple[str, ...]
    command: str | None

    @classmethod
    def of(cls, run: JudgedRun, command: str | None) -> Hard:
        """The row of a run: strategy, size, settings, ratio, step, instance."""
        named = run_settings(run.instance.run).items()
        settings = ", ".join(
            value if name in ("Step rule", "Loss") else f"{name} {value}" for name, value in named
        )
        size = " × ".join(map(str, run.instance.dataset.X.shape))
        cells = (run.source, size, settings, ratio_label(run.log_ratio), f"{run.step:,}", run.instance.id)
        return cls(cells, command)


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
    further: list[Drawing]
    hardest: list[Hard]
    power_tables: list[Table]
    counterexample: CounterexamplePage | None

    @classmethod
    def of(
        cls,
        verdict: Verdict,
        command: str | None = None,
        *,
        hardest: Sequence[str] | None = None,
        power: Power | None = None,
    ) -> Section:
        """The section of a verdict.

        Parameters
        ----------
        verdict : Verdict
        command : str, optional
            Judges its counterexample again.
        hardest : sequence of str, optional
            Commands that certify its hardest instances, in their order.
        power : Power, optional
            How the theorem's mutants fared.
        """
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
            further=[Drawing.of(figure) for figure in _further(evidence) if figure is not None],
            hardest=_hardest(evidence, hardest or ()),
            power_tables=[] if power is None else power_tables(power),
            counterexample=None if counterexample is None else CounterexamplePage.of(counterexample, command),
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
            (
                "Worst ratio, smaller side to larger",
                ("–" if worst is None else ratio_label(worst.log_ratio)) + where,
            ),
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


def _further(evidence: Evidence) -> Iterator[Figure | None]:
    """What was seen beyond the figure of the kind."""
    match evidence:
        case PointwiseEvidence():
            yield slack_figure(evidence)
            yield ratio_figure(evidence)
            yield dependence_figure(evidence)
        case OrderEvidence():
            yield exponent_figure(evidence)


def _hardest(evidence: Evidence, commands: Sequence[str]) -> list[Hard]:
    if not isinstance(evidence, PointwiseEvidence):
        return []
    lines = [*commands, *([None] * len(evidence.hardest))]
    return [Hard.of(run, line) for run, line in zip(evidence.hardest, lines, strict=False)]


def _origin_tables(verdict: Verdict) -> list[Table]:
    """Where the applicable instances came from, and which hypotheses others do not meet."""
    evidence = verdict.evidence
    tables = []
    by_outcome = verdict.theorem.kind in ("limit", "comparison")  # their tables have the families already
    if isinstance(evidence, PointwiseEvidence) and evidence.cases:
        tables.append(ratios_by_family(evidence))
    elif evidence.sources and not by_outcome:
        rows = tuple((name, f"{number:,}") for name, number in evidence.sources.most_common())
        tables.append(Table("Applicable instances by family", ("Family", "Instances"), rows))
    if evidence.reasons:
        tables.append(failed_hypotheses(evidence))
    return tables
