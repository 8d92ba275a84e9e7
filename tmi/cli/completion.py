"""``tmi completion``: what makes a shell complete the command; and the names that complete its arguments."""

from __future__ import annotations

import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

SHELLS = {
    "bash": 'eval "$(tmi completion bash)"            # in ~/.bashrc; bash 4.4 or later',
    "zsh": 'eval "$(tmi completion zsh)"             # in ~/.zshrc, after compinit',
    "fish": "tmi completion fish | source             # in ~/.config/fish/config.fish",
}
"""The shells that can complete, and the line of their start-up file."""


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)), required=False)
def completion(shell: str | None) -> None:
    """Print the script with which SHELL completes subcommands, options, suites, kinds and registered names.

    Without SHELL, print the line to put into the start-up file of each shell.
    """
    from click.shell_completion import get_completion_class

    if shell is None:
        for line in SHELLS.values():
            click.echo(line)
        return
    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(click.get_current_context().find_root().command, {}, "tmi", "_TMI_COMPLETE").source())


def names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a component; its kind is the argument before it."""
    return _names(context, context.params.get("kind") or "", incomplete)


def names_of(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return what completes the name of a component of a kind."""
    return lambda context, _parameter, incomplete: _names(context, kind, incomplete)


def suites(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str | CompletionItem]:
    """Complete a suite: a registered name, or a TOML file of the folder; a path is left to the shell."""
    from click.shell_completion import CompletionItem

    files = [] if "/" in incomplete else sorted(file.name for file in Path().glob("*.toml"))
    found = [*_names(context, "suite", incomplete), *(file for file in files if file.startswith(incomplete))]
    return [*found] or [CompletionItem(incomplete, type="file")]


def _names(context: click.Context, kind: str, incomplete: str) -> list[str]:
    """Return the names that begin with a text; none where the plug-ins cannot be loaded, for a message would break the line."""
    from tmi.plugins.host import load
    from tmi.plugins.registry import Registry

    plugins: Any = context.params.get("plugins") or ()
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing), redirect_stderr(nothing):  # noqa: PTH123
        try:
            known = Registry(load(plugins)).names(kind)
        except Exception:  # a --plugin that cannot be imported, or a kind that is not one
            return []
    return [name for name in known if name.startswith(incomplete)]


suite_argument = click.argument("suite", shell_complete=suites)
