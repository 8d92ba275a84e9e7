"""``tmi results``: what the store has of a suite."""

from __future__ import annotations

from typing import BinaryIO

import click

from tmi.errors import UnknownNameError

from .common import deliver, json_option, only_option, plugin_option, registry_of, store_option, write_json


@click.command()
@click.argument("suite")
@store_option
@plugin_option
@only_option
@json_option
@click.option("--metric", multiple=True, metavar="NAME", help="Only these metrics; repeatable.")
@click.option("--failed", is_flag=True, help="Instead, the cells that failed in their last run, with their tracebacks.")
def results(
    suite: str,
    store: str | None,
    plugins: tuple[str, ...],
    only: tuple[str, ...],
    json_file: str | BinaryIO | None,
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

        metrics = read_result(suite).metrics
        if json_file:
            write_json([{"metric": name, "value": value} for name, value in metrics.items()], json_file)
        for name, value in metrics.items():
            if not metric or name in metric:
                click.echo(f"{name}  {value:.6g}")
        return
    collected = collect(suite, store, only=only, plugins=plugins, registry=registry_of(plugins))
    known = {name for entry in collected for name in entry.metrics}
    for name in metric:
        if known and name not in known:
            raise UnknownNameError(f"metric {name!r} is unknown{did_you_mean(name, known)}")
    deliver(collected, json_file, None)
    if failed:
        for entry in collected.failed:
            click.echo(f"{entry}: {entry.message}\n{entry.traceback}")
        return
    for line in lines(collected, metric):
        click.echo(line)
    cells = len(collected)
    if collected.not_applicable:
        reasons = "; ".join(dict.fromkeys(entry.message for entry in collected.not_applicable))
        click.echo(f"{len(collected.not_applicable)} of {cells} cells are not applicable: {reasons}", err=True)
    if collected.failed:
        click.echo(f"{len(collected.failed)} of {cells} cells failed; tmi results {suite} --failed says why", err=True)
    if collected.missing:
        click.echo(f"{len(collected.missing)} of {cells} cells are not in the store; tmi run {suite} computes them", err=True)
