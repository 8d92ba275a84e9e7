"""Exact local linear forms: reconstruction, known W, and similarities."""

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.linear.local_linear_form import local_linear_form

from ..toys import TASK, Phi, cnn_network, dataset, network, small_cnn
from .equivalents import PAIRS


@pytest.fixture(scope="module")
def fashion():
    return tmi.generate("fashion", seed=0, samples=20, test_samples=60, source="sample")


@pytest.mark.parametrize(("name", "realisation"), [("theorem1", "fused"), ("theorem2", "fused"), ("theorem1", "literal")])
def test_constructed_networks_are_exact_on_fashion(fashion, name, realisation):
    net = tmi.build(name, fashion, realisation=realisation)
    fewer = {"images": 6, "tiles": 2, "backgrounds": 2, "places": 2} if realisation == "literal" else {"images": 20}
    result = local_linear_form(net, fashion, seed=0, **fewer)
    assert result.metrics["reconstruction_error"] < 1e-6
    assert result.metrics["exact"] == 1
    if name == "theorem1":
        assert result.metrics["similarity_backgrounds"] == pytest.approx(1)
        assert result.metrics["similarity_places"] == pytest.approx(1)
        assert result.metrics["support_share"] == 1
        assert result.metrics["zero_form"] == 0
    else:
        assert result.metrics["zero_form"] == 1  # an exact paste leaves every ReLU of Theorem 2 at its kink


def test_batch_normalisation_shifts_by_its_mean():
    module = small_cnn()
    module.conv.add_module("norm", nn.BatchNorm2d(4))
    with torch.no_grad():
        module.conv.norm.running_mean += torch.randn(4)
        module.conv.norm.running_var *= 2.5
        module.conv.norm.bias += torch.randn(4)
    net = network(module, "conv", "hidden", "logits")
    data = dataset(8)
    assert (
        local_linear_form(net, data, seed=0, images=5, tiles=1, backgrounds=2, places=2).metrics["reconstruction_error"] < 1e-12
    )


def test_the_check_can_fail():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Identity()

        def forward(self, x):
            return self.logits(x.flatten(1)[:, :3].square() + 1)

    result = local_linear_form(network(Hidden()), dataset(10), seed=0, images=6, tiles=1, backgrounds=2, places=2)
    assert result.metrics["exact"] == 0
    assert result.metrics["reconstruction_error"] > 0.1


def test_without_a_gradient_there_is_no_form():
    result = local_linear_form(network(Phi()), dataset(6), seed=0)
    assert not result.applicable
    assert "differentiably" in result.notes[0]


def test_images_do_not_change_each_others_forms():
    net, data = cnn_network(), dataset(12)
    few, more = (local_linear_form(net, data, seed=0, images=n, tiles=1, backgrounds=2, places=2) for n in (4, 9))
    assert (few.arrays["bias"].values == more.arrays["bias"].values[:4]).all()


def test_tiles_of_different_sizes_and_one_test_scene():
    task = tmi.TemplateTask(
        [
            tmi.TileClass("small", [tmi.FeatureTile(np.full((2, 2), 0.9), 0.1)]),
            tmi.TileClass("large", [tmi.FeatureTile(np.eye(6) * 0.5, 0.1, np.ones((6, 6), bool))]),
        ],
        (1, 6, 6),
    )
    net = network(small_cnn(task), "conv", "hidden", "logits", task=task)
    result = local_linear_form(net, dataset(20, task=task), seed=0, images=10, tiles=2)
    assert result.metrics["exact"] == 1
    assert {len(row[np.isfinite(row)]) for row in result.arrays["cosine_places"].values} == {0, 10}
    alone = local_linear_form(net, dataset(1, task=task), seed=0)
    assert "similarity_backgrounds" not in alone.metrics


def test_the_network_is_left_alone():
    net = cnn_network()
    net.module.train()
    before = {name: value.clone() for name, value in net.module.state_dict().items()}
    ids = {name: id(p) for name, p in net.module.named_parameters()}
    local_linear_form(net, dataset(8), seed=0, images=3, tiles=1, backgrounds=2, places=2)
    assert net.module.training
    assert {name: id(p) for name, p in net.module.named_parameters()} == ids
    assert all(bool((value == before[name]).all()) for name, value in net.module.state_dict().items())
    assert all(p.grad is None for p in net.module.parameters())
    assert TASK is net.task


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's, about the old form of weight norm
@pytest.mark.parametrize("name", PAIRS)
def test_the_forms_are_those_of_the_plain_equivalent(name):
    data = dataset(12)
    few = {"images": 8, "tiles": 2, "backgrounds": 3, "places": 3}
    results = [local_linear_form(network(m, "conv", "hidden", "logits"), data, seed=0, **few) for m in PAIRS[name]()]
    ours, plain = results
    assert ours.metrics["exact"] == 1
    assert ours.metrics["reconstruction_error"] < 1e-12
    metrics = [{k: v for k, v in result.metrics.items() if k != "reconstruction_error"} for result in results]
    assert metrics[0] == pytest.approx(metrics[1], abs=1e-5)
    for array in ("bias", "logits", "weights", "cosine_backgrounds", "cosine_places"):
        assert ours.arrays[array].values == pytest.approx(plain.arrays[array].values, abs=1e-5, nan_ok=True)
