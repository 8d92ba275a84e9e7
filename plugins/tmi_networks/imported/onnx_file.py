"""An ONNX file as a module whose layers are modules of ``torch.nn``.

onnx2torch 1.5.15, the converter that others use, knows no operators of opset 18 and later, which torch itself writes, and needs
torchvision. So the operators of image classifiers are converted here, and the result is compared with ONNX's evaluation.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from tmi.errors import DataFileError, InputError, did_you_mean

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
    module = Conversion(file, model).module(wanted)
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
                f"python -c \"import onnx; onnx.save(onnx.load('{file.name}'), '{file.stem}-whole.onnx')\""
            )
        model = onnx.load(file)
        model = onnx.inliner.inline_local_functions(model)
        return onnx.shape_inference.infer_shapes(model)
    except InputError:
        raise
    except Exception as error:
        raise DataFileError(f"module: {file.name} is no ONNX file, or damaged ({_told(error)})") from None


class Conversion:
    """The state of a conversion; `onnx_operators` has a function for each operator, which gets it.

    Attributes
    ----------
    modules : dict of str to (Module or Tensor)
        Layers, and constants that are not weights of a layer.
    constants : dict of str to Tensor
    values : dict of str to Node
    uses : Counter of str
        How often each value is used.
    batch : int or None
        The number of images, where the model fixes it.
    opset : int
    """

    def __init__(self, file: Path, model: Any) -> None:
        from onnx import numpy_helper

        self.file, self.model = file, model
        self.graph = fx.Graph()
        self.modules: dict[str, Any] = {}
        self.constants = {t.name: _tensor(numpy_helper.to_array(t)) for t in model.graph.initializer}
        self.values: dict[str, fx.Node] = {}
        self.uses = Counter(name for node in model.graph.node for name in node.input)
        self.uses.update(value.name for value in model.graph.output)
        self.opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
        known = (*model.graph.value_info, *model.graph.input, *model.graph.output)
        self.ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in known}
        self.batch: int | None = None
        self.count: Counter[str] = Counter()

    def module(self, wanted: list[str]) -> nn.Module:
        """Return the module that computes these outputs."""
        nodes = self._needed(wanted)
        unknown = _unknown(nodes)
        if unknown:
            possible = [value.name for value in self.model.graph.output if not _unknown(self._needed([value.name]))]
            remedy = 'give the code of the module instead, as module = "net.py:make" with its weights'
            if possible:
                remedy = f'leave them out by output = "{possible[0]}"'
            operators = ", ".join(sorted(unknown))
            raise InputError(f"module: {self.file.name} uses operators that cannot be converted: {operators}; {remedy}")
        self._input()
        for node in nodes:
            self._convert(node)
        results = {name: self.node(name) for name in wanted}
        self.graph.output(next(iter(results.values())) if len(results) == 1 else results)
        return fx.GraphModule(self.modules, self.graph, class_name="Model").eval()

    def _needed(self, wanted: list[str]) -> list[Any]:
        """Return the nodes on which outputs depend, in the order of the file."""
        needed, result = set(wanted), []
        for node in reversed(self.model.graph.node):
            if needed & set(node.output):
                needed |= {name for name in node.input if name}
                result.append(node)
        return result[::-1]

    def _input(self) -> None:
        given = [value for value in self.model.graph.input if value.name not in self.constants]
        sizes = [[dim.dim_value or None for dim in value.type.tensor_type.shape.dim] for value in given]
        if len(given) != 1 or len(sizes[0]) not in (2, 4):
            shapes = ", ".join(str(tuple("?" if n is None else n for n in size)) for size in sizes)
            raise InputError(
                f"module: {self.file.name} takes {shapes or 'nothing'}, expected images (N, C, rows, columns) or (N, pixels)"
            )
        image, (size,) = self.graph.placeholder("images"), sizes
        self.batch, self.size = size[0], size
        if len(size) == 2:
            image = self.add("flatten_images", nn.Flatten(), image)
        elif size[3] in (1, 3) and size[1] not in (None, 1, 3):
            image = self.graph.call_method("permute", (image, 0, 2, 3, 1))
        self.values[given[0].name] = image

    def _convert(self, node: Any) -> None:
        from onnx import helper, numpy_helper

        from .onnx_operators import OPERATORS

        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        attributes = {name: value.decode() if isinstance(value, bytes) else value for name, value in attributes.items()}
        if node.op_type == "Constant":
            (value,) = attributes.values()
            if hasattr(value, "data_type"):
                array = numpy_helper.to_array(value)
            else:  # a number or a list of numbers, which ONNX holds as float32 or int64
                array = np.asarray(value)
                array = array.astype(np.float32) if array.dtype.kind == "f" else array
            self.constants[node.output[0]] = _tensor(array)
            return
        given = [name for name in node.input if name]
        if given and all(name in self.constants for name in given) and node.op_type not in ("Dropout",):
            self._fold(node)
            return
        try:
            results = OPERATORS[node.op_type](self, node, attributes)
        except NotImplementedError as error:
            raise InputError(f"module: {self.file.name}: operator {node.op_type} cannot be converted {error}") from None
        except Exception as error:
            raise InputError(f"module: {self.file.name}: operator {node.op_type} cannot be converted ({_told(error)})") from error
        for name, result in zip(node.output, results if isinstance(results, tuple) else (results,), strict=False):
            self.values[name] = result

    def _fold(self, node: Any) -> None:
        """Compute a node whose inputs are constants."""
        from onnx.reference import ReferenceEvaluator

        feeds = {name: self.constants[name].numpy() for name in node.input if name}
        results = ReferenceEvaluator(node, opsets={"": self.opset}).run(None, feeds)
        self.constants |= {name: _tensor(np.asarray(result)) for name, result in zip(node.output, results, strict=False)}

    def constant(self, node: Any, position: int) -> torch.Tensor | None:
        """Return an input of a node as a constant; None if it is left out.

        Raises
        ------
        NotImplementedError
            If it depends on the image.
        """
        name = node.input[position] if position < len(node.input) else ""
        if name and name not in self.constants:
            raise NotImplementedError(f"with an input {position} that depends on the image")
        return self.constants[name] if name else None

    def node(self, name: str) -> fx.Node:
        """Return the value of a name in the graph; a constant becomes a buffer."""
        if name not in self.values:
            label = _unique(f"constants.{_cleaned(name.replace('.', '_'))}", self.modules)
            self.modules[label] = self.constants[name]
            self.values[name] = self.graph.get_attr(label)
        return self.values[name]

    def add(self, name: str, module: nn.Module, argument: fx.Node) -> fx.Node:
        """Add a layer."""
        label = _unique(name, self.modules)
        self.modules[label] = module
        return self.graph.create_node("call_module", label, (argument,))

    def layer(self, node: Any, module: nn.Module, argument: fx.Node | None = None) -> fx.Node:
        """Add the layer that a node of the file stands for, under its name."""
        self.count[node.op_type] += 1
        name = _cleaned(node.name) or f"{node.op_type.lower()}_{self.count[node.op_type]}"
        return self.add(name, module, self.node(node.input[0]) if argument is None else argument)

    def call(self, function: Any, *arguments: Any, **settings: Any) -> fx.Node:
        """Add an operation without weights."""
        return self.graph.call_function(function, arguments, settings)


def _unknown(nodes: list[Any]) -> set[str]:
    """Return the operators among these nodes that cannot be converted."""
    from .onnx_operators import OPERATORS

    operators = {f"{node.domain}.{node.op_type}".removeprefix("ai.onnx").lstrip(".") for node in nodes}
    return operators - OPERATORS.keys() - {"Constant"}


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


def _tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(array))


def _cleaned(name: str) -> str:
    """Return the name of a node as that of a submodule: ``"/layer1/conv/Conv"`` is ``"layer1.conv.Conv"``."""
    parts = (re.sub(r"\W+", "_", part).strip("_") for part in re.split(r"[/.]", name.removeprefix("node_")))
    return ".".join(filter(None, parts))


def _unique(name: str, taken: dict[str, Any]) -> str:
    result, number = name, 1
    while any(other == result or other.startswith(f"{result}.") or result.startswith(f"{other}.") for other in taken):
        result, number = f"{name}_{number}", number + 1
    return result


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}".removesuffix(".")
