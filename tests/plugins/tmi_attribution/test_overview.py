"""The overview: several methods, two measures."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tests.plugins.tmi_probes.toys import Phi, Sums, cnn_network, dataset, network, small_cnn

METHODS = [
    "saliency",
    "input-x-gradient",
    "integrated-gradients(steps=16)",
    "deeplift",
    "gradient-shap(draws=4)",
    "occlusion",
]
CONTROLS = ["random", "sobel", "oracle"]


def attribution(net, data, *, methods=METHODS, images=5, **settings):
    return tmi.probe("attribution", net, data, methods=methods, images=images, **settings)


def test_result():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = attribution(cnn_network(), dataset(30), keep=3, images=20)
    methods = [*METHODS, *CONTROLS]
    assert result.coords["method"].tolist() == methods
    for measure in ("mass", "precision"):
        assert result.arrays[measure].shape == (9, 20)
        assert result.metrics[f"{measure}.oracle"] == 1
        assert result.metrics[f"{measure}.chance"] == pytest.approx(9 / 64)
        for i, name in enumerate(methods):
            score = result.metrics[f"{measure}.{name}"]
            assert score == pytest.approx(result.arrays[measure].values[i].mean())
            if name != "oracle":
                assert result.metrics[f"{measure}_skill.{name}"] == pytest.approx((score - 9 / 64) / (1 - 9 / 64))
    assert result.arrays["maps"].dims == ("method", "kept", "row", "col")
    assert len(set(result.arrays["label"].values)) == 3
    assert (result.arrays["maps"].values[-1] == result.arrays["masks"].values).all()
    assert result.metrics["completeness_delta.deeplift"] < 1e-5
    assert result.metrics["completeness_delta.integrated-gradients(steps=16)"] < 0.05
    assert not result.notes


def test_chance_is_a_distribution_and_the_untrained_network_a_control():
    data = dataset(60)
    trained = tmi.build("cnn", data, filters=2, hidden=4, epochs=2)
    found = attribution(trained, data, methods=["saliency"], images=20).metrics
    before = attribution(trained.untrained(), data, methods=["saliency"], images=20).metrics
    for measure in ("mass", "precision"):
        assert found[f"{measure}.chance.low"] < found[f"{measure}.chance"] < found[f"{measure}.chance.high"]
        assert found[f"{measure}.chance.high"] - found[f"{measure}.chance.low"] < 0.15
        assert found[f"{measure}.saliency.untrained"] == pytest.approx(before[f"{measure}.saliency"])
        assert found[f"{measure}_skill.saliency.untrained"] == pytest.approx(before[f"{measure}_skill.saliency"])
    assert not [name for name in found if name.endswith(".untrained") and "saliency" not in name]  # controls do not use it
    assert not [name for name in before if name.endswith(".untrained")]


def test_black_images_of_a_silent_network_score_chance():
    module = Sums()
    with torch.no_grad():
        module.logits.weight.zero_()
    result = attribution(network(module, "hidden", "logits"), dataset(10))
    for name in METHODS:
        assert result.metrics[f"zero_map.{name}"] == 1
        assert result.metrics[f"mass.{name}"] == result.metrics[f"precision.{name}"] == pytest.approx(9 / 64)
        assert result.metrics[f"mass_skill.{name}"] == pytest.approx(0)
    assert "completeness_relative.deeplift" not in result.metrics
    assert "completeness_relative" in result.notes[0]


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.logits = nn.Linear(64, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.logits(self.hidden(x.flatten(1)).relu())


def test_an_unsound_method_is_refused_and_the_others_go_on():
    result = attribution(network(Functional()), dataset(10))
    assert not [name for name in result.metrics if "deeplift" in name]
    assert "mass.integrated-gradients(steps=16)" in result.metrics
    assert "deeplift" not in result.coords["method"]
    assert result.notes[0].startswith("deeplift: refused: ")
    assert "functional" in result.notes[0]


def test_without_a_gradient_only_occlusion_is_left():
    result = attribution(network(Phi()), dataset(10))
    assert result.coords["method"].tolist() == ["occlusion", *CONTROLS]
    assert len(result.notes) == 5
    assert all("refused" in note for note in result.notes)


def test_without_any_attribution_it_is_not_applicable():
    result = attribution(network(Functional()), dataset(10), methods=["deeplift", "guided-backprop"], controls=[])
    assert not result.applicable
    assert "deeplift: refused: " in result.notes[0]
    assert "guided-backprop: refused: " in result.notes[0]


def test_nan_attributions_are_left_out():
    module, data = Sums(), dataset(10)
    net = network(module, "hidden", "logits")
    net.check(data.test.images)  # NaN from the first image on would be refused
    with torch.no_grad():
        module.logits.weight.fill_(torch.nan)
    result = attribution(net, data, methods=["saliency"])
    assert result.coords["method"].tolist() == CONTROLS
    assert "NaN or infinity on 5 of 5" in result.notes[0]


def test_tiles_as_large_as_the_image_locate_nothing():
    task = tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(np.full((8, 8), v), 1.0)]) for n, v in (("a", 0.2), ("b", 0.8), ("c", 0.5))], (1, 8, 8)
    )
    result = attribution(cnn_network(), dataset(5, task=task), methods=["saliency"])
    assert not [name for name in result.metrics if name.startswith(("mass", "precision"))]
    assert "whole image" in result.notes[0]


def test_colour_is_summed():
    values = np.stack([np.full((3, 3), v) for v in (0.2, 0.9)])
    task = tmi.TemplateTask(
        [tmi.TileClass("one", [tmi.FeatureTile(values, 0.5)]), tmi.TileClass("two", [tmi.FeatureTile(1 - values, 0.5)])],
        (2, 8, 8),
    )
    data = dataset(6, task=task)
    net = network(small_cnn(task), "conv", "logits", task=task)
    result = attribution(net, data, methods=["saliency"], images=4)
    x = data.test.images[:4].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(net.module(x).gather(1, data.test.labels[:4, None]).sum(), x)
    assert result.arrays["maps"].values[0] == pytest.approx(gradient.abs().sum(1).numpy()[result.coords["kept"]], abs=1e-6)


def test_float64_networks():
    result = attribution(network(small_cnn().double(), "conv", "logits"), dataset(6))
    assert result.metrics["completeness_delta.deeplift"] < 1e-12


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"methods": ["saliency", "saliency"]}, "at least one, each once"),
        ({"methods": [], "controls": []}, "at least one, each once"),
        ({"methods": ["salience"]}, "salience.*did you mean"),
        ({"methods": ["occlusion(window=9)"]}, "larger than the image"),
        ({"methods": ["occlusion(window=2, stride=3)"]}, "larger than the window"),
        ({"methods": ["layer-activation"]}, "does not attribute to pixels"),
        ({"baseline": "white"}, "white"),
        ({"methods": ["integrated-gradients(steps=0)"]}, "steps"),
    ],
)
def test_bad_settings(given, message):
    with pytest.raises(tmi.TmiError, match=message):
        attribution(cnn_network(), dataset(4), **given)
