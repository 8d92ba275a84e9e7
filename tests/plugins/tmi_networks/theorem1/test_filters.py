from __future__ import annotations

import torch
from hypothesis import given, settings
from torch import nn

import tmi
from tests.strategies import tasks
from tmi_networks.theorem1 import theorem1


def test_meanings_of_the_convolution_say_what_each_neuron_computes(task, images):
    network = theorem1(task, realisation="literal")
    table = network.neurons("conv")
    conv = network.activations(images, "conv")["conv"].flatten(1)
    assert conv.shape[1] == len(table)
    pixel = images[:, table["channel"], table["row"], table["col"]]
    value = torch.tensor(table["value"].to_numpy())
    expected = torch.where(value.isnan(), pixel, (2 * pixel - 2 * value).relu())
    torch.testing.assert_close(conv, expected, atol=1e-12, rtol=0)
    assert set(table["kind"][table["value"].isna()]) == {"identity"}
    assert set(table["kind"][table["value"].notna()]) == {"value"}
    assert not table.duplicated(["filter", "row", "col"]).any()


@settings(max_examples=60, deadline=None)
@given(tasks())
def test_every_filter_is_needed_and_has_one_tap(task):
    network = theorem1(task, realisation="literal")
    conv, sums = network.module.conv[0], network.module.hidden[0]
    assert isinstance(conv, nn.Conv2d)
    assert conv.weight.shape[2:] == tuple(min(2, side) for side in task.image_shape[1:])
    assert ((conv.weight != 0).flatten(1).sum(1) == 1).all()
    table = network.neurons("conv")
    read = set(table["filter"].to_numpy()[sums.forward_cols.numpy()])
    assert read == set(range(len(conv.weight)))
    assert not table.groupby("filter").first().duplicated(["channel", "value", "tap"]).any()
    dense = sums.matrix().to_dense()
    assert set(dense.unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert torch.equal(sums.matrix("backward").to_dense(), dense.T)
    # −1 from filters of a value, +1 from those of the pixel as it is
    kinds = table["kind"].to_numpy()
    assert (dense[:, kinds == "value"] <= 0).all()
    assert (dense[:, kinds == "identity"] >= 0).all()


def test_taps_beside_top_left_only_where_windows_reach_the_border():
    tile = tmi.FeatureTile([[1, 0], [0, 0]], 0.5)  # one pixel, whose windows end one short of the last row and column
    table = theorem1(tmi.TemplateTask([tmi.TileClass("dot", [tile])], (1, 4, 4)), realisation="literal").neurons("conv")
    assert set(table["tap"]) == {"top left"}
    tile = tmi.FeatureTile([[0, 1], [0, 0]], 0.5)
    table = theorem1(tmi.TemplateTask([tmi.TileClass("dot", [tile])], (1, 4, 4)), realisation="literal").neurons("conv")
    assert set(table["tap"]) == {"top left", "top right"}
