"""The images of the paper: Figures 1, 2 and 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmi.report import Section, figure
from tmi.runtime.plotting import figure_style

from .. import figures
from ..claims.claim import at_one_tile, tiles_from
from ..figures_cutouts import figure_1
from .common import first_entry

if TYPE_CHECKING:
    import tmi


def images(results: tmi.Results) -> Section | None:
    """Draw Figures 1, 2 and 3."""
    parts = [part for part in (_figure_1(results), _figure_2(results), _figure_3(results)) if part]
    return Section("The images", "".join(parts)) if parts else None


def _figure_1(results: tmi.Results) -> str:
    entry = first_entry(results, probe="figure-1")
    if entry is None:
        return ""
    return figure(
        figure_1(results.load(entry)),
        "Tiles of two cats and two dogs, and test images that show one of them on a photograph",
        "Figure 1 of the paper, with other pictures. Left: the feature tiles of each class, of different dimensions; the "
        "support, which is what counts, is the animal, and the squares show what is transparent. Right: four images of each "
        "class, with one of its tiles at any place on a photograph.",
    )


def _figure_2(results: tmi.Results) -> str:
    entry = first_entry(results, dataset="squares", probe="examples")
    if entry is None:
        return ""
    with figure_style(ink=bool(entry.record.get("ink"))):
        drawn = figures.samples(results.load(entry), 1)
    return figure(
        drawn,
        "Sample images of the data set squares, with the outline of their tile",
        "Figure 2 of the paper. 4×4 images of section 6.1: a black or a white square, outlined, on random pixels; 1 is black.",
    )


def _figure_3(results: tmi.Results) -> str:
    entry = next((entry for entry in at_one_tile(results, "theorem1", "examples") if entry.status == "ok"), None)
    if entry is None:
        return ""
    return figure(
        figures.tiles_and_images(results.load(entry)),
        "The tile of each class of Fashion-MNIST, and under each two test images that show it",
        f"Figure 3 of the paper. First row: the 28×28 tiles ({tiles_from(results)}); under each 40×40 test images of section 6.2 "
        "that show it. The outline is the tile's support: the pixels that decide.",
    )
