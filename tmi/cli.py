"""The command ``tmi``. Exit code 0: all well; 1: some cells failed, the others are kept; 2: the suite or the call is wrong.

Help, lists and completion import nothing heavy; each command imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from .cli_store import store as store_commands
from .errors import InputError, SuiteError, TmiError, UnknownNameError

if TYPE_CHECKING:
    from .registry import Registry
    from .results import Results

KINDS = ("dataset", "network", "probe", "method", "measure", "suite", "report")


class _Group(click.Group):
    """Turns a user's mistake into one line and exit code 2."""

    def invoke(self, context: click.Context) -> Any:
        import gc
        import warnings

        gc.set_threshold(100_000)  # a plan is many small objects, none of them garbage
        try:
            with warnings.catch_warnings():
                # One line each, and not the line of our source that gave it.
                warnings.showwarning = lambda message, *_rest, **_more: _warn(str(message))
                return super().invoke(context)
        except SuiteError as error:
            _complain(error.problems)
        except TmiError as error:
            _complain([str(error)])
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            sys.exit(130)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader has had enough, as in tmi list | head
                raise
            _complain([f"{error.filename or 'file'}: {error.strerror or error}"])
        sys.exit(2)

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        from .errors import did_you_mean

        try:
            return super().resolve_command(context, args)
        except click.UsageError:
            context.fail(f"no such command {args[0]!r}{did_you_mean(args[0], self.commands)}")


def _warn(text: str) -> None:
    click.echo(f"{click.style('warning:', fg='yellow')} {' '.join(text.split())}", err=True)


def _complain(lines: Sequence[str]) -> None:
    for line in lines:
        click.echo(f"{click.style('error:', fg='red')} {' '.join(line.split())}", err=True)


_plugin = click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(), metavar="FILE", help="A Python file with plug-ins; repeatable."
)
_store = click.option("--store", type=click.Path(), metavar="DIR", help="The store, a folder [default: $TMI_STORE or tmi-store].")
_only = click.option(
    "--only", multiple=True, metavar="PATTERN", help="Only the cells whose name, dataset/network/probe, fits; repeatable."
)
_json = click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write all rows as a JSON list.")
_report = click.option("--report", "report_dir", type=click.Path(), metavar="DIR", help="Write an HTML report into DIR.")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tmi")
def main() -> None:
    """Probe networks whose every neuron is understood beside trained ones."""


@main.command()
@click.argument("suite")
@_store
@_plugin
@_only
@_json
@_report
@click.option("--dry-run", is_flag=True, help="Say what would be computed, what is in the store, and what it would take.")
@click.option("--workers", type=int, default=1, metavar="N", help="Processes that compute [default: 1].")
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers compute, as tcp://10.0.0.1:8786.")
@click.option("--threads", type=int, metavar="N", help="Threads of each process.")
@click.option("--memory", metavar="SIZE", help='What one of several workers may take, as "4 GB".')
@click.option("--timeout", type=float, metavar="SECONDS", help="What a data set, a network or a probe may take.")
@click.option("--attempts", type=int, default=2, metavar="N", help="Tries of a cell that ends its worker [default: 2].")
@click.option(
    "--keep",
    type=click.Choice(["all", "networks", "results"]),
    default="all",
    show_default=True,
    help="What is stored: less takes less space, and what is not stored is made again.",
)
@click.option("--fail-fast", is_flag=True, help="Begin nothing new once a cell failed.")
@click.option("--retry-failed", is_flag=True, help="Compute only the cells that failed when they were last tried.")
def run(
    suite: str,
    store: str | None,
    plugins: tuple[str, ...],
    only: tuple[str, ...],
    json_file: str | None,
    report_dir: str | None,
    dry_run: bool,
    workers: int,
    **how: Any,
) -> None:
    """Run SUITE, a registered name or a TOML file; what is in the store is not computed again."""
    import time

    from .display import Lines
    from .runner import collect, estimate
    from .runner import run as run_suite
    from .store import Store
    from .suite import load_suite

    begun = time.perf_counter()
    # Now, not after an hour's work.
    if json_file:
        _check_folder(Path(json_file).absolute().parent, must_exist=True)
    if report_dir:
        _check_folder(Path(report_dir).absolute(), must_exist=False)
    registry = _registry(plugins)
    loaded = load_suite(suite, plugins=plugins, registry=registry)
    if dry_run:
        results = collect(loaded, store, only=only)
        todo = results.failed if how["retry_failed"] else results.failed + results.missing
        chosen = {id(entry) for entry in todo}
        for entry in results:
            what = "compute" if id(entry) in chosen else "cached " if entry.status == "ok" else "leave  "
            click.echo(f"{what}  {entry}{', which failed before' if entry.status == 'failed' else ''}")
        there = sum(entry.status == "ok" for entry in results)
        took = f"; {estimate(loaded, Store(store), {str(e) for e in todo}, workers)}" if todo else ""
        click.echo(f"{len(results)} cells: {len(todo)} to compute, {there} in the store{took}")
        return
    watcher = None if sys.stderr.isatty() else Lines()
    try:
        results = run_suite(loaded, store, workers, only=only, watcher=watcher, **how)
    except KeyboardInterrupt:
        click.echo("stopped; what was finished is kept, and the same command goes on from there", err=True)
        sys.exit(130)
    _deliver(results, json_file, report_dir)
    cached = sum(entry.cached for entry in results)
    failed = len(results.failed)
    untried = f", {len(results.missing)} not tried" if results.missing else ""
    took = f"{time.perf_counter() - begun:.1f} s"
    click.echo(f"{results.name}: {len(results)} cells, {cached} from the store, {failed} failed{untried}, {took}")
    if failed == len(results) and all(entry.mistake for entry in results):
        raise SuiteError(list(dict.fromkeys(entry.message for entry in results)))  # nothing could be: the suite is wrong
    sys.exit(1 if failed else 0)


