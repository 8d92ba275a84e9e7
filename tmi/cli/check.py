"""``tmi check``: whether a suite or a plug-in is sound, and with ``--try`` what each function does on a few images."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from tmi.errors import SuiteError, TmiError
from tmi.runtime.formatting import format_count

from .common import plugin_option, registry_of
from .completion import suites
from .reasons import NOTES

if TYPE_CHECKING:
    from tmi.plugins.registry import Registry
    from tmi.suites.suite import Suite
    from tmi.testing import Outcome, PluginCheck
    from tmi.testing.outcomes import Status


@click.command()
@click.argument("what", metavar="SUITE|PLUGIN", shell_complete=suites)
@click.option("--try", "is_tried", is_flag=True, help="Also run each probe or function on a few images, and say what came of it.")
@plugin_option
def check(what: str, is_tried: bool, plugins: tuple[str, ...]) -> None:
    """Check a suite without running it, or a plug-in: a file (.py), an installed package, or its folder.

    Every function of a plug-in is called on tiny data, to find out whether it gives the same for the same seed, changes what it
    may not, reads files that its key does not cover, gives the declared shapes and ranges, and needs little memory.
    """
    registry = registry_of(plugins)
    if _is_plugin(what, registry):
        _check_plugin(what, is_tried)
        return
    from tmi.suites.plan import make_plan
    from tmi.suites.reader import load_suite

    suite = load_suite(what, plugins=plugins, registry=registry)
    click.echo(f"{what}: ok, {format_count(len(make_plan(suite)), 'cell')}")
    if is_tried and not _try_suite(suite):
        sys.exit(1)


def _is_plugin(what: str, registry: Registry) -> bool:
    from tmi.testing.plugins import has_plugin

    if what.endswith(".py") or Path(what).is_dir():
        return True
    return what not in registry.names("suite") and not Path(what).is_file() and has_plugin(registry, what)


def _check_plugin(what: str, is_tried: bool) -> None:
    from tmi.testing import check_plugin

    found = check_plugin(what, must_run=is_tried)
    problems = [*found.problems, *_problems_of_suites(found)]
    if problems:
        raise SuiteError(problems)
    click.echo(f"{what}: ok, registers {', '.join(found.names)}")
    for remark in found.remarks:
        click.echo(f"  {remark}")
    if is_tried:
        for trial in found.trials:
            if trial.answered:
                click.echo(f"  {trial}: {trial.first.seconds:.2f} s, {_shown(trial.component.kind, trial.first)}")


def _problems_of_suites(found: PluginCheck) -> list[str]:
    """Return what is wrong in the suites that a plug-in registers."""
    from tmi.plugins.component import suite_file
    from tmi.suites.reader import load_suite

    problems = []
    for trial in found.trials:
        if trial.component.kind == "suite":
            try:
                load_suite(suite_file(trial.component), registry=trial.registry)
            except SuiteError as error:
                problems += [f"{trial}: {problem}" for problem in error.problems]
            except TmiError:  # the checks of the plug-in report a missing file
                pass
    return problems


def _shown(kind: str, call: Any) -> str:
    """Describe in a few words what a function returned."""
    if kind == "background":
        return f"images of shape {tuple(call.product.shape[1:])}"
    if kind == "network":
        return repr(call.product[0])
    if kind in ("method", "measure"):
        result = call.inner[0].result
        low, high = float(result.min()), float(result.max())
        return f"{'maps' if kind == 'method' else 'scores'} of shape {tuple(result.shape)}, from {low:.3g} to {high:.3g}"
    return repr(call.product)


def _try_suite(suite: Suite) -> bool:
    """Print what came of each probe on each network, a table a data set; return whether none of them fails."""
    from tmi.runs.preflight import preflight

    fails = False
    for dataset, pairs in groupby(preflight(suite), key=lambda pair: pair[0][0]):
        columns: dict[str, dict[str, Outcome]] = {}
        for (_, network), outcomes in pairs:
            click.echo(f"  tried on {dataset} / {network}: {format_count(len(outcomes), 'probe')}", err=True)
            columns[network] = {outcome.name: _with_notes(outcome) for outcome in outcomes}
        _print_outcomes(dataset, columns)
        fails |= any(outcome.status == "fails" for outcomes in columns.values() for outcome in outcomes.values())
    return not fails


def _print_outcomes(dataset: str, columns: dict[str, dict[str, Outcome]]) -> None:
    """Print the outcomes on a data set by network and probe, and below them each reason once."""
    names = list(dict.fromkeys(name for outcomes in columns.values() for name in outcomes))
    table = [[dataset, *columns]]
    table += [[name, *(column[name].status if name in column else "" for column in columns.values())] for name in names]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        click.echo("  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip())
    reasons: dict[str, list[str]] = {}
    for network, outcomes in columns.items():
        for outcome in outcomes.values():
            if outcome.status != "runs":
                reasons.setdefault(str(outcome), []).append(network)
    for reason, networks in reasons.items():
        click.echo(f"{reason} [{', '.join(networks)}]")


def _with_notes(outcome: Outcome) -> Outcome:
    """Return an outcome that is not called a run where a note says that the method was refused, or why it has no score."""
    what = next((what for what in NOTES if outcome.status == "runs" and outcome.reason.startswith(what)), None)
    if what is None:
        return outcome
    return replace(outcome, status=cast("Status", what), reason=outcome.reason.removeprefix(what).lstrip(":, "))
