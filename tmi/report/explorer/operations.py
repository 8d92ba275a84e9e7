"""A network as a list of simple operations that network.js computes: what each is, its arrays, and the shape of its output.

Every operation is compared with the module that it stands for, on images, before it is used. So an option that an operation does
not have, such as another padding mode, is found without a list of such options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError
from tmi.tasks.task import TemplateTask

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tmi.networks.network import Network

Operation = dict[str, Any]

TOLERANCE = 1e-4
"""How far an operation may differ from its module: of the largest output, or of 1 where all are smaller."""

_SUPPORTED = "Conv2d, Linear, BatchNorm, ReLU, pooling, Flatten, Sequential, and layers with a method sparse_weight"


@dataclass(frozen=True)
class Program:
    """The operations of a network.

    Attributes
    ----------
    operations : list of dict
        In order. ``kind`` says which; ``shape`` is that of its output for one image; the other entries are its settings.
    outputs : dict of str to int
        For each layer of the network that is shown, the operation whose output its activations are.
    note : str
        What a reader must know about how the network is computed; mostly empty.
    """

    operations: list[Operation]
    outputs: dict[str, int]
    note: str = ""


def program(network: Network, images: torch.Tensor, *, layers: bool = True) -> Program:
    """Return the operations of a network, compared with it on images.

    A network is translated layer by layer. One that computes φ in layers that are not known is written as φ's formula.

    Parameters
    ----------
    network : Network
    images : Tensor of float32, shape (N, C, m, n)
        A few.
    layers : bool
        Whether its layers may be translated; otherwise only the formula is tried.

    Raises
    ------
    InputError
        If a layer is none of the known kinds; the message names it.
    """
    network.check(images)
    try:
        if not layers:
            raise InputError(f"the layers of {network!r} are too large, and it is not written as a formula")
        found = _layers(network, images)
    except InputError:
        formula = _matching(network)
        if formula is None:
            raise
        found = formula
    _compare(network, found, images)
    return found


def _layers(network: Network, images: torch.Tensor) -> Program:
    """Translate module by module."""
    import torch

    from tmi.networks.modes import evaluation_mode

    plain = network.plain()
    hooked = next((name for name, part in plain.module.named_modules() if part._forward_hooks or part._forward_pre_hooks), None)
    if hooked is not None:
        raise InputError(f"{hooked or 'the network'} has hooks, or answers by output= or form=")
    weight = next((p for p in plain.module.parameters() if p.is_floating_point()), None)
    x = images if weight is None else images.to(weight.device, weight.dtype)
    operations: list[Operation] = []
    outputs = {}
    with evaluation_mode(plain.module), torch.no_grad():
        for name, module in _called(plain.module):
            before, x = x, module(x)
            operations += _operations(name, module, before, x, network.task)
            for layer in network.layers:
                # A layer may be a sequence: its activations are the output of its last module.
                if layer == name or name in _last_of(plain.module, layer):
                    outputs[layer] = len(operations) - 1
    missing = [layer for layer in network.layers if outputs.get(layer, -1) < 0]
    if missing:
        raise InputError(f"layer {missing[0]!r} is a part of a module that is computed as a whole")
    return Program(operations, outputs)


def _called(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules of nested sequences in the order in which they are called, with their full names."""
    from torch import nn

    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        for name, child in module._modules.items():
            if child is not None:
                yield from _called(child, f"{prefix}.{name}".lstrip("."))
    else:
        yield prefix, module


def _last_of(module: nn.Module, layer: str) -> set[str]:
    names = [name for name, _ in _called(module.get_submodule(layer), layer)]
    return {names[-1]} if names else set()


def _operations(name: str, module: nn.Module, x: torch.Tensor, y: torch.Tensor, task: TemplateTask) -> list[Operation]:
    """Return the operation of a module with the input x and the output y; none for a module that changes nothing."""
    import torch
    from torch import nn

    if isinstance(module, nn.Identity | nn.Dropout | nn.Dropout2d):
        return []
    known = _translations()
    fits = (f for kind, f in known if (hasattr(module, kind) if isinstance(kind, str) else isinstance(module, kind)))
    translate = next(fits, None)
    operation = None if translate is None else translate(module, task)
    if operation is not None:
        operation["shape"] = [*y.shape[1:]]
        try:
            computed = evaluate(operation, x, task)
        except (RuntimeError, IndexError):
            computed = torch.empty(0)
        if computed.shape == y.shape and _largest(computed - y) <= TOLERANCE * max(1.0, _largest(y)):
            return [operation]
    what = f"layer {name!r} is" if name else "the network is"
    raise InputError(f"{what} a {type(module).__name__}, which the explorer does not compute; it computes {_SUPPORTED}")


