"""Weights by name from a file, without unpickling anything, and the report of what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tmi.errors import DataFileError, InputError

from .messages import one_line, python_command

HOLDERS = ("state_dict", "model_state_dict", "model", "net", "module", "weights")
"""Under which names checkpoints hold the weights."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""What wrappers put before all names: DataParallel, torch.compile, and the classes that people train with."""

CONVERT = (
    'import torch; c = torch.load({}, map_location="cpu", weights_only=False); '
    'c = next((c[k] for k in ["state_dict", "model_state_dict", "model"] if isinstance(c, dict) and k in c), c); '
    'torch.save(dict(c.state_dict() if hasattr(c, "state_dict") else c), {})'
)
"""A program that writes the weights of a pickled module or checkpoint alone; it runs where the file was made."""

CONVERT_SCRIPT = 'import torch; torch.save(dict(torch.jit.load({}, "cpu").state_dict()), {})'
"""The same for a TorchScript program."""


def load_weights(module: nn.Module, file: Path) -> None:
    """Load weights into a module, whose weights become float32 or float64 where those of the file are more precise.

    Raises
    ------
    DataFileError
        If the file is damaged or of another format.
    InputError
        If it holds pickled objects, or names, shapes or kinds of numbers are not the module's.
    """
    own = module.state_dict()
    weights = _without_prefix(_weights_in(read(file), file), own)
    _check_fit(file, weights, own, _tied(module))
    pairs = [(own[name], value) for name, value in weights.items() if value.is_floating_point()]
    is_double = any(value.dtype == torch.float64 for _, value in pairs)
    if any(old.dtype != value.dtype and old.itemsize < (8 if is_double else 4) for old, value in pairs):
        module.double() if is_double else module.float()
    try:
        module.load_state_dict(weights, strict=False)
    except Exception as error:
        raise InputError(f"weights: {file.name} cannot be loaded into the module ({one_line(error)})") from error


def read(file: Path) -> Any:
    """Return what a file of weights holds; nothing in it is run.

    Raises
    ------
    DataFileError, InputError
        See `load_weights`.
    """
    try:
        with file.open("rb") as opened:
            is_pickled = opened.read(1) in (b"P", b"\x80")  # a zip archive, or a pickle as torch.save wrote it before 1.6
    except OSError as error:
        raise DataFileError(f"weights: {file.name} cannot be read as a file ({error.strerror})") from None
    if file.suffix.lower() == ".safetensors":
        try:
            from safetensors import SafetensorError
            from safetensors.torch import load_file
        except ImportError:
            raise InputError("safetensors is not installed; pip install 'tmi-interp[export]'") from None
        try:
            return load_file(file)
        except (SafetensorError, OSError) as error:
            raise DataFileError(f"weights: {file.name} is no safetensors file, or damaged ({one_line(error)})") from None
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        new = f"{file.stem}-weights.pt"
        if "TorchScript" in str(error):
            raise InputError(
                f"weights: {file.name} is a TorchScript program; where it was made, write its weights by "
                f"{python_command(CONVERT_SCRIPT, file.name, new)}"
            ) from None
        if is_pickled and type(error).__name__ == "UnpicklingError":
            raise InputError(
                f"weights: {file.name} holds pickled objects{_objects(file)}, which may run any code when they are loaded; where "
                f"it was made, write its weights alone by {python_command(CONVERT, file.name, new)} and give {new}"
            ) from None
        raise DataFileError(f"weights: {file.name} is no file of torch.save, or damaged ({one_line(error)})") from None


def _objects(file: Path) -> str:
    """Return the names of the classes and functions that unpickling a file would look up."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except Exception:
        return ""
    names = sorted(
        (name for name in names if not name.startswith("torch._utils")), key=lambda name: (name.startswith("torch."), name)
    )
    shown = names[:3]  # one's own classes first: the others are there whenever a module is pickled
    return f" ({', '.join(shown)}{', …' if len(names) > len(shown) else ''})" if shown else ""


def _weights_in(content: Any, file: Path) -> dict[str, torch.Tensor]:
    """Return the weights in what a file holds: all of it, or one entry of a checkpoint."""
    if _are_weights(content):
        return dict(content)
    if isinstance(content, Mapping):
        for name in HOLDERS:
            if _are_weights(content.get(name)):
                return dict(content[name])
        others = [name for name, value in content.items() if _are_weights(value)]
        if len(others) == 1:
            return dict(content[others[0]])
        has = ", ".join(map(str, list(content)[:8])) or "nothing"
        raise InputError(f"weights: {file.name} holds {has}, expected tensors by name, or those under {', '.join(HOLDERS[:3])}")
    raise InputError(f"weights: {file.name} holds a {type(content).__name__}, expected tensors by name")


def _are_weights(value: Any) -> bool:
    """Whether a value is tensors by name."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items())
    )


def _without_prefix(weights: dict[str, torch.Tensor], own: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Remove what wrappers put before all names, unless the module has such names itself."""
    while True:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in weights)), None)
        if prefix is None or not weights or all(name.startswith(prefix) for name in own):
            return weights
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}


def _tied(module: nn.Module) -> dict[str, list[str]]:
    """Return for each name the names of the same tensor: files of safetensors hold shared weights once."""
    groups: dict[int, list[str]] = {}
    for name, value in (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)):
        groups.setdefault(id(value), []).append(name)
    return {name: group for group in groups.values() for name in group}


def _check_fit(file: Path, weights: Mapping[str, Any], own: Mapping[str, Any], tied: Mapping[str, Sequence[str]]) -> None:
    missing = [
        name
        for name in own
        if name not in weights
        and not any(other in weights for other in tied.get(name, ()))
        and not name.endswith("num_batches_tracked")  # it changes nothing in evaluation mode, and older files lack it
    ]
    unexpected = [name for name in weights if name not in own]
    shapes = [
        f"{name} {tuple(weights[name].shape)}, expected {tuple(value.shape)}"
        for name, value in own.items()
        if name in weights and weights[name].shape != getattr(value, "shape", None)
    ]
    kinds = [
        f"{name} {_kind(weights[name])}, expected {_kind(value)}"
        for name, value in own.items()
        if name in weights and _kind(weights[name]) != _kind(value) and not name.endswith("num_batches_tracked")
    ]
    by_kind = [("missing", missing), ("unexpected", unexpected), ("of another shape", shapes), ("of another kind", kinds)]
    mismatches = [f"{kind}: {_some(names)}" for kind, names in by_kind if names]
    if mismatches:
        raise InputError(f"weights: {file.name} does not fit the module; {'; '.join(mismatches)}")


def _kind(value: Any) -> str:
    """Return what a tensor holds; a tensor of one kind can take the values of another of the same."""
    if not isinstance(value, torch.Tensor):  # the extra state of a module, which is of any type
        return "object"
    numbers = "complex" if value.is_complex() else "real" if value.is_floating_point() else "whole"
    layout = "" if value.layout == torch.strided else f"{str(value.layout).removeprefix('torch.')} "
    return f"{layout}{'quantised' if value.is_quantized else numbers} numbers"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} others" if len(names) > 6 else "")
