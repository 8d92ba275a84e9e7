"""A program of ``torch.export`` as a module whose layers are modules of ``torch.nn``, so that they can be named and examined."""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from tmi.errors import DataFileError, InputError

from .messages import one_line

_SWITCH = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"

_NAME = re.compile(r"[\w .,:;@#/+<>|-]*", re.ASCII)
"""A text without brackets, quotes and line breaks, so that it calls nothing where torch writes it into Python code."""

_TOKEN = re.compile(
    r"(?P<word>[A-Za-z_]\w*)(?P<setting>=(True|False|\d+))?|'[\w.+-]*'|\d+(\.\d*)?(e[+-]?\d+)?|[-+*/%<>=(), ]", re.ASCII
)
"""A part of an expression of sizes, as torch and sympy write it."""

_WORDS = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Pow|Mod|Max|Min|Abs|floor|ceiling|Equality|Unequality|Eq|Ne|"
    r"StrictLessThan|LessThan|StrictGreaterThan|GreaterThan|And|Or|Not|Piecewise|ExprCondPair|ITE|true|false|True|"
    r"False|FloorDiv|ModularIndexing|Where|PythonMod|CleanDiv|CeilToInt|FloorToInt|CeilDiv|LShift|RShift|"
    r"PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv|IsNonOverlappingAndDenseIndicator|TruncToFloat|TruncToInt|"
    r"RoundToInt|RoundDecimal|ToFloat|Identity|[a-z]+\d+"
)
"""Names of sizes, and the functions and constants of sympy and torch, in such expressions."""


def read_program(file: Path) -> nn.Module:
    """Read a program.

    Returns
    -------
    torch.fx.GraphModule
        Operations that a module of ``torch.nn`` performs are such modules, under the names that they had; one that ran several
        times is one module for each time, with a number behind the name. All other operations are functions.

    Raises
    ------
    DataFileError
        If the file is damaged or of another format.
    InputError
        If it holds pickled objects or text that could run as code, takes something else than a batch of any number of images, or
        was exported in training mode.

    Notes
    -----
    Torch evaluates expressions of sizes with sympy, and writes names into Python code that it runs. Both are checked before torch
    reads the file; torch itself allows no operators but its own and those of numbers. This is a check and no sandbox.
    """
    _check_archive(file)
    try:
        with _tensors_alone():
            program = torch.export.load(file)
    except pickle.UnpicklingError:
        raise InputError(f"module: {file.name} holds pickled objects; export a program of tensors alone") from None
    except Exception as error:
        raise DataFileError(f"module: {file.name} is no program of torch.export, or damaged ({one_line(error)})") from None
    program._guards_code = []  # torch runs these conditions on inputs as code when it decomposes a program
    image = _check_inputs(file, program)
    graph_module = program.module(check_guards=False)
    has_mutations = _without_mutations(graph_module.graph)
    result = _with_modules(file, graph_module)
    if has_mutations and not _agree(result, program, image):
        # Something else saw the change; torch's own way is right, and has no batch normalisation that is one operation.
        result = _with_modules(file, program.run_decompositions({}).module(check_guards=False))
    return result


