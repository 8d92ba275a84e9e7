"""``tmi list`` and ``tmi describe``: what is registered, and what it does."""

from __future__ import annotations

import click

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
