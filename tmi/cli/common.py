"""What the subcommands share: options, the registry with warnings, and the delivery of results."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from tmi.errors import InputError, SuiteError, TmiError
from tmi.runtime.colour import colour
from tmi.runtime.paths import absolute, shown

from .streams import is_stdout, replace_unwritable, rows_alone

if TYPE_CHECKING:
    from tmi.plugins.registry import Registry
    from tmi.runs.results import Results


KINDS = ("dataset", "background", "network", "probe", "method", "measure", "suite", "report")


class Group(click.Group):
    """A group of commands in which an error of the user is one line and exit code 2."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Start the command; here begins every use of it, also help, completion and errors of usage."""
        replace_unwritable()
        return super().main(*arguments, **{"color": colour(), **options})

    def invoke(self, context: click.Context) -> Any:
        """Run the subcommand; each warning and each error becomes one line."""
        import gc
        import warnings

        gc.set_threshold(100_000)  # a plan is many small objects, none of them garbage
        try:
            with warnings.catch_warnings():
                # One line each, without the source line that raised it.
                warnings.showwarning = lambda message, *_rest, **_more: warn(str(message))
                return super().invoke(context)
        except SuiteError as error:
            complain(error.problems)
        except TmiError as error:
            complain([str(error)])
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            sys.exit(130)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader closed the pipe, as in tmi list | head
                raise
            complain([f"{error.filename or 'file'}: {error.strerror or error}"])
        sys.exit(2)

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        """Find the subcommand; an unknown one is answered with the nearest name."""
        from tmi.errors import did_you_mean

        try:
            return super().resolve_command(context, args)
        except click.UsageError:
            context.fail(f"no such command {args[0]!r}{did_you_mean(args[0], self.commands)}")


def warn(text: str) -> None:
    """Print a warning as one line on standard error."""
    click.echo(f"{click.style('warning:', fg='yellow')} {' '.join(text.split())}", err=True)


def complain(lines: Sequence[str]) -> None:
    """Print errors on standard error, one line each."""
    for line in lines:
        click.echo(f"{click.style('error:', fg='red')} {' '.join(line.split())}", err=True)


if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:
    _Choice = click.Choice  # is no generic class before click 8.2


class Kind(_Choice):
    """One of several kinds; the plural, as listings have it in their headings, is the same."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Return the kind in the singular."""
        singular = value.removesuffix("s") if isinstance(value, str) else value
        return super().convert(singular if singular in self.choices else value, parameter, context)


class UserPath(click.Path):
    """A path, made absolute before any plug-in can change the working folder."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Return the absolute path as text."""
        if value == "-":
            self.fail('"-" is standard output, which takes rows alone; write ./- for a file or folder', parameter, context)
        return str(absolute(value))


class OutputFile(UserPath):
    """A file to write: a path, or standard output, given as ``-`` or ``/dev/stdout``."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Return the absolute path as text, or standard output, to which nothing else is then written."""
        if context is None or not isinstance(value, str) or not is_stdout(value):
            return super().convert(value, parameter, context)
        return context.with_resource(rows_alone())


plugin_option = click.option(
    "--plugin", "plugins", multiple=True, type=UserPath(), metavar="FILE", help="A Python file with plug-ins; repeatable."
)


store_option = click.option(
    "--store", type=UserPath(file_okay=False), metavar="DIR", help="The store, a folder [default: $TMI_STORE or tmi-store]."
)


only_option = click.option(
    "--only", multiple=True, metavar="PATTERN", help="Only the cells whose name, dataset/network/probe, fits; repeatable."
)


json_option = click.option(
    "--json", "json_file", type=OutputFile(), metavar="FILE", help="Write all rows as a JSON list; - is standard output."
)


list_json_option = click.option(
    "--json", "json_file", type=OutputFile(), metavar="FILE", help="Write the list as JSON instead; - is standard output."
)


