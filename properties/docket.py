"""Many claims judged along one run at once, their expressions on one tape (see `properties.tape`).

`Docket.judge` says of each theorem what `properties.judge.judge` says of it, which tests hold it to.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from bounds import Assumption, BelowPath, Theorem
from properties import tape_kernel as kernel
from properties.balls import BoolArray
from properties.hypotheses import PC_MARGIN, check, from_step, reach, so_far
from properties.judge import HOLDS, MAX_STEPS, NOT_APPLICABLE, UNDECIDED, VACUOUS, VIOLATED, Judgement
from properties.measured import Measured
from properties.observables import Undefined
from properties.reading import Reading, read
from properties.tape import Mask, Tape, compile_tape, hypotheses, names_of
from properties.tape_arithmetic import BLOCK


@dataclass(frozen=True)
class Sitting:
    """What one run says of the theorems of a docket.

    Attributes
    ----------
    judgements : list of Judgement
        One a theorem, without curves.
    hypotheses : dict
        The fixed hypotheses that had to be decided for that, by their canonical texts.
    """

    judgements: list[Judgement]
    hypotheses: dict[str, bool]


class Docket:
    """Pointwise theorems of one system that are judged together, run after run.

    Parameters
    ----------
    theorems : sequence of Theorem
    """

    def __init__(self, theorems: Sequence[Theorem]) -> None:
        self.theorems = tuple(theorems)
        self._fixed = list({a: None for x in theorems for a in x.assumes if a.level != "trajectory"})
        self._entries = [_Entry(theorem, self._fixed) for theorem in theorems]
        self._tapes: dict[tuple[tuple[int, ...], frozenset[str]], Tape] = {}

    def judge(self, measurement: Measured) -> Sitting:
        """Hold every recorded step of a run against each theorem."""
        if not len(measurement.trajectory):
            none = Judgement(NOT_APPLICABLE, "the run has no step that float64 can represent")
            return Sitting([none] * len(self.theorems), {})
        known = _Known(measurement, self._fixed)
        results = known.objections(self._entries)
        first = [place for place, result in enumerate(results) if result is None]
        for place, judgement in self._run(first, known, probing=True):
            results[place] = judgement
        # A probe has looked for steps in the domain of a claim whose observables are dear.
        second = [
            place for place in first if self._entries[place].probe is not None and _holds_somewhere(results[place])
        ]
        for place in set(first) - set(second):
            if self._entries[place].probe is not None:
                results[place] = Judgement(NOT_APPLICABLE, _NOWHERE)
        for place, judgement in self._run(second, known, probing=False):
            results[place] = judgement
        return Sitting([result for result in results if result is not None], known.hypotheses)

    def _run(self, places: list[int], known: _Known, probing: bool) -> Iterator[tuple[int, Judgement]]:
        missing = {name for place in places for name in self._entries[place].level if known.undefined(name)}
        for place in places if not probing else ():
            objection = known.undefined_among(self._entries[place].dear)
            if objection:
                yield place, Judgement(NOT_APPLICABLE, objection)
                places = [other for other in places if other != place]
        if not places:
            return
        key = (tuple(place if probing else ~place for place in places), frozenset(missing))
        if key not in self._tapes:
            chosen = [self._entries[place].probe if probing else None for place in places]
            stated = [probe or self.theorems[place] for probe, place in zip(chosen, places, strict=True)]
            self._tapes[key] = compile_tape(stated, missing)
        yield from zip(places, _run(self._tapes[key], known.measurement), strict=True)


_NOWHERE = "no recorded step meets its hypotheses and lies in the claim's domain"
#: Observables that take as long to measure as the run took to train.
_DEAR = frozenset({"path_loss_gap"})


class _Entry:
    """What judging needs to know of a theorem, found out once.

    Attributes
    ----------
    fixed : list of int
        Its hypotheses on data and configuration, by their places among those of the docket.
    cheap, dear, level : frozenset of str
        Observables of claim and hypotheses, and of the trivial level.
    probe : Theorem or None
        For a claim with dear observables: its domain as a claim, under the other hypotheses.
    """

    def __init__(self, theorem: Theorem, fixed: Sequence[Assumption]) -> None:
        self.fixed = [fixed.index(a) for a in theorem.assumes if a.level != "trajectory"]
        names = set(names_of(theorem.relation))
        for large, small, _, _ in hypotheses(theorem):
            names |= names_of(large) | names_of(small)
        self.dear = frozenset(names & _DEAR) if theorem.domain is not None else frozenset()
        self.cheap = frozenset(names) - self.dear
        level = theorem.trivial_level
        self.level = frozenset() if level is None else names_of(level)
        self.probe: Theorem | None = None
        if self.dear and theorem.domain is not None:
            others = [a for a in theorem.assumes if not isinstance(a, BelowPath)]
            self.probe = Theorem(
                theorem.id, theorem.title, theorem.system, others, theorem.domain, theorem.status, trivial=0
            )


class _Known:
    """One run, and what has been found out about it."""

    def __init__(self, measurement: Measured, fixed: Sequence[Assumption]) -> None:
        self.measurement = measurement
        self._fixed = fixed
        self._checked: dict[int, str] = {}
        self._undefined: dict[str, str] = {}

    def objections(self, entries: Sequence[_Entry]) -> list[Judgement | None]:
        """Why theorems say nothing about this run at all, None for those that may say something."""
        reasons = [next((why for place in x.fixed if (why := self._failing(place))), "") for x in entries]
        asked = {name for x, why in zip(entries, reasons, strict=True) if not why for name in x.cheap}
        absent = {name for name in asked if self.undefined(name)}
        for place, entry in enumerate(entries):
            if not reasons[place] and not absent.isdisjoint(entry.cheap):
                reasons[place] = self.undefined_among(entry.cheap)
        return [Judgement(NOT_APPLICABLE, why) if why else None for why in reasons]

    def _failing(self, place: int) -> str:
        if place not in self._checked:
            assumption = self._fixed[place]
            result = check(assumption, self.measurement.instance, self.measurement.geometry)
            self._checked[place] = "" if result.holds else f"{assumption.name}: {result.reason}"
        return self._checked[place]

    @property
    def hypotheses(self) -> dict[str, bool]:
        """The fixed hypotheses decided so far, by their canonical texts."""
        return {self._fixed[place].canonical(): not reason for place, reason in self._checked.items()}

    def undefined_among(self, names: Set[str]) -> str:
        """Why one of the observables does not exist; empty if all do."""
        return next((reason for name in sorted(names) if (reason := self.undefined(name))), "")

    def undefined(self, name: str) -> str:
        """Why an observable does not exist; empty if it does."""
        if name not in self._undefined:
            try:
                read(self.measurement, name)
            except Undefined as error:
                self._undefined[name] = str(error) or name
            else:
                self._undefined[name] = ""
        return self._undefined[name]


def _holds_somewhere(judgement: Judgement | None) -> bool:
    return judgement is not None and judgement.steps > judgement.violated + judgement.undecided


def _run(tape: Tape, measurement: Measured) -> list[Judgement]:
    t = measurement.trajectory.t
    rows = t.size
    regs = np.zeros((tape.registers, 2, BLOCK))
    exp = np.zeros((tape.registers, BLOCK), dtype=np.int64)
    regs[:, 0, 0], regs[:, 1, 0], exp[:, 0] = tape.constants
    moving = [name for name, register in tape.leaves.items() if register >= tape.fixed]
    values, errors = np.empty((len(moving), rows)), np.empty((len(moving), rows))
    kinds = np.zeros(len(moving), dtype=np.int64)
    places, exponents = np.zeros(len(moving), dtype=np.int64), list[Any]()
    for leaf, name in enumerate(moving):
        found = read(measurement, name)
        if isinstance(found, Reading):
            values[leaf], errors[leaf] = found.values, found.error
            kinds[leaf] = kernel.LOGARITHM if found.logarithmic else kernel.PLAIN
        else:
            values[leaf], errors[leaf], kinds[leaf], places[leaf] = (
                found.mid,
                found.rad,
                kernel.BALL,
                len(exponents),
            )
            exponents.append(np.broadcast_to(found.exp2, rows))
    for name, register in tape.leaves.items():
        if register < tape.fixed:
            found = read(measurement, name)
            ball = found.balls() if isinstance(found, Reading) else found
            regs[register, :, 0] = ball.mid.flat[0], ball.rad.flat[0]
            exp[register, 0] = ball.exp2.flat[0]
    counts = np.empty((len(tape.claims), kernel.COUNTS), dtype=np.int64)
    ratios = np.empty((len(tape.claims), kernel.RATIOS))
    kernel.run(
        regs,
        exp,
        tape.code,
        tape.once,
        tape.fixed,
        np.array([tape.leaves[name] for name in moving], dtype=np.int64),
        kinds,
        values,
        errors,
        places,
        np.array(exponents, dtype=np.int64).reshape(len(exponents), rows),
        t,
        MAX_STEPS,
        tape.claims,
        _rows(tape.masks, measurement),
        tape.conditions,
        tape.present,
        reach(measurement),
        counts,
        ratios,
    )
    return [_judgement(count, ratio) for count, ratio in zip(counts.tolist(), ratios.tolist(), strict=True)]


def _rows(masks: Sequence[Mask], measurement: Measured) -> BoolArray:
    trajectory = measurement.trajectory
    rows = np.ones((len(masks), len(trajectory)), dtype=np.bool_)
    for place, mask in enumerate(masks):
        if mask.onset:
            rows[place] &= from_step(measurement, trajectory.onset)
        if mask.decoder:
            rows[place] &= from_step(measurement, getattr(trajectory, "decoder_onset", None))
        if mask.positive:
            holds = trajectory.column("pc_margin") > PC_MARGIN
            rows[place] &= so_far(holds, measurement) if mask.so_far else holds
    return rows


def _judgement(count: list[int], ratio: list[float]) -> Judgement:
    steps, informative, violated, undecided = count[:4]
    if not steps:
        return Judgement(NOT_APPLICABLE, _NOWHERE)
    suspects: list[int] = []
    if violated:
        suspects = count[kernel.FIRST_VIOLATED : kernel.FIRST_VIOLATED + 2]
    elif undecided:
        suspects = count[kernel.FIRST_UNDECIDED : kernel.FIRST_UNDECIDED + 2]
    log_ratio = -math.inf
    if ratio[0] > 0:
        log_ratio = math.inf if ratio[0] == math.inf else math.log10(ratio[0]) + ratio[1] * math.log10(2.0)
    return Judgement(
        outcome=VIOLATED if violated else UNDECIDED if undecided else HOLDS if informative else VACUOUS,
        steps=steps,
        informative=informative,
        worst_log_ratio=log_ratio,
        worst_step=count[kernel.WORST],
        violated=violated,
        undecided=undecided,
        suspects=tuple(dict.fromkeys(suspects)),
        last_step=count[kernel.LAST],
    )
