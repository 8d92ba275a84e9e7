"""``tmi results``: what the store has of a suite, as tables that can be compared by eye."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from tmi.errors import StoreError
from tmi.runtime.formatting import format_count
from tmi.runtime.paths import shown

from .common import (
    OutputFile,
    check_file,
    json_option,
    only_option,
    plugin_option,
    registry_of,
    store_option,
    verbosity_options,
    write_json,
)
from .completion import suite_argument

if TYPE_CHECKING:
    from tmi.runs.results import Results

FORMATS = ("table", "md", "csv", "json")


@click.command()
@suite_argument
@store_option
@plugin_option
@only_option
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Only these metrics, or patterns; repeatable.")
@click.option("--all", "every", is_flag=True, help="All metrics; by default the main one of each probe.")
@click.option("--sort", metavar="COLUMN", help="Sort rows by a network, best first, or a swept setting; -COLUMN turns round.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="How tables are written.")
@click.option("--out", type=OutputFile(), metavar="FILE", help="Where tables are written [default: -, standard output].")
@json_option
@click.option("--failed", is_flag=True, help="Instead, the cells that failed in their last run, with their tracebacks.")
@verbosity_options("Print the tables alone.", "Print all reasons for missing numbers, and what the metrics mean.")
def results(
    suite: str,
    store: str | None,
    plugins: tuple[str, ...],
    only: tuple[str, ...],
    json_file: str | BinaryIO | None,
    failed: bool,
    **options: Any,
) -> None:
    """Show what the store has of SUITE; nothing is computed.

    Each table has a row for each swept value, data set or metric, and a column for each network: means over the seeds, ± half
    the width of the mean's 95 % interval over the seeds by Student's t. --format csv and json have a row for each mean; --json
    has the values themselves, a row for each seed.

    SUITE may also be one file of a store (.h5).
    """
    from tmi.runs.runner import load_results

    for file in (options["out"], json_file):
        if isinstance(file, str):
            check_file(Path(file))
    if not isinstance(json_file, str | None) and not isinstance(options["out"], str | None):
        raise click.UsageError("--json and --out: standard output takes one of the two")
    if suite.endswith(".h5"):
        collected = _one_file(suite)
        _print_tables(collected, suite, **{**options, "every": True})
        if json_file:
            write_json([{"metric": name, "value": value} for name, value in collected.entries[0].metrics.items()], json_file)
        return
    if store and not Path(store).exists():
        raise StoreError(f"store {shown(store)}: there is no such folder")
    collected = load_results(suite, store, only=only, plugins=plugins, registry=registry_of(plugins))
    if failed:
        for entry in collected.failed:
            click.echo(f"{entry}: {entry.message}\n{entry.traceback}")
        if not collected.failed and not options["quiet"]:
            click.echo(f"0 of {format_count(len(collected), 'cell')} failed", err=True)
    else:
        _print_tables(collected, suite, **options)
    if json_file:
        write_json(collected.rows(), json_file)


def _print_tables(
    collected: Results,
    suite: str,
    *,
    metrics: tuple[str, ...],
    every: bool,
    sort: str | None,
    form: str,
    out: str | BinaryIO | None,
    quiet: bool,
    verbose: bool,
) -> None:
    from .reasons import MOST, lines
    from .table_formats import FORMATS, WIDTH, as_text
    from .tables import all_metrics, columns, infos, main_metrics, ordered, tables

    known = all_metrics(collected, metrics)
    info = infos(collected)
    main = main_metrics(collected, info)
    chosen = known if metrics or every else main
    made = tables(collected, chosen, info)
    if sort:
        sortable = [table for table in made if sort.removeprefix("-") in columns(table)]
        if made and not sortable:
            ordered(made[0], sort)
        made = [ordered(table, sort) if table in sortable else table for table in made]
    if made:
        width = max(60, shutil.get_terminal_size().columns) if out is None and sys.stdout.isatty() else WIDTH
        _write(as_text(made, width) if form == "table" else FORMATS[form](made), out)
    if quiet:
        return
    if verbose:
        for line in _meanings(chosen, info):
            click.echo(line, err=True)
    hidden = sum(map(len, known.values())) - sum(map(len, chosen.values()))
    if hidden:
        click.echo(f"the main metric of each probe; --all shows {hidden:,} more, --metric NAME some", err=True)
    for line in lines(collected, most=None if verbose else MOST):
        click.echo(line, err=True)
    cells = format_count(len(collected), "cell")
    if collected.failed:
        click.echo(f"{len(collected.failed)} of {cells} failed; tmi results {suite} --failed prints the tracebacks", err=True)
    if collected.missing:
        click.echo(f"{len(collected.missing)} of {cells} not in the store; tmi run {suite} computes them", err=True)


def _meanings(chosen: dict[str, list[str]], info: dict[str, Any]) -> list[str]:
    """Say what the metrics that are shown mean, each once."""
    bases = dict.fromkeys((probe, name.partition(".")[0]) for probe, names in chosen.items() for name in names)
    return [f"{probe}: {base}: {info[probe][base].text}" for probe, base in bases if base in info.get(probe, {})]


def _one_file(file: str) -> Results:
    """Return the result in a file, as the only one of a suite."""
    from tmi.runs.results import Entry, Results
    from tmi.store.store import read_result

    result = read_result(file)
    entry = Entry(file, "", "value", file, 0, {}, "ok", None, dict(result.metrics), notes=tuple(result.notes), _result=result)
    return Results([entry], name=file)


def _write(text: str, out: str | BinaryIO | None) -> None:
    """Write tables into a file or to standard output."""
    if out is None:
        click.echo(text, nl=False)
    elif isinstance(out, str):
        Path(out).write_text(text, encoding="utf-8")
    else:
        out.write(text.encode())
        out.flush()
