"""Two results side by side: what changed is found, what is damaged is named, nothing stored is trusted."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from properties.store import StoreError
from ratecheck.cli import run
from reports.compare import JUDGED_ANEW, NEW, REMOVED, RENAMED, RESTATED, SAME, Comparison, render_comparison
from reports.result import StoredResult, read_result

NASTY = "<script>alert(1)</script>"


def entry(id: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": id,
        "label": "N1",
        "title": f"Title of {id}",
        "statement": f"Assuming nothing: {id}",
        "fingerprint": f"print of {id}",
        "kind": "pointwise",
        "verdict": "confirmed",
        "sentence": "No counterexample",
        "applicable": 20,
        "certified": 3,
        "worst_ratio": 0.5,
        "informative_share": 0.75,
    } | changes


def result(*theorems: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    return {
        "schema": "ratecheck/verify/1",
        "theorems": list(theorems),
        "seed": seed,
        "versions": {"ratecheck": "1"},
        "provenance": {"profile": "quick", "date": "2000-01-01"},
    }


def stored(tmp_path: Path, data: Any, name: str = "result.json") -> Path:
    path = tmp_path / name
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def read(tmp_path: Path, *theorems: dict[str, Any], seed: int = 0) -> StoredResult:
    return read_result(stored(tmp_path, result(*theorems, seed=seed)))


def changes(before: StoredResult, after: StoredResult) -> dict[str, str]:
    return {change.theorem.id: change.name for change in Comparison.of(before, after).changes}


def test_every_kind_of_change_is_told_from_the_others(tmp_path: Path) -> None:
    before = read(tmp_path, entry("a"), entry("b"), entry("c"), entry("d"), entry("old"))
    after = read(
        tmp_path,
        entry("a"),
        entry("b", fingerprint="another", statement="Assuming less: b", worst_ratio=0.9),
        entry("c", worst_ratio=0.6),
        entry("fresh"),
        entry("new-name", fingerprint="print of old"),
    )
    expected = {"b": RESTATED, "fresh": NEW, "d": REMOVED, "new-name": RENAMED, "c": JUDGED_ANEW, "a": SAME}
    found = changes(before, after)
    assert found == expected
    assert list(found) == list(expected)  # what matters most comes first


def test_a_result_is_as_before_against_itself(tmp_path: Path) -> None:
    one = read(tmp_path, entry("a"), entry("b", verdict="falsified"))
    comparison = Comparison.of(one, one)
    assert comparison.different == []
    assert comparison.broken == []
    assert comparison.caution == ""


def test_only_what_was_not_falsified_before_counts_as_broken(tmp_path: Path) -> None:
    before = read(tmp_path, entry("a"), entry("b", verdict="falsified"))
    after = read(
        tmp_path, entry("a", verdict="falsified"), entry("b", verdict="falsified"), entry("c", verdict="falsified")
    )
    assert [change.theorem.id for change in Comparison.of(before, after).broken] == ["c", "a"]


def test_other_seeds_are_named_as_a_reason(tmp_path: Path) -> None:
    caution = Comparison.of(read(tmp_path, seed=0), read(tmp_path, seed=1)).caution
    assert "seed (0 → 1)" in caution
    assert "profile" not in caution


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data.update(schema="ratecheck/power/1"), "not a result of schema"),
        (lambda data: data.update(theorems={}), "theorems is no list"),
        (lambda data: data.update(seed=True), "seed is no count"),
        (lambda data: data.update(provenance=[]), "provenance is no object"),
        (lambda data: data["theorems"].append(3), "theorem 2 is no object"),
        (lambda data: data["theorems"].append(entry("a")), "'a' stands there twice"),
        (lambda data: data["theorems"][0].pop("fingerprint"), "theorem 1: fingerprint is no text"),
        (lambda data: data["theorems"][0].update(verdict="true"), "theorem 1: 'true' is no verdict"),
        (lambda data: data["theorems"][0].update(verdict=["confirmed"]), "theorem 1: verdict is no text"),
        (lambda data: data["theorems"][0].update(certified=-1), "theorem 1: certified is no count"),
        (lambda data: data["theorems"][0].update(worst_ratio="0.5"), "theorem 1: worst_ratio is no number"),
        (lambda data: data["theorems"][0].update(worst_ratio=float("nan")), "NaN is no number"),
        (lambda data: data["theorems"][0].update(sentence="x" * 1_000_000), "theorem 1: sentence is no text"),
    ],
)
def test_damage_is_named_in_one_line(damage: Any, words: str, tmp_path: Path) -> None:
    data = copy.deepcopy(result(entry("a")))
    damage(data)
    with pytest.raises(StoreError, match=words) as caught:
        read_result(stored(tmp_path, data))
    assert "\n" not in str(caught.value)
    assert "result.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"schema": 1e', "nonsense", "[]", "null"])
def test_text_that_is_no_result_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"result\.json"):
        read_result(stored(tmp_path, text))


def test_results_without_statements_are_read(tmp_path: Path) -> None:
    data = result(entry("a"))
    del data["provenance"]
    for key in ("label", "title", "statement"):
        del data["theorems"][0][key]
    assert read_result(stored(tmp_path, data)).theorems["a"].title == "a"


def test_the_page_escapes_what_is_stored(tmp_path: Path) -> None:
    before = read(tmp_path, entry("a"))
    after = read(tmp_path, entry("a", fingerprint="x", title=NASTY, statement=NASTY, sentence=NASTY))
    page = render_comparison(Comparison.of(before, after), versions={}, date="2000-01-01")
    assert NASTY not in page
    assert (
        page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 4
    )  # in the table, and heading, statement, sentence
    assert "Assuming nothing: a" in page


def test_the_command_says_what_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored(tmp_path, result(entry("a"), entry("b")), "before.json")
    after = stored(
        tmp_path,
        result(entry("a"), entry("b", fingerprint="x", statement="Assuming more: b", verdict="falsified")),
        "after.json",
    )
    page = tmp_path / "new" / "page.html"
    assert run(["compare", str(before), str(after), "--report", str(page)]) == 1
    said = capsys.readouterr().out
    assert "confirmed → falsified" in said
    assert "Assuming more: b" in said
    assert "Assuming nothing: a" not in said
    assert "confirmed" in page.read_text(encoding="utf-8")
    assert run(["compare", str(before), str(after), "--json", "-"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["newly_falsified"] == ["b"]
    assert [change["change"] for change in data["changes"]] == [RESTATED]
    assert run(["compare", str(after), str(before)]) == 0
    assert run(["compare", str(before), str(tmp_path / "none.json")]) == 2
