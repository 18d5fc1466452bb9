"""Stored statements are read back as they were written, and nothing else is read."""

import json
from typing import Any

import pytest
import sympy as sp
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bounds import NOTATION, Conjecture, Schedule, StepAtMost, Theorem, Throughout, eta, gamma, norm, t
from bounds.catalogue import THEOREMS
from bounds.language import InvalidClaim, check_expression
from bounds.parser import Unreadable, parse_expression, parse_relation, written
from bounds.stored import (
    parse_assumption,
    parse_claim,
    parse_theorem,
    write_assumption,
    write_claim,
    write_theorem,
)
from tests.planted import FALSE, TRUE_BUT_TIGHT

EVERYTHING = [*THEOREMS, *FALSE, *TRUE_BUT_TIGHT]


def test_every_relation_is_read_back_from_its_plain_text() -> None:
    for theorem in EVERYTHING:
        if theorem.kind == "pointwise":
            assert parse_relation(str(theorem.claim)) == theorem.claim
        for assumption in theorem.assumes:
            if isinstance(assumption, StepAtMost):
                assert parse_expression(str(assumption.limit)) == assumption.limit
            if isinstance(assumption, Throughout):
                assert parse_relation(str(assumption.relation)) == assumption.relation


def test_every_theorem_is_read_back_from_json() -> None:
    for theorem in EVERYTHING:
        stored = json.loads(json.dumps(write_theorem(theorem)))
        back = parse_theorem(theorem.id, stored)
        assert back == theorem
        assert back.fingerprint == theorem.fingerprint


_leaves = st.one_of(
    st.sampled_from([observable.symbol for observable in NOTATION.values()]),
    st.integers(-20, 20).map(sp.Integer),
    st.fractions(-9, 9, max_denominator=12).map(lambda q: sp.Rational(q.numerator, q.denominator)),
    st.floats(0.01, 100.0).map(sp.Float),
)
_expressions = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a - b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a, b: a / (b**2 + 1), inner, inner),
        st.builds(lambda a: sp.sqrt(a**2 + 1), inner),
        st.builds(lambda a: sp.exp(-gamma * a), inner),
        st.builds(lambda a: sp.log(1 + a**2), inner),
        st.builds(sp.Max, inner, inner),
        st.builds(sp.Min, inner, inner),
        st.builds(sp.Abs, inner),
        st.builds(lambda a: (1 + a**2) ** sp.Rational(-3, 4), inner),
    ),
    max_leaves=8,
)


#: SymPy evaluates what is written in its own order, which may leave another form of the same value.
_SAMPLE = {observable.symbol: sp.Rational(k + 2, 7) for k, observable in enumerate(NOTATION.values())}


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(_expressions)
def test_what_is_written_is_read_back(expression: sp.Expr) -> None:
    try:
        check_expression(expression, "drawn")
    except InvalidClaim:
        assume(False)
    back = parse_expression(written(expression))
    assert back == expression or back.subs(_SAMPLE).evalf(20) == pytest.approx(expression.subs(_SAMPLE).evalf(20))


def test_floats_lose_no_bit() -> None:
    for value in (0.1 + 0.2, 1e-300, 123456789.123456789, 5e-324):
        assert parse_expression(written(sp.Float(value) * norm)) == sp.Float(value) * norm


HOSTILE = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "gamma.__class__",
    "gamma.free_symbols",
    "gamma[0]",
    "eval('1')",
    "exec",
    "open('x')",
    "Symbol('t')",
    "sympify('t')",
    "exp.__globals__",
    "(lambda: 1)()",
    "[t for t in (1, 2)]",
    "{t: 1}",
    "(t, t)",
    "t if t else t",
    "t and t",
    "not t",
    "~t",
    "t := 1",
    "t; t",
    "f'{t}'",
    "'t'",
    "b't'",
    "True",
    "None",
    "...",
    "1j",
    "t // 2",
    "t % 2",
    "t @ t",
    "t << 2",
    "*t",
    "await t",
    "yield t",
    "exp(x=t)",
    "exp(*t)",
    "exp(t, t)",
    "exp()",
    "Max()",
    "oo",
    "nan",
    "zoo",
    "I",
    "x",
    "1/0",
    "0**(-1)",
    "log(0)",
    "log(-1)",
    "sqrt(-2)",
    "1e400",
    "9**9**9",
    "2**(10**10)",
    "10**(9**8)*t",
    "t**(10**6)",
    "(2**999)**999",
    "9" * 5000,
    "exp(exp(exp(exp(exp(9)))))",
    "log(log(log(log(log(9)))))",
    "(" * 500 + "t" + ")" * 500,
    "-" * 5000 + "t",
    "+".join("t" * 3000),
    "t**" * 200 + "t",
    "exp(" * 80 + "t" + ")" * 80,
    "t" * 20_000,
    "t+" * 6_000 + "t",
    "Max(" + ", ".join(f"t + {k}*norm" for k in range(40)) + ")",
    "gаmma",  # Cyrillic а
    "ｅta",  # full width e, which Python would read as eta
    "η",
    "t\u200b",
    "t\x00",
    "t\n+ 1",
    "# t",
    "",
    " ",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:20]))
