"""The pytest plugin: theorems as tests.

``pytest --theorems ID`` collects one item a theorem.  In test modules a theorem is put on trial by the fixtures
``verify_theorem``, ``judge`` and ``verdict``, and a module marked with `pytest.mark.theorem` has its declared
theorems collected.  Nothing but pytest is imported until a theorem is asked for.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo, TerminalRepr

    from bounds import Theorem
    from properties.verdict import Verdict

MARKER = "theorem"
ALLOWED = ("vacuous", "inconclusive")
_MARKER_HELP = (
    "theorem(theorem, examples=…, steps=…): what the fixture `verdict` puts on trial; on a module, collect the "
    "theorems that it declares"
)


class TheoremFailed(Exception):
    """A theorem was falsified, has evidence against it, or was not settled; the text says how to reproduce it."""


# --------------------------------------------------------------------------------------------------- options
def pytest_addoption(parser: pytest.Parser) -> None:
    """Options, and their ini names."""
    group = parser.getgroup("theorems", "theorems on trial (ratecheck)")
    group.addoption(
        "--theorems",
        action="append",
        default=[],
        metavar="ID[,ID…]",
        help="collect these theorems as tests: ids, their beginnings, labels, or all; may be repeated",
    )
    group.addoption(
        "--theorems-file",
        action="append",
        default=[],
        metavar="FILE",
        help="Python file with your own theorems; alone, all of them are collected; may be repeated",
    )
    group.addoption(
        "--theorems-allow",
        metavar="VERDICTS",
        help=f"skip, do not fail, on these verdicts: {','.join(ALLOWED)}",
    )
    for name, metavar, said in (
        ("examples", "N", "applicable instances for each theorem (60)"),
        ("steps", "N", "steps of each run (2000)"),
        ("seed", "N", "the same seed repeats the same trial (0); random draws one"),
        ("counterexamples", "DIR", "where counterexamples are kept (counterexamples)"),
    ):
        group.addoption(f"--theorem-{name}", metavar=metavar, help=said)
        parser.addini(f"theorem_{name}", said)
    parser.addini("theorems_allow", "verdicts on which a theorem is skipped")


@dataclass(frozen=True)
class Options:
    """What every trial of this session has in common."""

    examples: int
    steps: int
    seed: int
    folder: Path
    allowed: tuple[str, ...]

    @classmethod
    def of(cls, config: pytest.Config) -> Options:
        """Read the command line, then the ini file.  Raises `pytest.UsageError`, naming the option and the fix."""
        allowed = tuple(word.strip() for word in _option(config, "theorems_allow", "").split(",") if word.strip())
        for word in allowed:
            if word not in ALLOWED:
                raise pytest.UsageError(f"--theorems-allow {word}: choose among {', '.join(ALLOWED)}")
        return cls(
            _number(config, "examples", "60", 1, 1_000_000),
            _number(config, "steps", "2000", 1, 10_000_000),
            _number(config, "seed", "0", 0, 2**62),
            config.rootpath / _option(config, "theorem_counterexamples", "counterexamples"),
            allowed,
        )


def _option(config: pytest.Config, name: str, default: str) -> str:
    given = config.getoption(name)
    return str(given if given is not None else config.getini(name) or default)


def _number(config: pytest.Config, name: str, default: str, least: int, most: int) -> int:
    text = _option(config, f"theorem_{name}", default)
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise pytest.UsageError(f"--theorem-{name} {text}: give a whole number from {least} to {most}")
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and draw a random seed once, before any worker process starts."""
    config.addinivalue_line("markers", _MARKER_HELP)
    told = getattr(config, "workerinput", {}).get("theorem_seed")
    if told is not None:
        config.option.theorem_seed = told
    elif _option(config, "theorem_seed", "0") == "random":
        config.option.theorem_seed = str(random.SystemRandom().randrange(10**6))
    Options.of(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist the seed, which it would draw anew."""
    node.workerinput["theorem_seed"] = node.config.option.theorem_seed


def pytest_report_header(config: pytest.Config) -> str | None:
    """What a reader needs to repeat the trials."""
    if not _wanted(config):
        return None
    options = Options.of(config)
    return f"theorems: {options.examples} examples of {options.steps} steps, seed {options.seed}"


def _wanted(config: pytest.Config) -> bool:
    return bool(config.getoption("theorems") or config.getoption("theorems_file"))


# ---------------------------------------------------------------------------------------------------- trials
def hold(theorem: Theorem, options: Options, examples: int | None = None, steps: int | None = None) -> Verdict:
    """Put one theorem on trial, in this process: under xdist the processes are there already."""
    from properties.evidence import evidence_for
    from properties.trial import PROFILES, Profile, hold_trial
    from properties.verdict import Verdict

    base, chosen = PROFILES["quick"], examples or options.examples
    profile = Profile(chosen, steps or options.steps, min(chosen, base.long_examples), base.long_steps)
    body = evidence_for(theorem)
    hold_trial({theorem.id: body}, profile, options.seed)
    return Verdict(body)


def record(verdict: Verdict, item: pytest.Item) -> None:
    """Add what was found to the item's properties, which JUnit files show."""
    body = verdict.evidence
    item.user_properties += [
        ("theorem", verdict.theorem.id),
        ("verdict", verdict.name),
        ("instances", body.applicable),
        ("measured", body.measured),
        ("seed", Options.of(item.config).seed),
    ]
    ratio = getattr(body, "worst_ratio", None)
    if ratio is not None:
        item.user_properties.append(("worst_ratio", float(f"{ratio:.4g}")))  # beyond that equality looks violated


def settle(verdict: Verdict, item: pytest.Item, file: Path | None) -> None:
    """Pass, skip or fail by a verdict; a counterexample is written first.

    Raises
    ------
    TheoremFailed
        Unless the verdict is settled and not against the theorem.
    """
    from properties.store import save
    from properties.verdict import SETTLED
    from ratecheck.command import reproduce_line
    from ratecheck.versions import versions

    record(verdict, item)
    if verdict.name in SETTLED:
        return
    options, theorem = Options.of(item.config), verdict.theorem
    if verdict.name in options.allowed:
        pytest.skip(f"{theorem.id} is {verdict.name}: {verdict.sentence}")
    lines = [f"{theorem.id} is {verdict.name.upper()}: {verdict.sentence}.", f"  claimed: {theorem.claim}"]
    found = verdict.evidence.counterexample
    if found is not None:
        path = save(found, options.folder, versions())
        item.user_properties.append(("counterexample", str(path)))
        lines += [f"  but smaller side {found.small}", f"  and larger side  {found.large}"]
        lines += [f"  counterexample: {path}", f"  replay: {reproduce_line(path, file)}"]
    elif verdict.name in ALLOWED:
        lines.append(f"  --theorems-allow {verdict.name} lets it through")
    raise TheoremFailed("\n".join(lines))


# ------------------------------------------------------------------------------------------- theorems as items
class TheoremItem(pytest.Item):
    """One theorem; it passes when the verdict is confirmed or consistent."""

    def __init__(self, *, theorem: Theorem, file: Path | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.theorem, self.file = theorem, file
        self.add_marker(MARKER)

    def runtest(self) -> None:
        """Hold the trial."""
        marker = next((m for m in self.iter_markers(MARKER) if m.kwargs), None)
        given = {} if marker is None else marker.kwargs
        settle(hold(self.theorem, Options.of(self.config), **given), self, self.file)

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        """The verdict, without a traceback."""
        if isinstance(excinfo.value, TheoremFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it is from, and its heading in a report of failures."""
        return self.path, None, f"theorem {self.name}"


class Theorems(pytest.Collector):
    """The theorems that were asked for by option."""

    def collect(self) -> Iterator[TheoremItem]:
        """Raises `pytest.UsageError` for an unknown id or an unusable file."""
        for theorem, file in _chosen(self.config):
            yield TheoremItem.from_parent(self, name=theorem.id, theorem=theorem, file=file)


def _chosen(config: pytest.Config) -> Iterator[tuple[Theorem, Path | None]]:
    from bounds.catalogue import THEOREMS, CatalogueError, load_file, select

    patterns = [
        word.strip() for given in config.getoption("theorems") for word in given.split(",") if word.strip()
    ]
    try:
        files = {Path(name): load_file(name) for name in config.getoption("theorems_file")}
        origin = {theorem.id: file for file, own in files.items() for theorem in own}
        own = [theorem for declared in files.values() for theorem in declared]
        known = [*THEOREMS, *own]
        chosen = own if not patterns else known if "all" in patterns else select(known, patterns)
    except CatalogueError as error:
        raise pytest.UsageError(str(error)) from None
    for theorem in chosen:
        yield theorem, origin.get(theorem.id)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the theorems that were asked for, before -k and -m choose among all items."""
    if _wanted(config):
        items += Theorems.from_parent(session, name="theorems", nodeid="theorems").collect()


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> TheoremItem | None:
    """The theorems declared by a module that is marked ``pytestmark = pytest.mark.theorem``."""
    bounds = sys.modules.get("bounds.theorem")  # a module that holds a theorem has imported it
    if bounds is None or not isinstance(obj, bounds.Theorem) or collector.get_closest_marker(MARKER) is None:
        return None
    item: TheoremItem = TheoremItem.from_parent(collector, name=obj.id, theorem=obj, file=collector.path)
    return item


# -------------------------------------------------------------------------------------------------- fixtures
@pytest.fixture
def judge(request: pytest.FixtureRequest) -> Callable[..., Verdict]:
    """A function that puts a theorem, or the built-in one of an id, on trial and returns its verdict.

    ``judge(theorem, examples=None, steps=None)``; compare the verdict's ``name`` with ``"confirmed"``.
    """

    def judged(theorem: Theorem | str, examples: int | None = None, steps: int | None = None) -> Verdict:
        verdict = hold(_one(theorem), Options.of(request.config), examples, steps)
        record(verdict, request.node)
        return verdict

    return judged


@pytest.fixture
def verify_theorem(request: pytest.FixtureRequest) -> Callable[..., None]:
    """The same, but the test fails unless the verdict is confirmed or consistent, and says how to replay it."""

    def verified(theorem: Theorem | str, examples: int | None = None, steps: int | None = None) -> None:
        __tracebackhide__ = True
        verdict = hold(_one(theorem), Options.of(request.config), examples, steps)
        failure: TheoremFailed | None = None
        try:
            settle(verdict, request.node, None if isinstance(theorem, str) else request.path)
        except TheoremFailed as error:
            failure = error
        if failure is not None:
            pytest.fail(str(failure), pytrace=False)

    return verified


@pytest.fixture
def verdict(request: pytest.FixtureRequest, judge: Callable[..., Verdict]) -> Verdict:
    """The verdict on the theorem of the test's `pytest.mark.theorem`."""
    marker = next((m for m in request.node.iter_markers(MARKER) if m.args), None)
    if marker is None:
        raise pytest.UsageError("the fixture verdict needs @pytest.mark.theorem(THEOREM) on the test")
    return judge(*marker.args, **marker.kwargs)


def _one(theorem: Theorem | str) -> Theorem:
    if not isinstance(theorem, str):
        return theorem
    from ratecheck.command import only

    return only(theorem, None)
