"""Causes: where patching changes the answer, which units do it, how far the gradient tells, and which logits a unit reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.runtime.plotting import PALETTE

from .common import show_image, two_lines, without_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    import tmi

_COLORS = {"the scene's": PALETTE[0], "the counterfactual's": PALETTE[1], "another": "0.6"}
_BARS = 8


def patching(results: Mapping[str, tmi.ProbeResult], task: tmi.TemplateTask, pair: int = 0) -> Figure:
    """Draw what patching a scene does, a row a network: effects by place, the strongest units, and the gradient's estimates.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``activation-patching``, by network, with the same pairs: same data, seed, ``change`` and ``images``.
    task : TemplateTask
        Names the tiles.
    pair : int
        Which of the kept pairs.
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    first = next(iter(results.values()))
    tiles = [int(first.arrays[f"{which}_tile"].values[pair]) for which in ("clean", "counterfactual")]
    figure = plt.figure(figsize=(9.6, 2.35 * max(2, len(results)) + 0.5))
    grid = figure.add_gridspec(1, 2, width_ratios=[1, 4.6])
    images = grid[0].subgridspec(2, 1).subplots(squeeze=False).flat
    for axis, which, tile in zip(images, ("clean", "counterfactual"), tiles, strict=True):
        show_image(axis, first.arrays[f"{which}_images"].values[pair])
        name = "scene" if which == "clean" else "counterfactual"
        row, col = first.arrays[f"{which}_place"].values[pair]
        axis.set_title(f"{name}: {task.tile_name(tile)}", fontsize=8)
        axis.set_xlabel(f"tile at ({row}, {col})", fontsize=7)
    axes = grid[1].subgridspec(len(results), 3, width_ratios=[1.1, 1.7, 1.2]).subplots(squeeze=False)
    for row_axes, (name, result) in zip(axes, results.items(), strict=True):
        _draw_places(row_axes[0], result, pair, figure)
        row_axes[0].set_ylabel(two_lines(name), fontsize=8)
        _draw_units(row_axes[1], result, tiles, pair)
        _draw_estimates(row_axes[2], result, pair)
    for axis, title in zip(axes[0], ("effect by place", "strongest units", "each unit"), strict=True):
        axis.set_title(title)
    axes[-1, 1].set_xlabel("effect [share of the difference]", fontsize=8)
    axes[-1, 2].set_xlabel("activation patching", fontsize=8)
    handles = [Patch(color=color) for color in _COLORS.values()]
    figure.legend(
        handles, list(_COLORS), title="unit is most active on this tile:", loc="outside lower right", ncols=3, fontsize=8
    )
    return figure


def _draw_places(axis: Axes, result: tmi.ProbeResult, pair: int, figure: Any) -> None:
    without_ticks(axis)
    if "pair_effect.noising.place" not in result.arrays:
        axis.text(0.5, 0.5, "the layer\nhas no places", ha="center", va="center", fontsize=8, transform=axis.transAxes)
        return
    effects = result.arrays["pair_effect.noising.place"].values[pair]
    limit = float(np.abs(effects).max()) or 1.0
    drawn = axis.imshow(effects, cmap="RdBu_r", vmin=-limit, vmax=limit)
    bar = figure.colorbar(drawn, ax=axis, shrink=0.8, ticks=[-limit, 0, limit], format="%.1g")
    bar.ax.tick_params(labelsize=7)
    axis.set_xlabel(f"Σ effects {effects.sum():.2g}", fontsize=7)


