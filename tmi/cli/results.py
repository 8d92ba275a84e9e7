"""``tmi results``: what the store has of a suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tmi.errors import UnknownNameError

if TYPE_CHECKING:
    pass
from .common import deliver, json_option, only_option, plugin_option, registry_of, store_option


@click.command()
@click.argument("suite")
@store_option
@plugin_option
@only_option
@json_option
@click.option("--metric", multiple=True, metavar="NAME", help="Only these metrics; repeatable.")
@click.option("--failed", is_flag=True, help="Instead, the cells that failed when they were last tried, with their tracebacks.")
def results(
    suite: str,
    store: str | None,
    plugins: tuple[str, ...],
    only: tuple[str, ...],
    json_file: str | None,
    metric: tuple[str, ...],
    failed: bool,
) -> None:
    """Show what the store has of SUITE: mean and spread over the seeds; nothing is computed.

    SUITE may also be one file of a store (.h5).
    """
    from tmi.errors import did_you_mean
    from tmi.report.aggregate import lines
    from tmi.runs.runner import collect

    if suite.endswith(".h5"):
        from tmi.store.store import read_result

        for name, value in read_result(suite).metrics.items():
            if not metric or name in metric:
                click.echo(f"{name}  {value:.6g}")
        return
    registry_of(plugins)
    found = collect(suite, store, only=only, plugins=plugins)
    known = {name for entry in found for name in entry.metrics}
    for name in metric:
        if known and name not in known:
            raise UnknownNameError(f"metric {name!r} is unknown{did_you_mean(name, known)}")
    deliver(found, json_file, None)
    if failed:
        for entry in found.failed:
            click.echo(f"{entry}: {entry.message}\n{entry.traceback}")
        return
    for line in lines(found, metric):
        click.echo(line)
    if found.failed:
        click.echo(f"{len(found.failed)} of {len(found)} cells failed; tmi results {suite} --failed says why", err=True)
    if found.missing:
        click.echo(f"{len(found.missing)} of {len(found)} cells are not in the store; tmi run {suite} computes them", err=True)
