"""``tmi describe``: what a registered name does, with its settings."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from .common import KINDS, Kind, list_json_option, plugin_option, registry_of, write_json
from .completion import names

if TYPE_CHECKING:
    from tmi.plugins.registry import Registry


@click.command()
@click.argument("kind", type=Kind(KINDS))
@click.argument("name", shell_complete=names)
@plugin_option
@list_json_option
def describe(kind: str, name: str, plugins: tuple[str, ...], json_file: str | BinaryIO | None) -> None:
    """Say what the KIND called NAME does, with its parameters, their types, defaults and meanings.

    The meanings come from the section "Parameters" of a docstring in NumPy's style.
    """
    registry = registry_of(plugins)
    if json_file:
        write_json(_description(registry, kind, name), json_file)
    else:
        click.echo(registry.describe(kind, name))


def _description(registry: Registry, kind: str, name: str) -> dict[str, Any]:
    """Return what `tmi.describe` says, as JSON."""
    from tmi import params as parameters
    from tmi.plugins.component import suite_file
    from tmi.probing import attribution

    component = registry.find(kind, name)
    described = {"kind": kind, "name": name, "plugin": component.plugin.origin, "summary": component.summary()}
    if kind == "suite":
        return {**described, "file": str(suite_file(component))}
    schema = parameters.parameters(component.function, attribution.GIVEN.get(kind, parameters.GIVEN))
    return {
        **described,
        "text": inspect.getdoc(component.function) or "",
        "parameters": [
            {
                "name": p.name,
                "type": p.type_text,
                "required": p.required,
                "default": None if p.required else _json(p.default),
                "text": p.text,
            }
            for p in schema.values()
        ],
    }


def _json(value: Any) -> Any:
    """Return a default as JSON; a path, and whatever else has no form there, as text."""
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _json(each) for name, each in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
