"""The figures of the paper's report: samples, training runs, weights, Figure 4, sparsity, selectivity and attribution maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.runtime.plotting import PALETTE
from tmi_probes.figures.common import color_of, two_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    import tmi


def tiles_and_images(result: tmi.ProbeResult) -> Figure:
    """Draw the first tile of each class, and under it test images that show one of the class: the paper's Figure 3.

    Parameters
    ----------
    result : ProbeResult
        Of probe ``examples``, on grey images.
    """
    import matplotlib.pyplot as plt

    images, masks, labels = (result.arrays[name].values for name in ("images", "masks", "label"))
    tiles, sizes, tile_labels = (result.arrays[name].values for name in ("templates", "template_size", "template_label"))
    names = [str(name) for name in result.coords["class"]]
    rows = 1 + max(int((labels == label).sum()) for label in range(len(names)))
    figure, axes = plt.subplots(rows, len(names), figsize=(0.98 * len(names), 1.06 * rows + 0.2), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for label, name in enumerate(names):
        first = int(np.flatnonzero(tile_labels == label)[0])
        high, wide = (int(side) for side in sizes[first])
        axes[0, label].imshow(tiles[first, 0, :high, :wide], vmin=0, vmax=1)
        axes[0, label].set_title(name, fontsize=8)
        # A pixel of the tile is as large as one of the images below.
        rest = (images.shape[2] - high) / 2, (images.shape[3] - wide) / 2
        axes[0, label].set_xlim(-rest[1] - 0.5, wide + rest[1] - 0.5)
        axes[0, label].set_ylim(high + rest[0] - 0.5, -rest[0] - 0.5)
        for row, image in enumerate(np.flatnonzero(labels == label), 1):
            axes[row, label].imshow(images[image, 0], vmin=0, vmax=1)
            outline(axes[row, label], masks[image], PALETTE[4])
    return figure


def samples(result: tmi.ProbeResult, rows: int) -> Figure:
    """Draw test images with the outline of their tile: the paper's Figure 2.

    Parameters
    ----------
    result : ProbeResult
        Of probe ``examples``.
    rows : int
        Over how many rows the images are spread.
    """
    import matplotlib.pyplot as plt

    images, masks = result.arrays["images"].values, result.arrays["masks"].values
    names = result.coords["class"]
    labels = result.arrays["label"].values
    cols = -(-len(images) // rows)
    # Column by column, so that the images of a class stand below each other.
    figure, axes = plt.subplots(rows, cols, figsize=(0.98 * cols, 1.12 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for i, image in enumerate(images):
        axis = axes[i % rows, i // rows]
        axis.imshow(image[0], vmin=0, vmax=1)
        outline(axis, masks[i], PALETTE[4])
        if i % rows == 0:
            axis.set_title(str(names[labels[i]]), fontsize=8)
    return figure


def outline(axis: Axes, mask: NDArray[np.bool_], color: str) -> None:
    """Draw the border of a mask, along the edges of its pixels."""
    from matplotlib.collections import LineCollection

    padded = np.pad(mask, 1)
    row, col = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    lines = [((c - 0.5, r - 0.5), (c + 0.5, r - 0.5)) for r, c in zip(row, col, strict=True)]
    row, col = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    lines += [((c - 0.5, r - 0.5), (c - 0.5, r + 0.5)) for r, c in zip(row, col, strict=True)]
    axis.add_collection(LineCollection(lines, colors=color, linewidths=1.0))


def runs(
    accuracies: Mapping[str, Sequence[float]], dead: Mapping[str, Sequence[bool]], chance: float, origins: Mapping[str, str]
) -> Figure:
    """Draw the test accuracy of every run, the dead ones marked.

    Parameters
    ----------
    accuracies : mapping of str to sequence of float
        One a seed, by network.
    dead : mapping of str to sequence of bool
    chance : float
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 2.8))
    for place, (name, values) in enumerate(accuracies.items()):
        heights = np.asarray(values)
        gone = np.asarray(dead[name], bool)
        # Side by side in order of seed: nothing random in a figure.
        across = place + np.linspace(-0.3, 0.3, len(heights)) if len(heights) > 1 else np.array([place])
        color = color_of(origins[name])
        axis.scatter(across[~gone], heights[~gone], s=18, color=color, label=None)
        axis.scatter(across[gone], heights[gone], s=26, color="black", marker="x", linewidths=1.2)
    axis.axhline(chance, color="0.5", linewidth=0.8, linestyle="--", zorder=0)
    axis.text(len(accuracies) - 0.55, chance, " chance", va="center", ha="left", color="0.35", fontsize=8, clip_on=False)
    axis.scatter([], [], s=26, color="black", marker="x", linewidths=1.2, label="dead: its filters respond to almost no image")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    axis.set_xticks(range(len(accuracies)), [two_lines(name) for name in accuracies])
    axis.set_xlim(-0.6, len(accuracies) - 0.55)
    axis.set_ylim(0.4, 1.03)
    axis.set_ylabel("test accuracy")
    return figure