def _check_archive(file: Path) -> None:
    """Refuse a file with pickled objects that are no tensors, compiled code, or text that could run as code."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            tables = [json.loads(archive.read(entry)) for entry in archive.infolist() if entry.filename.lower().endswith(".json")]
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise DataFileError(f"module: {file.name} is no program of torch.export, or damaged ({one_line(error)})") from None
    configs = [table["config"] for table in tables if isinstance(table, dict) and isinstance(table.get("config"), dict)]
    payloads = [str(entry.get("path_name", "")) for config in configs for entry in config.values() if isinstance(entry, dict)]
    if any(path.startswith(("custom_obj", "opaque_obj")) for path in payloads) or any("aotinductor" in name for name in names):
        raise InputError(f"module: {file.name} holds pickled objects or compiled code; export a program of tensors alone")
    for table in tables:
        text = _code_in(table)
        if text is not None:
            raise InputError(
                f"module: {file.name} holds {text[:60]!r}, which torch would run as code when it reads the program; "
                "use names of letters and digits, and sizes that are formulas"
            )


def _code_in(value: Any, key: str = "", is_free: bool = False) -> str | None:
    """Return a text that torch could run as code, in what a JSON file holds; None if there is none.

    Expressions of sizes are checked everywhere; other text is not checked (``is_free``) in what torch never makes code of.
    """
    if isinstance(value, dict):
        if "__enum__" in value or "default_factory_module" in value:  # torch would import the module that these name
            return str(value)
        is_free = is_free or key in ("metadata", "guards_code", "as_string")
        parts = [*((name, "") for name in value), *((part, name) for name, part in value.items())]
        return next((text for part, name in parts if (text := _code_in(part, name, is_free)) is not None), None)
    if isinstance(value, list):
        return next((text for part in value if (text := _code_in(part, key, is_free)) is not None), None)
    if not isinstance(value, str):
        return None
    if key == "expr_str":
        return None if _is_expression(value) else value
    if is_free or key in ("guards_code", "as_string"):
        return None
    if key in ("in_spec", "out_spec", "context"):
        try:
            return _code_in(json.loads(value))
        except ValueError:
            return value
    return None if _NAME.fullmatch(value) else value


def _is_expression(text: str) -> bool:
    """Return whether a text holds only numbers, operators, names of sizes and known functions."""
    words = {match["word"] for match in _TOKEN.finditer(text) if match["word"] and not match["setting"]}
    return not _TOKEN.sub("", text) and all(map(_WORDS.fullmatch, words))


@contextmanager
def _tensors_alone() -> Iterator[None]:
    """Let torch unpickle tensors alone, also where `torch.export.load` asks for more."""
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "1"
    try:
        yield
    finally:
        os.environ.pop(_SWITCH)
        if before is not None:
            os.environ[_SWITCH] = before


def _check_inputs(file: Path, program: Any) -> torch.Tensor:
    """Return two random images of the size that a program takes."""
    values = [node.meta["val"] for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    if len(values) != 1 or not isinstance(values[0], torch.Tensor) or values[0].ndim != 4:
        shapes = ", ".join(str(tuple(getattr(value, "shape", ()))) for value in values)
        raise InputError(f"module: {file.name} takes {shapes or 'nothing'}, expected one batch of images (N, C, rows, columns)")
    if isinstance(values[0].shape[0], int):
        raise InputError(
            f"module: {file.name} takes batches of {values[0].shape[0]} images alone; export it with "
            'dynamic_shapes=({0: torch.export.Dim("N")},), from a batch of two images or more'
        )
    sizes = [int(getattr(getattr(size, "node", None), "hint", size) or 32) for size in values[0].shape[1:]]
    return torch.rand(2, *sizes, generator=torch.Generator().manual_seed(0)).to(values[0].dtype)


def _without_mutations(graph: fx.Graph) -> bool:
    """Replace operations that work in place by those that give new tensors, for later operations; return whether any did."""
    position = {node: number for number, node in enumerate(graph.nodes)}
    has_mutations = False
    for node in list(graph.nodes):
        name = operator_of(node)
        if not name.endswith("_") or not hasattr(torch.ops.aten, name[:-1]):
            continue
        has_mutations = True
        node.target = getattr(getattr(torch.ops.aten, name[:-1]), str(node.target).rpartition(".")[2])
        changed = node.args[0]
        if isinstance(changed, fx.Node):
            later = {user for user in changed.users if position[user] > position[node]}
            changed.replace_all_uses_with(node, delete_user_cb=later.__contains__)
    return has_mutations


def _agree(module: nn.Module, program: Any, image: torch.Tensor) -> bool:
    with torch.no_grad():
        outputs, expected = (
            torch.utils._pytree.tree_leaves(function(image.clone())) for function in (module, program.module(check_guards=False))
        )
    return all(torch.allclose(*pair, rtol=1e-4, atol=1e-5) for pair in zip(outputs, expected, strict=True))


def _with_modules(file: Path, program: fx.GraphModule) -> nn.Module:
    """Replace operations by modules of ``torch.nn``."""
    graph = program.graph
    modules: dict[str, nn.Module] = {}
    for node in list(graph.nodes):
        if node.op == "call_module" and node.target.startswith("_guards"):
            graph.erase_node(node)
            continue
        operator = operator_of(node)
        module = _module_for(file, program, operator, node) if operator in CONVERTERS else None
        if module is None:
            continue
        name = _name(node, operator, modules)
        modules[name] = module
        with graph.inserting_before(node):
            replacement = graph.create_node("call_module", name, (node.args[0],))
        replacement.meta = dict(node.meta)
        node.replace_all_uses_with(replacement)
        graph.erase_node(node)
    for node in reversed(list(graph.nodes)):
        if node.op == "get_attr" and not node.users:
            graph.erase_node(node)
    tensors = {node.target: _tensor(program, node) for node in graph.nodes if node.op == "get_attr"}
    for node in graph.nodes:
        node.meta.clear()  # symbolic shapes cannot be copied
    result = fx.GraphModule({**tensors, **modules}, graph, class_name="Program")
    return result.eval()


def operator_of(node: fx.Node) -> str:
    """Return the name of an operation of ATen: ``"conv2d"``; empty for a node that is none."""
    return str(node.target).removeprefix("aten.").partition(".")[0] if node.op == "call_function" else ""


def _name(node: fx.Node, operator: str, taken: dict[str, Any]) -> str:
    """Return the name of the module that performed an operation, or that of the module around it with the operation's."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    path, kind = (stack[-1][0], str(stack[-1][1])) if stack else ("", "")
    path = path.partition("@")[0]
    if not kind.startswith(("torch.nn.modules", "<class 'torch.nn.modules")) or not path:
        path = f"{path}.{operator}".lstrip(".")
    name, number = path, 1
    while name in taken or any(other.startswith(f"{name}.") or name.startswith(f"{other}.") for other in taken):
        name, number = f"{path}_{number}", number + 1
    return name


