"""Networks in files: the weights that were trained. The module itself is made by its builder.

A builder hands its training to `tmi.train_once`. It is done once; from then on the builder runs again, with the stored weights in
place of the training. Before they are stored, `why_not_kept` checks that this gives the same network bit for bit. A file also
holds a copy of the finished network's weights, for people and other programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tmi.errors import InputError
from tmi.networks.network import Network
from tmi.networks.train_once import Arrays, Trained, state_arrays
from tmi.networks.train_once import weights as given_weights
from tmi.probing.result import LabelledArray

from .datasets import task_digest
from .roundtrip import is_text, same_bits

if TYPE_CHECKING:
    import torch
    from torch import nn

LARGEST_COPY = 16_000_000
"""Bytes of weights that are copied of a network whose builder does not need them."""

_AXES = {"Linear": ("out", "in"), "Conv1d": ("out", "in", "col"), "Conv2d": ("out", "in", "row", "col")}

Labelled = dict[str, LabelledArray]


def why_not_kept(network: Network, trained: Trained, build: Callable[[], Network], images: torch.Tensor) -> str:
    """Return why the training of a network cannot be kept, in one clause; an empty string if it can, or if there was none.

    Parameters
    ----------
    network : Network
    trained : Trained
        What `tmi.networks.train_once.recording` collected while it was built.
    build : callable
        Builds the network again.
    images : Tensor, shape (N, C, m, n)
        A few, on which the network that is built with the weights must have the same logits, bit for bit.
    """
    if not trained.calls:
        return (
            "its builder trains without tmi.train_once: history = tmi.train_once(module, fit) keeps it"
            if network.origin == "trained"
            else ""
        )
    if trained.problem:
        return trained.problem
    try:
        with given_weights(trained.weights, trained.history):
            rebuilt = build()
        first = difference(network, rebuilt, images)
    except Exception as error:  # builders and modules may raise anything
        return f"it cannot be built with the weights: {error}"
    return first and f"its builder makes another network with the weights: {first} is different"


def pack(network: Network, trained: Trained | None = None) -> tuple[dict[str, Any], Labelled]:
    """Return what a file holds of a network.

    Parameters
    ----------
    network : Network
    trained : Trained, optional
        Its training, if that is to be kept.

    Returns
    -------
    header : dict
        JSON: ``origin``, ``layers``; ``weights`` and ``history``, names of what is copied; ``trained``, pairs of a name in a
        `Trained` and of the array that holds its values.
    arrays : dict of str to LabelledArray
        ``weights.NAME`` by the names of the module's ``state_dict``, ``history.NAME``, and ``trained.NUMBER`` for what was
        trained and is not among these.
    """
    copied = _copy_of(network, always=trained is not None and trained.calls > 0)
    arrays: Labelled = {}
    _add_weights(arrays, copied, network.module)
    _add_history(arrays, network.history)
    header: dict[str, Any] = {
        "origin": network.origin,
        "layers": list(network.layers),
        "weights": [name for name in copied if f"weights.{name}" in arrays],
        "history": [name for name in network.history if f"history.{name}" in arrays],
    }
    if trained is not None:
        header["trained"] = {
            "weights": _add_trained(arrays, "weights", trained.weights),
            "history": _add_trained(arrays, "history", trained.history),
        }
    return header, arrays


def weights_of(header: Mapping[str, Any], arrays: Mapping[str, LabelledArray]) -> Arrays:
    """Return the copy of a network's weights by their names in its ``state_dict``; empty if the file has none."""
    return {name: arrays[f"weights.{name}"].values for name in header["weights"]}


def trained_of(header: Mapping[str, Any], arrays: Mapping[str, LabelledArray]) -> Trained | None:
    """Return the training, for `tmi.networks.train_once.weights`; None if the file has none."""
    names = header.get("trained")
    if names is None:
        return None
    weights, history = ({name: arrays[array].values for name, array in names[part]} for part in ("weights", "history"))
    return Trained(weights, history)


