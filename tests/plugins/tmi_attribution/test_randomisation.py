"""Probe ``randomisation``: similarities by SciPy, controls that must fail the check, and methods that must not."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr
from torch import nn

import tmi
from tests.plugins.tmi_probes.toys import TASK, Phi, cnn_network, dataset, network
from tmi.runtime.seeds import fixed_seed
from tmi_attribution.randomisation import _chance, _correlation, _ranks


def measured(net, data, method, **settings):
    return tmi.probe("randomisation", net, data, method=method, **({"seed": 0, "images": 6, "draws": 2} | settings))


def gradients(module, scenes):
    images = scenes.images.clone().requires_grad_()
    module(images).gather(1, scenes.labels[:, None]).sum().backward()
    return images.grad.flatten(1).numpy()


def test_similarity_by_scipy(data, trained):
    """The cascade and each layer alone, with the weights that torch draws."""
    scenes = data.test[:6]
    result = measured(trained, data, "saliency", seed=3)
    assert result.coords["layer"].tolist() == ["logits", "hidden", "conv"]
    assert result.coords["scheme"].tolist() == ["cascading", "independent"]
    before = gradients(copy.deepcopy(trained.module), scenes)
    for scheme, chosen in enumerate(
        ((["logits"], ["logits", "hidden"], ["logits", "hidden", "conv"]), (["logits"], ["hidden"], ["conv"]))
    ):
        for place, names in enumerate(chosen):
            for draw in range(2):
                module = copy.deepcopy(trained.module)
                for number, name in enumerate(("conv", "hidden", "logits")):
                    part = module.logits if name == "logits" else module.get_submodule(name)[0]
                    if name in names:
                        with fixed_seed(int(np.random.SeedSequence([3, draw, number]).generate_state(1)[0])):
                            part.reset_parameters()
                after = gradients(module, scenes)
                for kind, of in (("similarity", np.abs), ("signed_similarity", np.asarray)):
                    expected = [spearmanr(of(a), of(b)).statistic for a, b in zip(before, after, strict=True)]
                    assert result.arrays[kind].values[scheme, place, draw] == pytest.approx(expected, abs=1e-6)
    values = result.arrays["similarity"].values
    assert result.metrics["similarity.cascading.hidden"] == pytest.approx(values[0, 1].mean())
    assert result.metrics["dependence"] == pytest.approx(1 - values[0, 2].mean())
    assert result.metrics["dependence.low"] < result.metrics["dependence"] < result.metrics["dependence.high"]


@pytest.mark.parametrize("method", ["sobel", "constant", "random", "oracle", "centre-prior"])
def test_what_ignores_the_weights_fails_the_check(data, trained, method):
    result = measured(trained, data, method)
    assert (result.arrays["similarity"].values == 1).all()
    assert (result.arrays["signed_similarity"].values == 1).all()
    assert result.metrics["dependence"] == result.metrics["signed_dependence"] == 0


def test_gradients_pass_the_check_and_their_product_with_the_image_keeps_its_order(data, trained):
    """|a·x| has the ranks of the image (Adebayo et al. 2018, section 4.2), while its signs follow the weights."""
    saliency, product = (measured(trained, data, name, images=20, draws=5).metrics for name in ("saliency", "input-x-gradient"))
    assert saliency["dependence"] > 0.6
    assert product["dependence"] < saliency["dependence"] - 0.2
    for metrics in (saliency, product):
        assert abs(metrics["signed_dependence"] - 1) < 0.3
        assert metrics["dependence.chance.low"] < metrics["dependence.chance"] < metrics["dependence.chance.high"]


def test_layers_below_the_change_are_the_same(data, trained):
    values = measured(trained, data, "layer-activation").arrays["similarity"].values
    assert (values[:, 0] == 1).all()  # the logits are above the hidden layer
    assert (values[:, 1:] < 1).all()
    neuron = measured(trained, data, "neuron-gradient").arrays["similarity"].values
    assert (neuron[:, 0] == 1).all()
    assert neuron[:, 1:].mean() < 0.9


def test_a_construction_in_dense_layers_depends_on_its_weights(data):
    result = measured(tmi.build("theorem1", TASK, realisation="literal"), data, "integrated-gradients(steps=5)")
    assert result.metrics["dependence"] > 0.3
    assert measured(tmi.build("theorem1", TASK, realisation="literal"), data, "exact").metrics["dependence"] == 0


@given(arrays(np.float64, (3, 2, 2, 3), elements=st.sampled_from([-1.0, 0.0, 1e-9, 0.5, 1.0])))
def test_correlations_of_any_maps(maps):
    """By SciPy where both maps have an order; 1 for equal orders, 0 beside a constant map; 1e-9 of the largest is rounding."""
    for kind in ("similarity", "signed_similarity"):
        ranks = _ranks(maps, kind)
        large = np.where(np.abs(maps) > 1e-6 * np.abs(maps).max((1, 2, 3), keepdims=True), maps, 0)
        plain = np.abs(large).sum(1).reshape(3, -1) if kind == "similarity" else large.reshape(3, -1)
        found = _correlation(ranks[:2], ranks[1:])
        for value, one, other in zip(found, plain[:2], plain[1:], strict=True):
            if np.ptp(one) and np.ptp(other):
                assert value == pytest.approx(spearmanr(one, other).statistic, abs=1e-9)
            else:
                assert value == float(not np.ptp(one) and not np.ptp(other))


def test_chance_pairs_no_image_with_itself():
    ranks = _ranks(np.eye(5)[:, None, None] + np.zeros((5, 1, 1, 5)), "similarity")
    drawn = _chance(ranks, 0)
    assert len(drawn) >= 20
    assert drawn == pytest.approx(spearmanr(*np.eye(5)[:2]).statistic)
    assert _chance(ranks[:1], 0) is None
    assert (_chance(np.ones((3, 4)), 0) == 1).all()


def test_one_image_has_no_chance(data, trained):
    result = measured(trained, data, "saliency", images=1)
    assert "similarity.chance" not in result.metrics
    assert "dependence.low" not in result.metrics
    assert any("two images" in note for note in result.notes)


class Image(nn.Module):
    """Reads the first column of pixels alone, through weights of 0 on all others."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Linear(64, 3)
        with torch.no_grad():
            self.logits.weight.zero_()

    def forward(self, x):
        return self.logits(x.flatten(1))


