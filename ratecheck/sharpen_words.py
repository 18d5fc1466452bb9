"""How a frontier is said: to a person, to a program, and in the comments of a theorem file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bounds import Theorem
from bounds.claims import Order
from properties.certify import TIGHT
from properties.sharpen import SHIFTS, Block, Certificate, Point
from properties.sharpen_orders import SharpenedOrder
from properties.sharpen_search import Sharpened
from properties.sharpen_steps import LongerSteps
from properties.wording import counted, extent
from ratecheck.hunt_words import power

if TYPE_CHECKING:
    from ratecheck.sharpen import Outcome


# ---------------------------------------------------------------------------------------------- to a person
def print_pointwise(outcome: Outcome, found: Sharpened, console: Console) -> None:
    """The frontier of a pointwise theorem, what blocks it, and what it rests on."""
    theorem, seen = outcome.request.theorem, found.seen
    if outcome.falsified is not None:
        console.print(f"[bold red]FALSIFIED[/]  {escape(seen.body.sentence)}.", highlight=False)
        return
    if not found.points:
        console.print(
            f"{theorem.id} says nothing about {seen.instances} instances: there is nothing to sharpen",
            highlight=False,
            markup=False,
        )
        return
    console.print(_table(theorem, found))
    for line in _sentences(theorem, found):
        console.print(line, highlight=False, markup=False)
    if outcome.steps is not None:
        console.print(_steps_sentence(outcome.steps), highlight=False, markup=False)


def _table(theorem: Theorem, found: Sharpened) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    right = ("shift p", "factor", "asked", "next factor", "step", "still growing")
    for name in ("shift p", "factor", "asked", "next factor", "blocked by", "n×T×d", "step", "instance", "demand"):
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    for point, said in zip(found.points, found.certificates, strict=True):
        block = found.block(point)
        table.add_row(
            str(point.change.shift),
            _decimal(point.change.factor),
            f"{_asked(theorem, block):.4g}",
            _decimal(said.tighter.factor) + (" ✗" if said.blocks else " ?"),
            block.source,
            _size(block.instance),
            str(block.step),
            block.instance.id,
            f"{'settled' if block.settled else 'grows'}; {found.seen.rising[point.index]} runs grow",
        )
    return table


def _sentences(theorem: Theorem, found: Sharpened) -> list[str]:
    seen, bound = found.seen, "bound" if theorem.bound_is_upper else "lower bound"
    sign = "−" if theorem.bound_is_upper else ""
    lines = [
        f"The {bound} times factor · t^({sign}p) survived {found.fresh.applicable} fresh instances "
        f"up to step {seen.last_step}.  It rests on {seen.applicable} instances, among them {found.known} of the "
        f"corpus and the hardest of {found.hunted} in hunts; raised by fresh ones: {found.raised}.",
        "✗: balls certify that the next factor is broken at that step; ?: float64 says so.",
        (
            f"A last hunt of {found.hunted_fresh} instances with another seed asked for no more; a longer one may."
            if found.hunted_fresh
            else "No hunt with another seed tried to break them: one may ask for more."
        ),
    ]
    first, certificate = found.points[0], found.certificates[0]
    if first.index == 0 and first.change.factor == 1:
        block = found.block(first)
        equal = certificate.holds is not None and certificate.holds.outcome == TIGHT
        how = (
            "attained with equality"
            if equal
            else f"attained up to a share {max(1.0 - power(block.need), 0.0):.1e}"
        )
        lines.append(f"No room in the constant: the {bound} is {how}, {_where(block)}.")
    else:
        lines.append(f"Constant alone: factor {_decimal(first.change.factor)}.")
    free = [point for point in found.points if point.change.log10 <= 0.0 and found.block(point).settled]
    lines.append(f"Exponent alone, its demand settled: p = {max((p.change.shift for p in free), default=0)}.")
    if any(not found.block(point).settled for point in found.points):
        lines.append(
            "Where the demand still grows, a longer run asks for more: those rows hold up to that step only."
        )
    if seen.body.suspected:
        count = len(seen.body.suspected)
        lines.append(f"On {count} instances ball arithmetic did not decide the theorem itself.")
    for index, count in sorted(seen.unresolved.items()):
        lines.append(f"The claim with p = {SHIFTS[index]} was left undecided on {counted(count, 'instance')}.")
    return lines


def _steps_sentence(steps: LongerSteps) -> str:
    said = f"Step sizes: {steps.survived} times the allowed one survived {steps.applicable} instances"
    if steps.survived == 1:
        said = "Step sizes: no larger multiple of the allowed one survived"
    if steps.counterexample is not None:
        found = steps.counterexample
        said += (
            f"; {steps.broken} times is broken, certified, at step {found.step} on "
            f"{extent(found.instance.dataset)}"
        )
    if steps.suspected is not None:
        said += f"; {steps.suspected} times is suspected, not decided"
    return said + "."


def print_order(outcome: Outcome, found: SharpenedOrder, console: Console) -> None:
    """What an order has to spare."""
    theorem = outcome.request.theorem
    if found.slowest is None or found.spare is None:
        console.print(found.seen.sentence + ".", highlight=False, markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("shift p", justify="right")
    table.add_column("runs that have it to spare", justify="right")
    for shift, count in found.frontier():
        table.add_row(str(shift), f"{count} of {len(found.seen.telling)}")
    console.print(table)
    slowest, spare = found.slowest, found.spare
    exponent = slowest.exponent
    lines = (
        f"Slowest run: {slowest.source}, {extent(slowest.instance.dataset)}, instance {slowest.instance.id}; "
        f"it has {found.seen.clock} to the power {_number(spare[0])} to spare "
        f"({_number(spare[1])} to {_number(spare[2])}).",
        f"Its exponent is {_number(exponent.slope)} ({_number(exponent.low)} to {_number(exponent.high)}), "
        f"claimed {_number(slowest.claimed.slope)}.",
        _order_sentence(theorem, found),
    )
    for line in lines:
        console.print(line, highlight=False, markup=False)
    if found.seen.verdict != "consistent":
        console.print(found.seen.sentence + ".", highlight=False, markup=False)


def _order_sentence(theorem: Theorem, found: SharpenedOrder) -> str:
    claim = theorem.claim
    assert isinstance(claim, Order)
    if claim.growth == "Theta":
        return "An exact order: there is no exponent to shift."
    if found.fresh is None:
        return "No room in the exponent: the slowest run has no eighth of a power to spare."
    return f"Largest shift: p = {found.shift}, {found.fresh.verdict} on {len(found.fresh.telling)} fresh runs."


# ----------------------------------------------------------------------------------------------- to a program
def described(outcome: Outcome) -> dict[str, Any]:
    """What the JSON result says of the frontier."""
    if outcome.order is not None:
        return _order_json(outcome.order)
    found = outcome.pointwise
    assert found is not None
    return {
        "instances": found.seen.instances,
        "applicable": found.seen.applicable,
        "last_step": found.seen.last_step,
        "fresh": found.fresh.applicable,
        "hunted": found.hunted,
        "hunted_fresh": found.hunted_fresh,
        "corpus": found.known,
        "raised": found.raised,
        "frontier": [
            _point_json(outcome.request.theorem, found, point, said)
            for point, said in zip(found.points, found.certificates, strict=True)
        ],
        "improvements": [point.theorem.id for point in found.improvements],
        "longer_steps": None if outcome.steps is None else _steps_json(outcome.steps),
    }


def _point_json(theorem: Theorem, found: Sharpened, point: Point, said: Certificate) -> dict[str, Any]:
    block = found.block(point)
    return {
        "shift": str(point.change.shift),
        "factor": str(point.change.factor),
        "claim": str(point.theorem.claim),
        "asked": _asked(theorem, block),
        "settled": block.settled,
        "growing_on": int(found.seen.rising[point.index]),
        "certified": None if said.holds is None else said.holds.outcome,
        "next_factor": str(said.tighter.factor),
        "next_is_broken": said.blocks,
        "blocked_by": {
            "family": block.source,
            "size": [int(k) for k in block.instance.dataset.X.shape],
            "step": block.step,
            "seed": block.seed,
            "instance_id": block.instance.id,
            "instance": block.instance.to_json(),
        },
        "undecided": found.seen.unresolved.get(point.index, 0),
    }


def _steps_json(steps: LongerSteps) -> dict[str, Any]:
    found = steps.counterexample
    return {
        "survived": str(steps.survived),
        "applicable": steps.applicable,
        "broken": None if steps.broken is None else str(steps.broken),
        "suspected": None if steps.suspected is None else str(steps.suspected),
        "counterexample": None if found is None else found.to_json(),
    }


def _order_json(found: SharpenedOrder) -> dict[str, Any]:
    slowest, fresh = found.slowest, found.fresh
    run = None
    if slowest is not None:
        run = {
            "family": slowest.source,
            "instance_id": slowest.instance.id,
            "instance": slowest.instance.to_json(),
        }
    return {
        "verdict": found.seen.verdict,
        "runs": len(found.seen.telling),
        "clock": found.seen.clock,
        "hunted": found.hunted,
        "shift": str(found.shift),
        "spare": None if found.spare is None else [round(x, 6) for x in found.spare],
        "frontier": [{"shift": str(shift), "runs": count} for shift, count in found.frontier()],
        "slowest": run,
        "fresh": None if fresh is None else {"verdict": fresh.verdict, "runs": len(fresh.telling)},
    }


# ---------------------------------------------------------------------------------------- in a theorem file
def comments(outcome: Outcome) -> list[tuple[Theorem, str]]:
    """Every sharper claim with what it rests on."""
    where = f"seed {outcome.request.effort.seed}, {outcome.date}"
    claims: list[tuple[Theorem, str]] = []
    found, order, steps = outcome.pointwise, outcome.order, outcome.steps
    if found is not None:
        for point, said in zip(found.points, found.certificates, strict=True):
            if point in found.improvements:
                claims.append((point.theorem, _evidence(found, point, said, where)))
    if order is not None and order.theorem is not None and order.fresh is not None:
        fresh = len(order.fresh.telling)
        remark = f"{order.fresh.verdict} on {fresh} fresh runs up to step {order.fresh.last_step} ({where})"
        claims.append((order.theorem, remark))
    if steps is not None and steps.survived > 1:
        remark = f"survived {steps.applicable} instances ({where})"
        if steps.broken is not None:
            remark += f"\n{steps.broken} times the step size is broken, certified"
        claims.append((steps.theorem, remark))
    return claims


def _evidence(found: Sharpened, point: Point, said: Certificate, where: str) -> str:
    block = found.block(point)
    lines = [
        f"survived {found.fresh.applicable} fresh instances up to step {found.seen.last_step}, "
        f"{found.seen.applicable} in all ({where})",
        f"factor {said.tighter.factor} is broken{', certified' if said.blocks else ''}: {_where(block)}",
    ]
    if found.seen.rising[point.index]:
        growing = found.seen.rising[point.index]
        lines.append(f"the demand still grew at the end of {growing} runs: longer ones may ask for more")
    if found.hunted_fresh:
        lines.append(f"a hunt of {found.hunted_fresh} instances with a seed of its own did not break it either")
    if undecided := found.seen.unresolved.get(point.index):
        lines.append(f"left undecided on {counted(undecided, 'instance')}")
    return "\n".join(lines)


def _where(block: Block) -> str:
    return (
        f"{block.source}, {extent(block.instance.dataset)}, step {block.step}, "
        f"instance {block.instance.id} (seed {block.seed})"
    )


def _size(instance: Any) -> str:
    return "×".join(str(k) for k in instance.dataset.X.shape)


def _asked(theorem: Theorem, block: Block) -> float:
    """The factor that the block asks for, a floating-point number for reading."""
    return power(max(-300.0, block.need if theorem.bound_is_upper else -block.need))


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _decimal(factor: Any) -> str:
    return f"{float(factor):.3g}"
