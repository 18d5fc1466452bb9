"""Token datasets: what is rejected, what is exact, and what survives a trip through JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dataset import Array, InvalidDataset, TokenDataset, content_id, from_hexadecimal, hexadecimal

EXAMPLES = settings(derandomize=True, deadline=None, max_examples=60)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
EXTREMES = [5e-324, -5e-324, 2.2250738585072014e-308, 0.0, -0.0, 1e308, -1e308, 1.7976931348623157e308, 0.1, 1 / 3]


def small(**changes: Any) -> dict[str, Any]:
    """Arguments of a valid dataset with n = 2, T = 3, d = 2, some replaced."""
    arguments: dict[str, Any] = {
        "X": [[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]], [[0.0, 2.0], [-3.0, 0.0], [1.0, 1.0]]],
        "y": [1, -1],
        "u": [1.0, 0.25],
        "query": [[0.5, 0.5], [1.0, -1.0]],
    }
    return arguments | changes


def bits(dataset: TokenDataset) -> list[bytes | None]:
    arrays = (dataset.X, dataset.y, dataset.u, dataset.query)
    return [None if array is None else array.tobytes() for array in arrays]


@st.composite
def datasets(draw: st.DrawFn) -> TokenDataset:
    """Datasets with arbitrary floats everywhere except in the coordinate that decides the scores."""
    n, T, d = draw(st.integers(1, 3)), draw(st.integers(2, 3)), draw(st.integers(1, 3))
    values = st.one_of(FLOATS, st.sampled_from(EXTREMES))

    def array(*shape: int) -> Array:
        size = math.prod(shape)
        return np.array(draw(st.lists(values, min_size=size, max_size=size))).reshape(shape)

    X = array(n, T, d)
    X[:, :, 0] = np.array([draw(st.permutations(range(T))) for _ in range(n)])
    u = np.array(
        [draw(values.filter(bool)), *draw(st.lists(st.sampled_from([0.0, -0.0]), min_size=d - 1, max_size=d - 1))]
    )
    y = draw(st.lists(st.sampled_from([1, -1]), min_size=n, max_size=n))
    return TokenDataset(X, y, u, draw(st.none() | st.just(array(n, d))))


# -------------------------------------------------------------------------- validation
HUGE = 10**400
BAD_INPUT: list[tuple[str, dict[str, Any], str]] = [
    ("nan in X", {"X": [[[1, 0], [0, math.nan]]], "y": [1]}, "X[0, 1, 1] = nan: every entry must be finite; drop"),
    (
        "inf in X",
        {"X": [[[1, 0], [-math.inf, 0]]], "y": [1]},
        "X[0, 1, 0] = -inf: every entry must be finite; drop",
    ),
    ("nan in y", {"y": [1, math.nan]}, "y[1] = nan: every entry must be finite; drop"),
    ("inf in u", {"u": [math.inf, 0]}, "u[0] = inf: every entry must be finite; drop"),
    ("nan in query", {"query": [[0, 0], [math.nan, 0]]}, "query[1, 0] = nan: every entry must be finite; drop"),
    ("None in X", {"X": [[[1, None], [0, 1]]], "y": [1]}, "X[0, 0, 1] = nan: every entry must be finite; drop"),
    ("ragged tokens", {"X": [[[1, 0], [0]], [[1, 0], [0, 1]]]}, "X is ragged or not numeric: give a full array"),
    ("ragged sequences", {"X": [[[1, 0]], [[1, 0], [0, 1]]]}, "pad or trim sequences"),
    ("ragged query", {"query": [[1], [1, 2]]}, "query is ragged or not numeric: give a full array"),
    ("text", {"X": [[["a", "b"], ["c", "d"]]], "y": [1]}, "X is ragged or not numeric: give a full array"),
    ("object", {"u": {"a": 1}}, "u is ragged or not numeric: give a full array of shape (d,)"),
    ("complex list", {"u": [1j, 0]}, "u is ragged or not numeric: give a full array of shape (d,)"),
    ("complex array", {"u": np.array([1j, 0])}, "u is ragged or not numeric: give a full array of shape (d,)"),
    ("huge integer in X", {"X": [[[HUGE, 0], [0, 1]]], "y": [1]}, "X is ragged or not numeric"),
    ("huge integer in y", {"y": [HUGE, 1]}, "y is ragged or not numeric: give a full array of shape (n,)"),
    ("X with two axes", {"X": [[1, 0], [0, 1]]}, "X has 2 axes: it must have shape (n, T, d)"),
    ("X with four axes", {"X": [[[[1, 0]]]]}, "X has 4 axes: it must have shape (n, T, d)"),
    ("X a number", {"X": 3.0}, "X has 0 axes: it must have shape (n, T, d)"),
    ("y with two axes", {"y": [[1], [-1]]}, "y has 2 axes: it must have shape (n,)"),
    ("u with two axes", {"u": [[1, 0]]}, "u has 2 axes: it must have shape (d,)"),
    ("query with one axis", {"query": [1, 0]}, "query has 1 axes: it must have shape (n, d)"),
    ("no sequence", {"X": np.zeros((0, 2, 2)), "y": [], "query": None}, "at least one sequence and one dimension"),
    (
        "no dimension",
        {"X": np.zeros((2, 2, 0)), "u": [], "query": None},
        "at least one sequence and one dimension",
    ),
    ("empty list", {"X": []}, "X has 1 axes: it must have shape (n, T, d)"),
    ("no token", {"X": np.zeros((2, 0, 2))}, "attention needs at least two to choose between"),
    ("one token", {"X": [[[1, 0]], [[0, 1]]]}, "attention needs at least two to choose between"),
    ("label 0", {"y": [1, 0]}, "y[1] = 0: labels must be +1 or -1"),
    ("label 2", {"y": [2, 1]}, "y[0] = 2: labels must be +1 or -1"),
    ("label almost 1", {"y": [1, math.nextafter(1, 0)]}, "labels must be +1 or -1"),
    ("too few labels", {"y": [1]}, "y has 1 labels for 2 sequences: give one a sequence"),
    ("too many labels", {"y": [1, 1, 1]}, "y has 3 labels for 2 sequences: give one a sequence"),
    ("short decoder", {"u": [1]}, "u has 1 entries for tokens of dimension 2: give d"),
    ("long decoder", {"u": [1, 2, 3]}, "u has 3 entries for tokens of dimension 2: give d"),
    ("too few queries", {"query": [[1, 0]]}, "query has shape (1, 2): it must be (n, d) = (2, 2)"),
    ("queries of another dimension", {"query": [[1], [0]]}, "query has shape (2, 1): it must be (n, d) = (2, 2)"),
]


@pytest.mark.parametrize(("changes", "message"), [row[1:] for row in BAD_INPUT], ids=[row[0] for row in BAD_INPUT])
def test_bad_input_is_rejected_with_one_line_that_names_the_fix(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDataset) as caught:
        TokenDataset(**small(**changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


TIES: list[tuple[str, dict[str, Any], str]] = [
    ("repeated token", {"X": [[[1, 0], [0, 1], [1, 0]]]}, "tokens 0 and 2 tie for the highest score 1;"),
    ("zero decoder", {"X": [[[1, 0], [0, 1]]], "u": [0, 0]}, "tokens 0 and 1 tie for the highest score 0;"),
    (
        "label flips",
        {"X": [[[5, 0], [1, 7], [1, 3]]], "u": [1, 0], "y": [-1]},
        "tokens 1 and 2 tie for the highest",
    ),
    ("underflow", {"X": [[[5e-324, 0], [5e-324, 1]]], "u": [5e-324, 0]}, "tokens 0 and 1 tie"),
    ("overflow", {"X": [[[1e308, 0], [1e308, 1]]], "u": [1e308, 0]}, "tie for the highest score inf;"),
]


@pytest.mark.parametrize(("changes", "message"), [row[1:] for row in TIES], ids=[row[0] for row in TIES])
def test_ties_for_the_optimal_token_are_rejected(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDataset) as caught:
        TokenDataset(**small(y=[1], query=None) | changes)
    text = str(caught.value)
    assert text.startswith("sequence 0: ")
    assert message in text
    assert text.endswith("change the decoder u or drop the sequence")
    assert "\n" not in text


def test_the_tied_sequence_is_named() -> None:
    X = [[[2.0], [1.0]], [[1.0], [1.0]]]
    with pytest.raises(InvalidDataset, match=r"^sequence 1: "):
        TokenDataset(X, [1, 1], [1.0])


def test_a_tie_below_the_top_is_fine() -> None:
    dataset = TokenDataset([[[1.0], [2.0], [1.0]]], [1], [1.0])
    assert dataset.optimal.tolist() == [1]
    assert dataset.others.tolist() == [[0, 2]]


def test_a_difference_that_float_arithmetic_loses_is_not_a_tie() -> None:
    X = [[[1.0, 2.0**-60], [1.0, 0.0]]]
    u = np.array([1.0, 1.0])
    assert np.ptp(np.array(X[0]) @ u) == 0.0  # in floats the two scores agree
    assert TokenDataset(X, [1], u).optimal.tolist() == [0]
    assert TokenDataset(X, [-1], u).optimal.tolist() == [1]


# ------------------------------------------------------------------------- immutability
def test_fields_cannot_be_replaced() -> None:
    dataset = TokenDataset(**small())
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.X = np.zeros((2, 3, 2))  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del dataset.u


@pytest.mark.parametrize("query", [None, [[0.5, 0.5], [1.0, -1.0]]])
def test_entries_cannot_be_changed(query: Any) -> None:
    dataset = TokenDataset(**small(query=query))
    arrays = [dataset.X, dataset.y, dataset.u, dataset.queries, dataset.optimal, dataset.others]
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[(0,) * array.ndim] = 7


def test_the_callers_arrays_stay_their_own() -> None:
    X, u = np.array(small()["X"]), np.array(small()["u"])
    dataset = TokenDataset(X, [1, -1], u)
    before = dataset.id
    X[0, 0, 0], u[0] = 100.0, -100.0
    assert dataset.X[0, 0, 0] == 1.0
    assert dataset.u[0] == 1.0
    assert TokenDataset.from_json(dataset.to_json()).id == before


# ------------------------------------------------------------------------------- sizes
def test_sizes_and_queries() -> None:
    dataset = TokenDataset(**small())
    assert (dataset.n, dataset.T, dataset.d, dataset.N) == (2, 3, 2, 4)
    assert dataset.queries.tolist() == small()["query"]
    self_attention = TokenDataset(**small(query=None))
    assert self_attention.queries.tolist() == [row[0] for row in small()["X"]]


# ------------------------------------------------------------------------------ scores
def fractions(dataset: TokenDataset) -> list[list[Fraction]]:
    u = [Fraction(x) for x in dataset.u.tolist()]
    return [
        [
            int(label) * sum((Fraction(x) * w for x, w in zip(token, u, strict=True)), Fraction(0))
            for token in tokens
        ]
        for tokens, label in zip(dataset.X.tolist(), dataset.y.tolist(), strict=True)
    ]


@EXAMPLES
@given(datasets())
def test_scores_gaps_and_optimal_tokens_are_exact(dataset: TokenDataset) -> None:
    expected = fractions(dataset)
    found = [[Fraction(int(s.p), int(s.q)) for s in row] for row in dataset.exact_scores]
    assert found == expected
    for i, row in enumerate(expected):
        o = int(dataset.optimal[i])
        assert all(row[o] > score for t, score in enumerate(row) if t != o)
        assert dataset.others[i].tolist() == [t for t in range(dataset.T) if t != o]
        gaps = [Fraction(int(g.p), int(g.q)) for g in dataset.exact_gaps[i]]
        assert gaps == [row[o] - row[t] for t in dataset.others[i]]
        assert all(gap > 0 for gap in gaps)


@EXAMPLES
@given(
    st.lists(FLOATS, min_size=6, max_size=6), st.lists(FLOATS, min_size=2, max_size=2), st.sampled_from([1, -1])
)
def test_scores_with_a_full_decoder_are_exact(values: list[float], u: list[float], label: int) -> None:
    X = np.array(values).reshape(1, 3, 2)
    exact = sorted(
        label * sum((Fraction(x) * Fraction(w) for x, w in zip(token, u, strict=True)), Fraction(0))
        for token in X[0].tolist()
    )
    if exact[-1] == exact[-2]:
        with pytest.raises(InvalidDataset, match="tie"):
            TokenDataset(X, [label], u)
    else:
        assert fractions(TokenDataset(X, [label], u))[0][TokenDataset(X, [label], u).optimal[0]] == exact[-1]


@given(st.lists(FLOATS, min_size=8, max_size=8), st.sampled_from([1, -1]), st.integers(0, 2))
@EXAMPLES
def test_equal_scores_hold_exactly_for_a_decoder_on_a_coordinate_axis(
    noise: list[float], label: int, axis: int
) -> None:
    X = np.insert(np.array(noise).reshape(1, 4, 2), axis, [[0.1, 0.1, 0.7, 0.1]], axis=2)
    if label < 0:
        X[0, :, axis] *= -1
    u = np.where(np.arange(3) == axis, 0.3, 0.0)
    assert TokenDataset(X, [label], u).equal_scores
    X[0, 3, axis] = np.nextafter(X[0, 3, axis], 0.0)
    assert not TokenDataset(X, [label], u).equal_scores


def test_gaps_that_only_float_arithmetic_makes_equal_are_not_equal() -> None:
    X = [[[4.0, 0.0], [1.0, 0.0], [1.0, 2.0**-80]]]
    assert not TokenDataset(X, [1], [1.0, 1.0]).equal_scores
    assert TokenDataset(X, [1], [1.0, 0.0]).equal_scores


def test_equal_scores_are_a_matter_of_each_sequence() -> None:
    X = [[[4.0], [1.0], [1.0]], [[4.0], [3.0], [3.0]]]
    assert TokenDataset(X, [1, 1], [1.0]).equal_scores
    assert TokenDataset([[[4.0], [1.0]]], [1], [1.0]).equal_scores  # one other token: nothing to compare


# -------------------------------------------------------------------------------- JSON
@EXAMPLES
@given(datasets())
def test_json_round_trip_keeps_every_bit(dataset: TokenDataset) -> None:
    text = json.dumps(dataset.to_json(), allow_nan=False)
    again = TokenDataset.from_json(json.loads(text))
    assert bits(again) == bits(dataset)
    assert again.id == dataset.id
    assert json.dumps(again.to_json()) == text


@EXAMPLES
@given(st.lists(st.one_of(FLOATS, st.sampled_from(EXTREMES)), max_size=6))
def test_hexadecimal_is_exact(values: list[float]) -> None:
    array = np.array(values, dtype=np.float64)
    assert np.array(from_hexadecimal(hexadecimal(array)), dtype=np.float64).tobytes() == array.tobytes()


@pytest.mark.parametrize("field", ["X", "y", "u", "query"])
def test_json_without_a_field_is_damaged(field: str) -> None:
    data = TokenDataset(**small()).to_json()
    del data[field]
    with pytest.raises(InvalidDataset, match=f"damaged.*{field}.*: restore the file"):
        TokenDataset.from_json(data)


DAMAGE: list[tuple[str, Any]] = [
    ("X", 3),
    ("X", None),
    ("X", "0x1p+0"),
    ("X", [[["0x1p+0", "zz"], ["0x0p+0", "0x0p+0"]]]),
    ("X", [[["0x1p+0"], ["0x1p+0", "0x1p+0"]]]),
    ("X", [[[1.0, 0.0], [0.0, 1.0]]]),
    ("X", {"0": "0x1p+0"}),
    ("X", []),
    ("y", [1]),
    ("y", [1, 3]),
    ("y", "+-"),
    ("y", [1, "minus"]),
    ("y", {"a": 1}),
    ("y", None),
    ("y", [10**400, 1]),
    ("u", ["0x1p+5000", "0x0p+0"]),
    ("u", ["nan", "0x0p+0"]),
    ("u", ["inf", "0x0p+0"]),
    ("u", ["0x1p+0"]),
    ("u", ["", "0x0p+0"]),
    ("u", True),
    ("query", [["0x1p+0"]]),
    ("query", 0),
    ("query", [[None, None], [None, None]]),
]


@pytest.mark.parametrize(("field", "value"), DAMAGE)
def test_damaged_json_is_rejected(field: str, value: Any) -> None:
    data = TokenDataset(**small()).to_json() | {field: value}
    with pytest.raises(InvalidDataset) as caught:
        TokenDataset.from_json(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "text", 3, {}, [1, 2]])
def test_json_that_is_no_dataset_is_rejected(data: Any) -> None:
    with pytest.raises(InvalidDataset, match="damaged"):
        TokenDataset.from_json(data)


# ---------------------------------------------------------------------------------- id
def test_the_id_is_stable() -> None:
    assert TokenDataset(**small()).id == "e405b1a2aac2"
    assert content_id({"b": 1, "a": [2]}) == content_id({"a": [2], "b": 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"y": [1, 1]},
        {"u": [1.0, math.nextafter(0.25, 1)]},
        {"query": None},
        {"query": [[0.5, 0.5], [1.0, math.nextafter(-1.0, 0)]]},
        {"X": [[[1.0, -0.0], [0.0, 1.0], [-1.0, 0.5]], [[0.0, 2.0], [-3.0, 0.0], [1.0, 1.0]]]},
        {"X": [[[1.0, 5e-324], [0.0, 1.0], [-1.0, 0.5]], [[0.0, 2.0], [-3.0, 0.0], [1.0, 1.0]]]},
    ],
)
def test_the_id_sees_every_bit(changes: dict[str, Any]) -> None:
    assert TokenDataset(**small(**changes)).id != TokenDataset(**small()).id


def test_the_id_depends_on_the_numbers_alone() -> None:
    whole = small(X=[[[1, 0], [0, 1]], [[0, 2], [-3, 0]]])
    arrays = {name: np.array(value, dtype=np.float32) for name, value in whole.items()}
    assert TokenDataset(**whole).id == TokenDataset(**arrays).id
    assert TokenDataset(**whole).id == TokenDataset(**whole).id


def test_id_of_given_queries_differs_from_self_attention() -> None:
    queries = [row[0] for row in small()["X"]]
    assert TokenDataset(**small(query=queries)).id != TokenDataset(**small(query=None)).id
