from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tests.strategies import images_of, tasks
from tmi.networks.phi import Formula


@given(st.data(), tasks())
def test_the_formula_is_the_network(data, task):
    images = data.draw(images_of(task))
    network, formula = tmi.build("theorem1", task), Formula(task, images.dtype)
    found = formula(images)
    assert found.dtype == images.dtype
    torch.testing.assert_close(found, network.logits(images), rtol=1e-6, atol=1e-9)
    for label in range(len(task.classes)):
        gradients = []
        for module in (network.module, formula):
            x = images.clone().requires_grad_()
            module(x)[:, label].sum().backward()
            gradients.append(x.grad)
        torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-9)
