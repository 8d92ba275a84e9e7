"""Writes the report of a run: sections in one HTML page that needs no other file and no network connection."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from tmi.errors import PluginError, StoreError, TmiError
from tmi.hashing import digest
from tmi.plugins.fingerprint import versions
from tmi.runtime.paths import absolute, shown

from .html import Section

if TYPE_CHECKING:
    from tmi.plugins.component import Component
    from tmi.runs.results import Results

NAME = "index.html"


def write(results: Results, folder: str | Path) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    results : Results
        The registered report that its suite names writes the first sections; every report ends with the failures, a table of all
        metrics and their provenance.
    folder : str or Path
        Created if it does not exist.

    Returns
    -------
    Path
        Of the page. A page that was made from the same results by the same code is not written again.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    folder = absolute(folder)
    path = folder / NAME
    writer = _writer(results)
    mark = f'<meta name="tmi-digest" content="{_digest(results, writer)}">'
    try:
        if path.is_file() and mark.encode() in path.read_bytes()[:2000]:
            return path
    except OSError as error:
        raise StoreError(f"report {shown(path)}: cannot be read ({error.strerror or error})") from error
    from . import explorer
    from . import sections as standard
    from .html import page

    sections = _first(writer, results) if writer else [standard.summary(results)]
    sections += [*filter(None, [explorer.section(results)]), *standard.sections(results)]
    text = page(title=results.name, description=results.description, mark=mark, sections=sections)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"report {shown(path)}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def _writer(results: Results) -> Component | None:
    from tmi.plugins.registry import installed

    if results.report is None:
        return None
    registry = results.registry or installed()
    return registry.find("report", results.report)


def _first(writer: Component, results: Results) -> list[Section]:
    try:
        return list(writer.function(results))
    except TmiError:
        raise
    except Exception as error:
        where = f"report {writer.name!r} of plug-in {writer.plugin.name}"
        raise PluginError(f"{where}: failed ({type(error).__name__}: {error})") from error


def _digest(results: Results, writer: Component | None) -> str:
    """Hash what the page is made from: the results, the code of tmi and of the report plug-in, and the libraries that draw."""
    core = Path(__file__).parents[1]
    # The bytes of all of tmi: whatever aggregates, formats or draws counts, and hashing a megabyte takes milliseconds.
    files = sorted(file for file in core.rglob("*") if file.suffix in (".py", ".j2", ".js", ".css"))
    code = [[file.relative_to(core).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()] for file in files]
    return digest(
        {
            # A result that is computed again keeps its key, but may differ in its last digits.
            "results": [[str(e), e.status, e.key, e.message, e.metrics, e.notes, e.record.get("finished")] for e in results],
            "text": [results.name, results.description],
            "code": code,
            "libraries": {**versions(), "matplotlib": metadata.version("matplotlib")},
            "writer": writer.fingerprint() if writer else None,
        }
    )
