"""Theorems as JSON objects that a person reads in a diff, and back, with nothing in them evaluated."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import sympy as sp

import bounds  # every assumption is declared once the package is there
from bounds.assumptions import Assumption
from bounds.claims import Claim, Likely, Order, Sooner, Tends
from bounds.language import InvalidClaim
from bounds.parser import (
    Unreadable,
    parse_expression,
    parse_relation,
    read_expression,
    read_relation,
    syntax_tree,
    written,
)
from bounds.theorem import Cited, Conjecture, Derived, Reported, Status, System, Theorem

_CLAIMS: dict[str, type[Claim]] = {cls.kind: cls for cls in (Order, Tends, Likely, Sooner)}
_STATUS: dict[str, type[Status]] = {cls.__name__.lower(): cls for cls in (Derived, Cited, Reported, Conjecture)}
_SYSTEMS = {system.name: system for system in vars(bounds).values() if isinstance(system, System)}
#: Parts of claims that are single words; of the others, events are relations and the rest expressions.
_WORDS, _EVENT = ("growth", "first", "second"), "event"


def write_theorem(theorem: Theorem) -> dict[str, Any]:
    """What a theorem states, how it is known, and its fingerprint, as a JSON object without its id."""
    status = theorem.status
    return {
        "title": theorem.title,
        "system": theorem.system.name,
        "kind": theorem.kind,
        "status": {name: value for name, value in (("name", status.name), *vars(status).items()) if value},
        "assumes": [write_assumption(assumption) for assumption in theorem.assumes],
        "claim": write_claim(theorem.claim),
        "domain": None if theorem.domain is None else written(theorem.domain),
        "trivial": None if theorem.trivial is None else written(theorem.trivial),
        "fingerprint": theorem.fingerprint,
    }


def parse_theorem(id: str, data: Mapping[str, Any]) -> Theorem:
    """The theorem of that id whose object `write_theorem` made.

    Raises
    ------
    Unreadable
        If a part is missing or is not in the language, or if the statement is not the one whose fingerprint is
        stored with it.
    """
    try:
        status = dict(data["status"])
        theorem = Theorem(
            id=id,
            title=data["title"],
            system=_SYSTEMS.get(data["system"]) or System(_text(data["system"]), ""),
            assumes=[parse_assumption(text) for text in data["assumes"]],
            claim=parse_claim(data["claim"]),
            status=_STATUS[status.pop("name")](**{_text(key): _text(value) for key, value in status.items()}),
            domain=None if data["domain"] is None else parse_relation(data["domain"]),
            trivial=None if data["trivial"] is None else parse_expression(data["trivial"]),
        )
    except (Unreadable, InvalidClaim) as error:
        raise Unreadable(f"{id}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"{id}: damaged ({error!r:.150})") from None
    if theorem.kind != data.get("kind"):
        raise Unreadable(f"{id}: a {theorem.kind} claim is stored as {data.get('kind')!r:.40}")
    if theorem.fingerprint != data.get("fingerprint"):
        raise Unreadable(f"{id}: the statement is not the one of its fingerprint {data.get('fingerprint')!r:.40}")
    return theorem


def write_claim(claim: sp.core.relational.Relational | Claim) -> str | dict[str, str]:
    """A relation as its text; another claim as its kind and its parts by name."""
    if not isinstance(claim, Claim):
        return written(claim)
    parts = {field.name: getattr(claim, field.name) for field in fields(claim)}
    return {"kind": claim.kind, **{k: v if k in _WORDS else written(sp.sympify(v)) for k, v in parts.items()}}


def parse_claim(stored: object) -> sp.core.relational.Relational | Claim:
    """Inverse of `write_claim`.  Raises `Unreadable`."""
    if isinstance(stored, str):
        return parse_relation(stored)
    if not isinstance(stored, dict) or _text(stored.get("kind")) not in _CLAIMS:
        raise Unreadable("a claim is the text of a relation, or an object with a kind and its parts")
    cls = _CLAIMS[stored["kind"]]
    if stored.keys() != {"kind", *(field.name for field in fields(cls))}:
        raise Unreadable(f"a claim of the kind {cls.kind} has the parts {', '.join(f.name for f in fields(cls))}")
    parts = {name: _part(name, _text(text)) for name, text in stored.items() if name != "kind"}
    try:
        return cls(**parts).checked("stored claim")
    except InvalidClaim as error:
        raise Unreadable(str(error)) from None


def _part(name: str, text: str) -> Any:
    if name in _WORDS:
        return text
    if name == _EVENT:
        return parse_relation(text)
    if text in ("oo", "-oo"):  # what a limit may be, and no expression is
        return sp.oo if text == "oo" else -sp.oo
    return parse_expression(text)


def write_assumption(assumption: Assumption) -> str:
    """A hypothesis as it is written in a theorem, its arguments by name."""
    arguments = ((field.name, getattr(assumption, field.name)) for field in fields(assumption))
    return f"{type(assumption).__name__}({', '.join(f'{k}={_argument(v)}' for k, v in arguments)})"


def parse_assumption(text: str) -> Assumption:
    """Inverse of `write_assumption`.  Raises `Unreadable`."""
    node = syntax_tree(text)
    known = {cls.__name__: cls for cls in Assumption.__subclasses__() if cls.__module__.startswith("bounds.")}
    match node:
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords) if name in known:
            cls = known[name]
        case _:
            raise Unreadable(f"{text!r:.80} is no hypothesis of bounds/assumptions.py with its arguments by name")
    if [keyword.arg for keyword in keywords] != [field.name for field in fields(cls)]:
        raise Unreadable(f"{cls.__name__} takes {', '.join(f.name for f in fields(cls)) or 'no arguments'}")
    try:
        return cls(**{str(keyword.arg): _value(keyword.value) for keyword in keywords})
    except (ValueError, TypeError) as error:
        raise Unreadable(str(error)) from None


def _argument(value: object) -> str:
    return repr(value) if isinstance(value, str) else written(sp.sympify(value))


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return read_relation(node) if isinstance(node, ast.Compare) else read_expression(node)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Unreadable(f"{value!r:.40} where a text is expected")
    return value
