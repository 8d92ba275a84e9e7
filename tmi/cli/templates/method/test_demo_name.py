"""Tests of the attribution method demo-name."""

import pytest
import torch
from tmi_demo_name import demo_name

import tmi


@pytest.mark.tmi("tmi_demo_name")
def test_what_tmi_asks_of_every_plug_in(tmi_check):
    tmi_check()


def test_a_linear_network_by_hand():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 2))
    images, targets = torch.rand(4, 1, 3, 3, requires_grad=True), torch.tensor([0, 1, 1, 0])
    maps = demo_name(module, images, targets)
    weights = module[1].weight.detach().reshape(2, 3, 3)
    for image, target, of_image in zip(images.detach()[:, 0], targets, maps[:, 0], strict=True):
        for i in range(3):
            for j in range(3):
                mean = image[max(0, i - 1) : i + 2, max(0, j - 1) : j + 2].mean()
                assert of_image[i, j].item() == pytest.approx((weights[target, i, j] * (image[i, j] - mean)).item(), abs=1e-6)


def test_an_even_window_is_refused():
    with pytest.raises(tmi.InputError, match="odd number"):
        demo_name(torch.nn.Flatten(), torch.rand(1, 1, 2, 2), torch.tensor([0]), window=2)
