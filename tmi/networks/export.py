"""Networks as files: programs that run without tmi (ONNX, torch.export), and weights as plain arrays (safetensors)."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tmi.errors import DataFileError, InputError, did_you_mean
from tmi.runtime.paths import absolute

from .certificate import is_phi
from .comparison import random_places, render, tolerance
from .plain import copied

if TYPE_CHECKING:
    from .layers import LayeredModule

FORMATS = {"onnx": ".onnx", "torch": ".pt2"}
"""The formats of exported programs, and the endings of their files."""
DTYPES = {"float32": torch.float32, "float64": torch.float64}
OPSETS = range(18, 24)
"""The supported versions of ONNX's operators."""


def export(
    network: LayeredModule,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    dtype: str | None = None,
    opset: int | None = None,
) -> None:
    """Write a network as a program that runs without tmi; see `tmi.Network.export`."""
    target = absolute(path)
    kind = _format(target, format)
    if opset is not None and kind != "onnx":
        raise InputError(f'opset: format "{kind}" has none')
    if opset is not None and (isinstance(opset, bool) or opset not in OPSETS):
        raise InputError(f"opset: expected {OPSETS[0]} to {OPSETS[-1]}, got {opset!r}")
    chosen = _dtype(network, dtype)
    if kind == "onnx":
        needed("onnx", "onnxscript")
    program = _program(network, chosen, gradient=kind == "torch")
    metadata = {"classes": json.dumps(network.task.class_names, ensure_ascii=False)}
    with _written(target) as part, _quiet():
        if kind == "torch":
            torch.export.save(program, part, extra_files={f"{name}.json": text for name, text in metadata.items()})
            return
        try:
            exported: Any = torch.onnx.export(
                program, dynamo=True, opset_version=opset, input_names=["images"], output_names=["logits"], verbose=False
            )
        except Exception as error:
            raise InputError(f"export: {network!r} cannot be written as ONNX ({_first_line(error)})") from error
        exported.model.metadata_props.update(metadata)
        exported.save(part)


def save_weights(network: LayeredModule, path: str | os.PathLike[str]) -> None:
    """Write a network's weights as plain arrays; see `tmi.Network.save_weights`."""
    needed("safetensors")
    from safetensors.torch import save_file

    # Copies: safetensors refuses tensors that share memory.
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in network.module.state_dict().items()}
    if not weights:
        raise InputError(f"save_weights: {network!r} has none, for its layers follow from the task; use export")
    with _written(absolute(path)) as part:
        save_file(weights, part, {"classes": json.dumps(network.task.class_names, ensure_ascii=False)})


