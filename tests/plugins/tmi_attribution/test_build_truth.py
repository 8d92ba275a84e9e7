"""The truth about a network's logits, a layer and a neuron, and when it is built again."""

import numpy as np
import pytest
import torch

import tmi
from tests.plugins.tmi_attribution.boards import bench
from tests.plugins.tmi_probes.toys import cnn_network
from tmi_attribution.build_truth import at_level, layer_for, references_of, truth_of


def test_it_is_built_once_while_nothing_changes(data, trained):
    first = truth_of(trained, data, 5, "black")
    assert truth_of(trained, data, 5, "black") is first
    assert truth_of(trained, data, 6, "black") is not first
    assert truth_of(trained, data, 5, "background") is not first


def test_images_and_baselines(data, trained):
    black, background = (truth_of(trained, data, 5, baseline) for baseline in ("black", "background"))
    assert torch.equal(black.images, data.test.images[:5])
    assert not black.baselines.any()
    assert torch.equal(background.baselines, data.test[:5].without_tiles().images)
    assert len(references_of(black, data)) == 16


def test_a_constructed_network_has_more_truth_than_a_trained_one(data, trained):
    truth = truth_of(tmi.build("theorem1", data), data, 4, "black")
    assert truth.constructed
    assert truth.exact.sum((1, 2, 3)) == pytest.approx(truth.logit(truth.images), rel=1e-5)
    assert not (truth.null & truth.masks).any()
    truth = truth_of(trained, data, 4, "black")
    assert (truth.constructed, truth.exact, truth.null) == (False, None, None)


def test_the_truth_about_a_layer_and_a_neuron(data):
    network = tmi.build("theorem1", data)
    truth = truth_of(network, data, 4, "black")
    layer, neuron = (at_level(truth, network, level, "hidden") for level in ("layer", "neuron"))
    assert layer.masks.shape == (4, len(network.neurons("hidden")))
    assert layer.masks.sum(1).tolist() == [1] * 4
    assert np.array_equal(neuron.masks, truth.masks)  # the most active neuron stands for the shown tile
    assert at_level(truth, network, "input", "hidden") is truth


def test_which_layer_is_looked_at(data, trained):
    images = data.test.images
    assert layer_for(trained, "layer", (), None, images) == "hidden"
    assert layer_for(trained, "input", (), None, images) is None
    assert layer_for(trained, "input", ("maps",), None, images) == "conv"
    assert layer_for(trained, "layer", (), "conv", images) == "conv"


def test_what_was_computed_for_one_method_does_not_change_another(data, trained):
    alone = bench(cnn_network(), data, "deeplift")
    bench(trained, data, "saliency")
    assert bench(trained, data, "deeplift").metrics == alone.metrics


@pytest.mark.slow
def test_a_network_that_changed_is_another_one(data):
    net = cnn_network()
    before = bench(net, data, "saliency").metrics
    with torch.no_grad():
        net.module.conv[0].weight.mul_(-1)
    after = bench(net, data, "saliency").metrics
    assert before["mass"] != after["mass"]
    fresh = cnn_network()
    with torch.no_grad():
        fresh.module.conv[0].weight.mul_(-1)
    assert bench(fresh, data, "saliency").metrics == after


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda module: module.conv[0].weight.data.normal_(),
        lambda module: module.conv.__setitem__(1, torch.nn.Tanh()),
        lambda module: setattr(module.conv[1], "inplace", True),
        lambda module: module.double(),
        lambda module: setattr(module, "forward", lambda images: 2 * torch.nn.Sequential.forward(module, images)),
    ],
)
def test_nothing_of_a_network_is_taken_from_before_it_was_changed(data, change):
    net = cnn_network()
    bench(net, data, "deeplift")
    change(net.module)
    fresh = cnn_network()
    change(fresh.module)
    net.module.load_state_dict(fresh.module.state_dict())
    assert bench(net, data, "deeplift").metrics == bench(fresh, data, "deeplift").metrics


def test_no_such_layer(data, trained):
    with pytest.raises(tmi.UnknownNameError, match=r"did you mean .hidden"):
        bench(trained, data, "layer-conductance", layer="hiden")


def test_the_bench_scores_neurons_that_tiles_share(data):
    """Gradients of a neuron and what a layer gives to the logit, are right; the null region excludes all tiles of the neuron."""
    network = tmi.build("superposed", data, seed=0, code="dense", neurons=3)
    truth = at_level(truth_of(network, data, 6, "black"), network, "neuron", "mixed")
    assert truth.masks.any((1, 2)).all()
    assert not (truth.null & truth.masks).any()
    for method in ("neuron-gradient", "layer-gradient-x-activation"):
        measures = ["mass", "precision", *(["null-leakage"] if method.startswith("neuron") else [])]
        metrics = bench(network, data, method, layer="mixed", images=6, measures=measures).metrics
        assert metrics["mass"] == pytest.approx(1)
        assert metrics["precision"] == pytest.approx(1)
        assert metrics.get("null_leakage", 0) == 0
        assert metrics["mass.chance"] < 0.5
