"""Figure of probe ``randomisation``: similarity of maps by layer, a line a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi import statistics
from tmi.runtime.plotting import PALETTE

from .randomisation import SCHEMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_TITLES = {
    "cascading": "cascading: a layer and all above it",
    "independent": "independent: one layer",
}
_MARKERS = "osD^vPX"  # another number than of colours: no two of many methods look alike


def similarity_by_layer(results: Mapping[str, Sequence[tmi.ProbeResult]], *, kind: str = "similarity") -> Figure:
    """Draw how similar maps stay as layers get random weights, from the logits down.

    Parameters
    ----------
    results : mapping of str to sequence of ProbeResult
        Of probe ``randomisation``, by method: one result for each training seed of one architecture, all with the same layers.
        Results that are not applicable are left out.
    kind : {"similarity", "signed_similarity"}
        Whether |a| or a is ranked.

    Returns
    -------
    Figure
        A panel for each scheme, with the mean over the seeds and, where there are several, its 95 % interval. On the right,
        apart, what the maps of other images have: the mean over the seeds, and the lowest and highest end of their chance.
    """
    import matplotlib.pyplot as plt

    known = {name: [result for result in some if kind in result.arrays] for name, some in results.items()}
    known = {name: some for name, some in known.items() if some}
    if not known:
        raise tmi.InputError("similarity_by_layer: no result has similarities")
    layers = next(iter(known.values()))[0].coords["layer"].tolist()
    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.6), sharey=True, width_ratios=[1.3, 1])
    for (number, (name, some)), colour, marker in zip(enumerate(known.items()), cycle(PALETTE), cycle(_MARKERS)):
        aside = 0.07 * (number - (len(known) - 1) / 2)  # so that intervals do not cover each other
        style = {"color": colour, "markersize": 4, "elinewidth": 1}
        for axis, scheme in zip(axes, SCHEMES, strict=True):
            means, low, high = _over_seeds(some, kind, SCHEMES.index(scheme))
            places, line = np.arange(1, len(layers) + 1) + aside, ""
            if scheme == "cascading":  # from the network as it is
                places, line = np.concatenate([[0], places]), "-" if number < len(PALETTE) else "--"
                means, low, high = (np.concatenate([[1.0], part]) for part in (means, low, high))
            axis.errorbar(places, means, [means - low, high - means], fmt=f"{line}{marker}", linewidth=1.3, label=name, **style)
        chance = np.array(
            [[result.metrics.get(f"{kind}.chance{end}", np.nan) for end in ("", ".low", ".high")] for result in some]
        )
        if np.isfinite(chance).all():
            mean, least, most = chance[:, 0].mean(), chance[:, 1].min(), chance[:, 2].max()
            axes[0].errorbar(len(layers) + 1 + aside, mean, [[mean - least], [most - mean]], fmt=marker, mfc="white", **style)
    ticks = np.arange(len(layers) + 2)
    axes[0].set_xticks(ticks, ["none", *layers, "maps of\nother images"])
    axes[0].axvline(len(layers) + 0.5, color="0.8", linewidth=0.8)
    axes[1].set_xticks(ticks[1:-1], layers)
    for axis, scheme in zip(axes, SCHEMES, strict=True):
        axis.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axis.set_title(_TITLES[scheme])
        axis.set_xlabel("layers with random weights" if scheme == "independent" else "random from the logits down to")
    ranked = "|a|" if kind == "similarity" else "a, signed"
    axes[0].set_ylabel(f"rank correlation of {ranked}, before and after")
    figure.align_xlabels(axes)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _over_seeds(results: Sequence[tmi.ProbeResult], kind: str, scheme: int) -> tuple[NDArray[np.float64], ...]:
    """Return the mean over results for each layer, and the ends of its interval; of one result, itself alone."""
    by_seed = np.array([np.nanmean(result.arrays[kind].values[scheme], axis=(1, 2)) for result in results])
    means = by_seed.mean(0)
    if len(results) < 2:
        return means, means, means
    ends = [statistics.over_seeds(list(values), low=-1, high=1) for values in by_seed.T]
    return means, np.array([each.low for each in ends]), np.array([each.high for each in ends])
