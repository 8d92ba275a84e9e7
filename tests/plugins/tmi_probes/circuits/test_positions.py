import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tmi_attribution.receptive import receptive_field
from tmi_probes.circuits.positions import BORDER, INSIDE, OUTSIDE, Positions, region_of

from ..toys import TASK, cnn_network, dataset, network, small_cnn


def by_hand(field, tile):
    """The position of one unit from its receptive field and the tile's pixels."""
    if not (field & tile).any():
        return OUTSIDE
    return BORDER if (field & ~tile).any() else INSIDE


@given(st.integers(0, 3), st.integers(0, 5), st.integers(0, 5), st.sampled_from(["tile", "support"]))
def test_positions_of_a_convolution_by_hand(tile, row, col, region):
    net, scenes = cnn_network(), tmi.Scenes(TASK, torch.full((1, 1, 8, 8), 0.3), tile, row, col)
    found = Positions(net, "conv").of(region_of(scenes, region))
    inside = np.zeros((8, 8), bool)
    inside[row : row + 3, col : col + 3] = True
    fields = receptive_field(net.module, "conv", np.arange(144), (1, 8, 8))
    assert found[0].tolist() == [by_hand(field, inside) for field in fields]
    # A kernel as large as the tile lies inside at one place.
    assert (found == INSIDE).sum() == 4


def test_the_support_and_the_whole_tile_differ():
    tile = tmi.FeatureTile(np.eye(3), 0.5)
    task = tmi.TemplateTask([tmi.TileClass("a", [tile]), tmi.TileClass("b", [tmi.FeatureTile(np.ones((2, 2)), 0.5)])], (1, 6, 6))
    backgrounds = torch.rand(2, 1, 6, 6)
    pasted = region_of(tmi.Scenes(task, backgrounds, [0, 1], 1, 2), "tile")
    assert pasted.flatten(1).sum(1).tolist() == [9, 4]
    assert region_of(tmi.Scenes(task, backgrounds, [0, 1], 1, 2), "support").flatten(1).sum(1).tolist() == [3, 4]
    by_support = tmi.Scenes(task, backgrounds, [0, 1], 1, 2, paste="support")
    assert region_of(by_support, "tile").flatten(1).sum(1).tolist() == [3, 4]


@pytest.mark.parametrize("name", ["theorem1", "theorem2"])
def test_neurons_of_a_construction_read_the_support_of_their_tile(name):
    rng = np.random.default_rng(0)
    tiles = [tmi.FeatureTile(rng.random((2, 3, 2)) * (rng.random((2, 3, 2)) < 0.7), 0.2) for _ in range(2)]
    task = tmi.TemplateTask([tmi.TileClass(n, [t]) for n, t in zip("ab", tiles, strict=True)], (2, 5, 5))
    net, scenes = tmi.build(name, task), dataset(6, task=task).test
    region = region_of(scenes, "support")
    found = Positions(net, "hidden").of(region)
    for i in range(len(scenes)):
        for k, (tile, row, col) in enumerate(net.neurons("hidden")[["tile", "row", "col"]].to_numpy(int)):
            support = np.zeros((2, 5, 5), bool)
            support[:, row : row + 3, col : col + 2] = tiles[tile].support
            assert found[i, k] == by_hand(support, region[i].numpy())


def test_a_hidden_layer_reads_everything_and_nothing_depends_on_what_was_asked_before():
    net, scenes = network(small_cnn(), "conv", "hidden", "logits"), dataset(12).test
    region = region_of(scenes, "tile")
    assert (Positions(net, "hidden").of(region) == BORDER).all()
    together = Positions(net, "conv")
    for i in range(12):
        assert (together.of(region[[i, 0, i]])[0] == Positions(net, "conv").of(region[[i]])[0]).all()
