"""The builder of Theorem 1's network, constructed from the tiles: every neuron's meaning is known."""

from __future__ import annotations

from typing import Any, Literal

import tmi
from tmi.params import Positive
from tmi_networks.neurons import meanings


def theorem1(
    data: tmi.Dataset | tmi.TemplateTask,
    *,
    realisation: Literal["fused", "literal"] = "fused",
    memory: Positive = 1.0,
) -> tmi.Network:
    """Construct the network of Theorem 1: one hidden neuron σ(ε − t(window)) for each tile and window, summed by class.

    Logit l is φ of Proposition 1 for class l. Fused, on images of exactly one class its logit is above 0 and every other is
    exactly 0. Nothing is trained; the network computes in its images' dtype, float32 or float64.

    Parameters
    ----------
    data : Dataset or TemplateTask
        Only the task is used.
    realisation : {"fused", "literal"}
        "fused" computes the hidden layer by template matching, for tasks of any size; "literal" builds the convolution and the
        sparse layer of the proof. Both compute the same function with the same gradient, at the kinks too, up to rounding: a
        window whose distance is within rounding of ε may be active in one and not in the other.
    memory : Positive
        Gigabytes that the literal layers may take. `Network.logits` and `Network.activations` take as many images at a time as
        fit into the memory that the layers leave, and at least one: about filters × image size × 16 bytes each.

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
    task = data if isinstance(data, tmi.TemplateTask) else data.task
    if realisation == "fused":
        from tmi_networks.fused import fused_network

        return fused_network(task)

    from tmi.networks.rounding import warn_of_rounding

    from .filters import check_memory, needed_filters

    filters = needed_filters(task)
    left = check_memory("theorem1", task, filters, memory)
    warn_of_rounding(data)
    from .literal import literal_layers

    module = literal_layers(task, filters)
    module.images_at_once = filters.images_at_once(left)  # type: ignore[assignment]
    known: dict[str, Any] = {"conv": filters.meanings, **meanings(task)}  # a function: its neurons are many
    return tmi.Network(module, ["conv", "hidden", "logits"], "constructed", task=task, meanings=known)
