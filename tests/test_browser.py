"""The report as a reader meets it: in headless Chromium, with the network off."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from properties.wording import power_label
from reports.drawing import ticks

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
RATECHECK = Path(sys.executable).parent / "ratecheck"
#: Where the browser must be there, as in continuous integration, its absence is a failure.
REQUIRED = os.environ.get("RATECHECK_BROWSER") == "required"
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None and not REQUIRED, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.xdist_group("browser"),  # in one process: they share a trial and a browser
]

OWN = """
from bounds import ATTENTION, Conjecture, Rule, Theorem, ZeroInit, eta, norm, t

THEOREMS = [
    Theorem(
        "mine.norm", "<script>document.title = 'run'</script> ‖W‖ stays below half of eta t", ATTENTION,
        [Rule("ngd"), ZeroInit()], norm <= eta * t / 2, Conjecture("<img src=x onerror=alert(1)>"), domain=t >= 1,
    )
]
"""
IDS = (
    "mine.norm",
    "attention.ngd.direction",
    "attention.ngd.norm.lower",
    "attention.ngd.order.norm",
    "attention.any-scores.ngd.limit",
    "attention.acceleration.ngd-gd.sparsity",
    "data.feasibility",
    "joint.decoder.growth.upper",
)
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1300, "height": 900}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trial of theorems of every kind, one of them false, with its report."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "mine.py").write_text(OWN, encoding="utf-8")
    options = "--file mine.py --examples 6 --steps 300 --power 2 --report report.html --json result.json"
    done = subprocess.run(
        [RATECHECK, "verify", *IDS, *options.split()], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    assert CHROMIUM is not None, "RATECHECK_BROWSER=required, but there is no Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser", folder: Path) -> Iterator["Page"]:
    """The report's front page.  Afterwards: nothing was complained of, and nothing was asked of a network."""
    yield from opened(browser, folder, DESKTOP)


@pytest.fixture
def phone(browser: "Browser", folder: Path) -> Iterator["Page"]:
    yield from opened(browser, folder, PHONE)


def opened(browser: "Browser", folder: Path, size: Any, **options: Any) -> Iterator["Page"]:
    context = browser.new_context(
        viewport=size, offline=True, permissions=["clipboard-read", "clipboard-write"], **options
    )
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((folder / "report.html").as_uri())
    yield page
    context.close()
    assert complaints == []
    assert [
        url for url in requests if not url.startswith(((folder / "report.html").as_uri(), "blob:", "data:"))
    ] == []


def show(page: "Page", id: str) -> None:
    page.evaluate("id => { location.hash = id }", id)
    page.wait_for_function("id => document.getElementById(id).offsetParent !== null", arg=id)


# ------------------------------------------------------------------------------------------- the front page
def rows(page: "Page") -> list[str]:
    """Ids of the theorems that the table shows, in its order."""
    return page.locator("#overview tbody tr:visible .id").all_inner_texts()


def test_the_front_page_comes_quickly_and_alone(page: "Page") -> None:
    assert page.locator("#overview").is_visible()
    assert sorted(rows(page)) == sorted(IDS)
    assert page.locator("section.theorem:visible").count() == 0
    timing = page.evaluate("performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart")
    assert timing < 10_000  # a guard against hanging; the time itself is measured by the benchmarks


def test_a_title_with_markup_is_shown_and_not_run(page: "Page") -> None:
    assert page.title() != "run"
    link = page.locator("#overview a[href='#mine.norm']")
    assert "<script>document.title = 'run'</script> ‖W‖" in link.inner_text()
    show(page, "mine.norm")
    assert "<script>" in page.locator("[id='mine.norm'] h2, [id='mine.norm'] h3").first.inner_text()
    assert "run" not in page.title().split()


