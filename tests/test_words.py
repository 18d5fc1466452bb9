"""Expressions in one line of text, with the field's symbols."""

import pytest
import sympy as sp

from bounds import NOTATION, Order, direction_gap, leak_max, norm, t
from reports.words import plain, symbol_text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (direction_gap, "1 − cos(W_t, W_mm)"),
        (direction_gap / 2, "(1 − cos(W_t, W_mm))/2"),
        (sp.sqrt(direction_gap), "sqrt(1 − cos(W_t, W_mm))"),
        (direction_gap <= sp.Rational(1, 1000), "1 − cos(W_t, W_mm) ≤ 1/1000"),
        (leak_max * norm >= t ** sp.Rational(-3, 4), "leak_max·‖W_t‖ ≥ t^(−3/4)"),
        (Order(norm, sp.log(t), "Theta"), "‖W_t‖ = Θ(log(t))"),
        ("a text", "a text"),
    ],
)
def test_expressions_read_as_the_field_writes_them(expression: object, text: str) -> None:
    assert plain(expression) == text


def test_no_markup_is_left_in_a_symbol() -> None:
    for observable in NOTATION.values():
        text = symbol_text(observable)
        assert not set(text) & set("\\{}")
        assert text == text.strip() != ""