def learned_weights(columns: Mapping[str, tmi.ProbeResult], most: int = 4) -> Figure:
    """Draw kernels, and the weights of the linear layer above them, with their numbers: as section 6.1 prints them.

    Parameters
    ----------
    columns : mapping of str to ProbeResult
        Results of probe ``squares-heuristics``, by the heading of their column.
    most : int
        At most so many filters of a network are drawn: those that weigh most.
    """
    import matplotlib.pyplot as plt

    drawn = {}
    for heading, result in columns.items():
        kernels = result.arrays["weights"].values
        order = np.argsort(-np.abs(kernels).sum((1, 2)), kind="stable")[:most]
        drawn.update({(heading, int(i)): result for i in order})
    classes = max(len(r.coords["class"]) if "class" in r.coords else 0 for r in columns.values())
    figure, axes = plt.subplots(
        1 + classes, len(drawn), figsize=(max(1.9 * len(drawn), 3), 1.75 * (1 + classes) + 0.3), squeeze=False
    )
    for col, ((heading, i), result) in enumerate(drawn.items()):
        several = len(result.arrays["weights"].values) > 1
        numbers(axes[0, col], result.arrays["weights"].values[i])
        axes[0, col].set_title(f"{heading}, filter {i}" if several else heading)
        axes[0, col].set_xlabel(f"kernel, bias {result.arrays['bias'].values[i]:+.2f}")
        linear = result.arrays.get("logit_weights")
        for row in range(classes):
            axis = axes[1 + row, col]
            if linear is None:
                axis.axis("off")
                continue
            numbers(axis, linear.values[row, i])
            name, offset = result.coords["class"][row], result.arrays["logit_bias"].values[row]
            axis.set_xlabel(f"to logit {name}" + ("" if several else f", bias {offset:+.2f}"))
    return figure


def numbers(axis: Axes, values: NDArray[Any]) -> None:
    """Draw a small matrix as colours, blue below 0 and red above, with its numbers in it."""
    limit = float(np.abs(values).max()) or 1.0
    axis.imshow(values, vmin=-limit, vmax=limit, cmap="RdBu_r")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    for (row, col), value in np.ndenumerate(values):
        color = "white" if abs(value) > 0.6 * limit else "black"
        axis.text(col, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)


def logit_spread(rows: Mapping[str, tmi.ProbeResult], origin: str) -> Figure:
    """Draw how all logits of tiles are distributed over backgrounds and over places, as the paper's Figure 4.

    Parameters
    ----------
    rows : mapping of str to ProbeResult
        Results of the robustness probes on the same tiles, by what varies: a row each. The tiles are the columns.
    origin : str
        `network.origin`.
    """
    import matplotlib.pyplot as plt

    first = next(iter(rows.values()))
    tiles, names = len(first.coords["tile"]), [str(name) for name in first.coords["class"]]
    figure, axes = plt.subplots(
        len(rows), tiles, figsize=(2.9 * tiles, 2.1 * len(rows) + 0.8), squeeze=False, sharex=True, sharey=True
    )
    color = color_of(origin)
    for row, (heading, result) in enumerate(rows.items()):
        logits, kept = result.arrays["logits"].values, result.arrays["kept_variant"].values
        labels = result.arrays["label"].values
        for col in range(tiles):
            axis = axes[row, col]
            places = range(len(names))
            drawn = axis.boxplot(logits[col][kept[col]], positions=places, widths=0.65, whis=(0, 100), patch_artist=True)
            for part in drawn["boxes"]:
                part.set(facecolor="white", edgecolor="0.45", linewidth=0.8)
            for kind in ("whiskers", "caps", "medians"):
                for part in drawn[kind]:
                    part.set(color="0.45", linewidth=0.8)
            drawn["boxes"][labels[col]].set(facecolor=color, edgecolor=color, alpha=0.45)
            drawn["medians"][labels[col]].set(color=color, linewidth=2.4)  # seen even where the box has no height
            axis.axhline(0, color="0.85", linewidth=0.6, zorder=0)
            axis.set_xticks(places, names, rotation=90, fontsize=7)
            axis.tick_params(axis="y", labelsize=7)
            if row == 0:
                axis.set_title(f"tile: {names[labels[col]]}")
            if col == 0:
                axis.set_ylabel(f"{heading}\nlogit")
    return figure


