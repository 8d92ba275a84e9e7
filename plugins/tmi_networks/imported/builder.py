"""The builder `imported`: options that people's models need, and where each kind of model is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tmi
from tmi.errors import InputError
from tmi.params import Count, Index, Positive, Source

if TYPE_CHECKING:
    from torch import nn


def imported(
    data: tmi.Dataset,
    *,
    module: Source,
    arguments: dict[str, Any] | None = None,
    weights: Path | None = None,
    layers: list[str] | str | None = None,
    mean: list[float] | float | None = None,
    std: list[Positive] | Positive | None = None,
    input_size: list[Count] | Count | None = None,
    channels: Count | None = None,
    output: int | str | None = None,
    form: Literal["squeeze", "sigmoid", "mean", "max"] | None = None,
    classes: list[Index] | None = None,
    parts: dict[str, int | str] | None = None,
    dtype: Literal["float32", "float64"] | None = None,
) -> tmi.Network:
    """Read a network that was made elsewhere.

    Code runs: name only models that you trust. Nothing is unpickled.

    Parameters
    ----------
    data : Dataset
    module : Source
        "net.py:make", a function or class in a file that gives a torch.nn.Module, or such a module; "package.module:Net", the
        same in an installed package; "net.pt2", a program of torch.export; or "net.onnx".
    arguments : dict
        Keyword arguments of the function or class.
    weights : Path
        The weights by name: a file of safetensors, or of torch.save with tensors alone (.pt, .pth, .ckpt, .bin). Names must be
        those of the module; a "module." before all of them is removed, and a "state_dict" or "model" in a checkpoint is found.
        Without it the module has the weights that the code gives it.
    layers : list of str
        Names of submodules, patterns such as "layer*", or kinds such as "relu"; see `tmi.wrap`.
    mean, std : list of float
        The module gets (image − mean)/std, one number for all channels or one a channel.
    input_size : list of int
        Rows and columns that the module takes; images are resized.
    channels : int
        Channels that the module takes; a grey image is repeated.
    output : int or str
        Which part of the module's answer the logits are: a position or a name. Of an ONNX file the rest is left out.
    form : str
        How that part becomes logits; see `tmi.Network`.
    classes : list of int
        Which outputs are the classes of the task, in the task's order.
    parts : dict
        For a layer whose output is no single tensor, which part of it the activations are.
    dtype : str
        In which to compute; by default that of the weights, at least float32.

    Returns
    -------
    Network
        Of origin "imported". Layers that work in place give new tensors instead, which changes no number.

    Raises
    ------
    InputError
        If the module cannot be made, the weights do not fit or are pickled objects, an operator cannot be converted, or an option
        does not fit, with the remedy.
    """
    size = data.task.image_shape[1:] if input_size is None else [input_size] * 2 if isinstance(input_size, int) else input_size
    network = _module(module, arguments or {}, weights, output, (channels or data.task.image_shape[0], *size))
    if module.path is not None and module.path.suffix.lower() == ".onnx":
        output = None  # the file says which of its outputs that is
    for part in network.modules():
        if getattr(part, "inplace", False) is True:
            part.inplace = False  # type: ignore[assignment]
    return tmi.wrap(
        network,
        data,
        layers,
        mean=mean,
        std=std,
        input_size=input_size,
        channels=channels,
        output=output,
        form=form,
        classes=classes,
        parts=parts,
        dtype=dtype,
    )


def _module(
    source: Source, arguments: dict[str, Any], weights: Path | None, output: int | str | None, image_shape: tuple[int, ...]
) -> nn.Module:
    if source.name:
        from .code import make
        from .weights import load_weights

        module = make(source, arguments)
        if weights is not None:
            load_weights(module, weights)
        return module
    assert source.path is not None
    ending = source.path.suffix.lower()
    if ending in (".pt", ".pth", ".ckpt", ".bin", ".safetensors"):
        raise InputError(
            f'module: {source.path.name} holds weights, and the code is missing; give module = "net.py:make" and '
            f'weights = "{source.path.name}"'
        )
    if ending not in (".pt2", ".onnx"):
        raise InputError(
            f'module: {source.path.name} is neither code ("net.py:make"), nor a program (.pt2), nor an ONNX file (.onnx)'
        )
    for name, value in (("arguments", arguments), ("weights", weights)):
        if value:
            raise InputError(f"{name}: {source.path.name} is complete; leave them out")
    if ending == ".pt2":
        from .program import read_program

        return read_program(source.path)
    from .onnx_file import read_onnx

    return read_onnx(source.path, output, image_shape)
