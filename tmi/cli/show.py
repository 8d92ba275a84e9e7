"""``tmi list``, ``tmi describe`` and ``tmi check``: what is registered, what it does, and whether a suite or plug-in is sound."""

from __future__ import annotations

import click

from tmi.errors import SuiteError

from .common import KINDS, plugin_option, registry_of


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(KINDS))
@plugin_option
def list_(kind: str | None, plugins: tuple[str, ...]) -> None:
    """List what is registered: data sets, networks, probes, attribution methods and measures, suites and reports, or one KIND."""
    registry = registry_of(plugins)
    for listed in [kind] if kind else KINDS:
        components = [registry.find(listed, name) for name in registry.names(listed)]
        if not kind:
            click.secho(f"{listed}s", bold=True)
        width = max((len(component.name) for component in components), default=0)
        for component in components:
            owner = "" if component.plugin.origin.startswith("tmi-interp ") else f" [{component.plugin.origin}]"
            click.echo(f"  {component.name:<{width}}  {component.summary()}{owner}".rstrip())


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@plugin_option
def describe(kind: str, name: str, plugins: tuple[str, ...]) -> None:
    """Say what the KIND called NAME does, with its parameters, their types, defaults and meanings."""
    click.echo(registry_of(plugins).describe(kind, name))


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
