import inspect
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi.probing.attribution import method_info
from tmi.runtime.seeds import fixed_seed
from tmi_attribution.methods import layers

METHODS = {name: f for name, f in vars(layers).items() if hasattr(f, "tmi_method")}
COMPLETE = {name: f for name, f in METHODS.items() if method_info(f).complete}


def given(count=4, dtype=torch.float64):
    rng = torch.Generator().manual_seed(1)
    images, baselines = (torch.rand(count, 1, 8, 8, generator=rng, dtype=dtype) * size for size in (1, 0.3))
    references = torch.rand(6, 1, 8, 8, generator=rng, dtype=dtype)
    return images, torch.arange(count) % 3, {"baselines": baselines, "references": references}


def run(function, module, images, targets, known, seed=0, **settings):
    """What the bench would get: a method that draws is given one image at a time."""
    wanted = inspect.signature(function).parameters
    handed = {name: value for name, value in ({"seed": seed} | known).items() if name in wanted}
    size = 1 if "seed" in wanted else len(images)
    parts = []
    for start in range(0, len(images), size):
        some = slice(start, start + size)
        each = {name: value[some] if name in ("baselines", "neurons") else value for name, value in handed.items()}
        with fixed_seed(seed), warnings.catch_warnings():
            warnings.simplefilter("error")
            parts.append(function(module, images[some].clone().requires_grad_(True), targets[some], **each, **settings).detach())
    return torch.cat(parts)


def frozen(module):
    return module.double().eval().requires_grad_(False)


def linear(bias=False):
    """64 pixels, 5 hidden neurons, 3 logits."""
    torch.manual_seed(0)
    return frozen(nn.Sequential(nn.Flatten(), nn.Linear(64, 5, bias), nn.Linear(5, 3, bias)))


def cnn(inplace=False):
    torch.manual_seed(0)
    convolve = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace))
    hidden = nn.Sequential(nn.Linear(36, 7), nn.ReLU(inplace))
    return frozen(nn.Sequential(convolve, nn.AvgPool2d(2), nn.Flatten(), hidden, nn.Linear(7, 3)))


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"layer_grad_cam"}))
def test_a_linear_network_is_attributed_exactly(name):
    """A logit is W h: each neuron's part is its weight times its activation, or the activation's change."""
    module = linear()
    images, targets, known = given()
    one = known["references"][:1].expand(3, -1, -1, -1)  # the same reference, so that it does not matter which is drawn
    weight, h, below, other = module[2].weight[targets], *map(module[:2], (images, known["baselines"], one[:1]))
    expected = {
        "layer_activation": h,
        "internal_influence": weight,
        "layer_gradient_x_activation": weight * h,
        "layer_lrp": weight * h,
        "layer_deeplift_shap": weight * (h - other),
        "layer_feature_permutation": weight * (h - other),
    }.get(name, weight * (h - below))
    found = run(METHODS[name], module, images, targets, known | {"references": one}, layer="1")
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-7)


def test_grad_cam_by_the_formula():
    module = cnn()
    images, targets, known = given()
    maps = module[0](images).requires_grad_(True)
    (gradient,) = torch.autograd.grad(module[1:](maps).gather(1, targets[:, None]).sum(), maps)
    found = run(layers.layer_grad_cam, module, images, targets, known, layer="0")
    assert found.numpy() == pytest.approx((gradient.mean((2, 3), keepdim=True) * maps).detach().numpy(), abs=1e-12)


@pytest.mark.parametrize("layer", ["0", "3", "4"])
@pytest.mark.parametrize("name", COMPLETE)
def test_what_is_complete_adds_up_at_every_layer(name, layer):
    module = cnn()
    images, targets, known = given()
    steps = {"steps": 200} if "steps" in inspect.signature(METHODS[name]).parameters else {}
    found = run(METHODS[name], module, images, targets, known, layer=layer, **steps)
    if method_info(METHODS[name]).complete == "baselines":
        start = module(known["baselines"])
    else:
        start = module(known["references"]).mean(0, keepdim=True)
    change = (module(images) - start).gather(1, targets[:, None])[:, 0]
    assert found.flatten(1).sum(1).numpy() == pytest.approx(change.numpy(), abs=4e-3 if steps else 1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_shape_hooks_and_neighbours(name):
    """The layer's shape; nothing is left on the module; an image alone is attributed as among others."""
    module = cnn()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    images, targets, known = given(3)
    whole = run(METHODS[name], module, images, targets, known, layer="0")
    assert whole.shape == (3, 4, 6, 6)
    for part in module.modules():
        assert not part._forward_hooks
        assert not part._forward_pre_hooks
        assert not part._backward_hooks
        assert not hasattr(part, "rule")
    assert all((module.state_dict()[key] == value).all() for key, value in before.items())
    own = known | {"baselines": known["baselines"][1:2]}
    alone = run(METHODS[name], module, images[1:2], targets[1:2], own, layer="0")
    assert alone.numpy() == pytest.approx(whole[1:2].numpy(), abs=1e-12)


@pytest.mark.parametrize("name", sorted(n for n, f in METHODS.items() if "seed" not in inspect.signature(f).parameters))
def test_of_large_images_few_are_evaluated_at_a_time_with_the_same_result(name, monkeypatch):
    images, targets, known = given(2)
    whole = run(METHODS[name], cnn(), images, targets, known, layer="0")
    monkeypatch.setattr("tmi_attribution.methods.path._PIXELS", 4 * 64)
    assert torch.allclose(run(METHODS[name], cnn(), images, targets, known, layer="0"), whole, atol=1e-6)


@pytest.mark.parametrize("name", sorted(name for name, f in METHODS.items() if "seed" in inspect.signature(f).parameters))
def test_draws_follow_the_seed(name):
    images, targets, known = given()
    far = known | {"baselines": 1 - images}  # so that ReLUs switch on the way
    first, same, other = (run(METHODS[name], cnn(), images, targets, far, seed=seed, layer="0", draws=3) for seed in (0, 0, 1))
    assert (first == same).all()
    assert (first != other).any()


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"layer_lrp"}))
def test_only_what_says_so_minds_working_in_place(name):
    images, targets, known = given()
    if "no-inplace" in method_info(METHODS[name]).needs:
        with pytest.raises(RuntimeError, match="in-place"):
            run(METHODS[name], cnn(inplace=True), images, targets, known, layer="0.0")
    else:
        in_place, copied = (run(METHODS[name], cnn(i), images, targets, known, layer="0.0") for i in (True, False))
        assert in_place.numpy() == pytest.approx(copied.numpy(), abs=1e-12)


