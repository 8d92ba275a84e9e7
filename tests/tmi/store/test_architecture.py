from __future__ import annotations

import copy
import json
import random
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tmi.errors import DamagedFileError
from tmi.store.architecture import LAYERS, NotDescribableError, describe, description_of, rebuild

# Each layer with settings that are not its defaults, and the shape of an input without the batch.
EXAMPLES = {
    "Conv1d": (nn.Conv1d(2, 4, 3, 2, 1, 2, 2, False, "circular"), (2, 9)),
    "Conv2d": (nn.Conv2d(2, 4, (2, 3), (1, 2), "valid", 1, 2, True, "replicate"), (2, 6, 6)),
    "Linear": (nn.Linear(3, 5, bias=False), (4, 3)),
    "Identity": (nn.Identity(), (3,)),
    "Flatten": (nn.Flatten(2, 3), (2, 3, 4)),
    "Unflatten": (nn.Unflatten(1, (2, 3)), (6,)),
    "ReLU": (nn.ReLU(inplace=True), (3,)),
    "ReLU6": (nn.ReLU6(inplace=True), (3,)),
    "LeakyReLU": (nn.LeakyReLU(1, inplace=True), (3,)),
    "PReLU": (nn.PReLU(3, 0.5), (3, 2)),
    "ELU": (nn.ELU(2.5), (3,)),
    "GELU": (nn.GELU("tanh"), (3,)),
    "SiLU": (nn.SiLU(True), (3,)),
    "Softplus": (nn.Softplus(2, 5.5), (3,)),
    "Sigmoid": (nn.Sigmoid(), (3,)),
    "Tanh": (nn.Tanh(), (3,)),
    "Softmax": (nn.Softmax(dim=-1), (3,)),
    "LogSoftmax": (nn.LogSoftmax(dim=1), (3,)),
    "MaxPool1d": (nn.MaxPool1d(3, 2, 1, 1, ceil_mode=True), (2, 8)),
    "MaxPool2d": (nn.MaxPool2d((2, 3), 1, (1, 0), 1), (2, 6, 6)),
    "AvgPool1d": (nn.AvgPool1d(3, 2, 1, True, False), (2, 8)),
    "AvgPool2d": (nn.AvgPool2d(3, (2, 1), 1, True, False, 7), (2, 6, 6)),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d((2, None)), (2, 6, 6)),
    "AdaptiveMaxPool2d": (nn.AdaptiveMaxPool2d(3), (2, 6, 6)),
    "BatchNorm1d": (nn.BatchNorm1d(3, 1e-3, None, False), (3,)),
    "BatchNorm2d": (nn.BatchNorm2d(2, momentum=0.25, track_running_stats=False), (2, 3, 3)),
    "GroupNorm": (nn.GroupNorm(2, 4, 1e-4), (4, 3)),
    "LayerNorm": (nn.LayerNorm((2, 3), 1e-4, True, False), (2, 3)),
    "Dropout": (nn.Dropout(0.25), (3,)),
    "Dropout2d": (nn.Dropout2d(0.25, True), (2, 3, 3)),
    "Upsample": (nn.Upsample(scale_factor=(2, 1.5), mode="bilinear", align_corners=False), (2, 3, 3)),
}


def with_weights_of(made, module):
    made.load_state_dict({name: value.clone() for name, value in module.state_dict().items()}, assign=True)
    return made.train(module.training)


def restored(module):
    """The module by way of JSON, with the weights of the given one."""
    return with_weights_of(rebuild(json.loads(json.dumps(describe(module)))), module)


def check_same(one, other, images):
    assert repr(one) == repr(other)
    assert list(one.state_dict()) == list(other.state_dict())
    one, other = copy.deepcopy(one).eval(), other.eval()
    assert torch.equal(one(images.clone()), other(images.clone()))


