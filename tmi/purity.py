"""Has a probe left what it was given as it was? Data set and network are shared by the cells after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dataset import Dataset
    from .network import Network

State = dict[tuple[Any, ...], Any]


def state_of(data: Dataset, network: Network) -> State:
    """Return what a probe must leave as it is: versions of tensors, modes, hooks.

    PyTorch counts the writes into a tensor; those through NumPy or ``.data`` it does not see.
    """
    import torch

    state: State = {}
    for name, scenes in (("train", data.train), ("test", data.test)):
        found = {what: value for what, value in vars(scenes).items() if isinstance(value, torch.Tensor)}
        state |= {(f"data.{name}.{what}", id(value)): (value._version, value.requires_grad) for what, value in found.items()}
    for name, value in (*network.module.named_parameters(), *network.module.named_buffers()):
        state["network's", name, id(value)] = value._version, value.requires_grad
    for name, module in network.module.named_modules():
        state["network's", name or "module", "mode"] = module.training, len(module._forward_hooks), len(module._backward_hooks)
    return state


def first_change(before: State, after: State) -> str:
    """Name the first thing that is not as it was; images that were rendered meanwhile are new, and untouched."""
    untouched = (0, False)
    for what in {**after, **before}:
        if after.get(what) != before.get(what, untouched):
            return " ".join(str(part) for part in what[:2] if isinstance(part, str))
    return ""
