"""The commands that search and measure: hunt, certify, power, soak, campaign."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bounds.catalogue import THEOREMS, load_file, select
from ratecheck.command import File, Ids, Json, app, only, write_json


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

    theorem = only(id, file)
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
        write_json(outcome.as_json(), json_)
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

    certificate = certified(only(id, file), instance, steps, bits)
    if json_ != "-":
        print_certificate(wide_console(), certificate)
    if json_ is not None:
        write_json(as_json(certificate), json_)
    return exit_code(certificate)


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
        write_json(outcome.as_json(), json_)
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
        write_json(outcome.as_json(), json_)
    return outcome.exit_code


@app.command()
def campaign(
    store: Annotated[Path, typer.Option(help="Folder of the runs; a campaign there is gone on with.")],
    system: Annotated[list[str] | None, typer.Option(help="System, several times for several; attention.")] = None,
    instances: Annotated[int | None, typer.Option(help="Runs in all, spread over all strategies; 10000.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each run; 2000.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same store; 0.")] = None,
    rule: Annotated[str | None, typer.Option(help="This step rule only.")] = None,
    loss: Annotated[str | None, typer.Option(help="This loss only.")] = None,
    family: Annotated[str | None, typer.Option(help="This family of data only.")] = None,
    engine: Annotated[str, typer.Option(help="loky: processes here; dask: those of a Dask scheduler.")] = "loky",
    workers: Annotated[int | None, typer.Option(help="Processes to start; all cores if absent.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a running Dask scheduler.")] = None,
    counterexamples: Annotated[Path, typer.Option(help="Where convictions are kept.")] = Path("counterexamples"),
    file: File = None,
    json_: Json = None,
) -> int:
    """Judge every inequality of a system on very many runs, kept in a store; interrupted, it goes on.

    What is left out is taken from the campaign that the store holds already.
    """
    from ratecheck.campaign import Order, run_campaign, stored_order
    from ratecheck.terminal import wide_console

    own = tuple(theorem for theorem in (load_file(file) if file else []) if theorem.kind == "pointwise")
    there = stored_order(store)
    given = {
        "systems": tuple(dict.fromkeys(system)) if system else None,
        "instances": instances,
        "steps": steps,
        "seed": seed,
        "rule": rule,
        "loss": loss,
        "family": family,
    }
    usual = {"systems": ("attention",)} if there is None else asdict(there)
    order = Order.checked(**(usual | {name: value for name, value in given.items() if value is not None}))
    outcome = run_campaign(
        order, store, Console(stderr=True), own, file, engine, workers, scheduler, counterexamples
    )
    if json_ != "-":
        outcome.print(wide_console())
    if json_ is not None:
        write_json(outcome.as_json(), json_)
    return outcome.exit_code
