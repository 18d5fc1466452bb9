"""The commands that try and show: list, show, verify, compare, report, replay."""

from __future__ import annotations

import datetime
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bounds import Theorem
from bounds.catalogue import THEOREMS, load_file, select
from ratecheck.command import IS_FALSIFIED, NOT_SETTLED, OK, File, Ids, Json, Unusable, app, write_json
from ratecheck.versions import versions


@app.command("list")
def list_(ids: Ids = None, file: File = None, json_: Json = None) -> int:
    """List theorems with their status and assumptions."""
    from ratecheck.terminal import theorem_table, wide_console

    theorems = select([*THEOREMS, *(load_file(file) if file else [])], ids or [])
    if json_ is not None:
        write_json({"theorems": [_described(theorem) for theorem in theorems]}, json_)
    if json_ != "-":
        wide_console().print(theorem_table(theorems))
    return OK


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="Theorem id or label.")],
    html: Annotated[Path | None, typer.Option(help="Write the statement as a small page to this path.")] = None,
    file: File = None,
) -> int:
    """Show a theorem as it would stand in a paper, and how to put it on trial."""
    from bounds.rendering import text

    theorems = select([*THEOREMS, *(load_file(file) if file else [])], [id])
    trial = ["ratecheck", "verify", *(theorem.id for theorem in theorems)]
    trial += ["--file", str(file)] if file else []
    sys.stdout.write("\n\n".join(text(theorem) for theorem in theorems) + "\n")
    sys.stdout.write(f"\nput it on trial: {shlex.join(trial)}\n")
    if html is not None:
        from reports.notebook import write_statements

        write_statements(theorems, html)
    return OK


@app.command()
def verify(
    context: typer.Context,
    ids: Ids = None,
    file: File = None,
    profile: Annotated[str, typer.Option(help="quick, standard or deep.")] = "quick",
    examples: Annotated[int | None, typer.Option(help="Applicable instances aimed at for each theorem.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each run.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed repeats the same trial.")] = 0,
    data: Annotated[str, typer.Option(help="random, or digits for handwritten digits.")] = "random",
    json_: Json = None,
    report: Annotated[Path | None, typer.Option(help="Write the HTML report to this path.")] = None,
    power: Annotated[
        int | None, typer.Option(help="Try mutants of each inequality too, each on so many instances.")
    ] = None,
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
    request = Request.checked(chosen, profile, examples, steps, seed, data, bool(ids or own), power)
    quiet = json_ == "-"
    outcome = run_trial(request, Console(stderr=True), file, counterexamples, kept, corpus)
    if not quiet:
        outcome.print(wide_console())
    provenance = outcome.provenance(datetime.date.today().isoformat(), command_line(context))
    if json_ is not None:
        write_json(outcome.as_json(provenance), json_)
    if report is not None:
        outcome.write_report(report, provenance)
        Console(stderr=True).print(f"report: {report}", highlight=False, soft_wrap=True)
    return outcome.exit_code


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="A result that verify --json has written.")],
    after: Annotated[Path, typer.Argument(help="Another one, written after a change.")],
    report: Annotated[Path | None, typer.Option(help="Write the comparison as an HTML page to this path.")] = None,
    json_: Json = None,
) -> int:
    """Compare two results of verify: which statements changed, and what that did to verdicts and ratios."""
    from ratecheck.compare import compare_results
    from ratecheck.terminal import wide_console

    outcome = compare_results(before, after)
    if json_ != "-":
        outcome.print(wide_console())
    if json_ is not None:
        write_json(outcome.as_json(), json_)
    if report is not None:
        outcome.write_report(report)
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
        write_json(
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


def command_line(context: typer.Context) -> str:
    """The command as it was given, with paths as seen from the working folder and no folders of the machine."""
    words = ["ratecheck", str(context.info_name)]
    for parameter in context.command.params:
        source, value = (
            context.get_parameter_source(parameter.name or ""),
            context.params.get(parameter.name or ""),
        )
        if source is None or source.name != "COMMANDLINE" or value is None:
            continue
        if parameter.param_type_name == "argument":
            words += [_portable(one) for one in (value if isinstance(value, list | tuple) else [value])]
        elif isinstance(value, bool):
            words.append(parameter.opts[0] if value else parameter.secondary_opts[0])
        else:
            words += [parameter.opts[0], _portable(value)]
    return shlex.join(words)


def _portable(value: object) -> str:
    path = Path(str(value))
    if not path.is_absolute():
        return str(value)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


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
