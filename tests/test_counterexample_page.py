"""A counterexample's page: its run, trained once more, agrees with autograd and with its certificate."""

import math
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest

from bounds import LINEAR, Conjecture, Theorem, norm
from bounds.catalogue import THEOREMS
from models.attention import Geometry
from models.autograd import train_by_autograd
from models.instance import Instance, Run
from models.joint import JointGeometry
from models.joint_autograd import train_joint_by_autograd
from models.linear import LinearInstance, LinearRun, Points
from models.random_data import signal_plus_noise
from properties.evidence import evidence_for
from properties.limits import LimitEvidence
from properties.scene import BEYOND, FRAMES, LARGEST, scene_of
from properties.trial import Profile, hold_trial
from properties.verdict import Counterexample, Verdict
from reports.counterexample import CounterexamplePage
from reports.sections import Section
from tests import planted
from tests.test_theorem_page import page

FALSE, LIMIT = ("false.n2", "false.f5", "false.j4"), "attention.equal-scores.ngd.limit"


@pytest.fixture(scope="module")
def evidence() -> dict[str, Any]:
    chosen = [theorem for theorem in (*THEOREMS, *planted.FALSE) if theorem.id in (*FALSE, LIMIT)]
    bodies = {theorem.id: evidence_for(theorem) for theorem in chosen}
    hold_trial(bodies, Profile(8, 60, 2, 1024), seed=0)
    return bodies


def counterexample(evidence: dict[str, Any], id: str) -> Counterexample:
    found = evidence[id].counterexample
    assert isinstance(found, Counterexample)
    return found


# -------------------------------------------------------------------------------------------- the scene
def test_the_scene_agrees_with_the_certificate(evidence: dict[str, Any]) -> None:
    found = counterexample(evidence, "false.n2")
    scene = scene_of(found)
    assert scene.attention is not None
    assert scene.sides is not None
    gap = float(found.small.strip("[]").split(" +/- ")[0])  # the smaller side is 1 − cos(W, W_mm)
    assert int(scene.attention.t[-1]) == found.step
    assert 1 - scene.attention.cosine[-1] == pytest.approx(gap, rel=1e-9)
    W, W_mm = scene.attention.weights, scene.attention.solution
    assert W is not None
    assert W_mm is not None
    assert float((W * W_mm).sum()) == pytest.approx(scene.attention.cosine[-1])
    assert np.linalg.norm(W) == pytest.approx(1) == pytest.approx(float(np.linalg.norm(W_mm)))
    [row] = np.flatnonzero(scene.sides.t == found.step)
    assert scene.sides.small[row] == pytest.approx(gap, rel=1e-9)
    assert 10.0 ** scene.sides.log_small[row] == pytest.approx(gap, rel=1e-9)
    assert scene.sides.large[row] == pytest.approx(found.step**-3.0)


def test_attention_maps_are_those_of_autograd(evidence: dict[str, Any]) -> None:
    found = counterexample(evidence, "false.n2")
    scene = scene_of(found)
    defined = train_by_autograd(found.instance, Geometry(found.instance.dataset))
    assert [frame.t for frame in scene.frames][:: len(scene.frames) - 1] == [0, found.step]
    assert len(scene.frames) <= FRAMES
    for frame in scene.frames:
        assert frame.attention.sum(axis=1) == pytest.approx(1)
        assert _on_optimal(frame.attention, found.instance.dataset.optimal) == pytest.approx(
            math.exp(defined.column("log_s_min")[frame.t])
        )


def test_joint_scenes_agree_with_autograd(evidence: dict[str, Any]) -> None:
    found: Any = counterexample(evidence, "false.j4")
    instance = found.instance.with_run(steps=30)
    scene = scene_of(Counterexample(found.theorem, instance, 30, None, 128, "", ""))
    defined = train_joint_by_autograd(instance, JointGeometry(instance.dataset))
    assert scene.decoder is None
    assert scene.trained_decoder is not None
    u, u_mm = scene.trained_decoder.weights, scene.trained_decoder.solution
    assert u is not None
    assert u_mm is not None
    gap = defined.column("u_gap")[-1]
    assert float(u @ u_mm) == pytest.approx(1 - gap) == pytest.approx(scene.trained_decoder.cosine[-1])
    assert scene.trained_decoder.norm[-1] == pytest.approx(defined.column("u_norm")[-1])
    for frame in scene.frames:
        assert _on_optimal(frame.attention, instance.dataset.optimal) == pytest.approx(
            math.exp(defined.column("log_s_min")[frame.t]), rel=1e-6
        )


