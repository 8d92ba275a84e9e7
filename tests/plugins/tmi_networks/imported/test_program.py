"""Programs of torch.export: the same function in modules with names, and nothing that is unpickled."""

from __future__ import annotations

import copy
import json
import zipfile

import pytest
import torch
from torch import nn

from tmi.errors import DataFileError, InputError
from tmi_networks.imported.program import CONVERTERS, operator_of, read_program


class Net(nn.Module):
    """Every operation that becomes a module, one ReLU for several uses, sums in place, and operations that stay functions."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.relu = nn.Conv2d(2, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1, groups=2, bias=False), nn.GELU(), nn.Dropout(0.5))
        self.small = nn.ModuleList(
            [
                nn.Sigmoid(),
                nn.Tanh(),
                nn.SiLU(),
                nn.ELU(0.5),
                nn.LeakyReLU(0.2),
                nn.Hardtanh(-0.5, 0.5),
                nn.ReLU6(),
                nn.Softmax(1),
            ]
        )
        self.pools = nn.ModuleList([nn.MaxPool2d(2, 1), nn.AvgPool2d(2, 1, 1), nn.AdaptiveAvgPool2d((2, 3))])
        self.flat, self.layer_norm, self.linear, self.last = nn.Flatten(), nn.LayerNorm(24), nn.Linear(24, 5), nn.BatchNorm1d(5)
        for norm in (self.norm, self.last):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        y = self.relu(self.norm(self.conv(x)))
        z = self.block(y)
        z += y
        y = self.relu(z)
        for part in (*self.small, *self.pools):
            y = part(y) + 0.1
        return self.last(self.linear(self.layer_norm(self.flat(y)))) * torch.cos(x.mean((1, 2, 3)))[:, None]


def saved(module, path, batch="N", images=2):
    shapes = ({0: torch.export.Dim("N")},) if batch == "N" else None
    torch.export.save(torch.export.export(module, (torch.rand(images, 2, 6, 7),), dynamic_shapes=shapes), path)
    return path


@pytest.mark.slow
def test_the_same_function(tmp_path):
    module = Net().eval()
    program = read_program(saved(module, tmp_path / "net.pt2"))
    for count in (1, 5):
        images = torch.rand(count, 2, 6, 7)
        torch.testing.assert_close(program(images), module(images.clone()))
    kinds = {name: type(part).__name__ for name, part in program.named_modules() if not list(part.children())}
    expected = {"conv": "Conv2d", "norm": "BatchNorm2d", "relu": "ReLU", "relu_1": "ReLU", "block.1": "GELU", "linear": "Linear"}
    assert expected.items() <= kinds.items()
    assert kinds.keys() >= {f"small.{i}" for i in range(8)} | {f"pools.{i}" for i in range(3)} | {"flat", "layer_norm", "last"}
    double = copy.deepcopy(program).double()
    images = torch.rand(2, 2, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(double(images), copy.deepcopy(module).double()(images.clone()))


@pytest.mark.slow
def test_every_converter_is_used(tmp_path):
    program = torch.export.load(saved(Net().eval(), tmp_path / "net.pt2"))
    assert {operator_of(node).removesuffix("_") for node in program.graph.nodes} >= set(CONVERTERS)


class Aliased(nn.Module):
    """A change in place that another operation sees through a view."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)

    def forward(self, x):
        y = self.conv(x)
        y[:, 0].relu_()
        return y.mean((2, 3))


@pytest.mark.slow
def test_a_change_that_is_seen_through_a_view(tmp_path):
    module = Aliased().eval()
    program = read_program(saved(module, tmp_path / "net.pt2"))
    images = torch.randn(4, 2, 6, 7)
    torch.testing.assert_close(program(images), module(images))


@pytest.mark.slow
def test_a_number_of_images_that_is_fixed(tmp_path):
    with pytest.raises(InputError, match=r"net.pt2 takes batches of 2 images alone; export it with dynamic_shapes="):
        read_program(saved(Net().eval(), tmp_path / "net.pt2", batch=2))


def test_training_mode(tmp_path):
    module = nn.Sequential(nn.Conv2d(2, 2, 3), nn.Dropout(), nn.Flatten(), nn.LazyLinear(2))
    module(torch.rand(1, 2, 6, 7))
    with pytest.raises(InputError, match=r"net.pt2 was exported in training mode; call module.eval\(\)"):
        read_program(saved(module.train(), tmp_path / "net.pt2"))


