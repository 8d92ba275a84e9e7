"""Modules as plain words and numbers: what standard torch layers they are made of, with which settings.

A file names the layers of a network, and never a class to import or code to run: each name is looked up in one fixed table, and
each setting is checked against its type. A module that is more than its description, by a class, an attribute or a hook of its
own, has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from tmi.errors import DamagedFileError, TmiError, did_you_mean
from tmi.hashing import canonical

if TYPE_CHECKING:
    from torch import nn

Description = dict[str, Any]

_Number = int | float
_Side1 = int | tuple[int]
_Side2 = int | tuple[int, int]
_Adaptive = int | None | tuple[int | None, int | None]
_PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
_Interpolation = Literal["nearest", "linear", "bilinear", "bicubic", "trilinear", "nearest-exact"]

_BATCH_NORM = {
    "num_features": int,
    "eps": _Number,
    "momentum": _Number | None,
    "affine": bool,
    "track_running_stats": bool,
}


def _convolution(side: Any) -> dict[str, Any]:
    return {
        "in_channels": int,
        "out_channels": int,
        "kernel_size": side,
        "stride": side,
        "padding": side | Literal["same", "valid"],
        "dilation": side,
        "groups": int,
        "bias": bool,
        "padding_mode": _PaddingMode,
    }


def _max_pool(side: Any) -> dict[str, Any]:
    # Indices in place of values would be no activations.
    return {"kernel_size": side, "stride": side | None, "padding": side, "dilation": side, "ceil_mode": bool}


LAYERS: dict[str, dict[str, Any]] = {
    "Conv1d": _convolution(_Side1),
    "Conv2d": _convolution(_Side2),
    "Linear": {"in_features": int, "out_features": int, "bias": bool},
    "Identity": {},
    "Flatten": {"start_dim": int, "end_dim": int},
    "Unflatten": {"dim": int, "unflattened_size": tuple[int, ...]},
    "ReLU": {"inplace": bool},
    "ReLU6": {"inplace": bool},
    "LeakyReLU": {"negative_slope": _Number, "inplace": bool},
    "PReLU": {"num_parameters": int, "init": _Number},
    "ELU": {"alpha": _Number, "inplace": bool},
    "GELU": {"approximate": Literal["none", "tanh"]},
    "SiLU": {"inplace": bool},
    "Softplus": {"beta": _Number, "threshold": _Number},
    "Sigmoid": {},
    "Tanh": {},
    "Softmax": {"dim": int | None},
    "LogSoftmax": {"dim": int | None},
    "MaxPool1d": _max_pool(_Side1),
    "MaxPool2d": _max_pool(_Side2),
    "AvgPool1d": {"kernel_size": _Side1, "stride": _Side1, "padding": _Side1, "ceil_mode": bool, "count_include_pad": bool},
    "AvgPool2d": {
        "kernel_size": _Side2,
        "stride": _Side2 | None,
        "padding": _Side2,
        "ceil_mode": bool,
        "count_include_pad": bool,
        "divisor_override": int | None,
    },
    "AdaptiveAvgPool2d": {"output_size": _Adaptive},
    "AdaptiveMaxPool2d": {"output_size": _Adaptive},
    "BatchNorm1d": _BATCH_NORM,
    "BatchNorm2d": _BATCH_NORM,
    "GroupNorm": {"num_groups": int, "num_channels": int, "eps": _Number, "affine": bool},
    "LayerNorm": {"normalized_shape": tuple[int, ...], "eps": _Number, "elementwise_affine": bool, "bias": bool},
    "Dropout": {"p": _Number, "inplace": bool},
    "Dropout2d": {"p": _Number, "inplace": bool},
    "Upsample": {
        "size": _Side2 | None,
        "scale_factor": _Number | tuple[_Number, _Number] | None,
        "mode": _Interpolation,
        "align_corners": bool | None,
        "recompute_scale_factor": bool | None,
    },
}
"""The layers of torch that a file may name, their settings and types; beside them ``Sequential``, which holds others."""

_MODE = ("training", "_is_full_backward_hook")  # the one is kept by itself, the other outlives its hook


class NotDescribableError(TmiError):
    """Why a file cannot hold a network so that it comes back as it was."""


def describe(module: nn.Module) -> Description | None:
    """Describe a module made only of standard layers, or return None.

    Parameters
    ----------
    module : torch.nn.Module

    Returns
    -------
    dict or None
        JSON: ``{"layer": name, "settings": {…}}``, and ``{"layer": "Sequential", "parts": [[name, description], …]}``. It says
        nothing of weights, modes and what requires a gradient. None for layers that are not in `LAYERS`, subclasses, hooks,
        parametrizations, submodules or weights that are used twice, and attributes that the layer's class does not set itself.
    """
    try:
        return description_of(module)
    except NotDescribableError:
        return None


def description_of(module: nn.Module) -> Description:
    """Describe a module as `describe` does.

    Raises
    ------
    NotDescribableError
        With the reason in one line, where there is no description.
    """
    description: Description = _described(module, "", set())
    _check_weights(module)
    try:
        description = json.loads(canonical(description).encode())
        twin = rebuild(description)
    except (ValueError, DamagedFileError) as error:  # NaN for a setting, a child named by a lone surrogate
        raise NotDescribableError(f"its description cannot be kept ({error})") from None
    for (name, one), other in zip(module.named_modules(), twin.modules(), strict=True):
        difference = _difference(one, other)
        if difference:
            raise NotDescribableError(f"{name or 'the module'} ({type(one).__name__}): {difference}")
    return description


def rebuild(description: Mapping[str, Any]) -> nn.Module:
    """Make the module of a description, on torch's device ``meta``: its weights have shapes, and neither memory nor values.

    Nothing is drawn for them, so that torch's random numbers are left as they are. Give it weights with
    ``load_state_dict(…, assign=True)``.

    Raises
    ------
    DamagedFileError
        For unknown layers and settings, values of a wrong type, and what torch refuses.
    """
    import torch

    try:
        with torch.device("meta"):
            return _made(description, "")
    except RecursionError:
        raise DamagedFileError("module: its parts are nested too deeply") from None


def _described(module: nn.Module, name: str, seen: set[int]) -> Description:
    from torch import nn

    where = name or "the module"
    if id(module) in seen:
        raise NotDescribableError(f"{where}: is used more than once")
    seen.add(id(module))
    layer = type(module).__name__
    if type(module) is nn.Sequential:
        prefix = f"{name}." if name else ""
        return {
            "layer": layer,
            "parts": [[key, _described(part, prefix + key, seen)] for key, part in module._modules.items() if part is not None],
        }
    if layer not in LAYERS or type(module) is not getattr(nn, layer):
        raise NotDescribableError(f"{where}: {layer} is not one of the layers that a file describes")
    settings = {key: getattr(module, key, None) for key in LAYERS[layer] if key != "bias"}
    if "bias" in LAYERS[layer]:
        settings["bias"] = getattr(module, "bias", None) is not None
    return {"layer": layer, "settings": settings}


def _made(description: Any, where: str) -> nn.Module:
    from torch import nn

    here = where or "the module"
    if not isinstance(description, Mapping) or not isinstance(description.get("layer"), str):
        raise DamagedFileError(f"{here}: is no description of a layer")
    layer = description["layer"]
    if layer == "Sequential":
        _check_names(description, ("layer", "parts"), here)
        made = nn.Sequential()
        for name, part in _parts(description["parts"], here):
            inner = f"{where}.{name}" if where else name
            if name in made._modules:
                raise DamagedFileError(f"{inner}: is there twice")
            try:
                made.add_module(name, _made(part, inner))
            except KeyError as error:  # a name that a module has already, or with a dot
                raise DamagedFileError(f"{inner}: is no name for a part ({error})") from None
        return made
    if layer not in LAYERS:
        raise DamagedFileError(f"{here}: layer {layer!r} is unknown{did_you_mean(layer, [*LAYERS, 'Sequential'])}")
    _check_names(description, ("layer", "settings"), here)
    settings = _settings(layer, description["settings"], here)
    try:
        return getattr(nn, layer)(**settings)  # type: ignore[no-any-return]
    except Exception as error:  # sizes below 0, beyond what torch can count, or that do not go together
        reason = str(error).partition("\n")[0]
        raise DamagedFileError(f"{here}: torch makes no {layer} of these settings ({reason})") from None


def _parts(parts: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(parts, list) or not all(isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) for p in parts):
        raise DamagedFileError(f"{where}: expected its parts as a list of [name, description]")
    return [(name, part) for name, part in parts]


def _settings(layer: str, given: Any, where: str) -> dict[str, Any]:
    import msgspec

    if not isinstance(given, Mapping):
        raise DamagedFileError(f"{where}: expected the settings of a {layer}, got {type(given).__name__}")
    types = LAYERS[layer]
    _check_names(given, types, f"{where} ({layer})")
    settings = {}
    for name, value in given.items():
        try:
            settings[name] = msgspec.convert(value, types[name], strict=True)
        except msgspec.ValidationError as error:
            raise DamagedFileError(f"{where} ({layer}): setting {name!r} is of another type ({error})") from None
    return settings


def _check_names(given: Mapping[str, Any], expected: Any, where: str) -> None:
    for name in expected:
        if name not in given:
            raise DamagedFileError(f"{where}: has no {name!r}")
    for name in given:
        if name not in expected:
            raise DamagedFileError(f"{where}: {name!r} is unknown{did_you_mean(name, expected)}")


def _check_weights(module: nn.Module) -> None:
    """Refuse weights of which an array holds less than all."""
    import torch
    from torch import nn

    places: set[int] = set()
    for name, value in (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)):
        if type(value) not in (nn.Parameter, torch.Tensor) or vars(value) or value._backward_hooks:
            raise NotDescribableError(f"{name}: is more than a plain tensor")
        if value.device.type != "cpu" or value.layout != torch.strided or not value.is_contiguous():
            raise NotDescribableError(f"{name}: is not a dense, contiguous tensor on the CPU")
        place = value.untyped_storage().data_ptr()
        if value.numel() and place in places:
            raise NotDescribableError(f"{name}: shares its memory with another weight")
        places.add(place)
        if value.requires_grad and type(value) is torch.Tensor:
            raise NotDescribableError(f"{name}: is a buffer that requires a gradient")


def _difference(one: nn.Module, other: nn.Module) -> str:
    """Say what a module has that its twin from the description has not."""
    theirs, twins = ({key: value for key, value in vars(m).items() if key not in _MODE} for m in (one, other))
    for key in theirs.keys() ^ twins.keys():
        return f"attribute {key!r} is not one that its class sets"
    for key, value in theirs.items():
        if key == "_modules":
            if list(value) != list(twins[key]):
                return "some of its parts are missing"
        elif key in ("_parameters", "_buffers"):
            if [(n, _kind(v)) for n, v in value.items()] != [(n, _kind(v)) for n, v in twins[key].items()]:
                return "its weights are not those of its settings"
        elif type(value) is not type(twins[key]) or value != twins[key]:
            return "has hooks" if key.endswith("_hooks") else f"attribute {key!r} is not what its settings make it"
    return ""


def _kind(value: Any) -> Any:
    return None if value is None else (type(value), tuple(value.shape), value.is_floating_point())
