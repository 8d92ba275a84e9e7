"""The statements of section 6.1 about a network trained on the squares, counted over patches and images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tmi
from tmi_probes.circuits.readout import linear_form
from tmi_probes.circuits.weights import with_other_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFO = {
    "high_above_1": tmi.MetricInfo("Share of patches of mean ≥ 0.7 over which a neuron exceeds 1 (section 6.1)", "higher", 0, 1),
    "low_is_0": tmi.MetricInfo("Share of patches of mean ≤ 0.4 over which a neuron is 0 (section 6.1)", "higher", 0, 1),
    "active_means_first": tmi.MetricInfo(
        "Share of images whose layer mean exceeds 0.5 that have a positive first logit (section 6.1)", "higher", 0, 1
    ),
    "quiet_means_second": tmi.MetricInfo(
        "Share of images whose layer mean is below 0.3 that have a negative first logit (section 6.1)", "higher", 0, 1
    ),
    "white_is_0": tmi.MetricInfo(
        "Share of patches that contain the white square over which a neuron is 0 (section 6.1)", "higher", 0, 1
    ),
    "black_gives_positive": tmi.MetricInfo(
        "Share of images with the black square that have a positive first logit (section 6.1)", "higher", 0, 1
    ),
    "white_gives_negative": tmi.MetricInfo(
        "Share of images with the white square that have a negative first logit (section 6.1)", "higher", 0, 1
    ),
    "cases": tmi.MetricInfo("Patches or images that a statement of section 6.1 speaks of", None, 0),
    "mirrored": tmi.MetricInfo("Share of filters that respond to low values; the statements are mirrored for them", None, 0, 1),
}


def squares_heuristics(network: tmi.Network, data: tmi.Dataset) -> tmi.ProbeResult:
    """How often the statements of section 6.1 about the trained network hold on the test images.

    The neuron over a patch of mean ≥ 0.7 exceeds 1, and over one of mean ≤ 0.4 is 0; a layer mean above 0.5 gives a positive
    first logit, and one below 0.3 a negative one. From these four follow, as the paper says, that an image with the black square
    gives a positive first logit and one with the white square a negative one; and a neuron over a white square is 0.

    The paper describes a filter that responds to patches of high values, which are black there. Training also finds filters that
    respond to low values: their statements are those of the inverted image, with the logit's sign turned. The two statements
    about the square that an image shows are never mirrored.

    Returns
    -------
    ProbeResult
        Metrics ``high_above_1``, ``low_is_0`` and ``white_is_0`` over all filters, the last for filters of the size of the
        squares; ``black_gives_positive`` and ``white_gives_negative``; ``active_means_first`` and ``quiet_means_second`` where
        there is one filter, for with several the layer mean is not what the paper speaks of; ``mirrored``. A statement about
        nothing is left out, with a note. With each, ``.chance``: the share of all patches or images, of any mean, on which its
        conclusion holds; and ``cases.<statement>``. Arrays ``filter_high_above_1`` and ``filter_low_is_0`` for each filter alone,
        NaN where there is no case, and ``mirrored``; as the paper prints them ``weights`` (filter, row, col) and ``bias``
        (filter), and where the logits are linear in the layer ``logit_weights`` (class, filter, place_row, place_col) and
        ``logit_bias``. Not applicable to a network without a layer ``conv`` of one-channel filters.
    """
    from numpy.lib.stride_tricks import sliding_window_view

    images = data.test.images
    network = network.plain()
    filters = _filters(network, images)
    if isinstance(filters, str):
        return tmi.ProbeResult.not_applicable(filters)
    weights, bias = filters
    layers = network.activations(images, ["conv", network.layers[-1]])
    answers = layers["conv"].numpy()
    first = layers[network.layers[-1]].numpy()[:, 0]
    patches = sliding_window_view(images[:, 0].numpy(), weights.shape[1:], axis=(1, 2)).mean((-2, -1))
    mirrored = weights.sum((1, 2)) < 0
    means = np.where(mirrored[:, None, None], 1 - patches[:, None], patches[:, None])  # (N, filter, row, col)
    statements = {
        "high_above_1": (answers > 1, means >= 0.7),
        "low_is_0": (answers == 0, means <= 0.4),
        "black_gives_positive": (first > 0, data.test.labels.numpy() == 0),
        "white_gives_negative": (first < 0, data.test.labels.numpy() == 1),
    }
    white = data.task.tiles[-1]
    if white.shape[1:] == weights.shape[1:] and white.support.all() and not white.values.any():
        # The distance of a patch from four zeros is its sum.
        statements["white_is_0"] = (answers == 0, means * white.support.sum() < white.epsilon)
    notes = []
    if len(weights) == 1:
        sign = -1 if mirrored[0] else 1
        mean = answers.mean((1, 2, 3))
        statements["active_means_first"] = (sign * first > 0, mean > 0.5)
        statements["quiet_means_second"] = (sign * first < 0, mean < 0.3)
    else:
        notes.append("the statements about the layer mean are left out: they are about a layer of one filter")
    metrics: dict[str, float] = {"mirrored": mirrored.mean()}
    for name, (holds, where) in statements.items():
        metrics[f"cases.{name}"] = where.sum()
        share = _share(holds, where)
        if share is None:
            notes.append(f"{name}: left out, for no test image is of its kind")
            continue
        metrics |= {name: share, f"{name}.chance": holds.mean()}
    arrays: dict[str, Any] = {
        "weights": (("filter", "row", "col"), weights),
        "bias": (("filter",), bias),
        "mirrored": (("filter",), mirrored),
    }
    for name in ("high_above_1", "low_is_0"):
        holds, where = statements[name]
        alone = [_share(holds[:, i], where[:, i]) for i in range(len(weights))]
        arrays[f"filter_{name}"] = (("filter",), np.array([np.nan if share is None else share for share in alone]))
    coords: dict[str, Any] = {}
    logits = layers[network.layers[-1]].double().numpy()
    flat = answers.reshape(len(answers), -1).astype(float)
    readout = linear_form(network, "conv", flat, logits, images[:1]) if len(network.layers) == 2 else None
    if readout is not None:
        by_place = readout.weight.astype(np.float32).reshape(-1, *answers.shape[1:])
        arrays["logit_weights"] = (("class", "filter", "place_row", "place_col"), by_place)
        arrays["logit_bias"] = (("class",), readout.bias.astype(np.float32))
        coords["class"] = list(data.task.class_names)
    bases = {name.partition(".")[0] for name in metrics}
    return tmi.ProbeResult(metrics, arrays, coords, {name: INFO[name] for name in INFO if name in bases}, tuple(notes))


def _filters(network: tmi.Network, images: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]] | str:
    """Return weights (filter, row, col) and biases (filter,) of layer ``conv``, or why it has no one-channel filters."""
    from torch import nn

    if "conv" in network.layers:
        for name, module in network.module.get_submodule("conv").named_modules(prefix="conv"):
            if isinstance(module, nn.Conv2d) and module.in_channels == 1 and module.bias is not None:
                if with_other_weights(network, images, [name]):
                    return f"layer conv: {name} computes with other weights than it holds"
                return module.weight.detach().cpu().numpy()[:, 0], module.bias.detach().cpu().numpy()
    return "the network has no layer conv of filters over one channel, as that of section 6.1 has"


def _share(holds: NDArray[np.bool_], where: NDArray[np.bool_]) -> float | None:
    """Share of the cases in which a statement holds, or None where there is no case."""
    return float(holds[where].mean()) if where.any() else None
