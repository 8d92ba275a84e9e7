"""The four statements of section 6.1 about a network trained on the squares, counted instead of told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFO = {
    "bright_above_1": tmi.MetricInfo(
        "Share of patches of mean ≥ 0.7 over which a neuron exceeds 1 (section 6.1)", "higher", 0, 1
    ),
    "dark_is_0": tmi.MetricInfo("Share of patches of mean ≤ 0.4 over which a neuron is 0 (section 6.1)", "higher", 0, 1),
    "active_means_first": tmi.MetricInfo(
        "Share of images whose layer mean exceeds 0.5 that have a positive first logit (section 6.1)", "higher", 0, 1
    ),
    "quiet_means_second": tmi.MetricInfo(
        "Share of images whose layer mean is below 0.3 that have a negative first logit (section 6.1)", "higher", 0, 1
    ),
    "mirrored": tmi.MetricInfo("Share of filters that answer to dark patches; the statements are mirrored for them", None, 0, 1),
}


def squares_heuristics(network: tmi.Network, data: tmi.Dataset) -> tmi.ProbeResult:
    """How often the four statements of section 6.1 about the trained network hold on the test images.

    The neuron over a patch of mean ≥ 0.7 exceeds 1, and over one of mean ≤ 0.4 is 0; a layer mean above 0.5 gives a positive
    first logit, and one below 0.3 a negative one. The paper describes a filter that answers to bright patches. Training also
    finds filters that answer to dark ones: their statements are those of the inverted image, with the logit's sign turned.

    Returns
    -------
    ProbeResult
        Metrics ``bright_above_1``, ``dark_is_0`` over all filters; ``active_means_first`` and ``quiet_means_second`` where there
        is one filter, for with several the layer mean is not what the paper speaks of; ``mirrored``. A statement about nothing is
        left out, with a note. Arrays ``weights`` (filter, row, col), ``bias`` (filter), ``logit_weights`` (class, neuron) where
        the logits are linear in the layer, as the paper prints them.

    Raises
    ------
    InputError
        If the network has no layer ``conv`` of one-channel filters.
    """
    from numpy.lib.stride_tricks import sliding_window_view

    weights, bias = _filters(network)
    images = data.test.images
    layers = network.activations(images, ["conv", network.layers[-1]])
    answers = layers["conv"].numpy()
    first = layers[network.layers[-1]].numpy()[:, 0]
    patches = sliding_window_view(images[:, 0].numpy(), weights.shape[1:], axis=(1, 2)).mean((-2, -1))
    dark = weights.sum((1, 2)) < 0
    brightness = np.where(dark[:, None, None], 1 - patches[:, None], patches[:, None])
    shares = {
        "bright_above_1": _share(answers > 1, brightness >= 0.7),
        "dark_is_0": _share(answers == 0, brightness <= 0.4),
    }
    notes = []
    if len(weights) == 1:
        sign = -1 if dark[0] else 1
        mean = answers.mean((1, 2, 3))
        shares["active_means_first"] = _share(sign * first > 0, mean > 0.5)
        shares["quiet_means_second"] = _share(sign * first < 0, mean < 0.3)
    else:
        notes.append("the statements about the layer mean are left out: they are about a layer of one filter")
    notes += [f"{name}: left out, for no test image is of its kind" for name, share in shares.items() if share is None]
    metrics = {name: share for name, share in shares.items() if share is not None} | {"mirrored": dark.mean()}
    arrays: dict[str, Any] = {"weights": (("filter", "row", "col"), weights), "bias": (("filter",), bias)}
    last = network.module.get_submodule(network.layers[-1])
    if len(network.layers) == 2 and hasattr(last, "weight"):
        arrays["logit_weights"] = (("class", "neuron"), last.weight)
    info = {name: INFO[name] for name in metrics}
    return tmi.ProbeResult(metrics, arrays, {}, info, tuple(notes))


def _filters(network: tmi.Network) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    from torch import nn

    if "conv" in network.layers:
        for module in network.module.get_submodule("conv").modules():
            if isinstance(module, nn.Conv2d) and module.in_channels == 1 and module.bias is not None:
                return module.weight.detach().cpu().numpy()[:, 0], module.bias.detach().cpu().numpy()
    raise InputError("squares-heuristics: needs a layer conv of filters over one channel, as the network of section 6.1 has")


def _share(holds: NDArray[np.bool_], where: NDArray[np.bool_]) -> float | None:
    """Share of the cases in which a statement holds, or None where there is no case."""
    cases = np.broadcast_to(where, np.broadcast_shapes(holds.shape, where.shape))
    return float(holds[cases].mean()) if cases.any() else None
