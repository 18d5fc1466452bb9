"""Figures: what is kept of the data, how axes are labelled, and that Python and the page's script agree."""

import base64
import gzip
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports import drawing
from reports.drawing import BLACK, DASHED, GREEN, Figure, Line, axis_over, power_label, rows_of, static_svg, ticks
from reports.live import as_script, page_assets, payload
from reports.page import Drawing, environment

SCRIPTS = Path(drawing.__file__).parent / "templates"
NASTY = "</script><script>alert(1)</script><!--\u2028\u2029"
RANGES = [
    (-1e4, 3.0),
    (-812.3, 4.0),
    (-7.0, 0.2),
    (-5.2, 0.4),
    (0.0, 1.0),
    (0.0, 5.3),
    (0.69, 0.71),
    (-0.02, 0.02),
    (4.6, 4.9),
    (-30.0, -29.5),
    (-900.15, -900.0),
    (12.35, 12.65),
]


def line(name: str, height: float, points: int = 3) -> Line:
    return Line(name, np.linspace(0.0, 2.0, points), np.linspace(-height, 1.0, points), GREEN)


def figure_of(*lines: Line) -> Figure:
    x = drawing.step_axis(lines)
    y = axis_over("loss", np.concatenate([line.y for line in lines]))
    chart = drawing.layered(*drawing.line_layers(lines, x, y))
    return drawing.figure(chart, "A loss.", lines=drawing.line_rows(lines))


# ------------------------------------------------------------------------------------------------- data
def test_the_columns_hold_the_rows() -> None:
    lines = [line("one", 800.0, 50), replace(line("two", 3.0), colour=BLACK, dash=DASHED)]
    figure = figure_of(*lines)
    assert rows_of(figure.data["lines"]) == drawing.line_rows(lines)
    assert json.dumps(figure.data).count('"one"') == 1  # names are stored once for each line


def test_rows_without_a_value_keep_their_place() -> None:
    figure = drawing.figure(drawing.layered(), "", marks=[{"a": 1}, {"b": 2}, {"a": 3, "b": None}])
    assert rows_of(figure.data["marks"]) == [{"a": 1, "b": None}, {"a": None, "b": 2}, {"a": 3, "b": None}]


def test_long_lines_are_thinned_and_keep_their_ends_and_extremes() -> None:
    y = np.sin(np.arange(5000) / 300.0)
    y[1234], y[4321] = 7.0, -9.0
    rows = drawing.line_rows([Line("wave", np.arange(5000.0), y, GREEN)])
    assert len(rows) <= 82
    assert [rows[0]["x"], rows[-1]["x"]] == [0.0, 4999.0]
    assert {(1234.0, 7.0), (4321.0, -9.0)} <= {(row["x"], row["y"]) for row in rows}


def test_a_figure_of_two_lines_is_small() -> None:
    stored = payload(figure_of(line("one", 800.0, 5000), replace(line("two", 3.0, 5000), dash=DASHED)))
    assert stored is not None
    assert len(stored) < 5000


# ------------------------------------------------------------------------------------------------ the page
def test_no_string_ends_the_script_that_holds_it() -> None:
    drawn = Drawing.of(figure_of(line(NASTY, 2.0), line("other", 1.0)))
    text = '{% from "_parts.html" import figure %}{{ figure(d) }}{{ figure(d) }}<pre>{{ figures.packed() }}</pre>'
    page = environment().from_string(text).render(d=drawn)
    assert not re.search("<script|<!--|[\u2028\u2029]", page)
    assert re.findall('data-figure="(.)"', page) == ["0", "1"]
    [held] = re.findall("<pre>(.*?)</pre>", page)
    for figure in json.loads(gzip.decompress(base64.b64decode(held))):
        assert NASTY in {row["series"] for row in rows_of(figure["data"]["lines"])}


def test_what_stands_in_a_script_cannot_end_it() -> None:
    text = as_script([NASTY])
    assert not re.search("<|[\u2028\u2029]", text)
    assert json.loads(text) == [NASTY]


def test_numbers_that_json_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_script([float("nan")])


def test_a_figure_without_a_drawing_says_why() -> None:
    drawn = Drawing.of(Figure.none("No figure: <nothing>."))
    page = environment().from_string('{% from "_parts.html" import figure %}{{ figure(d) }}').render(d=drawn)
    assert "No figure: &lt;nothing&gt;." in page
    assert "data-figure" not in page
    with pytest.raises(ValueError, match="nothing to draw"):
        static_svg(Figure.none("why"))


def test_the_assets_are_whole() -> None:
    assets = page_assets()
    assert not re.search("</script|<!--", assets.script, re.IGNORECASE)
    bundle = gzip.decompress(base64.b64decode(assets.bundle)).decode()
    assert "window.vegaEmbed" in bundle
    assert "FIGURE_CONFIG" not in assets.script
    assert len(assets.bundle) < 600_000
    assert not re.search(r"@import|url\(", assets.style)


