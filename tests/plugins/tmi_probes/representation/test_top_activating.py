"""Top-activating scenes: by sorting, on networks whose units' scenes are known, and what chance and the oracle are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_probes.representation.top import tops_of
from tmi_probes.representation.top_activating import shares

from ..toys import TASK, cnn_network, dataset, network

DATA = dataset(60)


@pytest.mark.parametrize("layer", ["conv", "hidden", "logits"])
def test_the_scenes_are_those_of_a_sort(layer):
    own = cnn_network()
    values = own.activations(DATA.test.images, layer)[layer]
    values = values.flatten(2).amax(2) if values.ndim == 4 else values
    found = tops_of(own, [layer], DATA.test, 5)[layer]
    for unit in range(values.shape[1]):
        order = np.argsort(-values[:, unit].numpy(), kind="stable")[:5]
        above = [i for i in order if values[i, unit] > values[:, unit].min()]
        assert found.scene[unit].tolist() == [*above, *[-1] * (5 - len(above))]
        assert found.activation[unit, : len(above)] == pytest.approx(values[above, unit].numpy(), abs=1e-6)
    if layer == "conv":
        maps = own.activations(DATA.test.images, layer)[layer]
        unit = int(np.flatnonzero(found.scene[:, 0] >= 0)[0])
        assert found.place[unit, 0] == int(maps[found.scene[unit, 0], unit].argmax())


class Reads(nn.Module):
    """Two units by a table: the tile's number at its place where a unit is to fire, looked up by the scene's background."""

    def __init__(self, table):
        super().__init__()
        self.register_buffer("table", table)
        self.units, self.logits = nn.Identity(), nn.Linear(3, 3)

    def forward(self, images):
        return self.logits(self.units(self.table[(images[:, 0, 7, 7] * 100).round().long() % len(self.table)]))


def by_table(tile, row, col, values):
    """Scenes on even backgrounds of brightness i/100, so that the last pixel tells the scene, and a network of these units."""
    backgrounds = np.repeat(np.arange(len(tile), dtype=np.float32) / 100, 64).reshape(-1, 1, 8, 8)
    scenes = tmi.Scenes(TASK, backgrounds, tile, row, col)
    own = network(Reads(torch.tensor(values, dtype=torch.float32)), "units", "logits")
    return own, tmi.Dataset(TASK, scenes, scenes)


def test_shares_by_hand():
    tile, row = [0, 0, 0, 1, 1, 2], [0, 0, 1, 2, 2, 3]
    values = [[5, 1, 0], [4, 0, 0], [3, 0, 0], [2, 0, 1], [0, 2, 0], [0, 3, 0]]
    own, data = by_table(tile, row, [0] * 6, values)
    result = tmi.probe("top-activating-scenes", own, data, top=4, sample="test")
    assert result.arrays["scene.units"].values.tolist() == [[0, 1, 2, 3], [5, 4, 0, -1], [3, -1, -1, -1]]
    assert result.arrays["same_tile.units"].values[:2] == pytest.approx([3 / 4, 1 / 3])
    assert result.arrays["same_place.units"].values[:2] == pytest.approx([2 / 4, 1 / 3])
    assert np.isnan(result.arrays["same_tile.units"].values[2])  # one scene shows one tile: that cannot fail
    assert result.metrics["scored.units"] == pytest.approx(2 / 3)
    assert result.metrics["same_tile.units"] == pytest.approx((3 / 4 + 1 / 3) / 2)
    assert result.metrics["same_tile.units.oracle"] == pytest.approx((3 / 4 + 1) / 2)  # the commonest tile is on three scenes
    assert result.metrics["same_place.units.oracle"] == pytest.approx((2 / 4 + 2 / 3) / 2)


def test_constructed_neurons_show_their_tile_at_their_place_and_shuffled_scenes_do_not():
    data = dataset(60)
    result = tmi.probe("top-activating-scenes", tmi.build("theorem1", data), data)
    assert result.metrics["same_place.hidden"] > 0.9  # a scene may match a second tile by chance
    assert result.metrics["same_place.hidden.oracle"] == 1  # by design each tile is ten times at a place
    assert result.metrics["same_place.hidden.chance.high"] < 0.5
    table = tmi.build("theorem1", data).neurons("hidden")
    scene = result.arrays["scene.hidden"].values
    first = np.flatnonzero(scene[:, 7] >= 0)
    for name in ("tile", "row", "col"):
        assert np.mean(result.arrays[name].values[scene[first, 0]] == table[name].to_numpy()[first]) > 0.95


def test_a_channel_that_follows_a_tile_has_one_place_with_respect_to_itself():
    data = dataset(200)
    tile = TASK.tiles[2]  # the diagonal
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(1, 1, 3, bias=False))
    module.add_module("flatten", nn.Flatten())
    module.add_module("logits", nn.Linear(36, 3))
    with torch.no_grad():
        module.conv.weight.copy_(torch.tensor(tile.values - tile.values.mean())[None])
    nearly = tmi.Dataset(TASK, data.train, data.test.with_backgrounds(0.3 + 0.02 * data.test.backgrounds))
    result = tmi.probe("top-activating-scenes", network(module, "conv", "logits"), nearly, sample="test")
    assert result.metrics["same_place.conv"] == result.metrics["same_place.conv.oracle"] == 1
    assert len(np.unique(result.arrays["place_row.conv"].values)) > 1
    crop = result.arrays["crop.conv"].values
    assert crop.shape == (1, 8, 1, 3, 3)
    assert np.allclose(crop[0], tile.values, atol=1e-6)


def test_chance_is_that_of_random_scenes_and_untrained_that_of_the_initial_weights():
    data = tmi.generate("squares", seed=0, samples=60, test_samples=60)
    settings = {"filters": 3, "kernel": 2, "hidden": 6, "batch_size": 10, "lr": 0.1}
    trained, initial = (tmi.build("cnn", data, seed=0, epochs=epochs, **settings) for epochs in (5, 0))
    found, before = (tmi.probe("top-activating-scenes", each, data).metrics for each in (trained, initial))
    for layer in trained.layers:
        if f"same_tile.{layer}" in before and f"same_tile.{layer}" in found:
            assert found[f"same_tile.{layer}.untrained"] == pytest.approx(before[f"same_tile.{layer}"])
    rng = np.random.default_rng(0)
    drawn = [np.unique(data.test.tile.numpy()[rng.permutation(60)[:8]], return_counts=True)[1].max() / 8 for _ in range(4000)]
    top = tops_of(trained, ["logits"], data.test, 8)["logits"]
    by_chance = [np.nanmean(shares(top, data.test, "same_tile", rng.permutation(60))) for _ in range(400)]
    assert np.mean(by_chance) == pytest.approx(np.mean(drawn), abs=0.01)


def test_one_tile_cannot_fail():
    data = dataset(20)
    one = tmi.Dataset(TASK, data.train, data.test[data.test.tile == 1])
    result = tmi.probe("top-activating-scenes", cnn_network(), one)
    assert "same_tile.hidden" not in result.metrics
    assert "same_place.hidden" in result.metrics
    still = tmi.Dataset(TASK, data.train, one.test.moved(0, 0))
    assert not tmi.probe("top-activating-scenes", cnn_network(), still, sample="test").applicable
