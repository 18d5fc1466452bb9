"""Many claims on one tape: the same judgements as one by one, in an arithmetic that never decides too much."""

from typing import Any

import numpy as np
import pytest
import sympy as sp
from flint import arb, ctx
from hypothesis import Phase, given, seed
from hypothesis import strategies as st

from bounds import ATTENTION, Conjecture, Rule, Separable, Theorem, ZeroInit, eta, gamma, norm, norm_0, s_min, t
from bounds.catalogue import THEOREMS
from models.trajectory import Trajectory
from properties import tape_arithmetic as balls
from properties.balls import BallArray
from properties.docket import Docket
from properties.judge import NOT_APPLICABLE, Judgement, judge
from properties.plain import PlainMeasurement
from properties.systems import tools
from properties.tape import compile_tape
from properties.tape_arithmetic import BLOCK
from properties.trial import quiet_settings
from tests.planted import CORNERS

GUESS = Conjecture(source="planted")
SYSTEMS = list(dict.fromkeys(x.system.name for x in THEOREMS if x.kind == "pointwise"))
#: Where float64's last digits decide which of two equal ratios is the larger, steps may differ.
EXACT = ("outcome", "steps", "informative", "violated", "undecided", "last_step")


def drawn(theorems: list[Theorem], count: int, steps: int, families: int | None = None) -> list[Any]:
    """Measured runs of every setting of some theorems, on one family each or several."""
    system = tools(theorems[0].system)
    measured: list[Any] = []
    for place, setting in enumerate(dict.fromkeys(system.setting(theorem) for theorem in theorems)):
        several = setting.families()
        chosen = [several[(place + k) % len(several)] for k in range(families or 1)]
        for family in chosen:

            @quiet_settings(count, (Phase.generate,))
            @seed(place)
            @given(setting.instances(family, steps))
            def keep(instance: Any) -> None:
                run = system.measure(instance, system.geometry(instance), 10**6)
                if len(run.trajectory):
                    measured.append(run)

            keep()
    return measured


def same(fast: Judgement, slow: Judgement, theorem: Theorem) -> None:
    """Hold a judgement of the tape to that of the judge."""
    for name in EXACT:
        assert getattr(fast, name) == getattr(slow, name), (theorem.id, name, fast, slow.reason)
    a, b = fast.worst_log_ratio, slow.worst_log_ratio
    assert a == b or abs(a - b) <= 1e-9 * (1.0 + abs(b)), theorem.id
    assert bool(fast.suspects) == bool(slow.suspects)


@pytest.mark.parametrize("system", SYSTEMS)
def test_judgements_are_those_of_the_judge(system: str) -> None:
    theorems = [x for x in THEOREMS if x.system.name == system and x.kind == "pointwise"]
    own = [x for x in CORNERS if x.system.name == system and x.kind == "pointwise"]
    docket, compared = Docket([*theorems, *own]), 0
    many = system == "attention"
    for run in drawn(theorems, 3 if many else 4, 150 if many else 60):
        for theorem, fast in zip(docket.theorems, docket.judge(run).judgements, strict=True):
            slow = judge(theorem, run)
            if slow.outcome == NOT_APPLICABLE:
                assert fast.outcome == NOT_APPLICABLE
                assert fast.reason
            else:
                same(fast, slow, theorem)
                compared += 1
    assert compared >= 4


NEARLY = norm <= eta * t * (1 - sp.Rational(1, 10**9))
EVERYTHING = sp.Max(t, sp.sqrt(t + 2)) ** sp.Rational(3, 2) >= sp.Abs(sp.Min(t, 2)) - sp.pi / sp.E**2
PLANTED = (
    Theorem("my.slow", "false", ATTENTION, [Rule("ngd")], norm <= norm_0 + eta * t / 2, GUESS),
    Theorem("my.tight", "attained", ATTENTION, [Rule("ngd"), ZeroInit()], norm <= eta * t, GUESS),
    Theorem("my.strict", "attained, but strict", ATTENTION, [Rule("ngd"), ZeroInit()], norm < eta * t, GUESS),
    Theorem("my.shaved", "false by 1e-9", ATTENTION, [ZeroInit()], NEARLY, GUESS),
    Theorem("my.late", "from step 3", ATTENTION, [Separable()], s_min >= gamma / 10**6, GUESS, domain=t > 3),
    Theorem("my.huge", "beyond float64", ATTENTION, [], sp.exp(-(t**3)) <= 1 + sp.exp(t**2), GUESS),
    Theorem("my.powers", "all operations", ATTENTION, [], EVERYTHING, GUESS),
)


def test_planted_claims_are_judged_as_one_by_one() -> None:
    docket, outcomes = Docket(PLANTED), dict[str, set[str]]()
    attention = [x for x in THEOREMS if x.id in ("attention.ngd.norm.upper", "attention.ngd.loss")]
    for run in drawn(attention, 8, 120, families=6):
        for theorem, fast in zip(PLANTED, docket.judge(run).judgements, strict=True):
            slow = judge(theorem, run)
            outcomes.setdefault(theorem.id, set()).add(fast.outcome)
            if slow.outcome == NOT_APPLICABLE:
                assert fast.outcome == NOT_APPLICABLE
            else:
                same(fast, slow, theorem)
    assert "violated" in outcomes["my.slow"]
    assert "violated" in outcomes["my.shaved"]
    assert "undecided" in outcomes["my.tight"]
    assert "violated" not in outcomes["my.tight"]  # a run is off by its rounding: left to balls
    assert "undecided" in outcomes["my.strict"]
    assert "violated" not in outcomes["my.strict"]
    assert outcomes["my.huge"] == outcomes["my.powers"] == {"holds"}


