"""What several probes share: which test scenes they look at, and how logits are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tmi.errors import InputError
from tmi.networks.layers import flat

if TYPE_CHECKING:
    import tmi

_ELEMENTS = 4_000_000  # activations held at a time

NO_CLASS = -1
"""The prediction on an image whose largest logit two classes share, or is NaN."""


def labelled(scenes: tmi.Scenes, images: int | None = None) -> tmi.Scenes:
    """Return the first scenes that show a tile.

    Parameters
    ----------
    scenes : Scenes
    images : int, optional
        At most so many; by default all of them.

    Raises
    ------
    InputError
        If there is none: without a tile an image has no label.
    """
    chosen = (scenes.labels >= 0).nonzero().flatten()[:images]
    if not len(chosen):
        raise InputError("data: none of the scenes shows a tile, so that no image has a label")
    return scenes[chosen]


def logits_of(network: tmi.Network, scenes: tmi.Scenes) -> NDArray[np.float64]:
    """Return the logits on the scenes' images, float64 (N, L), so that their differences are exact."""
    return network.logits(scenes.images).double().numpy()


def sizes_of(network: tmi.Network, scenes: tmi.Scenes, layers: Sequence[str]) -> dict[str, int]:
    """Return how many neurons each layer has, seen on one image."""
    return {layer: values.numel() for layer, values in network.activations(scenes.images[:1], layers).items()}


def activations_in_parts(
    network: tmi.Network, scenes: tmi.Scenes, sizes: Mapping[str, int]
) -> Iterator[tuple[slice, dict[str, NDArray[Any]]]]:
    """Yield the activations of layers a few images at a time, so that few enough numbers are held.

    Parameters
    ----------
    network : Network
    scenes : Scenes
    sizes : mapping of str to int
        The layers, and their neurons; see `sizes_of`.

    Yields
    ------
    rows : slice
        Which images.
    activations : dict of str to ndarray
        Layer to activations (images, neurons).
    """
    chunk = max(1, min(256, _ELEMENTS // sum(sizes.values())))
    for start in range(0, len(scenes), chunk):
        rows = slice(start, start + chunk)
        found = network.activations(scenes.images[rows], list(sizes), batch_size=chunk)
        yield rows, {layer: flat(values) for layer, values in found.items()}


def predictions(logits: NDArray[Any]) -> NDArray[np.int64]:
    """Return the class whose logit is strictly greater than every other, or −1.

    Parameters
    ----------
    logits : ndarray, shape (…, L)

    Returns
    -------
    ndarray of int64, shape (…)
    """
    largest = logits == logits.max(-1, keepdims=True)
    return np.where(largest.sum(-1) == 1, largest.argmax(-1), NO_CLASS)


def of_label(logits: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[Any]:
    """Return the logit of each image's label: (N, L) and (N,) give (N,)."""
    chosen: NDArray[Any] = np.take_along_axis(logits, labels[:, None], 1)[:, 0]
    return chosen


def of_others(logits: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[Any]:
    """Return the logits of the other classes, their order kept: (N, L) and (N,) give (N, L − 1)."""
    others = np.arange(logits.shape[1]) != labels[:, None]
    rest: NDArray[Any] = logits[others].reshape(len(logits), -1)
    return rest


def finite(metrics: Mapping[str, float], notes: list[str]) -> dict[str, float]:
    """Return the metrics that are finite numbers; a note names the others."""
    kept = {name: float(value) for name, value in metrics.items() if np.isfinite(value)}
    lost = [name for name in metrics if name not in kept]
    if lost:
        notes.append(f"left out, for they are not finite numbers: {', '.join(lost)}")
    return kept


def described(info: Mapping[str, tmi.MetricInfo], metrics: Iterable[str]) -> dict[str, tmi.MetricInfo]:
    """Return what is said of those metrics that there are; ``mcc`` is said of ``mcc.tile.hidden`` too."""
    bases = {name.partition(".")[0] for name in metrics}
    return {name: one for name, one in info.items() if name in bases}


def each_once(name: str, chosen: Sequence[str]) -> None:
    """Check a setting that lists several things.

    Raises
    ------
    InputError
        If there is none, or one twice.
    """
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError(f"{name}: expected at least one, each once; got {list(chosen)}")


def spread_over(groups: Iterable[int], count: int) -> list[int]:
    """Choose positions so that as many groups as possible are seen: the first of each group, then the others in order."""
    groups = list(groups)
    first = [i for i, group in enumerate(groups) if group not in groups[:i]]
    return sorted((first + [i for i in range(len(groups)) if i not in set(first)])[:count])
