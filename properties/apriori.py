"""What is known before training: bounds on step lengths, attention and Λ, and ratios of loss slopes.

All are constants of an instance, evaluated as balls at the working precision (docs/theory.md#m3, #m4, #s1).
"""

from __future__ import annotations

from flint import arb, fmpq

from models.attention import Geometry
from models.instance import Instance
from models.replay import largest


class Undefined(ValueError):
    """An observable does not exist for this instance; the message says why."""


def run_number(value: float | None, name: str) -> fmpq:
    """A number of the run's configuration, exact.  Raises `Undefined` where the rule has none."""
    if value is None:
        raise Undefined(f"{name} does not exist for this step rule")
    return fmpq(*value.as_integer_ratio())


def _log_slope_ratio(geometry: Geometry, loss: str, excess: list[fmpq], weights: list[fmpq]) -> arb:
    """log( max_i |ℓ'(γ_io − excess_i)| weights_i / min_i |ℓ'(γ_io)| weights_i ), a ball."""
    best = _best(geometry)
    top = largest([_slope(g - e, loss) * w for g, e, w in zip(best, excess, weights, strict=True)])
    low = -largest([-_slope(g, loss) * w for g, w in zip(best, weights, strict=True)])
    return (top / low).log()


def _slope(z: fmpq, loss: str) -> arb:
    """|ℓ'(z)|."""
    return 1 / (1 + arb(z).exp()) if loss == "logistic" else (-arb(z)).exp()


def _best(geometry: Geometry) -> list[fmpq]:
    """γ_{i,o_i}, exact."""
    return [max(row) for row in geometry.dataset.exact_scores]


def _equal_gaps(geometry: Geometry, name: str) -> list[fmpq]:
    """Δ_i under equal scores."""
    if not geometry.dataset.equal_scores:
        raise Undefined(f"{name} is defined for equal scores only")
    return [row[0] for row in geometry.dataset.exact_gaps]


def nonnegative_lambda(geometry: Geometry, loss: str) -> arb:
    """M3's bound on Λ, as a ball at the working precision."""
    dataset = geometry.dataset
    gaps = _equal_gaps(geometry, "Lambda_apriori")
    deficit = [gap * (dataset.T - 1) / dataset.T for gap in gaps]  # D_i at W = 0
    ratio = _log_slope_ratio(geometry, loss, deficit, gaps)
    return arb(dataset.N).log() + 2 * arb(dataset.T).log() + ratio


def length_bound(instance: Instance, geometry: Geometry) -> arb:
    """δ̄ of M4: no step is longer, whatever W is (‖∇L‖ ≤ BC and C ≤ max_j |ℓ'(γ_jo − Δ_j)|Δ_j/4 under ES).

    Raises
    ------
    Undefined
        For Polyak's step, and for GD without equal scores.
    """
    run = instance.run
    if run.rule == "polyak":
        raise Undefined("delta_bar does not exist for Polyak's step: its length is not bounded before training")
    eta = arb(run_number(run.eta, "eta"))
    if run.rule == "ngd":
        return eta
    return eta * longest_step(geometry, run.loss)


def _steepest(geometry: Geometry, loss: str, name: str) -> arb:
    """max_j |ℓ'(γ_jo − Δ_j)|Δ_j."""
    pairs = zip(_best(geometry), _equal_gaps(geometry, name), strict=True)
    return largest([_slope(score - gap, loss) * gap for score, gap in pairs])


def attention_floor(instance: Instance, geometry: Geometry) -> arb:
    """s̲ = 1/(1 + (T−1) exp(δ̄B)) of M4, as a ball at the working precision.

    Raises
    ------
    Undefined
        For Polyak's step, and for GD without equal scores.
    """
    reach = length_bound(instance, geometry) * arb(geometry.features.exact_radius_sq).sqrt()
    return 1 / (1 + (instance.dataset.T - 1) * reach.exp())


def global_lambda(instance: Instance, geometry: Geometry) -> arb:
    """M4's bound on Λ."""
    gaps = _equal_gaps(geometry, "Lambda_global")
    ratio = _log_slope_ratio(geometry, instance.run.loss, gaps, gaps)
    return arb(instance.dataset.N).log() - 2 * attention_floor(instance, geometry).log() + ratio


def _pull_ratio(geometry: Geometry, loss: str, epsilon: fmpq) -> arb:
    """(n−1) ε max_j |ℓ'(γ_jo − Δ_j)|Δ_j / (4 min‖Z‖² min_i |ℓ'(γ_io)|Δ_i): M4 asks that it be at most s̲²."""
    gram = geometry.features.exact_gram
    least = min(gram.integers[j, j] for j in range(gram.integers.nrows())) * fmpq(2) ** gram.exponent
    pairs = zip(_best(geometry), _equal_gaps(geometry, "WC"), strict=True)
    flattest = -largest([-_slope(score, loss) * gap for score, gap in pairs])
    other = (geometry.dataset.n - 1) * epsilon * _steepest(geometry, loss, "WC")
    return other / (4 * least * flattest)


def correlation_room(instance: Instance, geometry: Geometry, epsilon: fmpq) -> arb:
    """log of the quotient of the two sides of M4's size condition: it holds where this is ≥ 0.

    ``epsilon`` > 0 is the largest negative correlation between sequences; equal scores are taken for granted.
    """
    return 2 * attention_floor(instance, geometry).log() - _pull_ratio(geometry, instance.run.loss, epsilon).log()


def largest_length(geometry: Geometry, loss: str, epsilon: fmpq) -> arb:
    """The δ̄ at which M4's size condition becomes an equality (negative: it holds for no step size)."""
    floor = _pull_ratio(geometry, loss, epsilon).sqrt()
    radius = arb(geometry.features.exact_radius_sq).sqrt()
    odds = (1 / floor - 1) / (geometry.dataset.T - 1)
    return odds.log() / radius if odds > 0 else arb(-1)


def longest_step(geometry: Geometry, loss: str) -> arb:
    """δ̄/η for GD: what one unit of the step size contributes to the bound on step lengths."""
    return arb(geometry.features.exact_radius_sq).sqrt() * _steepest(geometry, loss, "delta_bar of GD") / 4


def slope_ratio(geometry: Geometry, loss: str) -> arb:
    """S1's ratio of slopes, at the largest deficit that any score permits."""
    n = geometry.dataset.n
    deepest = max(max(row) for row in geometry.dataset.exact_gaps)
    return _log_slope_ratio(geometry, loss, [deepest] * n, [fmpq(1)] * n).exp()


def least_slope(geometry: Geometry, loss: str) -> arb:
    """min_i |ℓ'(γ_io)|."""
    return -largest([-_slope(score, loss) for score in _best(geometry)])
