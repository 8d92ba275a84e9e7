"""The weights that each layer states are those that it computes with."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d, linear, pad

from tests.strategies import images_of, tasks
from tmi_networks.theorem2 import theorem2
from tmi_networks.theorem2.layers import PatchDistances, PixelValues, Rounded, Threshold


def seen(network, images):
    """Return input and output of every module."""
    values = {}
    handles = [
        module.register_forward_hook(lambda _module, inputs, output, name=name: values.update({name: (inputs[0], output)}))
        for name, module in network.module.named_modules()
    ]
    network.logits(images)
    for handle in handles:
        handle.remove()
    return values


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_dense_layer_with_the_stated_weights_computes_the_same(data):
    task = data.draw(tasks())
    network = theorem2(task)
    values = seen(network, data.draw(images_of(task, min_images=1, dtype=torch.float64)))
    checked = 0
    for name, module in network.module.named_children():
        if not hasattr(module, "sparse_weight"):
            continue
        (x, output), weight = values[name], module.sparse_weight().to_dense()
        assert weight.dtype == torch.float64
        if isinstance(module, PixelValues):
            sides = [padded - side for padded, side in zip(output.shape[2:], x.shape[2:], strict=True)]
            expected = conv2d(pad(x, (0, sides[1], 0, sides[0])), weight, module.conv.bias).relu()
        elif isinstance(module, PatchDistances):
            side = weight.shape[-1]
            bias = None
            if side == 2:
                bias = torch.cat([part.conv.bias for part in module.slices])
            # The kernel of 2^i × 2^i looks further than its last weights that are not 0.
            expected = conv2d(pad(x, (0, side // 2 - 1) * 2), weight, bias).relu()
        elif isinstance(module, Threshold):
            expected = linear(x.flatten(1), weight)
            constant = output - expected  # ε, the same for all windows of a tile
            assert ((constant - constant[:1]).abs() < 1e-9).all()
            expected = expected + constant[:1]
        else:
            assert isinstance(module, Rounded)
            expected = linear(x, weight)
        torch.testing.assert_close(output, expected, atol=1e-9, rtol=0)
        checked += 1
    assert checked == len(network.layers)  # `hidden` is the ReLU of the threshold


def test_the_sizes_are_those_of_the_theorems_dense_layers(task):
    network = theorem2(task)
    shapes = {name: tuple(m.sparse_weight().shape) for name, m in network.module.named_children() if hasattr(m, "sparse_weight")}
    filters, patches = shapes["values"][0], shapes["level1"][0]
    assert shapes["level1"][1:] == (filters, 2, 2)
    assert shapes["level2"] == (3, patches, 4, 4)
    assert shapes["logits"] == (2, shapes["threshold"][0])


@pytest.mark.parametrize("level", ["level1", "level2"])
def test_every_patch_reads_its_quarters(task, level):
    weight = theorem2(task).module.get_submodule(level).sparse_weight()
    outputs = weight.indices()[0].bincount(minlength=weight.shape[0])
    assert outputs.min() >= 1
    assert outputs.max() <= (8 if level == "level1" else 4)
    assert set(weight.values().tolist()) <= ({-1.0, 1.0} if level == "level1" else {1.0})
