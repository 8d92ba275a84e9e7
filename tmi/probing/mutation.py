"""Detect whether a probe changed its data set or its network, which the next cells share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from tmi.networks.network import Network
    from tmi.tasks.dataset import Dataset

State = dict[str, Any]

_RENDERED = 100_000_000  # pixels of a part that are rendered for the comparison: 400 MB


def state_of(data: Dataset, network: Network) -> State:
    """Return what a probe must not change: the content of tensors, whether they require gradients, modes and hooks.

    Parameters
    ----------
    data : Dataset
        Its images are rendered, if they have not been yet and are not too many to be held.
    network : Network

    Returns
    -------
    dict
        Equal for equal states; a few milliseconds for the data of section 6.2.
    """
    return data_state(data) | module_state(network.module)


def data_state(data: Dataset) -> State:
    """Return the content of a data set's tensors; its images are rendered, as for `state_of`."""
    import torch

    state: State = {}
    for name, scenes in (("train", data.train), ("test", data.test)):
        has_masks = name == "test" and data.task.has_tiles
        if len(scenes) * math.prod(data.task.image_shape) <= _RENDERED:
            for what in ("images", "labels", *(["masks"] if has_masks else [])):
                getattr(scenes, what)  # rendered now, so that a write into them is detected
        for what, value in vars(scenes).items():
            if isinstance(value, torch.Tensor):
                state[f"data.{name}.{what}"] = _content(value), value.requires_grad
    return state


def module_state(module: torch.nn.Module) -> State:
    """Return what a call must not change in a module: the content of tensors, whether they require gradients, modes and hooks."""
    state: State = {}
    for what, value in (*module.named_parameters(), *module.named_buffers()):
        state[f"network's {what}"] = _content(value), value.requires_grad
    for what, part in module.named_modules():
        state[f"network's {what or 'module'} (mode or hooks)"] = (
            part.training,
            len(part._forward_hooks),
            len(part._forward_pre_hooks),
            len(part._backward_hooks),
        )
    return state


def first_change(before: State, after: State) -> str:
    """Name the first entry that differs, or return an empty string; entries that only the second state has do not count."""
    return next((what for what in before if before[what] != after.get(what)), "")


def _content(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Return what tells the values of a tensor of any dtype and layout: see `_sums`; torch's count of writes where that fails."""
    try:
        return tuple(value for part in _parts(tensor.detach()) for value in _sums(part))
    except (RuntimeError, TypeError, NotImplementedError):  # on the device "meta", of a dtype or class that cannot be viewed
        return tuple(tensor.shape), str(tensor.dtype), tensor._version


def _sums(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Sums of a tensor's bits along its first axis and across it: fast, and hardly any change leaves both equal."""
    import torch

    tensor = tensor.resolve_conj().resolve_neg().contiguous()
    integer = {1: torch.uint8, 2: torch.int16, 4: torch.int32}.get(tensor.element_size(), torch.int64)  # complex128 as two int64
    bits = tensor.reshape(-1).view(integer).reshape(len(tensor) if tensor.ndim else 1, -1 if tensor.numel() else 0)
    sums = bits.sum(0, dtype=torch.int64), bits.sum(1, dtype=torch.int64)
    return (tuple(tensor.shape), *(hash(part.cpu().numpy().tobytes()) for part in sums))


def _parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return the dense tensors of numbers that make up a tensor."""
    import torch

    if tensor.is_quantized:
        return _quantized_parts(tensor)
    if tensor.is_nested:
        return list(tensor.unbind())
    if tensor.layout == torch.strided:
        return [tensor]
    if tensor.layout == torch.sparse_coo:
        return [tensor.coalesce().indices(), tensor.coalesce().values()]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]
    return [tensor.to_dense()]  # type: ignore[no-untyped-call]


def _quantized_parts(tensor: torch.Tensor) -> list[torch.Tensor]:
    import torch

    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return [tensor.int_repr(), torch.tensor([tensor.q_scale(), tensor.q_zero_point()], dtype=torch.float64)]
    return [tensor.int_repr(), tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()]
