"""How far a constructed network is from the proof's formulas, evaluated in dense float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import tmi
from tmi.params import Count
from tmi_probes.pipeline.result import ResultBuilder
from tmi_probes.pipeline.scenes import labelled

if TYPE_CHECKING:
    import torch

_MOST_WEIGHTS = 20_000_000  # of a reference: it multiplies by dense matrices

INFO = {
    "phi_error": tmi.MetricInfo("Largest |logit − φ| over images and classes, in float64 (Proposition 1)", "lower", 0),
    "reference_error": tmi.MetricInfo(
        "Largest difference of a layer from the proof's dense formulas, in float64 (Lemmas 5.2 and 5.3)", "lower", 0
    ),
    "labels_error": tmi.MetricInfo("Share of images with exactly one class that are not given it", "lower", 0, 1),
}


def reference_error(network: tmi.Network, data: tmi.Dataset, *, images: Count = 50) -> tmi.ProbeResult:
    """Compare a constructed network with φ of Proposition 1, and where the task is small with both proofs line by line.

    Parameters
    ----------
    images : int
        How many test images: the first ones. They are evaluated in float64, and once more with noise within ε around the tile, so
        that logits are not at their largest value alone.

    Returns
    -------
    ProbeResult
        Metrics ``phi_error`` and ``labels_error``; for tasks whose dense weights are at most 20 million
        ``reference_error.theorem1`` and ``reference_error.theorem2``: the largest difference of the layers ``hidden``,
        ``logits`` and, as far as the network has them, ``level1`` … from those of `tmi_networks.reference`. Both theorems are
        one function, so that each network is compared with both. Not applicable to a network that is not constructed.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    import torch

    if network.origin != "constructed":
        return tmi.ProbeResult.not_applicable("the network was not constructed from a theorem")
    scenes = labelled(data.test, images)
    pixels = torch.cat([scenes.images.double(), _near(scenes)])
    layers = network.activations(pixels, network.layers)
    result = ResultBuilder(INFO)
    phi, label = data.task.phi(pixels), data.task.labels(pixels)
    logits = layers[network.layers[-1]]
    result.add("phi_error", (logits - phi).abs().max())
    one = label >= 0
    result.add("labels_error", (logits.argmax(1) != label)[one].double().mean())
    needed = dense_weights(data.task)
    if needed > _MOST_WEIGHTS:
        result.notes.append(
            f"reference_error: left out, for the proof's dense matrices have {needed:.2g} weights, above {_MOST_WEIGHTS:.0g}"
        )
        return result.result()
    from tmi_networks import reference

    compared: list[str] = [name for name in ("hidden", "logits") if name in layers]
    for theorem, expected in (
        ("theorem1", reference.theorem1(data.task, pixels)),
        ("theorem2", reference.theorem2(data.task, pixels)),
    ):
        pairs = [(logits, expected["logits"])] + ([(layers["hidden"], expected["hidden"])] if "hidden" in layers else [])
        differences = [(a.flatten(1) - b.flatten(1)).abs().max() for a, b in pairs if a.flatten(1).shape == b.flatten(1).shape]
        levels = [name for name in expected if name.startswith("level") and name in layers]
        differences += [_nearest_channels(layers[name], expected[name]) for name in levels]
        compared += [name for name in levels if name not in compared]
        result.add(f"reference_error.{theorem}", max(differences))
    result.notes.append(f"reference_error: of the layers {', '.join(compared)}")
    return result.result()


def _nearest_channels(layer: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Return the largest difference of a channel (N, P, rows, cols) from the one of the reference that is nearest to it.

    The networks sort their patches, and leave out the one in which no pixel counts.
    """
    import torch

    rows, cols = layer.shape[2:]
    dense = expected[:, :, :rows, :cols]
    nearest = [(dense - channel[:, None]).abs().amax((0, 2, 3)).min() for channel in layer.unbind(1)]
    return torch.stack(nearest).max()


def dense_weights(task: tmi.TemplateTask) -> float:
    """Return the weights of Theorem 1's hidden layer as a dense matrix: windows times activations of the convolution."""
    channels, m, n = task.image_shape
    grey = len({float(value) for tile in task.tiles for value in tile.values[tile.support]})
    windows = sum(rows * cols for rows, cols in task.windows)
    return float(windows * (1 + grey) * channels * 4 * m * n)


def _near(scenes: tmi.Scenes) -> torch.Tensor:
    """Return the images in float64 with noise, on each tile's support of at most half its ε in all."""
    import torch

    rng = np.random.default_rng(0)
    images = scenes.images.double()
    for i, index in enumerate(scenes.tile.tolist()):
        tile = scenes.task.tiles[index]
        limit = 0.5 * tile.epsilon / tile.support.sum()
        row, col = int(scenes.row[i]), int(scenes.col[i])
        place = np.s_[i, :, row : row + tile.shape[1], col : col + tile.shape[2]]
        images[place] += torch.from_numpy(rng.uniform(-limit, limit, tile.shape))
    return images.clamp(0, 1)
