"""``tmi list``: what is registered."""

from __future__ import annotations

from typing import BinaryIO

import click

from .common import KINDS, Kind, list_json_option, plugin_option, registry_of, write_json


@click.command("list")
@click.argument("kind", required=False, type=Kind(KINDS))
@plugin_option
@list_json_option
def list_(kind: str | None, plugins: tuple[str, ...], json_file: str | BinaryIO | None) -> None:
    """List what is registered: data sets, networks, probes, attribution methods and measures, suites and reports, or one KIND.

    The plural of a KIND is the same: tmi list methods.
    """
    registry = registry_of(plugins)
    components = {each: [registry.find(each, name) for name in registry.names(each)] for each in ([kind] if kind else KINDS)}
    if json_file:
        listed = [component for each in components.values() for component in each]
        rows = [{"kind": c.kind, "name": c.name, "summary": c.summary(), "plugin": c.plugin.origin} for c in listed]
        write_json(rows, json_file)
        return
    for each, listed in components.items():
        if not kind:
            click.secho(f"{each}s", bold=True)
        width = max((len(component.name) for component in listed), default=0)
        for component in listed:
            owner = "" if component.plugin.origin.startswith("tmi-interp ") else f" [{component.plugin.origin}]"
            click.echo(f"  {component.name:<{width}}  {component.summary()}{owner}".rstrip())
