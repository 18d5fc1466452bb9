"""The trial on real data: pairs of handwritten digits as token datasets."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from bounds import ATTENTION, DATA, JOINT, PositiveCoefficients, System, Theorem
from models.attention import Geometry, weights_at
from models.dataset import TokenDataset
from models.digits import DigitDataset
from models.instance import RULES, Instance, Run
from models.joint import JointGeometry, JointInstance, JointRun
from models.trajectory import RECORD_LIMIT, Trajectory
from properties.attention import Setting, largest_step, natural_step
from properties.comparison import ComparisonEvidence, Runner
from properties.evidence import evidence_for
from properties.measured import Measured
from properties.systems import tools
from properties.trial import Profile, lengths, weigh
from properties.verdict import Evidence

_COUNTS = ("datasets", "sequences", "offered", "runs", "steps", "pc_steps", "joint_runs", "joint_onsets")


@dataclass
class DigitSummary:
    """How far the hypotheses hold on the digits.

    Attributes
    ----------
    datasets, sequences, offered : int
        Pairs of digit classes, images kept, images looked at.
    dropped : dict
        Images left out, by reason.
    runs : int
        Training runs, one a dataset, rule and step size.
    joint_runs, joint_onsets : int
        Runs of joint training, and those in which positive coefficients set in for good.
    onsets : list of int
        Step t0 from which positive coefficients hold to the end, for the runs where they do.
    steps, pc_steps : int
        Recorded steps, and those where positive coefficients hold for every sequence.
    sequence_steps, pc_sequence_steps : int
        The same counted by sequence.
    """

    datasets: int = 0
    sequences: int = 0
    offered: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    runs: int = 0
    joint_runs: int = 0
    joint_onsets: int = 0
    onsets: list[int] = field(default_factory=list)
    steps: int = 0
    pc_steps: int = 0
    sequence_steps: int = 0
    pc_sequence_steps: int = 0

    def merge(self, other: DigitSummary) -> None:
        """Add another worker's counts."""
        for name in (
            "datasets",
            "sequences",
            "offered",
            "runs",
            "steps",
            "pc_steps",
            "joint_runs",
            "joint_onsets",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.sequence_steps += other.sequence_steps
        self.pc_sequence_steps += other.pc_sequence_steps
        self.onsets += other.onsets
        for reason, count in other.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def count(self, trajectory: Trajectory, sequences: int, joint: bool = False) -> None:
        """Add one run's share of steps and sequences with positive coefficients (joint runs count apart)."""
        if joint:
            self.joint_runs += 1
            self.joint_onsets += trajectory.onset is not None
            return
        self.runs += 1
        if trajectory.onset is not None:
            self.onsets.append(trajectory.onset)
        rows = len(trajectory)
        self.steps += rows
        self.pc_steps += int((trajectory.column("pc_margin") > 0).sum())
        self.sequence_steps += rows * sequences
        self.pc_sequence_steps += int(np.nansum(trajectory.column("pc_sequences")))

    @property
    def sentences(self) -> list[str]:
        """The summary in words."""
        dropped = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items() if count) or "none"
        kept = f"{self.sequences} of {self.offered} images kept (left out: {dropped})"
        lines = [f"{self.datasets} pairs of digits, {kept}."]
        if self.steps:
            lasting = len(self.onsets)
            since = f", from step {statistics.median(self.onsets):g} in the median" if lasting else ""
            lines += [
                f"Positive coefficients hold to the end in {lasting} of {self.runs} runs{since}.",
                f"They hold for all sequences at once on {self.pc_steps / self.steps:.1%} of the steps, and for "
                f"{self.pc_sequence_steps / self.sequence_steps:.1%} of (sequence, step) pairs.",
            ]
        if self.joint_runs:
            lines.append(
                f"Joint training of attention and decoder: positive coefficients set in for good in "
                f"{self.joint_onsets} of {self.joint_runs} runs."
            )
        return lines


@dataclass(frozen=True, eq=False)
class DigitUnit:
    """The theorems to hold against one digit dataset."""

    theorems: tuple[Theorem, ...]
    digits: DigitDataset
    profile: Profile