def test_filter_and_sort(page: "Page") -> None:
    page.fill("#filter-words", "norm")
    assert 0 < len(rows(page)) < len(IDS)
    assert page.inner_text("#shown") == f"{len(rows(page))} of {len(IDS)} shown"
    page.click("#clear")
    page.check("input[data-filter='verdict'][value='falsified']")
    assert rows(page) == ["attention.any-scores.ngd.limit", "mine.norm"]
    page.click("#clear")
    page.select_option("select[data-filter='kind']", "order")
    assert rows(page) == ["attention.ngd.order.norm"]
    page.click("#clear")
    before = rows(page)
    head = page.locator("#overview th[data-sort]", has_text="Worst ratio")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    values = page.locator("#overview tbody tr:visible td[data-label='Worst ratio']").evaluate_all(
        "cells => cells.map(cell => cell.dataset.value)"
    )
    numbers = [float(value) for value in values if value]
    assert len(numbers) > 2
    assert numbers == sorted(numbers, reverse=True)
    assert values[: len(numbers)] == [value for value in values if value]  # those without a ratio come last
    head.get_by_role("button").click()
    head.get_by_role("button").click()
    assert rows(page) == before


def test_a_page_for_each_theorem_and_the_way_back(page: "Page") -> None:
    page.click("#overview a[href='#attention.ngd.direction']")
    assert page.locator("section.theorem:visible").count() == 1
    assert not page.locator("#overview").is_visible()
    assert page.evaluate("document.activeElement.closest('.view') !== null")
    page.go_back()
    page.wait_for_selector("#overview", state="visible")
    page.click("#everything")
    assert page.locator("section.theorem:visible").count() == len(IDS)


# ------------------------------------------------------------------------------------------------ figures
def drawn(page: "Page") -> list[str]:
    page.evaluate("window.ratecheck.drawAll()")
    page.wait_for_function(
        "[...document.querySelectorAll('[data-figure]')].filter(x => x.offsetParent).every(x => x.dataset.drawn)"
    )
    figures = page.locator("[data-figure]:visible")
    return [figures.nth(k).get_attribute("data-drawn") or "" for k in range(figures.count())]


def test_every_figure_draws(page: "Page") -> None:
    page.click("#everything")
    states = drawn(page)
    assert len(states) > 2 * len(IDS)
    assert set(states) == {"yes"}
    assert page.locator("[data-figure]:visible svg").count() >= len(states)
    empty = page.locator("[data-figure]:visible svg").evaluate_all(
        "drawings => drawings.filter(d => d.querySelectorAll('path, line, circle, rect').length < 5).length"
    )
    assert empty == 0


def test_hovering_shows_values(page: "Page") -> None:
    show(page, "attention.ngd.direction")
    drawn(page)
    figure = page.locator("[id='attention.ngd.direction'] [data-figure]").first
    figure.scroll_into_view_if_needed()
    box = figure.locator("svg").first.bounding_box()
    assert box is not None
    for x in (0.4, 0.5, 0.6):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + 0.4 * box["height"])
    tip = page.locator(".figure-tooltip, .vg-tooltip")
    page.wait_for_function("document.querySelector('.figure-tooltip, .vg-tooltip')?.textContent.trim()")
    assert re.search(r"\d", tip.first.inner_text())