def test_hostile_expressions_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(Unreadable) as refused:
        parse_expression(text)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    for relation in (f"{text} <= t", f"norm <= {text}"):
        with pytest.raises(Unreadable):
            parse_relation(relation)


@pytest.mark.parametrize(
    "text", ["t", "t == 1", "t != 1", "t <= 1 <= 2", "t in t", "1 <= 2", "t >= 0", "norm < norm"]
)
def test_what_is_no_open_relation_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_relation(text)


@pytest.mark.parametrize("value", [None, 1, ["t"], b"t", {}])
def test_only_text_is_parsed(value: Any) -> None:
    with pytest.raises(Unreadable, match="text"):
        parse_expression(value)


@pytest.mark.parametrize(
    "text",
    [
        "Separable",
        "Separable(1)",
        "Separable(x=1)",
        "Assumption()",
        "Theorem()",
        "Rule('ngd')",
        "Rule(rule='sgd')",
        "Rule(rule=t)",
        "Rule()",
        "Rule(rule='ngd', rule='gd')",
        "Rule(**{})",
        "StepAtMost(limit=__import__('os'))",
        "StepAtMost(limit='t')",
        "StepAtMost(limit=norm <= 1)",
        "Throughout(relation=norm)",
        "NearOrthogonal(c=0)",
        "NearOrthogonal(c=t)",
        "bounds.Separable()",
        "Separable()()",
    ],
)
def test_hostile_hypotheses_are_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_assumption(text)


def test_hypotheses_with_arguments_are_read_back() -> None:
    for assumption in (Schedule(1, sp.Rational(2, 3)), StepAtMost(gamma / 3), Throughout(norm >= eta * t / 2)):
        assert parse_assumption(write_assumption(assumption)).canonical() == assumption.canonical()


@pytest.mark.parametrize(
    "claim",
    [
        None,
        [],
        {},
        {"kind": "order"},
        {"kind": "proof", "quantity": "norm"},
        {"kind": ["order"]},
        {"kind": "order", "quantity": "norm", "rate": "t", "growth": "o"},
        {"kind": "order", "quantity": "norm", "rate": "t", "growth": "O", "more": "1"},
        {"kind": "order", "quantity": "norm", "rate": "norm", "growth": "O"},
        {"kind": "order", "quantity": "norm", "rate": 1, "growth": "O"},
        {"kind": "limit", "quantity": "norm", "to": "zoo"},
        {"kind": "comparison", "event": "norm", "first": "ngd", "second": "gd"},
        {"kind": "comparison", "event": "norm >= 1", "first": "ngd", "second": "sgd"},
        {"kind": "probability", "event": "feasible >= 1", "at_least": "2"},
    ],
)
def test_hostile_claims_are_refused(claim: Any) -> None:
    with pytest.raises(Unreadable):
        parse_claim(claim)


def test_a_statement_that_is_not_the_one_of_its_fingerprint_is_refused() -> None:
    stored = write_theorem(THEOREMS[0])
    other = {**stored, "assumes": [*stored["assumes"], "ZeroInit()"]}
    with pytest.raises(Unreadable, match="fingerprint"):
        parse_theorem(THEOREMS[0].id, other)
    for part in stored:
        with pytest.raises(Unreadable):
            parse_theorem(THEOREMS[0].id, {k: v for k, v in stored.items() if k != part})


def test_titles_and_sources_may_hold_anything() -> None:
    theorem = THEOREMS[0]
    odd = Theorem(
        theorem.id,
        'a "title" </script>\n|',
        theorem.system,
        theorem.assumes,
        theorem.claim,
        Conjecture(source="λ'\\"),
    )
    assert parse_theorem(odd.id, json.loads(json.dumps(write_theorem(odd)))) == odd


def test_claims_are_written_as_text_or_as_named_parts() -> None:
    assert write_claim(norm <= eta * t) == "norm <= eta*t"
    order = next(theorem for theorem in THEOREMS if theorem.kind == "order")
    assert set(write_claim(order.claim)) == {"kind", "quantity", "rate", "growth"}
