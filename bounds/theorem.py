"""Theorems: the statement, where it comes from, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import sympy as sp

from bounds.assumptions import Assumption, PositiveCoefficients, StepAtMost, Throughout
from bounds.claims import Claim
from bounds.display import Displayed
from bounds.language import InvalidClaim, check_expression, check_relation
from bounds.notation import NOTATION, Memory

KINDS = {
    "pointwise": "an inequality with explicit constants at every step",
    "order": "a rate with an unspecified constant",
    "limit": "what is approached as t grows",
    "probability": "an event that has at least a given probability",
    "comparison": "one method against another on the same data",
}


@dataclass(frozen=True)
class System:
    """What is trained: theorems, data and training of one system belong together under its name."""

    name: str
    title: str


#: One self-attention layer with a fixed decoder, docs/theory.md#setting.
ATTENTION = System("attention", "self-attention with a fixed decoder")
#: Attention and decoder trained together, docs/theory.md#joint.
JOINT = System("joint", "joint training of attention and decoder")
#: Linear classification, docs/theory.md#linear.
LINEAR = System("linear", "linear classification")
#: Two-layer networks with a fixed second layer, docs/theory.md#two-layer.
TWO_LAYER = System("two-layer", "a two-layer network with a fixed second layer")
#: Fixed-point iterations on linear operators, docs/systems.md#interpolation.
INTERPOLATION = System("interpolation", "linear interpolation on a linear operator")
#: Diagonal linear networks under gradient flow, docs/systems.md#diagonal.
DIAGONAL = System("diagonal", "a diagonal linear network trained by gradient flow")
#: Overparametrised linear networks under gradient flow, docs/systems.md#overparametrized.
OVERPARAMETRIZED = System("overparametrized", "an overparametrised linear network under gradient flow")
#: The optimistic stochastic gradient on linear operators, docs/systems.md#games.
GAMES = System("games", "the optimistic stochastic gradient on a linear operator")
#: Adaptive federated learning over the air, docs/systems.md#federated.
FEDERATED = System("federated", "adaptive federated learning over a fading channel")
#: Implicit gradient descent on a physics-informed network, docs/systems.md#pinn.
PINN = System("pinn", "implicit gradient descent on a physics-informed network")
#: Keys and queries trained with vanishing regularisation, docs/systems.md#key-query.
KEY_QUERY = System("key-query", "keys and queries with vanishing regularisation")
#: Attention with a trained prompt, docs/systems.md#prompt.
PROMPT = System("prompt", "attention with a trained prompt")
#: Bilinear least squares with a sparse factor, docs/systems.md#cogradient.
COGRADIENT = System("cogradient", "bilinear least squares with a sparse factor")
#: Univariate ReLU networks and their linear regions, docs/systems.md#relu-regions.
RELU_REGIONS = System("relu-regions", "a univariate ReLU network")
#: Attention that has to keep more than one token, docs/systems.md#generalised-svm.
GENERALISED_SVM = System("generalised-svm", "self-attention that has to keep several tokens")
#: Random data before any training, docs/theory.md#d1.
DATA = System("data", "random token data")


@dataclass(frozen=True)
class Status:
    """How a statement is known.  ``source`` and ``proof`` are shown wherever the theorem is."""

    source: str = ""
    proof: str = ""
    refines: str = ""

    @property
    def name(self) -> str:
        """derived, cited, reported or conjecture."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Derived(Status):
    """Proved in docs/theory.md; ``refines`` names the work whose claim it makes explicit."""

    source: str = "docs/theory.md"


@dataclass(frozen=True)
class Cited(Status):
    """Stated in a source whose own text was read."""


@dataclass(frozen=True)
class Reported(Status):
    """Known from abstracts or summaries: wording, constants or metric of the source were not seen."""


@dataclass(frozen=True)
class Conjecture(Status):
    """Believed by somebody, proved by nobody."""