def test_zoom_and_reset(page: "Page") -> None:
    show(page, "attention.ngd.direction")
    drawn(page)
    figure = page.locator("[id='attention.ngd.direction'] figure").first
    figure.hover()
    figure.get_by_role("button", name="Zoom in").click()
    page.wait_for_function("document.querySelector('[data-zoomed]') !== null")
    zoomed = figure.locator("svg").inner_html()
    box = figure.locator("svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.wheel(0, 200)
    page.wait_for_function("scrollY > 0")  # the wheel alone scrolls the page
    assert figure.locator("svg").inner_html() == zoomed
    figure.get_by_role("button", name="Reset").click()
    page.wait_for_function("document.querySelector('[data-zoomed]') === null")


def test_labels_and_ticks_are_those_of_python(page: "Page") -> None:
    exponents = [
        -800.0,
        -5.494,
        -3.0,
        -2.999,
        -0.3,
        0.0,
        0.30103,
        2.9999,
        3.2,
        4.99999,
        5.0,
        7.9999999,
        12.5,
        300.25,
    ]
    found = page.evaluate("values => values.map(window.ratecheck.powerLabel)", exponents)
    assert found == [power_label(exponent) for exponent in exponents]
    ranges = [
        (-812.3, 4.0),
        (-5.2, 0.4),
        (0.0, 3.3),
        (0.1, 1.2),
        (-0.02, 0.02),
        (-30.0, -29.5),
        (0.0, 5.3),
    ]
    found = page.evaluate("values => values.map(window.ratecheck.logTicks)", ranges)
    for (low, high), marks in zip(ranges, found, strict=True):
        assert marks == pytest.approx(ticks(low, high), abs=1e-6)


# --------------------------------------------------------------------------------------- the counterexample
def test_the_reproduce_line_works_in_a_shell(page: "Page", folder: Path) -> None:
    show(page, "mine.norm")
    line = (
        page.locator("[id='mine.norm'] .reproduce-line").filter(has=page.locator("code", has_text="replay")).first
    )
    line.get_by_role("button", name="Copy").click()
    page.wait_for_function("document.querySelector('#announcer').textContent === 'Copied'")
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith("ratecheck replay ")
    path = f"{RATECHECK.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "violated" in done.stdout or "broken" in done.stdout


def test_the_hardest_instances_can_be_judged_again(page: "Page", folder: Path) -> None:
    show(page, "attention.ngd.direction")
    lines = page.locator("[id='attention.ngd.direction'] code.reproduce").all_inner_texts()
    command = next(line for line in lines if line.startswith("ratecheck certify "))
    path = f"{RATECHECK.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# --------------------------------------------------------------------------------- downloads, print, access
def test_figures_and_tables_can_be_taken_along(page: "Page") -> None:
    with page.expect_download() as caught:
        page.click("[data-download='csv']")
    table = Path(caught.value.path()).read_text(encoding="utf-8")
    assert len(table.splitlines()) == 1 + len(IDS)
    show(page, "provenance")
    with page.expect_download() as caught:
        page.click("[data-download='json']")
    result = json.loads(Path(caught.value.path()).read_text(encoding="utf-8"))
    assert {theorem["id"] for theorem in result["theorems"]} == set(IDS)
    show(page, "attention.ngd.direction")
    drawn(page)
    figure = page.locator("[id='attention.ngd.direction'] figure").first
    figure.hover()
    for name, start in (("SVG", "<svg"), ("CSV", ""), ("JSON", "{")):
        with page.expect_download() as caught:
            figure.get_by_role("button", name=name).click()
        text = Path(caught.value.path()).read_text(encoding="utf-8")
        assert text.lstrip().removeprefix('<?xml version="1.0" encoding="utf-8"?>').lstrip().startswith(start)
        assert len(text) > 200
    figure.get_by_role("button", name="Table").click()
    assert figure.locator("table tbody tr").count() > 5


def test_everything_prints(page: "Page", tmp_path: Path) -> None:
    page.click("#everything")
    drawn(page)
    pdf = page.pdf(path=str(tmp_path / "report.pdf"))
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page") > len(IDS)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "view", ["front", "attention.ngd.direction", "mine.norm", "attention.any-scores.ngd.limit"]
)
def test_axe_finds_no_serious_violation(browser: "Browser", folder: Path, theme: Any, view: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for page in opened(browser, folder, DESKTOP, color_scheme=theme):
        show(page, view)
        drawn(page)
        found = Axe().run(page).response["violations"]
        serious = [
            f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []


@pytest.mark.parametrize("view", ["front", "attention.ngd.direction", "mine.norm", "provenance"])
def test_nothing_is_wider_than_a_phone(phone: "Page", view: str) -> None:
    show(phone, view)
    drawn(phone)
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_without_javascript_it_is_one_long_page(browser: "Browser", folder: Path) -> None:
    for page in opened(browser, folder, DESKTOP, java_script_enabled=False):
        assert page.locator("#overview").is_visible()
        assert page.locator("section.theorem:visible").count() == len(IDS)
