"""``tmi report``: the HTML report of what the store has."""

from __future__ import annotations

import click

from tmi.errors import InputError
from tmi.runtime.paths import shown

from .common import UserPath, deliver, plugin_option, registry_of, store_option


@click.command()
@click.argument("suite")
@store_option
@plugin_option
@click.option("--report", "report_dir", type=UserPath(), metavar="DIR", default="report", show_default=True, help="Folder.")
def report(suite: str, store: str | None, plugins: tuple[str, ...], report_dir: str) -> None:
    """Write the HTML report of SUITE from what the store has; nothing is computed."""
    from tmi.runs.runner import collect

    collected = collect(suite, store, plugins=plugins, registry=registry_of(plugins))
    if len(collected.missing) == len(collected):
        raise InputError(f"report: the store has nothing of suite {suite!r}; tmi run {suite} --report {shown(report_dir)}")
    deliver(collected, None, report_dir)
