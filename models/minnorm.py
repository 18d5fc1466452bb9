"""The minimum-norm point of a convex hull over the rationals (Wolfe's algorithm on a Gram matrix)."""

from __future__ import annotations

from dataclasses import dataclass

from flint import fmpq, fmpq_mat, fmpz_mat

_ZERO = fmpq(0)


@dataclass(frozen=True)
class MinNormPoint:
    """x* = Σ_j weights_j Z_j, the point of least norm in conv{Z_j}, exactly.

    ``norm_sq`` is ‖x*‖² and ``products[j]`` is ⟨Z_j, x*⟩; optimality is products_j ≥ norm_sq for every j.
    """

    weights: list[fmpq]
    norm_sq: fmpq
    products: list[fmpq]


def min_norm_point(gram: fmpz_mat, start: list[int]) -> MinNormPoint:
    """Exact minimum-norm point of the convex hull of vectors given by their Gram matrix.

    Every step is rational, so the answer needs no tolerance: optimality and ``norm_sq == 0`` are facts.  The
    algorithm keeps a *corral*, an affinely independent set whose affine minimiser lies inside its hull; the
    norm falls at every major step, so it ends (P. Wolfe, "Finding the nearest point in a polytope",
    Mathematical Programming 11, 1976).

    Parameters
    ----------
    gram : fmpz_mat, shape (N, N)
        Inner products, up to a common positive factor.
    start : list of int
        A guess of the corral, typically a float solver's support; used only if it is a corral.
    """
    N = gram.nrows()
    corral, weights = _warm_start(gram, start)
    while True:
        products = _products(gram, corral, weights)
        norm_sq = sum((w * products[j] for j, w in zip(corral, weights, strict=True)), _ZERO)
        worst = min(range(N), key=products.__getitem__)
        if products[worst] >= norm_sq:
            full = [_ZERO] * N
            for j, w in zip(corral, weights, strict=True):
                full[j] = w
            return MinNormPoint(full, norm_sq, products)
        corral = [*corral, worst]
        weights = [*weights, _ZERO]
        corral, weights = _enter_hull(gram, corral, weights)


def _enter_hull(gram: fmpz_mat, corral: list[int], weights: list[fmpq]) -> tuple[list[int], list[fmpq]]:
    """Walk from the current point towards the affine minimiser, dropping points, until it is inside."""
    while True:
        target = _affine_minimiser(gram, corral)
        if target is None:  # cannot happen for an affinely independent corral
            raise ArithmeticError("the corral lost affine independence")
        if all(w > 0 for w in target):
            return corral, target
        step = min(w / (w - v) for w, v in zip(weights, target, strict=True) if v <= 0)
        moved = [w + step * (v - w) for w, v in zip(weights, target, strict=True)]
        kept = [k for k, w in enumerate(moved) if w > 0]
        corral = [corral[k] for k in kept]
        weights = [moved[k] for k in kept]


def _warm_start(gram: fmpz_mat, start: list[int]) -> tuple[list[int], list[fmpq]]:
    if start:
        weights = _affine_minimiser(gram, start)
        if weights is not None and all(w > 0 for w in weights):
            return start, weights
    nearest = min(range(gram.nrows()), key=lambda j: int(gram[j, j]))
    return [nearest], [fmpq(1)]


def _affine_minimiser(gram: fmpz_mat, corral: list[int]) -> list[fmpq] | None:
    """Weights (sum 1) of the least-norm point of the affine hull; None if affinely dependent.

    Solves [[0, 1ᵀ], [1, K]] [−ν; w] = [1; 0], which is regular exactly when the points are affinely
    independent, also when 0 lies in their affine hull and K alone is singular.
    """
    size = len(corral) + 1
    entries: list[int] = [0] + [1] * (size - 1)
    for j in corral:
        entries.append(1)
        entries.extend(int(gram[j, k]) for k in corral)
    right = fmpz_mat(size, 1, [1] + [0] * (size - 1))
    try:
        solution = fmpz_mat(size, size, entries).solve(right)
    except ZeroDivisionError:
        return None
    return [solution[k, 0] for k in range(1, size)]


def _products(gram: fmpz_mat, corral: list[int], weights: list[fmpq]) -> list[fmpq]:
    N = gram.nrows()
    columns = fmpz_mat(N, len(corral), [gram[j, k] for j in range(N) for k in corral])
    result = fmpq_mat(columns) * fmpq_mat(len(weights), 1, weights)
    return [result[j, 0] for j in range(N)]
