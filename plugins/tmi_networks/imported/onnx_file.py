"""An ONNX file as a module whose layers are modules of ``torch.nn``.

onnx2torch 1.5.15, the converter that others use, knows no operators of opset 18 and later, which torch itself writes, and needs
torchvision. So the operators of image classifiers are converted here, and the result is compared with ONNX's evaluation on two
random images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tmi.errors import DataFileError, InputError, TmiError, did_you_mean

from .messages import one_line, python_command
from .onnx_conversion import Conversion, opset_of
from .onnx_operators import OPERATORS

_TOLERANCE = 1e-3
"""Of the largest output: how far float32 arithmetic in another order may differ."""


def read_onnx(file: Path, output: int | str | None = None, image_shape: Sequence[int] | None = None) -> nn.Module:
    """Read a model.

    Parameters
    ----------
    file : Path
    output : int or str, optional
        Which of the model's outputs, by position or name; by default all, as a tensor if there is one, else as a dict by name.
    image_shape : (int, int, int), optional
        Channels, rows and columns of the images that the model will get. A model that leaves a size open is compared with ONNX's
        evaluation on images of that size, and not at all without it.

    Returns
    -------
    torch.fx.GraphModule
        A model for flat inputs (N, pixels) gets the flattened image, and one for (N, rows, columns, channels) the image with its
        channels last.

    Raises
    ------
    DataFileError
        If the file is damaged or of another format.
    InputError
        If the package onnx is missing, the opset or operators are not known (all are named), the model takes something else than
        one batch of images in float32 or float64, it cannot be evaluated, or the result does not compute what ONNX computes.
    """
    model = _loaded(file)
    outputs = [value.name for value in model.graph.output]
    if isinstance(output, str) and output not in outputs:
        raise InputError(f"output: {file.name} has no output {output!r}{did_you_mean(output, outputs)}")
    if isinstance(output, int) and not -len(outputs) <= output < len(outputs):
        raise InputError(f"output: {file.name} has {len(outputs)} outputs, so there is no output {output}")
    wanted = outputs if output is None else [output] if isinstance(output, str) else [outputs[output]]
    try:
        conversion = Conversion(file, model, OPERATORS)
        module = conversion.module(wanted)
    except TmiError:
        raise
    except Exception as error:
        raise DataFileError(f"module: {file.name} cannot be converted ({one_line(error)})") from error
    _compare(conversion, module, wanted, image_shape)
    return module


def _loaded(file: Path) -> Any:
    try:
        import onnx
        import onnx.inliner
    except ImportError:
        raise InputError("onnx is not installed; pip install 'tmi-interp[export]'") from None
    try:
        model = onnx.load(file, load_external_data=False)
        places = {entry.value for t in model.graph.initializer for entry in t.external_data if entry.key == "location"}
        if places - {f"{file.name}.data"}:
            raise InputError(
                f"module: {file.name} keeps its weights in {', '.join(sorted(places))}; put all into one file by "
                f"{python_command('import onnx; onnx.save(onnx.load({}), {})', file.name, f'{file.stem}-whole.onnx')}"
            )
        model = onnx.load(file)
        opset, newest = opset_of(model), onnx.defs.onnx_opset_version()
        if opset > newest:
            raise InputError(
                f"module: {file.name} has opset {opset}, and the installed onnx knows those up to {newest}; update onnx, or "
                "export the model with an earlier opset"
            )
        model = onnx.inliner.inline_local_functions(model)
        return onnx.shape_inference.infer_shapes(model)
    except InputError:
        raise
    except Exception as error:
        raise DataFileError(f"module: {file.name} is no ONNX file, or damaged ({one_line(error)})") from None


def _compare(conversion: Conversion, module: nn.Module, wanted: list[str], image_shape: Sequence[int] | None) -> None:
    """Compare the module with ONNX's evaluation on random images.

    Raises
    ------
    InputError
        If they differ by more than rounding, or either fails.
    """
    name, (count, *sizes), dtype, is_last = conversion.input, conversion.size, conversion.dtype, conversion.channels_are_last
    if image_shape is not None:
        channels, *plane = image_shape
        known = [math.prod(image_shape)] if len(sizes) == 1 else [*plane, channels] if is_last else image_shape
        sizes = [size or other for size, other in zip(sizes, known, strict=True)]
    shape = tuple(size for size in sizes if size)
    if len(shape) < len(sizes):
        return
    values = np.random.default_rng(0).random((count or 2, *shape)).astype(dtype)
    images = torch.from_numpy(values)
    where = f"module: {conversion.file.name}"
    try:
        expected = _evaluated(conversion.model, wanted, {name: values})
        with torch.no_grad():
            images = images.to(next((weight.dtype for weight in module.parameters()), images.dtype))  # as the network does
            answer = module(images.permute(0, 3, 1, 2) if is_last else images)
    except Exception as error:
        raise InputError(f"{where} cannot be evaluated on images {shape} ({one_line(error)})") from error
    for output, other in zip(wanted, expected, strict=True):
        ours = (answer[output] if isinstance(answer, dict) else answer).numpy()
        tolerance = _TOLERANCE * max(1e-6, np.abs(other[np.isfinite(other)]).max(initial=0))
        if ours.shape != other.shape or not np.allclose(ours, other, rtol=0, atol=tolerance, equal_nan=True):
            raise InputError(
                f"{where}: output {output!r} of the converted module differs from ONNX's; give the code of the module instead, "
                'as module = "net.py:make" with its weights'
            )


def _evaluated(model: Any, wanted: list[str], inputs: dict[str, Any]) -> list[Any]:
    """Return what ONNX computes: by onnxruntime, or where that is missing or fails, by the slower package onnx."""
    errors: list[Exception] = []
    for evaluate in (_by_onnxruntime, _by_onnx):
        try:
            return list(evaluate(model, wanted, inputs))
        except ImportError:
            continue
        except Exception as error:
            errors.append(error)
    raise errors[0]


def _by_onnxruntime(model: Any, wanted: list[str], inputs: dict[str, Any]) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it would print what it refuses
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(wanted, inputs)


def _by_onnx(model: Any, wanted: list[str], inputs: dict[str, Any]) -> Any:
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(model).run(wanted, inputs)