def test_what_cannot_be_checked(data, trained):
    phi = network(Phi(), "logits")
    functional = network(FunctionalRelu(), "hidden", "logits")
    for net, method, reason in (
        (phi, "occlusion", "none of its modules has weights"),
        (functional, "deeplift", "refused: a Relu operation is functional"),
        (network(Image(), "logits"), "saliency", "0 everywhere"),
        (tmi.build("theorem1", TASK), "saliency", "TileMatch"),
        (trained, "exact", "refused: the network is not constructed"),
    ):
        result = measured(net, data, method)
        assert not result.applicable
        assert reason in result.notes[0]


class FunctionalRelu(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.logits = nn.Linear(64, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.logits(torch.relu(self.hidden(x.flatten(1))))


def test_images_without_a_map_are_left_out(data):
    """A neuron that is active on some images only."""
    torch.manual_seed(0)
    net = network(nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(64, 1), nn.ReLU()), nn.Linear(1, 3)), "1", "2")
    with torch.no_grad():
        bright = data.test.images[:6].flatten(1).mean(1)
        net.module[1][0].weight.fill_(1 / 64)
        net.module[1][0].bias.fill_(-float(bright.median()))
    result = measured(net, data, "saliency")
    dark = (bright <= bright.median()).numpy()
    assert np.isnan(result.arrays["similarity"].values[..., dark]).all()
    assert result.notes[0].startswith(f"{dark.sum()} of 6 images left out")


def test_a_single_pixel_has_no_order():
    task = tmi.TemplateTask(
        [tmi.TileClass(name, [tmi.FeatureTile(np.full((1, 1), value), 0.1)]) for name, value in (("a", 0.1), ("b", 0.9))],
        (1, 1, 1),
    )
    net = network(nn.Sequential(nn.Flatten(), nn.Linear(1, 2)), "1", task=task)
    assert "no order" in measured(net, dataset(8, task=task), "saliency").notes[0]


def test_no_such_layer(data, trained):
    with pytest.raises(tmi.UnknownNameError, match=r"did you mean .hidden"):
        measured(trained, data, "layer-activation", layer="hiden")


def test_weights_and_seed(data):
    first, again = (measured(cnn_network(), data, "saliency", seed=1) for _ in range(2))
    assert first.metrics == again.metrics
    assert first.metrics != measured(cnn_network(), data, "saliency", seed=2).metrics
