"""``tmi check``: whether a suite or plug-in is sound."""

from __future__ import annotations

import click

from tmi.errors import SuiteError

from .common import plugin_option, registry_of


@click.command()
@click.argument("what", metavar="SUITE|PLUGIN")
@plugin_option
def check(what: str, plugins: tuple[str, ...]) -> None:
    """Check a suite without running it, or a plug-in file (.py) on tiny data, and name everything that is wrong."""
    from tmi.suites.plan import make_plan
    from tmi.suites.reader import load_suite
    from tmi.testing import check_plugin

    if what.endswith(".py"):
        problems, names = check_plugin(what)
        if problems:
            raise SuiteError(problems)
        click.echo(f"{what}: ok, registers {', '.join(names)}")
        return
    suite = load_suite(what, plugins=plugins, registry=registry_of(plugins))
    plan = make_plan(suite)
    click.echo(f"{what}: ok, {len(plan)} cells")
