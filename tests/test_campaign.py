"""Campaigns: the same store whoever works on it and however often it is interrupted; nothing is counted twice."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from bounds import ATTENTION, Conjecture, Rule, Theorem, ZeroInit, eta, norm, norm_0, t
from models.trajectory import RECORD_LIMIT
from properties.campaign import BATCH, Batch, judged_theorems, plan, run_batch
from properties.campaign_store import gather, intact
from properties.judge import NOT_APPLICABLE, UNDECIDED, VIOLATED, judge
from properties.rejudging import judge_stack, needed
from properties.runs import RunStore
from properties.store import StoreError
from properties.systems import tools
from properties.verdict import CONFIRMED, FALSIFIED
from ratecheck.campaign import MANIFEST, Order, run_campaign, stored_order
from ratecheck.command import BAD_INPUT, INTERRUPTED, Unusable
from ratecheck.commands import answer

GUESS = Conjecture(source="planted")
FALSE = Theorem("my.slow", "false", ATTENTION, [Rule("ngd")], norm <= norm_0 + eta * t / 2, GUESS)
TIGHT = Theorem("my.tight", "attained", ATTENTION, [Rule("ngd"), ZeroInit()], norm <= eta * t, GUESS)
#: Small enough to be made again and again.
ORDER = Order(("attention",), instances=60, steps=30, rule="ngd", family="equal-scores")
#: How many times a runner is killed; the environment may ask for more.
KILLS = int(os.environ.get("RATECHECK_KILLS", "1"))


def quiet() -> Console:
    """A console that nobody reads."""
    return Console(quiet=True)


def batches(folder: Path, order: Order = ORDER, own: tuple[Theorem, ...] = ()) -> list[Batch]:
    """The plan of an order, under a digest of its own."""
    choices = {"rule": order.rule, "loss": order.loss, "family": order.family}
    return plan(order.systems, order.instances, order.steps, order.seed, folder, "test", own, choices)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a store by their relative names."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    """Batches with two planted claims besides the catalogue's, all made."""
    some = batches(tmp_path_factory.mktemp("made"), own=(FALSE, TIGHT))
    for batch in some:
        assert run_batch(batch).runs > 0
    return some


def test_a_plan_spreads_instances_evenly_and_repeats_itself(tmp_path: Path) -> None:
    order = Order(("attention", "joint", "linear"), instances=3000, steps=10)
    some = batches(tmp_path, order)
    assert some == batches(tmp_path, order)
    assert sum(share.count for batch in some for share in batch.shares) == 3000
    assert all(0 < sum(share.count for share in batch.shares) <= BATCH for batch in some)
    assert {(batch.system, batch.rule) for batch in some} >= {
        ("attention", "ngd"),
        ("attention", "gd"),
        ("attention", "polyak"),
        ("joint", "joint"),
        ("linear", "loss-normalised"),
    }
    seeds = [share.seed for batch in some for share in batch.shares]
    assert len(set(seeds)) == len(seeds)
    by_cell = Counter((b.system, b.rule, s.setting, s.family) for b in some for s in b.shares)
    assert len({batch.path for batch in some}) == len(some)
    assert max(by_cell.values()) == 1  # at most a batch's worth of each here


def test_stored_judgements_are_those_of_the_judge(made: list[Batch]) -> None:
    theorems = {x.id: x for x in judged_theorems("attention", (FALSE, TIGHT))}
    system, compared = tools(ATTENTION), 0
    for batch in made:
        table = pq.read_table(batch.path, partitioning=None).to_pylist()
        for row in table[::7]:
            instance = system.instance(json.loads(row["instance"]))
            assert instance.id == row["id"]
            run = system.measure(instance, system.geometry(instance), RECORD_LIMIT)
            said = dict(zip(row["judged.theorem"], range(len(row["judged.theorem"])), strict=True))
            for id, theorem in theorems.items():
                slow = judge(theorem, run)
                assert (id in said) == (slow.outcome != NOT_APPLICABLE)
                if id in said:
                    k = said[id]
                    assert row["judged.steps"][k] == slow.steps
                    assert row["judged.violated"][k] == slow.violated
                    assert row["judged.undecided"][k] == slow.undecided
                    suspected = slow.outcome in (VIOLATED, UNDECIDED)
                    assert bool(row["judged.certified"][k]) == suspected or id == FALSE.id
                    compared += 1
    assert compared > 100


