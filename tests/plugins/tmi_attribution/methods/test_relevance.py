import pytest
import torch
from torch import nn
from torch.nn import functional as F

import tmi
from tests.plugins.tmi_probes.toys import dataset
from tmi_attribution.methods.relevance import lrp


def by_hand(module, images, target, epsilon):
    """The ε-rule of Bach et al. 2015, layer by layer: R_i = x_i Σ_j w_ij R_j / (z_j ± ε)."""
    conv, hidden, logits = module.conv[0], module.hidden[0], module.logits

    def stable(z):
        return z + epsilon * torch.where(z >= 0, 1.0, -1.0)

    a1 = conv(images).relu()
    flat = a1.flatten(1)
    a2 = hidden(flat).relu()
    z3 = logits(a2)
    relevance = F.one_hot(target, z3.shape[1]) * z3
    relevance = a2 * ((relevance / stable(z3)) @ logits.weight)
    relevance = flat * ((relevance / stable(hidden(flat))) @ hidden.weight)
    relevance = relevance.reshape(a1.shape)
    return images * F.conv_transpose2d(relevance / stable(conv(images)), conv.weight)


@pytest.mark.parametrize("epsilon", [1e-9, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_built_in_cnn_against_the_formula(dtype, epsilon):
    module = tmi.build("cnn", dataset(10), filters=4, kernel=3, hidden=16, epochs=1).module.to(dtype).requires_grad_(False)
    scenes = dataset(10).test[:5]
    images = scenes.images.to(dtype)
    found = lrp(module, images.clone().requires_grad_(True), scenes.labels, epsilon=epsilon).detach()
    expected = by_hand(module, images, scenes.labels, epsilon)
    assert expected.abs().max() > 1e-3
    assert torch.allclose(found, expected, atol=1e-5 if dtype == torch.float32 else 1e-8)


def test_flattening_passes_relevance_on_however_it_is_written():
    torch.manual_seed(0)
    conv, linear = nn.Conv2d(1, 2, 3, bias=False), nn.Linear(72, 3, bias=False)
    images, targets = torch.rand(2, 1, 8, 8), torch.tensor([0, 2])
    parts = {
        "flatten": nn.Sequential(conv, nn.ReLU(), nn.Flatten(), linear),
        "identities": nn.Sequential(conv, nn.Identity(), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Dropout1d(), linear),
        "unflatten": nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (8, 8)), conv, nn.ReLU(), nn.Flatten(), linear),
    }
    found = [
        lrp(part.eval().requires_grad_(False), images.clone().requires_grad_(True), targets).detach() for part in parts.values()
    ]
    logit = parts["flatten"](images).gather(1, targets[:, None])[:, 0]
    assert torch.allclose(found[0].sum((1, 2, 3)), logit, atol=1e-5)
    assert all(torch.allclose(found[0], other, atol=1e-6) for other in found[1:])