def test_other_inputs(tmp_path):
    torch.export.save(torch.export.export(nn.Linear(3, 2), (torch.rand(2, 3),)), tmp_path / "net.pt2")
    with pytest.raises(InputError, match=r"net.pt2 takes \(2, 3\), expected one batch of images"):
        read_program(tmp_path / "net.pt2")
    (tmp_path / "no.pt2").write_bytes(b"nothing")
    with pytest.raises(DataFileError, match=r"no.pt2 is no program of torch.export, or damaged"):
        read_program(tmp_path / "no.pt2")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w')",)


@pytest.mark.parametrize("place", ["sample inputs", "weights", "constants"])
def test_nothing_is_run(tmp_path, place):
    """A program in which torch.export.load would unpickle an object that writes a file."""
    original, changed, sprung = (
        saved(nn.Sequential(nn.Conv2d(2, 1, 3)), tmp_path / "a.pt2"),
        tmp_path / "b.pt2",
        tmp_path / "sprung",
    )
    assert isinstance(read_program(original).get_submodule("0"), nn.Conv2d)
    torch.save((Trap(sprung),), tmp_path / "trap")
    trap = (tmp_path / "trap").read_bytes()
    with zipfile.ZipFile(original) as source, zipfile.ZipFile(changed, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            content = source.read(name)
            if place == "sample inputs" and "sample_inputs" in name:
                content = trap
            if place == "weights" and name.endswith("weights_config.json"):
                config = json.loads(content)
                next(iter(config["config"].values()))["use_pickle"] = True
                content = json.dumps(config).encode()
            if place == "weights" and name.endswith("weight_0"):
                content = trap
            if place == "constants" and name.endswith("constants_config.json"):
                entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
                content = json.dumps({"config": {"c": entry}}).encode()
            target.writestr(name, content)
    with pytest.raises((InputError, DataFileError)):
        read_program(changed)
    assert not sprung.exists()


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    """A program whose sizes are expressions, and whose answer is a dict."""

    class Sizes(nn.Module):
        def forward(self, x):
            y = torch.einsum("ncij,ncij->ni", x, x.relu()).reshape(2 * x.shape[0], -1).sum(1)[: x.shape[0]]
            return {"logits": y * (x.shape[0] ** 0.5), "other": max(x.shape[0], 1) * x.mean()}

    return saved(Sizes(), tmp_path_factory.mktemp("sizes") / "net.pt2")


def test_expressions_of_sizes_are_read(sizes):
    program, images = read_program(sizes), torch.rand(4, 2, 6, 7)
    logits = (images**2).sum((1, 3)).reshape(8, -1).sum(1)[:4] * 2
    torch.testing.assert_close(program(images)["logits"], logits)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Symbol('s77', positive=True, integer=True)", "{code}"),
        ("ToFloat(", "{code} or ToFloat("),
        ("Symbol('s77', positive=True, integer=True)", "s77.__class__"),
        ('"name": "x"', '"name": "x={code}"'),
        ('"forward_arg_names": ["x"', '"forward_arg_names": ["x={code}"'),
        (r"\\\"logits\\\"", r"{{\\\"__enum__\\\": 1}}"),
    ],
)
def test_no_text_of_a_program_is_run(sizes, tmp_path, old, new):
    """Torch evaluates expressions of sizes when it reads a program, and writes names into code."""
    changed, sprung = tmp_path / "net.pt2", tmp_path / "sprung"
    new = new.format(code=f"__import__('pathlib').Path('{sprung}').touch()")
    with zipfile.ZipFile(sizes) as source, zipfile.ZipFile(changed, "w") as target:
        texts = {name: source.read(name) for name in source.namelist()}
        (name,) = (name for name in texts if "models/" in name)
        assert old.encode() in texts[name]
        texts[name] = texts[name].replace(old.encode(), new.encode())
        for name, text in texts.items():
            target.writestr(name, text)
    with pytest.raises(InputError, match=r"net.pt2 holds .*, which torch would run as code") as info:
        read_program(changed)
    assert "\n" not in str(info.value)
    assert not sprung.exists()
