"""``tmi new``: a package for a plug-in of one's own, which works as it is written."""

from __future__ import annotations

import builtins
import importlib.util
import keyword
import os
import re
import shutil
import tempfile
from pathlib import Path

import click

from tmi.errors import InputError
from tmi.runtime.paths import absolute, shown

from .common import Kind, UserPath, registry_of

KINDS = ("dataset", "network", "probe", "method", "measure")
"""The kinds that have a template."""

TEMPLATES = Path(__file__).parent / "templates"
"""A folder for each kind, and one for the files that all have; in them the name is ``demo-name``, or ``demo_name`` in code."""

_TAKEN = {"tmi", "torch", "numpy", "np", "pytest", "testing", *dir(builtins), *keyword.kwlist, *keyword.softkwlist}
"""Words that a function of the template cannot be called."""


@click.command()
@click.argument("kind", type=Kind(KINDS))
@click.argument("name")
@click.option(
    "--dir", "folder", type=UserPath(), default=".", metavar="DIR", help="Where the package's folder is made [default: .]."
)
def new(kind: str, name: str, folder: str) -> None:
    """Write a package with a KIND called NAME: its code, its tests, a suite that uses it, and a README."""
    check_name(kind, name)
    path = write_package(kind, name, absolute(folder) / name)
    click.echo(f"{shown(path)}: a package with the {kind} {name}")
    for file in sorted(path.iterdir()):
        click.echo(f"  {file.name}")
    click.echo(f"next: cd {shown(path)} && pip install -e . && pytest && tmi run {name}.toml")


def check_name(kind: str, name: str) -> None:
    """Refuse a name that cannot be registered, or that is taken.

    Raises
    ------
    InputError
        The message says why, and suggests another name where there is one near.
    """
    word = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()).strip("-0123456789")
    if name.replace("-", "_") in _TAKEN:
        raise InputError(f'name {name!r}: is a word of Python, or of the new code; did you mean "{name}-{kind}"?')
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        hint = f'; did you mean "{word}"?' if word else f', as in "my-{kind}"'
        raise InputError(f"name {name!r}: expected words of small letters and digits, joined by hyphens{hint}")
    registry = registry_of(())
    if name in registry.names(kind):
        owner = registry.find(kind, name).plugin
        raise InputError(f"name {name!r}: plug-in {owner.name} [{owner.origin}] has a {kind} of this name; choose another")
    module = module_of(name)
    if importlib.util.find_spec(module) is not None:
        raise InputError(f"name {name!r}: there is a package {module}, which the new one would hide; choose another")


def module_of(name: str) -> str:
    """Return the module of the package for a name: ``"tmi_mean_margin"`` for ``"mean-margin"``."""
    return f"tmi_{name.replace('-', '_')}"


def write_package(kind: str, name: str, path: Path) -> Path:
    """Write the package, all of it or nothing.

    Parameters
    ----------
    kind, name : str
        As `check_name` takes them.
    path : Path
        Its folder, which must not exist.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If the folder exists, or cannot be made.
    """
    if path.exists() or path.is_symlink():
        raise InputError(f"{shown(path)}: exists already; choose another name, or another place with --dir")
    if not path.parent.is_dir():
        raise InputError(f"{shown(path.parent)}: there is no such folder")
    try:
        unfinished = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=path.parent))
    except OSError as error:
        raise InputError(f"{shown(path.parent)}: cannot be written to ({error.strerror or error})") from None
    try:
        for template in sorted((*(TEMPLATES / "package").iterdir(), *(TEMPLATES / kind).iterdir())):
            if template.is_file():
                text = _filled(template.read_text(encoding="utf-8"), kind, name)
                (unfinished / _filled(template.name, kind, name)).write_text(text, encoding="utf-8")
        unfinished.chmod(0o777 & ~_umask())
        unfinished.rename(path)
    except OSError as error:
        raise InputError(f"{shown(path)}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return path


def _filled(text: str, kind: str, name: str) -> str:
    code = (TEMPLATES / kind / "tmi_demo_name.py").read_text(encoding="utf-8")
    summary = re.search(r'^def demo_name.*?"""(.*?)\n', code, re.M | re.S)
    assert summary is not None
    first = summary[1].removesuffix('"""')
    values = {"SUMMARY": first, "KIND": kind, "demo_name": name.replace("-", "_"), "demo-name": name}
    for word, value in values.items():
        text = text.replace(word, value)
    return text


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
