"""``tmi explore``: a page in which a reader moves a tile and sees what networks make of the image."""

from __future__ import annotations

from pathlib import Path

import click

from tmi.runtime.paths import shown

from .common import UserPath, check_file, plugin_option, registry_of, store_option, warn


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="SUITE | NETWORK...")
@click.option(
    "--data",
    "--dataset",
    metavar="NAME",
    help='A data set of SUITE [default: its first], or for NETWORK a registered one, as "fashion(tiles_per_class=3)" '
    "[default: fashion].",
)
@click.option("--network", "networks", multiple=True, metavar="PATTERN", help="Networks of the suite, as 'trained*'; repeatable.")
@click.option("--seed", type=click.IntRange(0), help="The seed [default: the suite's first, or 0].")
@click.option("--out", type=UserPath(), metavar="FILE", help="The page, or a folder for it [default: explorer.html].")
@store_option
@plugin_option
@click.pass_context
def explore(
    context: click.Context,
    what: tuple[str, ...],
    data: str | None,
    networks: tuple[str, ...],
    seed: int | None,
    out: str | None,
    store: str | None,
    plugins: tuple[str, ...],
) -> None:
    """Write a page that computes networks in the browser, and print its path; it needs no server and no network connection.

    SUITE is a registered suite or a TOML file: its networks on one of its data sets, from the store where it has them. NETWORK is
    a registered network, with settings in brackets or without, such as theorem1 superposed "cnn(filters=4)". Nothing is written
    to the store.
    """
    registry = registry_of(plugins)
    is_suite = len(what) == 1 and (what[0].endswith(".toml") or what[0] in registry.names("suite"))
    if networks and not is_suite:
        context.fail("--network chooses networks of SUITE; here they are named as arguments")
    file = Path(out) if out else Path("explorer.html").absolute()
    if file.is_dir():
        file /= "explorer.html"
    check_file(file)
    from tmi.report.explorer.page import write
    from tmi.report.explorer.sources import from_names, from_suite

    if is_suite:
        from tmi.store.store import Store
        from tmi.suites.reader import load_suite

        suite = load_suite(what[0], plugins=plugins, registry=registry)
        source = from_suite(suite, Store(store), dataset=data, networks=networks, seed=seed)
        title = f"{suite.name}, {source.data.label}"
    else:
        source = from_names(registry, what, data or "fashion", seed=seed or 0)
        title = f"{', '.join(what)} on {source.data.label.partition('(')[0]}"
    for name, why in write([source], file, title=title):
        warn(f"{name} is not in the page: {why}")
    click.echo(shown(file))