def _tensor(module: nn.Module, node: Any) -> Any:
    """Return the tensor that an argument stands for; the argument itself if it is none."""
    if not isinstance(node, fx.Node):
        return node
    value: Any = module
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value


def _module_for(file: Path, program: nn.Module, operator: str, node: fx.Node) -> nn.Module | None:
    """Return the module that performs an operation; None if its weights are computed by the program."""
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    defaults = {argument.name: argument.default_value for argument in node.target._schema.arguments}  # type: ignore[union-attr]
    values = defaults | dict(zip(names, node.args, strict=False)) | node.kwargs
    values.pop(names[0])
    if any(isinstance(value, fx.Node) and value.op != "get_attr" for value in values.values()):
        return None
    if values.get("training") or values.get("train"):
        raise InputError(f"module: {file.name} was exported in training mode; call module.eval() before torch.export.export")
    shape = node.args[0].meta["val"].shape  # type: ignore[union-attr]
    return CONVERTERS[operator]({name: _tensor(program, value) for name, value in values.items()}, len(shape))


def _filled(module: nn.Module, **values: Any) -> nn.Module:
    """Return a module with these parameters and buffers; without those that are None."""
    for name, value in values.items():
        if name in module._buffers:
            module._buffers[name] = value
        else:
            module.register_parameter(name, None if value is None else nn.Parameter(value.detach()))
    return module


def convolution(v: dict[str, Any], _ndim: int) -> nn.Module:
    """Return an nn.Conv2d."""
    weight = v["weight"]
    padding = v["padding"] if isinstance(v["padding"], str) else tuple(v["padding"])
    module = nn.Conv2d(
        weight.shape[1] * v["groups"],
        weight.shape[0],
        tuple(weight.shape[2:]),
        tuple(v["stride"]),
        padding,
        tuple(v["dilation"]),
        v["groups"],
        device="meta",
    )
    return _filled(module, weight=weight, bias=v["bias"])


def linear(v: dict[str, Any], _ndim: int) -> nn.Module:
    """Return an nn.Linear."""
    outputs, inputs = v["weight"].shape
    return _filled(nn.Linear(inputs, outputs, device="meta"), weight=v["weight"], bias=v["bias"])


def batch_norm(v: dict[str, Any], ndim: int) -> nn.Module:
    """Return an nn.BatchNorm1d or nn.BatchNorm2d."""
    kind = nn.BatchNorm2d if ndim == 4 else nn.BatchNorm1d
    module = kind(len(v["running_mean"]), eps=v["eps"])
    return _filled(module, weight=v["weight"], bias=v["bias"], running_mean=v["running_mean"], running_var=v["running_var"])


def layer_norm(v: dict[str, Any], _ndim: int) -> nn.Module:
    """Return an nn.LayerNorm."""
    return _filled(nn.LayerNorm(v["normalized_shape"], eps=v["eps"]), weight=v["weight"], bias=v["bias"])


def max_pool(v: dict[str, Any], _ndim: int) -> nn.Module:
    """Return an nn.MaxPool2d."""
    return nn.MaxPool2d(v["kernel_size"], v["stride"] or None, v["padding"], v["dilation"], ceil_mode=v["ceil_mode"])


def average_pool(v: dict[str, Any], _ndim: int) -> nn.Module:
    """Return an nn.AvgPool2d."""
    return nn.AvgPool2d(
        v["kernel_size"], v["stride"] or None, v["padding"], v["ceil_mode"], v["count_include_pad"], v["divisor_override"]
    )


CONVERTERS: dict[str, Callable[[dict[str, Any], int], nn.Module]] = {
    "conv2d": convolution,
    "linear": linear,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "max_pool2d": max_pool,
    "avg_pool2d": average_pool,
    "adaptive_avg_pool2d": lambda v, _: nn.AdaptiveAvgPool2d(v["output_size"]),
    "flatten": lambda v, _: nn.Flatten(v["start_dim"], v["end_dim"]),
    "relu": lambda _v, _: nn.ReLU(),
    "sigmoid": lambda _v, _: nn.Sigmoid(),
    "tanh": lambda _v, _: nn.Tanh(),
    "silu": lambda _v, _: nn.SiLU(),
    "gelu": lambda v, _: nn.GELU(v["approximate"]),
    "elu": lambda v, _: nn.ELU(v["alpha"]),
    "leaky_relu": lambda v, _: nn.LeakyReLU(v["negative_slope"]),
    "hardtanh": lambda v, _: nn.Hardtanh(v["min_val"], v["max_val"]),
    "softmax": lambda v, _: nn.Softmax(v["dim"]),
    "dropout": lambda v, _: nn.Dropout(v["p"]),
}
"""By the name of an operation of ATen, the module that performs it, made of its arguments and the rank of its input."""
