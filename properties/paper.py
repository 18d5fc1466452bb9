"""What the report's pages on the paper are made of, gathered from a trial and a few runs of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bounds import ATTENTION
from models.attention import Geometry, train
from properties.limits import SETTLED_ELSEWHERE, TRAPPED, LimitEvidence, LimitRun, hold_against_limit
from properties.observables import Measurement
from properties.panels import STEPS, PaperPanels, paper_panels
from properties.settling import Settled, beyond_condition, explain
from properties.verdict import Evidence

#: Counterexamples to a limit that are explained, a theorem.
EXPLAINED = 2
#: Steps of the run that shows where a counterexample settles.
EXPLAINED_STEPS = 2**14


@dataclass(frozen=True, eq=False)
class Beyond:
    """Data of a limit claim, placed by how far they lie beyond condition WC (log10; −∞: no correlation)."""

    theorem: str
    beyond: float
    outcome: str


@dataclass(frozen=True, eq=False)
class PaperPage:
    """The paper's pictures, the runs that settled elsewhere with their reasons, and where in the data they lie."""

    panels: PaperPanels
    settled: dict[str, list[Settled]] = field(default_factory=dict)
    beyond: list[Beyond] = field(default_factory=list)


def paper_page(evidence: Sequence[Evidence], seed: int = 0, steps: int = STEPS) -> PaperPage:
    """Gather the page for a trial's evidence (which may be empty: then only the pictures are there)."""
    page = PaperPage(paper_panels(seed, steps))
    for body in evidence:
        if not isinstance(body, LimitEvidence) or body.theorem.system != ATTENTION:
            continue
        elsewhere = _elsewhere(body)
        if elsewhere:
            page.settled[body.theorem.id] = [explain(run) for run in elsewhere[:EXPLAINED]]
        if body.theorem.id.startswith("attention.equal-scores"):
            ended = [(run.instance, run.outcome) for run in body.runs]
            for instance, outcome in [*ended, *body.places]:
                place = beyond_condition(instance, Geometry(instance.dataset))
                if place is not None:
                    page.beyond.append(Beyond(body.theorem.id, place, outcome))
    return page


def _elsewhere(body: LimitEvidence) -> list[LimitRun]:
    """Runs that settled elsewhere: the counterexample first, then the smallest datasets, which say most."""
    runs = [run for run in body.runs if run.outcome in (TRAPPED, SETTLED_ELSEWHERE)]
    runs.sort(key=lambda run: (run.instance.dataset.X.size, -run.distance))
    if body.counterexample is None:
        return runs
    instance = body.counterexample.instance.with_run(steps=EXPLAINED_STEPS)
    geometry = Geometry(instance.dataset)
    judged = hold_against_limit(body.theorem, Measurement(instance, geometry, train(instance, geometry)), "trap")
    return runs if isinstance(judged, str) else [replace(judged, outcome=TRAPPED), *runs]