def load_weights(network: LayeredModule, path: str | os.PathLike[str]) -> None:
    """Read a network's weights; see `tmi.Network.load_weights`."""
    needed("safetensors")
    from safetensors import SafetensorError, safe_open

    file_path = absolute(path)
    if not file_path.is_file():
        raise DataFileError(f"{path}: no such file")
    try:
        with safe_open(file_path, "pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataFileError(f"{path}: is no safetensors file, or damaged ({_first_line(error)})") from None
    classes = json.dumps(network.task.class_names, ensure_ascii=False)
    if metadata.get("classes", classes) != classes:
        raise InputError(f"{path}: was saved from a network with other classes: {metadata['classes']}")
    own = network.module.state_dict()
    _check_fit(str(path), weights, own)
    if network.origin == "constructed":
        changed = [name for name, value in own.items() if not torch.equal(value.cpu(), weights[name])]
        if changed:
            raise InputError(
                f"{path}: weight {changed[0]!r} is not that of {network!r}; a constructed network with other weights would no "
                "longer be that of its task"
            )
    network.module.load_state_dict(weights)


def needed(*packages: str) -> None:
    """Raise an error that names what to install if a package is missing.

    Raises
    ------
    InputError
    """
    for package in packages:
        try:
            import_module(package)
        except ImportError:
            raise InputError(f"{package} is not installed; pip install 'tmi-interp[export]'") from None


def _format(path: Path, given: str | None) -> str:
    if given is not None:
        if given not in FORMATS:
            raise InputError(f"format {given!r} is unknown{did_you_mean(given, FORMATS)}")
        return given
    for kind, ending in FORMATS.items():
        if path.suffix == ending:
            return kind
    endings = " or ".join(f'"{ending}" ({kind})' for kind, ending in FORMATS.items())
    raise InputError(f"{path}: the format does not follow from its name; end it with {endings}, or give format")


def _dtype(network: LayeredModule, given: str | None) -> torch.dtype:
    if given is not None:
        if given not in DTYPES:
            raise InputError(f"dtype {given!r} is unknown{did_you_mean(given, DTYPES)}")
        return DTYPES[given]
    weight = next((p for p in network.module.parameters() if p.is_floating_point()), None)
    return torch.float32 if weight is None else weight.dtype


def _program(network: LayeredModule, dtype: torch.dtype, *, gradient: bool) -> Any:
    """Trace the network, or the formula of one that computes φ, and compare the program with the network's own logits."""
    formula = is_phi(network)
    if formula:
        from .phi import Formula

        module: nn.Module = Formula(network.task, dtype, gradient=gradient).eval()
    else:
        module = copied(network.module).cpu().to(dtype).eval()
    example = torch.rand((3, *network.task.image_shape), dtype=dtype, generator=torch.Generator().manual_seed(0))
    try:
        with _quiet():
            program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("N")},))
            computed = program.module()
    except Exception as error:
        raise InputError(f"export: torch cannot trace {network!r} ({_first_line(error)})") from error
    _check_program(network, computed, dtype, formula=formula)
    return program


def _check_program(network: LayeredModule, program: Any, dtype: torch.dtype, *, formula: bool) -> None:
    """Refuse a program whose logits differ from the network's on random scenes, other images than those that `is_phi` takes."""
    task = network.task
    # A few images at a time: a program holds all windows of an image.
    for images, pasted in render(task, random_places(task, seed=1), seed=1, most=8):
        x = images.to(dtype)
        with torch.no_grad():
            computed = program(x).double()
        expected = network.logits(x)
        size = expected.double().abs()
        if formula:
            # What the layers of a literal network round off, which the program does not.
            rounded = torch.finfo(expected.dtype).eps * 8 * max(int(tile.support.sum()) for tile in task.tiles)
            allowed = tolerance(task, pasted, torch.float32, size) + rounded
        else:
            allowed = 1e-3 * size.max().clamp_min(torch.finfo(dtype).tiny)
        if computed.shape != expected.shape or not bool(((computed - expected.double()).abs() <= allowed).all()):
            raise InputError(f"export: the traced program does not compute what {network!r} does")


def _check_fit(path: str, weights: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> None:
    for name in own:
        if name not in weights:
            raise InputError(f"{path}: has no weight {name!r}{did_you_mean(name, weights)}")
    for name, value in weights.items():
        if name not in own:
            raise InputError(f"{path}: weight {name!r} is none of the network's{did_you_mean(name, own)}")
        if (value.shape, value.dtype) != (own[name].shape, own[name].dtype):
            in_file, own_kind = (f"{str(w.dtype).removeprefix('torch.')} {tuple(w.shape)}" for w in (value, own[name]))
            raise InputError(f"{path}: weight {name!r} is {in_file}, the network's {own_kind}")
        if value.is_floating_point() and not value.isfinite().all():
            raise InputError(f"{path}: weight {name!r} is not finite")


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file beside the target, which replaces the target when the block has ended."""
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise InputError(f"{path}: is a folder")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            part = Path(folder) / path.name
            yield part
            if [file.name for file in Path(folder).iterdir()] != [path.name]:
                raise InputError(f"{path}: more than one file of ONNX can hold (2 GB)")
            part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress torch's warnings and log messages while it traces."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
