import torch
from torch.nn import functional as F

from tests.plugins.tmi_probes.toys import dataset, small_cnn
from tmi_attribution.methods.cam import grad_cam, guided_grad_cam
from tmi_attribution.methods.guided import guided_backprop

SCENES = dataset(20).test[:4]


def module():
    return small_cnn().eval().requires_grad_(False)


def by_hand(relu):
    """Selvaraju et al. 2017, equations 1 and 2."""
    net = module()
    maps = net.conv(SCENES.images).requires_grad_(True)
    logits = net.logits(net.hidden(net.flatten(maps)))
    (gradient,) = torch.autograd.grad(logits.gather(1, SCENES.labels[:, None]).sum(), maps)
    found = (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).detach()
    return F.interpolate(found.relu() if relu else found, (8, 8), mode="bilinear")


def test_against_the_formula():
    for relu in (True, False):
        found = grad_cam(module(), SCENES.images.clone().requires_grad_(True), SCENES.labels, layer="conv", relu=relu)
        assert found.shape == (4, 1, 8, 8)
        assert torch.allclose(found.detach(), by_hand(relu), atol=1e-6)
    assert by_hand(False).min() < 0 <= by_hand(True).min()


def test_guided_is_the_product():
    images = SCENES.images.clone().requires_grad_(True)
    found = guided_grad_cam(module(), images, SCENES.labels, layer="conv")
    assert torch.allclose(found, by_hand(True) * guided_backprop(module(), images, SCENES.labels), atol=1e-6)
    assert found.abs().max() > 0
