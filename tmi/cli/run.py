"""``tmi run``: compute what the store lacks of a suite."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, BinaryIO

import click

from tmi.errors import SuiteError

from .common import (
    check_file,
    check_folder,
    deliver,
    json_option,
    only_option,
    plugin_option,
    registry_of,
    report_option,
    store_option,
)


@click.command()
@click.argument("suite")
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
def run(
    suite: str,
    store: str | None,
    plugins: tuple[str, ...],
    only: tuple[str, ...],
    json_file: str | BinaryIO | None,
    report_dir: str | None,
    dry_run: bool,
    workers: int,
    **options: Any,
) -> None:
    """Run SUITE, a registered name or a TOML file; what is in the store is not computed again."""
    import time

    from tmi.runs.display import Lines
    from tmi.runs.runner import collect, estimate
    from tmi.runs.runner import run as run_suite
    from tmi.store.store import Store
    from tmi.suites.reader import load_suite

    start = time.perf_counter()
    if isinstance(json_file, str):
        check_file(Path(json_file))
    if report_dir:
        check_folder(Path(report_dir), must_exist=False)
    registry = registry_of(plugins)
    loaded = load_suite(suite, plugins=plugins, registry=registry)
    if dry_run:
        results = collect(loaded, store, only=only)
        if json_file and not isinstance(json_file, str):  # a dry run writes no file
            deliver(results, json_file, None)
        todo = results.failed if options["retry_failed"] else results.failed + results.missing
        chosen = {id(entry) for entry in todo}
        for entry in results:
            action = "compute" if id(entry) in chosen else "cached " if entry.cached else "leave  "
            click.echo(f"{action}  {entry}{', which failed before' if entry.status == 'failed' else ''}")
        stored = sum(entry.cached for entry in results)
        cost = f"; {estimate(loaded, Store(store), {str(entry) for entry in todo}, workers)}" if todo else ""
        click.echo(f"{len(results)} cells: {len(todo)} to compute, {stored} in the store{cost}")
        return
    watcher = None if sys.stderr.isatty() else Lines()
    try:
        results = run_suite(loaded, store, workers, only=only, watcher=watcher, **options)
    except KeyboardInterrupt:
        click.echo("stopped; finished cells are kept, and the same command continues from there", err=True)
        sys.exit(130)
    deliver(results, json_file, report_dir)
    cached = sum(entry.cached for entry in results)
    failed = len(results.failed)
    inapplicable = f", {len(results.not_applicable)} not applicable" if results.not_applicable else ""
    missing = f", {len(results.missing)} not computed" if results.missing else ""
    seconds = f"{time.perf_counter() - start:.1f} s"
    click.echo(
        f"{results.name}: {len(results)} cells, {cached} from the store, {failed} failed{inapplicable}{missing}, {seconds}"
    )
    if failed == len(results) and all(entry.mistake for entry in results):
        raise SuiteError(list(dict.fromkeys(entry.message for entry in results)))  # no data set or network can be made
    sys.exit(1 if failed else 0)
