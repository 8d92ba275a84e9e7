"""Attacks beside sound radii: never below them, on any network; and what is left out, with the reason."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tmi
from tmi_probes.robustness.attack import attack

from ..linear.stages import Does
from ..toys import TASK, Phi, cnn_network, dataset, deep, network, small_cnn


def bounds(result, norm):
    return (result.arrays[f"radius_{name}.{norm}"].values for name in ("lower", "upper"))


def never_below(result):
    for norm in ("l1", "linf"):
        lower, upper = bounds(result, norm)
        known = np.isfinite(lower) & np.isfinite(upper)
        assert (upper[known] >= lower[known] * (1 - 1e-9)).all(), norm


@given(st.integers(0, 10_000), st.sampled_from(["conv", "deep", "pool", "theorem1", "theorem2"]))
@settings(deadline=None, max_examples=8)
def test_is_never_below_the_sound_radius(seed, kind):
    data = dataset(4, seed=seed)
    if kind == "pool":
        torch.manual_seed(seed)
        module = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.LeakyReLU(0.2), nn.MaxPool2d(2, 1), nn.Conv2d(3, 2, 2), nn.ReLU6(), nn.Flatten()
        )
        module.add_module("logits", nn.Linear(32, 3))
        net = network(module, "logits")
    else:
        net = {"conv": cnn_network, "deep": lambda seed: deep(seed=seed)}.get(kind, lambda _: tmi.build(kind, TASK))(seed)
    result = attack(net, data, seed=seed, images=3, steps=5)
    never_below(result)
    assert "radius_lower.l1" in result.metrics


def test_a_constructed_networks_certificate_is_reached():
    data = tmi.generate("fashion", seed=0, source="sample", samples=1, test_samples=12)
    result = attack(tmi.build("theorem1", data, realisation="fused"), data, seed=0, steps=10)
    never_below(result)
    assert result.metrics["radius_lower.l1"] == pytest.approx(5)
    assert result.metrics["radius_upper.l1"] == pytest.approx(5)
    assert result.metrics["gap.l1"] == pytest.approx(1, abs=1e-6)
    assert result.metrics["found.l1"] == 1
    assert "certificate" in result.notes[0]


def test_what_is_kept_is_an_image_with_another_answer():
    net, data = deep(), dataset(8)
    result = attack(net, data, seed=0, steps=10, keep=3)
    logits = net.module.double()(torch.from_numpy(result.arrays["attacked.linf"].values))
    found = np.isfinite(result.arrays["radius_upper.linf"].values[result.coords["kept"]])
    answers = result.arrays["answer"].values[result.coords["kept"]]
    own, others = np.eye(3, dtype=bool)[answers], logits.detach().numpy()
    assert found.all()
    assert (others[own] <= np.where(own, -np.inf, others).max(1)).all()
    change = np.abs(result.arrays["attacked.linf"].values - result.arrays["images"].values).max((1, 2, 3))
    assert change[found] == pytest.approx(result.arrays["radius_upper.linf"].values[result.coords["kept"]][found])


def test_a_smooth_network_has_an_upper_bound_alone_and_the_layer_is_named():
    module = small_cnn(seed=2)
    module.conv[1] = Does(torch.tanh)
    result = attack(network(module, "conv", "hidden", "logits"), dataset(6), seed=0, steps=10)
    assert "radius_lower.l1" not in result.metrics
    assert "found.l1" in result.metrics
    assert "layer 'conv.1': Tanh is not" in result.notes[0]


def stepped(function) -> tmi.Network:
    torch.manual_seed(0)
    module = nn.Sequential()
    for name, part in (
        ("conv", nn.Conv2d(1, 2, 3)),
        ("act", Does(function)),
        ("flat", nn.Flatten()),
        ("logits", nn.Linear(72, 3)),
    ):
        module.add_module(name, part)
    return network(module, "conv", "logits")


def test_steps_without_a_gradient_leave_no_lower_bound():
    """It was above the upper bound on 22 of 30 images, without a note."""
    result = attack(stepped(lambda h: h + (h > 0) * 0.5), dataset(10), seed=0, steps=5)
    assert not any("lower" in name for name in [*result.metrics, *result.arrays])
    assert "layer 'act': the result of gt depends on the image and has no gradient" in result.notes[0]


def test_a_lower_bound_above_an_upper_one_is_left_out():
    """Steps in NumPy cannot be followed; on some images they do not show in W x + b either."""
    net = stepped(lambda h: h + torch.from_numpy((h.detach().numpy() > 0) * 0.5).to(h))
    result = attack(net, dataset(30), seed=0, images=30, steps=10)
    assert not any("lower" in name or "gap" in name for name in [*result.metrics, *result.arrays])
    assert "radius_upper.l1" in result.metrics
    assert result.notes[0].startswith("radius_lower: left out: on ")
    assert "of 30 images a smaller change alters the answer" in result.notes[0]


def test_without_a_gradient_an_upper_bound_is_found():
    result = attack(network(Phi()), dataset(10), seed=0)
    assert result.metrics["found.l1"] == 1
    assert "radius_lower.l1" not in result.metrics


def test_one_class_ties_and_networks_that_cannot_be_float64():
    tile = tmi.FeatureTile(np.full((2, 2), 0.5), 0.1)
    task = tmi.TemplateTask([tmi.TileClass("one", [tile])], (1, 5, 5))
    assert not attack(tmi.build("theorem1", task), dataset(3, task=task), seed=0).applicable
    module = small_cnn()
    with torch.no_grad():
        module.logits.weight.zero_()
        module.logits.bias.zero_()
    result = attack(network(module, "conv", "hidden", "logits"), dataset(3), seed=0)
    assert not any(name.startswith("radius") for name in result.metrics)
    assert any("3 of 3 images have no single answer" in note for note in result.notes)

    class Single(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Linear(64, 3)

        def forward(self, x):
            return self.logits((x.flatten(1) @ torch.ones(64, 64, dtype=torch.float32)).to(torch.float32))

    assert not attack(network(Single()), dataset(3), seed=0).applicable


def test_images_do_not_depend_on_each_other(monkeypatch):
    net, data = deep(), dataset(9)
    whole = attack(net, data, seed=1, steps=8)
    monkeypatch.setattr("tmi_probes.pipeline.units._AT_ONCE", 2 * 64)
    parts = attack(net, data, seed=1, steps=8)
    for name in ("radius_lower.l1", "radius_upper.l1", "radius_upper.linf"):
        assert parts.arrays[name].values == pytest.approx(whole.arrays[name].values, nan_ok=True, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "theorem1"])
def test_a_thousand_images_of_section_6_2(name):
    data = tmi.generate("fashion", seed=0, source="sample", samples=500, test_samples=1000)
    settings = {"epochs": 5, "seed": 0} if name == "cnn" else {"realisation": "fused"}
    result = attack(tmi.build(name, data, **settings), data, seed=0, steps=3, restarts=0)
    never_below(result)
    assert result.metrics["found.l1"] == result.metrics["found.linf"] == 1
    assert len(result.arrays["radius_upper.l1"].values) == 1000
