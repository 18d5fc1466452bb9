"""A rigorous judgement of one theorem on one stored instance: what it prints, its JSON and its exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from bounds import Theorem
from properties.certificate import Certificate, certify
from properties.certify import TIGHT
from properties.judge import HOLDS, VIOLATED
from properties.store import load_instance
from properties.wording import extent
from ratecheck.command import IS_FALSIFIED, NOT_SETTLED, OK, Unusable
from ratecheck.versions import versions

SCHEMA = "ratecheck/certify/1"
MAX_STEPS, BITS = 100_000, (64, 1_000_000)


def certified(theorem: Theorem, path: Path, steps: int | None, bits: int) -> Certificate:
    """Judge the theorem on the instance in a file.  Raises `Unusable` and `StoreError`, naming the fix."""
    if theorem.kind != "pointwise":
        raise Unusable(
            f"{theorem.id} is a claim of the kind {theorem.kind}: only claims at every step can be certified on a "
            "run; try it with `ratecheck verify`"
        )
    if steps is not None and not 0 <= steps <= MAX_STEPS:
        raise Unusable(f"--steps {steps}: give a number from 0 to {MAX_STEPS}")
    if not BITS[0] <= bits <= BITS[1]:
        raise Unusable(f"--bits {bits}: give a number from {BITS[0]} to {BITS[1]}")
    return certify(theorem, load_instance(path, theorem), steps, bits)


def print_certificate(console: Console, certificate: Certificate) -> None:
    """The outcome for a person: stretches of steps, and both sides where the claim is violated."""
    instance = certificate.instance
    console.print(
        f"[bold]{certificate.theorem.id}[/] on {extent(instance.dataset)}, instance {instance.id}, "
        f"steps 0–{len(certificate.findings) - 1}",
        highlight=False,
    )
    for line in certificate.lines:
        console.print(f"  {line}", highlight=False, markup=False)
    if certificate.reason:
        console.print(f"  because {certificate.reason}", highlight=False, markup=False)
    found = certificate.violated
    if found is not None:
        console.print(f"  claimed: {escape(str(certificate.theorem.claim))}", highlight=False)
        console.print(f"  at step {found.step} the smaller side is {found.small}", highlight=False, markup=False)
        console.print(f"  and the larger side {found.large}", highlight=False, markup=False)
    if certificate.precision:
        console.print(f"  {certificate.precision} bits were enough", highlight=False)


def exit_code(certificate: Certificate) -> int:
    """1 violated; 3 where a step is undecided or none is judged; else 0."""
    if certificate.outcome == VIOLATED:
        return IS_FALSIFIED
    return OK if certificate.outcome in (HOLDS, TIGHT) else NOT_SETTLED


def as_json(certificate: Certificate) -> dict[str, Any]:
    """The outcome for a program; a violation is in the form of a counterexample file."""
    found = certificate.counterexample
    return {
        "schema": SCHEMA,
        "theorem": certificate.theorem.id,
        "fingerprint": certificate.theorem.fingerprint,
        "outcome": certificate.outcome,
        "steps": len(certificate.findings) - 1,
        "onset": certificate.onset,
        "counts": dict(certificate.counts),
        "ranges": {name: [list(pair) for pair in pairs] for name, pairs in certificate.ranges.items()},
        "violated_at": None if found is None else found.step,
        "violation": None if found is None else found.to_json(),
        "reason": certificate.reason,
        "precision_bits": certificate.precision,
        "bits_allowed": certificate.bits,
        "instance": certificate.instance.to_json(),
        "versions": versions(),
    }
