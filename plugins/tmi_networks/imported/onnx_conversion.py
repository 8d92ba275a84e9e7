"""The conversion of an ONNX graph into a module of torch, apart from the operators."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from tmi.errors import InputError

from .messages import one_line


class Conversion:
    """The state of a conversion.

    Parameters
    ----------
    file : Path
    model : onnx.ModelProto
    operators : mapping of str to callable
        For each operator a function that gets this object, a node and its attributes; see `onnx_operators`.

    Attributes
    ----------
    modules : dict of str to (Module or Tensor)
        Layers, and constants that are not weights of a layer.
    constants : dict of str to Tensor
    values : dict of str to Node
    uses : Counter of str
        How often each value is used.
    input : str
    size : list of (int or None)
        Those of the input; the first is the number of images. None for one that the model leaves open.
    batch : int or None
        The number of images, where the model fixes it.
    channels_are_last : bool
        Whether the input is (N, rows, columns, channels).
    dtype : str
        Of the input: "float32" or "float64".
    opset : int
    """

    def __init__(self, file: Path, model: Any, operators: Mapping[str, Any]) -> None:
        from onnx import numpy_helper

        self.file, self.model, self.operators = file, model, operators
        self.graph = fx.Graph()
        self.modules: dict[str, Any] = {}
        self.constants = {t.name: _tensor(numpy_helper.to_array(t)) for t in model.graph.initializer}
        self.values: dict[str, fx.Node] = {}
        self.uses = Counter(name for node in model.graph.node for name in node.input)
        self.uses.update(value.name for value in model.graph.output)
        self.opset = opset_of(model)
        values = (*model.graph.value_info, *model.graph.input, *model.graph.output)
        self.ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in values}
        self.batch: int | None = None
        self.count: Counter[str] = Counter()

    def module(self, wanted: list[str]) -> nn.Module:
        """Return the module that computes these outputs."""
        nodes = self._needed(wanted)
        unknown = self._unknown(nodes)
        if unknown:
            possible = [value.name for value in self.model.graph.output if not self._unknown(self._needed([value.name]))]
            remedy = 'give the code of the module instead, as module = "net.py:make" with its weights'
            if possible:
                remedy = f'leave them out by output = "{possible[0]}"'
            operators = ", ".join(sorted(unknown))
            raise InputError(f"module: {self.file.name} uses operators that cannot be converted: {operators}; {remedy}")
        self._input()
        available = {self.input, *self.constants, *(name for node in nodes for name in node.output)}
        missing = [name for name in (*wanted, *(name for node in nodes for name in node.input)) if name and name not in available]
        if missing:
            raise InputError(f"module: {self.file.name} is damaged: nothing in it gives the value {missing[0]!r}, which it uses")
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

    def _unknown(self, nodes: list[Any]) -> set[str]:
        """Return the operators among these nodes that cannot be converted."""
        operators = {f"{node.domain}.{node.op_type}".removeprefix("ai.onnx").lstrip(".") for node in nodes}
        return operators - self.operators.keys() - {"Constant"}

    def _input(self) -> None:
        from onnx import TensorProto

        inputs = [value for value in self.model.graph.input if value.name not in self.constants]
        sizes = [[dim.dim_value or None for dim in value.type.tensor_type.shape.dim] for value in inputs]
        if len(inputs) != 1 or len(sizes[0]) not in (2, 4):
            shapes = ", ".join(str(tuple("?" if n is None else n for n in size)) for size in sizes)
            raise InputError(
                f"module: {self.file.name} takes {shapes or 'nothing'}, expected images (N, C, rows, columns) or (N, pixels)"
            )
        self.input, (self.size,) = inputs[0].name, sizes
        kind = TensorProto.DataType.Name(inputs[0].type.tensor_type.elem_type)
        if kind not in ("FLOAT", "DOUBLE"):
            raise InputError(
                f"module: {self.file.name} takes images of {kind.lower()}, expected float (float32) or double (float64); "
                "export it so"
            )
        self.dtype = "float32" if kind == "FLOAT" else "float64"
        self.batch = self.size[0]
        self.channels_are_last = len(self.size) == 4 and self.size[3] in (1, 3) and self.size[1] not in (1, 3)
        image = self.graph.placeholder("images")
        if len(self.size) == 2:
            image = self.add("flatten_images", nn.Flatten(), image)
        elif self.channels_are_last:
            image = self.graph.call_method("permute", (image, 0, 2, 3, 1))
        self.values[self.input] = image

    def _convert(self, node: Any) -> None:
        from onnx import helper, numpy_helper

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
        inputs = [name for name in node.input if name]
        try:
            if inputs and all(name in self.constants for name in inputs) and node.op_type != "Dropout":
                self._fold(node)
                return
            results = self.operators[node.op_type](self, node, attributes)
        except NotImplementedError as error:
            raise InputError(f"module: {self.file.name}: operator {node.op_type} cannot be converted {error}") from None
        except Exception as error:
            raise InputError(
                f"module: {self.file.name}: operator {node.op_type} cannot be converted ({one_line(error)})"
            ) from error
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


def opset_of(model: Any) -> int:
    """Return the version of ONNX's own operators that a model uses."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)


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
