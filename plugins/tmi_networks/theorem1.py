"""The network of Theorem 1, constructed from the tiles: every neuron's meaning is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import tmi
from tmi.errors import InputError
from tmi.params import Positive

if TYPE_CHECKING:
    from .filters import Filters


def theorem1(
    data: tmi.Dataset | tmi.TemplateTask,
    *,
    realisation: Literal["fused", "literal"] = "fused",
    memory: Positive = 1.0,
) -> tmi.Network:
    """Construct the network of Theorem 1: one hidden neuron σ(ε − t(window)) for each tile and window, summed up by class.

    Logit l is φ of Proposition 1 for class l. Fused, on images of exactly one class its logit is above 0 and every other is
    exactly 0. Nothing is trained; the network computes in its images' dtype, float32 or float64.

    Parameters
    ----------
    data : Dataset or TemplateTask
        Only the task is used.
    realisation : {"fused", "literal"}
        "fused" computes the hidden layer by template matching, fit for any size; "literal" builds the convolution and the sparse
        layer of the proof. Both compute the same function with the same gradient, at the kinks too, up to rounding: a window
        whose distance is within rounding of ε may be active in the one and not in the other.
    memory : Positive
        Gigabytes that the literal layers may take. `Network.logits` and `Network.activations` take as many images at a time as
        fit into what the layers leave of it, and one at least: about filters × image size × 16 bytes each.

    Returns
    -------
    Network
        Origin "constructed", layers ``hidden`` (N, H) and ``logits`` (N, L), before them ``conv`` (N, F, rows, cols) if literal.
        The neurons of ``hidden`` are in the order (tile, row, col).

    Raises
    ------
    InputError
        If the literal layers would need more memory.
    """
    from collections import OrderedDict

    task = data if isinstance(data, tmi.TemplateTask) else data.task
    meanings: dict[str, Any] = {"hidden": hidden_meanings(task), "logits": {"class": list(task.class_names)}}
    if realisation == "fused":
        from torch import nn

        from .template_layers import ClassSum, TemplateMatch

        module = nn.Sequential(OrderedDict(hidden=TemplateMatch(task), logits=ClassSum(task)))
        return tmi.Network(module, ["hidden", "logits"], "constructed", task=task, meanings=meanings)

    from tmi.networks.rounding import warn_of_rounding

    from .filters import needed_filters

    filters = needed_filters(task)
    left = _check_memory(task, filters, memory)
    warn_of_rounding(data)
    from .literal_layers import literal_layers

    meanings["conv"] = filters.meanings  # called when asked for: they are many
    module = literal_layers(task, filters)
    module.images_at_once = max(1, int(left // (2 * 8 * filters.outputs)))  # type: ignore[assignment]
    return tmi.Network(module, ["conv", "hidden", "logits"], "constructed", task=task, meanings=meanings)


def hidden_meanings(task: tmi.TemplateTask) -> dict[str, Any]:
    """Say what each neuron of the hidden layer stands for: its tile, class, and its window's row and column."""
    places = [np.indices(windows).reshape(2, -1) for windows in task.windows]
    tile = np.repeat(np.arange(len(task.tiles)), [part.shape[1] for part in places])
    row, col = np.concatenate(places, axis=1)
    return {"tile": tile, "class": np.array(task.class_names, object)[task.tile_class[tile]], "row": row, "col": col}


def _check_memory(task: tmi.TemplateTask, filters: Filters, memory: float) -> float:
    """Return the bytes that the layers leave."""
    from .filters import literal_bytes

    needed = literal_bytes(task, filters) / 1e9
    if needed > memory:
        raise InputError(
            f"theorem1: the literal layers of {task!r} need {needed:.3g} GB, more than memory = {memory:g}; "
            'use realisation "fused", or raise memory'
        )
    return (memory - needed) * 1e9
