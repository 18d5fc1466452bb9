"""Exact matrices and pair features against fractions and dense formulas."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq, fmpz_mat
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dataset import Array, TokenDataset
from models.dyadic import DyadicMatrix, nearest_float, rounded
from models.pairs import PairFeatures

EXAMPLES = settings(derandomize=True, deadline=None, max_examples=60)
EXTREMES = [5e-324, -5e-324, 2.2250738585072014e-308, 0.0, -0.0, 1e308, -1e308, 1.7976931348623157e308, 0.1]
FLOATS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(EXTREMES))
SIZES = st.integers(1, 3)
Rows = list[list[Fraction]]


@st.composite
def matrices(draw: st.DrawFn, rows: int, columns: int) -> Array:
    values = draw(st.lists(FLOATS, min_size=rows * columns, max_size=rows * columns))
    return np.array(values).reshape(rows, columns)


def fraction(value: fmpq) -> Fraction:
    return Fraction(int(value.p), int(value.q))


def exactly(matrix: DyadicMatrix) -> Rows:
    return [[fraction(x) for x in row] for row in matrix.rationals()]


def rows(values: Array) -> Rows:
    return [[Fraction(x) for x in row] for row in values.tolist()]


def product(a: Rows, b: Rows) -> Rows:
    return [
        [sum((x * y for x, y in zip(row, column, strict=True)), Fraction(0)) for column in zip(*b, strict=True)]
        for row in a
    ]


def nearest(value: Fraction) -> float:
    """The nearest float64, ties to even, straight from the definition of the format."""
    if value == 0:
        return 0.0
    magnitude = abs(value)
    exponent = max(magnitude.numerator.bit_length() - magnitude.denominator.bit_length() - 53, -1074)
    while magnitude >= Fraction(2) ** (exponent + 53):
        exponent += 1
    mantissa = round(magnitude / Fraction(2) ** exponent)  # at most 2⁵³; halves go to the even neighbour
    try:
        result = math.ldexp(mantissa, exponent)
    except OverflowError:
        result = math.inf
    return result if value > 0 else -result


# --------------------------------------------------------------------- DyadicMatrix
@EXAMPLES
@given(st.data(), SIZES, SIZES)
def test_every_float_matrix_is_kept_exactly(data: st.DataObject, n: int, m: int) -> None:
    values = data.draw(matrices(n, m))
    exact = DyadicMatrix(values)
    assert exactly(exact) == rows(values)
    assert exact.floats().shape == (n, m)
    assert (exact.floats() == values).all()


@EXAMPLES
@given(st.data(), SIZES, SIZES, SIZES)
def test_products_are_exact_and_rounded_once(data: st.DataObject, n: int, m: int, k: int) -> None:
    a, b = data.draw(matrices(n, m)), data.draw(matrices(m, k))
    exact = DyadicMatrix(a) @ DyadicMatrix(b)
    expected = product(rows(a), rows(b))
    assert exactly(exact) == expected
    assert exact.floats().tolist() == [[nearest(x) for x in row] for row in expected]


@EXAMPLES
@given(st.data(), SIZES, SIZES)
def test_transpose_and_differences(data: st.DataObject, n: int, m: int) -> None:
    a, b = data.draw(matrices(n, m)), data.draw(matrices(n, m))
    pairs = [list(zip(x, y, strict=True)) for x, y in zip(rows(a), rows(b), strict=True)]
    difference = DyadicMatrix(a) - DyadicMatrix(b)
    assert exactly(DyadicMatrix(a).T) == rows(a.T)
    assert exactly(difference) == [[x - y for x, y in row] for row in pairs]
    assert difference.floats().tolist() == [[nearest(x - y) for x, y in row] for row in pairs]


@EXAMPLES
@given(st.data(), SIZES, SIZES)
def test_differences_of_rows(data: st.DataObject, n: int, m: int) -> None:
    values = data.draw(matrices(n, m))
    chosen = data.draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), min_size=1, max_size=5))
    left, right = [a for a, _ in chosen], [b for _, b in chosen]
    expected = [[x - y for x, y in zip(rows(values)[a], rows(values)[b], strict=True)] for a, b in chosen]
    assert exactly(DyadicMatrix(values).differences(left, right)) == expected


@EXAMPLES
@given(st.data(), SIZES, SIZES)
def test_entrywise_products_with_expanded_factors(data: st.DataObject, n: int, m: int) -> None:
    a, factor = data.draw(matrices(n, m)), data.draw(matrices(2, m))
    chosen = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    expected = [[x * y for x, y in zip(rows(a)[k], rows(factor)[r], strict=True)] for k, r in enumerate(chosen)]
    entrywise = DyadicMatrix(a).hadamard(DyadicMatrix(factor), rows=chosen)
    assert exactly(entrywise) == expected
    assert entrywise.floats().tolist() == [[nearest(x) for x in row] for row in expected]
    columns = data.draw(st.lists(st.integers(0, m - 1), min_size=m, max_size=m))
    entrywise = DyadicMatrix(a).hadamard(DyadicMatrix(factor), rows=chosen, columns=columns)
    assert exactly(entrywise) == [
        [x * rows(factor)[r][c] for x, c in zip(rows(a)[k], columns, strict=True)] for k, r in enumerate(chosen)
    ]


@pytest.mark.parametrize(("chosen", "columns"), [([0, 0, 0], None), ([0], None), ([0, 0], [0])])
def test_expanded_factors_must_fit(chosen: list[int], columns: list[int] | None) -> None:
    with pytest.raises(ValueError, match=r"."):
        DyadicMatrix(np.ones((2, 2))).hadamard(DyadicMatrix(np.ones((1, 2))), rows=chosen, columns=columns)


def test_the_zero_matrix() -> None:
    zero = DyadicMatrix(np.array([[0.0, -0.0]]))
    assert exactly(zero) == [[0, 0]]
    assert exactly(zero @ zero.T) == [[0]]
    assert exactly(zero - DyadicMatrix(np.array([[5e-324, 1e308]]))) == [[-Fraction(5e-324), -Fraction(1e308)]]


@EXAMPLES
@given(st.lists(st.integers(-(2**80), 2**80), min_size=1, max_size=4), st.integers(-1200, 1200))
def test_rounding_is_to_the_nearest_float(integers: list[int], exponent: int) -> None:
    exact = DyadicMatrix.of(fmpz_mat(1, len(integers), integers), exponent)
    expected = [nearest(x * Fraction(2) ** exponent) for x in integers]
    assert exact.floats()[0].tolist() == expected
    assert [rounded(x, exponent) for x in integers] == expected


HALFWAY = 2**53 + 1  # 54 bits: exactly between two floats
ROUNDING: list[tuple[int, int, float]] = [
    (HALFWAY, 0, 2.0**53),
    (HALFWAY + 2, 0, 2.0**53 + 4),
    (-HALFWAY, 0, -(2.0**53)),
    (HALFWAY, -60, 2.0**-7),
    (1, -1074, 5e-324),
    (1, -1075, 0.0),
    (3, -1075, 1e-323),
    (2**60 + 1, -1135, 5e-324),
    (1, -5000, 0.0),
    (2**54 - 1, 970, math.inf),
    (2**54 - 2, 970, 1.7976931348623157e308),
    (-1, 1024, -math.inf),
    (1, 5000, math.inf),
    (2**3000, -1000, math.inf),
    (-(2**3000), -1000, -math.inf),
    (2**3000, -2999, 2.0),
    # An integer rounded to some shorter length first would now be a tie, and be rounded the wrong way.
    ((HALFWAY << 11) + 1, 0, 2.0**64 + 2.0**12),
    ((HALFWAY << 300) + 1, -300, 2.0**53 + 2),
    ((HALFWAY << 300) - 1, -300, 2.0**53),
    (((HALFWAY + 2) << 300) - 1, -300, 2.0**53 + 2),
    (-(HALFWAY << 300) - 1, -300, -(2.0**53) - 2),
]


@pytest.mark.parametrize(("integer", "exponent", "expected"), ROUNDING)
def test_rounding_at_the_edges(integer: int, exponent: int, expected: float) -> None:
    assert rounded(integer, exponent) == expected
    assert DyadicMatrix.of(fmpz_mat(1, 1, [integer]), exponent).floats().tolist() == [[expected]]
    assert nearest_float(fmpq(integer) * fmpq(2) ** exponent) == expected
    assert nearest(integer * Fraction(2) ** exponent) == expected


def test_one_entry_beyond_the_range_leaves_the_others_right() -> None:
    exact = DyadicMatrix.of(fmpz_mat(1, 3, [2**3000, HALFWAY, -(2**3000)]), -100)
    assert exact.floats().tolist() == [[math.inf, nearest(Fraction(HALFWAY, 2**100)), -math.inf]]


@EXAMPLES
@given(st.fractions())
def test_nearest_float_of_a_rational(value: Fraction) -> None:
    assert nearest_float(fmpq(value.numerator, value.denominator)) == nearest(value)


# --------------------------------------------------------------------- PairFeatures
@st.composite
def datasets(draw: st.DrawFn) -> TokenDataset:
    """Small datasets of any magnitude; the first coordinate decides the scores."""
    n, T, d = draw(st.integers(1, 3)), draw(st.integers(2, 4)), draw(st.integers(1, 3))
    X = np.stack([draw(matrices(T, d)) for _ in range(n)])
    X[:, :, 0] = np.array([draw(st.permutations(range(T))) for _ in range(n)])
    u = np.eye(d)[0]
    y = draw(st.lists(st.sampled_from([1, -1]), min_size=n, max_size=n))
    return TokenDataset(X, y, u, draw(st.none() | matrices(n, d)))


def dense_features(dataset: TokenDataset) -> list[Rows]:
    """Z_it = (x_{i,o_i} − x_it) q_iᵀ as fractions, in pair order."""
    result = []
    for i, query in enumerate(rows(dataset.queries)):
        tokens = rows(dataset.X[i])
        best = tokens[dataset.optimal[i]]
        for t in dataset.others[i]:
            difference = [a - b for a, b in zip(best, tokens[t], strict=True)]
            result.append([[a * q for q in query] for a in difference])
    return result


def inner(A: Rows, B: Rows) -> Fraction:
    entries = ((a, b) for x, y in zip(A, B, strict=True) for a, b in zip(x, y, strict=True))
    return sum((a * b for a, b in entries), Fraction(0))


@EXAMPLES
@given(datasets())
def test_gram_and_radius_are_the_dense_ones(dataset: TokenDataset) -> None:
    features, Z = PairFeatures(dataset), dense_features(dataset)
    assert len(Z) == dataset.N
    gram = [[inner(a, b) for b in Z] for a in Z]
    assert exactly(features.exact_gram) == gram
    assert features.gram.tolist() == [[nearest(x) for x in row] for row in gram]
    assert fraction(features.exact_radius_sq) == max(gram[j][j] for j in range(dataset.N))
    assert features.radius == math.sqrt(nearest(max(gram[j][j] for j in range(dataset.N))))


@EXAMPLES
@given(st.data(), datasets())
def test_margins_are_the_dense_ones(data: st.DataObject, dataset: TokenDataset) -> None:
    W = data.draw(matrices(dataset.d, dataset.d))
    margins = PairFeatures(dataset).exact_margins(W)
    assert [fraction(m) for m in margins] == [inner(Z, rows(W)) for Z in dense_features(dataset)]


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize(("n", "T", "d"), [(1, 2, 1), (1, 5, 3), (3, 4, 5), (4, 2, 7)])
def test_float_formulas_agree_with_numpy(n: int, T: int, d: int, cross: bool) -> None:
    rng = np.random.default_rng([n, T, d])
    X, y, u = rng.normal(size=(n, T, d)), rng.choice([-1, 1], size=n), rng.normal(size=d)
    dataset = TokenDataset(X, y, u, rng.normal(size=(n, d)) if cross else None)
    features = PairFeatures(dataset)
    best = X[np.arange(n), dataset.optimal]
    Z = np.array([np.outer(best[i] - X[i, t], dataset.queries[i]) for i in range(n) for t in dataset.others[i]])
    flat = Z.reshape(dataset.N, d * d)
    assert np.allclose(features.gram, flat @ flat.T, rtol=1e-12, atol=1e-12)
    assert math.isclose(features.radius, np.linalg.norm(flat, axis=1).max(), rel_tol=1e-14)
    W, weights = rng.normal(size=(d, d)), rng.normal(size=dataset.N)
    margins = np.array([nearest_float(m) for m in features.exact_margins(W)])
    assert np.allclose(margins, flat @ W.ravel(), rtol=1e-12, atol=1e-12)
    # The margin is what the attention logits differ by: x_oᵀ W q − x_tᵀ W q.
    logits = np.einsum("itd,de,ie->it", X, W, dataset.queries)
    differences = [logits[i, dataset.optimal[i]] - logits[i, t] for i in range(n) for t in dataset.others[i]]
    assert np.allclose(margins, differences, rtol=1e-11, atol=1e-11)
    combined = features.combine(weights)
    assert combined.shape == (d, d)
    assert np.allclose(combined, np.tensordot(weights, Z, axes=1), rtol=1e-12, atol=1e-12)
    # ⟨Σ_j w_j Z_j, W⟩ = Σ_j w_j m_j(W)
    assert math.isclose(float(np.vdot(combined, W)), float(weights @ margins), rel_tol=1e-10, abs_tol=1e-10)
