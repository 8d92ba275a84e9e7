from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tmi
from tests.plugins.tmi_networks.expected import (
    input_gradient,
)
from tests.strategies import images_of, tasks
from tmi_networks.theorem1 import theorem1
from tmi_networks.theorem2 import theorem2


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_every_neuron_computes_what_its_meaning_says(data):
    task = data.draw(tasks())
    images = data.draw(images_of(task, min_images=1, dtype=torch.float64))
    network = theorem2(task)
    seen = network.activations(images)
    _, m, n = task.image_shape
    for layer in network.layers:
        table = network.neurons(layer)
        values = seen[layer].flatten(1)
        assert len(table) == values.shape[1]
        padded = torch.zeros(len(images), task.image_shape[0], 2 * m + 2 * n + 40, 2 * m + 2 * n + 40, dtype=torch.float64)
        padded[:, :, :m, :n] = images
        if layer == "values":
            pixel = padded[:, table["channel"], table["row"], table["col"]]
            value = torch.tensor(table["value"].to_numpy())
            assert set(table["kind"][table["value"].isna()]) == {"identity"}
            torch.testing.assert_close(values, torch.where(value.isnan(), pixel, (2 * pixel - 2 * value).relu()))
        elif layer.startswith("level"):
            level = int(layer.removeprefix("level"))
            assert set(table["level"]) == {level}
            for number in {*range(0, len(table), max(1, len(table) // 7)), len(table) - 1}:
                row = table.loc[number]
                for tile, place in zip(row["tiles"], row["places"], strict=True):
                    expected = patch_distance(padded, task.tiles[tile], place, 1 << level, row["row"], row["col"])
                    torch.testing.assert_close(values[:, number], expected, atol=1e-9, rtol=0)
    assert network.neurons("hidden").equals(theorem1(task).neurons("hidden"))
    assert list(network.neurons("logits")["class"]) == list(task.class_names)


def patch_distance(images, tile, place, side, row, col):
    """The distance of the patch at a place of a tile from the square of the image whose corner is at row, col."""
    rows, cols = (slice(start, min(start + side, limit)) for start, limit in zip(place, tile.shape[1:], strict=True))
    support, values = (torch.from_numpy(part[:, rows, cols].copy()) for part in (tile.support, tile.values))
    square = images[:, :, row : row + values.shape[1], col : col + values.shape[2]]
    return ((square - values).abs() * support).sum((1, 2, 3))


@settings(max_examples=30, deadline=None)
@given(tasks())
def test_patches_are_distinct_and_each_reads_only_its_own_channels(task):
    network = theorem2(task)
    below = len(network.neurons("values")["filter"].unique())
    for number, layer in enumerate(network.layers[1:-2], 1):
        level = network.module.get_submodule(layer)
        rows = []
        for part in level.slices:
            conv = part.conv["float64"]
            assert type(conv) is nn.Conv2d
            assert conv.kernel_size == (2, 2)
            assert conv.dilation == (2 ** (number - 1),) * 2
            dense = torch.zeros(conv.out_channels, below, 2, 2, dtype=torch.float64)
            reads = part.reads.view(conv.groups, -1)
            for output, weight in enumerate(conv.weight):
                dense[output].index_add_(0, reads[output * conv.groups // conv.out_channels], weight)
            rows.append(dense)
        dense = torch.cat(rows).flatten(1)
        limit = 8 * task.image_shape[0] if number == 1 else 4
        assert set(dense.unique().tolist()) <= {-1.0, 0.0, 1.0}
        assert ((dense != 0).sum(1) <= limit).all()
        assert ((dense != 0).sum(1) > 0).all()
        assert len(dense.unique(dim=0)) == len(dense)
        below = len(dense)


def test_layers_are_plain_modules_with_distinct_relus(task):
    network = theorem2(task)
    assert network.layers == ("values", "level1", "level2", "hidden", "logits")
    leaves = [module for module in network.module.modules() if not list(module.children())]
    assert {type(module) for module in leaves} == {nn.Conv2d, nn.ReLU, nn.Linear}
    assert len({id(module) for module in leaves}) == len(leaves)
    assert not any(module.inplace for module in leaves if isinstance(module, nn.ReLU))
    classes = network.neurons("hidden")["class"].to_numpy()
    weight = network.module.logits.weight
    assert weight.tolist() == [[float(one == name) for one in classes] for name in task.class_names]
    assert not list(network.module.parameters())


def test_windows_over_the_padding_are_not_read():
    # A tile with dark edges would fire on the padding at the right and at the bottom.
    values = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0]])
    task = tmi.TemplateTask([tmi.TileClass("dot", [tmi.FeatureTile(values, 0.5, np.ones((3, 3), bool))])], (1, 4, 4))
    images = torch.zeros(1, 1, 4, 4)
    images[0, 0, 3, 3] = 1
    assert theorem2(task).logits(images).tolist() == [[0.0]]
    network = theorem2(task)
    assert len(network.neurons("hidden")) == 4


@pytest.mark.parametrize("memory", [0.0008, 0.001])
def test_groups_of_tiles_change_nothing(many, memory):
    whole, grouped = theorem2(many), theorem2(many, memory=memory)
    assert whole.layers == ("values", "level1", "level2", "level3", "hidden", "logits")
    assert grouped.layers[1].startswith("groups.0.level1")
    assert len(grouped.layers) > len(whole.layers)
    images = tmi.Scenes.draw(many, 30, rng=np.random.default_rng(1)).images.double()
    for layer in ("values", "hidden", "logits"):
        torch.testing.assert_close(*(net.activations(images, layer)[layer] for net in (whole, grouped)), atol=1e-12, rtol=0)
        assert whole.neurons(layer).equals(grouped.neurons(layer))
    torch.testing.assert_close(whole.logits(images), grouped.logits(images), atol=1e-12, rtol=0)
    gradients = [input_gradient(net.module, images, 1.0) for net in (whole, grouped)]
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)
    tiles = {tile for layer in grouped.layers if layer.endswith("level3") for tile in sum(grouped.neurons(layer)["tiles"], ())}
    assert tiles == set(range(12))


def test_images_are_taken_a_few_at_a_time_unless_a_layer_has_a_hook(many):
    network = theorem2(many, memory=0.004)
    at_once = network.module.images_at_once
    assert 1 <= at_once < 30
    images = tmi.Scenes.draw(many, 30, rng=np.random.default_rng(1)).images
    seen = []
    handle = network.module.values.conv.register_forward_hook(lambda _m, x, _y: seen.append(len(x[0])))
    with torch.no_grad():
        network.module(images)
    assert seen == [30]
    seen.clear()
    assert len(network.logits(images)) == 30
    assert max(seen) <= at_once
    handle.remove()
    sizes = []
    forward = network.module.values.forward
    network.module.values.forward = lambda x: sizes.append(len(x)) or forward(x)
    with torch.no_grad():
        logits = network.module(images)
    assert max(sizes) <= at_once
    assert sum(sizes) == 30
    del network.module.values.forward
    torch.testing.assert_close(logits, network.module(images.clone().requires_grad_()).detach())
