"""Figure of probe ``disguises``: which methods change in other neurons of the same function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

import tmi

from .disguises import APPROXIMATE, EXACT

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# Light to dark, so that the three kinds differ in brightness too (viridis reversed, at three places).
_COLOURS = {"exact": "#f2f0e4", "approximate": "#5ec9b0", "changed": "#3b528b", "undefined": "#ffffff"}
_TEXTS = {
    "exact": "exactly invariant (≤ 1e-9)",
    "approximate": "approximately (≤ 1e-3)",
    "changed": "changes: largest relative change",
    "undefined": "refused, or 0 everywhere",
}


def largest(results: Sequence[tmi.ProbeResult]) -> NDArray[np.float64]:
    """Return the largest change over results and draws, shape (methods, disguises); NaN where none is defined."""
    change = np.concatenate([result.arrays["change"].values for result in results], axis=2)
    found: NDArray[np.float64] = np.fmax.reduce(change, axis=2)
    return found


def invariance(results: Mapping[str, Sequence[tmi.ProbeResult]]) -> Figure:
    """Draw the largest change of every method under every disguise, a panel for each network.

    Parameters
    ----------
    results : mapping of str to sequence of ProbeResult
        Of probe ``disguises``, by network: one result a seed, with the same methods and disguises.
    """
    import matplotlib.pyplot as plt
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    first = next(iter(results.values()))[0]
    methods, disguises = first.coords["method"].tolist(), first.coords["disguise"].tolist()
    figure, axes = plt.subplots(
        1,
        len(results),
        figsize=(2.2 + 1.9 * len(results), 1.3 + 0.17 * len(methods)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    colours = ListedColormap([_COLOURS[name] for name in ("exact", "approximate", "changed")])
    colours.set_bad(_COLOURS["undefined"])
    for axis, (name, some) in zip(axes[0], results.items(), strict=True):
        change = largest(some)
        axis.imshow(change, cmap=colours, norm=BoundaryNorm([-1, EXACT, APPROXIMATE, 1e99], 3), aspect="auto")
        for row, column in np.ndindex(change.shape):
            value = change[row, column]
            if np.isnan(value) or value > EXACT:
                text = (
                    "–"
                    if np.isnan(value)
                    else f"{value:.0e}"
                    if value <= APPROXIMATE
                    else f"{value:.2g}"
                    if value < 99
                    else f"{value:.0f}"
                )
                dark = value > APPROXIMATE
                axis.text(column, row, text, ha="center", va="center", fontsize=5.5, color="white" if dark else "black")
        axis.set_title(name)
        axis.set_xticks(range(len(disguises)), disguises, rotation=60, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(methods)), methods, fontsize=7)
        axis.set_xticks(np.arange(-0.5, len(disguises)), minor=True)
        axis.set_yticks(np.arange(-0.5, len(methods)), minor=True)
        axis.grid(True, which="minor", color="white", linewidth=0.6)
        axis.tick_params(which="both", length=0)
    patches = [Patch(facecolor=_COLOURS[kind], edgecolor="0.6", label=text) for kind, text in _TEXTS.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=2, fontsize=7)
    return figure
