"""``tmi store``: what a store holds, whether its files are sound, what may be removed, and a part of it to give away."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

import click

from .common import Group, Kind, OutputFile, list_json_option, plugin_option, registry_of, store_option, write_json
from .completion import suites

if TYPE_CHECKING:
    from tmi.maintenance.inventory import StoreFile, Strange

KINDS = ("result", "dataset", "network")


@click.group(cls=Group)
def store() -> None:
    """Look after a store: data sets, networks and results."""


@store.command()
@store_option
@list_json_option
def info(store: str | None, json_file: str | BinaryIO | None) -> None:
    """Say what the store holds: how much of each kind, what is damaged, left behind, or being computed now."""
    from tmi.maintenance.info import info, lines
    from tmi.store.store import Store

    contents = info(Store(store))
    if json_file:
        write_json(contents, json_file)
        return
    for line in lines(contents):
        click.echo(line)


@store.command()
@store_option
@plugin_option
@click.option("--repair", is_flag=True, help="Set damaged and different files aside, remove leftovers, rebuild the index.")
@click.option("--sample", type=click.IntRange(min=0), default=3, metavar="N", help="Results to compute again [default: 3].")
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Of the sample [default: 0].")
@click.option(
    "--seconds", type=click.FloatRange(min=0), default=60.0, metavar="S", help="What the sample may take in all [default: 60]."
)
def verify(store: str | None, plugins: tuple[str, ...], repair: bool, sample: int, seed: int, seconds: float) -> None:
    """Check every file and the index, and compute a sample of the results again.

    A result is computed again from its record: with the registered plug-ins and those of --plugin, never with code that a file
    names. Exit 0: all well; 1: something is damaged or different.
    """
    from tmi.maintenance.verify import verify
    from tmi.store.store import Store

    report = verify(Store(store), registry=registry_of(plugins), sample=sample, seed=seed, seconds=seconds, repair=repair)
    for line in report.problems():
        click.echo(f"{click.style('problem:', fg='red')} {line}", err=True)
    _print_strange(report.strange)
    for line in report.lines():
        click.echo(line)
    sys.exit(0 if report.ok else 1)


@store.command()
@store_option
@plugin_option
@click.option("--older", metavar="AGE", help="Only what was written longer ago than AGE, as 30d, 12h or 2w.")
@click.option("--unreachable", is_flag=True, help="Only what no run can ask for any more, with the code and versions of now.")
@click.option("--max-size", metavar="SIZE", help="Then more, the oldest first, until no more than SIZE stays, as 2GB.")
@click.option("--kind", "kinds", multiple=True, type=Kind(KINDS), help="Only this kind of file; repeatable.")
@click.option("--dry-run", is_flag=True, help="List what would go, and remove nothing.")
@list_json_option
@click.pass_context
def prune(
    context: click.Context,
    store: str | None,
    plugins: tuple[str, ...],
    older: str | None,
    unreachable: bool,
    max_size: str | None,
    kinds: tuple[str, ...],
    dry_run: bool,
    json_file: str | BinaryIO | None,
) -> None:
    """Remove files from the store; a run computes again what it misses.

    --older and --unreachable together remove what is both. For --max-size data sets go first, then networks, then results, for
    results answer a run without the others. What is being computed now stays.

    --unreachable removes only what is certain: a file stays if a plug-in that it came from, be it of a method or a measure, is
    a file that is not given with --plugin, is not installed, or is broken. Standard error says so.
    """
    from tmi.maintenance.prune import prune
    from tmi.runtime.formatting import parse_age, parse_size
    from tmi.store.store import Store

    if older is None and not unreachable and max_size is None:
        context.fail("say what may go: give at least one of --older, --unreachable and --max-size")
    pruned = prune(
        Store(store),
        older=None if older is None else parse_age(older),
        unreachable=unreachable,
        max_size=None if max_size is None else parse_size(max_size),
        kinds=kinds,
        registry=registry_of(plugins) if unreachable else None,
        dry_run=dry_run,
    )
    if json_file:
        _write_files(pruned.removed, json_file)
    elif dry_run:
        _print_files(pruned.removed)
    for note in pruned.notes:
        click.echo(note, err=True)
    click.echo(pruned.summary())


@store.command()
@click.argument("dest", type=OutputFile())
@store_option
@plugin_option
@click.option(
    "--suite", metavar="SUITE", shell_complete=suites, help="Only the results of SUITE, a registered name or a TOML file."
)
@click.option("--only", multiple=True, metavar="PATTERN", help="Of SUITE only the cells whose name fits; repeatable.")
@click.option("--with-data", is_flag=True, help="Also the data sets and networks that the results came from.")
@click.pass_context
def export(
    context: click.Context,
    dest: str | BinaryIO,
    store: str | None,
    plugins: tuple[str, ...],
    suite: str | None,
    only: tuple[str, ...],
    with_data: bool,
) -> None:
    """Write results into DEST, a new folder that is a store itself, with a table results.csv.

    A DEST that ends in .csv or .json gets the table alone; - is the table as CSV on standard output. Exit 1: a damaged file was
    left out.
    """
    from tmi.maintenance.export import export, is_table, write_table
    from tmi.store.store import Store

    if suite is None and (only or plugins):
        context.fail("--only and --plugin go with --suite")
    source = Store(store)
    table = not isinstance(dest, str) or is_table(dest)
    if table and with_data:
        context.fail("--with-data needs a folder, and DEST is a table")
    results = None
    if suite is not None:
        from tmi.runs.runner import load_results

        results = load_results(suite, source, only=only, plugins=plugins, registry=registry_of(plugins))
    if table or not isinstance(dest, str):
        exported = write_table(source, dest, results)
    else:
        exported = export(source, dest, results, with_data=with_data)
    for note in exported.notes:
        click.echo(note, err=True)
    click.echo(exported.summary())
    sys.exit(1 if exported.left_out else 0)


def _print_files(files: Iterable[StoreFile]) -> None:
    from tmi.runtime.formatting import format_size, format_time

    for file in files:
        click.echo(f"{file.noun:<7}  {file.key}  {format_size(file.size):>8}  {format_time(file.written)}")


def _write_files(files: Iterable[StoreFile], json_file: str | BinaryIO) -> None:
    from tmi.runtime.formatting import format_time

    rows = [
        {"kind": file.noun, "key": file.key, "path": str(file.path), "size": file.size, "written": format_time(file.written)}
        for file in files
    ]
    write_json(rows, json_file)


def _print_strange(paths: Iterable[Strange]) -> None:
    from tmi.maintenance.info import strange_lines
    from tmi.runtime.formatting import printable

    for line in strange_lines({printable(path.path): path.why for path in paths}):
        click.echo(f"{line} (left alone)", err=True)
