"""The builder `imported` in Python and in suites: users' files, keys that follow their content, and errors in one line."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
import torch

import tmi
from tmi.errors import TmiError
from tmi.suites.plan import make_plan

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CIFAR = {"module": "cifar_resnet.py:resnet20", "arguments": {"width": 4}, "weights": "safe.th", "mean": MEAN, "std": STD}
FORMS = {
    "cifar": CIFAR | {"classes": [3, 5]},
    "torchvision": {
        "module": "resnet.py:small_resnet",
        "arguments": {"num_classes": 2, "width": 4},
        "weights": "weights.safetensors",
    },
    "onnx": {"module": "small.onnx", "output": "scores"},
}


@pytest.mark.parametrize("name", FORMS)
def test_a_user_s_network(made, colour, monkeypatch, name):
    folder, modules = made
    monkeypatch.chdir(folder)
    network = tmi.build("imported", colour, **FORMS[name])
    assert network.origin == "imported"
    images = colour.test.images[:3].float()
    if name == "onnx":
        assert network.layers == ("relu_1", "relu_2", "gemm_1")
        return
    module, x = copy.deepcopy(modules[name]), images
    if name == "cifar":
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        x = (images - mean) / std
    expected = module(x).detach()
    torch.testing.assert_close(network.logits(images), expected[:, [3, 5]] if name == "cifar" else expected)
    first, *_, last = network.layers
    assert (first, last) == (("layer1.0", "linear") if name == "cifar" else ("relu", "fc"))
    assert not any(getattr(part, "inplace", False) for part in network.module.modules())


def suite_in(folder: Path, **options):
    """Return a suite that lies in a folder, with the ONNX file or the code there."""
    table = FORMS["torchvision"] | options
    lines = [f"{key} = {value!r}" for key, value in table.items() if key != "arguments"]
    text = f"""
        [datasets.squares]
        use = "squares"
        samples = 8
        test_samples = 4
        [networks.theirs]
        use = "imported"
        channels = 3
        arguments = {{ num_classes = 2, width = 4 }}
        {chr(10).join(lines)}
        [probes.accuracy]
        use = "accuracy"
    """
    (folder / "suite.toml").write_text(text)
    return folder / "suite.toml"


def key_of(suite):
    (planned,) = make_plan(tmi.load_suite(suite))
    return planned.network_key


@pytest.fixture
def lab(made, tmp_path):
    shutil.copytree(made[0], tmp_path / "lab")
    return tmp_path / "lab"


def test_a_suite_finds_files_in_its_folder_and_keeps_the_results(lab, tmp_path, monkeypatch, recwarn):
    monkeypatch.chdir(tmp_path)
    suite = suite_in(lab)
    for cached in (0, 1):
        results = tmi.run(suite, store=tmp_path / "store")
        (row,) = results.to_frame().query("metric == 'accuracy'").to_dict("records")
        assert row["status"] == "ok"
        assert sum(entry.cached for entry in results) == cached
    assert [str(w.message) for w in recwarn if "not kept" in str(w.message)] == []


def test_keys_follow_the_code_the_weights_and_the_name(lab, tmp_path):
    suite = suite_in(lab)
    keys = [key_of(suite)]
    assert key_of(suite) == keys[0]
    other = tmp_path / "elsewhere"
    shutil.copytree(lab, other)
    assert key_of(suite_in(other)) == keys[0]  # the place does not count
    code = (lab / "resnet.py").read_text()
    (lab / "resnet.py").write_text(f"# a comment\n{code}")
    assert key_of(suite) == keys[0]
    (lab / "resnet.py").write_text(code.replace("padding=3", "padding=2"))
    keys.append(key_of(suite))
    (lab / "resnet.py").write_text(code)
    torch.save({name: value + 1 for name, value in torch.load(lab / "weights.pt").items()}, lab / "weights.pt")
    keys.append(key_of(suite_in(lab, weights="weights.pt")))
    keys.append(key_of(suite_in(lab, module="cifar_resnet.py:resnet20", weights="safe.th")))
    (lab / "shortcuts.py").write_text((lab / "shortcuts.py").read_text() + "\nmore = 1\n")
    keys.append(key_of(suite_in(lab, module="cifar_resnet.py:resnet20", weights="safe.th")))  # a file that the code imports
    keys.append(key_of(suite_in(lab, module="cifar_resnet.py:ResNet", weights="safe.th")))
    assert len(set(keys)) == len(keys)


def test_code_with_helpers_is_kept_unless_it_is_edited_before_it_runs(lab, tmp_path):
    layers = "nn.Conv2d(3, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, SIZE)"
    net = f"from torch import nn\nfrom helper import SIZE\ndef make(num_classes, width):\n    return nn.Sequential({layers})\n"
    edit = "from pathlib import Path\nPath(__file__).with_name('helper.py').write_text('SIZE = 1 + 1')\n"
    (lab / "helper.py").write_text("SIZE = 2")
    for code, cached in ((net, 0), (net, 1), (edit + net, 0), (edit + net, 0), (edit + net, 1)):
        (lab / "own.py").write_text(code)
        suite = suite_in(lab, module="own.py:make").read_text().splitlines()
        (lab / "suite.toml").write_text("\n".join(line for line in suite if "weights" not in line))
        results = tmi.run(lab / "suite.toml", store=tmp_path / "store")
        assert not results.failed
        assert sum(entry.cached for entry in results) == cached


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"module": "nothing.py:make"}, "module: there is no file or folder"),
        ({"module": "no_such_package_here:Net"}, "module: module 'no_such_package_here' has no Python source"),
        ({"module": "resnet.py"}, 'expected the name of a function or class behind the file, as in "resnet.py:make"'),
        ({"module": "weights.pt"}, 'weights.pt holds weights, and the code is missing; give module = "net.py:make"'),
        ({"module": "resnet.py:small_resnet", "weights": "gone.pt"}, "weights: there is no file or folder"),
        ({"module": "small.onnx", "weights": "weights.pt"}, "weights: small.onnx is complete; leave them out"),
        ({"module": "resnet.py:BasicBlock"}, "needs inplanes, planes; give them as arguments = {inplanes = …, planes = …}"),
        ({"module": "resnet.py:small_resnet", "arguments": {"width": 4}}, "gives 1000 outputs, and the task has 2 classes"),
        ({"module": "cifar_resnet.py:resnet20", "weights": "weights.pt"}, "weights.pt does not fit the module; missing: "),
        ({"module": "cifar_resnet.py:resnet20", "weights": "checkpoint.th"}, r"holds pickled objects \(argparse.Namespace\)"),
        ({"module": "resnet.py:small_resnet", "colours": 3}, "'imported' has no parameter 'colours'|no such parameter|unknown"),
    ],
)
def test_errors_in_one_line(made, colour, monkeypatch, options, message):
    monkeypatch.chdir(made[0])
    with pytest.raises(TmiError, match=message) as info:
        tmi.build("imported", colour, **options)
    assert "\n" not in str(info.value)


def test_a_suite_names_what_is_missing(lab):
    with pytest.raises(TmiError, match=r"\[networks.theirs\] module: there is no file or folder .*lab/gone.py"):
        tmi.load_suite(suite_in(lab, module="gone.py:make"))