def test_a_false_claim_is_convicted_and_a_tight_one_is_not(made: list[Batch]) -> None:
    bodies = gather(made, judged_theorems("attention", (FALSE, TIGHT)))
    assert bodies[FALSE.id].verdict == FALSIFIED
    found = bodies[FALSE.id].counterexample
    assert found is not None
    assert found.step >= 1
    assert bodies[TIGHT.id].verdict == CONFIRMED
    assert bodies[TIGHT.id].tight > 0
    body = bodies["attention.ngd.direction"]
    assert body.instances == sum(len(pq.read_table(batch.path, columns=["id"])) for batch in made)
    assert body.applicable + body.outcomes[NOT_APPLICABLE] == body.instances
    assert body.hardest
    assert body.hardest[0].curve is not None


def test_trajectories_are_log_spaced_with_the_worst_window_in_full(tmp_path: Path) -> None:
    order = Order(("attention",), instances=8, steps=1500, rule="ngd", family="non-negative")
    [batch, *_] = batches(tmp_path, order)
    run_batch(batch)
    for row in pq.read_table(batch.path, partitioning=None).to_pylist():
        kept = np.array(row["t"])
        assert kept[0] == 0
        assert kept[-1] == 1500
        assert len(kept) < 80
        spaced = kept[kept > 20]
        assert (spaced[1:] / spaced[:-1]).max() < 1.35
        pairs = zip(row["judged.log_ratio"], row["judged.worst_step"], row["judged.certified"], strict=True)
        _, step, _ = max(pair for pair in pairs if pair[2] != "tight")
        assert set(range(max(0, step - 8), min(1500, step + 8) + 1)) <= set(kept.tolist())


def test_a_new_bound_is_judged_on_what_is_stored(made: list[Batch]) -> None:
    wrong = Theorem("my.later", "thought of later", ATTENTION, [Rule("ngd")], norm <= norm_0 + eta * t / 3, GUESS)
    stacks = list(RunStore(made[0].folder).stacks("attention", "ngd", needed(wrong)))
    assert sum(len(stack) for stack in stacks) > 20
    assert sum(int((judge_stack(wrong, stack).violated > 0).sum()) for stack in stacks) > 10
    assert all((judge_stack(TIGHT, stack).violated == 0).all() for stack in stacks)


def test_an_instance_in_two_batches_counts_once(made: list[Batch], tmp_path: Path) -> None:
    alone, doubled = (
        gather(made, judged_theorems("attention")),
        gather([*made, *made], judged_theorems("attention")),
    )
    for id, body in alone.items():
        assert (body.instances, body.steps, body.outcomes) == (
            doubled[id].instances,
            doubled[id].steps,
            doubled[id].outcomes,
        )


# ------------------------------------------------------------------------------------------------ faults
def test_damaged_files_are_set_aside_and_made_again(tmp_path: Path) -> None:
    run_campaign(ORDER, tmp_path, quiet())
    before = contents(tmp_path)
    names = list(before)
    whole = before[names[0]]
    middle = len(whole) // 3
    (tmp_path / names[0]).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    (tmp_path / names[-1]).write_bytes(before[names[-1]][:100])
    outcome = run_campaign(ORDER, tmp_path, quiet())
    assert outcome.made == len(outcome.damaged) == len({names[0], names[-1]})
    assert all(".damaged" in line for line in outcome.damaged)
    assert contents(tmp_path) == before
    assert len(list(tmp_path.rglob("*.damaged"))) == outcome.made


def test_the_number_of_workers_does_not_matter(tmp_path: Path) -> None:
    order = Order(("attention",), instances=240, steps=20, loss="logistic")
    for workers in (1, 2):
        assert run_campaign(order, tmp_path / str(workers), quiet(), workers=workers).made > 3
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_a_dask_cluster_gives_the_same_store(tmp_path: Path) -> None:
    order = Order(("attention",), instances=120, steps=20)
    run_campaign(order, tmp_path / "loky", quiet())
    run_campaign(order, tmp_path / "dask", quiet(), engine_name="dask", workers=2)
    assert contents(tmp_path / "loky") == contents(tmp_path / "dask")


def command(folder: Path, *more: str) -> list[str]:
    """The command line of a campaign of some seconds."""
    code = "from ratecheck.cli import main; main()"
    fixed = ["--instances", "900", "--steps", "300", "--counterexamples", str(folder / "found")]
    return [sys.executable, "-c", code, "campaign", "--store", str(folder), *fixed, *more]


