"""The report of a trial: one HTML file that needs nothing else."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bounds import Theorem
from bounds.rendering import mathml, provenance, step_limit
from properties.judge import HOLDS, NOT_APPLICABLE, UNDECIDED, VACUOUS, VIOLATED
from properties.verdict import CONFIRMED, FALSIFIED, INCONCLUSIVE, VACUOUS_VERDICT, Counterexample, Verdict
from reports.figures import bound_figure, power_label

#: In the order in which a reader wants to meet them, with the mark that stands beside the word.
VERDICTS = {FALSIFIED: "✗", INCONCLUSIVE: "?", VACUOUS_VERDICT: "∅", CONFIRMED: "✓"}
OUTCOMES = (HOLDS, VACUOUS, UNDECIDED, VIOLATED, NOT_APPLICABLE)
#: Tokens beyond which the report shows only the first ones; the saved counterexample has all.
SHOWN_TOKENS, SHOWN_COORDINATES, SHOWN_REASONS = 60, 16, 12


class ReportError(OSError):
    """The report cannot be written; the message names the path and what to do."""


@dataclass(frozen=True)
class Token:
    """One row of a counterexample's table."""

    sequence: int
    label: str
    position: int
    optimal: bool
    coordinates: list[str]


def write_report(
    verdicts: Sequence[Verdict],
    path: Path,
    *,
    profile: str,
    seed: int,
    versions: Mapping[str, str],
    date: str,
    source: str,
    reproduce: Mapping[str, str] | None = None,
) -> None:
    """Write the report of a trial as one offline HTML file.

    Parameters
    ----------
    verdicts : sequence of Verdict
        Shown in this order.
    path : Path
        Parent directories are created; an older report is replaced only once the new one is complete.
    profile, seed, versions, date, source
        Provenance: how much was tried, from which seed, with which packages, when, and where the data came from.
    reproduce : mapping, optional
        The command that re-judges the saved counterexample, by theorem id.

    Raises
    ------
    ReportError
        If the file cannot be written.
    """
    page = render_report(
        verdicts, profile=profile, seed=seed, versions=versions, date=date, source=source, reproduce=reproduce
    )
    _write(Path(path), page.encode("utf-8", "replace"))


