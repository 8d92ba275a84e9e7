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


def test_padding_is_not_seen_on_black_alone():
    padded = of(nn.Conv2d(1, 4, 3, padding=1, bias=False))
    assert equivariance(padded, dataset(30), seed=0, background="even").metrics["defect_worst.conv"] < 1e-6
    assert equivariance(padded, dataset(30), seed=0, background="even", level=0.5).metrics["defect_worst.conv"] > 0.01
    assert equivariance(padded, dataset(30), seed=0).metrics["defect_worst.conv"] > 0.01


class Recorder(nn.Module):
    """Keeps the images that it sees; its layer is their sum and whether the background is black."""

    def __init__(self):
        super().__init__()
        self.seen, self.logits = [], nn.Identity()

    def forward(self, images):
        self.seen.append(images.clone())
        return self.logits(torch.stack([images.sum((1, 2, 3)), (images == 0).float().mean((1, 2, 3)), images[:, 0, 0, 0]], 1))


def test_pictures_are_shifted_as_a_whole_on_backgrounds_of_the_data():
    """The old fault: every picture had a black background, as no training image has."""
    data, module = dataset(20), Recorder()
    net = network(module)
    result = equivariance(net, data, seed=0, tiles=1)
    row, col = (result.arrays[f"place_{name}"].values[0] for name in ("row", "col"))
    seen = torch.cat(module.seen)
    assert (seen == 0).float().mean() < 0.01
    assert any(
        all(
            any(
                torch.equal(image, torch.roll(scene.images[0], (r - int(scene.row), c - int(scene.col)), (1, 2)))
                for image in seen
            )
            for r, c in zip(row.tolist(), col.tolist(), strict=True)
        )
        for scene in (data.test[[i]] for i in range(20))
    )
    assert result.metrics["defect_worst.logits"] > 0  # the corner's pixel
    module.seen.clear()
    equivariance(net, data, seed=0, tiles=1, background="even", level=0.25)
    assert all((image == 0.25).float().mean() > 0.5 for image in torch.cat(module.seen)[1:])


def test_other_scenes_give_chance_and_the_untrained_network_stands_beside():
    data = tmi.generate("squares", seed=0, samples=40, test_samples=60)
    net = tmi.build("cnn", data, seed=0, filters=3, kernel=2, epochs=5, batch_size=10)
    result, before = (equivariance(which, data, seed=0).metrics for which in (net, net.untrained()))
    for metric in ("defect_mean.conv", "defect_mean.logits", "defect_worst.logits"):
        assert result[f"{metric}.untrained"] == pytest.approx(before[metric], abs=1e-6)
    assert result["defect_mean.conv"] < 1e-6 < 0.1 < result["defect_mean.conv.chance"] < result["defect_mean.conv.chance.high"]


def test_chance_by_hand():
    """Two scenes: each draw compares the one with the other; a flat layer has no places to shift."""

    class Pixels(nn.Module):
        def __init__(self):
            super().__init__()
            self.flat, self.logits = nn.Flatten(), nn.Identity()

        def forward(self, images):
            return self.logits(self.flat(images)[:, :3])

    data = dataset(2)
    result = equivariance(network(Pixels(), "flat", "logits"), data, seed=0, tiles=1)
    flat = data.test.images.flatten(1).double()
    apart = float((flat[0] - flat[1]).norm())
    possible = [apart / float(image.norm()) for image in flat]
    assert any(result.metrics["defect_mean.flat.chance"] == pytest.approx(value) for value in possible)
    alone = tmi.Dataset(TASK, data.train, data.test[:1])
    assert "defect_mean.flat.chance" not in equivariance(network(Pixels(), "flat", "logits"), alone, seed=0).metrics


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
    scenes = tmi.Scenes(task, torch.zeros(1, 1, 3, 3), 0, 0, 0)  # black: rolled or even, the background is the same
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
    net = tmi.build(name, data, realisation=realisation)
    even = equivariance(net, data, seed=0, tiles=2, background="even").metrics
    assert all(even[f"defect_worst.{layer}"] < 1e-5 for layer in net.layers)
    # The first layers of Theorem 2 pad, which a background that is not black shows.
    found = equivariance(net, data, seed=0, tiles=2).metrics
    assert found["defect_worst.hidden"] < 1e-5 > found["defect_worst.logits"]


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