def test_runners_killed_at_any_moment_leave_a_store_to_go_on_with(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    started = time.monotonic()
    subprocess.run(command(undisturbed), capture_output=True, check=False)
    length, chance = time.monotonic() - started, random.Random(7)
    for _ in range(KILLS):
        runner = subprocess.Popen(
            command(killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(chance.uniform(0.3, 0.9) * length)
        # The runner alone, or its workers with it.
        (os.killpg if chance.random() < 0.5 else os.kill)(runner.pid, signal.SIGKILL)
        runner.wait()
        present = contents(killed)
        assert all(present[name] == contents(undisturbed)[name] for name in present)
    done = subprocess.run([*command(killed), "--json", str(tmp_path / "x.json")], capture_output=True, check=False)
    assert done.returncode in (1, 3), done.stderr
    assert contents(killed) == contents(undisturbed)
    assert not list(killed.rglob("*.part"))
    assert not list(killed.rglob("*.damaged"))


def test_an_interrupt_says_how_far_it_came(tmp_path: Path) -> None:
    runner = subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while runner.poll() is None and not list(tmp_path.rglob("*.parquet")):
        time.sleep(0.05)
    runner.send_signal(signal.SIGINT)
    said, _ = runner.communicate(timeout=60)
    assert runner.returncode == INTERRUPTED
    assert "the same command goes on" in said


def test_a_full_disk_is_said_and_leaves_a_readable_store(
    tmp_path: Path,
) -> None:
    some = batches(tmp_path, Order(("attention",), instances=200, steps=30, rule="ngd"))
    run_batch(some[0])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # what a full disk does to a long file
    try:
        with pytest.raises(StoreError, match=r"cannot be written .* free space or choose another folder"):
            run_batch(some[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert intact(some[0])
    assert not some[1].path.exists()
    assert not list(tmp_path.rglob("*.part"))


# --------------------------------------------------------------------------------------------- bad input
def test_a_folder_holds_one_campaign(tmp_path: Path) -> None:
    run_campaign(ORDER, tmp_path, quiet())
    assert stored_order(tmp_path) == ORDER
    with pytest.raises(Unusable, match=r"its order differ \(steps: 30 there, 31 here\); choose another --store"):
        run_campaign(Order(("attention",), 60, 31, rule="ngd", family="equal-scores"), tmp_path, quiet())
    with pytest.raises(Unusable, match=r"its theorems differ \(my.slow: None there"):
        run_campaign(ORDER, tmp_path, quiet(), own=(FALSE,))
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(StoreError, match=r"campaign.json: damaged \(JSONDecodeError\); choose another --store"):
        run_campaign(ORDER, tmp_path, quiet())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--instances", "0"], "--instances 0: give a number from 1"),
        (["--steps", "0"], "--steps 0: give a number from 1"),
        (["--seed", "-1"], "--seed -1: give a number that is not negative"),
        (["--system", "atention"], "--system atention: campaigns judge inequalities; choose from attention"),
        (["--family", "none-such"], "no family of data fits"),
        (["--engine", "slurm"], "--engine slurm: choose loky or dask"),
    ],
)
def test_bad_options_name_the_fix(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(["campaign", "--store", str(tmp_path / "x"), *options]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_another_runner_is_kept_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import fcntl

    with (tmp_path / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert answer(["campaign", "--store", str(tmp_path), "--instances", "10"]) == BAD_INPUT
    assert "another campaign is working there" in capsys.readouterr().err


def test_the_command_reports_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["campaign", "--store", str(tmp_path / "s"), "--counterexamples", str(tmp_path / "c")]
    first = [*options, "--instances", "60", "--steps", "30", "--rule", "ngd", "--family", "equal-scores"]
    results: list[dict[str, Any]] = []
    for words in (first, options):  # the second takes everything from the store
        answer([*words, "--json", str(tmp_path / "r.json")])
        results.append(json.loads((tmp_path / "r.json").read_text()))
    assert results[0]["made"] == results[0]["batches"] == results[1]["batches"]
    assert results[1]["made"] == 0
    for entry in (*results[0]["theorems"], *results[1]["theorems"]):
        entry.pop("seconds")
    assert results[0]["theorems"] == results[1]["theorems"]
    assert "CONFIRMED" in capsys.readouterr().out
