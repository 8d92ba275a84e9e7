"""The images of the paper: Figures 1, 2 and 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmi.report import Section, figure
from tmi.runtime.plotting import figure_style

from .. import figures
from ..claims.claim import tiles_from
from .common import first_entry

if TYPE_CHECKING:
    import tmi


def images(results: tmi.Results) -> Section | None:
    """Draw Figures 1, 2 and 3."""
    parts = []
    for dataset, number, rows, what in (
        ("squares", 2, 1, "4×4 images of section 6.1: one black or one white square, outlined, on random pixels; 1 is black."),
        ("fashion", 3, 2, f"40×40 images of section 6.2: one 28×28 tile on random pixels ({tiles_from(results)})."),
    ):
        swept = {"tiles_per_class": 1} if dataset == "fashion" else {}
        entry = first_entry(results, dataset=dataset, probe="examples", **swept)
        if entry is None:
            continue
        result = results.load(entry)
        with figure_style(ink=bool(entry.record.get("ink"))):
            drawn = figures.samples(result, rows)
        caption = f"Figure {number} of the paper. {what} The outline is the tile's support: the pixels that decide."
        parts.append(figure(drawn, f"Sample images of the data set {dataset}, with the outline of their tile", caption))
    return Section("The images", "".join(parts)) if parts else None