@pytest.mark.parametrize("name", ["layer_feature_ablation", "layer_feature_permutation"])
@pytest.mark.parametrize(("layer", "groups", "expected"), [("0", 64, 36), ("0", 5, 4), ("3", 3, 3), ("3", 64, 7), ("0", 1, 1)])
def test_groups_are_shared_out_evenly(name, layer, groups, expected):
    images, targets, known = given(1)
    found = run(METHODS[name], cnn(), images, targets, known, layer=layer, groups=groups)
    places = found[0, 0] if layer == "0" else found[0]
    if layer == "0":
        assert (found == found[:, :1]).all()
    if name == "layer_feature_ablation":
        assert len(places.unique()) <= expected
    numbers = layers.grouped(found, groups)
    assert len(numbers.unique()) == int(numbers.max()) + 1 == expected


def test_all_neurons_in_one_group_change_the_logit_as_a_whole():
    images, targets, known = given()
    found = run(layers.layer_feature_ablation, cnn(), images, targets, known, layer="0", groups=1)
    change = (cnn()(images) - cnn()(known["baselines"])).gather(1, targets[:, None])[:, 0]
    assert found.flatten(1).sum(1).numpy() == pytest.approx(change.numpy(), abs=1e-12)


class Flip(nn.Sequential):
    def forward(self, x):
        return super().forward(x).flip(3)


def without_biases():
    """Layers that end in every way: in weights, a ReLU, max pooling, average pooling, a rearrangement."""
    torch.manual_seed(0)
    convolve = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2))
    pooled = nn.Sequential(nn.Conv2d(4, 3, 2, bias=False), nn.Tanh(), nn.AvgPool2d(1), nn.Flatten())
    return frozen(nn.Sequential(convolve, Flip(nn.ReLU()), pooled, nn.Dropout(), nn.Linear(12, 3, bias=False)))


@pytest.mark.parametrize("layer", ["0", "0.0", "0.1", "0.2", "1", "1.0", "2", "2.0", "2.1", "2.2", "2.3", "3", "4"])
def test_relevance_has_the_layers_shape_and_is_conserved(layer):
    module = without_biases()
    images, targets, known = given()
    found = run(layers.layer_lrp, module, images, targets, known, layer=layer)
    assert found.shape == run(layers.layer_activation, module, images, targets, known, layer=layer).shape
    logits = module(images).gather(1, targets[:, None])[:, 0]
    assert found.flatten(1).sum(1).numpy() == pytest.approx(logits.numpy(), abs=1e-6)


def test_a_layer_without_relevance():
    class Aside(nn.Sequential):
        def forward(self, x):
            self[0](x)
            return self[1](x)

    images, targets, known = given()
    with pytest.raises(tmi.InputError, match="does not depend on layer '0'"):
        run(layers.layer_lrp, Aside(nn.ReLU(), linear()), images, targets, known, layer="0")


def test_relevance_is_read_where_the_layer_ends():
    module = without_biases()
    images, targets, known = given()
    found = {
        name: run(layers.layer_lrp, module, images, targets, known, layer=name) for name in ("0", "0.2", "1", "1.0", "2", "2.0")
    }
    same = {"0": found["0.2"], "1": found["1.0"].flip(3), "2": found["2.0"].flatten(1)}
    for name, expected in same.items():
        assert found[name].numpy() == pytest.approx(expected.numpy(), abs=1e-8)
    assert (found["1"] - found["1.0"]).abs().max() > 1e-3


def test_constructed_networks():
    """Of theorem 1's hidden layer the shown window alone gets anything, and all of the logit."""
    from tests.plugins.tmi_probes.toys import TASK, dataset

    scenes = dataset(6).test
    built = tmi.build("theorem1", TASK)
    images = scenes.images.double()
    active = built.activations(images, "hidden")["hidden"].numpy()
    known = {"baselines": torch.zeros_like(images)}
    module = built.module
    for name in ("layer_activation", "layer_gradient_x_activation", "layer_conductance", "layer_integrated_gradients"):
        found = run(METHODS[name], module, images, scenes.labels, known, layer="hidden")
        mine = np.where(TASK.tile_class[built.neurons("hidden")["tile"]] == scenes.labels.numpy()[:, None], active, 0)
        assert found.numpy() == pytest.approx(mine if name != "layer_activation" else active, abs=1e-6)
