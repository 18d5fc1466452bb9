"""The front page: what was done, the paper's claims in a few words, and one row for each theorem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from properties.orders import OrderEvidence
from properties.power import Power
from properties.verdict import PointwiseEvidence, Verdict
from reports.page import VERDICTS, Mark
from reports.paper import ClaimPage
from reports.words import count, fixed, listed, percent


@dataclass(frozen=True)
class Cell:
    """A number as it is read, and as it is sorted; no value stands last in every order."""

    text: str
    value: float | None = None

    @classmethod
    def counted(cls, number: int) -> Cell:
        """A count; nothing counted is no value."""
        return cls(f"{number:,}", number) if number else cls("–")


@dataclass(frozen=True)
class Row:
    """One theorem in the table.

    Attributes
    ----------
    ratio : Cell
        The largest ratio of the smaller to the larger side of an inequality.
    exponent : Cell
        Of an order, the claimed exponent and the measured one, sorted by how far the second exceeds the first.
    needed : str
        Hypotheses without which the claim was convicted; empty if that was not tried.
    """

    id: str
    label: str
    title: str
    system: str
    kind: str
    status: str
    mark: Mark
    sentence: str
    ratio: Cell
    exponent: Cell
    instances: Cell
    last_step: Cell
    certified: Cell
    informative: Cell
    needed: str

    @classmethod
    def of(cls, verdict: Verdict, power: Power | None = None) -> Row:
        """The row of a verdict."""
        theorem, evidence = verdict.theorem, verdict.evidence
        pointwise = evidence if isinstance(evidence, PointwiseEvidence) else None
        share = None if pointwise is None else pointwise.informative_share
        return cls(
            id=theorem.id,
            label=theorem.label,
            title=theorem.title,
            system=theorem.system.title,
            kind=theorem.kind,
            status=theorem.status.name,
            mark=Mark.of(verdict.name),
            sentence=verdict.sentence,
            ratio=Cell("") if pointwise is None else _ratio(pointwise),
            exponent=_exponent(evidence) if isinstance(evidence, OrderEvidence) else Cell(""),
            instances=Cell.counted(evidence.applicable),
            last_step=Cell.counted(evidence.last_step),
            certified=Cell.counted(evidence.certified),
            informative=Cell("" if pointwise is None else percent(share), share),
            needed="" if power is None else ", ".join(power.needed),
        )


def _ratio(evidence: PointwiseEvidence) -> Cell:
    worst = evidence.worst
    text = evidence.measured.removeprefix("ratio ")
    # Sorted by its logarithm, which is finite where the ratio itself underflows.
    return Cell(text) if worst is None else Cell(text, max(min(worst.log_ratio, 1e6), -1e6))


def _exponent(evidence: OrderEvidence) -> Cell:
    typical = evidence.typical
    if typical is None:
        return Cell("–")
    claimed, measured = typical.claimed.slope, typical.exponent.slope
    clock = "" if evidence.clock == "t" else f" of {evidence.clock}"
    return Cell(f"{fixed(claimed)} → {fixed(measured)}{clock}", measured - claimed)


@dataclass(frozen=True)
class Card:
    """One claim of the paper: how its theorems fared, and the first sentence that answers it."""

    key: str
    title: str
    counts: list[tuple[Mark, int]]
    words: str

    @classmethod
    def of(cls, claim: ClaimPage) -> Card:
        """The card of a claim's page."""
        sentences = claim.answer.sentences
        # The first sentence counts verdicts, as the card does itself.
        words = sentences[1] if len(sentences) > 1 else sentences[0]
        return cls(claim.key, claim.title, counts([link.mark.name for link in claim.theorems]), words)


@dataclass(frozen=True)
class Front:
    """What the front page shows.

    Attributes
    ----------
    lead, scope : str
        What was done in a sentence, and how much of it.
    counts : list
        Verdicts with how many theorems have them.
    groups : list
        Rows by system.
    choices : dict
        What the table can be narrowed to, by name; only names with several choices.
    """

    lead: str
    scope: str
    counts: list[tuple[Mark, int]]
    cards: list[Card]
    groups: list[tuple[str, list[Row]]]
    choices: dict[str, list[str]]
    powered: bool

    @classmethod
    def of(
        cls,
        verdicts: Sequence[Verdict],
        claims: Sequence[ClaimPage],
        powers: Mapping[str, Power],
        *,
        profile: str,
        seed: int,
        source: str,
    ) -> Front:
        """The front page of verdicts that stand in their order already."""
        rows = [Row.of(verdict, powers.get(verdict.theorem.id)) for verdict in verdicts]
        choices = {
            "kind": list(dict.fromkeys(row.kind for row in rows)),
            "system": list(dict.fromkeys(row.system for row in rows)),
            "status": list(dict.fromkeys(row.status for row in rows)),
        }
        return cls(
            lead=(
                f"{count(len(rows), 'theorem').capitalize()} about convergence rates "
                f"{'was' if len(rows) == 1 else 'were'} held against what training really does, step by step, on "
                "data that satisfy the hypotheses; what looked like a violation was decided in ball arithmetic."
            ),
            scope=_scope(verdicts, profile, seed, source),
            counts=counts([verdict.name for verdict in verdicts]),
            cards=[Card.of(claim) for claim in claims],
            groups=[(system, list(group)) for system, group in groupby(rows, key=lambda row: row.system)],
            choices={name: values for name, values in choices.items() if len(values) > 1},
            powered=bool(powers),
        )


def counts(names: Sequence[str]) -> list[tuple[Mark, int]]:
    """Verdicts that occur, in the order in which a reader wants to meet them, with how often they do."""
    return [(Mark.of(name), names.count(name)) for name in VERDICTS if name in names]


def _scope(verdicts: Sequence[Verdict], profile: str, seed: int, source: str) -> str:
    bodies = [verdict.evidence for verdict in verdicts]
    parts = [
        f"{sum(body.applicable for body in bodies):,} judgements of a theorem on a dataset",
        f"{_rounded(sum(body.steps for body in bodies))} steps",
        f"{sum(body.certified for body in bodies):,} judgements certified",
    ]
    return f"{listed(parts)}. Data: {source.rstrip('.')}. Profile {profile}, seed {seed}."


def _rounded(number: int) -> str:
    """A large count in two significant digits: 12 million."""
    for size, word in ((10**9, "billion"), (10**6, "million")):
        if number >= size:
            value = number / size
            return f"{value:,.{1 if value < 10 else 0}f} {word}"
    return f"{number:,}"
