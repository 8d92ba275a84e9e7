"""The command ``tmi``. Exit code 0: all well; 1: some cells failed, the others are kept; 2: the suite or the call is wrong.

Help, lists and completion import nothing heavy; each subcommand imports what it needs when it runs.
"""

from __future__ import annotations

import click

from .check import check
from .common import Group
from .completion import completion
from .data import data
from .describe import describe
from .explore import explore
from .list import list_
from .new import new
from .report import report
from .results import results
from .run import run
from .store import store


def _print_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from .version import version

        click.echo(version())
        context.exit()


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the versions of tmi, Python and the libraries that compute, and exit.",
)
def main() -> None:
    """Probe networks whose every neuron is understood beside trained ones."""


for command in (run, list_, describe, check, new, data, results, report, explore, store, completion):
    main.add_command(command)
