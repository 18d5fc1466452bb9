"""Initial weights: where each kind lies, what it is called, and that wrong selections attract gradient descent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bounds import PositiveCoefficients, Rule, Separable, StepAtMost, Theorem, ZeroInit
from bounds.attention import FACTS
from bounds.attention_global import DROPPED
from bounds.attention_ngd import NGD
from bounds.attention_path import PATH
from models.attention import Geometry, train, weights_at
from models.dataset import Array, TokenDataset
from models.instance import Instance, Run
from properties.attention import Setting
from properties.datasets import FAMILIES
from properties.observables import Measurement
from properties.starts import MARGINS, STARTS, start_name, weights, wrong_selection

by_kind = pytest.mark.parametrize("kind", STARTS)
# One sequence: the optimal token at 0, a decoy at −4 and a token of lowest score between them.
DECOY = TokenDataset([[[0.0, 0.0], [-0.25, -4.0], [-0.5, -1.0]]], [1], [4.0, 0.0], [[0.0, 1.0]])


def started(dataset: TokenDataset, W_0: Array | None, **changes: object) -> Instance:
    run = Run("gd", "logistic", 0, eta=1.0, W_0=W_0)
    return Instance(dataset, run).with_run(**changes)


def for_each(
    name: str, kinds: tuple[str, ...], see: Callable[[Instance, Geometry], None], examples: int = 50
) -> None:
    """Call ``see`` with instances of a family that start as the kinds say."""
    family = next(family for family in FAMILIES if family.name == name)

    @settings(derandomize=True, deadline=None, max_examples=examples, database=None)
    @given(st.data(), family.datasets())
    def run(data: st.DataObject, dataset: TokenDataset) -> None:
        geometry = Geometry(dataset)
        see(started(dataset, data.draw(weights(geometry, kinds))), geometry)

    run()


def margins_of(instance: Instance, geometry: Geometry) -> Array:
    assert instance.run.W_0 is not None
    return np.array([float(m.p) / float(m.q) for m in geometry.features.exact_margins(instance.run.W_0)])


@by_kind
@pytest.mark.parametrize("name", ["planted", "decoy", "opposed", "near-orthogonal"])
def test_starts_lie_where_their_name_says(kind: str, name: str) -> None:
    names: Counter[str] = Counter()

    def see(instance: Instance, geometry: Geometry) -> None:
        assert Instance.from_json(instance.to_json()).id == instance.id
        assert "'-0x0.0p+0'" not in str(instance.to_json())
        names[start_name(instance, geometry)] += 1
        if instance.run.W_0 is None:
            return
        margins = margins_of(instance, geometry)
        if kind == "small":
            assert np.abs(margins).max() <= 0.05
        elif kind == "opposite":
            assert margins.max() < 0
            assert min(MARGINS) / 2 <= -margins.min() <= max(MARGINS) * 2

    for_each(name, (kind,), see)
    allowed = {"small": {"small", "zero"}, "large": {"large", "wrong-token", "zero"}}.get(kind, {kind})
    if kind == "wrong-token" and name != "decoy":
        # No selection need be locally optimal: attention may be shared, and for a single pair this is −Ŵ.
        allowed = allowed | {"large", "opposite"}
    assert set(names) <= allowed
    assert names[kind] > 0.2 * sum(names.values())


def test_kinds_are_drawn_as_often_as_they_are_given() -> None:
    kinds: Counter[str] = Counter()
    for_each("planted", ("zero", "zero", "zero", "opposite"), lambda i, g: kinds.update([start_name(i, g)]), 200)
    assert set(kinds) == {"zero", "opposite"}
    assert kinds["zero"] > kinds["opposite"] > 20


def test_inseparable_data_have_no_opposite_start() -> None:
    dataset = TokenDataset([[[1.0], [0.0]], [[1.0], [0.0]]], [1, 1], [1.0], [[1.0], [-1.0]])
    geometry = Geometry(dataset)

    @settings(derandomize=True, deadline=None, max_examples=20, database=None)
    @given(weights(geometry))
    def finite(W_0: Array | None) -> None:
        assert W_0 is None or np.isfinite(W_0).all()
        start_name(started(dataset, W_0), geometry)

    finite()


@pytest.mark.parametrize("kinds", [(), ("zero", "warm")])
def test_unknown_kinds_are_refused(kinds: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="use some of zero, small, large, opposite, wrong-token"):
        weights(Geometry(DECOY), kinds)


# ------------------------------------------------------------------------------------------- wrong selections
def test_a_locally_optimal_selection() -> None:
    selection = wrong_selection(DECOY, [0], 1)
    assert selection.tokens == (1,)
    assert selection.locally_optimal
    # Its SVM: ⟨x_decoy − x_t, W q⟩ ≥ 1 for the token between them, 3 away; the optimal one, 4 away, is inactive.
    np.testing.assert_allclose(selection.direction @ [0.0, 1.0], [0.25 / (0.25**2 + 9), -3 / (0.25**2 + 9)])


def test_a_selection_that_is_not_locally_optimal() -> None:
    dataset = TokenDataset([[[2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]], [1], [1.0, 0.0], [[1.0, 0.0]])
    selection = wrong_selection(dataset, [0], 1)
    assert selection.tokens == (1,)
    assert not selection.locally_optimal  # both rivals are active, and the optimal one scores higher
    np.testing.assert_array_equal(selection.direction, [[-2.0, 0.0], [1.0, 0.0]])


def test_only_the_named_sequences_are_wrong() -> None:
    dataset = TokenDataset(np.repeat(DECOY.X, 3, axis=0), [1, 1, 1], DECOY.u, np.eye(3)[:, :2] + [0.0, 1.0])
    assert wrong_selection(dataset, [2, 0, 1], 1).tokens == (0, 0, 1)
    assert wrong_selection(dataset, [2, 0, 1], 2).tokens == (1, 0, 1)


def test_gradient_descent_stays_at_a_locally_optimal_wrong_selection() -> None:
    """S3: from far out along its direction GD keeps that direction; from zero it need not."""
    direction = wrong_selection(DECOY, [0], 1).direction
    geometry = Geometry(DECOY)
    instance = started(DECOY, 16.0 * direction, steps=100_000)
    assert start_name(instance, geometry) == "wrong-token"
    trajectory = train(instance, geometry)
    assert trajectory.column("log_s_min").max() < -10
    W = weights_at(instance, 100_000, geometry)
    assert np.vdot(W, direction) / np.linalg.norm(W) / np.linalg.norm(direction) > 0.99
    assert trajectory.column("alignment")[-1] < 0


# --------------------------------------------------------------------------------------- what settings draw
def drawn(theorem: Theorem, name: str, examples: int = 100) -> list[tuple[Instance, str]]:
    """Instances of a theorem's setting with their starts."""
    found: list[tuple[Instance, str]] = []
    family = next(family for family in FAMILIES if family.name == name)

    @settings(derandomize=True, deadline=None, max_examples=examples, database=None)
    @given(Setting.of(theorem).instances(family, 3))
    def collect(instance: Instance) -> None:
        found.append((instance, start_name(instance, Geometry(instance.dataset))))

    collect()
    return found


