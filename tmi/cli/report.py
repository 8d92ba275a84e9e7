"""``tmi report``: the HTML report of what the store has."""

from __future__ import annotations

from pathlib import Path

import click

from tmi.errors import InputError
from tmi.runtime.paths import shown

from .common import UserPath, check_folder, deliver, plugin_option, registry_of, store_option
from .completion import suite_argument


@click.command()
@suite_argument
@store_option
@plugin_option
@click.option(
    "--report", "report_dir", type=UserPath(file_okay=False), metavar="DIR", default="report", show_default=True, help="Folder."
)
def report(suite: str, store: str | None, plugins: tuple[str, ...], report_dir: str) -> None:
    """Write the HTML report of SUITE from what the store has; nothing is computed."""
    from tmi.runs.runner import load_results

    collected = load_results(suite, store, plugins=plugins, registry=registry_of(plugins))
    if len(collected.missing) == len(collected):
        raise InputError(f"report: the store has nothing of suite {suite!r}; tmi run {suite} --report {shown(report_dir)}")
    check_folder(Path(report_dir), must_exist=False, name="index.html")
    deliver(collected, None, report_dir)
