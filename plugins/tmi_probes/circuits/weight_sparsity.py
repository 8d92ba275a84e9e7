"""Weight sparsity: which weights are 0, which connections are left, and the blocks that they form (section 7)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import tmi
from tmi.params import Count

from ..measures.sparsity import NEAR_ZERO, matrix_zero_share, paths
from ..pipeline.result import ResultBuilder
from ..pipeline.scenes import labelled
from .weights import IMAGES

if TYPE_CHECKING:
    from .weighted_layers import WeightedLayer

INFO = {
    "outputs": tmi.MetricInfo("Outputs of a layer; of a convolution: output channels", None, 1),
    "inputs": tmi.MetricInfo("Inputs of a layer; of a convolution: input channels", None, 1),
    "places": tmi.MetricInfo("Places of an image at which a convolution applies its weights", None, 1),
    "weights": tmi.MetricInfo("Weights of a layer, those that are 0 too, as if it were stored densely; without biases", None, 1),
    "nonzero": tmi.MetricInfo("Weights that are not 0", None, 0),
    "zero_share": tmi.MetricInfo("Share of the weights that are exactly 0", "higher", 0, 1),
    "near_zero_share": tmi.MetricInfo(
        f"Share of the weights of a magnitude below {NEAR_ZERO:.0%} of the layer's largest", "higher", 0, 1
    ),
    "binary_share": tmi.MetricInfo("Share of the weights that are exactly 0 or 1", None, 0, 1),
    "distinct_values": tmi.MetricInfo("Number of different weights, 0 included", None, 1),
    "outputs_per_input": tmi.MetricInfo(
        "Outputs (of a convolution: channels) that an input is connected to by a weight that is not 0, mean over inputs", None, 0
    ),
    "inputs_per_output": tmi.MetricInfo(
        "Inputs (of a convolution: channels) that an output is connected to by a weight that is not 0, mean over outputs", None, 0
    ),
    "connected_share": tmi.MetricInfo("Share of the inputs that are connected to an output at all", None, 0, 1),
    "one_output_share": tmi.MetricInfo("Share of the inputs that are connected to exactly one output", "higher", 0, 1),
    "logits_reached": tmi.MetricInfo(
        "Logits to which a path of weights that are not 0 leads from a layer's output (of a convolution: a filter), mean", None, 0
    ),
    "one_logit_share": tmi.MetricInfo(
        "Share of a layer's outputs (of a convolution: filters) from which paths lead to exactly one logit", "higher", 0, 1
    ),
    "zero_block_share": tmi.MetricInfo(
        "Share of the pairs of an output and an input channel of a convolution with no weight that is not 0", "higher", 0, 1
    ),
    "block_weights": tmi.MetricInfo("Weights of such a pair: the taps of the kernel", None, 1),
    "weights_per_output": tmi.MetricInfo("Weights that are not 0 of a convolution's filter, mean over filters", None, 0),
    "matrix_zero_share": tmi.MetricInfo(
        "Share of zeros in the matrix from all inputs of a convolution without padding to all its outputs", "higher", 0, 1
    ),
    "paths_per_output": tmi.MetricInfo(
        "Paths from a filter to the filters of the last convolution: in Theorem 2 the places in the tiles where a patch is, mean",
        None,
        0,
    ),
    "shared_share": tmi.MetricInfo(
        "Share of the filters from which paths lead to several filters of the last convolution: in Theorem 2 to several tiles",
        None,
        0,
        1,
    ),
    "replaced_weights": tmi.MetricInfo(
        "Weights that are not 0 in the theorem's layer that a fused layer, which has none, computes", None, 1
    ),
}


def weight_sparsity(network: tmi.Network, data: tmi.Dataset, *, bins: Count = 128) -> tmi.ProbeResult:
    """Count the weights that are 0, and the connections that are left, in each layer that is linear up to its ReLU.

    Section 7 of the paper: "our networks in Theorem 1 use a fully connected layer which contain weights that have values 0 or 1,
    whereby each convolutional filter is connected to a unique output logit with non-zero weight. […] generalizing our
    theoretical results in Theorem 2 could lead to new block sparsity patterns for convolutional layers". Layers are counted as
    the dense layers that they amount to; none is stored densely. A module that stores its weights in another way states them by
    a method ``sparse_weight``.

    Parameters
    ----------
    bins : int
        Rows and columns, at most, of the picture of each layer's weights.

    Returns
    -------
    ProbeResult
        For each layer ``outputs``, ``inputs``, ``weights``, ``nonzero``, ``zero_share``, ``near_zero_share``, ``binary_share``,
        ``distinct_values``, ``connected_share``, ``outputs_per_input``, ``inputs_per_output`` and ``one_output_share``, with its
        value for as many connections at random as ``.chance``. For each convolution also ``places``, ``zero_block_share``,
        ``block_weights``, ``weights_per_output`` and ``matrix_zero_share``. Where the layers form a chain, ``logits_reached`` and
        ``one_logit_share`` of each layer but the last, and of convolutions before the last one ``paths_per_output`` and
        ``shared_share``. Arrays ``density.LAYER``, the share of weights that are not 0 in each part of the weight matrix, and
        ``logits_reached.LAYER`` (output). Of a layer without weights that computes those of a theorem, ``replaced_weights``. Not
        applicable to a network without weights.

    Raises
    ------
    InputError
        If no test scene shows a tile.
    """
    network = network.plain()
    images = labelled(data.test, IMAGES).images
    from .weighted_layers import is_chain, weighted_layers

    layers, notes = weighted_layers(network, images)
    result = ResultBuilder(INFO)
    result.notes += notes
    for name, module in network.module.named_modules():
        replaced = getattr(module, "replaced_weights", None)
        if isinstance(replaced, int):
            result.notes.append(f"{name}: computed in one piece, by template matching; it has no weights")
            if replaced:
                result.metrics[f"replaced_weights.{name}"] = replaced
    if not layers and not result.metrics:
        return tmi.ProbeResult.not_applicable("; ".join(result.notes) or "the network has no layer whose weights can be read")
    for name, layer in layers.items():
        _count(result, name, layer, bins)
    if len(layers) > 1 and network.layers[-1] in layers:
        if is_chain(network, layers, images):
            _trace(result, layers)
        else:
            result.notes.append("logits_reached: left out, for the layers do not form a chain")
    return result.result()


def _count(result: ResultBuilder, name: str, layer: WeightedLayer, bins: int) -> None:
    """Add what the weights of one layer show."""
    found = layer.pattern
    outputs, inputs = found.blocks.shape
    result.metrics |= {
        f"outputs.{name}": outputs,
        f"inputs.{name}": inputs,
        f"weights.{name}": found.weights,
        f"nonzero.{name}": len(found.values),
        f"zero_share.{name}": found.zero_share,
        f"near_zero_share.{name}": found.near_zero_share,
        f"binary_share.{name}": found.binary_share,
        f"distinct_values.{name}": found.distinct_values,
        f"connected_share.{name}": float((found.outputs_per_input > 0).mean()),
        f"outputs_per_input.{name}": float(found.outputs_per_input.mean()),
        f"inputs_per_output.{name}": float(found.inputs_per_output.mean()),
    }
    if outputs > 1:
        one = float((found.outputs_per_input == 1).mean())
        result.add(f"one_output_share.{name}", one, chance=found.one_output_by_chance())
    else:
        result.cannot_fail(f"one_output_share.{name}", "there is one output alone")
    if found.kernel:
        result.metrics |= {
            f"places.{name}": math.prod(layer.outputs[1:]),
            f"zero_block_share.{name}": 1 - found.blocks.nnz / (outputs * inputs),
            f"block_weights.{name}": found.taps,
            f"weights_per_output.{name}": len(found.values) / outputs,
        }
        if not layer.padded:
            result.metrics[f"matrix_zero_share.{name}"] = matrix_zero_share(found, layer.inputs[1:])
    result.arrays[f"density.{name}"] = ((f"outputs.{name}", f"inputs.{name}"), found.density(bins))


def _trace(result: ResultBuilder, layers: dict[str, WeightedLayer]) -> None:
    """Add which logits, and which filters of the last convolution, the weights of the layers after it lead to."""
    names, patterns = list(layers), [layer.pattern for layer in layers.values()]
    logits = patterns[-1].blocks.shape[0]
    if logits == 1:
        result.cannot_fail("one_logit_share", "there is one logit alone")
    for name, counts in zip(names[:-1], paths(patterns)[:-1], strict=True):
        if counts is not None:
            reached = (counts > 0).sum(0)
            result.metrics[f"logits_reached.{name}"] = float(reached.mean())
            if logits > 1:
                result.metrics[f"one_logit_share.{name}"] = float((reached == 1).mean())
            result.arrays[f"logits_reached.{name}"] = (f"output.{name}", reached)
    convolutions = sum(bool(one.kernel) for one in patterns)
    if convolutions < 2 or any(not one.kernel for one in patterns[:convolutions]):
        return
    for name, counts in zip(names[: convolutions - 1], paths(patterns[:convolutions]), strict=False):
        if counts is not None:
            result.metrics[f"paths_per_output.{name}"] = float(counts.sum(0).mean())
            result.metrics[f"shared_share.{name}"] = float(((counts > 0).sum(0) > 1).mean())
