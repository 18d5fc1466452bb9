"""The commands that refine theorems: sharpen, lock, regress."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ratecheck.command import OK, File, Ids, Json, app, only, write_json


@app.command()
def sharpen(
    id: Annotated[str, typer.Argument(help="Theorem id or label.")],
    budget: Annotated[float | None, typer.Option(help="Seconds of all hunts together; 0 for none.")] = None,
    evaluations: Annotated[int | None, typer.Option(help="Instances of all hunts instead; repeatable.")] = None,
    examples: Annotated[int | None, typer.Option(help="Applicable instances of each sampling.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each run.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first sampling; fresh ones have the seeds after it.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes; all cores if absent.")] = None,
    corpus: Annotated[Path, typer.Option(help="Hard instances to begin with.")] = Path("corpus"),
    counterexamples: Annotated[Path, typer.Option(help="Where a conviction is kept.")] = Path("counterexamples"),
    output: Annotated[Path | None, typer.Option(help="Write the sharper claims as a theorem file.")] = None,
    file: File = None,
    json_: Json = None,
) -> int:
    """Find how far the constant, the exponent and the step size of a theorem can go before something breaks."""
    from ratecheck.sharpen import Request, run_sharpen
    from ratecheck.terminal import wide_console

    request = Request.checked(only(id, file), budget, evaluations, examples, steps, seed, workers)
    outcome = run_sharpen(request, Console(stderr=True), file, corpus, counterexamples)
    if output is not None:
        outcome.write(output)
    if json_ != "-":
        outcome.print(wide_console())
    if json_ is not None:
        write_json(outcome.as_json(), json_)
    return outcome.exit_code


_LOCK_HELP = "The baseline; bounds.lock.json, or mine.lock.json beside the --file mine.py, if absent."
ProfileName = Annotated[str | None, typer.Option(help="quick, standard or deep; the lock's settings if absent.")]
Runs = Annotated[
    Path | None, typer.Option(help="Folder of stored trajectories; a sample is stored there if it has none.")
]


@app.command()
def lock(
    ids: Ids = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the lock is up to date.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Judge unchanged theorems again as well.")] = False,
    profile: ProfileName = None,
    examples: Annotated[int | None, typer.Option(help="Applicable instances for each theorem.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each run.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the sample; 0, or the lock's, if absent.")] = None,
    lock_: Annotated[Path | None, typer.Option("--lock", help=_LOCK_HELP)] = None,
    corpus: Annotated[Path, typer.Option(help="Where the hardest instances are kept.")] = Path("corpus"),
    runs: Runs = None,
    file: File = None,
    json_: Json = None,
) -> int:
    """Write the baseline: what every theorem states, and what a trial says of it.

    Only what is new or has changed is judged.
    """
    from ratecheck.lock import check_lock, lock_path, present_theorems, write_lock

    theorems, path = present_theorems(file, ids), lock_path(lock_, file)
    console = Console(stderr=json_ == "-")
    if check:
        code, data = check_lock(path, theorems, not ids, console)
    else:
        options = (profile, examples, steps, seed)
        outcome = write_lock(path, theorems, not ids, options, all_, corpus, runs, Console(stderr=True))
        outcome.print(console)
        code, data = OK, outcome.as_json()
    if json_ is not None:
        write_json(data, json_)
    return code


@app.command()
def regress(
    ids: Ids = None,
    against: Annotated[str | None, typer.Option(help="Git revision whose lock is the baseline.")] = None,
    allow_weaker: Annotated[bool, typer.Option("--allow-weaker", help="A weaker form is no failure.")] = False,
    profile: ProfileName = None,
    examples: Annotated[int | None, typer.Option(help="Applicable instances of the fresh sample.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each of its runs.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the fresh sample; the one after the lock's if absent.")
    ] = None,
    lock_: Annotated[Path | None, typer.Option("--lock", help=_LOCK_HELP)] = None,
    corpus: Annotated[Path, typer.Option(help="Hard instances, judged first.")] = Path("corpus"),
    counterexamples: Annotated[Path, typer.Option(help="Kept counterexamples.")] = Path("counterexamples"),
    runs: Runs = None,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit file, a case for each theorem.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write a summary for a pull request.")] = None,
    file: File = None,
    json_: Json = None,
) -> int:
    """Judge changed theorems against the baseline: stronger, weaker or neither, and whether they stand.

    Exit code 1: a changed or new theorem is falsified; 3: one became weaker (see --allow-weaker), or is open.
    """
    from properties.store import write_atomically
    from ratecheck import regress_words as words
    from ratecheck.lock import lock_path, present_theorems
    from ratecheck.regress import Where, run_regress
    from ratecheck.terminal import wide_console

    theorems, path = present_theorems(file, ids), lock_path(lock_, file)
    where = Where(counterexamples, corpus, runs, file)
    options = (profile, examples, steps, seed)
    outcome = run_regress(path, against, theorems, not ids, options, where, allow_weaker, Console(stderr=True))
    if json_ != "-":
        words.print_outcome(wide_console(), outcome)
    if json_ is not None:
        write_json(words.as_json(outcome), json_)
    if markdown is not None:
        write_atomically(markdown, words.markdown(outcome))
    if junit is not None:
        write_atomically(junit, words.junit(outcome))
    return outcome.exit_code
