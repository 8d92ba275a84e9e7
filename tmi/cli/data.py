"""``tmi data``: the generators of data sets with their files, and a picture of what they generate."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from tmi.errors import DataFileError, InputError
from tmi.runtime.paths import shown

from .common import Group, UserPath, check_file, list_json_option, plugin_option, registry_of, write_json
from .completion import names_of

if TYPE_CHECKING:
    from tmi.plugins.data_files import DataFiles


@click.group(cls=Group)
def data() -> None:
    """List the generators of data sets and their files, download and verify these, and show what a generator makes."""


@data.command("list")
@plugin_option
@list_json_option
def list_(plugins: tuple[str, ...], json_file: str | BinaryIO | None) -> None:
    """List the generators, and where the files are that come with them."""
    from tmi.plugins.data_files import files_of

    registry = registry_of(plugins)
    components = [registry.find("dataset", name) for name in registry.names("dataset")]
    files = {component.name: [(each, each.find()) for each in files_of(component.function)] for component in components}
    if json_file:
        rows = [
            {
                "name": component.name,
                "summary": component.summary(),
                "files": [
                    {"title": each.title, "place": str(place) if place else None, "can_be_fetched": each.fetch is not None}
                    for each, place in files[component.name]
                ],
            }
            for component in components
        ]
        write_json(rows, json_file)
        return
    width = max((len(component.name) for component in components), default=0)
    for component in components:
        click.echo(f"  {component.name:<{width}}  {component.summary()}")
        for each, place in files[component.name]:
            where = shown(place) if place else "not found" + (f"; tmi data fetch {component.name}" if each.fetch else "")
            click.echo(f"  {'':<{width}}    {each.title}: {where}")


@data.command()
@click.argument("generators", nargs=-1, metavar="[GENERATOR]...", shell_complete=names_of("dataset"))
@plugin_option
def fetch(generators: tuple[str, ...], plugins: tuple[str, ...]) -> None:
    """Download what can be downloaded for each GENERATOR, by default for all, and check it."""
    for name, files in _files(generators, plugins):
        if files.fetch is not None:
            click.echo(f"{name}: {files.title}: {files.fetch()}")
        elif generators:
            click.echo(f"{name}: {files.title}: cannot be downloaded")


@data.command()
@click.argument("generators", nargs=-1, metavar="[GENERATOR]...", shell_complete=names_of("dataset"))
@plugin_option
@list_json_option
def verify(generators: tuple[str, ...], plugins: tuple[str, ...], json_file: str | BinaryIO | None) -> None:
    """Compare the files of each GENERATOR, by default of all, with their checksums. Exit 1: one is damaged or another file."""
    rows = []
    for name, files in _files(generators, plugins):
        place = files.find()
        row = {"generator": name, "title": files.title, "place": str(place) if place else None, "problem": ""}
        rows.append(row)
        try:
            if place:
                files.check()
            if not json_file:
                click.echo(f"{name}: {files.title}: {f'{shown(place)} is ok' if place else 'not found'}")
        except DataFileError as error:
            row["problem"] = str(error)
            click.echo(f"{click.style('problem:', fg='red')} {name}: {files.title}: {error}", err=True)
    if json_file:
        write_json(rows, json_file)
    sys.exit(1 if any(row["problem"] for row in rows) else 0)


@data.command()
@click.argument("generator", shell_complete=names_of("dataset"))
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting, its value as in a suite; repeatable.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The seed.")
@click.option("--out", type=UserPath(), metavar="FILE", help="The PNG to write [default: GENERATOR.png].")
@plugin_option
def show(generator: str, settings: tuple[str, ...], seed: int, out: str | None, plugins: tuple[str, ...]) -> None:
    """Draw images of each class that GENERATOR makes, with the outline of the pixels that decide, as a PNG; print its path."""
    from tmi.report.contact_sheet import contact_sheet

    registry = registry_of(plugins)
    registry.find("dataset", generator)  # before the path is made of it
    file = Path(out) if out else Path(f"{generator}.png").absolute()
    check_file(file)
    made = registry.generate(generator, seed=seed, **dict(map(_setting, settings)))
    contact_sheet(made).savefig(file, format="png")
    click.echo(shown(file))


def _setting(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE; what is no TOML is text, so that quotes may be left out."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InputError(f"--set {text}: expected NAME=VALUE, such as samples=100")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def _files(generators: Sequence[str], plugins: Sequence[str]) -> Iterator[tuple[str, DataFiles]]:
    from tmi.plugins.data_files import files_of

    registry = registry_of(plugins)
    for component in [registry.find("dataset", name) for name in generators or registry.names("dataset")]:
        yield from ((component.name, files) for files in files_of(component.function))
