"""Exact facts about datasets in plain fractions, independent of models/pairs."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath

from models.dataset import TokenDataset

Vector = list[Fraction]


def rationals(row: Any) -> Vector:
    return [Fraction(float(value)) for value in row]


def dot(a: Vector, b: Vector) -> Fraction:
    return sum((p * q for p, q in zip(a, b, strict=True)), Fraction(0))


def pairs_of(dataset: TokenDataset) -> list[tuple[Vector, Vector]]:
    """(x_{i,o} − x_it, q_i) of every pair, exact."""
    pairs = []
    for X, o, q in zip(dataset.X, dataset.optimal, dataset.queries, strict=True):
        best, query = rationals(X[o]), rationals(q)
        for t in range(dataset.T):
            if t != o:
                pairs.append(([p - r for p, r in zip(best, rationals(X[t]), strict=True)], query))
    return pairs


def scores_of(dataset: TokenDataset) -> list[list[Fraction]]:
    u = rationals(dataset.u)
    labelled = zip(dataset.X, dataset.y, strict=True)
    return [[Fraction(int(y)) * dot(u, rationals(x)) for x in X] for X, y in labelled]


def gaps_of(dataset: TokenDataset) -> list[list[Fraction]]:
    rows = []
    for scores in scores_of(dataset):
        top = max(scores)
        assert scores.count(top) == 1
        rows.append([top - score for score in scores if score != top])
    return rows


def non_negatively_correlated(dataset: TokenDataset) -> bool:
    pairs = pairs_of(dataset)
    return all(dot(a, b) * dot(p, q) >= 0 for a, p in pairs for b, q in pairs)


def gram_of(dataset: TokenDataset) -> list[list[Fraction]]:
    """⟨Z_j, Z_k⟩ of all pairs, exact."""
    pairs = pairs_of(dataset)
    return [[dot(a, b) * dot(p, q) for b, q in pairs] for a, p in pairs]


def weakly_correlated(dataset: TokenDataset, loss: str, length: mpmath.mpf) -> bool:
    """WC(δ̄) in the words of docs/theory.md#m4, with mpmath at 60 digits for the size condition."""
    others = dataset.T - 1
    gaps, gram = gaps_of(dataset), gram_of(dataset)
    if any(gap != row[0] for row in gaps for gap in row):
        return False
    size = range(len(gram))
    if any(gram[j][k] < 0 for j in size for k in size if j // others == k // others):
        return False
    epsilon = max((-gram[j][k] for j in size for k in size if j // others != k // others), default=Fraction(0))
    if epsilon <= 0:
        return True

    def slope(z: Fraction) -> mpmath.mpf:
        x = mpmath.mpf(z.numerator) / z.denominator
        return 1 / (1 + mpmath.exp(x)) if loss == "logistic" else mpmath.exp(-x)

    with mpmath.workdps(60):
        best = [max(row) for row in scores_of(dataset)]
        sharpest = max(
            slope(b - row[0]) * row[0].numerator / row[0].denominator for b, row in zip(best, gaps, strict=True)
        )
        flattest = min(slope(b) * row[0].numerator / row[0].denominator for b, row in zip(best, gaps, strict=True))
        squares = [gram[j][j] for j in size]
        radius = mpmath.sqrt(mpmath.mpf(max(squares).numerator) / max(squares).denominator)
        floor = 1 / (1 + others * mpmath.exp(length * radius))
        least = mpmath.mpf(min(squares).numerator) / min(squares).denominator
        negative = mpmath.mpf(epsilon.numerator) / epsilon.denominator
        return bool(least * flattest * floor**2 >= (dataset.n - 1) * negative * sharpest / 4)


def nearly_orthogonal(dataset: TokenDataset) -> bool:
    """NO(1) in the words of bounds/assumptions.py."""
    gaps = [gap for row in gaps_of(dataset) for gap in row]
    factor = dataset.n * max(gaps) / min(gaps)
    tokens = {(i, t): rationals(x) for i, X in enumerate(dataset.X) for t, x in enumerate(X)}
    for i, o in enumerate(dataset.optimal):
        best = tokens[i, int(o)]
        largest = max(abs(dot(best, x)) for key, x in tokens.items() if key != (i, o))
        if dot(best, best) < factor * largest:
            return False
    return True