class Fake:
    """A run whose observables are given."""

    instance = geometry = None

    def __init__(self, steps: list[int], **observables: Any) -> None:
        self.trajectory = Trajectory(np.array(steps), np.zeros((len(steps), 0)), None, "finished", ())
        self._observables = {name: BallArray.of(*value) for name, value in observables.items()}

    def __getitem__(self, name: str) -> BallArray:
        return self._observables[name]


def test_what_is_undefined_is_passed_over_and_gaps_end_what_held_so_far() -> None:
    claim = Theorem("my.claim", "claim", ATTENTION, [], norm <= 1, GUESS)
    run = Fake([0, 1, 2, 5], norm=([0.5, np.nan, 2.0, 1.0], [0.0, 0.0, 0.0, 1e-3]))
    [found] = Docket([claim]).judge(run).judgements
    assert (found.steps, found.violated, found.undecided, found.suspects) == (3, 1, 1, (2,))


def test_a_tape_shares_common_parts() -> None:
    together = compile_tape([x for x in THEOREMS if x.id.startswith("attention.gd.sparsity-floor")], frozenset())
    alone = compile_tape([x for x in THEOREMS if x.id == "attention.gd.sparsity-floor"], frozenset())
    assert len(together.claims) == 3
    assert len(together.code) < 2 * len(alone.code)


def test_an_operation_that_tapes_do_not_know_is_named() -> None:
    theorem = Theorem("my.claim", "claim", ATTENTION, [], norm <= 1, GUESS)
    object.__setattr__(theorem, "claim", sp.Le(sp.sin(norm), 1))
    with pytest.raises(TypeError, match=r"sin is not an operation of tapes"):
        compile_tape([theorem], frozenset())


# ------------------------------------------------------------------------------------------- arithmetic
numbers = st.one_of(
    st.floats(-1e12, 1e12), st.floats(-1e-12, 1e-12), st.sampled_from((0.0, 1.0, -1.0, 0.5, 3.0, 1e-300, 1e300))
)
radii = st.sampled_from((0.0, 0.0, 1e-16, 1e-9, 1e-3, 0.5))
exponents = st.sampled_from((0, 0, 0, 1, -1, 60, -300, 900, -900, 5000))
ball = st.tuples(numbers, radii, exponents).map(lambda b: balls.ball(b[0], b[1] * abs(b[0]), b[2]))


def enclosure(b: tuple[float, float, int]) -> arb:
    """The same ball in Arb."""
    return arb(arb(b[0]), arb(b[1])) * arb(2) ** b[2]


def contains(result: tuple[float, float, int], value: arb) -> bool:
    """Whether a ball contains all of another; undefined ones contain everything."""
    if np.isnan(result[0]) or not np.isfinite(result[1]):
        return True
    return bool(enclosure(result).contains(value)) if value.is_finite() else False


def corners(b: tuple[float, float, int]) -> list[arb]:
    """Points of a ball."""
    middle, around, power = arb(b[0]), arb(b[1]), arb(2) ** b[2]
    return [middle * power, (middle - around) * power, (middle + around) * power]


@given(ball, ball)
@quiet_settings(300, (Phase.generate,))
def test_results_enclose_the_exact_ones(x: Any, y: Any) -> None:
    with ctx.workprec(12_000):  # enough that exponents 5000 apart leave nothing out
        for a in corners(x):
            for b in corners(y):
                assert contains(balls.add(*x, *y), a + b)
                assert contains(balls.mul(*x, *y), a * b)
                assert contains(balls.maximum(*x, *y), a.max(b))
            assert contains(balls.power(x[0], x[1], x[2], 3), a**3)
    with ctx.workprec(300):
        for a in corners(x):
            if a != 0:
                assert contains(balls.inverse(*x), 1 / a)
            if a > 0:
                assert contains(balls.logarithm(*x), a.log())
                assert contains(balls.root(*x), a.sqrt())
            if abs(a) < 1e6:
                assert contains(balls.exponential(*x), a.exp())


def test_exact_numbers_stay_exact() -> None:
    assert balls.add(0.5, 0.0, 1, 2.0, 0.0, 0) == (3.0, 0.0, 1) or balls.add(0.5, 0.0, 1, 2.0, 0.0, 0)[1] == 0.0
    assert balls.mul(3.0, 0.0, 0, 5.0, 0.0, 0) == (15.0, 0.0, 0)
    assert balls.logarithm(1.0, 0.0, 0) == (0.0, 0.0, 0)
    assert balls.logarithm(0.5, 0.0, 1) == (0.0, 0.0, 0)


def test_a_block_is_judged_as_its_steps_are() -> None:
    """Whole blocks take another path than what is left over at the end."""
    rows = 3 * BLOCK + 7
    values = np.linspace(0.0, 0.99, rows)
    claim = Theorem("my.claim", "claim", ATTENTION, [], norm <= 1, GUESS, trivial=2)
    table = {"norm": lambda m: BallArray.of(values, 1e-12)}
    trajectory = Trajectory(np.arange(rows), np.zeros((rows, 0)), None, "finished", ())
    run = PlainMeasurement(None, None, trajectory, table)
    [found] = Docket([claim]).judge(run).judgements
    same(found, judge(claim, run), claim)
    assert found.worst_step == rows - 1
