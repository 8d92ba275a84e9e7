"""Every operator that is converted, against onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tmi_networks.imported.onnx_file import read_onnx
from tmi_networks.imported.onnx_operators import OPERATORS

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.normal(0, 0.5, shape).astype(np.float32)


def ints(*values):
    return np.asarray(values, np.int64)


# Operator, constants that follow the input, attributes, opset. The input is (N, 3, 6, 8), with numbers from 0.1 to 0.9.
CASES = [
    ("Conv", [draw(4, 3, 3, 3), draw(4)], {}, 17),
    ("Conv", [draw(6, 1, 3, 2)], {"group": 3, "strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 1, 0]}, 13),
    ("Conv", [draw(4, 3, 3, 2)], {"pads": [1, 0, 0, 2]}, 22),
    ("Conv", [draw(4, 3, 2, 2)], {"auto_pad": "SAME_UPPER"}, 17),
    ("Conv", [draw(4, 3, 4, 4)], {"auto_pad": "SAME_LOWER"}, 17),
    ("Conv", [draw(4, 3, 3, 4)], {"auto_pad": "SAME_UPPER", "strides": [2, 3]}, 17),
    ("Conv", [draw(4, 3, 3, 3)], {"auto_pad": "VALID"}, 17),
    ("BatchNormalization", [draw(3), draw(3), draw(3), draw(3) ** 2 + 0.1], {"epsilon": 0.01}, 15),
    ("LayerNormalization", [draw(8), draw(8)], {}, 17),
    ("LayerNormalization", [draw(6, 8)], {"axis": 2}, 17),
    ("MaxPool", [], {"kernel_shape": [2, 3], "strides": [2, 2]}, 12),
    ("MaxPool", [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1, "strides": [2, 2]}, 12),
    ("MaxPool", [], {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}, 12),
    ("AveragePool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}, 17),
    ("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, 17),
    ("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1, 0, 0, 1], "count_include_pad": 1}, 17),
    ("GlobalAveragePool", [], {}, 17),
    ("GlobalMaxPool", [], {}, 17),
    ("Flatten", [], {"axis": 1}, 13),
    ("Relu", [], {}, 14),
    ("LeakyRelu", [], {"alpha": 0.2}, 16),
    ("Elu", [], {"alpha": 0.5}, 6),
    ("Celu", [], {"alpha": 0.5}, 12),
    ("Selu", [], {}, 6),
    ("Sigmoid", [], {}, 13),
    ("Tanh", [], {}, 13),
    ("Softplus", [], {}, 1),
    ("Softmax", [], {"axis": 1}, 13),
    ("LogSoftmax", [], {}, 13),
    ("HardSwish", [], {}, 14),
    ("Mish", [], {}, 18),
    ("Gelu", [], {}, 20),
    ("Gelu", [], {"approximate": "tanh"}, 20),
    ("PRelu", [draw(3, 1, 1)], {}, 16),
    ("Clip", [np.float32(0), np.float32(6)], {}, 13),
    ("Clip", [np.float32(-0.2), np.float32(0.3)], {}, 13),
    ("Clip", [np.float32(0)], {}, 13),
    ("Clip", [np.float32(0.1)], {}, 13),
    ("Clip", [], {"min": 0.0, "max": 6.0}, 6),
    ("Add", [draw(3, 1, 1)], {}, 14),
    ("Sub", [draw(3, 1, 1)], {}, 14),
    ("Mul", [draw(3, 1, 1)], {}, 14),
    ("Div", [draw(3, 1, 1) ** 2 + 0.5], {}, 14),
    ("Pow", [np.float32(2)], {}, 15),
    ("Max", [draw(3, 1, 1)], {}, 13),
    ("Min", [draw(3, 1, 1)], {}, 13),
    ("Sum", [draw(3, 1, 1)], {}, 13),
    ("MatMul", [draw(8, 5)], {}, 13),
    ("MatMul", [draw(1, 3, 8, 5)], {}, 13),
    ("Abs", [], {}, 13),
    ("Neg", [], {}, 13),
    ("Exp", [], {}, 13),
    ("Log", [], {}, 13),
    ("Sqrt", [], {}, 13),
    ("Erf", [], {}, 13),
    ("Reciprocal", [], {}, 13),
    ("Identity", [], {}, 16),
    ("Dropout", [], {}, 13),
    ("Cast", [], {"to": TensorProto.FLOAT}, 13),
    ("ReduceMean", [], {"axes": [2, 3], "keepdims": 0}, 13),
    ("ReduceMean", [ints(2, 3)], {}, 18),
    ("ReduceSum", [ints(-1)], {"keepdims": 0}, 13),
    ("ReduceMax", [ints(1)], {}, 18),
    ("Transpose", [], {"perm": [0, 2, 3, 1]}, 13),
    ("Unsqueeze", [ints(1, 3)], {}, 13),
    ("Unsqueeze", [], {"axes": [1]}, 11),
    ("Reshape", [ints(0, -1)], {}, 14),
    ("Reshape", [ints(-1, 144)], {}, 14),
    ("Reshape", [ints(0, 3, 48)], {}, 19),
    ("Reshape", [ints(-1, 3, 2, 24)], {}, 13),
    ("Slice", [ints(1, 0), ints(5, 2**62), ints(2, 3), ints(2, 3)], {}, 13),
    ("Slice", [], {"starts": [0], "ends": [-1], "axes": [3]}, 9),
    ("Pad", [ints(0, 0, 1, 2, 0, 0, 0, 3), np.float32(0.5)], {}, 13),
    ("Pad", [], {"pads": [0, 0, 1, 2, 0, 0, 0, 3]}, 9),
    ("Gather", [ints(1)[0]], {"axis": 1}, 13),
    ("Gather", [ints(2, 0)], {"axis": 1}, 13),
    ("Gather", [ints(-1)[0]], {"axis": 2}, 13),
    ("Gather", [ints(-1, 0, -3)], {"axis": 1}, 13),
    ("Gather", [ints(-1, 4)], {"axis": -1}, 13),
    ("Gather", [ints(0, -1, 1, 2).reshape(2, 2)], {"axis": -2}, 13),
]
# Operators that take several values that depend on the image, or a vector of numbers; they are in the models below.
ELSEWHERE = {"Concat", "Gemm", "Shape", "Split", "Squeeze"}


def saved(path, nodes, constants, given, output, opset, kind=TensorProto.FLOAT):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, given)],
        [helper.make_tensor_value_info(name, given_kind, None) for name, given_kind in output.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 9
    path.write_bytes(model.SerializeToString())
    return path


def by_onnxruntime(path, images):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": images})[0]


def agree(path, images):
    module = read_onnx(path)
    for count in (len(images), 1):
        expected = by_onnxruntime(path, images[:count])
        with torch.no_grad():
            answer = module(torch.from_numpy(images[:count]))
        assert tuple(answer.shape) == expected.shape
        np.testing.assert_allclose(answer.numpy(), expected, rtol=1e-4, atol=1e-5)
    return module


@pytest.mark.parametrize(
    ("name", "constants", "attributes", "opset"), CASES, ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)]
)
def test_operator(tmp_path, name, constants, attributes, opset):
    named = {f"c{i}": value for i, value in enumerate(constants)}
    inputs = ["x", *named]
    if name == "Clip" and constants == [np.float32(0.1)]:
        inputs = ["x", "", *named]  # an upper bound alone
    node = helper.make_node(name, inputs, ["y"], **attributes)
    path = saved(tmp_path / "m.onnx", [node], named, ["N", 3, 6, 8], {"y": TensorProto.FLOAT}, opset)
    agree(path, RNG.uniform(0.1, 0.9, (3, 3, 6, 8)).astype(np.float32))


def test_every_operator_is_compared():
    assert {name for name, *_ in CASES} | ELSEWHERE == set(OPERATORS)


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_squeeze_split_and_concat_of_flat_images(tmp_path, transposed):
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["a"], transB=transposed, alpha=0.5, beta=3.0),
        helper.make_node("Split", ["a", "sizes"], ["left", "right"], axis=1),
        helper.make_node("Concat", ["right", "left"], ["both"], axis=1),
        helper.make_node("Unsqueeze", ["both", "one"], ["wide"]),
        helper.make_node("Squeeze", ["wide", "one"], ["narrow"]),
        helper.make_node("Add", ["narrow", "a"], ["y"]),
    ]
    w = draw(12, 5)
    constants = {"w": w.T if transposed else w, "b": draw(5), "sizes": ints(2, 3), "one": ints(2)}
    path = saved(tmp_path / "m.onnx", nodes, constants, ["N", 12], {"y": TensorProto.FLOAT}, 13)
    images = draw(3, 1, 3, 4)
    with torch.no_grad():
        answer = read_onnx(path)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(answer, by_onnxruntime(path, images.reshape(3, 12)), rtol=1e-4, atol=1e-5)


def test_channels_last(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["y"]),
    ]
    path = saved(tmp_path / "m.onnx", nodes, {"w": draw(2, 3, 2, 2)}, ["N", 5, 6, 3], {"y": TensorProto.FLOAT}, 13)
    images = draw(2, 5, 6, 3)
    with torch.no_grad():
        answer = read_onnx(path)(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    np.testing.assert_allclose(answer, by_onnxruntime(path, images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("written", [[1, 48], [1, -1]])
def test_a_model_for_one_image_takes_several(tmp_path, written):
    nodes = [helper.make_node("Reshape", ["x", "s"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])]
    path = saved(tmp_path / "m.onnx", nodes, {"s": ints(*written), "w": draw(48, 2)}, [1, 3, 4, 4], {"y": TensorProto.FLOAT}, 13)
    images = draw(3, 3, 4, 4)
    expected = np.concatenate([by_onnxruntime(path, image[None]) for image in images])
    with torch.no_grad():
        np.testing.assert_allclose(read_onnx(path)(torch.from_numpy(images)).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_constants_are_computed(tmp_path):
    nodes = [
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Constant", [], ["sizes"], value_ints=[1, 3]),
        helper.make_node("Mul", ["two", "w"], ["doubled"]),
        helper.make_node("Reshape", ["doubled", "sizes"], ["row"]),
        helper.make_node("MatMul", ["x", "m"], ["p"]),
        helper.make_node("Add", ["p", "row"], ["y"]),
    ]
    path = saved(tmp_path / "m.onnx", nodes, {"w": draw(3), "m": draw(4, 3)}, ["N", 4], {"y": TensorProto.FLOAT}, 13)
    module = read_onnx(path)
    images = draw(2, 1, 2, 2)
    with torch.no_grad():
        answer = module(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(answer, by_onnxruntime(path, images.reshape(2, 4)), rtol=1e-4, atol=1e-5)
    (linear,) = [part for part in module.modules() if isinstance(part, torch.nn.Linear)]
    assert linear.bias is not None  # the sum became the bias of the layer
