from __future__ import annotations

import json
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

import tmi

from .wrong import SMALL, Middle, constructed, wrong_modules

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
safetensors = pytest.importorskip("safetensors.torch", reason="needs the extra export")


def task_of(shapes, image_shape, seed=0, epsilon=2.0):
    """A task with one tile of each shape, two to a class, values on tenths."""
    rng = np.random.default_rng(seed)
    made = []
    for k, l in shapes:  # noqa: E741
        values = rng.integers(0, 11, (image_shape[0], k, l)) / 10
        support = rng.random(values.shape) < 0.7
        support.flat[0] = True
        made.append(tmi.FeatureTile(values, epsilon, support))
    return tmi.TemplateTask([tmi.TileClass(f"class {i}", made[i : i + 2]) for i in range(0, len(made), 2)], image_shape)


TASKS = {
    "grey": (((3, 3), (3, 3), (3, 3)), (1, 7, 6), 1.0),
    "colour, different sizes": (((3, 2), (4, 5), (2, 6), (6, 6)), (3, 6, 7), 2.0),
    "one pixel": (((1, 1),), (1, 3, 3), 0.25),
}


@pytest.fixture(params=TASKS)
def task(request):
    shapes, image_shape, epsilon = TASKS[request.param]
    return task_of(shapes, image_shape, epsilon=epsilon)


def images_for(task, count=6, dtype=torch.float32):
    """Random images on tenths, each with a tile pasted in: on the kinks, and off them."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 11, (count, *task.image_shape)) / 10
    for i, image in enumerate(images):
        index = i % len(task.tiles)
        _, k, l = task.tiles[index].shape  # noqa: E741
        row, col = (int(rng.integers(limit)) for limit in task.windows[index])
        image[:, row : row + k, col : col + l] = np.clip(task.tiles[index].values + 0.01 * (i % 2), 0, 1)
    return torch.from_numpy(images).to(dtype)


def in_onnxruntime(path, images):
    (logits,) = onnxruntime.InferenceSession(str(path)).run(None, {"images": images.numpy()})
    return torch.from_numpy(logits)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_onnx_says_what_the_network_says(task, dtype, tmp_path):
    network = tmi.build("theorem1", task)
    network.export(tmp_path / "network.onnx", dtype=dtype)
    images = images_for(task, dtype=getattr(torch, dtype))
    expected = network.logits(images)
    assert expected.count_nonzero() >= len(images)
    for count in (6, 1, 3):  # any number of images
        found = in_onnxruntime(tmp_path / "network.onnx", images[:count])
        assert found.dtype == images.dtype
        torch.testing.assert_close(found, expected[:count], rtol=0, atol=1e-5 if dtype == "float32" else 1e-12)
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_export_says_what_the_network_says(task, dtype, tmp_path):
    network = tmi.build("theorem1", task)
    network.export(tmp_path / "network.pt2", dtype=dtype)
    images = images_for(task, dtype=getattr(torch, dtype))
    extra = {"classes.json": ""}
    program = torch.export.load(str(tmp_path / "network.pt2"), extra_files=extra).module()
    assert json.loads(extra["classes.json"]) == list(task.class_names)
    for count in (6, 1, 3):
        x, y = images[:count].clone().requires_grad_(), images[:count].clone().requires_grad_()
        found, expected = program(x), network.module(y)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 if dtype == "float32" else 1e-12)
        found[:, 0].sum().backward()
        expected[:, 0].sum().backward()
        torch.testing.assert_close(x.grad, y.grad)  # at the kinks too


@pytest.mark.slow
@pytest.mark.parametrize(("name", "params"), [("theorem1", {"realisation": "literal"}), ("theorem2", {})])
def test_literal_networks_export_the_same(task, name, params, tmp_path):
    literal = tmi.build(name, task, **params)
    literal.export(tmp_path / "literal.onnx")
    images = images_for(task)
    torch.testing.assert_close(in_onnxruntime(tmp_path / "literal.onnx", images), literal.logits(images), rtol=0, atol=1e-5)


def trained(task):
    torch.manual_seed(0)
    channels, m, n = task.image_shape
    module = nn.Sequential(
        nn.Conv2d(channels, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (m - 1) * (n - 1), len(task.classes))
    )
    return tmi.Network(module, ["0", "3"], "trained", task=task)


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_trained_networks_export_their_layers(squares, kind, tmp_path):
    network, path = trained(squares), tmp_path / "network.bin"
    images = images_for(squares)
    network.export(path, format=kind)
    found = in_onnxruntime(path, images) if kind == "onnx" else torch.export.load(str(path)).module()(images)
    torch.testing.assert_close(found, network.logits(images), rtol=1e-5, atol=1e-5)
    assert network.module[0].weight.dtype == torch.float32


def test_onnx_names_its_input_output_and_classes(squares, tmp_path):
    tmi.build("theorem1", squares).export(tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"))
    (given_,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given_.name, given_.shape[1:]) == ("images", [1, 4, 4])
    assert isinstance(given_.shape[0], str)
    assert (made.name, made.shape[1]) == ("logits", 2)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["black", "white"]


@pytest.mark.slow
@pytest.mark.parametrize("opset", [18, 20, 23])
def test_opset(squares, opset, tmp_path):
    import onnx

    tmi.build("theorem1", squares).export(tmp_path / "network.onnx", opset=opset)
    assert {i.domain: i.version for i in onnx.load(tmp_path / "network.onnx").opset_import}[""] == opset
    images = images_for(squares)
    torch.testing.assert_close(in_onnxruntime(tmp_path / "network.onnx", images), squares.phi(images), rtol=0, atol=1e-5)


WITHOUT_TMI = """
import sys
sys.modules["tmi"] = None  # importing it fails
import numpy as np
images = np.load("images.npy")
if sys.argv[1] == "onnx":
    import onnxruntime
    logits = onnxruntime.InferenceSession("network.onnx").run(None, {"images": images})[0]