def render_report(
    verdicts: Sequence[Verdict],
    *,
    profile: str,
    seed: int,
    versions: Mapping[str, str],
    date: str,
    source: str,
    reproduce: Mapping[str, str] | None = None,
) -> str:
    """The report as a string (arguments as in `write_report`)."""
    commands = reproduce or {}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = [verdict.name for verdict in verdicts]
    return environment.get_template("report.html").render(
        sections=[_section(verdict, commands.get(verdict.theorem.id)) for verdict in verdicts],
        counts=[(name, mark, names.count(name)) for name, mark in VERDICTS.items()],
        provenance={
            "Date": date,
            "Profile": profile,
            "Seed": str(seed),
            "Data": source,
            "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        },
    )


# ----------------------------------------------------------------------------------------- one theorem
def _section(verdict: Verdict, command: str | None) -> dict[str, Any]:
    theorem, evidence = verdict.theorem, verdict.evidence
    figure = bound_figure(evidence)
    counterexample = evidence.counterexample
    return {
        "id": theorem.id,
        "label": theorem.label,
        "title": theorem.title,
        "verdict": verdict.name,
        "mark": VERDICTS[verdict.name],
        "sentence": verdict.sentence,
        "status": theorem.status.name,
        "provenance": provenance(theorem),
        "assumptions": _assumptions(theorem),
        "claim": Markup(mathml(theorem.claim, block=True)),
        "domain": None if theorem.domain is None else Markup(mathml(theorem.domain)),
        "applicable": evidence.applicable,
        "steps": evidence.steps,
        "certified": evidence.certified,
        "ratio": _ratio(verdict),
        "informative": _percent(verdict.informative_share),
        "facts": _facts(verdict),
        "families": evidence.sources.most_common(),
        "reasons": evidence.reasons.most_common(SHOWN_REASONS),
        "other_reasons": sum(count for _, count in evidence.reasons.most_common()[SHOWN_REASONS:]),
        "figure": None if figure.svg is None else Markup(figure.svg),
        "alt": figure.alt,
        "counterexample": None if counterexample is None else _counterexample(counterexample, command),
    }


def _assumptions(theorem: Theorem) -> list[tuple[str, Markup | None]]:
    """Each hypothesis in words, or as a formula."""
    limits = [(assumption, step_limit(assumption)) for assumption in theorem.assumes]
    return [(a.describe(), None if limit is None else Markup(mathml(limit))) for a, limit in limits]


def _facts(verdict: Verdict) -> list[tuple[str, str]]:
    evidence = verdict.evidence
    facts = [("Instances drawn", f"{evidence.instances:,}"), ("Applicable", f"{evidence.applicable:,}")]
    counts = [(name, evidence.outcomes[name]) for name in OUTCOMES]
    facts += [(name.capitalize(), f"{count:,}") for name, count in counts if count or name != VIOLATED]
    worst = evidence.worst
    where = "" if worst is None else f" at step {worst.step:,} of instance {worst.instance.id}"
    return [
        *facts,
        ("Steps judged", f"{evidence.steps:,}, the last one step {evidence.last_step:,}"),
        ("Steps inside the float64 error budget", f"{evidence.within_budget:,}"),
        ("Instances certified in ball arithmetic", f"{evidence.certified:,}"),
        ("Instances that attain equality", f"{evidence.tight:,}"),
        ("Worst ratio, smaller side to larger", _ratio(verdict) + where),
        ("Informative share of the steps", _percent(verdict.informative_share)),
        ("Time", f"{evidence.seconds:.2f} s"),
        ("Fingerprint of the statement", verdict.theorem.fingerprint),
    ]


def _ratio(verdict: Verdict) -> str:
    worst = verdict.evidence.worst
    if worst is None:
        return "–"
    if worst.log_ratio == float("-inf"):
        return "0"
    if worst.log_ratio == float("inf"):
        return "∞"
    if abs(worst.log_ratio) < 3e-4:  # the digits that tell 0.9999 from 1 matter here
        return f"{10.0**worst.log_ratio:.9g}"
    return power_label(worst.log_ratio)


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    if 0 < share < 0.001:
        return "< 0.1 %"
    return "> 99.9 %" if 0.999 < share < 1 else f"{100 * share:.3g} %"


# -------------------------------------------------------------------------------------- counterexample
def _counterexample(found: Counterexample, command: str | None) -> dict[str, Any]:
    instance = found.instance
    data, run = instance.dataset, instance.run
    step_size = "zeta" if run.rule == "polyak" else "eta"
    configuration = {
        "Step rule": run.rule,
        "Loss": run.loss,
        step_size: _number(run.step_size),
        "Start": "W_0 = 0" if run.W_0 is None else "W_0 as below",
        "Broken at step": str(found.step),
        **({} if found.onset is None else {"Onset t0 of accumulated observables": str(found.onset)}),
        "Smaller side": found.small,
        "Larger side": found.large,
        "Precision": f"{found.precision} bits",
        "Instance": instance.id,
    }
    tokens = [
        Token(i, f"{int(data.y[i]):+d}", t, int(data.optimal[i]) == t, _numbers(data.X[i, t]))
        for i in range(data.n)
        for t in range(data.T)
    ]
    return {
        "size": f"{data.n} × {data.T} × {data.d}",
        "configuration": configuration,
        "coordinates": min(data.d, SHOWN_COORDINATES),
        "hidden_coordinates": max(0, data.d - SHOWN_COORDINATES),
        "tokens": tokens[:SHOWN_TOKENS],
        "hidden_tokens": max(0, len(tokens) - SHOWN_TOKENS),
        "decoder": _numbers(data.u),
        "queries": [] if data.query is None else [_numbers(row) for row in data.query[:SHOWN_TOKENS]],
        "weights": [] if run.W_0 is None else [_numbers(row) for row in run.W_0[:SHOWN_COORDINATES]],
        "command": command,
    }


def _numbers(values: Any) -> list[str]:
    return [_number(float(value)) for value in values[:SHOWN_COORDINATES]]


def _number(value: float) -> str:
    """The shortest decimal that gives the same float."""
    return repr(int(value)) if value.is_integer() and abs(value) < 1e6 else repr(value)


# ----------------------------------------------------------------------------------------------- files
def _write(path: Path, content: bytes) -> None:
    """Write a file completely or not at all."""
    partial = path.parent / f".ratecheck-{secrets.token_hex(8)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(partial, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ReportError(
            f"{path}: the report cannot be written ({reason}); free space there or choose another path"
        ) from error
