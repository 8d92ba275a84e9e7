import warnings

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.attribution import attribution
from tmi_probes.attribution.methods import METHODS, Work

from .toys import TASK, Phi, Sums, cnn_network, dataset, network, small_cnn

QUICK = {"images": 5, "steps": 16, "draws": 4}


def work(module, scenes, seed=0, **changed):
    given = {"baseline": "black", "steps": 16, "draws": 8, "window": None, "stride": None} | changed
    return Work(module, scenes, seed=seed, **given)


def labelled(label, count=3):
    scenes = dataset(60).test
    return scenes[scenes.labels == label][:count]


@pytest.mark.parametrize("name", METHODS)
def test_a_linear_network_is_attributed_exactly(name):
    """Logit 0 is the sum of the pixels: the gradient is 1, and every other method gives the image itself."""
    scenes = labelled(0)
    found = METHODS[name](work(Sums(), scenes, window=1))
    expected = np.ones_like(found) if name == "saliency" else scenes.images.double().numpy()
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"saliency", "input-x-gradient"}))
def test_against_the_background_only_the_tile_counts(name):
    scenes = labelled(0)
    found = METHODS[name](work(Sums(), scenes, baseline="background", window=1))
    expected = (scenes.images - scenes.without_tiles().images).double().numpy()
    assert found == pytest.approx(expected, abs=1e-5)
    assert np.abs(found[:, 0][~scenes.masks.numpy()]).max() < 1e-5


@pytest.mark.parametrize("baseline", ["black", "background"])
@pytest.mark.parametrize("name", METHODS)
def test_an_image_does_not_depend_on_its_neighbours(name, baseline):
    scenes, module = dataset(20).test, small_cnn()
    whole = METHODS[name](work(module, scenes, baseline=baseline))
    for part in (slice(0, 1), slice(0, 11)):
        assert METHODS[name](work(module, scenes[part], baseline=baseline)) == pytest.approx(whole[part], abs=1e-6)
    if name != "gradient-shap":  # its draws belong to the place in the list
        assert METHODS[name](work(module, scenes[[13]], baseline=baseline)) == pytest.approx(whole[[13]], abs=1e-6)


def test_gradient_shap_follows_the_seed_and_draws_anew_for_each_image():
    scenes, module = dataset(4).test, small_cnn()
    same = scenes[[0, 0]]
    first = METHODS["gradient-shap"](work(module, same, draws=2))
    assert (first == METHODS["gradient-shap"](work(module, same, draws=2))).all()
    assert (first != METHODS["gradient-shap"](work(module, same, draws=2, seed=1))).any()
    assert (first[0] != first[1]).any()


def test_result():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = tmi.probe("attribution", cnn_network(), dataset(30), keep=3, **(QUICK | {"images": 20}))
    methods = [*METHODS, "random", "sobel", "oracle"]
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
    assert result.metrics["completeness_delta.integrated-gradients"] < 0.05
    assert not result.notes


def test_black_images_of_a_silent_network_score_nothing():
    module = Sums()
    with torch.no_grad():
        module.logits.weight.zero_()
    result = attribution(network(module, "hidden", "logits"), dataset(10), seed=0, **QUICK)
    for name in METHODS:
        assert result.metrics[f"zero_map.{name}"] == 1
        assert result.metrics[f"mass.{name}"] == result.metrics[f"precision.{name}"] == 0
        assert result.metrics[f"mass_skill.{name}"] < 0
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
    result = attribution(network(Functional()), dataset(10), seed=0, **QUICK)
    assert not [name for name in result.metrics if "deeplift" in name]
    assert "mass.integrated-gradients" in result.metrics
    assert "deeplift" not in result.coords["method"]
    assert result.notes[0].startswith("deeplift: refused: 1 of 1 Relu operations are functional")


def test_without_a_gradient_only_occlusion_is_left():
    result = attribution(network(Phi()), dataset(10), seed=0, **QUICK)
    assert result.coords["method"].tolist() == ["occlusion", "random", "sobel", "oracle"]
    assert len(result.notes) == 5
    assert all("refused" in note for note in result.notes)


def test_nan_attributions_are_left_out():
    module = Sums()
    with torch.no_grad():
        module.logits.weight.fill_(torch.nan)
    result = attribution(network(module, "hidden", "logits"), dataset(10), seed=0, methods=["saliency"], **QUICK)
    assert result.coords["method"].tolist() == ["random", "sobel", "oracle"]
    assert "NaN or infinity on 5 of 5" in result.notes[0]


def test_tiles_as_large_as_the_image_have_no_skill():
    task = tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(np.full((8, 8), v), 1.0)]) for n, v in (("a", 0.2), ("b", 0.8), ("c", 0.5))], (1, 8, 8)
    )
    result = attribution(cnn_network(), dataset(5, task=task), seed=0, methods=["saliency"])
    assert result.metrics["mass.saliency"] == 1
    assert not [name for name in result.metrics if "skill" in name]
    assert "whole image" in result.notes[0]


def test_colour_is_summed():
    values = np.stack([np.full((3, 3), v) for v in (0.2, 0.9)])
    task = tmi.TemplateTask(
        [tmi.TileClass("one", [tmi.FeatureTile(values, 0.5)]), tmi.TileClass("two", [tmi.FeatureTile(1 - values, 0.5)])],
        (2, 8, 8),
    )
    data = dataset(6, task=task)
    net = network(small_cnn(task), "conv", "logits", task=task)
    result = attribution(net, data, seed=0, methods=["saliency"], images=4)
    x = data.test.images[:4].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(net.module(x).gather(1, data.test.labels[:4, None]).sum(), x)
    assert result.arrays["maps"].values[0] == pytest.approx(gradient.abs().sum(1).numpy()[result.coords["kept"]], abs=1e-6)


def test_float64_networks():
    result = attribution(network(small_cnn().double(), "conv", "logits"), dataset(6), seed=0, **QUICK)
    assert result.metrics["completeness_delta.deeplift"] < 1e-12


def test_points_on_the_path_stay_images():
    """A constructed network refuses images beyond 1; rounding on the path must not carry them there."""
    scenes = labelled(0)
    white = tmi.Scenes(TASK, torch.ones(3, 1, 8, 8), scenes.tile, 5, 5)
    given = work(small_cnn(), white, baseline="background")
    beyond = white.images + 1e-7
    assert beyond.max() > 1
    seen = []
    given.module.register_forward_pre_hook(lambda _m, x: seen.append(float(x[0].max())))
    given.between(beyond)
    assert seen == [1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"methods": ["saliency", "saliency"]}, "more than once: saliency"),
        ({"methods": []}, "at least one"),
        ({"methods": ["salience"]}, "salience"),
        ({"window": 9}, "larger than the image"),
        ({"window": 2, "stride": 3}, "larger than the window"),
        ({"baseline": "white"}, "white"),
        ({"steps": 0}, "steps"),
    ],
)
def test_bad_settings(given, message):
    with pytest.raises(tmi.InputError, match=message):
        tmi.probe("attribution", cnn_network(), dataset(4), **given)
