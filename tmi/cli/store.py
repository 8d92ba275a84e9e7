"""The command ``tmi store``: what a store holds, whether it is sound, what may go, and a part of it to give away."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tmi.errors import did_you_mean

if TYPE_CHECKING:
    from tmi.maintenance.prune import Pruned

KINDS = ("result", "dataset", "network")


class _Group(click.Group):
    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(context, args)
        except click.UsageError:
            context.fail(f"no such command {args[0]!r}{did_you_mean(args[0], self.commands)}")


_store = click.option("--store", "folder", type=click.Path(), metavar="DIR", help="The store [default: $TMI_STORE or tmi-store].")
_plugin = click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(), metavar="FILE", help="A Python file with plug-ins; repeatable."
)


@click.group(cls=_Group)
def store() -> None:
    """Look after a store: data sets, networks and results."""


@store.command()
@_store
@click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write it as JSON instead.")
def info(folder: str | None, json_file: str | None) -> None:
    """Say what the store holds: how much of each kind, what is damaged, left behind, or being computed now."""
    import json

    from tmi.maintenance.info import info as look
    from tmi.maintenance.info import lines
    from tmi.store.store import Store

    found = look(Store(folder))
    if json_file:
        Path(json_file).write_text(
            json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace"
        )
        return
    for line in lines(found):
        click.echo(line)


@store.command()
@_store
@_plugin
@click.option("--repair", is_flag=True, help="Set damaged and different files aside, sweep up, and make the index anew.")
@click.option("--sample", type=click.IntRange(min=0), default=3, metavar="N", help="Results to compute again [default: 3].")
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Of the sample [default: 0].")
@click.option(
    "--seconds", type=click.FloatRange(min=0), default=60.0, metavar="S", help="What the sample may take in all [default: 60]."
)
def verify(folder: str | None, plugins: tuple[str, ...], repair: bool, sample: int, seed: int, seconds: float) -> None:
    """Check every file and the index, and compute a sample of the results again.

    A result is computed again from its record: with the registered plug-ins and those of --plugin, never with code that a file
    names. Exit 0: all well; 1: something is damaged or different.
    """
    from tmi.maintenance.verify import verify as check
    from tmi.store.store import Store

    from .common import registry_of

    checked = Store(folder)
    found = check(checked, registry=registry_of(plugins), sample=sample, seed=seed, seconds=seconds, repair=repair)
    for line in found.problems():
        click.echo(f"{click.style('problem:', fg='red')} {line}", err=True)
    _name_strange(found.strange)
    for line in found.lines():
        click.echo(line)
    sys.exit(0 if found.ok else 1)


@store.command()
@_store
@_plugin
@click.option("--older", metavar="AGE", help="Only what was written longer ago than AGE, as 30d, 12h or 2w.")
@click.option("--unreachable", is_flag=True, help="Only what no run can ask for any more, with the code and versions of now.")
@click.option("--max-size", metavar="SIZE", help="Then more, the oldest first, until no more than SIZE stays, as 2GB.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this kind of file; repeatable.")
@click.option("--dry-run", is_flag=True, help="List what would go, and remove nothing.")
@click.pass_context
def prune(
    context: click.Context,
    folder: str | None,
    plugins: tuple[str, ...],
    older: str | None,
    unreachable: bool,
    max_size: str | None,
    kinds: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Remove files from the store; a run computes again what it misses.

    --older and --unreachable together remove what is both. For --max-size data sets go first, then networks, then results, for
    results answer a run without the others. What is being computed now stays.
    """
    from tmi.maintenance.prune import prune as remove
    from tmi.runtime.formatting import parse_age, parse_size
    from tmi.store.store import Store

    if older is None and not unreachable and max_size is None:
        context.fail("say what may go: give at least one of --older, --unreachable and --max-size")
    registry = None
    age = None if older is None else parse_age(older)
    limit = None if max_size is None else parse_size(max_size)
    if unreachable:
        from .common import registry_of

        registry = registry_of(plugins)
    of = Store(folder)
    done = remove(of, older=age, unreachable=unreachable, max_size=limit, kinds=kinds, registry=registry, dry_run=dry_run)
    if dry_run:
        _list(done)
    for note in done.notes:
        click.echo(note, err=True)
    click.echo(done.summary())


@store.command()
@click.argument("dest")
@_store
@_plugin
@click.option("--suite", metavar="SUITE", help="Only the results of SUITE, a registered name or a TOML file.")
@click.option("--only", multiple=True, metavar="PATTERN", help="Of SUITE only the cells whose name fits; repeatable.")
@click.option("--with-data", is_flag=True, help="Also the data sets and networks that the results came from.")
@click.pass_context
def export(
    context: click.Context,
    dest: str,
    folder: str | None,
    plugins: tuple[str, ...],
    suite: str | None,
    only: tuple[str, ...],
    with_data: bool,
) -> None:
    """Write results into DEST, a new folder that is a store itself, with a table results.csv.

    A DEST that ends in .csv or .json gets the table alone. Exit 1: a damaged file was left out.
    """
    from tmi.maintenance.export import export as write
    from tmi.maintenance.export import is_table, write_table
    from tmi.store.store import Store

    from .common import registry_of

    if suite is None and (only or plugins):
        context.fail("--only and --plugin go with --suite")
    of = Store(folder)
    table = is_table(dest)
    if table and with_data:
        context.fail("--with-data needs a folder, and DEST is a table")
    results = None
    if suite is not None:
        from tmi.runs.runner import collect

        registry_of(plugins)
        results = collect(suite, of, only=only, plugins=plugins)
    done = write_table(of, dest, results) if table else write(of, dest, results, with_data=with_data)
    for note in done.notes:
        click.echo(note, err=True)
    click.echo(done.summary())
    sys.exit(1 if done.left_out else 0)


def _list(done: Pruned) -> None:
    from tmi.runtime.formatting import size_text, time_text

    for found in done.removed:
        click.echo(f"{found.noun:<7}  {found.key}  {size_text(found.size):>8}  {time_text(found.written)}")


def _name_strange(found: Any) -> None:
    from tmi.maintenance.info import strange_lines
    from tmi.runtime.formatting import shown

    for line in strange_lines({shown(one.path): one.why for one in found}):
        click.echo(f"{line} (left alone)", err=True)