def test_there_is_an_example_of_every_layer():
    assert list(EXAMPLES) == list(LAYERS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_layer_comes_back(name):
    module, shape = EXAMPLES[name]
    images = torch.randn(4, *shape)
    check_same(module, restored(module), images)
    default = {"Conv1d": nn.Conv1d(2, 4, 3), "Upsample": nn.Upsample((5, 4)), "BatchNorm2d": nn.BatchNorm2d(2)}
    if name in default:
        check_same(default[name], restored(default[name]), images)


@st.composite
def stacks(draw):
    """Nested stacks for images of 2×6×6, with named and numbered parts."""
    channels, side, parts = 2, 6, []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["conv", "pool", "norm", "same", "block"]))
        if kind == "conv" and side > 2:
            kernel, width = draw(st.integers(1, 2)), draw(st.integers(1, 3))
            parts.append(nn.Conv2d(channels, width, kernel, bias=draw(st.booleans())))
            channels, side = width, side - kernel + 1
        elif kind == "pool" and side > 2:
            parts.append(draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))(2, stride=1))
            side -= 1
        elif kind == "norm":
            parts.append(draw(st.sampled_from([nn.BatchNorm2d, lambda c: nn.GroupNorm(1, c)]))(channels))
        elif kind == "block":
            parts.append(nn.Sequential(OrderedDict(a=nn.Conv2d(channels, channels, 1), b=nn.Sequential(nn.Tanh()))))
        else:
            parts.append(draw(st.sampled_from([nn.ReLU, nn.GELU, nn.Dropout, nn.Identity, nn.ELU]))())
    parts += [nn.Flatten(), nn.Linear(channels * side * side, 3)]
    stack = (
        nn.Sequential(*parts) if draw(st.booleans()) else nn.Sequential(OrderedDict((f"p{i}", p) for i, p in enumerate(parts)))
    )
    return stack.double() if draw(st.booleans()) else stack


@given(stacks())
def test_any_stack_comes_back(stack):
    weight = next(stack.parameters())
    check_same(stack, restored(stack), torch.rand(3, 2, 6, 6, dtype=weight.dtype))


def test_a_description_is_plain():
    module = nn.Sequential(OrderedDict(conv=nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), flat=nn.Flatten()))
    found = describe(module)
    assert found == json.loads(json.dumps(found))
    assert found["layer"] == "Sequential"
    assert [name for name, _ in found["parts"]] == ["conv", "flat"]
    assert found["parts"][0][1]["parts"][0][1] == {
        "layer": "Conv2d",
        "settings": {
            "in_channels": 1,
            "out_channels": 2,
            "kernel_size": [3, 3],
            "stride": [1, 1],
            "padding": [0, 0],
            "dilation": [1, 1],
            "groups": 1,
            "bias": True,
            "padding_mode": "zeros",
        },
    }


class MyReLU(nn.ReLU):
    pass


class Sequential(nn.Sequential):
    """Of the right name."""


class Linear(nn.Linear):
    """Of the right name."""


def attribute(module, name, value):
    setattr(module, name, value)
    return module


def hooked(module, register):
    getattr(module, register)(lambda *_: None)
    return module


def tied():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    return nn.Sequential(first, second)


def viewed():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = nn.Parameter(first.weight.detach())
    return nn.Sequential(first, second)


def twice():
    relu = nn.ReLU()
    return nn.Sequential(nn.Linear(3, 3), relu, nn.Linear(3, 3), relu)


def endless():
    module = nn.Sequential(nn.ReLU())
    module._modules["again"] = module
    return module


def extra_buffer():
    module = nn.Linear(3, 3)
    module.register_buffer("more", torch.zeros(2))
    return module


def tensor_hook():
    module = nn.Linear(3, 3)
    module.weight.register_hook(lambda gradient: gradient)
    return module


def buffer_gradient():
    module = nn.BatchNorm1d(3)
    module.running_mean.requires_grad_()
    return module


def transposed():
    module = nn.Linear(3, 4)
    module.weight = nn.Parameter(torch.zeros(3, 4).t())
    return module


def no_part():
    module = nn.Sequential(nn.ReLU())
    module.add_module("none", None)
    return module


