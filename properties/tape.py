"""Claims compiled to a tape of ball operations, common parts once, for `properties.tape_kernel` to run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp
from flint import arb, fmpq

from bounds import NOTATION, BelowPath, PositiveCoefficients, StepAtMost, Theorem, Throughout
from properties import tape_kernel as kernel
from properties.balls import BallArray, lift

_LARGEST_POWER = 64  # above that, powers go through the logarithm, as in `BallArray`


@dataclass(frozen=True)
class Mask:
    """Which rows come into question, apart from hypotheses that the tape evaluates."""

    onset: bool
    decoder: bool
    positive: bool
    so_far: bool


@dataclass(eq=False)
class Tape:
    """Claims compiled for the kernel; see `properties.tape_kernel.run` for the arrays."""

    leaves: dict[str, int]
    constants: tuple[Any, Any, Any]
    code: Any
    once: int
    fixed: int
    registers: int
    claims: Any
    masks: list[Mask]
    conditions: Any
    present: Any


@dataclass
class _Compiler:
    """Registers by expression: equal expressions share one."""

    of: dict[sp.Basic, int] = field(default_factory=dict)
    moves: list[bool] = field(default_factory=list)
    code: list[tuple[int, int, int, int]] = field(default_factory=list)
    done: dict[tuple[int, int, int], int] = field(default_factory=dict)
    constants: dict[int, BallArray] = field(default_factory=dict)
    leaves: dict[str, int] = field(default_factory=dict)

    def register(self, expression: sp.Basic) -> int:
        """The register that holds an expression's value."""
        if expression not in self.of:
            self.of[expression] = self._compile(expression)
        return self.of[expression]

    def _new(self, moves: bool) -> int:
        self.moves.append(moves)
        return len(self.moves) - 1

    def _constant(self, value: Any) -> int:
        register = self._new(False)
        self.constants[register] = lift(value)
        return register

    def _operation(self, op: int, a: int, b: int = 0, unary: bool = False) -> int:
        if op in (kernel.ADD, kernel.MUL) and b < a:
            a, b = b, a
        if (op, a, b) not in self.done:
            register = self._new(self.moves[a] or (not unary and self.moves[b]))
            self.code.append((op, register, a, b))
            self.done[op, a, b] = register
        return self.done[op, a, b]

    def _unary(self, op: int, a: int, times: int = 0) -> int:
        return self._operation(op, a, times, unary=True)

    def _folded(self, op: int, args: Sequence[sp.Basic]) -> int:
        # What does not change first, so that it is folded once a run.
        registers = sorted((self.register(arg) for arg in args), key=lambda r: self.moves[r])
        result = registers[0]
        for register in registers[1:]:
            result = self._operation(op, result, register)
        return result

    def _compile(self, expression: sp.Basic) -> int:
        if expression.is_Symbol:
            register = self._new(NOTATION[expression.name].level == "step")
            self.leaves[expression.name] = register
            return register
        if expression.is_Rational or expression.is_Float:
            number = sp.Rational(expression)
            return self._constant(fmpq(int(number.p), int(number.q)))
        if expression is sp.E:
            return self._constant(arb(1).exp())
        if expression is sp.pi:
            return self._constant(arb.pi())
        if expression.is_Add:
            return self._folded(kernel.ADD, expression.args)
        if expression.is_Mul:
            factors = [factor for factor in expression.args if factor != -1]
            product = self._folded(kernel.MUL, factors)
            return product if len(factors) == len(expression.args) else self._unary(kernel.NEG, product)
        if expression.is_Pow:
            return self._power(expression.base, expression.exp)
        if isinstance(expression, sp.exp):
            return self._unary(kernel.EXP, self.register(expression.args[0]))
        if isinstance(expression, sp.log):
            return self._unary(kernel.LOG, self.register(expression.args[0]))
        if isinstance(expression, sp.Abs):
            return self._unary(kernel.ABS, self.register(expression.args[0]))
        if isinstance(expression, sp.Max | sp.Min):
            return self._folded(kernel.MAX if isinstance(expression, sp.Max) else kernel.MIN, expression.args)
        raise TypeError(f"{type(expression).__name__} is not an operation of tapes; add it to properties/tape.py")

    def _power(self, base: sp.Basic, exponent: sp.Basic) -> int:
        root = exponent.is_Rational and exponent.q == 2
        if (exponent.is_Integer or root) and 0 < abs(int(exponent.p)) <= _LARGEST_POWER:
            register = self.register(base)
            if root:
                register = self._unary(kernel.SQRT, register)
            if abs(int(exponent.p)) > 1:
                register = self._unary(kernel.POWER, register, abs(int(exponent.p)))
            return self._unary(kernel.INV, register) if exponent.p < 0 else register
        logarithm = self._unary(kernel.LOG, self.register(base))
        return self._unary(kernel.EXP, self._operation(kernel.MUL, logarithm, self.register(exponent)))


