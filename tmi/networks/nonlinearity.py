"""The non-linearity that follows a layer: activations before it are not those that most measures of neurons mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

_RECTIFIERS = (
    "relu",
    "relu6",
    "leaky_relu",
    "rrelu",
    "prelu",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "mish",
    "softplus",
    "threshold",
)
_SQUASHERS = ("sigmoid", "logsigmoid", "tanh", "tanhshrink", "softsign", "hardtanh", "hardswish", "hardsigmoid", "clamp", "clip")
_FUNCTIONS = {*_RECTIFIERS, *_SQUASHERS, "clamp_min", "hardshrink", "softshrink"}
_BETWEEN_FUNCTIONS = (
    "batch_norm",
    "instance_norm",
    "group_norm",
    "layer_norm",
    "dropout",
    "max_pool",
    "flatten",
    "view",
    "reshape",
)
_BETWEEN_MODULES = ("BatchNorm", "InstanceNorm", "GroupNorm", "LayerNorm", "Dropout", "Identity", "MaxPool", "Flatten")
"""Beginnings of the names of what may stand between a layer and its non-linearity."""


@contextmanager
def watching(module: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, str]]:
    """See which non-linearity is applied to the output of each layer while the module is evaluated inside the block.

    Parameters
    ----------
    module : torch.nn.Module
    layers : sequence of str

    Yields
    ------
    dict of str to str
        The function by layer, as ``{"conv": "relu"}``; layers without one are not in it. It is filled during the evaluation.
    """
    from torch.overrides import TorchFunctionMode

    outputs: dict[int, tuple[set[str], Any]] = {}  # the tensors are kept, so that no other one gets the id
    found: dict[str, str] = {}

    class Watching(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            known, _ = outputs.get(id(args[0]), (None, None)) if args else (None, None)
            name = str(getattr(function, "__name__", "")).rstrip("_")
            if known and name in _FUNCTIONS:
                found.update({layer: name for layer in known if layer not in found})
            elif known and name.startswith(_BETWEEN_FUNCTIONS):
                mark(result, known)
            return result

    def mark(output: Any, names: set[str]) -> None:
        known, _ = outputs.get(id(output), (set(), None))
        outputs[id(output)] = known | names, output

    def hook_of(layer: str) -> Any:
        return lambda _module, _inputs, output: mark(output, {layer})

    modules = dict(module.named_modules(remove_duplicate=False))
    handles = [modules[layer].register_forward_hook(hook_of(layer)) for layer in layers]
    try:
        with Watching():
            yield found
    finally:
        for handle in handles:
            handle.remove()


def can_watch(module: nn.Module) -> bool:
    """Return whether `watching` changes no bit: attention takes other kernels while functions are watched."""
    from torch.nn import MultiheadAttention, TransformerEncoder, TransformerEncoderLayer

    return not any(
        isinstance(part, MultiheadAttention | TransformerEncoder | TransformerEncoderLayer) for part in module.modules()
    )


def defined_after(module: nn.Module, layer: str) -> str:
    """Return the name of the non-linear module that is defined after a layer without one; empty if there is none.

    This needs no evaluation. What a forward pass calls as a function is not seen.
    """
    leaves = [(name, part) for name, part in module.named_modules() if not part._modules]
    at = next((number for number, (name, _) in enumerate(leaves) if name == layer), None)
    if at is None or not leaves[at][1]._parameters or _is_nonlinear(leaves[at][1]):
        return ""
    parent = layer.rpartition(".")[0]
    name: str
    for name, part in leaves[at + 1 :]:
        if not name.startswith(f"{parent}." if parent else ""):
            return ""
        if _is_nonlinear(part):
            return name
        if not type(part).__name__.startswith(_BETWEEN_MODULES):
            return ""
    return ""


def _is_nonlinear(part: nn.Module) -> bool:
    return type(part).__module__ == "torch.nn.modules.activation" and type(part).__name__ not in ("Softmax", "LogSoftmax")