NOT_DESCRIBABLE = {
    "subclass": lambda: MyReLU(),
    "subclass of the same name": lambda: Linear(2, 3),
    "subclass of Sequential": lambda: Sequential(nn.ReLU()),
    "unknown layer": lambda: nn.Bilinear(2, 2, 2),
    "list": lambda: nn.ModuleList([nn.ReLU()]),
    "deeper": lambda: nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Transformer(4, 1, 1, 1, 4))),
    "forward": lambda: attribute(nn.ReLU(), "forward", lambda x: x),
    "attribute": lambda: attribute(nn.Sequential(nn.ReLU()), "images_at_once", 3),
    "attribute changed": lambda: attribute(nn.Conv2d(1, 1, 3), "_reversed_padding_repeated_twice", [9, 9, 9, 9]),
    "setting changed": lambda: attribute(nn.Linear(2, 3), "in_features", 4),
    "setting of another type": lambda: attribute(nn.ReLU(), "inplace", 1),
    "not a number": lambda: nn.LeakyReLU(float("nan")),
    "indices": lambda: nn.MaxPool2d(2, return_indices=True),
    "forward hook": lambda: nn.Sequential(hooked(nn.ReLU(), "register_forward_hook")),
    "forward pre hook": lambda: hooked(nn.ReLU(), "register_forward_pre_hook"),
    "backward hook": lambda: hooked(nn.ReLU(), "register_full_backward_hook"),
    "state dict hook": lambda: hooked(nn.Linear(2, 2), "register_state_dict_pre_hook"),
    "tensor hook": tensor_hook,
    "parametrized": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
    "spectral norm": lambda: nn.utils.spectral_norm(nn.Linear(2, 2)),
    "pruned": lambda: nn.Sequential(pruned()),
    "tied weights": tied,
    "shared memory": viewed,
    "shared part": twice,
    "endless": endless,
    "no part": no_part,
    "buffer added": extra_buffer,
    "buffer requires gradient": buffer_gradient,
    "child added": lambda: attribute(nn.ReLU(), "child", nn.ReLU()),
    "parameter added": lambda: attribute(nn.ReLU(), "more", nn.Parameter(torch.zeros(2))),
    "parameter marked": lambda: marked(),
    "not contiguous": transposed,
    "sparse": lambda: attribute(nn.Linear(2, 2), "weight", nn.Parameter(torch.eye(2).to_sparse())),
    "meta": lambda: nn.Linear(2, 2, device="meta"),
    "batch norm without bias": lambda: attribute(nn.BatchNorm1d(3), "bias", None),
    "surrogate": lambda: nn.Sequential(OrderedDict({"\udc80": nn.ReLU()})),
}


def pruned():
    from torch.nn.utils import prune

    return prune.l1_unstructured(nn.Linear(3, 3), "weight", 0.5)


def marked():
    module = nn.Linear(2, 2)
    module.weight.colour = "red"
    return module


@pytest.mark.parametrize("name", NOT_DESCRIBABLE)
@pytest.mark.filterwarnings("ignore")
def test_what_is_more_than_its_layers_has_no_description(name):
    module = NOT_DESCRIBABLE[name]()
    assert describe(module) is None
    with pytest.raises(NotDescribableError, match=r"^[^\n]+$"):
        description_of(module)


def test_reasons_name_the_place():
    module = nn.Sequential(OrderedDict(a=nn.Sequential(nn.ReLU(), MyReLU())))
    with pytest.raises(NotDescribableError, match=r"a\.1: MyReLU is not one of the layers"):
        description_of(module)
    with pytest.raises(NotDescribableError, match=r"0 \(ReLU\): has hooks"):
        description_of(nn.Sequential(hooked(nn.ReLU(), "register_forward_hook")))


def test_a_removed_hook_does_not_count():
    module = nn.Linear(2, 2)
    module.register_full_backward_hook(lambda *_: None).remove()
    module.register_forward_hook(lambda *_: None).remove()
    assert describe(module) is not None


