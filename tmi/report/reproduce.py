"""The section that says how the numbers of a page are computed again: command, suite, seeds, versions, store."""

from __future__ import annotations

import shlex
import tomllib
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tmi.plugins.component import OWN, suite_file
from tmi.runtime.formatting import format_count
from tmi.runtime.paths import absolute, shown

from .html import Section, code, paragraph, table

if TYPE_CHECKING:
    from tmi.runs.results import Entry, Results


def reproduce(results: Results) -> Section:
    """Return the commands that compute the results again, and what they need."""
    recorded = [entry for entry in results if entry.record]
    name = _suite(results)
    plugins = "".join(f" --plugin {shlex.quote(shown(file))}" for file in _plugins(results))
    store = shown(results.store.folder) if results.store is not None else "tmi-store"
    text = code(
        f"pip install {' '.join(_packages(recorded)) or OWN}\n"
        f"tmi run {name or 'SUITE.toml'} --store {shlex.quote(store)}{plugins} --report report"
    )
    if not name:
        text = paragraph("The suite came from Python and has no file; write it into one, here SUITE.toml.") + text
    seeds = sorted({entry.seed for entry in results})
    rows: list[tuple[str, str]] = [
        ("suite", f"{results.name}, {format_count(len(results), 'cell')}"),
        ("seeds", _ranges(seeds)),
        ("store", f"{store}: the same command takes from it what is there, and computes the rest"),
    ]
    rows += [(f"version of {what}", said) for what, said in _versions(recorded).items()]
    rows += [("git revision of " + what, said) for what, said in _said(recorded, "git").items()]
    about = (
        "The same seeds and versions give the same numbers, bit for bit with the same number of threads on the same kind of "
        "processor. A version that the package index does not have is installed from its repository: pip install . there."
    )
    return Section("How to reproduce", text + paragraph(about) + table(("what", "here"), rows))


def _suite(results: Results) -> str:
    """Return how the command names the suite: a registered name, or the path of its file; empty where it has neither."""
    registry, source = results.registry, results.source
    if registry is None or registry.folder is None or not source.endswith(".toml"):
        return ""
    path = registry.folder / source
    if results.name in registry.names("suite") and suite_file(registry.find("suite", results.name)) == path:
        return results.name
    return shlex.quote(shown(path))


def _plugins(results: Results) -> list[Path]:
    """Return the plug-in files that the suite does not name itself."""
    registry = results.registry
    if registry is None or registry.folder is None:
        return []
    named: list[str] = []
    with suppress(OSError, ValueError):
        named = tomllib.loads((registry.folder / results.source).read_text(encoding="utf-8")).get("plugins", [])
    own = [absolute(file, registry.folder).resolve() for file in named]
    return [file for file in registry.files if file not in own]


def _packages(recorded: Iterable[Entry]) -> list[str]:
    """Return the distributions of the plug-ins with their versions, tmi first; files are no distributions."""
    origins = Counter(
        made["origin"] for entry in recorded for kind in ("dataset", "network", "probe") if (made := entry.record.get(kind))
    )
    named = [origin.split() for origin in origins if len(origin.split()) == 2 and "/" not in origin]
    return [f"{package}=={version}" for package, version in sorted(named, key=lambda pair: (pair[0] != OWN, pair))]


def _versions(recorded: Iterable[Entry]) -> dict[str, str]:
    versions: dict[str, set[str]] = {}
    for entry in recorded:
        for what, version in {"tmi": entry.record.get("tmi"), **entry.record.get("versions", {})}.items():
            if version:
                versions.setdefault(what, set()).add(str(version))
    return {what: ", ".join(sorted(found)) for what, found in versions.items()}


def _said(recorded: Iterable[Entry], what: str) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for entry in recorded:
        for name, value in entry.record.get(what, {}).items():
            found.setdefault(name, set()).add(str(value))
    return {name: ", ".join(sorted(values)) for name, values in found.items()}


def _ranges(numbers: list[int]) -> str:
    """Write numbers with runs of at least three as ranges: ``"0 to 4, 7"``."""
    parts: list[str] = []
    start = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            run = numbers[start:place]
            parts += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run)
            start = place
    return ", ".join(parts)