@dataclass(frozen=True)
class Theorem(Displayed):
    """A claim about every instance that satisfies its assumptions.

    Parameters
    ----------
    id : str
        Lower-case words joined by dots and hyphens, e.g. ``"attention.ngd.direction"``.
    title : str
        What it says, in a line.
    system : System
    assumes : sequence of Assumption
    claim : SymPy relation (<=, >=, <, >) over observables, or a `Claim`
        A relation is claimed at every step; `Order`, `Tends`, `Likely` and `Sooner` are the other kinds.
    status : Status
        `Derived`, `Cited`, `Reported` or `Conjecture`.
    domain : SymPy relation, optional
        The steps it speaks about; every step where its observables are defined if absent.
    trivial : SymPy expression, optional
        The level that the claim's smaller side never exceeds anyway (its larger side never falls below, for a
        lower bound on an observable).  Taken from the observable when one side is a single observable.

    Raises
    ------
    InvalidClaim
        If any part cannot be stated so; the message names the part and the fix.
    """

    id: str
    title: str
    system: System
    assumes: tuple[Assumption, ...]
    claim: sp.core.relational.Relational | Claim
    status: Status
    domain: sp.core.relational.Relational | None = None
    trivial: sp.Expr | None = field(default=None)

    def __init__(
        self,
        id: str,
        title: str,
        system: System,
        assumes: Sequence[Assumption],
        claim: sp.core.relational.Relational | Claim,
        status: Status,
        domain: sp.core.relational.Relational | None = None,
        trivial: sp.Expr | int | None = None,
    ) -> None:
        if not isinstance(id, str) or not re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", id):
            raise InvalidClaim(
                f"id {id!r}: use lower-case words joined by dots and hyphens, like 'my.first-bound'"
            )
        if not isinstance(title, str) or not title.strip():
            raise InvalidClaim(f"{id}: give a title that says in a line what is claimed")
        if not isinstance(system, System):
            raise InvalidClaim(f"{id}: system must be a System such as ATTENTION, not {system!r}")
        wrong = [a for a in assumes if not isinstance(a, Assumption)]
        if wrong:
            hint = " (write it with parentheses)" if isinstance(wrong[0], type) else ""
            raise InvalidClaim(f"{id}: {wrong[0]!r} is not an assumption{hint}; see bounds/assumptions.py")
        if not isinstance(status, Status) or type(status) is Status:
            raise InvalidClaim(f"{id}: status must be Derived, Cited, Reported or Conjecture, not {status!r}")
        for name, value in (
            ("id", id),
            ("title", title),
            ("system", system),
            ("status", status),
        ):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "assumes", tuple(assumes))
        where = f"{id}, claim"
        checked = claim.checked(where) if isinstance(claim, Claim) else check_relation(claim, where)
        object.__setattr__(self, "claim", checked)
        restricted = domain is not None and domain is not sp.true
        object.__setattr__(self, "domain", check_relation(domain, f"{id}, domain") if restricted else None)
        level = None if trivial is None else check_expression(trivial, f"{id}, trivial")
        object.__setattr__(self, "trivial", level)

    @cached_property
    def kind(self) -> str:
        """One of `KINDS`."""
        return self.claim.kind if isinstance(self.claim, Claim) else "pointwise"

    # ------------------------------------------------------- the pointwise claim as "small ≤ large"
    @property
    def relation(self) -> sp.core.relational.Relational:
        """The inequality of a pointwise claim.  Raises `TypeError` for the other kinds."""
        if isinstance(self.claim, Claim):
            raise TypeError(f"{self.id} is a claim of the kind {self.kind}: it has no two sides")
        return self.claim

    @property
    def small(self) -> sp.Expr:
        """The side that is claimed to be the smaller one."""
        return self.relation.lts

    @property
    def large(self) -> sp.Expr:
        """The side that is claimed to be the larger one."""
        return self.relation.gts

    @property
    def strict(self) -> bool:
        """Whether equality would already violate the claim."""
        return isinstance(self.relation, sp.Lt | sp.Gt)

    @property
    def bound_is_upper(self) -> bool:
        """Whether the bound (the side that is not the measured observable) is the larger side."""
        return not (self.large.is_Symbol and not self.small.is_Symbol)

    @cached_property
    def trivial_level(self) -> sp.Expr | None:
        """The value beyond which the bound says nothing, or None if every value says something."""
        if self.trivial is not None or isinstance(self.claim, Claim):
            return self.trivial
        measured = self.small if self.bound_is_upper else self.large
        bound = self.large if self.bound_is_upper else self.small
        if not measured.is_Symbol or bound.is_Symbol:
            return None  # nothing, or both sides, are single measured quantities
        observable = NOTATION[measured.name]
        return observable.trivially_below if self.bound_is_upper else observable.trivially_above

    @cached_property
    def observables(self) -> frozenset[str]:
        """Names of all observables in the claim, the domain and the assumptions."""
        return self._stated | _names([self.trivial_level])

    @cached_property
    def memory(self) -> frozenset[Memory]:
        """Which parts of the run the statement looks back on (see `Observable.memory`)."""
        stated = frozenset(NOTATION[name].memory for name in self._stated)
        if isinstance(self.claim, Claim) and any(isinstance(a, PositiveCoefficients) for a in self.assumes):
            # What happens as t grows needs its hypotheses from some step on, not from step 0.
            return (stated - {"start"}) | {"onset"}
        return stated

    @cached_property
    def _stated(self) -> frozenset[str]:
        limits = [a.limit for a in self.assumes if isinstance(a, StepAtMost)]
        limits += [a.relation for a in self.assumes if isinstance(a, Throughout)]
        stated = self.claim.expressions if isinstance(self.claim, Claim) else (self.claim,)
        return _names([*stated, self.domain, *limits])

    # ----------------------------------------------------------------------------- identity
    def canonical(self) -> str:
        """A text that two theorems share exactly when they state the same thing (titles may differ)."""
        if isinstance(self.claim, Claim):
            said: dict[str, object] = dict(self.claim.canonical())
        else:
            said = {"small": sp.srepr(self.small), "large": sp.srepr(self.large), "strict": self.strict}
        return json.dumps(
            {
                "system": self.system.name,
                "kind": self.kind,
                "assumes": sorted(a.canonical() for a in self.assumes),
                **said,
                "domain": None if self.domain is None else sp.srepr(self.domain),
            },
            sort_keys=True,
        )

    @property
    def fingerprint(self) -> str:
        """First sixteen hexadecimal digits of the SHA-256 of the canonical form."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The statement's name in docs/theory.md, such as ``F2``; empty for other theorems."""
        match = re.search(r"#([a-z]\d+)", self.status.proof)
        return match.group(1).upper() if match else ""

    @property
    def statement(self) -> str:
        """Assumptions and claim in plain text."""
        given = ", ".join(a.name for a in self.assumes) or "nothing"
        where = f" for {self.domain}" if self.domain is not None else ""
        return f"Assuming {given}: {self.claim}{where}"


def _names(expressions: Sequence[sp.Basic | None]) -> frozenset[str]:
    return frozenset(s.name for e in expressions if e is not None for s in e.free_symbols)