def test_describing_changes_nothing():
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
    rebuild(describe(module))
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tobytes() == states[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(p.device.type == "cpu" for p in module.parameters())


LINEAR = {"layer": "Linear", "settings": {"in_features": 2, "out_features": 3, "bias": True}}
CONV = describe(nn.Conv2d(1, 2, 3))


def settings(description, **changed):
    return {"layer": description["layer"], "settings": description["settings"] | changed}


def deep(levels):
    found = {"layer": "ReLU", "settings": {"inplace": False}}
    for _ in range(levels):
        found = {"layer": "Sequential", "parts": [["0", found]]}
    return found


HOSTILE = {
    "nothing": {},
    "none": None,
    "list": [],
    "word": "Linear",
    "number": 3,
    "class to import": {"layer": "os.system", "settings": {}},
    "dunder": {"layer": "__import__", "settings": {"name": "os"}},
    "module of torch.nn": {"layer": "functional", "settings": {}},
    "another class of torch.nn": {"layer": "Module", "settings": {}},
    "class that is not listed": {"layer": "Bilinear", "settings": {"in1_features": 1, "in2_features": 1, "out_features": 1}},
    "layer is a list": {"layer": ["Linear"], "settings": {}},
    "layer is a dict": {"layer": {"a": 1}, "settings": {}},
    "no settings": {"layer": "Linear"},
    "settings are a list": {"layer": "Linear", "settings": [2, 3, True]},
    "missing setting": {"layer": "Linear", "settings": {"in_features": 2, "bias": True}},
    "more": LINEAR | {"hook": "print"},
    "unknown setting": settings(LINEAR, device="cuda"),
    "self": settings(LINEAR, self=1),
    "word for a number": settings(LINEAR, in_features="2"),
    "truth for a number": settings(LINEAR, in_features=True),
    "number for truth": settings(LINEAR, bias=1),
    "fraction": settings(LINEAR, in_features=2.5),
    "none for a number": settings(LINEAR, in_features=None),
    "negative": settings(LINEAR, in_features=-1),
    "beyond counting": settings(LINEAR, in_features=2**70),
    "beyond counting together": settings(LINEAR, in_features=2**40, out_features=2**40),
    "mode": settings(CONV, padding_mode="eval"),
    "padding": settings(CONV, padding="exec"),
    "kernel of three": settings(CONV, kernel_size=[3, 3, 3]),
    "kernel of words": settings(CONV, kernel_size=["3", 3]),
    "groups": settings(CONV, groups=0),
    "dropout": {"layer": "Dropout", "settings": {"p": 7, "inplace": False}},
    "parts are a dict": {"layer": "Sequential", "parts": {"0": LINEAR}},
    "parts are none": {"layer": "Sequential", "parts": None},
    "part without a name": {"layer": "Sequential", "parts": [LINEAR]},
    "part of three": {"layer": "Sequential", "parts": [["a", LINEAR, 1]]},
    "part named by a number": {"layer": "Sequential", "parts": [[0, LINEAR]]},
    "part with a dot": {"layer": "Sequential", "parts": [["a.b", LINEAR]]},
    "part without letters": {"layer": "Sequential", "parts": [["", LINEAR]]},
    "part named forward": {"layer": "Sequential", "parts": [["forward", LINEAR]]},
    "part named __class__": {"layer": "Sequential", "parts": [["__class__", LINEAR]]},
    "part named _modules": {"layer": "Sequential", "parts": [["_modules", LINEAR]]},
    "twice": {"layer": "Sequential", "parts": [["a", LINEAR], ["a", LINEAR]]},
    "settings of parts": {"layer": "Sequential", "parts": [], "settings": {}},
    "too deep": deep(100_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses_hostile_descriptions(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DamagedFileError, match=r"^[^\n]{1,1000}$"):
        rebuild(HOSTILE[name])
    with pytest.raises(DamagedFileError):
        rebuild({"layer": "Sequential", "parts": [["part", HOSTILE[name]]]})
    assert not list(Path(tmp_path).iterdir())


def test_messages_name_place_and_nearest_name():
    wrong = {"layer": "Sequential", "parts": [["a", {"layer": "Sequential", "parts": [["b", {"layer": "Linea"}]]}]]}
    with pytest.raises(DamagedFileError, match=r"a\.b: layer 'Linea' is unknown; did you mean \"Linear\"\?"):
        rebuild(wrong)
    with pytest.raises(DamagedFileError, match=r"\(Linear\): 'in_feature' is unknown; did you mean \"in_features\"\?"):
        rebuild(settings(LINEAR, in_feature=2))


def test_sizes_take_no_memory():
    made = rebuild(settings(LINEAR, in_features=10**6, out_features=10**6))  # 4 TB
    assert made.weight.is_meta
    assert made.weight.shape == (10**6, 10**6)
