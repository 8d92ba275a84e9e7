import inspect

import numpy as np
import pytest
import torch

import tmi
from tests.plugins.tmi_probes.toys import TASK, dataset
from tmi.probing.attribution import method_info
from tmi_attribution import exact
from tmi_attribution.methods import neurons
from tmi_attribution.receptive import most_active, neuron_truth

from .test_layers import cnn, given, linear, run

METHODS = {name: f for name, f in vars(neurons).items() if hasattr(f, "tmi_method")}
OF_GRADIENTS = ("neuron_gradient", "neuron_guided_backprop", "neuron_deconvolution")
DIFFERENT = torch.tensor([3, 0, 3, 1])


def asked(known, chosen=DIFFERENT):
    return known | {"neurons": chosen}


@pytest.mark.parametrize("name", METHODS)
def test_a_linear_network_is_attributed_exactly(name):
    """A neuron is w x, another one for each image; conductance is that times the weight of the neuron in the logit."""
    module = linear()
    images, targets, known = given()
    start, settings = known["baselines"], {}
    if name == "neuron_deeplift_shap":
        start = known["references"].mean(0, keepdim=True)
    if name == "neuron_feature_ablation":
        settings = {"cells": 8}
    weight = module[1].weight[DIFFERENT].view(images.shape)
    expected = weight if name in OF_GRADIENTS else weight * (images - start)
    if name == "neuron_conductance":
        expected = expected * module[2].weight[targets, DIFFERENT].view(-1, 1, 1, 1)
    found = run(METHODS[name], module, images, targets, asked(known), layer="1", **settings)
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-9)


@pytest.mark.parametrize("layer", ["0", "3", "4"])
@pytest.mark.parametrize(
    "name", ["neuron_integrated_gradients", "neuron_deeplift", "neuron_deeplift_shap", "neuron_feature_ablation"]
)
def test_what_is_complete_adds_up_to_the_change_of_the_neuron(name, layer):
    module, chosen = cnn(), torch.tensor([2, 0, 2, 1])
    images, targets, known = given()
    settings = {"neuron_integrated_gradients": {"steps": 200}, "neuron_feature_ablation": {"cells": 1}}.get(name, {})
    found = run(METHODS[name], module, images, targets, asked(known, chosen), layer=layer, **settings)

    def of_neuron(x):
        return module[: int(layer) + 1](x).flatten(1)[:, chosen]

    if name == "neuron_deeplift_shap":
        change = (of_neuron(images) - of_neuron(known["references"]).mean(0)).diagonal()
    else:
        change = (of_neuron(images) - of_neuron(known["baselines"])).diagonal()
    assert found.flatten(1).sum(1).numpy() == pytest.approx(change.numpy(), abs=2e-3 if "steps" in settings else 1e-9)


def test_conductance_of_all_neurons_is_integrated_gradients():
    """What flows through a layer flows through its neurons."""
    from tmi_attribution.methods.path import integrated_gradients

    module = cnn()
    images, targets, known = given(2)
    total = sum(
        run(METHODS["neuron_conductance"], module, images, targets, asked(known, torch.tensor([i, i])), layer="3", steps=20)
        for i in range(7)
    )
    whole = run(integrated_gradients, module, images, targets, known, steps=20)
    assert total.numpy() == pytest.approx(whole.numpy(), abs=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_shape_hooks_and_neighbours(name):
    """The image's shape; nothing is left on the module; an image alone is attributed as among others."""
    module = cnn()
    images, targets, known = given()
    whole = run(METHODS[name], module, images, targets, asked(known), layer="3")
    assert whole.shape == images.shape
    assert not whole.requires_grad
    for part in module.modules():
        assert not part._forward_hooks
        assert not part._forward_pre_hooks
        assert not part._backward_hooks
    for i in range(4):
        own = asked(known, DIFFERENT[i : i + 1]) | {"baselines": known["baselines"][i : i + 1]}
        alone = run(METHODS[name], module, images[i : i + 1], targets[i : i + 1], own, layer="3")
        assert alone.numpy() == pytest.approx(whole[i : i + 1].numpy(), abs=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_working_in_place_does_no_harm(name):
    images, targets, known = given()
    for layer in ("0.0", "3"):
        in_place, copied = (run(METHODS[name], cnn(i), images, targets, asked(known), layer=layer) for i in (True, False))
        assert in_place.numpy() == pytest.approx(copied.numpy(), abs=1e-12)


def test_gradient_shap_follows_the_seed():
    images, targets, known = given()
    far = asked(known) | {"baselines": 1 - images}  # so that ReLUs switch on the way
    shap = METHODS["neuron_gradient_shap"]
    first, same, other = (run(shap, cnn(), images, targets, far, seed=seed, layer="3", draws=3) for seed in (0, 0, 1))
    assert (first == same).all()
    assert (first != other).any()


def test_one_reference_is_enough():
    images, targets, known = given()
    one = known["references"][:1]
    found = run(neurons.neuron_deeplift_shap, cnn(), images, targets, asked(known | {"references": one}), layer="3")
    same = asked(known | {"baselines": one.expand(4, -1, -1, -1)})
    expected = run(neurons.neuron_deeplift, cnn(), images, targets, same, layer="3")
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-12)


def constructed(name="theorem1", **settings):
    """A constructed network, scenes on float64 backgrounds, and the neuron that stands for what each of them shows."""
    built, scenes = tmi.build(name, TASK, **settings), dataset(12).test
    scenes = scenes.with_backgrounds(scenes.backgrounds.double())
    return built, scenes, torch.from_numpy(most_active(built, "hidden", scenes))


@pytest.mark.parametrize(
    "name", sorted(name for name, f in METHODS.items() if not {"modules", "relu-modules"} & {*method_info(f).needs})
)
def test_nothing_outside_the_support_of_a_constructed_neuron(name):
    built, scenes, chosen = constructed()
    settings = {"cells": 8} if name == "neuron_feature_ablation" else {}
    known = {"baselines": scenes.without_tiles().images, "neurons": chosen}
    known = {key: value for key, value in known.items() if key in inspect.signature(METHODS[name]).parameters}
    found = run(METHODS[name], built.module, scenes.images, scenes.labels, known, layer="hidden", **settings)
    truth = neuron_truth(built, "hidden", chosen, scenes)
    assert (found.numpy()[:, 0][~truth] == 0).all()
    assert (found.numpy()[:, 0][truth] != 0).any()


@pytest.mark.parametrize("settings", [{}, {"realisation": "literal"}], ids=["fused", "literal"])
def test_integrated_gradients_of_a_neuron_in_closed_form(settings):
    built, scenes, chosen = constructed(**settings)
    scenes, chosen = scenes[:2], chosen[:2]
    known = built.neurons("hidden").iloc[chosen.numpy()]
    windows = exact.Windows(np.arange(len(scenes)), *(known[part].to_numpy() for part in ("tile", "row", "col")))
    baselines = torch.zeros_like(scenes.images)
    truth = exact.integrated_gradients_of(TASK, scenes.images, baselines, windows)
    error = []
    for steps in (20, 160):
        found = run(
            neurons.neuron_integrated_gradients,
            built.module,
            scenes.images,
            scenes.labels,
            {"baselines": baselines, "neurons": chosen},
            layer="hidden",
            steps=steps,
        )
        error.append(np.abs(found.numpy() - truth).sum() / np.abs(truth).sum())
    assert error[0] < 0.2
    assert error[1] < error[0] / 4