# ----------------------------------------------------------------------------------------------- drawn here
def test_a_drawing_is_reproducible_labelled_and_shares_no_id_with_another() -> None:
    figure = figure_of(line("one", 800.0), replace(line("two", 3.0), colour=BLACK))
    svg = static_svg(figure)
    assert svg == static_svg(figure)
    ElementTree.fromstring(svg)
    assert all(f">{words}<" in svg for words in ("one", "two", "loss", "10⁻⁸⁰⁰", "10"))
    other = static_svg(figure_of(line("one", 700.0), line("two", 3.0)))
    first, second = (set(re.findall(r' id="([^"]+)"', one)) for one in (svg, other))
    assert first
    assert not first & second
    assert set(re.findall(r"url\(#([^)]+)\)", svg)) <= first


# -------------------------------------------------------------------------------------------------- ticks
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_axes_have_few_ticks_inside_their_range_and_no_label_twice(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert 1 <= len(marks) <= 9
    assert all(low <= mark <= high for mark in marks)
    assert all(first < second for first, second in pairwise(marks))
    assert len({power_label(mark) for mark in marks}) == len(marks)


# -------------------------------------------------------------------------------------------- the scripts
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


def run_script(code: str, given: Any) -> Any:
    """What a JavaScript expression of ``given`` comes to where the page's scripts are loaded."""
    scripts = "".join((SCRIPTS / name).read_text(encoding="utf-8") for name in ("powers.js", "figure_data.js"))
    code = f"const given = JSON.parse(require('fs').readFileSync(0)); console.log(JSON.stringify({code}))"
    command = ["node", "-e", f"{scripts}\n{code}"]
    asked = json.dumps(given)
    return json.loads(subprocess.run(command, input=asked, capture_output=True, text=True, check=True).stdout)


def stored(figure: Figure) -> Any:
    found = payload(figure)
    assert found is not None
    return json.loads(found)


@needs_node
def test_the_script_writes_numbers_as_python_does() -> None:
    exponents = [*np.linspace(-12.0, 9.0, 421).round(6).tolist(), -800.0, -3.0, 2.9999, 4.99999, 7.9999999, 300.25]
    code = "[given[0].map(ratecheck.powerLabel), given[1].map(ratecheck.logTicks)]"
    labels, marks = run_script(code, [exponents, RANGES])
    assert labels == [power_label(exponent) for exponent in exponents]
    for (low, high), found in zip(RANGES, marks, strict=True):
        assert found == pytest.approx(ticks(low, high), abs=1e-6)


@needs_node
def test_the_script_has_the_rows_that_python_has() -> None:
    figure = figure_of(line("one", 800.0, 50), line("two", 3.0))
    assert run_script("new ratecheck.FigureData(given).sets.lines", stored(figure)) == rows_of(
        figure.data["lines"]
    )


@needs_node
def test_lines_stand_side_by_side_in_the_table_and_under_the_pointer() -> None:
    given = stored(figure_of(line("one", 800.0), line("two", 3.0, 2)))
    [table] = run_script("new ratecheck.FigureData(given).tables()", given)
    assert table["heads"] == ["step t", "one", "two"]
    assert table["rows"] == [["1", "10⁻⁸⁰⁰", "0.001"], ["10", "3.2·10⁻⁴⁰⁰", "–"], ["100", "10", "10"]]
    step, near, far = run_script(
        "(d => [d.nearest(0.8), d.along(1, 1), d.along(1, 0.1)])(new ratecheck.FigureData(given))", given
    )
    assert step == 1.0
    assert near == [["step t", "10"], ["one", "3.2·10⁻⁴⁰⁰"], ["two", "0.001"]]
    assert far == near[:2]


@needs_node
def test_a_mark_is_described_by_its_columns_with_names() -> None:
    import altair as alt

    x = drawing.channel(alt.X, "a:Q", drawing.Axis("steps of GD", 0.0, 3.0))
    cells = alt.Chart(alt.NamedData(name="cells")).mark_rect().encode(x=x, x2="a2:Q", color="w:Q", text="text:N")
    rows = [{"a": 2.0, "a2": 3.0, "w": 0.123456, "family": "=cmd()", "text": "0.12"}]
    given = stored(drawing.figure(drawing.layered(cells), "", cells=rows))
    code = "(d => [d.describe(d.sets.cells[0]), d.csv()])(new ratecheck.FigureData(given))"
    described, csv = run_script(code, given)
    assert described == [["steps of GD", "100"], ["value", "0.1235"], ["family", "=cmd()"]]
    assert csv.splitlines() == [
        '"dataset","a","a2","w","family","text"',
        """"cells",2,3,0.123456,"'=cmd()","0.12\"""",
    ]
