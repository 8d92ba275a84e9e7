"""Representation: how alike layers are, the scenes that activate units most, and preferred pictures beside the known tiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .common import color_of, show_image, two_lines, without_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    import tmi

FEW = 6
"""Units of a network that are drawn."""


def layer_similarity(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str]) -> Figure:
    """Draw the CKA of each layer with the layers of its network and of the other one, and the same before training.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``cka``, by network: a row of panels each.
    origins : mapping of str to str
        `network.origin`, by network.
    """
    import matplotlib.pyplot as plt

    columns = [name for name in ("cka", "untrained") if any(name in result.arrays for result in results.values())]
    sizes = [len(result.coords["layer"]) for result in results.values()]
    width = max(len(result.coords["with"]) for result in results.values())
    figure, axes = plt.subplots(
        len(results),
        len(columns),
        figsize=((0.62 * width + 1.3) * len(columns) + 0.9, sum(0.36 * size + 0.75 for size in sizes) + 0.75),
        squeeze=False,
        height_ratios=sizes,
    )
    drawn: Any = None
    for row, (name, result) in enumerate(results.items()):
        for axis, column in zip(axes[row], columns, strict=True):
            if column not in result.arrays:
                axis.axis("off")
                continue
            values = result.arrays[column].values
            drawn = axis.imshow(values, vmin=0, vmax=1, cmap="cividis", aspect="auto")
            for (i, j), value in np.ndenumerate(values):
                text = "–" if np.isnan(value) else f"{value:.2f}"
                axis.text(j, i, text, ha="center", va="center", fontsize=7, color="black" if value > 0.55 else "white")
            axis.set_title(
                f"{name}{', before training' if column == 'untrained' else ''}", fontsize=8, color=color_of(origins[name])
            )
            axis.set_xticks(range(values.shape[1]), [two_lines(str(label)) for label in result.coords["with"]], fontsize=7)
            axis.set_yticks(range(values.shape[0]), [str(label) for label in result.coords["layer"]], fontsize=7)
            axis.axvline(values.shape[0] - 0.5, color="white", linewidth=2)
            axis.tick_params(length=0)
    figure.colorbar(drawn, ax=axes.ravel().tolist(), label="linear CKA, unbiased", fraction=0.04, pad=0.02)
    return figure


def top_scenes(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str], layers: Mapping[str, str]) -> Figure:
    """Draw what units read of the scenes that activate them most: a row a unit, from the most activating scene on.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``top-activating-scenes``, by network: a block of rows each.
    origins : mapping of str to str
        `network.origin`, by network.
    layers : mapping of str to str
        Which layer of each network.
    """
    import matplotlib.pyplot as plt

    shown = {name: result for name, result in results.items() if f"crop.{layers[name]}" in result.arrays}
    blocks = {name: result.arrays[f"crop.{layers[name]}"].values[:FEW] for name, result in shown.items()}
    top = max(len(crops[0]) for crops in blocks.values())
    figure = plt.figure(figsize=(0.62 * top * len(blocks) + 0.9, 0.62 * max(map(len, blocks.values())) + 0.9))
    for part, (name, crops) in zip(figure.subfigures(1, len(blocks), squeeze=False)[0], blocks.items(), strict=True):
        layer, result = layers[name], results[name]
        axes = part.subplots(len(crops), top, squeeze=False, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
        activation, scene = (result.arrays[f"{what}.{layer}"].values for what in ("activation", "scene"))
        for axis_row, unit, own in zip(axes, result.arrays[f"shown.{layer}"].values, crops, strict=False):
            for rank, axis in enumerate(axis_row):
                axis.axis("off")
                if rank < len(own) and scene[unit, rank] >= 0:
                    axis.axis("on")
                    _show(axis, own[rank])
                    axis.set_xlabel(f"{activation[unit, rank]:.2g}", fontsize=6, labelpad=1)
            axis_row[0].axis("on")
            without_ticks(axis_row[0])
            axis_row[0].set_ylabel(f"unit {unit}", fontsize=7)
        score = [f"{text} {result.metrics[key]:.2f}" for text, key in _scores(layer) if key in result.metrics]
        part.suptitle(f"{name}, {layer}\n{', '.join(score)}", fontsize=8, color=color_of(origins[name]))
    return figure


def _scores(layer: str) -> list[tuple[str, str]]:
    return [("one tile", f"same_tile.{layer}"), ("one tile at one place", f"same_place.{layer}")]


def preferred_pictures(results: Mapping[str, tmi.ProbeResult], origins: Mapping[str, str], layers: Mapping[str, str]) -> Figure:
    """Draw preferred pictures of units, and under each the tile that the unit stands for or that fits best, at its place.

    Parameters
    ----------
    results : mapping of str to ProbeResult
        Of probe ``activation-maximisation``, by network: two rows each.
    origins : mapping of str to str
        `network.origin`, by network.
    layers : mapping of str to str
        Which layer of each network.
    """
    import matplotlib.pyplot as plt

    shown = {name: result for name, result in results.items() if f"picture.{layers[name]}" in result.arrays}
    count = max(len(result.arrays[f"picture.{layers[name]}"].values[:FEW]) for name, result in shown.items())
    figure = plt.figure(figsize=(1.05 * count + 1.0, 2.75 * len(shown)))
    for part, (name, result) in zip(figure.subfigures(len(shown), 1, squeeze=False)[:, 0], shown.items(), strict=True):
        layer = layers[name]
        pictures, tiles = (result.arrays[f"{what}.{layer}"].values[:FEW] for what in ("picture", "tile"))
        fits = result.arrays[f"correlation.{layer}"].values
        kind = "known" if f"known_tile.{layer}" in result.metrics else "best"
        axes = part.subplots(2, count, squeeze=False)
        for axis in axes.flat:
            axis.axis("off")
        for unit, (above, below, picture, tile) in enumerate(zip(axes[0], axes[1], pictures, tiles, strict=False)):
            box = _box(picture)
            for axis, image in ((above, picture), (below, tile)):
                axis.axis("on")
                _show(axis, image[:, box[0], box[1]])
            above.set_title(f"unit {result.coords[f'unit.{layer}'][unit]}", fontsize=7)
            below.set_xlabel(f"correlation {fits[unit]:.2f}" if np.isfinite(fits[unit]) else "none fits", fontsize=7)
        axes[0, 0].set_ylabel("preferred", fontsize=7)
        axes[1, 0].set_ylabel(f"{kind} tile", fontsize=7)
        part.suptitle(
            f"{name}, {layer}: {_summary(result, f'{kind}_tile.{layer}')}",
            fontsize=8,
            color=color_of(origins[name]),
        )
    return figure


def _summary(result: tmi.ProbeResult, metric: str) -> str:
    """Return a mean correlation with its controls."""
    values = result.metrics
    if metric not in values:
        return "no correlation"
    parts = [f"mean correlation {values[metric]:.2f}"]
    parts += [f"random tiles {values[f'{metric}.chance']:.2f}"] if f"{metric}.chance" in values else []
    parts += [f"before training {values[f'{metric}.untrained']:.2f}"] if f"{metric}.untrained" in values else []
    return ", ".join(parts)


def _box(picture: NDArray[Any]) -> tuple[slice, slice]:
    """Return the rows and columns in which a picture is defined."""
    defined = np.isfinite(picture).any(0)
    rows, cols = (np.flatnonzero(defined.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)


def _show(axis: Axes, image: NDArray[Any]) -> None:
    """Draw an image; what is not defined is light grey-blue, the colour of no brightness."""
    defined = np.isfinite(image).all(0)
    show_image(axis, np.nan_to_num(image, nan=0.0))
    cover = np.zeros((*defined.shape, 4))
    cover[~defined] = (0.80, 0.86, 0.93, 1.0)
    axis.imshow(cover)
