"""ONNX files: which outputs, what is refused, and that the conversion is compared with ONNX's own evaluation."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

import tmi
from tmi.errors import DataFileError, InputError
from tmi_networks.imported import onnx_operators
from tmi_networks.imported.onnx_file import read_onnx

from .test_onnx_operators import draw, ints, saved


def test_another_tools_classifier(made):
    file = made[0] / "small.onnx"
    images = draw(3, 3, 7, 6)
    module = read_onnx(file, "scores")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        answer = module(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(answer, session.run(["scores"], {"x": images})[0], rtol=1e-4, atol=1e-5)
    assert [name for name, part in module.named_modules() if not list(part.children()) and name != "constants"] == [
        "conv_1",
        "batchnormalization_1",
        "relu_1",
        "averagepool_1",
        "matmul_1",
        "relu_2",
        "gemm_1",
    ]
    assert tuple(read_onnx(file, 1)(torch.from_numpy(images)).shape) == (3, 2)


def test_what_cannot_be_converted_is_named(made, tmp_path):
    with pytest.raises(InputError) as info:
        read_onnx(made[0] / "small.onnx")
    assert str(info.value) == (
        'module: small.onnx uses operators that cannot be converted: ArgMax; leave them out by output = "scores"'
    )
    nodes = [helper.make_node("LRN", ["x"], ["a"], size=3), helper.make_node("Det", ["a"], ["y"])]
    path = saved(tmp_path / "odd.onnx", nodes, {}, ["N", 3, 4, 4], {"y": TensorProto.FLOAT}, 13)
    with pytest.raises(InputError, match=r"operators that cannot be converted: Det, LRN; give the code of the module instead"):
        read_onnx(path)
    node = helper.make_node("Flatten", ["x"], ["y"], axis=2)
    path = saved(tmp_path / "flat.onnx", [node], {}, ["N", 3, 4, 4], {"y": TensorProto.FLOAT}, 13)
    with pytest.raises(InputError, match=r"flat.onnx: operator Flatten cannot be converted along another axis than 1"):
        read_onnx(path)


@pytest.mark.parametrize(
    ("output", "message"),
    [("score", "has no output 'score'; did you mean \"scores\""), (2, "has 2 outputs, so there is no output 2")],
)
def test_unknown_outputs(made, output, message):
    with pytest.raises(InputError, match=message):
        read_onnx(made[0] / "small.onnx", output)


def test_a_wrong_conversion_is_found(made, monkeypatch):
    monkeypatch.setitem(onnx_operators.OPERATORS, "Relu", onnx_operators.layer(lambda _: torch.nn.GELU()))
    with pytest.raises(InputError, match=r"small.onnx: output 'scores' of the converted module differs from ONNX's"):
        read_onnx(made[0] / "small.onnx", "scores")


@pytest.mark.parametrize("size", [["N", 1, "rows", "columns"], ["N", "rows", "columns", 1]])
def test_a_model_that_leaves_sizes_open_is_compared_at_those_of_the_images(tmp_path, monkeypatch, size):
    data = tmi.generate("squares", samples=1, test_samples=4)
    first = (
        [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2])]
        if size[1] != 1
        else [helper.make_node("Relu", ["x"], ["t"])]
    )
    nodes = [
        *first,
        helper.make_node("Conv", ["t", "w"], ["conv"]),
        helper.make_node("Tanh", ["conv"], ["tanh"]),
        helper.make_node("GlobalAveragePool", ["tanh"], ["pool"]),
        helper.make_node("Flatten", ["pool"], ["y"]),
    ]
    constants = {"w": draw(len(data.task.classes), 1, 2, 2)}
    path = saved(tmp_path / "m.onnx", nodes, constants, size, {"y": TensorProto.FLOAT}, 17)
    network = tmi.build("imported", data, module=str(path))
    images = data.test.images.numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": images if size[1] == 1 else images.transpose(0, 2, 3, 1)})
    np.testing.assert_allclose(network.logits(data.test.images).numpy(), expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setitem(onnx_operators.OPERATORS, "Tanh", onnx_operators.layer(lambda _: torch.nn.Sigmoid()))
    with pytest.raises(InputError, match=r"m.onnx: output 'y' of the converted module differs from ONNX's"):
        tmi.build("imported", data, module=str(path), input_size=[7, 9])


DENSE = [helper.make_node("Flatten", ["x"], ["flat"])]


def dense(name, constants, **attributes):
    return [*DENSE, helper.make_node(name, ["flat", "c"], ["y"], **attributes)], {"c": constants}


@pytest.mark.parametrize("is_installed", [True, False])
@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (dense("MatMul", draw(48, 2)), {"kind": TensorProto.FLOAT16}, " takes images of float16, expected float"),
        (dense("MatMul", draw(48, 2)), {"kind": TensorProto.UINT8}, " takes images of uint8, expected float"),
        (dense("MatMul", draw(48, 2)), {"opset": 99}, " has opset 99, and the installed onnx knows those up to"),
        (dense("Gemm", draw(47, 2)), {}, r" cannot be evaluated on images \(3, 4, 4\)"),
        (dense("Gemm", draw(48)), {}, r": operator Gemm cannot be converted with weights \(48,\), which are no matrix"),
        (dense("MatMul", draw(47, 2)), {}, r" cannot be evaluated on images"),
        (dense("Gather", ints(99), axis=1), {}, " cannot be evaluated on images"),
        (dense("Reshape", ints(0, 7)), {}, " cannot be evaluated on images"),
        ((dense("MatMul", draw(48, 2))[0], {}), {}, " is damaged: nothing in it gives the value 'c'"),
        ((DENSE, {}), {}, " is damaged: nothing in it gives the value 'y'"),
        (
            (
                [*DENSE, helper.make_node("Add", ["a", "b"], ["c"]), *dense("MatMul", None)[0][1:]],
                {"a": draw(48, 2), "b": draw(3)},
            ),
            {},
            ": operator Add cannot be converted",
        ),
    ],
)
def test_a_faulty_model_is_refused_in_a_line(tmp_path, monkeypatch, capfd, is_installed, model, options, message):
    if not is_installed:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    path = saved(tmp_path / "m.onnx", *model, ["N", 3, 4, 4], {"y": TensorProto.FLOAT}, **({"opset": 17} | options))
    with pytest.raises(InputError, match=f"^module: m.onnx{message}") as info:
        read_onnx(path)
    assert "\n" not in str(info.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("weights", ["float64", "float32"])
def test_a_model_in_float64(tmp_path, weights):
    data = tmi.generate("squares", samples=1, test_samples=4)
    flat, double = int(np.prod(data.task.image_shape)), weights == "float64"
    kind = TensorProto.DOUBLE if double else TensorProto.FLOAT
    nodes = [helper.make_node("Cast", ["x"], ["a"], to=kind), helper.make_node("Flatten", ["a"], ["b"])]
    nodes += [helper.make_node("MatMul", ["b", "w"], ["y"])]
    constants = {"w": np.random.default_rng(0).normal(size=(flat, len(data.task.classes))).astype(weights)}
    path = saved(tmp_path / "m.onnx", nodes, constants, ["N", *data.task.image_shape], {"y": kind}, 17, TensorProto.DOUBLE)
    logits = tmi.build("imported", data, module=str(path)).logits(data.test.images)
    assert str(logits.dtype) == f"torch.{weights}"
    expected = data.test.images.double().flatten(1).numpy() @ constants["w"]
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-12 if double else 1e-4, atol=0 if double else 1e-5)


def test_what_is_no_model(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    with pytest.raises(DataFileError, match=r"no.onnx is no ONNX file, or damaged"):
        read_onnx(tmp_path / "no.onnx")
    node = helper.make_node("Relu", ["x"], ["y"])
    path = saved(tmp_path / "m.onnx", [node], {}, ["N", 3, 4], {"y": TensorProto.FLOAT}, 13)
    with pytest.raises(InputError, match=r"m.onnx takes \('\?', 3, 4\), expected images"):
        read_onnx(path)


def test_weights_in_another_file(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    model = onnx.load(saved(tmp_path / "m.onnx", nodes, {"w": draw(64, 40)}, ["N", 64], {"y": TensorProto.FLOAT}, 13))
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    assert read_onnx(tmp_path / "m.onnx")(torch.rand(2, 1, 8, 8)).shape == (2, 40)
    model = onnx.load(tmp_path / "m.onnx")
    onnx.save(model, tmp_path / "it's.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(InputError, match=r"keeps its weights in weights.bin; put all into one file by python -c") as info:
        read_onnx(tmp_path / "it's.onnx")
    command = re.search(r"by python (-c .*)$", str(info.value))[1]
    subprocess.run(["sh", "-c", f"{shlex.quote(sys.executable)} {command}"], cwd=tmp_path, check=True)
    assert read_onnx(tmp_path / "it's-whole.onnx")(torch.rand(2, 1, 8, 8)).shape == (2, 40)


@pytest.mark.slow
@pytest.mark.parametrize("opset", [11, 13, 17, 18, 20, 21, 23])
def test_what_torch_writes(made, tmp_path, opset):
    module = made[1]["torchvision"]
    options = {"dynamo": True} if opset >= 18 else {"dynamo": False, "dynamic_axes": {"x": {0: "n"}}}
    if opset >= 18:
        options["dynamic_shapes"] = {"x": {0: torch.export.Dim("N")}}
    path = tmp_path / "m.onnx"
    torch.onnx.export(module, (torch.rand(2, 3, 16, 16),), path, input_names=["x"], opset_version=opset, **options)
    images = torch.rand(3, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(read_onnx(path)(images), module(images), rtol=1e-3, atol=1e-5)


def test_an_exported_network_comes_back(tmp_path):
    data = tmi.generate("squares", samples=8, test_samples=4)
    task = data.task
    flat = int(np.prod(task.image_shape))
    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    constants = {"s": ints(0, -1), "w": draw(flat, len(task.classes))}
    path = saved(tmp_path / "m.onnx", nodes, constants, ["N", *task.image_shape], {"y": TensorProto.FLOAT}, 14)
    network = tmi.build("imported", data, module=str(path))
    expected = data.test.images.flatten(1).numpy() @ constants["w"]
    np.testing.assert_allclose(network.logits(data.test.images).numpy(), expected, rtol=1e-4, atol=1e-5)
