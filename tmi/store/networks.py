"""Networks in files: described layer by layer with their weights, or left to their builder.

A network of standard torch layers comes back from its file as it was, without training; that is tried when it is written. Any
other is built by its builder again; its weights are kept for readers, and those that `tmi.train_once` trained for the builder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tmi.errors import DamagedFileError, InputError, did_you_mean
from tmi.networks.network import Network
from tmi.networks.train_once import Arrays, Trained, as_tensor, state_arrays
from tmi.probing.result import LabelledArray

from .architecture import NotDescribableError, description_of, rebuild
from .datasets import task_digest
from .roundtrip import as_json, from_json, is_text, same_bits

if TYPE_CHECKING:
    import torch
    from torch import nn

    from tmi.tasks.task import TemplateTask

LARGEST_COPY = 64_000_000
"""Bytes of weights that are kept of a network which is built again all the same."""
MOST_CELLS = 1_000_000
"""Rows × columns of meanings that a file keeps, over all layers."""

_HELD = {"module", "layers", "task", "name", "seed", "params", "origin", "meanings", "history"}
_AXES = {"Linear": ("out", "in"), "Conv1d": ("out", "in", "col"), "Conv2d": ("out", "in", "row", "col")}

Labelled = dict[str, LabelledArray]


def pack(
    network: Network, images: torch.Tensor, *, task: TemplateTask | None = None, trained: Trained | None = None
) -> tuple[dict[str, Any], Labelled] | None:
    """Return what a file holds of a network.

    Parameters
    ----------
    network : Network
    images : Tensor, shape (N, C, m, n)
        A few, on which the network that comes back must have the same logits, bit for bit.
    task : TemplateTask, optional
        That of its data set; a network with a task of its own is left to its builder.
    trained : Trained, optional
        What `tmi.networks.train_once.recording` collected while it was built.

    Returns
    -------
    header : dict
        JSON. ``restored_by`` is ``"file"`` if `unpack` brings the network back, else ``"builder"``, and then ``reason`` says why.
    arrays : dict of str to LabelledArray
        ``weights.NAME`` by the names of the module's ``state_dict``, ``history.NAME``, ``meanings.LAYER.COLUMN``; or
        ``trained.…`` and ``trained_history.…``, see `trained_of`.

    None is returned for a name, settings or layers that JSON cannot hold.

    Notes
    -----
    Weights may be NaN or infinite: they come back as they are. Gradients are not kept. Meanings that are made when they are asked
    for are made and kept for trained networks; constructed ones are left to their builder, which is quick.
    """
    header: dict[str, Any] = {
        "origin": network.origin,
        "layers": list(network.layers),
        "name": network.name,
        "seed": network.seed,
        "params": dict(network.params),
    }
    try:
        header = as_json(header)
    except ValueError:
        return None
    try:
        return _whole(header, network, images, task)
    except NotDescribableError as why:
        return _remains(header | {"restored_by": "builder", "reason": str(why)}, network, trained)


def unpack(header: Mapping[str, Any], arrays: Mapping[str, LabelledArray], task: TemplateTask) -> Network | None:
    """Return the network that a file holds, or None if its builder has to make it.

    Parameters
    ----------
    header : mapping
    arrays : mapping of str to LabelledArray
    task : TemplateTask
        That of its data set; it becomes the network's.

    Raises
    ------
    DamagedFileError
        If they are no network, or one of another task. Nothing is made that is larger than the arrays.
    """
    try:
        if header["restored_by"] == "builder":
            return None
        if header["restored_by"] != "file":
            raise DamagedFileError(f"restored_by: {header['restored_by']!r} is unknown")
        if header["task"] != task_digest(task):
            raise DamagedFileError("the network belongs to another task")
        module = rebuild(header["module"])
        _load(module, weights_of(header, arrays), header["frozen"])
        name, seed = header["name"], header["seed"]
        if not isinstance(name, str) or not (seed is None or type(seed) is int):
            raise DamagedFileError(f"name {name!r} and seed {seed!r}: expected a word and a whole number")
        network = Network(
            module,
            header["layers"],
            header["origin"],
            task=task,
            meanings=_meanings(header, arrays),
            history={key: arrays[f"history.{key}"].values for key in header["history"]},
            name=name,
            seed=seed,
            params=dict(from_json(header["params"])),
        )
        for part in header["training"]:
            module.get_submodule(part).training = True
        return network
    except (KeyError, TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
        raise DamagedFileError(f"is no network ({type(error).__name__}: {error})") from error


def weights_of(header: Mapping[str, Any], arrays: Mapping[str, LabelledArray]) -> Arrays:
    """Return a stored network's weights by their names in its ``state_dict``; empty if the file has none."""
    return {name: arrays[f"weights.{name}"].values for name in header.get("weights", ())}


