"""`tmi.wrap`: what images need, which outputs are the classes, and which layers are examined."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import tmi
from tmi.errors import InputError, UnknownNameError


def task_of(channels=1, rows=6, columns=7, classes=2):
    rng = np.random.default_rng(0)
    tiles = [tmi.FeatureTile(rng.random((channels, 2, 2)), 0.3) for _ in range(classes)]
    return tmi.TemplateTask([tmi.TileClass(f"c{i}", [tile]) for i, tile in enumerate(tiles)], (channels, rows, columns))


class Net(nn.Module):
    """A ReLU for two uses in a block, in place; one of its own behind the first convolution."""

    def __init__(self, channels=1, outputs=2, pooled=True):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.act = nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU()
        self.block = Block()
        self.pool = nn.AdaptiveAvgPool2d(1) if pooled else nn.Identity()
        self.fc = nn.Linear(4, outputs) if pooled else nn.LazyLinear(outputs)

    def forward(self, x):
        return self.fc(self.pool(self.block(self.act(self.conv(x)))).flatten(1))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.relu = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.two(self.relu(self.one(x))) + x)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (None, ("act", "block", "fc")),
        ("conv2d", ("conv", "block.one", "block.two", "fc")),
        ("conv", ("conv",)),  # a name goes before a kind
        ("ReLU", ("act", "fc")),
        (["block.one", "conv"], ("block.one", "conv")),
        (["block.*"], ("block.one", "block.two", "fc")),
        (["fc", "relu", "conv"], ("act", "conv", "fc")),
    ],
)
def test_layers(layers, expected):
    assert tmi.wrap(Net(), task_of(), layers).layers == expected


def test_layers_without_modules_for_the_nonlinearities():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.blocks, self.fc = nn.Conv2d(1, 4, 3), nn.Sequential(Inner(), Inner()), nn.Linear(4, 2)

        def forward(self, x):
            return self.fc(self.blocks(functional.relu(self.stem(x))).mean((2, 3)))

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return functional.relu(self.conv(x))

    assert tmi.wrap(Functional(), task_of()).layers == ("blocks.0", "blocks.1", "fc")
    plain = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(40, 2))
    assert tmi.wrap(plain, task_of()).layers == ("0", "2")


def test_a_wrapped_module_is_named_with_or_without_the_wrapper():
    module = nn.DataParallel(Net())
    assert tmi.wrap(module, task_of(), ["module.act", "fc"]).layers == ("act", "fc")
    assert tmi.wrap(module, task_of(), ["act", "fc"]).layers == ("act", "fc")


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([(1, 1), (1, 3), (3, 3)]),
    st.integers(4, 9),
    st.integers(4, 9),
    st.sampled_from([None, "one", "each"]),
    st.booleans(),
    st.booleans(),
)
def test_the_module_gets_what_it_was_made_for(channels, rows, columns, normalised, resized, double):
    own, wanted = channels
    module, task = Net(wanted, 5), task_of(own, rows, columns)
    mean, std = ([0.1, 0.2, 0.3][:wanted], [0.5, 1.5, 2.5][:wanted]) if normalised == "each" else (0.4, 0.25)
    options = {} if normalised is None else {"mean": mean, "std": std}
    if resized:
        options["input_size"] = (5, 11)
    if double:
        options["dtype"] = "float64"
    network = tmi.wrap(module, task, channels=wanted, classes=[3, 1], **options)
    images = torch.rand(3, own, rows, columns, dtype=torch.float64 if double else torch.float32)
    # By hand.
    x = images.clone()
    if resized:
        small = rows > 5 or columns > 11
        x = functional.interpolate(x, (5, 11), mode="bilinear", antialias=small)
    x = torch.cat([x] * wanted, 1) if own < wanted else x
    if normalised:
        x = (x - torch.as_tensor(mean).to(x).reshape(-1, 1, 1)) / torch.as_tensor(std).to(x).reshape(-1, 1, 1)
    expected = (module.double() if double else module).eval()(x).detach()[:, [3, 1]]
    torch.testing.assert_close(network.logits(images), expected, rtol=1e-5, atol=1e-6)


def test_the_gradient_is_that_of_the_image():
    network = tmi.wrap(Net(3), task_of(1), channels=3, std=[0.5, 0.25, 2.0])
    image = torch.rand(1, 1, 6, 7, dtype=torch.float64, requires_grad=True)
    module = network.with_module(tmi.networks.plain.copied(network.module).double()).module
    module(image)[0, 0].backward()
    step = torch.randn_like(image) * 1e-6
    with torch.no_grad():
        difference = module(image + step)[0, 0] - module(image - step)[0, 0]
    assert float(difference) == pytest.approx(float((image.grad * 2 * step).sum()), rel=1e-4)


def test_deeplift_goes_through_the_preparation():
    """Captum calls the module with images and baselines; a linear module has attributions in closed form."""
    from captum.attr import DeepLift

    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 2, 2), nn.Flatten(), nn.Linear(60, 2))
    network = tmi.wrap(module, task_of(1), ["0", "2"], channels=3, mean=0.2, std=[0.5, 0.25, 2.0])
    image, baseline = torch.rand(2, 1, 6, 7, requires_grad=True), torch.rand(2, 1, 6, 7)
    gradient = torch.autograd.grad(network.module(image)[:, 1].sum(), image)[0]
    given = DeepLift(network.module).attribute(image, baseline, target=1)
    torch.testing.assert_close(given, gradient * (image - baseline), rtol=1e-4, atol=1e-5)


def test_the_given_module_is_left_as_it_is():
    module = Net(3, 5).half()
    before = len(module._forward_pre_hooks), len(module._forward_hooks), next(module.parameters()).dtype
    tmi.wrap(module, task_of(1), channels=3, mean=0.5, classes=[0, 1], output=None, dtype="float64")
    assert (len(module._forward_pre_hooks), len(module._forward_hooks), next(module.parameters()).dtype) == before


def test_a_data_set_gives_the_image():
    data = tmi.generate("squares", samples=8, test_samples=4)
    network = tmi.wrap(Net(outputs=len(data.task.classes)), data)
    assert network.origin == "imported"
    assert network.activations(data.test.images)["fc"].shape == (4, len(data.task.classes))


class Answer(Net):
    def forward(self, x):
        return {"scores": super().forward(x)[:, :, None, None], "x": x}


def test_output_and_form():
    network = tmi.wrap(Answer(), task_of(), output="scores", form="squeeze")
    assert network.logits(torch.rand(3, 1, 6, 7)).shape == (3, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": [0.1, 0.2]}, "mean: expected one number, or 1 for 1 channels, got 2"),
        ({"input_size": [3]}, r"input_size: expected rows and columns, got \[3\]"),
        ({"classes": [1]}, r"classes: expected 2 different outputs, one for each class of the task, got \[1\]"),
        ({"classes": [1, 7]}, "classes: the module has 2 outputs, so there is no output 7"),
        ({"module": Net(outputs=9)}, r"the task has 2 classes; say which output stands for each class: classes=\[0, 1\]"),
        ({"module": Net(3)}, "its first convolution takes 3 channels, and the images have 1: channels=3"),
        ({"module": nn.Sequential(nn.Flatten(), nn.Linear(64, 2))}, r"give that as input_size=\(rows, columns\)"),
        ({"module": Answer()}, 'name the part by output="scores"'),
        ({"module": lambda x: x}, "expected a torch.nn.Module, got function"),
        ({"module": Net}, r"module: expected a torch.nn.Module, got the class Net; make one by Net\(…\)"),
        ({"module": nn.Conv2d(1, 2, 3)}, "layers: no part .*; put the Conv2d into a torch.nn.Sequential"),
        ({"task": "x"}, "task_or_data: expected a TemplateTask or a Dataset, got str"),
        ({"module": Answer(), "output": 3}, "output: 3 is not a part of a dict of 'scores', 'x'"),
        ({"layers": "gelu"}, "layer 'gelu': the module has none; known: "),
        ({"layers": ["blok"]}, 'did you mean "block"'),
        ({"layers": ["*.relu"]}, "of block.relu none runs once and gives one tensor; name the modules around them"),
        (
            {"task": task_of(3), "module": Net(1), "channels": 1},
            "images of the task have 3; only a grey image can be repeated to 1",
        ),
    ],
)
def test_errors(options, message):
    module, task = options.pop("module", None) or Net(), options.pop("task", None) or task_of()
    with pytest.raises((InputError, UnknownNameError), match=message) as info:
        tmi.wrap(module, task, **options)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("option", "values", "expected"),
    [
        ("channels", [0, -1, 1.0, True], "a whole number of at least 1"),
        ("mean", [True, "7", float("nan"), [None]], "a finite number, or one a channel"),
        ("std", [0, -1.0, [0.0], float("inf"), float("nan")], "a finite number above 0, or one a channel"),
        ("input_size", [True, 0, 2.5, [3, 0]], "rows and columns, whole numbers of at least 1"),
        ("classes", [1, [0.0, 1.0], [-1, 0], [False, True]], "the numbers of outputs, one for each class of the task"),
        ("layers", [1, [1]], "names of submodules, patterns or kinds"),
        ("parts", [[1], "fc", {1: 0}, {"fc": 1.5}], "a dict that gives for each layer a position, a name or a function"),
        ("output", [1.5, [0], True], "a position, a name or a function"),
        ("dtype", ["float16", "flaot32", torch.float64], '"float32" or "float64"'),
    ],
)
def test_an_option_of_another_kind(option, values, expected):
    for value in values:
        with pytest.raises(InputError) as info:
            tmi.wrap(Net(), task_of(), **{option: value})
        assert str(info.value) == f"{option}: expected {expected}, got {value!r}"


@pytest.mark.parametrize(
    "options",
    [
        {"mean": np.array([0.5]), "std": (0.25,), "classes": np.array([0, 1]), "channels": np.int64(1)},
        {"mean": torch.tensor(0.5), "std": torch.tensor([0.25]), "classes": range(2), "input_size": (6, 7)},
    ],
)
def test_options_as_arrays(options):
    images = torch.rand(2, 1, 6, 7)
    expected = tmi.wrap(Net(), task_of(), mean=0.5, std=0.25).logits(images)
    torch.testing.assert_close(tmi.wrap(Net(), task_of(), **options).logits(images), expected)


def test_copies_of_a_traced_module_keep_the_preparation_of_images():
    data = tmi.generate("squares", samples=1, test_samples=8)
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    options = {"input_size": [8, 8], "mean": 0.5, "std": 0.2, "classes": [3, 4]}
    expected, traced = (tmi.wrap(module, data, **options) for module in (plain, torch.fx.symbolic_trace(plain)))
    images = data.test.images
    assert torch.equal(traced.logits(images), expected.logits(images))
    assert torch.equal(copy.deepcopy(traced.module)(images), expected.logits(images))  # that of torch.fx loses its hooks
    assert traced.layers == expected.layers


def test_a_layer_with_more_units_than_classes_says_nothing_about_classes():
    data = tmi.generate("digits", classes=2, image_size=10, samples=1, test_samples=8)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 9)).eval()
    network = tmi.wrap(module, data, classes=[7, 8])
    metrics = tmi.probe("activation-maximisation", network, data, steps=5).metrics
    assert "best_tile.3" in metrics
    assert "own_class.3" not in metrics


def test_an_unknown_form_is_refused():
    with pytest.raises(InputError, match=r"form: expected one of squeeze, .*got .man.; "):
        tmi.wrap(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), task_of(), form="man")
