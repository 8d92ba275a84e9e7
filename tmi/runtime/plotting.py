"""The style of figures: one palette that colour-blind readers can tell apart, and one font size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CONSTRUCTED = "#0072B2"
"""Colour of constructed networks."""
TRAINED = "#D55E00"
"""Colour of trained networks."""
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
"""Colours of curves and bars, the most different ones first (Okabe and Ito 2008)."""

STYLE: Any = {
    "figure.constrained_layout.use": True,
    "figure.facecolor": "white",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "legend.frameon": False,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
}
"""Settings of matplotlib for all figures."""


@contextmanager
def axes_style(*, ink: bool = False) -> Iterator[None]:
    """Use the style of tmi's figures inside the block, on the screen or notebook that matplotlib draws to.

    Parameters
    ----------
    ink : bool
        As for `figure_style`.
    """
    import cycler
    import matplotlib as mpl

    ink_rule: Any = {"image.cmap": "gray_r"} if ink else {}
    with mpl.rc_context(STYLE | ink_rule | {"axes.prop_cycle": cycler.cycler(color=PALETTE)}):
        yield


@contextmanager
def figure_style(*, ink: bool = False) -> Iterator[None]:
    """Draw in the style of tmi's figures inside the block, without a screen; matplotlib's settings are restored after it.

    Parameters
    ----------
    ink : bool
        Draw grey images as ink on paper: 1 black and 0 white (`TemplateTask.ink`).
    """
    import matplotlib as mpl

    before = mpl.get_backend()
    mpl.use("agg")
    try:
        with axes_style(ink=ink):
            yield
    finally:
        mpl.use(before)
