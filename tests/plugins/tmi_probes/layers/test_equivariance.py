"""Equivariance defects that are known: convolutions, strides, padding, constructed layers."""

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.layers.equivariance import equivariance

from ..toys import TASK, Sums, cnn_network, dataset, exact_sums, network


def of(conv, pool=None):
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("conv", nn.Sequential(*(part for part in (conv, nn.ReLU(), pool) if part is not None)))
    module.add_module("flatten", nn.Flatten())
    module.add_module("logits", nn.LazyLinear(3))
    module(torch.zeros(1, 1, 8, 8))
    return network(module, "conv", "logits")


def test_a_convolution_moves_along():
    for kernel in (1, 3, 5):
        result = equivariance(of(nn.Conv2d(1, 4, kernel)), dataset(30), seed=0)
        assert result.metrics["defect_worst.conv"] < 1e-6
        assert result.metrics["defect_worst.logits"] > 0.01


def test_strides_count_by_their_multiples():
    result = equivariance(of(nn.Conv2d(1, 4, 2, stride=2)), dataset(30), seed=0)
    assert result.metrics["defect_worst.conv"] < 1e-6
    assert np.isfinite(result.arrays["defect.conv"].values).mean() < 0.4
    # Pooling over pairs of pixels after a convolution, compared by whole strides, moves along too.
    assert equivariance(of(nn.Conv2d(1, 4, 1), nn.AvgPool2d(2)), dataset(30), seed=0).metrics["defect_worst.conv"] < 1e-6


def test_padding_is_seen_on_grey_and_not_on_black():
    padded = of(nn.Conv2d(1, 4, 3, padding=1, bias=False))
    assert equivariance(padded, dataset(30), seed=0).metrics["defect_worst.conv"] < 1e-6
    assert equivariance(padded, dataset(30), seed=0, level=0.5).metrics["defect_worst.conv"] > 0.01


def test_by_hand():
    """One tile of 2×2 in 3×3 images; the layer is the image itself, times a mask that kills the last column."""

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.kept, self.logits = nn.Identity(), nn.Identity()

        def forward(self, x):
            x = self.kept(x * torch.tensor([1.0, 1, 0]))
            return self.logits(torch.stack([x.sum((1, 2, 3)), x[:, 0, 0, 0]], 1))

    task = tmi.TemplateTask(
        [tmi.TileClass(n, [tmi.FeatureTile(np.full((2, 2), v), 0.1)]) for n, v in (("a", 0.5), ("b", 1.0))], (1, 3, 3)
    )
    scenes = tmi.Scenes(task, torch.zeros(1, 1, 3, 3), 0, 0, 0)
    result = equivariance(network(Masked(), "kept", "logits", task=task), tmi.Dataset(task, scenes, scenes), seed=0)
    # ‖Φ(x)‖ = 1. Moved right, one column is killed: two pixels of 1/2 are missing, √(2/4).
    expected = np.array([[np.nan, np.sqrt(0.5), 0, np.sqrt(0.5)]])
    assert result.arrays["defect.kept"].values == pytest.approx(expected, nan_ok=True)
    assert result.metrics["defect_mean.kept"] == pytest.approx(2 * np.sqrt(0.5) / 3)
    assert (result.arrays["worst_row.kept"].values[0], result.arrays["worst_col.kept"].values[0]) == (0, 1)
    norm = np.hypot(2, 0.5)
    logits = [np.hypot(1, 0.5), 0.5, np.hypot(1, 0.5)]
    assert result.arrays["defect.logits"].values[0, 1:] == pytest.approx(np.array(logits) / norm)


@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
@pytest.mark.parametrize("realisation", ["fused", "literal"])
def test_constructed_layers_move_along(name, realisation):
    rng = np.random.default_rng(0)
    classes = [tmi.TileClass(n, [tmi.FeatureTile(rng.random((3, k)), 0.6)]) for n, k in (("a", 3), ("b", 4))]
    task = tmi.TemplateTask(classes, (1, 7, 8))
    data = dataset(20, task=task)
    result = equivariance(tmi.build(name, data, realisation=realisation), data, seed=0, tiles=2)
    for layer in tmi.build(name, data, realisation=realisation).layers:
        assert result.metrics[f"defect_worst.{layer}"] < 1e-5


def test_dead_layers_are_left_out_and_a_sum_has_no_defect():
    data = dataset(20)
    assert equivariance(network(Sums(), "hidden", "logits"), data, seed=0).metrics["defect_worst.logits"] < 1e-6
    dead = cnn_network()
    exact_sums(dead.module)
    with torch.no_grad():
        dead.module.conv[0].bias.fill_(-100)
    result = equivariance(dead, data, seed=0)
    assert "defect_mean.conv" not in result.metrics
    assert any("defect.conv" in note for note in result.notes)
    assert result.metrics["defect_worst.logits"] == 0
    assert TASK is dead.task
