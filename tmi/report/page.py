"""Writes the report of a run: sections in one HTML page that needs no other file and no network connection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from tmi.errors import PluginError, StoreError, TmiError
from tmi.hashing import digest
from tmi.plugins.fingerprint import versions
from tmi.runtime.paths import absolute, shown

from .html import Section, paragraph, write_page

if TYPE_CHECKING:
    from tmi.plugins.component import Component
    from tmi.runs.results import Results

NAME = "index.html"

PAGE = 5_500_000
"""Characters that a page may have before its explorer leaves networks out."""


def write(results: Results, folder: str | Path) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    results : Results
        The first sections are those of the registered report that its suite names, and of the reports that write about a probe of
        the suite (`tmi.report.for_probes`). Where the suite names none, a summary comes before them, and the swept settings are
        drawn after them. Every page ends with failures, a table of all metrics, how to reproduce them, and provenance.
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
    writers = _writers(results)
    mark = f'<meta name="tmi-digest" content="{_digest(results, writers)}">'
    try:
        if path.is_file() and mark.encode() in path.read_bytes()[:2000]:
            return path
    except OSError as error:
        raise StoreError(f"report {shown(path)}: cannot be read ({error.strerror or error})") from error
    from .html import page

    text = page(title=results.name, description=results.description, mark=mark, sections=_sections(results, writers))
    write_page(path, text, "report")
    return path


def _writers(results: Results) -> list[Component]:
    """Return the report that the suite names, and those that write about a probe of the suite."""
    from tmi.plugins.registry import installed

    registry = results.registry or installed()
    used = {entry.registered_probe for entry in results}
    writers = [] if results.report is None else [registry.find("report", results.report)]
    for name in registry.names("report"):
        writer = registry.find("report", name)
        if writer not in writers and _names_one(writer, used) and _probes(writer) & used:
            writers.append(writer)
    return writers


def _names_one(writer: Component, probes: set[str]) -> bool:
    """Return whether a report may be about one of these probes, by its file: importing all takes longer than a warm run."""
    if writer.source_file is None:
        return True
    with suppress(OSError):
        text = writer.source_file.read_text(encoding="utf-8", errors="replace")
        return "for_probes" in text and any(probe in text for probe in probes)
    return False


def _probes(writer: Component) -> set[str]:
    """Return the registered probes that a report writes about without being named."""
    try:
        return set(getattr(writer.function, "tmi_probes", ()))
    except PluginError:  # its code is missing or broken, which is said where a suite names it
        return set()


def _sections(results: Results, writers: Sequence[Component]) -> list[Section]:
    from . import explorer
    from . import sections as standard
    from .summary import summary
    from .sweep_sections import sweeps

    first = [] if results.report else [summary(results)]
    written = [section for writer in writers for section in _written(writer, results)]
    about = set().union(*map(_probes, writers))
    own = {entry.probe for entry in results if entry.registered_probe in about}
    drawn = [] if results.report else sweeps(results, without=own)
    last = standard.sections(results)
    live = explorer.section(results, PAGE - sum(len(section.html) for section in (*first, *written, *drawn, *last)))
    return [*first, *written, *drawn, *([live] if live else []), *last]


def _written(writer: Component, results: Results) -> list[Section]:
    where = f"report {writer.name!r} of plug-in {writer.plugin.name}"
    try:
        found = list(writer.function(results))
    except TmiError:
        raise
    except Exception as error:
        raise PluginError(f"{where}: failed ({type(error).__name__}: {error})") from error
    return found or [Section("", paragraph(f"The {where} found no result that it can write about."))]


def _digest(results: Results, writers: Sequence[Component]) -> str:
    """Hash what the page is made from: the results, the code of tmi and of the report plug-ins, and the libraries that draw."""
    core = Path(__file__).parents[1]
    # The bytes of all of tmi: whatever aggregates, formats or draws counts, and hashing a megabyte takes milliseconds.
    files = sorted(file for file in core.rglob("*") if file.suffix in (".py", ".j2", ".css", ".js"))
    code = [[file.relative_to(core).as_posix(), hashlib.sha256(file.read_bytes()).hexdigest()] for file in files]
    return digest(
        {
            # A result that is computed again keeps its key, but may differ in its last digits.
            "results": [[str(e), e.status, e.key, e.message, e.metrics, e.notes, e.record.get("finished")] for e in results],
            "text": [results.name, results.description, results.source],
            "code": code,
            "libraries": {**versions(), "matplotlib": metadata.version("matplotlib")},
            "writers": [writer.fingerprint() for writer in writers],
        }
    )