def theorem_with(*kinds: type) -> Theorem:
    return next(x for x in (*FACTS, *NGD) if set(kinds) == {type(a) for a in x.assumes})


def test_theorems_from_zero_start_at_zero() -> None:
    theorem = theorem_with(Separable, PositiveCoefficients, Rule, ZeroInit)
    assert {start for _, start in drawn(theorem, "planted")} == {"zero"}


@pytest.mark.parametrize(
    "kinds", [(Separable, PositiveCoefficients), (Separable, PositiveCoefficients, Rule, StepAtMost)]
)
def test_zero_is_drawn_most_where_far_starts_seldom_apply(kinds: tuple[type, ...]) -> None:
    starts = Counter(start for _, start in drawn(theorem_with(*kinds), "planted"))
    assert starts.most_common(1)[0][0] == "zero"
    assert len(starts) >= 4


def test_theorems_without_conditions_start_everywhere() -> None:
    starts = Counter(start for _, start in drawn(DROPPED[1], "decoy", 200))
    assert set(starts) == set(STARTS)


@pytest.mark.parametrize("name", ["opposed", "unequal-scores", "degenerate-support", "decoy"])
def test_settings_below_the_path_start_there(name: str) -> None:
    below = 0
    for instance, _ in drawn(PATH[0], name):
        geometry = Geometry(instance.dataset)
        measured = Measurement(instance, geometry, train(instance, geometry))
        below += bool((measured["path_loss_gap"] - measured["loss_gap"]).positive()[0])
    assert below >= 25


def test_settings_can_be_told_apart() -> None:
    theorems = (*FACTS, *NGD, *DROPPED, *PATH)
    assert len({Setting.of(x) for x in theorems}) < len(theorems)
    assert Setting.of(PATH[0]) == Setting.of(PATH[1])
    assert Setting.of(PATH[0]) != Setting.of(DROPPED[1])