def difference(one: Network, other: Network, images: torch.Tensor) -> str:
    """Name the first thing in which two networks differ, bit for bit; an empty string if there is none.

    Parameters
    ----------
    one, other : Network
    images : Tensor, shape (N, C, m, n)
        On which their logits are compared.
    """
    for name in ("layers", "origin", "name", "seed", "params"):
        if getattr(one, name) != getattr(other, name):
            return name
    if one.task is not other.task and task_digest(one.task) != task_digest(other.task):
        return "task"
    if [*map(_class_of, (one, *one.module.modules()))] != [*map(_class_of, (other, *other.module.modules()))]:
        return "a class"
    states = [state_arrays(network.module) for network in (one, other)]
    if list(states[0]) != list(states[1]):
        return "a name of a weight"
    for name, value in states[0].items():
        if not same_bits(value, states[1][name]):
            return f"weight {name!r}"
    if _frozen(one.module) != _frozen(other.module):
        return "what requires a gradient"
    if [part.training for part in one.module.modules()] != [part.training for part in other.module.modules()]:
        return "a mode"
    if not _same_columns(one.history, other.history):
        return "history"
    for layer in {**one.meanings, **other.meanings}:
        if not _same_columns(*(_columns(network.meanings.get(layer)) for network in (one, other))):
            return f"meaning of {layer!r}"
    return "" if same_bits(one.logits(images), other.logits(images)) else "a logit"


def _class_of(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"  # a class that a function defines is another in each call


def _frozen(module: nn.Module) -> list[str]:
    return [name for name, weight in module.named_parameters() if not weight.requires_grad]


def _columns(meanings: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None) -> Mapping[str, Any]:
    return (meanings() if callable(meanings) else meanings) or {}


def _same_columns(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return list(one) == list(other) and all(_same_column(values, other[name]) for name, values in one.items())


def _same_column(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or len(one) != len(other):
        return False
    if isinstance(one, np.ndarray) and one.dtype != object:
        return same_bits(one, other)
    return all(type(a) is type(b) and (a == b or (a != a and b != b)) for a, b in zip(one, other, strict=True))


def _copy_of(network: Network, *, always: bool) -> Arrays:
    """Return copies of the finished network's weights; none of what is large and not needed, or no plain arrays."""
    state = network.module.state_dict().values()
    try:
        if not always and sum(value.nbytes for value in state) > LARGEST_COPY:
            return {}
        return state_arrays(network.module)
    except (InputError, RuntimeError, AttributeError):
        return {}


def _add_weights(arrays: Labelled, values: Arrays, module: nn.Module) -> None:
    """Add weights with named axes: ``out.LAYER``, ``in.LAYER``, … of standard layers, else numbered ones."""
    lengths: dict[str, int] = {}
    classes = {name: type(part).__name__ for name, part in module.named_modules()}
    for name, array in _nameable(values.items()):
        layer, _, own = name.rpartition(".")
        words = _AXES.get(classes.get(layer, ""), ()) if own == "weight" else ("out",)
        dims = [f"{word}.{layer}".rstrip(".") for word in words]
        if len(dims) != array.ndim or any(lengths.get(d, n) != n for d, n in zip(dims, array.shape, strict=True)):
            dims = [f"axis{axis}.{name}" for axis in range(array.ndim)]
        lengths |= dict(zip(dims, array.shape, strict=True))
        arrays[f"weights.{name}"] = LabelledArray(tuple(dims), array)


def _add_history(arrays: Labelled, history: Mapping[str, Any]) -> None:
    recorded = {name: np.asarray(values, float) for name, values in history.items()}
    epochs = next((len(values) for values in recorded.values() if values.ndim == 1), 0)
    for name, values in _nameable(recorded.items()):
        dims = ("epoch",) if values.shape == (epochs,) else tuple(f"step{axis}.{name}" for axis in range(values.ndim))
        arrays[f"history.{name}"] = LabelledArray(dims, values)


def _add_trained(arrays: Labelled, kind: str, values: Arrays) -> list[tuple[str, str]]:
    """Add what was trained and is not there; return each name in `Trained` with the name of its array, in order."""
    names = []
    for name, array in values.items():
        copy = f"{kind}.{name.partition('.')[2]}"
        if copy not in arrays or not same_bits(arrays[copy].values, array):
            copy = f"trained.{len(arrays)}"
            arrays[copy] = LabelledArray(tuple(f"axis{axis}.{copy}" for axis in range(array.ndim)), array)
        names.append((name, copy))
    return names


def _nameable(items: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    return ((name, values) for name, values in items if is_text(name) and "/" not in name)
