"""The page of the explorer, and the explorer as a section of a report: no file beside it, and no network connection."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmi.errors import InputError
from tmi.report.html import Section, paragraph, write_page
from tmi.runtime.paths import absolute

from .payload import world
from .sources import Source, from_results

if TYPE_CHECKING:
    from tmi.runs.results import Results

PAGE = 5_500_000
"""Characters that a page of its own may take."""

SECTION = 2_500_000
"""Characters that the explorer may take in a report."""

_FOLDER = Path(__file__).parent
_PROGRAMS = ("network.js", "pictures.js", "neuron.js", "explorer.js")


def write(sources: Sequence[Source], path: str | Path, *, title: str) -> list[tuple[str, str]]:
    """Write a page with an explorer.

    Parameters
    ----------
    sources : sequence of Source
    path : str or Path
        The file; its folder is made if it does not exist.
    title : str

    Returns
    -------
    list of (str, str)
        The networks that are left out, each with the reason.

    Raises
    ------
    InputError
        If the tiles of a data set are not known, or no network can be shown.
    StoreError
        If the file cannot be written. An older file stays as it was whenever there is an error.
    """
    import jinja2

    worlds = _worlds(sources, PAGE)
    left_out = [(one["name"], one["why"]) for shown_world in worlds for one in shown_world["left_out"]]
    if not any(one["networks"] for one in worlds):
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out)
        raise InputError(f"explorer: no network can be shown ({reasons})")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True, undefined=jinja2.StrictUndefined)
    text = environment.get_template("explorer.html.j2").render(title=title, body=fragment(worlds))
    file = absolute(path)
    write_page(file, text, "explorer")
    return left_out


def section(results: Results, room: int) -> Section | None:
    """Return the explorer of a report, with what the store has or is quickly made.

    Parameters
    ----------
    results : Results
    room : int
        Characters that the page has left for it; it takes at most `SECTION`.

    Returns
    -------
    Section or None
        None where no data set of the suite has tiles and a constructed network, and with a warning where they cannot be made.
    """
    worlds: list[dict[str, Any]] = []
    try:
        worlds = [one for one in _worlds(from_results(results), min(room, SECTION)) if one["networks"]]
    except Exception as error:  # generators and builders may raise anything, and a report is worth more than its explorer
        warnings.warn(f"report: the explorer is left out ({type(error).__name__}: {error})", stacklevel=2)
    if not worlds:
        return None
    text = (
        "Move the tile over the background, morph it, and see what each network makes of the image. All is computed in the page."
    )
    if not any(network["origin"] == "trained" for one in worlds for network in one["networks"]):
        text += " Trained networks are here if the store has them; tmi explore SUITE trains what it lacks."
    return Section("Explorer", paragraph(text) + fragment(worlds))


def fragment(worlds: Sequence[dict[str, Any]]) -> str:
    """Return the explorer as HTML with its style, its program and its data."""
    data = json.dumps(worlds, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    style, *programs = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("explorer.css", *_PROGRAMS))
    return (
        f'<style>{style}</style><div class="tmi-explorer"><noscript><p>The explorer needs JavaScript.</p></noscript></div>'
        f'<script type="application/json" class="tmi-explorer-data">{data}</script>'
        f"<script>{''.join(programs)}</script>"
        '<p class="tmi-on-paper">It works in a browser and is not printed.</p>'
    )


def _worlds(sources: Sequence[Source], room: int) -> list[dict[str, Any]]:
    """Return data sets with their networks; those with the largest images first, for they show most."""
    worlds: list[dict[str, Any]] = []
    for source in sources:
        data = source.dataset()
        networks, failed = source.build(data)
        made = world(data, networks, room // (len(sources) - len(worlds)), failed)
        room -= len(json.dumps(made))
        worlds.append(made | {"name": source.data.label, "seed": source.seed})
    return sorted(worlds, key=lambda one: -one["shape"][1] * one["shape"][2])
