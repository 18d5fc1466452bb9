"""The exact W-SVM: optimality is re-proved here in fractions, and the answer held against cvxpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import cvxpy as _cvxpy
import flint
import numpy as np
import pytest
from flint import arb, arb_mat, fmpq, fmpz_mat
from hypothesis import given, settings
from hypothesis import strategies as st

from models import maxmargin, maxmargin_balls, pairs
from models.dataset import Array, InvalidDataset, TokenDataset
from models.dyadic import nearest_float
from models.maxmargin import InseparableError, MaxMargin, propose_support, solve
from models.pairs import PairFeatures, TooLarge

EXAMPLES = settings(derandomize=True, deadline=None, max_examples=100)
Vector = list[Fraction]
cvxpy: Any = _cvxpy  # typed only in part


def random_features(n: int, T: int, d: int, cross: bool, seed: int = 0) -> PairFeatures:
    """Pair features of Gaussian tokens; separable for n ≤ d, for W can map every query to y_i u."""
    rng = np.random.default_rng([n, T, d, seed])
    X, y, u = rng.normal(size=(n, T, d)), rng.choice([-1, 1], size=n), rng.normal(size=d)
    return PairFeatures(TokenDataset(X, y, u, rng.normal(size=(n, d)) if cross else None))


def vector_features(vectors: Sequence[Sequence[float]] | Array, query: float = 1.0) -> PairFeatures:
    """Pair features Z_j = v_j (query · e_1)ᵀ, so that ⟨Z_j, Z_k⟩ = query² ⟨v_j, v_k⟩: any vectors v_j ≠ 0.

    Each is a sequence of two tokens, 0 and −v_j, with the label that makes 0 the optimal one.
    """
    v = np.array(vectors, dtype=np.float64)
    N, d = v.shape
    u = np.sqrt([2.0, 3.0, 5.0, 7.0])[:d]
    scores = [
        sum((Fraction(a) * Fraction(b) for a, b in zip(row, u.tolist(), strict=True)), Fraction(0))
        for row in v.tolist()
    ]
    X = np.stack([np.zeros_like(v), -v], axis=1)
    queries = np.zeros((N, d))
    queries[:, 0] = query
    return PairFeatures(TokenDataset(X, [1 if score > 0 else -1 for score in scores], u, queries))


def dense(features: PairFeatures) -> list[Vector]:
    """Z_j as flat exact vectors, straight from the definition."""
    dataset, result = features.dataset, []
    for i, query in enumerate(dataset.queries.tolist()):
        tokens = dataset.X[i].tolist()
        best = tokens[dataset.optimal[i]]
        for t in dataset.others[i]:
            difference = [Fraction(a) - Fraction(b) for a, b in zip(best, tokens[t], strict=True)]
            result.append([a * Fraction(q) for a in difference for q in query])
    return result


def dot(a: Vector, b: Vector) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def combine(weights: list[Fraction], Z: list[Vector]) -> Vector:
    return [dot(weights, list(column)) for column in zip(*Z, strict=True)]


def fractions(values: list[fmpq]) -> list[Fraction]:
    return [Fraction(int(x.p), int(x.q)) for x in values]


def assert_optimal(solution: MaxMargin, features: PairFeatures) -> None:
    """Prove optimality anew: W = Σλ_jZ_j feasible, λ ≥ 0, and λ_j > 0 only where the margin is 1."""
    Z, multipliers = dense(features), fractions(solution.multipliers)
    W = combine(multipliers, Z)
    margins = [dot(z, W) for z in Z]
    assert fractions(solution.margins) == margins
    assert all(m >= 1 for m in margins)
    assert all(w >= 0 for w in multipliers)
    assert all(m == 1 for w, m in zip(multipliers, margins, strict=True) if w > 0)
    assert sorted(solution.support) == [j for j, w in enumerate(multipliers) if w > 0]
    assert Fraction(int(solution.norm_sq.p), int(solution.norm_sq.q)) == dot(W, W)
    assert solution.primal_residual() == 0
    assert solution.dual_residual() == 0
    assert solution.complementarity() == 0
    # The floats are the exact values to the last bits.
    root = math.sqrt(nearest_float(1 / solution.norm_sq))
    assert solution.gamma == pytest.approx(root, rel=1e-15)
    assert solution.direction == pytest.approx(root * np.array([float(w) for w in multipliers]), rel=1e-14)
    assert solution.alignments == pytest.approx(root * np.array([float(m) for m in margins]), rel=1e-14)


def assert_inseparable(error: InseparableError, features: PairFeatures) -> None:
    """Prove inseparability anew: p ≥ 0, Σp = 1, Σ p_j Z_j = 0, hence pᵀKp = 0."""
    p, Z = fractions(error.certificate), dense(features)
    assert len(p) == len(Z)
    assert all(w >= 0 for w in p)
    assert sum(p) == 1
    assert not any(combine(p, Z))
    gram = [fractions(row) for row in features.exact_gram.rationals()]
    assert dot(p, [dot(row, p) for row in gram]) == 0
    assert "\n" not in str(error)
    assert "drop one of their sequences or add dimensions" in str(error)


def settle(features: PairFeatures) -> MaxMargin | None:
    """Solve and prove the answer, whichever it is; None for inseparable data."""
    try:
        solution = solve(features)
    except InseparableError as error:
        assert_inseparable(error, features)
        return None
    assert_optimal(solution, features)
    return solution


# ------------------------------------------------------------------- against cvxpy
def clarabel(features: PairFeatures) -> tuple[str, float, Array]:
    """Status, norm and W of min ‖W‖_F subject to ⟨Z_j, W⟩ ≥ 1, by an interior-point method."""
    Z = np.array([[float(x) for x in z] for z in dense(features)])
    W = cvxpy.Variable(Z.shape[1])
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(W)), [Z @ W >= 1])
    problem.solve(solver=cvxpy.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    d = features.dataset.d
    if W.value is None:
        return str(problem.status), math.nan, np.full((d, d), math.nan)
    return str(problem.status), math.sqrt(float(problem.value)), np.asarray(W.value).reshape(d, d)


SHAPES = [(1, 2, 1), (1, 5, 3), (2, 2, 2), (3, 3, 4), (2, 10, 2), (4, 6, 4), (5, 4, 7), (6, 9, 16)]


@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
@pytest.mark.parametrize(("n", "T", "d"), SHAPES)
def test_the_solution_is_that_of_cvxpy(n: int, T: int, d: int, cross: bool) -> None:
    features = random_features(n, T, d, cross)
    solution = solve(features)
    assert_optimal(solution, features)
    status, norm, W = clarabel(features)
    assert status == cvxpy.OPTIMAL
    assert math.sqrt(nearest_float(solution.norm_sq)) == pytest.approx(norm, rel=1e-7)
    assert solution.gamma == pytest.approx(1 / norm, rel=1e-7)
    W_mm = features.combine(np.array([nearest_float(w) for w in solution.multipliers]))
    assert pytest.approx(W, abs=1e-5 * norm) == W_mm
    assert features.combine(solution.direction) == pytest.approx(W_mm * solution.gamma, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_separability_is_that_of_cvxpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = vector_features(rng.normal(size=(3 + seed % 3, 2)))
    status, norm, _ = clarabel(features)
    solution = settle(features)
    assert status == (cvxpy.INFEASIBLE if solution is None else cvxpy.OPTIMAL)
    if solution is not None:
        assert math.sqrt(nearest_float(solution.norm_sq)) == pytest.approx(norm, rel=1e-7)


# ---------------------------------------------------------------------- degenerate
def vectors_in(d: int) -> st.SearchStrategy[list[tuple[int, ...]]]:
    entries = st.tuples(*[st.integers(-2, 2)] * d).filter(any)
    return st.lists(entries, min_size=1, max_size=7)


@EXAMPLES
@given(st.integers(1, 3).flatmap(vectors_in))
def test_small_whole_numbers_full_of_coincidences(vectors: list[tuple[int, ...]]) -> None:
    """Repeats, opposites, collinear points and margins of exactly 1 off the support are common here."""
    settle(vector_features(vectors))


@EXAMPLES
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(-2, 2)), min_size=1, max_size=9))
def test_vectors_in_a_half_plane_are_separable(vectors: list[tuple[int, int]]) -> None:
    assert settle(vector_features(vectors)) is not None


KNOWN: list[tuple[str, list[tuple[float, ...]], Fraction, list[Fraction]]] = [
    # name, vectors, ‖W_mm‖², margins
    ("one pair", [(2.0, 0.0)], Fraction(1, 4), [Fraction(1)]),
    ("repeated pairs", [(2.0, 0.0)] * 4, Fraction(1, 4), [Fraction(1)] * 4),
    ("repeated support", [(1.0, 1.0), (1.0, -1.0)] * 3, Fraction(1), [Fraction(1)] * 6),
    ("margin of exactly 1 off the support", [(1.0, 0.0), (1.0, 1.0)], Fraction(1), [Fraction(1)] * 2),
    ("many on one face", [(1.0, k / 4) for k in range(-4, 5)], Fraction(1), [Fraction(1)] * 9),
    ("collinear", [(3.0, 0.0), (1.0, 0.0), (2.0, 0.0)], Fraction(1), [Fraction(3), Fraction(1), Fraction(2)]),
    ("obtuse", [(1.0, 0.0), (-1.0, 1.0)], Fraction(5), [Fraction(1)] * 2),
]


@pytest.mark.parametrize(
    ("vectors", "norm_sq", "margins"), [row[1:] for row in KNOWN], ids=[row[0] for row in KNOWN]
)
def test_known_solutions(vectors: list[tuple[float, ...]], norm_sq: Fraction, margins: list[Fraction]) -> None:
    features = vector_features(vectors)
    solution = solve(features)
    assert_optimal(solution, features)
    assert fractions([solution.norm_sq]) == [norm_sq]
    assert fractions(solution.margins) == margins


def test_repeated_tokens() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(3, 4, 4))
    dataset = TokenDataset(X, [1, -1, 1], rng.normal(size=4))
    plain = PairFeatures(dataset)
    worst = [int(others[0]) for others in dataset.others]
    repeated = np.concatenate([X, X[np.arange(3), worst][:, None], X[np.arange(3), worst][:, None]], axis=1)
    features = PairFeatures(TokenDataset(repeated, dataset.y, dataset.u))
    solution = solve(features)
    assert_optimal(solution, features)
    assert solution.proof is not None  # repeats of the support need no rational solution
    assert solution.norm_sq == solve(plain).norm_sq


def test_almost_repeated_tokens() -> None:
    """A pair one bit short of one of the support has a margin below 1, and takes its place."""
    short = math.nextafter(1.0, 0.0)
    features = vector_features([(1.0, 0.0), (short, 0.0), (1.0, 0.0)])
    enclosure = maxmargin_balls.enclose(features.exact_gram, [0])
    assert enclosure is not None
    assert not maxmargin_balls.optimal(features.exact_gram, [0], enclosure)
    solution = solve(features)
    assert_optimal(solution, features)
    assert solution.support == (1,)


@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
@pytest.mark.parametrize(("n", "T", "d"), [(1, 12, 2), (2, 16, 2), (3, 8, 3)])
def test_more_pairs_than_dimensions_of_W(n: int, T: int, d: int, cross: bool) -> None:
    features = random_features(n, T, d, cross, seed=1)
    assert d * d < features.dataset.N
    assert settle(features) is not None


@pytest.mark.parametrize("k", [1, 20, 26, 27, 50, 60, 100, 120, 126, 127, 128, 130, 140, 200, 300])
def test_nearly_opposite_pairs(k: int) -> None:
    """Differences (1, ε) and (−1, ε): W_mm = (0, 1/ε), γ = ε, λ = 1/(2ε²), whatever float64 makes of it."""
    eps = 2.0**-k
    features = PairFeatures(TokenDataset([[[0.0, 0.0], [-1.0, -eps], [1.0, -eps]]], [1], [0, 1], [[1, 0]]))
    solution = solve(features)
    assert_optimal(solution, features)
    assert solution.multipliers == [fmpq(2) ** (2 * k - 1)] * 2
    assert solution.gamma == eps
    assert solution.direction.tolist() == [0.5 / eps] * 2
    assert solution.alignments.tolist() == [eps] * 2


def test_exactly_opposite_pairs_are_the_limit() -> None:
    features = vector_features([(1.0, 0.0), (-1.0, 0.0)])
    with pytest.raises(InseparableError) as caught:
        solve(features)
    assert_inseparable(caught.value, features)
    assert caught.value.certificate == [fmpq(1, 2)] * 2


@pytest.mark.parametrize("scale", [1e-150, 1e-100, 1e-60, 1e60, 1e100, 1e150])
def test_any_magnitude(scale: float) -> None:
    """K may leave the range of float64, and λ with it; γ and the direction need not."""
    vectors = [(scale, scale / 2), (-scale, scale * 0.75)]
    unit, scaled = solve(vector_features([(1.0, 0.5), (-1.0, 0.75)])), solve(vector_features(vectors, query=scale))
    assert scaled.primal_residual() == scaled.dual_residual() == scaled.complementarity() == 0
    assert scaled.gamma == pytest.approx(unit.gamma * scale * scale, rel=1e-14)
    assert scaled.direction * scale * scale == pytest.approx(unit.direction, rel=1e-14)
    assert scaled.alignments / scale / scale == pytest.approx(unit.alignments, rel=1e-14)


# --------------------------------------------------------------------- inseparable
INSEPARABLE: list[tuple[str, Sequence[Sequence[float]]]] = [
    ("opposite", [(1.0, 2.0), (-1.0, -2.0)]),
    ("opposite directions", [(1.0, 2.0), (-0.375, -0.75)]),
    ("opposite among others", [(1.0, 0.0), (3.0, 1.0), (-0.5, 0.0), (2.0, 5.0)]),
    ("triangle", [(1.0, 0.0), (0.0, 1.0), (-0.1, -0.7)]),
    ("tetrahedron", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (-0.3, -0.1, -0.7)]),
    ("interior, many", [(math.cos(k), math.sin(k)) for k in range(12)]),
    ("repeated opposite", [(1.0, 0.0)] * 3 + [(-1.0, 0.0)] * 3),
]


@pytest.mark.parametrize("vectors", [row[1] for row in INSEPARABLE], ids=[row[0] for row in INSEPARABLE])
def test_inseparable_data_come_with_a_certificate(vectors: Sequence[Sequence[float]]) -> None:
    features = vector_features(vectors)
    with pytest.raises(InseparableError) as caught:
        solve(features)
    assert_inseparable(caught.value, features)


def test_a_zero_query_is_inseparable() -> None:
    X = np.random.default_rng(0).normal(size=(2, 3, 3))
    features = PairFeatures(TokenDataset(X, [1, 1], [1.0, 2.0, 3.0], [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    with pytest.raises(InseparableError) as caught:
        solve(features)
    assert_inseparable(caught.value, features)
    all_zero = vector_features([(1.0, 2.0), (3.0, 4.0)], query=0.0)
    with pytest.raises(InseparableError) as caught:
        solve(all_zero)
    assert_inseparable(caught.value, all_zero)


def test_one_bit_decides_separability() -> None:
    """(1, ε), (−1, ε) is separable; (1, ε), (−1, −ε) is not; and (1, ε), (−1, −ε⁺) is again."""
    eps = 2.0**-40
    assert settle(vector_features([(1.0, eps), (-1.0, eps)])) is not None
    assert settle(vector_features([(1.0, eps), (-1.0, -eps)])) is None
    assert settle(vector_features([(1.0, eps), (-1.0, -math.nextafter(eps, 1))])) is not None


# --------------------------------------------------------------------- wrong guesses
CASES: dict[str, Callable[[], PairFeatures]] = {
    "random": lambda: random_features(3, 3, 4, cross=True),
    "more pairs than dimensions": lambda: random_features(2, 6, 2, cross=False),
    "repeated": lambda: vector_features([(1.0, 1.0), (1.0, -1.0)] * 3),
    "face": lambda: vector_features([(1.0, k / 4) for k in range(-4, 5)]),
    "nearly opposite": lambda: vector_features([(1.0, 2.0**-20), (-1.0, 2.0**-20), (3.0, 1.0)]),
    "opposite": lambda: vector_features([(1.0, 0.0), (3.0, 1.0), (-0.5, 0.0), (2.0, 5.0)]),
    "circle": lambda: vector_features([(math.cos(k), math.sin(k)) for k in range(8)]),
}

GUESSES: dict[str, Callable[[int], list[int]]] = {
    "nothing": lambda N: [],
    "first": lambda N: [0],
    "last": lambda N: [N - 1],
    "all": lambda N: list(range(N)),
    "all, backwards": lambda N: list(range(N))[::-1],
    "every second": lambda N: list(range(0, N, 2)),
    "all but one": lambda N: list(range(1, N)),
    "one pair twice": lambda N: [1, 1],
}


@pytest.mark.parametrize("guess", GUESSES)
@pytest.mark.parametrize("case", CASES)
def test_a_wrong_guess_cannot_change_the_answer(case: str, guess: str, monkeypatch: pytest.MonkeyPatch) -> None:
    features = CASES[case]()
    honest = settle(features)

    def nonsense(gram: Array) -> list[int]:
        return GUESSES[guess](gram.shape[0])

    monkeypatch.setattr(maxmargin, "propose_support", nonsense)
    misled = settle(features)
    if honest is None:
        assert misled is None
    else:
        assert misled is not None
        assert misled.norm_sq == honest.norm_sq
        assert misled.margins == honest.margins
        assert misled.gamma == honest.gamma


@EXAMPLES
@given(st.data(), st.integers(1, 3).flatmap(vectors_in))
def test_no_guess_can_change_the_answer(data: st.DataObject, vectors: list[tuple[int, ...]]) -> None:
    features = vector_features(vectors)
    honest = settle(features)
    guess = data.draw(st.lists(st.integers(0, len(vectors) - 1), max_size=len(vectors)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maxmargin, "propose_support", lambda gram: guess)
        misled = settle(features)
    assert (misled is None) == (honest is None)
    if misled is not None and honest is not None:
        assert misled.margins == honest.margins


@pytest.mark.parametrize("gram", [np.zeros((2, 2)), np.full((2, 2), math.inf), np.zeros((0, 0))])
def test_the_float_guess_admits_defeat(gram: Array) -> None:
    assert propose_support(gram) == []


# ---------------------------------------------------------------------------- scale
LARGE = random_features(12, 9, 40, cross=False)


def large_system() -> tuple[list[int], fmpz_mat]:
    """K_SS of a support large enough for its balls to be refined from a float inverse."""
    K, support = LARGE.exact_gram.integers, propose_support(LARGE.gram)
    assert len(support) >= maxmargin_balls._LARGE
    return support, fmpz_mat(len(support), len(support), [K[j, k] for j in support for k in support])


def assert_solved(balls: list[arb] | None, system: fmpz_mat) -> None:
    """The balls hold the rational solution of ``system · x = 1`` and are small."""
    exact = system.solve(fmpz_mat(system.nrows(), 1, [1] * system.nrows()))
    assert balls is not None
    assert all(ball.contains(exact[k, 0]) for k, ball in enumerate(balls))
    assert maxmargin_balls.sharp(balls, 100)


def test_a_large_solution_is_proved_and_is_that_of_cvxpy() -> None:
    solution = solve(LARGE)
    assert solution.proof is not None
    exact = [*solution.multipliers, *solution.margins]
    with flint.ctx.workprec(2 * maxmargin_balls.PRECISION):
        assert all(b.contains(x) for b, x in zip([*solution.proof[0], *solution.proof[1]], exact, strict=True))
    assert solution.primal_residual() == solution.dual_residual() == solution.complementarity() == 0
    rational = MaxMargin(solution.gram, solution.support)
    assert solution.gamma == pytest.approx(nearest_float(1 / rational.norm_sq) ** 0.5, rel=1e-15)
    root = cvxpy.Variable(LARGE.gram.shape[0])
    factor = np.linalg.cholesky(LARGE.gram)
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(root)), [factor @ root >= 1])
    problem.solve(solver=cvxpy.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    assert solution.gamma == pytest.approx(float(problem.value) ** -0.5, rel=1e-7)


def test_refinement_holds_the_rational_solution() -> None:
    _, system = large_system()
    with flint.ctx.workprec(maxmargin_balls.PRECISION):
        assert_solved(maxmargin_balls._refined(system), system)
        assert_solved(maxmargin_balls._eliminated(arb_mat(system)), system)


@pytest.mark.parametrize("error", [1e-9, 1e-6, 1e-5])
def test_refinement_bears_a_poor_inverse(error: float, monkeypatch: pytest.MonkeyPatch) -> None:
    _, system = large_system()
    invert, noise = np.linalg.inv, np.random.default_rng(0)

    def poor(A: Array) -> Array:
        inverse = invert(A)
        return np.asarray(inverse * (1 + error * noise.normal(size=inverse.shape)))

    monkeypatch.setattr(np.linalg, "inv", poor)
    with flint.ctx.workprec(maxmargin_balls.PRECISION):
        assert_solved(maxmargin_balls._refined(system), system)


@pytest.mark.parametrize("value", [0.0, 1.0, math.nan, math.inf])
def test_refinement_refuses_a_wrong_inverse(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    _, system = large_system()
    monkeypatch.setattr(np.linalg, "inv", lambda A: np.full_like(A, value))
    with flint.ctx.workprec(maxmargin_balls.PRECISION):
        assert maxmargin_balls._refined(system) is None
    honest = solve(LARGE)  # by elimination
    assert honest.proof is not None
    assert honest.gamma == MaxMargin(honest.gram, honest.support).gamma


@pytest.mark.parametrize("exponent", [40, 70])
def test_refinement_refuses_an_ill_conditioned_system(exponent: int) -> None:
    """Ones and 1 + 2⁻ᵏ on the diagonal: a condition number beyond what the float inverse can carry."""
    size, one = 50, 1 << exponent
    system = fmpz_mat(size, size, [one + (i == j) for i in range(size) for j in range(size)])
    with flint.ctx.workprec(maxmargin_balls.PRECISION):
        assert maxmargin_balls._refined(system) is None
        assert_solved(maxmargin_balls._eliminated(arb_mat(system)), system)


def test_what_does_not_fit_is_refused_at_once() -> None:
    features = random_features(30, 101, 2, cross=False)
    with pytest.raises(TooLarge, match=r"3000 pairs .* exceed the exact solver's 1 GiB: keep at most \d+ pairs"):
        solve(features)
    assert issubclass(TooLarge, InvalidDataset)  # one line of error, exit code 2


def test_fewer_pairs_fit_where_magnitudes_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_SMALL", 1)
    monkeypatch.setattr(pairs, "_ROOM", 1 << 15)
    assert vector_features([(1.0, 2.0)] * 10).exact_gram.integers.nrows() == 10
    with pytest.raises(TooLarge, match="keep at most"):
        solve(vector_features([(1.0, 2.0**-500)] * 10))


# ------------------------------------------------------------------------- theorems
THEOREM_DATA = random_features(3, 4, 3, cross=False, seed=5)
THEOREM_SOLUTION = solve(THEOREM_DATA)
ENTRIES = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6), st.floats(-1e-6, 1e-6))


@EXAMPLES
@given(st.lists(ENTRIES, min_size=9, max_size=9), st.sampled_from([0.0, 1.0, 100.0]))
def test_no_W_has_a_larger_normalised_margin(entries: list[float], pull: float) -> None:
    """min_j m_j(W) ≤ γ‖W‖, decided in rationals: (min m)²‖W_mm‖² ≤ ‖W‖² where min m > 0."""
    rounded_solution = THEOREM_DATA.combine(THEOREM_SOLUTION.direction)
    W = np.array(entries).reshape(3, 3) + pull * rounded_solution
    smallest = min(THEOREM_DATA.exact_margins(W))
    norm_sq = sum((fmpq(*x.as_integer_ratio()) ** 2 for x in W.ravel().tolist()), fmpq(0))
    assert smallest <= 0 or smallest**2 * THEOREM_SOLUTION.norm_sq <= norm_sq


def test_the_rounded_solution_almost_attains_the_margin() -> None:
    W = THEOREM_DATA.combine(THEOREM_SOLUTION.direction)
    smallest = nearest_float(min(THEOREM_DATA.exact_margins(W)))
    assert smallest / float(np.linalg.norm(W)) == pytest.approx(THEOREM_SOLUTION.gamma, rel=1e-13)


@EXAMPLES
@given(st.lists(st.integers(0, 1000), min_size=9, max_size=9).filter(any))
def test_no_convex_combination_is_shorter_than_gamma(weights: list[int]) -> None:
    """‖Σ p_j Z_j‖ ≥ γ for every probability vector p, decided in rationals."""
    p = [Fraction(w, sum(weights)) for w in weights]
    x = combine(p, dense(THEOREM_DATA))
    (norm_sq,) = fractions([THEOREM_SOLUTION.norm_sq])
    assert dot(x, x) * norm_sq >= 1


@EXAMPLES
@given(st.lists(ENTRIES, min_size=9, max_size=9))
def test_inner_product_with_the_solution(entries: list[float]) -> None:
    W = np.array(entries).reshape(3, 3)
    W_mm = combine(fractions(THEOREM_SOLUTION.multipliers), dense(THEOREM_DATA))
    found = THEOREM_SOLUTION.inner_product(THEOREM_DATA.exact_margins(W))
    assert fractions([found]) == [dot([Fraction(x) for x in entries], W_mm)]
