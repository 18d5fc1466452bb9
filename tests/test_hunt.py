"""The hunt finds known worst cases and thin falsehoods, within small budgets and deterministically."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from bounds import (
    ATTENTION,
    Conjecture,
    PositiveCoefficients,
    Rule,
    Separable,
    Theorem,
    ZeroInit,
    direction_gap,
    t,
)
from bounds.attention_ngd import ngd_direction_bound
from bounds.catalogue import THEOREMS
from bounds.notation import Lambda_max
from models.instance import Instance
from properties import corpus
from properties.hunt import Budget, Hunt, Ledger, Watcher, engines_for
from properties.hunt_claims import BatchMeasured, differentiable, room
from properties.hunt_engines import losses
from properties.hunt_gradient import assemble
from properties.hunt_objective import NOTHING, Hardness, Target, Unhuntable, divided
from properties.hunt_space import Shape, Space, rounded, shapes
from properties.store import load, rejudge
from ratecheck import hunt as command
from ratecheck.cli import run

BY_ID = {theorem.id: theorem for theorem in THEOREMS}
N2 = BY_ID["attention.ngd.direction"]
N1 = BY_ID["attention.ngd.norm.lower"]
G2 = BY_ID["attention.gd.loss"]
ORDER = BY_ID["attention.ngd.order.log-squared"]

#: N2 with a sixteenth of its right side: true on nearly all data, false where two sequences are unbalanced.
THIN = Theorem(
    "thin.direction",
    "N2 sixteen times sharper",
    ATTENTION,
    [Separable(), PositiveCoefficients(), Rule("ngd"), ZeroInit()],
    direction_gap <= ngd_direction_bound(Lambda_max) / 16,
    Conjecture(source="planted"),
    domain=t >= 1,
)


# --------------------------------------------------------------------------------------------- the space
@pytest.mark.parametrize(
    "theorem_id", ["attention.gd.loss", "attention.ngd.direction", "attention.apriori.lambda"]
)
def test_every_point_is_an_instance_with_the_data_assumptions(theorem_id: str) -> None:
    from models.attention import Geometry
    from properties.hypotheses import failing

    theorem = BY_ID[theorem_id]
    rng = np.random.default_rng(0)
    for shape in shapes(theorem):
        space = Space(theorem, shape, 10)
        for _ in range(4):
            instance = space.decode(space.somewhere(rng))
            assert instance is not None
            assert instance.dataset.X.shape == (shape.n, shape.T, shape.d)
            assert failing(theorem, instance, Geometry(instance.dataset)) is None
            assert shape.uneven or instance.dataset.equal_scores


def test_decoded_numbers_are_short() -> None:
    values = np.array([0.0, 1.0, np.pi, -1e-3, 1e-9, 300.7])
    short = rounded(values, 8)
    assert short[0] == 0.0
    assert np.abs(short - values).max() <= 1.0
    scaled = short * 2.0**16
    assert (scaled == np.round(scaled)).all()


def test_the_differentiable_and_the_exact_instance_agree() -> None:
    for shape in (Shape(2, 3, 3, "gd", "logistic"), Shape(2, 3, 3, "gd", "logistic", 2.0**-7, cross=False)):
        space = Space(G2, shape, 30)
        x = space.somewhere(np.random.default_rng(3))
        instance = space.decode(x, 40)
        assert instance is not None
        batch = assemble(space, torch.tensor(x)[None], [instance])
        from models.batched import stack

        exact = stack([instance])
        for name in ("differences", "queries", "gaps", "best", "step_size", "W_0"):
            assert torch.allclose(getattr(batch, name), getattr(exact, name), rtol=1e-6, atol=1e-6), name


def test_claims_on_a_batch_have_the_judges_ratios() -> None:
    from models.attention import Geometry, train
    from models.batched import stack, train_batch
    from properties.compiled import compile_expression
    from properties.hypotheses import as_balls
    from properties.judge import log_ratio
    from properties.observables import Measurement

    rng = np.random.default_rng(5)
    checked = 0
    for theorem in THEOREMS:
        if theorem.system != ATTENTION or not differentiable(theorem):
            continue
        shape = next(s for s in shapes(theorem) if s.T == 3)
        instance = Space(theorem, shape, 20).decode(Space(theorem, shape, 20).somewhere(rng))
        assert instance is not None
        geometry = Geometry(instance.dataset)
        measured = Measurement(instance, geometry, train(instance, geometry))
        batch = stack([instance])
        found = room(theorem, BatchMeasured(batch, train_batch(batch, 20)), 1, np.inf, None)
        rows = found.counts[:, 0].numpy()
        if measured.trajectory.onset is None or measured.trajectory.onset > 1 or not rows.any():
            continue
        small, large = (as_balls(compile_expression(s)(measured), 21) for s in (theorem.small, theorem.large))
        expected = log_ratio(small, large)[rows] * np.log(10.0)
        finite = np.isfinite(expected)
        assert np.allclose(found.ratio[:, 0].numpy()[rows][finite], expected[finite], rtol=1e-7, atol=1e-7), (
            theorem.id
        )
        checked += 1
    assert checked >= 15


# -------------------------------------------------------------------------------------------- the ledger
def test_a_ledger_keeps_the_hardest_once_and_remembers_records() -> None:
    space = Space(N2, Shape(1, 2, 2, "ngd", "logistic"), 5)
    rng = np.random.default_rng(1)
    ledger = Ledger("random", N2)
    instances = [space.decode(space.somewhere(rng)) for _ in range(40)]
    for k, instance in enumerate(instances):
        for _ in range(2):
            ledger.enter(instance, Hardness(-float(abs(k - 25)), 1), 0)
    ledger.enter(None, Hardness(NOTHING), 0)
    assert ledger.evaluations == 81
    assert ledger.best == 0.0
    assert ledger.best_within(2) == -25.0
    assert [hard.hardness.value for hard in ledger.kept][:3] == [0.0, -1.0, -1.0]
    assert len({hard.instance.id for hard in ledger.kept}) == len(ledger.kept) == 20


def test_points_without_hardness_are_the_worst_for_a_minimiser() -> None:
    seen = losses([-1.0, NOTHING, 2.0, np.inf])
    assert seen[3] < seen[2] < seen[0] < seen[1] < np.inf
    assert all(np.isfinite(seen))


def test_shares_are_a_partition() -> None:
    assert [x for share in divided(list(range(7)), 3) for x in share] == list(range(7))
    assert divided([], 3) == []


def test_only_claims_with_a_hardest_instance_are_hunted() -> None:
    with pytest.raises(Unhuntable, match="limit claim"):
        Target(BY_ID["attention.equal-scores.gd.limit"], 10)
    assert engines_for(ORDER) == ("random", "target", "cma")
    assert engines_for(BY_ID["attention.master-sum"]) == ("random", "target", "cma")
    assert "gradient" in engines_for(N2)


# ------------------------------------------------------------------------------------------- the engines
@pytest.mark.parametrize("engine", ["random", "target", "cma", "gradient"])
def test_engines_are_deterministic_and_keep_to_their_budget(engine: str) -> None:
    found = [Hunt(Target(N2, 40), 3).run(engine, Budget(90)) for _ in range(2)]
    assert [ledger.evaluations for ledger in found] == [90, 90]
    assert found[0].records == found[1].records
    assert found[0].best > NOTHING


@pytest.mark.parametrize("engine", ["cma", "gradient", "target"])
def test_engines_learn(engine: str) -> None:
    ledger = Hunt(Target(N2, 20), 0).run(engine, Budget(256))
    assert ledger.best > ledger.best_within(60)


def test_the_known_equality_is_found() -> None:
    hunt = Hunt(Target(N1, 30), 0)
    hunt.run("random", Budget(120))
    assert hunt.attained is not None
    assert hunt.attained.instance.dataset.X.shape[:2] == (1, 2)
    assert hunt.attained.hardness.equal == 1
    near = hunt.run("cma", Budget(400))
    assert near.best > np.log10(0.99)  # and elsewhere the hunt comes as near to it as it likes


def test_orders_are_hunted_by_the_growth_of_their_ratio() -> None:
    ledger = Hunt(Target(ORDER, 600), 0).run("cma", Budget(40))
    assert ledger.kept
    assert -5.0 < ledger.best < 1.0


def test_a_budget_in_seconds_ends_a_hunt() -> None:
    ledger = Hunt(Target(N2, 20), 0).run("random", Budget(seconds=0.2))
    assert 0 < ledger.evaluations < 2_000


def test_interrupts_pass_through_the_engines() -> None:
    class Stop(Watcher):
        calls = 0

        def progress(self, ledger: Ledger, budget: Budget) -> None:
            self.calls += 1
            if self.calls > 3:
                raise KeyboardInterrupt

    for engine in ("random", "target", "cma"):
        hunt = Hunt(Target(N2, 10), 0, Stop())
        with pytest.raises(KeyboardInterrupt):
            hunt.run(engine, Budget(1_000))
        assert hunt.ledgers[engine].evaluations > 0


# --------------------------------------------------------------------------------- conviction and command
def test_a_thin_falsehood_that_sampling_misses_is_convicted(tmp_path: Path) -> None:
    sampled = Hunt(Target(THIN, 60), 0)
    assert sampled.run("random", Budget(600)).evidence.counterexample is None
    request = command.Request.checked(THIN, "cma", None, 3_000, None, 0, 1, 60, 1, False)
    outcome = command.run_hunt(request, quiet(), None, tmp_path / "corpus", tmp_path / "found")
    assert outcome.exit_code == 1
    assert outcome.counterexample is not None
    stored = load(Path(outcome.counterexample))
    assert rejudge(stored, THIN).outcome == "violated"
    assert outcome.as_json()["verdict"] == "falsified"


def quiet() -> Console:
    return Console(file=io.StringIO())


def test_the_command_reports_and_reproduces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, result = tmp_path / "corpus", tmp_path / "result.json"
    arguments = ["hunt", N2.id, "--evaluations", "40", "--baseline", "60", "--steps", "30", "--workers", "1"]
    assert run([*arguments, "--corpus", str(folder), "--json", str(result)]) == 0
    out = capsys.readouterr().out
    data = json.loads(result.read_text())
    assert data["schema"] == "ratecheck/hunt/1"
    assert list(data["engines"]) == ["random", "target", "cma", "gradient"]
    assert data["engines"]["random"]["instances"] == 60
    assert data["engines"]["cma"]["instances"] == 40
    assert data["engines"]["cma"]["over_random_at_the_same_number"] > 0
    assert "reproduce: ratecheck hunt" in out
    words = data["reproduce"]["reproduce"].split()
    assert run(words[1:]) == 0
    assert "holds, certified" in capsys.readouterr().out


def test_workers_do_not_change_the_hunt(tmp_path: Path) -> None:
    results = []
    for workers in ("1", "2"):
        path = tmp_path / f"{workers}.json"
        arguments = [
            "hunt",
            N2.id,
            "--engine",
            "cma",
            "--evaluations",
            "30",
            "--steps",
            "20",
            "--workers",
            workers,
        ]
        assert run([*arguments, "--corpus", str(tmp_path / workers), "--json", str(path)]) == 0
        results.append(json.loads(path.read_text()))
    assert results[0]["engines"]["cma"]["records"] == results[1]["engines"]["cma"]["records"]


def test_an_interrupted_hunt_keeps_its_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Hunt.run

    def interrupted(self: Hunt, name: str, budget: Budget) -> Ledger:
        whole(self, name, budget)
        raise KeyboardInterrupt

    monkeypatch.setattr(Hunt, "run", interrupted)
    arguments = ["hunt", N2.id, "--engine", "random", "--evaluations", "30", "--steps", "20", "--workers", "1"]
    assert run([*arguments, "--corpus", str(tmp_path)]) == 130
    entries = corpus.load(N2, tmp_path).entries
    assert entries
    assert isinstance(entries[0].instance, Instance)


@pytest.mark.parametrize(
    "arguments",
    [
        ["N5"],
        ["no-such-theorem"],
        ["attention.equal-scores.gd.limit"],
        ["attention.ngd.direction", "--engine", "magic"],
        ["attention.master-sum", "--engine", "gradient"],
        ["attention.ngd.direction", "--budget", "0"],
        ["attention.ngd.direction", "--evaluations", "0"],
        ["attention.ngd.direction", "--workers", "0"],
        ["attention.ngd.direction", "--seed", "-1"],
        ["attention.gradient-domination", "--informative"],
        ["attention.ngd.direction", "--instance", "no-such-file.json"],
    ],
)
def test_bad_arguments_are_one_clear_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["hunt", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ratecheck: error:")
    assert error.count("\n") == 1