@main.command("list")
@click.argument("kind", required=False, type=click.Choice(KINDS))
@_plugin
def list_(kind: str | None, plugins: tuple[str, ...]) -> None:
    """List what is registered: data sets, networks, probes, attribution methods and measures, suites and reports, or one KIND."""
    registry = _registry(plugins)
    for one in [kind] if kind else KINDS:
        found = [registry.find(one, name) for name in registry.names(one)]
        if not kind:
            click.secho(f"{one}s", bold=True)
        width = max((len(c.name) for c in found), default=0)
        for c in found:
            owner = "" if c.plugin.origin.startswith("tmi-interp ") else f" [{c.plugin.origin}]"
            click.echo(f"  {c.name:<{width}}  {c.summary()}{owner}".rstrip())


@main.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@_plugin
def describe(kind: str, name: str, plugins: tuple[str, ...]) -> None:
    """Say what the KIND called NAME does, with its parameters, their types, defaults and meanings."""
    click.echo(_registry(plugins).describe(kind, name))


@main.command()
@click.argument("what", metavar="SUITE|PLUGIN")
@_plugin
def check(what: str, plugins: tuple[str, ...]) -> None:
    """Check a suite, or a plug-in file (.py), without running it; everything wrong is said at once."""
    from .plan import make_plan
    from .suite import load_suite
    from .testing import check_plugin

    if what.endswith(".py"):
        problems, names = check_plugin(what)
        if problems:
            raise SuiteError(problems)
        click.echo(f"{what}: ok, registers {', '.join(names)}")
        return
    suite = load_suite(what, plugins=plugins, registry=_registry(plugins))
    plan = make_plan(suite)
    click.echo(f"{what}: ok, {len(plan)} cells")


@main.command()
@click.argument("suite")
@_store
@_plugin
@_only
@_json
@click.option("--metric", multiple=True, metavar="NAME", help="Only these metrics; repeatable.")
@click.option("--failed", is_flag=True, help="Instead, the cells that failed when they were last tried, with their tracebacks.")
def results(
    suite: str,
    store: str | None,
    plugins: tuple[str, ...],
    only: tuple[str, ...],
    json_file: str | None,
    metric: tuple[str, ...],
    failed: bool,
) -> None:
    """Show what the store has of SUITE: mean and spread over the seeds; nothing is computed.

    SUITE may also be one file of a store (.h5).
    """
    from .errors import did_you_mean
    from .runner import collect
    from .summary import lines

    if suite.endswith(".h5"):
        from .store import read_result

        for name, value in read_result(suite).metrics.items():
            if not metric or name in metric:
                click.echo(f"{name}  {value:.6g}")
        return
    _registry(plugins)
    found = collect(suite, store, only=only, plugins=plugins)
    known = {name for entry in found for name in entry.metrics}
    for name in metric:
        if known and name not in known:
            raise UnknownNameError(f"metric {name!r} is unknown{did_you_mean(name, known)}")
    _deliver(found, json_file, None)
    if failed:
        for entry in found.failed:
            click.echo(f"{entry}: {entry.message}\n{entry.traceback}")
        return
    for line in lines(found, metric):
        click.echo(line)
    if found.failed:
        click.echo(f"{len(found.failed)} of {len(found)} cells failed; tmi results {suite} --failed says why", err=True)
    if found.missing:
        click.echo(f"{len(found.missing)} of {len(found)} cells are not in the store; tmi run {suite} computes them", err=True)


@main.command()
@click.argument("suite")
@_store
@_plugin
@click.option("--report", "report_dir", type=click.Path(), metavar="DIR", default="report", show_default=True, help="Folder.")
def report(suite: str, store: str | None, plugins: tuple[str, ...], report_dir: str) -> None:
    """Write the HTML report of SUITE from what the store has; nothing is computed."""
    from .runner import collect

    _registry(plugins)
    found = collect(suite, store, plugins=plugins)
    if len(found.missing) == len(found):
        raise InputError(f"report: the store has nothing of suite {suite!r}; tmi run {suite} --report {report_dir}")
    _deliver(found, None, report_dir)


def _registry(plugins: Sequence[str]) -> Registry:
    from .plugins import load
    from .registry import Registry

    registry = Registry(load(plugins))
    for fault in registry.faults:
        _warn(str(fault))
    return registry


def _check_folder(folder: Path, *, must_exist: bool) -> None:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if must_exist and there != folder:
        raise InputError(f"{folder}: there is no such folder")
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"{folder}: cannot be written to ({there} is no folder, or may not be written to)")


def _deliver(results: Results, json_file: str | None, report_dir: str | None) -> None:
    if json_file:
        results.to_json(json_file)
    if report_dir:
        from .report import write

        path = write(results, Path(report_dir))
        click.echo(f"report: {path}")


main.add_command(store_commands, "store")

if __name__ == "__main__":
    main()
