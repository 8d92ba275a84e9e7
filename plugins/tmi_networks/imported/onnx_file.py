"""An ONNX file as a module whose layers are modules of ``torch.nn``.

onnx2torch 1.5.15, the converter that others use, knows no operators of opset 18 and later, which torch itself writes, and needs
torchvision. So the operators of image classifiers are converted here, and the result is compared with ONNX's evaluation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tmi.errors import DataFileError, InputError, did_you_mean

from .messages import one_line, python_command
from .onnx_conversion import Conversion
from .onnx_operators import OPERATORS

_TOLERANCE = 1e-3
"""Of the largest output: how far float32 arithmetic in another order may differ."""


def read_onnx(file: Path, output: int | str | None = None) -> nn.Module:
    """Read a model.

    Parameters
    ----------
    file : Path
    output : int or str, optional
        Which of the model's outputs, by position or name; by default all, as a tensor if there is one, else as a dict by name.

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
        If the package onnx is missing, operators are not known (all are named), the model takes something else than one batch of
        images, or the result does not compute what ONNX computes.
    """
    model = _loaded(file)
    outputs = [value.name for value in model.graph.output]
    if isinstance(output, str) and output not in outputs:
        raise InputError(f"output: {file.name} has no output {output!r}{did_you_mean(output, outputs)}")
    if isinstance(output, int) and not -len(outputs) <= output < len(outputs):
        raise InputError(f"output: {file.name} has {len(outputs)} outputs, so there is no output {output}")
    wanted = outputs if output is None else [output] if isinstance(output, str) else [outputs[output]]
    module = Conversion(file, model, OPERATORS).module(wanted)
    _compare(file, model, module, wanted)
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
        model = onnx.inliner.inline_local_functions(model)
        return onnx.shape_inference.infer_shapes(model)
    except InputError:
        raise
    except Exception as error:
        raise DataFileError(f"module: {file.name} is no ONNX file, or damaged ({one_line(error)})") from None


def _compare(file: Path, model: Any, module: nn.Module, wanted: list[str]) -> None:
    """Compare the module with ONNX's evaluation on random images.

    Raises
    ------
    InputError
        If they differ by more than rounding.
    """
    (given,) = [value for value in model.graph.input if value.name not in {t.name for t in model.graph.initializer}]
    dims = [dim.dim_value for dim in given.type.tensor_type.shape.dim]
    if not all(dims[1:]):
        return  # the file does not say how large images are
    values = np.random.default_rng(0).random((dims[0] or 2, *dims[1:])).astype(np.float32)
    try:
        import onnxruntime

        expected = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            wanted, {given.name: values}
        )
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        expected = ReferenceEvaluator(model).run(wanted, {given.name: values})
    images = torch.from_numpy(values)
    if len(dims) == 4 and dims[3] in (1, 3) and dims[1] not in (1, 3):
        images = images.permute(0, 3, 1, 2)
    with torch.no_grad():
        answer = module(images)
    for name, other in zip(wanted, expected, strict=True):
        ours = (answer[name] if isinstance(answer, dict) else answer).numpy()
        if ours.shape != other.shape or np.abs(ours - other).max(initial=0) > _TOLERANCE * max(
            1e-6, np.abs(other).max(initial=0)
        ):
            raise InputError(
                f"module: {file.name}: output {name!r} of the converted module differs from ONNX's; give the code of the module "
                'instead, as module = "net.py:make" with its weights'
            )
