"""The machine-readable result of a trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from properties.power import Power
from properties.verdict import PointwiseEvidence, Verdict
from reports.power import power_summary

SCHEMA = "ratecheck/verify/1"


def as_json(
    verdicts: Sequence[Verdict],
    *,
    seed: int,
    versions: Mapping[str, str],
    counterexamples: Mapping[str, str],
    reproduce: Mapping[str, str],
    powers: Mapping[str, Power] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The result of ``verify`` as a JSON object (docs: schema ``ratecheck/verify/1``).

    Parameters
    ----------
    verdicts : sequence of Verdict
    seed : int
        What the trial was started with.
    versions : mapping
        Version of each package that took part.
    counterexamples, reproduce : mapping
        Path of the saved counterexample, and the command that re-judges it, by theorem id.
    powers : mapping, optional
        How the mutants of a theorem fared, by its id; its entry then has the key ``power``.
    provenance : mapping, optional
        How the result came about, such as profile, date, machine and command.

    Returns
    -------
    dict
        Numbers are finite, so any JSON reader accepts them.  ``worst_ratio`` is null where nothing was judged
        and where the ratio has no finite value (a positive side against one that is not positive, or beyond
        10³⁰⁸); ``worst_step`` then still names the step.  ``worst_ratio`` is 0 where signs alone decide.
    """
    tried = powers or {}
    theorems = []
    for verdict in verdicts:
        id = verdict.theorem.id
        entry = theorem_result(verdict, counterexample=counterexamples.get(id), reproduce=reproduce.get(id))
        theorems.append(entry | {"power": power_summary(tried[id])} if id in tried else entry)
    return {
        "schema": SCHEMA,
        "theorems": theorems,
        "seed": seed,
        "versions": dict(versions),
        "provenance": dict(provenance or {}),
    }


def theorem_result(verdict: Verdict, *, counterexample: str | None, reproduce: str | None) -> dict[str, Any]:
    """The entry of one theorem; what its kind adds stands under ``measured``."""
    theorem, evidence = verdict.theorem, verdict.evidence
    pointwise = evidence if isinstance(evidence, PointwiseEvidence) else None
    worst = None if pointwise is None else pointwise.worst
    return {
        "id": theorem.id,
        "label": theorem.label,
        "title": theorem.title,
        "system": theorem.system.name,
        "statement": theorem.statement,
        "verdict": verdict.name,
        "kind": theorem.kind,
        "status": theorem.status.name,
        "instances": evidence.instances,
        "applicable": evidence.applicable,
        "steps_checked": evidence.steps,
        "last_step": evidence.last_step,
        "certified": evidence.certified,
        "worst_ratio": None if pointwise is None else _finite(pointwise.worst_ratio),
        "worst_step": None if worst is None else int(worst.step),
        "informative_share": None if pointwise is None else _finite(pointwise.informative_share),
        "counterexample": counterexample,
        "reproduce": reproduce,
        "seconds": round(float(evidence.seconds), 6),
        "tight": 0 if pointwise is None else pointwise.tight,
        "measured": dict(evidence.details()),
        "outcomes": {name: count for name, count in sorted(evidence.outcomes.items()) if count},
        "sentence": verdict.sentence,
        "fingerprint": theorem.fingerprint,
    }


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
