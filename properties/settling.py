"""Why a run settled elsewhere: which sequences lost their optimal token, and what the others converged to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.attention import Geometry
from models.dataset import Array, TokenDataset
from models.instance import Instance
from models.maxmargin import MaxMargin
from models.snapshots import Snapshot, snapshots
from properties.apriori import Undefined, correlation_room
from properties.hypotheses import negative_correlation
from properties.limits import LimitRun
from properties.wording import power_label

#: Attention on its optimal token below which a sequence counts as lost.
LOST = 0.5


@dataclass(frozen=True, eq=False)
class Settled:
    """One run that does not align with W_mm, explained.

    Attributes
    ----------
    run : LimitRun
    end : Snapshot
        The state in which the run ended.
    lost : tuple of int
        Sequences whose attention left their optimal token.
    cosine : float
        cos(W, W_mm) at the end.
    cosine_without : float or None
        cos between W and the max-margin direction of the *other* sequences: what the run converged to, if near 1.
        None when none or all are lost.
    slowest_share : float
        log10 of the lost sequences' share of the pull on W at the end; −∞ for no pull.
    beyond : float or None
        log10 of how far M4's size condition is missed (positive: outside WC); None where it is not defined.
    """

    run: LimitRun
    end: Snapshot
    lost: tuple[int, ...]
    cosine: float
    cosine_without: float | None
    slowest_share: float
    beyond: float | None

    @property
    def reason(self) -> str:
        """The explanation in a sentence, without a full stop."""
        if not self.lost:
            return "no sequence lost its optimal token"
        names = ", ".join(str(i + 1) for i in self.lost)
        plural = "s" if len(self.lost) > 1 else ""
        pull = (
            "vanishes"
            if self.slowest_share == -math.inf
            else f"is {power_label(round(self.slowest_share))} of the whole"
        )
        them = "their" if plural else "its"
        text = f"sequence{plural} {names} lost sight of the optimal token, and {them} pull {pull}"
        if self.cosine_without is not None:
            text += f"; W follows the others' max-margin direction (cosine {self.cosine_without:.4f})"
        return text


def explain(run: LimitRun) -> Settled:
    """Train once more to the run's last step and look at it sequence by sequence."""
    instance: Instance = run.instance
    geometry = Geometry(instance.dataset)
    [end] = snapshots(instance.with_run(steps=run.last_step), [run.last_step], geometry)
    lost = tuple(int(i) for i in np.flatnonzero(np.exp(end.log_optimal) < LOST))
    share = float(end.shares[list(lost)].sum()) if lost else 0.0
    return Settled(
        run,
        end,
        lost,
        _cosine(end.direction, geometry),
        _cosine_without(instance.dataset, end.direction, lost),
        math.log10(share) if share > 0 else -math.inf,
        beyond_condition(instance, geometry),
    )


def beyond_condition(instance: Any, geometry: Geometry) -> float | None:
    """log10 of the factor by which M4's size condition is missed; negative where it holds.

    −∞ where no two sequences are negatively correlated, None where WC is out of the question.
    """
    try:
        within, epsilon = negative_correlation(geometry)
        if within < 0:
            return None
        if epsilon == 0:
            return -math.inf
        return -float(correlation_room(instance, geometry, epsilon).mid()) / math.log(10.0)
    except Undefined:
        return None


def _cosine(direction: Array, geometry: Geometry) -> float:
    solution = geometry.max_margin
    if solution is None:
        return math.nan
    return float((direction * _unit(geometry, solution)).sum())


def _unit(geometry: Geometry, solution: MaxMargin) -> Array:
    return geometry.features.combine(solution.direction)


def _cosine_without(dataset: TokenDataset, direction: Array, lost: tuple[int, ...]) -> float | None:
    kept = [i for i in range(dataset.n) if i not in lost]
    if not lost or not kept:
        return None
    part = TokenDataset(dataset.X[kept], dataset.y[kept], dataset.u, dataset.queries[kept])
    return _cosine(direction, Geometry(part))