def compile_tape(theorems: Sequence[Theorem], missing: Set[str]) -> Tape:
    """The tape of some pointwise theorems, on an instance without the observables of some trivial levels."""
    compiler, masks = _Compiler(), dict[Mask, int]()
    claims, conditions, present = [], [], []
    for place, theorem in enumerate(theorems):
        memory = theorem.memory
        positive = any(isinstance(a, PositiveCoefficients) for a in theorem.assumes)
        mask = Mask("onset" in memory, "decoder" in memory, positive, positive and "start" in memory)
        level = theorem.trivial_level
        known = level is not None and not (names_of(level) & missing)
        claims.append(
            (
                compiler.register(theorem.small),
                compiler.register(theorem.large),
                compiler.register(level) if known and level is not None else -1,
                int(theorem.bound_is_upper),
                int(theorem.strict),
                masks.setdefault(mask, len(masks)),
            )
        )
        for large, small, strict, so_far in hypotheses(theorem):
            pair = compiler.register(large), compiler.register(small)
            conditions.append((place, *pair, int(strict), int(so_far)))
        present += [(place, compiler.leaves[name]) for name in sorted(names_of(theorem.relation))]
    # Registers of what does not change come first, so that the kernel can tell them by their number.
    order = sorted(range(len(compiler.moves)), key=lambda r: compiler.moves[r])
    new = {old: place for place, old in enumerate(order)}
    fixed = sum(not moves for moves in compiler.moves)
    code = [(op, new[dst], new[a], b if op == kernel.POWER else new[b]) for op, dst, a, b in compiler.code]
    code.sort(key=lambda line: line[1] >= fixed)  # stable: operands stay before results
    moved = [[new[r] if r >= 0 else r for r in claim[:3]] + list(claim[3:]) for claim in claims]
    return Tape(
        leaves={name: new[r] for name, r in compiler.leaves.items()},
        constants=_columns({new[r]: ball for r, ball in compiler.constants.items()}, len(order)),
        code=_whole(code, 4),
        once=sum(line[1] < fixed for line in code),
        fixed=fixed,
        registers=len(order),
        claims=_whole(moved, 6),
        masks=list(masks),
        conditions=_whole([(c[0], new[c[1]], new[c[2]], *c[3:]) for c in conditions], 5),
        present=_whole([(c, new[r]) for c, r in present], 2),
    )


def _columns(balls: dict[int, BallArray], registers: int) -> tuple[Any, Any, Any]:
    """Midpoints, radii and exponents of the registers before a run, of which constants are known."""
    mid, rad, exp = np.zeros(registers), np.zeros(registers), np.zeros(registers, dtype=np.int64)
    for register, ball in balls.items():
        mid[register], rad[register], exp[register] = ball.mid, ball.rad, ball.exp2
    return mid, rad, exp


def _whole(rows: Sequence[Sequence[int]], width: int) -> Any:
    return np.array(rows, dtype=np.int64).reshape(len(rows), width)


def names_of(expression: sp.Basic) -> frozenset[str]:
    return frozenset(symbol.name for symbol in expression.free_symbols)


def hypotheses(theorem: Theorem) -> Iterator[tuple[sp.Basic, sp.Basic, bool, bool]]:
    """Relations that have to hold at a step: larger and smaller side, whether strict, whether so far."""
    accumulates = "start" in theorem.memory
    if theorem.domain is not None:
        yield _sides(theorem.domain, False)
    for assumption in theorem.assumes:
        if isinstance(assumption, Throughout):
            yield _sides(assumption.relation, accumulates)
        elif isinstance(assumption, BelowPath):
            yield NOTATION["path_loss_gap"].symbol, NOTATION["loss_gap"].symbol, False, accumulates
        elif isinstance(assumption, StepAtMost):
            changes = any(NOTATION[name].level == "step" for name in names_of(assumption.limit))
            yield assumption.limit, NOTATION["eta"].symbol, False, changes
        elif assumption.level == "trajectory" and not isinstance(assumption, PositiveCoefficients):
            raise TypeError(f"{assumption.name} cannot be decided on a tape; add it to properties/tape.py")


def _sides(relation: sp.core.relational.Relational, so_far: bool) -> tuple[sp.Basic, sp.Basic, bool, bool]:
    return relation.gts, relation.lts, relation.rel_op in ("<", ">"), so_far
