"""The nuclear max-margin problem min ‖W‖_* subject to ⟨Z_j, W⟩ ≥ 1, enclosed from both sides.

With γ_* = 1/min ‖W‖_*, every V = ABᵀ has ‖V‖_* ≤ (‖A‖² + ‖B‖²)/2, so that

    min_j ⟨Z_j, V⟩ / ((‖A‖² + ‖B‖²)/2) ≤ γ_* ≤ ‖Σ_j λ_j Z_j‖_op    for λ ≥ 0, Σλ = 1,

the right half because min_j ⟨Z_j, W⟩ ≤ ⟨Σ λ_j Z_j, W⟩ ≤ ‖Σ λ_j Z_j‖_op ‖W‖_*.  cvxpy proposes V and λ; what is
used of them is exact, and nothing is believed of the solver.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from flint import arb, fmpq, fmpq_mat

from models.attention import exact_norm_sq
from models.dataset import Array
from models.dyadic import DyadicMatrix
from models.overparametrized import eigenvalues
from models.pairs import PairFeatures

#: Factors keep this many binary places of their largest entry: more than the solver has, so that its last digits,
#: which depend on the machine, hardly ever matter.
_PLACES = 22


@dataclass(frozen=True, eq=False)
class Reference:
    """A direction V = ABᵀ/((‖A‖² + ‖B‖²)/2) of nuclear norm at most 1, and a dual point.

    Attributes
    ----------
    margins : list of fmpq
        ⟨Z_j, V⟩, exact; all positive.
    combination : fmpq_mat
        Σ_j λ_j Z_j with λ ≥ 0 and Σλ = 1, exact.
    """

    margins: list[fmpq]
    combination: fmpq_mat

    @property
    def margin(self) -> fmpq:
        """min_j ⟨Z_j, V⟩ ≤ γ_*."""
        return min(self.margins)

    def dual_norm(self) -> arb:
        """‖Σ_j λ_j Z_j‖_op ≥ γ_*, at the working precision."""
        return eigenvalues(self.combination * self.combination.transpose())[0].sqrt()


def reference_of(features: PairFeatures) -> Reference | None:
    """Enclose γ_* of separable data; None if the solver finds no direction with positive margins.

    Notes
    -----
    Pairs are scaled to features of size about 1, so that data of any scale are solved alike.
    """
    Z = features.matrices()
    scale = float(np.abs(Z).max())
    d = features.dataset.d
    solved = _solve(Z / scale)
    if solved is None:
        return None
    W, weights = solved
    left, values, right = np.linalg.svd(W.reshape(d, d))
    root = np.sqrt(values)
    unit = float(root.max()) * 2.0**-_PLACES
    A, B = (np.rint(x * root / unit) for x in (left, right.T))  # whole numbers: a unit does not change V
    size = (exact_norm_sq(A) + exact_norm_sq(B)) / 2
    product = DyadicMatrix(A) @ DyadicMatrix(B).T
    margins = [m / size for m in features.dyadic_margins(product)]
    if not min(margins) > 0:
        return None
    whole = [fmpq(int(w)) for w in np.rint(np.maximum(weights, 0.0) / weights.max() * 2.0**_PLACES)]
    mass = sum(whole, fmpq(0))
    combination = fmpq_mat(d, d)
    for w, matrix in zip(whole, features.exact_matrices(), strict=True):
        if w:
            combination += matrix * (w / mass)
    return Reference(margins, combination)


def _solve(Z: Array) -> tuple[Array, Array] | None:
    """A proposal for W and for the multipliers, one a row of ``Z``."""
    cvxpy = _cvxpy()
    constants, W, problem = _problem(*Z.shape)
    constants.value = Z
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an inaccurate solution is as good as its enclosure
            problem.solve(solver=cvxpy.CLARABEL)
    except cvxpy.SolverError:
        return None
    weights = problem.constraints[0].dual_value
    if W.value is None or weights is None or not float(np.max(weights)) > 0.0:
        return None
    return np.asarray(W.value, dtype=np.float64), np.asarray(weights, dtype=np.float64)


@lru_cache(maxsize=32)
def _problem(N: int, size: int) -> tuple[Any, Any, Any]:
    """The problem for N pairs and matrices of ``size`` entries, compiled once: constants, variable, problem."""
    cvxpy = _cvxpy()
    d = round(size**0.5)
    constants, W = cvxpy.Parameter((N, size)), cvxpy.Variable((d, d))
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.normNuc(W)), [constants @ cvxpy.vec(W, order="C") >= 1])
    return constants, W, problem


def _cvxpy() -> Any:
    """The library, which is slow to import and typed only in part."""
    import cvxpy

    return cvxpy
