from __future__ import annotations

import pytest
import torch
from torch import nn

import tmi
from tmi.views.networks import first_filters

from .shown import Refusing, refusing, small_task


def test_a_layer_before_its_nonlinearity_is_marked_and_nothing_is_evaluated():
    network = refusing()
    assert "before the non-linearity parts.2" in network._repr_html_()
    after = tmi.Network(network.module, ["parts.2", "parts.4"], "imported", task=network.task)
    assert "before the non-linearity" not in after._repr_html_()


def test_first_filters_are_the_weights_that_read_the_images():
    task = small_task()
    convolution, dense = nn.Conv2d(1, 30, 3), nn.Linear(16, 5)
    for module, name, expected in (
        (Refusing(convolution, nn.Linear(4, 2)), "parts.0", convolution.weight[:24]),
        (Refusing(nn.Flatten(), dense), "parts.1", dense.weight.view(5, 1, 4, 4)),
        (Refusing(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 3)), None, None),  # one pixel is no picture; the next reads no image
    ):
        found = first_filters(tmi.Network(module, ["parts.0"], "imported", task=task))
        if name is None:
            assert found is None
        else:
            assert found[0] == name
            torch.testing.assert_close(torch.as_tensor(found[1]), expected.detach().double(), rtol=0, atol=0)


def test_a_network_is_called_for_its_logits():
    network = tmi.build("theorem1", small_task())
    images = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(images), network.logits(images))
    assert torch.equal(network(images, batch_size=2), network.logits(images))


def test_plot_names_what_it_cannot_draw():
    network = tmi.build("theorem1", small_task())
    with pytest.raises(tmi.InputError, match="has no weights that read images"):
        network.plot("weights")
    trained = refusing(history={"loss": [1.0]})
    with pytest.raises(tmi.UnknownNameError, match='"loss"'):
        trained.plot("los")
