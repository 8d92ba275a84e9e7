"""The command ``tmi``. Exit code 0: all well; 1: some cells failed, the others are kept; 2: the suite or the call is wrong.

Help, lists and completion import nothing heavy; each subcommand imports what it needs when it runs.
"""

from __future__ import annotations

import click

from tmi._version import __version__

from .common import Group
from .data import data
from .explore import explore
from .report import report
from .results import results
from .run import run
from .show import check, describe, list_
from .store import store


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tmi")
def main() -> None:
    """Probe networks whose every neuron is understood beside trained ones."""


for command in (run, list_, describe, check, data, results, report, explore, store):
    main.add_command(command)