def _on_optimal(attention: Any, optimal: Any) -> float:
    return min(float(row[o]) for row, o in zip(attention, optimal, strict=True))


def test_a_trap_is_followed_beyond_its_certified_step(evidence: dict[str, Any]) -> None:
    found = counterexample(evidence, LIMIT)
    assert isinstance(evidence[LIMIT], LimitEvidence)
    scene = scene_of(found)
    assert scene.sides is None
    assert scene.frames[-1].t == max(found.step, BEYOND)
    assert _on_optimal(scene.frames[-1].attention, found.instance.dataset.optimal) < 0.5
    assert scene.attention is not None
    assert scene.attention.cosine[-1] < 0.999


def test_what_does_not_exist_is_left_out() -> None:
    dataset = signal_plus_noise(np.random.default_rng(3), 2, 3, LARGEST + 4)
    instance = Instance(dataset, Run("ngd", "logistic", 4, eta=1.0))
    scene = scene_of(Counterexample(planted.FALSE[0], instance, 4, None, 64, "", ""))
    assert scene.attention is not None
    assert (scene.attention.weights, scene.attention.solution) == (None, None)  # too large to be shown
    assert scene.attention.norm[-1] > 0
    far = Instance(dataset, Run("ngd", "logistic", 4, eta=1e300))  # the float run ends early
    assert scene_of(Counterexample(planted.FALSE[0], far, 4, None, 64, "", "")).frames[0].t == 0


# -------------------------------------------------------------------------------- a counterexample's page
def test_a_system_without_tokens_shows_its_numbers_and_curves() -> None:
    theorem = Theorem("false.linear", "never far", LINEAR, [], norm <= 1, Conjecture(source="planted"))
    points = Points([[1.0, 0.5], [0.25, 1.0]], [1.0, -1.0])  # type: ignore[arg-type]
    run = LinearRun(steps=8, rule="gd", loss="logistic", eta=4.0)
    found = Counterexample(theorem, LinearInstance(points, run), 8, None, 128, "[2 +/- 1]", "1")  # type: ignore[arg-type]
    scene = scene_of(found)
    assert scene.dataset is None
    assert scene.sides is not None
    assert scene.attention is not None
    assert scene.sides.small[scene.sides.t == 8] == scene.attention.norm[scene.attention.t == 8]
    made = CounterexamplePage.of(found)
    assert made.tokens is None
    assert [table.caption for table in made.arrays] == ["X, of size 2 × 2", "y, of size 2"]
    assert made.arrays[0].rows == (("row 0", "1", "0.5"), ("row 1", "0.25", "1"))
    assert len(made.figures) == 3


def test_a_counterexample_has_its_pictures_and_enclosures(evidence: dict[str, Any]) -> None:
    found = counterexample(evidence, "false.n2")
    html = page(Section.of(Verdict(evidence["false.n2"]), "ratecheck replay <x>.json"))
    assert found.small in html
    assert found.large in html
    assert f"At step {found.step} it is not true that" in html
    assert '<code class="reproduce">ratecheck replay &lt;x&gt;.json</code>' in html
    assert '<button class="copy" type="button">Copy</button>' in html
    for words in (
        "Both sides over the steps",
        "The data: ",
        "attention weights of",
        f"W at step {found.step} (left) beside its max-margin solution",
        "The cosine between W_t and its max-margin solution",
        "The norm of W_t",
    ):
        assert words in html


@pytest.mark.parametrize("id", [*FALSE, LIMIT])
def test_every_counterexample_has_a_page(id: str, evidence: dict[str, Any]) -> None:
    found = counterexample(evidence, id)
    made = CounterexamplePage.of(found, None)
    assert len(made.figures) >= 2
    assert len(made.sides) == (0 if id == LIMIT else 2)
    assert made.command is None
    html = page(Section.of(Verdict(evidence[id])))
    assert "reproduce" not in html
    ElementTree.fromstring(html)
