"""Imports run one way through the house, without cycles."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {
    "bounds": {"bounds"},
    "models": {"models"},
    "properties": {"bounds", "models", "properties"},
    "reports": {"bounds", "properties", "reports"},
    "ratecheck": {"bounds", "models", "properties", "reports", "ratecheck"},
}
OUTSIDE = {
    "bounds": {"numpy", "torch", "numba", "flint", "scipy", "hypothesis"},
    "models": {"hypothesis", "sympy", "rich", "typer"},
    "properties": {"rich", "typer", "jinja2", "altair"},
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_downwards(room: str) -> None:
    for path in (ROOT / room).glob("*.py"):
        tops = {name.split(".")[0] for name in imported(path)}
        assert not (tops & (set(ROOMS) - ROOMS[room])), path
        assert not (tops & OUTSIDE.get(room, set())), path


#: Where an object asks `reports` how a notebook shows it: the only look upwards, and only when a notebook asks.
LOOKING_UP = {"bounds/display.py", "models/trajectory.py"}


def test_nothing_else_is_imported_by_name() -> None:
    found = {}
    for room in ROOMS:
        for path in (ROOT / room).glob("*.py"):
            names = [
                [ast.literal_eval(argument) for argument in node.args]
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call)
                and ast.unparse(node.func) in ("importlib.import_module", "__import__")
            ]
            if names:
                found[f"{room}/{path.name}"] = names
    assert found == {name: [["reports.notebook"]] for name in LOOKING_UP}


def test_no_import_cycles() -> None:
    modules = {f"{p.parent.name}.{p.stem}": p for room in ROOMS for p in (ROOT / room).glob("*.py")}
    edges = {
        name: {other for other in imported_at_top(path) if other in modules and other != name}
        for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail, name))
        if name not in done:
            for other in edges[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in modules:
        visit(name, ())


def imported_at_top(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_no_evaluation_of_text() -> None:
    for room in ROOMS:
        for path in (ROOT / room).glob("*.py"):
            calls = {
                node.func.id
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert not calls & {"eval", "exec"}, path