def run_digits(unit: DigitUnit) -> tuple[list[Evidence], DigitSummary]:
    """Train on one pair of digits with every rule and step size that some theorem asks for, and judge.

    A theorem that needs positive coefficients from step 0 is judged from t0 on, where they set in: the run is
    restarted at W_{t0}, which is a run of the same rule with another W_0.
    """
    digits = unit.digits
    dropped = {
        "tied": digits.dropped_ties,
        "with a blank query": digits.dropped_zero_queries,
        "inseparable": digits.dropped_inseparable,
    }
    summary = DigitSummary(1, digits.dataset.n, digits.offered, dropped)
    evidence = {theorem.id: evidence_for(theorem) for theorem in unit.theorems}
    geometry = Geometry(digits.dataset)
    runner = Runner(digits.dataset, geometry, "logistic", unit.profile.long_steps)
    for body in evidence.values():
        if isinstance(body, ComparisonEvidence):
            body.add(runner, digits.name)
        elif body.theorem.system not in (ATTENTION, JOINT, DATA):
            body.pass_over("digits are cut into tokens, which this system does not have")
    geometries = {ATTENTION: geometry, JOINT: JointGeometry(digits.dataset)}
    for (instance, dense), theorems in _groups(unit).items():
        system = theorems[0].system
        run = _DigitRun(system, instance, geometries[system], dense)
        if dense == RECORD_LIMIT:
            summary.count(run.whole.trajectory, digits.dataset.n, joint=system == JOINT)
        for theorem in theorems:
            weigh(evidence[theorem.id], run.measurement(theorem), digits.name, run.repeat)
    return list(evidence.values()), summary


def _groups(unit: DigitUnit) -> dict[tuple[Any, int], list[Theorem]]:
    """Theorems about runs by the instance they are judged on, and how densely it is recorded."""
    digits = unit.digits
    known: dict[tuple[str, str, float, int], Any] = {}
    groups: dict[tuple[Any, int], list[Theorem]] = {}
    for theorem in unit.theorems:
        if theorem.kind in ("comparison", "probability") or theorem.system not in (ATTENTION, JOINT):
            continue
        if theorem.system == JOINT:
            steps, dense = lengths(theorem, unit.profile)
            key = ("joint", "logistic", 0.0, steps)
            if key not in known:
                known[key] = _joint_instance(digits.dataset, steps)
            groups.setdefault((known[key], dense), []).append(theorem)
            continue
        setting = Setting.of(theorem)
        loss = setting.loss or "logistic"
        steps, dense = lengths(theorem, unit.profile)
        for rule in [setting.rule] if setting.rule else RULES:
            size = _step_size(setting, rule, loss, digits)
            instance = Instance(digits.dataset, _run(rule, loss, size, steps))
            groups.setdefault((known.setdefault((rule, loss, size, steps), instance), dense), []).append(theorem)
    return groups


def _joint_instance(dataset: TokenDataset, steps: int) -> JointInstance:
    """Joint training with first steps that move margins by about 4 and scores by about 1."""
    geometry = JointGeometry(dataset)
    eta_W = 2.0 ** round(math.log2(4.0 / geometry.features.radius))
    eta_u = 2.0 ** round(-math.log2(geometry.token_radius))
    return JointInstance(dataset, JointRun("logistic", steps, eta_W, eta_u))


class _DigitRun:
    """One training run on digits, and its continuation from where positive coefficients set in."""

    def __init__(self, system: System, instance: Any, geometry: Any, dense: int) -> None:
        self.system, self.geometry, self.dense = system, geometry, dense
        self.whole = self._measure(instance)

    def _measure(self, instance: Any) -> Measured:
        return tools(self.system).measure(instance, self.geometry, self.dense)

    def measurement(self, theorem: Theorem) -> Measured:
        """The run a theorem is judged on."""
        return self.later if _needs_restart(theorem, self.whole.trajectory) else self.whole

    @cached_property
    def later(self) -> Measured:
        """The run restarted at t0."""
        onset = self.whole.trajectory.onset
        assert onset is not None
        W_0 = weights_at(self.whole.instance, onset, self.geometry)
        return self._measure(self.whole.instance.with_run(W_0=W_0))

    def repeat(self, steps: int) -> Measured:
        """The run with another number of steps."""
        return self._measure(self.whole.instance.with_run(steps=steps))


def _run(rule: str, loss: str, size: float, steps: int) -> Run:
    if rule == "polyak":
        return Run(rule, loss, steps, zeta=size)
    return Run(rule, loss, steps, eta=size)


def _step_size(setting: Setting, rule: str, loss: str, digits: DigitDataset) -> float:
    if rule == "polyak":
        return 1.0
    if setting.limits:
        return largest_step(setting.limits, digits.dataset, loss)
    return natural_step(rule, digits.dataset)


def _needs_restart(theorem: Theorem, trajectory: Trajectory) -> bool:
    if theorem.system != ATTENTION:
        return False
    looks_back = "start" in theorem.memory and any(isinstance(a, PositiveCoefficients) for a in theorem.assumes)
    return looks_back and trajectory.onset is not None and trajectory.onset > 1


def merge_digits(
    evidence: dict[str, Evidence], total: DigitSummary, result: tuple[list[Evidence], DigitSummary]
) -> None:
    """Add one dataset's result to what has been collected."""
    bodies, summary = result
    total.merge(summary)
    for body in bodies:
        evidence[body.theorem.id].merge(body)