def _draw_units(axis: Axes, result: tmi.ProbeResult, tiles: list[int], pair: int) -> None:
    """Draw the effects of the strongest units, coloured by the tile that they are most active on."""
    sites = result.arrays["path_site.noising.unit"].values[pair]
    sites = sites[sites >= 0][:_BARS]
    effects = result.arrays["pair_effect.noising.unit"].values[pair].reshape(-1)[sites]
    layer = layer_of(result)
    preferred = result.arrays[f"preferred_tile.{layer}"].values[sites]
    names = list(_COLORS)
    colors = [_COLORS[names[tiles.index(tile) if tile in tiles else 2]] for tile in preferred]
    axis.barh(range(len(sites)), effects, color=colors)
    axis.set_yticks(range(len(sites)), unit_names(sites, result.arrays["layer_shape"].values), fontsize=7)
    axis.set_ylim(_BARS + 1, -0.6)  # room for the sentence below the bars
    axis.axvline(0, color="0.4", linewidth=0.8)
    axis.tick_params(axis="x", labelsize=7)
    every = np.abs(result.arrays["pair_effect.noising.unit"].values[pair])
    share = np.abs(effects).sum() / max(every.sum(), 1e-30)
    text = f"{len(sites)} of {np.count_nonzero(every):,} units, {share:.0%} of the effects"
    axis.text(0.98, 0.02, text, ha="right", va="bottom", fontsize=7, transform=axis.transAxes)


def _draw_estimates(axis: Axes, result: tmi.ProbeResult, pair: int) -> None:
    """Draw the estimates of all units with an effect or an estimate against their effects."""
    if "pair_estimate.noising.unit" not in result.arrays:
        without_ticks(axis)
        axis.text(0.5, 0.5, "no gradient", ha="center", va="center", fontsize=8, transform=axis.transAxes)
        return
    names = ("pair_effect.noising.unit", "pair_estimate.noising.unit")
    effects, estimates = (result.arrays[name].values[pair].reshape(-1) for name in names)
    shown = (effects != 0) | (estimates != 0)
    low = min(effects.min(), estimates.min(), 0)
    high = max(effects.max(), estimates.max(), 0)
    axis.plot([low, high], [low, high], color="0.6", linewidth=0.8)
    axis.scatter(effects[shown], estimates[shown], s=8, color=PALETTE[2], alpha=0.6, linewidths=0, rasterized=True)
    axis.set_ylabel("attribution patching", fontsize=8)
    axis.margins(0.08)
    axis.tick_params(labelsize=7)
    size = np.linalg.norm(effects)
    error = np.linalg.norm(estimates - effects) / size if size else 0.0
    axis.text(0.04, 0.96, f"error {error:.0%}", ha="left", va="top", fontsize=7, transform=axis.transAxes)


def layer_of(result: tmi.ProbeResult) -> str:
    """Return the layer that a result of ``activation-patching`` is about."""
    return next(name for name in result.arrays if name.startswith("preferred_tile.")).partition(".")[2]


def unit_names(units: NDArray[np.int64], shape: NDArray[np.int64]) -> list[str]:
    """Name units of the flattened layer: by channel, row and column in a map, else by their number."""
    if len(shape) != 3:
        return [f"unit {unit}" for unit in units]
    return [
        f"channel {channel} at ({row}, {col})" for channel, row, col in zip(*np.unravel_index(units, tuple(shape)), strict=True)
    ]


def paths(results: Mapping[str, tmi.ProbeResult], units: int = 20) -> Figure:
    """Draw which logits the strongest units reach, by the mean absolute change when a unit is ablated; a panel a network.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``ablation``, by network.
    units : int
        How many units: those that change the logits most, ordered by the logit that they change most.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(0.9 + 2.6 * len(results), 3.6), squeeze=False)
    for axis, (name, result) in zip(axes[0], results.items(), strict=True):
        path = result.arrays["path.unit"].values.reshape(-1, len(result.coords["class"]))
        chosen = np.argsort(-path.sum(1), kind="stable")[: min(units, np.count_nonzero(path.any(1)))]
        chosen = chosen[np.argsort(path[chosen].argmax(1), kind="stable")]
        rows = path[chosen] / path[chosen].sum(1, keepdims=True)
        drawn = axis.imshow(rows, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        share = next(value for metric, value in result.metrics.items() if metric.startswith("logit_share.unit"))
        axis.set_title(f"{two_lines(name)}\nto one logit: {share:.0%}", fontsize=8)
        axis.set_xticks(range(path.shape[1]), [str(label) for label in result.coords["class"]], rotation=90, fontsize=7)
        axis.set_yticks([])
        axis.set_xlabel("logit")
    axes[0, 0].set_ylabel("unit")
    figure.colorbar(drawn, ax=axes[0, -1], shrink=0.8, label="share of the unit's effects")
    return figure
