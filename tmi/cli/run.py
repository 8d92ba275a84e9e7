"""``tmi run``: compute what the store lacks of a suite."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from tmi.errors import SuiteError, TmiError
from tmi.runtime.formatting import format_count

from .common import (
    check_file,
    check_folder,
    complain,
    deliver,
    json_option,
    only_option,
    plugin_option,
    registry_of,
    report_option,
    store_option,
    verbosity_options,
    write_json,
)
from .completion import suite_argument

if TYPE_CHECKING:
    from tmi.runs.display import Watcher
    from tmi.runs.results import Entry, Results
    from tmi.suites.suite import Suite


@click.command()
@suite_argument
@store_option
@plugin_option
@only_option
@json_option
@report_option
@click.option("--dry-run", is_flag=True, help="List what would be computed, what is in the store, and the estimated time.")
@click.option("--workers", type=int, default=1, metavar="N", help="Processes that compute at the same time [default: 1].")
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers compute, as tcp://10.0.0.1:8786.")
@click.option("--threads", type=int, metavar="N", help="Threads of each process.")
@click.option("--memory", metavar="SIZE", help='Memory of each of several workers, as "4 GB".')
@click.option("--timeout", type=float, metavar="SECONDS", help="Time limit of a data set, a network or a probe.")
@click.option("--attempts", type=int, default=2, metavar="N", help="How often to start a cell that ends its worker [default: 2].")
@click.option(
    "--keep",
    type=click.Choice(["all", "networks", "results"]),
    default="all",
    show_default=True,
    help="What is stored. Less needs less space; what is not stored is made again when it is needed.",
)
@click.option("--fail-fast", is_flag=True, help="Start nothing new after the first failure.")
@click.option("--retry-failed", is_flag=True, help="Compute only the cells that failed in their last run.")
@verbosity_options(
    "Print warnings and errors of the call alone; the exit code says if cells failed.",
    "Print each cell that is done, all reasons for missing numbers, and tracebacks.",
)
def run(
    suite: str,
    store: str | None,
    plugins: tuple[str, ...],
    only: tuple[str, ...],
    json_file: str | BinaryIO | None,
    report_dir: str | None,
    dry_run: bool,
    workers: int,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Run SUITE, a registered name or a TOML file; what is in the store is not computed again.

    With --dry-run, --json writes the cells and what would be done with each.
    """
    import time

    from tmi.runs.runner import run as run_suite
    from tmi.suites.reader import load_suite

    start = time.perf_counter()
    if isinstance(json_file, str):
        check_file(Path(json_file))
    if report_dir:
        check_folder(Path(report_dir), must_exist=False, name="index.html")
    loaded = load_suite(suite, plugins=plugins, registry=registry_of(plugins))
    if dry_run:
        _print_plan(loaded, store, only, workers, json_file, options["retry_failed"], quiet)
        return
    try:
        results = run_suite(loaded, store, workers, only=only, watcher=_watcher(quiet, verbose), **options)
    except KeyboardInterrupt:
        click.echo("stopped; finished cells are kept, and the same command continues from there", err=True)
        sys.exit(130)
    try:
        deliver(results, json_file, report_dir)
        delivered = True
    except (OSError, TmiError) as error:  # it was tried before, but the disk may be full since
        complain([f"{error}; the results are in the store, from which tmi results and tmi report take them"])
        delivered = False
    if not quiet:
        _summarise(results, f"{time.perf_counter() - start:.1f} s", verbose)
    failed = len(results.failed)
    if failed == len(results) and all(entry.mistake for entry in results):
        raise SuiteError(list(dict.fromkeys(entry.message for entry in results)))  # no data set or network can be made
    sys.exit(2 if not delivered else 1 if failed else 0)


def _watcher(quiet: bool, verbose: bool) -> Watcher | None:
    """Return what shows the progress: by default bars in a terminal, and lines elsewhere."""
    from tmi.runs.display import Lines, Silent

    if quiet:
        return Silent()
    return Lines(every_cell=verbose) if verbose or not sys.stderr.isatty() else None


def _summarise(results: Results, took: str, verbose: bool) -> None:
    """Print how many cells have results, and why the others have none."""
    from .reasons import MOST, lines

    cached = sum(entry.cached for entry in results)
    inapplicable = f", {len(results.not_applicable):,} not applicable" if results.not_applicable else ""
    missing = f", {len(results.missing):,} not computed" if results.missing else ""
    click.echo(
        f"{results.name}: {format_count(len(results), 'cell')}, {cached:,} from the store, {len(results.failed):,} failed"
        f"{inapplicable}{missing}, {took}"
    )
    for line in lines(results, most=None if verbose else MOST):
        click.echo(f"  {line}", err=True)
    if verbose:
        for entry in results.failed:
            click.echo(f"{entry}: {entry.message}\n{entry.traceback}", err=True)


def _print_plan(
    suite: Suite,
    store: str | None,
    only: tuple[str, ...],
    workers: int,
    json_file: str | BinaryIO | None,
    retry_failed: bool,
    quiet: bool,
) -> None:
    """List the cells, what would be done with each, and what it would cost."""
    from tmi.runs.runner import estimate, load_results
    from tmi.store.store import Store

    results = load_results(suite, store, only=only)
    todo = results.failed if retry_failed else results.failed + results.missing
    chosen = {id(entry) for entry in todo}

    def action(entry: Entry) -> str:
        return "compute" if id(entry) in chosen else "cached" if entry.cached else "leave"

    expected = estimate(suite, Store(store), {str(entry) for entry in todo}, workers)
    stored = sum(entry.cached for entry in results)
    if json_file:
        known = expected.unknown < expected.cells or not expected.cells
        plan = {
            "cells": [{"cell": str(entry), "action": action(entry), **_place(entry)} for entry in results],
            "compute": len(todo),
            "cached": stored,
            "no_recorded_cost": expected.unknown,
            "seconds": expected.seconds if known else None,
            "bytes": expected.size if known else None,
        }
        write_json(plan, json_file)
    elif not quiet:
        for entry in results:
            click.echo(f"{action(entry):<7}  {entry}{', which failed before' if entry.status == 'failed' else ''}")
    cost = f"; {expected}" if todo else ""
    click.echo(f"{format_count(len(results), 'cell')}: {len(todo)} to compute, {stored} in the store{cost}")


def _place(entry: Entry) -> dict[str, Any]:
    place = {"dataset": entry.dataset, "network": entry.network, "probe": entry.probe, "seed": entry.seed, **entry.swept}
    return place | {"status": entry.status, "key": entry.key, "message": entry.message}