def _translations() -> list[tuple[type | str, Callable[[Any, TemplateTask], Operation | None]]]:
    """Return how a module is translated, by its class or by the name of an attribute that it has; the first that fits counts."""
    from torch import nn

    def same(_module: Any, _task: TemplateTask) -> Operation:
        return {"kind": "reshape"}

    return [
        (nn.Conv2d, _conv),
        (nn.Linear, lambda module, _: {"kind": "linear", "weight": _array(module.weight), "bias": _array(module.bias)}),
        (nn.BatchNorm1d, _norm),
        (nn.BatchNorm2d, _norm),
        (nn.ReLU, lambda _module, _task: {"kind": "relu"}),
        (nn.MaxPool2d, lambda module, _: _pool("max-pool", module)),
        (nn.AvgPool2d, lambda module, _: _pool("average-pool", module)),
        (nn.AdaptiveAvgPool2d, lambda _module, _task: {"kind": "adaptive-average-pool"}),
        (nn.Flatten, same),
        (nn.Unflatten, same),
        ("sparse_weight", _sparse),
        ("task", _match),
    ]


def _conv(module: Any, _task: TemplateTask) -> Operation:
    # "same" pads unevenly where the sum is odd, which the comparison finds.
    same = [step * (side - 1) // 2 for step, side in zip(module.dilation, module.kernel_size, strict=True)]
    padding = {"same": same, "valid": [0, 0]}.get(module.padding, module.padding) if isinstance(module.padding, str) else None
    return {
        "kind": "conv",
        "weight": _array(module.weight),
        "bias": _array(module.bias),
        "kernel": [*module.kernel_size],
        "stride": [*module.stride],
        "padding": [*(module.padding if padding is None else padding)],
        "dilation": [*module.dilation],
        "groups": module.groups,
    }


def _norm(module: Any, _task: TemplateTask) -> Operation | None:
    if module.running_mean is None:
        return None
    scale = (module.running_var.double() + module.eps).rsqrt()
    shift = -module.running_mean.double() * scale
    if module.affine:
        scale, shift = scale * module.weight.double(), shift * module.weight.double() + module.bias.double()
    return {"kind": "scale", "scale": _array(scale), "shift": _array(shift)}


def _pool(kind: str, module: Any) -> Operation:
    size, stride, padding = ([v, v] if isinstance(v, int) else [*v] for v in (module.kernel_size, module.stride, module.padding))
    return {"kind": kind, "size": size, "stride": stride, "padding": padding}


def _sparse(module: Any, _task: TemplateTask) -> Operation | None:
    """A linear layer that states its weights; they have a bias of the layer's size beside them, or none."""
    import scipy.sparse

    weight = module.sparse_weight()
    if weight.ndim != 2:
        return None
    weight = weight.to_sparse_coo().coalesce()
    row, column = weight.indices().cpu().numpy()
    matrix = scipy.sparse.csr_array((weight.values().double().cpu().numpy(), (row, column)), shape=tuple(weight.shape))
    bias = getattr(module, "bias", None)
    arrays = {"starts": matrix.indptr, "columns": matrix.indices, "values": matrix.data, "bias": _array(bias)}
    return {"kind": "sparse", **arrays}


def _match(module: Any, task: TemplateTask) -> Operation | None:
    """A layer that compares windows with the tiles of its attribute ``task``, which are those of the data set."""
    own = getattr(module, "task", None)
    if not isinstance(own, TemplateTask) or len(own.tiles) != len(task.tiles):
        return None
    pairs = list(zip(own.tiles, task.tiles, strict=True))
    if not all(np.array_equal(a.values, b.values) and np.array_equal(a.support, b.support) for a, b in pairs):
        return None
    epsilon = np.array([tile.epsilon for tile in own.tiles])
    return {"kind": "match", "epsilon": epsilon, "patches": bool(getattr(module, "patches", False))}


def _matching(network: Network) -> Program | None:
    """Return the formula of a network that computes φ: its layer of all windows of all tiles, and the sum of each class.

    None for any other network, and where no layer has a neuron for each tile and window.
    """
    from scipy.sparse import csr_array

    from tmi.networks.certificate import is_phi

    task = network.task
    if network.origin != "constructed" or not task.has_tiles or not is_phi(network):
        return None
    windows = np.array(task.windows).prod(1)
    hidden = next((layer for layer in network.layers if _is_of_windows(network, layer, windows)), None)
    if hidden is None:
        return None
    total = int(windows.sum())
    of_class = np.repeat(task.tile_class, windows)
    sums = csr_array((np.ones(total), (of_class, np.arange(total))), shape=(len(task.classes), total))
    operations: list[Operation] = [
        {"kind": "match", "epsilon": np.array([tile.epsilon for tile in task.tiles]), "patches": False, "shape": [total]},
        {
            "kind": "sparse",
            "starts": sums.indptr,
            "columns": sums.indices,
            "values": sums.data,
            "bias": None,
            "shape": [len(task.classes)],
        },
    ]
    others = [layer for layer in network.layers[:-1] if layer != hidden]
    note = "Computed as template matching, which gives the same function"
    note += f"; the layers {', '.join(others)} are not shown. " if others else ". "
    note += "The gradient is that of Theorem 1 also where the image equals the tile."
    return Program(operations, {hidden: 0, network.layers[-1]: 1}, note)


def _is_of_windows(network: Network, layer: str, windows: Any) -> bool:
    columns = network.meanings.get(layer)
    if columns is None or callable(columns) or not {"tile", "row", "col"} <= set(columns):
        return False
    tile = np.asarray(columns["tile"])
    if len(tile) != windows.sum() or not (tile == np.repeat(np.arange(len(windows)), windows)).all():
        return False
    places = np.concatenate([np.indices(shape).reshape(2, -1) for shape in network.task.windows], axis=1)
    return bool((places == np.stack([np.asarray(columns["row"]), np.asarray(columns["col"])])).all())


def evaluate(operation: Operation, x: torch.Tensor, task: TemplateTask) -> torch.Tensor:
    """Return the output of an operation on a batch x, in float64: the plain version of what network.js computes."""
    import torch
    from torch.nn import functional as F

    kind, of = operation["kind"], {k: torch.from_numpy(np.asarray(v)) for k, v in operation.items() if isinstance(v, np.ndarray)}
    shape = (len(x), *operation["shape"])
    if kind == "match":
        return _distances(operation, x, task)
    x = x.double()
    if kind == "conv":
        how = {name: operation[name] for name in ("stride", "padding", "dilation", "groups")}
        return F.conv2d(x, of["weight"].double(), of["bias"].double() if "bias" in of else None, **how)
    if kind == "linear":
        return F.linear(x.flatten(1), of["weight"].double(), of["bias"].double() if "bias" in of else None).view(shape)
    if kind == "sparse":
        from scipy.sparse import csr_array

        size = shape[1], x[0].numel()
        matrix = csr_array((operation["values"], operation["columns"], operation["starts"]), shape=size)
        summed = torch.from_numpy((matrix @ x.flatten(1).cpu().numpy().T).T.copy())
        return (summed + of["bias"].double() if "bias" in of else summed).view(shape)
    if kind == "scale":
        per_channel = (1, -1, *[1] * (x.ndim - 2))
        return x * of["scale"].view(per_channel) + of["shift"].view(per_channel)
    if kind in ("max-pool", "average-pool"):
        pool: Any = F.max_pool2d if kind == "max-pool" else F.avg_pool2d
        pooled: torch.Tensor = pool(x, operation["size"], operation["stride"], operation["padding"])
        return pooled
    if kind == "adaptive-average-pool":
        return F.adaptive_avg_pool2d(x, shape[2:])  # type: ignore[arg-type]
    return x.relu() if kind == "relu" else x.reshape(shape)


def _distances(operation: Operation, x: torch.Tensor, task: TemplateTask) -> torch.Tensor:
    import torch

    from tmi.tasks.matching.matches import match

    matches = match(x, [tile.with_epsilon(float(e)) for tile, e in zip(task.tiles, operation["epsilon"], strict=True)])
    windows = torch.tensor(task.windows)
    first = windows.prod(1).cumsum(0) - windows.prod(1)
    result = torch.zeros(len(x), int(windows.prod(1).sum()), dtype=torch.float64)
    neuron = first[matches.tile] + matches.row * windows[matches.tile, 1] + matches.col
    result[matches.image, neuron] = matches.slack.double()
    return result


def _compare(network: Network, found: Program, images: torch.Tensor) -> None:
    """Check that the operations, one after another, give the activations of the network's layers and its logits."""
    activations = network.activations(images, list(found.outputs))
    x: torch.Tensor = images
    for number, operation in enumerate(found.operations):
        x = evaluate(operation, x, network.task)
        for layer, last in found.outputs.items():
            if last == number and _largest(x - activations[layer]) > TOLERANCE * max(1.0, _largest(activations[layer])):
                raise InputError(f"the explorer's operations do not give the activations of layer {layer!r}")


def _largest(values: torch.Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def _array(tensor: Any) -> Any:
    return None if tensor is None else tensor.detach().double().cpu().numpy()