def active_neurons(
    shares: Mapping[str, Mapping[str, Sequence[float]]], totals: Mapping[str, Mapping[str, int]], origins: Mapping[str, str]
) -> Figure:
    """Draw the share of neurons that an image activates, by layer, on a logarithmic axis.

    Parameters
    ----------
    shares : mapping of network to mapping of layer to sequence of float
        One a seed.
    totals : mapping of network to mapping of layer to int
        How many neurons the layer has.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt

    bars = [(network, layer) for network, layers in shares.items() for layer in layers]
    figure, axis = plt.subplots(figsize=(7, 0.42 * len(bars) + 0.8))
    for place, (network, layer) in enumerate(bars):
        values = np.asarray(shares[network][layer])
        color = color_of(origins[network])
        axis.barh(place, values.mean(), color=color, height=0.6, left=0)
        active, total = values.mean() * totals[network][layer], totals[network][layer]
        axis.text(values.mean() * 1.15, place, f"{active:,.4g} of {total:,}", va="center", fontsize=8)
    axis.set_xscale("log")
    axis.set_xlim(float(min(np.mean(shares[n][layer]) for n, layer in bars)) / 3, 6)
    axis.set_xticks([t for t in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1) if t >= axis.get_xlim()[0]])
    axis.set_yticks(range(len(bars)), [f"{network}: {layer}" for network, layer in bars])
    axis.invert_yaxis()
    axis.set_xlabel("share of the layer's neurons that are not 0 on an image")
    return figure


def classes_per_neuron(counts: Mapping[str, NDArray[Any]], classes: int, origins: Mapping[str, str]) -> Figure:
    """Draw for how many classes neurons fire.

    Parameters
    ----------
    counts : mapping of str to ndarray
        Classes of each live neuron, by network and layer.
    classes : int
        How many classes there are.
    origins : mapping of str to str
        `network.origin`, by the same names.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(counts), figsize=(2.6 * len(counts), 2.3), squeeze=False, sharey=True)
    for axis, (name, values) in zip(axes[0], counts.items(), strict=True):
        height = np.bincount(values.astype(int), minlength=classes + 1) / max(len(values), 1)
        axis.bar(range(len(height)), height, color=color_of(origins[name]), width=0.8)
        axis.set_title(f"{name}\n{len(values):,} live neurons")
        axis.set_xlabel("classes a neuron fires for")
        axis.set_xticks(range(0, classes + 1, 2 if classes > 5 else 1))
        axis.set_ylim(0, 1)
    axes[0, 0].set_ylabel("share of live neurons")
    return figure


def attribution_maps(
    images: NDArray[Any], masks: NDArray[np.bool_], maps: Mapping[str, Mapping[str, NDArray[Any]]], methods: Sequence[str]
) -> Figure:
    """Draw the maps of attribution methods on the same images, a row for each network.

    Parameters
    ----------
    images : ndarray, shape (N, C, m, n)
    masks : ndarray of bool, shape (N, m, n)
    maps : mapping of network to mapping of method to ndarray, shape (N, m, n)
    methods : sequence of str
        Columns; where a network has no map of a method its place stays empty.
    """
    import matplotlib.pyplot as plt

    rows = [(network, i) for i in range(len(images)) for network in maps]
    figure, axes = plt.subplots(len(rows), len(methods) + 1, figsize=(1.15 * (len(methods) + 1), 1.22 * len(rows)), squeeze=False)
    for row, (network, i) in enumerate(rows):
        drawn = maps[network]
        for col, name in enumerate(["image", *methods]):
            axis = axes[row, col]
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
            if name == "image":
                axis.imshow(images[i, 0], vmin=0, vmax=1)
                axis.set_ylabel(network.replace(" ", "\n", 1), fontsize=8)
                outline(axis, masks[i], PALETTE[4])
            elif name in drawn:
                axis.imshow(drawn[name][i], vmin=0, vmax=drawn[name][i].max() or 1, cmap="magma")
                if not drawn[name][i].any():
                    axis.text(0.5, 0.5, "all 0", ha="center", va="center", color="white", transform=axis.transAxes, fontsize=8)
            else:
                axis.text(0.5, 0.5, "none", ha="center", va="center", color="0.45", transform=axis.transAxes, fontsize=8)
            if row == 0:
                axis.set_title(name.replace("-", "\n", 1) if len(name) > 11 else name, fontsize=8)
    return figure


def attribution_scores(scores: Mapping[str, Mapping[str, float]], chance: float, origins: Mapping[str, str]) -> Figure:
    """Draw the share of the strongest pixels that lie in the tile's support, by method and network.

    Parameters
    ----------
    scores : mapping of network to mapping of method to float
        Mean over images and seeds.
    chance : float
        What a constant map is expected to score.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt

    methods = list(dict.fromkeys(method for by_method in scores.values() for method in by_method))
    figure, axis = plt.subplots(figsize=(7, 0.5 * len(methods) + 1.1))
    height = 0.8 / len(scores)
    for k, (network, by_method) in enumerate(scores.items()):
        places = [i + (k - (len(scores) - 1) / 2) * height for i, method in enumerate(methods) if method in by_method]
        values = [by_method[method] for method in methods if method in by_method]
        axis.barh(places, values, height=height * 0.9, color=color_of(origins[network]), label=network)
        for place, value in zip(places, values, strict=True):
            axis.text(value + 0.008, place, f"{value:.2f}", va="center", fontsize=7)
    axis.axvline(chance, color="0.35", linewidth=0.9, linestyle="--", label=f"chance {chance:.2f}")
    axis.set_yticks(range(len(methods)), methods)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.06)
    axis.set_xlabel("share of the |G| strongest pixels that lie in the tile's support G")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
