"""Families of separable token datasets as Hypothesis strategies: the catalogue.

Every dataset is built, never filtered, so no draw is rejected; and every family has a smallest member (one
sequence of two tokens wherever it permits) to which Hypothesis shrinks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis.strategies import SearchStrategy

from models.dataset import TokenDataset
from models.instance import RULES
from properties import families, families_corners, families_orthogonal, families_slow
from properties.families import Sizes

# Hypothesis discards examples of more than 8 KiB of choices and objects to a simplest one of half that.
_MOST_BYTES = 4000

_SMALLEST = Sizes(1, 2, 1)

_SEPARABLE = frozenset({"Separable"})
_EQUAL = _SEPARABLE | {"EqualScores"}
_WEAK = _EQUAL | {"WeakNegativeCorrelation"}
_CORRELATED = _WEAK | {"NonNegativeCorrelation"}
_ORTHOGONAL = _EQUAL | {"NearOrthogonal"}


@dataclass(frozen=True)
class Family:
    """A family of token datasets and the assumptions its members satisfy by construction.

    Attributes
    ----------
    name : str
        Short name, e.g. ``"equal-scores"``.
    description : str
        One line: what its members look like.
    provides : frozenset of str
        Names of the assumption classes (bounds/assumptions.py) that every member satisfies exactly.
        ``NearOrthogonal`` stands for NO(1).  ``WeakNegativeCorrelation``, which is about a run, is satisfied by
        NGD and GD with every small enough step size.
    build : callable
        Strategy for given maximal sizes.
    least : Sizes
        The smallest maxima with which the family has a member.
    hostile : bool
        Whether its members are made to break what is only generically true; searches for a limit's
        counterexample look here more often.
    rules : tuple of str
        Step rules whose runs on the members can be certified.
    extreme : bool
        Whether its members probe the number system: claims about what happens as t grows are not judged on them,
        and starts on them may be saturated far beyond what float64 can hold.
    """

    name: str
    description: str
    provides: frozenset[str]
    build: Callable[[Sizes], SearchStrategy[TokenDataset]] = field(repr=False)
    least: Sizes = _SMALLEST
    hostile: bool = False
    rules: tuple[str, ...] = RULES
    extreme: bool = False

    def datasets(self, max_n: int = 4, max_T: int = 4, max_d: int = 5) -> SearchStrategy[TokenDataset]:
        """Strategy for members with at most ``max_n`` sequences, ``max_T`` tokens and ``max_d`` dimensions.

        The families ``"near-orthogonal"``, ``"signal-plus-noise"`` and ``"orthogonal-optimum"`` need a dimension
        that grows with n T or n and ignore ``max_d``.

        Raises
        ------
        ValueError
            If the maxima leave the family without members, or are too large for Hypothesis.
        """
        for label, given, least in (
            ("max_n", max_n, self.least.n),
            ("max_T", max_T, self.least.T),
            ("max_d", max_d, self.least.d),
        ):
            if given < least:
                raise ValueError(f"{label} = {given}: the family {self.name!r} needs {label} ≥ {least}")
        if max_n * ((max_T + 1) * max_d + 16) > _MOST_BYTES:
            raise ValueError(
                f"max_n · max_T · max_d = {max_n} · {max_T} · {max_d} is too much for one Hypothesis example: "
                f"keep max_n · ((max_T + 1) · max_d + 16) ≤ {_MOST_BYTES}"
            )
        return self.build(Sizes(max_n, max_T, max_d))


FAMILIES: tuple[Family, ...] = (
    Family(
        "equal-scores",
        "equal gaps along the decoder axis, dyadic entries elsewhere",
        _EQUAL,
        families.equal_scores,
    ),
    Family(
        "planted",
        "Gaussian tokens moved along a planted random W*, equal gaps",
        _EQUAL,
        families.planted,
        Sizes(1, 2, 2),
    ),
    Family(
        "cross-attention",
        "queries given apart from the tokens, equal gaps",
        _EQUAL,
        families.cross_attention,
    ),
    Family(
        "unequal-scores",
        "unequal gaps within a factor 1 + 1/T, so that PC holds at W = 0",
        _SEPARABLE,
        families.unequal_scores,
        Sizes(1, 3, 1),
    ),
    Family(
        "scattered-scores",
        "gaps that differ by factors of up to 48; PC may fail",
        _SEPARABLE,
        families.scattered_scores,
        Sizes(1, 3, 1),
    ),
    Family(
        "non-negative",
        "coordinatewise non-negative features, half of them well-conditioned",
        _CORRELATED,
        families.non_negative,
    ),
    Family(
        "near-orthogonal",
        "one basis vector a token with a small score coordinate: NO(1)",
        _ORTHOGONAL,
        families.near_orthogonal,
    ),
    Family(
        "signal-plus-noise",
        "orthogonal signals and Gaussian noise tokens (data model DM); separable almost surely",
        _EQUAL,
        families.signal_plus_noise,
    ),
    Family(
        "integer-grid",
        "small integer tokens, some of them repeated, equal gaps",
        _EQUAL,
        families.integer_grid,
    ),
    Family(
        "nearly-opposite",
        "two pair features of every sequence nearly cancel: tiny margins",
        _EQUAL,
        families_slow.nearly_opposite,
        Sizes(1, 3, 2),
    ),
    Family(
        "crowded",
        "more pairs than d², in one or two dimensions",
        _EQUAL,
        families.crowded,
        Sizes(2, 2, 1),
    ),
    Family(
        "well-conditioned",
        "one to four pairs of comparable, mostly orthogonal features: γ/B > 0.4",
        _CORRELATED,
        families.well_conditioned,
    ),
    Family(
        "tiny-margins",
        "nearly opposite pair features, γ/B from 1e-3 down to 1e-6",
        _EQUAL,
        families_slow.tiny_margins,
        Sizes(1, 3, 2),
        # Polyak's step, of length 1/(ζ s γ), amplifies an imbalance by up to (B/γ)²: balls lose 30 bits a step.
        rules=("ngd", "gd"),
    ),
    Family(
        "degenerate-support",
        "active pairs without a multiplier or linearly dependent",
        _EQUAL,
        families_slow.degenerate_support,
        Sizes(1, 3, 2),
    ),
    Family(
        "unbalanced-gaps",
        "equal gaps within a sequence, between sequences apart by factors of up to 1024",
        _EQUAL,
        families_slow.unbalanced_gaps,
        Sizes(1, 2, 2),
    ),
    Family(
        "opposed",
        "sequences that pull against each other with different gaps and norms, equal scores",
        _EQUAL,
        families_slow.opposed,
        Sizes(2, 2, 3),
        hostile=True,
    ),
    Family(
        "decoy",
        "a token of middling score beyond the others: wrong selections that are locally optimal",
        _SEPARABLE,
        families_slow.decoy,
        Sizes(1, 3, 2),
        hostile=True,
    ),
    Family(
        "orthogonal-optimum",
        "NO(1) in self-attention, while the other tokens are free to pull against each other",
        _ORTHOGONAL,
        families_orthogonal.orthogonal_optimum,
        Sizes(1, 2, 2),
        hostile=True,
    ),
    Family(
        "weakly-correlated",
        "nearly orthogonal differences: WC, with and without negative correlation",
        _WEAK,
        families_slow.weakly_correlated,
        Sizes(2, 2, 3),
    ),
    Family(
        "corners",
        "exact ties, subnormal entries, γ/B near 1e-8, parallel queries",
        _EQUAL,
        families_corners.corners,
        # as for tiny margins
        rules=("ngd", "gd"),
        extreme=True,
    ),
)
