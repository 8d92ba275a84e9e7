from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import tmi
from tmi_networks.theorem1 import theorem1


def test_literal_layers_are_real_layers_with_distinct_relus(task):
    network = theorem1(task, realisation="literal")
    assert network.layers == ("conv", "hidden", "logits")
    relus = [module for module in network.module.modules() if isinstance(module, nn.ReLU)]
    assert len(relus) == 2
    assert not any(relu.inplace for relu in relus)
    hidden = torch.rand(3, len(network.neurons("hidden")), dtype=torch.float64)
    weight = network.module.logits.weight.double()
    torch.testing.assert_close(network.module.logits(hidden), hidden @ weight.T)
    classes = network.neurons("hidden")["class"].to_numpy()
    assert weight.tolist() == [[float(one == name) for one in classes] for name in task.class_names]


def test_literal_layers_beyond_memory_are_refused_with_their_size(task):
    network = theorem1(task, realisation="literal")
    size = sum(part.numel() * part.element_size() for part in network.module.buffers())
    size += sum(column.nbytes for column in network.meanings["hidden"].values())
    assert not list(network.module.parameters())
    theorem1(task, realisation="literal", memory=size / 1e9 * 1.001)
    with pytest.raises(tmi.InputError, match=rf"need {size / 1e9:.3g} GB"):
        theorem1(task, realisation="literal", memory=size / 1e9 * 0.999)


def test_images_are_taken_as_many_at_a_time_as_the_memory_leaves_room_for(task, images):
    whole, tight = (theorem1(task, realisation="literal", memory=memory) for memory in (1.0, 3e-5))
    assert tight.module.images_at_once < len(images) < whole.module.images_at_once
    assert torch.equal(tight.logits(images), whole.logits(images))


def test_section_6_2_in_literal_layers_is_refused_before_it_is_built():
    rng = np.random.default_rng(0)
    classes = [tmi.TileClass(f"{i}", [tmi.FeatureTile(rng.random((28, 28)), 5) for _ in range(10)]) for i in range(10)]
    task = tmi.TemplateTask(classes, (1, 40, 40))
    with pytest.raises(tmi.InputError, match="fused"):
        theorem1(task, realisation="literal", memory=0.5)


def test_the_stated_weights_are_those_that_the_layers_compute_with(task, images):
    module = theorem1(task, realisation="literal").module
    flat = module.flatten(module.conv(images))
    sums, weight = module.hidden[0], module.hidden[0].sparse_weight().to_dense()
    torch.testing.assert_close(sums(flat), flat @ weight.T + sums.bias)
    assert (weight != 0).sum() == sums.weights
    hidden = torch.rand(3, len(weight), dtype=torch.float64)
    torch.testing.assert_close(module.logits(hidden), hidden @ module.logits.sparse_weight().to_dense().double().T)
