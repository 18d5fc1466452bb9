"""Token datasets: what a self-attention layer is trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from flint import fmpq
from numpy.typing import ArrayLike, NDArray

from models.dyadic import DyadicMatrix, nearest_float

Array = NDArray[np.float64]


class InvalidDataset(ValueError):
    """The data cannot be a token dataset; the message names the entry and the fix."""


class AttentionTokens:
    """Labelled sequences of tokens that a fixed decoder scores: optimal tokens and score gaps, decided exactly.

    What the datasets of attention in its several forms have in common.
    """

    X: Array
    y: Array
    u: Array

    @property
    def n(self) -> int:
        """Number of sequences."""
        return int(self.X.shape[0])

    @property
    def T(self) -> int:
        """Tokens in each sequence."""
        return int(self.X.shape[1])

    @property
    def d(self) -> int:
        """Token dimension."""
        return int(self.X.shape[2])

    @property
    def N(self) -> int:
        """Number of pairs (sequence, non-optimal token): n(T − 1)."""
        return self.n * (self.T - 1)

    @property
    def exact_keys(self) -> DyadicMatrix:
        """What attention compares with the query: the tokens unless a system says otherwise, one row each."""
        return DyadicMatrix(self.X.reshape(self.n * self.T, self.d))

    @property
    def queries(self) -> Array:
        """The query of each sequence, one row each: its first token unless a system says otherwise."""
        return self.X[:, 0, :]

    @cached_property
    def exact_scores(self) -> list[list[fmpq]]:
        """Token scores γ_it = y_i uᵀ x_it as exact rationals, ``[i][t]``."""
        flat = DyadicMatrix(self.X.reshape(-1, self.d)) @ DyadicMatrix(self.u.reshape(-1, 1))
        column = [row[0] for row in flat.rationals()]
        sign = [int(label) for label in self.y]
        return [[sign[i] * column[i * self.T + t] for t in range(self.T)] for i in range(self.n)]

    @cached_property
    def optimal(self) -> NDArray[np.int64]:
        """Index o_i of the optimal token of each sequence, shape (n,)."""
        best = np.array([row.index(max(row)) for row in self.exact_scores], dtype=np.int64)
        best.setflags(write=False)
        return best

    @cached_property
    def others(self) -> NDArray[np.int64]:
        """Indices of the non-optimal tokens, in order, shape (n, T − 1)."""
        rest = np.array([[t for t in range(self.T) if t != o] for o in self.optimal], dtype=np.int64)
        rest.setflags(write=False)
        return rest

    @cached_property
    def exact_gaps(self) -> list[list[fmpq]]:
        """Score gaps Δ_it of the non-optimal tokens (in the order of `others`), exact."""
        return [
            [row[o] - row[t] for t in others]
            for row, o, others in zip(self.exact_scores, self.optimal, self.others, strict=True)
        ]

    @property
    def equal_scores(self) -> bool:
        """Whether all non-optimal tokens of a sequence have the same score, exactly (assumption ES)."""
        return all(gap == gaps[0] for gaps in self.exact_gaps for gap in gaps)

    def _reject_ties(self) -> None:
        for i, row in enumerate(self.exact_scores):
            top = max(row)
            tied = [t for t, score in enumerate(row) if score == top]
            if len(tied) > 1:
                raise InvalidDataset(
                    f"sequence {i}: tokens {tied[0]} and {tied[1]} tie for the highest score "
                    f"{nearest_float(top):g}; the optimal token must be unique: change the decoder u or drop "
                    "the sequence"
                )


@dataclass(frozen=True, eq=False)
class TokenDataset(AttentionTokens):
    """Sequences of tokens with labels, a fixed decoder and (optionally) given queries.

    Sequence ``i`` holds the tokens ``X[i] = [x_{i,1} … x_{i,T}]`` with label ``y[i] ∈ {±1}``.  Its token
    scores are ``γ_it = y_i uᵀ x_it``; the *optimal token* ``o_i`` is the unique maximiser, and the *score
    gaps* ``Δ_it = γ_{i,o_i} − γ_it`` are positive for every other token (docs/theory.md#setting).

    The dataset is immutable.  Every number is kept as the exact binary fraction that the float is, so
    scores, gaps and ties are decided without rounding.

    Parameters
    ----------
    X : array, shape (n, T, d)
        Tokens.
    y : array, shape (n,)
        Labels, each +1 or −1.
    u : array, shape (d,)
        The fixed decoder.
    query : array, shape (n, d), optional
        Query vectors (cross-attention).  Without it the query is the first token (self-attention).

    Raises
    ------
    InvalidDataset
        For ragged, empty or non-finite arrays, shapes that disagree, labels other than ±1, fewer than two
        tokens, or a sequence whose largest score is attained twice.
    """

    unit: ClassVar[str] = "tokens"
    X: Array
    y: Array
    u: Array
    query: Array | None = None
    _id: str = field(init=False, repr=False, default="")

    def __init__(self, X: ArrayLike, y: ArrayLike, u: ArrayLike, query: ArrayLike | None = None) -> None:
        tokens = _finite_array("X", X, 3, "(n, T, d): n sequences of T tokens in d dimensions")
        labels = _finite_array("y", y, 1, "(n,)")
        decoder = _finite_array("u", u, 1, "(d,)")
        n, T, d = tokens.shape
        if min(n, d) < 1:
            raise InvalidDataset(f"X has shape {tokens.shape}: at least one sequence and one dimension are needed")
        if T < 2:
            raise InvalidDataset("X has one token a sequence: attention needs at least two to choose between")
        if labels.shape != (n,):
            raise InvalidDataset(f"y has {labels.shape[0]} labels for {n} sequences: give one a sequence")
        bad = np.flatnonzero(np.abs(labels) != 1.0)
        if bad.size:
            raise InvalidDataset(f"y[{bad[0]}] = {labels[bad[0]]:g}: labels must be +1 or -1")
        if decoder.shape != (d,):
            raise InvalidDataset(f"u has {decoder.shape[0]} entries for tokens of dimension {d}: give d")
        queries = None
        if query is not None:
            queries = _finite_array("query", query, 2, "(n, d): one query vector a sequence")
            if queries.shape != (n, d):
                raise InvalidDataset(f"query has shape {queries.shape}: it must be (n, d) = {(n, d)}")
        for name, value in (("X", tokens), ("y", labels), ("u", decoder), ("query", queries)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_id", "")
        self._reject_ties()

    @property
    def queries(self) -> Array:
        """The query of each sequence, shape (n, d)."""
        return super().queries if self.query is None else self.query

    # ------------------------------------------------------------------- JSON
    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` turns back into the same bits (numbers as hexadecimal floats)."""
        return {
            "X": hexadecimal(self.X),
            "y": [int(label) for label in self.y],
            "u": hexadecimal(self.u),
            "query": None if self.query is None else hexadecimal(self.query),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TokenDataset:
        """Rebuild a dataset from `to_json`.

        Raises
        ------
        InvalidDataset
            If a field is missing or is not what `to_json` writes.
        """
        try:
            query = data["query"]
            return cls(
                from_hexadecimal(data["X"]),
                data["y"],
                from_hexadecimal(data["u"]),
                None if query is None else from_hexadecimal(query),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidDataset(f"the stored dataset is damaged ({error!r}): restore the file") from None

    @property
    def id(self) -> str:
        """Short content identifier: equal exactly when the bits are equal."""
        if not self._id:
            object.__setattr__(self, "_id", content_id(self.to_json()))
        return self._id


def content_id(data: object) -> str:
    """First twelve hexadecimal digits of the SHA-256 of the canonical JSON of ``data``."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def hexadecimal(values: Array) -> Any:
    """Nested lists of `float.hex` strings: exact, and readable by any language."""
    if values.ndim == 0:
        return float(values).hex()
    return [hexadecimal(row) for row in values]


def from_hexadecimal(values: Any) -> Any:
    """Inverse of `hexadecimal` (as nested lists).  Raises `InvalidDataset` on text that is no float."""
    if isinstance(values, list):
        return [from_hexadecimal(value) for value in values]
    if not isinstance(values, str):
        raise InvalidDataset(f"expected a hexadecimal float such as '0x1.8p+0', found {values!r}")
    try:
        return float.fromhex(values)
    except (ValueError, OverflowError):
        raise InvalidDataset(f"{values[:40]!r} is not a hexadecimal float such as '0x1.8p+0'") from None


def _finite_array(name: str, values: ArrayLike, ndim: int, shape: str) -> Array:
    try:
        if np.iscomplexobj(values):
            raise TypeError  # NumPy would drop the imaginary part with no more than a warning
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidDataset(
            f"{name} is ragged or not numeric: give a full array of shape {shape} (pad or trim sequences)"
        ) from None
    if array.ndim != ndim:
        raise InvalidDataset(f"{name} has {array.ndim} axes: it must have shape {shape}")
    if not np.isfinite(array).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
        raise InvalidDataset(
            f"{name}{list(where)} = {array[where]}: every entry must be finite; drop or repair it"
        )
    array.setflags(write=False)
    return array