report_option = click.option(
    "--report", "report_dir", type=UserPath(file_okay=False), metavar="DIR", help="Write an HTML report into DIR."
)


def verbosity_options(quiet: str, verbose: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds ``--quiet`` and ``--verbose``, which exclude each other, with these texts of help."""

    def exclusive(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
        if value and context.params.get("quiet" if parameter.name == "verbose" else "verbose"):
            raise click.UsageError("--quiet and --verbose exclude each other", context)
        return value

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function = click.option("-v", "--verbose", is_flag=True, callback=exclusive, help=verbose)(function)
        return click.option("-q", "--quiet", is_flag=True, callback=exclusive, help=quiet)(function)

    return decorate


def registry_of(plugins: Sequence[str]) -> Registry:
    """Return the registry with the given plug-in files, and print a warning for each plug-in that is refused."""
    from tmi.plugins.host import load
    from tmi.plugins.registry import Registry

    with chdir(absolute(".")):  # an imported file may change the working folder, and SUITE is read after it
        registry = Registry(load(plugins))
    for fault in registry.faults:
        warn(str(fault))
    return registry


def check_file(file: Path) -> None:
    """Refuse a file that cannot be written, before the work and not after it."""
    if not file.exists():
        check_folder(file.parent, must_exist=True)
        _try(file, _write_and_remove)
    elif file.is_dir():
        raise InputError(f"{shown(file)}: cannot be written to (it is a folder)")
    elif file.is_file():
        _try(file, lambda path: path.open("ab").close())
    elif not os.access(file, os.W_OK):  # a pipe or a device, which to open has an effect
        raise InputError(f"{shown(file)}: cannot be written to (no write permission)")


def check_folder(folder: Path, *, must_exist: bool, name: str = "") -> None:
    """Refuse a folder that cannot be written to, before the work and not after it.

    What is missing of the folder is made, a file is written in it, and both are removed: permissions, a full disk, a file system
    that is read only, and a name that is too long are found by trying, and in no other way.

    Parameters
    ----------
    folder : Path
    must_exist : bool
    name : str
        A file of the folder that will be written.

    Raises
    ------
    InputError
    """
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if must_exist and existing != folder:
        raise InputError(f"{shown(folder)}: there is no such folder")
    if not existing.is_dir():
        raise InputError(f"{shown(existing)}: cannot be written to (it is no folder)")
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        _try(folder, lambda path: path.mkdir(parents=True, exist_ok=True))
        _try(folder, _write_inside)
        if name:
            check_file(folder / name)
    finally:
        for parent in made:
            if parent.exists():
                parent.rmdir()


def _try(path: Path, action: Callable[[Path], object]) -> None:
    try:
        action(path)
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be written to ({error.strerror or error})") from None


_TRIAL = bytes(1 << 16)  # as a file system on a full disk still takes an empty file


def _write_and_remove(file: Path) -> None:
    with file.open("xb") as trial:
        try:
            trial.write(_TRIAL)
            trial.flush()
        finally:
            file.unlink()


def _write_inside(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as trial:
        trial.write(_TRIAL)
        trial.flush()


def write_json(value: Any, file: str | BinaryIO) -> None:
    """Write a value as JSON into a file, in UTF-8, or to standard output, in ASCII, which every terminal and reader takes."""
    text = json.dumps(value, indent=1, ensure_ascii=not isinstance(file, str)) + "\n"
    data = text.encode(errors="backslashreplace")
    if isinstance(file, str):
        Path(file).write_bytes(data)
    else:
        file.write(data)
        file.flush()


def deliver(results: Results, json_file: str | BinaryIO | None, report_dir: str | None) -> None:
    """Write the rows and the report where they are asked for."""
    if json_file:
        write_json(results.rows(), json_file)
    if report_dir:
        from tmi.report.page import write

        path = write(results, Path(report_dir))
        click.echo(f"report: {shown(path)}")