def trained_of(header: Mapping[str, Any], arrays: Mapping[str, LabelledArray]) -> Trained | None:
    """Return what `tmi.train_once` trained for the builder, for `tmi.networks.train_once.weights`; None if there is nothing."""
    names = header.get("trained")
    if names is None:
        return None
    return Trained(
        {name: arrays[f"trained.{name}"].values for name in names["weights"]},
        {name: arrays[f"trained_history.{name}"].values for name in names["history"]},
    )


def difference(one: Network, other: Network, images: torch.Tensor) -> str:
    """Name the first thing in which two networks differ, bit for bit; empty if there is none.

    Parameters
    ----------
    one, other : Network
    images : Tensor, shape (N, C, m, n)
        On which their logits are compared.
    """
    for name in ("layers", "origin", "task", "name", "seed", "params"):
        if getattr(one, name) != getattr(other, name):
            return name
    states = [state_arrays(network.module) for network in (one, other)]
    if list(states[0]) != list(states[1]):
        return "names of the weights"
    for name, value in states[0].items():
        if not same_bits(value, states[1][name]):
            return f"weight {name!r}"
    if _frozen(one.module) != _frozen(other.module):
        return "what requires a gradient"
    if _in_training(one.module) != _in_training(other.module):
        return "modes"
    if list(one.history) != list(other.history) or not all(same_bits(v, other.history[k]) for k, v in one.history.items()):
        return "history"
    for layer in {**one.meanings, **other.meanings}:
        columns = [_columns(network.meanings.get(layer)) for network in (one, other)]
        if list(columns[0]) != list(columns[1]) or not all(_same_column(v, columns[1][k]) for k, v in columns[0].items()):
            return f"meanings of {layer!r}"
    return "" if same_bits(one.logits(images), other.logits(images)) else "logits"


def _whole(
    header: dict[str, Any], network: Network, images: torch.Tensor, task: TemplateTask | None
) -> tuple[dict[str, Any], Labelled]:
    if type(network) is not Network or vars(network).keys() != _HELD:
        raise NotDescribableError("it is more than a tmi.Network")
    if task is not None and network.task is not task:
        raise NotDescribableError("its task is not that of its data set")
    description = description_of(network.module)
    try:
        weights = state_arrays(network.module)
    except InputError as error:
        raise NotDescribableError(str(error)) from None
    weight_names, arrays = _weight_arrays("weights", weights, network.module)
    history, more = _history_arrays(network.history)
    meanings, columns = _meaning_arrays(network)
    header = header | {
        "restored_by": "file",
        "module": description,
        "weights": weight_names,
        "frozen": _frozen(network.module),
        "training": _in_training(network.module),
        "history": history,
        "meanings": meanings,
        "task": task_digest(network.task),
    }
    arrays = arrays | more | columns
    try:
        back = unpack(header, arrays, network.task)
        assert back is not None
        differs = difference(network, back, images)
    except Exception as error:  # whatever a module does on these images
        raise NotDescribableError(f"it cannot be tried ({type(error).__name__}: {error})") from None
    if differs:
        raise NotDescribableError(f"it does not come back as it was: {differs}")
    return header, arrays


def _remains(header: dict[str, Any], network: Network, trained: Trained | None) -> tuple[dict[str, Any], Labelled]:
    """Return what is kept of a network that its builder makes again."""
    arrays: Labelled = {}
    if trained is not None and trained.problem:
        header["reason"] += f"; what was trained is not kept: {trained.problem}"
    try:
        if trained is not None and not trained.problem and (trained.weights or trained.history):
            weights, arrays = _weight_arrays("trained", trained.weights)
            history, more = _history_arrays(trained.history, "trained_history")
            arrays |= more
            header["trained"] = {"weights": weights, "history": history}
        elif sum(value.nbytes for value in network.module.state_dict().values()) <= LARGEST_COPY:
            weights, arrays = _weight_arrays("weights", state_arrays(network.module))
            history, more = _history_arrays(network.history)
            arrays |= more
            header |= {"weights": weights, "history": history}
    except (InputError, NotDescribableError, AttributeError, RuntimeError):
        return header, {}  # sparse ones, and others that are no plain arrays
    return header, arrays


def _load(module: nn.Module, weights: Arrays, frozen: Sequence[str]) -> None:
    """Give the weights to a module on torch's device ``meta``."""
    own = module.state_dict()
    for name in own:
        if name not in weights:
            raise DamagedFileError(f"weight {name!r}: is missing{did_you_mean(name, weights)}")
    for name, array in weights.items():
        if name not in own:
            raise DamagedFileError(f"weight {name!r}: the module has none{did_you_mean(name, own)}")
        if array.shape != tuple(own[name].shape) or (array.dtype.kind == "f") != own[name].is_floating_point():
            raise DamagedFileError(
                f"weight {name!r}: {array.dtype} {array.shape} does not fit its layer, {tuple(own[name].shape)}"
            )
    module.load_state_dict({name: as_tensor(array) for name, array in weights.items()}, assign=True)
    if any(value.is_meta for value in (*module.parameters(), *module.buffers())):
        raise DamagedFileError("a weight has no values")
    for name in frozen:
        module.get_parameter(name).requires_grad_(False)


