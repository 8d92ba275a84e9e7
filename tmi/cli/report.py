"""``tmi report``: the HTML report of what the store has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tmi.errors import InputError

if TYPE_CHECKING:
    pass
from .common import deliver, plugin_option, registry_of, store_option


@click.command()
@click.argument("suite")
@store_option
@plugin_option
@click.option("--report", "report_dir", type=click.Path(), metavar="DIR", default="report", show_default=True, help="Folder.")
def report(suite: str, store: str | None, plugins: tuple[str, ...], report_dir: str) -> None:
    """Write the HTML report of SUITE from what the store has; nothing is computed."""
    from tmi.runs.runner import collect

    registry_of(plugins)
    found = collect(suite, store, plugins=plugins)
    if len(found.missing) == len(found):
        raise InputError(f"report: the store has nothing of suite {suite!r}; tmi run {suite} --report {report_dir}")
    deliver(found, None, report_dir)
