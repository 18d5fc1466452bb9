"""The command ``ratecheck``."""

from __future__ import annotations

import datetime
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bounds import InvalidClaim, Theorem
from bounds.catalogue import THEOREMS, CatalogueError, load_file, select
from models.dataset import InvalidDataset
from models.instance import InvalidRun
from properties.store import StoreError
from ratecheck.versions import versions

OK, IS_FALSIFIED, BAD_INPUT, NOT_SETTLED, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 4, 130

app = typer.Typer(
    help="Puts convergence-rate theorems on trial.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

File = Annotated[Path | None, typer.Option("--file", help="Python file with your own theorems.")]
Json = Annotated[
    str | None, typer.Option("--json", help="Write the result as JSON to this path; - is standard output.")
]
Ids = Annotated[
    list[str] | None,
    typer.Argument(help="Theorem ids, their beginnings (attention.ngd) or labels (N2); all if none is given."),
]


class Unusable(ValueError):
    """An option that cannot be used; the message names the fix."""


@app.command("list")
def list_(ids: Ids = None, file: File = None, json_: Json = None) -> int:
    """List theorems with their status and assumptions."""
    from ratecheck.terminal import theorem_table, wide_console

    theorems = select([*THEOREMS, *(load_file(file) if file else [])], ids or [])
    if json_ is not None:
        _write_json({"theorems": [_described(theorem) for theorem in theorems]}, json_)
    if json_ != "-":
        wide_console().print(theorem_table(theorems))
    return OK


@app.command()
def show(id: Annotated[str, typer.Argument(help="Theorem id or label.")], file: File = None) -> int:
    """Show a theorem as it would stand in a paper."""
    from bounds.rendering import text

    theorems = select([*THEOREMS, *(load_file(file) if file else [])], [id])
    sys.stdout.write("\n\n".join(text(theorem) for theorem in theorems) + "\n")
    return OK


@app.command()
def verify(
    ids: Ids = None,
    file: File = None,
    profile: Annotated[str, typer.Option(help="quick, standard or deep.")] = "quick",
    examples: Annotated[int | None, typer.Option(help="Applicable instances aimed at for each theorem.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each run.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed repeats the same trial.")] = 0,
    data: Annotated[str, typer.Option(help="random, or digits for handwritten digits.")] = "random",
    json_: Json = None,
    report: Annotated[Path | None, typer.Option(help="Write the HTML report to this path.")] = None,
    counterexamples: Annotated[Path, typer.Option(help="Where counterexamples are kept.")] = Path(
        "counterexamples"
    ),
    kept: Annotated[bool, typer.Option(help="Judge the counterexamples kept there first.")] = True,
    corpus: Annotated[Path, typer.Option(help="Hard instances that hunt has kept, judged as well.")] = Path(
        "corpus"
    ),
) -> int:
    """Put theorems on trial: draw data, train, judge, certify.

    With --file and no ids, the file's theorems are judged; name ids to judge others as well.
    """
    from ratecheck.terminal import wide_console
    from ratecheck.verify import Request, run_trial

    own = load_file(file) if file else []
    chosen = select([*THEOREMS, *own], ids) if ids else (own or list(THEOREMS))
    request = Request.checked(chosen, profile, examples, steps, seed, data, named=bool(ids or own))
    quiet = json_ == "-"
    outcome = run_trial(request, Console(stderr=True), file, counterexamples, kept, corpus)
    if not quiet:
        outcome.print(wide_console())
    if json_ is not None:
        _write_json(outcome.as_json(), json_)
    if report is not None:
        date = datetime.date.today().isoformat()
        outcome.write_report(report, date)
        Console(stderr=True).print(f"report: {report}", highlight=False, soft_wrap=True)
    return outcome.exit_code


@app.command()
def report(
    output: Annotated[Path, typer.Option(help="Where to write the page.")] = Path("output/paper.html"),
    seed: Annotated[int, typer.Option(help="Of the dataset that the pictures are made on.")] = 0,
) -> int:
    """Draw the paper's own pictures: loss, direction, attention and norm of every rule, with the bounds over them.

    The verdicts on the paper's claims are written by `verify --report`, which has this page as well.
    """
    from properties.paper import paper_page
    from reports.html import write_paper_page

    if seed < 0:
        raise Unusable(f"--seed {seed}: give a number that is not negative")
    date = datetime.date.today().isoformat()
    write_paper_page(paper_page([], seed), output, versions=versions(), date=date, seed=seed)
    Console(stderr=True).print(f"report: {output}", highlight=False, soft_wrap=True)
    return OK


@app.command()
def replay(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A counterexample that verify has written.")],
    file: File = None,
    json_: Json = None,
) -> int:
    """Judge a saved counterexample again, from its instance alone, in ball arithmetic."""
    from properties.store import load, rejudge
    from ratecheck.terminal import finding_sentence

    stored = load(path)
    theorems = [*THEOREMS, *(load_file(file) if file else [])]
    theorem = next((x for x in theorems if x.id == stored.theorem), None)
    if theorem is None:
        raise Unusable(f"{path}: the theorem {stored.theorem!r} is not built in; name its file with --file")
    finding = rejudge(stored, theorem)
    changed = stored.fingerprint != theorem.fingerprint
    if json_ is not None:
        _write_json(
            {
                "schema": "ratecheck/replay/1",
                "theorem": theorem.id,
                "changed_since": changed,
                "outcome": finding.outcome,
                "step": finding.step,
                "claimed_smaller_side": finding.small,
                "claimed_larger_side": finding.large,
                "precision_bits": finding.precision,
                "versions": versions(),
            },
            json_,
        )
    if json_ != "-":
        console = Console()
        if changed:
            console.print(f"note: {theorem.id} has changed since this was saved; the present claim is judged")
        console.print(finding_sentence(theorem, finding), highlight=False)
        if finding.small:
            console.print(f"  claimed: {theorem.claim}", highlight=False, markup=False)
            console.print(f"  smaller side {finding.small}", highlight=False, markup=False)
            console.print(f"  larger side  {finding.large}", highlight=False, markup=False)
    if finding.outcome == "violated":
        return IS_FALSIFIED
    return OK if finding.outcome in ("holds", "tight") else NOT_SETTLED


@app.command()
def hunt(
    id: Annotated[str, typer.Argument(help="Theorem id or label.")],
    budget: Annotated[float | None, typer.Option(help="Seconds in all, shared by the engines.")] = None,
    evaluations: Annotated[int | None, typer.Option(help="Instances that each engine may look at.")] = None,
    engine: Annotated[str, typer.Option(help="all, random, target, cma or gradient.")] = "all",
    baseline: Annotated[int | None, typer.Option(help="Compare with so many random instances.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed and --evaluations repeat the same hunt.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Steps of each run.")] = None,
    after: Annotated[int, typer.Option(help="First step that counts; step 0 and the onset never do.")] = 1,
    informative: Annotated[bool, typer.Option(help="Only where the bound is half of what is trivial.")] = False,
    instance: Annotated[Path | None, typer.Option(help="Judge this corpus instance instead of hunting.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; all cores if absent.")] = None,
    corpus: Annotated[Path, typer.Option(help="Where hard instances are kept.")] = Path("corpus"),
    counterexamples: Annotated[Path, typer.Option(help="Where a conviction is kept.")] = Path("counterexamples"),
    file: File = None,
    json_: Json = None,
) -> int:
    """Search for the hardest instance of a theorem: one that brings its bound closest to failing, or breaks it."""
    from ratecheck.hunt import Request, judge_stored, print_stored, run_hunt, stored_code
    from ratecheck.terminal import wide_console

    theorem = _one(id, file)
    request = Request.checked(
        theorem, engine, budget, evaluations, baseline, seed, workers, steps, after, informative
    )
    if instance is not None:
        found, finding = judge_stored(theorem, instance, request.target)
        print_stored(theorem, found, finding, wide_console())
        return stored_code(theorem, found, finding)
    outcome = run_hunt(request, Console(stderr=True), file, corpus, counterexamples)
    if json_ != "-":
        outcome.print(wide_console())
    if json_ is not None:
        _write_json(outcome.as_json(), json_)
    return outcome.exit_code


@app.command()
def certify(
    id: Annotated[str, typer.Argument(help="Theorem id or label.")],
    instance: Annotated[Path, typer.Argument(help="A counterexample, a corpus entry, or an instance as JSON.")],
    steps: Annotated[int | None, typer.Option(help="Last step; the run's own, at most 1000, if absent.")] = None,
    bits: Annotated[int, typer.Option(help="Highest precision of the balls.")] = 8192,
    file: File = None,
    json_: Json = None,
) -> int:
    """Judge one theorem on one stored instance, every step certified in ball arithmetic."""
    from ratecheck.certify import as_json, certified, exit_code, print_certificate
    from ratecheck.terminal import wide_console

    certificate = certified(_one(id, file), instance, steps, bits)
    if json_ != "-":
        print_certificate(wide_console(), certificate)
    if json_ is not None:
        _write_json(as_json(certificate), json_)
    return exit_code(certificate)


def _one(id: str, file: Path | None) -> Theorem:
    chosen = select([*THEOREMS, *(load_file(file) if file else [])], [id])
    if len(chosen) != 1:
        names = ", ".join(theorem.id for theorem in chosen[:4]) + (", …" if len(chosen) > 4 else "")
        raise Unusable(f"{id} stands for {len(chosen)} theorems ({names}): name one of them")
    return chosen[0]


@app.command()
def power(
    ids: Ids = None,
    budget: Annotated[int, typer.Option(help="Applicable instances for each mutant.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed repeats the same trials.")] = 0,
    file: File = None,
    json_: Json = None,
) -> int:
    """Try how much the trial sees: falsify small changes of each claim, and the claim without each hypothesis."""
    from ratecheck.power import run_power
    from ratecheck.terminal import wide_console

    own = load_file(file) if file else []
    chosen = select([*THEOREMS, *own], ids) if ids else (own or list(THEOREMS))
    outcome = run_power(chosen, budget, seed, Console(stderr=True))
    if json_ != "-":
        outcome.print(wide_console())
    if json_ is not None:
        _write_json(outcome.as_json(), json_)
    return outcome.exit_code


@app.command()
def soak(
    instances: Annotated[int, typer.Option(help="Runs in all, spread over all strategies.")] = 100_000,
    steps: Annotated[int, typer.Option(help="Steps of each run.")] = 80,
    seed: Annotated[int, typer.Option(help="The same seed repeats the same soak.")] = 0,
    counterexamples: Annotated[Path, typer.Option(help="Where a conviction is kept.")] = Path("counterexamples"),
    json_: Json = None,
) -> int:
    """Judge every pointwise theorem on very many short runs: no derived one may be convicted."""
    from ratecheck.soak import run_soak
    from ratecheck.terminal import wide_console

    outcome = run_soak(THEOREMS, instances, steps, seed, counterexamples, Console(stderr=True))
    if json_ != "-":
        outcome.print(wide_console())
    if json_ is not None:
        _write_json(outcome.as_json(), json_)
    return outcome.exit_code


def reproduce_line(path: Path, file: Path | None) -> str:
    """The one line that replays a counterexample."""
    words = ["ratecheck", "replay", str(path)] + (["--file", str(file)] if file else [])
    return shlex.join(words)


def _described(theorem: Theorem) -> dict[str, Any]:
    return {
        "id": theorem.id,
        "title": theorem.title,
        "label": theorem.label,
        "system": theorem.system.name,
        "kind": theorem.kind,
        "status": theorem.status.name,
        "source": theorem.status.source,
        "proof": theorem.status.proof,
        "refines": theorem.status.refines,
        "assumptions": [a.name for a in theorem.assumes],
        "statement": theorem.statement,
        "fingerprint": theorem.fingerprint,
    }


def _write_json(data: Any, path: str) -> None:
    from properties.store import write_atomically

    text = json.dumps(data, indent=1, allow_nan=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_atomically(Path(path), text)


_INPUT_ERRORS = (CatalogueError, InvalidClaim, InvalidDataset, InvalidRun, StoreError, Unusable)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 nothing falsified, 1 falsified, 2 bad input, 3 not settled, 4 internal error."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; every foreseeable error is one line on standard error."""
    from models.digits import MissingDigits

    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
        return code if isinstance(code, int) else OK
    except (*_INPUT_ERRORS, MissingDigits) as error:
        sys.stderr.write(f"ratecheck: error: {error}\n")
        return BAD_INPUT
    except typer.TyperException as error:
        sys.stderr.write(f"ratecheck: error: {error.format_message()}; see ratecheck --help\n")
        return BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("ratecheck: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:  # a full disk, a folder without permission: the message names the path
        sys.stderr.write(f"ratecheck: error: {error}\n")
        return BAD_INPUT
    except Exception as error:
        if os.environ.get("RATECHECK_DEBUG"):
            raise
        sys.stderr.write(
            f"ratecheck: internal error: {type(error).__name__}: {error}\n"
            "ratecheck: please report it; RATECHECK_DEBUG=1 shows where it arose\n"
        )
        return INTERNAL
