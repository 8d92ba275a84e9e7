"""Puts sections together into one HTML page that needs no other file and no network."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tmi.errors import PluginError, StoreError, TmiError
from tmi.hashing import digest
from tmi.plugins import fingerprint

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
        The registered report that its suite names gives the first sections; every report ends with the failures, a table of all
        metrics and where the numbers came from.
    folder : str or Path
        Made where it is missing.

    Returns
    -------
    Path
        Of the page. A page that was made from the same results by the same code is left as it is.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    folder = Path(folder)
    path = folder / NAME
    writer = _writer(results)
    mark = f'<meta name="tmi-digest" content="{_digest(results, writer)}">'
    try:
        if path.is_file() and mark.encode() in path.read_bytes()[:2000]:
            return path
    except OSError as error:
        raise StoreError(f"report {path}: cannot be read ({error.strerror or error})") from error
    from . import sections as standard
    from .html import page

    sections = _first(writer, results) if writer else [standard.summary(results)]
    sections += standard.sections(results)
    text = page(title=results.name, description=results.description, mark=mark, sections=sections)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"report {path}: cannot be written ({error.strerror or error})") from error
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
    """What the page is made from: the results by key, and the code that draws them."""
    here = Path(__file__).parent
    return digest(
        {
            # A result that is computed again keeps its key, but may differ in its last digits.
            "results": [[str(e), e.status, e.key, e.message, e.metrics, e.record.get("finished")] for e in results],
            "text": [results.name, results.description, (here / "page.html.j2").read_text(encoding="utf-8")],
            "code": [fingerprint.tree_digest(file) for file in sorted(here.glob("*.py"))],
            "writer": writer.fingerprint() if writer else None,
        }
    )