else:
    import torch
    logits = torch.export.load("network.pt2").module()(torch.from_numpy(images)).detach().numpy()
assert not any(name.split(".")[0].startswith("tmi") for name, module in sys.modules.items() if module is not None)
np.save("logits.npy", logits)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_runs_where_there_is_no_tmi(kind, tmp_path):
    data = tmi.generate("fashion", seed=0, samples=1, test_samples=8, source="sample")
    network = tmi.build("theorem1", data)
    network.export(tmp_path / f"network.{kind}")
    np.save(tmp_path / "images.npy", data.test.images.numpy())
    subprocess.run([sys.executable, "-I", "-W", "ignore", "-c", WITHOUT_TMI, kind], cwd=tmp_path, check=True)
    logits = np.load(tmp_path / "logits.npy")
    np.testing.assert_allclose(logits, network.logits(data.test.images), rtol=0, atol=1e-5)
    assert (logits.argmax(1) == data.test.labels.numpy()).all()
    assert ((logits > 0).sum(1) == 1).all()


def test_what_cannot_be_exported(squares, tmp_path, monkeypatch):
    network, path = tmi.build("theorem1", squares), tmp_path / "network.onnx"
    for given_, message in [
        ({"format": "tflite"}, r"^format 'tflite' is unknown; known: onnx, torch$"),
        ({"format": "onxn"}, r'^format \'onxn\' is unknown; did you mean "onnx"\?$'),
        ({"dtype": "float16"}, r'^dtype \'float16\' is unknown; did you mean "float64"\?|known'),
        ({"dtype": "float16"}, r"^dtype 'float16' is unknown; "),
        ({"opset": 7}, r"^opset: expected 18 to 23, got 7$"),
        ({"opset": True}, r"^opset: expected 18 to 23, got True$"),
        ({"opset": "20"}, r"^opset: expected 18 to 23, got '20'$"),
        ({"opset": 20, "format": "torch"}, r'^opset: format "torch" has none$'),
    ]:
        with pytest.raises(tmi.InputError, match=message):
            network.export(path, **given_)
    with pytest.raises(tmi.InputError, match=r'end it with "\.onnx" \(onnx\) or "\.pt2" \(torch\), or give format'):
        network.export(tmp_path / "network")
    with pytest.raises(tmi.InputError, match="there is no folder"):
        network.export(tmp_path / "nowhere" / "network.onnx")
    with pytest.raises(tmi.InputError, match="is a folder"):
        network.export(tmp_path, format="torch")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(tmi.InputError, match=r"^onnxscript is not installed; pip install 'tmi-interp\[export\]'$"):
        network.export(path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(tmi.InputError, match=r"^safetensors is not installed; "):
        network.save_weights(path)
    assert list(tmp_path.iterdir()) == []


class Odd(nn.Linear):
    """A layer that looks at its numbers, which cannot be traced."""

    def forward(self, x):
        return super().forward(x) if float(x.sum()) > 1 else super().forward(-x)


def test_a_module_that_cannot_be_traced(squares, tmp_path):
    network = tmi.Network(nn.Sequential(nn.Flatten(), Odd(16, 2)), ["1"], "imported", task=squares)
    with pytest.raises(tmi.InputError, match=r"^export: torch cannot trace Network\(Sequential, imported.*\)$") as caught:
        network.export(tmp_path / "network.pt2")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_that_claims_to_be_constructed_is_exported_as_it_is(name, dtype, tmp_path):
    task = SMALL[name]
    label = len(task.classes) // 2
    network = constructed(Middle(task, getattr(torch, dtype), label), task)
    network.export(tmp_path / "network.pt2", dtype=dtype)
    images = images_for(task, dtype=getattr(torch, dtype))
    found = torch.export.load(str(tmp_path / "network.pt2")).module()(images)
    assert torch.equal(found[:, label], torch.zeros(len(images), dtype=images.dtype))
    torch.testing.assert_close(found, network.logits(images))


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_program_that_is_another_function_is_refused_whatever_is_phi_says(name, tmp_path, monkeypatch):
    monkeypatch.setattr("tmi.networks.export.is_phi", lambda network: True)
    task = SMALL[name]
    for what, module in wrong_modules(task):
        if what.startswith(("class", "every logit", "tile 0 is never")) and "offset" not in what:
            with pytest.raises(tmi.InputError, match="the traced program does not compute what"):
                constructed(module, task).export(tmp_path / "network.pt2", dtype="float64")
    assert list(tmp_path.iterdir()) == []


def test_large_tiles_with_a_small_epsilon_are_exported_in_float32(tmp_path):
    rng = np.random.default_rng(0)
    tiles = [tmi.FeatureTile(rng.random((28, 28)), 1e-3) for _ in range(2)]
    task = tmi.TemplateTask([tmi.TileClass(str(i), [tile]) for i, tile in enumerate(tiles)], (1, 30, 30))
    for realisation in ("fused", "literal"):
        with warnings.catch_warnings(action="ignore"):
            network = tmi.build("theorem1", task, realisation=realisation)
        network.export(tmp_path / f"{realisation}.pt2")


@pytest.mark.parametrize(
    "build", [trained, lambda task: tmi.build("theorem1", task, realisation="literal")], ids=["trained", "literal"]
)
def test_weights_and_back(squares, build, tmp_path):
    network, path = build(squares), tmp_path / "weights.safetensors"
    network.save_weights(path)
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    images = images_for(squares)
    logits = network.logits(images)
    if network.origin == "trained":
        nn.init.zeros_(network.module[3].weight)
        assert not torch.equal(network.logits(images), logits)
    network.load_weights(path)
    assert torch.equal(network.logits(images), logits)
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
    assert set(safetensors.load_file(path)) == set(before)  # plain arrays by name
    assert not zipfile.is_zipfile(path)


def test_weights_that_do_not_fit(squares, tmp_path):
    network, path = trained(squares), tmp_path / "weights.safetensors"
    weights = {name: value.clone() for name, value in network.module.state_dict().items()}

    def refused(message, metadata=None, error=tmi.InputError, network=network, **changed):
        kept = {name: value for name, value in (weights | changed).items() if value is not None}
        safetensors.save_file(kept, path, metadata)
        before = network.logits(torch.zeros(1, *squares.image_shape))
        with pytest.raises(error, match=message):
            network.load_weights(path)
        assert torch.equal(network.logits(torch.zeros(1, *squares.image_shape)), before)

    refused(r"has no weight '3\.bias'", **{"3.bias": None})
    refused(r"weight 'bias' is none of the network's", bias=torch.zeros(2))
    refused(r"weight '3\.bias' is float32 \(3,\), the network's float32 \(2,\)", **{"3.bias": torch.zeros(3)})
    refused(r"is float64 \(2,\), the network's float32", **{"3.bias": torch.zeros(2, dtype=torch.float64)})
    refused(r"weight '3\.bias' is not finite", **{"3.bias": torch.full((2,), torch.nan)})
    refused("other classes: ", {"classes": '["cat"]'})
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(tmi.DataFileError, match="no safetensors file, or damaged"):
        network.load_weights(path)
    with pytest.raises(tmi.DataFileError, match="no such file"):
        network.load_weights(tmp_path / "nowhere")


def test_a_constructed_network_keeps_its_weights(squares, tmp_path):
    literal, path = tmi.build("theorem1", squares, realisation="literal"), tmp_path / "weights.safetensors"
    literal.save_weights(path)
    weights = safetensors.load_file(path)
    weights["hidden.0.bias"] += 0.1
    safetensors.save_file(weights, path)
    with pytest.raises(tmi.InputError, match=r"weight 'hidden\.0\.bias' is not that of .* no longer be that of its task"):
        literal.load_weights(path)
    with pytest.raises(tmi.InputError, match=r"has none, for its layers follow from the task; use export"):
        tmi.build("theorem1", squares).save_weights(path)