def _frozen(module: nn.Module) -> list[str]:
    return [name for name, weight in module.named_parameters() if not weight.requires_grad]


def _in_training(module: nn.Module) -> list[str]:
    return [name for name, part in module.named_modules() if part.training]


def _weight_arrays(prefix: str, weights: Arrays, module: nn.Module | None = None) -> tuple[list[str], Labelled]:
    """Return weights with named axes: ``out.LAYER``, ``in.LAYER``, … of standard layers, else numbered ones."""
    arrays: Labelled = {}
    lengths: dict[str, int] = {}
    for name, values in weights.items():
        _check_name(name)
        layer, _, own = name.rpartition(".")
        kind = type(module.get_submodule(layer)).__name__ if module is not None else ""
        words: tuple[str, ...] = _AXES.get(kind, ()) if own == "weight" else ("out",) if module is not None else ()
        dims = [f"{word}.{layer}".rstrip(".") for word in words]
        if len(dims) != values.ndim or any(lengths.get(d, n) != n for d, n in zip(dims, values.shape, strict=True)):
            dims = [f"axis{axis}.{name}" for axis in range(values.ndim)]
        lengths |= dict(zip(dims, values.shape, strict=True))
        arrays[f"{prefix}.{name}"] = LabelledArray(tuple(dims), values)
    return list(weights), arrays


def _history_arrays(history: Mapping[str, Any], prefix: str = "history") -> tuple[list[str], Labelled]:
    arrays: Labelled = {}
    epochs = next((len(v) for v in history.values() if isinstance(v, np.ndarray) and v.ndim == 1), 0)
    for name, values in history.items():
        _check_name(name)
        if not isinstance(values, np.ndarray) or values.dtype != np.float64:
            raise NotDescribableError(f"history {name!r}: is no array of float64")
        by_epoch = values.shape == (epochs,)
        dims = ("epoch",) if by_epoch else tuple(f"step{axis}.{name}" for axis in range(values.ndim))
        arrays[f"{prefix}.{name}"] = LabelledArray(dims, values)
    return list(history), arrays


def _meaning_arrays(network: Network) -> tuple[list[Any], Labelled]:
    named: list[Any] = []
    arrays: Labelled = {}
    cells = 0
    for layer, given in network.meanings.items():
        if callable(given) and network.origin == "constructed":
            raise NotDescribableError(f"meanings {layer!r}: are made when they are asked for")
        columns: list[list[str]] = []
        for column, values in _columns(given).items():
            _check_name(column)
            cells += len(values)
            name = f"meanings.{layer}.{column}"
            if cells > MOST_CELLS or name in arrays:
                raise NotDescribableError(f"meanings {layer!r}: are more than a file keeps")
            form, array = _form(values, name)
            columns.append([column, form])
            arrays[name] = LabelledArray((f"neuron.{layer}",), array)
        named.append([layer, columns])
    return named, arrays


def _columns(given: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None) -> dict[str, Any]:
    return dict((given() if callable(given) else given) or {})


_FORMS: dict[str, Callable[[NDArray[Any]], Any]] = {
    "array": lambda values: values,
    "objects": lambda values: values.astype(object),
    "list": lambda values: values.tolist(),
    "tuple": lambda values: tuple(values.tolist()),
}


def _form(values: Any, name: str) -> tuple[str, NDArray[Any]]:
    """Say as what a column comes back, and return it as an array of numbers or words."""
    form = {list: "list", tuple: "tuple", np.ndarray: "array"}.get(type(values), "")
    if form == "array" and values.dtype == object:
        form = "objects"
    try:
        array = np.array(values)
    except ValueError:  # rows of different lengths
        form, array = "", np.empty(0)
    if form == "objects" and all(isinstance(word, str) for word in values):
        array = array.astype(str)
    if array.dtype.kind == "U" and not all(map(is_text, array.tolist())):
        form = ""
    if not form or array.dtype.kind not in "biufU" or array.ndim != 1 or not _same_column(_FORMS[form](array), values):
        raise NotDescribableError(f"{name}: is no plain column of numbers or words")
    return form, array


def _same_column(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or len(one) != len(other):
        return False
    if isinstance(one, np.ndarray) and one.dtype != object:
        return same_bits(one, other)
    return all(type(a) is type(b) and (a == b or (a != a and b != b)) for a, b in zip(one, other, strict=True))


def _meanings(header: Mapping[str, Any], arrays: Mapping[str, LabelledArray]) -> dict[str, dict[str, Any]]:
    return {
        layer: {column: _FORMS[form](arrays[f"meanings.{layer}.{column}"].values) for column, form in columns}
        for layer, columns in header["meanings"]
    }


def _check_name(name: Any) -> None:
    if not is_text(name) or "/" in name:
        raise NotDescribableError(f"{name!r}: is no name that a file can hold")
